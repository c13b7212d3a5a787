//! Notices against what people have: a webhook that fails first, Debian's Alertmanager, rsyslog, and TLS.

use crate::detections::{beacon, deliver, json, now_ms, say, scan, shown, world};
use crate::harness::{Collector, configure, directory, eventually, run};
use flowhouse::notify::{Counts, Event, Notice, Notifier, Settings};
use flowhouse::sink::ndjson;
use flowhouse::sink::schema::incidents::REPLAYED;
use ring::hmac;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A process that ends with its test.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub fn notifier(dir: &Path, targets: &str) -> Notifier {
    let settings: Settings = toml::from_str(targets).expect("settings");
    assert_eq!(settings.faults(), Vec::<String>::new());
    let zone_of = Arc::new(|_| String::new());
    Notifier::start(&settings, &dir.join("notify"), "sensor", zone_of).expect("it starts")
}

pub fn notice(id: u64) -> Notice {
    Notice {
        event: Event::New,
        incident: ndjson::detection(&scan(id, 1, 1_795_737_600_000, 60)),
    }
}

pub fn counts(of: &Notifier) -> Counts {
    of.counts().remove(0)
}

pub fn free_port() -> u16 {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    free.local_addr().expect("its address").port()
}

/// An HTTP server that answers with each of these in turn, and then with 200: headers in small letters and bodies.
pub fn server(answers: &'static [u16]) -> (String, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/in", listener.local_addr().expect("an address"));
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        let mut answers = answers.iter();
        for stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream);
            loop {
                let mut head = String::new();
                while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
                let head = head.to_lowercase();
                let Some(length) = head.split("content-length: ").nth(1) else {
                    break;
                };
                let length: usize = length
                    .lines()
                    .next()
                    .expect("a line")
                    .trim()
                    .parse()
                    .expect("a number");
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("a body");
                let status = answers.next().unwrap_or(&200);
                let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                reader
                    .get_mut()
                    .write_all(text.as_bytes())
                    .expect("answered");
                let body = String::from_utf8(body).expect("text");
                if sender.send((head, body)).is_err() {
                    return;
                }
            }
        }
    });
    (url, requests)
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head
        .lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("{name} in {head}"))
}

#[test]
fn a_webhook_is_signed_retried_and_told_once() {
    let dir = directory();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "key\n").expect("written");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).expect("closed");
    let (url, requests) = server(&[503, 429, 200, 400]);
    let targets = format!(
        "[[targets]]\nname = \"soc\"\nkind = \"webhook\"\nto = \"{url}\"\nsecret_file = {secret:?}\n"
    );
    let n = notifier(dir.path(), &targets);
    n.tell(notice(10));
    let got: Vec<_> = (0..3)
        .map(|_| {
            requests
                .recv_timeout(Duration::from_secs(60))
                .expect("a request")
        })
        .collect();
    for (head, body) in &got {
        assert_eq!(header(head, "idempotency-key"), "000000000000000a-1-new");
        let signature = header(head, "x-flowhouse-signature");
        let (at, hex) = signature
            .strip_prefix("t=")
            .and_then(|s| s.split_once(",v1="))
            .expect("its form");
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        let tag: Vec<u8> = (0..hex.len() / 2)
            .map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hex"))
            .collect();
        hmac::verify(&key, format!("{at}.{body}").as_bytes(), &tag).expect("the right signature");
        assert_eq!(body, &got[0].1);
        let body: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(body["incident"]["kind"], "port_scan");
        assert_eq!(body["event"], "new");
    }
    // what the receiver will never take is given up
    n.tell(notice(11));
    eventually("given up", || counts(&n).dropped == 1);
    eventually("counted", || {
        (counts(&n).sent, counts(&n).failed, counts(&n).waiting) == (1, 3, 0)
    });
    n.stop();
}

#[test]
fn a_receiver_that_is_away_gets_its_notices_after_a_restart() {
    let dir = directory();
    let port = free_port();
    let targets = format!(
        "[[targets]]\nname = \"soc\"\nkind = \"webhook\"\nto = \"http://127.0.0.1:{port}/\"\n"
    );
    let n = notifier(dir.path(), &targets);
    n.tell(notice(1));
    n.tell(notice(2));
    eventually("tried", || counts(&n).failed > 0 && counts(&n).waiting == 2);
    n.stop();
    let (url, requests) = server(&[]);
    let n = notifier(
        dir.path(),
        &targets.replace(&format!("http://127.0.0.1:{port}/"), &url),
    );
    for id in ["0000000000000001", "0000000000000002"] {
        let (_, body) = requests
            .recv_timeout(Duration::from_secs(60))
            .expect("a request");
        assert!(body.contains(id), "{body}");
    }
    eventually("nothing waits", || counts(&n).waiting == 0);
    n.stop();
    let left = std::fs::read_dir(dir.path().join("notify/soc")).expect("the queue");
    assert_eq!(left.count(), 0);
}

