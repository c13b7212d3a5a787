//! DNS: data in names.
//!
//! A tunnel is told by information and not by counts (ibHH: Ozery, Nadler and Shabtai, 2023, "Information based heavy hitters"):
//! different names below one registered domain times what they can carry ([`super::label`]). A client of block lists asks for as many names, but short
//! ones, and what lists say of files and mail addresses by their hash are addresses that lead nowhere (RFC 5782), or that there is none: it takes ten times as many. Record types that nearly nobody asks for (NULL, private ones, KEY) and texts need fewer names.
//! Slow ones are not looked for below the zones of clouds, whose names are long and many, and for which nobody else answers.
//! Answers of those types that carry much, and something else each time, need hardly any name at all: one or a few, or as many as there are answers,
//! where these are no words. What lists say of addresses takes ten times as many, and keys that services have at places of their own are none.
//! Names that each carry an identifier, and come in an even rhythm for minutes, are those of a program that waits (dnscat2 asks each second).
//! A few names that are as full as they can be are one, too, and so are as many as within ten minutes over hours, for who has time.
//! Names that an algorithm made are told by [`super::dga`].

use super::arena::{Arena, Held};
use super::dga::Missing;
use super::keyed::{Distinct, Key, Keyed, Recent};
use super::label::{EIGHTHS, begins_with_address, is_address, is_digest, is_scoped, weight};
use super::sighting::DnsSeen;
use super::{Ctx, figure};
use crate::detect::incident::{Finding, Growth, Handle, plain};
use crate::model::{Addr, DetectionKind, Entity, EntityRole};

#[derive(Debug)]
pub(super) struct Dns {
    domains: Arena<(Addr, Addr, Domain), Asked>,
    clients: Arena<Addr, Missing>,
    /// Who inside answers others that asked: what they ask is asked for those.
    servers: Recent,
    /// Who asked whom.
    questions: Recent,
}

/// A hash of a registered domain, as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Domain(u64);

impl Key for (Addr, Addr, Domain) {
    const SHARE: usize = 2;

    fn hashed(&self, keyed: &Keyed) -> u64 {
        keyed.hash(self)
    }

    fn addr(&self) -> Addr {
        self.0
    }
}

/// What a client asked a server of a domain.
#[derive(Debug, Default)]
struct Asked {
    began_ms: i64,
    first_ms: i64,
    last_ms: i64,
    names: Distinct<8>,
    fresh: u32,
    /// What these names can carry, in eighths of a byte, and of the last one what stood behind its first label.
    eighths: u32,
    rest: u32,
    odd: u32,
    answered_bytes: u32,
    /// Answers that carry much, each of which says something else.
    contents: Distinct<4>,
    texts: u32,
    text_bytes: u32,
    /// Of these, what is no words; each as often as `LIST_TIMES` says, and once where a list may say it of an address.
    encoded: u32,
    /// Names since it was told, and what they can carry.
    told: (u32, u32),
    slow: Slow,
    handle: Option<Handle>,
}

/// Different names within hours.
#[derive(Debug, Default)]
struct Slow {
    began_ms: i64,
    first_ms: i64,
    names: Distinct<8>,
    n: u32,
    /// Of these, those that begin with a digest.
    digests: u32,
    eighths: u32,
    verdicts: Verdicts,
    pace: Pace,
}

/// Pauses between questions for other names than the one before.
#[derive(Debug, Default)]
struct Pace {
    last_ms: i64,
    name: u64,
    n: u32,
    sum: f32,
    squares: f32,
}

/// How many questions were answered, by an address that leads nowhere, or by that there is none.
#[derive(Clone, Copy, Debug, Default)]
struct Verdicts {
    answers: u32,
    listed: u32,
    absent: u32,
}

impl Held for Asked {
    fn suspicion(&self) -> u32 {
        if self.handle.is_some() {
            u32::MAX
        } else {
            self.eighths.max(self.slow.eighths).min(1 << 30)
        }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn is_light(&self) -> bool {
        self.fresh < 5 && self.slow.n < 5
    }
}

impl Dns {
    pub fn new(places: usize) -> Self {
        Dns {
            domains: Arena::new(places / 8),
            clients: Arena::new(places / 16),
            servers: Recent::new(SERVERS_LOG2, SERVERS_MS),
            questions: Recent::new(QUESTIONS_LOG2, QUESTIONS_MS),
        }
    }

