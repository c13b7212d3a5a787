//! Fragments to packets, segments to streams, streams to messages.
//!
//! Owns: what has to be kept of a conversation to read on ([`fragment`]: packets of which fragments are missing; [`stream`]: TCP segments that came too early;
//! [`app`]: what conversations say). All of it
//! has hard bounds, and what a bound costs is counted. Never: rows, clocks; time is that of the packets.

pub mod app;
pub mod fragment;
pub mod settings;
pub mod stream;

pub use settings::Settings;
