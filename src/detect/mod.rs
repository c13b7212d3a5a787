//! What is found in traffic. Owns the languages that say what to look for, and the engines that look.
//! Never: capturing, reassembly, storing.

mod base64;
mod community_id;
pub mod eve;
pub mod signature;
pub mod suppression;

pub use community_id::community_id;
