//! Text to proven configuration; gathers the settings of each room.
mod fault;
pub use fault::{Fault, parse};