    pub fn bytes(places: usize) -> usize {
        Arena::<(Addr, Addr, Domain), Asked>::bytes(places / 8)
            + Arena::<Addr, Missing>::bytes(places / 16)
            + Recent::bytes(SERVERS_LOG2)
            + Recent::bytes(QUESTIONS_LOG2)
    }

    pub fn lost(&self) -> (u64, u64) {
        let (a, b) = (self.domains.lost(), self.clients.lost());
        (a.0 + b.0, a.1 + b.1)
    }

    pub fn clear(&mut self) {
        self.domains.clear();
        self.clients.clear();
        self.servers = Recent::new(SERVERS_LOG2, SERVERS_MS);
        self.questions = Recent::new(QUESTIONS_LOG2, QUESTIONS_MS);
    }

    pub fn message(&mut self, ctx: &mut Ctx<'_>, d: &DnsSeen) {
        let at = registered(&d.name);
        let (before, domain) = (&d.name[..at.saturating_sub(1)], &d.name[at..]);
        let text = plain(&String::from_utf8_lossy(domain));
        self.questions.pass(ctx.now_ms);
        let question = ctx.keyed.hash(&(d.client, d.server));
        if !d.is_answer {
            self.questions.add(question);
        }
        let allowed = ctx.settings.allow_domains.iter();
        if domain.is_empty() || allowed.into_iter().any(|a| is_below(&d.name, a.as_bytes())) {
            return;
        }
        if d.is_answer {
            let was_asked = self.questions.has(question);
            self.answer(ctx, d, domain, was_asked);
        }
        let key = (d.client, d.server, Domain(ctx.keyed.hash(&domain)));
        if d.is_answer {
            let asked = match d.carried >= TEXT_BYTES {
                true => self.domains.entry(ctx.keyed, &key),
                false => self.domains.find(ctx.keyed, &key),
            };
            if let Some(asked) = asked {
                asked.answered_bytes = asked.answered_bytes.saturating_add(d.bytes.into());
                asked.slow.verdicts.add(d);
                if d.carried >= TEXT_BYTES {
                    asked.carries(ctx, d, (before, &text));
                }
            }
            return;
        }
        if before.is_empty() {
            return;
        }
        if let Some(asked) = self.domains.entry(ctx.keyed, &key) {
            asked.add(ctx, d, before, &text);
        }
    }

    fn answer(&mut self, ctx: &mut Ctx<'_>, d: &DnsSeen, domain: &[u8], was_asked: bool) {
        self.servers.pass(ctx.now_ms);
        // who answers what nobody asked makes himself no resolver
        if was_asked && ctx.zones.is_inside(&d.server) {
            self.servers.add(ctx.keyed.hash(&d.server));
        }
        let is_missing = d.rcode == NXDOMAIN;
        let missing = match is_missing {
            true => self.clients.entry(ctx.keyed, &d.client),
            false => self.clients.find(ctx.keyed, &d.client),
        };
        let Some(missing) = missing else { return };
        missing.hears(ctx);
        if is_missing && !self.servers.has(ctx.keyed.hash(&d.client)) {
            missing.add(ctx, d, domain);
        }
    }
}

impl Asked {
    /// Begins anew where ten minutes are over.
    fn pass(&mut self, ctx: &Ctx<'_>, d: &DnsSeen) {
        if ctx.now_ms.saturating_sub(self.began_ms) > WINDOW_MS {
            *self = Asked {
                began_ms: ctx.now_ms,
                first_ms: d.time_ms,
                told: self.told,
                slow: std::mem::take(&mut self.slow),
                handle: self.handle,
                ..Asked::default()
            };
        }
    }

