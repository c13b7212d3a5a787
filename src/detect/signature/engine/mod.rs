//! Rules on packets: flows, streams and transactions as Suricata 7 sees them, and which rules match.
//!
//! Owns: a flow table of its own, because what rules call a flow, its directions and its state decides what they match; the prefilters; the
//! confirmation of rules. Never: dissecting, putting segments in order, parsing (that is `reassemble`), files.

mod about;
mod addresses;
mod ahead;
mod alert;
mod carried;
mod costs;
mod dates;
mod desk;
mod ends;
mod events;
mod finder;
mod flow;
mod groups;
mod hearing;
mod hyperscan;
mod keep;
mod kinds;
mod listed;
mod maker;
mod odd;
mod other;
mod packet;
mod patterns;
mod ports;
mod program;
mod raw;
mod said;
mod scene;
mod segments;
mod session;
mod shelf;
mod talk;
mod unit;
mod units;
mod wanted;
mod wire;

pub use alert::Alert;
pub use costs::{CostLine, Demoted, RuleCost};
pub use flow::Counts;
pub use maker::Maker;
pub use other::Conflict;
pub use program::Program;
pub use shelf::{Cache, CacheUse};

use super::rule::Rule;
use super::settings::{EngineSettings, Settings};
use super::state::Shared;
use crate::ledger::{Outcome, Tally};
use crate::model::{Glance, PacketView, TcpHeader, Transport};
use crate::reassemble::app::Ears;
use crate::reassemble::settings::Settings as ReassembleSettings;
use crate::reassemble::stream::Streams;
use ahead::Ahead;
use carried::bytes_of;
use desk::{At, Desk};
use flow::{Connection, Flow, Flows, Key};
use hearing::{Hearing, heard};
use packet::{has_right_checksum, shift};
use raw::Spare;
use session::{Part, Session, Stage, is_answer, is_answer_of_datagrams};
use std::sync::Arc;
use talk::Talk;

pub(super) use events::packet_events;

/// Matches the packets of one shard with rules.
#[derive(Debug)]
pub struct Engine {
    flows: Flows,
    ahead: Ahead,
    reading: Reading,
}

/// What works with one conversation.
#[derive(Debug)]
struct Reading {
    settings: EngineSettings,
    streams: Streams,
    ears: Ears,
    /// Bytes of streams that are kept.
    raw_bytes: usize,
    spare: Spare,
    /// Bytes that are kept of what conversations said.
    talk_bytes: usize,
    desk: Desk,
    /// Octets that were sent twice with different data, since this was asked last.
    conflicts: Vec<Conflict>,
    /// What is odd about the packet that is looked at, by Suricata's names of events.
    odd: Vec<&'static str>,
}

impl Engine {
    /// An engine that has seen nothing. `shared` is what all shards remember together; `seed` is a secret in `run` and a constant in
    /// `replay`.
    pub fn new(
        program: Arc<Program>,
        shared: Arc<Shared>,
        rules: &Settings,
        settings: &EngineSettings,
        reassemble: &ReassembleSettings,
        seed: u64,
    ) -> Self {
        let bodies = program.wanted.has_bodies();
        Engine {
            flows: Flows::new(settings.flows_max, seed),
            ahead: Ahead::default(),
            reading: Reading {
                settings: settings.clone(),
                streams: Streams::new(&reassemble.streams).with_others(),
                ears: Ears::new(&reassemble.app, bodies),
                raw_bytes: 0,
                spare: Spare::default(),
                talk_bytes: 0,
                desk: Desk::new(program, shared, rules, settings),
                conflicts: vec![],
                odd: vec![],
            },
        }
    }

    /// Goes on with other rules, between two packets. Conversations keep their bits, counters and rates; what they said and is not whole is looked
    /// at again, and rules that stayed as they are do not match it twice.
    pub fn replace(&mut self, program: Arc<Program>) {
        let reading = &mut self.reading;
        let moved = reading.desk.program.moved_to(&program);
        self.flows.renumber(&moved, &program.wanted);
        reading.ears.want_bodies(program.wanted.has_bodies());
        reading.desk.replace(program, &moved, &reading.settings);
    }

