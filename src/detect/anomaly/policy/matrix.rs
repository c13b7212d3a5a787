//! Zones and what may go between them.

use super::super::namer::number_of;
use super::super::sighting::{Ends, FlowSeen};
use super::super::zones;
use super::settings::{AllowSettings, PolicySettings};
use crate::detect::anomaly::keep::kept;
use crate::model::Addr;

/// The matrix.
#[derive(Debug)]
pub(super) struct Matrix {
    /// Names; the last one is `outside`.
    names: Vec<String>,
    /// Prefixes, and by name of network, each with its zone, in the order of the settings.
    places: Vec<(Place, u16)>,
    pub cells: Vec<Cell>,
    judge_outside: bool,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    /// With its mask.
    Prefix(u128, u128),
    Network(u64),
}

/// What one zone may begin with another, and whether somebody does.
#[derive(Debug)]
pub(super) struct Cell {
    pub words: String,
    from: u16,
    to: u16,
    ports: Vec<(u8, u16, u16)>,
    applications: Vec<u64>,
    pub used: Used,
}

/// How often something was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub flows: u64,
    pub first_ms: i64,
    pub last_ms: i64,
}

kept!(Used {
    flows,
    first_ms,
    last_ms
});

impl Used {
    pub fn by(&mut self, f: &FlowSeen) {
        if self.flows == 0 {
            self.first_ms = f.start_ms;
        }
        self.flows += 1;
        self.first_ms = self.first_ms.min(f.start_ms);
        self.last_ms = self.last_ms.max(f.end_ms);
    }
}

impl Matrix {
    /// Reads it; what is wrong is added to `faults`, and left out.
    pub fn new(s: &PolicySettings, faults: &mut Vec<String>) -> Self {
        let mut matrix = Matrix {
            names: vec![],
            places: vec![],
            cells: vec![],
            judge_outside: s.judge_outside,
        };
        if s.zones.len() > ZONES_MAX {
            faults.push(format!("zones: more than {ZONES_MAX}"));
        }
        for zone in s.zones.iter().take(ZONES_MAX) {
            let is_known = matrix.names.contains(&zone.name);
            if zone.name.trim().is_empty() || zone.name == OUTSIDE || is_known {
                let fault = format!("zones: `{}` is no name of a zone of its own", zone.name);
                faults.push(fault);
            }
            let number = matrix.names.len() as u16;
            for text in &zone.networks {
                match place(text) {
                    Some(place) => matrix.places.push((place, number)),
                    None => {
                        faults.push(format!("zones: `{text}` is no network, like 192.0.2.0/24"))
                    }
                }
            }
            matrix.names.push(zone.name.clone());
        }
        matrix.names.push(OUTSIDE.to_owned());
        for allow in &s.allow {
            let cell = matrix.cell(allow, faults);
            matrix.cells.extend(cell);
        }
        matrix
    }

    /// The number of a zone by its name.
    pub fn zone(&self, name: &str) -> Result<u16, String> {
        let at = self.names.iter().position(|n| n == name);
        at.map(|n| n as u16)
            .ok_or_else(|| format!("`{name}` is no zone"))
    }

    pub fn name(&self, zone: u16) -> &str {
        self.names.get(usize::from(zone)).map_or("", |n| n)
    }

    /// The zone of an address with the named network that it is in.
    pub fn zone_of(&self, addr: &Addr, net: u64) -> u16 {
        let n = u128::from_be_bytes(addr.0);
        let found = self.places.iter().find(|(place, _)| match place {
            Place::Prefix(prefix, mask) => n & mask == *prefix,
            Place::Network(name) => net != 0 && *name == net,
        });
        found.map_or((self.names.len() - 1) as u16, |f| f.1)
    }

