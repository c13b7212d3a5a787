//! The steps of one group on one buffer, in Suricata's order: each content or expression that a later step counts from is
//! tried at its next place when that step fails. Pure: bytes in, an outcome out; the number of steps is bounded.

use super::rule::*;
use super::settings::Settings;
use memchr::{memchr2_iter, memmem};

/// What came of a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps hold.
    Matched,
    /// They do not.
    Failed,
    /// A bound was met before it was known: to be counted, not taken for a failure.
    GivenUp,
}

/// Runs steps. Variables stay from one group of a rule to the next; [`Matcher::reset`] begins a rule.
#[derive(Debug, Clone)]
pub struct Matcher {
    steps_max: u32,
    steps: u32,
    /// What was done since [`Matcher::take_work`] was called last: steps, and the bytes that they went through.
    work: u64,
    gave_up: bool,
    /// Order of bytes that a DCE/RPC header said, for steps that go by it.
    pub dce_little: bool,
    /// What steps extracted, by the variable's number.
    pub variables: Vec<u64>,
    /// Where contents and expressions matched, in order of the steps.
    pub spans: Vec<(usize, usize)>,
    /// What `base64_decode` made.
    pub decoded: Vec<u8>,
}

/// What came of the steps from one on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    Holds,
    /// Another place of an earlier step may help.
    Fails,
    /// Nothing that an earlier step does can help.
    Dead,
}

