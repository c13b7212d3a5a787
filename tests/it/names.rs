//! Names for numbers from the configuration to the store: networks, roles, QoS policies and categories, on generated
//! exporters and on real captures; and what `check` says when they are wrong.

use crate::harness::{Collector, Store, assert_laws, corpus, directory, eventually, exe, run};
use flowhouse::generate::sender::{Plan, send};
use flowhouse::generate::{Habits, Profile};
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::process::Command;
use std::sync::atomic::AtomicBool;

const ONE: &str = "[receive]\nlisteners = [\"127.0.0.1:0\"]\n";

fn export(to: SocketAddr, flows: u64) -> u64 {
    let plan = Plan {
        first_exporter: 0,
        to,
        profiles: vec![Profile::Router],
        exporters: 1,
        habits: Habits::default(),
        rate: 8_000,
        flows: Some(flows),
        duration: None,
        seed: 11,
        pool: 200,
        segment: false,
    };
    send(&plan, &AtomicBool::new(false), |_| {})
        .expect("sent")
        .flows
}

#[test]
fn names_reach_the_store() {
    let dir = directory();
    let store = Store::start(dir.path());
    let names = r#"
[enrich.networks]
list = [{ prefix = "10.0.0.0/8", name = "clients", site = "berlin", zone = "inside" }]
[[enrich.classify]]
when = 'exporter.address.startsWith("127.") && interface.index % 2 == 0'
role = "wan"
site = "berlin"
[enrich.qos.classes.broadcast-video]
budget_mbit = 1
[[enrich.qos.policies]]
name = "branch"
preset = "8-class"
roles = ["wan"]
[enrich.qos.policies.classes.voice]
budget_mbit = 2
"#;
    let collector = Collector::start(dir.path(), &format!("{ONE}{}{names}", store.config()));
    let sent = export(collector.udp[0], 4_000);
    collector.settle(sent);
    assert_laws(&collector.stop());
    let sql = store.sql();
    let none = |text: &str| assert_eq!(sql.numbers(text), [0], "{text}");
    let inside =
        |side: &str| format!("isIPAddressInRange(toString({side}_addr), '::ffff:10.0.0.0/104')");
    for side in ["src", "dst"] {
        let yes = inside(side);
        none(&format!(
            "SELECT countIf(({side}_net = 'clients') != {yes}) FROM flows"
        ));
    }
    assert!(sql.numbers("SELECT countIf(src_net != '') FROM flows")[0] > 100);
    assert_eq!(
        sql.rows("SELECT name, site, zone, prefixes FROM networks FINAL"),
        [["clients", "berlin", "inside", "1"]]
    );
    // every interface of a flow is in the inventory, with its role and policy, and policies name the classes
    none(
        "SELECT countIf((role = 'wan') != (if_index % 2 = 0) OR (qos_policy = 'branch') != (role = 'wan')) FROM interfaces FINAL",
    );
    none(
        "SELECT count() FROM flows WHERE in_if != 0 AND (exporter, in_if) NOT IN (SELECT exporter, if_index FROM interfaces FINAL)",
    );
    let by_policy = "SELECT count() FROM flows AS f LEFT JOIN (SELECT exporter, if_index, qos_policy FROM interfaces FINAL) AS i \
        ON f.exporter = i.exporter AND f.in_if = i.if_index \
        LEFT JOIN (SELECT policy, dscp, class FROM qos_code_points FINAL) AS c \
        ON c.policy = i.qos_policy AND c.dscp = bitShiftRight(f.tos, 2) \
        WHERE f.qos_class != c.class";
    none(by_policy);
    none(
        &by_policy
            .replace("f.in_if", "f.out_if")
            .replace("f.qos_class", "f.egress_qos_class"),
    );
    // voice is one class inside, another one outside
    let voice = |side: &str| {
        format!(
            "SELECT DISTINCT qos_class FROM usage_1m WHERE dscp = 46 AND direction = '{side}' ORDER BY qos_class"
        )
    };
    for side in ["ingress", "egress"] {
        assert_eq!(sql.rows(&voice(side)), [["telephony"], ["voice"]], "{side}");
    }
    assert!(sql.numbers("SELECT countIf(qos_class = 'call-signaling') FROM flows")[0] > 0);
    // signalling is marked CS3: right in eight classes, not in those of RFC 4594
    let sip = "FROM usage_once WHERE app = 'sip' AND qos_class = 'broadcast-video'";
    let wrong = sql.numbers(&format!("SELECT sum(bytes) {sip}"));
    assert!(wrong[0] > 0);
    assert_eq!(
        sql.numbers(
            "SELECT sum(bytes) FROM qos_misuse WHERE direction = 'ingress' AND app = 'sip' AND has(expected, 'signaling')"
        ),
        wrong
    );
    none("SELECT count() FROM qos_misuse WHERE app = 'sip' AND policy = 'branch'");
    none("SELECT count() FROM qos_misuse WHERE app = 'rtp-audio'");
    assert_eq!(
        sql.rows("SELECT category, relevance FROM application_catalog FINAL WHERE app IN ('zoom', 'ms-teams-video') ORDER BY app"),
        [["conferencing", "business"], ["conferencing", "business"]]
    );
    let budgets =
        sql.rows("SELECT DISTINCT policy, qos_class, budget FROM qos_budget ORDER BY policy");
    assert_eq!(
        budgets,
        [
            ["branch", "voice", "2000000"],
            ["rfc4594", "broadcast-video", "1000000"]
        ]
    );
    none("SELECT countIf(abs(used - bits_per_second / budget) > 0.001) FROM qos_budget");
    // what has no class is in no wrong one, and a share of a speed that nobody knows is no budget of 0
    sql.run("INSERT INTO flowhouse.interfaces (exporter, if_index, qos_policy, updated_at) VALUES ('192.0.2.200', 1, 'shares', now())");
    sql.run("INSERT INTO flowhouse.qos_classes (policy, class, budget_percent, updated_at) VALUES ('shares', 'standard', 20, now())");
    sql.run("INSERT INTO flowhouse.usage_1m (time, exporter, if_index, direction, app, qos_class, est_bytes) \
        VALUES (now(), '192.0.2.200', 2, 'ingress', 'sip', 'none', 1000), (now(), '192.0.2.200', 1, 'ingress', 'dns', 'standard', 1000)");
    none("SELECT count() FROM qos_misuse WHERE exporter = '192.0.2.200'");
    assert_eq!(
        sql.numbers("SELECT count(), isNull(any(budget)), isNull(any(used)) FROM qos_budget WHERE policy = 'shares'"),
        [1, 1, 1]
    );
}

