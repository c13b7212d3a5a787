//! Generated exporters against the decoder: every flow they tell is found, field by field.

use flowhouse::decode::{Decoder, Settings};
use flowhouse::generate::{Export, Exporter, Flow, Habits, Profile, Truth};
use flowhouse::ledger::{Book, Outcome};
use flowhouse::model::{Addr, Datagram, FlowBatch, Learned};
use std::collections::BTreeSet;

const START_MS: i64 = 1_767_225_600_000;
const PROFILES: [Profile; 7] = [
    Profile::EdgeSwitch,
    Profile::Router,
    Profile::Gateway,
    Profile::SflowSwitch,
    Profile::LoadV5,
    Profile::LoadV9,
    Profile::LoadIpfix,
];

struct Collector {
    decoder: Decoder,
    batch: FlowBatch,
    learned: Vec<Learned>,
    book: Book,
    datagrams: u64,
}

impl Collector {
    fn new() -> Self {
        Collector {
            decoder: Decoder::new(Settings::default()),
            batch: FlowBatch::new(),
            learned: Vec::new(),
            book: Book::new(100),
            datagrams: 0,
        }
    }

    fn take(&mut self, from: u8, export: &Export, now_ms: i64) {
        self.datagrams += 1;
        let datagram = Datagram {
            source: Addr::from_v4([192, 0, 2, from]),
            port: 50_000,
            received_at_ns: now_ms * 1_000_000,
            number: self.datagrams,
            frame: 0,
            cut: false,
            payload: &export.payload,
        };
        self.batch.clear();
        self.decoder.decode(
            &datagram,
            &mut self.batch,
            &mut self.learned,
            &mut self.book,
        );
    }

    fn assert_rows(&self, flows: &[Flow], ahead_ms: i64, context: &str) {
        assert_eq!(self.batch.len(), flows.len(), "{context}");
        let c = &self.batch.core;
        for (i, f) in flows.iter().enumerate() {
            let row = (
                c.src_addr[i],
                c.dst_addr[i],
                c.src_port[i],
                c.proto[i],
                c.tos[i],
                c.in_if[i],
                c.out_if[i],
            );
            let want = (
                f.source,
                f.destination,
                f.source_port,
                f.protocol,
                f.tos,
                f.in_if,
                f.out_if,
            );
            assert_eq!(row, want, "{context}, flow {i}");
            assert_eq!(
                (c.bytes[i], c.packets[i]),
                (f.bytes, f.packets),
                "{context}, flow {i}"
            );
            assert_eq!(
                c.tcp_flags[i],
                u16::from(f.tcp_flags),
                "{context}, flow {i}"
            );
            if context.starts_with("SflowSwitch") {
                continue;
            }
            assert_eq!(c.dst_port[i], f.destination_port, "{context}, flow {i}");
            let times = (f.start_ms + ahead_ms, f.end_ms + ahead_ms);
            assert_eq!((c.start_ms[i], c.end_ms[i]), times, "{context}, flow {i}");
        }
    }

    fn finish(&mut self) {
        self.decoder.finish(&mut self.book);
    }
}

