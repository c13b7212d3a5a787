//! Every fault of a configuration text, with line, column and cure.

use serde::de::DeserializeOwned;
use std::fmt;

/// Most faults that are reported for one text.
const FAULTS_MAX: usize = 50;

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line from 1; 0 when the fault is of no single line.
    pub line: usize,
    /// Column from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it; empty where the message says it.
    pub cure: String,
}

impl Fault {
    /// A fault of the settings as such; the message begins with the key (`receive.batch must be ...`).
    pub fn of(message: String) -> Fault {
        Fault {
            line: 0,
            column: 0,
            message,
            cure: String::new(),
        }
    }

    /// A fault at a place of the text, bytes from its start.
    pub fn at(text: &str, at: usize, message: &str) -> Fault {
        describe(text, at, message)
    }

    /// Finds the line of the key that the message begins with.
    pub fn placed(mut self, text: &str) -> Fault {
        let path = self
            .message
            .split([' ', ':', ','])
            .next()
            .unwrap_or_default();
        let Some((table, key)) = path.rsplit_once('.') else {
            return self;
        };
        let mut inside = false;
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.starts_with('[') {
                let header = line.trim_matches(['[', ']']);
                inside = header == table;
                if header == path {
                    (self.line, self.column) = (i + 1, 1);
                    break;
                }
            } else if inside && line.split('=').next().is_some_and(|k| k.trim() == key) {
                (self.line, self.column) = (i + 1, 1);
                break;
            } else if line.starts_with(path) || line.starts_with(table) && line.contains(key) {
                // `table.key = ...` or `table = { key = ... }`; a plainer line may follow
                (self.line, self.column) = (i + 1, 1);
            }
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}: ", self.line, self.column)?;
        }
        f.write_str(&self.message)?;
        if !self.cure.is_empty() {
            write!(f, " ({})", self.cure)?;
        }
        Ok(())
    }
}

/// Parses a TOML text; every fault is listed, not just the first: what is at fault is blanked out and the rest is parsed
/// again. The value is what the rest says, if anything can be told from it.
pub fn parse<T: DeserializeOwned>(text: &str) -> (Option<T>, Vec<Fault>) {
    let mut rest = text.to_owned();
    let mut faults = vec![];
    loop {
        let error = match toml::from_str::<T>(&rest) {
            Ok(value) => return (Some(value), faults),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        faults.push(describe(text, span.start, error.message()));
        if span.is_empty() || faults.len() >= FAULTS_MAX || !blank(&mut rest, span) {
            return (None, faults);
        }
    }
}

/// Replaces the statements that a span touches by spaces, so that places in the text stay what they are. A table
/// header of an unknown name becomes one whose content cannot be at fault again.
fn blank(text: &mut String, span: std::ops::Range<usize>) -> bool {
    // a parser's span may begin or end inside of a character; line ends never do
    let bytes = text.as_bytes();
    let (from, to) = (span.start.min(bytes.len()), span.end.min(bytes.len()));
    let newline = |b: &u8| *b == b'\n';
    let start = bytes[..from].iter().rposition(newline).map_or(0, |n| n + 1);
    let mut end = bytes[to..]
        .iter()
        .position(newline)
        .map_or(bytes.len(), |n| to + n);
    if text[start..end].trim_start().starts_with('[') {
        end = text[end..].find("\n[").map_or(text.len(), |n| end + n);
    }
    // as many bytes as before: what comes later stays where it is
    let blanked: String = text[start..end]
        .bytes()
        .map(|b| if b == b'\n' { '\n' } else { ' ' })
        .collect();
    let same = blanked == text[start..end];
    text.replace_range(start..end, &blanked);
    !same
}

fn describe(text: &str, at: usize, message: &str) -> Fault {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let before = &text[..at];
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let message = message.trim().replace('\n', "; ");
    let known = |(said, _): &&(&str, &str)| message.contains(said);
    let cure = CURES.iter().find(known).map(|(_, cure)| (*cure).to_owned());
    Fault {
        line,
        column,
        cure: nearest(&message).or(cure).unwrap_or_default(),
        message,
    }
}

/// What the parser says, and what to do about it.
const CURES: &[(&str, &str)] = &[
    (
        "invalid socket address",
        "write address and port, as in \"0.0.0.0:2055\" or \"[::]:2055\"",
    ),
    (
        "invalid IP address",
        "write an address in numbers, as in \"192.0.2.1\"",
    ),
    (
        "expected a sequence",
        "write a list in brackets, as in [\"a\", \"b\"]",
    ),
    (
        "expected a boolean",
        "write true or false, without quotation marks",
    ),
    (
        "expected usize",
        "write a whole number from 0, without unit and quotation marks",
    ),
    (
        "expected u",
        "write a whole number from 0, without unit and quotation marks",
    ),
    ("expected path string", "write a text in quotation marks"),
    ("expected a string", "write a text in quotation marks"),
    ("duplicate key", "keep one of the two"),
];

/// For `unknown field/variant X, expected one of ...`: the known name that is nearest to X.
fn nearest(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = message
        .starts_with("unknown ")
        .then(|| quoted.next())
        .flatten()?;
    let best = quoted.max_by(|a, b| {
        strsim::jaro_winkler(a, unknown).total_cmp(&strsim::jaro_winkler(b, unknown))
    })?;
    (strsim::jaro_winkler(best, unknown) > 0.7).then(|| format!("did you mean `{best}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Inner {
        rows_max: u32,
        name: String,
    }

    #[derive(Debug, Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Outer {
        inner: Inner,
        other: Inner,
    }

    #[test]
    fn every_fault_has_its_place_and_a_cure() {
        let text = "[inner]\nrow_max = 1\nname = 7\n[othr]\nx = 1\n[other]\nrows_max = -1\n";
        let (_, mut faults) = parse::<Outer>(text);
        faults.sort_by_key(|f| f.line);
        let lines: Vec<usize> = faults.iter().map(|f| f.line).collect();
        assert_eq!(lines, [2, 3, 4, 7], "{faults:?}");
        assert_eq!(faults[0].cure, "did you mean `rows_max`?");
        assert_eq!(faults[2].cure, "did you mean `other`?");
    }

    #[test]
    fn spans_inside_of_a_character_do_no_harm() {
        let hostile = "\u{f}$==\n\0\u{4}$==\n\0\u{4}='$ò\n\0='$ò\n\0=\"0\0=\0\0['";
        assert!(!parse::<Outer>(hostile).1.is_empty());
        let (_, faults) = parse::<Outer>("[inner]\nö = 1\nname = 'ä'\nrows_max = 'ü'\n");
        let lines: Vec<usize> = faults.iter().map(|f| f.line).collect();
        assert_eq!(lines, [2, 4]);
    }

    #[test]
    fn a_broken_text_ends_with_one_fault() {
        let (_, faults) = parse::<Outer>("[inner\nrows_max = 1");
        assert!(!faults.is_empty());
        let (value, faults) = parse::<Outer>("[inner]\nrows_max = 3");
        assert_eq!((value.map(|v| v.inner.rows_max), faults), (Some(3), vec![]));
    }
}
