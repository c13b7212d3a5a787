//! Conditions on what parsers of the application layer say, where that is no buffer and no number.

use super::super::buffer::{Buffer, FILES};
use super::super::content::{bytes_of, quoted};
use super::super::draft::Draft;
use super::super::header::application;
use super::super::rule::{Content, Step, Test};
use super::super::syntax::OptionText;
use super::super::warning::Warning;
use super::{Keyword, Need, parts};

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword { name: "app-layer-protocol", value: Need::Value, apply: protocol },
    Keyword { name: "app-layer-event", value: Need::Value, apply: event },
    word("tls.version"), word("ssl_version"), word("ssl_state"), word("ssh.protoversion"), word("ssh.softwareversion"),
    word("krb5_err_code"), word("krb5.ticket_encryption"), word("rfb.secresult"), 
    
    word("smb.version"), word("cip_service"), 
    word("snmp.pdu_type"), word("mqtt.type"), word("mqtt.flags"), word("mqtt.qos"),
    word("mqtt.reason_code"), word("mqtt.connect.flags"), word("mqtt.connack.session_present"), word("http2.frametype"),
    word("http2.errorcode"), word("http2.settings"), word("http2.size_update"), word("ike.chosen_sa_attribute"), word("ftpdata_command"),
    flag("tls_cert_expired"), flag("tls_cert_valid"), flag("ftpbounce"), flag("krb5.weak_encryption"), Keyword { name: "tls.store", value: Need::None, apply: store },
    Keyword { name: "tls_store", value: Need::None, apply: store },
    date("tls_cert_notbefore"), date("tls_cert_notafter"),
    legacy("tls.subject"), legacy("tls.issuerdn"), legacy("tls.fingerprint"), legacy("filename"), legacy("fileext"),
];

const fn word(name: &'static str) -> Keyword {
    Keyword {
        name,
        value: Need::Value,
        apply: words,
    }
}

const fn flag(name: &'static str) -> Keyword {
    Keyword {
        name,
        value: Need::None,
        apply: flags,
    }
}

const fn date(name: &'static str) -> Keyword {
    Keyword {
        name,
        value: Need::Value,
        apply: dates,
    }
}

const fn legacy(name: &'static str) -> Keyword {
    Keyword {
        name,
        value: Need::Value,
        apply: legacy_content,
    }
}

/// The family of a keyword by its beginning.
pub(super) fn protocols_of(name: &str) -> &'static [&'static str] {
    const FAMILIES: &[(&str, &[&str])] = &[
        ("tls", &["tls"]),
        ("ssl", &["tls"]),
        ("ssh", &["ssh"]),
        ("krb5", &["krb5"]),
        ("dnp3", &["dnp3"]),
        ("modbus", &["modbus"]),
        ("nfs", &["nfs"]),
        ("dce", &["dcerpc", "smb"]),
        ("smb", &["smb"]),
        ("cip", &["enip"]),
        ("enip", &["enip"]),
        ("snmp", &["snmp"]),
        ("mqtt", &["mqtt"]),
        ("http2", &["http2"]),
        ("ike", &["ike"]),
        ("rfb", &["rfb"]),
        ("ftpdata", &["ftp-data"]),
        ("ftpbounce", &["ftp"]),
        ("filestore", FILES),
        ("filemd5", FILES),
        ("filesha", FILES),
        ("sip", &["sip"]),
    ];
    let found = FAMILIES.iter().find(|(start, _)| name.starts_with(start));
    found.map_or(&[], |f| f.1)
}

fn own_name(option: &OptionText) -> &'static str {
    KEYWORDS
        .iter()
        .find(|k| k.name == option.name)
        .map_or("", |k| k.name)
}

