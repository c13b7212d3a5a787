//! Decoding in memory: datagrams to columns, against `netflow_parser` in the same run.
//!
//! Prints records a second of CPU time, ns a record and allocations a record; medians of seven passes. Loads: v5 with 30 records
//! a datagram; v9 of 24 fields (67 and 103 bytes) and IPFIX of 25 fields (80 and 116 bytes), 20 % IPv6, 4 exporters,
//! templates every 100 datagrams, at most 1,400 bytes. `cargo bench --bench decode`; arguments: `v5`, `v9`, `ipfix` (only
//! these), `ours` (no rival), `many` (also 10,000 exporters).

use flowhouse::decode::{Decoder, Settings};
use flowhouse::ledger::{Book, Outcome};
use flowhouse::model::{Addr, Datagram, FlowBatch};
use netflow_parser::{AutoScopedParser, NetflowPacket};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
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
        "{:<8} {:>9} {:>16} {:>16} {:>10} {:>12} {:>12}",
        "load", "exporters", "decoder", "records/s", "ns/record", "allocs/rec", "ratio"
    );
    let all = ![Load::V5, Load::V9, Load::Ipfix]
        .iter()
        .any(|l| has(l.name()));
    for load in [Load::V5, Load::V9, Load::Ipfix] {
        if !all && !has(load.name()) {
            continue;
        }
        let few = generate(load, 4, 8_000);
        let many = if has("many") {
            generate(load, 10_000, 40_000)
        } else {
            Vec::new()
        };
        let (mut ours, mut theirs, mut of_many) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..PASSES {
            ours.push(decode(&few));
            if !has("ours") {
                theirs.push(oracle(&few));
            }
            if has("many") {
                of_many.push(decode(&many));
            }
        }
        let base = median(theirs);
        let rate = base.as_ref().map(Pass::rate);
        print(load, 4, "flowhouse", median(ours), rate);
        print(load, 10_000, "flowhouse", median(of_many), rate);
        print(load, 4, "netflow_parser", base, rate);
    }
}

