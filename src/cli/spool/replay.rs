//! `flowhouse spool replay`: the quarantine once more.

use super::super::connection::ConnectionArguments;
use crate::batch::Table;
use crate::sink::clickhouse::{Connection, Once};
use crate::sink::spool::{
    Found, QUARANTINE, REPLAY, Slot, State, files, mark, now_ms, read_file, read_section,
};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::{Path, PathBuf};

/// What is to be tried again.
pub(super) struct Chosen<'a> {
    /// The spool.
    pub(super) directory: PathBuf,
    /// Files of its quarantine; none: all.
    pub(super) named: &'a [PathBuf],
    /// Whether sums go that the store may have.
    pub(super) may_double: bool,
}

impl Chosen<'_> {
    /// Hands the files to the collector, or sends them where an address is given.
    pub(super) fn replay(&self, config: Option<&Path>, to: &ConnectionArguments) -> Result<()> {
        let files = self.files()?;
        if files.is_empty() {
            return crate::cli::say("the quarantine is empty: nothing to replay");
        }
        let (go, stay, damaged) = self.sort(files);
        if to.url.is_some() {
            // what the options leave open stands in the configuration, if one is named
            let base = match config {
                Some(path) => crate::cli::default_connection(&crate::cli::load_config(Some(path))?),
                None => Connection::default(),
            };
            if !go.is_empty() {
                send(&go, &to.over(base))?;
            }
        } else if !go.is_empty() {
            self.hand_over(&go)?;
        }
        for (path, found) in &stay {
            for s in &found.header.sections {
                crate::cli::say(format!(
                    "left: {}: {} rows of {} may be in ClickHouse, and sums do not tell: {}",
                    path.display(),
                    s.rows,
                    s.table.name(),
                    found.header.note
                ))?;
            }
        }
        for why in &damaged {
            crate::cli::say(format!("left: {why}"))?;
        }
        match stay.len() {
            0 if !damaged.is_empty() => bail!(
                "{} file(s) stay in the quarantine, because they cannot be read: `flowhouse spool verify` says where they are damaged",
                damaged.len()
            ),
            0 => Ok(()),
            n => bail!(
                "{n} file(s) stay in the quarantine, because ClickHouse may have their rows. `--may-double` sends them all the same, \
                 with their tokens: skipped where it has them and remembers that (the last 10,000 INSERTs into their table), \
                 counted twice where it has them and does not"
            ),
        }
    }

    /// The files, all of them in the quarantine.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let quarantine = self.directory.join(QUARANTINE);
        if self.named.is_empty() {
            return Ok(files(&quarantine).into_iter().map(|f| f.0).collect());
        }
        let home = fs::canonicalize(&quarantine)
            .with_context(|| format!("there is no quarantine at {}", quarantine.display()))?;
        for path in self.named {
            let real = fs::canonicalize(path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            if real.parent() != Some(&home) {
                bail!(
                    "{} is not in the quarantine ({}), so nothing is replayed. What waits in the spool a collector delivers unasked: \
                     start it, or see `flowhouse spool export` for a copy of the rows. A file from elsewhere goes into the quarantine first",
                    path.display(),
                    quarantine.display()
                );
            }
        }
        Ok(self.named.to_vec())
    }

    /// What can go, what stays because the store may have it and nobody can ask, and why others cannot be replayed.
    fn sort(&self, files: Vec<PathBuf>) -> (Vec<Replayed>, Vec<Replayed>, Vec<String>) {
        let (mut go, mut stay, mut damaged) = (vec![], vec![], vec![]);
        for path in files {
            let found = match read_file(&path, 0) {
                Ok(found) => found,
                Err(why) => {
                    damaged.push(format!("{} cannot be replayed: {why}", path.display()));
                    continue;
                }
            };
            let risky = found.header.sections.iter().enumerate();
            let risky = risky
                .filter(|(n, s)| s.table.is_sum() && found.may_be_there(*n))
                .count();
            match risky == 0 || self.may_double {
                true => go.push((path, found)),
                false => stay.push((path, found)),
            }
        }
        (go, stay, damaged)
    }

    fn hand_over(&self, go: &[Replayed]) -> Result<()> {
        let folder = self.directory.join(REPLAY);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        give_like(&self.directory, &folder)?;
        for (path, found) in go {
            let fault = || format!("cannot move {}", path.display());
            for (n, s) in found.header.sections.iter().enumerate() {
                // the collector asks for flows that were sent long ago, and sends sums as if for the first time
                if found.may_be_there(n) && !s.table.is_versioned() {
                    let slot = match s.table.is_sum() {
                        true => unsent(),
                        false => IN_DOUBT_LONG,
                    };
                    mark(path, n, slot).with_context(fault)?;
                }
            }
            let name = path.file_name().context("a file has a name")?;
            give_like(&self.directory, path)?;
            fs::rename(path, folder.join(name)).with_context(fault)?;
        }
        crate::cli::say(format!(
            "{} file(s) handed over: a running collector sends them within seconds, else the next one that starts; what ClickHouse \
             still refuses comes back (`flowhouse spool list`)",
            go.len()
        ))
    }
}

