//! The decoder's rules, clause by clause, on IPFIX messages made for them.

use super::*;
use crate::model::{Field, Half, RowFlags, SamplingSource};

mod directions;
mod encodings;
mod limits;
mod sessions;
mod times;
mod totals;
mod twins;

/// A decoder with what came out of it so far.
struct Bench {
    decoder: Decoder,
    out: FlowBatch,
    learned: Vec<Learned>,
    book: Book,
    sequence: u32,
    number: u64,
}

impl Bench {
    fn new(settings: Settings) -> Self {
        Bench {
            decoder: Decoder::new(settings),
            out: FlowBatch::new(),
            learned: Vec::new(),
            book: Book::new(100),
            sequence: 0,
            number: 0,
        }
    }

    /// Sends sets as one message of domain 7, exported and received at second 1000.
    fn send(&mut self, port: u16, sets: &[(u16, Vec<u8>)]) -> &mut Self {
        self.send_at(port, 1000, sets)
    }

    fn send_at(&mut self, port: u16, received_s: i64, sets: &[(u16, Vec<u8>)]) -> &mut Self {
        let payload = message(self.sequence, sets);
        self.send_payload(port, received_s, &payload)
    }

    fn send_payload(&mut self, port: u16, received_s: i64, payload: &[u8]) -> &mut Self {
        self.number += 1;
        let d = Datagram {
            source: Addr::from_v4([192, 0, 2, 1]),
            port,
            received_at_ns: received_s * SECOND_NS,
            number: self.number,
            frame: self.number * 10,
            cut: false,
            payload,
        };
        self.decoder
            .decode(&d, &mut self.out, &mut self.learned, &mut self.book);
        self
    }

    fn count(&self, o: Outcome) -> u64 {
        self.book.count(o)
    }

    fn rows(&self) -> Vec<(u64, u64, Half)> {
        let c = &self.out.core;
        let row = |i: usize| (c.bytes[i], c.packets[i], Half::from_number(c.half[i]));
        (0..self.out.len()).map(row).collect()
    }
}

/// A message of domain 7, exported at second 1000.
fn message(sequence: u32, sets: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let body: Vec<u8> = sets
        .iter()
        .flat_map(|(id, b)| [words(&[*id, b.len() as u16 + 4]), b.clone()].concat())
        .collect();
    let mut payload = words(&[10, body.len() as u16 + 16, 0, 1000]);
    payload.extend(sequence.to_be_bytes());
    payload.extend([0, 0, 0, 7]);
    payload.extend(body);
    payload
}

fn words(list: &[u16]) -> Vec<u8> {
    list.iter().flat_map(|w| w.to_be_bytes()).collect()
}

/// A template set: (enterprise, element, length).
fn template(id: u16, fields: &[(u32, u16, u16)]) -> (u16, Vec<u8>) {
    let mut body = words(&[id, fields.len() as u16]);
    for (pen, element, length) in fields {
        let bit = if *pen > 0 { 0x8000 } else { 0 };
        body.extend(words(&[element | bit, *length]));
        if *pen > 0 {
            body.extend(pen.to_be_bytes());
        }
    }
    (2, body)
}

#[test]
fn rows_decoded_late_stand_where_their_template_came() {
    let mut b = Bench::new(Settings::default());
    b.send(1, &[(256, vec![0, 80, 0, 81])]);
    assert_eq!((b.decoder.awaiting(), b.out.len()), (1, 0));
    b.send(1, &[template(257, &[(0, 11, 2)]), (257, vec![0, 9])]);
    b.send(1, &[template(256, &[(0, 7, 2)]), (256, vec![0, 82])]);
    assert_eq!(b.out.core.src_port, [0, 80, 81, 82]);
    let datagrams: Vec<u64> = b.out.rows().map(|r| r.provenance().datagram).collect();
    assert_eq!(datagrams, [2, 1, 1, 3]);
    let frames: Vec<u64> = b.out.rows().map(|r| r.provenance().frame).collect();
    assert_eq!(frames, [20, 30, 30, 30]);
    let late = |i: usize| b.out.core.flags[i] & RowFlags::DECODED_LATE != 0;
    assert_eq!([late(0), late(1), late(3)], [false, true, false]);
    assert_eq!(b.out.core.record[1..3], [1, 2]);
    assert_eq!(b.count(Outcome::SetsDecodedLate), 1);
    assert_eq!(b.decoder.awaiting(), 0);
}

