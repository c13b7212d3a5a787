//! Which section is sent next: those in doubt first, then live ones and the backlog in turns.
//!
//! One lane set for each table. *In doubt* is what was sent and has no answer; *aside* what was answered with an error and
//! waits while others pass; *live* what still has its body in memory; the *backlog* lies on disk and costs its metadata only.
//! Nothing here waits, sends or touches a disk.

use super::lane::{ASIDE_AFTER, Body, Lane, Waiting, pause, retry_after};
use super::room::Rooms;
use super::section::{End, Entry, Key, Load, Section};
use crate::batch::Table;
use crate::sink::Settings;
use crate::sink::blocks::Blocks;
use crate::sink::spool::{Ended, IN_DOUBT, Slot, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::OwnedSemaphorePermit;

/// What to do with a section now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Job {
    /// Send it.
    Send,
    /// Ask whether its rows are there.
    Ask,
    /// Send it if the store, whose table had so many blocks before it was sent, still remembers its token; else to the quarantine.
    Weigh(Blocks),
    /// Move it to the quarantine, for this reason.
    Quarantine(String),
}

/// A section whose turn it is. It is in flight until [`Lanes::end`].
#[derive(Debug)]
pub(super) struct Pick {
    pub(super) key: Key,
    pub(super) job: Job,
    /// Its state before, and since when.
    pub(super) before: Slot,
    /// Whether it was tried before.
    pub(super) again: bool,
    /// Its body, where it is in memory.
    pub(super) load: Option<Arc<Load>>,
    /// The room for its body, where it is on disk.
    pub(super) room: Option<OwnedSemaphorePermit>,
    /// Whether it has a file.
    pub(super) on_disk: bool,
}

/// What shedding gave up.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shed {
    pub(super) number: u64,
    pub(super) sections: Vec<usize>,
    /// Table and rows of each.
    pub(super) rows: Vec<(Table, u64)>,
}

/// What is done about sections that were sent and have no answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    /// Age after which nothing is sent again blindly, seconds: the store may have forgotten the token. Of sums it is asked.
    pub(super) age_max_s: u64,
    /// Whether sums can be set aside then. Without a quarantine they would be lost, so they are sent again all the same.
    pub(super) aside: bool,
}

/// What is known when the process has to end.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Bundles that are only in memory, with the sections that are not acknowledged.
    pub(super) memory: Vec<(u64, Entry)>,
}

/// All lanes.
#[derive(Debug)]
pub(super) struct Lanes {
    bundles: BTreeMap<u64, Entry>,
    tables: BTreeMap<Table, Lane>,
    in_flight: BTreeSet<Key>,
    turn: usize,
    window: usize,
    doubt: Doubt,
    rooms: Arc<Rooms>,
    settings: Settings,
    held: bool,
    closed: bool,
    ended: Vec<Ended>,
    /// How far a table had come before anything was sent of which nobody knows whether it has it.
    blocks: BTreeMap<Table, Blocks>,
    /// Sections of all bundles.
    sections: usize,
}

impl Lanes {
    /// Lanes with at most `window` inserts of a table in flight or in doubt, and bodies that have room.
    pub(super) fn new(
        settings: &Settings,
        window: usize,
        doubt: Doubt,
        rooms: Arc<Rooms>,
    ) -> Lanes {
        Lanes {
            bundles: BTreeMap::new(),
            tables: Table::ALL.iter().map(|t| (*t, Lane::default())).collect(),
            in_flight: BTreeSet::new(),
            turn: 0,
            window: window.max(1),
            doubt,
            rooms,
            settings: settings.clone(),
            held: false,
            closed: false,
            ended: Vec::new(),
            blocks: BTreeMap::new(),
            sections: 0,
        }
    }

