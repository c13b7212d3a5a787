//! Between the shards and the sink: nothing is sent before the schema is there.

use crate::config::Config;
use crate::sink::clickhouse::{Connection, Endpoints, Sink};
use crate::sink::schema::{self, Form};
use crate::sink::{self, Inbox, Stats, null};
use anyhow::Result;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// The sink, once the store has its schema. Until then bundles wait in hop 2: a store that is away at start costs no row,
/// and no row is refused for a table that does not exist yet.
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
    /// Starts waiting for the store, or a null sink where the configuration says so.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(inbox: Inbox, connection: &Connection, config: &Config) -> Result<Gate> {
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
        let (connection, settings, stopped) =
            (connection.clone(), config.sink.clone(), stop.clone());
        let (apply, refused) = (config.schema_apply, refusal.clone());
        let work = move || {
            if let Err(error) = wait_for_schema(&connection, apply, &stopped, inbox.stats()) {
                let _ = refused.set(format!("the store at {}: {error}", connection.url));
                inbox.give_up();
                return None;
            }
            match Sink::start(inbox, &connection, &settings) {
                Ok(sink) => Some(sink),
                Err(error) => {
                    tracing::error!("the sink cannot start: {error}");
                    None
                }
            }
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
                sink.stop(grace);
            }
            Ok(None) => {}
            Err(_) => tracing::error!("the thread before the sink panicked"),
        }
    }
}

/// Applies or checks the schema until that succeeds, or until told to stop. An error is one that waiting cannot mend.
fn wait_for_schema(
    connection: &Connection,
    apply: bool,
    stop: &AtomicBool,
    stats: &Arc<Stats>,
) -> Result<(), sink::Error> {
    let mut pause = Duration::from_millis(100);
    while let Err(error) = prepare(connection, apply, stats) {
        stats.not_ready(&error.to_string());
        if error.is_refusal() {
            return Err(error);
        }
        if stop.load(Ordering::Relaxed) {
            tracing::error!("the store never got ready: {error}");
            return Ok(());
        }
        tracing::warn!("waiting for the store at {}: {error}", connection.place());
        let step = Duration::from_millis(50);
        let mut left = pause;
        while !left.is_zero() && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(step.min(left));
            left = left.saturating_sub(step);
        }
        pause = (pause * 2).min(Duration::from_secs(10));
    }
    Ok(())
}

fn prepare(connection: &Connection, apply: bool, stats: &Arc<Stats>) -> Result<(), sink::Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(sink::Error::Start)?;
    runtime.block_on(async {
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
    })
}
