//! A running collector: its threads, and how they end.

use super::{Embedded, Gate, Housekeeper, StateDirectory, View, budget};
use crate::aggregate::Usage;
use crate::batch::{Identity, Sealer};
use crate::config::Config;
use crate::control;
use crate::decode::Decoder;
use crate::enrich::Tables;
use crate::ledger::Book;
use crate::receive::{self, Intake, Listener, Router};
use crate::shard::{Back, Cell, ExportShard, Worker};
use crate::sink::{Outbox, clickhouse::Connection, hop};
use anyhow::Result;
use crossbeam_channel::{Receiver, Sender, bounded};
use rand::Rng;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{Builder, JoinHandle};

/// Everything that runs. Dropping it without [`Collector::stop`] leaves its threads to the end of the process.
#[derive(Debug)]
pub struct Collector {
    stop: Arc<AtomicBool>,
    listeners: Vec<JoinHandle<Result<(), receive::Error>>>,
    shards: Vec<JoinHandle<()>>,
    gate: Gate,
    housekeeper: Housekeeper,
    control: control::Running,
    view: Arc<View>,
    addresses: Vec<SocketAddr>,
    control_address: SocketAddr,
    connection: Connection,
    grace: std::time::Duration,
    store: Option<Embedded>,
}

impl Collector {
    /// Opens everything and starts receiving. Where the configuration names no ClickHouse, the embedded one is started.
    ///
    /// # Errors
    /// What could not be opened, and what to do about it.
    pub fn start(config: &Config) -> Result<Collector> {
        let state = Arc::new(StateDirectory::open(&super::state_dir(config))?);
        let listeners = receive::bind(&config.receive)?;
        let server = control::Server::bind(&config.control)?;
        let control_address = server.address();
        let (connection, store) = connect(config)?;
        let shards = config
            .shard
            .shards_for(std::thread::available_parallelism().map_or(1, usize::from));
        budget::report(config, shards, listeners.len())?;

        let (outbox, inbox) = hop(config.sink.queue_max);
        let stop = Arc::new(AtomicBool::new(false));
        let gate = Gate::start(inbox, &connection, config)?;
        let intake = Intake::new(&config.receive);
        let identity = Arc::new(Identity {
            collector: state.collector().to_string(),
            start: rand::rng().random(),
        });
        let sequence = Arc::new(AtomicU64::new(0));
        let sealer = || Sealer::new(config.batch.clone(), identity.clone(), sequence.clone());

        let cells: Vec<Cell> = (0..shards).map(|_| Cell::default()).collect();
        let mut workers = vec![];
        let saved = super::housekeeper::saved_state(&state);
        for (n, cell) in cells.iter().enumerate() {
            let shard = export_shard(config, sealer(), &saved, |a| intake.shard(a, shards) == n)?;
            workers.push(Worker::new(shard, config.shard.stages, cell.clone()));
        }
        let (senders, shards) = start_shards(workers, &outbox, config.receive.queue)?;
        let view = Arc::new(View::new(
            &listeners,
            cells,
            config.receive.queue,
            intake.clone(),
            outbox.stats().clone(),
        ));
        let control = server.start(view.clone())?;
        tracing::info!("metrics on http://{control_address}/metrics");
        let housekeeper = Housekeeper::start(view.clone(), state, sealer(), outbox)?;
        let addresses = listeners.iter().map(Listener::address).collect();
        let listeners = start_listeners(listeners, &senders, &intake, config, &stop)?;
        drop(senders);
        let grace = std::time::Duration::from_secs(config.shutdown_grace_s);
        Ok(Collector {
            stop,
            listeners,
            shards,
            gate,
            housekeeper,
            control,
            view,
            addresses,
            control_address,
            connection,
            grace,
            store,
        })
    }

    /// Addresses of the UDP listeners, in the order of the configuration.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Address of the HTTP side.
    pub fn control_address(&self) -> SocketAddr {
        self.control_address
    }

    /// Where the store is.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// What is known of everything.
    pub fn view(&self) -> &Arc<View> {
        &self.view
    }

    /// Whether a thread that must run has ended: the process then has to end in order, for a restart beats half a
    /// service.
    pub fn is_broken(&self) -> bool {
        self.listeners.iter().any(JoinHandle::is_finished)
            || self.shards.iter().any(JoinHandle::is_finished)
    }

