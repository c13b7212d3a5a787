//! What is kept of one conversation while somebody wants to know more of it.

use super::dns;
use super::ear::Ear;
use super::expect::{Endpoint, Expectations};
use super::known::{Before, Ctx, Known};
use super::list::Out;
use super::message::{Visitor, Wishes};
use super::peek::Confidence;
use super::reader::Reader;
use crate::ledger::{Outcome, Tally};
use crate::model::{Addr, AppProto, PayloadMap, prefetch};
use crate::reassemble::settings::{AppSettings, Settings};
use crate::reassemble::stream::{Piece, Segment, Stream, Streams};

/// What one conversation keeps. Half 0 is the side that began.
#[derive(Debug, Default)]
pub struct Talk {
    open: Option<Box<Open>>,
    known: Option<Box<Known>>,
    stage: Stage,
    proto: AppProto,
    confidence: u8,
    /// What is known of it is counted.
    is_named: bool,
    /// Octets of it came twice with different data.
    conflicts: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Unheard,
    Open,
    /// Each datagram is a message of DNS.
    Dns,
    /// Nothing more is wanted of it.
    Done,
}

/// The larger part, while the conversation is listened to.
#[derive(Debug, Default)]
struct Open {
    stream: Stream,
    peeking: Peeking,
    reader: Option<Reader>,
    /// Memory that was counted for it.
    room: usize,
}

/// First bytes, until they tell the protocol.
#[derive(Debug, Default)]
pub(super) struct Peeking {
    pub kept: [Vec<u8>; 2],
    pub before: [Vec<u8>; 2],
    pub before_ns: [i64; 2],
    pub out: Out,
    /// Pieces and datagrams that told nothing.
    pub rounds: u8,
}

/// Who speaks with whom: what recognisers see of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// IP protocol.
    pub proto: u8,
    /// Addresses of the side that began and of the other one.
    pub addrs: [Addr; 2],
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
    /// Conversations of which names are kept.
    named: usize,
    /// Bytes that conversations keep to be read.
    bytes: usize,
    expectations: Expectations,
}

/// What came, as [`Apps`] takes it.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// Who speaks with whom.
    pub ends: Ends,
    /// Which half: 0 is the side that began.
    pub half: usize,
    /// When, nanoseconds.
    pub time_ns: i64,
    /// The segment; of a datagram its bytes alone.
    pub segment: Segment<'a>,
    /// Where the halves of a stream go on, before this segment, as far as it is known: of one that is heard for the first time.
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

    /// Calls what it keeps into the cache, as far as a message in order needs it.
    #[inline]
    pub fn call(&self) {
        if let Some(open) = &self.open {
            prefetch(&open.stream);
            prefetch(&open.peeking);
        }
    }

    /// Whether octets of it came twice with different data, as far as it was listened to.
    #[inline]
    pub fn conflicts(&self) -> bool {
        self.conflicts
    }

    /// What it said of itself.
    #[inline]
    pub fn known(&self) -> Option<&Known> {
        self.known.as_deref()
    }

    /// Of RTP, once, the head of the last datagram of a half that came before it was known as that, and its time.
    pub fn take_before(&mut self) -> Before {
        let known = self.known.as_mut();
        known
            .and_then(|k| k.before.take())
            .map_or([None; 2], |b| *b)
    }

    /// Answers of DNS since this was asked last: microseconds of the slowest from its query, where that was seen, and the code of
    /// the first that failed, else 0.
    #[inline]
    pub fn take_answer(&mut self) -> Option<(Option<u32>, u8)> {
        self.known.as_mut()?.answer.take()
    }
}

impl Peeking {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        let kept = self.kept.iter().chain(&self.before);
        kept.map(Vec::capacity).sum()
    }

    /// As new, with its memory.
    pub fn reset(&mut self) {
        self.kept.iter_mut().for_each(Vec::clear);
        self.before.iter_mut().for_each(Vec::clear);
        (self.out, self.rounds) = (0, 0);
    }
}

impl Open {
    fn room(&self) -> usize {
        self.peeking.room() + self.reader.as_ref().map_or(0, Reader::room)
    }

