//! The equations that must hold at rest.

use super::{Outcome, Tally};
use Outcome as O;

/// States that stand in the equations beside outcomes. They are read at the same moment as the tally.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Datagrams between receive and decode.
    pub datagrams_queued: u64,
    /// Sets awaiting their template.
    pub sets_awaiting: u64,
    /// Frames between a reader and dissecting.
    pub frames_queued: u64,
    /// Rows open in a shard, queued to the sink, in flight or spooled.
    pub rows_open: u64,
    /// Fragments that wait for the rest of their packet.
    pub fragments_waiting: u64,
}

/// One equation and whether it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Law {
    /// What it says.
    pub name: &'static str,
    /// Left side.
    pub left: u64,
    /// Right side.
    pub right: u64,
}

impl Law {
    /// Whether both sides are equal.
    pub fn holds(&self) -> bool {
        self.left == self.right
    }
}

/// The laws of a collector: datagrams received, datagrams routed, sets, records, flow records, frames, rows, fragments.
pub fn laws(t: &Tally, g: &Gauges) -> Vec<Law> {
    let sum = |list: &[Outcome]| list.iter().map(|&o| t.count(o)).sum::<u64>();
    vec![
        Law {
            name: "datagrams received = routed + refused + dropped",
            left: t.count(O::DatagramsReceived),
            right: sum(&[
                O::DatagramsRouted,
                O::DatagramsRefusedAcl,
                O::DatagramsRefusedExporterLimit,
                O::DatagramsDroppedQueue,
            ]),
        },
        Law {
            name: "datagrams routed = parsed + rejected + queued",
            left: t.count(O::DatagramsRouted),
            right: g.datagrams_queued
                + sum(&[
                    O::DatagramsParsed,
                    O::DatagramsRejectedVersion,
                    O::DatagramsRejectedShort,
                    O::DatagramsRejectedHeader,
                ]),
        },
        Law {
            name: "sets = decoded + rejected + expired + awaiting template",
            left: t.count(O::Sets),
            right: g.sets_awaiting
                + sum(&[
                    O::SetsDecoded,
                    O::SetsRejectedLength,
                    O::SetsRejectedTemplate,
                    O::SetsRejectedRecord,
                    O::SetsRejectedId,
                    O::SetsRejectedFormat,
                    O::SetsExpiredTemplate,
                ]),
        },
        Law {
            name: "records = options + counters + flow records",
            left: t.count(O::RecordsDecoded),
            right: sum(&[O::RecordsOptions, O::RecordsCounters, O::RecordsFlow]),
        },
        Law {
            name: "flow records + reverse + metered = rows",
            left: sum(&[O::RecordsFlow, O::RowsAddedReverse, O::RowsAddedMetered]),
            right: t.count(O::Rows),
        },
        frames(t, g),
        Law {
            name: "rows + recovered + replayed = acknowledged + shed + quarantined + damaged + lost + open",
            left: sum(&[O::Rows, O::RowsRecovered, O::RowsReplayed]),
            right: g.rows_open
                + sum(&[
                    O::RowsAcknowledged,
                    O::RowsShed,
                    O::RowsQuarantined,
                    O::RowsDamaged,
                    O::RowsLostShutdown,
                ]),
        },
        fragments(t, g),
    ]
}

fn frames(t: &Tally, g: &Gauges) -> Law {
    let ended = [
        O::FramesDroppedQueue,
        O::FramesDissected,
        O::FramesRejectedLinkType,
        O::FramesRejectedCut,
        O::FramesRejectedMalformed,
        O::FramesRejectedDeep,
        O::FramesRejectedBlock,
    ];
    Law {
        name: "frames captured = dissected + rejected + dropped + queued",
        left: t.count(O::FramesCaptured),
        right: g.frames_queued + ended.iter().map(|&o| t.count(o)).sum::<u64>(),
    }
}

fn fragments(t: &Tally, g: &Gauges) -> Law {
    let ended = [
        O::FragmentsJoined,
        O::FragmentsExpired,
        O::FragmentsEvicted,
        O::FragmentsRejected,
    ];
    Law {
        name: "fragments = joined + expired + evicted + rejected + waiting",
        left: t.count(O::Fragments),
        right: g.fragments_waiting + ended.iter().map(|&o| t.count(o)).sum::<u64>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uncounted_row_breaks_the_law() {
        let mut t = Tally::default();
        t.add(O::Rows, 2);
        t.add(O::RowsAcknowledged, 1);
        let broken = |g: &Gauges| laws(&t, g).iter().filter(|l| !l.holds()).count();
        // rows without flow records, and one row unaccounted for
        assert_eq!(broken(&Gauges::default()), 2);
        assert_eq!(
            broken(&Gauges {
                rows_open: 1,
                ..Default::default()
            }),
            1
        );
    }
}
