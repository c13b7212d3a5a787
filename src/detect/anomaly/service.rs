//! Services that a host never offered before.
//!
//! Of every host inside that was seen it is kept which ports it answered on; one that answers on another after the host was known for a
//! week, in three sessions, is told of once. How many hosts inside offer the same says whether it is rare. A service that
//! nobody used for a month is new again. Hosts with more services than are kept (peers of file sharing, port mappers) are not judged.

use super::arena::{Arena, Held};
use super::keep::{Kept, kept};
use super::keyed::{Distinct, Keyed, Recent, both};
use super::sighting::FlowSeen;
use super::{Ctx, Hashes, evidence, figure, is_group};
use crate::detect::incident::Finding;
use crate::model::{Addr, DetectionKind, Entity, EntityRole, Handshake, Severity};

#[derive(Debug)]
pub(super) struct Service {
    hosts: Arena<Addr, Offers>,
    /// Hosts inside that offer a port, of TCP and of UDP.
    offered: Vec<Distinct<1>>,
    /// Who was seen lately, so that it costs little to say so again.
    lately: Recent,
    began_ms: i64,
}

#[derive(Debug, Default)]
struct Offers {
    first_ms: i64,
    last_ms: i64,
    ports: [Port; PORTS],
    n: u8,
    /// More ports than are kept.
    many: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Port {
    proto: u8,
    port: u16,
    sessions: u16,
    told: bool,
    first_ms: i64,
    last_ms: i64,
}

kept!(Port {
    proto,
    port,
    sessions,
    told,
    first_ms,
    last_ms
});
kept!(Offers {
    first_ms,
    last_ms,
    ports,
    n,
    many
});

impl Held for Offers {
    fn suspicion(&self) -> u32 {
        // what was known for long is what makes new things new
        1 + u32::from(self.n)
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn is_light(&self) -> bool {
        self.n == 0
    }
}

impl Service {
    pub fn new(places: usize) -> Self {
        Service {
            hosts: Arena::new(places / 8),
            offered: vec![Distinct::default(); OFFERED],
            lately: Recent::new(LATELY_LOG2, LATELY_MS),
            began_ms: i64::MIN,
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<Addr, Offers>::bytes(places / 8) + OFFERED * 8 + Recent::bytes(LATELY_LOG2)
    }

    pub fn lost(&self) -> (u64, u64) {
        self.hosts.lost()
    }

    pub fn clear(&mut self) {
        self.hosts.clear();
        self.offered.fill(Distinct::default());
        self.began_ms = i64::MIN;
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        self.began_ms.put(out);
        self.offered.put(out);
        self.hosts.put(out);
    }

    pub fn get(&mut self, keyed: &Keyed, from: &mut &[u8]) -> Option<()> {
        self.began_ms = Kept::get(from)?;
        self.offered = Kept::get(from)?;
        self.offered.resize(OFFERED, Distinct::default());
        self.hosts.get(keyed, from)
    }

    /// Calls for what most rows need.
    #[inline]
    pub fn call(&self, f: &FlowSeen, h: Hashes) {
        let forth = f.metered || f.dst_port <= f.src_port;
        self.lately.call(if forth { h.src } else { h.dst });
    }

    pub fn flow(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, h: Hashes, answered: bool) {
        if self.began_ms == i64::MIN {
            self.began_ms = ctx.now_ms;
        }
        if !worked(f, answered) || is_group(&f.dst) || f.src == f.dst {
            return;
        }
        let ends = f.ends();
        let (client, server) = match ends.forth {
            true => (h.src, h.dst),
            false => (h.dst, h.src),
        };
        // ports that are drawn by lot say nothing where nothing else tells who began
        let is_drawn = ends.port == 0 || ends.port >= DRAWN && !(f.metered && f.proto == 6);
        self.lately.pass(ctx.now_ms);
        if ctx.zones.is_inside(&ends.client) && !self.lately.has(client) {
            self.lately.add(client);
            self.is_there(ctx, &ends.client, client);
        }
        // of an exporter's two rows of a connection one counts
        let counts = f.proto == 17 || ends.forth;
        if is_drawn || !counts || !ctx.zones.is_inside(&ends.server) {
            return;
        }
        let hash = both(server, u64::from(f.proto), ends.port.into());
        if self.lately.has(hash) && self.lately.has(!hash) {
            return;
        }
        let learned = ctx.now_ms.saturating_sub(self.began_ms);
        let Some(offers) = self.hosts.entry_at(ctx.keyed, server, &ends.server) else {
            return;
        };
        if offers.first_ms == 0 {
            offers.first_ms = ctx.now_ms;
        }
        offers.last_ms = ctx.now_ms;
        let Some(at) = offers.session(ctx.now_ms, f.proto, ends.port) else {
            return;
        };
        let cell = usize::from(f.proto == 17) << 16 | usize::from(ends.port);
        self.offered[cell].add(server);
        let elsewhere = self.offered[cell].count().saturating_sub(1);
        let s = &ctx.settings.service;
        let port = offers.ports[at];
        if u32::from(port.sessions) >= s.sessions {
            // known well: no need to look again for a while
            self.lately.add(hash);
            self.lately.add(!hash);
        }
        let week_ms = i64::from(s.known_days) * DAY_MS;
        let known_ms = port.first_ms.saturating_sub(offers.first_ms);
        let is_new = known_ms >= week_ms && learned >= week_ms && !offers.many;
        if !is_new || port.told || u32::from(port.sessions) < s.sessions {
            return;
        }
        offers.ports[at].told = true;
        let finding = finding(
            ctx,
            f,
            &port,
            (ends.server, ends.client),
            (known_ms, elsewhere, offers.n),
        );
        if let Some(handle) = ctx.incidents.report(ctx.now_ms, finding) {
            ctx.incidents.show(handle, evidence(f));
        }
    }

    fn is_there(&mut self, ctx: &Ctx<'_>, host: &Addr, hash: u64) {
        if let Some(offers) = self.hosts.entry_at(ctx.keyed, hash, host) {
            if offers.first_ms == 0 {
                offers.first_ms = ctx.now_ms;
            }
            offers.last_ms = ctx.now_ms;
        }
    }
}

impl Offers {
    /// Counts a session; the place of its port, `None` where there is none.
    fn session(&mut self, now_ms: i64, proto: u8, port: u16) -> Option<usize> {
        let n = usize::from(self.n).min(PORTS);
        let is_it = |p: &Port| p.port == port && p.proto == proto;
        let at = match self.ports[..n].iter().position(is_it) {
            Some(at) if now_ms.saturating_sub(self.ports[at].last_ms) > MONTH_MS => {
                self.ports[at] = Port::default();
                at
            }
            Some(at) => at,
            None if n < PORTS => {
                self.n += 1;
                n
            }
            None => {
                // one that nobody used for a month gives way
                let old = |p: &Port| now_ms.saturating_sub(p.last_ms) > MONTH_MS;
                let Some(at) = self.ports.iter().position(old) else {
                    self.many = true;
                    return None;
                };
                self.ports[at] = Port::default();
                at
            }
        };
        let p = &mut self.ports[at];
        if p.first_ms == 0 {
            (p.proto, p.port, p.first_ms) = (proto, port, now_ms);
        }
        p.sessions = p.sessions.saturating_add(1);
        p.last_ms = now_ms;
        Some(at)
    }
}

/// Whether somebody answered.
fn worked(f: &FlowSeen, answered: bool) -> bool {
    match (f.proto, f.metered) {
        (6, true) => f.handshake == Handshake::Complete,
        (6, false) => f.tcp_flags.is_some_and(|t| t & 0x12 == 0x12) && f.packets > 2,
        (17, true) => f.back_packets > 0,
        (17, false) => answered,
        _ => false,
    }
}

fn finding(
    ctx: &Ctx<'_>,
    f: &FlowSeen,
    port: &Port,
    (server, client): (Addr, Addr),
    (known_ms, elsewhere, offers): (i64, u32, u8),
) -> Finding {
    let s = &ctx.settings.service;
    let name = if port.proto == 6 { "tcp" } else { "udp" };
    let days = known_ms as f64 / DAY_MS as f64;
    let mut known = figure(
        "days that the host was known",
        days,
        Some(s.known_days.into()),
    );
    known.baseline = None;
    let is_rare = elsewhere < RARE;
    let mut blind = super::sampled(f.interval);
    blind.push("services that nobody used while it was known".to_owned());
    Finding {
        kind: DetectionKind::NewService,
        detector: if is_rare {
            "service.rare"
        } else {
            "service.new"
        },
        entity: Entity::Host(server),
        role: EntityRole::Source,
        severity: is_rare.then_some(Severity::Medium),
        confidence: if is_rare { 65 } else { 50 },
        about: format!("{server} port {} ({name})", port.port),
        first_ms: port.first_ms,
        last_ms: f.end_ms,
        count: port.sessions.into(),
        peers: vec![client],
        peers_total: 1,
        figures: vec![
            known,
            figure("sessions", port.sessions.into(), Some(s.sessions.into())),
            figure("other hosts inside that offer it", elsewhere.into(), None),
            figure("services that it offers", offers.into(), None),
        ],
        facts: vec![
            ("service", format!("{}/{name}", port.port)),
            super::counted(),
        ],
        counterfactual: format!(
            "a session on this port before, or a host that was known for less than {} days",
            s.known_days
        ),
        blind,
    }
}

const PORTS: usize = 16;
const OFFERED: usize = 1 << 17;
const LATELY_LOG2: u32 = 20;
const LATELY_MS: i64 = 3_600_000;
const DAY_MS: i64 = 86_400_000;
const MONTH_MS: i64 = 30 * DAY_MS;
/// From here on systems draw the ports of clients (Linux: 32,768; RFC 6335: 49,152).
const DRAWN: u16 = 32_768;
/// Fewer other hosts than that: it is rare.
const RARE: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_kept_and_the_unused_one_gives_way() {
        let mut o = Offers::default();
        for port in 1..=PORTS as u16 {
            assert!(o.session(1_000, 6, port).is_some());
        }
        assert_eq!(o.session(2_000, 6, 3), Some(2));
        assert_eq!(o.ports[2].sessions, 2);
        assert!(o.session(2_000, 6, 99).is_none() && o.many);
        assert_eq!(o.session(1_001 + MONTH_MS, 6, 99), Some(0));
        assert_eq!((o.ports[0].sessions, o.ports[0].port), (1, 99));
        // the same port after a month is new again
        assert_eq!(o.session(9_000 + 2 * MONTH_MS, 6, 99), Some(0));
        assert_eq!(o.ports[0].sessions, 1);
    }
}
