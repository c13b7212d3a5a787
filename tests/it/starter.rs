//! The rules that come with it: all load, and each fires on what `tests/signatures/make.py` builds for it and not on what just differs.

use crate::signature::alerts;
use flowhouse::detect::signature::{Classifications, Context, RuleSet, Source};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

/// What makes a rule fire, and what just does not.
#[derive(Deserialize)]
struct Case {
    sid: u32,
    miss: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Cases {
    case: Vec<Case>,
}

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).expect(name)
}

fn cases() -> Vec<Case> {
    let text = text("tests/signatures/starter.toml");
    toml::from_str::<Cases>(&text).expect("cases").case
}

fn load() -> RuleSet {
    let text_of_classes = text("deploy/rules/classification.config");
    let (classifications, faults) = Classifications::read(&text_of_classes);
    assert_eq!(faults, []);
    let context = Context {
        classifications,
        ..Context::default()
    };
    let bytes = text("deploy/rules/flowhouse.rules").into_bytes();
    let source = Source {
        file: "flowhouse.rules",
        bytes: &bytes,
    };
    RuleSet::load(&[source], &context)
}

#[test]
fn all_load_and_are_described() {
    let set = load();
    assert!(set.refused.is_empty(), "{:?}", set.refused);
    assert!(set.rules.len() >= 60);
    let document = text("docs/starter-rules.md");
    for rule in &set.rules {
        let (sid, about) = (rule.sid, &rule.about);
        assert!((1_000_001..1_001_000).contains(&sid));
        assert!(about.category.is_some(), "{sid} has no class");
        let keys: Vec<&str> = about.metadata.iter().map(|m| m.0.as_str()).collect();
        assert_eq!(keys, ["mitre_technique_id", "confidence"], "{sid}");
        let told = about.message.strip_prefix("FLOWHOUSE ").expect("prefix");
        let row = format!("| {sid} | {told} |");
        assert!(document.contains(&row), "{row} is not in the document");
    }
    let rules: Vec<u32> = set.rules.iter().map(|r| r.sid).collect();
    let cases: Vec<u32> = cases().iter().map(|c| c.sid).collect();
    assert_eq!(rules, cases, "each has a case");
}

/// The inside host is 10.1.H.L of what must fire, 10.2.H.L of what must not: H * 200 + L - 1 is the place of the case.
#[test]
fn each_fires_on_its_case_and_not_on_the_near_miss() {
    let found = alerts(
        &file("deploy/rules/flowhouse.rules"),
        &file("tests/signatures/starter.pcap"),
        &[],
    );
    let mut fired = BTreeSet::new();
    for alert in &found {
        let ends = [&alert["src_ip"], &alert["dest_ip"]];
        for end in ends
            .iter()
            .filter_map(|e| e.as_str()?.parse::<Ipv4Addr>().ok())
        {
            if let [10, net, high, low] = end.octets() {
                let place = usize::from(high) * 200 + usize::from(low) - 1;
                fired.insert((net, place, alert["alert"]["signature_id"].as_u64()));
            }
        }
    }
    let mut wrong = vec![];
    for (place, case) in cases().iter().enumerate() {
        let sid = Some(u64::from(case.sid));
        if !fired.contains(&(1, place, sid)) {
            wrong.push(format!("{} does not fire", case.sid));
        }
        if case.miss.is_some() && fired.contains(&(2, place, sid)) {
            wrong.push(format!("{} fires on the near miss", case.sid));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
