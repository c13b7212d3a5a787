//! Exporters and packets with known content, for load, demo and tests.
//!
//! Owns: [`Exporter`] (one exporting process: its traffic, clock, sequence and templates), [`Flow`] (what it saw),
//! [`Truth`] (the sums that a collector must find), [`sender`] (pools of datagrams sent at a rate), [`capture`]
//! (the same into a file) and [`packets`] (conversations as a mirror port shows them).
//! Never: decides what a collector does with it; draws from anything but its seed and the time it is given.
//! Why in the product: the same exporters show a newcomer the product, load it, and prove its sums.

pub mod capture;
mod exporter;
mod mmsg;
pub mod packets;
mod pool;
mod random;
mod sampled;
pub mod sender;
mod service;
mod sflow;
mod template;
mod traffic;
mod truth;
mod v5;

pub use exporter::{Export, Exporter, Habits, Profile, Stamp};
pub use pool::Pool;
pub use random::Random;
pub use sampled::Passed;
pub use service::{SERVICES, Service};
pub use traffic::Flow;
pub use truth::{Sums, Truth};
