//! Hours and days of the week, UTC.

use super::settings::Day;
use serde::{Deserialize, Deserializer};

/// A part of the day in minutes since midnight; over midnight where it ends before it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    from: u32,
    to: u32,
}

impl Hours {
    /// Reads `08:00-18:00`.
    pub fn parse(text: &str) -> Option<Hours> {
        let (from, to) = text.split_once('-')?;
        let minutes = |t: &str| -> Option<u32> {
            let (h, m) = t.split_once(':')?;
            let plain = [h, m]
                .iter()
                .all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_digit()));
            let (h, m): (u32, u32) = (h.parse().ok()?, m.parse().ok()?);
            (plain && m < 60 && h * 60 + m <= 24 * 60).then_some(h * 60 + m)
        };
        Some(Hours {
            from: minutes(from)?,
            to: minutes(to)?,
        })
    }

    /// Whether a time (ms since 1970 UTC) is in it.
    pub fn has(self, at_ms: i64) -> bool {
        let minute = at_ms.div_euclid(60_000).rem_euclid(24 * 60) as u32;
        match self.from <= self.to {
            true => (self.from..self.to).contains(&minute),
            false => minute >= self.from || minute < self.to,
        }
    }
}

impl<'de> Deserialize<'de> for Hours {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let fault =
            || serde::de::Error::custom(format!("{text:?} are no hours: write 08:00-18:00"));
        Hours::parse(&text).ok_or_else(fault)
    }
}

/// The day of the week of a time: 1970 began on a Thursday.
pub(super) fn day(at_ms: i64) -> Day {
    const DAYS: [Day; 7] = [
        Day::Thu,
        Day::Fri,
        Day::Sat,
        Day::Sun,
        Day::Mon,
        Day::Tue,
        Day::Wed,
    ];
    DAYS[at_ms.div_euclid(86_400_000).rem_euclid(7) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_days() {
        let at = |h: i64, m: i64| (h * 60 + m) * 60_000 + 20_000 * 86_400_000;
        let day_shift = Hours::parse("08:00-18:00").expect("hours");
        let night = Hours::parse("22:00-06:30").expect("hours");
        assert!(day_shift.has(at(8, 0)) && day_shift.has(at(17, 59)));
        assert!(!day_shift.has(at(18, 0)) && !day_shift.has(at(7, 59)));
        assert!(night.has(at(23, 0)) && night.has(at(6, 29)) && !night.has(at(6, 30)));
        assert!(Hours::parse("00:00-24:00").expect("hours").has(at(23, 59)));
        for text in [
            "8-18",
            "08:00",
            "08:60-09:00",
            "24:01-01:00",
            "+8:00-09:00",
            "",
        ] {
            assert_eq!(Hours::parse(text), None, "{text}");
        }
    }

    #[test]
    fn days_of_the_week() {
        // 2026-11-27 is a Friday
        assert_eq!(day(1_795_737_600_000), Day::Fri);
        assert_eq!(day(1_795_737_600_000 + 86_400_000), Day::Sat);
        assert_eq!(day(0), Day::Thu);
    }
}
