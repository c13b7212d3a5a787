//! What rules are about, by their conditions: events, transactions, packets.

use super::super::buffer::{Buffer, BufferKind};
use super::super::header::Protocol;
use super::super::number::Number;
use super::super::rule::{Flow, JumpFrom, Rule, Step, Test};
use super::program::{Compiled, Kind};

/// What a rule waits for that decoders or streams raise.
pub(super) fn event_of(rule: &Rule) -> Option<&str> {
    rule.tests.iter().find_map(|t| match t {
        Test::Event(kind, name) if *kind != "app-layer-event" => Some(name.as_str()),
        _ => None,
    })
}

pub(super) fn is_of_transaction(test: &Test) -> bool {
    match test {
        Test::Number(name, _)
        | Test::Word(name, ..)
        | Test::Flag(name)
        | Test::AnyNumber(name, _)
        | Test::Digest(name, ..) => !super::super::keyword::protocols_of(name).is_empty(),
        Test::Event(kind, _) => *kind == "app-layer-event",
        Test::Modbus(_) => true,
        _ => false,
    }
}

pub(super) fn is_of_packet(test: &Test) -> bool {
    match test {
        Test::Number(name, _) => {
            !name.starts_with("flow.")
                && *name != "l3_proto"
                && super::super::keyword::protocols_of(name).is_empty()
        }
        Test::TcpFlags(_) | Test::FragmentBits(_) | Test::SameIp => true,
        Test::Event(kind, _) => *kind != "app-layer-event",
        Test::Word(name, ..) => matches!(*name, "ipopts" | "rpc") || name.ends_with("-csum"),
        _ => false,
    }
}

/// The application protocols of a rule: that of its header, else those that fill its buffers.
pub(super) fn applications(rule: &Rule) -> Vec<&'static str> {
    if let Protocol::Application(name) = rule.header.protocol {
        return match name {
            "http" => vec!["http", "http2"],
            "http1" => vec!["http"],
            "dcerpc" => vec!["dcerpc", "smb"],
            other => vec![other],
        };
    }
    let mut all: Option<Vec<&'static str>> = None;
    let narrow = |names: &'static [&'static str], all: &mut Option<Vec<&'static str>>| {
        if names.is_empty() {
            return;
        }
        let mut names = names.to_vec();
        if names.contains(&"http") {
            names.push("http2");
        }
        match all {
            None => *all = Some(names),
            Some(all) => all.retain(|n| names.contains(n)),
        }
    };
    for group in &rule.groups {
        narrow(group.buffer.info().protocols, &mut all);
    }
    for test in &rule.tests {
        match test {
            Test::Number(name, _)
            | Test::Word(name, ..)
            | Test::Flag(name)
            | Test::AnyNumber(name, _)
            | Test::Digest(name, ..) => {
                narrow(super::super::keyword::protocols_of(name), &mut all);
            }
            Test::Modbus(_) => narrow(&["modbus"], &mut all),
            Test::Event("app-layer-event", name) => {
                let family = name.split_once('.').map(|(family, _)| family);
                if let Some(known) = family.and_then(super::super::header::application) {
                    all = Some(vec![known]);
                }
            }
            _ => {}
        }
    }
    let mut all = all.unwrap_or_default();
    all.dedup();
    all
}

/// Whether a rule is about addresses and ports and nothing else: Suricata tries such a rule once a direction of a flow, but with every packet where
/// a list of addresses has a negated item.
pub(super) fn is_about_addresses(rule: &Rule) -> bool {
    let h = &rule.header;
    let protocol = matches!(
        h.protocol,
        Protocol::Ip
            | Protocol::Ipv4
            | Protocol::Ipv6
            | Protocol::Tcp
            | Protocol::Udp
            | Protocol::Icmp
    );
    protocol
        && !h.source.has_negation()
        && !h.destination.has_negation()
        && rule.groups.is_empty()
        && rule
            .tests
            .iter()
            .all(|t| matches!(t, Test::Number("ip_proto", _)))
        && rule.asks.is_empty()
        && rule.flow == Flow::default()
}

/// Whether a rule names an application protocol and asks for nothing of a packet, a stream or a transaction.
pub(super) fn is_of_conversation(c: &Compiled) -> bool {
    let protocol = matches!(c.rule.header.protocol, Protocol::Application(_));
    protocol
        && c.kind == Kind::Packet
        && c.rule.groups.is_empty()
        && !c.rule.tests.iter().any(is_of_packet)
}

/// Whether a rule asks for an application protocol, and for nothing else but directions.
pub(super) fn is_about_protocol(rule: &Rule) -> bool {
    let is = |t: &Test| matches!(t, Test::ApplicationProtocol(..));
    rule.groups.is_empty()
        && !rule.tests.is_empty()
        && rule.tests.iter().all(is)
        && rule.asks.is_empty()
        && (rule.flow.established, rule.flow.stream) == (None, None)
}

/// Whether a rule looks at payloads of packets, and at streams.
pub(super) fn where_it_looks(rule: &Rule) -> (bool, bool) {
    match rule.header.protocol {
        Protocol::TcpPacket => return (true, false),
        Protocol::TcpStream => return (false, true),
        _ => {}
    }
    match rule.flow.stream {
        Some(true) => return (false, true),
        Some(false) => return (true, false),
        None => {}
    }
    if rule.tests.iter().any(is_of_packet)
        || rule
            .groups
            .iter()
            .any(|g| g.buffer.info().kind == BufferKind::PacketHeader)
    {
        return (true, false);
    }
    let placed = rule.contents().any(|(buffer, c)| {
        buffer == Buffer::PAYLOAD && (c.offset.is_some() || c.depth.is_some() || c.startswith)
    });
    let mut tests = rule.tests.iter();
    let is_sized = tests.any(|t| matches!(t, Test::StreamSize(..)));
    (placed || is_sized, true)
}

/// Whether a step counts from the start of what is looked at, or asks for its length.
pub(super) fn is_absolute(step: &Step) -> bool {
    match step {
        Step::Content(c) => c.endswith,
        Step::Pcre(p) => !p.relative,
        Step::ByteTest(t) => !t.relative,
        Step::ByteJump(j) => !j.relative || j.from != JumpFrom::Here,
        Step::ByteExtract(e) => !e.relative,
        Step::ByteMath(m) => !m.relative,
        Step::IsDataAt(_) | Step::Length(_) => true,
        Step::Base64Decode(b) => !b.relative,
        Step::Asn1(a) => !a.relative,
    }
}

/// Whether an interface, `uuid version`, is the one of a rule: its UUID, and a condition on its version where there is one.
pub(super) fn is_interface(said: &str, wanted: &[String]) -> bool {
    let Some((uuid, version)) = said.split_once(' ') else {
        return false;
    };
    let version = version.parse::<u64>().unwrap_or(0);
    let mut words = wanted.iter();
    words.next().is_some_and(|w| w == uuid)
        && words.all(|w| Number::parse(w, u16::MAX.into()).is_ok_and(|n| n.holds(version)))
}

/// Whether an application protocol is one that a rule names: `http` is any version of it, and DCE/RPC goes over SMB, too.
pub(super) fn speaks(application: &str, name: &str) -> bool {
    match name {
        "http" => matches!(application, "http" | "http2"),
        "http1" => application == "http",
        "dcerpc" => matches!(application, "dcerpc" | "smb"),
        _ => application == name,
    }
}
