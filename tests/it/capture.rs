//! `[capture]` in a network of its own: frames over a veth pair become the rows that a replay of them has; what is dropped is
//! counted; a link may go away and come back.

use crate::harness::{
    Collector, Sql, assert_laws, directory, embedded, eventually, exe, run, total,
};
use crate::traffic::capture;
use nix::sched::{CloneFlags, unshare};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// A network for the calling thread and what it starts, with a pair of interfaces; `None`, and a line that is always
/// shown, where there is no right to have one.
pub fn network() -> Option<()> {
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
        let thread = std::thread::current();
        let test = thread.name().unwrap_or_default().to_owned();
        let mut out = std::io::stderr().lock();
        let _ = writeln!(out, "NOT TESTED: {test}: no network namespace: {error}");
        return None;
    }
    // no frames but ours
    let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
    ip(&["link", "set", "lo", "up"]);
    pair("mirror0", "sender0");
    Some(())
}

fn pair(mirror: &str, sender: &str) {
    ip(&[
        "link", "add", mirror, "type", "veth", "peer", "name", sender,
    ]);
    for name in [mirror, sender] {
        ip(&["link", "set", name, "up", "arp", "off"]);
        ip(&["link", "set", name, "addrgenmode", "none"]);
    }
}

fn ip(arguments: &[&str]) {
    run(Command::new(program("ip")).args(arguments));
}

fn program(name: &str) -> String {
    let beside = format!("/usr/sbin/{name}");
    match Path::new(&beside).exists() {
        true => beside,
        false => name.to_owned(),
    }
}

pub fn send(file: &Path, more: &[&str]) {
    send_on("sender0", file, more);
}

fn send_on(interface: &str, file: &Path, more: &[&str]) {
    let mut command = Command::new(program("tcpreplay"));
    run(command.args(["-q", "-i", interface]).args(more).arg(file));
}

/// Rows without times, of one direction each.
pub type Rows = BTreeMap<String, [u64; 2]>;

pub fn replayed(dir: &Path, file: &Path) -> Rows {
    let mut command = Command::new(exe());
    let out = dir.join("replay");
    run(command
        .args(["replay", "--as", "packets", "--out"])
        .arg(&out)
        .arg(file));
    let text = std::fs::read_to_string(out.join("flows.ndjson")).expect("rows");
    let mut rows = Rows::new();
    for line in text.lines() {
        let row: Value = serde_json::from_str(line).expect("JSON");
        let of = |key: &str| {
            row[key]
                .as_str()
                .map_or_else(|| row[key].to_string(), str::to_owned)
        };
        let ends = [
            "src_addr", "src_port", "dst_addr", "dst_port", "proto", "app",
        ]
        .map(of);
        let sums = rows.entry(ends.join(" ")).or_default();
        sums[0] += row["packets"].as_u64().expect("packets");
        sums[1] += row["bytes"].as_u64().expect("bytes");
    }
    rows
}

pub fn stored(sql: &Sql, origin: &str) -> Rows {
    let question = format!(
        "SELECT replaceRegexpOne(toString(src_addr), '^::ffff:', ''), src_port, \
        replaceRegexpOne(toString(dst_addr), '^::ffff:', ''), dst_port, proto, app, sum(packets), sum(bytes) \
        FROM flows WHERE origin = '{origin}' GROUP BY ALL"
    );
    let rows = sql.rows(&question).into_iter();
    let number = |text: &str| text.parse().expect("a number");
    rows.map(|r| (r[..6].join(" "), [number(&r[6]), number(&r[7])]))
        .collect()
}

