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
mod half_open;
mod judge;
mod reflected;
mod rows;
mod segments;
mod spans;
mod spread;
mod struck;
mod told;
mod victim;
mod watch;
mod wide;

use super::arena::Arena;
use super::keyed::{Recent, network};
use super::sighting::{Burst, BurstKind};
use super::{Ctx, FAR, Hashes, NEAR, figure, is_group};
use crate::model::Addr;
pub(super) use rows::burst;
use struck::{Input, Struck, VICTIMS_MAX, Victims};
use told::Class;
use victim::{CARPET_HOSTS, MANY_SOURCES, Victim};
use watch::{ASKS_MAX, Ask, From, Row, STRANGERS, Watch};
use wide::Carpets;

#[derive(Debug)]
pub(super) struct Flood {
    packets: Watch,
    flows: Watch,
    nets: Arena<Addr, Victim>,
    /// Networks whose hosts get answers that they did not ask for, by rows of exporters.
    reflected: Arena<Addr, Victim>,
    /// Networks whose hosts get too much in all, or are each a victim.
    spread: Arena<Addr, Victim>,
    /// Connections that rows showed to be opened and reset at once.
    reset: Recent,
    bursts: Vec<Burst>,
    /// Victims of now, in order, and where each is, as of the end of the second before.
    victims: Vec<Struck>,
    index: Victims,
    carpets: Carpets,
    /// Nothing more comes for now: nothing waits.
    hurries: bool,
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
            index: Victims::default(),
            carpets: Carpets::default(),
            hurries: false,
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
            + size_of::<Victims>()
            + Carpets::bytes()
    }

    pub fn lost(&self) -> (u64, u64) {
        let (a, b) = (self.packets.hosts.lost(), self.flows.hosts.lost());
        let (c, d) = (self.reflected.lost(), self.spread.lost());
        (a.0 + b.0 + c.0 + d.0, a.1 + b.1 + c.1 + d.1)
    }

    /// Questions and begun connections of a second for which there was no room.
    pub fn asks_lost(&self) -> (u64, u64) {
        (0, self.packets.asks_lost + self.flows.asks_lost)
    }

    /// Destinations that had no place, for they came once.
    pub fn turned_away(&self) -> u64 {
        self.packets.hosts.turned_away() + self.flows.hosts.turned_away()
    }

    pub fn clear(&mut self) {
        self.packets.clear();
        self.flows.clear();
        self.nets.clear();
        self.reflected.clear();
        self.spread.clear();
        self.bursts.clear();
        self.victims.clear();
        self.carpets.clear();
        self.index.fill(&self.victims);
    }

    /// Calls for what a row of an exporter will need, first for where it is, then for itself.
    #[inline]
    pub fn call(&self, h: Hashes, found: bool) {
        if let Some((kind, _)) = h.burst {
            self.flows.call(kind, h, found);
        }
    }

    pub fn burst(&mut self, ctx: &mut Ctx<'_>, burst: &Burst) {
        self.bursts.push(*burst);
        if self.bursts.len() >= BURSTS_MAX {
            self.count(ctx);
        }
    }

    /// Nothing more comes for now: what waits for what may explain it is told when the second is over.
    pub fn hurry(&mut self) {
        self.hurries = true;
    }

    /// A second of the data's clock is over.
    pub fn tick(&mut self, ctx: &mut Ctx<'_>) {
        self.count(ctx);
        self.victims.retain(|v| v.until > ctx.now_ms);
        self.packets.ask_again();
        self.flows.ask_again();
        let [packets, flows] = [self.packets.take_touched(), self.flows.take_touched()];
        // what goes over a network is one thing, and not one for each of its hosts
        let most = self.packets.most_of_networks(&packets);
        self.judge_networks(ctx, &most);
        self.flows.fade(ctx.now_ms);
        let reflected = self.judge_reflected(ctx, &flows);
        self.judge_spread(ctx, &flows, &reflected);
        self.reset.pass(ctx.now_ms);
        self.judge_hosts(ctx, Input::Packets, packets);
        self.judge_hosts(ctx, Input::Rows, flows);
        self.hurries = false;
        self.index.fill(&self.victims);
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
                let kind = bursts[n - NEAR].kind;
                self.packets.call(kind, hashes[(n - NEAR) % FAR], true);
            }
            if let Some(b) = bursts.get(n) {
                hashes[n % FAR] = Hashes::of(ctx.keyed, &b.src, &b.dst);
                self.packets.call(b.kind, hashes[n % FAR], false);
            }
        }
        bursts.clear();
        self.bursts = bursts;
    }

    fn count_burst(&mut self, ctx: &mut Ctx<'_>, b: &Burst, h: Hashes) {
        let is_known = b.kind == BurstKind::Udp && b.src_port != 0;
        let from = From {
            interval: 1,
            shown: is_known.then_some(Row {
                proto: 17,
                src_port: b.src_port,
                packets: b.packets.into(),
            }),
        };
        self.packets.count(ctx, b, from, h);
        if is_group(&b.dst) {
            return;
        }
        let net = network(&b.dst);
        let is_flood = matches!(b.kind, BurstKind::Syn | BurstKind::Udp | BurstKind::Icmp);
        let hit = match b.kind {
            _ if is_flood => self.nets.entry(ctx.keyed, &net),
            // how what was begun ended
            BurstKind::Completed | BurstKind::Refused => self.nets.find(ctx.keyed, &net),
            _ => return,
        };
        if let Some(v) = hit {
            v.begin(ctx.now_ms, b, self.packets.short_ms);
            v.arrives(ctx, b, h.src);
            v.hit(h.dst);
        }
        if is_flood && let Some(v) = self.nets.find(ctx.keyed, &network(&b.src)) {
            grow(&mut v.sent, b.packets.into());
        }
    }

    /// Tells which networks are flooded all over. `most` has, in order, what came to the one host of each that got most.
    fn judge_networks(&mut self, ctx: &mut Ctx<'_>, most: &[(Addr, u64)]) {
        let s = &ctx.settings.flood;
        let (syns_max, rate_max) = (
            4.0 * f64::from(s.half_open),
            4.0 * f64::from(s.packets_many_sources),
        );
        let mut found: Vec<Addr> = vec![];
        for (net, v) in self.nets.iter_mut() {
            let open = v.half_open();
            let much = open >= syns_max && v.completed as f64 * 5.0 < open || v.rate() >= rate_max;
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
                let (class, limit) = match v.packets >= v.syns {
                    true => (Class::Volume, rate_max),
                    false => (Class::Syn, syns_max / WINDOW_S),
                };
                let part = self.carpets.part(ctx.now_ms, *net);
                v.tell_carpet(ctx, part, vec![figure(cause::RATE, rate, Some(limit))]);
                let handle = v.told.handle;
                self.doubt_network(ctx, *net, handle, class);
            }
        }
    }
}

/// Adds to a sum of what exporters claim, which may be anything.
fn grow(sum: &mut u64, by: u64) {
    *sum = sum.saturating_add(by);
}

const BURSTS_MAX: usize = 262_144;
/// Seconds in which half-open connections of packets are counted.
const WINDOW_S: f64 = 3.0;
/// Connections that are reset at once are remembered for a minute, with so many packets at most: SYN, ACK and reset, and one of them again.
const RESET_LOG2: u32 = 18;
const RESET_MS: i64 = 60_000;
