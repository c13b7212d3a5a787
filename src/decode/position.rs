//! Positions: how far each sequence had come when a bundle was sealed, so that a later process can tell what it missed.
//!
//! A list of [`positions`]. The value is [`Sequence::position`], or [`FORGOTTEN`]. The first entry of a new sequence says where
//! it begins.

use super::exporter::Exporter;
use super::sequence::{End, Sequence};
use super::sessions::{Session, SessionKey};
use super::sets::Shared;
use super::{Decoder, StateError};
use crate::model::{Addr, positions};

/// Whose sequence it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Exporter, source port, version, domain.
    Session(Addr, u16, u8, u32),
    /// sFlow: agent and sub-agent.
    Sender(Addr, u32),
}

/// Sequences that moved or went since the positions were taken.
#[derive(Debug, Default)]
pub struct Touched(Vec<Key>);

impl Touched {
    /// Notes one; false where there is no room, since nobody takes positions.
    pub(super) fn push(&mut self, key: Key) -> bool {
        let room = self.0.len() < TOUCHED_MAX;
        if room {
            self.0.push(key);
        }
        room
    }
}

impl Key {
    fn write(self, value: u64, out: &mut Vec<u8>) {
        let key = self.bytes();
        let written = positions::put(out, &key, value);
        debug_assert!(written.is_ok(), "keys are short");
    }

    /// The first entry of a list, and the rest of the list.
    fn read(list: &[u8]) -> Option<(Key, u64, &[u8])> {
        let (key, value, rest) = positions::first(list)?;
        Some((Key::of(key.try_into().ok()?)?, value, rest))
    }

    fn bytes(self) -> [u8; KEY_LEN] {
        let (kind, addr, port, version, domain) = match self {
            Key::Session(addr, port, version, domain) => (SESSION, addr, port, version, domain),
            Key::Sender(agent, sub_agent) => (SENDER, agent, 0, 5, sub_agent),
        };
        let mut key = [0; KEY_LEN];
        key[0] = kind;
        key[1..17].copy_from_slice(&addr.0);
        key[17..19].copy_from_slice(&port.to_le_bytes());
        key[19] = version;
        key[20..].copy_from_slice(&domain.to_le_bytes());
        key
    }

    fn of(key: &[u8; KEY_LEN]) -> Option<Key> {
        let ([kind], key) = key.split_first_chunk()?;
        let (addr, key) = key.split_first_chunk()?;
        let (port, key) = key.split_first_chunk()?;
        let ([version], domain) = key.split_first_chunk()?;
        let (addr, port) = (Addr(*addr), u16::from_le_bytes(*port));
        let domain = u32::from_le_bytes(domain.try_into().ok()?);
        match (*kind, *version) {
            (SESSION, 5 | 7 | 9 | 10) => Some(Key::Session(addr, port, *version, domain)),
            (SENDER, 5) => Some(Key::Sender(addr, domain)),
            _ => None,
        }
    }

    fn addr(self) -> Addr {
        match self {
            Key::Session(addr, ..) | Key::Sender(addr, _) => addr,
        }
    }
}

impl Decoder {
    /// Appends the positions that changed since the last call: everything decoded so far is before them. `told`: the
    /// bundle they go with holds the ledger's rows up to now, so what was booked as missed need not be told again.
    pub fn positions(&mut self, told: bool, out: &mut Vec<u8>) {
        let mut touched = std::mem::take(&mut self.touched.0);
        if told {
            self.touch_told(&mut touched);
        }
        for key in touched.drain(..) {
            let position = match key {
                Key::Session(addr, port, version, domain) => {
                    let exporter = self.exporters.get_mut(&addr);
                    exporter.map(|e| session_position(e, (port, version, domain)))
                }
                Key::Sender(agent, sub_agent) => {
                    let sender = self.sflow.sender((agent, sub_agent));
                    sender.map(|(sequence, touched)| {
                        *touched = false;
                        let position = sequence.position(None)?;
                        Some((sequence.begin(), position))
                    })
                }
            };
            match position {
                // nothing new is known
                Some(None) => {}
                Some(Some((begin, value))) => {
                    begin.into_iter().for_each(|at| key.write(at, out));
                    key.write(value, out);
                }
                None => key.write(FORGOTTEN, out),
            }
        }
        self.touched.0 = touched;
    }

