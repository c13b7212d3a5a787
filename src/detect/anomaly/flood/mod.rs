//! Floods, told by the victim: SYN, reflection over UDP and TCP, plain volume, and volume spread over a network.
//!
//! Of a destination it is counted what comes, what is completed, what it sends itself, and from how many sources, within windows
//! of three seconds (half-open connections, volume) and of a minute (answers that nobody asked for). Nothing is kept of
//! sources, for they are invented. Rates of volume are those of FastNetMon (20,000 packets and 1,000 Mbit a second); the rest
//! goes by what each protocol makes impossible: connections that nobody completes, answers without questions.
//! Rows of exporters come once in their life, so that they are counted in windows of a minute. Where they come from sampled packets, what
//! counts is what so few samples are enough for: their number less two standard deviations (Poisson), and of fewer than ten nothing.

mod cause;
mod spread;
mod victim;

use super::arena::Arena;
use super::keyed::{Recent, network};
use super::sighting::{Burst, BurstKind, FlowSeen, Side};
use super::{Ctx, FAR, Hashes, NEAR, is_group, reflectors};
use crate::model::Addr;
use victim::{CARPET_HOSTS, MANY_SOURCES, Victim};

#[derive(Debug)]
pub(super) struct Flood {
    packets: Watch,
    flows: Watch,
    nets: Arena<Addr, Victim>,
    /// Networks whose hosts get answers that they did not ask for, by rows of exporters.
    reflected: Arena<Addr, Victim>,
    /// Connections that rows showed to be opened and reset at once.
    reset: Recent,
    bursts: Vec<Burst>,
    /// Victims of now, and until when.
    victims: Vec<(Addr, i64)>,
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
            reset: Recent::new(RESET_LOG2, RESET_MS),
            bursts: vec![],
            victims: vec![],
            marks: Box::new([0; MARKS / 64]),
        }
    }

    pub fn bytes(places: usize) -> usize {
        2 * (Watch::bytes(places / 8) + 2 * ASKS_MAX * size_of::<Ask>())
            + Arena::<Addr, Victim>::bytes(places / 32)
            + Arena::<Addr, Victim>::bytes(places / 1_024)
            + Recent::bytes(RESET_LOG2)
            + BURSTS_MAX * size_of::<Burst>()
            + VICTIMS_MAX * size_of::<(Addr, i64)>()
            + MARKS / 8
    }

    pub fn lost(&self) -> (u64, u64) {
        let (a, b) = (self.packets.hosts.lost(), self.flows.hosts.lost());
        let asks = self.packets.asks_lost + self.flows.asks_lost;
        let nets = self.reflected.lost();
        (a.0 + b.0 + nets.0, a.1 + b.1 + nets.1 + asks)
    }

    pub fn clear(&mut self) {
        self.packets.clear();
        self.flows.clear();
        self.nets.clear();
        self.reflected.clear();
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
            && self.victims.binary_search_by_key(addr, |v| v.0).is_ok()
    }

    /// For a while, who speaks to an address, or to a network, is not believed.
    fn doubt(&mut self, addr: Addr, until: i64) {
        match self.victims.binary_search_by_key(&addr, |v| v.0) {
            Ok(at) => self.victims[at].1 = until,
            Err(at) if self.victims.len() < VICTIMS_MAX => self.victims.insert(at, (addr, until)),
            Err(_) => {}
        }
    }

    /// Marks who is a victim by now.
    fn mark(&mut self) {
        self.marks.fill(0);
        for (addr, _) in &self.victims {
            let at = mark_of(addr);
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

    /// Remembers who opened a connection and reset it at once, as checks of health do; whether a row is the answer to that.
    fn is_answer_to_reset(&mut self, ctx: &Ctx<'_>, f: &FlowSeen, h: Hashes) -> bool {
        let flags = f.tcp_flags.unwrap_or(0) & 0x17;
        if f.packets > FEW_PACKETS || !matches!(flags, 0x06 | 0x12 | 0x16) {
            return false;
        }
        if flags == 0x12 {
            return self.reset.has(ctx.keyed.hash(&(f.dst, f.src)));
        }
        self.reset.add(ctx.keyed.hash(&(f.src, f.dst)));
        self.flows.ask(Ask {
            who: (f.src, h.src),
            what: h.dst,
            opens: true,
        });
        false
    }

    /// Counts a row of an exporter; `answered` where a row that it answers was seen.
    pub fn flow(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, h: Hashes, answered: bool) {
        if f.proto == 6 && self.is_answer_to_reset(ctx, f, h) {
            return;
        }
        let service = |port: u16| {
            if reflectors::is_reflector(port) {
                port
            } else {
                0
            }
        };
        let (kind, src_port) = match (f.proto, f.tcp_flags) {
            (6, Some(flags)) => match flags & 0x17 {
                0x02 => (BurstKind::Syn, 0),
                // a SYN-ACK that nobody went on with
                0x12 if f.packets <= 3 && f.src_port < f.dst_port => {
                    (BurstKind::SynAck, f.src_port)
                }
                flags if flags & 0x12 == 0x12 && f.dst_port < f.src_port => {
                    (BurstKind::Completed, 0)
                }
                // of a sampled connection any segment may be what was seen: who acknowledges was answered
                flags if flags & 0x14 == 0x10 && f.interval > 1 && f.dst_port < f.src_port => {
                    (BurstKind::Completed, 0)
                }
                _ => return,
            },
            (17, _) => (BurstKind::Udp, service(f.src_port)),
            (1 | 58, _) => (BurstKind::Icmp, 0),
            (6, None) => return,
            _ => (BurstKind::Other, 0),
        };
        let connections = matches!(kind, BurstKind::Syn | BurstKind::Completed);
        let burst = Burst {
            src: f.src,
            dst: f.dst,
            kind,
            src_port,
            dst_port: f.dst_port,
            bytes: f.est_bytes(),
            packets: match connections {
                true => f.interval.max(1),
                false => u32::try_from(f.est_packets()).unwrap_or(u32::MAX),
            },
            first_ms: f.start_ms,
            last_ms: f.end_ms,
        };
        self.flows.count(ctx, &burst, f.interval, h);
        // the question may be older than what is known of who asks
        if answered
            && src_port != 0
            && let Some(v) = self.flows.hosts.find_at(h.dst, &f.dst)
        {
            v.asks(ctx.keyed.hash(&(f.src, f.src_port)), false);
        }
    }

    /// Counts a metered row of TCP that begins in the middle and ends there: of a connection that never was.
    pub fn stray(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, h: Hashes) {
        let flags = f.tcp_flags.unwrap_or(0);
        if f.side != Side::Initiator || flags & 0x02 != 0 || f.packets > 2 || f.back_packets > 1 {
            return;
        }
        let burst = Burst {
            src: f.src,
            dst: f.dst,
            kind: BurstKind::Other,
            src_port: 0,
            dst_port: f.dst_port,
            bytes: f.bytes,
            packets: u32::try_from(f.packets).unwrap_or(u32::MAX),
            first_ms: f.start_ms,
            last_ms: f.end_ms,
        };
        self.flows.count(ctx, &burst, 1, h);
    }

    /// A second of the data's clock is over.
    pub fn tick(&mut self, ctx: &mut Ctx<'_>) {
        self.count(ctx);
        self.victims.retain(|v| v.1 > ctx.now_ms);
        self.packets.ask_again();
        self.flows.ask_again();
        let touched = [self.packets.take_touched(), self.flows.take_touched()];
        // what goes over a network is one thing, and not one for each of its hosts
        let most = self.packets.most_of_networks(&touched[0]);
        let carpets = self.judge_networks(ctx, &most);
        let reflected = self.judge_reflected(ctx, &touched[1]);
        self.reset.pass(ctx.now_ms);
        let mut struck: Vec<Addr> = vec![];
        let all = [&mut self.packets, &mut self.flows].into_iter();
        for ((watch, touched), also) in all.zip(touched).zip([vec![], reflected]) {
            let scale = watch.scale;
            for (addr, place) in touched {
                let net = network(&addr);
                if carpets.binary_search(&net).is_err()
                    && also.binary_search(&net).is_err()
                    && let Some((_, victim)) = watch.hosts.at(place)
                    && victim.judge(ctx, &addr, scale)
                {
                    struck.push(addr);
                }
            }
        }
        let until = ctx.now_ms + VICTIM_MS;
        struck.into_iter().for_each(|a| self.doubt(a, until));
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
        self.packets.count(ctx, b, 1, h);
        if !matches!(b.kind, BurstKind::Syn | BurstKind::Udp | BurstKind::Icmp) || is_group(&b.dst)
        {
            return;
        }
        if let Some(v) = self.nets.entry(ctx.keyed, &network(&b.dst)) {
            v.begin(ctx.now_ms, b, self.packets.short_ms);
            v.arrives(ctx, b, h.src);
            v.hosts.add(h.dst);
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
            let spread = v.hosts.count() >= CARPET_HOSTS && v.sources.count() >= MANY_SOURCES;
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
                v.tell_carpet(ctx, *net, victim::rate_of_carpet(rate, rate_max));
                self.doubt(*net, ctx.now_ms + VICTIM_MS);
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
    fn count(&mut self, ctx: &mut Ctx<'_>, b: &Burst, interval: u32, h: Hashes) {
        if is_group(&b.dst) || b.src == b.dst {
            self.asks_all(ctx, b, h);
            return;
        }
        let place = self.hosts.place(ctx.keyed, h.dst, &b.dst);
        if let Some(place) = place
            && let Some((_, v)) = self.hosts.at(place)
        {
            v.begin(ctx.now_ms, b, self.short_ms);
            v.interval = v.interval.max(interval);
            v.arrives(ctx, b, h.src);
            self.touched[place / 64] |= 1 << (place % 64);
        }
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
        // who only sends is no victim, and may be invented
        if let Some(v) = self.hosts.find_at(h.src, &b.src) {
            v.leaves(b);
        }
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

/// Whether a row of an exporter may be counted: not those in the midst of a connection.
#[inline]
pub(super) fn counts(f: &FlowSeen) -> bool {
    f.proto != 6 || f.interval > 1 || f.tcp_flags.is_some_and(|t| t & 0x02 != 0)
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
/// Connections that are reset at once are remembered for a minute, with so many packets at most: SYN, ACK and reset, and one of them again.
const RESET_LOG2: u32 = 18;
const RESET_MS: i64 = 60_000;
const FEW_PACKETS: u64 = 4;
