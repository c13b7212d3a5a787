//! What a few packets to come will need, called into the cache step by step. It decides nothing.

use super::flow::NO_PLACE;
use super::rtp::Medias;
use super::table::Table;
use super::tcp::Tcp;
use crate::model::prefetch;

/// Conversations of packets to come, in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    hashes: [Option<u64>; RING],
    places: [Option<u32>; RING],
    at: usize,
}

impl Ahead {
    /// A packet with this hash of its key comes [`AHEAD`] packets after the one that is metered next: its cell of the index is
    /// called for, the conversation of an earlier one, the TCP state of one before that.
    #[inline]
    pub fn comes(&mut self, hash: Option<u64>, table: &Table, tcps: &[Tcp], medias: &Medias) {
        let at = self.at;
        self.at = (at + 1) % RING;
        self.hashes[at] = hash;
        if let Some(hash) = hash {
            table.call_cell(hash);
        }
        let second = (at + RING - STEP) % RING;
        self.places[second] = self.hashes[second].and_then(|hash| table.likely(hash));
        if let Some(place) = self.places[second] {
            table.call_flow(place);
        }
        let third = (at + RING - 2 * STEP) % RING;
        if let Some(flow) = self.places[third].map(|place| table.get(place)) {
            flow.talk.call();
            if let Some(tcp) = tcps.get(flow.tcp as usize) {
                prefetch(tcp);
            }
            if flow.media != NO_PLACE {
                medias.call(flow.media);
            }
        }
    }
}

/// How many packets ahead somebody should look.
pub const AHEAD: usize = 3 * STEP;
/// Packets between the steps.
const STEP: usize = 6;
const RING: usize = 32;
