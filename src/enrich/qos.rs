//! QoS policies: DSCP to class, budgets, and which applications belong where.

use super::catalog::named;
use super::error::Faults;
use super::presets;
use super::settings::{Class, Policy, Preset};
use super::{Error, Qos};
use crate::model::{Learned, NameTable};
use std::collections::{BTreeMap, BTreeSet};

/// An interface as policies see it.
#[derive(Clone, Copy, Debug)]
pub struct Where<'a> {
    /// Exporter.
    pub exporter: &'a crate::model::Addr,
    /// ifIndex.
    pub if_index: u32,
    /// Role; empty where there is none.
    pub role: &'a str,
    /// Site; empty where there is none.
    pub site: &'a str,
}

/// All policies; number 0 holds where no other one does.
#[derive(Debug)]
pub struct Policies {
    /// By policy: the class ids of the 64 code points.
    pub class_of: Vec<[u16; 64]>,
    names: Vec<String>,
    /// Where policy n + 1 holds.
    scopes: Vec<Policy>,
    declared: Vec<Learned>,
}

impl Policies {
    /// The policies of the settings; fills `classes` with the names of their classes.
    pub fn new(settings: &Qos, classes: &mut NameTable) -> Result<Policies, Error> {
        let mut faults = Faults::default();
        let (count, max) = (settings.policies.len(), POLICIES_MAX);
        if count > max {
            let key = "qos.policies";
            return Err(Error::TooMany { key, count, max });
        }
        let mut all = Policies {
            class_of: vec![],
            names: vec![],
            scopes: vec![],
            declared: vec![],
        };
        let base = Text {
            key: "qos.dscp",
            name: preset_name(settings.preset),
            preset: settings.preset,
            dscp: &settings.dscp,
            unmapped: &settings.unmapped,
            classes: &settings.classes,
        };
        faults.take(all.add(&base, classes));
        for written in &settings.policies {
            let (at, policy) = (written.span().start, written.get_ref());
            let text = Text {
                key: "qos.policies",
                name: &policy.name,
                preset: policy.preset,
                dscp: &policy.dscp,
                unmapped: &policy.unmapped,
                classes: &policy.classes,
            };
            let added = all.add(&text, classes).map_err(|e| e.at(at));
            if faults.take(added).is_some() {
                all.scopes.push(policy.clone());
            }
        }
        faults.end(all)
    }

    /// The number of the policy of an interface: the last one that fits.
    pub fn of(&self, place: &Where<'_>) -> u8 {
        let among = |list: &[String], word: &str| list.is_empty() || list.iter().any(|w| w == word);
        let fits = |p: &Policy| {
            (p.exporters.is_empty() || p.exporters.iter().any(|e| e.contains(place.exporter)))
                && (p.indexes.is_empty() || p.indexes.contains(&place.if_index))
                && among(&p.roles, place.role)
                && among(&p.sites, place.site)
        };
        self.scopes
            .iter()
            .rposition(fits)
            .map_or(0, |n| n as u8 + 1)
    }

    /// The name of a policy.
    pub fn name(&self, policy: u8) -> &str {
        self.names.get(usize::from(policy)).map_or("", |n| n)
    }

    /// Whether interfaces can have different ones.
    pub fn differ(&self) -> bool {
        self.class_of.len() > 1
    }

    /// What the store is told.
    pub fn declared(&self) -> &[Learned] {
        &self.declared
    }

    fn add(&mut self, text: &Text<'_>, classes: &mut NameTable) -> Result<(), Error> {
        let mut faults = Faults::default();
        let name = faults.take(named(text.key, text.name));
        if let Some(name) = name.as_ref().filter(|n| self.names.contains(n)) {
            let message = format!("the policy {name:?} is there twice: give one another name");
            faults.add(Error::Said(message));
        }
        let table = faults.take(text.class_names());
        let of_policy: Option<BTreeSet<&String>> = table.as_ref().map(|t| t.iter().collect());
        let mut details: BTreeMap<String, &Class> = BTreeMap::new();
        for (class, detail) in text.classes {
            let Some(class) = faults.take(named("qos.classes", class)) else {
                continue;
            };
            // where code points are wrong, nobody knows the classes
            if let Some(of_policy) = of_policy.as_ref().filter(|p| !p.contains(&class)) {
                let list = of_policy
                    .iter()
                    .map(|c| c.as_str())
                    .collect::<Vec<_>>()
                    .join(", ");
                let name = text.name;
                let message = format!(
                    "qos.classes.{class}: it is no class of the policy {name:?} (it has {list})"
                );
                faults.add(Error::Said(message));
            }
            if detail.budget_percent > 100 {
                let message = format!("qos.classes.{class}: budget_percent must be 0 to 100");
                faults.add(Error::Said(message));
            }
            details.insert(class, detail);
        }
        let expected = faults.take(text.expected(&details));
        faults.end(())?;
        let (Some(name), Some(table), Some(expected)) = (name, table, expected) else {
            return Ok(());
        };
        let mut ids = [0; 64];
        for (id, class) in ids.iter_mut().zip(&table) {
            *id = class_id(classes, class);
        }
        // the first one holds where no name of a policy is known, too
        let first = self.names.is_empty();
        let under: Vec<String> = first
            .then(String::new)
            .into_iter()
            .chain([name.clone()])
            .collect();
        for policy in under {
            self.declare(&policy, &table, &details, &expected);
        }
        self.names.push(name);
        self.class_of.push(ids);
        Ok(())
    }

