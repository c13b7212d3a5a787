//! Many contents looked for at once, in any case of ASCII letters: by Hyperscan where the system has it, else by `aho-corasick`. Both find the
//! same.

use super::hyperscan::{Database, Scratch};
use super::shelf::Shelf;
use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// Finds which of some contents are in a buffer.
#[derive(Debug)]
pub(super) struct Finder(How);

#[derive(Debug)]
enum How {
    Library(Database, u32),
    Own(AhoCorasick),
}

/// What a search writes to; one for each thread, made fit for each finder that it is used with.
#[derive(Debug, Default)]
pub(super) struct Workplace(Scratch);

impl Finder {
    /// Of contents that are not empty, each once; the number of a content is its place.
    ///
    /// # Errors
    /// When there are more contents than a finder takes.
    pub fn new(contents: &[Vec<u8>], shelf: &mut Shelf) -> Result<Self, String> {
        match shelf.database(contents) {
            Some(database) => {
                let count = u32::try_from(contents.len()).map_err(|e| e.to_string())?;
                Ok(Finder(How::Library(database, count)))
            }
            None => Self::own(contents),
        }
    }

    /// Without the library. Few contents have the fast form, which takes memory.
    fn own(contents: &[Vec<u8>]) -> Result<Self, String> {
        let bytes: usize = contents.iter().map(Vec::len).sum();
        let kind = (bytes <= FAST_BYTES_MAX).then_some(AhoCorasickKind::DFA);
        let built = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(kind)
            .build(contents);
        Ok(Finder(How::Own(built.map_err(|e| e.to_string())?)))
    }

    /// Says the numbers of the contents that are in the bytes, each at least once. Where the library cannot look, all are said.
    pub fn find(&self, bytes: &[u8], place: &mut Workplace, found: &mut dyn FnMut(u32)) {
        match &self.0 {
            How::Own(own) => own
                .find_overlapping_iter(bytes)
                .for_each(|m| found(m.pattern().as_u32())),
            How::Library(database, count) => {
                if !database.scan(bytes, &mut place.0, found) {
                    (0..*count).for_each(found);
                }
            }
        }
    }
}

impl Workplace {
    /// Makes it fit for one more finder.
    pub fn fit(&mut self, finder: &Finder) {
        if let How::Library(database, _) = &finder.0 {
            self.0.fit(database);
        }
    }
}

/// Bytes of all contents up to which `aho-corasick` has its fast form: some hundred times as many bytes of memory.
const FAST_BYTES_MAX: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn found(finder: &Finder, bytes: &[u8]) -> BTreeSet<u32> {
        let (mut place, mut all) = (Workplace::default(), BTreeSet::new());
        place.fit(finder);
        finder.find(bytes, &mut place, &mut |n| {
            all.insert(n);
        });
        all
    }

    #[test]
    fn contents_are_found_in_any_case_and_with_every_byte() {
        let contents: Vec<Vec<u8>> = [&b"abc"[..], b"bc", b"\0\xff", b"(.*)", b"x", b"aBcD"]
            .iter()
            .map(|c| c.to_vec())
            .collect();
        for finder in [
            Finder::new(&contents, &mut Shelf::default()),
            Finder::own(&contents),
        ] {
            let finder = finder.unwrap();
            assert_eq!(found(&finder, b"..ABc(.*)\0\xff"), [0, 1, 2, 3].into());
            assert_eq!(found(&finder, b"abcd"), [0, 1, 5].into());
            assert_eq!(found(&finder, b""), BTreeSet::new());
        }
    }

    #[test]
    fn a_workplace_that_is_not_fit_hides_nothing() {
        let contents = vec![b"abc".to_vec(), b"d".to_vec()];
        let finder = Finder::new(&contents, &mut Shelf::default()).unwrap();
        let mut all = BTreeSet::new();
        finder.find(b"abcd", &mut Workplace::default(), &mut |n| {
            all.insert(n);
        });
        assert_eq!(all, [0, 1].into());
    }

    #[test]
    fn one_workplace_serves_several() {
        let of =
            |text: &str| Finder::new(&[text.as_bytes().to_vec()], &mut Shelf::default()).unwrap();
        let finders = [of("one"), of("two"), of(&"three".repeat(50))];
        let mut place = Workplace::default();
        finders.iter().for_each(|f| place.fit(f));
        for (finder, text) in finders.iter().zip(["-one-", "-TWO-", "three"]) {
            let mut count = 0;
            finder.find(text.as_bytes(), &mut place, &mut |_| count += 1);
            assert_eq!(count, usize::from(text != "three"));
        }
    }

    proptest! {
        #[test]
        fn both_ways_find_the_same(
            contents in proptest::collection::btree_set(proptest::collection::vec(0u8..4, 1..6), 1..40),
            bytes in proptest::collection::vec(0u8..4, 0..200),
        ) {
            let contents: Vec<Vec<u8>> = contents.into_iter().collect();
            let (library, own) = (Finder::new(&contents, &mut Shelf::default()).unwrap(), Finder::own(&contents).unwrap());
            prop_assert_eq!(found(&library, &bytes), found(&own, &bytes));
        }
    }
}
