//! What a few packets to come will need, called into the cache step by step. It decides nothing.

use super::flow::{Flows, Key};
use crate::model::Glance;

/// Conversations of packets to come, in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    hashes: [Option<u64>; RING],
    places: [Option<u32>; RING],
    at: usize,
}

impl Ahead {
    /// A packet comes some packets after the next one: its cell of the index is called for, the conversation of an earlier one, its
    /// connection, what that keeps.
    #[inline]
    pub fn comes(&mut self, glance: Option<&Glance>, flows: &Flows) {
        let at = self.at;
        self.at = (at + 1) % RING;
        self.hashes[at] = glance.map(|g| flows.hash(&Key::probably(g)));
        if let Some(hash) = self.hashes[at] {
            flows.call_cell(hash);
        }
        let before = |steps: usize| (at + RING - steps * STEP) % RING;
        let second = before(1);
        self.places[second] = self.hashes[second].and_then(|hash| flows.likely(hash));
        if let Some(place) = self.places[second] {
            flows.call(place);
        }
        if let Some(place) = self.places[before(2)] {
            flows.call_kept(place);
        }
        if let Some(flow) = self.places[before(3)].and_then(|place| flows.peek(place)) {
            if let Some(connection) = &flow.session {
                connection.raw.iter().for_each(super::raw::Raw::call);
            }
            if let Some(talk) = flow.talk.as_ref().filter(|_| !flow.is_mute) {
                talk.call_open();
            }
        }
    }
}

/// Packets between the steps: packets are said to come 18 ahead.
const STEP: usize = 5;
const RING: usize = 32;
