//! Times and clocks.

use super::*;

#[test]
fn wrong_clocks_are_counted_and_corrected_only_where_told() {
    let record = |start: u64, end: u64| [start.to_be_bytes(), end.to_be_bytes()].concat();
    let fields = [(0, 152, 8), (0, 153, 8)];
    for correct_clock in [false, true] {
        let mut b = Bench::new(Settings {
            correct_clock,
            ..Default::default()
        });
        let data = (256, record(990_000, 995_000));
        b.send_at(1, 5000, &[template(256, &fields), data]);
        assert_eq!(b.count(Outcome::ClockSkewed), 1);
        let (end, corrected) = if correct_clock {
            (4_995_000, 1)
        } else {
            (995_000, 0)
        };
        assert_eq!(b.out.core.end_ms, [end]);
        assert_eq!(b.count(Outcome::ClocksCorrected), corrected);
        assert_eq!(b.out.core.flags[0] & RowFlags::TIME_IMPOSSIBLE, 0);
    }
}

#[test]
fn times_that_do_not_share_the_error_of_the_header_stay() {
    // exported at second 1000 by its header, received a day later
    let received = 87_400;
    let now = u64::try_from(received).expect("positive") * 1000;
    let fields = [(0, 152, 8), (0, 153, 8)];
    let both = |start: u64, end: u64| [start.to_be_bytes(), end.to_be_bytes()].concat();
    let records = [
        // right; right, long and exported late; with the header's error; an impossible one
        both(now - 60_000, now - 1000),
        both(now - 3_000_000, now - 900_000),
        both(990_000, 995_000),
        both(now, now + 61_000),
    ];
    let mut b = Bench::new(Settings {
        correct_clock: true,
        ..Default::default()
    });
    b.send_at(
        1,
        received,
        &[template(256, &fields), (256, records.concat())],
    );
    let flags = |i: usize, flag| b.out.core.flags[i] & flag != 0;
    let moved: Vec<bool> = (0..4)
        .map(|i| flags(i, RowFlags::CLOCK_CORRECTED))
        .collect();
    assert_eq!(moved, [false, false, true, false]);
    let odd: Vec<bool> = (0..4)
        .map(|i| flags(i, RowFlags::TIME_IMPOSSIBLE))
        .collect();
    assert_eq!(odd, [false, false, false, true]);
    let now = now as i64;
    assert_eq!(
        b.out.core.end_ms,
        [now - 1000, now - 900_000, now - 5000, now + 61_000]
    );
    assert_eq!(b.out.core.start_ms[2], now - 10_000);
    assert_eq!(b.count(Outcome::ClocksCorrected), 1);
}

#[test]
fn times_that_count_from_the_header_share_its_error() {
    let mut b = Bench::new(Settings {
        correct_clock: true,
        ..Default::default()
    });
    // the start counts from the header, the end does not and is right
    let fields = [(0, 158, 4), (0, 153, 8)];
    let now = 87_400_000u64;
    let record = [&2_000_000u32.to_be_bytes()[..], &(now - 500).to_be_bytes()].concat();
    b.send_at(1, 87_400, &[template(256, &fields), (256, record)]);
    let c = &b.out.core;
    assert_eq!((c.start_ms[0], c.end_ms[0]), (87_398_000, 87_399_500));
    assert!(c.flags[0] & RowFlags::CLOCK_CORRECTED != 0);
    // a header ahead of the time of receipt, and a record that says nothing of time
    let mut b = Bench::new(Settings {
        correct_clock: true,
        ..Default::default()
    });
    let record = [100_000u64.to_be_bytes(), 101_000u64.to_be_bytes()].concat();
    let times = template(256, &[(0, 152, 8), (0, 153, 8)]);
    b.send_at(1, 120, &[times, (256, record)]);
    b.send_at(1, 120, &[template(257, &[(0, 7, 2)]), (257, vec![0, 80])]);
    assert_eq!(b.out.core.end_ms[0], 101_000);
    assert_eq!(b.count(Outcome::ClocksCorrected), 0);
    assert_eq!(b.count(Outcome::ClockSkewed), 2);
}

