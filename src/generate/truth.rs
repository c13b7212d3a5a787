//! What a collector must find.

use super::{Flow, Passed};
use serde::Serialize;
use std::collections::BTreeMap;

/// Sums over flows, as reported (no sampling applied).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Flow records.
    pub flows: u64,
    /// Layer 3 bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
}

impl Sums {
    /// Adds a flow `times` times.
    pub fn add(&mut self, flow: &Flow, times: u64) {
        self.flows += times;
        self.bytes += flow.bytes * times;
        self.packets += flow.packets * times;
    }
}

/// Sums over everything that exporters reported, in all and by what a user asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Everything.
    pub total: Sums,
    /// By name of the application.
    pub by_application: BTreeMap<&'static str, Sums>,
    /// By IP protocol and server port.
    pub by_service: BTreeMap<(u8, u16), Sums>,
    /// By DSCP.
    pub by_dscp: BTreeMap<u8, Sums>,
    /// By ingress ifIndex.
    pub by_in_if: BTreeMap<u32, Sums>,
    /// By egress ifIndex.
    pub by_out_if: BTreeMap<u32, Sums>,
    /// What passed exporters that really sample, whether they saw it or not; of captures alone.
    pub passed: Passed,
}

impl Truth {
    /// Adds a flow `times` times.
    pub fn add(&mut self, flow: &Flow, times: u64) {
        if times == 0 {
            return;
        }
        self.total.add(flow, times);
        self.by_application
            .entry(flow.service.name)
            .or_default()
            .add(flow, times);
        self.by_service
            .entry((flow.protocol, flow.server_port()))
            .or_default()
            .add(flow, times);
        self.by_dscp
            .entry(flow.dscp())
            .or_default()
            .add(flow, times);
        self.by_in_if
            .entry(flow.in_if)
            .or_default()
            .add(flow, times);
        self.by_out_if
            .entry(flow.out_if)
            .or_default()
            .add(flow, times);
    }

    /// Adds flows once each.
    pub fn extend(&mut self, flows: &[Flow]) {
        flows.iter().for_each(|f| self.add(f, 1));
    }
}