    fn declare(
        &mut self,
        policy: &str,
        table: &[String],
        details: &BTreeMap<String, &Class>,
        expected: &[(String, String)],
    ) {
        let policy = || policy.to_owned();
        for class in table.iter().collect::<BTreeSet<_>>() {
            let detail = details.get(class);
            self.declared.push(Learned::QosClass {
                policy: policy(),
                class: class.clone(),
                budget_percent: detail.map_or(0, |d| d.budget_percent),
                budget_bits: detail.map_or(0, |d| u64::from(d.budget_mbit) * 1_000_000),
            });
        }
        for (dscp, class) in table.iter().enumerate() {
            self.declared.push(Learned::QosCodePoint {
                policy: policy(),
                dscp: dscp as u8,
                class: class.clone(),
            });
        }
        for (category, class) in expected {
            self.declared.push(Learned::QosExpected {
                policy: policy(),
                category: category.clone(),
                class: class.clone(),
            });
        }
    }
}

/// A policy as it is written.
struct Text<'a> {
    key: &'static str,
    name: &'a str,
    preset: Preset,
    dscp: &'a BTreeMap<String, String>,
    unmapped: &'a str,
    classes: &'a BTreeMap<String, Class>,
}

impl Text<'_> {
    /// The class of each code point.
    fn class_names(&self) -> Result<Vec<String>, Error> {
        let mut faults = Faults::default();
        let preset = presets::of(self.preset);
        let default = preset.iter().find(|c| c.points.contains(&0));
        let unmapped = match (self.unmapped, default) {
            ("", Some(class)) => class.name.to_owned(),
            (text, _) => faults.take(named("qos.unmapped", text)).unwrap_or_default(),
        };
        let mut table = vec![unmapped; 64];
        for class in preset {
            for &point in class.points {
                table[usize::from(point)] = class.name.into();
            }
        }
        for (point, class) in self.dscp {
            let key = self.key;
            let dscp = point.clone();
            let number = faults.take(presets::dscp(point).ok_or(Error::Dscp { key, dscp }));
            let class = faults.take(named(self.key, class));
            if let (Some(number), Some(class)) = (number, class) {
                table[usize::from(number)] = class;
            }
        }
        faults.end(table)
    }

    /// Which categories belong into which classes: what the settings say of a class, else the preset.
    fn expected(&self, details: &BTreeMap<String, &Class>) -> Result<Vec<(String, String)>, Error> {
        let mut faults = Faults::default();
        let mut pairs = vec![];
        for class in presets::of(self.preset) {
            let told = details
                .get(class.name)
                .is_some_and(|d| d.categories.is_some());
            if !told {
                let own = class.categories.iter();
                pairs.extend(own.map(|c| ((*c).to_owned(), class.name.to_owned())));
            }
        }
        for (class, detail) in details {
            for category in detail.categories.iter().flatten() {
                let category = faults.take(named("qos.classes", category));
                pairs.extend(category.map(|c| (c, class.clone())));
            }
        }
        pairs.sort();
        pairs.dedup();
        faults.end(pairs)
    }
}

/// The id of a class, made when it is new. There are at most 256 policies of 64 classes.
fn class_id(classes: &mut NameTable, slug: &str) -> u16 {
    let found = classes.iter().position(|c| c == slug);
    found.map_or_else(|| classes.push(slug), |id| id as u32) as u16
}

fn preset_name(preset: Preset) -> &'static str {
    match preset {
        Preset::Rfc4594 => "rfc4594",
        Preset::Rfc8325 => "rfc8325",
        Preset::Four => "4-class",
        Preset::Eight => "8-class",
        Preset::Twelve => "12-class",
    }
}

