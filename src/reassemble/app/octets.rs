//! Fields at fixed places, and what recognisers make of a half of a conversation.
//!
//! A check says `Some(true)` (it is this protocol), `Some(false)` (it is not) or `None` (too short to say).

use super::peek::{Confidence, Peek, Verdict, Wire};
use crate::model::AppProto;

/// The octet at `at`.
pub(super) fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

/// Two octets at `at`, most significant first.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}

/// Three octets at `at`, most significant first.
pub(super) fn u24_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
}

/// Four octets at `at`, most significant first.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_be_bytes)
}

/// Two octets at `at`, least significant first.
pub(super) fn u16_le(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_le_bytes)
}

/// Four octets at `at`, least significant first.
pub(super) fn u32_le(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

/// The `N` octets at `at`.
pub(super) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// Whether `bytes` begin with `magic`; `None` while all that is there fits.
pub(super) fn begins(bytes: &[u8], magic: &[u8]) -> Option<bool> {
    let n = bytes.len().min(magic.len());
    match bytes[..n] == magic[..n] {
        true if n < magic.len() => None,
        fits => Some(fits),
    }
}

/// [`begins`], whatever the case of letters.
pub(super) fn begins_text(bytes: &[u8], magic: &[u8]) -> Option<bool> {
    let n = bytes.len().min(magic.len());
    match bytes[..n].eq_ignore_ascii_case(&magic[..n]) {
        true if n < magic.len() => None,
        fits => Some(fits),
    }
}

/// Whether `bytes` begin with one of these words, whatever the case of letters.
pub(super) fn begins_one(bytes: &[u8], words: &[&[u8]]) -> Option<bool> {
    one_of(words.iter().map(|w| begins_text(bytes, w)))
}

/// Whether one of the checks holds; `None` while none does and one may.
pub(super) fn one_of(checks: impl IntoIterator<Item = Option<bool>>) -> Option<bool> {
    let mut short = false;
    for check in checks {
        match check {
            Some(true) => return Some(true),
            Some(false) => {}
            None => short = true,
        }
    }
    (!short).then_some(false)
}

/// Whether `part` is somewhere in `bytes`.
pub(super) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|w| w == part)
}

/// The first line without its end, if it has come.
pub(super) fn line(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let line = &bytes[..end];
    Some(line.strip_suffix(b"\r").unwrap_or(line))
}

/// Whether all of it is text that a person could read.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .all(|b| matches!(b, b' '..=b'~' | b'\r' | b'\n' | b'\t') || *b >= 0x80)
}

/// Whether it begins with a reply code (RFC 959 section 4.2, RFC 5321 section 4.2): three digits, space or hyphen.
pub(super) fn is_reply(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [
            b'1'..=b'5',
            b'0'..=b'9',
            b'0'..=b'9',
            b' ' | b'-' | b'\r',
            ..,
        ] => Some(true),
        [b'1'..=b'5', b'0'..=b'9', b'0'..=b'9']
        | [b'1'..=b'5', b'0'..=b'9']
        | [b'1'..=b'5']
        | [] => None,
        _ => Some(false),
    }
}

/// It is `proto` if the check holds for a half (of a datagram: for it). A half that is too short to say asks for more.
pub(super) fn either(
    peek: &Peek<'_>,
    proto: AppProto,
    sure: Confidence,
    check: impl Fn(&[u8]) -> Option<bool>,
) -> Verdict {
    if peek.transport != Wire::Tcp {
        return match check(peek.bytes()) {
            Some(true) => Verdict::Is(proto, sure),
            _ => Verdict::No,
        };
    }
    let spoken = peek.first.iter().filter(|half| !half.is_empty());
    match one_of(spoken.map(|half| check(half))) {
        Some(true) => Verdict::Is(proto, sure),
        Some(false) => Verdict::No,
        None => Verdict::More,
    }
}

/// Which half holds `check`, if one does.
pub(super) fn who(peek: &Peek<'_>, check: impl Fn(&[u8]) -> bool) -> Option<usize> {
    (0..2).find(|&half| check(peek.first[half]))
}

#[cfg(test)]
pub(super) mod trial {
    //! Recognisers over bytes, in tests.

    use crate::reassemble::app::list::{Finding, find};

    use super::*;
    use crate::reassemble::app::peek::Verdict::{Is, More, No};

    pub type Recognise = fn(&Peek<'_>) -> Verdict;

    /// Octets written as hex.
    pub fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text
            .bytes()
            .filter(|b| !b.is_ascii_whitespace())
            .map(|b| (b as char).to_digit(16).expect("hex") as u8)
            .collect();
        digits.chunks(2).map(|d| d[0] << 4 | d[1]).collect()
    }

    fn peek<'a>(on: (Wire, u16, u16), first: [&'a [u8]; 2], half: usize) -> Peek<'a> {
        Peek {
            transport: on.0,
            src_port: on.1,
            dst_port: on.2,
            first,
            half,
            before: &[],
        }
    }

    pub fn ask(
        recognise: Recognise,
        on: (Wire, u16, u16),
        first: [&[u8]; 2],
        half: usize,
    ) -> Verdict {
        recognise(&peek(on, first, half))
    }

    /// It is `proto`; no cut of it is anything else, or panics.
    #[track_caller]
    pub fn is_on(recognise: Recognise, on: (Wire, u16, u16), first: [&[u8]; 2], proto: AppProto) {
        for half in 0..2 {
            if first[half].is_empty() {
                continue;
            }
            for end in 0..first[half].len() {
                let mut cut = first;
                cut[half] = &first[half][..end];
                if let Is(other, _) = ask(recognise, on, cut, half) {
                    assert_eq!(other, proto, "cut to {end}");
                }
            }
        }
        let half = usize::from(first[0].is_empty());
        let said = ask(recognise, on, first, half);
        assert!(
            matches!(said, Is(p, _) if p == proto),
            "{said:?}, not {proto:?}"
        );
        // nobody else claims it
        if let Finding::Is(other, _) = find(&peek(on, first, half), &mut 0) {
            assert_eq!(other, proto, "of all");
        }
    }

    #[track_caller]
    pub fn is_tcp(recognise: Recognise, first: [&[u8]; 2], proto: AppProto) {
        is_on(recognise, (Wire::Tcp, 40_000, 50_000), first, proto);
    }

    #[track_caller]
    pub fn is_udp(recognise: Recognise, bytes: &[u8], proto: AppProto) {
        is_on(recognise, (Wire::Udp, 40_000, 50_000), [bytes, b""], proto);
    }

    #[track_caller]
    pub fn not_on(recognise: Recognise, on: (Wire, u16, u16), first: [&[u8]; 2]) {
        let half = usize::from(first[0].is_empty());
        assert_eq!(ask(recognise, on, first, half), No);
    }

    #[track_caller]
    pub fn not_tcp(recognise: Recognise, bytes: &[u8]) {
        not_on(recognise, (Wire::Tcp, 40_000, 50_000), [bytes, b""]);
    }

    #[track_caller]
    pub fn not_udp(recognise: Recognise, bytes: &[u8]) {
        not_on(recognise, (Wire::Udp, 40_000, 50_000), [bytes, b""]);
    }

    #[track_caller]
    pub fn more_tcp(recognise: Recognise, first: [&[u8]; 2]) {
        let half = usize::from(first[0].is_empty());
        assert_eq!(
            ask(recognise, (Wire::Tcp, 40_000, 50_000), first, half),
            More
        );
    }
}
