//! Settings of the shards.

use serde::Deserialize;

/// `[shard]`: how the work is split.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Threads that decode; each exporter belongs to one. 0: one less than there are cores, at least one, at most 16.
    pub shards: usize,
    /// What a shard does with its rows: `full` (everything) or `decode` (decode, then drop the columns: for measuring).
    pub stages: Stages,
}

/// How far a shard takes its rows.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Stages {
    /// Decode, enrich, aggregate, seal.
    #[default]
    Full,
    /// Decode, then drop the columns.
    Decode,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            shards: 0,
            stages: Stages::Full,
        }
    }
}

impl Settings {
    /// The number of shards for a machine of `cores` cores.
    pub fn shards_for(&self, cores: usize) -> usize {
        match self.shards {
            0 => cores.saturating_sub(1).clamp(1, 16),
            n => n.min(SHARDS_MAX),
        }
    }
}

/// Most shards that are started.
pub const SHARDS_MAX: usize = 64;
