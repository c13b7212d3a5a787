//! The state directory: who this collector is, and what it knew before a restart.

use crate::config::Config;
use crate::decode::End;
use anyhow::{Context, Result, bail};
use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Largest state file that is read back, bytes.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// The file that is there while a collector runs, and what it says.
const RUNNING: &str = "running";
const KEPT: &[u8] = b"positions are in the spool\n";
const NOT_KEPT: &[u8] = b"no positions are kept\n";

/// What is known of the run before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Previous {
    /// How it ended.
    pub end: End,
    /// Whether it crashed with its positions in the spool.
    pub kept_positions: bool,
}

/// Where the state directory of a configuration is.
pub fn state_dir(config: &Config) -> PathBuf {
    if let Some(dir) = &config.state_dir {
        return dir.clone();
    }
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/lib/flowhouse/state");
    }
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    let base =
        std::env::var_os("XDG_STATE_HOME").map_or_else(|| home.join(".local/state"), PathBuf::from);
    base.join("flowhouse")
}

/// A directory that one process holds exclusively while it runs.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    collector: Uuid,
    _lock: File,
}

impl StateDirectory {
    /// Creates the directory if need be, locks it and reads (or draws) the collector's id.
    ///
    /// # Errors
    /// When it cannot be created or written, when another process holds it, or when the id file is no UUID.
    pub fn open(path: &Path) -> Result<Self> {
        fs::create_dir_all(path)
            .with_context(|| format!("cannot create the state directory {}", path.display()))?;
        let lock_path = path.join("lock");
        let lock = File::create(&lock_path)
            .with_context(|| format!("cannot write to the state directory {}", path.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "another collector runs on the state directory {} (stop it, or set another `state_dir`)",
                path.display()
            ),
            Err(TryLockError::Error(e)) => {
                return Err(e).context("cannot lock the state directory");
            }
        }
        let collector = Self::collector_id(&path.join("collector-id"))?;
        Ok(StateDirectory {
            path: path.to_owned(),
            collector,
            _lock: lock,
        })
    }

    /// Whether a collector runs on the directory.
    pub fn is_held(path: &Path) -> bool {
        let lock = File::open(path.join("lock"));
        lock.is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// The collector's id: drawn once, the same after every restart.
    pub fn collector(&self) -> Uuid {
        self.collector
    }

    /// The files that opening it may have made.
    pub fn files(&self) -> [PathBuf; 2] {
        ["lock", "collector-id"].map(|name| self.path.join(name))
    }

    /// Where the directory is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a run, which keeps positions or does not: what is known of the one before. Until [`StateDirectory::ended`] a
    /// later run will find that this one crashed.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn begin(&self, keeps_positions: bool) -> Result<Previous> {
        let mark = fs::read(self.path.join(RUNNING)).ok();
        let text: &[u8] = if keeps_positions { KEPT } else { NOT_KEPT };
        self.write(RUNNING, text)?;
        Ok(match mark {
            Some(mark) => Previous {
                end: End::Crashed,
                kept_positions: mark == KEPT,
            },
            None => Previous {
                end: End::Stopped,
                kept_positions: false,
            },
        })
    }

    /// This run ended in order: everything that outlives it is written.
    pub fn ended(&self) {
        self.remove(RUNNING);
    }

    /// Writes a file so that after a crash it is the old one or the new one, whole.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut open = File::options();
        self.write_as(open.write(true).create(true).truncate(true), name, bytes)
    }

    /// The same for a file that nobody else may read.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write_private(&self, name: &str, bytes: &[u8]) -> Result<()> {
        // a file that is there already keeps the rights that it has
        self.remove(&format!("{name}.new"));
        let mut open = File::options();
        self.write_as(open.write(true).create_new(true).mode(0o600), name, bytes)
    }

    /// Puts a file that cannot be used beside, where people find it and nothing reads it.
    pub fn set_aside(&self, name: &str) {
        let beside = self.path.join(format!("{name}.damaged"));
        if let Err(error) = fs::rename(self.path.join(name), &beside) {
            tracing::warn!("cannot rename {name} to {}: {error}", beside.display());
        }
    }

    fn write_as(&self, open: &mut fs::OpenOptions, name: &str, bytes: &[u8]) -> Result<()> {
        let (to, temporary) = (self.path.join(name), self.path.join(format!("{name}.new")));
        let write = || -> std::io::Result<()> {
            let mut f = open.open(&temporary)?;
            f.write_all(bytes)?;
            f.sync_all()?;
            fs::rename(&temporary, &to)?;
            File::open(&self.path)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", to.display()))
    }

    /// Removes a file; one that is not there is fine.
    pub fn remove(&self, name: &str) {
        let _ = fs::remove_file(self.path.join(name));
    }

    /// Reads a file written by [`StateDirectory::write`]; `None` when there is none.
    ///
    /// # Errors
    /// When it is there and cannot be read, or is larger than this process ever writes.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path.join(name);
        match fs::metadata(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
            Ok(m) if m.len() > FILE_BYTES_MAX => {
                bail!("{} is larger than {FILE_BYTES_MAX} bytes", path.display())
            }
            Ok(_) => {}
        }
        fs::read(&path)
            .map(Some)
            .with_context(|| format!("cannot read {}", path.display()))
    }

    fn collector_id(path: &Path) -> Result<Uuid> {
        match fs::read_to_string(path) {
            Ok(text) => Uuid::parse_str(text.trim()).with_context(|| {
                format!(
                    "{} holds no collector id (remove it to draw a new one)",
                    path.display()
                )
            }),
            Err(_) => {
                let id = Uuid::new_v4();
                let mut f = File::create(path)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                writeln!(f, "{id}")?;
                f.sync_all()?;
                Ok(id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_holds_it_and_the_id_stays() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let first = StateDirectory::open(dir.path()).expect("opens");
        let id = first.collector();
        assert!(StateDirectory::open(dir.path()).is_err(), "a second holder");
        let begin = |keeps| {
            let previous = first.begin(keeps).expect("writes");
            (previous.end, previous.kept_positions)
        };
        assert_eq!(begin(true), (End::Stopped, false));
        assert_eq!(begin(false), (End::Crashed, true));
        assert_eq!(begin(false), (End::Crashed, false));
        first.ended();
        assert_eq!(begin(false), (End::Stopped, false));
        first.write("templates", b"abc").expect("writes");
        assert_eq!(
            first.read("templates").expect("reads").as_deref(),
            Some(&b"abc"[..])
        );
        assert_eq!(first.read("nothing").expect("reads"), None);
        drop(first);
        assert_eq!(
            StateDirectory::open(dir.path()).expect("again").collector(),
            id
        );
    }
}
