//! What signatures, detectors and policies find: one row an incident, which grows.

use super::Addr;
use std::borrow::Cow;

/// Most addresses that a detection names; [`Detection::peers_total`] has how many there were.
pub const PEERS_MAX: usize = 100;

/// Most flows that the evidence of a detection has.
pub const EVIDENCE_FLOWS_MAX: usize = 10;

/// Most places of matches that it has, and bytes of each.
pub const EVIDENCE_MATCHES_MAX: usize = 16;
/// See [`EVIDENCE_MATCHES_MAX`].
pub const EVIDENCE_MATCH_BYTES_MAX: usize = 64;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $engine:ident, $severity:ident, $title:literal, [$($attack:literal),*];)*) => {
        /// What was found: a closed list. Each has its words for people, its severity unless something raises it, and the
        /// techniques of MITRE ATT&CK (Enterprise, v15) that it points to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DetectionKind { $($(#[$doc])* $variant,)* }

        impl DetectionKind {
            /// Every kind.
            pub const ALL: &'static [DetectionKind] = &[$(DetectionKind::$variant),*];

            /// The word in NDJSON, tables and configuration.
            pub const fn name(self) -> &'static str {
                match self { $(DetectionKind::$variant => $name,)* }
            }

            /// Who finds it.
            pub const fn engine(self) -> DetectionEngine {
                match self { $(DetectionKind::$variant => DetectionEngine::$engine,)* }
            }

            /// How bad it is where nothing says more.
            pub const fn severity(self) -> Severity {
                match self { $(DetectionKind::$variant => Severity::$severity,)* }
            }

            /// For people.
            pub const fn title(self) -> &'static str {
                match self { $(DetectionKind::$variant => $title,)* }
            }

            /// Ids of techniques.
            pub const fn attack(self) -> &'static [&'static str] {
                match self { $(DetectionKind::$variant => &[$($attack),*],)* }
            }
        }
    };
}

