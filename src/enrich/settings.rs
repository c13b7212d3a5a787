//! Settings of enrichment.

use super::prefix::Prefix;
use serde::{Deserialize, Deserializer, de};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;
use toml::Spanned;

/// What names applications, QoS classes, interfaces and networks, and how many learned names are kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `[enrich.applications]`: what names applications.
    pub applications: Applications,
    /// `[enrich.qos]`: what names QoS classes.
    pub qos: Qos,
    /// `[[enrich.interfaces]]`: what is known of interfaces. Default none; at most 65,536.
    pub interfaces: Vec<Spanned<InterfaceEntry>>,
    /// `[[enrich.classify]]`: rules that give interfaces their role, site and tenant. Default none; at most 1,000.
    pub classify: Vec<Spanned<Classify>>,
    /// `[enrich.networks]`: what names networks, countries and AS numbers.
    pub networks: Networks,
    /// `[[enrich.observation_points]]`: which of the exporters that see the same traffic counts. Default none; at most 65,536.
    pub observation_points: Vec<Spanned<ObservationPoint>>,
    /// Names that one exporter may teach by options data (count; applications, interfaces and VRFs each). Past it
    /// applications and interfaces are called `other`. Default 65,536.
    pub names_per_exporter_max: usize,
    /// Names that all exporters of a shard may teach together (count). Shortly before, what the exporter
    /// taught that taught most is forgotten. Default 500,000, at most 130 MB.
    pub names_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            applications: Applications::default(),
            qos: Qos::default(),
            interfaces: vec![],
            classify: vec![],
            networks: Networks::default(),
            observation_points: vec![],
            names_per_exporter_max: 65_536,
            names_max: 500_000,
        }
    }
}

impl Settings {
    /// Most bytes that what exporters teach takes in one shard.
    pub fn memory_max(&self) -> usize {
        self.names_max.saturating_mul(NAME_BYTES)
    }

    /// What is no fault and yet hardly meant: budgets of more than the link, and roles of policies that nothing gives.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = vec![];
        let first = ("enrich.qos", &self.qos.classes);
        let others = self.qos.policies.iter().map(|p| p.get_ref());
        let named = others.clone().map(|p| (p.name.as_str(), &p.classes));
        for (name, classes) in std::iter::once(first).chain(named) {
            let percent: u32 = classes.values().map(|c| u32::from(c.budget_percent)).sum();
            if percent > 100 {
                doubts.push(format!("the classes of the policy {name:?} have budgets of {percent} % of the speed together: not all of them can be kept"));
            }
        }
        let entries = self.interfaces.iter().map(|i| &i.get_ref().role);
        let rules = self.classify.iter().map(|c| &c.get_ref().role);
        let given: BTreeSet<&String> = entries.chain(rules).collect();
        for policy in others {
            for role in policy.roles.iter().filter(|r| !given.contains(r)) {
                doubts.push(format!(
                    "the policy {:?} is for the role {role:?}, which neither [[enrich.interfaces]] nor [[enrich.classify]] gives: it never holds by it",
                    policy.name
                ));
            }
        }
        doubts
    }

    /// Whether more than the configuration itself is read.
    pub fn reads_files(&self) -> bool {
        let n = &self.networks;
        !n.files.is_empty() || n.country_database.is_some() || n.as_database.is_some()
    }
}

/// What names applications.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Applications {
    /// Whether the built-in list of well-known applications (server names, published address ranges, categories) is used.
    /// Default true.
    pub catalog: bool,
    /// `[[enrich.applications.names]]`: applications by server name, before the built-in list. Default none; at most
    /// 65,536 suffixes.
    pub names: Vec<Spanned<NameRule>>,
    /// `[[enrich.applications.rules]]`: applications by address, port, transport and exporter of the service. They come
    /// before everything else; later rules win over earlier ones. Default none; at most 4,096.
    pub rules: Vec<Spanned<AddressRule>>,
    /// `[[enrich.applications.ports]]`: rules that come before the built-in list of ports and before the exporter's name.
    /// Later rules win over earlier ones. Default none; at most 4,096.
    pub ports: Vec<PortRule>,
    /// `[enrich.applications.categories]`: category and relevance by name of an application, over the built-in list.
    /// Default none; at most 65,536.
    pub categories: BTreeMap<String, Category>,
}

