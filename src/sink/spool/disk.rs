//! The directory: files written whole or not at all, read back with their checksums, changed only in their slots.

use super::file::{
    Found, Unreadable, files, none, read_file, read_head, read_header, section_of, with_body,
};
use super::format::{self, Header, SLOT, SectionHeader, Slot, State};
use super::gauges::Gauges;
use super::lock::lock;
use super::marks::Marks;
use super::positions::Positions;
use super::{Settings, now_ms};
use crate::ledger::Tally;
use crate::sink::Error;
use crate::sink::native::{Buffers, EncodedBundle, EncodedSection};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, ScopedJoinHandle};
use std::time::Instant;

/// End of the name of a bundle file.
pub const SUFFIX: &str = ".fhs";

/// Names below the spool's directory.
pub const QUARANTINE: &str = "quarantine";
/// Files that cannot be read.
pub const CORRUPT: &str = "corrupt";
/// Files that somebody wants delivered: a running collector takes them from here.
pub const REPLAY: &str = "replay";
const POSITIONS: &str = "positions";
const MARKS: &str = "marks";
const TEMPORARY: &str = ".tmp";

/// Bytes that are kept for what is no bundle: positions, marks, and their temporaries.
const BESIDE: u64 = 32 << 10;

/// Numbers of files from here on were never given by a run: it would take thousands of years.
const NUMBER_MAX: u64 = 1 << 62;

/// A spool's directory. One process uses it, and holds its lock.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    _lock: File,
    settings: Settings,
    pub(super) gauges: Arc<Gauges>,
}

impl Disk {
    pub(in crate::sink) fn open(
        directory: &Path,
        settings: &Settings,
        gauges: Arc<Gauges>,
    ) -> Result<Disk, Error> {
        for part in ["", QUARANTINE, CORRUPT, REPLAY] {
            let path = directory.join(part);
            fs::create_dir_all(&path).map_err(|source| Error::Spool { path, source })?;
        }
        let disk = Disk {
            directory: directory.to_owned(),
            _lock: lock(directory)?,
            settings: settings.clone(),
            gauges,
        };
        disk.gauges.enabled.store(true, Relaxed);
        disk.count_aside();
        disk.weigh();
        Ok(disk)
    }

    /// What may be taken.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether it refused the last bundle.
    pub(in crate::sink) fn is_failing(&self) -> bool {
        self.gauges.failing.load(Relaxed)
    }

    pub(in crate::sink) fn set_failing(&self, failing: bool) {
        self.gauges.failing.store(failing, Relaxed);
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a bundle is.
    pub fn path(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:016x}{SUFFIX}"))
    }

    /// Every bundle file in order, and positions with all of theirs merged in. Temporaries are removed; what cannot be read is set
    /// aside and reported.
    pub(in crate::sink) fn recover(&self) -> Result<Recovered, Error> {
        let fault = |source| Error::Spool {
            path: self.directory.clone(),
            source,
        };
        let kept = self.read_positions();
        let (mut found, mut corrupt) = (vec![], 0);
        for entry in fs::read_dir(&self.directory).map_err(fault)? {
            let path = entry.map_err(fault)?.path();
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            let name = name.unwrap_or_default();
            if name.ends_with(TEMPORARY) {
                if let Err(error) = fs::remove_file(&path) {
                    tracing::warn!("cannot remove {}: {error}", path.display());
                }
            } else if let Some(stem) = name.strip_suffix(SUFFIX) {
                let number = u64::from_str_radix(stem, 16).ok();
                // one that is written otherwise would not be found again
                let number = number.filter(|n| *n < NUMBER_MAX && self.path(*n) == path);
                match number.ok_or_else(|| none("no number of a bundle in its name")) {
                    // its books are closed already
                    Ok(number) if kept.gone.contains(&number) => self.remove(number, false),
                    Ok(number) => match read_head(&path, number) {
                        Ok(file) => found.push(file),
                        Err(e) => corrupt += u64::from(self.set_aside(&path, &e)),
                    },
                    Err(e) => corrupt += u64::from(self.set_aside(&path, &e)),
                }
            }
        }
        if corrupt > 0 {
            tracing::error!(
                "{corrupt} spool files set aside in {}",
                self.directory.join(CORRUPT).display()
            );
        }
        found.sort_unstable_by_key(|f| f.number);
        Ok(self.recovered(found, kept, corrupt > 0))
    }

