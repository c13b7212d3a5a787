//! When what comes to a destination is a flood, what it is made of, and what is told of it.
//!
//! Several floods of one victim at the same time are one incident: of the kind that was found first, or is most exact. Each is named
//! in its facts with its numbers, as a vector.

use super::super::{Ctx, estimated, figure, reflectors, sampled};
use super::cause::Cause;
use super::grow;
use super::half_open::HalfOpen;
use super::told::{CLASSES, Class};
use super::victim::{CARPET_HOSTS, GOES_ON_MS, LEASES, MANY_SOURCES, SCATTERED, Shown, Victim};
use super::wide::Part;
use crate::detect::anomaly::FloodSettings;
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole, EvidenceFlow, Figure};

/// How what came is judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// How many half-open connections count as one of the setting: more than one in rows.
    pub scale: u32,
    /// Nothing shows that what hosts send would be seen at all.
    pub one_way: bool,
    /// So many rows came that also of sampled packets some would have gone back.
    pub of_many: bool,
}

impl How {
    /// Half-open connections that are too many.
    pub fn half_open(self, s: &FloodSettings) -> f64 {
        f64::from(s.half_open) * f64::from(self.scale)
    }
}

/// What is done with a host that is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Told,
    Waits,
}

/// What of a flood holds by now, and by which rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Vector {
    pub class: Class,
    pub cause: Option<Cause>,
    /// Services, or hosts, that answered what was not asked.
    pub unasked: u32,
    pub how: How,
    /// Something may explain it yet.
    pub is_doubtful: bool,
}

impl Victim {
    /// Tells what is a flood, the first of `vectors` before the others. What is new waits some seconds where something may explain it, unless it
    /// `hurries`: rows of a network, or of questions, may come later.
    pub fn judge(
        &mut self,
        ctx: &mut Ctx<'_>,
        addr: &Addr,
        vectors: &[Vector],
        hurries: bool,
    ) -> Verdict {
        let first = vectors[0];
        let goes_on = self.goes_on();
        let is_doubtful = vectors.iter().all(|v| v.is_doubtful);
        if !goes_on && is_doubtful && !hurries && !self.has_waited(ctx.now_ms) {
            return Verdict::Waits;
        }
        self.told.waits_ms = 0;
        let is_new = !goes_on || self.is_more_exact(first.class);
        if is_new || !self.grow_told(ctx, vectors) {
            self.tell(ctx, *addr, first, vectors);
        }
        self.told.at_ms = self.last_ms;
        self.tell_vectors(ctx, addr, vectors);
        Verdict::Told
    }

    /// Whether what comes belongs to an incident that is told.
    pub fn goes_on(&self) -> bool {
        self.told.handle.is_some() && self.last_ms.saturating_sub(self.told.at_ms) <= GOES_ON_MS
    }

    fn has_waited(&mut self, now_ms: i64) -> bool {
        if self.told.waits_ms == 0 {
            self.told.waits_ms = now_ms;
        }
        now_ms.saturating_sub(self.told.waits_ms) >= WAITS_MS
    }

