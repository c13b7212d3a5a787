//! What is allowed: a matrix of zones, protocols that nobody is to use, marks that are not for everybody, and what firewalls say.
//!
//! Every flow that breaks the matrix belongs to an incident of the host that began it, which says for each broken cell since when and how
//! often. The other way round, what is allowed and was not used for a month, and rules of firewalls that nothing hits, are told once a month.

mod doubts;
mod firewall;
mod matrix;
mod plain;
mod settings;

pub use settings::{AllowSettings, DscpSettings, PolicySettings, RuleSettings, ZoneSettings};

use super::arena::{Arena, Held};
use super::keep::{Kept, kept};
use super::keyed::Keyed;
use super::namer::number_of;
use super::sighting::{Ends, FlowSeen, Known, Side};
use super::{Ctx, evidence, figure};
use crate::detect::eve::seconds;
use crate::detect::incident::{Finding, Growth, Handle};
use crate::model::{Addr, DetectionKind, Entity, EntityRole};
use firewall::{Firewall, rule_words};
use matrix::{Matrix, Used};
use plain::Forbidden;

#[derive(Debug)]
pub(super) struct Policy {
    matrix: Matrix,
    forbidden: Forbidden,
    dscp: Vec<Dscp>,
    firewall: Firewall,
    hosts: Arena<Addr, Breaks>,
    /// Hosts whose incidents have to say how much it is by now.
    touched: Vec<Addr>,
    began_ms: i64,
    looked_ms: i64,
    /// Whether there is anything to judge but firewalls' events.
    rules: bool,
}

/// Who may use code points.
#[derive(Debug)]
struct Dscp {
    codes: u64,
    zones: Vec<u16>,
    applications: Vec<u64>,
}

/// A code point of one direction, by and to an address with its named network.
struct Mark {
    by: (Addr, u64),
    to: (Addr, u64),
    code: u8,
    bytes: u64,
}

/// What a host breaks.
#[derive(Debug, Default)]
struct Breaks {
    last_ms: i64,
    cells: [(Broken, Used); CELLS],
    /// Flows that break more cells than there is room for.
    others: u64,
    handle: Option<Handle>,
    touched: bool,
}

/// A way that is not allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Broken {
    from: u16,
    to: u16,
    proto: u8,
    port: u16,
}

kept!(Broken {
    from,
    to,
    proto,
    port
});
kept!(Breaks { last_ms, cells, others, handle; touched });

impl Held for Breaks {
    fn suspicion(&self) -> u32 {
        if self.handle.is_some() { u32::MAX } else { 1 }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn is_light(&self) -> bool {
        false
    }
}

impl Policy {
    /// Reads the rules.
    ///
    /// # Errors
    /// Everything that is wrong with them; each text begins with the key.
    pub fn new(places: usize, s: &PolicySettings) -> Result<Self, Vec<String>> {
        let mut faults = vec![];
        let matrix = Matrix::new(s, &mut faults);
        let mut dscp = vec![];
        for d in &s.dscp {
            let mut codes = 0;
            for code in &d.codes {
                match code {
                    1..=63 => codes |= 1 << code,
                    _ => faults.push(format!("dscp: {code} is not 1 to 63")),
                }
            }
            let mut taken = |e: String| faults.push(format!("dscp: {e}"));
            let zones = d.zones.iter().map(|z| matrix.zone(z).map_err(&mut taken));
            dscp.push(Dscp {
                codes,
                zones: zones.filter_map(Result::ok).collect(),
                applications: d.applications.iter().map(|a| number_of(a)).collect(),
            });
        }
        let forbidden = Forbidden::new(&s.cleartext, &mut faults);
        let firewall = Firewall::new(places, s, &mut faults);
        if !faults.is_empty() {
            let within = |e| format!("detect.policy.{e}");
            return Err(faults.into_iter().map(within).collect());
        }
        Ok(Policy {
            rules: !s.zones.is_empty() || !s.cleartext.is_empty() || !dscp.is_empty(),
            matrix,
            forbidden,
            dscp,
            firewall,
            hosts: Arena::new(places / 32),
            touched: vec![],
            began_ms: i64::MIN,
            looked_ms: i64::MIN,
        })
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<Addr, Breaks>::bytes(places / 32) + Firewall::bytes(places)
    }

    pub fn lost(&self) -> (u64, u64) {
        let (a, b) = (self.hosts.lost(), self.firewall.lost());
        (a.0 + b.0, a.1 + b.1)
    }

