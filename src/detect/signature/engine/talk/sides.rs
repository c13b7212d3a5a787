//! Sides of transactions: which one begins, goes on, or belongs to which.

use super::super::unit::Unit;
use super::{OPEN_MAX, Said};
use crate::model::AppProto;

impl Said {
    /// Begins one side of the next transaction of a direction.
    pub(super) fn begin(&mut self, direction: usize) -> &mut Unit {
        if self.units.len() >= OPEN_MAX {
            // half of them at once, so that each costs little
            self.units.drain(..OPEN_MAX / 2);
            self.lost += OPEN_MAX as u64 / 2;
        }
        let each = matches!(
            self.proto,
            AppProto::Sip | AppProto::Snmp | AppProto::Krb5 | AppProto::Dhcp
        );
        // each message of these is a transaction
        let transaction = match each {
            true => self.begun.iter().sum(),
            false => self.begun[direction],
        };
        self.begun[direction] += 1;
        let at = self.units.len();
        if self.units.capacity() == 0 {
            // most conversations have one at a time
            self.units.reserve_exact(1);
        }
        self.units
            .push(Unit::new(direction, transaction, self.limits.wanted));
        &mut self.units[at]
    }

    /// Begins the answer of the next transaction. One that nobody asked for is a transaction of its own.
    pub(super) fn begin_answer(&mut self) -> &mut Unit {
        if self.begun[1] >= self.begun[0] {
            self.begun[0] = self.begun[1] + 1;
        }
        self.begin(1)
    }

    /// Begins another part of the transaction that a direction began last, in the place of the one before it.
    pub(super) fn begin_again(&mut self, direction: usize) -> &mut Unit {
        let transaction = self.begun[direction].saturating_sub(1);
        let is = |u: &Unit| u.direction == direction && u.transaction == transaction && !u.is_whole;
        if let Some(at) = self.units.iter().rposition(is) {
            self.units[at].restart();
            return &mut self.units[at];
        }
        self.begun[direction] = self.begun[direction].saturating_sub(1);
        self.begin(direction)
    }

    /// The side of a direction that is open, or the next one.
    pub(super) fn open(&mut self, direction: usize) -> &mut Unit {
        let is = |u: &Unit| u.direction == direction && !u.is_whole;
        match self.units.iter().rposition(is) {
            Some(at) => &mut self.units[at],
            None => self.begin(direction),
        }
    }

    /// The side of a transaction that goes on; one that gave way to others begins anew.
    pub(super) fn unit_of(&mut self, direction: usize, transaction: u64) -> &mut Unit {
        let is = |u: &Unit| u.direction == direction && u.transaction == transaction;
        match self.units.iter().rposition(is) {
            Some(at) => &mut self.units[at],
            None => self.begin(direction),
        }
    }
}
