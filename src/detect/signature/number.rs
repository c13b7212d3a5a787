//! Conditions on numbers: `5`, `!5`, `<5`, `>=5`, `5<>9`, `5-9`.

use serde::Serialize;
use std::fmt;

/// A condition on one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Number {
    /// The number itself.
    Equal(u64),
    /// Any other.
    Not(u64),
    /// Below.
    Less(u64),
    /// Below or equal.
    AtMost(u64),
    /// Above.
    Greater(u64),
    /// Above or equal.
    AtLeast(u64),
    /// Strictly between the two.
    Between(u64, u64),
    /// Not strictly between the two.
    NotBetween(u64, u64),
}

impl Number {
    /// Whether the condition holds.
    pub fn holds(self, value: u64) -> bool {
        match self {
            Self::Equal(n) => value == n,
            Self::Not(n) => value != n,
            Self::Less(n) => value < n,
            Self::AtMost(n) => value <= n,
            Self::Greater(n) => value > n,
            Self::AtLeast(n) => value >= n,
            Self::Between(a, b) => a < value && value < b,
            Self::NotBetween(a, b) => !(a < value && value < b),
        }
    }

    /// Whether it holds for a number from `first` to below `end`.
    pub fn meets(self, first: u64, end: u64) -> bool {
        let Some(last) = end.checked_sub(1).filter(|last| *last >= first) else {
            return false;
        };
        match self {
            Self::Equal(n) => (first..end).contains(&n),
            Self::Not(n) => first != n || last != n,
            Self::Less(n) => first < n,
            Self::AtMost(n) => first <= n,
            Self::Greater(n) => last > n,
            Self::AtLeast(n) => last >= n,
            // none is strictly between two that follow each other
            Self::Between(a, b) => {
                first.max(a.saturating_add(1)) <= last.min(b.saturating_sub(1)) && a < b
            }
            Self::NotBetween(a, b) => first <= a || last >= b || a >= b,
        }
    }

    /// Whether it holds for all numbers from one on, and for none below.
    pub fn is_floor(self) -> bool {
        matches!(self, Self::Greater(_) | Self::AtLeast(_))
    }

    /// The largest number that it holds for, if there is one.
    pub fn highest(self) -> Option<u64> {
        match self {
            Self::Equal(n) | Self::AtMost(n) => Some(n),
            Self::Less(n) | Self::Between(_, n) => Some(n.saturating_sub(1)),
            _ => None,
        }
    }

    /// Reads a condition on a number of at most `max`.
    pub(super) fn parse(text: &str, max: u64) -> Result<Self, String> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (negated, body) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        let two = body.split_once("<>").or_else(|| {
            let dash = body.find('-').filter(|at| *at > 0)?;
            Some((&body[..dash], &body[dash + 1..]))
        });
        if let Some((low, high)) = two {
            let (low, high) = (one(low, max)?, one(high, max)?);
            if low >= high || high - low < 2 {
                return Err(format!(
                    "{low}<>{high} holds for no number: both ends are left out"
                ));
            }
            return Ok(if negated {
                Self::NotBetween(low, high)
            } else {
                Self::Between(low, high)
            });
        }
        let forms: [Form; 6] = [
            ("<=", Self::AtMost, Self::Greater),
            (">=", Self::AtLeast, Self::Less),
            ("<", Self::Less, Self::AtLeast),
            (">", Self::Greater, Self::AtMost),
            ("=", Self::Equal, Self::Not),
            ("", Self::Equal, Self::Not),
        ];
        for (sign, plain, opposite) in forms {
            if let Some(rest) = body.strip_prefix(sign) {
                let number = one(rest, max)?;
                let made = if negated { opposite } else { plain }(number);
                let empty = made == Self::Less(0) || made == Self::Greater(max);
                return if empty {
                    Err(format!("`{text}` holds for no number up to {max}"))
                } else {
                    Ok(made)
                };
            }
        }
        Err(format!("`{text}` is no number"))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Equal(n) => write!(f, "{n}"),
            Self::Not(n) => write!(f, "!{n}"),
            Self::Less(n) => write!(f, "<{n}"),
            Self::AtMost(n) => write!(f, "<={n}"),
            Self::Greater(n) => write!(f, ">{n}"),
            Self::AtLeast(n) => write!(f, ">={n}"),
            Self::Between(a, b) => write!(f, "{a}<>{b}"),
            Self::NotBetween(a, b) => write!(f, "!{a}<>{b}"),
        }
    }
}

/// A sign, what it makes, what it makes with `!` before.
type Form = (&'static str, fn(u64) -> Number, fn(u64) -> Number);

/// One whole number, decimal or with `0x`.
pub(super) fn one(text: &str, max: u64) -> Result<u64, String> {
    let text = text.trim();
    let number = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => text.parse(),
    };
    match number {
        Ok(n) if n <= max => Ok(n),
        Ok(n) => Err(format!("{n} is more than {max}")),
        Err(_) => Err(format!("`{text}` is no number from 0 to {max}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_met_where_one_of_its_numbers_is() {
        let all = |a, b| {
            [
                Number::Equal(a),
                Number::Not(a),
                Number::Less(a),
                Number::AtMost(a),
                Number::Greater(a),
                Number::AtLeast(a),
                Number::Between(a, b),
                Number::NotBetween(a, b),
            ]
        };
        for (a, b) in [(0, 0), (0, 1), (2, 3), (2, 4), (1, 6), (6, 2)] {
            for number in all(a, b) {
                for first in 0..8 {
                    for end in 0..9 {
                        let one_by_one = (first..end).any(|n| number.holds(n));
                        assert_eq!(
                            number.meets(first, end),
                            one_by_one,
                            "{number:?} {first} {end}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn every_form_reads_holds_and_prints() {
        for (text, inside, outside) in [
            ("5", 5, 6),
            ("!5", 6, 5),
            ("<5", 4, 5),
            ("<=5", 5, 6),
            (">5", 6, 5),
            (">=5", 5, 4),
            ("5<>9", 6, 9),
            ("!5<>9", 5, 6),
        ] {
            let number = Number::parse(text, 100).unwrap();
            assert!(number.holds(inside) && !number.holds(outside), "{text}");
            assert_eq!(number.to_string(), text);
        }
        assert_eq!(
            Number::parse(" 0x10 - 20 ", 100),
            Ok(Number::Between(16, 20))
        );
        for bad in [
            "", "-1", "5<>6", "9<>5", "<0", ">100", "101", "5a", "<", "1<>2<>3",
        ] {
            assert!(Number::parse(bad, 100).is_err(), "{bad}");
        }
    }
}