    /// Everything that is a flood by itself, the most exact first.
    pub fn vectors(&self, ctx: &Ctx<'_>, how: How) -> Vec<Vector> {
        let s = &ctx.settings.flood;
        let vector = |class, cause, unasked| Vector {
            class,
            cause,
            unasked,
            how,
            is_doubtful: how.scale > 1,
        };
        let (unasked, udp) = self.is_reflected(s.reflectors, how);
        let (acking, own) = (self.acking.count(), self.opened.count());
        let unopened = acking.saturating_sub(own + self.chance(acking, own));
        // stray answers come from few hosts, and nobody sends them by mistake
        let syn_ack = unopened >= s.reflectors / 2 && self.syn_acks >= u64::from(s.reflectors);
        let volume = self.is_volume(ctx, how);
        // what services sent who were not asked is theirs, however few they are
        let is_theirs = unasked > 0 && self.is_mostly_reflected();
        let mut all = vec![];
        if let Some(half_open) = self.is_half_open(s, how) {
            all.push(Vector {
                is_doubtful: how.scale > 1 || half_open == HalfOpen::Likely,
                ..vector(Class::Syn, None, 0)
            });
        }
        if udp.is_some() || volume.is_some() && is_theirs {
            all.push(vector(Class::Udp, udp.or(volume), unasked));
        }
        if syn_ack {
            all.push(vector(Class::SynAck, None, unopened));
        }
        if self.leases >= LEASES {
            all.push(vector(Class::Leases, None, 0));
        }
        if self.is_of_segments(s.packets_many_sources, how) {
            all.push(vector(Class::Segments, None, 0));
        }
        let is_own = match (udp, volume) {
            (_, None) => false,
            // what comes beside the answers
            (Some(_), _) => self.is_more_than_answers(s.packets_many_sources),
            _ => !is_theirs && self.leases < LEASES,
        };
        if is_own {
            all.push(vector(Class::Volume, volume, 0));
        }
        all
    }

    /// By which rule packets that are no TCP are too many.
    fn is_volume(&self, ctx: &Ctx<'_>, how: How) -> Option<Cause> {
        let s = &ctx.settings.flood;
        let quiet = self.sent.saturating_mul(20) < self.packets;
        // where answers would not be seen, what is less than very much may be answered
        let is_blind = self.sent == 0 && self.is_one_way(how) && !self.is_of_invented();
        let sure = self.sure(self.packets);
        let (rate, many) = (sure * self.rate(), self.sources.count() >= MANY_SOURCES);
        let bytes_rate = sure * self.bytes as f64 / self.seconds();
        // who collects is sent that much all day long
        let others = self.packets.saturating_sub(self.collected);
        let unusual = sure * others as f64 / self.seconds() >= f64::from(s.packets_many_sources);
        let pings = self.part(self.icmp) / self.seconds() >= f64::from(s.packets_many_sources);
        // a stream goes to one port
        let scattered = self.udp_ports.count() >= SCATTERED && unusual && !is_blind;
        match () {
            () if quiet && many && unusual && !is_blind => Some(Cause::Sources),
            () if quiet && rate >= f64::from(s.packets) => Some(Cause::Packets),
            () if quiet && bytes_rate >= s.bytes as f64 => Some(Cause::Bytes),
            () if pings => Some(Cause::Pings),
            () if quiet && scattered => Some(Cause::Ports),
            () => None,
        }
    }

    /// Whether what it sends would not be seen. Of few samples nobody can say.
    pub fn is_one_way(&self, how: How) -> bool {
        how.one_way && (self.interval <= 1 || how.of_many)
    }

    /// Whether what came is like what invented sources send: rows of few packets, of no service and without data, by very many of them.
    pub fn is_of_invented(&self) -> bool {
        self.interval <= 1
            && self.sources.count() >= VERY_MANY_SOURCES
            && self.lone.saturating_mul(10) >= self.came().saturating_mul(9)
    }

    /// Whether what is no answer of a service would be a flood of many sources alone.
    fn is_more_than_answers(&self, rate_max: u32) -> bool {
        let rest = self
            .packets
            .saturating_sub(self.answers.max(self.collected));
        self.sent.saturating_mul(20) < rest
            && self.sources.count() >= MANY_SOURCES
            && self.part(rest) / self.seconds() >= f64::from(rate_max)
    }

    fn is_mostly_reflected(&self) -> bool {
        self.reflected.saturating_mul(2) >= self.packets
    }

    /// What of a count is sure.
    pub fn part(&self, counted: u64) -> f64 {
        counted as f64 * self.sure(counted)
    }

    /// Whether what is told as volume is known by now to be answers of services.
    fn is_more_exact(&self, class: Class) -> bool {
        let plain = matches!(self.told.class, Class::Volume | Class::Segments);
        plain && class == Class::Udp && self.is_mostly_reflected()
    }

