//! What the configuration says, ready to be asked: the part of the tables that a reload swaps.

use super::catalog::Catalog;
use super::classify::{Classifier, Subject};
use super::domains::Domains;
use super::error::Faults;
use super::geo;
use super::networks::{self, Networks};
use super::observation::ObservationPoints;
use super::prefix_map::PrefixMap;
use super::qos::{Policies, Where};
use super::rules::Rules;
use super::services::Services;
use super::settings::{AsFirst, InterfaceEntry, Settings};
use super::slug::cut;
use super::tables::Interface;
use super::{Error, ports};
use crate::model::{Addr, Learned, NameTable, Names};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Tables that no exporter changes. Immutable once built.
#[derive(Debug)]
pub struct Configured {
    pub services: Services,
    pub policies: Policies,
    pub domains: Domains,
    pub rules: Rules,
    pub countries: PrefixMap,
    pub numbers: PrefixMap,
    pub as_first: AsFirst,
    /// Application ids below this are names of ports and protocols: a better name may take their place.
    pub generic_end: u32,
    catalog: Catalog,
    classifier: Classifier,
    interfaces: BTreeMap<(Addr, u32), InterfaceEntry>,
    observation_points: ObservationPoints,
}

impl Configured {
    /// The tables of the settings, with their names and networks. Reads the files that the settings name.
    pub fn new(settings: &Settings) -> Result<(Configured, Names, Networks), Error> {
        let mut faults = Faults::default();
        let mut names = Names::default();
        let services = faults.take(Services::new(&settings.applications, &mut names.apps));
        for (alias, _) in ports::PROTOCOL_ALIASES {
            if !names.apps.iter().any(|n| n == *alias) {
                names.apps.push(alias);
            }
        }
        let generic_end = names.apps.len() as u32;
        let policies = faults.take(Policies::new(&settings.qos, &mut names.classes));
        let catalog = faults
            .take(Catalog::new(&settings.applications))
            .unwrap_or_default();
        let mut intern = interner(&mut names.apps);
        let pairs = catalog
            .domains
            .iter()
            .map(|(d, app)| (d.as_str(), intern(app)));
        let domains = Domains::new(pairs);
        let rules = faults.take(Rules::new(&settings.applications, &catalog, &mut intern));
        drop(intern);
        let classifier = faults.take(Classifier::new(&settings.classify));
        let interfaces = faults.take(interfaces(settings)).unwrap_or_default();
        let observation_points = faults
            .take(ObservationPoints::new(settings))
            .unwrap_or_default();
        let n = &settings.networks;
        let entries = faults.take(networks::load(n)).unwrap_or_default();
        remotes(n, &mut faults);
        let mut database = |path: &Option<_>, load: fn(&Path) -> Result<PrefixMap, Error>| {
            let map = path.as_deref().map(load);
            faults.take(map.transpose()).flatten().unwrap_or_default()
        };
        let countries = database(&n.country_database, geo::countries);
        let numbers = database(&n.as_database, geo::numbers);
        let parts = services.zip(policies).zip(rules).zip(classifier);
        let Some((((services, policies), rules), classifier)) = parts else {
            return Err(faults.end(()).err().unwrap_or(Error::Many(vec![])));
        };
        let configured = Configured {
            services,
            policies,
            domains,
            rules,
            countries,
            numbers,
            as_first: n.as_first,
            generic_end,
            catalog,
            classifier,
            interfaces,
            observation_points,
        };
        faults.end((configured, names, Networks::new(&entries)))
    }

