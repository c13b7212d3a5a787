//! What is kept of sessions.

use super::super::keep::kept;
use super::super::keyed::Distinct;

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

/// What was said in the clear to be let in, as far as it was heard.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard {
    user: u64,
    words: Distinct<2>,
    /// Tries that no answer was heard to: with another password, and with one of before.
    fresh: u8,
    same: u8,
}

/// Whether refusals come at an even interval, as to a program that asks on and on with the password that it has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rhythm {
    pause_ms: u32,
    is_broken: bool,
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
kept!(Rhythm {
    pause_ms,
    is_broken
});

impl Heard {
    /// Takes a name, or the hash of a password with it.
    pub fn add(
        &mut self,
        user: Option<u64>,
        words: Option<u64>,
        hash: impl Fn(&(u64, u64)) -> u64,
    ) {
        if let Some(user) = user {
            self.user = user;
        }
        let Some(words) = words else { return };
        if self.words.count() >= WORDS_MAX {
            self.words = Distinct::default();
        }
        match self.words.add(hash(&(self.user, words))) {
            true => self.fresh = (self.fresh + 1).min(UNANSWERED_MAX),
            false => self.same = (self.same + 1).min(UNANSWERED_MAX),
        }
    }

    /// Whether a refusal answers a password that was tried before.
    pub fn is_same_again(&mut self) -> bool {
        if self.fresh > 0 {
            self.fresh -= 1;
            return false;
        }
        let is_same = self.same > 0;
        self.same = self.same.saturating_sub(1);
        is_same
    }
}

impl Rhythm {
    pub fn add(&mut self, pause_ms: i64) {
        let pause_ms = u32::try_from(pause_ms.max(1)).unwrap_or(u32::MAX);
        match self.pause_ms {
            0 => self.pause_ms = pause_ms,
            usual => self.is_broken |= pause_ms.abs_diff(usual) > usual / 10,
        }
    }

    pub fn is_even(&self) -> bool {
        !self.is_broken && self.pause_ms >= EVEN_MS
    }
}

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

/// Past so many passwords they are told apart no more.
const WORDS_MAX: u32 = 32;
/// Tries that may wait for their answer.
const UNANSWERED_MAX: u8 = 16;
/// Programs wait for so long before they try again what was refused.
const EVEN_MS: u32 = 20_000;
/// A reply may be seen a little before or after the row that it belongs to.
pub(super) const ASIDE_MS: i64 = 1_000;