impl Matcher {
    /// A matcher with the limits of the settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            steps_max: settings.match_steps_max,
            steps: 0,
            work: 0,
            gave_up: false,
            dce_little: false,
            variables: vec![],
            spans: vec![],
            decoded: vec![],
        }
    }

    /// Begins a rule.
    pub fn reset(&mut self, rule: &Rule) {
        self.variables.clear();
        self.variables.resize(rule.variables.len(), 0);
        self.decoded.clear();
        self.steps = 0;
    }

    /// What was done since this was called last.
    pub fn take_work(&mut self) -> u64 {
        std::mem::take(&mut self.work)
    }

    /// Runs the steps of a group on a buffer.
    pub fn run(&mut self, group: &Group, bytes: &[u8]) -> Outcome {
        self.spans.clear();
        self.gave_up = false;
        match self.rest(&group.steps, bytes, 0) {
            Rest::Holds => Outcome::Matched,
            _ if self.gave_up => Outcome::GivenUp,
            _ => Outcome::Failed,
        }
    }

    fn rest(&mut self, steps: &[Step], bytes: &[u8], end: usize) -> Rest {
        let Some((step, after)) = steps.split_first() else {
            return Rest::Holds;
        };
        if self.steps >= self.steps_max {
            self.gave_up = true;
            return Rest::Dead;
        }
        self.steps += 1;
        self.work += 1;
        let next = match step {
            Step::Content(content) => return self.content(content, after, bytes, end),
            Step::Pcre(pcre) => return self.pcre(pcre, after, bytes, end),
            Step::ByteTest(test) => self.byte_test(test, bytes, end).then_some(end),
            Step::ByteJump(jump) => self.byte_jump(jump, bytes, end),
            Step::ByteExtract(extract) => self.byte_extract(extract, bytes, end),
            Step::ByteMath(math) => self.byte_math(math, bytes, end),
            Step::IsDataAt(at) => self.is_data_at(at, bytes, end).then_some(end),
            Step::Length(number) => {
                return if number.holds(bytes.len() as u64) {
                    self.rest(after, bytes, end)
                } else {
                    Rest::Dead
                };
            }
            Step::Asn1(asn1) => asn1.holds(bytes, end).then_some(end),
            Step::Base64Decode(decode) => self.base64(decode, bytes, end).then_some(end),
        };
        match next {
            Some(end) => self.rest(after, bytes, end),
            None => Rest::Fails,
        }
    }

    fn content(&mut self, content: &Content, after: &[Step], bytes: &[u8], end: usize) -> Rest {
        let relative = content.distance.is_some() || content.within.is_some();
        let varies = [content.offset, content.depth]
            .iter()
            .flatten()
            .any(|v| matches!(v, Value::Variable(_)));
        let lost = if relative || varies {
            Rest::Fails
        } else {
            Rest::Dead
        };
        let (mut from, to) = self.window(content, bytes.len(), end);
        let retry = counted_from(after);
        loop {
            let found = find(content, bytes, from, to);
            let until = found.unwrap_or(to.min(bytes.len()));
            self.work += until.saturating_sub(from) as u64 / WORK_BYTES;
            if content.negated {
                return match found {
                    Some(_) => lost,
                    None => self.rest(after, bytes, end),
                };
            }
            let Some(at) = found else { return lost };
            let stop = at + content.pattern.len();
            let kept = self.spans.len();
            self.spans.push((at, stop));
            let rest = self.rest(after, bytes, stop);
            if rest == Rest::Holds {
                return rest;
            }
            self.spans.truncate(kept);
            if rest == Rest::Dead || !retry {
                return rest;
            }
            if self.steps >= self.steps_max {
                self.gave_up = true;
                return Rest::Dead;
            }
            self.steps += 1;
            from = at + 1;
        }
    }

    /// Where a content may begin and where it must have ended.
    fn window(&self, content: &Content, length: usize, end: usize) -> (usize, usize) {
        let long = i64::try_from(length).unwrap_or(i64::MAX);
        let number = |v: Option<Value>| v.map_or(0, |v| self.value(v));
        // of what is counted from a match 32 bits count, with their sign
        let signed = |v: Option<Value>| i64::from(number_of(v, &self.variables) as i32);
        let (mut from, mut to) = (0, long);
        if content.distance.is_some() || content.within.is_some() {
            let start = i64::try_from(end)
                .unwrap_or(i64::MAX)
                .saturating_add(signed(content.distance));
            from = start.max(0);
            if content.within.is_some() {
                // an end before the start of the bytes bounds nothing
                let bound = start.saturating_add(signed(content.within));
                to = if bound < 0 { long } else { to.min(bound) };
                if matches!(content.distance, Some(Value::Variable(_))) {
                    // Suricata counts such a distance twice
                    to = to.saturating_add(from).min(long);
                }
            }
        } else {
            let start = number(content.offset);
            if content.depth.is_some() {
                to = to.min(start.saturating_add(number(content.depth)));
            }
            from = from.max(start);
        }
        if content.startswith {
            to = to.min(i64::try_from(content.pattern.len()).unwrap_or(i64::MAX));
        }
        let place = |n: i64| usize::try_from(n).unwrap_or(0);
        (place(from), place(to))
    }

    fn pcre(&mut self, pcre: &Pcre, after: &[Step], bytes: &[u8], end: usize) -> Rest {
        let lost = if pcre.relative {
            Rest::Fails
        } else {
            Rest::Dead
        };
        let retry = counted_from(after);
        // what it is looked for in stays the same when it is tried again: `^` is its start alone
        let from = if pcre.relative { end } else { 0 };
        let Some(subject) = bytes.get(from..) else {
            return lost;
        };
        let mut start = 0;
        loop {
            if start > subject.len() {
                return lost;
            }
            self.work += PCRE_WORK + (subject.len() - start) as u64 / PCRE_WORK_BYTES;
            let found = match pcre.regex.find_at(subject, start) {
                Ok(found) => found.map(|m| (from + m.start(), from + m.end())),
                Err(_) => {
                    self.gave_up = true;
                    return Rest::Fails;
                }
            };
            if pcre.negated {
                return match found {
                    Some(_) => lost,
                    None => self.rest(after, bytes, end),
                };
            }
            let Some(span) = found else { return lost };
            let kept = self.spans.len();
            self.spans.push(span);
            let rest = self.rest(after, bytes, span.1);
            if rest == Rest::Holds {
                return rest;
            }
            self.spans.truncate(kept);
            if rest == Rest::Dead || !retry {
                return rest;
            }
            start = span.0 - from + 1;
        }
    }

    fn value(&self, value: Value) -> i64 {
        match value {
            Value::Fixed(number) => number,
            Value::Variable(at) => {
                let number = self.variables.get(usize::from(at)).copied().unwrap_or(0);
                i64::try_from(number).unwrap_or(i64::MAX)
            }
        }
    }

    /// The number at an offset: itself, and how many bytes it took.
    fn number(
        &self,
        bytes: &[u8],
        end: usize,
        place: (bool, i64),
        size: i64,
        encoding: Encoding,
    ) -> Option<(u64, usize)> {
        let (relative, offset) = place;
        let base = if relative {
            i64::try_from(end).ok()?
        } else {
            0
        };
        let start = usize::try_from(base.checked_add(offset)?).ok()?;
        let rest = bytes.get(start..)?;
        let size = usize::try_from(size).ok()?;
        let Some(base) = encoding.base else {
            let field = rest.get(..size)?;
            let little = if encoding.dce {
                self.dce_little
            } else {
                encoding.little
            };
            let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
            let number = if little {
                field.iter().rev().fold(0, add)
            } else {
                field.iter().fold(0, add)
            };
            return (size <= 8).then_some((number, size));
        };
        let field = if size == 0 { rest } else { rest.get(..size)? };
        text_number(field, base).map(|number| (number, size))
    }

    fn byte_test(&self, test: &ByteTest, bytes: &[u8], end: usize) -> bool {
        let place = (test.relative, self.value(test.offset));
        let size = self.value(test.bytes);
        let Some((number, _)) = self.number(bytes, end, place, size, test.encoding) else {
            return false;
        };
        let number = masked(number, test.bitmask);
        let against = u64::try_from(self.value(test.value)).unwrap_or(0);
        let holds = match test.compare {
            Compare::Less => number < against,
            Compare::Greater => number > against,
            Compare::Equal => number == against,
            Compare::AtMost => number <= against,
            Compare::AtLeast => number >= against,
            Compare::And => number & against != 0,
            Compare::Xor => number ^ against != 0,
        };
        holds != test.negated
    }

    fn byte_jump(&self, jump: &ByteJump, bytes: &[u8], end: usize) -> Option<usize> {
        let place = (jump.relative, self.value(jump.offset));
        let (number, size) = match self.value(jump.bytes) {
            0 if jump.encoding.base.is_none() => (0, 0),
            size => self.number(bytes, end, place, size, jump.encoding)?,
        };
        let mut skip = i64::try_from(masked(number, jump.bitmask)).ok()?;
        skip = skip.checked_mul(jump.multiplier.into())?;
        if jump.align {
            skip = skip.checked_add(3)? & !3;
        }
        let length = i64::try_from(bytes.len()).ok()?;
        let here = i64::try_from(if jump.relative { end } else { 0 }).ok()?;
        let from = match jump.from {
            JumpFrom::Here => here
                .checked_add(place.1)?
                .checked_add(i64::try_from(size).ok()?)?,
            JumpFrom::Beginning => 0,
            JumpFrom::End => length,
        };
        let to = from.checked_add(skip)?.checked_add(jump.post_offset)?;
        // before the start is the start; after the end is a failure
        (to <= length).then(|| usize::try_from(to).unwrap_or(0))
    }

    /// Keeps a number; what follows goes on behind it.
    fn byte_extract(&mut self, extract: &ByteExtract, bytes: &[u8], end: usize) -> Option<usize> {
        let place = (extract.relative, extract.offset);
        let (number, size) =
            self.number(bytes, end, place, extract.bytes.into(), extract.encoding)?;
        let mut number = masked(number, extract.bitmask).wrapping_mul(extract.multiplier.into());
        if let Some(align) = extract.align {
            number = number.checked_next_multiple_of(align.into())?;
        }
        *self.variables.get_mut(usize::from(extract.variable))? = number;
        behind(end, place, size)
    }

    /// Keeps what is made of a number; what follows goes on behind it.
    fn byte_math(&mut self, math: &ByteMath, bytes: &[u8], end: usize) -> Option<usize> {
        let size = self.value(math.bytes);
        let place = (math.relative, math.offset);
        let (number, taken) = self.number(bytes, end, place, size, math.encoding)?;
        let by = u64::try_from(self.value(math.value)).ok()?;
        let made = match math.operator {
            Operator::Add => number.wrapping_add(by),
            Operator::Subtract => number.wrapping_sub(by),
            Operator::Multiply => number.wrapping_mul(by),
            Operator::Divide => number.checked_div(by)?,
            Operator::Left => u32::try_from(by)
                .ok()
                .and_then(|by| number.checked_shl(by))
                .unwrap_or(0),
            Operator::Right => u32::try_from(by)
                .ok()
                .and_then(|by| number.checked_shr(by))
                .unwrap_or(0),
        };
        *self.variables.get_mut(usize::from(math.variable))? = masked(made, math.bitmask);
        behind(end, place, taken)
    }

    fn is_data_at(&self, at: &IsDataAt, bytes: &[u8], end: usize) -> bool {
        let place = usize::try_from(self.value(at.at)).unwrap_or(usize::MAX);
        let there = if at.relative {
            end.checked_add(place).is_some_and(|p| p <= bytes.len())
        } else {
            place < bytes.len()
        };
        there != at.negated
    }

    fn base64(&mut self, decode: &Base64Decode, bytes: &[u8], end: usize) -> bool {
        let start = if decode.relative { end } else { 0 };
        let start = start.saturating_add(decode.offset as usize);
        let field = bytes.get(start..).unwrap_or_default();
        let length = decode
            .bytes
            .map_or(field.len(), |n| field.len().min(n as usize));
        // Suricata 7.0.10 ends at the first blank (RFC 4648 has none)
        let text = field[..length].split(u8::is_ascii_whitespace).next();
        self.decoded = base64_of(text.unwrap_or_default());
        !self.decoded.is_empty()
    }
}

