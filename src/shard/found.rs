//! Which conversations rules have hit: their rows carry the ids of the detections.

use crate::detect::signature::engine::Alert;
use crate::model::{Addr, DETECTIONS_MAX, FlowBatch};
use std::collections::BTreeMap;

/// Conversations with detections, the latest ones.
///
/// Of those that are forgotten rows carry no ids; the detections have the flows all the same.
#[derive(Debug, Default)]
pub(super) struct Found {
    hit: BTreeMap<Key, Hit>,
}

/// Both ends in order, and the protocol.
type Key = ([(Addr, u16); 2], u8);

#[derive(Debug)]
struct Hit {
    ids: [u64; DETECTIONS_MAX],
    /// When rules hit it first and last, ms: rows that ended before have nothing to do with it.
    first_ms: i64,
    last_ms: i64,
}

impl Found {
    /// Most bytes that it takes.
    pub const BYTES_MAX: usize = HITS_MAX * (size_of::<Key>() + size_of::<Hit>()) * 2;

    /// A hit belongs to a detection.
    pub fn mark(&mut self, alert: &Alert, id: u64) {
        let key = key(alert.addrs, alert.ports, alert.proto);
        self.put(key, alert.time_ns.div_euclid(1_000_000), id);
    }

    fn put(&mut self, key: Key, now_ms: i64, id: u64) {
        if self.hit.len() >= HITS_MAX && !self.hit.contains_key(&key) {
            self.halve();
        }
        let hit = self.hit.entry(key).or_insert(Hit {
            ids: [0; DETECTIONS_MAX],
            first_ms: now_ms,
            last_ms: now_ms,
        });
        hit.last_ms = hit.last_ms.max(now_ms);
        if !hit.ids.contains(&id)
            && let Some(free) = hit.ids.iter_mut().find(|i| **i == 0)
        {
            *free = id;
        }
    }

    /// Forgets the older half at once, so that one hit does not cost a look at all of them.
    fn halve(&mut self) {
        let mut times: Vec<i64> = self.hit.values().map(|h| h.last_ms).collect();
        let (_, &mut middle, _) = times.select_nth_unstable(HITS_MAX / 2);
        self.hit.retain(|_, h| h.last_ms > middle);
    }

    /// Writes the ids into the rows of a batch.
    pub fn attach(&self, batch: &mut FlowBatch) {
        if self.hit.is_empty() {
            return;
        }
        for i in 0..batch.len() {
            let c = &batch.core;
            let ports = [c.src_port[i], c.dst_port[i]];
            let key = key([c.src_addr[i], c.dst_addr[i]], ports, c.proto[i]);
            let end_ms = c.end_ms[i];
            if let Some(hit) = self.hit.get(&key).filter(|h| h.first_ms <= end_ms) {
                let ids = hit.ids;
                batch.found_mut().detections[i] = ids;
            }
        }
    }

    /// Conversations that are long over.
    pub fn forget(&mut self, now_ms: i64) {
        self.hit
            .retain(|_, h| now_ms.saturating_sub(h.last_ms) <= KEPT_MS);
    }
}

fn key(addrs: [Addr; 2], ports: [u16; 2], proto: u8) -> Key {
    // of other protocols rows have kinds where rules have none
    let has_ports = matches!(proto, 6 | 17 | 132);
    let port = |n: usize| if has_ports { ports[n] } else { 0 };
    let ends = [(addrs[0], port(0)), (addrs[1], port(1))];
    let ends = if ends[0] <= ends[1] {
        ends
    } else {
        [ends[1], ends[0]]
    };
    (ends, proto)
}

/// Conversations of a shard whose hits are remembered.
const HITS_MAX: usize = 16_384;
/// How long, after the last hit: longer than any row waits.
const KEPT_MS: i64 = 2 * 3_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_hits_are_kept_and_rows_of_them_carry_ids() {
        let end = |n: u32| {
            [
                (Addr::from_v4(n.to_be_bytes()), 80),
                (Addr::from_v4([9; 4]), 9),
            ]
        };
        let mut found = Found::default();
        for n in 0..3 * HITS_MAX as u32 {
            found.put((end(n), 6), n.into(), 7);
            found.put((end(n), 6), n.into(), 7);
            assert!(found.hit.len() <= HITS_MAX);
        }
        let last = 3 * HITS_MAX as u32 - 1;
        assert!(found.hit.len() >= HITS_MAX / 2);
        assert!(found.hit.contains_key(&(end(last), 6)) && !found.hit.contains_key(&(end(0), 6)));
        for id in 8..20 {
            found.put((end(last), 6), last.into(), id);
        }
        assert_eq!(found.hit[&(end(last), 6)].ids, [7, 8, 9, 10]);
    }
}