fn words(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let name = own_name(option);
    draft.need(protocols_of(name), name)?;
    let text = option.text().into_owned();
    // of flags each has its own
    let of_flags = matches!(name, "mqtt.flags" | "mqtt.connect.flags");
    let (negated, text) = match text.strip_prefix('!').filter(|_| !of_flags) {
        Some(rest) => (true, rest),
        None => (false, text.as_str()),
    };
    let words: Vec<String> = text
        .split([',', '|'])
        .map(|w| w.trim().trim_matches('"').to_owned())
        .collect();
    if words.iter().any(String::is_empty) {
        return Err("has an empty value".to_owned());
    }
    if let Some(known) = known_words(name)
        && let Some(bad) = words
            .iter()
            .find(|w| !known.contains(&w.trim_start_matches('!').to_ascii_lowercase().as_str()))
    {
        return Err(format!("`{bad}` is none of {}", known.join(", ")));
    }
    let is_good = |word: &String| match name {
        "ssh.protoversion" => word == "2_compat" || word.starts_with(|c: char| c.is_ascii_digit()),
        "snmp.pdu_type" => !word.contains(['<', '>', '=']),
        "mqtt.reason_code" => word.parse::<u8>().is_ok(),
        _ => true,
    };
    if let Some(bad) = words.iter().find(|w| !is_good(w)) {
        return Err(format!("`{bad}` is no value of it"));
    }
    draft.rule.tests.push(Test::Word(name, negated, words));
    Ok(())
}

fn known_words(name: &str) -> Option<&'static [&'static str]> {
    match name {
        "tls.version" => Some(&["1.0", "1.1", "1.2", "1.3", "0x7f12", "0x7f16"]),
        "ssl_version" => Some(&["sslv2", "sslv3", "tls1.0", "tls1.1", "tls1.2", "tls1.3"]),
        "mqtt.qos" => Some(&["0", "1", "2"]),
        "mqtt.type" => Some(&[
            "connect",
            "connack",
            "publish",
            "puback",
            "pubrec",
            "pubrel",
            "pubcomp",
            "subscribe",
            "suback",
            "unsubscribe",
            "unsuback",
            "pingreq",
            "pingresp",
            "disconnect",
            "auth",
            "unassigned",
        ]),
        "ftpdata_command" => Some(&["retr", "stor"]),
        "rfb.secresult" => Some(&["ok", "fail", "toomany", "unknown"]),
        "mqtt.flags" => Some(&["dup", "retain"]),
        "ssl_state" => Some(&[
            "client_hello",
            "server_hello",
            "client_keyx",
            "server_keyx",
            "unknown",
        ]),
        _ => None,
    }
}

fn flags(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let name = own_name(option);
    draft.need(protocols_of(name), name)?;
    draft.rule.tests.push(Test::Flag(name));
    Ok(())
}

/// `<2024-01-01`, `>2024`, `2024-01<>2024-02`: read as words, compared by the engine.
fn dates(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let text = option.text();
    let body = text.trim().trim_start_matches(['<', '>', '!', '=']);
    let ends: Vec<&str> = body.split("<>").map(str::trim).collect();
    let good = |e: &&str| {
        let mut parts = e.splitn(2, ['T', ' ']);
        let day = parts.next().unwrap_or("");
        let digits = day
            .split('-')
            .all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()));
        digits && day.len() >= 4
    };
    if ends.len() > 2 || !ends.iter().all(good) {
        return Err(format!(
            "`{text}` is no date or pair of dates (2024-01-31, with <, > or <> )"
        ));
    }
    let name = own_name(option);
    draft.need(protocols_of(name), name)?;
    draft
        .rule
        .tests
        .push(Test::Word(name, false, vec![text.trim().to_owned()]));
    Ok(())
}

/// Certificates are not kept: the rule alerts as without it.
fn store(draft: &mut Draft<'_>, _: &OptionText) -> Result<(), String> {
    draft.need(&["tls"], "tls.store")?;
    let why = "no certificates are kept";
    draft.rule.warnings.push(Warning::NotDone("tls.store", why));
    Ok(())
}

/// Keywords that have the content in them, from before there were sticky buffers.
fn legacy_content(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let value = option.value.as_deref().unwrap_or_default();
    let (negated, text) = quoted(value)?;
    let buffer = match option.name.as_str() {
        "tls.subject" => "tls.cert_subject",
        "tls.issuerdn" => "tls.cert_issuer",
        "tls.fingerprint" => "tls.cert_fingerprint",
        _ => "file.name",
    };
    let buffer = Buffer::sticky(buffer).ok_or("no such buffer")?;
    let mut pattern = bytes_of(text)?;
    if pattern.is_empty() {
        return Err("is empty".to_owned());
    }
    let is_extension = option.name == "fileext";
    let of_file = is_extension || option.name == "filename";
    if is_extension {
        pattern.insert(0, b'.');
    }
    if of_file {
        pattern.make_ascii_lowercase();
    }
    let content = Content {
        pattern,
        negated,
        nocase: of_file,
        endswith: is_extension,
        ..Content::default()
    };
    draft.push_beside(buffer, Step::Content(content))
}

