//! The row definitions of the small tables. `schemas/` has their twins; a test holds them equal.

use super::super::ndjson;
use super::block::{Block, Order};
use crate::batch::{DetectionRow, ExporterRow, LedgerRow};
use crate::ledger::Outcome;
use crate::model::{
    Addr, CounterSource, DetectionKind, InterfaceCounters, InterfaceSide, Learned, NameTable,
    Names, NetworkRow, Origin, TalkerRole, TalkerRow, UsageRow,
};

/// A column of a table with rows of type `R`.
pub(super) struct Column<R: 'static> {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    /// Writes the cells; false, with nothing written, where all of them are the empty name.
    write: fn(&Rows<'_, R>, &mut Block) -> bool,
}

/// Rows of one table, with what belongs to all of them.
pub(super) struct Rows<'a, R> {
    pub(super) rows: &'a [R],
    pub(super) names: &'a Names,
    /// When the bundle was sealed: the version of inventory rows, ms since 1970 UTC.
    pub(super) sealed_ms: i64,
}

impl<R> Rows<'_, R> {
    /// Writes all columns.
    pub(super) fn write(&self, columns: &[Column<R>], out: &mut Block) {
        for c in columns {
            let mark = out.column(c.name, c.kind);
            if !(c.write)(self, out) {
                out.retract(mark);
            }
        }
    }

    fn named(&self, out: &mut Block, table: &NameTable, id: fn(&R) -> u32) -> bool {
        self.low_cardinality(out, table.len(), |id| table.name(id), id)
    }

    fn low_cardinality<'n>(
        &self,
        out: &mut Block,
        count: usize,
        name: impl Fn(u32) -> &'n str,
        id: fn(&R) -> u32,
    ) -> bool {
        let order = Order::AsTheyCome(self.rows.len());
        out.low_cardinality(count, name, self.rows.iter().map(id), order)
    }
}

macro_rules! cells {
    ($name:literal: $kind:literal, $row:ident => $value:expr) => {
        Column {
            name: $name,
            kind: $kind,
            write: |all, out| {
                out.cells(all.rows.len(), all.rows.iter().map(|$row| $value));
                true
            },
        }
    };
}

macro_rules! column {
    ($name:literal: $kind:literal, $write:expr) => {
        Column {
            name: $name,
            kind: $kind,
            write: $write,
        }
    };
}

macro_rules! updated_at {
    () => {
        column!("updated_at": "DateTime64(3, 'UTC')", |all, out| {
            out.cells(all.rows.len(), all.rows.iter().map(|_| all.sealed_ms));
            true
        })
    };
}

macro_rules! learned {
    ($name:literal: $kind:literal as $t:ty, $variant:ident.$field:ident) => {
        column!($name: $kind, |all, out| {
            out.cells(all.rows.len(), all.rows.iter().map(|l| match l {
                Learned::$variant { $field, .. } => <$t>::from(*$field),
                _ => <$t>::default(),
            }));
            true
        })
    };
    ($name:literal, $variant:ident.$field:ident) => {
        column!($name: "String", |all, out| {
            for l in all.rows {
                match l {
                    Learned::$variant { $field, .. } => out.text($field.as_bytes()),
                    _ => out.text(b""),
                }
            }
            true
        })
    };
}

/// A field that interfaces have as exporters tell it and as they are named.
macro_rules! interface {
    ($name:literal: $kind:literal as $t:ty, $field:ident) => {
        column!($name: $kind, |all, out| {
            out.cells(all.rows.len(), all.rows.iter().map(|l| match l {
                Learned::Interface { $field, .. } | Learned::NamedInterface { $field, .. } => {
                    <$t>::from(*$field)
                }
                _ => <$t>::default(),
            }));
            true
        })
    };
    ($name:literal, $field:ident) => {
        column!($name: "String", |all, out| {
            for l in all.rows {
                match l {
                    Learned::Interface { $field, .. } | Learned::NamedInterface { $field, .. } => {
                        out.text($field.as_bytes())
                    }
                    _ => out.text(b""),
                }
            }
            true
        })
    };
}

