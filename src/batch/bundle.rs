//! Bundles and batches.

use crate::ledger::{Account, Outcome, Tally};
use crate::model::{
    Addr, Detection, FlowBatch, InterfaceCounters, Learned, Names, NetworkRow, Origin,
};
use crate::model::{TalkerRow, UsageRow};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// The tables a bundle can feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Table {
    /// One row a flow record and direction.
    Flows,
    /// Usage per minute.
    Usage1m,
    /// Traffic between networks per minute.
    NetworkUsage1m,
    /// Talkers per minute.
    Talkers1m,
    /// Outcomes per exporter and minute.
    Ledger,
    /// Inventory of exporters.
    Exporters,
    /// Inventory of interfaces.
    Interfaces,
    /// Inventory of templates.
    Templates,
    /// Inventory of application names.
    Applications,
    /// Interface counters (sFlow counter samples).
    InterfaceCounters,
    /// Categories of applications.
    ApplicationCatalog,
    /// Named networks.
    Networks,
    /// Classes of QoS policies.
    QosClasses,
    /// Code points of QoS policies.
    QosCodePoints,
    /// Where QoS policies expect which applications.
    QosExpected,
    /// Inventory of VRF names.
    Vrfs,
    /// Which exporters count.
    ObservationPoints,
    /// Versions of incidents.
    DetectionEvents,
}

impl Table {
    /// Every table, in the order in which a bundle holds them.
    pub const ALL: &'static [Table] = &[
        Table::Flows,
        Table::Usage1m,
        Table::NetworkUsage1m,
        Table::Talkers1m,
        Table::Ledger,
        Table::Exporters,
        Table::Interfaces,
        Table::Templates,
        Table::Applications,
        Table::InterfaceCounters,
        Table::ApplicationCatalog,
        Table::Networks,
        Table::QosClasses,
        Table::QosCodePoints,
        Table::QosExpected,
        Table::Vrfs,
        Table::ObservationPoints,
        Table::DetectionEvents,
    ];

    /// The table of this name.
    pub fn named(name: &str) -> Option<Table> {
        Table::ALL.iter().copied().find(|t| t.name() == name)
    }

    /// The name in ClickHouse.
    pub const fn name(self) -> &'static str {
        match self {
            Table::Flows => "flows",
            Table::Usage1m => "usage_1m",
            Table::NetworkUsage1m => "network_usage_1m",
            Table::Talkers1m => "talkers_1m",
            Table::Ledger => "ledger",
            Table::Exporters => "exporters",
            Table::Interfaces => "interfaces",
            Table::Templates => "templates",
            Table::Applications => "applications",
            Table::InterfaceCounters => "interface_counters",
            Table::ApplicationCatalog => "application_catalog",
            Table::Networks => "networks",
            Table::QosClasses => "qos_classes",
            Table::QosCodePoints => "qos_code_points",
            Table::QosExpected => "qos_expected",
            Table::Vrfs => "vrfs",
            Table::ObservationPoints => "observation_points",
            Table::DetectionEvents => "detection_events",
        }
    }

    /// Whether its rows are sums, which do not tell whether one of them was written twice.
    pub const fn is_sum(self) -> bool {
        !self.is_versioned() && !matches!(self, Table::Flows)
    }

    /// Whether the newest version of a row counts, so that writing it twice does no harm; the other tables are sums or
    /// only grow.
    pub const fn is_versioned(self) -> bool {
        match self {
            Table::Flows
            | Table::Usage1m
            | Table::NetworkUsage1m
            | Table::Talkers1m
            | Table::Ledger
            | Table::InterfaceCounters => false,
            Table::Exporters
            | Table::Interfaces
            | Table::Templates
            | Table::Applications
            | Table::ApplicationCatalog
            | Table::Networks
            | Table::QosClasses
            | Table::QosCodePoints
            | Table::QosExpected
            | Table::Vrfs
            | Table::ObservationPoints
            | Table::DetectionEvents => true,
        }
    }
}

/// A row of one of the bundle's flow batches: batch number in the upper 12 bits, row in the lower 20.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowRef(pub u32);

impl RowRef {
    /// Refers to `row` of batch number `batch`.
    #[inline(always)]
    pub fn new(batch: usize, row: usize) -> Self {
        debug_assert!(batch < 1 << 12 && row < 1 << 20);
        RowRef((batch as u32) << 20 | row as u32)
    }

    /// Number of the batch.
    #[inline(always)]
    pub fn batch(self) -> usize {
        (self.0 >> 20) as usize
    }

    /// Row in the batch.
    #[inline(always)]
    pub fn row(self) -> usize {
        (self.0 & 0xf_ffff) as usize
    }
}

/// Outcomes of one exporter and domain in one minute, as the difference since the last bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    /// Start of the minute of sealing, seconds since 1970 UTC.
    pub minute_s: u32,
    /// Exporter, 16 bytes; all zero for what belongs to none.
    pub exporter: [u8; 16],
    /// Observation domain.
    pub domain: u32,
    /// What was counted.
    pub outcome: Outcome,
    /// How often.
    pub count: u64,
}

