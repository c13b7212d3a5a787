//! One attempt to deliver a section, and what its end means.

use super::complaint::Complaints;
use super::endpoints::{Endpoints, Route};
use super::section::End;
use super::verdict::{Fault, Verdict, judge};
use super::wire::Patience;
use crate::batch::Table;
use crate::sink::blocks::Blocks;
use crate::sink::native::{Compression, EncodedSection};
use crate::sink::{Settings, Stats};
use clickhouse::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What all deliveries share.
#[derive(Debug)]
pub(super) struct Delivery {
    endpoints: Arc<Endpoints>,
    settings: Settings,
    stats: Arc<Stats>,
    complaints: Complaints,
    /// Bit n is set when the store does not know `SETTINGS[n]`.
    unknown: AtomicU32,
}

impl Delivery {
    pub(super) fn new(endpoints: Arc<Endpoints>, settings: &Settings, stats: Arc<Stats>) -> Self {
        Delivery {
            endpoints,
            settings: settings.clone(),
            stats,
            complaints: Complaints::default(),
            unknown: AtomicU32::new(0),
        }
    }

    /// Asks until the store answers for the first time, so that readiness is known before there are rows.
    pub(super) async fn greet(self: Arc<Self>) {
        let untried = || {
            let seen = self.stats.snapshot();
            seen.inserts == 0 && seen.errors.values().all(|n| *n == 0)
        };
        while untried() {
            let route = self.endpoints.route(Table::Flows, "");
            if super::connection::ask(route.client()).await.is_ok() {
                return self.stats.set_ready();
            }
            tokio::time::sleep(GREET_PAUSE).await;
        }
    }

    /// Sends a section once.
    pub(super) async fn send(&self, section: &EncodedSection, again: bool) -> End {
        if again {
            self.stats.retried();
        }
        let start = Instant::now();
        let route = self.endpoints.route(section.table, &section.token);
        match self.insert(&route, section).await {
            Ok(()) => {
                route.succeeded();
                let sent = section.body.len() as u64;
                self.stats.inserted(section.raw_len, sent, start.elapsed());
                self.complaints.over(section.table);
                End::Finished(crate::sink::spool::State::Done)
            }
            Err(error) => {
                let fault = judge(&error, &route.failed(&error));
                self.failed(section, fault)
            }
        }
    }

    /// Asks whether the rows of a section that was sent long ago are there. Only `flows` can be asked.
    pub(super) async fn ask(&self, section: &EncodedSection) -> End {
        match self.count(section).await {
            Ok(0) => {
                self.stats.set_ready();
                End::Absent
            }
            Ok(n) if n >= section.rows => End::Finished(crate::sink::spool::State::Done),
            // one block is written as one part: this cannot be, unless rows were deleted since
            Ok(n) => End::Hopeless(format!("the store has {n} of its {} rows", section.rows)),
            Err(fault) => {
                self.note(section, &fault);
                End::Later
            }
        }
    }

    /// How many rows of a section of `flows` the store has.
    pub(super) async fn count(&self, section: &EncodedSection) -> Result<u64, Fault> {
        let route = self.endpoints.route(section.table, &section.token);
        let (first, last) = (section.first_ms / 1000, section.last_ms / 1000);
        let sql = format!(
            "SELECT count() FROM {} WHERE batch = {} AND received_at BETWEEN toDateTime({first}, 'UTC') AND toDateTime({last}, 'UTC')",
            route.table(),
            section.id()
        );
        let patience = Duration::from_secs(self.settings.insert_timeout_s);
        let answer = route.client().query(&sql).fetch_one::<u64>();
        let answer = tokio::time::timeout(patience, answer).await;
        let answer = answer.unwrap_or(Err(Error::TimedOut));
        answer.map_err(|error| judge(&error, &route.failed(&error)))
    }

    /// Whether the store still remembers the token of a section that was sent when its table had `since` blocks: the reason why
    /// not, where it may have forgotten.
    ///
    /// # Errors
    /// The store does not say.
    pub(super) async fn weigh(
        &self,
        section: &EncodedSection,
        since: &Blocks,
    ) -> Result<Option<String>, End> {
        match self.blocks(section.table).await {
            Ok(Some(now)) => Ok(since.forgotten(&now)),
            Ok(None) => Ok(Some(format!(
                "the store does not tell how many blocks {} has taken since",
                section.table.name()
            ))),
            Err(fault) => {
                self.note(section, &fault);
                Err(End::Later)
            }
        }
    }

