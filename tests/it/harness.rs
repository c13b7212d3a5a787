//! A collector and a store as child processes, on ports of their own, in a directory of their own.

use flowhouse::store::{SpawnOptions, StoreProcess, library, spawn};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take before the test gives up; no test passes or fails by being faster.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test: the one that was built with the tests, or what FLOWHOUSE_EXE names.
pub fn exe() -> PathBuf {
    let built = || env!("CARGO_BIN_EXE_flowhouse").into();
    PathBuf::from(std::env::var_os("FLOWHOUSE_EXE").unwrap_or_else(built))
}

/// The corpus beside the checkout, or what FLOWHOUSE_CORPUS names; `None`, and a line that is always shown, when there is none.
/// One that is named has to be there.
pub fn corpus() -> Option<PathBuf> {
    let named = std::env::var_os("FLOWHOUSE_CORPUS").map(PathBuf::from);
    let is_named = named.is_some();
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = named.unwrap_or_else(beside);
    if path.join("flow").is_dir() {
        return Some(path);
    }
    assert!(
        !is_named,
        "FLOWHOUSE_CORPUS: no corpus at {}",
        path.display()
    );
    let thread = std::thread::current();
    let test = thread.name().unwrap_or_default();
    // past the harness, which keeps for itself what a test prints that passes
    let mut out = std::io::stderr().lock();
    let _ = writeln!(
        out,
        "NOT TESTED: {test}: no corpus at {} (set FLOWHOUSE_CORPUS)",
        path.display()
    );
    None
}

/// The captures of the repository, which are our own, in order of their names.
pub fn own_captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let entries = fs::read_dir(folder).expect("the folder is there");
    let paths = entries.map(|e| e.expect("an entry").path());
    let mut found: Vec<PathBuf> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "pcap"))
        .collect();
    found.sort();
    found
}

/// A temporary directory that every account may enter: the store gives up root.
pub fn directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("temporary directory");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("its mode");
    dir
}

/// A running collector.
pub struct Collector {
    child: Child,
    lines: Receiver<String>,
    /// Addresses of the UDP listeners, in the order of the configuration.
    pub udp: Vec<SocketAddr>,
    /// Address of the HTTP side.
    pub http: SocketAddr,
    /// Address of the embedded ClickHouse, if it started one.
    pub store: Option<String>,
    /// What it logged until it was ready.
    pub said: Vec<String>,
    state: PathBuf,
}

impl Collector {
    /// Starts `flowhouse run` on a configuration that this completes with ports and a state directory, and waits until it
    /// is ready.
    pub fn start(dir: &Path, config: &str) -> Collector {
        Collector::start_with(dir, config, |_| {})
    }

    /// As [`Collector::start`], with a command that is `changed` before. Keys of `[control]` may follow at the end of the
    /// file that [`configure`] writes.
    pub fn start_with(dir: &Path, config: &str, changed: impl FnOnce(&mut Command)) -> Collector {
        Self::start_as(dir, config, &[], changed)
    }

    /// As [`Collector::start`], with a program in front that runs it: `env NAME=VALUE`, `strace -D ...`.
    pub fn start_under(dir: &Path, config: &str, launcher: &[String]) -> Collector {
        Self::start_as(dir, config, launcher, |_| {})
    }