impl Default for Applications {
    fn default() -> Self {
        Applications {
            catalog: true,
            names: vec![],
            rules: vec![],
            ports: vec![],
            categories: BTreeMap::new(),
        }
    }
}

/// What kind of application it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Category {
    /// Category, such as `voice`, `backup`, `business`.
    pub category: String,
    /// How much it matters. Default `neutral`.
    #[serde(default)]
    pub relevance: Relevance,
}

/// How much an application matters to the business.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relevance {
    /// Work stops without it.
    Critical,
    /// Work needs it.
    Business,
    /// Neither.
    #[default]
    Neutral,
    /// Private.
    Leisure,
}

impl Relevance {
    /// The word in the store.
    pub const fn name(self) -> &'static str {
        match self {
            Relevance::Critical => "critical",
            Relevance::Business => "business",
            Relevance::Neutral => "neutral",
            Relevance::Leisure => "leisure",
        }
    }
}

/// Names an application by the server's name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NameRule {
    /// Name of the application; written in lower case with dashes.
    pub app: String,
    /// Domains: each stands for itself and all names below it.
    pub domains: Vec<String>,
}

/// Names an application by where it is served. All that is given must fit, address and port on the same side of the flow.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddressRule {
    /// Name of the application; written in lower case with dashes.
    pub app: String,
    /// Protocol spoken. Default: what the ports say.
    #[serde(default)]
    pub app_proto: Option<String>,
    /// Prefixes of the service. Default: any address.
    #[serde(default)]
    pub prefixes: Vec<Prefix>,
    /// Ports of the service: numbers, or ranges such as `"8000-8010"`. Default: any port.
    #[serde(default)]
    pub ports: Vec<PortRange>,
    /// Transport. Default `any`: every IP protocol.
    #[serde(default)]
    pub transport: Transport,
    /// Exporters for whose flows it holds. Default: all.
    #[serde(default)]
    pub exporters: Vec<Prefix>,
}

/// Ports from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// First port.
    pub(super) first: u16,
    /// Last port, included.
    pub(super) last: u16,
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<PortRange, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u16),
            Text(String),
        }
        let range = match Written::deserialize(d) {
            Ok(Written::Number(n)) => Some((n, n)),
            Ok(Written::Text(text)) => {
                let (first, last) = text.split_once('-').unwrap_or((&text, &text));
                let number = |t: &str| t.trim().parse().ok();
                number(first).zip(number(last))
            }
            Err(_) => None,
        };
        match range {
            Some((first, last)) if first > 0 && first <= last => Ok(PortRange { first, last }),
            _ => Err(de::Error::custom(
                "no port and no range: write 443 or \"8000-8010\"",
            )),
        }
    }
}

/// Names what is spoken on a port or a range of ports.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortRule {
    /// The port, or the first of a range (1 to 65535).
    pub port: u16,
    /// Last port of a range, included. Default: `port`.
    #[serde(default)]
    pub port_last: Option<u16>,
    /// Transport. Default `any`.
    #[serde(default)]
    pub transport: Transport,
    /// Name of the application; written in lower case with dashes.
    pub app: String,
    /// Protocol spoken. Default: `app`.
    #[serde(default)]
    pub app_proto: Option<String>,
}

/// A transport protocol with ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// All four.
    #[default]
    Any,
    /// IP protocol 6.
    Tcp,
    /// IP protocol 17.
    Udp,
    /// IP protocol 132.
    Sctp,
    /// IP protocol 33.
    Dccp,
}

