//! Scans and sweeps: a source whose first contacts fail.
//!
//! A sequential test (Jung, Paxson, Berger and Balakrishnan, 2004: "threshold random walk", with their probabilities of success of
//! 0.8 and 0.2 and their error rates of 0.01) says whether a source guesses; how many ports of a host, or hosts of a port, say
//! what it does. The start values of the counts are those of Snort's medium profile and of bro-simple-scan, lowered to what
//! short captures of scans have; a contact counts once however often it is tried.
//!
//! Of a source little is kept until four contacts failed, then it has a place in a smaller table.

mod contact;
mod crowd;
mod found;
mod kept;
mod slot;
mod wait;

use super::arena::{Arena, Held};
use super::keyed::{Counted, Distinct, Keyed, both};
use super::named::Named;
use super::sighting::FlowSeen;
use super::{Ctx, Hashes, evidence};
use crate::detect::incident::{Finding, Growth, Handle, PEERS};
use crate::model::{Addr, DetectionKind, Entity, EntityRole, Severity, prefetch};
pub(super) use contact::{Contact, may_be_first};
use contact::{ICMP, SCTP, TCP, UDP};
use crowd::Crowds;
use found::{Found, HOSTS, PORTS, SIGNALLING, wanted};
use slot::{Slots, share};

#[derive(Debug)]
pub(super) struct Scan {
    sources: Arena<Addr, Source>,
    details: Arena<Addr, Detail>,
    crowds: Crowds,
    /// Exporters that tell flags of TCP.
    flags: Distinct<16>,
}

/// Any source; what every contact changes comes first.
#[derive(Debug, Default)]
#[repr(C)]
struct Source {
    last_ms: i64,
    failed: u32,
    walk: f32,
    tried: Counted<4>,
    worked: Distinct<2>,
    early: [(Addr, Contact, i64); EARLY],
}

/// A source that guesses.
#[derive(Debug, Default)]
struct Detail {
    first_ms: i64,
    last_ms: i64,
    contacts: u32,
    hosts: Slots<Addr>,
    ports: Slots<(u8, u16)>,
    all_hosts: Counted<16>,
    /// The first hosts, before it is told.
    named: Named<64>,
    /// Ports, and ports of hosts, of TCP that failed, whatever is in the slots.
    tcp_hosts: Counted<8>,
    tcp_ports: Counted<2>,
    tcp: Counted<16>,
    /// Of TCP, what worked.
    tcp_worked: Counted<2>,
    handle: Option<Handle>,
    /// The incident is that of another source.
    takes_part: bool,
}

const EARLY: usize = 3;
/// Who is answered by so many asks many.
const MANY_ASKED: u32 = 8;

