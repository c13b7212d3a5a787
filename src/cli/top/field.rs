//! The fields that `--where` knows, and the columns that hold them in each kind of rows.

/// A kind of rows that can be filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Usage per interval (alias `u`).
    Usage,
    /// Talkers per interval (alias `u`).
    Talkers,
    /// Traffic between networks per interval (alias `u`).
    Networks,
    /// Raw flows (alias `f`).
    Flows,
    /// Raw flows, once for each interface that they passed (aliases `f` and `side`).
    Sides,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name.
    Text,
    /// A number, some of which have names.
    Number {
        /// The largest.
        max: u64,
        /// Names in place of numbers.
        names: &'static [(&'static str, u64)],
    },
    /// An address; compared with addresses and prefixes.
    Address,
}

impl Kind {
    /// The type of its parameters.
    pub fn sql(self) -> &'static str {
        match self {
            Kind::Text => "String",
            Kind::Number { max, .. } if max <= u8::MAX.into() => "UInt8",
            Kind::Number { max, .. } if max <= u16::MAX.into() => "UInt16",
            Kind::Number { .. } => "UInt32",
            Kind::Address => "IPv6",
        }
    }

    /// Whether one can be less than another.
    pub fn takes_order(self) -> bool {
        matches!(self, Kind::Number { .. })
    }

    /// What a value must look like.
    pub fn expects(self) -> String {
        match self {
            Kind::Text => {
                "a name; put quotes around what is not letters, digits or _-.:/*+@%".into()
            }
            Kind::Number { max, .. } => format!("a number from 0 to {max}"),
            Kind::Address => "an address or prefix, like 192.0.2.1 or 2001:db8::/32".into(),
        }
    }
}

/// A field whose values stand in another table.
#[derive(Clone, Copy, Debug)]
pub struct Lookup {
    /// What is compared.
    pub column: &'static str,
    /// Columns that lead back, and the table.
    pub from: &'static str,
}

/// A field.
#[derive(Debug)]
pub struct Field {
    /// As it is written.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Where its values stand in another table.
    pub lookup: Option<Lookup>,
    usage: &'static [&'static str],
    talkers: &'static [&'static str],
    networks: &'static [&'static str],
    flows: &'static [&'static str],
    sides: &'static [&'static str],
}

impl Field {
    /// Columns of such rows, any of which may have the value.
    pub fn columns(&self, scope: Scope) -> Option<&'static [&'static str]> {
        let columns = match scope {
            Scope::Usage => self.usage,
            Scope::Talkers => self.talkers,
            Scope::Networks => self.networks,
            Scope::Flows => self.flows,
            Scope::Sides if self.sides.is_empty() => self.flows,
            Scope::Sides => self.sides,
        };
        (!columns.is_empty()).then_some(columns)
    }
}

/// The field of this name.
///
/// # Errors
/// What could have been meant.
pub fn named(name: &str) -> Result<&'static Field, String> {
    let lower = name.to_ascii_lowercase();
    let meant = match lower.as_str() {
        "qos_class" => "class",
        "if_index" => "if",
        "src_addr" => "src",
        "dst_addr" => "dst",
        "address" => "host",
        "protocol" => "app_proto",
        other => other,
    };
    if let Some(field) = FIELDS.iter().find(|f| f.name == meant) {
        return Ok(field);
    }
    let near = FIELDS
        .iter()
        .map(|f| (strsim::damerau_levenshtein(meant, f.name), f.name))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    let all: Vec<&str> = FIELDS.iter().map(|f| f.name).collect();
    Err(match near {
        Some((_, near)) => format!("no field `{name}`, did you mean `{near}`?"),
        None => format!("no field `{name}`; there are {}", all.join(", ")),
    })
}

const fn number(max: u64) -> Kind {
    Kind::Number { max, names: &[] }
}

const NONE: &[&str] = &[];

const fn field(name: &'static str, kind: Kind, flows: &'static [&'static str]) -> Field {
    Field {
        name,
        kind,
        lookup: None,
        usage: NONE,
        talkers: NONE,
        networks: NONE,
        flows,
        sides: NONE,
    }
}

const fn in_usage(mut field: Field, usage: &'static [&'static str]) -> Field {
    field.usage = usage;
    field
}

const fn in_sides(mut field: Field, sides: &'static [&'static str]) -> Field {
    field.sides = sides;
    field
}

const fn of_interface(name: &'static str, column: &'static str) -> Field {
    let mut f = field(name, Kind::Text, &["(f.exporter, f.in_if)"]);
    f.usage = &["(u.exporter, u.if_index)"];
    f.sides = &["(f.exporter, side.1)"];
    f.lookup = Some(Lookup {
        column,
        from: "exporter, if_index FROM interfaces FINAL",
    });
    f
}

const fn of_catalog(name: &'static str) -> Field {
    let mut f = in_usage(field(name, Kind::Text, &["f.app"]), &["u.app"]);
    f.lookup = Some(Lookup {
        column: name,
        from: "app FROM application_catalog FINAL",
    });
    f
}

