//! What makes a rule slow, or keeps it from ever firing.

use super::buffer::{Buffer, BufferKind};
use super::rule::{FastPattern, Flow, Rule, Step, Test};
use serde::Serialize;
use std::fmt;

/// Something that the author of a rule should know; the rule is loaded all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// Nothing can be looked for first: every packet or transaction is confirmed.
    NoPrefilter,
    /// What is looked for first is that short.
    ShortPrefilter(usize),
    /// An expression with nothing before it that narrows where it runs.
    LonePcre,
    /// An expression that repeats without bound what itself repeats so, or skips any bytes twice.
    UnboundedPcre,
    /// Nothing is asked but a packet.
    Everything,
    /// A condition counts from the last match and there is none before it.
    RelativeToNothing(String),
    /// A bit is asked that no rule of the set sets.
    BitNeverSet(String),
    /// A class that `classification.config` does not have.
    UnknownClass(String),
    /// A system that `reference.config` does not have.
    UnknownReference(String),
    /// Several rules have its sid; where it is listed first.
    SharedSid(String, u32),
    /// The rule neither alerts nor changes anything.
    NoEffect,
    /// An event is asked that nothing here raises.
    NeverRaised(String),
    /// A buffer or a fact of an application protocol is asked that no parser here tells.
    NeverTold(String),
    /// A list is to be written to a file: what rules add to it is kept in memory alone.
    NotSaved(String),
    /// A keyword that asks for something that a sensor does not do.
    NotDone(&'static str, &'static str),
    /// A keyword that Suricata 7 does not know, so that it refuses the rule.
    OfLater(String),
}

impl Warning {
    /// Whether the rule can never fire.
    pub fn never_fires(&self) -> bool {
        matches!(
            self,
            Self::BitNeverSet(_) | Self::NoEffect | Self::NeverRaised(_) | Self::NeverTold(_)
        )
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPrefilter => f.write_str("slow: no content to look for first"),
            Self::ShortPrefilter(n) => write!(f, "slow: what is looked for first has {n} byte(s)"),
            Self::LonePcre => f.write_str("slow: a pcre without a content"),
            Self::UnboundedPcre => f.write_str(
                "slow: an unbounded pcre, which repeats what repeats or skips any bytes twice",
            ),
            Self::Everything => f.write_str("slow: every packet matches, nothing is asked of it"),
            Self::RelativeToNothing(k) => write!(
                f,
                "{k} counts from the last match and there is none before it"
            ),
            Self::BitNeverSet(bit) => write!(f, "never fires: no rule sets the bit {bit}"),
            Self::UnknownClass(c) => write!(f, "the class {c} is not in classification.config"),
            Self::UnknownReference(r) => write!(f, "the system {r} is not in reference.config"),
            Self::SharedSid(file, line) => write!(
                f,
                "has the sid of {file}:{line}: Suricata keeps the first only"
            ),
            Self::NoEffect => f.write_str("never fires: it raises no alert and changes nothing"),
            Self::NeverRaised(event) => {
                write!(f, "never fires: nothing here raises the event {event}")
            }
            Self::NeverTold(name) => write!(f, "never fires: no parser here tells {name}"),
            Self::NotSaved(name) => write!(
                f,
                "what is added to the list {name} is kept in memory and not written to a file"
            ),
            Self::OfLater(keyword) => write!(
                f,
                "{keyword} is of a later Suricata: version 7 refuses the rule"
            ),
            Self::NotDone(keyword, why) => write!(f, "{keyword} does nothing here: {why}"),
        }
    }
}

