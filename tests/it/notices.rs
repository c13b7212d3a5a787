//! Notices by mail against a server of SMTP, OCSF against its schema, what people do told to those who want to know, and the budget of a day.

use crate::detections::{beacon, deliver, json, now_ms, say, scan, shown, world};
use crate::harness::{Collector, directory, eventually, run};
use crate::notify::{Running, counts, free_port, notice, notifier, server};
use flowhouse::assemble::{Budget, Findings};
use flowhouse::batch::{Identity, Sealer, Settings};
use flowhouse::detect::suppression::Suppressions;
use flowhouse::model::{Addr, Detection, DetectionKind, Entity, Severity, Step};
use flowhouse::notify::{Event, Level, Notice};
use flowhouse::sink::clickhouse::{Connection, Sink};
use flowhouse::sink::{Settings as SinkSettings, hop};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// The Python of `make test`.
fn python() -> Command {
    let home = std::env::var_os("HOME").unwrap_or_default();
    let venv = Path::new(&home).join(".cache/flowhouse/venv/bin/python");
    Command::new(std::env::var_os("FLOWHOUSE_PYTHON").map_or(venv, Into::into))
}

/// A server with STARTTLS and a password. The mailbox `gone` is none; the first message is asked to come again later. Each message that it took is
/// a line of JSON in a file.
const SMTP: &str = r#"
import json, ssl, sys, threading
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, SMTP
port, certificate, key, out = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
class Handler:
    busy = True
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"
    async def handle_DATA(self, server, session, envelope):
        if self.busy:
            self.busy = False
            return "451 come again"
        line = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "text": envelope.content.decode(), "tls": session.ssl is not None,
                "user": session.auth_data.decode()}
        with open(out, "a") as file:
            file.write(json.dumps(line) + "\n")
        return "250 OK"
def login(server, session, envelope, mechanism, data):
    ok = data.login == b"sensor" and data.password == b"secret"
    return AuthResult(success=ok, auth_data=data.login)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
class Here(Controller):
    def factory(self):
        return SMTP(self.handler, hostname="relay", tls_context=context, require_starttls=True, auth_required=True, authenticator=login)
Here(Handler(), hostname="127.0.0.1", port=port).start()
threading.Event().wait()
"#;