/// Whether a later step counts from this one, so that another place of it may help.
fn counted_from(after: &[Step]) -> bool {
    for step in after {
        let (relative, moves) = match step {
            Step::Content(c) => (c.distance.is_some() || c.within.is_some(), !c.negated),
            Step::Pcre(p) => (p.relative, !p.negated),
            Step::ByteTest(t) => (t.relative, false),
            Step::ByteJump(j) => (j.relative, true),
            Step::ByteExtract(e) => (e.relative, true),
            Step::ByteMath(m) => (m.relative, true),
            Step::IsDataAt(i) => (i.relative, false),
            Step::Base64Decode(b) => (b.relative, false),
            Step::Asn1(a) => (a.relative, false),
            Step::Length(_) => (false, false),
        };
        if relative {
            return true;
        }
        if moves {
            return false;
        }
    }
    false
}

/// The value that a rule or a variable has.
fn number_of(value: Option<Value>, variables: &[u64]) -> i64 {
    match value {
        None => 0,
        Some(Value::Fixed(number)) => number,
        Some(Value::Variable(at)) => variables.get(usize::from(at)).map_or(0, |n| *n as i64),
    }
}

/// Where a number ends that is at a place.
fn behind(end: usize, (relative, offset): (bool, i64), size: usize) -> Option<usize> {
    let base = if relative {
        i64::try_from(end).ok()?
    } else {
        0
    };
    let start = usize::try_from(base.checked_add(offset)?).ok()?;
    start.checked_add(size)
}

