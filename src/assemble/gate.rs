//! Between the shards and the store: nothing is sent before the schema is there.

use crate::config::Config;
use crate::sink::clickhouse::{Connection, Sink};
use crate::sink::spool::Spool;
use crate::sink::{Inbox, Stats, null, schema};
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// The sink, which is released once the store has its schema. Until then bundles go to the spool, or wait in hop 2: a store that is
/// away at start costs no row, and no row is refused for a table that does not exist yet.
#[derive(Debug)]
pub struct Gate {
    thread: JoinHandle<Option<Sink>>,
    null: Option<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
}

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
        if let Some(effort) = config.sink.kind.effort(config.sink.compression) {
            let null = Some(null::start(inbox, effort)?);
            let thread = Builder::new().name("gate".into()).spawn(|| None)?;
            return Ok(Gate { thread, null, stop });
        }
        let sink = Sink::start_held(inbox, &config.sink, spool)?;
        let (connection, stopped) = (connection.clone(), stop.clone());
        let apply = config.schema_apply;
        let work = move || {
            if wait_for_schema(&connection, apply, &stopped, sink.stats())
                && let Err(error) = sink.release(&connection)
            {
                tracing::error!("nothing can be delivered: {error}");
            }
            Some(sink)
        };
        let thread = Builder::new().name("gate".into()).spawn(work)?;
        Ok(Gate {
            thread,
            null: None,
            stop,
        })
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

/// Applies or checks the schema until that succeeds (true), or until told to stop.
fn wait_for_schema(connection: &Connection, apply: bool, stop: &AtomicBool, stats: &Stats) -> bool {
    let mut pause = Duration::from_millis(100);
    while let Err(error) = prepare(connection, apply) {
        stats.not_ready(&format!("{error:#}"));
        if stop.load(Ordering::Relaxed) {
            tracing::error!("the store never got ready: {error:#}");
            return false;
        }
        tracing::warn!("waiting for the store at {}: {error:#}", connection.url);
        let step = Duration::from_millis(50);
        let mut left = pause;
        while !left.is_zero() && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(step.min(left));
            left = left.saturating_sub(step);
        }
        pause = (pause * 2).min(Duration::from_secs(10));
    }
    true
}

fn prepare(connection: &Connection, apply: bool) -> Result<()> {
    let client = connection.client()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        if apply {
            schema::apply(&client).await?;
            return Ok(());
        }
        Ok(schema::check(&client).await?)
    })
}
