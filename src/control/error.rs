//! What can go wrong in this room.

use std::io;
use std::net::SocketAddr;

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
    /// Ours: the thread or its runtime did not start.
    #[error("cannot start the HTTP thread: {0}")]
    Start(#[from] io::Error),
}
