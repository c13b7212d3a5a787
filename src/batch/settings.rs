//! When a bundle is sealed.

use serde::Deserialize;

/// `[batch]` of the configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Flow rows at which a bundle is sealed (default 100,000; at most 1,000,000: the store then makes one part of it).
    pub seal_rows: usize,
    /// Milliseconds after which a bundle is sealed however small it is (default 1,000): what a crash can cost. Up to
    /// eight times that while the store says that it has too many parts.
    pub seal_age_ms: u64,
    /// Most exporters whose inventory row is remembered as written (default 65,536); past it they are not announced, and counted.
    pub inventory_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            seal_rows: 100_000,
            seal_age_ms: 1_000,
            inventory_max: 65_536,
        }
    }
}
