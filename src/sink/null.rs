//! Sinks that keep nothing, to measure what stands before them. Their rows count as acknowledged.

use super::fate::Fate;
use super::native::{Compression, Encoder};
use super::{Error, Inbox};
use std::thread::{Builder, JoinHandle};

/// What a null sink does before it throws a bundle away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Nothing: measures up to sealing.
    Drop,
    /// Encodes it: measures everything but the network.
    Encode(Compression),
}

/// Starts a null sink on a thread of its own. It ends when the last outbox is dropped.
pub fn start(inbox: Inbox, effort: Effort) -> Result<JoinHandle<()>, Error> {
    let mut encoder = match effort {
        Effort::Drop => None,
        Effort::Encode(compression) => Some(Encoder::new(compression)),
    };
    inbox.stats.set_ready();
    let work = move || {
        for bundle in inbox.receiver {
            for batch in &bundle.batches {
                let rows = batch.content.rows() as u64;
                inbox.stats.end(batch.table, Fate::Acknowledged, rows);
            }
            if let Some(encoder) = &mut encoder {
                for section in encoder.encode(&bundle).sections {
                    encoder.buffers().recycle(section.body);
                }
            }
            bundle.recycle();
        }
    };
    Builder::new()
        .name("sink".into())
        .spawn(work)
        .map_err(Error::Start)
}
