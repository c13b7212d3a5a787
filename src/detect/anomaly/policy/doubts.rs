//! What of a policy can be so, and says nothing: zones that nothing is in, and cells that others allow already.

use super::super::zones;
use super::matrix::Matrix;
use super::settings::PolicySettings;

/// A prefix: its first address and its length, of 128 bits.
type Prefix = (u128, u32);

impl PolicySettings {
    /// What has no effect; each text begins with the key.
    pub fn doubts(&self) -> Vec<String> {
        let zones = self.doubts_of_zones().into_iter();
        let zones = zones.map(|doubt| format!("detect.policy.zones: {doubt}"));
        // what is wrong with the settings is a fault, and told as such
        let matrix = Matrix::new(self, &mut vec![]);
        let cells = matrix.allowed_already().into_iter();
        let cells = cells.map(|(cell, by)| match cell == by {
            true => format!("detect.policy.allow: `{cell}` stands there twice"),
            false => format!("detect.policy.allow: `{cell}` is allowed already by `{by}`"),
        });
        zones.chain(cells).collect()
    }

    /// Of an address that is in several zones the first one counts.
    fn doubts_of_zones(&self) -> Vec<String> {
        let mut doubts = vec![];
        let (mut before, mut names): (Vec<Prefix>, Vec<&str>) = (vec![], vec![]);
        for zone in &self.zones {
            if zone.networks.is_empty() {
                doubts.push(format!("`{}` has no networks: nothing is in it", zone.name));
            }
            let is_taken = |text: &&String| match zones::parse(text) {
                Some(prefix) => is_covered(prefix, &before),
                None => names.contains(&text.as_str()),
            };
            let taken: Vec<&str> = (zone.networks.iter().filter(is_taken))
                .map(String::as_str)
                .collect();
            let all = match taken.len() == zone.networks.len() {
                true => ": nothing is in it",
                false => "",
            };
            if !taken.is_empty() {
                doubts.push(format!(
                    "{} of `{}` belongs to zones that stand before it{all}",
                    taken.join(", "),
                    zone.name
                ));
            }
            before.extend(zone.networks.iter().filter_map(|n| zones::parse(n)));
            names.extend(zone.networks.iter().map(String::as_str));
        }
        doubts
    }
}

/// Whether others have all addresses of a prefix, alone or together.
fn is_covered((first, bits): Prefix, others: &[Prefix]) -> bool {
    let has = |(outer, wide): &Prefix| *wide <= bits && zones::bits_of(first, *wide) == *outer;
    if others.iter().any(has) {
        return true;
    }
    let within: Vec<Prefix> = (others.iter().copied())
        .filter(|(inner, narrow)| *narrow > bits && zones::bits_of(*inner, bits) == first)
        .collect();
    if within.len() < 2 {
        return false;
    }
    let half = 1u128 << (127 - bits);
    [first, first | half]
        .into_iter()
        .all(|first| is_covered((first, bits + 1), &within))
}

#[cfg(test)]
mod tests {
    use super::super::settings::{AllowSettings, ZoneSettings};
    use super::*;

    #[test]
    fn zones_that_nothing_is_in_are_named() {
        let zones = [
            ("servers", &["10.0.0.0/8", "lab"][..]),
            ("dmz", &["10.7.0.0/16", "192.0.2.0/24"]),
            ("empty", &[]),
            ("lab", &["lab", "10.0.0.0/8"]),
            ("left", &["172.16.0.0/13"]),
            ("right", &["172.24.0.0/13"]),
            ("both", &["172.16.0.0/12"]),
            ("more", &["172.16.0.0/11", "2001:db8::/32"]),
        ];
        let zone = |(name, networks): &(&str, &[&str])| ZoneSettings {
            name: (*name).to_owned(),
            networks: networks.iter().map(|n| (*n).to_owned()).collect(),
        };
        let policy = PolicySettings {
            zones: zones.iter().map(zone).collect(),
            ..PolicySettings::default()
        };
        let expected = [
            "10.7.0.0/16 of `dmz` belongs to zones that stand before it",
            "`empty` has no networks: nothing is in it",
            "lab, 10.0.0.0/8 of `lab` belongs to zones that stand before it: nothing is in it",
            "172.16.0.0/12 of `both` belongs to zones that stand before it: nothing is in it",
        ];
        assert_eq!(
            policy.doubts(),
            expected.map(|e| format!("detect.policy.zones: {e}"))
        );
    }

    #[test]
    fn cells_that_others_allow_already_are_named() {
        let zone = |name: &str, network: &str| ZoneSettings {
            name: name.into(),
            networks: vec![network.into()],
        };
        let allow = |from: &str, to: &str, ports: &[&str], applications: &[&str]| AllowSettings {
            from: from.into(),
            to: to.into(),
            ports: ports.iter().map(|p| (*p).to_owned()).collect(),
            applications: applications.iter().map(|a| (*a).to_owned()).collect(),
        };
        let policy = PolicySettings {
            zones: vec![zone("a", "10.1.0.0/16"), zone("b", "10.2.0.0/16")],
            allow: vec![
                allow("a", "b", &["8000-8010", "443/tcp"], &[]),
                allow("b", "a", &["443/tcp"], &[]),
                allow("a", "b", &["8005/tcp"], &["tls"]),
                allow("a", "b", &["8005-8011/tcp"], &[]),
                allow("b", "a", &["443/tcp"], &[]),
                allow("b", "b", &[], &["tls"]),
                allow("b", "b", &["443/tcp"], &["tls", "ssh"]),
                allow("b", "b", &["443/tcp"], &["ssh"]),
                allow("a", "b", &["8005/sctp"], &[]),
            ],
            ..PolicySettings::default()
        };
        let expected = [
            "`a to b: 8005/tcp as tls` is allowed already by `a to b: 8000-8010, 443/tcp`",
            "`b to a: 443/tcp` stands there twice",
            "`b to b: 443/tcp as ssh` is allowed already by `b to b: 443/tcp as tls, ssh`",
        ];
        assert_eq!(
            policy.doubts(),
            expected.map(|e| format!("detect.policy.allow: {e}"))
        );
    }
}
