//! HTTP on loopback: metrics, health, the ledger, the inventory of exporters, and reload.
//!
//! Owns: [`Server`] and its pages, [`Access`] (who may change something), [`Snapshot`] (what it wants to know), the
//! inventory (which exporter came when; the only shared map in the house). Never: the data path. It asks a [`Source`]
//! when it is asked itself; nothing waits for it, and all that can be asked of it is to read the configuration again.

mod access;
mod bandwidth;
mod captured;
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
pub use error::Error;
pub use inventory::{EXPORTERS_MAX, Inventory};
pub use metrics::render;
pub use server::{Running, Server};
pub use settings::Settings;
pub use snapshot::{
    Bandwidth, Capture, Endpoint, Histogram, Listener, Meter, Reconciled, Reconciliation, Reloads,
    Shard, Sink, Snapshot, Snmp, Source, Spool,
};
