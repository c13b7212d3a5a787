//! Applications by address: rules of the user and published ranges.

use super::catalog::{Catalog, named};
use super::error::Faults;
use super::prefix::Prefix;
use super::prefix_map::PrefixMap;
use super::settings::PortRange;
use super::{Applications, Error, Transport};
use crate::model::Addr;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a rule asks and gives.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Application, id in the names.
    pub app: u32,
    /// Protocol, id in the names; 0: what the ports say.
    pub app_proto: u32,
    /// Place in the settings: the last one that fits counts.
    order: usize,
    /// IP protocol; 0 for any.
    proto: u8,
    ports: Vec<PortRange>,
    exporters: Vec<Prefix>,
}

/// One side of a flow.
#[derive(Clone, Copy, Debug)]
pub struct Side {
    /// What [`Rules::by_address`] has for its address.
    pub candidates: u32,
    /// Its port.
    pub port: u16,
}

/// Rules and ranges. Immutable once built.
#[derive(Debug, Default)]
pub struct Rules {
    /// Address to a number in `lists`.
    pub by_address: PrefixMap,
    /// Address to the application of a published range.
    pub ranges: PrefixMap,
    /// Rules without a prefix, by port: a number in `lists`. Empty where there is no such rule.
    by_port: Vec<u16>,
    /// Rules that an address or a port leaves to be looked at, the last one of the settings first. 0 is empty.
    lists: Vec<Vec<Arc<Rule>>>,
}

impl Rules {
    /// Rules of the settings and ranges of the catalog; `name` gives the id of a name.
    pub fn new(
        settings: &Applications,
        catalog: &Catalog,
        name: &mut dyn FnMut(&str) -> u32,
    ) -> Result<Rules, Error> {
        let mut faults = Faults::default();
        let (count, max) = (settings.rules.len(), RULES_MAX);
        let key = "applications.rules";
        if count > max {
            return Err(Error::TooMany { key, count, max });
        }
        let mut by_prefix: BTreeMap<Prefix, Vec<Arc<Rule>>> = BTreeMap::new();
        let mut anywhere = vec![];
        for (order, written) in settings.rules.iter().enumerate() {
            let (at, r) = (written.span().start, written.get_ref());
            let app = named(key, &r.app).map_err(|e| e.at(at));
            let proto = r
                .app_proto
                .as_deref()
                .map(|p| named(key, p).map_err(|e| e.at(at)));
            let (Some(app), Some(proto)) = (faults.take(app), faults.take(proto.transpose()))
            else {
                continue;
            };
            let rule = Arc::new(Rule {
                app: name(&app),
                app_proto: proto.map_or(0, |p| name(&p)),
                order,
                proto: number(r.transport),
                ports: r.ports.clone(),
                exporters: r.exporters.clone(),
            });
            match (r.prefixes.is_empty(), r.ports.is_empty()) {
                (true, true) => faults.add(Error::At {
                    at,
                    message: "a rule needs `prefixes` or `ports`: it would name every flow".into(),
                }),
                (true, false) => anywhere.push(rule),
                _ => r
                    .prefixes
                    .iter()
                    .for_each(|p| by_prefix.entry(*p).or_default().push(rule.clone())),
            }
        }
        if by_prefix.len() > PREFIXES_MAX {
            let (count, max) = (by_prefix.len(), PREFIXES_MAX);
            faults.add(Error::TooMany { key, count, max });
            by_prefix.clear();
        }
        let mut rules = Rules {
            lists: vec![vec![]],
            ranges: PrefixMap::new(catalog.ranges.iter().map(|(p, app)| (*p, name(app)))),
            ..Rules::default()
        };
        rules.add_addresses(by_prefix);
        rules.add_ports(anywhere);
        faults.end(rules)
    }

    /// A prefix leaves its own rules and those of the prefixes around it.
    fn add_addresses(&mut self, by_prefix: BTreeMap<Prefix, Vec<Arc<Rule>>>) {
        let mut around: Vec<(u128, u32)> = vec![];
        let mut entries = vec![];
        // in order of address, and at one address the shorter first: what is around a prefix comes before it
        for (prefix, mut own) in by_prefix {
            let (first, last) = prefix.range();
            while around.last().is_some_and(|(end, _)| *end < first) {
                around.pop();
            }
            let outer = around.last().map_or(0, |(_, list)| *list);
            own.extend_from_slice(&self.lists[outer as usize]);
            let list = self.list(own);
            around.push((last, list));
            entries.push((prefix, list));
        }
        self.by_address = PrefixMap::new(entries);
    }

    fn add_ports(&mut self, rules: Vec<Arc<Rule>>) {
        if rules.is_empty() {
            return;
        }
        let mut ports: Vec<Vec<Arc<Rule>>> = vec![vec![]; 1 << 16];
        for rule in rules {
            for range in &rule.ports {
                for port in range.first..=range.last {
                    ports[port as usize].push(rule.clone());
                }
            }
        }
        let mut last: Vec<usize> = vec![];
        let mut number = 0;
        for list in ports {
            let orders: Vec<usize> = list.iter().map(|r| r.order).collect();
            if orders != last {
                last = orders;
                number = if list.is_empty() { 0 } else { self.list(list) };
            }
            // rules divide the ports into at most twice as many parts, and prefixes come before them
            self.by_port.push(u16::try_from(number).unwrap_or(0));
        }
    }

