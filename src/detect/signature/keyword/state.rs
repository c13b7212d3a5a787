//! What rules remember: `flowbits`, `xbits`, `hostbits`, `flowint`.

use super::super::draft::Draft;
use super::super::rule::{Compare, CounterValue, Scope, StateChange, StateTest};
use super::super::syntax::OptionText;
use super::{Keyword, Need, parts};

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword { name: "flowbits", value: Need::Value, apply: flowbits },
    Keyword { name: "xbits", value: Need::Value, apply: xbits },
    Keyword { name: "hostbits", value: Need::Value, apply: hostbits },
    Keyword { name: "flowint", value: Need::Value, apply: flowint },
];

const EXPIRE_DEFAULT: u32 = 30;
/// Bits of hosts have no `expire`.
const HOSTBITS_EXPIRE: u32 = 300;

fn flowbits(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    match &parts[..] {
        [word] if word == "noalert" => {
            draft.rule.noalert = true;
            Ok(())
        }
        [command, names] => bits(draft, command, names, Scope::Flow, 0),
        _ => Err("is `noalert`, or a command and a name".to_owned()),
    }
}

fn xbits(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    let [command, name, words @ ..] = &parts[..] else {
        return Err("is `command, name, track ...`".to_owned());
    };
    let (mut scope, mut expire) = (None, EXPIRE_DEFAULT);
    if words.iter().skip(1).any(|w| w.starts_with("track")) {
        return Err("`track` stands directly behind the name".to_owned());
    }
    for word in words {
        let value = word.split_once(char::is_whitespace);
        match value.map(|(k, v)| (k, v.trim())) {
            Some(("track", "ip_src")) => scope = Some(Scope::Source),
            Some(("track", "ip_dst")) => scope = Some(Scope::Destination),
            Some(("track", "ip_pair")) => scope = Some(Scope::Pair),
            Some(("expire", n)) => {
                let seconds = n.parse().ok().filter(|n| *n > 0);
                expire = seconds.ok_or("expire is a number of seconds above 0")?;
            }
            _ => return Err(format!("`{word}` is not known here")),
        }
    }
    let scope = scope.ok_or("lacks `track ip_src`, `ip_dst` or `ip_pair`")?;
    let changes = matches!(command.as_str(), "set" | "unset" | "toggle");
    draft.rule.xbits[usize::from(changes)] = true;
    bits(draft, command, name, scope, expire)
}

fn hostbits(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    let (command, name, scope) = match &parts[..] {
        [word] if word == "noalert" => {
            draft.rule.noalert = true;
            return Ok(());
        }
        [c, n] => (c, n, Scope::Source),
        [c, n, s] => {
            let scope = match s.as_str() {
                "src" => Scope::Source,
                "dst" => Scope::Destination,
                "both" => {
                    return Err("`both` is not there yet in Suricata 7: src or dst".to_owned());
                }
                _ => return Err(format!("`{s}` is no side: src, dst, both")),
            };
            (c, n, scope)
        }
        _ => return Err("is a command, a name and a side".to_owned()),
    };
    bits(draft, command, name, scope, HOSTBITS_EXPIRE)
}

fn bits(
    draft: &mut Draft<'_>,
    command: &str,
    names: &str,
    scope: Scope,
    expire: u32,
) -> Result<(), String> {
    let names: Vec<String> = names.split('|').map(|n| n.trim().to_owned()).collect();
    if names
        .iter()
        .any(|n| n.is_empty() || n.contains(char::is_whitespace))
    {
        return Err("a name is empty or has blanks".to_owned());
    }
    let changes = matches!(command, "set" | "unset" | "toggle");
    if changes && names.len() > 1 {
        return Err(format!("`{command}` takes one name"));
    }
    let name = names[0].clone();
    match command {
        "set" => draft
            .rule
            .changes
            .push(StateChange::Set(scope, name, expire)),
        "unset" => draft.rule.changes.push(StateChange::Unset(scope, name)),
        "toggle" => draft
            .rule
            .changes
            .push(StateChange::Toggle(scope, name, expire)),
        "isset" => draft.rule.asks.push(StateTest::IsSet(scope, names)),
        "isnotset" => draft.rule.asks.push(StateTest::IsNotSet(scope, names)),
        "reset" => return Err("`reset` is Snort's: unset bits by name".to_owned()),
        "setx" => return Err("`setx` is Snort's: unset the others, set this".to_owned()),
        _ => {
            return Err(format!(
                "`{command}` is no command: set, unset, toggle, isset, isnotset"
            ));
        }
    }
    Ok(())
}

