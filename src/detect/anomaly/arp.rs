//! ARP: who answers for the address of another, and who asks for everybody.
//!
//! Two hardware addresses that say in turn that they have one address (as arpwatch's "flip flop"), or one that says so of several
//! addresses to one host without being asked, are spoofing. A change that stays is a new card, and one that is announced to everybody a minute or
//! more after the one before is a failover (VRRP, keepalived); a hardware address of VRRP (RFC 9568) belongs to who has the address. Probes (RFC 5227) claim nothing. Who asks for
//! everybody, or within hours for many that nobody has, is a sweep; a router, for whom many ask or which has the first or last address, does so whenever somebody outside speaks to all.

use super::arena::{Arena, Held};
use super::keyed::{Key, Keyed, Lately, Recent};
use super::named::Hosts;
use super::sighting::ArpSeen;
use super::{Ctx, figure};
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole};

#[derive(Debug)]
pub(super) struct Arp {
    owners: Arena<Addr, Owner>,
    claims: Arena<Mac, Claims>,
    askers: Arena<Mac, Asker>,
    /// Who asks for an address: many do for a router.
    sought: Arena<Addr, Sought>,
    /// Hardware addresses that ask for anything.
    all: Lately<16>,
    /// Addresses that were asked for.
    asked: Recent,
}

/// A hardware address, as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Mac(u64);

impl Key for Mac {
    fn hashed(&self, keyed: &Keyed) -> u64 {
        keyed.hash(self)
    }

    fn addr(&self) -> Addr {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.0.to_be_bytes());
        Addr(bytes)
    }
}

/// Who says that it has an address.
#[derive(Debug, Default)]
struct Owner {
    last_ms: i64,
    mac: u64,
    before: u64,
    changed_ms: i64,
    flips: u32,
    changes: u32,
    failover_ms: i64,
    first_ms: i64,
    handle: Option<Handle>,
}

/// Answers of a hardware address that nobody asked for.
#[derive(Debug, Default)]
struct Claims {
    first_ms: i64,
    last_ms: i64,
    claimed: [Addr; 2],
    unasked: [u32; 2],
    /// The address for which it asked others itself.
    own: Addr,
    handle: Option<Handle>,
}

/// Who asks for one address.
#[derive(Debug, Default)]
struct Sought {
    last_ms: i64,
    by: Lately<2>,
    count: u32,
}

impl Held for Sought {
    fn suspicion(&self) -> u32 {
        self.count
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
}

impl Sought {
    fn add(&mut self, ctx: &Ctx<'_>, a: &ArpSeen) {
        self.last_ms = ctx.now_ms;
        let asker = ctx.keyed.hash(&a.sender_mac);
        self.by.add(asker, ctx.now_ms, SOUGHT_MS);
        self.count = self.by.count(ctx.now_ms, SOUGHT_MS);
    }

