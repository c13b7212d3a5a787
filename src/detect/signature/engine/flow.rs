//! Conversations as rules see them: who asked, what was seen, and what rules keep of them.

use super::super::state::FlowState;
use super::raw::Raw;
use super::session::{Session, Stage, is_answer};
use super::talk::{Talk, is_request};
use super::wanted::Wanted;
use crate::model::{Addr, Glance, Index, PacketView, Transport, Vlans, prefetch};
use crate::reassemble::stream::{Other, Stream};
use foldhash::fast::FixedState;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, Hasher};

/// The two ends in order, the protocol, and what keeps equal addresses of different networks apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub ends: [(Addr, u16); 2],
    pub proto: u8,
    pub scope: u32,
}

/// One conversation. Direction 0 is that of who asked.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Flow {
    pub key: Key,
    /// Whether who asked is the first end of the key.
    pub first_asked: bool,
    pub counts: Counts,
    /// It came through a tunnel.
    pub is_tunnelled: bool,
    /// Rules passed it: nothing more is looked at.
    pub is_passed: bool,
    /// What is sent is encrypted: payloads are not looked at any more.
    pub is_encrypted: bool,
    /// Directions for which rules about addresses were tried.
    pub addresses_done: [bool; 2],
    /// Directions that tell another application protocol than the conversation's, or none.
    pub silent: [bool; 2],
    pub session: Option<Box<Connection>>,
    pub talk: Option<Box<Talk>>,
    /// Bytes that were counted for it.
    pub talk_room: u32,
    /// There was no room to hear it.
    pub is_deaf: bool,
    /// Nothing that it still says is read.
    pub is_mute: bool,
    /// How often it was told to rules in each direction which application protocol it is, or that it is none.
    pub told: [u8; 2],
    /// It said something that rules were not tried with.
    pub has_news: bool,
    /// The application protocol as it was heard.
    pub heard: &'static str,
    pub state: FlowState,
    /// The application protocol as rules about packets see it.
    pub application: &'static str,
    /// The direction whose bytes told the application protocol; 2: none did.
    pub told_by: u8,
    /// The direction whose bytes showed that one side alone tells what is spoken, until rules were asked; 2: none did.
    pub one_sided_by: u8,
    pub last_ns: i64,
    pub last_frame: u64,
}

// three cache lines: at each packet they are called for
const _: () = assert!(size_of::<Flow>() == 192);

impl Flow {
    /// One that a packet begins, whose source is the first end of the key, or not.
    pub fn new(key: Key, is_first: bool, p: &PacketView<'_>) -> Self {
        Flow {
            key,
            first_asked: is_first,
            counts: Counts {
                began_ns: p.time_ns,
                ..Counts::default()
            },
            told_by: 2,
            one_sided_by: 2,
            is_tunnelled: !p.envelope.tunnels.as_slice().is_empty(),
            last_ns: p.time_ns,
            last_frame: p.frame,
            ..Flow::default()
        }
    }

    /// Its number: the same wherever it is computed.
    pub fn id(&self) -> u64 {
        self.key.number(self.counts.began_ns)
    }

    /// The ends, who asked first.
    pub fn ends(&self) -> [(Addr, u16); 2] {
        let [a, b] = self.key.ends;
        if self.first_asked { [a, b] } else { [b, a] }
    }

    /// The VLAN ids, outermost first; none of what came through a tunnel.
    pub fn vlans(&self) -> Vlans {
        let mut vlans = Vlans::default();
        if !self.is_tunnelled {
            let ids = [self.key.scope >> 12, self.key.scope].map(|n| (n & 0xfff) as u16);
            ids.into_iter()
                .filter(|id| *id > 0)
                .for_each(|id| vlans.push(id));
        }
        vlans
    }

    /// A connection that was picked up in its middle turns round where the first that a side says is what the other one would say.
    #[inline]
    pub fn turns_round(&mut self, is_first: bool, p: &PacketView<'_>) {
        let side = usize::from(self.first_asked != is_first);
        if p.payload_len > 0 && self.counts.stream[side] == 0 && self.heard.is_empty() {
            self.turn(side, p);
        }
    }

