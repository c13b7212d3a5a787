//! Options data put to use: sampling, names of interfaces, applications and VRFs, the time an exporter came up.

use super::element::{self, Kind, Side, Target};
use super::exporter::{Domain, Exporter, NameKind, Told};
use super::moves::{app_id, number, side_value};
use super::relief::Held;
use super::sampling::{Scope, interval};
use super::settings::Settings;
use super::template::Template;
use super::{FACTS_MAX, TELL_AGAIN_NS};
use crate::ledger::{Outcome, Tally};
use crate::model::{Addr, Learned};

/// What one options record said.
#[derive(Default)]
struct Said {
    sides: [Option<u64>; Side::COUNT],
    interface: Option<u32>,
    /// What the record is about, if that is less than the domain.
    scope: Option<Scope>,
    /// The direction it is about (element 61 among the scope fields).
    direction: Option<u8>,
    app_id: Option<u64>,
    vrf: Option<u32>,
    /// The observation domain it is about (element 149), where that is not its own.
    domain: Option<u32>,
    if_name: String,
    if_desc: String,
    app_name: String,
    app_desc: String,
    vrf_name: String,
    /// Numbers that are larger than what they name can have.
    unfit: u64,
}

impl Said {
    fn read(template: &Template, spans: &[(usize, usize)], body: &[u8]) -> Self {
        let mut said = Said::default();
        for (field, &(at, len)) in template.fields.iter().zip(spans) {
            let bytes = &body[at..at + len];
            if template.version == 9 && field.scope {
                // scope types are a list of their own (RFC 3954 section 6.1); 1 is all of the exporter
                if field.element == SCOPE_INTERFACE && matches!(len, 1..=4) {
                    said.interface = Some(number(bytes) as u32);
                }
                if matches!(len, 1..=8) {
                    said.narrow(match field.element {
                        SCOPE_INTERFACE => Some(Scope::Interface(number(bytes) as u32)),
                        SCOPE_TEMPLATE => Some(Scope::Template(number(bytes) as u16)),
                        part @ (SCOPE_LINE_CARD | SCOPE_CACHE) => {
                            Some(Scope::Part(part, number(bytes)))
                        }
                        _ => None,
                    });
                }
                continue;
            }
            if field.scope && field.pen == 0 && matches!(len, 1..=8) {
                said.narrow(match field.element {
                    TEMPLATE_ID => Some(Scope::Template(number(bytes) as u16)),
                    part @ (OBSERVATION_POINT | LINE_CARD | PORT) => {
                        Some(Scope::Part(part, number(bytes)))
                    }
                    _ => None,
                });
            }
            if (field.pen, field.element) == (0, DOMAIN_ID) && matches!(len, 1..=4) {
                said.domain = Some(number(bytes) as u32).filter(|n| *n != 0);
            }
            let Some(e) = element::find(field.pen, field.element) else {
                continue;
            };
            if e.accepts(len) {
                said.take(e, bytes, field.scope);
            }
        }
        said
    }

    fn take(&mut self, e: &element::Element, bytes: &[u8], scope: bool) {
        let once = |to: &mut String| {
            if to.is_empty() {
                *to = text(bytes);
            }
        };
        match (e.target, e.pen, e.number) {
            (Target::Side(side), ..) => {
                self.sides[side as usize].get_or_insert(side_value(side, bytes));
            }
            (Target::InIf | Target::OutIf | Target::InPhysIf, ..) => {
                let Ok(index) = u32::try_from(number(bytes)) else {
                    self.unfit += 1;
                    return;
                };
                self.interface.get_or_insert(index);
                if scope {
                    self.narrow(Some(Scope::Interface(index)));
                }
            }
            (Target::Direction, ..) if scope => {
                self.direction = u8::try_from(number(bytes)).ok().filter(|d| *d <= 1);
            }
            (Target::AppId, ..) => self.app_id = Some(app_id(bytes)),
            (Target::IngressVrf | Target::EgressVrf, ..) => match u32::try_from(number(bytes)) {
                Ok(vrf) => {
                    self.vrf.get_or_insert(vrf);
                }
                Err(_) => self.unfit += 1,
            },
            (Target::IfName, ..) => once(&mut self.if_name),
            (Target::AppName, 0, 96) => once(&mut self.app_name),
            (_, 0, 83) if e.kind == Kind::Text => once(&mut self.if_desc),
            (_, 0, 94) => once(&mut self.app_desc),
            (_, 0, 236) => once(&mut self.vrf_name),
            _ => {}
        }
    }

