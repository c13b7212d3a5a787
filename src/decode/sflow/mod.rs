//! sFlow version 5: one row for each flow sample, one fact for each interface's counters.
//!
//! The exporter is the agent; where the datagram came from stays beside it. A sample that makes no sense costs
//! itself, an unknown record nothing but a counter.

mod record;
mod row;
mod sequence;
mod wire;

pub use record::{FlowRecord, Gateway, IpRecord, interface_counters};
pub use wire::{
    CountersSample, FlowSample, Format, Header, Interface, Item, Items, Sample, Source,
};

use super::limits::Size;
use super::position::Touched;
use super::sequence::Sequence;
use super::{Fault, Reason, Settings};
use crate::ledger::{Book, Outcome, Tally};
use crate::model::{Addr, Datagram, FlowBatch, Learned, Origin, Provenance};
use row::RowWriter;
use sequence::{Sender, Sequences};

/// Decodes datagrams and remembers the sequence numbers of their senders.
#[derive(Debug)]
pub struct SflowDecoder {
    sequences: Sequences,
    silence_max_ns: i64,
    rows: RowWriter,
}

impl SflowDecoder {
    /// A decoder with the limits of the room.
    pub fn new(settings: &Settings) -> Self {
        SflowDecoder {
            sequences: Sequences::new(settings.exporters_max),
            silence_max_ns: (settings.template_lifetime_s as i64).saturating_mul(NS),
            rows: RowWriter::new(settings),
        }
    }

    /// Decodes a datagram whose first word is 5; returns the first fault in it, if any.
    pub fn decode(
        &mut self,
        d: &Datagram<'_>,
        out: &mut FlowBatch,
        learned: &mut Vec<Learned>,
        (book, touched): (&mut Book, &mut Touched),
    ) -> Option<Fault> {
        let fault = |offset, reason| Fault {
            exporter: d.source,
            datagram: d.number,
            offset,
            reason,
        };
        let (header, reader) = match Header::read(d.payload) {
            Ok(read) => read,
            Err((offset, reason)) => {
                book.account((d.source.0, 0)).one(datagram_outcome(reason));
                return Some(fault(offset, reason));
            }
        };
        let exporter = d.exporter();
        let sender = (exporter, header.sub_agent);
        self.rows.begin(exporter);
        let tally = book.account((exporter.0, header.sub_agent));
        let count_at = reader.position() - 4;
        tally.one(Outcome::DatagramsParsed);
        let house = (&mut *tally, touched);
        let mut followed = self
            .sequences
            .datagram(sender, &header, d.received_at_ns, house);
        let (mut first, mut provenance) = (None, None);
        let mut samples = Items::new(reader, header.samples);
        let mut place = 0;
        for item in samples.by_ref() {
            place += 1;
            tally.one(Outcome::Sets);
            match Sample::read(&item) {
                Sample::Flow(sample) => {
                    followed.sample(&sample, tally);
                    let provenance =
                        *provenance.get_or_insert_with(|| out.push_provenance(origin(d, sender)));
                    let row = (place, provenance, followed.flags());
                    if !self.rows.write(&sample, row, out, tally) {
                        tally.one(Outcome::SetsRejectedRecord);
                        first.get_or_insert(fault(item.at, Reason::Record));
                    }
                }
                Sample::Counters(sample) => counters(sample, exporter, d, learned, tally),
                Sample::Other => {
                    tally.one(Outcome::SetsRejectedFormat);
                    if !item.format.is_known() {
                        first.get_or_insert(fault(item.at, Reason::SampleFormat));
                    }
                }
                Sample::Broken => {
                    tally.one(Outcome::SetsRejectedRecord);
                    first.get_or_insert(fault(item.at, Reason::Record));
                }
            }
        }
        let rest = count_rest(&samples, d.cut, tally);
        if rest.lost > 0 {
            let offset = d.payload.len() - samples.rest().len();
            first.get_or_insert(fault(offset, Reason::Sample));
        }
        if rest.count_wrong {
            first.get_or_insert(fault(count_at, Reason::Count));
        }
        first
    }

