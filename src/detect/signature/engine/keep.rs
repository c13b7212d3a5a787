//! What is kept of a conversation while it goes on, when it is half over, and when it is over.

use super::Reading;
use super::flow::{Connection, Flow};
use super::talk::Talk;
use crate::ledger::{Outcome, Tally};

impl Reading {
    /// One side is done, and mostly the other one soon is: what is kept of the streams takes little.
    pub(super) fn rest(&mut self, c: &mut Connection) {
        let is_done = [0, 1].map(|half| c.is_done(half));
        for (raw, is_done) in c.raw.iter_mut().zip(is_done) {
            let before = raw.room();
            match is_done {
                true => self.spare.take(raw),
                false => self.spare.shrink(raw),
            }
            self.raw_bytes = (self.raw_bytes + raw.room()).saturating_sub(before);
        }
    }

    /// Nothing more comes of a connection: of what it said nothing is kept.
    pub(super) fn leave(&mut self, flow: &mut Flow, c: &mut Connection) {
        for raw in &mut c.raw {
            self.raw_bytes = self.raw_bytes.saturating_sub(raw.room());
            self.spare.take(raw);
        }
        let waits = |t: &mut Box<Talk>| !t.units().is_empty();
        if c.ended != [true; 2] || flow.talk.as_mut().is_none_or(waits) {
            return;
        }
        (flow.talk, flow.is_mute) = (None, true);
        self.forget_talk(flow);
    }

    /// Rules were tried with what was said: it is kept, where more may come.
    pub(super) fn settle_talk(&mut self, flow: &mut Flow, mut talk: Box<Talk>, tally: &mut Tally) {
        if flow.is_mute && talk.units().is_empty() {
            self.forget_talk(flow);
            return;
        }
        self.keep(flow, talk, tally);
    }

    /// What was counted for what a conversation said is free.
    pub(super) fn forget_talk(&mut self, flow: &mut Flow) {
        let room = std::mem::take(&mut flow.talk_room);
        self.talk_bytes = self.talk_bytes.saturating_sub(room as usize);
    }

    /// Keeps what a conversation said, as long as there is room.
    pub(super) fn keep(&mut self, flow: &mut Flow, talk: Box<Talk>, tally: &mut Tally) {
        let room = u32::try_from(talk.room()).unwrap_or(u32::MAX);
        self.forget_talk(flow);
        self.talk_bytes += room as usize;
        flow.talk_room = room;
        if self.talk_bytes <= self.settings.talk_bytes_max {
            flow.talk = Some(talk);
            return;
        }
        self.forget_talk(flow);
        flow.is_deaf = true;
        tally.one(Outcome::RuleTalksRefused);
    }
}
