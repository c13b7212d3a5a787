//! `pcre`: Perl's regular expressions, with Suricata's flags and limits.

use super::super::buffer::Buffer;
use super::super::content::quoted;
use super::super::draft::Draft;
use super::super::rule::{Capture, Pcre, Step};
use super::super::settings::Settings;
use super::super::syntax::OptionText;
use super::{Keyword, Need};
use pcre2::bytes::RegexBuilder;

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[Keyword { name: "pcre", value: Need::Value, apply: pcre }];

fn pcre(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let settings = &draft.context.settings;
    let value = option.value.as_deref().unwrap_or_default();
    let (negated, text) = match value {
        // an expression has ends of its own
        [b'!', rest @ ..] if rest.trim_ascii_start().starts_with(b"/") => {
            (true, rest.trim_ascii_start())
        }
        [b'/', ..] => (false, value),
        _ => quoted(value)?,
    };
    // Perl's operator may be written
    let text = text.strip_prefix(b"m").unwrap_or(text);
    if text.len() > settings.pcre_bytes_max {
        return Err(format!(
            "longer than {} bytes (pcre_bytes_max)",
            settings.pcre_bytes_max
        ));
    }
    let end = text.iter().rposition(|b| *b == b'/').filter(|end| *end > 0);
    let (Some(b'/'), Some(end)) = (text.first(), end) else {
        return Err("is written \"/expression/flags\"".to_owned());
    };
    let after = &text[end + 1..];
    let comma = after.iter().position(|b| *b == b',').unwrap_or(after.len());
    let flags = Flags::parse(&after[..comma])?;
    if flags.buffer.is_some_and(|b| b.name() == "http.host") && has_upper_case(&text[1..end]) {
        return Err("http.host is in lower case: this can never match".to_owned());
    }
    let regex = compiled(&text[1..end], &flags, settings)?;
    let captures = captures(&after[comma..])?;
    if captures.len() >= regex.captures_len() {
        return Err(format!(
            "names {} groups and has {}",
            captures.len(),
            regex.captures_len() - 1
        ));
    }
    let step = Step::Pcre(Pcre {
        text: String::from_utf8_lossy(text).into_owned(),
        regex,
        negated,
        relative: flags.relative,
        anchored: flags.anchored,
        captures,
    });
    let buffer = flags.buffer.unwrap_or(Buffer::PAYLOAD);
    if flags.relative && !draft.follows_a_match(buffer) {
        return Err(format!(
            "R counts from the last match and {} has none before it",
            buffer.name()
        ));
    }
    match flags.buffer {
        Some(buffer) => draft.push_legacy(buffer, step),
        None => draft.push(step),
    }
}

/// Whether a letter that stands for itself is in upper case.
fn has_upper_case(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += match (byte, text.get(at + 1)) {
            (b'\\', Some(b'x')) => 4,
            (b'\\', _) => 2,
            (b'A'..=b'Z', _) => return true,
            _ => 1,
        };
    }
    false
}

#[derive(Default)]
struct Flags {
    caseless: bool,
    dot_all: bool,
    multi_line: bool,
    extended: bool,
    anchored: bool,
    end_only: bool,
    ungreedy: bool,
    relative: bool,
    buffer: Option<Buffer>,
}

impl Flags {
    fn parse(text: &[u8]) -> Result<Self, String> {
        let mut flags = Self::default();
        for &byte in text {
            match byte {
                b'i' => flags.caseless = true,
                b's' => flags.dot_all = true,
                b'm' => flags.multi_line = true,
                b'x' => flags.extended = true,
                b'A' => flags.anchored = true,
                b'E' => flags.end_only = true,
                b'G' => flags.ungreedy = true,
                b'R' => flags.relative = true,
                // on the bytes as sent, which they are; limits of one's own, which nobody gets here
                b'B' | b'O' => {}
                b'K' => {
                    return Err("the flag K is Snort's (raw cookie): write http.cookie".to_owned());
                }
                other => {
                    let flag = char::from(other);
                    let buffer = Buffer::of_pcre_flag(flag)
                        .ok_or_else(|| format!("`{}` is no flag", other.escape_ascii()))?;
                    if flags.buffer.replace(buffer).is_some() {
                        return Err("has flags of two buffers".to_owned());
                    }
                }
            }
        }
        Ok(flags)
    }
}

/// `, flow:name, pkt:name`: what groups are kept as.
fn captures(text: &[u8]) -> Result<Vec<(Capture, String)>, String> {
    let text = String::from_utf8_lossy(text);
    let mut captures = vec![];
    for part in text.split(',').skip(1) {
        let pair = part
            .trim()
            .split_once(':')
            .map(|(scope, name)| (scope, name.trim().to_owned()));
        captures.push(match pair {
            Some(("flow", name)) if !name.is_empty() => (Capture::Flow, name),
            Some(("pkt", name)) if !name.is_empty() => (Capture::Packet, name),
            Some(("alert", name)) if !name.is_empty() => (Capture::Alert, name),
            _ => {
                return Err(format!(
                    "`{}` is no capture: flow:NAME, pkt:NAME, alert:NAME",
                    part.trim()
                ));
            }
        });
    }
    Ok(captures)
}

