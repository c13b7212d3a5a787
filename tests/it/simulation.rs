//! Seeded exporters that lose, reorder, duplicate, restart, change templates and lie. Whatever they do, every law of the
//! ledger holds at the end, with one shard and with several; and where they only lose, the losses are counted to the unit.

use flowhouse::aggregate::{self, Usage};
use flowhouse::batch::{Identity, Sealer};
use flowhouse::decode::Decoder;
use flowhouse::enrich::Tables;
use flowhouse::ledger::{Book, Gauges, Outcome, laws};
use flowhouse::model::{Addr, Datagram};
use flowhouse::shard::{Back, ExportShard};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

const START_S: u32 = 1_780_000_000;

/// What can go wrong on the way; each is one in so many datagrams, 0 for never.
#[derive(Clone, Copy, Default)]
struct Troubles {
    lose: u32,
    duplicate: u32,
    reorder: u32,
    restart: u32,
    change_template: u32,
    lie: u32,
}

impl Troubles {
    fn happens(rng: &mut SmallRng, one_in: u32) -> bool {
        one_in > 0 && rng.random_range(0..one_in) == 0
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    V5,
    V9,
    Ipfix,
    Sflow,
}

/// One exporter with its own sequence and template.
struct Exporter {
    /// Of sFlow that of the agent: all of them send from one address.
    address: Addr,
    port: u16,
    protocol: Protocol,
    sequence: u32,
    /// Of its flow samples.
    samples: u32,
    uptime_ms: u32,
    layout: usize,
    sent: u64,
}

/// Template layouts as (element, length): the second and third differ from the first in every way that matters.
const LAYOUTS: &[&[(u16, u16)]] = &[
    &[
        (8, 4),
        (12, 4),
        (7, 2),
        (11, 2),
        (4, 1),
        (5, 1),
        (10, 4),
        (14, 4),
        (1, 4),
        (2, 4),
        (22, 4),
        (21, 4),
    ],
    &[
        (27, 16),
        (28, 16),
        (7, 2),
        (11, 2),
        (4, 1),
        (1, 8),
        (2, 8),
        (10, 2),
        (14, 2),
    ],
    &[(8, 4), (12, 4), (1, 3), (2, 1), (61, 1), (210, 7), (10, 4)],
];
const TEMPLATE: u16 = 300;

impl Exporter {
    fn datagram(&mut self, rng: &mut SmallRng, with_template: bool) -> (Vec<u8>, u64) {
        let records = rng.random_range(1..=12u16);
        self.uptime_ms = self.uptime_ms.wrapping_add(rng.random_range(1..2_000));
        let bytes = match self.protocol {
            Protocol::V5 => self.v5(rng, records),
            Protocol::V9 => self.templated(rng, records, with_template, 9),
            Protocol::Ipfix => self.templated(rng, records, with_template, 10),
            Protocol::Sflow => self.sflow(rng, records),
        };
        self.samples = self.samples.wrapping_add(u32::from(records));
        self.sequence = self.sequence.wrapping_add(match self.protocol {
            Protocol::V9 | Protocol::Sflow => 1,
            _ => u32::from(records),
        });
        self.sent += 1;
        (bytes, u64::from(records))
    }

    fn clock_s(&self) -> u32 {
        START_S + self.uptime_ms / 1_000
    }

    fn source(&self) -> Addr {
        match self.protocol {
            Protocol::Sflow => Addr::from_v4([198, 51, 100, 1]),
            _ => self.address,
        }
    }

