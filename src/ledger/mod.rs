//! Every outcome that a datagram, set, record or row can have, as plain counters of one thread, and the laws that
//! hold between them.
//!
//! Owns: [`Outcome`] (the closed list), [`Tally`] (plain counters), [`Book`] (tallies per exporter and domain, and in
//! all), [`Law`] (the equations). Never: atomics, clocks, I/O; it knows no other room.

mod book;
mod laws;
mod outcome;
mod tally;

pub use book::{Account, Book, Entry, Gains, Place};
pub use laws::{Gauges, Law, laws};
pub use outcome::Outcome;
pub use tally::Tally;
