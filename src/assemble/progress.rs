//! Whether every thread of the data path moves: what the watchdog is told.

/// How far a thread has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Its name.
    pub thread: String,
    /// Grows as long as it moves.
    pub rounds: u64,
    /// It stands still for a reason that a restart would not cure: the store does not take its rows.
    pub excused: bool,
}

/// What was seen when all of them moved last.
#[derive(Debug, Default)]
pub struct Progress {
    seen: Vec<u64>,
}

impl Progress {
    /// The threads that have not moved since all of them moved last; when there is none, that moment is now.
    pub fn stuck(&mut self, now: &[Pace]) -> Vec<String> {
        let before = |n: usize| self.seen.get(n).copied();
        let moved = |n: usize, p: &Pace| p.excused || before(n).is_none_or(|b| b != p.rounds);
        let stuck: Vec<String> = (now.iter().enumerate())
            .filter(|(n, p)| !moved(*n, p))
            .map(|(_, p)| p.thread.clone())
            .collect();
        if stuck.is_empty() {
            self.seen = now.iter().map(|p| p.rounds).collect();
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_have_to_move_and_waiting_for_the_store_is_no_standstill() {
        let pace = |rounds: [u64; 2], excused| {
            let list = ["receive-0", "shard-0"].iter().zip(rounds);
            let list = list.map(|(thread, rounds)| Pace {
                thread: (*thread).into(),
                rounds,
                excused: excused && *thread == "shard-0",
            });
            list.collect::<Vec<_>>()
        };
        let mut progress = Progress::default();
        assert!(
            progress.stuck(&pace([5, 5], false)).is_empty(),
            "the first look"
        );
        assert_eq!(progress.stuck(&pace([6, 5], false)), ["shard-0"]);
        assert_eq!(progress.stuck(&pace([9, 5], false)), ["shard-0"]);
        assert!(progress.stuck(&pace([9, 5], true)).is_empty());
        assert!(progress.stuck(&pace([10, 6], false)).is_empty());
        assert_eq!(
            progress.stuck(&pace([10, 6], false)),
            ["receive-0", "shard-0"]
        );
    }
}