    fn start_as(
        dir: &Path,
        config: &str,
        launcher: &[String],
        changed: impl FnOnce(&mut Command),
    ) -> Collector {
        let state = dir.join("state");
        let file = configure(dir, config);
        let exe = exe().to_string_lossy().into_owned();
        let words: Vec<&String> = launcher.iter().chain([&exe]).collect();
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .args(["run", "-c"])
            .arg(&file)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .stdin(Stdio::null());
        changed(&mut command);
        let mut child = command.spawn().expect("the collector starts");
        let lines = follow(child.stderr.take().expect("piped"));
        let (mut udp, mut http, mut store, mut said) = (vec![], None, None, vec![]);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = lines.recv_timeout(left) else {
                let _ = child.kill();
                panic!("the collector did not get ready:\n{}", said.join("\n"));
            };
            said.push(line.clone());
            if let Some(url) = after(&line, "embedded ClickHouse at http://") {
                store = Some(url.to_owned());
            } else if let Some(address) = after(&line, "listening on udp ") {
                udp.push(address.parse().expect("address"));
            } else if let Some(url) = after(&line, "metrics on http://") {
                http = Some(url.trim_end_matches("/metrics").parse().expect("address"));
            } else if line.contains("ready: receiving") {
                break;
            }
        }
        Collector {
            child,
            lines,
            udp,
            http: http.expect("the HTTP address was told"),
            store,
            said,
            state,
        }
    }

    /// What it has logged since the last call.
    pub fn log(&self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        run(Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]));
    }

    /// Waits until it logs a line with `mark`.
    pub fn logs(&self, mark: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut said = vec![];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(mark) => return line,
                Ok(line) => said.push(line),
                Err(_) => panic!("waited in vain for `{mark}`:\n{}", said.join("\n")),
            }
        }
    }

    /// Asks it to read its configuration again: status and text of the answer.
    pub fn reload(&self) -> (u16, String) {
        let url = format!("http://{}/-/reload", self.http);
        let mut curl = Command::new("curl");
        let out = run(curl.args([
            "-sS",
            "--max-time",
            "20",
            "-X",
            "POST",
            "-w",
            "\n%{http_code}",
            &url,
        ]));
        let (text, status) = out.rsplit_once('\n').expect("a status line");
        (status.parse().expect("a status"), text.to_owned())
    }

    /// Status and text of a page of the HTTP side.
    pub fn page(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.http);
        let mut curl = Command::new("curl");
        let out = run(curl.args(["-sS", "--max-time", "20", "-w", "\n%{http_code}", &url]));
        let (text, status) = out.rsplit_once('\n').expect("a status line");
        (status.parse().expect("a status"), text.to_owned())
    }

    /// The sum of a metric over all its labels.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.page("/metrics").1;
        let values = text.lines().filter_map(|l| {
            let rest = l.strip_prefix(name)?;
            let rest = rest
                .strip_prefix('{')
                .map_or(rest, |r| r.rsplit('}').next().unwrap_or(r));
            rest.strip_prefix(' ')?.parse::<f64>().ok()
        });
        values.sum()
    }

    /// The ledger as it is now.
    pub fn ledger(&self) -> serde_json::Value {
        serde_json::from_str(&self.page("/ledger.json").1).expect("JSON")
    }

    /// Waits until so many rows are made and acknowledged, and every law holds.
    pub fn settle(&self, rows: u64) {
        let mut last = self.ledger();
        let deadline = Instant::now() + PATIENCE;
        while total(&last, "rows") < rows
            || total(&last, "rows") != total(&last, "rows_acknowledged")
            || last["laws"]
                .as_array()
                .expect("laws")
                .iter()
                .any(|l| l["holds"] != true)
        {
            assert!(
                Instant::now() < deadline,
                "waiting for {rows} rows: {last:#}"
            );
            std::thread::sleep(Duration::from_millis(50));
            last = self.ledger();
        }
        // usage and the rest of a bundle have lanes of their own, which may be behind that of the flows; a stop leaves
        // what is open in the spool, where a query does not see it
        while self.metric("flowhouse_spool_files") > 0.0 {
            assert!(Instant::now() < deadline, "bundles stay in the spool");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Process id of the store that it started: its only child; empty while there is none.
    pub fn store_id(&self) -> String {
        let id = self.child.id();
        let children = format!("/proc/{id}/task/{id}/children");
        let children = fs::read_to_string(children).expect("its children");
        children.trim().to_owned()
    }

    /// Processor time that the store has used, and its process id: it moves as long as the store does.
    pub fn store_work(&self) -> (String, Vec<String>) {
        let id = self.store_id();
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        let behind = stat.rsplit(')').next().unwrap_or_default();
        let times = behind.split_whitespace().skip(11).take(2);
        (id, times.map(str::to_owned).collect())
    }

    /// Sends a signal to the store that it started.
    pub fn signal_store(&self, name: &str) {
        let store = self.store_id();
        assert!(!store.is_empty() && !store.contains(' '), "{store}");
        run(Command::new("kill").args([&format!("-{name}"), &store]));
    }

    /// Ends it as a crash would.
    pub fn kill(mut self) {
        self.child.kill().expect("it is there");
        self.child.wait().expect("it ends");
    }

    /// Waits until it ends by itself; its exit code, what it logged since it was ready, and the final ledger.
    pub fn ended(mut self) -> (Option<i32>, String, serde_json::Value) {
        let mut status = None;
        eventually("the collector ends", || {
            status = self.child.try_wait().expect("its state");
            status.is_some()
        });
        // its end of the pipe is closed: this ends, too
        let log: Vec<String> = self.lines.iter().collect();
        let ledger = fs::read_to_string(self.state.join("ledger.json")).expect("final ledger");
        let ledger = serde_json::from_str(&ledger).expect("JSON");
        (status.and_then(|s| s.code()), log.join("\n"), ledger)
    }

    /// Asks it to end, waits for that and returns the final ledger.
    pub fn stop(mut self) -> serde_json::Value {
        run(Command::new("kill").args(["-TERM", &self.child.id().to_string()]));
        let status = self.child.wait().expect("it ends");
        let log: Vec<String> = self.lines.try_iter().collect();
        assert!(
            status.success(),
            "the collector ended with {status}:\n{}",
            log.join("\n")
        );
        let ledger = fs::read_to_string(self.state.join("ledger.json")).expect("final ledger");
        serde_json::from_str(&ledger).expect("JSON")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Writes the configuration of a collector in `dir`, completed with a state directory and an HTTP address, and returns
/// its file.
pub fn configure(dir: &Path, config: &str) -> PathBuf {
    let state = dir.join("state");
    let text = format!("state_dir = {state:?}\n{config}\n[control]\nlisten = \"127.0.0.1:0\"\n");
    let file = dir.join("flowhouse.toml");
    fs::write(&file, text).expect("configuration written");
    file
}

/// Asserts that every law of a ledger holds, and prints the equations.
pub fn assert_laws(ledger: &serde_json::Value) {
    let laws = ledger["laws"].as_array().expect("laws");
    assert!(laws.len() >= 6, "all laws are there");
    for law in laws {
        println!("{}: {} = {}", law["name"], law["left"], law["right"]);
        assert_eq!(law["holds"], true, "{law}");
    }
}

/// A total of a ledger.
pub fn total(ledger: &serde_json::Value, name: &str) -> u64 {
    ledger["totals"][name].as_u64().unwrap_or(0)
}

/// Waits until something is so.
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The same for what may take long on a busy machine: it gives up where nothing has moved for so long, and `progress` says what has.
pub fn eventually_with<P: PartialEq>(
    what: &str,
    mut progress: impl FnMut() -> P,
    mut is_so: impl FnMut() -> bool,
) {
    let (end, mut last) = (Instant::now() + 10 * PATIENCE, (progress(), Instant::now()));
    while !is_so() {
        let now = progress();
        if now != last.0 {
            last = (now, Instant::now());
        }
        let waits = last.1.elapsed() < PATIENCE && Instant::now() < end;
        assert!(waits, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Asks a ClickHouse through curl.
#[derive(Clone)]
pub struct Sql {
    address: String,
    key: String,
}

impl Sql {
    /// The store at an address (`host:port`), with its data folder.
    pub fn new(address: &str, data: &Path) -> Sql {
        let key = flowhouse::store::client_key(data).expect("the store has a key");
        Sql {
            address: address.to_owned(),
            key,
        }
    }

    /// Its password.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Rows of fields as text.
    pub fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        fields(&run(&mut self.ask(sql)))
    }

    /// The same; `None` where the store is too busy to answer.
    pub fn rows_if_not_busy(&self, sql: &str) -> Option<Vec<Vec<String>>> {
        let out = self.ask(sql).output().expect("curl runs");
        let text = String::from_utf8_lossy(&out.stdout);
        if out.status.success() {
            return Some(fields(&text));
        }
        assert!(text.contains("MEMORY_LIMIT_EXCEEDED"), "{sql}: {text}");
        None
    }

    fn ask(&self, sql: &str) -> Command {
        let url = format!(
            "http://{}/?database=flowhouse&default_format=TSV",
            self.address
        );
        let key = format!("X-ClickHouse-Key: {}", self.key);
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--fail-with-body",
            "-H",
            &key,
            "--data-binary",
            sql,
            &url,
        ]);
        curl
    }

    /// Runs a statement that names its database itself: there may be none yet.
    pub fn run(&self, sql: &str) {
        let (url, key) = (format!("http://{}/", self.address), &self.key);
        let key = format!("X-ClickHouse-Key: {key}");
        let curl = ["-sS", "--fail-with-body", "-H", &key, "--data-binary", sql];
        run(Command::new("curl").args(curl).arg(url));
    }

    /// The numbers of the only row.
    pub fn numbers(&self, sql: &str) -> Vec<u64> {
        let rows = self.rows(sql);
        let [row] = &rows[..] else {
            panic!("{sql}: {} rows", rows.len())
        };
        row.iter().map(|n| n.parse().expect(sql)).collect()
    }

    /// A table of numbers with one key in front.
    pub fn sums(&self, sql: &str) -> std::collections::BTreeMap<String, u64> {
        let rows = self.rows(sql).into_iter();
        rows.map(|r| (r[0].clone(), r[1].parse().expect(sql)))
            .collect()
    }
}

fn fields(text: &str) -> Vec<Vec<String>> {
    let of = |line: &str| line.split('\t').map(str::to_owned).collect();
    text.lines().map(of).collect()
}

/// A ClickHouse that the test starts, ends and kills.
pub struct Store {
    process: Option<StoreProcess>,
    /// Its address, `host:port`; the same after a restart.
    pub address: String,
    data: PathBuf,
}

impl Store {
    /// An address and a folder for a store that does not run yet.
    pub fn planned(dir: &Path) -> Store {
        // an address that no other test takes a port of: it stays free while the store is away
        static STORES: AtomicU8 = AtomicU8::new(1);
        let address = Ipv4Addr::new(127, 0, 10, STORES.fetch_add(1, Relaxed));
        let free = TcpListener::bind((address, 0)).expect("a free port");
        Store {
            process: None,
            address: free.local_addr().expect("address").to_string(),
            data: dir.join("store"),
        }
    }

    /// A running store.
    pub fn start(dir: &Path) -> Store {
        let mut store = Store::planned(dir);
        store.run();
        store
    }

    /// Starts it (again).
    pub fn run(&mut self) {
        if let Err(error) = library::find(None, &self.data) {
            panic!("{error}; `make test` installs it");
        }
        let process = spawn(&SpawnOptions {
            exe: Some(exe()),
            listen: self.address.parse().expect("address"),
            memory_max: Some(memory()),
            ..SpawnOptions::new(&self.data)
        });
        self.process = Some(process.expect("the store starts"));
    }

    /// Ends it as a crash would.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill().expect("it ends");
        }
    }

    /// Asks it.
    pub fn sql(&self) -> Sql {
        Sql::new(&self.address, &self.data)
    }

    /// What a collector's configuration says of it.
    pub fn config(&self) -> String {
        let key = self.key_file();
        format!(
            "[clickhouse]\nurl = \"http://{}\"\nkey_file = {key:?}\n",
            self.address
        )
    }

    /// Where its key is.
    pub fn key_file(&self) -> PathBuf {
        self.data.join("key")
    }
}

/// `[store]` of a collector that starts its own, with the data in `dir/store`.
pub fn embedded(dir: &Path) -> String {
    let data = dir.join("store");
    format!("[store]\nlisten = \"127.0.0.1:0\"\ndata = {data:?}\nmemory_max = {MEMORY}\n")
}

/// Memory of the store: what FLOWHOUSE_STORE_MEMORY says (bytes), for the highest rates.
fn memory() -> u64 {
    let named = std::env::var("FLOWHOUSE_STORE_MEMORY").ok();
    named.map_or(MEMORY, |n| n.parse().expect("FLOWHOUSE_STORE_MEMORY"))
}

/// Memory of an engine in a test, bytes.
const MEMORY: u64 = 1 << 30;

/// Runs a program to its end and returns what it printed; panics with all that it said when it fails.
pub fn run(command: &mut Command) -> String {
    let out = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        out.status.success(),
        "{command:?}: {}\n{}{}",
        out.status,
        String::from_utf8_lossy(&out.stderr),
        // a store says there what was wrong
        String::from_utf8_lossy(&out.stdout)
    );
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let at = line.find(mark)?;
    line[at + mark.len()..].split_whitespace().next()
}

