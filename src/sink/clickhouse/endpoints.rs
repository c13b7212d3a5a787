//! Several endpoints: which one takes a section, which ones are well, and when to try another.
//!
//! A section belongs to one shard, chosen by its token, for as long as it lives: a shard knows only its own tokens, so a
//! repetition elsewhere would double the rows. Inside a shard it may go to any replica, because replicas share one
//! deduplication log; endpoints that do not are left alone.

use super::Connection;
use super::connection::NO_DATABASE;
use super::tls::{Material, explain};
use super::verdict::{exception_code, status};
use super::wire::{Patience, Wire};
use crate::batch::Table;
use crate::sink::{EndpointState, Error, Stats};
use bytes::Bytes;
use clickhouse::Client;
use clickhouse::error::Error as StoreError;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// All endpoints of a connection, by shard.
#[derive(Debug)]
pub struct Endpoints {
    connection: Connection,
    shards: Vec<Vec<Endpoint>>,
    material: watch::Sender<Material>,
    file_fault: watch::Sender<Option<String>>,
    /// Whose turn it is when no endpoint of a shard is known to be well.
    turn: AtomicUsize,
    stats: Arc<Stats>,
}

#[derive(Debug)]
struct Endpoint {
    url: String,
    state: watch::Sender<State>,
    nudge: Notify,
}

#[derive(Clone, Debug)]
struct State {
    client: Client,
    wire: Wire,
    phase: Phase,
    /// Questions in a row that it did not answer.
    failures: u32,
    /// INSERTs in a row that did not get through for a reason of its own, or of the way there, and until when it takes none.
    refusals: u32,
    aside_until: Option<Instant>,
    holds: Holds,
    why: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Unknown,
    Up,
    Down,
}

/// What an endpoint has as `flows`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Holds {
    Unknown,
    /// A table whose deduplication log lies in Keeper.
    Replicated,
    /// A table with a log of its own, known by server and table.
    Own(String),
}

/// Where one attempt to deliver a section goes.
#[derive(Debug)]
pub struct Route<'a> {
    endpoints: &'a Endpoints,
    endpoint: &'a Endpoint,
    client: Client,
    wire: Wire,
    table: String,
}

impl Endpoints {
    /// The endpoints of a connection; reads its files, connects only when used.
    pub fn new(connection: &Connection, stats: Arc<Stats>) -> Result<Arc<Self>, Error> {
        // an address with a password in it would be logged
        if let Some(faults) = connection.faults().into_iter().next() {
            return Err(Error::Unreachable { faults });
        }
        let material = connection.material()?;
        let base = material.client(connection)?;
        let wire = material.wire(connection)?;
        let endpoint = |url: String| {
            let state = State {
                client: connection.client_of(&base, &url),
                wire: wire.clone(),
                phase: Phase::Unknown,
                failures: 0,
                refusals: 0,
                aside_until: None,
                holds: Holds::Unknown,
                why: None,
            };
            Endpoint {
                url,
                state: watch::Sender::new(state),
                nudge: Notify::new(),
            }
        };
        let topology = connection.topology().into_iter();
        let endpoints = Endpoints {
            connection: connection.clone(),
            shards: topology
                .map(|s| s.into_iter().map(endpoint).collect())
                .collect(),
            material: watch::Sender::new(material),
            file_fault: watch::Sender::new(None),
            turn: AtomicUsize::new(0),
            stats,
        };
        endpoints.publish();
        Ok(Arc::new(endpoints))
    }

