//! One binary, a module per room.

mod aggregate;
mod conformance;
mod decode;
mod harness;
mod store;
