//! Kinds of networks, and what thresholds suit them.
//!
//! `campus` has the values that stand in the file of each detector. The others are those by factors: what is a lot in an office is nothing
//! for a provider, whose networks inside are other people's, so that what one host does there is theirs to judge.

use super::Settings;
use serde::Deserialize;

/// A kind of network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Tens of hosts behind one line.
    SmallOffice,
    /// Thousands of people.
    #[default]
    Campus,
    /// Servers that speak to each other all day long.
    DataCentre,
    /// Networks of others.
    Provider,
}

impl Profile {
    /// Everything as this profile has it.
    pub fn settings(self) -> Settings {
        let mut s = Settings {
            profile: self,
            ..Settings::default()
        };
        match self {
            Profile::SmallOffice => small_office(&mut s),
            Profile::Campus => {}
            Profile::DataCentre => data_centre(&mut s),
            Profile::Provider => provider(&mut s),
        }
        s
    }
}

fn small_office(s: &mut Settings) {
    (s.scan.hosts, s.scan.hosts_unknown_port) = (10, 25);
    s.scan.ports_hosts = 30;
    (s.scan.hosts_pinged, s.scan.hosts_arp) = (15, 25);
    (s.flood.half_open, s.flood.packets_many_sources) = (150, 250);
    (s.flood.packets, s.flood.bytes) = (10_000, 12_500_000);
    (s.upload.bytes, s.upload.slow_bytes) = (25_000_000, 100_000_000);
    s.volume.least_bits_s = 1_000_000;
    s.policy.denied = 25;
}

fn data_centre(s: &mut Settings) {
    (s.scan.hosts, s.scan.hosts_unknown_port) = (30, 150);
    s.scan.ports_hosts = 120;
    (s.scan.hosts_pinged, s.scan.hosts_arp) = (100, 100);
    (s.flood.half_open, s.flood.packets_many_sources) = (3_000, 5_000);
    (s.flood.packets, s.flood.bytes) = (100_000, 625_000_000);
    (s.brute_force.sessions, s.brute_force.spray_hosts) = (15, 20);
    s.beacon.connections = 16;
    (s.upload.bytes, s.upload.slow_bytes) = (500_000_000, 2_000_000_000);
    s.volume.least_bits_s = 50_000_000;
    s.policy.denied = 200;
}

fn provider(s: &mut Settings) {
    (s.scan.ports_quick, s.scan.ports_slow) = (30, 100);
    (s.scan.hosts, s.scan.hosts_unknown_port) = (100, 500);
    s.scan.ports_hosts = 400;
    (s.scan.ports_udp, s.scan.hosts_pinged) = (60, 200);
    (s.flood.half_open, s.flood.packets_many_sources) = (5_000, 20_000);
    (s.flood.packets, s.flood.bytes) = (200_000, 1_250_000_000);
    (s.brute_force.sessions, s.brute_force.sessions_unknown_port) = (30, 100);
    s.beacon.connections = 16;
    (s.upload.bytes, s.upload.slow_bytes) = (5_000_000_000, 20_000_000_000);
    s.volume.least_bits_s = 500_000_000;
    s.policy.denied = 1_000;
    s.off = vec!["large_upload".to_owned(), "new_service".to_owned()];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Text {
        detect: Settings,
    }

    #[test]
    fn a_profile_sets_thresholds_and_keys_win() {
        let read = |text: &str| serde_json::from_str::<Text>(text).map(|t| t.detect);
        let provider = read(r#"{"detect": {"profile": "provider", "scan": {"hosts": 7}}}"#);
        let provider = provider.expect("settings");
        assert_eq!((provider.scan.hosts, provider.scan.ports_quick), (7, 30));
        assert_eq!(provider.off.len(), 2);
        let heard = read(r#"{"detect": {"profile": "provider", "off": []}}"#);
        assert!(heard.expect("settings").off.is_empty());
        assert_eq!(
            read(r#"{"detect": {}}"#).expect("settings"),
            Settings::default()
        );
        assert!(read(r#"{"detect": {"profile": "castle"}}"#).is_err());
        assert!(read(r#"{"detect": {"scan": {"hots": 7}}}"#).is_err());
        for p in [Profile::SmallOffice, Profile::DataCentre, Profile::Provider] {
            assert!(p.settings().faults().is_empty() && p.settings() != Settings::default());
        }
    }
}
