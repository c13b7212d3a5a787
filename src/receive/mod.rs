//! Bytes from the world into pooled buffers.
//!
//! Owns: the UDP sockets ([`udp`]), the batches that carry datagrams to the shards ([`pool`]), the choice of the
//! shard and what happens when it cannot take more ([`route`]), who may send ([`admission`]), what control reads
//! of all this ([`published`]), frames of interfaces ([`capture`]), and capture files ([`Captures`]).
//! Never: waits for a shard, allocates for a datagram, takes a lock for a known exporter.
//! Why alone on its threads: a late read is a lost datagram, a late decode is only late.

// Live reception.
pub mod admission;
pub mod capture;
mod mmsg;
pub mod pool;
pub mod prefix;
pub mod published;
pub mod route;
pub mod udp;

// Capture files.
mod file;
mod fragment;
mod frames;
mod mapped;

mod error;
mod settings;

pub use admission::Intake;
pub use error::Error;
pub use file::{CaptureError, Captures, Counts, FRAMES_AHEAD, Found, Selection};
pub use frames::{Fault, Frame};
pub use pool::DatagramBatch;
pub use prefix::Prefix;
pub use published::{Published, ReceiveStats};
pub use route::Router;
pub use settings::Settings;
pub use udp::{Listener, bind};
