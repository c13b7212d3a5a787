//! What a reader of frames shows of itself.

use super::FileCounts;
use crate::ledger::Book;

/// State of one interface or folder, all counters since it was opened first.
#[derive(Clone, Debug, Default)]
pub struct CaptureStats {
    /// Name of the interface, or path of the folder.
    pub interface: String,
    /// Its ifIndex.
    pub if_index: u32,
    /// Outcomes of frames before a shard has them.
    pub book: Book,
    /// Frames in batches that are not sent yet.
    pub open: u64,
    /// Frames read.
    pub frames: u64,
    /// Their bytes, as far as they were captured.
    pub bytes: u64,
    /// Frames that the kernel dropped because its buffer was full. They are in no other counter.
    pub kernel_drops: u64,
    /// Frames that the interface dropped before the kernel had them, whoever asked for them.
    pub interface_drops: u64,
    /// Whether the interface is there, up and has a carrier.
    pub is_up: bool,
    /// Times that it was opened again.
    pub reopened: u64,
    /// What became of the files of a folder.
    pub files: Option<FileCounts>,
    /// How often the thread has published.
    pub rounds: u64,
}