/// The first place of a content between two offsets.
fn find(content: &Content, bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    let window = bytes.get(from..to.min(bytes.len()))?;
    let pattern = &content.pattern;
    let same = |place: &[u8]| {
        if content.nocase {
            place.eq_ignore_ascii_case(pattern)
        } else {
            place == pattern.as_slice()
        }
    };
    if content.endswith {
        let at = window.len().checked_sub(pattern.len())?;
        return (to >= bytes.len() && same(&window[at..])).then_some(from + at);
    }
    if pattern.is_empty() {
        return None;
    }
    if !content.nocase {
        return memmem::find(window, pattern).map(|at| from + at);
    }
    find_nocase(window, pattern).map(|at| from + at)
}

/// The first place of a pattern in any case of ASCII letters: its rarest byte is looked for, the others are compared.
fn find_nocase(window: &[u8], pattern: &[u8]) -> Option<usize> {
    let key = (0..pattern.len()).min_by_key(|at| commonness(pattern[*at]))?;
    let last = window.len().checked_sub(pattern.len())?;
    let places = &window[key..=last + key];
    let (low, high) = (
        pattern[key].to_ascii_lowercase(),
        pattern[key].to_ascii_uppercase(),
    );
    memchr2_iter(low, high, places)
        .find(|at| window[*at..*at + pattern.len()].eq_ignore_ascii_case(pattern))
}

