//! What an error of the store means for the rows that were sent.

use super::connection::NO_DATABASE;
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
    /// Whether the store lacks the database or the table.
    pub(super) lacking: bool,
    /// Whether the store surely has none of the rows that were sent.
    pub(super) untouched: bool,
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

    /// Whether there is no database at all.
    pub(super) fn lacks_database(&self) -> bool {
        self.lacking && self.code == NO_DATABASE.to_string()
    }

    /// The store lacks a table.
    pub(super) fn of_lacking(table: &str) -> Fault {
        let said = format!("Code: 60. DB::Exception: Table {table} does not exist");
        judge(&Error::BadResponse(said.clone()), &said)
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
        // a user or a password that cannot be sent
        Error::InvalidParams(_) => ("other".into(), Verdict::NotSent),
        _ => ("other".into(), Verdict::Refused),
    };
    let text = text.chars().take(TEXT_MAX).collect();
    let barred = matches!(error, Error::BadResponse(said) if bars_the_way(said));
    let lacking = matches!(error, Error::BadResponse(said) if lacks_tables(said));
    let untouched = match error {
        Error::BadResponse(said) => leaves_nothing(said, &verdict),
        _ => verdict == Verdict::NotSent,
    };
    Fault {
        code,
        verdict,
        text,
        barred,
        lacking,
        untouched,
    }
}

/// Whether an answer says that no row was written. An error in a view does not: its source has the rows by then. (What a code means
/// that nobody knows, nobody knows.)
fn leaves_nothing(said: &str, verdict: &Verdict) -> bool {
    match exception_code(said) {
        Some(code) => {
            let before = code == UNKNOWN_SETTING || BEFORE_WRITING.contains(&code);
            let ours = code == TOO_MANY_PARTS && *verdict == Verdict::Refused;
            (before || ours) && !said.contains(IN_A_VIEW)
        }
        None => *verdict != Verdict::Silence && !matches!(status(said), Some(408 | 425 | 429)),
    }
}

fn judge_code(code: u32, text: &str) -> Verdict {
    match code {
        UNKNOWN_SETTING => quoted(text).map_or(Verdict::Refused, Verdict::UnknownSetting),
        // the other meaning, "Too many parts", passes when parts have merged
        TOO_MANY_PARTS if text.contains("Too many partitions for single INSERT block") => {
            Verdict::Refused
        }
        _ if PASSING.contains(&code) || LACKING.contains(&code) => Verdict::Again,
        _ => Verdict::Refused,
    }
}

/// Judges an answer without an exception: it comes from a proxy, or its body was cut.
fn judge_status(text: &str) -> Verdict {
    match status(text) {
        // what says that all is well may have passed it on
        Some(..300 | 500..) | None => Verdict::Silence,
        Some(408 | 425 | 429) => Verdict::Again,
        _ if bars_the_way(text) => Verdict::Again,
        Some(_) => Verdict::Refused,
    }
}

/// Whether a proxy, or what else answers at this address, keeps everybody from the store: it knows no such user, forbids
/// it, has no such path, belongs to another host, sends us elsewhere, or has a page of its own. The store says such things with a code of
/// its own, and that all is well with headers of its own.
pub(super) fn bars_the_way(text: &str) -> bool {
    let status = status(text).filter(|_| exception_code(text).is_none());
    matches!(status, Some(..=399 | 401 | 403 | 404 | 407 | 421))
}

/// The status that the text of an answer begins with which is not the store's.
pub(super) fn status(text: &str) -> Option<u16> {
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

/// The number in the `Code: N.` that what the store says begins with. Further behind it is somebody else's: a page of a proxy may
/// have such words, too.
pub(super) fn exception_code(text: &str) -> Option<u32> {
    let rest = text.strip_prefix("Code: ")?;
    let digits = rest.split('.').next()?;
    digits.parse().ok()
}

/// Whether the store says that a database or a table is not there. Rows go into tables of ours alone: it was dropped, or is not made yet.
pub(super) fn lacks_tables(text: &str) -> bool {
    exception_code(text).is_some_and(|code| LACKING.contains(&code))
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

/// No such table, no such database.
const LACKING: [u32; 2] = [60, NO_DATABASE];

/// Codes of what the store finds wrong before it writes anything: it cannot read the rows, or has no such table, column or user.
const BEFORE_WRITING: [u32; 17] = [
    6, 16, 20, 27, 33, 44, 47, 53, 60, 62, 81, 117, 192, 193, 194, 497, 516,
];

/// What the store adds to an error that came up in a view of the table.
const IN_A_VIEW: &str = "pushing to view";

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
        for code in [60, 81] {
            let text = format!("Code: {code}. DB::Exception: whatever");
            let fault = judge(&Error::BadResponse(text.clone()), &text);
            assert_eq!((fault.verdict, fault.lacking), (Verdict::Again, true));
        }
        for code in [6, 16, 27, 33, 44, 47, 53, 62, 117, 4711] {
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
    fn only_what_fails_before_it_is_written_leaves_nothing() {
        let untouched = |text: &str| judge(&Error::BadResponse(text.into()), text).untouched;
        for text in [
            "Code: 16. DB::Exception: No such column nope in table probe.a",
            "Code: 60. DB::Exception: Table probe.nothere does not exist.",
            "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 1)",
            "404 Not Found",
            "413 Payload Too Large",
        ] {
            assert!(untouched(text), "{text}");
        }
        // as the engine says it, far behind what is kept of a text
        let long = "x".repeat(TEXT_MAX);
        let view = format!(
            "Code: 252. DB::Exception: Too many partitions for single INSERT block (more than 1). {long}: while pushing to view p.ab. (TOO_MANY_PARTS)"
        );
        for text in [
            &view,
            "Code: 395. DB::Exception: Value passed to 'throwIf': while pushing to view probe.ab.",
            "Code: 241. DB::Exception: Memory limit exceeded",
            "Code: 9999. DB::Exception: An error of a version to come",
            "503 Service Unavailable",
            "429 Too Many Requests",
            "200 OK: <html>Log in</html>",
        ] {
            assert!(!untouched(text), "{text}");
        }
        assert!(!judge(&Error::TimedOut, "").untouched);
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
            "302 Found: <p>Code: 27. DB::Exception",
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
        for text in ["200 OK: <html>Log in</html>", "204 No Content"] {
            let fault = fault(text);
            assert_eq!(fault.verdict, Verdict::Silence, "{text}");
            assert!(fault.needs_operator(), "{text}");
        }
        // words of the store on a page of somebody else's
        assert_eq!(
            verdict("502 Bad Gateway: <p>Code: 27. DB::Exception: rows"),
            Verdict::Silence
        );
    }
}
