//! The life of a detection: from a row of a bundle to its end, as an analyst goes through it on the command line.

use crate::harness::{Store, configure, corpus, directory, exe, run};
use flowhouse::batch::{DetectionRow, Extra, Identity, Sealer, Settings};
use flowhouse::model::{
    Addr, Detection, DetectionKind, Entity, EntityRole, Evidence, EvidenceFlow, Figure, Names,
    Severity,
};
use flowhouse::sink::clickhouse::{Connection, Sink};
use flowhouse::sink::{Settings as SinkSettings, hop};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// A port scan of 192.0.2.1 by 10.1.2.3 that began `ago_s` before `now_ms` and was known after four seconds.
pub fn scan(id: u64, version: u32, now_ms: i64, ago_s: i64) -> Detection {
    let (scanner, target) = (Addr::from_v4([10, 1, 2, 3]), Addr::from_v4([192, 0, 2, 1]));
    let first_ms = now_ms - ago_s * 1000;
    Detection {
        id,
        version,
        kind: DetectionKind::PortScan,
        detector: "scan.vertical".into(),
        sid: None,
        severity: Severity::Medium,
        confidence: 90,
        title: "TCP port scan of 192.0.2.1".into(),
        entity: Entity::Host(scanner),
        role: EntityRole::Source,
        peers: vec![target],
        peers_total: 1,
        first_ms,
        last_ms: first_ms + 9_000,
        detected_ms: first_ms + 4_000,
        count: 100 * u64::from(version),
        evidence: Evidence {
            matches: vec![],
            figures: vec![Figure {
                name: "ports without an answer".into(),
                observed: 100.0,
                threshold: Some(15.0),
                baseline: Some(0.5),
            }],
            facts: vec![("ports".into(), "1 to 100".into())],
            flows: vec![EvidenceFlow {
                src: scanner,
                dst: target,
                src_port: 40_000,
                dst_port: 22,
                proto: 6,
                bytes: 40,
                packets: 1,
                start_ms: first_ms,
                community_id: "1:abc=".into(),
            }],
            counterfactual: "86 fewer ports without an answer".into(),
            blind: vec![],
            steps: vec![],
            steps_gone: vec![],
            part_of: None,
        },
        attack: vec!["T1046".into()],
    }
}

/// A beacon of a pair, of high severity.
pub fn beacon(id: u64, now_ms: i64) -> Detection {
    Detection {
        kind: DetectionKind::Beacon,
        detector: "beacon".into(),
        severity: Severity::High,
        title: "Beacon".into(),
        entity: Entity::Pair(
            Addr::from_v4([10, 9, 9, 9]),
            Addr::from_v4([198, 51, 100, 7]),
        ),
        peers: vec![],
        attack: vec!["T1071".into(), "T1573".into()],
        ..scan(id, 1, now_ms, 60)
    }
}

/// A row that nothing hides.
pub fn shown(detection: Detection) -> DetectionRow {
    DetectionRow {
        detection,
        hidden_by: String::new(),
    }
}

/// Delivers rows as a collector does, and says what became of them.
pub fn deliver(store: &Store, rows: Vec<Vec<DetectionRow>>, now_ms: i64) {
    let connection = Connection {
        url: format!("http://{}", store.address),
        password_file: Some(store.key_file()),
        ..Connection::default()
    };
    let (outbox, inbox) = hop(4);
    let sink = Sink::start(inbox, &connection, &SinkSettings::default()).expect("a sink");
    let identity = Identity {
        collector: uuid::Uuid::new_v4().to_string(),
        start: 1,
    };
    let mut sealer = Sealer::new(Settings::default(), Arc::new(identity), Arc::default());
    for (n, detections) in rows.into_iter().enumerate() {
        let extra = Extra {
            detections,
            ..Default::default()
        };
        let at_ns = (now_ms + n as i64) * 1_000_000;
        let names = Arc::new(Names::default());
        outbox.send(sealer.seal(at_ns, extra, names).expect("a bundle"));
    }
    drop(outbox);
    let end = sink.stop(Duration::from_secs(60));
    assert_eq!(end.last_error, None);
}

