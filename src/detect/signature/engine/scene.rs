//! What a rule is tried on, and whether it holds.

use super::super::buffer::{Buffer, BufferKind};
use super::super::header::{Direction, Header, Protocol};
use super::super::matcher::{Matcher, Outcome};
use super::super::number::Number;
use super::super::rule::*;
use super::super::state::{FlowState, Moment, Shared};
use super::super::transform::Scratch;
use super::dates;
use super::flow::Counts;
use super::kinds::{is_interface, speaks};
use super::listed::Pending;
use super::packet::{Headers, checksum};
use super::program::Compiled;
use super::raw::Chunk;
use super::talk::{self, FILE_SIZE_AT_LEAST};
use super::unit::Unit;
use crate::model::{Addr, EVIDENCE_MATCH_BYTES_MAX, EVIDENCE_MATCHES_MAX, EvidenceMatch};
use std::sync::Arc;

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    /// Source and destination in the direction that is looked at.
    pub addrs: [Addr; 2],
    pub ports: [u16; 2],
    pub proto: u8,
    pub version: u8,
    /// 0 to the server, 1 to the client; none without a flow.
    pub direction: Option<usize>,
    pub established: bool,
    /// It came in fragments.
    pub is_rebuilt: bool,
    /// The application protocol; empty: not known yet.
    pub application: &'a str,
    /// What this direction says told another one, or none.
    pub is_silent: bool,
    /// The packet, where there is one.
    pub packet: Option<Headers<'a>>,
    pub payload: Payload<'a>,
    pub unit: Option<&'a Unit>,
    /// The other side of its transaction, for alerts.
    pub other: Option<&'a Unit>,
    /// What alerts tell of where no transaction is tried: its sides.
    pub told: [Option<&'a Unit>; 2],
    pub counts: Option<&'a Counts>,
    /// What decoders and the stream raised.
    pub events: &'a [&'static str],
    /// Whether the application protocol is known, or known to be none.
    pub is_decided: bool,
    /// Whether that is so since this packet in its direction.
    pub is_told: bool,
    pub time_ns: i64,
}

/// The payload that is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Payload<'a> {
    None,
    /// Of one packet.
    Packet(&'a [u8]),
    /// Of a stream.
    Stream(Chunk<'a>),
}

/// What came of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Yes,
    No,
    /// Not yet: something that it looks at may still come.
    NotYet,
    /// A bound was met.
    GivenUp,
}

