//! Running totals of flows whose start counts from the uptime or from the time of export.

use super::*;

/// A report of the flow of port 80 that began at `start`.
fn report(start: u32, total: u32) -> Vec<u8> {
    let numbers = [start, total, total / 100].map(u32::to_be_bytes);
    [&80u16.to_be_bytes()[..], &numbers.concat()].concat()
}

/// The fields of a report, its start told by `start`.
fn layout(start: u16) -> [(u32, u16, u16); 4] {
    [(0, 7, 2), (0, start, 4), (0, 85, 4), (0, 86, 4)]
}

impl Bench {
    fn take(&mut self, payload: &[u8]) {
        self.number += 1;
        let d = Datagram {
            source: Addr::from_v4([192, 0, 2, 1]),
            port: 2055,
            received_at_ns: 1000 * SECOND_NS,
            number: self.number,
            frame: self.number,
            cut: false,
            payload,
        };
        let (decoder, learned) = (&mut self.decoder, &mut self.learned);
        decoder.decode(&d, &mut self.out, learned, &mut self.book);
    }

    /// A version 9 packet with one set of id 256, or with templates (`id` 0).
    fn v9(&mut self, (export_s, uptime_ms): (u32, u32), id: u16, body: &[u8]) {
        let sequence = self.number as u32;
        let numbers = [uptime_ms, export_s, sequence, 7].map(u32::to_be_bytes);
        let set = words(&[id, body.len() as u16 + 4]);
        let packet = [&words(&[9, 1])[..], &numbers.concat(), &set, body];
        self.take(&packet.concat());
    }

    /// An IPFIX message of one set.
    fn ipfix(&mut self, export_s: u32, sets: &[(u16, Vec<u8>)]) {
        let mut payload = message(0, sets);
        payload[4..8].copy_from_slice(&export_s.to_be_bytes());
        self.take(&payload);
    }

    fn bytes(&self) -> Vec<u64> {
        self.out.core.bytes.clone()
    }
}

#[test]
fn totals_are_subtracted_though_the_header_counts_whole_seconds() {
    let mut b = Bench::new(Settings::default());
    b.v9((1000, 0), 0, &template(256, &layout(22)).1);
    // exported at 1000.9, 1060.2, 1120.6 and 1180.05 s; the header cuts these, the uptime has them in full
    let exports = [(1000, 100_600), (1060, 159_900), (1120, 220_300)];
    for (n, (export_s, uptime_ms)) in exports.into_iter().enumerate() {
        let round = n as u32;
        // the second has the same ends and began a millisecond later
        let body = [
            report(50_000, 1000 * (round + 1)),
            report(50_001, 500 + 10 * round),
        ];
        b.v9((export_s, uptime_ms), 256, &body.concat());
    }
    assert_eq!(b.bytes(), [1000, 500, 1000, 10, 1000, 10]);
    assert_eq!(b.out.core.packets, [10, 5, 10, 0, 10, 0]);
    assert!(b.out.row(0).has(Field::StartMs));
}

#[test]
fn uptimes_of_ipfix_tell_a_flow_before_and_after_its_clock_is_known() {
    let mut b = Bench::new(Settings::default());
    let flow = |total| (256, report(50_000, total));
    b.ipfix(1000, &[template(256, &layout(22)), flow(1000)]);
    let options = (3, words(&[400, 2, 1, 149, 4, 160, 8]));
    let up = |ms: u64| (400, [&[0, 0, 0, 7][..], &ms.to_be_bytes()].concat());
    b.ipfix(1060, &[options, up(900_000), flow(2000)]);
    // told anew, some milliseconds off
    b.ipfix(1120, &[up(900_004), flow(3000)]);
    assert_eq!(b.bytes(), [1000, 1000, 1000]);
    assert_eq!(b.out.core.start_ms[1..], [950_000, 950_004]);
}

