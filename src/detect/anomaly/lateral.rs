//! Work on other hosts inside the network: remote calls that run programs, and one host that opens many doors.
//!
//! The calls are those that BZAR (MITRE) maps to techniques: services, scheduled tasks, WMI, replication of the directory. A
//! fan-out over administrative ports goes by hosts in an hour, since what is usual for a host is not known to a replay.

use super::arena::{Arena, Held};
use super::keep::kept;
use super::keyed::{Distinct, Keyed};
use super::sighting::{CallSeen, FlowSeen, PairSeen, Side};
use super::{Ctx, Hashes, evidence, figure};
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole, Handshake};

#[derive(Debug)]
pub(super) struct Lateral {
    pairs: Arena<(Addr, Addr), Calls>,
    hosts: Arena<Addr, Doors>,
}

/// Calls of a client to a server.
#[derive(Debug, Default)]
struct Calls {
    last_ms: i64,
    bound: &'static str,
    challenges: u32,
    began_ms: i64,
}

/// Administrative doors that a host opened.
#[derive(Debug, Default)]
struct Doors {
    began_ms: i64,
    first_ms: i64,
    last_ms: i64,
    hosts: Distinct<4>,
    handle: Option<Handle>,
}

kept!(Doors { began_ms, first_ms, last_ms, hosts; handle });

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
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<(Addr, Addr), Calls>::bytes(places / 32) + Arena::<Addr, Doors>::bytes(places / 32)
    }

    pub fn lost(&self) -> (u64, u64) {
        let (a, b) = (self.pairs.lost(), self.hosts.lost());
        (a.0 + b.0, a.1 + b.1)
    }

    pub fn clear(&mut self) {
        self.pairs.clear();
        self.hosts.clear();
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        self.hosts.put(out);
    }

    pub fn get(&mut self, keyed: &Keyed, from: &mut &[u8]) -> Option<()> {
        self.hosts.get(keyed, from)
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
                tell(ctx, c, c.interface, "is bound", 60);
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
        if let Some((interface, _, name)) = known {
            tell(ctx, c, interface, name, 85);
        }
    }

    pub fn flow(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, h: Hashes) {
        if f.proto != 6 || !DOORS.contains(&f.dst_port) || f.src == f.dst {
            return;
        }
        let opened = match f.metered {
            true => f.handshake == Handshake::Complete && f.side == Side::Initiator,
            false => f.tcp_flags.is_some_and(|t| t & 0x12 == 0x12),
        };
        let inside = |a: &Addr| ctx.zones.is_inside(a);
        if !opened || !inside(&f.src) || !inside(&f.dst) || ctx.is_allowed(&f.src) {
            return;
        }
        if let Some(doors) = self.hosts.entry_at(ctx.keyed, h.src, &f.src) {
            doors.open(ctx, f, h.dst);
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
            tell(ctx, c, "netlogon", "secure channels are tried in a row", 90);
        }
    }
}

impl Doors {
    /// Counts a door; `to` is the hash of whose it is.
    fn open(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, to: u64) {
        if ctx.now_ms.saturating_sub(self.began_ms) > WINDOW_MS {
            *self = Doors {
                began_ms: ctx.now_ms,
                first_ms: f.start_ms,
                ..Doors::default()
            };
        }
        self.last_ms = ctx.now_ms;
        if !self.hosts.add(to) {
            return;
        }
        let hosts = self.hosts.count();
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: f.end_ms,
                count: 1,
                peer: Some(f.dst),
                peers_total: hosts.into(),
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents.show(handle, evidence(f));
                return;
            }
        }
        if hosts < HOSTS {
            return;
        }
        let finding = Finding {
            kind: DetectionKind::LateralMovement,
            detector: "lateral.fan_out",
            entity: Entity::Host(f.src),
            role: EntityRole::Source,
            severity: None,
            confidence: 55,
            about: format!("{} to {hosts} hosts", f.src),
            first_ms: self.first_ms,
            last_ms: f.end_ms,
            count: hosts.into(),
            peers: vec![f.dst],
            peers_total: hosts.into(),
            figures: vec![figure(
                "hosts on administrative ports within an hour",
                hosts.into(),
                Some(HOSTS.into()),
            )],
            facts: vec![],
            counterfactual: format!(
                "fewer than {HOSTS} hosts within an hour, or the source in allow_sources"
            ),
            blind: vec!["what this host does usually is not known".to_owned()],
        };
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, evidence(f));
        }
    }
}

fn tell(ctx: &mut Ctx<'_>, c: &CallSeen, interface: &'static str, what: &str, confidence: u8) {
    let finding = Finding {
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
            ("interface", interface.to_owned()),
            ("call", what.to_owned()),
            ("port", c.port.to_string()),
        ],
        counterfactual: "no such call, or the source in allow_sources".to_owned(),
        blind: vec![],
    };
    ctx.incidents.report(ctx.now_ms, finding);
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
    ("drsuapi", 3, "DRSGetNCChanges"),
    ("winreg", 22, "BaseRegSetValue"),
];

const DOORS: [u16; 8] = [22, 135, 139, 445, 3389, 5985, 5986, 47_001];
const HOSTS: u32 = 15;
const WINDOW_MS: i64 = 3_600_000;
const CHALLENGES: u32 = 30;
