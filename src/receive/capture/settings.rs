//! What the operator can set about capturing.

use pcap::{Capture, Linktype};
use serde::Deserialize;
use std::path::PathBuf;

/// `[capture]`: packets from interfaces of this machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Interfaces to read, by name; empty: nothing is captured.
    pub interfaces: Vec<String>,
    /// Which frames: `both`, `in` (what arrives: all that a mirror port has) or `out`. Default `both`.
    pub direction: Direction,
    /// Whether frames for other machines are taken, too. Default true.
    pub promiscuous: bool,
    /// What to take, in the language of libpcap (pcap-filter(7)); empty: everything.
    pub filter: String,
    /// Bytes of a frame that are taken, 96 to 262,144. Default 65,535.
    pub snap_length: usize,
    /// Buffer in the kernel of each interface, bytes; it bridges the moments in which this process does not run.
    /// Default 64 MiB.
    pub buffer: usize,
    /// Threads that meter; each conversation belongs to one. 0: one less than there are cores, at least one, at most 16.
    pub shards: usize,
    /// Frames handed to a shard together, 1 to 1,024. Default 64.
    pub batch: usize,
    /// Batches that may wait for each shard. When so many wait, frames are dropped and counted. Default 256.
    pub queue: usize,
    /// Whether an interface that went away is opened again. Its threads keep CAP_NET_RAW for that; without it, what was
    /// opened at the start lasts as long as the interface does. Default false.
    pub reopen: bool,
    /// Folder into which others write capture files one after the other (tcpdump -G, dumpcap -b); each is read once, when it is
    /// complete. None: no folder is looked at.
    pub watch_directory: Option<PathBuf>,
    /// Seconds without a change after which a file is complete whose writer did not close it. Default 60.
    pub watch_settle_s: u64,
    /// Seconds without a file after which the conversations of the last one end. Default 300.
    pub watch_idle_s: u64,
    /// Largest file that is read, bytes; it is held in memory. Default 512 MiB.
    pub watch_file_max: u64,
    /// Whether files are removed once they are read. Default false.
    pub watch_delete: bool,
}

/// Which way frames go.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Both.
    #[default]
    Both,
    /// Those that arrive.
    In,
    /// Those that are sent.
    Out,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            interfaces: vec![],
            direction: Direction::Both,
            promiscuous: true,
            filter: String::new(),
            snap_length: 65_535,
            buffer: 64 << 20,
            shards: 0,
            batch: 64,
            queue: 256,
            reopen: false,
            watch_directory: None,
            watch_settle_s: 60,
            watch_idle_s: 300,
            watch_file_max: 512 << 20,
            watch_delete: false,
        }
    }
}

impl Settings {
    /// Whether an interface is captured.
    pub fn captures(&self) -> bool {
        !self.interfaces.is_empty()
    }

    /// The number of shards for interfaces on a machine of `cores` cores; none where none is captured. A folder has one more.
    pub fn shards_for(&self, cores: usize) -> usize {
        match self.shards {
            _ if !self.captures() => 0,
            0 => cores.saturating_sub(1).clamp(1, 16),
            n => n.min(SHARDS_MAX),
        }
    }

    /// The same with the one for the folder.
    pub fn shards_all(&self, cores: usize) -> usize {
        self.shards_for(cores) + usize::from(self.watch_directory.is_some())
    }