#[test]
fn starts_before_export_match_within_two_seconds() {
    let mut b = Bench::new(Settings::default());
    b.ipfix(1000, &[template(256, &layout(158))]);
    // begun at 995.0 s; exported at 1000.9, 1010.2, 1020.6, 1030.05 s with whole seconds in the header
    let reports = [
        (1000, 5_900_000, 1000),
        (1010, 15_200_000, 2000),
        (1020, 25_600_000, 3000),
        (1030, 35_050_000, 4000),
        // begun three seconds later: another flow of the same ends, told in turn with the first
        (1030, 32_000_000, 700),
        (1040, 45_100_000, 5000),
        (1040, 42_900_000, 750),
        // so little that it began anew
        (1050, 55_000_000, 20),
    ];
    for (export_s, start, total) in reports {
        b.ipfix(export_s, &[(256, report(start, total))]);
    }
    assert_eq!(b.bytes(), [1000, 1000, 1000, 1000, 700, 1000, 50, 20]);
}

#[test]
fn a_clock_that_is_set_slowly_takes_its_flows_along() {
    let mut b = Bench::new(Settings::default());
    b.ipfix(1000, &[template(256, &layout(158))]);
    for n in 0..20u32 {
        // the clock gains 400 ms from report to report
        let start = 5_000_000 + n * 9_600_000;
        b.ipfix(1000 + n * 10, &[(256, report(start, 100 * (n + 1)))]);
    }
    assert_eq!(b.bytes(), [100; 20]);
}

#[test]
fn totals_of_both_directions_are_told_by_the_same_start() {
    let mut b = Bench::new(Settings::default());
    let fields = [(0, 7, 2), (0, 22, 4), (0, 85, 4), (29305, 85, 4)];
    b.ipfix(1000, &[template(256, &fields)]);
    for (export_s, init, there, back) in [(1000, 0u64, 100u32, 40u32), (1060, 900_000, 300, 50)] {
        let options = (3, words(&[400, 2, 1, 149, 4, 160, 8]));
        let up = (400, [&[0, 0, 0, 7][..], &init.to_be_bytes()].concat());
        let numbers = [50_000, there, back].map(u32::to_be_bytes).concat();
        let record = [&80u16.to_be_bytes()[..], &numbers].concat();
        b.ipfix(export_s, &[options, up, (256, record)]);
    }
    assert_eq!(b.bytes(), [100, 40, 200, 10]);
}

#[test]
fn growth_is_booked_to_the_time_since_the_last_totals() {
    let mut b = Bench::new(Settings::default());
    let layout = [(0, 7, 2), (0, 152, 8), (0, 153, 8), (0, 85, 4)];
    let record = |end: u64, total: u32| {
        let times = [400_000u64, end].map(u64::to_be_bytes).concat();
        (
            256,
            [&80u16.to_be_bytes()[..], &times, &total.to_be_bytes()].concat(),
        )
    };
    b.ipfix(1000, &[template(256, &layout), record(700_000, 1000)]);
    b.ipfix(1000, &[record(1_000_000, 3000)]);
    assert_eq!(b.bytes(), [1000, 2000]);
    let booked = |i| b.out.counters.as_ref().and_then(|g| g.booked(i));
    assert_eq!([booked(0), booked(1)], [None, Some((700_000, 1_000_000))]);
}

#[test]
fn a_late_total_adds_nothing_and_is_no_new_base() {
    let mut b = Bench::new(Settings::default());
    let layout = [(0, 7, 2), (0, 85, 4), (29305, 85, 4)];
    let mut send = |sequence: u32, there: u32, back: u32, first: bool| {
        let numbers = [there, back].map(u32::to_be_bytes).concat();
        let record = (256, [&80u16.to_be_bytes()[..], &numbers].concat());
        let sets = match first {
            true => vec![template(256, &layout), record],
            false => vec![record],
        };
        let payload = message(sequence, &sets);
        b.take(&payload);
    };
    send(10, 100, 10, true);
    // the second one comes behind the third, and the third comes twice
    send(12, 300, 30, false);
    send(11, 200, 20, false);
    send(12, 300, 30, false);
    send(13, 400, 40, false);
    // in its order a falling total is another flow
    send(14, 50, 5, false);
    assert_eq!(b.bytes(), [100, 10, 200, 20, 0, 0, 100, 10, 50, 5]);
    assert_eq!(b.book.count(Outcome::SequenceReordered), 1);
    let again = b
        .out
        .core
        .flags
        .iter()
        .map(|f| f & RowFlags::DUPLICATE != 0);
    let again: Vec<bool> = again.collect();
    assert_eq!(again.iter().filter(|a| **a).count(), 1);
    assert!(again[5]);
}
