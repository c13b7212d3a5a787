//! Every fault of a configuration text, with line, column and cure.

use super::known;
use serde::de::DeserializeOwned;
use std::fmt;
use std::ops::Range;

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

    /// Whether it is a fault of a table, by its key or by its place in the text.
    pub fn is_of(&self, text: &str, table: &str) -> bool {
        let begins = |rest: &str| rest.is_empty() || rest.starts_with('.');
        let above = text.lines().take(self.line).map(str::trim);
        let header = above.filter(|l| l.starts_with('[')).last();
        let header = header.map(|l| l.trim_start_matches('[').trim_start());
        let header = header.and_then(|l| l.split(']').next());
        [Some(&*self.message), header]
            .into_iter()
            .flatten()
            .filter_map(|name| name.trim_end().strip_prefix(table))
            .any(begins)
    }

    /// Finds the line of the key that the message begins with.
    pub fn placed(self, text: &str) -> Fault {
        let key = self.message.split([' ', ':', ',']).next();
        let key = key.unwrap_or_default().to_owned();
        self.at_key(text, &key)
    }

    /// Finds the line of a key; a fault that has its place already keeps it.
    pub fn at_key(mut self, text: &str, key: &str) -> Fault {
        if self.line == 0
            && let Some(line) = line_of(text, key)
        {
            (self.line, self.column) = (line, 1);
        }
        self
    }

    /// Finds the place of the first text in quotation marks that the message has as a word: an address, a file.
    pub fn at_value(mut self, text: &str) -> Fault {
        let words = self.message.split_whitespace();
        let words = words.map(|w| w.trim_matches(['`', ',', ';', '(', ')', '"']));
        let mut places = words
            .map(|w| w.strip_suffix(':').unwrap_or(w))
            .filter(|w| w.contains(['/', ':']) && w.len() > 2)
            .filter_map(|w| text.find(&format!("{w:?}")));
        if let (0, Some(at)) = (self.line, places.next()) {
            let place = describe(text, at, "");
            (self.line, self.column) = (place.line, place.column);
        }
        self
    }
}

/// The line, from 1, where a dotted key stands.
fn line_of(text: &str, path: &str) -> Option<usize> {
    let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
    if key.is_empty() {
        return None;
    }
    let (mut inside, mut found) = (table.is_empty(), None);
    for (i, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            let header = line.trim_matches(['[', ']']);
            inside = header == table;
            if header == path {
                return Some(i + 1);
            }
        } else if inside && line.split('=').next().is_some_and(|k| k.trim() == key) {
            return Some(i + 1);
        } else if !table.is_empty()
            && (line.starts_with(path) || line.starts_with(table) && line.contains(key))
        {
            // `table.key = ...` or `table = { key = ... }`; a plainer line may follow
            found = Some(i + 1);
        }
    }
    found
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

/// A file's bytes as the text of a configuration.
///
/// # Errors
/// Where it is no UTF-8.
pub fn decoded(bytes: Vec<u8>) -> Result<String, Fault> {
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let byte = e.as_bytes()[at];
        let good = String::from_utf8_lossy(&e.as_bytes()[..at]).into_owned();
        Fault {
            message: format!("the byte 0x{byte:02x} is no UTF-8"),
            cure: "save the file as UTF-8, or write the character anew".into(),
            ..describe(&good, at, "")
        }
    })
}

