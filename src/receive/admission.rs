//! Who may send: the allow and deny lists and the limits on exporters, kept for all listeners together.
#![expect(
    clippy::disallowed_types,
    reason = "asked only for addresses that a receive thread does not know, and once a minute"
)]

use super::settings::permits;
use super::{Prefix, Settings};
use crate::model::Addr;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// What the receive threads share: the roster of exporters, the numbering of datagrams, the key by which exporters
/// are spread over shards, and the count of queued datagrams. A thread asks for the roster only when it meets an
/// exporter that it has not seen before, so no lock is taken for a datagram of a known exporter.
#[derive(Debug)]
pub struct Intake {
    roster: Mutex<Roster>,
    rules: Mutex<Arc<Rules>>,
    /// Counts the changes of `rules`: a receive thread looks at this once a burst, not at the lock.
    version: AtomicU64,
    key: RandomState,
    numbers: AtomicU64,
    queued: Arc<AtomicU64>,
    start: Instant,
}

/// Who may send, as configured. Replaced whole by a reload; each receive thread holds the version it knows.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    exporters_max: usize,
    exporters_new_per_minute_max: usize,
    exporter_idle_s: u64,
    allow: Vec<Prefix>,
    deny: Vec<Prefix>,
}

impl Rules {
    fn new(settings: &Settings) -> Self {
        Rules {
            exporters_max: settings.exporters_max,
            exporters_new_per_minute_max: settings.exporters_new_per_minute_max,
            exporter_idle_s: settings.exporter_idle_s,
            allow: settings.allow.clone(),
            deny: settings.deny.clone(),
        }
    }

    /// Whether the lists let an address send: `deny` goes before `allow`, and an empty `allow` lets everybody.
    pub fn permit(&self, source: Addr) -> bool {
        permits(&self.allow, &self.deny, source)
    }

    /// Seconds of silence after which an exporter gives up its place.
    pub fn exporter_idle_s(&self) -> u64 {
        self.exporter_idle_s
    }
}

/// Whether an address may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Admitted,
    /// The lists forbid it.
    RefusedAcl,
    /// A limit on exporters was reached.
    RefusedLimit,
}

impl Intake {
    /// Nobody known yet; the first minute starts now.
    pub fn new(settings: &Settings) -> Arc<Self> {
        Arc::new(Intake {
            roster: Mutex::default(),
            rules: Mutex::new(Arc::new(Rules::new(settings))),
            version: AtomicU64::new(0),
            key: RandomState::new(),
            numbers: AtomicU64::new(0),
            queued: Arc::default(),
            start: Instant::now(),
        })
    }

    /// Datagrams between receive and the end of their batch's decoding: the gauge of the ledger's second law.
    pub fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Exporters known now.
    pub fn exporters(&self) -> usize {
        self.lock().known.len()
    }

    /// The shard of an exporter: the same for every listener, and no sender can choose it.
    pub fn shard(&self, exporter: Addr, shards: usize) -> usize {
        (self.key.hash_one(exporter) % shards as u64) as usize
    }

    /// Reserves `n` datagram numbers and gives the first; numbers start at 1.
    pub(super) fn numbers(&self, n: u64) -> u64 {
        self.numbers.fetch_add(n, Ordering::Relaxed) + 1
    }

