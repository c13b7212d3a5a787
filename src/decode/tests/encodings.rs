//! Variable length is an encoding (RFC 7011 section 7): what a record means does not depend on it.

use super::*;
use crate::decode::oracle;
use crate::decode::template::VARIABLE;
use crate::model::Field;

/// A field of a record: element, value, and whether it is sent with its length before it.
type Sent = (u16, Vec<u8>, bool);

/// The sets of a template and of a record of these fields, behind an octet that is never zero.
fn sets(fields: &[Sent]) -> [Vec<(u16, Vec<u8>)>; 2] {
    let length = |f: &Sent| if f.2 { VARIABLE } else { f.1.len() as u16 };
    let specs: Vec<_> = fields.iter().map(|f| (0, f.0, length(f))).collect();
    let specs = [&[(0, 4, 1)], &specs[..]].concat();
    let mut record = vec![6];
    for (_, value, variable) in fields {
        record.extend(variable.then_some(value.len() as u8));
        record.extend(value);
    }
    [vec![template(300, &specs)], vec![(300, record)]]
}

/// What the only row says.
fn row(fields: &[Sent]) -> Vec<String> {
    let mut b = Bench::new(Settings::default());
    for message in sets(fields) {
        b.send(1, &message);
    }
    assert_eq!(b.out.len(), 1, "{fields:?}");
    let row = b.out.rows().next().expect("a row");
    let shown = |f: &Field| format!("{}: {:?}", f.name(), row.value(*f));
    Field::ALL.iter().map(shown).collect()
}

/// Every way to choose `n` of these, in order, with repetition.
fn choices<T: Clone>(of: &[T], n: usize) -> Vec<Vec<T>> {
    (0..n).fold(vec![vec![]], |all, _| {
        let longer = |one: Vec<T>| {
            of.iter()
                .map(move |x| [&one[..], std::slice::from_ref(x)].concat())
        };
        all.into_iter().flat_map(longer).collect()
    })
}

/// Holds every mixture of encodings of some elements against the same values of fixed length.
fn all_mixtures(elements: &[(u16, Vec<Vec<u8>>)]) {
    let values = |(e, values): &(u16, Vec<Vec<u8>>)| -> Vec<(u16, Vec<u8>)> {
        values.iter().map(|v| (*e, v.clone())).collect()
    };
    let values: Vec<_> = elements.iter().flat_map(values).collect();
    for n in 2..=3 {
        for record in choices(&values, n) {
            let sent = |mask: u32| -> Vec<Sent> {
                let fields = record.iter().enumerate();
                let field =
                    |(i, (e, v)): (usize, &(u16, Vec<u8>))| (*e, v.clone(), mask >> i & 1 == 1);
                fields.map(field).collect()
            };
            let fixed = row(&sent(0));
            for mask in 1..1 << n {
                let got = row(&sent(mask));
                let differ: Vec<_> = got.iter().zip(&fixed).filter(|(a, b)| a != b).collect();
                assert!(differ.is_empty(), "{:?}: {differ:?}", sent(mask));
            }
        }
    }
}

#[test]
fn of_several_ports_the_first_that_is_not_zero_counts() {
    let values = vec![vec![0, 0], vec![0, 7], vec![9]];
    all_mixtures(&[(7, values.clone()), (180, values.clone()), (182, values)]);
}

#[test]
fn types_and_codes_come_together() {
    let one = vec![vec![0], vec![3]];
    let both = vec![vec![0, 0], vec![8, 1]];
    all_mixtures(&[(32, both), (176, one.clone()), (177, one)]);
}

#[test]
fn of_several_addresses_the_first_that_is_told_counts() {
    let (mut v6, mut v4) = (vec![0; 16], vec![10, 0, 0, 1]);
    (v6[0], v6[15], v4[3]) = (0x20, 1, 2);
    all_mixtures(&[(8, vec![vec![0; 4], v4]), (27, vec![vec![0; 16], v6])]);
}

#[test]
fn of_several_names_the_first_that_is_told_counts() {
    let values = vec![vec![0, 0, 0], b"abc".to_vec(), b"xy".to_vec()];
    all_mixtures(&[(371, values.clone()), (82, values)]);
}

/// Elements 7 and 180 as the library reads them: every order and every length that the octet before them can tell, zero or not.
#[test]
fn the_library_agrees_on_ports_of_any_length() {
    let value = |length: usize, last: u8| {
        let mut value = vec![0; length];
        value[length - 1] = last;
        value
    };
    for (first, second) in [(7, 180), (180, 7), (7, 7)] {
        for (a, b) in (1..=9).flat_map(|a| (1..=9).map(move |b| (a, b))) {
            for (x, y) in [(0, 0), (0, 1), (1, 0), (2, 1)] {
                for mask in 1..4 {
                    // four zeros in a row end a set for the library
                    let fields = [
                        (first, value(a, x), mask & 1 == 1),
                        (500, vec![1], false),
                        (second, value(b, y), mask & 2 == 2),
                        (500, vec![1], false),
                    ];
                    assert_eq!(
                        oracle::compare(&sets(&fields).map(|s| message(0, &s))),
                        Ok(1),
                        "{fields:?}"
                    );
                }
            }
        }
    }
}

