//! A store with the schema of a newer program: the collector ends instead of writing to it, and what it received by then is
//! in its ledger.

use crate::harness::{Collector, Store, assert_laws, directory, eventually, total};
use flowhouse::generate::sender::{Plan, send};
use flowhouse::generate::{Habits, Profile};
use std::path::Path;
use std::sync::atomic::AtomicBool;

const ONE: &str = "[receive]\nlisteners = [\"127.0.0.1:0\"]\n";

/// A store that a collector of version 99 has been at.
fn newer(dir: &Path) -> Store {
    let store = Store::start(dir);
    let sql = store.sql();
    sql.run("CREATE DATABASE flowhouse");
    sql.run(
        "CREATE TABLE flowhouse.schema_migrations (version UInt32, name String, checksum String, \
         applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY version",
    );
    sql.run(
        "INSERT INTO flowhouse.schema_migrations (version, name, checksum) VALUES (99, 'x', 'y')",
    );
    store
}

fn assert_refused((code, log, ledger): (Option<i32>, String, serde_json::Value), store: &Store) {
    assert_eq!(code, Some(1), "{log}");
    for said in [
        "schema version 99",
        "run the newer flowhouse",
        &store.address,
    ] {
        assert!(log.contains(said), "{said}: {log}");
    }
    assert!(log.contains("ledger: "), "the laws are logged: {log}");
    assert_laws(&ledger);
    // and nothing was changed there
    let tables = "SELECT name FROM system.tables WHERE database = 'flowhouse'";
    assert_eq!(store.sql().rows(tables), [["schema_migrations"]]);
}

#[test]
fn a_newer_schema_ends_the_collector_at_start() {
    let dir = directory();
    let store = newer(dir.path());
    let collector = Collector::start(dir.path(), &format!("{ONE}{}", store.config()));
    assert_refused(collector.ended(), &store);
}

#[test]
fn a_newer_schema_that_is_seen_late_ends_the_collector_in_order() {
    let dir = directory();
    let mut store = newer(dir.path());
    store.kill();
    let collector = Collector::start(dir.path(), &format!("{ONE}{}", store.config()));
    let plan = Plan {
        to: collector.udp[0],
        profiles: vec![Profile::EdgeSwitch],
        first_exporter: 0,
        exporters: 1,
        habits: Habits::default(),
        rate: 5_000,
        flows: Some(2_000),
        duration: None,
        seed: 3,
        pool: 100,
        segment: false,
    };
    let sent = send(&plan, &AtomicBool::new(false), |_| {}).expect("sent");
    eventually("rows wait for the store", || {
        total(&collector.ledger(), "rows") == sent.flows
    });
    store.run();
    let ended = collector.ended();
    // they stay on disk, for a program that fits
    assert_eq!(total(&ended.2, "rows_lost_shutdown"), 0);
    assert_refused(ended, &store);
    store.sql().run("DROP DATABASE flowhouse SYNC");
    let collector = Collector::start(dir.path(), &format!("{ONE}{}", store.config()));
    eventually("the next one delivers them", || {
        collector.metric("flowhouse_sink_rows_open") == 0.0
            && collector.metric("flowhouse_sink_delivering") == 1.0
    });
    let count = "SELECT count() FROM flows";
    assert_eq!(store.sql().numbers(count), [sent.flows]);
    assert_laws(&collector.stop());
}
