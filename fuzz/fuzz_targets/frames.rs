//! Frames in, rows out: the whole path of packets with small limits. Nothing panics, every law holds, and rows come out for
//! what was dissected.
#![no_main]

use flowhouse::aggregate::Usage;
use flowhouse::batch::{Identity, Sealer};
use flowhouse::dissect::{Dissector, FrameHead};
use flowhouse::enrich::Tables;
use flowhouse::ledger::{Book, Gauges, Outcome, laws};
use flowhouse::meter::{Meter, Settings};
use flowhouse::reassemble::app::{Apps, Wishes};
use flowhouse::reassemble::fragment::Fragments;
use flowhouse::shard::{Back, CaptureShard};
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, OnceLock};

fuzz_target!(|bytes: &[u8]| {
    static TABLES: OnceLock<Arc<Tables>> = OnceLock::new();
    let tables = TABLES.get_or_init(|| Arc::new(Tables::new(&Default::default()).expect("defaults")));
    let mut shard = shard(tables.clone());
    let (mut now, mut frames, mut rest) = (0i64, 0u64, bytes);
    // each frame has its link type, the time since the one before it, and its length in front
    while let Some(([high, low, later, length], after)) = rest.split_first_chunk::<4>() {
        let length = u32::from(high >> 1 & 7) << 8 | u32::from(*length);
        let (frame, next) = after.split_at((length as usize).min(after.len()));
        rest = next;
        frames += 1;
        now += i64::from(*later) << 24;
        while !shard.advance(now, frames) {
            shard.take_rows(|_, _, _| ());
        }
        let head = FrameHead {
            time_ns: now,
            frame: frames,
            interface: 1,
            link_type: u16::from_be_bytes([high & 1, *low]),
            wire_len: length << (high >> 6),
        };
        shard.book().other().one(Outcome::FramesCaptured);
        shard.frame(head, frame);
        while let Some(stray) = shard.take_stray() {
            shard.stray(&stray);
        }
        if shard.is_full() {
            shard.take_rows(|_, _, _| ());
        }
    }
    while !shard.finish(u64::MAX) {
        shard.take_rows(|_, _, _| ());
    }
    shard.take_rows(|_, _, _| ());
    let mut tally = shard.book().total();
    let made = tally.count(Outcome::Rows);
    tally.add(Outcome::RowsAcknowledged, made);
    for law in laws(&tally, &Gauges::default()) {
        assert!(law.holds(), "{law:?}");
    }
});

fn shard(tables: Arc<Tables>) -> CaptureShard {
    let identity = Arc::new(Identity {
        collector: "c".into(),
        start: 1,
    });
    let sealer = Sealer::new(Default::default(), identity, Arc::default());
    let usage = flowhouse::aggregate::Settings {
        talkers_max: 0,
        usage_keys_max: 64,
        ..Default::default()
    };
    let back = Back::new(tables, Usage::new(&usage), sealer);
    let settings = Settings {
        flows_max: 64,
        ..Default::default()
    };
    let apps = Apps::new(&Default::default(), Wishes::default());
    let meter = Meter::new(&settings, 0).with_apps(apps);
    let fragments = Fragments::new(&Default::default());
    CaptureShard::new(Dissector::new(&Default::default()), fragments, meter, back, Book::new(4))
}
