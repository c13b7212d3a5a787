//! What an exporter tells about itself, beside flows.

use super::Addr;

/// A fact from options data, from counter samples, about a template, or from the configuration. Decode emits what
/// exporters tell, enrich what is configured; the shard hands it on to the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Learned {
    /// Name and description of an interface (elements 10/14 with 82, 83).
    Interface {
        /// Exporter.
        exporter: Addr,
        /// ifIndex.
        if_index: u32,
        /// ifName; empty when not sent.
        name: String,
        /// Description or alias; empty when not sent.
        description: String,
        /// Speed in bit/s; 0 when not sent.
        speed: u64,
    },
    /// An interface with everything that is known of it: configured, learned, and what rules made of both.
    NamedInterface {
        /// Exporter.
        exporter: Addr,
        /// ifIndex.
        if_index: u32,
        /// Name.
        name: String,
        /// Description or alias.
        description: String,
        /// Speed in bit/s.
        speed: u64,
        /// What it is for: `wan`, `lan`, `uplink`, `internet`, ...
        role: String,
        /// Site.
        site: String,
        /// Tenant.
        tenant: String,
        /// QoS policy that names the classes of its traffic.
        qos_policy: String,
    },
    /// What kind of application a name is.
    Category {
        /// Name, as in `app`.
        app: String,
        /// Category.
        category: String,
        /// How much it matters: `critical`, `business`, `neutral`, `leisure`.
        relevance: String,
    },
    /// A named network and its attributes.
    Network {
        /// Name, as in `src_net`.
        name: String,
        /// Site.
        site: String,
        /// Tenant.
        tenant: String,
        /// Role.
        role: String,
        /// Zone.
        zone: String,
        /// How many prefixes have the name.
        prefixes: u32,
    },
    /// A class of a QoS policy and its share of an interface.
    QosClass {
        /// Policy.
        policy: String,
        /// Class.
        class: String,
        /// Share of the interface's speed, percent; 0 for none.
        budget_percent: u8,
        /// Absolute share, bit/s; 0 for none.
        budget_bits: u64,
    },
    /// The class of a code point in a QoS policy.
    QosCodePoint {
        /// Policy.
        policy: String,
        /// 0 to 63.
        dscp: u8,
        /// Class.
        class: String,
    },
    /// A class in which a QoS policy expects a category of applications.
    QosExpected {
        /// Policy.
        policy: String,
        /// Category.
        category: String,
        /// Class.
        class: String,
    },
    /// Which of the exporters that saw the same traffic counts.
    ObservationPoint {
        /// Exporter; unspecified for all that have none.
        exporter: Addr,
        /// The lowest counts.
        priority: u32,
        /// `ingress`, `egress` or `none`.
        side: &'static str,
    },
    /// Name of an application id (elements 94-96, RFC 6759).
    Application {
        /// Exporter.
        exporter: Addr,
        /// Engine in the top byte, selector in the low 56 bits.
        app_id: u64,
        /// Name.
        name: String,
        /// Description; empty when not sent.
        description: String,
    },
    /// Name of a VRF (elements 234-236).
    Vrf {
        /// Exporter.
        exporter: Addr,
        /// VRF id.
        vrf: u32,
        /// Name.
        name: String,
    },
    /// A sampler or selector and its interval.
    Sampler {
        /// Exporter.
        exporter: Addr,
        /// Observation domain.
        domain: u32,
        /// Sampler or selector id; 0 for the whole domain.
        sampler: u64,
        /// 1 in N.
        interval: u32,
    },
    /// A template was learned or changed.
    Template {
        /// Exporter.
        exporter: Addr,
        /// UDP source port of the session.
        port: u16,
        /// NetFlow 9 or IPFIX (10).
        version: u8,
        /// Observation domain.
        domain: u32,
        /// Template id.
        id: u16,
        /// Options template.
        options: bool,
        /// Fields as `pen.element/length`, comma separated, at most 4,096 bytes.
        layout: String,
        /// Whether a compiled plan decodes it.
        planned: bool,
    },
    /// Interface counters (sFlow counter samples, SNMP).
    Counters(Box<InterfaceCounters>),
}

impl Learned {
    /// Who taught it; what is configured nobody did.
    pub fn exporter(&self) -> Option<Addr> {
        match self {
            Learned::Interface { exporter, .. }
            | Learned::NamedInterface { exporter, .. }
            | Learned::Application { exporter, .. }
            | Learned::Vrf { exporter, .. }
            | Learned::Sampler { exporter, .. }
            | Learned::ObservationPoint { exporter, .. }
            | Learned::Template { exporter, .. } => Some(*exporter),
            Learned::Counters(c) => Some(c.exporter),
            Learned::Category { .. }
            | Learned::Network { .. }
            | Learned::QosClass { .. }
            | Learned::QosCodePoint { .. }
            | Learned::QosExpected { .. } => None,
        }
    }
}

/// Who counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum CounterSource {
    /// sFlow counter samples.
    #[default]
    Sflow = 0,
    /// SNMP: IF-MIB.
    Snmp = 1,
}

impl CounterSource {
    /// All of them, by number.
    pub const ALL: [CounterSource; 2] = [CounterSource::Sflow, CounterSource::Snmp];

    /// The name in ClickHouse.
    pub const fn name(self) -> &'static str {
        match self {
            CounterSource::Sflow => "sflow",
            CounterSource::Snmp => "snmp",
        }
    }
}

/// Generic interface counters: running totals (sFlow version 5, `if_counters`; of SNMP speed and octets alone).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "the names are those of RFC 3635 and the sFlow structure"
)]
pub struct InterfaceCounters {
    pub source: CounterSource,
    /// The octets are of 32 bits and wrap.
    pub narrow: bool,
    /// They do not go on from the ones before: the exporter was restarted, or the ifIndex is another interface now.
    pub restarted: bool,
    pub exporter: Addr,
    pub received_at_ns: i64,
    pub if_index: u32,
    pub if_type: u32,
    pub if_speed: u64,
    pub if_direction: u32,
    pub if_status: u32,
    pub in_octets: u64,
    pub in_unicast_packets: u32,
    pub in_multicast_packets: u32,
    pub in_broadcast_packets: u32,
    pub in_discards: u32,
    pub in_errors: u32,
    pub in_unknown_protocols: u32,
    pub out_octets: u64,
    pub out_unicast_packets: u32,
    pub out_multicast_packets: u32,
    pub out_broadcast_packets: u32,
    pub out_discards: u32,
    pub out_errors: u32,
    pub promiscuous: u32,
}
