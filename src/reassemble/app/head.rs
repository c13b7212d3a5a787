//! Heads of HTTP/1: start line and header fields (RFC 9112), also such as the grammar forbids.

use std::borrow::Cow;

/// Start line and header fields, as they were sent.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// Method, target, version; or version, status, reason.
    pub first: [&'a [u8]; 3],
    /// Name and value of each field, in order.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// Stream of HTTP/2; 0 in HTTP/1.
    pub stream: u32,
    /// The bytes that it was read from, with the empty line behind it; none in HTTP/2.
    pub raw: &'a [u8],
}

impl<'a> Head<'a> {
    /// Value of the first field of this name, without regard to case.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        let found = self
            .headers
            .iter()
            .find(|h| h.0.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|h| h.1)
    }

    /// All values of the fields of this name, joined by commas.
    pub(super) fn all(&self, name: &str) -> Cow<'a, [u8]> {
        let same = |h: &&(&[u8], &[u8])| h.0.eq_ignore_ascii_case(name.as_bytes());
        let mut values = self.headers.iter().filter(same).map(|h| h.1);
        let mut all = Cow::Borrowed(values.next().unwrap_or_default());
        for more in values {
            let all = all.to_mut();
            all.push(b',');
            all.extend_from_slice(more);
        }
        all
    }

    /// How a body ends; `None` where the head does not say. Readers differ in what they take for a coding or a number, and
    /// senders know: what some of them would read is read.
    pub(super) fn framing(&self) -> Option<Framing> {
        let coding = self.all("transfer-encoding");
        let mut places = coding.windows(7);
        if places.any(|w| w.eq_ignore_ascii_case(b"chunked")) {
            return Some(Framing::Chunks);
        }
        let text = self.header("content-length")?;
        let start = text.iter().position(u8::is_ascii_digit)?;
        let digits = text[start..].iter().take_while(|b| b.is_ascii_digit());
        let add = |sum: u64, b: &u8| sum.checked_mul(10)?.checked_add(u64::from(b - b'0'));
        let mut sum = Some(0);
        digits.for_each(|b| sum = sum.and_then(|s| add(s, b)));
        sum.map(Framing::Length)
    }

    /// Whether there is a length that nobody can read, and nothing else that says how a body ends.
    pub(super) fn has_bad_length(&self) -> bool {
        self.header("content-length").is_some() && self.framing().is_none()
    }

    /// Host without its port: of the target where it has one, else of the field.
    pub fn host(&self) -> Option<&'a [u8]> {
        let [method, target, _] = self.first;
        let target = match target.windows(3).position(|w| w == b"://") {
            Some(at) if at < 8 => target[at + 3..].split(|b| *b == b'/').next(),
            _ if method == b"CONNECT" => Some(target),
            _ => None,
        };
        let field = self.header("host").or(self.header(":authority"));
        target.or(field).map(without_port)
    }

    pub(super) fn has(&self, name: &str, token: &str) -> bool {
        let mut values = self
            .headers
            .iter()
            .filter(|h| h.0.eq_ignore_ascii_case(name.as_bytes()));
        values.any(|h| tokens(h.1).any(|t| t.eq_ignore_ascii_case(token.as_bytes())))
    }
}

fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii)
}

fn without_port(host: &[u8]) -> &[u8] {
    let host = host.rsplit(|b| *b == b'@').next().unwrap_or(host);
    match host {
        // IPv6 in brackets
        [b'[', rest @ ..] => rest.split(|b| *b == b']').next().unwrap_or(rest),
        _ => host.split(|b| *b == b':').next().unwrap_or(host),
    }
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// By the coding in chunks.
    Chunks,
    /// After so many bytes.
    Length(u64),
}

/// Whether the first line of an answer is none: then all of it is a body, as browsers have it.
pub(super) fn is_no_status_line(b: &[u8]) -> bool {
    let start = b.iter().position(|c| *c > b' ').unwrap_or(b.len());
    !b[start..]
        .get(..4)
        .is_some_and(|w| w.eq_ignore_ascii_case(b"http"))
}

/// Where a head ends: behind the first empty line. Lines of an answer may end with a carriage return alone.
pub(super) fn end_of_head(b: &[u8], from: usize, is_answer: bool) -> Option<usize> {
    let mut at = from;
    while let Some((_, end)) = next_line(b, at, is_answer) {
        match b.get(end..) {
            Some([b'\n', ..]) => return Some(end + 1),
            Some([b'\r', b'\n', ..]) => return Some(end + 2),
            // several of them do not end a head
            Some([b'\r', b'\r', ..]) if at > 0 => {}
            Some([b'\r', _, ..]) if is_answer => return Some(end + 1),
            _ => {}
        }
        at = end;
    }
    None
}

