//! Operating a collector: reload under load, rights given up, who may send, the service manager, the end.

use crate::harness::{
    Collector, Store, assert_laws, configure, directory, embedded, eventually, total,
};
use flowhouse::generate::sender::{Plan, Report, send};
use flowhouse::generate::{Habits, Profile, Sums};
use nix::sys::ptrace;
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

const ONE: &str = "[receive]\nlisteners = [\"127.0.0.1:0\"]\n";
const DROP: &str = "[sink]\nkind = \"drop\"\n";

/// Two exporters that send until they are told to end.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Report>,
}

impl Load {
    fn start(to: SocketAddr, rate: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let plan = plan(to, rate, None);
        let thread = spawn(move || send(&plan, &told, |_| {}).expect("sent"));
        Load { stop, thread }
    }

    fn stop(self) -> Report {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("it ends")
    }
}

fn plan(to: SocketAddr, rate: u64, flows: Option<u64>) -> Plan {
    Plan {
        first_exporter: 0,
        to,
        profiles: vec![Profile::Router, Profile::Gateway],
        exporters: 2,
        habits: Habits::default(),
        rate,
        flows,
        duration: None,
        seed: 11,
        pool: 200,
        segment: false,
    }
}

fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: only root can give up root's rights");
    }
    root
}

fn bytes_of<K: ToString>(truth: &BTreeMap<K, Sums>) -> BTreeMap<String, u64> {
    let sums = truth.iter().map(|(k, s)| (k.to_string(), s.bytes));
    sums.collect()
}

#[test]
fn reloads_under_load_lose_nothing() {
    let dir = directory();
    let store = Store::start(dir.path());
    let base = format!("{ONE}{}", store.config());
    let collector = Collector::start(dir.path(), &base);
    let load = Load::start(collector.udp[0], 5_000);
    eventually("rows flow", || {
        total(&collector.ledger(), "rows_acknowledged") > 1_000
    });
    for round in 0..40 {
        let class = ["gold", "silver"][round % 2];
        let more = format!(
            "[enrich.qos]\ndscp = {{ EF = \"{class}\" }}\n[[enrich.applications.ports]]\nport = 1\napp = \"nobody-uses-it-{}\"\n[batch]\nseal_age_ms = {}\n",
            round + 1,
            500 + round
        );
        configure(dir.path(), &format!("{base}{more}"));
        if round % 4 == 0 {
            let before = collector.metric("flowhouse_control_reloads_total");
            collector.signal("HUP");
            eventually("the signal was heeded", || {
                collector.metric("flowhouse_control_reloads_total") > before
            });
        } else {
            let (status, text) = collector.reload();
            assert_eq!(status, 200, "{text}");
            let before = ["gold", "silver"][(round + 1) % 2];
            let line = format!("enrich.qos.dscp.EF: \"{before}\" -> \"{class}\"");
            assert!(text.contains(&line), "{text}");
        }
    }
    assert_eq!(collector.metric("flowhouse_control_reload_successful"), 1.0);
    let report = load.stop();
    collector.settle(report.flows);
    let ledger = collector.stop();
    assert_laws(&ledger);
    for lost in [
        "sequence_gaps",
        "datagrams_dropped_queue",
        "rows_lost_shutdown",
    ] {
        assert_eq!(total(&ledger, lost), 0, "{lost}");
    }
    assert_eq!(total(&ledger, "datagrams_received"), report.datagrams);
    assert_eq!(total(&ledger, "rows"), report.flows);
    let sql = store.sql();
    let n = sql.numbers(
        "SELECT count(), sum(packets), sum(bytes), uniqExact(exporter, exporter_port, datagram, record, half) FROM flows",
    );
    let truth = &report.truth.total;
    assert_eq!(n, [truth.flows, truth.packets, truth.bytes, truth.flows]);
    // names that exporters taught before are there after every reload, and no row got another's
    let apps = sql.sums("SELECT app, sum(bytes) FROM usage_once GROUP BY app");
    assert_eq!(apps, bytes_of(&report.truth.by_application));
    let classes = |table: &str, also: &str| {
        sql.sums(&format!(
            "SELECT qos_class, sum(bytes) FROM {table} WHERE dscp = 46 {also} GROUP BY qos_class"
        ))
    };
    let named = classes("usage_1m", "AND direction = 'ingress'");
    let names: Vec<&str> = named.keys().map(String::as_str).collect();
    assert_eq!(names, ["gold", "silver", "telephony"]);
    assert_eq!(
        named.values().sum::<u64>(),
        bytes_of(&report.truth.by_dscp)["46"]
    );
    assert_eq!(classes("flows", ""), named);
}

