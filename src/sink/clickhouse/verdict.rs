//! What an error of the store means for the rows that were sent.

use clickhouse::error::Error;

/// A failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Code of the store, or `network`, `timeout`, `http`, `other`: the label of the counter.
    pub(super) code: String,
    /// What to do.
    pub(super) verdict: Verdict,
    /// What the store said, shortened.
    pub(super) text: String,
    /// Whether it was not the store that said it, but what lets nobody through to it.
    barred: bool,
}

/// What to do with the same rows now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The store was not reached: it has none of them.
    NotSent,
    /// No answer, or none of the store's own: it may have them.
    Silence,
    /// Send them again, however long it takes: it is not about them.
    Again,
    /// The store refuses these rows, or says something nobody knows: try some more times, then quarantine.
    Refused,
    /// An older store: send them again without this setting.
    UnknownSetting(String),
}

impl Fault {
    /// Whether the store has more parts than it can merge.
    pub(super) fn is_crowded(&self) -> bool {
        self.code == TOO_MANY_PARTS.to_string() && self.verdict == Verdict::Again
    }

    /// Whether only an operator can mend it: user, key, rights, a proxy that does not let anybody through.
    pub(super) fn needs_operator(&self) -> bool {
        let locked_out = ["164", "192", "193", "194", "497", "516"].contains(&self.code.as_str());
        locked_out || self.barred
    }
}

/// The labels of failures that are known beforehand; a store may say others, too.
pub(super) fn codes() -> impl Iterator<Item = String> {
    let words = ["timeout", "network", HTTP, "other"].map(str::to_owned);
    let numbers = PASSING.iter().chain([&UNKNOWN_SETTING]);
    words.into_iter().chain(numbers.map(u32::to_string))
}

/// Judges an error, of which `text` says what people should know.
pub(super) fn judge(error: &Error, text: &str) -> Fault {
    let (code, verdict) = match error {
        Error::TimedOut => ("timeout".into(), Verdict::Silence),
        Error::Network(cause) => {
            let connect = never_connected(cause.as_ref());
            let verdict = if connect {
                Verdict::NotSent
            } else {
                Verdict::Silence
            };
            ("network".into(), verdict)
        }
        Error::BadResponse(text) => match exception_code(text) {
            Some(code) => (code.to_string(), judge_code(code, text)),
            None => (HTTP.into(), judge_status(text)),
        },
        _ => ("other".into(), Verdict::Refused),
    };
    let text = text.chars().take(TEXT_MAX).collect();
    let barred = matches!(error, Error::BadResponse(said) if bars_the_way(said));
    Fault {
        code,
        verdict,
        text,
        barred,
    }
}

fn judge_code(code: u32, text: &str) -> Verdict {
    match code {
        UNKNOWN_SETTING => quoted(text).map_or(Verdict::Refused, Verdict::UnknownSetting),
        // the other meaning, "Too many parts", passes when parts have merged
        TOO_MANY_PARTS if text.contains("Too many partitions for single INSERT block") => {
            Verdict::Refused
        }
        _ if PASSING.contains(&code) => Verdict::Again,
        _ => Verdict::Refused,
    }
}

/// Judges an answer without an exception: it comes from a proxy, or its body was cut.
fn judge_status(text: &str) -> Verdict {
    match status(text) {
        _ if bars_the_way(text) => Verdict::Again,
        Some(408 | 425 | 429) => Verdict::Again,
        Some(500..) | None => Verdict::Silence,
        Some(_) => Verdict::Refused,
    }
}

/// Whether a proxy, or what else answers at this address, keeps everybody from the store: it knows no such user, forbids
/// it, has no such path, or belongs to another host. The store says such things with a code of its own.
pub(super) fn bars_the_way(text: &str) -> bool {
    exception_code(text).is_none() && matches!(status(text), Some(401 | 403 | 404 | 407 | 421))
}

/// The status that the text of an answer begins with, where the answer had no text.
fn status(text: &str) -> Option<u16> {
    text.get(..3)?.parse().ok()
}

/// Whether the connection was never made.
fn never_connected(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let client = error.downcast_ref::<hyper_util::client::legacy::Error>();
        if let Some(client) = client {
            return client.is_connect();
        }
        next = error.source();
    }
    false
}

