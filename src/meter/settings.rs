//! What can be set about metering packets.

use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr};

/// Limits and times of the flow table. All limits hold for one shard.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Address of the sensor: the exporter of metered rows. Default 127.0.0.1.
    pub sensor: IpAddr,
    /// Conversations that are kept. Past it those give way whose time comes first, of the ones in doubt before established
    /// ones. Default 1,000,000.
    pub flows_max: usize,
    /// Conversations of which RTP and RTCP are measured; further ones are metered without. Default 32,768.
    pub media_max: usize,
    /// A conversation that goes on is told this often, seconds. Default 60.
    pub active_s: u32,
    /// A conversation is told after this silence, seconds; one of TCP that is not closed is remembered on. Default 30.
    pub idle_s: u32,
    /// A TCP conversation that nobody answered is told after this silence, seconds. Default 10.
    pub half_open_s: u32,
    /// A TCP conversation that was closed or reset is told after this silence, seconds. Default 2.
    pub closed_s: u32,
    /// An open TCP conversation is forgotten after this silence, seconds. Default 600.
    pub tcp_hold_s: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            sensor: IpAddr::V4(Ipv4Addr::LOCALHOST),
            flows_max: 1_000_000,
            media_max: 1 << 15,
            active_s: 60,
            idle_s: 30,
            half_open_s: 10,
            closed_s: 2,
            tcp_hold_s: 600,
        }
    }
}

impl Settings {
    /// Conversations that are kept: at least a few, and as many as fit into 32 bits.
    pub(super) fn flows(&self) -> usize {
        self.flows_max.clamp(FLOWS_MIN, FLOWS_MAX)
    }
}

/// So few always fit, for shares of the table to be whole numbers.
const FLOWS_MIN: usize = 64;
/// Places are numbers of 32 bits, and the index has two for each.
const FLOWS_MAX: usize = 1 << 30;
