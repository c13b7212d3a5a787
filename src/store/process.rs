//! A store as a child process: started, waited for, stopped; it never outlives its parent.

use super::serve::READY;
use super::{key, settings::Settings};
use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Error, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// How to start a store.
#[derive(Debug, Clone)]
pub struct SpawnOptions {
    /// The data folder; made when missing.
    pub data: PathBuf,
    /// Where to listen; port 0 takes a free port.
    pub listen: SocketAddr,
    /// Memory of the engine in bytes; the store's default when not given.
    pub memory_max: Option<u64>,
    /// Threads of one query; the store's default when not given.
    pub threads_max: Option<usize>,
    /// The engine library or its folder; looked up when not given.
    pub library: Option<PathBuf>,
    /// The executable; this one when not given.
    pub exe: Option<PathBuf>,
    /// The account to change to when root.
    pub user: Option<String>,
    /// Further arguments of `flowhouse store`.
    pub arguments: Vec<String>,
    /// How long the store may take to be ready.
    pub ready_max: Duration,
}

impl SpawnOptions {
    /// A store with `data` on a free loopback port.
    pub fn new(data: impl Into<PathBuf>) -> SpawnOptions {
        SpawnOptions {
            data: data.into(),
            listen: SocketAddr::new(Settings::default().listen.ip(), 0),
            memory_max: None,
            threads_max: None,
            library: None,
            exe: None,
            user: None,
            arguments: Vec::new(),
            ready_max: Duration::from_secs(60),
        }
    }
}

/// A running store; dropping it ends it.
#[derive(Debug)]
pub struct StoreProcess {
    /// Its address: `http://127.0.0.1:PORT`.
    pub url: String,
    /// Its full key.
    pub key: String,
    /// Its read-only key.
    pub key_read_only: String,
    /// The process.
    pub child: Child,
}

/// Starts a store and waits until it is ready.
pub fn spawn(options: &SpawnOptions) -> Result<StoreProcess> {
    let exe = match &options.exe {
        Some(path) => path.clone(),
        None => std::env::current_exe()?,
    };
    let mut command = Command::new(exe);
    command
        .args([
            "store",
            "--stop-with-stdin",
            "--listen",
            &options.listen.to_string(),
        ])
        .arg("--data")
        .arg(&options.data);
    let pairs = [
        (
            "--memory-max",
            options.memory_max.map(|bytes| bytes.to_string()),
        ),
        (
            "--threads",
            options.threads_max.map(|threads| threads.to_string()),
        ),
        ("--user", options.user.clone()),
        (
            "--library",
            options
                .library
                .as_ref()
                .map(|path| path.display().to_string()),
        ),
    ];
    for (name, value) in pairs {
        if let Some(value) = value {
            command.args([name, &value]);
        }
    }
    // the service manager hears of the collector alone
    for name in ["NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"] {
        command.env_remove(name);
    }
    forget_secrets(&mut command);
    command
        .args(&options.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    let stderr = child
        .stderr
        .take()
        .ok_or_else(|| Error::other("the store has no standard error"))?;
    let (lines, received) = channel();
    std::thread::spawn(move || forward(stderr, &lines));
    let mut store = StoreProcess {
        url: String::new(),
        key: String::new(),
        key_read_only: String::new(),
        child,
    };
    store.url = format!(
        "http://{}",
        wait_ready(&mut store.child, &received, options.ready_max)?
    );
    store.key = super::client_key(&options.data)?;
    store.key_read_only = key::read(&key::read_only_path(&options.data))?;
    Ok(store)
}

/// How names of variables end that hold a secret.
const SECRETS: [&str; 5] = ["PASSWORD", "COMMUNITY", "TOKEN", "SECRET", "KEY"];

/// The store does not need what the collector's passwords are.
fn forget_secrets(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if SECRETS.iter().any(|end| text.ends_with(end)) {
            command.env_remove(&name);
        }
    }
}

impl StoreProcess {
    /// Asks the store to end, waits, and ends it by force when it does not.
    pub fn stop(mut self) -> Result<()> {
        self.end()
    }

    /// Ends the store at once, as a crash would.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// The end of its standard input is what it waits for; signals it leaves to its parent.
    fn end(&mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let until = Instant::now() + STOP_MAX;
        while Instant::now() < until {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for StoreProcess {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "the store could not be ended");
        }
    }
}

/// Reads the store's lines to their end, so that it never waits for us.
fn forward(stderr: ChildStderr, lines: &std::sync::mpsc::Sender<String>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        tracing::debug!(target: "flowhouse::store", "{line}");
        let _ = lines.send(line);
    }
}

fn wait_ready(child: &mut Child, lines: &Receiver<String>, patience: Duration) -> Result<String> {
    let until = Instant::now() + patience;
    let mut last = VecDeque::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        match lines.recv_timeout(left) {
            Ok(line) => {
                if let Some(address) = line.strip_prefix(READY) {
                    return Ok(address.trim().to_owned());
                }
                last.push_back(line);
                if last.len() > LINES_KEPT {
                    last.pop_front();
                }
            }
            Err(reason) => {
                let said = last.into_iter().collect::<Vec<_>>().join("\n");
                let _ = child.kill();
                let status = child.wait()?;
                let why = match reason {
                    RecvTimeoutError::Timeout => {
                        format!("the store was not ready within {patience:?}")
                    }
                    RecvTimeoutError::Disconnected => {
                        format!("the store ended before it was ready ({status})")
                    }
                };
                return Err(Error::other(if said.is_empty() {
                    why
                } else {
                    format!("{why}:\n{said}")
                }));
            }
        }
    }
}

const STOP_MAX: Duration = Duration::from_secs(20);
const LINES_KEPT: usize = 40;
