//! The threads that read interfaces, and the shards that meter what they read.

use super::{Alarms, Opened};
use crate::config::Config;
use crate::detect::anomaly::Feed;
use crate::detect::signature::engine::Maker;
use crate::dissect::Dissector;
use crate::ledger::Book;
use crate::meter::Meter;
use crate::model::{Addr, Learned};
use crate::reassemble::app::{Apps, Wishes};
use crate::reassemble::fragment::Fragments;
use crate::receive::capture::{CaptureStats, FrameBatch, FrameRouter, Spread, Watch};
use crate::receive::{self, Published};
use crate::rights::{self, Capability};
use crate::shard::{Back, CaptureShard, CaptureWorker, Cell, Change, Lookout};
use crate::sink::Outbox;
use anyhow::Result;
use crossbeam_channel::{Receiver, Sender, bounded};
use rand::Rng;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::thread::{Builder, JoinHandle};

/// What makes the backs of shards, where their threads go, detectors, rules, and what becomes of what those raise.
type Ways<'a, B> = (
    B,
    &'a mut Vec<JoinHandle<()>>,
    Option<Lookout>,
    (Option<Maker>, &'a Alarms),
);

/// A thread that ends when its input does, or with a fault.
type Reader = JoinHandle<Result<(), receive::Error>>;

/// Threads that wait for where to send frames. They are the first ones: what they keep of rights is given up for all others.
pub(super) struct Readers {
    threads: Vec<Reader>,
    starts: Vec<Sender<FrameRouter>>,
    published: Vec<Published<CaptureStats>>,
    /// The last one reads files.
    watches: bool,
}

/// The cells of what captures.
#[derive(Debug, Default)]
pub struct Captured {
    /// Of readers.
    pub(super) readers: Vec<Published<CaptureStats>>,
    /// Of shards.
    pub(super) shards: Vec<Cell>,
    /// Frames on their way from readers to shards.
    pub(super) queued: Arc<AtomicU64>,
    /// Batches that may wait for each shard.
    pub(super) queue_max: usize,
}

impl Readers {
    /// Starts a thread an interface, gives up the right that they keep, and starts one for the folder that is watched.
    pub fn start(opened: &mut Opened, stop: &Arc<AtomicBool>) -> Result<Readers> {
        let mut readers = Readers {
            threads: vec![],
            starts: vec![],
            published: vec![],
            watches: false,
        };
        for (n, tap) in std::mem::take(&mut opened.taps).into_iter().enumerate() {
            readers.published.push(tap.published());
            let stop = stop.clone();
            readers.spawn(format!("capture-{n}"), move |router| tap.run(router, &stop))?;
        }
        if rights::has(Capability::CAP_NET_RAW) {
            rights::give_up(Capability::CAP_NET_RAW)?;
        }
        let memory = opened.state.path().join(FILES_READ);
        if let Some(watch) = Watch::open(&opened.config.capture, &memory)? {
            readers.published.push(watch.published());
            readers.watches = true;
            let stop = stop.clone();
            readers.spawn("watch".into(), move |router| watch.run(router, &stop))?;
        }
        Ok(readers)
    }

    fn spawn(
        &mut self,
        name: String,
        run: impl FnOnce(FrameRouter) -> Result<(), receive::Error> + Send + 'static,
    ) -> Result<()> {
        let (start, started) = bounded::<FrameRouter>(1);
        // without a router the collector did not come to start
        let work = move || started.recv().map_or(Ok(()), run);
        self.threads.push(Builder::new().name(name).spawn(work)?);
        self.starts.push(start);
        Ok(())
    }

