//! Rules on captures, against what Suricata 7 raises: every test of the corpus, with one shard and with four.

use crate::harness::{corpus, exe};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Tests that do not hold yet, each with its reason. The list may only become shorter.
const FAILING: &[(&str, &str)] = &[];

/// What a test raised: alerts by sid, and the lines.
fn raised(corpus: &Path, test: &Value, shards: &str) -> (BTreeMap<String, u64>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| corpus.join(test[name].as_str().expect("a path"));
    let options = test["options"].as_array().expect("a list");
    let options = options.iter().map(|o| o.as_str().expect("a text"));
    let mut command = Command::new(exe());
    command
        .args(["rules", "test", "--rules"])
        .arg(path("rules"))
        .args(options)
        .args(["--shards", shards, "--out"])
        .arg(folder.path())
        .arg(path("pcap"));
    let output = command.output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {told}", test["test"]);
    let lines = std::fs::read_to_string(folder.path().join("alerts.ndjson")).expect("alerts");
    let mut counts = BTreeMap::new();
    for line in lines.lines() {
        let alert: Value = serde_json::from_str(line).expect("JSON");
        let sid = alert["alert"]["signature_id"].to_string();
        *counts.entry(sid).or_insert(0) += 1;
    }
    (counts, lines)
}

/// What is not as it should be.
fn differences(test: &Value, got: &BTreeMap<String, u64>) -> Vec<String> {
    let all_exact = test["counts"] == "exact";
    let want = test["alerts"].as_object().expect("counts");
    let mut wrong = vec![];
    for (sid, count) in want {
        let count = count.as_u64().expect("a number");
        let is = got.get(sid).copied().unwrap_or(0);
        let exact = all_exact || test["exact"][sid] == true;
        if exact && is != count || (is > 0) != (count > 0) {
            wrong.push(format!("{sid}: {is} for {count}"));
        }
    }
    let listed = test["all_alerts_of_suricata_7_0_10"].as_object();
    for sid in got.keys().filter(|_| all_exact) {
        if !want.contains_key(sid) && listed.is_none_or(|l| !l.contains_key(sid)) {
            wrong.push(format!("{sid}: raised"));
        }
    }
    wrong
}

#[test]
fn every_test_gives_its_alerts() {
    let Some(corpus) = corpus() else { return };
    let text = std::fs::read_to_string(corpus.join("ids/expect.jsonl")).expect("the list");
    let tests: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let known: BTreeSet<&str> = FAILING.iter().map(|f| f.0).collect();
    let mut failed = vec![];
    for test in &tests {
        let (got, lines) = raised(&corpus, test, "1");
        assert_eq!(
            raised(&corpus, test, "4").1,
            lines,
            "{}: with four shards",
            test["test"]
        );
        let wrong = differences(test, &got);
        let name = test["test"].as_str().expect("a name");
        match known.contains(name) {
            true if wrong.is_empty() => failed.push(format!("{name} holds: take it off the list")),
            false if !wrong.is_empty() => failed.push(format!("{name}: {}", wrong.join(", "))),
            _ => {}
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
