//! The loop: the only room that knows the order of the stages.

mod settings;

pub use settings::{SHARDS_MAX, Settings, Stages};