#[test]
fn live_rows_are_those_of_a_replay() {
    let Some(()) = network() else { return };
    let dir = directory();
    let (bytes, v4, v6) = capture(1_700_000_000, 200);
    let file = dir.path().join("traffic.pcap");
    std::fs::write(&file, bytes).expect("written");
    let config = format!(
        "[receive]\nlisteners = [\"127.0.0.1:0\"]\n[capture]\ninterfaces = [\"mirror0\"]\nshards = 2\n\
         [meter]\nsensor = \"192.0.2.99\"\nidle_s = 2\nhalf_open_s = 2\n{}",
        embedded(dir.path())
    );
    let collector = Collector::start(dir.path(), &config);
    assert!(
        collector
            .said
            .iter()
            .any(|l| l.contains("capturing mirror0")),
        "{:#?}",
        collector.said
    );
    send(&file, &["--mbps", "20"]);
    let truth = v4.and(&v6);
    eventually("all frames are read", || {
        collector.metric("flowhouse_capture_frames_total") == truth.packets as f64
    });
    // both directions are silent for two seconds, and the clock goes on without frames
    collector.settle(truth.flows);
    let sql = Sql::new(
        collector.store.as_ref().expect("a store"),
        &dir.path().join("store"),
    );
    let want = replayed(dir.path(), &file);
    assert_eq!(want.len() as u64, truth.flows);
    eventually("rows are in the store", || {
        stored(&sql, "packets").len() == want.len()
    });
    assert_eq!(stored(&sql, "packets"), want);
    let named = "SELECT i.name, count() FROM flows AS f INNER JOIN (SELECT * FROM interfaces FINAL) AS i \
        ON i.exporter = f.exporter AND i.if_index = f.in_if GROUP BY i.name";
    assert_eq!(
        sql.rows(named),
        [["mirror0".to_owned(), want.len().to_string()]]
    );
    let usage =
        sql.numbers("SELECT sum(packets), sum(bytes) FROM usage_1m WHERE direction = 'ingress'");
    assert_eq!(usage, [truth.packets, truth.bytes]);
    assert_eq!(
        collector.metric("flowhouse_capture_kernel_drops_total"),
        0.0
    );
    assert_eq!(collector.metric("flowhouse_capture_up"), 1.0);
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "frames_captured"), truth.packets);
    assert_eq!(total(&ledger, "frames_dissected"), truth.packets);
}

/// A tap gives each direction on an interface of its own.
#[test]
fn conversations_meet_over_two_interfaces() {
    let Some(()) = network() else { return };
    pair("mirror1", "sender1");
    let dir = directory();
    let (bytes, v4, v6) = capture(1_700_000_000, 120);
    let truth = v4.and(&v6);
    let config = format!(
        "[receive]\nlisteners = [\"127.0.0.1:0\"]\n[capture]\ninterfaces = [\"mirror0\", \"mirror1\"]\nshards = 2\n\
         [meter]\nidle_s = 2\nhalf_open_s = 2\n{}",
        embedded(dir.path())
    );
    let collector = Collector::start(dir.path(), &config);
    // frames go there and back in turn
    let mut sides = [bytes[..24].to_vec(), bytes[..24].to_vec()];
    let (mut rest, mut turn) = (&bytes[24..], 0);
    while let Some(length) = rest.get(8..12) {
        let length = 16 + u32::from_le_bytes(length.try_into().expect("4 bytes")) as usize;
        sides[turn].extend(&rest[..length]);
        (rest, turn) = (&rest[length..], 1 - turn);
    }
    for (n, side) in sides.iter().enumerate() {
        let file = dir.path().join(format!("side{n}.pcap"));
        std::fs::write(&file, side).expect("written");
        send_on(&format!("sender{n}"), &file, &["--mbps", "20"]);
    }
    eventually("all frames are read", || {
        collector.metric("flowhouse_capture_frames_total") == truth.packets as f64
    });
    collector.settle(truth.flows);
    let sql = Sql::new(
        collector.store.as_ref().expect("a store"),
        &dir.path().join("store"),
    );
    let question = "SELECT sum(packets), sum(bytes), uniqExact(conversation), uniqExact(src_addr, src_port, dst_addr, dst_port, proto) \
        FROM flows WHERE origin = 'packets'";
    let want = [truth.packets, truth.bytes, truth.flows / 2, truth.flows];
    eventually("rows are in the store", || {
        sql.numbers(question)[0] == want[0]
    });
    assert_eq!(sql.numbers(question), want);
    let named = "SELECT i.name, uniqExact(f.conversation) FROM flows AS f INNER JOIN (SELECT * FROM interfaces FINAL) AS i \
        ON i.exporter = f.exporter AND i.if_index = f.in_if GROUP BY i.name ORDER BY i.name";
    let half = (truth.flows / 2).to_string();
    assert_eq!(
        sql.rows(named),
        [
            ["mirror0".to_owned(), half.clone()],
            ["mirror1".to_owned(), half]
        ]
    );
    assert_laws(&collector.stop());
}

