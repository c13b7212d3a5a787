//! Signature rules from the command line: the contract of `rules check`, and real rule sets.

use crate::harness::{corpus, exe};
use proptest::prelude::*;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

use flowhouse::detect::signature::{
    Context, Entry, Matcher, OptionText, Place, Rule, RuleSet, RuleText, Settings, Source, read,
};

fn rules(arguments: &[&str], files: &[&Path]) -> Output {
    let mut command = Command::new(exe());
    command.arg("rules").args(arguments).args(files);
    command.output().expect("it runs")
}

fn checked(arguments: &[&str], files: &[&Path]) -> Value {
    let arguments = [&["check", "--json"], arguments].concat();
    let output = rules(&arguments, files);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).expect("one JSON object")
}

/// The alerts of a capture, in order.
pub fn alerts(file: &Path, capture: &Path, arguments: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(exe());
    command.args(["rules", "test", "--rules"]).arg(file);
    command.args(arguments).arg("--out").arg(folder.path());
    let output = command.arg(capture).output().expect("it runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let text = std::fs::read_to_string(folder.path().join("alerts.ndjson")).expect("alerts");
    let line = |l| serde_json::from_str(l).expect("a JSON object");
    text.lines().map(line).collect()
}

#[test]
fn check_names_the_header_where_words_are_missing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.rules");
    let text = "alert http (msg:\"a\"; sid:1;)\nalert tcp any any -> any (msg:\"b\"; sid:2;)\n";
    std::fs::write(&file, text).expect("it is written");
    let report = checked(&[], &[&file]);
    let refused = report["refused"].as_array().expect("a list");
    assert_eq!(refused.len(), 2);
    assert!(refused.iter().all(|r| r["keyword"] == "header"));
    let reason = refused[0]["reason"].as_str().expect("a text");
    assert!(reason.contains("Snort 3"), "{reason}");
    // a fuzzer's: bytes that are no text in an address
    std::fs::write(
        &file,
        b"alert ip 196.2\xd5\xce1 any -> any any (msg:\"a\"; sid:1;)\n",
    )
    .expect("it is written");
    let refused = &checked(&[], &[&file])["refused"][0];
    assert_eq!(
        (&refused["keyword"], &refused["column"]),
        (&"header".into(), &15.into())
    );
    assert!(
        refused["reason"]
            .as_str()
            .is_some_and(|r| r.contains("0xd5"))
    );
}

#[test]
fn check_names_what_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.rules");
    let text = "alert http any any -> $MINE any (msg:\"a\"; http.uri; content:\"/a\"; sid:1;)\n\
        alert tcp any any -> any any (msg:\"b\"; content:\"b\"; bufferlen:3; sid:2;)\n";
    std::fs::write(&file, text).expect("it is written");
    let report = checked(&["--set", "MINE=10.0.0.0/8"], &[&file]);
    assert_eq!(
        (&report["rules"], &report["loaded"]),
        (&2.into(), &1.into())
    );
    let refused = &report["refused"][0];
    assert_eq!(refused["file"], file.display().to_string());
    assert_eq!((&refused["line"], &refused["sid"]), (&2.into(), &2.into()));
    assert_eq!(refused["keyword"], "bufferlen");
    assert!(
        refused["reason"]
            .as_str()
            .is_some_and(|r| r.contains("bsize"))
    );

    let report = checked(&[], &[&file]);
    assert_eq!(report["loaded"], 0, "$MINE has no addresses");
    assert_eq!(
        rules(&["check", "--strict"], &[&file]).status.code(),
        Some(1)
    );
    assert_eq!(
        rules(&["check"], &[&folder.path().join("none")])
            .status
            .code(),
        Some(1)
    );
    assert_eq!(rules(&["check"], &[]).status.code(), Some(2));
    let bad = rules(&["check", "--set", "HOME_NET=nonsense"], &[&file]);
    assert_eq!(bad.status.code(), Some(2));
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures/lines.pcap");
    let tried = |set: &str| {
        let arguments = ["test", "--set", set, "--rules"];
        rules(&arguments, &[&file, &capture]).status.code()
    };
    assert_eq!(tried("HOME_NET=any"), Some(0));
    for usage in ["HOME_NET=nonsense", "HOME_NET", "stream.midstream=maybe"] {
        assert_eq!(tried(usage), Some(2), "{usage}");
    }
    assert_eq!(rules(&["test"], &[&capture]).status.code(), Some(2));
    let other = rules(&["check", "--set", "stream.midstream=true"], &[&file]);
    assert!(
        other.status.success()
            && String::from_utf8_lossy(&other.stderr).contains("stream.midstream")
    );
}

