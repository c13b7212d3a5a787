//! The embedded ClickHouse as its clients see it. Needs the engine library, which `make test` installs.

use clickhouse::{Client, Row};
use flowhouse::store::{SpawnOptions, StoreProcess, library, spawn};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

struct Store {
    folder: tempfile::TempDir,
    process: Option<StoreProcess>,
}

impl Store {
    fn start() -> Store {
        Store::start_with(&[])
    }

    fn start_with(arguments: &[&str]) -> Store {
        let folder = tempfile::tempdir().expect("folder");
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))
            .expect("mode");
        let mut store = Store {
            folder,
            process: None,
        };
        store.restart(arguments);
        store
    }

    fn options(&self, arguments: &[&str]) -> SpawnOptions {
        let data = self.folder.path().join("data");
        if let Err(error) = library::find(None, &data) {
            panic!("{error}; `make test` installs it");
        }
        SpawnOptions {
            exe: Some(PathBuf::from(env!("CARGO_BIN_EXE_flowhouse"))),
            memory_max: Some(2 << 30),
            arguments: arguments.iter().map(|text| (*text).to_owned()).collect(),
            ..SpawnOptions::new(data)
        }
    }

    fn restart(&mut self, arguments: &[&str]) {
        self.process = Some(spawn(&self.options(arguments)).expect("store"));
    }

    fn process(&self) -> &StoreProcess {
        self.process.as_ref().expect("running")
    }

    fn address(&self) -> &str {
        self.process().url.strip_prefix("http://").expect("url")
    }

    fn client(&self) -> Client {
        Client::default()
            .with_url(&self.process().url)
            .with_user("default")
            .with_password(&self.process().key)
    }

    /// Sends a POST with the full key.
    fn ask(&self, path: &str, body: &[u8]) -> Answer {
        self.ask_with(path, body, &[("X-ClickHouse-Key", &self.process().key)])
    }

    fn ask_with(&self, path: &str, body: &[u8], headers: &[(&str, &str)]) -> Answer {
        let mut head = format!("POST {path} HTTP/1.0\r\nContent-Length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "Host") {
            head.push_str("Host: localhost\r\n");
        }
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        self.raw(format!("{head}\r\n").as_bytes(), body)
    }

    fn raw(&self, head: &[u8], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address()).expect("connect");
        stream
            .write_all(head)
            .and_then(|()| stream.write_all(body))
            .expect("send");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("answer");
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .expect("head");
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|word| word.parse().ok())
            .expect("status");
        Answer {
            status,
            head,
            body: bytes.split_off(end + 4),
        }
    }

    fn sql(&self, sql: &str) -> String {
        let answer = self.ask("/", sql.as_bytes());
        assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
        answer.text()
    }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn refused(&self, status: u16, code: u32) {
        let text = self.text();
        assert_eq!(self.status, status, "{text}");
        assert!(
            text.starts_with(&format!("Code: {code}. DB::Exception: ")),
            "{text}"
        );
        assert!(
            self.head
                .contains(&format!("x-clickhouse-exception-code: {code}")),
            "{}",
            self.head
        );
    }
}

fn urlencoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[derive(Debug, PartialEq, Row, serde::Serialize, serde::Deserialize)]
struct Pair {
    id: u64,
    name: String,
}

fn pairs(range: std::ops::Range<u64>) -> Vec<Pair> {
    range
        .map(|id| Pair {
            id,
            name: format!("name\t{id}\0'"),
        })
        .collect()
}

/// A Native block of `id UInt64, name String`.
fn native(rows: &[Pair]) -> Vec<u8> {
    let short =
        |text: &str| [&[u8::try_from(text.len()).expect("short")], text.as_bytes()].concat();
    let mut out = vec![2, u8::try_from(rows.len()).expect("few")];
    out.extend([short("id"), short("UInt64")].concat());
    out.extend(rows.iter().flat_map(|row| row.id.to_le_bytes()));
    out.extend([short("name"), short("String")].concat());
    out.extend(rows.iter().flat_map(|row| short(&row.name)));
    out
}