#[test]
fn times_that_no_column_holds_are_impossible_and_shown_as_sent() {
    let fields = [(0, 152, 8), (0, 153, 8)];
    let ends = [u64::MAX, 1 << 63];
    let record = ends
        .iter()
        .flat_map(|t| t.to_be_bytes())
        .collect::<Vec<_>>();
    let sets = [template(256, &fields), (256, record)];
    let mut b = Bench::new(Settings::default());
    b.send(1, &sets);
    assert_eq!(
        (b.out.core.start_ms[0], b.out.core.end_ms[0]),
        (i64::MAX, i64::MAX)
    );
    assert!(b.out.core.flags[0] & RowFlags::TIME_IMPOSSIBLE != 0);
    let (_, records) = twins::inspected(&[(1, message(0, &sets))], false);
    assert_eq!(
        (&records[0]["start_ms"], &records[0]["end_ms"]),
        (&ends[0].into(), &ends[1].into())
    );
}

#[test]
fn the_time_a_record_says_its_exporter_came_up_holds_for_it_alone() {
    let uptimes = |ms: u32| ms.to_be_bytes().to_vec();
    let own = [uptimes(1000), 500_000u64.to_be_bytes().to_vec()].concat();
    let sets = [
        template(256, &[(0, 22, 4)]),
        template(257, &[(0, 22, 4), (0, 160, 8)]),
        (257, own),
        (256, uptimes(1000)),
    ];
    let mut b = Bench::new(Settings::default());
    b.send(1, &sets);
    assert_eq!(b.out.core.start_ms[0], 501_000);
    assert!(!b.out.row(1).has(Field::StartMs));
    let (_, records) = twins::inspected(&[(1, message(0, &sets))], false);
    assert_eq!(records[0]["start_ms"], 501_000);
    assert!(!records[1].contains_key("start_ms"), "{records:?}");
}

#[test]
fn ends_may_be_told_by_durations() {
    let mut b = Bench::new(Settings::default());
    let start = 995_000u64.to_be_bytes();
    let record = |length: u32| [&start[..], &length.to_be_bytes()].concat();
    b.send(
        1,
        &[
            template(256, &[(0, 152, 8), (0, 161, 4)]),
            (256, record(2500)),
        ],
    );
    b.send(
        1,
        &[
            template(257, &[(0, 152, 8), (0, 162, 4)]),
            (257, record(1_500_999)),
        ],
    );
    let both = [&start[..], &start, &[0, 0, 9, 9]].concat();
    b.send(
        1,
        &[
            template(258, &[(0, 152, 8), (0, 153, 8), (0, 161, 4)]),
            (258, both),
        ],
    );
    assert_eq!(b.out.core.end_ms, [997_500, 996_500, 995_000]);
    assert!(b.out.row(0).has(Field::EndMs) && b.out.row(1).has(Field::EndMs));
    // the end and the duration tell the start
    b.send(
        1,
        &[
            template(259, &[(0, 153, 8), (0, 161, 4)]),
            (259, record(5_000)),
        ],
    );
    assert_eq!(
        (b.out.core.start_ms[3], b.out.core.end_ms[3]),
        (990_000, 995_000)
    );
    assert!(b.out.row(3).has(Field::StartMs));
}

#[test]
fn probabilities_tell_the_interval() {
    let mut b = Bench::new(Settings::default());
    let record = 0.01f64.to_be_bytes().to_vec();
    b.send(1, &[template(256, &[(0, 311, 8)]), (256, record.clone())]);
    let options = (3, words(&[400, 2, 1, 302, 2, 311, 8]));
    b.send(1, &[options, (400, [vec![0, 5], record].concat())]);
    b.send(1, &[template(257, &[(0, 302, 2)]), (257, vec![0, 5])]);
    assert_eq!(b.out.core.sampling_interval, [100, 100]);
    let sources: Vec<_> = b.out.rows().map(|r| r.sampling_source()).collect();
    assert_eq!(sources, [SamplingSource::Record, SamplingSource::Options]);
}

#[test]
fn refused_intervals_are_not_known_either() {
    let mut b = Bench::new(Settings::default());
    let record = 2_000_000u32.to_be_bytes().to_vec();
    b.send(1, &[template(256, &[(0, 34, 4)]), (256, record)]);
    assert_eq!(b.count(Outcome::SamplingRefused), 1);
    assert_eq!(b.count(Outcome::SamplingUnknown), 1);
}
