//! `flowhouse replay`: the same bytes each time and for any number of shards; what it says when it cannot.

use crate::harness::{Store, assert_laws, corpus, directory, eventually, exe, total};
use flowhouse::generate::sender::clock_ms;
use flowhouse::generate::{Exporter, Habits, Profile, Truth, capture};
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn replay(arguments: &[&str], files: &[PathBuf]) -> Output {
    let mut command = Command::new(exe());
    command.arg("replay").args(arguments).args(files);
    command.output().expect("it runs")
}

/// Replays into a folder and returns its files: flows, usage, ledger.
fn files_of(dir: &Path, arguments: &[&str], files: &[PathBuf]) -> [Vec<u8>; 3] {
    let out = dir.to_str().expect("text");
    let done = replay(&[&["--out", out], arguments].concat(), files);
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    ["flows.ndjson", "usage.ndjson", "ledger.json"].map(|f| fs::read(dir.join(f)).expect(f))
}

/// Asserts that two runs and any number of shards give the same bytes; returns the ledger.
fn assert_same(arguments: &[&str], files: &[PathBuf]) -> serde_json::Value {
    let dir = directory();
    let first = files_of(&dir.path().join("first"), arguments, files);
    assert!(first.iter().all(|f| !f.is_empty()));
    for shards in ["1", "2", "4"] {
        let to = dir.path().join(shards);
        let again = files_of(&to, &[arguments, &["--shards", shards]].concat(), files);
        for (n, name) in ["flows", "usage", "ledger"].iter().enumerate() {
            assert!(first[n] == again[n], "{name} differ with {shards} shards");
        }
    }
    let ledger = serde_json::from_slice(&first[2]).expect("JSON");
    assert_laws(&ledger);
    ledger
}

/// A capture of generated exporters of all kinds, nine years old, and the truth of it.
fn generated(dir: &Path, flows: u64, habits: Habits) -> (PathBuf, Truth) {
    generated_at(START_MS, dir, flows, habits)
}

fn generated_at(start_ms: i64, dir: &Path, flows: u64, habits: Habits) -> (PathBuf, Truth) {
    let kinds = [
        Profile::EdgeSwitch,
        Profile::Router,
        Profile::Gateway,
        Profile::SflowSwitch,
    ];
    let exporter = |n: u32| {
        let agent = IpAddr::from(capture::capture_address(n)).into();
        let habits = Habits { agent, ..habits };
        Exporter::new(kinds[n as usize % kinds.len()], habits, n, 7, start_ms)
    };
    let mut exporters: Vec<Exporter> = (0..9).map(exporter).collect();
    let path = dir.join("generated.pcap");
    let mut file = fs::File::create(&path).expect("created");
    let truth = capture::write(&mut file, &mut exporters, flows, 1000, 2055, start_ms);
    (path, truth.expect("written").truth)
}

const START_MS: i64 = 1_500_000_000_000;

#[test]
fn the_corpus_gives_the_same_bytes_for_any_number_of_shards() {
    let Some(corpus) = corpus() else { return };
    let mut files = vec![];
    for folder in ["flow", "sflow"] {
        let entries = fs::read_dir(corpus.join(folder)).expect("folder");
        let paths = entries.map(|e| e.expect("entry").path());
        files.extend(paths.filter(|p| {
            p.extension()
                .is_some_and(|e| e.to_string_lossy().contains("pcap"))
        }));
    }
    files.sort();
    assert!(files.len() > 50, "{} captures", files.len());
    let ledger = assert_same(&["--as", "export"], &files);
    assert!(total(&ledger, "rows") > 1000);
    assert_same(&[], &files);
}

#[test]
fn generated_traffic_gives_the_same_bytes_for_any_number_of_shards() {
    let dir = directory();
    let habits = Habits {
        sampling: 10,
        both_directions: true,
        clock_ahead_ms: 7_200_000,
        ..Habits::default()
    };
    let (file, truth) = generated(dir.path(), 30_000, habits);
    let ledger = assert_same(&[], &[file]);
    assert_eq!(total(&ledger, "rows"), truth.total.flows);
    assert_eq!(total(&ledger, "rows"), total(&ledger, "rows_acknowledged"));
}