/// Most policies beside the first: their numbers take eight bits.
const POLICIES_MAX: usize = 254;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Addr;

    fn policies(text: &str) -> Result<(Policies, NameTable), Error> {
        let mut classes = NameTable::new("none");
        let qos: Qos = toml::from_str(text).expect("readable");
        Policies::new(&qos, &mut classes).map(|p| (p, classes))
    }

    fn class<'a>(p: &(Policies, &'a NameTable), policy: u8, dscp: usize) -> &'a str {
        p.1.name(p.0.class_of[usize::from(policy)][dscp].into())
    }

    #[test]
    fn defaults_are_those_of_rfc4594() {
        let (p, classes) = policies("").expect("valid");
        let p = (p, &classes);
        assert_eq!(class(&p, 0, 46), "telephony");
        assert_eq!(class(&p, 0, 48), "network-control");
        assert_eq!(class(&p, 0, 34), "multimedia-conferencing");
        assert_eq!(class(&p, 0, 0), "standard");
        assert_eq!(
            class(&p, 0, 63),
            "standard",
            "unknown code points are the default"
        );
        assert_eq!((classes.len(), p.0.name(0)), (13, "rfc4594"));
    }

    #[test]
    fn the_map_can_be_changed() {
        let text = "unmapped = \"Best Effort\"\ndscp = { af41 = \"Video\", 5 = \"crm\" }";
        let (p, classes) = policies(text).expect("valid");
        let p = (p, &classes);
        assert_eq!((class(&p, 0, 34), class(&p, 0, 5)), ("video", "crm"));
        assert_eq!(
            (class(&p, 0, 36), class(&p, 0, 63)),
            ("multimedia-conferencing", "best-effort")
        );
        let fault = policies("dscp = { 64 = \"x\" }").expect_err("no code point");
        assert!(matches!(fault, Error::Dscp { .. }));
    }

    #[test]
    fn the_last_policy_that_fits_holds() {
        let text = r#"
            [[policies]]
            name = "Branch"
            preset = "8-class"
            exporters = ["10.0.0.0/8"]
            [[policies]]
            name = "wan"
            preset = "4-class"
            exporters = ["10.0.0.0/8"]
            roles = ["wan"]
            [policies.classes.real-time]
            budget_mbit = 5
            categories = ["Voice"]"#;
        let (p, _) = policies(text).expect("valid");
        let (here, there) = (Addr::from_v4([10, 0, 0, 1]), Addr::from_v4([192, 0, 2, 1]));
        let of = |exporter, role| {
            p.name(p.of(&Where {
                exporter,
                if_index: 1,
                role,
                site: "",
            }))
        };
        assert_eq!(
            (of(&here, "wan"), of(&here, ""), of(&there, "wan")),
            ("wan", "branch", "rfc4594")
        );
        let told = |want: &Learned| p.declared().contains(want);
        assert!(told(&Learned::QosClass {
            policy: "wan".into(),
            class: "real-time".into(),
            budget_percent: 0,
            budget_bits: 5_000_000
        }));
        assert!(told(&Learned::QosExpected {
            policy: "wan".into(),
            category: "voice".into(),
            class: "real-time".into()
        }));
        assert!(!told(&Learned::QosExpected {
            policy: "wan".into(),
            category: "conferencing".into(),
            class: "real-time".into()
        }));
        assert!(told(&Learned::QosCodePoint {
            policy: String::new(),
            dscp: 46,
            class: "telephony".into()
        }));
    }

    #[test]
    fn faults_say_what_there_is() {
        let fault = policies("[classes.voice]\nbudget_percent = 10").expect_err("no such class");
        assert!(
            fault.to_string().contains("it has broadcast-video"),
            "{fault}"
        );
        let fault = policies("[classes.telephony]\nbudget_percent = 110").expect_err("too much");
        assert!(fault.to_string().contains("0 to 100"), "{fault}");
        let fault = policies("[[policies]]\nname = \"rfc4594\"").expect_err("twice");
        assert!(fault.to_string().contains("twice"), "{fault}");
    }

    #[test]
    fn no_fault_hides_another_one() {
        let text = r#"
            dscp = { AF44 = "x", 70 = "y" }
            [classes.telephony]
            budget_percent = 110
            categories = ["--"]
            [[policies]]
            name = "4-class"
            preset = "4-class"
            dscp = { 99 = "z" }
            [policies.classes.real-time]
            budget_percent = 120"#;
        let fault = policies(text).expect_err("six");
        let each: Vec<String> = fault.each().iter().map(|e| e.to_string()).collect();
        assert_eq!(each.len(), 6, "{each:#?}");
        for part in [
            "AF44",
            "\"70\"",
            "telephony: budget",
            "\"--\"",
            "\"99\"",
            "real-time: budget",
        ] {
            assert!(each.iter().any(|e| e.contains(part)), "{part}: {each:#?}");
        }
        // those of an entry stand where it begins
        let placed = |e: &&&Error| matches!(e, Error::At { at, .. } if text[*at..].starts_with("[[policies]]"));
        assert_eq!(fault.each().iter().filter(placed).count(), 2, "{fault:?}");
    }
}