    /// Sends nothing until it is released.
    pub(super) fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Whether an attempt is under way.
    pub(super) fn is_flying(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// Takes a bundle. Sections with a load are live; open ones without must have a file.
    pub(super) fn accept(&mut self, number: u64, entry: Entry, loads: Vec<Option<Arc<Load>>>) {
        let now = Instant::now();
        let loads = loads.into_iter().chain(std::iter::repeat_with(|| None));
        for (i, (section, load)) in entry.sections.iter().zip(loads).enumerate() {
            let Some(lanes) = self.tables.get_mut(&section.table) else {
                continue;
            };
            let key = (number, i);
            let waiting = |load| Waiting {
                key,
                retry_at: now,
                load,
            };
            match (section.slot.state, load) {
                (State::Sent, load) => lanes.doubt.push(waiting(load)),
                (State::Failed, load) => lanes.aside.push(waiting(load)),
                (State::Unsent, Some(load)) => lanes.live.push_back((key, load)),
                // what has no file gets its load later
                (State::Unsent, None) if entry.memory.is_none() => lanes.backlog.push_back(key),
                _ => {}
            }
        }
        let open = entry.sections.iter().any(|s| s.slot.state.is_open());
        self.sections += entry.sections.len();
        self.bundles.insert(number, entry);
        if !open {
            self.retire(number);
        }
    }

    /// Gives a section of a bundle without a file its load: from here on it is live.
    pub(super) fn admit(&mut self, key: Key, load: Arc<Load>) {
        let Some(memory) = self.bundles.get_mut(&key.0).and_then(|e| e.memory.as_mut()) else {
            return;
        };
        if let Some(place) = memory.loads.get_mut(key.1) {
            *place = Some(load.clone());
            let table = load.section.table;
            let lanes = self.tables.entry(table).or_default();
            lanes.live.push_back((key, load));
        }
    }

    /// Ends a section that has no load and gets none.
    pub(super) fn give_up(&mut self, key: Key) {
        let entry = self.bundles.get_mut(&key.0);
        if let Some(section) = entry.and_then(|e| e.sections.get_mut(key.1)) {
            section.slot.state = State::Shed;
            section.lost = true;
            self.finish(key);
        }
    }

    /// The section whose turn it is, if the windows have room.
    pub(super) fn pick(&mut self, now: Instant, now_ms: i64) -> Option<Pick> {
        if self.held || self.closed {
            return None;
        }
        for step in 0..Table::ALL.len() {
            let table = Table::ALL[(self.turn + step) % Table::ALL.len()];
            let (window, rooms) = (self.window, &self.rooms);
            let lanes = self.tables.get_mut(&table)?;
            if let Some((key, body)) = lanes.next(now, window, || rooms.read(table)) {
                self.turn = (self.turn + step + 1) % Table::ALL.len();
                lanes.in_flight += 1;
                self.in_flight.insert(key);
                return self.picked(key, body, now_ms);
            }
        }
        None
    }

    fn picked(&self, key: Key, body: Body, now_ms: i64) -> Option<Pick> {
        let entry = self.bundles.get(&key.0)?;
        let section = entry.sections.get(key.1)?;
        let slot = section.slot;
        let (load, room) = match body {
            Body::Here(load) => (Some(load), None),
            Body::OnDisk(room) => (None, Some(room)),
        };
        Some(Pick {
            key,
            job: self.job(section, now_ms),
            before: slot,
            again: section.failures > 0 || slot.state != State::Unsent,
            load,
            room,
            on_disk: entry.memory.is_none(),
        })
    }

    /// What is to be done with a section. One that was sent long ago, by a clock that nobody sets or before this process, is not
    /// sent again blindly.
    fn job(&self, section: &Section, now_ms: i64) -> Job {
        let slot = section.slot;
        let Doubt { age_max_s, aside } = self.doubt;
        let age_ms = now_ms.saturating_sub(slot.time_ms);
        // a time to come is one of another clock
        let old = age_ms < -1000 || age_ms.max(0) as u64 >= age_max_s.saturating_mul(1000);
        let table = section.table;
        match self.blocks.get(&table) {
            _ if !slot.state.may_be_there() || !old => Job::Send,
            _ if table == Table::Flows => Job::Ask,
            _ if table.is_versioned() || !aside => Job::Send,
            Some(since) => Job::Weigh(since.clone()),
            // an error was answered: for all that is known that comes from before the rows are written
            None if slot.state == State::Failed => Job::Send,
            None => Job::Quarantine(format!(
                "{IN_DOUBT} for {age_max_s} s or more: it may be in the store, and its rows cannot be told from others"
            )),
        }
    }

    /// Takes back a section that was picked. The answer is the reason, where it now has to go to the quarantine: it is still
    /// in flight then.
    pub(super) fn end(
        &mut self,
        key: Key,
        load: Option<Arc<Load>>,
        end: End,
        now: Instant,
        now_ms: i64,
    ) -> Option<String> {
        let entry = self.bundles.get_mut(&key.0)?;
        let section = entry.sections.get_mut(key.1)?;
        let lanes = self.tables.get_mut(&section.table)?;
        if end == End::Unread {
            self.unreadable(key, now);
            return None;
        }
        section.unread = 0;
        let finished = match &end {
            End::Finished(state) => Some(*state),
            _ => None,
        };
        let store_failed = matches!(
            end,
            End::NotSent | End::Silence | End::Again { .. } | End::Later
        );
        if store_failed {
            lanes.failures = lanes.failures.saturating_add(1);
            lanes.paused_until = Some(now + pause(&self.settings, lanes.failures));
            lanes.unanswered = matches!(end, End::NotSent | End::Silence);
        } else if finished == Some(State::Done) {
            (lanes.failures, lanes.paused_until) = (0, None);
        }
        let answered = matches!(end, End::Again { .. } | End::Refused { .. });
        section.slot = end.slot(section.slot, now_ms);
        let state = section.slot.state;
        if answered || end == End::Silence {
            section.failures = section.failures.saturating_add(1);
        }
        if let End::Hopeless(reason) = end {
            return Some(reason);
        }
        if let End::Refused { reason, .. } = end {
            section.refusals += 1;
            if section.refusals >= self.settings.refusals_max {
                return Some(reason);
            }
        }
        lanes.in_flight -= 1;
        self.in_flight.remove(&key);
        if let Some(state) = finished {
            if state == State::Done {
                self.store_is_back();
            }
            return self.finish(key);
        }
        let tries = section.failures;
        let aside = answered && (!store_failed || tries >= ASIDE_AFTER);
        lanes.back(
            key,
            load,
            state,
            aside,
            now + retry_after(&self.settings, tries),
        );
        None
    }

    /// A section whose body cannot be read waits by itself: the store has nothing to do with it, nor have others of the table.
    fn unreadable(&mut self, key: Key, now: Instant) {
        let entry = self.bundles.get_mut(&key.0);
        let Some(section) = entry.and_then(|e| e.sections.get_mut(key.1)) else {
            return;
        };
        section.unread = section.unread.saturating_add(1);
        let retry_at = now + pause(&self.settings, section.unread);
        if let Some(lane) = self.tables.get_mut(&section.table) {
            let load = None;
            lane.unread.push(Waiting {
                key,
                retry_at,
                load,
            });
            lane.in_flight -= 1;
        }
        self.in_flight.remove(&key);
    }

    /// The store answers: tables that paused because it did not need not sit out their pause.
    fn store_is_back(&mut self) {
        for lane in self.tables.values_mut().filter(|l| l.unanswered) {
            (lane.paused_until, lane.unanswered) = (None, false);
        }
    }

    fn finish(&mut self, key: Key) -> Option<String> {
        let entry = self.bundles.get_mut(&key.0)?;
        if let Some(memory) = &mut entry.memory
            && let Some(load) = memory.loads.get_mut(key.1)
        {
            *load = None;
        }
        entry.damaged |= entry.sections[key.1].slot.state == State::Corrupt;
        if !entry.sections.iter().any(|s| s.slot.state.is_open()) {
            self.retire(key.0);
        }
        None
    }

    fn retire(&mut self, number: u64) {
        if let Some(entry) = self.bundles.remove(&number) {
            self.sections -= entry.sections.len();
            self.ended.push(Ended {
                number,
                fates: entry.fates(),
                positions: entry.memory.map(|m| m.positions),
                damaged: entry.damaged,
            });
        }
    }

    /// Gives up what costs least, on disk: flow rows oldest first, never what is in flight or in doubt; without any, the other tables' sections, oldest
    /// first, and never those that tell of it (the table `ledger`). Only of bundles before `before`, and only flow rows if `flows_only`.
    pub(super) fn shed(&mut self, before: u64, flows_only: bool) -> Option<Shed> {
        let flows = self.oldest(&[Table::Flows]);
        let old = |number: &u64| *number < before;
        let number = flows.filter(old);
        let (number, tables) = match number {
            Some(number) => (number, vec![Table::Flows]),
            None if flows_only => return None,
            None => {
                let all = Table::ALL.iter().copied();
                let others: Vec<Table> = all.filter(|t| !SHED_NEVER.contains(t)).collect();
                (self.oldest(&others).filter(old)?, others)
            }
        };
        let mut keys: Vec<Key> = vec![];
        for table in &tables {
            let Some(lanes) = self.tables.get_mut(table) else {
                continue;
            };
            let is_it = |key: &Key| key.0 == number;
            keys.extend(lanes.backlog.iter().filter(|k| is_it(k)));
            lanes.backlog.retain(|k| !is_it(k));
            keys.extend(lanes.live.iter().map(|l| &l.0).filter(|k| is_it(k)));
            lanes.live.retain(|l| !is_it(&l.0));
            for list in [&mut lanes.aside, &mut lanes.unread] {
                keys.extend(list.iter().map(|w| &w.key).filter(|k| is_it(k)));
                list.retain(|w| !is_it(&w.key));
            }
        }
        let mut shed = Shed {
            number,
            sections: keys.iter().map(|k| k.1).collect(),
            rows: vec![],
        };
        for key in keys {
            let section = &mut self.bundles.get_mut(&number)?.sections[key.1];
            section.slot.state = State::Shed;
            shed.rows.push((section.table, section.rows.into()));
            self.finish(key);
        }
        Some(shed)
    }

    /// Bundles that are on their way to the store, or may be there: they cannot be put together now.
    pub(super) fn bound(&self) -> usize {
        let doubt = self.tables.values().flat_map(|lane| &lane.doubt);
        let keys = doubt.map(|w| &w.key).chain(&self.in_flight);
        BTreeSet::from_iter(keys.map(|k| k.0)).len()
    }

    /// Takes out the oldest bundles that can be put together into one file: those without flow rows where they are many, else any. At
    /// most `most`, and with numbers above `after`; none where there are not two.
    pub(super) fn gather(&mut self, most: usize, after: u64) -> Vec<u64> {
        let oldest = |with_flows: bool| -> Vec<u64> {
            let all = self.bundles.range(after.saturating_add(1)..);
            let free = all.filter(|(n, e)| {
                let flying = self.in_flight.range((**n, 0)..=(**n, usize::MAX));
                e.can_move() && (with_flows || !e.has_flows()) && flying.count() == 0
            });
            free.map(|(n, _)| *n).take(most).collect()
        };
        let mut chosen = oldest(false);
        if chosen.len() < most.div_ceil(4).max(2) {
            chosen = oldest(true);
        }
        if chosen.len() < 2 {
            return vec![];
        }
        for lane in self.tables.values_mut() {
            let stays = |key: &Key| chosen.binary_search(&key.0).is_err();
            lane.backlog.retain(stays);
            lane.live.retain(|l| stays(&l.0));
            lane.aside.retain(|w| stays(&w.key));
            lane.unread.retain(|w| stays(&w.key));
        }
        for number in &chosen {
            if let Some(entry) = self.bundles.remove(number) {
                self.sections -= entry.sections.len();
            }
        }
        chosen
    }

    /// The oldest bundle on disk with a waiting section of these tables.
    fn oldest(&self, tables: &[Table]) -> Option<u64> {
        let on_disk = |n: &u64| self.bundles.get(n).is_some_and(|e| e.memory.is_none());
        let oldest = |t: &Table| {
            let lanes = self.tables.get(t)?;
            let backlog = lanes.backlog.front().map(|k| k.0);
            let live = lanes.live.iter().map(|l| l.0.0).filter(on_disk).min();
            let aside = lanes.aside.iter().map(|w| w.key.0).filter(on_disk).min();
            [backlog, live, aside].into_iter().flatten().min()
        };
        tables.iter().filter_map(oldest).min()
    }

    /// Table and rows of a section.
    pub(super) fn rows(&self, key: Key) -> Option<(Table, u64)> {
        let section = self.bundles.get(&key.0)?.sections.get(key.1)?;
        Some((section.table, section.rows.into()))
    }

    /// How often the body of a section could not be read.
    pub(super) fn unread(&self, key: Key) -> u32 {
        let section = self.bundles.get(&key.0).and_then(|e| e.sections.get(key.1));
        section.map_or(0, |s| s.unread)
    }

    /// State of a section, and since when.
    pub(super) fn slot(&self, key: Key) -> Option<Slot> {
        Some(self.bundles.get(&key.0)?.sections.get(key.1)?.slot)
    }

    /// Whether all that was sent into a table, and is not in flight, is there or is not.
    pub(super) fn is_sure_of(&self, table: Table) -> bool {
        let Some(lane) = self.tables.get(&table) else {
            return true;
        };
        // what was tried and does not stand aside is in front, and is not more than can be in flight
        let tried = lane.live.iter().map(|l| &l.0).take(self.window);
        let tried = tried.chain(lane.backlog.iter().take(self.window));
        let tried = tried.chain(lane.aside.iter().chain(&lane.unread).map(|w| &w.key));
        let may_be_there = |key: &Key| self.slot(*key).is_some_and(|s| s.state.may_be_there());
        lane.doubt.is_empty() && !tried.into_iter().any(may_be_there)
    }

    /// How far a table has come; nothing changes while that is later than what is in doubt.
    pub(super) fn set_blocks(&mut self, table: Table, blocks: Blocks) {
        if self.is_sure_of(table) {
            self.blocks.insert(table, blocks);
        }
    }

    /// How far tables had come before what is in doubt was sent.
    pub(super) fn blocks(&self) -> &BTreeMap<Table, Blocks> {
        &self.blocks
    }

    /// What an earlier process knew of that.
    pub(super) fn remember(&mut self, blocks: BTreeMap<Table, Blocks>) {
        self.blocks = blocks;
    }

    /// A bundle that was handed back by [`Self::close`] has ended.
    pub(super) fn note(&mut self, ended: Ended) {
        self.ended.push(ended);
    }

    /// Bundles that ended since the last call.
    pub(super) fn take_ended(&mut self) -> Vec<Ended> {
        std::mem::take(&mut self.ended)
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.bundles.is_empty()
    }

    /// Bundles that are not delivered. Sections beyond so many a bundle count as bundles, too: they take as much memory.
    pub(super) fn len(&self) -> usize {
        let many = self.sections.saturating_sub(SECTIONS_FREE);
        self.bundles.len().max(many / SECTIONS_A_BUNDLE)
    }

    /// Whether waiting would not change what is left: the store is away, or never got ready.
    pub(super) fn is_stuck(&self) -> bool {
        let away = |l: &Lane| l.in_flight == 0 && (l.failures >= AWAY_AFTER || l.waiting() == 0);
        self.held || self.tables.values().all(away)
    }

    /// Whether the store takes what it is given at once: nothing waits on disk, no table is paused.
    pub(super) fn is_smooth(&self) -> bool {
        let smooth = |l: &Lane| l.failures == 0 && l.backlog.is_empty();
        !self.held && self.tables.values().all(smooth)
    }

    /// When the next section may be picked that cannot be picked now.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        let of_table = |l: &Lane| {
            let later = l.doubt.iter().chain(&l.aside).chain(&l.unread);
            let waiting = later.map(|w| w.retry_at);
            let fresh = !l.live.is_empty() || !l.backlog.is_empty();
            let earliest = waiting.chain(fresh.then_some(now)).min()?;
            let paused = l.paused_until.unwrap_or(now);
            Some(earliest.max(paused)).filter(|at| *at > now)
        };
        self.tables.values().filter_map(of_table).min()
    }

    /// When the oldest bundle was sealed (0: there is none), and how many sections are in doubt.
    pub(super) fn gauges(&self) -> (i64, u64) {
        let oldest = self.bundles.values().next().map_or(0, |e| e.created_ms);
        let doubt: usize = self.tables.values().map(|l| l.doubt.len()).sum();
        (oldest, doubt as u64)
    }

    /// Ends everything: later ends of sections change nothing. Hands back what is only in memory.
    pub(super) fn close(&mut self) -> Rest {
        self.closed = true;
        for lanes in self.tables.values_mut() {
            *lanes = Lane::default();
        }
        let mut all = std::mem::take(&mut self.bundles);
        self.sections = 0;
        for key in std::mem::take(&mut self.in_flight) {
            let entry = all.get_mut(&key.0);
            if let Some(section) = entry.and_then(|e| e.sections.get_mut(key.1)) {
                section.slot.state = State::Sent;
            }
        }
        Rest {
            memory: all
                .into_iter()
                .filter(|(_, e)| e.memory.is_some())
                .collect(),
        }
    }

    /// Whether [`Self::close`] was called.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }
}

