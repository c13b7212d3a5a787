//! When half-open connections are a flood, and when they are clients that try again.
//!
//! What a victim refuses is no open connection. Where it answers, or where it does so slowly that nobody goes on, its answers are seen. Where it says
//! nothing at all, it may be flooded or dead: who comes to a dead service are clients, each of which tries again at the pace of people and
//! programs. Invented sources are new each time, bots and single sources are faster, and both are many at once.

use super::WINDOW_S;
use super::judge::How;
use super::told::Class;
use super::victim::{MANY_SOURCES, SCANNED_PORTS, Victim, add};
use crate::detect::anomaly::FloodSettings;

/// How half-open connections are a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HalfOpen {
    /// For sure.
    Flood,
    /// As far as is known by now: clients that try again would show up.
    Likely,
}

impl Victim {
    /// Connections that were begun and neither completed nor refused, as far as is sure.
    pub fn half_open(&self) -> f64 {
        let (begun, completed) = (self.syns as f64, self.completed as f64);
        let refused = (self.refused[0] as f64) + (self.refused[1] as f64);
        if self.interval <= 1 {
            return (begun - refused).max(0.0);
        }
        // who completes a connection sends three segments more at least, of which each may be what was seen
        let open = begun - refused - completed / 2.0;
        let seen = (begun + refused + completed / 4.0) / f64::from(self.interval);
        match seen < SAMPLES_MIN {
            true => 0.0,
            false => (open - 2.0 * seen.sqrt() * f64::from(self.interval)).max(0.0),
        }
    }

    /// Whether half-open connections are a flood.
    pub fn is_half_open(&self, s: &FloodSettings, how: How) -> Option<HalfOpen> {
        let (open, limit) = (self.half_open(), how.half_open(s));
        let sources = self.syn_sources.count();
        let is_scan = sources < MANY_SOURCES && self.syn_ports.count() >= SCANNED_PORTS;
        if open < limit || is_scan {
            return None;
        }
        if self.interval > 1 {
            return Some(HalfOpen::Flood);
        }
        if self.completed as f64 * 5.0 >= open {
            return None;
        }
        let goes_on = self.goes_on() && self.told.has(Class::Syn);
        if goes_on || self.answered as f64 * 2.0 >= open {
            return Some(HalfOpen::Flood);
        }
        let rate = open / self.risen_s();
        let usual = f64::from(s.half_open) / WINDOW_S;
        if rate >= LOUD * usual || rate >= PACE * f64::from(sources) {
            return Some(HalfOpen::Flood);
        }
        if f64::from(self.fresh_sources()) * 3.0 < open * 2.0 {
            return None;
        }
        match () {
            () if rate >= SUDDEN * usual => Some(HalfOpen::Flood),
            // only who waits for an answer sends the same again
            () if self.again.saturating_mul(2) >= self.syns => None,
            () => Some(HalfOpen::Likely),
        }
    }

    /// Sources of half-open connections that did not come in the last minute or two. Where very many did, nobody can say.
    fn fresh_sources(&self) -> u32 {
        let came = self.syn_sources.count();
        let [mut all, before] = self.known;
        add(&mut all, &before);
        let known = all.count();
        if known >= KNOWN_MAX {
            return came;
        }
        add(&mut all, self.syn_sources.bits());
        let fresh = all.count().saturating_sub(known);
        fresh.max(came.saturating_sub(known))
    }
}

/// Of fewer samples nothing is concluded.
pub(super) const SAMPLES_MIN: f64 = 10.0;
/// So many times as fast as a flood has to be, sources that are new are no clients, and (`LOUD`) none are.
const SUDDEN: f64 = 10.0;
const LOUD: f64 = 20.0;
/// SYNs a second of a source that is no client: systems send theirs again after one second, then ever later, for some connections at a time.
const PACE: f64 = 4.0;
/// Sources of which bits still tell whether one is among them.
const KNOWN_MAX: u32 = 1_200;
