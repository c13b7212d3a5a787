//! What alerts keep of the sides of a transaction, and how lines tell it.

use super::super::buffer::Buffer;
use super::scene::Scene;
use super::talk::{self, told_later, uri};
use super::unit::Unit;
use crate::detect::eve;

/// What one side said.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    texts: Vec<(&'static str, Vec<u8>)>,
    numbers: Vec<(&'static str, u64)>,
    /// MD5 of each file that is whole.
    digests: Vec<Vec<u8>>,
    body_bytes: u64,
    is_whole: bool,
}

impl Said {
    fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.numbers.is_empty()
    }

    fn value(&self, name: &str) -> &[u8] {
        self.values(name).next().unwrap_or_default()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let of = self.texts.iter().filter(move |t| t.0 == name);
        of.map(|t| t.1.as_slice())
    }

    fn text(&self, name: &str) -> &str {
        std::str::from_utf8(self.value(name)).unwrap_or_default()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.numbers.iter().find(|n| n.0 == name).map(|n| n.1)
    }
}

/// What an alert keeps of the sides of a transaction, by direction, where it tells of one.
pub(super) fn of(scene: &Scene<'_>, tells: bool) -> [Said; 2] {
    let mut said = <[Said; 2]>::default();
    if !tells {
        return said;
    }
    let beside = scene.told.into_iter().flatten();
    for unit in scene.unit.into_iter().chain(scene.other).chain(beside) {
        said[unit.direction.min(1)] = told(unit);
    }
    said
}

fn told(unit: &Unit) -> Said {
    let later = told_later(unit);
    let mut said = Said::default();
    for name in TOLD.iter().chain(&["file.name"]) {
        let Some(buffer) = Buffer::told(name) else {
            continue;
        };
        let values = unit.values(buffer).chain(later.values(buffer));
        let kept = values.map(|v| (*name, v[..v.len().min(TOLD_MAX)].to_vec()));
        said.texts.extend(kept.take(VALUES_MAX));
    }
    for name in NUMBERS {
        let numbers = unit.numbers(name).chain(later.numbers(name));
        said.numbers
            .extend(numbers.take(VALUES_MAX).map(|n| (*name, n)));
    }
    let version = match unit.words("ssl_version").next() {
        Some("sslv2") => Some("SSLv2"),
        Some("sslv3") => Some("SSLv3"),
        _ => unit.words("tls.version").next(),
    };
    said.texts
        .extend(version.map(|v| ("tls.version", v.as_bytes().to_vec())));
    let result = unit.words("rfb.secresult").next();
    said.texts
        .extend(result.map(|r| ("rfb.secresult", r.as_bytes().to_vec())));
    said.texts.extend(unit.tells().iter().cloned());
    said.digests = unit.parts("filemd5").map(<[u8]>::to_vec).collect();
    said.body_bytes = unit.body_bytes;
    said.is_whole = unit.is_whole;
    said
}

/// What a line tells of an application, by what both sides said.
pub(super) fn app<'a>(application: &str, said: &'a [Said; 2], direction: usize) -> eve::App<'a> {
    let [asked, answered] = said;
    if said.iter().all(Said::is_empty) {
        return eve::App::None;
    }
    match application {
        "http2" => eve::App::Http2(http2(asked, answered)),
        "http" => eve::App::Http(http(asked, answered)),
        "tls" => eve::App::Tls(tls(asked, answered)),
        "dns" => {
            let read = |said: &'a Said| talk::dns_records(said.value("dns.message"));
            eve::App::Dns(eve::Dns {
                query: read(asked),
                answer: read(answered).filter(|_| direction == 1),
            })
        }
        "ssh" => eve::App::Ssh([asked, answered].map(|side| eve::SshSide {
            protocol: side.value("ssh.proto"),
            software: side.value("ssh.software"),
        })),
        "smtp" => eve::App::Smtp(smtp(asked)),
        "smb" => eve::App::Smb(eve::Smb {
            user: either("smb.ntlmssp_user", asked, answered),
            domain: either("smb.ntlmssp_domain", asked, answered),
            named_pipe: either("smb.named_pipe", asked, answered),
            share: either("smb.share", asked, answered),
        }),
        "rfb" => eve::App::Rfb(rfb(asked, answered)),
        "sip" => {
            let said = &said[direction.min(1)];
            eve::App::Sip(eve::Sip {
                request_line: said.value("sip.request_line"),
                response_line: said.value("sip.response_line"),
            })
        }
        "snmp" => {
            let message = said[direction.min(1)].value("snmp.message");
            talk::snmp_message(message).map_or(eve::App::None, eve::App::Snmp)
        }
        "ftp-data" => match either("ftp.file", asked, answered) {
            [] => eve::App::None,
            name => eve::App::FtpData(eve::FtpData {
                name,
                is_upload: either("ftp.upload", asked, answered) == b"stor",
            }),
        },
        "ike" => eve::App::Ike(ike(&said[direction.min(1)])),
        _ => eve::App::None,
    }
}