kinds! {
    /// A rule matched.
    Signature = "signature", Signature, Medium, "Signature", [];
    /// Fragments or segments overlap so that hosts read different things.
    OverlapEvasion = "overlap_evasion", Signature, High, "Overlapping data read in two ways", ["T1027"];
    /// A rule costs more than it may and is not tried for a while.
    RuleDemoted = "rule_demoted", Signature, Low, "A rule costs more than it may", [];
    /// Many TCP ports of few hosts.
    PortScan = "port_scan", Anomaly, Medium, "TCP port scan", ["T1046"];
    /// Many UDP ports of few hosts.
    PortScanUdp = "port_scan_udp", Anomaly, Medium, "UDP port scan", ["T1046"];
    /// One service of a host is asked what it is.
    ServiceScan = "service_scan", Anomaly, Medium, "Service and system fingerprinting", ["T1046", "T1595"];
    /// One TCP port of many hosts.
    HostSweepTcp = "host_sweep_tcp", Anomaly, Medium, "TCP sweep over hosts", ["T1046", "T1018"];
    /// One UDP port of many hosts.
    HostSweepUdp = "host_sweep_udp", Anomaly, Medium, "UDP sweep over hosts", ["T1046", "T1018"];
    /// Echo requests to many hosts.
    HostSweepIcmp = "host_sweep_icmp", Anomaly, Low, "Ping sweep", ["T1018"];
    /// ARP requests for many hosts.
    HostSweepArp = "host_sweep_arp", Anomaly, Low, "ARP sweep", ["T1018"];
    /// Many hosts and many ports.
    HostSweep = "host_sweep", Anomaly, Medium, "Sweep over hosts and ports", ["T1046", "T1018"];
    /// Combinations of TCP flags that no connection has.
    OddTcpFlags = "odd_tcp_flags", Anomaly, Low, "TCP flags that no connection has", ["T1046", "T1205"];
    /// Half-open connections pile up.
    SynFlood = "syn_flood", Anomaly, High, "SYN flood", ["T1498.001", "T1499.001"];
    /// Answers of UDP services that nobody asked for.
    UdpAmplificationFlood = "udp_amplification_flood", Anomaly, High, "UDP reflection and amplification", ["T1498.002"];
    /// Answers of TCP services that nobody asked for.
    TcpReflectionFlood = "tcp_reflection_flood", Anomaly, High, "TCP reflection", ["T1498.002"];
    /// Too much of anything.
    Flood = "flood", Anomaly, High, "Flood", ["T1498.001"];
    /// A flood over a whole network.
    CarpetFlood = "carpet_flood", Anomaly, High, "Carpet bombing of a network", ["T1498"];
    /// Passwords are guessed.
    BruteForce = "brute_force", Anomaly, Medium, "Passwords are guessed", ["T1110.001"];
    /// After guessing, a session lasts.
    BruteForceSucceeded = "brute_force_succeeded", Anomaly, Critical, "A guessed password was right", ["T1110.001", "T1078"];
    /// One or few passwords on many hosts.
    PasswordSpray = "password_spray", Anomaly, High, "Passwords are tried on many hosts", ["T1110.003"];
    /// Work on other hosts that was not done before.
    LateralMovement = "lateral_movement", Anomaly, High, "Lateral movement inside the network", ["T1021", "T1570"];
    /// Calls home in a rhythm.
    Beacon = "beacon", Anomaly, Medium, "Beacon", ["T1071", "T1573"];
    /// One connection that stands for most of a day.
    LongConnection = "long_connection", Anomaly, Low, "A connection that does not end", ["T1071", "T1572"];
    /// One place that is called again and again.
    Strobe = "strobe", Anomaly, Low, "A place is called again and again", ["T1071"];
    /// Data leave for a place where they never went.
    Exfiltration = "exfiltration", Anomaly, High, "Data leave the network", ["T1041", "T1048"];
    /// Much is sent to one place.
    LargeUpload = "large_upload", Anomaly, Low, "Large upload", ["T1567"];
    /// Data in the names of DNS.
    DnsTunnel = "dns_tunnel", Anomaly, High, "DNS tunnel", ["T1071.004", "T1572"];
    /// Names that do not exist, made by an algorithm.
    Dga = "dga", Anomaly, Medium, "Generated domain names", ["T1568.002"];
    /// Data in echo messages.
    IcmpTunnel = "icmp_tunnel", Anomaly, High, "ICMP tunnel", ["T1095", "T1572"];
    /// Somebody answers for the address of another.
    ArpSpoofing = "arp_spoofing", Anomaly, High, "ARP spoofing", ["T1557.002"];
    /// More memory is asked of TLS than was sent.
    Heartbleed = "heartbleed", Anomaly, High, "Heartbleed", ["T1190"];
    /// More, or less, than at this hour of the week.
    VolumeAnomaly = "volume_anomaly", Anomaly, Low, "Unusual volume", [];
    /// An exporter sends nothing any more.
    ExporterSilent = "exporter_silent", Anomaly, Medium, "An exporter is silent", ["T1562"];
    /// A host offers what it never offered.
    NewService = "new_service", Anomaly, Low, "A new service", ["T1543"];
    /// Pools of miners are spoken to.
    PolicyCryptomining = "policy_cryptomining", Policy, Medium, "Mining of crypto currency", ["T1496"];
    /// Passwords and data can be read on the way.
    PolicyCleartext = "policy_cleartext", Policy, Low, "Cleartext protocol", ["T1040"];
    /// Traffic that the matrix of zones does not allow.
    PolicySegmentation = "policy_segmentation", Policy, Medium, "Traffic between zones that is not allowed", ["T1021"];
    /// A firewall denied much.
    PolicyDenied = "policy_denied", Policy, Low, "Denied by a firewall", [];
    /// A class of traffic is used by whom it is not meant for.
    PolicyDscp = "policy_dscp", Policy, Low, "DSCP that is not theirs", [];
    /// What a policy allows, or a firewall has a rule for, and nobody uses.
    PolicyUnused = "policy_unused", Policy, Low, "Rules that nothing uses", [];
    /// One source goes from stage to stage.
    AttackChain = "attack_chain", Anomaly, Critical, "An attack goes on", [];
    /// Detectors lost state.
    DetectorDegraded = "detector_degraded", Anomaly, Medium, "A detector is degraded", [];
}