    /// The blocks that a table has taken, where its log of tokens is one count of them.
    pub(super) async fn blocks(&self, table: Table) -> Result<Option<Blocks>, Fault> {
        let Some(route) = self.endpoints.only_route(table) else {
            return Ok(None);
        };
        let name = route.table();
        let sql = format!(
            "SELECT concat(toString(serverUUID()), '/', toString(uuid)), \
            toUInt64OrZero(extract(engine_full, 'non_replicated_deduplication_window = ([0-9]+)')), \
            toUInt64(ifNull((SELECT max(max_block_number) FROM system.parts \
            WHERE database = currentDatabase() AND table = '{name}' AND active), 0)), \
            toUInt8(engine LIKE '%MergeTree' AND engine NOT LIKE 'Replicated%' AND engine NOT LIKE 'Shared%') \
            FROM system.tables WHERE database = currentDatabase() AND name = '{name}'"
        );
        let patience = Duration::from_secs(self.settings.insert_timeout_s);
        let query = route.client().query(&sql);
        let answer = query.fetch_optional::<(String, u64, u64, u8)>();
        let answer = tokio::time::timeout(patience, answer).await;
        match answer.unwrap_or(Err(Error::TimedOut)) {
            Ok(None) => Err(Fault::of_lacking(name)),
            Ok(Some((.., 0))) => Ok(None),
            Ok(Some((place, window, taken, _))) => Ok(Some(Blocks {
                place,
                window,
                taken,
            })),
            Err(error) => Err(judge(&error, &route.failed(&error))),
        }
    }

    /// Counts and tells a failure.
    fn note(&self, section: &EncodedSection, fault: &Fault) {
        self.stats.failed(&fault.code, &fault.text);
        if fault.lacks_database() {
            self.stats.lose_database();
        }
        self.complaints.report(section, fault);
    }

    fn failed(&self, section: &EncodedSection, fault: Fault) -> End {
        self.note(section, &fault);
        if fault.is_crowded() {
            self.stats.crowded("the store has too many parts");
        }
        match fault.verdict {
            Verdict::NotSent => End::NotSent,
            Verdict::Silence => End::Silence,
            Verdict::Again => End::Again {
                untouched: fault.untouched,
            },
            Verdict::UnknownSetting(name) if self.leave_out(&name) => End::Retry,
            Verdict::Refused | Verdict::UnknownSetting(_) => End::Refused {
                reason: format!("{}: {}", fault.code, fault.text),
                untouched: fault.untouched,
            },
        }
    }

    pub(super) async fn insert(
        &self,
        route: &Route<'_>,
        section: &EncodedSection,
    ) -> Result<(), Error> {
        let (table, columns) = (route.table(), &section.columns);
        let sql = format!("INSERT INTO {table} ({columns}) FORMAT Native");
        let patience = Patience {
            send: Duration::from_secs(self.settings.send_timeout_s),
            end: Duration::from_secs(self.settings.insert_timeout_s),
        };
        let unknown = self.unknown.load(Relaxed);
        let known = SETTINGS.iter().enumerate();
        let known = known.filter(|(n, _)| unknown >> n & 1 == 0);
        let mut settings = vec![(TOKEN, &*section.token)];
        settings.extend(known.map(|(_, setting)| *setting));
        if section.compression == Compression::Lz4 {
            settings.push(("decompress", "1"));
        }
        let body = section.body.clone();
        route.insert(&sql, &settings, body, patience).await
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

const TOKEN: &str = "insert_deduplication_token";

/// Sent with every INSERT, whatever the store's defaults are: they differ between versions. A store that does not
/// know one goes without it.
const SETTINGS: [(&str, &str); 4] = [
    ("async_insert", "0"),
    ("insert_deduplicate", "1"),
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    ("max_insert_threads", "1"),
];

const GREET_PAUSE: Duration = Duration::from_millis(500);
