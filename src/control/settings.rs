//! Settings of control.

use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};

/// `[control]`: the HTTP side.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one. Default `127.0.0.1:9465`: what is served needs no key, so think before
    /// opening it to a network.
    pub listen: SocketAddr,
    /// Exporters with metrics of their own (count), first come first served; the rest is summed up as `other`. Default
    /// 1,000.
    pub exporter_labels_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9465)),
            exporter_labels_max: 1_000,
        }
    }
}
