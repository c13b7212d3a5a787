//! Records as exporters send them, before any normalisation: one JSON object a record, for people and tests.
//!
//! A cold twin of the decoder: it shares the parsing of templates, elements and sFlow with it, but writes no columns,
//! scales nothing, corrects no clock and turns no total into a delta. Times alone are put on one clock, because
//! uptimes say nothing without their header.

mod fixed;
mod sampled;
mod sets;
mod value;

use super::{Reason, Settings};
use crate::ledger::{Outcome, Tally};
use crate::model::Datagram;
use serde_json::{Map, Value};

/// One record: canonical names to values, and with `raw` also every field as hex.
pub type Record = Map<String, Value>;

/// Reads datagrams in order and remembers what options and templates said.
#[derive(Debug)]
pub struct Inspector {
    raw: bool,
    sessions: sets::Sessions,
    tally: Tally,
}

impl Inspector {
    /// With `raw`, every record of NetFlow and IPFIX also has its fields as sent. With `wait`, sets that come before
    /// their template are kept (within the limits of the settings) and come out when it comes.
    pub fn new(settings: Settings, raw: bool, wait: bool) -> Self {
        Inspector {
            raw,
            sessions: sets::Sessions::new(settings, wait),
            tally: Tally::default(),
        }
    }

    /// Hands out the records of a datagram, in order.
    pub fn datagram(&mut self, d: &Datagram<'_>, each: &mut dyn FnMut(Record)) {
        let (raw, tally) = (self.raw, &mut self.tally);
        tally.one(Outcome::DatagramsReceived);
        let mut each = |record: Record| each(record);
        let read = match d.payload {
            [0, 0, 0, 5, ..] => sampled::datagram(d, tally, &mut each),
            [0, version @ (5 | 7), ..] => fixed::datagram(*version, d, raw, tally, &mut each),
            [0, 9, ..] => self.sessions.netflow9(d, raw, tally, &mut each),
            [0, 10, ..] => self.sessions.ipfix(d, raw, tally, &mut each),
            [_, _, ..] => Err(Reason::Version),
            _ => Err(Reason::Short),
        };
        tally.one(match read {
            Ok(()) => Outcome::DatagramsParsed,
            Err(Reason::Version) => Outcome::DatagramsRejectedVersion,
            Err(Reason::Short) => Outcome::DatagramsRejectedShort,
            Err(_) => Outcome::DatagramsRejectedHeader,
        });
    }

    /// Ends the input: sets that still await a template are given up.
    pub fn finish(&mut self) -> &Tally {
        self.sessions.finish(&mut self.tally);
        &self.tally
    }
}

