//! What is found in traffic. Owns the languages that say what to look for and, as they come, the engines that look.
//! Never: capturing, reassembly, storing. Rules are read and proven, and what alerts say and rules remember is here; nothing matches packets yet.

mod base64;
mod community_id;
pub mod eve;
pub mod signature;
pub mod suppression;

pub use community_id::community_id;