#[tokio::test]
async fn the_official_crate_works() {
    let store = Store::start();
    let client = store.client();
    client
        .query("CREATE TABLE t (id UInt64, name String) ENGINE = MergeTree ORDER BY id")
        .execute()
        .await
        .expect("create");
    let mut insert = client.insert::<Pair>("t").await.expect("insert");
    for pair in pairs(0..1000) {
        insert.write(&pair).await.expect("write");
    }
    insert.end().await.expect("end");
    let mut formatted = client.insert_formatted_with("INSERT INTO t FORMAT Native");
    formatted
        .send(native(&pairs(1000..1100)).into())
        .await
        .expect("send");
    formatted.end().await.expect("end");
    let rows = client
        .query("SELECT ?fields FROM t WHERE id >= ? ORDER BY id")
        .bind(0)
        .fetch_all::<Pair>()
        .await
        .expect("rows");
    assert_eq!(rows, pairs(0..1100));
    let named = client
        .query("SELECT name FROM t WHERE id = {id:UInt64}")
        .param("id", 7)
        .fetch_one::<String>()
        .await
        .expect("row");
    assert_eq!(named, pairs(7..8)[0].name);
    let big = client
        .query("SELECT number FROM numbers(3000000)")
        .fetch_all::<u64>()
        .await
        .expect("rows");
    assert_eq!((big.len(), big.last()), (3_000_000, Some(&2_999_999)));
    let error = client
        .query("SELECT * FROM missing")
        .fetch_all::<u64>()
        .await
        .expect_err("missing")
        .to_string();
    assert!(error.contains("Code: 60."), "{error}");
    let late = client
        .query("SELECT throwIf(number = 2500000, 'too late') FROM numbers(3000000)")
        .fetch_all::<u8>()
        .await;
    let late = late.expect_err("thrown").to_string();
    assert!(late.contains("too late"), "{late}");
}

