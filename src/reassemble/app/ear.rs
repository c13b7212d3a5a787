//! Hears bytes of a conversation: tells its protocol, then hands them to who reads it.

use super::expect::Expectations;
use super::known::{Ctx, Known};
use super::list::{Finding, find};
use super::message::{Message, Visitor, Wishes};
use super::peek::{Confidence, Peek, Wire};
use super::reader::Reader;
use super::talk::{Heard, Peeking, opens};
use crate::ledger::Tally;
use crate::model::AppProto;
use crate::reassemble::settings::AppSettings;
use crate::reassemble::stream::Piece;

/// The parts of a talk that listen, apart from its stream.
pub(super) struct Ear<'a> {
    pub peeking: &'a mut Peeking,
    pub reader: &'a mut Option<Reader>,
    pub known: &'a mut Option<Box<Known>>,
    pub said: &'a mut (AppProto, u8),
    pub heard: &'a Heard<'a>,
    pub settings: &'a AppSettings,
    pub wishes: Wishes,
    pub expectations: &'a mut Expectations,
}

impl Ear<'_> {
    fn ctx<'c>(
        &'c mut self,
        tally: &'c mut Tally,
        visitor: &'c mut dyn Visitor,
    ) -> (Ctx<'c>, &'c mut Option<Reader>) {
        let ctx = Ctx {
            settings: self.settings,
            wishes: self.wishes,
            known: self.known,
            tally,
            visitor,
            time_ns: self.heard.time_ns,
            ends: &self.heard.ends,
            expectations: self.expectations,
        };
        (ctx, self.reader)
    }

    fn read(
        &mut self,
        half: usize,
        bytes: &[u8],
        tally: &mut Tally,
        visitor: &mut dyn Visitor,
    ) -> bool {
        let (mut ctx, reader) = self.ctx(tally, visitor);
        match reader {
            Some(reader @ Reader::Announcer(_)) => {
                let goes_on = reader.bytes(&mut ctx, half, bytes);
                goes_on || ctx.wishes.all
            }
            Some(reader) => reader.bytes(&mut ctx, half, bytes),
            None => {
                ctx.visitor.message(half, &Message::Other(bytes));
                ctx.wishes.all
            }
        }
    }

    /// Takes a piece of a stream; returns whether more is wanted.
    pub fn piece(
        &mut self,
        piece: &Piece<'_>,
        tally: &mut Tally,
        visitor: &mut dyn Visitor,
    ) -> bool {
        let half = usize::from(piece.half);
        if self.said.0 != AppProto::Unknown {
            let all = self.wishes.all;
            let goes_on = |r: &mut Reader| r.gap(half, piece.gap, all);
            if piece.gap > 0 && !self.reader.as_mut().is_none_or(goes_on) {
                return false;
            }
            return self.read(half, piece.bytes, tally, visitor);
        }
        let p = &mut *self.peeking;
        p.rounds = p.rounds.saturating_add(1);
        // rules must not lose a conversation that comes in tiny segments
        let goes_on = p.rounds < if self.wishes.all { u8::MAX } else { ROUNDS };
        let before = p.kept[half].len();
        let n = piece.bytes.len().min(PEEK - before);
        if n == 0 {
            return goes_on;
        }
        if before == 0 {
            p.out = 0;
        }
        // the first bytes of a half mostly tell, and are kept where they do not
        if before > 0 {
            p.kept[half].extend_from_slice(&piece.bytes[..n]);
        }
        let mut first: [&[u8]; 2] = [&p.kept[0], &p.kept[1]];
        if before == 0 {
            first[half] = &piece.bytes[..n];
        }
        let peek = Peek {
            transport: Wire::Tcp,
            src_port: self.heard.ends.ports[0],
            dst_port: self.heard.ends.ports[1],
            first,
            half,
            before: b"",
        };
        let found = find(&peek, &mut p.out);
        if let Finding::Is(proto, sure) = found {
            *self.said = (proto, sure.0);
            let rest = if before == 0 { 0 } else { n };
            return self.begin(half, &piece.bytes[rest..], tally, visitor);
        }
        if before == 0 {
            p.kept[half].extend_from_slice(&piece.bytes[..n]);
        }
        goes_on && (matches!(found, Finding::More) || p.kept[1 - half].is_empty())
    }

    /// No more bytes of the half that is heard come.
    pub fn end(&mut self, tally: &mut Tally, visitor: &mut dyn Visitor) {
        let half = self.heard.half;
        let (mut ctx, reader) = self.ctx(tally, visitor);
        if let Some(reader) = reader {
            reader.end(&mut ctx, half);
        }
    }

    /// The protocol is known: whoever reads it gets what is there.
    fn begin(
        &mut self,
        half: usize,
        rest: &[u8],
        tally: &mut Tally,
        visitor: &mut dyn Visitor,
    ) -> bool {
        *self.reader = Reader::of_stream(self.said.0);
        if self.reader.is_none() && !self.wishes.all {
            return false;
        }
        let mut goes_on = true;
        for which in [1 - half, half] {
            let kept = std::mem::take(&mut self.peeking.kept[which]);
            if goes_on && !kept.is_empty() {
                goes_on = self.read(which, &kept, tally, visitor);
            }
        }
        goes_on && (rest.is_empty() || self.read(half, rest, tally, visitor))
    }

    /// Takes a datagram; returns whether more is wanted.
    pub fn datagram(&mut self, tally: &mut Tally, visitor: &mut dyn Visitor) -> bool {
        let (half, fresh) = (self.heard.half, self.heard.segment.bytes);
        if self.said.0 != AppProto::Unknown && !opens(self.said.0) {
            return self.read(half, fresh, tally, visitor);
        }
        let p = &mut *self.peeking;
        p.rounds = p.rounds.saturating_add(1);
        let mut first: [&[u8]; 2] = [&p.before[0], &p.before[1]];
        first[half] = fresh;
        let peek = Peek {
            transport: Wire::of(self.heard.ends.proto),
            src_port: self.heard.ends.ports[0],
            dst_port: self.heard.ends.ports[1],
            first,
            half,
            before: &p.before[half],
        };
        let found = find(&peek, &mut p.out);
        if matches!(found, Finding::Is(AppProto::Rtp, _)) {
            let head = |half: usize| Some((*p.before[half].first_chunk()?, p.before_ns[half]));
            let before = Box::new([head(0), head(1)]);
            self.known.get_or_insert_default().before = Some(before);
        }
        let told = match found {
            Finding::Is(proto, sure) if !opens(self.said.0) || sure >= Confidence::LIKELY => {
                Some((proto, sure))
            }
            _ => None,
        };
        if told.is_none_or(|(proto, _)| opens(proto)) {
            p.before_ns[half] = self.heard.time_ns;
            p.before[half].clear();
            p.before[half].extend_from_slice(&fresh[..fresh.len().min(BEFORE)]);
        }
        let peeks_on = p.rounds < ROUNDS;
        match told {
            Some((proto, sure)) => {
                *self.said = (proto, sure.0);
                *self.reader = Reader::of_datagrams(proto);
                self.read(half, fresh, tally, visitor) || opens(proto) && peeks_on
            }
            None => peeks_on,
        }
    }
}

/// Bytes of each half of a stream that recognisers see.
const PEEK: usize = 512;
/// Bytes of an earlier datagram that recognisers see.
const BEFORE: usize = 64;
/// Pieces or datagrams that tell nothing before the protocol is given up.
const ROUNDS: u8 = 16;
