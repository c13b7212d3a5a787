//! One conversation: who speaks, and what they say when.

use super::frame::{TCP, UDP};
use super::hello;
use crate::generate::traffic::{client_address, pick, server_address};
use crate::generate::{Random, SERVICES, Service};
use crate::model::Addr;
use std::collections::VecDeque;

/// A conversation under way.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    pub client: Addr,
    pub server: Addr,
    pub client_port: u16,
    pub server_port: u16,
    pub protocol: u8,
    pub dscp: u8,
    pub service: Named,
    pub steps: VecDeque<Step>,
    pub told: Told,
}

/// The application; the first one where nothing is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named(&'static Service);

/// What the truth takes of a conversation as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    pub directions: u8,
    pub retransmits: u64,
    pub refused: u64,
    pub rtp_lost: u64,
    pub dns_answers: u64,
}

/// One packet.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub at_ns: i64,
    pub from_client: bool,
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    pub content: Content,
    pub is_lost: bool,
}

/// What a packet carries behind its transport header.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Bytes(usize),
    Text(Vec<u8>),
    Rtp {
        kind: u8,
        number: u16,
        stamp: u32,
        source: u32,
        bytes: usize,
    },
}

impl Default for Named {
    fn default() -> Self {
        Named(&SERVICES[0])
    }
}

impl std::ops::Deref for Named {
    type Target = Service;

    fn deref(&self) -> &Service {
        self.0
    }
}

impl Conversation {
    /// Draws a conversation that begins at a time; `number` is its own, so that no two have the same ends and ports.
    pub fn draw(random: &mut Random, number: u64, v6: bool, at_ns: i64) -> Conversation {
        let service = pick(random);
        let (client, server) = (random.bits(), random.zipf(4_096, 1.1));
        let mut c = Conversation {
            client: client_address(client, v6),
            server: server_address(crate::generate::random::mix(server), v6),
            client_port: 1_024 + (number % 64_000) as u16,
            server_port: service.port,
            protocol: match (service.protocol, v6) {
                (1, true) => 58,
                (protocol, _) => protocol,
            },
            dscp: service.dscp,
            service: Named(service),
            ..Conversation::default()
        };
        let mut script = Script {
            random,
            steps: vec![],
            told: Told {
                directions: 2,
                ..Told::default()
            },
            at_ns,
        };
        match (c.protocol, service.name) {
            (TCP, _) => script.tcp(service),
            (UDP, "dns") => script.dns(),
            (UDP, "rtp-audio" | "ms-teams-video") => c.dscp = script.call(service),
            (UDP, _) => script.questions(service, 1, 20),
            _ => script.questions(service, 1, 5),
        }
        script.steps.sort_by_key(|s| s.at_ns);
        c.told = script.told;
        c.steps = script.steps.into();
        c
    }

    /// When its next packet is due.
    pub fn next_ns(&self) -> Option<i64> {
        self.steps.front().map(|s| s.at_ns)
    }
}

/// A conversation that is being written.
struct Script<'a> {
    random: &'a mut Random,
    steps: Vec<Step>,
    told: Told,
    at_ns: i64,
}