impl Held for Source {
    fn suspicion(&self) -> u32 {
        self.failed
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn call(&self) {
        prefetch(&self.last_ms);
        prefetch(&self.worked);
    }
    fn call_weight(&self) {
        prefetch(&self.last_ms);
    }
}

impl Held for Detail {
    fn suspicion(&self) -> u32 {
        if self.handle.is_some() {
            u32::MAX
        } else {
            self.contacts
        }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn call(&self) {
        prefetch(&self.last_ms);
        prefetch(&self.contacts);
        self.hosts.call();
        self.ports.call();
    }
}

impl Scan {
    pub fn new(places: usize) -> Self {
        Scan {
            sources: Arena::with_door(places),
            details: Arena::new(places / 16),
            crowds: Crowds::new(places / 64),
            flags: Distinct::default(),
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<Addr, Source>::bytes(places)
            + Arena::<Addr, Detail>::bytes(places / 16)
            + places / 16 * Named::<64>::BYTES
            + Crowds::bytes(places / 64)
    }

    pub fn lost(&self) -> (u64, u64) {
        let all = [self.sources.lost(), self.details.lost(), self.crowds.lost()];
        all.iter().fold((0, 0), |s, l| (s.0 + l.0, s.1 + l.1))
    }

    /// Keys that had no place, for they came once.
    pub fn turned_away(&self) -> u64 {
        self.sources.turned_away()
    }

    pub fn clear(&mut self) {
        self.sources.clear();
        self.details.clear();
        self.crowds.clear();
        self.flags = Distinct::default();
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        self.sources.put(out);
        self.details.put(out);
    }

    pub fn get(&mut self, keyed: &Keyed, from: &mut &[u8]) -> Option<()> {
        self.sources.get(keyed, from)?;
        self.details.get(keyed, from)
    }

    /// Calls for what a source will need, first for where it is, then for itself.
    #[inline]
    pub fn call(&self, h: Hashes, found: bool) {
        match found {
            false => {
                self.sources.call_again(h.src);
                self.details.call(h.src);
            }
            true => {
                self.sources.call_held_again(h.src);
                self.details.call_held(h.src);
            }
        }
    }

    /// Takes a first contact of which it is known whether it failed: whether it did, and had been tried before.
    pub fn contact(
        &mut self,
        ctx: &mut Ctx<'_>,
        (f, h): (&FlowSeen, Hashes),
        contact: Contact,
    ) -> bool {
        let memory_ms = i64::from(ctx.settings.scan.memory_s) * 1000;
        let port = ctx.keyed.number(contact.key());
        let hash = both(h.dst, port, 0);
        if !contact.failed {
            self.worked(ctx, f, contact, (hash, h));
            return false;
        }
        let Some(source) = self.sources.entry_again_at(ctx.keyed, h.src, &f.src) else {
            return false;
        };
        if ctx.now_ms.saturating_sub(source.last_ms) > memory_ms {
            *source = Source::default();
        }
        source.last_ms = ctx.now_ms;
        let n = source.failed as usize;
        // full: what is new is told by the larger table alone
        let is_fresh = source.tried.add(hash);
        let again = !is_fresh && contact.proto != ICMP;
        if is_fresh || source.tried.is_nearly_full() && source.tried.count() > TRIED_FULL {
            source.walk = (source.walk + STEP).min(WALK_MAX);
            source.failed = source.failed.saturating_add(1);
            if n < EARLY {
                source.early[n] = (f.dst, contact, f.start_ms);
            }
        }
        if n < EARLY {
            return again;
        }
        let (walk, early) = (source.walk, &source.early);
        let Some(detail) = self.details.entry_at(ctx.keyed, h.src, &f.src) else {
            return again;
        };
        let silent_ms = ctx.now_ms.saturating_sub(detail.last_ms);
        if detail.contacts > 0 && silent_ms > memory_ms {
            detail.forget();
        }
        // nothing is known of it, or nothing any more
        if detail.contacts == 0 {
            detail.first_ms = early[0].2;
            for (dst, c, at) in early {
                detail.add(ctx, (*dst, ctx.keyed.addr(dst)), c, *at);
            }
        }
        let is_fresh = detail.add(ctx, (f.dst, h.dst), &contact, f.start_ms);
        let known = detail.handle.take();
        if known.is_some_and(|handle| detail.grow(ctx, handle, (f, &contact), is_fresh)) {
            detail.handle = known;
            return again;
        }
        detail.takes_part = false;
        if (is_fresh || known.is_some()) && walk >= ACCEPTED {
            detail.judge(ctx, (f, &contact), &mut self.crowds);
        }
        again
    }

    /// A first contact that worked speaks for the source.
    fn worked(
        &mut self,
        ctx: &mut Ctx<'_>,
        f: &FlowSeen,
        contact: Contact,
        (hash, h): (u64, Hashes),
    ) {
        // of who asks many, what is answered before the first failure counts as well: half of all phones may be off
        let asks_many = !f.metered && contact.proto != TCP;
        let source = match asks_many {
            true => self.sources.entry_again_at(ctx.keyed, h.src, &f.src),
            // whoever never failed needs no place
            false => self.sources.find_at(h.src, &f.src),
        };
        let Some(source) = source else {
            return;
        };
        if source.worked.add(hash) {
            source.walk = (source.walk - STEP).max(-WALK_MAX);
        }
        if asks_many {
            if source.failed == 0 {
                source.last_ms = ctx.now_ms;
            }
            if source.worked.count() >= MANY_ASKED {
                self.begin_answered(ctx, f, contact, h);
            }
        }
        if let Some(detail) = self.details.find_at(h.src, &f.src) {
            let (host, port) = (h.dst, ctx.keyed.number(contact.key()));
            if f.proto == TCP {
                detail.tcp_worked.add(hash);
            }
            if let Some(slot) = detail.hosts.find_mut(f.dst) {
                slot.worked.add(port);
            }
            if let Some(slot) = detail.ports.find_mut((contact.proto, contact.port)) {
                slot.worked.add(host);
            }
        }
    }
}

impl Detail {
    /// Adds a contact that failed, of a host with its hash; false where its host and port were there.
    fn add(&mut self, ctx: &Ctx<'_>, (dst, host): (Addr, u64), c: &Contact, at_ms: i64) -> bool {
        self.last_ms = ctx.now_ms;
        self.contacts = self.contacts.saturating_add(1);
        self.first_ms = self.first_ms.min(at_ms);
        let key = (c.proto, c.port);
        let port = ctx.keyed.number(c.key());
        let is_new = self.all_hosts.add(host);
        let by_host = self.hosts.add(dst, port, at_ms);
        let by_host = by_host.is_some_and(|(slot, fresh)| {
            slot.served += u32::from(fresh && c.port < SERVED && !c.tries);
            fresh
        });
        let of_hosts = !c.ports_only;
        let by_port = of_hosts
            && self
                .ports
                .add(key, host, at_ms)
                .is_some_and(|(_, fresh)| fresh);
        let is_tcp = c.proto == TCP && of_hosts;
        if is_tcp {
            self.tcp_hosts.add(host);
            self.tcp_ports.add(port);
        }
        let by_both = is_tcp && self.tcp.add(both(host, port, 0));
        let is_fresh = by_host || by_port || by_both;
        if (is_new || is_fresh) && self.handle.is_none() {
            self.named.add(dst);
        }
        is_fresh
    }