    /// Whether so many ask for it, of all that ask for anything, as do for a router: whoever has some hardware addresses of his own does not make half
    /// of them.
    fn is_router(&mut self, now_ms: i64, all: u32) -> bool {
        let by = self.by.count(now_ms, SOUGHT_MS);
        by >= SEEKERS && (by.saturating_mul(2) >= all || by >= SEEKERS_FULL)
    }
}

#[derive(Debug, Default)]
struct Asker {
    began_ms: i64,
    first_ms: i64,
    last_ms: i64,
    targets: Hosts<16, 32>,
    /// Hosts that nobody has heard of, within hours.
    absent: Absent,
    handle: Option<Handle>,
}

/// Addresses that were asked for and that nobody has, as far as is known.
#[derive(Debug, Default)]
struct Absent {
    began_ms: i64,
    first_ms: i64,
    targets: Hosts<8, 32>,
}

macro_rules! held {
    ($($state:ty: $of:expr;)*) => {
        $(impl Held for $state {
            fn suspicion(&self) -> u32 {
                let of: fn(&$state) -> u32 = $of;
                if self.handle.is_some() { u32::MAX } else { of(self) }
            }
            fn last_ms(&self) -> i64 {
                self.last_ms
            }
        })*
    };
}

held! {
    Owner: |o| o.flips;
    Claims: |c| c.unasked[0] + c.unasked[1];
    Asker: |a| a.targets.count().max(a.absent.targets.count());
}

impl Arp {
    pub fn new(places: usize) -> Self {
        Arp {
            owners: Arena::new(places / 16),
            claims: Arena::new(places / 64),
            askers: Arena::new(places / 64),
            sought: Arena::new(places / 16),
            all: Lately::default(),
            asked: Recent::new(ASKED_LOG2, ASKED_MS),
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<Addr, Owner>::bytes(places / 16)
            + Arena::<Mac, Claims>::bytes(places / 64)
            + Arena::<Mac, Asker>::bytes(places / 64)
            + places / 64 * (Hosts::<16, 32>::BYTES + Hosts::<8, 32>::BYTES)
            + Arena::<Addr, Sought>::bytes(places / 16)
            + Recent::bytes(ASKED_LOG2)
    }

    pub fn lost(&self) -> (u64, u64) {
        let all = [
            self.owners.lost(),
            self.claims.lost(),
            self.askers.lost(),
            self.sought.lost(),
        ];
        all.iter().fold((0, 0), |s, l| (s.0 + l.0, s.1 + l.1))
    }

    pub fn clear(&mut self) {
        self.owners.clear();
        self.claims.clear();
        self.askers.clear();
        self.sought.clear();
        self.all = Lately::default();
    }

    pub fn packet(&mut self, ctx: &mut Ctx<'_>, a: &ArpSeen) {
        if !a.sender.is_unspecified()
            && let Some(owner) = self.owners.entry(ctx.keyed, &a.sender)
        {
            owner.add(ctx, a);
        }
        self.asked.pass(ctx.now_ms);
        match a.operation {
            REQUEST if a.sender != a.target => {
                self.asked.add(ctx.keyed.hash(&a.target));
                if let Some(claims) = self.claims.find(ctx.keyed, &Mac(a.sender_mac))
                    && !a.sender.is_unspecified()
                    && !claims.claimed.contains(&a.sender)
                {
                    claims.own = a.sender;
                }
                if let Some(sought) = self.sought.entry(ctx.keyed, &a.target) {
                    sought.add(ctx, a);
                }
                let now_ms = ctx.now_ms;
                let asker = ctx.keyed.hash(&a.sender_mac);
                self.all.add(asker, now_ms, SOUGHT_MS);
                let sought = self.sought.find(ctx.keyed, &a.sender);
                let all = sought
                    .as_ref()
                    .map_or(0, |_| self.all.count(now_ms, SOUGHT_MS));
                let is_router =
                    sought.is_some_and(|s| s.is_router(now_ms, all)) || is_first(&a.sender);
                let is_absent = self.owners.find(ctx.keyed, &a.target).is_none();
                if let Some(asker) = self.askers.entry(ctx.keyed, &Mac(a.sender_mac)) {
                    asker.add(ctx, a, (is_router, is_absent));
                }
            }
            REPLY => {
                let asked = self.asked.has(ctx.keyed.hash(&a.sender));
                if let Some(claims) = self.claims.entry(ctx.keyed, &Mac(a.sender_mac)) {
                    claims.claim(ctx, a, asked);
                }
            }
            _ => {}
        }
    }
}

impl Owner {
    fn add(&mut self, ctx: &mut Ctx<'_>, a: &ArpSeen) {
        if self.mac == 0 || ctx.now_ms.saturating_sub(self.last_ms) > FORGET_MS {
            *self = Owner {
                mac: a.sender_mac,
                ..Owner::default()
            };
        }
        self.last_ms = ctx.now_ms;
        if a.sender_mac == self.mac {
            return;
        }
        let since_ms = a.time_ms.saturating_sub(self.changed_ms);
        // back to the one before: both are there
        let back = a.sender_mac == self.before && since_ms <= FLIP_MS;
        (self.before, self.mac, self.changed_ms) = (self.mac, a.sender_mac, a.time_ms);
        let is_failover = a.sender == a.target && since_ms >= FAILOVER_MS;
        if is_failover {
            self.failover_ms = a.time_ms;
        }
        // the one before may answer once more
        let settles = a.time_ms.saturating_sub(self.failover_ms) <= SETTLES_MS;
        if settles || is_of_vrrp(a.sender_mac) {
            return;
        }
        if self.flips == 0 {
            self.first_ms = a.time_ms;
        }
        self.changes = self.changes.saturating_add(1);
        self.flips = self.flips.saturating_add(if back { 2 } else { 1 });
        if self.flips < FLIPS {
            return;
        }
        if let Some(handle) = self.handle {
            ctx.incidents.figure(handle, CHANGES, self.changes.into());
        }
        // one that goes back at once counts twice
        let wanted = if self.flips > self.changes {
            FLIPS_BACK
        } else {
            FLIPS
        };
        let facts = vec![(
            "hardware addresses",
            format!("{} and {}", mac(self.before), mac(self.mac)),
        )];
        let figures = vec![figure(CHANGES, self.changes.into(), Some(wanted.into()))];
        let seen = (self.first_ms, a.time_ms);
        let handle = &mut self.handle;
        tell(ctx, handle, a.sender, "arp.flips", seen, figures, facts);
    }
}

impl Claims {
    fn claim(&mut self, ctx: &mut Ctx<'_>, a: &ArpSeen, asked: bool) {
        if ctx.now_ms.saturating_sub(self.last_ms) > FORGET_MS {
            *self = Claims {
                first_ms: a.time_ms,
                ..Claims::default()
            };
        }
        self.last_ms = ctx.now_ms;
        // gratuitous ones are for everybody and are common after a start
        let is_for_all = a.sender == a.target || a.sender.is_unspecified();
        if asked || is_for_all || is_of_vrrp(a.sender_mac) {
            return;
        }
        let place = match () {
            () if self.unasked[0] == 0 || self.claimed[0] == a.sender => 0,
            () => 1,
        };
        if self.unasked[place] > 0 && self.claimed[place] != a.sender {
            return;
        }
        self.claimed[place] = a.sender;
        self.unasked[place] += 1;
        let both = self.unasked.iter().all(|n| *n >= UNASKED);
        // one that speaks as itself, too
        let other =
            self.own != a.sender && !self.own.is_unspecified() && self.unasked[0] >= UNASKED;
        if !both && !other {
            return;
        }
        if self.claimed[1].is_unspecified() {
            self.claimed[1] = self.own;
        }
        let facts = vec![
            ("hardware address", mac(a.sender_mac)),
            (
                "addresses it answers for",
                format!("{} and {}", self.claimed[0], self.claimed[1]),
            ),
        ];
        let n = self.unasked[0] + self.unasked[1];
        let figures = vec![figure("answers that nobody asked for", n.into(), Some(1.0))];
        let seen = (self.first_ms, a.time_ms);
        let claimed = self.claimed[0];
        tell(
            ctx,
            &mut self.handle,
            claimed,
            "arp.unasked",
            seen,
            figures,
            facts,
        );
    }
}

impl Asker {
    fn add(&mut self, ctx: &mut Ctx<'_>, a: &ArpSeen, (is_router, is_absent): (bool, bool)) {
        if ctx.now_ms.saturating_sub(self.began_ms) > SWEEP_MS {
            *self = Asker {
                began_ms: ctx.now_ms,
                first_ms: a.time_ms,
                handle: self.handle,
                absent: std::mem::take(&mut self.absent),
                ..Asker::default()
            };
        }
        self.last_ms = ctx.now_ms;
        let hash = ctx.keyed.hash(&a.target);
        let is_slow = is_absent && !is_router && self.absent.add(ctx, a, hash);
        if !self.targets.add(a.target, hash) && !is_slow {
            return;
        }
        // a router asks for everybody that somebody outside speaks to
        let times = if is_router { ROUTER } else { 1 };
        let wanted = ctx.settings.scan.hosts_arp.saturating_mul(times);
        let (quick, absent) = (self.targets.count(), self.absent.targets.count());
        let slowly = quick < wanted;
        let (targets, name, rule, first_ms) = match slowly {
            true => (absent, ABSENT, "arp.slow_sweep", self.absent.first_ms),
            false => (quick, ASKED, "arp.sweep", self.first_ms),
        };
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: a.time_ms,
                count: 1,
                peer: Some(a.target),
                peers_total: targets.into(),
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents.figure(handle, name, targets.into());
                return;
            }
            self.handle = None;
        }
        if targets < wanted || ctx.settings.allow_sources.contains(&a.sender.to_ip()) {
            return;
        }
        let finding = Finding {
            kind: DetectionKind::HostSweepArp,
            detector: rule,
            entity: Entity::Host(a.sender),
            role: EntityRole::Source,
            severity: None,
            confidence: 80,
            about: format!("by {}", a.sender),
            first_ms,
            last_ms: a.time_ms,
            count: targets.into(),
            peers: match slowly {
                true => self.absent.targets.named(a.target),
                false => self.targets.named(a.target),
            },
            peers_total: targets.into(),
            figures: vec![figure(name, targets.into(), Some(wanted.into()))],
            facts: vec![("hardware address", mac(a.sender_mac))],
            counterfactual: format!(
                "fewer than {wanted} hosts within a minute, or that nobody has within six hours"
            ),
            blind: vec![],
        };
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
    }
}

