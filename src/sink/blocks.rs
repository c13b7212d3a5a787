//! How many blocks a table has taken: by that its store forgets tokens, not by time.
//!
//! ClickHouse remembers the tokens of the last so many blocks of a table, whoever wrote them, and numbers its blocks by one counter
//! for the whole table (measured with the engine: partitions share it, a block that is skipped takes a number, too, merges take none).
//! So the distance of two numbers is at least what was written between them. Replicated tables number by partition, and forget by time, too.

/// How far a table had come when somebody looked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Blocks {
    /// Server and table.
    pub(super) place: String,
    /// Blocks whose tokens it remembers.
    pub(super) window: u64,
    /// The highest number of a block.
    pub(super) taken: u64,
}

impl Blocks {
    /// Why a token of that time may be forgotten now; `None` where it surely is not. Half of the window is left for what was
    /// written between the look and the section, and for rollups that get two blocks for one.
    pub(super) fn forgotten(&self, now: &Blocks) -> Option<String> {
        if self.place != now.place || now.taken < self.taken {
            return Some("the table is another one than the one it was sent to".into());
        }
        let since = now.taken - self.taken;
        (since > now.window / 2).then(|| {
            format!(
                "the table has taken up to {since} blocks since, and remembers the tokens of {}",
                now.window
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_forgotten_by_blocks() {
        let at = |taken| Blocks {
            place: "server/table".into(),
            window: 10_000,
            taken,
        };
        assert_eq!(at(70).forgotten(&at(70)), None);
        assert_eq!(at(70).forgotten(&at(5_070)), None);
        let why = at(70).forgotten(&at(5_071)).expect("too many");
        assert!(why.contains("5001 blocks"), "{why}");
        // truncated, restored, or made anew
        assert!(at(70).forgotten(&at(69)).is_some());
        let other = Blocks {
            place: "server/other".into(),
            ..at(71)
        };
        assert!(at(70).forgotten(&other).is_some());
        // an engine without a window remembers nothing
        let none = Blocks {
            window: 0,
            ..at(71)
        };
        assert!(at(70).forgotten(&none).is_some());
    }
}
