//! The scratch folder: spooled inserts, result pipes, the engine's configuration. Private, in memory where there is room.

use super::error::{Error, Exception};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A private folder that goes away with its owner.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    next: AtomicU64,
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
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
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