    /// Adds a contact to its incident; false where that is over.
    fn grow(
        &self,
        ctx: &mut Ctx<'_>,
        handle: Handle,
        (f, c): (&FlowSeen, &Contact),
        is_fresh: bool,
    ) -> bool {
        let hosts = self.all_hosts.count();
        let growth = Growth {
            last_ms: f.end_ms,
            count: 1,
            peer: Some(f.dst),
            peers_total: u64::from(hosts),
        };
        if !ctx.incidents.grow(handle, &growth) {
            return false;
        }
        if self.takes_part {
            return true;
        }
        if hosts == 2 {
            let about = format!("{} against {PEERS} hosts", f.src);
            ctx.incidents.call(handle, &about);
        }
        ctx.incidents.show(handle, evidence(f));
        // what was tried before changes no number
        if is_fresh {
            self.update(ctx, handle, f, c);
        }
        true
    }

    fn judge(&mut self, ctx: &mut Ctx<'_>, (f, c): (&FlowSeen, &Contact), crowds: &mut Crowds) {
        let across = || {
            self.horizontal(ctx, f.src, c)
                .or_else(|| self.block(ctx, c))
        };
        let found = self.vertical(ctx, f, c);
        let found = found.or_else(|| (!c.ports_only).then(across).flatten());
        let Some(found) = found else {
            return;
        };
        let scan = (f, c, &found);
        if let Some(handle) = crowds.join(ctx, scan, (self.first_ms, self.contacts)) {
            (self.handle, self.takes_part) = (Some(handle), true);
            return;
        }
        if ctx
            .incidents
            .refuses(ctx.now_ms, found.kind, &Entity::Host(f.src))
        {
            return;
        }
        let finding = self.finding(ctx, f, c, &found);
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            crowds.begin(ctx, scan, (self.first_ms, handle));
            ctx.incidents.show(handle, evidence(f));
        }
    }

    fn update(&self, ctx: &mut Ctx<'_>, handle: Handle, f: &FlowSeen, c: &Contact) {
        for (name, n) in self.sides() {
            ctx.incidents.figure(handle, name, n);
        }
        // a slot that gave way begins anew
        let ports = self.hosts.find(f.dst).map(|slot| (PORTS, slot));
        let hosts = self.ports.find((c.proto, c.port)).map(|s| (HOSTS, s));
        for (name, slot) in ports.into_iter().chain(hosts) {
            let n = slot.failed.count().into();
            ctx.incidents.figure_most(handle, name, n);
        }
    }

