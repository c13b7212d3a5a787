//! `[signatures]`: a collector matches what it captures with rules, tells of it in files, in the store and in metrics, and goes on with other rules
//! when it is told to.

use crate::capture::network;
use crate::harness::{
    Collector, Sql, assert_laws, directory, embedded, eventually, exe, run, total,
};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn starter_pcap() -> Vec<u8> {
    std::fs::read(file("tests/signatures/starter.pcap")).expect("a capture")
}

/// What the starter rules raise on a capture, offline.
fn offline(dir: &Path, rules: &Path, capture: &Path) -> Vec<Value> {
    let out = dir.join("offline");
    let mut test = Command::new(exe());
    run(test
        .args(["rules", "test", "--rules"])
        .arg(rules)
        .arg("--out")
        .arg(&out)
        .arg(capture));
    lines(&out.join("alerts.ndjson"))
}

fn lines(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.lines().filter(|l| l.ends_with('}'));
    whole
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect()
}

fn by_sid(alerts: &[Value]) -> BTreeMap<u64, u64> {
    let mut counts = BTreeMap::new();
    for alert in alerts {
        let sid = alert["alert"]["signature_id"].as_u64().expect("a sid");
        *counts.entry(sid).or_default() += 1;
    }
    counts
}

/// Lines without what a file cannot know, in an order of their own.
fn comparable(mut alerts: Vec<Value>, generation: u64) -> Vec<Value> {
    for alert in &mut alerts {
        let told = alert["alert"].as_object_mut().expect("an object");
        let from = told.remove("generation").unwrap_or(generation.into());
        assert_eq!(from, generation);
        alert.as_object_mut().expect("an object").remove("pcap_cnt");
    }
    let key = |a: &Value| {
        let sid = &a["alert"]["signature_id"];
        format!("{} {sid} {}", a["timestamp"], a["payload"])
    };
    alerts.sort_by_key(key);
    alerts
}

#[test]
fn captures_of_a_folder_raise_what_they_raise_offline() {
    let dir = directory();
    let folder = dir.path().join("captures");
    std::fs::create_dir(&folder).expect("made");
    let rules = file("deploy/rules/flowhouse.rules");
    let capture = dir.path().join("starter.pcap");
    std::fs::write(&capture, starter_pcap()).expect("written");
    let want = offline(dir.path(), &rules, &capture);
    assert!(want.len() > 100, "{}", want.len());
    let alerts = dir.path().join("alerts.ndjson");
    let config = format!(
        "[receive]\nlisteners = [\"127.0.0.1:0\"]\n[capture]\nwatch_directory = {folder:?}\nwatch_idle_s = 1\n\
         [signatures]\nrules = [{rules:?}]\nalerts_file = {alerts:?}\n{}",
        embedded(dir.path())
    );
    let collector = Collector::start(dir.path(), &config);
    std::fs::rename(&capture, folder.join("starter.pcap")).expect("moved");
    eventually("all alerts are counted", || {
        collector.metric("flowhouse_signature_hits_total") == want.len() as f64
    });
    eventually("all alerts are written", || {
        lines(&alerts).len() == want.len()
    });
    let (got, same) = (comparable(lines(&alerts), 1), comparable(want.clone(), 1));
    let other = got.iter().zip(&same).find(|(a, b)| a != b);
    assert_eq!(other, None, "the same lines");
    let page = collector.page("/metrics").1;
    let class = "flowhouse_signature_hits_total{";
    assert!(page.lines().filter(|l| l.starts_with(class)).count() > 3);
    let top = page
        .lines()
        .filter(|l| l.starts_with("flowhouse_signature_rule_hits{"));
    assert_eq!(top.count(), 21, "the first twenty, and all others");

    // rows that are acknowledged have found the schema
    collector.settle(1);
    let sql = Sql::new(
        collector.store.as_ref().expect("a store"),
        &dir.path().join("store"),
    );
    let question =
        "SELECT sid, sum(count) FROM detections FINAL WHERE engine = 'signature' GROUP BY sid";
    let counts = || -> BTreeMap<u64, u64> {
        let number = |t: &String| t.parse().expect("a number");
        let rows = sql.rows(question).into_iter();
        rows.map(|r| (number(&r[0]), number(&r[1]))).collect()
    };
    eventually("detections are in the store", || counts() == by_sid(&want));
    a_detection_says_why(&sql, &dir.path().join("flowhouse.toml"));
    flows_carry_their_detections(&sql);
    eventually("costs of rules are told", || {
        let page = collector.page("/rules/costs").1;
        let lines: Vec<Value> = page
            .lines()
            .map(|l| serde_json::from_str(l).expect("JSON"))
            .collect();
        let hits: u64 = lines.iter().filter_map(|l| l["hits"].as_u64()).sum();
        hits >= want.len() as u64 && lines.iter().all(|l| l["work"].is_u64())
    });
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "rule_alerts"), want.len() as u64);
    for lost in [
        "rule_alerts_refused",
        "rule_alerts_unlogged",
        "pcaps_refused",
    ] {
        assert_eq!(total(&ledger, lost), 0, "{lost}");
    }
}