#[test]
fn waiting_is_bounded_and_ends() {
    let settings = Settings {
        exporter_waiting_sets_max: 2,
        waiting_age_max_s: 60,
        ..Default::default()
    };
    let mut b = Bench::new(settings);
    for _ in 0..3 {
        b.send(1, &[(256, vec![0, 80])]);
    }
    assert_eq!(b.decoder.awaiting(), 2);
    assert_eq!(b.count(Outcome::SetsExpiredTemplate), 1);
    b.decoder.tick(1061 * SECOND_NS, &mut b.book);
    assert_eq!(b.decoder.awaiting(), 0);
    assert_eq!(b.count(Outcome::SetsExpiredTemplate), 3);
}

#[test]
fn the_fallback_needs_whole_records_and_says_so() {
    let mut b = Bench::new(Settings::default());
    b.send(1, &[template(256, &[(0, 8, 4)])]);
    b.send(2, &[(256, vec![10, 0, 0, 1, 0, 0])]);
    assert_eq!(b.out.len(), 1);
    assert!(b.out.core.flags[0] & RowFlags::TEMPLATE_FALLBACK != 0);
    b.send(2, &[(256, vec![10, 0, 0, 1, 1, 7])]);
    assert_eq!(b.out.len(), 2, "padding may hold anything");
    b.send(2, &[(256, vec![10, 0, 0])]);
    assert_eq!(
        (b.out.len(), b.decoder.awaiting()),
        (2, 1),
        "no whole record"
    );
}

#[test]
fn templates_of_silent_sessions_go() {
    let mut b = Bench::new(Settings::default());
    b.send(1, &[template(256, &[(0, 7, 2)])]);
    b.decoder
        .tick(1000 * SECOND_NS + 86_401 * SECOND_NS, &mut b.book);
    assert_eq!(b.count(Outcome::TemplatesExpired), 1);
    b.send(1, &[(256, vec![0, 80])]);
    assert_eq!(b.decoder.awaiting(), 1);
}

#[test]
fn withdrawals_are_counted_and_ignored() {
    let mut b = Bench::new(Settings::default());
    b.send(
        1,
        &[
            template(256, &[(0, 7, 2)]),
            template(256, &[]),
            (256, vec![0, 80]),
        ],
    );
    assert_eq!(b.count(Outcome::TemplatesWithdrawn), 1);
    assert_eq!(b.out.core.src_port, [80]);
}

#[test]
fn running_totals_become_deltas() {
    let mut b = Bench::new(Settings::default());
    let record = |port: u16, bytes: u16| words(&[port, bytes, 3]);
    b.send(1, &[template(256, &[(0, 7, 2), (0, 85, 2), (0, 86, 2)])]);
    for (port, bytes) in [(80, 100), (80, 150), (81, 50), (80, 20)] {
        b.send(1, &[(256, record(port, bytes))]);
    }
    let bytes: Vec<u64> = b.rows().iter().map(|r| r.0).collect();
    assert_eq!(
        bytes,
        [100, 50, 50, 20],
        "first sight and falling totals count in full"
    );
    assert!(b.out.row(0).has(Field::Bytes));
    assert!(b.out.core.flags[0] & RowFlags::FROM_TOTAL != 0);
}

#[test]
fn a_total_that_falls_in_one_direction_is_another_flow_in_both() {
    let mut b = Bench::new(Settings::default());
    let fields = [
        (0, 7, 2),
        (0, 85, 2),
        (0, 86, 2),
        (29305, 85, 2),
        (29305, 86, 2),
    ];
    b.send(1, &[template(256, &fields)]);
    for record in [
        [80, 100, 5, 10, 1],
        [80, 150, 7, 30, 2],
        [80, 20, 1, 40, 3],
        [80, 30, 2, 5, 1],
    ] {
        b.send(1, &[(256, words(&record))]);
    }
    let bytes: Vec<u64> = b.rows().iter().map(|r| r.0).collect();
    assert_eq!(bytes, [100, 10, 50, 20, 20, 40, 30, 5]);
}