impl Scene<'_> {
    /// Whether the header of a rule and what it says of flows hold.
    pub fn admits(&self, c: &Compiled) -> bool {
        let rule = &c.rule;
        self.is_of(rule.header.protocol)
            && (!c.is_about_protocol || self.is_told)
            && (c.applications.is_empty() || c.applications.contains(&self.application))
            && self.is_between(&rule.header)
            && self.flows(&rule.flow)
            && !c.is_of_no_stream
    }

    fn is_of(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Packet => true,
            Protocol::Ip => self.version != 0,
            Protocol::Ipv4 => self.version == 4,
            Protocol::Ipv6 => self.version == 6,
            Protocol::Tcp | Protocol::TcpPacket | Protocol::TcpStream => self.proto == 6,
            Protocol::Udp => self.proto == 17,
            Protocol::Sctp => self.proto == 132,
            Protocol::Icmp => matches!(self.proto, 1 | 58),
            Protocol::Icmpv4 => self.proto == 1,
            Protocol::Icmpv6 => self.proto == 58,
            // that is in the list of the rule
            Protocol::Application(_) => true,
        }
    }

    fn is_between(&self, h: &Header) -> bool {
        let [a, b] = self.addrs.map(|a| u128::from_be_bytes(a.0));
        let [p, q] = self.ports.map(u128::from);
        let fits = |from: u128, from_port: u128, to: u128, to_port: u128| {
            h.source_ports.contains(from_port)
                && h.destination_ports.contains(to_port)
                && h.source.contains(from)
                && h.destination.contains(to)
        };
        fits(a, p, b, q) || h.direction == Direction::Both && fits(b, q, a, p)
    }

    fn flows(&self, flow: &Flow) -> bool {
        if *flow == Flow::default() {
            return true;
        }
        let direction = match flow.direction {
            None => true,
            Some(FlowDirection::ToServer) => self.direction == Some(0),
            Some(FlowDirection::ToClient) => self.direction == Some(1),
        };
        let established = match flow.established {
            None => true,
            Some(wanted) => self.direction.is_some() && self.established == wanted,
        };
        let fragments = flow
            .fragments
            .is_none_or(|wanted| self.is_rebuilt == wanted);
        let is_packet = self.unit.is_none() && matches!(self.payload, Payload::Packet(_));
        direction && established && fragments && !(is_packet && flow.stream == Some(true))
    }

    /// Whether the conditions of a rule hold that need no buffer.
    pub fn passes(&self, rule: &Rule) -> Held {
        for test in &rule.tests {
            match self.test(test) {
                Held::Yes => {}
                other => return other,
            }
        }
        Held::Yes
    }

    fn test(&self, test: &Test) -> Held {
        let held = match test {
            Test::Number(name, number) => return self.number(name, *number),
            Test::Word(name, negated, words) => return self.word(name, *negated, words),
            Test::TcpFlags(flags) => self.packet.is_some_and(|h| h.tcp_flags(flags)),
            Test::FragmentBits(bits) => self.packet.is_some_and(|h| h.fragment_bits(bits)),
            Test::SameIp => self.addrs[0] == self.addrs[1],
            Test::StreamSize(side, number) => self.stream_size(*side, *number),
            Test::Event("app-layer-event", name) => return self.said(name, None),
            Test::Event(_, name) => self.events.contains(&name.as_str()),
            Test::ApplicationProtocol(negated, name) => {
                let own = if self.is_silent {
                    "failed"
                } else {
                    self.application
                };
                self.is_decided && self.has_spoken() && speaks(own, name) != *negated
            }
            Test::Flag(name) => return self.said(name, None),
            Test::AnyNumber(name, numbers) => return self.any_number(name, numbers),
            Test::Digest(name, negated, list) => return self.digest(name, *negated, list),
            Test::Modbus(modbus) => {
                let mut messages = self.unit.into_iter().flat_map(|u| u.parts("modbus"));
                messages.any(|m| modbus.holds(m))
            }
        };
        if held { Held::Yes } else { Held::No }
    }

    fn number(&self, name: &str, number: Number) -> Held {
        if let Some(counts) = self.counts.filter(|_| name.starts_with("flow.")) {
            return yes(number.holds(counts.number(name, self.time_ns)));
        }
        if name == "l3_proto" {
            return yes(number.holds(self.version.into()));
        }
        if name == "dsize" {
            return yes(self.dsize(number));
        }
        let of_packet = self.packet.and_then(|h| h.number(name));
        let stream = matches!(self.payload, Payload::Stream(_));
        if let Some(n) = of_packet.filter(|_| !stream) {
            return yes(number.holds(n));
        }
        match self.unit {
            None => Held::No,
            Some(unit) => {
                let is_large = |n: u64| number.is_floor() && number.holds(n);
                let holds = unit.numbers(name).any(|n| number.holds(n))
                    // of a file of which bytes are missing
                    || name == "filesize" && unit.numbers(FILE_SIZE_AT_LEAST).any(is_large);
                match holds {
                    true => Held::Yes,
                    false => lacking(unit),
                }
            }
        }
    }

    /// Whether this direction said anything before the packet.
    fn has_spoken(&self) -> bool {
        let spoke = |c: &Counts| self.direction.is_none_or(|d| c.stream[d] > 0);
        let is_said = self.unit.is_some() || matches!(self.payload, Payload::Stream(_));
        is_said || self.proto != 6 || self.counts.is_none_or(spoke)
    }

    /// The length of a payload that is not looked at is not asked for, but where it may be none.
    fn dsize(&self, number: Number) -> bool {
        let Some(bytes) = self.packet.and_then(|h| h.number("dsize")) else {
            return false;
        };
        match (self.payload, number) {
            (Payload::Packet([_, ..]), _) => number.holds(bytes),
            (_, Number::Less(_) | Number::AtMost(_) | Number::Equal(0)) => number.holds(bytes),
            _ => false,
        }
    }

    /// Whether one of the numbers that a transaction says is one of those that are asked for.
    fn any_number(&self, name: &str, numbers: &[Number]) -> Held {
        let Some(unit) = self.unit else {
            return Held::No;
        };
        let is = |n: u64| numbers.iter().any(|number| number.holds(n));
        match unit.numbers(name).any(is) {
            true => Held::Yes,
            false => lacking(unit),
        }
    }

    /// Whether the digest of a file that is whole is in a list.
    fn digest(&self, name: &str, negated: bool, list: &super::super::dataset::Dataset) -> Held {
        let Some(unit) = self.unit else {
            return Held::No;
        };
        let mut digests = unit.parts(name).peekable();
        if digests.peek().is_none() {
            return lacking(unit);
        }
        match digests.any(|d| list.holds(d) != negated) {
            true => Held::Yes,
            false => lacking(unit),
        }
    }

    fn word(&self, name: &str, negated: bool, words: &[String]) -> Held {
        match name {
            name if name.ends_with("-csum") => {
                let right = self.packet.and_then(|h| checksum(h.p, name));
                return yes(right.is_some_and(|right| right != negated));
            }
            "ipopts" => {
                return yes(self
                    .packet
                    .is_some_and(|h| words.iter().any(|w| h.has_ip_option(w))));
            }
            "rpc" => return yes(self.packet.is_some_and(|h| h.is_rpc(words))),
            _ => {}
        }
        let Some(unit) = self.unit else {
            return Held::No;
        };
        if name == "http2.settings" {
            let is = |said: &str| words.iter().any(|w| talk::is_setting(said, w));
            return match unit.words(name).any(is) {
                true => Held::Yes,
                false => lacking(unit),
            };
        }
        if name == "dce_iface" {
            return match unit.words(name).any(|said| is_interface(said, words)) {
                true => Held::Yes,
                false => lacking(unit),
            };
        }
        if matches!(name, "tls_cert_notbefore" | "tls_cert_notafter") {
            let is = |time: u64| words.iter().any(|w| dates::holds(w, time));
            return match unit.numbers(name).next() {
                Some(time) => yes(is(time) != negated),
                None => lacking(unit),
            };
        }
        if matches!(name, "mqtt.flags" | "mqtt.connect.flags") {
            let is = |word: &str| unit.words(name).any(|w| w == word);
            // an empty one says that there are flags at all
            let as_asked = |w: &String| match w.strip_prefix('!') {
                Some(word) => !is(word),
                None => is(w),
            };
            return yes(is("") && words.iter().all(as_asked));
        }
        let mut said = unit.words(name).peekable();
        if said.peek().is_none() {
            return lacking(unit);
        }
        let is = |word: &str| words.iter().any(|w| w.eq_ignore_ascii_case(word));
        if name.starts_with("http2.") && !said.any(is) {
            // further frames may come
            return lacking(unit);
        }
        yes(unit.words(name).any(is) != negated)
    }

    /// Whether a transaction said this.
    fn said(&self, name: &str, word: Option<&str>) -> Held {
        match self.unit {
            None => Held::No,
            Some(unit) if unit.words(name).any(|w| word.is_none_or(|x| x == w)) => Held::Yes,
            Some(unit) => lacking(unit),
        }
    }

    fn stream_size(&self, side: StreamSide, number: Number) -> bool {
        let Some(counts) = self.counts.filter(|_| self.proto == 6) else {
            return false;
        };
        let [client, server] = counts.stream.map(|n| number.holds(n));
        match side {
            StreamSide::Client => client,
            StreamSide::Server => server,
            StreamSide::Both => client && server,
            StreamSide::Either => client || server,
        }
    }
}

