//! What is known about names: built in, configured, and learned from exporters.

use super::configured::Configured;
use super::networks::Networks;
use super::polled::Following;
use super::remote::Feed;
use super::services::{Service, Services};
use super::slug::{NAME_MAX, Slug, cut};
use super::{Error, Settings};
use crate::model::{Addr, AppSource, Learned, NameTable, Names};
use hashbrown::{HashMap, HashTable};
use std::hash::BuildHasher;
use std::sync::Arc;

/// An interface as its exporter describes it. Texts are at most 64 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// ifName; empty when not sent.
    pub name: Box<str>,
    /// Description or alias; empty when not sent.
    pub description: Box<str>,
    /// Speed in bit/s; 0 when not sent.
    pub speed: u64,
}

/// What became of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learnt {
    /// It was known, or no table keeps facts of its kind.
    Unchanged,
    /// The tables have changed.
    Changed,
    /// It found no room: to be counted as names refused.
    Refused,
}

/// Names and maps that enrichment reads. Immutable behind an `Arc`; [`learn`] makes the next version, which shares
/// everything that did not change.
#[derive(Clone, Debug)]
pub struct Tables {
    pub(super) names: Arc<Names>,
    /// Ids of `names.apps` by name, and the key of that hash table.
    ids: Arc<HashTable<u32>>,
    hasher: Hasher,
    /// What the configuration says: a reload swaps it and keeps what exporters taught.
    pub(super) config: Arc<Configured>,
    pub(super) networks: Arc<Networks>,
    /// By id in `networks.names`: id in `names.networks`. Names of older versions keep theirs.
    pub(super) network_ids: Arc<[u32]>,
    feed: Arc<Feed>,
    feed_version: u64,
    pub(super) following: Following,
    pub(super) exporters: HashMap<Addr, Arc<Exporter>, Hasher>,
    other: u32,
    /// Facts kept of all exporters, names of applications included.
    pub(super) facts: usize,
    per_exporter_max: usize,
    pub(super) facts_max: usize,
    /// Names of applications that nobody taught.
    pub(super) built_in: usize,
    /// Names among the facts that only exporters taught who were forgotten since.
    pub(super) lost: usize,
    pub(super) evicted: u64,
    /// No exporter holds more, as far as is known.
    pub(super) largest: usize,
}

/// What one exporter taught.
#[derive(Clone, Debug, Default)]
pub(super) struct Exporter {
    pub(super) apps: HashMap<u64, Application, Hasher>,
    pub(super) interfaces: HashMap<u32, Interface, Hasher>,
    pub(super) vrfs: HashMap<u32, Box<str>, Hasher>,
    /// Names that nobody had taught before.
    pub(super) names: usize,
    /// Facts were refused: what is not here is called `other`.
    apps_full: bool,
    interfaces_full: bool,
}

/// An application of an exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Application {
    /// Id in the names; 0 where the exporter itself says that it does not know.
    pub app: u32,
    /// The protocol where the name is one; else 0: the ports tell.
    pub app_proto: u32,
    /// 0 to 100.
    pub confidence: u8,
}

/// Takes a fact into the tables; makes a new version only when something changes.
pub fn learn(tables: &mut Arc<Tables>, fact: &Learned) -> Learnt {
    match tables.judge(fact) {
        Learnt::Unchanged => Learnt::Unchanged,
        _ => Arc::make_mut(tables).learn(fact),
    }
}

impl Tables {
    /// Tables that nobody has taught yet. Reads the files that the settings name.
    ///
    /// # Errors
    /// Every fault of the settings and their files.
    pub fn new(settings: &Settings) -> Result<Tables, Error> {
        let (config, mut names, networks) = Configured::new(settings)?;
        let found = names.apps.iter().position(|n| n == OTHER);
        let other = found.map_or_else(|| names.apps.push(OTHER), |id| id as u32);
        names.networks = Arc::new(networks.names.clone());
        let network_ids = (0..networks.names.len() as u32).collect();
        let mut tables = Tables {
            built_in: names.apps.len(),
            lost: 0,
            evicted: 0,
            largest: usize::MAX,
            names: Arc::new(names),
            ids: Arc::default(),
            hasher: Hasher::default(),
            config: Arc::new(config),
            networks: Arc::new(networks),
            network_ids,
            feed: Arc::default(),
            feed_version: 0,
            following: Following::default(),
            exporters: HashMap::default(),
            other,
            facts: 0,
            per_exporter_max: settings.names_per_exporter_max,
            facts_max: settings.names_max,
        };
        tables.index();
        Ok(tables)
    }

