//! Rows into sealed, re-sendable batches; size and age limits.
//!
//! Owns: [`Bundle`] (what a shard seals together: the unit of durability and back pressure), [`Batch`] (one table and
//! partition of it: the unit of retry, with its token), [`Table`].
//! Never: encoding, I/O. Why: what is sealed never changes, so a retry can never send other bytes under the same token
//! (contracts section 6).

mod bundle;

pub use bundle::{Batch, Bundle, Content, LedgerRow, RowRef, Table};