    /// Of several scope fields the interface says most, then the template; the first of its kind counts.
    fn narrow(&mut self, scope: Option<Scope>) {
        let rank = |s: &Option<Scope>| match s {
            Some(Scope::Interface(_) | Scope::Side(..)) => 0,
            Some(Scope::Template(_)) => 1,
            Some(Scope::Part(..)) => 2,
            None => 3,
        };
        if rank(&scope) < rank(&self.scope) {
            self.scope = scope;
        }
    }

    fn side(&self, side: Side) -> Option<u64> {
        self.sides[side as usize]
    }
}

/// Learns from one options record; `spans` are its fields in `body`. Whether there is more to save than before.
pub(super) fn learn(
    (template, spans, body): (&Template, &[(usize, usize)], &[u8]),
    exporter: &mut Exporter,
    domain: usize,
    (settings, held): (&Settings, &mut Held),
    learned: &mut Vec<Learned>,
    tally: &mut Tally,
) -> bool {
    let said = Said::read(template, spans, body);
    tally.add(Outcome::FieldsMalformed, said.unfit);
    let addr = exporter.addr;
    let mut news = false;
    let init = said
        .side(Side::SystemInit)
        .and_then(|ms| i64::try_from(ms).ok());
    if let Some(init) = init.filter(|ms| *ms > 0) {
        let version = exporter.domains[domain].version;
        let named = |d: &Domain| d.version == version && Some(d.domain) == said.domain;
        let about = exporter.domains.iter().position(named).unwrap_or(domain);
        news = exporter.domains[about].init_ms.replace(init) != Some(init);
    }
    let room = exporter.samplers() < settings.samplers_max && held.has_samplers(settings);
    let d = &mut exporter.domains[domain];
    let before = d.samplers.len();
    news |= learn_sampling(&said, addr, d, room, learned, tally);
    held.samplers += d.samplers.len() - before;
    let named = |name: &str, more: &str| !(name.is_empty() && more.is_empty());
    let mut tell = |kind, id, name: &str, description: &str| {
        // one that finds no room is not marked as told, and comes again
        let room = learned.len() < FACTS_MAX && held.has_names(settings);
        let before = exporter.names.len();
        if is_news(
            exporter,
            (kind, id),
            (name, description),
            room,
            settings,
            tally,
        ) {
            learned.push(fact(addr, (kind, id), name, description));
            news = true;
        }
        held.names += exporter.names.len() - before;
    };
    if let Some(index) = said
        .interface
        .filter(|_| named(&said.if_name, &said.if_desc))
    {
        tell(
            NameKind::Interface,
            u64::from(index),
            &said.if_name,
            &said.if_desc,
        );
    }
    if let Some(id) = said.app_id.filter(|_| named(&said.app_name, "")) {
        tell(NameKind::Application, id, &said.app_name, &said.app_desc);
    }
    if let Some(vrf) = said.vrf.filter(|_| named(&said.vrf_name, "")) {
        tell(NameKind::Vrf, u64::from(vrf), &said.vrf_name, "");
    }
    news
}

/// A name as the rest of the house hears it.
pub(super) fn fact(exporter: Addr, (kind, id): (NameKind, u64), name: &str, more: &str) -> Learned {
    let (name, description) = (name.to_owned(), more.to_owned());
    match kind {
        NameKind::Interface => Learned::Interface {
            exporter,
            if_index: id as u32,
            name,
            description,
            speed: 0,
        },
        NameKind::Application => Learned::Application {
            exporter,
            app_id: id,
            name,
            description,
        },
        NameKind::Vrf => Learned::Vrf {
            exporter,
            vrf: id as u32,
            name,
        },
    }
}

