//! What comes to one destination, and when that is a flood.

use super::super::arena::Held;
use super::super::keyed::Distinct;
use super::super::sighting::{Burst, BurstKind};
use super::super::{Ctx, estimated, reflectors, sampled};
use super::cause::{Cause, RATE};
use super::{Few, grow};
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole, EvidenceFlow, Figure, prefetch};

/// What comes to a destination; what nearly every packet changes comes first.
#[derive(Debug, Default)]
#[repr(C)]
pub(super) struct Victim {
    pub short_began_ms: i64,
    pub long_began_ms: i64,
    pub first_ms: i64,
    pub last_ms: i64,
    pub syns: u64,
    pub completed: u64,
    pub packets: u64,
    pub bytes: u64,
    pub sent: u64,
    /// Of `packets`, those of ICMP.
    pub icmp: u64,
    /// Of `packets`, those that hosts inside send to who collects logs and the like.
    pub collected: u64,
    pub leases: u64,
    /// Within the long window: answers of services, and questions to them.
    pub reflected: u64,
    /// It asked all at once, by multicast or broadcast: whoever answers was asked.
    pub asked_all: bool,
    pub reflected_bytes: u64,
    pub syn_acks: u64,
    pub ports: [(u16, u64); 3],
    pub interval: u32,
    pub told: [Told; CLASSES],
    pub udp_ports: Distinct<4>,
    pub sources: Distinct<16>,
    pub syn_ports: Distinct<2>,
    pub syn_sources: Distinct<16>,
    pub reflectors: Distinct<16>,
    pub asked: Distinct<16>,
    pub acking: Distinct<16>,
    pub opened: Distinct<16>,
    /// Of a network: who is hit.
    pub hosts: Distinct<4>,
    pub some: Few,
    /// The last answer, as a flow.
    answer: (Addr, u16, u16, u32, u32),
}

/// An incident of a class, and what was not added to it yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    handle: Option<Handle>,
    pub fresh: u64,
    /// When it was seen last.
    at_ms: i64,
}

/// What a flood is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Syn,
    Udp,
    SynAck,
    Volume,
    Leases,
}

const CLASSES: usize = 5;

impl Held for Victim {
    fn suspicion(&self) -> u32 {
        let told = self.told.iter().any(|t| t.handle.is_some());
        let mut seen = self.came();
        grow(&mut seen, self.reflected.saturating_add(self.syn_acks));
        if told {
            u32::MAX
        } else {
            seen.min(1 << 30) as u32
        }
    }

    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn is_light(&self) -> bool {
        self.suspicion() < 100
    }
    fn forget(&mut self) {
        self.begin_short();
        self.begin_long();
        (self.short_began_ms, self.long_began_ms) = (0, 0);
        (self.first_ms, self.last_ms) = (0, 0);
        self.told = Default::default();
    }
    fn call(&self) {
        prefetch(&self.short_began_ms);
        prefetch(&self.syns);
        prefetch(&self.ports);
        prefetch(&self.told);
    }
    fn call_weight(&self) {
        prefetch(&self.last_ms);
        prefetch(&self.syns);
        prefetch(&self.syn_acks);
        prefetch(&self.told);
    }
}

impl Victim {
    /// Starts windows anew that are over.
    pub fn begin(&mut self, now_ms: i64, b: &Burst, short_ms: i64) {
        if now_ms.saturating_sub(self.short_began_ms) >= short_ms {
            self.begin_short();
            self.short_began_ms = now_ms;
            (self.first_ms, self.last_ms) = (b.first_ms, b.last_ms);
        }
        if now_ms.saturating_sub(self.long_began_ms) >= LONG_MS {
            self.begin_long();
            self.long_began_ms = now_ms;
        }
        self.first_ms = self.first_ms.min(b.first_ms);
        self.last_ms = self.last_ms.max(b.last_ms);
    }

