//! The whole path from memory, one thread: datagrams in, sealed, sorted and encoded Native blocks of 100,000 rows out, with
//! names and usage, uncompressed and LZ4; the stages one after the other; and the whole path with every kind of names on:
//! 100,000 prefixes, 2,000 name rules, 200 port and 200 address rules, 500 interfaces, two QoS policies.
//!
//! `cargo bench --bench shard [-- v5|v9|ipfix] [many]`: medians of seven rounds of CPU time. `many`: 10,000 exporters of four
//! templates beside four of four, and beside four with so many ports that their flows share as few usage keys, in turn, so that what
//! else runs meets all. `talkers`: the whole path with talkers and without, in turn;
//! `detectors`: with all detectors and without, in 40 s; each load in a process of its own, as a collector is one (`busy`, `calm`, `uncompressed` and
//! `lz4` say which): memory that was given back and taken again has small pages.

mod everything;
mod load;

use flowhouse::aggregate::{Settings, Usage};
use flowhouse::batch::{Identity, Sealer, Table};
use flowhouse::decode::{CALLED_AHEAD, Decoder};
use flowhouse::detect::anomaly::{self as detect, Detectors};
use flowhouse::enrich::Tables;
use flowhouse::generate::Habits;
use flowhouse::ledger::Book;
use flowhouse::shard::{Back, ExportShard};
use flowhouse::sink::native::{Compression, Encoder};
use load::{Load, NOW_MS, PROFILES, Shape, cpu_time};
use std::sync::Arc;
use std::time::Duration;

const ROUNDS: usize = 7;
const DETECTORS_ROUNDS: usize = 5;
/// Records a second that the whole path is to reach with all detectors.
const BAR: u64 = 1_200_000;
const BUNDLE_ROWS: u64 = 100_000;
/// Four exporters with this many times as many ports share about as few usage keys as 10,000 do.
const PORTS_TIMES: u32 = 512;

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
        ports_times: 1,
    };
    let shapes = match has("many") {
        true => {
            let wide = Shape {
                ports_times: PORTS_TIMES,
                ..shape(4, 4)
            };
            vec![shape(4, 4), shape(10_000, 4), wide]
        }
        false => vec![shape(4, 2)],
    };
    if has("talkers") {
        return talkers();
    }
    if has("detectors") {
        return each_apart(&args);
    }
    println!(
        "{:<8} {:>9} {:<34} {:>12} {:>10} {:>14} {:>14}",
        "load", "exporters", "what", "M records/s", "ns/record", "usage rows", "bundles"
    );
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
                ports_times: 1,
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

/// Runs [`detectors`] for each load that is asked for, in a process of its own.
fn each_apart(args: &[String]) {
    let has = |word: &str| args.iter().any(|a| a == word);
    let names = PROFILES.map(|(name, _)| name);
    let sides = [&names[..], &["busy", "calm"], &["uncompressed", "lz4"]];
    let wanted = sides.map(|side| {
        let some = side.iter().any(|word| has(word));
        let wanted = side.iter().filter(|word| !some || has(word));
        wanted.copied().collect::<Vec<&str>>()
    });
    if let [[profile], [network], [encoding]] = wanted.each_ref().map(|w| &w[..]) {
        return detectors(profile, network, encoding);
    }
    let exe = std::env::current_exe().expect("this program");
    for profile in &wanted[0] {
        for network in &wanted[1] {
            for encoding in &wanted[2] {
                let words = ["detectors", profile, network, encoding];
                let ended = std::process::Command::new(&exe).args(words).status();
                assert!(ended.is_ok_and(|e| e.success()), "{words:?}");
            }
        }
    }
}

