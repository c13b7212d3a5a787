//! Rows per second of sealing (sort) and encoding bundles of 100,000 rows, one thread, uncompressed and LZ4.
//!
//! `cargo bench --bench encode [-- ROUNDS]`. Medians of CPU time. The rows are those of `rows/mod.rs`.

mod rows;

use flowhouse::batch::{Extra, Identity, Sealer, Settings, Sorter};
use flowhouse::sink::native::{Compression, Encoder};
use nix::time::{ClockId, clock_gettime};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rows::{NOW_NS, ROWS, flows, names};
use std::sync::Arc;
use std::time::Duration;

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
