//! One row an incident, which grows.
//!
//! Detectors report what crosses a threshold and add to it what belongs to it; the same kind about the same entity is the
//! same incident until it was silent for long.

mod chain;
mod more;
mod open;
mod saved;

use super::anomaly::Kept;
use crate::model::{
    Addr, Detection, DetectionKind, Entity, EntityRole, Evidence, EvidenceFlow, Figure, PEERS_MAX,
    Severity,
};
use chain::Way;
use open::Open;
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

/// What a detector reports.
#[derive(Clone, Debug)]
pub(super) struct Finding {
    pub kind: DetectionKind,
    /// The file of the detector and its rule.
    pub detector: &'static str,
    pub entity: Entity,
    pub role: EntityRole,
    /// Where it is worse than its kind.
    pub severity: Option<Severity>,
    pub confidence: u8,
    /// What the title adds to that of the kind; [`PEERS`] in it stands for how many others take part by then.
    pub about: String,
    pub first_ms: i64,
    pub last_ms: i64,
    pub count: u64,
    pub peers: Vec<Addr>,
    pub peers_total: u64,
    pub figures: Vec<Figure>,
    pub facts: Vec<(&'static str, String)>,
    pub counterfactual: String,
    pub blind: Vec<String>,
}

/// What more belongs to an incident.
#[derive(Clone, Debug, Default)]
pub(super) struct Growth {
    pub last_ms: i64,
    pub count: u64,
    pub peer: Option<Addr>,
    /// How many peers there are by now; 0 where that is told by the list.
    pub peers_total: u64,
}

/// Which incident, of its time, and where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Handle {
    id: u64,
    place: u32,
}

/// All incidents that are open, and those whose new versions nobody took yet.
#[derive(Debug)]
pub struct Incidents {
    open: Open,
    by_key: BTreeMap<(DetectionKind, Entity), u64>,
    ready: Vec<Detection>,
    off: Vec<DetectionKind>,
    gap_ms: i64,
    open_max: usize,
    per_day_max: u32,
    day: i64,
    today: u32,
    held_back: u64,
    /// What sources did within days, also where that is over.
    ways: BTreeMap<Addr, Way>,
    /// Versions of incidents that are over, or were told before a restart: the same again has later ones.
    earlier: BTreeMap<u64, u32>,
    /// Their ids, the oldest first.
    over: VecDeque<u64>,
    /// Steps of chains that gave way, and sources that found no room.
    lost: (u64, u64),
}

#[derive(Debug)]
struct Incident {
    told: Detection,
    /// Clock when a version was given out last; `None` where none was.
    told_ms: Option<i64>,
    changed: bool,
    /// Once as many flows are shown as may be: bytes of the smallest.
    least_shown: Option<u64>,
    /// The title, where it says how many others take part.
    counted: Option<String>,
    /// Whether the chain that it is a step of shows a flow of it.
    in_chain: bool,
}

/// In a title the number of others that take part.
/// No text from outside has it, for control characters are taken out of these.
pub(super) const PEERS: &str = "\u{1}peers\u{1}";

/// Text from outside as it may stand in a title.
pub(super) fn plain(text: &str) -> String {
    let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(plain).collect()
}

impl Incidents {
    /// None yet.
    pub(super) fn new(gap_s: u32, open_max: usize, per_day_max: u32, off: &[String]) -> Self {
        let kinds = DetectionKind::ALL.iter().copied();
        Incidents {
            open: Open::default(),
            by_key: BTreeMap::new(),
            ready: vec![],
            off: kinds
                .filter(|k| off.iter().any(|o| o == k.name()))
                .collect(),
            gap_ms: i64::from(gap_s) * 1000,
            open_max: open_max.max(1),
            per_day_max,
            day: i64::MIN,
            today: 0,
            held_back: 0,
            ways: BTreeMap::new(),
            earlier: BTreeMap::new(),
            over: VecDeque::new(),
            lost: (0, 0),
        }
    }

    /// Takes a finding: a new incident, or more of one that is open. `None` where nobody wants to hear of it.
    pub(super) fn report(&mut self, now_ms: i64, f: Finding) -> Option<Handle> {
        if self.off.contains(&f.kind) {
            return None;
        }
        let key = (f.kind, f.entity.clone());
        if let Some(&id) = self.by_key.get(&key)
            && let Some(handle) = self.open.handle(id)
            && let Some(incident) = self.open.get_mut(handle)
        {
            incident.merge(f);
            return Some(handle);
        }
        if !self.is_within_budget(now_ms) {
            self.held_back += 1;
            return None;
        }
        if self.open.len() >= self.open_max {
            self.close_oldest();
        }
        let way = self.way(&f);
        let names = way
            .iter()
            .map(|d| format!("{} {:016x}", d.kind.name(), d.id));
        let names: Vec<String> = names.collect();
        let mut attack: Vec<Cow<'static, str>> =
            way.iter().flat_map(|d| d.attack.clone()).collect();
        let mut incident = Incident::new(now_ms, f);
        if !names.is_empty() {
            incident.follows(&names.join(", "), &mut attack);
        }
        let id = incident.told.id;
        let chain = self.chain(now_ms, &incident.told);
        incident.told.evidence.part_of = chain.map(|c| c.id);
        if let Some(version) = self.earlier.remove(&id) {
            incident.told.version = version;
        }
        self.by_key.insert(key, id);
        Some(self.open.insert(id, incident))
    }