/// An IPFIX message of one exporter, with its sets.
fn ipfix(sequence: u32, sets: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![];
    for (id, bytes) in sets {
        body.extend(id.to_be_bytes());
        body.extend((bytes.len() as u16 + 4).to_be_bytes());
        body.extend(bytes);
    }
    let now = std::time::UNIX_EPOCH.elapsed().expect("a clock").as_secs() as u32;
    let mut message = vec![0, 10];
    message.extend((body.len() as u16 + 16).to_be_bytes());
    message.extend([now, sequence, 1].map(u32::to_be_bytes).concat());
    [message, body].concat()
}

/// What an exporter says of its VRFs in options data stands beside its flows.
#[test]
fn vrf_names_reach_the_store() {
    let dir = directory();
    let store = Store::start(dir.path());
    let collector = Collector::start(dir.path(), &format!("{ONE}{}", store.config()));
    let words = |words: &[u16]| {
        words
            .iter()
            .flat_map(|w| w.to_be_bytes())
            .collect::<Vec<_>>()
    };
    let name = |vrf: u32, name: &[u8]| [&vrf.to_be_bytes(), name].concat();
    let flow = |source: u8, ingress: u32, egress: u32| {
        let numbers = [ingress, egress, 1_000].map(u32::to_be_bytes).concat();
        [&[192, 0, 2, source, 198, 51, 100, 1][..], &numbers].concat()
    };
    let messages = [
        ipfix(
            0,
            &[
                (3, words(&[256, 2, 1, 234, 4, 236, 4])),
                (2, words(&[257, 5, 8, 4, 12, 4, 234, 4, 235, 4, 1, 4])),
            ],
        ),
        ipfix(0, &[(256, [name(9, b"blue"), name(10, b"red\0")].concat())]),
        ipfix(
            2,
            &[(
                257,
                [flow(1, 9, 10), flow(2, 10, 9), flow(3, 9, 77)].concat(),
            )],
        ),
    ];
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    for message in &messages {
        socket.send_to(message, collector.udp[0]).expect("sent");
    }
    collector.settle(3);
    assert_laws(&collector.stop());
    let sql = store.sql();
    assert_eq!(
        sql.rows("SELECT vrf, name FROM vrfs FINAL ORDER BY vrf"),
        [["9", "blue"], ["10", "red"]]
    );
    assert_eq!(
        sql.rows("SELECT ingress_vrf, ingress_vrf_name, egress_vrf_name, est_bytes FROM flows_with_vrfs ORDER BY src_addr"),
        [["9", "blue", "red", "1000"], ["10", "red", "blue", "1000"], ["9", "blue", "", "1000"]]
    );
}