    /// Makes the hash table of names anew.
    pub(super) fn index(&mut self) {
        let apps = &self.names.apps;
        let mut ids = HashTable::with_capacity(2 * apps.len());
        for id in 0..apps.len() as u32 {
            insert(&mut ids, &self.hasher, apps, id);
        }
        self.ids = Arc::new(ids);
    }

    /// These tables, fresh from the settings, with everything that exporters taught `old` (reload). Ids of names are
    /// those of these tables: rows that were named by `old` have to be sealed before.
    pub fn taught_by(mut self, old: &Tables) -> Tables {
        let wider = self.per_exporter_max > old.per_exporter_max || self.facts_max > old.facts_max;
        for (exporter, taught) in &old.exporters {
            let exporter = *exporter;
            for (app_id, application) in &taught.apps {
                self.learn(&Learned::Application {
                    exporter,
                    app_id: *app_id,
                    name: old.names.apps.name(application.app).to_owned(),
                    description: String::new(),
                });
            }
            for (if_index, i) in &taught.interfaces {
                self.learn(&Learned::Interface {
                    exporter,
                    if_index: *if_index,
                    name: i.name.to_string(),
                    description: i.description.to_string(),
                    speed: i.speed,
                });
            }
            for (vrf, name) in &taught.vrfs {
                let (vrf, name) = (*vrf, name.to_string());
                self.learn(&Learned::Vrf {
                    exporter,
                    vrf,
                    name,
                });
            }
            if !wider {
                let e = self.exporter_mut(&exporter);
                e.apps_full |= taught.apps_full;
                e.interfaces_full |= taught.interfaces_full;
            }
        }
        self
    }

    /// The names that the ids in enriched rows refer to.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// What an exporter said about one of its interfaces, else what it answered when it was asked; called `other` when it
    /// taught more than there is room for.
    pub fn interface(&self, exporter: &Addr, if_index: u32) -> Option<Interface> {
        let e = self.exporters.get(exporter);
        let told = e.and_then(|e| e.interfaces.get(&if_index)).cloned();
        match (told, self.following.interface(exporter, if_index)) {
            (Some(told), Some(asked)) => Some(told.over(asked)),
            (Some(told), None) => Some(told),
            (None, Some(asked)) => Some(asked.clone()),
            (None, None) => e?.interfaces_full.then(|| Interface {
                name: OTHER.into(),
                ..Interface::default()
            }),
        }
    }

    /// An interface as the store keeps it: what is configured, what its exporter says, and what rules make of both.
    pub fn named_interface(&self, exporter: &Addr, if_index: u32) -> Learned {
        self.described(exporter, if_index).0
    }

    /// The same with the number of its QoS policy.
    pub(super) fn described(&self, exporter: &Addr, if_index: u32) -> (Learned, u8) {
        let learned = self.interface(exporter, if_index);
        self.config.interface(exporter, if_index, learned.as_ref())
    }

    /// What the store is told at start and after a change: categories of applications, QoS policies, configured interfaces
    /// and named networks.
    pub fn declared(&self) -> Vec<Learned> {
        let mut all = self.config.declared();
        all.extend(self.networks.declared());
        all
    }

    /// The named networks as the store is told.
    pub fn declared_networks(&self) -> Vec<Learned> {
        self.networks.declared().collect()
    }

    /// The zone of the named network that an address is in; empty where it is in none.
    pub fn zone(&self, addr: Addr) -> &str {
        self.networks.zone(addr)
    }

