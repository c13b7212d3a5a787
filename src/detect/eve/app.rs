//! What an alert says of the application layer.

use super::rare::{FtpData, Sip, Snmp};
use super::text::{lossless, optional, seconds, text};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// What the application layer says of the transaction.
#[derive(Debug, Clone, Default)]
pub enum App<'a> {
    /// Nothing.
    #[default]
    None,
    /// HTTP.
    Http(Http<'a>),
    /// HTTP/2.
    Http2(Http2<'a>),
    /// DNS.
    Dns(Dns),
    /// TLS.
    Tls(Tls<'a>),
    /// SSH: the client and the server.
    Ssh([SshSide<'a>; 2]),
    /// SMTP.
    Smtp(Smtp<'a>),
    /// SMB.
    Smb(Smb<'a>),
    /// RFB.
    Rfb(Rfb<'a>),
    /// IKE.
    Ike(Ike<'a>),
    /// SIP.
    Sip(Sip<'a>),
    /// SNMP.
    Snmp(Snmp<'a>),
    /// A file of FTP.
    FtpData(FtpData<'a>),
}

/// A transaction of HTTP.
#[derive(Debug, Clone, Default)]
pub struct Http<'a> {
    /// Host, without port.
    pub hostname: &'a [u8],
    /// Port of the host field.
    pub port: Option<u16>,
    /// Request target as sent.
    pub url: &'a [u8],
    /// User-Agent.
    pub user_agent: &'a [u8],
    /// Content-Type of the response, without parameters.
    pub content_type: &'a [u8],
    /// Referer.
    pub referer: &'a [u8],
    /// Method.
    pub method: &'a [u8],
    /// Protocol of the request line.
    pub protocol: &'a [u8],
    /// Status code.
    pub status: Option<u16>,
    /// Location of a redirect.
    pub redirect: &'a [u8],
    /// Content-Range.
    pub content_range: &'a [u8],
    /// Bytes of the response body so far.
    pub length: u64,
}

/// A transaction of HTTP/2.
#[derive(Debug, Clone, Default)]
pub struct Http2<'a> {
    /// Names and values of the request's fields.
    pub request_headers: Vec<(&'a [u8], &'a [u8])>,
    /// Those of the response.
    pub response_headers: Vec<(&'a [u8], &'a [u8])>,
    /// User-Agent.
    pub user_agent: &'a [u8],
    /// Status code.
    pub status: Option<u16>,
    /// Method.
    pub method: &'a [u8],
    /// Path as sent.
    pub url: &'a [u8],
    /// Stream identifier.
    pub stream: Option<u32>,
}

/// A transaction of DNS.
#[derive(Debug, Clone, Default)]
pub struct Dns {
    /// What was asked.
    pub query: Option<DnsMessage>,
    /// What was answered.
    pub answer: Option<DnsMessage>,
}

/// A message of DNS.
#[derive(Debug, Clone, Default)]
pub struct DnsMessage {
    /// Id.
    pub id: u16,
    /// The second word of its header.
    pub flags: u16,
    /// Names and types that are asked for.
    pub questions: Vec<(Vec<u8>, u16)>,
    /// Records of the answer.
    pub answers: Vec<DnsAnswer>,
}

/// A record of DNS.
#[derive(Debug, Clone, Default)]
pub struct DnsAnswer {
    /// Its name.
    pub name: Vec<u8>,
    /// Its type.
    pub kind: u16,
    /// How long it holds, seconds.
    pub ttl: u32,
    /// Its data as text, where that is known.
    pub data: Option<Vec<u8>>,
}

/// One side of SSH.
#[derive(Debug, Clone, Copy, Default)]
pub struct SshSide<'a> {
    /// Version of the protocol.
    pub protocol: &'a [u8],
    /// Software.
    pub software: &'a [u8],
}

/// A transaction of SMTP.
#[derive(Debug, Clone, Default)]
pub struct Smtp<'a> {
    /// What the client calls itself.
    pub helo: &'a [u8],
    /// Who sends.
    pub mail_from: &'a [u8],
    /// To whom.
    pub rcpt_to: Vec<&'a [u8]>,
    /// The message, once there is one.
    pub email: Option<Email<'a>>,
}

/// A message of SMB: what rules look into.
#[derive(Debug, Clone, Default)]
pub struct Smb<'a> {
    /// Who logs on.
    pub user: &'a [u8],
    /// And where.
    pub domain: &'a [u8],
    /// The pipe that is opened.
    pub named_pipe: &'a [u8],
    /// The share.
    pub share: &'a [u8],
}

/// RFB: what rules look into.
#[derive(Debug, Clone, Default)]
pub struct Rfb<'a> {
    /// Number of the way to authenticate.
    pub security: Option<u64>,
    /// What came of it.
    pub result: &'a str,
    /// Name of the screen.
    pub name: &'a [u8],
}

/// A message of IKE: what rules look into.
#[derive(Debug, Clone, Default)]
pub struct Ike<'a> {
    /// What the two sides call it.
    pub spis: [&'a [u8]; 2],
    /// Type of the exchange.
    pub exchange: Option<u64>,
}

/// What a mail says in its head, and what is in it.
#[derive(Debug, Clone, Default)]
pub struct Email<'a> {
    /// From.
    pub from: &'a [u8],
    /// To, each.
    pub to: Vec<&'a [u8]>,
    /// Cc, each.
    pub cc: Vec<&'a [u8]>,
    /// Names of the files that it carries.
    pub attachments: Vec<&'a [u8]>,
    /// Addresses in its texts, without their schemes.
    pub urls: Vec<&'a [u8]>,
}

/// A file.
#[derive(Debug, Clone, Copy, Default)]
pub struct File<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// All of it came.
    pub is_closed: bool,
    /// MD5, where it was made.
    pub md5: Option<&'a [u8]>,
    /// Bytes so far.
    pub size: u64,
    /// Number of its transaction.
    pub tx_id: Option<u64>,
}

/// A session of TLS.
#[derive(Debug, Clone, Default)]
pub struct Tls<'a> {
    /// Subject of the server's certificate.
    pub subject: &'a str,
    /// Its issuer.
    pub issuer: &'a str,
    /// Its serial number.
    pub serial: &'a str,
    /// SHA-1 of it, bytes in hexadecimal between colons.
    pub fingerprint: &'a str,
    /// Server name that was asked for.
    pub sni: &'a [u8],
    /// Version (`1.2`).
    pub version: &'a str,
    /// From when the certificate holds, seconds since 1970 UTC.
    pub not_before_s: Option<u64>,
    /// Until when.
    pub not_after_s: Option<u64>,
    /// JA3, its text and its hash.
    pub ja3: (&'a str, &'a str),
    /// JA3S, likewise.
    pub ja3s: (&'a str, &'a str),
    /// JA4.
    pub ja4: &'a str,
}

impl Serialize for Http<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "hostname", self.hostname)?;
        optional(&mut map, "http_port", self.port)?;
        text(&mut map, "url", self.url)?;
        text(&mut map, "http_user_agent", self.user_agent)?;
        text(&mut map, "http_content_type", self.content_type)?;
        text(&mut map, "http_refer", self.referer)?;
        text(&mut map, "http_method", self.method)?;
        text(&mut map, "protocol", self.protocol)?;
        optional(&mut map, "status", self.status)?;
        text(&mut map, "redirect", self.redirect)?;
        if !self.content_range.is_empty() {
            map.serialize_entry("content_range", &Range(self.content_range))?;
        }
        map.serialize_entry("length", &self.length)?;
        map.end()
    }
}