#[test]
fn curl_works() {
    let store = Store::start();
    let curl = |arguments: &[&str]| {
        let key = format!("default:{}", store.process().key);
        let output = Command::new("curl")
            .args(["-sS", "--max-time", "20", "-u", &key])
            .args(arguments)
            .output()
            .expect("curl");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let url = &store.process().url;
    assert_eq!(curl(&[&format!("{url}/ping")]), "Ok.\n");
    assert_eq!(
        curl(&["-G", url, "--data-urlencode", "query=SELECT 1 + 1"]),
        "2\n"
    );
    assert!(
        curl(&[
            "-G",
            url,
            "--data-urlencode",
            "query=CREATE TABLE x (a UInt8) ENGINE = Null"
        ])
        .contains("Code: 164.")
    );
    curl(&[
        url,
        "--data",
        "CREATE TABLE t (a UInt8, b String) ENGINE = Memory",
    ]);
    curl(&[
        "-H",
        "Transfer-Encoding: chunked",
        &format!("{url}/?query=INSERT+INTO+t+FORMAT+CSV"),
        "--data-binary",
        "1,\"x\"\n2,y\n",
    ]);
    assert_eq!(
        curl(&[
            "--compressed",
            &format!("{url}/?default_format=JSONEachRow"),
            "--data",
            "SELECT * FROM t ORDER BY a"
        ]),
        "{\"a\":1,\"b\":\"x\"}\n{\"a\":2,\"b\":\"y\"}\n"
    );
    assert_eq!(
        curl(&[
            "-F",
            "query=SELECT {a:String}, {b:UInt8}",
            "-F",
            "param_a=x'y",
            "-F",
            "param_b=7",
            url
        ]),
        "x\\'y\t7\n"
    );
    assert_eq!(
        curl(&[
            url,
            "--data",
            "SELECT number FROM numbers(1000000) FORMAT TSV"
        ])
        .lines()
        .count(),
        1_000_000
    );
}

#[test]
fn clickhouse_connect_works() {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python");
    let python = std::env::var_os("FLOWHOUSE_PYTHON").map_or(venv, PathBuf::from);
    if !python.exists() {
        assert!(
            std::env::var_os("FLOWHOUSE_SKIP_PYTHON").is_some(),
            "no {}: `make test` makes it; FLOWHOUSE_SKIP_PYTHON=1 skips this",
            python.display()
        );
        return;
    }
    let store = Store::start();
    let script = r#"
import sys, clickhouse_connect
host, port, key = sys.argv[1:]
client = clickhouse_connect.get_client(host=host, port=int(port), username="default", password=key)
client.command("CREATE TABLE t (a UInt32, s String, t DateTime) ENGINE = MergeTree ORDER BY a")
import datetime
when = datetime.datetime(2026, 1, 2, 3, 4, 5)
client.insert("t", [[i, f"row {i}\n", when] for i in range(1000)], column_names=["a", "s", "t"])
rows = client.query("SELECT a, s FROM t WHERE a < {limit:UInt32} ORDER BY a", parameters={"limit": 3}).result_rows
assert rows == [(0, "row 0\n"), (1, "row 1\n"), (2, "row 2\n")], rows
assert client.command("SELECT count() FROM t") == 1000
client.command("CREATE TEMPORARY TABLE mine (x UInt8)")
assert client.query("SELECT count() FROM mine").result_rows == [(0,)]
try:
    client.query("SELECT * FROM missing")
    raise SystemExit("no error")
except clickhouse_connect.driver.exceptions.DatabaseError as error:
    assert "60" in str(error), error
print("fine")
"#;
    let (host, port) = store.address().split_once(':').expect("address");
    let output = Command::new(python)
        .args(["-c", script, host, port, &store.process().key])
        .output()
        .expect("python");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "fine\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn tokens_deduplicate_through_views() {
    let store = Store::start();
    let window = "SETTINGS non_replicated_deduplication_window = 1000";
    store.sql(&format!(
        "CREATE TABLE raw (k String, n UInt64) ENGINE = MergeTree ORDER BY k {window}"
    ));
    store.sql(&format!(
        "CREATE TABLE total (k String, n UInt64) ENGINE = SummingMergeTree ORDER BY k {window}"
    ));
    store.sql("CREATE MATERIALIZED VIEW v TO total AS SELECT k, sum(n) AS n FROM raw GROUP BY k");
    let insert = |token: &str| {
        let path = format!(
            "/?query=INSERT+INTO+raw+FORMAT+TSV&insert_deduplicate=1&deduplicate_blocks_in_dependent_materialized_views=1&insert_deduplication_token={token}"
        );
        assert_eq!(store.ask(&path, b"a\t5\nb\t6\n").status, 200);
    };
    for token in ["one", "one", "two", "one"] {
        insert(token);
    }
    assert_eq!(store.sql("SELECT count(), sum(n) FROM raw"), "4\t22\n");
    assert_eq!(store.sql("SELECT sum(n) FROM total"), "22\n");
}

#[test]
fn a_failing_view_fails_the_insert() {
    let store = Store::start();
    store.sql("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a");
    store.sql("CREATE TABLE u (a UInt8) ENGINE = MergeTree ORDER BY a");
    store.sql("CREATE MATERIALIZED VIEW v TO u AS SELECT a + throwIf(a = 66) AS a FROM t");
    assert!(
        store
            .ask("/", b"INSERT INTO t FORMAT TSV\n66\n")
            .text()
            .contains("Code: 395.")
    );
}

#[test]
fn what_an_answer_cannot_hold_is_said() {
    let store = Store::start();
    let ask = |sql: &str| store.ask("/", sql.as_bytes()).text().to_owned();
    let totals = "SELECT number % 2 AS k, count() FROM numbers(5) GROUP BY k WITH TOTALS";
    assert!(ask(totals).contains("WITH ROLLUP"), "{}", ask(totals));
    // of a subquery they are no part of the answer
    assert_eq!(ask(&format!("SELECT count() FROM ({totals})")), "2\n");
    let twice = ask("SELECT number, number FROM numbers(1)");
    assert!(twice.contains("rename one with AS"), "{twice}");
}

#[test]
fn the_data_of_all_inserts_has_a_limit() {
    let mut store = Store::start();
    store.process.take().expect("running").kill().expect("kill");
    store.restart(&["--spool-bytes-max", "1000"]);
    store.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    let insert = |rows: usize| {
        let data = format!("INSERT INTO t FORMAT TSV\n{}", "1\n".repeat(rows));
        store.ask("/", data.as_bytes()).text().to_owned()
    };
    assert!(insert(1_000).contains("Code: 202."), "{}", insert(1_000));
    assert_eq!(insert(400), "");
    assert_eq!(store.sql("SELECT count() FROM t"), "400\n");
}

#[test]
fn data_survives_a_kill() {
    let mut store = Store::start();
    store.sql("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a");
    store.sql("INSERT INTO t SELECT number FROM numbers(1000)");
    let key = store.process().key.clone();
    store.process.take().expect("running").kill().expect("kill");
    store.restart(&[]);
    assert_eq!(store.process().key, key);
    assert_eq!(store.sql("SELECT count(), sum(a) FROM t"), "1000\t499500\n");
    let error = spawn(&store.options(&[])).expect_err("locked").to_string();
    assert!(error.contains("in use by another store"), "{error}");
    store.process.take().expect("running").stop().expect("stop");
}

/// What a kill between the two steps of an INSERT leaves: the token in the table's log, and no part.
#[test]
fn a_token_whose_rows_were_never_kept_does_not_swallow_them() {
    let mut store = Store::start();
    store.sql(
        "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 1000",
    );
    let insert = |store: &Store, token: &str| {
        let path = format!("/?query=INSERT+INTO+t+FORMAT+TSV&insert_deduplication_token={token}");
        assert_eq!(store.ask(&path, b"1\n2\n").status, 200);
    };
    insert(&store, "kept");
    insert(&store, "lost");
    let part =
        "SELECT path FROM system.parts WHERE table = 't' ORDER BY max_block_number DESC LIMIT 1";
    let part = PathBuf::from(store.sql(part).trim());
    store.process.take().expect("running").kill().expect("kill");
    std::fs::remove_dir_all(store.folder.path().join("data").join("engine").join(&part))
        .expect("a part");
    store.restart(&[]);
    assert_eq!(store.sql("SELECT count() FROM t"), "2\n");
    for token in ["kept", "lost", "lost"] {
        insert(&store, token);
    }
    assert_eq!(store.sql("SELECT count() FROM t"), "4\n");
}

#[test]
fn forbidden_sql_is_refused() {
    let store = Store::start();
    let list = [
        "SELECT * FROM file('/etc/passwd', LineAsString)",
        "SELECT * FROM `FILE` /**/ ('/etc/passwd')",
        "SELECT * FROM url('http://127.0.0.1:1/', CSV, 'a String')",
        "SELECT * FROM s3('http://127.0.0.1:1/x')",
        "SELECT * FROM remote('127.0.0.1:1', system.one)",
        "SELECT * FROM executable('id', TSV, 'a String')",
        "SELECT * FROM python(x)",
        "SELECT * FROM eval('SELECT 1')",
        "SELECT 1 INTO OUTFILE '/tmp/flowhouse-outfile'",
        "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT LineAsString",
        "CREATE TABLE f (a String) ENGINE = File(TSV)",
        "CREATE DATABASE f ENGINE = Filesystem('/')",
        "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(FILE(PATH '/etc/passwd' FORMAT TSV)) LAYOUT(FLAT())",
        "BACKUP TABLE t TO File('/tmp/x')",
        "RESTORE TABLE t FROM File('/tmp/x')",
        "SYSTEM SHUTDOWN",
        "SYSTEM KILL",
    ];
    for sql in list {
        store.ask("/", sql.as_bytes()).refused(403, 497);
    }
    for sql in [
        "SET max_memory_usage = 0",
        "SELECT 1 SETTINGS max_threads = 1000",
        "SELECT 1 SETTINGS readonly = 0",
    ] {
        store.ask("/", sql.as_bytes()).refused(400, 452);
    }
    store
        .ask("/?max_memory_usage=99999999999999", b"SELECT 1")
        .refused(400, 452);
    store.sql("CREATE TABLE t (a String) ENGINE = Memory");
    assert_ne!(
        store
            .ask("/", b"INSERT INTO t VALUES (file('/etc/hostname'))")
            .status,
        200
    );
    assert_ne!(
        store
            .ask(
                "/?query=INSERT+INTO+t+FORMAT+Values",
                b"(file('/etc/hostname'))"
            )
            .status,
        200
    );
    store.sql("INSERT INTO t VALUES (upper('x'))");
    assert_eq!(store.sql("SELECT * FROM t"), "X\n");
}

#[test]
fn keys_and_origins_are_checked() {
    let store = Store::start();
    let (key, read_only) = (
        store.process().key.clone(),
        store.process().key_read_only.clone(),
    );
    store.ask_with("/", b"SELECT 1", &[]).refused(401, 516);
    store
        .ask_with("/", b"SELECT 1", &[("X-ClickHouse-Key", &key[1..])])
        .refused(401, 516);
    assert_eq!(
        store
            .ask_with(&format!("/?user=default&password={key}"), b"SELECT 1", &[])
            .text(),
        "1\n"
    );
    assert_eq!(
        store
            .ask_with("/", b"SHOW TABLES", &[("X-ClickHouse-Key", &read_only)])
            .status,
        200
    );
    assert_eq!(
        store
            .ask_with(
                "/?max_block_size=10",
                b"SELECT 1",
                &[("X-ClickHouse-Key", &read_only)]
            )
            .text(),
        "1\n"
    );
    for sql in [
        "CREATE TABLE t (a UInt8) ENGINE = Null",
        "INSERT INTO t VALUES (1)",
        "SET max_threads = 1",
        "OPTIMIZE TABLE t",
    ] {
        store
            .ask_with("/", sql.as_bytes(), &[("X-ClickHouse-Key", &read_only)])
            .refused(403, 164);
    }
    store
        .ask_with(
            "/",
            b"SELECT 1",
            &[("X-ClickHouse-Key", &key), ("Host", "evil.example")],
        )
        .refused(403, 497);
    store
        .ask_with(
            "/",
            b"SELECT 1",
            &[("X-ClickHouse-Key", &key), ("Origin", "http://localhost")],
        )
        .refused(403, 497);
    for name in ["key", "key.readonly"] {
        let mode = std::fs::metadata(store.folder.path().join("data").join(name))
            .expect("key")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn compressed_blocks_are_verified() {
    let store = Store::start();
    store.sql("CREATE TABLE t (id UInt64, name String) ENGINE = MergeTree ORDER BY id");
    let path = "/?decompress=1&query=INSERT+INTO+t+FORMAT+Native";
    let mut wire = flowhouse::store::body::block(&native(&pairs(0..50)));
    assert_eq!(store.ask(path, &wire).status, 200);
    wire[40] ^= 1;
    store.ask(path, &wire).refused(400, 40);
    store.ask(path, &wire[..30]).refused(400, 33);
    assert_eq!(store.sql("SELECT count() FROM t"), "50\n");
    let packed = store.ask("/?compress=1", b"SELECT number FROM numbers(100000)");
    let mut text = String::new();
    flowhouse::store::body::BlockReader::new(&packed.body[..])
        .read_to_string(&mut text)
        .expect("blocks");
    assert_eq!(text.lines().count(), 100_000);
}

#[test]
fn sessions_keep_their_tables() {
    let store = Store::start();
    assert_eq!(
        store
            .ask("/?session_id=s", b"CREATE TEMPORARY TABLE mine (a UInt8)")
            .status,
        200
    );
    assert_eq!(
        store
            .ask("/?session_id=s", b"SELECT count() FROM mine")
            .text(),
        "0\n"
    );
    store.ask("/", b"SELECT count() FROM mine").refused(404, 60);
    assert_eq!(
        store
            .ask("/?session_id=new&session_check=1", b"SELECT 1")
            .text()
            .split(' ')
            .nth(1),
        Some("372.")
    );
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| store.ask("/?session_id=s", b"SELECT sleep(1)").status);
        std::thread::sleep(std::time::Duration::from_millis(300));
        assert!(
            store
                .ask("/?session_id=s", b"SELECT 1")
                .text()
                .contains("SESSION_IS_LOCKED")
        );
        assert_eq!(slow.join().expect("thread"), 200);
    });
}

