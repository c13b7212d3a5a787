//! The dynamic symbols of a 64-bit little-endian ELF file: just enough to compare two of them before one is loaded.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Error, Result};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Names in a dynamic symbol table.
#[derive(Debug, Default)]
pub struct Symbols {
    /// Names that the file gives.
    pub defined: HashSet<String>,
    /// Names that the file wants from others.
    pub undefined: HashSet<String>,
}

/// Reads the names of `path`.
pub fn dynamic_symbols(path: &Path) -> Result<Symbols> {
    let file = File::open(path)?;
    let header = read(&file, 0, 64)?;
    if header[..6] != [0x7f, b'E', b'L', b'F', 2, 1] {
        return Err(Error::other("no 64-bit little-endian ELF file"));
    }
    let (offset, size, count) = (
        number(&header, 40, 8)?,
        number(&header, 58, 2)?,
        number(&header, 60, 2)?,
    );
    if size != SECTION_BYTES {
        return Err(Error::other("unknown size of section headers"));
    }
    let sections = read(&file, offset, size * count)?;
    let section = |index: u64| {
        sections
            .chunks_exact(SECTION_BYTES as usize)
            .nth(index as usize)
            .ok_or_else(|| Error::other("no such section"))
    };
    let table = (0..count).find(|index| {
        section(*index)
            .is_ok_and(|section| number(section, 4, 4).is_ok_and(|kind| kind == DYNAMIC_SYMBOLS))
    });
    let table = section(table.ok_or_else(|| Error::other("no dynamic symbols"))?)?;
    let strings = section(number(table, 40, 4)?)?;
    let names = read(&file, number(strings, 24, 8)?, number(strings, 32, 8)?)?;
    let entries = read(&file, number(table, 24, 8)?, number(table, 32, 8)?)?;
    let mut symbols = Symbols::default();
    for entry in entries.chunks_exact(SYMBOL_BYTES) {
        let name = names
            .get(number(entry, 0, 4)? as usize..)
            .unwrap_or_default();
        let name =
            String::from_utf8_lossy(name.split(|byte| *byte == 0).next().unwrap_or_default())
                .into_owned();
        match number(entry, 6, 2)? {
            0 => symbols.undefined.insert(name),
            _ => symbols.defined.insert(name),
        };
    }
    Ok(symbols)
}

fn read(file: &File, offset: u64, length: u64) -> Result<Vec<u8>> {
    if length > TABLE_BYTES_MAX {
        return Err(Error::other("a table is too large"));
    }
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, offset)?;
    Ok(bytes)
}

fn number(bytes: &[u8], at: usize, width: usize) -> Result<u64> {
    let field = bytes
        .get(at..at + width)
        .ok_or_else(|| Error::other("a field is cut short"))?;
    Ok(field
        .iter()
        .rev()
        .fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

const SECTION_BYTES: u64 = 64;
const SYMBOL_BYTES: usize = 24;
const DYNAMIC_SYMBOLS: u64 = 11;
const TABLE_BYTES_MAX: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_running_program() {
        let symbols = dynamic_symbols(Path::new("/proc/self/exe")).expect("symbols");
        assert!(
            symbols
                .undefined
                .iter()
                .any(|name| name == "malloc" || name == "memcpy")
        );
        assert!(dynamic_symbols(Path::new("/proc/self/status")).is_err());
    }
}
