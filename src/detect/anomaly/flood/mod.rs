//! Floods, told by the victim: SYN, reflection over UDP and TCP, plain volume, and volume spread over a network.
//!
//! Of a destination it is counted what comes, what is completed, what it sends itself, and from how many sources, within windows
//! of three seconds (half-open connections, volume) and of a minute (answers that nobody asked for). Nothing is kept of
//! sources, for they are invented. Rates of volume are those of FastNetMon (20,000 packets and 1,000 Mbit a second); the rest
//! goes by what each protocol makes impossible: connections that nobody completes, answers without questions.
//! Rows of exporters come once in their life, so that they are counted in windows of a minute. Where they come from sampled packets, what
//! counts is what so few samples are enough for: their number less two standard deviations (Poisson), and of fewer than ten nothing.

mod carpet;
mod cause;
mod judge;
mod rows;
mod spread;
mod victim;

use super::arena::Arena;
use super::keyed::{Recent, network};
use super::sighting::{Burst, BurstKind, FlowSeen};
use super::{Ctx, FAR, Hashes, NEAR, evidence, figure, is_group, reflectors};
use crate::detect::incident::Handle;
use crate::model::{Addr, EVIDENCE_FLOWS_MAX, Handshake};
pub(super) use rows::counts;
use victim::{CARPET_HOSTS, Class, MANY_SOURCES, Victim};

#[derive(Debug)]
pub(super) struct Flood {
    packets: Watch,
    flows: Watch,
    nets: Arena<Addr, Victim>,
    /// Networks whose hosts get answers that they did not ask for, by rows of exporters.
    reflected: Arena<Addr, Victim>,
    /// Networks whose hosts get too much in all, by the same rows.
    spread: Arena<Addr, Victim>,
    /// Connections that rows showed to be opened and reset at once.
    reset: Recent,
    bursts: Vec<Burst>,
    /// Victims of now, in order.
    victims: Vec<Struck>,
    /// A bit for each of them: most addresses are told from them by it alone.
    marks: Box<[u64; MARKS / 64]>,
}

/// Destinations that are watched by one kind of input.
#[derive(Debug)]
struct Watch {
    hosts: Arena<Addr, Victim>,
    short_ms: i64,
    /// How many half-open connections count as one of the setting.
    scale: u32,
    /// A bit for each place of `hosts` to which something came since they were judged.
    touched: Vec<u64>,
    /// Who asked or opened something in the second before, and in this one: whoever asks first has no place yet, or a window that ends.
    asks: [Vec<Ask>; 2],
    /// Of them, those for which there was no room.
    asks_lost: u64,
    /// What was sent by hosts to whom nothing had come yet, by a hash of their network; of rows.
    strangers: Vec<u32>,
    strange_ms: i64,
    /// Rows of those to whom something came; of the last minutes.
    returns: u64,
    faded_ms: i64,
}

/// The first few of many.
#[derive(Debug, Default)]
struct Few {
    n: u8,
    addrs: [Addr; SOME_MAX],
}

impl Few {
    fn push(&mut self, addr: Addr) {
        if let Some(place) = self.addrs.get_mut(usize::from(self.n)) {
            *place = addr;
            self.n += 1;
        }
    }

    fn to_vec(&self) -> Vec<Addr> {
        self.addrs[..usize::from(self.n)].to_vec()
    }
}

/// A host, or a network, that is flooded.
#[derive(Clone, Copy, Debug)]
struct Struck {
    addr: Addr,
    /// Until then, who speaks to it is not believed.
    until: i64,
    /// Its incident, and what it was first.
    handle: Option<Handle>,
    class: Class,
    /// Rows that were shown, and bytes of the largest of them.
    shown: u32,
    largest: u64,
}

/// What is known of packets beside what is counted.
#[derive(Clone, Copy, Debug)]
struct From {
    /// 1 in N packets was seen.
    interval: u32,
    /// Protocol and source port, where both are known.
    ends: Option<(u8, u16)>,
}

/// A question to a service, or the begin of a connection.
#[derive(Clone, Copy, Debug)]
struct Ask {
    /// Who, and its hash.
    who: (Addr, u64),
    /// The hash of what: of a question the service, else the host.
    what: u64,
    /// Whether it is the begin of a connection.
    opens: bool,
}

