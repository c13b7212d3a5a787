//! Rows that resemble NetFlow 9 records of 24 fields from 20 exporters with 48 interfaces each, 30 to a datagram.

use flowhouse::model::{Addr, FlowBatch, Names, Origin, Provenance};
use rand::Rng;
use rand::rngs::SmallRng;

/// Rows of [`flows`].
pub const ROWS: usize = 100_000;
/// When they were received, ns.
pub const NOW_NS: i64 = 1_760_000_000_000_000_000;

/// Names that rows refer to: 2,000 applications and three classes.
pub fn names() -> Names {
    let mut names = Names::default();
    for i in 0..2000 {
        names.apps.push(&format!("application-{i}"));
    }
    for class in ["voice", "video", "bulk"] {
        names.classes.push(class);
    }
    names
}

/// [`ROWS`] rows.
pub fn flows(rng: &mut SmallRng, names: &Names) -> Vec<FlowBatch> {
    let mut all = Vec::new();
    let mut b = FlowBatch::new();
    for datagram in 0..ROWS as u64 / 30 + 1 {
        if b.is_full() {
            all.push(std::mem::replace(&mut b, FlowBatch::new()));
        }
        let done: usize = all.iter().map(FlowBatch::len).sum::<usize>() + b.len();
        let p = b.push_provenance(Provenance {
            exporter: Addr::from_v4([10, 0, 0, rng.random_range(0..20)]),
            exporter_port: 2055,
            domain: 1,
            origin: Origin::Netflow9,
            received_at_ns: NOW_NS + datagram as i64 * 100_000,
            exported_at_ms: NOW_NS / 1_000_000,
            datagram,
            ..Default::default()
        });
        for record in 0..30.min(ROWS - done) {
            row(&mut b, rng, names, p, record as u16);
        }
    }
    all.push(b);
    all
}

fn row(b: &mut FlowBatch, rng: &mut SmallRng, names: &Names, provenance: u16, record: u16) {
    let addr = |rng: &mut SmallRng| {
        Addr::from_v4(rng.random_range(0x0b00_0000u32..0x0b40_0000).to_be_bytes())
    };
    let packets = rng.random_range(1..60);
    let c = &mut b.core;
    c.provenance.push(provenance);
    c.record.push(record + 1);
    c.src_addr.push(addr(rng));
    c.dst_addr.push(addr(rng));
    c.next_hop
        .push(Addr::from_v4([10, 1, 0, rng.random_range(0..8)]));
    c.bytes.push(packets * rng.random_range(64..1400));
    c.packets.push(packets);
    c.start_ms
        .push(NOW_NS / 1_000_000 - rng.random_range(1000..60_000));
    c.end_ms
        .push(NOW_NS / 1_000_000 - rng.random_range(0..1000));
    c.present.push(0x7f_ffff);
    c.in_if.push(rng.random_range(1..48));
    c.out_if.push(rng.random_range(1..48));
    c.src_as.push(64_512 + rng.random_range(0..500));
    c.dst_as.push(1000 + rng.random_range(0..5000));
    c.sampling_interval.push(1000);
    c.app.push(rng.random_range(0..names.apps.len() as u32));
    c.app_proto.push(rng.random_range(0..40));
    c.qos_class.push(rng.random_range(0..4));
    c.src_port.push(rng.random_range(32_768..60_000));
    c.dst_port
        .push([443, 80, 53, 22, 8080][rng.random_range(0..5)]);
    c.vlan.push(100);
    c.tcp_flags.push(0x1b);
    c.proto
        .push(if rng.random_range(0..4) == 0 { 17 } else { 6 });
    c.tos.push([0, 184, 136, 40][rng.random_range(0..4)]);
    c.src_mask.push(24);
    c.dst_mask.push(20);
    c.direction.push(rng.random_range(0..2));
    c.forwarding_status.push(64);
    c.ip_version.push(4);
    c.sampling_source.push(2);
    c.app_source.push(4);
    c.app_confidence.push(50);
    b.commit(1);
}
