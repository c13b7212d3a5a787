//! Delivery to ClickHouse over HTTP: encoded sections, each sent until it is acknowledged.
//!
//! A thread encodes what arrives and hands sections to tasks of a small runtime; the window of each table bounds how
//! many are in flight. A section is retried with the same bytes and the same token, so however often an answer gets
//! lost the rows are there once. When the store is slow the windows fill, then hop 2, and the shards wait.

mod connection;
mod deliver;
mod endpoints;
mod secret;
mod tls;
mod verdict;

use super::native::{EncodedSection, Encoder};
use super::{Error, Inbox, Settings, Snapshot, Stats};
use crate::batch::{Bundle, Table};
use bytes::Bytes;
use deliver::Delivery;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use tokio::runtime::{self, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub use connection::Connection;
pub use endpoints::{Endpoints, Route};
pub use secret::PASSWORD_VARIABLE;

/// A running sink.
#[derive(Debug)]
pub struct Sink {
    thread: JoinHandle<()>,
    deadline: watch::Sender<Option<Instant>>,
    stats: Arc<Stats>,
}

impl Sink {
    /// Starts the sink. It does not wait for the store: [`Stats::is_ready`] tells when it answers.
    pub fn start(
        inbox: Inbox,
        connection: &Connection,
        settings: &Settings,
    ) -> Result<Sink, Error> {
        let endpoints = Endpoints::new(connection, inbox.stats.clone())?;
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("sink-io")
            .enable_all()
            .build()
            .map_err(Error::Start)?;
        let (deadline, watched) = watch::channel(None);
        let stats = inbox.stats.clone();
        let (home, bodies) = mpsc::channel();
        runtime.spawn(endpoints.clone().watch());
        let delivery = Delivery::new(endpoints, settings, stats.clone(), watched.clone(), home);
        let window = |_: &Table| Arc::new(Semaphore::new(settings.in_flight_max));
        let worker = Worker {
            encoder: Encoder::new(settings.compression),
            windows: Table::ALL.iter().map(|t| (*t, window(t))).collect(),
            in_flight_max: settings.in_flight_max as u32,
            delivery: Arc::new(delivery),
            bodies,
            deadline: watched,
            inbox,
        };
        let work = move || worker.run(runtime);
        let thread = Builder::new().name("sink".into()).spawn(work);
        Ok(Sink {
            thread: thread.map_err(Error::Start)?,
            deadline,
            stats,
        })
    }

    /// What it did so far; the cell lives on after the sink.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Ends the sink once everything is delivered, or after `grace`: what is not acknowledged by then is lost and
    /// counted. Drop the outboxes first. (Rows in flight at that moment may be in the store all the same.)
    pub fn stop(self, grace: Duration) -> Snapshot {
        self.deadline.send_replace(Some(Instant::now() + grace));
        if self.thread.join().is_err() {
            tracing::error!("the sink ended by a panic");
        }
        self.stats.snapshot()
    }
}

/// The encoding thread.
struct Worker {
    inbox: Inbox,
    encoder: Encoder,
    windows: BTreeMap<Table, Arc<Semaphore>>,
    in_flight_max: u32,
    delivery: Arc<Delivery>,
    bodies: mpsc::Receiver<Bytes>,
    deadline: watch::Receiver<Option<Instant>>,
}

impl Worker {
    fn run(mut self, runtime: Runtime) {
        runtime.spawn(self.delivery.clone().greet());
        while let Some(bundle) = self.next() {
            for body in self.bodies.try_iter() {
                self.encoder.recycle(body);
            }
            let encoded = self.encoder.encode(&bundle);
            bundle.recycle();
            for section in encoded.sections {
                self.dispatch(&runtime, section);
            }
        }
        self.drain(&runtime);
        // tasks that are still there have been counted as lost
        runtime.shutdown_background();
    }

    /// The next bundle; `None` when there will be none, or no time for it.
    fn next(&self) -> Option<Bundle> {
        loop {
            if self.late() {
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

    /// Sends a section in a task of its own, once the table's window has room.
    fn dispatch(&mut self, runtime: &Runtime, section: EncodedSection) {
        let window = self.windows[&section.table].clone();
        let deadline = self.deadline.clone();
        match runtime.block_on(enter(window, deadline)) {
            Some(permit) => {
                let delivery = self.delivery.clone();
                runtime.spawn(async move {
                    delivery.deliver(section).await;
                    drop(permit);
                });
            }
            None => self.delivery.lose(&section),
        }
    }

    /// Waits for everything in flight, then counts what the inbox still gets: late shards send until they are told, too.
    fn drain(&mut self, runtime: &Runtime) {
        for window in self.windows.values() {
            let all = window.clone().acquire_many_owned(self.in_flight_max);
            // a delivery ends by itself soon after the deadline
            drop(runtime.block_on(all));
        }
        for bundle in self.inbox.receiver.iter() {
            self.inbox.stats.lose(bundle.flow_rows() as u64);
        }
    }
}

/// Room in a window, or `None` when the deadline comes first.
async fn enter(
    window: Arc<Semaphore>,
    deadline: watch::Receiver<Option<Instant>>,
) -> Option<OwnedSemaphorePermit> {
    tokio::select! {
        biased;
        permit = window.acquire_owned() => permit.ok(),
        () = deliver::passed(deadline) => None,
    }
}

/// How often the encoding thread looks whether it should stop.
const POLL: Duration = Duration::from_millis(50);
