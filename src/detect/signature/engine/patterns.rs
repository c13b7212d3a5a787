//! Many contents looked for at once: which rules may match a buffer.

use super::finder::{Finder, Workplace};
use super::shelf::Shelf;
use std::collections::BTreeMap;

/// Contents of rules and what finds them.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    finder: Option<Finder>,
    /// Rules of each pattern.
    rules: Vec<Vec<u32>>,
    /// Bytes of the longest and of the shortest.
    longest: usize,
    shortest: usize,
}

/// Patterns in the making.
#[derive(Debug, Default)]
pub(super) struct Gathering(BTreeMap<Vec<u8>, Vec<u32>>);

impl Gathering {
    /// A rule is to be looked at where these bytes are, in whatever case.
    pub fn add(&mut self, pattern: &[u8], rule: u32) {
        let rules = self.0.entry(pattern.to_ascii_lowercase()).or_default();
        if rules.last() != Some(&rule) {
            rules.push(rule);
        }
    }

    /// Makes the finder.
    pub fn build(self, shelf: &mut Shelf) -> Result<Patterns, String> {
        if self.0.is_empty() {
            return Ok(Patterns::default());
        }
        let (patterns, rules): (Vec<_>, Vec<_>) = self.0.into_iter().unzip();
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        let shortest = patterns.iter().map(Vec::len).min().unwrap_or(0);
        Ok(Patterns {
            finder: Some(Finder::new(&patterns, shelf)?),
            rules,
            longest,
            shortest,
        })
    }
}

impl Patterns {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.finder.is_none()
    }

    /// Bytes of the longest of them.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Marks the rules whose contents are in the bytes.
    #[inline]
    pub fn scan(&self, bytes: &[u8], marks: &mut Marks) {
        let Some(finder) = self
            .finder
            .as_ref()
            .filter(|_| bytes.len() >= self.shortest)
        else {
            return;
        };
        let mut place = std::mem::take(&mut marks.place);
        finder.find(bytes, &mut place, &mut |n| {
            let rules = &self.rules[n as usize];
            rules.iter().for_each(|rule| marks.mark(*rule));
        });
        marks.place = place;
    }
}

/// Rules that are to be looked at, each once.
#[derive(Debug, Default)]
pub(super) struct Marks {
    round: u32,
    seen: Vec<u32>,
    list: Vec<u32>,
    place: Workplace,
}

impl Marks {
    /// For so many rules, found by any of these patterns.
    pub fn new<'a>(rules: usize, patterns: impl Iterator<Item = &'a Patterns>) -> Self {
        let mut place = Workplace::default();
        let finders = patterns.filter_map(|p| p.finder.as_ref());
        finders.for_each(|f| place.fit(f));
        Marks {
            round: 0,
            seen: vec![0; rules],
            list: vec![],
            place,
        }
    }

    /// None are marked.
    pub fn clear(&mut self) {
        self.list.clear();
        self.round = match self.round.checked_add(1) {
            Some(round) => round,
            None => {
                self.seen.fill(0);
                1
            }
        };
    }

    /// Marks a rule.
    #[inline]
    pub fn mark(&mut self, rule: u32) {
        let seen = &mut self.seen[rule as usize];
        if *seen != self.round {
            *seen = self.round;
            self.list.push(rule);
        }
    }

    /// Whether none are marked.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Those that are marked, in their order.
    pub fn sorted(&mut self) -> &[u32] {
        self.list.sort_unstable();
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_marked_once_and_in_order() {
        let mut gathering = Gathering::default();
        gathering.add(b"abc", 2);
        gathering.add(b"ABC", 1);
        gathering.add(b"bc", 0);
        gathering.add(b"x", 3);
        let patterns = gathering.build(&mut Shelf::default()).unwrap();
        let mut marks = Marks::new(4, std::iter::once(&patterns));
        for _ in 0..2 {
            marks.clear();
            patterns.scan(b"..aBc.abc", &mut marks);
            assert_eq!(marks.sorted(), [0, 1, 2]);
        }
        marks.clear();
        assert!(marks.sorted().is_empty());
    }
}