const fn of_network(
    name: &'static str,
    networks: &'static [&'static str],
    flows: &'static [&'static str],
) -> Field {
    let mut f = field(name, Kind::Text, flows);
    f.networks = networks;
    f
}

const fn of_networks(
    name: &'static str,
    column: &'static str,
    networks: &'static [&'static str],
    flows: &'static [&'static str],
) -> Field {
    let mut f = of_network(name, networks, flows);
    f.lookup = Some(Lookup {
        column,
        from: "name FROM networks FINAL",
    });
    f
}

const FIELDS: &[Field] = &[
    in_usage(field("app", Kind::Text, &["f.app"]), &["u.app"]),
    in_usage(
        field("app_proto", Kind::Text, &["f.app_proto"]),
        &["u.app_proto"],
    ),
    of_catalog("category"),
    of_catalog("relevance"),
    in_sides(
        in_usage(
            field("class", Kind::Text, &["f.qos_class"]),
            &["u.qos_class"],
        ),
        &["if(side.2 = 'egress', f.egress_qos_class, f.qos_class)"],
    ),
    in_sides(
        in_usage(
            field(
                "dscp",
                Kind::Number {
                    max: 63,
                    names: CODE_POINTS,
                },
                &["f.dscp"],
            ),
            &["u.dscp"],
        ),
        &["if(side.2 = 'egress', f.egress_dscp, f.dscp)"],
    ),
    Field {
        talkers: &["u.exporter"],
        networks: &["u.exporter"],
        ..in_usage(
            field("exporter", Kind::Address, &["f.exporter"]),
            &["u.exporter"],
        )
    },
    in_sides(
        in_usage(
            field("if", number(u32::MAX as u64), &["f.in_if"]),
            &["u.if_index"],
        ),
        &["side.1"],
    ),
    in_sides(
        in_usage(
            field("direction", Kind::Text, &["'ingress'"]),
            &["u.direction"],
        ),
        &["side.2"],
    ),
    of_interface("interface", "name"),
    of_interface("role", "role"),
    of_interface("site", "site"),
    of_interface("tenant", "tenant"),
    Field {
        talkers: &["u.address"],
        ..field("host", Kind::Address, &["f.src_addr", "f.dst_addr"])
    },
    field("src", Kind::Address, &["f.src_addr"]),
    field("dst", Kind::Address, &["f.dst_addr"]),
    field(
        "port",
        number(u16::MAX as u64),
        &["f.src_port", "f.dst_port"],
    ),
    field("src_port", number(u16::MAX as u64), &["f.src_port"]),
    field("dst_port", number(u16::MAX as u64), &["f.dst_port"]),
    field(
        "proto",
        Kind::Number {
            max: 255,
            names: PROTOCOLS,
        },
        &["f.proto"],
    ),
    field("in_if", number(u32::MAX as u64), &["f.in_if"]),
    field("out_if", number(u32::MAX as u64), &["f.out_if"]),
    field("as", number(u32::MAX as u64), &["f.src_as", "f.dst_as"]),
    field("src_as", number(u32::MAX as u64), &["f.src_as"]),
    field("dst_as", number(u32::MAX as u64), &["f.dst_as"]),
    of_network(
        "net",
        &["u.src_net", "u.dst_net"],
        &["f.src_net", "f.dst_net"],
    ),
    of_network("src_net", &["u.src_net"], &["f.src_net"]),
    of_network("dst_net", &["u.dst_net"], &["f.dst_net"]),
    of_networks("src_site", "site", &["u.src_net"], &["f.src_net"]),
    of_networks("dst_site", "site", &["u.dst_net"], &["f.dst_net"]),
    of_networks("src_tenant", "tenant", &["u.src_net"], &["f.src_net"]),
    of_networks("dst_tenant", "tenant", &["u.dst_net"], &["f.dst_net"]),
    of_networks("src_role", "role", &["u.src_net"], &["f.src_net"]),
    of_networks("dst_role", "role", &["u.dst_net"], &["f.dst_net"]),
    of_networks("src_zone", "zone", &["u.src_net"], &["f.src_net"]),
    of_networks("dst_zone", "zone", &["u.dst_net"], &["f.dst_net"]),
    field("country", Kind::Text, &["f.src_country", "f.dst_country"]),
    field("vlan", number(u16::MAX as u64), &["f.vlan"]),
];

/// Names of code points (RFC 2474, 2597, 3246, 5865, 8622).
const CODE_POINTS: &[(&str, u64)] = &[
    ("le", 1),
    ("cs0", 0),
    ("cs1", 8),
    ("cs2", 16),
    ("cs3", 24),
    ("cs4", 32),
    ("cs5", 40),
    ("cs6", 48),
    ("cs7", 56),
    ("af11", 10),
    ("af12", 12),
    ("af13", 14),
    ("af21", 18),
    ("af22", 20),
    ("af23", 22),
    ("af31", 26),
    ("af32", 28),
    ("af33", 30),
    ("af41", 34),
    ("af42", 36),
    ("af43", 38),
    ("va", 44),
    ("ef", 46),
];

/// The usual IP protocols.
const PROTOCOLS: &[(&str, u64)] = &[
    ("icmp", 1),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("icmpv6", 58),
    ("sctp", 132),
];
