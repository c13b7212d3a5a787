//! Lists of values that rules look a whole buffer up in: `dataset`, `datarep`, and the lists of digests of `filemd5` and its kin, as Suricata 7
//! writes them (its user guide, "Datasets" and "File Keywords"). A file is read once for all rules of a set.

use super::matcher::base64_of;
use super::rule::Compare;
use super::settings::Settings;
use super::state::ListedValue;
use crate::model::Addr;
use foldhash::HashMap;
use foldhash::quality::FixedState;
use std::borrow::Cow;
use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

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
    values: Values,
    /// Set where a rule adds to it: then what rules added is asked, too.
    grows: OnceLock<()>,
}

/// The values of a file with their scores: those of one size as they are, others each with memory of its own.
#[derive(Debug, PartialEq, Eq)]
enum Values {
    Text(HashMap<Box<[u8]>, u16>),
    Sixteen(HashMap<[u8; 16], u16>),
    Twenty(HashMap<[u8; 20], u16>),
    ThirtyTwo(HashMap<[u8; 32], u16>),
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
    fn of_buffer(self, bytes: &[u8]) -> Option<Cow<'_, [u8]>> {
        match (self, bytes) {
            (Self::Ipv4 | Self::Ip, [a, b, c, d]) => {
                let addr = Addr::from_v4([*a, *b, *c, *d]);
                Some(Cow::Owned(addr.0.to_vec()))
            }
            (Self::Ip, six) if six.len() == 16 => Some(Cow::Borrowed(six)),
            (Self::Ipv4 | Self::Ip, _) => None,
            (kind, bytes) if kind.size().is_none_or(|n| n == bytes.len()) => {
                Some(Cow::Borrowed(bytes))
            }
            _ => None,
        }
    }
}

impl Values {
    fn new(kind: ValueKind) -> Self {
        match kind {
            ValueKind::Text => Self::Text(HashMap::default()),
            ValueKind::Md5 | ValueKind::Ipv4 | ValueKind::Ip => Self::Sixteen(HashMap::default()),
            ValueKind::Sha1 => Self::Twenty(HashMap::default()),
            ValueKind::Sha256 => Self::ThirtyTwo(HashMap::default()),
        }
    }

    /// Adds a value; one of another size is none of this list.
    fn insert(&mut self, value: &[u8], score: u16) {
        match self {
            Self::Text(all) => drop(all.insert(value.into(), score)),
            Self::Sixteen(all) => insert(all, value, score),
            Self::Twenty(all) => insert(all, value, score),
            Self::ThirtyTwo(all) => insert(all, value, score),
        }
    }

    fn get(&self, value: &[u8]) -> Option<u16> {
        match self {
            Self::Text(all) => all.get(value).copied(),
            Self::Sixteen(all) => get(all, value),
            Self::Twenty(all) => get(all, value),
            Self::ThirtyTwo(all) => get(all, value),
        }
    }

    /// Entries, how many there is room for, and bytes of one.
    fn sizes(&self) -> [usize; 3] {
        fn of<K>(all: &HashMap<K, u16>) -> [usize; 3] {
            [all.len(), all.capacity(), size_of::<(K, u16)>()]
        }
        match self {
            Self::Text(all) => of(all),
            Self::Sixteen(all) => of(all),
            Self::Twenty(all) => of(all),
            Self::ThirtyTwo(all) => of(all),
        }
    }

    /// Bytes that the table takes while another value comes: where it is full that is as much again twice.
    fn table_bytes(&self) -> usize {
        let [len, capacity, each] = self.sizes();
        // seven eighths of the places are used, of which there are a power of two, with a byte beside each
        let places = (capacity * 8 / 7).next_power_of_two();
        let bytes = places * (each + 1) + TABLE_MORE_BYTES;
        bytes * if len == capacity { 3 } else { 1 }
    }

    /// Bytes of a value beside the table: what is asked for, to the next sixteen, and as much for whoever hands memory out.
    fn beside(&self, value: &[u8]) -> usize {
        match self {
            Self::Text(_) => value.len().next_multiple_of(16) + 16,
            _ => 0,
        }
    }
}

fn insert<const N: usize>(all: &mut HashMap<[u8; N], u16>, value: &[u8], score: u16) {
    if let Ok(value) = value.try_into() {
        all.insert(value, score);
    }
}

fn get<const N: usize>(all: &HashMap<[u8; N], u16>, value: &[u8]) -> Option<u16> {
    let value: &[u8; N] = value.try_into().ok()?;
    all.get(value).copied()
}

