//! Who is a victim by now: what of each host is a flood, whether it waits for what may explain it, and when many hosts are one network.
//!
//! Rows of exporters come in whatever order: those of one host before those of its neighbours, an answer before its question. What they show
//! of a host is told some seconds later, when the whole network, or what was asked, had its turn.

use super::super::keyed::{ODD, network};
use super::super::sighting::FlowSeen;
use super::super::{Ctx, evidence, figure};
use super::cause::RATE;
use super::judge::{Vector, Verdict};
use super::told::Class;
use super::victim::{CARPET_HOSTS, Victim};
use super::watch::Watch;
use super::{Flood, grow};
use crate::detect::incident::Handle;
use crate::model::{Addr, EVIDENCE_FLOWS_MAX, Handshake};

/// What destinations are watched by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Packets,
    Rows,
}

/// A host of which something is a flood, its place, and what.
type Hit = (Addr, usize, Vec<Vector>);

/// A host, or a network, that is flooded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Struck {
    pub addr: Addr,
    is_network: bool,
    /// Until then, who speaks to it is not believed.
    pub until: i64,
    /// Its incident, and what it was first.
    handle: Option<Handle>,
    class: Class,
    /// Rows that were shown, and bytes of the largest of them.
    shown: u32,
    largest: u64,
}

impl Struck {
    fn new(addr: Addr, until: i64, handle: Option<Handle>, class: Class) -> Self {
        Struck {
            addr,
            is_network: false,
            until,
            handle,
            class,
            shown: 0,
            largest: 0,
        }
    }
}

impl Flood {
    /// Whether an address is, or was just, flooded: then who seems to speak to it may be invented.
    #[inline]
    pub fn is_victim(&self, addr: &Addr) -> bool {
        !self.victims.is_empty() && (self.is_doubted(addr) || self.is_doubted(&network(addr)))
    }

    #[inline]
    fn is_doubted(&self, addr: &Addr) -> bool {
        self.index.find(&self.victims, addr).is_some()
    }

    /// For a while, who speaks to an address, or to a network, is not believed. What comes to it is shown in its incident.
    fn doubt(&mut self, fresh: Struck) {
        match self.victims.binary_search_by_key(&fresh.addr, |v| v.addr) {
            Ok(at) if self.victims[at].handle == fresh.handle || fresh.handle.is_none() => {
                let until = &mut self.victims[at].until;
                *until = fresh.until.max(*until);
            }
            Ok(at) => self.victims[at] = fresh,
            Err(at) if self.victims.len() < VICTIMS_MAX => self.victims.insert(at, fresh),
            Err(_) => {}
        }
    }

    /// The same of a network that is told.
    pub(super) fn doubt_network(
        &mut self,
        ctx: &Ctx<'_>,
        net: Addr,
        handle: Option<Handle>,
        class: Class,
    ) {
        self.doubt(Struck {
            is_network: true,
            ..Struck::new(net, ctx.now_ms + VICTIM_MS, handle, class)
        });
    }

    /// Shows a row to a victim in its incident, where it may belong to the flood: the first ones, and later ones that are larger.
    pub fn show(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        for addr in [f.dst, network(&f.dst)] {
            let Some(at) = self.index.find(&self.victims, &addr) else {
                continue;
            };
            let v = &mut self.victims[at];
            let is_shown = (v.shown as usize) < EVIDENCE_FLOWS_MAX || f.bytes > v.largest;
            if let Some(handle) = v.handle
                && is_shown
                && may_belong(v.class, f)
            {
                v.shown = v.shown.saturating_add(1);
                v.largest = v.largest.max(f.bytes);
                ctx.incidents.show(handle, evidence(f));
            }
        }
    }

    /// Judges the hosts to which something came, which are in order.
    pub(super) fn judge_hosts(
        &mut self,
        ctx: &mut Ctx<'_>,
        input: Input,
        touched: Vec<(Addr, usize)>,
    ) {
        let watch = self.watch(input);
        let how = watch.how();
        let mut struck: Vec<Hit> = vec![];
        for (addr, place) in touched {
            if let Some((_, v)) = watch.hosts.at(place) {
                let vectors = v.vectors(ctx, how);
                match vectors.is_empty() {
                    true => v.told.waits_ms = 0,
                    false => struck.push((addr, place, vectors)),
                }
            }
        }
        for hosts in struck.chunk_by(|a, b| network(&a.0) == network(&b.0)) {
            let is_of_network = self.join(ctx, input, hosts);
            for hit in hosts {
                self.judge_host(ctx, input, hit, is_of_network);
            }
        }
    }