    /// As new, with its memory.
    fn reset(&mut self) {
        self.peeking.reset();
        (self.stream, self.reader, self.room) = (Stream::default(), None, 0);
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
            named: 0,
            bytes: 0,
            expectations: Expectations::new(
                settings.app.expected_max,
                i64::from(settings.app.expected_wait_s) * 1_000_000_000,
                settings.app.hash_seed,
            ),
        }
    }

    /// Most bytes that it takes with these settings.
    pub fn memory_max(settings: &AppSettings) -> usize {
        settings
            .talks_max
            .saturating_mul(size_of::<Open>() + size_of::<Box<Open>>())
            .saturating_add(settings.names_max.saturating_mul(Known::BYTES_MAX))
            .saturating_add(settings.bytes_max)
            .saturating_add(Expectations::memory_max(settings.expected_max))
    }

    /// Conversations that are listened to.
    pub fn open(&self) -> usize {
        self.open
    }

    /// Bytes that are kept to be read, and segments that wait.
    pub fn bytes(&self) -> usize {
        self.bytes + self.streams.bytes()
    }

    /// What the dynamic payload types of media stand for that a half sends, where another conversation described them.
    pub fn payloads(&self, ends: &Ends, half: usize) -> Option<&PayloadMap> {
        let (to, from) = (endpoint(ends, 1 - half), endpoint(ends, half));
        self.expectations.payloads([to, from])
    }

    /// Hears a datagram: the payload of UDP, or what is behind an IP header.
    pub fn datagram(
        &mut self,
        talk: &mut Talk,
        heard: &Heard<'_>,
        tally: &mut Tally,
        visitor: &mut dyn Visitor,
    ) {
        let bytes = heard.segment.bytes;
        if bytes.is_empty() {
            return;
        }
        if talk.stage == Stage::Dns {
            self.dns(talk, heard, tally, visitor);
            return;
        }
        let is_new = talk.stage == Stage::Unheard;
        if !self.start(talk, tally) {
            return;
        }
        let Some(mut open) = talk.open.take() else {
            return;
        };
        if is_new {
            self.look_up(talk, heard);
        }
        let mut said = (talk.proto, talk.confidence);
        let mut ear = Ear {
            peeking: &mut open.peeking,
            reader: &mut open.reader,
            known: &mut talk.known,
            said: &mut said,
            heard,
            settings: &self.settings,
            wishes: self.wishes,
            expectations: &mut self.expectations,
        };
        let goes_on = ear.datagram(tally, visitor);
        (talk.proto, talk.confidence) = said;
        let is_dns = matches!(said.0, AppProto::Dns | AppProto::Mdns | AppProto::Llmnr);
        self.put_back(talk, open, goes_on && !is_dns, tally);
        if is_dns {
            talk.stage = Stage::Dns;
            self.dns(talk, heard, tally, visitor);
        }
    }

    /// Hears a segment of TCP.
    pub fn segment(
        &mut self,
        talk: &mut Talk,
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
        if is_new {
            self.begin(&mut open.stream, &heard.next, tally);
            self.look_up(talk, heard);
        }
        let goes_on = self.listen(
            talk,
            &mut open,
            heard,
            tally,
            |streams, stream, tally, each| {
                streams.segment(stream, heard.half, &heard.segment, tally, each);
            },
            visitor,
        );
        self.put_back(talk, open, goes_on, tally);
    }

    /// The conversation is over: what still waits is heard, and nothing more is kept.
    pub fn end(
        &mut self,
        talk: &mut Talk,
        heard: &Heard<'_>,
        tally: &mut Tally,
        visitor: &mut dyn Visitor,
    ) {
        if let Some(mut open) = talk.open.take() {
            self.listen(
                talk,
                &mut open,
                heard,
                tally,
                |streams, stream, tally, each| {
                    streams.end(stream, tally, each);
                },
                visitor,
            );
            self.put_back(talk, open, false, tally);
        }
        talk.stage = Stage::Done;
    }

    /// Nothing is kept any more of a conversation that is over ([`Apps::end`]).
    pub fn forget(&mut self, talk: &mut Talk) {
        self.named -= usize::from(talk.is_named);
        *talk = Talk::default();
    }

    /// Hears the pieces that `act` makes of a stream; returns whether more is wanted.
    fn listen(
        &mut self,
        talk: &mut Talk,
        open: &mut Open,
        heard: &Heard<'_>,
        tally: &mut Tally,
        act: impl FnOnce(&mut Streams, &mut Stream, &mut Tally, &mut dyn FnMut(Piece<'_>, &mut Tally)),
        visitor: &mut dyn Visitor,
    ) -> bool {
        let (mut said, mut goes_on) = ((talk.proto, talk.confidence), true);
        let mut ear = Ear {
            peeking: &mut open.peeking,
            reader: &mut open.reader,
            known: &mut talk.known,
            said: &mut said,
            heard,
            settings: &self.settings,
            wishes: self.wishes,
            expectations: &mut self.expectations,
        };
        let mut each = |piece: Piece<'_>, tally: &mut Tally| {
            goes_on = goes_on && ear.piece(&piece, tally, visitor);
        };
        act(&mut self.streams, &mut open.stream, tally, &mut each);
        (talk.proto, talk.confidence) = said;
        talk.conflicts |= open.stream.is_conflicting();
        goes_on
    }

    /// A conversation that another one announced is what that said, if its first bytes are no reason to doubt it.
    fn look_up(&self, talk: &mut Talk, heard: &Heard<'_>) {
        if let Some(proto) = look_up(&self.expectations, heard) {
            (talk.proto, talk.confidence) = (proto, Confidence::LIKELY.0);
        }
    }

    fn dns(
        &mut self,
        talk: &mut Talk,
        heard: &Heard<'_>,
        tally: &mut Tally,
        visitor: &mut dyn Visitor,
    ) {
        let mut ctx = Ctx {
            settings: &self.settings,
            wishes: self.wishes,
            known: &mut talk.known,
            tally,
            visitor,
            time_ns: heard.time_ns,
            ends: &heard.ends,
            expectations: &mut self.expectations,
        };
        dns::message(&mut ctx, heard.half, heard.segment.bytes);
        self.count_name(talk, tally);
    }

    /// Keeps what became known, as long as there is room.
    fn count_name(&mut self, talk: &mut Talk, tally: &mut Tally) {
        if talk.is_named || talk.known.is_none() {
            return;
        }
        if self.named >= self.settings.names_max {
            tally.one(Outcome::TalkNamesRefused);
            talk.known = None;
            return;
        }
        self.named += 1;
        talk.is_named = true;
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
                    .segment(stream, half, &start, tally, &mut |_, _| {});
            }
        }
    }

    /// Keeps on listening, or does not.
    fn put_back(&mut self, talk: &mut Talk, mut open: Box<Open>, goes_on: bool, tally: &mut Tally) {
        self.count_name(talk, tally);
        let room = if goes_on { open.room() } else { 0 };
        self.bytes = self.bytes + room - open.room;
        open.room = room;
        if goes_on && self.bytes <= self.settings.bytes_max {
            talk.open = Some(open);
            return;
        }
        if goes_on {
            tally.one(Outcome::TalksRefused);
            self.bytes -= room;
        }
        talk.stage = Stage::Done;
        self.open -= 1;
        for half in 0..2 {
            self.streams.close(&mut open.stream, half);
        }
        if self.free.len() < FREE {
            open.reset();
            self.free.push(open);
        }
    }
}

/// What another conversation announced of this one, if its first bytes are no reason to doubt it.
pub(super) fn look_up(expectations: &Expectations, heard: &Heard<'_>) -> Option<AppProto> {
    let ends = [0, 1].map(|n| endpoint(&heard.ends, n));
    let found = expectations.find(ends, heard.time_ns);
    found.filter(|p| may_be(*p, heard.segment.bytes))
}

pub(super) fn endpoint(ends: &Ends, half: usize) -> Endpoint {
    Endpoint {
        addr: ends.addrs[half],
        port: ends.ports[half],
    }
}

/// Whether it prepares what is spoken then: that is looked for a while longer.
pub(super) fn opens(proto: AppProto) -> bool {
    matches!(proto, AppProto::Stun | AppProto::Rtcp)
}

/// Whether what was announced may begin so.
fn may_be(proto: AppProto, bytes: &[u8]) -> bool {
    match proto {
        AppProto::Rtp | AppProto::Rtcp => bytes.first().is_some_and(|b| b >> 6 == 2),
        AppProto::Tftp => matches!(bytes, [0, 3..=6, ..]),
        _ => true,
    }
}

/// Memory of so many conversations is kept for others.
const FREE: usize = 4096;