/// A list behind HTTP names the flows of a collector that runs already.
#[test]
fn fetched_networks_reach_running_shards() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let server = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().expect("the collector asks");
        let _ = client.read(&mut [0; 4096]).expect("a request");
        let body = r#"{"results":[{"prefix":"10.0.0.0/8","description":"fetched"}]}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        client
            .write_all(format!("{head}{body}").as_bytes())
            .expect("answered");
    });
    let dir = directory();
    let store = Store::start(dir.path());
    let names = format!(
        "[[enrich.networks.remotes]]\nurl = {url:?}\nitems = \"/results\"\nfields = {{ name = \"/description\" }}\n"
    );
    let collector = Collector::start(dir.path(), &format!("{ONE}{}{names}", store.config()));
    server.join().expect("asked");
    let (sql, mut sent) = (store.sql(), 0);
    eventually("flows have the fetched name", || {
        sent += export(collector.udp[0], 200);
        collector.settle(sent);
        sql.numbers("SELECT countIf(src_net = 'fetched' OR dst_net = 'fetched') FROM flows")[0] > 0
    });
    assert_laws(&collector.stop());
    assert_eq!(sql.rows("SELECT name FROM networks FINAL"), [["fetched"]]);
    let kept = fs::read_dir(dir.path().join("state")).expect("the state directory");
    let kept = kept
        .flatten()
        .filter(|f| f.file_name().to_string_lossy().starts_with("networks-"));
    assert!(kept.count() >= 1, "the answer is kept for the next start");
}

/// Real exports: every address has the name of the longest prefix that a search through all finds.
#[test]
fn real_captures_are_named() {
    let Some(corpus) = corpus() else { return };
    let list: [(&str, u8, &str); 6] = [
        ("10.0.0.0", 8, "ten"),
        ("10.0.0.0", 9, "ten-low"),
        ("192.168.0.0", 16, "home"),
        ("172.16.0.0", 12, "lab"),
        ("0.0.0.0", 0, "world"),
        ("fe80::", 10, "link"),
    ];
    let dir = directory();
    let csv: String = list
        .iter()
        .map(|(p, l, n)| format!("{p}/{l},{n}\n"))
        .collect();
    fs::write(
        dir.path().join("networks.csv"),
        format!("prefix,name\n{csv}"),
    )
    .expect("written");
    let config = dir.path().join("flowhouse.toml");
    let file = dir.path().join("networks.csv");
    fs::write(
        &config,
        format!(
            "[enrich.networks]\nfiles = [{:?}]\n",
            file.display().to_string()
        ),
    )
    .expect("written");
    let mut captures: Vec<_> = fs::read_dir(corpus.join("flow"))
        .expect("captures")
        .flatten()
        .map(|f| f.path())
        .collect();
    captures.retain(|p| p.extension().is_some_and(|e| e == "dat" || e == "pcap"));
    captures.sort();
    let out = dir.path().join("out");
    run(Command::new(exe())
        .args(["replay", "--as", "export", "-c"])
        .arg(&config)
        .arg("--out")
        .arg(&out)
        .args(&captures));
    let bits = |a: IpAddr| match a {
        IpAddr::V4(a) => (u128::from(a.to_bits()) << 96, true),
        IpAddr::V6(a) => (a.to_bits(), false),
    };
    let expected = |text: &str| {
        let (address, v4) = bits(text.parse().expect("an address"));
        let holds = list.iter().filter(|(prefix, length, _)| {
            let (prefix, family) = bits(prefix.parse().expect("a prefix"));
            family == v4 && (*length == 0 || (address ^ prefix) >> (128 - u32::from(*length)) == 0)
        });
        holds.max_by_key(|n| n.1).map(|n| n.2)
    };
    let (mut rows, mut named) = (0, 0);
    for line in fs::read_to_string(out.join("flows.ndjson"))
        .expect("flows")
        .lines()
    {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        for (address, net) in [("src_addr", "src_net"), ("dst_addr", "dst_net")] {
            if let Some(text) = row[address].as_str() {
                assert_eq!(row[net].as_str(), expected(text), "{line}");
                named += u32::from(row[net].is_string());
            }
        }
        rows += 1;
    }
    assert!(rows > 1_000 && named > 1_000, "{rows} rows, {named} names");
}