/// A store with the tables, and a configuration that names it.
pub fn world(dir: &Path) -> (Store, PathBuf) {
    let store = Store::start(dir);
    let suppression = "[[suppressions]]\nname = \"scanner\"\nrule = \"kind=port_scan entity=10.1.0.0/16\"\nwhy = \"ours\"\nuntil = \"2099-01-01\"\n";
    let config = configure(dir, &(store.config() + suppression));
    run(Command::new(exe())
        .args(["schema", "apply", "-c"])
        .arg(&config));
    (store, config)
}

/// What the command says.
pub fn say(config: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(exe());
    command
        .arg("detections")
        .args(arguments)
        .arg("-c")
        .arg(config);
    run(&mut command)
}

pub fn json(config: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&say(config, &[arguments, &["--json"]].concat())).expect("JSON")
}

pub fn now_ms(store: &Store) -> i64 {
    store
        .sql()
        .numbers("SELECT toUnixTimestamp64Milli(now64(3))")[0] as i64
}

#[test]
fn from_a_row_to_its_end() {
    let dir = directory();
    let (store, config) = world(dir.path());
    let now = now_ms(&store);
    let (one, two) = (0x0a, 0xfeed_0000_0000_0001);
    let hidden = DetectionRow {
        hidden_by: "scanner".into(),
        ..shown(scan(3, 1, now, 90))
    };
    let rows = vec![
        vec![
            shown(scan(one, 1, now, 60)),
            shown(beacon(two, now)),
            hidden,
        ],
        // it grows; a version that comes late changes nothing
        vec![shown(scan(one, 3, now, 60))],
        vec![shown(scan(one, 2, now, 60))],
    ];
    deliver(&store, rows, now);
    let sql = store.sql();
    assert_eq!(sql.numbers("SELECT count() FROM detection_events"), [5]);
    assert_eq!(sql.numbers("SELECT count() FROM detections FINAL"), [3]);

    // what needs somebody most stands first; what is suppressed is not there
    let list = json(&config, &["list"]);
    let ids: Vec<_> = list
        .as_array()
        .expect("a list")
        .iter()
        .map(|i| i["id"].as_str())
        .collect();
    assert_eq!(ids, [Some("feed000000000001"), Some("000000000000000a")]);
    assert_eq!(list[1]["count"], 300);
    assert_eq!(list[1]["version"], 3);
    let shape = &list[1];
    assert_eq!(shape["entity"]["value"], "10.1.2.3");
    assert_eq!(shape["entity"]["type"], "host");
    assert_eq!(shape["peers"][0], "192.0.2.1");
    assert_eq!(shape["attack"][0], "T1046");
    assert_eq!(shape["state"], "new");
    assert_eq!(shape["last_ms"].as_i64(), Some(now - 51_000));
    let count = |arguments: &[&str]| json(&config, arguments).as_array().expect("a list").len();
    assert_eq!(count(&["list", "--hidden"]), 3);
    assert_eq!(count(&["list", "--severity", "high"]), 1);
    assert_eq!(count(&["list", "--kind", "port_scan"]), 1);
    assert_eq!(
        count(&["list", "--kind", "port_scan,beacon"]),
        count(&["list", "--kind", "port_scan", "--kind", "beacon"])
    );
    assert_eq!(count(&["list", "--entity", "10.1.0.0/16"]), 1);
    assert_eq!(count(&["list", "--entity", "192.0.2.1"]), 1);
    assert_eq!(count(&["list", "--entity", "fd00::/8"]), 0);
    assert!(say(&config, &["list"]).contains("TCP port scan of 192.0.2.1"));

    // why
    let text = say(&config, &["show", "000000000000000a"]);
    for part in [
        "ports without an answer",
        "86 fewer ports without an answer",
        "1:abc=",
        "kind=port_scan entity=10.1.2.3",
        "ATT&CK: T1046",
        "FROM flows",
        "(src_addr = toIPv6('10.1.2.3') OR dst_addr = toIPv6('10.1.2.3'))",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // the query that it prints is one
    for id in ["000000000000000a", "feed"] {
        let text = say(&config, &["show", id]);
        let query = text.split("To go on\n").nth(1).expect("a query");
        assert!(sql.rows(query).is_empty());
    }
    assert_eq!(
        json(&config, &["show", "feed"])["evidence"]["figures"][0]["threshold"],
        15
    );

    // a life
    assert!(
        say(
            &config,
            &["ack", "feed", "--who", "ann", "--why", "it's on \\ my desk"]
        )
        .contains("new -> acknowledged (ann)")
    );
    say(&config, &["true", "feed", "--who", "ann"]);
    assert_eq!(count(&["list"]), 2);
    say(
        &config,
        &["close", "feed", "--who", "bob", "--why", "host rebuilt"],
    );
    assert_eq!(count(&["list"]), 1);
    assert_eq!(count(&["list", "--all"]), 2);
    assert_eq!(count(&["list", "--state", "closed"]), 1);
    let history = json(&config, &["history", "feed"]);
    let steps: Vec<_> = history
        .as_array()
        .expect("a list")
        .iter()
        .map(|s| s["what"].as_str().expect("a word"))
        .collect();
    assert_eq!(steps, ["found", "acknowledged", "true", "closed"]);
    assert_eq!(history[1]["why"], "it's on \\ my desk");
    let versions = say(&config, &["history", "000000000000000a"]);
    assert_eq!(versions.matches("grown").count(), 2, "{versions}");

    let times = json(&config, &["times"]);
    assert_eq!(times[0]["severity"], "high");
    assert_eq!(
        (
            &times[0]["incidents"],
            &times[0]["seen"],
            &times[0]["ended"]
        ),
        (&1.into(), &1.into(), &1.into())
    );
    assert_eq!(times[0]["mttd_s"], 4);
    assert!(times[0]["mttr_s"].as_f64() >= times[0]["mtta_s"].as_f64());
    assert_eq!(times[1]["mttr_s"], Value::Null);

    // what was true once is told by who wants to hide it, also when it is over
    let would = say(&config, &["would-hide", "kind=beacon"]);
    assert!(
        would.contains("1 of 3 incidents, of which 1 were true ones"),
        "{would}"
    );

    // an incident that goes on after its end says so
    deliver(
        &store,
        vec![vec![shown(Detection {
            version: 2,
            ..beacon(two, now)
        })]],
        now_ms(&store) + 60_000,
    );
    let closed = &json(&config, &["list", "--state", "closed"])[0];
    assert_eq!(closed["grew_since"], true);

    // work on it goes on only once it is open again, and who says why says something
    let refused = |arguments: &[&str]| {
        let mut command = Command::new(exe());
        command.arg("detections").args(arguments).arg("-c");
        let out = command.arg(&config).output().expect("it runs");
        assert!(!out.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&out.stderr).into_owned()
    };
    for step in ["ack", "escalate", "true"] {
        let said = refused(&[step, "0000000000000003", "feed"]);
        assert!(
            said.contains("feed000000000001 has ended (closed)"),
            "{said}"
        );
        assert!(said.contains("detections reopen feed000000000001"));
    }
    assert_eq!(count(&["list", "--state", "acknowledged", "--hidden"]), 0);
    for why in ["", " "] {
        assert!(refused(&["close", "feed", "--why", why]).contains("says nothing"));
    }
    assert!(refused(&["close", "feed", "--who", ""]).contains("says nothing"));

    // what is harmless is proposed as a suppression that can be read
    let said = say(
        &config,
        &["benign", "feed", "--who", "ann", "--why", "\"ours\""],
    );
    let proposed = said.split("A suppression of it:").nth(1).expect("one");
    let proposed: flowhouse::config::Config = toml::from_str(proposed).expect("TOML");
    let proposed = &proposed.suppressions[0];
    assert_eq!(
        (proposed.fault(), proposed.why.as_str()),
        (None, "\"ours\"")
    );
    assert_eq!(proposed.rule, "kind=beacon entity=10.9.9.9");

    // suppressions
    let would = json(&config, &["would-hide", "kind=port_scan entity=10.1.2.3"]);
    assert_eq!(
        (
            would["of"].as_u64(),
            would["hidden"].as_array().map(Vec::len)
        ),
        (Some(3), Some(2))
    );
    assert!(
        say(&config, &["would-hide", "scanner"]).contains("would have hidden 2 of 3 incidents")
    );
    let suppressions = json(&config, &["suppressions"]);
    assert_eq!(suppressions[0]["hits"], 1);
    assert_eq!(suppressions[0]["expired"], false);

    // a name that none has
    let mut command = Command::new(exe());
    command.args(["detections", "would-hide", "scaner", "-c"]);
    let out = command.arg(&config).output().expect("it runs");
    let said = String::from_utf8_lossy(&out.stderr);
    let parts = ["no such suppression: \"scaner\"", "there are", "scanner"];
    let says = parts.iter().all(|p| said.contains(p));
    assert!(!out.status.success() && says, "{said}");

    // ids that name none, or two, change nothing
    for (id, part) in [("77", "no incident"), ("0", "more than one")] {
        let mut command = Command::new(exe());
        command.args(["detections", "close", id, "-c"]).arg(&config);
        let out = command.output().expect("it runs");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success() && said.contains(part), "{said}");
    }
}

