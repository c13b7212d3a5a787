//! Plain volume, half-open connections and segments, spread over the hosts of a network: one flood, told by rows of exporters.
//!
//! Rows are counted by host alone. Where several hosts of a network got something within a second that they do not answer, what all of its hosts got in
//! their windows is added up. As for a single host, the network must hardly send anything itself; where nothing that it sends is seen, and
//! nothing shows that it would be, half of all hosts must get about the same, in rows of a few packets: ordinary traffic never spreads so.

use super::super::keyed::network;
use super::super::{Ctx, figure};
use super::cause::RATE;
use super::told::Class;
use super::victim::{CARPET_HOSTS, MANY_SOURCES, Victim};
use super::{Flood, grow};
use crate::detect::anomaly::FloodSettings;
use crate::model::Addr;

/// What came to the hosts of a network.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    packets: u64,
    syns: u64,
    completed: u64,
    segments: u64,
    sent: u64,
    /// What those sent to whom nothing came, perhaps with some of other networks.
    strangers: u64,
    /// Of what came, rows of a few packets of no service.
    lone: u64,
    interval: u32,
    /// The most that came to one host.
    most: u64,
    first_ms: i64,
    last_ms: i64,
}

impl Flood {
    /// Tells the networks of which many hosts get too much in all. `touched` are the hosts of rows, in order, to which
    /// something came; `known` are networks that are told already.
    pub(super) fn judge_spread(
        &mut self,
        ctx: &mut Ctx<'_>,
        touched: &[(Addr, usize)],
        known: &[Addr],
    ) {
        let s = ctx.settings.flood.clone();
        let mut likely: Vec<Addr> = vec![];
        for hosts in touched.chunk_by(|a, b| network(&a.0) == network(&b.0)) {
            let net = network(&hosts[0].0);
            if known.binary_search(&net).is_err() && self.is_likely(ctx, hosts, &s) {
                likely.push(net);
            }
        }
        if likely.is_empty() {
            return;
        }
        let mut all: Vec<(Addr, Addr, usize)> = vec![];
        for (place, (addr, v)) in self.flows.hosts.iter_mut().enumerate() {
            let net = network(addr);
            let is_open = ctx.now_ms.saturating_sub(v.short_began_ms) < self.flows.short_ms;
            if is_open && likely.binary_search(&net).is_ok() {
                all.push((net, *addr, place));
            }
        }
        all.sort_unstable();
        for hosts in all.chunk_by(|a, b| a.0 == b.0) {
            self.judge_network(ctx, hosts);
        }
    }

    /// Whether hosts of a network that got something just now may be those of a carpet.
    fn is_likely(&mut self, ctx: &Ctx<'_>, hosts: &[(Addr, usize)], s: &FloodSettings) -> bool {
        if hosts.len() < TOUCHED_MIN {
            return false;
        }
        let mut sum = Sum::default();
        for (_, place) in hosts {
            if let Some((_, v)) = self.flows.hosts.at(*place) {
                sum.add(v);
            }
        }
        sum.strangers = self.flows.strangers(ctx, &hosts[0].0);
        // as if all hosts of a /24 got what these got
        let all = sum.came().saturating_mul(256) / hosts.len().min(256) as u64;
        let least = (rate_max(s) * SHORTEST_S).min(syns_max(s) * SHORTEST_S);
        sum.is_quiet() && all as f64 >= least
    }

