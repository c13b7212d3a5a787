//! Octets that were sent twice with different data, and protocols that rules look into (`tests/signatures/readings.py`).

use crate::harness::{exe, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).expect("a file");
    let line = |l| serde_json::from_str(l).expect("JSON");
    text.lines().map(line).collect()
}

fn counts(alerts: &[Value]) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    for alert in alerts {
        let sid = alert["alert"]["signature_id"].as_u64().expect("a sid");
        *counts.entry(sid).or_default() += 1;
    }
    counts
}

#[test]
fn both_readings_are_matched_and_the_first_alone_alerts() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures");
    for shards in ["1", "4"] {
        let out = tempfile::tempdir().expect("a folder");
        let mut replay = Command::new(exe());
        run(replay
            .args(["replay", "--as", "packets", "--shards", shards, "--rules"])
            .arg(folder.join("readings.rules"))
            .arg("--out")
            .arg(out.path())
            .arg(folder.join("readings.pcap")));
        let alerts = counts(&lines(&out.path().join("alerts.ndjson")));
        // what the other reading sets is not set
        let want = [1, 3, 5, 10, 11, 12, 13, 14, 15, 16].map(|sid| (sid, 1));
        assert_eq!(alerts, BTreeMap::from(want), "{shards} shard(s)");
        let other = counts(&lines(&out.path().join("alerts_ambiguous.ndjson")));
        assert_eq!(other, BTreeMap::from([(2, 1), (4, 1)]), "{shards} shard(s)");

        let found = lines(&out.path().join("detections.ndjson"));
        let of = |client: &str| -> Vec<&Value> {
            let is = |d: &&Value| {
                let entity = d["entity"]["value"].as_str().expect("a text");
                d["kind"] == "overlap_evasion" && entity.starts_with(client)
            };
            found.iter().filter(is).collect()
        };
        let facts = |client: &str| of(client)[0]["evidence"]["facts"].clone();
        let segments = facts("10.8.0.1 ");
        assert_eq!(segments["first reading"], "EVILEVIL");
        assert_eq!(segments["other reading"], "GOODGOOD");
        assert_eq!(segments["place in the stream"], "8");
        assert_eq!(segments["rules of the other reading"], "1:2 other reading");
        let request = facts("10.8.0.2 ");
        assert_eq!(
            request["rules of the other reading"],
            "1:4 request of the other reading"
        );
        assert_eq!(of("10.8.0.2 ")[0]["severity"], "critical");
        assert!(of("10.8.0.3 ").is_empty(), "the same data twice");
        assert_eq!(of("10.8.0.4 ")[0]["detector"], "overlap.fragments");
        let signatures = found.iter().filter(|d| d["kind"] == "signature");
        assert_eq!(signatures.count(), want.len());
    }
}