    /// Most bytes of the tables for so many agents.
    pub(super) fn bytes_max(agents: usize) -> usize {
        Sequences::bytes_max(agents)
    }

    /// What the tables hold and may hold.
    pub(super) fn sizes(&self) -> [Size; 2] {
        self.sequences.sizes()
    }

    /// Forgets senders that were silent for the lifetime of a template.
    pub fn tick(&mut self, now_ns: i64, book: &mut Book, touched: &mut Touched) {
        let before_ns = now_ns.saturating_sub(self.silence_max_ns);
        self.sequences.forget(before_ns, book, touched);
    }

    /// The expectation of a sender, and whether it is to be told.
    pub(super) fn sender(&mut self, sender: Sender) -> Option<(&mut Sequence, &mut bool)> {
        self.sequences.sender(sender)
    }

    /// When a sender was last heard of.
    pub(super) fn heard_ns(&self, sender: Sender) -> Option<i64> {
        self.sequences.heard_ns(sender)
    }

    /// When each sender was last heard of, and its expectation.
    pub(super) fn senders(&self) -> impl Iterator<Item = (Sender, i64, &Sequence)> {
        self.sequences.senders()
    }

    /// The same to be changed, and whether each is to be told.
    pub(super) fn senders_mut(
        &mut self,
    ) -> impl Iterator<Item = (Sender, &mut Sequence, &mut bool)> {
        self.sequences.senders_mut()
    }

    /// Goes on where an earlier process was.
    pub(super) fn resume(&mut self, sender: Sender, sequence: Sequence, now_ns: i64) {
        self.sequences.resume(sender, sequence, now_ns);
    }

    /// Ends: open gaps are booked.
    pub fn finish(&mut self, book: &mut Book) {
        self.sequences.finish(book);
    }
}

/// Whether a payload is an sFlow version 5 datagram whose samples, and the records in those of known formats, end
/// exactly where they should.
pub fn walks_to_end(payload: &[u8]) -> bool {
    let Ok((header, reader)) = Header::read(payload) else {
        return false;
    };
    let mut samples = Items::new(reader, header.samples);
    let whole = samples.by_ref().all(|item| match Sample::read(&item) {
        Sample::Flow(FlowSample { mut records, .. })
        | Sample::Counters(CountersSample { mut records, .. }) => {
            records.by_ref().for_each(drop);
            records.left() == 0 && records.rest().is_empty()
        }
        Sample::Other => true,
        Sample::Broken => false,
    });
    whole && samples.left() == 0 && samples.rest().is_empty()
}

/// What a header promised and the walk through the samples did not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// Samples that run past the end or stand behind one that does.
    pub lost: u64,
    /// More samples were promised than the bytes that were sent have room for.
    pub count_wrong: bool,
}

/// Counts what is left when no more samples can be read: those that are lost, a count that cannot be, or bytes behind the
/// last. `cut`: the datagram was longer than what is there.
pub fn count_rest(samples: &Items<'_>, cut: bool, tally: &mut Tally) -> Rest {
    let (left, bytes) = (u64::from(samples.left()), samples.rest().len());
    // where the one that runs past the end would have ended is not known, so it and the others are lost
    let room = match cut {
        true => SAMPLES_MAX,
        false => bytes.div_ceil(SAMPLE_MIN) as u64,
    };
    let lost = left.min(room);
    tally.add(Outcome::Sets, lost);
    tally.add(Outcome::SetsRejectedLength, lost);
    tally.add(Outcome::CountsWrong, u64::from(left > room));
    if lost == 0 {
        tally.add(Outcome::BytesTrailing, bytes as u64);
    }
    Rest {
        lost,
        count_wrong: left > room,
    }
}