/// An IPFIX message of one set.
fn message(sequence: u32, id: u16, body: &[u16]) -> Vec<u8> {
    let length = 20 + 2 * body.len() as u16;
    let head = [
        10,
        length,
        0x6800,
        0,
        (sequence >> 16) as u16,
        sequence as u16,
    ];
    let words = [&head[..], &[0, 1, id, length - 16], body].concat();
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

#[test]
fn what_was_learned_just_before_a_kill_is_known_after_it() {
    let dir = directory();
    let base = format!("{DROP}{ONE}");
    let collector = Collector::start(dir.path(), &base);
    let kept = || {
        let files = (0..8).filter_map(|n| {
            std::fs::read_to_string(dir.path().join(format!("state/decode-{n}"))).ok()
        });
        files.collect::<String>()
    };
    eventually("a state is kept", || !kept().is_empty());
    // a template of octets and packets, and the sampling interval of the domain
    let exporter = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let learned = [
        message(0, 2, &[300, 2, 1, 4, 2, 4]),
        message(0, 3, &[301, 2, 1, 149, 4, 34, 4]),
        message(0, 301, &[0, 1, 0, 64]),
    ];
    for datagram in &learned {
        exporter.send_to(datagram, collector.udp[0]).expect("sent");
    }
    let began = std::time::Instant::now();
    eventually("all of it is kept", || {
        [r#""id":300"#, r#""domain":64"#]
            .iter()
            .all(|mark| kept().contains(mark))
    });
    // a state that is kept every half minute takes longer
    let took = began.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    collector.kill();
    let collector = Collector::start(dir.path(), &base);
    let data = message(1, 300, &[0, 1_000, 0, 2]);
    exporter.send_to(&data, collector.udp[0]).expect("sent");
    eventually("it is decoded", || total(&collector.ledger(), "rows") == 1);
    let ledger = collector.stop();
    assert_laws(&ledger);
    for unknown in ["sets_decoded_late", "sampling_unknown"] {
        assert_eq!(total(&ledger, unknown), 0, "{unknown}");
    }
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let dir = directory();
    let base = format!("{DROP}{ONE}");
    let collector = Collector::start_with(dir.path(), &base, |c| {
        if nix::unistd::geteuid().is_root() {
            c.args(["--user", "nobody"]);
        }
    });
    let file = dir.path().join("flowhouse.toml");
    let say = |line: usize, column: usize| format!("{}:{line}:{column}: ", file.display());

    configure(
        dir.path(),
        &format!("{base}deny = [\"127.0.0.9\"]\nbatchh = 3\n[enrich.qos]\nunmapped = 7\n"),
    );
    let (status, text) = collector.reload();
    assert_eq!(status, 422);
    assert!(text.starts_with("nothing was changed:\n"), "{text}");
    let fault = say(7, 1) + "unknown field `batchh`";
    assert!(
        text.contains(&fault) && text.contains("did you mean `batch`?"),
        "{text}"
    );
    assert!(text.contains(&say(9, 12)), "every fault is there: {text}");
    assert!(!text.contains("hunter"), "{text}");
    collector.signal("HUP");
    let line = collector.logs("unknown field `batchh`");
    assert!(line.contains("ERROR reload: "), "{line}");
    eventually("the failure is counted", || {
        let page = collector.page("/metrics").1;
        page.contains("flowhouse_control_reloads_total{result=\"failure\"} 2")
    });
    assert_eq!(collector.metric("flowhouse_control_reload_successful"), 0.0);

    // one that would need what was given up
    if nix::unistd::geteuid().is_root() {
        let config =
            "[receive]\nlisteners = [\"127.0.0.1:0\", \"127.0.0.1:514\"]\ndeny = [\"127.0.0.9\"]\n";
        configure(dir.path(), &format!("{DROP}{config}"));
        let (status, text) = collector.reload();
        assert_eq!(status, 422);
        let fault = say(5, 1) + "receive.listeners: 127.0.0.1:514 needs the right";
        assert!(text.contains(&fault), "{text}");
        configure(
            dir.path(),
            &format!("{base}[privileges]\nuser = \"root\"\n"),
        );
        let (status, text) = collector.reload();
        assert!(
            status == 422 && text.contains("privileges.user cannot change"),
            "{text}"
        );
    }

    // nothing of all that is in force; then what is live is, and what is not is named
    configure(
        dir.path(),
        &format!("log_level = \"debug\"\n{base}deny = [\"127.0.0.9\"]\nqueue = 300\n"),
    );
    let (status, text) = collector.reload();
    assert_eq!(status, 200, "{text}");
    let expected = "reloaded: 2 change(s)\nlog_level: \"info\" -> \"debug\"\nreceive.deny: [] -> [\"127.0.0.9\"]\nreceive.queue: 256 -> 300 needs a restart\n";
    assert_eq!(text, expected);
    collector.logs("WARN reload: receive.queue: 256 -> 300 needs a restart");
    let (_, text) = collector.reload();
    assert_eq!(
        text,
        "reloaded: 0 change(s)\nreceive.queue: 256 -> 300 needs a restart\n"
    );
    std::fs::remove_file(&file).expect("removed");
    let (status, text) = collector.reload();
    assert!(
        status == 422 && text.contains("cannot be read by user"),
        "{text}"
    );
    // a pipe is not waited for
    let all = nix::sys::stat::Mode::from_bits_truncate(0o666);
    nix::unistd::mkfifo(&file, all).expect("a pipe");
    let (status, text) = collector.reload();
    assert!(
        status == 422 && text.contains("is no regular file"),
        "{text}"
    );
    assert_laws(&collector.stop());
}

#[test]
fn strangers_are_counted_and_not_decoded_also_after_a_reload() {
    let dir = directory();
    let with = |more: &str| format!("{DROP}{ONE}{more}\n");
    let lists = "allow = [\"127.0.0.0/8\"]\ndeny = [\"127.0.0.3\"]\nexporters_max = 2";
    let collector = Collector::start(dir.path(), &with(lists));
    let socket =
        |last: u8| UdpSocket::bind((std::net::Ipv4Addr::new(127, 0, 0, last), 0)).expect("bound");
    let sockets: Vec<UdpSocket> = (2..=5).map(socket).collect();
    // a datagram of version 5 without a record
    let mut datagram = [0u8; 24];
    datagram[1] = 5;
    let mut sent = 0;
    let mut round = || {
        for socket in &sockets {
            socket.send_to(&datagram, collector.udp[0]).expect("sent");
            sent += 1;
        }
        let names = [
            "datagrams_received",
            "datagrams_routed",
            "datagrams_refused_acl",
            "datagrams_refused_exporter_limit",
        ];
        let mut counts = [0; 4];
        eventually("all were received", || {
            let ledger = collector.ledger();
            counts = names.map(|n| total(&ledger, n));
            counts[0] == sent && counts[1..].iter().sum::<u64>() == sent
        });
        counts
    };
    // 2 and 4 fit, 3 is denied, 5 is one too many
    assert_eq!(round(), [4, 2, 1, 1]);
    configure(
        dir.path(),
        &with("deny = [\"127.0.0.2\"]\nexporters_max = 3"),
    );
    assert_eq!(collector.reload().0, 200);
    // 2 is out and its place free: 3, 4 and 5 fit
    assert_eq!(round(), [8, 5, 2, 1]);
    configure(dir.path(), &with("allow = [\"127.0.0.2/31\"]"));
    assert_eq!(collector.reload().0, 200);
    assert_eq!(round(), [12, 7, 4, 1]);
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(
        total(&ledger, "datagrams_parsed") + total(&ledger, "datagrams_rejected_count"),
        7,
        "{ledger:#}"
    );
}

/// The fields of every thread's status, by name.
fn threads(process: &str) -> Vec<BTreeMap<String, String>> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("its threads");
    let status = |task: std::fs::DirEntry| {
        let text = std::fs::read_to_string(task.path().join("status")).expect("its status");
        let fields = text.lines().filter_map(|l| l.split_once(':'));
        let fields = fields.map(|(k, v)| {
            (
                k.to_owned(),
                v.split_whitespace().collect::<Vec<_>>().join(" "),
            )
        });
        fields.collect()
    };
    tasks.flatten().map(status).collect()
}

#[test]
fn every_thread_has_given_up_every_right() {
    if !is_root() {
        return;
    }
    let dir = directory();
    let config = format!("{ONE}{}", embedded(dir.path()));
    let collector = Collector::start_with(dir.path(), &config, |c| {
        c.args(["--user", "nobody"]);
    });
    let sent = send(
        &plan(collector.udp[0], 5_000, Some(2_000)),
        &AtomicBool::new(false),
        |_| {},
    );
    collector.settle(sent.expect("sent").flows);
    assert_eq!(collector.reload().0, 200, "a blocking thread is among them");
    let none = "0000000000000000";
    let nobody = nix::unistd::User::from_name("nobody")
        .expect("looked up")
        .expect("there");
    let (uid, gid) = (nobody.uid.to_string(), nobody.gid.to_string());
    for (what, id, least) in [
        ("collector", collector.id().to_string(), 8),
        ("store", collector.store_id(), 4),
    ] {
        let threads = threads(&id);
        println!("{what}: {} threads", threads.len());
        assert!(threads.len() >= least, "{what}: {}", threads.len());
        for t in threads {
            let name = &t["Name"];
            assert_eq!(t["Uid"], [&uid[..]; 4].join(" "), "{what} {name}");
            assert_eq!(t["Gid"], [&gid[..]; 4].join(" "), "{what} {name}");
            assert_eq!(t["Groups"], gid, "{what} {name}");
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(t[set], none, "{what} {name}: {set}");
            }
            assert_eq!(t["NoNewPrivs"], "1", "{what} {name}");
        }
    }
    // the buffer was asked for while there was the right to exceed the kernel's limit
    assert!(collector.metric("flowhouse_receive_buffer_bytes") >= f64::from(2 * (32 << 20)));
    assert_laws(&collector.stop());
}

