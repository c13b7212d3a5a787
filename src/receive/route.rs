//! From the socket to the shards: each datagram is copied into the open batch of its exporter's shard.

use super::admission::{Admission, Rules};
use super::pool::{Pool, batches_max};
use super::{DatagramBatch, Intake, Settings};
use crate::ledger::{Book, Outcome};
use crate::model::{Addr, Datagram};
use crossbeam_channel::{Sender, TrySendError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Routes the datagrams of one listener. Dropping it ends its streams to the shards.
#[derive(Debug)]
pub struct Router {
    shards: Vec<Shard>,
    pool: Pool,
    intake: Arc<Intake>,
    index: HashMap<Addr, u32>,
    exporters: Vec<Exporter>,
    free: Vec<u32>,
    /// Numbers whose exporter may no longer send; free once nothing refers to them.
    retired: Vec<u32>,
    rules: Arc<Rules>,
    rules_version: u64,
    /// Exporters with counts that no book has yet.
    touched: Vec<u32>,
    refused_acl: u64,
    refused_limit: u64,
    last: Option<(Addr, u32)>,
    swept_at: u64,
    gone: Option<usize>,
}

/// The two clocks at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Collector clock, nanoseconds since 1970 UTC.
    pub wall_ns: i64,
    /// A clock that never jumps.
    pub at: Instant,
}

impl Moment {
    /// Reads both clocks.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is where receive reads the clock"
    )]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Moment {
            wall_ns: since.map_or(0, |d| d.as_nanos() as i64),
            at: Instant::now(),
        }
    }
}

impl Router {
    /// A router to one sender a shard; every listener has its own, with clones of the same senders in the same order.
    pub fn new(
        senders: Vec<Sender<DatagramBatch>>,
        intake: Arc<Intake>,
        settings: &Settings,
    ) -> Self {
        let mut pool = Pool::new(
            batches_max(settings, senders.len()),
            settings.batch,
            intake.gauge(),
        );
        let now = Instant::now();
        // the version first: rules that come between the two are then only taken twice
        let (rules_version, rules) = (intake.version(), intake.rules());
        let shards = senders.into_iter().map(|sender| Shard {
            sender,
            open: pool
                .take()
                .unwrap_or_else(|| DatagramBatch::with_capacity(settings.batch)),
            owners: Vec::with_capacity(settings.batch),
            opened_at: now,
            sent_at: now,
        });
        Router {
            shards: shards.collect(),
            pool,
            intake,
            index: HashMap::new(),
            exporters: Vec::new(),
            free: Vec::new(),
            retired: Vec::new(),
            rules,
            rules_version,
            touched: Vec::new(),
            refused_acl: 0,
            refused_limit: 0,
            last: None,
            swept_at: 0,
            gone: None,
        }
    }

    /// What the receive threads share.
    pub fn intake(&self) -> &Arc<Intake> {
        &self.intake
    }

    /// Takes over replaced rules; exporters that may no longer send are forgotten. To be called before a burst is routed.
    pub fn heed(&mut self) {
        let version = self.intake.version();
        if version == self.rules_version {
            return;
        }
        (self.rules_version, self.rules) = (version, self.intake.rules());
        let (rules, retired) = (&self.rules, &mut self.retired);
        self.index.retain(|address, id| {
            let stays = rules.permit(*address);
            if !stays {
                retired.push(*id);
            }
            stays
        });
        self.last = None;
    }

    /// Hands a datagram to its shard, or counts why not. Never waits.
    pub fn route(&mut self, d: &Datagram<'_>, now: Moment) {
        let Some(id) = self.exporter(d.source, now.at) else {
            return;
        };
        self.touch(id).received += 1;
        let shard = self.exporters[id as usize].shard;
        let kept = self.shards[shard].open.push(d)
            || (self.offer(shard, now) && self.shards[shard].open.push(d));
        if !kept {
            self.touch(id).dropped += 1;
            return;
        }
        let s = &mut self.shards[shard];
        if s.owners.is_empty() {
            s.opened_at = now.at;
        }
        s.owners.push(id);
        if s.open.is_full() {
            self.offer(shard, now);
        }
    }