/// A file of the quarantine.
type Replayed = (PathBuf, Found);

/// Root, beside a collector that is not root: what the collector is to take has to be its own.
fn give_like(directory: &Path, path: &Path) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let owner = fs::metadata(directory)?;
    lchown(path, Some(owner.uid()), Some(owner.gid()))
        .with_context(|| format!("cannot change the owner of {}", path.display()))
}

/// Sends sections from here, with their tokens; what is acknowledged is removed.
fn send(go: &[Replayed], connection: &Connection) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let once = Once::new(connection)?;
    for (path, found) in go {
        for n in 0..found.header.sections.len() {
            if found.slots[n].state.is_open() {
                let sent = runtime.block_on(send_section(path, found, n, &once));
                sent.with_context(|| format!("{} stays in the quarantine", path.display()))?;
            }
        }
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Sends a section, and notes in its file before and after what the store may have.
async fn send_section(path: &Path, found: &Found, n: usize, once: &Once) -> Result<()> {
    let s = &found.header.sections[n];
    let section =
        read_section(path, s).with_context(|| format!("cannot read {}", path.display()))?;
    let note = |slot| {
        mark(path, n, slot).with_context(|| format!("cannot note its state in {}", path.display()))
    };
    let before = found.slots[n];
    let done = before.becomes(State::Done, now_ms());
    if s.table == Table::Flows && found.may_be_there(n) {
        match once.count(&section).await? {
            0 => {}
            has if has >= s.rows => {
                crate::cli::say(format!("{} rows of flows are there already", s.rows))?;
                return note(done);
            }
            has => bail!("ClickHouse has {has} of its {} rows", s.rows),
        }
    }
    note(before.becomes(State::Sent, now_ms()))?;
    if let Err(error) = once.send(&section).await {
        if error.untouched {
            note(before)?;
        }
        return Err(error.into());
    }
    note(done)?;
    crate::cli::say(format!("{} rows into {}", s.rows, s.table.name()))
}

/// Sent when nobody knows.
const IN_DOUBT_LONG: Slot = Slot {
    state: State::Sent,
    time_ms: 0,
};

fn unsent() -> Slot {
    Slot {
        state: State::Unsent,
        time_ms: now_ms(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_belongs_to_the_owner_of_the_spool() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("x.fhs");
        fs::write(&file, b"x").expect("written");
        let owner = |p: &Path| {
            let m = fs::symlink_metadata(p).expect("there");
            (m.uid(), m.gid())
        };
        let before = owner(&file);
        if !nix::unistd::geteuid().is_root() {
            give_like(dir.path(), &file).expect("nothing to do");
            assert_eq!(owner(&file), before);
            eprintln!("the rest is skipped: only root gives files away");
            return;
        }
        lchown(dir.path(), Some(4_711), Some(4_712)).expect("root may");
        give_like(dir.path(), &file).expect("given");
        assert_eq!(owner(&file), (4_711, 4_712));
        // a link is given away itself, never what it points to
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        fs::write(&target, b"x").expect("written");
        std::os::unix::fs::symlink(&target, &link).expect("a link");
        give_like(dir.path(), &link).expect("given");
        assert_eq!((owner(&link), owner(&target)), ((4_711, 4_712), before));
    }
}
