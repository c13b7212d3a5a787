//! Keywords that steer the engine, and those that ask for something to be done: `requires`, `prefilter`, `bypass`, `filestore`, `replace`; and checksums.

use super::super::buffer::FILES;
use super::super::draft::Draft;
use super::super::number::Number;
use super::super::rule::Test;
use super::super::syntax::OptionText;
use super::super::warning::Warning;
use super::{Keyword, Need};

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword { name: "config", value: Need::Value, apply: config },
    Keyword { name: "requires", value: Need::Value, apply: requires },
    Keyword { name: "prefilter", value: Need::None, apply: prefilter },
    Keyword { name: "bypass", value: Need::None, apply: bypass },
    Keyword { name: "filestore", value: Need::Maybe, apply: filestore },
    Keyword { name: "replace", value: Need::Value, apply: replace },
    Keyword { name: "nfq_set_mark", value: Need::Value, apply: mark },
    Keyword { name: "l3_proto", value: Need::Value, apply: l3_proto },
    checksum("ipv4-csum"), checksum("tcpv4-csum"), checksum("tcpv6-csum"), checksum("udpv4-csum"), checksum("udpv6-csum"),
    checksum("icmpv4-csum"), checksum("icmpv6-csum"),
];

/// The version whose language this is.
pub const VERSION: [u32; 3] = [7, 0, 10];

const fn checksum(name: &'static str) -> Keyword {
    Keyword {
        name,
        value: Need::Value,
        apply: sums,
    }
}

/// `feature NAME`, `version >= 7.0.3 < 8 | >= 8.0.1`: a rule that asks for what is not here is refused, as Suricata leaves it out.
fn requires(_: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    for part in super::parts(option) {
        let (key, value) = part
            .split_once(char::is_whitespace)
            .ok_or_else(|| format!("`{part}` is no requirement: feature or version"))?;
        let value = value.trim();
        match key {
            "feature" if FEATURES.contains(&value) => {}
            "feature" => return Err(format!("the feature `{value}` is not here")),
            "version" => {
                let mut fits = false;
                for all in value.split('|') {
                    fits |= is_within(all)?;
                }
                if !fits {
                    let [a, b, c] = VERSION;
                    return Err(format!(
                        "asks for version {value}: this is {a}.{b}.{c}'s language"
                    ));
                }
            }
            // keywords of later versions ask so for what only those know
            other => return Err(format!("`{other}` is not known here: feature, version")),
        }
    }
    Ok(())
}

/// Whether this version is within all of some bounds: `>= 7.0.3 < 8`.
fn is_within(bounds: &str) -> Result<bool, String> {
    let fault = || format!("`{}` is no bound of versions", bounds.trim());
    let text: String = bounds.chars().filter(|c| !c.is_whitespace()).collect();
    let mut rest = text.as_str();
    let mut fits = true;
    if rest.is_empty() {
        return Err(fault());
    }
    while !rest.is_empty() {
        let (sign, tail) = [">=", "<=", "<", ">"]
            .iter()
            .find_map(|s| Some((*s, rest.strip_prefix(s)?)))
            .ok_or_else(fault)?;
        let end = tail.find(['<', '>']).unwrap_or(tail.len());
        let mut version = [0; 3];
        let numbers: Vec<&str> = tail[..end].split('.').collect();
        if numbers.len() > 3 {
            return Err(fault());
        }
        for (slot, number) in version.iter_mut().zip(numbers) {
            *slot = number.parse().map_err(|_| fault())?;
        }
        fits &= match sign {
            ">=" => VERSION >= version,
            "<=" => VERSION <= version,
            ">" => VERSION > version,
            _ => VERSION < version,
        };
        rest = &tail[end..];
    }
    Ok(fits)
}

