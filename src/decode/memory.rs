//! How much memory a decoder takes when all its limits are reached.

use super::exporter::{Domain, Exporter, NameKind, Told, Waiting};
use super::sessions::{Session, Slot};
use super::settings::Settings;
use super::snapshot::STATE_BYTES_MAX;
use super::twoway::Counters;
use super::{SflowDecoder, options, sampling};
use crate::model::Addr;

impl Settings {
    /// Most bytes that one shard's decoder takes, and the state that it writes for a restart.
    pub fn memory_max(&self) -> usize {
        let text = options::NAME_BYTES_MAX + HEAP_BYTES;
        // lists grow by doubling
        let lists = [
            (self.exporters_max, size_of::<Exporter>()),
            (
                self.sessions_all_max,
                size_of::<Session>() + SESSION_ORDER_BYTES,
            ),
            (self.domains_all_max, size_of::<Domain>()),
            (self.templates_max, size_of::<Slot>()),
            (self.waiting_sets_max, size_of::<Waiting>() + HEAP_BYTES),
            (self.samplers_all_max, sampling::ENTRY_BYTES),
            // name and description; they do not grow
            (self.names_all_max, text),
            (STATE_BYTES_MAX, 1),
        ];
        let lists = lists.map(|(n, bytes)| n.saturating_mul(2 * bytes));
        let tables = [
            table_bytes::<(Addr, u32)>(self.exporters_max),
            table_bytes::<((NameKind, u64), Told)>(self.names_all_max),
            SflowDecoder::bytes_max(self.exporters_max),
            Counters::bytes_max(self),
            self.templates_bytes_max,
            self.waiting_bytes_max,
        ];
        let all = lists.into_iter().chain(tables);
        all.fold(0, usize::saturating_add)
    }
}

/// Most bytes of a hash table with `n` entries.
pub(super) fn table_bytes<T>(n: usize) -> usize {
    let buckets = (n.saturating_mul(8) / 7).checked_next_power_of_two();
    buckets.map_or(usize::MAX, |n| n.saturating_mul(size_of::<T>() + 1))
}

/// What the heap adds to a piece of memory.
const HEAP_BYTES: usize = 16;

/// Bytes by which a session is found.
const SESSION_ORDER_BYTES: usize = size_of::<(u64, u32)>();
