//! One section until it is acknowledged, refused for good, or out of time.

use super::endpoints::{Endpoints, Route};
use super::verdict::{Fault, Verdict, judge};
use crate::batch::Table;
use crate::sink::native::{Compression, EncodedSection};
use crate::sink::{Settings, Stats};
use bytes::Bytes;
use clickhouse::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What all deliveries share.
#[derive(Debug)]
pub(super) struct Delivery {
    endpoints: Arc<Endpoints>,
    settings: Settings,
    stats: Arc<Stats>,
    deadline: watch::Receiver<Option<Instant>>,
    home: mpsc::Sender<Bytes>,
    /// Bit n is set when the store does not know `SETTINGS[n]`.
    unknown: AtomicU32,
}

impl Delivery {
    pub(super) fn new(
        endpoints: Arc<Endpoints>,
        settings: &Settings,
        stats: Arc<Stats>,
        deadline: watch::Receiver<Option<Instant>>,
        home: mpsc::Sender<Bytes>,
    ) -> Self {
        Delivery {
            endpoints,
            settings: settings.clone(),
            stats,
            deadline,
            home,
            unknown: AtomicU32::new(0),
        }
    }

    /// Asks until the store answers for the first time, so that readiness is known before there are rows.
    pub(super) async fn greet(self: Arc<Self>) {
        let snapshot = || self.stats.snapshot();
        while snapshot().inserts == 0 && snapshot().errors.is_empty() {
            let route = self.endpoints.route(Table::Flows, "");
            if route.client().query("SELECT 1").execute().await.is_ok() {
                return self.stats.set_ready();
            }
            tokio::time::sleep(GREET_PAUSE).await;
        }
    }

    /// Delivers; when it returns the rows are counted.
    pub(super) async fn deliver(&self, section: EncodedSection) {
        tokio::select! {
            biased;
            () = self.insist(&section) => {}
            () = passed(self.deadline.clone()) => self.lose(&section),
        }
        self.home.send(section.body).ok();
    }

    /// Counts a section that there is no time for.
    pub(super) fn lose(&self, section: &EncodedSection) {
        tracing::error!(
            table = section.table.name(),
            rows = section.rows,
            token = section.token,
            "rows lost: the store did not take them before the process had to end"
        );
        self.stats.lose(flow_rows(section));
    }

    async fn insist(&self, section: &EncodedSection) {
        let (mut failures, mut refusals) = (0u32, 0);
        loop {
            let start = Instant::now();
            let route = self.endpoints.route(section.table, &section.token);
            let Err(error) = self.insert(&route, section).await else {
                route.succeeded();
                self.stats.acknowledge(flow_rows(section));
                let sent = section.body.len() as u64;
                return self.stats.inserted(section.raw_len, sent, start.elapsed());
            };
            let fault = judge(&error, &route.failed(&error));
            self.stats.failed(&fault.code, &fault.text);
            failures += 1;
            report(section, &fault, failures);
            match &fault.verdict {
                Verdict::Again => {}
                Verdict::UnknownSetting(name) if self.leave_out(name) => {}
                Verdict::Refused | Verdict::UnknownSetting(_) => refusals += 1,
            }
            if refusals >= self.settings.refusals_max {
                return self.quarantine(section, &fault);
            }
            self.stats.retried();
            tokio::time::sleep(self.pause(failures)).await;
        }
    }

    async fn insert(&self, route: &Route<'_>, section: &EncodedSection) -> Result<(), Error> {
        let (table, columns) = (route.table(), &section.columns);
        let sql = format!("INSERT INTO {table} ({columns}) FORMAT Native");
        let seconds = |s| Some(Duration::from_secs(s));
        let mut insert = route
            .client()
            .insert_formatted_with(sql)
            .with_timeouts(
                seconds(self.settings.send_timeout_s),
                seconds(self.settings.insert_timeout_s),
            )
            .with_setting(TOKEN, &section.token);
        let unknown = self.unknown.load(Relaxed);
        for (n, (name, value)) in SETTINGS.iter().enumerate() {
            if unknown >> n & 1 == 0 {
                insert = insert.with_setting(*name, *value);
            }
        }
        if section.compression == Compression::Lz4 {
            // the frames are ours, made once: to the client they are plain bytes
            insert = insert.with_setting("decompress", "1");
        }
        let mut at = 0;
        while at < section.body.len() {
            let end = (at + CHUNK).min(section.body.len());
            insert.send(section.body.slice(at..end)).await?;
            at = end;
        }
        insert.end().await
    }

    /// Stops sending a setting; false where it is none that can be left out, or already is.
    fn leave_out(&self, name: &str) -> bool {
        let Some(n) = SETTINGS.iter().position(|(known, _)| *known == name) else {
            return false;
        };
        let bit = 1 << n;
        let before = self.unknown.fetch_or(bit, Relaxed);
        if before & bit == 0 {
            tracing::warn!(
                setting = name,
                "the store does not know this setting: inserts go without it"
            );
        }
        // several inserts may learn it at the same time; each of them goes again
        true
    }

    fn quarantine(&self, section: &EncodedSection, fault: &Fault) {
        tracing::error!(
            table = section.table.name(),
            partition = section.partition,
            rows = section.rows,
            token = section.token,
            code = fault.code,
            reason = fault.text,
            "rows quarantined: the store refuses them for good; they are counted and dropped"
        );
        self.stats.quarantine(flow_rows(section));
    }

    /// Doubles with every failure up to the limit; half of it is random, so that retries spread.
    fn pause(&self, failures: u32) -> Duration {
        let doubled = self
            .settings
            .backoff_ms
            .saturating_mul(1 << (failures - 1).min(16));
        let most = doubled.min(self.settings.backoff_max_ms);
        Duration::from_millis(rand::random_range(most / 2..=most))
    }
}

/// Ends when the deadline is set and passed.
pub(super) async fn passed(mut deadline: watch::Receiver<Option<Instant>>) {
    let set = deadline
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|d| *d);
    match set {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        // nobody is left to set one
        None => std::future::pending().await,
    }
}

/// Only these enter law (e).
fn flow_rows(section: &EncodedSection) -> u64 {
    match section.table {
        Table::Flows => section.rows,
        _ => 0,
    }
}

/// Logs the first failure of a section, and then ever fewer.
fn report(section: &EncodedSection, fault: &Fault, failures: u32) {
    if failures.is_power_of_two() {
        tracing::warn!(
            table = section.table.name(),
            rows = section.rows,
            failures,
            code = fault.code,
            error = fault.text,
            "insert failed, trying again"
        );
    }
}

const TOKEN: &str = "insert_deduplication_token";

/// Sent with every INSERT, whatever the store's defaults are: they differ between versions. A store that does not
/// know one goes without it.
const SETTINGS: [(&str, &str); 4] = [
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("max_insert_threads", "1"),
];

/// Bytes handed to the connection at once.
const CHUNK: usize = 1 << 20;

const GREET_PAUSE: Duration = Duration::from_millis(500);