#[test]
fn explain_shows_what_was_compiled() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.rules");
    let text = "alert dns any any -> any any (msg:\"a\"; dns.query; dotprefix; content:\".a.b\"; nocase; endswith; sid:7;)\n";
    std::fs::write(&file, text).expect("it is written");
    let output = rules(&["explain", "--sid", "7"], &[&file]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("dns.query > Dotprefix") && text.contains("content \".a.b\""),
        "{text}"
    );
    assert_eq!(
        rules(&["explain", "--sid", "8"], &[&file]).status.code(),
        Some(1)
    );
}

#[test]
fn the_rule_set_of_the_corpus_loads() {
    let Some(corpus) = corpus() else { return };
    let report = checked(&[], &[&corpus.join("rules")]);
    let number = |name: &str| report[name].as_u64().expect("a number");
    let (rules, loaded) = (number("rules"), number("loaded"));
    assert!(
        rules > 9_000 && loaded * 100 >= rules * 99,
        "{}",
        report["refused"]
    );
    let refused = report["refused"].as_array().expect("a list");
    assert_eq!(rules - loaded, refused.len() as u64);
    assert!(
        refused
            .iter()
            .all(|r| r["line"].as_u64() > Some(0) && r["reason"] != "")
    );

    // each is a set of its own, with the same numbers as others
    let context = Context::default();
    for entry in std::fs::read_dir(corpus.join("ids/rules")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a file");
        let source = Source {
            file: "f",
            bytes: &bytes,
        };
        assert_eq!(
            RuleSet::load(&[source], &context).refused,
            [],
            "{}",
            path.display()
        );
    }
}

#[test]
fn the_rules_of_the_corpus_print_as_they_read() {
    let Some(corpus) = corpus() else { return };
    let context = Context::default();
    for entry in std::fs::read_dir(corpus.join("rules")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|e| e != "rules") {
            continue;
        }
        let bytes = std::fs::read(&path).expect("a file");
        for entry in read(&bytes, &context.settings) {
            let Entry::Rule(rule) = entry else { continue };
            same(&rule, &reread(&rule, &context));
        }
    }
}

fn reread(rule: &RuleText, context: &Context) -> RuleText {
    let text = rule.to_string();
    match read(text.as_bytes(), &context.settings).remove(0) {
        Entry::Rule(again) => again,
        other => panic!("{text}: {other:?}"),
    }
}

fn same(a: &RuleText, b: &RuleText) {
    let options = |r: &RuleText| -> Vec<_> {
        let pairs = r.options.iter().map(|o| (o.name.clone(), o.value.clone()));
        pairs.collect()
    };
    assert_eq!((&a.header, options(a)), (&b.header, options(b)));
}

fn options() -> impl Strategy<Value = Vec<OptionText>> {
    // bytes of a value: anything but a line's end, `;` and `\` escaped, no blanks at the ends
    let value = "[ -~&&[^;\\\\]]{0,20}|a\\\\;b|\\|3b\\|".prop_map(|v| v.trim().to_owned());
    let option = ("[a-z][a-z0-9._-]{0,12}", proptest::option::of(value));
    let made = option.prop_map(|(name, value)| OptionText {
        place: Place::default(),
        name,
        value: value.map(String::into_bytes),
    });
    proptest::collection::vec(made, 0..12)
}