    /// Where fetched networks come from.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Whether networks were fetched since.
    #[inline]
    pub fn is_behind(&self) -> bool {
        self.feed.version() != self.feed_version
    }

    /// Takes over the networks that were fetched last. Names that rows refer to keep their ids.
    pub fn catch_up(&mut self) {
        self.feed_version = self.feed.version();
        let Some(latest) = self.feed.latest() else {
            return;
        };
        let mut known: HashMap<Box<str>, u32, Hasher> = HashMap::default();
        let names = Arc::make_mut(&mut self.names);
        let table = Arc::make_mut(&mut names.networks);
        known.extend(table.iter().map(Box::from).zip(0..));
        let ids = latest.names.iter().map(|name| match known.get(name) {
            Some(id) => *id,
            None if table.len() < NETWORK_NAMES_MAX => table.push(name),
            None => 0,
        });
        self.network_ids = ids.collect();
        self.networks = latest;
    }

    /// The name of a VRF of an exporter.
    pub fn vrf(&self, exporter: &Addr, vrf: u32) -> Option<&str> {
        self.exporters.get(exporter)?.vrfs.get(&vrf).map(|n| &**n)
    }

    /// How many facts of all exporters are kept.
    pub fn facts(&self) -> usize {
        self.facts
    }

    /// Takes a fact in. See [`learn`], which does not copy tables for facts that are known.
    pub fn learn(&mut self, fact: &Learned) -> Learnt {
        let mut judged = self.judge(fact);
        if judged == Learnt::Refused && fact.exporter().is_some_and(|e| self.make_room(&e)) {
            judged = self.judge(fact);
        }
        match judged {
            Learnt::Unchanged => return judged,
            Learnt::Refused => {
                self.refuse(fact);
                return judged;
            }
            Learnt::Changed => {}
        }
        match fact {
            Learned::Application {
                exporter,
                app_id,
                name,
                ..
            } => {
                let slug = Slug::new(name.as_bytes());
                let application = self.application(exporter, *app_id, slug.as_str());
                let new = self
                    .exporter_mut(exporter)
                    .apps
                    .insert(*app_id, application);
                self.facts += usize::from(new.is_none());
            }
            Learned::Interface {
                exporter, if_index, ..
            } => {
                let interface = self.merged(fact).unwrap_or_default();
                let e = self.exporter_mut(exporter);
                let new = e.interfaces.insert(*if_index, interface);
                self.facts += usize::from(new.is_none());
            }
            Learned::Vrf {
                exporter,
                vrf,
                name,
            } => {
                let e = self.exporter_mut(exporter);
                let new = e.vrfs.insert(*vrf, cut(name).into());
                self.facts += usize::from(new.is_none());
            }
            _ => {}
        }
        judged
    }

    /// The tables of one exporter.
    pub(super) fn exporter(&self, exporter: &Addr) -> Option<&Exporter> {
        self.exporters.get(exporter).map(|e| &**e)
    }

    /// The id of an application name; 0 when there is none.
    pub(super) fn app_named(&self, slug: &str) -> u32 {
        let apps = &self.names.apps;
        let hash = self.hasher.hash_one(slug);
        let found = self.ids.find(hash, |&id| apps.name(id) == slug);
        found.copied().unwrap_or(0)
    }

    /// The application that a record names in a text of its own. `None`: by port.
    pub(super) fn text_named(
        &self,
        exporter: Option<&Exporter>,
        text: &[u8],
    ) -> Option<Application> {
        let slug = Slug::new(text);
        let slug = slug.as_str();
        if unknown(slug) {
            return None;
        }
        let app = match self.app_named(slug) {
            0 if exporter.is_some_and(|e| e.apps_full) => self.other,
            id => id,
        };
        (app != 0).then(|| Application {
            app,
            app_proto: self.config.services.protocol_named(slug),
            confidence: NAMED,
        })
    }

    /// Whether a name that came in a record is there already, or is none.
    pub(super) fn knows_text(&self, text: &[u8]) -> bool {
        let slug = Slug::new(text);
        unknown(slug.as_str()) || self.app_named(slug.as_str()) != 0
    }

