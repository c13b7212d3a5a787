//! The schema as text, in both forms: what `schema print` says is what stands in `tests/golden`, and the engine reads it.

use crate::harness::{Sql, Store, configure, directory, exe, run};
use flowhouse::sink::schema::statements;
use std::path::Path;
use std::process::Command;

fn printed(arguments: &[&str]) -> String {
    run(Command::new(exe())
        .args(["schema", "print"])
        .args(arguments))
}

/// `FLOWHOUSE_GOLDEN=write` writes what is printed instead of comparing it: read the difference before it is committed.
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("FLOWHOUSE_GOLDEN").is_some_and(|v| v == "write") {
        std::fs::write(&path, text).expect("written");
    }
    let kept = std::fs::read_to_string(&path).expect("a golden file");
    let different = kept.lines().zip(text.lines()).find(|(a, b)| a != b);
    assert!(
        kept == text,
        "tests/golden/{name} is another text; the first line that differs: {different:?}"
    );
}

#[test]
fn one_node() {
    golden("schema_single.sql", &printed(&[]));
}

/// `| head` that has seen enough is no fault.
#[test]
fn nobody_has_to_read_to_the_end() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let mut print = Command::new(exe());
    let ended = print.args(["schema", "print"]).stdout(writer).output();
    let ended = ended.expect("it runs");
    assert!(
        ended.status.success() && ended.stderr.is_empty(),
        "{ended:?}"
    );
}

#[test]
fn a_cluster() {
    golden("schema_cluster.sql", &printed(&["--cluster", "main"]));
}

/// No cluster can be had here: that the engine's own parser takes every statement is what can be shown.
#[test]
fn the_engine_reads_both_forms() {
    let dir = directory();
    let store = Store::start(dir.path());
    let sql = store.sql();
    run(Command::new("curl").args([
        "-sS",
        "--fail-with-body",
        "-H",
        &format!("X-ClickHouse-Key: {}", sql.key()),
        "--data-binary",
        "CREATE DATABASE IF NOT EXISTS flowhouse",
        &format!("http://{}/", store.address),
    ]));
    let mut read = 0;
    for form in [printed(&[]), printed(&["--cluster", "main"])] {
        for statement in statements(&form) {
            // the parser on a text, for the store itself refuses engines that reach other servers
            let quoted = statement.replace('\\', "\\\\").replace('\'', "\\'");
            let rows = sql.rows(&format!("SELECT length(formatQuery('{quoted}')) > 20"));
            let is_short = statement.starts_with("USE ");
            assert!(is_short || rows == [["1"]], "{statement}");
            read += 1;
        }
    }
    assert!(read > 50, "{read}");
}

/// An INSERT whose answer was lost is sent again, also to a store that was started again since: views must know it then, too.
#[test]
fn views_know_what_they_were_given_before_the_store_was_restarted() {
    let dir = directory();
    let mut store = Store::start(dir.path());
    let config = configure(dir.path(), &store.config());
    run(Command::new(exe())
        .args(["schema", "apply", "-c"])
        .arg(config));
    let sources = ["usage_1m", "talkers_1m", "network_usage_1m"];
    let send = |sql: &Sql| {
        for table in sources {
            sql.run(&format!(
                "INSERT INTO flowhouse.{table} (time, bytes) SETTINGS async_insert = 0, insert_deduplicate = 1, \
                 deduplicate_blocks_in_dependent_materialized_views = 1, insert_deduplication_token = 'one' \
                 VALUES ('2026-11-27 12:00:00', 7)"
            ));
        }
    };
    send(&store.sql());
    for _ in 0..2 {
        send(&store.sql());
        for table in sources {
            for resolution in ["1m", "5m", "1h"] {
                let table = table.replace("1m", resolution);
                let sum = store
                    .sql()
                    .numbers(&format!("SELECT sum(bytes) FROM {table}"));
                assert_eq!(sum, [7], "{table}");
            }
        }
        store.kill();
        store.run();
    }
}

/// The one that held the lock is gone; two wait for it to be void, and one of them gets it.
#[test]
fn of_two_that_wait_one_applies() {
    let dir = directory();
    let store = Store::start(dir.path());
    let sql = store.sql();
    let config = configure(dir.path(), &store.config());
    sql.run("CREATE DATABASE IF NOT EXISTS flowhouse");
    sql.run(
        "CREATE TABLE flowhouse.schema_lock (holder String, released UInt8, at DateTime64(3, 'UTC') DEFAULT now64(3)) \
         ENGINE = MergeTree ORDER BY at",
    );
    sql.run("INSERT INTO flowhouse.schema_lock SELECT 'gone', 0, now64(3) - INTERVAL 50 SECOND");
    let apply = || {
        let mut apply = Command::new(exe());
        apply.args(["schema", "apply", "-c"]).arg(&config);
        apply.spawn().expect("it runs")
    };
    let both = [apply(), apply()];
    for mut one in both {
        assert!(one.wait().expect("it ends").success());
    }
    let twice = "SELECT count() - uniqExact(version) FROM flowhouse.schema_migrations";
    assert_eq!(sql.numbers(twice), [0]);
}

#[test]
fn a_name_that_is_none_is_not_printed() {
    for name in ["x; DROP DATABASE y", "", "a`b", "a-b"] {
        let out = Command::new(exe())
            .args(["schema", "print", "--database", name])
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(
            (out.status.code(), out.stdout.len()),
            (Some(2), 0),
            "{said}"
        );
        assert!(
            said.contains("database must be a name of letters"),
            "{said}"
        );
    }
}
