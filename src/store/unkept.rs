//! Tokens of rows that were never kept: taken back before the engine opens.
//!
//! MergeTree writes the token of an INSERT into the table's deduplication log before it gives the part its name, both under
//! the lock of the table's parts, and does not look back at a start (`MergeTreeSink::finishDelayedChunk`, ClickHouse 25). An
//! engine that is killed between the two knows the token and has no rows: the INSERT, sent again, is skipped as done. So at
//! most the last record of each table is of rows that are not there, and it is told by a part that nothing covers.

use super::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Looks at every table below `engine`, takes back the last token of those whose rows are not there, and cuts off a record that
/// was not written to its end. Returns how many tokens went.
///
/// # Errors
/// A log that cannot be read or written; what is no log, or no table, is left alone.
pub(super) fn take_back(engine: &Path) -> Result<usize, Error> {
    let mut taken = 0;
    for group in folders(&engine.join("store"))? {
        for table in folders(&group)? {
            taken += usize::from(take_back_of(&table)?);
        }
    }
    Ok(taken)
}

/// The same for one table.
fn take_back_of(table: &Path) -> Result<bool, Error> {
    let Some(log) = last_log(&table.join("deduplication_logs"))? else {
        return Ok(false);
    };
    let text = fs::read(&log).map_err(Error::file("cannot read", &log))?;
    let whole = text
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |at| at + 1);
    let kept = match last_record(&text[..whole]) {
        Some((at, part)) if !covered(table, &part)? => at,
        _ => whole,
    };
    if kept < text.len() {
        let new = log.with_extension("tmp");
        fs::write(&new, &text[..kept]).map_err(Error::file("cannot write", &new))?;
        fs::rename(&new, &log).map_err(Error::file("cannot replace", &log))?;
    }
    Ok(kept < whole)
}

/// The log that was written last and is not empty: they are numbered, and a new one is made at each start.
fn last_log(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let mut last: Option<(u64, PathBuf)> = None;
    for entry in entries(folder)? {
        let name = entry.file_name();
        let number = (name.to_str())
            .and_then(|n| n.strip_prefix("deduplication_log_")?.strip_suffix(".txt"))
            .and_then(|n| n.parse().ok());
        let filled = entry.metadata().is_ok_and(|m| m.len() > 0);
        if let Some(number) = number.filter(|_| filled)
            && last.as_ref().is_none_or(|(n, _)| *n < number)
        {
            last = Some((number, entry.path()));
        }
    }
    Ok(last.map(|(_, path)| path))
}

/// Where the last record begins and the part that it adds; `None` where it takes one away, or is of another form.
fn last_record(log: &[u8]) -> Option<(usize, Part)> {
    let end = log.len().checked_sub(1)?;
    let at = log[..end]
        .iter()
        .rposition(|&b| b == b'\n')
        .map_or(0, |at| at + 1);
    let record = std::str::from_utf8(&log[at..end]).ok()?;
    let mut fields = record.split('\t');
    (fields.next() == Some(ADDED)).then_some(())?;
    Some((at, Part::named(fields.next()?)?))
}

/// Whether the table has the part, or one that it was merged into.
fn covered(table: &Path, part: &Part) -> Result<bool, Error> {
    let parts = entries(table)?
        .into_iter()
        .filter_map(|e| Part::named(e.file_name().to_str()?));
    Ok(parts.into_iter().any(|p| p.covers(part)))
}

/// A part by its name: `<partition>_<first block>_<last block>_<level>[_<mutation>]`.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    partition: String,
    first: u64,
    last: u64,
}

impl Part {
    fn named(name: &str) -> Option<Part> {
        let mut fields = name.split('_');
        let partition = fields.next().filter(|p| !p.is_empty())?.to_owned();
        let mut number = || fields.next()?.parse().ok();
        let (first, last, _level) = (number()?, number()?, number()?);
        Some(Part {
            partition,
            first,
            last,
        })
    }

    fn covers(&self, part: &Part) -> bool {
        self.partition == part.partition && self.first <= part.first && part.last <= self.last
    }
}

fn folders(of: &Path) -> Result<Vec<PathBuf>, Error> {
    let all = entries(of)?.into_iter();
    Ok(all.map(|e| e.path()).filter(|p| p.is_dir()).collect())
}

/// What is in a folder; nothing where there is no folder.
fn entries(folder: &Path) -> Result<Vec<fs::DirEntry>, Error> {
    match fs::read_dir(folder) {
        Ok(all) => all
            .collect::<Result<_, _>>()
            .map_err(Error::file("cannot read", folder)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::file("cannot read", folder)(error)),
    }
}

/// What a record of a new part begins with.
const ADDED: &str = "1";

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "1\t20261122_1_1_0\t20261122_15_16\n1\t20261122_7_7_0\t20261122_17_18\n";

    /// A table with these parts and this log; its log after `take_back`, and how many tokens went.
    fn after(parts: &[&str], log: &str) -> (String, usize) {
        let dir = tempfile::tempdir().expect("directory");
        let table = dir.path().join("store/abc/abcd");
        for part in parts {
            fs::create_dir_all(table.join(part)).expect("part");
        }
        let logs = table.join("deduplication_logs");
        fs::create_dir_all(&logs).expect("logs");
        fs::write(logs.join("deduplication_log_9.txt"), "1\tx_1_1_0\tx_1_2\n").expect("older log");
        fs::write(logs.join("deduplication_log_10.txt"), log).expect("log");
        fs::write(logs.join("deduplication_log_11.txt"), "").expect("empty log");
        let taken = take_back(dir.path()).expect("readable");
        let text = fs::read_to_string(logs.join("deduplication_log_10.txt")).expect("log");
        (text, taken)
    }

    #[test]
    fn a_token_without_rows_goes() {
        let first = LOG.lines().next().expect("a record").to_owned() + "\n";
        let none: [&[&str]; 4] = [
            &["20261122_1_1_0"],
            &["20261122_1_6_1", "detached", "tmp_insert_20261122_7_7_0"],
            &["20261121_7_7_0"],
            &[],
        ];
        for parts in none {
            assert_eq!(after(parts, LOG), (first.clone(), 1), "{parts:?}");
        }
    }

    #[test]
    fn a_token_with_rows_stays() {
        let there: [&[&str]; 3] = [
            &["20261122_7_7_0"],
            &["20261122_1_7_1"],
            &["20261122_1_9_2_11", "20261122_1_1_0"],
        ];
        for parts in there {
            assert_eq!(after(parts, LOG), (LOG.to_owned(), 0), "{parts:?}");
        }
    }

    #[test]
    fn what_is_no_record_of_a_new_part_stays_and_half_a_record_goes() {
        let gone = format!("{LOG}2\t20261122_7_7_0\t20261122_17_18\n");
        assert_eq!(after(&[], &gone), (gone.clone(), 0));
        assert_eq!(after(&[], "what?\n"), ("what?\n".to_owned(), 0));
        let half = format!("{LOG}1\t20261122_8_8");
        assert_eq!(after(&["20261122_7_7_0"], &half), (LOG.to_owned(), 0));
        assert_eq!(
            take_back(Path::new("/nowhere/at/all")).expect("nothing there"),
            0
        );
    }
}