    pub fn clear(&mut self) {
        self.hosts.clear();
        self.firewall.clear();
        self.touched.clear();
        self.matrix
            .cells
            .iter_mut()
            .for_each(|c| c.used = Used::default());
        (self.began_ms, self.looked_ms) = (i64::MIN, i64::MIN);
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        self.began_ms.put(out);
        let cells = self.matrix.cells.iter();
        let cells: Vec<(u64, Used)> = cells.map(|c| (number_of(&c.words), c.used)).collect();
        cells.put(out);
        self.firewall.put(out);
        self.hosts.put(out);
    }

    pub fn get(&mut self, keyed: &Keyed, from: &mut &[u8]) -> Option<()> {
        self.began_ms = Kept::get(from)?;
        let used: Vec<(u64, Used)> = Kept::get(from)?;
        for cell in &mut self.matrix.cells {
            let number = number_of(&cell.words);
            if let Some((_, used)) = used.iter().find(|(n, _)| *n == number) {
                cell.used = *used;
            }
        }
        self.firewall.get(from)?;
        self.hosts.get(keyed, from)
    }

    #[inline]
    pub fn flow(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        if f.firewall_event != 0 {
            self.firewall.event(ctx, f);
        }
        if !self.rules || super::is_group(&f.dst) {
            return;
        }
        // what a firewall denied went nowhere
        if f.firewall_event != firewall::DENIED
            && let Some((ends, from, to)) = self.matrix.judge(f)
        {
            self.broken(ctx, f, &ends, (from, to));
        }
        let ends = f.ends();
        if let Some(name) = self.forbidden.spoken(f, &ends) {
            cleartext(ctx, f, &ends, name);
        }
        if !self.dscp.is_empty() {
            self.marks(ctx, f);
        }
    }

    pub fn tick(&mut self, ctx: &mut Ctx<'_>) {
        if self.began_ms == i64::MIN {
            self.began_ms = ctx.now_ms;
        }
        let mut touched = std::mem::take(&mut self.touched);
        for host in touched.drain(..) {
            if let Some(breaks) = self.hosts.find(ctx.keyed, &host) {
                breaks.touched = false;
                if let Some(handle) = breaks.handle {
                    let text = breaks.words(&self.matrix);
                    ctx.incidents.fact(handle, CELLS_FACT, text);
                }
            }
        }
        self.touched = touched;
        if ctx.now_ms.saturating_sub(self.looked_ms) >= LOOK_MS {
            self.looked_ms = ctx.now_ms;
            self.unused(ctx);
        }
    }

    fn broken(&mut self, ctx: &mut Ctx<'_>, f: &FlowSeen, ends: &Ends, (from, to): (u16, u16)) {
        let Some(breaks) = self.hosts.entry(ctx.keyed, &ends.client) else {
            return;
        };
        breaks.last_ms = ctx.now_ms;
        let broken = Broken {
            from,
            to,
            proto: f.proto,
            port: ends.port,
        };
        let free = |c: &(Broken, Used)| c.0 == broken && c.1.flows > 0 || c.1.flows == 0;
        match breaks.cells.iter_mut().find(|c| free(c)) {
            Some(cell) => {
                cell.0 = broken;
                cell.1.by(f);
            }
            None => breaks.others += 1,
        }
        if !breaks.touched {
            breaks.touched = true;
            self.touched.push(ends.client);
        }
        if let Some(handle) = breaks.handle {
            let growth = Growth {
                last_ms: f.end_ms,
                count: 1,
                peer: Some(ends.server),
                peers_total: 0,
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents.show(handle, evidence(f));
                return;
            }
            breaks.handle = None;
        }
        let (kind, entity) = (DetectionKind::PolicySegmentation, Entity::Host(ends.client));
        if ctx.incidents.refuses(ctx.now_ms, kind, &entity) {
            return;
        }
        let (from, to) = (self.matrix.name(from), self.matrix.name(to));
        let service = service(f.proto, ends.port);
        let finding = Finding {
            kind,
            detector: "policy.matrix",
            entity,
            role: EntityRole::Source,
            severity: None,
            confidence: 90,
            about: format!("{} from {from} to {to}, {service}", ends.client),
            first_ms: f.start_ms,
            last_ms: f.end_ms,
            count: 1,
            peers: vec![ends.server],
            peers_total: 1,
            figures: vec![figure("flows that no cell allows", 1.0, Some(1.0))],
            facts: vec![(CELLS_FACT, breaks.words(&self.matrix))],
            counterfactual: format!("an entry of `allow` from {from} to {to} for {service}"),
            blind: super::sampled(f.interval),
        };
        breaks.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = breaks.handle {
            ctx.incidents.show(handle, evidence(f));
        }
    }

