//! Settings of enrichment.

use serde::Deserialize;
use std::collections::BTreeMap;

/// What names applications and QoS classes, and how many learned names are kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `[enrich.applications]`: what names applications.
    pub applications: Applications,
    /// `[enrich.qos]`: what names QoS classes.
    pub qos: Qos,
    /// Names that one exporter may teach by options data (count; applications, interfaces and VRFs each). Past it
    /// applications and interfaces are called `other`. Default 65,536.
    pub names_per_exporter_max: usize,
    /// Names that all exporters of a shard may teach together (count). Default 1,000,000, about 150 MB.
    pub names_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            applications: Applications::default(),
            qos: Qos::default(),
            names_per_exporter_max: 65_536,
            names_max: 1_000_000,
        }
    }
}

/// What names applications.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Applications {
    /// `[[enrich.applications.ports]]`: rules that come before the built-in list of ports and before the exporter's name.
    /// Later rules win over earlier ones. Default none; at most 4,096.
    pub ports: Vec<PortRule>,
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

/// What names QoS classes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Qos {
    /// `[qos.dscp]`: class by DSCP (0 to 63, or a name such as `EF`, `AF41`, `CS6`), over the defaults of RFC 4594.
    pub dscp: BTreeMap<String, String>,
    /// Class of every DSCP that neither RFC 4594 nor `dscp` names. Default `standard`: RFC 2474 section 4 forwards
    /// unknown code points as the default one. Rows without a traffic class have the class `none`.
    pub unmapped: String,
}

impl Default for Qos {
    fn default() -> Self {
        Qos {
            dscp: BTreeMap::new(),
            unmapped: "standard".into(),
        }
    }
}
