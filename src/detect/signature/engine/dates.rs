//! Dates that certificates are compared with: `2024-01-01`, `<2024-06-01T12:00:00`, `2024-01-01<>2025-01-01`.

/// Whether a time, in seconds since 1970, is as asked. A text that is no date holds for nothing.
pub(super) fn holds(text: &str, time_s: u64) -> bool {
    let time = i64::try_from(time_s).unwrap_or(i64::MAX);
    let text = text.trim();
    if let Some((from, to)) = text.split_once("<>") {
        return match (seconds(from), seconds(to)) {
            (Some(from), Some(to)) => from < time && time < to,
            _ => false,
        };
    }
    let (sign, date) = match text.as_bytes().first() {
        Some(b'<' | b'>') => text.split_at(1),
        _ => ("", text),
    };
    seconds(date).is_some_and(|date| match sign {
        "<" => time < date,
        ">" => time > date,
        _ => time == date,
    })
}

/// Seconds since 1970 of year, month, day, hour, minute and second, as many as there are; a number alone is seconds, as Suricata has it.
fn seconds(text: &str) -> Option<i64> {
    let alone = text.trim();
    if alone.bytes().all(|b| b.is_ascii_digit()) {
        return alone.parse().ok();
    }
    let mut parts = [1970i64, 1, 1, 0, 0, 0];
    let words = text.trim().split(['-', 'T', ':', ' ']);
    for (n, word) in words.filter(|w| !w.is_empty()).enumerate() {
        *parts.get_mut(n)? = word.parse().ok()?;
    }
    let [year, month, day, hour, minute, second] = parts;
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // days since 1970-01-01 by the proleptic Gregorian calendar; years begin in March
    let shifted = if month > 2 { year } else { year - 1 };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_what_they_hold_for() {
        assert_eq!(seconds("1970-01-01"), Some(0));
        assert_eq!(seconds("2024-02-29T12:30:01"), Some(1_709_209_801));
        assert_eq!(seconds("2024-01"), Some(1_704_067_200));
        assert_eq!(seconds("2024"), Some(2024));
        assert_eq!(seconds("soon"), None);
        assert!(holds(">2023-12-31", 1_704_067_200) && !holds("<2023-12-31", 1_704_067_200));
        assert!(holds("2023-01<>2025-01", 1_704_067_200) && holds("2024-01-01", 1_704_067_200));
    }
}
