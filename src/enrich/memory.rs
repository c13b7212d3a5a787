//! What a shard remembers from one batch to the next, in fixed room for each exporter.

use crate::model::Addr;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::hash::BuildHasher;

/// Interfaces whose policy is known, ports that were the service side, and room for one batch's look-ups.
#[derive(Debug, Default)]
pub struct Memory {
    exporters: HashMap<Addr, Remembered, FixedState>,
    interfaces: usize,
    /// Exporters that were forgotten to make room.
    evicted: u64,
    pub(super) src: Vec<u32>,
    pub(super) dst: Vec<u32>,
}

/// What is remembered of an exporter. Its room depends on no other exporter, so that results do not depend on how
/// exporters are spread over shards.
#[derive(Debug)]
pub(super) struct Remembered {
    /// QoS policy by ifIndex.
    policies: HashMap<u32, u8, FixedState>,
    /// Fingerprints of endpoints that were the only known side of a flow; a new one takes the place of an older one.
    services: Box<[u32; SERVICES]>,
}

impl Default for Remembered {
    fn default() -> Self {
        Remembered {
            policies: HashMap::default(),
            services: Box::new([0; SERVICES]),
        }
    }
}

impl Memory {
    /// Nothing remembered.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// What is remembered of an exporter. For one that comes when there is no room any more all others are forgotten.
    pub(super) fn of(&mut self, exporter: &Addr) -> &mut Remembered {
        if self.exporters.len() >= EXPORTERS_MAX && !self.exporters.contains_key(exporter) {
            self.evicted += self.exporters.len() as u64;
            self.exporters.clear();
            self.interfaces = 0;
        }
        self.exporters.entry(*exporter).or_default()
    }

    /// How many exporters were forgotten.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Bytes that what is remembered of so many exporters takes at most, in all shards.
    pub fn bytes_max(exporters: usize, shards: usize) -> usize {
        // hash tables may be half empty
        let each = 2 * size_of::<(Addr, Remembered)>() + SERVICES * size_of::<u32>();
        let interfaces = INTERFACES_MAX * 2 * (size_of::<(u32, u8)>() + 1);
        exporters.min(shards * EXPORTERS_MAX) * each + shards * interfaces
    }

    /// Takes in the policy of an interface. Returns false where there is no room.
    pub(super) fn put_policy(&mut self, exporter: &Addr, if_index: u32, policy: u8) -> bool {
        let room = self.interfaces < INTERFACES_MAX;
        let e = self.of(exporter);
        let there = e.policies.contains_key(&if_index);
        if there || room && e.policies.len() < INTERFACES_EACH_MAX {
            e.policies.insert(if_index, policy);
            self.interfaces += usize::from(!there);
            return true;
        }
        false
    }

    /// An interface is another one than before: its policy is asked anew.
    pub fn forget(&mut self, exporter: &Addr, if_index: u32) {
        if let Some(e) = self.exporters.get_mut(exporter)
            && e.policies.remove(&if_index).is_some()
        {
            self.interfaces -= 1;
        }
    }

    /// Rules have changed: all policies are asked anew.
    pub fn forget_interfaces(&mut self) {
        self.exporters.values_mut().for_each(|e| e.policies.clear());
        self.interfaces = 0;
    }

    /// The first of some rows with an interface whose policy is not known yet: its place among them and the ifIndex.
    pub(super) fn first_unknown(
        &mut self,
        exporter: &Addr,
        in_if: &[u32],
        out_if: &[u32],
    ) -> Option<(usize, u32)> {
        let e = self.of(exporter);
        let mut last = [0, 0];
        for (n, pair) in in_if.iter().zip(out_if).map(|(i, o)| [*i, *o]).enumerate() {
            if pair == last {
                continue;
            }
            last = pair;
            let named = |i: &u32| *i != 0 && *i < NO_INDEX;
            if let Some(unknown) = pair
                .into_iter()
                .find(|i| named(i) && !e.policies.contains_key(i))
            {
                return Some((n, unknown));
            }
        }
        None
    }

