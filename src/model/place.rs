//! The order of rows in `flows.ndjson`.

/// Where a row belongs among those of all shards: by the frame that caused it; rows that time closed come before those
/// that the frame itself ended, in order of expiry and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowPlace {
    /// Number of the frame over all inputs, from 1.
    pub frame: u64,
    /// When the flow expired, in a unit of who made the row; the largest number where no time closed it.
    pub expiry: i64,
    /// The key of the flow; zeros where no time closed it.
    pub key: [u8; 41],
}

impl RowPlace {
    /// Of a row that a frame caused.
    pub const fn at(frame: u64) -> Self {
        RowPlace {
            frame,
            expiry: i64::MAX,
            key: [0; 41],
        }
    }
}
