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
