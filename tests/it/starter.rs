//! The rules that come with it: all load, and each has a case in `tests/signatures`.

use flowhouse::detect::signature::{Classifications, Context, RuleSet, Source};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What makes a rule fire, and what just does not; `make.py` reads the rest.
#[derive(Deserialize)]
struct Case {
    sid: u32,
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
