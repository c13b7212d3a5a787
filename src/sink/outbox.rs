//! Hop 2: sealed bundles from the shards to a sink.

use super::Stats;
use crate::batch::Bundle;
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::Arc;

/// The shards' end of hop 2. Clone it for each shard; the sink ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Outbox {
    sender: Sender<Bundle>,
    stats: Arc<Stats>,
}

/// The sink's end of hop 2.
#[derive(Debug)]
pub struct Inbox {
    pub(super) receiver: Receiver<Bundle>,
    pub(super) stats: Arc<Stats>,
}

/// A bounded hop of `queue_max` bundles.
pub fn hop(queue_max: usize) -> (Outbox, Inbox) {
    let (sender, receiver) = bounded(queue_max);
    let stats = Arc::new(Stats::default());
    let outbox = Outbox {
        sender,
        stats: stats.clone(),
    };
    (outbox, Inbox { receiver, stats })
}

impl Inbox {
    /// What the sink did so far.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }
}

impl Outbox {
    /// Hands a bundle over; waits while the hop is full, which is the back pressure. From here on its rows are the
    /// sink's: they are open until they are acknowledged, quarantined or lost. Where the sink has ended they are lost.
    pub fn send(&self, bundle: Bundle) {
        self.stats.take(bundle.flow_rows() as u64);
        if let Err(back) = self.sender.send(bundle) {
            self.stats.lose(&back.0);
        }
    }

    /// Whether [`Self::send`] would wait now.
    pub fn is_full(&self) -> bool {
        self.sender.is_full()
    }

    /// Bundles that wait.
    pub fn queued(&self) -> usize {
        self.sender.len()
    }

    /// What the sink did so far.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }
}
