//! A running collector: its threads, and how they end.

use super::findings::Telling;
use super::housekeeper::{DECODE_FILES, SIDES_FILES, saved_state};
use super::{
    Alarms, Embedded, Gate, Housekeeper, Opened, Readers, Reconciler, Reloader, StateDirectory,
    View, budget, correlate,
};
use crate::aggregate::Usage;
use crate::batch::{Crowding, Identity, Sealer};
use crate::config::Config;
use crate::control;
use crate::decode::{Decoder, End};
use crate::enrich::{self, Polled, Tables};
use crate::ledger::Book;
use crate::model::Addr;
use crate::receive::{self, Intake, Listener, Router};
use crate::shard::{Back, Cell, ExportShard, Lookout, Worker};
use crate::sink::spool::{Mode, Spool, files};
use crate::sink::{Outbox, Stats, clickhouse::Connection, hop};
use crate::snmp::Poller;
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
    /// Of listeners and of interfaces.
    receivers: Vec<JoinHandle<Result<(), receive::Error>>>,
    shards: Vec<JoinHandle<()>>,
    gate: Gate,
    housekeeper: Housekeeper,
    control: control::Running,
    poller: Arc<Poller>,
    reconciler: Option<Reconciler>,
    telling: Telling,
    alarms: Alarms,
    view: Arc<View>,
    state: Arc<StateDirectory>,
    addresses: Vec<SocketAddr>,
    control_address: SocketAddr,
    connection: Connection,
    store: Option<Embedded>,
}

impl Collector {
    /// Starts the threads of what was opened. Where the configuration names no ClickHouse, the embedded one is started.
    ///
    /// # Errors
    /// What could not be started, and what to do about it.
    pub fn start(mut opened: Opened) -> Result<Collector> {
        let stop = Arc::new(AtomicBool::new(false));
        // the first threads: they may keep a right
        let readers = Readers::start(&mut opened, &stop)?;
        let (connection, store) = connect(&opened.config)?;
        let (shards, meters) = shards_of(&opened.config);
        let intake = Intake::new(&opened.config.receive);
        let (reloader, mut changes) = Reloader::new(&mut opened, &intake, (shards, meters))?;
        let (config, state) = (&opened.config, Arc::new(opened.state));
        let (listeners, server) = (opened.listeners, opened.server);
        let control_address = server.address();
        budget::report(config, shards, listeners.len())?;

        let (outbox, inbox) = hop(config.sink.queue_max);
        let spool = open_spool(config, &state, inbox.stats())?;
        let before = Before::read(&state, spool.as_ref(), config)?;
        let gate = Gate::start(inbox, &connection, config, spool)?;
        let sealers = Sealers::new(config, &state, &outbox);
        let cells: Vec<Cell> = (0..shards).map(|_| Cell::default()).collect();
        let tables = tables(config, &state, reloader.polled().clone())?;
        let of_meters = changes.split_off(shards);
        let shard = |mine: &dyn Fn(Addr) -> bool| {
            export_shard(config, tables.clone(), sealers.one(), &before, mine)
        };
        let (lookout, judges) = correlate::prepare(config, &state, &connection)?.unzip();
        let workers = workers(shard, config, &intake, (&cells, &lookout), changes)?;
        let (senders, mut shards) = start_shards(workers, &outbox, config.receive.queue)?;
        let back = || Back::new(tables.clone(), usage(config), sealers.one());
        let (alarms, found) = Alarms::start(config, state.path(), meters)?;
        let ways = (back, &mut shards, lookout, (reloader.rules(), &alarms));
        let (captured, readers) = readers.run(config, of_meters, &outbox, ways)?;
        let view = Arc::new(View::new(
            &listeners,
            (cells, captured),
            config.receive.queue,
            intake.clone(),
            outbox.stats().clone(),
            Arc::new(reloader),
        ));
        view.lost(alarms.lost());
        let control = server.start(view.clone())?;
        let poller = poll(config, &state, &view)?;
        let reconciler = Reconciler::start(config, &connection, &view)?;
        let way = (sealers.one(), outbox.clone());
        let telling = Telling::start(config, (&state, &tables), found, way, (&connection, &view))?;
        shards.extend(judges.map(|j| j.start(telling.found.clone())).transpose()?);
        tell_address(config, control_address);
        let housekeeper = Housekeeper::start(view.clone(), state.clone(), sealers.one(), outbox)?;
        let addresses = listeners.iter().map(Listener::address).collect();
        let mut receivers = start_listeners(listeners, senders, &intake, config, &stop)?;
        receivers.extend(readers);
        Ok(Collector {
            stop,
            receivers,
            shards,
            gate,
            housekeeper,
            control,
            poller,
            reconciler,
            telling,
            alarms,
            view,
            state,
            addresses,
            control_address,
            connection,
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
        self.receivers.iter().any(JoinHandle::is_finished)
            || self.shards.iter().any(JoinHandle::is_finished)
    }

    /// Why the process has to end, if the store is one that this program must not write to: its schema is newer, or was
    /// made by another build.
    pub fn refusal(&self) -> Option<&str> {
        self.gate.refusal()
    }

    /// Looks after the embedded store, if there is one.
    pub fn tend(&mut self) {
        if self.store.as_mut().is_some_and(Embedded::tend) {
            self.view.count_store_restart();
        }
    }

    /// Ends in the order of the data: sockets are drained, shards seal what they hold, the sink delivers it within the
    /// grace period. Returns the final counts and the store, if one was started.
    pub fn stop(self) -> (super::Totals, Option<Embedded>) {
        let mut in_order = true;
        self.poller.stop();
        drop(self.reconciler);
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.receivers {
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!("{error}"),
                Err(_) => {
                    tracing::error!("a receive thread panicked");
                    in_order = false;
                }
            }
        }
        // the grace period runs from here: a store that is away must not hold the shards for ever
        let (gate, grace) = (self.gate, self.view.reloader().grace());
        let sink = std::thread::spawn(move || gate.stop(grace));
        for thread in self.shards {
            if thread.join().is_err() {
                tracing::error!("a shard panicked");
                in_order = false;
            }
        }
        self.alarms.stop();
        self.telling.stop();
        // its last bundle carries the outcomes of receive; its outbox is the last one
        self.housekeeper.stop();
        if sink.join().is_err() {
            tracing::error!("the sink panicked");
            in_order = false;
        }
        if in_order {
            self.state.ended();
        }
        self.control.stop();
        let totals = super::Totals {
            in_order,
            ..self.view.totals()
        };
        (totals, self.store)
    }
}

/// Shards for datagrams, and for packets.
fn shards_of(config: &Config) -> (usize, usize) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (shards, meters) = (&config.shard, &config.capture);
    (shards.shards_for(cores), meters.shards_all(cores))
}

