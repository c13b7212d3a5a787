//! Room for what exporters teach: where all together taught as much as is kept, the one that taught most is forgotten, and will
//! teach again. So nobody keeps others out by filling the tables.

use super::tables::{Exporter, Tables};
use crate::model::Addr;
use std::cmp::Reverse;
use std::sync::Arc;

impl Tables {
    /// Makes room for a fact of an exporter, if another one has much more; whether that was done.
    pub(super) fn make_room(&mut self, exporter: &Addr) -> bool {
        // names of those who were forgotten go with the next bundle
        if self.facts < self.facts_max || self.has_many_lost() {
            return false;
        }
        let own = self.exporters.get(exporter).map_or(0, |e| e.held());
        if own.saturating_mul(2) >= self.largest {
            return false;
        }
        let all = self
            .exporters
            .iter()
            .map(|(addr, e)| (e.held(), Reverse(*addr)));
        let Some((held, Reverse(addr))) = all.max() else {
            return false;
        };
        // until somebody is forgotten nobody grows
        self.largest = held;
        if own.saturating_mul(2) >= held {
            return false;
        }
        if let Some(gone) = self.exporters.remove(&addr) {
            self.facts -= gone.facts();
            self.lost += gone.names;
            self.evicted += gone.held() as u64;
        }
        self.largest = usize::MAX;
        true
    }

    /// How many facts were forgotten.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn has_many_lost(&self) -> bool {
        self.lost > self.facts_max / LOST_PART
    }

    /// The same tables without the names of those who were forgotten, when these are many. Rows that were named before have to be
    /// sealed: ids are others.
    pub fn tidied(&self) -> Option<Tables> {
        if !self.has_many_lost() {
            return None;
        }
        let mut bare = self.clone();
        let names = Arc::make_mut(&mut bare.names);
        names.apps.truncate(self.built_in);
        bare.index();
        bare.exporters.clear();
        (bare.facts, bare.lost, bare.largest) = (0, 0, usize::MAX);
        Some(bare.taught_by(self))
    }
}

impl Exporter {
    /// Facts in its own tables.
    fn facts(&self) -> usize {
        self.apps.len() + self.interfaces.len() + self.vrfs.len()
    }

    /// What it holds of what all may teach.
    fn held(&self) -> usize {
        self.facts() + self.names
    }
}

/// One in so many of all facts may be names that nobody uses any more.
const LOST_PART: usize = 16;

#[cfg(test)]
mod tests {
    use super::super::{Learnt, Settings};
    use super::*;
    use crate::model::Learned;

    fn tables(names_max: usize) -> Tables {
        let settings = Settings {
            names_max,
            ..Settings::default()
        };
        Tables::new(&settings).expect("defaults")
    }

    fn exporter(n: u8) -> Addr {
        Addr::from_v4([192, 0, 2, n])
    }

    fn interface(n: u8, if_index: u32) -> Learned {
        Learned::Interface {
            exporter: exporter(n),
            if_index,
            name: format!("if{if_index}"),
            description: String::new(),
            speed: 0,
        }
    }

    #[test]
    fn who_taught_most_gives_way() {
        let mut t = tables(64);
        for n in 1..=4 {
            (0..16).for_each(|i| assert_eq!(t.learn(&interface(n, i)), Learnt::Changed));
        }
        assert_eq!(t.facts(), 64);
        // none of those who hold all may have more
        assert_eq!(t.learn(&interface(1, 99)), Learnt::Refused);
        assert_eq!(t.learn(&interface(9, 1)), Learnt::Changed);
        assert_eq!((t.facts(), t.evicted()), (49, 16));
        assert!(t.interface(&exporter(9), 1).is_some());
        let left = (1..=4).filter(|n| t.interface(&exporter(*n), 1).is_some());
        assert_eq!(left.count(), 3);
    }

    #[test]
    fn names_of_the_forgotten_give_their_room_back() {
        let mut t = tables(64);
        let built_in = t.names().apps.len();
        let name = |e: u8, n: usize| format!("own-{e}-{n}");
        for n in 0..64 {
            t.learn_text(&exporter(1), name(1, n).as_bytes());
        }
        assert_eq!((t.facts(), t.names().apps.len()), (64, built_in + 64));
        // there is nothing to take from tables, but the names go with the next bundle
        assert_eq!(t.learn(&interface(2, 7)), Learnt::Refused);
        let mut t = t.tidied().expect("all names are lost");
        assert_eq!((t.facts(), t.names().apps.len()), (0, built_in));
        assert_eq!(t.learn(&interface(2, 7)), Learnt::Changed);
        let app = Learned::Application {
            exporter: exporter(2),
            app_id: 7 << 56 | 1,
            name: "Own App".into(),
            description: String::new(),
        };
        assert_eq!(t.learn(&app), Learnt::Changed);
        assert_eq!(t.app_named("own-app"), built_in as u32);
        assert!(t.tidied().is_none());
    }
}
