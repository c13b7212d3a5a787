//! Delivery to ClickHouse over HTTP: encoded sections, each sent until it is acknowledged.
//!
//! A thread encodes what arrives. With a spool a second thread makes it durable before it goes on. The lanes give each section its
//! turn; tasks of a small runtime carry it to the store. A section is sent again with the same bytes and the same token, so
//! however often an answer gets lost the rows are there once. Without a spool a slow store fills the windows, then hop 2, and the
//! shards wait.

mod admit;
mod complaint;
mod connection;
mod deliver;
mod endpoints;
mod fold;
mod lane;
mod lanes;
mod once;
mod post;
mod room;
mod secret;
mod section;
mod tls;
mod verdict;
mod wire;
mod writer;

use super::fate::Fate;
use super::native::{Buffers, EncodedBundle, Encoder};
use super::spool::{self, Chain, Disk, Ended, Mode, Slot, Spool};
use super::{Error, Inbox, Settings, Snapshot, Stats};
use crate::batch::Bundle;
use crate::ledger::Tally;
use admit::Door;
use crossbeam_channel::{Receiver, Sender, bounded};
use deliver::Delivery;
use lanes::{Doubt, Lanes};
use post::{Post, Shared};
use room::Rooms;
use section::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tokio::runtime::{self, Handle, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use writer::{Order, Writer};

pub use connection::Connection;
pub use endpoints::{Endpoints, Route};
pub use once::{Once, Unsent};
pub use secret::PASSWORD_VARIABLE;

/// A running sink.
#[derive(Debug)]
pub struct Sink {
    thread: JoinHandle<()>,
    deadline: watch::Sender<Option<Instant>>,
    shared: Arc<Shared>,
    disk: Option<Arc<Disk>>,
    settings: Settings,
    runtime: Handle,
    buffers: Arc<Buffers>,
    stats: Arc<Stats>,
}

impl Sink {
    /// Starts the sink without a spool. It does not wait for the store: [`Stats::is_ready`] tells when it answers.
    ///
    /// # Errors
    /// When the key file cannot be read or a thread cannot be started.
    pub fn start(
        inbox: Inbox,
        connection: &Connection,
        settings: &Settings,
    ) -> Result<Sink, Error> {
        let doubt = spool::Settings::default();
        let sink = Self::start_held(inbox, settings, &doubt, None)?;
        sink.release(connection)?;
        Ok(sink)
    }

    /// Starts the sink, which sends nothing before [`Self::release`]: with a spool bundles are made durable meanwhile, without one
    /// they wait. Of `doubt` only what is in doubt matters; the rest is the spool's.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start_held(
        inbox: Inbox,
        settings: &Settings,
        doubt: &spool::Settings,
        spool: Option<Spool>,
    ) -> Result<Sink, Error> {
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("sink-io")
            .enable_all()
            .build()
            .map_err(Error::Start)?;
        let (deadline, watched) = watch::channel(None);
        let encoder = Encoder::new(settings.compression);
        let stats = inbox.stats.clone();
        stats.expect(verdict::codes());
        let rooms = Arc::new(Rooms::new(settings.in_flight_max, spool.is_some()));
        let lanes = lanes_of(settings, doubt, spool.is_some(), rooms.clone());
        let shared = Arc::new(Shared::new(lanes, stats.clone()));
        let door = Door {
            shared: shared.clone(),
            rooms,
            runtime: runtime.handle().clone(),
            deadline: watched.clone(),
            buffers: encoder.buffers().clone(),
        };
        let disk = spool.as_ref().map(|s| s.disk.clone());
        let handle = runtime.handle().clone();
        let writing = match spool {
            Some(spool) => Some(Writing::start(spool, &door, &stats)?),
            None => None,
        };
        let buffers = encoder.buffers().clone();
        let worker = Worker {
            numbers: writing
                .as_ref()
                .map_or_else(Arc::default, |w| w.numbers.clone()),
            writing,
            encoder,
            door,
            deadline: watched,
            inbox,
        };
        let work = move || worker.run(runtime);
        let thread = Builder::new().name("sink".into()).spawn(work);
        Ok(Sink {
            thread: thread.map_err(Error::Start)?,
            deadline,
            shared,
            disk,
            settings: settings.clone(),
            runtime: handle,
            buffers,
            stats,
        })
    }

    /// Lets the sink send: the tables are there.
    ///
    /// # Errors
    /// When the key file cannot be read.
    pub fn release(&self, connection: &Connection) -> Result<(), Error> {
        let endpoints = Endpoints::new(connection, self.stats.clone())?;
        self.runtime.spawn(endpoints.clone().watch());
        let delivery = Delivery::new(endpoints, &self.settings, self.stats.clone());
        let delivery = Arc::new(delivery);
        let post = Arc::new(Post {
            shared: self.shared.clone(),
            delivery: delivery.clone(),
            disk: self.disk.clone(),
            deadline: self.deadline.subscribe(),
            buffers: self.buffers.clone(),
        });
        self.shared.with(|lanes| lanes.hold(false));
        self.runtime.spawn(post.clone().look());
        self.runtime.spawn(post.run());
        self.runtime.spawn(delivery.greet());
        Ok(())
    }

    /// Sends nothing more, or goes on. What is under way ends as it does: see [`Self::is_sending`].
    pub fn hold(&self, held: bool) {
        self.shared.with(|lanes| lanes.hold(held));
    }

    /// Whether something is under way to the store.
    pub fn is_sending(&self) -> bool {
        self.shared.look(Lanes::is_flying)
    }

    /// What it did so far; the cell lives on after the sink.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Ends the sink once everything is delivered, or after `grace`. What is not acknowledged by then stays in the spool; without
    /// one it is lost and counted. Drop the outboxes first. (Rows in flight at that moment may be in the store all the same.)
    pub fn stop(self, grace: Duration) -> Snapshot {
        self.deadline.send_replace(Some(Instant::now() + grace));
        if self.thread.join().is_err() {
            tracing::error!("the sink ended by a panic");
        }
        self.stats.snapshot()
    }
}

