//! Generated exporters to ClickHouse through a running collector: every sum equals the truth, and stays so when the
//! collector is stopped, the store is away, or the store is killed.

use crate::harness::{
    Collector, Sql, Store, assert_laws, directory, embedded, eventually, exe, run, total,
};
use flowhouse::generate::sender::{Plan, Report, clock_ms, send};
use flowhouse::generate::{Export, Exporter, Habits, Profile, SERVICES, Sums};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{JoinHandle, spawn};

const ONE: &str = "[receive]\nlisteners = [\"127.0.0.1:0\"]\n";

/// Exporters of these kinds, one of each, until `flows` were sent.
fn plan(to: SocketAddr, profiles: &[Profile], flows: u64, rate: u64) -> Plan {
    Plan {
        first_exporter: 0,
        to,
        profiles: profiles.to_vec(),
        exporters: profiles.len() as u32,
        habits: Habits::default(),
        rate,
        flows: Some(flows),
        duration: None,
        seed: 11,
        pool: 200,
        segment: false,
    }
}

fn export(plan: &Plan) -> Report {
    send(plan, &AtomicBool::new(false), |_| {}).expect("sent")
}

/// Exporters that send until they are told to end.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Report>,
}

impl Load {
    fn start(to: SocketAddr, rate: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let mut plan = plan(to, &[Profile::Router, Profile::Gateway], 0, rate);
        plan.flows = None;
        let work = move || send(&plan, &told, |_| {}).expect("sent");
        Load {
            stop,
            thread: spawn(work),
        }
    }

    fn stop(self) -> Report {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("it ends")
    }
}

/// Rows, packets, bytes.
fn stored(sql: &Sql, filter: &str) -> Sums {
    let all = format!("SELECT count(), sum(packets), sum(bytes) FROM flows WHERE {filter}");
    let n = sql.numbers(&all);
    Sums {
        flows: n[0],
        packets: n[1],
        bytes: n[2],
    }
}

/// A signal to the whole process group, as Ctrl-C and service managers send it, reaches the embedded store, too.
#[test]
fn a_signal_to_the_group_loses_nothing() {
    let dir = directory();
    let config = format!("{ONE}{}", embedded(dir.path()));
    let collector = Collector::start(dir.path(), &config);
    let load = Load::start(collector.udp[0], 5_000);
    eventually("rows flow", || {
        total(&collector.ledger(), "rows_acknowledged") > 1_000
    });
    collector.signal_store("INT");
    collector.signal_store("TERM");
    let ledger = collector.stop();
    load.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "rows_lost_shutdown"), 0);
    assert_eq!(total(&ledger, "rows_acknowledged"), total(&ledger, "rows"));
    let mut store = Store::planned(dir.path());
    store.run();
    assert_eq!(stored(&store.sql(), "1").flows, total(&ledger, "rows"));
    assert_once(&store.sql());
}

/// No row is there twice, and usage says what flows say.
fn assert_once(sql: &Sql) {
    let twice =
        "SELECT count(), uniqExact(exporter, exporter_port, datagram, record, half) FROM flows";
    let n = sql.numbers(twice);
    assert_eq!(n[0], n[1], "rows that are there twice");
    assert_usage(sql);
}

/// Usage says what flows say, at every resolution.
fn assert_usage(sql: &Sql) {
    let flows = sql.numbers("SELECT count(), sum(packets), sum(bytes) FROM flows");
    for table in ["usage_1m", "usage_5m", "usage_1h"] {
        let sums = format!(
            "SELECT sum(flows), sum(packets), sum(bytes) FROM {table} WHERE direction = 'ingress'"
        );
        assert_eq!(sql.numbers(&sums), flows, "{table}");
    }
}

fn bytes_of<K: ToString>(truth: &BTreeMap<K, Sums>) -> BTreeMap<String, u64> {
    truth
        .iter()
        .map(|(k, s)| (k.to_string(), s.bytes))
        .collect()
}

