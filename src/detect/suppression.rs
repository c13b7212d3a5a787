//! What people have decided not to be told of: suppressions, each with a scope and an end.
//!
//! A rule is `KEY=VALUE[,VALUE...]`, several of them separated by spaces; all have to hold, and of the values of one any. What a suppression
//! hides is still found and stored, with the name of the suppression. What hides a chain hides the steps of it.

use crate::model::{Addr, Detection, DetectionKind, Entity, Severity};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// `[[suppressions]]`: what is kept from people, and until when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What it is called: stored with what it hides.
    pub name: String,
    /// What it hides: `kind=port_scan entity=10.1.0.0/16`. Keys: kind, detector (a beginning), sid, severity (at most), entity, peer (all of
    /// them); addresses and networks for the last two.
    pub rule: String,
    /// Why, for those who come later.
    pub why: String,
    /// The last day, UTC, on which it hides something: `2027-01-31`.
    pub until: String,
}

/// A rule that was understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    kinds: Vec<String>,
    detectors: Vec<String>,
    sids: Vec<u32>,
    severity: Option<Severity>,
    entities: Vec<Network>,
    peers: Vec<Network>,
}

/// What a rule looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The kind's word.
    pub kind: String,
    /// Detector.
    pub detector: String,
    /// Rule of a signature; 0 where there is none.
    pub sid: u32,
    /// Severity.
    pub severity: Severity,
    /// Addresses of the entity: one, of a pair two, of a collector none.
    pub entity: Vec<Addr>,
    /// The peers that are named.
    pub peers: Vec<Addr>,
}

/// Addresses with the same first bits, of 128.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    first: u128,
    bits: u32,
}

/// All suppressions, and how often each was hit.
#[derive(Debug, Default)]
pub struct Suppressions {
    each: Vec<Suppression>,
    /// Chains that are hidden, and by which.
    chains: BTreeMap<u64, String>,
}

/// A suppression in force.
#[derive(Debug)]
struct Suppression {
    name: String,
    rule: Rule,
    until_ms: i64,
    hits: u64,
}

impl From<&Detection> for Facts {
    fn from(d: &Detection) -> Facts {
        let entity = match d.entity {
            Entity::Pair(a, b) => vec![a, b],
            _ => d.entity.addr().into_iter().collect(),
        };
        Facts {
            kind: d.kind.name().into(),
            detector: d.detector.clone(),
            sid: d.sid.unwrap_or_default(),
            severity: d.severity,
            entity,
            peers: d.peers.clone(),
        }
    }
}

impl Rule {
    /// Reads a rule.
    ///
    /// # Errors
    /// Which words are at fault, and what was expected.
    pub fn parse(text: &str) -> Result<Rule, String> {
        let mut rule = Rule::default();
        let words = text.split_whitespace();
        let faults: Vec<String> = words.filter_map(|w| rule.add(w).err()).collect();
        if !faults.is_empty() {
            return Err(faults.join("; "));
        }
        match rule == Rule::default() {
            true => Err("the rule is empty and would hide everything".into()),
            false => Ok(rule),
        }
    }

    /// Adds a `KEY=VALUE[,VALUE...]`.
    fn add(&mut self, word: &str) -> Result<(), String> {
        let (key, values) = word
            .split_once('=')
            .ok_or_else(|| format!("`{word}` is no KEY=VALUE"))?;
        let values = values.split(',').filter(|v| !v.is_empty());
        let values: Vec<&str> = values.collect();
        if values.is_empty() {
            return Err(format!("`{word}` has no value"));
        }
        let networks = || {
            values
                .iter()
                .map(|v| Network::parse(v))
                .collect::<Result<_, _>>()
        };
        match key {
            "kind" => self.kinds = kinds(&values)?,
            "detector" => self.detectors = values.iter().map(|v| (*v).to_owned()).collect(),
            "sid" => self.sids = values.iter().map(|v| sid(v)).collect::<Result<_, _>>()?,
            "severity" => self.severity = Some(severity(values[0])?),
            "entity" => self.entities = networks()?,
            "peer" => self.peers = networks()?,
            _ => {
                return Err(format!(
                    "`{key}` is no key: kind, detector, sid, severity, entity or peer"
                ));
            }
        }
        Ok(())
    }

