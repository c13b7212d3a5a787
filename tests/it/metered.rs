//! `replay --as packets`: every byte of the corpus's captures is in a row, once, and in the same order for any number of shards.

use crate::harness::{assert_laws, corpus, directory, exe};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Captures in which we read more than the expectation does: tags of switches before the Ethertype, a jumbogram's length, headers
/// that only the reference takes for broken. `inspect --packets` shows the same frames.
const READ_FURTHER: &[&str] = &[
    "td-arista_ether",
    "td-brcm-tag-prepend",
    "td-dsa",
    "td-edsa",
    "td-bigtcp-ipv6-hbh",
    "td-cve2015-0261-crash",
    "td-icmp6_nodeinfo_oobr",
    // one conversation, of which only some packets come through a tunnel
    "zk-tunnels-tunnel-direct-bypass",
];

/// Flows, usage, detections and ledger of a replay.
fn replay(dir: &Path, arguments: &[&str], file: &Path) -> [String; 4] {
    let done = Command::new(exe())
        .arg("replay")
        .args(arguments)
        .arg("--out")
        .arg(dir)
        .arg(file)
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{}: {said}", file.display());
    [
        "flows.ndjson",
        "usage.ndjson",
        "detections.ndjson",
        "ledger.json",
    ]
    .map(|name| fs::read_to_string(dir.join(name)).expect("written"))
}

/// The cases of data/pcap.
fn cases(corpus: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for category in fs::read_dir(corpus.join("pcap")).expect("the folder") {
        let Ok(files) = fs::read_dir(category.expect("an entry").path()) else {
            continue;
        };
        let paths = files.map(|f| f.expect("an entry").path());
        found.extend(paths.filter(|p| p.to_string_lossy().ends_with(".expect.json")));
    }
    found.sort();
    found
}

fn sum(items: &[Value], key: &str) -> u64 {
    items.iter().filter_map(|v| v[key].as_u64()).sum()
}

#[test]
fn every_byte_is_in_a_row_and_in_its_place() {
    let Some(corpus) = corpus() else { return };
    let cases = cases(&corpus);
    assert!(cases.len() > 600, "{} cases", cases.len());
    let (dir, mut compared) = (directory(), 0);
    for case in cases {
        let text = fs::read_to_string(&case).expect("an expectation");
        let want: Value = serde_json::from_str(&text).expect("JSON");
        let file = corpus.join(want["file"].as_str().expect("a file"));
        let one = replay(dir.path(), &["--as", "packets"], &file);
        let four = replay(dir.path(), &["--as", "packets", "--shards", "4"], &file);
        assert!(one == four, "{}: 4 shards", file.display());
        let ledger: Value = serde_json::from_str(&one[3]).expect("JSON");
        assert_laws(&ledger);
        // 0: the reference could not read the file
        if want["packets"] != 0 {
            assert_eq!(ledger["totals"]["frames_captured"], want["packets"]);
        }
        let rows: Vec<Value> = one[0]
            .lines()
            .map(|l| serde_json::from_str(l).expect("JSON"))
            .collect();
        // where a tunnel is entered the expectation, which is of the outermost header, says nothing
        let tunnels = rows.iter().any(|r| r.get("tunnel_kind").is_some())
            || ledger["totals"]["fragments_rerouted"] != 0;
        let name = file.file_stem().expect("a name").to_string_lossy();
        let flows = want["ip_flows"].as_array().map_or(&[][..], |f| f);
        let all = want["ip_flows_total"].as_u64() == Some(flows.len() as u64);
        if tunnels || !all || READ_FURTHER.iter().any(|n| *n == name) {
            continue;
        }
        compared += 1;
        let got = (sum(&rows, "packets"), sum(&rows, "bytes"));
        let said = (sum(flows, "packets"), sum(flows, "ip_bytes"));
        assert_eq!(got, said, "{}", file.display());
    }
    assert!(compared > 500, "{compared} compared");
}
