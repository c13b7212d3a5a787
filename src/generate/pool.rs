//! Datagrams made beforehand and sent again and again, with sequence numbers and times that go on.

use super::{Export, Exporter, Flow, Profile, Stamp, Truth};
use std::collections::BTreeMap;

/// The datagrams of one exporter.
#[derive(Debug)]
pub struct Pool {
    profile: Profile,
    clock_ahead_ms: i64,
    bytes: Vec<u8>,
    items: Vec<Item>,
    stamps: Vec<(Stamp, u32)>,
    flows: Vec<Flow>,
    sequence: u32,
    next: usize,
}

/// One datagram of a pool.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub start: usize,
    pub length: u16,
    units: u32,
    /// Flow records in it.
    pub flows: u32,
    first_flow: usize,
    first_stamp: usize,
    stamps: u32,
    /// The moment that its times show.
    at_ms: i64,
    /// How often it was sent.
    pub sent: u64,
}

impl Pool {
    /// The next `datagrams` datagrams of an exporter (at least 1). With `by_length` data are sorted by length behind
    /// templates and options: runs of equal length can be sent as one. Samples of sFlow stay in their order.
    pub fn new(mut exporter: Exporter, datagrams: usize, now_ms: i64, by_length: bool) -> Self {
        let mut exports = Vec::with_capacity(datagrams);
        let mut export = Export::default();
        while exports.len() < datagrams.max(1) {
            exporter.next(now_ms, &mut export);
            exports.push(export.clone());
        }
        if by_length && exporter.profile != Profile::SflowSwitch {
            exports.sort_by_key(|e| (!e.templates && !e.flows.is_empty(), e.payload.len()));
        }
        let mut pool = Pool {
            profile: exporter.profile,
            clock_ahead_ms: exporter.habits.clock_ahead_ms,
            bytes: Vec::new(),
            items: Vec::with_capacity(datagrams),
            stamps: Vec::new(),
            flows: Vec::new(),
            sequence: 0,
            next: 0,
        };
        let rounds = Rounds::new(&exports, exporter.habits.sampling.max(1));
        for export in exports {
            pool.push(export, now_ms, &rounds);
        }
        pool
    }

    /// Makes the next datagram ready to be sent at `now_ms` and gives its place among the items.
    pub(super) fn prepare(&mut self, now_ms: i64) -> usize {
        let at = self.next;
        self.next = (at + 1) % self.items.len();
        let item = &mut self.items[at];
        let payload = &mut self.bytes[item.start..item.start + usize::from(item.length)];
        let grown = now_ms - item.at_ms;
        for (stamp, per_round) in
            &self.stamps[item.first_stamp..item.first_stamp + item.stamps as usize]
        {
            match *stamp {
                Stamp::Clock32(at) => grow32(payload, at, grown as u32),
                Stamp::Clock64(at) => grow64(payload, at, grown as u64),
                Stamp::SampleSequence(at) | Stamp::SamplePool(at) | Stamp::CounterSequence(at)
                    if item.sent > 0 =>
                {
                    grow32(payload, at, *per_round);
                }
                _ => {}
            }
        }
        item.at_ms = now_ms;
        item.sent += 1;
        let (sequence_at, seconds_at) = match self.profile {
            Profile::EdgeSwitch | Profile::LoadV5 => (16, Some(8)),
            Profile::Router | Profile::LoadV9 => (12, Some(8)),
            Profile::Gateway | Profile::LoadIpfix => (8, Some(4)),
            Profile::SflowSwitch => (if payload[7] == 1 { 16 } else { 28 }, None),
        };
        set32(payload, sequence_at, self.sequence);
        let shown = now_ms + self.clock_ahead_ms;
        if let Some(at) = seconds_at {
            set32(payload, at, shown.div_euclid(1000) as u32);
        }
        if matches!(self.profile, Profile::EdgeSwitch | Profile::LoadV5) {
            set32(payload, 12, shown.rem_euclid(1000) as u32 * 1_000_000);
        }
        self.sequence = self.sequence.wrapping_add(item.units);
        at
    }

    /// The payload of an item.
    pub(super) fn payload(&self, item: usize) -> &[u8] {
        let item = &self.items[item];
        &self.bytes[item.start..item.start + usize::from(item.length)]
    }

    /// Length of the datagram that [`Self::prepare`] takes next.
    pub(super) fn next_length(&self) -> u16 {
        self.items[self.next].length
    }

    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// Adds what was sent so far.
    pub fn add_truth(&self, truth: &mut Truth) {
        for item in &self.items {
            for flow in &self.flows[item.first_flow..item.first_flow + item.flows as usize] {
                truth.add(flow, item.sent);
            }
        }
    }

