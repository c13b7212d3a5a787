//! What shards hand to detectors.

use crate::detect::anomaly::Sighting;
use crossbeam_channel::{Sender, TrySendError};
use std::sync::{Arc, Weak};

/// Facts of a shard up to a time.
#[derive(Debug)]
pub struct Sighted {
    /// Up to when, by the clock of the data, ms since 1970 UTC.
    pub now_ms: i64,
    /// The packets are of files: their time is not that of other shards.
    pub of_files: bool,
    /// The facts, in order.
    pub sightings: Vec<Sighting>,
}

/// The way to the detectors. A shard never waits for them.
#[derive(Clone, Debug)]
pub struct Lookout(Arc<Sender<Sighted>>);

/// A way for somebody for whom detectors do not wait: it ends with the shards.
#[derive(Clone, Debug)]
pub struct Guest(Weak<Sender<Sighted>>);

impl Guest {
    /// Hands facts over; returns how many found no room, `None` where nobody judges any more.
    #[must_use]
    pub fn tell(&self, sighted: Sighted) -> Option<u64> {
        Some(Lookout(self.0.upgrade()?).tell(sighted))
    }

    /// Whether nobody judges any more.
    pub fn is_over(&self) -> bool {
        self.0.strong_count() == 0
    }
}

impl Lookout {
    /// A way.
    pub fn new(to: Sender<Sighted>) -> Self {
        Lookout(Arc::new(to))
    }

    /// The same way for somebody who comes and goes.
    pub fn guest(&self) -> Guest {
        Guest(Arc::downgrade(&self.0))
    }

    /// Hands facts over; returns how many found no room and are gone.
    #[must_use]
    pub fn tell(&self, sighted: Sighted) -> u64 {
        match self.0.try_send(sighted) {
            Err(TrySendError::Full(sighted)) => sighted.sightings.len() as u64,
            // who judges has ended, or has all of it
            Err(TrySendError::Disconnected(_)) | Ok(()) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::anomaly::{FlowSeen, Seen};
    use crate::model::RowPlace;

    #[test]
    fn who_finds_no_room_says_how_much_is_gone() {
        let sighting = || Sighting {
            place: RowPlace {
                frame: 1,
                expiry: 0,
                key: [0; 41],
            },
            now_ms: 1,
            seen: Seen::Flow(FlowSeen::default()),
        };
        let (to, from) = crossbeam_channel::bounded(1);
        let sighted = || Sighted {
            now_ms: 1,
            of_files: false,
            sightings: vec![sighting(); 3],
        };
        let lookout = Lookout::new(to);
        assert_eq!([lookout.tell(sighted()), lookout.tell(sighted())], [0, 3]);
        assert_eq!(from.try_iter().count(), 1);
        let guest = lookout.guest();
        assert_eq!((guest.tell(sighted()), guest.is_over()), (Some(0), false));
        drop(lookout);
        assert_eq!((guest.tell(sighted()), guest.is_over()), (None, true));
    }
}
