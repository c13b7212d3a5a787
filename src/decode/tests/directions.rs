//! Records of both directions.

use super::*;
use crate::decode::element::{ELEMENTS, Kind, REVERSE_PEN, Target};
use crate::decode::places::field;
use proptest::prelude::*;

#[test]
fn a_biflow_gives_a_row_a_direction() {
    let mut b = Bench::new(Settings::default());
    let fields = [
        (0, 7, 2),
        (0, 11, 2),
        (0, 10, 2),
        (0, 14, 2),
        (0, 1, 2),
        (0, 2, 2),
        (29305, 1, 2),
        (29305, 2, 2),
        (0, 61, 1),
    ];
    let two = [words(&[1000, 443, 3, 4, 90, 2, 700, 5]), vec![0]].concat();
    let one = [words(&[1001, 443, 3, 4, 60, 1, 0, 0]), vec![0]].concat();
    b.send(1, &[template(256, &fields), (256, [two, one].concat())]);
    assert_eq!(
        b.rows(),
        [
            (90, 2, Half::Forward),
            (700, 5, Half::Reverse),
            (60, 1, Half::Forward)
        ]
    );
    let c = &b.out.core;
    assert_eq!((c.src_port[1], c.dst_port[1]), (443, 1000));
    assert_eq!((c.in_if[1], c.out_if[1]), (4, 3));
    assert_eq!(c.record, [1, 1, 2]);
    assert_eq!(c.direction, [0, 1, 0]);
    assert_eq!(b.count(Outcome::RowsAddedReverse), 1);
    assert_eq!(b.count(Outcome::Rows), 3);
}

#[test]
fn a_reverse_row_has_what_the_record_carried_of_its_direction() {
    let mut b = Bench::new(Settings::default());
    let fields = [(0, 8, 4), (0, 12, 4), (0, 1, 2), (29305, 1, 2)];
    let record = words(&[0xa00, 1, 0xa00, 2, 90, 700]);
    b.send(1, &[template(256, &fields), (256, record)]);
    let event = nsel(1, 5, 100, 40, 1_000_500);
    b.send(1, &[template(257, NSEL), (257, event)]);
    let fields = [(0, 1, 2), (29305, 1, 2), (0, 2, 2), (29305, 86, 2)];
    b.send(1, &[template(258, &fields), (258, words(&[90, 700, 2, 5]))]);
    let there = |i: usize| {
        (
            b.out.row(i).has(Field::Bytes),
            b.out.row(i).has(Field::Packets),
        )
    };
    assert_eq!(
        [1, 3, 5].map(there),
        [(true, false), (true, false), (true, true)]
    );
    assert_eq!(there(0), (true, false));
}

/// Flow id, event, initiator and responder bytes, start of the flow in ms.
fn nsel(id: u16, event: u8, init: u16, resp: u16, start_ms: u64) -> Vec<u8> {
    let mut r = words(&[id]);
    r.push(event);
    r.extend(words(&[init, resp]));
    r.extend(start_ms.to_be_bytes());
    r
}

const NSEL: &[(u32, u16, u16)] = &[
    (0, 148, 2),
    (0, 233, 1),
    (0, 231, 2),
    (0, 232, 2),
    (0, 152, 8),
];

#[test]
fn teardown_counts_what_updates_have_not() {
    let mut b = Bench::new(Settings::default());
    let events = [
        nsel(1, 1, 0, 0, 1_000_500),
        nsel(1, 5, 100, 40, 1_000_500),
        nsel(1, 2, 150, 40, 1_000_500),
        nsel(2, 3, 9, 9, 1_000_500),
    ];
    b.send(1, &[template(256, NSEL), (256, events.concat())]);
    assert_eq!(
        b.rows(),
        [
            (0, 0, Half::Forward),
            (100, 0, Half::Forward),
            (40, 0, Half::Reverse),
            (50, 0, Half::Forward),
            (0, 0, Half::Forward),
        ]
    );
    assert!(b.out.core.flags.iter().all(|f| f & RowFlags::L4_BYTES != 0));
    assert_eq!(b.count(Outcome::TotalsUnknown), 0);
}