    /// What was not added to the incident yet, of all that belongs to it.
    fn take_fresh(&mut self, first: Class, vectors: &[Vector]) -> u64 {
        let has = |class| vectors.iter().any(|v| v.class == class) || first == class;
        let (udp, volume) = (has(Class::Udp), has(Class::Volume));
        let mut count = 0;
        for (at, fresh) in self.told.fresh.iter_mut().enumerate() {
            // of packets that are no TCP answers and leases are a part
            let is_part = volume && (at == Class::Udp as usize || at == Class::Leases as usize);
            let counts = first as usize == at || vectors.iter().any(|v| v.class as usize == at);
            if counts || is_part || udp && at == Class::Volume as usize {
                let fresh = std::mem::take(fresh);
                if counts && !is_part {
                    grow(&mut count, fresh);
                }
            }
        }
        count
    }

    /// Adds to the incident that is open; whether it still is.
    fn grow_told(&mut self, ctx: &mut Ctx<'_>, vectors: &[Vector]) -> bool {
        let Some(handle) = self.told.handle else {
            return false;
        };
        let count = self.take_fresh(self.told.class, vectors);
        let growth = Growth {
            last_ms: self.last_ms,
            count,
            peer: None,
            peers_total: u64::from(self.sources.count()),
        };
        let grown = ctx.incidents.grow(handle, &growth);
        if !grown {
            // it is over: what was counted belongs to the next one
            grow(&mut self.told.fresh[vectors[0].class as usize], count);
        }
        grown
    }

    fn tell(&mut self, ctx: &mut Ctx<'_>, addr: Addr, first: Vector, vectors: &[Vector]) {
        let count = self.take_fresh(first.class, vectors);
        let (kind, figures, counterfactual) = self.why(&ctx.settings.flood, &first);
        let finding = self.finding(ctx, kind, &first, addr, (figures, counterfactual, count));
        let handle = ctx.incidents.report(ctx.now_ms, finding);
        if handle != self.told.handle {
            // of what it was called before nothing is left
            self.told.classes = 0;
            self.told.most = [0.0; CLASSES];
        }
        (self.told.handle, self.told.class) = (handle, first.class);
    }

    /// Where an incident has several vectors, each is a fact, and its figures are among those of the incident.
    fn tell_vectors(&mut self, ctx: &mut Ctx<'_>, addr: &Addr, vectors: &[Vector]) {
        let Some(handle) = self.told.handle else {
            return;
        };
        let known = self.told.classes;
        for v in vectors {
            self.told.classes |= 1 << v.class as u8;
        }
        if known != self.told.classes {
            self.show(ctx, handle, addr);
        }
        if self.told.classes.count_ones() < 2 {
            return;
        }
        for v in vectors {
            let (_, figures, _) = self.why(&ctx.settings.flood, v);
            let most = figures.first().map_or(0.0, |f| f.observed as f32);
            let told = &mut self.told.most[v.class as usize];
            if most <= *told * GROWN {
                continue;
            }
            *told = most;
            let numbers = figures
                .iter()
                .map(|f| format!("{} {}", rounded(f.observed), f.name));
            let numbers: Vec<String> = numbers.collect();
            ctx.incidents
                .fact(handle, v.class.vector(), numbers.join(", "));
            if v.class != self.told.class {
                ctx.incidents.add_figures(handle, figures);
            }
        }
        if known != self.told.classes {
            let all = Class::ALL.iter().filter(|c| self.told.has(**c));
            let names: Vec<String> = all.map(|c| self.name(*c)).collect();
            let about = format!("on {addr}, by {}", names.join(", "));
            ctx.incidents.call(handle, &about);
            ctx.incidents.fact(handle, "vectors", names.join(", "));
        }
    }

    /// What a class is called in a title.
    fn name(&self, class: Class) -> String {
        match class {
            Class::Syn => "SYN".to_owned(),
            Class::Udp => format!("{} reflection", self.protocols()),
            Class::SynAck => "SYN-ACK".to_owned(),
            Class::Leases => "DHCP".to_owned(),
            Class::Segments => format!("{} segments", self.kinds_of_segments()),
            Class::Volume => "volume".to_owned(),
        }
    }