    /// Bytes that an engine takes at most, apart from its rules and what all shards remember together.
    pub fn memory_max(settings: &EngineSettings) -> usize {
        let flows = settings
            .flows_max
            .saturating_mul(size_of::<Flow>() + FLOW_MORE_BYTES);
        flows
            .saturating_add(settings.raw_bytes_max)
            .saturating_add(settings.talk_bytes_max)
            .saturating_add(Spare::BYTES_MAX)
    }

    /// What was raised since this was asked last, in order.
    pub fn take_alerts(&mut self) -> Vec<Alert> {
        std::mem::take(&mut self.reading.desk.alerts)
    }

    /// Which load of the rules is in force.
    pub fn generation(&self) -> u64 {
        self.reading.desk.program.generation()
    }

    /// Whether something was raised, or sent twice with different data.
    #[inline]
    pub fn has_alerts(&self) -> bool {
        !self.reading.desk.alerts.is_empty() || !self.reading.conflicts.is_empty()
    }

    /// What each rule cost and gave so far, in the order in which they are tried.
    pub fn costs(&self) -> impl Iterator<Item = (&Rule, &RuleCost)> {
        let desk = &self.reading.desk;
        let rules = desk.program.rules.iter().map(|c| &c.rule);
        rules.zip(&desk.costs.list)
    }

    /// The rules that cost most so far, at most so many; those that were never looked at are left out.
    pub fn dearest(&self, most: usize) -> Vec<CostLine> {
        let mut all: Vec<_> = self
            .costs()
            .filter(|(_, cost)| **cost != RuleCost::default())
            .collect();
        all.sort_by_key(|(_, cost)| std::cmp::Reverse((cost.work, cost.candidates)));
        let of = |(rule, cost): &(&Rule, &RuleCost)| {
            CostLine::new((rule.gid, rule.sid, rule.rev), &rule.about.message, cost)
        };
        all.iter().take(most).map(of).collect()
    }

    /// Whether rules were demoted.
    #[inline]
    pub fn has_demotions(&self) -> bool {
        !self.reading.desk.costs.demotions.is_empty()
    }

    /// Rules that were demoted since this was asked last: they cost more than they may and are not tried for a while.
    pub fn take_demotions(&mut self) -> Vec<Demoted> {
        let desk = &mut self.reading.desk;
        let demotions = std::mem::take(&mut desk.costs.demotions);
        let of = |d: costs::Demotion| Demoted {
            program: desk.program.clone(),
            rule: d.rule,
            time_ns: d.time_ns,
            work: d.work,
            work_max: desk.costs.rule_max,
        };
        demotions.into_iter().map(of).collect()
    }

    /// Conversations that are kept.
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// Lets time pass: conversations that were silent for too long are over.
    pub fn advance(&mut self, now_ns: i64, tally: &mut Tally) {
        if self.flows.is_due(now_ns) {
            let over = self.flows.over(Some(now_ns));
            self.end_all(&over, tally);
        }
    }

    /// The end of the input: all conversations are over.
    pub fn finish(&mut self, tally: &mut Tally) {
        let over = self.flows.over(None);
        self.end_all(&over, tally);
        self.reading.desk.trial.count_evicted(tally);
    }

    /// Conversations are over, in this order; what a later one needs is called for.
    fn end_all(&mut self, over: &[u32], tally: &mut Tally) {
        for (n, place) in over.iter().enumerate() {
            if let Some(later) = over.get(n + 2 * END_AHEAD) {
                self.flows.call(*later);
            }
            if let Some(soon) = over.get(n + END_AHEAD) {
                self.flows.call_kept(*soon);
            }
            self.end(*place, tally);
        }
    }

    /// Looks at a packet that comes 18 packets after the next one, so that what it needs is at hand then.
    #[inline]
    pub fn comes(&mut self, glance: Option<&Glance>) {
        self.ahead.comes(glance, &self.flows);
    }

    /// Takes a packet that carries another one: rules see its headers alone, as in Suricata.
    pub fn tunnel(&mut self, p: &PacketView<'_>, tally: &mut Tally) {
        self.reading.desk.is_tunnel = true;
        self.packet(p, tally);
        self.reading.desk.is_tunnel = false;
    }

