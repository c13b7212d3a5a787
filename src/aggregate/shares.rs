//! A flow's life cut into minutes.

/// Milliseconds of a minute.
const MINUTE_MS: u64 = 60_000;

/// The minutes of a life and how much of it lies in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// First instant, ms since 1970 UTC.
    start_ms: u64,
    /// Last instant, ms since 1970 UTC.
    end_ms: u64,
}

impl Life {
    /// A life; one that ends before it starts has only its end.
    pub fn new(start_ms: i64, end_ms: i64) -> Life {
        let end_ms = end_ms.clamp(0, TIME_MAX_MS) as u64;
        let start_ms = start_ms.clamp(0, TIME_MAX_MS) as u64;
        Life {
            start_ms: if start_ms > end_ms { end_ms } else { start_ms },
            end_ms,
        }
    }

    /// Keeps the last `max_ms`; whether that took something away.
    #[inline(always)]
    pub fn cut(&mut self, max_ms: u64) -> bool {
        let cut = self.end_ms - self.start_ms > max_ms;
        if cut {
            self.start_ms = self.end_ms - max_ms;
        }
        cut
    }

    /// Minute of the start, counted from 1970.
    #[inline(always)]
    pub fn first_minute(&self) -> u32 {
        minute(self.start_ms)
    }

    /// Minute of the end, counted from 1970.
    #[inline(always)]
    pub fn last_minute(&self) -> u32 {
        minute(self.end_ms)
    }

    /// Calls `book(minute, bytes, packets, last)` for every minute of the life: whole-number shares in proportion to
    /// the time, the remainder in the last minute, the sums exact.
    #[inline]
    pub fn split(&self, bytes: u64, packets: u64, mut book: impl FnMut(u32, u64, u64, bool)) {
        let (mut bytes_left, mut packets_left) = (bytes, packets);
        let life = self.end_ms - self.start_ms;
        let mut at = self.start_ms;
        for m in self.first_minute()..self.last_minute() {
            let next = (u64::from(m) + 1) * MINUTE_MS;
            let (b, p) = (
                share(bytes, next - at, life),
                share(packets, next - at, life),
            );
            book(m, b, p, false);
            bytes_left -= b;
            packets_left -= p;
            at = next;
        }
        book(self.last_minute(), bytes_left, packets_left, true);
    }
}

/// The minute of a time, counted from 1970.
#[inline(always)]
fn minute(ms: u64) -> u32 {
    (ms / MINUTE_MS) as u32
}

/// n * part / whole, cut; `part` is not above `whole`, so the result is not above `n`.
#[inline(always)]
fn share(n: u64, part: u64, whole: u64) -> u64 {
    match n.checked_mul(part) {
        Some(product) => product / whole,
        None => (u128::from(n) * u128::from(part) / u128::from(whole)) as u64,
    }
}

/// The last time that a minute of 32-bit seconds can hold (2106).
const TIME_MAX_MS: i64 = u32::MAX as i64 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn split(start: i64, end: i64, bytes: u64, packets: u64) -> Vec<(u32, u64, u64, bool)> {
        let mut out = Vec::new();
        Life::new(start, end).split(bytes, packets, |m, b, p, last| out.push((m, b, p, last)));
        out
    }

    #[test]
    fn shares_follow_the_time_and_the_rest_is_last() {
        assert_eq!(split(5, 59_999, 7, 1), [(0, 7, 1, true)]);
        let halves = [(0, 50, 0, false), (1, 51, 1, true)];
        assert_eq!(split(30_000, 90_000, 101, 1), halves);
        assert_eq!(
            split(0, 60_000, 10, 3),
            [(0, 10, 3, false), (1, 0, 0, true)]
        );
        assert_eq!(split(90_000, 30_000, 10, 3), [(0, 10, 3, true)]);
        let huge = split(0, 180_000, u64::MAX, u64::MAX);
        assert_eq!(
            huge.iter().map(|s| u128::from(s.1)).sum::<u128>(),
            u128::from(u64::MAX)
        );
        assert_eq!(huge[0].1, u64::MAX / 3);
        assert_eq!(split(i64::MIN, i64::MIN, 1, 1), [(0, 1, 1, true)]);
        assert_eq!(split(i64::MAX, i64::MAX, 1, 1).len(), 1);
    }

    #[test]
    fn long_lives_keep_their_end() {
        let mut life = Life::new(0, 600_000);
        assert!(!life.cut(600_000));
        assert!(life.cut(60_000));
        assert_eq!((life.first_minute(), life.last_minute()), (9, 10));
    }
}
