//! Between the shards and the store: nothing is sent before the schema is there.

use crate::config::Config;
use crate::sink::clickhouse::{Connection, Endpoints, Sink};
use crate::sink::schema::{self, Form};
use crate::sink::spool::Spool;
use crate::sink::{self, Inbox, Stats, null};
use anyhow::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

/// The sink, which is released once the store has its schema. Until then bundles go to the spool, or wait in hop 2: a store that is
/// away at start costs no row, and no row is refused for a table that does not exist yet.
#[derive(Debug)]
pub struct Gate {
    thread: JoinHandle<Option<Sink>>,
    null: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    refusal: Refusal,
}

/// Why nothing must ever be written to this store, once that is known.
type Refusal = Arc<OnceLock<String>>;

impl Gate {
    /// Starts the sink and waits for the store on a thread of its own; or starts a null sink where the configuration says so.
    ///
    /// # Errors
    /// When the sink cannot be started.
    pub fn start(
        inbox: Inbox,
        connection: &Connection,
        config: &Config,
        spool: Option<Spool>,
    ) -> Result<Gate> {
        let stop = Arc::new(AtomicBool::new(false));
        let refusal = Refusal::default();
        if let Some(effort) = config.sink.kind.effort(config.sink.compression) {
            let null = Some(null::start(inbox, effort)?);
            let thread = Builder::new().name("gate".into()).spawn(|| None)?;
            return Ok(Gate {
                thread,
                null,
                stop,
                refusal,
            });
        }
        let sink = Sink::start_held(inbox, &config.sink, &config.spool, spool)?;
        let (connection, stopped) = (connection.clone(), stop.clone());
        let (apply, refused) = (config.schema_apply, refusal.clone());
        let work = move || {
            let refuse = |error| {
                let _ = refused.set(format!("the store at {}: {error}", connection.url));
            };
            match wait_for_schema(&connection, apply, &stopped, sink.stats()) {
                Ok(false) => {}
                Ok(true) => {
                    if let Err(error) = sink.release(&connection) {
                        tracing::error!("nothing can be delivered: {error}");
                    }
                    if let Err(error) = keep_schema(&connection, apply, &stopped, &sink) {
                        refuse(error);
                    }
                }
                Err(error) => refuse(error),
            }
            Some(sink)
        };
        let thread = Builder::new().name("gate".into()).spawn(work)?;
        Ok(Gate {
            thread,
            null: None,
            stop,
            refusal,
        })
    }

    /// Why the process has to end, if the store is one that this program must not write to.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.get().map(String::as_str)
    }

    /// Ends the sink within `grace`; returns when every outbox is dropped, too.
    pub fn stop(self, grace: Duration) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.null {
            let _ = thread.join();
        }
        match self.thread.join() {
            Ok(Some(sink)) => {
                // nothing is ever delivered to a store that is refused
                let refused = self.refusal.get().is_some();
                sink.stop(if refused { Duration::ZERO } else { grace });
            }
            Ok(None) => {}
            Err(_) => tracing::error!("the thread before the sink panicked"),
        }
    }
}

/// Applies or checks the schema until that succeeds, or until told to stop (false). An error is one that waiting cannot mend.
fn wait_for_schema(
    connection: &Connection,
    apply: bool,
    stop: &AtomicBool,
    stats: &Arc<Stats>,
) -> Result<bool, sink::Error> {
    let mut pause = Duration::from_millis(100);
    let mut told: Option<(String, Instant)> = None;
    while let Err(error) = prepare(connection, apply, stop, stats) {
        stats.not_ready(&error.to_string());
        if error.is_refusal() {
            return Err(error);
        }
        if stop.load(Ordering::Relaxed) {
            tracing::error!("the store never got ready: {error}");
            return Ok(false);
        }
        let text = error.to_string();
        // the first, another one, and now and then that it goes on
        if !(told.as_ref()).is_some_and(|(t, at)| *t == text && at.elapsed() < QUIET) {
            tracing::warn!("waiting for the store at {}: {text}", connection.place());
            told = Some((text, Instant::now()));
        }
        let step = Duration::from_millis(50);
        let mut left = pause;
        while !left.is_zero() && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(step.min(left));
            left = left.saturating_sub(step);
        }
        pause = (pause * 2).min(Duration::from_secs(10));
    }
    if told.is_some() {
        tracing::info!("the store at {} has its tables", connection.place());
    }
    Ok(true)
}

/// Whenever the store says that the database is gone, waits for the schema as at the start: nothing may be sent while there are tables and
/// not yet all of their views. Until told to stop. A table that is missing in a database which is there is left to the operator: the
/// migrations are noted as applied.
fn keep_schema(
    connection: &Connection,
    apply: bool,
    stop: &AtomicBool,
    sink: &Sink,
) -> Result<(), sink::Error> {
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK);
        if !sink.stats().take_database_gone() {
            continue;
        }
        tracing::warn!(
            "the database {} is gone: waiting for it and its tables",
            connection.database
        );
        sink.hold(true);
        while sink.is_sending() && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
        }
        if wait_for_schema(connection, apply, stop, sink.stats())? {
            // what was under way said it again
            sink.stats().take_database_gone();
            sink.hold(false);
        }
    }
    Ok(())
}

fn prepare(
    connection: &Connection,
    apply: bool,
    stop: &AtomicBool,
    stats: &Arc<Stats>,
) -> Result<(), sink::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(sink::Error::Start)?;
    let work = async {
        // so that the metrics tell of each endpoint before the sink starts
        Endpoints::new(connection, stats.clone())?.survey().await;
        let client = connection.reach().await?;
        let form = Form::of(connection.cluster.as_deref());
        // on one of several replicas alone it would make tables that are no replicas
        if apply && connection.can_apply() {
            schema::apply_as(&client, &form).await?;
            return Ok(());
        }
        schema::check_as(&client, &form).await
    };
    runtime.block_on(async {
        tokio::select! {
            done = work => done,
            () = given_up(stop) => Err(sink::Error::Start(std::io::Error::other("the store took the connection and does not answer"))),
        }
    })
}

/// Ends a while after `stop` is set: a store that never answers must not hold the end.
async fn given_up(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(LAST_WORD).await;
}

/// Time after which a fault that stays is told again.
const QUIET: Duration = Duration::from_secs(60);

/// Time between two looks whether the database is gone.
const LOOK: Duration = Duration::from_millis(100);

/// How long the store may still answer once the end has begun.
const LAST_WORD: Duration = Duration::from_secs(2);
