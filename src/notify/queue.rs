//! What waits for a target: one file a notice, so that a restart forgets none.

use super::Notice;
use super::settings::NOTICE_BYTES_MAX;
use std::collections::VecDeque;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The files of one target, oldest first.
#[derive(Debug)]
pub(super) struct Queue {
    dir: PathBuf,
    waiting: VecDeque<Waiting>,
    next: u64,
    max: usize,
    /// Of all files, and how many there may be.
    bytes: u64,
    bytes_max: u64,
}

/// One file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    /// Number and time, as the name of the file says.
    name: (u64, i64),
    bytes: u64,
}

/// Memory for each notice that waits; the list doubles when it grows.
pub(super) const WAITING_BYTES: usize = 2 * size_of::<Waiting>();

impl Queue {
    /// Opens the folder, and finds what waits since an earlier run.
    ///
    /// # Errors
    /// When the folder cannot be made or read.
    pub fn open(dir: &Path, max: usize, bytes_max: u64) -> std::io::Result<Queue> {
        fs::create_dir_all(dir)?;
        let mut waiting = vec![];
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            match entry.file_name().to_str().and_then(numbers) {
                Some(name) => waiting.push(Waiting {
                    name,
                    bytes: entry.metadata()?.len(),
                }),
                // half of a file of a run that was killed
                None if entry.path().extension().is_some_and(|e| e == "part") => {
                    fs::remove_file(entry.path())?;
                }
                None => {}
            }
        }
        waiting.sort_unstable();
        let next = waiting.last().map_or(0, |w| w.name.0 + 1);
        Ok(Queue {
            bytes: waiting.iter().map(|w| w.bytes).sum(),
            bytes_max,
            dir: dir.to_owned(),
            waiting: waiting.into(),
            next,
            max,
        })
    }

    /// Writes a notice behind the others.
    ///
    /// # Errors
    /// When there is no room for it, or it cannot be written.
    pub fn push(&mut self, notice: &Notice, now_ms: i64) -> Result<(), String> {
        let mut text = notice.stored().to_string();
        if text.len() > NOTICE_BYTES_MAX {
            text = notice.shortened().stored().to_string();
        }
        let bytes = text.len() as u64;
        if self.waiting.len() >= self.max || self.bytes.saturating_add(bytes) > self.bytes_max {
            return Err("too many notices wait".into());
        }
        let name = (self.next, now_ms);
        let part = self.dir.join(format!("{}.part", self.next));
        let write = || -> std::io::Result<()> {
            let mut file = fs::File::create(&part)?;
            file.write_all(text.as_bytes())?;
            file.sync_data()?;
            fs::rename(&part, self.path(name))
        };
        write().map_err(|e| format!("{}: {e}", part.display()))?;
        self.next += 1;
        self.waiting.push_back(Waiting { name, bytes });
        self.bytes += bytes;
        Ok(())
    }

    /// The oldest one and when it came; `None` in place of the notice where its file is damaged.
    pub fn first(&self) -> Option<(Option<Notice>, i64)> {
        let name = self.waiting.front()?.name;
        let notice = fs::read(self.path(name)).ok();
        Some((notice.and_then(|text| Notice::read(&text)), name.1))
    }

    /// Forgets the oldest one.
    pub fn pop(&mut self) {
        let Some(done) = self.waiting.pop_front() else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(done.bytes);
        if let Err(error) = fs::remove_file(self.path(done.name)) {
            tracing::warn!(
                "a notice that is done with stays in {}: {error}",
                self.dir.display()
            );
        }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    fn path(&self, (number, at_ms): (u64, i64)) -> PathBuf {
        self.dir.join(format!("{number}-{at_ms}.json"))
    }
}

fn numbers(name: &str) -> Option<(u64, i64)> {
    let (number, at) = name.strip_suffix(".json")?.split_once('-')?;
    Some((number.parse().ok()?, at.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::form::tests::notice;
    use super::*;

    #[test]
    fn it_is_bounded_and_outlives_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut q = Queue::open(dir.path(), 12, 1 << 20).expect("opened");
        let mut n = notice();
        for count in 0..12 {
            n.incident["count"] = count.into();
            q.push(&n, 5).expect("written");
        }
        assert!(q.push(&n, 5).is_err());
        q.pop();
        fs::write(dir.path().join("99.part"), "half").expect("written");
        fs::write(dir.path().join("readme"), "other").expect("written");
        let mut q = Queue::open(dir.path(), 12, 1 << 20).expect("opened");
        assert_eq!(q.len(), 11);
        for count in 1..12 {
            let (notice, at_ms) = q.first().expect("one");
            assert_eq!(notice.expect("whole").incident["count"], count);
            assert_eq!(at_ms, 5);
            q.pop();
        }
        assert!(q.first().is_none());
        assert!(!dir.path().join("99.part").exists());
        q.push(&n, 6).expect("written");
        fs::write(dir.path().join("12-6.json"), "damaged").expect("written");
        assert_eq!(q.first(), Some((None, 6)));
    }
    #[test]
    fn bytes_on_disk_are_bounded_and_what_is_too_long_is_shortened() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut n = notice();
        let one = n.stored().to_string().len() as u64;
        let mut q = Queue::open(dir.path(), 100, 2 * one).expect("opened");
        q.push(&n, 1).expect("written");
        q.push(&n, 2).expect("written");
        assert!(q.push(&n, 3).is_err());
        let mut q = Queue::open(dir.path(), 100, 2 * one).expect("opened");
        assert!(q.push(&n, 3).is_err());
        q.pop();
        n.incident["evidence"]["facts"]["much"] = "x".repeat(NOTICE_BYTES_MAX).into();
        q.push(&n, 4).expect("written, shortened");
        q.pop();
        let (short, _) = q.first().expect("one");
        assert_eq!(short.expect("whole").incident["shortened"], true);
    }
}