/// What names QoS classes: the policy that holds where no other one does, and the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Qos {
    /// What the policy starts from: `rfc4594`, `rfc8325`, `4-class`, `8-class` or `12-class`. Default `rfc4594`.
    pub preset: Preset,
    /// `[enrich.qos.dscp]`: class by DSCP (0 to 63, or a name such as `EF`, `AF41`, `CS6`), over the preset.
    pub dscp: BTreeMap<String, String>,
    /// Class of every DSCP that neither the preset nor `dscp` names. Default: the class of DSCP 0, for RFC 2474 section 4
    /// forwards unknown code points as the default one. Rows without a traffic class have the class `none`.
    pub unmapped: String,
    /// `[enrich.qos.classes.NAME]`: budget and applications of classes.
    pub classes: BTreeMap<String, Class>,
    /// `[[enrich.qos.policies]]`: policies for some exporters, interfaces, roles or sites. The last one that fits an interface
    /// holds. Default none; at most 256.
    pub policies: Vec<Spanned<Policy>>,
}

/// A known set of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Preset {
    /// The service classes of RFC 4594, with RFC 5865 and RFC 8622.
    #[default]
    #[serde(rename = "rfc4594")]
    Rfc4594,
    /// The four access categories of 802.11 as RFC 8325 maps to them.
    #[serde(rename = "rfc8325")]
    Rfc8325,
    /// Real-time, control, transactional, best effort.
    #[serde(rename = "4-class")]
    Four,
    /// Eight classes.
    #[serde(rename = "8-class")]
    Eight,
    /// Twelve classes.
    #[serde(rename = "12-class")]
    Twelve,
}

/// A class of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Class {
    /// Share of the interface's speed, percent (0 to 100). Default 0: none.
    pub budget_percent: u8,
    /// Absolute share, Mbit/s. Default 0: none; it comes before `budget_percent`.
    pub budget_mbit: u32,
    /// Categories of applications that belong into the class, in place of those of the preset.
    pub categories: Option<Vec<String>>,
}

/// A QoS policy and where it holds: all that is given must fit; what is not given fits everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Name of the policy.
    pub name: String,
    /// What it starts from. Default `rfc4594`.
    #[serde(default)]
    pub preset: Preset,
    /// Class by DSCP, over the preset.
    #[serde(default)]
    pub dscp: BTreeMap<String, String>,
    /// Class of every other DSCP. Default: the class of DSCP 0.
    #[serde(default)]
    pub unmapped: String,
    /// Budget and applications of classes.
    #[serde(default)]
    pub classes: BTreeMap<String, Class>,
    /// Prefixes of exporters.
    #[serde(default)]
    pub exporters: Vec<Prefix>,
    /// ifIndex of interfaces.
    #[serde(default)]
    pub indexes: Vec<u32>,
    /// Roles of interfaces.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Sites of interfaces.
    #[serde(default)]
    pub sites: Vec<String>,
}

/// How an exporter counts where bytes are to count once: by the views `usage_once`, `bandwidth` and `flows_once`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObservationPoint {
    /// Address of the exporter.
    pub exporter: IpAddr,
    /// Of several that saw the same conversation the lowest counts. Default 100.
    #[serde(default = "default_priority")]
    pub priority: u32,
    /// On which side of its interfaces its bytes count. Default `ingress`.
    #[serde(default)]
    pub side: CountedSide,
}

fn default_priority() -> u32 {
    ObservationPoint::PRIORITY
}

impl ObservationPoint {
    /// The priority of an exporter that has none.
    pub const PRIORITY: u32 = 100;
}

/// The side on which bytes count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CountedSide {
    /// What interfaces received.
    #[default]
    Ingress,
    /// What interfaces sent.
    Egress,
    /// Neither: others count what it sees, too.
    None,
}

impl CountedSide {
    /// The name in ClickHouse.
    pub const fn name(self) -> &'static str {
        match self {
            CountedSide::Ingress => "ingress",
            CountedSide::Egress => "egress",
            CountedSide::None => "none",
        }
    }
}

/// What is known of an interface; it comes before what the exporter and rules say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InterfaceEntry {
    /// Address of the exporter.
    pub exporter: IpAddr,
    /// ifIndex.
    pub index: u32,
    /// Name. Default: the exporter's.
    #[serde(default)]
    pub name: String,
    /// Alias or description. Default: the exporter's.
    #[serde(default)]
    pub alias: String,
    /// Speed, Mbit/s. Default: the exporter's.
    #[serde(default)]
    pub speed_mbit: u32,
    /// Role: `wan`, `lan`, `uplink`, `internet` or any other word. Default: what rules say.
    #[serde(default)]
    pub role: String,
    /// Site. Default: what rules say.
    #[serde(default)]
    pub site: String,
    /// Tenant. Default: what rules say.
    #[serde(default)]
    pub tenant: String,
}

