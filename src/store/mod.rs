//! The embedded ClickHouse: its HTTP face over the engine library, in a process of its own.
