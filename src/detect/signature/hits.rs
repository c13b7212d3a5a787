//! From alerts to incidents: what one rule raises between one pair of hosts is one row that grows.
//!
//! A pair is seen by one shard alone, so its incidents need no other.

mod demoted;

use super::engine::{Alert, Conflict};
use super::rule::Rule;
use super::settings::LiveSettings;
use crate::detect::community_id;
use crate::model::{
    Addr, Detection, DetectionKind, EVIDENCE_FLOWS_MAX, Entity, EntityRole, Evidence, EvidenceFlow,
    Severity,
};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Incidents of rules that are open, how often rules hit, and the versions that nobody took yet.
#[derive(Debug)]
pub struct Hits {
    open: BTreeMap<Key, Open>,
    /// By id: a newer version goes before an older one.
    ready: BTreeMap<u64, Detection>,
    counts: HitCounts,
    gap_ms: i64,
    open_max: usize,
    per_day_max: u32,
    day: i64,
    today: u32,
}

/// How often rules hit, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HitCounts {
    /// By severity (1 is the gravest) and category; what found no room is under an empty category.
    pub classes: BTreeMap<(u32, String), u64>,
    /// By group and number of the rule, with its text; what found no room is in `other`.
    pub rules: BTreeMap<(u32, u32), (u64, String)>,
    /// Hits of rules without a place of their own.
    pub other: u64,
    /// Hits in all.
    pub all: u64,
}

/// A rule, and between whom: who asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    what: What,
    gid: u32,
    sid: u32,
    client: Addr,
    server: Addr,
}

/// What an incident is about: a rule that hits, octets with two readings, a rule that is not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Hit,
    Conflict,
    Demotion,
}

#[derive(Debug)]
struct Open {
    told: Detection,
    /// Conversations in the evidence.
    flows: Vec<u64>,
    told_ms: Option<i64>,
    changed: bool,
}

impl Hits {
    /// None yet.
    pub fn new(settings: &LiveSettings) -> Self {
        Hits {
            open: BTreeMap::new(),
            ready: BTreeMap::new(),
            counts: HitCounts::default(),
            gap_ms: i64::from(settings.incident_gap_s) * 1_000,
            open_max: settings.incidents_max,
            per_day_max: settings.incidents_per_day_max,
            day: i64::MIN,
            today: 0,
        }
    }

    /// Bytes that it takes at most.
    pub fn memory_max(settings: &LiveSettings) -> usize {
        let open = settings.incidents_max.saturating_mul(OPEN_BYTES);
        open.saturating_add((CLASSES_MAX + RULES_MAX) * COUNT_BYTES)
    }

    /// Takes an alert: the incident that it belongs to, and whether that is new; none where as many are open, or were told today, as may be.
    pub fn take(&mut self, alert: &Alert) -> Option<(u64, bool)> {
        self.counts.add(alert);
        let now_ms = alert.time_ns.div_euclid(1_000_000);
        let key = Key::of(alert);
        let open = self.open.get_mut(&key);
        if let Some(open) = open.filter(|o| now_ms - o.told.last_ms <= self.gap_ms) {
            open.grow(alert, now_ms);
            return Some((open.told.id, false));
        }
        self.close(key);
        if self.open.len() >= self.open_max || !self.is_within_budget(now_ms) {
            return None;
        }
        let open = Open::new(key, alert, now_ms);
        let id = open.told.id;
        self.open.insert(key, open);
        Some((id, true))
    }

    /// Takes octets that were sent twice with different data: all of one pair are one incident. False where there is no room.
    pub fn conflict(&mut self, conflict: &Conflict) -> bool {
        let now_ms = conflict.time_ns.div_euclid(1_000_000);
        let [src, dst] = conflict.addrs;
        let (client, server) = match conflict.direction {
            Some(1) => (dst, src),
            _ => (src, dst),
        };
        let key = Key {
            what: What::Conflict,
            gid: 0,
            sid: 0,
            client,
            server,
        };
        let open = self.open.get_mut(&key);
        if let Some(open) = open.filter(|o| now_ms - o.told.last_ms <= self.gap_ms) {
            open.again(conflict, now_ms);
            return true;
        }
        self.close(key);
        if self.open.len() >= self.open_max || !self.is_within_budget(now_ms) {
            return false;
        }
        self.open
            .insert(key, Open::of_conflict(key, conflict, now_ms));
        true
    }