fn datagram_outcome(reason: Reason) -> Outcome {
    match reason {
        Reason::Version => Outcome::DatagramsRejectedVersion,
        Reason::Short => Outcome::DatagramsRejectedShort,
        _ => Outcome::DatagramsRejectedHeader,
    }
}

fn origin(d: &Datagram<'_>, (exporter, domain): (Addr, u32)) -> Provenance {
    Provenance {
        exporter,
        exporter_source: d.source,
        exporter_port: d.port,
        domain,
        origin: Origin::Sflow,
        received_at_ns: d.received_at_ns,
        exported_at_ms: 0,
        datagram: d.number,
        frame: d.frame,
    }
}

fn counters(
    mut sample: CountersSample<'_>,
    exporter: Addr,
    d: &Datagram<'_>,
    learned: &mut Vec<Learned>,
    tally: &mut Tally,
) {
    tally.one(Outcome::SetsDecoded);
    tally.one(Outcome::RecordsDecoded);
    tally.one(Outcome::RecordsCounters);
    for item in sample.records.by_ref() {
        match interface_counters(&item) {
            Some(mut c) => {
                c.exporter = exporter;
                c.received_at_ns = d.received_at_ns;
                learned.push(Learned::Counters(Box::new(c)));
            }
            None => tally.one(Outcome::FieldsUnknown),
        }
    }
    if sample.records.left() > 0 {
        tally.one(Outcome::FieldsMalformed);
    }
}

