//! A folder with a capture of each detection of rules: bounded, the oldest goes.

use crate::detect::signature::LiveSettings;
use crate::shard::Kept;
use anyhow::{Context, Result};
use crossbeam_channel::{Sender, bounded};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle};

/// Where captures of detections are, for a state directory.
pub fn pcap_dir(settings: &LiveSettings, state: &Path) -> PathBuf {
    let named = settings.pcap_directory.clone();
    named.unwrap_or_else(|| state.join("pcaps"))
}

/// The capture of a detection.
pub fn pcap_file(folder: &Path, id: u64) -> PathBuf {
    folder.join(format!("{id:016x}.pcap"))
}

/// Starts the thread that writes; it ends when every sender is gone. `lost` counts captures that the disk refused.
///
/// # Errors
/// When the folder cannot be made or read.
pub(super) fn start(
    folder: &Path,
    settings: &LiveSettings,
    lost: Arc<AtomicU64>,
) -> Result<(Sender<Kept>, JoinHandle<()>)> {
    let cure = || format!("signatures.pcap_directory: {}", folder.display());
    let mut files = Files::open(folder, settings.pcaps_max).with_context(cure)?;
    let (to, from) = bounded::<Kept>(WAITING_MAX);
    let work = move || {
        let mut failing = false;
        for kept in from {
            match files.write(&kept) {
                Ok(()) => failing = false,
                Err(error) => {
                    lost.fetch_add(1, Relaxed);
                    if !failing {
                        let folder = files.folder.display();
                        tracing::error!(
                            "{folder}: {error}; captures of detections are lost, counted"
                        );
                    }
                    failing = true;
                }
            }
        }
    };
    Ok((to, Builder::new().name("pcaps".into()).spawn(work)?))
}

/// The files of the folder, from the oldest on.
#[derive(Debug)]
struct Files {
    folder: PathBuf,
    known: VecDeque<PathBuf>,
    max: usize,
}

impl Files {
    fn open(folder: &Path, max: usize) -> Result<Files> {
        std::fs::create_dir_all(folder)?;
        let mut found = vec![];
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            match own(&path) {
                Some("pcap") => found.push((entry.metadata()?.modified()?, path)),
                // a kill came before it had its name
                Some("part") => std::fs::remove_file(path)?,
                _ => {}
            }
        }
        found.sort();
        let mut files = Files {
            folder: folder.to_owned(),
            known: found.into_iter().map(|f| f.1).collect(),
            max,
        };
        files.trim();
        Ok(files)
    }

    /// Writes a capture, whole or not at all.
    fn write(&mut self, kept: &Kept) -> std::io::Result<()> {
        let path = pcap_file(&self.folder, kept.id);
        let part = path.with_extension("part");
        std::fs::write(&part, pcap(kept))?;
        std::fs::rename(&part, &path)?;
        self.known.retain(|k| *k != path);
        self.known.push_back(path);
        self.trim();
        Ok(())
    }

    fn trim(&mut self) {
        while self.known.len() > self.max {
            if let Some(oldest) = self.known.pop_front() {
                // whoever has removed it before did the work
                let _ = std::fs::remove_file(oldest);
            }
        }
    }
}

/// The ending of a file that was written here; others in the folder are somebody else's and stay.
fn own(path: &Path) -> Option<&str> {
    let id = path.file_stem()?.to_str()?;
    let is_id = id.len() == 16 && u64::from_str_radix(id, 16).is_ok();
    path.extension()?.to_str().filter(|_| is_id)
}

/// A capture with nanoseconds (the format of libpcap, draft-ietf-opsawg-pcap).
fn pcap(kept: &Kept) -> Vec<u8> {
    let mut out = vec![];
    let mut word = |n: u32| out.extend_from_slice(&n.to_le_bytes());
    word(MAGIC_NS);
    // version 2.4
    word(4 << 16 | 2);
    word(0);
    word(0);
    word(SNAP_LENGTH);
    word(kept.link_type.into());
    for frame in &kept.frames {
        let (seconds, ns) = (
            frame.time_ns.div_euclid(SECOND_NS),
            frame.time_ns.rem_euclid(SECOND_NS),
        );
        let length = frame.bytes.len() as u32;
        for n in [
            seconds as u32,
            ns as u32,
            length,
            frame.original.max(length),
        ] {
            out.extend_from_slice(&n.to_le_bytes());
        }
        out.extend_from_slice(&frame.bytes);
    }
    out
}

const MAGIC_NS: u32 = 0xa1b2_3c4d;
const SNAP_LENGTH: u32 = 262_144;
const SECOND_NS: i64 = 1_000_000_000;
/// Captures that may wait.
const WAITING_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::KeptFrame;

    #[test]
    fn the_oldest_captures_go_also_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = |id| Kept {
            id,
            link_type: 1,
            frames: vec![KeptFrame {
                time_ns: 3_000_000_007,
                original: 60,
                bytes: vec![1, 2, 3],
            }],
        };
        let mut files = Files::open(folder.path(), 2).expect("opened");
        (1..4).for_each(|id| files.write(&kept(id)).expect("written"));
        let there = |id| pcap_file(folder.path(), id).exists();
        let theirs = folder.path().join("theirs.pcap");
        let part = pcap_file(folder.path(), 9).with_extension("part");
        for file in [&theirs, &part] {
            std::fs::write(file, "").expect("written");
        }
        assert_eq!([1, 2, 3].map(there), [false, true, true]);
        let mut files = Files::open(folder.path(), 2).expect("opened");
        files.write(&kept(4)).expect("written");
        assert_eq!([2, 3, 4].map(there), [false, true, true]);
        assert_eq!((theirs.exists(), part.exists()), (true, false));
        let bytes = std::fs::read(pcap_file(folder.path(), 4)).expect("read");
        assert_eq!(bytes[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(
            bytes[24..40],
            [3, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 60, 0, 0, 0]
        );
        assert_eq!(bytes[40..], [1, 2, 3]);
    }
}
