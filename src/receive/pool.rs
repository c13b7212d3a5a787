//! Batches of datagrams and the pool that they come home to.

use super::Settings;
use crate::model::{Addr, Datagram};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Some datagrams of any exporters of one shard: one arena of payloads and an index. Dropping it sends its buffers
/// home to the pool.
#[derive(Debug)]
pub struct DatagramBatch {
    buffers: Buffers,
    now_ns: i64,
    home: Option<Home>,
}

impl DatagramBatch {
    /// A batch of no datagrams, by which time passes in a shard that gets none. It belongs to no pool.
    pub fn heartbeat(now_ns: i64) -> Self {
        DatagramBatch {
            buffers: Buffers::default(),
            now_ns,
            home: None,
        }
    }

    /// An empty batch for `entries_max` datagrams that belongs to no pool.
    pub fn with_capacity(entries_max: usize) -> Self {
        DatagramBatch {
            buffers: Buffers::new(entries_max),
            now_ns: 0,
            home: None,
        }
    }

    /// Copies a datagram in. Gives false, and changes nothing, when there is no more room; an empty batch made with
    /// a capacity has room for any datagram.
    #[inline]
    pub fn push(&mut self, d: &Datagram<'_>) -> bool {
        let b = &mut self.buffers;
        if b.entries.len() == b.entries.capacity()
            || b.arena.capacity() - b.arena.len() < d.payload.len()
        {
            return false;
        }
        b.arena.extend_from_slice(d.payload);
        b.entries.push(Entry {
            source: d.source,
            received_at_ns: d.received_at_ns,
            number: d.number,
            frame: d.frame,
            end: b.arena.len() as u32,
            port: d.port,
            cut: d.cut,
        });
        self.now_ns = self.now_ns.max(d.received_at_ns);
        true
    }

    /// The datagrams, in order of arrival.
    pub fn iter(&self) -> impl Iterator<Item = Datagram<'_>> {
        let mut start = 0;
        self.buffers.entries.iter().map(move |e| {
            let payload = &self.buffers.arena[start..e.end as usize];
            start = e.end as usize;
            Datagram {
                source: e.source,
                port: e.port,
                received_at_ns: e.received_at_ns,
                number: e.number,
                frame: e.frame,
                cut: e.cut,
                payload,
            }
        })
    }

    /// How many datagrams it holds.
    pub fn len(&self) -> usize {
        self.buffers.entries.len()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.buffers.entries.is_empty()
    }

    /// Whether it holds as many datagrams as it may.
    pub fn is_full(&self) -> bool {
        self.len() == self.buffers.entries.capacity()
    }

    /// Collector clock when the batch was sent, nanoseconds since 1970 UTC. Batches of two listeners may arrive a
    /// little out of order: a shard's time is the latest it has seen.
    pub fn now_ns(&self) -> i64 {
        self.now_ns
    }

    /// Sets the clock.
    pub fn set_now_ns(&mut self, now_ns: i64) {
        self.now_ns = now_ns;
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.buffers.clear();
    }

    /// Counts its datagrams as queued from now until it is dropped.
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
}

impl Drop for DatagramBatch {
    fn drop(&mut self) {
        self.uncount_queued();
        if let Some(home) = self.home.take() {
            let mut buffers = std::mem::take(&mut self.buffers);
            buffers.clear();
            // The pool holds as many as it made, so there is room; when the pool is gone the buffers go, too.
            let _ = home.sender.try_send(buffers);
        }
    }
}

/// Buffers made once and used again: at most `batches_max` exist.
#[derive(Debug)]
pub struct Pool {
    returned: Receiver<Buffers>,
    home: Sender<Buffers>,
    gauge: Arc<AtomicU64>,
    made: usize,
    batches_max: usize,
    entries_max: usize,
}

impl Pool {
    /// A pool of at most `batches_max` batches of `entries_max` datagrams; `gauge` counts the datagrams queued in them.
    pub fn new(batches_max: usize, entries_max: usize, gauge: Arc<AtomicU64>) -> Self {
        let (home, returned) = bounded(batches_max);
        Pool {
            returned,
            home,
            gauge,
            made: 0,
            batches_max,
            entries_max,
        }
    }