impl Absent {
    /// Whether an address is new among them.
    fn add(&mut self, ctx: &Ctx<'_>, a: &ArpSeen, hash: u64) -> bool {
        if ctx.now_ms.saturating_sub(self.began_ms) > ABSENT_MS {
            *self = Absent {
                began_ms: ctx.now_ms,
                first_ms: a.time_ms,
                ..Absent::default()
            };
        }
        self.targets.add(a.target, hash)
    }
}

fn tell(
    ctx: &mut Ctx<'_>,
    handle: &mut Option<Handle>,
    claimed: Addr,
    detector: &'static str,
    (first_ms, last_ms): (i64, i64),
    figures: Vec<crate::model::Figure>,
    facts: Vec<(&'static str, String)>,
) {
    let growth = Growth {
        last_ms,
        count: 1,
        peer: None,
        peers_total: 0,
    };
    if let Some(h) = *handle
        && ctx.incidents.grow(h, &growth)
    {
        return;
    }
    let finding = Finding {
        kind: DetectionKind::ArpSpoofing,
        detector,
        entity: Entity::Host(claimed),
        role: EntityRole::Victim,
        severity: None,
        confidence: 85,
        about: format!("of {claimed}"),
        first_ms,
        last_ms,
        count: 1,
        peers: vec![],
        peers_total: 0,
        figures,
        facts,
        counterfactual: "one hardware address an address, and answers only to questions".to_owned(),
        blind: vec![],
    };
    *handle = ctx.incidents.report(ctx.now_ms, finding);
}

/// Whether an address is the first or the last of a network of 24 bits, where routers are.
fn is_first(addr: &Addr) -> bool {
    addr.is_v4() && matches!(addr.0[15], 1 | 254)
}

/// Whether a hardware address is that of a virtual router (RFC 9568 section 7.3).
fn is_of_vrrp(mac: u64) -> bool {
    mac >> 8 == 0x00_00_5e_00_01
}

fn mac(mac: u64) -> String {
    let b = mac.to_be_bytes();
    let hex: Vec<String> = b[2..].iter().map(|b| format!("{b:02x}")).collect();
    hex.join(":")
}

const REQUEST: u16 = 1;
const REPLY: u16 = 2;
const CHANGES: &str = "changes of the owner";
const FLIPS: u32 = 3;
/// The same where they go back at once.
const FLIPS_BACK: u32 = 2;
/// Who attacks says what he says again each second or two.
const FAILOVER_MS: i64 = 60_000;
const SETTLES_MS: i64 = 3_000;
/// Two that speak in turn do it within so long.
const FLIP_MS: i64 = 120_000;
const UNASKED: u32 = 2;
const ASKED_MS: i64 = 5_000;
const ASKED_LOG2: u32 = 16;
const FORGET_MS: i64 = 3_600_000;
const SWEEP_MS: i64 = 60_000;
const ASKED: &str = "hosts that were asked for within a minute";
const ABSENT: &str = "hosts that were asked for and that nobody has, within six hours";
const ABSENT_MS: i64 = 6 * 3_600_000;
/// So many hardware addresses ask for a router, and of so many it is not counted any more what part of all they are.
const SEEKERS: u32 = 3;
const SEEKERS_FULL: u32 = 200;
/// Who asks is known for this time to twice as long.
const SOUGHT_MS: i64 = 3_600_000;
/// How many times more hosts a router asks for.
const ROUTER: u32 = 8;
