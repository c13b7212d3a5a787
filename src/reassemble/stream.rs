//! TCP segments to streams: bytes in order, handed out without a copy where they came in order.
//!
//! A [`Stream`] is what one conversation keeps: two halves with their positions. What came too early waits in [`Streams`], one
//! pool for all conversations of a shard. Everything is bounded; what a bound costs is a gap, told with the next piece.
//!
//! Of octets that were sent twice with different data, the reading is that of BSD's hosts, Suricata's stock policy: what
//! waits keeps its octets, but a segment that starts before another one lies on top of it. What was handed out stands; of the
//! last few segments of each half a hash is kept, so that other data in their place is noticed.

mod other;

pub use other::Other;

use super::settings::StreamSettings;
use crate::ledger::{Outcome, Tally};
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// Bytes of one direction, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Which direction: 0 is the side that began.
    pub half: u8,
    /// Place of the first byte in the stream, behind the SYN; where the stream was picked up in its middle, behind the first
    /// byte seen.
    pub offset: u64,
    /// The bytes; never none.
    pub bytes: &'a [u8],
    /// How many bytes before these are missing and will not come.
    pub gap: u32,
}

/// A segment of TCP as the stream needs it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Segment<'a> {
    /// Sequence number of the first byte, of the SYN where there is one.
    pub seq: u32,
    /// SYN is set: the payload is one behind `seq`.
    pub syn: bool,
    /// What the other side is to have, where ACK is set.
    pub ack: Option<u32>,
    /// Payload as far as it was captured.
    pub bytes: &'a [u8],
    /// Payload as long as it was sent.
    pub len: u32,
}

/// The two directions of a connection.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    halves: [Half; 2],
}

/// One direction.
#[derive(Clone, Debug)]
struct Half {
    /// Sequence number of the byte at `next`.
    seq: u32,
    /// Bytes that are handed out or given up.
    next: u64,
    /// First and last segment that wait, by offset.
    head: u32,
    tail: u32,
    /// Bytes that wait, and in how many segments.
    waiting: u32,
    segments: u32,
    state: State,
    conflicting: bool,
    /// The last segments that were handed out, in a ring.
    passed: [Passed; PASSED],
    passed_at: u8,
    /// The last bytes that were given up and did not come since: from, to.
    hole: (u64, u64),
}

/// A segment that was handed out.
#[derive(Clone, Copy, Debug, Default)]
struct Passed {
    at: u64,
    len: u32,
    hash: u32,
}

/// What is done with what comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing was seen.
    #[default]
    Unseen,
    Open,
    /// Nobody wants more, or it is longer than anybody may want.
    Closed,
}

impl Default for Half {
    fn default() -> Self {
        Half {
            seq: 0,
            next: 0,
            head: NONE,
            tail: NONE,
            waiting: 0,
            segments: 0,
            state: State::Unseen,
            conflicting: false,
            passed: Default::default(),
            passed_at: 0,
            hole: (0, 0),
        }
    }
}

/// The segments that came too early, of all conversations of a shard.
#[derive(Debug)]
pub struct Streams {
    settings: StreamSettings,
    nodes: Vec<Node>,
    free: u32,
    /// Memory of what waits, and of what the nodes have room for.
    bytes: usize,
    room: usize,
    state: FixedState,
    /// Octets for which others stand, where somebody wants them.
    others: Option<Vec<Other>>,
}

/// A segment that waits.
#[derive(Debug)]
struct Node {
    at: u64,
    next: u32,
    data: Vec<u8>,
}

impl Node {
    /// Place behind its last byte.
    #[inline]
    fn end(&self) -> u64 {
        self.at + self.data.len() as u64
    }
}

impl Streams {
    /// An empty pool with these bounds.
    pub fn new(settings: &StreamSettings) -> Self {
        Streams {
            settings: settings.clone(),
            nodes: vec![],
            free: NONE,
            bytes: 0,
            room: 0,
            state: FixedState::with_seed(settings.hash_seed),
            others: None,
        }
    }

