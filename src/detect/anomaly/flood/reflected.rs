//! When answers that nobody asked for are a flood.

use super::super::reflectors;
use super::cause::Cause;
use super::judge::How;
use super::victim::Victim;

impl Victim {
    /// How many services answered that were not asked, and by which rule that is a flood.
    pub fn is_reflected(&self, reflectors: u32, how: How) -> (u32, Option<Cause>) {
        let (answer, asked) = (self.reflectors.count(), self.asked());
        if self.asked_all {
            return (0, None);
        }
        let unasked = answer.saturating_sub(asked + self.chance(answer, asked));
        let sure = self.sure(self.reflected);
        let (packets, bytes) = (
            self.reflected as f64 * sure,
            self.reflected_bytes as f64 * sure,
        );
        // where nothing of what it sends was seen, what is as small as a usual answer may be one; some questions are seen by chance alone
        let is_blind = self.sent == 0 && asked <= answer / 20;
        let most = self.most();
        let is_dns = most.is_some_and(|(port, _)| port == DNS);
        let small = match is_blind {
            false => 0.0,
            // nobody's questions are seen: a resolver is answered by thousands
            true if self.is_one_way(how) && is_dns => USUAL_ANSWER,
            true => SMALL_ANSWER,
        };
        let is_small = bytes < small * packets;
        let many = unasked >= reflectors && packets >= f64::from(2 * reflectors) && !is_small;
        let amplifies = most.is_some_and(|(port, n)| {
            reflectors::is_strong(port) && n.saturating_mul(2) >= self.reflected
        });
        // who polls sees large answers of few services, and exporters that tell of what comes in alone do not show that it asked
        let strong = !(is_blind && how.scale > 1) && amplifies && packets >= STRONG_PACKETS;
        let large = bytes >= LARGE_BYTES as f64 && !is_small;
        // so does who is at the end of a tunnel
        let huge = bytes >= HUGE_BYTES && (amplifies || !(is_blind && self.is_one_way(how)));
        let cause = match () {
            () if many => Some(Cause::Services),
            () if large && unasked >= FEW_REFLECTORS => Some(Cause::Answers),
            () if large && unasked > 0 && strong => Some(Cause::Strong),
            () if huge && unasked > 0 => Some(Cause::Huge),
            () => None,
        };
        (unasked, cause)
    }
}

/// So many bytes of so few services are a flood, too.
pub(super) const LARGE_BYTES: u64 = 2_000_000;
pub(super) const FEW_REFLECTORS: u32 = 5;
/// Answers of a service that makes most of a question within a minute.
pub(super) const STRONG_PACKETS: f64 = 1_000.0;
/// So many within a minute are one of a single service.
pub(super) const HUGE_BYTES: f64 = 20_000_000.0;
/// Bytes of an answer that amplifies nothing.
const SMALL_ANSWER: f64 = 100.0;
/// Most bytes of an answer of DNS as it was once for all, with its headers: most of now are smaller, and those of floods larger.
const USUAL_ANSWER: f64 = 540.0;
const DNS: u16 = 53;
