//! A folder into which others write capture files one after the other, read on a thread of its own.

use super::seen::{Entry, HEAD_BYTES, Mark, Progress, Seen};
use super::{CaptureStats, FrameRouter, Settings};
use crate::receive::frames::Frames;
use crate::receive::route::Moment;
use crate::receive::{Error, Published};
use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// What became of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// Read to their end.
    pub read: u64,
    /// Of these, those that end within a frame: used up to there.
    pub torn: u64,
    /// Set aside: no captures, too large, or not to be read.
    pub bad: u64,
    /// Written on after they were read: what was added is not metered.
    pub changed: u64,
    /// Being read when an earlier process crashed: not read again, for what of them is metered is not known.
    pub interrupted: u64,
    /// In the folder, and not complete or not read yet.
    pub waiting: u64,
}

/// A folder and what is known of its files.
#[derive(Debug)]
pub struct Watch {
    folder: PathBuf,
    settings: Settings,
    seen: Seen,
    events: Option<Inotify>,
    /// Names that their writer closed, or that were moved here.
    closed: BTreeSet<String>,
    /// Files that need no look any more, by name, as they were then.
    done: BTreeMap<String, Look>,
    counts: FileCounts,
    published: Published<CaptureStats>,
    frames: u64,
}

/// What a file looked like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    inode: u64,
    size: u64,
    changed_ns: i128,
}

/// How the reading of a file ended.
enum Ended {
    Whole,
    Torn(String),
    Stopped(u64),
}

impl Watch {
    /// Watches the folder of the settings; `memory` is the file in which is kept what was read. `None` where no folder is set.
    ///
    /// # Errors
    /// When the folder or the memory cannot be read.
    pub fn open(settings: &Settings, memory: &Path) -> Result<Option<Watch>, Error> {
        let Some(folder) = settings.watch_directory.clone() else {
            return Ok(None);
        };
        let fault = |e: io::Error| Error::Capture {
            interface: folder.display().to_string(),
            why: e.to_string(),
            cure: "; capture.watch_directory has to be there and to be readable for the collector's account",
        };
        fs::read_dir(&folder).map_err(fault)?;
        let seen = Seen::load(memory).map_err(fault)?;
        let interrupted = seen.interrupted().count() as u64;
        for entry in seen.interrupted() {
            tracing::warn!(
                "{} was being read when the collector ended without saying how far: it is not read again (`flowhouse replay` does, into another database)",
                entry.name
            );
        }
        Ok(Some(Watch {
            published: Published::new(CaptureStats {
                interface: folder.display().to_string(),
                is_up: true,
                files: Some(FileCounts::default()),
                ..CaptureStats::default()
            }),
            events: events(&folder),
            folder,
            settings: settings.clone(),
            seen,
            closed: BTreeSet::new(),
            done: BTreeMap::new(),
            counts: FileCounts {
                interrupted,
                ..FileCounts::default()
            },
            frames: 0,
        }))
    }

    /// The cell in which its state is published.
    pub fn published(&self) -> Published<CaptureStats> {
        self.published.clone()
    }

    /// Reads files as they become complete, until told to stop.
    ///
    /// # Errors
    /// When the shard is gone.
    pub fn run(mut self, router: FrameRouter, stop: &AtomicBool) -> Result<(), Error> {
        let mut router = router.waiting();
        // conversations of the last file, and when they are over whatever comes
        let mut open_until: Option<Instant> = None;
        let idle = Duration::from_secs(self.settings.watch_idle_s);
        while !stop.load(Ordering::Relaxed) {
            self.hear();
            let complete = self.look();
            for (name, look) in complete {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                self.take(&name, look, &mut router, stop);
                open_until = Some(Instant::now() + idle);
                if let Some(shard) = router.gone() {
                    return Err(Error::ShardGone(shard));
                }
            }
            let now = Moment::now();
            router.flush(now, Duration::ZERO);
            router.tick(now);
            if open_until.is_some_and(|until| now.at >= until) {
                router.end_conversations(now);
                open_until = None;
            }
            self.publish(&router);
            std::thread::sleep(ROUND);
        }
        router.finish(Moment::now(), PATIENCE);
        self.publish(&router);
        Ok(())
    }

    /// Takes in which files were closed or moved here since.
    fn hear(&mut self) {
        let Some(events) = &self.events else { return };
        while let Ok(list) = events.read_events() {
            let names = list.into_iter().filter_map(|e| e.name?.into_string().ok());
            let room = FILES_MAX.saturating_sub(self.closed.len());
            self.closed.extend(names.take(room));
        }
    }

