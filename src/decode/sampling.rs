//! Sampling intervals: what the overrides of the configuration, the record, the options data, the header and the configuration
//! say, in that order.

use super::element::Side;
use super::moves::Sides;
use super::overrides::OfExporter;
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
    /// (what the interval holds for, interval), sorted.
    #[serde(default)]
    scoped: Vec<(Scope, u32)>,
}

/// What an interval holds for, when it is less than the domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Scope {
    /// Flows through this interface.
    Interface(u32),
    /// The same where they are metered in this direction (element 61: 0 ingress, 1 egress).
    Side(u32, u8),
    /// Records of this template.
    Template(u16),
    /// A part of the exporter that records do not name: its kind (line card, cache, port ...) and number.
    Part(u16, u64),
}

/// What a record says of its sampling.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    sampler: Option<u64>,
    template: u16,
    /// The interface at which it was metered first, then the other one; each with the direction of the record
    /// (element 61: 0 ingress, 1 egress).
    interfaces: Option<[(u32, u8); 2]>,
}

impl Samplers {
    /// Learns an interval; whether it is news. Without `room` new samplers are not taken (`None`).
    pub fn learn(&mut self, sampler: Option<u64>, interval: u32, room: bool) -> Option<bool> {
        let Some(id) = sampler else {
            let news = self.domain != Some(interval);
            self.domain = Some(interval);
            return Some(news);
        };
        note(&mut self.samplers, id, interval, room)
    }

    /// The same for an interval of less than the domain.
    pub fn learn_scoped(&mut self, scope: Scope, interval: u32, room: bool) -> Option<bool> {
        note(&mut self.scoped, scope, interval, room)
    }

    /// How many intervals there are beside that of the domain.
    pub fn len(&self) -> usize {
        self.samplers.len() + self.scoped.len()
    }

    /// All of them; id 0 stands for the whole domain.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let domain = self.domain.map(|n| (0, n));
        domain.into_iter().chain(self.samplers.iter().copied())
    }

    /// What came from a file, made sound again, with at most `max` intervals.
    pub fn bounded(mut self, max: usize) -> Self {
        self.samplers.sort_unstable();
        self.samplers.dedup_by_key(|s| s.0);
        self.samplers.truncate(max);
        self.scoped.sort_unstable();
        self.scoped.dedup_by_key(|s| s.0);
        self.scoped.truncate(max - self.samplers.len());
        self
    }

    /// Whether rows of one template may differ by their interfaces.
    fn by_interface(&self) -> bool {
        matches!(
            self.scoped.first(),
            Some((Scope::Interface(_) | Scope::Side(..), _))
        )
    }

    /// The interval of the sampler that the record names, else of its interface, of its template, of the domain, of the
    /// parts of the exporter if all have the same, of the only sampler where the record names none.
    fn interval(&self, asked: &Asked) -> Option<u32> {
        let sampler = asked.sampler.and_then(|id| of(&self.samplers, id));
        let only = match (asked.sampler, self.samplers.as_slice()) {
            (None, [only]) => Some(only.1),
            _ => None,
        };
        if self.scoped.is_empty() {
            return sampler.or(self.domain).or(only);
        }
        let mut interfaces = asked.interfaces.into_iter().flatten();
        sampler
            .or_else(|| interfaces.find_map(|i| self.at(i)))
            .or_else(|| of(&self.scoped, Scope::Template(asked.template)))
            .or(self.domain)
            .or_else(|| self.parts())
            .or(only)
    }

    /// The interval of an interface, that of the direction first.
    fn at(&self, (interface, direction): (u32, u8)) -> Option<u32> {
        of(&self.scoped, Scope::Side(interface, direction))
            .or_else(|| of(&self.scoped, Scope::Interface(interface)))
    }

    /// The interval of the parts; `None` where they differ, for a record does not say which it is from.
    fn parts(&self) -> Option<u32> {
        let parts = self.scoped.iter().rev();
        let mut parts = parts.take_while(|s| matches!(s.0, Scope::Part(..)));
        let (_, first) = parts.next()?;
        parts.all(|(_, n)| n == first).then_some(*first)
    }
}

fn note<K: Ord + Copy>(
    known: &mut Vec<(K, u32)>,
    key: K,
    interval: u32,
    room: bool,
) -> Option<bool> {
    match known.binary_search_by_key(&key, |s| s.0) {
        Ok(i) => {
            let news = known[i].1 != interval;
            known[i].1 = interval;
            Some(news)
        }
        Err(_) if !room => None,
        Err(i) => {
            known.insert(i, (key, interval));
            Some(true)
        }
    }
}