    /// Offers the open batches that are at least `age` old to their shards. What a shard cannot take stays open.
    pub fn flush(&mut self, now: Moment, age: Duration) {
        for shard in 0..self.shards.len() {
            let s = &self.shards[shard];
            if !s.owners.is_empty() && now.at.saturating_duration_since(s.opened_at) >= age {
                self.offer(shard, now);
            }
        }
    }

    /// To be called every 100 ms or so: tells idle shards the time, and once a minute forgets silent exporters.
    pub fn tick(&mut self, now: Moment) {
        for s in &mut self.shards {
            if s.owners.is_empty() && now.at.saturating_duration_since(s.sent_at) >= HEARTBEAT {
                // A full queue means that the shard is busy, not that it lacks the time.
                let _ = s.sender.try_send(DatagramBatch::heartbeat(now.wall_ns));
                s.sent_at = now.at;
            }
        }
        let second = self.intake.seconds(now.at);
        if second >= self.swept_at + 60 {
            self.sweep(second);
            self.swept_at = second;
        }
    }

    /// The shard whose queue has no reader any more.
    pub fn gone(&self) -> Option<usize> {
        self.gone
    }

    /// How many batches its pool has made.
    pub fn batches(&self) -> usize {
        self.pool.made()
    }

    /// Moves the counts gathered since the last call into the book.
    pub fn settle(&mut self, book: &mut Book) {
        for id in self.touched.drain(..) {
            let e = &mut self.exporters[id as usize];
            let tally = book.account((e.address.0, 0));
            tally.add(Outcome::DatagramsReceived, e.counts.received);
            tally.add(Outcome::DatagramsRouted, e.counts.routed);
            tally.add(Outcome::DatagramsDroppedQueue, e.counts.dropped);
            e.counts = Counts::default();
        }
        let other = book.other();
        other.add(
            Outcome::DatagramsReceived,
            self.refused_acl + self.refused_limit,
        );
        other.add(
            Outcome::DatagramsRefusedAcl,
            std::mem::take(&mut self.refused_acl),
        );
        other.add(
            Outcome::DatagramsRefusedExporterLimit,
            std::mem::take(&mut self.refused_limit),
        );
    }

