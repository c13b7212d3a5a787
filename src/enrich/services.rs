//! What a port or an IP protocol number stands for: flat tables, one load a port.

use super::ports::{DCCP, IP_PROTOCOLS, PROTOCOL_ALIASES, SCTP, TCP, UDP, WELL_KNOWN};
use super::slug::Slug;
use super::{Applications, Error, PortRule, Transport};
use crate::model::{AppProto, AppSource, NameTable};
use hashbrown::HashMap;

/// What a row without a better name is called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// Application, id in the names.
    pub app: u32,
    /// Protocol, id in the names.
    pub app_proto: u32,
    /// [`AppSource`] as number.
    pub source: u8,
    /// 0 to 100.
    pub confidence: u8,
}

/// Tables of services by port and by IP protocol. Immutable once built.
#[derive(Debug)]
pub struct Services {
    /// For TCP, UDP, SCTP and DCCP in turn: index into `list` by port, 0 where unknown; `RULE` marks a user's rule.
    ports: [Box<[u16; 65536]>; 4],
    /// Index into `list` by IP protocol; for the four transports `PORTS` + their place in `ports`.
    protocols: [u16; 256],
    /// The services; 0 is the unknown one. Twice as long as there are services: the second half is the same with the
    /// confidence of a row whose two ports are both known.
    list: Vec<Service>,
    half: usize,
    /// Name ids of protocols by the names that exporters use.
    known: HashMap<Box<str>, u32, foldhash::fast::FixedState>,
    /// Name ids of what packets say, by [`AppProto`].
    spoken: Box<[u32; 256]>,
}

impl Services {
    /// The built-in list under the user's rules; appends their names.
    pub fn new(settings: &Applications, apps: &mut NameTable) -> Result<Services, Error> {
        if settings.ports.len() > RULES_MAX {
            return Err(Error::TooMany {
                key: "applications.ports",
                count: settings.ports.len(),
                max: RULES_MAX,
            });
        }
        let mut b = Builder {
            apps,
            known: HashMap::default(),
            names: HashMap::default(),
            list: vec![Service::default()],
            ports: std::array::from_fn(|_| flat()),
            protocols: [0; 256],
        };
        b.well_known();
        b.aliases();
        let spoken = b.spoken();
        for rule in &settings.ports {
            b.rule(rule)?;
        }
        let half = b.list.len();
        let unsure = b.list.clone().into_iter().map(|mut s| {
            if s.source == AppSource::Port as u8 {
                s.confidence = s.confidence.saturating_sub(BOTH_KNOWN_LESS);
            }
            s
        });
        b.list.extend(unsure);
        Ok(Services {
            ports: b.ports,
            protocols: b.protocols,
            list: b.list,
            half,
            known: b.known,
            spoken,
        })
    }

    /// The service of a row: by its ports where the protocol has them, else by the protocol. A rule's port goes before
    /// a built-in one, a known port before an unknown one, the lower of two.
    #[inline(always)]
    pub fn of(&self, proto: u8, src_port: u16, dst_port: u16) -> Service {
        let p = self.protocols[proto as usize];
        if p < PORTS {
            return self.list[p as usize];
        }
        let table = &self.ports[(p & 3) as usize];
        let (src, dst) = (table[src_port as usize], table[dst_port as usize]);
        let best = if rank(src, src_port) < rank(dst, dst_port) {
            src
        } else {
            dst
        };
        let second = if src != 0 && dst != 0 { self.half } else { 0 };
        self.list[(best & !RULE) as usize + second]
    }

    /// What the two ports of a row are for: index by [`Services::listed`] each, 0 where unknown. `None` for protocols without ports.
    #[inline(always)]
    pub fn sides(&self, proto: u8, src_port: u16, dst_port: u16) -> Option<(u16, u16)> {
        let p = self.protocols[proto as usize];
        if p < PORTS {
            return None;
        }
        let table = &self.ports[(p & 3) as usize];
        Some((table[src_port as usize], table[dst_port as usize]))
    }

    /// Whether an IP protocol has ports.
    #[inline(always)]
    pub fn has_ports(&self, proto: u8) -> bool {
        self.protocols[proto as usize] >= PORTS
    }

    /// The service behind an index of [`Services::sides`].
    pub fn listed(&self, entry: u16) -> Service {
        self.list[(entry & !RULE) as usize]
    }

    /// Whether an index of [`Services::sides`] is of a rule of the user.
    pub fn is_rule(entry: u16) -> bool {
        entry & RULE != 0
    }

    /// The service of one port of a transport, or of a protocol without ports.
    pub fn of_port(&self, proto: u8, port: u16) -> Service {
        self.of(proto, port, 0)
    }

    /// The service of an IP protocol number.
    pub fn of_protocol(&self, proto: u8) -> Service {
        match self.protocols[proto as usize] {
            p if p < PORTS => self.list[p as usize],
            _ => Service::default(),
        }
    }