    /// Makes room for a name that came in a record.
    pub(super) fn learn_text(&mut self, exporter: &Addr, text: &[u8]) -> Learnt {
        let slug = Slug::new(text);
        if unknown(slug.as_str()) || self.app_named(slug.as_str()) != 0 {
            return Learnt::Unchanged;
        }
        let room = self.may_name(exporter) || self.make_room(exporter) && self.may_name(exporter);
        if !room {
            self.exporter_full(exporter, |e| &mut e.apps_full);
            return Learnt::Refused;
        }
        self.intern(exporter, slug.as_str());
        Learnt::Changed
    }

    /// What [`Tables::learn`] would do with a fact.
    fn judge(&self, fact: &Learned) -> Learnt {
        // facts of this kind that are kept, whether there is one to replace, whether it says the same
        let (kept, old, same) = match fact {
            Learned::Application {
                exporter,
                app_id,
                name,
                ..
            } => {
                let apps = self.exporters.get(exporter).map(|e| &e.apps);
                let old = apps.and_then(|a| a.get(app_id));
                let slug = Slug::new(name.as_bytes());
                let app = self.app_named(slug.as_str());
                let new = app == 0 && !unknown(slug.as_str());
                if new && !self.may_name(exporter) {
                    return Learnt::Refused;
                }
                let same = old.is_some_and(|o| !new && o.app == app);
                (apps.map_or(0, |a| a.len()), old.is_some(), same)
            }
            Learned::Interface {
                exporter, if_index, ..
            } => {
                let interfaces = self.exporters.get(exporter).map(|e| &e.interfaces);
                let old = interfaces.and_then(|i| i.get(if_index));
                let same = old.is_some() && self.merged(fact).as_ref() == old;
                (interfaces.map_or(0, |i| i.len()), old.is_some(), same)
            }
            Learned::Vrf {
                exporter,
                vrf,
                name,
            } => {
                let vrfs = self.exporters.get(exporter).map(|e| &e.vrfs);
                let old = vrfs.and_then(|v| v.get(vrf));
                let same = old.is_some_and(|o| **o == *cut(name));
                (vrfs.map_or(0, |v| v.len()), old.is_some(), same)
            }
            _ => return Learnt::Unchanged,
        };
        if same {
            Learnt::Unchanged
        } else if old || (kept < self.per_exporter_max && self.facts < self.facts_max) {
            Learnt::Changed
        } else {
            Learnt::Refused
        }
    }

    /// Whether an exporter may still bring a name that nobody has taught.
    fn may_name(&self, exporter: &Addr) -> bool {
        let names = self.exporters.get(exporter).map_or(0, |e| e.names);
        names < self.per_exporter_max && self.facts < self.facts_max
    }

    /// The interface after a fact: what the fact leaves out stays.
    fn merged(&self, fact: &Learned) -> Option<Interface> {
        let Learned::Interface {
            exporter,
            if_index,
            name,
            description,
            speed,
        } = fact
        else {
            return None;
        };
        let old = self.exporters.get(exporter);
        let mut i = old
            .and_then(|e| e.interfaces.get(if_index))
            .cloned()
            .unwrap_or_default();
        if !name.is_empty() {
            i.name = cut(name).into();
        }
        if !description.is_empty() {
            i.description = cut(description).into();
        }
        if *speed != 0 {
            i.speed = *speed;
        }
        Some(i)
    }

    fn application(&mut self, exporter: &Addr, app_id: u64, slug: &str) -> Application {
        let app = if unknown(slug) {
            0
        } else {
            self.intern(exporter, slug)
        };
        Application {
            app,
            app_proto: self.config.services.protocol_named(slug),
            confidence: confidence(app_id),
        }
    }

    /// The id of a name, made and put on the exporter's account when it is new.
    fn intern(&mut self, exporter: &Addr, slug: &str) -> u32 {
        match self.app_named(slug) {
            0 => {
                self.exporter_mut(exporter).names += 1;
                let names = Arc::make_mut(&mut self.names);
                let id = names.apps.push(slug);
                insert(Arc::make_mut(&mut self.ids), &self.hasher, &names.apps, id);
                self.facts += 1;
                id
            }
            id => id,
        }
    }

