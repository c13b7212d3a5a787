//! HTTP on loopback: metrics, health, the ledger, the inventory of exporters, incidents, and reload.
//!
//! Owns: [`Server`] and its pages, [`Access`] (who may change something), [`Snapshot`] (what it wants to know), the
//! inventory (which exporter came when; the only shared map in the house). Never: the data path. It asks a [`Source`]
//! when it is asked itself; nothing waits for it, and all that can be asked of it is to read the configuration again and to write a step in the
//! life of an incident.

mod access;
mod bandwidth;
mod captured;
mod detections;
mod error;
mod families;
mod inventory;
mod measured;
mod metrics;
mod server;
mod settings;
mod snapshot;
mod tls;

pub use access::{Access, Rules};
pub use detections::{Asked, NoAnswer, Step, words};
pub use error::Error;
pub use inventory::{EXPORTERS_MAX, Inventory};
pub use metrics::render;
pub use server::{Running, Server};
pub use settings::Settings;
pub use snapshot::{
    Bandwidth, Capture, Detections, Endpoint, Histogram, LifeTimes, Listener, Meter, Reconciled,
    Reconciliation, Reloads, Shard, Signatures, Sink, Snapshot, Snmp, Source, Spool,
};
