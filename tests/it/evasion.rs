//! Ways to hide from rules (`tests/signatures/evasion.py`), each with the rules that must still fire and no others.

use crate::signature::alerts;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Ways that are not as they should be yet, each with its reason. The list may only become shorter.
const FAILING: &[(&str, &str)] = &[];

#[derive(Deserialize)]
struct Way {
    host: String,
    way: String,
    alerts: BTreeSet<u64>,
}

#[test]
fn nothing_hides_that_should_not() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures");
    let text = std::fs::read_to_string(folder.join("evasion.json")).expect("ways");
    let ways: Vec<Way> = serde_json::from_str(&text).expect("ways");
    let rules = folder.join("evasion.rules");
    let one = alerts(&rules, &folder.join("evasion.pcap"), &[]);
    let four = alerts(&rules, &folder.join("evasion.pcap"), &["--shards", "4"]);
    assert_eq!(one, four, "the number of shards changes nothing");
    let mut fired: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for alert in &one {
        for end in [&alert["src_ip"], &alert["dest_ip"]] {
            let host = end.as_str().unwrap_or_default().to_owned();
            let sid = alert["alert"]["signature_id"].as_u64();
            fired.entry(host).or_default().extend(sid);
        }
    }
    let mut wrong = vec![];
    for way in &ways {
        let got = fired.remove(&way.host).unwrap_or_default();
        let fails = FAILING.iter().any(|f| f.0 == way.way);
        if (got != way.alerts) != fails {
            wrong.push(format!("{}: {got:?}, not {:?}", way.way, way.alerts));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