    fn list(&mut self, mut rules: Vec<Arc<Rule>>) -> u32 {
        rules.sort_by_key(|r| std::cmp::Reverse(r.order));
        rules.dedup_by_key(|r| r.order);
        self.lists.push(rules);
        (self.lists.len() - 1) as u32
    }

    /// Whether there is a rule at all.
    pub fn any(&self) -> bool {
        self.lists.len() > 1
    }

    /// Whether there is a rule to look at for a flow.
    #[inline(always)]
    pub fn concern(&self, sides: [Side; 2]) -> bool {
        let by_port = |s: &Side| self.by_port.get(s.port as usize).is_some_and(|l| *l != 0);
        sides.iter().any(|s| s.candidates != 0 || by_port(s))
    }

    /// The last rule that fits a flow.
    #[inline]
    pub fn find(&self, exporter: &Addr, proto: u8, sides: [Side; 2]) -> Option<&Rule> {
        let mut best: Option<&Rule> = None;
        for side in sides {
            let by_port = self.by_port.get(side.port as usize).copied().unwrap_or(0);
            for list in [side.candidates, u32::from(by_port)] {
                if list == 0 {
                    continue;
                }
                let fits = self.lists[list as usize]
                    .iter()
                    .find(|r| r.fits(exporter, proto, side.port));
                if let Some(rule) = fits
                    && best.is_none_or(|b| b.order < rule.order)
                {
                    best = Some(rule);
                }
            }
        }
        best
    }
}

impl Rule {
    fn fits(&self, exporter: &Addr, proto: u8, port: u16) -> bool {
        let in_range = |r: &PortRange| (r.first..=r.last).contains(&port);
        (self.proto == 0 || self.proto == proto)
            && (self.ports.is_empty() || self.ports.iter().any(in_range))
            && (self.exporters.is_empty() || self.exporters.iter().any(|e| e.contains(exporter)))
    }
}

fn number(transport: Transport) -> u8 {
    match transport {
        Transport::Any => 0,
        Transport::Tcp => 6,
        Transport::Udp => 17,
        Transport::Sctp => 132,
        Transport::Dccp => 33,
    }
}

/// Most rules of the user.
const RULES_MAX: usize = 4096;
/// Most prefixes of them, so that their lists stay within 16 bits beside those of the ports.
const PREFIXES_MAX: usize = 32_768;

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(last: [u8; 4]) -> Addr {
        Addr::from_v4(last)
    }

    #[test]
    fn the_last_rule_that_fits_counts() {
        let text = r#"
            catalog = false
            rules = [
                { app = "erp", prefixes = ["10.1.0.0/16"] },
                { app = "erp-web", prefixes = ["10.1.2.0/24"], ports = [443, "8000-8010"], transport = "tcp", app_proto = "tls" },
                { app = "old", prefixes = ["10.1.2.3"], exporters = ["192.0.2.0/24"] },
                { app = "scan", ports = [9999] },
            ]"#;
        let settings: Applications = toml::from_str(text).expect("valid");
        let mut names = vec![String::new()];
        let mut id = |n: &str| {
            names.push(n.to_owned());
            (names.len() - 1) as u32
        };
        let rules = Rules::new(&settings, &Catalog::default(), &mut id).expect("valid");
        let find = |exporter: [u8; 4], proto, src: ([u8; 4], u16), dst: ([u8; 4], u16)| {
            let side = |(a, port): ([u8; 4], u16)| Side {
                candidates: rules.by_address.get(&addr(a)),
                port,
            };
            let rule = rules.find(&addr(exporter), proto, [side(src), side(dst)]);
            rule.map_or("", |r| &names[r.app as usize])
        };
        let here = [192, 0, 2, 7];
        let client = ([10, 9, 9, 9], 50_000);
        assert_eq!(find(here, 6, client, ([10, 1, 7, 7], 443)), "erp");
        assert_eq!(find(here, 6, client, ([10, 1, 2, 7], 8005)), "erp-web");
        assert_eq!(find(here, 17, ([10, 1, 2, 7], 443), client), "erp");
        assert_eq!(find(here, 6, client, ([10, 1, 2, 3], 443)), "old");
        assert_eq!(
            find([1, 1, 1, 1], 6, client, ([10, 1, 2, 3], 443)),
            "erp-web"
        );
        assert_eq!(
            find(here, 6, ([10, 1, 2, 3], 9999), ([10, 8, 8, 8], 1)),
            "scan"
        );
        assert_eq!(find(here, 6, client, ([10, 8, 8, 8], 443)), "");
        // the port is of the other side
        assert_eq!(
            find(here, 6, ([10, 9, 9, 9], 443), ([10, 1, 2, 7], 50_000)),
            "erp"
        );
    }

    #[test]
    fn rules_that_name_everything_are_refused() {
        let settings: Applications =
            toml::from_str("rules = [{ app = \"x\" }, { app = \"--\", ports = [1] }]")
                .expect("valid");
        let fault = Rules::new(&settings, &Catalog::default(), &mut |_| 1).expect_err("two");
        assert_eq!(fault.each().len(), 2, "{fault}");
        assert!(fault.to_string().contains("needs `prefixes` or `ports`"));
        for wrong in ["[0]", "[\"9-8\"]", "[\"x\"]", "[70000]"] {
            let text = format!("rules = [{{ app = \"x\", ports = {wrong} }}]");
            assert!(toml::from_str::<Applications>(&text).is_err(), "{wrong}");
        }
    }
}