impl Flood {
    pub fn new(places: usize) -> Self {
        Flood {
            packets: Watch::new(places / 8, 3_000, 1),
            flows: Watch::new(places / 8, 60_000, 5),
            nets: Arena::new(places / 32),
            reflected: Arena::new(places / 1_024),
            spread: Arena::new(places / 1_024),
            reset: Recent::new(RESET_LOG2, RESET_MS),
            bursts: vec![],
            victims: vec![],
            marks: Box::new([0; MARKS / 64]),
        }
    }

    pub fn bytes(places: usize) -> usize {
        2 * (Watch::bytes(places / 8) + 2 * ASKS_MAX * size_of::<Ask>())
            + Arena::<Addr, Victim>::bytes(places / 32)
            + 2 * Arena::<Addr, Victim>::bytes(places / 1_024)
            + Recent::bytes(RESET_LOG2)
            + BURSTS_MAX * size_of::<Burst>()
            + STRANGERS * 4
            + VICTIMS_MAX * size_of::<Struck>()
            + MARKS / 8
    }

    pub fn lost(&self) -> (u64, u64) {
        let (a, b) = (self.packets.hosts.lost(), self.flows.hosts.lost());
        let asks = self.packets.asks_lost + self.flows.asks_lost;
        let (c, d) = (self.reflected.lost(), self.spread.lost());
        (a.0 + b.0 + c.0 + d.0, a.1 + b.1 + c.1 + d.1 + asks)
    }

    pub fn clear(&mut self) {
        self.packets.clear();
        self.flows.clear();
        self.nets.clear();
        self.reflected.clear();
        self.spread.clear();
        self.bursts.clear();
        self.victims.clear();
        self.mark();
    }

    /// Whether an address is, or was just, flooded: then who seems to speak to it may be invented.
    #[inline]
    pub fn is_victim(&self, addr: &Addr) -> bool {
        !self.victims.is_empty() && (self.is_doubted(addr) || self.is_doubted(&network(addr)))
    }

    #[inline]
    fn is_doubted(&self, addr: &Addr) -> bool {
        let at = mark_of(addr);
        self.marks[at / 64] >> (at % 64) & 1 == 1
            && self.victims.binary_search_by_key(addr, |v| v.addr).is_ok()
    }

    /// For a while, who speaks to an address, or to a network, is not believed. What comes to it is shown in its incident.
    fn doubt(&mut self, addr: Addr, until: i64, handle: Option<Handle>, class: Class) {
        let fresh = Struck {
            addr,
            until,
            handle,
            class,
            shown: 0,
            largest: 0,
        };
        match self.victims.binary_search_by_key(&addr, |v| v.addr) {
            Ok(at) if self.victims[at].handle == handle => self.victims[at].until = until,
            Ok(at) => self.victims[at] = fresh,
            Err(at) if self.victims.len() < VICTIMS_MAX => self.victims.insert(at, fresh),
            Err(_) => {}
        }
    }