    /// Starts a shard for each end of a channel of changes, as one of `threads`, and sets the readers going. What reads files
    /// has a shard of its own: their time is another one.
    pub fn run(
        self,
        config: &Config,
        changes: Vec<Receiver<Change>>,
        outbox: &Outbox,
        (back, threads, lookout, (rules, alarms)): Ways<'_, impl Fn() -> Back>,
    ) -> Result<(Captured, Vec<Reader>)> {
        let all = changes.len();
        let live = all - usize::from(self.watches);
        let captured = Captured {
            readers: self.published.clone(),
            shards: (0..all).map(|_| Cell::default()).collect(),
            queued: Arc::default(),
            queue_max: config.capture.queue,
        };
        let spread = Spread::new(live);
        let facts = self.facts(config);
        let (to, from): (Vec<_>, Vec<_>) = (0..all).map(|_| bounded(STRAYS_MAX)).unzip();
        let mut senders = vec![];
        let cells = captured.shards.iter().zip(from).zip(changes);
        for (n, ((cell, from), changes)) in cells.enumerate() {
            let mut shard = capture_shard(config, back());
            if let Some(rules) = &rules {
                shard = shard.with_rules(rules.engine());
            }
            if lookout.is_some() {
                shard = shard.with_feed(Feed::new(rand::rng().random()));
            }
            let worker = |shard| {
                CaptureWorker::new(shard, cell.clone())
                    .with_lookout(lookout.clone())
                    .with_alarm(alarms.one(config))
                    .with_changes(changes.clone())
            };
            let worker = if n < live {
                shard.know(facts.clone());
                let others = if live > 1 {
                    to[..live].to_vec()
                } else {
                    vec![]
                };
                worker(shard).among(n, others, from, spread)
            } else {
                worker(shard).of_files()
            };
            let (sender, input): (_, Receiver<FrameBatch>) = bounded(config.capture.queue);
            let outbox = outbox.clone();
            let work = move || worker.run(&input, &mut |bundle| outbox.send(bundle));
            threads.push(Builder::new().name(format!("meter-{n}")).spawn(work)?);
            senders.push(sender);
        }
        let of_files = senders.split_off(live);
        for (n, (start, reader)) in self.starts.iter().zip(&self.published).enumerate() {
            let reads_files = self.watches && n + 1 == self.starts.len();
            let (to, spread) = match reads_files {
                true => (of_files.clone(), Spread::new(1)),
                false => (senders.clone(), spread),
            };
            let router = FrameRouter::new(to, spread, captured.queued.clone(), &config.capture);
            tracing::info!("capturing {}", reader.with(|r| r.interface.clone()));
            // a thread that is gone is noticed by its handle
            let _ = start.send(router);
        }
        Ok((captured, self.threads))
    }

    /// The interfaces as the sensor's.
    fn facts(&self, config: &Config) -> Vec<Learned> {
        let exporter = Addr::from(config.meter.sensor);
        let cells = self.published.iter().map(Published::read);
        let cells = cells.filter(|c| c.files.is_none());
        let interface = |c: CaptureStats| Learned::Interface {
            exporter,
            if_index: c.if_index,
            description: String::new(),
            speed: speed(&c.interface),
            name: c.interface,
        };
        cells.map(interface).collect()
    }
}

fn capture_shard(config: &Config, back: Back) -> CaptureShard {
    let dissector = Dissector::new(&config.dissect);
    let reassemble = config.reassemble.keyed(rand::rng().random());
    let fragments = Fragments::new(&reassemble.fragments);
    let apps = Apps::new(&reassemble, Wishes::default());
    let meter = Meter::new(&config.meter, rand::rng().random()).with_apps(apps);
    let book = Book::new(ACCOUNTS_MAX);
    CaptureShard::new(dissector, fragments, meter, back, book)
}

/// Bit/s of an interface; 0 where the kernel does not know.
fn speed(interface: &str) -> u64 {
    let file = format!("/sys/class/net/{interface}/speed");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mbit: i64 = text.trim().parse().unwrap_or(0);
    u64::try_from(mbit).unwrap_or(0) * 1_000_000
}

/// Packets that may wait for the shard that they belong to; past it they are metered where they are.
const STRAYS_MAX: usize = 256;
/// Where in the state directory is kept which files were read.
const FILES_READ: &str = "captures";
/// The sensor is the only exporter.
const ACCOUNTS_MAX: usize = 16;