#[test]
fn what_was_exported_is_what_is_stored() {
    let dir = directory();
    let mut store = Store::planned(dir.path());
    store.run();
    let v6 = UdpSocket::bind("[::1]:0").is_ok();
    let second = if v6 { ", \"[::1]:0\"" } else { "" };
    let config = format!(
        "[receive]\nlisteners = [\"127.0.0.1:0\"{second}]\n{}",
        store.config()
    );
    let collector = Collector::start(dir.path(), &config);
    let kinds = [
        Profile::Router,
        Profile::Gateway,
        Profile::EdgeSwitch,
        Profile::SflowSwitch,
    ];
    let report = export(&plan(collector.udp[0], &kinds, 8_000, 8_000));
    let mut sent = report.flows;
    if v6 {
        let other = export(&plan(collector.udp[1], &[Profile::LoadIpfix], 1_000, 8_000));
        sent += other.flows;
        collector.settle(sent);
        assert_eq!(
            stored(&store.sql(), "exporter = toIPv6('::1')"),
            other.truth.total
        );
    } else {
        eprintln!("skipped in part: this machine has no IPv6");
    }
    collector.settle(sent);
    let sql = store.sql();
    let v4 = "exporter != toIPv6('::1')";
    assert_eq!(stored(&sql, v4), report.truth.total);
    assert_at_rest(&collector);

    let by = |key: &str, table: &str, filter: &str| {
        sql.sums(&format!(
            "SELECT {key}, sum(bytes) FROM {table} WHERE {v4} AND {filter} GROUP BY {key}"
        ))
    };
    let truth = &report.truth;
    let usage_is_in =
        || by("dscp", "usage_1h", "direction = 'ingress'") == bytes_of(&truth.by_dscp);
    eventually("usage by DSCP", usage_is_in);
    for table in ["usage_1m", "usage_5m", "usage_1h"] {
        assert_eq!(
            by("dscp", table, "direction = 'ingress'"),
            bytes_of(&truth.by_dscp),
            "{table}"
        );
        assert_eq!(
            by("dscp", table, "direction = 'egress'"),
            bytes_of(&truth.by_dscp),
            "{table}"
        );
        assert_eq!(
            by("if_index", table, "direction = 'ingress'"),
            bytes_of(&truth.by_in_if),
            "{table}"
        );
        assert_eq!(
            by("if_index", table, "direction = 'egress'"),
            bytes_of(&truth.by_out_if),
            "{table}"
        );
    }
    assert_eq!(by("in_if", "flows", "1"), bytes_of(&truth.by_in_if));
    let key = "exporter, if_index, direction, inferred, app_proto, app, qos_class, dscp";
    let rollup = |table: &str| {
        sql.rows(&format!(
            "SELECT {key}, sum(bytes), sum(flows) FROM {table} GROUP BY ALL ORDER BY ALL"
        ))
    };
    assert_eq!(rollup("usage_5m"), rollup("usage_1m"));
    assert_eq!(rollup("usage_1h"), rollup("usage_1m"));

    let once = sql.numbers("SELECT sum(flows), sum(packets), sum(bytes) FROM usage_once");
    assert_eq!(
        once,
        sql.numbers("SELECT count(), sum(packets), sum(bytes) FROM flows"),
        "each byte once, whichever side it was metered on"
    );
    assert_top(&store, &sql);
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "rows"), sent);
    assert_once(&sql);
}

