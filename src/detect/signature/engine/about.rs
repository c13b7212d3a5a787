//! What is tried and told of a conversation beside packets.

use super::super::buffer::Buffer;
use super::flow::{Counts, Flow, Key};
use super::program::Compiled;
use super::scene::{Payload, Scene};
use crate::model::PacketView;

/// A packet with what is known of its conversation.
#[derive(Clone, Copy, Debug)]
pub(super) struct At<'a> {
    pub p: &'a PacketView<'a>,
    pub direction: usize,
    /// Its payload is in the stream.
    pub in_stream: bool,
    /// The conversation was established before it.
    pub established: bool,
    /// It is the first in its direction of which the application protocol is known.
    pub is_told: bool,
}

/// What an alert says beside what was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct About {
    pub frame: u64,
    pub application: &'static str,
    /// What the number of the conversation is made of.
    pub flow: Option<(Key, i64)>,
    pub transaction: Option<u64>,
}

impl About {
    pub fn of(flow: &Flow, frame: u64) -> Self {
        About {
            frame,
            application: flow.application,
            flow: Some((flow.key, flow.counts.began_ns)),
            transaction: None,
        }
    }
}

pub(super) fn looks_at_payload(c: &Compiled) -> bool {
    let mut groups = c.rule.groups.iter();
    groups.any(|g| g.buffer == Buffer::PAYLOAD)
}

/// A conversation as a rule sees it in one direction, without a packet.
pub(super) fn flow_scene<'a>(
    flow: &Flow,
    direction: usize,
    established: bool,
    counts: &'a Counts,
) -> Scene<'a> {
    let ends = flow.ends();
    let (from, to) = (ends[direction], ends[1 - direction]);
    Scene {
        addrs: [from.0, to.0],
        ports: [from.1, to.1],
        proto: flow.key.proto,
        version: if from.0.is_v4() { 4 } else { 6 },
        direction: Some(direction),
        established,
        is_rebuilt: false,
        application: "",
        is_silent: flow.silent[direction],
        is_decided: flow.is_decided(),
        is_told: false,
        packet: None,
        payload: Payload::None,
        unit: None,
        other: None,
        told: [None; 2],
        counts: Some(counts),
        events: &[],
        time_ns: flow.last_ns,
    }
}

pub(super) const UDP: u8 = 17;