/// The warnings of one rule by itself.
pub(super) fn of(rule: &Rule) -> Vec<Warning> {
    let mut warnings = vec![];
    let has_steps = rule.groups.iter().any(|g| !g.steps.is_empty());
    match rule.prefilter.map(|(g, s)| &rule.groups[g].steps[s]) {
        Some(Step::Content(content)) => {
            let length = match content.fast_pattern {
                Some(FastPattern::Part(_, length)) => usize::from(length),
                _ => content.pattern.len(),
            };
            let of_payload = rule.groups.iter().all(|g| g.buffer == Buffer::PAYLOAD);
            if length < PREFILTER_MIN && of_payload || length < BUFFER_PREFILTER_MIN {
                warnings.push(Warning::ShortPrefilter(length));
            }
        }
        _ if has_steps => warnings.push(Warning::NoPrefilter),
        _ if is_everything(rule) => warnings.push(Warning::Everything),
        _ => {}
    }
    let is_pcre = |s: &Step| matches!(s, Step::Pcre(_));
    let mut steps = rule.groups.iter().flat_map(|g| &g.steps);
    if steps.any(is_pcre) && rule.contents().next().is_none() {
        warnings.push(Warning::LonePcre);
    }
    let mut steps = rule.groups.iter().flat_map(|g| &g.steps);
    if steps.any(|s| matches!(s, Step::Pcre(p) if is_unbounded(&p.text))) {
        warnings.push(Warning::UnboundedPcre);
    }
    for group in &rule.groups {
        warnings.extend(
            group
                .steps
                .first()
                .and_then(relative_name)
                .map(Warning::RelativeToNothing),
        );
    }
    warnings.extend(never_told(rule));
    if rule.noalert && rule.changes.is_empty() {
        warnings.push(Warning::NoEffect);
    }
    warnings
}

/// Whether every packet of its protocol matches.
fn is_everything(rule: &Rule) -> bool {
    let h = &rule.header;
    let places = [
        &h.source,
        &h.destination,
        &h.source_ports,
        &h.destination_ports,
    ];
    let any = places.iter().all(|list| list.is_any());
    let silent = rule.tests.is_empty() && rule.asks.is_empty() && rule.groups.is_empty();
    any && silent && rule.flow == Flow::default()
}

/// Whether an expression repeats without bound a group with something in it that does so, or skips any bytes so more than once: what such
/// ones cost grows with a power of the length.
fn is_unbounded(text: &str) -> bool {
    let bytes = text.as_bytes();
    // of each group that is open: something in it repeats without bound
    let mut open = vec![false];
    let (mut at, mut skips, mut in_class) = (0, 0, false);
    while let Some(&byte) = bytes.get(at) {
        let repeats = |n: usize| match bytes.get(n) {
            // possessive ones give nothing back
            Some(b'*' | b'+') => bytes.get(n + 1) != Some(&b'+'),
            Some(b'{') => {
                let end = bytes[n..].iter().position(|b| *b == b'}');
                end.is_some_and(|end| bytes[n + end - 1] == b',')
            }
            _ => false,
        };
        match byte {
            b'\\' => at += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            _ if in_class => {}
            b'(' => open.push(false),
            b')' => {
                let inner = open.pop().unwrap_or_default();
                let again = repeats(at + 1);
                if inner && again {
                    return true;
                }
                if let Some(outer) = open.last_mut() {
                    *outer |= inner || again;
                }
            }
            b'*' | b'+' | b'?' | b'{' | b'}' => {
                at += 1;
                continue;
            }
            b'.' if repeats(at + 1) => skips += 1,
            _ => {}
        }
        if !matches!(byte, b'(' | b')') && repeats(at + 1) {
            open.iter_mut().last().into_iter().for_each(|g| *g = true);
        }
        at += 1;
    }
    skips > 1
}

/// What a rule asks that nobody tells.
fn never_told(rule: &Rule) -> impl Iterator<Item = Warning> {
    let buffers = rule.groups.iter().map(|g| g.buffer);
    let of_parsers = |b: &Buffer| {
        let kind = b.info().kind;
        matches!(kind, BufferKind::Application | BufferKind::Many)
    };
    let buffers = buffers.filter(of_parsers).map(Buffer::name);
    let buffers = buffers
        .filter(|name| UNTOLD.contains(name))
        .map(|name| Warning::NeverTold(name.to_owned()));
    let tests = rule.tests.iter().filter_map(|test| match test {
        Test::Event("app-layer-event", name) => {
            (!RAISED.contains(&name.as_str())).then(|| Warning::NeverRaised(name.clone()))
        }
        Test::Event(kind, name) => {
            let is_raised = super::engine::packet_events().any(|e| e == name);
            (!is_raised).then(|| Warning::NeverRaised(format!("{kind}:{name}")))
        }
        Test::Number(name, _)
        | Test::Word(name, ..)
        | Test::Flag(name)
        | Test::AnyNumber(name, _)
        | Test::Digest(name, ..) => {
            let is_of_parsers = !super::keyword::protocols_of(name).is_empty();
            (is_of_parsers && !TOLD.contains(name)).then(|| Warning::NeverTold((*name).to_owned()))
        }
        _ => None,
    });
    buffers.chain(tests).collect::<Vec<_>>().into_iter()
}