    /// Lets time pass: what is new or has changed for a while, or `all` that has, is given out, what was silent for long is over.
    pub fn tick(&mut self, now_ms: i64, all: bool) {
        let (ready, gap_ms) = (&mut self.ready, self.gap_ms);
        self.open.retain(|_, open| {
            let over = now_ms.saturating_sub(open.told.last_ms) > gap_ms;
            let due = open
                .told_ms
                .is_none_or(|told| now_ms.saturating_sub(told) >= TELL_AGAIN_MS);
            if open.changed && (due || over || all) {
                open.told_ms = Some(now_ms);
                ready.insert(open.told.id, open.tell());
            }
            !over
        });
    }

    /// Gives out all changes; all incidents are over.
    pub fn finish(&mut self) {
        let open = std::mem::take(&mut self.open);
        let changed = open.into_values().filter(|o| o.changed);
        let told = changed.map(|mut o| (o.told.id, o.tell()));
        self.ready.extend(told);
    }

    /// The versions that nobody took yet, in order of their ids.
    pub fn ready(&self) -> impl Iterator<Item = &Detection> {
        self.ready.values()
    }

    /// The versions that are to be told.
    pub fn take_ready(&mut self) -> Vec<Detection> {
        let ready = std::mem::take(&mut self.ready);
        ready.into_values().collect()
    }

    /// Gives back versions that nobody could take now. A newer one of the same incident goes before them.
    pub fn give_back(&mut self, versions: Vec<Detection>) {
        for d in versions {
            self.ready.entry(d.id).or_insert(d);
        }
    }

    /// How often rules hit.
    pub fn counts(&self) -> &HitCounts {
        &self.counts
    }

    fn close(&mut self, key: Key) {
        if let Some(mut open) = self.open.remove(&key)
            && open.changed
        {
            self.ready.insert(open.told.id, open.tell());
        }
    }

    fn is_within_budget(&mut self, now_ms: i64) -> bool {
        let day = now_ms.div_euclid(86_400_000);
        if day != self.day {
            (self.day, self.today) = (day, 0);
        }
        self.today = self.today.saturating_add(1);
        self.today <= self.per_day_max
    }
}

impl HitCounts {
    /// Adds those of another shard.
    pub fn merge(&mut self, other: &HitCounts) {
        for ((severity, category), n) in &other.classes {
            self.count_class(*severity, category, *n);
        }
        for (rule, (n, message)) in &other.rules {
            self.count_rule(*rule, message, *n);
        }
        self.other += other.other;
        self.all += other.all;
    }

    /// The rules that hit most, at most so many.
    pub fn top(&self, most: usize) -> Vec<((u32, u32), u64, &str)> {
        let rules = self.rules.iter();
        let mut rules: Vec<_> = rules.map(|(r, (n, m))| (*r, *n, m.as_str())).collect();
        rules.sort_by_key(|r| (std::cmp::Reverse(r.1), r.0));
        rules.truncate(most);
        rules
    }

    fn add(&mut self, alert: &Alert) {
        let rule = alert.rule();
        let category = rule.about.category.as_deref().unwrap_or_default();
        self.count_class(alert.severity(), category, 1);
        self.count_rule((rule.gid, rule.sid), &rule.about.message, 1);
        self.all += 1;
    }

    fn count_class(&mut self, severity: u32, category: &str, n: u64) {
        let full = self.classes.len() >= CLASSES_MAX;
        let key = (severity, cut(category));
        let key = match full && !self.classes.contains_key(&key) {
            true => (severity, String::new()),
            false => key,
        };
        *self.classes.entry(key).or_default() += n;
    }

    fn count_rule(&mut self, rule: (u32, u32), message: &str, n: u64) {
        let full = self.rules.len() >= RULES_MAX;
        match self.rules.get_mut(&rule) {
            Some(known) => known.0 += n,
            None if full => self.other += n,
            None => {
                self.rules.insert(rule, (n, cut(message)));
            }
        }
    }
}

impl Key {
    fn of(alert: &Alert) -> Self {
        let rule = alert.rule();
        let [src, dst] = alert.addrs;
        let (client, server) = match alert.direction {
            Some(1) => (dst, src),
            _ => (src, dst),
        };
        Key {
            what: What::Hit,
            gid: rule.gid,
            sid: rule.sid,
            client,
            server,
        }
    }

    /// From what the incident is: FNV-1a with 64 bits (Fowler, Noll and Vo).
    fn id(&self, first_ms: i64) -> u64 {
        let Key {
            what,
            gid,
            sid,
            client,
            server,
        } = self;
        let what = match what {
            What::Hit | What::Conflict => "signature",
            What::Demotion => "demotion",
        };
        let text = format!("{what}|{gid}:{sid}|{client}|{server}|{first_ms}");
        let step = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
        text.bytes().fold(0xcbf2_9ce4_8422_2325, step)
    }
}

