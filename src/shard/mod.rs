//! The loop: the only room that knows the order of the stages.
//!
//! Owns: [`ExportShard`] (datagrams to bundles: decode, enrich, aggregate, seal), [`CaptureShard`] (the same of frames: dissect,
//! meter), [`Worker`] and [`CaptureWorker`] (their threads), [`Lookout`] (what detectors get of them), [`Alarm`] (what becomes of what
//! rules raise).
//! Never: sockets, HTTP, the clock: time comes with the datagrams. Why: a shard meets no other, so a stage is a function call
//! and offline is the same code as online.

mod alarm;
mod back;
mod capture;
mod export;
mod found;
mod frames;
mod links;
mod lookout;
mod recent;
mod settings;
mod stray;
mod worker;

pub use alarm::{Alarm, AlarmWays, RulesChange};
pub use back::{Back, FACTS_MAX, Sealed};
pub use capture::CaptureShard;
pub use export::ExportShard;
pub use frames::CaptureWorker;
pub use lookout::{Guest, Lookout, Sighted, Sights};
/// Bytes that a shard takes at most for the conversations that rules have hit.
pub const FOUND_BYTES_MAX: usize = found::Found::BYTES_MAX;
pub use recent::{Kept, KeptFrame, Ring, RingSettings};
pub use settings::{SHARDS_MAX, Settings, Stages};
pub use stray::Stray;
pub use worker::{Cell, Change, ShardStats, State, Worker};
