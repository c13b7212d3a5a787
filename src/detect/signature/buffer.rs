//! The buffers that a rule may look into, by every name that rules use for them.

use serde::Serialize;
use std::fmt;

/// One buffer: a place in [`BUFFERS`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Buffer(u16);

/// What kind of thing fills a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BufferKind {
    /// The payload of a packet, or the stream.
    Payload,
    /// Part of one packet's headers.
    PacketHeader,
    /// Something that a parser of the application layer says, once a transaction.
    Application,
    /// The same, several times a transaction: each has its own conditions.
    Many,
    /// What was decoded by an earlier step of the same rule.
    Decoded,
    /// What alerts tell of and rules cannot name.
    Told,
}

/// What is known of a buffer.
#[derive(Debug)]
pub struct BufferInfo {
    /// The name of the sticky buffer in Suricata 7.
    pub name: &'static str,
    /// Other names of the sticky buffer.
    pub sticky: &'static [&'static str],
    /// Names of the modifier that moves the content before it here.
    pub modifier: &'static [&'static str],
    /// The flag of `pcre` that stands for it.
    pub pcre_flag: Option<char>,
    /// The application protocols that fill it; none: any.
    pub protocols: &'static [&'static str],
    /// Which direction fills it: `s` to the server, `c` to the client, `b` both.
    pub direction: char,
    /// What fills it.
    pub kind: BufferKind,
    /// What its contents may look like.
    pub(super) case: Case,
}

/// How the text of a buffer is normalised, as far as a rule must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    AsSent,
    Lower,
    /// Lower case, and a content is turned to it without a word.
    LowerQuietly,
}

/// Digits of a digest by MD5, and those of one by SHA-1 with colons.
const MD5_TEXT: usize = 32;
const SHA1_TEXT: usize = 59;

impl Buffer {
    /// The payload or stream.
    pub const PAYLOAD: Self = Self(0);

    /// The buffer of that name in Suricata 7; for constants.
    pub(super) const fn named(name: &str) -> Self {
        let mut at = 0;
        while at < BUFFERS.len() {
            if same(BUFFERS[at].name.as_bytes(), name.as_bytes()) {
                return Self(at as u16);
            }
            at += 1;
        }
        panic!("no buffer has that name")
    }

    /// Its place in the list of all.
    pub(super) fn place(self) -> usize {
        self.0.into()
    }

    /// How many there are.
    pub(super) const COUNT: usize = BUFFERS.len();

    /// Why a buffer of digests never holds a content, as Suricata has it; of what must not be there, too.
    pub(super) fn no_digest(self, pattern: &[u8]) -> Option<&'static str> {
        match self.name() {
            "ja3.hash" | "ja3s.hash" | "ssh.hassh" | "ssh.hassh.server" => {
                (pattern.len() != MD5_TEXT).then_some("a digest has 32 digits")
            }
            "tls.cert_fingerprint" => {
                let fits = pattern.len() == SHA1_TEXT && pattern.contains(&b':');
                (!fits).then_some("a fingerprint has 20 pairs of digits, with colons between them")
            }
            "tls.cert_serial" => (pattern.len() > 2 && !pattern.contains(&b':'))
                .then_some("the pairs of digits of a serial number have colons between them"),
            _ => None,
        }
    }

    /// What is known of it.
    pub fn info(self) -> &'static BufferInfo {
        &BUFFERS[usize::from(self.0)]
    }

    /// Its name in Suricata 7.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// The sticky buffer of that name.
    pub(super) fn sticky(name: &str) -> Option<Self> {
        Self::position(|b| {
            b.kind != BufferKind::Told && (b.name == name || b.sticky.contains(&name))
        })
    }

    /// The buffer of that name, those that rules cannot name with them.
    pub(super) fn told(name: &str) -> Option<Self> {
        Self::position(|b| b.name == name)
    }

    /// The buffer whose legacy modifier has that name.
    pub(super) fn modifier(name: &str) -> Option<Self> {
        Self::position(|b| b.modifier.contains(&name))
    }

    /// The buffer of a flag of `pcre`.
    pub(super) fn of_pcre_flag(flag: char) -> Option<Self> {
        Self::position(|b| b.pcre_flag == Some(flag))
    }

    /// Every buffer.
    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        (0..BUFFERS.len()).map(|n| Self(n as u16))
    }

    /// Every name of a buffer that a rule may use.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        let all = BUFFERS.iter().filter(|b| b.kind != BufferKind::Told);
        all.flat_map(|b| {
            [b.name]
                .into_iter()
                .chain(b.sticky.iter().chain(b.modifier).copied())
        })
    }

    fn position(is: impl Fn(&BufferInfo) -> bool) -> Option<Self> {
        let at = BUFFERS.iter().position(is)?;
        u16::try_from(at).ok().map(Self)
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut at = 0;
    while at < a.len() && at < b.len() && a[at] == b[at] {
        at += 1;
    }
    a.len() == b.len() && at == a.len()
}