impl Script<'_> {
    fn say(&mut self, from_client: bool, content: Content) -> &mut Step {
        let at_ns = self.at_ns;
        self.steps.push(Step {
            at_ns,
            from_client,
            flags: 0,
            seq: 0,
            ack: 0,
            content,
            is_lost: false,
        });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    fn wait_us(&mut self, low: u64, high: u64) {
        self.at_ns += self.random.between(low, high) as i64 * 1_000;
    }

    /// A connection: handshake, a request, answers, the end; or a refusal.
    fn tcp(&mut self, service: &Service) {
        let mut ends = [self.random.bits() as u32, self.random.bits() as u32];
        let (near_us, far_us) = (
            self.random.between(200, 3_000),
            self.random.between(1_000, 60_000),
        );
        self.segment(&mut ends, true, SYN, Content::Bytes(0));
        self.wait_us(far_us, far_us + 200);
        if self.random.chance(2) {
            self.segment(&mut ends, false, RST | ACK, Content::Bytes(0));
            self.told.refused += 1;
            return;
        }
        self.segment(&mut ends, false, SYN | ACK, Content::Bytes(0));
        self.wait_us(near_us, near_us + 100);
        self.segment(&mut ends, true, ACK, Content::Bytes(0));
        let rounds = self.random.between(1, 4);
        for round in 0..rounds {
            self.wait_us(100, 5_000);
            let (up, down) = service.packet_bytes;
            let first = round == 0;
            let content = match service.port {
                443 if first && !service.host.is_empty() => {
                    Content::Text(hello::client_hello(service.host, self.random.bits()))
                }
                80 if first => Content::Text(hello::request(service.host)),
                _ => Content::Bytes(usize::from(up.saturating_sub(40).max(1))),
            };
            self.segment(&mut ends, true, PSH | ACK, content);
            self.wait_us(far_us, far_us + 20_000);
            let answers = (self.random.unit().powf(-0.7) as u64).clamp(1, 60);
            for n in 0..answers {
                let bytes = usize::from(down.saturating_sub(40).clamp(1, 1_400));
                let before = ends;
                self.segment(&mut ends, false, PSH | ACK, Content::Bytes(bytes));
                if self.random.chance(1) {
                    self.again(before, bytes);
                }
                self.wait_us(20, 400);
                if n % 2 == 1 || n + 1 == answers {
                    self.wait_us(near_us, near_us + 50);
                    self.segment(&mut ends, true, ACK, Content::Bytes(0));
                }
            }
        }
        self.wait_us(1_000, 50_000);
        self.segment(&mut ends, true, FIN | ACK, Content::Bytes(0));
        self.wait_us(far_us, far_us + 200);
        self.segment(&mut ends, false, FIN | ACK, Content::Bytes(0));
        self.wait_us(near_us, near_us + 100);
        self.segment(&mut ends, true, ACK, Content::Bytes(0));
    }

    /// A segment at the ends of both directions, which it moves.
    fn segment(&mut self, ends: &mut [u32; 2], from_client: bool, flags: u8, content: Content) {
        let length = match &content {
            Content::Bytes(n) => *n,
            Content::Text(text) => text.len(),
            Content::Rtp { .. } => 0,
        };
        let (own, other) = if from_client { (0, 1) } else { (1, 0) };
        let (seq, ack) = (ends[own], ends[other]);
        let takes = length as u32 + u32::from(flags & (SYN | FIN) != 0);
        ends[own] = ends[own].wrapping_add(takes);
        let step = self.say(from_client, content);
        (step.flags, step.seq) = (flags, seq);
        step.ack = if flags & ACK != 0 { ack } else { 0 };
    }

    /// A segment that the server sends again, because the first one was lost behind the sensor.
    fn again(&mut self, mut ends: [u32; 2], bytes: usize) {
        self.wait_us(200_000, 300_000);
        self.segment(&mut ends, false, PSH | ACK, Content::Bytes(bytes));
        self.told.retransmits += 1;
    }

    fn dns(&mut self) {
        let hosts: Vec<&str> = SERVICES
            .iter()
            .map(|s| s.host)
            .filter(|h| !h.is_empty())
            .collect();
        let host = hosts[self.random.below(hosts.len() as u64) as usize];
        let id = self.random.bits() as u16;
        self.say(true, Content::Text(hello::name_message(host, id, false)));
        self.wait_us(300, 40_000);
        self.say(false, Content::Text(hello::name_message(host, id, true)));
        self.told.dns_answers += 1;
    }

    /// A call of some seconds in both directions; gives its DSCP. One in five is not marked, and suffers.
    fn call(&mut self, service: &Service) -> u8 {
        let marked = !self.random.chance(20);
        let (loss_permille, jitter_us) = if marked { (1, 1_500) } else { (30, 25_000) };
        let (kind, bytes, step_us, ticks) = match service.dscp {
            46 => (0, 160, 20_000, 160),
            _ => (96, 900, 33_000, 2_970),
        };
        let packets = self.random.between(100, 400);
        let (began, first) = (self.at_ns, self.random.bits());
        for from_client in [true, false] {
            let source = (first >> 32) as u32 ^ u32::from(from_client);
            let mut late_ns = 0;
            for n in 0..packets {
                let wanted = began + n as i64 * step_us * 1_000;
                // packets of a direction stay in order
                late_ns =
                    (wanted + self.random.below(jitter_us) as i64 * 1_000).max(late_ns + 1_000);
                self.at_ns = late_ns;
                // the first and the last tell how many there were
                let between = n > 0 && n + 1 < packets;
                let is_lost = between && self.random.below(1_000) < loss_permille;
                self.told.rtp_lost += u64::from(is_lost);
                self.say(
                    from_client,
                    Content::Rtp {
                        kind,
                        number: (first as u16).wrapping_add(n as u16),
                        stamp: (first >> 16) as u32 + n as u32 * ticks,
                        source,
                        bytes,
                    },
                )
                .is_lost = is_lost;
            }
        }
        if marked { service.dscp } else { 0 }
    }

    /// Some questions and their answers.
    fn questions(&mut self, service: &Service, least: u64, most: u64) {
        let (up, down) = service.packet_bytes;
        let bytes = |n: u16| usize::from(n.saturating_sub(28).max(8));
        for n in 0..self.random.between(least, most) {
            self.say(true, Content::Bytes(bytes(up))).seq = n as u32;
            self.wait_us(500, 60_000);
            self.say(false, Content::Bytes(bytes(down))).seq = n as u32;
            self.wait_us(10_000, 500_000);
        }
    }
}

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PSH: u8 = 8;
const ACK: u8 = 16;
