//! Transforms: what a rule does to a buffer before it looks at it, as Suricata 7 does it (its user guide, "Transformations").

use super::matcher::base64_of;
use super::rule::Transform;
use super::settings::Settings;
use md5::{Digest, Md5};
use ring::digest;

/// The transforms of a group, ready to run.
#[derive(Debug, Clone, Default)]
pub struct Transforms(Vec<Op>);

#[derive(Debug, Clone)]
enum Op {
    Plain(Transform),
    Regex(pcre2::bytes::Regex),
}

/// Memory of transforms, used again and again.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    now: Vec<u8>,
    next: Vec<u8>,
}

impl Transform {
    /// Whether a text can never be part of what this leaves.
    pub(super) fn never_leaves(&self, text: &[u8]) -> bool {
        match self {
            Transform::ToLowercase => text.iter().any(u8::is_ascii_uppercase),
            Transform::ToUppercase => text.iter().any(u8::is_ascii_lowercase),
            Transform::StripWhitespace => text.iter().any(|b| is_blank(*b)),
            Transform::CompressWhitespace => {
                text.windows(2).any(|w| w.iter().all(|b| is_blank(*b)))
            }
            _ => false,
        }
    }
}

impl Transforms {
    /// Makes them ready; the regular expressions get the limits of the settings.
    pub fn new(transforms: &[Transform], settings: &Settings) -> Result<Self, String> {
        let ready = transforms.iter().map(|t| match t {
            Transform::PcreXform(text) => {
                let limits = format!(
                    "(*LIMIT_MATCH={})(*LIMIT_DEPTH={})",
                    settings.pcre_match_limit, settings.pcre_depth_limit
                );
                pcre2::bytes::Regex::new(&(limits + text))
                    .map(Op::Regex)
                    .map_err(|e| e.to_string())
            }
            other => Ok(Op::Plain(other.clone())),
        });
        ready.collect::<Result<_, _>>().map(Self)
    }

    /// Whether the buffer stays as it is.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The buffer as the rule wants to see it. No transform makes it more than one byte longer, digests apart.
    pub fn apply<'a>(&self, bytes: &'a [u8], scratch: &'a mut Scratch) -> &'a [u8] {
        let Some((first, rest)) = self.0.split_first() else {
            return bytes;
        };
        scratch.now.clear();
        first.run(bytes, &mut scratch.now);
        for op in rest {
            scratch.next.clear();
            op.run(&scratch.now, &mut scratch.next);
            std::mem::swap(&mut scratch.now, &mut scratch.next);
        }
        &scratch.now
    }
}

impl Op {
    fn run(&self, input: &[u8], out: &mut Vec<u8>) {
        match self {
            Op::Plain(transform) => plain(transform, input, out),
            Op::Regex(regex) => {
                // where nothing matches, or the group takes no part, the buffer stays as it is
                let found = regex.captures(input).ok().flatten();
                let group = found.as_ref().and_then(|f| f.get(1));
                out.extend_from_slice(group.map_or(input, |g| g.as_bytes()));
            }
        }
    }
}

fn plain(transform: &Transform, input: &[u8], out: &mut Vec<u8>) {
    match transform {
        // an empty buffer stays empty
        _ if input.is_empty() && !is_digest(transform) => {}
        Transform::Dotprefix => {
            out.push(b'.');
            out.extend_from_slice(input);
        }
        Transform::StripWhitespace => out.extend(input.iter().filter(|b| !is_blank(**b))),
        Transform::CompressWhitespace => compress(input, out),
        Transform::UrlDecode => url_decode(input, out),
        Transform::ToLowercase => out.extend(input.iter().map(u8::to_ascii_lowercase)),
        Transform::ToUppercase => out.extend(input.iter().map(u8::to_ascii_uppercase)),
        Transform::ToMd5 => out.extend_from_slice(&Md5::digest(input)),
        Transform::ToSha1 => hash(&digest::SHA1_FOR_LEGACY_USE_ONLY, input, out),
        Transform::ToSha256 => hash(&digest::SHA256, input, out),
        Transform::Xor(key) => out.extend(input.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k)),
        Transform::HeaderLowercase => lower_names(input, out),
        Transform::StripPseudoHeaders => strip_pseudo(input, out),
        Transform::Domain => out.extend_from_slice(labels(input, 2)),
        Transform::TopLevelDomain => out.extend_from_slice(labels(input, 1)),
        Transform::FromBase64 => out.append(&mut base64_of(input)),
        // compiled by `Transforms::new`
        Transform::PcreXform(_) => out.extend_from_slice(input),
    }
}

fn is_digest(transform: &Transform) -> bool {
    matches!(
        transform,
        Transform::ToMd5 | Transform::ToSha1 | Transform::ToSha256
    )
}