    fn forgot(&self, entries: usize) {
        self.gauges.forgotten.fetch_add(entries as u64, Relaxed);
    }

    fn recovered(&self, mut found: Vec<Found>, mut kept: Positions, is_torn: bool) -> Recovered {
        // no number is used twice, or a file set aside would be overwritten
        for part in [QUARANTINE, CORRUPT, REPLAY] {
            for (path, _) in files(&self.directory.join(part)) {
                kept.next = kept
                    .next
                    .max(number_of(&path).map_or(0, |n| n.saturating_add(1)));
            }
        }
        let mut merged = kept.clone();
        for file in &mut found {
            let gone = merged.merge(file.number, &std::mem::take(&mut file.header.positions));
            self.forgot(gone);
            merged.ended.merge(&file.fates());
            self.gauges.grown(file.len);
        }
        Recovered {
            found,
            kept,
            merged,
            is_torn,
        }
    }

    /// Moves a file that cannot be read out of the way; true if that worked.
    pub(in crate::sink) fn set_aside(&self, path: &Path, why: &Unreadable) -> bool {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
        let mut to = self.directory.join(CORRUPT).join(name.unwrap_or_default());
        if to.exists() {
            to.set_extension(format!("{}.fhs", now_ms()));
        }
        let moved = fs::rename(path, &to);
        tracing::error!(
            file = %path.display(), fault = %why, to = %to.display(),
            "a spool file cannot be read: set aside"
        );
        self.count_aside();
        match moved {
            Ok(()) => true,
            Err(error) => {
                tracing::error!("cannot move {}: {error}", path.display());
                false
            }
        }
    }

    /// Makes bundles durable: all files synced, at the same time, then renamed, then the directory synced once. The answer has the
    /// length of each file, or why it is not there.
    pub(in crate::sink) fn commit(
        &self,
        group: &[(u64, &EncodedBundle, &[Slot])],
    ) -> Vec<io::Result<u64>> {
        let mut ends = self.write_temporaries(group);
        for ((number, ..), end) in group.iter().zip(&mut ends) {
            if end.is_ok()
                && let Err(e) = fs::rename(self.temporary(*number), self.path(*number))
            {
                *end = Err(e);
            }
        }
        if let Err(e) = self.sync_directory() {
            for ((number, ..), end) in group.iter().zip(&mut ends) {
                let _ = fs::remove_file(self.path(*number));
                *end = Err(io::Error::new(e.kind(), e.to_string()));
            }
        }
        for ((number, ..), end) in group.iter().zip(&ends) {
            match end {
                Ok(len) => {
                    self.gauges.grown(*len);
                    self.gauges.bundles.fetch_add(1, Relaxed);
                    self.gauges.written.fetch_add(*len, Relaxed);
                }
                Err(_) => {
                    let _ = fs::remove_file(self.temporary(*number));
                    self.gauges.write_errors.fetch_add(1, Relaxed);
                }
            }
        }
        self.gauges.commits.fetch_add(1, Relaxed);
        ends
    }

