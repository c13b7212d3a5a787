//! One source that tries many hosts, each seldom.

use super::super::arena::Held;
use super::super::named::Hosts;
use super::super::sighting::{DeniedSeen, FlowSeen};
use super::super::{Ctx, evidence};
use super::{figure, finding};
use crate::detect::incident::{Growth, Handle};
use crate::model::{Addr, DetectionKind, EvidenceFlow};

/// Hosts on which one client was refused, or seems to have been.
#[derive(Debug, Default)]
pub(super) struct Spray {
    first_ms: i64,
    last_ms: i64,
    hosts: Hosts<4, 16>,
    refused: u32,
    handle: Option<Handle>,
}

/// A refusal: who told it, and when.
pub(super) struct Refusal {
    pub client: Addr,
    pub server: Addr,
    pub port: u16,
    pub service: &'static str,
    pub first_ms: i64,
    pub last_ms: i64,
    /// The flow that shows it.
    pub flow: EvidenceFlow,
    /// By the shape of a session, else in words.
    by_shape: bool,
}

impl Refusal {
    pub fn told(d: &DeniedSeen) -> Self {
        Refusal {
            client: d.client,
            server: d.server,
            port: d.port,
            service: d.service,
            first_ms: d.time_ms,
            last_ms: d.time_ms,
            flow: d.evidence(),
            by_shape: false,
        }
    }

    pub fn shaped(f: &FlowSeen, service: &'static str) -> Self {
        Refusal {
            client: f.src,
            server: f.dst,
            port: f.dst_port,
            service,
            first_ms: f.start_ms,
            last_ms: f.end_ms,
            flow: evidence(f),
            by_shape: true,
        }
    }
}

impl Held for Spray {
    fn suspicion(&self) -> u32 {
        if self.handle.is_some() {
            u32::MAX
        } else {
            self.refused
        }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
}

impl Spray {
    /// Whether it was told, and goes on.
    pub fn is_told(&self, now_ms: i64) -> bool {
        self.handle.is_some() && now_ms.saturating_sub(self.last_ms) <= SPRAY_MS
    }

    /// Adds a refusal; whether it belongs to a spray that is told.
    pub fn refuse(&mut self, ctx: &mut Ctx<'_>, r: Refusal) -> bool {
        if ctx.now_ms.saturating_sub(self.last_ms) > SPRAY_MS {
            *self = Spray {
                first_ms: r.first_ms,
                ..Spray::default()
            };
        }
        self.last_ms = ctx.now_ms;
        self.refused = self.refused.saturating_add(1);
        self.hosts.add(r.server, ctx.keyed.hash(&r.server));
        let wanted = ctx.settings.brute_force.spray_hosts;
        let hosts = self.hosts.count();
        let is_spray = hosts >= wanted && self.refused < EACH * hosts;
        if is_spray {
            self.tell(ctx, r, wanted);
        }
        is_spray
    }

    fn tell(&mut self, ctx: &mut Ctx<'_>, r: Refusal, wanted: u32) {
        let hosts = self.hosts.count();
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: r.last_ms,
                count: 1,
                peer: Some(r.server),
                peers_total: u64::from(hosts),
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents.figure(handle, HOSTS, hosts.into());
                ctx.incidents.show(handle, r.flow);
                return;
            }
        }
        let rule = match r.by_shape {
            true => "brute_force.spray_sessions",
            false => "brute_force.spray",
        };
        let mut finding = finding(
            (r.client, r.server, r.port),
            (r.service, rule),
            (self.first_ms, r.last_ms, u64::from(self.refused)),
            vec![figure(HOSTS, f64::from(hosts), f64::from(wanted))],
            format!("fewer than {wanted} hosts"),
        );
        finding.kind = DetectionKind::PasswordSpray;
        finding.about = format!("{} by {}", r.service, r.client);
        finding.peers = self.hosts.named(r.server);
        finding.peers_total = u64::from(hosts);
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, r.flow);
        }
    }
}

const HOSTS: &str = "hosts that refused";
const SPRAY_MS: i64 = 3_600_000;
/// More refusals of each host are guesses at it.
const EACH: u32 = 5;
