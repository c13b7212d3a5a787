//! Conditions on headers that are no single number: flags, options, protocols.

use super::super::draft::Draft;
use super::super::header::Protocol;
use super::super::number::Number;
use super::super::rule::{FlagMode, FlagTest, Test};
use super::super::syntax::OptionText;
use super::{Keyword, Need};

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword { name: "flags", value: Need::Value, apply: flags },
    Keyword { name: "tcp.flags", value: Need::Value, apply: flags },
    Keyword { name: "fragbits", value: Need::Value, apply: fragbits },
    Keyword { name: "ip_proto", value: Need::Value, apply: ip_proto },
    Keyword { name: "ipopts", value: Need::Value, apply: ipopts },
    Keyword { name: "sameip", value: Need::None, apply: sameip },
    Keyword { name: "rpc", value: Need::Value, apply: rpc },
    Keyword { name: "decode-event", value: Need::Value, apply: event },
    Keyword { name: "stream-event", value: Need::Value, apply: event },
    Keyword { name: "engine-event", value: Need::Value, apply: event },
];

fn flags(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let text = option.text();
    let (main, mask) = text.split_once(',').unwrap_or((&text, ""));
    let made = FlagTest {
        ignored: letters(mask.trim(), TCP_FLAGS)?,
        ..flag_test(main.trim(), TCP_FLAGS)?
    };
    draft.rule.tests.push(Test::TcpFlags(made));
    Ok(())
}

fn fragbits(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let made = flag_test(option.text().trim(), FRAGMENT_FLAGS)?;
    draft.rule.tests.push(Test::FragmentBits(made));
    Ok(())
}

/// A mode before or after the letters: `+` all, `*` any, `!` none.
fn flag_test(text: &str, table: &[(char, u8)]) -> Result<FlagTest, String> {
    let mode = |c: char| match c {
        '+' => Some(FlagMode::All),
        '*' => Some(FlagMode::Any),
        '!' => Some(FlagMode::None),
        _ => None,
    };
    let (first, last) = (
        text.chars().next().and_then(mode),
        text.chars().last().and_then(mode),
    );
    let body = text.trim_matches(['+', '*', '!', '=']).trim();
    if body.is_empty() || first.is_some() && last.is_some() {
        return Err(format!("`{text}` is one mode (+ * !) and letters"));
    }
    Ok(FlagTest {
        mode: first.or(last).unwrap_or(FlagMode::Exactly),
        flags: letters(body, table)?,
        ignored: 0,
    })
}

fn letters(text: &str, table: &[(char, u8)]) -> Result<u8, String> {
    text.chars().try_fold(0, |all, letter| {
        let found = table.iter().find(|(l, _)| *l == letter);
        found
            .map(|(_, bit)| all | bit)
            .ok_or_else(|| format!("`{letter}` is no flag"))
    })
}

fn ip_proto(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let header = draft.rule.header.protocol;
    if !matches!(
        header,
        Protocol::Ip | Protocol::Ipv4 | Protocol::Ipv6 | Protocol::Packet
    ) {
        return Err(format!(
            "is of rules of ip, this is one of {}",
            header.name()
        ));
    }
    let text = option.text();
    let text = text.trim();
    let sign = text.len() - text.trim_start_matches(['!', '<', '>', '=']).len();
    let name = text[sign..].trim().to_ascii_lowercase();
    let named = IP_PROTOCOLS.iter().find(|(n, _)| *n == name);
    let number = match named {
        Some((_, number)) => Number::parse(&format!("{}{number}", &text[..sign]), 255)?,
        None => Number::parse(text, 255).map_err(|e| format!("{e}; names: tcp, udp, icmp, ..."))?,
    };
    draft.rule.tests.push(Test::Number("ip_proto", number));
    Ok(())
}