/// Lanes that hold everything until they are released. How long a store remembers tokens does not depend on a spool, so its
/// settings of doubt hold without one, too.
fn lanes_of(settings: &Settings, doubt: &spool::Settings, aside: bool, rooms: Arc<Rooms>) -> Lanes {
    let window = settings.in_flight_max.min(doubt.in_doubt_max);
    let age_max_s = doubt.in_doubt_age_max_s;
    let mut lanes = Lanes::new(settings, window, Doubt { age_max_s, aside }, rooms);
    lanes.hold(true);
    lanes
}

/// The spool's thread.
struct Writing {
    mode: Mode,
    orders: Sender<Order>,
    /// Room for bundles on their way to the disk, in KiB.
    room: Arc<Semaphore>,
    room_kib: u32,
    numbers: Arc<AtomicU64>,
    chain: Chain,
    disk: Arc<Disk>,
    thread: JoinHandle<()>,
}

impl Writing {
    /// Takes in what was found, and starts the thread.
    fn start(spool: Spool, door: &Door, stats: &Arc<Stats>) -> Result<Writing, Error> {
        let (numbers, chain) = (Arc::new(AtomicU64::new(spool.next)), spool.chain());
        let blocks = spool.marks.blocks.clone();
        door.shared.with(|lanes| lanes.remember(blocks));
        for found in spool.found {
            stats.recover(found.open_flow_rows());
            writer::take(found, door);
        }
        let settings = spool.disk.settings();
        let mode = settings.mode;
        let room_kib = u32::try_from(settings.queue_bytes_max / 1024).unwrap_or(u32::MAX);
        let room_kib = room_kib.clamp(1, ROOM_KIB_MAX);
        let (orders, received): (_, Receiver<Order>) = bounded(settings.queue_max);
        let writer = Writer {
            orders: received,
            disk: spool.disk.clone(),
            door: door.clone(),
            stats: stats.clone(),
            positions: spool.kept,
            numbers: numbers.clone(),
            ended: vec![],
            complained: None,
            shedding: (0, 0),
            marks: spool.marks,
            unfoldable: 0,
        };
        let thread = Builder::new()
            .name("spool".into())
            .spawn(move || writer.run());
        Ok(Writing {
            mode,
            orders,
            room: Arc::new(Semaphore::new(room_kib as usize)),
            room_kib,
            numbers,
            chain,
            disk: spool.disk,
            thread: thread.map_err(Error::Start)?,
        })
    }

    /// Waits until a bundle fits into the queue.
    fn room(&self, bundle: &EncodedBundle, door: &Door) -> Option<OwnedSemaphorePermit> {
        let bytes: usize = bundle.sections.iter().map(|s| s.body.len()).sum();
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(kib.min(self.room_kib));
        door.runtime.block_on(room).ok()
    }
}

/// The encoding thread.
struct Worker {
    inbox: Inbox,
    encoder: Encoder,
    door: Door,
    deadline: watch::Receiver<Option<Instant>>,
    numbers: Arc<AtomicU64>,
    writing: Option<Writing>,
}

impl Worker {
    fn run(mut self, runtime: Runtime) {
        runtime.spawn(self.inbox.stats.clone().beat());
        while let Some(bundle) = self.next() {
            let encoded = self.encoder.encode(&bundle);
            bundle.recycle();
            self.hand_over(encoded);
        }
        self.drain();
        // tasks that are still there have been counted
        runtime.shutdown_background();
    }

