//! Compiled databases of contents, kept on disk so that the same rules are ready sooner the next time.
//!
//! One file holds those of one set of rules. It is an aid and nothing else: a file that is missing, damaged, of another version or too
//! large is not used, and what it would have given is compiled. It is written to a new name and moved, so that nobody reads half of one.
//!
//! A library of C runs what is in it, so it has to be as safe from others as the program is: a file that others than its owner may write
//! to is not used.

use super::hyperscan::{self, Database};
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Where compiled databases are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cache {
    /// The file.
    pub path: PathBuf,
    /// Bytes that it may have.
    pub bytes_max: u64,
}

impl Cache {
    /// A file of at most 256 MiB.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Cache {
            path: path.into(),
            bytes_max: 256 << 20,
        }
    }
}

/// What came of a cache.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Databases that were taken from it.
    pub taken: usize,
    /// Databases that were compiled.
    pub compiled: usize,
    /// Why the file was not used; a file that is not there is no reason.
    pub ignored: Option<String>,
    /// Why it could not be written.
    pub unwritten: Option<String>,
}

impl CacheUse {
    /// What was wrong with the file.
    pub fn faults(&self) -> impl Iterator<Item = String> {
        let ignored = self.ignored.iter().map(|r| format!("not used: {r}"));
        let unwritten = self.unwritten.iter().map(|r| format!("not written: {r}"));
        ignored.chain(unwritten)
    }
}

/// Databases at hand while rules are arranged.
#[derive(Debug)]
pub(super) struct Shelf {
    /// Contents that may still be compiled twice, so that one search finds what several would.
    pub room: usize,
    cache: Option<Cache>,
    kept: HashMap<Key, Vec<u8>>,
    /// What this set of rules needs.
    needed: Vec<(Key, Vec<u8>)>,
    pub used: CacheUse,
}

type Key = [u8; 32];

impl Default for Shelf {
    fn default() -> Self {
        Shelf {
            room: TWICE_MAX,
            cache: None,
            kept: HashMap::new(),
            needed: vec![],
            used: CacheUse::default(),
        }
    }
}

impl Shelf {
    /// With what the file has.
    pub fn open(cache: &Cache) -> Self {
        let mut shelf = Shelf {
            cache: Some(cache.clone()),
            ..Self::default()
        };
        match read(cache) {
            Ok(kept) => shelf.kept = kept,
            Err(reason) => shelf.used.ignored = Some(reason),
        }
        shelf
    }

    /// A database of contents, from the file or compiled; none without the library.
    pub fn database(&mut self, contents: &[Vec<u8>]) -> Option<Database> {
        if self.cache.is_none() {
            let made = Database::new(contents)?;
            self.used.compiled += 1;
            return Some(made);
        }
        let key = key(contents);
        if let Some(bytes) = self.kept.remove(&key)
            && let Some(database) = Database::from_bytes(&bytes)
        {
            self.used.taken += 1;
            self.needed.push((key, bytes));
            return Some(database);
        }
        if let Some((_, bytes)) = self.needed.iter().find(|(k, _)| *k == key)
            && let Some(database) = Database::from_bytes(bytes)
        {
            return Some(database);
        }
        let made = Database::new(contents)?;
        self.used.compiled += 1;
        if let Some(bytes) = made.to_bytes() {
            self.needed.push((key, bytes));
        }
        Some(made)
    }

    /// All databases were asked for: what is needed is written where the file has something else.
    pub fn close(mut self) -> CacheUse {
        let is_same = self.used.compiled == 0 && self.kept.is_empty();
        if let (Some(cache), false) = (&self.cache, is_same)
            && let Err(error) = write(cache, &self.needed)
        {
            self.used.unwritten = Some(error.to_string());
        }
        self.used
    }
}

/// What a database is found by.
fn key(contents: &[Vec<u8>]) -> Key {
    let mut all = vec![];
    for content in contents {
        all.extend((content.len() as u64).to_le_bytes());
        all.extend_from_slice(content);
    }
    digest_of(&all)
}

fn digest_of(bytes: &[u8]) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, bytes).as_ref());
    key
}

/// The first bytes of a file: what it is, and what made what is in it.
fn head() -> Vec<u8> {
    let library = hyperscan::version().unwrap_or_default();
    format!("{MAGIC}{library}\n").into_bytes()
}

fn read(cache: &Cache) -> Result<HashMap<Key, Vec<u8>>, String> {
    let mut file = match File::open(&cache.path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(error.to_string()),
    };
    let about = file.metadata().map_err(|e| e.to_string())?;
    if !about.is_file() {
        return Err("it is no file".into());
    }
    if others_may_write(&about) {
        return Err("others than its owner may write to it".into());
    }
    let mut bytes = vec![];
    let limit = cache.bytes_max.saturating_add(1);
    let size = (&mut file).take(limit).read_to_end(&mut bytes);
    size.map_err(|e| e.to_string())?;
    if bytes.len() as u64 > cache.bytes_max {
        return Err(format!("it has more than {} bytes", cache.bytes_max));
    }
    let entries = entries(&bytes).ok_or("it is damaged, or of another version")?;
    Ok(entries.into_iter().map(|(k, b)| (k, b.to_vec())).collect())
}