    /// Sends what is open, now waiting for the shards up to `patience` each; what they do not take is counted as
    /// dropped. Call [`Self::settle`] and drop the router afterwards.
    pub fn finish(&mut self, now: Moment, patience: Duration) {
        for shard in 0..self.shards.len() {
            let until = Instant::now() + patience;
            while !self.shards[shard].owners.is_empty() && !self.offer(shard, now) {
                if self.gone.is_some() || Instant::now() >= until {
                    self.drop_open(shard);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// The number of a known or newly admitted exporter; `None` when it is refused, which is counted.
    fn exporter(&mut self, address: Addr, at: Instant) -> Option<u32> {
        match self.last {
            Some((last, id)) if last == address => return Some(id),
            _ => {}
        }
        let id = match self.index.get(&address) {
            Some(id) => *id,
            None => match (self.intake).admit(&self.rules, address, self.intake.seconds(at)) {
                Admission::Admitted => self.enrol(address),
                Admission::RefusedAcl => {
                    self.refused_acl += 1;
                    return None;
                }
                Admission::RefusedLimit => {
                    self.refused_limit += 1;
                    return None;
                }
            },
        };
        self.last = Some((address, id));
        Some(id)
    }

    fn enrol(&mut self, address: Addr) -> u32 {
        let exporter = Exporter {
            address,
            shard: self.intake.shard(address, self.shards.len()),
            heard_at: self.swept_at,
            heard: true,
            counts: Counts::default(),
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.exporters[id as usize] = exporter;
                id
            }
            None => {
                self.exporters.push(exporter);
                (self.exporters.len() - 1) as u32
            }
        };
        self.index.insert(address, id);
        id
    }

    #[inline]
    fn touch(&mut self, id: u32) -> &mut Counts {
        let e = &mut self.exporters[id as usize];
        if e.counts == Counts::default() {
            e.heard = true;
            self.touched.push(id);
        }
        &mut e.counts
    }

    /// Offers an open batch to its shard; false when it stays, because the queue is full, the shard gone or every
    /// other batch out.
    fn offer(&mut self, shard: usize, now: Moment) -> bool {
        let Some(next) = self.pool.take() else {
            return false;
        };
        let s = &mut self.shards[shard];
        let mut batch = std::mem::replace(&mut s.open, next);
        batch.set_now_ns(now.wall_ns);
        batch.count_queued();
        match s.sender.try_send(batch) {
            Ok(()) => {
                s.sent_at = now.at;
                let owners = std::mem::take(&mut s.owners);
                owners.iter().for_each(|id| self.touch(*id).routed += 1);
                self.shards[shard].owners = owners;
                self.shards[shard].owners.clear();
                true
            }
            Err(error) => {
                if matches!(error, TrySendError::Disconnected(_)) {
                    self.gone = Some(shard);
                }
                let mut batch = error.into_inner();
                batch.uncount_queued();
                s.open = batch;
                false
            }
        }
    }

    fn drop_open(&mut self, shard: usize) {
        let owners = std::mem::take(&mut self.shards[shard].owners);
        owners.iter().for_each(|id| self.touch(*id).dropped += 1);
        self.shards[shard].open.clear();
    }

    /// Tells the intake who was heard since the last sweep and forgets who was silent for too long. A forgotten
    /// number may be given to another exporter: nothing open or uncounted refers to it after so long a silence.
    fn sweep(&mut self, second: u64) {
        let idle = self.rules.exporter_idle_s();
        let (exporters, shards, free) = (&self.exporters, &self.shards, &mut self.free);
        self.retired.retain(|id| {
            let open = shards.iter().any(|s| s.owners.contains(id));
            let busy = open || exporters[*id as usize].counts != Counts::default();
            if !busy {
                free.push(*id);
            }
            busy
        });
        for e in &mut self.exporters {
            if std::mem::take(&mut e.heard) {
                e.heard_at = second;
            }
        }
        let (exporters, free) = (&self.exporters, &mut self.free);
        self.index.retain(|_, id| {
            let e = &exporters[*id as usize];
            let forgotten =
                second.saturating_sub(e.heard_at) >= idle && e.counts == Counts::default();
            if forgotten {
                free.push(*id);
            }
            !forgotten
        });
        self.last = None;
        let heard = self.index.values().map(|id| &self.exporters[*id as usize]);
        self.intake.refresh(
            heard
                .filter(|e| e.heard_at == second)
                .map(|e| (e.address, second)),
        );
    }
}

/// An idle shard hears the time this often at least.
const HEARTBEAT: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Shard {
    sender: Sender<DatagramBatch>,
    open: DatagramBatch,
    /// The exporter of each datagram in `open`.
    owners: Vec<u32>,
    opened_at: Instant,
    sent_at: Instant,
}

#[derive(Debug)]
struct Exporter {
    address: Addr,
    shard: usize,
    heard_at: u64,
    heard: bool,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    received: u64,
    routed: u64,
    dropped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crossbeam_channel::{Receiver, bounded};

    fn setup(shards: usize, settings: &Settings) -> (Router, Vec<Receiver<DatagramBatch>>) {
        let (senders, receivers) = (0..shards).map(|_| bounded(settings.queue)).unzip();
        (
            Router::new(senders, Intake::new(settings), settings),
            receivers,
        )
    }

    fn send(router: &mut Router, host: u32, number: u64, now: Moment) {
        let payload = number.to_be_bytes();
        let d = Datagram {
            source: Addr::from_v4(host.to_be_bytes()),
            port: 1,
            received_at_ns: now.wall_ns,
            number,
            frame: 0,
            cut: false,
            payload: &payload,
        };
        router.route(&d, now);
    }

    fn counts(router: &mut Router) -> [u64; 5] {
        let mut book = Book::new(100);
        router.settle(&mut book);
        [
            Outcome::DatagramsReceived,
            Outcome::DatagramsRouted,
            Outcome::DatagramsDroppedQueue,
            Outcome::DatagramsRefusedAcl,
            Outcome::DatagramsRefusedExporterLimit,
        ]
        .map(|o| book.count(o))
    }

    #[test]
    fn an_exporter_stays_in_one_shard_and_in_order() {
        let settings = Settings {
            batch: 3,
            ..Settings::default()
        };
        let (mut router, receivers) = setup(4, &settings);
        let now = Moment::now();
        (0..400).for_each(|n| send(&mut router, n as u32 % 40, n, now));
        router.flush(now, Duration::ZERO);
        assert_eq!(counts(&mut router), [400, 400, 0, 0, 0]);
        assert_eq!(router.intake().queued(), 400);
        let mut home = HashMap::new();
        for (shard, r) in receivers.iter().enumerate() {
            let mut last = HashMap::new();
            for d in r
                .try_iter()
                .flat_map(|b| b.iter().map(|d| (d.source, d.number)).collect::<Vec<_>>())
            {
                assert_eq!(*home.entry(d.0).or_insert(shard), shard);
                assert!(last.insert(d.0, d.1).is_none_or(|before| before < d.1));
            }
        }
        assert_eq!(home.len(), 40);
        assert_eq!(router.intake().queued(), 0);
    }

    #[test]
    fn a_full_queue_drops_and_every_datagram_is_counted_with_its_exporter() {
        let settings = Settings {
            batch: 4,
            queue: 2,
            ..Settings::default()
        };
        let (mut router, receivers) = setup(1, &settings);
        let now = Moment::now();
        (0..100).for_each(|n| send(&mut router, n as u32 % 2, n, now));
        // two batches queued, one open
        let mut book = Book::new(100);
        router.settle(&mut book);
        assert_eq!(book.count(Outcome::DatagramsReceived), 100);
        assert_eq!(book.count(Outcome::DatagramsRouted), 8);
        assert_eq!(book.count(Outcome::DatagramsDroppedQueue), 88);
        assert!(
            book.accounts()
                .all(|(_, t)| t.count(Outcome::DatagramsDroppedQueue) == 44)
        );
        let got: Vec<u64> = receivers[0]
            .try_iter()
            .flat_map(|b| b.iter().map(|d| d.number).collect::<Vec<_>>())
            .collect();
        assert_eq!(got, (0..8).collect::<Vec<_>>());
        router.finish(now, Duration::ZERO);
        assert_eq!(counts(&mut router), [0, 4, 0, 0, 0]);
        drop(router);
        assert_eq!(receivers[0].recv().unwrap().len(), 4);
        assert!(receivers[0].recv().is_err(), "end of stream");
    }

    #[test]
    fn the_pool_bounds_what_a_hoarding_shard_can_hold() {
        let settings = Settings {
            batch: 1,
            queue: 4,
            ..Settings::default()
        };
        let (mut router, receivers) = setup(1, &settings);
        let now = Moment::now();
        let mut hoard = Vec::new();
        for n in 0..50 {
            send(&mut router, 1, n, now);
            hoard.extend(receivers[0].try_iter());
        }
        assert_eq!((router.batches(), hoard.len()), (7, 6));
        hoard.clear();
        (50..60).for_each(|n| {
            send(&mut router, 1, n, now);
            receivers[0].try_iter().for_each(drop);
        });
        router.finish(now, Duration::ZERO);
        let [received, routed, dropped, ..] = counts(&mut router);
        assert_eq!((received, routed + dropped), (60, 60));
        assert!(routed >= 16, "{routed}");
        assert_eq!(router.batches(), 7);
    }

    #[test]
    fn refused_datagrams_are_counted_and_not_routed() {
        let settings = Settings {
            exporters_max: 2,
            deny: vec!["0.0.0.9".parse().unwrap()],
            ..Settings::default()
        };
        let (mut router, receivers) = setup(1, &settings);
        let now = Moment::now();
        [1, 9, 2, 3, 1, 9, 4]
            .iter()
            .zip(0..)
            .for_each(|(host, n)| send(&mut router, *host, n, now));
        router.finish(now, Duration::ZERO);
        assert_eq!(counts(&mut router), [7, 3, 0, 2, 2]);
        assert_eq!(receivers[0].recv().unwrap().len(), 3);
    }

    #[test]
    fn new_lists_hold_from_the_next_burst_and_numbers_are_used_again() {
        let settings = Settings::default();
        let (mut router, receivers) = setup(1, &settings);
        let now = Moment::now();
        (0..4).for_each(|n| send(&mut router, n as u32 % 2 + 1, n, now));
        router.intake().set_rules(&Settings {
            deny: vec!["0.0.0.2".parse().unwrap()],
            ..Settings::default()
        });
        router.heed();
        (4..8).for_each(|n| send(&mut router, n as u32 % 2 + 1, n, now));
        router.flush(now, Duration::ZERO);
        assert_eq!(counts(&mut router), [8, 6, 0, 2, 0]);
        assert_eq!(receivers[0].recv().unwrap().len(), 6);
        // the number of the forgotten one goes to the next that comes
        router.sweep(60);
        send(&mut router, 3, 8, now);
        assert_eq!(router.exporters.len(), 2);
        // and who is let in again comes back
        router.intake().set_rules(&Settings::default());
        router.heed();
        send(&mut router, 2, 9, now);
        router.flush(now, Duration::ZERO);
        assert_eq!(counts(&mut router), [2, 2, 0, 0, 0]);
        let mut book = Book::new(10);
        router.settle(&mut book);
        assert_eq!(router.index.len(), 3);
    }

    #[test]
    fn idle_shards_hear_the_time_and_silent_exporters_are_forgotten() {
        let settings = Settings {
            exporters_max: 1,
            exporter_idle_s: 300,
            ..Settings::default()
        };
        let (mut router, receivers) = setup(1, &settings);
        let start = Moment::now();
        let later = |s: u64| Moment {
            wall_ns: start.wall_ns + s as i64 * 1_000_000_000,
            at: start.at + Duration::from_secs(s),
        };
        send(&mut router, 1, 0, start);
        router.flush(start, Duration::ZERO);
        assert_eq!(receivers[0].recv().unwrap().len(), 1);
        assert_eq!(counts(&mut router), [1, 1, 0, 0, 0]);
        for s in (60..=600).step_by(60) {
            router.tick(later(s));
        }
        let beat = receivers[0].try_iter().last().unwrap();
        assert_eq!((beat.len(), beat.now_ns()), (0, later(600).wall_ns));
        send(&mut router, 2, 1, later(600));
        assert_eq!(counts(&mut router), [1, 0, 0, 0, 0]);
        assert_eq!(router.exporters.len(), 1, "its place is used again");
    }

    #[test]
    fn a_shard_that_is_gone_is_noticed() {
        let settings = Settings {
            batch: 2,
            ..Settings::default()
        };
        let (mut router, receivers) = setup(1, &settings);
        drop(receivers);
        let now = Moment::now();
        (0..3).for_each(|n| send(&mut router, 1, n, now));
        assert_eq!(router.gone(), Some(0));
        router.finish(now, Duration::from_secs(60));
        assert_eq!(counts(&mut router), [3, 0, 3, 0, 0]);
    }
}
