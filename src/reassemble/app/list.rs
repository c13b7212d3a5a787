//! All recognisers, and who of them is right.

use super::dns;
use super::peek::{Confidence, Peek, Recogniser, TCP, UDP, Verdict, Wire};
use crate::model::AppProto;

/// Every recogniser. Of equal confidence the first one counts.
const RECOGNISERS: &[Recogniser] = &[Recogniser {
    wires: TCP | UDP,
    ports: &[53, 5353, 5355],
    recognise: dns::recognise,
}];

/// Recognisers that said no.
pub(super) type Out = u128;

/// What all of them say.
pub(super) enum Finding {
    Is(AppProto, Confidence),
    /// Nobody knows it.
    None,
    /// Somebody wants more.
    More,
}

/// Asks those whose usual port it is, then all others; those in `out` are not asked.
pub(super) fn find(peek: &Peek<'_>, out: &mut Out) -> Finding {
    let mut waits = false;
    for usual in [true, false] {
        let mut best: Option<(AppProto, Confidence)> = None;
        for (n, r) in RECOGNISERS.iter().enumerate() {
            let here = r.ports.iter().any(|&port| peek.has_port(port));
            if here != usual || *out >> n & 1 == 1 || !r.is_for(peek.transport) {
                continue;
            }
            match (r.recognise)(peek) {
                Verdict::Is(proto, sure) if best.is_none_or(|b| b.1 < sure) => {
                    best = Some((proto, sure));
                }
                Verdict::Is(..) => {}
                Verdict::More => waits = true,
                Verdict::No if peek.transport == Wire::Tcp => *out |= 1 << n,
                Verdict::No => {}
            }
        }
        if let Some((proto, sure)) = best {
            return Finding::Is(proto, sure);
        }
        // nobody else is asked before the usual one knows
        if waits {
            break;
        }
    }
    match waits {
        true => Finding::More,
        false => Finding::None,
    }
}

const _: () = assert!(RECOGNISERS.len() <= 128, "one bit each");
