//! What becomes of the alerts of a shard: a line each, detections that grow, captures of their packets.

use super::CaptureShard;
use super::recent::{Kept, Ring};
use crate::detect::signature::engine::{Alert, Maker};
use crate::detect::signature::{HitCounts, Hits};
use crate::ledger::{Outcome, Tally};
use crate::model::Detection;
use crossbeam_channel::{Sender, TrySendError};
use std::collections::VecDeque;

/// Where what rules raise goes. A shard waits for none of them before its end.
#[derive(Clone, Debug)]
pub struct AlarmWays {
    /// Who writes lines; nobody where none are wanted.
    pub lines: Option<Sender<Vec<Alert>>>,
    /// Who takes detections.
    pub found: Sender<Vec<Detection>>,
    /// Who writes captures; nobody where none are wanted.
    pub captures: Option<Sender<Kept>>,
}

/// Which rules a shard goes on with.
#[derive(Clone, Debug)]
pub enum RulesChange {
    /// The same.
    AsBefore,
    /// None.
    Off,
    /// Others.
    To(Box<Maker>),
}

/// Takes the alerts of a shard.
#[derive(Debug)]
pub struct Alarm {
    hits: Hits,
    ways: AlarmWays,
    ring: Option<Ring>,
    /// Captures that nobody had room for yet.
    later: VecDeque<Kept>,
}

impl Alarm {
    /// With nothing raised; `ring` for a shard that keeps packets.
    pub fn new(hits: Hits, ways: AlarmWays, ring: Option<Ring>) -> Self {
        Alarm {
            hits,
            ways,
            ring,
            later: VecDeque::new(),
        }
    }

    /// Keeps packets from here on.
    pub(super) fn take_ring(&mut self) -> Option<Ring> {
        self.ring.take()
    }

    /// How often rules hit.
    pub(super) fn counts(&self) -> &HitCounts {
        self.hits.counts()
    }

    /// Takes what a shard raised.
    pub(super) fn take(&mut self, alerts: Vec<Alert>, shard: &mut CaptureShard, waits: bool) {
        for conflict in shard.take_conflicts() {
            let taken = self.hits.conflict(&conflict);
            let tally = shard.book().other();
            tally.add(Outcome::RuleAlertsRefused, u64::from(!taken));
        }
        for alert in alerts.iter().filter(|a| !a.is_ambiguous) {
            let taken = self.hits.take(alert);
            let tally = shard.book().other();
            tally.one(Outcome::RuleAlerts);
            if let Some((id, _)) = taken {
                shard.found().mark(alert, id);
            }
            let tally = shard.book().other();
            match taken {
                None => tally.one(Outcome::RuleAlertsRefused),
                Some((id, true)) => {
                    if let Some(ring) = shard.ring() {
                        ring.begin(id, alert.addrs, alert.ports, alert.proto);
                    }
                }
                Some((_, false)) => {}
            }
        }
        let Some(lines) = self.ways.lines.as_ref().filter(|_| !alerts.is_empty()) else {
            return;
        };
        let lost = hand(lines, alerts, waits).map_or(0, |alerts| alerts.len() as u64);
        let tally = shard.book().other();
        tally.add(Outcome::RuleAlertsUnlogged, lost);
    }

    /// Lets time pass, by the clock of the packets. `all` that has changed is told at the end of a capture.
    pub(super) fn tick(&mut self, now_ns: i64, all: bool, shard: &mut CaptureShard) {
        for demoted in shard.take_demotions() {
            tracing::warn!("rules: {demoted}");
            if !self.hits.demoted(&demoted) {
                shard.book().other().one(Outcome::RuleAlertsRefused);
            }
        }
        self.hits.tick(now_ns.div_euclid(1_000_000), all);
        let ready = self.hits.take_ready();
        if !ready.is_empty()
            && let Some(ready) = hand(&self.ways.found, ready, false)
        {
            self.hits.give_back(ready);
        }
        shard.found().forget(now_ns.div_euclid(1_000_000));
        self.captures(if all { i64::MAX } else { now_ns }, shard, false);
    }

    /// The end: everything is told.
    pub(super) fn finish(&mut self, shard: &mut CaptureShard) {
        self.hits.finish();
        let ready = self.hits.take_ready();
        if !ready.is_empty() {
            hand(&self.ways.found, ready, true);
        }
        self.captures(i64::MAX, shard, true);
    }

    fn captures(&mut self, now_ns: i64, shard: &mut CaptureShard, waits: bool) {
        let Some(ring) = shard.ring() else { return };
        ring.tick(now_ns);
        let ready = ring.take_ready();
        let Some(to) = &self.ways.captures else {
            return;
        };
        self.later.extend(ready);
        while let Some(kept) = self.later.pop_front() {
            if let Some(kept) = hand(to, kept, waits) {
                self.later.push_front(kept);
                break;
            }
        }
        let refused = self.later.len().saturating_sub(LATER_MAX);
        self.later.truncate(LATER_MAX);
        let tally: &mut Tally = shard.book().other();
        tally.add(Outcome::PcapsRefused, refused as u64);
    }
}

/// Captures that wait for room.
const LATER_MAX: usize = 256;

/// Hands something over; gives it back where nobody has room for it.
fn hand<T>(to: &Sender<T>, what: T, waits: bool) -> Option<T> {
    if waits {
        return to.send(what).err().map(|e| e.0);
    }
    match to.try_send(what) {
        Ok(()) => None,
        Err(TrySendError::Full(what) | TrySendError::Disconnected(what)) => Some(what),
    }
}
