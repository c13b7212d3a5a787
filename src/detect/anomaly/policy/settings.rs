//! What is allowed.

use serde::Deserialize;

/// Zones, what may go between them, and other rules. Without rules nothing is judged.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolicySettings {
    /// Zones by name; what is in none belongs to the zone `outside`. The first one that has an address counts. Default none.
    pub zones: Vec<ZoneSettings>,
    /// Who may begin what with whom; within a zone everything is allowed unless an entry names it on both sides. Default none.
    pub allow: Vec<AllowSettings>,
    /// Whether traffic with the zone `outside` is judged, too. Default false.
    pub judge_outside: bool,
    /// Protocols in the clear or out of date that nobody is to use, or `all`. Default none.
    pub cleartext: Vec<String>,
    /// Who may mark packets with which DSCP. Default: everybody.
    pub dscp: Vec<DscpSettings>,
    /// Denials of one source within ten minutes that are told (count). Default 50.
    pub denied: u32,
    /// Rules of firewalls that are expected to be hit. Default none.
    pub firewall_rules: Vec<RuleSettings>,
    /// What nothing used for so long is told, days. Default 30.
    pub unused_days: u32,
}

impl Default for PolicySettings {
    fn default() -> Self {
        PolicySettings {
            zones: vec![],
            allow: vec![],
            judge_outside: false,
            cleartext: vec![],
            dscp: vec![],
            denied: 50,
            firewall_rules: vec![],
            unused_days: 30,
        }
    }
}

/// A zone.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZoneSettings {
    /// What it is called.
    pub name: String,
    /// Prefixes as `ADDRESS/BITS`, or names of `[enrich.networks]`.
    pub networks: Vec<String>,
}

/// A cell of the matrix.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowSettings {
    /// The zone that begins.
    pub from: String,
    /// The zone that answers.
    pub to: String,
    /// Ports of the one that answers: `443/tcp`, `53`, `8000-8010/tcp`, `icmp`. Default: all.
    #[serde(default)]
    pub ports: Vec<String>,
    /// Applications or protocols by name. Default: all.
    #[serde(default)]
    pub applications: Vec<String>,
}

/// Who may use a DSCP.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DscpSettings {
    /// Code points, 1 to 63.
    pub codes: Vec<u8>,
    /// Zones whose hosts may use them. Default: all.
    #[serde(default)]
    pub zones: Vec<String>,
    /// Applications or protocols that may use them. Default: all.
    #[serde(default)]
    pub applications: Vec<String>,
}

/// A rule of a firewall.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleSettings {
    /// What people call it.
    pub name: String,
    /// The hash that the firewall shows beside it, like `0x9b3e8f01`.
    pub rule: String,
}
