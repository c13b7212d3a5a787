//! What waits for one table.

use super::section::{Key, Load};
use crate::sink::Settings;
use crate::sink::spool::State;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;

/// A section that waits for its next try.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) key: Key,
    pub(super) retry_at: Instant,
    pub(super) load: Option<Arc<Load>>,
}

/// Where the body of a section is whose turn it is.
#[derive(Debug)]
pub(super) enum Body {
    /// In memory.
    Here(Arc<Load>),
    /// On disk; there is room to read it.
    OnDisk(OwnedSemaphorePermit),
}

/// The lanes of one table.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) doubt: Vec<Waiting>,
    pub(super) aside: Vec<Waiting>,
    /// What cannot be read: no reason to keep others waiting.
    pub(super) unread: Vec<Waiting>,
    pub(super) live: VecDeque<(Key, Arc<Load>)>,
    pub(super) backlog: VecDeque<Key>,
    pub(super) in_flight: usize,
    /// Whether the last insert was live.
    live_last: bool,
    /// Failures of the store since its last success for this table.
    pub(super) failures: u32,
    pub(super) paused_until: Option<Instant>,
    /// Whether the last failure was that the store did not answer at all.
    pub(super) unanswered: bool,
}

impl Lane {
    /// Sections that are not in flight.
    pub(super) fn waiting(&self) -> usize {
        self.doubt.len()
            + self.aside.len()
            + self.unread.len()
            + self.live.len()
            + self.backlog.len()
    }

    /// The next section, if the window has room; one that has to be read needs `room` for that.
    pub(super) fn next(
        &mut self,
        now: Instant,
        window: usize,
        mut room: impl FnMut() -> Option<OwnedSemaphorePermit>,
    ) -> Option<(Key, Body)> {
        // a store that fails is tried with one insert at a time
        let most = if self.failures > 0 { 1 } else { window };
        if self.in_flight >= most || self.paused_until.is_some_and(|at| at > now) {
            return None;
        }
        let mut ready = |list: &mut Vec<Waiting>| {
            let at = list.iter().position(|w| w.retry_at <= now)?;
            let body = match list[at].load.take() {
                Some(load) => Body::Here(load),
                None => Body::OnDisk(room()?),
            };
            Some((list.remove(at).key, body))
        };
        if let Some(next) = ready(&mut self.doubt) {
            return Some(next);
        }
        if self.in_flight + self.doubt.len() >= window {
            return None;
        }
        if let Some(next) = ready(&mut self.aside).or_else(|| ready(&mut self.unread)) {
            return Some(next);
        }
        if self.aside.len() >= ASIDE_MAX {
            return None;
        }
        // nothing is read for a store that is away while there is something in memory to try it with
        let turn = self.live_last && self.failures == 0;
        if (turn || self.live.is_empty())
            && !self.backlog.is_empty()
            && let Some(room) = room()
        {
            self.live_last = false;
            return Some((self.backlog.pop_front()?, Body::OnDisk(room)));
        }
        let (key, load) = self.live.pop_front()?;
        self.live_last = true;
        Some((key, Body::Here(load)))
    }

    /// Puts a section back that has to be sent again.
    pub(super) fn back(
        &mut self,
        key: Key,
        load: Option<Arc<Load>>,
        state: State,
        aside: bool,
        retry_at: Instant,
    ) {
        let waiting = |load| Waiting {
            key,
            retry_at,
            load,
        };
        match (state, load) {
            (State::Sent, load) => self.doubt.push(waiting(load)),
            (_, load) if aside => self.aside.push(waiting(load)),
            (_, Some(load)) => self.live.push_front((key, load)),
            (_, None) => self.backlog.push_front(key),
        }
    }
}

/// After some failures a section waits longer than its table does, so that others pass.
pub(super) fn retry_after(settings: &Settings, failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        n if n < ASIDE_AFTER => pause(settings, n),
        _ => Duration::from_millis(settings.backoff_max_ms.saturating_mul(ASIDE_PAUSES)),
    }
}

/// Doubles with every failure up to the limit; half of it is random, so that retries spread.
pub(super) fn pause(settings: &Settings, failures: u32) -> Duration {
    let doubled = settings
        .backoff_ms
        .saturating_mul(1 << (failures.max(1) - 1).min(16));
    let most = doubled.min(settings.backoff_max_ms);
    Duration::from_millis(rand::random_range(most / 2..=most))
}

/// Failures of a section after which others pass it.
pub(super) const ASIDE_AFTER: u32 = 5;

/// Longest pauses that it then waits.
const ASIDE_PAUSES: u64 = 4;

/// Sections of a table that may stand aside before none is tried for the first time.
const ASIDE_MAX: usize = 64;
