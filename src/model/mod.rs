//! The nouns and units that every room shares: plain data, no I/O, no clock.
//!
//! Owns: [`FlowBatch`] (columns) and [`FlowRow`] (its row view), [`Field`] and [`Measure`] (presence), [`Provenance`] (who said it
//! and when), [`UsageRow`], [`Detection`] (what was found), [`Learned`] (what options data taught), [`positions`] (how far sequences had come), and the small types
//! in them.
//! Never: I/O, clocks, counters, outside crates.

mod addr;
mod app_proto;
mod codec;
mod columns;
mod datagram;
mod detection;
mod field;
mod flow_batch;
mod flow_row;
mod index;
mod learned;
mod measure;
mod names;
mod packet;
mod place;
pub mod positions;
mod prefetch;
mod provenance;
mod usage;

pub use addr::Addr;
pub use app_proto::AppProto;
pub use codec::{Codec, Payload, PayloadMap};
pub use columns::{
    AsPath, BgpColumns, CoreColumns, CounterColumns, DETECTIONS_MAX, EgressColumns,
    FirewallColumns, FoundColumns, Layer2Columns, LinkColumns, MplsColumns, MplsStack, NatColumns,
    NetColumns, QualityColumns, SpokenColumns, TextColumns, TextRef, TunnelColumns,
};
pub use datagram::Datagram;
pub use detection::{
    Detection, DetectionEngine, DetectionKind, EVIDENCE_FLOWS_MAX, EVIDENCE_MATCH_BYTES_MAX,
    EVIDENCE_MATCHES_MAX, Entity, EntityRole, Evidence, EvidenceFlow, EvidenceMatch, Figure,
    PEERS_MAX, Severity, Step,
};
pub use field::Field;
pub use flow_batch::{FLOW_BATCH_ROWS, FlowBatch, TEXT_ARENA_MAX, TEXT_VALUE_MAX};
pub use flow_row::{FieldValue, FlowRow, app_id_len, error_of, scale, variance};
pub use index::Index;
pub use learned::{CounterSource, InterfaceCounters, Learned};
pub use measure::Measure;
pub use names::{COUNTRY_IDS, NameTable, Names, country, country_id};
pub use packet::{
    Envelope, Fragment, Glance, PacketView, TUNNELS_MAX, TcpHeader, Transport, Tunnel, TunnelKind,
    Tunnels, VLANS_MAX, Vlans, mix64, vlan_scope,
};
pub use place::RowPlace;
pub use prefetch::prefetch;
pub use provenance::{
    AppSource, ConversationSide, Half, Handshake, Origin, Provenance, RowFlags, SamplingSource,
};
pub use usage::{InterfaceSide, NetworkRow, TalkerRole, TalkerRow, UsageRow};
