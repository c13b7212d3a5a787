//! HTTP on loopback: metrics, health, the ledger, the inventory of exporters.
//!
//! Owns: [`Server`] and its pages, [`Snapshot`] (what it wants to know), the inventory (which exporter came when; the
//! only shared map in the house). Never: the data path. It asks a [`Source`] when it is asked itself; nothing waits
//! for it, and nothing can be changed through it.

mod error;
mod inventory;
mod metrics;
mod server;
mod settings;
mod snapshot;

pub use error::Error;
pub use inventory::{EXPORTERS_MAX, Inventory};
pub use metrics::render;
pub use server::{Running, Server};
pub use settings::Settings;
pub use snapshot::{Endpoint, Listener, Shard, Sink, Snapshot, Source};
