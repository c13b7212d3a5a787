//! Lists of values that rules look a whole buffer up in: `dataset`, `datarep`, and the lists of digests of `filemd5` and its kin, as Suricata 7
//! writes them (its user guide, "Datasets" and "File Keywords"). A file is read once for all rules of a set.

use super::matcher::base64_of;
use super::rule::Compare;
use super::settings::Settings;
use crate::model::Addr;
use foldhash::HashMap;
use foldhash::quality::FixedState;
use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher};
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the values of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// Any bytes; in base64 in a file.
    Text,
    /// Digests, as bytes; in hexadecimal in a file.
    Md5,
    /// Likewise.
    Sha1,
    /// Likewise.
    Sha256,
    /// Addresses of IPv4, as bytes.
    Ipv4,
    /// Addresses of both versions, as bytes.
    Ip,
}

/// A list of values, with a score where the list is one of reputations.
#[derive(Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Its name; rules that name the same mean the same.
    pub name: String,
    kind: ValueKind,
    /// Where its values are from, and whether they have scores: the first rule that names the list says it.
    file: Option<PathBuf>,
    scores: bool,
    /// What its file holds; what rules add is with what all shards remember.
    values: HashMap<Vec<u8>, u16>,
}

/// What a rule asks of a list, or changes there.
#[derive(Debug, Clone)]
pub enum Listed {
    /// The buffer is in the list.
    IsIn(Arc<Dataset>),
    /// It is not.
    IsNotIn(Arc<Dataset>),
    /// It is added; holds where it was not in.
    Add(Arc<Dataset>),
    /// It is taken out of what rules added; holds where it was there.
    Remove(Arc<Dataset>),
    /// Its score, compared.
    Score(Arc<Dataset>, Compare, u16),
}

/// The lists of a set of rules, by file and by name.
#[derive(Debug, Clone, Default)]
pub struct Datasets {
    named: RefCell<HashMap<String, Arc<Dataset>>>,
    files: RefCell<HashMap<(PathBuf, ValueKind, bool), Arc<Dataset>>>,
    bytes: RefCell<u64>,
}

impl ValueKind {
    /// By its name in rules.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "string" => Self::Text,
            "md5" => Self::Md5,
            "sha256" => Self::Sha256,
            "ipv4" => Self::Ipv4,
            "ip" | "ipv6" => Self::Ip,
            _ => return None,
        })
    }

    /// Bytes of a value; none: any number.
    fn size(self) -> Option<usize> {
        match self {
            Self::Md5 => Some(16),
            Self::Sha1 => Some(20),
            Self::Sha256 => Some(32),
            _ => None,
        }
    }

    /// A value of a file as the bytes that buffers hold.
    fn read(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Self::Text => Some(base64_of(text.as_bytes())).filter(|b| !b.is_empty()),
            Self::Md5 | Self::Sha1 | Self::Sha256 => {
                let size = self.size()?;
                let digits = text.get(..2 * size)?;
                let rest = text.get(2 * size..)?;
                if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return None;
                }
                // lists of digests have the name of the file behind them
                let ends = rest.is_empty() || rest.starts_with(char::is_whitespace);
                let pairs = (0..size).map(|n| u8::from_str_radix(&digits[2 * n..2 * n + 2], 16));
                ends.then_some(pairs.collect::<Result<_, _>>().ok()?)
            }
            Self::Ipv4 => match text.parse().ok()? {
                IpAddr::V4(four) => Some(Addr::from_v4(four.octets()).0.to_vec()),
                IpAddr::V6(_) => None,
            },
            Self::Ip => Some(Addr::from(text.parse::<IpAddr>().ok()?).0.to_vec()),
        }
    }

    /// What a buffer holds as the list has it; none where it can be no value of it.
    fn of_buffer(self, bytes: &[u8]) -> Option<Vec<u8>> {
        match (self, bytes) {
            (Self::Ipv4 | Self::Ip, [a, b, c, d]) => {
                Some(Addr::from_v4([*a, *b, *c, *d]).0.to_vec())
            }
            (Self::Ip, six) if six.len() == 16 => Some(six.to_vec()),
            (Self::Ipv4 | Self::Ip, _) => None,
            (kind, bytes) if kind.size().is_none_or(|n| n == bytes.len()) => Some(bytes.to_vec()),
            _ => None,
        }
    }
}