    fn judge_host(
        &mut self,
        ctx: &mut Ctx<'_>,
        input: Input,
        (addr, place, vectors): &Hit,
        is_of_network: bool,
    ) {
        let hurries = self.hurries;
        let watch = self.watch(input);
        let Some((_, v)) = watch.hosts.at(*place) else {
            return;
        };
        if is_of_network && !v.goes_on() {
            v.told.waits_ms = 0;
            return;
        }
        let verdict = v.judge(ctx, addr, vectors, hurries);
        let (handle, class) = (v.told.handle, v.told.class);
        let doubt_ms = match verdict {
            Verdict::Told => VICTIM_MS,
            Verdict::Waits => {
                watch.touch(*place);
                DOUBT_MS
            }
        };
        self.doubt(Struck::new(*addr, ctx.now_ms + doubt_ms, handle, class));
    }

    /// Whether what hosts of one network are struck with is of that: it is told, or so many of them are struck within minutes that it is now.
    fn join(&mut self, ctx: &mut Ctx<'_>, input: Input, hosts: &[Hit]) -> bool {
        let net = network(&hosts[0].0);
        let first = self.victims.partition_point(|v| network(&v.addr) < net);
        let known = self.victims[first..].iter();
        let known: Vec<Struck> = known
            .take_while(|v| network(&v.addr) == net)
            .filter(|v| v.is_network || v.handle.is_some())
            .copied()
            .collect();
        let is_told = known.iter().any(|v| v.is_network);
        let mut all: Vec<Addr> = hosts.iter().map(|h| h.0).collect();
        all.extend(known.iter().filter(|v| !v.is_network).map(|v| v.addr));
        all.sort_unstable();
        all.dedup();
        if !is_told && all.len() < CARPET_HOSTS as usize {
            return false;
        }
        let part = self.carpets.part(ctx.now_ms, net);
        let whole = match input {
            Input::Packets => self.nets.find(ctx.keyed, &net),
            Input::Rows => self.gather(ctx, net, hosts),
        };
        let Some(whole) = whole else {
            return is_told;
        };
        all.iter().for_each(|addr| whole.hit(ctx.keyed.addr(addr)));
        let rate = figure(RATE, whole.came() as f64 / whole.seconds(), None);
        whole.tell_carpet(ctx, part, vec![rate]);
        let handle = whole.told.handle;
        for v in known.iter().filter(|v| !v.is_network) {
            if let Some((part, handle)) = v.handle.zip(handle) {
                ctx.incidents.join(part, handle);
            }
        }
        if !is_told {
            self.doubt_network(ctx, net, handle, hosts[0].2[0].class);
        }
        true
    }

    /// Adds up what rows told of hosts of a network that have no incident of their own; `None` where all have.
    fn gather(&mut self, ctx: &Ctx<'_>, net: Addr, hosts: &[Hit]) -> Option<&mut Victim> {
        let whole = self.spread.entry(ctx.keyed, &net)?;
        whole.forget_hosts();
        (whole.first_ms, whole.last_ms) = (i64::MAX, i64::MIN);
        (whole.packets, whole.interval) = (0, 0);
        for (_, place, _) in hosts {
            let Some((_, v)) = self.flows.hosts.at(*place) else {
                continue;
            };
            if v.goes_on() {
                continue;
            }
            let fresh = std::mem::take(&mut v.told.fresh);
            for class in [Class::Syn, Class::SynAck, Class::Segments, Class::Volume] {
                let count = fresh[class as usize];
                grow(&mut whole.told.fresh[Class::Volume as usize], count);
            }
            grow(&mut whole.packets, v.came());
            whole.gather(v);
        }
        (whole.first_ms <= whole.last_ms).then_some(whole)
    }

    fn watch(&mut self, input: Input) -> &mut Watch {
        match input {
            Input::Packets => &mut self.packets,
            Input::Rows => &mut self.flows,
        }
    }
}

