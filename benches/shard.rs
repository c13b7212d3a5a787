//! The whole path from memory, one thread: datagrams in, sealed, sorted and encoded Native blocks of 100,000 rows out, with
//! names and usage, uncompressed and LZ4; the stages one after the other; and the whole path with every kind of names on:
//! 100,000 prefixes, 2,000 name rules, 200 port and 200 address rules, 500 interfaces, two QoS policies.
//!
//! `cargo bench --bench shard [-- v5|v9|ipfix] [many]`: medians of seven rounds of CPU time. `many`: 10,000 exporters of four
//! templates beside four of four, in turn, so that what else runs meets both. `talkers`: the whole path with talkers and without, in turn;
//! `detectors`: with all detectors and without.

mod everything;
mod load;

use flowhouse::aggregate::{Settings, Usage};
use flowhouse::batch::{Identity, Sealer, Table};
use flowhouse::decode::{CALLED_AHEAD, Decoder};
use flowhouse::detect::anomaly::{self as detect, Detectors};
use flowhouse::enrich::Tables;
use flowhouse::ledger::Book;
use flowhouse::shard::{Back, ExportShard};
use flowhouse::sink::native::{Compression, Encoder};
use load::{Load, NOW_MS, PROFILES, Shape, cpu_time};
use std::sync::Arc;
use std::time::Duration;

const ROUNDS: usize = 7;
const BUNDLE_ROWS: u64 = 100_000;

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let has = |word: &str| args.iter().any(|a| a == word);
    let shape = |exporters, templates| Shape {
        exporters,
        templates,
        datagrams: 40_000,
    };
    let shapes = match has("many") {
        true => vec![shape(4, 4), shape(10_000, 4)],
        false => vec![shape(4, 2)],
    };
    println!(
        "{:<8} {:>9} {:<34} {:>12} {:>10} {:>14} {:>14}",
        "load", "exporters", "what", "M records/s", "ns/record", "usage rows", "bundles"
    );
    if has("talkers") {
        return talkers();
    }
    if has("detectors") {
        return detectors();
    }
    let plain = Arc::new(Tables::new(&Default::default()).expect("default tables"));
    let all = !PROFILES.iter().any(|(name, _)| has(name));
    for (name, profile) in PROFILES {
        if !all && !has(name) {
            continue;
        }
        let mut loads: Vec<Load> = shapes.iter().map(|s| Load::new(profile, *s)).collect();
        for (what, full, names, compression) in STAGES {
            let tables = |load: &Load| match names {
                Names::Default => plain.clone(),
                Names::All => Arc::new(everything::tables(&load.sources(500))),
            };
            let mut runs: Vec<Run> = (loads.iter())
                .map(|load| Run::new(tables(load), full, compression))
                .collect();
            for round in 0..=ROUNDS {
                for (run, load) in runs.iter_mut().zip(&mut loads) {
                    run.round(load, round);
                }
            }
            for ((run, load), shape) in runs.iter_mut().zip(&loads).zip(&shapes) {
                run.times.sort();
                let ns = run.times[ROUNDS / 2].as_nanos() as f64 / load.records as f64;
                println!(
                    "{name:<8} {:>9} {what:<34} {:>12.2} {ns:>10.1} {:>14.2} {:>14}",
                    shape.exporters,
                    1e3 / ns,
                    run.usage_rows as f64 / run.rows.max(1) as f64,
                    run.bundles,
                );
            }
        }
    }
}

/// The whole path with and without talkers, in turn: medians of CPU time.
fn talkers() {
    let plain = Arc::new(Tables::new(&Default::default()).expect("default tables"));
    let on = Settings::default();
    for (name, profile) in PROFILES {
        let mut load = Load::new(
            profile,
            Shape {
                exporters: 4,
                templates: 2,
                datagrams: 40_000,
            },
        );
        for compression in [Compression::None, Compression::Lz4] {
            let mut runs = [0, on.talkers_max, 16_384].map(|talkers_max| {
                let mut run = Run::new(plain.clone(), true, Some(compression));
                run.shard = shard(
                    plain.clone(),
                    &Settings {
                        talkers_max,
                        ..on.clone()
                    },
                );
                (talkers_max, run)
            });
            for round in 0..=3 * ROUNDS {
                runs.iter_mut()
                    .for_each(|(_, run)| run.round(&mut load, round));
            }
            for (talkers_max, run) in &mut runs {
                run.times.sort();
                let ns = |t: Duration| t.as_nanos() as f64 / load.records as f64;
                println!(
                    "{name:<8} {compression:?} {talkers_max:>6} talkers: median {:.1}, least {:.1} ns/record",
                    ns(run.times[run.times.len() / 2]),
                    ns(run.times[0]),
                );
            }
        }
    }
}

