//! Which capture files were read, over restarts.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What tells a file from others whatever its name: how many bytes its head has, and their hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub head: u32,
    pub hash: u64,
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// To its end.
    Read,
    /// It is being read; found at a start, that one ended without saying how far.
    Reading,
    /// So many frames, then there was a stop in order.
    Left(u64),
}

/// A file that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub mark: Mark,
    pub inode: u64,
    pub size: u64,
    pub progress: Progress,
    pub name: String,
}

/// The files that are known, by their heads, and where that is kept.
#[derive(Debug)]
pub(super) struct Seen {
    path: PathBuf,
    entries: BTreeMap<Mark, Entry>,
}

impl Mark {
    /// The mark of a file that begins so, as far as a head goes.
    pub fn of(bytes: &[u8]) -> Mark {
        let head = &bytes[..bytes.len().min(HEAD_BYTES)];
        // FNV-1a: nobody gains from two files that look the same
        let step = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3);
        Mark {
            head: head.len() as u32,
            hash: head.iter().fold(0xcbf2_9ce4_8422_2325, step),
        }
    }
}

impl Seen {
    /// What is kept at a place; nothing where there is nothing. Lines that make no sense are left out.
    pub fn load(path: &Path) -> io::Result<Seen> {
        let text = match fs::read_to_string(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
            other => other?,
        };
        let entries = text.lines().filter_map(parse).map(|e| (e.mark, e));
        Ok(Seen {
            path: path.to_owned(),
            entries: entries.collect(),
        })
    }

    /// The entry of a file that begins with `bytes`; of one that went on after it was known, too.
    pub fn find(&self, bytes: &[u8], inode: u64) -> Option<&Entry> {
        self.entries.get(&Mark::of(bytes)).or_else(|| {
            // a head that was short when it was read is longer now
            let grown = self.entries.values().filter(|e| e.inode == inode);
            let mut same = grown.filter(|e| {
                let head = e.mark.head as usize;
                head < bytes.len() && Mark::of(&bytes[..head]) == e.mark
            });
            same.next()
        })
    }

    /// Files that were being read when an earlier process ended.
    pub fn interrupted(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.entries.values();
        entries.filter(|e| e.progress == Progress::Reading)
    }

    /// Notes how far a file is read, on disk when this returns.
    pub fn note(&mut self, entry: Entry) -> io::Result<()> {
        self.entries.insert(entry.mark, entry);
        self.save()
    }

    /// Forgets files that are not there any more, but for the latest ones.
    pub fn keep(&mut self, is_there: impl Fn(&Entry) -> bool) {
        let mut away = self.entries.values().filter(|e| !is_there(e)).count();
        if away <= AWAY_MAX {
            return;
        }
        self.entries.retain(|_, e| {
            let goes = away > AWAY_MAX && !is_there(e);
            away -= usize::from(goes);
            !goes
        });
    }

    fn save(&self) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut file = fs::File::create(&fresh)?;
        let lines: Vec<String> = self.entries.values().map(line).collect();
        file.write_all(lines.concat().as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)
    }
}

fn line(e: &Entry) -> String {
    let progress = match e.progress {
        Progress::Read => "read".to_owned(),
        Progress::Reading => "reading".to_owned(),
        Progress::Left(frames) => frames.to_string(),
    };
    let Mark { head, hash } = e.mark;
    let Entry {
        inode, size, name, ..
    } = e;
    format!("{head} {hash:016x} {inode} {size} {progress} {name}\n")
}

fn parse(line: &str) -> Option<Entry> {
    let mut words = line.splitn(6, ' ');
    let head = words.next()?.parse().ok()?;
    let hash = u64::from_str_radix(words.next()?, 16).ok()?;
    Some(Entry {
        mark: Mark { head, hash },
        inode: words.next()?.parse().ok()?,
        size: words.next()?.parse().ok()?,
        progress: match words.next()? {
            "read" => Progress::Read,
            "reading" => Progress::Reading,
            frames => Progress::Left(frames.parse().ok()?),
        },
        name: words.next()?.to_owned(),
    })
}

/// Bytes by which a file is told from others: those of pcapng begin with much that all have.
pub(super) const HEAD_BYTES: usize = 4_096;
/// Files that are remembered after they are gone.
const AWAY_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: &[u8], inode: u64, progress: Progress) -> Entry {
        Entry {
            mark: Mark::of(bytes),
            inode,
            size: bytes.len() as u64,
            progress,
            name: "a name with spaces.pcap".into(),
        }
    }

    #[test]
    fn files_are_known_by_their_heads_also_after_a_restart() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("captures");
        let mut seen = Seen::load(&path).expect("nothing there");
        let long = vec![7; 10_000];
        seen.note(entry(&long, 1, Progress::Read)).expect("kept");
        seen.note(entry(b"short", 2, Progress::Left(12)))
            .expect("kept");
        seen.note(entry(b"torn", 3, Progress::Reading))
            .expect("kept");
        let seen = Seen::load(&path).expect("read");
        // renamed and copied it is the same; what went on is the same, too, and what was written anew is not
        assert_eq!(
            seen.find(&long[..9_000], 99).map(|e| e.progress),
            Some(Progress::Read)
        );
        assert_eq!(
            seen.find(b"short and more", 2).map(|e| e.progress),
            Some(Progress::Left(12))
        );
        assert_eq!(seen.find(b"short and more", 4), None);
        assert_eq!(seen.find(b"shore", 2), None);
        assert_eq!(seen.interrupted().count(), 1);
        assert_eq!(
            seen.interrupted().next().map(|e| &e.name[..]),
            Some("a name with spaces.pcap")
        );
    }

    #[test]
    fn of_files_that_are_gone_only_the_latest_are_remembered() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut seen = Seen::load(&dir.path().join("captures")).expect("nothing there");
        for n in 0..3_000u64 {
            let e = entry(&n.to_le_bytes(), n, Progress::Read);
            seen.entries.insert(e.mark, e);
        }
        seen.keep(|e| e.inode >= 2_500);
        assert_eq!(seen.entries.len(), 500 + AWAY_MAX);
        assert!(seen.entries.values().filter(|e| e.inode >= 2_500).count() == 500);
    }

    #[test]
    fn lines_that_make_no_sense_are_left_out() {
        assert_eq!(parse("4096 zz 1 9 read a"), None);
        assert_eq!(parse("4096 00ff 1 9 later a"), None);
        assert_eq!(parse(""), None);
        let e = entry(b"x", 5, Progress::Left(3));
        assert_eq!(parse(line(&e).trim_end()), Some(e));
    }
}