    /// Forgets what is of the short window.
    fn begin_short(&mut self) {
        (self.syns, self.completed) = (0, 0);
        (self.packets, self.bytes, self.icmp) = (0, 0, 0);
        (self.sent, self.leases, self.interval) = (0, 0, 0);
        self.collected = 0;
        self.udp_ports = Distinct::default();
        self.sources = Distinct::default();
        self.syn_ports = Distinct::default();
        self.syn_sources = Distinct::default();
        self.hosts = Distinct::default();
        self.some.n = 0;
    }

    /// Forgets what is of the long one.
    fn begin_long(&mut self) {
        (self.reflected, self.reflected_bytes, self.syn_acks) = (0, 0, 0);
        self.asked_all = false;
        self.reflectors = Distinct::default();
        self.asked = Distinct::default();
        self.acking = Distinct::default();
        self.opened = Distinct::default();
        self.ports = Default::default();
    }

    /// Counts what comes; `source` is the hash of who sends it.
    pub fn arrives(&mut self, ctx: &Ctx<'_>, b: &Burst, source: u64) {
        let n = u64::from(b.packets);
        let mut fresh = |class: Class| grow(&mut self.told[class as usize].fresh, n);
        match b.kind {
            BurstKind::Completed => {
                grow(&mut self.completed, n);
                return;
            }
            BurstKind::Syn => {
                fresh(Class::Syn);
                grow(&mut self.syns, n);
                self.syn_sources.add(source);
                self.syn_ports.add(ctx.keyed.hash(&b.dst_port));
            }
            BurstKind::SynAck => {
                fresh(Class::SynAck);
                grow(&mut self.syn_acks, n);
                self.acking.add(source);
            }
            BurstKind::Udp | BurstKind::Icmp | BurstKind::Other => {
                fresh(Class::Volume);
                let pings = if b.kind == BurstKind::Icmp { n } else { 0 };
                grow(&mut self.icmp, pings);
                if b.kind == BurstKind::Udp
                    && reflectors::is_one_way(b.dst_port)
                    && ctx.zones.is_inside(&b.src)
                {
                    grow(&mut self.collected, n);
                }
                self.udp_ports.add(ctx.keyed.hash(&b.dst_port));
                grow(&mut self.packets, n);
                grow(&mut self.bytes, b.bytes);
                if b.kind == BurstKind::Udp && b.src_port != 0 {
                    grow(&mut self.told[Class::Udp as usize].fresh, n);
                    grow(&mut self.reflected, n);
                    grow(&mut self.reflected_bytes, b.bytes);
                    self.reflectors.add(ctx.keyed.hash(&(b.src, b.src_port)));
                    self.count_port(b.src_port, n);
                    let bytes = u32::try_from(b.bytes).unwrap_or(u32::MAX);
                    self.answer = (b.src, b.src_port, b.dst_port, bytes, b.packets);
                }
                if b.kind == BurstKind::Udp && b.dst_port == DHCP_SERVER {
                    grow(&mut self.told[Class::Leases as usize].fresh, n);
                    self.leases += 1;
                }
            }
        }
        if self.sources.add(source) {
            self.some.push(b.src);
        }
    }

    /// Counts what it sends.
    pub fn leaves(&mut self, b: &Burst) {
        if b.kind != BurstKind::Syn {
            grow(&mut self.sent, b.packets.into());
        }
    }

    /// The hash of the service that a question goes to.
    pub fn service(ctx: &Ctx<'_>, b: &Burst) -> u64 {
        ctx.keyed.hash(&(b.dst, b.dst_port))
    }

    /// It asked a service, or opened a connection to a host, of this hash.
    pub fn asks(&mut self, what: u64, opens: bool) {
        match opens {
            true => self.opened.add(what),
            false => self.asked.add(what),
        };
    }

    /// The ports that most came from (Misra and Gries, 1982).
    fn count_port(&mut self, port: u16, n: u64) {
        let known = self.ports.iter_mut().find(|p| p.0 == port && p.1 > 0);
        match known {
            Some(p) => grow(&mut p.1, n),
            None => match self.ports.iter_mut().find(|p| p.1 == 0) {
                Some(free) => *free = (port, n),
                None => self
                    .ports
                    .iter_mut()
                    .for_each(|p| p.1 = p.1.saturating_sub(n)),
            },
        }
    }