/// Gives role, site or tenant to the interfaces for which an expression is true. The first rule that gives an attribute
/// decides it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classify {
    /// CEL expression over `exporter.address`, `interface.index`, `interface.name`, `interface.alias`, `interface.speed`
    /// (bit/s).
    pub when: Spanned<String>,
    /// Role to give.
    #[serde(default)]
    pub role: String,
    /// Site to give.
    #[serde(default)]
    pub site: String,
    /// Tenant to give.
    #[serde(default)]
    pub tenant: String,
}

/// What names networks, countries and AS numbers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Networks {
    /// Files of named prefixes: `.csv` (first line: the columns), `.toml` (`[[networks]]`) or `.json` (a list of objects).
    /// Default none.
    pub files: Vec<Spanned<PathBuf>>,
    /// `[[enrich.networks.list]]`: named prefixes. Default none.
    pub list: Vec<Spanned<Network>>,
    /// `[[enrich.networks.remotes]]`: named prefixes as JSON over HTTP. Default none; at most 64.
    pub remotes: Vec<Spanned<Remote>>,
    /// Prefixes of all sources together (count). Default 1,000,000, about 150 MB.
    pub prefixes_max: usize,
    /// Size of one file, bytes. Default 128 MiB.
    pub file_bytes_max: u64,
    /// MaxMind-format database of countries. Default none.
    pub country_database: Option<PathBuf>,
    /// MaxMind-format database of AS numbers. Default none.
    pub as_database: Option<PathBuf>,
    /// Whose AS number counts where both have one: `database` or `exporter`. Default `database`.
    pub as_first: AsFirst,
}

impl Default for Networks {
    fn default() -> Self {
        Networks {
            files: vec![],
            list: vec![],
            remotes: vec![],
            prefixes_max: 1_000_000,
            file_bytes_max: 128 << 20,
            country_database: None,
            as_database: None,
            as_first: AsFirst::Database,
        }
    }
}

/// Whose AS number counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AsFirst {
    /// The database's.
    #[default]
    Database,
    /// The exporter's.
    Exporter,
}

/// A named prefix.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// The prefix.
    pub prefix: Prefix,
    /// Name of the network; several prefixes may share it.
    pub name: String,
    /// Site.
    #[serde(default)]
    pub site: String,
    /// Tenant.
    #[serde(default)]
    pub tenant: String,
    /// Role.
    #[serde(default)]
    pub role: String,
    /// Zone.
    #[serde(default)]
    pub zone: String,
}

/// Named prefixes as JSON over HTTP: fetched off the path, the last good answer is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    /// `http://` or `https://` address.
    pub url: String,
    /// JSON pointer to the list of objects. Default: the whole answer.
    #[serde(default)]
    pub items: String,
    /// Where in an object the fields are: `prefix`, `name`, `site`, `tenant`, `role`, `zone`, each a JSON pointer.
    /// Default: the member of the same name.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// File whose content is sent as `Authorization: Bearer`. Default none.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Time between two fetches, seconds. Default 3,600; at least 10.
    #[serde(default = "interval_s")]
    pub interval_s: u64,
    /// Time a fetch may take, seconds. Default 30.
    #[serde(default = "timeout_s")]
    pub timeout_s: u64,
    /// Size of an answer, bytes. Default 64 MiB.
    #[serde(default = "bytes_max")]
    pub bytes_max: u64,
}

fn interval_s() -> u64 {
    3_600
}

fn timeout_s() -> u64 {
    30
}

fn bytes_max() -> u64 {
    64 << 20
}
/// Bytes of a learned name: an interface in a hash table that is half full, its name and description of 64 bytes.
const NAME_BYTES: usize = 2 * 45 + 2 * (64 + 16);