impl Open {
    fn new(key: Key, alert: &Alert, now_ms: i64) -> Self {
        let rule = alert.rule();
        let kind = DetectionKind::Signature;
        let mut open = Open {
            told: Detection {
                id: key.id(now_ms),
                version: 0,
                kind,
                detector: format!("{}:{}:{}", rule.gid, rule.sid, rule.rev),
                sid: Some(rule.sid),
                severity: severity(rule, alert.severity()),
                confidence: confidence(rule),
                title: match rule.about.message.is_empty() {
                    true => format!("{} {}", kind.title(), rule.sid),
                    false => cut(&rule.about.message),
                },
                entity: Entity::Pair(key.client, key.server),
                role: EntityRole::Source,
                peers: vec![key.server],
                peers_total: 1,
                first_ms: now_ms,
                last_ms: now_ms,
                detected_ms: now_ms,
                count: 0,
                evidence: Evidence {
                    facts: facts(alert),
                    matches: alert.matches.clone(),
                    ..Evidence::default()
                },
                attack: techniques(rule),
            },
            flows: vec![],
            told_ms: None,
            changed: false,
        };
        open.grow(alert, now_ms);
        open
    }

    fn of_conflict(key: Key, conflict: &Conflict, now_ms: i64) -> Self {
        let kind = DetectionKind::OverlapEvasion;
        let shown = |bytes: &[u8]| {
            let text = bytes.iter().map(|b| match b {
                b' '..=b'~' => *b as char,
                _ => '.',
            });
            text.collect::<String>()
        };
        let [first, other] = [0, 1].map(|n| shown(&conflict.readings[n]));
        let mut facts = vec![
            ("place in the stream".into(), conflict.offset.to_string()),
            ("first reading".into(), first),
            ("other reading".into(), other),
        ];
        facts.retain(|(_, text)| !text.is_empty());
        let mut open = Open {
            told: Detection {
                id: key.id(now_ms),
                version: 0,
                kind,
                detector: match conflict.flow {
                    Some(_) => "overlap.segments".into(),
                    None => "overlap.fragments".into(),
                },
                sid: None,
                severity: kind.severity(),
                confidence: 60,
                title: kind.title().to_owned(),
                entity: Entity::Pair(key.client, key.server),
                role: EntityRole::Source,
                peers: vec![key.server],
                peers_total: 1,
                first_ms: now_ms,
                last_ms: now_ms,
                detected_ms: now_ms,
                count: 0,
                evidence: Evidence {
                    facts,
                    ..Evidence::default()
                },
                attack: kind.attack().iter().map(|t| (*t).into()).collect(),
            },
            flows: vec![],
            told_ms: None,
            changed: false,
        };
        open.again(conflict, now_ms);
        open
    }

    /// It was seen once more.
    fn once_more(&mut self, now_ms: i64) {
        let told = &mut self.told;
        told.first_ms = told.first_ms.min(now_ms);
        told.last_ms = told.last_ms.max(now_ms);
        told.count += 1;
        self.changed = true;
    }

    fn again(&mut self, conflict: &Conflict, now_ms: i64) {
        self.once_more(now_ms);
        let told = &mut self.told;
        if !conflict.rules.is_empty() {
            let rules = conflict.rules.iter().take(REFERENCES_MAX);
            let rules: Vec<String> = rules.map(|(g, s, m)| format!("{g}:{s} {m}")).collect();
            told.severity = Severity::Critical;
            told.confidence = 90;
            told.evidence.facts.retain(|f| f.0 != ONLY_OTHER);
            told.evidence
                .facts
                .push((ONLY_OTHER.into(), rules.join(", ")));
        }
        let (number, counts) = conflict.flow.unwrap_or_default();
        let flows = &mut told.evidence.flows;
        if !self.flows.contains(&number) && flows.len() < EVIDENCE_FLOWS_MAX {
            self.flows.push(number);
            let ends = [0, 1].map(|n| (conflict.addrs[n], conflict.ports[n]));
            let (from, to) = match conflict.direction {
                Some(1) => (ends[1], ends[0]),
                _ => (ends[0], ends[1]),
            };
            let began_ms = counts.began_ns.div_euclid(1_000_000);
            flows.push(EvidenceFlow {
                src: from.0,
                dst: to.0,
                src_port: from.1,
                dst_port: to.1,
                proto: conflict.proto,
                bytes: counts.bytes.iter().sum(),
                packets: counts.packets.iter().sum(),
                start_ms: if began_ms > 0 { began_ms } else { now_ms },
                community_id: community_id(0, conflict.proto, from, to),
            });
        }
    }

    fn grow(&mut self, alert: &Alert, now_ms: i64) {
        self.once_more(now_ms);
        let told = &mut self.told;
        let number = alert.flow.unwrap_or(0);
        let flows = &mut told.evidence.flows;
        match self.flows.iter().position(|f| *f == number) {
            Some(at) => flows[at] = flow(alert),
            None if flows.len() < EVIDENCE_FLOWS_MAX => {
                self.flows.push(number);
                flows.push(flow(alert));
            }
            None => {}
        }
    }