fn of<K: Ord + Copy>(known: &[(K, u32)], key: K) -> Option<u32> {
    let i = known.binary_search_by_key(&key, |s| s.0).ok()?;
    Some(known[i].1)
}

/// What stands before and behind the record and the options.
#[derive(Clone, Debug, Default)]
pub(super) struct Fallback {
    /// From the configuration, before everything else.
    pub overrides: Option<OfExporter>,
    /// From the datagram's header.
    pub header: Option<u32>,
    /// From the configuration.
    pub config: Option<u32>,
    /// Intervals above this are not applied.
    pub max: u32,
}

/// Bytes of what is known of a sampler, at most.
pub(super) const ENTRY_BYTES: usize = size_of::<(Scope, u32)>();

/// Flags of a row whose interval was refused: none is known, then.
pub(super) const REFUSED: u32 = RowFlags::SAMPLING_REFUSED | RowFlags::SAMPLING_UNKNOWN;

/// (interval, source, flags) as three columns take them.
type Sampled = (u32, u8, u32);

impl Fallback {
    fn judge(&self, interval: u64, source: SamplingSource) -> Sampled {
        if interval > u64::from(self.max) {
            return (1, SamplingSource::Unknown as u8, REFUSED);
        }
        (interval as u32, source as u8, 0)
    }

    /// What the configuration puts in place of everything that is told.
    fn overridden(&self, asked: &Asked) -> Option<Sampled> {
        let overrides = self.overrides.as_ref()?;
        let interface = asked.interfaces.map(|i| i[0].0);
        let n = overrides.interval(interface, asked.sampler)?;
        Some(self.judge(n.into(), SamplingSource::Override))
    }

    fn of(&self, samplers: &Samplers, asked: &Asked) -> Sampled {
        let known = |n: Option<u32>| n.filter(|n| *n > 0).map(u64::from);
        if let Some(n) = known(samplers.interval(asked)) {
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
    (plan, template, always): (&Plan, u16, u32),
    (sides, n): (&Sides, usize),
    samplers: &Samplers,
    fallback: &Fallback,
    out: &mut FlowBatch,
    tally: &mut Tally,
) {
    let ids = sides.get(Side::SamplerId);
    let alone = ids.len() == n && !says_interval(sides);
    let one = !plan.sampled || alone && ids.iter().all(|id| *id == ids[0]);
    if one && !samplers.by_interface() && fallback.overrides.is_none() {
        // the common case: one sampler for all
        let asked = Asked {
            sampler: ids.first().copied().filter(|_| plan.sampled),
            template,
            interfaces: None,
        };
        let (interval, source, flags) = fallback.of(samplers, &asked);
        let c = &mut out.core;
        c.sampling_interval.extend(std::iter::repeat_n(interval, n));
        c.sampling_source.extend(std::iter::repeat_n(source, n));
        c.flags.extend(std::iter::repeat_n(always | flags, n));
        return count(flags, n as u64, tally);
    }
    let first = out.len();
    for i in 0..n {
        let own = record_interval(sides, i);
        let asked = Asked {
            sampler: ids.get(i).copied(),
            template,
            interfaces: Some(interfaces(out, first + i)),
        };
        let (interval, source, flags) = match fallback.overridden(&asked) {
            Some(sampled) => sampled,
            None if own > 0 => fallback.judge(own, SamplingSource::Record),
            None => fallback.of(samplers, &asked),
        };
        let c = &mut out.core;
        c.sampling_interval.push(interval);
        c.sampling_source.push(source);
        c.flags.push(always | flags);
        count(flags, 1, tally);
    }
}

/// The interfaces of a row that is being written; a column that no field has filled is still short.
fn interfaces(out: &FlowBatch, row: usize) -> [(u32, u8); 2] {
    let at = |column: &[u32]| column.get(row).copied().unwrap_or(0);
    let (into, out_of) = (at(&out.core.in_if), at(&out.core.out_if));
    match out.core.direction.get(row) {
        Some(1) => [(out_of, 1), (into, 1)],
        _ => [(into, 0), (out_of, 0)],
    }
}

/// Counts what the flags of `n` rows say of their sampling.
pub(super) fn count(flags: u32, n: u64, tally: &mut Tally) {
    if flags & RowFlags::SAMPLING_REFUSED != 0 {
        tally.add(Outcome::SamplingRefused, n);
    }
    if flags & RowFlags::SAMPLING_UNKNOWN != 0 {
        tally.add(Outcome::SamplingUnknown, n);
    }
}

fn says_interval(sides: &Sides) -> bool {
    [
        Side::SamplingInterval,
        Side::RandomInterval,
        Side::PacketInterval,
        Side::SamplingSize,
        Side::OneIn,
    ]
    .iter()
    .any(|s| !sides.get(*s).is_empty())
}

fn record_interval(sides: &Sides, i: usize) -> u64 {
    interval(|side| sides.get(side).get(i).copied())
}

/// 1 in N from the elements of a record (34, 50, 305 with 306, 309 with 310, 311); 0 where they do not tell.
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
        (_, _, Some(packets @ 1..), None) => packets,
        _ => value(Side::OneIn).unwrap_or(0),
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
        assert_eq!(of(&[(S::PacketInterval, 0), (S::OneIn, 128)]), 128);
        assert_eq!(of(&[]), 0);
    }