/// More counter samples than a bundle's inventory has room for, of four agents.
#[test]
fn counters_give_the_same_bytes_for_any_number_of_shards() {
    let dir = directory();
    let mut frames = vec![];
    for n in 0..140u32 {
        let (agent, sequence) = (0x0a00_0001 + n % 4, n / 4);
        let mut words = vec![5, 1, agent, 0, sequence, 1000 * n, 500];
        for sample in 0..500 {
            let number = sequence * 500 + sample;
            words.extend([2, 108, number, 1 + sample, 1, 1, 88, 1 + sample, 6]);
            words.extend([0; 20]);
        }
        let payload: Vec<u8> = words.iter().flat_map(|w: &u32| w.to_be_bytes()).collect();
        frames.push(datagram_frame(6343, &payload));
    }
    frames.push(datagram_frame(2055, &v5()));
    let file = dir.path().join("counters.pcap");
    fs::write(&file, raw_ip_capture(&frames)).expect("written");
    let ledger = assert_same(&["--as", "export"], &[file]);
    assert_eq!(total(&ledger, "records_counters"), 70_000);
    assert_eq!(total(&ledger, "names_refused"), 0);
    assert_eq!(total(&ledger, "facts_refused"), 0);
}

/// A NetFlow 5 datagram with one flow.
fn v5() -> Vec<u8> {
    let mut v5 = vec![0, 5, 0, 1];
    v5.extend(3_600_000u32.to_be_bytes());
    v5.extend(1_700_000_000u32.to_be_bytes());
    v5.resize(24, 0);
    v5.extend([10, 0, 0, 1, 10, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0, 2]);
    v5.extend(7u32.to_be_bytes());
    v5.extend(4200u32.to_be_bytes());
    v5.extend(3_590_000u32.to_be_bytes());
    v5.extend(3_600_000u32.to_be_bytes());
    v5.extend([0x30, 0x39, 1, 187, 0, 0x18, 6, 0]);
    v5.resize(72, 0);
    v5
}