fn protocol(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let text = option.text();
    let text = text.trim();
    let (negated, text) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, text),
    };
    let name = text.trim_matches('"').trim();
    if application(name).is_none() && name != "failed" {
        return Err(format!("`{name}` is no application protocol"));
    }
    if draft.is_of_application() {
        return Err("the rule is of an application protocol already".to_owned());
    }
    let is_alone = |t: &Test| matches!(t, Test::ApplicationProtocol(false, _));
    let is_other = |t: &Test| matches!(t, Test::ApplicationProtocol(..));
    let tests = &draft.rule.tests;
    if tests.iter().any(is_alone) || !negated && tests.iter().any(is_other) {
        return Err("a protocol that is asked for stands alone".to_owned());
    }
    draft
        .rule
        .tests
        .push(Test::ApplicationProtocol(negated, name.to_owned()));
    Ok(())
}

fn event(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    let name = parts[0].to_ascii_lowercase();
    let (family, rest) = name.split_once('.').unwrap_or((&name, ""));
    let good = rest
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if !good || parts.len() > 1 {
        return Err(format!("`{name}` is no name of an event"));
    }
    if rest.is_empty() {
        if !GENERAL_EVENTS.contains(&family) {
            return Err(format!(
                "`{family}` is no event: write protocol.event or {}",
                GENERAL_EVENTS.join(", ")
            ));
        }
    } else {
        let known =
            application(family).ok_or_else(|| format!("`{family}` is no application protocol"))?;
        draft.need(&[known], "the event")?;
    }
    let kind = match name == ONE_SIDED {
        // it is raised of a packet
        true => "event",
        false => "app-layer-event",
    };
    draft.rule.tests.push(Test::Event(kind, name));
    Ok(())
}

/// An event of packets beside those of transactions.
const ONE_SIDED: &str = "applayer_detect_protocol_only_one_direction";

#[rustfmt::skip]
const GENERAL_EVENTS: &[&str] = &[
    "applayer_mismatch_protocol_both_directions", "applayer_wrong_direction_first_data",
    ONE_SIDED, "applayer_proto_detection_skipped", "applayer_no_tls_after_starttls",
    "applayer_unexpected_protocol",
];

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, takes};

    #[test]
    fn application_conditions_and_their_near_misses() {
        takes(
            "ip",
            &[
                "app-layer-event:http.request_auth_unrecognized;",
                "app-layer-protocol:!tls;",
                "ssh.protoversion:2_compat;",
                "ftpdata_command:retr;",
                "tls.version:1.2;",
                "ssl_version:tls1.0,tls1.1;",
                "tls_cert_expired;",
                "tls.subject:\"CN=a\";",
                "tls_cert_notbefore:2024-01-01<>2025-01-01;",
                "ftpbounce;",
                "app-layer-event:applayer_unexpected_protocol;",
            ],
        );
        refuses(
            "ip",
            &[
                "app-layer-event:nope.a;",
                "app-layer-event:nope;",
                "app-layer-protocol:nope;",
                "app-layer-protocol:unknown;",
                "app-layer-protocol:tls,final;",
                "ssh.protoversion:nope;",
                "ftpdata_command:nope;",
                "mqtt.qos:3;",
                "mqtt.type:nope;",
                "mqtt.reason_code:300;",
                "tls.version:2.0;",
                "tls_cert_expired:1;",
                "tls.subject:CN;",
                "tls_cert_notbefore:soon;",
                "ssl_version:;",
            ],
        );
        refuses(
            "dns",
            &[
                "tls.version:1.2;",
                "app-layer-event:http.a;",
                "app-layer-protocol:!tls;",
            ],
        );
    }
}