#[test]
fn a_teardown_without_a_beginning_counts_nothing_and_says_so() {
    let mut b = Bench::new(Settings::default());
    // the first began before the exporter's first datagram, the second after it
    let events = [nsel(1, 2, 500, 500, 900_000), nsel(2, 2, 70, 30, 1_000_200)];
    b.send(1, &[template(256, NSEL), (256, events.concat())]);
    assert_eq!(
        b.rows(),
        [
            (0, 0, Half::Forward),
            (70, 0, Half::Forward),
            (30, 0, Half::Reverse)
        ]
    );
    assert!(b.out.core.flags[0] & RowFlags::TOTAL_UNKNOWN != 0);
    assert_eq!(b.count(Outcome::TotalsUnknown), 1);
}

#[test]
fn deltas_beat_firewall_events() {
    let mut b = Bench::new(Settings::default());
    let fields = [(0, 148, 2), (0, 233, 1), (0, 1, 2), (0, 2, 2)];
    let record = [words(&[1]), vec![1], words(&[70, 1])].concat();
    b.send(1, &[template(256, &fields), (256, record)]);
    assert_eq!(b.rows(), [(70, 1, Half::Whole)]);
    assert_eq!(b.out.core.flags[0] & RowFlags::L4_BYTES, 0);
}

#[test]
fn a_teardown_that_comes_twice_counts_once() {
    let mut b = Bench::new(Settings::default());
    let events = [
        nsel(1, 1, 0, 0, 1_000_500),
        nsel(1, 2, 400, 2000, 1_000_500),
        nsel(1, 2, 400, 2000, 1_000_500),
        // the flow id again, for a flow that began later
        nsel(1, 2, 400, 2000, 1_000_900),
    ];
    b.send(1, &[template(256, NSEL), (256, events.concat())]);
    let counted = [(400, 0, Half::Forward), (2000, 0, Half::Reverse)];
    let rows = b.rows();
    assert_eq!(rows[0], (0, 0, Half::Forward));
    assert_eq!(rows[1..3], counted);
    assert_eq!(rows[3], (0, 0, Half::Forward));
    assert_eq!(rows[4..], counted);
    assert_eq!(b.count(Outcome::TotalsUnknown), 0);
}

#[test]
fn an_update_that_comes_after_its_teardown_was_counted_with_it() {
    let mut b = Bench::new(Settings::default());
    let events = [
        nsel(1, 1, 0, 0, 1_000_500),
        nsel(1, 5, 100, 0, 1_000_500),
        nsel(1, 2, 300, 0, 1_000_500),
        nsel(1, 5, 80, 0, 1_000_500),
        // the flow id again, for a flow that began later
        nsel(1, 5, 70, 0, 1_000_900),
        // one that began before the exporter's first datagram: its teardown counts nothing
        nsel(2, 2, 500, 0, 900_000),
        nsel(2, 5, 60, 0, 900_000),
    ];
    b.send(1, &[template(256, NSEL), (256, events.concat())]);
    let bytes: Vec<u64> = b.rows().iter().map(|r| r.0).collect();
    assert_eq!(bytes, [0, 100, 200, 0, 70, 0, 60]);
}

