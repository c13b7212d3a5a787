//! What conversations say, as buffers of transactions. A protocol is a file here.

mod asn;
mod dce;
mod dns;
mod files;
mod first;
mod frames;
mod ftp;
mod heads;
mod http;
mod industry;
mod kept;
mod limits;
mod mail;
mod mime;
mod mqtt;
mod odd;
mod remote;
mod sides;
mod sip;
mod smb;
mod ssh;
mod taken;
mod tls;
mod upgrade;
pub(super) mod uri;

pub(super) use asn::snmp_message;
pub(super) use dns::records as dns_records;
pub(super) use files::FILE_SIZE_AT_LEAST;
pub(super) use frames::is_setting;
pub(super) use taken::{answers, is_request};
pub(super) use tls::told_later;

use super::super::buffer::Buffer;
use super::super::settings::EngineSettings;
use super::unit::Unit;
use super::wanted::Wanted;
use crate::ledger::Tally;
use crate::model::{Addr, AppProto, prefetch};
use crate::reassemble::app::{Ears, Heard, Listener, Message, Visitor};
use crate::reassemble::stream::Piece;
use first::First;
use limits::{Limits, what_waits};
use std::collections::VecDeque;
use taken::Taken;
use upgrade::{Lines, Upgrade};

/// A conversation that is read.
#[derive(Debug, Default)]
pub(super) struct Talk {
    listener: Listener,
    stage: Stage,
    first: First,
    /// Pieces that were heard.
    pieces: u8,
    said: Said,
}

/// How far it is known what is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Its first bytes are to tell.
    #[default]
    Open,
    Known,
    /// They told nothing.
    Failed,
}

/// What it said and rules were not tried with, and what its parts keep.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Sides of transactions that are open.
    pub units: Vec<Unit>,
    /// What clients asked and was not answered yet: alerts about the answers tell of it.
    asked: VecDeque<Unit>,
    /// Memory that these take beside themselves: they do not change.
    asked_room: usize,
    /// The last sides that are whole, while what they were said with waits to be looked at: alerts about that tell of them.
    last: Option<Box<[Option<Unit>; 2]>>,
    proto: AppProto,
    /// Transactions that were begun, by direction.
    begun: [u64; 2],
    limits: Limits,
    time_ns: i64,
    /// The client's address.
    client: Addr,
    http: http::Http,
    /// Of protocols that few conversations speak.
    more: Option<Box<More>>,
    /// What was raised of requests that are not answered.
    odd: odd::Odd,
    /// Who said the last message of DNS that could be read, where nothing was raised of it.
    dns_last: Option<usize>,
    /// Bytes come in order, and no datagrams.
    is_stream: bool,
    file: Vec<u8>,
    /// The protocol is one of which nothing is read here.
    is_unread: bool,
    /// Limits of one conversation that were met: something of what it says is not read.
    lost: u64,
    /// On the way to TLS, and what the conversation was before.
    upgrade: Upgrade,
    was: &'static str,
}

/// What the parts of protocols keep that few conversations speak.
#[derive(Debug, Default)]
struct More {
    mail: mail::Mail,
    ssh: ssh::Ssh,
    ftp: ftp::Ftp,
    smb: smb::Smb,
    kerberos: asn::Kerberos,
    mqtt: mqtt::Mqtt,
    dce: dce::Dce,
    industry: industry::Industry,
    remote: remote::Remote,
    lines: Lines,
}

impl More {
    /// Memory that it takes.
    fn room(&self) -> usize {
        let kept = self.mail.room() + self.smb.room() + self.kerberos.room() + self.mqtt.room();
        let rare = self.dce.room() + self.industry.room() + self.remote.room();
        let lines = self.ssh.room() + self.ftp.room() + self.lines.room();
        size_of::<Self>() + kept + rare + lines
    }
}

impl Talk {
    /// A conversation of which nothing was heard, and of which this is wanted.
    pub fn new(settings: &EngineSettings, wanted: &Wanted) -> Self {
        let mut talk = Talk::default();
        talk.said.limits = Limits::of(settings, wanted);
        talk
    }

    /// Its beginning was not seen: whoever speaks first may be the one that was asked.
    pub fn begins_midway(&mut self) {
        self.first.is_midway = true;
    }

    /// What is wanted of what it says from here on.
    #[inline]
    pub fn want(&mut self, wanted: &Wanted) {
        self.said.limits.wanted = *wanted;
    }

