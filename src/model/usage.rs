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
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct UsageRow {
    /// Start of the minute, seconds since 1970 UTC.
    pub minute_s: u32,
    /// Exporter.
    pub exporter: Addr,
    /// ifIndex.
    pub if_index: u32,
    /// Side of the interface.
    pub side: InterfaceSide,
    /// The interface was not where the record was metered.
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
    /// Packets that were really seen.
    pub sampled_packets: u64,
    /// Variance that sampling causes in the estimated bytes (bytes squared): for error bars.
    pub variance: f64,
    /// Every flow in this row had a known sampling interval.
    pub sampling_known: bool,
    /// Of the estimated bytes, those of which nobody knows whether they were sampled.
    pub est_bytes_unknown: u64,
}

impl UsageRow {
    /// Whether the row is part of "each byte once" (the view `usage_once`): the ingress side, also where it is inferred
    /// from a record metered at the egress, for then there is no other.
    pub fn counts_once(&self) -> bool {
        self.side == InterfaceSide::Ingress
    }
}

/// In which part of a flow an address stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum TalkerRole {
    /// It sent.
    #[default]
    Source = 0,
    /// It received.
    Destination = 1,
}

impl TalkerRole {
    /// The name in ClickHouse.
    pub const fn name(self) -> &'static str {
        match self {
            TalkerRole::Source => "source",
            TalkerRole::Destination => "destination",
        }
    }
}

/// One minute of an address that is among the first of its exporter, or of all others: a partial sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TalkerRow {
    /// Start of the minute, seconds since 1970 UTC.
    pub minute_s: u32,
    /// Exporter.
    pub exporter: Addr,
    /// Whether the address sent or received.
    pub role: TalkerRole,
    /// Address; unspecified for all others.
    pub address: Addr,
    /// All addresses that have no row of their own.
    pub other: bool,
    /// Bytes as reported, each once.
    pub bytes: u64,
    /// Packets as reported.
    pub packets: u64,
    /// Flows that ended in this minute.
    pub flows: u64,
    /// Bytes times the sampling interval.
    pub est_bytes: u64,
    /// Packets times the sampling interval.
    pub est_packets: u64,
    /// Packets that were really seen.
    pub sampled_packets: u64,
    /// Variance that sampling causes in the estimated bytes (bytes squared): for error bars.
    pub variance: f64,
    /// Every flow in this row had a known sampling interval.
    pub sampling_known: bool,
    /// Of the estimated bytes, those of which nobody knows whether they were sampled.
    pub est_bytes_unknown: u64,
    /// Most estimated bytes of this address that are counted in `other`; there: most that any address without a row has.
    pub error_bytes: u64,
}

/// One minute of traffic from one named network to another: a partial sum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NetworkRow {
    /// Start of the minute, seconds since 1970 UTC.
    pub minute_s: u32,
    /// Exporter.
    pub exporter: Addr,
    /// Network of the source, id in the batch's name tables; 0 where it has no name.
    pub src_net: u32,
    /// Network of the destination.
    pub dst_net: u32,
    /// Bytes as reported, each once.
    pub bytes: u64,
    /// Packets as reported.
    pub packets: u64,
    /// Flows that ended in this minute.
    pub flows: u64,
    /// Bytes times the sampling interval.
    pub est_bytes: u64,
    /// Packets times the sampling interval.
    pub est_packets: u64,
    /// Packets that were really seen.
    pub sampled_packets: u64,
    /// Variance that sampling causes in the estimated bytes (bytes squared): for error bars.
    pub variance: f64,
    /// Every flow in this row had a known sampling interval.
    pub sampling_known: bool,
    /// Of the estimated bytes, those of which nobody knows whether they were sampled.
    pub est_bytes_unknown: u64,
}