#[test]
fn settings_end_with_their_request() {
    let store = Store::start();
    store.sql("CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS non_replicated_deduplication_window = 100");
    let insert = "/?session_id=s&insert_deduplication_token=x&query=INSERT+INTO+t+FORMAT+TSV";
    assert_eq!(store.ask(insert, b"1\n").status, 200);
    let insert = "/?session_id=s&query=INSERT+INTO+t+FORMAT+TSV";
    assert_eq!(store.ask(insert, b"2\n").status, 200);
    assert_eq!(
        store
            .ask(
                "/?session_id=s",
                b"SELECT count(), getSetting('max_threads') > 0 FROM t"
            )
            .text(),
        "2\t1\n"
    );
    assert_eq!(
        store
            .ask("/?limit=2&offset=1", b"SELECT number FROM numbers(10) -- x")
            .text(),
        "1\n2\n"
    );
}

#[test]
fn abandoned_queries_end() {
    let store = Store::start();
    let sql = "SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(number)";
    let head = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-ClickHouse-Key: {}\r\nContent-Length: {}\r\n\r\n{sql}",
        store.process().key,
        sql.len()
    );
    let mut stream = TcpStream::connect(store.address()).expect("connect");
    stream.write_all(head.as_bytes()).expect("send");
    let running = "SELECT count() FROM system.processes WHERE query LIKE '%1000000000000%' AND query NOT LIKE '%processes%'";
    let wait = |count: &str| {
        (0..100).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            store.sql(running) == count
        })
    };
    assert!(wait("1\n"), "the query never ran");
    drop(stream);
    assert!(wait("0\n"), "the query goes on");
}

