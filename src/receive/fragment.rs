//! IP fragments to whole payloads, with bounds on everything.
//!
//! A datagram whose fragments overlap is dropped whole (RFC 5722 for IPv6, the same here for IPv4: export traffic
//! has no reason for it); an exact repetition is ignored.

use crate::model::Addr;
use std::collections::HashMap;

/// What identifies the packet a fragment belongs to (RFC 791 section 3.2, RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentKey {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Identification.
    pub id: u32,
    /// Protocol; 0 for IPv6, where it is no part of the key.
    pub proto: u8,
}

/// What a fragment did.
#[derive(Debug, PartialEq, Eq)]
pub enum Added {
    /// More are awaited.
    Waiting,
    /// It was the last one missing; `frames` is how many made the payload.
    Whole {
        /// The payload of IP.
        payload: Vec<u8>,
        /// Frames that carried it.
        frames: u64,
    },
    /// It contradicts what is there, or does not fit; `frames` (this one included) are lost with it.
    Refused {
        /// Frames lost.
        frames: u64,
    },
}

/// Packets of which some fragments are there.
#[derive(Debug, Default)]
pub struct Fragments {
    waiting: HashMap<FragmentKey, Partial>,
    bytes: usize,
    lost_frames: u64,
}

#[derive(Debug, Default)]
struct Partial {
    data: Vec<u8>,
    /// Ranges that are there, sorted, apart from each other.
    there: Vec<(usize, usize)>,
    total: Option<usize>,
    started_ns: i64,
    frames: u64,
}

impl Fragments {
    /// Adds a fragment that starts at `offset`; `more` says that others follow it.
    pub fn add(
        &mut self,
        key: FragmentKey,
        time_ns: i64,
        offset: u32,
        more: bool,
        data: &[u8],
    ) -> Added {
        self.make_room(time_ns, data.len(), &key);
        let partial = self.waiting.entry(key).or_insert_with(|| Partial {
            started_ns: time_ns,
            ..Default::default()
        });
        let before = partial.data.len();
        partial.frames += 1;
        let fits = partial.put(offset as usize, more, data);
        self.bytes += partial.data.len() - before;
        if fits && !partial.is_whole() {
            return Added::Waiting;
        }
        let Some(done) = self.waiting.remove(&key) else {
            return Added::Waiting;
        };
        self.bytes -= done.data.len();
        let (payload, frames) = (done.data, done.frames);
        if fits {
            Added::Whole { payload, frames }
        } else {
            Added::Refused { frames }
        }
    }

    /// Frames of packets that were given up because they were late or there was no room; taken once.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost_frames)
    }

    /// Gives up everything that waits.
    pub fn clear(&mut self) {
        self.lost_frames += self.waiting.drain().map(|(_, p)| p.frames).sum::<u64>();
        self.bytes = 0;
    }

    /// Gives up what is too old, then what is oldest until there is room. What is given up is rare, so a search for
    /// it is cheap enough.
    fn make_room(&mut self, now_ns: i64, more: usize, key: &FragmentKey) {
        let full = |f: &Self| f.waiting.len() >= PACKETS_MAX || f.bytes + more > BYTES_MAX;
        let late = |p: &Partial| now_ns.saturating_sub(p.started_ns) > WAIT_MAX_NS;
        if !full(self) && !self.waiting.get(key).is_some_and(late) {
            return;
        }
        let mut given_up: Vec<FragmentKey> = self
            .waiting
            .iter()
            .filter(|(_, p)| late(p))
            .map(|(k, _)| *k)
            .collect();
        loop {
            for key in given_up.drain(..) {
                if let Some(p) = self.waiting.remove(&key) {
                    self.bytes -= p.data.len();
                    self.lost_frames += p.frames;
                }
            }
            if !full(self) {
                return;
            }
            // the whole key: of several that are as old the same one goes in every run
            let oldest = self.waiting.iter().min_by_key(|(k, p)| (p.started_ns, **k));
            match oldest {
                Some((k, _)) => given_up.push(*k),
                None => return,
            }
        }
    }
}

impl Partial {
    /// Puts data at its place; `false` where it contradicts what is there.
    fn put(&mut self, offset: usize, more: bool, data: &[u8]) -> bool {
        let end = offset + data.len();
        let last = !more;
        if end > PACKET_BYTES_MAX
            || self.total.is_some_and(|t| end > t || (last && end != t))
            || (last && self.there.last().is_some_and(|r| r.1 > end))
            || (more && (data.is_empty() || !data.len().is_multiple_of(8)))
        {
            return false;
        }
        let at = self.there.partition_point(|r| r.1 <= offset);
        if let Some(&(from, to)) = self.there.get(at)
            && from < end
        {
            return offset >= from && end <= to && self.data[offset..end] == *data;
        }
        if last {
            self.total = Some(end);
        }
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[offset..end].copy_from_slice(data);
        self.there.insert(at, (offset, end));
        self.merge(at);
        true
    }

