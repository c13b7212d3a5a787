//! Usage against a naive reference: every byte once, in the right minute.

use flowhouse::aggregate::{Settings, Usage};
use flowhouse::ledger::Book;
use flowhouse::model::{
    Addr, Field, FlowBatch, InterfaceSide, Origin, Provenance, TalkerRole, UsageRow,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// 2024-01-01 00:00:30 UTC, ms.
const NOW: i64 = 1_704_067_230_000;
const MINUTE: i64 = 60_000;

#[derive(Clone, Copy, Debug)]
struct Row {
    exporter: u8,
    in_if: u32,
    out_if: u32,
    app: u32,
    tos: u8,
    /// Relative to `NOW`, ms.
    start: Option<i64>,
    end: Option<i64>,
    direction: Option<u8>,
    bytes: u64,
    packets: u64,
    interval: u32,
    sflow: bool,
}

fn batch(rows: &[Row]) -> FlowBatch {
    let mut b = FlowBatch::new();
    for r in rows {
        let provenance = b.push_provenance(Provenance {
            exporter: Addr::from_v4([10, 0, 0, r.exporter]),
            origin: if r.sflow {
                Origin::Sflow
            } else {
                Origin::Ipfix
            },
            received_at_ns: NOW * 1_000_000 + 999_999,
            ..Provenance::default()
        });
        let c = &mut b.core;
        let bit = |there: bool, f: Field| if there { f.bit() } else { 0 };
        c.provenance.push(provenance);
        c.present.push(
            bit(r.start.is_some(), Field::StartMs)
                | bit(r.end.is_some(), Field::EndMs)
                | bit(r.direction.is_some(), Field::Direction),
        );
        c.start_ms.push(NOW + r.start.unwrap_or(7));
        c.end_ms.push(NOW + r.end.unwrap_or(7));
        c.direction.push(r.direction.unwrap_or(0));
        c.in_if.push(r.in_if);
        c.out_if.push(r.out_if);
        c.app.push(r.app);
        c.app_proto.push(r.app + 1);
        c.qos_class.push(u16::from(r.tos >> 4));
        c.tos.push(r.tos);
        c.bytes.push(r.bytes);
        c.packets.push(r.packets);
        c.sampling_interval.push(r.interval.max(1));
        c.sampling_source.push(u8::from(r.interval > 0));
        b.commit(1);
    }
    b
}

fn observed(rows: &[Row]) -> (Vec<UsageRow>, FlowBatch, Book) {
    let (mut usage, mut book) = (Usage::new(&Settings::default()), Book::new(100));
    let mut b = batch(rows);
    usage.observe(&mut b, &mut book);
    (usage.drain(), b, book)
}

type Naive = BTreeMap<(i64, u8, u32, u8, bool, u32, u8, bool), [u128; 6]>;

/// The rules of contracts section 5, minute by minute and in wide numbers.
fn naive(rows: &[Row]) -> Naive {
    let (mut out, mut metered) = (Naive::new(), std::collections::BTreeSet::new());
    for r in rows {
        let out_known = r.out_if != 0 && !(r.sflow && r.out_if >= 0x3fff_ffff);
        if r.direction == Some(0) && r.in_if != 0 {
            metered.insert((r.exporter, r.in_if, 0));
        }
        if r.direction == Some(1) && out_known {
            metered.insert((r.exporter, r.out_if, 1));
        }
        let at_egress = r.direction == Some(1);
        let mut sides = Vec::new();
        if !at_egress || !metered.contains(&(r.exporter, r.in_if, 0)) {
            sides.push((r.in_if, 0, at_egress && out_known));
        }
        if out_known && (at_egress || !metered.contains(&(r.exporter, r.out_if, 1))) {
            sides.push((r.out_if, 1, !at_egress));
        }
        let end = NOW + r.end.or(r.start).unwrap_or(0);
        let start = (NOW + r.start.or(r.end).unwrap_or(0)).min(end);
        let start = start.max(end - 7_200_000);
        let last = end.div_euclid(MINUTE);
        let (mut b_left, mut p_left) = (u128::from(r.bytes), u128::from(r.packets));
        for m in start.div_euclid(MINUTE)..=last {
            let overlap = (end.min((m + 1) * MINUTE) - start.max(m * MINUTE)) as u128;
            let part = |n: u64| match end - start {
                0 => 0,
                life => u128::from(n) * overlap / life as u128,
            };
            let (b, p) = match m == last {
                true => (b_left, p_left),
                false => (part(r.bytes), part(r.packets)),
            };
            (b_left, p_left) = (b_left - b, p_left - p);
            let (low, high) = (
                (NOW - 172_800_000).div_euclid(MINUTE),
                (NOW + MINUTE).div_euclid(MINUTE),
            );
            for &(if_index, side, inferred) in &sides {
                if b + p == 0 && m != last {
                    continue;
                }
                let key = (
                    m.clamp(low, high),
                    r.exporter,
                    if_index,
                    side,
                    inferred,
                    r.app,
                    r.tos >> 2,
                    r.interval == 0,
                );
                let n = u128::from(r.interval.max(1));
                let add = [
                    b,
                    p,
                    u128::from(m == last),
                    b * n,
                    p * n,
                    b * u128::from(r.interval == 0),
                ];
                let sums = out.entry(key).or_default();
                sums.iter_mut().zip(add).for_each(|(s, a)| *s += a);
            }
        }
    }
    // what was inferred before the first record that was metered there does not stay
    out.retain(|key, _| !(key.4 && metered.contains(&(key.1, key.2, key.3))));
    out
}

fn any_row() -> impl Strategy<Value = Row> {
    let time = prop_oneof![
        4 => -600_000i64..90_000,
        2 => (-9_000_000i64..0).prop_map(|t| t - t % 1000),
        1 => -400_000_000i64..400_000_000,
    ];
    let counters = (0u64..1 << 44, 0u64..1 << 20, 0u32..5);
    (
        (1u8..4, 0u32..4, 0u32..4, 0u32..3),
        prop::option::weighted(0.9, time.clone()),
        prop::option::weighted(0.9, time),
        prop::option::of(0u8..2),
        counters,
        any::<bool>(),
    )
        .prop_map(|(key, start, end, direction, counters, sflow)| Row {
            exporter: key.0,
            in_if: key.1,
            out_if: if key.2 == 3 { 0x3fff_ffff } else { key.2 },
            app: key.3,
            tos: (key.3 as u8) << 4,
            start,
            end,
            direction,
            bytes: counters.0,
            packets: counters.1,
            interval: counters.2,
            sflow,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sums_are_exact_and_in_the_right_minute(rows in prop::collection::vec(any_row(), 0..60)) {
        let (got, _, _) = observed(&rows);
        let expected = naive(&rows);
        prop_assert_eq!(got.len(), expected.len(), "one row a key");
        // `drain` is sorted by the fields that make the naive key, in its order
        for (u, (key, sums)) in got.iter().zip(&expected) {
            let got_key = (
                i64::from(u.minute_s) / 60, u.exporter.0[15], u.if_index, u.side as u8, u.inferred, u.app, u.dscp, !u.sampling_known,
            );
            prop_assert_eq!(&got_key, key);
            let got = [u.bytes, u.packets, u.flows, u.est_bytes, u.est_packets, u.est_bytes_unknown].map(u128::from);
            prop_assert_eq!(&got[..], &sums[..]);
            prop_assert_eq!(u.sampled_packets, u.packets);
        }
    }

    /// The law of talkers: with `other` they are the usage of their exporter and minute, each byte once. The same for networks
    /// where every address is in one.
    #[test]
    fn talkers_and_networks_are_the_usage(
        rows in prop::collection::vec(any_row(), 0..60), at in 0usize..60, talkers_max in 1usize..100, first in 0usize..4
    ) {
        let settings = Settings { talkers_max, talkers_per_exporter_max: first, ..Settings::default() };
        let (mut usage, mut book) = (Usage::new(&settings), Book::new(100));
        let (head, tail) = rows.split_at(at.min(rows.len()));
        let (mut all, mut talkers, mut networks) = (vec![], vec![], vec![]);
        for (n, rows) in [head, tail].into_iter().enumerate() {
            let mut b = batch(rows);
            for i in 0..b.len() {
                b.core.src_addr[i] = Addr::from_v4([10, 1, 0, (i % 7) as u8]);
                b.core.dst_addr[i] = Addr::from_v4([10, 2, 0, (i % 11) as u8]);
            }
            let nets = b.nets_mut();
            for i in 0..nets.src_net.len() {
                (nets.src_net[i], nets.dst_net[i]) = (1 + i as u32 % 2, i as u32 % 3);
            }
            usage.observe(&mut b, &mut book);
            all.extend(usage.drain());
            networks.extend(usage.take_networks());
            // not with every bundle
            if n == 1 {
                talkers = usage.take_talkers();
            }
        }
        type Sums = BTreeMap<(u32, Addr), [u64; 6]>;
        fn add(to: &mut Sums, of: (u32, Addr), n: [u64; 6]) {
            to.entry(of).or_default().iter_mut().zip(n).for_each(|(s, n)| *s += n);
        }
        let mut want = Sums::new();
        for u in all.iter().filter(|u| u.side == InterfaceSide::Ingress) {
            add(&mut want, (u.minute_s, u.exporter), [u.bytes, u.packets, u.flows, u.est_bytes, u.est_packets, u.est_bytes_unknown]);
        }
        for role in [TalkerRole::Source, TalkerRole::Destination] {
            let mut got = Sums::new();
            for t in talkers.iter().filter(|t| t.role == role) {
                prop_assert!(t.other || t.address.0[13] == 1 + role as u8);
                add(&mut got, (t.minute_s, t.exporter), [t.bytes, t.packets, t.flows, t.est_bytes, t.est_packets, t.est_bytes_unknown]);
            }
            prop_assert_eq!(&got, &want);
        }
        let mut got = Sums::new();
        for n in &networks {
            prop_assert!(n.src_net > 0);
            add(&mut got, (n.minute_s, n.exporter), [n.bytes, n.packets, n.flows, n.est_bytes, n.est_packets, n.est_bytes_unknown]);
        }
        prop_assert_eq!(&got, &want);
    }

    #[test]
    fn order_within_a_bundle_does_not_matter(
        rows in prop::collection::vec(any_row(), 0..40).prop_shuffle()
    ) {
        // metered at an egress that is not known: nothing can be inferred from such a record
        let mut rows: Vec<Row> = rows;
        rows.retain(|r| r.direction != Some(1) || r.out_if != 0 && r.out_if < 0x3fff_ffff);
        let mut there = observed(&rows).0;
        rows.reverse();
        let mut back = observed(&rows).0;
        // but for how it is rounded
        for (t, b) in there.iter_mut().zip(&mut back) {
            prop_assert!((t.variance - b.variance).abs() <= 1e-5 * t.variance);
            (t.variance, b.variance) = (0.0, 0.0);
        }
        prop_assert_eq!(there, back);
    }

    #[test]
    fn bundles_add_up(mut rows in prop::collection::vec(any_row(), 0..40), at in 0usize..40) {
        // where exporters meter is learned from bundle to bundle, which is another matter
        rows.iter_mut().for_each(|r| r.direction = None);
        let whole = observed(&rows).0;
        let (mut usage, mut book) = (Usage::new(&Settings::default()), Book::new(100));
        let (head, tail) = rows.split_at(at.min(rows.len()));
        let mut parts = Vec::new();
        for rows in [head, tail] {
            usage.observe(&mut batch(rows), &mut book);
            parts.extend(usage.drain());
        }
        let sum = |rows: &[UsageRow]| {
            let mut sums = BTreeMap::<_, (u64, u64, u64)>::new();
            for u in rows {
                let key = (u.minute_s, u.exporter, u.if_index, u.side, u.inferred, u.app, u.dscp);
                let s = sums.entry(key).or_default();
                *s = (s.0 + u.bytes, s.1 + u.packets, s.2 + u.flows);
            }
            sums
        };
        prop_assert_eq!(sum(&whole), sum(&parts));
    }
}

/// 2,000 bytes of a flow of ten minutes that came in its last five, as the growth of running totals does.
#[test]
fn what_came_since_the_last_totals_is_booked_there() {
    let row = Row {
        exporter: 1,
        in_if: 1,
        out_if: 0,
        app: 1,
        tos: 0,
        start: Some(-10 * MINUTE),
        end: Some(0),
        direction: None,
        bytes: 2_000,
        packets: 20,
        interval: 1,
        sflow: false,
    };
    let mut flows = batch(&[row]);
    flows.counters_mut().book(0, NOW - 5 * MINUTE, NOW);
    let mut usage = Usage::new(&Settings::default());
    let mut book = Book::new(10);
    usage.observe(&mut flows, &mut book);
    let rows = usage.drain();
    let minute = |r: &UsageRow| i64::from(r.minute_s) * 1000;
    assert!(
        rows.iter().all(|r| minute(r) >= NOW - 5 * MINUTE - 30_000),
        "{rows:?}"
    );
    assert_eq!(rows.iter().map(|r| r.bytes).sum::<u64>(), 2_000);
    assert_eq!(rows.len(), 6, "five minutes from half past to half past");
}
