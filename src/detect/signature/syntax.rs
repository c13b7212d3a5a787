//! The text of rule files: lines, continuation, the words of the header, the options. Nothing is understood here beyond
//! where things begin and end; [`RuleText`] prints as text that reads as the same rule.

use super::error::Fault;
use super::settings::Settings;
use std::fmt;

/// A place in a rule file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Byte in the line, from 1.
    pub column: u32,
}

/// One rule as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleText {
    /// Where the rule begins.
    pub place: Place,
    /// Action, protocol, source, its ports, direction, destination, its ports; blanks within lists left out.
    pub header: [String; 7],
    /// The options in order.
    pub options: Vec<OptionText>,
    /// The rule as it stands in the file, continuation lines joined.
    pub raw: String,
}

/// One option as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionText {
    /// Where its name begins.
    pub place: Place,
    /// The keyword, in lower case.
    pub name: String,
    /// What follows the colon, escapes as they are.
    pub value: Option<Vec<u8>>,
}

/// What one logical line of a rule file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A rule.
    Rule(RuleText),
    /// A rule that is commented out.
    Disabled(RuleText),
    /// A line that is meant as a rule and is none.
    Fault(Fault, Option<u32>),
}

/// Reads a rule file. Blank lines and comments are skipped, rules that are commented out are given as such.
pub fn read(bytes: &[u8], settings: &Settings) -> Vec<Entry> {
    let mut entries = vec![];
    let mut lines = (1u32..).zip(bytes.split(|b| *b == b'\n'));
    while let Some((number, line)) = lines.next() {
        let line = without_return(line);
        let start = line.iter().position(|b| !b.is_ascii_whitespace());
        let Some(start) = start else { continue };
        if line[start] == b'#' {
            let text = Joined::of_comment(number, line);
            if let Some(Ok(rule)) = text.map(|t| t.parse(settings)) {
                entries.push(Entry::Disabled(rule));
            }
            continue;
        }
        let mut joined = Joined::default();
        joined.push(number, line);
        while joined.continues() {
            match lines.next() {
                Some((number, line)) => joined.push(number, without_return(line)),
                None => break,
            }
        }
        entries.push(match joined.parse(settings) {
            Ok(rule) => Entry::Rule(rule),
            Err(fault) => Entry::Fault(fault, sid_in(&joined.bytes)),
        });
    }
    entries
}

impl RuleText {
    /// The value of the first option of that name.
    pub fn option(&self, name: &str) -> Option<&OptionText> {
        self.options.iter().find(|o| o.name == name)
    }

    /// The sid, where there is one that is a number.
    pub fn sid(&self) -> Option<u32> {
        self.option("sid")?.text().trim().parse().ok()
    }
}

impl OptionText {
    /// The value as text; bytes that are no UTF-8 are replaced.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl fmt::Display for RuleText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.header.join(" "))?;
        for (i, option) in self.options.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { " " }, option.name)?;
            if option.value.is_some() {
                write!(f, ":{}", option.text())?;
            }
            f.write_str(";")?;
        }
        f.write_str(")")
    }
}

/// A logical line, and where its parts stand in the file.
#[derive(Default)]
struct Joined {
    bytes: Vec<u8>,
    /// Offset in `bytes`, line, column of that byte.
    parts: Vec<(usize, u32, u32)>,
}

impl Joined {
    fn push(&mut self, number: u32, line: &[u8]) {
        if self.continues() {
            self.bytes.pop();
        }
        self.parts.push((self.bytes.len(), number, 1));
        self.bytes.extend_from_slice(line);
        // blanks behind the sign change nothing
        let shown = self.bytes.trim_ascii_end();
        if shown.ends_with(b"\\") {
            self.bytes.truncate(shown.len());
        }
    }

    /// The line without its leading `#`, if a rule may follow.
    fn of_comment(number: u32, line: &[u8]) -> Option<Self> {
        let skip = line
            .iter()
            .position(|b| !b.is_ascii_whitespace() && *b != b'#')?;
        let rest = &line[skip..];
        let word = rest.split(u8::is_ascii_whitespace).next()?;
        if !ACTIONS.iter().any(|a| a.as_bytes() == word) {
            return None;
        }
        let column = u32::try_from(skip).unwrap_or(u32::MAX).saturating_add(1);
        Some(Self {
            bytes: rest.to_vec(),
            parts: vec![(0, number, column)],
        })
    }

    fn continues(&self) -> bool {
        self.bytes.last() == Some(&b'\\')
    }

    fn place(&self, at: usize) -> Place {
        let part = self.parts.iter().rev().find(|p| p.0 <= at);
        let &(start, line, column) = part.unwrap_or(&(0, 1, 1));
        let more = u32::try_from(at - start).unwrap_or(u32::MAX);
        Place {
            line,
            column: column.saturating_add(more),
        }
    }

    fn fault(&self, at: usize, reason: impl Into<String>) -> Fault {
        Fault::new(self.place(at), "", reason)
    }