    /// All that was booked as missed is told now: that moves positions, too.
    fn touch_told(&mut self, touched: &mut Vec<Key>) {
        for e in self.exporters.iter_mut() {
            let addr = e.addr;
            for s in e.sessions.iter_mut() {
                if s.sequence.told() && !s.touched {
                    s.touched = true;
                    touched.push(s.key(addr));
                }
            }
        }
        for ((agent, sub_agent), sequence, flag) in self.sflow.senders_mut() {
            if sequence.told() && !*flag {
                *flag = true;
                touched.push(Key::Sender(agent, sub_agent));
            }
        }
    }

    /// Goes on where the positions of an earlier process are, for the exporters that are `mine`; expectations from a saved
    /// state give way to them. What finds no room is not judged.
    ///
    /// # Errors
    /// When the list is damaged; entries before the damage hold.
    pub fn resume(
        &mut self,
        mut list: &[u8],
        end: End,
        now_ns: i64,
        mine: impl Fn(Addr) -> bool,
    ) -> Result<(), StateError> {
        while !list.is_empty() {
            let Some((key, value, rest)) = Key::read(list) else {
                return Err(StateError::Position);
            };
            list = rest;
            if !mine(key.addr()) {
                continue;
            }
            let sequence = match value {
                FORGOTTEN => Sequence::default(),
                position => Sequence::from_position(position, end),
            };
            match key {
                Key::Session(..) => self.resume_session(key, sequence, now_ns),
                Key::Sender(agent, sub) => self.sflow.resume((agent, sub), sequence, now_ns),
            }
        }
        Ok(())
    }

    /// Takes in of which sequences the bundles of an earlier process cannot be read any more, and how many units they held
    /// ([`u64::MAX`]: nobody can know): booked with the first datagram of each, for the exporters that are `mine`.
    ///
    /// # Errors
    /// When the list is damaged; entries before the damage hold.
    pub fn damaged(
        &mut self,
        mut list: &[u8],
        mine: impl Fn(Addr) -> bool,
    ) -> Result<(), StateError> {
        while !list.is_empty() {
            let Some((key, units, rest)) = Key::read(list) else {
                return Err(StateError::Position);
            };
            list = rest;
            let sequence = match key {
                Key::Session(addr, port, version, domain) if mine(addr) => {
                    let sessions = self.exporters.get_mut(&addr).map(|e| &mut e.sessions);
                    let session = sessions.and_then(|s| s.get_mut((port, version, domain)));
                    session.map(|s| &mut s.sequence)
                }
                Key::Sender(agent, sub) if mine(agent) => {
                    self.sflow.sender((agent, sub)).map(|s| s.0)
                }
                _ => None,
            };
            if let Some(sequence) = sequence {
                sequence.damage(units);
            }
        }
        Ok(())
    }

    fn resume_session(&mut self, key: Key, sequence: Sequence, now_ns: i64) {
        let Key::Session(addr, port, version, domain) = key else {
            return;
        };
        let Shared { settings, .. } = &self.shared;
        let room = self.exporters.len() < settings.exporters_max.max(1);
        let place = match self.exporters.place(&addr) {
            Some(place) => place,
            None if room => self.exporters.insert(Exporter::new(addr)),
            None => return,
        };
        let e = self.exporters.at(place);
        e.last_seen_ns = e.last_seen_ns.max(now_ns);
        let key = (port, version, domain);
        if let Some(s) = e.sessions.get_mut(key) {
            s.sequence = sequence;
            s.last_seen_ns = s.last_seen_ns.max(now_ns);
        } else if e.sessions.len() < settings.sessions_max.max(1) {
            let mut session = Session::new(key, now_ns);
            session.sequence = sequence;
            e.sessions.push(session);
        }
    }
}

/// The position of a session that is touched no more, with where it began if that is news; none where nothing new is known.
fn session_position(e: &mut Exporter, key: SessionKey) -> Option<(Option<u64>, u64)> {
    let Some(s) = e.sessions.get_mut(key) else {
        return Some((None, FORGOTTEN));
    };
    s.touched = false;
    let mut waiting = e
        .waiting
        .iter()
        .filter(|w| (w.port, w.version, w.domain) == key);
    // sets that wait are in memory only: what came behind the first of them counts as far as it was decoded
    let held = waiting.next().map(|first| match s.version {
        9 => {
            let after = waiting
                .map(|w| w.sequence)
                .chain([first.sequence])
                .collect::<std::collections::BTreeSet<_>>();
            s.sequence.next().wrapping_sub(after.len() as u32)
        }
        _ => {
            let since = s.decoded.wrapping_sub(first.decoded);
            first.sequence.wrapping_add(since)
        }
    });
    let position = s.sequence.position(held)?;
    Some((s.sequence.begin(), position))
}

