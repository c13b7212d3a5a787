//! `flowhouse spool`: the bundles on disk that the store does not have yet.

mod replay;

use super::connection::ConnectionArguments;
use super::text;
use crate::assemble::{spool_dir, state_dir};
use crate::sink::spool::{CORRUPT, Found, Mode, QUARANTINE, State, Unreadable, files, format};
use crate::sink::spool::{now_ms, read_file, read_section};
use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Shows and cures what waits on disk for ClickHouse.
///
/// Every subcommand works beside a running collector: `list`, `verify` and `export` only read; `replay` hands the quarantine
/// to the collector, or sends it itself where `--url` is given. Files of the spool itself are the collector's alone.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SpoolArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Show lanes, rows, bytes and ages, the quarantine with its reasons, and what is damaged
    List {
        #[command(flatten)]
        place: Place,
        /// Print JSON instead of tables
        #[arg(long)]
        json: bool,
    },
    /// Check every checksum; exit 1 when a file is damaged
    Verify {
        #[command(flatten)]
        place: Place,
        /// Print JSON instead of lines
        #[arg(long)]
        json: bool,
    },
    /// Try the quarantine again, once its cause is mended: by the collector, or with --url from here
    ///
    /// Without --url (or FLOWHOUSE_CLICKHOUSE_URL) the files are handed to the collector, which sends them and keeps what is
    /// still refused in the quarantine. With it they are sent from here, one after the other, until one is refused.
    ///
    /// Flow rows that the store may have already (they were sent, and got no answer or an error of a view) are asked for before they
    /// are sent. Sums, such as usage, cannot be asked: they stay, and --may-double sends them all the same.
    Replay {
        #[command(flatten)]
        place: Place,
        /// Only these files of the quarantine; default: all
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Also sums that the store may have already: they count twice where it has them and has forgotten that
        #[arg(long)]
        may_double: bool,
        #[command(flatten)]
        connection: ConnectionArguments,
    },
    /// Write the rows of files in ClickHouse's Native format, for `clickhouse-client` or `clickhouse-local`
    Export {
        #[command(flatten)]
        place: Place,
        /// Files to export, also of the quarantine; default: all that wait, and the quarantine
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// Folder for the files
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Place {
    /// Configuration that names the spool
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The spool's directory, over what the configuration says
    #[arg(long, value_name = "DIR")]
    directory: Option<PathBuf>,
}

/// Runs `flowhouse spool`.
///
/// # Errors
/// When there is no spool, when a file is damaged (`verify`), or the store refuses (`replay --url`).
pub fn run(arguments: &SpoolArguments) -> Result<()> {
    // what replay makes belongs to the spool
    crate::rights::keep_to_group();
    match &arguments.action {
        Action::List { place, json } => list(&place.find()?, *json),
        Action::Verify { place, json } => verify(&place.find()?, *json),
        Action::Replay {
            place,
            files,
            may_double,
            connection,
        } => {
            let chosen = replay::Chosen {
                directory: place.find()?,
                named: files,
                may_double: *may_double,
            };
            chosen.replay(place.config.as_deref(), connection)
        }
        Action::Export { place, files, out } => export(&place.find()?, files, out),
    }
}

impl Place {
    fn find(&self) -> Result<PathBuf> {
        let directory = match &self.directory {
            Some(directory) => directory.clone(),
            None => {
                let config = super::load_config(self.config.as_deref())?;
                let directory = spool_dir(&config, &state_dir(&config));
                if config.spool.mode == Mode::Off && !directory.is_dir() {
                    bail!("the spool is off (`spool.mode`): nothing is kept on disk");
                }
                directory
            }
        };
        if !directory.is_dir() {
            bail!(
                "there is no spool at {} (name it with --directory, or the configuration with -c)",
                directory.display()
            );
        }
        Ok(directory)
    }
}

/// Files that can be read.
type Sound = Vec<(PathBuf, Found)>;

/// Files that cannot, and why.
type Bad = Vec<(PathBuf, String)>;

/// Files of a folder that can be read, and what is wrong with the others. A file that went away meanwhile is neither.
fn read_all(folder: &Path) -> (Sound, Bad) {
    let (mut sound, mut bad) = (vec![], vec![]);
    for (path, _) in files(folder) {
        let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned());
        let number = stem.and_then(|s| u64::from_str_radix(&s, 16).ok());
        match read_file(&path, number.unwrap_or(0)) {
            Ok(found) => sound.push((path, found)),
            Err(Unreadable::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => bad.push((path, e.to_string())),
        }
    }
    (sound, bad)
}

/// Sections, rows and bytes of one state and table.
#[derive(Default)]
struct Sum {
    sections: u64,
    rows: u64,
    bytes: u64,
    oldest_ms: i64,
}

fn list(directory: &Path, as_json: bool) -> Result<()> {
    let (waiting, bad) = read_all(directory);
    let (quarantine, bad_there) = read_all(&directory.join(QUARANTINE));
    let mut sums: std::collections::BTreeMap<(&str, &str), Sum> = Default::default();
    for (_, found) in &waiting {
        for (s, slot) in found.header.sections.iter().zip(&found.slots) {
            if slot.state.is_open() {
                let sum = sums.entry((s.table.name(), lane(slot.state))).or_default();
                sum.sections += 1;
                sum.rows += s.rows;
                sum.bytes += s.body_len;
                let oldest = sum.oldest_ms.min(found.header.created_ms);
                sum.oldest_ms = match sum.sections {
                    1 => found.header.created_ms,
                    _ => oldest,
                };
            }
        }
    }
    let corrupt: Vec<PathBuf> = files(&directory.join(CORRUPT))
        .into_iter()
        .map(|f| f.0)
        .collect();
    let bad: Vec<_> = bad.into_iter().chain(bad_there).collect();
    if as_json {
        let page = page(directory, &waiting, &sums, &quarantine, &corrupt, &bad);
        return super::say(format!("{page:#}"));
    }
    let rows = sums.iter().map(|((table, lane), sum)| {
        let age = now_ms().saturating_sub(sum.oldest_ms) / 1000;
        let numbers = [sum.sections, sum.rows, sum.bytes].map(|n| n.to_string());
        let names = [*table, *lane].map(str::to_owned);
        names
            .into_iter()
            .chain(numbers)
            .chain([age.to_string()])
            .collect()
    });
    let header = ["table", "lane", "sections", "rows", "bytes", "oldest s"];
    let sheet = text::table(&header, 2, rows);
    super::say(format!(
        "{}: {} bundles wait\n{sheet}",
        directory.display(),
        waiting.iter().filter(|(_, f)| is_open(f)).count()
    ))?;
    for (path, found) in &quarantine {
        for s in &found.header.sections {
            let (rows, table, why) = (s.rows, s.table.name(), &found.header.note);
            let doubt = match found.may_be_there(0) {
                true => " (the store may have them)",
                false => "",
            };
            super::say(format!(
                "quarantined: {}: {rows} rows of {table}{doubt}: {why}",
                path.display()
            ))?;
        }
    }
    for path in &corrupt {
        super::say(format!("set aside: {}", path.display()))?;
    }
    for (path, why) in &bad {
        super::say(format!("damaged: {}: {why}", path.display()))?;
    }
    Ok(())
}

fn page(
    directory: &Path,
    waiting: &[(PathBuf, Found)],
    sums: &std::collections::BTreeMap<(&str, &str), Sum>,
    quarantine: &[(PathBuf, Found)],
    corrupt: &[PathBuf],
    bad: &[(PathBuf, String)],
) -> Value {
    let lanes = sums.iter().map(|((table, lane), s)| {
        json!({
            "table": table, "lane": lane, "sections": s.sections, "rows": s.rows, "bytes": s.bytes,
            "oldest_ms": s.oldest_ms,
        })
    });
    let quarantine = quarantine.iter().flat_map(|(path, found)| {
        found.header.sections.iter().map(move |s| {
            json!({
                "file": path, "table": s.table.name(), "rows": s.rows, "bytes": s.body_len, "token": s.token,
                "schema": s.schema, "first_ms": s.first_ms, "last_ms": s.last_ms, "reason": found.header.note,
                "may_be_there": found.may_be_there(0),
            })
        })
    });
    json!({
        "directory": directory,
        "bundles": waiting.iter().filter(|(_, f)| is_open(f)).count(),
        "bytes": waiting.iter().map(|(_, f)| f.len).sum::<u64>(),
        "flow_rows": waiting.iter().map(|(_, f)| f.open_flow_rows()).sum::<u64>(),
        "lanes": lanes.collect::<Vec<_>>(),
        "quarantine": quarantine.collect::<Vec<_>>(),
        "corrupt": corrupt,
        "damaged": bad.iter().map(|(path, why)| json!({"file": path, "fault": why})).collect::<Vec<_>>(),
    })
}

fn is_open(found: &Found) -> bool {
    found.slots.iter().any(|s| s.state.is_open())
}

/// On disk live sections and the backlog look the same.
fn lane(state: State) -> &'static str {
    match state {
        State::Unsent => "waiting",
        state => state.name(),
    }
}