/// `bytes 5-9/100`: as it is, and what of it are numbers.
struct Range<'a>(&'a [u8]);

impl Serialize for Range<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "raw", self.0)?;
        let said = lossless(self.0);
        let (unit, rest) = said.trim().split_once(' ').unwrap_or_default();
        let (places, size) = rest.split_once('/').unwrap_or_default();
        let (start, end) = places.split_once('-').unwrap_or_default();
        for (key, digits) in [("start", start), ("end", end), ("size", size)] {
            let number: Option<u64> = digits.trim().parse().ok();
            optional(&mut map, key, number.filter(|_| unit == "bytes"))?;
        }
        map.end()
    }
}

impl Serialize for Http2<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = |all: &[(&'_ [u8], &'_ [u8])]| -> Vec<Field> {
            let of = |f: &(&[u8], &[u8])| Field {
                name: lossless(f.0).into_owned(),
                value: lossless(f.1).into_owned(),
            };
            all.iter().map(of).collect()
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", "2")?;
        map.serialize_entry("request_headers", &fields(&self.request_headers))?;
        map.serialize_entry("response_headers", &fields(&self.response_headers))?;
        text(&mut map, "http_user_agent", self.user_agent)?;
        optional(&mut map, "status", self.status)?;
        text(&mut map, "http_method", self.method)?;
        text(&mut map, "url", self.url)?;
        map.serialize_entry("http2", &Http2Stream(self.stream))?;
        map.end()
    }
}

