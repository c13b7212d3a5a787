//! What rules cost, told by `rules test --costs` and `rules top`; what was compiled of them, kept in a file.

use crate::harness::exe;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn signatures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures")
}

/// Matches the capture of evasions with its rules.
fn test(folder: &Path, options: &[&str]) -> Output {
    let output = Command::new(exe())
        .args(["rules", "test", "--rules"])
        .arg(signatures().join("evasion.rules"))
        .args(["--out", "."])
        .args(options)
        .arg(signatures().join("evasion.pcap"))
        .current_dir(folder)
        .output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{}", told(&output));
    output
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("JSON")
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).expect(name)
}

#[test]
fn what_rules_cost_and_gave_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    test(folder.path(), &["--costs", "costs.ndjson"]);
    let mut raised: BTreeMap<u64, u64> = BTreeMap::new();
    for alert in lines(&read(folder.path(), "alerts.ndjson")) {
        let sid = alert["alert"]["signature_id"].as_u64().expect("a sid");
        *raised.entry(sid).or_default() += 1;
    }
    assert!(!raised.is_empty());
    let costs = lines(&read(folder.path(), "costs.ndjson"));
    for (sid, count) in &raised {
        let cost = costs.iter().find(|c| c["sid"] == *sid).expect("its cost");
        let number = |name: &str| cost[name].as_u64().expect("a number");
        assert_eq!(number("hits"), *count, "{cost}");
        assert!(number("confirmations") >= *count, "{cost}");
        assert!(number("candidates") >= number("confirmations"), "{cost}");
        assert!(number("work") > 0 && number("given_up") == 0, "{cost}");
    }
    // what is counted is the same with more shards; times are not
    test(folder.path(), &["--costs", "four.ndjson", "--shards", "4"]);
    let plain = |mut costs: Vec<Value>| {
        costs.iter_mut().for_each(|c| c["ns"] = Value::Null);
        costs
    };
    let four = lines(&read(folder.path(), "four.ndjson"));
    assert_eq!(plain(four), plain(costs));
    let top = Command::new(exe())
        .args(["rules", "top", "--json", "--by", "hits", "--count", "1"])
        .arg(folder.path().join("costs.ndjson"))
        .output()
        .expect("it runs");
    let top = lines(&String::from_utf8_lossy(&top.stdout));
    let most = raised.values().max().copied();
    assert_eq!((top.len(), top[0]["hits"].as_u64()), (1, most));
}

#[test]
fn what_was_compiled_is_taken_from_its_file_and_a_bad_file_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = &["--rule-cache", "rules.cache"];
    test(folder.path(), &[]);
    let alerts = read(folder.path(), "alerts.ndjson");
    let path = folder.path().join("rules.cache");
    for _ in 0..2 {
        let output = test(folder.path(), cache);
        assert!(!told(&output).contains("rules.cache"), "{}", told(&output));
        assert_eq!(read(folder.path(), "alerts.ndjson"), alerts);
    }
    let Ok(mut bent) = std::fs::read(&path) else {
        eprintln!("NOT TESTED: the library that compiles is not here");
        return;
    };
    let at = bent.len() / 2;
    bent[at] ^= 1;
    std::fs::write(&path, &bent).expect("written");
    let output = test(folder.path(), cache);
    assert!(told(&output).contains("not used"), "{}", told(&output));
    assert_eq!(read(folder.path(), "alerts.ndjson"), alerts);
    assert_ne!(std::fs::read(&path).expect("a file"), bent);
}

#[test]
fn hits_are_shown_with_the_bytes_that_matched() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("local.rules");
    let text = "alert http any any -> any any (msg:\"a page\"; http.method; content:\"GET\"; classtype:trojan-activity; sid:7;)\n";
    std::fs::write(&rules, text).expect("it is written");
    let shown = |hits: &str| {
        let output = Command::new(exe())
            .args(["rules", "test", "--hits", hits, "--rules"])
            .args([&rules, &signatures().join("evasion.pcap")])
            .output()
            .expect("it runs");
        assert!(output.status.success(), "{}", told(&output));
        (
            String::from_utf8_lossy(&output.stdout).into_owned(),
            told(&output),
        )
    };
    let (text, notes) = shown("2");
    assert!(notes.contains("classification.config"), "{notes}");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2 * 3 + 1, "{text}");
    for hit in lines[..6].chunks(3) {
        assert_eq!(hit[0], "1:7  a page");
        assert!(hit[1].starts_with("    frame ") && hit[1].contains(":80"));
        assert_eq!(hit[2], "    http.method at 0, 3 bytes: \"GET\"");
    }
    let (alone, _) = shown("0");
    assert_eq!(alone.lines().collect::<Vec<_>>(), [lines[6]]);
    assert!(alone.ends_with("1:7  a page\n"), "{alone}");
}

#[test]
fn classes_in_the_folder_above_are_those_of_the_rules() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("rules");
    std::fs::create_dir(&rules).expect("a folder");
    let classes = "config classification: trojan-activity,A program at work,1\n";
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
    write("classification.config", classes).expect("it is written");
    let text = "alert http any any -> any any (msg:\"a\"; http.method; content:\"GET\"; classtype:trojan-activity; sid:7;)\n";
    write("rules/a.rules", text).expect("it is written");
    let alerts = crate::signature::alerts(
        &rules.join("a.rules"),
        &signatures().join("evasion.pcap"),
        &[],
    );
    assert!(!alerts.is_empty());
    for alert in alerts {
        assert_eq!(alert["alert"]["severity"], 1);
        assert_eq!(alert["alert"]["category"], "A program at work");
    }
}

#[test]
fn headers_of_fragments_are_looked_at_when_all_of_it_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let rules = folder.path().join("a.rules");
    let text = "alert udp any any -> any any (msg:\"a\"; udp.hdr; content:\"|00|\"; sid:1;)\n\
        alert tcp any any -> any any (msg:\"b\"; tcp.hdr; content:\"|00|\"; sid:2;)\n\
        alert tcp any any -> any any (msg:\"c\"; flags:S; sid:3;)\n\
        alert tcp any any -> any any (msg:\"d\"; window:65535; sid:5;)\n";
    std::fs::write(&rules, text).expect("it is written");
    let alerts =
        crate::signature::alerts(&rules, &signatures().join("evasion.pcap"), &["-k", "none"]);
    let count = |sid: u64| {
        let of = alerts.iter().filter(|a| a["alert"]["signature_id"] == sid);
        of.count()
    };
    // as many as Suricata 7.0.10 raises
    assert_eq!([1, 2, 3, 5].map(count), [13, 755, 47, 755]);
}
