//! What packets tell of quality, as histograms by QoS class, for metrics. The store has it by more than that.

use crate::model::{FlowBatch, Measure, Names};
use std::collections::BTreeMap;

/// Histograms of a shard since its start. Bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quality {
    classes: BTreeMap<Box<str>, [Histogram; QUALITY_MEASURES.len()]>,
}

/// How often a measure was at most each of its bounds and above the one before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// By bound; what is above the last one is in `count` alone.
    pub buckets: [u64; BOUNDS],
    /// How often it was taken.
    pub count: u64,
    /// Sum of its values.
    pub sum: u64,
}

/// A measure with its name in metrics, its bounds in its own unit, and how many of that are one of the metric's unit.
#[derive(Debug)]
pub struct QualityMeasure {
    /// Which.
    pub measure: Measure,
    /// `rtt_seconds`, ...
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// Upper bounds.
    pub bounds: [u64; BOUNDS],
    /// Units in one of the metric's.
    pub per_unit: u64,
}

impl Quality {
    /// Counts the measures of all rows of a batch that was named.
    pub fn observe(&mut self, batch: &FlowBatch, names: &Names) {
        let Some(quality) = &batch.quality else {
            return;
        };
        for i in 0..batch.len() {
            let measured = quality.measured[i];
            if QUALITY_MEASURES
                .iter()
                .all(|m| measured & m.measure.bit() == 0)
            {
                continue;
            }
            let class = names.classes.name(batch.core.qos_class[i].into());
            let of_class = self.of(class);
            for (m, histogram) in QUALITY_MEASURES.iter().zip(of_class) {
                if measured & m.measure.bit() != 0 {
                    histogram.add(m.measure.cell(quality, i), &m.bounds);
                }
            }
        }
    }

    /// Adds what another shard counted.
    pub fn merge(&mut self, other: &Quality) {
        for (class, theirs) in &other.classes {
            for (ours, theirs) in self.of(class).iter_mut().zip(theirs) {
                ours.count += theirs.count;
                ours.sum = ours.sum.saturating_add(theirs.sum);
                for (n, m) in ours.buckets.iter_mut().zip(theirs.buckets) {
                    *n += m;
                }
            }
        }
    }

    /// Classes with the histograms of [`QUALITY_MEASURES`], in their order.
    pub fn classes(&self) -> impl Iterator<Item = (&str, &[Histogram])> {
        self.classes.iter().map(|(name, all)| (&**name, &all[..]))
    }

    fn of(&mut self, class: &str) -> &mut [Histogram; QUALITY_MEASURES.len()] {
        let known = self.classes.contains_key(class) || self.classes.len() < CLASSES_MAX;
        let name = if known { class } else { OTHER };
        self.classes.entry(name.into()).or_default()
    }
}

impl Histogram {
    fn add(&mut self, value: u64, bounds: &[u64; BOUNDS]) {
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        let at = bounds.iter().position(|b| value <= *b);
        if let Some(n) = at.and_then(|at| self.buckets.get_mut(at)) {
            *n += 1;
        }
    }
}

macro_rules! times {
    ($($measure:ident $name:literal $help:literal;)*) => {
        /// What has histograms.
        pub const QUALITY_MEASURES: &[QualityMeasure] = &[
            $(QualityMeasure { measure: Measure::$measure, name: $name, help: $help, bounds: TIMES_US, per_unit: 1_000_000 },)*
            QualityMeasure {
                measure: Measure::MosX100,
                name: "opinion",
                help: "Mean opinion score of calls, 1 to 4.5, an estimate by the E-model.",
                bounds: OPINIONS,
                per_unit: 100,
            },
        ];
    };
}

times! {
    RttUs "rtt_seconds" "Round trip of a TCP handshake from the sensor to one end.";
    DataRttUs "data_rtt_seconds" "Time from data to its acknowledgement, mean of a row.";
    TtfbUs "first_byte_seconds" "Time from the first byte of a direction to the first of the answer.";
    JitterUs "jitter_seconds" "Interarrival jitter of RTP (RFC 3550).";
    DnsRttUs "dns_seconds" "Time from a DNS query to its answer.";
}

/// Bounds of a histogram.
pub const BOUNDS: usize = 14;
const TIMES_US: [u64; BOUNDS] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000,
];
const OPINIONS: [u64; BOUNDS] = [
    100, 150, 200, 250, 280, 310, 340, 360, 380, 400, 410, 420, 430, 440,
];
/// Most classes that have histograms of their own.
const CLASSES_MAX: usize = 32;
const OTHER: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_their_buckets_and_shards_add_up() {
        let (mut one, mut two) = (Quality::default(), Quality::default());
        let rtt = &QUALITY_MEASURES[0];
        for value in [100, 101] {
            one.of("telephony")[0].add(value, &rtt.bounds);
        }
        two.of("telephony")[0].add(9_000_000, &rtt.bounds);
        one.merge(&two);
        let (name, all) = one.classes().next().expect("a class");
        assert_eq!(
            (name, all[0].count, all[0].sum),
            ("telephony", 3, 9_000_201)
        );
        assert_eq!((all[0].buckets[0], all[0].buckets[1]), (1, 1));
        assert_eq!(
            all[0].buckets.iter().sum::<u64>(),
            2,
            "one is above all bounds"
        );
    }

    #[test]
    fn classes_beyond_the_limit_are_one() {
        let mut quality = Quality::default();
        (0..100).for_each(|n| quality.of(&format!("c{n}"))[0].count += 1);
        let all: Vec<_> = quality
            .classes()
            .map(|(name, h)| (name, h[0].count))
            .collect();
        assert_eq!(all.len(), CLASSES_MAX + 1);
        assert!(all.contains(&(OTHER, (100 - CLASSES_MAX) as u64)));
    }

    #[test]
    fn bounds_rise() {
        assert!(
            QUALITY_MEASURES
                .iter()
                .all(|m| m.bounds.is_sorted_by(|a, b| a < b))
        );
    }
}
