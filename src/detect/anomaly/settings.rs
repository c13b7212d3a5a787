//! What can be set about detectors. Start values and where they come from stand in the file of each detector.

use crate::model::DetectionKind;
use serde::Deserialize;
use std::net::IpAddr;

/// All detectors. Times are of the data, not of the collector's clock.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Whether detectors run. Default true.
    pub enabled: bool,
    /// Networks that are inside, as `ADDRESS/BITS`. Default: the private ones of RFC 1918, RFC 4193 and RFC 6598, and link-local ones.
    pub inside: Vec<String>,
    /// Kinds of detections that are never told, by their words. Default none.
    pub off: Vec<String>,
    /// Addresses that are no source of scans, guesses and sweeps: scanners of one's own, monitoring. Default none.
    pub allow_sources: Vec<IpAddr>,
    /// Domains below which names may be as long and many as they like (DNS tunnels). Default: lookups of reputation of known makers.
    pub allow_domains: Vec<String>,
    /// Places of the largest tables (count); the others have their share of it. Default 65,536, about 115 MB in all with all incidents.
    pub places_max: usize,
    /// An incident that was silent for so long is over; the same again is another one, seconds. Default 3,600.
    pub incident_gap_s: u32,
    /// Incidents that are open at a time (count); past it the one that was silent longest is over. Default 4,096.
    pub incidents_max: usize,
    /// Incidents a day that are told (count); those past it are counted. Default 10,000.
    pub incidents_per_day_max: u32,
    /// `[detect.scan]`
    pub scan: ScanSettings,
    /// `[detect.flood]`
    pub flood: FloodSettings,
    /// `[detect.brute_force]`
    pub brute_force: BruteForceSettings,
    /// `[detect.beacon]`
    pub beacon: BeaconSettings,
    /// `[detect.dns]`
    pub dns: DnsSettings,
    /// `[detect.upload]`
    pub upload: UploadSettings,
    /// Key of all hashes: secret in `run`, constant in `replay`; not configured.
    #[serde(skip)]
    pub hash_seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        let words = |w: &[&str]| w.iter().map(|w| (*w).to_owned()).collect();
        Settings {
            enabled: true,
            inside: words(&INSIDE),
            off: vec![],
            allow_sources: vec![],
            allow_domains: words(&ALLOWED_DOMAINS),
            places_max: 65_536,
            incident_gap_s: 3_600,
            incidents_max: 4_096,
            incidents_per_day_max: 10_000,
            scan: ScanSettings::default(),
            flood: FloodSettings::default(),
            brute_force: BruteForceSettings::default(),
            beacon: BeaconSettings::default(),
            dns: DnsSettings::default(),
            upload: UploadSettings::default(),
            hash_seed: 0,
        }
    }
}

impl Settings {
    /// What is wrong; each text begins with the key.
    pub fn faults(&self) -> Vec<String> {
        let networks = super::zones::Zones::new(&self.inside).err();
        let kind = |o: &&String| !DetectionKind::ALL.iter().any(|k| k.name() == **o);
        let kinds = self.off.iter().filter(kind);
        let mut faults: Vec<String> = networks
            .iter()
            .map(|e| format!("detect.inside: {e}"))
            .collect();
        faults.extend(kinds.map(|o| format!("detect.off: `{o}` is no kind of detection")));
        let shares = [
            ("detect.scan.failed_share", self.scan.failed_share),
            ("detect.beacon.score", self.beacon.score),
        ];
        let wrong = shares.iter().filter(|(_, v)| !(0.0..=1.0).contains(v));
        faults.extend(wrong.map(|(key, _)| format!("{key} must be 0 to 1")));
        if self.places_max == 0 {
            faults.push("detect.places_max must be at least 1".to_owned());
        }
        faults
    }
}

/// When contacts that fail are a scan.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScanSettings {
    /// Ports of one host that fail within five minutes (count). Default 10.
    pub ports_quick: u32,
    /// Ports of one host that fail in whatever time (count). Default 30.
    pub ports_slow: u32,
    /// UDP ports of one host without an answer (count). Default 20.
    pub ports_udp: u32,
    /// Hosts that fail on one port of a known service (count). Default 15.
    pub hosts: u32,
    /// Hosts that fail on one port of no known service (count). Default 50.
    pub hosts_unknown_port: u32,
    /// Hosts that are pinged within five minutes (count). Default 20.
    pub hosts_pinged: u32,
    /// Hosts that one asks for by ARP within a minute (count). Default 30.
    pub hosts_arp: u32,
    /// Of first contacts, those that fail, at least (0 to 1). Default 0.8.
    pub failed_share: f64,
    /// A source that is silent for so long is forgotten, seconds. Default 21,600.
    pub memory_s: u32,
}

