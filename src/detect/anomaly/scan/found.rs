//! What a source that guesses does.

use crate::model::{DetectionKind, Figure};

/// What a source does, by which figures.
pub(super) struct Found {
    pub kind: DetectionKind,
    pub detector: &'static str,
    /// Many ports of one host, else one port of many hosts.
    pub ports: bool,
    pub n: u32,
    pub threshold: u32,
    pub share: f64,
    pub share_min: f64,
}

impl Found {
    pub fn figures(&self) -> Vec<Figure> {
        let name = match self.ports {
            _ if self.detector == super::BLOCK => PAIRS,
            true => PORTS,
            false => HOSTS,
        };
        vec![
            figure(name, self.n, self.threshold),
            share_figure(self.share, self.share_min),
        ]
    }

    pub fn counterfactual(&self) -> String {
        let n = self.threshold;
        match self.ports {
            _ if self.detector == super::BLOCK => {
                format!("fewer than {n} ports of hosts, or more of them open")
            }
            true => format!("fewer than {n} ports of one host, or more of them open"),
            false => format!("fewer than {n} hosts on this port, or more of them that answer"),
        }
    }
}

/// How many hosts of a port are wanted, of those of services and of others.
pub(super) fn wanted(port: u16, known: u32, unknown: u32) -> u32 {
    if port < 1024 || SERVICES.contains(&port) {
        known
    } else {
        unknown
    }
}

fn figure(name: &'static str, observed: u32, threshold: u32) -> Figure {
    Figure {
        name: name.into(),
        observed: f64::from(observed),
        threshold: Some(f64::from(threshold)),
        baseline: None,
    }
}

/// A figure that decides nothing alone.
pub(super) fn told(name: &'static str, observed: f64) -> Figure {
    Figure {
        name: name.into(),
        observed,
        threshold: None,
        baseline: None,
    }
}

fn share_figure(observed: f64, threshold: f64) -> Figure {
    Figure {
        name: "share of first contacts that failed".into(),
        observed,
        threshold: Some(threshold),
        baseline: None,
    }
}

pub(super) const PORTS: &str = "ports of one host that failed";
pub(super) const HOSTS: &str = "hosts that failed on one port";
pub(super) const PAIRS: &str = "ports of hosts that failed";
pub(super) const BLOCK_HOSTS: &str = "hosts that failed";
pub(super) const BLOCK_PORTS: &str = "ports that failed";
/// Services above 1023 that are looked for.
const SERVICES: [u16; 26] = [
    1080, 1433, 1521, 1723, 2049, 2222, 2375, 3128, 3306, 3389, 4444, 5038, 5060, 5432, 5555, 5900,
    5985, 6379, 7547, 8000, 8080, 8443, 8888, 9200, 11_211, 27_017,
];
/// Services of SCTP (IANA): signalling of telephony and mobile networks, Diameter.
pub(super) const SIGNALLING: [u16; 14] = [
    2904, 2905, 2944, 2945, 3565, 3868, 5868, 9899, 29_118, 36_412, 36_422, 38_412, 38_422, 38_462,
];
