//! How much a spool may take: by its own limit, and by what the file system has to spare.

use super::{Gauges, Settings};
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes that the file system of a directory has free for who asks.
///
/// # Errors
/// When the directory cannot be reached.
pub fn free_bytes(directory: &Path) -> io::Result<u64> {
    let s = nix::sys::statvfs::statvfs(directory).map_err(io::Error::from)?;
    Ok(s.blocks_available().saturating_mul(s.fragment_size()))
}

/// Bytes that bundle files can take, now that they take `used` and `free` are free.
pub fn limit(settings: &Settings, used: u64, free: u64) -> u64 {
    let spare = free.saturating_sub(settings.free_bytes_min);
    settings.bytes_max.min(used.saturating_add(spare))
}

/// Bytes that must go before `more` fit. A file system that does not tell what is free is taken to have room.
fn excess(settings: &Settings, used: u64, free: u64, more: u64) -> u64 {
    let over = used.saturating_add(more).saturating_sub(settings.bytes_max);
    let floor = settings.free_bytes_min.saturating_add(more);
    over.max(floor.saturating_sub(free))
}

impl Gauges {
    /// Bytes that must go before `more` fit.
    pub(super) fn excess(&self, settings: &Settings, free: u64, more: u64) -> u64 {
        excess(settings, self.bytes.load(Relaxed), free, more)
    }

    /// Publishes what the files can take.
    pub(super) fn weigh(&self, settings: &Settings, free: u64) {
        let limit = limit(settings, self.bytes.load(Relaxed), free);
        self.max_bytes.store(limit, Relaxed);
        self.max_files.store(settings.files_max as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_limit_counts() {
        let settings = Settings {
            bytes_max: 1_000,
            free_bytes_min: 100,
            ..Settings::default()
        };
        assert_eq!(limit(&settings, 200, 5_000), 1_000);
        assert_eq!(limit(&settings, 200, 400), 500);
        assert_eq!(limit(&settings, 200, 50), 200);
        assert_eq!(excess(&settings, 990, 5_000, 10), 0);
        assert_eq!(excess(&settings, 990, 5_000, 30), 20);
        assert_eq!(excess(&settings, 200, 120, 30), 10);
        assert!(free_bytes(Path::new("/")).is_ok());
        assert!(free_bytes(Path::new("/nonexistent")).is_err());
    }
}