#[test]
fn an_end_of_zeros_is_of_the_family_of_the_other_end() {
    let fields = [(0, 8, 4), (0, 12, 4), (0, 27, 16), (0, 28, 16), (0, 1, 2)];
    let record = |v4: [u32; 2], v6: [u128; 2]| {
        let mut r: Vec<u8> = v4.iter().flat_map(|a| a.to_be_bytes()).collect();
        r.extend(v6.iter().flat_map(|a| a.to_be_bytes()));
        r.extend([0, 9]);
        r
    };
    let discovers = record([0, u32::MAX], [0, 0]);
    let detects = record([0, 0], [0, 0xff02 << 112 | 1]);
    let mut b = Bench::new(Settings::default());
    let set = (256, [discovers, detects].concat());
    b.send(1, &[template(256, &fields), set]);
    let c = &b.out.core;
    assert_eq!(c.src_addr, [Addr::from_v4([0; 4]), Addr::UNSPECIFIED]);
    assert_eq!(c.ip_version, [4, 6]);
}

const ONE_WAY: &[(u32, u16, u16)] = &[
    (0, 1, 2),
    (REVERSE_PEN, 1, 2),
    (0, 5, 1),
    (0, 152, 8),
    (0, 153, 8),
    (0, 58, 2),
    (0, 192, 1),
    (0, 32, 2),
    (0, 89, 1),
];

fn one_way() -> Vec<u8> {
    let mut r = words(&[100, 900]);
    r.push(0xb8);
    r.extend(995_000u64.to_be_bytes());
    r.extend(996_000u64.to_be_bytes());
    r.extend([0, 10, 64, 8, 0, 0x40]);
    r
}

#[test]
fn what_was_said_of_the_forward_direction_is_absent_on_the_reverse_row() {
    let mut b = Bench::new(Settings::default());
    b.send(1, &[template(256, ONE_WAY), (256, one_way())]);
    let (there, back) = (b.out.row(0), b.out.row(1));
    assert_eq!((back.half(), b.out.core.bytes[1]), (Half::Reverse, 900));
    for f in [
        Field::Tos,
        Field::Vlan,
        Field::Ttl,
        Field::IcmpTypeCode,
        Field::ForwardingStatus,
    ] {
        assert!(there.has(f) && !back.has(f), "{}", f.name());
    }
    // the times are those of both directions
    let c = &b.out.core;
    assert_eq!((c.start_ms[1], c.end_ms[1]), (995_000, 996_000));
    assert_eq!((c.tos[1], c.vlan[1]), (0, 0));
    assert_eq!(
        b.count(Outcome::SamplingUnknown),
        2,
        "both rows are flagged"
    );
}

#[test]
fn reverse_elements_tell_of_the_reverse_row() {
    let mut b = Bench::new(Settings::default());
    let mut fields = ONE_WAY.to_vec();
    let back = [(5, 1), (152, 8), (153, 8), (58, 2), (85, 2)];
    fields.extend(back.map(|(element, length)| (REVERSE_PEN, element, length)));
    let mut record = one_way();
    record.push(0x28);
    record.extend(999_000u64.to_be_bytes());
    record.extend(999_500u64.to_be_bytes());
    record.extend([0, 20, 3, 0xe8]);
    b.send(1, &[template(256, &fields), (256, record)]);
    let c = &b.out.core;
    assert_eq!(c.tos, [0xb8, 0x28]);
    assert_eq!(c.start_ms, [995_000, 999_000]);
    assert_eq!(c.end_ms, [996_000, 999_500]);
    assert_eq!(c.vlan, [10, 20]);
    let counters = b.out.counters.as_ref().expect("written");
    assert_eq!(counters.bytes_total, [0, 1000]);
    assert!(b.out.row(1).has(Field::BytesTotal) && b.out.row(1).has(Field::Vlan));
    assert_eq!(b.count(Outcome::FieldsUnknown), 0);
}