    /// Many ports of one host.
    fn vertical(&self, ctx: &Ctx<'_>, f: &FlowSeen, c: &Contact) -> Option<Found> {
        let slot = self.hosts.find(f.dst)?;
        let s = &ctx.settings.scan;
        let (all, quick) = (slot.failed.count(), slot.quick.count());
        let share = slot.share();
        let udp = c.proto == UDP;
        // ends of calls try each other on dozens of ports that systems gave them (RFC 8445), services have others
        let times = if udp && slot.served.saturating_mul(4) < all {
            ENDS
        } else {
            1
        };
        let wanted = match udp {
            true => s.ports_udp.saturating_mul(times),
            false => s.ports_quick,
        };
        let (quickly, slowly) = (quick >= wanted, s.ports_slow.saturating_mul(times));
        if share < s.failed_share || !(quickly || all >= slowly.max(wanted)) || c.proto == ICMP {
            return None;
        }
        let (kind, detector) = match udp {
            true => (DetectionKind::PortScanUdp, "scan.vertical_udp"),
            false => (DetectionKind::PortScan, "scan.vertical"),
        };
        Some(Found {
            kind,
            detector,
            ports: true,
            n: all,
            threshold: if quickly { wanted } else { slowly },
            share,
            share_min: s.failed_share,
        })
    }

    /// One port of many hosts.
    fn horizontal(&self, ctx: &Ctx<'_>, src: Addr, c: &Contact) -> Option<Found> {
        let key = (c.proto, c.port);
        let slot = self.ports.find(key)?;
        let s = &ctx.settings.scan;
        let (hosts, share) = (slot.failed.count(), slot.share());
        // pages are tried over IPv6 first (RFC 8305), and where that leads nowhere their answers come to another address of the same host
        let is_first_try = c.proto != UDP
            && !src.is_v4()
            && matches!(c.port, 80 | 443)
            && ctx.zones.is_inside(&src);
        let times = if is_first_try { FIRST_TRIES } else { 1 };
        let (kind, detector, wanted, share_min) = match c.proto {
            ICMP => (
                DetectionKind::HostSweepIcmp,
                "scan.ping_sweep",
                s.hosts_pinged,
                0.5,
            ),
            UDP => (
                DetectionKind::HostSweepUdp,
                "scan.horizontal_udp",
                wanted(c.port, s.hosts, s.hosts_unknown_port),
                s.failed_share,
            ),
            SCTP => (
                DetectionKind::HostSweep,
                "scan.horizontal_sctp",
                match SIGNALLING.contains(&c.port) {
                    true => s.hosts,
                    false => s.hosts_unknown_port,
                },
                s.failed_share,
            ),
            _ => (
                DetectionKind::HostSweepTcp,
                "scan.horizontal",
                wanted(c.port, s.hosts, s.hosts_unknown_port).saturating_mul(times),
                s.failed_share,
            ),
        };
        let enough = match c.proto {
            ICMP => slot.quick.count() >= wanted || hosts >= wanted.saturating_mul(3),
            _ => hosts >= wanted,
        };
        if !enough || share < share_min {
            return None;
        }
        Some(Found {
            kind,
            detector,
            ports: false,
            n: hosts,
            threshold: wanted,
            share,
            share_min,
        })
    }