    /// Marks of both directions.
    fn marks(&self, ctx: &mut Ctx<'_>, f: &FlowSeen) {
        if f.dscp.unwrap_or(0) != 0 {
            let mark = Mark {
                by: (f.src, f.nets.0),
                to: (f.dst, f.nets.1),
                code: f.dscp.unwrap_or(0),
                bytes: f.bytes,
            };
            self.marked(ctx, f, &mark);
        }
        // who answers as it is asked chose no mark
        if f.back_dscp.unwrap_or(0) != 0 && f.back_dscp != f.dscp {
            let mark = Mark {
                by: (f.dst, f.nets.1),
                to: (f.src, f.nets.0),
                code: f.back_dscp.unwrap_or(0),
                bytes: f.back_bytes.unwrap_or(0),
            };
            self.marked(ctx, f, &mark);
        }
    }

    /// A mark that is not for this sender, or not for this application.
    fn marked(&self, ctx: &mut Ctx<'_>, f: &FlowSeen, mark: &Mark) {
        let zone = self.matrix.zone_of(&mark.by.0, mark.by.1);
        let code = mark.code;
        let mut judged = self
            .dscp
            .iter()
            .filter(|d| d.codes >> code & 1 == 1)
            .peekable();
        if judged.peek().is_none() {
            return;
        }
        // by a port alone nobody knows calls, whose ports are any
        let by_port = !f.metered && f.known == Known::No;
        let is_any = f.proto == 17 && f.src_port.min(f.dst_port) >= 1_024;
        let unknown = by_port && (f.app == 0 || is_any);
        let asked = self.matrix.zone_of(&mark.to.0, mark.to.1);
        let may_answer = f.side == Side::Unknown && f.src_port <= f.dst_port;
        let fits = |d: &Dscp| {
            let application = |a: &u64| *a == f.app || *a == f.app_proto;
            let zones = &d.zones;
            (zones.is_empty() || zones.contains(&zone) || may_answer && zones.contains(&asked))
                && (unknown || d.applications.is_empty() || d.applications.iter().any(application))
        };
        if judged.any(fits) {
            return;
        }
        let name = match f.app {
            0 => "unknown".to_owned(),
            app => ctx.names.get(app),
        };
        let host = mark.by.0;
        let words = format!("DSCP {code} for {name} from {}", self.matrix.name(zone));
        let mut blind = vec!["who marked it: the sender, or something on the way".to_owned()];
        if unknown {
            blind.push("which application it is: it goes by the zone alone".to_owned());
        }
        let bytes = mark.bytes.saturating_mul(f.interval.max(1).into());
        let finding = Finding {
            kind: DetectionKind::PolicyDscp,
            detector: "policy.dscp",
            entity: Entity::Host(host),
            role: EntityRole::Source,
            severity: None,
            confidence: 70,
            about: format!("{host}, {words}"),
            first_ms: f.start_ms,
            last_ms: f.end_ms,
            count: 1,
            peers: vec![mark.to.0],
            peers_total: 1,
            figures: vec![figure("bytes of the largest flow", bytes as f64, None)],
            facts: vec![("marks", words)],
            counterfactual: format!("an entry of `detect.policy.dscp` that lets it use {code}"),
            blind,
        };
        report(ctx, f, finding);
    }

