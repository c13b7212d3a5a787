//! The decoder and `inspect` use the same sets, by the same rules.

use super::*;
use crate::decode::inspect::{Inspector, Record};
use crate::ledger::Tally;
use proptest::prelude::*;

/// What `inspect --wait` counts and shows of messages from these ports; without `wait` nothing waits.
pub(super) fn inspected(messages: &[(u16, Vec<u8>)], wait: bool) -> (Tally, Vec<Record>) {
    let mut inspector = Inspector::new(Settings::default(), false, wait);
    let mut records = Vec::new();
    for (i, (port, payload)) in messages.iter().enumerate() {
        let d = Datagram {
            source: Addr::from_v4([192, 0, 2, 1]),
            port: *port,
            received_at_ns: 1000 * SECOND_NS,
            number: i as u64 + 1,
            frame: 0,
            cut: false,
            payload,
        };
        inspector.datagram(&d, &mut |r| records.push(r));
    }
    (inspector.finish().clone(), records)
}

/// A source port and the sets of one message: (id, body).
type Sent = (u16, Vec<(u16, Vec<u8>)>);

fn same(messages: &[Sent]) -> Bench {
    let mut b = Bench::new(Settings::default());
    let mut sent = Vec::new();
    for (port, sets) in messages {
        b.send(*port, sets);
        sent.push((*port, message(0, sets)));
    }
    b.decoder.finish(&mut b.book);
    let (tally, _) = inspected(&sent, true);
    for outcome in SAME {
        assert_eq!(
            tally.count(*outcome),
            b.count(*outcome),
            "{outcome:?} of {messages:?}"
        );
    }
    b
}

const SAME: &[Outcome] = &[
    Outcome::Sets,
    Outcome::SetsDecoded,
    Outcome::SetsDecodedLate,
    Outcome::SetsRejectedRecord,
    Outcome::SetsRejectedTemplate,
    Outcome::SetsExpiredTemplate,
    Outcome::TemplatesLearned,
    Outcome::TemplatesChanged,
    Outcome::TemplatesRefused,
    Outcome::RecordsFlow,
    Outcome::BytesTrailing,
];

#[test]
fn templates_are_lent_to_sets_that_wait() {
    let data = (256, vec![10, 0, 0, 1]);
    let b = same(&[
        (2, vec![data.clone()]),
        (1, vec![template(256, &[(0, 8, 4)]), data.clone()]),
        // a session that lacks it ends the lending
        (3, vec![template(300, &[(0, 8, 4)])]),
        (2, vec![data]),
    ]);
    assert_eq!(b.out.len(), 2);
    assert_eq!(b.count(Outcome::SetsExpiredTemplate), 1);
}

#[test]
fn a_template_that_is_refused_ends_the_one_it_would_replace() {
    let data = (256, vec![10, 0, 0, 1]);
    let bad = (2, words(&[256, 1, 8, 0]));
    let b = same(&[(1, vec![template(256, &[(0, 8, 4)]), bad, data])]);
    assert_eq!((b.out.len(), b.count(Outcome::TemplatesRefused)), (0, 1));
}

#[test]
fn a_record_that_runs_past_its_set_is_a_fault() {
    let records = [1, b'a', 0, 80, 200, b'b', 0, 81].to_vec();
    let mut b = same(&[(
        1,
        vec![
            template(256, &[(0, 371, 0xffff), (0, 7, 2)]),
            (256, records),
        ],
    )]);
    assert_eq!(b.out.core.src_port, [80]);
    assert_eq!(b.count(Outcome::SetsRejectedRecord), 1);
    assert_eq!(b.count(Outcome::SetsDecoded), 1);
    assert_eq!(b.count(Outcome::BytesTrailing), 4);
    let faults = b.decoder.take_faults();
    let at = 16 + 4 + 12 + 4 + 4;
    assert_eq!(
        faults
            .kept()
            .map(|f| (f.offset, f.reason))
            .collect::<Vec<_>>(),
        [(at, Reason::Record)]
    );
}

fn set() -> impl Strategy<Value = (u16, Vec<u8>)> {
    let layouts: [&[(u32, u16, u16)]; 6] = [
        &[(0, 8, 4)],
        &[(0, 7, 2), (0, 11, 2)],
        &[(0, 7, 2), (0, 371, 0xffff)],
        &[(0, 371, 0xffff)],
        &[(0, 7, 2), (0, 8, 4), (0, 4, 1)],
        &[(0, 7, 0)],
    ];
    let id = 256u16..259;
    let learned = (id.clone(), 0..layouts.len()).prop_map(move |(id, l)| template(id, layouts[l]));
    let broken = prop::collection::vec(0u8..4, 0..12).prop_map(|b| (2, [&[1, 0][..], &b].concat()));
    let data = (id, prop::collection::vec(0u8..6, 0..20));
    prop_oneof![4 => learned, 1 => broken, 6 => data]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn sets_of_many_sessions_have_one_fate(
        messages in prop::collection::vec((1u16..4, prop::collection::vec(set(), 0..4)), 1..12),
    ) {
        same(&messages);
    }
}