pub(super) const USAGE: &[Column<UsageRow>] = &[
    cells!("time": "DateTime('UTC')", r => r.minute_s),
    cells!("exporter": "IPv6", r => r.exporter),
    cells!("if_index": "UInt32", r => r.if_index),
    column!("direction": "LowCardinality(String)", |all, out| {
        let sides = [InterfaceSide::Ingress, InterfaceSide::Egress];
        let name = |id| sides[id as usize % 2].name();
        all.low_cardinality(out, sides.len(), name, |r| r.side as u32)
    }),
    cells!("inferred": "UInt8", r => u8::from(r.inferred)),
    column!("app_proto": "LowCardinality(String)", |all, out| {
        all.named(out, &all.names.apps, |r| r.app_proto)
    }),
    column!("app": "LowCardinality(String)", |all, out| all.named(out, &all.names.apps, |r| r.app)),
    column!("qos_class": "LowCardinality(String)", |all, out| {
        all.named(out, &all.names.classes, |r| r.qos_class.into())
    }),
    cells!("dscp": "UInt8", r => r.dscp),
    cells!("bytes": "UInt64", r => r.bytes),
    cells!("packets": "UInt64", r => r.packets),
    cells!("flows": "UInt64", r => r.flows),
    cells!("est_bytes": "UInt64", r => r.est_bytes),
    cells!("est_packets": "UInt64", r => r.est_packets),
    cells!("sampled_packets": "UInt64", r => r.sampled_packets),
    cells!("sampling_known": "UInt8", r => u8::from(r.sampling_known)),
    cells!("variance": "Float64", r => r.variance),
    cells!("est_bytes_unknown": "UInt64", r => r.est_bytes_unknown),
];

pub(super) const NETWORK_USAGE: &[Column<NetworkRow>] = &[
    cells!("time": "DateTime('UTC')", r => r.minute_s),
    cells!("exporter": "IPv6", r => r.exporter),
    column!("src_net": "LowCardinality(String)", |all, out| {
        all.named(out, &all.names.networks, |r| r.src_net)
    }),
    column!("dst_net": "LowCardinality(String)", |all, out| {
        all.named(out, &all.names.networks, |r| r.dst_net)
    }),
    cells!("bytes": "UInt64", r => r.bytes),
    cells!("packets": "UInt64", r => r.packets),
    cells!("flows": "UInt64", r => r.flows),
    cells!("est_bytes": "UInt64", r => r.est_bytes),
    cells!("est_packets": "UInt64", r => r.est_packets),
    cells!("sampled_packets": "UInt64", r => r.sampled_packets),
    cells!("sampling_known": "UInt8", r => u8::from(r.sampling_known)),
    cells!("variance": "Float64", r => r.variance),
    cells!("est_bytes_unknown": "UInt64", r => r.est_bytes_unknown),
];

pub(super) const TALKERS: &[Column<TalkerRow>] = &[
    cells!("time": "DateTime('UTC')", r => r.minute_s),
    cells!("exporter": "IPv6", r => r.exporter),
    column!("role": "LowCardinality(String)", |all, out| {
        let roles = [TalkerRole::Source, TalkerRole::Destination];
        let name = |id| roles[id as usize % 2].name();
        all.low_cardinality(out, roles.len(), name, |r| r.role as u32)
    }),
    cells!("other": "UInt8", r => u8::from(r.other)),
    cells!("address": "IPv6", r => r.address),
    cells!("bytes": "UInt64", r => r.bytes),
    cells!("packets": "UInt64", r => r.packets),
    cells!("flows": "UInt64", r => r.flows),
    cells!("est_bytes": "UInt64", r => r.est_bytes),
    cells!("est_packets": "UInt64", r => r.est_packets),
    cells!("sampled_packets": "UInt64", r => r.sampled_packets),
    cells!("sampling_known": "UInt8", r => u8::from(r.sampling_known)),
    cells!("variance": "Float64", r => r.variance),
    cells!("est_bytes_unknown": "UInt64", r => r.est_bytes_unknown),
    cells!("error_bytes": "UInt64", r => r.error_bytes),
];

pub(super) const LEDGER: &[Column<LedgerRow>] = &[
    cells!("time": "DateTime('UTC')", r => r.minute_s),
    cells!("exporter": "IPv6", r => Addr(r.exporter)),
    cells!("domain": "UInt32", r => r.domain),
    column!("outcome": "LowCardinality(String)", |all, out| {
        let name = |id| Outcome::ALL.get(id as usize).map_or("", |o| o.name());
        all.low_cardinality(out, Outcome::COUNT, name, |r| r.outcome as u32)
    }),
    cells!("count": "UInt64", r => r.count),
];

pub(super) const EXPORTERS: &[Column<ExporterRow>] = &[
    cells!("exporter": "IPv6", r => r.exporter),
    cells!("domain": "UInt32", r => r.domain),
    column!("origin": "LowCardinality(String)", |all, out| {
        let name = |id| Origin::from_number(id as u8).name();
        all.low_cardinality(out, Origin::ALL.len(), name, |r| r.origin as u32)
    }),
    cells!("source": "IPv6", r => r.source),
    updated_at!(),
];

