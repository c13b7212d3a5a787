//! What shards hand to detectors.

use crate::detect::anomaly::Sighting;
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// Facts of a shard up to a time.
#[derive(Debug)]
pub struct Sighted {
    /// Up to when, by the clock of the data, ms since 1970 UTC.
    pub now_ms: i64,
    /// The packets are of files: their time is not that of other shards.
    pub of_files: bool,
    /// Nothing more comes for now: what there is, is judged.
    pub pauses: bool,
    /// The facts, in order.
    pub sightings: Vec<Sighting>,
}

/// The way to the detectors. A shard never waits for them.
#[derive(Clone, Debug)]
pub struct Lookout(Arc<Way>);

#[derive(Debug)]
struct Way {
    to: Sender<Sighted>,
    spare: Receiver<Vec<Sighting>>,
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
}

/// Where facts come in.
#[derive(Debug)]
pub struct Sights {
    from: Receiver<Sighted>,
    spare: Sender<Vec<Sighting>>,
    waiting: Arc<AtomicUsize>,
}

/// A way for somebody for whom detectors do not wait: it ends with the shards.
#[derive(Clone, Debug)]
pub struct Guest(Weak<Way>);

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
    /// A way, on which at most so many facts wait, and where it ends.
    pub fn new(waiting_max: usize) -> (Self, Sights) {
        let (to, from) = bounded(QUEUE);
        let (back, spare) = bounded(SPARE);
        let waiting: Arc<AtomicUsize> = Arc::default();
        let way = Way {
            to,
            spare,
            waiting: waiting.clone(),
            waiting_max,
        };
        let sights = Sights {
            from,
            spare: back,
            waiting,
        };
        (Lookout(Arc::new(way)), sights)
    }

    /// Room for facts that others needed before, if there is some: memory that is touched for the first time costs as much as filling it.
    pub fn spare(&self) -> Option<Vec<Sighting>> {
        self.0.spare.try_recv().ok()
    }

    /// The same way for somebody who comes and goes.
    pub fn guest(&self) -> Guest {
        Guest(Arc::downgrade(&self.0))
    }

    /// Hands facts over; returns how many found no room and are gone. Where none waits there is room for any number.
    #[must_use]
    pub fn tell(&self, sighted: Sighted) -> u64 {
        let (way, n) = (&self.0, sighted.sightings.len());
        let before = way.waiting.fetch_add(n, Relaxed);
        let sent = match n > 0 && before > 0 && before.saturating_add(n) > way.waiting_max {
            true => Err(TrySendError::Full(sighted)),
            false => way.to.try_send(sighted),
        };
        if sent.is_err() {
            way.waiting.fetch_sub(n, Relaxed);
        }
        match sent {
            Err(TrySendError::Full(_)) => n as u64,
            // who judges has ended, or has all of it
            Err(TrySendError::Disconnected(_)) | Ok(()) => 0,
        }
    }
}

impl Sights {
    /// The next facts; `None` when all shards are gone.
    pub fn next(&self) -> Option<Sighted> {
        let sighted = self.from.recv().ok()?;
        self.waiting.fetch_sub(sighted.sightings.len(), Relaxed);
        Some(sighted)
    }

    /// Facts were judged, and their room may be used again.
    pub fn give_back(&self, mut judged: Vec<Sighting>) {
        judged.clear();
        if (1..=SPARE_MAX).contains(&judged.capacity()) {
            // where there is enough of it, this is too much
            let _ = self.spare.try_send(judged);
        }
    }
}

/// Batches that may wait.
const QUEUE: usize = 256;
/// Room for batches that is kept: for those that are filled, and those on their way.
const SPARE: usize = 4;
/// More facts than a batch has rows are seldom.
const SPARE_MAX: usize = 16_384;

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
        let sighted = |n| Sighted {
            now_ms: 1,
            of_files: false,
            pauses: false,
            sightings: vec![sighting(); n],
        };
        let (lookout, sights) = Lookout::new(5);
        let tell = |n| lookout.tell(sighted(n));
        assert_eq!(
            [tell(3), tell(3), tell(2), tell(0), tell(1)],
            [0, 3, 0, 0, 1]
        );
        assert_eq!(sights.next().map(|s| s.sightings.len()), Some(3));
        assert_eq!([tell(4), tell(3)], [4, 0]);
        let rest: Vec<usize> = (0..3)
            .filter_map(|_| Some(sights.next()?.sightings.len()))
            .collect();
        assert_eq!(rest, [2, 0, 3]);
        // more at once than may wait
        assert_eq!([tell(9), tell(1)], [0, 1]);
        let guest = lookout.guest();
        assert_eq!((guest.tell(sighted(0)), guest.is_over()), (Some(0), false));
        drop(lookout);
        assert_eq!((guest.tell(sighted(1)), guest.is_over()), (None, true));
        assert_eq!(std::iter::from_fn(|| sights.next()).count(), 2);
    }
}
