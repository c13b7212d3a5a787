//! NetFlow version 5: a header of 24 bytes and up to 30 records of 48.

use super::exporter::put;
use super::{Export, Exporter, Flow, Stamp};

pub(super) fn write(e: &mut Exporter, now_ms: i64, out: &mut Export) {
    let shown = e.shown(now_ms);
    let p = &mut out.payload;
    put(p, 5, 2);
    put(p, RECORDS as u64, 2);
    out.stamps.push(Stamp::Clock32(4));
    put(p, u64::from(e.uptime(now_ms)), 4);
    put(p, shown.div_euclid(1000) as u64, 4);
    put(p, shown.rem_euclid(1000) as u64 * 1_000_000, 4);
    put(p, u64::from(e.sequence), 4);
    put(p, u64::from(e.domain()), 2);
    // two bits of mode (1: one in N packets), fourteen of interval; 0 when it does not sample
    let sampling = match e.habits.sampling {
        0 | 1 => 0,
        n => 1 << 14 | u64::from(n.min(0x3fff)),
    };
    put(p, sampling, 2);
    for _ in 0..RECORDS {
        let mut flow = e.flow(now_ms);
        flow.bytes = flow.bytes.min(u64::from(u32::MAX));
        record(e, &flow, out);
        out.flows.push(flow);
    }
    out.units = RECORDS as u32;
}

fn record(e: &Exporter, f: &Flow, out: &mut Export) {
    let p = &mut out.payload;
    for address in [f.source, f.destination, f.next_hop] {
        p.extend_from_slice(&address.0[12..]);
    }
    put(p, u64::from(f.in_if), 2);
    put(p, u64::from(f.out_if), 2);
    put(p, f.packets, 4);
    put(p, f.bytes, 4);
    for at in [f.start_ms, f.end_ms] {
        out.stamps.push(Stamp::Clock32(p.len() as u16));
        put(p, u64::from(e.uptime(at)), 4);
    }
    put(p, u64::from(f.source_port), 2);
    put(p, u64::from(f.destination_port), 2);
    p.extend_from_slice(&[0, f.tcp_flags, f.protocol, f.tos]);
    put(p, u64::from(f.source_as), 2);
    put(p, u64::from(f.destination_as), 2);
    p.extend_from_slice(&[f.source_mask, f.destination_mask, 0, 0]);
}

const RECORDS: usize = 30;
