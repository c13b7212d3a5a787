//! Well-known applications: the built-in list and what the settings add.

use super::error::Faults;
use super::prefix::Prefix;
use super::settings::Relevance;
use super::slug::Slug;
use super::{Applications, Error};
use crate::model::Learned;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The built-in list as it is written.
const TEXT: &str = include_str!("catalog.toml");

/// Domains of the settings and of the list together.
const DOMAINS_MAX: usize = 65_536;

/// Applications with a category of the user's.
const CATEGORIES_MAX: usize = 65_536;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    apps: Vec<Entry>,
    protocols: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    category: String,
    relevance: Relevance,
    domains: Vec<String>,
    #[serde(default)]
    prefixes: Vec<Prefix>,
    #[serde(default)]
    also: Vec<String>,
}

/// What is known of applications.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Domains and their applications; later ones win.
    pub domains: Vec<(String, String)>,
    /// Published ranges and their applications.
    pub ranges: Vec<(Prefix, String)>,
    /// Category and relevance by name.
    kinds: BTreeMap<String, (String, Relevance)>,
}

impl Catalog {
    /// The built-in list under the settings.
    pub fn new(settings: &Applications) -> Result<Catalog, Error> {
        let mut catalog = Catalog::default();
        let mut faults = Faults::default();
        if settings.catalog {
            // a test reads the list: it cannot be wrong in a build that passed it
            catalog.add(toml::from_str(TEXT).unwrap_or_default());
        }
        for rule in &settings.names {
            let (at, rule) = (rule.span().start, rule.get_ref());
            let app = named("applications.names", &rule.app).map_err(|e| e.at(at));
            let Some(app) = faults.take(app) else {
                continue;
            };
            for domain in &rule.domains {
                let domain = domain_of(domain).map_err(|e| e.at(at));
                let pair = faults.take(domain).map(|d| (d, app.clone()));
                catalog.domains.extend(pair);
            }
        }
        for (app, kind) in &settings.categories {
            let app = named("applications.categories", app);
            let category = named("applications.categories", &kind.category);
            if let (Some(app), Some(category)) = (faults.take(app), faults.take(category)) {
                catalog.kinds.insert(app, (category, kind.relevance));
            }
        }
        let limits = [
            ("applications.names", catalog.domains.len(), DOMAINS_MAX),
            (
                "applications.categories",
                settings.categories.len(),
                CATEGORIES_MAX,
            ),
        ];
        for (key, count, max) in limits {
            if count > max {
                faults.add(Error::TooMany { key, count, max });
            }
        }
        faults.end(catalog)
    }

    fn add(&mut self, list: List) {
        for e in list.apps {
            for name in std::iter::once(&e.name).chain(&e.also) {
                let kind = (e.category.clone(), e.relevance);
                self.kinds.insert(name.clone(), kind);
            }
            let pairs = e.domains.into_iter().map(|d| (d, e.name.clone()));
            self.domains.extend(pairs);
            self.ranges
                .extend(e.prefixes.into_iter().map(|p| (p, e.name.clone())));
        }
        for (category, names) in list.protocols {
            let relevance = match category.as_str() {
                "gaming" | "peer-to-peer" => Relevance::Leisure,
                "web" | "messaging" | "streaming" | "update" => Relevance::Neutral,
                "network-control" | "signaling" | "voice" => Relevance::Critical,
                _ => Relevance::Business,
            };
            for name in names {
                self.kinds
                    .entry(name)
                    .or_insert((category.clone(), relevance));
            }
        }
    }

    /// What the store is told.
    pub fn declared(&self) -> impl Iterator<Item = Learned> {
        self.kinds
            .iter()
            .map(|(app, (category, relevance))| Learned::Category {
                app: app.clone(),
                category: category.clone(),
                relevance: relevance.name().into(),
            })
    }
}

/// A name as it is stored.
pub fn named(key: &'static str, name: &str) -> Result<String, Error> {
    let slug = Slug::new(name.as_bytes());
    let slug = slug.as_str();
    if slug.is_empty() {
        let name = name.into();
        return Err(Error::EmptyName { key, name });
    }
    Ok(slug.into())
}

/// A domain without the dots and the star around it, in lower case.
fn domain_of(text: &str) -> Result<String, Error> {
    let domain = text
        .trim()
        .trim_start_matches("*.")
        .trim_matches('.')
        .to_ascii_lowercase();
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if domain.is_empty() || domain.len() > 253 || !domain.chars().all(fine) || domain.contains("..")
    {
        return Err(Error::Said(format!(
            "{text:?} is no domain: write example.com (it stands for all names below it, too)"
        )));
    }
    Ok(domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_built_in_list_is_sound() {
        let list: List = toml::from_str(TEXT).expect("the list");
        assert!(list.apps.len() >= 150, "{}", list.apps.len());
        let (mut names, mut domains) = (BTreeSet::new(), BTreeSet::new());
        for e in &list.apps {
            for name in e.also.iter().chain([&e.name, &e.category]) {
                assert_eq!(Slug::new(name.as_bytes()).as_str(), name);
            }
            for name in e.also.iter().chain([&e.name]) {
                assert!(names.insert(name.clone()), "{name} twice");
            }
            for d in &e.domains {
                assert_eq!(domain_of(d).as_ref(), Ok(d));
                assert!(domains.insert(d), "{d} twice");
            }
        }
        let ports: BTreeSet<&str> = list.protocols.values().flatten().map(|n| &**n).collect();
        for name in ports {
            assert_eq!(Slug::new(name.as_bytes()).as_str(), name);
            assert!(names.insert(name.into()), "{name} twice");
        }
    }

    #[test]
    fn the_user_adds_and_changes() {
        let text = r#"
            names = [{ app = "Our CRM", domains = ["*.CRM.example.com."] }]
            categories = { zoom = { category = "leisure", relevance = "leisure" } }"#;
        let catalog = Catalog::new(&toml::from_str(text).expect("valid")).expect("valid");
        let last = catalog.domains.last().expect("one");
        assert_eq!((&*last.0, &*last.1), ("crm.example.com", "our-crm"));
        let zoom = catalog
            .declared()
            .find(|l| matches!(l, Learned::Category { app, .. } if app == "zoom"));
        assert!(
            matches!(zoom, Some(Learned::Category { relevance, .. }) if relevance == "leisure")
        );
        let wrong = "catalog = false\nnames = [{ app = \"x\", domains = [\"a b\", \"\"] }]";
        let fault = Catalog::new(&toml::from_str(wrong).expect("valid")).expect_err("two");
        assert_eq!(fault.each().len(), 2, "{fault}");
    }
}
