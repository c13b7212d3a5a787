//! The spool of a running collector: what was accepted is stored once, whatever is killed, away, full or damaged.

use crate::harness::{Collector, Sql, Store, assert_laws, directory, eventually, exe, run, total};
use crate::torture::proxy::{Act, Proxy};
use flowhouse::batch::Table;
use flowhouse::generate::sender::{Plan, send};
use flowhouse::generate::{Habits, Profile};
use flowhouse::sink::spool::format;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;

const ONE: &str = "[receive]\nlisteners = [\"127.0.0.1:0\"]\n[shard]\nshards = 1\n";

/// Exports so many flows.
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

fn config(store: &Store, spool: &str) -> String {
    format!(
        "{ONE}[batch]\nseal_rows = 500\n{}[spool]\n{spool}\n",
        store.config()
    )
}

/// Waits until so many rows are made and each is acknowledged, shed or on disk.
fn spooled(dir: &Path, collector: &Collector, rows: u64) {
    eventually("the rows are durable", || {
        // a row is marked on disk before it is counted: read in this order none is seen twice
        let ledger = collector.ledger();
        let ended = total(&ledger, "rows_acknowledged") + total(&ledger, "rows_shed");
        let waiting = listed(dir)["flow_rows"].as_u64().expect("a number");
        total(&ledger, "rows") >= rows && ended + waiting >= rows + total(&ledger, "rows_recovered")
    });
}

fn listed(dir: &Path) -> serde_json::Value {
    serde_json::from_str(&cli(dir, &["list", "--json"]).1).expect("JSON")
}

/// Every row is there once, and usage says what flows say.
fn assert_once(sql: &Sql, rows: u64) {
    let n = sql.numbers(
        "SELECT count(), uniqExact(batch, exporter, exporter_port, datagram, record, half) FROM flows",
    );
    assert_eq!(n, [rows, rows]);
    assert_usage(sql);
}

fn assert_usage(sql: &Sql) {
    let flows = sql.numbers("SELECT count(), sum(packets), sum(bytes) FROM flows");
    for table in ["usage_1m", "usage_5m", "usage_1h"] {
        let sums = format!(
            "SELECT sum(flows), sum(packets), sum(bytes) FROM {table} WHERE direction = 'ingress'"
        );
        assert_eq!(sql.numbers(&sums), flows, "{table}");
    }
}

fn files(dir: &Path, part: &str) -> Vec<PathBuf> {
    let folder = dir.join("state/spool").join(part);
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let mut files: Vec<_> = entries
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "fhs"))
        .collect();
    files.sort();
    files
}

/// Runs `flowhouse spool`: exit code, standard output.
fn cli(dir: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(exe());
    command
        .arg("spool")
        .args(arguments)
        .arg("--directory")
        .arg(dir.join("state/spool"));
    let out = command.output().expect("it runs");
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    eprint!("{}", String::from_utf8_lossy(&out.stderr));
    (out.status.code(), text)
}

#[test]
fn a_killed_collector_leaves_a_spool_that_is_delivered_once() {
    let dir = directory();
    let mut store = Store::planned(dir.path());
    let collector = Collector::start(dir.path(), &config(&store, ""));
    let first = export(collector.udp[0], 3_000);
    spooled(dir.path(), &collector, first);
    assert_eq!(collector.page("/readyz").0, 200);
    collector.kill();
    // a temporary, and a file whose header is damaged, are no reason to stop
    let spool = dir.path().join("state/spool");
    fs::write(spool.join("00000000000000ff.tmp"), b"half").expect("written");
    fs::write(spool.join("00000000000000fe.fhs"), b"FHSPOOL\0half").expect("written");
    assert_eq!(listed(dir.path())["flow_rows"], first);
    let collector = Collector::start(dir.path(), &config(&store, ""));
    assert!(!spool.join("00000000000000ff.tmp").exists());
    assert_eq!(files(dir.path(), "corrupt").len(), 1);
    let second = export(collector.udp[0], 1_000);
    spooled(dir.path(), &collector, second);
    store.run();
    eventually("everything is delivered", || {
        total(&collector.ledger(), "rows_acknowledged") == first + second
    });
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "rows_recovered"), first);
    assert_once(&store.sql(), first + second);
    assert!(files(dir.path(), "").is_empty(), "nothing is left");
}