    /// Shows a row to a victim in its incident, where it may belong to the flood: the first ones, and later ones that are larger.
    pub fn show(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        for addr in [f.dst, network(&f.dst)] {
            let Ok(at) = self.victims.binary_search_by_key(&addr, |v| v.addr) else {
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

    /// Marks who is a victim by now.
    fn mark(&mut self) {
        self.marks.fill(0);
        for v in &self.victims {
            let at = mark_of(&v.addr);
            self.marks[at / 64] |= 1 << (at % 64);
        }
    }

    /// Calls for what a row of an exporter will need, first for where it is, then for itself.
    #[inline]
    pub fn call(&self, h: Hashes, found: bool) {
        self.flows.call(h, found);
    }

    pub fn burst(&mut self, ctx: &mut Ctx<'_>, burst: &Burst) {
        self.bursts.push(*burst);
        if self.bursts.len() >= BURSTS_MAX {
            self.count(ctx);
        }
    }

    /// A second of the data's clock is over.
    pub fn tick(&mut self, ctx: &mut Ctx<'_>) {
        self.count(ctx);
        self.victims.retain(|v| v.until > ctx.now_ms);
        self.packets.ask_again();
        self.flows.ask_again();
        let touched = [self.packets.take_touched(), self.flows.take_touched()];
        // what goes over a network is one thing, and not one for each of its hosts
        let most = self.packets.most_of_networks(&touched[0]);
        let carpets = self.judge_networks(ctx, &most);
        self.flows.fade(ctx.now_ms);
        let mut spread = self.judge_reflected(ctx, &touched[1]);
        spread.extend(self.judge_spread(ctx, &touched[1], &spread));
        spread.sort_unstable();
        let both_ways = [false, self.flows.sees_both_ways()];
        self.reset.pass(ctx.now_ms);
        let mut struck: Vec<(Addr, Option<Handle>, Class)> = vec![];
        let all = [&mut self.packets, &mut self.flows].into_iter();
        let all = all.zip(touched).zip([vec![], spread]).zip(both_ways);
        for (((watch, touched), also), both_ways) in all {
            let scale = watch.scale;
            for (addr, place) in touched {
                let net = network(&addr);
                if carpets.binary_search(&net).is_err()
                    && also.binary_search(&net).is_err()
                    && let Some((_, victim)) = watch.hosts.at(place)
                    && victim.judge(ctx, &addr, (scale, both_ways))
                {
                    struck.push((addr, victim.told.handle, victim.told.class));
                }
            }
        }
        let until = ctx.now_ms + VICTIM_MS;
        let doubt = |(addr, handle, class)| self.doubt(addr, until, handle, class);
        struck.into_iter().for_each(doubt);
        self.mark();
    }

    /// Counts the packets of the second, in an order that does not depend on who saw them. What those that come next need is called for.
    fn count(&mut self, ctx: &mut Ctx<'_>) {
        let mut bursts = std::mem::take(&mut self.bursts);
        bursts.sort_unstable();
        let mut hashes = [Hashes::default(); FAR];
        for n in 0..bursts.len() + FAR {
            if let Some(b) = n.checked_sub(FAR).map(|i| &bursts[i]) {
                self.count_burst(ctx, b, hashes[n % FAR]);
            }
            if n >= NEAR && n - NEAR < bursts.len() {
                self.packets.call(hashes[(n - NEAR) % FAR], true);
            }
            if let Some(b) = bursts.get(n) {
                hashes[n % FAR] = Hashes::of(ctx.keyed, &b.src, &b.dst);
                self.packets.call(hashes[n % FAR], false);
            }
        }
        bursts.clear();
        self.bursts = bursts;
    }

    fn count_burst(&mut self, ctx: &mut Ctx<'_>, b: &Burst, h: Hashes) {
        let from = From {
            interval: 1,
            ends: (b.kind == BurstKind::Udp && b.src_port != 0).then_some((17, b.src_port)),
        };
        self.packets.count(ctx, b, from, h);
        if !matches!(b.kind, BurstKind::Syn | BurstKind::Udp | BurstKind::Icmp) || is_group(&b.dst)
        {
            return;
        }
        if let Some(v) = self.nets.entry(ctx.keyed, &network(&b.dst)) {
            v.begin(ctx.now_ms, b, self.packets.short_ms);
            v.arrives(ctx, b, h.src);
            v.hit(h.dst);
        }
        if let Some(v) = self.nets.find(ctx.keyed, &network(&b.src)) {
            grow(&mut v.sent, b.packets.into());
        }
    }

    /// Tells which networks are flooded all over, and gives them in order. `most` has what came to the one host of each that got most.
    fn judge_networks(&mut self, ctx: &mut Ctx<'_>, most: &[(Addr, u64)]) -> Vec<Addr> {
        let s = &ctx.settings.flood;
        let (syns_max, rate_max) = (
            4 * u64::from(s.half_open),
            4.0 * f64::from(s.packets_many_sources),
        );
        let mut found: Vec<Addr> = vec![];
        for (net, v) in self.nets.iter_mut() {
            let much = v.syns >= syns_max && v.completed.saturating_mul(5) < v.syns
                || v.rate() >= rate_max;
            let quiet = v.sent.saturating_mul(10) < v.came();
            if !much || !quiet || !v.fresh_in(ctx.now_ms) {
                continue;
            }
            let spread = v.hosts_hit() >= CARPET_HOSTS && v.sources.count() >= MANY_SOURCES;
            let at = most.binary_search_by_key(net, |m| m.0);
            let single = at.is_ok_and(|at| most[at].1.saturating_mul(2) >= v.came());
            if spread && !single {
                found.push(*net);
            }
        }
        found.sort_unstable();
        for net in &found {
            if let Some(v) = self.nets.find(ctx.keyed, net) {
                let rate = v.came() as f64 / v.seconds();
                let rate = figure(cause::RATE, rate, Some(rate_max));
                v.tell_carpet(ctx, *net, vec![rate]);
                let handle = v.told.handle;
                self.doubt(*net, ctx.now_ms + VICTIM_MS, handle, Class::Volume);
            }
        }
        found
    }
}

impl Watch {
    fn new(places: usize, short_ms: i64, scale: u32) -> Self {
        let hosts = Arena::new(places);
        Watch {
            touched: vec![0; hosts.capacity().div_ceil(64)],
            hosts,
            short_ms,
            scale,
            asks: Default::default(),
            asks_lost: 0,
            strangers: vec![0; if scale > 1 { STRANGERS } else { 0 }],
            strange_ms: i64::MIN,
            returns: 0,
            faded_ms: i64::MIN,
        }
    }

    /// Forgets by and by that both ways were seen.
    fn fade(&mut self, now_ms: i64) {
        if now_ms.saturating_sub(self.faded_ms) >= FADES_MS {
            self.faded_ms = now_ms;
            self.returns /= 2;
        }
        if now_ms.saturating_sub(self.strange_ms) >= self.short_ms {
            self.strange_ms = now_ms;
            self.strangers.iter_mut().for_each(|n| *n /= 2);
        }
    }

    fn bytes(places: usize) -> usize {
        // a bit, and who was touched
        let each = size_of::<(Addr, usize)>() + 1;
        Arena::<Addr, Victim>::bytes(places) + places.next_power_of_two() * each
    }

    fn clear(&mut self) {
        self.hosts.clear();
        self.touched.fill(0);
        self.asks.iter_mut().for_each(Vec::clear);
        self.returns = 0;
        self.strangers.fill(0);
        (self.faded_ms, self.strange_ms) = (i64::MIN, i64::MIN);
    }

    #[inline]
    fn call(&self, h: Hashes, found: bool) {
        match found {
            false => [h.dst, h.src].iter().for_each(|h| self.hosts.call(*h)),
            true => {
                if let Some(victim) = self.hosts.call_room(h.dst) {
                    victim.sources.call(h.src);
                }
                self.hosts.call_held(h.src);
            }
        }
    }

    #[inline]
    fn count(&mut self, ctx: &mut Ctx<'_>, b: &Burst, from: From, h: Hashes) {
        if is_group(&b.dst) || b.src == b.dst {
            self.asks_all(ctx, b, h);
            return;
        }
        self.comes(ctx, b, from, h);
        let opens = b.kind == BurstKind::Syn;
        if opens || b.kind == BurstKind::Udp && reflectors::is_reflector(b.dst_port) {
            let what = match opens {
                true => h.dst,
                false => Victim::service(ctx, b),
            };
            self.ask(Ask {
                who: (b.src, h.src),
                what,
                opens,
            });
        }
        self.leaves(ctx, b, h);
    }

    /// Counts what comes to a destination.
    #[inline]
    fn comes(&mut self, ctx: &mut Ctx<'_>, b: &Burst, from: From, h: Hashes) {
        let place = self.hosts.place(ctx.keyed, h.dst, &b.dst);
        if let Some(place) = place
            && let Some((_, v)) = self.hosts.at(place)
        {
            v.begin(ctx.now_ms, b, self.short_ms);
            v.interval = v.interval.max(from.interval);
            v.arrives(ctx, b, h.src);
            if let Some(ends) = from.ends {
                v.keep(b, ends, from.interval);
            }
            self.touched[place / 64] |= 1 << (place % 64);
        }
    }

    /// Counts what a host sends to which something came: who only sends is no victim, and may be invented.
    #[inline]
    fn leaves(&mut self, ctx: &Ctx<'_>, b: &Burst, h: Hashes) {
        if let Some(v) = self.hosts.find_at(h.src, &b.src) {
            // what it asks belongs to the window of the answer
            v.begin(ctx.now_ms, b, self.short_ms);
            v.leaves(b);
            self.returns += 1;
        } else if let Some(sent) = self.strangers.get_mut(stranger(ctx, &b.src)) {
            *sent = sent.saturating_add(b.packets);
        }
    }

    /// What hosts of the network of an address sent within a minute or two to whom nothing had come yet, and perhaps some others.
    fn strangers(&self, ctx: &Ctx<'_>, addr: &Addr) -> u64 {
        let sent = self.strangers.get(stranger(ctx, addr));
        sent.map_or(0, |n| u64::from(*n))
    }

    /// Whether what hosts send is seen at all: some that something came to have sent lately.
    fn sees_both_ways(&self) -> bool {
        self.returns >= RETURNS_MIN
    }

    fn ask(&mut self, ask: Ask) {
        match self.asks[1].len() < ASKS_MAX {
            true => self.asks[1].push(ask),
            false => self.asks_lost += 1,
        }
    }

    /// What was asked is counted of those to whom something came by now, in whatever order and second they were seen.
    fn ask_again(&mut self) {
        for ask in self.asks.iter().flatten() {
            if let Some(v) = self.hosts.find_at(ask.who.1, &ask.who.0) {
                v.asks(ask.what, ask.opens);
            }
        }
        self.asks.swap(0, 1);
        self.asks[1].clear();
    }

    /// Who asks by multicast or broadcast gets many answers.
    #[cold]
    fn asks_all(&mut self, ctx: &mut Ctx<'_>, b: &Burst, h: Hashes) {
        if b.kind != BurstKind::Udp || !reflectors::is_reflector(b.dst_port) {
            return;
        }
        let place = self.hosts.place(ctx.keyed, h.src, &b.src);
        if let Some((_, v)) = place.and_then(|place| self.hosts.at(place)) {
            v.begin(ctx.now_ms, b, self.short_ms);
            v.asked_all = true;
        }
    }

    /// What came to the one host of each network that got most, in order of networks.
    fn most_of_networks(&mut self, touched: &[(Addr, usize)]) -> Vec<(Addr, u64)> {
        let mut all: Vec<(Addr, u64)> = vec![];
        for (addr, place) in touched {
            let came = self.hosts.at(*place).map_or(0, |(_, v)| v.came());
            match all.last_mut() {
                Some(last) if last.0 == network(addr) => last.1 = last.1.max(came),
                _ => all.push((network(addr), came)),
            }
        }
        all
    }

    /// To whom something came since this was called last, in order of addresses, with their places.
    fn take_touched(&mut self) -> Vec<(Addr, usize)> {
        let mut all = vec![];
        for (n, word) in self.touched.iter_mut().enumerate() {
            let mut bits = std::mem::take(word);
            while bits != 0 {
                let place = n * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                all.extend(self.hosts.at(place).map(|(addr, _)| (*addr, place)));
            }
        }
        all.sort_unstable();
        all
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

/// Where what strangers of a network sent is counted.
#[inline]
fn stranger(ctx: &Ctx<'_>, addr: &Addr) -> usize {
    ctx.keyed.hash(&network(addr)) as usize % STRANGERS
}

/// Adds to a sum of what exporters claim, which may be anything.
fn grow(sum: &mut u64, by: u64) {
    *sum = sum.saturating_add(by);
}

/// The mark of an address. Who finds others with the same mark costs a search, and no more.
#[inline]
fn mark_of(addr: &Addr) -> usize {
    let n = u128::from_be_bytes(addr.0);
    let folded = (n as u64 ^ (n >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (folded >> 32) as usize % MARKS
}

/// Sources that are named.
const SOME_MAX: usize = 16;
/// For so long, who speaks to a victim is not believed.
const VICTIM_MS: i64 = 300_000;
const VICTIMS_MAX: usize = 1_024;
const BURSTS_MAX: usize = 262_144;
/// Questions of a second.
const ASKS_MAX: usize = 16_384;
const MARKS: usize = 16_384;
/// Networks whose strangers are told apart.
const STRANGERS: usize = 8_192;
/// So many rows of those to whom something came show that exporters tell of both ways; half of them are forgotten after so long.
const RETURNS_MIN: u64 = 20;
const FADES_MS: i64 = 300_000;
/// Connections that are reset at once are remembered for a minute, with so many packets at most: SYN, ACK and reset, and one of them again.
const RESET_LOG2: u32 = 18;
const RESET_MS: i64 = 60_000;