    /// Files that are complete and not read, the oldest first.
    fn look(&mut self) -> Vec<(String, Look)> {
        let mut all: Vec<(String, Look)> = listed(&self.folder);
        all.sort_by(|a, b| (a.1.changed_ns, &a.0).cmp(&(b.1.changed_ns, &b.0)));
        let there: BTreeMap<&String, Look> = all.iter().map(|(n, l)| (n, *l)).collect();
        self.done.retain(|name, _| there.contains_key(name));
        self.closed.retain(|name| there.contains_key(name));
        self.seen.keep(|e| there.contains_key(&e.name));
        let newest = all.last().map_or(0, |(_, l)| l.changed_ns);
        let now_ns = age_ns(SystemTime::UNIX_EPOCH);
        let settle_ns = i128::from(self.settings.watch_settle_s) * NS;
        let is_new = |name: &String, look: &Look| self.done.get(name) != Some(look);
        let new: Vec<(String, Look)> = all.iter().filter(|(n, l)| is_new(n, l)).cloned().collect();
        let is_complete = |name: &String, look: &Look| {
            let quiet_ns = now_ns - look.changed_ns;
            self.closed.contains(name)
                || quiet_ns >= settle_ns
                || quiet_ns >= settle_ns.min(QUIET_NS) && look.changed_ns < newest
        };
        let waiting = new.iter().filter(|(n, l)| !is_complete(n, l)).count();
        self.counts.waiting = waiting as u64;
        new.into_iter().filter(|(n, l)| is_complete(n, l)).collect()
    }

    /// Reads a file, or finds that it was read before.
    fn take(&mut self, name: &str, look: Look, router: &mut FrameRouter, stop: &AtomicBool) {
        self.closed.remove(name);
        self.done.insert(name.to_owned(), look);
        let path = self.folder.join(name);
        let head = content(&path, look.size, HEAD_BYTES as u64);
        let known = head.as_ref().ok();
        let known = known.and_then(|head| self.seen.find(head, look.inode));
        let skip = match known.map(|k| k.progress) {
            None => 0,
            Some(Progress::Left(frames)) => frames,
            Some(_) => return self.was_read(known.cloned(), look, name),
        };
        let bytes = match self.whole(&path, look) {
            Ok(bytes) => bytes,
            Err(error) => return self.set_aside(name, &error.to_string()),
        };
        let Some(frames) = Frames::of(&bytes) else {
            return self.set_aside(name, "it is neither pcap nor pcapng");
        };
        let entry = |progress| Entry {
            mark: Mark::of(&bytes),
            inode: look.inode,
            size: bytes.len() as u64,
            progress,
            name: name.to_owned(),
        };
        if let Err(error) = self.seen.note(entry(Progress::Reading)) {
            tracing::error!("{name} is not read, because it cannot be kept that it was: {error}");
            self.done.remove(name);
            return;
        }
        let ended = self.read(name, frames, skip, router, stop);
        let progress = match &ended {
            Ended::Stopped(frames) => Progress::Left(*frames),
            _ => Progress::Read,
        };
        if let Err(error) = self.seen.note(entry(progress)) {
            tracing::error!("that {name} was read cannot be kept: {error}");
        }
        if let Ended::Torn(why) = &ended {
            tracing::warn!("{name}: {why}; what stands before that is used");
            self.counts.torn += 1;
        }
        if !matches!(ended, Ended::Stopped(_)) {
            self.counts.read += 1;
            self.remove(&path);
        }
    }