/// A switch that tells nothing but counters: its interfaces have a speed, so that their use is known.
#[test]
fn the_speed_of_an_interface_is_that_of_its_counters() {
    let dir = directory();
    let store = Store::start(dir.path());
    let collector = Collector::start(dir.path(), &format!("{ONE}{}", store.config()));
    // so that the tables are there
    let first = export(&plan(collector.udp[0], &[Profile::LoadIpfix], 100, 8_000));
    collector.settle(first.flows);
    // interface 9, type 6, 1 Gbit/s, full duplex, up; no octets yet
    let mut counters = vec![9, 6, 0, 1_000_000_000, 1, 3];
    counters.extend([0; 16]);
    let sample = [vec![1, 9, 1, 1, 88], counters].concat();
    let head = vec![
        5,
        1,
        0x0a00_0001,
        0,
        1,
        1_000,
        1,
        2,
        4 * sample.len() as u32,
    ];
    let words = [head, sample].concat();
    let datagram: Vec<u8> = words.iter().flat_map(|w: &u32| w.to_be_bytes()).collect();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.send_to(&datagram, collector.udp[0]).expect("sent");
    let sql = store.sql();
    let speeds = "SELECT if_index, speed FROM interfaces FINAL WHERE speed > 0";
    eventually("the speed is told", || sql.rows(speeds).len() == 1);
    assert_eq!(sql.numbers(speeds), [9, 1_000_000_000]);
    assert_laws(&collector.stop());
}

#[test]
fn applications_and_interfaces_have_the_names_that_exporters_told() {
    let dir = directory();
    let store = Store::start(dir.path());
    let collector = Collector::start(dir.path(), &format!("{ONE}{}", store.config()));
    let kinds = [Profile::Router, Profile::Gateway];
    let plan = plan(collector.udp[0], &kinds, 4_000, 8_000);
    let report = export(&plan);
    collector.settle(report.flows);
    let ledger = collector.stop();
    assert_laws(&ledger);
    let sql = store.sql();
    let apps = sql.sums("SELECT app, sum(bytes) FROM usage_once GROUP BY app");
    assert_eq!(apps, bytes_of(&report.truth.by_application));
    let names = sql.rows("SELECT DISTINCT name FROM applications FINAL ORDER BY name");
    let mut told: Vec<Vec<String>> = SERVICES.iter().map(|s| vec![s.name.into()]).collect();
    told.sort();
    assert_eq!(names, told);
    for (n, profile) in kinds.into_iter().enumerate() {
        let exporter = Exporter::new(profile, plan.habits, n as u32, plan.seed, clock_ms());
        let address = flowhouse::generate::sender::loopback_address(n as u32);
        let sql_text = format!(
            "SELECT if_index, name, description FROM interfaces FINAL WHERE exporter = toIPv6('{address}') ORDER BY if_index"
        );
        let told: Vec<Vec<String>> = exporter
            .interfaces()
            .into_iter()
            .map(|(i, n, d)| vec![i.to_string(), n, d])
            .collect();
        assert_eq!(sql.rows(&sql_text), told, "{profile:?}");
    }
    assert_once(&sql);
}

#[test]
fn exporters_that_meter_both_ways_count_once() {
    let dir = directory();
    let store = Store::start(dir.path());
    let collector = Collector::start(dir.path(), &format!("{ONE}{}", store.config()));
    let kinds = [Profile::Router, Profile::Gateway];
    let mut plan = plan(collector.udp[0], &kinds, 4_000, 8_000);
    plan.habits.both_directions = true;
    let report = export(&plan);
    collector.settle(report.flows);
    assert_laws(&collector.stop());
    let sql = store.sql();
    let all = sql.numbers("SELECT sum(packets), sum(bytes) FROM flows");
    let once = sql.numbers("SELECT sum(packets), sum(bytes) FROM usage_once");
    let ingress = sql.numbers("SELECT sum(packets), sum(bytes) FROM flows WHERE direction = 0");
    assert_eq!(once, ingress, "the ingress side of each");
    assert!(all[1] > ingress[1], "the egress records are stored, too");
}