#[test]
fn a_set_that_runs_past_its_message_is_used_and_counted() {
    let mut b = Bench::new(Settings::default());
    b.send(1, &[template(256, &[(0, 7, 2)]), (256, vec![0, 80])]);
    let whole = b.count(Outcome::SetsOverrun);
    let mut payload = message(b.sequence, &[(256, vec![0, 81])]);
    let at = payload.len() - 4;
    payload[at..at + 2].copy_from_slice(&9_999u16.to_be_bytes());
    b.send_payload(1, 1000, &payload);
    assert_eq!(b.out.core.src_port, [80, 81]);
    assert_eq!((whole, b.count(Outcome::SetsOverrun)), (0, 1));
}

#[test]
fn post_counters_stand_in_only_alone() {
    let mut b = Bench::new(Settings::default());
    b.send(
        1,
        &[
            template(256, &[(0, 1, 2), (0, 23, 2)]),
            (256, words(&[5, 7])),
        ],
    );
    b.send(
        1,
        &[
            template(257, &[(0, 23, 2), (0, 24, 2)]),
            (257, words(&[9, 2])),
        ],
    );
    assert_eq!(b.rows(), [(5, 0, Half::Whole), (9, 2, Half::Whole)]);
    assert!(b.out.core.flags[1] & RowFlags::FROM_POST != 0);
    let counters = b.out.counters.as_ref().expect("written");
    assert_eq!(counters.out_bytes, [7, 9]);
}

#[test]
fn options_apply_from_then_on() {
    let mut b = Bench::new(Settings::default());
    let options = (3, words(&[400, 2, 1, 302, 2, 305, 2]));
    b.send(1, &[template(256, &[(0, 302, 2)]), (256, words(&[5]))]);
    b.send(1, &[options, (400, words(&[5, 512]))]);
    b.send(1, &[(256, words(&[5, 6]))]);
    assert_eq!(b.out.core.sampling_interval, [1, 512, 1]);
    let sources: Vec<_> = b.out.rows().map(|r| r.sampling_source()).collect();
    use SamplingSource::{Options, Unknown};
    assert_eq!(sources, [Unknown, Options, Unknown]);
    assert_eq!(b.count(Outcome::SamplingUnknown), 2);
    assert!(b.learned.iter().any(|l| matches!(
        l,
        Learned::Sampler {
            sampler: 5,
            interval: 512,
            ..
        }
    )));
}

#[test]
fn overrides_come_before_what_records_and_options_say() {
    use overrides::tests::one;
    let settings = Settings {
        sampling_overrides: vec![
            one("192.0.2.0/24", &[3], &[], 30),
            one("192.0.2.1", &[], &[7], 70),
        ]
        .into(),
        ..Settings::default()
    };
    let mut b = Bench::new(settings);
    let options = (3, words(&[400, 2, 1, 302, 2, 305, 2]));
    b.send(
        1,
        &[options, (400, words(&[7, 512])), (400, words(&[5, 50]))],
    );
    let fields = [(0, 10, 2), (0, 14, 2), (0, 302, 2), (0, 34, 2)];
    let records = [[3, 4, 5, 100], [4, 3, 5, 100], [4, 3, 7, 100], [4, 3, 5, 0]];
    b.send(
        1,
        &[template(256, &fields), (256, words(&records.concat()))],
    );
    assert_eq!(b.out.core.sampling_interval, [30, 100, 70, 50]);
    let sources: Vec<_> = b.out.rows().map(|r| r.sampling_source()).collect();
    use SamplingSource::{Options, Override, Record};
    assert_eq!(sources, [Override, Record, Override, Options]);
    // one that is for all interfaces holds for records that name none, too
    let settings = Settings {
        sampling_overrides: vec![one("0.0.0.0/0", &[], &[], 9)].into(),
        ..Settings::default()
    };
    let mut b = Bench::new(settings);
    b.send(1, &[template(256, &[(0, 1, 2)]), (256, words(&[100]))]);
    assert_eq!(b.out.core.sampling_interval, [9]);
    assert_eq!(b.out.row(0).estimate().0, 900);
}

