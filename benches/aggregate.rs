//! Rows a second through `Usage`: flows within a minute, flows over minutes, with and without element 61, and what
//! draining adds.

use flowhouse::aggregate::{Settings, Usage};
use flowhouse::ledger::Book;
use flowhouse::model::{Addr, FLOW_BATCH_ROWS, Field, FlowBatch, Provenance};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

const NOW_MS: i64 = 1_704_067_230_000;
/// Batches of a bundle: about 100,000 rows.
const BATCHES: usize = 12;

fn main() {
    for talkers_max in [0, 4_096, 8_192, 16_384, 32_768] {
        print!("{talkers_max:>6} talkers, ");
        report_with(talkers_max, "usage, one minute", 2_000, 4, false);
    }
    report("usage, one minute, element 61", 2_000, 4, true);
    report("usage, lives of up to a minute", 60_000, 4, false);
    report("usage, lives of up to ten minutes", 600_000, 4, false);
    report("usage, one minute, hardly a key twice", 2_000, 48, false);
}

/// Rows of 4 exporters: few of 40 applications and 6 classes make most of them, as in real traffic; `interfaces`
/// each.
fn batch(seed: u64, life_ms: i64, interfaces: u32, told: bool) -> FlowBatch {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut b = FlowBatch::new();
    while b.len() < FLOW_BATCH_ROWS {
        let provenance = b.push_provenance(Provenance {
            exporter: Addr::from_v4([192, 0, 2, random.random_range(0..4)]),
            received_at_ns: NOW_MS * 1_000_000,
            ..Provenance::default()
        });
        for _ in 0..24 {
            let c = &mut b.core;
            let direction = if told { Field::Direction.bit() } else { 0 };
            let end = NOW_MS - random.random_range(0..5_000);
            let class: u16 = random.random_range(0..6u16).min(random.random_range(0..6));
            c.provenance.push(provenance);
            c.present
                .push(Field::StartMs.bit() | Field::EndMs.bit() | direction);
            c.start_ms.push(end - random.random_range(0..life_ms));
            c.end_ms.push(end);
            // few of many addresses make most of the traffic
            let mut host = |of: u8| {
                let n = (65_536.0 * random.random::<f64>().powi(4)) as u16;
                Addr::from_v4([10, of, (n >> 8) as u8, n as u8])
            };
            c.src_addr.push(host(1));
            c.dst_addr.push(host(2));
            c.in_if.push(random.random_range(1..=interfaces));
            c.out_if.push(random.random_range(1..=interfaces));
            let app = random
                .random_range(1..41u32)
                .min(random.random_range(1..41));
            c.app.push(app);
            c.app_proto.push(app);
            c.qos_class.push(class);
            c.tos.push((class as u8) << 5);
            c.bytes.push(random.random_range(40..1 << 24));
            c.packets.push(random.random_range(1..1 << 14));
            c.sampling_interval.push(1);
            c.sampling_source.push(1);
        }
        b.commit(24);
    }
    b
}

fn report(what: &str, life_ms: i64, interfaces: u32, told: bool) {
    report_with(
        Settings::default().talkers_max,
        what,
        life_ms,
        interfaces,
        told,
    );
}

fn report_with(talkers_max: usize, what: &str, life_ms: i64, interfaces: u32, told: bool) {
    let mut batches: Vec<FlowBatch> = (0..BATCHES)
        .map(|i| batch(i as u64, life_ms, interfaces, told))
        .collect();
    let settings = Settings {
        talkers_max,
        ..Settings::default()
    };
    let rows: usize = batches.iter().map(FlowBatch::len).sum();
    let (mut usage, mut book) = (Usage::new(&settings), Book::new(100));
    let (mut observe, mut drain, mut flush) = (Duration::MAX, Duration::MAX, Duration::MAX);
    let (mut keys, mut talkers) = (0, 0);
    for _ in 0..20 {
        let start = Instant::now();
        batches.iter_mut().for_each(|b| usage.observe(b, &mut book));
        observe = observe.min(start.elapsed());
        let start = Instant::now();
        keys = usage.drain().len();
        drain = drain.min(start.elapsed());
        let start = Instant::now();
        talkers = usage.take_talkers().len();
        flush = flush.min(start.elapsed());
    }
    let ns = |d: Duration| d.as_nanos() as f64 / rows as f64;
    println!(
        "{what}: {:.1} M rows/s, {:.1} ns a row, and {:.1} ns to drain {keys} keys of {rows} rows; {flush:.1?} for {talkers} talkers",
        1e3 / ns(observe),
        ns(observe),
        ns(drain),
    );
}
