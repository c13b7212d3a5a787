//! Lines that messages of HTTP/1 begin with, and what stands in their place.

/// Whether a piece of a stream begins with a head, as segments mostly do.
pub(super) fn begins_head(b: &[u8]) -> bool {
    let asks = |m: &&[u8]| {
        b.strip_prefix(*m)
            .is_some_and(|rest| rest.starts_with(b" "))
    };
    b.starts_with(b"HTTP/1.") || METHODS.iter().any(asks)
}

/// Whether bytes are the beginning of a word that the next piece may complete.
pub(super) fn may_begin(b: &[u8], word: &[u8]) -> bool {
    !b.is_empty() && word.starts_with(b)
}

/// Whether bytes begin with a word and a blank, or with as much of that as there is.
pub(super) fn begins_with_word(b: &[u8], word: &[u8]) -> bool {
    let rest = b.strip_prefix(word);
    let is_whole = rest.is_some_and(|r| r.first().is_none_or(u8::is_ascii_whitespace));
    is_whole || may_begin(b, word)
}

/// Where a status line begins behind lines that are none, at `from` or later: what is before it was looked at.
pub(super) fn status_line_behind(b: &[u8], from: usize) -> Option<usize> {
    let mut starts = (from.max(1)..b.len()).filter(|at| b[*at - 1] == b'\n');
    starts.find(|at| b[*at..].starts_with(b"HTTP/"))
}

/// Where a request ends that is a line without version and has nothing behind it but ends of lines.
pub(super) fn whole_bare_line(b: &[u8]) -> Option<usize> {
    let end = b.iter().position(|c| *c == b'\n')? + 1;
    let alone = b[end..].iter().all(u8::is_ascii_whitespace);
    (alone && is_bare_line(b)).then_some(end)
}

/// Whether the first line of a request has no version.
fn is_bare_line(b: &[u8]) -> bool {
    let line = b.split(|c| *c == b'\n').next().unwrap_or(b);
    let words = line.split(u8::is_ascii_whitespace);
    matches!(words.filter(|w| !w.is_empty()).count(), 1 | 2)
}

/// Methods that begin a request.
pub(super) const METHODS: &[&[u8]] = &[
    b"GET",
    b"POST",
    b"HEAD",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"CONNECT",
    b"PATCH",
    b"TRACE",
    b"PROPFIND",
    b"PROPPATCH",
    b"MKCOL",
    b"COPY",
    b"MOVE",
    b"LOCK",
    b"UNLOCK",
    b"REPORT",
    b"SEARCH",
    b"CHECKOUT",
    b"MERGE",
];
