//! Frames of real captures in every format, link type and state of damage, held against what tshark says of them.

use crate::harness::corpus;
use flowhouse::dissect::{self, HeaderView};
use flowhouse::receive::{Captures, Frame};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// Every capture with an expectation.
pub fn cases(corpus: &Path) -> Vec<(PathBuf, Value)> {
    let mut cases = Vec::new();
    for folder in fs::read_dir(corpus.join("pcap"))
        .expect("a folder of the corpus")
        .flatten()
    {
        let Ok(entries) = fs::read_dir(folder.path()) else {
            continue;
        };
        for path in entries.flatten().map(|e| e.path()) {
            if path.to_string_lossy().ends_with(".expect.json") {
                let text = fs::read_to_string(&path).expect("an expectation");
                let expected: Value = serde_json::from_str(&text).expect("JSON");
                let file = corpus.join(expected["file"].as_str().expect("a file"));
                cases.push((file, expected));
            }
        }
    }
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(!cases.is_empty(), "the corpus has cases");
    cases
}

/// Seconds with nine decimals.
fn seconds(time_ns: i64) -> String {
    let (s, ns) = (
        time_ns.div_euclid(1_000_000_000),
        time_ns.rem_euclid(1_000_000_000),
    );
    format!("{s}.{ns:09}")
}

/// The first of a list, or the value.
fn first(value: &Value) -> &Value {
    value
        .as_array()
        .and_then(|list| list.first())
        .unwrap_or(value)
}

/// What of the container contradicts the packet. tshark shows some broken times in forms of its own (a second that
/// is not carried, more seconds than nanoseconds can count; two files are made of nothing else) and takes the pseudo header off ATM cells.
fn container(frame: &Frame<'_>, want: &Value) -> Option<String> {
    let time = want["ts"].as_str().unwrap_or_default();
    let plain = time.len() < 22 && time.split('.').next_back().is_some_and(|f| f.len() == 9);
    if plain && seconds(frame.time_ns) != time {
        return Some(format!(
            "ts: expected {time}, got {}",
            seconds(frame.time_ns)
        ));
    }
    if frame.link_type == LINKTYPE_SUNATM {
        return None;
    }
    let got = [
        ("len", json!(frame.original)),
        ("cap", json!(frame.captured.len())),
    ];
    let differs = got.into_iter().find(|(key, value)| *value != want[*key])?;
    Some(format!(
        "{}: expected {}, got {}",
        differs.0, want[differs.0], differs.1
    ))
}

/// What of the view contradicts the packet.
fn contradiction(view: &HeaderView, want: &Value) -> Option<String> {
    let said: &[(&str, Value, u64)] = &[
        ("src", json!(view.src_addr.map(|a| a.to_string())), 0),
        ("dst", json!(view.dst_addr.map(|a| a.to_string())), 0),
        // 0 is what segmentation offload leaves; tshark shows the captured length instead
        ("ip_len", json!(view.ip_len.filter(|n| *n > 0)), 0),
        ("tos", json!(view.tos), 0),
        ("ttl", json!(view.ttl), 0),
        ("tcp_sport", json!(view.src_port), 6),
        ("tcp_dport", json!(view.dst_port), 6),
        ("udp_sport", json!(view.src_port), 17),
        ("udp_dport", json!(view.dst_port), 17),
        ("sctp_sport", json!(view.src_port), 132),
        ("icmp_type", json!(view.icmp_type), 1),
        ("icmpv6_type", json!(view.icmp_type), 58),
    ];
    for (key, got, proto) in said {
        let want = first(&want[*key]);
        let theirs = *proto == 0 || view.proto.map(u64::from) == Some(*proto);
        if theirs && !got.is_null() && !want.is_null() && got != want {
            return Some(format!("{key}: expected {want}, got {got}"));
        }
    }
    let flags = want["tcp_flags"].as_u64().map(|f| f & 0x1ff);
    if let (Some(6), Some(want), Some(got)) = (view.proto, flags, view.tcp_flags)
        && want != u64::from(got)
    {
        return Some(format!("tcp_flags: expected {want}, got {got}"));
    }
    None
}

/// Whether tshark reached IP through layers that we know as well.
fn reachable(stack: &str) -> bool {
    let layers: Vec<_> = stack.split(':').collect();
    let Some(ip) = layers.iter().position(|l| matches!(*l, "ip" | "ipv6")) else {
        return false;
    };
    layers[..ip].iter().all(|l| {
        matches!(
            *l,
            "eth" | "ethertype" | "vlan" | "mpls" | "raw" | "null" | "sll"
        )
    })
}

#[test]
fn every_frame_is_read_as_tshark_reads_it() {
    let Some(corpus) = corpus() else { return };
    let (mut faults, mut wanted) = (Vec::new(), 0);
    for (path, expected) in cases(&corpus) {
        let captures = Captures::open(&[&path], |_| false).expect("a capture");
        let list = expected["packet_list"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let (mut n, mut fault) = (0, None);
        let ends = captures.frames(|frame| {
            n += 1;
            assert_eq!(frame.number, n);
            let view = dissect::frame(frame.link_type, frame.captured).unwrap_or_default();
            let Some(want) = list.get(n as usize - 1) else {
                return;
            };
            if !path.to_string_lossy().contains("timestamp_invalid") {
                fault = fault.take().or_else(|| container(frame, want));
            }
            let stack = want["stack"].as_str().unwrap_or_default();
            if reachable(stack) && want["src"].is_string() {
                wanted += 1;
                fault = fault.take().or_else(|| match view.src_addr {
                    Some(_) => contradiction(&view, want),
                    None => Some(format!("frame {n}: no IP header, but {stack}")),
                });
            }
        });
        let info = &expected["file_info"];
        if json!(n) != info["packet_blocks"] {
            fault = Some(format!("{n} frames, expected {}", info["packet_blocks"]));
        }
        let cut = info["cut_short"] == json!(true);
        if ends.0.is_empty() == cut {
            fault = Some(format!("cut short: expected {cut}, got {ends:?}"));
        }
        if let Some(fault) = fault {
            faults.push(format!("{}: {fault}", path.display()));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(wanted > 2000, "only {wanted} packets were compared");
}

const LINKTYPE_SUNATM: u16 = 123;
