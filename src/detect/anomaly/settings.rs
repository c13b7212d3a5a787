//! What can be set about detectors. Start values and where they come from stand in the file of each detector.

use super::policy::PolicySettings;
use super::profile::Profile;
use crate::model::DetectionKind;
use serde::Deserialize;
use std::net::IpAddr;

/// Thresholds, each with the value that holds where neither the profile nor the configuration says more, and what a configuration
/// gives of them.
macro_rules! thresholds {
    ($(#[$doc:meta])* $name:ident, $given:ident { $($(#[$text:meta])* pub $key:ident: $kind:ty = $value:expr,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name { $($(#[$text])* pub $key: $kind,)* }

        impl Default for $name {
            fn default() -> Self {
                $name { $($key: $value,)* }
            }
        }

        #[derive(Clone, Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        struct $given { $($key: Option<$kind>,)* }

        impl $given {
            /// What is given, and of the profile what is not.
            fn over(self, profile: $name) -> $name {
                $name { $($key: self.$key.unwrap_or(profile.$key),)* }
            }
        }
    };
}

/// All detectors. Times are of the data, not of the collector's clock.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(from = "Given")]
pub struct Settings {
    /// Whether detectors run. Default true.
    pub enabled: bool,
    /// What kind of network it is: `small_office`, `campus`, `data_centre` or `provider`. It sets the thresholds below and
    /// `off`; what stands in the file goes before it. Default `campus`.
    pub profile: Profile,
    /// Networks that are inside, as `ADDRESS/BITS`. Default: the private ones of RFC 1918, RFC 4193 and RFC 6598, and link-local ones.
    pub inside: Vec<String>,
    /// Kinds of detections that are never told, by their words. Default none.
    pub off: Vec<String>,
    /// Addresses that are no source of scans, guesses and sweeps: scanners of one's own, monitoring. Default none.
    pub allow_sources: Vec<IpAddr>,
    /// Domains below which names may be as long and many as they like (DNS tunnels). Default: lookups of reputation of known makers.
    pub allow_domains: Vec<String>,
    /// Places of the largest tables (count); the others have their share of it. Default 65,536, about 200 MB in all with all incidents.
    pub places_max: usize,
    /// An incident that was silent for so long is over; the same again is another one, seconds. Default 3,600.
    pub incident_gap_s: u32,
    /// Incidents that are open at a time (count); past it the one that was silent longest is over. Default 4,096.
    pub incidents_max: usize,
    /// Incidents a day that are told (count); those past it are counted. Default 10,000.
    pub incidents_per_day_max: u32,
    /// Rows and other facts that wait for detectors (count); past it what comes is dropped and counted. Default 262,144, 70 MB.
    pub waiting_max: usize,
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
    /// `[detect.service]`
    pub service: ServiceSettings,
    /// `[detect.volume]`
    pub volume: VolumeSettings,
    /// `[detect.policy]`
    pub policy: PolicySettings,
    /// Key of all hashes: secret in `run`, constant in `replay`; not configured.
    #[serde(skip)]
    pub hash_seed: u64,
}

/// What a configuration says.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Given {
    profile: Profile,
    enabled: Option<bool>,
    inside: Option<Vec<String>>,
    off: Option<Vec<String>>,
    allow_sources: Option<Vec<IpAddr>>,
    allow_domains: Option<Vec<String>>,
    places_max: Option<usize>,
    incident_gap_s: Option<u32>,
    incidents_max: Option<usize>,
    incidents_per_day_max: Option<u32>,
    waiting_max: Option<usize>,
    scan: ScanGiven,
    flood: FloodGiven,
    brute_force: BruteForceGiven,
    beacon: BeaconGiven,
    dns: DnsGiven,
    upload: UploadGiven,
    service: ServiceGiven,
    volume: VolumeGiven,
    policy: PolicySettings,
}