#[test]
fn alertmanager_takes_alerts() {
    let dir = directory();
    let config = dir.path().join("alertmanager.yml");
    std::fs::write(
        &config,
        "route:\n  receiver: none\nreceivers:\n  - name: none\n",
    )
    .expect("written");
    let port = free_port();
    let mut manager = Command::new("prometheus-alertmanager");
    manager.arg(format!("--config.file={}", config.display()));
    manager.arg(format!(
        "--storage.path={}",
        dir.path().join("data").display()
    ));
    manager
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--cluster.listen-address=");
    let quiet = manager.stdout(Stdio::null()).stderr(Stdio::null());
    let _manager = Running(quiet.spawn().expect("prometheus-alertmanager runs"));
    let url = format!("http://127.0.0.1:{port}");
    let n = notifier(
        dir.path(),
        &format!("[[targets]]\nname = \"am\"\nkind = \"alertmanager\"\nto = \"{url}\"\n"),
    );
    n.tell(notice(10));
    n.tell(Notice {
        event: Event::Grown,
        ..notice(10)
    });
    eventually("delivered", || counts(&n).sent == 2);
    let alerts = run(Command::new("curl").args(["-sS", "--fail", &format!("{url}/api/v2/alerts")]));
    let alerts: Value = serde_json::from_str(&alerts).expect("JSON");
    // told twice, and one alert
    assert_eq!(alerts.as_array().map(Vec::len), Some(1), "{alerts}");
    assert_eq!(alerts[0]["labels"]["alertname"], "Flowhouse_port_scan");
    assert_eq!(alerts[0]["labels"]["severity"], "medium");
    assert_eq!(alerts[0]["labels"]["entity"], "10.1.2.3");
    assert_eq!(alerts[0]["status"]["state"], "active");
    assert_eq!(alerts[0]["startsAt"], "2026-11-26T23:59:00.000Z");
    n.stop();
}

#[test]
fn rsyslog_reads_messages_over_udp_and_tcp() {
    let dir = directory();
    let (config, out) = (dir.path().join("rsyslog.conf"), dir.path().join("out"));
    let udp = UdpSocket::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address")
        .port();
    let tcp = free_port();
    let text = format!(
        "global(workDirectory={dir:?} maxMessageSize=\"64k\")\nmodule(load=\"imudp\")\nmodule(load=\"imtcp\")\n\
         input(type=\"imudp\" address=\"127.0.0.1\" port=\"{udp}\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{tcp}\")\n\
         template(name=\"t\" type=\"string\" string=\"%syslogfacility%|%syslogseverity-text%|%hostname%|%app-name%|%msgid%|%msg%\\n\")\n\
         action(type=\"omfile\" file={out:?} template=\"t\")\n",
        dir = dir.path(),
    );
    std::fs::write(&config, text).expect("written");
    let mut syslog = Command::new("rsyslogd");
    syslog
        .args(["-n", "-f"])
        .arg(&config)
        .arg("-i")
        .arg(dir.path().join("pid"));
    let quiet = syslog.stdout(Stdio::null()).stderr(Stdio::null());
    let _syslog = Running(quiet.spawn().expect("rsyslogd runs"));
    eventually("it listens", || {
        std::net::TcpStream::connect(("127.0.0.1", tcp)).is_ok()
    });
    let target = |name: &str, to: &str, format: &str| {
        format!(
            "[[targets]]\nname = \"{name}\"\nkind = \"syslog\"\nto = \"{to}\"\nformat = \"{format}\"\n"
        )
    };
    let n = notifier(
        dir.path(),
        &(target("u", &format!("udp://127.0.0.1:{udp}"), "json")
            + &target("t", &format!("tcp://127.0.0.1:{tcp}"), "ocsf")),
    );
    n.tell(notice(10));
    n.tell(notice(11));
    let lines = || -> Vec<String> {
        let text = std::fs::read_to_string(&out).unwrap_or_default();
        text.lines()
            .filter(|l| l.contains("|flowhouse|"))
            .map(str::to_owned)
            .collect()
    };
    eventually("four messages", || lines().len() == 4);
    let mut classes = 0;
    for line in lines() {
        let head = "13|warning|sensor|flowhouse|port_scan|";
        let body = line.strip_prefix(head).unwrap_or_else(|| panic!("{line}"));
        let body: Value = serde_json::from_str(body).expect("JSON");
        if body["class_uid"] == 2004 {
            classes += 1;
            assert_eq!(
                body["finding_info"]["attacks"][0]["technique"]["uid"],
                "T1046"
            );
        } else {
            assert_eq!(body["incident"]["entity"]["value"], "10.1.2.3");
        }
    }
    assert_eq!(classes, 2);
    n.stop();
}

