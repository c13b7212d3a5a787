//! Conversations that others announce: the data connection of FTP, the media of SIP, the transfer of TFTP.

use crate::model::{Addr, AppProto, PayloadMap};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// One end of a conversation that will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Endpoint {
    pub addr: Addr,
    pub port: u16,
}

/// What will be spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected {
    pub at: Endpoint,
    pub proto: AppProto,
    /// Of media, what its dynamic payload types stand for.
    pub payloads: PayloadMap,
}

/// The file that a data connection of FTP is for (RFC 959 section 4.1.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transfer {
    /// The client sends it: `STOR`.
    pub is_upload: bool,
    /// Its name, as it was asked for.
    pub name: Vec<u8>,
}

/// What is kept of an announcement.
#[derive(Clone, Copy, Debug)]
struct Announced {
    proto: AppProto,
    payloads: PayloadMap,
    since_ns: i64,
}

/// What is expected, of a shard: at most so many, each for so long; the oldest gives way.
#[derive(Debug)]
pub(crate) struct Expectations {
    by_end: HashMap<Endpoint, Announced, FixedState>,
    /// In the order they came; those that were renewed are in it more than once.
    order: VecDeque<(Endpoint, i64)>,
    max: usize,
    wait_ns: i64,
    /// What the latest data connections are for.
    transfers: VecDeque<(Endpoint, Transfer)>,
}

impl Expectations {
    /// Nothing expected yet. `hash_seed` is a secret in `run` and a constant in `replay`.
    pub fn new(max: usize, wait_ns: i64, hash_seed: u64) -> Self {
        Expectations {
            by_end: HashMap::with_hasher(FixedState::with_seed(hash_seed)),
            order: VecDeque::new(),
            max,
            wait_ns,
            transfers: VecDeque::new(),
        }
    }

    /// Most bytes of so many.
    pub fn memory_max(max: usize) -> usize {
        // a table is at most twice as large as what is in it, and has an octet for each place
        let kept = 2 * (size_of::<(Endpoint, Announced)>() + 1);
        let order = 2 * size_of::<(Endpoint, i64)>();
        let transfers = TRANSFERS_MAX * (size_of::<(Endpoint, Transfer)>() + NAME_MAX);
        max.saturating_mul(kept + order).saturating_add(transfers)
    }

    /// Keeps what a data connection is for; the oldest gives way.
    pub fn transfer(&mut self, at: Endpoint, is_upload: bool, name: &[u8]) {
        self.transfers.retain(|t| t.0 != at);
        if self.transfers.len() >= TRANSFERS_MAX {
            self.transfers.pop_front();
        }
        let name = name[..name.len().min(NAME_MAX)].to_vec();
        self.transfers.push_back((at, Transfer { is_upload, name }));
    }

    /// What the data connection between these ends is for, once.
    pub fn take_transfer(&mut self, ends: [Endpoint; 2]) -> Option<Transfer> {
        let at = self.transfers.iter().position(|t| ends.contains(&t.0))?;
        self.transfers.remove(at).map(|t| t.1)
    }

    /// Keeps it. Returns whether another one gave way to it.
    pub fn add(&mut self, expected: Expected, now_ns: i64) -> bool {
        if self.max == 0 {
            return false;
        }
        let mut gave_way = false;
        while let Some(&(end, since)) = self.order.front() {
            let old = now_ns.saturating_sub(since) > self.wait_ns;
            if !old && self.order.len() < self.max {
                break;
            }
            self.order.pop_front();
            if self.by_end.get(&end).is_some_and(|e| e.since_ns == since) {
                self.by_end.remove(&end);
                gave_way |= !old;
            }
        }
        let Expected {
            at,
            proto,
            payloads,
        } = expected;
        self.by_end.insert(
            at,
            Announced {
                proto,
                payloads,
                since_ns: now_ns,
            },
        );
        self.order.push_back((expected.at, now_ns));
        gave_way
    }

    /// What is spoken between these ends, if one of them was announced and it is not too long ago.
    pub fn find(&self, ends: [Endpoint; 2], now_ns: i64) -> Option<AppProto> {
        if self.by_end.is_empty() {
            return None;
        }
        let mut kept = ends.iter().filter_map(|end| self.by_end.get(end));
        let found = kept.next()?;
        (now_ns.saturating_sub(found.since_ns) <= self.wait_ns).then_some(found.proto)
    }

    /// What dynamic payload types of media stand for that go to the first of these ends: as that end said, else as the other one
    /// did, which offers and answers nearly always agree in (RFC 3264 section 5.1).
    pub fn payloads(&self, ends: [Endpoint; 2]) -> Option<&PayloadMap> {
        let mut kept = ends.iter().filter_map(|end| self.by_end.get(end));
        kept.find(|e| !e.payloads.is_empty()).map(|e| &e.payloads)
    }
}

/// Data connections of which it is known what they are for, until they come; and bytes of a name.
const TRANSFERS_MAX: usize = 256;
const NAME_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn end(port: u16) -> Endpoint {
        Endpoint {
            addr: Addr::from_v4([10, 0, 0, 1]),
            port,
        }
    }

    fn data(port: u16) -> Expected {
        Expected {
            at: end(port),
            proto: AppProto::FtpData,
            payloads: PayloadMap::default(),
        }
    }

    #[test]
    fn what_was_announced_is_found_for_a_while() {
        let mut kept = Expectations::new(4, 100, 0);
        assert!(!kept.add(data(5), 0));
        assert_eq!(kept.find([end(1), end(5)], 100), Some(AppProto::FtpData));
        assert_eq!(kept.find([end(5), end(1)], 101), None);
        assert_eq!(kept.find([end(1), end(2)], 1), None);
    }

    #[test]
    fn the_oldest_gives_way() {
        let mut kept = Expectations::new(2, 100, 0);
        assert!(!kept.add(data(1), 0));
        assert!(!kept.add(data(2), 1));
        assert!(kept.add(data(3), 2));
        assert_eq!(kept.find([end(1), end(1)], 3), None);
        assert!(kept.find([end(2), end(2)], 3).is_some());
        // those that are past do not count
        assert!(!kept.add(data(4), 300));
        assert_eq!(kept.order.len(), 1);
        assert!(!Expectations::new(0, 100, 0).add(data(1), 0));
    }

    #[test]
    fn a_transfer_is_told_once_and_few_are_kept() {
        let mut kept = Expectations::new(4, 100, 0);
        for port in 0..1_000 {
            kept.transfer(end(port), port % 2 == 1, &[b'n'; 1_000]);
        }
        assert_eq!(kept.transfers.len(), TRANSFERS_MAX);
        assert_eq!(kept.take_transfer([end(1), end(2)]), None);
        let found = kept.take_transfer([end(1), end(999)]).expect("kept");
        assert_eq!((found.is_upload, found.name.len()), (true, NAME_MAX));
        assert_eq!(kept.take_transfer([end(1), end(999)]), None);
    }

    #[test]
    fn renewing_is_bounded_too() {
        let mut kept = Expectations::new(8, 1000, 0);
        for n in 0..100 {
            kept.add(data(7), n);
        }
        assert!(kept.order.len() <= 8 && kept.by_end.len() == 1);
        assert!(kept.find([end(7), end(7)], 100).is_some());
    }
}
