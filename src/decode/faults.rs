//! Faults for a log, with room for every exporter: who sends many keeps nobody else's out.

use super::Fault;
use crate::model::Addr;
use std::collections::BTreeMap;

/// Faults between two readings: the first few of each exporter, and how many there were in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    max: usize,
    kept: usize,
    exporters: BTreeMap<Addr, Share>,
    unnamed: u64,
}

/// The faults of one exporter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The first of them, oldest first, at most 4.
    pub first: Vec<Fault>,
    /// How many there were, those of `first` included.
    pub all: u64,
}

impl Faults {
    /// Room for `max` faults and as many exporters.
    pub fn new(max: usize) -> Faults {
        Faults {
            max,
            ..Faults::default()
        }
    }

    /// Takes a fault in. Where there is no room, the exporter that fills most of it gives some away.
    pub fn note(&mut self, fault: Fault) {
        if !self.knows(&fault.exporter) {
            self.unnamed += 1;
            return;
        }
        self.exporters.entry(fault.exporter).or_default().all += 1;
        self.keep(fault);
    }

    /// Takes in what `later` has, within the room of the larger one.
    pub fn merge(&mut self, later: Faults) {
        self.max = self.max.max(later.max);
        self.unnamed += later.unnamed;
        for (exporter, share) in later.exporters {
            if !self.knows(&exporter) {
                self.unnamed += share.all;
                continue;
            }
            self.exporters.entry(exporter).or_default().all += share.all;
            share.first.into_iter().for_each(|fault| self.keep(fault));
        }
    }

    /// The exporters with what they did wrong.
    pub fn exporters(&self) -> impl Iterator<Item = (&Addr, &Share)> {
        self.exporters.iter()
    }

    /// Faults that are kept with their place and reason.
    pub fn kept(&self) -> impl Iterator<Item = &Fault> {
        self.exporters.values().flat_map(|share| &share.first)
    }

    /// Faults of exporters that there was no room for.
    pub fn unnamed(&self) -> u64 {
        self.unnamed
    }

    /// Nothing was wrong.
    pub fn is_empty(&self) -> bool {
        self.exporters.is_empty() && self.unnamed == 0
    }

    fn knows(&self, exporter: &Addr) -> bool {
        self.exporters.len() < self.max || self.exporters.contains_key(exporter)
    }

    fn keep(&mut self, fault: Fault) {
        let own = self.exporters.get(&fault.exporter);
        let own = own.map_or(0, |share| share.first.len());
        if own >= EXPORTER_MAX {
            return;
        }
        if self.kept >= self.max {
            let most = self.exporters.values_mut().max_by_key(|s| s.first.len());
            match most {
                Some(share) if share.first.len() > own + 1 => share.first.pop(),
                _ => return,
            };
            self.kept -= 1;
        }
        self.kept += 1;
        let share = self.exporters.entry(fault.exporter).or_default();
        share.first.push(fault);
    }
}

/// Faults of one exporter that are kept between two readings.
const EXPORTER_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Reason;

    fn fault(exporter: u8, datagram: u64) -> Fault {
        Fault {
            exporter: Addr::from_v4([192, 0, 2, exporter]),
            datagram,
            offset: 0,
            reason: Reason::SetId,
        }
    }

    fn shares(faults: &Faults) -> Vec<(u8, usize, u64)> {
        let of = |(a, s): (&Addr, &Share)| (a.0[15], s.first.len(), s.all);
        faults.exporters().map(of).collect()
    }

    #[test]
    fn the_noisy_one_keeps_nobody_out() {
        let mut faults = Faults::new(4);
        (0..1_000).for_each(|n| faults.note(fault(1, n)));
        assert_eq!(shares(&faults), [(1, 4, 1_000)]);
        (0..2).for_each(|n| faults.note(fault(2, n)));
        (0..1_000).for_each(|n| faults.note(fault(1, n)));
        assert_eq!(shares(&faults), [(1, 2, 2_000), (2, 2, 2)]);
        (3..6).for_each(|n| faults.note(fault(n, 0)));
        assert_eq!(
            shares(&faults),
            [(1, 1, 2_000), (2, 1, 2), (3, 1, 1), (4, 1, 1)]
        );
        assert_eq!((faults.unnamed(), faults.kept().count()), (1, 4));
    }

    #[test]
    fn merging_is_noting_later() {
        let mut all = Faults::default();
        assert!(all.is_empty());
        for round in 0..3 {
            let mut faults = Faults::new(3);
            (0..30).for_each(|n| faults.note(fault(1, n)));
            faults.note(fault(2 + round, 0));
            all.merge(faults);
        }
        assert_eq!(shares(&all), [(1, 1, 90), (2, 1, 1), (3, 1, 1)]);
        assert_eq!(all.unnamed(), 1);
    }

    #[test]
    fn room_for_none_keeps_none() {
        let mut faults = Faults::new(0);
        faults.note(fault(1, 1));
        assert_eq!((faults.kept().count(), faults.unnamed()), (0, 1));
    }
}
