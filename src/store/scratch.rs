//! The scratch folder: spooled inserts, result pipes, the engine's configuration. Private, in memory where there is room.

use super::error::{Error, Exception, Name};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A private folder that goes away with its owner.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    next: AtomicU64,
    spooled: AtomicU64,
}

/// What one insert takes of the room that all have together; given back on drop.
#[derive(Debug)]
pub struct Room<'a> {
    spooled: &'a AtomicU64,
    taken: u64,
    max: u64,
}

impl Room<'_> {
    /// Takes more, or says that there is no more now.
    pub fn take(&mut self, bytes: u64) -> Result<(), Exception> {
        self.taken += bytes;
        let all = self.spooled.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if all > self.max {
            let text = format!(
                "Inserts that run hold more than {} bytes together: try again later, or with less at a time",
                self.max
            );
            return Err(Exception::new(Name::TooManyQueries, text));
        }
        Ok(())
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.spooled.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

/// The name of a file in the scratch folder; the file is removed on drop.
#[derive(Debug)]
pub struct Entry {
    path: PathBuf,
}

impl Scratch {
    /// Makes a new folder below `parent`, or below `/dev/shm` where that has room, else below `data`.
    pub fn create(parent: Option<&Path>, data: &Path) -> Result<Scratch, Error> {
        let shared = Path::new("/dev/shm");
        let parent = match parent {
            Some(folder) => folder.to_path_buf(),
            None if free_bytes(shared) >= SHARED_MEMORY_MIN => shared.to_path_buf(),
            None => data.join("scratch"),
        };
        std::fs::create_dir_all(&parent).map_err(Error::file("cannot create", &parent))?;
        remove_stale(&parent);
        let folder = parent.join(format!("{PREFIX}{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(Error::file("cannot create", &folder))?;
        Ok(Scratch {
            folder,
            next: AtomicU64::new(0),
            spooled: AtomicU64::new(0),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Room for the data of an insert, of the `max` bytes that all inserts have together.
    pub fn room(&self, max: u64) -> Room<'_> {
        Room {
            spooled: &self.spooled,
            taken: 0,
            max,
        }
    }

    /// A new name.
    pub fn entry(&self, kind: &str) -> Entry {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Entry {
            path: self.folder.join(format!("{kind}-{number}")),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Entry {
    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the file for writing.
    pub fn create(&self) -> Result<std::fs::File, Exception> {
        Ok(std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.path)?)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes what stores that were killed left behind.
fn remove_stale(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|number| number.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn free_bytes(folder: &Path) -> u64 {
    nix::sys::statvfs::statvfs(folder).map_or(0, |status| {
        status.blocks_available() * status.fragment_size()
    })
}

const PREFIX: &str = "flowhouse-store-";
const SHARED_MEMORY_MIN: u64 = 1 << 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inserts_share_a_room() {
        let dir = tempfile::tempdir().expect("a folder");
        let scratch = Scratch::create(Some(dir.path()), dir.path()).expect("a scratch folder");
        let (mut one, mut other) = (scratch.room(100), scratch.room(100));
        assert!(one.take(60).is_ok());
        assert_eq!(other.take(60).map_err(|e| e.code), Err(202));
        drop(other);
        assert!(one.take(40).is_ok());
        drop(one);
        assert!(scratch.room(100).take(100).is_ok());
    }
}
