//! The arena of conversations: who is found, who is due, who gives way.

use super::flow::{Facts, Flow, NO_PLACE, Stage};
use super::key::{FlowKey, Way};
use super::tie::Ties;
use super::wheel::{TURN, Wheel};
use crate::model::{Index, PacketView, prefetch};
use foldhash::fast::FixedState;

/// Conversations in fixed places, with an index by key and two wheels by time: of those in doubt and of the others.
#[derive(Debug)]
pub(super) struct Table {
    flows: Vec<Flow>,
    /// Facts of the two halves of each place.
    facts: Vec<[Facts; 2]>,
    free: Vec<u32>,
    index: Index,
    pub(super) ties: Ties,
    state: FixedState,
    doubtful: Wheel,
    established: Wheel,
    flows_max: usize,
    /// The second up to which everything due was taken.
    second: i64,
}

impl Table {
    pub fn new(flows_max: usize, hash_seed: u64) -> Self {
        Table {
            flows: Vec::new(),
            facts: Vec::new(),
            free: Vec::new(),
            index: Index::new(),
            ties: Ties::default(),
            state: FixedState::with_seed(hash_seed),
            doubtful: Wheel::new(),
            established: Wheel::new(),
            flows_max,
            second: i64::MIN,
        }
    }

    /// Bytes that a table of so many places takes at most.
    pub const fn bytes(flows_max: usize) -> usize {
        let facts = size_of::<[Facts; 2]>() + 2 * Facts::ELSEWHERE_MAX;
        flows_max * (size_of::<Flow>() + facts + size_of::<u32>())
            + Index::bytes(2 * flows_max)
            + Ties::bytes(flows_max)
    }

    /// Conversations in it.
    pub fn len(&self) -> usize {
        self.flows.len() - self.free.len()
    }