/// The files of a side.
pub(super) fn files(said: &Said, transaction: Option<u64>) -> Vec<eve::File<'_>> {
    let sizes = said.numbers.iter().filter(|n| n.0 == "filesize");
    let mut sizes = sizes.map(|n| n.1);
    let mut digests = said.digests.iter();
    // each in its order; the last one may still come
    let of = |name| {
        let size = sizes.next();
        eve::File {
            name,
            is_closed: said.is_whole && size.is_some(),
            md5: digests.next().map(Vec::as_slice),
            size: size.unwrap_or(said.body_bytes),
            tx_id: transaction,
        }
    };
    said.values("file.name").map(of).collect()
}

fn tls<'a>(asked: &'a Said, answered: &'a Said) -> eve::Tls<'a> {
    // what a client sends of a certificate is told where the server sent none
    let certificate = match answered.value("tls.cert_subject") {
        [] => asked,
        _ => answered,
    };
    let version = match answered.text("tls.version") {
        "" => asked.text("tls.version"),
        version => version,
    };
    eve::Tls {
        subject: certificate.text("tls.cert_subject"),
        issuer: certificate.text("tls.cert_issuer"),
        serial: certificate.text("tls.cert_serial"),
        fingerprint: certificate.text("tls.cert_fingerprint"),
        sni: asked.value("tls.sni"),
        version,
        not_before_s: certificate.number("tls_cert_notbefore"),
        not_after_s: certificate.number("tls_cert_notafter"),
        ja3: (asked.text("ja3.string"), asked.text("ja3.hash")),
        ja3s: (answered.text("ja3s.string"), answered.text("ja3s.hash")),
        ja4: asked.text("ja4.hash"),
    }
}

fn http<'a>(asked: &'a Said, answered: &'a Said) -> eve::Http<'a> {
    eve::Http {
        hostname: asked.value("http.host"),
        port: port(asked),
        url: asked.value("http.uri.raw"),
        user_agent: asked.value("http.user_agent"),
        content_type: before_parameters(answered.value("http.content_type")),
        referer: asked.value("http.referer"),
        method: asked.value("http.method"),
        protocol: asked.value("http.protocol"),
        status: answered.text("http.stat_code").parse().ok(),
        redirect: answered.value("http.location"),
        content_range: either("http.content_range", asked, answered),
        length: match answered.body_bytes {
            0 => answered.text("http.content_len").parse().unwrap_or(0),
            bytes => bytes,
        },
    }
}

fn http2<'a>(asked: &'a Said, answered: &'a Said) -> eve::Http2<'a> {
    let stream = either("http2.stream", asked, answered);
    eve::Http2 {
        request_headers: fields(asked),
        response_headers: fields(answered),
        user_agent: asked.value("http.user_agent"),
        status: answered.text("http.stat_code").parse().ok(),
        method: asked.value("http.method"),
        url: asked.value("http.uri.raw"),
        stream: std::str::from_utf8(stream)
            .ok()
            .and_then(|n| n.parse().ok()),
    }
}