    /// The protocols of a tenth of the answers and more, those with most first.
    fn protocols(&self) -> String {
        let mut ports: Vec<(u16, u64)> = self.ports.to_vec();
        ports.sort_by_key(|p| (std::cmp::Reverse(p.1), p.0));
        let all = ports.iter().map(|p| p.1).fold(0, u64::saturating_add);
        let names = ports.iter().filter(|p| p.1 > 0 && p.1 >= all / 10);
        let names: Vec<&str> = names.filter_map(|p| reflectors::name(p.0)).collect();
        match names.is_empty() {
            true => self.protocol().to_owned(),
            false => names.join(", "),
        }
    }

    /// The protocol of most answers.
    fn protocol(&self) -> &'static str {
        let port = self.most().map_or(0, |p| p.0);
        reflectors::name(port).unwrap_or("unknown")
    }

    /// Shows the largest flows that are known of what belongs to the incident.
    fn show(&self, ctx: &mut Ctx<'_>, handle: Handle, addr: &Addr) {
        let (udp, leases) = (self.told.has(Class::Udp), self.told.has(Class::Leases));
        let belongs =
            |class: Class| self.told.has(class) || class == Class::Volume && (udp || leases);
        let top = self.top.iter();
        let mut top: Vec<&Shown> = top.filter(|s| s.bytes > 0 && belongs(s.class)).collect();
        top.sort_by_key(|s| (std::cmp::Reverse(s.bytes), s.src, s.src_port));
        for s in top {
            let flow = EvidenceFlow {
                src: s.src,
                dst: *addr,
                src_port: s.src_port,
                dst_port: s.dst_port,
                proto: s.proto,
                bytes: s.bytes,
                packets: s.packets,
                start_ms: s.start_ms,
                community_id: String::new(),
            };
            ctx.incidents.show(handle, flow);
        }
    }

    fn finding(
        &self,
        ctx: &Ctx<'_>,
        kind: DetectionKind,
        first: &Vector,
        addr: Addr,
        (figures, counterfactual, count): (Vec<Figure>, String, u64),
    ) -> Finding {
        let class = first.class;
        let mut facts = vec![];
        let mut about = format!("on {addr}");
        match class {
            Class::Udp => {
                let port = self.most().map_or(0, |p| p.0);
                facts.push(("protocol", self.protocol().to_owned()));
                facts.push(("source port of most packets", port.to_string()));
                about = format!("{} on {addr}", self.protocols());
            }
            Class::Leases => facts.push(("protocol", "dhcp".to_owned())),
            Class::Segments => {
                facts.push(("protocol", "tcp".to_owned()));
                facts.push(("segments", self.segment().to_owned()));
                about = format!("{} on {addr}", self.name(class));
            }
            _ => {}
        }
        facts.extend(estimated(self.interval));
        facts.push(("peers_total", PEERS_ESTIMATED.to_owned()));
        let mut blind = sampled(self.interval);
        if self.is_mute() {
            blind.push(MUTE.to_owned());
        }
        if self.is_one_way(first.how) {
            blind.push(ONE_WAY.to_owned());
        }
        Finding {
            kind,
            detector: class.detector(),
            entity: Entity::Host(addr),
            role: EntityRole::Victim,
            severity: None,
            confidence: if blind.is_empty() { 95 } else { 85 },
            about,
            first_ms: self.rose_ms().min(ctx.now_ms),
            last_ms: self.last_ms,
            count,
            peers: self.named().to_vec(),
            peers_total: u64::from(self.sources.count()),
            figures,
            facts,
            counterfactual,
            blind,
        }
    }

    /// Tells a flood of a network; `how_much` is what decided, and `facts` what else is known.
    pub fn tell_carpet(&mut self, ctx: &mut Ctx<'_>, of: Part, mut figures: Vec<Figure>) {
        let (net, first) = (of.net, of.first);
        let bits = if net.is_v4() { 24 } else { 48 };
        let mut count = 0;
        for class in [Class::Volume, Class::Syn, Class::Segments] {
            let fresh = std::mem::take(&mut self.told.fresh[class as usize]);
            grow(&mut count, fresh);
        }
        figures.push(Figure {
            name: "hosts that are hit".into(),
            observed: f64::from(self.hosts_hit()),
            threshold: Some(f64::from(CARPET_HOSTS)),
            baseline: None,
        });
        let more = [("peers_total", PEERS_ESTIMATED.to_owned())];
        let mut facts: Vec<_> = estimated(self.interval).into_iter().chain(more).collect();
        if net != first {
            figures.push(figure("networks that are hit", of.networks as f64, None));
            facts.push(("networks", format!("{net}/{bits}")));
        }
        let finding = Finding {
            kind: DetectionKind::CarpetFlood,
            detector: "flood.carpet",
            entity: Entity::Network(first, bits),
            role: EntityRole::Victim,
            severity: None,
            confidence: 80,
            about: format!("{first}/{bits}"),
            first_ms: self.rose_ms(),
            last_ms: self.last_ms,
            count,
            peers: self.named().to_vec(),
            peers_total: u64::from(self.sources.count()),
            figures,
            facts,
            counterfactual: "fewer packets, fewer hosts, or answers of the network".to_owned(),
            blind: sampled(self.interval),
        };
        self.told.handle = ctx.incidents.report(ctx.now_ms, finding);
    }

    /// Adds the sources of a host of this network, and the time in which it was hit.
    pub(super) fn gather(&mut self, host: &Victim) {
        self.first_ms = self.first_ms.min(host.first_ms);
        self.last_ms = self.last_ms.max(host.last_ms);
        self.interval = self.interval.max(host.interval);
        self.sources.join(&host.sources);
        self.spans.join(&host.spans);
        self.reflect_on(host);
        for addr in host.named() {
            if !self.named().contains(addr) {
                self.meet(*addr);
            }
        }
    }
}

