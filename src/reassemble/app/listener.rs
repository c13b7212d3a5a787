//! Conversations whose bytes somebody else puts in order, told in whole: what signature rules look into.

use super::dns;
use super::ear::Ear;
use super::expect::{Expectations, Transfer};
use super::known::{Ctx, Known};
use super::list::{Finding, find};
use super::message::{Visitor, Wishes};
use super::peek::{Confidence, Peek, Wire};
use super::reader::Reader;
use super::talk::{Ends, Heard, Peeking, endpoint, look_up, opens};
use crate::ledger::Tally;
use crate::model::AppProto;
use crate::reassemble::settings::AppSettings;
use crate::reassemble::stream::Piece;

/// Who listens to conversations whose bytes somebody else puts in order: what all of them share.
#[derive(Debug)]
pub struct Ears {
    settings: AppSettings,
    wishes: Wishes,
    expectations: Expectations,
    /// For conversations that tell their protocol at once, one after the other.
    peeking: Option<Box<Peeking>>,
}

impl Ears {
    /// Nothing heard yet. Bodies are unpacked and told where somebody wants them.
    pub fn new(settings: &AppSettings, bodies: bool) -> Self {
        Ears {
            settings: settings.clone(),
            wishes: Wishes { all: true, bodies },
            expectations: Expectations::new(
                settings.expected_max,
                i64::from(settings.expected_wait_s) * 1_000_000_000,
                settings.hash_seed,
            ),
            peeking: None,
        }
    }

    /// What another conversation announced of this one.
    pub fn expected(&self, heard: &Heard<'_>) -> Option<AppProto> {
        look_up(&self.expectations, heard)
    }

    /// What file a data connection of FTP is for, once, where its control connection said so.
    pub fn take_transfer(&mut self, heard: &Heard<'_>) -> Option<Transfer> {
        let ends = [0, 1].map(|n| endpoint(&heard.ends, n));
        self.expectations.take_transfer(ends)
    }

    /// Whether bodies of messages that begin from here on are unpacked and told.
    pub fn want_bodies(&mut self, bodies: bool) {
        self.wishes.bodies = bodies;
    }
}

/// What recognisers say of first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// This protocol.
    Is(AppProto),
    /// So far it may be something.
    More,
    /// Nobody knows them.
    Nothing,
}

/// What the first bytes of both halves say, of which `half` spoke last; of datagrams the one that came.
pub fn recognised(ends: &Ends, half: usize, first: [&[u8]; 2]) -> Found {
    let peek = Peek {
        transport: Wire::of(ends.proto),
        src_port: ends.ports[0],
        dst_port: ends.ports[1],
        first,
        half,
        before: b"",
    };
    match find(&peek, &mut 0) {
        Finding::Is(proto, _) => Found::Is(proto),
        Finding::More => Found::More,
        Finding::None => Found::Nothing,
    }
}

/// A conversation that is told in whole: every message, with bodies, from bytes in order.
#[derive(Debug, Default)]
pub struct Listener {
    /// Where the first bytes did not tell yet.
    peeking: Option<Box<Peeking>>,
    reader: Option<Reader>,
    known: Option<Box<Known>>,
    said: (AppProto, u8),
    is_done: bool,
}

impl Listener {
    /// One of which it is known what is spoken: it is told from its first byte.
    pub fn known(proto: AppProto, is_stream: bool) -> Self {
        let reader = match is_stream {
            true => Reader::of_stream(proto),
            false => Reader::of_datagrams(proto),
        };
        Listener {
            reader,
            said: (proto, Confidence::SURE.0),
            ..Self::default()
        }
    }

    /// The protocol, as far as it is known.
    pub fn proto(&self) -> AppProto {
        self.said.0
    }

    /// Whether the protocol is known for good, and none of which messages are told apart.
    pub fn is_settled(&self) -> bool {
        let told_apart = matches!(
            self.said.0,
            AppProto::Unknown | AppProto::Dns | AppProto::Mdns | AppProto::Llmnr
        );
        self.reader.is_none() && !told_apart && !opens(self.said.0)
    }