    /// Whether a finding would be refused: nobody wants to hear of its kind, or the budget of the day is used up, which counts it as held back.
    /// Asked before a finding is put into words.
    pub(super) fn refuses(&mut self, now_ms: i64, kind: DetectionKind, entity: &Entity) -> bool {
        if self.off.contains(&kind) {
            return true;
        }
        if self.today < self.per_day_max || now_ms.div_euclid(DAY_MS) != self.day {
            return false;
        }
        if self.by_key.contains_key(&(kind, entity.clone())) {
            return false;
        }
        self.held_back += 1;
        true
    }

    /// Adds to an incident; false where it is over.
    pub(super) fn grow(&mut self, handle: Handle, g: &Growth) -> bool {
        let Some(incident) = self.open.get_mut(handle) else {
            return false;
        };
        let told = &mut incident.told;
        told.last_ms = told.last_ms.max(g.last_ms);
        told.count = told.count.saturating_add(g.count);
        if let Some(peer) = g.peer {
            incident.add_peer(peer);
        }
        let told = &mut incident.told;
        told.peers_total = told.peers_total.max(g.peers_total);
        incident.changed = true;
        true
    }

    /// Sets a figure of an incident to what it is by now.
    pub(super) fn figure(&mut self, handle: Handle, name: &str, observed: f64) {
        if let Some(incident) = self.open.get_mut(handle) {
            let figures = &mut incident.told.evidence.figures;
            if let Some(figure) = figures.iter_mut().find(|f| f.name == name) {
                figure.observed = observed;
                incident.changed = true;
            }
        }
    }

    /// The same, where that is more than before.
    pub(super) fn figure_most(&mut self, handle: Handle, name: &str, observed: f64) {
        if let Some(incident) = self.open.get_mut(handle) {
            let figures = &mut incident.told.evidence.figures;
            if let Some(figure) = figures.iter_mut().find(|f| f.name == name)
                && figure.observed < observed
            {
                figure.observed = observed;
                incident.changed = true;
            }
        }
    }

    /// Adds figures to an incident; of those that it has the larger ones hold.
    pub(super) fn add_figures(&mut self, handle: Handle, figures: Vec<Figure>) {
        if let Some(incident) = self.open.get_mut(handle) {
            incident.add_figures(figures);
            incident.changed = true;
        }
    }

    /// Sets a fact of an incident to what it is by now.
    pub(super) fn fact(&mut self, handle: Handle, name: &'static str, text: String) {
        if let Some(incident) = self.open.get_mut(handle) {
            let facts = &mut incident.told.evidence.facts;
            match facts.iter_mut().find(|f| f.0 == name) {
                Some(fact) if fact.1 == text => return,
                Some(fact) => fact.1 = text,
                None => facts.push((name.into(), text)),
            }
            incident.changed = true;
        }
    }

    /// Gives an incident another title.
    pub(super) fn call(&mut self, handle: Handle, about: &str) {
        if let Some(incident) = self.open.get_mut(handle) {
            let title = format!("{}: {about}", incident.told.kind.title());
            incident.call(title);
            incident.changed = true;
        }
    }

    /// An incident is part of another one, which says it all.
    pub(super) fn join(&mut self, part: Handle, whole: Handle) {
        if let Some(incident) = self.open.get_mut(part) {
            let part_of = &mut incident.told.evidence.part_of;
            incident.changed |= *part_of != Some(whole.id);
            *part_of = Some(whole.id);
        }
    }

    /// Shows a flow as evidence: the first ones, and later ones that are larger.
    pub(super) fn show(&mut self, handle: Handle, flow: EvidenceFlow) {
        let Some(incident) = self.open.get_mut(handle) else {
            return;
        };
        incident.show(flow);
    }

