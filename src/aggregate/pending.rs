//! Shares of flows on their way into the tables.

use super::sums::{Key, SumTable, Sums};
use super::talkers::{TalkerKey, Talkers};
use crate::model::{Addr, TalkerRole};

/// Shares that are known and not added yet, a few at a time, so that the memory that they go to is there when it is needed: each table
/// is a pass of its own over shares whose place was called for before. They are added in the order in which they came.
#[derive(Debug)]
pub struct Pending {
    shares: Vec<Share>,
    networks: Vec<(Key, u32, u32)>,
}

/// What all shares of a row have in common.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    /// The middle words of the keys of both sides ([`Key::side`]), [`NOWHERE`] where nothing is booked, and their hashes.
    pub sides: [u64; 2],
    pub hashes: [u64; 2],
    /// The last words of the keys: what came, and what left.
    pub names: [u64; 2],
    /// Hashes of source and destination, where they are counted.
    pub talkers: [u64; 2],
    pub row: u32,
}

#[derive(Clone, Copy, Debug)]
struct Share {
    sums: Sums,
    /// Minute and exporter.
    of: u64,
    names: [u64; 2],
    sides: [u64; 2],
    hashes: [u32; 2],
    talkers: [u32; 2],
    row: u32,
    talks: bool,
}

impl Pending {
    /// Room for what [`Pending::is_full`] allows and one flow of an ordinary life.
    pub fn new() -> Self {
        Pending {
            shares: Vec::with_capacity(SHARES_MAX + 16),
            networks: Vec::new(),
        }
    }

    /// Takes a share of a row and calls for where it goes.
    #[inline(always)]
    pub fn share(
        &mut self,
        of: u64,
        whole: &Whole,
        sums: Sums,
        table: &SumTable,
        talkers: Option<&Talkers>,
    ) {
        let mut share = Share {
            sums,
            of,
            names: whole.names,
            sides: whole.sides,
            hashes: whole.hashes.map(|h| table.hash(of, h)),
            talkers: [0; 2],
            row: whole.row,
            talks: talkers.is_some(),
        };
        share.hashes.iter().for_each(|h| table.call_slot(*h));
        if let Some(talkers) = talkers {
            share.talkers = whole.talkers.map(|h| talkers.hash(of, h));
            share.talkers.iter().for_each(|h| talkers.call_bucket(*h));
        }
        self.shares.push(share);
    }

    /// The last share went between networks.
    #[inline(always)]
    pub fn between(&mut self, table: &SumTable, key: Key) {
        let hash = table.hash_of(&key);
        table.call_slot(hash);
        self.networks
            .push((key, hash, self.shares.len() as u32 - 1));
    }

    /// Whether it is time to add.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.shares.len() >= SHARES_MAX
    }

    /// Adds everything; `addresses` are sources and destinations by row.
    pub fn add(
        &mut self,
        sums: &mut SumTable,
        networks: &mut SumTable,
        talkers: &mut Talkers,
        addresses: [&[Addr]; 2],
    ) {
        for share in &self.shares {
            share.hashes.iter().for_each(|h| sums.call_sums(*h));
        }
        for share in self.shares.iter().filter(|s| s.talks) {
            share.talkers.iter().for_each(|h| talkers.call_place(*h));
        }
        for share in &self.shares {
            for n in 0..2 {
                if share.sides[n] != NOWHERE {
                    let key = Key::of(share.of, share.sides[n], share.names[n]);
                    sums.add(&key, share.hashes[n], &share.sums);
                }
            }
        }
        for share in self.shares.iter().filter(|s| s.talks) {
            for (n, role) in ROLES.into_iter().enumerate() {
                let key = TalkerKey::of(share.of, role, addresses[n][share.row as usize]);
                talkers.add(&key, share.talkers[n], &share.sums);
            }
        }
        (self.networks.iter()).for_each(|(_, hash, _)| networks.call_sums(*hash));
        for (key, hash, share) in self.networks.drain(..) {
            networks.add(&key, hash, &self.shares[share as usize].sums);
        }
        self.shares.clear();
    }
}

/// The middle word of no key: names are bounded far below.
pub const NOWHERE: u64 = u64::MAX;
/// Shares that wait at a time: with what was called for they stay in the first-level cache.
const SHARES_MAX: usize = 64;
const ROLES: [TalkerRole; 2] = [TalkerRole::Source, TalkerRole::Destination];
