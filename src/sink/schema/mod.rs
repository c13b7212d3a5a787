//! The tables: ordered, idempotent migrations, embedded in the program, and what a store has of them.

mod form;
pub mod incidents;
mod reconciliation;
mod statements;
mod uploads;

use super::Error;
use clickhouse::Client;
use serde::Deserialize;
use std::time::{Duration, Instant};

pub use form::Form;
pub use reconciliation::{reconciliation, reconciliation_summary};
pub use statements::statements;
pub use uploads::{SlowUploads, slow_uploads};

/// One file of `schemas/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migration {
    /// From 1, without gaps.
    pub version: u32,
    /// File name.
    pub name: &'static str,
    /// What it does: statements that can be run again.
    pub sql: &'static str,
}

macro_rules! migrations {
    ($($version:literal, $name:literal;)*) => {
        /// All migrations, in order. A released one never changes.
        pub const MIGRATIONS: &[Migration] = &[$(Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../../schemas/", $name)),
        },)*];
    };
}

migrations! {
    1, "0001_flows.sql";
    2, "0002_usage.sql";
    3, "0003_inventory.sql";
    4, "0004_ledger.sql";
    5, "0005_views.sql";
    6, "0006_names.sql";
    7, "0007_vrfs.sql";
    8, "0008_reconciliation.sql";
    9, "0009_talkers.sql";
    10, "0010_sides.sql";
    11, "0011_variance.sql";
    12, "0012_once.sql";
    13, "0013_metered.sql";
    14, "0014_counter_stands_still.sql";
    15, "0015_unknown_share.sql";
    16, "0016_quality.sql";
    17, "0017_detections.sql";
    18, "0018_codec.sql";
    19, "0019_flow_detections.sql";
    20, "0020_chains.sql";
    21, "0021_steps_gone.sql";
    22, "0022_replayed.sql";
    23, "0023_verdicts.sql";
}

impl Migration {
    /// What the store remembers of an applied migration: CityHash 1.0.2 of the file.
    pub fn checksum(&self) -> String {
        format!(
            "{:032x}",
            cityhash_rs::cityhash_102_128(self.sql.as_bytes())
        )
    }
}

/// Everything for one node, as one script for `database`.
pub fn print(database: &str) -> String {
    let all = MIGRATIONS.iter().map(|m| {
        let (name, sql, record) = (m.name, m.sql, record(m, &Form::Single));
        format!("\n-- {name}\n\n{sql}\n{record};\n")
    });
    let head = Form::Single.database(database);
    format!(
        "{head};\nUSE {database};\n\n{BOOKKEEPING}{}",
        all.collect::<String>()
    )
}

/// Everything in the form for a cluster, as one script for `database`, to be run on one node.
///
/// # Errors
/// When a statement has no such form.
pub fn print_cluster(database: &str, cluster: &str) -> Result<String, Error> {
    let form = Form::Cluster(cluster.to_owned());
    let mut script = format!("{};\nUSE {database};\n", form.database(database));
    let mut add = |name: &str, sql: &str| -> Result<(), Error> {
        script += &format!("\n-- {name}\n");
        for statement in statements(sql) {
            for rendered in form.render(statement, database)? {
                script += &format!("\n{rendered};\n");
            }
        }
        Ok(())
    };
    add("bookkeeping", BOOKKEEPING)?;
    for m in MIGRATIONS {
        add(m.name, m.sql)?;
    }
    // a store that lacks a table must not say that it has it
    script += "\n-- what was applied\n\n";
    for m in MIGRATIONS {
        script += &format!("{};\n", record(m, &form));
    }
    Ok(script)
}

/// Version of the schema that this program writes for: its newest migration.
pub const VERSION: u32 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// A migration and the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The migration's number.
    pub version: u32,
    /// Its file; empty where this program does not know it.
    pub name: &'static str,
    /// How the store stands to it.
    pub state: State,
    /// When it was applied, UTC.
    pub applied_at: Option<String>,
}