/// A collector of one interface that throws its rows away.
fn measuring(dir: &Path, capture: &str) -> Collector {
    let config = format!(
        "{DROP}[receive]\nlisteners = [\"127.0.0.1:0\"]\n[capture]\ninterfaces = [\"mirror0\"]\n{capture}\n"
    );
    Collector::start(dir, &config)
}

const DROP: &str = "[sink]\nkind = \"drop\"\n";

#[test]
fn what_the_kernel_drops_is_counted() {
    let Some(()) = network() else { return };
    let dir = directory();
    let (bytes, v4, v6) = capture(1_700_000_000, 2_000);
    let file = dir.path().join("traffic.pcap");
    std::fs::write(&file, bytes).expect("written");
    let packets = v4.and(&v6).packets;
    let collector = measuring(dir.path(), "buffer = 1048576");
    // it does not run while the frames come, and they are more than its buffer holds
    collector.signal("STOP");
    send(&file, &["--topspeed"]);
    collector.signal("CONT");
    eventually("all frames are accounted for", || {
        let read = collector.metric("flowhouse_capture_frames_total");
        read + collector.metric("flowhouse_capture_kernel_drops_total") == packets as f64
    });
    assert!(collector.metric("flowhouse_capture_kernel_drops_total") > 0.0);
    let ledger = collector.stop();
    assert_laws(&ledger);
    let read = total(&ledger, "frames_captured");
    assert!(read > 0 && read < packets, "{read}");
}

#[test]
fn what_the_shards_do_not_take_is_counted() {
    let Some(()) = network() else { return };
    let dir = directory();
    let (bytes, v4, v6) = capture(1_700_000_000, 2_000);
    let file = dir.path().join("traffic.pcap");
    std::fs::write(&file, bytes).expect("written");
    let packets = v4.and(&v6).packets;
    // far too little for a burst: the reader has more in its ring than a queue of one frame holds
    let collector = measuring(dir.path(), "batch = 1\nqueue = 1\nshards = 1");
    collector.signal("STOP");
    send(&file, &["--topspeed"]);
    collector.signal("CONT");
    eventually("all frames are read", || {
        collector.metric("flowhouse_capture_frames_total") == packets as f64
    });
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "frames_captured"), packets);
    assert!(total(&ledger, "frames_dropped_queue") > 0);
}

#[test]
fn a_link_may_go_down_and_come_back_and_only_readers_keep_a_right() {
    let Some(()) = network() else { return };
    let dir = directory();
    let (bytes, v4, v6) = capture(1_700_000_000, 20);
    let file = dir.path().join("traffic.pcap");
    std::fs::write(&file, bytes).expect("written");
    let packets = v4.and(&v6).packets as f64;
    let collector = measuring(dir.path(), "reopen = true\n[privileges]\nuser = \"nobody\"");
    let read = |want: f64| {
        eventually("frames are read", || {
            collector.metric("flowhouse_capture_frames_total") == want
        });
    };
    let is_up = |up: f64| {
        eventually("the link is seen", || {
            collector.metric("flowhouse_capture_up") == up
        });
    };
    send(&file, &["--topspeed"]);
    read(packets);
    ip(&["link", "set", "mirror0", "down"]);
    is_up(0.0);
    ip(&["link", "set", "mirror0", "up"]);
    is_up(1.0);
    send(&file, &["--topspeed"]);
    read(2.0 * packets);
    // another interface of the same name
    ip(&["link", "del", "mirror0"]);
    is_up(0.0);
    pair("mirror0", "sender0");
    eventually("it is opened again", || {
        collector.metric("flowhouse_capture_reopened_total") == 1.0
    });
    is_up(1.0);
    send(&file, &["--topspeed"]);
    read(3.0 * packets);

    let tasks = std::fs::read_dir(format!("/proc/{}/task", collector.id())).expect("threads");
    let mut with_right = vec![];
    for task in tasks {
        let task = task.expect("a thread").path();
        let status = std::fs::read_to_string(task.join("status")).expect("its state");
        let name = std::fs::read_to_string(task.join("comm")).expect("its name");
        let effective = status
            .lines()
            .find_map(|l| l.strip_prefix("CapEff:\t"))
            .expect("a set");
        let bits = u64::from_str_radix(effective, 16).expect("a number");
        if bits != 0 {
            with_right.push((name.trim().to_owned(), bits));
        }
        let ids = status
            .lines()
            .find_map(|l| l.strip_prefix("Uid:\t"))
            .expect("ids");
        assert!(ids.split('\t').all(|id| id != "0"), "{name}: {ids}");
    }
    // CAP_NET_RAW
    assert_eq!(with_right, [("capture-0".to_owned(), 1 << 13)]);
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "frames_captured") as f64, 3.0 * packets);
}