/// The byte of a configuration at which a byte of one of its texts stands; `at` is where the text's quotes begin (TOML 1.0,
/// String).
pub(super) fn inside(text: &str, at: usize, inside: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let long = ["\"\"\"", "'''"].iter().any(|q| rest.starts_with(q));
    let mut place = if long { 3 } else { 1 };
    if long {
        // a line end right behind the quotes is not part of the text
        place += ["\r\n", "\n"]
            .iter()
            .find(|n| rest[3..].starts_with(**n))
            .map_or(0, |n| n.len());
    }
    let escapes = rest.starts_with('"');
    let mut read = 0;
    while let Some(c) = rest.get(place..).and_then(|r| r.chars().next()) {
        let behind = rest.get(place + 1..).unwrap_or_default();
        let (taken, given) = match behind.chars().next().filter(|_| escapes && c == '\\') {
            Some(n @ ('u' | 'U')) => {
                let digits = if n == 'u' { 4 } else { 8 };
                let code = behind.get(1..1 + digits);
                let code = code.and_then(|d| u32::from_str_radix(d, 16).ok());
                let given = code.and_then(char::from_u32).map_or(1, char::len_utf8);
                (2 + digits, given)
            }
            // the line goes on in the next one
            Some(n) if n.is_whitespace() => (1 + behind.len() - behind.trim_start().len(), 0),
            Some(n) => (1 + n.len_utf8(), 1),
            None => (c.len_utf8(), c.len_utf8()),
        };
        if read >= inside && given > 0 {
            break;
        }
        (place, read) = (place + taken, read + given);
    }
    at + place
}

/// Whether a fault stands in the statement that begins on a line before it, or on the same one.
pub(super) fn is_within(text: &str, fault: &Fault, begins: usize) -> bool {
    let mut between = (text.lines().take(fault.line)).skip(begins);
    begins > 0 && fault.line >= begins && between.all(|l| !l.contains('='))
}

/// Parses a TOML text; every fault is listed, not just the first: what is at fault is blanked out and the rest is parsed
/// again. The value is what the rest says, if anything can be told from it.
pub fn parse<T: DeserializeOwned>(text: &str) -> (Option<T>, Vec<Fault>) {
    let mut rest = text.to_owned();
    let mut faults = vec![];
    for _ in 0..2 * FAULTS_MAX {
        let error = match toml::from_str::<T>(&rest) {
            Ok(value) => return (Some(value), faults),
            Err(error) => error,
        };
        let span = error.span().unwrap_or(0..0);
        if !was_blanked(text, &rest, &span, error.message()) {
            faults.push(describe(text, span.start, error.message()));
        }
        let more = !span.is_empty() && faults.len() < FAULTS_MAX;
        if !more || !(blank_element(&mut rest, &span) || blank(&mut rest, span)) {
            break;
        }
    }
    (None, faults)
}

/// Whether a field is only missing because its line was at fault and is blank now.
fn was_blanked(text: &str, rest: &str, table: &Range<usize>, message: &str) -> bool {
    let Some(field) = message.strip_prefix("missing field `") else {
        return false;
    };
    let field = field.split('`').next().unwrap_or_default();
    let lines = |text: &str| {
        let after = text.get(table.start..).unwrap_or_default().lines();
        let of_table = after
            .skip(1)
            .take_while(|l| !l.trim_start().starts_with('['));
        of_table
            .filter(|l| l.split('=').next().is_some_and(|k| k.trim() == field))
            .count()
    };
    lines(text) > lines(rest)
}

/// Replaces an element of an array by spaces, with the comma behind it. False, and nothing changed, where the span is
/// something else.
fn blank_element(text: &mut String, span: &Range<usize>) -> bool {
    let (Some(element), Some(behind)) = (text.get(span.clone()), text.get(span.end..)) else {
        return false;
    };
    if element.starts_with('[') {
        return false;
    }
    let next = behind.trim_start();
    let comma = next.starts_with(',').then(|| text.len() - next.len());
    let spaces = |part: &str| -> String {
        let space = |b: u8| if b == b'\n' { '\n' } else { ' ' };
        part.bytes().map(space).collect()
    };
    let mut without = text.clone();
    without.replace_range(span.clone(), &spaces(element));
    if let Some(at) = comma {
        without.replace_range(at..at + 1, " ");
    }
    // anything but an element leaves no TOML behind
    let is_toml = |text: &str| toml::from_str::<toml::Table>(text).is_ok();
    let done = is_toml(text) && is_toml(&without) && without != *text;
    if done {
        *text = without;
    }
    done
}

