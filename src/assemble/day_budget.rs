//! How many incidents people are told of on a day.

use crate::model::{Detection, Severity};
use crate::notify::Level;
use crate::sink::schema::incidents::HELD_BACK;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// Stored with incidents that are kept from people because enough were told of that day. No suppression can be called so.
pub const DAILY_BUDGET: &str = HELD_BACK;

/// What is left of a day (UTC), by severity.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    per_day_max: BTreeMap<Severity, u32>,
    day: i64,
    spent: BTreeMap<Severity, u32>,
    /// Incidents of this day that were held back: each counts once.
    held: BTreeSet<(Severity, u64)>,
    held_back: BTreeMap<Severity, u64>,
    /// Incidents that people were told of, how severe they were, and the last day on which they grew: they are known over a restart.
    told: BTreeMap<u64, (Severity, i64)>,
    /// Where that is kept; `None`: nowhere.
    file: Option<PathBuf>,
    changed: bool,
}

impl Budget {
    /// A budget by severity; one that is not named has no limit.
    pub fn new(per_day_max: &BTreeMap<Level, u32>) -> Budget {
        let of = |level: &Level| {
            let named = Severity::ALL.iter().find(|s| s.name() == level.name());
            named.copied()
        };
        let all = per_day_max.iter().filter_map(|(l, n)| Some((of(l)?, *n)));
        Budget {
            per_day_max: all.collect(),
            day: i64::MIN,
            ..Budget::default()
        }
    }

    /// The same, which goes on from what a file says of this day, and is kept there.
    pub(super) fn kept(per_day_max: &BTreeMap<Level, u32>, file: PathBuf) -> Budget {
        let mut budget = Budget::new(per_day_max);
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if budget.read(&text).is_none() {
            budget = Budget::new(per_day_max);
        }
        Budget {
            file: Some(file),
            ..budget
        }
    }

    /// Writes what is spent, where that has changed. A budget that cannot be kept is one of this run.
    pub(super) fn keep(&mut self) {
        let Some(file) = self.file.as_ref().filter(|_| self.changed) else {
            return;
        };
        self.changed = false;
        let part = file.with_extension("part");
        let folder = file.parent().map_or(Ok(()), |folder| {
            let mut make = DirBuilder::new();
            make.recursive(true).mode(FOLDER_MODE).create(folder)
        });
        let written = folder.and_then(|()| std::fs::write(&part, self.text()));
        if let Err(error) = written.and_then(|()| std::fs::rename(&part, file)) {
            tracing::warn!(
                "cannot keep the budget of the day, {}: {error}",
                file.display()
            );
        }
    }

    /// Incidents that people were told of, and how severe they were.
    pub(super) fn told(&self) -> impl Iterator<Item = (u64, Severity)> {
        self.told.iter().map(|(id, (severity, _))| (*id, *severity))
    }

    /// People are told of a version of an incident: for which there was room, or which they know.
    pub(super) fn tell(&mut self, d: &Detection, now_ms: i64) {
        let fresh = (d.severity, now_ms.div_euclid(DAY_MS));
        if self.told.get(&d.id) == Some(&fresh) {
            return;
        }
        if self.told.len() >= TOLD_MAX && !self.told.contains_key(&d.id) {
            // who was silent longest is the first that may be over
            let oldest = self.told.iter().min_by_key(|(_, (_, day))| *day);
            if let Some(id) = oldest.map(|(id, _)| *id) {
                self.told.remove(&id);
            }
        }
        self.told.insert(d.id, fresh);
        self.changed = true;
    }

    /// The day, what is spent of it by severity, and which incidents people know.
    fn text(&self) -> String {
        let mut text = format!("{}\n", self.day);
        for (severity, n) in &self.spent {
            text += &format!("{} {n}\n", severity.name());
        }
        for (id, (severity, day)) in &self.told {
            text += &format!("{id:016x} {} {day}\n", severity.name());
        }
        text
    }

    /// Takes back what was written; `None` where it makes no sense.
    fn read(&mut self, text: &str) -> Option<()> {
        let severity = |name: &str| Severity::ALL.iter().find(|s| s.name() == name).copied();
        let mut lines = text.lines();
        self.day = lines.next()?.parse().ok()?;
        for line in lines.take(TOLD_MAX + Severity::ALL.len()) {
            let (first, second) = line.split_once(' ')?;
            match severity(first) {
                Some(of) => self.spent.insert(of, second.parse().ok()?).map(|_| ()),
                None => {
                    let id = u64::from_str_radix(first, 16).ok()?;
                    let (of, day) = second.split_once(' ')?;
                    let told = (severity(of)?, day.parse().ok()?);
                    self.told.insert(id, told).map(|_| ())
                }
            };
        }
        Some(())
    }

    /// Whether people may be told of one more incident, which is spent then. Held back, it is asked for again with each version: it may have become
    /// more severe, or another day have begun.
    pub(super) fn has_room(&mut self, d: &Detection, now_ms: i64) -> bool {
        let day = now_ms.div_euclid(DAY_MS);
        if day != self.day {
            self.day = day;
            self.spent.clear();
            self.held.clear();
            self.told
                .retain(|_, told| day.saturating_sub(told.1) <= KNOWN_DAYS);
        }
        let Some(&max) = self.per_day_max.get(&d.severity) else {
            return true;
        };
        let spent = self.spent.entry(d.severity).or_default();
        if *spent < max {
            *spent += 1;
            self.changed = true;
            return true;
        }
        let is_fresh = self.held.len() >= HELD_MAX || self.held.insert((d.severity, d.id));
        if is_fresh {
            *self.held_back.entry(d.severity).or_default() += 1;
        }
        false
    }

