//! When and where bundles are kept on disk, and how much of it they may take.

use serde::Deserialize;
use std::path::PathBuf;

/// `[spool]`: bundles on disk until the store has acknowledged them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `always` (default): a bundle is on disk before it is sent, so a kill loses nothing that was accepted. `overflow`: only
    /// while the store is slow or away. `off`: never.
    pub mode: Mode,
    /// Where. Default: `spool` in the state directory.
    pub directory: Option<PathBuf>,
    /// Bytes that bundle files may take; beyond them flow rows are shed, oldest first, then the rest.
    pub bytes_max: u64,
    /// Files that may wait; each one costs 300 to 450 bytes of memory. Past half of them bundles are sealed at up to eight times
    /// `batch.seal_age_ms`; past all of them the flow rows of the oldest bundles are shed, and the rest of these goes into one file.
    pub files_max: usize,
    /// Age after which waiting flow rows are shed, seconds that a collector ran; 0: none.
    pub age_max_s: u64,
    /// Bytes that the file system must keep free; below them it is as if `bytes_max` were reached.
    pub free_bytes_min: u64,
    /// INSERTs of one table that may be in flight or in doubt (sent, no answer); `sink.in_flight_max` bounds it, too.
    pub in_doubt_max: usize,
    /// How long a section may be in doubt before it is not sent again blindly, seconds: `flows` is asked by SELECT; rows that
    /// are sums go to the quarantine where so much was written into their table that the store may have forgotten their token, or that
    /// is not known. Both limits of doubt hold without a spool, too; sums are sent again then.
    pub in_doubt_age_max_s: u64,
    /// Bundles that one commit (one fsync of the directory) may make durable.
    pub group_max: usize,
    /// Encoded bundles that may wait for the disk.
    pub queue_max: usize,
    /// Bytes of encoded bundles that may wait for the disk or be on their way to it; one bundle always may.
    pub queue_bytes_max: u64,
    /// Bytes that the quarantine may take; rows refused beyond them are counted and not kept.
    pub quarantine_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            mode: Mode::Always,
            directory: None,
            bytes_max: 32 << 30,
            files_max: 262_144,
            age_max_s: 604_800,
            free_bytes_min: 1 << 30,
            in_doubt_max: 4,
            in_doubt_age_max_s: 600,
            group_max: 16,
            queue_max: 16,
            queue_bytes_max: 64 << 20,
            quarantine_bytes_max: 1 << 30,
        }
    }
}

/// When bundles go to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every bundle, before it is sent.
    #[default]
    Always,
    /// Bundles that the store does not take at once.
    Overflow,
    /// None.
    Off,
}