    /// Joins the range at `at` with its neighbours where they touch.
    fn merge(&mut self, at: usize) {
        if let Some(&(from, to)) = self.there.get(at + 1)
            && self.there[at].1 == from
        {
            self.there[at].1 = to;
            self.there.remove(at + 1);
        }
        if at > 0 && self.there[at - 1].1 == self.there[at].0 {
            self.there[at - 1].1 = self.there[at].1;
            self.there.remove(at);
        }
    }

    fn is_whole(&self) -> bool {
        matches!((self.there.as_slice(), self.total), ([(0, to)], Some(total)) if *to == total)
    }
}

/// Most packets awaiting fragments.
const PACKETS_MAX: usize = 1024;
/// Most bytes of all of them.
const BYTES_MAX: usize = 16 << 20;
/// Most bytes of one payload of IP.
const PACKET_BYTES_MAX: usize = 65_535;
/// How long fragments are awaited, by capture time (RFC 8200 section 4.5).
const WAIT_MAX_NS: i64 = 60_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: u32) -> FragmentKey {
        FragmentKey {
            src: Addr::from_v4([1; 4]),
            dst: Addr::from_v4([2; 4]),
            id,
            proto: 17,
        }
    }

    #[test]
    fn any_order_makes_the_same_payload() {
        let whole: Vec<u8> = (0..60).collect();
        let parts = [(0, 24), (24, 48), (48, 60)];
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1]] {
            let mut f = Fragments::default();
            for (n, i) in order.into_iter().enumerate() {
                let (from, to) = parts[i];
                let got = f.add(key(1), 0, from as u32, to != 60, &whole[from..to]);
                if n < 2 {
                    assert_eq!(got, Added::Waiting);
                    // a repetition changes nothing but the count of frames
                    assert_eq!(
                        f.add(key(1), 0, from as u32, to != 60, &whole[from..to]),
                        Added::Waiting
                    );
                } else {
                    let payload = whole.clone();
                    assert_eq!(got, Added::Whole { payload, frames: 5 });
                }
            }
            assert_eq!((f.bytes, f.waiting.len()), (0, 0));
        }
    }

    #[test]
    fn contradictions_lose_the_packet() {
        for (offset, more, data) in [
            (4, true, &[1u8; 8][..]),      // overlap
            (0, true, &[9; 16][..]),       // the same place, other bytes
            (0, false, &[0; 8][..]),       // an end before what is there
            (65_528, false, &[0; 16][..]), // too long
            (24, true, &[0; 7][..]),       // no multiple of eight
            (24, true, &[][..]),           // nothing
        ] {
            let mut f = Fragments::default();
            assert_eq!(f.add(key(1), 0, 0, true, &[0; 16]), Added::Waiting);
            let got = f.add(key(1), 0, offset, more, data);
            assert_eq!(got, Added::Refused { frames: 2 }, "at {offset}");
            assert_eq!(f.bytes, 0);
        }
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_gives_way() {
        let mut f = Fragments::default();
        for id in 0..PACKETS_MAX as u32 + 10 {
            f.add(key(id), i64::from(id), 0, true, &[0; 8]);
        }
        assert_eq!((f.waiting.len(), f.take_lost()), (PACKETS_MAX, 10));
        assert!(!f.waiting.contains_key(&key(0)));
        for id in 0..1000 {
            f.add(key(id + 5000), 1, 65_000, true, &[0; 8]);
        }
        assert!(f.bytes <= BYTES_MAX && f.waiting.len() <= PACKETS_MAX);
        f.add(key(9), 2 * WAIT_MAX_NS, 0, true, &[0; 8]);
        assert_eq!(f.waiting.len(), 1);
        f.clear();
        assert_eq!(f.bytes, 0);
    }

    #[test]
    fn which_of_equally_old_ones_gives_way_is_always_the_same() {
        let from = |n: u32| FragmentKey {
            src: Addr::from_v4(n.to_be_bytes()),
            ..key(7)
        };
        for _ in 0..4 {
            let mut f = Fragments::default();
            (0..PACKETS_MAX as u32 + 2).for_each(|n| {
                f.add(from(n), 0, 0, true, &[0; 8]);
            });
            assert!(!f.waiting.contains_key(&from(0)) && !f.waiting.contains_key(&from(1)));
        }
    }
}