const fn row(
    name: &'static str,
    sticky: &'static [&'static str],
    modifier: &'static [&'static str],
    protocols: &'static [&'static str],
    direction: char,
    kind: BufferKind,
) -> BufferInfo {
    BufferInfo {
        name,
        sticky,
        modifier,
        pcre_flag: None,
        protocols,
        direction,
        kind,
        case: Case::AsSent,
    }
}

const fn http(
    name: &'static str,
    sticky: &'static [&'static str],
    modifier: &'static [&'static str],
    flag: char,
    direction: char,
) -> BufferInfo {
    BufferInfo {
        pcre_flag: if flag == '-' { None } else { Some(flag) },
        ..row(
            name,
            sticky,
            modifier,
            HTTP,
            direction,
            BufferKind::Application,
        )
    }
}

const fn cased(info: BufferInfo, case: Case) -> BufferInfo {
    BufferInfo { case, ..info }
}

const fn app(
    name: &'static str,
    sticky: &'static [&'static str],
    protocols: &'static [&'static str],
    direction: char,
) -> BufferInfo {
    row(
        name,
        sticky,
        &[],
        protocols,
        direction,
        BufferKind::Application,
    )
}

const fn many(
    name: &'static str,
    sticky: &'static [&'static str],
    protocols: &'static [&'static str],
    direction: char,
) -> BufferInfo {
    row(name, sticky, &[], protocols, direction, BufferKind::Many)
}

const fn header(name: &'static str) -> BufferInfo {
    row(name, &[], &[], &[], 'b', BufferKind::PacketHeader)
}

const HTTP: &[&str] = &["http"];
const DNS: &[&str] = &["dns", "mdns"];
const TLS: &[&str] = &["tls"];
const HELLO: &[&str] = &["tls", "quic"];
const SSH: &[&str] = &["ssh"];
const SIP: &[&str] = &["sip"];
const KRB5: &[&str] = &["krb5"];
const MQTT: &[&str] = &["mqtt"];
const QUIC: &[&str] = &["quic"];
/// Protocols that carry files.
pub(super) const FILES: &[&str] = &["http", "http2", "smtp", "ftp", "ftp-data", "smb", "nfs"];

