//! What `deploy/` holds, under the tools that read it: `make test` installs them (`.ci/prepare`). What has no tool here (Docker's daemon, Grafana, a systemd
//! that runs) is told in `deploy/README.md`.

mod alerts;
mod container;
mod dashboards;
mod package;
mod size;
mod systemd;

use crate::harness::run;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file below the top of the repository.
fn file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file below the top of the repository.
fn text(path: &str) -> String {
    std::fs::read_to_string(file(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// A program of the virtual environment that `make test` makes.
fn tool(name: &str) -> Command {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let venv = Path::new(&home).join(".cache/flowhouse/venv/bin/python");
    let python = std::env::var_os("FLOWHOUSE_PYTHON").map_or(venv, PathBuf::from);
    let program = python.with_file_name(name);
    assert!(
        program.exists(),
        "{} is missing: `make test` installs it",
        program.display()
    );
    Command::new(program)
}

/// A YAML file as JSON.
fn yaml(path: &str) -> Value {
    let code = "import json, sys; from ruamel.yaml import YAML; print(json.dumps(YAML(typ='safe').load(open(sys.argv[1]))))";
    let json = run(tool("python").args(["-c", code]).arg(file(path)));
    serde_json::from_str(&json).expect("JSON")
}

/// The metrics that a text names.
fn metrics_in(text: &str) -> std::collections::BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|w| w.starts_with("flowhouse_"))
        .map(str::to_owned)
        .collect()
}

/// Every metric that a collector can export: a page on which everything has happened once.
fn exported() -> std::collections::BTreeSet<String> {
    on_a_page(flowhouse::ledger::Outcome::ALL)
}

/// The metrics on the page of a collector with one exporter that has counted these outcomes.
fn on_a_page(outcomes: &[flowhouse::ledger::Outcome]) -> std::collections::BTreeSet<String> {
    use flowhouse::control::{
        Capture, Detections, Endpoint, Histogram, Inventory, LifeTimes, Listener, Meter, Shard,
        Sink, Snapshot, Spool, render,
    };
    let mut book = flowhouse::ledger::Book::new(4);
    let account = book.account((flowhouse::model::Addr::from_v4([192, 0, 2, 1]).0, 0));
    for &outcome in outcomes {
        account.one(outcome);
    }
    let inventory = Inventory::default();
    inventory.observe(&book, 0);
    let snapshot = Snapshot {
        book,
        listeners: vec![Listener::default()],
        shards: vec![Shard::default()],
        captures: vec![Capture::default()],
        meters: vec![Meter::default()],
        quality: vec![Histogram {
            name: "rtt_seconds",
            ..Histogram::default()
        }],
        sink: Sink {
            errors: [("241".to_owned(), 1)].into(),
            latency: vec![(1.0, 1)],
            spool: Some(Spool::default()),
            endpoints: vec![Endpoint::default()],
            ..Sink::default()
        },
        detections: Detections {
            suppressed: vec![("known".into(), 0)],
            held_back: vec![("low", 0)],
            beyond: Some(0),
            targets: vec![("soc".into(), [0; 4])],
            times: vec![LifeTimes {
                severity: "high".into(),
                to_know_s: Some(1.0),
                to_look_s: Some(1.0),
                to_end_s: Some(1.0),
                ..LifeTimes::default()
            }],
        },
        ..Snapshot::default()
    };
    let page = render(&snapshot, &inventory, 9).expect("a page");
    let lines = page.lines().filter(|l| !l.starts_with('#'));
    lines
        .filter_map(|l| l.split([' ', '{']).next())
        .map(str::to_owned)
        .collect()
}