impl LedgerRow {
    /// The rows of what accounts gained.
    pub fn of(minute_s: u32, gained: &[(Account, Tally)]) -> Vec<LedgerRow> {
        let rows = gained.iter().flat_map(|((exporter, domain), tally)| {
            tally.iter().map(|(outcome, count)| LedgerRow {
                minute_s,
                exporter: *exporter,
                domain: *domain,
                outcome,
                count,
            })
        });
        rows.collect()
    }
}

/// An exporter as it was first seen: one row for each combination of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExporterRow {
    /// Exporter: UDP source address; for sFlow the agent address.
    pub exporter: Addr,
    /// Observation domain.
    pub domain: u32,
    /// Protocol.
    pub origin: Origin,
    /// UDP source address.
    pub source: Addr,
}

/// A version of an incident, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionRow {
    /// What was found.
    pub detection: Detection,
    /// The suppression that keeps it from people; empty where none does.
    pub hidden_by: String,
}

/// The rows of a batch.
#[derive(Debug)]
pub enum Content {
    /// A range of the bundle's `order`.
    Flows(Range<usize>),
    /// Usage rows.
    Usage(Vec<UsageRow>),
    /// Traffic between networks.
    Networks(Vec<NetworkRow>),
    /// Talkers.
    Talkers(Vec<TalkerRow>),
    /// Ledger rows.
    Ledger(Vec<LedgerRow>),
    /// Exporters that were not seen before.
    Exporters(Vec<ExporterRow>),
    /// Inventory, written on change (interfaces, templates, applications, VRFs).
    Inventory(Vec<Learned>),
    /// Interface counters.
    Counters(Vec<InterfaceCounters>),
    /// Versions of incidents.
    Detections(Vec<DetectionRow>),
}

impl Content {
    /// How many rows.
    pub fn rows(&self) -> usize {
        match self {
            Content::Flows(range) => range.len(),
            Content::Usage(rows) => rows.len(),
            Content::Networks(rows) => rows.len(),
            Content::Talkers(rows) => rows.len(),
            Content::Ledger(rows) => rows.len(),
            Content::Exporters(rows) => rows.len(),
            Content::Inventory(rows) => rows.len(),
            Content::Counters(rows) => rows.len(),
            Content::Detections(rows) => rows.len(),
        }
    }
}

/// All rows of a bundle for one table and partition. Immutable, and its token names these rows for ever.
#[derive(Debug)]
pub struct Batch {
    /// Where it goes.
    pub table: Table,
    /// Days since 1970 UTC of the rows' partition; 0 for tables without daily partitions.
    pub partition: u32,
    /// Deduplication token: `<collector>/<start>/<sequence>/<table>/<partition>`.
    pub token: String,
    /// The rows.
    pub content: Content,
}

impl Batch {
    /// The token as a number: `flows.batch`, by which an insert in doubt can be asked for.
    pub fn id(&self) -> u64 {
        token_id(&self.token)
    }
}

/// A token as a number: FNV-1a, 64 bits.
pub fn token_id(token: &str) -> u64 {
    token.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
    })
}

/// What one shard sealed together.
#[derive(Debug)]
pub struct Bundle {
    /// Counts up for each start of the process, over all shards.
    pub sequence: u64,
    /// When it was sealed, nanoseconds since 1970 UTC.
    pub sealed_at_ns: i64,
    /// The flow rows, in order of arrival.
    pub flows: Vec<FlowBatch>,
    /// All flow rows in the order of the table's key.
    pub order: Vec<RowRef>,
    /// The names the rows refer to.
    pub names: Arc<Names>,
    /// The batches.
    pub batches: Vec<Batch>,
    /// Positions of the exporters' sequences that changed: everything before them is in this bundle or an earlier one of the
    /// same shard. What they mean only decode knows.
    pub positions: Vec<u8>,
    /// Where [`Bundle::recycle`] sends what can be filled again.
    pub home: Option<Home>,
}

/// The shard that sealed a bundle.
#[derive(Clone, Debug)]
pub struct Home {
    /// Takes flow batches.
    pub flows: Sender<FlowBatch>,
    /// Takes lists of usage rows: with many exporters they are the larger part of a bundle.
    pub usage: Sender<Vec<UsageRow>>,
}

impl Bundle {
    /// Flow rows.
    pub fn flow_rows(&self) -> usize {
        self.order.len()
    }

    /// Ends the bundle's life once it is encoded: its flow batches and its usage rows go home empty, for their shard to
    /// fill again.
    pub fn recycle(self) {
        let Some(home) = self.home else {
            return;
        };
        // the shard may be gone: then so is the need
        for mut batch in self.flows {
            batch.clear();
            home.flows.send(batch).ok();
        }
        for batch in self.batches {
            if let Content::Usage(mut rows) = batch.content {
                rows.clear();
                home.usage.send(rows).ok();
            }
        }
    }
}