#[test]
fn kills_under_load_with_the_store_there_double_nothing() {
    let dir = directory();
    let store = Store::start(dir.path());
    let mut sent = 0;
    for round in 0..3 {
        let collector = Collector::start(dir.path(), &config(&store, ""));
        // not while it applies migrations: the lock on the schema outlives a kill by a minute
        eventually("the schema", || {
            collector.metric("flowhouse_sink_delivering") == 1.0
        });
        sent += export(collector.udp[0], 2_000);
        spooled(dir.path(), &collector, 2_000);
        if round < 2 {
            collector.kill();
        } else {
            eventually("everything is delivered", || {
                store.sql().numbers("SELECT count() FROM flows") == [sent]
            });
            assert_laws(&collector.stop());
        }
    }
    assert_once(&store.sql(), sent);
}

#[test]
fn a_stop_leaves_in_the_spool_what_the_store_does_not_take() {
    for mode in ["always", "overflow"] {
        let dir = directory();
        let mut store = Store::planned(dir.path());
        let config = config(&store, &format!("mode = \"{mode}\""));
        let collector = Collector::start(dir.path(), &config);
        let rows = export(collector.udp[0], 1_500);
        let ledger = collector.stop();
        assert_laws(&ledger);
        assert_eq!(total(&ledger, "rows_lost_shutdown"), 0, "{mode}");
        store.run();
        let collector = Collector::start(dir.path(), &config);
        eventually("it is delivered", || {
            total(&collector.ledger(), "rows_acknowledged") == rows
        });
        assert_laws(&collector.stop());
        assert_once(&store.sql(), rows);
    }
}

#[test]
fn a_full_spool_sheds_flows_oldest_first_and_counts_them() {
    let dir = directory();
    let mut store = Store::planned(dir.path());
    let limit = 400_000;
    let config = config(&store, &format!("bytes_max = {limit}"));
    let collector = Collector::start(dir.path(), &config);
    let rows = export(collector.udp[0], 12_000);
    spooled(dir.path(), &collector, rows);
    assert!(collector.metric("flowhouse_spool_bytes") <= f64::from(limit));
    let shed = total(&collector.ledger(), "rows_shed");
    assert!(shed > 0 && shed < rows, "{shed} of {rows}");
    store.run();
    eventually("the rest is delivered", || {
        let ledger = collector.ledger();
        total(&ledger, "rows_acknowledged") + total(&ledger, "rows_shed") == rows
    });
    assert_eq!(total(&collector.ledger(), "rows_shed"), shed);
    let ledger = collector.stop();
    assert_laws(&ledger);
    let sql = store.sql();
    assert_eq!(sql.numbers("SELECT count() FROM flows"), [rows - shed]);
    // usage is complete: it knows of every row that was made
    let usage = "SELECT sum(flows) FROM usage_1m WHERE direction = 'ingress'";
    assert_eq!(sql.numbers(usage), [rows]);
}

#[test]
fn flow_rows_that_wait_too_long_are_shed_and_usage_is_not() {
    let dir = directory();
    let mut store = Store::planned(dir.path());
    let config = config(&store, "age_max_s = 1");
    let collector = Collector::start(dir.path(), &config);
    let rows = export(collector.udp[0], 3_000);
    eventually("they are shed", || {
        let ledger = collector.ledger();
        total(&ledger, "rows") >= rows && total(&ledger, "rows_shed") == total(&ledger, "rows")
    });
    store.run();
    let sql = store.sql();
    eventually("the rest is delivered", || {
        collector.metric("flowhouse_spool_files") == 0.0
    });
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "rows_shed"), rows);
    assert_eq!(sql.numbers("SELECT count() FROM flows"), [0]);
    let usage = "SELECT sum(flows) FROM usage_1m WHERE direction = 'ingress'";
    assert_eq!(sql.numbers(usage), [rows]);
}

