//! What is kept of one conversation while somebody wants to know more of it.

use super::list::{Finding, Out, find};
use super::message::{Message, Visitor, Wishes};
use super::peek::{Peek, Wire};
use crate::ledger::{Outcome, Tally};
use crate::model::AppProto;
use crate::reassemble::settings::{AppSettings, Settings};
use crate::reassemble::stream::{Piece, Segment, Stream, Streams};

/// What one conversation keeps. Half 0 is the side that began.
#[derive(Debug, Default)]
pub struct Talk {
    open: Option<Box<Open>>,
    stage: Stage,
    proto: AppProto,
    confidence: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Unheard,
    Open,
    /// Nothing more is wanted of it.
    Done,
}

/// The larger part, while the conversation is listened to.
#[derive(Debug, Default)]
struct Open {
    stream: Stream,
    peeking: Peeking,
}

/// First bytes, until they tell the protocol.
#[derive(Debug, Default)]
struct Peeking {
    kept: [Vec<u8>; 2],
    before: [Vec<u8>; 2],
    out: Out,
    /// Pieces and datagrams that told nothing.
    rounds: u8,
}

/// Who speaks with whom: what recognisers see of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// IP protocol.
    pub proto: u8,
    /// Ports of the side that began and of the other one; 0 where there are none.
    pub ports: [u16; 2],
}

/// Who listens to the conversations of a shard.
#[derive(Debug)]
pub struct Apps {
    settings: AppSettings,
    wishes: Wishes,
    streams: Streams,
    #[expect(clippy::vec_box, reason = "boxes change hands whole")]
    free: Vec<Box<Open>>,
    open: usize,
}

/// A segment of TCP, as [`Apps::segment`] takes it.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// Which half: 0 is the side that began.
    pub half: usize,
    /// The segment.
    pub segment: Segment<'a>,
    /// Where the halves go on, before this segment, as far as it is known: of a conversation that is heard for the first time.
    pub next: [Option<u32>; 2],
}

impl Talk {
    /// The protocol, and how sure that is: 0 to 100.
    #[inline]
    pub fn proto(&self) -> (AppProto, u8) {
        (self.proto, self.confidence)
    }

    /// Whether more of it is wanted.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.stage != Stage::Done
    }

    /// Peeks at bytes: the protocol, if they tell it. `fresh` are the bytes that just came.
    fn peek(
        &mut self,
        peeking: &mut Peeking,
        ends: &Ends,
        half: usize,
        fresh: &[u8],
        visitor: &mut dyn Visitor,
    ) -> bool {
        let wire = Wire::of(ends.proto);
        let is_stream = wire == Wire::Tcp;
        let other = 1 - half;
        peeking.rounds = peeking.rounds.saturating_add(1);
        let Peeking {
            kept,
            before,
            out,
            rounds,
        } = peeking;
        if is_stream {
            let room = PEEK.saturating_sub(kept[half].len());
            if room == 0 {
                return *rounds < ROUNDS;
            }
            if kept[half].is_empty() {
                *out = 0;
            }
            kept[half].extend_from_slice(&fresh[..fresh.len().min(room)]);
        }
        let mut first: [&[u8]; 2] = [&kept[0], &kept[1]];
        if !is_stream {
            first[half] = fresh;
            first[other] = &before[other];
        }
        let peek = Peek {
            transport: wire,
            src_port: ends.ports[0],
            dst_port: ends.ports[1],
            first,
            half,
            before: &before[half],
        };
        match find(&peek, out) {
            Finding::Is(proto, sure) => {
                (self.proto, self.confidence) = (proto, sure.0);
                visitor.message(half, &Message::Other(fresh));
                false
            }
            Finding::None if is_stream && first.iter().all(|f| !f.is_empty()) => false,
            _ => {
                if !is_stream {
                    before[half].clear();
                    before[half].extend_from_slice(&fresh[..fresh.len().min(BEFORE)]);
                }
                *rounds < ROUNDS
            }
        }
    }
}

impl Apps {
    /// Nothing heard yet. `wishes` are those of the visitor that is given with each call.
    pub fn new(settings: &Settings, wishes: Wishes) -> Self {
        Apps {
            settings: settings.app.clone(),
            wishes,
            streams: Streams::new(&settings.streams),
            free: vec![],
            open: 0,
        }
    }