#[test]
fn root_without_an_account_keeps_little() {
    let own = nix::unistd::User::from_name("flowhouse").expect("looked up");
    if !is_root() || own.is_some() {
        return;
    }
    let dir = directory();
    let collector = Collector::start(dir.path(), &format!("{DROP}{ONE}"));
    for t in threads(&collector.id().to_string()) {
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            let kept = u64::from_str_radix(&t[set], 16).expect("a mask");
            // no network, no devices, no tracing, no mounting
            assert_eq!(
                kept & (1 << 12 | 1 << 13 | 1 << 19 | 1 << 21),
                0,
                "{set} {kept:x}"
            );
        }
        assert_eq!(t["NoNewPrivs"], "1");
    }
    collector.stop();
}

/// A service manager's socket.
struct Manager(UnixDatagram);

impl Manager {
    /// The next message.
    fn next(&self) -> String {
        let mut bytes = [0; 4_096];
        self.0
            .set_read_timeout(Some(crate::harness::PATIENCE))
            .expect("set");
        let n = self.0.recv(&mut bytes).expect("a message");
        String::from_utf8_lossy(&bytes[..n]).into_owned()
    }

    /// The next message with a line that begins so.
    fn wait(&self, line: &str) -> String {
        loop {
            let message = self.next();
            if message.lines().any(|l| l.starts_with(line)) {
                return message;
            }
        }
    }