pub(super) const INTERFACES: &[Column<Learned>] = &[
    interface!("exporter": "IPv6" as Addr, exporter),
    interface!("if_index": "UInt32" as u32, if_index),
    interface!("name", name),
    interface!("description", description),
    interface!("speed": "UInt64" as u64, speed),
    learned!("role", NamedInterface.role),
    learned!("site", NamedInterface.site),
    learned!("tenant", NamedInterface.tenant),
    learned!("qos_policy", NamedInterface.qos_policy),
    updated_at!(),
];

pub(super) const APPLICATION_CATALOG: &[Column<Learned>] = &[
    learned!("app", Category.app),
    learned!("category", Category.category),
    learned!("relevance", Category.relevance),
    updated_at!(),
];

pub(super) const NETWORKS: &[Column<Learned>] = &[
    learned!("name", Network.name),
    learned!("site", Network.site),
    learned!("tenant", Network.tenant),
    learned!("role", Network.role),
    learned!("zone", Network.zone),
    learned!("prefixes": "UInt32" as u32, Network.prefixes),
    updated_at!(),
];

pub(super) const QOS_CLASSES: &[Column<Learned>] = &[
    learned!("policy", QosClass.policy),
    learned!("class", QosClass.class),
    learned!("budget_percent": "UInt8" as u8, QosClass.budget_percent),
    learned!("budget_bits": "UInt64" as u64, QosClass.budget_bits),
    updated_at!(),
];

pub(super) const QOS_CODE_POINTS: &[Column<Learned>] = &[
    learned!("policy", QosCodePoint.policy),
    learned!("dscp": "UInt8" as u8, QosCodePoint.dscp),
    learned!("class", QosCodePoint.class),
    updated_at!(),
];

pub(super) const QOS_EXPECTED: &[Column<Learned>] = &[
    learned!("policy", QosExpected.policy),
    learned!("category", QosExpected.category),
    learned!("class", QosExpected.class),
    updated_at!(),
];

pub(super) const APPLICATIONS: &[Column<Learned>] = &[
    learned!("exporter": "IPv6" as Addr, Application.exporter),
    learned!("app_id": "UInt64" as u64, Application.app_id),
    learned!("name", Application.name),
    learned!("description", Application.description),
    updated_at!(),
];

pub(super) const VRFS: &[Column<Learned>] = &[
    learned!("exporter": "IPv6" as Addr, Vrf.exporter),
    learned!("vrf": "UInt32" as u32, Vrf.vrf),
    learned!("name", Vrf.name),
    updated_at!(),
];

pub(super) const OBSERVATION_POINTS: &[Column<Learned>] = &[
    learned!("exporter": "IPv6" as Addr, ObservationPoint.exporter),
    learned!("priority": "UInt32" as u32, ObservationPoint.priority),
    learned!("side", ObservationPoint.side),
    updated_at!(),
];

pub(super) const TEMPLATES: &[Column<Learned>] = &[
    learned!("exporter": "IPv6" as Addr, Template.exporter),
    learned!("port": "UInt16" as u16, Template.port),
    learned!("version": "UInt8" as u8, Template.version),
    learned!("domain": "UInt32" as u32, Template.domain),
    learned!("id": "UInt16" as u16, Template.id),
    learned!("options": "UInt8" as u8, Template.options),
    learned!("layout", Template.layout),
    learned!("planned": "UInt8" as u8, Template.planned),
    updated_at!(),
];

pub(super) const INTERFACE_COUNTERS: &[Column<InterfaceCounters>] = &[
    cells!("received_at": "DateTime('UTC')", c => (c.received_at_ns / 1_000_000_000) as u32),
    cells!("exporter": "IPv6", c => c.exporter),
    cells!("if_index": "UInt32", c => c.if_index),
    cells!("if_type": "UInt32", c => c.if_type),
    cells!("if_speed": "UInt64", c => c.if_speed),
    cells!("if_direction": "UInt32", c => c.if_direction),
    cells!("if_status": "UInt32", c => c.if_status),
    cells!("in_octets": "UInt64", c => c.in_octets),
    cells!("in_unicast_packets": "UInt32", c => c.in_unicast_packets),
    cells!("in_multicast_packets": "UInt32", c => c.in_multicast_packets),
    cells!("in_broadcast_packets": "UInt32", c => c.in_broadcast_packets),
    cells!("in_discards": "UInt32", c => c.in_discards),
    cells!("in_errors": "UInt32", c => c.in_errors),
    cells!("in_unknown_protocols": "UInt32", c => c.in_unknown_protocols),
    cells!("out_octets": "UInt64", c => c.out_octets),
    cells!("out_unicast_packets": "UInt32", c => c.out_unicast_packets),
    cells!("out_multicast_packets": "UInt32", c => c.out_multicast_packets),
    cells!("out_broadcast_packets": "UInt32", c => c.out_broadcast_packets),
    cells!("out_discards": "UInt32", c => c.out_discards),
    cells!("out_errors": "UInt32", c => c.out_errors),
    cells!("promiscuous": "UInt32", c => c.promiscuous),
    column!("source": "LowCardinality(String)", |all, out| {
        let name = |id| CounterSource::ALL.get(id as usize).map_or("", |s| s.name());
        all.low_cardinality(out, CounterSource::ALL.len(), name, |c| c.source as u32)
    }),
    cells!("narrow": "UInt8", c => u8::from(c.narrow)),
    cells!("restarted": "UInt8", c => u8::from(c.restarted)),
];

