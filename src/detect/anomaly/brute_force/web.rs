//! Logins over HTTP: what is tried in a conversation, and whether it was refused.
//!
//! Credentials of a header are refused by a status. A form is answered with a page, and all that tells is that one password after the other
//! gets the same: status, length, and where it leads to. The answer that differs is the one of the password that was right.

use super::super::Ctx;
use super::super::arena::Held;
use super::super::keyed::Distinct;
use super::super::payload;
use super::super::sighting::{DeniedSeen, Web, WebSeen};

/// What a client tries with a server.
#[derive(Debug, Default)]
pub(super) struct Tries {
    began_ms: i64,
    last_ms: i64,
    pending: [Pending; PENDING],
    /// Different passwords: the same again is no guess.
    words: Distinct<4>,
    /// The form that is tried, how its answers look, and how many looked so.
    path: u64,
    like: Look,
    alike: u32,
}

/// What was sent in a conversation, and is not answered yet.
#[derive(Clone, Copy, Debug, Default)]
struct Pending {
    client_port: u16,
    path: u64,
    /// 0: its form is not there yet.
    words: u64,
    is_form: bool,
    time_ms: i64,
}

/// How an answer looks.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    status: u16,
    place: u64,
    bytes: u32,
}

/// What an answer says of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    /// It is wrong; of a form it is only known that it gets what others get.
    Wrong {
        is_form: bool,
    },
    Right,
}

impl Held for Tries {
    fn suspicion(&self) -> u32 {
        self.words.count()
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
}

impl Tries {
    /// Takes what is sent, or what is answered; what that says.
    pub fn take(&mut self, ctx: &Ctx<'_>, w: &WebSeen) -> Option<Word> {
        if w.time_ms.saturating_sub(self.began_ms) > FORGET_MS && self.is_over(w) {
            *self = Tries {
                began_ms: w.time_ms,
                ..Tries::default()
            };
        }
        self.last_ms = ctx.now_ms;
        match w.what {
            Web::Tried {
                path,
                words,
                is_form,
            } => self.sends(w, (path, words), is_form),
            Web::Posts { path } => self.sends(w, (path, 0), true),
            Web::Form { words } => {
                let of = self.pending.iter_mut().find(|p| p.is_of(w))?;
                if of.words == 0 {
                    of.words = words;
                }
            }
            Web::Answer {
                status,
                place,
                bytes,
            } => {
                let of = self.pending.iter_mut().find(|p| p.is_of(w))?;
                let tried = std::mem::take(of);
                let look = Look {
                    status,
                    place,
                    bytes,
                };
                return (tried.words != 0).then(|| self.answered(ctx, tried, look))?;
            }
        }
        None
    }

    /// Whether nothing was tried for long: who goes on guessing is known by what he did.
    fn is_over(&self, w: &WebSeen) -> bool {
        let latest = self.pending.iter().map(|p| p.time_ms).max().unwrap_or(0);
        w.time_ms.saturating_sub(latest.max(self.last_ms)) > FORGET_MS
    }

    fn sends(&mut self, w: &WebSeen, (path, words): (u64, u64), is_form: bool) {
        let known = self.pending.iter().position(|p| p.is_of(w));
        let oldest = || (0..PENDING).min_by_key(|i| self.pending[*i].time_ms);
        let Some(at) = known.or_else(oldest) else {
            return;
        };
        self.pending[at] = Pending {
            client_port: w.client_port,
            path,
            words,
            is_form,
            time_ms: w.time_ms,
        };
    }

    fn answered(&mut self, ctx: &Ctx<'_>, tried: Pending, look: Look) -> Option<Word> {
        let lets_in = (200..400).contains(&look.status);
        if self.words.count() > WORDS_MAX {
            self.words = Distinct::default();
        }
        if !tried.is_form {
            return match look.status {
                401 | 403 => self
                    .is_new(ctx, tried)
                    .then_some(Word::Wrong { is_form: false }),
                _ => lets_in.then_some(Word::Right),
            };
        }
        if look.status == 0 || look.status >= 404 {
            return None;
        }
        if tried.path == self.path && look.is_like(self.like) {
            let is_new = self.is_new(ctx, tried);
            self.alike = self.alike.saturating_add(u32::from(is_new));
            return (is_new && self.alike >= ALIKE).then_some(Word::Wrong { is_form: true });
        }
        if tried.path == self.path && self.alike >= ALIKE {
            return lets_in.then_some(Word::Right);
        }
        (self.path, self.like, self.alike) = (tried.path, look, 1);
        self.is_new(ctx, tried);
        None
    }

    fn is_new(&mut self, ctx: &Ctx<'_>, tried: Pending) -> bool {
        self.words.add(ctx.keyed.hash(&tried.words))
    }
}

impl Pending {
    fn is_of(&self, w: &WebSeen) -> bool {
        self.time_ms != 0 && self.client_port == w.client_port
    }
}

impl Look {
    /// Pages say back what was typed, so that they are not of one length to the byte.
    fn is_like(&self, other: Look) -> bool {
        let off = self.bytes.abs_diff(other.bytes);
        self.status == other.status
            && self.place == other.place
            && off <= (other.bytes / 20).max(OFF)
    }
}

/// The same in the words of other services.
pub(super) fn denied(w: &WebSeen) -> DeniedSeen {
    DeniedSeen {
        client: w.client,
        server: w.server,
        port: w.port,
        service: payload::HTTP,
        client_port: w.client_port,
        bytes: w.bytes,
        time_ms: w.time_ms,
    }
}

/// Conversations side by side.
const PENDING: usize = 16;
const FORGET_MS: i64 = 600_000;
/// Past so many passwords they are told apart no more.
const WORDS_MAX: u32 = 500;
/// So many answers that look alike are how a form refuses.
const ALIKE: u32 = 3;
/// Bytes by which answers of one kind differ.
const OFF: u32 = 64;
