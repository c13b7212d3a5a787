//! Settings of aggregation.

use crate::model::FLOW_BATCH_ROWS;
use serde::Deserialize;

/// How usage is booked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Lives longer than this are spread over their last so many seconds. Default 7,200.
    pub prorate_max_s: u32,
    /// Estimated bytes, and packets, of one flow above which no link can have carried it (count): such a flow is flagged,
    /// counted and not booked, since one such lie would hide what all others say. Default 2^50, six hours at 400 Gbit/s.
    pub flow_estimate_max: u64,
    /// How long before the reference time usage may still be booked (seconds). Default 172,800.
    pub usage_late_max_s: u32,
    /// Keys (minute, exporter, interface, side, application, class, DSCP) after which a bundle should be sealed
    /// (count). The batch at hand may take it past this. Default 262,144, about 25 MB.
    pub usage_keys_max: usize,
    /// Exporters whose metering sides are remembered (count). Default 16,384.
    pub exporters_max: usize,
    /// Interfaces of one exporter whose metering side is remembered (count). Default 4,096.
    pub interfaces_per_exporter_max: usize,
    /// Interfaces of all exporters whose metering side is remembered (count). Default 262,144.
    pub interfaces_max: usize,
    /// Addresses that are counted at a time, to find those that talk most (count, rounded up to a power of two; 0: no
    /// talkers). Half as many can have a row. Default 4,096, 0.6 MB.
    pub talkers_max: usize,
    /// Addresses of one exporter that have rows of their own every ten seconds, for sending and for receiving (count); the
    /// others are summed up. Default 50.
    pub talkers_per_exporter_max: usize,
    /// Which clock says what is late; not configured, set by the subcommand.
    #[serde(skip)]
    pub reference: Reference,
    /// Key of the hash tables: secret in `run`, constant in `replay`; not configured.
    #[serde(skip)]
    pub hash_seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            prorate_max_s: 7_200,
            flow_estimate_max: 1 << 50,
            usage_late_max_s: 172_800,
            usage_keys_max: 262_144,
            exporters_max: 16_384,
            interfaces_per_exporter_max: 4_096,
            interfaces_max: 262_144,
            talkers_max: 4_096,
            talkers_per_exporter_max: 50,
            reference: Reference::Received,
            hash_seed: 0,
        }
    }
}

impl Settings {
    /// Most bytes one shard's usage can take: all keys, one batch of which every row has the longest life past them,
    /// and what is remembered of interfaces.
    pub fn memory_max(&self) -> usize {
        let minutes = self.prorate_max_s as usize / 60 + 2;
        // keys of usage and of networks
        let keys = self.usage_keys_max.saturating_mul(2);
        let keys = keys.saturating_add(3 * FLOW_BATCH_ROWS * minutes);
        let talkers = self.talkers_max.checked_next_power_of_two();
        let tables = [
            keys.saturating_mul(2 * BYTES_PER_KEY),
            (self.interfaces_max).saturating_mul(2 * BYTES_PER_INTERFACE),
            (self.exporters_max).saturating_mul(2 * BYTES_PER_EXPORTER),
            talkers
                .unwrap_or(usize::MAX)
                .saturating_mul(BYTES_PER_TALKER),
        ];
        tables.into_iter().fold(0, usize::saturating_add)
    }
}

/// The clock that flow times are held against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reference {
    /// The collector's clock at arrival: `run`.
    #[default]
    Received,
    /// The export time of the datagram, where the protocol has one (sFlow: the arrival): `replay`.
    Exported,
}

/// Counters of interface, side and class that a shard keeps for metrics: some 100 bytes each.
pub(super) const CLASS_SERIES_MAX: usize = 10_000;
/// Names of classes among them.
pub(super) const CLASS_NAMES_MAX: usize = 256;
/// Counters of applications that a shard keeps for metrics.
pub(super) const APPLICATION_SERIES_MAX: usize = 4_096;
/// Bytes of a key and its sums in the hash table.
const BYTES_PER_KEY: usize = 84;
/// Bytes of a talker while it is counted, and of its row.
const BYTES_PER_TALKER: usize = 89 + 64;
/// Bytes of an exporter in its hash table, and of what is at hand of its interfaces.
const BYTES_PER_EXPORTER: usize = 24 + 136;
/// Bytes of an interface in the hash table.
const BYTES_PER_INTERFACE: usize = 17;