#[test]
fn mail_is_encrypted_retried_and_reaches_those_who_are_there() {
    let dir = directory();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
    let [certificate, key, password, out] =
        ["cert.pem", "key.pem", "password", "out"].map(|n| dir.path().join(n));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    std::fs::write(&password, "wrong\n").expect("written");
    std::fs::set_permissions(&password, PermissionsExt::from_mode(0o600)).expect("closed");
    let port = free_port();
    let mut smtp = python();
    smtp.args(["-c", SMTP, &port.to_string()]);
    smtp.args([&certificate, &key, &out]).stdout(Stdio::null());
    let _server = Running(smtp.spawn().expect("python runs"));
    eventually("it listens", || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let target = format!(
        "grafana_url = \"https://grafana.example/\"\n[[targets]]\nname = \"soc\"\nkind = \"email\"\nto = \"starttls://localhost:{port}\"\n\
         from = \"Flowhouse <flowhouse@example.org>\"\nrecipients = [\"gone@example.org\", \"ann@example.org\"]\nformat = \"ocsf\"\n\
         user = \"sensor\"\nsecret_file = {password:?}\n"
    );
    // nobody is told the password who cannot prove to be the server
    let n = notifier(dir.path(), &target);
    n.tell(notice(10));
    eventually("not trusted", || counts(&n).failed > 0);
    n.stop();
    // a wrong password may be mended: what waits is not gone
    let trusting = format!("{target}ca_file = {certificate:?}\n");
    let n = notifier(dir.path(), &trusting);
    eventually("refused", || counts(&n).failed > 0);
    assert_eq!((counts(&n).dropped, counts(&n).waiting), (0, 1));
    n.stop();
    std::fs::write(&password, "secret\n").expect("written");
    let n = notifier(dir.path(), &trusting);
    eventually("delivered", || counts(&n).sent == 1);
    n.tell(Notice {
        event: Event::Escalated,
        ..notice(10)
    });
    eventually("delivered again", || counts(&n).sent == 2);
    n.stop();
    let text = std::fs::read_to_string(&out).expect("what it took");
    let all: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"))
        .collect();
    assert_eq!(all.len(), 2);
    for (mail, event) in all.iter().zip(["new", "escalated"]) {
        assert_eq!(mail["from"], "flowhouse@example.org");
        assert_eq!(mail["to"], serde_json::json!(["ann@example.org"]));
        assert_eq!(
            (&mail["tls"], &mail["user"]),
            (&true.into(), &"sensor".into())
        );
        let text = mail["text"].as_str().expect("text");
        for part in [
            format!("Message-ID: <000000000000000a-1-{event}@sensor>"),
            "References: <000000000000000a@sensor>".to_owned(),
            "TCP port scan of 192.0.2.1".to_owned(),
            "ports without an answer: 100 (threshold 15)".to_owned(),
            "flowhouse detections show 000000000000000a".to_owned(),
            "https://grafana.example/d/flowhouse-incident?var-incident=3D000000000000000a"
                .to_owned(),
            "filename=\"000000000000000a.json\"".to_owned(),
        ] {
            let text = text.replace("=\r\n", "");
            let part = part.replace("=3D", "=");
            assert!(text.replace("=3D", "=").contains(&part), "{part}: {text}");
        }
    }
}

/// Reads an event a line, and says what of it the schema of OCSF 1.4.0 does not know or wants.
const OCSF: &str = r#"
import json, sys
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema
schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.4.0")).get_class_schema("detection_finding", [])
faults = []
for line in sys.stdin:
    for fault in Draft202012Validator(schema).iter_errors(json.loads(line)):
        faults.append(f"{list(fault.absolute_path)}: {fault.message[:300]}")
sys.exit("\n".join(faults) or 0)
"#;

#[test]
fn ocsf_is_what_its_schema_knows() {
    let dir = directory();
    let (url, requests) = server(&[]);
    let target = format!(
        "grafana_url = \"https://grafana.example\"\n[[targets]]\nname = \"soc\"\nkind = \"webhook\"\nto = \"{url}\"\nformat = \"ocsf\"\nsteps = true\n"
    );
    let n = notifier(dir.path(), &target);
    let mut events = String::new();
    let told = [
        (Event::New, "new"),
        (Event::Raised, "new"),
        (Event::Escalated, "escalated"),
        (Event::Acknowledged, "true"),
        (Event::Closed, "false"),
        (Event::Closed, "closed"),
        (Event::Joined, "new"),
    ];
    for (event, state) in told {
        let mut told = Notice {
            event,
            ..notice(10)
        };
        if event != Event::New {
            for (key, value) in [("state", state), ("who", "ann"), ("why", "because")] {
                told.incident[key] = value.into();
            }
        }
        if event == Event::Joined {
            told.incident["part_of"] = "000000000000000c".into();
        }
        told.incident["attack"] = serde_json::json!(["T1046", "T1498.001"]);
        n.tell(told);
        let (_, body) = requests
            .recv_timeout(Duration::from_secs(60))
            .expect("a request");
        events += &(body + "\n");
    }
    n.stop();
    let file = dir.path().join("events");
    std::fs::write(&file, &events).expect("written");
    let mut check = python();
    check.args(["-c", OCSF]);
    run(check.stdin(std::fs::File::open(&file).expect("there")));
    // and a field that is none is one that it finds
    std::fs::write(&file, events.replacen("\"is_alert\"", "\"is_alarm\"", 1)).expect("written");
    let mut check = python();
    check.args(["-c", OCSF]);
    let out = check.stdin(std::fs::File::open(&file).expect("there"));
    let out = out.output().expect("it runs");
    assert!(String::from_utf8_lossy(&out.stderr).contains("is_alarm"));
}

#[test]
fn what_people_do_is_told_to_those_who_want_to_know() {
    let dir = directory();
    let (store, config) = world(dir.path());
    let now = now_ms(&store);
    let (url, requests) = server(&[]);
    let notify = format!(
        "[notify]\ngrafana_url = \"https://grafana.example\"\n[[notify.targets]]\nname = \"soc\"\nkind = \"webhook\"\nto = \"{url}\"\nsteps = true\n\
         [receive]\nlisteners = [\"127.0.0.1:0\"]\n"
    );
    let hidden = flowhouse::batch::DetectionRow {
        hidden_by: "scanner".into(),
        ..shown(scan(3, 1, now, 90))
    };
    // people were told of it before it was hidden
    let told = |version| scan(0x0c, version, now, 30);
    let later = flowhouse::batch::DetectionRow {
        hidden_by: "scanner".into(),
        ..shown(told(2))
    };
    let rows = vec![
        shown(scan(0x0a, 1, now, 60)),
        shown(beacon(0x0b, now)),
        shown(told(1)),
        hidden,
    ];
    deliver(&store, vec![rows, vec![later]], now);
    let collector = Collector::start(dir.path(), &(store.config() + &notify));
    // once it knows from when on it tells
    let position = || {
        let found = walk(dir.path(), "steps");
        found.and_then(|f| std::fs::read_to_string(f).ok())
    };
    eventually("it has begun", || position().is_some());
    for arguments in [
        ["ack", "000000000000000a", "--who", "ann", "--why", "mine"],
        ["close", "0000000000000003", "--who", "ann", "--why", "ours"],
        [
            "benign",
            "000000000000000b",
            "--who",
            "bob",
            "--why",
            "updates",
        ],
        ["false", "000000000000000c", "--who", "ann", "--why", "ours"],
    ] {
        say(&config, &arguments);
    }
    // once more is nothing
    let again = say(&config, &["benign", "000000000000000b", "--who", "bob"]);
    assert!(again.contains("is benign already (bob)"), "{again}");
    let mut told = vec![];
    for _ in 0..3 {
        let (head, body) = requests
            .recv_timeout(Duration::from_secs(120))
            .expect("a request");
        assert!(head.contains("idempotency-key"), "{head}");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let i = &body["incident"];
        let of = |key: &str| i[key].as_str().unwrap_or_default().to_owned();
        assert!(
            of("link").starts_with("https://grafana.example/d/flowhouse-incident?var-incident=")
        );
        told.push((
            body["event"].as_str().unwrap_or_default().to_owned(),
            of("id"),
            of("who"),
            of("why"),
        ));
    }
    let expected = [
        ("acknowledged", "000000000000000a", "ann", "mine"),
        ("closed", "000000000000000b", "bob", "updates"),
        ("closed", "000000000000000c", "ann", "ours"),
    ];
    let expected = expected.map(|(a, b, c, d)| (a.into(), b.into(), c.into(), d.into()));
    assert_eq!(told, expected);
    collector.stop();
    // what was told is told once, whoever asks next; what was closed and goes on is open again, and what is benign is not
    say(&config, &["close", "000000000000000a", "--who", "ann"]);
    let later = now_ms(&store) + 120_000;
    let grown = |d: Detection| {
        shown(Detection {
            version: 2,
            last_ms: later,
            ..d
        })
    };
    let rows = vec![grown(scan(0x0a, 1, now, 60)), grown(beacon(0x0b, now))];
    deliver(&store, vec![rows], now_ms(&store) + 1_000);
    let collector = Collector::start(dir.path(), &(store.config() + &notify));
    let next = || {
        let (_, body) = requests
            .recv_timeout(Duration::from_secs(120))
            .expect("a request");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        let of = |key: &str| body["incident"][key].as_str().unwrap_or("").to_owned();
        let event = body["event"].as_str().unwrap_or("").to_owned();
        (event, of("id"), of("who"))
    };
    let told = |event: &str, id: &str, who: &str| (event.into(), id.into(), who.into());
    assert_eq!(next(), told("closed", "000000000000000a", "ann"));
    assert_eq!(next(), told("new", "000000000000000a", "flowhouse"));
    let list = say(&config, &["list"]);
    assert!(list.contains("000000000000000a") && !list.contains("000000000000000b"));
    let history = say(&config, &["history", "000000000000000a"]);
    let at = |word: &str| history.find(word).unwrap_or_else(|| panic!("{history}"));
    assert!(at("closed ") < at("it went on after it was closed"));
    say(&config, &["reopen", "000000000000000b", "--who", "eve"]);
    assert_eq!(next(), told("new", "000000000000000b", "eve"));
    collector.stop();
}

/// The file of that name below a folder.
fn walk(dir: &Path, name: &str) -> Option<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).ok()?.flatten();
    for entry in entries {
        let path = entry.path();
        if path.is_dir()
            && let Some(found) = walk(&path, name)
        {
            return Some(found);
        }
        if path.file_name().is_some_and(|n| n == name) && path.parent()?.ends_with("notify") {
            return Some(path);
        }
    }
    None
}