    /// The application protocol in Suricata's word; empty while it is not known.
    pub fn application(&self) -> &'static str {
        match self.listener.proto() {
            AppProto::Unknown if !self.said.was.is_empty() => self.said.was,
            // a datagram that tells nothing is enough, and another one may tell more
            AppProto::Unknown if self.stage == Stage::Failed || self.tells_nothing() => "failed",
            proto => taken::name(proto),
        }
    }

    /// Of each half, whether its first bytes told nothing.
    pub fn silent(&self) -> [bool; 2] {
        self.first.silent
    }

    /// Whether all that follows is encrypted, of TLS what it said last, too: rules do not look at it, as with Suricata's stock settings.
    pub fn is_encrypted(&self) -> bool {
        match self.listener.proto() {
            AppProto::Tls => self.listener.is_secret()[1],
            AppProto::Ssh => self.said.is_encrypted_ssh(),
            _ => false,
        }
    }

    /// Whether nothing that still comes is read.
    pub fn is_mute(&self) -> bool {
        let is_unread = self.said.is_unread && self.listener.is_settled();
        self.stage == Stage::Failed || self.listener.is_done() || is_unread
    }

    fn tells_nothing(&self) -> bool {
        !self.said.is_stream && self.first.done.contains(&true)
    }

    /// Calls what it keeps into the cache, as far as bytes in order need it.
    #[inline]
    pub fn call(&self) {
        prefetch(&self.listener);
        prefetch(&self.said.units);
        prefetch(&self.pieces);
        prefetch(&self.said.time_ns);
    }

    /// Calls the side of a transaction that goes on, once what [`Talk::call`] called is there.
    #[inline]
    pub fn call_open(&self) {
        if let [first, ..] = &self.said.units[..] {
            first.call();
        }
    }

    /// Whether its memory is to be counted: at the first piece of a stream and then at one in so many, because looking at all that it keeps
    /// takes as long as hearing a piece. Datagrams are heard whole.
    #[inline]
    pub fn is_to_be_counted(&self) -> bool {
        self.pieces % COUNTED == u8::from(self.pieces > 0)
    }

    /// Memory that it takes, about.
    pub fn room(&self) -> usize {
        let said = &self.said;
        let units = said.units.iter().map(Unit::room).sum::<usize>();
        let places = said.units.capacity() + said.asked.capacity();
        let units = units + said.asked_room + places * size_of::<Unit>();
        let first = self.first.kept.iter().map(Vec::capacity).sum::<usize>();
        let kept = first + said.file.capacity() + said.http.room() + said.odd.room();
        let last = said.last.iter().flat_map(|l| l.iter().flatten());
        let kept = kept + last.map(|u| size_of::<Unit>() + u.room()).sum::<usize>();
        let more = said.more.as_ref().map_or(0, |m| m.room());
        self.listener.room() + units + kept + more
    }

    /// Whether one side alone told what is spoken.
    pub fn is_one_sided(&self) -> bool {
        self.first.is_one_sided
    }

    /// Keeps what a client asked until its answer is whole; what has no answer goes with time. What was said with what `waits` to be looked at is kept, too.
    pub fn keep(&mut self, unit: Unit, waits: bool) {
        let Said {
            asked,
            asked_room,
            last,
            proto,
            begun,
            ..
        } = &mut self.said;
        // and is not of what was spoken before TLS
        let waits = waits && unit.transaction < begun[unit.direction.min(1)];
        let pairs = matches!(
            proto,
            AppProto::Http | AppProto::Http2 | AppProto::Tls | AppProto::Dns | AppProto::Ssh
        );
        match unit.direction {
            0 if pairs => {
                // alerts about an answer without it tell less: nothing is lost of what rules see
                if asked.len() >= ASKED_MAX {
                    *asked_room -= asked.pop_front().map_or(0, |u| u.room());
                }
                if asked.capacity() == 0 {
                    // most conversations have one at a time
                    asked.reserve_exact(1);
                }
                *asked_room += unit.room();
                asked.push_back(unit);
            }
            1 => {
                while asked
                    .front()
                    .is_some_and(|u| u.transaction <= unit.transaction)
                {
                    let Some(unit) = asked.pop_front() else { break };
                    *asked_room -= unit.room();
                    if waits {
                        last.get_or_insert_default()[0] = Some(unit);
                    }
                }
                if waits {
                    last.get_or_insert_default()[1] = Some(unit);
                }
            }
            _ if waits => last.get_or_insert_default()[0] = Some(unit),
            _ => {}
        }
    }

    /// Nothing waits to be looked at.
    pub fn forget_last(&mut self) {
        if let Some(last) = &mut self.said.last {
            **last = [None, None];
        }
    }

    /// What alerts tell that are about bytes of a direction: the side of the transaction there, and the other one.
    pub fn transaction(&self, half: usize) -> [Option<&Unit>; 2] {
        let Said {
            units, asked, last, ..
        } = &self.said;
        let last = |half: usize| last.as_ref().and_then(|l| l[half].as_ref());
        let open = || units.iter().chain(asked);
        let Some(mine) = last(half).or_else(|| open().find(|u| u.direction == half)) else {
            return [None; 2];
        };
        let is = |u: &&Unit| u.direction != half && u.transaction == mine.transaction;
        let other = last(1 - half).filter(is).or_else(|| open().find(is));
        [Some(mine), other]
    }

    /// What was asked with a transaction that is answered.
    pub fn asked(&self, transaction: u64) -> Option<&Unit> {
        let mut asked = self.said.asked.iter();
        asked.find(|u| u.transaction == transaction)
    }

    /// How often a limit of the conversation was met, since this was asked last.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.said.lost)
    }

    /// Whether a half is in the midst of a message of HTTP, or of what follows an interim answer.
    pub fn is_saying(&self, half: usize) -> bool {
        let is_open = |u: &Unit| u.direction == half && !u.is_whole;
        // what turns to HTTP/2 does not end its answer
        self.said.proto == AppProto::Http && self.said.units.iter().any(is_open)
    }

    /// Sides of transactions that rules are to be tried with.
    pub fn units(&mut self) -> &mut Vec<Unit> {
        &mut self.said.units
    }

    /// Takes bytes of a stream.
    pub fn piece(
        &mut self,
        ears: &mut Ears,
        heard: &Heard<'_>,
        piece: &Piece<'_>,
        tally: &mut Tally,
    ) {
        self.said.hears(heard);
        self.said.is_stream = true;
        self.pieces = self.pieces.wrapping_add(1);
        if piece.gap > 0 {
            self.said.gap(heard.half);
        }
        match self.stage {
            Stage::Failed => {}
            Stage::Known => {
                let half = usize::from(piece.half);
                if !self.first.done[half] {
                    self.first.kept[half]
                        .extend_from_slice(&piece.bytes[..piece.bytes.len().min(PEEK)]);
                    self.look_back(heard, half);
                }
                self.hear(ears, heard, piece, tally);
            }
            Stage::Open => self.open(ears, heard, piece, tally),
        }
        self.told();
    }

    fn hear(&mut self, ears: &mut Ears, heard: &Heard<'_>, piece: &Piece<'_>, tally: &mut Tally) {
        let sink = &mut Sink::of(&mut self.said, self.listener.proto());
        self.listener.piece(ears, heard, piece, tally, sink);
    }

    fn fail(&mut self) {
        self.stage = Stage::Failed;
        self.first = First {
            silent: [true; 2],
            ..First::default()
        };
    }

    /// Takes a datagram.
    pub fn datagram(&mut self, ears: &mut Ears, heard: &Heard<'_>, tally: &mut Tally) {
        self.said.hears(heard);
        let half = heard.half;
        if self.stage == Stage::Open && !self.first.done[half] {
            self.first.done[half] = true;
            match taken::datagram(&heard.ends, half, heard.segment.bytes) {
                Taken::Is(proto) => {
                    (self.listener, self.stage) = (Listener::known(proto, false), Stage::Known);
                }
                _ if self.first.done == [true; 2] => self.fail(),
                _ => self.first.silent[half] = true,
            }
        }
        if self.stage == Stage::Known {
            let sink = &mut Sink::of(&mut self.said, self.listener.proto());
            self.listener.datagram(ears, heard, tally, sink);
        }
        self.told();
    }

    /// No more of a half comes.
    pub fn end(&mut self, ears: &mut Ears, heard: &Heard<'_>, tally: &mut Tally) {
        self.said.hears(heard);
        let proto = self.listener.proto();
        self.listener
            .end(ears, heard, tally, &mut Sink::of(&mut self.said, proto));
        self.told();
        self.said.end(heard.half);
    }

    /// What follows is TLS: it is heard from the start.
    #[cold]
    fn upgrade(&mut self) {
        let was = self.application();
        (self.listener, self.stage, self.first) = Default::default();
        let mut units = std::mem::take(&mut self.said.units);
        units.iter_mut().for_each(|u| u.is_whole = true);
        self.said = Said {
            units,
            was,
            limits: self.said.limits,
            time_ns: self.said.time_ns,
            client: self.said.client,
            is_stream: true,
            ..Said::default()
        };
    }

    /// What came of it is looked at.
    fn told(&mut self) {
        if self.said.upgrade == Upgrade::Agreed {
            self.upgrade();
            return;
        }
        self.said.proto = self.listener.proto();
        self.said.share_events(self.listener.is_done());
        if self.listener.is_done() || self.listener.is_secret()[0] {
            // nothing more comes of what TLS says in the clear
            let is_tls = self.said.proto == AppProto::Tls;
            for unit in self.said.units.iter_mut().filter(|u| is_tls && !u.is_whole) {
                if unit.certificates > 0 {
                    let count = u64::from(unit.certificates);
                    unit.number("tls.cert_chain_len", count);
                    unit.number("tls_cert_chain_len", count);
                }
                unit.is_whole = true;
            }
        }
    }
}