/// Numbers in more octets than their columns have, the last one of variable length: what fits is there, what does not is absent and counted.
#[test]
fn a_value_that_does_not_fit_its_column_is_absent() {
    let fields = [
        (7, 4, Field::SrcPort),
        (11, 4, Field::DstPort),
        (4, 2, Field::Proto),
        (10, 8, Field::InIf),
        (16, 8, Field::SrcAs),
        (9, 2, Field::SrcMask),
        (234, 8, Field::IngressVrf),
        (89, 4, Field::ForwardingStatus),
        (176, 2, Field::IcmpTypeCode),
    ];
    let record = |value: u64, prefix: &[u8]| {
        let wide = |(_, length, _): &(u16, u16, Field)| {
            value.to_be_bytes()[8 - usize::from(*length)..].to_vec()
        };
        let fixed: Vec<u8> = fields.iter().flat_map(wide).collect();
        [&fixed[..], prefix].concat()
    };
    for variable in [false, true] {
        let mut layout: Vec<(u32, u16, u16)> = fields.iter().map(|f| (0, f.0, f.1)).collect();
        let mut more: &[u8] = &[];
        if variable {
            layout.push((0, 371, 65_535));
            more = &[1, b'x'];
        }
        let mut b = Bench::new(Settings::default());
        b.send(1, &[template(256, &layout)]);
        // 65 fits all of them, 2^16 - 1 what has two octets, 2^16 + 65 four
        let values = [65u64, 0xffff, 0x1_0041, 1 << 40];
        let records = values.map(|v| record(v, more)).concat();
        b.send(1, &[(256, records)]);
        let there = |i: usize| fields.map(|f| b.out.row(i).has(f.2));
        assert_eq!(there(0), [true; 9], "variable {variable}");
        let two = [true, true, false, true, true, false, true, false, false];
        assert_eq!(there(1), two);
        // two octets hold its low ones
        let four = [false, false, true, true, true, true, true, false, true];
        assert_eq!(there(2), four);
        let c = &b.out.core;
        assert_eq!(c.src_port, [65, 0xffff, 0, 0]);
        assert_eq!(c.in_if, [65, 0xffff, 0x1_0041, 0]);
        let eight = [true, true, true, false, false, true, false, true, true];
        assert_eq!(there(3), eight);
        assert_eq!(b.count(Outcome::FieldsMalformed), 4 + 3 + 3);
    }
}

#[test]
fn of_two_ports_the_one_that_fits_counts() {
    let mut b = Bench::new(Settings::default());
    let fields = [(0, 7, 4), (0, 180, 2), (0, 183, 4), (0, 11, 2)];
    b.send(1, &[template(256, &fields)]);
    b.send(1, &[(256, vec![0, 1, 0, 80, 0, 53, 0, 0, 0, 0, 0, 9])]);
    assert_eq!((b.out.core.src_port[0], b.out.core.dst_port[0]), (53, 9));
    assert_eq!(b.count(Outcome::FieldsMalformed), 1);
    // of variable length
    b.send(1, &[template(257, &[(0, 7, 65_535)])]);
    b.send(1, &[(257, vec![4, 0, 1, 0, 80, 4, 0, 0, 0, 80])]);
    assert_eq!(
        [1, 2].map(|i| b.out.row(i).has(Field::SrcPort)),
        [false, true]
    );
    assert_eq!(b.count(Outcome::FieldsMalformed), 2);
}

#[test]
fn of_an_octet_of_which_the_dscp_was_sent_the_rest_is_not_told() {
    let mut b = Bench::new(Settings::default());
    b.send(
        1,
        &[
            template(256, &[(0, 195, 1)]),
            template(257, &[(0, 195, 1), (0, 5, 1)]),
        ],
    );
    b.send(1, &[(256, vec![46]), (257, vec![46, 0xb9])]);
    assert_eq!(b.out.core.tos, [0xb8, 0xb9]);
    let only = |i: usize| b.out.core.flags[i] & RowFlags::DSCP_ONLY != 0;
    assert_eq!([only(0), only(1)], [true, false]);
}

#[test]
fn events_are_told_in_microseconds_and_nanoseconds_too() {
    let mut b = Bench::new(Settings::default());
    let at = [
        &(1_500_000_000u32.wrapping_add(2_208_988_800)).to_be_bytes()[..],
        &[0x80, 0, 0, 0],
    ];
    for element in [324, 325] {
        b.send(1, &[template(256, &[(0, element, 8)]), (256, at.concat())]);
    }
    let events = b.out.firewall.as_ref().map(|g| g.event_ms.clone());
    assert_eq!(events, Some(vec![1_500_000_000_500; 2]));
    assert!(b.out.row(1).has(Field::EventMs));
}

/// Element 34 for an interface and a direction, in options data as in records that name the ingress interface alone.
#[test]
fn an_interval_of_a_direction_holds_for_it() {
    let mut b = Bench::new(Settings::default());
    let options = (3, words(&[512, 3, 2, 10, 4, 61, 1, 34, 4]));
    let told = |direction: u8, n: u8| vec![0, 0, 0, 1, direction, 0, 0, 0, n];
    b.send(1, &[template(256, &[(0, 10, 4), (0, 61, 1)]), options]);
    b.send(1, &[(512, [told(0, 10), told(1, 20)].concat())]);
    b.send(
        1,
        &[(256, vec![0, 0, 0, 1, 0, 0, 0, 0, 1, 1, 0, 0, 0, 2, 1])],
    );
    assert_eq!(b.out.core.sampling_interval, [10, 20, 1]);
}