proptest! {
    #[test]
    fn a_rule_prints_as_it_reads(options in options(), ports in "any|80|\\[80,!90:91\\]") {
        let words = ["alert", "tcp", "any", &ports, "->", "[1.2.3.4,![5.6.7.8]]", "any"];
        let header = words.map(str::to_owned);
        let rule = RuleText { place: Place::default(), header, options, raw: String::new() };
        same(&rule, &reread(&rule, &Context::default()));
    }

    #[test]
    fn rule_text_of_any_kind_is_read_without_harm(text in "(alert|drop)? ?(tcp|ip)?[ -~\n]{0,200}") {
        let source = Source { file: "f", bytes: text.as_bytes() };
        let report = RuleSet::load(&[source], &Context::default()).report();
        prop_assert_eq!(report.rules, report.loaded + report.refused.len());
    }

    #[test]
    fn options_of_any_kind_are_proven_without_harm(
        name in proptest::sample::select(flowhouse::detect::signature::keyword_names()),
        value in "[ -~&&[^;\\\\]]{0,24}",
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let text = format!("alert ip any any -> any any (content:\"a\"; {name}:{value}; sid:1;)");
        let source = Source { file: "f", bytes: text.as_bytes() };
        let set = RuleSet::load(&[source], &Context::default());
        for rule in &set.rules {
            drop(rule.explain());
            run(rule, &bytes);
        }
    }

    #[test]
    fn numbers_of_any_kind_are_matched_without_harm(
        offset in -70_000i64..70_000, distance in -70_000i64..70_000, size in 1u8..9, text in "(, string, (dec|hex|oct))?",
        bytes in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let text = format!(
            "alert ip any any -> any any (byte_extract:{size},{offset},n,relative{text}; content:\"a\"; distance:{distance}; \
            byte_jump:{size},{offset},relative,multiplier 65535,post_offset {offset}; isdataat:n,relative; \
            byte_math:bytes {size}, offset {offset}, oper <<, rvalue n, result m; content:!\"b\"; offset:m; depth:n; sid:1;)"
        );
        let source = Source { file: "f", bytes: text.as_bytes() };
        let set = RuleSet::load(&[source], &Context::default());
        set.rules.iter().for_each(|rule| run(rule, &bytes));
    }
}

fn run(rule: &Rule, bytes: &[u8]) {
    let mut matcher = Matcher::new(&Settings::default());
    matcher.reset(rule);
    for group in &rule.groups {
        matcher.run(group, bytes);
        assert!(
            matcher
                .spans
                .iter()
                .all(|s| s.0 <= s.1 && s.1 <= bytes.len())
        );
    }
}

#[test]
fn list_chooses_rules_by_what_they_say_of_themselves() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("a.rules");
    let rule = |sid: u32, about: &str| {
        format!(
            "alert tcp any any -> any any (msg:\"Rule {sid}\"; content:\"abcd\"; {about} sid:{sid};)\n"
        )
    };
    let text = [
        rule(
            1,
            "metadata:mitre_technique_id T1071, signature_severity Major;",
        ),
        rule(
            2,
            "classtype:misc-attack; metadata:signature_severity Minor;",
        ),
        rule(3, "bufferlen:3;"),
    ];
    std::fs::write(&file, text.concat()).expect("it is written");
    let listed = |arguments: &[&str]| -> Vec<u64> {
        let arguments = [&["list", "--json"], arguments].concat();
        let output = rules(&arguments, &[&file]);
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
        let all: Vec<Value> = serde_json::from_slice(&output.stdout).expect("an array");
        let sids = all.iter().map(|r| r["sid"].as_u64().expect("a sid"));
        sids.collect()
    };
    // what is refused is not listed
    assert_eq!(listed(&[]), [1, 2]);
    assert_eq!(listed(&["--metadata", "mitre_technique_id=T1071"]), [1]);
    assert_eq!(listed(&["--metadata", "signature_severity"]), [1, 2]);
    assert!(listed(&["--metadata", "signature_severity=None"]).is_empty());
    assert_eq!(listed(&["--classtype", "misc-attack"]), [2]);
    assert_eq!(listed(&["--sid", "1", "--sid", "3"]), [1]);
    assert_eq!(listed(&["--message", "rule 2"]), [2]);
    let output = rules(&["list"], &[&file]);
    let table = String::from_utf8_lossy(&output.stdout);
    assert!(
        table.contains("Rule 1") && table.contains("a.rules:1"),
        "{table}"
    );
}
