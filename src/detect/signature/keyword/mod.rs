//! The keywords, a file a family, one line each here. A keyword takes an option and adds to the draft what it proves.

pub(super) mod about;
mod application;
mod asn1;
mod byte;
mod calls;
mod contents;
mod flow;
mod foreign;
mod listed;
mod numbers;
mod packet;
mod pcre;
pub(super) mod rate;
mod state;
mod steering;
mod sticky;

use super::buffer::Buffer;
use super::draft::Draft;
use super::syntax::OptionText;
use super::warning::Warning;

/// A keyword.
pub(super) struct Keyword {
    name: &'static str,
    value: Need,
    apply: fn(&mut Draft<'_>, &OptionText) -> Result<(), String>,
}

/// Whether a keyword takes a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Value,
    None,
    Maybe,
}

const FAMILIES: &[&[Keyword]] = &[
    about::KEYWORDS,
    application::KEYWORDS,
    asn1::KEYWORDS,
    byte::KEYWORDS,
    calls::KEYWORDS,
    contents::KEYWORDS,
    flow::KEYWORDS,
    listed::KEYWORDS,
    packet::KEYWORDS,
    pcre::KEYWORDS,
    rate::KEYWORDS,
    state::KEYWORDS,
    steering::KEYWORDS,
    sticky::KEYWORDS,
];

/// Keywords that Suricata 7.0.10 does not know: its later versions do.
#[rustfmt::skip]
const LATER: &[&str] = &[
    "flow.pkts_toclient", "flow.pkts_toserver", "flow.bytes_toclient", "flow.bytes_toserver", "tcp.wscale", "from_base64", "tls.alpn", "tls.subjectaltname",
    "dns.rcode", "dns.rrtype", "dns.answer.name", "dns.query.name", "dns.queries.rrname", "dns.answers.rrname", "smtp.helo", "ftp.command", "smb.version",
    "krb5.weak_encryption",
];

/// Applies an option to the draft.
pub(super) fn apply(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let name = option.name.as_str();
    if LATER.contains(&name) {
        draft.rule.warnings.push(Warning::OfLater(name.to_owned()));
    }
    if let Some(keyword) = FAMILIES.iter().flat_map(|f| *f).find(|k| k.name == name) {
        check_value(keyword.value, option)?;
        return (keyword.apply)(draft, option);
    }
    if let Some(test) = numbers::find(name) {
        check_value(Need::Value, option)?;
        return numbers::apply(draft, test, option);
    }
    if let Some(buffer) = Buffer::sticky(name) {
        if option.value.is_some() {
            return Err(foreign::hint(name, true).unwrap_or_else(|| "takes no value".to_owned()));
        }
        return draft.set_buffer(buffer, option);
    }
    if let Some(buffer) = Buffer::modifier(name) {
        if option.value.is_some() {
            return Err(foreign::hint(name, true).unwrap_or_else(|| "takes no value".to_owned()));
        }
        return draft.move_last(buffer);
    }
    Err(foreign::hint(name, option.value.is_some()).unwrap_or_else(|| unknown(name)))
}

/// The application protocols that a condition without a buffer is of; none: any.
pub(super) fn protocols_of(name: &str) -> &'static [&'static str] {
    match numbers::find(name) {
        Some(row) => row.2,
        None => application::protocols_of(name),
    }
}

/// Every keyword that rules may use, in order.
pub fn names() -> Vec<&'static str> {
    let own = FAMILIES.iter().flat_map(|f| f.iter().map(|k| k.name));
    let mut names: Vec<_> = own.chain(numbers::names()).chain(Buffer::names()).collect();
    names.sort_unstable();
    names
}

fn check_value(need: Need, option: &OptionText) -> Result<(), String> {
    match (need, option.value.as_deref()) {
        (Need::Value, None | Some([])) => Err("needs a value".to_owned()),
        (Need::None, Some([_, ..])) => Err("takes no value".to_owned()),
        _ => Ok(()),
    }
}

fn unknown(name: &str) -> String {
    let near = names().into_iter().filter(|n| distance(n, name) <= 2);
    match near.min_by_key(|n| distance(n, name)) {
        Some(near) => format!("unknown keyword; did you mean `{near}`?"),
        None => "unknown keyword".to_owned(),
    }
}

/// How many letters differ; names are short, so the plain way is enough.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = corner + usize::from(x != y);
            corner = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

/// The parts of a value between commas, blanks around them removed.
fn parts(option: &OptionText) -> Vec<String> {
    option
        .text()
        .split(',')
        .map(|p| p.trim().to_owned())
        .collect()
}

#[cfg(test)]
pub(super) mod testing {
    use super::super::draft::{Context, compile};
    use super::super::rule::Rule;
    use super::super::syntax::{Entry, read};

    /// Compiles a rule with these options.
    pub fn rule(header: &str, options: &str) -> Result<Rule, String> {
        rule_of(&format!(
            "alert {header} any any -> any any (msg:\"t\"; {options} sid:1;)"
        ))
    }

    /// Compiles a rule.
    pub fn rule_of(text: &str) -> Result<Rule, String> {
        let context = Context::default();
        match read(text.as_bytes(), &context.settings).remove(0) {
            Entry::Rule(text) => compile(&text, &context).map_err(|f| f.to_string()),
            Entry::Fault(fault, _) => Err(fault.to_string()),
            Entry::Disabled(_) => Err("disabled".to_owned()),
        }
    }

    /// All of these are taken.
    pub fn takes(header: &str, all: &[&str]) {
        for options in all {
            if let Err(reason) = rule(header, options) {
                panic!("{header} {options}: {reason}");
            }
        }
    }

    /// All of these are refused.
    pub fn refuses(header: &str, all: &[&str]) {
        for options in all {
            assert!(rule(header, options).is_err(), "{header} {options}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::rule;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_name_stands_once() {
        let names = names();
        let distinct: BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), distinct.len());
        assert!(names.iter().all(|n| foreign::hint(n, false).is_none()));
    }

    #[test]
    fn what_suricata_7_does_not_know_is_taken_and_said() {
        let rule = rule("dns", "dns.rcode:3;").expect("a rule");
        let said: Vec<String> = rule.warnings.iter().map(|w| w.to_string()).collect();
        assert!(
            said.iter()
                .any(|w| w.starts_with("dns.rcode is of a later Suricata")),
            "{said:?}"
        );
        assert!(LATER.iter().all(|name| names().contains(name)));
    }

    #[test]
    fn an_unknown_keyword_is_named_with_its_neighbour() {
        assert!(
            rule("tcp", "contnt:\"a\";")
                .unwrap_err()
                .contains("`content`")
        );
        assert!(rule("tcp", "nocase:yes;").unwrap_err().contains("no value"));
        assert!(
            rule("tcp", "content;")
                .unwrap_err()
                .contains("needs a value")
        );
    }
}
