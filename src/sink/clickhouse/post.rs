//! Carries sections from the lanes to the store and back.

#![expect(
    clippy::disallowed_types,
    reason = "taken once for a section of many rows"
)]

use super::deliver::{Delivery, passed};
use super::lanes::{Job, Lanes, Pick};
use super::section::{End, Key, Load};
use crate::batch::Table;
use crate::sink::Stats;
use crate::sink::fate::Fate;
use crate::sink::native::{Buffers, EncodedSection};
use crate::sink::spool::{Disk, IN_DOUBT, Slot, State, Unreadable, now_ms};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// The lanes with those who wait for them.
#[derive(Debug)]
pub(super) struct Shared {
    lanes: Mutex<Lanes>,
    wake: Notify,
    pub(super) stats: Arc<Stats>,
}

impl Shared {
    pub(super) fn new(lanes: Lanes, stats: Arc<Stats>) -> Shared {
        Shared {
            lanes: Mutex::new(lanes),
            wake: Notify::new(),
            stats,
        }
    }

    /// Reads or changes the lanes; whoever waits for them looks again.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut Lanes) -> R) -> R {
        let result = {
            let mut lanes = self.lock();
            let result = f(&mut lanes);
            let (oldest, in_doubt) = lanes.gauges();
            self.stats.spool.lanes(oldest, in_doubt);
            result
        };
        self.wake.notify_one();
        result
    }

    /// Reads the lanes.
    pub(super) fn look<R>(&self, f: impl FnOnce(&Lanes) -> R) -> R {
        f(&self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task that gives each section its turn.
#[derive(Debug)]
pub(super) struct Post {
    pub(super) shared: Arc<Shared>,
    pub(super) delivery: Arc<Delivery>,
    pub(super) disk: Option<Arc<Disk>>,
    pub(super) deadline: watch::Receiver<Option<Instant>>,
    pub(super) buffers: Arc<Buffers>,
}

impl Post {
    /// Runs until the deadline has passed.
    pub(super) async fn run(self: Arc<Self>) {
        let end = passed(self.deadline.clone());
        tokio::pin!(end);
        loop {
            let wait = self.start_all();
            tokio::select! {
                biased;
                () = &mut end => return,
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Looks how far the tables have come whose rows are sums, so that doubt can be weighed later. Runs until the runtime ends.
    pub(super) async fn look(self: Arc<Self>) {
        loop {
            let sums = Table::ALL.iter().filter(|t| t.is_sum());
            for &table in sums {
                if !self.shared.look(|lanes| lanes.is_sure_of(table)) {
                    continue;
                }
                match self.delivery.blocks(table).await {
                    Ok(Some(blocks)) => self.shared.with(|lanes| lanes.set_blocks(table, blocks)),
                    Ok(None) => {}
                    Err(fault) => {
                        let (table, text) = (table.name(), fault.text);
                        tracing::debug!(table, text, "cannot look how far a table has come");
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Starts every section whose turn it is; tells when to look again.
    fn start_all(self: &Arc<Self>) -> Duration {
        let (now, wall) = (Instant::now(), now_ms());
        let mut lanes = self.shared.lock();
        while let Some(pick) = lanes.pick(now, wall) {
            tokio::spawn(self.clone().attempt(pick));
        }
        if self.disk.is_none() {
            lanes.take_ended();
        }
        let at = lanes.next_at(now);
        at.map_or(IDLE, |at| at.saturating_duration_since(now).min(IDLE))
    }

    async fn attempt(self: Arc<Self>, pick: Pick) {
        let Pick {
            key,
            mut job,
            before,
            again,
            load: kept,
            room,
            on_disk,
        } = pick;
        let load = match &kept {
            Some(load) => load.clone(),
            None => match self.read(key).await {
                Ok(section) => Arc::new(Load {
                    section,
                    _room: room,
                }),
                Err(error) => return self.unreadable(key, before, &error).await,
            },
        };
        loop {
            let end = self.act(key, &job, before, again, &load, on_disk).await;
            match self.close(key, kept.clone(), on_disk, end) {
                Some(reason) => job = Job::Quarantine(reason),
                None => break,
            }
        }
        drop(kept);
        if let Some(load) = Arc::into_inner(load) {
            self.buffers.recycle(load.section.body);
        }
        // what waits for room has it now
        self.shared.wake.notify_one();
    }

    /// Does what is to be done, with the marks on disk before and after.
    async fn act(
        &self,
        key: Key,
        job: &Job,
        before: Slot,
        again: bool,
        load: &Arc<Load>,
        on_disk: bool,
    ) -> End {
        let section = &load.section;
        let mut on_file = before;
        let mut mark = async |slot: Slot| {
            if on_disk && std::mem::replace(&mut on_file, slot) != slot {
                self.mark(key, slot).await;
            }
        };
        let end = match job {
            Job::Send => {
                mark(before.becomes(State::Sent, now_ms())).await;
                self.delivery.send(section, again).await
            }
            Job::Ask => self.delivery.ask(section).await,
            Job::Weigh(since) => match self.delivery.weigh(section, since).await {
                Ok(None) => self.delivery.send(section, again).await,
                Ok(Some(why)) => {
                    let reason = format!("{IN_DOUBT} for long: it may be in the store; {why}");
                    End::Finished(self.quarantine(key, load.clone(), &reason).await)
                }
                Err(end) => end,
            },
            Job::Quarantine(reason) => {
                End::Finished(self.quarantine(key, load.clone(), reason).await)
            }
        };
        mark(end.slot(before, now_ms())).await;
        end
    }

    /// Tells the lanes, and counts what has ended.
    fn close(&self, key: Key, kept: Option<Arc<Load>>, on_disk: bool, end: End) -> Option<String> {
        let fate = match &end {
            End::Finished(state) => Fate::of(*state),
            _ => None,
        };
        self.shared.with(|lanes| {
            if lanes.is_closed() {
                return None;
            }
            if let Some((fate, (table, rows))) = fate.zip(lanes.rows(key)) {
                let stats = &self.shared.stats;
                stats.end(table, fate, rows);
                // of what is only in memory a crash leaves no trace: it is booked when `positions` has it
                if on_disk || self.disk.is_none() {
                    stats.book(table, fate, rows);
                }
            }
            lanes.end(key, kept, end, Instant::now(), now_ms())
        })
    }

    async fn read(&self, key: Key) -> Result<EncodedSection, Unreadable> {
        let Some(disk) = self.disk.clone() else {
            return Err(std::io::Error::other("there is no spool").into());
        };
        let buffers = self.buffers.clone();
        let read = tokio::task::spawn_blocking(move || disk.read(key.0, key.1, &buffers));
        match read.await {
            Ok(result) => result,
            Err(error) => Err(std::io::Error::other(error).into()),
        }
    }

    /// A body that cannot be read: again some times where the disk refuses, while others pass; set aside where it is damaged, or the disk goes
    /// on refusing. One that was sent before may be in the store; of flows it is asked.
    async fn unreadable(&self, key: Key, before: Slot, error: &Unreadable) {
        let tries = self.shared.look(|lanes| lanes.unread(key));
        if let Unreadable::Io(io) = error
            && tries < reads_max(io)
        {
            if tries == 0 {
                tracing::warn!(bundle = key.0, %error, "cannot read from the spool, trying again");
            }
            self.close(key, None, true, End::Unread);
            return;
        }
        let outline = match before.state {
            State::Unsent => None,
            _ => self.outline(key).await,
        };
        let end = match outline.filter(|s| s.table == Table::Flows) {
            Some(section) => match self.delivery.ask(&section).await {
                End::Absent | End::Hopeless(_) => End::Finished(State::Corrupt),
                end => end,
            },
            None => End::Finished(State::Corrupt),
        };
        if end == End::Finished(State::Corrupt) {
            tracing::error!(
                bundle = key.0, section = key.1, fault = %error,
                "a spooled section is damaged: its rows are set aside with the file"
            );
        }
        if let End::Finished(state) = end {
            self.mark(key, before.becomes(state, now_ms())).await;
        }
        self.close(key, None, true, end);
    }

    /// A section without its body.
    async fn outline(&self, key: Key) -> Option<EncodedSection> {
        let disk = self.disk.clone()?;
        let read = tokio::task::spawn_blocking(move || disk.outline(key.0, key.1));
        read.await.ok()?.ok()
    }

    async fn mark(&self, key: Key, slot: Slot) {
        let Some(disk) = self.disk.clone() else {
            return;
        };
        let mark = move || disk.mark(key.0, key.1, slot);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(mark).await {
            tracing::warn!(bundle = key.0, %error, "cannot note the state of a spooled section");
        }
    }

    /// Keeps refused rows aside; what cannot be kept is shed.
    async fn quarantine(&self, key: Key, load: Arc<Load>, reason: &str) -> State {
        let (token, reason) = (load.section.token.clone(), reason.to_owned());
        let (table, rows): (Table, u64) = (load.section.table, load.section.rows);
        let why = reason.clone();
        let disk = self.disk.clone();
        let slot = self.shared.look(|lanes| lanes.slot(key));
        let slot = slot.unwrap_or(Slot {
            state: State::Sent,
            time_ms: 0,
        });
        let keep = move || match disk {
            Some(disk) => disk.quarantine(key, &load.section, slot, &why),
            None => Ok(false),
        };
        let kept = tokio::task::spawn_blocking(keep).await;
        let (state, end) = match kept {
            Ok(Ok(true)) => (
                State::Quarantined,
                "the store refuses rows for good: kept, see `flowhouse spool list`",
            ),
            Ok(Ok(false)) => (
                State::Shed,
                "the store refuses rows for good, and they are gone, counted as shed: there is no room in the quarantine, or no spool",
            ),
            _ => (
                State::Shed,
                "the store refuses rows for good, and they are gone, counted as shed: the disk refuses them, too",
            ),
        };
        tracing::error!(table = table.name(), rows, token, reason, "{end}");
        state
    }
}

/// How often a body is tried to be read before its rows are set aside. A file that is gone does not come back; a disk, or what the process is
/// short of, may: at the longest pauses that is for an hour or so.
fn reads_max(error: &std::io::Error) -> u32 {
    match error.kind() {
        std::io::ErrorKind::NotFound => 6,
        _ => 1_000,
    }
}

/// Time between two looks at how far tables have come.
const LOOK: Duration = Duration::from_secs(60);

/// Longest time between two looks at what waits.
const IDLE: Duration = Duration::from_secs(1);