#[test]
fn an_interface_that_is_not_there_and_a_wrong_filter_are_told_with_a_cure() {
    let dir = directory();
    let file = dir.path().join("bad.toml");
    for (text, parts) in [
        (
            "[capture]\ninterfaces = [\"nowhere0\"]\n",
            ["2:1", "`ip link` lists those of this machine"],
        ),
        (
            "[capture]\nfilter = \"udp prot 53\"\n",
            ["2:1", "man pcap-filter"],
        ),
    ] {
        std::fs::write(&file, text).expect("written");
        let mut command = Command::new(exe());
        let out = command
            .args(["check", "-c"])
            .arg(&file)
            .output()
            .expect("it runs");
        let said = String::from_utf8_lossy(&out.stdout).into_owned()
            + &String::from_utf8_lossy(&out.stderr);
        assert!(!out.status.success(), "{said}");
        for part in parts {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

/// A capture as several files, cut between frames; the frames of each.
fn pieces(bytes: &[u8], count: usize) -> Vec<(Vec<u8>, u64)> {
    let (header, mut rest) = bytes.split_at(24);
    let mut records = vec![];
    while !rest.is_empty() {
        let length: [u8; 4] = rest[8..12].try_into().expect("a length");
        let (record, after) = rest.split_at(16 + u32::from_le_bytes(length) as usize);
        records.push(record);
        rest = after;
    }
    let part = records.len().div_ceil(count);
    let parts = records.chunks(part);
    parts
        .map(|p| ([header, &p.concat()].concat(), p.len() as u64))
        .collect()
}

#[test]
fn files_of_a_folder_are_read_once_also_after_a_restart() {
    let dir = directory();
    let folder = dir.path().join("captures");
    std::fs::create_dir(&folder).expect("made");
    let (bytes, v4, v6) = capture(1_700_000_000, 200);
    let truth = v4.and(&v6);
    let parts = pieces(&bytes, 3);
    let config = format!(
        "{DROP}[receive]\nlisteners = [\"127.0.0.1:0\"]\n[capture]\nwatch_directory = {folder:?}\nwatch_idle_s = 2\n"
    );
    let files = |collector: &Collector, result: &str| -> u64 {
        let page = collector.page("/metrics").1;
        let mark = format!("result=\"{result}\"}} ");
        let mut lines = page
            .lines()
            .filter(|l| l.starts_with("flowhouse_capture_files_total{"));
        let line = lines.find_map(|l| l.split_once(&mark).map(|(_, n)| n.to_owned()));
        line.map_or(0, |n| n.parse().expect("a number"))
    };
    // one that was there before the start, and is old enough
    std::fs::write(folder.join("part-0.pcap"), &parts[0].0).expect("written");
    run(Command::new("touch")
        .args(["-d", "2 minutes ago"])
        .arg(folder.join("part-0.pcap")));
    let collector = Collector::start(dir.path(), &config);
    eventually("the first is read", || files(&collector, "read") == 1);
    // one that is closed, one that is moved here, one that is no capture, one that is torn
    std::fs::write(folder.join("part-1.pcap"), &parts[1].0).expect("written");
    std::fs::write(dir.path().join("part-2"), &parts[2].0).expect("written");
    std::fs::rename(dir.path().join("part-2"), folder.join("part-2.pcap")).expect("moved");
    std::fs::write(folder.join("notes.txt"), "no capture").expect("written");
    eventually("all are read", || {
        files(&collector, "read") == 3 && files(&collector, "bad") == 1
    });
    assert!(folder.join("bad/notes.txt").exists());
    // conversations go on from file to file, and end when no more files come
    eventually("all rows are made", || {
        collector.metric("flowhouse_ledger_rows_added_metered_total") == truth.flows as f64
    });
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "frames_captured"), truth.packets);

    // whatever it is called now, and what was added to it
    std::fs::rename(folder.join("part-1.pcap"), folder.join("renamed.pcap")).expect("moved");
    let longer = [&parts[2].0[..], &parts[1].0[24..]].concat();
    let collector = Collector::start(dir.path(), &config);
    std::fs::write(folder.join("part-2.pcap"), longer).expect("written");
    eventually("it is seen", || files(&collector, "changed") == 1);
    let torn = &parts[0].0[..parts[0].0.len() - 5];
    // other frames than those of the first
    let torn = [
        &torn[..24],
        &pieces(torn_whole(torn), 4)[3].0[24..],
        &[1, 2, 3],
    ]
    .concat();
    std::fs::write(folder.join("torn.pcap"), torn).expect("written");
    eventually("the torn one is read", || files(&collector, "torn") == 1);
    assert_eq!(files(&collector, "read"), 1);
    assert_eq!(files(&collector, "interrupted"), 0);
    let ledger = collector.stop();
    assert_laws(&ledger);
    let read = total(&ledger, "frames_captured");
    assert!(read > 0 && read < parts[0].1 / 3, "{read}");
}

#[test]
fn blocks_that_make_no_sense_are_counted_in_the_ledger() {
    let dir = directory();
    let folder = dir.path().join("captures");
    std::fs::create_dir(&folder).expect("made");
    let frame = crate::odd_frames::udp(1000, b"x");
    let file = crate::odd_frames::pcapng(1, &[(0, &frame), (5, &frame), (0, &frame)]);
    std::fs::write(folder.join("odd.pcapng"), file).expect("written");
    let config = format!(
        "{DROP}[receive]\nlisteners = [\"127.0.0.1:0\"]\n[capture]\nwatch_directory = {folder:?}\nwatch_idle_s = 2\nwatch_settle_s = 1\n"
    );
    let collector = Collector::start(dir.path(), &config);
    eventually("the rows are made", || {
        collector.metric("flowhouse_ledger_rows_added_metered_total") == 1.0
    });
    let ledger = collector.stop();
    assert_laws(&ledger);
    let found = ["frames_captured", "frames_rejected_block"].map(|name| total(&ledger, name));
    assert_eq!(found, [3, 1]);
}

/// The whole frames of a file that is torn.
fn torn_whole(bytes: &[u8]) -> &[u8] {
    let mut end = 24;
    while let Some(length) = bytes.get(end + 8..end + 12) {
        let length: [u8; 4] = length.try_into().expect("four");
        let next = end + 16 + u32::from_le_bytes(length) as usize;
        if next > bytes.len() {
            break;
        }
        end = next;
    }
    &bytes[..end]
}

#[test]
fn a_file_that_was_being_read_at_a_crash_is_not_read_again() {
    let dir = directory();
    let (folder, state) = (dir.path().join("captures"), dir.path().join("state"));
    std::fs::create_dir(&folder).expect("made");
    std::fs::create_dir(&state).expect("made");
    let (bytes, _, _) = capture(1_700_000_000, 10);
    let file = folder.join("a.pcap");
    std::fs::write(&file, &bytes).expect("written");
    let config = format!(
        "{DROP}[receive]\nlisteners = [\"127.0.0.1:0\"]\n[capture]\nwatch_directory = {folder:?}\nwatch_settle_s = 1\n"
    );
    let collector = Collector::start(dir.path(), &config);
    eventually("it is read", || {
        collector.metric("flowhouse_capture_frames_total") == 100.0
    });
    collector.kill();
    let kept = state.join("captures");
    let text = std::fs::read_to_string(&kept).expect("what was read");
    assert!(text.contains(" read a.pcap"), "{text}");
    // as a crash leaves it, and as a stop in order does
    for (progress, frames) in [("reading", 0.0), ("70", 30.0)] {
        std::fs::write(&kept, text.replace(" read ", &format!(" {progress} "))).expect("written");
        let collector = Collector::start(dir.path(), &config);
        let told = collector
            .said
            .iter()
            .any(|l| l.contains("it is not read again"));
        assert_eq!(told, progress == "reading", "{:#?}", collector.said);
        eventually("the rest is read", || {
            collector.metric("flowhouse_capture_frames_total") == frames
        });
        let ledger = collector.stop();
        assert_eq!(total(&ledger, "frames_captured") as f64, frames);
    }
    let text = std::fs::read_to_string(&kept).expect("what was read");
    assert!(text.contains(" read a.pcap"), "{text}");
}
