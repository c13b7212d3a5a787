//! Zones and what may go between them.

use super::super::namer::number_of;
use super::super::sighting::{Ends, FlowSeen, Side};
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

    /// Whether a flow breaks the matrix: then who began it, and from which zone to which. Where nothing says who began, a
    /// reading that is allowed holds.
    pub fn judge(&mut self, f: &FlowSeen) -> Option<(Ends, u16, u16)> {
        if self.cells.is_empty() && self.places.is_empty() {
            return None;
        }
        let (ends, is_sure) = began(f)?;
        let (nets, other) = match ends.forth {
            true => (f.nets, f.src_port),
            false => ((f.nets.1, f.nets.0), f.dst_port),
        };
        let from = self.zone_of(&ends.client, nets.0);
        let to = self.zone_of(&ends.server, nets.1);
        if self.allows(f, (from, to), ends.port, u16::MAX)
            || !is_sure && self.allows(f, (to, from), other, widest(f))
        {
            return None;
        }
        let outside = (self.names.len() - 1) as u16;
        let judged = self.judge_outside || from != outside && to != outside;
        let named = || self.cells.iter().any(|c| (c.from, c.to) == (from, to));
        (judged && (from != to || named())).then_some((ends, from, to))
    }

    /// Whether a cell allows it, which it then has used; `widest` is the widest range of ports that counts.
    fn allows(&mut self, f: &FlowSeen, (from, to): (u16, u16), port: u16, widest: u16) -> bool {
        let mut between = self
            .cells
            .iter_mut()
            .filter(|c| (c.from, c.to) == (from, to));
        let cell = between.find(|c| c.allows(f, port, widest));
        cell.map(|c| c.used.by(f)).is_some()
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

/// Who began a flow, and whether that is sure; `None` of what nobody began: errors of ICMP, and what routers and neighbours say.
fn began(f: &FlowSeen) -> Option<(Ends, bool)> {
    let ends = f.ends();
    let typed = matches!(f.proto, 1 | 58) && (f.metered || f.icmp != 0);
    let alone = f.proto == 6 && f.tcp_flags.is_some_and(|t| t & 0x12 == 0x02);
    match (f.proto, f.icmp >> 8) {
        (1, 3..=5 | 9..=12) | (58, 1..=4 | 130..=137 | 143) => None,
        // an answer belongs to who asked; type 0 is also what exporters say that tell no type
        (1, 0 | 14 | 16 | 18) | (58, 129 | 140) => {
            let ends = Ends {
                client: f.dst,
                server: f.src,
                port: 0,
                forth: false,
            };
            Some((ends, typed))
        }
        _ => Some((ends, typed || alone || f.side != Side::Unknown)),
    }
}

/// The widest range of a cell that may say that the larger port is the one that answers: where the smaller one is that of a service,
/// as many as an entry lists, and not those that clients have.
fn widest(f: &FlowSeen) -> u16 {
    let has_ports = matches!(f.proto, 6 | 17 | 132);
    let is_service = f.app != 0 || f.src_port.min(f.dst_port) < 1_024;
    if has_ports && is_service {
        LISTED
    } else {
        u16::MAX
    }
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

    fn allows(&self, f: &FlowSeen, port: u16, widest: u16) -> bool {
        let fits = |(proto, low, high): &(u8, u16, u16)| {
            let same = match *proto {
                ANY => matches!(f.proto, 6 | 17),
                // both versions
                1 => matches!(f.proto, 1 | 58),
                proto => proto == f.proto,
            };
            same && (*low..=*high).contains(&port) && high - low <= widest
        };
        let of = |a: &u64| *a == f.app || *a == f.app_proto;
        (self.ports.is_empty() && widest == u16::MAX || self.ports.iter().any(fits))
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
/// Ports of a range that lists services.
const LISTED: u16 = 255;
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
        let mut judge = |f: &FlowSeen| m.judge(f).map(|b| (b.1, b.2));
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

    /// Office may ask the servers for pings and some ports, and administrators for everything.
    #[test]
    fn an_answer_belongs_to_who_asked_whichever_port_is_larger() {
        let mut settings = policy();
        settings.zones[1].networks = vec!["192.0.2.0/24".into()];
        let listed = ["443/tcp", "icmp", "5000/udp", "5060"];
        settings.allow[0].ports = listed.map(str::to_owned).to_vec();
        settings.allow[1].from = "servers".into();
        settings.allow[1].to = "office".into();
        settings.allow[1].ports = vec!["49152-65535/tcp".into()];
        let mut m = Matrix::new(&settings, &mut vec![]);
        let (office, server) = ([10, 1, 0, 1], [192, 0, 2, 1]);
        let row = |proto, src: ([u8; 4], u16), dst: ([u8; 4], u16)| FlowSeen {
            proto,
            src_port: src.1,
            icmp: if proto == 1 { dst.1 } else { 0 },
            ..flow(src.0, dst.0, dst.1, (0, 0))
        };
        let mut judge = |f: &FlowSeen| m.judge(f).map(|b| (b.0.client, b.1, b.2));
        let (of_office, of_server) = (Addr::from_v4(office), Addr::from_v4(server));
        // both ends of a call at one port, a client whose port is smaller, a ping and its reply
        for (proto, client, port) in [(17, 5_060, 5_060), (17, 1_024, 5_000), (17, 4_001, 5_000)] {
            assert_eq!(judge(&row(proto, (office, client), (server, port))), None);
            assert_eq!(judge(&row(proto, (server, port), (office, client))), None);
        }
        assert_eq!(judge(&row(1, (office, 0), (server, 0x800))), None);
        assert_eq!(judge(&row(1, (server, 0), (office, 0))), None);
        // no route, and too long a way: nobody began that
        assert_eq!(judge(&row(1, (server, 0), (office, 0x303))), None);
        assert_eq!(judge(&row(1, (server, 0), (office, 0xb00))), None);
        // the server asks
        let breach = Some((of_server, 1, 0));
        assert_eq!(judge(&row(1, (server, 0), (office, 0x800))), breach);
        assert_eq!(judge(&row(1, (office, 0), (server, 0))), None, "of no type");
        assert_eq!(judge(&row(6, (server, 40_000), (office, 445))), breach);
        let mut alone = row(6, (server, 443), (office, 8_000));
        assert_eq!(judge(&alone), None, "it may be an answer");
        alone.tcp_flags = Some(0x02);
        assert_eq!(judge(&alone), breach);
        // that servers may use ports of clients makes no answer of what asks a service
        let breach = Some((of_office, 0, 1));
        assert_eq!(judge(&row(6, (office, 50_000), (server, 445))), breach);
    }

    #[test]
    fn a_cell_for_everything_is_no_leave_to_ask_back() {
        let mut settings = policy();
        settings.zones[1].networks = vec!["192.0.2.0/24".into()];
        settings.allow = vec![AllowSettings {
            ports: vec![],
            ..settings.allow[0].clone()
        }];
        let mut m = Matrix::new(&settings, &mut vec![]);
        let (office, server) = ([10, 1, 0, 1], [192, 0, 2, 1]);
        let mut back = flow(server, office, 40_000, (0, 0));
        back.src_port = 60_001;
        assert!(m.judge(&back).is_none());
        assert_eq!(m.cells[0].used.flows, 1);
        (back.src_port, back.dst_port) = (40_000, 22);
        assert!(m.judge(&back).is_some());
        (back.dst_port, back.app) = (3_389, 7);
        assert!(m.judge(&back).is_some());
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
