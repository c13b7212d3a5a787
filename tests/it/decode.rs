//! The corpus' flow captures through the decoder: normalised columns against what independent tools found.

use crate::harness::own_captures;
use flowhouse::decode::{Decoder, End, Settings};
use flowhouse::ledger::{Book, Outcome};
use flowhouse::model::{Datagram, Field, FieldValue, FlowBatch, FlowRow, Half, Learned, RowFlags};
use flowhouse::receive::{Captures, Selection};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::path::{Path, PathBuf};

struct Decoded {
    rows: FlowBatch,
    learned: Vec<Learned>,
    book: Book,
    decoder: Decoder,
}

fn decode(path: &Path, settings: Settings) -> Decoded {
    let mut d = Decoded {
        rows: FlowBatch::new(),
        learned: Vec::new(),
        book: Book::new(1000),
        decoder: Decoder::new(settings),
    };
    let captures =
        Captures::open(&[path], flowhouse::decode::looks_like_export).expect("a capture");
    captures.read(&Selection::Export, |datagram: &Datagram<'_>| {
        d.decoder
            .decode(datagram, &mut d.rows, &mut d.learned, &mut d.book);
    });
    d.decoder.finish(&mut d.book);
    d
}

fn cases() -> Vec<(PathBuf, Value, Vec<Value>)> {
    let Some(dir) = crate::harness::corpus().map(|c| c.join("flow")) else {
        return Vec::new();
    };
    let mut list: Vec<PathBuf> = std::fs::read_dir(&dir)
        .expect("readable")
        .map(|e| e.expect("entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "pcap"))
        .collect();
    list.sort();
    list.into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(path.with_extension("expect.jsonl")).expect("there");
            let mut lines = text.lines().map(|l| serde_json::from_str(l).expect("JSON"));
            let head = lines.next().expect("a header");
            (path, head, lines.collect())
        })
        .collect()
}

/// A column's value as the expectation writes it.
fn shown(row: &FlowRow<'_>, field: Field) -> Option<Value> {
    Some(match row.value(field)? {
        FieldValue::Number(n) => n.into(),
        FieldValue::Time(t) => t.into(),
        FieldValue::Addr(a) => a.to_string().into(),
        FieldValue::Mac(m) => {
            let b = m.to_be_bytes();
            let hex: Vec<String> = b[2..].iter().map(|b| format!("{b:02x}")).collect();
            hex.join(":").into()
        }
        FieldValue::AppId(n) => n.into(),
        FieldValue::Text(t) => String::from_utf8_lossy(t).into_owned().into(),
        FieldValue::Path(p) => p.to_vec().into(),
        FieldValue::Mpls(stack) => stack
            .iter()
            .map(|(pos, label, exp, bos)| {
                serde_json::json!({"pos": pos, "label": label, "exp": exp, "bos": u8::from(bos)})
            })
            .collect::<Vec<_>>()
            .into(),
    })
}

fn wanted(name: &str, record: &Value) -> Option<Value> {
    let value = record.get(name)?;
    Some(match (name, value) {
        ("app_id", Value::String(hex)) => {
            let bytes: Vec<u8> = (0..hex.len() / 2)
                .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex"))
                .collect();
            let selector = bytes[1..].iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
            (u64::from(bytes[0]) << 56 | selector & (u64::MAX >> 8)).into()
        }
        // columns hold IPv4 addresses mapped, so an IPv6 field with a mapped address reads the same
        (_, Value::String(text)) => match text.parse() {
            Ok(std::net::IpAddr::V6(v6)) => v6.to_canonical().to_string().into(),
            _ => value.clone(),
        },
        _ => value.clone(),
    })
}

fn faults_of(case: &str, row: &FlowRow<'_>, record: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for field in Field::ALL {
        let Some(want) = wanted(field.name(), record) else {
            continue;
        };
        let got = shown(row, *field);
        if got.as_ref() != Some(&want) {
            let at = &record["datagram"];
            faults.push(format!("{case} {at}: {} {got:?}, not {want}", field.name()));
        }
    }
    faults
}

#[test]
fn the_columns_of_every_capture_are_as_expected() {
    let mut faults = Vec::new();
    for (path, head, records) in cases() {
        let case = head["case"].as_str().expect("a name");
        let d = decode(&path, Settings::default());
        let mut rows: Vec<FlowRow<'_>> = d
            .rows
            .rows()
            .filter(|r| r.half() != Half::Reverse)
            .filter(|r| d.rows.core.flags[r.index()] & RowFlags::DECODED_LATE == 0)
            .collect();
        rows.sort_by_key(|r| (r.provenance().datagram, d.rows.core.record[r.index()]));
        let want: Vec<&Value> = records.iter().filter(|r| r["kind"] == "flow").collect();
        if rows.len() != want.len() {
            faults.push(format!("{case}: {} rows, not {}", rows.len(), want.len()));
            continue;
        }
        for (row, record) in rows.iter().zip(want) {
            if record["datagram"] != row.provenance().datagram {
                faults.push(format!(
                    "{case}: a row of datagram {}",
                    row.provenance().datagram
                ));
            }
            faults.extend(faults_of(case, row, record));
        }
        if head["policy"] == "no_crash" {
            continue;
        }
        let options = records.iter().filter(|r| r["kind"] == "options").count();
        let counted = d.book.count(Outcome::RecordsOptions);
        if counted != options as u64 {
            faults.push(format!("{case}: {counted} options records, not {options}"));
        }
    }
    let shown: Vec<&String> = faults.iter().take(20).collect();
    assert!(faults.is_empty(), "{} faults: {shown:#?}", faults.len());
}