    /// Takes a packet, whole or a fragment. Its time must have been passed.
    pub fn packet(&mut self, p: &PacketView<'_>, tally: &mut Tally) {
        // Suricata has conversations of these alone
        let has_flow = matches!(p.proto, 1 | 6 | 17 | 50 | 58 | 132);
        if p.fragment.is_some() || !has_flow {
            self.reading.desk.packet(p, None, tally);
            self.reading.odd(p, None, tally);
            self.reading.desk.settle(None, Some(p));
            return;
        }
        let (key, is_first) = Key::of(p);
        let place = match self.flows.find(&key) {
            Some(place) => place,
            None => self.begin(key, is_first, p, tally),
        };
        let flow = self.flows.get(place);
        let renewed = p.tcp().is_some_and(|t| {
            let side = usize::from(flow.first_asked != is_first);
            let session = flow.session.as_ref().map(|c| &c.session);
            session.is_some_and(|s| s.is_renewed_by(side, &t))
        });
        if renewed {
            self.reading.close(flow, tally);
            *flow = Flow::new(key, is_first, p);
        }
        flow.turns_round(is_first, p);
        self.reading.flow_packet(flow, is_first, p, tally);
    }

    fn begin(&mut self, key: Key, is_first: bool, p: &PacketView<'_>, tally: &mut Tally) -> u32 {
        while self.flows.is_full() {
            let Some(place) = self.flows.first_due() else {
                break;
            };
            tally.one(Outcome::RuleFlowsEvicted);
            self.end(place, tally);
        }
        let asks = is_first != is_answer_of_datagrams(p);
        self.flows.insert(Flow::new(key, asks, p))
    }

    /// A conversation is over.
    fn end(&mut self, place: u32, tally: &mut Tally) {
        self.reading.close(self.flows.get(place), tally);
        self.flows.remove(place);
    }
}

impl Reading {
    fn flow_packet(
        &mut self,
        flow: &mut Flow,
        is_first: bool,
        p: &PacketView<'_>,
        tally: &mut Tally,
    ) {
        let mut direction = usize::from(flow.first_asked != is_first);
        let mut at = At {
            p,
            direction,
            in_stream: false,
            established: false,
            is_told: false,
        };
        match p.tcp() {
            Some(t) => {
                if t.ack != 0 && !t.has(TcpHeader::ACK) {
                    self.odd.push("stream.pkt_broken_ack");
                }
                let right = !self.settings.checksums || has_right_checksum(p);
                if right && flow.session.is_none() {
                    if let Some(begun) = self.begin_session(flow, direction, p, &t) {
                        (direction, at.in_stream) = (begun, true);
                    }
                } else if let Some(c) = flow.session.as_mut().filter(|_| right) {
                    at.established = c.session.is_established();
                    let part = c
                        .session
                        .segment(direction, &t, p.payload_len, &mut self.odd);
                    at.in_stream = part == Part::Stream;
                    if at.in_stream {
                        c.session.window(direction, &t, shift(p, &t));
                    }
                }
            }
            None => {
                let other = flow.counts.packets[1 - direction] > 0;
                at.established = other || flow.counts.packets.iter().all(|n| *n > 0);
            }
        }
        at.direction = direction;
        flow.counts.packets[direction] += 1;
        flow.counts.bytes[direction] += bytes_of(p);
        (flow.last_ns, flow.last_frame) = (p.time_ns, p.frame);
        if flow.is_passed {
            self.odd.clear();
            return;
        }
        // packets see the protocol once what told it was acknowledged
        let is_syn = p.tcp().is_some_and(|t| t.has(TcpHeader::SYN));
        if usize::from(flow.told_by) != direction && !is_syn {
            flow.sees_application();
        }
        if usize::from(flow.one_sided_by) == 1 - direction {
            flow.one_sided_by = 2;
            self.odd.push(events::ONE_SIDED);
        }
        match flow.session.take() {
            Some(mut connection) => {
                self.segment(flow, &mut connection, &at, tally);
                flow.session = Some(connection);
            }
            None => self.datagram(flow, &at, tally),
        }
        self.odd(p, Some((&mut *flow, &at)), tally);
        self.desk.settle(Some(flow), Some(p));
    }