    /// Whether a flow breaks the matrix: then from which zone to which.
    pub fn judge(&mut self, f: &FlowSeen, ends: &Ends) -> Option<(u16, u16)> {
        if self.cells.is_empty() && self.places.is_empty() {
            return None;
        }
        let nets = if ends.forth {
            f.nets
        } else {
            (f.nets.1, f.nets.0)
        };
        let from = self.zone_of(&ends.client, nets.0);
        let to = self.zone_of(&ends.server, nets.1);
        let between = |c: &&mut Cell| (c.from, c.to) == (from, to);
        let mut named = false;
        for cell in self.cells.iter_mut().filter(between) {
            named = true;
            if cell.allows(f, ends.port) {
                cell.used.by(f);
                return None;
            }
        }
        let outside = (self.names.len() - 1) as u16;
        let judged = self.judge_outside || from != outside && to != outside;
        (judged && (from != to || named)).then_some((from, to))
    }

    /// Cells that one before them allows all of, each with that.
    pub fn allowed_already(&self) -> Vec<(&str, &str)> {
        let all = self.cells.iter().enumerate();
        let found = all.filter_map(|(n, cell)| {
            let by = self.cells[..n].iter().find(|by| by.has_all_of(cell))?;
            Some((cell.words.as_str(), by.words.as_str()))
        });
        found.collect()
    }

    /// A cell of it; `None` where something is wrong with it, which is added to `faults`.
    fn cell(&self, a: &AllowSettings, faults: &mut Vec<String>) -> Option<Cell> {
        let mut taken = |e: String| faults.push(format!("allow: {e}"));
        let [from, to] = [&a.from, &a.to].map(|z| self.zone(z).map_err(&mut taken).ok());
        let ports = a.ports.iter().map(|p| ports(p).map_err(&mut taken).ok());
        // all of them are looked at
        let ports: Vec<_> = ports.collect();
        let applications = a.applications.iter().map(|a| number_of(a)).collect();
        let what = match (a.ports.is_empty(), a.applications.is_empty()) {
            (true, true) => "everything".to_owned(),
            (false, true) => a.ports.join(", "),
            (true, false) => a.applications.join(", "),
            (false, false) => format!("{} as {}", a.ports.join(", "), a.applications.join(", ")),
        };
        Some(Cell {
            words: format!("{} to {}: {what}", a.from, a.to),
            from: from?,
            to: to?,
            ports: ports.into_iter().collect::<Option<_>>()?,
            applications,
            used: Used::default(),
        })
    }
}

/// The hosts that a text names: a prefix, or those of a named network.
fn place(text: &str) -> Option<Place> {
    if !text.contains('/') {
        return Some(Place::Network(number_of(text)));
    }
    let (net, bits) = zones::parse(text)?;
    Some(Place::Prefix(net, zones::bits_of(u128::MAX, bits)))
}

impl Cell {
    fn has_all_of(&self, other: &Cell) -> bool {
        let within = |(proto, low, high): &(u8, u16, u16)| {
            self.ports.iter().any(|(outer, least, most)| {
                let same = outer == proto || *outer == ANY && matches!(proto, 6 | 17);
                same && least <= low && high <= most
            })
        };
        let ports =
            self.ports.is_empty() || !other.ports.is_empty() && other.ports.iter().all(within);
        let mut applications = other.applications.iter();
        let applications = self.applications.is_empty()
            || !other.applications.is_empty()
                && applications.all(|a| self.applications.contains(a));
        (self.from, self.to) == (other.from, other.to) && ports && applications
    }

    fn allows(&self, f: &FlowSeen, port: u16) -> bool {
        let fits = |(proto, low, high): &(u8, u16, u16)| {
            let same = match *proto {
                ANY => matches!(f.proto, 6 | 17),
                // both versions
                1 => matches!(f.proto, 1 | 58),
                proto => proto == f.proto,
            };
            same && (*low..=*high).contains(&port)
        };
        let of = |a: &u64| *a == f.app || *a == f.app_proto;
        (self.ports.is_empty() || self.ports.iter().any(fits))
            && (self.applications.is_empty() || self.applications.iter().any(of))
    }
}