/// How a store stands to a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The store has it.
    Applied,
    /// The store does not have it yet.
    Pending,
    /// The store has it with other contents.
    Changed,
    /// The store has it, and this program is too old to know it.
    Unknown,
}

/// What a store has. `client` points at the database; a database or table that does not exist has nothing.
pub async fn status(client: &Client) -> Result<Vec<Line>, Error> {
    let applied = applied(client).await?;
    let known = MIGRATIONS.iter().map(|m| {
        let row = applied.iter().find(|a| a.version == m.version);
        Line {
            version: m.version,
            name: m.name,
            state: match row {
                None => State::Pending,
                Some(a) if a.checksum == m.checksum() => State::Applied,
                Some(_) => State::Changed,
            },
            applied_at: row.map(|a| a.applied_at.clone()),
        }
    });
    let newer = applied.iter().filter(|a| a.version > newest());
    let unknown = newer.map(|a| Line {
        version: a.version,
        name: "",
        state: State::Unknown,
        applied_at: Some(a.applied_at.clone()),
    });
    Ok(known.chain(unknown).collect())
}

/// Whether rows can be written to one node: every migration is applied as this program knows it, and none is newer.
pub async fn check(client: &Client) -> Result<(), Error> {
    check_as(client, &Form::Single).await
}

/// As [`check`], for a store of this form.
pub async fn check_as(client: &Client, form: &Form) -> Result<(), Error> {
    fits(client, form).await?;
    let lines = status(client).await?;
    refuse(&lines)?;
    match lines.iter().find(|l| l.state == State::Pending) {
        Some(l) => Err(Error::SchemaPending { name: l.name }),
        None => Ok(()),
    }
}

/// Applies to one node what is pending, in order, and returns what that was. Safe to run from several processes at
/// once: one waits for the other, and every statement can be repeated.
pub async fn apply(client: &Client) -> Result<Vec<&'static Migration>, Error> {
    apply_as(client, &Form::Single).await
}

/// As [`apply`], in this form; for a cluster from any of its nodes.
pub async fn apply_as(client: &Client, form: &Form) -> Result<Vec<&'static Migration>, Error> {
    let database = client.database().unwrap_or("default").to_owned();
    // a store that is refused is not touched either
    refuse(&status(client).await?)?;
    // the only statement that must not name the database as its place to run
    let outside = client.clone().with_database("default");
    run(&outside, &form.database(&database)).await?;
    fits(client, form).await?;
    run_all(client, BOOKKEEPING, form).await?;
    let lines = status(client).await?;
    let pending = lines.iter().any(|l| l.state == State::Pending);
    if !pending && matches!(form, Form::Single) {
        // a process that is killed at its start must not make the next one wait for its lock
        return Ok(Vec::new());
    }
    let lock = Lock::acquire(client, form).await?;
    let done = apply_pending(client, form).await;
    lock.release(client).await?;
    done
}

/// Whether what is there has this form, if anything is there.
async fn fits(client: &Client, form: &Form) -> Result<(), Error> {
    let sql =
        "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = 'flows'";
    let engine: Option<String> = match client.query(sql).fetch_optional().await {
        Err(clickhouse::error::Error::BadResponse(e))
            if NOTHING_THERE.iter().any(|c| e.starts_with(c)) =>
        {
            None
        }
        answer => answer.map_err(|e| Error::statement(sql, e))?,
    };
    let cure = match (engine.as_deref(), form) {
        (Some("Distributed"), Form::Single) => {
            "the store has the form for a cluster: set clickhouse.cluster to its name"
        }
        (Some(e), Form::Cluster(_)) if e != "Distributed" => {
            "the store has the form for one node, which clickhouse.cluster cannot use: name another clickhouse.database"
        }
        _ => return Ok(()),
    };
    let engine = engine.unwrap_or_default();
    Err(Error::SchemaForm { engine, cure })
}