/// Hears messages.
struct Sink<'a> {
    said: &'a mut Said,
}

impl<'a> Sink<'a> {
    fn of(said: &'a mut Said, proto: AppProto) -> Self {
        said.proto = proto;
        Sink { said }
    }
}

impl Visitor for Sink<'_> {
    fn message(&mut self, half: usize, message: &Message<'_>) {
        let said = &mut *self.said;
        match message {
            Message::HttpRequest(head) => said.request(half, head),
            Message::HttpResponse(head) => said.answer(half, head),
            Message::HttpBody(bytes) => said.body(half, bytes),
            Message::HttpTrailers(fields) => said.trailers(half, fields),
            Message::HttpEnd => said.body_end(half),
            Message::TlsClientHello(hello) => said.client_hello(half, hello),
            Message::TlsServerHello(hello) => said.server_hello(half, hello),
            Message::TlsCertificate { place, der } => said.certificate(half, *place, der),
            Message::TlsClientKeys => said.client_keys(half),
            Message::Dns(dns) => said.dns(half, dns.bytes),
            Message::Http2Frame {
                kind,
                flags,
                stream,
                payload,
            } => said.frame(half, *kind, *flags, *stream, payload),
            Message::Other(bytes) => said.bytes(half, bytes),
        }
    }
}