    fn turn(&mut self, side: usize, p: &PacketView<'_>) {
        let Some(c) = self.session.as_mut().filter(|c| c.session.is_midstream) else {
            return;
        };
        let is_wrong = match side {
            0 => is_answer(p),
            _ => is_request(p.payload()),
        };
        if !is_wrong || !c.others.is_empty() {
            return;
        }
        c.session.turn();
        c.stream.turn();
        c.raw.swap(0, 1);
        c.ended.swap(0, 1);
        c.due.swap(0, 1);
        self.first_asked = !self.first_asked;
        let counts = &mut self.counts;
        let all = [&mut counts.packets, &mut counts.bytes, &mut counts.stream];
        all.into_iter().for_each(|n| n.swap(0, 1));
        self.addresses_done.swap(0, 1);
        self.told.swap(0, 1);
        // what was heard before told nothing
        self.talk = None;
    }

    /// Takes back a talk that heard something.
    pub fn hears(&mut self, talk: Box<Talk>) {
        (self.heard, self.is_mute) = (talk.application(), talk.is_mute());
        self.silent = talk.silent();
        self.has_news = true;
        self.talk = Some(talk);
    }

    /// Rules about packets see the application protocol that was heard so far.
    pub fn sees_application(&mut self) {
        if self.application != self.heard {
            (self.application, self.told) = (self.heard, [0; 2]);
        }
    }

    /// Whether what it says is known, or known to be nothing known.
    pub fn is_decided(&self) -> bool {
        !self.application.is_empty() || self.key.proto != TCP
    }

    /// Whether a packet in a direction can tell rules which application protocol it is: of a connection the first one behind what its side said, understood or
    /// not, and the first two datagrams.
    pub fn is_told_now(&mut self, direction: usize) -> bool {
        let (said, often) = match self.key.proto {
            TCP => (self.counts.stream[direction] > 0, 1),
            _ => (true, 2),
        };
        let now = self.told[direction] < often && said && self.is_decided();
        self.told[direction] += u8::from(now);
        now
    }

    /// Source and destination port in a direction.
    #[inline]
    pub fn ports(&self, direction: usize) -> [u16; 2] {
        let [a, b] = self.key.ends.map(|e| e.1);
        if self.first_asked == (direction == 0) {
            [a, b]
        } else {
            [b, a]
        }
    }
}

const TCP: u8 = 6;

/// What a TCP connection keeps.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub session: Session,
    pub stream: Stream,
    pub raw: [Raw; 2],
    /// Nothing more comes of a half.
    pub ended: [bool; 2],
    /// The chunk of a half ends where its message does: it is looked at with the next packet of that half.
    pub due: [bool; 2],
    /// Octets for which others stand and that were not looked at.
    pub others: Vec<Other>,
}

impl Connection {
    /// Whether all was seen of both sides, and nothing of it waits to be looked at: nothing can lie across an edge any more.
    pub fn is_over(&self) -> bool {
        let is_done = |half: usize| {
            let end = self.session.end(half);
            let is_cut = self.session.stage == Stage::Reset || end.is_none();
            (is_cut || self.is_whole(half)) && !self.raw[half].is_fresh()
        };
        is_done(0) && is_done(1)
    }

    /// Whether a side has ended, all of it was seen, and nothing of it waits to be looked at.
    pub fn is_done(&self, half: usize) -> bool {
        self.ended[half] && self.is_whole(half) && !self.raw[half].is_fresh()
    }

    /// Whether a side said where it ends and all up to there was seen.
    fn is_whole(&self, half: usize) -> bool {
        let end = self.session.end(half);
        end.is_some_and(|end| self.stream.is_whole(half, end))
    }
}

/// What is counted of a conversation, by direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// When it began, nanoseconds.
    pub began_ns: i64,
    /// Packets.
    pub packets: [u64; 2],
    /// Bytes of frames; of what comes through a tunnel, those of the packet in it.
    pub bytes: [u64; 2],
    /// Bytes of the stream that were in order.
    pub stream: [u64; 2],
}

impl Counts {
    /// The number that a keyword asks for.
    pub(super) fn number(&self, name: &str, now_ns: i64) -> u64 {
        match name {
            "flow.age" => u64::try_from((now_ns - self.began_ns) / NS).unwrap_or(0),
            "flow.pkts_toserver" => self.packets[0],
            "flow.pkts_toclient" => self.packets[1],
            "flow.bytes_toserver" => self.bytes[0],
            "flow.bytes_toclient" => self.bytes[1],
            _ => 0,
        }
    }
}