async fn run_all(client: &Client, sql: &str, form: &Form) -> Result<(), Error> {
    let database = client.database().unwrap_or("default");
    for statement in statements(sql) {
        for rendered in form.render(statement, database)? {
            run(client, &rendered).await?;
        }
    }
    Ok(())
}

async fn apply_pending(client: &Client, form: &Form) -> Result<Vec<&'static Migration>, Error> {
    let lines = status(client).await?;
    refuse(&lines)?;
    let mut done = Vec::new();
    for m in MIGRATIONS {
        let pending = |l: &&Line| l.version == m.version && l.state == State::Pending;
        if lines.iter().find(pending).is_some() {
            run_all(client, m.sql, form).await?;
            run(client, &record(m, form)).await?;
            tracing::info!(migration = m.name, "schema migration applied");
            done.push(m);
        }
    }
    Ok(done)
}

/// The states that no migration of ours can mend.
fn refuse(lines: &[Line]) -> Result<(), Error> {
    for l in lines {
        match l.state {
            State::Unknown => {
                return Err(Error::SchemaNewer {
                    store: lines.iter().map(|l| l.version).max().unwrap_or(0),
                    ours: newest(),
                });
            }
            State::Changed => return Err(Error::SchemaChanged { name: l.name }),
            State::Applied | State::Pending => {}
        }
    }
    Ok(())
}

fn newest() -> u32 {
    MIGRATIONS.last().map_or(0, |m| m.version)
}

fn record(m: &Migration, form: &Form) -> String {
    format!(
        "INSERT INTO {} (version, name, checksum) VALUES ({}, '{}', '{}')",
        form.target("schema_migrations"),
        m.version,
        m.name,
        m.checksum()
    )
}

#[derive(clickhouse::Row, Deserialize)]
struct Applied {
    version: u32,
    checksum: String,
    applied_at: String,
}

async fn applied(client: &Client) -> Result<Vec<Applied>, Error> {
    let sql = "SELECT version, checksum, toString(max(applied_at)) AS applied_at
        FROM (SELECT version, argMax(checksum, m.applied_at) AS checksum, max(m.applied_at) AS applied_at
            FROM schema_migrations AS m GROUP BY version)
        GROUP BY version, checksum ORDER BY version";
    match client.query(sql).fetch_all().await {
        Ok(rows) => Ok(rows),
        Err(clickhouse::error::Error::BadResponse(e))
            if NOTHING_THERE.iter().any(|c| e.starts_with(c)) =>
        {
            Ok(Vec::new())
        }
        Err(e) => Err(Error::statement(sql, e)),
    }
}

async fn run(client: &Client, statement: &str) -> Result<(), Error> {
    // a question mark would be a parameter to the client
    let sql = statement.replace('?', "??");
    let query = client.query(&sql).with_setting("async_insert", "0");
    query
        .execute()
        .await
        .map_err(|e| Error::statement(statement, e))
}

/// A row in `schema_lock` that says who applies migrations. It expires, so that a killed process blocks nobody.
struct Lock {
    holder: String,
    table: String,
    /// Says now and then that it is still held.
    renewal: Option<tokio::task::JoinHandle<()>>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(task) = &self.renewal {
            task.abort();
        }
    }
}

