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

    /// How many there are.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
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

    /// Looks at an entry, which is no use of it.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    /// Takes an entry out; put back, it is as if just used.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes and puts back: how many others gave way.
    fn used(map: &mut Generations<i32, i32>, key: i32) -> usize {
        assert_eq!(map.remove(&key), Some(key), "is there");
        map.insert(key, key)
    }

    #[test]
    fn what_is_used_stays_and_the_size_is_bounded() {
        let mut map = Generations::new(8);
        let mut gone = 0;
        for i in 0..100 {
            gone += map.insert(i, i);
            gone += used(&mut map, 0);
            assert!(map.len() <= 8);
        }
        assert!(gone > 80);
        assert_eq!(map.remove(&50), None);
        assert_eq!(map.remove(&99), Some(99));
    }

    #[test]
    fn using_what_is_old_keeps_the_bound() {
        let mut map = Generations::new(8);
        let mut gone: usize = (0..7).map(|i| map.insert(i, i)).sum();
        // the first turns the halves, and those that were not used go
        gone += used(&mut map, 0);
        assert_eq!((gone, map.len()), (3, 4));
        for i in [4, 5, 6, 0] {
            gone += used(&mut map, i);
            assert!(map.len() <= 8);
        }
        gone += (7..10).map(|i| map.insert(i, i)).sum::<usize>();
        assert_eq!(gone + map.len(), 10, "each that gave way is told");
    }
}
