//! Bandwidth for metrics: the usage of bundles as counters since the start, under a bounded number of names.

use super::settings::{APPLICATION_SERIES_MAX, CLASS_NAMES_MAX, CLASS_SERIES_MAX};
use crate::model::{Addr, InterfaceSide, Names, UsageRow};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// A side of an interface and a class: exporter, ifIndex, side, class. The unspecified exporter stands for all that found no room.
pub type ClassKey = (Addr, u32, InterfaceSide, String);

/// Estimated bytes since the start, of one shard. What finds no room is added up under [`OTHER`].
#[derive(Clone, Debug)]
pub struct Series {
    class_names: HashMap<Box<str>, u32, FixedState>,
    classes: HashMap<(Addr, u32, InterfaceSide, u32), u64, FixedState>,
    classes_other: [u64; 2],
    applications: HashMap<Box<str>, u64, FixedState>,
    applications_other: u64,
}

/// What [`Series`] of several shards have together, in order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// Bytes by side of an interface and class.
    pub classes: BTreeMap<ClassKey, u64>,
    /// Bytes by application, each once.
    pub applications: BTreeMap<String, u64>,
}

impl Default for Series {
    fn default() -> Self {
        let hasher = FixedState::with_seed(SEED);
        Series {
            class_names: HashMap::with_hasher(hasher.clone()),
            classes: HashMap::with_hasher(hasher.clone()),
            classes_other: [0; 2],
            applications: HashMap::with_hasher(hasher),
            applications_other: 0,
        }
    }
}

impl Series {
    /// Adds sealed usage; returns how many rows found no room of their own.
    pub fn add(&mut self, rows: &[UsageRow], names: &Names) -> u64 {
        let mut refused = 0;
        for r in rows {
            let class = named(names.classes.name(r.qos_class.into()));
            let kept = self.add_class(r, class);
            let kept = kept & (!r.counts_once() || self.add_application(r, names));
            refused += u64::from(!kept);
        }
        refused
    }

    /// Adds everything to `all`.
    pub fn add_to(&self, all: &mut Bandwidth) {
        let mut class_names = vec![""; self.class_names.len()];
        for (name, id) in &self.class_names {
            class_names[*id as usize] = name;
        }
        for ((exporter, if_index, side, class), bytes) in &self.classes {
            let class = class_names[*class as usize].to_owned();
            let key = (*exporter, *if_index, *side, class);
            add(all.classes.entry(key).or_default(), *bytes);
        }
        let sides = [InterfaceSide::Ingress, InterfaceSide::Egress];
        for (side, bytes) in sides.into_iter().zip(self.classes_other) {
            if bytes > 0 {
                let key = (Addr::default(), 0, side, OTHER.to_owned());
                add(all.classes.entry(key).or_default(), bytes);
            }
        }
        for (name, bytes) in &self.applications {
            add(
                all.applications.entry(name.to_string()).or_default(),
                *bytes,
            );
        }
        if self.applications_other > 0 {
            let other = all.applications.entry(OTHER.to_owned()).or_default();
            add(other, self.applications_other);
        }
    }

    fn add_class(&mut self, r: &UsageRow, class: &str) -> bool {
        let id = match self.class_names.get(class) {
            Some(id) => Some(*id),
            None if self.class_names.len() < CLASS_NAMES_MAX => {
                let id = self.class_names.len() as u32;
                self.class_names.insert(class.into(), id);
                Some(id)
            }
            None => None,
        };
        if let Some(id) = id {
            let key = (r.exporter, r.if_index, r.side, id);
            if let Some(bytes) = self.classes.get_mut(&key) {
                add(bytes, r.est_bytes);
                return true;
            }
            if self.classes.len() < CLASS_SERIES_MAX {
                self.classes.insert(key, r.est_bytes);
                return true;
            }
        }
        add(&mut self.classes_other[r.side as usize], r.est_bytes);
        false
    }

