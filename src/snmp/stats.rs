//! How polling goes, for metrics.

use crate::model::Addr;
use std::collections::BTreeMap;

/// Counts since the start, and states.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Exporters that are asked.
    pub exporters: usize,
    /// Exporters that are covered by the settings and not asked for want of room.
    pub exporters_refused: usize,
    /// Exporters asked more seldom after failures.
    pub open: usize,
    /// Polls on their way.
    pub asked: usize,
    /// Interfaces that are known.
    pub interfaces: usize,
    /// Whether an exporter answered the last time; the first thousand by address.
    pub up: Vec<(Addr, bool)>,
    /// Polls that gave everything.
    pub polls: u64,
    /// Polls that gave nothing, by the word for it.
    pub failures: BTreeMap<&'static str, u64>,
    /// Time that all polls took, seconds.
    pub seconds: f64,
    /// Rows of counters.
    pub counters: u64,
    /// Rows of counters given up because the store did not take them in time.
    pub counters_dropped: u64,
    /// Interfaces of answers that found no room.
    pub interfaces_refused: u64,
    /// Columns cut short at the most interfaces that an exporter may have.
    pub columns_full: u64,
    /// Names cut at 64 bytes.
    pub texts_cut: u64,
    /// Values of a wrong kind, and rows without an ifIndex.
    pub values_odd: u64,
    /// Times that an exporter was found restarted.
    pub restarts: u64,
}