    /// An answer that carries much: one name, or a few, that are asked for again and again, and say something else each time; or names whose answers
    /// are no words.
    fn carries(&mut self, ctx: &mut Ctx<'_>, d: &DnsSeen, (before, domain): (&[u8], &str)) {
        self.pass(ctx, d);
        self.last_ms = ctx.now_ms;
        if !self.contents.add(ctx.keyed.hash(&d.content)) && self.texts < TEXTS_FULL {
            return;
        }
        let weight = match () {
            () if !d.is_encoded || is_scoped(before) => 0,
            () if begins_with_address(before) => 1,
            () => LIST_TIMES,
        };
        self.encoded = self.encoded.saturating_add(weight);
        self.texts = self.texts.saturating_add(u32::from(!is_address(before)));
        self.text_bytes = self.text_bytes.saturating_add(d.carried.into());
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: d.time_ms,
                count: 1,
                ..Growth::default()
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents.figure(handle, TEXTS, self.texts.into());
                return;
            }
            self.handle = None;
        }
        let wanted = ctx.settings.dns.odd_names;
        let encoded = self.encoded / LIST_TIMES;
        let few_names = self.texts >= wanted && self.fresh.saturating_mul(4) <= self.texts;
        if !few_names && encoded < wanted {
            return;
        }
        let texts = if few_names { self.texts } else { encoded };
        let mut finding = self.finding(d, domain, "dns.long_answers");
        finding.count = texts.into();
        finding.figures = vec![
            figure(TEXTS, texts.into(), Some(wanted.into())),
            figure("bytes that they carry", self.text_bytes.into(), None),
            figure(NAMES, self.fresh.into(), None),
        ];
        finding.counterfactual = format!(
            "fewer than {wanted} different answers of {TEXT_BYTES} bytes, or the domain in allow_domains"
        );
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, d.evidence());
        }
    }

    fn add(&mut self, ctx: &mut Ctx<'_>, d: &DnsSeen, before: &[u8], domain: &str) {
        self.pass(ctx, d);
        let eighths = self.eighths(ctx, before);
        if !is_cloud(domain) {
            self.slow.add(ctx, d, before, eighths);
        }
        self.last_ms = ctx.now_ms;
        // full: names are told apart no more
        if !self.names.add(ctx.keyed.hash(&before)) && self.names.count() < 1_500 {
            return;
        }
        self.fresh = self.fresh.saturating_add(1);
        self.eighths = self.eighths.saturating_add(eighths);
        // of what stands at a place of its own, texts are what is asked for
        let is_usual = is_address(before) || is_scoped(before) && eighths < SCOPED_MAX;
        self.odd += u32::from(is_odd(d.kind) && !is_usual);
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: d.time_ms,
                count: 1,
                peer: None,
                peers_total: 0,
            };
            if ctx.incidents.grow(handle, &growth) {
                self.told = (self.told.0 + 1, self.told.1.saturating_add(eighths));
                ctx.incidents.figure(handle, NAMES, self.told.0.into());
                ctx.incidents
                    .figure(handle, NAME_BYTES, mean(self.told.1, self.told.0));
                ctx.incidents.show(handle, d.evidence());
                return;
            }
            self.handle = None;
        }
        self.judge(ctx, d, domain);
    }

    /// What a name can carry: of what stands behind its first label nothing, where it is the same as before.
    fn eighths(&mut self, ctx: &Ctx<'_>, before: &[u8]) -> u32 {
        let first = before.iter().position(|b| *b == b'.');
        let (first, rest) = before.split_at(first.unwrap_or(before.len()));
        let hash = ctx.keyed.hash(&rest) as u32;
        let is_same = std::mem::replace(&mut self.rest, hash) == hash;
        weight(if is_same { first } else { before })
    }

    fn judge(&mut self, ctx: &mut Ctx<'_>, d: &DnsSeen, domain: &str) {
        let s = &ctx.settings.dns;
        let now = mean(self.eighths, self.fresh);
        let slowly = mean(self.slow.eighths, self.slow.n);
        // a list is asked of many things
        let are_digests = self.slow.digests.saturating_mul(10) >= self.slow.n.saturating_mul(9);
        let times = if self.slow.verdicts.are_of_list(self.fresh, are_digests) {
            LIST_TIMES
        } else {
            1
        };
        let [names, full, slow] =
            [s.names, s.full_names, s.slow_names].map(|n| n.saturating_mul(times));
        let (rule, wanted, bytes) = match () {
            () if self.fresh >= names && now >= s.name_bytes => {
                ("dns.information", names, s.name_bytes)
            }
            () if self.fresh >= full && now >= FULL => ("dns.full_names", full, FULL),
            () if self.odd >= s.odd_names && self.odd * 2 >= self.fresh && now >= ODD => {
                ("dns.odd_types", s.odd_names, ODD)
            }
            () if self.slow.n >= slow && slowly >= s.name_bytes => ("dns.slow", slow, s.name_bytes),
            () if slowly >= STEADY && self.slow.is_steady(slow, d.time_ms) => {
                ("dns.steady", slow, STEADY)
            }
            () => return,
        };
        if matches!(rule, "dns.slow" | "dns.steady") {
            (self.fresh, self.eighths) = (self.slow.n, self.slow.eighths);
            self.first_ms = self.slow.first_ms;
        }
        self.told = (self.fresh, self.eighths);
        let mut finding = self.finding(d, domain, rule);
        let by_kind = rule == "dns.odd_types";
        let wanted = f64::from(wanted);
        let seconds = ((d.time_ms - self.first_ms) as f64 / 1000.0).max(1.0);
        let carried = f64::from(self.eighths) / f64::from(EIGHTHS);
        finding.figures = vec![
            figure(NAMES, self.fresh.into(), (!by_kind).then_some(wanted)),
            figure(NAME_BYTES, mean(self.eighths, self.fresh), Some(bytes)),
            figure(
                "names of rare record types",
                self.odd.into(),
                by_kind.then_some(wanted),
            ),
            figure("bytes of names a second", carried / seconds, None),
            figure("bytes of answers", self.answered_bytes.into(), None),
        ];
        finding.counterfactual = format!(
            "fewer than {wanted} names, names that carry less than {bytes} bytes, or the domain in allow_domains"
        );
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, d.evidence());
        }
    }

    /// What is found, but for its figures.
    fn finding(&self, d: &DnsSeen, domain: &str, rule: &'static str) -> Finding {
        Finding {
            kind: DetectionKind::DnsTunnel,
            detector: rule,
            entity: Entity::Pair(d.client, d.server),
            role: EntityRole::Source,
            severity: None,
            confidence: 85,
            about: format!("{} through {domain}", d.client),
            first_ms: self.first_ms,
            last_ms: d.time_ms,
            count: self.fresh.into(),
            peers: vec![d.server],
            peers_total: 1,
            figures: vec![],
            facts: vec![("domain", domain.to_owned())],
            counterfactual: String::new(),
            blind: vec![],
        }
    }
}

