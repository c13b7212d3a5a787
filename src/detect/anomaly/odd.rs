//! TCP flags that no connection has: a host that sends several kinds of them tries out how another one answers.
//!
//! One kind to many ports is a scan, and told there. No flags, FIN-PSH-URG, and SYN-FIN-PSH-URG to one host are three of the
//! probes by which nmap tells systems apart (its documentation, "TCP/IP Fingerprinting Methods", tests T2, T3 and T7).

use super::arena::{Arena, Held};
use super::sighting::OddSeen;
use super::{Ctx, figure};
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole};

#[derive(Debug)]
pub(super) struct Odd {
    pairs: Arena<(Addr, Addr), Probes>,
}

#[derive(Debug, Default)]
struct Probes {
    first_ms: i64,
    last_ms: i64,
    /// A bit for each combination of six flags.
    kinds: u64,
    n: u32,
    handle: Option<Handle>,
}

impl Held for Probes {
    fn suspicion(&self) -> u32 {
        if self.handle.is_some() {
            u32::MAX
        } else {
            self.kinds.count_ones()
        }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
}

impl Odd {
    pub fn new(places: usize) -> Self {
        Odd {
            pairs: Arena::new(places / 16),
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<(Addr, Addr), Probes>::bytes(places / 16)
    }

    pub fn lost(&self) -> (u64, u64) {
        self.pairs.lost()
    }

    pub fn clear(&mut self) {
        self.pairs.clear();
    }

    pub fn segment(&mut self, ctx: &mut Ctx<'_>, o: &OddSeen) {
        let Some(probes) = self.pairs.entry(ctx.keyed, &(o.src, o.dst)) else {
            return;
        };
        if ctx.now_ms.saturating_sub(probes.last_ms) > WINDOW_MS {
            *probes = Probes {
                first_ms: o.time_ms,
                ..Probes::default()
            };
        }
        probes.last_ms = ctx.now_ms;
        probes.kinds |= 1 << (o.flags & 0x3f);
        probes.n += 1;
        if let Some(handle) = probes.handle {
            let growth = Growth {
                last_ms: o.time_ms,
                count: 1,
                peer: Some(o.dst),
                peers_total: 0,
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents
                    .figure(handle, KINDS, probes.kinds.count_ones().into());
                return;
            }
        }
        let kinds = probes.kinds.count_ones();
        let prints = PRINTS.iter().all(|p| probes.kinds >> p & 1 == 1);
        let (kind, detector) = match kinds {
            0..=2 => return,
            3..=5 if prints => (DetectionKind::ServiceScan, "odd.fingerprint"),
            // the third probe of a fingerprint may still come
            3 => return,
            _ => (DetectionKind::OddTcpFlags, "odd.flags"),
        };
        let finding = Finding {
            kind,
            detector,
            entity: Entity::Host(o.src),
            role: EntityRole::Source,
            severity: None,
            confidence: 85,
            about: format!("{} against {}", o.src, o.dst),
            first_ms: probes.first_ms,
            last_ms: o.time_ms,
            count: probes.n.into(),
            peers: vec![o.dst],
            peers_total: 1,
            figures: vec![figure(KINDS, kinds.into(), Some(KINDS_MIN))],
            facts: vec![],
            counterfactual: "fewer kinds of such flags from one host to another within a minute"
                .to_owned(),
            blind: vec![],
        };
        probes.handle = ctx.incidents.report(ctx.now_ms, finding);
    }
}

const KINDS: &str = "kinds of flags that no connection has";
const KINDS_MIN: f64 = 4.0;
const WINDOW_MS: i64 = 60_000;
/// None; FIN, PSH, URG; SYN, FIN, PSH, URG.
const PRINTS: [u8; 3] = [0x00, 0x29, 0x2b];