#[cfg(unix)]
fn others_may_write(about: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    about.permissions().mode() & 0o022 != 0
}

#[cfg(not(unix))]
fn others_may_write(_: &std::fs::Metadata) -> bool {
    false
}

/// The databases of a file; none where it is not what was written.
fn entries(bytes: &[u8]) -> Option<Vec<(Key, &[u8])>> {
    let (all, sum) = bytes.split_last_chunk::<32>()?;
    let mut rest = all.strip_prefix(&head()[..])?;
    if digest_of(all) != *sum {
        return None;
    }
    let mut found = vec![];
    while !rest.is_empty() {
        let (key, tail) = rest.split_first_chunk::<32>()?;
        let (len, tail) = tail.split_first_chunk::<8>()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        let (database, tail) = tail.split_at_checked(len)?;
        found.push((*key, database));
        rest = tail;
    }
    Some(found)
}

fn write(cache: &Cache, databases: &[(Key, Vec<u8>)]) -> std::io::Result<()> {
    let mut bytes = head();
    for (key, database) in databases {
        bytes.extend_from_slice(key);
        bytes.extend((database.len() as u64).to_le_bytes());
        bytes.extend_from_slice(database);
    }
    let sum = digest_of(&bytes);
    bytes.extend_from_slice(&sum);
    if bytes.len() as u64 > cache.bytes_max {
        return Err(std::io::Error::other(format!(
            "what is compiled has more than {} bytes",
            cache.bytes_max
        )));
    }
    let folder = cache.path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let fresh = cache.path.with_extension("new");
    // a file that a stopped process left is of no use, and may be anybody's
    let _ = std::fs::remove_file(&fresh);
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    std::fs::rename(&fresh, &cache.path)
}

/// Contents of a set of rules that are compiled twice: a tenth of a second.
pub(super) const TWICE_MAX: usize = 4_096;
/// Changes with the form of the file.
const MAGIC: &str = "flowhouse rules 1\n";

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|w| w.as_bytes().to_vec()).collect()
    }

    /// What came of asking for these databases with a file.
    fn ask(cache: &Cache, sets: &[&[&str]]) -> CacheUse {
        let mut shelf = Shelf::open(cache);
        for words in sets {
            let database = shelf.database(&contents(words));
            let mut scratch = hyperscan::Scratch::default();
            if let Some(database) = database {
                scratch.fit(&database);
                let mut found = vec![];
                assert!(database.scan(words[0].as_bytes(), &mut scratch, &mut |n| found.push(n)));
                assert_eq!(found, [0]);
            }
        }
        shelf.close()
    }

    #[test]
    fn databases_are_taken_from_the_file_the_next_time() {
        if hyperscan::version().is_none() {
            eprintln!("NOT TESTED: the library is not here");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("sub/rules.cache"));
        let first = ask(&cache, &[&["one", "two"], &["three"]]);
        assert_eq!((first.taken, first.compiled), (0, 2));
        assert_eq!((first.ignored, first.unwritten), (None, None));
        let again = ask(&cache, &[&["one", "two"], &["three"]]);
        assert_eq!((again.taken, again.compiled), (2, 0));
        // what is not needed any more goes
        let other = ask(&cache, &[&["three"], &["four"]]);
        assert_eq!((other.taken, other.compiled), (1, 1));
        assert_eq!(ask(&cache, &[&["one", "two"]]).taken, 0);
    }

    #[test]
    fn a_file_that_is_not_as_it_was_written_is_not_used() {
        if hyperscan::version().is_none() {
            eprintln!("NOT TESTED: the library is not here");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("rules.cache"));
        ask(&cache, &[&["one", "two"]]);
        let good = std::fs::read(&cache.path).unwrap();
        let step = good.len() / 50 + 1;
        for at in (0..good.len()).step_by(step) {
            let mut bent = good.clone();
            bent[at] ^= 1;
            for bad in [&bent[..], &good[..at]] {
                std::fs::write(&cache.path, bad).unwrap();
                let used = ask(&cache, &[&["one", "two"]]);
                assert_eq!((used.taken, used.compiled), (0, 1), "{at}");
                assert!(used.ignored.is_some(), "{at}");
            }
        }
        assert_eq!(ask(&cache, &[&["one", "two"]]).taken, 1);
    }

    #[test]
    fn a_file_that_is_too_large_or_open_to_others_is_not_used() {
        if hyperscan::version().is_none() {
            eprintln!("NOT TESTED: the library is not here");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("rules.cache"));
        ask(&cache, &[&["one"]]);
        let small = Cache {
            bytes_max: 100,
            ..cache.clone()
        };
        let used = ask(&small, &[&["one"]]);
        assert!(used.taken == 0 && used.ignored.is_some() && used.unwritten.is_some());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let open = std::fs::Permissions::from_mode(0o622);
            std::fs::set_permissions(&cache.path, open).unwrap();
            let used = ask(&cache, &[&["one"]]);
            assert!(used.taken == 0 && used.ignored.is_some());
            // it was written anew, for its owner alone
            assert_eq!(ask(&cache, &[&["one"]]).taken, 1);
        }
    }
}
