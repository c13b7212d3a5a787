//! Work on other hosts inside the network: remote calls that run programs, and one host that opens many doors.
//!
//! The calls are those that BZAR (MITRE) maps to techniques: services, scheduled tasks, WMI, replication of the directory. A
//! fan-out over administrative ports goes by the hosts in an hour that this source did not come to in the weeks before. Once a week was
//! seen, one that never opened such a door needs fewer of them, and one that administers needs more new ones than it usually has hosts
//! in its busiest hour. Before that week is over, SSH and WinRM need four times as many, for tools that manage hosts open them on all of these in a row.
//! A door through which hardly anything is said was not opened: monitors connect and go.
//!
//! Controllers of a domain replicate from each other. Who answers Kerberos or LDAP to some others is known to be one, and so is whom one of these
//! asks; replication that somebody else asks for reads the secrets of the directory (DCSync).

use super::arena::{Arena, Held};
use super::brute_force::{BruteForce, Doubt};
use super::keep::{Kept, kept};
use super::keyed::{Distinct, Keyed, Recent, both};
use super::named::Hosts;
use super::sighting::{CallSeen, FlowSeen, PairSeen, Side};
use super::{Ctx, Hashes, TCP, UDP, evidence, packet_evidence};
use crate::detect::incident::{Finding, Growth, Handle, PEERS};
use crate::model::{Addr, DetectionKind, Entity, EntityRole, Figure, Handshake, Severity};

#[derive(Debug)]
pub(super) struct Lateral {
    pairs: Arena<(Addr, Addr), Calls>,
    hosts: Arena<Addr, Doors>,
    /// Source, destination and port within two weeks to a month.
    edges: Recent,
    controllers: Arena<Addr, Controller>,
    /// First row.
    began_ms: i64,
}

/// Calls of a client to a server.
#[derive(Debug, Default)]
struct Calls {
    last_ms: i64,
    bound: &'static str,
    challenges: u32,
    began_ms: i64,
}

/// A host inside that answers Kerberos or LDAP.
#[derive(Debug, Default)]
struct Controller {
    last_ms: i64,
    clients: Distinct<1>,
    /// Since when it is known to be a controller; 0: it is not.
    since_ms: i64,
}

kept!(Controller {
    last_ms,
    clients,
    since_ms
});

