//! What is known of the few hosts and ports that a source tries most.

use super::super::keep::{Kept, kept};
use super::super::keyed::Counted;
use crate::model::prefetch;

/// The hosts, or ports, of a source. Whose each slot is lies together, before what is known of all of them.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(super) struct Slots<K> {
    /// Each with its weight; 0: nobody has it.
    keys: [(K, u32); SLOTS],
    slots: [Slot; SLOTS],
}

/// What failed and worked of one host, or one port.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    /// Of a host, how many of the ports that failed are those of services.
    pub served: u32,
    quick_ms: i64,
    pub failed: Counted<32>,
    pub quick: Counted<8>,
    pub worked: Counted<4>,
}

kept!(Slot {
    served,
    quick_ms,
    failed,
    quick,
    worked
});

impl<K: Kept + Copy + Default> Kept for Slots<K> {
    fn put(&self, out: &mut Vec<u8>) {
        self.keys.put(out);
        self.slots.put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        Some(Slots {
            keys: Kept::get(from)?,
            slots: Kept::get(from)?,
        })
    }
}

impl Slot {
    fn add(&mut self, hash: u64, at_ms: i64) -> bool {
        if at_ms.saturating_sub(self.quick_ms) > QUICK_MS {
            self.quick = Counted::default();
            self.quick_ms = at_ms;
        }
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

impl<K: Copy + PartialEq + Default> Slots<K> {
    /// Calls for whose they are.
    #[inline]
    pub fn call(&self) {
        prefetch(&self.keys);
    }

    /// What is known of a key.
    pub fn find(&self, key: K) -> Option<&Slot> {
        Some(&self.slots[self.place(key)?])
    }

    /// The same, to change it.
    #[inline]
    pub fn find_mut(&mut self, key: K) -> Option<&mut Slot> {
        let at = self.place(key)?;
        Some(&mut self.slots[at])
    }

    /// All keys of which something is known.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        let held = self.keys.iter().filter(|(_, weight)| *weight > 0);
        held.map(|(key, _)| *key)
    }

    /// Adds to a key what failed: its slot, and whether that is new.
    pub fn add(&mut self, key: K, hash: u64, at_ms: i64) -> Option<(&mut Slot, bool)> {
        let at = self.place_for(key, at_ms)?;
        let (weight, slot) = (&mut self.keys[at].1, &mut self.slots[at]);
        *weight = weight.saturating_add(1);
        let is_new = slot.add(hash, at_ms);
        Some((slot, is_new))
    }

    /// Makes room for a key of which nothing failed yet.
    pub fn begin(&mut self, key: K, at_ms: i64) {
        if let Some(at) = self.place_for(key, at_ms) {
            self.keys[at].1 = self.keys[at].1.max(1);
        }
    }

    #[inline]
    fn place(&self, key: K) -> Option<usize> {
        self.keys.iter().position(|(k, n)| *n > 0 && *k == key)
    }

    /// The place of a key; where all are taken each loses some, and the first that has nothing left is taken (Misra and Gries, 1982).
    fn place_for(&mut self, key: K, at_ms: i64) -> Option<usize> {
        if let Some(at) = self.place(key) {
            return Some(at);
        }
        let Some(at) = self.keys.iter().position(|(_, weight)| *weight == 0) else {
            self.keys.iter_mut().for_each(|(_, weight)| *weight -= 1);
            return None;
        };
        self.keys[at] = (key, 0);
        self.slots[at] = Slot {
            quick_ms: at_ms,
            ..Slot::default()
        };
        Some(at)
    }
}

const SLOTS: usize = 4;
const QUICK_MS: i64 = 300_000;