    /// Whether nothing more is told.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Of TLS whether neither side says more in the clear, and whether data of the application came.
    pub fn is_secret(&self) -> [bool; 2] {
        let reader = self.reader.as_ref();
        reader.map_or([false; 2], Reader::is_secret)
    }

    /// Takes a piece of a stream: `heard` says whose.
    pub fn piece(
        &mut self,
        ears: &mut Ears,
        heard: &Heard<'_>,
        piece: &Piece<'_>,
        tally: &mut Tally,
        visitor: &mut dyn Visitor,
    ) {
        self.hear(ears, heard, |ear| ear.piece(piece, tally, visitor));
    }

    /// Takes a datagram.
    pub fn datagram(
        &mut self,
        ears: &mut Ears,
        heard: &Heard<'_>,
        tally: &mut Tally,
        visitor: &mut dyn Visitor,
    ) {
        if matches!(
            self.said.0,
            AppProto::Dns | AppProto::Mdns | AppProto::Llmnr
        ) {
            self.dns(ears, heard, tally, visitor);
            return;
        }
        self.hear(ears, heard, |ear| ear.datagram(tally, visitor));
        if matches!(
            self.said.0,
            AppProto::Dns | AppProto::Mdns | AppProto::Llmnr
        ) {
            self.is_done = false;
            self.dns(ears, heard, tally, visitor);
        }
    }

    /// No more bytes of a half come: what ends with them is told.
    pub fn end(
        &mut self,
        ears: &mut Ears,
        heard: &Heard<'_>,
        tally: &mut Tally,
        visitor: &mut dyn Visitor,
    ) {
        self.hear(ears, heard, |ear| {
            ear.end(tally, visitor);
            true
        });
    }

    /// Memory that it takes beside itself, about.
    pub fn room(&self) -> usize {
        let peeking = self.peeking.as_ref().map_or(0, |p| p.room());
        peeking + self.reader.as_ref().map_or(0, Reader::room)
    }

    fn hear(&mut self, ears: &mut Ears, heard: &Heard<'_>, act: impl FnOnce(&mut Ear<'_>) -> bool) {
        if self.is_done {
            return;
        }
        let own = self.peeking.take();
        let is_unheard = own.as_ref().is_none_or(|p| p.rounds == 0);
        let is_new = is_unheard && self.said.0 == AppProto::Unknown;
        if is_new && let Some(proto) = look_up(&ears.expectations, heard) {
            self.said = (proto, Confidence::LIKELY.0);
        }
        let mut peeking = own.or_else(|| ears.peeking.take()).unwrap_or_default();
        let mut ear = Ear {
            peeking: &mut peeking,
            reader: &mut self.reader,
            known: &mut self.known,
            said: &mut self.said,
            heard,
            settings: &ears.settings,
            wishes: ears.wishes,
            expectations: &mut ears.expectations,
        };
        self.is_done = !act(&mut ear);
        if matches!(&self.reader, Some(Reader::Http(r)) if r.is_upgraded()) {
            self.said.0 = AppProto::Http2;
        }
        let is_told = self.said.0 != AppProto::Unknown && !opens(self.said.0);
        if is_told || self.is_done {
            peeking.reset();
            ears.peeking = Some(peeking);
        } else {
            self.peeking = Some(peeking);
        }
    }

    fn dns(
        &mut self,
        ears: &mut Ears,
        heard: &Heard<'_>,
        tally: &mut Tally,
        visitor: &mut dyn Visitor,
    ) {
        let mut ctx = Ctx {
            settings: &ears.settings,
            wishes: ears.wishes,
            known: &mut self.known,
            tally,
            visitor,
            time_ns: heard.time_ns,
            ends: &heard.ends,
            expectations: &mut ears.expectations,
        };
        dns::message(&mut ctx, heard.half, heard.segment.bytes);
    }
}
