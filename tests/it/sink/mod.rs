//! The sink against the embedded ClickHouse and against a scripted one.

mod delivery;
mod doubt;
mod engine;

use flowhouse::batch::{Bundle, Extra, Identity, Sealer, Settings};
use flowhouse::model::{Addr, Field, FlowBatch, Names, Origin, Provenance, UsageRow};
use std::sync::Arc;

/// A sealer whose tokens are those of no other.
fn sealer(start: u128) -> Sealer {
    let identity = Identity {
        collector: "00000000-0000-4000-8000-000000000001".into(),
        start,
    };
    Sealer::new(Settings::default(), Arc::new(identity), Arc::default())
}

/// A bundle of `rows` rows of 100 bytes and one packet, with the usage of exactly these.
fn bundle(sealer: &mut Sealer, rows: usize, now_ns: i64) -> Bundle {
    let mut b: FlowBatch = sealer.fresh();
    let exporter = Addr::from_v4([192, 0, 2, 1]);
    let p = b.push_provenance(Provenance {
        exporter,
        exporter_source: exporter,
        origin: Origin::Netflow9,
        received_at_ns: now_ns,
        ..Default::default()
    });
    b.core.provenance.resize(rows, p);
    b.core.bytes.resize(rows, 100);
    b.core.packets.resize(rows, 1);
    b.core.sampling_interval.resize(rows, 10);
    b.core.in_if.extend((0..rows as u32).map(|i| i % 7));
    b.core
        .present
        .resize(rows, Field::Bytes.bit() | Field::Packets.bit());
    b.commit(rows);
    sealer.push(b, now_ns);
    let usage = (0..7).map(|i| UsageRow {
        minute_s: (now_ns / 60_000_000_000 * 60) as u32,
        exporter,
        if_index: i,
        bytes: 100 * (0..rows as u32).filter(|r| r % 7 == i).count() as u64,
        flows: 1,
        ..Default::default()
    });
    let extra = Extra {
        usage: usage.collect(),
        ..Default::default()
    };
    sealer
        .seal(now_ns, extra, Arc::new(Names::default()))
        .expect("rows")
}