    pub(super) fn temporary(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:016x}{TEMPORARY}"))
    }

    /// Writes the files one after the other; each syncs while the next is written. A disk that takes long for a sync takes hardly
    /// longer for several at once: the file system makes one commit of its journal of them.
    fn write_temporaries(&self, group: &[(u64, &EncodedBundle, &[Slot])]) -> Vec<io::Result<u64>> {
        thread::scope(|scope| {
            let mut ends = vec![];
            for (i, (number, bundle, slots)) in group.iter().enumerate() {
                let written = self.write_temporary(*number, bundle, slots);
                ends.push(match written {
                    // nothing is left to be written meanwhile
                    Ok((file, len)) if i + 1 == group.len() => Ok((len, Err(self.sync(&file)))),
                    Ok((file, len)) => thread::Builder::new()
                        .name("spool-sync".into())
                        .spawn_scoped(scope, move || self.sync(&file))
                        .map(|syncing| (len, Ok(syncing))),
                    Err(error) => Err(error),
                });
            }
            let end = |end: io::Result<(u64, _)>| {
                let (len, synced) = end?;
                match synced {
                    Err(done) => done?,
                    Ok(syncing) => ended(syncing)?,
                }
                Ok(len)
            };
            ends.into_iter().map(end).collect()
        })
    }

    fn write_temporary(
        &self,
        number: u64,
        bundle: &EncodedBundle,
        slots: &[Slot],
    ) -> io::Result<(File, u64)> {
        let sections: Vec<_> = bundle.sections.iter().zip(slots.iter().copied()).collect();
        let (head, header) = format::start(
            number,
            bundle.sequence,
            bundle.created_ms,
            "",
            &bundle.positions,
            &sections,
        );
        self.write(&self.temporary(number), &head, &header, &sections)
    }

    pub(super) fn write(
        &self,
        path: &Path,
        head: &[u8],
        header: &Header,
        sections: &[(&EncodedSection, Slot)],
    ) -> io::Result<(File, u64)> {
        let mut file = File::create(path)?;
        file.write_all(head)?;
        let mut order: Vec<usize> = (0..sections.len()).collect();
        order.sort_by_key(|&i| header.sections[i].body_at);
        let mut len = head.len() as u64;
        for i in order {
            file.write_all(&sections[i].0.body)?;
            len += header.sections[i].body_len;
        }
        Ok((file, len))
    }

    pub(super) fn sync(&self, file: &File) -> io::Result<()> {
        let start = Instant::now();
        file.sync_data()?;
        self.gauges.synced(start.elapsed());
        Ok(())
    }

    pub(super) fn sync_directory(&self) -> io::Result<()> {
        let start = Instant::now();
        File::open(&self.directory)?.sync_all()?;
        self.gauges.synced(start.elapsed());
        Ok(())
    }

    /// Reads a section with its body, which is checked, into memory of `buffers`.
    pub(in crate::sink) fn read(
        &self,
        number: u64,
        index: usize,
        buffers: &Buffers,
    ) -> Result<EncodedSection, Unreadable> {
        let file = File::open(self.path(number))?;
        section_of(&file, &section_header(&file, index)?, |len| {
            buffers.of_len(len)
        })
    }

    /// The same without its body.
    pub(in crate::sink) fn outline(
        &self,
        number: u64,
        index: usize,
    ) -> Result<EncodedSection, Unreadable> {
        let file = File::open(self.path(number))?;
        let header = section_header(&file, index)?;
        Ok(with_body(&header, Vec::new()))
    }

    /// Writes what became of a section into its slot. Not synced: a power cut may undo it, and the section is then sent again
    /// with its token.
    pub(in crate::sink) fn mark(&self, number: u64, index: usize, slot: Slot) -> io::Result<()> {
        mark(&self.path(number), index, slot)
    }

    /// Merges the positions of bundles that ended and what became of their rows, makes that durable, and removes the files. A file
    /// with a damaged body is kept aside instead.
    pub(in crate::sink) fn retire(
        &self,
        ended: &[Ended],
        positions: &mut Positions,
    ) -> io::Result<()> {
        let mut merged = positions.clone();
        // what was to be removed the last time is gone for good when this is durable
        merged.gone.retain(|n| self.path(*n).exists());
        for bundle in ended {
            merged.ended.merge(&bundle.fates);
            match &bundle.positions {
                Some(blob) => self.forgot(merged.merge(bundle.number, blob)),
                None => {
                    merged.gone.insert(bundle.number);
                    let header = File::open(self.path(bundle.number))
                        .map_err(Unreadable::from)
                        .and_then(|f| read_header(&f));
                    if let Ok(header) = header {
                        self.forgot(merged.merge(bundle.number, &header.positions));
                    }
                }
            }
        }
        if merged.differ(positions) {
            self.write_positions(&merged)?;
        }
        *positions = merged;
        for bundle in ended.iter().filter(|b| b.positions.is_none()) {
            let path = self.path(bundle.number);
            let len = fs::metadata(&path).map_or(0, |m| m.len());
            self.remove(bundle.number, bundle.damaged);
            self.gauges.shrunk(1, len);
        }
        Ok(())
    }

    /// Removes a file whose books are closed; one with a damaged body goes aside. Where that fails it goes at the next start.
    fn remove(&self, number: u64, is_damaged: bool) {
        let path = self.path(number);
        if is_damaged {
            let why = none("the body of a section does not match its checksum, or is cut off");
            self.set_aside(&path, &why);
        } else if let Err(error) = fs::remove_file(&path) {
            tracing::warn!("cannot remove {}: {error}", path.display());
        }
    }

    fn write_positions(&self, positions: &Positions) -> io::Result<()> {
        self.replace(POSITIONS, &positions.encode())
    }

    /// Writes a file of the spool anew, durably.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let temporary = self.directory.join(format!("{name}{TEMPORARY}"));
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&temporary, self.directory.join(name))?;
        self.sync_directory()
    }

    /// Keeps marks on disk, if that was not done lately.
    pub(in crate::sink) fn keep(&self, marks: &mut Marks) -> io::Result<()> {
        match marks.due() {
            Some(bytes) => self.replace(MARKS, &bytes),
            None => Ok(()),
        }
    }

    /// The marks of the process before. Without any, nothing has an age, and what is in doubt was sent nobody knows when.
    pub(in crate::sink) fn marks(&self) -> Marks {
        let bytes = fs::read(self.directory.join(MARKS)).unwrap_or_default();
        Marks::decode(&bytes).unwrap_or_default()
    }

    fn read_positions(&self) -> Positions {
        let path = self.directory.join(POSITIONS);
        match fs::read(&path) {
            Ok(bytes) => Positions::decode(&bytes).unwrap_or_else(|| {
                tracing::error!("{} is damaged: left out", path.display());
                Positions::default()
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Positions::default(),
            Err(e) => {
                tracing::error!("cannot read {}: {e}", path.display());
                Positions::default()
            }
        }
    }

    /// Keeps a section that the store refuses, with the reason and whether it may have it. False where the quarantine is full.
    pub(in crate::sink) fn quarantine(
        &self,
        (number, index): (u64, usize),
        section: &EncodedSection,
        slot: Slot,
        reason: &str,
    ) -> io::Result<bool> {
        let folder = self.directory.join(QUARANTINE);
        let taken: u64 = files(&folder).iter().map(|f| f.1).sum();
        if taken.saturating_add(section.body.len() as u64) > self.settings.quarantine_bytes_max {
            return Ok(false);
        }
        let state = match slot.state.may_be_there() {
            true => State::Sent,
            false => State::Unsent,
        };
        let sections = [(section, slot.becomes(state, now_ms()))];
        let (head, header) = format::start(number, 0, section.first_ms, reason, &[], &sections);
        let name = format!("{number:016x}-{index}");
        let temporary = folder.join(format!("{name}{TEMPORARY}"));
        let (file, _) = self.write(&temporary, &head, &header, &sections)?;
        self.sync(&file)?;
        fs::rename(&temporary, folder.join(format!("{name}{SUFFIX}")))?;
        File::open(&folder)?.sync_all()?;
        self.count_aside();
        Ok(true)
    }

    /// Takes the files that somebody put into `replay`, under new numbers.
    pub(in crate::sink) fn adopt(&self, mut number: impl FnMut() -> u64) -> Vec<Found> {
        let mut found = vec![];
        for (path, ..) in files(&self.directory.join(REPLAY)) {
            let number = number();
            match read_file(&path, number) {
                Ok(file) => match fs::rename(&path, self.path(number)) {
                    Ok(()) => {
                        self.gauges.grown(file.len);
                        found.push(file);
                    }
                    Err(error) => tracing::error!("cannot take {}: {error}", path.display()),
                },
                Err(why) => {
                    self.set_aside(&path, &why);
                }
            }
        }
        // `flowhouse spool` may have emptied the quarantine, too
        self.count_aside();
        if !found.is_empty()
            && let Err(error) = self.sync_directory()
        {
            tracing::error!("cannot sync {}: {error}", self.directory.display());
        }
        found
    }

    /// Bytes that must go before `more` fit: by the limit of the spool, and by the floor of the file system.
    pub(in crate::sink) fn excess(&self, more: u64) -> u64 {
        // the small files beside the bundles are written without asking
        let more = more.saturating_add(BESIDE);
        self.gauges.excess(&self.settings, self.free(), more)
    }

    /// Publishes what there is room for.
    pub(in crate::sink) fn weigh(&self) {
        self.gauges.weigh(&self.settings, self.free());
    }

    fn free(&self) -> u64 {
        super::space::free_bytes(&self.directory).unwrap_or(u64::MAX)
    }

    fn count_aside(&self) {
        let count = |part| {
            let entries = fs::read_dir(self.directory.join(part));
            let names = entries
                .into_iter()
                .flatten()
                .flatten()
                .map(|e| e.file_name());
            let ours = |n: &std::ffi::OsString| n.as_encoded_bytes().ends_with(SUFFIX.as_bytes());
            names.filter(ours).count() as u64
        };
        self.gauges.quarantined.store(count(QUARANTINE), Relaxed);
        self.gauges.corrupt.store(count(CORRUPT), Relaxed);
    }
}

/// What a directory held.
#[derive(Debug)]
pub(in crate::sink) struct Recovered {
    /// The files, in order.
    pub(in crate::sink) found: Vec<Found>,
    /// What bundles left that are gone.
    pub(in crate::sink) kept: Positions,
    /// The same with all that the files say.
    pub(in crate::sink) merged: Positions,
    /// Whether a file was set aside now.
    pub(in crate::sink) is_torn: bool,
}

/// A bundle that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Its number.
    pub number: u64,
    /// What became of its rows.
    pub fates: Tally,
    /// Its positions, where it had no file.
    pub positions: Option<Vec<u8>>,
    /// Whether a body of it was found damaged.
    pub damaged: bool,
}

