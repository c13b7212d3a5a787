//! A bounded map: two generations, the older of which gives way as a whole.

use hashbrown::HashMap;
use std::hash::Hash;

/// Holds at least the `max / 2` entries used last, at most `max`.
#[derive(Debug)]
pub(super) struct Generations<K, V> {
    young: HashMap<K, V, foldhash::fast::RandomState>,
    old: HashMap<K, V, foldhash::fast::RandomState>,
    max: usize,
}

impl<K: Hash + Eq + Clone, V> Generations<K, V> {
    pub fn new(max: usize) -> Self {
        Generations {
            young: HashMap::default(),
            old: HashMap::default(),
            max: max.max(2),
        }
    }

    /// The entry of a key, as if just used.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if let Some(value) = self.old.remove(key) {
            self.young.insert(key.clone(), value);
        }
        self.young.get_mut(key)
    }

    /// Adds or replaces an entry; returns how many gave way.
    pub fn insert(&mut self, key: K, value: V) -> usize {
        self.old.remove(&key);
        self.young.insert(key, value);
        if self.young.len() < self.max / 2 {
            return 0;
        }
        let gone = self.old.len();
        self.old.clear();
        std::mem::swap(&mut self.young, &mut self.old);
        gone
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_size_is_bounded() {
        let mut map = Generations::new(8);
        let mut gone = 0;
        for i in 0..100 {
            gone += map.insert(i, i);
            assert_eq!(map.get_mut(&0).copied(), Some(0), "after {i}");
            assert!(map.young.len() + map.old.len() <= 8);
        }
        assert!(gone > 80);
        assert_eq!(map.get_mut(&50), None);
        assert_eq!(map.remove(&99), Some(99));
    }
}
