//! Answers that nobody asked for, spread over the hosts of a network: one flood, and not one for each host.
//!
//! Rows of exporters are counted by host alone. Which hosts get such answers is known when they are judged, once a second; what came to those of
//! one network within a minute is added up then.

use super::super::keyed::network;
use super::super::{Ctx, figure};
use super::cause::UNASKED;
use super::victim::{CARPET_HOSTS, Class, Victim};
use super::{Few, Flood, VICTIM_MS, grow};
use crate::model::Addr;

impl Flood {
    /// Tells the networks of which many hosts get answers that they did not ask for, where one host alone would be told, and gives them in order.
    /// `touched` are the hosts of rows, in order, to which something came.
    pub(super) fn judge_reflected(
        &mut self,
        ctx: &mut Ctx<'_>,
        touched: &[(Addr, usize)],
    ) -> Vec<Addr> {
        let wanted = ctx.settings.flood.reflectors;
        let mut found: Vec<Addr> = vec![];
        for hosts in touched.chunk_by(|a, b| network(&a.0) == network(&b.0)) {
            let net = network(&hosts[0].0);
            if self.add_hit(ctx, net, hosts, wanted) {
                found.push(net);
            }
        }
        for net in &found {
            let first = touched.partition_point(|t| network(&t.0) < *net);
            let hosts = touched[first..].iter();
            let hosts = hosts.take_while(|t| network(&t.0) == *net);
            let Some(all) = self.reflected.find(ctx.keyed, net) else {
                continue;
            };
            for (_, place) in hosts {
                if let Some((_, v)) = self.flows.hosts.at(*place) {
                    all.gather(v);
                }
            }
            let services = f64::from(all.reflectors.count());
            all.tell_carpet(ctx, *net, figure(UNASKED, services, Some(wanted.into())));
            self.doubt(*net, ctx.now_ms + VICTIM_MS);
        }
        found
    }

    /// Adds the hosts of a network that are hit; whether they are a carpet now.
    fn add_hit(&mut self, ctx: &Ctx<'_>, net: Addr, hosts: &[(Addr, usize)], wanted: u32) -> bool {
        let mut is_flood = false;
        for (addr, place) in hosts {
            let Some((_, v)) = self.flows.hosts.at(*place) else {
                continue;
            };
            if v.reflected < u64::from(wanted) / 2 {
                continue;
            }
            let (unasked, struck) = v.is_reflected(wanted, true);
            if unasked < wanted / 4 && struck.is_none() {
                continue;
            }
            let first_ms = v.first_ms;
            let Some(all) = self.reflected.entry(ctx.keyed, &net) else {
                return false;
            };
            if ctx.now_ms.saturating_sub(all.long_began_ms) >= WINDOW_MS {
                all.hosts = Default::default();
                (all.reflectors, all.sources) = Default::default();
                all.some.n = 0;
                (all.long_began_ms, all.first_ms) = (ctx.now_ms, first_ms);
            }
            all.hosts.add(ctx.keyed.hash(addr));
            all.last_ms = all.last_ms.max(v.last_ms);
            is_flood |= struck.is_some();
        }
        let all = self.reflected.find(ctx.keyed, &net);
        is_flood && all.is_some_and(|all| all.hosts.count() >= CARPET_HOSTS)
    }
}

impl Victim {
    /// Adds what came to a host of this network and is told of no other incident.
    fn gather(&mut self, host: &mut Victim) {
        let fresh = std::mem::take(&mut host.told[Class::Udp as usize].fresh);
        host.told[Class::Volume as usize].fresh = 0;
        grow(&mut self.told[Class::Volume as usize].fresh, fresh);
        self.first_ms = self.first_ms.min(host.first_ms);
        self.last_ms = self.last_ms.max(host.last_ms);
        self.interval = self.interval.max(host.interval);
        let pairs = [
            (&mut self.reflectors, &host.reflectors),
            (&mut self.sources, &host.sources),
        ];
        for (mine, others) in pairs {
            mine.0.iter_mut().zip(others.0).for_each(|(a, b)| *a |= b);
        }
        let Few { n, addrs } = &host.some;
        for addr in &addrs[..usize::from(*n)] {
            if !self.some.to_vec().contains(addr) {
                self.some.push(*addr);
            }
        }
    }
}

const WINDOW_MS: i64 = 60_000;