/// Replaces the statements that a span touches by spaces, so that places in the text stay what they are. A table
/// header of an unknown name becomes one whose content cannot be at fault again.
fn blank(text: &mut String, span: Range<usize>) -> bool {
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
    let mut message = message.trim().replace('\n', "; ");
    for (theirs, ours) in TYPES {
        if let Some(begins) = message.strip_suffix(theirs) {
            message = format!("{begins}{ours}");
        }
    }
    if let Some((begins, name)) = message.split_once("expected struct ")
        && !name.contains(' ')
    {
        message = format!("{begins}expected a section");
    }
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
        "expected a whole number",
        "write a whole number from 0, without unit and quotation marks",
    ),
    ("expected path string", "write a text in quotation marks"),
    ("expected a string", "write a text in quotation marks"),
    ("wanted string or table", "write a text in quotation marks"),
    (
        "expected a section",
        "write its name in brackets on a line of its own, and its keys on the lines below",
    ),
    ("duplicate key", "keep one of the two"),
];

/// Types of this program in the parser's words, and what they are to somebody who writes a file.
const TYPES: &[(&str, &str)] = &[
    ("expected usize", "expected a whole number"),
    ("expected u8", "expected a whole number up to 255"),
    ("expected u16", "expected a whole number up to 65535"),
    ("expected u32", "expected a whole number up to 4294967295"),
    ("expected u64", "expected a whole number"),
];

