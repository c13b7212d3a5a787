//! What can go wrong in receiving.

use std::io;
use std::net::SocketAddr;

/// A fault of receiving. Datagrams are never an error: their fate is an outcome in the ledger.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Operator: the settings contradict themselves.
    #[error("{0}")]
    Settings(String),
    /// Operator: the address cannot be listened on.
    #[error("cannot listen on {address}: {source}{cure}")]
    Bind {
        /// The address as configured.
        address: SocketAddr,
        /// What to do, where we know.
        cure: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Operator: the interface cannot be captured.
    #[error("cannot capture {interface}: {why}{cure}")]
    Capture {
        /// The interface as configured.
        interface: String,
        /// What libpcap said.
        why: String,
        /// What to do, where we know.
        cure: &'static str,
    },
    /// Us: the socket stopped working.
    #[error("receiving on {address} failed: {source}")]
    Socket {
        /// The address listened on.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Us: a shard is gone, so its datagrams can go nowhere.
    #[error("shard {0} has ended while datagrams still arrive")]
    ShardGone(usize),
}