    /// Memory of what waits.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a segment of a half and hands out what is in order now, in order.
    #[inline]
    pub fn segment(
        &mut self,
        stream: &mut Stream,
        half: usize,
        s: &Segment<'_>,
        tally: &mut Tally,
        each: &mut dyn FnMut(Piece<'_>, &mut Tally),
    ) {
        if let Some(ack) = s.ack {
            self.acknowledged(stream, 1 - half, ack, tally, each);
        }
        let h = &mut stream.halves[half];
        if h.state == State::Closed {
            return;
        }
        let seq = s.seq.wrapping_add(u32::from(s.syn));
        if h.state == State::Unseen {
            if s.len == 0 && !s.syn {
                return;
            }
            (h.state, h.seq) = (State::Open, seq);
        }
        if s.len == 0 {
            return;
        }
        let ahead = seq.wrapping_sub(h.seq) as i32;
        if ahead == 0 && h.head == NONE && s.bytes.len() == s.len as usize {
            // the usual way: nothing waits, nothing is missing
            let offset = h.next;
            h.remember(&self.state, offset, s.bytes);
            h.pass(u64::from(s.len));
            each(
                Piece {
                    half: half as u8,
                    offset,
                    bytes: s.bytes,
                    gap: 0,
                },
                tally,
            );
            self.bound(stream, half, tally);
            return;
        }
        self.odd(stream, half, ahead, s, tally, each);
    }

    /// Nobody wants more of a half: what waits is dropped.
    pub fn close(&mut self, stream: &mut Stream, half: usize) {
        let h = &mut stream.halves[half];
        h.state = State::Closed;
        while h.head != NONE {
            self.drop_head(h);
        }
    }

    /// The conversation ends: what waits is handed out with its gaps, and the stream is as new.
    pub fn end(
        &mut self,
        stream: &mut Stream,
        tally: &mut Tally,
        each: &mut dyn FnMut(Piece<'_>, &mut Tally),
    ) {
        for half in 0..2 {
            while stream.halves[half].head != NONE {
                self.skip(stream, half, tally, each);
            }
        }
        *stream = Stream::default();
    }

    /// Everything but the usual way.
    #[cold]
    fn odd(
        &mut self,
        stream: &mut Stream,
        half: usize,
        ahead: i32,
        s: &Segment<'_>,
        tally: &mut Tally,
        each: &mut dyn FnMut(Piece<'_>, &mut Tally),
    ) {
        let h = &mut stream.halves[half];
        let at = h.next as i64 + i64::from(ahead);
        let end = at + i64::from(s.len);
        let next = h.next as i64;
        if at < next && h.differs(&self.state, at, s.bytes) {
            tally.one(Outcome::SegmentConflicts);
            h.conflicting = true;
            // what was sent before the first octet is no reading of anything
            let skipped = (-at).max(0) as usize;
            let known = (next - at).min(s.bytes.len() as i64).max(0) as usize;
            if let Some(bytes) = s.bytes.get(skipped..known) {
                other::keep(&mut self.others, half, at.max(0) as u64, bytes, false);
            }
        }
        let h = &mut stream.halves[half];
        if at < h.hole.1 as i64 {
            self.find_late(h, half, at, s.bytes);
        }
        if end <= next {
            return;
        }
        let skipped = (next - at).max(0) as usize;
        let Some(bytes) = s.bytes.get(skipped..).filter(|b| !b.is_empty()) else {
            // the capture cut all of what is new: a gap, told with what follows
            return;
        };
        let at = at.max(next) as u64;
        if at == h.next && h.head == NONE {
            h.remember(&self.state, at, bytes);
            h.pass(bytes.len() as u64);
            each(
                Piece {
                    half: half as u8,
                    offset: at,
                    bytes,
                    gap: 0,
                },
                tally,
            );
        } else if at - h.next > u64::from(self.settings.ahead_max) {
            tally.one(Outcome::SegmentsRefused);
            return;
        } else {
            self.put(h, half, at, bytes, tally);
        }
        self.hand_out(stream, half, tally, each);
        loop {
            let h = &stream.halves[half];
            let many = h.waiting as usize > self.settings.waiting_max
                || h.segments > self.settings.segments_max;
            if h.head == NONE || !many && self.bytes <= self.settings.bytes_max {
                break;
            }
            self.skip(stream, half, tally, each);
        }
        self.bound(stream, half, tally);
    }

    /// The other side has everything up to `ack`: what is missing before it was missed by the capture and will not come.
    #[inline]
    fn acknowledged(
        &mut self,
        stream: &mut Stream,
        half: usize,
        ack: u32,
        tally: &mut Tally,
        each: &mut dyn FnMut(Piece<'_>, &mut Tally),
    ) {
        let h = &stream.halves[half];
        if h.head == NONE {
            return;
        }
        let first = self.nodes[h.head as usize].at;
        let acked = h.next as i64 + i64::from(ack.wrapping_sub(h.seq) as i32);
        if acked > first as i64 {
            self.skip(stream, half, tally, each);
        }
    }

    /// Goes on behind the gap before the first segment that waits.
    fn skip(
        &mut self,
        stream: &mut Stream,
        half: usize,
        tally: &mut Tally,
        each: &mut dyn FnMut(Piece<'_>, &mut Tally),
    ) {
        let h = &mut stream.halves[half];
        let node = &self.nodes[h.head as usize];
        let gap = node.at - h.next;
        h.hole = (h.next, node.at);
        tally.one(Outcome::StreamGaps);
        h.remember(&self.state, node.at, &node.data);
        each(
            Piece {
                half: half as u8,
                offset: node.at,
                bytes: &node.data,
                gap: u32::try_from(gap).unwrap_or(u32::MAX),
            },
            tally,
        );
        let passed = gap + node.data.len() as u64;
        h.pass(passed);
        self.drop_head(h);
        self.hand_out(stream, half, tally, each);
    }

    /// Hands out what waits and is in order now.
    fn hand_out(
        &mut self,
        stream: &mut Stream,
        half: usize,
        tally: &mut Tally,
        each: &mut dyn FnMut(Piece<'_>, &mut Tally),
    ) {
        let h = &mut stream.halves[half];
        while h.head != NONE {
            let node = &self.nodes[h.head as usize];
            if node.at > h.next {
                return;
            }
            let known = (h.next - node.at) as usize;
            if let Some(bytes) = node.data.get(known..).filter(|b| !b.is_empty()) {
                h.remember(&self.state, h.next, bytes);
                each(
                    Piece {
                        half: half as u8,
                        offset: h.next,
                        bytes,
                        gap: 0,
                    },
                    tally,
                );
                h.pass(bytes.len() as u64);
            }
            self.drop_head(h);
        }
    }

    /// Lets bytes wait, where others are not there already.
    fn put(&mut self, h: &mut Half, half: usize, mut at: u64, mut bytes: &[u8], tally: &mut Tally) {
        let (mut before, mut here) = (NONE, h.head);
        // mostly it comes behind all that wait
        if h.tail != NONE && self.nodes[h.tail as usize].end() <= at {
            (before, here) = (h.tail, NONE);
        }
        while !bytes.is_empty() {
            let end = at + bytes.len() as u64;
            if here == NONE {
                self.insert(h, before, at, bytes);
                return;
            }
            let node = &mut self.nodes[here as usize];
            let node_end = node.end();
            if node_end <= at {
                (before, here) = (here, node.next);
                continue;
            }
            if node.at >= end {
                self.insert(h, before, at, bytes);
                return;
            }
            // octets that both have
            let (from, to) = (node.at.max(at), node_end.min(end));
            let old = &node.data[(from - node.at) as usize..(to - node.at) as usize];
            let new = &bytes[(from - at) as usize..(to - at) as usize];
            if old != new {
                tally.one(Outcome::SegmentConflicts);
                h.conflicting = true;
                let lost = if at < node.at { old } else { new };
                other::keep(&mut self.others, half, from, lost, false);
            }
            if at < node.at {
                // it starts before: its octets lie on top
                node.data[..new.len()].copy_from_slice(new);
                let part = (node.at - at) as usize;
                before = self.insert(h, before, at, &bytes[..part]);
                before = self.nodes[before as usize].next;
                here = self.nodes[before as usize].next;
            } else {
                (before, here) = (here, node.next);
            }
            let known = ((node_end.min(end) - at) as usize).min(bytes.len());
            (at, bytes) = (at + known as u64, &bytes[known..]);
        }
    }

    /// A node behind `before`, or the first one.
    fn insert(&mut self, h: &mut Half, before: u32, at: u64, bytes: &[u8]) -> u32 {
        let next = match before {
            NONE => h.head,
            before => self.nodes[before as usize].next,
        };
        let place = match self.free {
            NONE => {
                self.nodes.push(Node {
                    at,
                    next,
                    data: Vec::new(),
                });
                (self.nodes.len() - 1) as u32
            }
            place => {
                self.free = self.nodes[place as usize].next;
                place
            }
        };
        let node = &mut self.nodes[place as usize];
        (node.at, node.next) = (at, next);
        self.room -= node.data.capacity();
        node.data.extend_from_slice(bytes);
        self.room += node.data.capacity();
        match before {
            NONE => h.head = place,
            before => self.nodes[before as usize].next = place,
        }
        if next == NONE {
            h.tail = place;
        }
        h.waiting += bytes.len() as u32;
        h.segments += 1;
        self.bytes += bytes.len() + NODE_BYTES;
        place
    }

    fn drop_head(&mut self, h: &mut Half) {
        let place = h.head;
        let node = &mut self.nodes[place as usize];
        h.head = node.next;
        if h.head == NONE {
            h.tail = NONE;
        }
        h.waiting -= node.data.len() as u32;
        h.segments -= 1;
        self.bytes -= node.data.len() + NODE_BYTES;
        node.data.clear();
        // memory of what is free is bounded like what waits
        if self.room > self.settings.bytes_max {
            self.room -= node.data.capacity();
            node.data = Vec::new();
        }
        node.next = self.free;
        self.free = place;
    }

    /// A stream that is longer than anybody may want is closed.
    #[inline]
    fn bound(&mut self, stream: &mut Stream, half: usize, tally: &mut Tally) {
        if stream.halves[half].next >= self.settings.depth_max {
            tally.one(Outcome::StreamsCut);
            self.close(stream, half);
        }
    }
}

impl Stream {
    /// The sides change places.
    pub fn turn(&mut self) {
        self.halves.swap(0, 1);
    }

    /// Whether anybody may still want something of it.
    #[inline]
    pub fn is_open(&self) -> bool {
        self.halves.iter().any(|h| h.state != State::Closed)
    }

    /// Whether a half has everything up to a sequence number, and nothing waits.
    pub fn is_whole(&self, half: usize, seq: u32) -> bool {
        let h = &self.halves[half];
        h.head == NONE && (h.state == State::Closed || h.seq == seq)
    }

    /// Whether octets came twice with different data: a sign of evasion.
    pub fn is_conflicting(&self) -> bool {
        self.halves.iter().any(|h| h.conflicting)
    }
}

impl Half {
    /// So many bytes are done.
    #[inline]
    fn pass(&mut self, bytes: u64) {
        self.next += bytes;
        self.seq = self.seq.wrapping_add(bytes as u32);
    }

    /// Keeps what is needed to know a segment again that is handed out.
    #[inline]
    fn remember(&mut self, state: &FixedState, at: u64, bytes: &[u8]) {
        // a single octet is what asks whether the other side lives, and may be any
        if bytes.len() < 2 {
            return;
        }
        self.passed[usize::from(self.passed_at)] = Passed {
            at,
            len: bytes.len() as u32,
            hash: state.hash_one(bytes) as u32,
        };
        self.passed_at = (self.passed_at + 1) % PASSED as u8;
    }

    /// Whether bytes at an offset are others than those that were handed out there, of segments that they cover whole.
    #[cold]
    fn differs(&self, state: &FixedState, at: i64, bytes: &[u8]) -> bool {
        self.passed.iter().any(|p| {
            let from = usize::try_from(p.at as i64 - at);
            let same = from
                .ok()
                .and_then(|from| bytes.get(from..)?.get(..p.len as usize));
            p.len > 0 && same.is_some_and(|same| state.hash_one(same) as u32 != p.hash)
        })
    }
}

/// Segments of a half that are remembered.
const PASSED: usize = 4;

/// What a segment that waits takes beside its bytes: its node, and what an allocation costs.
const NODE_BYTES: usize = size_of::<Node>() + 32;

/// Nowhere.
const NONE: u32 = u32::MAX;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What came out: bytes by place, and the sum of the gaps.
    #[derive(Default)]
    struct Out {
        bytes: Vec<u8>,
        gaps: u64,
        end: u64,
    }

    impl Out {
        fn take(&mut self, p: Piece<'_>) {
            assert_eq!(p.offset, self.end + u64::from(p.gap));
            assert!(!p.bytes.is_empty());
            self.end = p.offset + p.bytes.len() as u64;
            self.gaps += u64::from(p.gap);
            self.bytes.extend(p.bytes);
        }
    }

    fn streams(change: impl FnOnce(&mut StreamSettings)) -> Streams {
        let mut settings = StreamSettings::default();
        change(&mut settings);
        Streams::new(&settings)
    }

    fn segment(seq: u32, bytes: &[u8]) -> Segment<'_> {
        Segment {
            seq,
            bytes,
            len: bytes.len() as u32,
            ..Default::default()
        }
    }

    fn play(pool: &mut Streams, segments: &[Segment<'_>]) -> (Stream, Out, Tally) {
        let (mut stream, mut out) = (Stream::default(), Out::default());
        let mut tally = Tally::default();
        for s in segments {
            pool.segment(&mut stream, 0, s, &mut tally, &mut |p, _| out.take(p));
        }
        (stream, out, tally)
    }

    #[test]
    fn order_comes_back() {
        let syn = Segment {
            seq: u32::MAX - 2,
            syn: true,
            ..Default::default()
        };
        let at = |n: u32| n.wrapping_add(u32::MAX - 1);
        let mut pool = streams(|_| {});
        let segments = [
            syn,
            segment(at(0), b"ab"),
            segment(at(5), b"fgh"),
            segment(at(2), b"cd"),
            segment(at(1), b"bc"),
            segment(at(4), b"ef"),
            segment(at(3), b"de"),
            segment(at(8), b"i"),
        ];
        let (_, out, _) = play(&mut pool, &segments);
        assert_eq!((&out.bytes[..], out.gaps), (&b"abcdefghi"[..], 0));
        assert_eq!(pool.bytes(), 0);
    }

    #[test]
    fn what_the_other_side_has_and_we_have_not_is_a_gap() {
        let mut pool = streams(|_| {});
        let (mut stream, mut out) = (Stream::default(), Out::default());
        let mut tally = Tally::default();
        let ack = |ack| Segment {
            seq: 1,
            ack: Some(ack),
            ..Default::default()
        };
        let steps = [
            (0, segment(100, b"ab")),
            (0, segment(105, b"fg")),
            (1, ack(102)),
            (1, ack(107)),
            (0, segment(107, b"h")),
        ];
        for (half, s) in steps {
            pool.segment(&mut stream, half, &s, &mut tally, &mut |p, _| out.take(p));
        }
        assert_eq!((&out.bytes[..], out.gaps), (&b"abfgh"[..], 3));
        assert_eq!(tally.count(Outcome::StreamGaps), 1);
    }

    #[test]
    fn bounds_cost_gaps_and_not_memory() {
        let mut pool = streams(|s| (s.waiting_max, s.bytes_max) = (1000, 1500));
        let data = [7; 100];
        let (mut tally, mut all) = (Tally::default(), vec![]);
        for _ in 0..20 {
            let mut stream = Stream::default();
            for n in 0..30 {
                let s = segment(if n == 0 { 0 } else { n * 200 }, &data);
                pool.segment(&mut stream, 0, &s, &mut tally, &mut |_, _| {});
                assert!(pool.bytes() <= 1600);
            }
            all.push(stream);
        }
        for stream in &mut all {
            pool.end(stream, &mut tally, &mut |_, _| {});
        }
        assert_eq!(pool.bytes(), 0);
        assert!(pool.room <= 3200 && tally.count(Outcome::StreamGaps) > 300);
        let mut pool = streams(|s| s.depth_max = 250);
        let many: Vec<_> = (0..9).map(|n| segment(n * 100, &data)).collect();
        let (stream, out, tally) = play(&mut pool, &many);
        assert_eq!((out.end, tally.count(Outcome::StreamsCut)), (300, 1));
        assert!(stream.is_open(), "the other side may go on");
    }

    /// Octets one by one behind a missing one, in order, every second one, and backwards: neither memory nor the way through them grows.
    #[test]
    fn tiny_segments_that_wait_are_bounded_by_their_number_and_what_they_really_take() {
        const MANY: u32 = 50_000;
        let ascending: Vec<u32> = (1..MANY).collect();
        let second = ascending.iter().map(|n| 2 * n).collect();
        let backwards = ascending.iter().rev().copied().collect();
        for order in [ascending, second, backwards] {
            let mut pool = streams(|_| {});
            let (mut stream, mut tally) = (Stream::default(), Tally::default());
            let begin = Segment {
                syn: true,
                seq: u32::MAX,
                ..Default::default()
            };
            pool.segment(&mut stream, 0, &begin, &mut tally, &mut |_, _| {});
            let segments_max = pool.settings.segments_max;
            for seq in order {
                pool.segment(
                    &mut stream,
                    0,
                    &segment(seq, b"x"),
                    &mut tally,
                    &mut |_, _| {},
                );
                let waits = pool.bytes();
                assert!(waits <= segments_max as usize * (NODE_BYTES + 1), "{waits}");
            }
            assert!(tally.count(Outcome::StreamGaps) > 0);
            let places = pool.nodes.len();
            assert!(places <= segments_max as usize + 1, "{places}");
            pool.end(&mut stream, &mut tally, &mut |_, _| {});
            assert_eq!(pool.bytes(), 0);
        }
    }

    #[test]
    fn the_reading_of_different_data() {
        let mut pool = streams(|_| {});
        let segments = [
            segment(0, b"_"),
            segment(5, b"EEE"),
            // starts behind it: the one that waits keeps its octets
            segment(6, b"xxxx"),
            // starts before it: lies on top
            segment(3, b"yyyy"),
            segment(1, b"12"),
        ];
        let (stream, out, tally) = play(&mut pool, &segments);
        assert_eq!(&out.bytes[..], b"_12yyyyExx");
        assert!(stream.is_conflicting());
        assert_eq!(tally.count(Outcome::SegmentConflicts), 2);
    }

    #[test]
    fn other_data_in_the_place_of_what_was_handed_out() {
        for (again, conflicts) in [
            (segment(10, b"bbbb"), 0),
            (segment(10, b"bxbb"), 1),
            // with what lies around it
            (segment(5, b"aaaaabbbbcc"), 0),
            (segment(5, b"aaaaabbxbcc"), 1),
            // a part of a segment is not compared
            (segment(11, b"xx"), 0),
            // whether the other side lives
            (segment(13, b"\0"), 0),
        ] {
            let mut pool = streams(|_| {});
            let segments = [
                segment(0, b"aaaaaaaaaa"),
                segment(10, b"bbbb"),
                segment(14, b"cc"),
                again,
            ];
            let (stream, _, tally) = play(&mut pool, &segments);
            assert_eq!(
                tally.count(Outcome::SegmentConflicts),
                conflicts,
                "{again:?}"
            );
            assert_eq!(stream.is_conflicting(), conflicts > 0);
        }
    }

    proptest! {
        #[test]
        fn like_a_naive_model(
            len in 1usize..400,
            cuts in proptest::collection::vec((0usize..400, 1usize..60), 1..80),
            start: u32,
        ) {
            let data: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
            let mut pool = streams(|_| {});
            let (mut stream, mut out) = (Stream::default(), Out::default());
            let mut tally = Tally::default();
            let syn = Segment { seq: start.wrapping_sub(1), syn: true, ..Default::default() };
            pool.segment(&mut stream, 0, &syn, &mut tally, &mut |_, _| {});
            let mut there = vec![false; len];
            for (at, n) in cuts {
                let at = at % len;
                let bytes = &data[at..(at + n).min(len)];
                let s = segment(start.wrapping_add(at as u32), bytes);
                pool.segment(&mut stream, 0, &s, &mut tally, &mut |p, _| out.take(p));
                there[at..at + bytes.len()].fill(true);
                let whole = there.iter().take_while(|t| **t).count();
                prop_assert_eq!(&out.bytes[..], &data[..whole]);
            }
            pool.end(&mut stream, &mut tally, &mut |p, _| out.take(p));
            let want: Vec<u8> = (0..len).filter(|n| there[*n]).map(|n| data[n]).collect();
            prop_assert_eq!(&out.bytes, &want);
            prop_assert_eq!(out.gaps + want.len() as u64, out.end);
            prop_assert_eq!(pool.bytes(), 0);
            prop_assert_eq!(tally.count(Outcome::SegmentConflicts), 0);
        }

        #[test]
        fn anything_is_survived(
            steps in proptest::collection::vec((0usize..2, any::<u32>(), any::<bool>(), 0usize..50, 0u32..80, any::<Option<u32>>()), 0..100),
            near: bool,
        ) {
            let mut pool = streams(|s| (s.waiting_max, s.bytes_max, s.depth_max) = (200, 300, 5000));
            let (mut stream, mut tally) = (Stream::default(), Tally::default());
            let mut ends = [0u64; 2];
            for (half, seq, syn, n, len, ack) in steps {
                let bytes = vec![seq as u8; n];
                let seq = if near { seq % 300 } else { seq };
                let s = Segment { seq, syn, ack, bytes: &bytes, len: len.max(n as u32) };
                pool.segment(&mut stream, half, &s, &mut tally, &mut |p, _| {
                    let end = &mut ends[usize::from(p.half)];
                    assert!(p.offset >= *end);
                    *end = p.offset + p.bytes.len() as u64;
                });
                prop_assert!(pool.bytes() <= 400);
            }
            pool.end(&mut stream, &mut tally, &mut |_, _| {});
            prop_assert_eq!(pool.bytes(), 0);
        }
    }
}