    /// The next bundle; `None` when there will be none, or no time for it.
    fn next(&self) -> Option<Bundle> {
        loop {
            // the disk has time when the store has none
            if self.writing.is_none() && self.late() {
                return None;
            }
            match self.inbox.receiver.recv_timeout(POLL) {
                Ok(bundle) => return Some(bundle),
                Err(e) if e.is_timeout() => {}
                Err(_) => return None,
            }
        }
    }

    fn late(&self) -> bool {
        self.deadline.borrow().is_some_and(|d| Instant::now() >= d)
    }

    fn hand_over(&mut self, mut bundle: EncodedBundle) {
        let number = self.numbers.fetch_add(1, Relaxed);
        if let Some(w) = &mut self.writing {
            bundle.positions = w.chain.link(&bundle.positions);
            let unlinked = w.chain.take_unlinked();
            self.inbox
                .stats
                .spool
                .forgotten
                .fetch_add(unlinked, Relaxed);
        }
        match &self.writing {
            Some(w) if w.mode == Mode::Always || !self.door.is_open_for(&bundle) => {
                let room = w.room(&bundle, &self.door);
                if let Err(back) = w.orders.send(Order::Bundle(number, bundle, room))
                    && let Order::Bundle(number, bundle, _) = back.0
                {
                    // its thread has panicked
                    self.door.memory(number, bundle);
                }
            }
            _ => self.door.memory(number, bundle),
        }
    }

    /// Waits for everything in flight, then counts what the inbox still gets: late shards send until they are told, too.
    fn drain(self) {
        let shared = self.door.shared.clone();
        if let Some(w) = &self.writing {
            let (done, flushed) = bounded(1);
            w.orders.send(Order::Flush(done)).ok();
            flushed.recv().ok();
        }
        let over = || {
            // what is on disk, or can go there, need not wait for a store that is away
            let spooled = self.writing.as_ref().is_some_and(|w| !w.disk.is_failing());
            let spooled = spooled && shared.look(Lanes::is_stuck);
            self.late() || spooled || shared.look(Lanes::is_empty)
        };
        while !over() {
            std::thread::sleep(DRAIN_POLL);
        }
        let rest = shared.with(Lanes::close);
        for (number, entry) in rest.memory {
            self.keep(number, entry);
        }
        if let Some(w) = self.writing {
            let end = Ended {
                number: self.numbers.fetch_add(1, Relaxed),
                fates: Tally::default(),
                positions: Some(w.chain.end()),
                damaged: false,
            };
            shared.with(|lanes| lanes.note(end));
            drop(w.orders);
            if w.thread.join().is_err() {
                tracing::error!("the spool's thread panicked");
            }
        }
        for bundle in self.inbox.receiver.iter() {
            self.inbox.stats.lose(&bundle);
        }
    }

    /// The last chance of a bundle that is only in memory: the spool, else it is lost and counted.
    fn keep(&self, number: u64, mut entry: Entry) {
        let Some(memory) = entry.memory.take() else {
            return;
        };
        let (mut sections, mut slots): (Vec<_>, Vec<Slot>) = (vec![], vec![]);
        for (section, load) in entry.sections.iter().zip(memory.loads) {
            if let Some(load) = load.filter(|_| section.slot.state.is_open()) {
                sections.push(load.section.clone());
                slots.push(section.slot);
            }
        }
        let bundle = EncodedBundle {
            sequence: memory.sequence,
            created_ms: entry.created_ms,
            positions: memory.positions,
            sections,
        };
        let written = self.writing.as_ref().is_some_and(|w| {
            let group = [(number, &bundle, &slots[..])];
            w.disk.commit(&group).iter().all(Result::is_ok)
        });
        let mut positions = vec![];
        if !written {
            let rows: u64 = bundle.sections.iter().map(|s| s.flow_rows()).sum();
            tracing::error!(
                bundle = number,
                rows,
                "rows lost: the store did not take them before the process had to end"
            );
            for s in &bundle.sections {
                self.inbox.stats.end(s.table, Fate::Lost, s.rows);
            }
            entry.lose();
            positions = bundle.positions;
        }
        let ended = Ended {
            number,
            fates: entry.fates(),
            positions: Some(positions),
            damaged: false,
        };
        self.door.shared.with(|lanes| lanes.note(ended));
    }
}

/// How often the encoding thread looks whether it should stop.
const POLL: Duration = Duration::from_millis(50);

const DRAIN_POLL: Duration = Duration::from_millis(10);

/// What a semaphore can hold, on any machine.
const ROOM_KIB_MAX: u32 = 1 << 28;
