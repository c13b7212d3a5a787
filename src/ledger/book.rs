//! Tallies by exporter and domain.

use super::{Outcome, Tally};
use std::collections::{BTreeMap, HashMap};

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

/// Tallies of one thread. An exporter's domain 0 takes what further domains would have counted once it has `domains_max`
/// accounts, or the domains of all exporters half of the `accounts_max` there may be. Exporters for which there is no account
/// share `rest`, which also takes over accounts that were silent for long while few are left. The totals stay exact.
#[derive(Debug, Default)]
pub struct Book {
    places: HashMap<Account, usize>,
    tallies: Vec<Entry>,
    /// Accounts of an exporter beside domain 0, and of all.
    domains: HashMap<[u8; 16], usize>,
    domains_all: usize,
    /// What belongs to no exporter.
    other: Tally,
    /// What belongs to exporters without an account.
    rest: Tally,
    limits: Limits,
    now_s: i64,
    looked_s: i64,
}

impl Clone for Book {
    fn clone(&self) -> Self {
        let mut copy = Book::default();
        copy.clone_from(self);
        copy
    }

    /// Copies into memory that is there: a shard's books are copied many times a second, and those of 10,000 exporters are tens of megabytes.
    fn clone_from(&mut self, from: &Self) {
        let Book {
            places,
            tallies,
            domains,
            domains_all,
            other,
            rest,
            limits,
            now_s,
            looked_s,
        } = from;
        self.places.clone_from(places);
        self.tallies.clone_from(tallies);
        self.domains.clone_from(domains);
        (self.other, self.rest) = (other.clone(), rest.clone());
        (self.domains_all, self.limits) = (*domains_all, *limits);
        (self.now_s, self.looked_s) = (*now_s, *looked_s);
    }
}

/// An account with its tally.
#[derive(Clone, Debug)]
pub struct Entry {
    account: Account,
    seen_s: i64,
    tally: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    accounts_max: usize,
    domains_max: usize,
    idle_s: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            accounts_max: 0,
            domains_max: usize::MAX,
            idle_s: i64::MAX,
        }
    }
}

impl Book {
    /// An empty book for at most `accounts_max` accounts, half of them of domains other than 0.
    pub fn new(accounts_max: usize) -> Self {
        let mut book = Book::default();
        book.limits.accounts_max = accounts_max;
        book
    }

    /// With at most `domains_max` accounts of one exporter beside domain 0.
    pub fn with_domains_max(mut self, domains_max: usize) -> Self {
        self.limits.domains_max = domains_max;
        self
    }

    /// With accounts that give way when half of all are there and they were silent for so long, by [`Book::tick`].
    pub fn with_idle_s(mut self, idle_s: u64) -> Self {
        self.limits.idle_s = i64::try_from(idle_s).unwrap_or(i64::MAX);
        self
    }

    /// Most bytes of a book with so many accounts.
    pub fn bytes_max(accounts: usize) -> usize {
        let buckets = accounts.saturating_mul(8) / 7;
        let found = buckets.saturating_mul(2 * (size_of::<(Account, usize)>() + 1));
        // the list grows by doubling
        accounts
            .saturating_mul(2 * size_of::<Entry>())
            .saturating_add(found)
    }

    /// The tally of an account. Look it up once a datagram, not once a record.
    pub fn account(&mut self, account: Account) -> &mut Tally {
        self.account_at(&mut Place::default(), account)
    }

    /// The tally of an account whose place may be known from the last time; the place is corrected if it was another's.
    pub fn account_at(&mut self, place: &mut Place, account: Account) -> &mut Tally {
        let known = self.tallies.get(place.0);
        if known.is_none_or(|e| e.account != account) {
            let found = self.places.get(&account).copied();
            let Some(found) = found.or_else(|| self.open(account)) else {
                self.rest.one(Outcome::AccountsRefused);
                return &mut self.rest;
            };
            place.0 = found;
        }
        let entry = &mut self.tallies[place.0];
        entry.seen_s = self.now_s;
        if entry.account != account {
            entry.tally.one(Outcome::AccountsRefused);
        }
        &mut entry.tally
    }

