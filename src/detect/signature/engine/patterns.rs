//! Many contents looked for at once: which rules may match a buffer.

use super::ends::Ends;
use super::finder::{Finder, Workplace};
use super::shelf::Shelf;
use std::collections::BTreeMap;

/// Contents of rules and what finds them.
#[derive(Debug, Default)]
pub(super) struct Patterns {
    finder: Option<Finder>,
    /// Rules of each pattern.
    rules: Vec<Vec<u32>>,
    /// What values have to end with.
    ends: Ends,
    /// Bytes of the longest and of the shortest.
    longest: usize,
    shortest: usize,
}

/// Patterns in the making.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathering {
    all: Contents,
    ends: Contents,
}

/// Contents in lower case, and the rules of each.
type Contents = BTreeMap<Vec<u8>, Vec<u32>>;

impl Gathering {
    /// A rule is to be looked at where these bytes are, in whatever case.
    pub fn add(&mut self, pattern: &[u8], rule: u32) {
        add(&mut self.all, pattern, rule);
    }

    /// A rule is to be looked at where a value ends with these bytes, in whatever case.
    pub fn add_end(&mut self, pattern: &[u8], rule: u32) {
        match Ends::fit(pattern) {
            true => add(&mut self.ends, pattern, rule),
            false => self.add(pattern, rule),
        }
    }

    /// Patterns in it.
    pub fn len(&self) -> usize {
        self.all.len() + self.ends.len()
    }

    /// With all that another one has.
    pub fn with(mut self, other: &Gathering) -> Self {
        let pairs = [(&mut self.all, &other.all), (&mut self.ends, &other.ends)];
        for (mine, theirs) in pairs {
            for (pattern, rules) in theirs {
                let all = mine.entry(pattern.clone()).or_default();
                all.extend_from_slice(rules);
                all.sort_unstable();
                all.dedup();
            }
        }
        self
    }

    /// Makes the finder.
    pub fn build(self, shelf: &mut Shelf) -> Result<Patterns, String> {
        let ends = Ends::new(self.ends.into_iter());
        if self.all.is_empty() {
            return Ok(Patterns {
                ends,
                ..Patterns::default()
            });
        }
        let (patterns, rules): (Vec<_>, Vec<_>) = self.all.into_iter().unzip();
        let longest = patterns.iter().map(Vec::len).max().unwrap_or(0);
        let shortest = patterns.iter().map(Vec::len).min().unwrap_or(0);
        Ok(Patterns {
            finder: Some(Finder::new(&patterns, shelf)?),
            rules,
            ends,
            longest,
            shortest,
        })
    }
}

fn add(contents: &mut Contents, pattern: &[u8], rule: u32) {
    let rules = contents.entry(pattern.to_ascii_lowercase()).or_default();
    if rules.last() != Some(&rule) {
        rules.push(rule);
    }
}

impl Patterns {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.finder.is_none() && self.ends.is_empty()
    }

    /// Bytes of the longest of them.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Marks the rules whose contents are in the bytes.
    #[inline]
    pub fn scan(&self, bytes: &[u8], marks: &mut Marks) {
        self.ends.mark(bytes, marks);
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
