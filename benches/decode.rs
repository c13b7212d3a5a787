//! Decoding in memory: datagrams to columns, against `netflow_parser` in the same run.
//!
//! Prints records a second of CPU time, ns a record and allocations a record; medians of seven passes. The loads are those of
//! `load/mod.rs`. `cargo bench --bench decode`; arguments: `v5`, `v9`, `ipfix` (only these), `ours` (no rival), `many` (also
//! 10,000 exporters of four templates beside four of four, with as many datagrams).

mod load;

use flowhouse::decode::{CALLED_AHEAD, Decoder, Settings};
use flowhouse::ledger::{Book, Outcome};
use flowhouse::model::FlowBatch;
use load::{Load, PROFILES, Shape, cpu_time};
use netflow_parser::AutoScopedParser;
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Counts allocations on their way to the system's allocator.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed to `System` unchanged, so its guarantees are System's; the counter is an atomic that
// allocates nothing.
#[allow(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; every call is System's"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's layout, unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` through `alloc` or `realloc` with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the pointer came from `System` with this layout; the new size is the caller's.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let has = |word: &str| args.iter().any(|a| a == word);
    println!(
        "{:<8} {:>9} {:>9} {:>10} {:>16} {:>16} {:>10} {:>12} {:>12}",
        "load",
        "exporters",
        "templates",
        "datagrams",
        "decoder",
        "records/s",
        "ns/record",
        "allocs/rec",
        "ratio"
    );
    let all = !PROFILES.iter().any(|(name, _)| has(name));
    for (name, profile) in PROFILES {
        if !all && !has(name) {
            continue;
        }
        let shapes = if has("many") {
            &SHAPES[..]
        } else {
            &SHAPES[..1]
        };
        let mut loads: Vec<Load> = shapes.iter().map(|s| Load::new(profile, *s)).collect();
        let mut ours: Vec<Vec<Pass>> = shapes.iter().map(|_| Vec::new()).collect();
        let mut theirs = Vec::new();
        for _ in 0..PASSES {
            for (load, passes) in loads.iter_mut().zip(&mut ours) {
                passes.push(decode(load));
            }
            if !has("ours") {
                theirs.push(oracle(&loads[0]));
            }
        }
        let base = median(theirs);
        let rate = base.as_ref().map(Pass::rate);
        for (shape, passes) in shapes.iter().zip(ours) {
            print(name, shape, "flowhouse", median(passes), rate);
        }
        print(name, &shapes[0], "netflow_parser", base, rate);
    }
}

fn print(name: &str, shape: &Shape, who: &str, pass: Option<Pass>, base: Option<f64>) {
    let Some(p) = pass else { return };
    println!(
        "{name:<8} {:>9} {:>9} {:>10} {who:>16} {:>14.2} M {:>10.1} {:>12.4} {:>11.1}x",
        shape.exporters,
        shape.templates,
        shape.datagrams,
        p.rate() / 1e6,
        1e9 / p.rate(),
        p.allocations as f64 / p.records as f64,
        base.map_or(f64::NAN, |b| p.rate() / b)
    );
}

/// What a pass measured.
struct Pass {
    records: u64,
    allocations: u64,
    time: Duration,
}

impl Pass {
    fn rate(&self) -> f64 {
        self.records as f64 / self.time.as_secs_f64()
    }
}

/// The median by rate.
fn median(mut passes: Vec<Pass>) -> Option<Pass> {
    passes.sort_by_key(|p| p.time);
    (!passes.is_empty()).then(|| passes.swap_remove(passes.len() / 2))
}

/// The load several times through one decoder; the first round warms, the others count.
fn decode(load: &mut Load) -> Pass {
    let mut decoder = Decoder::new(Settings::default());
    let (mut out, mut learned, mut book) = (FlowBatch::new(), Vec::new(), Book::new(20_000));
    for (i, d) in load.announcements.iter().enumerate() {
        decoder.decode(&d.datagram(i as u64), &mut out, &mut learned, &mut book);
        out.clear();
    }
    let mut pass = Pass {
        records: 0,
        allocations: 0,
        time: Duration::ZERO,
    };
    for round in 0..=ROUNDS {
        let before = (ALLOCATIONS.load(Relaxed), cpu_time());
        let rows = book.count(Outcome::Rows);
        for (i, d) in load.datagrams.iter().enumerate() {
            if out.is_full() {
                black_box(&out);
                out.clear();
                learned.clear();
            }
            if let Some(coming) = load.datagrams.get(i + CALLED_AHEAD) {
                decoder.call(&coming.source, &book);
            }
            decoder.decode(&d.datagram(i as u64), &mut out, &mut learned, &mut book);
        }
        let rows = book.count(Outcome::Rows) - rows;
        assert_eq!(rows, load.records, "every record is a row");
        if round > 0 {
            pass.records += rows;
            pass.allocations += ALLOCATIONS.load(Relaxed) - before.0;
            pass.time += cpu_time() - before.1;
        }
        load.advance();
    }
    assert_eq!(book.count(Outcome::SequenceGaps), 0, "nothing is missing");
    pass
}

/// The same through the library's parser for several sources; values are decoded, not walked.
fn oracle(load: &Load) -> Pass {
    let mut parser = AutoScopedParser::default();
    let mut parse = |all: &[load::Sent]| {
        let mut packets = 0;
        for d in all {
            let source = SocketAddr::new(d.source.to_ip(), 9_000);
            let parsed = parser.iter_packets_from_source(source, &d.bytes);
            for packet in parsed.into_iter().flatten() {
                packets += 1;
                black_box(&packet);
            }
        }
        packets
    };
    parse(&load.announcements);
    parse(&load.datagrams);
    let (allocations, start) = (ALLOCATIONS.load(Relaxed), cpu_time());
    let packets: usize = parse(&load.datagrams);
    let pass = Pass {
        records: load.records,
        allocations: ALLOCATIONS.load(Relaxed) - allocations,
        time: cpu_time() - start,
    };
    assert_eq!(packets, load.datagrams.len());
    pass
}

/// The load as it is measured elsewhere; then two that differ in the number of exporters alone.
const SHAPES: [Shape; 3] = [
    Shape {
        exporters: 4,
        templates: 2,
        datagrams: 8_000,
        ports_times: 1,
    },
    Shape {
        exporters: 4,
        templates: 4,
        datagrams: 40_000,
        ports_times: 1,
    },
    Shape {
        exporters: 10_000,
        templates: 4,
        datagrams: 40_000,
        ports_times: 1,
    },
];
const PASSES: usize = 7;
const ROUNDS: u64 = 3;
