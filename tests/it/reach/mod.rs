//! The way to the store: TLS, secrets, replicas that take over.

mod gateway;

use crate::harness::{Collector, Sql, Store, assert_laws, directory, eventually, exe, total};
use crate::torture::proxy::{Act, Proxy};
use flowhouse::generate::sender::{Plan, send};
use flowhouse::generate::{Habits, Profile};
use gateway::{Authority, Gateway, Mode, write};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;

const LISTEN: &str = "[receive]\nlisteners = [\"127.0.0.1:0\"]\n";
const FLOWS: u64 = 2_000;

/// Sends flows; returns once all are rows.
fn export(collector: &Collector) {
    let before = total(&collector.ledger(), "rows");
    let plan = Plan {
        first_exporter: 0,
        to: collector.udp[0],
        profiles: vec![Profile::Gateway],
        exporters: 1,
        habits: Habits::default(),
        rate: 20_000,
        flows: Some(FLOWS),
        duration: None,
        seed: before,
        pool: 100,
        segment: false,
    };
    send(&plan, &AtomicBool::new(false), |_| {}).expect("sent");
    eventually("rows", || total(&collector.ledger(), "rows") > before);
}

/// Waits until the readiness page gives this reason, and says that rows wait.
fn refused(collector: &Collector, reason: &str) {
    let mut last = String::new();
    let deadline = std::time::Instant::now() + crate::harness::PATIENCE;
    while !last.contains(reason) {
        assert!(
            std::time::Instant::now() < deadline,
            "not `{reason}`: {last}\n{}",
            collector.log().join("\n")
        );
        last = collector.page("/readyz").1;
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // they wait on disk meanwhile
    assert!(last.starts_with("ready; spooling: "), "{last}");
    assert_eq!(collector.page("/readyz").0, 200);
}

/// Waits until all rows are there, once; no other than those that were lost on the way in may be missing.
fn delivered(collector: &Collector, sql: &Sql) {
    let rows = total(&collector.ledger(), "rows");
    collector.settle(rows);
    let n = sql.numbers(
        "SELECT count(), uniqExact(exporter, exporter_port, received_at, datagram, record, half) FROM flows",
    );
    assert_eq!(n[0], total(&collector.ledger(), "rows_acknowledged"));
    assert_eq!(n[0], n[1], "rows that are there twice");
}

/// Exit code and both outputs of a run of the program.
fn flowhouse(arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(exe());
    command.args(arguments).envs(variables.iter().copied());
    let out = command.output().expect("runs");
    let text = [&out.stdout[..], &out.stderr[..]].concat();
    (
        out.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn check(dir: &Path, text: &str) -> (bool, String) {
    let state = dir.join("check-state");
    let file = write(
        dir,
        "check.toml",
        &format!("state_dir = {state:?}\n{LISTEN}[control]\nlisten = \"127.0.0.1:0\"\n{text}"),
    );
    flowhouse(&["check", "-c", file.to_str().expect("text")], &[])
}

/// An operator gets every certificate wrong, one after the other, reads why, and mends it: nothing is restarted, and
/// nothing is lost.
#[test]
fn rows_wait_until_tls_is_mended() {
    let dir = directory();
    let store = Store::start(dir.path());
    let (ours, others) = (Authority::new("ours"), Authority::new("another"));
    let good = ours.server(&ours.issue(2100));
    let gateway = Gateway::start(&store.address, good.clone());
    let url = format!("https://localhost:{}", gateway.address.port());
    let me = ours.issue(2100);
    let ca = write(dir.path(), "ca.pem", &others.pem);
    let certificate = write(dir.path(), "me.pem", &me.certificate);
    let key = write(dir.path(), "me.key", &me.key);
    let password = store.key_file();
    let base = format!(
        "[clickhouse]\nurl = {url:?}\npassword_file = {password:?}\nhealth_interval_s = 1\nhealth_backoff_max_s = 1\n"
    );
    let config = format!(
        "{base}ca_file = {ca:?}\ncertificate_file = {certificate:?}\ncertificate_key_file = {key:?}\n"
    );

    let collector = Collector::start(dir.path(), &format!("{LISTEN}{config}"));
    export(&collector);
    refused(
        &collector,
        "the store's certificate was issued by none of the authorities in clickhouse.ca_file",
    );
    write(dir.path(), "ca.pem", &ours.pem);
    delivered(&collector, &store.sql());

    gateway.set(ours.server(&ours.issue(2020)));
    export(&collector);
    refused(&collector, "the store's certificate has expired");
    gateway.set(good.clone());
    delivered(&collector, &store.sql());

    let expired = ours.issue(2020);
    write(dir.path(), "me.key", &expired.key);
    write(dir.path(), "me.pem", &expired.certificate);
    gateway.set(good.clone());
    eventually("the new files are read", || {
        let log = collector.log();
        log.iter().any(|l| l.contains("certificates have changed"))
    });
    export(&collector);
    refused(&collector, "it has expired");
    write(dir.path(), "me.key", &me.key);
    write(dir.path(), "me.pem", &me.certificate);
    delivered(&collector, &store.sql());

    let (fine, said) = check(dir.path(), &config);
    assert!(fine && said.contains("1 of 1 endpoint(s) answer"), "{said}");
    let (fine, said) = check(dir.path(), &format!("{base}ca_file = {ca:?}\n"));
    assert!(
        !fine && said.contains("the store asks for a client certificate"),
        "{said}"
    );
    let other = url.replace("localhost", "127.0.0.1");
    let (fine, said) = check(dir.path(), &config.replace(&url, &other));
    assert!(!fine && said.contains("is for another name"), "{said}");
    let named = format!(
        "{}server_name = \"localhost\"\n",
        config.replace(&url, &other)
    );
    let (fine, said) = check(dir.path(), &named);
    assert!(fine, "{said}");
    let (fine, said) = check(dir.path(), &config.replace("me.pem", "nobody.pem"));
    assert!(
        !fine && said.contains("check.toml:12:1: clickhouse.certificate_file"),
        "{said}"
    );

    let options = [
        "--url",
        &url,
        "--password-file",
        password.to_str().expect("text"),
    ];
    let files = [
        ["--ca-file", ca.to_str().expect("text")],
        ["--certificate-file", certificate.to_str().expect("text")],
        ["--certificate-key-file", key.to_str().expect("text")],
    ];
    let all = [&["top", "apps"][..], &options, files.as_flattened()].concat();
    let (fine, said) = flowhouse(&all, &[]);
    assert!(fine && said.contains("application"), "{said}");
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "rows_acknowledged"), total(&ledger, "rows"));
}

/// A password is told to nobody, wherever it comes from and whatever goes wrong; mended on disk it is taken up.
#[test]
fn the_password_is_told_to_nobody() {
    const WRONG: &str = "hunter2-wrong";
    let dir = directory();
    let store = Store::start(dir.path());
    let secret = std::fs::read_to_string(store.key_file()).expect("the key");
    let secret = secret.trim();
    let password = write(dir.path(), "password", WRONG);
    let url = format!("http://{}", store.address);
    let config = format!(
        "[clickhouse]\nurl = {url:?}\npassword_file = {password:?}\nhealth_interval_s = 1\nhealth_backoff_max_s = 1\n"
    );
    let collector = Collector::start(dir.path(), &format!("{LISTEN}{config}"));
    export(&collector);
    refused(&collector, "does not know this user or this password");
    let mut said = vec![check(dir.path(), &config).1];
    said.push(collector.page("/readyz").1);
    write(dir.path(), "password", secret);
    delivered(&collector, &store.sql());
    // and once more while it runs
    write(dir.path(), "password", WRONG);
    eventually("it is read", || {
        let up = collector.metric("flowhouse_sink_endpoint_up");
        said.extend(collector.log());
        up == 0.0
    });
    export(&collector);
    refused(&collector, "does not know this user or this password");
    said.push(collector.page("/metrics").1);
    write(dir.path(), "password", secret);
    delivered(&collector, &store.sql());
    let process = format!("/proc/{}/cmdline", collector.id());
    said.push(std::fs::read_to_string(process).expect("its arguments"));
    said.extend(["/metrics", "/readyz", "/exporters"].map(|p| collector.page(p).1));
    said.extend(collector.said.clone());
    said.extend(collector.log());

    // what `check` and the other commands say, of a file, a key in the configuration, the environment
    let (fine, text) = check(dir.path(), &config);
    assert!(fine, "{text}");
    said.push(text);
    let bare = config.replace("password_file", "## ");
    for (line, cure) in [
        (format!("password = {secret}"), ""),
        ("password = 20261122".into(), "must be a text in quotes"),
        (format!("password = {WRONG:?}"), "does not know this user"),
    ] {
        let (fine, text) = check(dir.path(), &format!("{bare}{line}\n"));
        assert!(!fine && text.contains(cure), "{text}");
        assert!(!text.contains("20261122"), "{text}");
        said.push(text);
    }
    let within = url.replace("http://", &format!("http://default:{secret}@"));
    let (fine, text) = check(dir.path(), &format!("[clickhouse]\nurl = {within:?}\n"));
    assert!(
        !fine && text.contains("check.toml:7:1: clickhouse.url must be"),
        "{text}"
    );
    said.push(text);
    // another fault keeps the section from being looked at as a whole
    for other in [
        "health_interval_s = \"x\"\n",
        "nonsense = 1\n",
        "urls = 3\n",
        "[sink]\nbackoff_ms = \"x\"\n",
        "[[clickhouse.shards]]\n",
    ] {
        let (fine, text) = check(
            dir.path(),
            &format!("[clickhouse]\nurl = {within:?}\n{other}"),
        );
        assert!(!fine, "{text}");
        said.push(text);
    }
    let listed = format!("[clickhouse]\nurls = {within:?}\n");
    let (fine, text) = check(dir.path(), &listed);
    assert!(!fine && text.contains("***@"), "{text}");
    said.push(text);
    let (fine, text) = flowhouse(&["schema", "status", "--url", &within], &[]);
    assert!(!fine && text.contains("clickhouse.url must be"), "{text}");
    said.push(text);
    let status = ["schema", "status", "--url", &url];
    for (password, works) in [(secret, true), (WRONG, false)] {
        let (fine, text) = flowhouse(&status, &[("FLOWHOUSE_CLICKHOUSE_PASSWORD", password)]);
        assert_eq!(fine, works, "{text}");
        said.push(text);
    }
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&password, open).expect("mode");
    let (fine, text) = check(dir.path(), &config);
    assert!(
        !fine && text.contains("check.toml:8:1: clickhouse.password_file"),
        "{text}"
    );
    assert!(text.contains("chmod o-rwx"), "{text}");
    said.push(text);

    collector.stop();
    for text in &said {
        assert!(
            !text.contains(secret) && !text.contains(WRONG),
            "the password is in: {text}"
        );
    }
    assert!(said.len() > 20, "something was said: {}", said.len());
}