#[test]
fn damaged_bodies_and_older_columns() {
    let dir = directory();
    let mut store = Store::planned(dir.path());
    let config = config(&store, "");
    let collector = Collector::start(dir.path(), &config);
    let rows = export(collector.udp[0], 2_000);
    spooled(dir.path(), &collector, rows);
    collector.kill();
    assert_eq!(cli(dir.path(), &["verify"]).0, Some(0));
    // the last byte of a file that has flows is in their body
    let all = files(dir.path(), "");
    let flows_of = |path: &PathBuf| -> u64 {
        let (header, _) = format::image(&fs::read(path).expect("readable")).expect("sound");
        header.sections.iter().map(|s| s.flow_rows()).sum()
    };
    let victim = all.iter().find(|p| flows_of(p) > 0).expect("flows");
    let damaged = flows_of(victim);
    let mut bytes = fs::read(victim).expect("readable");
    *bytes.last_mut().expect("bytes") ^= 1;
    fs::write(victim, bytes).expect("written");
    let (code, text) = cli(dir.path(), &["verify"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("flows does not match its checksum"), "{text}");
    // a store whose table has a column more than the files know
    store.run();
    run(Command::new(exe())
        .args(["schema", "apply", "--url"])
        .arg(format!("http://{}", store.address))
        .arg("--key-file")
        .arg(store.key_file()));
    store
        .sql()
        .rows("ALTER TABLE flows ADD COLUMN later UInt8 DEFAULT 7");
    let collector = Collector::start(dir.path(), &config);
    eventually("the rest is delivered", || {
        let ledger = collector.ledger();
        total(&ledger, "rows_acknowledged") + total(&ledger, "rows_damaged") == rows
    });
    let ledger = collector.stop();
    assert_laws(&ledger);
    let ends = ["rows_damaged", "rows_quarantined"].map(|o| total(&ledger, o));
    assert_eq!(ends, [damaged, 0]);
    assert_eq!(files(dir.path(), "corrupt").len(), 1);
    let sql = store.sql();
    assert_eq!(
        sql.numbers("SELECT count(), sum(later) FROM flows"),
        [rows - damaged, 7 * (rows - damaged)]
    );
}

/// Somebody removes a file below a running collector: its rows are counted, all others get through.
#[test]
fn a_file_that_is_gone_stops_nothing() {
    let dir = directory();
    let mut store = Store::planned(dir.path());
    let config = format!(
        "{}[sink]\nbackoff_ms = 1\nbackoff_max_ms = 5\n",
        config(&store, "")
    );
    let collector = Collector::start(dir.path(), &config);
    let rows = export(collector.udp[0], 2_000);
    spooled(dir.path(), &collector, rows);
    collector.kill();
    let collector = Collector::start(dir.path(), &config);
    let flows_of = |path: &PathBuf| -> u64 {
        let (header, _) = format::image(&fs::read(path).expect("readable")).expect("sound");
        header.sections.iter().map(|s| s.flow_rows()).sum()
    };
    let all = files(dir.path(), "");
    let victim = all.iter().find(|p| flows_of(p) > 0).expect("flows");
    let gone = flows_of(victim);
    fs::remove_file(victim).expect("removed");
    store.run();
    let more = export(collector.udp[0], 1_000);
    eventually("the rest is delivered", || {
        let ledger = collector.ledger();
        let stored = total(&ledger, "rows_acknowledged");
        stored + total(&ledger, "rows_damaged") == rows + more
    });
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "rows_damaged"), gone);
    assert_once(&store.sql(), rows + more - gone);
}