fn compiled(
    text: &[u8],
    flags: &Flags,
    settings: &Settings,
) -> Result<pcre2::bytes::Regex, String> {
    let mut pattern = format!(
        "(*LIMIT_MATCH={})(*LIMIT_DEPTH={})",
        settings.pcre_match_limit, settings.pcre_depth_limit
    );
    // an expression may not raise its own limits, nor change how newlines or the text itself are read
    if text.starts_with(b"(*") {
        return Err("may not begin with `(*`".to_owned());
    }
    let start = pattern.len();
    if flags.ungreedy {
        pattern += "(?U)";
    }
    if flags.anchored {
        pattern += "\\A(?:";
    }
    push_ascii(&mut pattern, text, flags.end_only && !flags.multi_line);
    if flags.anchored {
        pattern += if flags.extended { "\n)" } else { ")" };
    }
    RegexBuilder::new()
        .caseless(flags.caseless)
        .dotall(flags.dot_all)
        .multi_line(flags.multi_line)
        .extended(flags.extended)
        .jit_if_available(true)
        .build(&pattern)
        .map_err(|e| {
            let at = e.offset().map(|o| o.saturating_sub(start));
            let at = at.map_or_else(String::new, |at| {
                format!(" (at byte {at} of the expression)")
            });
            format!("{}{at}", e.to_string().trim_start_matches("PCRE2: "))
        })
}

/// Bytes that are no ASCII as `\xHH`; with `end_only`, `$` as the very end.
fn push_ascii(pattern: &mut String, text: &[u8], end_only: bool) {
    let (mut escaped, mut class) = (false, false);
    for &byte in text {
        if !byte.is_ascii() || byte == 0 {
            if escaped {
                pattern.pop();
            }
            *pattern += &format!("\\x{byte:02x}");
            escaped = false;
            continue;
        }
        match byte {
            b'[' if !escaped => class = true,
            b']' if !escaped => class = false,
            _ => {}
        }
        if byte == b'$' && end_only && !escaped && !class {
            *pattern += "\\z";
        } else {
            pattern.push(char::from(byte));
        }
        escaped = !escaped && byte == b'\\';
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, rule, takes};
    use super::*;

    fn regex(options: &str) -> pcre2::bytes::Regex {
        let made = rule("tcp", options).unwrap_or_else(|e| panic!("{options}: {e}"));
        match &made.groups[0].steps[0] {
            Step::Pcre(pcre) => pcre.regex.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_and_their_near_misses() {
        takes(
            "http",
            &[
                "pcre:\"/a/\";",
                "content:\"a\"; pcre:!\"/a\\/b/Ri\";",
                "pcre:\"/a/U\";",
                "pcre:/a/;",
                "pcre:!/a/i;",
                "pcre:\"m/a/\";",
                "pcre:\"/^(?P<x>a)(?=b)(?<!c)\\x00[^\\n]++$/smixAEGBO\";",
                "http.uri; pcre:\"/a/R\";",
                "http.uri; pcre:\"/a/U\";",
                "file_data; pcre:\"/a/Q\";",
                "content:\"a\"; http_uri; pcre:\"/a/UR\";",
                "pcre:\"/(a)(b)/VG, flow:key,flow:value\";",
            ],
        );
        refuses(
            "http",
            &[
                "pcre:\"a\";",
                "pcre:\"/a\";",
                "pcre:\"/a/q\";",
                "pcre:\"/(a/\";",
                "pcre:\"/a/UH\";",
                "pcre:/a;",
                "pcre:\"/(a)/, flow:a, flow:b\";",
                "pcre:\"/(a)/, host:a\";",
                "http.uri; content:\"a\"; pcre:\"/a/H\";",
                "pcre:\"/a/R\";",
                "content:\"a\"; pcre:\"/a/UR\";",
                "pcre:\"/(*LIMIT_MATCH=9)a/\";",
                "pcre:\"/a/K\";",
            ],
        );
        refuses("tls", &["pcre:\"/a/U\";"]);
    }

    #[test]
    fn what_flags_mean() {
        let finds = |options: &str, text: &[u8]| regex(options).is_match(text).unwrap();
        assert!(finds("pcre:\"/a$/\";", b"a\n") && !finds("pcre:\"/a$/E\";", b"a\n"));
        assert!(finds("pcre:\"/a/\";", b"ba") && !finds("pcre:\"/a/A\";", b"ba"));
        assert!(finds("pcre:\"/A/i\";", b"a") && finds("pcre:\"/a.b/s\";", b"a\nb"));
        assert!(finds("pcre:\"/\\x00\\xff/\";", b"\0\xff") && finds("pcre:\"/a b#c/x\";", b"ab"));
    }

    #[test]
    fn steps_are_bounded() {
        let text = [b'a'; 60];
        assert!(regex("pcre:\"/(a+)+$/\";").is_match(b"aaa").unwrap());
        let long = [&text[..], b"!"].concat();
        assert!(regex("pcre:\"/^(a+)+$/\";").is_match(&long).is_err());
    }
}
