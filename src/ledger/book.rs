//! Tallies by exporter and domain.

use super::{Outcome, Tally};
use std::collections::BTreeMap;

/// Whose tally it is: the exporter's address (16 bytes, IPv4 mapped) and its observation domain.
pub type Account = ([u8; 16], u32);

/// Tallies of one thread. What belongs to no exporter is counted in `other`; once `accounts_max` accounts exist, new
/// ones are counted there, too, so the totals stay exact.
#[derive(Clone, Debug, Default)]
pub struct Book {
    accounts: BTreeMap<Account, Tally>,
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
        if self.accounts.len() >= self.accounts_max && !self.accounts.contains_key(&account) {
            return &mut self.other;
        }
        self.accounts.entry(account).or_default()
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
        self.accounts.iter()
    }

    /// The sum of everything.
    pub fn total(&self) -> Tally {
        let mut t = self.other.clone();
        self.accounts.values().for_each(|a| t.merge(a));
        t
    }

    /// Adds another thread's book.
    pub fn merge(&mut self, other: &Book) {
        for (account, tally) in &other.accounts {
            self.account(*account).merge(tally);
        }
        self.other.merge(&other.other);
    }

    /// The sum of one outcome.
    pub fn count(&self, o: Outcome) -> u64 {
        self.other.count(o) + self.accounts.values().map(|t| t.count(o)).sum::<u64>()
    }
}
