//! The latest packets of a shard, so that a detection has those of its conversation: some from before the alert, some from after it.

use crate::dissect::FrameHead;
use crate::model::{Addr, PacketView};
use std::collections::VecDeque;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct RingSettings {
    /// Bytes of the latest packets; as many again of captures in the making.
    pub bytes_max: usize,
    /// Bytes of one capture.
    pub capture_bytes_max: usize,
    /// Nanoseconds after an alert whose packets belong to it.
    pub after_ns: i64,
}

/// The packets of a detection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: u64,
    /// Link type of the frames.
    pub link_type: u16,
    /// Frames in order.
    pub frames: Vec<KeptFrame>,
}

/// One frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptFrame {
    /// When it was captured, nanoseconds since 1970 UTC.
    pub time_ns: i64,
    /// Bytes that it had on the wire.
    pub original: u32,
    /// What was captured of it.
    pub bytes: Vec<u8>,
}

/// Keeps packets.
#[derive(Debug)]
pub struct Ring {
    settings: RingSettings,
    bytes: Vec<u8>,
    /// Where the next packet goes.
    at: usize,
    /// From the oldest on.
    entries: VecDeque<Entry>,
    making: Vec<Making>,
    making_bytes: usize,
    ready: Vec<Kept>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    talk: u64,
    time_ns: i64,
    at: usize,
    len: u32,
    original: u32,
    link_type: u16,
}

/// A capture that grows.
#[derive(Debug)]
struct Making {
    /// Of the conversation, and of its fragments.
    talks: [u64; 2],
    until_ns: i64,
    bytes: usize,
    kept: Kept,
}

impl Ring {
    /// With nothing in it.
    pub fn new(settings: RingSettings) -> Self {
        Ring {
            settings,
            bytes: vec![],
            at: 0,
            entries: VecDeque::new(),
            making: vec![],
            making_bytes: 0,
            ready: vec![],
        }
    }

    /// Bytes that it takes at most.
    pub fn memory_max(bytes_max: usize) -> usize {
        // packets of the least length have an entry each
        let entries = bytes_max / FRAME_BYTES_MIN * size_of::<Entry>();
        bytes_max.saturating_mul(2).saturating_add(entries)
    }

    /// Keeps a frame.
    #[inline]
    pub fn keep(&mut self, head: &FrameHead, bytes: &[u8], p: &PacketView<'_>) {
        let ports = match p.fragment {
            Some(_) => (0, 0),
            None => p.ports(),
        };
        let talk = talk_of(p.src, p.dst, ports, p.proto);
        if !self.making.is_empty() {
            self.grow(talk, head, bytes);
        }
        let bytes = &bytes[..bytes.len().min(self.settings.capture_bytes_max)];
        let max = self.settings.bytes_max;
        if bytes.is_empty() || bytes.len() > max {
            return;
        }
        if self.bytes.is_empty() {
            self.bytes = vec![0; max];
        }
        if self.at + bytes.len() > max {
            // what lies behind is older than what lies before
            while self.entries.front().is_some_and(|e| e.at >= self.at) {
                self.entries.pop_front();
            }
            self.at = 0;
        }
        let end = self.at + bytes.len();
        let most = max / FRAME_BYTES_MIN;
        let in_the_way = |e: &Entry| e.at < end && e.at + e.len as usize > self.at;
        while self.entries.len() >= most || self.entries.front().is_some_and(in_the_way) {
            self.entries.pop_front();
        }
        self.bytes[self.at..end].copy_from_slice(bytes);
        self.entries.push_back(Entry {
            talk,
            time_ns: head.time_ns,
            at: self.at,
            len: bytes.len() as u32,
            original: head.wire_len,
            link_type: head.link_type,
        });
        self.at = end;
    }

