//! What detectors keep over a restart, and what they ask of the store.

use crate::harness::{Collector, Sql, directory, embedded, eventually};
use crate::torture::flood::Tape;
use flowhouse::detect::anomaly::ranges;
use flowhouse::sink::schema::{SlowUploads, slow_uploads};
use std::fs;
use std::os::unix::fs::PermissionsExt;

#[test]
fn state_outlives_a_restart_and_what_is_damaged_is_set_aside_and_told() {
    let dir = directory();
    let state = dir.path().join("state");
    let config = format!(
        "[receive]\nlisteners = [\"127.0.0.1:0\"]\n{}",
        embedded(dir.path())
    );
    let file = state.join("detectors");
    let start = || {
        let collector = Collector::start(dir.path(), &config);
        eventually("the schema", || {
            collector.metric("flowhouse_sink_delivering") == 1.0
        });
        collector
    };
    let collector = start();
    let store = collector.store.clone().expect("it started a store");
    let sql = Sql::new(&store, &dir.path().join("store"));
    slow_uploads_are_asked_for(&sql);
    collector.stop();
    let first = fs::read(&file).expect("written at the end");
    let mode = fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    start().stop();
    assert!(!state.join("detectors.damaged").exists(), "it was good");

    let mut damaged = first;
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(&file, &damaged).expect("written");
    let collector = start();
    let store = collector.store.clone().expect("it started a store");
    let sql = Sql::new(&store, &dir.path().join("store"));
    eventually("the detection", || {
        let told = "SELECT count() FROM detections FINAL WHERE kind = 'detector_degraded'";
        sql.numbers(told) == [1]
    });
    assert_eq!(
        fs::read(state.join("detectors.damaged")).expect("aside"),
        damaged
    );
    collector.stop();
}

#[test]
fn what_the_last_file_of_a_folder_has_is_told_when_no_more_come() {
    let dir = directory();
    let folder = dir.path().join("captures");
    fs::create_dir(&folder).expect("made");
    let config = format!(
        "[receive]\nlisteners = [\"127.0.0.1:0\"]\n[capture]\nwatch_directory = {folder:?}\nwatch_idle_s = 1\n{}",
        embedded(dir.path())
    );
    let collector = Collector::start(dir.path(), &config);
    // a flood within one second, and nothing behind it
    let file = dir.path().join("flood.pcap");
    let mut tape = Tape::new(&file);
    for n in 0..3_000u32 {
        tape.micros += 250;
        let from = (
            0x2d00_0000 + n.wrapping_mul(0x9e37_79b1) % (1 << 24),
            1_024 + n as u16,
        );
        tape.tcp(from, (0xc000_0201, 80), (n, 0), 2, b"");
    }
    tape.end();
    fs::rename(&file, folder.join("flood.pcap")).expect("moved");
    let line = collector.logs("syn_flood");
    assert!(line.contains("192.0.2.1"), "{line}");
    collector.stop();
}

/// A flood that goes on in the next file of a folder is the same incident, though the collector was started anew between them.
#[test]
fn an_incident_of_files_keeps_its_id_over_a_restart() {
    let dir = directory();
    let folder = dir.path().join("captures");
    fs::create_dir(&folder).expect("made");
    let config = format!(
        "[receive]\nlisteners = [\"127.0.0.1:0\"]\n[capture]\nwatch_directory = {folder:?}\nwatch_idle_s = 1\n{}",
        embedded(dir.path())
    );
    let told = "SELECT uniqExact(id), toUInt64(max(version) > 1), uniqExact(first_at) FROM detections FINAL WHERE kind = 'syn_flood'";
    for (part, wanted) in [(0u64, [1, 0, 1]), (1, [1, 1, 1])] {
        let collector = Collector::start(dir.path(), &config);
        let file = dir.path().join("flood.pcap");
        let mut tape = Tape::new(&file);
        tape.micros += part * 60_000_000;
        for n in 0..3_000u32 {
            tape.micros += 250;
            let from = (
                0x2d00_0000 + n.wrapping_mul(0x9e37_79b1) % (1 << 24),
                1_024 + n as u16,
            );
            tape.tcp(from, (0xc000_0201, 80), (n, 0), 2, b"");
        }
        tape.end();
        fs::rename(&file, folder.join(format!("flood-{part}.pcap"))).expect("moved");
        let store = collector.store.clone().expect("it started a store");
        let sql = Sql::new(&store, &dir.path().join("store"));
        eventually("the schema", || {
            collector.metric("flowhouse_sink_delivering") == 1.0
        });
        eventually("the detection", || sql.numbers(told) == wanted);
        collector.stop();
    }
}

/// Pairs inside and outside over days: one that sends, one that is answered with more, one of a single day, one inside.
fn slow_uploads_are_asked_for(sql: &Sql) {
    let row = |day: u32, exporter: &str, (src, dst): (&str, &str), bytes: u64| {
        format!(
            "(now() - INTERVAL {day} DAY, toIPv6('{exporter}'), toIPv6('{src}'), toIPv6('{dst}'), {bytes}, 1, 1000, 2000)"
        )
    };
    let mut rows = vec![];
    for day in 0..4 {
        rows.push(row(
            day,
            "192.0.2.1",
            ("10.0.0.1", "198.51.100.7"),
            60_000_000,
        ));
        rows.push(row(
            day,
            "192.0.2.1",
            ("198.51.100.7", "10.0.0.1"),
            1_000_000,
        ));
        // the same seen by another exporter, which saw less of it
        rows.push(row(
            day,
            "192.0.2.2",
            ("10.0.0.1", "198.51.100.7"),
            50_000_000,
        ));
        rows.push(row(
            day,
            "192.0.2.1",
            ("10.0.0.2", "198.51.100.8"),
            60_000_000,
        ));
        rows.push(row(
            day,
            "192.0.2.1",
            ("198.51.100.8", "10.0.0.2"),
            60_000_000,
        ));
        rows.push(row(day, "192.0.2.1", ("10.0.0.3", "10.0.0.4"), 60_000_000));
    }
    rows.push(row(
        1,
        "192.0.2.1",
        ("10.0.0.5", "198.51.100.9"),
        900_000_000,
    ));
    sql.run(&format!(
        "INSERT INTO flowhouse.flows (received_at, exporter, src_addr, dst_addr, bytes, sampling_interval, start_ms, end_ms) VALUES {}",
        rows.join(", ")
    ));
    let asked = slow_uploads(&SlowUploads {
        inside: ranges(&["10.0.0.0/8".to_owned()]),
        days: 7,
        bytes: 200_000_000,
        ratio: 5.0,
    });
    let found = sql.rows(&asked);
    let wanted = [
        "10.0.0.1",
        "198.51.100.7",
        "240000000",
        "4000000",
        "4",
        "1000",
        "2000",
    ];
    assert_eq!(found, vec![wanted.map(str::to_owned).to_vec()]);
}