impl Dataset {
    /// The value that a buffer holds; none where it can be no value of this list.
    pub fn value(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.kind.of_buffer(bytes)
    }

    /// Whether the file of the list has a value.
    pub fn holds(&self, value: &[u8]) -> bool {
        self.values.contains_key(value)
    }

    /// The score of a value.
    pub fn score(&self, value: &[u8]) -> Option<u16> {
        self.values.get(value).copied()
    }

    /// How many values the file has.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether the file has none, or there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Numbers that stand for a value of this list: of the list, and of the value.
    pub fn key(&self, value: &[u8]) -> (u64, [u64; 4]) {
        let hash = |salt: u64, bytes: &[u8]| {
            let mut hasher = FixedState::with_seed(salt).build_hasher();
            hasher.write(bytes);
            hasher.finish()
        };
        let name = [self.name.as_bytes(), &[self.kind as u8]].concat();
        let parts = [1, 2, 3, 4].map(|salt| hash(salt, value));
        (hash(0, &name), parts)
    }
}

impl Datasets {
    /// The list of a name, with what its file holds.
    ///
    /// # Errors
    /// Why the file cannot be read, or the list cannot be so.
    pub fn named(
        &self,
        name: &str,
        kind: Option<ValueKind>,
        file: Option<&Path>,
        scores: bool,
        settings: &Settings,
    ) -> Result<Arc<Dataset>, String> {
        if let Some(known) = self.named.borrow().get(name) {
            let other_kind = kind.is_some_and(|k| k != known.kind);
            let other_file = file.is_some_and(|f| known.file.as_deref() != Some(f));
            return match other_kind || other_file || scores != known.scores {
                true => Err(format!(
                    "the list `{name}` is of another type, or of another file, elsewhere"
                )),
                false => Ok(known.clone()),
            };
        }
        let kind =
            kind.ok_or_else(|| format!("`{name}` has no type: no rule before gives it one"))?;
        let values = match file {
            Some(file) => self.read(file, kind, scores, settings)?,
            None => HashMap::default(),
        };
        let made = Arc::new(Dataset {
            name: name.to_owned(),
            kind,
            file: file.map(Path::to_owned),
            scores,
            values,
        });
        let mut all = self.named.borrow_mut();
        all.insert(name.to_owned(), made.clone());
        Ok(made)
    }