    /// The id of what packets say, by the number of [`AppProto`]; 0 for none.
    #[inline(always)]
    pub fn spoken(&self, proto: u8) -> u32 {
        self.spoken[usize::from(proto)]
    }

    /// The id of the protocol that an exporter calls `slug`; 0 when it is the name of no protocol.
    pub fn protocol_named(&self, slug: &str) -> u32 {
        self.known.get(slug).copied().unwrap_or(0)
    }
}

/// The lower the better: a rule's port, then a known port, then the lower number.
#[inline(always)]
fn rank(entry: u16, port: u16) -> u32 {
    let unknown = u32::from(entry == 0) << 17;
    let built_in = u32::from(entry & RULE == 0) << 16;
    unknown | built_in | u32::from(port)
}

fn flat() -> Box<[u16; 65536]> {
    vec![0u16; 65536]
        .into_boxed_slice()
        .try_into()
        .unwrap_or_else(|_| Box::new([0; 65536]))
}

struct Builder<'a> {
    apps: &'a mut NameTable,
    known: HashMap<Box<str>, u32, foldhash::fast::FixedState>,
    names: HashMap<Box<str>, u32, foldhash::fast::FixedState>,
    list: Vec<Service>,
    ports: [Box<[u16; 65536]>; 4],
    protocols: [u16; 256],
}

impl Builder<'_> {
    fn well_known(&mut self) {
        for w in WELL_KNOWN {
            let app = if w.app.is_empty() { w.proto } else { w.app };
            let confidence = if w.first < 1024 {
                SYSTEM_PORT
            } else {
                USER_PORT
            };
            let index = self.service(app, w.proto, AppSource::Port, confidence);
            self.set(w.first..=w.last, w.transports, index);
        }
        for &(number, name) in IP_PROTOCOLS {
            let index = self.service(name, name, AppSource::Port, CERTAIN);
            self.protocols[number as usize] = index;
        }
        for (i, number) in [6, 17, 132, 33].into_iter().enumerate() {
            self.protocols[number as usize] = PORTS + i as u16;
        }
    }

    fn aliases(&mut self) {
        for name in ["tcp", "udp", "sctp", "dccp", "dtls"] {
            self.protocol(name);
        }
        for (alias, name) in PROTOCOL_ALIASES {
            let id = self.protocol(name);
            self.known.insert((*alias).into(), id);
        }
    }

    fn spoken(&mut self) -> Box<[u32; 256]> {
        let mut ids = Box::new([0; 256]);
        for &proto in AppProto::ALL {
            let id = self.name(proto.name());
            ids[proto as usize] = id;
            self.known.entry_ref(proto.name()).or_insert(id);
        }
        ids
    }

    fn rule(&mut self, rule: &PortRule) -> Result<(), Error> {
        let (first, last) = (rule.port, rule.port_last.unwrap_or(rule.port));
        if first == 0 || last < first {
            return Err(Error::PortRange { first, last });
        }
        let app = Slug::new(rule.app.as_bytes());
        let proto = Slug::new(rule.app_proto.as_ref().unwrap_or(&rule.app).as_bytes());
        for (slug, name) in [(&app, Some(&rule.app)), (&proto, rule.app_proto.as_ref())] {
            if slug.as_str().is_empty() {
                return Err(Error::EmptyName {
                    key: "applications.ports",
                    name: name.cloned().unwrap_or_default(),
                });
            }
        }
        let transports = match rule.transport {
            Transport::Any => TCP | UDP | SCTP | DCCP,
            Transport::Tcp => TCP,
            Transport::Udp => UDP,
            Transport::Sctp => SCTP,
            Transport::Dccp => DCCP,
        };
        let index = self.service(app.as_str(), proto.as_str(), AppSource::Rule, CERTAIN);
        self.set(first..=last, transports, index | RULE);
        Ok(())
    }

    fn set(&mut self, ports: std::ops::RangeInclusive<u16>, transports: u8, entry: u16) {
        for (i, table) in self.ports.iter_mut().enumerate() {
            if transports >> i & 1 == 1 {
                table[*ports.start() as usize..=*ports.end() as usize].fill(entry);
            }
        }
    }

    /// The index of a service, made when it is new: the built-in ones and `RULES_MAX` rules are fewer than `PORTS`.
    fn service(&mut self, app: &str, proto: &str, source: AppSource, confidence: u8) -> u16 {
        let s = Service {
            app: self.name(app),
            app_proto: self.protocol(proto),
            source: source as u8,
            confidence,
        };
        let index = match self.list.iter().position(|l| *l == s) {
            Some(index) => index,
            None => {
                self.list.push(s);
                self.list.len() - 1
            }
        };
        index as u16
    }

    fn protocol(&mut self, name: &str) -> u32 {
        let id = self.name(name);
        self.known.insert(name.into(), id);
        id
    }

    fn name(&mut self, name: &str) -> u32 {
        let apps = &mut *self.apps;
        *self
            .names
            .entry_ref(name)
            .or_insert_with(|| apps.push(name))
    }
}