#[test]
fn names_are_told_once_and_when_they_change() {
    let mut b = Bench::new(Settings::default());
    let options = (3, words(&[400, 2, 1, 10, 2, 82, 4]));
    let named = |name: &[u8; 4]| (400, [&[0, 3][..], name].concat());
    b.send(
        1,
        &[options, named(b"ge0\0"), named(b"ge0\0"), named(b"xe0\0")],
    );
    let names: Vec<&str> = b
        .learned
        .iter()
        .filter_map(|l| match l {
            Learned::Interface {
                name, if_index: 3, ..
            } => Some(name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["ge0", "xe0"]);
}

#[test]
fn impossible_lives_are_flagged() {
    let mut b = Bench::new(Settings::default());
    let lives = [
        (900_000u64, 800_000u64),
        (900_000, 1_060_001),
        (900_000, 1_060_000),
    ];
    let records: Vec<u8> = lives
        .iter()
        .flat_map(|(s, e)| [s.to_be_bytes(), e.to_be_bytes()].concat())
        .collect();
    b.send(
        1,
        &[template(256, &[(0, 152, 8), (0, 153, 8)]), (256, records)],
    );
    let bad: Vec<bool> = b
        .out
        .core
        .flags
        .iter()
        .map(|f| f & RowFlags::TIME_IMPOSSIBLE != 0)
        .collect();
    assert_eq!(bad, [true, true, false]);
    assert_eq!(b.count(Outcome::TimesImpossible), 2);
}

#[test]
fn uptimes_of_ipfix_need_the_time_the_exporter_came_up() {
    let mut b = Bench::new(Settings::default());
    let uptime = |ms: u32| (256, ms.to_be_bytes().to_vec());
    b.send(1, &[template(256, &[(0, 22, 4)]), uptime(1000)]);
    assert!(!b.out.row(0).has(Field::StartMs));
    let options = (3, words(&[400, 2, 1, 149, 4, 160, 8]));
    let up = [&[0, 0, 0, 7][..], &900_000u64.to_be_bytes()].concat();
    b.send(1, &[options, (400, up), uptime(1000)]);
    assert_eq!(b.out.core.start_ms[1], 901_000);
    let own = [
        1000u32.to_be_bytes().to_vec(),
        500_000u64.to_be_bytes().to_vec(),
    ]
    .concat();
    b.send(1, &[template(257, &[(0, 22, 4), (0, 160, 8)]), (257, own)]);
    assert_eq!(b.out.core.start_ms[2], 501_000);
    assert!(b.out.row(2).has(Field::StartMs));
}

#[test]
fn texts_and_numbers_of_variable_length() {
    let mut b = Bench::new(Settings::default());
    let fields = [(0, 371, 0xffff), (0, 7, 2), (0, 4, 0xffff)];
    let records = [&[3][..], b"joe", &[0, 80, 1, 17], &[0], &[0, 81, 0]].concat();
    b.send(1, &[template(256, &fields), (256, records)]);
    assert_eq!(b.out.core.src_port, [80, 81]);
    assert_eq!(b.out.core.proto, [17, 0]);
    assert!(b.out.row(0).has(Field::Proto) && !b.out.row(1).has(Field::Proto));
    let texts = b.out.texts.as_ref().expect("written");
    assert_eq!(b.out.text(texts.user_name[0]), b"joe");
    assert!(
        b.out.row(1).has(Field::UserName),
        "sent empty is not absent"
    );
}

#[test]
fn application_ids_keep_the_bytes_that_were_sent() {
    let long = [&[20, 1, 2][..], &[7; 9]].concat();
    let mut b = Bench::new(Settings::default());
    for (id, sent) in [
        vec![13, 1, 2],
        vec![3, 0, 1, 187],
        vec![13, 0, 0, 0, 0, 0, 1, 2],
        vec![20, 9, 0, 0, 0, 0, 1, 2],
        vec![20, 1, 0, 48, 68, 0, 0, 143, 52],
        long.clone(),
    ]
    .into_iter()
    .enumerate()
    {
        let id = 256 + id as u16 * 2;
        let len = sent.len() as u16;
        let mut data = vec![sent.len() as u8];
        data.extend(&sent);
        b.send(1, &[template(id, &[(0, 95, len)]), (id, sent.clone())]);
        b.send(1, &[template(id + 1, &[(0, 95, 0xffff)]), (id + 1, data)]);
        let texts = b.out.texts.as_ref();
        for row in b.out.len() - 2..b.out.len() {
            let kept = texts.map_or(&[][..], |t| b.out.text(t.app_id_sent[row]));
            let number = b.out.core.app_id[row];
            let usual = sent.len() == 4 || sent.len() == 8 && sent[1] == 9;
            assert_eq!(kept, if usual { &[][..] } else { &sent });
            assert_eq!(number >> 56, u64::from(sent[0]));
            assert!(b.out.row(row).has(Field::AppId));
        }
    }
    assert_eq!(b.count(Outcome::FieldsMalformed), 0);
    let key = *b.out.core.app_id.last().expect("a row");
    let options = (3, words(&[400, 2, 1, 95, 12, 96, 4]));
    b.send(1, &[options, (400, [&long[..], b"chat"].concat())]);
    assert!(b.learned.iter().any(
        |l| matches!(l, Learned::Application { app_id, name, .. } if *app_id == key && name == "chat")
    ));
}

#[test]
fn a_count_that_cannot_be_counts_alike_in_both_readers() {
    for (version, size) in [(5u16, 48u16), (7, 52)] {
        for (count, held, wrong) in [(2, 2 * size, 0), (3, 2 * size + 9, 1), (1, 2 * size, 1)] {
            let mut payload = words(&[version, count]);
            payload.resize(24 + usize::from(held), 0);
            let d = Datagram {
                source: Addr::from_v4([192, 0, 2, 1]),
                port: 1,
                received_at_ns: 0,
                number: 1,
                frame: 1,
                cut: false,
                payload: &payload,
            };
            let mut b = Bench::new(Settings::default());
            b.decoder
                .decode(&d, &mut b.out, &mut b.learned, &mut b.book);
            let mut inspector = inspect::Inspector::new(Settings::default(), false, false);
            inspector.datagram(&d, &mut |_| ());
            let seen = inspector.finish();
            for o in [
                Outcome::CountsWrong,
                Outcome::Sets,
                Outcome::SetsDecoded,
                Outcome::SetsRejectedRecord,
                Outcome::BytesTrailing,
                Outcome::RecordsFlow,
            ] {
                assert_eq!(b.count(o), seen.count(o), "{}", o.name());
            }
            assert_eq!(b.count(Outcome::CountsWrong), wrong);
            assert_eq!(b.out.len(), usize::from(count.min(2)));
            let faults = b.decoder.take_faults();
            assert_eq!(
                faults.kept().filter(|f| f.reason == Reason::Count).count() as u64,
                wrong
            );
        }
    }
}

#[test]
fn layout_changes_above_the_limit_are_counted() {
    let mut b = Bench::new(Settings::default());
    for i in 0..11 {
        b.send(1, &[template(256, &[(0, 7, 1 + i % 2)])]);
    }
    assert_eq!(b.count(Outcome::TemplatesChanged), 10);
    assert_eq!(b.count(Outcome::TemplatesChurning), 2);
}

#[test]
fn gaps_are_suspended_while_sets_wait() {
    let mut b = Bench::new(Settings::default());
    b.sequence = 10;
    b.send(1, &[(256, vec![0, 80])]);
    b.sequence = 500;
    b.send(1, &[template(256, &[(0, 7, 2)]), (256, vec![0, 80])]);
    b.sequence = 503;
    b.send(1, &[(256, vec![0, 80])]);
    b.decoder.finish(&mut b.book);
    assert_eq!(b.count(Outcome::SequenceGaps), 2);
}

#[test]
fn each_session_has_a_sequence_of_its_own() {
    let mut b = Bench::new(Settings::default());
    for n in 0..3 {
        b.sequence = 0;
        b.send(5001, &[template(256, &[(0, 7, 2)])]);
        b.sequence = 900 + n;
        b.send(5000, &[(256, vec![0, 80])]);
    }
    b.decoder.finish(&mut b.book);
    assert_eq!(b.out.len(), 3);
    for outcome in [
        Outcome::SequenceGaps,
        Outcome::SequenceReordered,
        Outcome::SequenceRestarts,
    ] {
        assert_eq!(b.count(outcome), 0, "{outcome:?}");
    }
    b.sequence = 905;
    b.send(5000, &[(256, vec![0, 80])]);
    b.decoder.finish(&mut b.book);
    assert_eq!(b.count(Outcome::SequenceGaps), 2);
}

#[test]
fn faults_name_exporter_offset_and_reason() {
    let mut b = Bench::new(Settings::default());
    b.send(1, &[(7, vec![0; 4])]);
    let faults = b.decoder.take_faults();
    let fault = faults.kept().next().expect("one");
    assert_eq!((fault.offset, fault.reason), (16, Reason::SetId));
    assert!(b.decoder.take_faults().is_empty());
}