#[test]
fn the_past_is_searched_for_indicators() {
    let dir = directory();
    let (store, config) = world(dir.path());
    store.sql().run(
        "INSERT INTO flowhouse.flows (received_at, src_addr, dst_addr, src_port, dst_port, proto, bytes, server_name, ja4) VALUES \
         (now() - 60, '10.1.2.3', '192.0.2.1', 40000, 443, 6, 1000, 'c2.Evil.example', 't13d1516h2_8daaf6152771_e5627efa2ab1'), \
         (now() - 30, '10.1.2.4', '192.0.2.1', 40001, 443, 6, 500, 'notevil.example', ''), \
         (now() - 20, '2001:db8::1', '2001:db8::2', 1, 2, 17, 7, '', '')",
    );
    let id = store
        .sql()
        .rows("SELECT community_id FROM flows WHERE bytes = 500")[0][0]
        .clone();
    let list = dir.path().join("iocs.txt");
    let text = format!(
        "# ours\nnonsense\n192.0.2.1, c2\n192.0.2.9\nevil.example\nt13d1516h2_8daaf6152771_e5627efa2ab1\n{id}\n10.1.0.0/16\n2001:db8::/64\n"
    );
    std::fs::write(&list, text).expect("written");
    let mut hunt = Command::new(exe());
    hunt.args(["hunt", "--json", "--indicator"])
        .arg(&list)
        .arg("-c")
        .arg(&config);
    // a line that is no indicator is said, and keeps nobody from the others
    let out = hunt.output().expect("it runs");
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{said}");
    assert!(
        said.contains("iocs.txt:2: \"nonsense\" is no address"),
        "{said}"
    );
    let found: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let of = |indicator: &str| -> (u64, u64, Vec<String>) {
        let all = found.as_array().expect("a list");
        let hit = all
            .iter()
            .find(|h| h["indicator"] == indicator)
            .unwrap_or_else(|| panic!("{indicator} in {found}"));
        let hosts = hit["hosts"].as_array().expect("hosts").iter();
        let hosts = hosts.filter_map(Value::as_str).map(str::to_owned).collect();
        (
            hit["flows"].as_u64().expect("flows"),
            hit["bytes"].as_u64().expect("bytes"),
            hosts,
        )
    };
    assert_eq!(
        of("192.0.2.1"),
        (2, 1500, vec!["10.1.2.3".into(), "10.1.2.4".into()])
    );
    assert_eq!(of("evil.example"), (1, 1000, vec!["10.1.2.3".into()]));
    assert_eq!(of("t13d1516h2_8daaf6152771_e5627efa2ab1").0, 1);
    assert_eq!(of(&id), (1, 500, vec!["10.1.2.4".into()]));
    assert_eq!(of("10.1.0.0/16").0, 2);
    assert_eq!(of("2001:db8::/64").0, 1);
    assert_eq!(found.as_array().map(Vec::len), Some(6));
}

