//! What survives a restart of the process: where exporters meter. A small versioned JSON text; a damaged or hostile one is an error and
//! changes nothing.

use super::Usage;
use crate::model::Addr;
use serde::{Deserialize, Serialize};

/// Why a saved state was not taken.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not what [`Usage::save`] writes.
    #[error("saved metering sides are damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// Written by another version.
    #[error("saved metering sides have format {0}, expected {FORMAT}")]
    Format(u32),
}

#[derive(Serialize, Deserialize)]
struct Saved {
    format: u32,
    exporters: Vec<([u8; 16], Interfaces)>,
}

/// ifIndex, 1 ingress + 2 egress.
type Interfaces = Vec<(u32, u8)>;

impl Usage {
    /// Where exporters meter. Same state, same bytes.
    pub fn save(&self) -> Vec<u8> {
        let known = self.metered().known().into_iter();
        let state = Saved {
            format: FORMAT,
            exporters: known.map(|(addr, sides)| (addr.0, sides)).collect(),
        };
        serde_json::to_vec(&state).unwrap_or_default()
    }

    /// Takes a saved state for the exporters that are `mine` (a shard's), as far as there is room; `now_ms` is the time of receipt that it
    /// holds for (ms since 1970).
    ///
    /// # Errors
    /// When it is damaged or of another format; then nothing changes.
    pub fn restore(
        &mut self,
        bytes: &[u8],
        now_ms: i64,
        mine: impl Fn(Addr) -> bool,
    ) -> Result<(), StateError> {
        let saved: Saved = serde_json::from_slice(bytes)?;
        if saved.format != FORMAT {
            return Err(StateError::Format(saved.format));
        }
        for (addr, sides) in saved.exporters {
            if mine(Addr(addr)) && self.metered().exporters() < self.exporters_max() {
                self.metered_mut().recall(Addr(addr), &sides, now_ms);
            }
        }
        Ok(())
    }
}

const FORMAT: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Settings;
    use crate::model::InterfaceSide::Ingress;

    #[test]
    fn damaged_states_change_nothing() {
        let mut usage = Usage::new(&Settings::default());
        let a = Addr::from_v4([192, 0, 2, 1]);
        let n = usage.metered_mut().number(a);
        usage.metered_mut().learn(n, 7, Ingress);
        let bytes = usage.save();
        let mut again = Usage::new(&Settings::default());
        for end in 0..bytes.len() {
            assert!(again.restore(&bytes[..end], 0, |_| true).is_err());
        }
        let other = String::from_utf8(bytes.clone())
            .expect("text")
            .replace(":1,", ":9,");
        assert!(matches!(
            again.restore(other.as_bytes(), 0, |_| true),
            Err(StateError::Format(9))
        ));
        again.restore(&bytes, 0, |_| false).expect("whole");
        assert_eq!(again.metered().exporters(), 0);
        again.restore(&bytes, 0, |_| true).expect("whole");
        assert_eq!(again.save(), bytes);
        let few = Settings {
            exporters_max: 0,
            ..Settings::default()
        };
        let mut again = Usage::new(&few);
        again.restore(&bytes, 0, |_| true).expect("whole");
        assert_eq!(again.metered().exporters(), 0);
    }
}
