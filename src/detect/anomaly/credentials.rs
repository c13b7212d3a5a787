//! What clients say in the clear to be let in: whether a password is another one than before.
//!
//! Only hashes leave this file. What is cut into several segments is not heard, and counts as another password.

use super::feed::fnv;
use crate::model::Addr;

/// What a client says in the clear to be let in, as hashes that are equal where it is.
#[derive(Clone, Copy, Debug)]
pub struct TriedSeen {
    /// Who tries.
    pub client: Addr,
    /// With whom.
    pub server: Addr,
    /// Port of the server.
    pub port: u16,
    /// The name, where it comes alone.
    pub user: Option<u64>,
    /// The password, with the name where both come at once.
    pub words: Option<u64>,
}

/// Hashes of the name alone, and of the password with the name where both come at once.
pub(super) type Words = (Option<u64>, Option<u64>);

/// What the first bytes of a segment to a port of a server say.
pub(super) fn of(port: u16, b: &[u8]) -> Option<Words> {
    match port {
        21 | 110 => in_turn(b).or_else(|| encoded(port, b)),
        25 | 143 | 587 => encoded(port, b),
        389 => simple_bind(b),
        _ => None,
    }
}

/// A name and then a password, each in a command of its own (RFC 959, RFC 1939).
fn in_turn(b: &[u8]) -> Option<Words> {
    let line = line(b)?;
    if begins(line, b"USER ") {
        // both may come at once
        let both = b.get(line.len()..).unwrap_or_default().trim_ascii();
        return Some(match begins(both, b"PASS ") {
            true => (None, Some(fnv(b))),
            false => (Some(fnv(line)), None),
        });
    }
    begins(line, b"PASS ").then(|| (None, Some(fnv(line))))
}

/// `LOGIN` and `AUTHENTICATE` of IMAP (RFC 3501) and `AUTH` of SMTP and POP3 (RFC 4954, RFC 5034), or the line that follows where a server asks for it.
fn encoded(port: u16, b: &[u8]) -> Option<Words> {
    let line = line(b)?;
    let said = match port {
        143 => match line.iter().position(|b| *b == b' ') {
            Some(tag) => &line[tag + 1..],
            None => line,
        },
        _ => line,
    };
    let is_base64 = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let words = match () {
        // what is announced by its length comes later
        () if port == 143 && begins(said, b"LOGIN ") => (!said.ends_with(b"}")).then_some(said)?,
        () if begins(said, b"AUTHENTICATE PLAIN ") || begins(said, b"AUTH PLAIN ") => said,
        () if line.len() % 4 == 0 && line.len() + 2 == b.len() && line.iter().all(is_base64) => {
            line
        }
        () => return None,
    };
    Some((None, Some(fnv(words))))
}

/// A simple bind (RFC 4511 section 4.2): name and password.
fn simple_bind(b: &[u8]) -> Option<Words> {
    let (0x30, message, _) = element(b)? else {
        return None;
    };
    let (0x02, _, rest) = element(message)? else {
        return None;
    };
    let (0x60, bind, _) = element(rest)? else {
        return None;
    };
    let (0x02, _, rest) = element(bind)? else {
        return None;
    };
    let (0x04, _, password) = element(rest)? else {
        return None;
    };
    (password.first() == Some(&0x80)).then(|| (None, Some(fnv(rest))))
}

/// Tag, content and what follows, in BER with a length of at most two bytes.
fn element(b: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, b) = b.split_first()?;
    let (length, b) = match *b {
        [n @ ..=0x7f, ref rest @ ..] => (usize::from(n), rest),
        [0x81, n, ref rest @ ..] => (usize::from(n), rest),
        [0x82, n, m, ref rest @ ..] => (usize::from(u16::from_be_bytes([n, m])), rest),
        [0x84, 0, 0, n, m, ref rest @ ..] => (usize::from(u16::from_be_bytes([n, m])), rest),
        _ => return None,
    };
    let (content, rest) = b.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// The first line, without its end.
fn line(b: &[u8]) -> Option<&[u8]> {
    let b = b.get(..LINE_MAX).unwrap_or(b);
    let end = b.iter().position(|b| *b == b'\n')?;
    let line = &b[..end];
    Some(line.strip_suffix(b"\r").unwrap_or(line)).filter(|l| l.len() >= LINE_MIN)
}

fn begins(line: &[u8], word: &[u8]) -> bool {
    let head = line.get(..word.len());
    head.is_some_and(|h| h.eq_ignore_ascii_case(word))
}

const LINE_MIN: usize = 4;
const LINE_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_same_where_name_and_word_are() {
        let same = |port: u16, a: &[u8], b: &[u8]| {
            let (a, b) = (of(port, a), of(port, b));
            assert!(a.is_some() && b.is_some());
            a == b
        };
        assert!(same(143, b"a1 LOGIN bob old\r\n", b"a9 LOGIN bob old\r\n"));
        assert!(!same(143, b"a1 LOGIN bob old\r\n", b"a1 LOGIN bob new\r\n"));
        assert!(!same(143, b"a1 LOGIN bob old\r\n", b"a1 LOGIN eva old\r\n"));
        assert!(same(110, b"PASS one\r\n", b"PASS one\r\n"));
        assert!(!same(
            21,
            b"USER bob\r\nPASS one\r\n",
            b"USER bob\r\nPASS two\r\n"
        ));
        assert!(same(
            587,
            b"AUTH PLAIN AGJvYgBvbGQ=\r\n",
            b"AUTH PLAIN AGJvYgBvbGQ=\r\n"
        ));
        assert!(!same(587, b"AGJvYgBvbGQ=\r\n", b"AGJvYgBuZXc=\r\n"));
        assert_eq!(of(143, b"a1 LOGIN bob {3}\r\n"), None);
        assert_eq!(of(143, b"a2 LOGOUT\r\n"), None);
        let bind = |id: u8, word: &[u8; 3]| {
            let head = [0x30, 18, 2, 1, id, 0x60, 13, 2, 1, 3, 4, 3];
            [&head[..], b"a=b", &[0x80, 3], word].concat()
        };
        assert!(same(389, &bind(1, b"old"), &bind(2, b"old")));
        assert!(!same(389, &bind(1, b"old"), &bind(1, b"new")));
        // another way to say who one is
        assert_eq!(
            of(389, &[0x30, 11, 2, 1, 1, 0x60, 6, 2, 1, 3, 4, 0, 0xa3]),
            None
        );
        assert_eq!(of(389, &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
