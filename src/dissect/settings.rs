//! Limits of dissecting.

use serde::Deserialize;

/// How far into a frame is looked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Most tunnels that are entered on the way to the innermost packet, 0 to 8; what is deeper belongs to the packet
    /// around it.
    pub tunnel_depth_max: u8,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            tunnel_depth_max: 4,
        }
    }
}