    /// Conversations that are listened to.
    pub fn open(&self) -> usize {
        self.open
    }

    /// What the visitor wants.
    pub fn wishes(&self) -> Wishes {
        self.wishes
    }

    /// Hears a datagram: the payload of UDP, or what is behind an IP header.
    pub fn datagram(
        &mut self,
        talk: &mut Talk,
        ends: &Ends,
        half: usize,
        bytes: &[u8],
        tally: &mut Tally,
        visitor: &mut dyn Visitor,
    ) {
        if bytes.is_empty() || !self.start(talk, tally) {
            return;
        }
        let Some(mut open) = talk.open.take() else {
            return;
        };
        let goes_on = talk.peek(&mut open.peeking, ends, half, bytes, visitor);
        self.put_back(talk, open, goes_on);
    }

    /// Hears a segment of TCP.
    pub fn segment(
        &mut self,
        talk: &mut Talk,
        ends: &Ends,
        heard: &Heard<'_>,
        tally: &mut Tally,
        visitor: &mut dyn Visitor,
    ) {
        let is_new = talk.stage == Stage::Unheard;
        if is_new && heard.segment.len == 0 || !self.start(talk, tally) {
            return;
        }
        let Some(mut open) = talk.open.take() else {
            return;
        };
        let Open { stream, peeking } = &mut *open;
        if is_new {
            self.begin(stream, &heard.next, tally);
        }
        let mut goes_on = true;
        let mut each = |piece: Piece<'_>| {
            if goes_on {
                let half = usize::from(piece.half);
                goes_on = talk.peek(peeking, ends, half, piece.bytes, visitor);
            }
        };
        let segment = &heard.segment;
        self.streams
            .segment(stream, heard.half, segment, tally, &mut each);
        self.put_back(talk, open, goes_on);
    }

    /// The conversation is over.
    pub fn end(&mut self, talk: &mut Talk) {
        if let Some(open) = talk.open.take() {
            self.put_back(talk, open, false);
        }
        *talk = Talk::default();
    }

    /// Makes room to listen; false where nothing more is wanted or there is none.
    fn start(&mut self, talk: &mut Talk, tally: &mut Tally) -> bool {
        if talk.stage != Stage::Unheard {
            return talk.stage == Stage::Open;
        }
        if self.open >= self.settings.talks_max {
            tally.one(Outcome::TalksRefused);
            talk.stage = Stage::Done;
            return false;
        }
        self.open += 1;
        talk.stage = Stage::Open;
        talk.open = Some(self.free.pop().unwrap_or_default());
        true
    }

    /// Both halves start where they are known to.
    fn begin(&mut self, stream: &mut Stream, next: &[Option<u32>; 2], tally: &mut Tally) {
        for (half, next) in next.iter().enumerate() {
            if let Some(next) = next {
                let start = Segment {
                    seq: next.wrapping_sub(1),
                    syn: true,
                    ..Default::default()
                };
                self.streams
                    .segment(stream, half, &start, tally, &mut |_| {});
            }
        }
    }

    /// Keeps on listening, or does not.
    fn put_back(&mut self, talk: &mut Talk, mut open: Box<Open>, goes_on: bool) {
        if goes_on {
            talk.open = Some(open);
            return;
        }
        talk.stage = Stage::Done;
        self.open -= 1;
        for half in 0..2 {
            self.streams.close(&mut open.stream, half);
            open.peeking.kept[half].clear();
            open.peeking.before[half].clear();
        }
        open.stream = Stream::default();
        (open.peeking.out, open.peeking.rounds) = (0, 0);
        if self.free.len() < FREE {
            self.free.push(open);
        }
    }
}

/// Bytes of each half of a stream that recognisers see.
const PEEK: usize = 512;
/// Bytes of an earlier datagram that recognisers see.
const BEFORE: usize = 64;
/// Pieces or datagrams that tell nothing before the protocol is given up.
const ROUNDS: u8 = 16;
/// Memory of so many conversations is kept for others.
const FREE: usize = 4096;