#[test]
fn an_interval_of_an_interface_holds_there_only() {
    let words: &[u16] = &[
        // message of domain 7, template 256: ingressInterface, egressInterface
        10, 76, 0, 1000, 0, 0, 0, 7, 2, 16, 256, 2, 10, 2, 14, 2,
        // options template 400: ingressInterface (scope), samplingInterval
        3, 18, 400, 2, 1, 10, 2, 34, 2, // interface 3: 1 in 64, interface 4: 1 in 128
        400, 12, 3, 64, 4, 128, // four records
        256, 20, 3, 9, 9, 4, 4, 3, 1,
    ];
    let mut payload: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    payload.extend([0, 2]);
    let length = payload.len() as u16;
    payload[2..4].copy_from_slice(&length.to_be_bytes());
    let (mut rows, mut book) = (FlowBatch::new(), Book::new(9));
    let datagram = Datagram {
        source: flowhouse::model::Addr::from_v4([192, 0, 2, 1]),
        port: 1,
        received_at_ns: 1_000_000_000_000,
        number: 1,
        frame: 1,
        cut: false,
        payload: &payload,
    };
    let mut decoder = Decoder::new(Settings::default());
    decoder.decode(&datagram, &mut rows, &mut Vec::new(), &mut book);
    assert_eq!(rows.core.sampling_interval, [64, 128, 128, 1]);
    assert_eq!(book.count(Outcome::SamplingUnknown), 1);
}

/// Our own captures, and those of the corpus.
fn captures() -> Vec<PathBuf> {
    let cases = cases().into_iter().map(|(path, _, _)| path);
    own_captures().into_iter().chain(cases).collect()
}

#[test]
fn the_laws_hold_for_every_capture() {
    for path in captures() {
        assert_laws(&decode(&path, Settings::default()), &path);
    }
}

/// Payloads of all captures with bytes flipped, cut and out of order, in one sequence with state.
#[test]
fn the_laws_hold_for_damaged_datagrams() {
    let mut payloads: Vec<Vec<u8>> = Vec::new();
    for path in captures() {
        let captures =
            Captures::open(&[&path], flowhouse::decode::looks_like_export).expect("a capture");
        captures.read(&Selection::Export, |d: &Datagram<'_>| {
            if !d.payload.is_empty() {
                payloads.push(d.payload.to_vec());
            }
        });
    }
    let mut rng = SmallRng::seed_from_u64(2026);
    let mut d = Decoded {
        rows: FlowBatch::new(),
        learned: Vec::new(),
        book: Book::new(1000),
        decoder: Decoder::new(Settings {
            correct_clock: true,
            templates_max: 64,
            waiting_bytes_max: 20_000,
            exporters_max: 4,
            ..Default::default()
        }),
    };
    assert!(payloads.len() > 10);
    for number in 0..20_000 {
        let mut payload = payloads[rng.random_range(0..payloads.len())].clone();
        for _ in 0..rng.random_range(0..8) {
            let at = rng.random_range(0..payload.len());
            payload[at] = rng.random();
        }
        payload
            .truncate(payload.len() - rng.random_range(0..payload.len()) * rng.random_range(0..2));
        let datagram = Datagram {
            source: flowhouse::model::Addr::from_v4([192, 0, 2, rng.random_range(0..6)]),
            port: rng.random_range(1..4),
            received_at_ns: number * 1_000_000_000,
            number: number as u64,
            frame: 0,
            cut: false,
            payload: &payload,
        };
        d.decoder
            .decode(&datagram, &mut d.rows, &mut d.learned, &mut d.book);
        if number % 1000 == 0 {
            d.decoder.tick(number * 1_000_000_000, &mut d.book);
            assert_laws(&d, Path::new("damaged"));
            let saved = d.decoder.save().text;
            d.decoder.finish(&mut d.book);
            d.decoder
                .restore(&saved, End::Stopped, |_| true)
                .expect("what was saved");
        }
        if d.rows.is_full() {
            d.book
                .other()
                .add(Outcome::RowsAcknowledged, d.rows.len() as u64);
            d.rows.clear();
        }
    }
}

fn assert_laws(d: &Decoded, path: &Path) {
    let mut total = d.book.total();
    let parsed = [
        Outcome::DatagramsParsed,
        Outcome::DatagramsRejectedVersion,
        Outcome::DatagramsRejectedShort,
        Outcome::DatagramsRejectedHeader,
    ];
    let routed = parsed.iter().map(|o| total.count(*o)).sum();
    total.add(Outcome::DatagramsReceived, routed);
    total.add(Outcome::DatagramsRouted, routed);
    total.add(Outcome::RowsAcknowledged, d.rows.len() as u64);
    let gauges = flowhouse::ledger::Gauges {
        sets_awaiting: d.decoder.awaiting(),
        ..Default::default()
    };
    for law in flowhouse::ledger::laws(&total, &gauges) {
        assert!(law.holds(), "{}: {law:?}", path.display());
    }
}