/// An interval that holds for an interface, a template or a part of the exporter is not taken for the whole domain. Whether it is
/// another than before.
fn learn_sampling(
    said: &Said,
    exporter: Addr,
    d: &mut Domain,
    room: bool,
    learned: &mut Vec<Learned>,
    tally: &mut Tally,
) -> bool {
    let n = interval(|side| said.side(side));
    if n == 0 {
        return false;
    }
    let sampler = said.side(Side::SamplerId);
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    let scope = match (said.scope, said.direction) {
        (Some(Scope::Interface(i)), Some(direction)) => Some(Scope::Side(i, direction)),
        (scope, _) => scope,
    };
    let news = match scope {
        Some(scope) => d.samplers.learn_scoped(scope, n, room),
        None => d.samplers.learn(sampler, n, room),
    };
    if news.is_none() {
        tally.one(Outcome::NamesRefused);
    }
    if news == Some(true) && said.scope.is_none() {
        learned.push(Learned::Sampler {
            exporter,
            domain: d.domain,
            sampler: sampler.unwrap_or(0),
            interval: n,
        });
    }
    news == Some(true)
}

/// Whether the name is new, has changed, or was told long ago. Names beyond the limit are counted and not told.
fn is_news(
    exporter: &mut Exporter,
    key: (NameKind, u64),
    (name, description): (&str, &str),
    room: bool,
    settings: &Settings,
    tally: &mut Tally,
) -> bool {
    let now_ns = exporter.last_seen_ns;
    let known = exporter.names.get_mut(&key);
    let same = |t: &&mut Told| (&*t.name, &*t.description) == (name, description);
    let old = |t: &&mut Told| now_ns.saturating_sub(t.told_ns) < TELL_AGAIN_NS;
    if known.as_ref().is_some_and(|t| same(t) && old(t)) {
        return false;
    }
    if !room || known.is_none() && exporter.names.len() >= settings.names_max {
        tally.one(Outcome::NamesRefused);
        return false;
    }
    let told = Told {
        name: name.into(),
        description: description.into(),
        told_ns: now_ns,
    };
    exporter.names.insert(key, told);
    true
}

/// A name: NUL padding cut, bytes that are no UTF-8 replaced, control characters out, at most 64 bytes.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    let lossy = String::from_utf8_lossy(&bytes[..end]);
    let plain: String = lossy.chars().filter(|c| !c.is_control()).collect();
    let mut name = plain.trim();
    while name.len() > NAME_BYTES_MAX {
        let last = name.char_indices().next_back().map_or(0, |(at, _)| at);
        name = name[..last].trim_end();
    }
    name.to_owned()
}

// NetFlow 9 scope types (RFC 3954 section 6.1)
const SCOPE_INTERFACE: u16 = 2;
const SCOPE_LINE_CARD: u16 = 3;
const SCOPE_CACHE: u16 = 4;
const SCOPE_TEMPLATE: u16 = 5;

// scope elements of IPFIX. 143 and 144 (processes) stand for the domain: their numbers change with every restart
const OBSERVATION_POINT: u16 = 138;
const LINE_CARD: u16 = 141;
const PORT: u16 = 142;
const TEMPLATE_ID: u16 = 145;
const DOMAIN_ID: u16 = 149;

/// Bytes of a learned name (contracts: 64 each).
pub(super) const NAME_BYTES_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_and_cut() {
        assert_eq!(text(b"Te0/0/0\0\0\0junk"), "Te0/0/0");
        assert_eq!(text(b" a\x01b \xff"), "ab \u{fffd}");
        assert_eq!(text(b"\x01 a \x02"), "a");
        assert_eq!(text(&[b'x'; 100]).len(), 64);
        // a character is not cut in two
        assert_eq!(text("\u{e4}".repeat(40).as_bytes()).len(), 64);
    }
}
