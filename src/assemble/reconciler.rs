//! Asks the store now and then how flows compare with what interfaces counted, for metrics.
#![expect(
    clippy::disallowed_types,
    reason = "written every five minutes, read by control"
)]

use super::View;
use crate::config::Config;
use crate::control::{Reconciled, Reconciliation};
use crate::receive::route::Moment;
use crate::sink::clickhouse::Connection;
use crate::sink::schema::reconciliation;
use anyhow::Result;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

/// What the store said last.
#[derive(Clone, Debug, Default)]
pub(super) struct Latest(Arc<Mutex<Reconciliation>>);

impl Latest {
    /// A copy.
    pub fn read(&self) -> Reconciliation {
        self.with(|r| r.clone())
    }

    fn with<R>(&self, f: impl FnOnce(&mut Reconciliation) -> R) -> R {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The thread that asks. It ends by itself when this is dropped: nothing waits for it.
#[derive(Debug)]
pub(super) struct Reconciler {
    _stop: Sender<()>,
}

impl Reconciler {
    /// Starts it, where there is a store.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        config: &Config,
        connection: &Connection,
        view: &View,
    ) -> Result<Option<Reconciler>> {
        if config.sink.kind.discards() {
            return Ok(None);
        }
        let latest = Latest::default();
        view.reconcile(latest.clone());
        let (stop, stopped) = bounded::<()>(0);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let connection = connection.clone();
        let work = move || {
            let (mut pause, mut said) = (FIRST, String::new());
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(pause) {
                pause = ROUND;
                let asked = async { tokio::time::timeout(PATIENCE, ask(&connection)).await };
                let answer = runtime.block_on(asked);
                let answer = answer.unwrap_or_else(|_| Err(anyhow::anyhow!("it takes too long")));
                match answer {
                    Ok(sides) => {
                        latest.with(|r| take(r, sides));
                        said.clear();
                    }
                    Err(error) => {
                        latest.with(|r| r.failures += 1);
                        let error = error.to_string();
                        if error != said {
                            tracing::info!(
                                "the store does not say how flows compare with counters: {error}"
                            );
                            said = error;
                        }
                    }
                }
            }
        };
        Builder::new().name("reconciler".into()).spawn(work)?;
        Ok(Some(Reconciler { _stop: stop }))
    }
}

#[derive(clickhouse::Row, serde::Deserialize)]
struct Side {
    exporter: String,
    if_index: u32,
    if_name: String,
    direction: String,
    /// None where nothing was counted.
    ratio: Option<f64>,
    diagnosis: String,
}

async fn ask(connection: &Connection) -> Result<Vec<Side>> {
    let query = reconciliation("now() - INTERVAL 30 MINUTE", "now()");
    let sql = format!(
        "SELECT replaceOne(toString(w.exporter), '::ffff:', '') AS exporter, w.if_index AS if_index, w.if_name AS if_name, \
         toString(w.direction) AS direction, CAST(w.ratio AS Nullable(Float64)) AS ratio, toString(w.diagnosis) AS diagnosis \
         FROM (SELECT * FROM ({query}) ORDER BY time DESC LIMIT 1 BY exporter, if_index, direction) AS w \
         ORDER BY w.counted_bytes DESC LIMIT {SIDES_MAX}"
    );
    Ok(connection.reach().await?.query(&sql).fetch_all().await?)
}

fn take(r: &mut Reconciliation, sides: Vec<Side>) {
    r.diagnoses.clear();
    r.at_s = (Moment::now().wall_ns.max(0) / 1_000_000_000) as u64;
    for side in &sides {
        *r.diagnoses.entry(side.diagnosis.clone()).or_default() += 1;
    }
    let sides = sides.into_iter().filter_map(|s| {
        Some(Reconciled {
            exporter: s.exporter,
            if_index: s.if_index,
            interface: s.if_name,
            direction: s.direction,
            ratio: s.ratio?,
        })
    });
    r.sides = sides.take(SERIES_MAX).collect();
}

/// When the store is asked first, and how often then: as often as there is something new.
const FIRST: Duration = Duration::from_secs(5);
const ROUND: Duration = Duration::from_secs(300);
/// How long the store may think.
const PATIENCE: Duration = Duration::from_secs(60);
/// Sides of interfaces that are looked at.
const SIDES_MAX: usize = 20_000;
/// Sides with a metric of their own.
const SERIES_MAX: usize = 200;
