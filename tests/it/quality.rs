//! Generated packets through the whole path: what a meter finds is what was generated, rollups of quality add up to the rows, and noise costs
//! neither a law nor a byte.

use crate::capture::{network, replayed};
use crate::harness::{Collector, Store, assert_laws, directory, eventually, exe, run, total};
use flowhouse::aggregate::Usage;
use flowhouse::batch::{Identity, Sealer};
use flowhouse::dissect::{Dissector, FrameHead};
use flowhouse::enrich::Tables;
use flowhouse::generate::packets::{GeneratedFrame, Packets};
use flowhouse::ledger::{Book, Gauges, Outcome, laws};
use flowhouse::meter::Meter;
use flowhouse::reassemble::app::{Apps, Wishes};
use flowhouse::reassemble::fragment::Fragments;
use flowhouse::shard::{Back, CaptureShard};
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

/// A capture of generated packets, and what they are.
fn generated(file: &Path, flows: &str) -> Value {
    let mut command = Command::new(exe());
    command.args([
        "generate",
        "--packets",
        "--json",
        "--rate",
        "200",
        "--flows",
        flows,
        "--pcap",
    ]);
    serde_json::from_str(&run(command.arg(file))).expect("JSON")
}

fn truth(of: &Value, key: &str) -> u64 {
    of[key].as_u64().expect(key)
}

#[test]
fn generated_packets_are_metered_to_the_unit() {
    let dir = directory();
    let file = dir.path().join("packets.pcap");
    let of = generated(&file, "3000");
    let rows = replayed(dir.path(), &file);
    assert_eq!(rows.len() as u64, truth(&of, "flows"));
    let sum = |n: usize| rows.values().map(|v| v[n]).sum::<u64>();
    assert_eq!(
        [sum(0), sum(1)],
        ["packets", "bytes"].map(|k| truth(&of, k))
    );
    let text = std::fs::read_to_string(dir.path().join("replay/flows.ndjson")).expect("rows");
    let rows: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    let again: u64 = rows.iter().filter_map(|r| r["retransmits"].as_u64()).sum();
    assert_eq!(again, truth(&of, "retransmits"));
    let refused = rows.iter().filter(|r| r["handshake"] == "refused").count();
    assert_eq!(refused as u64, truth(&of, "refused"));
    let sum = |key: &str| rows.iter().filter_map(|r| r[key].as_u64()).sum::<u64>();
    assert_eq!(sum("lost"), truth(&of, "rtp_lost"));
    let answers = rows
        .iter()
        .filter(|r| r["dns_rcode"] == 0 && r["dns_rtt_us"].is_u64());
    assert_eq!(answers.count() as u64, truth(&of, "dns_answers"));
    let heard = |key: &str| {
        rows.iter()
            .filter(|r| r["app_proto"] == "rtp" && r[key].is_u64())
            .count()
    };
    assert!(heard("jitter_us") > 10 && heard("mos_x100") > 5);
    // names that were spoken are found
    for app in ["tls", "http", "dns", "rtp"] {
        assert!(rows.iter().any(|r| r["app_proto"] == app), "{app}");
    }
}

#[test]
fn quality_rollups_add_up_to_the_rows() {
    let dir = directory();
    let store = Store::start(dir.path());
    let url = format!("http://{}", store.address);
    let file = dir.path().join("packets.pcap");
    let of = generated(&file, "3000");
    let mut replay = Command::new(exe());
    replay.args([
        "replay",
        "--as",
        "packets",
        "--store",
        &url,
        "--password-file",
    ]);
    run(replay.arg(store.key_file()).arg(&file));
    let sql = store.sql();
    let keys = [
        "packets",
        "bytes",
        "flows",
        "retransmits",
        "refused",
        "rtp_lost",
        "dns_answers",
    ];
    let want = keys.map(|k| truth(&of, k));
    let sums = keys.map(|k| format!("sum({k})")).join(", ");
    for table in ["quality_1m", "quality_5m", "quality_1h"] {
        assert_eq!(
            sql.numbers(&format!("SELECT {sums} FROM {table}")),
            want,
            "{table}"
        );
    }
    let of_rows = "SELECT count(), sum(lost), countIf(bitTest(measured, 9)), countIf(bitTest(measured, 13)), countIf(handshake != '') FROM flows";
    let of_rollup = "SELECT sum(flows), sum(rtp_lost), sum(rtp_streams), sum(dns_answers), sum(handshakes) FROM quality_1h";
    assert_eq!(sql.numbers(of_rollup), sql.numbers(of_rows));
    // quantiles of states that were merged twice are those of the rows, as exact as the digest is
    let rows = "SELECT toUInt64(quantileExact(0.5)(rtt_us)), toUInt64(quantileExact(0.95)(rtt_us)) FROM flows WHERE bitTest(measured, 0)";
    let rollup = "SELECT arrayMap(q -> toUInt64(q), quantilesTDigestMerge(0.5, 0.95, 0.99)(rtt_us) AS m)[1], arrayMap(q -> toUInt64(q), m)[2] FROM quality_1h";
    for (exact, near) in sql.numbers(rows).into_iter().zip(sql.numbers(rollup)) {
        assert!(near.abs_diff(exact) * 20 <= exact, "{near} {exact}");
    }
    let view = sql.numbers("SELECT sum(packets), sum(bytes) FROM quality");
    assert_eq!(view, want[..2]);
}