impl Held for Controller {
    fn suspicion(&self) -> u32 {
        self.clients.count() + u32::from(self.since_ms != 0)
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn is_light(&self) -> bool {
        self.since_ms == 0
    }
}

/// Administrative doors that a host opened within an hour.
#[derive(Debug, Default)]
struct Doors {
    began_ms: i64,
    first_ms: i64,
    last_ms: i64,
    hosts: Distinct<4>,
    /// Of these, the ones that it did not come to in the weeks before.
    fresh: Hosts<4, 64>,
    /// The same on ports by which whole networks are managed, before it is known who manages them.
    managed: Hosts<4, 64>,
    /// Hosts of its busiest hour before, halved every two weeks.
    usual: f32,
    handle: Option<Handle>,
}

kept!(Doors {
    began_ms,
    first_ms,
    last_ms,
    hosts,
    fresh,
    managed,
    usual,
    handle
});

impl Held for Calls {
    fn suspicion(&self) -> u32 {
        1 + self.challenges
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
}

impl Held for Doors {
    fn suspicion(&self) -> u32 {
        if self.handle.is_some() {
            u32::MAX
        } else {
            self.hosts.count()
        }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
}

impl Lateral {
    pub fn new(places: usize) -> Self {
        Lateral {
            pairs: Arena::new(places / 32),
            hosts: Arena::new(places / 32),
            edges: Recent::new(EDGES_LOG2, EDGES_MS),
            controllers: Arena::new(places / 64),
            began_ms: i64::MIN,
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<(Addr, Addr), Calls>::bytes(places / 32)
            + Arena::<Addr, Doors>::bytes(places / 32)
            + places / 32 * 2 * Hosts::<4, 64>::BYTES
            + Arena::<Addr, Controller>::bytes(places / 64)
            + Recent::bytes(EDGES_LOG2)
    }

    pub fn lost(&self) -> (u64, u64) {
        let all = [
            self.pairs.lost(),
            self.hosts.lost(),
            self.controllers.lost(),
        ];
        all.iter().fold((0, 0), |s, l| (s.0 + l.0, s.1 + l.1))
    }

    pub fn clear(&mut self) {
        self.pairs.clear();
        self.hosts.clear();
        self.edges = Recent::new(EDGES_LOG2, EDGES_MS);
        self.controllers.clear();
        self.began_ms = i64::MIN;
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        self.hosts.put(out);
        self.edges.put(out);
        self.controllers.put(out);
        self.began_ms.put(out);
    }

    pub fn get(&mut self, keyed: &Keyed, from: &mut &[u8]) -> Option<()> {
        self.hosts.get(keyed, from)?;
        self.edges.get(from)?;
        self.controllers.get(keyed, from)?;
        self.began_ms = Kept::get(from)?;
        Some(())
    }

    pub fn call(&mut self, ctx: &mut Ctx<'_>, c: &CallSeen) {
        if ctx.is_allowed(&c.client) {
            return;
        }
        let Some(calls) = self.pairs.entry(ctx.keyed, &(c.client, c.server)) else {
            return;
        };
        calls.last_ms = ctx.now_ms;
        let Some(operation) = c.operation else {
            calls.bound = c.interface;
            if RUNS.contains(&c.interface) {
                tell(ctx, c, finding(c, (c.interface, "is bound"), 60));
            }
            return;
        };
        if calls.bound == "netlogon" && matches!(operation, 4 | 15 | 26) {
            calls.challenge(ctx, c);
            return;
        }
        let known = OPERATIONS
            .iter()
            .find(|o| o.0 == calls.bound && o.1 == operation);
        match known {
            Some(&(DIRECTORY, _, name)) => self.replicates(ctx, c, name),
            Some(&(interface, _, name)) => tell(ctx, c, finding(c, (interface, name), 85)),
            None => {}
        }
    }

    /// Somebody asks for what a directory holds. Whom a controller asks is one, too.
    fn replicates(&mut self, ctx: &mut Ctx<'_>, c: &CallSeen, name: &'static str) {
        let client = self.controllers.find(ctx.keyed, &c.client);
        if client.is_some_and(|c| c.since_ms != 0) {
            if let Some(server) = self.controllers.entry(ctx.keyed, &c.server) {
                server.last_ms = ctx.now_ms;
                if server.since_ms == 0 {
                    server.since_ms = ctx.now_ms;
                }
            }
            return;
        }
        let server = self.controllers.find(ctx.keyed, &c.server);
        let since_ms = server.map_or(0, |s| s.since_ms);
        let is_sure = since_ms != 0 && ctx.now_ms.saturating_sub(since_ms) >= SURE_MS;
        let found = finding(c, (DIRECTORY, name), if is_sure { 85 } else { 50 });
        let found = match is_sure {
            true => found,
            false => Finding {
                severity: Some(Severity::Low),
                blind: vec![
                    "who the controllers of the domain are is not known for long".to_owned(),
                ],
                ..found
            },
        };
        tell(ctx, c, found);
    }

    /// Learns who answers Kerberos and LDAP: of an exporter's rows by those of the server.
    fn serves(&mut self, ctx: &Ctx<'_>, f: &FlowSeen) {
        let (server, client, answers) = match f.metered {
            true => (
                f.dst,
                f.src,
                f.side == Side::Initiator
                    && f.back_packets > 0
                    && (f.proto == UDP || f.handshake == Handshake::Complete),
            ),
            false => (
                f.src,
                f.dst,
                f.src_port < f.dst_port
                    && (f.proto == UDP || f.tcp_flags.is_some_and(|t| t & 0x12 == 0x12)),
            ),
        };
        if !answers || server == client || !ctx.zones.is_inside(&server) {
            return;
        }
        if let Some(controller) = self.controllers.entry(ctx.keyed, &server) {
            controller.last_ms = ctx.now_ms;
            controller.clients.add(ctx.keyed.addr(&client));
            if controller.since_ms == 0 && controller.clients.count() >= CLIENTS {
                controller.since_ms = ctx.now_ms;
            }
        }
    }

    /// A door that a row is; `guesses` says how far it is known to have been shut.
    pub fn flow(
        &mut self,
        ctx: &mut Ctx<'_>,
        (f, h): (&FlowSeen, Hashes),
        guesses: &mut BruteForce,
    ) {
        if self.began_ms == i64::MIN {
            self.began_ms = ctx.now_ms;
        }
        let port = if f.metered { f.dst_port } else { f.src_port };
        if matches!(port, 88 | 389) && matches!(f.proto, TCP | UDP) {
            self.serves(ctx, f);
        }
        if f.proto != TCP || !DOORS.contains(&f.dst_port) || f.src == f.dst {
            return;
        }
        let opened = match f.metered {
            true => f.handshake == Handshake::Complete && f.side == Side::Initiator,
            false => f.tcp_flags.is_some_and(|t| t & 0x12 == 0x12),
        };
        let inside = |a: &Addr| ctx.zones.is_inside(a);
        let opened = opened && says_something(f);
        if !opened || !inside(&f.src) || !inside(&f.dst) || ctx.is_allowed(&f.src) {
            return;
        }
        let doubt = guesses.doubt(ctx, f);
        if doubt == Doubt::Refused {
            return;
        }
        self.edges.pass(ctx.now_ms);
        let edge = both(h.src, h.dst, f.dst_port.into());
        let past = Past {
            is_known: self.edges.has(edge),
            is_long: ctx.now_ms.saturating_sub(self.began_ms) >= LEARN_MS,
            may_be_shut: doubt == Doubt::LooksSo,
        };
        self.edges.add(edge);
        if let Some(doors) = self.hosts.entry_at(ctx.keyed, h.src, &f.src) {
            doors.open(ctx, (f, h.dst), past);
        }
    }

    /// A heartbeat that asks for memory.
    pub fn heartbleed(ctx: &mut Ctx<'_>, p: &PairSeen) {
        let finding = Finding {
            kind: DetectionKind::Heartbleed,
            detector: "lateral.heartbleed",
            entity: Entity::Host(p.src),
            role: EntityRole::Source,
            severity: None,
            confidence: 95,
            about: format!("{} against {}", p.src, p.dst),
            first_ms: p.time_ms,
            last_ms: p.time_ms,
            count: 1,
            peers: vec![p.dst],
            peers_total: 1,
            figures: vec![],
            facts: vec![("port", p.port.to_string())],
            counterfactual: "heartbeats whose length is that of what they carry".to_owned(),
            blind: vec![],
        };
        ctx.incidents.report(ctx.now_ms, finding);
    }
}

impl Calls {
    /// Challenges of a secure channel in a row: a password of zeros is right once in 256 (CVE-2020-1472).
    fn challenge(&mut self, ctx: &mut Ctx<'_>, c: &CallSeen) {
        if ctx.now_ms.saturating_sub(self.began_ms) > 60_000 {
            (self.began_ms, self.challenges) = (ctx.now_ms, 0);
        }
        self.challenges += 1;
        if self.challenges >= CHALLENGES {
            let what = ("netlogon", "secure channels are tried in a row");
            tell(ctx, c, finding(c, what, 90));
        }
    }
}

/// What is known of the weeks before.
#[derive(Clone, Copy)]
struct Past {
    /// Whether the source came to this port of this host.
    is_known: bool,
    /// Whether enough was seen to say what is usual.
    is_long: bool,
    /// Whether the door has the shape of one that was not opened.
    may_be_shut: bool,
}

impl Doors {
    /// Counts a door with the hash of whose it is.
    fn open(&mut self, ctx: &mut Ctx<'_>, (f, host): (&FlowSeen, u64), past: Past) {
        let age_ms = ctx.now_ms.saturating_sub(self.began_ms);
        if age_ms > WINDOW_MS {
            // an hour that was told is not usual
            let busiest = match self.handle {
                None => self.hosts.count() as f32,
                Some(_) => 0.0,
            };
            let halves = age_ms as f32 / EDGES_MS as f32;
            *self = Doors {
                began_ms: ctx.now_ms,
                first_ms: f.start_ms,
                usual: busiest.max(self.usual * 0.5f32.powf(halves)),
                ..Doors::default()
            };
        }
        self.last_ms = ctx.now_ms;
        self.hosts.add(host);
        // a host whose doors were opened one after the other is as new as it was at the first
        // who administers hosts does so on many in a row, and before a week is over nobody knows who does
        let may_manage = !past.is_long && MANAGED.contains(&f.dst_port);
        let of = match may_manage {
            true => &mut self.managed,
            false => &mut self.fresh,
        };
        if past.is_known {
            return;
        }
        let is_fresh = of.add(f.dst, host);
        let fresh = of.count();
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: f.end_ms,
                count: is_fresh.into(),
                peer: Some(f.dst),
                peers_total: fresh.into(),
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents.show(handle, evidence(f));
                ctx.incidents.figure(handle, FRESH, fresh.into());
                return;
            }
        }
        if !is_fresh {
            return;
        }
        let wanted = match self.usual {
            _ if may_manage => HOSTS_MANAGED,
            _ if !past.is_long => HOSTS,
            usual if usual < 1.0 => HOSTS_OF_NONE,
            usual => HOSTS.max(usual.ceil() as u32),
        };
        // who only tries passwords is told by that
        let sprayed = ctx.settings.brute_force.spray_hosts.saturating_add(1);
        let wanted = match past.may_be_shut {
            true => wanted.max(sprayed),
            false => wanted,
        };
        if fresh >= wanted {
            let hosts = match may_manage {
                true => &self.managed,
                false => &self.fresh,
            };
            let peers = hosts.named(f.dst);
            self.tell(ctx, f, past, (peers, fresh, wanted));
        }
    }