    /// The endpoint that takes a section of `table` now. The shard depends on the token alone; tables whose rows
    /// replace each other live in the first shard, where FINAL sees all versions of a row.
    pub fn route(&self, table: Table, token: &str) -> Route<'_> {
        let shard = match table.is_versioned() {
            true => 0,
            false => shard_of(token, self.shards.len()),
        };
        let shard = &self.shards[shard];
        let now = Instant::now();
        let usable = || {
            let all = shard.iter().enumerate();
            all.filter(|(n, _)| shares_log(shard, *n)).map(|(_, e)| e)
        };
        let well = usable().find(|e| e.state.borrow().is_well(now));
        let endpoint = well.unwrap_or_else(|| {
            // none is known to be well: each gets its try
            let n = self.turn.fetch_add(1, Relaxed) % usable().count().max(1);
            usable().nth(n).unwrap_or(&shard[0])
        });
        let (client, wire) = {
            let state = endpoint.state.borrow();
            (state.client.clone(), state.wire.clone())
        };
        let suffix = self.connection.cluster.as_ref().map_or("", |_| "_local");
        Route {
            endpoints: self,
            endpoint,
            client,
            wire,
            table: format!("{}{suffix}", table.name()),
        }
    }

    /// The endpoint that takes whatever goes into `table`; `None` where that depends on the section.
    pub fn only_route(&self, table: Table) -> Option<Route<'_>> {
        (self.shards.len() == 1).then(|| self.route(table, ""))
    }

    /// Looks after all endpoints until the runtime ends: asks each whether it is well, and reads changed files again.
    pub async fn watch(self: Arc<Self>) {
        for (s, shard) in self.shards.iter().enumerate() {
            for n in 0..shard.len() {
                tokio::spawn(self.clone().watch_one(s, n));
            }
        }
    }

    /// Asks every endpoint once. The states, in the order of the configuration.
    pub async fn survey(&self) -> Vec<EndpointState> {
        for shard in &self.shards {
            for endpoint in shard {
                // the caller tells
                self.look(endpoint).await;
            }
        }
        self.states()
    }

    async fn watch_one(self: Arc<Self>, shard: usize, n: usize) {
        let endpoint = &self.shards[shard][n];
        loop {
            self.refresh();
            self.check(endpoint).await;
            let failures = endpoint.state.borrow().failures;
            let pause = tokio::time::sleep(self.pause(failures));
            if failures > 0 {
                pause.await;
                continue;
            }
            tokio::select! {
                () = pause => {}
                () = endpoint.nudge.notified() => {}
            }
        }
    }

    /// Looks at an endpoint, and logs when it has gone.
    async fn check(&self, endpoint: &Endpoint) {
        if let Some(why) = self.look(endpoint).await {
            tracing::warn!(endpoint = endpoint.url, "endpoint is away: {why}");
        }
    }

    /// Whether an endpoint answers, and what it holds. The answer is why it has gone, if it has just now.
    async fn look(&self, endpoint: &Endpoint) -> Option<String> {
        let client = endpoint.state.borrow().client.clone();
        let patience = Duration::from_secs(self.connection.connect_timeout_s);
        let asked = tokio::time::timeout(patience, self.ask(&client)).await;
        let mut gone = None;
        match asked.unwrap_or(Err(StoreError::TimedOut)) {
            Ok(holds) => answers(endpoint, holds),
            Err(e) => {
                let why = explain(&e, &self.connection);
                gone = self.down(endpoint, &why).then_some(why);
            }
        }
        self.publish();
        gone
    }

    async fn ask(&self, client: &Client) -> Result<Option<Holds>, StoreError> {
        super::connection::ask(client).await?;
        if self.shards.iter().all(|s| s.len() == 1) {
            return Ok(None);
        }
        let table = match &self.connection.cluster {
            Some(_) => "flows_local",
            None => "flows",
        };
        let sql = format!(
            "SELECT engine, concat(toString(serverUUID()), '/', toString(uuid)) AS place FROM system.tables
            WHERE database = currentDatabase() AND name = '{table}'"
        );
        let row: Option<(String, String)> = match client.query(&sql).fetch_optional().await {
            // no such database yet
            Err(StoreError::BadResponse(said)) if exception_code(&said) == Some(NO_DATABASE) => {
                None
            }
            answer => answer?,
        };
        Ok(row.map(|(engine, place)| {
            match engine.starts_with("Replicated") || engine.starts_with("Shared") {
                true => Holds::Replicated,
                false => Holds::Own(place),
            }
        }))
    }

    /// Makes clients anew when a file of the connection holds something else than before.
    fn refresh(&self) {
        let fresh = self.connection.material().and_then(|m| {
            let changed = *self.material.borrow() != m;
            let both = || Ok((m.client(&self.connection)?, m.wire(&self.connection)?));
            let both = changed.then(both).transpose()?;
            Ok(both.map(|b| (m, b)))
        });
        match fresh {
            Ok(Some((material, (base, wire)))) => {
                tracing::info!("password or certificates have changed: connecting anew");
                self.material.send_replace(material);
                for endpoint in self.shards.iter().flatten() {
                    let client = self.connection.client_of(&base, &endpoint.url);
                    let state = &endpoint.state;
                    state.send_modify(|s| (s.client, s.wire) = (client, wire.clone()));
                }
                self.file_fault.send_replace(None);
            }
            Ok(None) => drop(self.file_fault.send_replace(None)),
            Err(error) => {
                let text = Some(error.to_string());
                if self.file_fault.send_replace(text.clone()) != text {
                    tracing::warn!("{error}; going on with what was read before");
                }
            }
        }
    }

    /// Notes that an endpoint does not answer; whether it did before, or was not asked yet.
    fn down(&self, endpoint: &Endpoint, why: &str) -> bool {
        let mut gone = false;
        endpoint.state.send_modify(|s| {
            gone = s.phase != Phase::Down;
            s.phase = Phase::Down;
            s.failures = s.failures.saturating_add(1);
            // once it answers again it is tried at once
            (s.refusals, s.aside_until) = (0, None);
            s.why = Some(why.to_owned());
        });
        gone
    }

    /// Pause before the next question: the interval while all is well, else short at first, and doubling.
    fn pause(&self, failures: u32) -> Duration {
        let interval = Duration::from_secs(self.connection.health_interval_s);
        match failures {
            0 => interval,
            n => {
                let most = Duration::from_secs(self.connection.health_backoff_max_s);
                (FIRST_PAUSE * (1 << (n - 1).min(16))).min(most)
            }
        }
    }

    fn states(&self) -> Vec<EndpointState> {
        let shards = self.shards.iter().enumerate();
        let all = shards.flat_map(|(number, shard)| {
            shard.iter().enumerate().map(move |(n, endpoint)| {
                let s = endpoint.state.borrow().clone();
                let refused = s.holds != Holds::Unknown && !shares_log(shard, n);
                let state = match s.phase {
                    Phase::Unknown => "unknown",
                    Phase::Down => "down",
                    Phase::Up if refused => "refused",
                    Phase::Up if s.refusals > 0 => "aside",
                    Phase::Up => "up",
                };
                let why = if refused {
                    Some(NOT_SHARED.into())
                } else {
                    s.why
                };
                EndpointState {
                    shard: number as u32 + 1,
                    url: endpoint.url.clone(),
                    state,
                    why,
                }
            })
        });
        all.collect()
    }

    fn publish(&self) {
        let before = self.stats.set_endpoints(self.states());
        for (new, old) in self.states().iter().zip(before) {
            if new.state == "refused" && old.state != "refused" {
                tracing::warn!(endpoint = new.url, "no rows go there: {NOT_SHARED}");
            }
        }
    }
}