/// Each detection of a rule has the rows of its conversation.
fn flows_carry_their_detections(sql: &Sql) {
    let one = |question: &str| sql.rows(question)[0][0].clone();
    let of_flows = "SELECT DISTINCT arrayJoin(detections) AS id FROM flows";
    eventually("flows name all detections of rules", || {
        let all = one("SELECT toString(uniqExact(id)) FROM detections WHERE engine = 'signature'");
        all != "0" && all == one(&format!("SELECT toString(count()) FROM ({of_flows})"))
    });
    let question = format!(
        "SELECT toString(count()) FROM ({of_flows}) WHERE id NOT IN (SELECT id FROM detections)"
    );
    assert_eq!(one(&question), "0", "none that is not there");
}

/// The one about the password of a proxy: its bytes, its class, and its packets, on which the rule fires again.
fn a_detection_says_why(sql: &Sql, config: &Path) {
    const SID: u64 = 1_000_002;
    let one = "SELECT lower(leftPad(hex(id), 16, '0')), title, toString(confidence), entity_type, entity, attack[1], \
        JSONExtractString(evidence, 'matches', 1, 'buffer'), JSONExtractString(evidence, 'matches', 1, 'text'), \
        toString(JSONExtractUInt(evidence, 'matches', 1, 'length')), JSONExtractString(evidence, 'facts', 'generation'), \
        toString(position(JSONExtractString(evidence, 'facts', 'rule'), 'sid:1000002') > 0), \
        substring(JSONExtractString(evidence, 'community_ids', 1), 1, 2) FROM detections FINAL WHERE sid = 1000002";
    let rows = sql.rows(one);
    assert_eq!(rows.len(), 1, "{rows:?}");
    let (id, entity) = (&rows[0][0], &rows[0][4]);
    assert!(entity.starts_with("10.1.0.2 -> "), "{entity}");
    let told: Vec<&str> = rows[0].iter().map(String::as_str).collect();
    let title = "FLOWHOUSE Password of proxy authentication in the clear";
    assert_eq!(told[1..4], [title, "90", "pair"]);
    let matched = ["http.header", "Proxy-Authorization: Basic ", "27"];
    assert_eq!(told[5], "T1040");
    assert_eq!(told[6..9], matched);
    assert_eq!(told[9..], ["1", "1", "1:"]);

    let dir = directory();
    let out = dir.path().join("one.pcap");
    let pcap = || {
        let mut command = Command::new(exe());
        let command = command.args(["detections", "pcap", id, "-c"]).arg(config);
        command.arg("-o").arg(&out).output().expect("it runs")
    };
    eventually("the capture is there", || pcap().status.success());
    let again = offline(dir.path(), &file("deploy/rules/flowhouse.rules"), &out);
    assert_eq!(by_sid(&again), BTreeMap::from([(SID, 1)]));
    let mut command = Command::new(exe());
    let wrong = command
        .args(["detections", "pcap", "ffffffffffffffff", "-c"])
        .arg(config);
    let wrong = wrong.output().expect("it runs");
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(
        !wrong.status.success() && said.contains("has no capture of"),
        "{said}"
    );
}