impl Verdicts {
    fn add(&mut self, d: &DnsSeen) {
        self.answers = self.answers.saturating_add(1);
        self.listed += u32::from(d.is_verdict);
        self.absent += u32::from(d.rcode == NXDOMAIN);
    }

    /// Whether a list answers: by verdicts alone, and not always that there is none, but where it is asked for digests.
    fn are_of_list(&self, names: u32, are_digests: bool) -> bool {
        let said = self.listed.saturating_add(self.absent);
        self.answers.saturating_mul(2) >= names
            && (are_digests || self.listed.saturating_mul(10) >= self.answers)
            && u64::from(said) * 10 >= u64::from(self.answers) * 9
    }
}

/// Bytes that a name can carry on average.
fn mean(eighths: u32, names: u32) -> f64 {
    f64::from(eighths) / f64::from(EIGHTHS) / f64::from(names.max(1))
}

impl Slow {
    /// Whether names come as a program asks that waits for what it is told to do: hardly any other pause between them, for minutes.
    fn is_steady(&self, names: u32, now_ms: i64) -> bool {
        let is_long = now_ms.saturating_sub(self.first_ms) >= STEADY_MS;
        is_long && self.n >= names && self.pace.n >= names && self.pace.is_even()
    }

    fn add(&mut self, ctx: &Ctx<'_>, d: &DnsSeen, before: &[u8], eighths: u32) {
        if ctx.now_ms.saturating_sub(self.began_ms) > SLOW_MS {
            *self = Slow {
                began_ms: ctx.now_ms,
                first_ms: d.time_ms,
                ..Slow::default()
            };
        }
        let name = ctx.keyed.hash(&before);
        self.pace.add(name, d.time_ms);
        if self.names.add(name) {
            self.n = self.n.saturating_add(1);
            self.digests += u32::from(is_digest(before));
            self.eighths = self.eighths.saturating_add(eighths);
        }
    }
}

impl Pace {
    fn add(&mut self, name: u64, time_ms: i64) {
        if std::mem::replace(&mut self.name, name) == name {
            return;
        }
        let pause_ms = time_ms.saturating_sub(self.last_ms);
        self.last_ms = time_ms;
        if !(0..PAUSE_MAX_MS).contains(&pause_ms) {
            return;
        }
        self.n = self.n.saturating_add(1);
        self.sum += pause_ms as f32;
        self.squares += pause_ms as f32 * pause_ms as f32;
    }