impl Said {
    fn hears(&mut self, heard: &Heard<'_>) {
        self.time_ns = heard.time_ns;
        self.client = heard.ends.addrs[0];
    }

    /// What the part of a rarer protocol keeps.
    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// Bytes of a protocol that is read here.
    fn bytes(&mut self, half: usize, bytes: &[u8]) {
        match self.proto {
            AppProto::Ssh => self.ssh(half, bytes),
            AppProto::Smtp if half == 1 => self.lines(half, bytes),
            AppProto::Smtp => self.mail(bytes),
            AppProto::Ftp => self.ftp(half, bytes),
            // nothing else of them is read
            AppProto::Imap | AppProto::Pop3 => self.lines(half, bytes),
            AppProto::FtpData => self.ftp_data(half, bytes),
            AppProto::Smb | AppProto::NetbiosSsn => self.smb(half, bytes),
            AppProto::Sip => self.sip(half, bytes),
            AppProto::Mqtt => self.mqtt(half, bytes),
            AppProto::Krb5 if self.is_stream => self.kerberos_stream(half, bytes),
            AppProto::Krb5 => self.kerberos(half, bytes),
            AppProto::Snmp => self.snmp(half, bytes),
            AppProto::Dcerpc if self.is_stream => self.dce_stream(half, bytes),
            AppProto::Dcerpc => self.dce_datagram(half, bytes),
            AppProto::Modbus => self.modbus(half, bytes),
            AppProto::Dnp3 => self.dnp3(half, bytes),
            AppProto::Enip => self.enip(half, bytes),
            AppProto::Nfs => self.nfs(half, bytes),
            AppProto::Rfb => self.rfb(half, bytes),
            AppProto::Ike => self.ike(half, bytes),
            AppProto::Dhcp => self.dhcp(half, bytes),
            _ => self.is_unread = true,
        }
    }

    /// No more of a half comes.
    fn end(&mut self, half: usize) {
        match self.proto {
            AppProto::FtpData => self.ftp_data_end(half),
            AppProto::Http => self.body_end(half),
            AppProto::Smb | AppProto::NetbiosSsn => self.smb_end(half),
            _ => {}
        }
        let mine = self.units.iter_mut().filter(|u| u.direction == half);
        mine.for_each(|u| u.is_whole = true);
        if half == 1 {
            self.share_events(true);
        }
    }

    /// Bytes of a direction are missing.
    fn gap(&mut self, half: usize) {
        self.http.gap(half);
        if let Some(more) = &mut self.more {
            more.mail.gap(half);
            more.smb.gap(half);
        }
    }

    /// A file as far as it came.
    fn tell_file(&mut self, direction: usize, bytes: &[u8], is_whole: bool) {
        let limit = self.limits.body_max;
        let unit = self.open(direction);
        unit.replace(FILE, &bytes[..bytes.len().min(limit)]);
        unit.is_whole |= is_whole;
    }
}

/// Requests of a conversation that are kept for what alerts tell.
const ASKED_MAX: usize = 16;
const FILE: Buffer = Buffer::named("file.data");
/// Of those that tell only what a direction says of itself.
const PEEK: usize = 64;
/// Bytes of a direction that are kept until it is known what they are.
const FIRST_MAX: usize = 8192;
/// Of so many pieces the memory is counted once.
const COUNTED: u8 = 8;
/// Sides of transactions that may be open at a time.
const OPEN_MAX: usize = 512;