impl Lock {
    async fn acquire(client: &Client, form: &Form) -> Result<Self, Error> {
        let mut lock = Lock {
            holder: uuid::Uuid::new_v4().to_string(),
            table: form.target("schema_lock"),
            renewal: None,
        };
        lock.write(client, 0).await?;
        // who came first is who wrote first; whoever waits goes on saying so, and keeps its place
        let first = format!(
            "SELECT holder FROM schema_lock GROUP BY holder
            HAVING max(released) = 0 AND max(at) > now64(3) - INTERVAL {LOCK_S} SECOND ORDER BY min(at), holder LIMIT 1"
        );
        let (began, mut said) = (Instant::now(), Instant::now());
        // a row of somebody earlier may be on its way
        tokio::time::sleep(SETTLE).await;
        while began.elapsed() < Duration::from_secs(2 * LOCK_S) {
            let holder: Option<String> = client
                .query(&first)
                .fetch_optional()
                .await
                .map_err(|e| Error::statement(&first, e))?;
            if holder.is_some_and(|h| h == lock.holder) {
                lock.renew(client.clone());
                return Ok(lock);
            }
            if said.elapsed() > RENEW {
                lock.write(client, 0).await?;
                said = Instant::now();
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        lock.release(client).await?;
        Err(Error::SchemaLocked)
    }

    /// A migration may take longer than a lock is valid.
    fn renew(&mut self, client: Client) {
        let sql = self.row(0);
        self.renewal = Some(tokio::spawn(async move {
            loop {
                tokio::time::sleep(RENEW).await;
                if let Err(error) = run(&client, &sql).await {
                    tracing::warn!("cannot renew the lock of the migrations: {error}");
                }
            }
        }));
    }

    async fn release(self, client: &Client) -> Result<(), Error> {
        self.write(client, 1).await
    }

    async fn write(&self, client: &Client, released: u8) -> Result<(), Error> {
        run(client, &self.row(released)).await
    }

    fn row(&self, released: u8) -> String {
        let (table, holder) = (&self.table, &self.holder);
        format!("INSERT INTO {table} (holder, released) VALUES ('{holder}', {released})")
    }
}

/// Seconds after which the lock of a process that vanished is void.
const LOCK_S: u64 = 60;

/// Time after which whoever holds it, or waits for it, says so again.
const RENEW: Duration = Duration::from_secs(LOCK_S / 4);

/// Longest time that a row takes from its time to where others see it.
const SETTLE: Duration = Duration::from_millis(500);

/// Unknown table, unknown database.
const NOTHING_THERE: [&str; 2] = ["Code: 60.", "Code: 81."];

/// What the migrations themselves rest on.
const BOOKKEEPING: &str = "-- Which migrations were applied.
CREATE TABLE IF NOT EXISTS schema_migrations
(
    version UInt32,
    name String,
    checksum String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY version;

-- Who applies migrations.
CREATE TABLE IF NOT EXISTS schema_lock
(
    holder String,
    released UInt8,
    at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = MergeTree
ORDER BY at
TTL toDateTime(at) + INTERVAL 1 DAY;
";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Table;
    use crate::sink::native;
    use std::collections::BTreeMap;

    /// Columns of `CREATE TABLE name` and `ALTER TABLE name` in the embedded files, as (name, type): one a line, without
    /// aliases and indexes.
    fn declared(table: &str) -> BTreeMap<&'static str, &'static str> {
        let heads = ["CREATE TABLE IF NOT EXISTS", "ALTER TABLE"].map(|h| format!("{h} {table}\n"));
        let all = MIGRATIONS.iter().flat_map(|m| statements(m.sql));
        let mine = all.filter(|s| heads.iter().any(|h| s.starts_with(h)));
        let lines = mine
            .flat_map(|s| s.lines())
            .filter_map(|l| l.strip_prefix("    "));
        let lines = lines.map(|l| l.strip_prefix("ADD COLUMN IF NOT EXISTS ").unwrap_or(l));
        let columns = lines.filter_map(|l| l.split_once(" CODEC(")?.0.split_once(' '));
        // what older rows get is not of the type
        let kind = |k: &'static str| k.split_once(" DEFAULT ").map_or(k, |(k, _)| k);
        columns.map(|(name, k)| (name, kind(k))).collect()
    }

    /// A column that moves is as wide as its aggregate.
    fn plain(kind: &str) -> &str {
        let inner = kind.strip_prefix("SimpleAggregateFunction(");
        inner
            .and_then(|k| k.split_once(", "))
            .map_or(kind, |(_, k)| k.trim_end_matches(')'))
    }

    #[test]
    fn row_definitions_and_files_agree() {
        for &table in Table::ALL {
            let declared = declared(table.name());
            let written: BTreeMap<_, _> = native::columns(table).into_iter().collect();
            let t = table.name();
            for (name, kind) in &written {
                let found = declared.get(name).map(|k| plain(k));
                assert_eq!(
                    found,
                    Some(*kind),
                    "{t}.{name} as {kind} is missing in schemas/NNNN_*.sql"
                );
            }
            for name in declared.keys() {
                assert!(
                    written.contains_key(name),
                    "{t}.{name} is missing in src/sink/native/"
                );
            }
        }
    }

    #[test]
    fn migrations_are_numbered_and_can_be_repeated() {
        for (i, m) in MIGRATIONS.iter().enumerate() {
            assert_eq!(m.version as usize, i + 1);
            assert!(
                m.name.starts_with(&format!("{:04}_", m.version)),
                "{}",
                m.name
            );
            let all = statements(m.sql);
            for (i, s) in all.iter().enumerate() {
                // schemas/0011_variance.sql says why
                if let Some((alter, _)) = s.split_once(" MODIFY QUERY") {
                    let name = alter.trim_start_matches("ALTER TABLE ");
                    let around = [&all[i - 1..i], &all[i + 1..i + 3]].concat();
                    assert_eq!(
                        around,
                        [
                            format!("RENAME TABLE IF EXISTS {name}_aside TO {name}"),
                            format!("RENAME TABLE {name} TO {name}_aside"),
                            format!("RENAME TABLE {name}_aside TO {name}"),
                        ]
                    );
                }
                let again = [
                    " IF NOT EXISTS ",
                    "CREATE OR REPLACE VIEW ",
                    " MODIFY QUERY",
                    "RENAME TABLE ",
                ];
                assert!(
                    again.iter().any(|a| s.contains(a)),
                    "{}: cannot run twice: {s}",
                    m.name
                );
            }
        }
        let files =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/schemas")).expect("the files");
        assert_eq!(
            files.count(),
            MIGRATIONS.len(),
            "a file in schemas/ is not embedded"
        );
    }

    #[test]
    fn every_token_fed_table_has_its_windows() {
        for t in Table::ALL.iter().map(|t| t.name()).chain([
            "usage_5m",
            "usage_1h",
            "quality_1m",
            "quality_5m",
            "quality_1h",
            "detections",
        ]) {
            let head = format!("CREATE TABLE IF NOT EXISTS {t}\n");
            let mut all = MIGRATIONS.iter().flat_map(|m| statements(m.sql));
            let create = all.find(|s| s.starts_with(&head)).unwrap_or("");
            assert!(
                create.contains("non_replicated_deduplication_window = 10000"),
                "{t}"
            );
            assert!(
                create.contains("replicated_deduplication_window_seconds = 604800"),
                "{t}"
            );
        }
    }

    #[test]
    fn newer_and_changed_schemas_are_refused() {
        let line = |version, state| Line {
            version,
            name: "x.sql",
            state,
            applied_at: None,
        };
        assert!(refuse(&[line(1, State::Applied), line(2, State::Pending)]).is_ok());
        let newer = refuse(&[line(1, State::Applied), line(99, State::Unknown)]);
        assert!(newer.is_err_and(|e| e.to_string().contains("version 99")));
        assert!(refuse(&[line(1, State::Changed)]).is_err());
    }

    #[test]
    fn the_printed_script_has_everything() {
        let script = print("flowhouse");
        let all = statements(&script);
        assert!(all[0].starts_with("CREATE DATABASE"));
        let creates = all.iter().filter(|s| s.contains("CREATE TABLE")).count();
        // those of quality are all fed from flows
        let rollups = 2 * ["usage", "talkers", "network_usage"].len() + 3;
        // the newest version of each incident, and what people said of it
        let life = 2;
        assert_eq!(creates, 2 + Table::ALL.len() + rollups + life);
    }
}