/// What C's `isspace` takes for a blank.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// Of a run of blanks the first stays, whichever it is.
fn compress(input: &[u8], out: &mut Vec<u8>) {
    let mut before = false;
    for &byte in input {
        let blank = is_blank(byte);
        if !(blank && before) {
            out.push(byte);
        }
        before = blank;
    }
}

/// `%xx` and `+`; a `%` that is followed by anything else stays.
fn url_decode(input: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&byte) = input.get(at) {
        let digit = |i: usize| char::from(*input.get(at + i)?).to_digit(16);
        match (byte, digit(1), digit(2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                at += 3;
                continue;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
}

fn hash(algorithm: &'static digest::Algorithm, input: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(digest::digest(algorithm, input).as_ref());
}

/// What stands before the first colon of each line in lower case.
fn lower_names(input: &[u8], out: &mut Vec<u8>) {
    let mut in_name = true;
    for &byte in input {
        match byte {
            b':' => in_name = false,
            b'\n' if !in_name => in_name = true,
            _ => {}
        }
        out.push(if in_name {
            byte.to_ascii_lowercase()
        } else {
            byte
        });
    }
}

/// Lines that begin with a colon are left out.
fn strip_pseudo(input: &[u8], out: &mut Vec<u8>) {
    let lines = input.split_inclusive(|b| *b == b'\n');
    lines
        .filter(|l| l.first() != Some(&b':'))
        .for_each(|l| out.extend_from_slice(l));
}

/// The last labels of a host name.
fn labels(input: &[u8], count: usize) -> &[u8] {
    let dots = input
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, b)| **b == b'.')
        .map(|(at, _)| at);
    let from = dots.skip(count - 1).map(|at| at + 1).next().unwrap_or(0);
    &input[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(transforms: &[Transform], input: &[u8]) -> Vec<u8> {
        let ready = Transforms::new(transforms, &Settings::default()).unwrap();
        ready.apply(input, &mut Scratch::default()).to_vec()
    }

    #[test]
    fn each_does_what_suricata_7_does() {
        let table: &[(Transform, &[u8], &[u8])] = &[
            (Transform::Dotprefix, b"a.example", b".a.example"),
            (Transform::Dotprefix, b"", b""),
            (
                Transform::StripWhitespace,
                b" a \t\r\n\x0b\x0cb\xa0",
                b"ab\xa0",
            ),
            (Transform::CompressWhitespace, b"a\t  b \t c  ", b"a\tb c "),
            (Transform::UrlDecode, b"/a%41%4g%4+%2f%", b"/aA%4g%4 /%"),
            (Transform::ToLowercase, b"AbC\xc4", b"abc\xc4"),
            (Transform::ToUppercase, b"AbC\xe4", b"ABC\xe4"),
            (Transform::Xor(vec![1, 2]), b"/a%", b".c$"),
            (
                Transform::HeaderLowercase,
                b"Host: A:B\nX-Y: Q\n",
                b"host: A:B\nx-y: Q\n",
            ),
            (
                Transform::StripPseudoHeaders,
                b":path: /\r\nA: b\r\n:x",
                b"A: b\r\n",
            ),
            (Transform::PcreXform("/(.)".to_owned()), b"/abc", b"a"),
            (Transform::PcreXform("zz(.)".to_owned()), b"/abc", b"/abc"),
            (Transform::PcreXform("a(y)?".to_owned()), b"/abc", b"/abc"),
            (Transform::PcreXform("a()".to_owned()), b"/abc", b""),
            (Transform::Domain, b"a.b.example.org", b"example.org"),
            (Transform::TopLevelDomain, b"a.b.example.org", b"org"),
            (Transform::TopLevelDomain, b"localhost", b"localhost"),
            (Transform::FromBase64, b"YWJj", b"abc"),
        ];
        for (transform, input, expected) in table {
            let got = made(std::slice::from_ref(transform), input);
            assert_eq!(got, *expected, "{transform:?}");
        }
    }

    #[test]
    fn digests_are_the_bytes_not_the_text() {
        assert_eq!(
            made(&[Transform::ToMd5], b"x")[..4],
            [0x9d, 0xd4, 0xe4, 0x61]
        );
        assert_eq!(
            made(&[Transform::ToMd5], b"")[..4],
            [0xd4, 0x1d, 0x8c, 0xd9]
        );
        assert_eq!(
            made(&[Transform::ToSha1], b"abc")[..4],
            [0xa9, 0x99, 0x3e, 0x36]
        );
        assert_eq!(
            made(&[Transform::ToSha256], b"abc")[..4],
            [0xba, 0x78, 0x16, 0xbf]
        );
    }

    #[test]
    fn they_run_in_order() {
        let both = [
            Transform::ToLowercase,
            Transform::Dotprefix,
            Transform::UrlDecode,
        ];
        assert_eq!(made(&both, b"A%42+"), b".aB ");
        assert_eq!(made(&[], b"A"), b"A");
    }
}
