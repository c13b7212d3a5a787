//! Real captures that nobody of this project made, with expectations from independent decoders: what `inspect`
//! prints, and the rows that `replay` makes. `docs/conformance.md` is written from the same runs.
//!
//! `exact`: every record listed comes out, in this order, and nothing else. `lenient`: every record listed comes out
//! in this order; others may come between (each such case is explained in the document). `no_crash`: the end is
//! orderly and something is told about what was wrong.

use crate::harness::{corpus, exe};
use flowhouse::decode::looks_like_export;
use flowhouse::model::Datagram;
use flowhouse::receive::{Captures, Selection};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

type Record = Map<String, Value>;

struct Case {
    name: String,
    group: String,
    file: PathBuf,
    head: Value,
    records: Vec<Record>,
}

impl Case {
    fn policy(&self) -> &str {
        self.head["policy"].as_str().expect("a policy")
    }

    fn datagrams(&self) -> u64 {
        self.head["datagrams"]
            .as_u64()
            .expect("a number of datagrams")
    }

    /// Records that a decoder turns into rows.
    fn flows(&self) -> Vec<&Record> {
        self.records
            .iter()
            .filter(|r| r["kind"] == "flow")
            .collect()
    }
}

/// Every case of the corpus, in order of its name.
fn cases(corpus: &Path) -> Vec<Case> {
    let mut cases = Vec::new();
    for group in ["flow", "sflow"] {
        let mut paths: Vec<_> = fs::read_dir(corpus.join(group))
            .expect("a folder of the corpus")
            .map(|e| e.expect("an entry").path())
            .filter(|p| p.to_string_lossy().ends_with(".expect.jsonl"))
            .collect();
        paths.sort();
        for path in paths {
            let text = fs::read_to_string(&path).expect("an expectation");
            let mut lines = text.lines().map(|l| serde_json::from_str(l).expect("JSON"));
            let head: Value = lines.next().expect("a header");
            let name = head["case"].as_str().expect("a name").to_owned();
            let beside = format!("{group}/{name}.pcap");
            let file = corpus.join(head["file"].as_str().unwrap_or(&beside));
            let records = lines
                .map(|l| l.as_object().expect("a record").clone())
                .collect();
            let group = group.to_owned();
            cases.push(Case {
                name,
                group,
                file,
                head,
                records,
            });
        }
    }
    assert!(!cases.is_empty(), "the corpus has cases");
    cases
}

fn inspect(file: &Path, options: &[&str]) -> (Output, Vec<Record>) {
    let output = Command::new(exe())
        .arg("inspect")
        .args(options)
        .arg(file)
        .output()
        .expect("the binary runs");
    let text = std::str::from_utf8(&output.stdout).expect("UTF-8");
    let records = text
        .lines()
        .map(|l| serde_json::from_str(l).expect("one JSON object a line"))
        .collect();
    (output, records)
}

/// What of the expectation does not hold of the record.
fn difference(want: &Record, got: &Record) -> Option<String> {
    want.iter()
        .find(|(key, value)| got.get(*key) != Some(value))
        .map(|(key, value)| format!("{key}: expected {value}, got {:?}", got.get(key)))
}

/// Compares all records in order.
fn compare(case: &Case, got: &[Record]) -> Result<usize, String> {
    let mut rest = got.iter();
    for (i, want) in case.records.iter().enumerate() {
        let fault = match case.policy() {
            "exact" => match rest.next() {
                Some(record) => difference(want, record),
                None => Some("missing".into()),
            },
            _ => rest
                .by_ref()
                .all(|record| difference(want, record).is_some())
                .then(|| format!("missing, datagram {}", want["datagram"])),
        };
        if let Some(fault) = fault {
            return Err(format!(
                "record {} of {}: {fault}",
                i + 1,
                case.records.len()
            ));
        }
    }
    match (case.policy(), got.len() - case.records.len()) {
        ("exact", 1..) => Err(format!(
            "{} records, expected {}",
            got.len(),
            case.records.len()
        )),
        (_, more) => Ok(more),
    }
}

