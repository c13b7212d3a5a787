//! Rows per second of sealing (sort) and encoding bundles of 100,000 rows, one thread, uncompressed and LZ4.
//!
//! `cargo bench --bench encode [-- ROUNDS]`. Medians of CPU time. The rows resemble NetFlow 9 records of 24 fields from 20
//! exporters with 48 interfaces each, 30 to a datagram.

use flowhouse::batch::{Extra, Identity, Sealer, Settings, Sorter};
use flowhouse::model::{Addr, FlowBatch, Names, Origin, Provenance};
use flowhouse::sink::native::{Compression, Encoder};
use nix::time::{ClockId, clock_gettime};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;
use std::time::Duration;

const ROWS: usize = 100_000;
const NOW_NS: i64 = 1_760_000_000_000_000_000;

fn main() {
    let rounds = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(30);
    let mut rng = SmallRng::seed_from_u64(1);
    let names = Arc::new(names());
    let flows = flows(&mut rng, &names);
    let mut sorter = Sorter::default();
    report("sort", rounds, || {
        std::hint::black_box(sorter.sort(&flows));
    });
    let identity = Arc::new(Identity {
        collector: "bench".into(),
        start: 0,
    });
    let mut sealer = Sealer::new(Settings::default(), identity, Arc::default());
    for compression in [Compression::None, Compression::Lz4] {
        let mut encoder = Encoder::new(compression);
        flows.iter().for_each(|b| sealer.push(b.clone(), NOW_NS));
        let bundle = sealer
            .seal(NOW_NS, Extra::default(), names.clone())
            .expect("rows");
        let (mut raw, mut sent) = (0, 0);
        report(&format!("encode {compression:?}"), rounds, || {
            for section in encoder.encode(&bundle).sections {
                if section.rows == ROWS as u64 {
                    (raw, sent) = (section.raw_len, section.body.len());
                }
                encoder.buffers().recycle(section.body);
            }
        });
        println!(
            "{:>24} {} B/row raw, {} B/row sent",
            "",
            raw / ROWS as u64,
            sent / ROWS
        );
    }
}

fn report(what: &str, rounds: usize, mut run: impl FnMut()) {
    (0..3).for_each(|_| run());
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = cpu_time();
            run();
            cpu_time() - start
        })
        .collect();
    times.sort();
    let median = times[rounds / 2].as_secs_f64();
    let rate = ROWS as f64 / median / 1e6;
    println!(
        "{what:>24} {rate:8.2} M rows/s {:8.1} ns/row",
        median * 1e9 / ROWS as f64
    );
}

/// CPU time of this thread: what other work on the machine costs does not count.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock that Linux has");
    time.into()
}

fn names() -> Names {
    let mut names = Names::default();
    for i in 0..2000 {
        names.apps.push(&format!("application-{i}"));
    }
    for class in ["voice", "video", "bulk"] {
        names.classes.push(class);
    }
    names
}

fn flows(rng: &mut SmallRng, names: &Names) -> Vec<FlowBatch> {
    let mut all = Vec::new();
    let mut b = FlowBatch::new();
    for datagram in 0..ROWS as u64 / 30 + 1 {
        if b.is_full() {
            all.push(std::mem::replace(&mut b, FlowBatch::new()));
        }
        let done: usize = all.iter().map(FlowBatch::len).sum::<usize>() + b.len();
        let p = b.push_provenance(Provenance {
            exporter: Addr::from_v4([10, 0, 0, rng.random_range(0..20)]),
            exporter_port: 2055,
            domain: 1,
            origin: Origin::Netflow9,
            received_at_ns: NOW_NS + datagram as i64 * 100_000,
            exported_at_ms: NOW_NS / 1_000_000,
            datagram,
            ..Default::default()
        });
        for record in 0..30.min(ROWS - done) {
            row(&mut b, rng, names, p, record as u16);
        }
    }
    all.push(b);
    all
}

fn row(b: &mut FlowBatch, rng: &mut SmallRng, names: &Names, provenance: u16, record: u16) {
    let addr = |rng: &mut SmallRng| {
        Addr::from_v4(rng.random_range(0x0b00_0000u32..0x0b40_0000).to_be_bytes())
    };
    let packets = rng.random_range(1..60);
    let c = &mut b.core;
    c.provenance.push(provenance);
    c.record.push(record + 1);
    c.src_addr.push(addr(rng));
    c.dst_addr.push(addr(rng));
    c.next_hop
        .push(Addr::from_v4([10, 1, 0, rng.random_range(0..8)]));
    c.bytes.push(packets * rng.random_range(64..1400));
    c.packets.push(packets);
    c.start_ms
        .push(NOW_NS / 1_000_000 - rng.random_range(1000..60_000));
    c.end_ms
        .push(NOW_NS / 1_000_000 - rng.random_range(0..1000));
    c.present.push(0x7f_ffff);
    c.in_if.push(rng.random_range(1..48));
    c.out_if.push(rng.random_range(1..48));
    c.src_as.push(64_512 + rng.random_range(0..500));
    c.dst_as.push(1000 + rng.random_range(0..5000));
    c.sampling_interval.push(1000);
    c.app.push(rng.random_range(0..names.apps.len() as u32));
    c.app_proto.push(rng.random_range(0..40));
    c.qos_class.push(rng.random_range(0..4));
    c.src_port.push(rng.random_range(32_768..60_000));
    c.dst_port
        .push([443, 80, 53, 22, 8080][rng.random_range(0..5)]);
    c.vlan.push(100);
    c.tcp_flags.push(0x1b);
    c.proto
        .push(if rng.random_range(0..4) == 0 { 17 } else { 6 });
    c.tos.push([0, 184, 136, 40][rng.random_range(0..4)]);
    c.src_mask.push(24);
    c.dst_mask.push(20);
    c.direction.push(rng.random_range(0..2));
    c.forwarding_status.push(64);
    c.ip_version.push(4);
    c.sampling_source.push(2);
    c.app_source.push(4);
    c.app_confidence.push(50);
    b.commit(1);
}
