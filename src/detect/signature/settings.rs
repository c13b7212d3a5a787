//! Limits on rule text, so that a rule file cannot cost more than it says.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What one rule, and one file of rules, may be at most. Past a limit the rule is refused and the reason names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Bytes of one rule, with its continuation lines. Suricata stops at 8,192.
    pub rule_bytes_max: usize,
    /// Rules of one set; those after are refused.
    pub rules_max: usize,
    /// Options of one rule.
    pub options_max: usize,
    /// Contents of one rule.
    pub contents_max: usize,
    /// Bytes of one content.
    pub content_bytes_max: usize,
    /// Bytes of one regular expression.
    pub pcre_bytes_max: usize,
    /// Steps that one run of a regular expression may take; Suricata's default is 3,500.
    pub pcre_match_limit: u32,
    /// Depth of the stack that one run of a regular expression may use; Suricata's default is 1,500.
    pub pcre_depth_limit: u32,
    /// Brackets and variables within each other in a list of addresses or ports.
    pub list_depth_max: usize,
    /// Items of one list of addresses or ports, variables counted as what they hold.
    pub list_items_max: usize,
    /// Variables that one rule may extract with `byte_extract` and `byte_math`.
    pub variables_max: usize,
    /// Steps that confirming one rule on one buffer may take before it is given up and counted.
    pub match_steps_max: u32,
    /// Bits of hosts and windows of thresholds, for all rules; past it those that end first go, counted.
    pub state_entries_max: usize,
    /// Values that rules add to lists (`dataset:set`), of all lists; past it those that were added first go, counted.
    pub list_entries_max: usize,
    /// Bytes of all lists of values in files (`dataset`, `datarep`, `filemd5` and its kin) together, in the file or in memory, whichever is more.
    pub list_bytes_max: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rule_bytes_max: 65_536,
            rules_max: 262_144,
            options_max: 512,
            contents_max: 128,
            content_bytes_max: 8_192,
            pcre_bytes_max: 8_192,
            pcre_match_limit: 3_500,
            pcre_depth_limit: 1_500,
            list_depth_max: 16,
            list_items_max: 65_536,
            variables_max: 64,
            match_steps_max: 10_000,
            state_entries_max: 131_072,
            list_entries_max: 131_072,
            list_bytes_max: 64 << 20,
        }
    }
}

/// What the engine may keep of conversations, and do for one packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EngineSettings {
    /// Most conversations of a shard; past it the one that was silent for longest gives way.
    pub flows_max: usize,
    /// Whether connections of which the beginning was missed are read. Suricata's `stream.midstream`.
    pub midstream: bool,
    /// Whether wrong checksums keep a segment out of its stream.
    pub checksums: bool,
    /// Bytes of a stream that are looked at together, where nothing else says that a message is whole.
    pub chunk_bytes: usize,
    /// Bytes before a chunk that are kept to find what lies across its edge.
    pub overlap_bytes: usize,
    /// Bytes of streams that are kept for rules, of a shard; past it nothing is kept across the edges of chunks.
    pub raw_bytes_max: usize,
    /// Bytes of messages, bodies and files that are kept for rules, of a shard; past it conversations that need more are given up.
    pub talk_bytes_max: usize,
    /// Bytes of a body or file that rules see. Suricata's stock limit is 100 KiB.
    pub body_bytes_max: usize,
    /// Bytes of a body after which rules are tried before it is whole.
    pub body_step_bytes: usize,
    /// Bytes of a message that is waited for; what is longer is not read, counted. Default 2,097,152.
    pub message_bytes_max: usize,
    /// Files, calls, requests and the like that are kept of a conversation until what belongs to them comes (count of each kind); past it the
    /// oldest goes, counted. Default 128.
    pub talk_items_max: usize,
    /// Bytes of payload that an alert keeps.
    pub alert_bytes_max: usize,
    /// Work that confirming rules on one packet, part of a stream or transaction may be; rules past it are not tried on it, counted. A
    /// piece of work is a step of a rule, or 64 bytes that a content is looked for in. Default 2,000,000.
    pub look_work_max: u64,
    /// Work that one rule may be in `rule_work_window_s`; past it the rule is not tried for as long. Default 20,000,000.
    pub rule_work_max: u64,
    /// Seconds of packet time for `rule_work_max`. Default 10.
    pub rule_work_window_s: u32,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            flows_max: 262_144,
            midstream: false,
            checksums: true,
            chunk_bytes: 2_560,
            overlap_bytes: 1_024,
            raw_bytes_max: 256 << 20,
            talk_bytes_max: 512 << 20,
            body_bytes_max: 100 << 10,
            body_step_bytes: 32 << 10,
            message_bytes_max: 2 << 20,
            talk_items_max: 128,
            alert_bytes_max: 4_096,
            look_work_max: 2_000_000,
            rule_work_max: 20_000_000,
            rule_work_window_s: 10,
        }
    }
}