/// The whole path without detectors and with all of them, in turn: medians of CPU time. Zones and rules are set, so that policy is judged, too.
fn detectors() {
    let plain = Arc::new(Tables::new(&Default::default()).expect("default tables"));
    for (name, profile) in PROFILES {
        let mut load = Load::new(
            profile,
            Shape {
                exporters: 4,
                templates: 2,
                datagrams: 40_000,
            },
        );
        for compression in [Compression::None, Compression::Lz4] {
            let mut runs = [false, true].map(|on| {
                let mut run = Run::new(plain.clone(), true, Some(compression));
                if on {
                    let shard = shard(plain.clone(), &Settings::default());
                    run.shard = shard.with_sightings();
                    run.detectors = Some(Detectors::new(&judged()).expect("settings"));
                }
                (on, run)
            });
            for round in 0..=ROUNDS {
                for (_, run) in &mut runs {
                    run.round(&mut load, round);
                }
            }
            for (on, run) in &mut runs {
                run.times.sort();
                let ns = run.times[ROUNDS / 2].as_nanos() as f64 / load.records as f64;
                println!(
                    "{name:<8} {compression:?} detectors {on}: {:.2} M records/s, {ns:.1} ns/record, {} incidents",
                    1e3 / ns,
                    run.found,
                );
            }
        }
    }
}

/// Everything that detectors can judge.
fn judged() -> detect::Settings {
    let zone = |name: &str, network: &str| detect::ZoneSettings {
        name: name.into(),
        networks: vec![network.into()],
    };
    let mut settings = detect::Settings::default();
    settings.policy.zones = vec![zone("a", "10.1.0.0/16"), zone("b", "10.2.0.0/16")];
    settings.policy.allow = vec![detect::AllowSettings {
        from: "a".into(),
        to: "b".into(),
        ports: vec!["443/tcp".into()],
        applications: vec![],
    }];
    settings.policy.cleartext = vec!["telnet".into()];
    settings
}

/// Which names there are.
#[derive(Clone, Copy)]
enum Names {
    Default,
    All,
}

/// What is measured: whether names, usage and sorting follow, with which names, and how the bundles are encoded.
const STAGES: [(&str, bool, Names, Option<Compression>); 6] = [
    ("decode", false, Names::Default, None),
    ("decode, names, usage, sort", true, Names::Default, None),
    (
        "whole path, uncompressed",
        true,
        Names::Default,
        Some(Compression::None),
    ),
    (
        "whole path, LZ4",
        true,
        Names::Default,
        Some(Compression::Lz4),
    ),
    (
        "whole path, all names on",
        true,
        Names::All,
        Some(Compression::None),
    ),
    (
        "whole path, all names on, LZ4",
        true,
        Names::All,
        Some(Compression::Lz4),
    ),
];

/// A shard and what it took.
struct Run {
    shard: ExportShard,
    full: bool,
    encoder: Option<Encoder>,
    detectors: Option<Detectors>,
    found: usize,
    times: Vec<Duration>,
    rows: u64,
    usage_rows: u64,
    bundles: u64,
}

impl Run {
    fn new(tables: Arc<Tables>, full: bool, compression: Option<Compression>) -> Run {
        Run {
            shard: shard(tables, &Settings::default()),
            full,
            encoder: compression.map(Encoder::new),
            detectors: None,
            found: 0,
            times: Vec::new(),
            rows: 0,
            usage_rows: 0,
            bundles: 0,
        }
    }

    /// The load once; before the first time, which only warms, its announcements.
    fn round(&mut self, load: &mut Load, round: usize) {
        if round == 0 {
            for (i, d) in load.announcements.iter().enumerate() {
                self.shard.datagram(&d.datagram(i as u64));
            }
            self.shard.drop_batch();
        }
        let began = cpu_time();
        for (i, d) in load.datagrams.iter().enumerate() {
            if let Some(coming) = load.datagrams.get(i + CALLED_AHEAD) {
                self.shard.call(&coming.source);
            }
            self.shard.datagram(&d.datagram(i as u64));
            if !self.shard.is_full() {
                continue;
            }
            if !self.full {
                self.shard.drop_batch();
                continue;
            }
            self.shard.close_batch(NOW_MS * 1_000_000);
            if let Some(detectors) = &mut self.detectors {
                let seen = self.shard.take_sightings();
                seen.iter().for_each(|s| detectors.observe(s));
                self.found += detectors.take().len();
            }
            if self.shard.rows_open() >= BUNDLE_ROWS || self.shard.due(NOW_MS * 1_000_000) {
                self.seal();
            }
        }
        if self.full {
            self.seal();
        } else {
            self.shard.drop_batch();
        }
        if round > 0 {
            self.times.push(cpu_time() - began);
        }
        load.advance();
    }

    /// Each sealed bundle is encoded and thrown away, as the sink would.
    fn seal(&mut self) {
        let Some(bundle) = self.shard.seal(NOW_MS * 1_000_000, false) else {
            return;
        };
        self.bundles += 1;
        for batch in &bundle.batches {
            match batch.table {
                Table::Flows => self.rows += batch.content.rows() as u64,
                Table::Usage1m => self.usage_rows += batch.content.rows() as u64,
                _ => {}
            }
        }
        if let Some(encoder) = &mut self.encoder {
            for section in encoder.encode(&bundle).sections {
                encoder.buffers().recycle(section.body);
            }
        }
        bundle.recycle();
    }
}

fn shard(tables: Arc<Tables>, usage: &Settings) -> ExportShard {
    let identity = Arc::new(Identity {
        collector: "bench".into(),
        start: 1,
    });
    let sealer = Sealer::new(Default::default(), identity, Arc::default());
    let back = Back::new(tables, Usage::new(usage), sealer);
    ExportShard::new(Decoder::new(Default::default()), back, Book::new(100_000))
}