    fn tell(
        &mut self,
        ctx: &mut Ctx<'_>,
        f: &FlowSeen,
        past: Past,
        (peers, fresh, wanted): (Vec<Addr>, u32, u32),
    ) {
        let blind = match past.is_long {
            true => vec![],
            false => {
                vec![
                    "what this host does usually is not known: less than a week was seen"
                        .to_owned(),
                ]
            }
        };
        let finding = Finding {
            kind: DetectionKind::LateralMovement,
            detector: "lateral.fan_out",
            entity: Entity::Host(f.src),
            role: EntityRole::Source,
            severity: None,
            confidence: if past.is_long { 75 } else { 55 },
            about: format!("{} to {PEERS} hosts", f.src),
            first_ms: self.first_ms,
            last_ms: f.end_ms,
            count: fresh.into(),
            peers,
            peers_total: fresh.into(),
            figures: vec![Figure {
                name: FRESH.into(),
                observed: fresh.into(),
                threshold: Some(wanted.into()),
                baseline: past.is_long.then_some(self.usual.into()),
            }],
            facts: vec![],
            counterfactual: format!(
                "fewer than {wanted} hosts within an hour that it did not come to before, or the source in allow_sources"
            ),
            blind,
        };
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, evidence(f));
        }
    }
}

/// Whether more goes through a door than headers and a greeting, in each direction that the row tells of. Of samples nothing is said.
fn says_something(f: &FlowSeen) -> bool {
    // with the options that systems send; a connection of many packets carries something
    let headers = if f.src.is_v4() { 52 } else { 72 };
    let says = |bytes: u64, packets: u64| bytes >= SAID + packets.min(FEW) * headers;
    let back = f.back_bytes.is_none_or(|b| says(b, f.back_packets));
    f.interval > 1 || back && says(f.bytes, f.packets)
}

