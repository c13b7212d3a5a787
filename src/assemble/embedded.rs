//! The embedded ClickHouse beside the collector: started, watched, started again.

use crate::config::Config;
use crate::sink::clickhouse::Connection;
use crate::store::{SpawnOptions, StoreProcess, spawn};
use anyhow::{Context, Result};
use std::time::{Duration, Instant};

/// Least time between two starts: a store that dies at once must not keep the machine busy.
const PAUSE: Duration = Duration::from_secs(5);

/// Longest pause, seconds, before a store that is away is asked again: it is on the way.
const HEALTH_BACKOFF_MAX_S: u64 = 2;

/// A store that belongs to a collector. Its address and key stay the same over all starts.
#[derive(Debug)]
pub struct Embedded {
    options: SpawnOptions,
    process: StoreProcess,
    started: Instant,
}

impl Embedded {
    /// Starts the store of a configuration.
    ///
    /// # Errors
    /// Why it did not start.
    pub fn start(config: &Config) -> Result<Embedded> {
        let data = config.store.data.clone();
        let data = data.unwrap_or_else(crate::store::settings::default_data_dir);
        let mut options = SpawnOptions::new(data);
        options.listen = config.store.listen;
        options.memory_max = config.store.memory_max;
        options.library.clone_from(&config.store.library);
        let process = spawn(&options).context(
            "the embedded ClickHouse did not start (to use one of your own, set `url` below [clickhouse])",
        )?;
        let data = options.data.display();
        tracing::info!("embedded ClickHouse at {} (data in {data})", process.url);
        if let Ok(address) = process.url.trim_start_matches("http://").parse() {
            options.listen = address;
        }
        Ok(Embedded {
            options,
            process,
            started: Instant::now(),
        })
    }

    /// How to reach it.
    pub fn connection(&self) -> Connection {
        Connection {
            url: self.process.url.clone(),
            password: Some(self.process.key.clone()),
            // it costs nothing to ask a neighbour, and rows wait for it
            health_backoff_max_s: HEALTH_BACKOFF_MAX_S,
            ..Connection::default()
        }
    }

    /// Starts it again if it has ended; rows wait meanwhile. The answer is whether it was.
    pub fn tend(&mut self) -> bool {
        let ended = match self.process.child.try_wait() {
            Ok(None) => return false,
            Ok(Some(status)) => status.to_string(),
            Err(error) => error.to_string(),
        };
        if self.started.elapsed() < PAUSE {
            return false;
        }
        self.started = Instant::now();
        tracing::error!("the embedded ClickHouse ended ({ended}); starting it again");
        match spawn(&self.options) {
            Ok(process) => {
                tracing::info!("embedded ClickHouse at {} again", process.url);
                self.process = process;
                true
            }
            Err(error) => {
                tracing::error!("the embedded ClickHouse did not start: {error}");
                false
            }
        }
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// When it has to be killed.
    pub fn stop(self) -> Result<()> {
        let stopped = self.process.stop();
        stopped.context("the embedded ClickHouse did not stop in order")
    }
}
