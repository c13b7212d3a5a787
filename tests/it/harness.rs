//! A collector and a store as child processes, on ports of their own, in a directory of their own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything may take before the test gives up; no test passes or fails by being faster.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub fn exe() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_flowhouse"))
}

/// The corpus beside the checkout, or what FLOWHOUSE_CORPUS names; `None` (and a line that says so) when there is none.
pub fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let path = std::env::var_os("FLOWHOUSE_CORPUS").map_or(beside, PathBuf::from);
    if path.join("flow").is_dir() {
        return Some(path);
    }
    eprintln!(
        "skipped: no corpus at {} (set FLOWHOUSE_CORPUS)",
        path.display()
    );
    None
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
    state: PathBuf,
}

impl Collector {
    /// Starts `flowhouse run` on a configuration that this completes with ports and a state directory, and waits until it
    /// is ready.
    pub fn start(dir: &Path, config: &str) -> Collector {
        let state = dir.join("state");
        let text =
            format!("state_dir = {state:?}\n{config}\n[control]\nlisten = \"127.0.0.1:0\"\n");
        let file = dir.join("flowhouse.toml");
        fs::write(&file, text).expect("configuration written");
        let mut child = Command::new(exe())
            .args(["run", "-c"])
            .arg(&file)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .expect("the collector starts");
        let lines = follow(child.stderr.take().expect("piped"));
        let (mut udp, mut http) = (vec![], None);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = lines
                .recv_timeout(left)
                .unwrap_or_else(|_| panic!("the collector did not get ready"));
            if let Some(address) = after(&line, "listening on udp ") {
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
            state,
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A page of the HTTP side.
    pub fn get(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.http);
        let out = Command::new("curl")
            .args(["-sS", "--max-time", "20", &url])
            .output()
            .expect("curl runs");
        String::from_utf8(out.stdout).expect("text")
    }

    /// The value of a metric without labels, or with exactly these.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics");
        text.lines()
            .find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
            .unwrap_or(0.0)
    }

    /// Waits until a metric has reached a value.
    pub fn wait_for(&self, name: &str, at_least: f64) {
        let deadline = Instant::now() + PATIENCE;
        while self.metric(name) < at_least {
            assert!(
                Instant::now() < deadline,
                "{name} is {}, not {at_least}",
                self.metric(name)
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sends a signal, waits for the end and returns the final ledger.
    pub fn stop(mut self) -> serde_json::Value {
        signal(self.child.id(), "TERM");
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

/// Sends a signal to one process.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .status()
        .expect("kill runs");
    assert!(status.success());
}

/// Runs a program to its end and returns what it printed; panics with its errors when it fails.
pub fn run(command: &mut Command) -> String {
    let out = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        out.status.success(),
        "{command:?}: {}\n{}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
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
