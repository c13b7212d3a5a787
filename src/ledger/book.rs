//! Tallies by exporter and domain.

use super::{Outcome, Tally};
use std::collections::HashMap;

/// Whose tally it is: the exporter's address (16 bytes, IPv4 mapped) and its observation domain.
pub type Account = ([u8; 16], u32);

/// Where an account lies in a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(usize);

impl Default for Place {
    /// Nowhere yet.
    fn default() -> Self {
        Place(usize::MAX)
    }
}

/// Tallies of one thread. What belongs to no exporter is counted in `other`; once `accounts_max` accounts exist, new
/// ones are counted there, too, so the totals stay exact.
#[derive(Clone, Debug, Default)]
pub struct Book {
    places: HashMap<Account, usize>,
    tallies: Vec<(Account, Tally)>,
    other: Tally,
    accounts_max: usize,
}

impl Book {
    /// An empty book for at most `accounts_max` accounts.
    pub fn new(accounts_max: usize) -> Self {
        Book {
            accounts_max,
            ..Default::default()
        }
    }

    /// The tally of an account. Look it up once a datagram, not once a record.
    pub fn account(&mut self, account: Account) -> &mut Tally {
        self.account_at(&mut Place::default(), account)
    }

    /// The tally of an account whose place may be known from the last time; the place is corrected if it was another's.
    pub fn account_at(&mut self, place: &mut Place, account: Account) -> &mut Tally {
        let known = self.tallies.get(place.0);
        if known.is_none_or(|(whose, _)| *whose != account) {
            place.0 = match self.places.get(&account) {
                Some(place) => *place,
                None if self.tallies.len() >= self.accounts_max => return &mut self.other,
                None => {
                    self.tallies.push((account, Tally::default()));
                    self.places.insert(account, self.tallies.len() - 1);
                    self.tallies.len() - 1
                }
            };
        }
        &mut self.tallies[place.0].1
    }

    /// What lies at a place, if anything does.
    pub fn look(&self, place: Place) -> Option<&(Account, Tally)> {
        self.tallies.get(place.0)
    }

    /// The tally of what belongs to no exporter.
    pub fn other(&mut self) -> &mut Tally {
        &mut self.other
    }

    /// The tally of what belongs to no exporter, to read.
    pub fn unassigned(&self) -> &Tally {
        &self.other
    }

    /// The accounts, in order of address and domain.
    pub fn accounts(&self) -> impl Iterator<Item = (&Account, &Tally)> {
        let mut sorted: Vec<_> = self.tallies.iter().map(|(a, t)| (a, t)).collect();
        sorted.sort_unstable_by_key(|(a, _)| **a);
        sorted.into_iter()
    }

    /// The sum of everything.
    pub fn total(&self) -> Tally {
        let mut t = self.other.clone();
        self.tallies.iter().for_each(|(_, a)| t.merge(a));
        t
    }

    /// Adds another thread's book.
    pub fn merge(&mut self, other: &Book) {
        for (account, tally) in other.accounts() {
            self.account(*account).merge(tally);
        }
        self.other.merge(&other.other);
    }

    /// The sum of one outcome.
    pub fn count(&self, o: Outcome) -> u64 {
        self.other.count(o) + self.tallies.iter().map(|(_, t)| t.count(o)).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_bounded_sorted_and_nothing_is_lost() {
        let mut book = Book::new(2);
        for last in [9, 3, 5, 3] {
            let mut addr = [0; 16];
            addr[15] = last;
            book.account((addr, 0)).one(Outcome::Rows);
        }
        let order: Vec<u8> = book.accounts().map(|(a, _)| a.0[15]).collect();
        assert_eq!(order, [3, 9]);
        assert_eq!(
            (book.count(Outcome::Rows), book.other().count(Outcome::Rows)),
            (4, 1)
        );
        let mut place = Place::default();
        let nine = book.tallies[0].0;
        book.account_at(&mut place, nine).one(Outcome::Sets);
        let three = book.tallies[1].0;
        book.account_at(&mut place, three).one(Outcome::Sets);
        assert_eq!(
            book.look(place).map(|(a, t)| (*a, t.count(Outcome::Sets))),
            Some((three, 1))
        );
        let mut sum = Book::new(9);
        sum.merge(&book);
        assert_eq!(sum.total(), book.total());
    }
}