fn yes(held: bool) -> Held {
    if held { Held::Yes } else { Held::No }
}

fn lacking(unit: &Unit) -> Held {
    if unit.is_whole {
        Held::No
    } else {
        Held::NotYet
    }
}

/// Tries rules.
#[derive(Debug)]
pub(super) struct Trial {
    pub matcher: Matcher,
    pub scratch: Scratch,
    decoded: Vec<u8>,
    /// Where groups matched, for the alert: the group, the place, the length, and its first bytes in `kept`.
    places: Vec<(u16, u64, u32, u32)>,
    kept: Vec<u8>,
    /// Values that rules added to lists.
    pub shared: Arc<Shared>,
    /// What the rule that is tried adds to lists, or takes out, once all of it holds.
    pub pending: Pending,
    /// Another reading is looked at: that changes nothing.
    pub is_other: bool,
}

impl Trial {
    pub fn new(matcher: Matcher, shared: Arc<Shared>) -> Self {
        Trial {
            matcher,
            scratch: Scratch::default(),
            decoded: vec![],
            places: vec![],
            kept: vec![],
            shared,
            pending: Pending::default(),
            is_other: false,
        }
    }

    /// The work since this was called last.
    pub fn take_work(&mut self) -> u64 {
        self.matcher.take_work()
    }