#[derive(Serialize)]
struct Field {
    name: String,
    value: String,
}

/// What HTTP/2 says of the stream of a transaction.
struct Http2Stream(Option<u32>);

impl Serialize for Http2Stream {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let empty = std::collections::BTreeMap::<&str, &str>::new();
        let mut map = serializer.serialize_map(None)?;
        optional(&mut map, "stream_id", self.0)?;
        map.serialize_entry("request", &empty)?;
        map.serialize_entry("response", &empty)?;
        map.end()
    }
}

impl Serialize for Smb<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if !self.user.is_empty() || !self.domain.is_empty() {
            let (domain, user) = (lossless(self.domain), lossless(self.user));
            let who = [("domain", domain), ("user", user)];
            let who: std::collections::BTreeMap<_, _> = who.into_iter().collect();
            map.serialize_entry("ntlmssp", &who)?;
        }
        text(&mut map, "named_pipe", self.named_pipe)?;
        text(&mut map, "share", self.share)?;
        map.end()
    }
}

impl Serialize for Rfb<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.security.is_some() || !self.result.is_empty() {
            map.serialize_entry("authentication", &Authentication(self))?;
        }
        if !self.name.is_empty() {
            let name = [("name", lossless(self.name))];
            let name: std::collections::BTreeMap<_, _> = name.into_iter().collect();
            map.serialize_entry("framebuffer", &name)?;
        }
        map.end()
    }
}

struct Authentication<'a>(&'a Rfb<'a>);

impl Serialize for Authentication<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        optional(&mut map, "security_type", self.0.security)?;
        let result = self.0.result.to_ascii_uppercase();
        text(&mut map, "security_result", result.as_bytes())?;
        map.end()
    }
}

impl Serialize for Ike<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "init_spi", self.spis[0])?;
        text(&mut map, "resp_spi", self.spis[1])?;
        optional(&mut map, "exchange_type", self.exchange)?;
        map.end()
    }
}

impl Serialize for Email<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("status", "PARSE_DONE")?;
        text(&mut map, "from", self.from)?;
        for (key, all) in [
            ("to", &self.to),
            ("cc", &self.cc),
            ("attachment", &self.attachments),
            ("url", &self.urls),
        ] {
            if !all.is_empty() {
                let all: Vec<_> = all.iter().map(|a| lossless(a)).collect();
                map.serialize_entry(key, &all)?;
            }
        }
        map.end()
    }
}