fn ipopts(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let word = option.text().trim().to_ascii_lowercase();
    if !IP_OPTIONS.contains(&word.as_str()) {
        return Err(format!("`{word}` is no option: {}", IP_OPTIONS.join(", ")));
    }
    draft
        .rule
        .tests
        .push(Test::Word("ipopts", false, vec![word]));
    Ok(())
}

fn sameip(draft: &mut Draft<'_>, _: &OptionText) -> Result<(), String> {
    draft.rule.tests.push(Test::SameIp);
    Ok(())
}

fn rpc(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let words = super::parts(option);
    let good = |w: &String| w == "*" || w.parse::<u32>().is_ok();
    if words.is_empty() || words.len() > 3 || words[0] == "*" || !words.iter().all(good) {
        return Err("is `program, version, procedure`, the last two may be `*`".to_owned());
    }
    draft.rule.tests.push(Test::Word("rpc", false, words));
    Ok(())
}

/// What decoders and streams raise: kept with its family before it, `decoder.` or `stream.`.
fn event(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let name = option.text().trim().to_ascii_lowercase();
    let (kind, family) = match option.name.as_str() {
        "decode-event" => ("decode-event", "decoder."),
        "stream-event" => ("stream-event", "stream."),
        _ => ("engine-event", ""),
    };
    let good = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if name.is_empty() || !name.chars().all(good) {
        return Err(format!("`{name}` is no name of an event"));
    }
    let name = match name.starts_with(family) {
        true => name,
        false => format!("{family}{name}"),
    };
    draft.rule.tests.push(Test::Event(kind, name));
    Ok(())
}

#[rustfmt::skip]
const TCP_FLAGS: &[(char, u8)] = &[
    ('F', 0x01), ('S', 0x02), ('R', 0x04), ('P', 0x08), ('A', 0x10), ('U', 0x20), ('E', 0x40), ('2', 0x40), ('C', 0x80),
    ('1', 0x80), ('0', 0),
];
const FRAGMENT_FLAGS: &[(char, u8)] = &[('M', 1), ('D', 2), ('R', 4)];
#[rustfmt::skip]
const IP_OPTIONS: &[&str] = &["rr", "lsrr", "eol", "nop", "ts", "sec", "esec", "ssrr", "satid", "any"];
#[rustfmt::skip]
const IP_PROTOCOLS: &[(&str, u8)] = &[
    ("icmp", 1), ("igmp", 2), ("ipip", 4), ("tcp", 6), ("egp", 8), ("udp", 17), ("ipv6", 41), ("gre", 47), ("esp", 50), ("ah", 51),
    ("ipv6-icmp", 58), ("icmp6", 58), ("eigrp", 88), ("ospf", 89), ("pim", 103), ("vrrp", 112), ("sctp", 132),
];

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, rule, takes};
    use super::*;

    #[test]
    fn headers_and_their_near_misses() {
        takes(
            "ip",
            &[
                "flags:S,12;",
                "flags:+SA;",
                "flags:!R;",
                "flags:0;",
                "flags:FPU,CE;",
                "fragbits:M+;",
                "ip_proto:!TCP;",
                "ip_proto:>5;",
                "ipopts:lsrr;",
                "sameip;",
                "decode-event:ipv4.pkt_too_small;",
                "rpc:100000,*,3;",
            ],
        );
        refuses(
            "ip",
            &[
                "flags:Q;",
                "flags:s;",
                "flags:;",
                "flags:+;",
                "flags:+S!;",
                "flags:S,X;",
                "fragbits:S;",
                "ip_proto:nope;",
                "ip_proto:256;",
                "ipopts:x;",
                "sameip:yes;",
                "rpc:*;",
                "decode-event:a b;",
            ],
        );
        refuses("tcp", &["ip_proto:6;"]);
        let made = rule("tcp", "flags:S,12;").unwrap();
        let test = FlagTest {
            mode: FlagMode::Exactly,
            flags: 2,
            ignored: 0xc0,
        };
        assert_eq!(made.tests, [Test::TcpFlags(test)]);
    }
}