    /// Throws away what waits.
    fn empty(&self) {
        self.0.set_nonblocking(true).expect("set");
        while self.0.recv(&mut [0; 4_096]).is_ok() {}
        self.0.set_nonblocking(false).expect("set");
    }
}

fn managed(dir: &Path, socket: &str) -> Collector {
    Collector::start_with(dir, &format!("{DROP}{ONE}"), |c| {
        c.env("NOTIFY_SOCKET", socket)
            .env("WATCHDOG_USEC", "1000000");
        if nix::unistd::geteuid().is_root() {
            c.args(["--user", "nobody"]);
        }
    })
}

#[test]
fn the_service_manager_hears_of_everything() {
    let dir = directory();
    let path = dir.path().join("notify");
    let manager = Manager(UnixDatagram::bind(&path).expect("bound"));
    let collector = managed(dir.path(), path.to_str().expect("a text"));
    manager.wait("READY=1");
    manager.wait("WATCHDOG=1");
    collector.signal("HUP");
    let message = manager.wait("RELOADING=1");
    let at = message
        .lines()
        .find_map(|l| l.strip_prefix("MONOTONIC_USEC="));
    assert!(at.expect("the time").parse::<u64>().expect("a number") > 0);
    manager.wait("READY=1");
    std::fs::write(dir.path().join("flowhouse.toml"), "nonsense").expect("written");
    collector.signal("HUP");
    manager.wait("RELOADING=1");
    let message = manager.wait("READY=1");
    assert!(message.contains("STATUS=reload failed"), "{message}");
    collector.signal("TERM");
    manager.wait("STOPPING=1");
    let (code, log, _) = collector.ended();
    assert!(code == Some(0) && log.contains("ledger: "), "{log}");
}