    fn push(&mut self, export: Export, now_ms: i64, rounds: &Rounds) {
        self.items.push(Item {
            start: self.bytes.len(),
            length: export.payload.len() as u16,
            units: export.units,
            flows: export.flows.len() as u32,
            first_flow: self.flows.len(),
            first_stamp: self.stamps.len(),
            stamps: export.stamps.len() as u32,
            at_ms: now_ms,
            sent: 0,
        });
        let growth = export
            .stamps
            .iter()
            .map(|s| (*s, rounds.growth(*s, &export.payload)));
        self.stamps.extend(growth);
        self.bytes.extend_from_slice(&export.payload);
        self.flows.extend(export.flows);
    }
}

/// How often each sFlow data source was sampled and counted in one round of a pool.
struct Rounds {
    samples: BTreeMap<u32, u32>,
    counters: BTreeMap<u32, u32>,
    sampling: u32,
}

impl Rounds {
    fn new(exports: &[Export], sampling: u32) -> Self {
        let mut rounds = Rounds {
            samples: BTreeMap::new(),
            counters: BTreeMap::new(),
            sampling,
        };
        for (export, stamp) in exports
            .iter()
            .flat_map(|e| e.stamps.iter().map(move |s| (e, *s)))
        {
            match stamp {
                Stamp::SampleSequence(at) => {
                    *rounds
                        .samples
                        .entry(get32(&export.payload, at + 4))
                        .or_default() += 1
                }
                Stamp::CounterSequence(at) => {
                    *rounds
                        .counters
                        .entry(get32(&export.payload, at + 4))
                        .or_default() += 1
                }
                _ => {}
            }
        }
        rounds
    }

    /// What a counter grows by from one round to the next. The data source stands behind a sequence number, and two
    /// numbers before a sample pool.
    fn growth(&self, stamp: Stamp, payload: &[u8]) -> u32 {
        let samples = |at| self.samples.get(&get32(payload, at)).copied().unwrap_or(0);
        match stamp {
            Stamp::SampleSequence(at) => samples(at + 4),
            Stamp::SamplePool(at) => samples(at - 8).wrapping_mul(self.sampling),
            Stamp::CounterSequence(at) => self
                .counters
                .get(&get32(payload, at + 4))
                .copied()
                .unwrap_or(0),
            Stamp::Clock32(_) | Stamp::Clock64(_) => 0,
        }
    }
}

#[inline]
fn get32(payload: &[u8], at: u16) -> u32 {
    let at = usize::from(at);
    u32::from_be_bytes([
        payload[at],
        payload[at + 1],
        payload[at + 2],
        payload[at + 3],
    ])
}

#[inline]
fn set32(payload: &mut [u8], at: usize, value: u32) {
    payload[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

#[inline]
fn grow32(payload: &mut [u8], at: u16, by: u32) {
    let value = get32(payload, at).wrapping_add(by);
    set32(payload, usize::from(at), value);
}

#[inline]
fn grow64(payload: &mut [u8], at: u16, by: u64) {
    let at = usize::from(at);
    let mut value = [0; 8];
    value.copy_from_slice(&payload[at..at + 8]);
    payload[at..at + 8].copy_from_slice(&u64::from_be_bytes(value).wrapping_add(by).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Habits;

    /// Every kind of number that must go on does, over rounds of the pool.
    #[test]
    fn sequences_and_clocks_go_on() {
        let start = 1_767_225_600_000;
        for profile in [
            Profile::EdgeSwitch,
            Profile::Router,
            Profile::Gateway,
            Profile::SflowSwitch,
            Profile::LoadIpfix,
        ] {
            let exporter = || Exporter::new(profile, Habits::default(), 1, 7, start);
            let mut pool = Pool::new(exporter(), 40, start, false);
            let mut live = exporter();
            let mut export = Export::default();
            let mut ahead = 0;
            for n in 0..120 {
                let now = start + 10 * n;
                let item = pool.prepare(now);
                live.next(now, &mut export);
                let sequence = |p: &[u8]| match profile {
                    Profile::EdgeSwitch => get32(p, 16),
                    Profile::Router => get32(p, 12),
                    Profile::SflowSwitch => get32(p, 16),
                    _ => get32(p, 8),
                };
                if n < 40 {
                    assert_eq!(
                        sequence(pool.payload(item)),
                        sequence(&export.payload),
                        "{profile:?} {n}"
                    );
                    ahead = n;
                }
                if profile == Profile::SflowSwitch {
                    // the uplink's sample sequence has no gap, and the pool keeps pace
                    let stamps = &pool.items[item];
                    let first = pool.stamps[stamps.first_stamp..][..stamps.stamps as usize]
                        .iter()
                        .find_map(|(s, _)| {
                            if let Stamp::SampleSequence(at) = s {
                                Some(*at)
                            } else {
                                None
                            }
                        });
                    let at = first.unwrap();
                    assert_eq!(
                        get32(pool.payload(item), at),
                        get32(pool.payload(item), at + 12)
                    );
                }
            }
            assert_eq!(ahead, 39);
            let mut truth = Truth::default();
            pool.add_truth(&mut truth);
            let flows: u64 = pool.items.iter().map(|i| u64::from(i.flows)).sum();
            assert_eq!(truth.total.flows, 3 * flows);
        }
    }
}
