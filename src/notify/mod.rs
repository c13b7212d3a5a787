//! Detections to people: webhooks, Alertmanager, syslog, email.
//!
//! Owns: [`Notifier`] (a thread and a queue on disk for each target), [`Notice`] (what is told, in which form), who is told of what and when
//! ([`Target`]). Never: finds anything, asks the store, holds up who tells it: what finds no room is counted. Why a room: people must hear of
//! an incident also when the store is away, and a receiver that is away must not cost one.

mod email;
mod form;
mod hours;
mod http;
mod letter;
mod queue;
mod settings;
mod syslog;
mod target;

pub use form::{Event, Notice, link};
pub use settings::{Format, Kind, Level, Settings, Target};
pub use target::{Counts, Notifier, ZoneOf};

/// Why a notice was not taken.
#[derive(Debug, thiserror::Error)]
enum Fault {
    /// It may be taken later.
    #[error("{0}")]
    Later(String),
    /// The receiver will never take it.
    #[error("{0}")]
    Never(String),
}