/// Most rules of the user.
const RULES_MAX: usize = 4096;
/// From here on an entry of `protocols` is a transport with ports.
const PORTS: u16 = 1 << 14;
/// Marks entries of `ports` that a rule of the user made.
const RULE: u16 = 1 << 15;
/// Confidence of a rule of the user and of an IP protocol number.
const CERTAIN: u8 = 95;
/// Confidence of a port below 1024.
const SYSTEM_PORT: u8 = 60;
/// Confidence of a registered port.
const USER_PORT: u8 = 40;
/// What a port is less sure when the other one is known, too.
const BOTH_KNOWN_LESS: u8 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn named(settings: &Applications, proto: u8, src: u16, dst: u16) -> (String, String, u8, u8) {
        let mut apps = NameTable::new("unknown");
        let services = Services::new(settings, &mut apps).expect("valid settings");
        let s = services.of(proto, src, dst);
        (
            apps.name(s.app_proto).into(),
            apps.name(s.app).into(),
            s.source,
            s.confidence,
        )
    }

    fn of(proto: u8, src: u16, dst: u16) -> (String, String, u8, u8) {
        named(&Applications::default(), proto, src, dst)
    }

    #[test]
    fn both_sides_count_and_the_known_or_lower_port_wins() {
        let port = AppSource::Port as u8;
        assert_eq!(of(6, 51000, 443), ("tls".into(), "tls".into(), port, 60));
        assert_eq!(of(6, 443, 51000), ("tls".into(), "tls".into(), port, 60));
        assert_eq!(of(17, 443, 51000).0, "quic");
        assert_eq!(of(6, 993, 50000), ("tls".into(), "imaps".into(), port, 60));
        assert_eq!(of(6, 3306, 443), ("tls".into(), "tls".into(), port, 40));
        assert_eq!(of(17, 53, 53), ("dns".into(), "dns".into(), port, 40));
        assert_eq!(
            of(6, 50001, 50002),
            ("unknown".into(), "unknown".into(), 0, 0)
        );
        assert_eq!(of(50, 7, 7), ("esp".into(), "esp".into(), port, 95));
        assert_eq!(of(0, 53, 53).0, "unknown");
        assert_eq!(of(132, 36412, 36412).0, "s1ap");
        assert_eq!(of(6, 6005, 40000).0, "x11");
    }

    #[test]
    fn rules_come_first() {
        let text = r#"
            ports = [
                { port = 8443, transport = "tcp", app = "Our CRM", app_proto = "tls" },
                { port = 9000, port_last = 9010, app = "grid" },
            ]"#;
        let s: Applications = toml::from_str(text).expect("valid");
        let rule = AppSource::Rule as u8;
        assert_eq!(
            named(&s, 6, 443, 8443),
            ("tls".into(), "our-crm".into(), rule, 95)
        );
        assert_eq!(named(&s, 17, 443, 8443).0, "quic");
        assert_eq!(
            named(&s, 132, 1, 9010),
            ("grid".into(), "grid".into(), rule, 95)
        );
    }

    #[test]
    fn wrong_rules_are_refused() {
        let rule = |port, port_last, app: &str| Applications {
            ports: vec![PortRule {
                port,
                port_last,
                transport: Transport::Any,
                app: app.into(),
                app_proto: None,
            }],
            ..Applications::default()
        };
        let new = |s: &Applications| Services::new(s, &mut NameTable::new("unknown")).err();
        let range = |first, last| Some(Error::PortRange { first, last });
        assert_eq!(new(&rule(10, Some(9), "x")), range(10, 9));
        assert_eq!(new(&rule(0, None, "x")), range(0, 0));
        assert!(matches!(
            new(&rule(1, None, "-")),
            Some(Error::EmptyName { .. })
        ));
        let mut many = rule(1, None, "x");
        many.ports = vec![many.ports[0].clone(); RULES_MAX + 1];
        assert!(matches!(new(&many), Some(Error::TooMany { .. })));
    }

    #[test]
    fn the_list_is_in_order_and_names_are_slugs() {
        assert!(WELL_KNOWN.len() >= 300);
        assert!(WELL_KNOWN.is_sorted_by_key(|w| w.first));
        let mut taken = std::collections::HashSet::new();
        for w in WELL_KNOWN {
            assert!(w.first <= w.last && w.transports != 0);
            for port in w.first..=w.last {
                for bit in (0..4).filter(|b| w.transports >> b & 1 == 1) {
                    assert!(taken.insert((port, bit)), "{port} twice");
                }
            }
            for name in [w.proto, w.app] {
                assert_eq!(Slug::new(name.as_bytes()).as_str(), name);
            }
            assert_ne!(w.proto, w.app);
        }
    }
}
