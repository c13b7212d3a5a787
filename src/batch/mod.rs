//! Rows into sealed, re-sendable batches; size and age limits.
//!
//! Owns: [`Bundle`] (what a shard seals together: the unit of durability and back pressure), [`Batch`] (one table and
//! partition of it: the unit of retry, with its token), [`Table`], [`Sealer`] (gathers, sorts, splits, numbers),
//! [`Crowding`] (larger bundles for a store with too many parts).
//! Never: encoding, I/O, clocks. Why: what is sealed never changes, so a retry can never send other bytes under the
//! same token (contracts section 6).

mod bundle;
mod crowding;
mod order;
mod sealer;
mod settings;

pub use bundle::{
    Batch, Bundle, Content, DetectionRow, ExporterRow, Home, LedgerRow, RowRef, Table, token_id,
};
pub use crowding::Crowding;
pub use order::Sorter;
pub use sealer::{Extra, Identity, Sealer};
pub use settings::Settings;
