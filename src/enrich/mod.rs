//! Fills the blanks of records from immutable tables: application, protocol and QoS class.
//!
//! Owns: [`Tables`] (names learned from options, the port list, the DSCP map), [`enrich`] (the column passes),
//! [`learn`] and [`learn_names`] (the only ways a table changes). Never: I/O, clocks, locks, allocation per record.
//! Why: a shard holds one version of the tables during a batch, so a row's name ids mean the same from here to the
//! store.
//!
//! How sure a name is (`app_confidence`): 95 a rule of the user or the IP protocol number, 90 a name the exporter
//! gives, 60 a port below 1024 or the exporter's own look at the port (engines IANA-L3, IANA-L4), 40 a registered
//! port, 20 less where both ports are known ones; 0 not classified.

mod error;
mod passes;
mod ports;
mod qos;
mod services;
mod settings;
mod slug;
mod tables;

pub use error::Error;
pub use passes::{enrich, learn_names};
pub use settings::{Applications, PortRule, Qos, Settings, Transport};
pub use tables::{Interface, Learnt, Tables, learn};
