//! From a reader to the shards: each frame is copied into the open batch of its conversation's shard.

use super::batch::{FramePool, batches_max};
use super::{CaptureStats, FrameBatch, Settings, Spread};
use crate::ledger::Outcome;
use crate::receive::Frame;
use crate::receive::route::Moment;
use crossbeam_channel::{Sender, TrySendError};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

/// Routes the frames of one reader. Dropping it ends its streams to the shards.
#[derive(Debug)]
pub struct FrameRouter {
    lanes: Vec<Lane>,
    pool: FramePool,
    spread: Spread,
    /// Wait for shards instead of dropping: a file can wait, an interface cannot.
    waits: bool,
    frames: u64,
    bytes: u64,
    dropped: u64,
    /// Blocks of files that made no sense.
    rejected: u64,
    gone: Option<usize>,
}

#[derive(Debug)]
struct Lane {
    sender: Sender<FrameBatch>,
    open: FrameBatch,
    opened_at: Instant,
    sent_at: Instant,
}

impl FrameRouter {
    /// A router to one sender a shard; every reader has its own, with clones of the same senders in the same order, the same
    /// spread, and the same count of queued frames.
    pub fn new(
        senders: Vec<Sender<FrameBatch>>,
        spread: Spread,
        queued: Arc<AtomicU64>,
        settings: &Settings,
    ) -> Self {
        let batches = batches_max(settings.queue, senders.len());
        let (batch, snap) = (settings.batch, settings.snap_length);
        let mut pool = FramePool::new(batches, batch, snap, queued);
        let now = Instant::now();
        let lane = |sender| Lane {
            sender,
            open: pool
                .take()
                .unwrap_or_else(|| FrameBatch::with_capacity(batch, snap)),
            opened_at: now,
            sent_at: now,
        };
        FrameRouter {
            lanes: senders.into_iter().map(lane).collect(),
            pool,
            spread,
            waits: false,
            frames: 0,
            bytes: 0,
            dropped: 0,
            rejected: 0,
            gone: None,
        }
    }

    /// Waits for shards that are behind instead of dropping frames.
    pub fn waiting(mut self) -> Self {
        self.waits = true;
        self
    }

    /// Hands a frame to its shard, or counts that it could not.
    #[inline]
    pub fn route(&mut self, f: &Frame<'_>, now: Moment) {
        self.frames += 1;
        self.bytes += f.captured.len() as u64;
        let n = self.spread.shard_of(f);
        let lane = &mut self.lanes[n];
        let was_empty = lane.open.is_empty();
        if lane.open.push(f) {
            if was_empty {
                lane.opened_at = now.at;
            }
            if lane.open.is_full() {
                self.offer(n, now);
            }
            return;
        }
        if !self.offer(n, now) || !self.lanes[n].open.push(f) {
            self.dropped += 1;
            return;
        }
        self.lanes[n].opened_at = now.at;
    }

    /// Offers the open batches that are at least `age` old to their shards. What a shard cannot take stays open.
    pub fn flush(&mut self, now: Moment, age: Duration) {
        for n in 0..self.lanes.len() {
            let lane = &self.lanes[n];
            let aged = now.at.saturating_duration_since(lane.opened_at) >= age;
            if !lane.open.is_empty() && aged {
                self.offer(n, now);
            }
        }
    }

    /// To be called every 100 ms or so: tells idle shards the time.
    pub fn tick(&mut self, now: Moment) {
        for lane in &mut self.lanes {
            let idle = now.at.saturating_duration_since(lane.sent_at) >= HEARTBEAT;
            if lane.open.is_empty() && idle {
                // a full queue means that the shard is busy, not that it lacks the time
                let _ = lane.sender.try_send(FrameBatch::heartbeat(now.wall_ns));
                lane.sent_at = now.at;
            }
        }
    }

    /// Tells all shards that conversations end, behind what was routed. Waits for them.
    pub fn end_conversations(&mut self, now: Moment) {
        self.flush(now, Duration::ZERO);
        for (n, lane) in self.lanes.iter().enumerate() {
            if lane.sender.send(FrameBatch::end(now.wall_ns)).is_err() {
                self.gone = Some(n);
            }
        }
    }

    /// Counts what a file has in the place of frames.
    pub fn reject(&mut self, blocks: u64) {
        self.frames += blocks;
        self.rejected += blocks;
    }

    /// The shard whose queue has no reader any more.
    pub fn gone(&self) -> Option<usize> {
        self.gone
    }

    /// Writes the counts of all frames so far.
    pub fn settle(&self, stats: &mut CaptureStats) {
        let tally = stats.book.other();
        for (outcome, n) in [
            (Outcome::FramesCaptured, self.frames),
            (Outcome::FramesDroppedQueue, self.dropped),
            (Outcome::FramesRejectedBlock, self.rejected),
        ] {
            tally.add(outcome, n - tally.count(outcome));
        }
        stats.open = self.lanes.iter().map(|l| l.open.len() as u64).sum();
        (stats.frames, stats.bytes) = (self.frames, self.bytes);
    }

