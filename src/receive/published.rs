//! What a receive thread shows of itself.
#![expect(
    clippy::disallowed_types,
    reason = "the cell that control reads; its writer never waits"
)]

use crate::ledger::Book;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// State of one listener, all counters since it was opened.
#[derive(Clone, Debug)]
pub struct ReceiveStats {
    /// The address listened on, with the port that the kernel chose if 0 was asked for.
    pub listener: SocketAddr,
    /// Outcomes by exporter (domain 0: receive looks into no payload). Refused datagrams belong to no exporter.
    pub book: Book,
    /// Datagrams read.
    pub datagrams: u64,
    /// Payload bytes read.
    pub bytes: u64,
    /// Datagrams that the kernel dropped because the receive buffer was full (or their checksum wrong). They are in
    /// no other counter.
    pub kernel_drops: u64,
    /// How often the thread has published: it does so several times a second as long as it works, datagrams or not.
    pub rounds: u64,
    /// Receive buffer asked for, bytes.
    pub receive_buffer_asked: usize,
    /// Receive buffer in force as the kernel books it: twice what was asked when it was granted in full.
    pub receive_buffer: usize,
    /// Batches ever made for this listener's pool.
    pub batches: usize,
}

/// A cell with the [`ReceiveStats`] of one listener (or what another reader shows): the receive thread writes it every 100 ms and when its socket
/// runs dry, control reads it. The writer never waits for a reader, except at its end.
#[derive(Clone, Debug)]
pub struct Published<T = ReceiveStats>(Arc<Mutex<T>>);

impl<T: Clone> Published<T> {
    pub(super) fn new(stats: T) -> Self {
        Published(Arc::new(Mutex::new(stats)))
    }

    /// A copy of the state.
    pub fn read(&self) -> T {
        self.lock().clone()
    }

    /// Looks at the state in place. The receive thread skips its update meanwhile: be quick.
    pub fn with<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    /// Changes the state unless somebody is reading it.
    pub(super) fn try_write(&self, change: impl FnOnce(&mut T)) {
        if let Ok(mut stats) = self.0.try_lock() {
            change(&mut stats);
        }
    }

    /// Changes the state, waiting for readers.
    pub(super) fn write(&self, change: impl FnOnce(&mut T)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
