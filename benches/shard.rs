//! The whole path from memory, one thread: datagrams in, sealed, sorted and encoded Native blocks of 100,000 rows out, with
//! names and usage, uncompressed and LZ4; and the stages one after the other; and the whole path with every kind of names on:
//! 100,000 prefixes, 2,000 name rules, 200 port and 200 address rules, 500 interfaces, two QoS policies.
//!
//! `cargo bench --bench shard [-- v5|v9|ipfix] [many]`: medians of seven passes of CPU time. `many` takes 10,000 exporters of four
//! templates in place of four exporters of two.

mod everything;

use flowhouse::aggregate::Usage;
use flowhouse::batch::{Identity, Sealer};
use flowhouse::decode::Decoder;
use flowhouse::enrich::Tables;
use flowhouse::generate::{Export, Exporter, Habits, Profile};
use flowhouse::ledger::Book;
use flowhouse::model::{Addr, Datagram};
use flowhouse::shard::{Back, ExportShard};
use flowhouse::sink::native::{Compression, Encoder};
use nix::time::{ClockId, clock_gettime};
use std::sync::Arc;
use std::time::Duration;

const PASSES: usize = 7;
const NOW_MS: i64 = 1_780_000_000_000;

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let many = args.iter().any(|a| a == "many");
    let (exporters, templates) = if many { (10_000, 4) } else { (4, 2) };
    println!(
        "{:<8} {:<34} {:>12} {:>10}",
        "load", "what", "M records/s", "ns/record"
    );
    let plain = Arc::new(Tables::new(&Default::default()).expect("default tables"));
    let addresses: Vec<Addr> = (0..exporters.min(500) as usize)
        .map(exporter_address)
        .collect();
    let everything = Arc::new(everything::tables(&addresses));
    for (name, profile) in [
        ("v5", Profile::LoadV5),
        ("v9", Profile::LoadV9),
        ("ipfix", Profile::LoadIpfix),
    ] {
        if args
            .iter()
            .any(|a| ["v5", "v9", "ipfix"].contains(&a.as_str()))
            && !args.iter().any(|a| a == name)
        {
            continue;
        }
        let load = load(profile, exporters, templates);
        let (none, lz4) = (Some(Compression::None), Some(Compression::Lz4));
        run(name, &load, &plain, "decode", None, false);
        run(
            name,
            &load,
            &plain,
            "decode, names, usage, sort",
            None,
            true,
        );
        run(name, &load, &plain, "whole path, uncompressed", none, true);
        run(name, &load, &plain, "whole path, LZ4", lz4, true);
        let (all, what) = (&everything, "whole path, all names on");
        run(name, &load, all, what, none, true);
        run(name, &load, all, "whole path, all names on, LZ4", lz4, true);
    }
}

/// Datagrams of all exporters in turn.
struct Load {
    datagrams: Vec<(Addr, Vec<u8>)>,
    records: u64,
}

fn load(profile: Profile, exporters: u32, templates: u16) -> Load {
    let habits = Habits {
        templates,
        templates_every: 100,
        ..Habits::default()
    };
    let mut all: Vec<Exporter> = (0..exporters)
        .map(|n| Exporter::new(profile, habits, n, 7, NOW_MS))
        .collect();
    let count = (12_000).max(4 * exporters as usize);
    let mut export = Export::default();
    let mut load = Load {
        datagrams: vec![],
        records: 0,
    };
    for i in 0..count {
        let n = i % all.len();
        export.clear();
        all[n].next(NOW_MS + i as i64 / 50, &mut export);
        load.records += export.flows.len() as u64;
        load.datagrams
            .push((exporter_address(n), export.payload.clone()));
    }
    load
}

fn exporter_address(n: usize) -> Addr {
    Addr::from_v4([10, (n >> 16) as u8, (n >> 8) as u8, n as u8])
}

/// Passes over the load; with `compression` each sealed bundle is encoded and thrown away, as the sink would.
fn run(
    name: &str,
    load: &Load,
    tables: &Arc<Tables>,
    what: &str,
    compression: Option<Compression>,
    full: bool,
) {
    let mut shard = shard(tables.clone());
    let mut encoder = Encoder::new(compression.unwrap_or(Compression::None));
    let mut times = vec![];
    for pass in 0..=PASSES {
        let began = cpu_time();
        let mut number = 0;
        for (source, payload) in &load.datagrams {
            number += 1;
            let received_at_ns = (NOW_MS + number as i64 / 50) * 1_000_000;
            let d = Datagram {
                source: *source,
                port: 9_000,
                received_at_ns,
                number,
                frame: 0,
                cut: false,
                payload,
            };
            shard.datagram(&d);
            if !shard.is_full() {
                continue;
            }
            if !full {
                shard.drop_batch();
                continue;
            }
            shard.close_batch(received_at_ns);
            if shard.rows_open() >= 100_000 {
                seal(
                    &mut shard,
                    received_at_ns,
                    compression.is_some(),
                    &mut encoder,
                );
            }
        }
        if full {
            seal(
                &mut shard,
                NOW_MS * 1_000_000,
                compression.is_some(),
                &mut encoder,
            );
        } else {
            shard.drop_batch();
        }
        if pass > 0 {
            times.push(cpu_time() - began);
        }
    }
    times.sort();
    let ns = times[PASSES / 2].as_nanos() as f64 / load.records as f64;
    println!("{name:<8} {what:<34} {:>12.2} {ns:>10.1}", 1e3 / ns);
}

fn seal(shard: &mut ExportShard, now_ns: i64, encode: bool, encoder: &mut Encoder) {
    let Some(bundle) = shard.seal(now_ns, false) else {
        return;
    };
    if encode {
        for section in encoder.encode(&bundle).sections {
            encoder.recycle(section.body);
        }
    }
    bundle.recycle();
}

fn shard(tables: Arc<Tables>) -> ExportShard {
    let identity = Arc::new(Identity {
        collector: "bench".into(),
        start: 1,
    });
    let sealer = Sealer::new(Default::default(), identity, Arc::default());
    let back = Back::new(tables, Usage::new(&Default::default()), sealer);
    ExportShard::new(Decoder::new(Default::default()), back, Book::new(100_000))
}

/// CPU time of this thread: what other work on the machine costs does not count.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("a clock that Linux has")
        .into()
}