#[test]
fn a_stop_under_load_loses_nothing() {
    let dir = directory();
    let store = Store::start(dir.path());
    let collector = Collector::start(dir.path(), &format!("{ONE}{}", store.config()));
    let load = Load::start(collector.udp[0], 10_000);
    eventually("rows flow", || {
        total(&collector.ledger(), "rows_acknowledged") > 5_000
    });
    let ledger = collector.stop();
    let report = load.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "rows_lost_shutdown"), 0);
    let rows = total(&ledger, "rows");
    assert!(
        rows > 5_000 && rows <= report.flows,
        "{rows} of {}",
        report.flows
    );
    assert_eq!(total(&ledger, "rows_acknowledged"), rows);
    let sql = store.sql();
    assert_eq!(stored(&sql, "1").flows, rows);
    assert_once(&sql);
    let kept = sql.sums("SELECT outcome, sum(count) FROM ledger GROUP BY outcome");
    for name in [
        "datagrams_received",
        "datagrams_routed",
        "datagrams_parsed",
        "records_decoded",
        "rows",
    ] {
        assert_eq!(
            kept.get(name),
            Some(&total(&ledger, name)),
            "{name} in the table"
        );
    }
}

#[test]
fn a_store_that_comes_later_gets_everything() {
    let dir = directory();
    let mut store = Store::planned(dir.path());
    let config = format!("{ONE}{}[spool]\nmode = \"off\"\n", store.config());
    let collector = Collector::start(dir.path(), &config);
    assert_eq!(collector.page("/healthz").0, 200);
    let report = export(&plan(collector.udp[0], &[Profile::Router], 2_000, 8_000));
    eventually("it was decoded", || {
        total(&collector.ledger(), "rows") == report.flows
    });
    let (status, reason) = collector.page("/readyz");
    assert_eq!(status, 503);
    assert!(
        !reason.contains("not answered yet") && reason.trim().len() > 10,
        "the reason: {reason}"
    );
    assert_eq!(collector.metric("flowhouse_ready"), 0.0);
    store.run();
    collector.settle(report.flows);
    eventually("it is ready", || collector.page("/readyz").0 == 200);
    assert_at_rest(&collector);
    assert_laws(&collector.stop());
    assert_eq!(stored(&store.sql(), "1"), report.truth.total);
    assert_once(&store.sql());
}

#[test]
fn a_store_that_is_killed_has_every_row_once() {
    let dir = directory();
    let mut store = Store::start(dir.path());
    let collector = Collector::start(dir.path(), &format!("{ONE}{}", store.config()));
    let load = Load::start(collector.udp[0], 3_000);
    let acknowledged = || total(&collector.ledger(), "rows_acknowledged");
    eventually("rows flow", || acknowledged() > 2_000);
    store.kill();
    eventually("it is missed", || {
        collector.metric("flowhouse_sink_delivering") == 0.0
    });
    let (status, reason) = collector.page("/readyz");
    assert_eq!(status, 200, "what comes goes to the spool");
    assert!(
        reason.starts_with("ready; spooling: ") && reason.len() > 30,
        "the reason: {reason}"
    );
    let before = total(&collector.ledger(), "rows");
    eventually("rows wait", || {
        total(&collector.ledger(), "rows") > before + 5_000
    });
    store.run();
    let then = acknowledged();
    eventually("rows flow again", || acknowledged() > then + 5_000);
    let report = load.stop();
    collector.settle(report.flows);
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(
        total(&ledger, "rows_quarantined") + total(&ledger, "rows_lost_shutdown"),
        0
    );
    assert_eq!(stored(&store.sql(), "1"), report.truth.total);
    assert_once(&store.sql());
}

