//! Export datagrams to rows of a `FlowBatch`.

pub mod element;
mod error;
pub mod raw;
mod settings;
pub mod sflow;
pub mod template;

pub use error::{Fault, Reason};
pub use settings::Settings;
