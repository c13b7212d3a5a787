//! The time that a report is about: whole 5-minute samples, times in UTC.

use anyhow::{Result, ensure};

/// Length of a sample of usage, seconds.
pub const SAMPLE_SECONDS: i64 = 300;

/// From an instant up to, and without, another one, seconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// First second.
    pub from: i64,
    /// First second after it.
    pub to: i64,
}

impl Period {
    /// The period that the arguments mean: `to` (`now` at the latest) is its end, `from`, else `last` seconds before the end, its
    /// start. Both are cut to 5 minutes, of two days and more to full hours.
    ///
    /// # Errors
    /// When it is empty, or longer than 5-minute samples are kept.
    pub fn new(last: u64, from: Option<i64>, to: Option<i64>, now: i64) -> Result<Period> {
        let to = to.unwrap_or(now).min(now);
        let from = from.unwrap_or(to - last.min(i64::MAX as u64 / 4) as i64);
        let step = if to - from >= LONG_SECONDS {
            HOUR_SECONDS
        } else {
            SAMPLE_SECONDS
        };
        let cut = |t: i64| t.div_euclid(step) * step;
        let period = Period {
            from: cut(from),
            to: cut(to),
        };
        ensure!(
            period.from < period.to,
            "the period is shorter than 5 minutes: give an earlier --from or a longer --last"
        );
        ensure!(
            period.seconds() <= DAYS_MAX * 86_400 && period.from >= 0 && period.to <= SECONDS_MAX,
            "a report covers at most {DAYS_MAX} days: 5-minute usage is kept for 90"
        );
        Ok(period)
    }

    /// Its length.
    pub fn seconds(&self) -> i64 {
        self.to - self.from
    }

    /// How many 5-minute samples it has.
    pub fn samples(&self) -> u64 {
        (self.seconds() / SAMPLE_SECONDS) as u64
    }

    /// The coarsest rollup whose rows begin and end with the period; for sums, not for samples.
    pub fn rollup(&self) -> &'static str {
        let hours = self.from % HOUR_SECONDS == 0 && self.to % HOUR_SECONDS == 0;
        if hours { "usage_1h" } else { "usage_5m" }
    }

    /// Seconds between two points of a plot: whole samples, at most [`POINTS_MAX`] points.
    pub fn step(&self) -> i64 {
        self.samples().div_ceil(POINTS_MAX).max(1) as i64 * SAMPLE_SECONDS
    }

    /// `2026-01-31 08:05 to 2026-02-01 08:05 UTC`.
    pub fn text(&self) -> String {
        format!("{} to {} UTC", stamp(self.from), stamp(self.to))
    }
}

/// `2026-01-31 08:05`.
pub fn stamp(seconds: i64) -> String {
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let minutes = seconds.rem_euclid(86_400) / 60;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}",
        minutes / 60,
        minutes % 60
    )
}

/// Reads `2026-01-31`, `2026-01-31 08:05`, `2026-01-31T08:05:00Z` (UTC) or seconds since 1970.
///
/// # Errors
/// What it should have been.
pub fn instant(text: &str) -> Result<i64, String> {
    let fault = || {
        format!(
            "`{text}` is no time: write 2026-01-31, 2026-01-31T08:05 (UTC) or seconds since 1970"
        )
    };
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(i64::from(seconds));
    }
    let bare = text.strip_suffix('Z').unwrap_or(text);
    let (day, clock) = bare.split_once(['T', ' ']).unwrap_or((bare, "00:00"));
    let numbers = |text: &str, mark: char| -> Option<Vec<i64>> {
        let part = |p: &str| {
            p.bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| p.parse().ok())
        };
        text.split(mark).map(|p| part(p).flatten()).collect()
    };
    let (day, clock) = (
        numbers(day, '-').ok_or_else(fault)?,
        numbers(clock, ':').ok_or_else(fault)?,
    );
    let (&[year, month, dom], &[hour, minute, ..]) = (&day[..], &clock[..]) else {
        return Err(fault());
    };
    let second = clock.get(2).copied().unwrap_or(0);
    let days = days(year, month, dom);
    let right = (1970..=2105).contains(&year)
        && date(days) == (year, month, dom)
        && hour < 24
        && minute < 60
        && second < 60
        && clock.len() <= 3;
    match right {
        true => Ok(days * 86_400 + hour * 3_600 + minute * 60 + second),
        false => Err(fault()),
    }
}

/// Year, month and day of a day since 1970. Years begin in March here, so that a leap day is the last one.
fn date(day: i64) -> (i64, i64, i64) {
    let since_0 = day + DAYS_TO_1970;
    let era = since_0.div_euclid(146_097);
    let in_era = since_0.rem_euclid(146_097);
    let year = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let dom = in_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next, month, dom)
}

/// The inverse of [`date`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, in_era) = (year.div_euclid(400), year.rem_euclid(400));
    let in_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - DAYS_TO_1970
}

/// From this length on a period begins and ends at full hours.
const LONG_SECONDS: i64 = 2 * 86_400;
const HOUR_SECONDS: i64 = 3_600;
/// Longest period, days.
const DAYS_MAX: i64 = 92;
/// The end of the store's times.
const SECONDS_MAX: i64 = u32::MAX as i64;
/// Most points of a plot.
const POINTS_MAX: u64 = 300;
/// Days from the first of March of year 0 to 1970.
const DAYS_TO_1970: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_and_written() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29 12:34", 951_827_640),
            ("2026-01-31T08:05:09Z", 1_769_846_709),
            ("1769846709", 1_769_846_709),
        ] {
            assert_eq!(instant(text), Ok(seconds), "{text}");
        }
        assert_eq!(stamp(1_769_846_709), "2026-01-31 08:05");
        for wrong in [
            "2025-02-29",
            "2026-13-01",
            "2026-01-01T24:00",
            "yesterday",
            "2026-01",
            "",
            "2026-01-01T1",
            "-5",
        ] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
        for day in (0..60_000).step_by(7) {
            let (y, m, d) = date(day);
            assert_eq!(days(y, m, d), day);
        }
    }

    #[test]
    fn periods_are_whole_samples() {
        let p = Period::new(3_600, None, None, 1_000_000_123).expect("right");
        assert_eq!((p.from % 300, p.seconds(), p.samples()), (0, 3_600, 12));
        assert_eq!((p.rollup(), p.step()), ("usage_5m", 300));
        let p = Period::new(30 * 86_400, None, None, 1_000_000_123).expect("right");
        assert_eq!(
            (p.from % 3_600, p.rollup(), p.step()),
            (0, "usage_1h", 8_700)
        );
        assert!(Period::new(60, None, Some(1_000_000_050), 2_000_000_000).is_err());
        let ahead = Period::new(3_600, Some(999_990_000), Some(2_000_000_000), 1_000_000_123);
        assert_eq!(
            ahead.expect("right").to,
            999_999_900,
            "nothing is reported of what is to come"
        );
        assert!(Period::new(100 * 86_400, None, None, 1_000_000_000).is_err());
        assert!(Period::new(u64::MAX, None, None, 1_000_000_000).is_err());
    }
}
