//! Builds channels and threads, sums the memory budget, stops everything in order.
//!
//! Owns: [`Opened`] (what is opened while there are rights to do so), [`Collector`] (what runs), [`StateDirectory`] (what
//! outlives it), [`View`] (what is known of it), [`Reloader`] (what can change while it runs), [`Notifier`] (what the service
//! manager hears), the order of starting and stopping. Never: a byte of data. Stop is end of stream: only receive is told,
//! everything else ends when its input does.

mod alarms;
mod alert_log;
mod budget;
mod captures;
mod collector;
mod correlate;
mod day_budget;
mod days;
mod desk;
mod embedded;
pub(crate) mod findings;
mod gate;
mod heap;
mod housekeeper;
mod notifier;
mod opened;
mod pcaps;
mod progress;
pub(crate) mod query;
mod reconciler;
mod reload;
pub(crate) mod rules;
mod state;
mod steps;
mod told;
mod view;

use alarms::Alarms;
pub use budget::refuse as refuse_budget;
use captures::{Captured, Readers};
pub use collector::{Collector, spool_dir};
pub use day_budget::Budget;
pub use embedded::Embedded;
pub use findings::{Findings, Renewed};
use gate::Gate;
pub use heap::return_large_memory;
use housekeeper::Housekeeper;
pub use notifier::Notifier;
pub use opened::{Opened, Origin};
pub use pcaps::{pcap_dir, pcap_file};
pub use progress::{Pace, Progress};
use reconciler::Reconciler;
pub use reload::{LIVE, Reloader};
pub use state::{StateDirectory, state_dir};
pub use view::{Totals, View};