#[test]
fn syslog_over_tls_trusts_its_authority_alone() {
    let dir = directory();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).expect("a certificate");
    let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let port = free_port();
    let mut openssl = Command::new("openssl");
    openssl
        .args(["s_server", "-quiet", "-accept", &port.to_string(), "-cert"])
        .arg(&certificate)
        .arg("-key")
        .arg(&key);
    let piped = openssl
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut server = Running(piped.spawn().expect("openssl runs"));
    let mut said = server.0.stdout.take().expect("its output");
    let target = format!(
        "[[targets]]\nname = \"t\"\nkind = \"syslog\"\nto = \"tls://localhost:{port}\"\nformat = \"ecs\"\n"
    );
    let n = notifier(dir.path(), &target);
    n.tell(notice(10));
    eventually("not trusted", || counts(&n).failed > 0);
    assert_eq!(counts(&n).sent, 0);
    n.stop();
    // what waited goes to the one that is trusted
    let n = notifier(dir.path(), &format!("{target}ca_file = {certificate:?}\n"));
    eventually("delivered", || counts(&n).sent == 1);
    let mut frame = vec![0; 64];
    said.read_exact(&mut frame).expect("a frame");
    let frame = String::from_utf8_lossy(&frame).into_owned();
    let (length, message) = frame.split_once(' ').expect("octets counted");
    assert!(length.parse::<usize>().is_ok_and(|n| n > 500), "{frame}");
    assert!(message.starts_with("<108>1 20"), "{frame}");
    n.stop();
}

#[test]
fn incidents_over_http_and_escalation() {
    let dir = directory();
    let (store, config) = world(dir.path());
    let now = now_ms(&store);
    let (one, two) = (0x0a, 0xfeed_0000_0000_0001);
    // of a past that was replayed
    let mut three = beacon(0xdead_0000_0000_0001, now);
    three
        .evidence
        .facts
        .push((REPLAYED.into(), "so".to_owned()));
    deliver(
        &store,
        vec![vec![
            shown(scan(one, 1, now, 60)),
            shown(beacon(two, now)),
            shown(three),
        ]],
        now - 5_000,
    );
    let (url, requests) = server(&[]);
    let notify = format!(
        "[notify]\nescalate_after_min = {{ high = 0 }}\n[[notify.targets]]\nname = \"boss\"\nkind = \"webhook\"\nto = \"{url}\"\nonly_escalated = true\n\
         [receive]\nlisteners = [\"127.0.0.1:0\"]\n"
    );
    let collector = Collector::start(dir.path(), &(store.config() + &notify));
    // nobody looked at the beacon in time; the scan is of another severity
    let (_, body) = requests
        .recv_timeout(Duration::from_secs(90))
        .expect("a request");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(
        (&body["event"], &body["incident"]["id"]),
        (&"escalated".into(), &"feed000000000001".into())
    );
    assert_eq!(json(&config, &["show", "feed"])["state"], "escalated");
    assert!(say(&config, &["history", "feed"]).contains("nobody looked at it within 0 min"));

    let page = |path: &str| -> (u16, Value) {
        let (status, text) = collector.page(path);
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    };
    let (status, list) = page("/detections");
    assert_eq!((status, list.as_array().map(Vec::len)), (200, Some(3)));
    assert_eq!(page("/detections?severity=high").1[0]["kind"], "beacon");
    assert_eq!(
        page("/detections?entity=10.1.2.0/24").1[0]["kind"],
        "port_scan"
    );
    assert_eq!(page("/detections?entity=nonsense").0, 400);
    assert_eq!(
        page("/detections/feed000000000001").1["evidence"]["counterfactual"],
        "86 fewer ports without an answer"
    );
    assert_eq!(page("/detections/0000000000000bad").0, 404);
    // as much of an id as one incident alone begins with, as on the command line
    assert_eq!(page("/detections/FEED").1["id"], "feed000000000001");
    assert_eq!(page("/detections/feed/history").0, 200);
    assert_eq!(page("/detections/nothing").0, 404);
    let address = format!("http://{}", collector.http);
    let step = |id: &str, body: &str, more: &[&str]| -> String {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-H",
            "content-type: application/json",
            "-d",
            body,
        ]);
        run(curl
            .args(more)
            .arg(format!("{address}/detections/{id}/state")))
    };
    let closing = r#"{"state":"closed","who":"bob","why":"done"}"#;
    assert_eq!(
        step("feed000000000001", r#"{"state":"gone","who":"bob"}"#, &[]),
        "400"
    );
    assert_eq!(step("0000000000000bad", closing, &[]), "404");
    assert_eq!(
        step(
            "feed000000000001",
            closing,
            &["-H", "origin: http://evil.example"]
        ),
        "403"
    );
    assert_eq!(step("feed", closing, &[]), "204");
    assert_eq!(page("/detections").1.as_array().map(Vec::len), Some(2));
    let history = page("/detections/feed000000000001/history").1;
    let last = history.as_array().and_then(|h| h.last()).expect("steps");
    assert_eq!(
        (&last["what"], &last["who"], &last["via"]),
        (&"closed".into(), &"bob".into(), &"api".into())
    );
    assert_eq!(page("/detections/dead").1["state"], "new");
    let times = json(&config, &["times"]);
    assert_eq!(
        (&times[0]["severity"], &times[0]["incidents"]),
        (&"high".into(), &1.into())
    );
    assert_eq!(collector.metric("flowhouse_notify_sent_total") as u64, 1);
    collector.stop();
}