    /// Begins the capture of a detection: what is there of the conversation, the latest before the others, up to three quarters of a capture.
    pub fn begin(&mut self, id: u64, addrs: [Addr; 2], ports: [u16; 2], proto: u8) {
        let [src, dst] = addrs;
        let ports = (ports[0], ports[1]);
        let talks = [ports, (0, 0)].map(|p| talk_of(src, dst, p, proto));
        let mut making = Making {
            talks,
            until_ns: i64::MAX,
            bytes: 0,
            kept: Kept {
                id,
                ..Kept::default()
            },
        };
        let most = self.settings.capture_bytes_max / 4 * 3;
        for e in self
            .entries
            .iter()
            .rev()
            .filter(|e| talks.contains(&e.talk))
        {
            let kept = &mut making.kept;
            if kept.frames.is_empty() {
                (kept.link_type, making.until_ns) =
                    (e.link_type, e.time_ns + self.settings.after_ns);
            }
            if making.bytes + e.len as usize > most || kept.frames.len() >= FRAMES_MAX {
                break;
            }
            if e.link_type == kept.link_type {
                making.bytes += e.len as usize;
                kept.frames.push(KeptFrame {
                    time_ns: e.time_ns,
                    original: e.original,
                    bytes: self.bytes[e.at..e.at + e.len as usize].to_vec(),
                });
            }
        }
        if making.kept.frames.is_empty() {
            return;
        }
        making.kept.frames.reverse();
        self.making_bytes += making.bytes;
        self.making.push(making);
        while self.making_bytes > self.settings.bytes_max || self.making.len() > MAKING_MAX {
            self.end_one(0);
        }
    }

    /// Lets time pass: captures whose time is over are ready.
    pub fn tick(&mut self, now_ns: i64) {
        while let Some(n) = self.making.iter().position(|m| m.until_ns <= now_ns) {
            self.end_one(n);
        }
    }

    /// The captures that are ready.
    pub fn take_ready(&mut self) -> Vec<Kept> {
        std::mem::take(&mut self.ready)
    }

    fn grow(&mut self, talk: u64, head: &FrameHead, bytes: &[u8]) {
        let most = self.settings.capture_bytes_max;
        for m in &mut self.making {
            let fits = m.bytes + bytes.len() <= most && m.kept.frames.len() < FRAMES_MAX;
            let is_in_time = head.time_ns <= m.until_ns;
            let same = m.talks.contains(&talk) && m.kept.link_type == head.link_type;
            if same && !fits {
                m.until_ns = i64::MIN;
            } else if same && is_in_time {
                m.bytes += bytes.len();
                self.making_bytes += bytes.len();
                m.kept.frames.push(KeptFrame {
                    time_ns: head.time_ns,
                    original: head.wire_len,
                    bytes: bytes.to_vec(),
                });
            }
        }
    }

    fn end_one(&mut self, n: usize) {
        let made = self.making.remove(n);
        self.making_bytes -= made.bytes;
        self.ready.push(made.kept);
    }
}

/// A number of a conversation, the same in both directions.
fn talk_of(src: Addr, dst: Addr, ports: (u16, u16), proto: u8) -> u64 {
    let ends = [(src, ports.0), (dst, ports.1)];
    let [low, high] = match ends[0] <= ends[1] {
        true => ends,
        false => [ends[1], ends[0]],
    };
    let mix = |sum: u128, (addr, port): (Addr, u16)| {
        let sum = sum ^ u128::from_be_bytes(addr.0) ^ u128::from(port) << 64;
        sum.wrapping_mul(ODD).rotate_left(41)
    };
    (mix(mix(proto.into(), low), high) >> 64) as u64
}