    /// The port from which most answers came, and how many.
    fn most(&self) -> Option<(u16, u64)> {
        let most = self.ports.iter().max_by_key(|p| (p.1, p.0));
        most.copied().filter(|p| p.1 > 0)
    }

    /// Packets of all kinds that floods are made of.
    pub fn came(&self) -> u64 {
        self.packets.saturating_add(self.syns)
    }

    pub fn seconds(&self) -> f64 {
        (self.last_ms.saturating_sub(self.first_ms) as f64 / 1000.0).max(1.0)
    }

    /// Packets a second that are no TCP.
    pub fn rate(&self) -> f64 {
        self.packets as f64 / self.seconds()
    }

    /// What part of a count is sure, where only one packet in so many was seen: 1 where all were.
    fn sure(&self, counted: u64) -> f64 {
        let interval = u64::from(self.interval);
        if interval <= 1 {
            return 1.0;
        }
        let seen = counted as f64 / interval as f64;
        if seen < SAMPLES_MIN {
            return 0.0;
        }
        1.0 - 2.0 / seen.sqrt()
    }

    /// By how much two counts of hosts may differ by chance: nothing where all packets were seen.
    fn chance(&self, one: u32, other: u32) -> u32 {
        match self.interval {
            0 | 1 => 0,
            _ => (3.0 * (f64::from(one) + f64::from(other)).sqrt()) as u32,
        }
    }