#[test]
fn the_past_is_searched_for_what_rules_are_about() {
    let dir = directory();
    let (store, config) = world(dir.path());
    store.sql().run(
        "INSERT INTO flowhouse.flows (received_at, src_addr, dst_addr, src_port, dst_port, proto, bytes, packets, server_name, app_proto, conversation_side) VALUES \
         (now() - 60, '10.1.2.3', '192.0.2.53', 40000, 53, 17, 90, 1, 'c2.evil.example', 'dns', 'initiator'), \
         (now() - 60, '192.0.2.53', '10.1.2.3', 53, 40000, 17, 200, 1, 'c2.evil.example', 'dns', 'responder'), \
         (now() - 50, '10.1.2.4', '192.0.2.53', 40000, 53, 17, 90, 1, 'notevil.example', 'dns', 'initiator'), \
         (now() - 40, '10.1.2.5', '192.0.2.9', 40001, 443, 6, 5000, 9, 'c2.evil.example', 'tls', 'initiator'), \
         (now() - 30, '10.1.2.6', '198.51.100.7', 40002, 4444, 6, 70000, 80, '', '', '')",
    );
    let rules = dir.path().join("local.rules");
    std::fs::write(
        &rules,
        "alert dns $HOME_NET any -> any any (msg:\"evil name\"; dns.query; dotprefix; content:\".evil.example\"; nocase; endswith; sid:1;)\n\
         alert tls $HOME_NET any -> $EXTERNAL_NET any (msg:\"evil server\"; flow:established,to_server; tls.sni; content:\"c2.\"; startswith; sid:2;)\n\
         alert tcp any any -> [198.51.100.0/24,!198.51.100.9] 4000:5000 (msg:\"much to there\"; flow.bytes_toserver:>50000; sid:3;)\n\
         alert tcp any any -> any any (msg:\"payload\"; content:\"evil\"; sid:4;)\n\
         alert udp any any -> 203.0.113.9 any (msg:\"nobody\"; sid:5;)\n",
    )
    .expect("written");
    let hunt = |arguments: &[&str]| {
        let mut hunt = Command::new(exe());
        hunt.arg("hunt").args(arguments).arg("-c").arg(&config);
        hunt.output().expect("it runs")
    };
    let file = rules.display().to_string();
    let out = hunt(&["--rule", &file, "--json", "--set", "HOME_NET=10.0.0.0/8"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        said.contains("local.rules:4: sid 4: cannot be asked of flows: `pkt_data` is not stored"),
        "{said}"
    );
    let found: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let all = found.as_array().expect("a list").iter();
    let told: Vec<_> = all
        .map(|h| {
            (
                h["sid"].as_u64(),
                h["flows"].as_u64(),
                h["sources"][0].as_str(),
            )
        })
        .collect();
    let expected = [(1, "10.1.2.3"), (2, "10.1.2.5"), (3, "10.1.2.6")];
    let expected = expected.map(|(sid, source)| (Some(sid), Some(1), Some(source)));
    assert_eq!(told, expected, "{found}");
    assert_eq!(found[0]["names"][0], "c2.evil.example");
    // the query that is printed is one, and a rule may stand on the command line
    let rule = "alert tcp any any -> 198.51.100.7 any (msg:\"there\"; sid:7;)";
    let out = hunt(&["--rule", rule, "--sql"]);
    let query = String::from_utf8(out.stdout).expect("text");
    let query = query.replace("{last:UInt64}", "3600").replace(';', "");
    let rows = store.sql().rows(&query);
    assert_eq!(rows.len(), 1, "{query}");
    let out = String::from_utf8(hunt(&["--rule", rule]).stdout).expect("text");
    assert!(
        out.contains("1 of 1 rules would have found something."),
        "{out}"
    );
    let out = hunt(&[
        "--rule",
        "alert tcp any any -> any any (content:\"x\"; sid:8;)",
    ]);
    assert_eq!(out.status.code(), Some(1));
}

#[test]
fn what_a_replay_finds_is_stored_beside_its_rows() {
    let Some(corpus) = corpus() else { return };
    let dir = directory();
    let (store, config) = world(dir.path());
    let mut replay = Command::new(exe());
    replay.args(["replay", "--as", "packets"]);
    replay.arg(corpus.join("behaviour/attack/en-tcp_0_1000_20190821.pcap"));
    replay.args(["--store", &format!("http://{}", store.address), "-c"]);
    run(replay.arg(&config));
    let list = json(&config, &["list", "--kind", "port_scan"]);
    assert_eq!(list.as_array().map(Vec::len), Some(1), "{list}");
    assert_eq!(list[0]["entity"]["value"], "172.31.15.102");
    let ago_ms = now_ms(&store) - list[0]["last_ms"].as_i64().expect("a time");
    assert!((0..600_000).contains(&ago_ms), "{ago_ms}");
    // flows and incident are of the same time
    let id = list[0]["id"].as_str().expect("an id").to_owned();
    assert!(say(&config, &["show", &id]).contains("Flows in the store"));
    assert_eq!(json(&config, &["history", &id])[0]["what"], "found");
}
