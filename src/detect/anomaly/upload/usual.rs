//! What is usual for a host at an hour of the day.

use super::super::arena::Held;
use super::super::keep::kept;
use super::WINDOW_MS;

/// What a host sends outside, by the hour of the day.
#[derive(Debug, Default)]
pub(super) struct Usual {
    hour: i64,
    last_ms: i64,
    sent: u64,
    hours: [Hour; 24],
    learned: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Hour {
    mean: f32,
    deviation: f32,
    n: u8,
}

kept!(Hour { mean, deviation, n });
kept!(Usual {
    hour,
    last_ms,
    sent,
    hours,
    learned
});

impl Held for Usual {
    fn suspicion(&self) -> u32 {
        self.learned
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
}

impl Usual {
    /// Adds bytes of this hour; what hours of this time of day had on average, and what is still usual, where enough are known.
    pub fn add(&mut self, now_ms: i64, sent: u64) -> Option<(f64, f64)> {
        let hour = now_ms.div_euclid(WINDOW_MS);
        if self.hour != hour {
            if self.hour != 0 {
                self.learn(self.hour, self.sent);
                // hours without a byte, as far as they change anything
                let idle = self.hour.max(hour - HOURS_MAX).saturating_add(1)..hour;
                idle.for_each(|h| self.learn(h, 0));
            }
            (self.hour, self.sent) = (hour, 0);
        }
        self.sent = self.sent.saturating_add(sent);
        self.last_ms = now_ms;
        // what begins at an hour one day begins a little before it on another
        let around = (hour - 1..=hour + 1).map(|h| &self.hours[slot(h)]);
        let mut known = around.filter(|h| h.n >= DAYS_KNOWN).peekable();
        known.peek()?;
        let bound = |h: &Hour| f64::from(h.mean) * USUAL_MEAN + USUAL * f64::from(h.deviation);
        let all = known.map(|h| (f64::from(h.mean), bound(h)));
        Some(all.fold((0.0, 0.0), |a, b| (a.0.max(b.0), a.1.max(b.1))))
    }

    fn learn(&mut self, hour: i64, sent: u64) {
        let h = &mut self.hours[slot(hour)];
        let mut x = sent as f32;
        if h.n >= DAYS_KNOWN {
            // one large upload is no habit
            x = x.min(h.mean + CUT * h.deviation.max(h.mean));
        }
        h.n = h.n.saturating_add(1);
        let off = x - h.mean;
        h.mean += (1.0 / f32::from(h.n)).max(WEIGHT) * off;
        if h.n > 1 {
            let weight = (1.0 / f32::from(h.n - 1)).max(WEIGHT);
            h.deviation += weight * (off.abs() - h.deviation);
        }
        self.learned = self.learned.saturating_add(1);
    }
}

fn slot(hour: i64) -> usize {
    hour.rem_euclid(24) as usize
}

/// Days from which on it is known what is usual at an hour.
const DAYS_KNOWN: u8 = 7;
/// Hours of silence that are learned.
const HOURS_MAX: i64 = 14 * 24;
/// Of two weeks of days.
const WEIGHT: f32 = 1.0 / 14.0;
const CUT: f32 = 3.0;
/// Half as much again as the mean is usual, and so many mean deviations more.
const USUAL_MEAN: f64 = 1.5;
const USUAL: f64 = 6.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_sends_every_night_is_known_for_it() {
        let mut u = Usual::default();
        let mut bounds = vec![];
        for hour in 1..=400i64 {
            let night = hour % 24 == 2;
            let sent = if night { 500_000_000 } else { 1_000_000 };
            let usual = u.add(hour * WINDOW_MS, sent);
            assert_eq!(usual.is_some(), hour >= 6 * 24 + 2, "{hour}");
            if let Some((_, bound)) = usual.filter(|_| hour > 200) {
                bounds.push((hour % 24, bound));
            }
        }
        for (hour, bound) in bounds {
            match hour {
                1..=3 => assert!(bound > 700e6, "{hour}: {bound}"),
                _ => assert!(bound < 2e6, "{hour}: {bound}"),
            }
        }
        // one large upload is no habit, and nights of silence count
        let before = u.hours[12].mean;
        u.add((400 + 20) * WINDOW_MS, 1);
        u.learn(12, 900_000_000);
        assert!(u.hours[12].mean < 2.0 * before);
    }
}