/// How often a byte is found, about: text is what is looked through most.
fn commonness(byte: u8) -> u8 {
    match byte {
        b' ' | b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | 0 => 4,
        b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'.' | b'0' | b'1' => 3,
        b'2'..=b'9' | b'-' | b'=' | b':' | b'\r' | b'\n' | 0xff => 2,
        0x20..=0x7e => 1,
        _ => 0,
    }
}

fn masked(number: u64, mask: Option<u32>) -> u64 {
    match mask {
        Some(mask) => (number & u64::from(mask)) >> mask.trailing_zeros(),
        None => number,
    }
}

/// A number in text: blanks before it, a prefix `0x` to base 16, digits until something else.
fn text_number(field: &[u8], base: Base) -> Option<u64> {
    let text = field.trim_ascii_start();
    let (radix, text) = match base {
        Base::Octal => (8, text),
        Base::Decimal => (10, text),
        Base::Hexadecimal => {
            let bare = text
                .strip_prefix(b"0x")
                .or_else(|| text.strip_prefix(b"0X"));
            (16, bare.unwrap_or(text))
        }
    };
    let mut number = None;
    for byte in text {
        let Some(digit) = char::from(*byte).to_digit(radix) else {
            break;
        };
        let sum = number.unwrap_or(0u64).checked_mul(radix.into())?;
        number = Some(sum.checked_add(digit.into())?);
    }
    number
}

/// Base64 as it is found: blanks skipped, ends at the first byte that is none of it.
pub(super) fn base64_of(text: &[u8]) -> Vec<u8> {
    let (mut out, mut bits, mut held) = (vec![], 0u32, 0);
    for byte in text {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b' ' | b'\r' | b'\n' | b'\t' => continue,
            _ => break,
        };
        bits = bits << 6 | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    out
}

/// Bytes that a content is looked for in that are a piece of work.
const WORK_BYTES: u64 = 64;
/// Pieces of work that a regular expression is at least, and bytes for one more.
const PCRE_WORK: u64 = 8;
const PCRE_WORK_BYTES: u64 = 16;

#[cfg(test)]
mod tests {
    use super::super::keyword::testing::rule;
    use super::*;

    fn outcome(options: &str, bytes: &[u8]) -> Outcome {
        let made = rule("tcp", options).unwrap_or_else(|e| panic!("{options}: {e}"));
        let mut matcher = Matcher::new(&Settings::default());
        matcher.reset(&made);
        matcher.run(&made.groups[0], bytes)
    }

    fn matches(options: &str, bytes: &[u8]) {
        assert_eq!(
            outcome(options, bytes),
            Outcome::Matched,
            "{options} on {}",
            bytes.escape_ascii()
        );
    }

    fn fails(options: &str, bytes: &[u8]) {
        assert_eq!(
            outcome(options, bytes),
            Outcome::Failed,
            "{options} on {}",
            bytes.escape_ascii()
        );
    }