/// Notes that an endpoint answers, and what it holds, if it said so.
fn answers(endpoint: &Endpoint, holds: Option<Holds>) {
    endpoint.state.send_modify(|s| {
        if s.phase == Phase::Down {
            tracing::info!(endpoint = endpoint.url, "endpoint answers again");
        }
        s.phase = Phase::Up;
        s.holds = holds.unwrap_or(s.holds.clone());
        s.failures = 0;
        // that it answers mends nothing of what made it refuse rows: an INSERT that it takes does
        if s.refusals == 0 {
            s.why = None;
        }
    });
}

impl Route<'_> {
    /// Sends an INSERT, with the quorum that is wanted.
    pub(super) async fn insert(
        &self,
        sql: &str,
        settings: &[(&str, &str)],
        body: Bytes,
        patience: Patience,
    ) -> Result<(), StoreError> {
        let mut all = settings.to_vec();
        if let Some(quorum) = &self.endpoints.connection.insert_quorum {
            all.extend([
                ("insert_quorum", &**quorum),
                ("insert_quorum_parallel", "1"),
            ]);
        }
        let wire = &self.wire;
        wire.insert(self.url(), sql, &all, body, patience).await
    }

    /// The client of the endpoint.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The table to write to and to ask, there.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Address of the endpoint.
    pub fn url(&self) -> &str {
        &self.endpoint.url
    }

    /// Tells that the endpoint took the section.
    pub fn succeeded(&self) {
        let spotless = {
            let s = self.endpoint.state.borrow();
            s.phase == Phase::Up && s.failures == 0 && s.refusals == 0
        };
        if !spotless {
            self.endpoint.state.send_modify(|s| {
                (s.phase, s.failures, s.refusals) = (Phase::Up, 0, 0);
                (s.aside_until, s.why) = (None, None);
            });
            self.endpoints.publish();
        }
    }

    /// Tells that the endpoint failed, so that the next attempt may go to another replica. What was wrong, with the
    /// cure where there is one.
    pub fn failed(&self, error: &StoreError) -> String {
        let text = explain(error, &self.endpoints.connection);
        if blame(error) == Blame::Rows {
            return text;
        }
        // whether it is away altogether the next question tells
        self.endpoint.state.send_modify(|s| {
            s.refusals = s.refusals.saturating_add(1);
            s.aside_until = Some(Instant::now() + self.endpoints.pause(s.refusals));
            s.why = Some(text.clone());
        });
        self.endpoint.nudge.notify_one();
        self.endpoints.publish();
        text
    }
}

