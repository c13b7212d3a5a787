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
