//! sFlow datagrams in sequence, with state: nothing panics, every law of the ledger holds, and decoder and `inspect`
//! count the same samples.
#![no_main]

use flowhouse::decode::inspect::Inspector;
use flowhouse::decode::sflow::walks_to_end;
use flowhouse::decode::{Settings, SflowDecoder, Touched};
use flowhouse::ledger::{Book, Gauges, Outcome, laws};
use flowhouse::model::{Addr, Datagram, FlowBatch};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut decoder = SflowDecoder::new(&Settings::default());
    let mut inspector = Inspector::new(Settings::default(), true, false);
    let (mut batch, mut learned, mut book) = (FlowBatch::new(), Vec::new(), Book::new(16));
    let mut touched = Touched::default();
    let mut total = flowhouse::ledger::Tally::default();
    let mut records = 0;
    // each datagram has its length and a flag for a cut one in front
    let mut rest = bytes;
    let mut number = 0;
    while let Some(([high, low, cut], after)) = rest.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high & 0x07, *low])).min(after.len());
        let (body, next) = after.split_at(length);
        rest = next;
        number += 1;
        let payload = [&[0, 0, 0, 5], body].concat();
        let d = Datagram {
            source: Addr::from_v4([192, 0, 2, 1]),
            port: 6343,
            received_at_ns: number as i64,
            number,
            frame: number,
            cut: cut & 1 == 1,
            payload: &payload,
        };
        let fault = decoder.decode(&d, &mut batch, &mut learned, (&mut book, &mut touched));
        if walks_to_end(&payload) {
            assert!(fault.is_none_or(|f| f.offset > 0));
        }
        inspector.datagram(&d, &mut |record| {
            records += u64::from(record["kind"] != "other")
        });
        total.one(Outcome::DatagramsReceived);
        total.one(Outcome::DatagramsRouted);
        if batch.is_full() {
            total.add(Outcome::RowsAcknowledged, batch.len() as u64);
            batch.clear();
        }
    }
    total.merge(&book.total());
    total.add(Outcome::RowsAcknowledged, batch.len() as u64);
    for law in laws(&total, &Gauges::default()) {
        assert!(law.holds(), "{law:?}");
    }
    assert!(records >= total.count(Outcome::RecordsDecoded));
    assert!(batch.rows().all(|row| row.estimate().1 > 0));
});