impl State {
    fn is_well(&self, now: Instant) -> bool {
        self.phase != Phase::Down && self.aside_until.is_none_or(|t| now >= t)
    }
}

/// Whose fault a failed INSERT is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Blame {
    /// The rows', or every replica would say the same.
    Rows,
    /// This replica's, or that of the way there: another one may take the section.
    Endpoint,
}

fn blame(error: &StoreError) -> Blame {
    match error {
        StoreError::Network(_) | StoreError::TimedOut => Blame::Endpoint,
        StoreError::BadResponse(said) if is_authentication(said) => Blame::Endpoint,
        StoreError::BadResponse(said) => match exception_code(said) {
            Some(code) if !REPLICAS_OWN.contains(&code) => Blame::Rows,
            // no word of the store's: a proxy found nobody behind it, lets nobody through, or has limits of its own
            _ => Blame::Endpoint,
        },
        _ => Blame::Rows,
    }
}

/// Whether the store says that it does not know user or password.
pub(super) fn is_authentication(said: &str) -> bool {
    match exception_code(said) {
        Some(code) => [516, 194, 193].contains(&code),
        None => status(said) == Some(401),
    }
}

/// Whether a replica takes part in the deduplication log of its shard. Without knowing better only the first one does.
fn shares_log(shard: &[Endpoint], n: usize) -> bool {
    if shard.len() == 1 {
        return true;
    }
    let holds = |n: usize| shard[n].state.borrow().holds.clone();
    let replicated = (0..shard.len()).any(|n| holds(n) == Holds::Replicated);
    match holds(n) {
        Holds::Replicated => true,
        Holds::Own(_) if replicated => false,
        own @ Holds::Own(_) => n == 0 || own == holds(0),
        Holds::Unknown => n == 0 && !replicated,
    }
}

/// The shard of a token: the same for every attempt, whatever is well.
fn shard_of(token: &str, shards: usize) -> usize {
    let hash = cityhash_rs::cityhash_102_128(token.as_bytes());
    (hash % shards as u128) as usize
}

const NOT_SHARED: &str = "its table is not a replica of the first endpoint's (no Replicated engine, another server), so \
    it would not know which rows are there already: use the cluster form of the schema (clickhouse.cluster)";

/// No such table or database, memory, read-only by right or by a lost Keeper session, disk, Keeper, replicas, quorum, too many queries.
const REPLICAS_OWN: [u32; 13] = [
    60,
    NO_DATABASE,
    164,
    202,
    225,
    241,
    242,
    243,
    279,
    285,
    286,
    319,
    999,
];

