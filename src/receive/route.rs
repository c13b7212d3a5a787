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
    /// Source and exporter of the last datagram.
    last: Option<((Addr, Addr), u32)>,
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
        let exporters = &self.exporters;
        self.index.retain(|_, id| {
            let stays = rules.permit(exporters[*id as usize].source);
            if !stays {
                retired.push(*id);
            }
            stays
        });
        self.last = None;
    }

    /// Hands a datagram to its shard, or counts why not. Never waits.
    pub fn route(&mut self, d: &Datagram<'_>, now: Moment) {
        let Some(id) = self.exporter(d, now.at) else {
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

    /// The number of a known or newly admitted exporter; `None` when it is refused, which is counted. The lists are asked
    /// about the source, the limits about the exporter: an sFlow agent may send through others, and many through one.
    fn exporter(&mut self, d: &Datagram<'_>, at: Instant) -> Option<u32> {
        let (source, address) = (d.source, d.exporter());
        match self.last {
            Some((last, id)) if last == (source, address) => return Some(id),
            _ => {}
        }
        let known = self.index.get(&address).copied();
        let admission = match known.map(|id| &mut self.exporters[id as usize]) {
            Some(e) if e.source == source => Admission::Admitted,
            Some(e) if self.rules.permit(source) => {
                e.source = source;
                Admission::Admitted
            }
            Some(_) => Admission::RefusedAcl,
            None => {
                let second = self.intake.seconds(at);
                self.intake.admit(&self.rules, (source, address), second)
            }
        };
        let id = match admission {
            Admission::Admitted => known.unwrap_or_else(|| self.enrol(source, address)),
            Admission::RefusedAcl => {
                self.refused_acl += 1;
                return None;
            }
            Admission::RefusedLimit => {
                self.refused_limit += 1;
                return None;
            }
        };
        self.last = Some(((source, address), id));
        Some(id)
    }

    fn enrol(&mut self, source: Addr, address: Addr) -> u32 {
        let exporter = Exporter {
            address,
            source,
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
                .map(|e| (e.source, e.address, second)),
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
    /// Where its last datagram came from: an address that the lists let send.
    source: Addr,
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
mod tests;