    /// Whether all of it holds.
    pub fn hides(&self, facts: &Facts) -> bool {
        let within = |all: &[Network], a: &Addr| all.iter().any(|n| n.has(a));
        let any = |networks: &[Network], of: &[Addr]| of.iter().any(|a| within(networks, a));
        let all = |networks: &[Network], of: &[Addr]| {
            !of.is_empty() && of.iter().all(|a| within(networks, a))
        };
        (self.kinds.is_empty() || self.kinds.contains(&facts.kind))
            && (self.detectors.is_empty()
                || self
                    .detectors
                    .iter()
                    .any(|d| facts.detector.starts_with(d.as_str())))
            && (self.sids.is_empty() || self.sids.contains(&facts.sid))
            && self.severity.is_none_or(|most| facts.severity <= most)
            && (self.entities.is_empty() || any(&self.entities, &facts.entity))
            && (self.peers.is_empty() || all(&self.peers, &facts.peers))
    }
}

impl Settings {
    /// What is wrong with it; the text begins with the key.
    pub fn fault(&self) -> Option<String> {
        let at = |what: &str, fault: String| Some(format!("suppressions.{what}: {fault}"));
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX {
            return at("name", format!("it needs 1 to {NAME_BYTES_MAX} bytes"));
        }
        if self.name.starts_with('(') {
            return at("name", "it cannot begin with a bracket".into());
        }
        if self.why.is_empty() {
            return at("why", format!("{} needs a reason", self.name));
        }
        if let Err(fault) = Rule::parse(&self.rule) {
            return at("rule", format!("{}: {fault}", self.name));
        }
        if day_ms(&self.until).is_none() {
            return at(
                "until",
                format!("{} needs an end such as 2027-01-31", self.name),
            );
        }
        None
    }

    /// When it ends, ms since 1970 UTC: with its last day; 0 where `until` is no day.
    pub fn until_ms(&self) -> i64 {
        day_ms(&self.until).map_or(0, |day| day + DAY_MS)
    }
}

impl Suppressions {
    /// Those that can be read; [`Settings::fault`] says why others cannot.
    pub fn new(settings: &[Settings]) -> Suppressions {
        let each = settings.iter().filter_map(|s| {
            Some(Suppression {
                name: s.name.clone(),
                rule: Rule::parse(&s.rule).ok()?,
                until_ms: day_ms(&s.until)? + DAY_MS,
                hits: 0,
            })
        });
        Suppressions {
            each: each.collect(),
            chains: BTreeMap::new(),
        }
    }

    /// Takes others in their place; those of the same name keep their hits.
    pub fn replace(&mut self, settings: &[Settings]) {
        let mut new = Suppressions::new(settings);
        for s in &mut new.each {
            let before = self.each.iter().find(|o| o.name == s.name);
            s.hits = before.map_or(0, |o| o.hits);
        }
        self.each = new.each;
    }

    /// The first one that hides a detection, or the chain that it is a step of, at `now_ms`, which counts as a hit; empty where none does. Of a chain it is asked
    /// before its steps.
    pub fn hidden_by(&mut self, detection: &Detection, now_ms: i64) -> String {
        let facts = Facts::from(detection);
        let chain = detection.evidence.part_of;
        let of_chain = chain.and_then(|chain| self.chains.get(&chain));
        let hides = |s: &Suppression| s.rule.hides(&facts) || of_chain == Some(&s.name);
        let mut valid = self.each.iter_mut().filter(|s| now_ms < s.until_ms);
        let hit = valid.find(|s| hides(s));
        let name = hit.map_or(String::new(), |hit| {
            hit.hits += 1;
            hit.name.clone()
        });
        if detection.kind == DetectionKind::AttackChain {
            self.chains.remove(&detection.id);
            if !name.is_empty() && self.chains.len() < CHAINS_MAX {
                self.chains.insert(detection.id, name.clone());
            }
        }
        name
    }

    /// Names and hits, in the order of the configuration.
    pub fn hits(&self) -> impl Iterator<Item = (&str, u64)> {
        self.each.iter().map(|s| (s.name.as_str(), s.hits))
    }
}

impl Network {
    fn parse(text: &str) -> Result<Network, String> {
        let fault = || format!("`{text}` is no address and no network");
        let (address, bits) = match text.split_once('/') {
            Some((a, bits)) => (a, Some(bits.parse::<u32>().map_err(|_| fault())?)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| fault())?;
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(fault());
        }
        Ok(Network {
            first: u128::from_be_bytes(Addr::from(ip).0),
            bits: 128 - width + bits,
        })
    }

    fn has(&self, a: &Addr) -> bool {
        let differing = self.first ^ u128::from_be_bytes(a.0);
        differing.leading_zeros() >= self.bits
    }
}

