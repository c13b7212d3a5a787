//! Answers that nobody asked for, spread over the hosts of a network: one flood, and not one for each host.
//!
//! Rows of exporters are counted by host alone. Which hosts get such answers is known when they are judged, once a second; what came to those of
//! one network within a minute is added up then.

use super::super::keyed::network;
use super::super::{Ctx, figure};
use super::cause::UNASKED;
use super::told::Class;
use super::victim::CARPET_HOSTS;
use super::{Flood, grow};
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
                    // what came to it is told of no other incident
                    let fresh = std::mem::take(&mut v.told.fresh[Class::Udp as usize]);
                    v.told.fresh[Class::Volume as usize] = 0;
                    grow(&mut all.told.fresh[Class::Volume as usize], fresh);
                    all.gather(v);
                }
            }
            let services = f64::from(all.reflectors.count());
            let services = figure(UNASKED, services, Some(wanted.into()));
            let part = self.carpets.part(ctx.now_ms, *net);
            all.tell_carpet(ctx, part, vec![services]);
            let handle = all.told.handle;
            self.doubt_network(ctx, *net, handle, Class::Udp);
        }
        found
    }

    /// Adds the hosts of a network that are hit; whether they are a carpet now.
    fn add_hit(&mut self, ctx: &Ctx<'_>, net: Addr, hosts: &[(Addr, usize)], wanted: u32) -> bool {
        let (mut is_flood, how) = (false, self.flows.how());
        for (addr, place) in hosts {
            let Some((_, v)) = self.flows.hosts.at(*place) else {
                continue;
            };
            if v.reflected < u64::from(wanted) / 2 {
                continue;
            }
            let (unasked, struck) = v.is_reflected(wanted, how);
            if unasked < wanted / 4 && struck.is_none() {
                continue;
            }
            let first_ms = v.first_ms;
            let Some(all) = self.reflected.entry(ctx.keyed, &net) else {
                return false;
            };
            if ctx.now_ms.saturating_sub(all.long_began_ms) >= WINDOW_MS {
                all.forget_hosts();
                (all.long_began_ms, all.first_ms) = (ctx.now_ms, first_ms);
            }
            all.hit(ctx.keyed.addr(addr));
            all.last_ms = all.last_ms.max(v.last_ms);
            is_flood |= struck.is_some();
        }
        let all = self.reflected.find(ctx.keyed, &net);
        is_flood && all.is_some_and(|all| all.hosts_hit() >= CARPET_HOSTS)
    }
}

const WINDOW_MS: i64 = 60_000;