impl Serialize for Tls<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "subject", self.subject.as_bytes())?;
        text(&mut map, "issuerdn", self.issuer.as_bytes())?;
        text(&mut map, "serial", self.serial.as_bytes())?;
        text(&mut map, "fingerprint", self.fingerprint.as_bytes())?;
        text(&mut map, "sni", self.sni)?;
        map.serialize_entry("version", &tls_version(self.version))?;
        for (key, time_s) in [
            ("notbefore", self.not_before_s),
            ("notafter", self.not_after_s),
        ] {
            let time = time_s.and_then(|s| i64::try_from(s).ok());
            optional(&mut map, key, time.map(seconds))?;
        }
        for (key, (string, hash)) in [("ja3", self.ja3), ("ja3s", self.ja3s)] {
            if !hash.is_empty() {
                map.serialize_entry(key, &Fingerprint { hash, string })?;
            }
        }
        text(&mut map, "ja4", self.ja4.as_bytes())?;
        map.end()
    }
}

#[derive(Serialize)]
struct Fingerprint<'a> {
    hash: &'a str,
    string: &'a str,
}

/// As Suricata names it; what nobody said is undetermined.
fn tls_version(version: &str) -> String {
    match version {
        "" => "UNDETERMINED".to_owned(),
        "1.0" => "TLSv1".to_owned(),
        ssl if ssl.starts_with("SSL") => ssl.to_owned(),
        version => format!("TLS {version}"),
    }
}

impl Serialize for File<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("filename", &lossless(self.name))?;
        map.serialize_entry("gaps", &false)?;
        map.serialize_entry("state", if self.is_closed { "CLOSED" } else { "UNKNOWN" })?;
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        optional(&mut map, "md5", self.md5.map(hex))?;
        map.serialize_entry("stored", &false)?;
        map.serialize_entry("size", &self.size)?;
        optional(&mut map, "tx_id", self.tx_id)?;
        map.end()
    }
}

impl Serialize for SshSide<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "proto_version", self.protocol)?;
        text(&mut map, "software_version", self.software)?;
        map.end()
    }
}

/// Both sides of SSH, as far as they spoke.
pub(super) struct Ssh<'a>(pub &'a [SshSide<'a>; 2]);

impl Serialize for Ssh<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, side) in ["client", "server"].into_iter().zip(self.0) {
            optional(&mut map, key, (!side.protocol.is_empty()).then_some(side))?;
        }
        map.end()
    }
}

impl Serialize for Smtp<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let path = |address: &[u8]| format!("<{}>", lossless(address));
        text(&mut map, "helo", self.helo)?;
        let from = (!self.mail_from.is_empty()).then(|| path(self.mail_from));
        optional(&mut map, "mail_from", from)?;
        if !self.rcpt_to.is_empty() {
            let to: Vec<_> = self.rcpt_to.iter().map(|a| path(a)).collect();
            map.serialize_entry("rcpt_to", &to)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{json, to_value};

    #[test]
    fn what_rarer_protocols_say() {
        let smb = Smb {
            user: b"mallory",
            domain: b"EXAMPLE",
            share: b"\\\\a\\C$",
            ..Smb::default()
        };
        let who = json!({"domain": "EXAMPLE", "user": "mallory"});
        assert_eq!(
            to_value(smb).unwrap(),
            json!({"ntlmssp": who, "share": "\\\\a\\C$"})
        );
        let rfb = Rfb {
            security: Some(2),
            result: "ok",
            name: b"DESKTOP",
        };
        let authentication = json!({"security_type": 2, "security_result": "OK"});
        assert_eq!(
            to_value(rfb).unwrap(),
            json!({"authentication": authentication, "framebuffer": {"name": "DESKTOP"}})
        );
        let ike = Ike {
            spis: [b"494e", b"0000"],
            exchange: Some(2),
        };
        assert_eq!(
            to_value(ike).unwrap(),
            json!({"init_spi": "494e", "resp_spi": "0000", "exchange_type": 2})
        );
    }
}