#[test]
fn rules_change_while_it_runs_and_bad_ones_change_nothing() {
    let dir = directory();
    let folder = dir.path().join("captures");
    std::fs::create_dir(&folder).expect("made");
    let rules = dir.path().join("local.rules");
    let write = |text: &str| std::fs::write(&rules, text).expect("written");
    let rule = |sid: u32, method: &str| {
        format!(
            "alert http any any -> $SERVERS any (flow:to_server; http.method; content:\"{method}\"; sid:{sid};)\n"
        )
    };
    write(&rule(1, "GET"));
    let alerts = dir.path().join("alerts.ndjson");
    let pattern = dir.path().join("*.rules");
    let config = format!(
        "[sink]\nkind = \"drop\"\n[receive]\nlisteners = [\"127.0.0.1:0\"]\n[capture]\nwatch_directory = {folder:?}\nwatch_idle_s = 1\n\
         [signatures]\nrules = [{pattern:?}]\nalerts_file = {alerts:?}\n[signatures.variables]\nSERVERS = \"any\"\n"
    );
    let collector = Collector::start(dir.path(), &config);
    let generation = || collector.metric("flowhouse_signature_generation");
    eventually("the rules are in force", || generation() == 1.0);
    let sids = |generation: u64| -> Vec<u64> {
        let all = lines(&alerts);
        let of = all
            .iter()
            .filter(|a| a["alert"]["generation"] == generation);
        let mut sids: Vec<u64> = of
            .map(|a| a["alert"]["signature_id"].as_u64().expect("a sid"))
            .collect();
        sids.sort_unstable();
        sids.dedup();
        sids
    };
    // captures of other seconds are other captures
    let show = |n: u8| {
        let mut bytes = starter_pcap();
        bytes[24] = bytes[24].wrapping_sub(n);
        let made = dir.path().join("next");
        std::fs::write(&made, bytes).expect("written");
        std::fs::rename(made, folder.join(format!("{n}.pcap"))).expect("moved");
        eventually("it is read to its end", || {
            let read = "flowhouse_capture_files_total";
            collector.metric(read) >= f64::from(n)
        });
    };
    show(1);
    eventually("the first rule hits", || sids(1) == [1]);

    write("alert nonsense\n");
    let (status, said) = collector.reload();
    assert_ne!(status, 200, "{said}");
    for part in ["nothing was changed", "local.rules: none of its 1 rules"] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(generation(), 1.0);

    // one bad rule costs itself only
    write(&(rule(2, "POST") + "alert nonsense\n" + &rule(3, "HEAD")));
    let (status, said) = collector.reload();
    assert_eq!(status, 200, "{said}");
    assert!(said.contains("2 rules, generation 2"), "{said}");
    eventually("others are in force", || generation() == 2.0);
    show(2);
    eventually("the second rule hits", || sids(2).contains(&2));
    assert!(!sids(2).contains(&1));

    write(&rule(4, "GET"));
    collector.signal("HUP");
    eventually("a signal does the same", || generation() == 3.0);
    show(3);
    eventually("the last rule hits", || sids(3) == [4]);
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "rule_alerts"), lines(&alerts).len() as u64);
}

#[test]
fn frames_of_an_interface_raise_what_their_capture_raises() {
    let Some(()) = network() else { return };
    let dir = directory();
    let rules = file("deploy/rules/flowhouse.rules");
    let capture = file("tests/signatures/starter.pcap");
    let want = by_sid(&offline(dir.path(), &rules, &capture));
    let alerts = dir.path().join("alerts.ndjson");
    let config = format!(
        "[sink]\nkind = \"drop\"\n[receive]\nlisteners = [\"127.0.0.1:0\"]\n[capture]\ninterfaces = [\"mirror0\"]\nshards = 2\n\
         [signatures]\nrules = [{rules:?}]\nalerts_file = {alerts:?}\n"
    );
    let collector = Collector::start(dir.path(), &config);
    crate::capture::send(&capture, &["--mbps", "20"]);
    eventually("the rules that hit are those that hit offline", || {
        by_sid(&lines(&alerts)).keys().eq(want.keys())
    });
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(by_sid(&lines(&alerts)), want);
}

#[test]
fn check_says_which_rules_are_refused() {
    let dir = directory();
    let rules = dir.path().join("a.rules");
    std::fs::write(
        &rules,
        "alert tcp any any -> any any (content:\"a\"; sid:1;)\nalert tcp any any (sid:2;)\n",
    )
    .expect("written");
    let config = dir.path().join("flowhouse.toml");
    let check = |text: &str| {
        std::fs::write(&config, text).expect("written");
        let mut check = Command::new(exe());
        let out = check
            .args(["check", "--offline", "-c"])
            .arg(&config)
            .output();
        let out = out.expect("it runs");
        let said = [&out.stdout[..], &out.stderr[..]].concat();
        (
            out.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let (good, said) = check(&format!("[signatures]\nrules = [{rules:?}]\n"));
    assert!(good, "{said}");
    for part in [
        "1 rules loaded, 1 refused",
        "a.rules:2:",
        "no interface is captured",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (good, said) = check("[signatures]\nrules = [\"/nowhere/x.rules\"]\n");
    assert!(!good && said.contains("/nowhere/x.rules"), "{said}");
    let (good, said) = check("[signatures]\nrules = [\"local.rules\"]\n");
    assert!(!good && said.contains("must be an absolute path"), "{said}");
}
