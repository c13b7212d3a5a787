//! What can go wrong in this room.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A fault of the HTTP side.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operator's: the address is taken or not ours.
    #[error(
        "cannot listen on {address} for metrics: {error}; choose another `control.listen` (ss -ltnp shows who listens)"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The kernel's word.
        error: io::Error,
    },
    /// The operator's: a file of `[control]` cannot be read.
    #[error("cannot read {} (`control.{key}`): {error}", path.display())]
    File {
        /// Which key names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The operator's: a file of `[control]` does not hold what it should.
    #[error("{} (`control.{key}`) {why}", path.display())]
    Content {
        /// Which key names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and the cure.
        why: String,
    },
    /// Ours: the thread or its runtime did not start.
    #[error("cannot start the HTTP thread: {0}")]
    Start(#[from] io::Error),
}
