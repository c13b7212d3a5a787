//! Rarer protocols, lists and events (`tests/signatures/protocols.py`): as many alerts of each rule as Suricata 7.0.10 raised.

use crate::signature::alerts;
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
    (902, 1, "Suricata does not follow FTP to TLS"),
];

#[test]
fn rarer_conditions_hold_as_often_as_with_suricata() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures");
    let text = std::fs::read_to_string(folder.join("protocols.json")).expect("counts");
    let mut wanted: BTreeMap<u64, u64> = BTreeMap::new();
    let recorded: BTreeMap<String, u64> = serde_json::from_str(&text).expect("counts");
    wanted.extend(
        recorded
            .iter()
            .map(|(sid, n)| (sid.parse::<u64>().expect("a sid"), *n)),
    );
    wanted.extend(OTHERWISE.iter().map(|(sid, n, _)| (*sid, *n)));
    wanted.retain(|_, n| *n > 0);
    let rules = folder.join("protocols.rules");
    let capture = folder.join("protocols.pcap");
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