/// The value of a sequence that is not followed any more.
const FORGOTTEN: u64 = u64::MAX;

/// Keys noted between two looks at most: those of all sessions that a shard can hold, and as many that went.
const TOUCHED_MAX: usize = 1 << 20;

const SESSION: u8 = 0;
const SENDER: u8 = 1;

/// Kind, address, port, version, domain.
const KEY_LEN: usize = 1 + 16 + 2 + 1 + 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Settings;
    use crate::ledger::{Book, Outcome};
    use crate::model::{Datagram, FlowBatch};

    fn words(list: &[u16]) -> Vec<u8> {
        list.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    /// An IPFIX message of one set of domain 7.
    fn ipfix(sequence: u16, set: &[u16]) -> Vec<u8> {
        let head = [10, set.len() as u16 * 2 + 16, 0, 1000, 0, sequence, 0, 7];
        words(&[&head[..], set].concat())
    }

    /// A version 9 packet of one set.
    fn v9(sequence: u16, uptime_s: u16, set: &[u16]) -> Vec<u8> {
        let uptime = u32::from(uptime_s) * 1000;
        let (high, low) = ((uptime >> 16) as u16, uptime as u16);
        words(&[&[9, 1, high, low, 0, 1000, 0, sequence, 0, 7][..], set].concat())
    }

    /// An sFlow datagram of agent 10.0.0.1 without samples.
    fn sflow(sequence: u16) -> Vec<u8> {
        words(&[0, 5, 0, 1, 0x0a00, 1, 0, 3, 0, sequence, 0, 9000, 0, 0])
    }

    struct House {
        decoder: Decoder,
        book: Book,
        spool: Vec<u8>,
    }

    impl House {
        fn new() -> House {
            House {
                decoder: Decoder::new(Settings::default()),
                book: Book::new(100),
                spool: Vec::new(),
            }
        }

        fn take(&mut self, payload: &[u8]) {
            let d = Datagram {
                source: Addr::from_v4([192, 0, 2, 1]),
                port: 4739,
                received_at_ns: 1_000_000_000_000,
                number: self.decoder.shared.stamp + 1,
                frame: 1,
                cut: false,
                payload,
            };
            let (mut out, mut learned) = (FlowBatch::new(), Vec::new());
            self.decoder
                .decode(&d, &mut out, &mut learned, &mut self.book);
        }

        fn seal(&mut self, told: bool) {
            self.decoder.positions(told, &mut self.spool);
        }

        /// Crashes; what was sealed is durable.
        fn crash(&mut self) {
            (self.decoder, self.book) = (House::new().decoder, Book::new(100));
            let now = 2_000_000_000_000;
            let resumed = self
                .decoder
                .resume(&self.spool, End::Crashed, now, |_| true);
            resumed.expect("just written");
        }

        fn lost(&self) -> (u64, u64) {
            let count = |o| self.book.count(o);
            (count(Outcome::LostCrash), count(Outcome::SequenceGaps))
        }
    }

    const TEMPLATE: &[u16] = &[2, 12, 256, 1, 7, 2];
    const TWO_RECORDS: &[u16] = &[256, 8, 80, 443];

    #[test]
    fn what_was_not_sealed_is_lost_by_the_crash() {
        let mut h = House::new();
        h.take(&ipfix(0, TEMPLATE));
        for n in 0..5 {
            h.take(&ipfix(n * 2, TWO_RECORDS));
            h.take(&sflow(n + 1));
        }
        h.seal(false);
        // sealed never: 2 records, 1 datagram; never received: 4 records and 3 datagrams
        h.take(&ipfix(10, TWO_RECORDS));
        h.take(&sflow(6));
        h.crash();
        h.take(&ipfix(16, TWO_RECORDS));
        h.take(&sflow(10));
        assert_eq!(h.lost(), (6 + 4, 0));
        // a second crash at once: nothing was sealed, so the same is found again, and what came since
        h.crash();
        h.take(&ipfix(20, TWO_RECORDS));
        assert_eq!(h.lost(), (10, 0));
        // positions that say it, and no ledger row that does: it stays to be told
        h.seal(false);
        h.crash();
        h.take(&ipfix(20, TWO_RECORDS));
        assert_eq!(h.lost(), (10, 0), "told by nobody");
        h.seal(true);
        let told = h.spool.len();
        h.seal(true);
        assert_eq!(h.spool.len(), told, "nothing moved");
        h.crash();
        h.take(&ipfix(20, TWO_RECORDS));
        assert_eq!(
            h.lost(),
            (0, 0),
            "two wait for their template, the rest is told"
        );
    }

    #[test]
    fn what_cannot_be_read_any_more_is_told_apart_from_what_the_crash_cost() {
        let mut h = House::new();
        h.take(&ipfix(0, TEMPLATE));
        h.take(&ipfix(0, TWO_RECORDS));
        h.take(&sflow(1));
        h.seal(true);
        let mut list = vec![];
        let mut told = h.spool.chunks(2 + KEY_LEN + 8);
        let keys: Vec<Key> = std::iter::from_fn(|| Key::read(told.nth(1)?).map(|k| k.0)).collect();
        keys[0].write(2, &mut list);
        keys[1].write(u64::MAX, &mut list);
        let crash = |h: &mut House, list: &[u8], next: (u16, u16)| {
            h.crash();
            h.decoder.damaged(list, |_| true).expect("just written");
            h.take(&ipfix(next.0, TWO_RECORDS));
            h.take(&sflow(next.1));
            let count = |o| h.book.count(o);
            (
                count(Outcome::LostDamaged),
                h.lost().0,
                count(Outcome::LostUnknown),
            )
        };
        assert_eq!(crash(&mut h, &list, (8, 4)), (2, 6 + 2, 1));
        // it was told by nobody: the next one finds it in the position
        h.seal(false);
        assert_eq!(
            crash(&mut h, &[], (10, 5)),
            (0, 2 + 6 + 2 + 2, 0),
            "and two wait for their template"
        );
        h.seal(true);
        assert_eq!(crash(&mut h, &[], (12, 6)), (0, 2, 0));
    }

    #[test]
    fn records_that_wait_for_their_template_are_not_durable() {
        let mut h = House::new();
        h.take(&ipfix(0, &[2, 12, 257, 1, 7, 2]));
        h.take(&ipfix(0, &[257, 8, 80, 443]));
        h.take(&ipfix(2, TWO_RECORDS));
        h.take(&ipfix(4, &[257, 8, 80, 443]));
        h.take(&v9(3, 5, TWO_RECORDS));
        h.seal(true);
        h.crash();
        h.take(&ipfix(6, TWO_RECORDS));
        h.take(&v9(4, 5, TWO_RECORDS));
        assert_eq!(h.lost(), (2 + 1, 0));
    }

    #[test]
    fn what_is_followed_no_more_is_forgotten() {
        let mut h = House::new();
        h.take(&ipfix(0, TEMPLATE));
        h.take(&sflow(1));
        h.seal(true);
        let day_and_more = 1_000_000_000_000 + 90_000 * 1_000_000_000;
        h.decoder.tick(day_and_more, &mut h.book);
        h.seal(true);
        h.crash();
        h.take(&ipfix(70, TEMPLATE));
        h.take(&sflow(70));
        assert_eq!(h.lost(), (0, 0));
    }

    #[test]
    fn damage_is_an_error_and_room_is_bounded() {
        let mut h = House::new();
        h.take(&ipfix(0, TEMPLATE));
        h.take(&sflow(1));
        h.seal(true);
        let spool = h.spool.clone();
        let take = |list: &[u8]| {
            let mut d = Decoder::new(Settings::default());
            d.resume(list, End::Crashed, 0, |_| true)
        };
        let entry = 2 + KEY_LEN + 8;
        assert_eq!(spool.len(), 4 * entry, "where each begins, and where it is");
        for cut in 0..spool.len() {
            assert_eq!(take(&spool[..cut]).is_ok(), cut % entry == 0, "{cut}");
        }
        for (at, byte) in [(0, 255), (1, 255), (2, 7), (21, 6)] {
            let mut hostile = spool.clone();
            hostile[at] = byte;
            assert!(take(&hostile).is_err(), "byte {at}");
        }
        let many: Vec<u8> = (0..50_000u32).fold(Vec::new(), |mut list, n| {
            let addr = Addr::from_v4((n % 500).to_be_bytes());
            Key::Session(addr, n as u16, 9, n).write(1, &mut list);
            list
        });
        let settings = Settings {
            exporters_max: 3,
            sessions_max: 2,
            ..Default::default()
        };
        let mut d = Decoder::new(settings);
        d.resume(&many, End::Crashed, 0, |_| true).expect("sound");
        assert_eq!(d.exporters.len(), 3);
        assert!(d.exporters.iter().all(|e| e.sessions.len() <= 2));
    }
}