/// Which engine found something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DetectionEngine {
    /// Rules over packets.
    Signature,
    /// Detectors over flows.
    Anomaly,
    /// What is not allowed.
    Policy,
}

impl DetectionEngine {
    /// The word in NDJSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            DetectionEngine::Signature => "signature",
            DetectionEngine::Anomaly => "anomaly",
            DetectionEngine::Policy => "policy",
        }
    }
}

/// How bad it is if it is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Severity {
    /// Good to know.
    Low = 1,
    /// To be looked at.
    Medium = 2,
    /// To be looked at today.
    High = 3,
    /// To be looked at now.
    Critical = 4,
}

impl Severity {
    /// Every severity, from the lowest.
    pub const ALL: &'static [Severity] = &[
        Severity::Low,
        Severity::Medium,
        Severity::High,
        Severity::Critical,
    ];

    /// The word in NDJSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

/// What a detection is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Entity {
    /// A host.
    Host(Addr),
    /// Two hosts, the one that began first.
    Pair(Addr, Addr),
    /// An address with the length of its prefix, in bits of its own family.
    Network(Addr, u8),
    /// An exporter and one of its interfaces.
    Interface(Addr, u32),
    /// An exporter.
    Exporter(Addr),
    /// The collector itself.
    Collector,
}

impl Entity {
    /// The word in NDJSON and tables.
    pub const fn kind(&self) -> &'static str {
        match self {
            Entity::Host(_) => "host",
            Entity::Pair(..) => "pair",
            Entity::Network(..) => "network",
            Entity::Interface(..) => "interface",
            Entity::Exporter(_) => "exporter",
            Entity::Collector => "collector",
        }
    }

    /// Its first address.
    pub const fn addr(&self) -> Option<Addr> {
        match self {
            Entity::Host(a)
            | Entity::Pair(a, _)
            | Entity::Network(a, _)
            | Entity::Interface(a, _)
            | Entity::Exporter(a) => Some(*a),
            Entity::Collector => None,
        }
    }
}

impl std::fmt::Display for Entity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Entity::Host(a) | Entity::Exporter(a) => write!(f, "{a}"),
            Entity::Pair(a, b) => write!(f, "{a} -> {b}"),
            Entity::Network(a, bits) => write!(f, "{a}/{bits}"),
            Entity::Interface(a, n) => write!(f, "{a} {n}"),
            Entity::Collector => f.write_str("collector"),
        }
    }
}

/// Which part the entity has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EntityRole {
    /// It does it.
    Source,
    /// It suffers it.
    Victim,
}

impl EntityRole {
    /// The word in NDJSON and tables.
    pub const fn name(self) -> &'static str {
        match self {
            EntityRole::Source => "source",
            EntityRole::Victim => "victim",
        }
    }
}

/// One figure that a detector judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// What was counted or measured, with its unit.
    pub name: Cow<'static, str>,
    /// What was observed.
    pub observed: f64,
    /// From where on it is found; `None` where the figure only explains.
    pub threshold: Option<f64>,
    /// What is usual; `None` where that is not known.
    pub baseline: Option<f64>,
}

/// A flow that shows what happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EvidenceFlow {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Source port, or ICMP type.
    pub src_port: u16,
    /// Destination port, or ICMP code.
    pub dst_port: u16,
    /// IP protocol.
    pub proto: u8,
    /// Bytes, as reported.
    pub bytes: u64,
    /// Packets, as reported.
    pub packets: u64,
    /// First packet, ms since 1970 UTC.
    pub start_ms: i64,
    /// Community ID (version 1, seed 0).
    pub community_id: String,
}

