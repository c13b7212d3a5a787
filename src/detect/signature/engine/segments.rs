//! Segments of connections: when chunks of their streams are looked at, and what is tried with them.

use super::Reading;
use super::desk::At;
use super::flow::{Connection, Flow};
use super::hearing::Hearing;
use super::raw;
use super::session::Stage;
use crate::ledger::Tally;
use crate::model::TcpHeader;
use crate::reassemble::stream::Segment;

impl Reading {
    /// A segment of a connection.
    pub(super) fn segment(
        &mut self,
        flow: &mut Flow,
        c: &mut Connection,
        at: &At<'_>,
        tally: &mut Tally,
    ) {
        let (p, direction) = (at.p, at.direction);
        let other = 1 - direction;
        self.desk.streamed.clear();
        if std::mem::take(&mut c.due[direction]) {
            // a rule alerts once for what waited and for the packet with which it is looked at
            self.look_at(flow, c, direction, true, tally);
            c.raw[direction].end_message();
        }
        if c.raw[other].len() > 0 {
            self.answered(flow, c, at, tally);
        }
        let at = &At {
            is_told: flow.is_told_now(direction),
            ..*at
        };
        self.desk.packet(p, Some((&mut *flow, at)), tally);
        let Some(t) = p.tcp() else { return };
        if at.in_stream {
            self.listen(flow, c, at, &t, tally);
        }
        if self.desk.program.passes_streams {
            // what passes it goes before what transactions say
            self.look_at(flow, c, direction, false, tally);
        }
        let fin = at.in_stream && t.has(TcpHeader::FIN);
        let reset = c.session.stage == Stage::Reset;
        // what is sent with a SYN (RFC 7413) is tried once it is known that a connection is made
        if !t.has(TcpHeader::SYN) {
            self.units(flow, Some(at), Some(c), tally);
        }
        if c.raw[direction].len() >= self.settings.chunk_bytes || fin || reset {
            self.look_at(flow, c, direction, true, tally);
        }
        if reset {
            self.look_at(flow, c, other, true, tally);
        }
        if (fin || reset) && !c.ended[direction] {
            self.end_half(flow, c, direction, tally);
            self.units(flow, Some(at), Some(c), tally);
            self.rest(c);
        }
        if c.session.stage >= Stage::Ended && c.is_over() {
            self.leave(flow, c);
        }
    }

    /// The other side speaks, or has what a side sent.
    fn answered(&mut self, flow: &mut Flow, c: &mut Connection, at: &At<'_>, tally: &mut Tally) {
        let other = 1 - at.direction;
        let speaks = at.p.payload_len > 0;
        let turns = raw::TURNS.contains(&flow.application) || flow.is_encrypted;
        if !turns {
            if speaks {
                self.look_at(flow, c, other, false, tally);
                // what comes now changes nothing of what is found there
                self.desk.settle(Some(flow), Some(at.p));
            }
            return;
        }
        let is_http = flow.application == "http";
        if speaks || is_http && c.session.is_acked(other) {
            // where messages take turns a chunk ends with them, and is looked at with the next packet of its side
            let talk = flow.talk.as_ref().filter(|_| is_http);
            c.due[other] |= talk.is_none_or(|t| !t.is_saying(other));
        }
    }

    /// Puts a segment into its stream, and hears what is in order.
    fn listen(
        &mut self,
        flow: &mut Flow,
        c: &mut Connection,
        at: &At<'_>,
        t: &TcpHeader,
        tally: &mut Tally,
    ) {
        let p = at.p;
        let segment = Segment {
            seq: t.seq,
            syn: t.has(TcpHeader::SYN),
            ack: t.has(TcpHeader::ACK).then_some(t.ack),
            bytes: p.payload(),
            len: p.payload_len,
        };
        let mut hearing = Hearing {
            ears: &mut self.ears,
            settings: &self.settings,
            program: &self.desk.program,
            raw: &mut c.raw,
            raw_bytes: &mut self.raw_bytes,
            odd: &mut self.odd,
            spare: &mut self.spare,
            midway: c.session.is_midstream,
            cut: vec![],
        };
        self.streams.segment(
            &mut c.stream,
            at.direction,
            &segment,
            tally,
            &mut |piece, tally| hearing.piece(flow, &piece, p.time_ns, tally),
        );
        let cut = hearing.cut;
        self.look_at_cut(flow, c, cut, tally);
        self.found_others(flow, c, p.payload_len, tally);
    }

    /// Tries the rules about streams with the chunk of a direction; where that is whole another one begins.
    pub(super) fn look_at(
        &mut self,
        flow: &mut Flow,
        c: &mut Connection,
        direction: usize,
        is_whole: bool,
        tally: &mut Tally,
    ) {
        let established = c.session.is_established();
        let raw = &mut c.raw[direction];
        if raw.is_fresh() {
            self.desk.stream(flow, raw, direction, established, tally);
        }
        if is_whole && c.others.iter().any(|o| usize::from(o.half) == direction) {
            self.look_at_others(flow, c, direction);
        }
        let raw = &mut c.raw[direction];
        if !is_whole || raw.len() == 0 {
            return;
        }
        let kept = match flow.is_encrypted || self.raw_bytes > self.settings.raw_bytes_max {
            true => 0,
            false => self.settings.overlap_bytes,
        };
        let before = raw.room();
        raw.looked_at(kept, &mut self.spare);
        self.raw_bytes = (self.raw_bytes + raw.room()).saturating_sub(before);
        if c.raw[1 - direction].len() == 0
            && let Some(talk) = &mut flow.talk
        {
            talk.forget_last();
        }
    }
}
