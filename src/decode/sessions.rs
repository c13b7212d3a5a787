//! The sessions of one exporter: found by key, and which of them gives way.

use super::exporter::Compiled;
use super::position::Key;
use super::sequence::Sequence;
use crate::model::Addr;
use smallvec::SmallVec;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// Source port, version, domain.
pub(super) type SessionKey = (u16, u8, u32);

/// Sessions in the order in which they came, but for those that took the place of one that went.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// In place: most exporters have one.
    all: SmallVec<[Session; 1]>,
    /// Where each is, sorted: version, domain and port as one number, and the index.
    order: Vec<(u64, u32)>,
}

/// A transport session: source port, version and observation domain.
#[derive(Debug)]
pub(super) struct Session {
    pub port: u16,
    pub version: u8,
    pub domain: u32,
    /// Whether it ever announced a template.
    pub announced: bool,
    /// Whether it was heard again after that: no flood of datagrams that claim to be of its exporter takes its place.
    proven: bool,
    /// When it was made.
    since_ns: i64,
    pub last_seen_ns: i64,
    /// A sequence counts what one session sends (RFC 7011 section 3.1), not what all sessions of a domain do.
    pub sequence: Sequence,
    /// Records whose number is known, decoded so far.
    pub decoded: u32,
    /// Whether its position is to be told.
    pub touched: bool,
    /// Sorted by id.
    pub templates: SmallVec<[Slot; 4]>,
}

/// A template in a session.
#[derive(Debug)]
pub(super) struct Slot {
    pub compiled: Arc<Compiled>,
    /// When it was last announced or used, in datagrams of the decoder.
    pub used: u64,
    /// Layout changes since `changes_since_ns`.
    pub changes: u32,
    pub changes_since_ns: i64,
    /// When the inventory heard of it last.
    pub told_ns: i64,
}

impl Sessions {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// The index of a session.
    pub fn position(&self, key: SessionKey) -> Option<usize> {
        if self.all.first().is_some_and(|s| s.parts() == key) {
            return Some(0);
        }
        let packed = packed(key);
        let at = self.order.partition_point(|(other, _)| *other < packed);
        let (found, i) = *self.order.get(at)?;
        (found == packed).then_some(i as usize)
    }

    /// The session of a key.
    pub fn get_mut(&mut self, key: SessionKey) -> Option<&mut Session> {
        self.position(key).map(|i| &mut self.all[i])
    }

    /// Adds one; returns its index.
    pub fn push(&mut self, session: Session) -> usize {
        let i = self.all.len();
        self.place((packed(session.parts()), i as u32));
        self.all.push(session);
        i
    }

    /// Takes out the one that gives way to a new one: of those that are silent or not proven the one that was silent for
    /// longest; where there is none the one that came last, so that the others keep their places.
    pub fn give_way(&mut self, now_ns: i64) -> Option<Session> {
        let order = |s: &Session| {
            let live = now_ns.saturating_sub(s.last_seen_ns) <= SILENT_NS;
            match s.proven && live {
                true => (true, s.since_ns.saturating_neg()),
                false => (false, s.last_seen_ns),
            }
        };
        let i = (0..self.all.len()).min_by_key(|&i| order(&self.all[i]))?;
        let gone = self.all.swap_remove(i);
        self.unplace((packed(gone.parts()), i as u32));
        if let Some(moved) = self.all.get(i) {
            let key = packed(moved.parts());
            self.unplace((key, self.all.len() as u32));
            self.place((key, i as u32));
        }
        Some(gone)
    }

    /// Keeps those of which `keep` says so.
    pub fn retain(&mut self, keep: impl FnMut(&mut Session) -> bool) {
        let before = self.all.len();
        self.all.retain(keep);
        if self.all.len() < before {
            self.reorder();
        }
    }

    /// The sessions of a domain.
    pub fn of(&self, version: u8, domain: u32) -> impl Iterator<Item = &Session> {
        let [from, to] = [0, u16::MAX].map(|port| packed((port, version, domain)));
        let from = self.order.partition_point(|(key, _)| *key < from);
        let all = self.order[from..].iter().take_while(move |e| e.0 <= to);
        all.map(|(_, i)| &self.all[*i as usize])
    }

    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.all.iter()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.all.iter_mut()
    }

    fn place(&mut self, entry: (u64, u32)) {
        let at = self.order.partition_point(|other| *other < entry);
        self.order.insert(at, entry);
    }

    fn unplace(&mut self, entry: (u64, u32)) {
        if let Ok(at) = self.order.binary_search(&entry) {
            self.order.remove(at);
        }
    }

    fn reorder(&mut self) {
        self.order.clear();
        let all = self.all.iter().zip(0..);
        self.order.extend(all.map(|(s, i)| (packed(s.parts()), i)));
        self.order.sort_unstable();
    }
}

