//! Fills the blanks of records from immutable tables: application, protocol, QoS class, network, country and AS number.
//!
//! Owns: [`Tables`] (a configured part that a reload swaps, and what exporters taught), [`Memory`] (what a shard remembers
//! between batches), [`enrich`] (the column passes), [`learn`], [`learn_names`] and [`learn_interfaces`] (the only ways a
//! table changes), [`Polled`] (what exporters answer when somebody asks them for their interfaces), [`fetch`] (networks over HTTP, on a thread of its own). Never, in a pass: I/O, clocks, locks, allocation
//! per record; files are read when tables are built. Why: a shard holds one version of the tables during a batch, so a
//! row's name ids mean the same from here to the store.
//!
//! Who names the application, the surest first, and how sure it is (`app_confidence`): 95 a rule of the user or the IP
//! protocol number, 90 a name the exporter gives, 85 a server name, 70 a published address range; 60 a port below 1024 or
//! the exporter's own look at the port (engines IANA-L3, IANA-L4), 40 a registered port, 20 less where both ports are
//! known ones and nothing was seen that decides; 0 not classified. Where the exporter's name is but that of a protocol, a
//! server name may put an application on top of it.

mod catalog;
mod classify;
mod configured;
mod domains;
mod error;
mod expression;
mod geo;
mod marking;
mod memory;
mod networks;
mod observation;
mod passes;
mod places;
mod polled;
mod ports;
mod prefix;
mod prefix_map;
mod presets;
mod qos;
mod remote;
mod room;
mod rules;
mod services;
mod settings;
mod slug;
mod tables;

pub use error::Error;
pub use memory::Memory;
pub use passes::{enrich, learn_interfaces, learn_names};
pub use polled::{Interfaces, Polled, Renamed};
pub use prefix::Prefix;
pub use prefix_map::PrefixMap;
pub use remote::fetch;
pub use settings::{
    Applications, CountedSide, ObservationPoint, PortRule, Qos, Settings, Transport,
};
pub use tables::{Interface, Learnt, Tables, learn};