#[test]
fn links_change_sides() {
    let mut b = Bench::new(Settings::default());
    let fields = [(0, 1, 2), (REVERSE_PEN, 1, 2)];
    let record = |rest: &[u8]| [&[0, 9, 0, 9], rest].concat();
    let macs = |n: &[u8]| {
        n.iter()
            .flat_map(|n| [0, 0, 0, 0, 0, *n])
            .collect::<Vec<_>>()
    };
    // both VLANs and both VRFs; MAC addresses of one link
    let more = [
        (0, 58, 2),
        (0, 59, 2),
        (0, 234, 1),
        (0, 235, 1),
        (0, 56, 6),
        (0, 80, 6),
    ];
    let data = [vec![0, 10, 0, 11, 5, 6], macs(&[1, 2])].concat();
    let one = [&fields[..], &more].concat();
    b.send(1, &[template(256, &one), (256, record(&data))]);
    // 243 alone stands in for the VLAN, 254 alone for that of the way back; MAC addresses of both links
    let more = [
        (0, 243, 2),
        (0, 254, 2),
        (0, 56, 6),
        (0, 80, 6),
        (0, 81, 6),
        (0, 57, 6),
    ];
    let data = [vec![0, 20, 0, 21], macs(&[1, 2, 3, 4])].concat();
    let two = [&fields[..], &more].concat();
    b.send(1, &[template(257, &two), (257, record(&data))]);
    let (l2, link) = (
        b.out.layer2.as_ref().expect("written"),
        b.out.link.as_ref().expect("written"),
    );
    assert_eq!(b.out.core.vlan, [10, 11, 20, 21]);
    assert_eq!(l2.post_vlan[..2], [11, 10]);
    assert_eq!(link.ingress_vrf[..2], [5, 6]);
    assert_eq!(l2.src_mac, [1, 2, 1, 4]);
    assert_eq!(l2.dst_mac, [2, 1, 2, 3]);
    assert_eq!((l2.post_src_mac[3], l2.post_dst_mac[3]), (2, 1));
    assert!(b.out.row(3).has(Field::Vlan) && !b.out.row(1).has(Field::PostSrcMac));
}

#[test]
fn reverse_fields_of_variable_length() {
    let mut b = Bench::new(Settings::default());
    let fields = [
        (0, 371, 0xffff),
        (0, 1, 2),
        (REVERSE_PEN, 1, 2),
        (REVERSE_PEN, 5, 0xffff),
        (REVERSE_PEN, 192, 1),
    ];
    let records = [
        &[1, b'a', 0, 5, 0, 0, 1, 7, 8][..],
        &[2, b'b', b'c', 0, 5, 0, 6, 1, 9, 10],
        &[0, 0, 5, 0, 6, 0, 11],
    ];
    b.send(1, &[template(256, &fields), (256, records.concat())]);
    let link = b.out.link.as_ref().expect("written");
    assert_eq!(b.out.core.tos, [0, 0, 9, 0, 0]);
    assert_eq!(link.ttl, [0, 0, 10, 0, 11]);
    assert!(b.out.row(2).has(Field::Tos) && !b.out.row(4).has(Field::Tos));
}

#[test]
fn icmp_types_and_codes_come_in_any_order() {
    let mut b = Bench::new(Settings::default());
    b.send(
        1,
        &[
            template(256, &[(0, 177, 1), (0, 176, 1)]),
            (256, vec![1, 3, 0, 8]),
        ],
    );
    b.send(
        1,
        &[
            template(257, &[(0, 176, 1), (0, 177, 1)]),
            (257, vec![3, 1, 0, 5]),
        ],
    );
    let link = b.out.link.as_ref().expect("written");
    assert_eq!(link.icmp_type_code, [0x301, 0x800, 0x301, 5]);
}