#[test]
fn templates_and_names_survive_a_restart() {
    let dir = directory();
    let store = Store::start(dir.path());
    let mut exporters = [Profile::Router, Profile::Gateway].map(Speaker::new);
    let mut sent = 0;
    // once more, with another number of shards: what is kept finds the shard of its exporter
    for shards in [1, 3, 2] {
        let config = format!("{ONE}[shard]\nshards = {shards}\n{}", store.config());
        let collector = Collector::start(dir.path(), &config);
        let mut flows = 0;
        for exporter in &mut exporters {
            flows += exporter.say(collector.udp[0], 20);
        }
        collector.settle(flows);
        let ledger = collector.stop();
        assert_laws(&ledger);
        assert_eq!(
            total(&ledger, "sets_expired_template") + total(&ledger, "sets_decoded_late"),
            0
        );
        assert_eq!(total(&ledger, "rows"), flows);
        sent += flows;
    }
    let sql = store.sql();
    assert_eq!(stored(&sql, "1").flows, sent);
    let other =
        "SELECT app, app_source FROM flows WHERE app_source != 'exporter' AND app != 'unknown'";
    assert_eq!(
        sql.rows(other),
        Vec::<Vec<String>>::new(),
        "names are kept, too"
    );
    let told = "SELECT count() FROM flows WHERE app_source = 'exporter'";
    assert!(sql.numbers(told)[0] > sent / 2);
    // numbers of datagrams start anew with the collector: they tell no doubles here
    assert_usage(&sql);
    let files = std::fs::read_dir(dir.path().join("state")).expect("folder");
    let names = files.map(|f| f.expect("entry").file_name().into_string().expect("text"));
    let kept: Vec<String> = names.filter(|n| n.starts_with("decode-")).collect();
    assert_eq!(kept.len(), 2, "one file a shard: {kept:?}");
}

/// An IPFIX message with its template and a record of 1,000 bytes from interface 1 to 2, metered at one side (element 61).
fn metered(sequence: u32, direction: u8) -> Vec<u8> {
    let elements: [(u16, u16); 7] = [(8, 4), (12, 4), (4, 1), (10, 4), (14, 4), (1, 4), (61, 1)];
    let mut template = vec![1, 0, 0, elements.len() as u8];
    for (element, length) in elements {
        template.extend([element.to_be_bytes(), length.to_be_bytes()].concat());
    }
    let numbers = [0x0a00_0001, 0x0a00_0002].map(u32::to_be_bytes).concat();
    let counted = [1, 2, 1_000].map(u32::to_be_bytes).concat();
    let record = [numbers, vec![6], counted, vec![direction]].concat();
    let mut sets = vec![];
    for (id, body) in [(2u16, template), (256, record)] {
        sets.extend([id.to_be_bytes(), (body.len() as u16 + 4).to_be_bytes()].concat());
        sets.extend(body);
    }
    let now = (clock_ms() / 1_000) as u32;
    let head = [now, sequence, 7].map(u32::to_be_bytes).concat();
    let length = (sets.len() as u16 + 16).to_be_bytes();
    [vec![0, 10], length.to_vec(), head, sets].concat()
}

/// Where an exporter meters is known before its first record: what is sealed before that is not booked for it a second time.
#[test]
fn metering_sides_outlive_a_restart() {
    let dir = directory();
    let store = Store::start(dir.path());
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let send = |collector: &Collector, sequence, direction| {
        let message = metered(sequence, direction);
        socket.send_to(&message, collector.udp[0]).expect("sent");
    };
    let config = format!("{ONE}{}", store.config());
    let collector = Collector::start(dir.path(), &config);
    send(&collector, 0, 0);
    collector.settle(1);
    collector.stop();
    let collector = Collector::start(dir.path(), &config);
    send(&collector, 1, 1);
    collector.settle(1);
    send(&collector, 2, 0);
    collector.settle(2);
    assert_laws(&collector.stop());
    let sql = store.sql();
    assert_eq!(sql.numbers("SELECT sum(bytes) FROM flows"), [3_000]);
    assert_eq!(sql.numbers("SELECT sum(bytes) FROM usage_once"), [2_000]);
    let counted = "SELECT sumIf(bytes, counts_ingress), sumIf(bytes, counts_egress) FROM flows";
    let booked = "SELECT sumIf(bytes, direction = 'ingress'), sumIf(bytes, direction = 'egress') FROM usage_1m";
    assert_eq!(sql.numbers(counted), sql.numbers(booked));
}