    fn whole(&self, path: &Path, look: Look) -> io::Result<Vec<u8>> {
        let bytes_max = self.settings.watch_file_max;
        if look.size > bytes_max {
            let text = format!(
                "it has {} bytes, more than capture.watch_file_max",
                look.size
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
        }
        content(path, look.size, bytes_max)
    }

    fn read(
        &mut self,
        name: &str,
        mut frames: Frames<'_>,
        skip: u64,
        router: &mut FrameRouter,
        stop: &AtomicBool,
    ) -> Ended {
        let mut now = Moment::now();
        let mut taken = 0;
        for frame in frames.by_ref() {
            taken += 1;
            if taken <= skip {
                continue;
            }
            if taken.is_multiple_of(LOOK_FRAMES) {
                now = Moment::now();
                self.publish(router);
                if stop.load(Ordering::Relaxed) {
                    return Ended::Stopped(taken - 1);
                }
            }
            let longest = frame.captured.len().min(self.settings.snap_length);
            self.frames += 1;
            router.route(
                &crate::receive::Frame {
                    captured: &frame.captured[..longest],
                    number: self.frames,
                    ..frame
                },
                now,
            );
            if router.gone().is_some() {
                return Ended::Stopped(taken);
            }
        }
        router.flush(now, Duration::ZERO);
        // a file that goes on after a stop is counted when its end is reached
        let rejected = frames.blocks_rejected();
        if rejected > 0 {
            router.reject(rejected);
            tracing::warn!("{name}: {rejected} blocks made no sense and were left out");
        }
        match frames.fault() {
            Some(fault) => Ended::Torn(format!("{fault:?}")),
            None => Ended::Whole,
        }
    }

    /// A file that is known already.
    fn was_read(&mut self, known: Option<Entry>, look: Look, name: &str) {
        let Some(known) = known else { return };
        if look.size > known.size {
            tracing::warn!(
                "{name} was written on after it was read: what was added is not metered"
            );
            self.counts.changed += 1;
        }
        if known.name != name {
            let renamed = Entry {
                name: name.to_owned(),
                ..known
            };
            // where this fails it is only forgotten sooner
            let _ = self.seen.note(renamed);
        }
    }

    fn set_aside(&mut self, name: &str, why: &str) {
        self.counts.bad += 1;
        let bad = self.folder.join(BAD);
        let moved = fs::create_dir_all(&bad)
            .and_then(|()| fs::rename(self.folder.join(name), bad.join(name)));
        match moved {
            Ok(()) => tracing::warn!("{name} is set aside in {}: {why}", bad.display()),
            Err(error) => {
                tracing::warn!("{name} is left alone: {why}; it cannot be set aside: {error}")
            }
        }
    }

    fn remove(&self, path: &Path) {
        if self.settings.watch_delete
            && let Err(error) = fs::remove_file(path)
        {
            tracing::warn!("{} was read and cannot be removed: {error}", path.display());
        }
    }

    fn publish(&mut self, router: &FrameRouter) {
        let (counts, is_up) = (self.counts, self.folder.is_dir());
        self.published.try_write(|stats| {
            router.settle(stats);
            stats.files = Some(counts);
            stats.is_up = is_up;
            stats.rounds += 1;
        });
    }
}

/// What the kernel says of a folder; without it only the age of files says that they are complete.
fn events(folder: &Path) -> Option<Inotify> {
    let watched = || -> Result<Inotify, Errno> {
        let events = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        events.add_watch(
            folder,
            AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO,
        )?;
        Ok(events)
    };
    let told = |e: &Errno| {
        tracing::warn!("{} is looked at by age alone: {e}", folder.display());
    };
    watched().inspect_err(told).ok()
}

/// Regular files of a folder, none hidden.
fn listed(folder: &Path) -> Vec<(String, Look)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let look = |e: fs::DirEntry| {
        let name = e.file_name().into_string().ok()?;
        // neither links nor pipes nor folders
        let kind = e.metadata().ok().filter(|m| m.is_file())?;
        let changed_ns = i128::from(kind.mtime()) * NS + i128::from(kind.mtime_nsec());
        let is_plain = !name.starts_with('.') && !name.contains('\n');
        is_plain.then_some((
            name,
            Look {
                inode: kind.ino(),
                size: kind.len(),
                changed_ns,
            },
        ))
    };
    entries.filter_map(look).take(FILES_MAX).collect()
}

/// The first bytes of a file. They are copied: a map would end the process where somebody shortens the file meanwhile.
fn content(path: &Path, size: u64, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(size.min(bytes_max) as usize);
    let file = fs::File::open(path)?;
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[expect(clippy::disallowed_methods, reason = "the age of a file")]
fn age_ns(since: SystemTime) -> i128 {
    let age = SystemTime::now().duration_since(since);
    age.map_or(0, |d| d.as_nanos() as i128)
}

/// Folder for files that are no captures.
const BAD: &str = "bad";
const NS: i128 = 1_000_000_000;
/// Time between two looks at the folder.
const ROUND: Duration = Duration::from_millis(500);
/// A file before the newest one is complete after so long without a change.
const QUIET_NS: i128 = 10 * NS;
/// Frames after which the clock and the stop are looked at.
const LOOK_FRAMES: u64 = 1_024;
/// Most files of the folder that are looked at.
const FILES_MAX: usize = 65_536;
/// How long the shard is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(5);
const _: () = assert!(HEAD_BYTES <= u32::MAX as usize);