/// Opens the spool, if there is to be one, and says what it holds and what a kill can cost now.
fn open_spool(config: &Config, state: &StateDirectory, stats: &Stats) -> Result<Option<Spool>> {
    let settings = &config.spool;
    let age = config.batch.seal_age_ms;
    let spool = match config.sink.kind.discards() || settings.mode == Mode::Off {
        true => {
            let directory = spool_dir(config, state.path());
            let left = files(&directory).len();
            if left > 0 {
                tracing::warn!(
                    "{left} bundles of an earlier run stay in {} and are not delivered: start once with `spool.mode = \"overflow\"`",
                    directory.display()
                );
            }
            None
        }
        false => {
            let directory = spool_dir(config, state.path());
            tracing::info!("spool in {}", directory.display());
            Some(Spool::open(&directory, settings, stats)?)
        }
    };
    match settings.mode {
        Mode::Always if spool.is_some() => tracing::info!(
            "rows are on disk before they are sent: a kill costs those of the last {age} ms and of the commit on its way"
        ),
        _ => tracing::info!(
            "a kill costs what is in memory: rows of the last {age} ms and what the store has not acknowledged"
        ),
    }
    if let Some(spool) = &spool {
        let (files, rows) = spool.waiting();
        if files > 0 {
            tracing::info!("the spool holds {files} bundles with {rows} rows of an earlier run");
        }
    }
    Ok(spool)
}

/// Makes sealers, which number their bundles together.
struct Sealers {
    settings: crate::batch::Settings,
    identity: Arc<Identity>,
    sequence: Arc<AtomicU64>,
    crowding: Arc<Crowding>,
}

impl Sealers {
    fn new(config: &Config, state: &StateDirectory, outbox: &Outbox) -> Sealers {
        Sealers {
            settings: config.batch.clone(),
            identity: Arc::new(Identity {
                collector: state.collector().to_string(),
                start: rand::rng().random(),
            }),
            sequence: Arc::new(AtomicU64::new(0)),
            crowding: outbox.stats().crowding().clone(),
        }
    }

    fn one(&self) -> Sealer {
        let (identity, sequence) = (self.identity.clone(), self.sequence.clone());
        Sealer::new(self.settings.clone(), identity, sequence).follow(self.crowding.clone())
    }
}

fn tell_address(config: &Config, address: SocketAddr) {
    let scheme = match config.control.tls_certificate_file {
        Some(_) => "https",
        None => "http",
    };
    tracing::info!("metrics on {scheme}://{address}/metrics");
}

