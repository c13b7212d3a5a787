//! What can be set of the store, with its defaults and limits.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Everything `flowhouse store` needs to know to serve.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the HTTP face listens; port 0 takes a free port.
    pub listen: SocketAddr,
    /// The folder that holds the tables, the keys and the lock.
    pub data: PathBuf,
    /// The folder for spooled inserts and result pipes; a private one below `/dev/shm` when not given.
    pub scratch: Option<PathBuf>,
    /// The engine library; looked up when not given (see [`crate::store::library::find`]).
    pub library: Option<PathBuf>,
    /// The account to change to when started as root; `flowhouse`, else `nobody`, when not given.
    pub user: Option<String>,
    /// `Host` names accepted beside the loopback names and the listening address.
    pub hosts: Vec<String>,
    /// Memory of the whole engine in bytes (`max_server_memory_usage`); half of the machine's, 8 GiB at most, when not given.
    pub memory_max: Option<u64>,
    /// Memory of one query in bytes (`max_memory_usage`); 80 % of `memory_max` when not given.
    pub query_memory_max: Option<u64>,
    /// Threads of one query (`max_threads`); the number of processors when not given.
    pub threads_max: Option<usize>,
    /// Requests that run at the same time.
    pub requests_max: usize,
    /// Requests that wait for their turn; more are refused with code 202.
    pub requests_waiting_max: usize,
    /// How long a request waits for its turn.
    pub request_wait_max: Duration,
    /// Sessions (`session_id`) kept at the same time.
    pub sessions_max: usize,
    /// How long a session lives unused, and the largest `session_timeout`.
    pub session_idle_max: Duration,
    /// Bytes of one query text (`max_query_size`).
    pub query_bytes_max: usize,
    /// Bytes of one insert's data, after decompression.
    pub body_bytes_max: u64,
    /// Bytes that the data of all running inserts (at most `requests_max`) may take in the scratch folder; beyond it they are
    /// refused with code 202.
    pub spool_bytes_max: u64,
    /// Bytes of one result, before compression.
    pub response_bytes_max: u64,
    /// How long the store waits for the next bytes of a request, or for a client to take some of a response.
    pub stall_max: Duration,
    /// How long running requests may go on after a signal to stop.
    pub grace: Duration,
    /// Stop when standard input ends: the parent is gone.
    pub stop_with_stdin: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8123),
            data: default_data_dir(),
            scratch: None,
            library: None,
            user: None,
            hosts: Vec::new(),
            memory_max: None,
            query_memory_max: None,
            threads_max: None,
            requests_max: 16,
            requests_waiting_max: 64,
            request_wait_max: Duration::from_secs(30),
            sessions_max: 64,
            session_idle_max: Duration::from_secs(3600),
            query_bytes_max: 1 << 20,
            body_bytes_max: 1 << 30,
            spool_bytes_max: 4 << 30,
            response_bytes_max: 16 << 30,
            stall_max: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            stop_with_stdin: false,
        }
    }
}

impl Settings {
    /// The memory limit of the engine in bytes.
    pub fn engine_memory(&self) -> u64 {
        self.memory_max
            .unwrap_or_else(|| (machine_memory() / 2).clamp(1 << 30, 8 << 30))
    }

    /// The memory limit of one query in bytes.
    pub fn query_memory(&self) -> u64 {
        self.query_memory_max
            .unwrap_or(self.engine_memory() / 5 * 4)
            .max(1)
    }

    /// The threads one query may use.
    pub fn query_threads(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        self.threads_max.unwrap_or(processors).clamp(1, 256)
    }
}

/// The data folder when none is given: `/var/lib/flowhouse/store` for root, below `$XDG_DATA_HOME` for others.
pub fn default_data_dir() -> PathBuf {
    if nix::unistd::geteuid().is_root() {
        return PathBuf::from("/var/lib/flowhouse/store");
    }
    home_folder("XDG_DATA_HOME", ".local/share").join("flowhouse/store")
}

/// `$variable`, or `fallback` below the home folder.
pub(super) fn home_folder(variable: &str, fallback: &str) -> PathBuf {
    match std::env::var_os(variable).map(PathBuf::from) {
        Some(folder) if folder.is_absolute() => folder,
        _ => PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/".into())).join(fallback),
    }
}

fn machine_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = total
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse::<u64>().ok());
    kib.unwrap_or(4 << 20) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_have_sane_defaults() {
        let settings = Settings::default();
        assert!(settings.listen.ip().is_loopback());
        assert!(settings.engine_memory() >= 1 << 30);
        assert!(settings.query_memory() < settings.engine_memory());
        assert!(settings.query_threads() >= 1);
    }
}