/// `443/tcp`, `53`, `8000-8010/tcp`, `icmp`, or a number of a protocol as `proto/47`.
fn ports(text: &str) -> Result<(u8, u16, u16), String> {
    let fault =
        || format!("`{text}` is no port, like 443/tcp, 53, 8000-8010/tcp, icmp or proto/47");
    if text == "icmp" {
        return Ok((1, 0, u16::MAX));
    }
    if let Some(number) = text.strip_prefix("proto/") {
        let proto = number.parse().ok().filter(|n| *n != ANY);
        return Ok((proto.ok_or_else(fault)?, 0, u16::MAX));
    }
    let (range, proto) = match text.split_once('/') {
        Some((range, "tcp")) => (range, 6),
        Some((range, "udp")) => (range, 17),
        Some((range, "sctp")) => (range, 132),
        Some(_) => return Err(fault()),
        None => (text, ANY),
    };
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    let number = |t: &str| t.trim().parse::<u16>().map_err(|_| fault());
    let (low, high) = (number(low)?, number(high)?);
    match low <= high {
        true => Ok((proto, low, high)),
        false => Err(fault()),
    }
}

/// TCP and UDP.
const ANY: u8 = 255;
const ZONES_MAX: usize = 1_024;
/// The zone of what is in no other.
const OUTSIDE: &str = "outside";

#[cfg(test)]
mod tests {
    use super::super::settings::ZoneSettings;
    use super::*;

    fn policy() -> PolicySettings {
        let zone = |name: &str, network: &str| ZoneSettings {
            name: name.into(),
            networks: vec![network.into()],
        };
        let allow = |from: &str, to: &str, port: &str| AllowSettings {
            from: from.into(),
            to: to.into(),
            ports: vec![port.into()],
            applications: vec![],
        };
        PolicySettings {
            zones: vec![zone("office", "10.1.0.0/16"), zone("servers", "lab")],
            allow: vec![
                allow("office", "servers", "443/tcp"),
                allow("office", "servers", "53"),
            ],
            ..PolicySettings::default()
        }
    }

    fn flow(src: [u8; 4], dst: [u8; 4], port: u16, nets: (u64, u64)) -> FlowSeen {
        FlowSeen {
            src: Addr::from_v4(src),
            dst: Addr::from_v4(dst),
            src_port: 50_000,
            dst_port: port,
            proto: 6,
            nets,
            ..FlowSeen::default()
        }
    }

    #[test]
    fn what_no_cell_allows_breaks_the_matrix_in_both_directions() {
        let mut faults = vec![];
        let mut m = Matrix::new(&policy(), &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        let lab = number_of("lab");
        let mut judge = |f: &FlowSeen| m.judge(f, &f.ends());
        let (office, server) = ([10, 1, 0, 1], [192, 0, 2, 1]);
        assert_eq!(judge(&flow(office, server, 443, (0, lab))), None);
        assert_eq!(judge(&flow(office, server, 445, (0, lab))), Some((0, 1)));
        let mut back = flow(server, office, 50_000, (lab, 0));
        back.src_port = 443;
        assert_eq!(judge(&back), None);
        back.src_port = 445;
        assert_eq!(judge(&back), Some((0, 1)));
        assert_eq!(judge(&flow(server, office, 443, (lab, 0))), Some((1, 0)));
        // within a zone, and with what is in none
        assert_eq!(judge(&flow(office, [10, 1, 0, 2], 445, (0, 0))), None);
        assert_eq!(judge(&flow(office, [8, 8, 8, 8], 445, (0, 0))), None);
        assert_eq!((m.cells[0].used.flows, m.cells[1].used.flows), (2, 0));
    }

    #[test]
    fn ports_and_zones_that_cannot_be_are_refused() {
        assert_eq!(ports("8000-8010/tcp"), Ok((6, 8_000, 8_010)));
        assert_eq!(ports("proto/47"), Ok((47, 0, 65_535)));
        for wrong in ["", "x", "443/ip", "9-1", "70000", "proto/255"] {
            assert!(ports(wrong).is_err(), "{wrong}");
        }
        let mut wrong = policy();
        wrong.allow[0].to = "nowhere".into();
        let faults_of = |s: &PolicySettings| {
            let mut faults = vec![];
            let _ = Matrix::new(s, &mut faults);
            faults
        };
        assert_eq!(faults_of(&wrong), ["allow: `nowhere` is no zone"]);
        let mut twice = policy();
        twice.zones[1].name = "office".into();
        assert!(!faults_of(&twice).is_empty());
    }
}