    #[inline]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        key.hash(&self.state)
    }

    /// Whose a packet is.
    #[inline]
    pub fn way(&self, p: &PacketView<'_>) -> Way {
        let (key, is_low) = FlowKey::of(p);
        let hash = self.hash(&key);
        Way { key, is_low, hash }
    }

    /// The conversation of a packet.
    #[inline]
    pub fn find(&mut self, way: &Way) -> Option<u32> {
        let place = self
            .index
            .find(way.hash, |place| self.flows[place as usize].has(&way.key))?;
        let well = self.flows[place as usize].tied.is_none() || self.is_tied_well(place, way);
        well.then_some(place)
    }

    /// The hash of a key where what packets are wrapped in does not matter.
    pub fn bare_hash(&self, key: &FlowKey) -> u64 {
        key.bare_hash(&self.state)
    }

    /// A conversation is found by this hash, too.
    pub fn insert_tied(&mut self, hash: u64, place: u32) {
        self.index.insert(hash, place);
    }

    /// A conversation is found by its own key alone.
    pub fn untie(&mut self, place: u32) {
        let flow = &mut self.flows[place as usize];
        if flow.tied.take().is_some() {
            let hash = flow.key.within(flow.tied_scope).hash(&self.state);
            self.index.remove(hash, place);
        }
    }

    /// Keeps all conversations by their ends alone.
    #[cold]
    pub fn keep_all(&mut self) {
        let mut free = vec![false; self.flows.len()];
        self.free
            .iter()
            .for_each(|&place| free[place as usize] = true);
        let taken = (0..self.flows.len()).filter(|&place| !free[place]);
        for place in taken {
            self.keep(place as u32);
        }
    }

    fn keep(&mut self, place: u32) {
        let (flows, state) = (&self.flows, &self.state);
        let key = flows[place as usize].key;
        let same = |p: u32| flows[p as usize].key.within(key.scope) == key;
        self.ties.keep(|| key.bare_hash(state), place, same);
    }

    /// Calls for the cell of a hash.
    #[inline]
    pub fn call_cell(&self, hash: u64) {
        self.index.call(hash);
    }

    /// The place of a hash, most likely.
    #[inline]
    pub fn likely(&self, hash: u64) -> Option<u32> {
        self.index.likely(hash)
    }

    /// Calls for a conversation.
    #[inline]
    pub fn call_flow(&self, place: u32) {
        prefetch(&self.flows[place as usize]);
    }

    /// Calls for what its rows have of the frames.
    #[inline]
    pub fn call_facts(&self, place: u32) {
        prefetch(&self.facts[place as usize]);
    }

    #[inline]
    pub fn flow(&mut self, place: u32) -> &mut Flow {
        &mut self.flows[place as usize]
    }

    pub fn get(&self, place: u32) -> &Flow {
        &self.flows[place as usize]
    }

    pub fn facts(&self, place: u32, half: usize) -> &Facts {
        &self.facts[place as usize][half]
    }

    pub fn set_facts(&mut self, place: u32, half: usize, facts: Facts) {
        self.facts[place as usize][half] = facts;
    }

    /// Which place has to be emptied before another conversation fits: the one whose time comes first, of those in doubt
    /// unless there are few of them.
    pub fn gives_way(&self) -> Option<u32> {
        if self.len() < self.flows_max {
            // the share of those in doubt is bounded, so that a flood leaves room
            let crowded = self.doubtful.len() >= self.flows_max / 2;
            return crowded
                .then(|| self.doubtful.first_after(self.second))
                .flatten();
        }
        let few = self.doubtful.len() <= self.flows_max / 16;
        let (first, second) = match few {
            true => (&self.established, &self.doubtful),
            false => (&self.doubtful, &self.established),
        };
        let of = |wheel: &Wheel| wheel.first_after(self.second);
        of(first).or_else(|| of(second))
    }

    /// Puts a conversation into a free place; there must be one ([`Table::gives_way`]).
    pub fn insert(&mut self, flow: Flow, hash: u64, second: i64) -> u32 {
        debug_assert!(
            (self.index.all(hash)).all(|place| self.flows[place as usize].key != flow.key),
            "two conversations of one key"
        );
        let place = match self.free.pop() {
            Some(place) => {
                self.flows[place as usize] = flow;
                place
            }
            None => {
                self.flows.push(flow);
                self.facts.push(Default::default());
                (self.flows.len() - 1) as u32
            }
        };
        self.index.insert(hash, place);
        self.keep(place);
        self.hang(place, second);
        place
    }

    /// Takes a conversation out; its place is free.
    pub fn remove(&mut self, place: u32) {
        self.unhang(place);
        self.untie(place);
        let key = self.flows[place as usize].key;
        self.ties.forget(|| key.bare_hash(&self.state), place);
        self.facts[place as usize] = Default::default();
        let hash = u64::from(self.flows[place as usize].hash) << 32;
        self.index.remove(hash, place);
        (
            self.flows[place as usize].tcp,
            self.flows[place as usize].media,
        ) = (NO_PLACE, NO_PLACE);
        self.free.push(place);
    }

    /// The conversation has come to another stage.
    pub fn set_stage(&mut self, place: u32, stage: Stage, second: i64) {
        self.unhang(place);
        self.flows[place as usize].stage = stage;
        self.hang(place, second);
    }

    /// Is to be looked at in that second, or in the next one where it is over.
    pub fn hang(&mut self, place: u32, second: i64) {
        let next = self.second.saturating_add(1);
        let second = second.clamp(next, next.saturating_add(TURN - 2));
        match self.is_doubtful(place) {
            true => self.doubtful.hang(&mut self.flows, place, second),
            false => self.established.hang(&mut self.flows, place, second),
        }
    }

    pub fn unhang(&mut self, place: u32) {
        match self.is_doubtful(place) {
            true => self.doubtful.unhang(&mut self.flows, place),
            false => self.established.unhang(&mut self.flows, place),
        }
    }

    fn is_doubtful(&self, place: u32) -> bool {
        self.flows[place as usize].stage == Stage::Doubtful
    }

    /// The second up to which everything was taken.
    pub fn second(&self) -> i64 {
        self.second
    }

    /// The clock starts at this second; nothing may hang.
    pub fn start_at(&mut self, second: i64) {
        debug_assert_eq!(self.doubtful.len() + self.established.len(), 0);
        self.second = second;
    }

    /// Goes on to the next second and takes off what hangs there, into `due`.
    pub fn next_second(&mut self, due: &mut Vec<u32>) {
        self.second += 1;
        for wheel in [&mut self.doubtful, &mut self.established] {
            while let Some(place) = wheel.first_at(self.second) {
                wheel.unhang(&mut self.flows, place);
                due.push(place);
            }
        }
    }

    /// Takes everything off, into `due`.
    pub fn take_all(&mut self, due: &mut Vec<u32>) {
        for wheel in [&mut self.doubtful, &mut self.established] {
            while let Some(place) = wheel.first_after(self.second) {
                wheel.unhang(&mut self.flows, place);
                due.push(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Addr;

    fn put(table: &mut Table, n: u8, stage: Stage, second: i64) -> u32 {
        let key = FlowKey {
            low: Addr::from_v4([10, 0, 0, n]),
            ..Default::default()
        };
        let hash = table.hash(&key);
        let mut flow = Flow::new(key, (hash >> 32) as u32, true, 0);
        flow.stage = stage;
        table.insert(flow, hash, second)
    }

    #[test]
    fn those_in_doubt_give_way_first_and_then_the_oldest() {
        let mut t = Table::new(64, 0);
        t.start_at(0);
        for n in 0..40 {
            assert_eq!(t.gives_way(), None);
            put(&mut t, n, Stage::Established, 10);
        }
        for n in 100..124 {
            assert_eq!(t.gives_way(), None);
            put(&mut t, n, Stage::Doubtful, 20);
        }
        let way = t.gives_way().expect("it is full");
        assert_eq!(t.get(way).key.low, Addr::from_v4([10, 0, 0, 100]));
        for n in 0..20 {
            let way = t.gives_way().expect("full, and many in doubt");
            assert_eq!(t.get(way).stage, Stage::Doubtful);
            t.remove(way);
            put(&mut t, 200 + n, Stage::Established, 30);
        }
        let way = t.gives_way().expect("full, and few in doubt");
        assert_eq!(t.get(way).key.low, Addr::from_v4([10, 0, 0, 0]));
    }

    #[test]
    fn a_flood_takes_half_of_the_places() {
        let mut t = Table::new(64, 0);
        t.start_at(0);
        for n in 0..32 {
            put(&mut t, n, Stage::Doubtful, 5);
        }
        assert!(t.gives_way().is_some());
        let mut due = vec![];
        for _ in 0..5 {
            assert!(due.is_empty());
            t.next_second(&mut due);
        }
        assert_eq!(due.len(), 32);
        due.iter().for_each(|&place| t.remove(place));
        assert_eq!((t.len(), t.gives_way()), (0, None));
    }
}