#[test]
fn limits_hold() {
    let store = Store::start_with(&[
        "--body-bytes-max",
        "1000",
        "--query-bytes-max",
        "2000",
        "--response-bytes-max",
        "5000",
    ]);
    store.sql("CREATE TABLE t (a String) ENGINE = Memory");
    store
        .ask("/?query=INSERT+INTO+t+FORMAT+TSV", &[b'x'; 1001])
        .refused(413, 307);
    store
        .ask("/", format!("SELECT '{}'", "x".repeat(2000)).as_bytes())
        .refused(400, 62);
    store
        .ask("/", b"SELECT number FROM numbers(100000)")
        .refused(413, 307);
    let memory = store.ask(
        "/?max_memory_usage=10000000",
        b"SELECT uniqExact(number) FROM numbers(5000000)",
    );
    assert!(memory.text().contains("Code: 241."), "{}", memory.text());
    let counters = store.ask("/metrics", b"").text();
    assert!(
        counters.contains("flowhouse_store_refused_size_total 2"),
        "{counters}"
    );
}

#[test]
fn busy_stores_say_so() {
    let store = Store::start_with(&["--requests-max", "1", "--requests-waiting-max", "0"]);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| store.ask("/", b"SELECT sleep(1)").status);
        std::thread::sleep(std::time::Duration::from_millis(300));
        store.ask("/", b"SELECT 1").refused(503, 202);
        assert_eq!(slow.join().expect("thread"), 200);
    });
}

