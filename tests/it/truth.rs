//! Exporters that sample, against what really passed: per minute, application and DSCP the truth is within the error that is told.

use flowhouse::aggregate::Usage;
use flowhouse::batch::{Identity, Sealer};
use flowhouse::decode::{Decoder, Settings};
use flowhouse::enrich::Tables;
use flowhouse::generate::{Export, Exporter, Habits, Passed, Profile};
use flowhouse::ledger::Book;
use flowhouse::model::{Addr, Datagram, InterfaceSide, Names, UsageRow, error_of};
use flowhouse::shard::{Back, ExportShard};
use std::collections::BTreeMap;
use std::sync::Arc;

/// 2024-01-01 00:00:00 UTC.
const START_MS: i64 = 1_704_067_200_000;
const MINUTES: i64 = 20;

/// What passed, and what was made of the export.
struct Seen {
    passed: Passed,
    usage: Vec<UsageRow>,
    names: Arc<Names>,
    /// Bytes that exporters reported, each record once.
    reported: u64,
}

/// Twenty minutes of some exporters, each a datagram every `every_ms`, through decode, enrich and aggregate as `run` does it.
fn seen(exporters: &[(Profile, Habits)], every_ms: i64) -> Seen {
    let decode = Settings {
        correct_clock: true,
        ..Settings::default()
    };
    let tables = Arc::new(Tables::new(&Default::default()).expect("defaults"));
    let identity = Arc::new(Identity {
        collector: "c".into(),
        start: 1,
    });
    let sealer = Sealer::new(Default::default(), identity, Arc::default());
    let back = Back::new(tables, Usage::new(&Default::default()), sealer);
    let mut shard = ExportShard::new(Decoder::new(decode), back, Book::new(100));
    let mut exporters: Vec<Exporter> = exporters
        .iter()
        .zip(1..)
        .map(|((profile, habits), n)| Exporter::new(*profile, *habits, n, 5, START_MS))
        .collect();
    let mut export = Export::default();
    let (mut number, mut reported) = (0, 0);
    for step in 0..MINUTES * 60_000 / every_ms {
        let now_ms = START_MS + step * every_ms;
        for (n, exporter) in exporters.iter_mut().enumerate() {
            exporter.next(now_ms, &mut export);
            number += 1;
            let once = export.flows.iter().filter(|f| f.direction == 0);
            reported += once.map(|f| f.bytes).sum::<u64>();
            shard.datagram(&Datagram {
                source: Addr::from_v4([192, 0, 2, n as u8 + 1]),
                port: 50_000,
                received_at_ns: now_ms * 1_000_000,
                number,
                frame: number,
                cut: false,
                payload: &export.payload,
            });
            if shard.is_full() {
                shard.take_rows(|_, _| {});
            }
        }
    }
    shard.finish();
    shard.take_rows(|_, _| {});
    let mut passed = Passed::new();
    for (key, bytes) in exporters.iter_mut().flat_map(Exporter::take_passed) {
        *passed.entry(key).or_default() += bytes;
    }
    let usage = shard.back().drain();
    Seen {
        passed,
        usage,
        names: shard.back().tables().names().clone(),
        reported,
    }
}

/// A minute of an application or DSCP.
#[derive(Clone, Copy, Default)]
struct Cell {
    estimate: f64,
    variance: f64,
    truth: f64,
}

type Cells = BTreeMap<(i64, String), Cell>;

impl Seen {
    fn cells(
        &self,
        of_usage: impl Fn(&UsageRow) -> String,
        of_truth: impl Fn(&'static str, u8) -> String,
    ) -> Cells {
        let mut cells = Cells::new();
        for u in self
            .usage
            .iter()
            .filter(|u| u.side == InterfaceSide::Ingress)
        {
            let key = (i64::from(u.minute_s / 60), of_usage(u));
            let cell = cells.entry(key).or_default();
            cell.estimate += u.est_bytes as f64;
            cell.variance += u.variance;
        }
        for ((minute, app, dscp), bytes) in &self.passed {
            let key = (*minute, of_truth(app, *dscp));
            cells.entry(key).or_default().truth += *bytes as f64;
        }
        cells
    }

    /// The part of the cells whose truth is within the error, and how many there are: of those with an error of at most 100 %.
    fn covered(&self, cells: Cells) -> (f64, usize) {
        let error = |c: &Cell| error_of(c.variance, c.estimate) * c.estimate;
        let told = cells
            .into_values()
            .filter(|c| c.estimate > 0.0 && error(c) <= c.estimate);
        let told: Vec<Cell> = told.collect();
        let inside = |c: &&Cell| (c.estimate - c.truth).abs() <= error(c);
        let n = told.iter().filter(inside).count();
        (n as f64 / told.len().max(1) as f64, told.len())
    }
}

fn sampling(sampling: u32) -> Habits {
    Habits {
        sampling,
        only_tells: false,
        ..Habits::default()
    }
}

/// By application where the exporter names them as the generator does, and by DSCP.
fn holds(what: &str, seen: &Seen, named: bool) {
    let app = |u: &UsageRow| seen.names.apps.name(u.app).to_owned();
    let by_app = seen.cells(app, |app, _| app.to_owned());
    let by_dscp = seen.cells(|u| u.dscp.to_string(), |_, dscp| dscp.to_string());
    let all = [named.then_some(by_app), Some(by_dscp)];
    for cells in all.into_iter().flatten() {
        let (covered, cells) = seen.covered(cells);
        println!("{what}: {covered:.3} of {cells}");
        assert!(
            covered >= 0.95 && cells >= 60,
            "{what}: {covered} of {cells}"
        );
    }
}

#[test]
fn the_truth_is_within_the_error_of_sampling() {
    let both = Habits {
        both_directions: true,
        ..sampling(1_000)
    };
    holds(
        "both directions",
        &seen(&[(Profile::Router, both)], 500),
        true,
    );
    let ahead = Habits {
        clock_ahead_ms: 7_200_000,
        ..sampling(1_000)
    };
    holds(
        "a wrong clock",
        &seen(&[(Profile::Gateway, ahead)], 500),
        true,
    );
    let mixed = [
        (Profile::Router, sampling(1_000)),
        (Profile::Gateway, sampling(100)),
    ];
    holds("two intervals", &seen(&mixed, 1_000), true);
    let packets = seen(&[(Profile::SflowSwitch, sampling(500))], 1_000);
    holds("sampled packets", &packets, false);
}

#[test]
fn what_is_not_sampled_is_exact() {
    let both = Habits {
        both_directions: true,
        ..Habits::default()
    };
    let seen = seen(&[(Profile::Router, both), (Profile::Gateway, both)], 5_000);
    let ingress = seen
        .usage
        .iter()
        .filter(|u| u.side == InterfaceSide::Ingress);
    let (bytes, variance) = ingress.fold((0, 0.0), |(b, v), u| (b + u.est_bytes, v + u.variance));
    assert_eq!((bytes, variance), (seen.reported, 0.0));
}