    /// Tells a network if what came to its hosts is a flood.
    fn judge_network(&mut self, ctx: &mut Ctx<'_>, hosts: &[(Addr, Addr, usize)]) {
        let s = ctx.settings.flood.clone();
        let mut sum = Sum::default();
        let mut came = vec![];
        for (.., place) in hosts {
            if let Some((_, v)) = self.flows.hosts.at(*place) {
                sum.add(v);
                came.push(v.came());
            }
        }
        sum.strangers = self.flows.strangers(ctx, &hosts[0].0);
        let least = sum.came() / (8 * came.len().max(1) as u64);
        let hit = came.iter().filter(|c| **c > 0 && **c >= least).count();
        let is_single = sum.most.saturating_mul(2) >= sum.came();
        if !sum.is_quiet() || hit < CARPET_HOSTS as usize || is_single {
            return;
        }
        if sum.sent == 0 && !self.flows.sees_both_ways() && !sum.is_unlike_ordinary(&came) {
            return;
        }
        let Some(all) = self.spread.entry(ctx.keyed, &hosts[0].0) else {
            return;
        };
        let handle = all.told;
        all.forget_hosts();
        (all.interval, all.first_ms, all.last_ms) = (0, sum.first_ms, sum.last_ms);
        all.told = handle;
        for (_, addr, place) in hosts {
            if let Some((_, v)) = self.flows.hosts.at(*place)
                && v.came() >= least.max(1)
            {
                all.hit(ctx.keyed.addr(addr));
                all.gather(v);
            }
        }
        let seconds = sum.seconds();
        let rate = |counted: u64| all.sure(counted) * counted as f64 / seconds;
        let (packets, syns, segments) = (rate(sum.packets), rate(sum.syns), rate(sum.segments));
        let half_open = sum.completed.saturating_mul(5) < sum.syns && syns >= syns_max(&s);
        let much = packets >= rate_max(&s) || segments >= rate_max(&s) || half_open;
        if !much || all.sources.count() < MANY_SOURCES {
            return;
        }
        for (.., place) in hosts {
            if let Some((_, v)) = self.flows.hosts.at(*place) {
                // what came to it is told of no other incident
                let fresh = &mut v.told.fresh;
                for class in [Class::Volume, Class::Syn, Class::Segments] {
                    let fresh = std::mem::take(&mut fresh[class as usize]);
                    grow(&mut all.told.fresh[class as usize], fresh);
                }
                fresh[Class::Udp as usize] = 0;
            }
        }
        let (class, most, limit) = match () {
            () if packets >= syns.max(segments) => (Class::Volume, packets, rate_max(&s)),
            () if syns >= segments => (Class::Syn, syns, syns_max(&s)),
            () => (Class::Segments, segments, rate_max(&s)),
        };
        let kinds = [(NO_TCP, packets), (SYN, syns), (OTHER_TCP, segments)].into_iter();
        let kinds = kinds.filter(|k| k.1 >= 1.0);
        let kinds = kinds.map(|(name, rate)| figure(name, rate, None));
        let figures = [figure(RATE, most, Some(limit))].into_iter().chain(kinds);
        let part = self.carpets.part(ctx.now_ms, hosts[0].0);
        all.tell_carpet(ctx, part, figures.collect());
        let handle = all.told.handle;
        self.doubt_network(ctx, hosts[0].0, handle, class);
    }
}

impl Sum {
    fn add(&mut self, v: &Victim) {
        let is_first = self.came() == 0 && self.last_ms == 0;
        grow(&mut self.packets, v.packets.saturating_sub(v.collected));
        let refused = v.refused[0].saturating_add(v.refused[1]);
        grow(&mut self.syns, v.syns.saturating_sub(refused));
        grow(&mut self.completed, v.completed);
        grow(&mut self.segments, v.all_segments());
        grow(&mut self.sent, v.sent);
        grow(&mut self.sent, v.tried);
        grow(&mut self.lone, v.lone);
        self.interval = self.interval.max(v.interval);
        self.most = self.most.max(v.came());
        self.last_ms = self.last_ms.max(v.last_ms);
        self.first_ms = match is_first {
            true => v.first_ms,
            false => self.first_ms.min(v.first_ms),
        };
    }

    fn came(&self) -> u64 {
        let both = self.packets.saturating_add(self.syns);
        both.saturating_add(self.segments)
    }

    fn is_quiet(&self) -> bool {
        // of a sampled connection each segment counts as if it completed one
        let completed = if self.interval > 1 { 0 } else { self.completed };
        let own = self.sent.saturating_add(self.strangers);
        own.saturating_add(completed).saturating_mul(20) < self.came()
    }

    /// Whether what came is no ordinary traffic of which one way is seen: most hosts of the network get about the same, in rows of a few packets
    /// of no service. Of sampled packets nobody can say.
    fn is_unlike_ordinary(&self, came: &[u64]) -> bool {
        let mean = self.came() / came.len().max(1) as u64;
        let near = |n: &&u64| (mean / 4..=mean.saturating_mul(4)).contains(*n);
        let even = came.iter().filter(near).count();
        self.interval <= 1
            && self.completed.saturating_mul(20) < self.came()
            && self.lone.saturating_mul(10) >= self.came().saturating_mul(9)
            && mean >= EVEN_PACKETS
            && even >= EVEN_HOSTS
            && even * 5 >= came.len() * 4
    }

    /// The time over which it came: windows begin at different times, and rows are as long as they are, so that it says little beyond half a minute.
    fn seconds(&self) -> f64 {
        let seconds = self.last_ms.saturating_sub(self.first_ms) as f64 / 1000.0;
        seconds.clamp(SHORTEST_S, LONGEST_S)
    }
}

const NO_TCP: &str = "packets a second that are no TCP";
const SYN: &str = "SYN a second";
const OTHER_TCP: &str = "other segments of TCP a second";

/// Packets a second that are too many for a network.
fn rate_max(s: &FloodSettings) -> f64 {
    4.0 * f64::from(s.packets_many_sources)
}

/// SYNs a second that are: those of packets come within three seconds.
fn syns_max(s: &FloodSettings) -> f64 {
    4.0 * f64::from(s.half_open) / 3.0
}

/// So many hosts of a network that got something within a second are looked at.
const TOUCHED_MIN: usize = 4;
const SHORTEST_S: f64 = 5.0;
const LONGEST_S: f64 = 30.0;
/// Hosts that get about the same, and packets of each: of fewer it is chance.
const EVEN_HOSTS: usize = 128;
const EVEN_PACKETS: u64 = 8;