/// The whole path without detectors and with all of them, in turn, on datagrams that both see once: medians of CPU time, and how much of it
/// judges. Time goes on as it would at the rate of the bar. Zones and rules are set, so that policy is judged, too. `busy` is the load of the
/// other forms, many hosts of which most get no answer; in `calm` nothing is amiss.
fn detectors(name: &str, network: &str, encoding: &str) {
    let plain = Arc::new(Tables::new(&Default::default()).expect("default tables"));
    let shape = Shape {
        exporters: 4,
        templates: 2,
        datagrams: 40_000,
        ports_times: 1,
    };
    let profile = PROFILES.iter().find(|p| p.0 == name);
    let (_, profile) = profile.expect("a load of this name");
    let habits = Habits {
        answered: network == "calm",
        ..Habits::default()
    };
    let compression = match encoding {
        "lz4" => Compression::Lz4,
        _ => Compression::None,
    };
    let mut load = Load::with(*profile, shape, habits);
    let mut runs = [false, true].map(|on| {
        let mut run = Run::new(plain.clone(), true, Some(compression));
        if on {
            let shard = shard(plain.clone(), &Settings::default());
            run.shard = shard.with_sightings();
            run.detectors = Some(Detectors::new(&judged()).expect("settings"));
        }
        (run, vec![])
    });
    let mut clock = Clock {
        began_ns: NOW_MS * 1_000_000,
        step_ns: (load.records * 1_000_000_000 / BAR / shape.datagrams as u64) as i64,
    };
    for round in 0..=DETECTORS_ROUNDS {
        for (run, each) in &mut runs {
            run.pass(&load, round, clock);
            let per_record = |t: &Duration| t.as_nanos() as f64 / load.records as f64;
            each.extend(run.times.last().map(per_record));
        }
        clock.began_ns += clock.step_ns * shape.datagrams as i64;
        let at_ms = |i: usize| clock.at(i) / 1_000_000;
        load.draw(shape.datagrams, at_ms);
    }
    let median = |ns: &mut Vec<f64>| {
        ns.sort_by(f64::total_cmp);
        ns[ns.len() / 2]
    };
    let [(_, off), (run, on)] = &mut runs;
    let (off, on) = (median(off), median(on));
    println!(
        "{name:<5} {network} {encoding}: {:.2} M records/s without ({off:.0} ns), {:.2} M with all detectors ({on:.0} ns, of which judging {:.0}); {} \
         versions of incidents, {} held back",
        1e3 / off,
        1e3 / on,
        run.judging.as_nanos() as f64 / run.rows as f64,
        run.found,
        run.detectors.as_ref().map_or(0, Detectors::held_back),
    );
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

/// When datagrams are received.
#[derive(Clone, Copy)]
struct Clock {
    began_ns: i64,
    step_ns: i64,
}

impl Clock {
    fn at(&self, datagram: usize) -> i64 {
        self.began_ns + datagram as i64 * self.step_ns
    }
}

/// A shard and what it took.
struct Run {
    shard: ExportShard,
    full: bool,
    encoder: Option<Encoder>,
    detectors: Option<Detectors>,
    /// What detectors took of the time.
    judging: Duration,
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
            judging: Duration::ZERO,
            found: 0,
            times: Vec::new(),
            rows: 0,
            usage_rows: 0,
            bundles: 0,
        }
    }

    /// The load once; before the first time, which only warms, its announcements.
    fn round(&mut self, load: &mut Load, round: usize) {
        let clock = Clock {
            began_ns: NOW_MS * 1_000_000,
            step_ns: 0,
        };
        self.pass(load, round, clock);
        load.advance();
    }

    /// The load once, at times of its own.
    fn pass(&mut self, load: &Load, round: usize, clock: Clock) {
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
            let now_ns = clock.at(i);
            self.shard.datagram(&d.datagram_at(i as u64, now_ns));
            if !self.shard.is_full() {
                continue;
            }
            if !self.full {
                self.shard.drop_batch();
                continue;
            }
            self.shard.close_batch(now_ns);
            self.judge();
            if self.shard.rows_open() >= BUNDLE_ROWS || self.shard.due(now_ns) {
                self.seal(now_ns);
            }
        }
        if self.full {
            self.seal(clock.at(load.datagrams.len()));
        } else {
            self.shard.drop_batch();
        }
        if round > 0 {
            self.times.push(cpu_time() - began);
        }
    }

    /// What detectors do with a batch; their thread of a collector does the same.
    fn judge(&mut self) {
        let Some(detectors) = &mut self.detectors else {
            return;
        };
        let began = cpu_time();
        let mut seen = self.shard.take_sightings();
        detectors.observe_all(&seen);
        self.found += detectors.take().len();
        seen.clear();
        self.shard.reuse(seen);
        self.judging += cpu_time() - began;
    }

    /// Each sealed bundle is encoded and thrown away, as the sink would.
    fn seal(&mut self, now_ns: i64) {
        let sealed = self.shard.seal(now_ns, false);
        self.judge();
        let Some(bundle) = sealed else {
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