    /// Whether a rule holds whose header does.
    pub fn holds(&mut self, c: &Compiled, scene: &Scene<'_>, state: Option<&FlowState>) -> Held {
        let mut held = scene.passes(&c.rule);
        if held == Held::No || held == Held::GivenUp {
            return held;
        }
        let at = Moment::new(scene.time_ns, scene.addrs[0], scene.addrs[1]);
        if !c.memory.asks_nothing() && !c.memory.holds(&at, state, &self.shared) {
            return Held::No;
        }
        self.pending.clear();
        self.matcher.reset(&c.rule);
        self.matcher.dce_little = scene.unit.is_some_and(|u| u.dce_little);
        self.places.clear();
        self.kept.clear();
        for (n, group) in c.rule.groups.iter().enumerate() {
            match self.group(c, n, group, scene) {
                Held::Yes => {}
                Held::NotYet => held = Held::NotYet,
                other => return other,
            }
        }
        match held {
            Held::Yes if !self.change_lists() => Held::No,
            held => held,
        }
    }

    /// Where the rule that was tried last matched.
    pub fn matches(&self, rule: &Rule) -> Vec<EvidenceMatch> {
        let mut from = 0;
        let of = |&(group, offset, length, kept): &(u16, u64, u32, u32)| {
            let bytes = &self.kept[from..from + kept as usize];
            from += kept as usize;
            let group = rule.groups.get(usize::from(group));
            EvidenceMatch {
                buffer: group.map_or("", |g| g.buffer.name()),
                offset,
                length,
                bytes: bytes.to_vec(),
            }
        };
        self.places.iter().map(of).collect()
    }

    /// Remembers where a group matched in `bytes`, which begin there.
    fn keep(&mut self, n: usize, bytes: &[u8], start: u64) {
        for &(from, to) in &self.matcher.spans {
            let Some(found) = bytes.get(from..to) else {
                continue;
            };
            if self.places.len() >= EVIDENCE_MATCHES_MAX {
                break;
            }
            let first = &found[..found.len().min(EVIDENCE_MATCH_BYTES_MAX)];
            self.kept.extend_from_slice(first);
            let place = start + from as u64;
            self.places
                .push((n as u16, place, found.len() as u32, first.len() as u32));
        }
    }

