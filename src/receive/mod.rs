//! Bytes from the world into pooled buffers.

mod file;
mod fragment;
mod frames;
mod map;

pub use file::{CaptureError, Captures, Counts, Selection};