/// Why somebody was told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Figures; those that decided have a threshold.
    pub figures: Vec<Figure>,
    /// Facts in words: name and text.
    pub facts: Vec<(Cow<'static, str>, String)>,
    /// At most [`EVIDENCE_FLOWS_MAX`] flows.
    pub flows: Vec<EvidenceFlow>,
    /// What would have kept it silent.
    pub counterfactual: String,
    /// What could not be judged, and why.
    pub blind: Vec<String>,
    /// Where a rule found what it looked for, at most [`EVIDENCE_MATCHES_MAX`] places.
    pub matches: Vec<EvidenceMatch>,
    /// Of a chain the incidents that are its steps, in order of time.
    pub steps: Vec<Step>,
    /// Ids of steps of a chain that gave way to later ones, and belong to it all the same.
    pub steps_gone: Vec<u64>,
    /// Of a step the chain that it belongs to.
    pub part_of: Option<u64>,
}

/// An incident that is a step of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its id.
    pub id: u64,
    /// What it is.
    pub kind: DetectionKind,
    /// When it began, ms since 1970 UTC.
    pub first_ms: i64,
}

/// A place in a buffer at which a condition of a rule held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EvidenceMatch {
    /// Name of the buffer.
    pub buffer: &'static str,
    /// First byte; of a stream, from its start.
    pub offset: u64,
    /// How many bytes matched.
    pub length: u32,
    /// The first of them, at most [`EVIDENCE_MATCH_BYTES_MAX`].
    pub bytes: Vec<u8>,
}

/// An incident as far as it is known. Later versions of the same id replace earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Detection {
    /// From its content: the same incident keeps it, and a replay gives the same.
    pub id: u64,
    /// Grows by one with each change.
    pub version: u32,
    /// What was found.
    pub kind: DetectionKind,
    /// Who found it: the file of the detector, and the rule in it behind a dot.
    pub detector: String,
    /// Id of the rule, for signatures.
    pub sid: Option<u32>,
    /// How bad.
    pub severity: Severity,
    /// How sure, 0 to 100.
    pub confidence: u8,
    /// One line for people.
    pub title: String,
    /// What it is about.
    pub entity: Entity,
    /// Which part that has.
    pub role: EntityRole,
    /// Who else takes part, in order of addresses, at most [`PEERS_MAX`].
    pub peers: Vec<Addr>,
    /// How many others took part, an estimate where there were many.
    pub peers_total: u64,
    /// When it began, ms since 1970 UTC, by the clock of the data.
    pub first_ms: i64,
    /// When it was seen last.
    pub last_ms: i64,
    /// When it was known first, by the same clock: less `first_ms` it is the time to detect.
    pub detected_ms: i64,
    /// Flows, packets or messages that belong to it, as `evidence` says.
    pub count: u64,
    /// Why.
    pub evidence: Evidence,
    /// Ids of techniques of MITRE ATT&CK; of a chain, in the order in which they were seen.
    pub attack: Vec<Cow<'static, str>>,
}

impl Detection {
    /// Moves all its times, as rows are moved that are stored as if they were of now.
    pub fn shift_times(&mut self, ms: i64) {
        let flows = self.evidence.flows.iter_mut().map(|f| &mut f.start_ms);
        let steps = self.evidence.steps.iter_mut().map(|s| &mut s.first_ms);
        let own = [&mut self.first_ms, &mut self.last_ms, &mut self.detected_ms];
        for at in own.into_iter().chain(flows).chain(steps) {
            *at = at.saturating_add(ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn kinds_have_names_of_their_own() {
        let names: BTreeSet<_> = DetectionKind::ALL.iter().map(|k| k.name()).collect();
        assert_eq!(names.len(), DetectionKind::ALL.len());
        for kind in DetectionKind::ALL {
            assert!(!kind.title().is_empty());
            let policy = kind.name().starts_with("policy_");
            assert_eq!(policy, kind.engine() == DetectionEngine::Policy);
        }
    }

    #[test]
    fn entities_are_told_in_words() {
        let a = Addr::from_v4([192, 0, 2, 1]);
        let b = Addr::from_v4([192, 0, 2, 2]);
        assert_eq!(Entity::Pair(b, a).to_string(), "192.0.2.2 -> 192.0.2.1");
        assert_eq!(Entity::Network(a, 24).to_string(), "192.0.2.1/24");
        assert_eq!(Entity::Interface(a, 7).to_string(), "192.0.2.1 7");
    }
}
