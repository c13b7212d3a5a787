//! What a rule raised.

use super::super::header::Action;
use super::super::rule::Rule;
use super::carried::Carried;
use super::flow::Counts;
use super::program::{PRIORITY, Program};
use super::said::{self, Said};
use crate::detect::eve;
use crate::model::{Addr, EvidenceMatch};
use std::sync::Arc;

/// One hit of a rule.
#[derive(Clone, Debug)]
pub struct Alert {
    pub(super) program: Arc<Program>,
    pub(super) rule: u32,
    /// What the rule wants done, or a rate filter in its place.
    pub action: Action,
    /// Numbers of the bits that the conversation has.
    pub(super) bits: Vec<u32>,
    /// Its counters, by number.
    pub(super) counters: Vec<(u32, u32)>,
    /// When, nanoseconds since 1970 UTC: of the packet with which it was found.
    pub time_ns: i64,
    /// Number of the frame with which it was found.
    pub frame: u64,
    /// Source and destination.
    pub addrs: [Addr; 2],
    /// Source and destination port; 0 where there are none.
    pub ports: [u16; 2],
    /// IP protocol.
    pub proto: u8,
    /// Type and code of ICMP.
    pub icmp: Option<(u8, u8)>,
    /// The application protocol; empty where it is not known.
    pub application: &'static str,
    /// That which it was before it changed to another one.
    pub(super) was: &'static str,
    /// Directions that told another one, or none.
    pub(super) silent: [bool; 2],
    /// The conversation: the same wherever it is computed.
    pub flow: Option<u64>,
    /// Direction: 0 to the server, 1 to the client.
    pub direction: Option<usize>,
    /// Number of the transaction in its conversation and direction.
    pub transaction: Option<u64>,
    /// It is that which went on when the stream was looked at.
    pub(super) is_guessed: bool,
    /// What the conversation had come to.
    pub counts: Option<Counts>,
    /// The payload that was looked at, as much as is kept.
    pub payload: Vec<u8>,
    /// Whether that is of a stream.
    pub is_stream: bool,
    /// What the sides of the transaction said that the line tells, by direction.
    pub(super) said: [Said; 2],
    /// It holds only in the other reading of octets that were sent twice with different data.
    pub is_ambiguous: bool,
    /// What the packet was carried in.
    pub(super) carried: Carried,
    /// The packet, from its IP header on.
    pub packet: Vec<u8>,
    /// Where it matched, in the order of its conditions.
    pub matches: Vec<EvidenceMatch>,
}

impl Alert {
    /// The rule.
    pub fn rule(&self) -> &Rule {
        &self.program.rules[self.rule as usize].rule
    }

    /// Which load of the rules it is from, from 1; 0 where rules are loaded once.
    pub fn generation(&self) -> u64 {
        self.program.generation
    }

    /// How grave it is: the lower, the graver.
    pub fn severity(&self) -> u32 {
        self.rule().about.priority.unwrap_or(PRIORITY)
    }

    /// The addresses in order: what brings alerts of several shards into one order.
    pub fn pair(&self) -> (Addr, Addr, u8) {
        let [a, b] = self.addrs;
        (a.min(b), a.max(b), self.proto)
    }

    /// Appends the line of `alerts.ndjson`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let ports = match self.icmp {
            Some((kind, code)) => (kind.into(), code.into()),
            None => (self.ports[0], self.ports[1]),
        };
        let ends = [0, 1].map(|n| (self.addrs[n], self.ports[n]));
        let (client, server) = match self.direction {
            Some(1) => (ends[1], ends[0]),
            _ => (ends[0], ends[1]),
        };
        let side = self.direction.unwrap_or(0).min(1);
        let (rule, was) = (self.rule(), self.was);
        let counters = self.counts.map(|c| eve::FlowCounters {
            packets: (c.packets[0], c.packets[1]),
            bytes: (c.bytes[0], c.bytes[1]),
            start_ns: c.began_ns,
            client,
            server,
        });
        let is_known = !matches!(self.application, "" | "failed");
        let silent = self.silent.map(|s| (s && is_known).then_some("failed"));
        let name = |number| self.program.names.name(number);
        let flowints = self.counters.iter();
        let flowints = flowints.filter_map(|c| Some((name(c.0)?, c.1)));
        let alert = eve::Alert {
            time_ns: self.time_ns,
            flow_id: self.flow,
            interface: None,
            frame: (self.frame > 0).then_some(self.frame),
            vlans: self.carried.vlans.as_slice(),
            src: self.addrs[0],
            dst: self.addrs[1],
            ports,
            proto: self.proto,
            flowbits: self.bits.iter().filter_map(|b| name(*b)).collect(),
            flowints: flowints.collect(),
            tx_id: self.transaction,
            tx_guessed: self.is_guessed && self.transaction.is_some(),
            rule,
            action: self.action,
            source: self.carried.source,
            outer: self.carried.outer,
            generation: Some(self.program.generation).filter(|n| *n > 0),
            app: said::app(self.application, &self.said, side),
            files: said::files(&self.said[side], self.transaction),
            app_proto: (!self.application.is_empty()).then_some(self.application),
            app_proto_sides: silent,
            app_proto_orig: (!was.is_empty() && was != self.application).then_some(was),
            to_server: self.direction.map(|d| d == 0),
            flow: counters,
            payload: &self.payload,
            stream: self.is_stream,
            packet: &self.packet,
            link_type: LINK_RAW,
            matches: self.matches.iter().map(found).collect(),
        };
        alert.write(out);
    }
}

fn found(m: &EvidenceMatch) -> eve::Found<'_> {
    eve::Found {
        buffer: m.buffer,
        offset: m.offset,
        length: m.length,
        bytes: &m.bytes,
    }
}

/// LINKTYPE_RAW: the packet begins with its IP header.
const LINK_RAW: u16 = 101;
