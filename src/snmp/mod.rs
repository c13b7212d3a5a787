//! Names, speeds and counters of interfaces, asked from exporters over SNMP.
//!
//! Owns: [`Poller`] (its thread, who is due, what is kept on disk), the columns of IF-MIB that are asked for, the secrets that
//! this takes. Never: the data path; a flow never waits for a name. Why a room: it is the only one that talks to exporters
//! instead of listening, and the only one that knows SNMP.
//!
//! An answer counts whole or not at all: what a poll got before it failed is dropped, and the last good answer holds, across
//! restarts too. A poll that finds the exporter restarted in its middle has failed. Nothing that comes from the network is
//! logged or kept as it is: texts lose what steers a terminal and end after 64 bytes, faults are told in our own words.

mod access;
mod breaker;
mod cache;
mod device;
mod error;
mod poller;
mod settings;
mod stats;

pub use error::Error;
pub use poller::{Exporters, Poller};
pub use settings::{AuthProtocol, PrivacyProtocol, Settings, Version};
pub use stats::Stats;

/// Reads all secrets that the settings name, and asks nobody.
///
/// # Errors
/// The first one that is missing or cannot be used.
pub fn prove(settings: &Settings) -> Result<(), Error> {
    access::Directory::new(settings).prove()
}