    fn group(&mut self, c: &Compiled, n: usize, group: &Group, scene: &Scene<'_>) -> Held {
        match group.buffer.info().kind {
            BufferKind::Payload => self.payload(c, n, group, scene),
            BufferKind::PacketHeader => {
                let header = scene.packet.and_then(|h| h.header(group.buffer.name()));
                header.map_or(Held::No, |bytes| self.run(c, n, group, bytes))
            }
            BufferKind::Decoded => {
                let decoded = std::mem::take(&mut self.matcher.decoded);
                std::mem::swap(&mut self.decoded, &mut self.matcher.decoded);
                self.decoded = decoded;
                if self.decoded.is_empty() {
                    return Held::No;
                }
                let bytes = std::mem::take(&mut self.decoded);
                let held = self.run(c, n, group, &bytes);
                self.decoded = bytes;
                held
            }
            BufferKind::Told => Held::No,
            BufferKind::Application | BufferKind::Many => {
                let Some(unit) = scene.unit else {
                    return Held::No;
                };
                self.said(c, n, group, unit)
            }
        }
    }

    /// Whether one of the values of a buffer is as asked.
    fn said(&mut self, c: &Compiled, n: usize, group: &Group, unit: &Unit) -> Held {
        for bytes in unit.values(group.buffer) {
            match self.run(c, n, group, bytes) {
                Held::No => {}
                other => return other,
            }
        }
        match unit.values(group.buffer).next() {
            // more of a body may come
            Some(_) if !grows(group.buffer) && group.buffer.info().kind != BufferKind::Many => {
                Held::No
            }
            _ => lacking(unit),
        }
    }

    fn payload(&mut self, c: &Compiled, n: usize, group: &Group, scene: &Scene<'_>) -> Held {
        match scene.payload {
            // what must not be there is asked of payloads, too
            Payload::None | Payload::Packet([]) => Held::No,
            Payload::Packet(bytes) => self.outcome((n, bytes, 0), |m| m.run(group, bytes)),
            Payload::Stream(chunk) => {
                // places count from the start of the chunk
                let (fresh, start) = (chunk.fresh(), chunk.fresh_start());
                let held = self.outcome((n, fresh, start), |m| m.run(group, fresh));
                if held != Held::No || chunk.known == 0 || c.is_absolute {
                    return held;
                }
                let (bytes, start) = (chunk.bytes, chunk.start);
                let held = self.outcome((n, bytes, start), |m| m.run(group, bytes));
                let spans = &self.matcher.spans;
                let crosses = spans.iter().any(|s| s.0 < chunk.known)
                    && spans.iter().any(|s| s.1 > chunk.known);
                match held {
                    Held::Yes if !crosses => Held::No,
                    other => other,
                }
            }
        }
    }

    fn run(&mut self, c: &Compiled, n: usize, group: &Group, bytes: &[u8]) -> Held {
        let transforms = &c.transforms[n];
        if transforms.is_empty() {
            let held = self.outcome((n, bytes, 0), |m| m.run(group, bytes));
            return self.listed(group, bytes, held);
        }
        let mut scratch = std::mem::take(&mut self.scratch);
        let changed = transforms.apply(bytes, &mut scratch);
        let held = self.outcome((n, changed, 0), |m| m.run(group, changed));
        let held = self.listed(group, changed, held);
        self.scratch = scratch;
        held
    }

    /// Runs a group on bytes, which begin at a place.
    fn outcome(
        &mut self,
        (n, bytes, start): (usize, &[u8], u64),
        run: impl FnOnce(&mut Matcher) -> Outcome,
    ) -> Held {
        match run(&mut self.matcher) {
            Outcome::Matched => {
                self.keep(n, bytes, start);
                Held::Yes
            }
            Outcome::Failed => Held::No,
            Outcome::GivenUp => Held::GivenUp,
        }
    }
}

/// Whether a buffer may be longer later.
fn grows(buffer: Buffer) -> bool {
    const BODIES: [Buffer; 3] = [
        Buffer::named("http.request_body"),
        Buffer::named("http.response_body"),
        Buffer::named("file.data"),
    ];
    BODIES.contains(&buffer)
}