    fn parse(&self, settings: &Settings) -> Result<RuleText, Fault> {
        if self.bytes.len() > settings.rule_bytes_max {
            let limit = settings.rule_bytes_max;
            return Err(self.fault(0, format!("longer than {limit} bytes (rule_bytes_max)")));
        }
        let (words, open) = self.words()?;
        let start = words.first().map_or(0, |w| w.0);
        let header = self.header(words, open)?;
        let options = self.options(open + 1, settings)?;
        Ok(RuleText {
            place: self.place(start),
            header,
            options,
            raw: String::from_utf8_lossy(self.bytes.trim_ascii()).into_owned(),
        })
    }

    /// The words before the options, each with its offset, and the offset of the parenthesis.
    fn words(&self) -> Result<(Vec<(usize, String)>, usize), Fault> {
        let (mut words, mut word, mut depth) = (vec![], None, 0usize);
        for (at, &byte) in self.bytes.iter().enumerate() {
            match byte {
                b'[' => depth += 1,
                b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            if !byte.is_ascii() {
                let reason = format!("the header has the byte 0x{byte:02x}, which is no ASCII");
                return Err(Fault::new(self.place(at), "header", reason));
            }
            let blank = byte.is_ascii_whitespace();
            if depth == 0 && (blank || byte == b'(') {
                words.extend(word.take());
                if byte == b'(' {
                    return Ok((words, at));
                }
            } else if !blank {
                let (_, text) = word.get_or_insert_with(|| (at, String::new()));
                text.push(char::from(byte));
            }
        }
        let reason = if depth > 0 {
            "a `[` of the header is not closed"
        } else {
            "no options: a rule is a header and options in parentheses"
        };
        Err(self.fault(0, reason))
    }

    fn header(&self, words: Vec<(usize, String)>, open: usize) -> Result<[String; 7], Fault> {
        let at = words.get(7).map_or(open, |w| w.0);
        let texts: Vec<String> = words.into_iter().map(|w| w.1).collect();
        let short = texts.len() < 3;
        texts.try_into().map_err(|texts: Vec<String>| {
            let hint = if short {
                "; a header without addresses is Snort 3: write `any any -> any any`"
            } else {
                ""
            };
            let found = texts.len();
            Fault::new(
                self.place(at),
                "header",
                format!("the header has {found} words instead of 7 (action protocol source ports -> destination ports){hint}"),
            )
        })
    }

    fn options(&self, start: usize, settings: &Settings) -> Result<Vec<OptionText>, Fault> {
        let end = self.bytes.trim_ascii_end().len();
        if end <= start || self.bytes[end - 1] != b')' {
            return Err(self.fault(end.saturating_sub(1), "the rule does not end with `)`"));
        }
        let (mut options, mut at, end) = (vec![], start, end - 1);
        loop {
            while at < end && self.bytes[at].is_ascii_whitespace() {
                at += 1;
            }
            if at >= end {
                return Ok(options);
            }
            if options.len() >= settings.options_max {
                let limit = settings.options_max;
                return Err(self.fault(at, format!("more than {limit} options (options_max)")));
            }
            let (option, next) = self.one_option(at, end)?;
            options.push(option);
            at = next;
        }
    }

    fn one_option(&self, start: usize, end: usize) -> Result<(OptionText, usize), Fault> {
        let (mut at, mut escaped) = (start, false);
        while at < end && (escaped || self.bytes[at] != b';') {
            escaped = !escaped && self.bytes[at] == b'\\';
            at += 1;
        }
        let text = &self.bytes[start..at];
        let colon = text.iter().position(|b| *b == b':');
        let name = text[..colon.unwrap_or(text.len())].trim_ascii();
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let place = self.place(start);
        if at == end {
            let shown: String = name.chars().take(NAME_SHOWN).collect();
            return Err(Fault::new(
                place,
                &shown,
                "the option does not end with `;`",
            ));
        }
        let value = colon.map(|c| text[c + 1..].trim_ascii().to_vec());
        let simple = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || !name.chars().all(simple) {
            let shown: String = name.chars().take(NAME_SHOWN).collect();
            let reason =
                format!("`{shown}` is no keyword; a `;` inside a value is written `\\;` or `|3b|`");
            return Err(Fault::new(place, "", reason));
        }
        Ok((OptionText { place, name, value }, at + 1))
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The sid of a text that is no rule, so that its author finds it.
fn sid_in(bytes: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(bytes);
    let (_, after) = text.rsplit_once("sid:")?;
    let digits = after.trim_start();
    let end = digits.find(|c: char| !c.is_ascii_digit());
    digits[..end.unwrap_or(digits.len())].parse().ok()
}

const ACTIONS: &[&str] = &[
    "alert",
    "pass",
    "drop",
    "reject",
    "rejectsrc",
    "rejectdst",
    "rejectboth",
    "config",
];
const NAME_SHOWN: usize = 40;