#[test]
fn what_the_store_refuses_is_kept_and_replayed() {
    let dir = directory();
    let store = Store::start(dir.path());
    let config = format!(
        "{}[sink]\nbackoff_ms = 1\nbackoff_max_ms = 5\n",
        config(&store, "")
    );
    let collector = Collector::start(dir.path(), &config);
    eventually("the schema", || {
        collector.metric("flowhouse_sink_delivering") == 1.0
    });
    store.sql().rows("ALTER TABLE flows DROP COLUMN tcp_flags");
    let rows = export(collector.udp[0], 1_000);
    eventually("they are refused", || {
        total(&collector.ledger(), "rows_quarantined") == rows
    });
    assert!(collector.metric("flowhouse_spool_quarantine_files") > 0.0);
    store
        .sql()
        .rows("ALTER TABLE flows ADD COLUMN tcp_flags UInt16");
    // one that is damaged keeps no other back
    let damaged = dir
        .path()
        .join("state/spool/quarantine/00000000000fffff-0.fhs");
    fs::write(&damaged, b"").expect("written");
    let (code, said) = cli(dir.path(), &["replay"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot be replayed"), "{said}");
    eventually("they are delivered", || {
        total(&collector.ledger(), "rows_acknowledged") == rows
    });
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "rows_replayed"), rows);
    assert_once(&store.sql(), rows);
    assert_eq!(files(dir.path(), "quarantine"), [damaged]);
}

/// Inserts every file of a folder as `flowhouse spool export` says in its lines.
fn import(store: &Store, said: &str) {
    for line in said.lines() {
        let (file, rest) = line.split_once(": ").expect("a file");
        let (_, insert) = rest.split_once(" rows: ").expect("a statement");
        let query: String = insert.bytes().map(|b| format!("%{b:02x}")).collect();
        let url = format!("http://{}/?database=flowhouse&query={query}", store.address);
        let key = format!("X-ClickHouse-Key: {}", store.sql().key());
        let body = format!("@{file}");
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--fail-with-body",
            "-H",
            &key,
            "--data-binary",
            &body,
            &url,
        ]);
        run(&mut curl);
    }
}

#[test]
fn what_is_exported_can_be_inserted_by_hand_and_is_not_delivered_twice() {
    let dir = directory();
    let mut store = Store::planned(dir.path());
    let config = config(&store, "");
    let collector = Collector::start(dir.path(), &config);
    let rows = export(collector.udp[0], 2_000);
    spooled(dir.path(), &collector, rows);
    collector.kill();
    let out = dir.path().join("rows");
    let export_to = ["export", "--out", out.to_str().expect("a name")];
    let (code, said) = cli(dir.path(), &export_to);
    assert_eq!(code, Some(0), "{said}");
    // a damaged file is told, and stops no other
    let spool = dir.path().join("state/spool");
    fs::write(spool.join("00000000000000fe.fhs"), b"FHSPOOL\0half").expect("written");
    let (code, again) = cli(dir.path(), &export_to);
    assert_eq!((code, &again), (Some(1), &said));
    store.run();
    run(Command::new(exe())
        .args(["schema", "apply", "--url"])
        .arg(format!("http://{}", store.address))
        .arg("--key-file")
        .arg(store.key_file()));
    import(&store, &said);
    assert_once(&store.sql(), rows);
    // the collector delivers the same files, with the same tokens
    let collector = Collector::start(dir.path(), &config);
    eventually("they are delivered", || {
        total(&collector.ledger(), "rows_acknowledged") == rows
    });
    // beside a collector that delivers and removes files
    let more = export(collector.udp[0], 2_000);
    let (code, said) = cli(dir.path(), &export_to);
    assert_eq!(code, Some(0), "{said}");
    eventually("they are delivered, too", || {
        total(&collector.ledger(), "rows_acknowledged") == rows + more
    });
    assert_laws(&collector.stop());
    assert_once(&store.sql(), rows + more);
}

