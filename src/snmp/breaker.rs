//! When an exporter is asked again: soon while it answers, ever later while it does not.

use std::time::{Duration, Instant};

/// Failures in a row.
#[derive(Debug)]
pub(super) struct Breaker {
    failures: u32,
    due: Instant,
}

impl Breaker {
    /// Asked at once.
    pub fn new(now: Instant) -> Breaker {
        Breaker {
            failures: 0,
            due: now,
        }
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.due <= now
    }

    /// Asked at once, failures or not: the settings are others.
    pub fn reset(&mut self, now: Instant) {
        *self = Breaker::new(now);
    }

    /// Whether it is asked more seldom than it should be.
    pub fn is_open(&self) -> bool {
        self.failures >= FAILURES
    }

    /// It answered; returns whether the breaker was open.
    pub fn succeeded(&mut self, now: Instant, interval: Duration) -> bool {
        let was_open = self.is_open();
        self.failures = 0;
        self.due = now + interval;
        was_open
    }

    /// It did not; returns whether this opened the breaker.
    pub fn failed(&mut self, now: Instant, interval: Duration, pause_max: Duration) -> bool {
        self.failures = self.failures.saturating_add(1);
        let doublings = self.failures.saturating_sub(FAILURES - 1).min(16);
        let pause = interval.saturating_mul(1 << doublings);
        self.due = now + pause.min(pause_max.max(interval));
        self.failures == FAILURES
    }

    /// Time until it is asked again.
    pub fn pause(&self, now: Instant) -> Duration {
        self.due.saturating_duration_since(now)
    }
}

/// Failures in a row that open it.
const FAILURES: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_the_third_failure_on_and_have_an_end() {
        let now = Instant::now();
        let (interval, most) = (Duration::from_secs(60), Duration::from_secs(600));
        let mut b = Breaker::new(now);
        assert!(b.is_due(now) && !b.is_open());
        let mut pauses = vec![];
        let mut opened = vec![];
        for n in 1..=7 {
            if b.failed(now, interval, most) {
                opened.push(n);
            }
            pauses.push(b.pause(now).as_secs());
        }
        assert_eq!(pauses, [60, 60, 120, 240, 480, 600, 600]);
        assert_eq!(opened, [3]);
        assert!(b.is_open() && !b.is_due(now) && b.is_due(now + most));
        assert!(b.succeeded(now, interval) && !b.succeeded(now, interval));
        assert_eq!(b.pause(now), interval);
    }
}