const NS: i64 = 1_000_000_000;
/// A sample has at least its format and its length.
const SAMPLE_MIN: usize = 8;
/// Samples that a UDP datagram has room for: what a cut one may be believed to have lost.
const SAMPLES_MAX: u64 = 8192;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Gauges, laws};
    use crate::model::{Field, FieldValue, RowFlags, SamplingSource};
    use proptest::prelude::*;

    fn words(list: &[u32]) -> Vec<u8> {
        list.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    fn item(format: u32, body: &[u8]) -> Vec<u8> {
        let mut out = words(&[format, body.len() as u32]);
        out.extend(body);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn datagram(sequence: u32, samples: &[Vec<u8>]) -> Vec<u8> {
        let count = samples.len() as u32;
        let mut out = words(&[5, 1, 0x0a00_0001, 7, sequence, 1000, count]);
        out.extend(samples.concat());
        out
    }

    /// A flow sample of source 3, 1 in 100, from interface 3 to `output`.
    fn flow(sequence: u32, drops: u32, output: u32, records: &[Vec<u8>]) -> Vec<u8> {
        let count = records.len() as u32;
        let mut body = words(&[sequence, 3, 100, 5000, drops, 3, output, count]);
        body.extend(records.concat());
        item(1, &body)
    }

    /// 802.1Q, IPv4 of total length 1000, UDP 53 to 4000, cut after the ports.
    fn header() -> Vec<u8> {
        let mut frame = vec![2; 12];
        frame.extend([
            0x81, 0, 0x20, 9, 8, 0, 0x45, 0xb8, 3, 0xe8, 0, 0, 0, 0, 60, 17, 0, 0,
        ]);
        frame.extend([10, 0, 0, 1, 10, 0, 0, 2, 0, 53, 15, 0xa0]);
        let mut body = words(&[1, 1022, 4]);
        body.extend(words(&[frame.len() as u32]));
        body.extend(&frame);
        body.resize(body.len().next_multiple_of(4), 0);
        item(1, &body)
    }

    struct Run {
        batch: FlowBatch,
        learned: Vec<Learned>,
        book: Book,
        fault: Option<Fault>,
    }

    fn run(payloads: &[Vec<u8>]) -> Run {
        run_with(&Settings::default(), payloads)
    }

    fn run_with(settings: &Settings, payloads: &[Vec<u8>]) -> Run {
        let mut decoder = SflowDecoder::new(settings);
        let mut r = Run {
            batch: FlowBatch::new(),
            learned: Vec::new(),
            book: Book::new(100),
            fault: None,
        };
        for (i, payload) in payloads.iter().enumerate() {
            let d = Datagram {
                source: Addr::from_v4([192, 0, 2, 9]),
                port: 6343,
                received_at_ns: 5,
                number: i as u64 + 1,
                frame: 0,
                cut: false,
                payload,
            };
            let fault = decoder.decode(
                &d,
                &mut r.batch,
                &mut r.learned,
                (&mut r.book, &mut Touched::default()),
            );
            r.fault = r.fault.or(fault);
            r.book.other().one(Outcome::DatagramsRouted);
        }
        decoder.finish(&mut r.book);
        let mut total = r.book.total();
        total.add(Outcome::DatagramsReceived, payloads.len() as u64);
        total.add(Outcome::RowsAcknowledged, r.batch.len() as u64);
        for law in laws(&total, &Gauges::default()) {
            assert!(law.holds(), "{law:?}");
        }
        r
    }

    #[test]
    fn a_flow_sample_is_a_row() {
        let switch = item(1001, &words(&[9, 0, 11, 0]));
        let router = item(1002, &words(&[1, 0x0a01_0101, 24, 16]));
        let gateway = item(
            1003,
            &words(&[
                1,
                0x0a01_0102,
                65000,
                65001,
                65002,
                2,
                2,
                2,
                65003,
                65004,
                1,
                1,
                65005,
                0,
                100,
            ]),
        );
        let r = run(&[datagram(
            1,
            &[flow(1, 0, 4, &[header(), switch, router, gateway])],
        )]);
        let row = r.batch.row(0);
        let number = |f| match row.value(f) {
            Some(FieldValue::Number(n)) => Some(n),
            _ => None,
        };
        for (field, value) in [
            (Field::Bytes, 1000),
            (Field::Packets, 1),
            (Field::SrcPort, 53),
            (Field::DstPort, 4000),
            (Field::Tos, 0xb8),
            (Field::Ttl, 60),
            (Field::InIf, 3),
            (Field::OutIf, 4),
            (Field::Vlan, 9),
            (Field::PostVlan, 11),
            (Field::Direction, 0),
            (Field::SrcAs, 65001),
            (Field::DstAs, 65005),
            (Field::DstPeerAs, 65003),
            (Field::SrcMask, 24),
            (Field::L2Bytes, 1022),
        ] {
            assert_eq!(number(field), Some(value), "{field:?}");
        }
        let path = Some(FieldValue::Path(&[65003, 65004, 65005]));
        assert_eq!(row.value(Field::DstAsPath), path);
        assert!(!row.has(Field::StartMs) && !row.has(Field::TcpFlags));
        let p = row.provenance();
        assert_eq!(p.exporter, Addr::from_v4([10, 0, 0, 1]));
        assert_eq!(p.exporter_source, Addr::from_v4([192, 0, 2, 9]));
        assert_eq!((p.domain, p.exported_at_ms), (7, 0));
        assert_eq!(row.sampling_source(), SamplingSource::Header);
        assert_eq!(row.estimate(), (100_000, 100));
        assert_eq!(r.fault, None);
    }

    #[test]
    fn overrides_come_before_the_rate_of_an_agent() {
        let one = crate::decode::overrides::tests::one;
        let at = |interface| {
            let settings = Settings {
                sampling_overrides: vec![one("10.0.0.1", &[interface], &[], 4_000)].into(),
                ..Settings::default()
            };
            let r = run_with(&settings, &[datagram(1, &[flow(1, 0, 4, &[header()])])]);
            let interval = r.batch.core.sampling_interval[0];
            (interval, r.batch.row(0).sampling_source())
        };
        // it was sampled where it came in
        assert_eq!(at(3), (4_000, SamplingSource::Override));
        assert_eq!(at(4), (100, SamplingSource::Header));
    }

    #[test]
    fn special_interfaces_and_rates() {
        let r = run(&[datagram(
            1,
            &[
                flow(1, 0, 0x3fff_ffff, &[header()]),
                flow(2, 0, 1 << 30 | 2, &[header()]),
                flow(3, 0, 2 << 30 | 7, &[header()]),
            ],
        )]);
        let c = &r.batch.core;
        let out = |i: usize| r.batch.row(i).has(Field::OutIf).then(|| c.out_if[i]);
        assert_eq!([out(0), out(1), out(2)], [Some(0x3fff_ffff), None, None]);
        assert_eq!(c.forwarding_status, [0, 128, 0]);
        let mut body = words(&[1, 3, 2_000_000, 1, 0, 3, 4, 0]);
        let refused = item(1, &body);
        body[8..12].fill(0);
        let r = run(&[datagram(1, &[refused, item(1, &body)])]);
        assert_eq!(r.batch.core.sampling_interval, [1, 1]);
        let flags = &r.batch.core.flags;
        assert_eq!(
            flags[0] & crate::decode::sampling::REFUSED,
            crate::decode::sampling::REFUSED
        );
        assert_eq!(r.book.count(Outcome::SamplingRefused), 1);
        assert_eq!(r.book.count(Outcome::SamplingUnknown), 2);
        assert!(flags[1] & RowFlags::SAMPLING_UNKNOWN != 0);
        assert!(!r.batch.row(0).has(Field::Bytes));
    }

    #[test]
    fn a_frame_that_is_no_ip_counts_its_length() {
        let mut frame = vec![1; 12];
        frame.extend([0x08, 0x06, 0, 1]);
        let mut body = words(&[1, 64, 4, 16]);
        body.extend(frame);
        let r = run(&[datagram(1, &[flow(1, 0, 4, &[item(1, &body)])])]);
        assert_eq!(r.batch.core.bytes, [60]);
        assert!(r.batch.core.flags[0] & RowFlags::NOT_IP != 0);
    }

    #[test]
    fn an_ethernet_record_about_ip_counts_what_is_behind_its_header() {
        let record = |length: u32, ethertype: u32| {
            item(
                2,
                &words(&[
                    length,
                    0x0202_0202,
                    0x0202_0000,
                    0x0404_0404,
                    0x0404_0000,
                    ethertype,
                ]),
            )
        };
        let samples = [(1518, 0x0800), (1518, 0x86dd), (64, 0x0806)];
        let samples = samples.map(|(n, e)| flow(1, 0, 4, &[record(n, e)]));
        let r = run(&[datagram(1, &samples)]);
        assert_eq!(r.batch.core.bytes, [1500, 1500, 64]);
        let other = r.batch.core.flags.iter().map(|f| f & RowFlags::NOT_IP != 0);
        assert_eq!(other.collect::<Vec<_>>(), [false, false, true]);
        let l2 = r.batch.layer2.as_ref().map(|g| g.l2_bytes.clone());
        assert_eq!(l2, Some(vec![1518, 1518, 64]));
    }

    #[test]
    fn where_ipv6_has_no_length_the_frame_tells() {
        let sample = |next_header: u8, frame_length: u32| {
            let mut frame = vec![2; 12];
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, next_header, 64]);
            frame.extend([[0x20; 16], [0x21; 16]].concat());
            let mut body = words(&[1, frame_length, 4, frame.len() as u32]);
            body.extend(&frame);
            body.resize(body.len().next_multiple_of(4), 0);
            flow(1, 0, 4, &[item(1, &body)])
        };
        // of offload; nothing behind the header; padding of the shortest frame
        let r = run(&[datagram(
            1,
            &[sample(6, 9018), sample(59, 9018), sample(6, 64)],
        )]);
        assert_eq!(r.batch.core.bytes, [9000, 40, 40]);
    }

    #[test]
    fn a_sample_whose_only_record_overruns_is_no_row() {
        let mut torn = header();
        torn[7] = 0xff;
        let switch = item(1001, &words(&[9, 0, 11, 0]));
        let samples = [
            flow(1, 0, 4, &[torn.clone()]),
            flow(2, 0, 4, &[switch, torn]),
        ];
        let r = run(&[datagram(1, &samples)]);
        assert_eq!(r.batch.core.record, [2], "its VLANs are told");
        assert_eq!(r.book.count(Outcome::SetsRejectedRecord), 1);
        assert_eq!(r.book.count(Outcome::FieldsMalformed), 2);
        assert_eq!(r.fault.map(|f| f.reason), Some(Reason::Record));
    }

    #[test]
    fn a_datagram_that_comes_twice_is_flagged_and_no_restart() {
        let first = datagram(0, &[flow(1, 0, 4, &[header()])]);
        let second = datagram(1, &[flow(2, 0, 4, &[header()])]);
        let third = datagram(2, &[flow(3, 0, 4, &[header()])]);
        let r = run(&[first.clone(), second, first, third]);
        let again = r
            .batch
            .core
            .flags
            .iter()
            .map(|f| f & RowFlags::DUPLICATE != 0);
        assert_eq!(again.collect::<Vec<_>>(), [false, false, true, false]);
        assert_eq!(r.book.count(Outcome::SequenceRestarts), 0);
        assert_eq!(r.book.count(Outcome::SequenceDuplicates), 1);
    }

    #[test]
    fn ip_records_stand_in_for_a_header() {
        let ip = item(
            3,
            &words(&[84, 17, 0x0101_0101, 0x0202_0202, 5, 6, 0, 0x10]),
        );
        let r = run(&[datagram(1, &[flow(1, 0, 4, &[ip])])]);
        let c = &r.batch.core;
        assert_eq!((c.bytes[0], c.src_port[0], c.tos[0]), (84, 5, 0x10));
        assert_eq!(c.src_addr[0], Addr::from_v4([1; 4]));
        assert!(!r.batch.row(0).has(Field::TcpFlags));
    }

    #[test]
    fn counters_are_learned() {
        let mut body = words(&[9, 6, 0, 1000, 1, 3, 0, 5]);
        body.extend(words(&[0; 6]));
        body.extend(words(&[1, 0]));
        body.extend(words(&[0, 0, 0, 0, 0, 2]));
        let sample = [words(&[1, 9, 1]), item(1, &body)].concat();
        let r = run(&[datagram(1, &[item(2, &sample)])]);
        let [Learned::Counters(c)] = &r.learned[..] else {
            panic!("{:?}", r.learned)
        };
        assert_eq!((c.if_index, c.if_speed, c.in_octets), (9, 1000, 5));
        assert_eq!((c.out_octets, c.promiscuous), (1 << 32, 2));
        assert_eq!(c.exporter, Addr::from_v4([10, 0, 0, 1]));
        assert_eq!(r.book.count(Outcome::RecordsCounters), 1);
    }

    #[test]
    fn unknown_and_broken_samples_cost_themselves() {
        let unknown = item(5, &[0; 8]);
        let broken = item(1, &words(&[1, 2]));
        let vendor = item(4413 << 12 | 1, &[0; 3]);
        let mut payload = datagram(1, &[unknown, broken, vendor, flow(1, 0, 4, &[header()])]);
        payload.extend([0; 5]);
        let r = run(&[payload]);
        assert_eq!(r.batch.core.record, [4]);
        assert_eq!(r.book.count(Outcome::SetsRejectedFormat), 2);
        assert_eq!(r.book.count(Outcome::SetsRejectedRecord), 1);
        assert_eq!(r.book.count(Outcome::BytesTrailing), 5);
        // what is sent on purpose is no fault
        assert_eq!(r.fault.map(|f| f.reason), Some(Reason::Record));
    }

    #[test]
    fn a_count_that_cannot_be_costs_no_sample() {
        for count in [2u32, 3, 20, 1000, u32::MAX] {
            let mut many = datagram(1, &[flow(1, 0, 4, &[header()])]);
            many[24..28].copy_from_slice(&count.to_be_bytes());
            let r = run(&[many]);
            assert_eq!(r.batch.len(), 1, "{count}");
            assert_eq!(r.book.count(Outcome::CountsWrong), 1);
            assert_eq!(r.book.count(Outcome::SetsRejectedLength), 0);
            assert_eq!(
                r.fault.map(|f| (f.offset, f.reason)),
                Some((24, Reason::Count))
            );
        }
    }

    #[test]
    fn headers_that_cannot_be_are_rejected_and_cut_samples_counted() {
        let mut kind = datagram(1, &[]);
        kind[7] = 9;
        for payload in [kind, vec![0, 0, 0, 5, 0, 0]] {
            assert!(run(&[payload]).fault.is_some());
        }
        let whole = datagram(1, &[flow(1, 0, 4, &[header()]), flow(2, 0, 4, &[header()])]);
        assert!(walks_to_end(&whole));
        for n in 0..whole.len() {
            assert!(!walks_to_end(&whole[..n]), "at {n}");
            let r = run(&[whole[..n].to_vec()]);
            assert!(r.fault.is_some() && r.batch.len() < 2, "at {n}");
        }
    }

    #[test]
    fn a_sample_without_a_packet_is_not_called_non_ip() {
        let switch = item(1001, &words(&[9, 0, 11, 0]));
        let r = run(&[datagram(1, &[flow(1, 0, 4, &[switch])])]);
        assert_eq!(r.batch.len(), 1);
        assert_eq!(r.batch.core.flags[0] & RowFlags::NOT_IP, 0);
    }

    #[test]
    fn late_samples_are_not_lost() {
        let one = |n| datagram(n, &[flow(n, 0, 4, &[header()])]);
        let r = run(&[1, 2, 5, 4, 4, 6].map(one));
        for (outcome, count) in [
            (Outcome::SequenceGaps, 1),
            (Outcome::SequenceReordered, 1),
            (Outcome::SequenceDuplicates, 1),
            (Outcome::SampleGaps, 1),
        ] {
            assert_eq!(r.book.count(outcome), count, "{outcome:?}");
        }
    }

    #[test]
    fn lost_samples_and_drops_are_counted() {
        let r = run(&[
            datagram(1, &[flow(1, 10, 4, &[])]),
            datagram(4, &[flow(5, 13, 4, &[]), flow(6, 13, 4, &[])]),
        ]);
        assert_eq!(r.book.count(Outcome::SequenceGaps), 2);
        assert_eq!(r.book.count(Outcome::SampleGaps), 3);
        assert_eq!(r.book.count(Outcome::SamplesDroppedByExporter), 3);
    }

    /// What receive routes by is what this room reads.
    fn assert_same_exporter(payload: &[u8]) {
        let source = Addr::from_v4([192, 0, 2, 9]);
        let d = Datagram {
            source,
            port: 6343,
            received_at_ns: 5,
            number: 1,
            frame: 0,
            cut: false,
            payload,
        };
        let agent = Header::read(payload).map_or(source, |(header, _)| header.agent);
        let known = Some(agent).filter(|a| !a.is_unspecified());
        assert_eq!(d.exporter(), known.unwrap_or(source));
    }

    proptest! {
        #[test]
        fn any_bytes_keep_the_laws(mut bytes: Vec<u8>, at in 0usize..200, value: u8) {
            let mut payload = datagram(1, &[flow(1, 0, 4, &[header()]), item(2, &words(&[1, 9, 0]))]);
            let at = at.min(payload.len() - 1);
            payload[at] = value;
            let mut random = words(&[5, 1, 1, 1, 1, 1, 1]);
            random.append(&mut bytes);
            walks_to_end(&random);
            assert_same_exporter(&random);
            assert_same_exporter(&payload);
            run(&[payload, random]);
        }
    }
}
