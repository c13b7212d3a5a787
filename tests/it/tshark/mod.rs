//! Quality by our meter beside tshark's analysis of the same captures, which `record.py` here wrote down: counts of TCP, streams
//! of RTP.

use crate::harness::{corpus, directory, exe};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Rows of a replay.
fn rows(dir: &Path, file: &Path) -> Vec<Value> {
    let mut command = Command::new(exe());
    command
        .args(["replay", "--as", "packets", "--out"])
        .arg(dir);
    let done = command.arg(file).output().expect("it runs");
    assert!(done.status.success(), "{}", file.display());
    let text = std::fs::read_to_string(dir.join("flows.ndjson")).expect("rows");
    lines(&text)
}

fn lines(text: &str) -> Vec<Value> {
    let read = |l| serde_json::from_str(l).expect("JSON");
    text.lines().map(read).collect()
}

fn sum(rows: &[Value], key: &str) -> u64 {
    rows.iter().filter_map(|r| r[key].as_u64()).sum()
}

#[test]
fn tcp_is_counted_as_tshark_counts_it() {
    let Some(corpus) = corpus() else { return };
    let (dir, mut differ, mut total) = (directory(), BTreeSet::new(), 0);
    let recorded = lines(include_str!("tcp.jsonl"));
    for want in &recorded {
        let file = want["file"].as_str().expect("a name");
        let found = rows(dir.path(), &corpus.join(file));
        for key in COUNTS {
            let (got, said) = (sum(&found, key), want[key].as_u64().expect("a count"));
            total += said;
            if got != said {
                let name = file.rsplit('/').next().unwrap_or(file);
                println!("{name} {key}: {got}, tshark {said}");
                differ.insert(name);
            }
        }
    }
    assert!(recorded.len() > 200 && total > 1000, "{total}");
    let explained: BTreeSet<_> = EXPLAINED.iter().map(|(name, _)| *name).collect();
    assert_eq!(differ, explained);
}

#[test]
fn streams_of_rtp_are_those_of_tshark() {
    let Some(corpus) = corpus() else { return };
    let dir = directory();
    let recorded = lines(include_str!("rtp.jsonl"));
    let mut compared = 0;
    for want in &recorded {
        let file = want["file"].as_str().expect("a name");
        let found = rows(dir.path(), &corpus.join(file));
        let ends = ["src_port", "dst_port"];
        let of: Vec<_> = found
            .iter()
            .filter(|r| ends.iter().all(|e| r[e] == want[e]) && r["src_addr"] == want["src"])
            .cloned()
            .collect();
        let streams = recorded
            .iter()
            .filter(|o| ends.iter().all(|e| o[e] == want[e]) && o["file"] == want["file"]);
        // several sources share the direction
        if streams.count() > 1 {
            continue;
        }
        // of the doubled packets of a capture tshark says that less than nothing is missing
        let lost = want["lost"].as_i64().expect("a count").max(0);
        // probes: tshark does not take those for RTP whose padding it finds too long, and misses them
        let lost = if want["ssrc"] == "0x00000000" {
            0
        } else {
            lost
        };
        assert_eq!(sum(&of, "lost") as i64, lost, "{want}");
        compared += 1;
        // without a payload type that is assigned tshark has no clock
        let jitter = want["jitter_ms"].as_f64().expect("a time");
        if jitter > 0.0 {
            let ours = of
                .iter()
                .find_map(|r| r["jitter_us"].as_f64())
                .expect("a time")
                / 1000.0;
            // the first packet, by which a conversation is known, and rounding
            assert!(
                (ours - jitter).abs() <= jitter / 4.0 + 0.002,
                "{ours} {want}"
            );
        }
    }
    assert!(compared > 8, "{compared}");
}

const COUNTS: [&str; 5] = [
    "retransmits",
    "out_of_order",
    "dup_acks",
    "zero_windows",
    "resets",
];

/// Captures that differ, and why; docs/packets.md has the same.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "nd-ajp.pcap",
        "Frames are shorter than their IP length says; tshark counts no octets of them, here they have the length that they were sent with.",
    ),
    (
        "nd-anyconnect-vpn.pcap",
        "What is sent again long after the end of a connection (2 s) is of another conversation.",
    ),
    (
        "nd-edonkey.pcap",
        "What is sent again long after the end of a connection (2 s) is of another conversation.",
    ),
    (
        "nd-fuzz-2006-06-26-2594.pcap",
        "Fuzzed. Flags and numbers are at random; another packet begins a conversation.",
    ),
    (
        "nd-fuzz-2006-09-29-28586.pcap",
        "Fuzzed. One segment more fills a gap soon.",
    ),
    (
        "nd-ip_fragmented_garbage.pcap",
        "A reset came in fragments, which are put together here.",
    ),
    (
        "nd-ocs.pcap",
        "A SYN that is sent again more than 10 s after the one before it begins another conversation.",
    ),
    (
        "nd-telnet.pcap",
        "Frames are shorter than their IP length says; tshark counts no octets of them, here they have the length that they were sent with.",
    ),
    (
        "nd-tls-appdata.pcap",
        "Time goes back by 46 s: what comes then is late here and sent again there; both add up to the same.",
    ),
    (
        "nd-tls_invalid_reads.pcap",
        "Frames are shorter than their IP length says; tshark counts no octets of them, here they have the length that they were sent with.",
    ),
    (
        "nd-tls_multiple_synack_different_seq.pcapng",
        "A SYN-ACK with another number is a new answer here; tshark goes on from the first number.",
    ),
];