#[test]
fn check_names_every_fault_of_names() {
    let dir = directory();
    fs::write(
        dir.path().join("n.csv"),
        "prefix,name\n10.0.0.0/8,a\n10.0.0.1/8,b\n",
    )
    .expect("written");
    let text = format!(
        r#"[enrich.networks]
files = [{:?}]
[[enrich.networks.remotes]]
url = "ftp://example.com"
[[enrich.classify]]
when = 'interface.alias == "wan" &&& true'
role = "wan"
[[enrich.applications.rules]]
app = "everything"
[[enrich.applications.names]]
app = "crm"
domains = ["a b"]
[enrich.qos.classes.voice]
budget_percent = 10
"#,
        dir.path().join("n.csv").display().to_string()
    );
    let file = dir.path().join("bad.toml");
    fs::write(&file, text).expect("written");
    let out = Command::new(exe())
        .args(["check", "--offline", "-c"])
        .arg(&file)
        .output()
        .expect("runs");
    let said = String::from_utf8_lossy(&out.stdout);
    assert_eq!(out.status.code(), Some(1), "{said}");
    for part in [
        "bad.toml:2:11: ",
        "n.csv:3: ",
        "did you mean 10.0.0.0/8?",
        "bad.toml:3:1: \"ftp://example.com\" is no http:// or https:// address",
        "bad.toml:6:",
        "bad.toml:8:1: a rule needs `prefixes` or `ports`",
        "bad.toml:10:1: \"a b\" is no domain",
        "bad.toml:13:1: enrich.qos.classes.voice: it is no class of the policy \"rfc4594\" (it has",
    ] {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
}

#[test]
fn check_doubts_what_is_hardly_meant() {
    let dir = directory();
    let csv = dir.path().join("n.csv");
    fs::write(&csv, "prefix,name\n").expect("written");
    let networks = format!(
        "[enrich.networks]\nfiles = [{:?}]\n",
        csv.display().to_string()
    );
    let budgets = "[enrich.qos.classes.telephony]\nbudget_percent = 60\n[enrich.qos.classes.standard]\nbudget_percent = 50\n\
        [[enrich.qos.policies]]\nname = \"branch\"\nroles = [\"wan\"]\n";
    let file = dir.path().join("doubts.toml");
    let check = |text: &str| {
        fs::write(&file, text).expect("written");
        let mut check = Command::new(exe());
        let out = check.args(["check", "--offline", "-c"]).arg(&file).output();
        String::from_utf8_lossy(&out.expect("runs").stdout).into_owned()
    };
    let said = check(&networks);
    assert!(said.contains("n.csv: it names no network"), "{said}");
    let said = check(budgets);
    assert!(
        said.contains("budgets of 110 % of the speed together"),
        "{said}"
    );
    assert!(
        said.contains("for the role \"wan\", which neither"),
        "{said}"
    );
    let given = "[[enrich.interfaces]]\nexporter = \"192.0.2.1\"\nindex = 1\nrole = \"wan\"\n";
    let said = check(
        &budgets
            .replace("50", "40")
            .replace("[[enrich.qos", &format!("{given}[[enrich.qos")),
    );
    assert!(
        !said.contains("budgets of") && !said.contains("which neither"),
        "{said}"
    );
}