    /// How many were held back since the start, by severity; those without a limit are left out.
    pub(super) fn held_back(&self) -> Vec<(&'static str, u64)> {
        let of = |s: &Severity| self.held_back.get(s).copied().unwrap_or_default();
        let all = self.per_day_max.keys().map(|s| (s.name(), of(s)));
        all.collect()
    }
}

const DAY_MS: i64 = 86_400_000;
/// Who may enter the folder of the file: the account, and its group to read.
const FOLDER_MODE: u32 = 0o750;
/// Incidents that are remembered as held back; beyond them versions are counted.
const HELD_MAX: usize = 65_536;
/// Incidents that are known over a restart; beyond them one that goes on is told and counted again.
const TOLD_MAX: usize = 4_096;
/// An incident is over when it was silent for days (beacons: three).
const KNOWN_DAYS: i64 = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addr, DetectionKind, Entity, EntityRole, Evidence};

    fn detection(id: u64, severity: Severity) -> Detection {
        Detection {
            id,
            version: 1,
            kind: DetectionKind::PortScan,
            detector: "scan.vertical".into(),
            sid: None,
            severity,
            confidence: 80,
            title: "TCP port scan".into(),
            entity: Entity::Host(Addr::from_v4([192, 0, 2, 1])),
            role: EntityRole::Source,
            peers: vec![],
            peers_total: 0,
            first_ms: 1,
            last_ms: 2,
            detected_ms: 2,
            count: 15,
            evidence: Evidence::default(),
            attack: vec![],
        }
    }

    #[test]
    fn a_day_has_so_many_of_each_severity() {
        let mut budget = Budget::new(&[(Level::Low, 2), (Level::Medium, 1)].into());
        let (low, medium) = (Severity::Low, Severity::Medium);
        let mut ask = |id, severity, day| budget.has_room(&detection(id, severity), day * DAY_MS);
        assert!(ask(1, low, 5) && ask(2, low, 5) && !ask(3, low, 5) && !ask(3, low, 5));
        // it becomes more severe, and of that severity one is left
        assert!(ask(3, medium, 5) && !ask(4, medium, 5));
        // what has no limit is told
        for id in 10..1_000 {
            assert!(ask(id, Severity::Critical, 5));
        }
        // tomorrow there is room again
        assert!(ask(4, medium, 6));
        assert_eq!(budget.held_back(), [("low", 1), ("medium", 1)]);
    }

    #[test]
    fn of_more_than_can_be_known_those_that_grew_last_are() {
        let mut budget = Budget::new(&[(Level::Low, 2)].into());
        let mut tell = |id, day: i64| {
            budget.tell(&detection(id, Severity::High), day * DAY_MS);
            (budget.told.len(), budget.told.contains_key(&7))
        };
        assert_eq!(tell(7, 5), (1, true));
        for id in 100..100 + TOLD_MAX as u64 {
            tell(id, 6);
        }
        assert_eq!(tell(101, 6), (TOLD_MAX, false));
    }

    #[test]
    fn what_is_spent_of_a_day_is_spent_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        // nobody made the folder: no target has a queue in it
        let file = dir.path().join("notify/day_budget");
        let open = || Budget::kept(&[(Level::Low, 2)].into(), file.clone());
        let ask = |b: &mut Budget, id, severity, day| {
            let d = detection(id, severity);
            let has_room = b.has_room(&d, day * DAY_MS);
            if has_room {
                b.tell(&d, day * DAY_MS);
            }
            b.keep();
            has_room
        };
        let (low, critical) = (Severity::Low, Severity::Critical);
        let mut first = open();
        assert!(ask(&mut first, 1, low, 5) && ask(&mut first, 0xfeed, low, 5));
        assert!(!ask(&mut first, 3, low, 5) && ask(&mut first, 7, critical, 5));
        let folder = std::fs::metadata(dir.path().join("notify")).expect("made");
        let mode = std::os::unix::fs::PermissionsExt::mode(&folder.permissions());
        assert_eq!(mode & 0o027, 0o020 & mode, "{mode:o}");
        let mut second = open();
        let told: Vec<_> = second.told().collect();
        // also what has no limit
        assert_eq!(told, [(1, low), (7, critical), (0xfeed, low)]);
        assert!(!ask(&mut second, 4, low, 5));
        // who was told of yesterday is known, and nobody for ever
        assert!(ask(&mut second, 4, low, 6) && open().told().count() == 4);
        assert!(ask(&mut second, 5, low, 10) && open().told().count() == 2);
        // what makes no sense is a day of which nothing is spent
        for damaged in ["", "x", "6\nlow", "6\nlow x", "6\nzz low 6", "6\n7 low"] {
            std::fs::write(&file, damaged).expect("written");
            assert!(ask(&mut open(), 9, low, 6), "{damaged:?}");
        }
    }
}