/// Texts of detections.
macro_rules! texts {
    ($name:literal, $d:ident => $value:expr) => {
        column!($name: "String", |all, out| {
            for row in all.rows {
                let $d = &row.detection;
                out.text($value.as_bytes());
            }
            true
        })
    };
}

/// Words of detections: few of them, by their number.
macro_rules! words {
    ($name:literal, $words:expr, $d:ident => $number:expr) => {
        column!($name: "LowCardinality(String)", |all, out| {
            let words: &[&str] = $words;
            let word = |id| words.get(id as usize).copied().unwrap_or_default();
            all.low_cardinality(out, words.len(), word, |r| {
                let $d = &r.detection;
                $number
            })
        })
    };
}

const ENTITY_TYPES: [&str; 6] = [
    "host",
    "pair",
    "network",
    "interface",
    "exporter",
    "collector",
];

pub(super) const DETECTION_EVENTS: &[Column<DetectionRow>] = &[
    cells!("id": "UInt64", r => r.detection.id),
    cells!("version": "UInt32", r => r.detection.version),
    words!("engine", &["signature", "anomaly", "policy"], d => d.kind.engine() as u32),
    column!("kind": "LowCardinality(String)", |all, out| {
        let name = |id| DetectionKind::ALL.get(id as usize).map_or("", |k| k.name());
        all.low_cardinality(out, DetectionKind::ALL.len(), name, |r| r.detection.kind as u32)
    }),
    texts!("detector", d => d.detector),
    cells!("sid": "UInt32", r => r.detection.sid.unwrap_or_default()),
    cells!("severity": "Enum8('low' = 1, 'medium' = 2, 'high' = 3, 'critical' = 4)", r => r.detection.severity as u8),
    cells!("confidence": "UInt8", r => r.detection.confidence),
    texts!("title", d => d.title),
    words!("entity_type", &ENTITY_TYPES, d => {
        let kind = d.entity.kind();
        ENTITY_TYPES.iter().position(|k| *k == kind).unwrap_or_default() as u32
    }),
    texts!("entity", d => d.entity.to_string()),
    cells!("entity_addr": "IPv6", r => r.detection.entity.addr().unwrap_or_default()),
    words!("entity_role", &["source", "victim"], d => d.role as u32),
    column!("peers": "Array(IPv6)", |all, out| {
        let peers = |r: &DetectionRow| r.detection.peers.len();
        out.offsets(all.rows.len(), all.rows.iter().map(peers));
        let each = all.rows.iter().flat_map(|r| r.detection.peers.iter().copied());
        out.cells(all.rows.iter().map(peers).sum(), each);
        true
    }),
    cells!("peers_total": "UInt64", r => r.detection.peers_total),
    cells!("first_at": "DateTime64(3, 'UTC')", r => r.detection.first_ms),
    cells!("last_at": "DateTime64(3, 'UTC')", r => r.detection.last_ms),
    cells!("detected_at": "DateTime64(3, 'UTC')", r => r.detection.detected_ms),
    cells!("count": "UInt64", r => r.detection.count),
    texts!("evidence", d => ndjson::evidence(&d.evidence).to_string()),
    column!("attack": "Array(String)", |all, out| {
        out.offsets(all.rows.len(), all.rows.iter().map(|r| r.detection.attack.len()));
        for row in all.rows {
            row.detection.attack.iter().for_each(|t| out.text(t.as_bytes()));
        }
        true
    }),
    column!("hidden_by": "String", |all, out| {
        all.rows.iter().for_each(|r| out.text(r.hidden_by.as_bytes()));
        true
    }),
    updated_at!(),
];