fn flowint(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    let (name, command, value) = match &parts[..] {
        [n, c] => (n.clone(), c.as_str(), None),
        [n, c, v] if !v.is_empty() => (n.clone(), c.as_str(), Some(v.as_str())),
        _ => return Err("is `name, operator, value`, `name, isset` or `name, notset`".to_owned()),
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || "_./".contains(c);
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    if !begins || name.len() < 2 || !name.chars().all(is_name) {
        return Err(format!(
            "`{name}` is no name: a letter, and at least one more sign of a-z, 0-9, _ . /"
        ));
    }
    let exists = match (command, value) {
        ("isset", None) => Some(true),
        ("notset" | "isnotset", None) => Some(false),
        _ => None,
    };
    if let Some(exists) = exists {
        draft.rule.asks.push(StateTest::CounterExists(name, exists));
        return Ok(());
    }
    let value = value.ok_or("lacks a value")?;
    let value = match value.parse() {
        Ok(number) => CounterValue::Fixed(number),
        Err(_) if value.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            CounterValue::Counter(value.to_owned())
        }
        Err(_) => return Err(format!("`{value}` is no number and no name")),
    };
    let ask = |compare| StateTest::Counter(name.clone(), compare, value.clone());
    match command {
        "=" => draft
            .rule
            .changes
            .push(StateChange::CounterSet(name, value)),
        "+" => draft
            .rule
            .changes
            .push(StateChange::CounterAdd(name, value)),
        "-" => draft
            .rule
            .changes
            .push(StateChange::CounterSubtract(name, value)),
        "<" => draft.rule.asks.push(ask(Compare::Less)),
        ">" => draft.rule.asks.push(ask(Compare::Greater)),
        "<=" => draft.rule.asks.push(ask(Compare::AtMost)),
        ">=" => draft.rule.asks.push(ask(Compare::AtLeast)),
        "==" => draft.rule.asks.push(ask(Compare::Equal)),
        "!=" => draft.rule.asks.push(StateTest::CounterNot(name, value)),
        _ => return Err(format!("`{command}` is no operator")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, rule, takes};
    use super::*;

    #[test]
    fn bits_and_their_near_misses() {
        takes(
            "tcp",
            &[
                "flowbits:set,a.b;",
                "flowbits: isset,a|b|c;",
                "flowbits:noalert;",
                "xbits:set, a, track ip_src, expire 360;",
                "xbits:isset,a,track ip_pair;",
                "hostbits:set,a,dst;",
                "hostbits:noalert;",
                "flowint:nn,+,1;",
                "flowint:nn,notset;",
                "flowint:nn,>=,m;",
            ],
        );
        refuses(
            "tcp",
            &[
                "flowbits:set;",
                "flowbits:set,;",
                "flowbits:set,a|b;",
                "flowbits:sett,a;",
                "flowbits:reset,a;",
                "flowbits:isset,a b;",
                "xbits:set,a;",
                "xbits:set,a,track ip_nobody;",
                "xbits:set,a,track ip_src,expire 0;",
                "hostbits:set,a,up;",
                "hostbits:set,a,both;",
                "xbits:set,a,expire 5,track ip_src;",
                "flowint:n,+,1;",
                "flowint:n n,+,1;",
                "flowint:nn;",
                "flowint:nn,+;",
                "flowint:nn,%,1;",
                "flowint:nn,+,-1;",
            ],
        );
        let made = rule("tcp", "flowbits:isset,a|b;").unwrap();
        assert_eq!(
            made.asks,
            [StateTest::IsSet(
                Scope::Flow,
                vec!["a".to_owned(), "b".to_owned()]
            )]
        );
    }
}
