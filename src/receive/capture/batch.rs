//! Batches of frames, the pool that they come home to, and the choice of the shard.

use crate::dissect::{RouteKey, route};
use crate::receive::Frame;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Some frames of any conversations of one shard: one arena of bytes and an index. Dropping it sends its buffers home to
/// the pool.
#[derive(Debug)]
pub struct FrameBatch {
    buffers: Buffers,
    now_ns: i64,
    is_end: bool,
    home: Option<Home>,
}

impl FrameBatch {
    /// A batch of no frames, by which time passes in a shard that gets none.
    pub fn heartbeat(now_ns: i64) -> Self {
        FrameBatch {
            buffers: Buffers::default(),
            now_ns,
            is_end: false,
            home: None,
        }
    }

    /// A batch of no frames, at which all conversations end.
    pub fn end(now_ns: i64) -> Self {
        let mut batch = FrameBatch::heartbeat(now_ns);
        batch.is_end = true;
        batch
    }

    /// An empty batch for `frames_max` frames of `snap_length` bytes that belongs to no pool.
    pub fn with_capacity(frames_max: usize, snap_length: usize) -> Self {
        let mut batch = FrameBatch::heartbeat(0);
        batch.buffers = Buffers::new(frames_max, arena_bytes(snap_length));
        batch
    }

    /// Copies a frame in. Gives false, and changes nothing, when there is no more room.
    #[inline]
    pub fn push(&mut self, f: &Frame<'_>) -> bool {
        let b = &mut self.buffers;
        if b.entries.len() == b.entries.capacity()
            || b.arena.capacity() - b.arena.len() < f.captured.len()
        {
            return false;
        }
        b.arena.extend_from_slice(f.captured);
        b.entries.push(Entry {
            time_ns: f.time_ns,
            number: f.number,
            end: b.arena.len() as u32,
            original: f.original,
            interface: f.interface,
            link_type: f.link_type,
        });
        true
    }

    /// The frames, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = Frame<'_>> {
        let mut start = 0;
        self.buffers.entries.iter().map(move |e| {
            let captured = &self.buffers.arena[start..e.end as usize];
            start = e.end as usize;
            Frame {
                number: e.number,
                time_ns: e.time_ns,
                interface: e.interface,
                link_type: e.link_type,
                captured,
                original: e.original,
            }
        })
    }

    /// How many frames it holds.
    pub fn len(&self) -> usize {
        self.buffers.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.buffers.entries.is_empty()
    }

    /// Whether it holds as many frames as it may.
    pub fn is_full(&self) -> bool {
        self.len() == self.buffers.entries.capacity()
    }

    /// Whether all conversations end here.
    pub fn is_end(&self) -> bool {
        self.is_end
    }

    /// The clock when the batch was sent, nanoseconds since 1970 UTC.
    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// Sets the clock.
    pub(super) fn set_now_ns(&mut self, now_ns: i64) {
        self.now_ns = now_ns;
    }

    /// Counts its frames as queued from now until it is dropped.
    pub(super) fn count_queued(&mut self) {
        let queued = self.len() as u64;
        if let Some(home) = &mut self.home {
            home.gauge.fetch_add(queued, Ordering::Relaxed);
            home.queued = queued;
        }
    }

    /// Takes [`Self::count_queued`] back.
    pub(super) fn uncount_queued(&mut self) {
        if let Some(home) = &mut self.home {
            home.gauge.fetch_sub(home.queued, Ordering::Relaxed);
            home.queued = 0;
        }
    }

    /// Empties it.
    pub(super) fn clear(&mut self) {
        self.buffers.clear();
    }
}

impl Drop for FrameBatch {
    fn drop(&mut self) {
        self.uncount_queued();
        if let Some(home) = self.home.take() {
            let mut buffers = std::mem::take(&mut self.buffers);
            buffers.clear();
            // the pool has room for all that it made; when it is gone the buffers go, too
            let _ = home.sender.try_send(buffers);
        }
    }
}

/// Buffers made once and used again: at most `batches_max` exist.
#[derive(Debug)]
pub(super) struct FramePool {
    returned: Receiver<Buffers>,
    home: Sender<Buffers>,
    gauge: Arc<AtomicU64>,
    made: usize,
    batches_max: usize,
    frames_max: usize,
    arena_bytes: usize,
}

impl FramePool {
    /// A pool of at most `batches_max` batches of `frames_max` frames; `gauge` counts the frames queued in them.
    pub fn new(
        batches_max: usize,
        frames_max: usize,
        snap_length: usize,
        gauge: Arc<AtomicU64>,
    ) -> Self {
        let (home, returned) = bounded(batches_max);
        FramePool {
            returned,
            home,
            gauge,
            made: 0,
            batches_max,
            frames_max,
            arena_bytes: arena_bytes(snap_length),
        }
    }

    /// An empty batch; `None` when all are out.
    pub fn take(&mut self) -> Option<FrameBatch> {
        let buffers = match self.returned.try_recv() {
            Ok(buffers) => buffers,
            Err(_) if self.made < self.batches_max => {
                self.made += 1;
                Buffers::new(self.frames_max, self.arena_bytes)
            }
            Err(_) => return None,
        };
        let mut batch = FrameBatch::heartbeat(0);
        batch.buffers = buffers;
        batch.home = Some(Home {
            sender: self.home.clone(),
            gauge: Arc::clone(&self.gauge),
            queued: 0,
        });
        Some(batch)
    }
}