const FIRST_PAUSE: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(shards: &[&[&str]], quorum: Option<&str>) -> Arc<Endpoints> {
        let shards = shards
            .iter()
            .map(|s| s.iter().map(|u| format!("http://{u}")).collect());
        let connection = Connection {
            shards: shards.collect(),
            cluster: Some("main".into()),
            insert_quorum: quorum.map(str::to_owned),
            ..Default::default()
        };
        Endpoints::new(&connection, Arc::default()).expect("made")
    }

    fn holds(e: &Endpoints, n: usize, holds: Holds) {
        e.shards[0][n].state.send_modify(|s| {
            s.holds = holds;
            s.phase = Phase::Up;
        });
    }

    fn url(e: &Endpoints, token: &str) -> String {
        e.route(Table::Flows, token).url().to_owned()
    }

    #[test]
    fn replicas_take_over_and_the_first_is_preferred() {
        let e = endpoints(&[&["a", "b", "c"]], None);
        assert_eq!(url(&e, "t"), "http://a", "nothing else is known yet");
        (0..3).for_each(|n| holds(&e, n, Holds::Replicated));
        let route = e.route(Table::Flows, "t");
        assert_eq!(route.table(), "flows_local");
        route.failed(&StoreError::TimedOut);
        assert_eq!(url(&e, "t"), "http://b");
        let readonly = StoreError::BadResponse("Code: 242. DB::Exception: read only".into());
        e.route(Table::Flows, "t").failed(&readonly);
        assert_eq!(url(&e, "t"), "http://c");
        let refused = StoreError::BadResponse("Code: 27. DB::Exception: rows".into());
        e.route(Table::Flows, "t").failed(&refused);
        assert_eq!(url(&e, "t"), "http://c", "that was about the rows");
        route.succeeded();
        assert_eq!(url(&e, "t"), "http://a");
        let states: Vec<_> = e.states().iter().map(|s| s.state).collect();
        assert_eq!(states, ["up", "aside", "up"]);
    }

    /// A proxy that lets questions through and no INSERT.
    #[test]
    fn who_answers_and_takes_no_rows_stands_aside() {
        let e = endpoints(&[&["a", "b"]], None);
        (0..2).for_each(|n| holds(&e, n, Holds::Replicated));
        for said in ["502 Bad Gateway", "403 Forbidden", "413 Payload Too Large"] {
            let route = e.route(Table::Flows, "t");
            assert_eq!(route.url(), "http://a");
            for _ in 0..9 {
                route.failed(&StoreError::BadResponse(said.into()));
                answers(&e.shards[0][0], None);
                assert_eq!(url(&e, "t"), "http://b", "{said}");
                assert_eq!(e.states()[0].state, "aside");
            }
            route.succeeded();
        }
        // one that is away is tried at once when it is back
        e.route(Table::Flows, "t").failed(&StoreError::TimedOut);
        e.down(&e.shards[0][0], "no answer");
        assert_eq!(e.states()[0].state, "down");
        answers(&e.shards[0][0], None);
        assert_eq!(url(&e, "t"), "http://a");
    }

    #[test]
    fn endpoints_that_share_no_log_get_nothing() {
        let e = endpoints(&[&["a", "b", "c"]], None);
        holds(&e, 1, Holds::Own("2/x".into()));
        holds(&e, 2, Holds::Own("1/x".into()));
        e.route(Table::Flows, "t").failed(&StoreError::TimedOut);
        assert_eq!(
            url(&e, "t"),
            "http://a",
            "what the first holds is not known"
        );
        holds(&e, 0, Holds::Own("1/x".into()));
        e.route(Table::Flows, "t").failed(&StoreError::TimedOut);
        assert_eq!(url(&e, "t"), "http://c", "another way to the same server");
        assert_eq!(e.states()[1].state, "refused");
        holds(&e, 1, Holds::Replicated);
        assert_eq!(url(&e, "t"), "http://b");
        assert_eq!(e.states()[2].state, "refused");
    }

    #[test]
    fn a_token_never_leaves_its_shard() {
        let e = endpoints(&[&["a1", "a2"], &["b1"], &["c1"]], None);
        let tokens = (0..300).map(|n| format!("collector/start/{n}/flows/20601"));
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        for token in tokens {
            let shard = |e: &Endpoints| url(e, &token).as_bytes()[7];
            let before = shard(&e);
            *seen.entry(url(&e, &token)).or_default() += 1;
            e.route(Table::Flows, &token).failed(&StoreError::TimedOut);
            assert_eq!(shard(&e), before);
            assert_eq!(
                e.route(Table::Interfaces, &token).url().as_bytes()[7],
                b'a',
                "FINAL has to see all versions"
            );
            e.route(Table::Flows, &token).succeeded();
        }
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(seen.values().all(|n| *n > 60), "{seen:?}");
    }
}
