//! The schema as text, in both forms: what `schema print` says is what stands in `tests/golden`, and the engine reads it.

use crate::harness::{Store, directory, exe, run};
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