    /// A segment may begin a connection: the direction in which it goes then.
    fn begin_session(
        &mut self,
        flow: &mut Flow,
        mut direction: usize,
        p: &PacketView<'_>,
        t: &TcpHeader,
    ) -> Option<usize> {
        let Some((session, reversed)) = Session::begin(t, p.payload_len, self.settings.midstream)
        else {
            self.odd.extend(match t.flags {
                f if f & TcpHeader::RST != 0 => Some("stream.rst_but_no_session"),
                f if f & TcpHeader::FIN != 0 => Some("stream.fin_but_no_session"),
                _ => None,
            });
            return None;
        };
        let answers = session.is_midstream && p.payload_len > 0 && is_answer(p);
        if (reversed || answers) && direction == 0 && flow.counts.packets[1] == 0 {
            flow.first_asked = !flow.first_asked;
            flow.counts.packets.swap(0, 1);
            flow.counts.bytes.swap(0, 1);
            direction = 1;
        }
        let mut session = session.from(direction);
        session.window(direction, t, shift(p, t));
        flow.session = Some(Box::new(Connection {
            session,
            ..Connection::default()
        }));
        Some(direction)
    }

    /// A packet of a conversation without a stream.
    fn datagram(&mut self, flow: &mut Flow, at: &At<'_>, tally: &mut Tally) {
        let p = at.p;
        let is_heard = !flow.is_deaf && !flow.is_mute && !self.desk.is_tunnel;
        if matches!(p.transport, Transport::Ports { .. }) && p.payload_len > 0 && is_heard {
            let wanted = &self.desk.program.wanted;
            let talk = flow.talk.take();
            let mut talk = talk.unwrap_or_else(|| Box::new(Talk::new(&self.settings, wanted)));
            let heard = heard(flow, at.direction, p.time_ns, p.payload());
            talk.datagram(&mut self.ears, &heard, tally);
            flow.hears(talk);
        }
        if p.payload_len > 0 {
            flow.sees_application();
        }
        let at = &At {
            is_told: flow.is_told_now(at.direction),
            ..*at
        };
        self.desk.packet(p, Some((&mut *flow, at)), tally);
        self.units(flow, Some(at), None, tally);
    }

    /// No more of a half comes.
    fn end_half(&mut self, flow: &mut Flow, c: &mut Connection, half: usize, tally: &mut Tally) {
        c.ended[half] = true;
        if let Some(mut talk) = flow.talk.take() {
            let heard = heard(flow, half, flow.last_ns, b"");
            talk.end(&mut self.ears, &heard, tally);
            flow.hears(talk);
        }
    }

    /// What still waits is heard, and nothing more is kept.
    fn close(&mut self, flow: &mut Flow, tally: &mut Tally) {
        self.say_last(flow, tally);
        self.forget_talk(flow);
    }

    fn say_last(&mut self, flow: &mut Flow, tally: &mut Tally) {
        if flow.is_passed {
            return;
        }
        let Some(mut c) = flow.session.take() else {
            return;
        };
        let mut hearing = Hearing {
            ears: &mut self.ears,
            settings: &self.settings,
            program: &self.desk.program,
            raw: &mut c.raw,
            raw_bytes: &mut self.raw_bytes,
            odd: &mut self.odd,
            spare: &mut self.spare,
            midway: c.session.is_midstream,
            cut: vec![],
        };
        let time_ns = flow.last_ns;
        self.streams.end(&mut c.stream, tally, &mut |piece, tally| {
            hearing.piece(flow, &piece, time_ns, tally);
        });
        let cut = hearing.cut;
        self.look_at_cut(flow, &c, cut, tally);
        for half in 0..2 {
            if !c.ended[half] {
                self.end_half(flow, &mut c, half, tally);
            }
        }
        self.units(flow, None, Some(&mut c), tally);
        let is_open = c.session.stage == Stage::Established;
        if is_open && !self.desk.program.last.is_empty() && !flow.heard.is_empty() {
            (0..2).for_each(|half| self.desk.last(flow, half, tally));
        }
        // there is no packet that it could be raised of
        self.odd.clear();
        for half in 0..2 {
            self.look_at(flow, &mut c, half, true, tally);
            self.raw_bytes -= c.raw[half].room().min(self.raw_bytes);
            self.spare.take(&mut c.raw[half]);
        }
        self.desk.settle(Some(flow), None);
    }
}

/// How many conversations ahead memory is called for when they end.
const END_AHEAD: usize = 6;
/// Bytes of an entry of the index, of a connection, and of what a conversation remembers.
const FLOW_MORE_BYTES: usize = 512;