    /// Why the process has to end, if the store is one that this program must not write to: its schema is newer, or was
    /// made by another build.
    pub fn refusal(&self) -> Option<&str> {
        self.gate.refusal()
    }

    /// Looks after the embedded store, if there is one.
    pub fn tend(&mut self) {
        if let Some(store) = &mut self.store {
            store.tend();
        }
    }

    /// Ends in the order of the data: sockets are drained, shards seal what they hold, the sink delivers it within the
    /// grace period. Returns the final counts and the store, if one was started.
    pub fn stop(self) -> (super::Totals, Option<Embedded>) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.listeners {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!("{error}"),
                Err(_) => tracing::error!("a receive thread panicked"),
            }
        }
        // the grace period runs from here: a store that is away must not hold the shards for ever
        let (gate, grace) = (self.gate, self.grace);
        let sink = std::thread::spawn(move || gate.stop(grace));
        for thread in self.shards {
            if thread.join().is_err() {
                tracing::error!("a shard panicked");
            }
        }
        // its last bundle carries the outcomes of receive; its outbox is the last one
        self.housekeeper.stop();
        if sink.join().is_err() {
            tracing::error!("the sink panicked");
        }
        self.control.stop();
        (self.view.totals(), self.store)
    }
}

/// The store of the configuration, or an embedded one that is started now.
fn connect(config: &Config) -> Result<(Connection, Option<Embedded>)> {
    if let Some(connection) = &config.clickhouse {
        return Ok((connection.clone(), None));
    }
    if config.sink.kind.discards() {
        return Ok((Connection::default(), None));
    }
    let store = Embedded::start(config)?;
    Ok((store.connection(), Some(store)))
}

fn export_shard(
    config: &Config,
    sealer: Sealer,
    saved: &[Vec<u8>],
    mine: impl Fn(crate::model::Addr) -> bool,
) -> Result<ExportShard> {
    let tables = Arc::new(Tables::new(&config.enrich)?);
    let usage = Usage::new(&crate::aggregate::Settings {
        hash_seed: rand::rng().random(),
        ..config.usage.clone()
    });
    let mut decode = config.decode.clone();
    decode.correct_clock = true;
    let decoder = Decoder::new(decode);
    let book = Book::new(config.receive.exporters_max.saturating_mul(2));
    let mut shard = ExportShard::new(decoder, Back::new(tables, usage, sealer), book);
    for bytes in saved {
        if let Err(error) = shard.restore(bytes, &mine) {
            tracing::warn!("{error}; exporters will send their templates again");
        }
    }
    Ok(shard)
}

type Senders = Vec<Sender<receive::DatagramBatch>>;

fn start_shards(
    workers: Vec<Worker>,
    outbox: &Outbox,
    queue: usize,
) -> Result<(Senders, Vec<JoinHandle<()>>)> {
    let (mut senders, mut threads) = (vec![], vec![]);
    for (n, worker) in workers.into_iter().enumerate() {
        let (sender, receiver): (_, Receiver<receive::DatagramBatch>) = bounded(queue);
        let outbox = outbox.clone();
        let work = move || worker.run(&receiver, &mut |bundle| outbox.send(bundle));
        threads.push(Builder::new().name(format!("shard-{n}")).spawn(work)?);
        senders.push(sender);
    }
    Ok((senders, threads))
}

fn start_listeners(
    listeners: Vec<Listener>,
    senders: &Senders,
    intake: &Arc<Intake>,
    config: &Config,
    stop: &Arc<AtomicBool>,
) -> Result<Vec<JoinHandle<Result<(), receive::Error>>>> {
    let mut threads = vec![];
    for (n, listener) in listeners.into_iter().enumerate() {
        listener
            .warnings()
            .iter()
            .for_each(|w| tracing::warn!("{w}"));
        tracing::info!("listening on udp {}", listener.address());
        let router = Router::new(senders.clone(), intake.clone(), &config.receive);
        let stop = stop.clone();
        let work = move || listener.run(router, &stop);
        threads.push(Builder::new().name(format!("receive-{n}")).spawn(work)?);
    }
    Ok(threads)
}