fn relative_name(step: &Step) -> Option<String> {
    let name = match step {
        Step::Content(c) if c.distance.is_some() || c.within.is_some() => "content",
        Step::Pcre(p) if p.relative => "pcre",
        Step::ByteTest(b) if b.relative => "byte_test",
        Step::IsDataAt(b) if b.relative => "isdataat",
        _ => return None,
    };
    Some(name.to_owned())
}

const PREFILTER_MIN: usize = 3;
/// Of what parsers tell there is less to look at.
const BUFFER_PREFILTER_MIN: usize = 2;
/// Events of applications that are raised.
#[rustfmt::skip]
pub(super) const RAISED: &[&str] = &[
    "http.request_auth_unrecognized", "http.request_line_leading_whitespace", "http.method_delim_non_compliant",
    "http.uri_delim_non_compliant", "http.missing_host_header", "http.host_header_ambiguous",
    "http.request_header_host_invalid", "http.request_uri_host_invalid", 
    "http.unable_to_match_response_to_request", "http.response_invalid_protocol", "http.response_invalid_status",
    "http.response_chunked_old_proto", "http.response_abnormal_transfer_encoding", "http.response_multipart_byteranges",
    "http.request_field_missing_colon", "http.invalid_request_field_folding",
    "http.invalid_content_length_field_in_request", "http.duplicate_content_length_field_in_request",
    "http.response_field_missing_colon", "http.invalid_response_field_folding",
    "http.invalid_content_length_field_in_response", "http.duplicate_content_length_field_in_response",
    "modbus.invalid_protocol_id", "modbus.invalid_length", "modbus.invalid_function_code", "modbus.invalid_exception_code",
    "dhcp.truncated_options", "dns.z_flag_set", "dns.invalid_opcode", "dns.not_request", "dns.not_response",
    "dns.malformed_data", "ftp.request_command_too_long", "ftp.response_command_too_long", "krb5.weak_encryption",
    "mqtt.double_connect",
];
/// Buffers that no parser fills.
pub(super) const UNTOLD: &[&str] = &[
    "pgsql.query",
    "quic.cyu.hash",
    "quic.cyu.string",
    "quic.ua",
    "quic.version",
];
/// Facts beside buffers that parsers tell.
const TOLD: &[&str] = &[
    "dce_iface",
    "dce_opnum",
    "dnp3_func",
    "dnp3_ind",
    "dnp3_obj",
    "enip_command",
    "nfs_procedure",
    "nfs_version",
    "rfb.sectype",
    "rfb.secresult",
    "ike.exchtype",
    "ike.key_exchange_payload_length",
    "ike.nonce_payload_length",
    "dhcp.leasetime",
    "dhcp.rebinding_time",
    "dhcp.renewal_time",
    "http2.frametype",
    "http2.errorcode",
    "http2.priority",
    "http2.settings",
    "http2.window",
    "mqtt.flags",
    "ftpbounce",
    "ftpdata_command",
    "filesize",
    "filestore",
    "filemd5",
    "filesha1",
    "filesha256",
    "dns.opcode",
    "dns.rcode",
    "dns.rrtype",
    "tls_cert_notafter",
    "tls_cert_notbefore",
    "tls_cert_expired",
    "tls_cert_valid",
    "tls.version",
    "tls.cert_chain_len",
    "tls_cert_chain_len",
    "ssl_state",
    "ssl_version",
    "ssh.protoversion",
    "ssh.softwareversion",
    "krb5_msg_type",
    "krb5.msg_type",
    "krb5_err_code",
    "krb5.ticket_encryption",
    "krb5.weak_encryption",
    "snmp.version",
    "snmp.pdu_type",
    "mqtt.type",
    "mqtt.qos",
    "mqtt.protocol_version",
    "mqtt.connect.flags",
    "mqtt.connack.session_present",
    "mqtt.reason_code",
];

#[cfg(test)]
mod tests {
    use super::super::keyword::testing::rule;
    use super::*;

