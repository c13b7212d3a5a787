//! Bandwidth as a product.

use super::Addr;

/// Which side of an interface a usage row is booked on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum InterfaceSide {
    /// Received by the interface.
    #[default]
    Ingress = 0,
    /// Sent by the interface.
    Egress = 1,
}

impl InterfaceSide {
    /// The name in NDJSON and ClickHouse.
    pub const fn name(self) -> &'static str {
        match self {
            InterfaceSide::Ingress => "ingress",
            InterfaceSide::Egress => "egress",
        }
    }
}

/// One minute of one key: a partial sum, to be added to others of the same key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageRow {
    /// Start of the minute, seconds since 1970 UTC.
    pub minute_s: u32,
    /// Exporter.
    pub exporter: Addr,
    /// ifIndex.
    pub if_index: u32,
    /// Side of the interface.
    pub side: InterfaceSide,
    /// The interface was not where the record was metered: left out of "each byte once".
    pub inferred: bool,
    /// Protocol spoken, id in the batch's name tables.
    pub app_proto: u32,
    /// Application, id in the batch's name tables.
    pub app: u32,
    /// QoS class, id in the batch's name tables.
    pub qos_class: u16,
    /// DSCP, 0 to 63.
    pub dscp: u8,
    /// Bytes as reported.
    pub bytes: u64,
    /// Packets as reported.
    pub packets: u64,
    /// Flows that ended in this minute.
    pub flows: u64,
    /// Bytes times the sampling interval.
    pub est_bytes: u64,
    /// Packets times the sampling interval.
    pub est_packets: u64,
    /// Packets that were really seen: for error bars.
    pub sampled_packets: u64,
    /// Every flow in this row had a known sampling interval.
    pub sampling_known: bool,
}
