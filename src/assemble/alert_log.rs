//! The file of alerts: each a line of EVE, appended, in files of bounded number and size.

use crate::detect::signature::LiveSettings;
use crate::detect::signature::engine::Alert;
use anyhow::{Context, Result};
use crossbeam_channel::{Sender, bounded};
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle};

/// Starts the thread that writes; it ends when every sender is gone. `lost` counts alerts that the disk refused.
///
/// # Errors
/// When the file cannot be opened.
pub(super) fn start(
    path: &Path,
    settings: &LiveSettings,
    lost: Arc<AtomicU64>,
) -> Result<(Sender<Vec<Alert>>, JoinHandle<()>)> {
    let mut log = Log::open(path, settings)?;
    let mut other = Log::later(&ambiguous(path), settings);
    let (to, from) = bounded::<Vec<Alert>>(WAITING_MAX);
    let work = move || {
        let (mut line, mut failing) = (vec![], false);
        for alerts in &from {
            let mut failed = None;
            for alert in &alerts {
                line.clear();
                alert.write(&mut line);
                let log = if alert.is_ambiguous {
                    &mut other
                } else {
                    &mut log
                };
                if let Err(error) = log.write(&line) {
                    lost.fetch_add(log.give_up(), Relaxed);
                    failed = Some(error);
                }
            }
            let settles = from.is_empty();
            for log in [&mut log, &mut other].into_iter().filter(|_| settles) {
                if let Err(error) = log.flush() {
                    lost.fetch_add(log.give_up(), Relaxed);
                    failed = Some(error);
                }
            }
            match failed {
                // said once, not for each alert
                Some(error) if !failing => {
                    tracing::error!("{}: {error}; alerts are lost, counted", log.path.display());
                    failing = true;
                }
                Some(_) => {}
                None => failing &= !settles,
            }
        }
    };
    Ok((to, Builder::new().name("alerts".into()).spawn(work)?))
}

/// The file of what holds only in the other reading of overlapping data: `alerts_ambiguous.ndjson` beside `alerts.ndjson`.
fn ambiguous(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let end = path
        .extension()
        .map(|e| format!(".{}", e.to_string_lossy()));
    path.with_file_name(format!("{stem}_ambiguous{}", end.unwrap_or_default()))
}

/// The file that is written, and those before it.
#[derive(Debug)]
struct Log {
    path: PathBuf,
    out: Option<BufWriter<File>>,
    bytes: u64,
    bytes_max: u64,
    files_max: u32,
    /// Lines of which it is not known yet whether the file has them.
    unsettled: u64,
}

impl Log {
    /// One that is made with its first line.
    fn later(path: &Path, settings: &LiveSettings) -> Log {
        Log {
            path: path.to_owned(),
            out: None,
            bytes: 0,
            bytes_max: settings.alerts_file_bytes_max,
            files_max: settings.alerts_files_max,
            unsettled: 0,
        }
    }

    fn open(path: &Path, settings: &LiveSettings) -> Result<Log> {
        let mut log = Log::later(path, settings);
        let cure = || {
            let me = nix::unistd::geteuid();
            let path = path.display();
            format!(
                "signatures.alerts_file: user {me} cannot write {path}: make its folder, and give it to that user"
            )
        };
        log.reopen().with_context(cure)?;
        Ok(log)
    }

    fn reopen(&mut self) -> std::io::Result<()> {
        let file = OpenOptions::new()
            .create(true)
            .read(true)
            .append(true)
            .open(&self.path)?;
        self.bytes = file.metadata()?.len();
        let mut last = *b"\n";
        if self.bytes > 0 {
            file.read_at(&mut last, self.bytes - 1)?;
        }
        let mut out = BufWriter::new(file);
        if last != *b"\n" {
            // a full disk or a kill has cut a line off
            out.write_all(b"\n")?;
            self.bytes += 1;
        }
        self.out = Some(out);
        Ok(())
    }

    fn write(&mut self, line: &[u8]) -> std::io::Result<()> {
        let put = self.put(line);
        self.unsettled += 1;
        put
    }

    fn put(&mut self, line: &[u8]) -> std::io::Result<()> {
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.bytes_max {
            self.turn()?;
        }
        if self.out.is_none() {
            self.reopen()?;
        }
        let Some(out) = &mut self.out else {
            return Ok(());
        };
        out.write_all(line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.as_mut().map_or(Ok(()), Write::flush)?;
        self.unsettled = 0;
        Ok(())
    }

    /// Begins anew after a fault; how many lines are lost by that, or at most a few more: of the last ones the file may have some.
    fn give_up(&mut self) -> u64 {
        // what is in the buffer is not tried again
        self.out.take().map(BufWriter::into_parts);
        std::mem::take(&mut self.unsettled)
    }

    /// Names the file as one that is full, and begins another.
    fn turn(&mut self) -> std::io::Result<()> {
        self.flush()?;
        self.out = None;
        let old = |n: u32| PathBuf::from(format!("{}.{n}", self.path.display()));
        if self.files_max == 0 {
            std::fs::remove_file(&self.path)?;
            return self.reopen();
        }
        for n in (1..self.files_max).rev() {
            if old(n).exists() {
                std::fs::rename(old(n), old(n + 1))?;
            }
        }
        std::fs::rename(&self.path, old(1))?;
        self.reopen()
    }
}

/// Batches of alerts that may wait.
const WAITING_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_bounded_in_number_and_size_and_go_on_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alerts.ndjson");
        let settings = LiveSettings {
            alerts_file_bytes_max: 20,
            alerts_files_max: 2,
            ..LiveSettings::default()
        };
        for n in 0..4 {
            let mut log = Log::open(&path, &settings).expect("opened");
            for m in 0..2 {
                log.write(format!("line {n}{m}\n").as_bytes())
                    .expect("written");
            }
            log.flush().expect("flushed");
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);
        assert_eq!(read("alerts.ndjson"), "line 30\nline 31\n");
        assert_eq!(read("alerts.ndjson.1"), "line 20\nline 21\n");
        assert_eq!(read("alerts.ndjson.2"), "line 10\nline 11\n");
        assert_eq!(std::fs::read_dir(folder.path()).expect("it").count(), 3);
        // a line longer than a file has one of its own
        let mut log = Log::open(&path, &settings).expect("opened");
        log.write(&[b'x'; 50]).expect("written");
        log.write(b"y").expect("written");
        log.flush().expect("flushed");
        assert_eq!(
            (read("alerts.ndjson.1").len(), read("alerts.ndjson").len()),
            (50, 1)
        );
    }

    #[test]
    fn lines_that_a_full_disk_refuses_are_counted_and_the_next_one_is_whole() {
        let full = Path::new("/dev/full");
        let mut log = Log::open(full, &LiveSettings::default()).expect("opened");
        for _ in 0..3 {
            log.write(b"line\n").expect("kept in memory");
        }
        assert!(log.flush().is_err());
        assert_eq!((log.give_up(), log.give_up()), (3, 0));
        // one that is longer than the buffer is refused at once
        assert!(log.write(&[b'x'; 10_000]).is_err());
        assert_eq!(log.give_up(), 1);

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("alerts.ndjson");
        std::fs::write(&path, "one\ntw").expect("written");
        let mut log = Log::open(&path, &LiveSettings::default()).expect("opened");
        log.write(b"three\n").expect("written");
        log.flush().expect("flushed");
        assert_eq!(log.give_up(), 0);
        let text = std::fs::read_to_string(&path).expect("read");
        assert_eq!(text, "one\ntw\nthree\n");
    }
}