    /// The digests of a file.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub fn digests(
        &self,
        file: &Path,
        kind: ValueKind,
        settings: &Settings,
    ) -> Result<Arc<Dataset>, String> {
        let key = (file.to_owned(), kind, false);
        if let Some(known) = self.files.borrow().get(&key) {
            return Ok(known.clone());
        }
        let made = Arc::new(Dataset {
            name: file.display().to_string(),
            kind,
            file: Some(file.to_owned()),
            scores: false,
            values: self.read(file, kind, false, settings)?,
        });
        self.files.borrow_mut().insert(key, made.clone());
        Ok(made)
    }

    fn read(
        &self,
        file: &Path,
        kind: ValueKind,
        scores: bool,
        settings: &Settings,
    ) -> Result<HashMap<Vec<u8>, u16>, String> {
        let name = file.display();
        let fault = |e: std::io::Error| format!("{name}: {e}");
        // a pipe would keep whoever opens it waiting, and devices have no end
        if !std::fs::metadata(file).map_err(fault)?.is_file() {
            return Err(format!("{name} is no regular file"));
        }
        let room = settings.list_bytes_max.saturating_sub(*self.bytes.borrow());
        let mut text = vec![];
        let opened = std::fs::File::open(file).map_err(fault)?;
        let read = opened.take(room.saturating_add(1)).read_to_end(&mut text);
        if read.map_err(fault)? as u64 > room {
            return Err(format!(
                "{name}: with it the lists have more than {} bytes (list_bytes_max)",
                settings.list_bytes_max
            ));
        }
        let size = text.len() as u64;
        let text = String::from_utf8_lossy(&text);
        let mut values = HashMap::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (value, score) = match (scores, line.rsplit_once(',')) {
                (false, _) => (line.split(',').next().unwrap_or(line), Some(0)),
                (true, Some((value, score))) => (value, score.trim().parse().ok()),
                (true, None) => (line, None),
            };
            let made = kind.read(value.trim()).zip(score);
            // the text stays out of it: rules of somebody else may name any file
            let (value, score) =
                made.ok_or_else(|| format!("{name}:{number} is no value of this list"))?;
            values.insert(value, score);
        }
        *self.bytes.borrow_mut() += size;
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_files_write_them_and_buffers_hold_them() {
        let abc = ValueKind::Text.read("YWJj").unwrap();
        assert_eq!(ValueKind::Text.of_buffer(b"abc"), Some(abc));
        let digest = "00112233445566778899aabbccddeeff";
        let read = ValueKind::Md5.read(&format!("{digest}  a.exe"));
        assert_eq!(read.as_ref().map(|d| d[1]), Some(0x11));
        assert_eq!(ValueKind::Md5.read(&digest[1..]), None);
        assert_eq!(ValueKind::Md5.read(&format!("{digest}0")), None);
        assert_eq!(
            ValueKind::Md5.read(&format!("a\u{e9}{}", &digest[3..])),
            None
        );
        assert_eq!(ValueKind::Md5.read(&format!("+1{}", &digest[2..])), None);
        assert_eq!(ValueKind::Md5.of_buffer(b"abc"), None);
        let four = ValueKind::Ip.read("192.0.2.1");
        assert_eq!(four, ValueKind::Ip.of_buffer(&[192, 0, 2, 1]));
        assert_eq!(four, ValueKind::Ipv4.read("192.0.2.1"));
        assert_eq!(ValueKind::Ipv4.read("2001:db8::1"), None);
        assert_eq!(ValueKind::Ipv4.of_buffer(&[0; 16]), None);
        assert_eq!(ValueKind::Sha256.read(digest), None);
    }

    #[test]
    fn lists_are_regular_files_within_the_bound() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("list");
        let read = |path: &Path, list_bytes_max| {
            let settings = Settings {
                list_bytes_max,
                ..Settings::default()
            };
            let lists = Datasets::default();
            lists.digests(path, ValueKind::Md5, &settings)
        };
        std::fs::write(&path, "# list\n00112233445566778899aabbccddeeff  a.exe\n")
            .expect("written");
        assert_eq!(read(&path, 100).map(|d| d.len()), Ok(1));
        let said = read(&path, 40).expect_err("too long");
        assert!(said.contains("list_bytes_max"), "{said}");
        let said = read(Path::new("/dev/zero"), 1 << 40).expect_err("no file");
        assert!(said.contains("no regular file"), "{said}");
        std::fs::write(&path, "root:secret\n").expect("written");
        let said = read(&path, 100).expect_err("no digest");
        assert!(!said.contains("secret"), "{said}");
        let (lists, settings) = (Datasets::default(), Settings::default());
        std::fs::write(&path, "10.0.0.1,5\n").expect("written");
        let named = |kind, file, scores| lists.named("l", kind, file, scores, &settings);
        assert!(named(Some(ValueKind::Ip), Some(&*path), true).is_ok());
        assert!(named(None, None, true).is_ok());
        assert!(
            named(None, None, false).is_err(),
            "a list of scores is no other"
        );
        assert!(named(Some(ValueKind::Text), None, true).is_err());
        assert!(named(None, Some(Path::new("other")), true).is_err());
    }
}