fn print(load: Load, exporters: usize, who: &str, pass: Option<Pass>, base: Option<f64>) {
    let Some(p) = pass else { return };
    println!(
        "{:<8} {:>9} {:>16} {:>14.2} M {:>10.1} {:>12.4} {:>11.1}x",
        load.name(),
        exporters,
        who,
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

/// CPU time of this thread: other work on the machine does not count.
fn cpu() -> Duration {
    let clock = nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID;
    Duration::from(nix::time::clock_gettime(clock).expect("every kernel has this clock"))
}

/// A load, each datagram with its exporter and records.
struct Sent {
    source: SocketAddr,
    records: u64,
    /// Whether it carries templates.
    teaches: bool,
    bytes: Vec<u8>,
}

/// All datagrams three times through one decoder; the first pass learns and warms, the others count.
fn decode(datagrams: &[Sent]) -> Pass {
    let mut decoder = Decoder::new(Settings::default());
    let (mut out, mut learned, mut book) = (FlowBatch::new(), Vec::new(), Book::new(20_000));
    // the share of templates is 1 in 100 with 4 exporters; with many, only the round that learns has them
    let many = datagrams.iter().filter(|d| d.teaches).count() * 50 > datagrams.len();
    let mut run = |rounds: u64, base: u64| {
        for round in 0..rounds {
            for (i, d) in datagrams.iter().enumerate() {
                if many && base > 0 && d.teaches {
                    continue;
                }
                let datagram = Datagram {
                    source: Addr::from(d.source.ip()),
                    port: d.source.port(),
                    received_at_ns: i64::from(BASE_SECS) * 1_000_000_000,
                    number: base + round * datagrams.len() as u64 + i as u64,
                    frame: 0,
                    cut: false,
                    payload: &d.bytes,
                };
                if out.is_full() {
                    black_box(&out);
                    out.clear();
                    learned.clear();
                }
                decoder.decode(&datagram, &mut out, &mut learned, &mut book);
            }
        }
        book.count(Outcome::Rows)
    };
    let before = run(1, 0);
    let (allocations, start) = (ALLOCATIONS.load(Relaxed), cpu());
    let after = run(ROUNDS, datagrams.len() as u64);
    let pass = Pass {
        records: after - before,
        allocations: ALLOCATIONS.load(Relaxed) - allocations,
        time: cpu() - start,
    };
    let measured = datagrams.iter().filter(|d| !(many && d.teaches));
    let sent: u64 = measured.map(|d| d.records).sum();
    assert_eq!(pass.records, sent * ROUNDS, "every record is a row");
    pass
}

/// The same through the library's parser for several sources; values are decoded, not walked.
fn oracle(datagrams: &[Sent]) -> Pass {
    let mut parser = AutoScopedParser::default();
    let mut run = || {
        let mut packets = 0;
        for d in datagrams {
            for packet in parser
                .iter_packets_from_source(d.source, &d.bytes)
                .into_iter()
                .flatten()
            {
                packets += 1;
                if let Ok(NetflowPacket::V9(v9)) = &packet {
                    black_box(v9);
                }
                black_box(&packet);
            }
        }
        packets
    };
    run();
    let (allocations, start) = (ALLOCATIONS.load(Relaxed), cpu());
    let packets: usize = run();
    let pass = Pass {
        records: datagrams.iter().map(|d| d.records).sum(),
        allocations: ALLOCATIONS.load(Relaxed) - allocations,
        time: cpu() - start,
    };
    assert_eq!(packets, datagrams.len());
    pass
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Load {
    V5,
    V9,
    Ipfix,
}

impl Load {
    fn name(self) -> &'static str {
        match self {
            Load::V5 => "v5",
            Load::V9 => "v9",
            Load::Ipfix => "ipfix",
        }
    }
}

/// Datagrams of `exporters` in turn.
fn generate(load: Load, exporters: usize, count: usize) -> Vec<Sent> {
    let mut rng = SmallRng::seed_from_u64(7);
    let mut sequences = vec![0u32; exporters];
    (0..count)
        .map(|i| {
            let e = i % exporters;
            let turn = i / exporters;
            let ip = Ipv4Addr::from(0x0a00_0001 + e as u32);
            let mut bytes = Vec::with_capacity(1_500);
            let records = match load {
                Load::V5 => v5(&mut bytes, sequences[e], &mut rng),
                _ => sets(load, &mut bytes, turn, (e, sequences[e]), &mut rng),
            };
            sequences[e] += if load == Load::V9 { 1 } else { records };
            Sent {
                source: SocketAddr::new(IpAddr::V4(ip), 40_000),
                records: u64::from(records),
                teaches: load != Load::V5 && turn.is_multiple_of(100),
                bytes,
            }
        })
        .collect()
}

fn v5(d: &mut Vec<u8>, sequence: u32, rng: &mut SmallRng) -> u32 {
    d.extend([0, 5, 0, 30]);
    d.extend(UPTIME_MS.to_be_bytes());
    d.extend(BASE_SECS.to_be_bytes());
    d.extend(0u32.to_be_bytes());
    d.extend(sequence.to_be_bytes());
    d.extend([0, 1, 0x40, 1]);
    for _ in 0..30 {
        for (element, length) in V5_FIELDS {
            field(d, *element, *length, rng);
        }
    }
    30
}

fn sets(
    load: Load,
    d: &mut Vec<u8>,
    turn: usize,
    (e, sequence): (usize, u32),
    rng: &mut SmallRng,
) -> u32 {
    let (v4, v6, head) = match load {
        Load::V9 => (&V9_V4[..], &V9_V6[..], 20),
        _ => (&IPFIX_V4[..], &IPFIX_V6[..], 16),
    };
    d.resize(head, 0);
    if turn.is_multiple_of(100) {
        let at = open(d, if load == Load::V9 { 0 } else { 2 });
        for (id, fields) in [(256u16, v4), (257, v6)] {
            d.extend(id.to_be_bytes());
            d.extend((fields.len() as u16).to_be_bytes());
            for (element, length) in fields {
                d.extend(element.to_be_bytes());
                d.extend(length.to_be_bytes());
            }
        }
        close(d, at);
    }
    // even exporters send one family a datagram, odd ones both
    let (mut left, mut records) = (1_400 - d.len() - 16, 0);
    let six = if e % 2 == 0 {
        f64::from(u8::from(turn % 5 == 4))
    } else {
        0.2
    };
    for (id, fields, share) in [(256, v4, 1.0 - six), (257, v6, six)] {
        let length: usize = fields.iter().map(|f| f.1 as usize).sum();
        let n = (left as f64 * share) as usize / length;
        if n == 0 {
            continue;
        }
        let at = open(d, id);
        for _ in 0..n {
            fields.iter().for_each(|f| field(d, f.0, f.1, rng));
        }
        while !d.len().is_multiple_of(4) {
            d.push(0);
        }
        close(d, at);
        left -= if share < 1.0 { 0 } else { n * length };
        records += n as u32;
    }
    let (length, domain) = (d.len() as u16, 1_000 + e as u32);
    if load == Load::V9 {
        d[..4].copy_from_slice(&[0, 9, 0, records as u8]);
        d[4..8].copy_from_slice(&UPTIME_MS.to_be_bytes());
        d[8..12].copy_from_slice(&BASE_SECS.to_be_bytes());
        d[12..16].copy_from_slice(&sequence.to_be_bytes());
        d[16..20].copy_from_slice(&domain.to_be_bytes());
    } else {
        d[..2].copy_from_slice(&[0, 10]);
        d[2..4].copy_from_slice(&length.to_be_bytes());
        d[4..8].copy_from_slice(&BASE_SECS.to_be_bytes());
        d[8..12].copy_from_slice(&sequence.to_be_bytes());
        d[12..16].copy_from_slice(&domain.to_be_bytes());
    }
    records
}

fn open(d: &mut Vec<u8>, id: u16) -> usize {
    d.extend(id.to_be_bytes());
    d.extend([0, 0]);
    d.len() - 4
}

fn close(d: &mut [u8], at: usize) {
    let length = (d.len() - at) as u16;
    d[at + 2..at + 4].copy_from_slice(&length.to_be_bytes());
}

fn field(d: &mut Vec<u8>, element: u16, length: u16, rng: &mut SmallRng) {
    let value: u64 = match element {
        1 => rng.random_range(40..1_000_000),
        2 => rng.random_range(1..700),
        21 => u64::from(UPTIME_MS) - rng.random_range(0..1_000),
        22 => u64::from(UPTIME_MS) - rng.random_range(1_000..60_000),
        152 => u64::from(BASE_SECS) * 1_000 - rng.random_range(1_000..60_000),
        153 => u64::from(BASE_SECS) * 1_000 - rng.random_range(0..1_000),
        10 | 14 => rng.random_range(500..624),
        4 => 6,
        48 | 61 => 1,
        60 => 4,
        _ => rng.random(),
    };
    let wide = u128::from(value) << 64 | u128::from(value);
    d.extend(&wide.to_be_bytes()[16 - usize::from(length)..]);
}

const PASSES: usize = 7;
const ROUNDS: u64 = 3;
const BASE_SECS: u32 = 1_767_225_600;
const UPTIME_MS: u32 = 103_600_000;

const V5_FIELDS: &[(u16, u16)] = &[
    (8, 4),
    (12, 4),
    (15, 4),
    (10, 2),
    (14, 2),
    (2, 4),
    (1, 4),
    (22, 4),
    (21, 4),
    (7, 2),
    (11, 2),
    (0, 1),
    (6, 1),
    (4, 1),
    (5, 1),
    (16, 2),
    (17, 2),
    (9, 1),
    (13, 1),
    (0, 2),
];
const V9_V4: [(u16, u16); 24] = [
    (8, 4),
    (12, 4),
    (15, 4),
    (10, 4),
    (14, 4),
    (1, 8),
    (2, 4),
    (22, 4),
    (21, 4),
    (7, 2),
    (11, 2),
    (6, 1),
    (4, 1),
    (5, 1),
    (16, 4),
    (17, 4),
    (9, 1),
    (13, 1),
    (58, 2),
    (61, 1),
    (48, 1),
    (95, 4),
    (89, 1),
    (60, 1),
];
const V9_V6: [(u16, u16); 24] = [
    (27, 16),
    (28, 16),
    (62, 16),
    (10, 4),
    (14, 4),
    (1, 8),
    (2, 4),
    (22, 4),
    (21, 4),
    (7, 2),
    (11, 2),
    (6, 1),
    (4, 1),
    (5, 1),
    (16, 4),
    (17, 4),
    (29, 1),
    (30, 1),
    (58, 2),
    (61, 1),
    (48, 1),
    (95, 4),
    (89, 1),
    (60, 1),
];
const IPFIX_V4: [(u16, u16); 25] = [
    (8, 4),
    (12, 4),
    (15, 4),
    (10, 4),
    (14, 4),
    (1, 8),
    (2, 8),
    (152, 8),
    (153, 8),
    (7, 2),
    (11, 2),
    (6, 1),
    (4, 1),
    (5, 1),
    (16, 4),
    (17, 4),
    (9, 1),
    (13, 1),
    (58, 2),
    (61, 1),
    (48, 1),
    (95, 4),
    (89, 1),
    (136, 1),
    (60, 1),
];
const IPFIX_V6: [(u16, u16); 25] = [
    (27, 16),
    (28, 16),
    (62, 16),
    (10, 4),
    (14, 4),
    (1, 8),
    (2, 8),
    (152, 8),
    (153, 8),
    (7, 2),
    (11, 2),
    (6, 1),
    (4, 1),
    (5, 1),
    (16, 4),
    (17, 4),
    (29, 1),
    (30, 1),
    (58, 2),
    (61, 1),
    (48, 1),
    (95, 4),
    (89, 1),
    (136, 1),
    (60, 1),
];
