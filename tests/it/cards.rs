//! `flowhouse exporters` on a collector that runs, with exporters whose faults are known.

use crate::harness::{Collector, Store, assert_laws, configure, directory, eventually, exe, run};
use flowhouse::generate::sender::{Plan, send};
use flowhouse::generate::{Habits, Profile};
use serde_json::Value;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;

fn exporters(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(exe());
    command
        .arg("exporters")
        .args(arguments)
        .arg("-c")
        .arg(config);
    command.output().expect("it runs")
}

fn json(config: &Path, arguments: &[&str]) -> Value {
    let out = exporters(config, &[arguments, &["--json"]].concat());
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).expect("JSON")
}

fn found<'a>(card: &'a Value, part: &str) -> Option<&'a Value> {
    let findings = card["findings"].as_array().expect("findings");
    findings
        .iter()
        .find(|f| f["what"].as_str().is_some_and(|w| w.contains(part)))
}

#[test]
fn cards_tell_what_is_wrong() {
    let dir = directory();
    let store = Store::start(dir.path());
    let one = "[receive]\nlisteners = [\"127.0.0.1:0\"]\n";
    let collector = Collector::start(dir.path(), &format!("{one}{}", store.config()));
    let plan = Plan {
        first_exporter: 0,
        to: collector.udp[0],
        profiles: vec![Profile::Router, Profile::EdgeSwitch],
        exporters: 2,
        habits: Habits {
            sampling: 100,
            // the collector corrects clocks that are off by more than 5 minutes
            clock_ahead_ms: -400_000,
            ..Habits::default()
        },
        rate: 4_000,
        flows: Some(8_000),
        duration: None,
        seed: 3,
        pool: 300,
        segment: false,
    };
    let sent = send(&plan, &AtomicBool::new(false), |_| {})
        .expect("sent")
        .flows;
    collector.settle(sent);
    let http = collector.http;
    // the configuration as an operator has it: with the address of the HTTP side
    let told = dir.path().join("told");
    std::fs::create_dir(&told).expect("made");
    let config = configure(&told, &store.config());
    let text = std::fs::read_to_string(&config).expect("written");
    std::fs::write(&config, text.replace("127.0.0.1:0", &http.to_string())).expect("written");
    let live = json(&config, &["show", "127.1.0.1"]);
    assert!(
        live["collector"]["last_active_ms"]
            .as_i64()
            .expect("it is asked")
            > 0
    );
    assert_laws(&collector.stop());

    let list = json(&config, &["list"]);
    let rows: u64 = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|e| e["rows"].as_u64().expect("a number"))
        .sum();
    assert_eq!((list.as_array().expect("a list").len(), rows), (2, sent));
    let card = json(&config, &["show", "127.1.0.1", "--vendor", "cisco-ios-xe"]);
    assert!(card["collector"].is_null(), "it is away now");
    assert_eq!(card["origins"][0]["origin"], "netflow9");
    router(&card, &store);
    let switch = json(&config, &["show", "127.1.0.2"]);
    assert!(found(&switch, "NetFlow 5 or 7").is_some());
    assert!(
        switch["templates"]
            .as_array()
            .expect("templates")
            .is_empty()
    );
    assert_eq!(switch["sampling"][0]["source"], "header");

    let text = String::from_utf8(exporters(&config, &["show", "127.1.0.1"]).stdout).expect("UTF-8");
    for part in [
        "What to change",
        "Fields of its rows",
        "Templates",
        "How long its flows live",
        "1 in 100",
        "--vendor cisco-ios-xe, cisco-nx-os",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let out = exporters(&config, &["show", "203.0.113.77"]);
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stderr).contains("exporters list"));
}