#[test]
fn what_the_budget_of_a_day_held_back_is_counted_and_can_be_read() {
    let dir = directory();
    let (store, config) = world(dir.path());
    let now = now_ms(&store);
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
    let sealer = Sealer::new(Settings::default(), Arc::new(identity), Arc::default());
    let budget = Budget::new(&[(Level::Medium, 1)].into());
    let mut findings = Findings::new(Suppressions::default(), budget, sealer, outbox, None);
    let untold = findings.untold();
    let second = Detection {
        entity: flowhouse::model::Entity::Host(flowhouse::model::Addr::from_v4([10, 1, 2, 4])),
        ..scan(3, 1, now, 90)
    };
    // versions of one incident are one, and what has no limit is told
    let found = vec![scan(0x0a, 1, now, 60), second.clone(), beacon(0x0b, now)];
    findings.take(found, now * 1_000_000);
    let more = Detection {
        version: 2,
        ..second
    };
    findings.take(vec![scan(0x0a, 2, now, 60), more], (now + 1) * 1_000_000);
    drop(findings);
    assert_eq!(sink.stop(Duration::from_secs(60)).last_error, None);
    let held_back = untold.lock().expect("no panic").held_back.clone();
    assert_eq!(held_back, [("medium", 1)]);
    let list = say(&config, &["list"]);
    assert!(
        list.contains("1 more was held back by the budget of the day"),
        "{list}"
    );
    let budget = json(&config, &["budget"]);
    assert_eq!(
        (&budget[0]["severity"], &budget[0]["told"]),
        (&"high".into(), &1.into())
    );
    let budget_of_medium = &budget[1];
    assert_eq!(
        (
            &budget_of_medium["severity"],
            &budget_of_medium["told"],
            &budget_of_medium["held_back"]
        ),
        (&"medium".into(), &1.into(), &1.into())
    );
    assert!(say(&config, &["budget"]).contains("held back"));
    let hidden = json(&config, &["list", "--held-back"]);
    assert_eq!(hidden.as_array().map(Vec::len), Some(1));
    assert_eq!(hidden[0]["hidden_by"], "(daily budget)");
    let listeners = "[receive]\nlisteners = [\"127.0.0.1:0\"]\n";
    let collector = Collector::start(dir.path(), &(store.config() + listeners));
    let (status, text) = collector.page("/detections/budget?last_s=86400");
    assert_eq!(status, 200, "{text}");
    let page: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(page, budget);
    let (_, text) = collector.page("/detections?held_back=true");
    let page: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(page[0]["id"], "0000000000000003");
    collector.stop();
}