    /// Tells once in a while what nothing used for as long.
    fn unused(&mut self, ctx: &mut Ctx<'_>) {
        let days = ctx.settings.policy.unused_days.max(1);
        let period_ms = i64::from(days) * DAY_MS;
        if ctx.now_ms.saturating_sub(self.began_ms) < period_ms {
            return;
        }
        let began_ms = std::mem::replace(&mut self.began_ms, ctx.now_ms);
        let since = ctx.now_ms - period_ms;
        let idle = |u: &Used| u.flows == 0 || u.last_ms < since;
        let cells = self.matrix.cells.iter().filter(|c| idle(&c.used));
        let cells: Vec<&str> = cells.map(|c| c.words.as_str()).collect();
        let wanted = self.firewall.wanted.iter();
        let never = wanted.filter(|(rule, _)| self.firewall.used(*rule).is_none_or(&idle));
        let mut rules: Vec<String> = never
            .map(|(r, name)| format!("{name} ({})", rule_words(*r)))
            .collect();
        let known = self.firewall.hits.iter().filter(|(_, u)| idle(u));
        rules.extend(known.map(|(r, _)| format!("{} (was hit before)", rule_words(*r))));
        let n = cells.len() + rules.len();
        if n == 0 {
            return;
        }
        let mut facts = vec![];
        for (name, words) in [("cells", cells.join("; ")), ("rules", rules.join("; "))] {
            if !words.is_empty() {
                facts.push((name, cut(words)));
            }
        }
        let finding = Finding {
            kind: DetectionKind::PolicyUnused,
            detector: "policy.unused",
            entity: Entity::Collector,
            role: EntityRole::Victim,
            severity: None,
            confidence: 60,
            about: format!("{n} within {days} days"),
            first_ms: began_ms,
            last_ms: ctx.now_ms,
            count: n as u64,
            peers: vec![],
            peers_total: 0,
            figures: vec![
                figure("cells that nothing used", cells.len() as f64, Some(1.0)),
                figure("rules that nothing hit", rules.len() as f64, Some(1.0)),
                figure("days", days.into(), Some(days.into())),
            ],
            facts,
            counterfactual: "one flow that uses each".to_owned(),
            blind: vec![
                "traffic that no exporter tells of, and what is needed once a year".to_owned(),
            ],
        };
        ctx.incidents.report(ctx.now_ms, finding);
    }
}

impl Breaks {
    /// Each broken cell with how often and since when.
    fn words(&self, matrix: &Matrix) -> String {
        let used = self.cells.iter().filter(|c| c.1.flows > 0);
        let words = used.map(|(b, u)| {
            let (from, to) = (matrix.name(b.from), matrix.name(b.to));
            let service = service(b.proto, b.port);
            let (flows, since) = (u.flows, seconds(u.first_ms.div_euclid(1_000)));
            format!("{from} to {to} {service}: {flows} flows since {since} UTC")
        });
        let mut words: Vec<String> = words.collect();
        if self.others > 0 {
            words.push(format!("{} flows of other cells", self.others));
        }
        words.join("; ")
    }
}

fn cleartext(ctx: &mut Ctx<'_>, f: &FlowSeen, ends: &Ends, name: &'static str) {
    let by_port = f.spoken == 0;
    let by_port = by_port.then_some("what is spoken there: it goes by the port");
    let version = (name == plain::SNMP).then_some("which version: SNMP 3 may be encrypted");
    let doubt = by_port.into_iter().chain(version).map(str::to_owned);
    let doubt: Vec<String> = doubt.collect();
    let finding = Finding {
        kind: DetectionKind::PolicyCleartext,
        detector: "policy.cleartext",
        entity: Entity::Host(ends.client),
        role: EntityRole::Source,
        severity: None,
        confidence: if doubt.is_empty() { 95 } else { 60 },
        about: format!("{name} from {} to {}", ends.client, ends.server),
        first_ms: f.start_ms,
        last_ms: f.end_ms,
        count: 1,
        peers: vec![ends.server],
        peers_total: 1,
        figures: vec![figure(
            "bytes of the largest flow",
            f.est_bytes() as f64,
            None,
        )],
        facts: vec![("protocols", name.to_owned())],
        counterfactual: format!("`{name}` not in detect.policy.cleartext"),
        blind: doubt,
    };
    report(ctx, f, finding);
}

fn report(ctx: &mut Ctx<'_>, f: &FlowSeen, finding: Finding) {
    if let Some(handle) = ctx.incidents.report(ctx.now_ms, finding) {
        ctx.incidents.show(handle, evidence(f));
    }
}

fn service(proto: u8, port: u16) -> String {
    match proto {
        6 => format!("{port}/tcp"),
        17 => format!("{port}/udp"),
        132 => format!("{port}/sctp"),
        1 | 58 => "icmp".to_owned(),
        n => format!("proto/{n}"),
    }
}

/// At most so many bytes of a list, cut between its items.
fn cut(mut words: String) -> String {
    if words.len() > WORDS_MAX {
        let is_end = |i: &usize| words.is_char_boundary(*i);
        let upto = (0..=WORDS_MAX).rev().find(is_end).unwrap_or(0);
        let end = words[..upto].rfind("; ").unwrap_or(upto);
        words.truncate(end);
        words.push_str("; ...");
    }
    words
}

const CELLS: usize = 8;
const CELLS_FACT: &str = "broken";
const DAY_MS: i64 = 86_400_000;
const LOOK_MS: i64 = 60_000;
const WORDS_MAX: usize = 4_096;
