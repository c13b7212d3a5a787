//! Builds channels and threads, sums the memory budget, stops everything in order.
//!
//! Owns: [`Collector`] (what runs), [`StateDirectory`] (what outlives it), [`View`] (what is known of it), the order of
//! starting and stopping. Never: a byte of data. Stop is end of stream: only receive is told, everything else ends when its
//! input does.

mod budget;
mod collector;
mod embedded;
mod gate;
mod housekeeper;
mod state;
mod view;

pub use budget::refuse as refuse_budget;
pub use collector::{Collector, spool_dir};
pub use embedded::Embedded;
use gate::Gate;
use housekeeper::Housekeeper;
pub use state::{StateDirectory, state_dir};
pub use view::{Totals, View};