#[test]
fn suppressions_are_taken_over_while_it_runs() {
    let (outbox, _inbox) = hop(4);
    let identity = Identity {
        collector: uuid::Uuid::new_v4().to_string(),
        start: 1,
    };
    let sealer = Sealer::new(Settings::default(), Arc::new(identity), Arc::default());
    let suppression = |name: &str, rule: &str| flowhouse::detect::suppression::Settings {
        name: name.into(),
        rule: rule.into(),
        why: "ours".into(),
        until: "2099-01-01".into(),
    };
    let first = [suppression("beacons", "kind=beacon")];
    let renewed = flowhouse::assemble::Renewed::default();
    let suppressions = Suppressions::new(&first);
    let findings = Findings::new(suppressions, Budget::default(), sealer, outbox, None);
    let mut findings = findings.following(renewed.clone());
    let untold = findings.untold();
    let hits = || untold.lock().expect("no panic").suppressed.clone();
    let now = 1_795_737_600_000;
    findings.take(vec![beacon(1, now), scan(2, 1, now, 60)], now * 1_000_000);
    assert_eq!(hits(), [("beacons".to_owned(), 1)]);
    let [beacons] = first;
    let scanner = suppression("scanner", "entity=10.1.2.3");
    *renewed.lock().expect("no panic") = Some(vec![scanner, beacons]);
    findings.take(vec![beacon(1, now), scan(2, 2, now, 60)], now * 1_000_000);
    assert_eq!(
        hits(),
        [("scanner".to_owned(), 1), ("beacons".to_owned(), 2)]
    );
}

