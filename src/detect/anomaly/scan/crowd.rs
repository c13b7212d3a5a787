//! Sources that share a scan: what one of them began, the others take part in.
//!
//! Of a scan that many sources share, as of one with invented sources beside the true one, each source would be an incident. It is one cause where
//! several do the same (kind, port, method) to one host, or to one network of 16 bits (IPv6: 48), and begin within five minutes of each other. Those who
//! begin later, or do something else, are others.

use super::super::arena::{Arena, Held};
use super::super::keyed::{Distinct, Key, Keyed, network};
use super::super::sighting::FlowSeen;
use super::super::{Ctx, evidence};
use super::Contact;
use super::contact::Method;
use super::found::Found;
use crate::detect::incident::{Growth, Handle};
use crate::model::{Addr, DetectionKind};

/// What is scanned, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Cause {
    target: Addr,
    kind: DetectionKind,
    port: u16,
}

impl Key for Cause {
    const SHARE: usize = 2;

    fn hashed(&self, keyed: &Keyed) -> u64 {
        keyed.hash(self)
    }

    fn addr(&self) -> Addr {
        self.target
    }
}

/// Who takes part.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    /// When the one that came last began.
    latest_ms: i64,
    last_ms: i64,
    method: Method,
    first: Addr,
    sources: Distinct<8>,
    named: Vec<Addr>,
    handle: Option<Handle>,
}

impl Held for Crowd {
    fn suspicion(&self) -> u32 {
        self.sources.count()
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
}

/// All that were told lately.
#[derive(Debug)]
pub(super) struct Crowds(Arena<Cause, Crowd>);

impl Crowds {
    pub fn new(places: usize) -> Self {
        Crowds(Arena::new(places))
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<Cause, Crowd>::bytes(places) + places * NAMED_MAX * size_of::<Addr>()
    }

    pub fn lost(&self) -> (u64, u64) {
        self.0.lost()
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The incident that a source takes part in, if it does not stand alone: of what it began when, with so many contacts.
    pub fn join(
        &mut self,
        ctx: &mut Ctx<'_>,
        (f, c, found): (&FlowSeen, &Contact, &Found),
        (first_ms, contacts): (i64, u32),
    ) -> Option<Handle> {
        let crowd = self.0.find(ctx.keyed, &cause(f, c, found))?;
        let apart_ms = first_ms.saturating_sub(crowd.latest_ms).saturating_abs();
        if apart_ms > APART_MS || crowd.method != c.method {
            return None;
        }
        crowd.sources.add(ctx.keyed.addr(&f.src));
        let fresh = f.src != crowd.first && !crowd.named.contains(&f.src);
        let growth = Growth {
            last_ms: f.end_ms,
            count: contacts.into(),
            peer: Some(f.src),
            peers_total: 0,
        };
        let handle = crowd.handle.filter(|h| ctx.incidents.grow(*h, &growth))?;
        crowd.latest_ms = crowd.latest_ms.max(first_ms);
        crowd.last_ms = ctx.now_ms;
        if fresh && crowd.named.len() < NAMED_MAX {
            crowd.named.push(f.src);
        }
        ctx.incidents.show(handle, evidence(f));
        let named = crowd.named.len() as u32;
        let others = crowd.sources.count().saturating_sub(1).max(named);
        let target = match found.ports {
            true => f.dst.to_string(),
            false => format!("hosts of {}", wide(&f.dst)),
        };
        let about = format!("{} and {others} others against {target}", crowd.first);
        ctx.incidents.call(handle, &about);
        let named: Vec<String> = crowd.named.iter().map(Addr::to_string).collect();
        let more = match (others as usize).saturating_sub(named.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let text = named.join(", ") + &more;
        ctx.incidents.fact(handle, "other sources", text);
        Some(handle)
    }

    /// Remembers what a source began that stands alone.
    pub fn begin(
        &mut self,
        ctx: &Ctx<'_>,
        (f, c, found): (&FlowSeen, &Contact, &Found),
        (first_ms, handle): (i64, Handle),
    ) {
        if let Some(crowd) = self.0.entry(ctx.keyed, &cause(f, c, found)) {
            let mut sources = Distinct::default();
            sources.add(ctx.keyed.addr(&f.src));
            *crowd = Crowd {
                latest_ms: first_ms,
                last_ms: ctx.now_ms,
                method: c.method,
                first: f.src,
                sources,
                named: vec![],
                handle: Some(handle),
            };
        }
    }
}

fn cause(f: &FlowSeen, c: &Contact, found: &Found) -> Cause {
    let one_port = !found.ports && found.detector != super::BLOCK;
    Cause {
        target: if found.ports { f.dst } else { wide(&f.dst) },
        kind: found.kind,
        port: if one_port { c.port } else { 0 },
    }
}

/// The network whose hosts several sources share out.
fn wide(addr: &Addr) -> Addr {
    let mut network = network(addr);
    if network.is_v4() {
        network.0[14] = 0;
    }
    network
}

const APART_MS: i64 = 300_000;
/// Sources that are named beside the first.
const NAMED_MAX: usize = 16;