    #[test]
    fn contents_and_their_places() {
        matches("content:\"b\"; offset:1; depth:1;", b"abc");
        fails("content:\"c\"; offset:1; depth:1;", b"abc");
        matches("content:\"AB\"; nocase; startswith;", b"aBc");
        fails("content:\"b\"; startswith;", b"ab");
        matches("content:\"c\"; endswith;", b"cabc");
        fails("content:\"b\"; endswith;", b"abc");
        matches("content:!\"x\";", b"abc");
        fails("content:!\"a\";", b"abc");
        matches("content:!\"abcd\";", b"abc");
        matches(
            "content:\"a\"; content:\"c\"; distance:1; within:1;",
            b"abc",
        );
        fails(
            "content:\"a\"; content:\"c\"; distance:0; within:1;",
            b"abc",
        );
        matches("content:\"c\"; content:\"a\"; distance:-3;", b"abc");
        matches("content:\"a\"; content:!\"b\"; distance:1;", b"abc");
        fails("content:\"a\"; content:!\"b\"; within:1;", b"ab");
    }

    #[test]
    fn another_place_is_tried_when_a_later_step_counts_from_it() {
        matches("content:\"a\"; content:\"b\"; within:1;", b"aXaXab");
        matches(
            "content:\"a\"; content:\"b\"; distance:0; content:\"c\"; within:1;",
            b"abXabXbc",
        );
        matches("pcre:\"/a./\"; content:\"b\"; within:1;", b"aXaYb");
        matches("content:\"a\"; pcre:\"/^b/R\";", b"aXab");
        fails("content:\"a\"; pcre:\"/^b/R\";", b"aXacb");
        matches(
            "content:\"a\"; pcre:\"/^b/R\"; content:\"z\"; within:1;",
            b"abz",
        );
        fails(
            "content:\"a\"; pcre:\"/^b/R\"; content:\"z\"; within:1;",
            b"abbz",
        );
        matches("content:\"a\"; isdataat:!1,relative;", b"aXa");
        matches(
            "content:\"a\"; content:\"b\"; distance:1; within:7; endswith;",
            b"a1234566b",
        );
        fails(
            "content:\"a\"; content:\"b\"; distance:1; within:7; endswith;",
            b"a12345678b",
        );
    }

    #[test]
    fn numbers_in_the_bytes() {
        matches("byte_test:2,>,255,0;", b"\x01\x00");
        fails("byte_test:2,>,255,0,little;", b"\x01\x00");
        matches("byte_test:1,=,0x9,0,bitmask 0xf8;", b"\x48");
        matches("byte_test:3,=,123,1,string,dec;", b"x123");
        matches("byte_test:0,>,999,1,string,dec;", b"x12345,");
        fails("byte_test:4,>,0,0;", b"abc");
        matches("content:\"a\"; byte_test:1,!&,0x80,0,relative;", b"a\x7f");
        matches("byte_jump:1,0; content:\"z\"; within:1;", b"\x02xxz");
        matches(
            "byte_jump:1,0,align; content:\"z\"; within:1;",
            b"\x02xxxxz",
        );
        matches(
            "byte_jump:1,0,from_beginning,post_offset 1; content:\"z\"; within:1;",
            b"\x02xxz",
        );
        matches("byte_jump:1,0;", b"\x01x");
        fails("byte_jump:1,0;", b"\x02x");
        matches(
            "byte_jump:1,0,post_offset -9; content:\"\\x01\"; within:1;"
                .replace("\\x01", "|01|")
                .as_str(),
            b"\x01x",
        );
        matches(
            "content:\"ab\"; byte_jump:0,0,relative,post_offset -2; content:\"ab\"; within:2;",
            b"abc",
        );
        matches(
            "byte_extract:1,0,n; content:\"z\"; offset:n; depth:1;",
            b"\x03xxz",
        );
        fails(
            "byte_extract:1,0,n; content:\"z\"; offset:n; depth:1;",
            b"\x02xxz",
        );
        matches(
            "byte_math:bytes 1, offset 0, oper *, rvalue 2, result r; byte_test:1,=,r,1;",
            b"\x02\x04",
        );
        // what is relative goes on behind the number
        matches(
            "byte_extract:1,1,n; content:\"z\"; distance:n; within:1;",
            b"z\x02xxz",
        );
        fails(
            "content:\"a\"; byte_extract:1,0,n,relative; content:\"z\"; distance:0; within:1;",
            b"axxz",
        );
        matches(
            "byte_math:bytes 1, offset 0, oper +, rvalue 1, result r; content:\"z\"; distance:r; within:1;",
            b"\x01xxz",
        );
        matches(
            "content:\"a\"; byte_extract:1,0,n,relative; isdataat:n,relative;",
            b"a\x03xxx",
        );
    }

