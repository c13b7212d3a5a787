//! Rows into sealed, re-sendable batches; size and age limits.