    pub(super) fn gauge(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.queued)
    }

    /// Seconds since start, the clock of [`Self::admit`].
    pub(super) fn seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs()
    }

    /// Replaces the lists and the limits on exporters (reload). Receive threads follow with their next burst; an exporter
    /// that may no longer send loses its place. Exporters beyond a lowered limit stay until they are silent.
    pub fn set_rules(&self, settings: &Settings) {
        let rules = Arc::new(Rules::new(settings));
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules.clone();
        let mut roster = self.lock();
        roster.known.retain(|_, k| rules.permit(k.source));
        roster.swept = false;
        self.version.fetch_add(1, Ordering::Release);
    }

    /// How often the rules were replaced.
    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(super) fn rules(&self) -> Arc<Rules> {
        self.rules
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Decides on an exporter that a receive thread does not know and that sends from `source`, by the rules that the thread
    /// holds.
    pub(super) fn admit(
        &self,
        rules: &Rules,
        (source, exporter): (Addr, Addr),
        second: u64,
    ) -> Admission {
        if !rules.permit(source) {
            return Admission::RefusedAcl;
        }
        let mut roster = self.lock();
        if roster.refresh(source, exporter, second) {
            return Admission::Admitted;
        }
        let minute = second / 60;
        if roster.minute != minute {
            roster.minute = minute;
            roster.new = 0;
            roster.swept = false;
        }
        if roster.known.len() >= rules.exporters_max && !roster.swept {
            let idle = rules.exporter_idle_s;
            roster
                .known
                .retain(|_, k| second.saturating_sub(k.seen) < idle);
            roster.swept = true;
        }
        let new_max = match minute {
            // as many as there may be, and as often as a reload makes room
            0 => usize::MAX,
            _ => rules.exporters_new_per_minute_max,
        };
        if roster.known.len() >= rules.exporters_max || roster.new >= new_max {
            return Admission::RefusedLimit;
        }
        roster.new += 1;
        let known = Known {
            source,
            seen: second,
        };
        roster.known.insert(exporter, known);
        Admission::Admitted
    }

    /// Tells which exporters were heard, from where and at which seconds; each thread does so once a minute.
    pub(super) fn refresh(&self, heard: impl Iterator<Item = (Addr, Addr, u64)>) {
        let mut roster = self.lock();
        for (source, exporter, second) in heard {
            roster.refresh(source, exporter, second);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Roster {
    known: HashMap<Addr, Known>,
    minute: u64,
    new: usize,
    swept: bool,
}

/// Where an exporter was heard from last, and when.
#[derive(Clone, Copy, Debug)]
struct Known {
    source: Addr,
    seen: u64,
}

impl Roster {
    /// Notes that an exporter was heard; false where it has no place.
    fn refresh(&mut self, source: Addr, exporter: Addr, second: u64) -> bool {
        let known = self.known.get_mut(&exporter);
        known.is_some_and(|k| {
            (k.source, k.seen) = (source, second.max(k.seen));
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Admission::*;

    fn v4(n: u32) -> Addr {
        Addr::from_v4(n.to_be_bytes())
    }

    #[test]
    fn deny_goes_before_allow() {
        let intake = Intake::new(&Settings {
            allow: vec!["10.0.0.0/8".parse().unwrap()],
            deny: vec!["10.9.0.0/16".parse().unwrap()],
            ..Settings::default()
        });
        let admit = |a| intake.admit(&intake.rules(), (Addr::from_v4(a), Addr::from_v4(a)), 0);
        assert_eq!(admit([10, 1, 1, 1]), Admitted);
        assert_eq!(admit([10, 9, 1, 1]), RefusedAcl);
        assert_eq!(admit([192, 0, 2, 1]), RefusedAcl);
        assert_eq!(intake.exporters(), 1);
        // a reload: who was let in and may not be any more gives up its place
        intake.set_rules(&Settings {
            allow: vec!["192.0.2.0/24".parse().unwrap()],
            ..Settings::default()
        });
        assert_eq!((intake.exporters(), intake.version()), (0, 1));
        assert_eq!(admit([10, 1, 1, 1]), RefusedAcl);
        assert_eq!(admit([192, 0, 2, 1]), Admitted);
    }

    #[test]
    fn new_exporters_are_limited_a_minute_and_in_all() {
        let intake = Intake::new(&Settings {
            exporters_max: 10,
            exporters_new_per_minute_max: 2,
            exporter_idle_s: 300,
            ..Settings::default()
        });
        let admit = |n: u32, second| intake.admit(&intake.rules(), (v4(n), v4(n)), second);
        // the first minute takes as many as there may be
        assert!((0..6).all(|n| admit(n, 0) == Admitted));
        assert_eq!(
            [6, 7, 8].map(|n| admit(n, 60)),
            [Admitted, Admitted, RefusedLimit]
        );
        assert_eq!(admit(0, 61), Admitted);
        assert_eq!(
            [8, 9, 10].map(|n| admit(n, 120)),
            [Admitted, Admitted, RefusedLimit]
        );
        assert_eq!(admit(10, 180), RefusedLimit);
        // 1 to 5 have been silent for 300 s, 0 has not
        intake.refresh([0, 77].map(|n| (v4(n), v4(n), 200)).into_iter());
        assert_eq!(
            [10, 11, 12].map(|n| admit(n, 310)),
            [Admitted, Admitted, RefusedLimit]
        );
        assert_eq!(intake.exporters(), 7);
    }

    #[test]
    fn numbers_are_unique_and_shards_stable() {
        let intake = Intake::new(&Settings::default());
        assert_eq!(
            (intake.numbers(3), intake.numbers(1), intake.numbers(1)),
            (1, 4, 5)
        );
        let shards: Vec<_> = (0..1000).map(|n| intake.shard(v4(n), 4)).collect();
        assert!((0..4).all(|s| shards.iter().filter(|x| **x == s).count() > 150));
        assert!((0..1000).all(|n| intake.shard(v4(n), 4) == shards[n as usize]));
    }
}
