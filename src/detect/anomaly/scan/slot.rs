//! What is known of the few hosts and ports that a source tries most.

use super::super::keep::Kept;
use super::super::keyed::Counted;
use crate::model::prefetch;

/// What failed and worked of one host, or one port.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot<K> {
    pub key: K,
    pub weight: u32,
    /// Of a host, how many of the ports that failed are those of services.
    pub served: u32,
    quick_ms: i64,
    pub failed: Counted<32>,
    pub quick: Counted<8>,
    pub worked: Counted<4>,
}

impl<K: Kept> Kept for Slot<K> {
    fn put(&self, out: &mut Vec<u8>) {
        self.key.put(out);
        (self.weight, self.served, self.quick_ms).put(out);
        (self.failed, self.quick, self.worked).put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let key = K::get(from)?;
        let (weight, served, quick_ms) = Kept::get(from)?;
        let (failed, quick, worked) = Kept::get(from)?;
        Some(Slot {
            key,
            weight,
            served,
            quick_ms,
            failed,
            quick,
            worked,
        })
    }
}

impl<K> Slot<K> {
    /// Calls for what says whose it is, and for what worked.
    #[inline]
    pub fn call(&self) {
        prefetch(&self.weight);
        prefetch(&self.worked);
    }

    pub fn add(&mut self, hash: u64, at_ms: i64) -> bool {
        if at_ms.saturating_sub(self.quick_ms) > QUICK_MS {
            self.quick = Counted::default();
            self.quick_ms = at_ms;
        }
        self.weight = self.weight.saturating_add(1);
        self.quick.add(hash);
        self.failed.add(hash)
    }

    /// Of what was tried, what failed.
    pub fn share(&self) -> f64 {
        share(self.failed.count(), self.worked.count())
    }
}

pub(super) fn share(failed: u32, worked: u32) -> f64 {
    f64::from(failed) / f64::from((failed + worked).max(1))
}

/// The slot of a key; where all are taken each loses some, and the first that has nothing left is taken (Misra and Gries, 1982).
pub(super) fn slot_of<K: Copy + PartialEq + Default>(
    slots: &mut [Slot<K>; SLOTS],
    key: K,
    at_ms: i64,
) -> Option<&mut Slot<K>> {
    let known = slots.iter().position(|s| s.weight > 0 && s.key == key);
    let free = || slots.iter().position(|s| s.weight == 0);
    if let Some(i) = known {
        return Some(&mut slots[i]);
    }
    if let Some(i) = free() {
        slots[i] = Slot {
            key,
            quick_ms: at_ms,
            ..Slot::default()
        };
        return Some(&mut slots[i]);
    }
    slots.iter_mut().for_each(|s| s.weight -= 1);
    None
}

pub(super) const SLOTS: usize = 4;
const QUICK_MS: i64 = 300_000;
