//! When what comes to a destination began to be so much.

/// How much began in each span of 4.1 seconds, as a ring: together they are as long as a window of rows, and as what is in it may have begun before.
#[derive(Debug, Default)]
pub(super) struct Spans([u16; SPANS]);

impl Spans {
    /// So many packets began.
    #[inline]
    pub fn add(&mut self, at_ms: i64, packets: u64) {
        let span = &mut self.0[place(at_ms >> SPAN_LOG2)];
        *span = span.saturating_add(packets.min(u64::from(u16::MAX)) as u16);
    }

    /// Adds what began elsewhere.
    pub fn join(&mut self, other: &Spans) {
        let all = self.0.iter_mut().zip(other.0);
        all.for_each(|(a, b)| *a = a.saturating_add(b));
    }

    /// The begin of the first span within a time that has an eighth of what the fullest has, ms; not before that time.
    pub fn rose_ms(&self, first_ms: i64, last_ms: i64) -> i64 {
        let most = self.0.iter().max().map_or(0, |n| u32::from(*n));
        let last = last_ms >> SPAN_LOG2;
        let first = (first_ms >> SPAN_LOG2).max(last.saturating_sub(SPANS as i64 - 1));
        let is_much = |span: &i64| 8 * u32::from(self.0[place(*span)]) >= most;
        let rose = (first..=last).find(is_much).unwrap_or(first);
        first_ms.max(rose << SPAN_LOG2)
    }
}

#[inline]
fn place(span: i64) -> usize {
    span.rem_euclid(SPANS as i64) as usize
}

const SPAN_LOG2: u32 = 12;
const SPANS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rises_late_did_not_begin_early() {
        let mut spans = Spans::default();
        let begin = 1_700_000_000_000;
        (0..60).for_each(|n| spans.add(begin + 1_000 * n, 20));
        let all = (begin, begin + 60_000);
        assert_eq!(spans.rose_ms(all.0, all.1), begin);
        (0..1_000).for_each(|n| spans.add(begin + 45_000 + 10 * n, 40));
        let early_ms = begin + 45_000 - spans.rose_ms(all.0, all.1);
        assert!((0..4_096).contains(&early_ms), "{early_ms}");
        // what exporters claim
        let mut odd = Spans::default();
        for at_ms in [i64::MIN, -1, 0, i64::MAX] {
            odd.add(at_ms, u64::MAX);
        }
        assert_eq!(odd.rose_ms(i64::MAX, i64::MIN), i64::MAX);
        odd.rose_ms(i64::MIN, i64::MAX);
    }
}
