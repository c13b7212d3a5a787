//! What is found in traffic. Owns the languages that say what to look for, and the engines that look.
//! Never: capturing, reassembly, storing. [`anomaly`] finds by behaviour, of exported and metered flows alike; what it finds grows into
//! incidents.

pub mod anomaly;
mod base64;
mod community_id;
pub mod eve;
mod incident;
pub mod signature;
pub mod suppression;

pub use community_id::community_id;