#[test]
fn statements_without_rows_of_their_own() {
    let store = Store::start();
    store.sql("CREATE DATABASE d");
    store.sql("CREATE TABLE d.t (a UInt8, b Nullable(String)) ENGINE = MergeTree ORDER BY a");
    store.sql("ALTER TABLE d.t ADD COLUMN c UInt8");
    assert_eq!(store.sql("EXISTS TABLE d.t"), "1\n");
    assert_eq!(store.sql("SHOW TABLES FROM d"), "t\n");
    assert!(store.sql("SHOW CREATE TABLE d.t").contains("MergeTree"));
    assert_eq!(
        store
            .sql("DESCRIBE TABLE d.t FORMAT JSONCompactEachRow")
            .lines()
            .count(),
        3
    );
    assert!(store.sql("EXPLAIN SELECT 1").contains("ReadFrom"));
    for sql in [
        "OPTIMIZE TABLE d.t FINAL",
        "SYSTEM FLUSH LOGS",
        "TRUNCATE TABLE d.t",
        "DROP TABLE d.t",
        "DROP DATABASE d",
    ] {
        store.sql(sql);
    }
    let hello = urlencoded("SELECT displayName(), version(), revision(), timezone()");
    let answer = store.ask(
        &format!("/?client_protocol_version=54485&query={hello}"),
        b"",
    );
    assert!(
        answer
            .body
            .starts_with(&[1, 0, 2, 255, 255, 255, 255, 0, 4, 1]),
        "{:?}",
        answer.body
    );
}