    pub fn fresh_in(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.last_ms) < 5_000
    }

    /// Tells what is a flood; whether one goes on.
    pub fn judge(&mut self, ctx: &mut Ctx<'_>, addr: &Addr, scale: u32) -> bool {
        let s = ctx.settings.flood.clone();
        let half_open = u64::from(s.half_open) * u64::from(scale);
        let sources = self.syn_sources.count();
        let is_scan = sources < MANY_SOURCES && self.syn_ports.count() >= SCANNED_PORTS;
        let part = |counted: u64| counted as f64 * self.sure(counted);
        let opened = part(self.syns) >= half_open as f64;
        let syn = opened && self.completed.saturating_mul(5) < self.syns && !is_scan;
        let alone = |all: u32, own: u32| all.saturating_sub(own + self.chance(all, own));
        let (unasked, udp) = self.is_reflected(s.reflectors, scale > 1);
        let unopened = alone(self.acking.count(), self.opened.count());
        // stray answers come from few hosts, and nobody sends them by mistake
        let syn_ack = unopened >= s.reflectors / 2 && self.syn_acks >= u64::from(s.reflectors);
        let quiet = self.sent.saturating_mul(20) < self.packets;
        let sure = self.sure(self.packets);
        let (rate, many) = (sure * self.rate(), self.sources.count() >= MANY_SOURCES);
        let bytes_rate = sure * self.bytes as f64 / self.seconds();
        // who collects is sent that much all day long
        let others = self.packets.saturating_sub(self.collected);
        let unusual = sure * others as f64 / self.seconds() >= f64::from(s.packets_many_sources);
        let pings = part(self.icmp) / self.seconds() >= f64::from(s.packets_many_sources);
        // a stream goes to one port
        let scattered = self.udp_ports.count() >= SCATTERED && unusual;
        let volume = match () {
            () if quiet && many && unusual => Some(Cause::Sources),
            () if quiet && rate >= f64::from(s.packets) => Some(Cause::Packets),
            () if quiet && bytes_rate >= s.bytes as f64 => Some(Cause::Bytes),
            () if pings => Some(Cause::Pings),
            () if quiet && scattered => Some(Cause::Ports),
            () => None,
        };
        let leases = self.leases >= LEASES;
        // one cause, one incident: what is more exact goes first
        // what services sent who were not asked is theirs, however few they are
        let is_theirs = unasked > 0 && self.reflected.saturating_mul(2) >= self.packets;
        let class = match () {
            () if syn => Class::Syn,
            () if udp.is_some() || volume.is_some() && is_theirs => Class::Udp,
            () if syn_ack => Class::SynAck,
            () if leases => Class::Leases,
            () if volume.is_some() => self.goes_on(Class::Volume),
            () => return false,
        };
        let counts = [f64::from(unasked), f64::from(unopened)];
        self.tell(ctx, *addr, class, (udp.or(volume), counts));
        true
    }

    /// Volume that comes with a flood whose kind is known belongs to that one.
    fn goes_on(&self, class: Class) -> Class {
        let known = [Class::Udp, Class::SynAck];
        let lately = |c: &Class| {
            let told = &self.told[*c as usize];
            told.handle.is_some() && self.last_ms.saturating_sub(told.at_ms) <= GOES_ON_MS
        };
        known.into_iter().find(lately).unwrap_or(class)
    }

    /// How many services answered that were not asked, and by which rule that is a flood.
    pub fn is_reflected(&self, reflectors: u32, in_rows: bool) -> (u32, Option<Cause>) {
        let (answer, asked) = (self.reflectors.count(), self.asked.count());
        if self.asked_all {
            return (0, None);
        }
        let unasked = answer.saturating_sub(asked + self.chance(answer, asked));
        let sure = self.sure(self.reflected);
        let (packets, bytes) = (
            self.reflected as f64 * sure,
            self.reflected_bytes as f64 * sure,
        );
        // where nothing of what it sends was seen, what is as small as a usual answer may be one
        let is_blind = self.sent == 0 && asked == 0;
        let many = unasked >= reflectors
            && packets >= f64::from(2 * reflectors)
            && (!is_blind || bytes >= SMALL_ANSWER * packets);
        // who polls sees large answers of few services, and exporters that tell of what comes in alone do not show that it asked
        let one_way = is_blind && in_rows;
        let strong = !one_way
            && self.most().is_some_and(|(port, n)| {
                reflectors::is_strong(port)
                    && n.saturating_mul(2) >= self.reflected
                    && packets >= STRONG_PACKETS
            });
        let large = bytes >= LARGE_BYTES as f64;
        let cause = match () {
            () if many => Some(Cause::Services),
            () if large && unasked >= FEW_REFLECTORS => Some(Cause::Answers),
            () if large && unasked > 0 && strong => Some(Cause::Strong),
            () if unasked > 0 && bytes >= HUGE_BYTES => Some(Cause::Huge),
            () => None,
        };
        (unasked, cause)
    }

    fn tell(
        &mut self,
        ctx: &mut Ctx<'_>,
        addr: Addr,
        class: Class,
        why: (Option<Cause>, [f64; 2]),
    ) {
        let told = &mut self.told[class as usize];
        let count = std::mem::take(&mut told.fresh);
        told.at_ms = self.last_ms;
        let growth = Growth {
            last_ms: self.last_ms,
            count,
            peer: None,
            peers_total: u64::from(self.sources.count()),
        };
        if let Some(handle) = told.handle
            && ctx.incidents.grow(handle, &growth)
        {
            return;
        }
        let (kind, figures, counterfactual) = self.why(&ctx.settings.flood, class, why);
        let finding = self.finding(ctx, kind, class, addr, figures, counterfactual, count);
        let handle = ctx.incidents.report(ctx.now_ms, finding);
        self.told[class as usize].handle = handle;
        if let Some(handle) = handle
            && class == Class::Udp
        {
            ctx.incidents.show(handle, self.evidence(addr));
        }
    }

    /// The last answer of a service, as evidence.
    fn evidence(&self, addr: Addr) -> EvidenceFlow {
        let (src, src_port, dst_port, bytes, packets) = self.answer;
        EvidenceFlow {
            src,
            dst: addr,
            src_port,
            dst_port,
            proto: 17,
            bytes: bytes.into(),
            packets: packets.into(),
            start_ms: self.last_ms,
            community_id: String::new(),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one finding")]
    fn finding(
        &self,
        ctx: &Ctx<'_>,
        kind: DetectionKind,
        class: Class,
        addr: Addr,
        figures: Vec<Figure>,
        counterfactual: String,
        count: u64,
    ) -> Finding {
        let mut facts = vec![];
        let mut about = format!("on {addr}");
        if class == Class::Udp {
            let port = self.most().map_or(0, |p| p.0);
            let name = reflectors::name(port).unwrap_or("unknown");
            facts.push(("protocol", name.to_owned()));
            facts.push(("source port of most packets", port.to_string()));
            about = format!("{name} on {addr}");
        }
        if class == Class::Leases {
            facts.push(("protocol", "dhcp".to_owned()));
        }
        facts.extend(estimated(self.interval));
        let mut blind = sampled(self.interval);
        if self.sent == 0 && self.asked.count() == 0 {
            blind.push(
                "nothing of what the victim sends was seen, so that its questions are not known"
                    .to_owned(),
            );
        }
        Finding {
            kind,
            detector: match class {
                Class::Syn => "flood.syn",
                Class::Udp => "flood.reflection",
                Class::SynAck => "flood.tcp_reflection",
                Class::Volume => "flood.volume",
                Class::Leases => "flood.dhcp",
            },
            entity: Entity::Host(addr),
            role: EntityRole::Victim,
            severity: None,
            confidence: if blind.is_empty() { 95 } else { 85 },
            about,
            first_ms: self.first_ms.min(ctx.now_ms),
            last_ms: self.last_ms,
            count,
            peers: self.some.to_vec(),
            peers_total: u64::from(self.sources.count()),
            figures,
            facts,
            counterfactual,
            blind,
        }
    }

    pub fn tell_carpet(&mut self, ctx: &mut Ctx<'_>, net: Addr, how_much: Figure) {
        let bits = if net.is_v4() { 24 } else { 48 };
        let told = &mut self.told[Class::Volume as usize];
        let mut count = std::mem::take(&mut told.fresh);
        let syns = std::mem::take(&mut self.told[Class::Syn as usize].fresh);
        grow(&mut count, syns);
        let finding = Finding {
            kind: DetectionKind::CarpetFlood,
            detector: "flood.carpet",
            entity: Entity::Network(net, bits),
            role: EntityRole::Victim,
            severity: None,
            confidence: 80,
            about: format!("{net}/{bits}"),
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            count,
            peers: self.some.to_vec(),
            peers_total: u64::from(self.sources.count()),
            figures: vec![
                how_much,
                Figure {
                    name: "hosts that are hit",
                    observed: f64::from(self.hosts.count()),
                    threshold: Some(f64::from(CARPET_HOSTS)),
                    baseline: None,
                },
            ],
            facts: estimated(self.interval).into_iter().collect(),
            counterfactual: "fewer packets, fewer hosts, or answers of the network".to_owned(),
            blind: sampled(self.interval),
        };
        ctx.incidents.report(ctx.now_ms, finding);
    }
}

/// How fast packets come to a network.
pub(super) fn rate_of_carpet(rate: f64, rate_max: f64) -> Figure {
    Figure {
        name: RATE,
        observed: rate,
        threshold: Some(rate_max),
        baseline: None,
    }
}

/// Of fewer sampled packets nothing is concluded.
const SAMPLES_MIN: f64 = 10.0;
/// The window of answers that nobody asked for.
const LONG_MS: i64 = 60_000;
/// So many ports of few sources are a scan.
const SCANNED_PORTS: u32 = 8;
/// Streams have a port or two: so many are none.
pub(super) const SCATTERED: u32 = 64;
/// So many bytes of so few services are a flood, too.
pub(super) const LARGE_BYTES: u64 = 2_000_000;
pub(super) const FEW_REFLECTORS: u32 = 5;
/// Answers of a service that makes most of a question within a minute.
pub(super) const STRONG_PACKETS: f64 = 1_000.0;
/// After so long volume is another flood.
const GOES_ON_MS: i64 = 300_000;
/// So many within a minute are one of a single service.
pub(super) const HUGE_BYTES: f64 = 20_000_000.0;
/// Bytes of an answer that amplifies nothing.
const SMALL_ANSWER: f64 = 100.0;
/// Clients of DHCP that ask within the window: pools have hundreds, and relays ask for them from one address.
pub(super) const LEASES: u64 = 100;
const DHCP_SERVER: u16 = 67;
/// From so many on, sources are many.
pub(super) const MANY_SOURCES: u32 = 20;
pub(super) const CARPET_HOSTS: u32 = 16;