    /// Whether an exporter's interface is one of those for which there is no room.
    pub(super) fn is_full(&self, exporter: &Addr) -> bool {
        let mine = self.exporters.get(exporter).map(|e| e.policies.len());
        self.interfaces >= INTERFACES_MAX || mine.is_some_and(|n| n >= INTERFACES_EACH_MAX)
    }
}

impl Remembered {
    /// The policy of an interface, if it is known.
    #[inline]
    pub fn policy(&self, if_index: u32) -> Option<u8> {
        self.policies.get(&if_index).copied()
    }

    /// An endpoint was the service side of a flow whose other port says nothing.
    #[inline]
    pub fn saw_service(&mut self, address: &Addr, proto: u8, port: u16) {
        let (slot, mark) = place(address, proto, port);
        self.services[slot] = mark;
    }

    /// Whether it was lately.
    #[inline]
    pub fn was_service(&self, address: &Addr, proto: u8, port: u16) -> bool {
        let (slot, mark) = place(address, proto, port);
        self.services[slot] == mark
    }
}

/// Slot and fingerprint of an endpoint; the key is constant, for a replay must give the same every time. Who makes two
/// endpoints collide gains a wrong guess between two known ports.
#[inline(always)]
fn place(address: &Addr, proto: u8, port: u16) -> (usize, u32) {
    let n = u128::from_be_bytes(address.0);
    let ends = (
        n as u64,
        (n >> 64) as u64,
        u32::from(proto) << 16 | u32::from(port),
    );
    let hash = FixedState::with_seed(7).hash_one(ends);
    (hash as usize % SERVICES, (hash >> 32) as u32 | 1)
}

/// Endpoints remembered for each exporter, a power of two: 4 KiB.
const SERVICES: usize = 1024;
/// Exporters remembered.
const EXPORTERS_MAX: usize = 65_536;
/// Interfaces of one exporter.
const INTERFACES_EACH_MAX: usize = 4_096;
/// sFlow version 5: from here on an output interface is no ifIndex (the exporter itself, discarded, several).
const NO_INDEX: u32 = 0x3fff_ffff;
/// Interfaces in all.
const INTERFACES_MAX: usize = 262_144;

#[cfg(test)]
mod tests {
    use super::*;

    const A: Addr = Addr::from_v4([192, 0, 2, 1]);
    const B: Addr = Addr::from_v4([192, 0, 2, 2]);

    #[test]
    fn services_are_remembered_by_exporter() {
        let mut m = Memory::new();
        m.of(&A).saw_service(&B, 6, 3306);
        let e = m.of(&A);
        assert!(e.was_service(&B, 6, 3306));
        assert!(
            !e.was_service(&B, 17, 3306)
                && !e.was_service(&A, 6, 3306)
                && !e.was_service(&B, 6, 443)
        );
        assert!(!m.of(&B).was_service(&B, 6, 3306));
    }

    #[test]
    fn interfaces_have_limits() {
        let mut m = Memory::new();
        for n in 1..=INTERFACES_EACH_MAX as u32 {
            assert!(m.put_policy(&A, n, 1));
        }
        assert!(!m.put_policy(&A, 5_000, 1) && m.is_full(&A) && !m.is_full(&B));
        assert!(m.put_policy(&A, 7, 2), "one that is there can change");
        assert_eq!(m.of(&A).policy(7), Some(2));
        m.forget(&A, 7);
        assert!(m.put_policy(&A, 5_000, 1));
        m.forget_interfaces();
        assert_eq!((m.of(&A).policy(1), m.interfaces), (None, 0));
    }

    #[test]
    fn exporters_that_find_no_room_are_remembered_nevertheless() {
        let mut m = Memory::new();
        for n in 0..EXPORTERS_MAX as u32 {
            m.of(&Addr::from_v4(n.to_be_bytes()));
        }
        assert!(m.put_policy(&Addr::from_v4([0, 0, 0, 1]), 1, 1));
        assert_eq!(m.evicted(), 0);
        m.of(&B).saw_service(&A, 6, 3306);
        assert_eq!((m.evicted(), m.interfaces), (EXPORTERS_MAX as u64, 0));
        assert!(m.of(&B).was_service(&A, 6, 3306));
    }
}