    /// Lets time pass. Once a minute, when more than half of the accounts exist, those that were silent for long give way.
    pub fn tick(&mut self, now_ns: i64) {
        self.now_s = now_ns / 1_000_000_000;
        let crowded = self.tallies.len() > self.limits.accounts_max / 2;
        if !crowded || (self.now_s - self.looked_s).abs() < LOOK_S {
            return;
        }
        self.looked_s = self.now_s;
        let before_s = self.now_s.saturating_sub(self.limits.idle_s);
        let mut at = 0;
        while at < self.tallies.len() {
            if self.tallies[at].seen_s < before_s {
                self.close(at);
            } else {
                at += 1;
            }
        }
    }

    /// What lies at a place, if anything does.
    pub fn look(&self, place: Place) -> Option<&Entry> {
        self.tallies.get(place.0)
    }

    /// The tally of what belongs to no exporter.
    pub fn other(&mut self) -> &mut Tally {
        &mut self.other
    }

    /// The tally of exporters without an account of their own, to read.
    pub fn rest(&self) -> &Tally {
        &self.rest
    }

    /// What stands in no account: of no exporter, or of exporters without one.
    pub fn unassigned(&self) -> Tally {
        let mut t = self.other.clone();
        t.merge(&self.rest);
        t
    }

    /// The accounts, in order of address and domain.
    pub fn accounts(&self) -> impl Iterator<Item = (&Account, &Tally)> {
        let mut sorted: Vec<_> = self
            .tallies
            .iter()
            .map(|e| (&e.account, &e.tally))
            .collect();
        sorted.sort_unstable_by_key(|(a, _)| **a);
        sorted.into_iter()
    }

    /// The sum of everything.
    pub fn total(&self) -> Tally {
        let mut t = self.unassigned();
        self.tallies.iter().for_each(|e| t.merge(&e.tally));
        t
    }

    /// Adds another thread's book.
    pub fn merge(&mut self, other: &Book) {
        for (account, tally) in other.accounts() {
            self.account(*account).merge(tally);
        }
        self.other.merge(&other.other);
        self.rest.merge(&other.rest);
    }

    /// The sum of one outcome.
    pub fn count(&self, o: Outcome) -> u64 {
        let accounts = self.tallies.iter().map(|e| e.tally.count(o));
        self.other.count(o) + self.rest.count(o) + accounts.sum::<u64>()
    }

    /// Makes an account, or finds the one that stands in for it.
    fn open(&mut self, account: Account) -> Option<usize> {
        let (addr, domain) = account;
        let Limits {
            accounts_max,
            domains_max,
            ..
        } = self.limits;
        if domain != 0 {
            let own = self.domains.get(&addr).copied().unwrap_or(0);
            if own >= domains_max || self.domains_all >= accounts_max.div_ceil(2) {
                let stand_in = (addr, 0);
                let known = self.places.get(&stand_in).copied();
                return known.or_else(|| self.open(stand_in));
            }
        }
        if self.tallies.len() >= accounts_max {
            return None;
        }
        if domain != 0 {
            *self.domains.entry(addr).or_default() += 1;
            self.domains_all += 1;
        }
        self.tallies.push(Entry {
            account,
            seen_s: self.now_s,
            tally: Tally::default(),
        });
        self.places.insert(account, self.tallies.len() - 1);
        Some(self.tallies.len() - 1)
    }

    /// Gives up an account: what it counted goes to the rest.
    fn close(&mut self, at: usize) {
        let gone = self.tallies.swap_remove(at);
        self.rest.merge(&gone.tally);
        self.places.remove(&gone.account);
        if let Some(moved) = self.tallies.get(at) {
            self.places.insert(moved.account, at);
        }
        let (addr, domain) = gone.account;
        if domain != 0 {
            self.domains_all -= 1;
            if let Some(own) = self.domains.get_mut(&addr) {
                *own -= 1;
                if *own == 0 {
                    self.domains.remove(&addr);
                }
            }
        }
    }
}

/// What a book gained since it was looked at last, so that the sum of what is told is what the book holds, also when
/// accounts gave way or came again since.
#[derive(Debug, Default)]
pub struct Gains {
    told: BTreeMap<Account, Tally>,
    unassigned: Tally,
}

impl Gains {
    /// The counts that are new, in order of account; what stands in no account comes last, under no exporter.
    pub fn of(&mut self, book: &Book) -> Vec<(Account, Tally)> {
        let now: BTreeMap<Account, &Tally> = book.accounts().map(|(a, t)| (*a, t)).collect();
        let unassigned = &mut self.unassigned;
        // an account that is not there any more, or counts from 0 again, gave all that was told to the rest
        self.told.retain(|account, told| {
            let same = now.get(account).is_some_and(|t| t.covers(told));
            if !same {
                unassigned.merge(told);
            }
            same
        });
        let mut gained = vec![];
        for (account, tally) in now {
            let told = self.told.entry(account).or_default();
            if told != tally {
                gained.push((account, tally.since(told)));
                told.clone_from(tally);
            }
        }
        let tally = book.unassigned();
        if tally != self.unassigned {
            gained.push((([0; 16], 0), tally.since(&self.unassigned)));
            self.unassigned = tally;
        }
        gained
    }
}

