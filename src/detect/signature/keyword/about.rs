//! What a rule says of itself: numbers, text, class, references, metadata, target.

use super::super::content::quoted;
use super::super::draft::Draft;
use super::super::rule::End;
use super::super::syntax::OptionText;
use super::super::warning::Warning;
use super::{Keyword, Need, parts};

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword { name: "msg", value: Need::Value, apply: msg },
    Keyword { name: "sid", value: Need::Value, apply: sid },
    Keyword { name: "rev", value: Need::Value, apply: rev },
    Keyword { name: "gid", value: Need::Value, apply: gid },
    Keyword { name: "classtype", value: Need::Value, apply: classtype },
    Keyword { name: "priority", value: Need::Value, apply: priority },
    Keyword { name: "reference", value: Need::Value, apply: reference },
    Keyword { name: "metadata", value: Need::Value, apply: metadata },
    Keyword { name: "target", value: Need::Value, apply: target },
    Keyword { name: "noalert", value: Need::None, apply: noalert },
    Keyword { name: "alert", value: Need::None, apply: alert },
];

fn msg(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    if !draft.rule.about.message.is_empty() {
        return Err("stands twice".to_owned());
    }
    let (negated, text) = quoted(option.value.as_deref().unwrap_or_default())?;
    if negated {
        return Err("cannot be negated".to_owned());
    }
    let mut message = vec![];
    let mut bytes = text.iter().peekable();
    while let Some(&byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (b'\\', Some(&&next)) if b"\\;:\"".contains(&next) => {
                message.push(next);
                bytes.next();
            }
            _ => message.push(byte),
        }
    }
    draft.rule.about.message = String::from_utf8_lossy(&message).into_owned();
    Ok(())
}

fn number(option: &OptionText) -> Result<u32, String> {
    let text = option.text();
    let text = text.trim().trim_matches('"');
    text.parse()
        .map_err(|_| format!("`{text}` is no number from 0 to {}", u32::MAX))
}

fn sid(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    if draft.rule.sid != 0 {
        return Err("stands twice".to_owned());
    }
    draft.rule.sid = number(option)?;
    if draft.rule.sid == 0 {
        return Err("0 is no sid".to_owned());
    }
    Ok(())
}

fn rev(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    if draft.rule.rev != 0 {
        return Err("stands twice".to_owned());
    }
    draft.rule.rev = number(option)?;
    if draft.rule.rev == 0 {
        return Err("0 is no revision".to_owned());
    }
    Ok(())
}

fn gid(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    draft.rule.gid = number(option)?;
    Ok(())
}

fn classtype(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let name = option.text().trim().to_owned();
    if !is_class(&name) {
        return Err(format!("`{name}` is no name of a class"));
    }
    let about = &mut draft.rule.about;
    match draft.context.classifications.get(&name) {
        // of two classes the graver one counts
        Some(class) if draft.class_priority.is_some_and(|p| p <= class.priority) => return Ok(()),
        Some(class) => {
            about.category = Some(class.category.clone());
            draft.class_priority = Some(class.priority);
            if !draft.has_priority {
                about.priority = Some(class.priority);
            }
        }
        None if !draft.context.classifications.is_empty() => {
            draft
                .rule
                .warnings
                .push(Warning::UnknownClass(name.clone()));
        }
        None => {}
    }
    draft.rule.about.classtype = Some(name);
    Ok(())
}

/// Whether a class may be named so.
pub(in super::super) fn is_class(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

fn priority(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let priority = number(option)?;
    // of two the graver one counts
    let before = draft.rule.about.priority.filter(|_| draft.has_priority);
    draft.rule.about.priority = Some(before.map_or(priority, |p| p.min(priority)));
    draft.has_priority = true;
    Ok(())
}

fn reference(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let text = option.text();
    let (system, id) = text.split_once(',').ok_or("is `system,identifier`")?;
    let (system, id) = (system.trim().to_ascii_lowercase(), id.trim());
    if system.is_empty() || id.is_empty() {
        return Err("is `system,identifier`".to_owned());
    }
    if !draft.context.references.is_empty() && !draft.context.references.knows(&system) {
        draft
            .rule
            .warnings
            .push(Warning::UnknownReference(system.clone()));
    }
    draft.rule.about.references.push((system, id.to_owned()));
    Ok(())
}

fn metadata(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    for part in parts(option).iter().filter(|p| !p.is_empty()) {
        let (key, value) = part.split_once(char::is_whitespace).unwrap_or((part, ""));
        let pair = (key.to_owned(), value.trim().to_owned());
        draft.rule.about.metadata.push(pair);
    }
    Ok(())
}

fn target(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let end = match option.text().trim() {
        "src_ip" => End::Source,
        "dest_ip" => End::Destination,
        other => return Err(format!("`{other}` is no end: src_ip or dest_ip")),
    };
    match draft.rule.about.target.replace(end) {
        Some(before) if before != end => Err("stands twice with different ends".to_owned()),
        _ => Ok(()),
    }
}

fn noalert(draft: &mut Draft<'_>, _: &OptionText) -> Result<(), String> {
    draft.rule.noalert = true;
    Ok(())
}

/// An alert is what a match raises anyway.
fn alert(draft: &mut Draft<'_>, _: &OptionText) -> Result<(), String> {
    if draft.rule.noalert {
        return Err("contradicts noalert".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, rule, rule_of, takes};

    #[test]
    fn what_rules_say_and_near_misses() {
        takes(
            "tcp",
            &[
                "rev:2; gid:3; classtype:bad-unknown; priority:1;",
                "reference:url,a.b/c?d=1,2; metadata:a b, c d e, f;",
                "target:src_ip; noalert;",
                "priority:0;",
                "priority:256;",
                "classtype:a; classtype:b;",
            ],
        );
        refuses(
            "tcp",
            &[
                "rev:x;",
                "sid:2;",
                "rev:1; rev:2;",
                "reference:url;",
                "target:both;",
                "target:src_ip; target:dest_ip;",
                "rev:0;",
                "msg:\"a\"; msg:\"b\";",
                "classtype:a b;",
                "classtype:1;",
                "noalert; alert;",
            ],
        );
        let made = rule("tcp", "priority:4; priority:2; priority:3;").unwrap();
        assert_eq!(made.about.priority, Some(2));
        let text =
            "alert tcp any any -> any any (metadata:a b, c d e, f; msg:\"x\\;\\\"y\\\\\"; sid:1;)";
        let made = rule_of(text).unwrap();
        assert_eq!(made.about.message, "x;\"y\\");
        let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
        assert_eq!(
            made.about.metadata,
            [pair("a", "b"), pair("c", "d e"), pair("f", "")]
        );
    }
}