fn judge(case: &Case) -> Result<String, String> {
    let (output, got) = inspect(&case.file, &["--raw"]);
    let told = String::from_utf8_lossy(&output.stderr);
    if output.status.code() != Some(0) {
        return Err(format!("{}: {told}", output.status));
    }
    let all = format!(" {} datagrams, ", case.datagrams());
    if case.policy() != "no_crash" && !told.contains(&all) {
        return Err(format!("{told}, expected {} datagrams", case.datagrams()));
    }
    let compared = compare(case, &got);
    if case.policy() == "no_crash" {
        let reasons = ["_rejected_", "_expired_", "counts_wrong"];
        if !reasons.iter().any(|r| told.contains(r)) {
            return Err(format!("nothing was told: {told}"));
        }
        return Ok(match compared {
            Ok(0) => "survived, reason told, records equal".into(),
            _ => "survived, reason told".into(),
        });
    }
    compared.map(|more| match more {
        0 => "equal".into(),
        n => format!("equal, {n} more records (explained below)"),
    })
}

#[test]
fn inspect_prints_what_independent_decoders_found() {
    let Some(corpus) = corpus() else { return };
    let mut faults = Vec::new();
    for case in cases(&corpus) {
        if let Err(fault) = judge(&case) {
            faults.push(format!("{}: {fault}", case.name));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn without_raw_the_same_fields_and_no_hex() {
    let Some(corpus) = corpus() else { return };
    for case in cases(&corpus) {
        let (_, raw) = inspect(&case.file, &["--raw"]);
        let (_, plain) = inspect(&case.file, &[]);
        let mut stripped = raw;
        stripped
            .iter_mut()
            .for_each(|r| drop(r.shift_remove("raw")));
        assert_eq!(plain, stripped, "{}", case.name);
    }
}

#[test]
fn waiting_finds_what_came_before_its_template() {
    let Some(corpus) = corpus() else { return };
    let file = corpus.join("flow/ls-ipfix-netscaler-data-before-template.pcap");
    let (_, records) = inspect(&file, &["--wait"]);
    let places: Vec<_> = records.iter().map(|r| r["datagram"].clone()).collect();
    assert_eq!(places, [1, 1, 1, 4, 4, 4]);
    let twice: Vec<Record> = records
        .iter()
        .cloned()
        .map(|mut r| {
            r.insert("datagram".into(), json!(0));
            r
        })
        .collect();
    let (mut early, mut late) = (twice[..3].to_vec(), twice[3..].to_vec());
    let by_text = |r: &Record| json!(r).to_string();
    early.sort_by_key(by_text);
    late.sort_by_key(by_text);
    assert_eq!(early, late);
}

#[test]
fn errors_have_their_exit_codes() {
    let dir = tempfile::tempdir().expect("a directory");
    let text = dir.path().join("notes.txt");
    fs::write(&text, "no capture").expect("written");
    let (output, _) = inspect(&text, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("notes.txt"));
    let (output, _) = inspect(&dir.path().join("missing.pcap"), &[]);
    assert_eq!(output.status.code(), Some(1));
    let (output, _) = inspect(&text, &["--no-such-option"]);
    assert_eq!(output.status.code(), Some(2));
    let output = Command::new(exe()).arg("inspect").output().expect("runs");
    assert_eq!(output.status.code(), Some(2));
    let payload = dir.path().join("garbage.dat");
    fs::write(&payload, [9; 40]).expect("written");
    let (output, records) = inspect(&payload, &[]);
    assert_eq!((output.status.code(), records.len()), (Some(0), 0));
    assert!(String::from_utf8_lossy(&output.stderr).contains("rejected_version"));
}

/// The rows that `replay` makes of a capture, without the reverse halves of two-way records.
fn replay(case: &Case, options: &[&str]) -> Result<Vec<Record>, String> {
    let dir = tempfile::tempdir().expect("a directory");
    let output = Command::new(exe())
        .arg("replay")
        .args(options)
        .arg("--out")
        .arg(dir.path())
        .arg(&case.file)
        .output()
        .expect("the binary runs");
    if output.status.code() != Some(0) {
        let told = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{}: {told}", output.status));
    }
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).expect(name);
    let ledger: Value = serde_json::from_str(&read("ledger.json")).expect("JSON");
    let laws = ledger["laws"].as_array().expect("laws");
    if let Some(broken) = laws.iter().find(|law| law["holds"] != true) {
        return Err(format!("{broken}"));
    }
    let rows = read("flows.ndjson");
    let rows = rows
        .lines()
        .map(|l| serde_json::from_str::<Record>(l).expect("JSON"));
    Ok(rows
        // other traffic in the capture is metered; it is no record
        .filter(|row| row.get("half") != Some(&json!("rev")) && row["origin"] != "packets")
        .collect())
}

/// What a row must say of an expected record: canonical fields that rows carry under the same meaning.
fn normalised(case: &Case, record: &Record) -> Record {
    let mut want = Record::new();
    let mut put = |name: &str, key: &str| {
        if let Some(value) = record.get(key) {
            want.insert(name.into(), value.clone());
        }
    };
    put("datagram", "datagram");
    if case.group == "sflow" {
        for name in [
            "src_addr",
            "dst_addr",
            "src_port",
            "dst_port",
            "proto",
            "tos",
            "tcp_flags",
            "ttl",
        ] {
            put(name, &format!("inner_{name}"));
        }
        for name in ["ip_version", "src_mac", "dst_mac", "ethertype"] {
            put(name, &format!("inner_{name}"));
        }
        put("bytes", "inner_ip_len");
        for name in [
            "next_hop",
            "bgp_next_hop",
            "src_as",
            "src_peer_as",
            "dst_as_path",
            "src_mask",
            "dst_mask",
        ] {
            put(name, name);
        }
        for (name, key, format) in [
            ("in_if", "input", "input_format"),
            ("out_if", "output", "output_format"),
        ] {
            if record[format] == 0 {
                put(name, key);
            }
        }
        return want;
    }
    for name in SAME_NAMES {
        put(name, name);
    }
    for (name, key) in [
        ("src_addr", "frame_src_addr"),
        ("dst_addr", "frame_dst_addr"),
        ("src_port", "frame_src_port"),
        ("dst_port", "frame_dst_port"),
        ("proto", "frame_proto"),
        ("bytes", "frame_ip_len"),
    ] {
        put(name, key);
    }
    want
}

/// Fields that mean the same in a record as sent and in a row.
const SAME_NAMES: &[&str] = &[
    "src_addr",
    "dst_addr",
    "src_port",
    "dst_port",
    "proto",
    "bytes",
    "packets",
    "start_ms",
    "end_ms",
    "tos",
    "tcp_flags",
    "in_if",
    "out_if",
    "src_as",
    "dst_as",
    "src_mask",
    "dst_mask",
    "next_hop",
    "bgp_next_hop",
    "vlan",
    "direction",
    "flow_end_reason",
    "ip_version",
    "nat_src_addr",
    "nat_dst_addr",
    "nat_src_port",
    "nat_dst_port",
    "nat_event",
    "firewall_event",
    "fw_ext_event",
    "flow_id",
    "src_mac",
    "dst_mac",
    "post_src_mac",
    "post_dst_mac",
    "ethertype",
    "post_vlan",
    "dot1q_vlan",
    "post_dot1q_vlan",
    "dot1q_customer_vlan",
    "in_phys_if",
    "out_phys_if",
    "layer2_segment_id",
    "out_bytes",
    "out_packets",
    "bytes_total",
    "packets_total",
    "ttl",
    "ipv6_flow_label",
    "icmp_type_code",
    "event_ms",
    "ingress_vrf",
    "egress_vrf",
    "mpls",
    "user_name",
];

/// Every expected flow is a row, in order; a case that lists sets without template, or is lenient, may have more.
fn compare_rows(case: &Case, rows: &[Record]) -> Result<(), String> {
    let mut taken = BTreeSet::new();
    for (i, want) in case.flows().into_iter().enumerate() {
        let want = normalised(case, want);
        let same =
            |(n, row): &(usize, &Record)| !taken.contains(n) && row["datagram"] == want["datagram"];
        let found = rows
            .iter()
            .enumerate()
            .filter(same)
            .find(|(_, row)| difference(&want, row).is_none());
        let Some((n, _)) = found else {
            let near = rows.iter().enumerate().find(same).map(|(_, r)| r);
            let why = near.map_or("no row".into(), |r| {
                difference(&want, r).unwrap_or_default()
            });
            return Err(format!("flow {}: {why}", i + 1));
        };
        taken.insert(n);
    }
    let undecodable = case.head["undecodable"].to_string();
    let more_allowed = case.policy() == "lenient" || undecodable.contains("no template");
    if rows.len() > taken.len() && !more_allowed {
        return Err(format!("{} rows, expected {}", rows.len(), taken.len()));
    }
    Ok(())
}

#[test]
fn replay_makes_rows_of_what_independent_decoders_found() {
    let Some(corpus) = corpus() else { return };
    let mut faults = Vec::new();
    for case in cases(&corpus) {
        for options in [&["--as", "export"][..], &["--shards", "3"]] {
            let compared = replay(&case, options).and_then(|rows| match case.policy() {
                "no_crash" => Ok(()),
                _ => compare_rows(&case, &rows),
            });
            if let Err(fault) = compared {
                faults.push(format!("{} {options:?}: {fault}", case.name));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_document_says_what_the_tests_found() {
    let Some(corpus) = corpus() else { return };
    let text = document(&cases(&corpus));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md");
    if std::env::var_os("FLOWHOUSE_BLESS").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, &text).expect("written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/conformance.md is not up to date: run with FLOWHOUSE_BLESS=1"
    );
}

fn document(cases: &[Case]) -> String {
    let mut out = String::from(HEADING);
    for case in cases {
        let result = judge(case).unwrap_or_else(|fault| format!("**differs**: {fault}"));
        let vendor = match case.head["vendor"].as_str() {
            None | Some("not stated") => "-",
            Some(vendor) => vendor,
        };
        let _ = writeln!(
            out,
            "| {} | {vendor} | {} | {} | {} | {} | {result} |",
            case.name,
            protocols(case).join(", "),
            features(case).join(", "),
            case.records.len(),
            case.policy().replace('_', " "),
        );
    }
    out.push_str(NOTES);
    out
}

/// Protocols by the versions that the datagrams carry.
fn protocols(case: &Case) -> Vec<String> {
    if case.group == "sflow" {
        return vec!["sFlow 5".into()];
    }
    let captures = Captures::open(&[&case.file], looks_like_export).expect("a capture");
    let mut versions = BTreeSet::new();
    captures.read(&Selection::Export, |d: &Datagram<'_>| {
        if let [0, version, ..] = d.payload {
            versions.insert(*version);
        }
    });
    let name = |v: u8| match v {
        10 => Some("IPFIX".to_owned()),
        5 | 7 | 9 => Some(format!("NetFlow {v}")),
        _ => None,
    };
    versions.into_iter().filter_map(name).collect()
}

fn features(case: &Case) -> Vec<&'static str> {
    let any = |test: &dyn Fn(&str, &Value) -> bool| {
        case.records
            .iter()
            .any(|r| r.iter().any(|(k, v)| test(k, v)))
    };
    let named = |prefixes: &[&str]| any(&|k, _| prefixes.iter().any(|p| k.starts_with(p)));
    let raw = |test: &dyn Fn(&str) -> bool| {
        any(&|k, v| k == "raw" && v.as_object().is_some_and(|m| m.keys().any(|k| test(k))))
    };
    let list: [(&str, bool); 19] = [
        ("options data", any(&|k, v| k == "kind" && v == "options")),
        ("interface counters", named(&["if_in_"])),
        (
            "expanded samples",
            any(&|k, v| k == "sample_type" && (v == 3 || v == 4)),
        ),
        (
            "raw IP header",
            any(&|k, v| k == "header_protocol" && (v == 11 || v == 12)),
        ),
        (
            "IPv6",
            any(&|k, v| k.ends_with("src_addr") && v.as_str().is_some_and(|a| a.contains(':'))),
        ),
        ("enterprise elements", raw(&|k| k.contains('.'))),
        ("repeated elements", raw(&|k| k.contains('#'))),
        ("v9 scopes", raw(&|k| k.starts_with('s'))),
        ("reverse elements", named(&["rev_"])),
        ("totals", named(&["bytes_total", "packets_total"])),
        ("sampling", named(&["sampl", "selector_id"])),
        ("applications", named(&["app_"])),
        ("NAT", named(&["nat_"])),
        ("firewall events", named(&["firewall_event"])),
        ("MPLS", named(&["mpls"])),
        ("VRF", named(&["ingress_vrf", "egress_vrf"])),
        (
            "layer 2",
            named(&["src_mac", "dst_mac", "vlan", "dot1q", "post_"]),
        ),
        ("frame sections", named(&["frame_dst_addr"])),
        (
            "undecodable parts",
            case.head["undecodable"]
                .as_array()
                .is_some_and(|u| !u.is_empty()),
        ),
    ];
    list.into_iter().filter(|f| f.1).map(|f| f.0).collect()
}

const HEADING: &str = "\
# Conformance

Captures of real exporters that nobody of this project made, with the records that independent decoders found in
them. Each is read with `flowhouse inspect --raw`, and record by record, field by field and byte by byte of the raw
form compared; so are the rows of `flowhouse replay` (`tests/it/conformance.rs`). This page is written by that test
(`FLOWHOUSE_BLESS=1 cargo test --test it conformance`) and fails it when it is out of date.

- exact: the records come out as listed, in this order, and no others.
- lenient: the records come out as listed, in this order; a difference is allowed and explained below.
- no crash: broken input; the end is orderly and the reason is told.

| capture | vendor | protocol | features | records | policy | result |
| --- | --- | --- | --- | --- | --- | --- |
";

const NOTES: &str = "
## Where we differ from an expectation

**td-sflow-multiple-counter-30-pdus.** The expectation takes datagrams 13, 19, 20, 21 and 22 for sFlow of a version
327681 or 327682, shifted by two bytes. They are NetFlow version 5: they begin `00 05 00 01` or `00 05 00 02` (version
5, count 1 or 2), are exactly 24 + 48 x count bytes long (72 or 120), carry the same plausible clock (`4d96 6a2b` to
`4d96 6a2d`, 2 April 2011), flow sequence numbers that go on between the datagrams of one exporter, and come from a
UDP source port of their own (40000). `inspect` therefore prints their seven flow records beside the 144 listed ones.

## Where expectations leave room

- Times of NetFlow 5 and 9 are the header's clock plus the signed difference of the uptimes modulo 2^32: a wrap of the
  counter is undone, and an exporter whose uptimes run ahead of its header (ls-netflow-9-fortigate-fortios-5-2-1: seven
  days) shows as it is.
- An address sent in 16 bytes is printed as IPv6 also where it is a mapped IPv4 address (`::ffff:cb00:7118`); rows
  store both forms alike.
- Several elements of one name (both address families, ports of different protocols): the first that is not zero.
- A set that runs past its message is used up to the end of the message (tg-issue-14370).
- A template that is refused takes the template of the same id with it (ex-malformed-2).
- A datagram that is quoted in an ICMP error was not sent to a collector (ex-malformed-6: the second frame).
";
