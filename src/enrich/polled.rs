//! Interfaces as exporters answer when they are asked (SNMP): published by exporter, taken over by shards between two batches.

use super::tables::{Interface, Tables};
use crate::model::Addr;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The interfaces of one exporter by ifIndex.
pub type Interfaces = BTreeMap<u32, Interface>;

/// The interfaces of all exporters that answered.
type Asked = HashMap<Addr, Arc<Interfaces>>;

/// Where the current version of them is. Shards ask its number between two batches. It outlives a reload.
#[derive(Debug, Default)]
#[expect(
    clippy::disallowed_types,
    reason = "touched when an exporter's answer is another one than before, and once by each shard after that"
)]
pub struct Polled {
    version: AtomicU64,
    latest: std::sync::Mutex<Arc<Asked>>,
}

impl Polled {
    /// Puts the answer of an exporter in the place of the one before; an empty one takes it away.
    pub fn publish(&self, exporter: Addr, interfaces: Arc<Interfaces>) {
        let mut latest = self
            .latest
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let all = Arc::make_mut(&mut latest);
        match interfaces.is_empty() {
            true => drop(all.remove(&exporter)),
            false => drop(all.insert(exporter, interfaces)),
        }
        self.version.fetch_add(1, Ordering::Release);
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    fn latest(&self) -> Arc<Asked> {
        let latest = self.latest.lock();
        latest
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

/// The version that tables have taken over.
#[derive(Clone, Debug, Default)]
pub(super) struct Following {
    polled: Arc<Polled>,
    version: u64,
    asked: Arc<Asked>,
}

impl Following {
    /// What an exporter answered about one of its interfaces.
    pub fn interface(&self, exporter: &Addr, if_index: u32) -> Option<&Interface> {
        self.asked.get(exporter)?.get(&if_index)
    }
}

/// An interface that is another one than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// Whose it is.
    pub exporter: Addr,
    /// ifIndex.
    pub if_index: u32,
    /// Whether the exporter still has it: what is gone keeps its name in the store.
    pub is_there: bool,
}

impl Tables {
    /// Follows what exporters answer when they are asked.
    pub fn following(mut self, polled: Arc<Polled>) -> Tables {
        self.following = Following {
            polled,
            ..Following::default()
        };
        self
    }

    /// Whether exporters answered something new since [`Tables::follow`].
    #[inline]
    pub fn has_news(&self) -> bool {
        self.following.polled.version() != self.following.version
    }

    /// The interfaces that exporters answered, as taken over last.
    pub fn asked(&self) -> impl Iterator<Item = (Addr, u32)> + '_ {
        let all = self.following.asked.iter();
        all.flat_map(|(e, interfaces)| interfaces.keys().map(|i| (*e, *i)))
    }

    /// Takes over what exporters answered last; gives the interfaces that are others than before.
    pub fn follow(&mut self) -> Vec<Renamed> {
        let f = &mut self.following;
        f.version = f.polled.version();
        let latest = f.polled.latest();
        let old = std::mem::replace(&mut f.asked, latest.clone());
        let none = Arc::default();
        let mut renamed = vec![];
        let exporters = latest.keys();
        let gone = old.keys().filter(|e| !latest.contains_key(e));
        for exporter in exporters.chain(gone) {
            let [before, now] = [&old, &latest].map(|a| a.get(exporter).unwrap_or(&none));
            if Arc::ptr_eq(before, now) {
                continue;
            }
            let differs = |i: &&u32| before.get(i) != now.get(i);
            let was = before.keys().filter(|i| !now.contains_key(i));
            renamed.extend(now.keys().chain(was).filter(differs).map(|i| Renamed {
                exporter: *exporter,
                if_index: *i,
                is_there: now.contains_key(i),
            }));
        }
        renamed
    }
}

impl Interface {
    /// What is known here, and where that is nothing, what `other` knows.
    pub(super) fn over(mut self, other: &Interface) -> Interface {
        if self.name.is_empty() {
            self.name.clone_from(&other.name);
        }
        if self.description.is_empty() {
            self.description.clone_from(&other.description);
        }
        if self.speed == 0 {
            self.speed = other.speed;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Learned;

    const A: Addr = Addr::from_v4([192, 0, 2, 1]);

    fn answer(names: &[(u32, &str)]) -> Arc<Interfaces> {
        let interface = |name: &str| Interface {
            name: name.into(),
            description: "asked".into(),
            speed: 1_000,
        };
        Arc::new(names.iter().map(|(i, n)| (*i, interface(n))).collect())
    }

    fn named(tables: &Tables, if_index: u32) -> (String, String, u64) {
        match tables.named_interface(&A, if_index) {
            Learned::NamedInterface {
                name,
                description,
                speed,
                ..
            } => (name, description, speed),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn configured_comes_before_told_and_told_before_asked() {
        let text = "[[interfaces]]\nexporter = \"192.0.2.1\"\nindex = 1\nname = \"mine\"";
        let settings = toml::from_str(text).expect("valid");
        let polled = Arc::new(Polled::default());
        let tables = Tables::new(&settings).expect("valid");
        let mut tables = tables.following(polled.clone());
        polled.publish(A, answer(&[(1, "eth1"), (2, "eth2"), (3, "eth3")]));
        assert!(tables.has_news());
        assert_eq!(tables.follow().len(), 3);
        assert!(!tables.has_news());
        tables.learn(&Learned::Interface {
            exporter: A,
            if_index: 2,
            name: "told".into(),
            description: String::new(),
            speed: 0,
        });
        assert_eq!(named(&tables, 1), ("mine".into(), "asked".into(), 1_000));
        assert_eq!(named(&tables, 2), ("told".into(), "asked".into(), 1_000));
        assert_eq!(named(&tables, 3).0, "eth3");
        assert_eq!(named(&tables, 4).0, "");
    }

    #[test]
    fn only_what_changed_is_told_and_what_went_away_is_marked() {
        let polled = Arc::new(Polled::default());
        let tables = Tables::new(&Default::default()).expect("defaults");
        let mut tables = tables.following(polled.clone());
        polled.publish(A, answer(&[(1, "eth1"), (2, "eth2")]));
        tables.follow();
        polled.publish(A, answer(&[(1, "eth1"), (3, "eth2")]));
        let renamed = |if_index, is_there| Renamed {
            exporter: A,
            if_index,
            is_there,
        };
        assert_eq!(tables.follow(), [renamed(3, true), renamed(2, false)]);
        polled.publish(A, Arc::default());
        let all_gone = [renamed(1, false), renamed(3, false)];
        assert_eq!(tables.follow(), all_gone);
        assert_eq!(named(&tables, 1).0, "");
    }
}
