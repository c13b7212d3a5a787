//! What is found in traffic. Owns the languages that say what to look for and, as they come, the engines that look.
//! Never: capturing, reassembly, storing. So far rules are read and proven; nothing matches packets yet.

pub mod signature;