fn kinds(values: &[&str]) -> Result<Vec<String>, String> {
    let known = |v: &str| DetectionKind::ALL.iter().any(|k| k.name() == v);
    match values.iter().find(|v| !known(v)) {
        Some(v) => Err(format!("`{v}` is no kind of detection")),
        None => Ok(values.iter().map(|v| (*v).to_owned()).collect()),
    }
}

fn sid(text: &str) -> Result<u32, String> {
    text.parse()
        .map_err(|_| format!("`{text}` is no id of a rule"))
}

fn severity(text: &str) -> Result<Severity, String> {
    let found = Severity::ALL.iter().find(|s| s.name() == text);
    found
        .copied()
        .ok_or_else(|| format!("`{text}` is no severity: low, medium, high or critical"))
}

/// The beginning of a day such as `2027-01-31`, UTC, by the days of the civil calendar.
fn day_ms(text: &str) -> Option<i64> {
    let parts: Vec<&str> = text.split('-').collect();
    let &[year, month, day] = &parts[..] else {
        return None;
    };
    let number = |t: &str, digits: usize| -> Option<i64> {
        let plain = t.len() == digits && t.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| t.parse().ok()).flatten()
    };
    let (year, month, day) = (number(year, 4)?, number(month, 2)?, number(day, 2)?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=days).contains(&day) {
        return None;
    }
    // the year begins in March, so that its odd day is the last one
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let of_era = y.rem_euclid(400);
    let of_year = (153 * m + 2) / 5 + day - 1;
    let since = y.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    Some((since - 719_468) * DAY_MS)
}

const DAY_MS: i64 = 86_400_000;

/// Chains that are known to be hidden; of further ones steps are judged by themselves.
const CHAINS_MAX: usize = 4_096;
/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            kind: "port_scan".into(),
            detector: "scan.vertical".into(),
            sid: 0,
            severity: Severity::Medium,
            entity: vec![Addr::from_v4([10, 1, 2, 3])],
            peers: vec![Addr::from_v4([192, 0, 2, 1]), Addr::from_v4([192, 0, 2, 9])],
        }
    }

    #[test]
    fn all_keys_have_to_hold() {
        let hides = |text: &str| Rule::parse(text).expect("a rule").hides(&facts());
        for text in [
            "kind=port_scan",
            "kind=beacon,port_scan entity=10.0.0.0/8",
            "detector=scan",
            "severity=medium",
            "entity=10.1.2.3 peer=192.0.2.0/24",
            "entity=::ffff:0:0/96",
            "entity=0.0.0.0/0",
        ] {
            assert!(hides(text), "{text}");
        }
        for text in [
            "kind=beacon",
            "kind=port_scan entity=10.2.0.0/16",
            "detector=beacon",
            "severity=low",
            "sid=7",
            "peer=192.0.2.0/29",
            "entity=fd00::/8",
        ] {
            assert!(!hides(text), "{text}");
        }
        let none = Facts {
            peers: vec![],
            ..facts()
        };
        assert!(!Rule::parse("peer=0.0.0.0/0").expect("a rule").hides(&none));
    }

    #[test]
    fn faults_name_the_word() {
        for (text, part) in [
            ("", "empty"),
            ("port_scan", "KEY=VALUE"),
            ("kind=", "no value"),
            ("kind=portscan", "portscan"),
            ("entity=10.0.0.0/33", "10.0.0.0/33"),
            ("entity=host", "host"),
            ("sid=x", "`x`"),
            ("severity=bad", "critical"),
            ("colour=red", "`colour`"),
        ] {
            let fault = Rule::parse(text).expect_err(text);
            assert!(fault.contains(part), "{text}: {fault}");
        }
        let all = Rule::parse("kind=portscan entity=host colour=red").expect_err("a fault");
        let named = ["portscan", "host", "`colour`"].map(|part| all.contains(part));
        assert_eq!(named, [true; 3], "{all}");
    }

    #[test]
    fn days_are_days() {
        assert_eq!(day_ms("1970-01-01"), Some(0));
        let until = Settings {
            until: "1970-01-01".into(),
            ..Settings::default()
        };
        assert_eq!(until.until_ms(), DAY_MS, "the day itself is within");
        assert_eq!(day_ms("2000-03-01"), Some(951_868_800_000));
        assert_eq!(day_ms("2026-11-27"), Some(1_795_737_600_000));
        for text in [
            "2027-02-29",
            "2027-13-01",
            "2027-1-1",
            "27-01-01",
            "+027-01-01",
            "x",
            "",
        ] {
            assert_eq!(day_ms(text), None, "{text}");
        }
    }
}