/// An exporter that tells its templates once, from one socket.
struct Speaker {
    exporter: Exporter,
    socket: UdpSocket,
}

impl Speaker {
    fn new(profile: Profile) -> Speaker {
        let habits = Habits {
            templates_every: 1 << 40,
            ..Habits::default()
        };
        let number = profile as u32;
        let address = flowhouse::generate::sender::loopback_address(number);
        Speaker {
            exporter: Exporter::new(profile, habits, number, 5, clock_ms()),
            socket: UdpSocket::bind((address, 0)).expect("a free port"),
        }
    }

    fn say(&mut self, to: SocketAddr, datagrams: usize) -> u64 {
        let (mut export, mut flows) = (Export::default(), 0);
        for _ in 0..datagrams {
            self.exporter.next(clock_ms(), &mut export);
            self.socket.send_to(&export.payload, to).expect("sent");
            flows += export.flows.len() as u64;
        }
        flows
    }
}

/// At rest the laws on `/metrics` hold to the unit and say what the ledger says; the other pages answer.
fn assert_at_rest(collector: &Collector) {
    let ledger = collector.ledger();
    assert_laws(&ledger);
    let laws = ledger["laws"].as_array().expect("laws").len() as f64;
    assert_eq!(collector.metric("flowhouse_ledger_law_holds"), laws);
    for name in ["datagrams_received", "rows", "rows_acknowledged"] {
        let metric = collector.metric(&format!("flowhouse_ledger_{name}_total"));
        assert_eq!(metric, total(&ledger, name) as f64, "{name}");
    }
    assert_eq!(
        collector.metric("flowhouse_receive_kernel_drops_total"),
        0.0
    );
    assert_eq!(collector.metric("flowhouse_ready"), 1.0);
    for page in ["/healthz", "/readyz", "/exporters", "/metrics", "/"] {
        assert_eq!(collector.page(page).0, 200, "{page}");
    }
}

/// The rankings of `flowhouse top`, as JSON and as tables, against SQL.
fn assert_top(store: &Store, sql: &Sql) {
    let once = "FROM usage_once";
    let flows = "FROM flows ARRAY JOIN [src_addr, dst_addr] AS address";
    let address = "replaceRegexpOne(IPv6NumToString(KEY), '^::ffff:(.*[.])', '\\\\1')";
    let rankings = [
        ("apps", "app", "app".to_owned(), once),
        ("classes", "qos_class", "qos_class".into(), once),
        (
            "exporters",
            "exporter",
            address.replace("KEY", "exporter"),
            once,
        ),
        (
            "interfaces",
            "if_index",
            "toString(if_index)".into(),
            "FROM usage_1m",
        ),
        ("hosts", "address", address.replace("KEY", "address"), flows),
    ];
    for (what, key, expression, from) in rankings {
        let want = sql.sums(&format!(
            "SELECT {expression} AS k, sum(bytes) AS b {from} GROUP BY k"
        ));
        let url = format!("http://{}", store.address);
        let top = |more: &[&str]| {
            let mut command = Command::new(exe());
            command.args([
                "top", what, "--since", "1d", "--limit", "10000", "--url", &url,
            ]);
            if what == "hosts" {
                // every host, and not only those that have rows of their own each minute
                command.args(["--where", "src in ::/0"]);
            }
            run(command.arg("--key-file").arg(store.key_file()).args(more))
        };
        let answer: serde_json::Value = serde_json::from_str(&top(&["--json"])).expect("JSON");
        let mut got = BTreeMap::new();
        for row in answer["rows"].as_array().expect("rows") {
            let name = match &row[key] {
                serde_json::Value::String(name) => name.clone(),
                number => number.to_string(),
            };
            *got.entry(name).or_insert(0) += row["bytes"].as_u64().expect("bytes");
        }
        assert_eq!(got, want, "top {what}");
        let table = top(&[]);
        assert!(
            want.keys().all(|name| table.contains(name.as_str())),
            "{table}"
        );
    }
}