    fn tell(&mut self) -> Detection {
        self.changed = false;
        self.told.version += 1;
        self.told.clone()
    }
}

/// The conversation of an alert, as far as it had come, who asked first.
fn flow(alert: &Alert) -> EvidenceFlow {
    let ends = [0, 1].map(|n| (alert.addrs[n], alert.ports[n]));
    let (from, to) = match alert.direction {
        Some(1) => (ends[1], ends[0]),
        _ => (ends[0], ends[1]),
    };
    let (from, to) = match alert.icmp {
        Some((kind, code)) => ((from.0, kind.into()), (to.0, code.into())),
        None => (from, to),
    };
    let counts = alert.counts.unwrap_or_default();
    let began_ns = match counts.began_ns {
        0 => alert.time_ns,
        ns => ns,
    };
    EvidenceFlow {
        src: from.0,
        dst: to.0,
        src_port: from.1,
        dst_port: to.1,
        proto: alert.proto,
        bytes: counts.bytes.iter().sum(),
        packets: counts.packets.iter().sum(),
        start_ms: began_ns.div_euclid(1_000_000),
        community_id: community_id(0, alert.proto, from, to),
    }
}

fn facts(alert: &Alert) -> Vec<(Cow<'static, str>, String)> {
    let rule = alert.rule();
    let about = &rule.about;
    let mut facts = vec![
        ("rule", rule.raw[..floor(&rule.raw, RULE_MAX)].to_owned()),
        ("category", about.category.clone().unwrap_or_default()),
        ("application", alert.application.to_owned()),
        ("generation", alert.generation().to_string()),
    ];
    let references: Vec<String> = about
        .references
        .iter()
        .take(REFERENCES_MAX)
        .map(|(system, id)| format!("{system} {id}"))
        .collect();
    facts.push(("references", references.join(", ")));
    let told = facts.into_iter().filter(|(_, text)| !text.is_empty());
    told.map(|(name, text)| (name.into(), text)).collect()
}

/// How bad it is: what the rule says of itself, else its priority.
fn severity(rule: &Rule, priority: u32) -> Severity {
    match (metadata(rule, "signature_severity"), priority) {
        (Some(word), _) if word.eq_ignore_ascii_case("critical") => Severity::Critical,
        (_, 0 | 1) => Severity::High,
        (_, 2) => Severity::Medium,
        _ => Severity::Low,
    }
}

/// How sure, percent: what the rule says of itself.
fn confidence(rule: &Rule) -> u8 {
    let word = metadata(rule, "confidence").map(str::to_ascii_lowercase);
    match word.as_deref() {
        Some("high") => 90,
        Some("low") => 30,
        _ => 60,
    }
}

/// Techniques of MITRE ATT&CK that the rule names.
fn techniques(rule: &Rule) -> Vec<Cow<'static, str>> {
    let named = rule.about.metadata.iter();
    let named = named.filter(|(key, _)| key == "mitre_technique_id");
    let mut ids: Vec<_> = named.map(|(_, id)| cut(id).into()).collect();
    ids.dedup();
    ids.truncate(TECHNIQUES_MAX);
    ids
}

fn metadata<'a>(rule: &'a Rule, key: &str) -> Option<&'a str> {
    let found = rule.about.metadata.iter().find(|(k, _)| k == key);
    found.map(|(_, value)| value.as_str())
}

/// A text of bounded length.
fn cut(text: &str) -> String {
    text[..floor(text, TEXT_MAX)].to_owned()
}

/// The last place up to `most` at which a text may be cut.
fn floor(text: &str, most: usize) -> usize {
    let most = most.min(text.len());
    (0..=most)
        .rev()
        .find(|n| text.is_char_boundary(*n))
        .unwrap_or(0)
}

/// Rules that hold in the other reading alone.
const ONLY_OTHER: &str = "rules of the other reading";
/// An incident that goes on is told again after so long.
const TELL_AGAIN_MS: i64 = 10_000;
/// Severities and categories that are counted apart, and rules.
const CLASSES_MAX: usize = 256;
const RULES_MAX: usize = 1_024;
/// Bytes of a message, a category or an id.
const TEXT_MAX: usize = 255;
/// Bytes of a rule that are shown.
const RULE_MAX: usize = 2_048;
const REFERENCES_MAX: usize = 8;
const TECHNIQUES_MAX: usize = 8;
/// What an open incident takes at most: its rule, its matches, its flows.
const OPEN_BYTES: usize = 8_192;
const COUNT_BYTES: usize = 512;