/// Two ways to one server: when the first is closed the second takes over, with the same tokens, and back again.
#[test]
fn a_replica_takes_over_and_gives_back() {
    let dir = directory();
    let store = Store::start(dir.path());
    let key = store.key_file();
    let ways = [(); 2].map(|()| Gateway::start(&store.address, Mode::Open));
    let urls = ways.each_ref().map(|w| format!("http://{}", w.address));
    let config = format!(
        "[clickhouse]\nurls = {urls:?}\npassword_file = {key:?}\nhealth_interval_s = 1\nhealth_backoff_max_s = 1\n"
    );
    let apply = ["schema", "apply", "--url", &urls[0]];
    let file = ["--password-file", key.to_str().expect("text")];
    let (fine, said) = flowhouse(&[&apply[..], &file].concat(), &[]);
    assert!(fine, "{said}");

    let collector = Collector::start(dir.path(), &format!("{LISTEN}{config}"));
    let up = |n: usize| {
        let page = collector.page("/metrics").1;
        let state = |l: &str| l.contains(&urls[n]) && l.contains("state=\"up\"");
        page.lines().any(state)
    };
    eventually("both are well", || up(0) && up(1));
    export(&collector);
    delivered(&collector, &store.sql());
    for _ in 0..3 {
        ways[0].set(Mode::Closed);
        export(&collector);
        eventually("the second has it", || !up(0) && up(1));
        delivered(&collector, &store.sql());
        ways[0].set(Mode::Open);
        eventually("the first is back", || up(0));
        ways[1].set(Mode::Closed);
        export(&collector);
        delivered(&collector, &store.sql());
        ways[1].set(Mode::Open);
    }
    // what only reads takes the first that answers, too
    ways[0].set(Mode::Closed);
    let file = dir.path().join("flowhouse.toml");
    let (fine, said) = flowhouse(&["top", "apps", "-c", file.to_str().expect("text")], &[]);
    assert!(fine && said.contains("application"), "{said}");
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "rows_acknowledged"), total(&ledger, "rows"));
}