#[test]
fn every_flow_of_every_profile_is_found() {
    let habits = [
        Habits::default(),
        Habits {
            sampling: 100,
            clock_ahead_ms: -90_000,
            templates_every: 7,
            templates: 40,
            ..Habits::default()
        },
        Habits {
            both_directions: true,
            datagram_max: 600,
            ..Habits::default()
        },
    ];
    for profile in PROFILES {
        for (h, habits) in habits.into_iter().enumerate() {
            let mut collector = Collector::new();
            let mut truth = Truth::default();
            let mut export = Export::default();
            for number in 0..2u8 {
                let habits = Habits {
                    agent: Addr::from_v4([192, 0, 2, number]),
                    ..habits
                };
                let mut exporter = Exporter::new(profile, habits, number.into(), 42, START_MS);
                for n in 0..120 {
                    let now_ms = START_MS + 50 * n;
                    exporter.next(now_ms, &mut export);
                    assert!(
                        export.payload.len() <= habits.datagram_max.max(1464),
                        "{profile:?}"
                    );
                    collector.take(number, &export, now_ms);
                    let context =
                        format!("{profile:?}, habits {h}, exporter {number}, datagram {n}");
                    // the header of NetFlow 9 has whole seconds only, and record times hang on it
                    let cut_ms = match profile {
                        Profile::Router | Profile::LoadV9 => now_ms % 1000,
                        _ => 0,
                    };
                    collector.assert_rows(&export.flows, habits.clock_ahead_ms - cut_ms, &context);
                    truth.extend(&export.flows);
                }
            }
            collector.finish();
            let book = &collector.book;
            assert_eq!(book.count(Outcome::Rows), truth.total.flows, "{profile:?}");
            for quiet in [
                Outcome::DatagramsRejectedHeader,
                Outcome::SetsRejectedLength,
                Outcome::SetsRejectedTemplate,
                Outcome::SetsRejectedRecord,
                Outcome::SetsExpiredTemplate,
                Outcome::SequenceGaps,
                Outcome::SequenceReordered,
                Outcome::SequenceRestarts,
                Outcome::SampleGaps,
                Outcome::TimesImpossible,
                Outcome::FieldsMalformed,
            ] {
                assert_eq!(book.count(quiet), 0, "{profile:?}, habits {h}: {quiet:?}");
            }
            assert!(
                truth.by_dscp.len() > 5 || profile == Profile::SflowSwitch,
                "{:?}",
                truth.by_dscp.keys()
            );
        }
    }
}

#[test]
fn a_router_tells_names_and_its_sampler() {
    let mut collector = Collector::new();
    let habits = Habits {
        sampling: 64,
        ..Habits::default()
    };
    let mut exporter = Exporter::new(Profile::Router, habits, 3, 1, START_MS);
    let mut export = Export::default();
    (0..20).for_each(|_| {
        exporter.next(START_MS, &mut export);
        collector.take(1, &export, START_MS);
    });
    let applications: BTreeSet<_> = collector
        .learned
        .iter()
        .filter_map(|l| match l {
            Learned::Application { app_id, name, .. } => Some((*app_id, name.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(applications.len(), flowhouse::generate::SERVICES.len());
    let interfaces = collector
        .learned
        .iter()
        .filter(|l| matches!(l, Learned::Interface { .. }))
        .count();
    assert_eq!(interfaces, exporter.interfaces().len());
    assert!(
        collector
            .learned
            .iter()
            .any(|l| matches!(l, Learned::Sampler { interval: 64, .. }))
    );
    assert!(
        collector
            .batch
            .core
            .sampling_interval
            .iter()
            .all(|n| *n == 64)
    );
}

#[test]
fn losses_and_restarts_show_in_the_sequence() {
    for profile in [
        Profile::EdgeSwitch,
        Profile::Router,
        Profile::Gateway,
        Profile::SflowSwitch,
    ] {
        let mut collector = Collector::new();
        let mut exporter = Exporter::new(profile, Habits::default(), 1, 5, START_MS);
        let mut export = Export::default();
        let mut lost = 0;
        for n in 0..2_000 {
            let now_ms = START_MS + n * 10;
            if n == 1_500 {
                exporter.restart(now_ms);
            }
            exporter.next(now_ms, &mut export);
            if [300, 301, 700].contains(&n) {
                lost += u64::from(export.units);
            } else {
                collector.take(1, &export, now_ms);
            }
        }
        collector.finish();
        assert_eq!(
            collector.book.count(Outcome::SequenceGaps),
            lost,
            "{profile:?}"
        );
        assert_eq!(
            collector.book.count(Outcome::SequenceRestarts),
            1,
            "{profile:?}"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    for profile in PROFILES {
        let run = |seed| {
            let mut exporter = Exporter::new(profile, Habits::default(), 1, seed, START_MS);
            let mut export = Export::default();
            let mut all = Vec::new();
            for n in 0..50 {
                exporter.next(START_MS + n, &mut export);
                all.extend_from_slice(&export.payload);
            }
            all
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