fn finding(c: &CallSeen, (interface, what): (&str, &str), confidence: u8) -> Finding {
    Finding {
        kind: DetectionKind::LateralMovement,
        detector: "lateral.call",
        entity: Entity::Host(c.client),
        role: EntityRole::Source,
        severity: None,
        confidence,
        about: format!("{} on {} by {}", interface, c.server, c.client),
        first_ms: c.time_ms,
        last_ms: c.time_ms,
        count: 1,
        peers: vec![c.server],
        peers_total: 1,
        figures: vec![],
        facts: vec![
            super::counted(),
            ("interface", interface.to_owned()),
            ("call", what.to_owned()),
            ("port", c.port.to_string()),
        ],
        counterfactual: "no such call, or the source in allow_sources".to_owned(),
        blind: vec![],
    }
}

fn tell(ctx: &mut Ctx<'_>, c: &CallSeen, found: Finding) {
    if let Some(handle) = ctx.incidents.report(ctx.now_ms, found) {
        let (client, server) = ((c.client, c.client_port), (c.server, c.port));
        let flow = packet_evidence(client, server, TCP, (c.bytes, c.time_ms));
        ctx.incidents.show(handle, flow);
    }
}

/// Interfaces that nobody binds but to run something elsewhere.
const RUNS: [&str; 4] = ["svcctl", "atsvc", "ITaskSchedulerService", "IWbemServices"];

