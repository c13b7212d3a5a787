//! What is kept of sessions.

use super::super::keep::kept;

/// A session that is over.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Session {
    pub start_ms: i64,
    pub life_ms: u32,
    pub bytes: u32,
    /// Of the other direction; 0 where that is a row of its own.
    pub back: u32,
    pub packets: u16,
    pub closely: bool,
}

/// A session as far as its rows have told of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lasting {
    pub conversation: u64,
    pub start_ms: i64,
    pub packets: u64,
    pub bytes: u64,
    pub back: u64,
}

/// How long offers, and what goes on from them, are in each direction, bytes: the same software says the same each time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys {
    pub there: (u32, u32),
    pub back: (u32, u32),
}

/// How many there were within a time, and since when.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    began_ms: i64,
    pub n: u32,
}

kept!(Session {
    start_ms,
    life_ms,
    bytes,
    back,
    packets,
    closely
});

kept!(Tally { began_ms, n });

impl Tally {
    pub fn add(&mut self, at_ms: i64, window_ms: i64) {
        if at_ms.saturating_sub(self.began_ms) > window_ms {
            *self = Tally {
                began_ms: at_ms,
                n: 0,
            };
        }
        self.n = self.n.saturating_add(1);
    }

    /// How many there are, where the last one began the time or is within it.
    pub fn of(&self, at_ms: i64, window_ms: i64) -> u32 {
        match at_ms.saturating_sub(self.began_ms) > window_ms {
            true => 0,
            false => self.n,
        }
    }
}

impl Session {
    /// Whether something at a time was while it lasted.
    pub fn has(&self, at_ms: i64) -> bool {
        let end_ms = self.start_ms.saturating_add(self.life_ms.into());
        (self.start_ms..=end_ms.saturating_add(ASIDE_MS)).contains(&at_ms)
    }
}

/// A reply may be seen a little before or after the row that it belongs to.
pub(super) const ASIDE_MS: i64 = 1_000;