/// What answers instead of the store with status 200 acknowledges nothing, before the tables are there and after.
#[test]
fn rows_wait_behind_pages_of_somebody_else() {
    const SOMEBODY: &str = "it was not ClickHouse that answered";
    let dir = directory();
    let store = Store::start(dir.path());
    let proxy = Proxy::start(&store.address, |_, _| Act::Pass);
    let key = store.key_file();
    let config = format!(
        "[clickhouse]\nurl = {:?}\npassword_file = {key:?}\nhealth_interval_s = 1\nhealth_backoff_max_s = 1\n",
        proxy.url
    );
    proxy.close(true);
    let (fine, said) = check(dir.path(), &config);
    assert!(!fine && said.contains(SOMEBODY), "{said}");
    let collector = Collector::start(dir.path(), &format!("{LISTEN}{config}"));
    export(&collector);
    refused(&collector, SOMEBODY);
    assert_eq!(total(&collector.ledger(), "rows_acknowledged"), 0);
    proxy.close(false);
    delivered(&collector, &store.sql());

    proxy.close(true);
    let before = total(&collector.ledger(), "rows_acknowledged");
    export(&collector);
    refused(&collector, SOMEBODY);
    let up = || collector.metric("flowhouse_sink_endpoint_up");
    eventually("the endpoint is away", || up() == 0.0);
    assert_eq!(total(&collector.ledger(), "rows_acknowledged"), before);
    proxy.close(false);
    delivered(&collector, &store.sql());
    let ledger = collector.stop();
    assert_laws(&ledger);
    assert_eq!(total(&ledger, "rows_acknowledged"), total(&ledger, "rows"));
}

