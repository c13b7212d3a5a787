//! `content` and its modifiers.

use super::super::buffer::Buffer;
use super::super::content::{bytes_of, quoted};
use super::super::draft::Draft;
use super::super::rule::{Content, FastPattern, Step, Value};
use super::super::syntax::OptionText;
use super::{Keyword, Need};

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword { name: "content", value: Need::Value, apply: content },
    Keyword { name: "uricontent", value: Need::Value, apply: uricontent },
    Keyword { name: "nocase", value: Need::None, apply: nocase },
    Keyword { name: "rawbytes", value: Need::None, apply: rawbytes },
    Keyword { name: "offset", value: Need::Value, apply: offset },
    Keyword { name: "depth", value: Need::Value, apply: depth },
    Keyword { name: "distance", value: Need::Value, apply: distance },
    Keyword { name: "within", value: Need::Value, apply: within },
    Keyword { name: "startswith", value: Need::None, apply: startswith },
    Keyword { name: "endswith", value: Need::None, apply: endswith },
    Keyword { name: "fast_pattern", value: Need::Maybe, apply: fast_pattern },
];

const ABSOLUTE_MAX: i64 = 65_535;
const RELATIVE_MAX: i64 = 1_048_576;
const MIXED: &str = "offset and depth count from the start, distance and within from the last match: a content has one pair";

fn content(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let step = parsed(draft, option)?;
    draft.push(step)
}

fn uricontent(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let step = parsed(draft, option)?;
    let uri = Buffer::sticky("http.uri").ok_or("no http.uri")?;
    draft.push_legacy(uri, step)
}

fn parsed(draft: &Draft<'_>, option: &OptionText) -> Result<Step, String> {
    let (negated, text) = quoted(option.value.as_deref().unwrap_or_default())?;
    let pattern = bytes_of(text)?;
    let limit = draft.context.settings.content_bytes_max;
    if pattern.is_empty() {
        return Err("is empty".to_owned());
    }
    if pattern.len() > limit {
        return Err(format!("longer than {limit} bytes (content_bytes_max)"));
    }
    Ok(Step::Content(Content {
        pattern,
        negated,
        ..Content::default()
    }))
}

fn nocase(draft: &mut Draft<'_>, _: &OptionText) -> Result<(), String> {
    let content = draft.last_content()?;
    if content.nocase {
        return Err("stands twice for one content".to_owned());
    }
    content.nocase = true;
    content.pattern.make_ascii_lowercase();
    Ok(())
}

fn rawbytes(draft: &mut Draft<'_>, _: &OptionText) -> Result<(), String> {
    let (group, _) = draft.last.ok_or("needs a content before it")?;
    if draft.rule.groups[group].buffer != Buffer::PAYLOAD {
        return Err("and a buffer exclude each other".to_owned());
    }
    let content = draft.last_content()?;
    if content.rawbytes {
        return Err("stands twice for one content".to_owned());
    }
    content.rawbytes = true;
    Ok(())
}

fn offset(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let value = number(draft, option, 0, ABSOLUTE_MAX)?;
    let content = draft.last_content()?;
    if content.startswith {
        return Err("startswith says where already".to_owned());
    }
    if content.distance.is_some() || content.within.is_some() {
        return Err(MIXED.to_owned());
    }
    once(&mut content.offset, value)?;
    agrees(content)
}

fn depth(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let value = number(draft, option, 0, ABSOLUTE_MAX)?;
    let content = draft.last_content()?;
    if content.startswith {
        return Err("startswith says where already".to_owned());
    }
    if content.distance.is_some() || content.within.is_some() {
        return Err(MIXED.to_owned());
    }
    long_enough(value, content)?;
    once(&mut content.depth, value)?;
    agrees(content)
}

fn distance(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let value = number(draft, option, -RELATIVE_MAX, RELATIVE_MAX)?;
    let content = draft.last_content()?;
    if content.offset.is_some() || content.depth.is_some() || content.startswith {
        return Err(MIXED.to_owned());
    }
    once(&mut content.distance, value)?;
    agrees(content)
}

fn within(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let value = number(draft, option, -RELATIVE_MAX, RELATIVE_MAX)?;
    let content = draft.last_content()?;
    if content.offset.is_some() || content.depth.is_some() || content.startswith {
        return Err(MIXED.to_owned());
    }
    long_enough(value, content)?;
    once(&mut content.within, value)?;
    agrees(content)
}

fn startswith(draft: &mut Draft<'_>, _: &OptionText) -> Result<(), String> {
    let content = draft.last_content()?;
    if content.startswith || content.depth.is_some() || content.offset.is_some() {
        return Err("depth, offset or startswith says where already".to_owned());
    }
    if content.distance.is_some() || content.within.is_some() {
        return Err(MIXED.to_owned());
    }
    content.startswith = true;
    agrees(content)
}