#[test]
fn the_store_is_nobody_and_ends_with_its_parent() {
    let store = Store::start();
    let pid = store.process().child.id();
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("tasks");
    for task in tasks.flatten() {
        let status = std::fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or("1")
                .trim()
                .to_owned()
        };
        assert!(
            status.is_empty() || !field("Uid:").split_whitespace().any(|id| id == "0"),
            "{status}"
        );
        assert!(status.is_empty() || field("NoNewPrivs:") == "1", "{status}");
    }
    drop(store);
    let folder = tempfile::tempdir().expect("folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("mode");
    let data = folder.path().join("data");
    let mut child = Command::new(env!("CARGO_BIN_EXE_flowhouse"))
        .args([
            "store",
            "--stop-with-stdin",
            "--listen",
            "127.0.0.1:0",
            "--data",
        ])
        .arg(&data)
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("store");
    std::thread::sleep(std::time::Duration::from_secs(1));
    drop(child.stdin.take());
    assert!(child.wait().expect("end").success());
}

/// Paths in every place where a table's name may stand, as (address, SQL).
fn path_forms(path: &str) -> Vec<(String, String)> {
    let mut forms = Vec::new();
    for named in [
        format!("'{path}'"),
        format!("`{path}`"),
        format!("\"{path}\""),
        format!("default.\"{path}\""),
        format!("`default`.`{path}`"),
    ] {
        for address in ["/", "/?database=default", "/?database=flowhouse"] {
            forms.push((address.to_owned(), format!("SELECT * FROM {named}")));
        }
        for sql in [
            format!("DESCRIBE TABLE {named}"),
            format!("SHOW CREATE TABLE {named}"),
            format!("WITH x AS (SELECT * FROM {named}) SELECT * FROM x"),
            format!("SELECT * FROM numbers(1) AS n, {named}"),
            format!("SELECT * FROM numbers(1) AS n CROSS JOIN {named} AS f"),
            format!("SELECT 1 IN {named}"),
            format!("CREATE VIEW flowhouse.vv AS SELECT * FROM {named}"),
            format!("CREATE TABLE flowhouse.tt ENGINE = Memory AS SELECT * FROM {named}"),
            format!("INSERT INTO {named} SELECT 'written'"),
            format!("INSERT INTO flowhouse.texts SELECT * FROM {named}"),
            format!("INSERT INTO {named} FORMAT TSV\nwritten\n"),
        ] {
            forms.push(("/".to_owned(), sql));
        }
    }
    for function in ["loop", "merge", "mergeTreeIndex"] {
        let sql = format!("SELECT * FROM {function}('default', '{path}')");
        forms.push(("/".to_owned(), sql));
    }
    let parameters = format!("param_t={}&param_d=default", urlencoded(path));
    for named in [
        "{t:Identifier}",
        "default.{t:Identifier}",
        "{d:Identifier}.{t:Identifier}",
    ] {
        for database in ["", "&database=flowhouse"] {
            let address = format!("/?{parameters}{database}");
            forms.push((address.clone(), format!("SELECT * FROM {named}")));
            forms.push((address, format!("DESCRIBE TABLE {named}")));
        }
    }
    forms
}