    #[test]
    fn lengths_and_base64() {
        let of = |options: &str| {
            let made = rule("http", options).unwrap();
            let mut matcher = Matcher::new(&Settings::default());
            matcher.reset(&made);
            matcher.run(&made.groups[0], b"abc")
        };
        assert_eq!(of("http.uri; bsize:3; content:\"abc\";"), Outcome::Matched);
        assert_ne!(of("http.uri; bsize:>3; content:\"abc\";"), Outcome::Matched);
        let made = rule(
            "tcp",
            "content:\"=\"; base64_decode:bytes 8,relative; base64_data; content:\"hello\";",
        )
        .unwrap();
        let mut matcher = Matcher::new(&Settings::default());
        matcher.reset(&made);
        assert_eq!(
            matcher.run(&made.groups[0], b"k=aGVsbG8=!"),
            Outcome::Matched
        );
        let decoded = matcher.decoded.clone();
        assert_eq!(matcher.run(&made.groups[1], &decoded), Outcome::Matched);
        matcher.reset(&made);
        matcher.run(&made.groups[0], b"k=aGVs bG8=");
        assert_eq!(matcher.decoded, b"hel");
    }

    #[test]
    fn a_costly_rule_is_given_up_and_told() {
        let bytes = vec![b'a'; 300];
        let costly = "content:\"a\"; content:\"a\"; distance:0; content:\"a\"; distance:0; content:\"b\"; distance:0;";
        assert_eq!(outcome(costly, &bytes), Outcome::GivenUp);
        assert_eq!(
            outcome("pcre:\"/^(a+)+$/\";", &[&bytes[..60], b"!"].concat()),
            Outcome::GivenUp
        );
    }

    proptest::proptest! {
        #[test]
        fn any_case_is_found_where_comparing_finds_it(
            window in "[abAB:/ ]{0,40}",
            pattern in "[abAB:/ ]{1,4}",
        ) {
            let (window, pattern) = (window.as_bytes(), pattern.as_bytes());
            let mut places = window.windows(pattern.len());
            let want = places.position(|w| w.eq_ignore_ascii_case(pattern));
            proptest::prop_assert_eq!(find_nocase(window, pattern), want);
        }
    }

    #[test]
    fn work_grows_with_the_bytes_that_are_gone_through() {
        let made = rule("tcp", "content:\"x\";").unwrap();
        let mut matcher = Matcher::new(&Settings::default());
        let mut work = |bytes: &[u8]| {
            matcher.reset(&made);
            matcher.run(&made.groups[0], bytes);
            matcher.take_work()
        };
        assert_eq!((work(b"x"), work(&[b'a'; 640])), (1, 11));
    }

    #[test]
    fn spans_are_where_it_matched() {
        let made = rule("tcp", "content:\"a\"; content:\"b\"; within:1;").unwrap();
        let mut matcher = Matcher::new(&Settings::default());
        matcher.reset(&made);
        assert_eq!(matcher.run(&made.groups[0], b"aXab"), Outcome::Matched);
        assert_eq!(matcher.spans, [(2, 3), (3, 4)]);
    }
}