    /// Lets time pass: what is new or has changed for a while is given out, what was silent for long is over.
    pub(super) fn tick(&mut self, now_ms: i64) {
        self.chains_go_on();
        let over = |i: &Incident| {
            let silent_ms = now_ms.saturating_sub(i.told.last_ms.max(i.told.detected_ms));
            silent_ms > self.gap_ms.max(rest_ms(i.told.kind))
        };
        let closed = self.open.iter().filter(|i| over(i));
        let closed: Vec<u64> = closed.map(|i| i.told.id).collect();
        let ready = &mut self.ready;
        self.open.each(|incident| {
            let due = incident
                .told_ms
                .is_none_or(|told| now_ms.saturating_sub(told) >= TELL_AGAIN_MS);
            if incident.changed && due {
                incident.told_ms = Some(now_ms);
                ready.push(incident.tell());
            }
        });
        closed.into_iter().for_each(|id| self.close(id));
    }

    /// Gives out all changes.
    pub(super) fn flush(&mut self) {
        self.chains_go_on();
        let ready = &mut self.ready;
        self.open.each(|incident| {
            if incident.changed {
                ready.push(incident.tell());
            }
        });
    }

    /// All incidents are over.
    pub(super) fn close_all(&mut self) {
        self.flush();
        let all = self.open.iter().map(|i| i.told.id);
        for id in all.collect::<Vec<_>>() {
            self.close(id);
        }
    }

    /// The versions since this was called last.
    pub(super) fn take(&mut self) -> Vec<Detection> {
        std::mem::take(&mut self.ready)
    }

    /// Writes incidents that are open, which versions of others were told, and how much of the day's budget is used.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        (self.day, self.today).put(out);
        self.put_ways(out);
        let earlier = self.earlier.iter().map(|(id, version)| (*id, *version));
        earlier.collect::<Vec<(u64, u32)>>().put(out);
        self.open.put(out);
    }

    /// Takes them back; versions go on with room for what was told since it was written.
    pub(super) fn get(&mut self, from: &mut &[u8]) -> Option<()> {
        (self.day, self.today) = Kept::get(from)?;
        self.get_ways(from)?;
        let told: Vec<(u64, u32)> = Kept::get(from)?;
        for (id, version) in told.into_iter().take(2 * self.open_max) {
            self.is_over(id, version.saturating_add(AHEAD));
        }
        self.open = Kept::get(from)?;
        let unwanted = |i: &&Incident| self.off.contains(&i.told.kind);
        let unwanted = self.open.iter().filter(unwanted).map(|i| i.told.id);
        for id in unwanted.collect::<Vec<_>>() {
            self.open.remove(id);
        }
        let by_key = &mut self.by_key;
        self.open.each(|incident| {
            let told = &mut incident.told;
            told.version = told.version.saturating_add(AHEAD);
            by_key.insert((told.kind, told.entity.clone()), told.id);
        });
        while self.open.len() > self.open_max {
            self.close_oldest();
        }
        Some(())
    }

    /// Incidents that the budget of the day held back.
    pub(super) fn held_back(&self) -> u64 {
        self.held_back
    }

    /// What the source of an incident did before it, of a lower stage, in order of time: the way that it came.
    fn way(&self, f: &Finding) -> Vec<&Detection> {
        let (stage, source) = (stage(f.kind), f.entity.addr());
        if stage == 0 || f.role != EntityRole::Source {
            return vec![];
        }
        let before = |d: &&Detection| {
            d.role == EntityRole::Source
                && d.entity.addr() == source
                && (1..stage).contains(&self::stage(d.kind))
        };
        let mut way: Vec<&Detection> = self.open.iter().map(|i| &i.told).filter(before).collect();
        way.sort_by_key(|d| (d.first_ms, d.id));
        way
    }

    fn is_within_budget(&mut self, now_ms: i64) -> bool {
        let day = now_ms.div_euclid(DAY_MS);
        if day != self.day {
            (self.day, self.today) = (day, 0);
        }
        self.today = self.today.saturating_add(1);
        self.today <= self.per_day_max
    }

    fn close_oldest(&mut self) {
        let oldest = self.open.iter().min_by_key(|i| (i.told.last_ms, i.told.id));
        if let Some(id) = oldest.map(|i| i.told.id) {
            self.close(id);
        }
    }

    fn close(&mut self, id: u64) {
        if let Some(mut incident) = self.open.remove(id) {
            if incident.changed {
                self.ready.push(incident.tell());
            }
            let told = incident.told;
            self.leave(&told);
            self.is_over(told.id, told.version);
            self.by_key.remove(&(told.kind, told.entity));
        }
    }

    /// Remembers which version of an incident was the last.
    fn is_over(&mut self, id: u64, version: u32) {
        if self.earlier.insert(id, version).is_none() {
            self.over.push_back(id);
        }
        // those that go on again are no longer there, and stand in the list for a while
        while self.over.len() > 2 * self.open_max {
            if let Some(oldest) = self.over.pop_front() {
                self.earlier.remove(&oldest);
            }
        }
    }

    /// Steps of chains that gave way, and sources that found no room.
    pub(super) fn lost(&self) -> (u64, u64) {
        self.lost
    }
}

