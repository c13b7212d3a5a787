//! One binary, a module per room.

mod aggregate;
mod conformance;
mod harness;
mod store;