impl From<Given> for Settings {
    fn from(g: Given) -> Self {
        let p = g.profile.settings();
        Settings {
            enabled: g.enabled.unwrap_or(p.enabled),
            profile: g.profile,
            inside: g.inside.unwrap_or(p.inside),
            off: g.off.unwrap_or(p.off),
            allow_sources: g.allow_sources.unwrap_or(p.allow_sources),
            allow_domains: g.allow_domains.unwrap_or(p.allow_domains),
            places_max: g.places_max.unwrap_or(p.places_max),
            incident_gap_s: g.incident_gap_s.unwrap_or(p.incident_gap_s),
            incidents_max: g.incidents_max.unwrap_or(p.incidents_max),
            incidents_per_day_max: g.incidents_per_day_max.unwrap_or(p.incidents_per_day_max),
            waiting_max: g.waiting_max.unwrap_or(p.waiting_max),
            scan: g.scan.over(p.scan),
            flood: g.flood.over(p.flood),
            brute_force: g.brute_force.over(p.brute_force),
            beacon: g.beacon.over(p.beacon),
            dns: g.dns.over(p.dns),
            upload: g.upload.over(p.upload),
            service: g.service.over(p.service),
            volume: g.volume.over(p.volume),
            policy: g.policy,
            hash_seed: 0,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let words = |w: &[&str]| w.iter().map(|w| (*w).to_owned()).collect();
        Settings {
            enabled: true,
            profile: Profile::default(),
            inside: words(&INSIDE),
            off: vec![],
            allow_sources: vec![],
            allow_domains: words(&ALLOWED_DOMAINS),
            places_max: 65_536,
            incident_gap_s: 3_600,
            incidents_max: 4_096,
            incidents_per_day_max: 10_000,
            waiting_max: 262_144,
            scan: ScanSettings::default(),
            flood: FloodSettings::default(),
            brute_force: BruteForceSettings::default(),
            beacon: BeaconSettings::default(),
            dns: DnsSettings::default(),
            upload: UploadSettings::default(),
            service: ServiceSettings::default(),
            volume: VolumeSettings::default(),
            policy: PolicySettings::default(),
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
        let policy = super::policy::Policy::new(64, &self.policy);
        faults.extend(policy.err().into_iter().flatten());
        let days = [
            ("detect.service.known_days", self.service.known_days),
            ("detect.policy.unused_days", self.policy.unused_days),
            ("detect.upload.days", self.upload.days),
        ];
        let wrong = days.iter().filter(|(_, v)| !(1..=DAYS_MAX).contains(v));
        faults.extend(wrong.map(|(key, _)| format!("{key} must be 1 to {DAYS_MAX}")));
        let zero = self.counts().into_iter().filter(|(_, n)| *n == 0);
        faults.extend(zero.map(|(key, _)| format!("detect.{key} must be at least 1")));
        let parts = [
            ("brute_force.bytes_cv_max", self.brute_force.bytes_cv_max),
            ("dns.name_bytes", self.dns.name_bytes),
            ("upload.ratio", self.upload.ratio),
            ("volume.deviations", self.volume.deviations),
            ("volume.rise", self.volume.rise),
            ("volume.fall", self.volume.fall),
        ];
        let wrong = parts.iter().filter(|(_, v)| !(*v > 0.0 && v.is_finite()));
        faults.extend(wrong.map(|(key, _)| format!("detect.{key} must be more than 0")));
        faults
    }

    /// Counts of which nothing would be something.
    fn counts(&self) -> [(&'static str, u64); 32] {
        let (scan, flood, guess) = (&self.scan, &self.flood, &self.brute_force);
        let (beacon, dns) = (&self.beacon, &self.dns);
        [
            ("places_max", self.places_max as u64),
            ("scan.ports_quick", scan.ports_quick.into()),
            ("scan.ports_slow", scan.ports_slow.into()),
            ("scan.ports_udp", scan.ports_udp.into()),
            ("scan.hosts", scan.hosts.into()),
            ("scan.hosts_unknown_port", scan.hosts_unknown_port.into()),
            ("scan.ports_hosts", scan.ports_hosts.into()),
            ("scan.hosts_pinged", scan.hosts_pinged.into()),
            ("scan.hosts_arp", scan.hosts_arp.into()),
            ("scan.memory_s", scan.memory_s.into()),
            ("flood.half_open", flood.half_open.into()),
            ("flood.reflectors", flood.reflectors.into()),
            (
                "flood.packets_many_sources",
                flood.packets_many_sources.into(),
            ),
            ("flood.packets", flood.packets.into()),
            ("flood.bytes", flood.bytes),
            ("brute_force.sessions", guess.sessions.into()),
            ("brute_force.sessions_slow", guess.sessions_slow.into()),
            ("brute_force.sessions_daily", guess.sessions_daily.into()),
            (
                "brute_force.sessions_unknown_port",
                guess.sessions_unknown_port.into(),
            ),
            ("brute_force.refusals", guess.refusals.into()),
            ("brute_force.spray_hosts", guess.spray_hosts.into()),
            ("beacon.connections", beacon.connections.into()),
            ("beacon.long_hours", beacon.long_hours.into()),
            ("beacon.strobe_calls", beacon.strobe_calls.into()),
            ("dns.names", dns.names.into()),
            ("dns.odd_names", dns.odd_names.into()),
            ("dns.full_names", dns.full_names.into()),
            ("dns.slow_names", dns.slow_names.into()),
            ("dns.missing_domains", dns.missing_domains.into()),
            ("upload.bytes", self.upload.bytes),
            ("upload.slow_bytes", self.upload.slow_bytes),
            ("service.sessions", self.service.sessions.into()),
        ]
    }
}

thresholds! {
    /// When contacts that fail are a scan.
    ScanSettings, ScanGiven {
        /// Ports of one host that fail within five minutes (count). Default 10.
        pub ports_quick: u32 = 10,
        /// Ports of one host that fail in whatever time (count). Default 30.
        pub ports_slow: u32 = 30,
        /// UDP ports of one host without an answer (count). Default 20.
        pub ports_udp: u32 = 20,
        /// Hosts that fail on one port of a known service (count). Default 15.
        pub hosts: u32 = 15,
        /// Hosts that fail on one port of no known service (count). Default 50.
        pub hosts_unknown_port: u32 = 50,
        /// Ports of hosts that fail, each host with its own count, of at least five hosts and four ports (count). Default 40.
        pub ports_hosts: u32 = 40,
        /// Hosts that are pinged within five minutes (count). Default 20.
        pub hosts_pinged: u32 = 20,
        /// Hosts that one asks for by ARP within a minute (count). Default 30.
        pub hosts_arp: u32 = 30,
        /// Of first contacts, those that fail, at least (0 to 1). Default 0.8.
        pub failed_share: f64 = 0.8,
        /// A source that is silent for so long is forgotten, seconds. Default 21,600.
        pub memory_s: u32 = 21_600,
    }
}

thresholds! {
    /// When packets are a flood.
    FloodSettings, FloodGiven {
        /// Connections that stay half open, within three seconds (count); of flows within a minute five times as many. Default 300.
        pub half_open: u32 = 300,
        /// Hosts that answer what nobody asked, within a minute (count). Default 20.
        pub reflectors: u32 = 20,
        /// Packets a second to one host without an answer, of many sources (count). Default 500.
        pub packets_many_sources: u32 = 500,
        /// Packets a second to one host without an answer (count). Default 20,000.
        pub packets: u32 = 20_000,
        /// Bytes a second to one host without an answer. Default 125,000,000.
        pub bytes: u64 = 125_000_000,
    }
}

thresholds! {
    /// When sessions are guesses.
    BruteForceSettings, BruteForceGiven {
        /// Sessions of the shape of a failed login, within five minutes (count). Default 9.
        pub sessions: u32 = 9,
        /// The same of a closer shape, within half an hour (count). Default 30.
        pub sessions_slow: u32 = 30,
        /// The same within a day (count). Default 100.
        pub sessions_daily: u32 = 100,
        /// The same on a port of no known service (count). Default 40.
        pub sessions_unknown_port: u32 = 40,
        /// Refusals that a server told in the clear, within ten minutes (count). Default 10.
        pub refusals: u32 = 10,
        /// Hosts that one tries, each seldom, within an hour (count). Default 10.
        pub spray_hosts: u32 = 10,
        /// Deviation of the bytes of the sessions, in parts of their mean. Default 0.35.
        pub bytes_cv_max: f64 = 0.35,
    }
}

thresholds! {
    /// When connections are a beacon.
    BeaconSettings, BeaconGiven {
        /// Connections at least (count). Default 8.
        pub connections: u32 = 8,
        /// Score of rhythm and sizes at least (0 to 1). Default 0.85.
        pub score: f64 = 0.85,
        /// Pause between two connections at least, ms. Default 1,500.
        pub pause_min_ms: i64 = 1_500,
        /// Hours of a connection that does not end. Default 12.
        pub long_hours: u32 = 12,
        /// Calls of one place within an hour (count). Default 3,600.
        pub strobe_calls: u32 = 3_600,
    }
}

thresholds! {
    /// When names are a tunnel, or generated.
    DnsSettings, DnsGiven {
        /// Different names below one domain within ten minutes (count). Default 40.
        pub names: u32 = 40,
        /// Bytes that a name carries before its domain, on average: a character of what is encoded one, a letter of a word an eighth. Default 30.
        pub name_bytes: f64 = 30.0,
        /// Names of record types that hardly anybody asks for, or of text (count). Default 20.
        pub odd_names: u32 = 20,
        /// Different names within ten minutes of 90 bytes on average (count). Default 12.
        pub full_names: u32 = 12,
        /// Different names as long as `name_bytes` within six hours (count). Default 120.
        pub slow_names: u32 = 120,
        /// Domains that do not exist, asked for within five minutes (count). Default 20.
        pub missing_domains: u32 = 20,
    }
}

thresholds! {
    /// When uploads are large.
    UploadSettings, UploadGiven {
        /// Bytes from a host inside to one outside within an hour. Default 50,000,000.
        pub bytes: u64 = 50_000_000,
        /// Bytes sent for each that came back. Default 5.
        pub ratio: f64 = 5.0,
        /// Bytes from a host inside to one outside within `days`, on three days at least; asked of the store. Default 200,000,000.
        pub slow_bytes: u64 = 200_000_000,
        /// Days of that (1 to 365). Default 7.
        pub days: u32 = 7,
    }
}

thresholds! {
    /// When a service is new.
    ServiceSettings, ServiceGiven {
        /// Sessions on a port (count). Default 3.
        pub sessions: u32 = 3,
        /// Days that the host, and the collector, knew nothing of it (1 to 365). Default 7.
        pub known_days: u32 = 7,
    }
}

thresholds! {
    /// When volume is unusual, and an exporter silent.
    VolumeSettings, VolumeGiven {
        /// Deviations from what is usual at this hour of the week. Default 6.
        pub deviations: f64 = 6.0,
        /// How much more than usual, in parts of it. Default 0.5.
        pub rise: f64 = 0.5,
        /// How much less than usual, in parts of it. Default 0.7.
        pub fall: f64 = 0.7,
        /// The least difference, bits a second. Default 5,000,000.
        pub least_bits_s: u64 = 5_000_000,
        /// Buckets of five minutes in a row (count). Default 3.
        pub buckets: u32 = 3,
        /// Interfaces, applications, classes and networks, of all exporters, that are watched (count); past it new ones are counted as
        /// lost. Default 4,096, which take 9 MB.
        pub series_max: usize = 4_096,
        /// Silence of an exporter that is told, seconds. Default 300.
        pub silent_s: u32 = 300,
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

/// Names that ask whether an address or a file is known to be bad, or that clouds give to machines: long, many, and meant so.
const ALLOWED_DOMAINS: [&str; 21] = [
    "in-addr.arpa",
    "ip6.arpa",
    "mcafee.com",
    "sophosxl.net",
    "e5.sk",
    "spamhaus.org",
    "barracudacentral.org",
    "surbl.org",
    "uribl.com",
    "spamhaus.net",
    "spamcop.net",
    "mailspike.net",
    "mailspike.org",
    "dnswl.org",
    "cymru.com",
    "msbl.org",
    "abusix.zone",
    "amazonaws.com",
    "compute.internal",
    "cluster.local",
    "msappproxy.net",
];

const DAYS_MAX: u32 = 365;
