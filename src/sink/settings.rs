//! How rows are shipped.

use super::native::Compression;
use super::null::Effort;
use serde::Deserialize;

/// `[sink]`: limits of delivery.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where rows go: `clickhouse` (default), or nowhere, for measuring: `encode` (encoded, then thrown away) or `drop`.
    pub kind: Kind,
    /// `lz4` (default) or `none` (a store on the same machine).
    pub compression: Compression,
    /// Sealed bundles that may wait for the encoder; when they do, shards wait, and then receive drops and counts.
    pub queue_max: usize,
    /// INSERTs in flight for one table, retries included.
    pub in_flight_max: usize,
    /// How often the store may refuse the same rows for good, or with an error nobody knows, before they are
    /// quarantined.
    pub refusals_max: u32,
    /// First pause after a failure, milliseconds; it doubles with every further one, less a random part.
    pub backoff_ms: u64,
    /// Longest pause, milliseconds.
    pub backoff_max_ms: u64,
    /// How long the store may take no bytes, seconds.
    pub send_timeout_s: u64,
    /// How long the store may take to answer an INSERT, seconds.
    pub insert_timeout_s: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            kind: Kind::ClickHouse,
            compression: Compression::Lz4,
            queue_max: 8,
            in_flight_max: 4,
            refusals_max: 5,
            backoff_ms: 100,
            backoff_max_ms: 5_000,
            send_timeout_s: 30,
            insert_timeout_s: 180,
        }
    }
}

/// Where rows go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Into ClickHouse.
    #[default]
    ClickHouse,
    /// Encoded, then thrown away.
    Encode,
    /// Thrown away as they are sealed.
    Drop,
}

impl Kind {
    /// Whether rows go nowhere.
    pub fn discards(self) -> bool {
        self != Kind::ClickHouse
    }

    /// What a null sink does for this kind; `None` where there is a real one.
    pub fn effort(self, compression: Compression) -> Option<Effort> {
        match self {
            Kind::ClickHouse => None,
            Kind::Encode => Some(Effort::Encode(compression)),
            Kind::Drop => Some(Effort::Drop),
        }
    }
}
