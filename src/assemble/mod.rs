//! Builds channels and threads, sums the memory budget, stops everything in order.
mod state;
pub use state::StateDirectory;