/// For `unknown field/variant X, expected one of ...`: the known name that is nearest to X, and for a field the table
/// that has one of this name.
fn nearest(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let unknown = message
        .starts_with("unknown ")
        .then(|| quoted.next())
        .flatten()?;
    let near = |name: &str| strsim::jaro_winkler(name, unknown);
    let best = quoted.max_by(|a, b| near(a).total_cmp(&near(b)));
    let meant = |least: f64| {
        let best = best.filter(|b| near(b) > least);
        best.map(|b| format!("did you mean `{b}`?"))
    };
    if !message.starts_with("unknown field") {
        return meant(0.7);
    }
    match (known::belongs(unknown), meant(0.9)) {
        (Some(place), Some(meant)) => Some(format!("{place}; {meant}")),
        (Some(place), None) => Some(place),
        (None, Some(meant)) => Some(meant),
        (None, None) => known::like(unknown).or_else(|| meant(0.7)),
    }
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
    fn types_are_named_in_words_of_files() {
        let cases = [
            (
                "inner = 3",
                "invalid type: integer `3`, expected a section",
                "in brackets",
            ),
            (
                "[inner]\nrows_max = -1",
                "invalid value: integer `-1`, expected a whole number up to 4294967295",
                "whole number from 0",
            ),
        ];
        for (text, message, cure) in cases {
            let (_, faults) = parse::<Outer>(text);
            assert_eq!(faults[0].message, message);
            assert!(faults[0].cure.contains(cure), "{faults:?}");
        }
    }

    #[test]
    fn places_in_texts_are_found_behind_quotes_and_escapes() {
        let cases = [
            ("x = 'a.b'", 2, "b'"),
            ("x = \"a.b\"", 2, "b\""),
            ("x = \"\\u0022\\n\\\\\\U0001F600b\"", 7, "b\""),
            ("x = \"\"\"\na &&\n  b\"\"\"", 7, "b\"\"\""),
            ("x = '''\r\na\\b'''", 2, "b'''"),
            ("x = \"\"\"a \\\n   b\"\"\"", 2, "b\"\"\""),
            ("x = 'ä.b'", 3, "b'"),
        ];
        for (text, byte, rest) in cases {
            let value: toml::Table = toml::from_str(text).expect("TOML");
            let value = value["x"].as_str().expect("a text");
            assert_eq!(&value[byte..=byte], "b", "{text}");
            assert_eq!(&text[inside(text, 4, byte)..], rest, "{text}");
        }
        // what is not there ends somewhere
        for byte in 0..20 {
            inside("\"\\", 0, byte);
            inside("\"\\uD8", 0, byte);
            inside("", 3, byte);
        }
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

    #[derive(Debug, Deserialize, Default)]
    #[serde(default, deny_unknown_fields)]
    struct Lists {
        ports: Vec<u16>,
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code, reason = "only parsed")]
    struct Rule {
        port: u16,
        app: String,
    }

    fn places<T: DeserializeOwned>(text: &str) -> Vec<(usize, usize)> {
        let mut places: Vec<_> = (parse::<T>(text).1.iter())
            .map(|f| (f.line, f.column))
            .collect();
        places.sort_unstable();
        places
    }

    #[test]
    fn every_element_of_an_array_is_looked_at() {
        let (value, faults) = parse::<Lists>("ports = [1, \"a\", 2, 'b']\n");
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert_eq!(value.map(|v| v.ports), Some(vec![1, 2]));
        let text = "ports = [\n  \"a\", # one\n  3,\n  70000,\n  'ä'\n]\nrules = 7\n";
        assert_eq!(places::<Lists>(text), [(2, 3), (4, 3), (5, 3), (7, 9)]);
        let text = "rules = [{ port = 1 }, { port = 2, app = \"x\" }, { app = \"y\" }]\n";
        assert_eq!(places::<Lists>(text).len(), 2);
    }

    #[test]
    fn a_fault_makes_no_other_one() {
        let text = "[[rules]]\nport = \"x\"\napp = 7\n[[rules]]\nport = 1\n";
        assert_eq!(places::<Lists>(text), [(2, 8), (3, 7), (4, 1)]);
    }

    #[test]
    fn a_key_in_the_wrong_table_is_sent_to_its_own() {
        let cure = |text: &str| parse::<Outer>(text).1.remove(0).cure;
        assert_eq!(
            cure("listeners = []"),
            "`listeners` belongs below [receive]"
        );
        assert_eq!(
            cure("[inner]\nage_max_s = 1"),
            "`age_max_s` belongs below [spool]"
        );
        assert_eq!(cure("[inner]\nrow_max = 1"), "did you mean `rows_max`?");
        let place = "`seal_rows` belongs below [batch]";
        assert_eq!(cure("[inner]\nseal_row = 1"), place);
    }

    #[test]
    fn bytes_that_are_no_text_have_a_place() {
        let fault = decoded(b"a = 1\nb = \"x\xe4\"\n".to_vec()).expect_err("latin 1");
        assert_eq!((fault.line, fault.column), (2, 7));
        assert!(fault.to_string().contains("0xe4") && fault.cure.contains("UTF-8"));
        assert_eq!(decoded(b"a = 1".to_vec()).as_deref(), Ok("a = 1"));
    }

    #[test]
    fn keys_above_all_tables_and_values_have_a_place() {
        let text =
            "state_dir = \"x\"\n[clickhouse]\nurls = [\n  \"http://a:1\",\n  \"http://b:1\"\n]\n";
        let of = |message: &str| Fault::of(message.into()).placed(text).line;
        assert_eq!(of("state_dir must be"), 1);
        assert_eq!(of("clickhouse.urls must be"), 3);
        assert_eq!(of("the state_dir"), 0);
        let fault = Fault::of("http://b:1: no answer".into()).at_value(text);
        assert_eq!((fault.line, fault.column), (5, 3));
    }

    #[test]
    fn a_broken_text_ends_with_one_fault() {
        let (_, faults) = parse::<Outer>("[inner\nrows_max = 1");
        assert!(!faults.is_empty());
        let (value, faults) = parse::<Outer>("[inner]\nrows_max = 3");
        assert_eq!((value.map(|v| v.inner.rows_max), faults), (Some(3), vec![]));
    }
}