impl Class {
    pub const ALL: [Class; CLASSES] = [
        Class::Syn,
        Class::Udp,
        Class::SynAck,
        Class::Leases,
        Class::Segments,
        Class::Volume,
    ];

    /// The fact that has its numbers.
    fn vector(self) -> &'static str {
        match self {
            Class::Syn => "vector SYN",
            Class::Udp => "vector reflection over UDP",
            Class::SynAck => "vector SYN-ACK",
            Class::Leases => "vector DHCP",
            Class::Segments => "vector segments of TCP",
            Class::Volume => "vector volume",
        }
    }

    fn detector(self) -> &'static str {
        match self {
            Class::Syn => "flood.syn",
            Class::Udp => "flood.reflection",
            Class::SynAck => "flood.tcp_reflection",
            Class::Leases => "flood.dhcp",
            Class::Segments => "flood.segments",
            Class::Volume => "flood.volume",
        }
    }
}

/// A number as people read it.
fn rounded(n: f64) -> String {
    match n.abs() < 10.0 && n.fract() != 0.0 {
        true => format!("{n:.1}"),
        false => format!("{n:.0}"),
    }
}

const MUTE: &str = "no answer, connection or question of the victim was seen in the window: whether it answers or asked is not known";
const ONE_WAY: &str = "rows tell of what comes in alone: what hosts answer and ask is not known";
/// What is new waits for so long where something may explain it.
const WAITS_MS: i64 = 5_000;
/// From so many on, sources are as many as invented ones.
const VERY_MANY_SOURCES: u32 = 256;
/// The numbers of a vector are written down anew once they are so many times larger.
const GROWN: f32 = 1.25;
pub(super) const PEERS_ESTIMATED: &str =
    "an estimate, of the window with most: within 5 percent up to 1,000, within 13 percent beyond";
