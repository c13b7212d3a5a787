//! A SYN flood of spoofed sources, and as many conversations as the table has room for: what memory the meter takes, and what
//! becomes of the connections that stood before.

use crate::harness::{directory, exe};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A capture that is written frame by frame.
pub struct Tape {
    out: BufWriter<File>,
    pub micros: u64,
}

impl Tape {
    pub fn new(path: &Path) -> Self {
        let mut out = BufWriter::with_capacity(1 << 20, File::create(path).expect("a file"));
        for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1] {
            out.write_all(&word.to_le_bytes()).expect("room");
        }
        let micros = 1_700_000_000_000_000;
        Tape { out, micros }
    }

    /// A packet of IPv4 between (address, port) pairs.
    pub fn packet(&mut self, from: (u32, u16), to: (u32, u16), proto: u8, l4: &[u8]) {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend((24 + l4.len() as u16).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, proto, 0, 0]);
        frame.extend(from.0.to_be_bytes());
        frame.extend(to.0.to_be_bytes());
        frame.extend(from.1.to_be_bytes());
        frame.extend(to.1.to_be_bytes());
        frame.extend(l4);
        let length = frame.len() as u32;
        let (s, us) = (self.micros / 1_000_000, self.micros % 1_000_000);
        for word in [s as u32, us as u32, length, length] {
            self.out.write_all(&word.to_le_bytes()).expect("room");
        }
        self.out.write_all(&frame).expect("room");
    }

    pub fn tcp(
        &mut self,
        from: (u32, u16),
        to: (u32, u16),
        (seq, ack): (u32, u32),
        flags: u8,
        data: &[u8],
    ) {
        let mut l4 = vec![];
        l4.extend(seq.to_be_bytes());
        l4.extend(ack.to_be_bytes());
        l4.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        l4.extend(data);
        self.packet(from, to, 6, &l4);
    }

    pub fn open(&mut self, from: (u32, u16), to: (u32, u16)) {
        self.tcp(from, to, (99, 0), 2, b"");
        self.tcp(to, from, (499, 100), 0x12, b"");
        self.tcp(from, to, (100, 500), 0x10, b"");
    }

    pub fn end(mut self) {
        self.out.flush().expect("room");
    }
}

const SERVER: u32 = 0xc000_0201;

fn talker(n: u32) -> (u32, u16) {
    (0x0a00_0000 + n, 40_000)
}

/// `talkers` open a connection, speak in the midst of a flood of `sources`, and at its end.
fn flood(path: &Path, talkers: u32, sources: u32, per_second: u64) {
    let mut tape = Tape::new(path);
    let to = (SERVER, 443);
    (0..talkers).for_each(|n| tape.open(talker(n), to));
    let speak = |tape: &mut Tape, seq: u32| {
        (0..talkers).for_each(|n| tape.tcp(talker(n), to, (seq, 500), 0x18, b"still here"));
    };
    let start = tape.micros;
    for n in 0..sources {
        tape.micros = start + u64::from(n) * 1_000_000 / per_second;
        if n == sources / 2 {
            speak(&mut tape, 100);
        }
        // spread over all addresses, each of them once
        let from = n.wrapping_mul(0x9e37_79b1) | 1 << 28;
        tape.tcp(
            (from, (n % 60_000) as u16 + 1024),
            (SERVER, 80),
            (n, 0),
            2,
            b"",
        );
    }
    speak(&mut tape, 110);
    tape.end();
}

/// Runs a replay; its output, and the most memory of its own that it held, bytes.
fn watched(arguments: &[&str], dir: &Path, file: &Path) -> (String, u64) {
    let out = dir.join("output");
    let mut child = Command::new(exe())
        .args(["replay", "--as", "packets"])
        .args(arguments)
        .arg(file)
        .stdout(File::create(&out).expect("a file"))
        .stderr(Stdio::null())
        .spawn()
        .expect("it runs");
    let (status, mut most) = (format!("/proc/{}/status", child.id()), 0);
    while child.try_wait().expect("a child").is_none() {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let anonymous = text.lines().find_map(|l| l.strip_prefix("RssAnon:"));
        let kib = anonymous.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0) << 10);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(child.wait().expect("a child").success());
    (fs::read_to_string(out).expect("output"), most)
}

