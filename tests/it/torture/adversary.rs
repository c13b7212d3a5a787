//! A flood of invented sources that is to hide a slow scanner, a beacon and somebody who guesses passwords: all three are found,
//! and memory is at the end what it was when the tables had filled.

use super::flood::Tape;
use crate::harness::{directory, exe};
use flowhouse::detect::anomaly::{Detectors, Feed, Settings, Sighting};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const SOURCES: u64 = 10_000_000;
const SECONDS: u64 = 600;
const SERVER: u32 = 0x0a01_0050;
const SCANNER: u32 = 0xc633_6407;
const GUESSER: u32 = 0xcb00_7109;
const SICK: u32 = 0x0a00_0909;
const HOME: u32 = 0xc000_0207;

/// A session of TCP with so many exchanges of data.
fn session(tape: &mut Tape, from: (u32, u16), to: (u32, u16), exchanges: u32, size: usize) {
    tape.open(from, to);
    let data = vec![b'x'; size];
    let (mut there, mut back) = (100, 500);
    for _ in 0..exchanges {
        tape.tcp(from, to, (there, back), 0x18, &data);
        there += size as u32;
        tape.tcp(to, from, (back, there), 0x18, &data);
        back += size as u32;
    }
    tape.tcp(from, to, (there, back), 0x11, b"");
    tape.tcp(to, from, (back, there + 1), 0x11, b"");
    tape.tcp(from, to, (there + 1, back + 1), 0x10, b"");
}

/// The three, as much of each as belongs to this second.
fn hidden(tape: &mut Tape, second: u64) {
    let n = second as u32;
    if second.is_multiple_of(15) {
        // one host after the other, four a minute
        tape.tcp(
            (SCANNER, 40_000 + n as u16),
            (0x0a00_0300 + n / 15, 3389),
            (n, 0),
            2,
            b"",
        );
    }
    if second.is_multiple_of(20) {
        session(tape, (SICK, 30_000 + n as u16), (HOME, 443), 3, 200);
    }
    if second.is_multiple_of(5) && n < 400 {
        session(
            tape,
            (GUESSER, 50_000 + n as u16),
            (0x0a00_0216, 22),
            9,
            150,
        );
    }
}

fn capture(path: &Path, sources: u64) {
    let mut tape = Tape::new(path);
    let (start, per_second) = (tape.micros, sources / SECONDS);
    for second in 0..SECONDS {
        tape.micros = start + second * 1_000_000;
        hidden(&mut tape, second);
        for n in 0..per_second {
            tape.micros = start + second * 1_000_000 + n * 1_000_000 / per_second;
            let word = (second * per_second + n) as u32;
            // each address once; none of them inside
            let from = word.wrapping_mul(0x9e37_79b1) | 1 << 28;
            // a quarter goes to the whole network
            let to = if n % 4 == 0 {
                SERVER & !0xff | word & 0xff
            } else {
                SERVER
            };
            tape.tcp(
                (from, (n % 60_000) as u16 + 1024),
                (to, 80),
                (word, 0),
                2,
                b"",
            );
        }
    }
    tape.end();
}

/// What a replay found, and its own memory, looked at again and again, bytes.
struct Watched {
    found: Vec<Value>,
    samples: Vec<u64>,
}

impl Watched {
    fn new(dir: &Path, file: &Path, detects: bool) -> Self {
        let (out, config) = (
            dir.join(format!("{detects}.json")),
            dir.join(format!("{detects}.toml")),
        );
        fs::write(&config, format!("[detect]\nenabled = {detects}\n")).expect("written");
        // rows as text would take most of the time, and gigabytes
        let mut child = Command::new(exe())
            .args(["replay", "--as", "packets", "--json", "-c"])
            .args([&config, file])
            .stdout(fs::File::create(&out).expect("a file"))
            .stderr(Stdio::null())
            .spawn()
            .expect("it runs");
        let status = format!("/proc/{}/status", child.id());
        let mut samples: Vec<u64> = vec![];
        while child.try_wait().expect("a child").is_none() {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let anonymous = text.lines().find_map(|l| l.strip_prefix("RssAnon:"));
            let kib = anonymous.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
            samples.extend(kib.map(|k| k << 10));
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(child.wait().expect("a child").success());
        let text = fs::read_to_string(&out).expect("a summary");
        let summary: Value = serde_json::from_str(&text).expect("JSON");
        let found = summary["detections"].as_array().expect("a list").clone();
        let tenths = samples.chunks(samples.len().div_ceil(10).max(1));
        let tenths: Vec<u64> = tenths.map(|t| most(t) >> 20).collect();
        println!("detectors {detects}, MiB by tenths of the time: {tenths:?}");
        Watched { found, samples }
    }
}

fn most(samples: &[u64]) -> u64 {
    samples.iter().copied().max().unwrap_or(0)
}

#[test]
fn ten_million_invented_sources_hide_nobody() {
    let dir = directory();
    let file = dir.path().join("adversary.pcap");
    capture(&file, SOURCES);
    let run = |detects| Watched::new(dir.path(), &file, detects);
    let (Watched { found, samples }, without) = std::thread::scope(|s| {
        let without = s.spawn(|| run(false));
        (run(true), without.join().expect("it ran"))
    });
    fs::remove_file(&file).expect("removed");
    for (kind, entity) in [
        ("host_sweep_tcp", "198.51.100.7"),
        ("brute_force", "203.0.113.9"),
        ("beacon", "10.0.9.9"),
        ("syn_flood", "10.1.0.80"),
    ] {
        let is_it = |d: &&Value| d["kind"] == kind && d["entity"]["value"] == entity;
        assert_eq!(found.iter().filter(is_it).count(), 1, "{kind}: {found:#?}");
    }
    // four incidents of three attackers and a victim, and hardly more
    assert!(found.len() <= 8, "{found:#?}");
    // while tables fill, and then
    let (before, after) = samples.split_at(samples.len() / 2);
    let (before, after) = (most(before), most(after));
    assert!(
        after <= before + before / 20,
        "{before} bytes, then {after}"
    );
    // what detectors take is what the budget says
    let taken = before.max(after).saturating_sub(most(&without.samples));
    let settings = Settings::default();
    let waiting = settings.waiting_max * size_of::<Sighting>();
    let budget = Detectors::memory_max(&settings) + Feed::memory_max() + waiting;
    println!(
        "{SOURCES} sources: {} MiB, then {}; detectors take {} of {}",
        before >> 20,
        after >> 20,
        taken >> 20,
        budget >> 20
    );
    assert!(taken <= budget as u64, "{taken} bytes of {budget}");
}
