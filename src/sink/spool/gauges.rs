//! What is known of a spool while it works.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The published cell of a spool.
#[derive(Debug, Default)]
pub struct Gauges {
    pub(super) enabled: AtomicBool,
    pub(super) failing: AtomicBool,
    pub(super) bytes: AtomicU64,
    pub(super) files: AtomicU64,
    pub(super) max_bytes: AtomicU64,
    pub(super) max_files: AtomicU64,
    pub(super) oldest_ms: AtomicI64,
    pub(super) in_doubt: AtomicU64,
    pub(super) quarantined: AtomicU64,
    pub(super) corrupt: AtomicU64,
    pub(in crate::sink) forgotten: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) bundles: AtomicU64,
    pub(super) written: AtomicU64,
    pub(super) write_errors: AtomicU64,
    pub(super) fsyncs: AtomicU64,
    pub(super) fsync_ns: AtomicU64,
}

/// What [`Gauges`] said at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Whether there is a spool.
    pub enabled: bool,
    /// Whether the last write failed.
    pub failing: bool,
    /// Bytes of the bundle files.
    pub bytes: u64,
    /// Bundle files.
    pub files: u64,
    /// Bytes that they can take: the setting, or less where the file system has less to spare.
    pub max_bytes: u64,
    /// Files that there may be.
    pub max_files: u64,
    /// When the oldest bundle that is not delivered was sealed, milliseconds since 1970 UTC; 0: there is none.
    pub oldest_ms: i64,
    /// Sections that were sent and have no answer.
    pub in_doubt: u64,
    /// Files in the quarantine.
    pub quarantined: u64,
    /// Files set aside because they are damaged.
    pub corrupt: u64,
    /// Entries of positions that found no room or gave way.
    pub forgotten: u64,
    /// Commits.
    pub commits: u64,
    /// Bundles made durable.
    pub bundles: u64,
    /// Bytes made durable.
    pub written: u64,
    /// Bundles that could not be written.
    pub write_errors: u64,
    /// Calls that waited for the disk.
    pub fsyncs: u64,
    /// How long they took together, nanoseconds.
    pub fsync_ns: u64,
}

impl Gauges {
    /// Reads everything.
    pub fn read(&self) -> Reading {
        Reading {
            enabled: self.enabled.load(Relaxed),
            failing: self.failing.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            files: self.files.load(Relaxed),
            max_bytes: self.max_bytes.load(Relaxed),
            max_files: self.max_files.load(Relaxed),
            oldest_ms: self.oldest_ms.load(Relaxed),
            in_doubt: self.in_doubt.load(Relaxed),
            quarantined: self.quarantined.load(Relaxed),
            corrupt: self.corrupt.load(Relaxed),
            forgotten: self.forgotten.load(Relaxed),
            commits: self.commits.load(Relaxed),
            bundles: self.bundles.load(Relaxed),
            written: self.written.load(Relaxed),
            write_errors: self.write_errors.load(Relaxed),
            fsyncs: self.fsyncs.load(Relaxed),
            fsync_ns: self.fsync_ns.load(Relaxed),
        }
    }

    pub(super) fn synced(&self, took: Duration) {
        self.fsyncs.fetch_add(1, Relaxed);
        self.fsync_ns.fetch_add(took.as_nanos() as u64, Relaxed);
    }

    pub(super) fn grown(&self, bytes: u64) {
        self.files.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    pub(super) fn replaced(&self, before: u64, after: u64) {
        self.bytes.fetch_add(after, Relaxed);
        self.bytes.fetch_sub(before, Relaxed);
    }

    pub(super) fn shrunk(&self, files: u64, bytes: u64) {
        self.files.fetch_sub(files, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    pub(in crate::sink) fn lanes(&self, oldest_ms: i64, in_doubt: u64) {
        self.oldest_ms.store(oldest_ms, Relaxed);
        self.in_doubt.store(in_doubt, Relaxed);
    }
}