#[test]
fn a_stuck_shard_stops_the_watchdog() {
    let dir = directory();
    let name = format!("flowhouse-test-{}", std::process::id());
    let address = UnixAddress::from_abstract_name(&name).expect("a name");
    let manager = Manager(UnixDatagram::bind_addr(&address).expect("bound"));
    let collector = managed(dir.path(), &format!("@{name}"));
    manager.wait("WATCHDOG=1");
    let tasks = std::fs::read_dir(format!("/proc/{}/task", collector.id())).expect("threads");
    let mut shards = tasks.flatten().filter(|t| {
        let name = std::fs::read_to_string(t.path().join("comm")).unwrap_or_default();
        name.starts_with("shard-0")
    });
    let shard = shards.next().expect("a shard").file_name();
    let shard = Pid::from_raw(shard.to_string_lossy().parse().expect("a number"));
    if let Err(error) = ptrace::seize(shard, ptrace::Options::empty()) {
        eprintln!("skipped: a thread cannot be halted here: {error}");
        return;
    }
    ptrace::interrupt(shard).expect("halted");
    nix::sys::wait::waitpid(shard, Some(nix::sys::wait::WaitPidFlag::__WALL)).expect("it halts");
    // one sign may be on its way; the next needs the shard to move
    std::thread::sleep(Duration::from_millis(500));
    manager.empty();
    let longer = Some(Duration::from_secs(3));
    manager.0.set_read_timeout(longer).expect("set");
    assert!(
        manager.0.recv(&mut [0; 4_096]).is_err(),
        "silence while it stands"
    );
    ptrace::detach(shard, None).expect("let go");
    manager.wait("WATCHDOG=1");
    assert_laws(&collector.stop());
}

/// A store that takes connections and never answers.
fn mute() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("address");
    (
        listener,
        format!("[clickhouse]\nurl = \"http://{address}\"\n"),
    )
}

#[test]
fn a_second_signal_ends_at_once_and_leaves_the_ledger() {
    let dir = directory();
    let (_mute, store) = mute();
    let config = format!("shutdown_grace_s = 600\n{ONE}{store}");
    let collector = Collector::start(dir.path(), &config);
    let report = send(
        &plan(collector.udp[0], 5_000, Some(1_000)),
        &AtomicBool::new(false),
        |_| {},
    );
    let flows = report.expect("sent").flows;
    eventually("it was decoded", || {
        total(&collector.ledger(), "rows") == flows
    });
    collector.signal("TERM");
    collector.logs("stopping: delivering what was received, 600 s at most");
    collector.signal("TERM");
    let (code, log, _) = collector.ended();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("ended at once by a second signal"), "{log}");
    assert!(log.contains("ledger: "), "{log}");
    let ledger = std::fs::read_to_string(dir.path().join("state/ledger.json")).expect("there");
    let ledger: serde_json::Value = serde_json::from_str(&ledger).expect("JSON");
    assert_eq!(total(&ledger, "rows"), flows);
}

#[test]
fn a_stop_under_load_ends_within_its_grace_when_the_store_is_mute() {
    for (mode, stay) in [("always", true), ("off", false)] {
        let dir = directory();
        let (_mute, store) = mute();
        let config = format!("shutdown_grace_s = 1\n{ONE}{store}[spool]\nmode = \"{mode}\"\n");
        let collector = Collector::start(dir.path(), &config);
        let load = Load::start(collector.udp[0], 5_000);
        eventually("rows flow", || total(&collector.ledger(), "rows") > 2_000);
        // panics when it does not end
        let ledger = collector.stop();
        load.stop();
        assert_laws(&ledger);
        let lost = if stay { 0 } else { total(&ledger, "rows") };
        assert_eq!(total(&ledger, "rows_lost_shutdown"), lost, "{mode}");
    }
}