impl Dataset {
    /// The value that a buffer holds; none where it can be no value of this list.
    pub fn value<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        self.kind.of_buffer(bytes)
    }

    /// Whether the file of the list has a value.
    pub fn holds(&self, value: &[u8]) -> bool {
        self.score(value).is_some()
    }

    /// The score of a value.
    pub fn score(&self, value: &[u8]) -> Option<u16> {
        self.values.get(value)
    }

    /// A rule adds to it.
    pub fn grow(&self) {
        self.grows.get_or_init(|| ());
    }

    /// Whether a rule adds to it.
    #[inline]
    pub fn grows(&self) -> bool {
        self.grows.get().is_some()
    }

    /// How many values the file has.
    pub fn len(&self) -> usize {
        self.values.sizes()[0]
    }

    /// Whether the file has none, or there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers that stand for a value of this list: of the list, and of the value.
    pub fn key(&self, value: &[u8]) -> ListedValue {
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
    /// Bytes that lists of files take at most: those that rules are matched with, and those of the rules that are to follow.
    pub fn memory_max(settings: &Settings) -> usize {
        let each = usize::try_from(settings.list_bytes_max).unwrap_or(usize::MAX);
        each.saturating_mul(2)
    }

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
            None => Values::new(kind),
        };
        let made = Arc::new(Dataset {
            name: name.to_owned(),
            kind,
            file: file.map(Path::to_owned),
            scores,
            values,
            grows: OnceLock::new(),
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
            grows: OnceLock::new(),
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
    ) -> Result<Values, String> {
        let name = file.display();
        let fault = |e: std::io::Error| format!("{name}: {e}");
        // a pipe would keep whoever opens it waiting, and devices have no end
        if !std::fs::metadata(file).map_err(fault)?.is_file() {
            return Err(format!("{name} is no regular file"));
        }
        let too_long = || {
            format!(
                "{name}: with it the lists take more than {} bytes (list_bytes_max)",
                settings.list_bytes_max
            )
        };
        let room = settings.list_bytes_max.saturating_sub(*self.bytes.borrow());
        let opened = std::fs::File::open(file).map_err(fault)?;
        let mut text = BufReader::new(opened.take(room.saturating_add(1)));
        let (mut values, mut beside, mut read) = (Values::new(kind), 0, 0);
        let mut line = vec![];
        for number in 1.. {
            line.clear();
            let n = (&mut text).take(LINE_MAX).read_until(b'\n', &mut line);
            match n.map_err(fault)? as u64 {
                0 => break,
                n => read += n,
            }
            if read > room {
                return Err(too_long());
            }
            // the text stays out of it: rules of somebody else may name any file
            let made = value_of(&line, kind, scores);
            let made = made.map_err(|()| format!("{name}:{number} is no value of this list"))?;
            let Some((value, score)) = made else { continue };
            beside += values.beside(&value);
            if (values.table_bytes() + beside) as u64 > room {
                return Err(too_long());
            }
            values.insert(&value, score);
        }
        let memory = values.table_bytes() + beside;
        *self.bytes.borrow_mut() += read.max(memory as u64).min(room);
        Ok(values)
    }
}

/// The value of a line, and its score; none of an empty line or a comment.
fn value_of(line: &[u8], kind: ValueKind, scores: bool) -> Result<Option<(Vec<u8>, u16)>, ()> {
    if line.len() as u64 >= LINE_MAX && !line.ends_with(b"\n") {
        return Err(());
    }
    let text = String::from_utf8_lossy(line);
    let text = text.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(None);
    }
    let (value, score) = match (scores, text.rsplit_once(',')) {
        (false, _) => (text.split(',').next().unwrap_or(text), Some(0)),
        (true, Some((value, score))) => (value, score.trim().parse().ok()),
        (true, None) => (text, None),
    };
    kind.read(value.trim()).zip(score).map(Some).ok_or(())
}

/// Bytes of a line of a file.
const LINE_MAX: u64 = 1 << 16;
/// What a table takes beside its places.
const TABLE_MORE_BYTES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_files_write_them_and_buffers_hold_them() {
        let abc = ValueKind::Text.read("YWJj").unwrap();
        assert_eq!(ValueKind::Text.of_buffer(b"abc").as_deref(), Some(&*abc));
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
        let buffer = ValueKind::Ip.of_buffer(&[192, 0, 2, 1]);
        assert_eq!(four.as_deref(), buffer.as_deref());
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
        assert_eq!(read(&path, 1_000).map(|d| d.len()), Ok(1));
        let said = read(&path, 40).expect_err("too long");
        assert!(said.contains("list_bytes_max"), "{said}");
        let said = read(Path::new("/dev/zero"), 1 << 40).expect_err("no file");
        assert!(said.contains("no regular file"), "{said}");
        std::fs::write(&path, "root:secret\n").expect("written");
        let said = read(&path, 1_000).expect_err("no digest");
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

    /// Short values take more in memory than in a file, long ones less: what is more counts.
    #[test]
    fn lists_take_no_more_memory_than_they_may() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("list");
        let digests: String = (0..3_000).map(|n| format!("{n:064x}\n")).collect();
        let short: String = (0..3_000)
            .map(|n: u32| {
                let mut text = String::new();
                crate::detect::base64::encode(&n.to_be_bytes()[2..], &mut text);
                text + "\n"
            })
            .collect();
        for (kind, text) in [(ValueKind::Sha256, digests), (ValueKind::Text, short)] {
            std::fs::write(&path, &text).expect("written");
            let mut loads = 0;
            for list_bytes_max in (0..40).map(|n| 20_000 + 20_000 * n) {
                let settings = Settings {
                    list_bytes_max,
                    ..Settings::default()
                };
                let lists = Datasets::default();
                let Ok(list) = lists.digests(&path, kind, &settings) else {
                    assert_eq!(loads, 0, "what fits once fits where there is more room");
                    continue;
                };
                loads += 1;
                assert_eq!(list.len(), 3_000);
                let [_, capacity, each] = list.values.sizes();
                let apart = match &list.values {
                    Values::Text(all) => all.keys().map(|k| k.len()).sum(),
                    _ => 0,
                };
                assert!((capacity * each + apart) as u64 <= list_bytes_max);
                assert!((capacity * each + apart) as u64 <= *lists.bytes.borrow());
                assert!(*lists.bytes.borrow() <= list_bytes_max);
            }
            assert!((1..40).contains(&loads), "{kind:?}: {loads}");
        }
    }
}
