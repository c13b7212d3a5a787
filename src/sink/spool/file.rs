//! One file of a spool, read back with its checksums.

use super::disk::SUFFIX;
use super::format::{self, Damage, Header, SLOT, SectionHeader, Slot};
use crate::ledger::Tally;
use crate::sink::fate::fates;
use crate::sink::native::EncodedSection;
use bytes::Bytes;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A bundle file as it was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its number: that of its name.
    pub number: u64,
    /// Its bytes.
    pub len: u64,
    /// Its header, without positions.
    pub header: Header,
    /// The state of each section.
    pub slots: Vec<Slot>,
}

impl Found {
    /// Flow rows of sections that are not delivered.
    pub fn open_flow_rows(&self) -> u64 {
        let open = self.header.sections.iter().zip(&self.slots);
        let rows = open
            .filter(|(_, slot)| slot.state.is_open())
            .map(|(s, _)| s.flow_rows());
        rows.sum()
    }

    /// Whether it was in the quarantine: only there files have a note.
    pub fn is_replayed(&self) -> bool {
        !self.header.note.is_empty()
    }

    /// Whether the store may have a section's rows already. (Before slots of the quarantine told, its notes did.)
    pub fn may_be_there(&self, index: usize) -> bool {
        let note = &self.header.note;
        let told = |slot: &Slot| slot.state.may_be_there();
        note.starts_with(IN_DOUBT) || self.slots.get(index).is_some_and(told)
    }

    /// What became of rows, as far as the file tells.
    pub(in crate::sink) fn fates(&self) -> Tally {
        let sections = self.header.sections.iter().zip(&self.slots);
        let sections = sections.map(|(s, slot)| (s.table, s.rows, slot.state));
        fates(sections, self.is_replayed())
    }
}

/// What the note of a quarantined file begins with whose section was sent and got no answer.
pub const IN_DOUBT: &str = "in doubt";

/// Why a section cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The file or the section is damaged.
    #[error("{0}")]
    Damaged(Damage),
    /// The disk refuses.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// The spool files of a folder with their bytes, by name.
pub fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter(|e| e.file_name().to_string_lossy().ends_with(SUFFIX))
        .map(|e| (e.path(), e.metadata().map_or(0, |m| m.len())))
        .collect();
    files.sort();
    files
}

/// Reads a file up to its bodies, and whether they are all there.
///
/// # Errors
/// When the file is damaged, of another version, or cannot be read.
pub fn read_file(path: &Path, number: u64) -> Result<Found, Unreadable> {
    let found = read_head(path, number)?;
    format::check_length(&found.header, &found.slots, found.len).map_err(Unreadable::Damaged)?;
    Ok(found)
}

/// Reads a file up to its bodies, which may be cut off: the header tells what they held.
///
/// # Errors
/// When the header is damaged, of another version, or cannot be read.
pub(super) fn read_head(path: &Path, number: u64) -> Result<Found, Unreadable> {
    let file = open(path)?;
    let header = read_header(&file)?;
    let slots = read_slots(&file, &header)?;
    let len = file.metadata()?.len();
    Ok(Found {
        number,
        len,
        header,
        slots,
    })
}

/// Reads a section's body from its file and checks it.
///
/// # Errors
/// When it is damaged or cannot be read.
pub fn read_section(path: &Path, section: &SectionHeader) -> Result<EncodedSection, Unreadable> {
    section_of(&open(path)?, section, |len| vec![0; len])
}

/// Reads a section into memory that `buffer` hands out for a length.
pub(super) fn section_of(
    file: &File,
    s: &SectionHeader,
    buffer: impl FnOnce(usize) -> Vec<u8>,
) -> Result<EncodedSection, Unreadable> {
    let mut body = buffer(s.body_len as usize);
    file.read_exact_at(&mut body, s.body_at)
        .map_err(|e| cut(e, s.body_at))?;
    format::check_body(s, &body).map_err(Unreadable::Damaged)?;
    Ok(with_body(s, body))
}

/// A section that its header describes.
pub(super) fn with_body(s: &SectionHeader, body: Vec<u8>) -> EncodedSection {
    EncodedSection {
        table: s.table,
        partition: s.partition,
        token: s.token.clone(),
        schema: s.schema,
        columns: s.columns.clone(),
        rows: s.rows,
        first_ms: s.first_ms,
        last_ms: s.last_ms,
        compression: s.compression,
        body: Bytes::from(body),
        raw_len: s.raw_len,
    }
}

pub(super) fn read_header(file: &File) -> Result<Header, Unreadable> {
    let mut prefix = [0; format::PREFIX];
    file.read_exact_at(&mut prefix, 0).map_err(|e| cut(e, 0))?;
    let (len, sum) = format::prefix(&prefix).map_err(Unreadable::Damaged)?;
    let at = format::PREFIX as u64;
    if file.metadata()?.len() < at + len as u64 {
        return Err(none("the file ends in its header"));
    }
    let mut payload = vec![0; len];
    file.read_exact_at(&mut payload, at)
        .map_err(|e| cut(e, at))?;
    format::header(&payload, sum).map_err(Unreadable::Damaged)
}

/// Reads the slots; one that is cut off is a damaged one: nobody knows whether its section was sent.
pub(super) fn read_slots(file: &File, header: &Header) -> Result<Vec<Slot>, Unreadable> {
    let mut bytes = vec![0xff; SLOT * header.sections.len()];
    let mut at = 0;
    while at < bytes.len() {
        match file.read_at(&mut bytes[at..], header.slots_at + at as u64) {
            Ok(0) => break,
            Ok(n) => at += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(format::slots_of(&bytes))
}

fn cut(error: io::Error, at: u64) -> Unreadable {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Unreadable::Damaged(Damage {
            at,
            what: "the file ends here".into(),
        }),
        _ => Unreadable::Io(error),
    }
}

/// Opens a file that is one: a pipe or a device would be waited for.
fn open(path: &Path) -> Result<File, Unreadable> {
    match fs::symlink_metadata(path)?.is_file() {
        true => Ok(File::open(path)?),
        false => Err(none("no regular file")),
    }
}

pub(super) fn none(what: &str) -> Unreadable {
    Unreadable::Damaged(Damage {
        at: 0,
        what: what.into(),
    })
}