#[test]
fn the_quarantine_can_be_sent_without_the_collector() {
    let dir = directory();
    let store = Store::start(dir.path());
    let config = format!(
        "{}[sink]\nbackoff_ms = 1\nbackoff_max_ms = 5\n",
        config(&store, "")
    );
    let collector = Collector::start(dir.path(), &config);
    eventually("the schema", || {
        collector.metric("flowhouse_sink_delivering") == 1.0
    });
    let sql = store.sql();
    sql.rows("ALTER TABLE flows DROP COLUMN tcp_flags");
    let rows = export(collector.udp[0], 1_000);
    eventually("they are refused", || {
        total(&collector.ledger(), "rows_quarantined") == rows
    });
    let url = format!("http://{}", store.address);
    let key = store.key_file();
    let send = [
        "replay",
        "--url",
        &url,
        "--key-file",
        key.to_str().expect("a name"),
    ];
    // still refused: everything stays
    let before = files(dir.path(), "quarantine");
    assert_eq!(cli(dir.path(), &send).0, Some(1));
    assert_eq!(files(dir.path(), "quarantine"), before);
    // the page of a network that asks for a login takes nothing
    let proxy = Proxy::start(&store.address, |_, _| Act::Page(0));
    let to_page = send.map(|word| if word == url { &proxy.url } else { word });
    assert_eq!(cli(dir.path(), &to_page).0, Some(1));
    assert_eq!(files(dir.path(), "quarantine"), before);
    sql.rows("ALTER TABLE flows ADD COLUMN tcp_flags UInt16");
    let first = before[0].to_str().expect("a name");
    let one = [&send[..], &[first]].concat();
    let (code, said) = cli(dir.path(), &one);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(files(dir.path(), "quarantine"), before[1..]);
    let told = || collector.metric("flowhouse_spool_quarantine_files") as usize;
    eventually("the collector sees it", || told() == before.len() - 1);
    // the rest without a collector
    assert_laws(&collector.stop());
    let (code, said) = cli(dir.path(), &send);
    assert_eq!(code, Some(0), "{said}");
    assert!(files(dir.path(), "quarantine").is_empty());
    assert_once(&sql, rows);
}

/// The table has the rows by then, a view of it does not.
#[test]
fn usage_that_a_view_refused_is_not_sent_again_unless_somebody_says_so() {
    let dir = directory();
    let store = Store::start(dir.path());
    let config = format!(
        "{}[sink]\nbackoff_ms = 1\nbackoff_max_ms = 5\n",
        config(&store, "")
    );
    let collector = Collector::start(dir.path(), &config);
    eventually("the schema", || {
        collector.metric("flowhouse_sink_delivering") == 1.0
    });
    let sql = store.sql();
    sql.rows(
        "CREATE MATERIALIZED VIEW refuses ENGINE = Memory AS SELECT throwIf(bytes >= 0) AS x FROM usage_1m",
    );
    let rows = export(collector.udp[0], 1_000);
    eventually("usage is refused", || {
        let ledger = collector.ledger();
        total(&ledger, "usage_rows_quarantined") > 0 && total(&ledger, "rows_acknowledged") == rows
    });
    assert_laws(&collector.stop());
    let before = files(dir.path(), "quarantine");
    assert!(!before.is_empty());
    let doubt = |f: &serde_json::Value| f["may_be_there"] == true && f["table"] == "usage_1m";
    let listed = listed(dir.path());
    let quarantined = listed["quarantine"].as_array().expect("a list");
    assert!(quarantined.iter().all(doubt), "{listed}");
    let usage = "SELECT sum(flows) FROM usage_1m WHERE direction = 'ingress'";
    assert_eq!(sql.numbers(usage), [rows]);
    sql.rows("DROP VIEW refuses");
    let (url, key) = (format!("http://{}", store.address), store.key_file());
    let send = ["--url", &url, "--key-file", key.to_str().expect("a name")];
    for to in [&[][..], &send[..]] {
        let (code, said) = cli(dir.path(), &[&["replay"], to].concat());
        assert_eq!(code, Some(1), "{said}");
        assert!(
            said.contains("rows of usage_1m may be in ClickHouse"),
            "{said}"
        );
        assert_eq!(files(dir.path(), "quarantine"), before);
    }
    let all = [&["replay", "--may-double"], &send[..]].concat();
    let (code, said) = cli(dir.path(), &all);
    assert_eq!(code, Some(0), "{said}");
    assert!(files(dir.path(), "quarantine").is_empty());
    // a moment later the store still remembers their tokens, and fills in what later views have not got
    assert_once(&sql, rows);
}

