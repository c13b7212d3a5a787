//! Packets of flows, and which of them a sampling exporter sees.

use super::{Flow, Random};
use std::collections::BTreeMap;

/// Layer 3 bytes that really passed, by minute (counted from 1970, by a right clock), application and DSCP: what a collector estimates where an
/// exporter samples.
pub type Passed = BTreeMap<(i64, &'static str, u8), u64>;

/// The packets of a flow: spread evenly over its life, 7, 4 and 1 of 12 of three lengths whose mean is the flow's.
#[derive(Clone, Debug)]
pub(super) struct Packets {
    count: u64,
    start_ms: i64,
    life_ms: u64,
    lengths: [u64; CYCLE],
    /// Bytes of the first packets of a cycle.
    sums: [u64; CYCLE + 1],
}

impl Packets {
    /// Those of a flow as it passed; none is longer than 1500 bytes, nor shorter than `least`.
    pub fn new(flow: &Flow, least: u64, random: &mut Random) -> Packets {
        let mean = flow.bytes / flow.packets.max(1);
        let of_mean = |percent: u64| (mean * percent / 100).clamp(least, 1_500.max(mean));
        let (middle, large) = (of_mean(169), of_mean(441));
        let small = (12 * mean).saturating_sub(4 * middle + large) / 7;
        let mut lengths = [small.max(least); CYCLE];
        (lengths[2], lengths[5], lengths[8], lengths[11]) = (middle, middle, middle, middle);
        lengths[4] = large;
        lengths.rotate_left(random.below(CYCLE as u64) as usize);
        let mut sums = [0; CYCLE + 1];
        for n in 0..CYCLE {
            sums[n + 1] = sums[n] + lengths[n];
        }
        Packets {
            count: flow.packets,
            start_ms: flow.start_ms,
            life_ms: flow.end_ms.saturating_sub(flow.start_ms).max(0) as u64,
            lengths,
            sums,
        }
    }

    /// Adds what passed to its minutes.
    pub fn pass(&self, flow: &Flow, passed: &mut Passed) {
        let last = (self.start_ms + self.life_ms as i64).div_euclid(MINUTE_MS);
        let mut before = 0;
        for minute in self.start_ms.div_euclid(MINUTE_MS)..=last {
            let all = if minute == last {
                self.first_bytes(self.count)
            } else {
                self.first_bytes(self.count_before((minute + 1) * MINUTE_MS))
            };
            if all > before {
                let key = (minute, flow.service.name, flow.dscp());
                *passed.entry(key).or_default() += all - before;
            }
            before = all;
        }
    }

    /// Draws 1 in `interval` of them, each by chance, and calls `see(n, at_ms, bytes)` in order.
    pub fn sample(&self, interval: u32, random: &mut Random, mut see: impl FnMut(u64, i64, u64)) {
        let missed = (1.0 - 1.0 / f64::from(interval.max(2))).ln();
        let mut at = 0u64;
        loop {
            // how many are missed until the next one
            at = at.saturating_add((random.unit().ln() / missed) as u64);
            if at >= self.count {
                return;
            }
            see(at, self.at_ms(at), self.lengths[at as usize % CYCLE]);
            at += 1;
        }
    }

    /// TCP flags of the packet `n` of a flow: its first one opens, or answers that, its last one ends it, and the others go on.
    pub fn flags(&self, flow: &Flow, n: u64) -> u8 {
        let all = flow.tcp_flags;
        let on = all & !(SYN | FIN | RST);
        match n {
            0 if all & SYN != 0 && flow.source_port < flow.destination_port => SYN | ACK,
            0 if all & SYN != 0 => SYN,
            n if n + 1 == self.count => on | all & (FIN | RST),
            _ => on,
        }
    }

    fn at_ms(&self, n: u64) -> i64 {
        self.start_ms + (self.life_ms * n / self.gaps()) as i64
    }

    /// How many come before a time within the life.
    fn count_before(&self, ms: i64) -> u64 {
        let life = (ms - self.start_ms).max(0) as u64;
        match self.life_ms {
            0 => 0,
            whole => (life * self.gaps()).div_ceil(whole).min(self.count),
        }
    }

    fn gaps(&self) -> u64 {
        self.count.saturating_sub(1).max(1)
    }

    fn first_bytes(&self, n: u64) -> u64 {
        let (cycles, rest) = (n / CYCLE as u64, n as usize % CYCLE);
        cycles * self.sums[CYCLE] + self.sums[rest]
    }
}

/// Packets after which the lengths come again.
const CYCLE: usize = 12;
const MINUTE_MS: i64 = 60_000;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

#[cfg(test)]
mod tests {
    use super::super::traffic::{Site, draw};
    use super::*;

    #[test]
    fn what_passed_is_what_every_packet_would_have_said() {
        let mut random = Random::new(3);
        let site = Site {
            access: (1, 2),
            uplinks: (3, 2),
        };
        let (mut packets, mut seen, mut squares) = (0, 0, 0.0);
        for n in 0..3_000 {
            let flow = draw(&mut random, &site, 20, 1_700_000_000_000 + n * 977);
            let all = Packets::new(&flow, 60, &mut random);
            let (mut passed, mut want) = (Passed::new(), Passed::new());
            all.pass(&flow, &mut passed);
            for n in 0..all.count {
                let minute = all.at_ms(n).div_euclid(MINUTE_MS);
                let key = (minute, flow.service.name, flow.dscp());
                *want.entry(key).or_default() += all.lengths[n as usize % CYCLE];
            }
            assert_eq!(passed, want, "{flow:?}");
            assert!(
                all.lengths.iter().all(|l| (60..=1_500).contains(l)),
                "{flow:?}"
            );
            packets += all.count;
            all.sample(50, &mut random, |_, at_ms, bytes| {
                assert!((flow.start_ms..=flow.end_ms).contains(&at_ms) && bytes >= 60);
                seen += 1;
            });
            let mean = all.sums[CYCLE] as f64 / CYCLE as f64;
            squares += all
                .lengths
                .iter()
                .map(|l| (*l as f64 / mean - 1.0).powi(2))
                .sum::<f64>();
        }
        let expected = packets as f64 / 50.0;
        assert!(
            (f64::from(seen) - expected).abs() < 4.0 * expected.sqrt(),
            "{seen} {expected}"
        );
        assert!(
            squares > 0.5 * 3_000.0 * CYCLE as f64,
            "the lengths differ: {squares}"
        );
    }
}