/// What is looked for first is chosen here whatever a rule says; a content is the better choice.
fn prefilter(draft: &mut Draft<'_>, _: &OptionText) -> Result<(), String> {
    let has_steps = draft.rule.groups.iter().any(|g| !g.steps.is_empty());
    match has_steps || !draft.rule.tests.is_empty() {
        true => Ok(()),
        false => Err("needs a condition before it".to_owned()),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as all keywords are applied")]
fn bypass(draft: &mut Draft<'_>, _: &OptionText) -> Result<(), String> {
    draft.rule.bypass = true;
    Ok(())
}

/// Holds where there is a file. `direction, scope`, both checked.
fn filestore(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let words = super::parts(option);
    let directions = [
        "request",
        "response",
        "both",
        "to_server",
        "to_client",
        "to_both",
    ];
    let scopes = ["file", "tx", "ssn", "flow"];
    let good = |w: &String| directions.contains(&w.as_str()) || scopes.contains(&w.as_str());
    if option.value.is_some() && (words.len() > 2 || !words.iter().all(good)) {
        return Err("is a direction (request, response, both) and a scope (file, tx, flow)".into());
    }
    draft.need(FILES, "filestore")?;
    draft.rule.tests.push(Test::Flag("filestore"));
    let why = "no files are kept";
    draft.rule.warnings.push(Warning::NotDone("filestore", why));
    Ok(())
}

fn replace(draft: &mut Draft<'_>, _: &OptionText) -> Result<(), String> {
    draft.last_content()?;
    let why = "this is a sensor";
    draft.rule.warnings.push(Warning::NotDone("replace", why));
    Ok(())
}

#[expect(clippy::unnecessary_wraps, reason = "as all keywords are applied")]
fn mark(draft: &mut Draft<'_>, _: &OptionText) -> Result<(), String> {
    let why = "this is a sensor";
    draft
        .rule
        .warnings
        .push(Warning::NotDone("nfq_set_mark", why));
    Ok(())
}

fn l3_proto(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let version = match option.text().trim().to_ascii_lowercase().as_str() {
        "ip4" | "ipv4" => 4,
        "ip6" | "ipv6" => 6,
        other => return Err(format!("`{other}` is neither ipv4 nor ipv6")),
    };
    let test = Test::Number("l3_proto", Number::Equal(version));
    draft.rule.tests.push(test);
    Ok(())
}

fn sums(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let text = option.text();
    let word = text.trim().trim_matches('"').to_ascii_lowercase();
    let negated = match word.as_str() {
        "valid" => false,
        "invalid" => true,
        other => return Err(format!("`{other}` is neither valid nor invalid")),
    };
    let name = KEYWORDS.iter().find(|k| k.name == option.name);
    let name = name.map_or("", |k| k.name);
    draft.rule.tests.push(Test::Word(name, negated, vec![]));
    Ok(())
}

/// What Suricata may be built with and is here, too.
const FEATURES: &[&str] = &["pcre", "ja3", "ja4"];

/// What Suricata logs is not what is logged here: the rule alerts never, there as here.
fn config(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    for part in super::parts(option) {
        let words: Vec<_> = part.split_ascii_whitespace().collect();
        match words[..] {
            ["logging", "disable"] | ["type", "tx"] | ["scope", "tx" | "flow"] => {}
            _ => return Err(format!("`{part}` is not known here")),
        }
    }
    let why = "it steers what Suricata logs of transactions";
    draft.rule.warnings.push(Warning::NotDone("config", why));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, rule, takes};

    #[test]
    fn requirements_and_steering() {
        takes(
            "http",
            &[
                "requires: version >= 7.0.3 < 8;",
                "requires: version >= 8.0.1 | >= 7.0.1 < 8;",
                "requires: feature ja3, version > 6;",
                "http.uri; content:\"a\"; prefilter;",
                "content:\"a\"; replace:\"b\";",
                "bypass;",
                "filestore;",
                "filestore:response,flow;",
            ],
        );
        takes(
            "ip",
            &["l3_proto:ipv6;", "tcpv4-csum:invalid;", "tcp.seq:5;"],
        );
        refuses(
            "http",
            &[
                "requires: version >= 8;",
                "requires: version < 7;",
                "requires: version 7;",
                "requires: feature lua;",
                "requires: keyword foo;",
                "requires: version >= 7.a;",
                "replace:\"b\";",
                "filestore:everywhere;",
                "bypass:now;",
                "prefilter;",
            ],
        );
        refuses("ip", &["l3_proto:ipx;", "tcpv4-csum:maybe;"]);
        refuses("dns", &["filestore;"]);
        let made = rule("http", "bypass; filestore;").unwrap();
        assert!(made.bypass && made.warnings.iter().all(|w| !w.never_fires()));
    }
}