/// The engine reads and writes files by the name of a table in `default`, unless that database is another. The bait lies where
/// the process may read and write, the keys where it may not.
#[test]
fn no_name_of_a_table_is_a_file() {
    let mut store = Store::start();
    store.sql("CREATE DATABASE flowhouse");
    store.sql("CREATE TABLE flowhouse.texts (line String) ENGINE = Memory");
    store.sql("CREATE TABLE kept (id UInt8) ENGINE = MergeTree ORDER BY id");
    store.sql("INSERT INTO kept VALUES (7)");
    let data = store.folder.path().join("data");
    let bait = data.join("engine/bait.tsv");
    std::fs::write(&bait, "the bait\n").expect("bait");
    std::fs::set_permissions(&bait, std::fs::Permissions::from_mode(0o666)).expect("mode");
    let at = |path: &str| data.join(path).display().to_string();
    let places = [
        at("engine/bait.tsv"),
        at("engine/bait.*"),
        at("key"),
        at("key*"),
        at("engine/../key"),
        at("key.readonly"),
        "/etc/passwd".to_owned(),
        "/proc/self/environ".to_owned(),
        "file://".to_owned() + &at("key"),
    ];
    for restarted in [false, true] {
        let (full, read_only) = (
            store.process().key.clone(),
            store.process().key_read_only.clone(),
        );
        for key in [&full, &read_only] {
            for (address, sql) in places.iter().flat_map(|path| path_forms(path)) {
                let answer = store.ask_with(&address, sql.as_bytes(), &[("X-ClickHouse-Key", key)]);
                let text = answer.text();
                assert_ne!(answer.status, 200, "{address} {sql}: {text}");
                for secret in [&full[..], &read_only, "the bait", "root:", "PATH="] {
                    assert!(!text.contains(secret), "{address} {sql}: {text}");
                }
            }
        }
        assert_eq!(store.sql("SELECT count() FROM flowhouse.texts"), "0\n");
        assert_eq!(std::fs::read_to_string(&bait).expect("bait"), "the bait\n");
        // what is kept in `default` stays, and it stays itself
        assert_eq!(store.sql("SELECT id FROM default.kept"), "7\n");
        assert_eq!(
            store.sql("SELECT name FROM system.databases WHERE engine NOT IN ('Atomic', 'Memory')"),
            ""
        );
        for sql in ["DROP DATABASE default", "DETACH DATABASE `default`"] {
            store.ask("/", sql.as_bytes()).refused(403, 497);
        }
        store
            .ask("/?param_d=default", b"DROP DATABASE {d:Identifier}")
            .refused(403, 497);
        if !restarted {
            store.process.take().expect("running").stop().expect("end");
            store.restart(&[]);
        }
    }
}
