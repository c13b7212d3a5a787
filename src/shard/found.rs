//! Which conversations rules have hit: their rows carry the ids of the detections.

use crate::detect::signature::engine::Alert;
use crate::model::{Addr, DETECTIONS_MAX, FlowBatch};
use std::collections::BTreeMap;

/// Conversations with detections, the latest ones.
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
        let now_ms = alert.time_ns.div_euclid(1_000_000);
        if self.hit.len() >= HITS_MAX && !self.hit.contains_key(&key) {
            let oldest = self.hit.iter().min_by_key(|(_, h)| h.last_ms);
            if let Some(oldest) = oldest.map(|(k, _)| *k) {
                self.hit.remove(&oldest);
            }
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
