//! What exporters answered, on disk: names are there from the start of the next run.

use crate::enrich::{Interface, Interfaces};
use crate::model::Addr;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is kept of an exporter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub interfaces: Arc<Interfaces>,
    /// sysUpTime at the last answer.
    pub uptime_cs: u32,
    /// When that was, ms since 1970 UTC.
    pub at_ms: i64,
}

/// The file.
#[derive(Debug)]
pub(super) struct Cache {
    path: PathBuf,
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    version: u32,
    exporters: Vec<Exporter>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Exporter {
    exporter: IpAddr,
    uptime_cs: u32,
    at_ms: i64,
    /// ifIndex, name, alias, speed.
    interfaces: Vec<(u32, String, String, u64)>,
}

impl Cache {
    pub fn new(state: &Path) -> Cache {
        Cache {
            path: state.join(NAME),
        }
    }

    /// What an earlier run kept, at most `exporters_max` exporters and `interfaces_max` interfaces, none older than
    /// `oldest_ms`. A file that cannot be used is said and left out: the next answers make a new one.
    pub fn load(
        &self,
        exporters_max: usize,
        interfaces_max: usize,
        oldest_ms: i64,
    ) -> BTreeMap<Addr, Known> {
        match self.read() {
            Ok(all) => {
                let mut room = interfaces_max;
                let recent = all.into_iter().filter(|e| e.at_ms >= oldest_ms);
                let fits = recent.filter(|e| {
                    let fits = e.interfaces.len() <= room;
                    room -= if fits { e.interfaces.len() } else { 0 };
                    fits
                });
                fits.take(exporters_max).map(known).collect()
            }
            Err(why) => {
                let path = self.path.display();
                tracing::warn!("SNMP: what was kept in {path} is not used: {why}");
                BTreeMap::new()
            }
        }
    }

    fn read(&self) -> Result<Vec<Exporter>, String> {
        let file = match File::open(&self.path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(vec![]),
            file => file.map_err(|e| e.to_string())?,
        };
        let mut bytes = vec![];
        let read = file.take(BYTES_MAX + 1).read_to_end(&mut bytes);
        read.map_err(|e| e.to_string())?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(format!("it is larger than {BYTES_MAX} bytes"));
        }
        let head: Head = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
        if head.version != VERSION {
            let theirs = head.version;
            return Err(format!("it is of version {theirs}, not {VERSION}"));
        }
        let whole: Whole = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
        Ok(whole.exporters)
    }

    /// Puts everything in the place of what was kept before: after a crash it is the old or the new file, whole. Without
    /// anything to keep there is no file.
    pub fn store<'a>(
        &self,
        all: impl Iterator<Item = (&'a Addr, &'a Known)>,
    ) -> std::io::Result<()> {
        let exporters = all.map(|(exporter, known)| Exporter {
            exporter: exporter.to_ip(),
            uptime_cs: known.uptime_cs,
            at_ms: known.at_ms,
            interfaces: (known.interfaces.iter())
                .map(|(n, i)| (*n, i.name.to_string(), i.description.to_string(), i.speed))
                .collect(),
        });
        let whole = Whole {
            version: VERSION,
            exporters: exporters.collect(),
        };
        if whole.exporters.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
                _ => Ok(()),
            };
        }
        let part = self.path.with_extension("part");
        let mut file = File::create(&part)?;
        file.write_all(&serde_json::to_vec(&whole)?)?;
        file.sync_all()?;
        fs::rename(&part, &self.path)
    }
}

fn known(e: Exporter) -> (Addr, Known) {
    let interface = |(n, name, alias, speed): (u32, String, String, u64)| {
        let interface = Interface {
            name: name.into(),
            description: alias.into(),
            speed,
        };
        (n, interface)
    };
    let known = Known {
        interfaces: Arc::new(e.interfaces.into_iter().map(interface).collect()),
        uptime_cs: e.uptime_cs,
        at_ms: e.at_ms,
    };
    (Addr::from(e.exporter), known)
}

/// Name of the file in the state directory.
const NAME: &str = "snmp.json";
/// Changes with the form of the file; a file of another version is not read.
const VERSION: u32 = 1;
/// Largest file that is read.
const BYTES_MAX: u64 = 256 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_is_damaged_does_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = Cache::new(dir.path());
        assert!(cache.load(10, 10, 0).is_empty(), "nothing is there yet");
        let interface = |name: &str| Interface {
            name: name.into(),
            description: "\"quoted\"".into(),
            speed: 7,
        };
        let of = |names: &[&str], at_ms| Known {
            interfaces: Arc::new(
                (1..)
                    .zip(names.iter().map(|n| interface(n)))
                    .collect::<Interfaces>(),
            ),
            uptime_cs: 5,
            at_ms,
        };
        let all = BTreeMap::from([
            (Addr::from_v4([192, 0, 2, 1]), of(&["a", "b"], 100)),
            (Addr::from_v6([0x20; 16]), of(&["c"], 50)),
        ]);
        cache.store(all.iter()).expect("written");
        assert_eq!(cache.load(10, 10, 0), all);
        assert_eq!(cache.load(10, 10, 60).len(), 1, "too old");
        assert_eq!(cache.load(1, 10, 0).len(), 1, "too many exporters");
        assert_eq!(cache.load(10, 1, 0).len(), 1, "too many interfaces");
        let path = dir.path().join(NAME);
        let bytes = std::fs::read(&path).expect("there");
        for end in 0..bytes.len() {
            std::fs::write(&path, &bytes[..end]).expect("written");
            assert!(cache.load(10, 10, 0).is_empty(), "cut at {end}");
        }
        let other = String::from_utf8(bytes).expect("text");
        let other = other.replace("\"version\":1", "\"version\":2");
        std::fs::write(&path, other).expect("written");
        assert!(cache.load(10, 10, 0).is_empty(), "another version");
        for _ in 0..2 {
            cache.store([].into_iter()).expect("removed");
            assert!(!path.exists());
        }
    }
}
