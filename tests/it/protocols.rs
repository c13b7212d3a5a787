//! Rarer protocols, lists and events (`tests/signatures/protocols.py`): as many alerts of each rule as Suricata 7.0.10 raised.

use crate::signature::alerts;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Rules that alert otherwise, how often, and why. The list may only become shorter.
const OTHERWISE: &[(u64, u64, &str)] = &[
    (
        206,
        1,
        "Suricata never finds the values of coils that are written together",
    ),
    (
        407,
        1,
        "Suricata makes one kind of digest of a file where rules ask for several",
    ),
    (408, 1, "likewise"),
];

/// The same of `pieces.py`.
const PIECES_OTHERWISE: &[(u64, u64, &str)] = &[
    (3, 1, "Suricata looks twice at what lies behind a hole"),
    (6, 1, "likewise"),
];

#[test]
fn rarer_conditions_hold_as_often_as_with_suricata() {
    as_often_as_with_suricata("protocols", OTHERWISE);
}

/// Streams with holes, packets without payload, what passes, and protocols that are told (`tests/signatures/pieces.py`).
#[test]
fn pieces_and_places_are_looked_at_as_often_as_with_suricata() {
    as_often_as_with_suricata("pieces", PIECES_OTHERWISE);
}

/// What conversations are taken for, frames of HTTP/2, values of ASN.1, packets that carry others (`tests/signatures/taken.py`).
#[test]
fn conversations_are_taken_for_what_suricata_takes_them_for() {
    as_often_as_with_suricata("taken", &[]);
}

fn as_often_as_with_suricata(name: &str, otherwise: &[(u64, u64, &str)]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect("counts");
    let mut wanted: BTreeMap<u64, u64> = BTreeMap::new();
    let recorded: BTreeMap<String, u64> = serde_json::from_str(&text).expect("counts");
    wanted.extend(
        recorded
            .iter()
            .map(|(sid, n)| (sid.parse::<u64>().expect("a sid"), *n)),
    );
    wanted.extend(otherwise.iter().map(|(sid, n, _)| (*sid, *n)));
    wanted.retain(|_, n| *n > 0);
    let rules = folder.join(format!("{name}.rules"));
    let capture = folder.join(format!("{name}.pcap"));
    let one = alerts(&rules, &capture, &["-k", "none"]);
    let four = alerts(&rules, &capture, &["-k", "none", "--shards", "4"]);
    assert_eq!(one, four, "the number of shards changes nothing");
    let mut got: BTreeMap<u64, u64> = BTreeMap::new();
    for alert in &one {
        let sid = alert["alert"]["signature_id"].as_u64().expect("a sid");
        *got.entry(sid).or_default() += 1;
    }
    let sids = wanted.keys().chain(got.keys());
    let count = |of: &BTreeMap<u64, u64>, sid: &u64| of.get(sid).copied().unwrap_or(0);
    let mut wrong: Vec<String> = sids
        .filter(|sid| count(&got, sid) != count(&wanted, sid))
        .map(|sid| format!("{sid}: {} for {}", count(&got, sid), count(&wanted, sid)))
        .collect();
    wrong.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What the checks of suricata-verify ask of a file of events: keys with dots and places, counted over all lines.
#[test]
fn lines_say_what_those_of_suricata_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures");
    let text = std::fs::read_to_string(folder.join("filters.json")).expect("filters");
    let filters: Vec<Value> = serde_json::from_str(&text).expect("filters");
    let rules = folder.join("protocols.rules");
    let lines = alerts(&rules, &folder.join("protocols.pcap"), &["-k", "none"]);
    let mut wrong = vec![];
    for filter in &filters {
        let wanted = filter["match"].as_object().expect("a match");
        let count = lines.iter().filter(|l| fits(l, wanted)).count() as u64;
        if filter["count"] != count {
            let sid = wanted.get("alert.signature_id").unwrap_or(&Value::Null);
            let is = |l: &&Value| l["alert"]["signature_id"] == *sid;
            let line = lines.iter().find(is);
            wrong.push(format!("{filter}: {count} of {line:?}"));
        }
        assert!(filter["count"] != 0, "{filter} asks for nothing");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn fits(line: &Value, wanted: &serde_json::Map<String, Value>) -> bool {
    wanted.iter().all(|(key, value)| {
        let text = value.as_str().unwrap_or_default();
        let said = |key: &str| value_of(line, key);
        let of = |key: &str| said(key).and_then(|v| v.as_str().map(str::to_owned));
        if key == "has-key" || key == "not-has-key" {
            return said(text).is_some() == (key == "has-key");
        }
        if let Some(key) = key.strip_suffix(".__startswith") {
            return of(key).is_some_and(|v| v.starts_with(text));
        }
        if let Some(key) = key.strip_suffix(".__contains") {
            return of(key).is_some_and(|v| v.contains(text));
        }
        said(key).as_ref() == Some(value)
    })
}

fn value_of(line: &Value, key: &str) -> Option<Value> {
    let key = key.replace(']', "").replace('[', ".");
    let mut now = line;
    for part in key.split('.') {
        if part == "__len" {
            return Some(now.as_array()?.len().into());
        }
        now = match now {
            Value::Array(list) => list.get(part.parse::<usize>().ok()?)?,
            Value::Object(map) => map.get(part)?,
            _ => return None,
        };
    }
    Some(now.clone())
}