    const PARSERS: &[&str] = &[
        include_str!("engine/talk/asn.rs"),
        include_str!("engine/talk/dce.rs"),
        include_str!("engine/talk/dns.rs"),
        include_str!("engine/talk/files.rs"),
        include_str!("engine/talk/frames.rs"),
        include_str!("engine/talk/ftp.rs"),
        include_str!("engine/talk/heads.rs"),
        include_str!("engine/talk/http.rs"),
        include_str!("engine/talk/industry.rs"),
        include_str!("engine/talk/mail.rs"),
        include_str!("engine/talk/mime.rs"),
        include_str!("engine/talk/mod.rs"),
        include_str!("engine/talk/mqtt.rs"),
        include_str!("engine/talk/remote.rs"),
        include_str!("engine/talk/sip.rs"),
        include_str!("engine/talk/smb.rs"),
        include_str!("engine/talk/ssh.rs"),
        include_str!("engine/talk/tls.rs"),
    ];

    #[test]
    fn every_buffer_is_filled_by_a_parser_or_known_not_to_be() {
        let is_filled = |name: &str| {
            let named = format!("Buffer::named(\"{name}\")");
            PARSERS.iter().any(|text| text.contains(&named))
        };
        let mut seen = 0;
        for buffer in Buffer::all() {
            let info = buffer.info();
            if matches!(info.kind, BufferKind::Application | BufferKind::Many) {
                let name = buffer.name();
                assert_ne!(is_filled(name), UNTOLD.contains(&name), "{name}");
                seen += 1;
            }
        }
        assert!(seen > 80, "{seen}");
    }

    #[test]
    fn every_fact_that_is_told_is_in_a_parser() {
        for name in TOLD.iter().chain(RAISED) {
            let quoted = format!("\"{name}\"");
            let is_there = PARSERS.iter().any(|text| text.contains(&quoted));
            assert!(is_there, "{name}");
        }
    }

    #[test]
    fn what_makes_rules_slow_is_told() {
        let slow = |protocol: &str, options: &str| {
            let rule = rule(protocol, options).expect(options);
            let all = rule.warnings.iter().map(ToString::to_string);
            let slow = all.filter(|w| w.starts_with("slow: "));
            slow.map(|w| w["slow: ".len()..].chars().take(12).collect())
                .collect::<Vec<String>>()
        };
        assert_eq!(
            slow("tcp", "content:\"abcd\"; pcre:\"/(a+)+b.*c.*/\";"),
            ["an unbounded"]
        );
        assert_eq!(
            slow("tcp", "content:\"abcd\"; pcre:\"/x.*y.+z/s\";"),
            ["an unbounded"]
        );
        assert_eq!(
            slow("tcp", "content:\"abcd\"; pcre:\"/(?:[a-z]+\\d{2,})*x/\";"),
            ["an unbounded"]
        );
        for fine in [
            "/a.*b/",
            "/(ab)+c+/",
            "/[.*]+\\.*\\(a+\\)+/",
            "/(a{1,5}){2,}/",
            "/(a++b)*c/",
        ] {
            let options = format!("content:\"abcd\"; pcre:\"{fine}\";");
            assert_eq!(slow("tcp", &options), [""; 0], "{fine}");
        }
        assert_eq!(slow("http", "http.uri; content:\"/\";"), ["what is look"]);
        assert_eq!(slow("http", "http.method; content:\"GET\";"), [""; 0]);
        assert_eq!(slow("ip", ""), ["every packet"]);
        assert_eq!(slow("icmp", "itype:8;"), [""; 0]);
    }

    #[test]
    fn rules_about_what_nobody_tells_never_fire() {
        let never = |protocol: &str, options: &str| {
            let rule = rule(protocol, options).expect(options);
            rule.warnings.iter().any(Warning::never_fires)
        };
        assert!(never("pgsql", "pgsql.query; content:\"abcd\";"));
        assert!(!never("smb", "smb.share; content:\"abcd\";"));
        assert!(never("ip", "decode-event:ipv4.no_such_thing;"));
        assert!(!never("pkthdr", "decode-event:ipv4.pkt_too_small;"));
        assert!(!never("tcp", "stream-event:est_syn_resend;"));
        assert!(never("ip", "app-layer-event:http.no_such_thing;"));
        assert!(!never("modbus", "modbus:function 3;"));
        assert!(never("enip", "cip_service:1;"));
        assert!(!never(
            "ip",
            "app-layer-event:http.request_auth_unrecognized;"
        ));
        assert!(!never(
            "krb5",
            "krb5_cname; content:\"abcd\"; krb5_msg_type:30;"
        ));
        assert!(!never("dns", "dns.query; content:\"abcd\"; dns.opcode:4;"));
    }
}
