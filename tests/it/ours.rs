//! The captures of `tests/captures`, which are our own: they prove decoding where the corpus is not there. What their rows
//! must say was written by `make.py` there, from the layouts of the protocols.

use crate::harness::{assert_laws, directory, exe, total};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

type Row = Map<String, Value>;

/// A capture in up to three parts, and its rows.
struct Case {
    name: String,
    template: Option<PathBuf>,
    options: Option<PathBuf>,
    data: PathBuf,
    want: Vec<Row>,
}

impl Case {
    fn parts<'a>(&'a self, order: [&'a Option<PathBuf>; 2]) -> Vec<&'a PathBuf> {
        order.into_iter().flatten().collect()
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

fn cases() -> Vec<Case> {
    let part = |name: &str, part| {
        Some(folder().join(format!("{name}_{part}.pcap"))).filter(|p| p.exists())
    };
    let entries = fs::read_dir(folder()).expect("the folder is there");
    let paths = entries.map(|e| e.expect("an entry").path());
    let mut found: Vec<Case> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "ndjson"))
        .map(|path| {
            let name = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            Case {
                template: part(&name, "template"),
                options: part(&name, "options"),
                data: part(&name, "data").expect("each has data"),
                want: rows(&path),
                name,
            }
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn rows(path: &Path) -> Vec<Row> {
    let text = fs::read_to_string(path).expect("readable");
    let row = |line| serde_json::from_str(line).expect("JSON");
    text.lines().map(row).collect()
}

/// The rows and the ledger of a replay of these files, in this order.
fn replayed(files: &[&PathBuf]) -> (Vec<Row>, Value) {
    let dir = directory();
    let mut command = Command::new(exe());
    command.args(["replay", "--as", "export", "--out"]);
    let done = command
        .arg(dir.path())
        .args(files)
        .output()
        .expect("it runs");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    let ledger = fs::read_to_string(dir.path().join("ledger.json")).expect("written");
    let ledger = serde_json::from_str(&ledger).expect("JSON");
    assert_laws(&ledger);
    (rows(&dir.path().join("flows.ndjson")), ledger)
}

/// Asserts that rows say what is expected, and nothing more, but for the names of classes and applications; without what
/// `apart` names.
fn assert_rows(case: &Case, got: &[Row], apart: &[&str], order: &str) {
    assert_eq!(got.len(), case.want.len(), "{} {order}", case.name);
    for (want, got) in case.want.iter().zip(got) {
        let told = |row: &Row| -> BTreeMap<String, Value> {
            let named = |key: &str| NAMES.contains(&key) && !want.contains_key(key);
            let kept = row.clone().into_iter();
            kept.filter(|(key, _)| !apart.contains(&&key[..]) && !named(key))
                .collect()
        };
        assert_eq!(told(got), told(want), "{} {order}", case.name);
    }
}

/// What enrichment says of every row.
const NAMES: &[&str] = &[
    "app",
    "app_proto",
    "app_source",
    "app_confidence",
    "qos_class",
];

/// What differs in a row that waited.
const LATE: &[&str] = &["flags"];

/// What is not known of a row without options data.
const FROM_OPTIONS: &[&str] = &["app", "sampling_interval", "sampling_source", "flags"];

#[test]
fn every_capture_of_our_own_gives_its_rows() {
    let cases = cases();
    assert_eq!(
        cases.len(),
        7,
        "v5, v7, v9, IPFIX, firewall events, sFlow, damage"
    );
    for case in &cases {
        let (template, options) = (&case.template, &case.options);
        for (order, early) in [
            ("in order", [template, options]),
            ("options first", [options, template]),
        ] {
            let files = [case.parts(early), vec![&case.data]].concat();
            assert_rows(case, &replayed(&files).0, &[], order);
        }
    }
}

#[test]
fn data_waits_for_its_template() {
    for case in cases().iter().filter(|c| c.template.is_some()) {
        let (template, options) = (&case.template, &case.options);
        for (order, apart) in [
            ([options, template], LATE),
            ([template, options], FROM_OPTIONS),
        ] {
            let files = [vec![&case.data], case.parts(order)].concat();
            let (got, ledger) = replayed(&files);
            let late = |row: &Row| {
                row["flags"]
                    .as_array()
                    .is_some_and(|f| f.contains(&"decoded_late".into()))
            };
            assert!(got.iter().all(late), "{}", case.name);
            assert!(total(&ledger, "sets_decoded_late") > 0, "{}", case.name);
            assert_rows(case, &got, apart, "data first");
        }
        let (got, ledger) = replayed(&[&case.data]);
        assert_eq!(
            (got.len(), total(&ledger, "sets_decoded")),
            (0, 0),
            "{}",
            case.name
        );
        assert!(total(&ledger, "sets_expired_template") > 0, "{}", case.name);
    }
}

#[test]
fn damage_is_counted() {
    let (_, ledger) = replayed(&[&folder().join("damaged_ipfix_data.pcap")]);
    for (outcome, n) in [
        ("datagrams_received", 7),
        ("datagrams_parsed", 5),
        ("datagrams_rejected_version", 1),
        ("datagrams_rejected_short", 1),
        ("sets_rejected_length", 1),
        ("sets_rejected_template", 1),
        ("bytes_trailing", 13),
        ("sets_rejected_id", 1),
        ("rows", 5),
    ] {
        assert_eq!(total(&ledger, outcome), n, "{outcome}");
    }
}