    #[test]
    fn the_order_of_sources() {
        let mut samplers = Samplers::default();
        let fallback = Fallback {
            header: Some(10),
            config: Some(20),
            max: 1000,
            ..Fallback::default()
        };
        let source = |s: &Samplers, sampler| {
            let asked = Asked {
                sampler,
                ..Asked::default()
            };
            let (n, source, _) = fallback.of(s, &asked);
            (n, SamplingSource::from_number(source))
        };
        assert_eq!(source(&samplers, None), (10, SamplingSource::Header));
        assert_eq!(samplers.learn(Some(7), 300, true), Some(true));
        assert_eq!(samplers.learn(Some(7), 300, true), Some(false));
        assert_eq!(source(&samplers, None), (300, SamplingSource::Options));
        assert_eq!(source(&samplers, Some(8)), (10, SamplingSource::Header));
        assert_eq!(samplers.learn(None, 5000, true), Some(true));
        assert_eq!(source(&samplers, Some(7)), (300, SamplingSource::Options));
        // above the maximum: not applied
        assert_eq!(source(&samplers, Some(8)), (1, SamplingSource::Unknown));
        assert_eq!(samplers.learn(Some(1), 2, false), None);
    }

    #[test]
    fn the_narrower_scope_wins() {
        let mut s = Samplers::default();
        let ask = |s: &Samplers, sampler, template, [a, b]: [u32; 2]| {
            s.interval(&Asked {
                sampler,
                template,
                interfaces: Some([(a, 0), (b, 0)]),
            })
        };
        s.learn_scoped(Scope::Part(3, 1), 7, true);
        assert_eq!(ask(&s, None, 256, [1, 2]), Some(7));
        // another line card differs: nobody knows which one a record is from
        s.learn_scoped(Scope::Part(3, 2), 8, true);
        assert_eq!(ask(&s, None, 256, [1, 2]), None);
        s.learn(None, 10, true);
        s.learn_scoped(Scope::Template(256), 20, true);
        s.learn_scoped(Scope::Interface(2), 30, true);
        assert_eq!(ask(&s, None, 257, [1, 3]), Some(10));
        assert_eq!(ask(&s, None, 256, [1, 3]), Some(20));
        assert_eq!(ask(&s, None, 256, [1, 2]), Some(30));
        s.learn_scoped(Scope::Interface(1), 40, true);
        assert_eq!(ask(&s, None, 256, [1, 2]), Some(40));
        s.learn(Some(5), 50, true);
        assert_eq!(ask(&s, Some(5), 256, [1, 2]), Some(50));
        assert_eq!(ask(&s, Some(6), 256, [1, 2]), Some(40));
        assert_eq!(s.learn_scoped(Scope::Interface(3), 60, false), None);
        // of one direction alone
        s.learn_scoped(Scope::Side(1, 0), 70, true);
        assert_eq!(ask(&s, None, 256, [1, 2]), Some(70));
        s.learn_scoped(Scope::Side(4, 1), 80, true);
        assert_eq!(ask(&s, None, 258, [4, 9]), Some(10));
        let egress = Asked {
            template: 258,
            interfaces: Some([(4, 1), (9, 1)]),
            ..Asked::default()
        };
        assert_eq!(s.interval(&egress), Some(80));
        let bounded = s.clone().bounded(2);
        assert_eq!((bounded.samplers.len(), bounded.scoped.len()), (1, 1));
    }
}
