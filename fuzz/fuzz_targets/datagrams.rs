//! Datagrams of all protocols in sequence, from several sources, with state: nothing panics, every law of the ledger
//! holds after every one, no table outgrows its limit, and what is saved can be restored.
#![no_main]

use flowhouse::decode::{Decoder, End, Settings};
use flowhouse::ledger::{Book, Gauges, Outcome, Tally, laws};
use flowhouse::model::{Addr, Datagram, FlowBatch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let settings = Settings {
        exporters_max: 3,
        sessions_max: 3,
        domains_max: 2,
        exporter_templates_max: 6,
        samplers_max: 4,
        templates_max: 8,
        exporter_waiting_sets_max: 8,
        waiting_bytes_max: 4096,
        totals_max: 16,
        firewall_flows_max: 16,
        names_max: 8,
        correct_clock: true,
        ..Default::default()
    };
    let mut decoder = Decoder::new(settings.clone());
    let (mut batch, mut learned, mut book) = (FlowBatch::new(), Vec::new(), Book::new(16));
    let mut outside = Tally::default();
    // each datagram has length, source and protocol in front
    let (mut rest, mut number) = (bytes, 0);
    while let Some(([high, low, source, protocol], after)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([*high & 0x07, *low])).min(after.len());
        let (body, next) = after.split_at(length);
        rest = next;
        number += 1;
        let head: &[u8] = match protocol % 8 {
            0 => &[0, 5],
            1 => &[0, 7],
            2 | 3 => &[0, 9],
            4 | 5 => &[0, 10],
            6 => &[0, 0, 0, 5],
            _ => &[],
        };
        let payload = [head, body].concat();
        let d = Datagram {
            source: Addr::from_v4([192, 0, 2, source % 5]),
            port: 1000 + u16::from(source / 5 % 5),
            received_at_ns: i64::from(*protocol) * 1_000_000_000 * number,
            number: number as u64,
            frame: number as u64,
            cut: source & 0x80 != 0,
            payload: &payload,
        };
        let before = batch.len();
        decoder.decode(&d, &mut batch, &mut learned, &mut book);
        outside.one(Outcome::DatagramsReceived);
        outside.one(Outcome::DatagramsRouted);
        if protocol & 0x80 != 0 {
            decoder.tick(d.received_at_ns, &mut book);
        }
        // a record has a byte at least, whether it came now or waited; it gives two rows, or says a few things
        let bytes = payload.len() + settings.waiting_bytes_max;
        assert!(batch.len() - before <= 2 * bytes && learned.len() <= FACTS_MAX * bytes);
        if batch.is_full() {
            outside.add(Outcome::RowsAcknowledged, batch.len() as u64);
            batch.clear();
        }
        learned.clear();
        assert_eq!(decoder.overfull(), None);
    }
    assert!(decoder.take_faults().kept().count() <= settings.faults_max);
    // what a stop leaves of a sequence is where it goes on; once that is all there is, nothing changes any more
    let mut saved = decoder.save().text;
    for round in 0..2 {
        let mut restored = Decoder::new(settings.clone());
        assert!(restored.restore(&saved, End::Stopped, |_| true).is_ok());
        assert_eq!(restored.overfull(), None);
        let again = restored.save().text;
        assert!(round == 0 || again == saved, "what was restored is what was saved");
        saved = again;
    }
    check(&decoder, &outside, &batch, &book);
    decoder.finish(&mut book);
    assert_eq!(decoder.awaiting(), 0);
    check(&decoder, &outside, &batch, &book);
    assert!(batch.rows().all(|row| row.provenance().datagram > 0));
});

/// What a record can say at most: far more than any does.
const FACTS_MAX: usize = 8;

fn check(decoder: &Decoder, outside: &Tally, batch: &FlowBatch, book: &Book) {
    let mut total = book.total();
    total.merge(outside);
    total.add(Outcome::RowsAcknowledged, batch.len() as u64);
    let gauges = Gauges {
        sets_awaiting: decoder.awaiting(),
        ..Default::default()
    };
    for law in laws(&total, &gauges) {
        assert!(law.holds(), "{law:?}");
    }
}