/// Elements that a reverse row may have a value of its own for: (number, length).
fn columns() -> Vec<(u16, u16)> {
    let plain = |e: &&crate::decode::element::Element| {
        e.pen == 0
            && e.number < 0x8000
            && field(e.target).is_some()
            && !matches!(e.kind, Kind::Text | Kind::AppId)
            && !matches!(e.target, Target::Bytes | Target::Packets | Target::TcpFlags)
            && !matches!(e.target, Target::BytesTotal | Target::PacketsTotal)
    };
    let length = |e: &crate::decode::element::Element| (1..=16).rev().find(|n| e.accepts(*n));
    let all = ELEMENTS.iter().filter(plain);
    all.map(|e| (e.number, length(e).expect("some length") as u16))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    /// 29305/N means on the reverse row what N means on a row of its own.
    #[test]
    fn a_reverse_element_is_its_twin_on_the_reverse_row(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
        bytes in prop::collection::vec(any::<u8>(), 192),
        uptime: bool,
    ) {
        let all = columns();
        let fields: Vec<(u16, u16)> = picks.iter().map(|p| *p.get(&all)).collect();
        let mut twins = vec![(0, 1, 2), (REVERSE_PEN, 1, 2)];
        twins.extend(fields.iter().map(|f| (REVERSE_PEN, f.0, f.1)));
        let mut plain = vec![(0, 1, 2)];
        plain.extend(fields.iter().map(|f| (0, f.0, f.1)));
        let n: usize = fields.iter().map(|f| usize::from(f.1)).sum();
        let mut b = Bench::new(Settings::default());
        if uptime {
            let up = [&[0, 0, 0, 7][..], &900_000u64.to_be_bytes()].concat();
            b.send(1, &[(3, words(&[400, 2, 1, 149, 4, 160, 8])), (400, up)]);
        }
        b.send(1, &[template(256, &twins), (256, [&[0, 5, 0, 6], &bytes[..n]].concat())]);
        b.send(1, &[template(257, &plain), (257, [&[0, 6], &bytes[..n]].concat())]);
        let (back, own) = (b.out.row(1), b.out.row(2));
        prop_assert_eq!((back.half(), own.half()), (Half::Reverse, Half::Whole));
        for f in Field::ALL.iter().filter(|f| own.has(**f)) {
            prop_assert_eq!(back.value(*f), own.value(*f), "{} of {:?}", f.name(), fields);
        }
        prop_assert_eq!(b.count(Outcome::FieldsUnknown), 0);
    }
}

#[test]
fn what_came_before_changes_nothing_of_a_reverse_row() {
    let layout = [(0, 231, 2), (0, 232, 2), (0, 58, 2)];
    let record = || (256, words(&[100, 40, 77]));
    let alone = |first: &[(u16, Vec<u8>)]| {
        let mut b = Bench::new(Settings::default());
        if !first.is_empty() {
            b.send(2, first);
        }
        b.send(1, &[template(256, &layout), record()]);
        let row = b.out.row(b.out.len() - 1);
        assert_eq!(row.half(), Half::Reverse);
        [Field::Vlan, Field::PostVlan].map(|f| row.has(f).then(|| format!("{:?}", row.value(f))))
    };
    // another exporter opens the group in which the VLAN's other side lies
    let other = [template(300, &[(0, 243, 2)]), (300, words(&[5]))];
    let [vlan, post] = alone(&[]);
    assert_eq!(vlan, None);
    assert!(post.as_ref().is_some_and(|p| p.contains("77")), "{post:?}");
    assert_eq!(alone(&other), [vlan, post]);
}

#[test]
fn firewall_events_are_booked_to_the_time_since_the_last_one() {
    let mut b = Bench::new(Settings::default());
    let layout = [NSEL, &[(0, 323, 8)]].concat();
    let event =
        |kind, init, at: u64| [nsel(1, kind, init, 0, 500_000), at.to_be_bytes().to_vec()].concat();
    let events = [
        event(1, 0, 500_000),
        event(5, 600, 700_000),
        event(2, 1000, 900_000),
    ];
    b.send(1, &[template(256, &layout), (256, events.concat())]);
    let booked = |i| b.out.counters.as_ref().and_then(|g| g.booked(i));
    assert_eq!(b.out.core.bytes, [0, 600, 400]);
    assert_eq!(
        [booked(0), booked(1), booked(2)],
        [None, Some((500_000, 700_000)), Some((700_000, 900_000))]
    );
}