fn follow(stream: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (tx, rx) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if std::env::var_os("FLOWHOUSE_TEST_LOG").is_some() {
                eprintln!("| {line}");
            }
            if tx.send(line).is_err() {
                break;
            }
        }
    });
    rx
}

/// Runs what draws on a terminal on one of its own, presses Ctrl-C after the third frame, and returns all that it drew, and how it ended.
pub fn on_a_terminal(command: &Command) -> String {
    let mut python = Command::new("python3");
    python.args(["-c", TERMINAL]).arg(command.get_program());
    run(python.args(command.get_args()))
}

const TERMINAL: &str = r#"
import fcntl, os, pty, struct, sys, termios
size = struct.pack("HHHH", 60, 200, 0, 0)
child, terminal = pty.fork()
if child == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, size)
    os.execv(sys.argv[1], sys.argv[1:])
seen, pressed = b"", False
while True:
    try:
        part = os.read(terminal, 65536)
    except OSError:
        break
    if not part:
        break
    seen += part
    if seen.count(b"\x1b[J") >= 3 and not pressed:  # whole frames: each ends by clearing what is below it
        pressed = True
        os.write(terminal, b"\x03")
_, status = os.waitpid(child, 0)
sys.stdout.write(seen.decode(errors="replace"))
print("ended with", os.waitstatus_to_exitcode(status))
"#;