    /// An empty batch; `None` when all are out.
    pub fn take(&mut self) -> Option<DatagramBatch> {
        let buffers = match self.returned.try_recv() {
            Ok(buffers) => buffers,
            Err(_) if self.made < self.batches_max => {
                self.made += 1;
                Buffers::new(self.entries_max)
            }
            Err(_) => return None,
        };
        Some(DatagramBatch {
            buffers,
            now_ns: 0,
            home: Some(Home {
                sender: self.home.clone(),
                gauge: Arc::clone(&self.gauge),
                queued: 0,
            }),
        })
    }

    /// How many batches were ever made.
    pub fn made(&self) -> usize {
        self.made
    }
}

/// The batches that one listener needs for `shards` shards: a full queue, one open, one at work, one to spare each.
pub(super) fn batches_max(settings: &Settings, shards: usize) -> usize {
    settings.queue.saturating_add(3).saturating_mul(shards)
}

/// Bytes of payload in a batch: 64 datagrams of an Ethernet frame fit, as does the longest datagram there is.
pub(super) const ARENA_BYTES: usize = 128 << 10;

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
    source: Addr,
    received_at_ns: i64,
    number: u64,
    frame: u64,
    end: u32,
    port: u16,
    cut: bool,
}

impl Buffers {
    fn new(entries_max: usize) -> Self {
        Buffers {
            arena: Vec::with_capacity(ARENA_BYTES),
            entries: Vec::with_capacity(entries_max),
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

    fn datagram(payload: &[u8], number: u64) -> Datagram<'_> {
        Datagram {
            source: Addr::from_v4([192, 0, 2, 1]),
            port: 9,
            received_at_ns: number as i64,
            number,
            frame: 0,
            cut: number == 2,
            payload,
        }
    }

    #[test]
    fn datagrams_come_out_as_they_went_in() {
        let mut b = DatagramBatch::with_capacity(3);
        for (i, payload) in [&b"one"[..], b"", b"three"].iter().enumerate() {
            assert!(b.push(&datagram(payload, i as u64 + 1)));
        }
        assert!(b.is_full() && !b.push(&datagram(b"x", 4)));
        let out: Vec<_> = b
            .iter()
            .map(|d| (d.number, d.cut, d.payload.to_vec()))
            .collect();
        let want = [
            (1, false, b"one".to_vec()),
            (2, true, vec![]),
            (3, false, b"three".to_vec()),
        ];
        assert_eq!(out, want);
        assert_eq!(b.now_ns(), 3);
    }

    #[test]
    fn a_full_arena_refuses_and_the_longest_datagram_fits_an_empty_one() {
        let longest = vec![1; 65_535];
        let mut b = DatagramBatch::with_capacity(64);
        assert!(b.push(&datagram(&longest, 1)) && b.push(&datagram(&longest, 2)));
        assert!(!b.push(&datagram(&[0; 3], 3)));
        assert_eq!(b.len(), 2);
        b.clear();
        assert!(b.is_empty() && b.push(&datagram(&longest, 3)));
    }

    #[test]
    fn batches_come_home_and_the_pool_is_bounded() {
        let gauge = Arc::new(AtomicU64::new(0));
        let mut pool = Pool::new(2, 4, Arc::clone(&gauge));
        for _ in 0..100 {
            let (mut a, b) = (pool.take().unwrap(), pool.take().unwrap());
            assert!(pool.take().is_none());
            a.push(&datagram(b"abc", 1));
            a.count_queued();
            assert_eq!(gauge.load(Ordering::Relaxed), 1);
            std::thread::spawn(move || drop((a, b))).join().unwrap();
            assert_eq!(gauge.load(Ordering::Relaxed), 0);
        }
        assert_eq!(pool.made(), 2);
        let last = pool.take().unwrap();
        assert!(last.is_empty());
        drop(pool);
        drop(last);
    }
}