fn router(card: &Value, store: &Store) {
    let field = |name: &str| {
        let fields = card["fields"].as_array().expect("fields").iter();
        fields.clone().find(|f| f["field"] == name).expect(name)["share"]
            .as_f64()
            .expect("a share")
    };
    assert_eq!(
        (
            field("bytes"),
            field("ingress interface"),
            field("end reason")
        ),
        (1.0, 1.0, 0.0)
    );
    assert!(found(card, "no end reason (elements 136)").is_some());
    let clock = found(card, "its clock is").expect("the clock is wrong");
    assert_eq!(clock["weight"], "fault");
    let behind = card["clock"]["median"].as_f64().expect("seconds");
    assert!((behind - 400.0).abs() < 30.0, "{behind}");
    assert_eq!(
        (
            &card["sampling"][0]["source"],
            &card["sampling"][0]["interval"]
        ),
        (&"options".into(), &100.into())
    );
    let templates = card["templates"].as_array().expect("templates");
    let of = |options: bool| templates.iter().filter(|t| t["options"] == options).count();
    assert_eq!((of(false), of(true)), (2, 3));
    let elements = templates
        .iter()
        .find(|t| t["options"] == false)
        .expect("one")["elements"]
        .to_string();
    assert!(
        elements.contains("\"src_addr\"") && elements.contains("\"app_id\""),
        "{elements}"
    );
    // the histogram has every flow that tells its life
    let counts = card["lives"]["histogram"]
        .as_array()
        .expect("a histogram")
        .iter();
    let drawn: u64 = counts.map(|h| h[1].as_u64().expect("a count")).sum();
    let told = "SELECT count(), countIf(end_ms - start_ms < 1000) FROM flows WHERE exporter = toIPv6('127.1.0.1') \
        AND bitTest(present, 7) AND bitTest(present, 8) AND NOT bitTest(flags, 3)";
    let told = store.sql().numbers(told);
    assert_eq!(
        (drawn, card["lives"]["histogram"][0][1].as_u64()),
        (told[0], Some(told[1]))
    );
    let lines: Vec<&str> = card["configuration"]
        .as_array()
        .expect("lines")
        .iter()
        .filter_map(|l| l["lines"].as_str())
        .collect();
    assert!(
        lines.iter().any(|l| l.contains("ntp server"))
            && lines.iter().any(|l| l.contains("flow record")),
        "{lines:?}"
    );
}

#[test]
fn an_empty_store_says_how_to_begin() {
    let dir = directory();
    let store = Store::start(dir.path());
    let config = configure(dir.path(), &store.config());
    run(Command::new(exe())
        .args(["schema", "apply", "-c"])
        .arg(&config));
    let out = exporters(&config, &["list"]);
    assert!(String::from_utf8_lossy(&out.stdout).contains("Nobody has exported yet"));
}

#[test]
fn exporters_without_rows_are_there_with_what_was_heard() {
    let dir = directory();
    let store = Store::start(dir.path());
    let text = "[receive]\nlisteners = [\"127.0.0.1:0\"]\n".to_owned() + &store.config();
    let collector = Collector::start(dir.path(), &text);
    // IPFIX: the header, and a template set with one template of one element
    let words = [10u16, 28, 0, 1, 0, 0, 0, 7, 2, 12, 256, 1, 1, 4];
    let datagram: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    let exporter = UdpSocket::bind("127.0.9.9:0").expect("a socket");
    exporter.send_to(&datagram, collector.udp[0]).expect("sent");
    eventually("it is learned", || {
        collector.metric("flowhouse_ledger_templates_learned_total") > 0.0
    });
    // once the store takes rows, the collector has written the ledger of its last minute when it ends
    eventually("the store takes rows", || {
        collector.metric("flowhouse_ledger_other_rows_acknowledged_total") > 0.0
    });
    collector.stop();
    let told = dir.path().join("told");
    std::fs::create_dir(&told).expect("made");
    let config = configure(&told, &store.config());
    let list = json(&config, &["list"]);
    let [row] = &list.as_array().expect("a list")[..] else {
        panic!("{list}");
    };
    assert_eq!(row["exporter"], "127.0.9.9");
    assert_eq!((&row["datagrams"], &row["rows"]), (&1.into(), &0.into()));
    assert!(row["heard"].as_u64() > Some(0), "{row}");
    let text = String::from_utf8(exporters(&config, &["list"]).stdout).expect("UTF-8");
    assert!(text.contains("no rows yet"), "{text}");
    let card = json(&config, &["show", "127.0.9.9"]);
    let finding = found(&card, "1 datagrams of it had no flow").expect("it is said");
    assert!(
        finding["why"]
            .as_str()
            .expect("why")
            .contains("1 templates"),
        "{finding}"
    );
}
