//! How often: `threshold`, `detection_filter`.

use super::super::draft::Draft;
use super::super::rule::{Threshold, ThresholdKind, Track};
use super::super::syntax::OptionText;
use super::{Keyword, Need, parts};

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword { name: "threshold", value: Need::Value, apply: threshold },
    Keyword { name: "detection_filter", value: Need::Value, apply: detection_filter },
    Keyword { name: "tag", value: Need::Value, apply: tag },
];

fn threshold(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let made = parse(&parts(option), true)?;
    match draft.rule.threshold.replace(made) {
        Some(_) => Err("stands twice".to_owned()),
        None => Ok(()),
    }
}

fn detection_filter(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let made = parse(&parts(option), false)?;
    if matches!(made.track, Track::ByRule | Track::ByBoth) {
        return Err("tracks by_src, by_dst or by_flow".to_owned());
    }
    match draft.rule.detection_filter.replace(made) {
        Some(_) => Err("stands twice".to_owned()),
        None => Ok(()),
    }
}

/// Logging of what follows is the store's, which keeps it anyway: read, and nothing is done.
fn tag(_: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    let metric = parts.get(2).map_or("", String::as_str);
    let is_metric = matches!(metric, "seconds" | "packets" | "bytes");
    match (parts[0].as_str(), parts.len()) {
        ("session", 1) => Ok(()),
        ("session", 3) | ("host", 3..=4) if is_metric => Ok(()),
        _ => Err("is `session` or `host`, how many, of what".to_owned()),
    }
}

/// Reads words in any order; `kinds`: whether `type` is among them.
pub(in super::super) fn parse(words: &[String], kinds: bool) -> Result<Threshold, String> {
    let (mut kind, mut track, mut count, mut seconds) = (None, None, None, None);
    for word in words {
        let (name, value) = word
            .split_once(char::is_whitespace)
            .ok_or_else(|| format!("`{word}` is not a name and a value"))?;
        let value = value.trim();
        let number = || value.parse::<u32>().ok();
        let twice = match name {
            "type" if kinds => {
                let made = match value {
                    "limit" => ThresholdKind::Limit,
                    "threshold" => ThresholdKind::Threshold,
                    "both" => ThresholdKind::Both,
                    "backoff" => return Err("`backoff` is of Suricata 8".to_owned()),
                    _ => return Err(format!("`{value}` is no type: limit, threshold, both")),
                };
                kind.replace(made).is_some()
            }
            "track" => track.replace(track_of(value)?).is_some(),
            "count" => count
                .replace(number().ok_or("count is a number")?)
                .is_some(),
            // without any each match has a window of its own
            "seconds" => seconds
                .replace(number().ok_or("seconds is a number")?)
                .is_some(),
            _ => return Err(format!("`{name}` is not known here")),
        };
        if twice {
            return Err(format!("`{name}` stands twice"));
        }
    }
    let lacks = |name: &str| format!("lacks `{name}`");
    if kinds && kind.is_none() {
        return Err(lacks("type"));
    }
    // the first match of a window is within any limit
    let is_limit = kind == Some(ThresholdKind::Limit);
    let count = count.map(|n| if is_limit { n.max(1) } else { n });
    if count == Some(0) {
        return Err("count is a number above 0".to_owned());
    }
    Ok(Threshold {
        kind: kind.unwrap_or(ThresholdKind::Threshold),
        track: track.ok_or_else(|| lacks("track"))?,
        count: count.ok_or_else(|| lacks("count"))?,
        seconds: seconds.ok_or_else(|| lacks("seconds"))?,
    })
}

pub(in super::super) fn track_of(text: &str) -> Result<Track, String> {
    Ok(match text {
        "by_src" => Track::BySrc,
        "by_dst" => Track::ByDst,
        "by_both" => Track::ByBoth,
        "by_rule" => Track::ByRule,
        "by_flow" => Track::ByFlow,
        "by_either" => Track::ByEither,
        _ => {
            return Err(format!(
                "`{text}` is nothing to track: by_src, by_dst, by_both, by_rule, by_flow"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, takes};

    #[test]
    fn thresholds_and_their_near_misses() {
        takes(
            "tcp",
            &[
                "threshold:type limit,track by_src,seconds 60, count 1;",
                "threshold:type limit,track by_src,seconds 0,count 1;",
                "threshold:type limit,track by_src,seconds 5,count 0;",
                "threshold: count 5, seconds 3, type both, track by_rule;",
                "detection_filter:track by_dst, count 3, seconds 9;",
                "tag:session,5,packets;",
            ],
        );
        refuses(
            "tcp",
            &[
                "threshold:track by_src,seconds 60,count 1;",
                "threshold:type limit,track by_src,count 1;",
                "threshold:type both,track by_src,seconds 1,count 0;",
                "threshold:type limit,track by_nobody,seconds 1,count 1;",
                "threshold:type limit,type limit,track by_src,seconds 1,count 1;",
                "threshold:type often,track by_src,seconds 1,count 1;",
                "detection_filter:type limit,track by_src,count 1,seconds 1;",
                "detection_filter:track by_src,count 1,seconds 1; threshold:type limit,track by_src,seconds 1,count 1;",
                "tag:nobody;",
                "tag:session,10;",
                "tag:session,10,hours;",
            ],
        );
    }
}