impl Key {
    /// A number of the conversation that began then: the same wherever it is computed, at most 2^51.
    pub fn number(&self, began_ns: i64) -> u64 {
        let mut sum = 0xcbf2_9ce4_8422_2325u64;
        let mut add = |bytes: &[u8]| {
            for byte in bytes {
                sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        for (addr, port) in self.ends {
            add(&addr.0);
            add(&port.to_be_bytes());
        }
        add(&[self.proto]);
        add(&self.scope.to_be_bytes());
        add(&began_ns.to_be_bytes());
        (sum >> 13).max(1)
    }

    /// The key of a packet, and whether its source is the first end.
    pub fn of(p: &PacketView<'_>) -> (Self, bool) {
        let (mut src_port, mut dst_port) = p.ports();
        if let Transport::Icmp { kind, .. } = p.transport {
            // both directions of an echo share the identifier
            let id = p.segment().get(4..6);
            let id = id.map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
            let number = match (p.proto, kind) {
                (1, 0 | 8) | (58, 128 | 129) => id,
                (_, kind) => kind.into(),
            };
            (src_port, dst_port) = (number, number);
        }
        let tunnels = p.envelope.tunnels.as_slice();
        // of tunnels only their number tells conversations apart, as in Suricata: the two directions may have ids of their own
        let scope = scope(p.envelope.vlans.as_slice()) ^ (tunnels.len() as u32) << 24;
        Self::between((p.src, src_port), (p.dst, dst_port), p.proto, scope)
    }

    /// The key that a packet probably has.
    #[inline]
    pub fn probably(g: &Glance) -> Self {
        let (src, dst) = ((g.src, g.src_port), (g.dst, g.dst_port));
        Self::between(src, dst, g.proto, scope(g.vlans())).0
    }

    /// The key between two ends, and whether the first is the lower one.
    #[inline]
    fn between(src: (Addr, u16), dst: (Addr, u16), proto: u8, scope: u32) -> (Self, bool) {
        // numbers are compared in fewer steps than octets
        let number = |end: (Addr, u16)| (u128::from_be_bytes(end.0.0), end.1);
        let is_first = number(src) <= number(dst);
        let ends = if is_first { [src, dst] } else { [dst, src] };
        (Key { ends, proto, scope }, is_first)
    }

    #[inline]
    fn hash(&self, state: &FixedState) -> u64 {
        let mut hasher = state.build_hasher();
        let [a, b] = self.ends;
        hasher.write_u128(u128::from_ne_bytes(a.0.0));
        hasher.write_u128(u128::from_ne_bytes(b.0.0));
        let ports = u64::from(a.1) << 24 | u64::from(b.1) << 8 | u64::from(self.proto);
        hasher.write_u64(ports << 24 ^ u64::from(self.scope));
        hasher.finish()
    }
}

/// The conversations of a shard.
#[derive(Debug)]
pub(super) struct Flows {
    flows: Vec<Flow>,
    free: Vec<u32>,
    index: Index,
    state: FixedState,
    /// When each is to be looked at, nanoseconds; one entry each, which may be too early.
    due: BinaryHeap<Reverse<(i64, u32)>>,
    flows_max: usize,
}

impl Flows {
    pub fn new(flows_max: usize, seed: u64) -> Self {
        Flows {
            flows: vec![],
            free: vec![],
            index: Index::new(),
            state: FixedState::with_seed(seed),
            due: BinaryHeap::new(),
            flows_max: flows_max.max(1),
        }
    }

    pub fn len(&self) -> usize {
        self.flows.len() - self.free.len()
    }

    #[inline]
    pub fn hash(&self, key: &Key) -> u64 {
        key.hash(&self.state)
    }

    #[inline]
    pub fn find(&self, key: &Key) -> Option<u32> {
        self.index
            .find(self.hash(key), |n| self.flows[n as usize].key == *key)
    }

    /// Calls for the cell of a hash.
    #[inline]
    pub fn call_cell(&self, hash: u64) {
        self.index.call(hash);
    }

    /// The place of a hash, most likely.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<u32> {
        self.index.likely(hash)
    }

    /// Calls for a conversation.
    #[inline]
    pub fn call(&self, place: u32) {
        if let Some(flow) = self.peek(place) {
            prefetch(flow);
        }
    }

    /// Calls for what a conversation keeps elsewhere.
    #[inline]
    pub fn call_kept(&self, place: u32) {
        let Some(flow) = self.peek(place) else { return };
        if let Some(connection) = &flow.session {
            prefetch(&**connection);
        }
        if let Some(talk) = flow.talk.as_ref().filter(|_| !flow.is_mute) {
            talk.call();
        }
    }

    #[inline]
    pub fn peek(&self, place: u32) -> Option<&Flow> {
        self.flows.get(place as usize)
    }

    #[inline]
    pub fn get(&mut self, place: u32) -> &mut Flow {
        &mut self.flows[place as usize]
    }

    /// Rules have other numbers from here on, and this is wanted.
    pub fn renumber(&mut self, moved: &[Option<u32>], wanted: &Wanted) {
        for flow in &mut self.flows {
            if let Some(talk) = &mut flow.talk {
                talk.want(wanted);
            }
            let halves = flow.session.iter_mut().flat_map(|c| &mut c.raw);
            halves.for_each(|raw| raw.renumber(moved));
            for unit in flow.talk.iter_mut().flat_map(|t| t.units()) {
                unit.renumber(moved);
                flow.has_news = true;
            }
        }
    }

    /// Whether one has to give way before another fits.
    pub fn is_full(&self) -> bool {
        self.len() >= self.flows_max
    }

    /// Puts a conversation in.
    pub fn insert(&mut self, flow: Flow) -> u32 {
        let (key, due) = (flow.key, flow.last_ns.saturating_add(quiet(&flow)));
        let place = match self.free.pop() {
            Some(place) => {
                self.flows[place as usize] = flow;
                place
            }
            None => {
                self.flows.push(flow);
                (self.flows.len() - 1) as u32
            }
        };
        self.index.insert(self.hash(&key), place);
        self.due.push(Reverse((due, place)));
        place
    }

    /// Takes one out. Its entry among those that are due must be gone.
    pub fn remove(&mut self, place: u32) -> Flow {
        let flow = std::mem::take(&mut self.flows[place as usize]);
        self.index.remove(self.hash(&flow.key), place);
        self.free.push(place);
        flow
    }

    /// Whether one is to be looked at.
    #[inline]
    pub fn is_due(&self, now_ns: i64) -> bool {
        let first = self.due.peek();
        first.is_some_and(|Reverse((due, _))| *due <= now_ns)
    }

    /// The conversations that were silent for too long, in order of their keys; of all, where `now_ns` is none.
    pub fn over(&mut self, now_ns: Option<i64>) -> Vec<u32> {
        let mut over = vec![];
        while let Some(Reverse((due, place))) = self.due.peek().copied() {
            if now_ns.is_some_and(|now| due > now) {
                break;
            }
            self.due.pop();
            let flow = &self.flows[place as usize];
            let at = flow.last_ns.saturating_add(quiet(flow));
            match now_ns {
                Some(now) if at > now => self.due.push(Reverse((at, place))),
                _ => over.push(place),
            }
        }
        over.sort_by_cached_key(|n| (self.flows[*n as usize].key, *n));
        over
    }

    /// The one that is due first.
    pub fn first_due(&mut self) -> Option<u32> {
        loop {
            let Reverse((due, place)) = self.due.pop()?;
            let flow = &self.flows[place as usize];
            let at = flow.last_ns.saturating_add(quiet(flow));
            if at <= due {
                return Some(place);
            }
            self.due.push(Reverse((at, place)));
        }
    }
}

/// What keeps equal addresses of different networks apart.
#[inline]
fn scope(vlans: &[u16]) -> u32 {
    vlans.iter().take(2).fold(0, |s, v| s << 12 | u32::from(*v))
}

/// How long a conversation may be silent, nanoseconds: Suricata's stock time-outs.
fn quiet(flow: &Flow) -> i64 {
    let both = flow.counts.packets.iter().all(|n| *n > 0);
    let seconds = match (&flow.session, flow.key.proto) {
        (Some(c), _) if c.session.stage == Stage::Established => 600,
        (_, 6) => 60,
        (_, 17) if both => 300,
        (_, 1 | 58) if both => 300,
        _ => 30,
    };
    seconds * NS
}

const NS: i64 = 1_000_000_000;