/// Seconds between two looks for accounts that may give way.
const LOOK_S: i64 = 60;

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
            (book.count(Outcome::Rows), book.rest().count(Outcome::Rows)),
            (4, 1)
        );
        let mut place = Place::default();
        let nine = book.tallies[0].account;
        book.account_at(&mut place, nine).one(Outcome::Sets);
        let three = book.tallies[1].account;
        book.account_at(&mut place, three).one(Outcome::Sets);
        assert_eq!(
            book.look(place)
                .map(|e| (e.account, e.tally.count(Outcome::Sets))),
            Some((three, 1))
        );
        let mut sum = Book::new(9);
        sum.merge(&book);
        assert_eq!(sum.total(), book.total());
    }

    fn addr(n: u16) -> [u8; 16] {
        let mut addr = [0; 16];
        addr[14..].copy_from_slice(&n.to_be_bytes());
        addr
    }

    #[test]
    fn one_exporter_does_not_take_the_accounts_of_others() {
        let mut book = Book::new(64).with_domains_max(8);
        for domain in 0..40_000 {
            book.account((addr(1), domain)).one(Outcome::Rows);
        }
        let own = |book: &Book, n| book.accounts().filter(|(a, _)| a.0 == addr(n)).count();
        assert_eq!(own(&book, 1), 9);
        let counted = book.account((addr(1), 0)).count(Outcome::Rows);
        assert_eq!(counted, 40_000 - 8);
        assert_eq!(book.count(Outcome::AccountsRefused), 39_999 - 8);
        // many that do so leave domain 0 to everybody
        for n in 2..32 {
            (1..20).for_each(|domain| book.account((addr(n), domain)).one(Outcome::Rows));
        }
        book.account((addr(32), 7)).one(Outcome::Rows);
        assert_eq!(book.account((addr(32), 0)).count(Outcome::Rows), 1);
        assert!(book.rest().is_zero());
        assert_eq!(book.count(Outcome::Rows), 40_000 + 30 * 19 + 1);
    }

    #[test]
    fn accounts_that_are_silent_give_way_when_few_are_left_and_what_is_told_stays_exact() {
        let second = 1_000_000_000;
        let mut book = Book::new(4).with_idle_s(600);
        let (mut gains, mut told) = (Gains::default(), Tally::default());
        let mut tell = |book: &Book| {
            let news = gains.of(book);
            news.iter().for_each(|(_, t)| told.merge(t));
            assert_eq!(told, book.total());
            news.into_iter()
                .map(|(a, t)| (a.0[15], t.count(Outcome::Rows)))
                .collect::<Vec<_>>()
        };
        book.tick(0);
        book.account((addr(1), 0)).add(Outcome::Rows, 5);
        book.account((addr(2), 0)).add(Outcome::Rows, 6);
        assert_eq!(tell(&book), [(1, 5), (2, 6)]);
        book.tick(700 * second);
        assert_eq!(book.accounts().count(), 2, "there is room");
        book.account((addr(3), 0)).add(Outcome::Rows, 7);
        book.account((addr(1), 0)).add(Outcome::Rows, 1);
        book.tick(800 * second);
        let left: Vec<u8> = book.accounts().map(|(a, _)| a.0[15]).collect();
        assert_eq!((left, book.rest().count(Outcome::Rows)), (vec![1, 3], 6));
        assert_eq!(tell(&book), [(1, 1), (3, 7)]);
        // one that comes again counts anew
        book.account((addr(2), 0)).add(Outcome::Rows, 2);
        assert_eq!(tell(&book), [(2, 2)]);
        // also when it went and came between two looks
        book.tick(900 * second);
        book.account((addr(3), 0)).add(Outcome::Rows, 1);
        book.tick(1450 * second);
        let mut place = Place::default();
        book.account_at(&mut place, (addr(1), 0))
            .add(Outcome::Rows, 2);
        assert_eq!(tell(&book), [(1, 2), (3, 1)]);
    }
}