impl Default for ScanSettings {
    fn default() -> Self {
        ScanSettings {
            ports_quick: 10,
            ports_slow: 30,
            ports_udp: 20,
            hosts: 15,
            hosts_unknown_port: 50,
            hosts_pinged: 20,
            hosts_arp: 30,
            failed_share: 0.8,
            memory_s: 21_600,
        }
    }
}

/// When packets are a flood.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FloodSettings {
    /// Connections that stay half open, within three seconds (count); of flows within a minute five times as many. Default 300.
    pub half_open: u32,
    /// Hosts that answer what nobody asked, within a minute (count). Default 20.
    pub reflectors: u32,
    /// Packets a second to one host without an answer, of many sources (count). Default 500.
    pub packets_many_sources: u32,
    /// Packets a second to one host without an answer (count). Default 20,000.
    pub packets: u32,
    /// Bytes a second to one host without an answer. Default 125,000,000.
    pub bytes: u64,
}

impl Default for FloodSettings {
    fn default() -> Self {
        FloodSettings {
            half_open: 300,
            reflectors: 20,
            packets_many_sources: 500,
            packets: 20_000,
            bytes: 125_000_000,
        }
    }
}

/// When sessions are guesses.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BruteForceSettings {
    /// Sessions of the shape of a failed login, within ten minutes (count). Default 9.
    pub sessions: u32,
    /// The same on a port of no known service (count). Default 40.
    pub sessions_unknown_port: u32,
    /// Refusals that a server told in the clear, within ten minutes (count). Default 10.
    pub refusals: u32,
    /// Hosts that one tries, each seldom, within an hour (count). Default 10.
    pub spray_hosts: u32,
    /// Deviation of the bytes of the sessions, in parts of their mean. Default 0.35.
    pub bytes_cv_max: f64,
}

impl Default for BruteForceSettings {
    fn default() -> Self {
        BruteForceSettings {
            sessions: 9,
            sessions_unknown_port: 40,
            refusals: 10,
            spray_hosts: 10,
            bytes_cv_max: 0.35,
        }
    }
}

/// When connections are a beacon.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BeaconSettings {
    /// Connections at least (count). Default 8.
    pub connections: u32,
    /// Score of rhythm and sizes at least (0 to 1). Default 0.85.
    pub score: f64,
    /// Pause between two connections at least, ms. Default 1,500.
    pub pause_min_ms: i64,
}

impl Default for BeaconSettings {
    fn default() -> Self {
        BeaconSettings {
            connections: 8,
            score: 0.85,
            pause_min_ms: 1_500,
        }
    }
}

/// When names are a tunnel, or generated.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DnsSettings {
    /// Different names below one domain within ten minutes (count). Default 40.
    pub names: u32,
    /// Bytes of a name before its domain, on average. Default 30.
    pub name_bytes: f64,
    /// Names of record types that hardly anybody asks for, or of text (count). Default 20.
    pub odd_names: u32,
    /// Domains that do not exist, asked for within five minutes (count). Default 20.
    pub missing_domains: u32,
}

impl Default for DnsSettings {
    fn default() -> Self {
        DnsSettings {
            names: 40,
            name_bytes: 30.0,
            odd_names: 20,
            missing_domains: 20,
        }
    }
}

/// When uploads are large.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UploadSettings {
    /// Bytes from a host inside to one outside within an hour. Default 50,000,000.
    pub bytes: u64,
    /// Bytes sent for each that came back. Default 5.
    pub ratio: f64,
}

impl Default for UploadSettings {
    fn default() -> Self {
        UploadSettings {
            bytes: 50_000_000,
            ratio: 5.0,
        }
    }
}

const INSIDE: [&str; 8] = [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
];

/// Names that ask whether an address or a file is known to be bad: long, many, and meant so.
const ALLOWED_DOMAINS: [&str; 9] = [
    "in-addr.arpa",
    "ip6.arpa",
    "mcafee.com",
    "sophosxl.net",
    "e5.sk",
    "spamhaus.org",
    "barracudacentral.org",
    "surbl.org",
    "uribl.com",
];