impl Index<usize> for Sessions {
    type Output = Session;

    fn index(&self, i: usize) -> &Session {
        &self.all[i]
    }
}

impl IndexMut<usize> for Sessions {
    fn index_mut(&mut self, i: usize) -> &mut Session {
        &mut self.all[i]
    }
}

impl Session {
    /// One that was heard for the first time.
    pub fn new((port, version, domain): SessionKey, now_ns: i64) -> Self {
        Session {
            port,
            version,
            domain,
            announced: false,
            proven: false,
            since_ns: now_ns,
            last_seen_ns: now_ns,
            sequence: Sequence::default(),
            decoded: 0,
            touched: false,
            templates: SmallVec::new(),
        }
    }

    /// Notes a datagram.
    pub fn heard(&mut self, now_ns: i64) {
        self.last_seen_ns = now_ns;
        self.proven = self.announced;
    }

    pub fn parts(&self) -> SessionKey {
        (self.port, self.version, self.domain)
    }

    /// Where the template of an id is, or would be.
    pub fn find(&self, id: u16) -> Result<usize, usize> {
        self.templates
            .binary_search_by_key(&id, |slot| slot.compiled.template.id)
    }

    /// The template of an id, marked as used.
    pub fn template(&mut self, id: u16, stamp: u64) -> Option<&Arc<Compiled>> {
        let i = self.find(id).ok()?;
        let slot = &mut self.templates[i];
        slot.used = stamp;
        Some(&slot.compiled)
    }

    /// The place of a template.
    pub fn slot(&mut self, id: u16) -> Option<&mut Slot> {
        let i = self.find(id).ok()?;
        self.templates.get_mut(i)
    }

    /// Whose positions these are.
    pub fn key(&self, addr: Addr) -> Key {
        Key::Session(addr, self.port, self.version, self.domain)
    }
}

/// A key as one number, the sessions of a domain side by side.
fn packed((port, version, domain): SessionKey) -> u64 {
    u64::from(version) << 48 | u64::from(domain) << 16 | u64::from(port)
}

/// Before everything: what comes from a saved state is told when the exporter says it again.
pub(super) const NEVER_NS: i64 = i64::MIN;

/// A session that was silent for longer gives way, proven or not.
const SILENT_NS: i64 = 5 * 60 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_session_is_found_where_it_is(
            steps in prop::collection::vec((0u16..5, 9u8..=10, 0u32..5, 0u8..8), 1..200)
        ) {
            let mut sessions = Sessions::default();
            for (now, (port, version, domain, step)) in steps.into_iter().enumerate() {
                let key = (port, version, domain);
                match step {
                    0 => _ = sessions.give_way(now as i64),
                    1 => sessions.retain(|s| s.port != port),
                    _ if sessions.position(key).is_none() => {
                        let i = sessions.push(Session::new(key, now as i64));
                        prop_assert_eq!(sessions.position(key), Some(i));
                    }
                    _ => {}
                }
                let all: Vec<SessionKey> = sessions.iter().map(Session::parts).collect();
                prop_assert_eq!(sessions.position(key), all.iter().position(|k| *k == key));
                for (i, key) in all.iter().enumerate() {
                    prop_assert_eq!(sessions.position(*key), Some(i));
                }
                let mut of: Vec<u16> = sessions.of(version, domain).map(|s| s.port).collect();
                let there = |k: &&SessionKey| (k.1, k.2) == (version, domain);
                let mut expected: Vec<u16> = all.iter().filter(there).map(|k| k.0).collect();
                of.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(of, expected);
            }
        }
    }

    #[test]
    fn the_last_come_gives_way_where_all_are_proven() {
        let mut sessions = Sessions::default();
        for n in 0..3 {
            let i = sessions.push(Session::new((n, 9, 0), i64::from(n)));
            sessions[i].announced = true;
            sessions[i].heard(10 - i64::from(n));
        }
        let ports = |s: &mut Sessions, now| s.give_way(now).map(|s| s.port);
        assert_eq!(ports(&mut sessions, 11), Some(2));
        assert_eq!(ports(&mut sessions, 11), Some(1));
        let i = sessions.push(Session::new((7, 9, 0), 5));
        assert_eq!(sessions[i].last_seen_ns, 5);
        assert_eq!(ports(&mut sessions, 11), Some(7), "not proven");
        assert_eq!(ports(&mut sessions, 11 + SILENT_NS), Some(0));
        assert_eq!(ports(&mut sessions, 12), None);
    }
}