/// Calls by interface and number (MS-SCMR, MS-TSCH, MS-WMI, MS-DRSR).
const OPERATIONS: [(&str, u16, &str); 12] = [
    ("svcctl", 12, "CreateServiceW"),
    ("svcctl", 19, "StartServiceW"),
    ("svcctl", 24, "CreateServiceA"),
    ("svcctl", 31, "StartServiceA"),
    ("svcctl", 45, "CreateServiceWOW64W"),
    ("atsvc", 0, "NetrJobAdd"),
    ("ITaskSchedulerService", 1, "SchRpcRegisterTask"),
    ("ITaskSchedulerService", 12, "SchRpcRun"),
    ("IWbemServices", 24, "ExecMethod"),
    ("IWbemServices", 25, "ExecMethodAsync"),
    (DIRECTORY, 3, "DRSGetNCChanges"),
    ("winreg", 22, "BaseRegSetValue"),
];

/// Replication of the directory (MS-DRSR).
const DIRECTORY: &str = "drsuapi";
/// A controller answers so many others, and after so long others are known as well.
const CLIENTS: u32 = 3;
const SURE_MS: i64 = 4 * 3_600_000;
/// Bytes beside headers that are more than a greeting, and packets whose headers are left out.
const SAID: u64 = 200;
const FEW: u64 = 16;
const DOORS: [u16; 8] = [22, 135, 139, 445, 3389, 5985, 5986, 47_001];
/// Of these, the ones by which whole networks are managed at once.
const MANAGED: [u16; 4] = [22, 5985, 5986, 47_001];
const FRESH: &str = "new hosts on administrative ports within an hour";
const HOSTS: u32 = 15;
/// On ports of management, before a week was seen.
const HOSTS_MANAGED: u32 = 60;
/// Of a host that in weeks opened none.
const HOSTS_OF_NONE: u32 = 8;
const LEARN_MS: i64 = 7 * 86_400_000;
const EDGES_MS: i64 = 14 * 86_400_000;
const EDGES_LOG2: u32 = 20;
const WINDOW_MS: i64 = 3_600_000;
const CHALLENGES: u32 = 30;