/// The number in `Code: N.`, wherever it stands.
fn exception_code(text: &str) -> Option<u32> {
    let (_, rest) = text.split_once("Code: ")?;
    let end = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// The first name in quotes.
fn quoted(text: &str) -> Option<String> {
    let is_quote = |c| matches!(c, '\'' | '`' | '"');
    let name = text.split(is_quote).nth(1)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(plain)).then(|| name.to_owned())
}

/// Label of answers that are not the store's own.
const HTTP: &str = "http";

const UNKNOWN_SETTING: u32 = 115;
const TOO_MANY_PARTS: u32 = 252;

/// Codes that are about the store, not about the rows: time-outs, read-only, too many queries, network and socket,
/// memory, disk, table read-only, parts, Keeper, replicas, quorum; and users, keys and rights, which an operator mends.
const PASSING: [u32; 21] = [
    159, 164, 192, 193, 194, 202, 209, 210, 241, 242, 243, 252, 254, 279, 285, 286, 319, 425, 497,
    516, 999,
];

/// Characters of an error that are kept and logged.
const TEXT_MAX: usize = 400;

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Verdict {
        judge(&Error::BadResponse(text.into()), text).verdict
    }

    #[test]
    fn errors_about_the_store_pass_and_errors_about_the_rows_do_not() {
        assert_eq!(judge(&Error::TimedOut, "").verdict, Verdict::Silence);
        for code in [
            159, 164, 202, 209, 210, 241, 242, 243, 254, 279, 285, 286, 319, 516, 999,
        ] {
            let text = format!("Code: {code}. DB::Exception: whatever");
            assert_eq!(verdict(&text), Verdict::Again, "{code}");
        }
        for code in [6, 16, 27, 33, 44, 47, 53, 60, 62, 117, 4711] {
            let text = format!("Code: {code}. DB::Exception: whatever");
            assert_eq!(verdict(&text), Verdict::Refused, "{code}");
        }
    }

    #[test]
    fn code_252_has_two_meanings() {
        let ours =
            "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 100)";
        assert_eq!(verdict(ours), Verdict::Refused);
        let busy = "Code: 252. DB::Exception: Too many parts (3000) in all data parts in total";
        assert_eq!(verdict(busy), Verdict::Again);
        let crowded = |text: &str| judge(&Error::BadResponse(text.into()), text).is_crowded();
        assert!(crowded(busy) && !crowded(ours));
        assert!(!crowded("Code: 241. DB::Exception: Memory limit exceeded"));
    }

    #[test]
    fn settings_and_statuses() {
        let unknown =
            "Code: 115. DB::Exception: Unknown setting 'insert_deduplicate'. (UNKNOWN_SETTING)";
        assert_eq!(
            verdict(unknown),
            Verdict::UnknownSetting("insert_deduplicate".into())
        );
        // a proxy may have passed it on before it gave up
        assert_eq!(verdict("503 Service Unavailable"), Verdict::Silence);
        assert_eq!(verdict("429 Too Many Requests"), Verdict::Again);
        assert_eq!(verdict("413 Payload Too Large"), Verdict::Refused);
        assert_eq!(verdict("400 Bad Request"), Verdict::Refused);
        assert_eq!(verdict("<html>bad gateway</html>"), Verdict::Silence);
    }

    #[test]
    fn what_a_proxy_forbids_says_nothing_about_the_rows() {
        let fault = |text: &str| judge(&Error::BadResponse(text.into()), text);
        for text in [
            "401 Unauthorized",
            "403 Forbidden",
            "404 Not Found",
            "421 Misdirected Request",
        ] {
            let fault = fault(text);
            assert_eq!(fault.verdict, Verdict::Again, "{text}");
            assert!(fault.needs_operator(), "{text}");
        }
        for text in [
            "408 Request Timeout",
            "425 Too Early",
            "429 Too Many Requests",
        ] {
            let fault = fault(text);
            assert_eq!(fault.verdict, Verdict::Again, "{text}");
            assert!(!fault.needs_operator(), "{text}: it passes");
        }
        // the store's own, which has a code
        assert_eq!(
            verdict("404 Code: 60. DB::Exception: no table"),
            Verdict::Refused
        );
    }
}