fn total(ledger: &Value, name: &str) -> u64 {
    ledger["totals"][name].as_u64().unwrap_or(0)
}

#[test]
fn a_flood_leaves_memory_flat_and_connections_metered() {
    let dir = directory();
    let (file, config) = (dir.path().join("flood.pcap"), dir.path().join("f.toml"));
    fs::write(&config, "[meter]\nflows_max = 20000\n").expect("a file");
    let config = config.to_str().expect("a path");
    let out = dir.path().join("out");
    let with = ["--config", config, "--out", out.to_str().expect("a path")];
    flood(&file, 200, 30_000, 5_000);
    let (_, before) = watched(&with, dir.path(), &file);
    flood(&file, 200, 250_000, 5_000);
    let (_, after) = watched(&with, dir.path(), &file);
    assert!(after < before + before / 10 + (8 << 20), "{before} {after}");
    let ledger = fs::read_to_string(out.join("ledger.json")).expect("written");
    let ledger: Value = serde_json::from_str(&ledger).expect("JSON");
    assert_eq!(total(&ledger, "flows_evicted"), 0);
    assert!(total(&ledger, "flows_evicted_doubtful") > 100_000);
    let rows = fs::read_to_string(out.join("flows.ndjson")).expect("written");
    let mut found: BTreeMap<String, (u64, Vec<String>)> = BTreeMap::new();
    for row in rows.lines().filter(|l| l.contains("\"dst_port\":443")) {
        let row: Value = serde_json::from_str(row).expect("JSON");
        let of = found.entry(row["src_addr"].to_string()).or_default();
        of.0 += row["packets"].as_u64().expect("a count");
        of.1.push(row["conversation"].to_string());
    }
    assert_eq!(found.len(), 200);
    for (who, (packets, conversations)) in found {
        assert_eq!(packets, 4, "{who}");
        assert!(
            conversations.iter().all(|c| *c == conversations[0]),
            "{who} was forgotten"
        );
    }
}

/// The long form: 10 million sources at 100,000 a second against the table as it is by default.
#[test]
#[ignore = "minutes, a gigabyte of capture"]
fn ten_million_sources() {
    let dir = directory();
    let file = dir.path().join("flood.pcap");
    let mut most = vec![];
    for sources in [2_000_000, 10_000_000] {
        flood(&file, 1_000, sources, 100_000);
        let (said, memory) = watched(&["--json"], dir.path(), &file);
        let said: Value = serde_json::from_str(&said).expect("JSON");
        let ledger = &said;
        let evicted = total(ledger, "flows_evicted_doubtful");
        println!(
            "{sources} sources: {} MiB, {evicted} told early",
            memory >> 20
        );
        assert_eq!(total(ledger, "flows_evicted"), 0);
        assert!(evicted > 0);
        most.push(memory);
    }
    assert!(most[1] < most[0] + most[0] / 20, "{most:?}");
}

/// As many conversations at a time as the table has room for by default, half of them connections that say something.
#[test]
#[ignore = "minutes, half a gigabyte of capture"]
fn a_million_conversations_at_a_time() {
    let dir = directory();
    let file = dir.path().join("million.pcap");
    let mut tape = Tape::new(&file);
    for n in 0..CONVERSATIONS {
        tape.micros += 15;
        let (from, to) = (talker(n), (SERVER, 7777));
        if n % 2 == 0 {
            tape.open(from, to);
            tape.tcp(from, to, (100, 500), 0x18, b"\x03nobody knows this");
            tape.tcp(to, from, (500, 117), 0x18, b"\x03nor this");
        } else {
            for _ in 0..2 {
                tape.packet(from, to, 17, b"\0\x1a\0\0\x03nobody knows this");
                tape.packet(to, from, 17, b"\0\x14\0\0\x03nor this...");
            }
        }
    }
    tape.end();
    let (said, memory) = watched(&["--json"], dir.path(), &file);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    println!("{CONVERSATIONS} conversations: {} MiB", memory >> 20);
    assert_eq!(total(&said, "rows"), 2 * u64::from(CONVERSATIONS));
    assert_eq!(total(&said, "flows_evicted"), 0);
    assert!(memory < 1 << 30, "{memory}");
}

const CONVERSATIONS: u32 = 1_000_000;