/// Which shard a conversation belongs to: a keyed hash of its unordered address pair, so that nobody can aim at one shard.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    key: [u64; 4],
    shards: u64,
}

impl Spread {
    /// A spread over `shards` shards, with a key of its own.
    pub fn new(shards: usize) -> Self {
        let state = RandomState::new();
        Spread {
            key: [1u8, 2, 3, 4].map(|n| state.hash_one(n) | 1),
            shards: shards.max(1) as u64,
        }
    }

    /// The shard of an address pair.
    #[inline]
    pub fn shard(&self, key: &RouteKey) -> usize {
        let half = |b: &[u8; 16], n: usize| {
            let eight = [0, 1, 2, 3, 4, 5, 6, 7].map(|i| b[8 * n + i]);
            u64::from_le_bytes(eight)
        };
        let fold = |a: u64, b: u64| {
            let product = u128::from(a) * u128::from(b);
            product as u64 ^ (product >> 64) as u64
        };
        let (low, high) = (&key.low.0, &key.high.0);
        let one = fold(half(low, 0) ^ self.key[0], half(low, 1) ^ self.key[1]);
        let two = fold(half(high, 0) ^ self.key[2], half(high, 1) ^ self.key[3]);
        let hash = fold(one ^ self.key[1], two ^ self.key[2]);
        ((u128::from(hash) * u128::from(self.shards)) >> 64) as usize
    }

    /// The shard of a frame; what has no addresses goes to the first.
    #[inline]
    pub fn shard_of(&self, f: &Frame<'_>) -> usize {
        if self.shards == 1 {
            return 0;
        }
        route(f.link_type, f.captured).map_or(0, |key| self.shard(&key))
    }
}

/// The batches that one interface needs for `shards` shards: a full queue, one open, one at work, one to spare each.
pub(super) fn batches_max(queue: usize, shards: usize) -> usize {
    shards * (queue + 3)
}

/// Bytes of a batch: 64 frames of Ethernet fit, as does the longest that is taken.
pub(super) fn arena_bytes(snap_length: usize) -> usize {
    snap_length.max(128 << 10)
}

#[derive(Debug)]
struct Home {
    sender: Sender<Buffers>,
    gauge: Arc<AtomicU64>,
    queued: u64,
}

#[derive(Debug, Default)]
struct Buffers {
    arena: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    time_ns: i64,
    number: u64,
    end: u32,
    original: u32,
    interface: u32,
    link_type: u16,
}

impl Buffers {
    fn new(frames_max: usize, arena_bytes: usize) -> Self {
        Buffers {
            arena: Vec::with_capacity(arena_bytes),
            entries: Vec::with_capacity(frames_max),
        }
    }

    fn clear(&mut self) {
        self.arena.clear();
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Addr;

    fn frame(captured: &[u8], number: u64) -> Frame<'_> {
        Frame {
            number,
            time_ns: number as i64,
            interface: 7,
            link_type: 1,
            captured,
            original: captured.len() as u32 + 4,
        }
    }

    #[test]
    fn frames_come_out_as_they_went_in_and_buffers_come_home() {
        let gauge = Arc::new(AtomicU64::new(0));
        let mut pool = FramePool::new(1, 3, 100, gauge.clone());
        let mut batch = pool.take().expect("one");
        assert!(pool.take().is_none(), "all are out");
        for (i, bytes) in [&b"one"[..], b"", b"three"].iter().enumerate() {
            assert!(batch.push(&frame(bytes, i as u64)));
        }
        assert!(batch.is_full() && !batch.push(&frame(b"x", 9)));
        let out: Vec<_> = batch.iter().collect();
        assert_eq!(out[2], frame(b"three", 2));
        assert_eq!((out.len(), out[1].captured.len()), (3, 0));
        batch.count_queued();
        assert_eq!(gauge.load(Ordering::Relaxed), 3);
        drop(batch);
        assert_eq!(gauge.load(Ordering::Relaxed), 0);
        assert!(pool.take().expect("it came home").is_empty());
    }

    #[test]
    fn a_frame_that_does_not_fit_changes_nothing() {
        let mut batch = FrameBatch::with_capacity(10, 100);
        let long = vec![1; arena_bytes(100)];
        assert!(batch.push(&frame(&long, 1)));
        assert!(!batch.push(&frame(b"x", 2)));
        assert_eq!(batch.len(), 1);
    }

    #[test]
    fn conversations_spread_evenly_and_both_directions_meet() {
        let spread = Spread::new(4);
        let mut counts = [0u32; 4];
        for n in 0..40_000u32 {
            let a = Addr::from_v4((0x0a00_0000 + n).to_be_bytes());
            let b = Addr::from_v4((0xc000_0200 + n % 7).to_be_bytes());
            let shard = spread.shard(&RouteKey::of(a, b));
            assert_eq!(shard, spread.shard(&RouteKey::of(b, a)));
            counts[shard] += 1;
        }
        assert!(
            counts.iter().all(|n| (9_000..11_000).contains(n)),
            "{counts:?}"
        );
    }
}