/// Counts a record of a set or sample.
fn count(tally: &mut Tally, kind: Outcome) {
    tally.one(Outcome::RecordsDecoded);
    tally.one(kind);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Decoder;
    use crate::ledger::Book;
    use crate::model::{Addr, FlowBatch};
    use proptest::prelude::*;
    use serde_json::json;

    fn run(payloads: &[(u16, Vec<u8>)], raw: bool, wait: bool) -> (Vec<Value>, Tally) {
        let mut inspector = Inspector::new(Settings::default(), raw, wait);
        let mut records = Vec::new();
        for (i, (port, payload)) in payloads.iter().enumerate() {
            let d = Datagram {
                source: Addr::from_v4([192, 0, 2, 1]),
                port: *port,
                received_at_ns: 0,
                number: i as u64 + 1,
                frame: 0,
                cut: false,
                payload,
            };
            inspector.datagram(&d, &mut |r| records.push(Value::Object(r)));
        }
        (records, inspector.finish().clone())
    }

    fn words(list: &[u16]) -> Vec<u8> {
        list.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    /// An IPFIX message of domain 7, exported at second 1000.
    fn ipfix(sets: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let body: Vec<u8> = sets
            .iter()
            .flat_map(|(id, b)| [words(&[*id, b.len() as u16 + 4]), b.clone()].concat())
            .collect();
        let head = words(&[10, body.len() as u16 + 16, 0, 1000, 0, 0, 0, 7]);
        [head, body].concat()
    }

    #[test]
    fn data_needs_its_template_and_may_wait_for_it() {
        let template = ipfix(&[(2, words(&[256, 3, 8, 4, 7, 2, 7, 2]))]);
        let data = ipfix(&[(256, vec![10, 0, 0, 1, 0, 0, 0, 80, 0])]);
        let all = [(1, data.clone()), (1, template.clone()), (1, data.clone())];
        let (records, tally) = run(&all, true, false);
        let expected = json!({
            "kind": "flow", "version": 10, "odid": 7, "set_id": 256, "datagram": 3,
            "src_addr": "10.0.0.1", "src_port": 80,
            "raw": {"8": "0a000001", "7": "0000", "7#2": "0050"}
        });
        assert_eq!(records, [expected]);
        assert_eq!(tally.count(Outcome::SetsExpiredTemplate), 1);
        let (records, tally) = run(&all, false, true);
        let places: Vec<_> = records.iter().map(|r| r["datagram"].clone()).collect();
        assert_eq!(places, [1, 3]);
        assert_eq!(tally.count(Outcome::SetsDecodedLate), 1);
    }

    #[test]
    fn what_waits_is_bounded_for_each_exporter() {
        let data = ipfix(&[(256, vec![10, 0, 0, 1])]);
        let template = ipfix(&[(2, words(&[256, 1, 8, 4]))]);
        let settings = Settings {
            exporter_waiting_sets_max: 2,
            ..Settings::default()
        };
        let mut inspector = Inspector::new(settings, false, true);
        let mut seen = Vec::new();
        let data_of = |last| (last, &data);
        // the third of exporter 1 has no room
        let all = [data_of(1), data_of(1), data_of(1), data_of(2)];
        for (number, (last, payload)) in all.into_iter().chain([(1, &template)]).enumerate() {
            let d = Datagram {
                source: Addr::from_v4([192, 0, 2, last]),
                port: 1,
                received_at_ns: 0,
                number: number as u64 + 1,
                frame: 0,
                cut: false,
                payload,
            };
            inspector.datagram(&d, &mut |r| seen.push(r["datagram"].clone()));
        }
        assert_eq!(seen, [1, 2]);
        assert_eq!(inspector.tally.count(Outcome::SetsExpiredTemplate), 1);
        // exporter 2 still waits
        assert_eq!(inspector.finish().count(Outcome::SetsExpiredTemplate), 2);
    }

    #[test]
    fn counts_are_those_of_the_decoder() {
        let fields = |padding: &[u8]| [&[10, 0, 0, 1, 0, 80][..], padding].concat();
        let template = ipfix(&[(2, words(&[256, 2, 8, 4, 7, 2]))]);
        let whole = ipfix(&[(256, fields(&[]))]);
        let cut = |n: usize| whole[..whole.len() - n].to_vec();
        let mut zeros = whole.clone();
        zeros.extend([0; 6]);
        zeros[3] += 6;
        let mut sflow = Vec::new();
        for word in [5u32, 1, 0x0a00_0001, 0, 1, 1000, 3, 1, 4, 9, 2, 100, 1] {
            sflow.extend(word.to_be_bytes());
        }
        let payloads = [
            template,
            ipfix(&[(256, fields(&[0; 5]))]),
            ipfix(&[(256, fields(&[1, 1, 1]))]),
            ipfix(&[(256, fields(&[1; 5]))]),
            cut(2),
            cut(6),
            cut(8),
            zeros,
            sflow,
        ];
        let (mut decoder, mut book) = (Decoder::new(Settings::default()), Book::new(9));
        let mut inspector = Inspector::new(Settings::default(), false, false);
        for (number, payload) in payloads.iter().enumerate() {
            let d = Datagram {
                source: Addr::from_v4([192, 0, 2, 1]),
                port: 1,
                received_at_ns: 0,
                number: number as u64 + 1,
                frame: 0,
                cut: true,
                payload,
            };
            decoder.decode(&d, &mut FlowBatch::new(), &mut Vec::new(), &mut book);
            inspector.datagram(&d, &mut |_| {});
        }
        let tally = inspector.finish();
        for outcome in [
            Outcome::DatagramsParsed,
            Outcome::DatagramsRejectedHeader,
            Outcome::Sets,
            Outcome::SetsDecoded,
            Outcome::SetsRejectedLength,
            Outcome::SetsRejectedRecord,
            Outcome::SetsRejectedId,
            Outcome::SetsRejectedFormat,
            Outcome::RecordsDecoded,
            Outcome::BytesTrailing,
        ] {
            assert_eq!(tally.count(outcome), book.count(outcome), "{outcome:?}");
        }
        assert_eq!(tally.count(Outcome::BytesTrailing), 5 + 4 + 2 + 6);
    }

    #[test]
    fn another_session_may_lend_its_template_while_all_agree() {
        let template = |length| ipfix(&[(2, words(&[256, 1, 8, length]))]);
        let data = ipfix(&[(256, vec![10, 0, 0, 1])]);
        let lent = [(1, template(4)), (2, data.clone())];
        assert_eq!(run(&lent, false, false).0.len(), 1);
        let differ = [(1, template(4)), (3, template(2)), (2, data.clone())];
        assert_eq!(run(&differ, false, false).0.len(), 0);
        let own = ipfix(&[(2, words(&[300, 1, 8, 4]))]);
        let announced = [(1, template(4)), (2, own), (2, data)];
        assert_eq!(run(&announced, false, false).0.len(), 0);
    }

    #[test]
    fn uptimes_need_the_system_init_time_of_the_options() {
        let options = ipfix(&[(3, words(&[257, 2, 1, 149, 4, 160, 8]))]);
        let init = ipfix(&[(
            257,
            [vec![0, 0, 0, 7], 900_000u64.to_be_bytes().to_vec()].concat(),
        )]);
        let template = ipfix(&[(2, words(&[256, 2, 22, 4, 158, 4]))]);
        let mut data = 5000u32.to_be_bytes().to_vec();
        data.extend(1500u32.to_be_bytes());
        let data = ipfix(&[(256, data)]);
        let all = [template, data.clone(), options, init, data].map(|p| (1, p));
        let (records, _) = run(&all, false, false);
        assert_eq!(records[0]["start_ms"], 999_998);
        assert_eq!(records[1]["kind"], "options");
        // relative to export goes before uptime
        assert_eq!(records[2]["start_ms"], 999_998);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(
            version in 0usize..5, mut bytes: Vec<u8>, wait: bool, set in 0u16..300
        ) {
            let mut payload = match version {
                0 => vec![0, 5, 0, 9],
                1 => vec![0, 7, 0, 1],
                2 => words(&[9, 1, 0, 0, 0, 0, 0, 0, 0, 0, set, 40]),
                3 => words(&[10, 100, 0, 0, 0, 0, 0, 0, set, 40]),
                _ => vec![0, 0, 0, 5, 0, 0, 0, 1],
            };
            payload.append(&mut bytes);
            let template = ipfix(&[(2, words(&[256, 2, 8, 4, 82, 0xffff]))]);
            run(&[(1, template), (1, payload)], true, wait);
        }
    }
}
