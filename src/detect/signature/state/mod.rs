//! What rules remember: bits and counters of flows, bits of hosts and pairs of hosts, and how often a rule has matched.
//!
//! Owns: [`Names`] and [`Memory`] (the conditions and changes of a rule, by number), [`FlowState`] (what belongs to one
//! flow, kept by its shard), [`Shared`] (what belongs to hosts and rules, and what rules add to lists: a table each for all shards),
//! [`Rates`] (thresholds and suppressions). Time is that of the packets. Never: packets, flow tables.

mod added;
mod flow;
mod memory;
mod rates;
mod shared;

pub(super) use added::ListedValue;
pub use flow::FlowState;
pub use memory::{Memory, Names};
pub use rates::{Rates, Verdict};
pub use shared::Shared;

use crate::model::Addr;

/// What of a packet counts for state: when it was captured, and between whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since 1970 UTC: Suricata counts no finer.
    pub now_us: i64,
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
}

impl Moment {
    /// Of a packet that was captured at `time_ns`.
    pub fn new(time_ns: i64, src: Addr, dst: Addr) -> Self {
        Self {
            now_us: time_ns.div_euclid(1_000),
            src,
            dst,
        }
    }

    /// Whole seconds, which is how long bits live.
    fn now_s(&self) -> i64 {
        self.now_us.div_euclid(1_000_000)
    }

    /// The two addresses, whichever way the packet went.
    fn pair(&self) -> (Addr, Addr) {
        (self.src.min(self.dst), self.src.max(self.dst))
    }
}

#[cfg(test)]
mod testing {
    use super::Moment;
    use crate::model::Addr;

    /// A packet at so many seconds from one host to another.
    pub fn at(seconds: f64, src: u8, dst: u8) -> Moment {
        let addr = |host| Addr::from_v4([10, 0, 0, host]);
        Moment::new((seconds * 1e9) as i64, addr(src), addr(dst))
    }
}