/// Failures in a row after which the store counts as away.
const AWAY_AFTER: u32 = 5;

/// Sections that a bundle has at most, on an average, where none were put together.
const SECTIONS_A_BUNDLE: usize = 5;

/// Sections that take no memory worth counting.
const SECTIONS_FREE: usize = 4096;

/// What is not shed with the other tables: flows have their turn before, the ledger has to tell of it.
const SHED_NEVER: [Table; 2] = [Table::Flows, Table::Ledger];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::native::EncodedSection;
    use bytes::Bytes;
    use std::time::Duration;

    const SENT: Slot = Slot {
        state: State::Sent,
        time_ms: 0,
    };
    const UNSENT: Slot = Slot {
        state: State::Unsent,
        time_ms: 0,
    };

    fn lanes(window: usize) -> Lanes {
        lanes_with(window, true)
    }

    fn lanes_with(window: usize, aside: bool) -> Lanes {
        let settings = Settings {
            backoff_ms: 100,
            ..Settings::default()
        };
        let rooms = Rooms::new(settings.in_flight_max, true);
        let doubt = Doubt {
            age_max_s: 600,
            aside,
        };
        Lanes::new(&settings, window, doubt, Arc::new(rooms))
    }

    fn spooled(lanes: &mut Lanes, number: u64, sections: &[(Table, Slot)]) {
        let sections = sections.iter().map(|(t, slot)| Section::new(*t, 10, *slot));
        let entry = Entry {
            created_ms: number as i64,
            sections: sections.collect(),
            memory: None,
            damaged: false,
            replayed: false,
        };
        lanes.accept(number, entry, vec![]);
    }

    fn live(lanes: &mut Lanes, number: u64) {
        let section = EncodedSection {
            table: Table::Flows,
            partition: 0,
            token: String::new(),
            schema: 1,
            columns: String::new(),
            rows: 10,
            first_ms: 0,
            last_ms: 0,
            compression: crate::sink::native::Compression::None,
            body: Bytes::new(),
            raw_len: 0,
        };
        let load = Arc::new(Load {
            section,
            _room: None,
        });
        let entry = Entry {
            created_ms: number as i64,
            sections: Box::new([Section::new(Table::Flows, 10, UNSENT)]),
            memory: None,
            damaged: false,
            replayed: false,
        };
        lanes.accept(number, entry, vec![Some(load)]);
    }

    fn end(lanes: &mut Lanes, key: Key, end: End, now: Instant) -> Option<String> {
        lanes.end(key, None, end, now, 0)
    }

    /// With the body that it came with.
    fn end_with(lanes: &mut Lanes, pick: Pick, end: End, now: Instant) {
        lanes.end(pick.key, pick.load, end, now, 0);
    }

    /// After everything was accepted.
    fn later() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    const DONE: End = End::Finished(State::Done);
    const AGAIN: End = End::Again { untouched: false };

    fn refused(reason: &str) -> End {
        End::Refused {
            reason: reason.into(),
            untouched: false,
        }
    }

    #[test]
    fn a_store_that_is_back_is_tried_by_every_table_that_missed_it() {
        let mut lanes = lanes(4);
        spooled(
            &mut lanes,
            1,
            &[(Table::Flows, UNSENT), (Table::Usage1m, UNSENT)],
        );
        let start = Instant::now();
        for _ in 0..2 {
            let pick = lanes.pick(start, 0).expect("one of each table");
            lanes.end(pick.key, None, End::NotSent, start, 0);
        }
        assert!(lanes.pick(start, 0).is_none(), "both tables pause");
        let later = start + Duration::from_secs(60);
        let first = lanes.pick(later, 0).expect("the pause is over");
        // the other one fails again, and pauses
        let other = lanes.pick(later, 0).expect("the other table");
        lanes.end(other.key, None, End::NotSent, later, 0);
        assert!(lanes.pick(later, 0).is_none());
        lanes.end(first.key, None, End::Finished(State::Done), later, 0);
        assert_eq!(lanes.pick(later, 0).map(|p| p.key), Some(other.key));
    }

    #[test]
    fn doubt_goes_first_and_live_gets_half() {
        let (mut lanes, now) = (lanes(4), later());
        (10..14).for_each(|n| spooled(&mut lanes, n, &[(Table::Flows, UNSENT)]));
        (20..23).for_each(|n| live(&mut lanes, n));
        spooled(&mut lanes, 30, &[(Table::Flows, SENT)]);
        let mut order = vec![];
        while let Some(pick) = lanes.pick(now, 0) {
            order.push(pick.key.0);
            end(&mut lanes, pick.key, DONE, now);
        }
        assert_eq!(order, [30, 20, 10, 21, 11, 22, 12, 13]);
        assert!(lanes.is_empty());
        assert_eq!(lanes.take_ended().len(), 8);
    }

    #[test]
    fn nothing_is_read_for_a_store_that_is_away() {
        let (mut lanes, mut now) = (lanes(4), later());
        (10..14).for_each(|n| spooled(&mut lanes, n, &[(Table::Flows, UNSENT)]));
        live(&mut lanes, 20);
        for _ in 0..5 {
            let pick = lanes.pick(now, 0).expect("one");
            assert_eq!(pick.key.0, 20);
            end_with(&mut lanes, pick, End::NotSent, now);
            now += Duration::from_secs(60);
        }
        let pick = lanes.pick(now, 0).expect("one");
        end_with(&mut lanes, pick, DONE, now);
        assert_eq!(lanes.pick(now, 0).expect("one").key.0, 10);
    }

    #[test]
    fn at_most_a_window_is_in_flight_or_in_doubt() {
        let (mut lanes, mut now) = (lanes(2), later());
        (0..9).for_each(|n| spooled(&mut lanes, n, &[(Table::Flows, UNSENT)]));
        let picks: Vec<Pick> = std::iter::from_fn(|| lanes.pick(now, 0)).collect();
        assert_eq!(picks.len(), 2);
        for pick in &picks {
            end(&mut lanes, pick.key, End::Silence, now);
        }
        assert_eq!(lanes.gauges().1, 2);
        assert!(lanes.pick(now, 0).is_none(), "the table pauses");
        now += Duration::from_secs(60);
        // the two in doubt, one at a time, and nothing else
        for _ in 0..4 {
            let pick = lanes.pick(now, 0).expect("one");
            assert!(pick.key.0 < 2 && lanes.pick(now, 0).is_none());
            assert_eq!(pick.before.state, State::Sent);
            end(&mut lanes, pick.key, End::NotSent, now);
            now += Duration::from_secs(60);
        }
        let pick = lanes.pick(now, 0).expect("one");
        end(&mut lanes, pick.key, DONE, now);
        assert_eq!(lanes.gauges().1, 1);
    }

    #[test]
    fn without_a_quarantine_flows_are_asked_and_sums_sent_again() {
        let (mut lanes, now) = (lanes_with(4, false), later());
        live(&mut lanes, 1);
        let pick = lanes.pick(now, 0).expect("new");
        assert_eq!(pick.job, Job::Send);
        end_with(&mut lanes, pick, End::Silence, now);
        let now = now + Duration::from_secs(601);
        let pick = lanes.pick(now, 600_001).expect("in doubt");
        assert_eq!(pick.job, Job::Ask);
        end_with(&mut lanes, pick, End::Absent, now);
        let pick = lanes.pick(now, 600_002).expect("the store has none of it");
        assert_eq!((pick.job, pick.before.state), (Job::Send, State::Unsent));
        spooled(&mut lanes, 2, &[(Table::Usage1m, SENT)]);
        let pick = lanes.pick(now, 600_001).expect("sums");
        assert_eq!((pick.key, pick.job), ((2, 0), Job::Send));
    }

    /// However many cannot be read, in doubt or not: what can be has its turn, and the store is not blamed.
    #[test]
    fn what_cannot_be_read_stops_nothing() {
        let (mut lanes, mut now) = (lanes(2), later());
        for n in 1..=100 {
            let slot = if n % 2 == 0 { SENT } else { UNSENT };
            spooled(&mut lanes, n, &[(Table::Flows, slot)]);
        }
        for n in 101..=110 {
            live(&mut lanes, n);
        }
        let mut done = 0;
        for _ in 0..10_000 {
            now += Duration::from_millis(1);
            let Some(pick) = lanes.pick(now, 1) else {
                continue;
            };
            let (key, how) = (
                pick.key,
                if pick.load.is_some() {
                    End::Finished(State::Done)
                } else {
                    End::Unread
                },
            );
            done += usize::from(how != End::Unread);
            assert_eq!(lanes.end(key, pick.load, how, now, 1), None);
            if done == 10 {
                break;
            }
        }
        assert_eq!((done, lanes.tables[&Table::Flows].failures), (10, 0));
        assert!(lanes.unread((2, 0)) > 0 && !lanes.is_sure_of(Table::Flows));
        assert_eq!(lanes.len(), 100);
    }

    #[test]
    fn old_doubt_is_asked_or_set_aside() {
        let (mut lanes, now) = (lanes(4), later());
        let tables = [Table::Flows, Table::Usage1m, Table::Interfaces];
        spooled(&mut lanes, 1, &tables.map(|t| (t, SENT)));
        for table in tables {
            let pick = lanes.pick(now, 600_001).expect("one");
            match table {
                Table::Flows => assert_eq!(pick.job, Job::Ask),
                Table::Interfaces => assert_eq!(pick.job, Job::Send),
                _ => assert!(matches!(pick.job, Job::Quarantine(_))),
            }
        }
        // a store that has none of them gets them as if for the first time
        assert_eq!(end(&mut lanes, (1, 0), End::Absent, now), None);
        let pick = lanes.pick(now, 700_000).expect("one");
        assert_eq!(
            (pick.key, pick.job, pick.before.state),
            ((1, 0), Job::Send, State::Unsent)
        );
        // one that has some
        let why = end(&mut lanes, (1, 0), End::Hopeless("some".into()), now);
        assert_eq!(why.as_deref(), Some("some"));
    }

    #[test]
    fn old_sums_are_weighed_where_it_is_known_how_far_their_table_had_come() {
        let (mut lanes, now) = (lanes(4), later());
        let blocks = Blocks {
            taken: 7,
            ..Default::default()
        };
        lanes.set_blocks(Table::Usage1m, blocks.clone());
        spooled(&mut lanes, 1, &[(Table::Usage1m, SENT)]);
        // that cannot change while one is in doubt
        lanes.set_blocks(Table::Usage1m, Blocks::default());
        let pick = lanes.pick(now, 600_000).expect("one");
        assert_eq!(pick.job, Job::Weigh(blocks.clone()));
        // an error instead of an answer does not make it younger
        end(&mut lanes, pick.key, AGAIN, now);
        assert!(!lanes.is_sure_of(Table::Usage1m));
        let pick = lanes.pick(now + Duration::from_secs(60), 600_001);
        let pick = pick.expect("one");
        assert_eq!(pick.before.time_ms, SENT.time_ms);
        assert_eq!(pick.job, Job::Weigh(blocks));
        end(&mut lanes, pick.key, DONE, now);
        assert!(lanes.is_sure_of(Table::Usage1m));
        // without that knowledge an error is no reason to give up
        let failed = Slot {
            state: State::Failed,
            time_ms: 0,
        };
        spooled(&mut lanes, 2, &[(Table::Ledger, failed)]);
        assert_eq!(lanes.pick(now, 900_000).expect("one").job, Job::Send);
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_doubt() {
        let (mut lanes, now) = (lanes(4), later());
        spooled(&mut lanes, 1, &[(Table::Flows, SENT)]);
        let pick = lanes.pick(now, -86_400_000).expect("one");
        assert_eq!(pick.job, Job::Ask, "sent in a time to come");
    }

    #[test]
    fn what_the_store_surely_has_not_leaves_no_doubt() {
        let (mut lanes, mut now) = (lanes(4), later());
        spooled(&mut lanes, 1, &[(Table::Usage1m, UNSENT)]);
        let no_such_table = || End::Refused {
            reason: "60".into(),
            untouched: true,
        };
        for expected in [State::Unsent, State::Failed] {
            let pick = lanes.pick(now, 0).expect("one");
            end(&mut lanes, pick.key, no_such_table(), now);
            assert_eq!(lanes.slot((1, 0)).map(|s| s.state), Some(expected));
            // an error in a view, then the first one again
            now += Duration::from_secs(60);
            let pick = lanes.pick(now, 0).expect("one");
            assert!(pick.again);
            end(&mut lanes, pick.key, refused("395"), now);
            now += Duration::from_secs(60);
        }
    }

    #[test]
    fn a_section_that_fails_lets_others_pass() {
        let (mut lanes, mut now) = (lanes(1), later());
        (0..3).for_each(|n| spooled(&mut lanes, n, &[(Table::Flows, UNSENT)]));
        let mut others = 0;
        for _ in 0..20 {
            now += Duration::from_secs(6);
            let Some(pick) = lanes.pick(now, 0) else {
                continue;
            };
            let fate = if pick.key.0 == 0 { AGAIN } else { DONE };
            others += u32::from(fate == DONE);
            end(&mut lanes, pick.key, fate, now);
        }
        assert_eq!(others, 2);
        assert_eq!(lanes.len(), 1);
        // rows that are refused go for good
        let mut reason = None;
        while reason.is_none() {
            now += Duration::from_secs(60);
            let pick = lanes.pick(now, 0).expect("it is left");
            reason = end(&mut lanes, pick.key, refused("60"), now);
        }
        assert_eq!(reason.as_deref(), Some("60"));
        end(&mut lanes, (0, 0), End::Finished(State::Quarantined), now);
        assert!(lanes.is_empty());
    }

    #[test]
    fn bundles_are_gathered_that_nobody_sends() {
        let (mut lanes, now) = (lanes(4), later());
        let both = [(Table::Flows, UNSENT), (Table::Usage1m, UNSENT)];
        for n in 1..=9 {
            spooled(&mut lanes, n, &both);
        }
        spooled(
            &mut lanes,
            10,
            &[(Table::Flows, SENT), (Table::Usage1m, UNSENT)],
        );
        live(&mut lanes, 11);
        assert_eq!(lanes.pick(now, 0).map(|p| p.key), Some((10, 0)));
        assert_eq!(lanes.bound(), 1);
        assert_eq!(lanes.pick(now, 0).map(|p| p.key), Some((1, 1)));
        assert_eq!(lanes.bound(), 2);
        assert_eq!(lanes.gather(4, 0), [2, 3, 4, 5]);
        assert_eq!(lanes.len(), 7);
        assert_eq!(lanes.gather(4, 7), [8, 9, 11]);
        // those without flows go first where they are many enough, and never what was sent
        for n in 20..23 {
            spooled(&mut lanes, n, &[(Table::Usage1m, UNSENT)]);
        }
        assert_eq!(lanes.gather(8, 0), [20, 21, 22]);
        assert_eq!(lanes.gather(8, 0), [6, 7]);
        assert!(lanes.gather(8, 0).is_empty());
        assert_eq!(lanes.len(), 2);
        // nothing of them is sent any more
        let rest: Vec<Key> = std::iter::from_fn(|| lanes.pick(now, 0).map(|p| p.key)).collect();
        assert!(rest.iter().all(|k| k.0 == 1 || k.0 == 10), "{rest:?}");
        // one of many sections is not written again for little
        spooled(&mut lanes, 30, &[(Table::Usage1m, UNSENT); 5_000]);
        spooled(&mut lanes, 31, &both);
        assert_eq!(lanes.len(), (5_006 - 4_096) / 5);
        assert!(lanes.gather(8, 0).is_empty());
    }

    #[test]
    fn flows_are_shed_oldest_first_and_others_after_them() {
        let (mut lanes, now) = (lanes(1), later());
        for n in 1..4 {
            spooled(
                &mut lanes,
                n,
                &[(Table::Flows, UNSENT), (Table::Usage1m, UNSENT)],
            );
        }
        let flying = lanes.pick(now, 0).expect("one");
        assert_eq!(flying.key, (1, 0));
        let mut shed = vec![];
        while let Some(s) = lanes.shed(u64::MAX, false) {
            shed.push((s.number, s.sections, s.rows));
        }
        let flows = |n| (n, vec![0], vec![(Table::Flows, 10)]);
        let usage = |n| (n, vec![1], vec![(Table::Usage1m, 10)]);
        assert_eq!(shed, [flows(2), flows(3), usage(1), usage(2), usage(3)]);
        assert_eq!(lanes.shed(u64::MAX, true), None);
        // what is in flight was not touched
        end(&mut lanes, flying.key, DONE, now);
        assert_eq!(lanes.take_ended().len(), 3);
        spooled(&mut lanes, 9, &[(Table::Flows, UNSENT)]);
        assert_eq!(lanes.shed(9, true), None, "it is not older than that");
    }
}