fn endswith(draft: &mut Draft<'_>, _: &OptionText) -> Result<(), String> {
    draft.last_content()?.endswith = true;
    Ok(())
}

fn fast_pattern(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let marked = draft.contents().any(|c| c.fast_pattern.is_some());
    let content = draft.last_content()?;
    if marked {
        return Err("stands for one content of a rule only".to_owned());
    }
    let text = option.text();
    content.fast_pattern = Some(match text.trim() {
        "" => FastPattern::Whole,
        "only" => FastPattern::Only,
        part => {
            let numbers = part.split_once(',').and_then(|(a, b)| {
                Some((a.trim().parse::<u16>().ok()?, b.trim().parse::<u16>().ok()?))
            });
            let (at, length) = numbers.ok_or("takes nothing, `only`, or `offset,length`")?;
            let end = usize::from(at) + usize::from(length);
            if length == 0 || end > content.pattern.len() {
                return Err(format!("the content has {} bytes", content.pattern.len()));
            }
            FastPattern::Part(at, length)
        }
    });
    agrees(content)
}

/// What may not stand together, in whatever order it came.
fn agrees(content: &Content) -> Result<(), String> {
    let placed = content.offset.is_some()
        || content.depth.is_some()
        || content.distance.is_some()
        || content.within.is_some()
        || content.startswith;
    match content.fast_pattern {
        Some(FastPattern::Only) if placed || content.negated => {
            Err("fast_pattern:only goes with no negation and no place in the buffer".to_owned())
        }
        Some(_) if content.negated && placed => {
            Err("fast_pattern of a negated content goes with no place in the buffer".to_owned())
        }
        _ => Ok(()),
    }
}

fn once(slot: &mut Option<Value>, value: Value) -> Result<(), String> {
    match slot.replace(value) {
        Some(_) => Err("stands twice for one content".to_owned()),
        None => Ok(()),
    }
}

fn long_enough(value: Value, content: &Content) -> Result<(), String> {
    let length = content.pattern.len();
    match value {
        Value::Fixed(n) if n < i64::try_from(length).unwrap_or(i64::MAX) => Err(format!(
            "{n} is less than the {length} bytes of the content"
        )),
        _ => Ok(()),
    }
}

fn number(draft: &Draft<'_>, option: &OptionText, min: i64, max: i64) -> Result<Value, String> {
    let text = option.text();
    super::byte::value(draft, &text, min, max)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, rule, takes};

    #[test]
    fn modifiers_and_their_near_misses() {
        takes(
            "tcp",
            &[
                "content:\"a\"; nocase; offset:1; depth:5;",
                "content:!\"a\"; distance:0; within:1;",
                "content:\"ab\"; startswith; endswith;",
                "content:\"a\"; content:\"b\"; distance:-3;",
                "content:\"b\"; distance:0; within:7; endswith;",
                "content:\"abcd\"; fast_pattern:1,2; content:\"b\";",
                "content:!\"abcd\"; fast_pattern;",
                "content:\"a\"; fast_pattern:only;",
                "content:\"a\"; rawbytes;",
                "byte_extract:1,0,n; content:\"a\"; offset:n; depth:n;",
                "uricontent:\"/a\"; nocase;",
            ],
        );
        refuses(
            "tcp",
            &[
                "nocase; content:\"a\";",
                "content:\"\";",
                "content:a;",
                "content:\"a\"; nocase; nocase;",
                "content:\"a\"; offset:1; distance:1;",
                "content:\"a\"; within:1; depth:1;",
                "content:\"abc\"; depth:2;",
                "content:\"abc\"; within:2;",
                "content:\"abc\"; depth:3; depth:3;",
                "content:\"a\"; startswith; depth:1;",
                "content:\"a\"; depth:1; startswith;",
                "content:\"a\"; startswith; distance:0;",
                "content:\"a\"; offset:n;",
                "content:\"a\"; offset:-1;",
                "content:\"a\"; depth:65536;",
                "content:\"a\"; fast_pattern; content:\"b\"; fast_pattern;",
                "content:\"abc\"; fast_pattern:2,2;",
                "content:\"abc\"; fast_pattern:0,0;",
                "content:\"abc\"; fast_pattern:often;",
                "content:!\"abc\"; fast_pattern; offset:1;",
                "content:\"abc\"; fast_pattern:only; depth:9;",
                "content:\"a\"; http_uri; rawbytes;",
                "http.uri; content:\"a\"; rawbytes;",
            ],
        );
        let made = rule("tcp", "content:\"AB|43|\"; nocase;").unwrap();
        assert_eq!(made.contents().next().unwrap().1.pattern, b"abc");
    }

    #[test]
    fn snort_3_commas_are_told() {
        let reason = rule("tcp", "content:\"a\",nocase,depth 4;").unwrap_err();
        assert!(reason.contains("Snort 3"), "{reason}");
    }
}