/// Rules of a running collector, and what becomes of what they raise.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveSettings {
    /// Files of rules, folders with `*.rules`, or patterns with `*` and `?` in their last part. `classification.config` and `reference.config`
    /// beside the first, or in the folder above, are read. Default none: packets are matched with nothing.
    pub rules: Vec<PathBuf>,
    /// Variables of rule headers, by Suricata's names without their group: `HOME_NET = "10.0.0.0/8"`. Default: Suricata's stock values.
    pub variables: BTreeMap<String, String>,
    /// A `threshold.config`. Default none.
    pub threshold_file: Option<PathBuf>,
    /// A file with what was compiled of the rules, so that they are ready sooner at the next start or reload. Default none.
    pub rule_cache_file: Option<PathBuf>,
    /// A file to which every alert is appended as a line of EVE. Default none.
    pub alerts_file: Option<PathBuf>,
    /// Bytes after which that file is renamed to `.1` (those before to `.2` and so on) and begun anew. Default 100,000,000.
    pub alerts_file_bytes_max: u64,
    /// Such files that are kept beside the one that is written (count). Default 9.
    pub alerts_files_max: u32,
    /// Seconds of silence after which the hits of a rule between two hosts are over; the same again is another detection. Default 3,600.
    pub incident_gap_s: u32,
    /// Such detections that are open at a time, of a shard (count); alerts past it are in no detection, counted. Default 16,384.
    pub incidents_max: usize,
    /// New ones a day, of a shard (count); likewise. Default 10,000.
    pub incidents_per_day_max: u32,
    /// Bytes of the latest packets that a shard keeps for the captures of detections; 0: there are no such captures. Default 16,777,216.
    pub packets_bytes_max: usize,
    /// Where a capture of each detection is written. Default: `pcaps` in the state directory.
    pub pcap_directory: Option<PathBuf>,
    /// Bytes of one such capture. Default 262,144.
    pub pcap_bytes_max: usize,
    /// Such captures that are kept (count); the oldest goes. Default 2,000.
    pub pcaps_max: usize,
    /// Seconds after an alert whose packets of the same conversation are in it, too. Default 5.
    pub pcap_after_s: u32,
    /// `[signatures.limits]`
    pub limits: Settings,
    /// `[signatures.engine]`
    pub engine: EngineSettings,
}

impl Default for LiveSettings {
    fn default() -> Self {
        Self {
            rules: vec![],
            variables: BTreeMap::new(),
            threshold_file: None,
            rule_cache_file: None,
            alerts_file: None,
            alerts_file_bytes_max: 100_000_000,
            alerts_files_max: 9,
            incident_gap_s: 3_600,
            incidents_max: 16_384,
            incidents_per_day_max: 10_000,
            packets_bytes_max: 16 << 20,
            pcap_directory: None,
            pcap_bytes_max: 256 << 10,
            pcaps_max: 2_000,
            pcap_after_s: 5,
            limits: Settings::default(),
            engine: EngineSettings::default(),
        }
    }
}

impl LiveSettings {
    /// Which files, and with what they are read.
    pub fn files(&self) -> super::Files {
        let variables = self.variables.iter();
        super::Files {
            rules: self.rules.clone(),
            variables: variables.map(|(k, v)| (k.clone(), v.clone())).collect(),
            threshold: self.threshold_file.clone(),
            settings: self.limits.clone(),
        }
    }

    /// What is wrong; each text begins with the key.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        let places = self.rules.iter().map(|r| ("signatures.rules", r));
        let others = [
            ("signatures.threshold_file", &self.threshold_file),
            ("signatures.rule_cache_file", &self.rule_cache_file),
            ("signatures.alerts_file", &self.alerts_file),
            ("signatures.pcap_directory", &self.pcap_directory),
        ];
        let others = others
            .into_iter()
            .filter_map(|(k, p)| Some((k, p.as_ref()?)));
        for (key, path) in places.chain(others).filter(|(_, p)| !p.is_absolute()) {
            faults.push(format!(
                "{key} must be an absolute path: {path:?} would be another file wherever the collector is started from"
            ));
        }
        let least = [
            ("alerts_file_bytes_max", self.alerts_file_bytes_max),
            ("incidents_max", self.incidents_max as u64),
            ("limits.match_steps_max", self.limits.match_steps_max.into()),
            ("engine.flows_max", self.engine.flows_max as u64),
            ("engine.chunk_bytes", self.engine.chunk_bytes as u64),
            ("engine.talk_items_max", self.engine.talk_items_max as u64),
            ("pcaps_max", self.pcaps_max as u64),
        ];
        let zero = least.iter().filter(|(_, n)| *n == 0);
        faults.extend(zero.map(|(key, _)| format!("signatures.{key} must be at least 1")));
        let most = [
            ("alerts_files_max", self.alerts_files_max, 1_000),
            ("pcap_after_s", self.pcap_after_s, 600),
            ("incident_gap_s", self.incident_gap_s, 86_400),
        ];
        let above = most.iter().filter(|(_, n, most)| n > most);
        faults.extend(above.map(|(key, _, m)| format!("signatures.{key} must be at most {m}")));
        faults
    }
}