/// A chain stands for its steps: people are told of it once, and find the steps behind it.
#[test]
fn a_chain_is_one_incident_for_people() {
    let dir = directory();
    let (store, config) = world(dir.path());
    let now = now_ms(&store);
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
    let sealer = Sealer::new(Settings::default(), Arc::new(identity), Arc::default());
    let (url, requests) = server(&[]);
    let target =
        format!("[[targets]]\nname = \"soc\"\nkind = \"webhook\"\nto = \"{url}\"\nsteps = true\n");
    let soc = Arc::new(notifier(dir.path(), &target));
    let budget = Budget::new(&[(Level::Medium, 2)].into());
    let told = Some(soc.clone());
    let mut findings = Findings::new(Suppressions::default(), budget, sealer, outbox, told);

    // two steps, of which one is over when the chain is known
    let step = |id: u64, version: u32, part_of: Option<u64>| {
        let mut step = scan(id, version, now, 200 - id as i64);
        step.entity = Entity::Host(Addr::from_v4([10, 9, 9, 9]));
        step.evidence.part_of = part_of;
        step
    };
    findings.take(vec![step(1, 1, None), step(2, 1, None)], now * 1_000_000);
    let mut chain = Detection {
        kind: DetectionKind::AttackChain,
        severity: Severity::Critical,
        title: "An attack goes on: 10.9.9.9 has come 3 stages".into(),
        ..step(9, 1, None)
    };
    let of = |id: u64| Step {
        id,
        kind: DetectionKind::PortScan,
        first_ms: now - 1_000 * (200 - id as i64),
    };
    chain.evidence.steps = (2..=4).map(of).collect();
    // one gave way to later ones, and is part of it all the same
    chain.evidence.steps_gone = vec![1];
    // further ones, with the chain and after it; of medium severity no more may be told
    let found = vec![step(2, 2, Some(9)), step(3, 1, Some(9)), chain];
    findings.take(found, (now + 1) * 1_000_000);
    findings.take(vec![step(4, 1, Some(9))], (now + 2) * 1_000_000);
    let untold = findings.untold();
    drop(findings);
    assert_eq!(sink.stop(Duration::from_secs(60)).last_error, None);
    eventually("four notices are delivered", || counts(&soc).sent == 4);
    soc.stop();
    let told: Vec<(String, String)> = requests
        .try_iter()
        .map(|(_, body)| {
            let body: Value = serde_json::from_str(&body).expect("JSON");
            let of = |value: &Value| value.as_str().expect("text").to_owned();
            (of(&body["event"]), of(&body["incident"]["id"]))
        })
        .collect();
    let expected = [("new", 1), ("new", 2), ("new", 9), ("joined", 2)];
    assert_eq!(
        told,
        expected.map(|(event, id)| (event.to_owned(), format!("{id:016x}")))
    );
    let held_back = untold.lock().expect("no panic").held_back.clone();
    assert_eq!(held_back, [("medium", 0)]);

    let ids = |arguments: &[&str]| -> Vec<String> {
        let list = json(&config, arguments);
        let list = list.as_array().expect("a list").iter();
        list.map(|i| i["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    assert_eq!(ids(&["list"]), ["0000000000000009"]);
    assert_eq!(ids(&["list", "--hidden"]).len(), 5);
    let step = json(&config, &["show", "0000000000000001"]);
    assert_eq!(step["part_of"], "0000000000000009");
    let said = say(&config, &["show", "0000000000000001"]);
    assert!(
        said.contains("a step of the chain 0000000000000009"),
        "{said}"
    );
    let said = say(&config, &["show", "0000000000000009"]);
    assert!(
        said.contains("Steps\n") && said.contains("0000000000000004"),
        "{said}"
    );
    let budget = json(&config, &["budget"]);
    assert_eq!(budget.as_array().map(Vec::len), Some(2), "{budget}");
    let told = |n: usize| (&budget[n]["told"], &budget[n]["suppressed"]);
    assert_eq!(told(0), (&1.into(), &0.into()));
    assert_eq!(told(1), (&0.into(), &0.into()));

    // what is said of the chain holds for its steps, until something else is said of one
    let of_chain = "0000000000000009";
    say(
        &config,
        &["benign", of_chain, "--who", "ann", "--why", "ours"],
    );
    let state = |id: &str| {
        let step = json(&config, &["show", id]);
        (step["state"].clone(), step["who"].clone())
    };
    for id in ["0000000000000001", "0000000000000004"] {
        assert_eq!(state(id), ("benign".into(), "ann".into()));
    }
    say(&config, &["reopen", "0000000000000004", "--who", "bob"]);
    assert_eq!(state("0000000000000004"), ("new".into(), "bob".into()));
    let hides = json(
        &config,
        &["would-hide", "kind=attack_chain entity=10.9.9.9"],
    );
    assert_eq!(hides["hidden"].as_array().map(Vec::len), Some(5), "{hides}");
    assert_eq!(hides["confirmed"], 0);
}

/// What hides a chain hides its steps: those that come with it, and those that were there before.
#[test]
fn steps_of_a_chain_that_is_suppressed_are_hidden_with_it() {
    let dir = directory();
    let (store, config) = world(dir.path());
    let now = now_ms(&store);
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
    let sealer = Sealer::new(Settings::default(), Arc::new(identity), Arc::default());
    let ours = flowhouse::detect::suppression::Settings {
        name: "ours".into(),
        rule: "kind=attack_chain entity=10.9.9.9".into(),
        why: "a test of ours".into(),
        until: "2099-01-01".into(),
    };
    let suppressions = Suppressions::new(&[ours]);
    let mut findings = Findings::new(suppressions, Budget::default(), sealer, outbox, None);
    let untold = findings.untold();
    let step = |id: u64, part_of: Option<u64>| {
        let mut step = scan(id, 1, now, 60 - id as i64);
        step.entity = Entity::Host(Addr::from_v4([10, 9, 9, 9]));
        step.evidence.part_of = part_of;
        step
    };
    findings.take(vec![step(1, None)], now * 1_000_000);
    let mut chain = Detection {
        kind: DetectionKind::AttackChain,
        severity: Severity::Critical,
        ..step(9, None)
    };
    let of = |id: u64| Step {
        id,
        kind: DetectionKind::PortScan,
        first_ms: now - 1_000 * (60 - id as i64),
    };
    chain.evidence.steps = (1..=3).map(of).collect();
    findings.take(vec![step(2, Some(9)), chain], (now + 1) * 1_000_000);
    findings.take(vec![step(3, Some(9))], (now + 2) * 1_000_000);
    drop(findings);
    assert_eq!(sink.stop(Duration::from_secs(60)).last_error, None);
    let hits = untold.lock().expect("no panic").suppressed.clone();
    assert_eq!(hits, [("ours".to_owned(), 3)]);
    assert_eq!(json(&config, &["list"]), serde_json::json!([]));
    let hidden = json(&config, &["list", "--hidden"]);
    let hidden: Vec<&Value> = hidden.as_array().expect("a list").iter().collect();
    assert_eq!(hidden.len(), 4);
    assert!(hidden.iter().all(|i| i["hidden_by"] == "ours"));
    let parts = hidden.iter().filter(|i| i["part_of"] == "0000000000000009");
    assert_eq!(parts.count(), 3);
}