fn verify(directory: &Path, as_json: bool) -> Result<()> {
    let (mut sound, mut damaged) = (0u64, vec![]);
    for folder in [directory.to_owned(), directory.join(QUARANTINE)] {
        for (path, _) in files(&folder) {
            let check = || -> Option<String> {
                // no more is read than a header says that there is
                let bytes = read_file(&path, 0).and_then(|found| {
                    format::check_end(&found.header, found.len).map_err(Unreadable::Damaged)?;
                    Ok(fs::read(&path)?)
                });
                match bytes {
                    Ok(bytes) => format::image(&bytes).err().map(|d| d.to_string()),
                    // delivered meanwhile
                    Err(Unreadable::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => None,
                    Err(e) => Some(e.to_string()),
                }
            };
            // a file that was just being cut is sound when looked at again
            match check().and_then(|_| check()) {
                None => sound += 1,
                Some(why) => damaged.push((path, why)),
            }
        }
    }
    if as_json {
        let damaged = damaged
            .iter()
            .map(|(path, why)| json!({"file": path, "fault": why}));
        super::say(format!(
            "{:#}",
            json!({"sound": sound, "damaged": damaged.collect::<Vec<_>>()})
        ))?;
    } else {
        for (path, why) in &damaged {
            super::say(format!("{}: {why}", path.display()))?;
        }
        super::say(format!(
            "{sound} files are sound, {} damaged",
            damaged.len()
        ))?;
    }
    match damaged.is_empty() {
        true => Ok(()),
        false => bail!(
            "damaged files: a collector sets them aside when it comes to them, and delivers the rest"
        ),
    }
}

/// One file that cannot be read stops no other; neither does one that a running collector has delivered or cut meanwhile.
fn export(directory: &Path, named: &[PathBuf], out: &Path) -> Result<()> {
    let chosen: Vec<PathBuf> = match named.is_empty() {
        true => [directory.to_owned(), directory.join(QUARANTINE)]
            .iter()
            .flat_map(|folder| files(folder))
            .map(|f| f.0)
            .collect(),
        false => named.to_vec(),
    };
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut damaged = 0;
    for path in &chosen {
        let found = match read_file(path, 0) {
            Ok(found) => found,
            Err(why) => {
                damaged += u64::from(!is_gone(&why, named) && tell(path, &why));
                continue;
            }
        };
        for (n, slot) in found.slots.iter().enumerate() {
            if slot.state.is_open() {
                damaged += u64::from(!export_section(path, &found, n, named, out)?);
            }
        }
    }
    if damaged > 0 {
        bail!("{damaged} files or sections could not be read; the rest is exported");
    }
    Ok(())
}

/// Writes one section into a file of its own, and says how to insert it; false where it cannot be read.
fn export_section(
    path: &Path,
    found: &Found,
    n: usize,
    named: &[PathBuf],
    out: &Path,
) -> Result<bool> {
    let s = &found.header.sections[n];
    let section = match read_section(path, s) {
        Ok(section) => section,
        Err(why) => {
            // cut off by a collector that sheds: its slot says so by now
            let still = read_file(path, 0).is_ok_and(|f| f.slots[n].state.is_open());
            return Ok(!(still && tell(path, &why)) || is_gone(&why, named));
        }
    };
    let block = section
        .block()
        .with_context(|| format!("{} cannot be unpacked", path.display()))?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let (table, columns) = (s.table.name(), &s.columns);
    let to = out.join(format!("{stem}-{n}-{table}.native"));
    fs::write(&to, block).with_context(|| format!("cannot write {}", to.display()))?;
    super::say(format!(
        "{}: {} rows: INSERT INTO {table} ({columns}) SETTINGS insert_deduplication_token = '{}' FORMAT Native",
        to.display(),
        s.rows,
        s.token
    ))?;
    Ok(true)
}

/// Whether it was delivered meanwhile. A file that somebody named has to be there.
fn is_gone(why: &Unreadable, named: &[PathBuf]) -> bool {
    named.is_empty() && matches!(why, Unreadable::Io(e) if e.kind() == std::io::ErrorKind::NotFound)
}

fn tell(path: &Path, why: &Unreadable) -> bool {
    eprintln!("cannot read {}: {why}", path.display());
    true
}

const EXAMPLES: &str = "\
Examples:
  flowhouse spool list -c /etc/flowhouse/flowhouse.toml
  flowhouse spool list -c /etc/flowhouse/flowhouse.toml --json
  flowhouse spool verify --directory /var/lib/flowhouse/state/spool
  flowhouse spool replay -c /etc/flowhouse/flowhouse.toml
  flowhouse spool replay -c /etc/flowhouse/flowhouse.toml --url http://clickhouse.example:8123 \\
    --password-file /etc/flowhouse/password
  flowhouse spool export -c /etc/flowhouse/flowhouse.toml --out /tmp/rows";