/// An IPv4 packet with a UDP datagram.
fn datagram_frame(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = |more: usize| ((payload.len() + more) as u16).to_be_bytes();
    let [a, b] = length(28);
    let mut frame = vec![
        0x45, 0, a, b, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
    ];
    frame.extend([port, port].map(u16::to_be_bytes).as_flattened());
    frame.extend(length(8));
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// A capture of IP packets, a millisecond apart.
fn raw_ip_capture(packets: &[Vec<u8>]) -> Vec<u8> {
    let mut out = [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 262_144, 101]
        .map(u32::to_le_bytes)
        .concat();
    for (n, packet) in packets.iter().enumerate() {
        let (n, len) = (n as u32, packet.len() as u32);
        out.extend(
            [1_500_000_000 + n / 1000, n % 1000 * 1000, len, len]
                .map(u32::to_le_bytes)
                .concat(),
        );
        out.extend(packet);
    }
    out
}

#[test]
fn exit_codes() {
    let dir = directory();
    let missing = dir.path().join("missing.pcap");
    let code = |arguments: &[&str], file: &Path| {
        let out = replay(arguments, &[file.to_owned()]);
        (
            out.status.code(),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        )
    };
    let (status, said) = code(&[], &missing);
    assert_eq!(status, Some(1), "{said}");
    assert_eq!(said.matches("No such file").count(), 1, "told once: {said}");
    assert!(said.contains("missing.pcap"), "{said}");

    let text = dir.path().join("text.pcap");
    fs::write(&text, "this is no capture").expect("written");
    let (status, said) = code(&[], &text);
    assert_eq!(status, Some(1), "{said}");

    for wrong in [
        &["--shards", "0"][..],
        &["--bogus"],
        &["--as", "tea"],
        &["--keep-times"],
    ] {
        let (status, said) = code(wrong, &text);
        assert_eq!(status, Some(2), "{wrong:?}: {said}");
    }
    assert_eq!(replay(&[], &[]).status.code(), Some(2), "no file at all");

    // a template and then a set that claims more than there is
    let mut broken = vec![0, 10, 0, 24, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9];
    broken.extend([1, 0, 0, 200, 1, 2, 3, 4]);
    let file = dir.path().join("broken.dat");
    fs::write(&file, broken).expect("written");
    let (status, said) = code(&["--as", "export"], &file);
    assert_eq!(
        status,
        Some(0),
        "malformed records are counted, no error: {said}"
    );
}

#[test]
fn a_datagram_is_booked_under_its_agent() {
    let dir = directory();
    // agent 10.0.0.1, no samples
    let words = [5u32, 1, 0x0a00_0001, 0, 1, 1000, 0];
    let payload: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    let file = dir.path().join("one.dat");
    fs::write(&file, payload).expect("written");
    let [_, _, ledger] = files_of(&dir.path().join("out"), &["--as", "export"], &[file]);
    let ledger: serde_json::Value = serde_json::from_slice(&ledger).expect("JSON");
    assert_laws(&ledger);
    let accounts = ledger["exporters"].as_array().expect("list");
    let booked = accounts.iter().filter(|a| a["datagrams_received"] == 1);
    let parsed = accounts.iter().filter(|a| a["datagrams_parsed"] == 1);
    let [booked, parsed] = [booked.collect::<Vec<_>>(), parsed.collect()];
    assert_eq!((booked.len(), &booked), (1, &parsed), "{ledger}");
}

#[test]
fn one_raw_payload_is_a_capture() {
    let dir = directory();
    let file = dir.path().join("one.dat");
    fs::write(&file, v5()).expect("written");
    let [flows, usage, ledger] = files_of(&dir.path().join("out"), &[], &[file]);
    let flow: serde_json::Value = serde_json::from_slice(&flows).expect("one line");
    assert_eq!(
        (&flow["bytes"], &flow["packets"]),
        (&4200.into(), &7.into()),
        "{flow}"
    );
    assert_eq!(
        flow["start_ms"], 1_699_999_990_000u64,
        "its header's export time is the clock"
    );
    assert_eq!(
        String::from_utf8_lossy(&usage).lines().count(),
        2,
        "both sides"
    );
    assert_laws(&serde_json::from_slice(&ledger).expect("JSON"));
}

/// What an IPFIX record of these tests says: destination port, bytes, packets, direction (element 61).
type Record = (u16, u64, u64, u8);

const INGRESS: u8 = 0;
const EGRESS: u8 = 1;

/// A file of one IPFIX message: its template, and records of flows from interface 3 to interface 4.
fn message_of(dir: &Path, records: &[Record]) -> PathBuf {
    let fields: [[u16; 2]; 8] = [
        [8, 4],
        [11, 2],
        [4, 1],
        [10, 4],
        [14, 4],
        [61, 1],
        [1, 8],
        [2, 8],
    ];
    let mut template = vec![2, 8 + 4 * 8, 256, 8];
    template.extend(fields.as_flattened());
    let mut payload: Vec<u8> = template.iter().flat_map(|w| w.to_be_bytes()).collect();
    payload.extend([1, 0]);
    payload.extend((4 + 32 * records.len() as u16).to_be_bytes());
    for (port, bytes, packets, direction) in records {
        payload.extend([192, 0, 2, 77]);
        payload.extend(port.to_be_bytes());
        payload.extend([6, 0, 0, 0, 3, 0, 0, 0, 4, *direction]);
        payload.extend(bytes.to_be_bytes());
        payload.extend(packets.to_be_bytes());
    }
    let mut message = vec![0, 10];
    message.extend((16 + payload.len() as u16).to_be_bytes());
    message.extend(1_700_000_000u32.to_be_bytes());
    message.extend([0, 0, 0, 0, 0, 0, 0, 1]);
    message.extend(payload);
    let file = dir.join("message.dat");
    fs::write(&file, message).expect("written");
    file
}

fn summary(file: &Path) -> serde_json::Value {
    let done = replay(&["--json"], &[file.to_owned()]);
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    serde_json::from_slice(&done.stdout).expect("JSON")
}

/// An exporter that meters where traffic leaves: its bytes are booked on the ingress as inferred, once.
#[test]
fn the_summary_has_what_was_metered_on_egress() {
    let dir = directory();
    let once = [(443, 1_000_000, 900, EGRESS), (80, 500_000, 400, EGRESS)];
    let said = summary(&message_of(dir.path(), &once));
    assert_eq!(said["applications"][0]["bytes"], 1_000_000, "{said}");
    assert_eq!(said["applications"][1]["bytes"], 500_000, "{said}");
    assert_eq!(said["qos_classes"][0]["bytes"], 1_500_000, "{said}");

    // told at both ends of its way through the exporter, it still counts once
    let twice = [
        (443, 1_000_000, 900, EGRESS),
        (443, 1_000_000, 900, INGRESS),
    ];
    let said = summary(&message_of(dir.path(), &twice));
    assert_eq!(said["applications"][0]["bytes"], 1_000_000, "{said}");
    assert_eq!(said["applications"][0]["flows"], 1, "{said}");
}

/// Counters that no link can have carried hide nothing of what others say, and are counted.
#[test]
fn implausible_counters_are_no_usage() {
    let dir = directory();
    let records = [(443, u64::MAX), (443, 1 << 51), (80, 700)];
    let records = records.map(|(port, bytes)| (port, bytes, 1, INGRESS));
    let file = message_of(dir.path(), &records);
    let said = summary(&file);
    let applications = said["applications"].as_array().expect("a list");
    assert_eq!(applications.len(), 1, "{said}");
    assert_eq!(applications[0]["bytes"], 700, "{said}");
    let totals = &said["totals"];
    assert_eq!(totals["counters_implausible"], 2, "{said}");
    assert_eq!(totals["rows"], 3, "{said}");
    assert_same(&[], &[file]);
}

/// `--url` is where other subcommands read; nobody shall believe that rows went there.
#[test]
fn a_store_that_nothing_is_inserted_into_is_refused() {
    let dir = directory();
    let file = message_of(dir.path(), &[(443, 700, 1, INGRESS)]);
    let cases = [
        ["--url", "http://127.0.0.1:1"],
        ["--store", "ftp://127.0.0.1"],
    ];
    for arguments in cases {
        let done = replay(&arguments, std::slice::from_ref(&file));
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{said}");
        assert!(said.contains("--store"), "{said}");
    }
}

/// A capture full of forged sources: as many exporters are heard as the configuration says, with any number of shards.
#[test]
fn exporters_of_a_capture_are_bounded() {
    let dir = directory();
    let (config, file) = (dir.path().join("c.toml"), dir.path().join("many.pcap"));
    fs::write(&config, "[decode]\nexporters_max = 2\n").expect("written");
    let mut make = Command::new(exe());
    make.args(["generate", "--protocol", "v5", "--exporters", "5"]);
    make.args(["--flows", "3000", "--pcap"]).arg(&file);
    assert!(make.output().expect("runs").status.success());
    let config = config.to_str().expect("text");
    let ledger = assert_same(&["--as", "export", "-c", config], &[file]);
    assert!(
        total(&ledger, "datagrams_refused_exporter_limit") > 50,
        "{ledger}"
    );
    let exporters = ledger["exporters"].as_array().expect("a list");
    let heard = exporters
        .iter()
        .filter(|e| e["datagrams_parsed"].as_u64() > Some(0));
    assert_eq!(heard.count(), 2, "{ledger}");
    assert_laws(&ledger);
}

/// Who may send is the same for a capture as for a running collector.
#[test]
fn exporters_that_may_not_send_are_refused_in_a_capture() {
    let dir = directory();
    let (config, file) = (dir.path().join("c.toml"), dir.path().join("some.pcap"));
    let lists = "deny = [\"198.18.0.2\", \"198.18.0.4\"]\nexporters_max = 2\n";
    fs::write(&config, format!("[receive]\n{lists}")).expect("written");
    let mut make = Command::new(exe());
    make.args(["generate", "--protocol", "v5", "--exporters", "5"]);
    make.args(["--flows", "3000", "--pcap"]).arg(&file);
    assert!(make.output().expect("runs").status.success());
    let config = config.to_str().expect("text");
    let ledger = assert_same(&["--as", "export", "-c", config], &[file]);
    for refused in ["datagrams_refused_acl", "datagrams_refused_exporter_limit"] {
        assert!(total(&ledger, refused) > 10, "{ledger}");
    }
    let exporters = ledger["exporters"].as_array().expect("a list");
    let parsed = exporters
        .iter()
        .filter(|e| e["datagrams_parsed"].as_u64() > Some(0));
    let mut heard: Vec<&str> = parsed.filter_map(|e| e["exporter"].as_str()).collect();
    heard.sort_unstable();
    assert_eq!(heard, ["198.18.0.1", "198.18.0.3"]);
}

#[test]
fn into_the_store_with_its_end_moved_to_now() {
    let dir = directory();
    let (file, truth) = generated(dir.path(), 5_000, Habits::default());
    let store = Store::start(dir.path());
    let url = format!("http://{}", store.address);
    let key = store.key_file();
    let arguments = ["--store", &url, "--key-file", key.to_str().expect("text")];
    let began = now_s();
    let files = [file];
    let out = replay(&arguments, &files);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let sql = store.sql();
    let [count, last] =
        sql.numbers("SELECT count(), max(toUnixTimestamp(received_at)) FROM flows")[..]
    else {
        panic!("two numbers");
    };
    assert_eq!(count, truth.total.flows);
    assert!(
        (began..=now_s()).contains(&last),
        "the last packet is at {last}, it began at {began}"
    );
    let old = "SELECT countIf(end_ms > 0 AND end_ms < toUnixTimestamp64Milli(now64()) - 3600000) FROM flows";
    assert_eq!(sql.numbers(old), [0], "flow times are moved, too");
    let usage = "SELECT sum(bytes), sum(flows) FROM usage_1m WHERE direction = 'ingress'";
    let booked = sql.numbers("SELECT sum(bytes), count() FROM flows");
    assert_eq!(booked, [truth.total.bytes, truth.total.flows]);
    eventually("usage equals flows", || sql.numbers(usage) == booked);

    let kept = replay(&[&arguments[..], &["--keep-times"]].concat(), &files);
    assert_eq!(kept.status.code(), Some(1));
    let said = String::from_utf8_lossy(&kept.stderr).into_owned();
    assert!(said.contains("older than the 15 days"), "{said}");
    assert_eq!(
        sql.numbers("SELECT count() FROM flows"),
        [truth.total.flows]
    );
}

/// Nine exporters and room for few talkers: what has a row and what is left of the others.
#[test]
fn talkers_in_the_store_are_the_same_for_any_number_of_shards() {
    let dir = directory();
    let hour_ago = clock_ms() - 3_600_000;
    let (file, _) = generated_at(hour_ago, dir.path(), 30_000, Habits::default());
    let config = dir.path().join("few.toml");
    fs::write(&config, "[usage]\ntalkers_max = 64\n").expect("written");
    let store = Store::start(dir.path());
    // where the harness asks
    store.sql().run("CREATE DATABASE flowhouse");
    let (url, key) = (format!("http://{}", store.address), store.key_file());
    let told = |shards: &str| {
        let database = format!("shards_{shards}");
        let arguments = [
            &[
                "-c",
                config.to_str().expect("text"),
                "--store",
                &url,
                "--keep-times",
            ][..],
            &[
                "--key-file",
                key.to_str().expect("text"),
                "--shards",
                shards,
                "--database",
                &database,
            ],
        ];
        let out = replay(&arguments.concat(), std::slice::from_ref(&file));
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let sql = store.sql();
        let talkers = sql.rows(&format!(
            "SELECT time, exporter, role, other, address, sum(bytes), sum(flows), sum(error_bytes) FROM {database}.talkers_1m
            GROUP BY ALL ORDER BY ALL"
        ));
        let cut = format!("SELECT sum(count) FROM {database}.ledger WHERE outcome = 'talkers_cut'");
        (talkers, sql.rows(&cut))
    };
    let one = told("1");
    let is_other = |n: &str| one.0.iter().filter(|r| r[3] == n).count();
    assert!(is_other("0") > 30 && is_other("1") > 18, "{one:?}");
    assert_ne!(one.1, [["0"]], "some found no room");
    assert_eq!(told("4"), one);
}

fn now_s() -> u64 {
    (clock_ms() / 1_000) as u64
}

/// The summary for people and the one as JSON hold the same; the latter holds what `ledger.json` does.
#[test]
fn both_summaries_say_the_same() {
    let dir = directory();
    let (path, truth) = generated(dir.path(), 3_000, Habits::default());
    let files = [path];
    let text = String::from_utf8(replay(&[], &files).stdout).expect("text");
    let said = replay(&["--json"], &files).stdout;
    let mut said: serde_json::Value = serde_json::from_slice(&said).expect("JSON");
    assert_laws(&said);
    for (list, heading) in [
        ("applications", "application"),
        ("qos_classes", "QoS class"),
    ] {
        let rows = said[list].as_array().expect("a list").clone();
        assert!(!rows.is_empty() && rows.len() <= 10);
        let shown = text.lines().skip_while(|l| !l.starts_with(heading)).skip(1);
        for (row, line) in rows.iter().zip(shown) {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(words.first().copied(), row["name"].as_str(), "{line}");
            let flows = row["flows"].to_string();
            assert_eq!(words.last().copied(), Some(&flows[..]), "{line}");
        }
    }
    let classes = said["qos_classes"].as_array().expect("a list");
    let share: f64 = classes.iter().filter_map(|c| c["share"].as_f64()).sum();
    assert!((share - 1.0).abs() < 1e-4 || classes.len() == 10, "{share}");
    assert_eq!(said["totals"]["rows"], truth.total.flows);
    let kept = &files_of(&dir.path().join("out"), &[], &files)[2];
    let kept: serde_json::Value = serde_json::from_slice(kept).expect("JSON");
    let parts = said.as_object_mut().expect("an object");
    parts.retain(|name, _| !["applications", "qos_classes", "detections"].contains(&&name[..]));
    assert_eq!(said, kept);
    let both = replay(&["--json", "--out", "x"], &files);
    assert_eq!(both.status.code(), Some(2));
}