    fn exporter_mut(&mut self, exporter: &Addr) -> &mut Exporter {
        Arc::make_mut(self.exporters.entry(*exporter).or_default())
    }

    /// Remembers that an exporter's facts were refused, if it has tables at all.
    fn refuse(&mut self, fact: &Learned) {
        match fact {
            Learned::Application { exporter, .. } => {
                self.exporter_full(exporter, |e| &mut e.apps_full);
            }
            Learned::Interface { exporter, .. } => {
                self.exporter_full(exporter, |e| &mut e.interfaces_full);
            }
            _ => {}
        }
    }

    fn exporter_full(&mut self, exporter: &Addr, flag: fn(&mut Exporter) -> &mut bool) {
        if let Some(e) = self.exporters.get_mut(exporter) {
            *flag(Arc::make_mut(e)) = true;
        }
    }
}

impl Exporter {
    /// The application of an id, from options data; where there is none, what the id itself says (RFC 6759 section
    /// 4.1: engine 1 is an IP protocol number, engine 3 a port). `None`: by port.
    pub fn application(&self, tables: &Tables, app_id: u64, proto: u8) -> Option<Application> {
        match self.apps.get(&app_id) {
            Some(a) if a.app != 0 => Some(*a),
            Some(_) => None,
            None => of_engine(&tables.config.services, app_id, proto).or_else(|| {
                self.apps_full.then_some(Application {
                    app: tables.other,
                    app_proto: 0,
                    confidence: NAMED,
                })
            }),
        }
    }
}

/// What an application id says without a name.
pub(super) fn of_engine(services: &Services, app_id: u64, proto: u8) -> Option<Application> {
    let selector = app_id & SELECTOR;
    let s: Service = match app_id >> 56 {
        IANA_L3 => services.of_protocol(u8::try_from(selector).ok()?),
        IANA_L4 => services.of_port(proto, u16::try_from(selector).ok()?),
        _ => return None,
    };
    (s.source != AppSource::None as u8).then_some(Application {
        app: s.app,
        app_proto: s.app_proto,
        confidence: BY_ENGINE,
    })
}

/// How sure the exporter can be: engines that look at protocol and port know no more than we do.
fn confidence(app_id: u64) -> u8 {
    match app_id >> 56 {
        IANA_L3 | IANA_L4 => BY_ENGINE,
        _ => NAMED,
    }
}

/// Whether a name says that there is none.
fn unknown(slug: &str) -> bool {
    matches!(
        slug,
        "" | "unknown"
            | "unclassified"
            | "not-classified"
            | "none"
            | "n-a"
            | "incomplete"
            | "insufficient-data"
            | "undecided"
    )
}

fn insert(ids: &mut HashTable<u32>, hasher: &Hasher, apps: &NameTable, id: u32) {
    let hash = |id: &u32| hasher.hash_one(apps.name(*id));
    ids.insert_unique(hash(&id), id, hash);
}

/// Keyed by a random seed of the process: names and ids come from exporters. Nothing depends on the order of a map.
type Hasher = foldhash::fast::RandomState;

/// What is called by no name of its own for want of room.
const OTHER: &str = "other";
/// Confidence of a name that the exporter gives.
const NAMED: u8 = 90;
/// Confidence of a name that the exporter has from protocol or port.
const BY_ENGINE: u8 = 60;
/// Low 56 bits of an application id.
const SELECTOR: u64 = (1 << 56) - 1;
/// RFC 6759 section 4.1: the selector is an IP protocol number.
const IANA_L3: u64 = 1;
/// RFC 6759 section 4.1: the selector is a port.
const IANA_L4: u64 = 3;

/// Most names of networks of all versions together since start; past it new ones have no name.
const NETWORK_NAMES_MAX: usize = 4_000_000;

const _: () = assert!(NAME_MAX == 64);