#[test]
fn only_files_of_the_quarantine_are_replayed() {
    let dir = directory();
    let store = Store::planned(dir.path());
    let collector = Collector::start(dir.path(), &config(&store, ""));
    let rows = export(collector.udp[0], 500);
    spooled(dir.path(), &collector, rows);
    collector.kill();
    let before = files(dir.path(), "");
    for file in &before {
        let (code, said) = cli(dir.path(), &["replay", file.to_str().expect("a name")]);
        assert_eq!(code, Some(1), "{said}");
    }
    assert_eq!(files(dir.path(), ""), before);
    assert!(files(dir.path(), "replay").is_empty());
}

/// Its header says where it ends: nothing behind that is read.
#[test]
fn a_file_that_goes_on_behind_its_end_is_damaged() {
    let dir = directory();
    let store = Store::planned(dir.path());
    let collector = Collector::start(dir.path(), &config(&store, ""));
    let rows = export(collector.udp[0], 500);
    spooled(dir.path(), &collector, rows);
    collector.kill();
    let all = files(dir.path(), "");
    assert_eq!(cli(dir.path(), &["verify"]).0, Some(0));
    // far more than the memory of any machine; on disk it takes nothing
    let long = fs::File::options().write(true).open(&all[0]);
    let long = long.expect("a file");
    long.set_len(1 << 42).expect("sparse");
    let (code, said) = cli(dir.path(), &["verify"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("goes on behind its last body"), "{said}");
}

/// Many small bundles on an empty disk: one by one, and usage stays.
#[test]
fn too_many_files_cost_the_flows_of_the_oldest_and_no_usage() {
    let dir = directory();
    let mut store = Store::planned(dir.path());
    let config = config(&store, "files_max = 6\n[sink]\nin_flight_max = 1");
    let collector = Collector::start(dir.path(), &config);
    let (mut rows, mut shed) = (0, 0);
    for round in 0..60 {
        rows += export(collector.udp[0], 500);
        spooled(dir.path(), &collector, rows);
        shed = total(&collector.ledger(), "rows_shed");
        if round >= 11 && shed > 0 {
            break;
        }
    }
    let all = files(dir.path(), "");
    let with_flows = all.iter().filter(|path| {
        let (header, slots) = format::image(&fs::read(path).expect("readable")).expect("sound");
        let mut sections = header.sections.iter().zip(slots);
        sections.any(|(s, slot)| s.flow_rows() > 0 && slot.state.is_open())
    });
    // one for what is left of those that are shed, and those on their way at this moment, one of a table
    let most = 6 + Table::ALL.len();
    assert!(shed > 0 && all.len() <= most, "{shed} rows, {all:?}");
    assert!(with_flows.count() >= 2);
    assert_eq!(cli(dir.path(), &["verify"]).0, Some(0));
    collector.kill();
    let collector = Collector::start(dir.path(), &config);
    let more = export(collector.udp[0], 1_000);
    spooled(dir.path(), &collector, more);
    store.run();
    eventually("the rest is delivered", || {
        collector.metric("flowhouse_spool_files") == 0.0
    });
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "usage_rows_shed"), 0);
    let sql = store.sql();
    let kept = total(&ledger, "rows_recovered") + more - total(&ledger, "rows_shed");
    assert_eq!(sql.numbers("SELECT count() FROM flows"), [kept]);
    for table in ["usage_1m", "usage_5m", "usage_1h"] {
        let usage = format!("SELECT sum(flows) FROM {table} WHERE direction = 'ingress'");
        assert_eq!(sql.numbers(&usage), [rows + more], "{table}");
    }
}