    /// Several ports of many hosts, host by host or in any order. Who shares files tries many hosts, too, and one port of each.
    fn block(&self, ctx: &Ctx<'_>, c: &Contact) -> Option<Found> {
        if c.proto != TCP {
            return None;
        }
        let s = &ctx.settings.scan;
        let (hosts, pairs) = (self.tcp_hosts.count(), self.tcp.count());
        let (ports, wanted) = (self.tcp_ports.count(), s.hosts.max(s.hosts_unknown_port));
        let share = share(pairs, self.tcp_worked.count());
        let many = hosts >= wanted && ports >= BLOCK_PORTS;
        // few hosts are a block where each port is tried on several, and nothing again and again, as who watches what is down does
        let dense = hosts >= FEW_HOSTS
            && ports >= FEW_PORTS
            && pairs >= s.ports_hosts.max(ports.saturating_mul(2))
            && self.contacts <= pairs.saturating_mul(AGAIN_MAX);
        let each = pairs >= hosts.saturating_mul(BLOCK_PORTS);
        if !each || !(many || dense) || share < s.failed_share {
            return None;
        }
        Some(Found {
            kind: DetectionKind::HostSweepTcp,
            detector: BLOCK,
            ports: false,
            n: pairs,
            threshold: match dense {
                true => s.ports_hosts,
                false => wanted.saturating_mul(BLOCK_PORTS),
            },
            share,
            share_min: s.failed_share,
        })
    }

    /// Hosts, ports and ports of hosts of a block.
    fn sides(&self) -> [(&'static str, f64); 3] {
        [
            (found::BLOCK_HOSTS, self.tcp_hosts.count().into()),
            (found::BLOCK_PORTS, self.tcp_ports.count().into()),
            (found::PAIRS, self.tcp.count().into()),
        ]
    }

    fn finding(&self, ctx: &Ctx<'_>, f: &FlowSeen, c: &Contact, found: &Found) -> Finding {
        let (kind, detector) = (found.kind, found.detector);
        let inside = ctx.zones.is_inside(&f.src);
        let mut facts = vec![
            super::counted(),
            ("method", c.method.name().to_owned()),
            (
                "direction",
                if inside {
                    "from inside"
                } else {
                    "from outside"
                }
                .to_owned(),
            ),
        ];
        if matches!(
            kind,
            DetectionKind::HostSweep | DetectionKind::HostSweepTcp | DetectionKind::HostSweepUdp
        ) && found.detector != BLOCK
        {
            facts.push(("port", c.port.to_string()));
        }
        let mut figures = found.figures();
        if found.detector == BLOCK {
            let sides = self.sides();
            figures.extend(sides[..2].iter().map(|(name, n)| found::told(name, *n)));
        }
        let most = self.hosts.keys();
        let peers = most.chain(self.named.all()).chain([f.dst]);
        let about = match self.all_hosts.count() {
            0 | 1 => format!("{} against {}", f.src, f.dst),
            _ => format!("{} against {PEERS} hosts", f.src),
        };
        Finding {
            kind,
            detector,
            entity: Entity::Host(f.src),
            role: EntityRole::Source,
            severity: inside.then_some(Severity::High),
            confidence: if f.interval > 1 { 60 } else { 90 },
            about,
            first_ms: self.first_ms,
            last_ms: f.end_ms,
            count: u64::from(self.contacts),
            peers: peers.collect(),
            peers_total: u64::from(self.all_hosts.count()),
            figures,
            facts,
            counterfactual: found.counterfactual(),
            blind: super::sampled(f.interval),
        }
    }
}

/// ln 4: what one contact says, with probabilities of 0.8 and 0.2.
const STEP: f32 = 1.386;
/// ln 99: sure enough, with error rates of 0.01.
const ACCEPTED: f32 = 4.595;
/// More is not gathered, in either direction.
const WALK_MAX: f32 = 9.0;
/// UDP ports of services stand below; systems and calls take those above (RTP from 10,000 on, RFC 6335 from 49,152 on).
const SERVED: u16 = 10_000;
/// How many times more ports of the others are a scan.
const ENDS: u32 = 10;
/// How many times more hosts that IPv6 does not reach are a sweep.
const FIRST_TRIES: u32 = 10;
/// Ports of a host, on the whole, that make many hosts a block.
const BLOCK_PORTS: u32 = 3;
/// From so many hosts and ports on, ports of hosts are a block: of fewer hosts each is looked at alone, and few ports are sweeps.
const FEW_HOSTS: u32 = 5;
const FEW_PORTS: u32 = 4;
/// How often a block tries each port of a host, on the whole, at most.
const AGAIN_MAX: u32 = 4;
const BLOCK: &str = "scan.block";
const TRIED_FULL: u32 = 500;