    /// Everything that is wrong with these settings; each text begins with its key.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut sorted = self.interfaces.clone();
        sorted.sort();
        if let Some(twice) = sorted.windows(2).find(|w| w[0] == w[1]) {
            faults.push(format!("capture.interfaces names {:?} twice", twice[0]));
        }
        if let Some(odd) = sorted.iter().find(|n| n.is_empty() || n.len() > NAME_MAX) {
            faults.push(format!(
                "capture.interfaces: {odd:?} is no name of an interface (`ip link` lists them)"
            ));
        }
        if sorted.len() > INTERFACES_MAX {
            faults.push(format!(
                "capture.interfaces: at most {INTERFACES_MAX} are read"
            ));
        }
        for (key, value, least, most) in [
            ("snap_length", self.snap_length, SNAP_MIN, SNAP_MAX),
            ("buffer", self.buffer, BUFFER_MIN, BUFFER_MAX),
            ("shards", self.shards, 0, SHARDS_MAX),
            ("batch", self.batch, 1, BATCH_MAX),
            ("queue", self.queue, 1, QUEUE_MAX),
        ] {
            if !(least..=most).contains(&value) {
                faults.push(format!("capture.{key} must be {least} to {most}"));
            }
        }
        let folder = self.watch_directory.as_ref();
        if let Some(folder) = folder.filter(|f| !f.is_absolute()) {
            faults.push(format!(
                "capture.watch_directory must be an absolute path: {folder:?} would be another folder wherever the collector is started from"
            ));
        }
        for (key, value) in [
            ("watch_settle_s", self.watch_settle_s),
            ("watch_idle_s", self.watch_idle_s),
            ("watch_file_max", self.watch_file_max),
        ] {
            if value == 0 {
                faults.push(format!("capture.{key} must be at least 1"));
            }
        }
        faults.extend(self.filter_fault());
        faults
    }

    fn filter_fault(&self) -> Option<String> {
        if self.filter.is_empty() {
            return None;
        }
        // most links are Ethernet; what another link makes of it is seen when it is opened
        let dead = Capture::dead(Linktype::ETHERNET).ok()?;
        let error = dead.compile(&self.filter, true).err()?.to_string();
        let error = error.trim_start_matches("libpcap error: ");
        Some(format!(
            "capture.filter is no filter: {error}; `man pcap-filter` has the language"
        ))
    }

    /// Most bytes that buffers of frames take on their way to `shards` shards, in the kernel and here.
    pub fn memory_max(&self, shards: usize) -> usize {
        let batches = self.queue.saturating_add(3).saturating_mul(shards.max(1));
        let frames = batches.saturating_mul(super::batch::arena_bytes(self.snap_length));
        let files = match self.watch_directory {
            None => 0,
            Some(_) => usize::try_from(self.watch_file_max)
                .unwrap_or(usize::MAX)
                .saturating_add(frames),
        };
        (self.buffer.saturating_add(frames))
            .saturating_mul(self.interfaces.len())
            .saturating_add(files)
    }
}

/// Longest name of an interface (IFNAMSIZ less the end mark).
const NAME_MAX: usize = 15;
/// Each has a thread.
const INTERFACES_MAX: usize = 64;
/// The headers that are looked at.
const SNAP_MIN: usize = 96;
/// What libpcap takes at most.
const SNAP_MAX: usize = 262_144;
const BUFFER_MIN: usize = 1 << 20;
/// The kernel counts in 32 bits.
const BUFFER_MAX: usize = 1 << 30;
const SHARDS_MAX: usize = 64;
const BATCH_MAX: usize = 1_024;
const QUEUE_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let settings: Settings = toml::from_str(text).expect("settings");
        settings.faults()
    }

    #[test]
    fn faults_are_named_with_their_key() {
        assert_eq!(Settings::default().faults(), [""; 0]);
        for (text, fault) in [
            ("interfaces = [\"a\", \"a\"]", "names \"a\" twice"),
            ("interfaces = [\"\"]", "no name of an interface"),
            ("snap_length = 20", "capture.snap_length must be 96 to"),
            ("queue = 0", "capture.queue must be 1 to"),
            ("filter = \"udp prot 53\"", "capture.filter is no filter: "),
        ] {
            let found = faults(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].contains(fault), "{text}: {found:?}");
        }
        assert_eq!(faults("filter = \"not (udp port 53 or vlan)\""), [""; 0]);
    }

    #[test]
    fn there_are_shards_only_where_something_is_captured() {
        let mut s = Settings::default();
        assert_eq!(s.shards_for(8), 0);
        s.interfaces = vec!["eth1".into()];
        assert_eq!((s.shards_for(1), s.shards_for(8)), (1, 7));
        s.shards = 3;
        assert_eq!(s.shards_for(1), 3);
    }
}