#[rustfmt::skip]
const BUFFERS: &[BufferInfo] = &[
    row("pkt_data", &[], &[], &[], 'b', BufferKind::Payload),
    http("http.uri", &[], &["http_uri"], 'U', 's'),
    http("http.uri.raw", &[], &["http_raw_uri"], 'I', 's'),
    http("http.method", &[], &["http_method"], 'M', 's'),
    http("http.protocol", &["http_protocol"], &[], '-', 'b'),
    http("http.request_line", &["http_request_line"], &[], '-', 's'),
    http("http.request_body", &[], &["http_client_body"], 'P', 's'),
    http("http.header", &[], &["http_header"], 'H', 'b'),
    http("http.header.raw", &[], &["http_raw_header"], 'D', 'b'),
    http("http.cookie", &[], &["http_cookie"], 'C', 'b'),
    http("http.user_agent", &[], &["http_user_agent"], 'V', 's'),
    cased(http("http.host", &[], &["http_host"], 'W', 's'), Case::Lower),
    http("http.host.raw", &[], &["http_raw_host"], 'Z', 's'),
    http("http.accept", &["http_accept"], &[], '-', 's'),
    http("http.accept_lang", &["http_accept_lang"], &[], '-', 's'),
    http("http.accept_enc", &["http_accept_enc"], &[], '-', 's'),
    http("http.referer", &["http_referer"], &[], '-', 's'),
    http("http.connection", &["http_connection"], &[], '-', 'b'),
    http("http.content_type", &["http_content_type"], &[], '-', 'b'),
    http("http.content_len", &["http_content_len"], &[], '-', 'b'),
    http("http.start", &["http_start"], &[], '-', 'b'),
    http("http.header_names", &["http_header_names"], &[], '-', 'b'),
    many("http.request_header", &["http_request_header"], HTTP, 's'),
    http("http.stat_code", &[], &["http_stat_code"], 'S', 'c'),
    http("http.stat_msg", &[], &["http_stat_msg"], 'Y', 'c'),
    http("http.response_line", &["http_response_line"], &[], '-', 'c'),
    http("http.response_body", &[], &["http_server_body"], 'Q', 'c'),
    http("http.server", &["http_server"], &[], '-', 'c'),
    http("http.location", &["http_location"], &[], '-', 'c'),
    many("http.response_header", &["http_response_header"], HTTP, 'c'),
    many("http2.header_name", &[], &["http2"], 'b'),
    app("file.data", &["file_data"], FILES, 'b'),
    app("file.name", &[], FILES, 'b'),
    many("dns.query", &["dns_query"], DNS, 's'),
    many("dns.query.name", &[], DNS, 'b'),
    many("dns.queries.rrname", &[], DNS, 'b'),
    many("dns.answer.name", &[], DNS, 'b'),
    many("dns.answers.rrname", &[], DNS, 'c'),
    app("tls.sni", &["tls_sni"], HELLO, 's'),
    app("tls.cert_subject", &["tls_cert_subject"], TLS, 'b'),
    app("tls.cert_issuer", &["tls_cert_issuer"], TLS, 'b'),
    app("tls.cert_serial", &["tls_cert_serial"], TLS, 'b'),
    cased(app("tls.cert_fingerprint", &["tls_cert_fingerprint"], TLS, 'b'), Case::LowerQuietly),
    many("tls.certs", &["tls_certs"], TLS, 'b'),
    many("tls.subjectaltname", &[], TLS, 'c'),
    many("tls.alpn", &[], TLS, 'b'),
    app("tls.random", &[], TLS, 'b'),
    app("tls.random_time", &[], TLS, 'b'),
    app("tls.random_bytes", &[], TLS, 'b'),
    cased(app("ja3.hash", &["ja3_hash"], HELLO, 's'), Case::LowerQuietly),
    app("ja3.string", &["ja3_string"], HELLO, 's'),
    cased(app("ja3s.hash", &["ja3s_hash"], HELLO, 'c'), Case::LowerQuietly),
    app("ja3s.string", &[], HELLO, 'c'),
    cased(app("ja4.hash", &["ja4_hash"], HELLO, 's'), Case::LowerQuietly),
    app("ssh.proto", &["ssh_proto"], SSH, 'b'),
    app("ssh.software", &["ssh_software"], SSH, 'b'),
    cased(app("ssh.hassh", &[], SSH, 's'), Case::LowerQuietly),
    app("ssh.hassh.string", &[], SSH, 's'),
    cased(app("ssh.hassh.server", &[], SSH, 'c'), Case::LowerQuietly),
    app("ssh.hassh.server.string", &[], SSH, 'c'),
    app("smb.named_pipe", &["smb_named_pipe"], &["smb"], 's'),
    app("smb.share", &["smb_share"], &["smb"], 's'),
    app("smb.ntlmssp_user", &["smb_ntlmssp_user"], &["smb"], 's'),
    app("smb.ntlmssp_domain", &["smb_ntlmssp_domain"], &["smb"], 's'),
    app("dcerpc.stub_data", &["dce_stub_data"], &["dcerpc", "smb"], 'b'),
    many("krb5.cname", &["krb5_cname"], KRB5, 'b'),
    many("krb5.sname", &["krb5_sname"], KRB5, 'b'),
    app("snmp.community", &["snmp_community"], &["snmp"], 'b'),
    app("snmp.usm", &["snmp_usm"], &["snmp"], 'b'),
    app("sip.method", &[], SIP, 's'),
    app("sip.uri", &[], SIP, 's'),
    app("sip.protocol", &[], SIP, 'b'),
    app("sip.request_line", &[], SIP, 's'),
    app("sip.stat_code", &[], SIP, 'c'),
    app("sip.stat_msg", &[], SIP, 'c'),
    app("sip.response_line", &[], SIP, 'c'),
    app("rfb.name", &[], &["rfb"], 'b'),
    app("mqtt.connect.clientid", &[], MQTT, 's'),
    app("mqtt.connect.username", &[], MQTT, 's'),
    app("mqtt.connect.password", &[], MQTT, 's'),
    app("mqtt.connect.willtopic", &[], MQTT, 's'),
    app("mqtt.connect.willmessage", &[], MQTT, 's'),
    app("mqtt.connect.protocol_string", &[], MQTT, 's'),
    app("mqtt.publish.topic", &[], MQTT, 'b'),
    app("mqtt.publish.message", &[], MQTT, 'b'),
    many("mqtt.subscribe.topic", &[], MQTT, 's'),
    many("mqtt.unsubscribe.topic", &[], MQTT, 's'),
    many("quic.cyu.hash", &[], QUIC, 'b'),
    many("quic.cyu.string", &[], QUIC, 'b'),
    app("quic.sni", &[], QUIC, 's'),
    app("quic.ua", &[], QUIC, 's'),
    app("quic.version", &[], QUIC, 'b'),
    app("ike.init_spi", &[], &["ike"], 'b'),
    app("ike.resp_spi", &[], &["ike"], 'b'),
    app("ike.nonce_payload", &[], &["ike"], 'b'),
    app("ike.key_exchange_payload", &[], &["ike"], 'b'),
    many("ike.vendor", &[], &["ike"], 'b'),
    app("dnp3.data", &["dnp3_data"], &["dnp3"], 'b'),
    app("ftp.command", &[], &["ftp"], 's'),
    app("ftp.command_data", &[], &["ftp"], 's'),
    many("ftp.reply", &[], &["ftp"], 'c'),
    app("smtp.helo", &[], &["smtp"], 's'),
    app("smtp.mail_from", &[], &["smtp"], 's'),
    many("smtp.rcpt_to", &[], &["smtp"], 's'),
    app("pgsql.query", &[], &["pgsql"], 's'),
    row("base64_data", &["base64.data"], &[], &[], 'b', BufferKind::Decoded),
    header("tcp.hdr"),
    header("udp.hdr"),
    header("ipv4.hdr"),
    header("ipv6.hdr"),
    header("icmpv4.hdr"),
    header("icmpv6.hdr"),
    header("ip.src"),
    header("ip.dst"),
    row("dns.message", &[], &[], DNS, 'b', BufferKind::Told),
    row("snmp.message", &[], &[], &["snmp"], 'b', BufferKind::Told),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_and_flags_are_unambiguous() {
        let names: Vec<&str> = Buffer::names().collect();
        let distinct: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), distinct.len());
        assert_eq!(Buffer::sticky("pkt_data"), Some(Buffer::PAYLOAD));
        assert_eq!(
            Buffer::sticky("file_data").map(Buffer::name),
            Some("file.data")
        );
        assert_eq!(
            Buffer::modifier("http_client_body").map(Buffer::name),
            Some("http.request_body")
        );
        assert_eq!(Buffer::sticky("http_uri"), None);
        assert_eq!(
            Buffer::of_pcre_flag('W').map(Buffer::name),
            Some("http.host")
        );
    }
}
