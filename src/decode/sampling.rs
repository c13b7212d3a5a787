//! Sampling intervals: what the record, the options data, the header and the configuration say, in that order.

use super::element::Side;
use super::moves::Sides;
use super::plan::Plan;
use crate::ledger::{Outcome, Tally};
use crate::model::{FlowBatch, RowFlags, SamplingSource};
use serde::{Deserialize, Serialize};

/// The samplers of one observation domain, as learned from options data.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Samplers {
    /// The interval of the whole domain (no sampler id).
    domain: Option<u32>,
    /// (sampler or selector id, interval), sorted by id.
    samplers: Vec<(u64, u32)>,
}

impl Samplers {
    /// Learns an interval; whether it is news. Beyond `max` samplers new ones are not taken (`None`).
    pub fn learn(&mut self, sampler: Option<u64>, interval: u32, max: usize) -> Option<bool> {
        let Some(id) = sampler else {
            let news = self.domain != Some(interval);
            self.domain = Some(interval);
            return Some(news);
        };
        match self.samplers.binary_search_by_key(&id, |s| s.0) {
            Ok(i) => {
                let news = self.samplers[i].1 != interval;
                self.samplers[i].1 = interval;
                Some(news)
            }
            Err(_) if self.samplers.len() >= max => None,
            Err(i) => {
                self.samplers.insert(i, (id, interval));
                Some(true)
            }
        }
    }

    /// All of them; id 0 stands for the whole domain.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let domain = self.domain.map(|n| (0, n));
        domain.into_iter().chain(self.samplers.iter().copied())
    }

    /// What came from a file, made sound again.
    pub fn bounded(mut self, max: usize) -> Self {
        self.samplers.sort_unstable();
        self.samplers.dedup_by_key(|s| s.0);
        self.samplers.truncate(max);
        self
    }

    /// The interval of a sampler, else of the domain, else that of the only sampler where the record names none.
    fn interval(&self, sampler: Option<u64>) -> Option<u32> {
        let of = |id| {
            let i = self.samplers.binary_search_by_key(&id, |s| s.0).ok()?;
            Some(self.samplers[i].1)
        };
        match (sampler, self.samplers.as_slice()) {
            (Some(id), _) => of(id).or(self.domain),
            (None, [only]) => self.domain.or(Some(only.1)),
            (None, _) => self.domain,
        }
    }
}

/// What stands behind the record and the options.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fallback {
    /// From the datagram's header.
    pub header: Option<u32>,
    /// From the configuration.
    pub config: Option<u32>,
    /// Intervals above this are not applied.
    pub max: u32,
}

/// (interval, source, flags) as three columns take them.
type Sampled = (u32, u8, u32);

impl Fallback {
    fn judge(&self, interval: u64, source: SamplingSource) -> Sampled {
        if interval > u64::from(self.max) {
            let flags = RowFlags::SAMPLING_REFUSED | RowFlags::SAMPLING_UNKNOWN;
            return (1, SamplingSource::Unknown as u8, flags);
        }
        (interval as u32, source as u8, 0)
    }

    fn of(&self, samplers: &Samplers, sampler: Option<u64>) -> Sampled {
        let known = |n: Option<u32>| n.filter(|n| *n > 0).map(u64::from);
        if let Some(n) = known(samplers.interval(sampler)) {
            self.judge(n, SamplingSource::Options)
        } else if let Some(n) = known(self.header) {
            self.judge(n, SamplingSource::Header)
        } else if let Some(n) = known(self.config) {
            self.judge(n, SamplingSource::Config)
        } else {
            (1, SamplingSource::Unknown as u8, RowFlags::SAMPLING_UNKNOWN)
        }
    }
}

/// Writes interval, source and flags of the `n` rows to come; `always`: flags of every row.
pub(super) fn sample(
    (plan, always): (&Plan, u32),
    (sides, n): (&Sides, usize),
    samplers: &Samplers,
    fallback: &Fallback,
    out: &mut FlowBatch,
    tally: &mut Tally,
) {
    let ids = sides.get(Side::SamplerId);
    let alone = ids.len() == n && !says_interval(sides);
    if !plan.sampled || alone && ids.iter().all(|id| *id == ids[0]) {
        // the common case: one sampler for all
        let id = if plan.sampled { Some(ids[0]) } else { None };
        let (interval, source, flags) = fallback.of(samplers, id);
        let c = &mut out.core;
        c.sampling_interval.extend(std::iter::repeat_n(interval, n));
        c.sampling_source.extend(std::iter::repeat_n(source, n));
        c.flags.extend(std::iter::repeat_n(always | flags, n));
        return count(flags, n as u64, tally);
    }
    for i in 0..n {
        let own = record_interval(sides, i);
        let (interval, source, flags) = if own > 0 {
            fallback.judge(own, SamplingSource::Record)
        } else {
            fallback.of(samplers, ids.get(i).copied())
        };
        let c = &mut out.core;
        c.sampling_interval.push(interval);
        c.sampling_source.push(source);
        c.flags.push(always | flags);
        count(flags, 1, tally);
    }
}