    fn add_application(&mut self, r: &UsageRow, names: &Names) -> bool {
        let name = named(names.apps.name(r.app));
        if let Some(bytes) = self.applications.get_mut(name) {
            add(bytes, r.est_bytes);
        } else if self.applications.len() < APPLICATION_SERIES_MAX {
            self.applications.insert(name.into(), r.est_bytes);
        } else {
            add(&mut self.applications_other, r.est_bytes);
            return false;
        }
        true
    }
}

fn add(sum: &mut u64, bytes: u64) {
    *sum = sum.saturating_add(bytes);
}

/// An empty label is none to Prometheus.
fn named(name: &str) -> &str {
    match name {
        "" => "none",
        name => name,
    }
}

/// What has no room has this name.
pub const OTHER: &str = "other";

const SEED: u64 = 0x5e71_e500_0000_0001;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::NameTable;
    use std::sync::Arc;

    fn names(apps: usize) -> Names {
        let mut names = Names {
            apps: NameTable::new(""),
            classes: NameTable::new(""),
            networks: Arc::new(NameTable::new("")),
        };
        for n in 1..apps {
            names.apps.push(&format!("app{n}"));
        }
        names.classes.push("voice");
        names
    }

    fn row(app: u32, if_index: u32, side: InterfaceSide) -> UsageRow {
        UsageRow {
            exporter: Addr::from_v4([192, 0, 2, 1]),
            if_index,
            side,
            app,
            qos_class: 1,
            bytes: 1,
            est_bytes: 10,
            ..UsageRow::default()
        }
    }

    #[test]
    fn bundles_add_up_and_applications_count_once() {
        let names = names(3);
        let (ingress, egress) = (InterfaceSide::Ingress, InterfaceSide::Egress);
        let mut shards = [Series::default(), Series::default()];
        for s in &mut shards {
            let rows = [row(1, 3, ingress), row(1, 4, egress), row(0, 3, ingress)];
            assert_eq!(s.add(&rows, &names), 0);
        }
        assert_eq!(shards[1].add(&[row(2, 3, ingress)], &names), 0);
        let mut all = Bandwidth::default();
        shards.iter().for_each(|s| s.add_to(&mut all));
        let class = |i, side| (Addr::from_v4([192, 0, 2, 1]), i, side, "voice".to_owned());
        let classes = [(class(3, ingress), 50), (class(4, egress), 20)];
        assert_eq!(all.classes, classes.into());
        let apps = [("app1", 20), ("app2", 10), ("none", 20)];
        assert_eq!(
            all.applications,
            apps.map(|(n, b)| (n.to_owned(), b)).into()
        );
    }

    #[test]
    fn what_finds_no_room_is_added_up_and_nothing_is_lost() {
        let more = 7;
        let names = names(APPLICATION_SERIES_MAX + more);
        let mut s = Series::default();
        let ingress = InterfaceSide::Ingress;
        let apps = 0..(APPLICATION_SERIES_MAX + more) as u32;
        let refused: u64 = apps.map(|a| s.add(&[row(a, 1, ingress)], &names)).sum();
        assert_eq!(refused, more as u64);
        // interface 1 is there already
        let sides = 2..(CLASS_SERIES_MAX + more) as u32 + 1;
        let refused: u64 = sides.map(|i| s.add(&[row(1, i, ingress)], &names)).sum();
        assert_eq!(refused, more as u64);
        let mut all = Bandwidth::default();
        s.add_to(&mut all);
        let rows = (APPLICATION_SERIES_MAX + CLASS_SERIES_MAX + 2 * more - 1) as u64;
        assert_eq!(all.applications.values().sum::<u64>(), 10 * rows);
        assert_eq!(all.classes.values().sum::<u64>(), 10 * rows);
        assert_eq!(all.applications[OTHER], 10 * more as u64);
        assert_eq!(all.classes.len(), CLASS_SERIES_MAX + 1);
        let u = UsageRow {
            est_bytes: u64::MAX,
            ..row(1, 1, ingress)
        };
        s.add(&[u, u], &names);
    }
}