impl Incident {
    fn new(now_ms: i64, f: Finding) -> Self {
        let title = match f.about.is_empty() {
            true => f.kind.title().to_owned(),
            false => format!("{}: {}", f.kind.title(), f.about),
        };
        let mut incident = Incident {
            told: Detection {
                id: id_of(f.kind, &f.entity, f.first_ms),
                version: 0,
                kind: f.kind,
                detector: f.detector.to_owned(),
                sid: None,
                severity: f.severity.unwrap_or(f.kind.severity()),
                confidence: f.confidence.min(100),
                title,
                entity: f.entity,
                role: f.role,
                peers: vec![],
                peers_total: f.peers_total,
                first_ms: f.first_ms,
                last_ms: f.last_ms,
                detected_ms: now_ms,
                count: f.count,
                evidence: Evidence {
                    figures: f.figures,
                    facts: named(f.facts),
                    flows: vec![],
                    counterfactual: f.counterfactual,
                    blind: f.blind,
                    ..Evidence::default()
                },
                attack: f.kind.attack().iter().map(|t| (*t).into()).collect(),
            },
            told_ms: None,
            changed: true,
            least_shown: None,
            counted: None,
            in_chain: false,
        };
        incident.call(incident.told.title.clone());
        f.peers.into_iter().for_each(|p| incident.add_peer(p));
        incident
    }

    /// It goes on from what its source did before.
    fn follows(&mut self, names: &str, before: &mut Vec<Cow<'static, str>>) {
        before.append(&mut self.told.attack);
        let mut seen = vec![];
        before.retain(|id| {
            let fresh = !seen.contains(id);
            seen.push(id.clone());
            fresh
        });
        self.told.attack = std::mem::take(before);
        self.told.severity = self.told.severity.max(Severity::High);
        self.told
            .evidence
            .facts
            .push(("follows".into(), names.to_owned()));
    }

    fn add_peer(&mut self, peer: Addr) {
        let peers = &mut self.told.peers;
        let number = |a: &Addr| u128::from_be_bytes(a.0);
        if peers.len() < PEERS_MAX
            && let Err(at) = peers.binary_search_by_key(&number(&peer), number)
        {
            peers.insert(at, peer);
        }
        let named = self.told.peers.len() as u64;
        self.told.peers_total = self.told.peers_total.max(named);
    }

    /// Gives it a title, which may say how many others take part.
    fn call(&mut self, title: String) {
        self.counted = title.contains(PEERS).then(|| title.clone());
        self.told.title = title;
    }

    /// The next version.
    fn tell(&mut self) -> Detection {
        self.changed = false;
        if let Some(title) = &self.counted {
            let peers = self.told.peers_total.to_string();
            self.told.title = title.replace(PEERS, &peers);
        }
        self.told.version += 1;
        self.told.clone()
    }
}

/// Facts as evidence has them.
fn named(facts: Vec<(&'static str, String)>) -> Vec<(Cow<'static, str>, String)> {
    let facts = facts.into_iter();
    facts.map(|(name, text)| (name.into(), text)).collect()
}

/// How far somebody who attacks has come: looks around, guesses, is in, goes on from there, calls home, takes away.
fn stage(kind: DetectionKind) -> u8 {
    use DetectionKind as K;
    match kind {
        K::PortScan | K::PortScanUdp | K::ServiceScan | K::HostSweep | K::HostSweepTcp => 1,
        K::HostSweepUdp | K::HostSweepIcmp | K::HostSweepArp | K::OddTcpFlags => 1,
        K::BruteForce | K::PasswordSpray => 2,
        K::BruteForceSucceeded | K::Heartbleed => 3,
        K::LateralMovement => 4,
        K::Beacon | K::DnsTunnel | K::IcmpTunnel => 5,
        K::Exfiltration | K::LargeUpload => 6,
        _ => 0,
    }
}

/// How long what is of one cause may rest: what calls from a host that sleeps at night and over a weekend goes on when it wakes up.
fn rest_ms(kind: DetectionKind) -> i64 {
    use DetectionKind as K;
    match kind {
        K::Beacon | K::Strobe | K::LongConnection => 3 * DAY_MS,
        _ => 0,
    }
}

/// An id from what the incident is: FNV-1a with 64 bits (Fowler, Noll and Vo).
fn id_of(kind: DetectionKind, entity: &Entity, first_ms: i64) -> u64 {
    let text = format!("{}|{}|{entity}|{first_ms}", kind.name(), entity.kind());
    let step = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

const DAY_MS: i64 = 86_400_000;
/// An incident that goes on is told again after so long.
const TELL_AGAIN_MS: i64 = 10_000;
/// Versions that may have been told between the last writing and a crash: one in ten seconds.
const AHEAD: u32 = 1_000;
