//! Bounds of reassembly.

use serde::Deserialize;

/// `[reassemble.fragments]`: IP fragments that wait for the rest of their packet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FragmentSettings {
    /// Most packets of which fragments wait, of a shard; the oldest gives way. Default 4,096.
    pub packets_max: usize,
    /// Most bytes that wait, of a shard; the oldest packet gives way. Default 16 MiB.
    pub bytes_max: usize,
    /// Most fragments of one packet; further ones are refused. Default 2,048.
    pub pieces_max: usize,
    /// Seconds of packet time that fragments wait, from the first (RFC 8200 section 4.5). Default 60.
    pub wait_s: u32,
}

impl Default for FragmentSettings {
    fn default() -> Self {
        FragmentSettings {
            packets_max: 4096,
            bytes_max: 16 << 20,
            pieces_max: 2048,
            wait_s: 60,
        }
    }
}
