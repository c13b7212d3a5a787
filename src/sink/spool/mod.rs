//! Bundles on disk until the store has acknowledged them.
//!
//! Owns: the file of a bundle ([`format`]), the directory ([`Disk`]), what exporters will send next ([`positions`]), the settings.
//! Never: decides what is sent when (the lanes of `clickhouse` do), changes a body. Why: what was accepted must be in the store exactly
//! once, after kills and outages (contracts section 6); so a bundle is accepted when its file has its name durably, is sent with
//! the token in that file, and goes when every section of it has ended.

mod disk;
mod file;
mod fold;
pub mod format;
mod gauges;
mod lock;
mod marks;
pub mod positions;
mod settings;
mod space;

pub use disk::{CORRUPT, Disk, Ended, QUARANTINE, REPLAY, SUFFIX, mark};
pub use file::{Found, IN_DOUBT, Unreadable, files, read_file, read_section};
pub use format::{Slot, State};
pub use gauges::{Gauges, Reading};
pub use lock::is_taken;
pub(super) use marks::Marks;
pub use positions::{Chain, Positions};
pub use settings::{Mode, Settings};
pub use space::{free_bytes, limit};

use super::{Error, Stats};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Instant, SystemTime};

/// An opened spool with what it held.
#[derive(Debug)]
pub struct Spool {
    pub(super) disk: Arc<Disk>,
    pub(super) found: Vec<Found>,
    pub(super) kept: Positions,
    pub(super) next: u64,
    pub(super) marks: Marks,
    merged: Positions,
    is_torn: bool,
}

impl Spool {
    /// Opens the directory, makes it if need be, and reads the header of every file. Whoever opens it must hold the lock of the state
    /// directory.
    ///
    /// # Errors
    /// When the directory cannot be made or read. Damaged files are no error: they are set aside.
    pub fn open(directory: &Path, settings: &Settings, stats: &Stats) -> Result<Spool, Error> {
        let disk = Disk::open(directory, settings, stats.spool.clone())?;
        let disk::Recovered {
            found,
            kept,
            merged,
            is_torn,
        } = disk.recover()?;
        stats.book_all(&merged.ended);
        stats.set_told(&merged.told());
        Ok(Spool {
            next: merged.next,
            marks: disk.marks(),
            disk: Arc::new(disk),
            found,
            kept,
            merged,
            is_torn,
        })
    }

    /// What exporters are expected to send next, as of the last bundle that is durable: keys and values that
    /// [`put`](crate::model::positions::put) wrote into [`EncodedBundle::positions`](super::native::EncodedBundle::positions). Unless a file cannot be
    /// read, what lies in bundles that were never durable and have durable ones behind them is not in it: as if it had not come.
    pub fn positions(&self) -> Vec<(Vec<u8>, u64)> {
        self.merged.values(!self.is_torn)
    }

    /// Keys of [`Self::positions`], and how many units before each lie in files that cannot be read; [`u64::MAX`]: nobody can
    /// know. After a `crash` these are only told apart from what was never durable by whether there is such a file.
    pub fn missing(&self, crash: bool) -> Vec<(Vec<u8>, u64)> {
        match crash && !self.is_torn {
            true => vec![],
            false => self.merged.missing(),
        }
    }

    /// What links the next bundles to those that were found.
    pub(super) fn chain(&self) -> Chain {
        Chain::behind(&self.merged)
    }

    /// Files, and flow rows in them, that will be delivered.
    pub fn waiting(&self) -> (usize, u64) {
        let rows = self.found.iter().map(Found::open_flow_rows);
        (self.found.len(), rows.sum())
    }
}

/// Milliseconds since 1970 UTC by the wall clock as it was when this was called first, and going on steadily from there: a clock that
/// is set makes nothing older.
#[expect(
    clippy::disallowed_methods,
    reason = "ages of files and of doubt outlive the process; no row is stamped with it"
)]
pub fn now_ms() -> i64 {
    static START: OnceLock<(Instant, i64)> = OnceLock::new();
    let (start, wall_ms) = START.get_or_init(|| {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let ms = since.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        (Instant::now(), ms)
    });
    let gone = i64::try_from(start.elapsed().as_millis()).unwrap_or(i64::MAX);
    wall_ms.saturating_add(gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn open(directory: &Path) -> Result<Spool, Error> {
        Spool::open(directory, &Settings::default(), &Stats::default())
    }

    #[test]
    fn a_directory_has_one_user() {
        let dir = tempfile::tempdir().expect("a directory");
        assert!(!is_taken(dir.path()));
        let first = open(dir.path()).expect("a spool");
        assert!(is_taken(dir.path()));
        let second = open(dir.path()).expect_err("the first one has it");
        let said = second.to_string();
        assert!(said.contains("another process uses the spool"), "{said}");
        drop(first);
        open(dir.path()).expect("free again");
    }

    #[test]
    fn what_is_no_bundle_is_set_aside_and_never_waited_for() {
        let dir = tempfile::tempdir().expect("a directory");
        let name = |number: u64| dir.path().join(format!("{number:016x}{SUFFIX}"));
        fs::write(name(u64::MAX), b"the last number there is").expect("a file");
        nix::unistd::mkfifo(&name(7), nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
        std::os::unix::fs::symlink("/dev/zero", name(8)).expect("a link");
        // these are numbers, but not as they are written
        for odd in ["63", "+000000000000065", "00000000000000AB"] {
            fs::write(dir.path().join(format!("{odd}{SUFFIX}")), b"").expect("a file");
        }
        fs::create_dir(dir.path().join("x.tmp")).expect("a folder");
        let spool = open(dir.path()).expect("a spool");
        assert_eq!(spool.waiting(), (0, 0));
        // a number that wraps would overwrite what waits
        assert!((9..1 << 62).contains(&spool.next), "{}", spool.next);
        let aside = fs::read_dir(dir.path().join(CORRUPT)).expect("a folder");
        assert_eq!(aside.count(), 6);
    }
}