/// Where the line ends that begins here, and where the next one begins; `None` where its end is not there.
fn next_line(b: &[u8], at: usize, is_answer: bool) -> Option<(usize, usize)> {
    let rest = b.get(at..)?;
    if !is_answer {
        let n = rest.iter().position(|c| *c == b'\n')?;
        return Some((at + n, at + n + 1));
    }
    let n = rest.iter().position(|c| matches!(c, b'\n' | b'\r'))?;
    match rest[n..] {
        [b'\n', ..] => Some((at + n, at + n + 1)),
        [_, b'\n', ..] => Some((at + n, at + n + 2)),
        [_, _, ..] => Some((at + n, at + n + 1)),
        _ => None,
    }
}

/// Reads a whole head; the second argument of `told` says whether it has more fields than are read. False where it is none.
pub(super) fn with_head(
    b: &[u8],
    headers_max: usize,
    is_answer: bool,
    told: impl FnOnce(&Head<'_>, bool),
) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let most = headers_max.min(fields.len());
    let line_end = next_line(b, 0, is_answer).map_or(b.len(), |l| l.0);
    let mut first = words_of(&b[..line_end]);
    let count = if is_answer {
        let mut r = httparse::Response::new(&mut fields[..most]);
        let config = httparse::ParserConfig::default().parse_response(&mut r, b);
        config
            .ok()
            .filter(|s| s.is_complete())
            .map(|_| r.headers.len())
    } else {
        let mut r = httparse::Request::new(&mut fields[..most]);
        let parsed = r.parse(b);
        if parsed.is_ok_and(|s| s.is_complete()) {
            let version: &[u8] = if r.version == Some(0) {
                b"HTTP/1.0"
            } else {
                b"HTTP/1.1"
            };
            let [method, path] = [r.method, r.path].map(|p| p.unwrap_or_default().as_bytes());
            first = [method, path, version];
            Some(r.headers.len())
        } else {
            None
        }
    };
    let folded;
    let mut cut = false;
    let headers: Vec<(&[u8], &[u8])> = match count {
        Some(n) => fields[..n]
            .iter()
            .map(|f| (f.name.as_bytes(), f.value))
            .collect(),
        // more fields than usual, or such as the grammar forbids: senders differ, and so do their readers
        None => {
            (folded, cut) = fields_of(b, headers_max, is_answer);
            folded.iter().map(|f| (f.0, trimmed(&f.1))).collect()
        }
    };
    if !is_answer && first[0].is_empty() {
        return false;
    }
    let head = Head {
        first,
        headers: &headers,
        stream: 0,
        raw: b,
    };
    told(&head, cut);
    true
}

/// A field: its name, and its value with the lines that continue it.
type Field<'a> = (&'a [u8], Cow<'a, [u8]>);

/// The fields behind the start line, and whether there are more than are read.
fn fields_of(b: &[u8], headers_max: usize, is_answer: bool) -> (Vec<Field<'_>>, bool) {
    let mut list: Vec<Field<'_>> = vec![];
    let mut at = next_line(b, 0, is_answer).map_or(b.len(), |l| l.1);
    while let Some((end, next)) = next_line(b, at, is_answer) {
        let line = &b[at..end];
        at = next;
        if let (Some(b' ' | b'\t'), Some((_, value))) = (line.first(), list.last_mut()) {
            // the value goes on
            value.to_mut().extend([b" ", trimmed(line)].concat());
            continue;
        }
        let Some(colon) = line.iter().position(|c| *c == b':') else {
            continue;
        };
        if list.len() == headers_max {
            return (list, true);
        }
        let value = Cow::Borrowed(trimmed(&line[colon + 1..]));
        list.push((trimmed(&line[..colon]), value));
    }
    (list, false)
}

/// Without blanks and control characters at either end.
pub(super) fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [0..=b' ', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., 0..=b' '] = bytes {
        bytes = rest;
    }
    bytes
}

/// The three parts of a start line; blanks before it count for nothing and several between them as one, as most servers read them.
fn words_of(line: &[u8]) -> [&[u8]; 3] {
    let cut = |text: &'_ [u8]| -> (usize, usize) {
        let end = text.iter().position(|b| b" \t".contains(b));
        let end = end.unwrap_or(text.len());
        let blanks = text[end..].iter().take_while(|b| b" \t".contains(b));
        (end, end + blanks.count())
    };
    // some servers read a request with blanks before it
    let line = line.trim_ascii();
    let (end, next) = cut(line);
    let (first, rest) = (&line[..end], &line[next..]);
    let (end, next) = cut(rest);
    [first, &rest[..end], &rest[next..]]
}