    /// Flow samples of one interface, each with a sampled Ethernet header.
    fn sflow(&self, rng: &mut SmallRng, records: u16) -> Vec<u8> {
        let words = |list: &[u32]| {
            list.iter()
                .flat_map(|w| w.to_be_bytes())
                .collect::<Vec<u8>>()
        };
        let agent = u32::from_be_bytes([192, 0, 2, self.address.0[15]]);
        let count = u32::from(records);
        let mut d = words(&[5, 1, agent, 0, self.sequence, self.uptime_ms, count]);
        for n in 0..count {
            let mut header: Vec<u8> = (0..42).map(|_| rng.random()).collect();
            header[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
            header.extend([0; 2]);
            let number = self.samples.wrapping_add(n);
            d.extend(words(&[
                1,
                32 + 24 + 44,
                number,
                1,
                100,
                number,
                0,
                1,
                2,
                1,
            ]));
            d.extend(words(&[1, 16 + 44, 1, 1000, 4, 42]));
            d.extend(header);
        }
        d
    }

    fn v5(&self, rng: &mut SmallRng, records: u16) -> Vec<u8> {
        let mut d = vec![0, 5];
        d.extend(records.to_be_bytes());
        d.extend(self.uptime_ms.to_be_bytes());
        d.extend(self.clock_s().to_be_bytes());
        d.extend(0u32.to_be_bytes());
        d.extend(self.sequence.to_be_bytes());
        d.extend([0, 1, 0, 0]);
        for _ in 0..records {
            let mut r: Vec<u8> = (0..48).map(|_| rng.random()).collect();
            r[24..28].copy_from_slice(&self.uptime_ms.saturating_sub(5_000).to_be_bytes());
            r[28..32].copy_from_slice(&self.uptime_ms.to_be_bytes());
            d.extend(r);
        }
        d
    }

    fn templated(
        &self,
        rng: &mut SmallRng,
        records: u16,
        with_template: bool,
        version: u16,
    ) -> Vec<u8> {
        let layout = LAYOUTS[self.layout];
        let mut sets = vec![];
        if with_template {
            let mut t = vec![];
            t.extend(TEMPLATE.to_be_bytes());
            t.extend((layout.len() as u16).to_be_bytes());
            for (element, length) in layout {
                t.extend(element.to_be_bytes());
                t.extend(length.to_be_bytes());
            }
            sets.extend(set(if version == 9 { 0 } else { 2 }, t));
        }
        let length: u16 = layout.iter().map(|f| f.1).sum();
        let data = (0..u32::from(records) * u32::from(length))
            .map(|_| rng.random())
            .collect();
        sets.extend(set(TEMPLATE, data));
        let mut d = vec![];
        d.extend(version.to_be_bytes());
        if version == 9 {
            d.extend((records + u16::from(with_template)).to_be_bytes());
            d.extend(self.uptime_ms.to_be_bytes());
        } else {
            d.extend((16 + sets.len() as u16).to_be_bytes());
        }
        d.extend(self.clock_s().to_be_bytes());
        d.extend(self.sequence.to_be_bytes());
        d.extend(7u32.to_be_bytes());
        d.extend(sets);
        d
    }
}

fn set(id: u16, mut body: Vec<u8>) -> Vec<u8> {
    let mut s = vec![];
    s.extend(id.to_be_bytes());
    s.extend((body.len() as u16 + 4).to_be_bytes());
    s.append(&mut body);
    s
}

/// What came out, and what was done on the way.
struct Outcomes {
    book: Book,
    delivered: u64,
    lost_records: [u64; 4],
    lost_datagrams: [u64; 4],
}

fn simulate(
    seed: u64,
    datagrams: usize,
    protocols: &[Protocol],
    troubles: Troubles,
    shards: usize,
) -> Outcomes {
    let mut rng = SmallRng::seed_from_u64(seed);
    let mut exporters: Vec<Exporter> = (0..EXPORTERS as u8)
        .map(|i| Exporter {
            address: Addr::from_v4([192, 0, 2, i]),
            port: 2000 + u16::from(i),
            protocol: protocols[usize::from(i) % protocols.len()],
            sequence: rng.random(),
            samples: rng.random(),
            uptime_ms: rng.random_range(100_000..200_000),
            layout: 0,
            sent: 0,
        })
        .collect();
    let mut shards: Vec<ExportShard> = (0..shards).map(|_| shard()).collect();
    let mut out = Outcomes {
        book: Book::new(1_000),
        delivered: 0,
        lost_records: [0; 4],
        lost_datagrams: [0; 4],
    };
    let mut held: Vec<(Addr, u16, Vec<u8>)> = vec![];
    let mut number = 0;
    let mut acknowledged = 0;
    for step in 0..datagrams {
        let e = &mut exporters[step % EXPORTERS];
        disturb(e, &mut rng, troubles);
        let with_template = e.sent.is_multiple_of(10);
        let (mut bytes, records) = e.datagram(&mut rng, with_template);
        let kind = e.protocol as usize;
        // the first datagrams always arrive: they carry the first templates
        if e.sent > 1 && !with_template && Troubles::happens(&mut rng, troubles.lose) {
            out.lost_records[kind] += records;
            out.lost_datagrams[kind] += 1;
            continue;
        }
        if Troubles::happens(&mut rng, troubles.lie) {
            lie(&mut bytes, &mut rng);
        }
        out.delivered += records;
        let mut now = vec![(e.source(), e.port, bytes)];
        if Troubles::happens(&mut rng, troubles.duplicate) {
            now.push(now[0].clone());
        }
        if Troubles::happens(&mut rng, troubles.reorder) {
            held.append(&mut now);
        } else if held.len() > 3 || step + 1 == datagrams {
            now.append(&mut held);
        }
        for (source, port, payload) in now {
            number += 1;
            let received_at_ns = (i64::from(START_S) + 200 + step as i64 / 50) * 1_000_000_000;
            out.book.other().one(Outcome::DatagramsReceived);
            out.book.other().one(Outcome::DatagramsRouted);
            let d = Datagram {
                source,
                port,
                received_at_ns,
                number,
                frame: number,
                cut: false,
                payload: &payload,
            };
            let exporter = d.exporter();
            let at = usize::from(exporter.0[15]) % shards.len();
            let shard = &mut shards[at];
            shard.datagram(&d);
            if shard.is_full() {
                shard.close_batch(received_at_ns);
            }
            if shard.due(received_at_ns) {
                acknowledged += shard
                    .seal(received_at_ns, false)
                    .map_or(0, |b| b.flow_rows() as u64);
            }
        }
    }
    for shard in &mut shards {
        shard.finish();
        let end_ns = i64::from(START_S + 100_000) * 1_000_000_000;
        acknowledged += shard.seal(end_ns, true).map_or(0, |b| b.flow_rows() as u64);
        assert_eq!(
            (shard.rows_open(), shard.decoder().awaiting()),
            (0, 0),
            "nothing is left behind"
        );
        out.book.merge(shard.book());
    }
    out.book
        .other()
        .add(Outcome::RowsAcknowledged, acknowledged);
    out
}

fn disturb(e: &mut Exporter, rng: &mut SmallRng, troubles: Troubles) {
    if Troubles::happens(rng, troubles.restart) {
        e.sequence = 0;
        e.samples = 0;
        e.uptime_ms = 1_000;
        e.sent = 0;
        e.port = rng.random_range(1_024..60_000);
    }
    if Troubles::happens(rng, troubles.change_template) {
        e.layout = rng.random_range(0..LAYOUTS.len());
        e.sent = 0;
    }
}

/// Cuts, flips or overwrites some bytes.
fn lie(bytes: &mut Vec<u8>, rng: &mut SmallRng) {
    match rng.random_range(0..3) {
        0 => bytes.truncate(rng.random_range(0..bytes.len())),
        1 => {
            for _ in 0..rng.random_range(1..8) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
        }
        _ => {
            let at = rng.random_range(0..bytes.len().min(40));
            bytes[at] = 0xff;
        }
    }
}

fn shard() -> ExportShard {
    let tables = Arc::new(Tables::new(&Default::default()).expect("default tables"));
    let identity = Arc::new(Identity {
        collector: "simulation".into(),
        start: 1,
    });
    let sealer = Sealer::new(Default::default(), identity, Arc::default());
    // a table of talkers is of a shard: there is room for all random addresses in one
    let usage = aggregate::Settings {
        talkers_max: 1 << 15,
        ..Default::default()
    };
    let back = Back::new(tables, Usage::new(&usage), sealer);
    ExportShard::new(Decoder::new(Default::default()), back, Book::new(1_000))
}

fn assert_laws(book: &Book, seed: u64) {
    for law in laws(&book.total(), &Gauges::default()) {
        assert!(
            law.holds(),
            "seed {seed}: {}: {} is not {}",
            law.name,
            law.left,
            law.right
        );
    }
}

const ALL: &[Protocol] = &[Protocol::V5, Protocol::V9, Protocol::Ipfix, Protocol::Sflow];

/// Two of each protocol.
const EXPORTERS: usize = 8;

const ROUGH: Troubles = Troubles {
    lose: 20,
    duplicate: 30,
    reorder: 15,
    restart: 150,
    change_template: 120,
    lie: 10,
};

#[test]
fn every_law_holds_whatever_exporters_do() {
    for seed in 0..20 {
        let out = simulate(seed, 4_000, ALL, ROUGH, 1 + seed as usize % 4);
        assert_laws(&out.book, seed);
        assert!(
            out.book.count(Outcome::Rows) > 5_000,
            "seed {seed}: most rows still come through"
        );
        assert!(
            out.book.count(Outcome::SequenceRestarts) > 0,
            "seed {seed}: restarts are told"
        );
    }
}

#[test]
fn the_number_of_shards_changes_no_count() {
    for seed in 0..2 {
        let total = |shards| {
            let total = simulate(seed, 4_000, ALL, ROUGH, shards).book.total();
            let outcomes = Outcome::ALL.iter();
            outcomes
                .map(|o| (o.name(), total.count(*o)))
                .collect::<Vec<_>>()
        };
        let one = total(1);
        assert_eq!(total(2), one, "seed {seed}");
        assert_eq!(total(4), one, "seed {seed}");
    }
}

#[test]
fn honest_exporters_lose_nothing() {
    for seed in 0..5 {
        let out = simulate(
            seed,
            3_000,
            ALL,
            Troubles {
                change_template: 200,
                ..Default::default()
            },
            1 + seed as usize % 4,
        );
        assert_laws(&out.book, seed);
        assert_eq!(
            out.book.count(Outcome::RecordsFlow),
            out.delivered,
            "seed {seed}"
        );
        assert_eq!(out.book.count(Outcome::SequenceGaps), 0, "seed {seed}");
    }
}

#[test]
fn losses_are_counted_to_the_unit() {
    for (protocol, by_record) in [
        (Protocol::V5, true),
        (Protocol::Ipfix, true),
        (Protocol::V9, false),
        (Protocol::Sflow, false),
    ] {
        let out = simulate(
            3,
            6_000,
            &[protocol],
            Troubles {
                lose: 9,
                ..Default::default()
            },
            2,
        );
        assert_laws(&out.book, 3);
        let lost = if by_record {
            out.lost_records
        } else {
            out.lost_datagrams
        }[protocol as usize];
        let gaps = out.book.count(Outcome::SequenceGaps);
        // what the last datagrams of the exporters lost can no longer show
        let hidden = 12 * EXPORTERS as u64;
        assert!(
            lost > 100 && gaps <= lost && gaps + hidden >= lost,
            "{gaps} counted of {lost} lost"
        );
        let samples = out.book.count(Outcome::SampleGaps);
        let lost = out.lost_records[Protocol::Sflow as usize];
        assert!(
            samples <= lost && samples + hidden >= lost,
            "{samples} samples counted of {lost} lost"
        );
    }
}