/// The number with which the name of a file begins.
fn number_of(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_string_lossy().into_owned();
    let number = u64::from_str_radix(name.get(..16)?, 16).ok();
    number.filter(|n| *n < NUMBER_MAX)
}

fn ended(syncing: ScopedJoinHandle<'_, io::Result<()>>) -> io::Result<()> {
    let panicked = |_| Err(io::Error::other("the thread that syncs panicked"));
    syncing.join().unwrap_or_else(panicked)
}

fn section_header(file: &File, index: usize) -> Result<SectionHeader, Unreadable> {
    let mut sections = read_header(file)?.sections;
    match index < sections.len() {
        true => Ok(sections.swap_remove(index)),
        false => Err(none("the section is not in the file")),
    }
}

/// Writes what is known of a section of a file into its slot. Not synced.
///
/// # Errors
/// When the file is none of a spool, or cannot be written.
pub fn mark(path: &Path, index: usize, slot: Slot) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    mark_in(&file, index, slot)
}

pub(super) fn mark_in(file: &File, index: usize, slot: Slot) -> io::Result<()> {
    let mut prefix = [0; format::PREFIX];
    file.read_exact_at(&mut prefix, 0)?;
    let (len, _) = format::prefix(&prefix).map_err(|d| io::Error::other(d.to_string()))?;
    let slots = (format::PREFIX + len).next_multiple_of(SLOT);
    file.write_all_at(&slot.encode(), (slots + SLOT * index) as u64)
}