/// Who is told changes with a reload: a new target is told from then on, one that is no more is not, and one that stays goes on with what waits.
#[test]
fn targets_change_with_a_reload() {
    let dir = directory();
    let target = |name: &str, url: &str| {
        format!("[[notify.targets]]\nname = \"{name}\"\nkind = \"webhook\"\nto = \"{url}\"\n")
    };
    let ((first, heard_first), (second, heard_second)) = (server(&[]), server(&[]));
    let of = |text: &str| {
        let settings: Settings =
            toml::from_str(&text.replace("[[notify.targets]]", "[[targets]]")).expect("settings");
        settings.targets
    };
    let n = notifier(dir.path(), "");
    assert!(!n.has_targets());
    n.tell(notice(1));
    let (one, two) = (target("one", &first), target("two", &second));
    n.change(&of(&one)).expect("one");
    n.tell(notice(2));
    n.change(&of(&[&*one, &two].concat())).expect("both");
    n.tell(notice(3));
    n.change(&of(&two)).expect("the other");
    n.tell(notice(4));
    eventually("the other is told of what came after it", || {
        counts(&n).sent == 2
    });
    n.stop();
    let heard = |of: &Receiver<(String, String)>| {
        let ids = of.try_iter().map(|(_, body)| {
            let body: Value = serde_json::from_str(&body).expect("JSON");
            body["incident"]["id"].as_str().expect("an id").to_owned()
        });
        ids.collect::<Vec<_>>()
    };
    let id = |n: u64| format!("{n:016x}");
    assert_eq!(heard(&heard_second), [id(3), id(4)]);
    // what it was handed before is told by the end, or waits on disk for it to come back
    let told = heard(&heard_first);
    assert!([id(2), id(3)].starts_with(&told), "{told:?}");
    n.change(&of(&one)).expect("one again");
    let mut told = told;
    while told.len() < 2 {
        let (_, body) = heard_first
            .recv_timeout(Duration::from_secs(60))
            .expect("what waited");
        let body: Value = serde_json::from_str(&body).expect("JSON");
        told.push(body["incident"]["id"].as_str().expect("an id").to_owned());
    }
    assert_eq!(told, [id(2), id(3)]);
    n.stop();

    let base = "[sink]\nkind = \"drop\"\n[receive]\nlisteners = [\"127.0.0.1:0\"]\n";
    let place = dir.path().join("collector");
    std::fs::create_dir(&place).expect("a folder");
    let collector = Collector::start(&place, base);
    let of_soc = "flowhouse_notify_waiting{target=\"soc\"}";
    assert!(!collector.page("/metrics").1.contains(of_soc));
    configure(&place, &(base.to_owned() + &target("soc", &first)));
    let (status, text) = collector.reload();
    assert_eq!(status, 200, "{text}");
    assert!(
        text.contains("notify.targets") && !text.contains("restart"),
        "{text}"
    );
    assert!(collector.page("/metrics").1.contains(of_soc));
    // one that cannot be told changes nothing
    let file = dir.path().join("nowhere");
    let wrong = target("soc", &first) + &format!("secret_file = {file:?}\n");
    configure(&place, &(base.to_owned() + &wrong));
    let (status, text) = collector.reload();
    assert_eq!(status, 422, "{text}");
    assert!(text.contains("notify target soc"), "{text}");
    collector.stop();
}
