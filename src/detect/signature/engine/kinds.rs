//! What rules are about, by their conditions: events, transactions, packets.

use super::super::header::Protocol;
use super::super::rule::{Flow, Rule, Test};

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
            .all(|t| matches!(t, Test::Number("ip_proto", _) | Test::SameIp))
        && rule.asks.is_empty()
        && rule.flow == Flow::default()
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