const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
/// Room that a frame has in the list at least.
const FRAME_BYTES_MIN: usize = 64;
/// Frames of a capture.
const FRAMES_MAX: usize = 4_096;
/// Captures that grow at a time.
const MAKING_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::{Dissected, Dissector};

    /// A datagram over raw IPv4 with so many bytes of payload.
    fn frame(src: u8, dst: u8, ports: (u16, u16), len: usize) -> Vec<u8> {
        let total = (28 + len) as u16;
        let mut b = vec![
            0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, src, 10, 0, 0, dst,
        ];
        b[2..4].copy_from_slice(&total.to_be_bytes());
        b.extend_from_slice(&ports.0.to_be_bytes());
        b.extend_from_slice(&ports.1.to_be_bytes());
        b.extend_from_slice(&((8 + len) as u16).to_be_bytes());
        b.extend_from_slice(&[0, 0]);
        b.resize(usize::from(total), src);
        b
    }

    fn keep(ring: &mut Ring, time_ns: i64, bytes: &[u8]) {
        let head = FrameHead {
            time_ns,
            frame: 0,
            interface: 0,
            link_type: 101,
            wire_len: bytes.len() as u32,
        };
        let mut dissector = Dissector::new(&Default::default());
        let Dissected::Ip(p) = dissector.frame(head, bytes) else {
            panic!("no packet");
        };
        ring.keep(&head, bytes, &p);
    }

    fn ring(bytes_max: usize) -> Ring {
        Ring::new(RingSettings {
            bytes_max,
            capture_bytes_max: 1_000,
            after_ns: 10,
        })
    }

    fn host(n: u8) -> Addr {
        Addr::from_v4([10, 0, 0, n])
    }

    fn times(kept: &Kept) -> Vec<i64> {
        kept.frames.iter().map(|f| f.time_ns).collect()
    }

    #[test]
    fn a_capture_has_what_came_before_and_after() {
        let mut ring = ring(10_000);
        keep(&mut ring, 1, &frame(1, 2, (5, 53), 100));
        keep(&mut ring, 2, &frame(1, 3, (5, 53), 100));
        keep(&mut ring, 3, &frame(2, 1, (53, 5), 100));
        ring.begin(7, [host(1), host(2)], [5, 53], 17);
        keep(&mut ring, 9, &frame(1, 2, (5, 53), 100));
        keep(&mut ring, 10, &frame(1, 2, (6, 53), 100));
        ring.tick(12);
        assert!(ring.take_ready().is_empty());
        keep(&mut ring, 14, &frame(1, 2, (5, 53), 100));
        ring.tick(14);
        let ready = ring.take_ready();
        assert_eq!(ready.len(), 1);
        assert_eq!((ready[0].id, ready[0].link_type), (7, 101));
        assert_eq!(times(&ready[0]), [1, 3, 9]);
        assert_eq!(ready[0].frames[0].bytes, frame(1, 2, (5, 53), 100));
        assert_eq!(ring.making_bytes, 0);
    }

    #[test]
    fn bounds_hold_and_the_latest_packets_stay() {
        let mut ring = ring(1_000);
        for n in 0..1_000 {
            let len = 50 + (n as usize * 37) % 150;
            keep(&mut ring, n, &frame(1, 2, (5, 53), len));
            let mut last = 0;
            let entries = ring.entries.iter();
            let held: usize = entries.map(|e| e.len as usize).sum();
            assert!(held <= 1_000 && ring.bytes.len() == 1_000);
            for e in &ring.entries {
                assert!(e.time_ns >= last);
                last = e.time_ns;
                // each still holds its own bytes: the length that its header says
                let said = u16::from_be_bytes([ring.bytes[e.at + 2], ring.bytes[e.at + 3]]);
                assert_eq!(u32::from(said), e.len);
            }
            assert_eq!(last, n);
        }
        ring.begin(1, [host(1), host(2)], [5, 53], 17);
        let made = &ring.making[0];
        assert!(made.bytes <= 750 && made.bytes > 400, "{}", made.bytes);
        assert_eq!(times(&made.kept).last(), Some(&999));
        // captures in the making are bounded, too: the first ends when there is no room
        ring.begin(2, [host(1), host(2)], [5, 53], 17);
        assert_eq!((ring.making.len(), ring.ready.len()), (1, 1));
        // of a conversation that is not there none is made
        ring.begin(3, [host(8), host(9)], [5, 53], 17);
        assert_eq!(ring.making.len(), 1);
    }
}
