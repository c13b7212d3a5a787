//! Fills the blanks of records from immutable tables.