/// Where the spool of a configuration is.
pub fn spool_dir(config: &Config, state: &std::path::Path) -> std::path::PathBuf {
    let directory = config.spool.directory.clone();
    directory.unwrap_or_else(|| state.join("spool"))
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

/// What the process before left.
struct Before {
    end: End,
    /// Templates and options of its decoders.
    states: Vec<Vec<u8>>,
    sides: Vec<Vec<u8>>,
    /// Positions of its durable bundles.
    positions: Vec<u8>,
    /// What lay in bundles that cannot be read any more.
    damaged: Vec<u8>,
}

impl Before {
    /// Reads it, and begins this run.
    fn read(state: &StateDirectory, spool: Option<&Spool>, config: &Config) -> Result<Before> {
        let keeps = spool.is_some() && config.spool.mode != Mode::Off;
        let previous = state.begin(keeps)?;
        let (mut positions, mut damaged) = (vec![], vec![]);
        let crashed = previous.end == End::Crashed;
        // those of an older run would book as lost what the last one received
        if let Some(spool) = spool.filter(|_| !crashed || previous.kept_positions) {
            if crashed {
                positions = list(spool.positions());
            }
            damaged = list(spool.missing(crashed));
        } else if crashed {
            tracing::warn!(
                "the last run crashed and kept no spool: what was lost with it is not known"
            );
        }
        Ok(Before {
            end: previous.end,
            states: saved_state(state, DECODE_FILES),
            sides: saved_state(state, SIDES_FILES),
            positions,
            damaged,
        })
    }
}

/// Keys and values in the form in which decode reads them.
fn list(entries: Vec<(Vec<u8>, u64)>) -> Vec<u8> {
    let mut list = vec![];
    for (key, value) in entries {
        let written = crate::model::positions::put(&mut list, &key, value);
        debug_assert!(written.is_ok(), "it was read from such a list");
    }
    list
}

/// The tables of all shards; networks over HTTP are fetched from here on.
fn tables(config: &Config, state: &StateDirectory, polled: Arc<Polled>) -> Result<Arc<Tables>> {
    let tables = Arc::new(Tables::new(&config.enrich)?.following(polled));
    enrich::fetch(&config.enrich, &tables, state.path())?;
    Ok(tables)
}

/// Starts asking exporters for their interfaces: those that the configuration names, and those that have sent something.
fn poll(config: &Config, state: &StateDirectory, view: &Arc<View>) -> Result<Arc<Poller>> {
    let reloader = view.reloader();
    let seen = Arc::downgrade(view);
    let exporters = move || seen.upgrade().map_or(vec![], |v| v.exporters());
    let polled = reloader.polled().clone();
    let poller = Poller::start(&config.snmp, polled, state.path(), Box::new(exporters))?;
    let poller = Arc::new(poller);
    reloader.lead(poller.clone());
    Ok(poller)
}

fn usage(config: &Config) -> Usage {
    Usage::new(&crate::aggregate::Settings {
        hash_seed: rand::rng().random(),
        ..config.usage.clone()
    })
}

fn export_shard(
    config: &Config,
    tables: Arc<Tables>,
    sealer: Sealer,
    before: &Before,
    mine: impl Fn(Addr) -> bool,
) -> Result<ExportShard> {
    let usage = usage(config);
    let mut decode = config.decode.clone();
    decode.correct_clock = true;
    let decoder = Decoder::new(decode);
    let book = Book::new(config.receive.exporters_max.saturating_mul(2))
        .with_domains_max(config.decode.domains_max)
        .with_idle_s(config.receive.exporter_idle_s);
    let mut shard = ExportShard::new(decoder, Back::new(tables, usage, sealer), book);
    for bytes in &before.states {
        if let Err(error) = shard.restore(bytes, before.end, &mine) {
            tracing::warn!("{error}; exporters will send their templates again");
        }
    }
    let now_ns = receive::route::Moment::now().wall_ns;
    for bytes in &before.sides {
        if let Err(error) = shard.back().restore(bytes, now_ns / 1_000_000, &mine) {
            tracing::warn!("{error}; where exporters meter is learned anew");
        }
    }
    // after a stop in order the state files say more: rows that could not be delivered are booked as lost already
    if before.end == End::Crashed
        && let Err(error) = shard.resume(&before.positions, End::Crashed, now_ns, &mine)
    {
        tracing::warn!("{error}");
    }
    if let Err(error) = shard.damaged(&before.damaged, &mine) {
        tracing::warn!("{error}");
    }
    Ok(shard)
}

/// A worker for each cell.
fn workers(
    shard: impl Fn(&dyn Fn(Addr) -> bool) -> Result<ExportShard>,
    config: &Config,
    intake: &Arc<Intake>,
    (cells, lookout): (&[Cell], &Option<Lookout>),
    changes: Vec<Receiver<crate::shard::Change>>,
) -> Result<Vec<Worker>> {
    let shards = cells.len();
    let pairs = cells.iter().zip(changes).enumerate();
    pairs
        .map(|(n, (cell, changes))| {
            let mut shard = shard(&|a| intake.shard(a, shards) == n)?;
            shard.back().declare_if(n == 0);
            shard.back().owned(intake, n, shards);
            if lookout.is_some() {
                shard = shard.with_sightings();
            }
            let worker = Worker::new(shard, config.shard.stages, cell.clone());
            Ok(worker.with_lookout(lookout.clone()).with_changes(changes))
        })
        .collect()
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
    senders: Senders,
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
