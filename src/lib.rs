//! Flowhouse: NetFlow, IPFIX and sFlow in, bandwidth by application and QoS class in ClickHouse out.
//!
//! The rooms of this library follow a datagram: [`receive`] takes it off the wire, [`decode`] turns it into
//! columns ([`dissect`] and [`meter`] do so with packets), [`enrich`] fills the blanks, [`aggregate`] books usage, [`batch`] seals, [`sink`] ships. [`detect`] reads signature rules, [`notify`] tells people. [`shard`] is
//! the only room that knows that order; [`assemble`] builds the threads. `CONTRIBUTING.md` has the map and
//! `tests/tidy.rs` holds the walls.
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod aggregate;
pub mod assemble;
pub mod batch;
pub mod cli;
pub mod config;
pub mod control;
pub mod decode;
pub mod detect;
pub mod dissect;
pub mod enrich;
pub mod generate;
pub mod ledger;
pub mod meter;
pub mod model;
pub mod notify;
pub mod reassemble;
pub mod receive;
pub mod rights;
pub mod secret;
pub mod shard;
pub mod sink;
pub mod snmp;
pub mod store;