    /// By the deviation of pauses in parts of their mean: that of questions of people, and of many hosts, is about 1.
    fn is_even(&self) -> bool {
        let n = self.n.max(1) as f32;
        let mean = self.sum / n;
        let deviation = (self.squares / n - mean * mean).max(0.0).sqrt();
        mean >= PAUSE_MIN_MS && deviation <= EVEN * mean
    }
}

/// Where the registered domain begins in a name: its last two labels, or three below the usual second levels of countries (`co.uk`). Not every
/// short label is one: a tunnel below `t1.pw` is one domain.
fn registered(name: &[u8]) -> usize {
    let mut dots = name
        .iter()
        .enumerate()
        .rev()
        .filter(|(_, b)| **b == b'.')
        .map(|(i, _)| i);
    let Some(last) = dots.next() else { return 0 };
    let Some(second) = dots.next() else { return 0 };
    let (label, tld) = (&name[second + 1..last], &name[last + 1..]);
    let two = tld.len() == 2 && SECOND_LEVEL.contains(&label);
    match (two, dots.next()) {
        (true, Some(third)) => third + 1,
        (true, None) => 0,
        (false, _) => second + 1,
    }
}

/// Zones of clouds: nobody else is asked for names below them.
fn is_cloud(domain: &str) -> bool {
    const CLOUDS: [&str; 10] = [
        "amazonaws.com",
        "cloudfront.net",
        "windows.net",
        "azure.com",
        "azure.net",
        "trafficmanager.net",
        "akamai.net",
        "akamaiedge.net",
        "edgekey.net",
        "edgesuite.net",
    ];
    CLOUDS.contains(&domain)
}

fn is_below(name: &[u8], domain: &[u8]) -> bool {
    name.strip_suffix(domain)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with(b"."))
}

/// Types that hardly anybody asks for but tunnels: NULL, KEY, private ones; TXT and MX carry much, and tunnels like them.
pub(super) fn is_odd(kind: u16) -> bool {
    matches!(kind, 10 | 25 | 16 | 65_280..=65_535)
}

const NAMES: &str = "different names below the domain";
const NAME_BYTES: &str = "bytes that a name before the domain can carry";
const TEXTS: &str = "different answers that carry much";
/// Bytes of records that are much, and so many answers that they are told apart no more.
const TEXT_BYTES: u16 = 100;
const TEXTS_FULL: u32 = 500;
/// Bytes of names into which as much is put as they hold, and of those of rare types that carry something.
const FULL: f64 = 90.0;
const ODD: f64 = 5.0;
/// Names at places of their own that carry so much are asked for the sake of it.
const SCOPED_MAX: u32 = 24 * EIGHTHS;
/// Bytes of names that come in a rhythm: identifiers of a session and of what was heard.
const STEADY: f64 = 12.0;
const STEADY_MS: i64 = 300_000;
/// Deviation of pauses that are even, in parts of their mean; pauses that are looked at, and their mean at least, ms.
const EVEN: f32 = 0.4;
const PAUSE_MAX_MS: i64 = 60_000;
const PAUSE_MIN_MS: f32 = 200.0;
/// A list is asked for so many times as much.
const LIST_TIMES: u32 = 10;
const SLOW_MS: i64 = 6 * 3_600_000;
const SERVERS_LOG2: u32 = 16;
const SERVERS_MS: i64 = 3_600_000;
const QUESTIONS_LOG2: u32 = 18;
const QUESTIONS_MS: i64 = 60_000;
const NXDOMAIN: u8 = 3;
const WINDOW_MS: i64 = 600_000;
const SECOND_LEVEL: [&[u8]; 18] = [
    b"com", b"net", b"org", b"edu", b"gov", b"mil", b"ac", b"co", b"gob", b"go", b"gv", b"ne",
    b"nom", b"or", b"ltd", b"plc", b"sch", b"web",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_found_in_names() {
        let domain = |n: &str| n[registered(n.as_bytes())..].to_owned();
        assert_eq!(domain("a.b.example.com"), "example.com");
        assert_eq!(domain("www.example.co.uk"), "example.co.uk");
        assert_eq!(domain("example.co.uk"), "example.co.uk");
        assert_eq!(domain("www.example.or.jp"), "example.or.jp");
        assert_eq!(domain("a.t.io"), "t.io");
        assert_eq!(domain("localhost"), "localhost");
        assert!(
            is_below(b"a.mcafee.com", b"mcafee.com") && !is_below(b"xmcafee.com", b"mcafee.com")
        );
    }
}
