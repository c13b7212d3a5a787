//! The bytes of a file, mapped where that is possible.
#![expect(
    unsafe_code,
    reason = "memmap2 cannot know who else writes to the file"
)]

use memmap2::{Advice, Mmap};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;

/// The bytes of a whole file.
#[derive(Debug)]
pub enum FileBytes {
    /// A read-only, private map of a regular file.
    Mapped(Mmap),
    /// What a pipe or another special file gave.
    Read(Vec<u8>),
}

impl FileBytes {
    /// Opens a file. Regular files are mapped, anything else is read to its end, at most `PIPE_BYTES_MAX`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let kind = file.metadata()?;
        if kind.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        if kind.is_file() && kind.len() > 0 {
            // SAFETY: the map is private and read-only and lives as long as it is borrowed. What the type system
            // cannot promise is that no other process changes the file meanwhile. Every reader of these bytes
            // checks each length against the slice at the moment it uses it, keeps no length between two reads of
            // the same place, and hands out `&[u8]` only, for which every bit pattern is valid. A file that is
            // shortened while it is read ends the process with SIGBUS, as it does for any reader of a map; it
            // cannot make a read go out of bounds.
            return Ok(FileBytes::Mapped(unsafe { Mmap::map(&file)? }));
        }
        let mut bytes = Vec::new();
        (&mut file)
            .take(PIPE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > PIPE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(FileBytes::Read(bytes))
    }
}

impl FileBytes {
    /// Has the system map bytes that are read soon, many pages with one call: otherwise there is a fault for every few of
    /// them. A system that cannot (before Linux 5.14) maps them one by one.
    pub fn call(&self, from: usize, len: usize) {
        let len = len.min(self.len().saturating_sub(from));
        if let (FileBytes::Mapped(map), true) = (self, len > 0) {
            let _ = map.advise_range(Advice::PopulateRead, from, len);
        }
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            FileBytes::Mapped(map) => map,
            FileBytes::Read(bytes) => bytes,
        }
    }
}

/// Most bytes taken from something that cannot be mapped.
const PIPE_BYTES_MAX: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_shows_the_file_and_an_empty_file_is_empty() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("a");
        std::fs::write(&path, b"bytes")?;
        let mapped = FileBytes::open(&path)?;
        assert!(matches!(mapped, FileBytes::Mapped(_)));
        assert_eq!(&mapped[..], b"bytes");
        std::fs::write(&path, b"")?;
        assert_eq!(&FileBytes::open(&path)?[..], b"");
        assert!(FileBytes::open(dir.path()).is_err());
        assert!(FileBytes::open(&dir.path().join("missing")).is_err());
        Ok(())
    }
}