    /// Sends what is open, waiting for the shards up to `patience` each; what they do not take is counted as dropped.
    pub fn finish(&mut self, now: Moment, patience: Duration) {
        for n in 0..self.lanes.len() {
            let until = Instant::now() + patience;
            while !self.lanes[n].open.is_empty() && !self.offer(n, now) {
                if self.gone.is_some() || Instant::now() >= until {
                    let lane = &mut self.lanes[n];
                    self.dropped += lane.open.len() as u64;
                    lane.open.clear();
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Whether the open batch of a shard was sent and is empty now.
    fn offer(&mut self, n: usize, now: Moment) -> bool {
        let fresh = match self.pool.take() {
            Some(fresh) => fresh,
            None if self.waits => {
                while self.pool.take().is_none() && self.gone.is_none() {
                    std::thread::sleep(Duration::from_millis(1));
                }
                return self.offer(n, now);
            }
            None => return false,
        };
        let lane = &mut self.lanes[n];
        let mut batch = std::mem::replace(&mut lane.open, fresh);
        batch.set_now_ns(now.wall_ns);
        batch.count_queued();
        let sent = match self.waits {
            true => (lane.sender.send(batch)).map_err(|e| TrySendError::Disconnected(e.0)),
            false => lane.sender.try_send(batch),
        };
        let (mut back, is_gone) = match sent {
            Ok(()) => {
                lane.sent_at = now.at;
                return true;
            }
            Err(TrySendError::Full(back)) => (back, false),
            Err(TrySendError::Disconnected(back)) => (back, true),
        };
        back.uncount_queued();
        lane.open = back;
        if is_gone {
            self.gone = Some(n);
        }
        false
    }
}

/// Time after which a shard that got no frame is told the time.
const HEARTBEAT: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::bounded;
    use std::sync::atomic::Ordering;

    fn frame(n: u64, bytes: &[u8]) -> Frame<'_> {
        Frame {
            number: n,
            time_ns: n as i64,
            interface: 1,
            link_type: 1,
            captured: bytes,
            original: bytes.len() as u32,
        }
    }

    #[test]
    fn what_a_full_queue_does_not_take_is_counted_and_order_is_kept() {
        let (sender, shard) = bounded(2);
        let queued = Arc::new(AtomicU64::new(0));
        let settings = Settings {
            batch: 4,
            queue: 2,
            ..Settings::default()
        };
        let spread = Spread::new(1);
        let mut router = FrameRouter::new(vec![sender], spread, queued.clone(), &settings);
        let now = Moment::now();
        for n in 1..=100 {
            router.route(&frame(n, &[0; 60]), now);
        }
        let mut stats = CaptureStats::default();
        router.settle(&mut stats);
        let dropped = stats.book.count(Outcome::FramesDroppedQueue);
        // two queued, one open
        assert_eq!((dropped, stats.open), (88, 4));
        assert_eq!(queued.load(Ordering::Relaxed), 8);
        let first = shard.recv().expect("a batch");
        drop(first);
        router.finish(Moment::now(), Duration::from_secs(1));
        router.settle(&mut stats);
        drop(router);
        let numbers: Vec<u64> = shard
            .iter()
            .flat_map(|b| b.iter().map(|f| f.number).collect::<Vec<_>>())
            .collect();
        assert_eq!(numbers, [5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(stats.book.count(Outcome::FramesCaptured), 100);
        assert_eq!((stats.open, queued.load(Ordering::Relaxed)), (0, 0));
    }

    #[test]
    fn a_router_that_waits_drops_nothing() {
        let (sender, shard) = bounded(1);
        let settings = Settings {
            batch: 2,
            queue: 1,
            ..Settings::default()
        };
        let spread = Spread::new(1);
        let router = FrameRouter::new(vec![sender], spread, Arc::default(), &settings);
        let mut router = router.waiting();
        let reader = std::thread::spawn(move || {
            for n in 1..=1000 {
                router.route(&frame(n, &[0; 60]), Moment::now());
            }
            router.end_conversations(Moment::now());
        });
        let (mut frames, mut ends) = (0, 0);
        for batch in shard.iter() {
            frames += batch.len();
            ends += usize::from(batch.is_end());
        }
        reader.join().expect("it ends");
        assert_eq!((frames, ends), (1000, 1));
    }

    #[test]
    fn an_idle_shard_hears_the_time() {
        let (sender, shard) = bounded(4);
        let spread = Spread::new(1);
        let mut router =
            FrameRouter::new(vec![sender], spread, Arc::default(), &Settings::default());
        let later = Moment {
            wall_ns: 5,
            at: Instant::now() + Duration::from_secs(1),
        };
        router.tick(later);
        let beat = shard.try_recv().expect("a heartbeat");
        assert!(beat.is_empty() && beat.now_ns() == 5 && !beat.is_end());
    }
}
