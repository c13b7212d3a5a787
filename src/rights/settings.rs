//! Settings of rights.

use serde::Deserialize;

/// `[privileges]`: who the collector becomes once its sockets are open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Account to change to when started as root. Default: `flowhouse`; where there is no such account the collector stays
    /// root with a warning and few capabilities. `root` stays root without a warning.
    pub user: Option<String>,
    /// Group to change to. Default: the account's own.
    pub group: Option<String>,
}
