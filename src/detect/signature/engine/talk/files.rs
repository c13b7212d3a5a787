//! What rules ask of a file beside what it holds: its name, its size, its digests.

use super::super::super::buffer::Buffer;
use super::super::unit::Unit;
use super::super::wanted::Wanted;
use super::mime;
use md5::{Digest, Md5};
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use std::fmt;

/// A file that comes: what is known of all of it, however much of it is kept.
#[derive(Debug, Default)]
pub(super) struct FileFacts {
    bytes: u64,
    /// Bytes of it are missing: it has no digest.
    is_broken: bool,
    /// None where rules ask for none.
    digests: Option<Box<Digests>>,
}

/// Digests in the making: those that rules ask for.
#[derive(Default)]
struct Digests {
    md5: Option<Md5>,
    sha1: Option<Context>,
    sha256: Option<Context>,
}

impl fmt::Debug for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digests")
    }
}

impl FileFacts {
    /// A file of which nothing came yet.
    pub fn new(wanted: &Wanted) -> Self {
        let [md5, sha1, sha256] = wanted.digests;
        FileFacts {
            bytes: 0,
            is_broken: false,
            digests: (md5 || sha1 || sha256).then(|| {
                Box::new(Digests {
                    md5: md5.then(Md5::new),
                    sha1: sha1.then(|| Context::new(&SHA1_FOR_LEGACY_USE_ONLY)),
                    sha256: sha256.then(|| Context::new(&SHA256)),
                })
            }),
        }
    }

    /// Further bytes of it.
    pub fn take(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let Some(d) = &mut self.digests else { return };
        d.md5.iter_mut().for_each(|md5| md5.update(bytes));
        let shas = d.sha1.iter_mut().chain(&mut d.sha256);
        shas.for_each(|sha| sha.update(bytes));
    }

    /// Whether nothing came.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Bytes of it are missing.
    pub fn broken(&mut self) {
        (self.is_broken, self.digests) = (true, None);
    }

    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        self.digests.as_ref().map_or(0, |_| size_of::<Digests>())
    }

    /// Nothing more of it comes. Of a file that `is_all` there size and digests are known, of another one that it is at least so large.
    pub fn tell(&mut self, unit: &mut Unit, is_all: bool) {
        if self.is_broken || !is_all {
            unit.number(FILE_SIZE_AT_LEAST, self.bytes);
            return;
        }
        unit.number("filesize", self.bytes);
        let Some(d) = self.digests.take() else { return };
        if let Some(md5) = d.md5 {
            unit.part("filemd5", md5.finalize().to_vec());
        }
        for (name, sha) in [("filesha1", d.sha1), ("filesha256", d.sha256)] {
            if let Some(sha) = sha {
                unit.part(name, sha.finish().as_ref().to_vec());
            }
        }
    }
}

/// A file begins: that there is one, and its name.
pub(super) fn begins(unit: &mut Unit, name: &[u8]) {
    if !unit.wanted().files {
        return;
    }
    if unit.words("filestore").next().is_none() {
        unit.word("filestore", "");
    }
    if !name.is_empty() && unit.values(FILE_NAME).all(|n| n != name) {
        unit.add(FILE_NAME, &name[..name.len().min(NAME_MAX)]);
    }
}

/// A file that is there at once.
pub(super) fn whole(unit: &mut Unit, name: &[u8], bytes: &[u8]) {
    if !unit.wanted().files {
        return;
    }
    begins(unit, name);
    let mut facts = FileFacts::new(unit.wanted());
    facts.take(bytes);
    facts.tell(unit, true);
}

/// The name of a file in `Content-Disposition` or the like: `filename=`, or another parameter.
pub(super) fn name_in(value: &[u8], parameter: &[u8]) -> Option<Vec<u8>> {
    let lower = value.to_ascii_lowercase();
    let mut from = 0;
    loop {
        let at = mime::find(&lower, parameter, from)?;
        from = at + parameter.len();
        let before = at.checked_sub(1).map(|n| lower[n]);
        let starts = before.is_none_or(|b| matches!(b, b';' | b' ' | b'\t'));
        let Some(rest) = value[from..].strip_prefix(b"=").filter(|_| starts) else {
            continue;
        };
        let name = match rest.strip_prefix(b"\"") {
            Some(rest) => rest.split(|b| *b == b'"').next(),
            None => rest
                .split(|b| matches!(b, b';' | b' ' | b'\r' | b'\n'))
                .next(),
        };
        return name.filter(|n| !n.is_empty()).map(<[u8]>::to_vec);
    }
}

/// The number of bytes of a file of which some are missing.
pub(in super::super) const FILE_SIZE_AT_LEAST: &str = "filesize at least";
const FILE_NAME: Buffer = Buffer::named("file.name");
/// Bytes of a name that are kept.
const NAME_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files_in_fields() {
        let name = |text: &str| name_in(text.as_bytes(), b"filename");
        assert_eq!(
            name("attachment; filename=\"a b.exe\"; x=y").as_deref(),
            Some(&b"a b.exe"[..])
        );
        assert_eq!(
            name("form-data; FileName=a.b;").as_deref(),
            Some(&b"a.b"[..])
        );
        assert_eq!(name("form-data; myfilename=a"), None);
        assert_eq!(name("form-data; filename=\"\""), None);
    }

    #[test]
    fn a_whole_file_is_told_with_its_digests() {
        let mut unit = Unit::new(0, 0, Wanted::default());
        whole(&mut unit, b"a.txt", b"abc");
        assert_eq!(unit.numbers("filesize").collect::<Vec<_>>(), [3]);
        let first = |name: &str| unit.parts(name).map(|d| d[0]).collect::<Vec<_>>();
        assert_eq!(first("filemd5"), [0x90]);
        assert_eq!(first("filesha1"), [0xa9]);
        assert_eq!(first("filesha256"), [0xba]);
        assert_eq!(unit.values(FILE_NAME).collect::<Vec<_>>(), [b"a.txt"]);
        assert_eq!(unit.words("filestore").count(), 1);
    }

    #[test]
    fn a_file_with_a_hole_has_no_digest_and_a_size_at_least() {
        for (hole, is_all) in [(true, true), (false, false)] {
            let mut unit = Unit::new(0, 0, Wanted::default());
            let mut facts = FileFacts::new(&Wanted::default());
            facts.take(b"abc");
            if hole {
                facts.broken();
            }
            facts.take(b"def");
            facts.tell(&mut unit, is_all);
            assert_eq!(unit.numbers("filesize").count(), 0);
            assert_eq!(unit.numbers(FILE_SIZE_AT_LEAST).collect::<Vec<_>>(), [6]);
            assert_eq!(unit.parts("filemd5").count(), 0);
        }
    }
}