#[test]
fn packets_on_a_wire_are_those_that_were_generated() {
    let Some(()) = network() else { return };
    let dir = directory();
    let config = "[sink]\nkind = \"drop\"\n[receive]\nlisteners = [\"127.0.0.1:0\"]\n[capture]\ninterfaces = [\"mirror0\"]\nshards = 2\n";
    let collector = Collector::start(dir.path(), config);
    let mut generate = Command::new(exe());
    generate.args([
        "generate",
        "--packets",
        "--json",
        "--rate",
        "0",
        "--flows",
        "600",
    ]);
    let said = run(generate.args(["--interface", "sender0"]));
    let of: Value = serde_json::from_str(&said).expect("JSON");
    let (packets, metric) = (truth(&of, "packets"), "flowhouse_capture_frames_total");
    eventually("all are read", || {
        collector.metric(metric) == packets as f64
    });
    assert_eq!(
        collector.metric("flowhouse_capture_kernel_drops_total"),
        0.0
    );
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "rows_added_metered"), truth(&of, "flows"));
}

/// The path of frames as `replay` has it, with small limits.
struct Frames {
    shard: CaptureShard,
    rows: [u64; 2],
}

impl Frames {
    fn new() -> Frames {
        let identity = Arc::new(Identity {
            collector: "c".into(),
            start: 1,
        });
        let sealer = Sealer::new(Default::default(), identity, Arc::default());
        let tables = Arc::new(Tables::new(&Default::default()).expect("defaults"));
        let back = Back::new(tables, Usage::new(&Default::default()), sealer);
        let settings = flowhouse::meter::Settings {
            flows_max: 64,
            ..Default::default()
        };
        let apps = Apps::new(&Default::default(), Wishes::default());
        let meter = Meter::new(&settings, 0).with_apps(apps);
        let fragments = Fragments::new(&Default::default());
        let dissector = Dissector::new(&Default::default());
        Frames {
            shard: CaptureShard::new(dissector, fragments, meter, back, Book::new(4)),
            rows: [0; 2],
        }
    }

    fn room(&mut self) {
        let rows = &mut self.rows;
        self.shard.take_rows(|batch, _, _| {
            rows[0] += batch.core.packets.iter().sum::<u64>();
            rows[1] += batch.core.bytes.iter().sum::<u64>();
        });
    }

    fn frame(&mut self, number: u64, link_type: u16, time_ns: i64, bytes: &[u8]) {
        while !self.shard.advance(time_ns, number) {
            self.room();
        }
        let head = FrameHead {
            time_ns,
            frame: number,
            interface: 1,
            link_type,
            wire_len: bytes.len() as u32,
        };
        self.shard.book().other().one(Outcome::FramesCaptured);
        self.shard.frame(head, bytes);
        while let Some(stray) = self.shard.take_stray() {
            self.shard.stray(&stray);
        }
        if self.shard.is_full() {
            self.room();
        }
    }

    /// Ends everything; packets and bytes of all rows.
    fn end(mut self) -> [u64; 2] {
        while !self.shard.finish(u64::MAX) {
            self.room();
        }
        self.room();
        let mut tally = self.shard.book().total();
        let made = tally.count(Outcome::Rows);
        tally.add(Outcome::RowsAcknowledged, made);
        for law in laws(&tally, &Gauges::default()) {
            assert!(law.holds(), "{law:?}");
        }
        self.rows
    }
}

#[test]
fn a_small_table_loses_no_byte() {
    let mut packets = Packets::new(3, 500, 1_000, 0);
    let (mut path, mut frame, mut n) = (Frames::new(), GeneratedFrame::default(), 0);
    while packets.next(&mut frame) {
        n += 1;
        path.frame(n, 1, frame.time_ns, &frame.bytes);
    }
    let total = &packets.truth().total;
    assert_eq!(path.end(), [total.packets, total.bytes]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_frames_end_in_rows_or_are_counted(
        seed: u64,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..200),
        links in prop::collection::vec(0u16..300, 1..4),
    ) {
        let mut packets = Packets::new(seed, 30, 100, 0);
        let (mut frames, mut frame) = (vec![], GeneratedFrame::default());
        while frames.len() < 400 && packets.next(&mut frame) {
            frames.push((frame.time_ns, frame.bytes.clone(), 1));
        }
        for (n, (which, place, value)) in damage.iter().enumerate() {
            let (_, bytes, link) = &mut frames[which.index(400.min(packets.truth().total.packets as usize))];
            let at = place.index(bytes.len().max(1));
            match n % 3 {
                0 => bytes.truncate(at),
                1 if !bytes.is_empty() => bytes[at] = *value,
                _ => *link = links[n % links.len()],
            }
        }
        let mut path = Frames::new();
        for (n, (time_ns, bytes, link)) in frames.iter().enumerate() {
            path.frame(n as u64 + 1, *link, *time_ns, bytes);
        }
        path.end();
    }
}