/// A table that is gone is waited for; a database that is gone is made anew.
#[test]
fn rows_wait_for_tables_that_are_gone() {
    let dir = directory();
    let store = Store::start(dir.path());
    let sql = store.sql();
    let (url, key) = (format!("http://{}", store.address), store.key_file());
    let config = format!(
        "[sink]\nbackoff_ms = 1\nbackoff_max_ms = 5\n[clickhouse]\nurl = {url:?}\npassword_file = {key:?}\n"
    );
    let collector = Collector::start(dir.path(), &format!("{LISTEN}{config}"));
    export(&collector);
    delivered(&collector, &sql);

    sql.rows("DETACH TABLE flows");
    export(&collector);
    refused(
        &collector,
        "the store lacks the database or a table of ours",
    );
    let failed = || collector.metric("flowhouse_sink_insert_errors_total");
    // more often than rows may be refused
    eventually("it was tried again and again", || failed() >= 20.0);
    sql.rows("ATTACH TABLE flows");
    delivered(&collector, &sql);

    let before = total(&collector.ledger(), "rows_acknowledged");
    sql.rows("DROP DATABASE flowhouse");
    export(&collector);
    let rows = total(&collector.ledger(), "rows");
    collector.settle(rows);
    let rows = total(&collector.ledger(), "rows_acknowledged");
    assert_eq!(sql.numbers("SELECT count() FROM flows"), [rows - before]);
    let ledger = collector.stop();
    assert_laws(&ledger);
    let aside = [
        "rows_quarantined",
        "usage_rows_quarantined",
        "other_rows_quarantined",
        "rows_shed",
    ];
    assert_eq!(aside.map(|o| total(&ledger, o)), [0; 4]);
}

/// Two servers with tables of their own share no deduplication log: rows wait for the first one.
#[test]
fn a_server_that_is_no_replica_gets_nothing() {
    let dir = directory();
    let folders = ["first", "second"].map(|n| dir.path().join(n));
    let stores = folders.each_ref().map(|f| {
        std::fs::create_dir(f).expect("folder");
        Store::start(f)
    });
    // one password for both
    let key = std::fs::read_to_string(stores[0].key_file()).expect("the key");
    let mut second = stores;
    second[1].kill();
    std::fs::write(second[1].key_file(), &key).expect("the same key");
    second[1].run();
    let stores = second;
    let first = Gateway::start(&stores[0].address, Mode::Open);
    let urls = [
        format!("http://{}", first.address),
        format!("http://{}", stores[1].address),
    ];
    let password = write(dir.path(), "password", &key);
    let config = format!(
        "[clickhouse]\nurls = {urls:?}\npassword_file = {password:?}\nhealth_interval_s = 1\nhealth_backoff_max_s = 1\n"
    );
    for url in &urls {
        let file = password.to_str().expect("text");
        let (fine, said) = flowhouse(
            &["schema", "apply", "--url", url, "--password-file", file],
            &[],
        );
        assert!(fine, "{said}");
    }
    let (fine, said) = check(dir.path(), &config);
    assert!(
        !fine && said.contains("is not a replica of the first"),
        "{said}"
    );

    let collector = Collector::start(dir.path(), &format!("{LISTEN}{config}"));
    export(&collector);
    delivered(&collector, &stores[0].sql());
    first.set(Mode::Closed);
    export(&collector);
    eventually("it was tried", || {
        collector.metric("flowhouse_sink_retries_total") > 3.0
    });
    assert_eq!(stores[1].sql().numbers("SELECT count() FROM flows"), [0]);
    first.set(Mode::Open);
    delivered(&collector, &stores[0].sql());
    assert_eq!(stores[1].sql().numbers("SELECT count() FROM flows"), [0]);
    collector.stop();
}