/// Whether a row to a victim looks like what it is flooded with.
fn may_belong(class: Class, f: &FlowSeen) -> bool {
    const SYN_ACK: u16 = 0x12;
    let flags = f.tcp_flags.unwrap_or(0);
    let is_answered = f.back_packets.saturating_mul(20) >= f.packets;
    match class {
        Class::Syn => f.proto == 6 && flags & SYN_ACK == 0x02 && f.handshake != Handshake::Complete,
        Class::SynAck => f.proto == 6 && flags & SYN_ACK == SYN_ACK && f.packets <= 3,
        Class::Segments => f.proto == 6 && flags & 0x02 == 0,
        Class::Udp => f.proto == 17 && !is_answered,
        Class::Leases | Class::Volume => f.proto != 6 && !is_answered,
    }
}

/// Where each victim is: its place and 1, by a hash of its address; linear probing. Who has no room near its place, for somebody chose many
/// addresses of one hash, is searched for.
#[derive(Debug)]
pub(super) struct Victims {
    places: Box<[u16; INDEX]>,
    is_crowded: bool,
}

impl Default for Victims {
    fn default() -> Self {
        Victims {
            places: Box::new([0; INDEX]),
            is_crowded: false,
        }
    }
}

impl Victims {
    /// Says where all of them are.
    pub fn fill(&mut self, victims: &[Struck]) {
        self.places.fill(0);
        self.is_crowded = false;
        for (n, v) in victims.iter().enumerate() {
            let free = near(&v.addr).find(|at| self.places[*at] == 0);
            match free {
                Some(at) => self.places[at] = n as u16 + 1,
                None => self.is_crowded = true,
            }
        }
    }

    /// The place of an address.
    #[inline]
    fn find(&self, victims: &[Struck], addr: &Addr) -> Option<usize> {
        for at in near(addr) {
            let place = usize::from(self.places[at]).checked_sub(1)?;
            if victims.get(place).is_some_and(|v| v.addr == *addr) {
                return Some(place);
            }
        }
        let found = || victims.binary_search_by_key(addr, |v| v.addr).ok();
        self.is_crowded.then(found).flatten()
    }
}

/// Where an address may be.
#[inline]
fn near(addr: &Addr) -> impl Iterator<Item = usize> {
    let first = index_of(addr);
    (0..NEAR).map(move |n| (first + n) % INDEX)
}

#[inline]
fn index_of(addr: &Addr) -> usize {
    let n = u128::from_be_bytes(addr.0);
    let folded = (n as u64 ^ (n >> 64) as u64).wrapping_mul(ODD);
    (folded >> 32) as usize % INDEX
}

/// For so long, who speaks to a victim is not believed; who speaks to one that is not told yet for less.
const VICTIM_MS: i64 = 300_000;
const DOUBT_MS: i64 = 2_000;
pub(super) const VICTIMS_MAX: usize = 1_024;
/// Room for four times as many, so that most addresses are told from them at once.
const INDEX: usize = 4 * VICTIMS_MAX;
const NEAR: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn victims_are_found_by_their_addresses() {
        let addr = |n: u32| Addr::from_v4(n.to_be_bytes());
        let victim = |n| Struck::new(addr(n), 0, None, Class::Volume);
        let mut victims: Vec<Struck> = (0..VICTIMS_MAX as u32).map(|n| victim(n * 257)).collect();
        let mut index = Victims::default();
        assert_eq!(index.find(&victims, &addr(257)), None);
        index.fill(&victims);
        for (n, v) in victims.iter().enumerate() {
            assert_eq!(index.find(&victims, &v.addr), Some(n));
        }
        assert_eq!(index.find(&victims, &addr(256)), None);
        // places of before say nothing of those that came since
        victims.insert(0, victim(1));
        victims.truncate(9);
        assert_eq!(index.find(&victims, &addr(257)), None);
        index.fill(&victims);
        assert_eq!(index.find(&victims, &addr(257)), Some(2));
        // addresses that somebody chose for their hash
        let same = (0..u32::MAX).map(addr);
        let same = same.filter(|a| index_of(a) == index_of(&addr(0))).take(40);
        let mut crowd: Vec<Struck> = same
            .map(|a| Struck::new(a, 0, None, Class::Volume))
            .collect();
        crowd.sort_unstable_by_key(|v| v.addr);
        index.fill(&crowd);
        for (n, v) in crowd.iter().enumerate() {
            assert_eq!(index.find(&crowd, &v.addr), Some(n));
        }
    }
}
