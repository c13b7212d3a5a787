//! Limits on rule text, so that a rule file cannot cost more than it says.

use serde::{Deserialize, Serialize};

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
    /// Bits of hosts and windows of thresholds that are remembered beside flows, for all rules; past it those that end first go, counted.
    pub state_entries_max: usize,
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
            alert_bytes_max: 4_096,
            look_work_max: 2_000_000,
            rule_work_max: 20_000_000,
            rule_work_window_s: 10,
        }
    }
}
