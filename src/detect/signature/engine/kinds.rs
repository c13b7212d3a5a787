//! What rules are about, by their conditions: events, transactions, packets.

use super::super::rule::{Rule, Test};

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