fn smtp(asked: &Said) -> eve::Smtp<'_> {
    eve::Smtp {
        helo: asked.value("smtp.helo"),
        mail_from: asked.value("smtp.mail_from"),
        rcpt_to: asked.values("smtp.rcpt_to").collect(),
        email: asked.values("email").next().map(|_| eve::Email {
            from: asked.value("email.from"),
            to: asked.values("email.to").collect(),
            cc: asked.values("email.cc").collect(),
            attachments: asked.values("email.attachment").collect(),
            urls: asked.values("email.url").collect(),
        }),
    }
}

fn rfb<'a>(asked: &'a Said, answered: &'a Said) -> eve::Rfb<'a> {
    let kind = asked.number("rfb.sectype");
    eve::Rfb {
        security: kind.or(answered.number("rfb.sectype")),
        result: answered.text("rfb.secresult"),
        name: answered.value("rfb.name"),
    }
}

fn ike(said: &Said) -> eve::Ike<'_> {
    eve::Ike {
        spis: ["ike.init_spi", "ike.resp_spi"].map(|name| said.value(name)),
        exchange: said.number("ike.exchtype"),
    }
}

fn either<'a>(name: &str, asked: &'a Said, answered: &'a Said) -> &'a [u8] {
    match asked.value(name) {
        [] => answered.value(name),
        value => value,
    }
}

/// Names and values of the fields of HTTP/2.
fn fields(said: &Said) -> Vec<(&[u8], &[u8])> {
    let all = said.values("http2.field");
    let pairs = all.filter_map(|f| {
        let at = f.iter().position(|b| *b == 0)?;
        Some((&f[..at], &f[at + 1..]))
    });
    pairs.collect()
}

/// The port that a request names: in its target, else in its field.
fn port(asked: &Said) -> Option<u16> {
    let target = asked.value("http.uri.raw");
    let of_target = match asked.value("http.method") {
        b"CONNECT" => Some(target),
        _ => uri::host(target),
    };
    let place = of_target.unwrap_or_else(|| asked.value("http.host.raw"));
    let place = place.rsplit(|b| *b == b']').next().unwrap_or(place);
    let digits = place
        .iter()
        .rposition(|b| *b == b':')
        .map(|at| &place[at + 1..]);
    std::str::from_utf8(digits?).ok()?.parse().ok()
}

fn before_parameters(value: &[u8]) -> &[u8] {
    let kind = value.split(|b| *b == b';').next().unwrap_or(value);
    kind.trim_ascii()
}

/// Numbers of which alerts keep what was said.
const NUMBERS: &[&str] = &[
    "tls_cert_notbefore",
    "tls_cert_notafter",
    "filesize",
    "rfb.sectype",
    "ike.exchtype",
];
/// Buffers of which alerts keep what was said.
pub(super) const TOLD: &[&str] = &[
    "http.host",
    "http.host.raw",
    "http.uri.raw",
    "http.user_agent",
    "http.content_type",
    "http.referer",
    "http.method",
    "http.protocol",
    "http.stat_code",
    "http.location",
    "tls.cert_subject",
    "tls.cert_issuer",
    "tls.cert_serial",
    "tls.cert_fingerprint",
    "tls.sni",
    "ja3.hash",
    "ja3.string",
    "ja3s.hash",
    "ja3s.string",
    "ja4.hash",
    "http.content_len",
    "dns.message",
    "snmp.message",
    "sip.request_line",
    "sip.response_line",
    "ssh.proto",
    "ssh.software",
    "smtp.helo",
    "smtp.mail_from",
    "smtp.rcpt_to",
    "smb.ntlmssp_user",
    "smb.ntlmssp_domain",
    "smb.named_pipe",
    "smb.share",
    "rfb.name",
    "ike.init_spi",
    "ike.resp_spi",
];
/// Bytes of one value that an alert keeps, and values of one buffer.
const TOLD_MAX: usize = 2_048;
const VALUES_MAX: usize = 8;