    /// An interface with everything that is known of it, and the number of its QoS policy.
    pub fn interface(
        &self,
        exporter: &Addr,
        if_index: u32,
        learned: Option<&Interface>,
    ) -> (Learned, u8) {
        let none = Interface::default();
        let learned = learned.unwrap_or(&none);
        let entry = self.interfaces.get(&(*exporter, if_index));
        let either = |told: Option<&String>, else_: &str| match told {
            Some(text) if !text.is_empty() => text.clone(),
            _ => else_.to_owned(),
        };
        let name = either(entry.map(|e| &e.name), &learned.name);
        let description = either(entry.map(|e| &e.alias), &learned.description);
        let mbit = entry.map_or(0, |e| u64::from(e.speed_mbit));
        let speed = if mbit > 0 {
            mbit * 1_000_000
        } else {
            learned.speed
        };
        let given = self.classifier.of(&Subject {
            exporter: *exporter,
            index: if_index,
            name: &name,
            alias: &description,
            speed,
        });
        let role = either(entry.map(|e| &e.role), &given.role);
        let site = either(entry.map(|e| &e.site), &given.site);
        let tenant = either(entry.map(|e| &e.tenant), &given.tenant);
        let policy = self.policies.of(&Where {
            exporter,
            if_index,
            role: &role,
            site: &site,
        });
        let interface = Learned::NamedInterface {
            exporter: *exporter,
            if_index,
            name,
            description,
            speed,
            role,
            site,
            tenant,
            qos_policy: self.policies.name(policy).to_owned(),
        };
        (interface, policy)
    }

    /// What the store is told at start and after a change, networks excepted.
    pub fn declared(&self) -> Vec<Learned> {
        let interfaces = self
            .interfaces
            .keys()
            .map(|(e, i)| self.interface(e, *i, None).0);
        let policies = self.policies.declared().iter().cloned();
        self.catalog
            .declared()
            .chain(policies)
            .chain(interfaces)
            .chain(self.observation_points.declared())
            .collect()
    }
}

/// Gives the ids of names, making them where they are new.
fn interner(table: &mut NameTable) -> impl FnMut(&str) -> u32 {
    let mut ids: HashMap<String, u32> = (table.iter().map(str::to_owned)).zip(0..).collect();
    move |name: &str| match ids.get(name) {
        Some(id) => *id,
        None => {
            let id = table.push(name);
            ids.insert(name.to_owned(), id);
            id
        }
    }
}

/// The interfaces of the settings.
fn interfaces(settings: &Settings) -> Result<BTreeMap<(Addr, u32), InterfaceEntry>, Error> {
    let mut faults = Faults::default();
    let mut all = BTreeMap::new();
    let (key, count, max) = ("interfaces", settings.interfaces.len(), INTERFACES_MAX);
    if count > max {
        return Err(Error::TooMany { key, count, max });
    }
    for written in &settings.interfaces {
        let mut entry = written.get_ref().clone();
        for text in [
            &mut entry.name,
            &mut entry.alias,
            &mut entry.role,
            &mut entry.site,
            &mut entry.tenant,
        ] {
            *text = cut(text.trim()).to_owned();
        }
        let key = (Addr::from(entry.exporter), entry.index);
        if let Some(twice) = all.insert(key, entry) {
            faults.add(Error::At {
                at: written.span().start,
                message: format!(
                    "interface {} of {} is there twice: join the two",
                    twice.index, twice.exporter
                ),
            });
        }
    }
    faults.end(all)
}

/// Faults of the remotes that need no network to be seen.
fn remotes(settings: &super::settings::Networks, faults: &mut Faults) {
    let (key, count, max) = ("networks.remotes", settings.remotes.len(), REMOTES_MAX);
    if count > max {
        faults.add(Error::TooMany { key, count, max });
    }
    for written in &settings.remotes {
        let (at, r) = (written.span().start, written.get_ref());
        let known = ["prefix", "name", "site", "tenant", "role", "zone"];
        let pointers = r.fields.values().chain([&r.items]);
        let message = if !r.url.starts_with("http://") && !r.url.starts_with("https://") {
            Some(format!("{:?} is no http:// or https:// address", r.url))
        } else if let Some(field) = r.fields.keys().find(|f| !known.contains(&f.as_str())) {
            Some(format!(
                "{field:?} is no field of a network: there are {}",
                known.join(", ")
            ))
        } else {
            let wrong = pointers
                .into_iter()
                .find(|p| !p.is_empty() && !p.starts_with('/'));
            wrong.map(|p| format!("{p:?} is no JSON pointer: it begins with /, such as /results"))
        };
        if let Some(message) = message {
            faults.add(Error::At { at, message });
        }
    }
}

/// Most interfaces in the settings.
const INTERFACES_MAX: usize = 65_536;
/// Most remotes.
const REMOTES_MAX: usize = 64;