fn count(flags: u32, n: u64, tally: &mut Tally) {
    if flags & RowFlags::SAMPLING_REFUSED != 0 {
        tally.add(Outcome::SamplingRefused, n);
    } else if flags & RowFlags::SAMPLING_UNKNOWN != 0 {
        tally.add(Outcome::SamplingUnknown, n);
    }
}

fn says_interval(sides: &Sides) -> bool {
    [
        Side::SamplingInterval,
        Side::RandomInterval,
        Side::PacketInterval,
        Side::SamplingSize,
    ]
    .iter()
    .any(|s| !sides.get(*s).is_empty())
}

fn record_interval(sides: &Sides, i: usize) -> u64 {
    interval(|side| sides.get(side).get(i).copied())
}

/// 1 in N from the elements of a record (34, 50, 305 with 306, 309 with 310); 0 where they do not tell.
///
/// 305 packets of 305 + 306 are taken (RFC 5477 section 8.2); an exporter that sends 305 alone means 1 in 305.
pub(super) fn interval(value: impl Fn(Side) -> Option<u64>) -> u64 {
    let ratio = |all: u64, taken: u64| all.saturating_add(taken / 2) / taken;
    let (size, population) = (value(Side::SamplingSize), value(Side::SamplingPopulation));
    let (packets, space) = (value(Side::PacketInterval), value(Side::PacketSpace));
    let plain = value(Side::SamplingInterval).unwrap_or(0);
    let random = value(Side::RandomInterval).unwrap_or(0);
    match (size, population, packets, space) {
        _ if plain > 0 => plain,
        _ if random > 0 => random,
        (Some(size @ 1..), Some(population @ 1..), _, _) => ratio(population, size).max(1),
        (_, _, Some(packets @ 1..), Some(space)) => {
            ratio(packets.saturating_add(space), packets).max(1)
        }
        (_, _, Some(packets), None) => packets,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[(Side, u64)]) -> u64 {
        interval(|side| values.iter().find(|v| v.0 == side).map(|v| v.1))
    }

    #[test]
    fn every_way_to_say_one_in_n() {
        use Side as S;
        assert_eq!(of(&[(S::SamplingInterval, 100)]), 100);
        assert_eq!(of(&[(S::SamplingInterval, 0), (S::RandomInterval, 30)]), 30);
        assert_eq!(of(&[(S::PacketInterval, 1), (S::PacketSpace, 999)]), 1000);
        assert_eq!(of(&[(S::PacketInterval, 10), (S::PacketSpace, 990)]), 100);
        assert_eq!(of(&[(S::PacketInterval, 512)]), 512);
        assert_eq!(
            of(&[(S::SamplingSize, 2), (S::SamplingPopulation, 4096)]),
            2048
        );
        assert_eq!(of(&[(S::SamplingSize, 0), (S::SamplingPopulation, 5)]), 0);
        assert_eq!(of(&[]), 0);
    }

    #[test]
    fn the_order_of_sources() {
        let mut samplers = Samplers::default();
        let fallback = Fallback {
            header: Some(10),
            config: Some(20),
            max: 1000,
        };
        let source = |s: &Samplers, id| {
            let (n, source, _) = fallback.of(s, id);
            (n, SamplingSource::from_number(source))
        };
        assert_eq!(source(&samplers, None), (10, SamplingSource::Header));
        assert_eq!(samplers.learn(Some(7), 300, 4), Some(true));
        assert_eq!(samplers.learn(Some(7), 300, 4), Some(false));
        assert_eq!(source(&samplers, None), (300, SamplingSource::Options));
        assert_eq!(source(&samplers, Some(8)), (10, SamplingSource::Header));
        assert_eq!(samplers.learn(None, 5000, 4), Some(true));
        assert_eq!(source(&samplers, Some(7)), (300, SamplingSource::Options));
        // above the maximum: not applied
        assert_eq!(source(&samplers, Some(8)), (1, SamplingSource::Unknown));
        assert_eq!(samplers.learn(Some(1), 2, 1), None);
    }
}
