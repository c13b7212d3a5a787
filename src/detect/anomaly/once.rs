//! Each flow once, however many observation points tell of it.
//!
//! Routers on one path each tell of a flow, and one that meters where packets come in and where they go out tells of it twice. The first observation
//! point (an exporter, with the side of its interfaces) that tells of one direction of a conversation counts, as long as it goes on telling: what
//! another one says of the same time, give or take a minute for clocks that differ (as the view `flows_once` has it), is known. One that samples fewer packets gives
//! way to one that sees more. Packets that are metered here always count, for they say more than rows.
//! Kept is the newest conversation of each place of a table of fixed size; as long as one point alone tells anything, nothing is looked up.

use super::Hashes;
use super::keyed::{ODD, both};
use super::pages::in_large_pages;
use super::sighting::FlowSeen;
use crate::model::prefetch;

#[derive(Debug)]
pub(super) struct Once {
    places: Vec<Told>,
    /// The point that told something first.
    first: Option<u32>,
    /// Whether another one did.
    several: bool,
    /// Conversations that gave way while somebody may still have told of them.
    gave_way: u64,
}

/// One direction of a conversation, and who tells of it.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    tag: u32,
    point: u32,
    /// 1 in N packets is seen there; 0 where nothing is told.
    interval: u32,
    /// Up to when it told, seconds since 1970 UTC.
    until_s: u32,
}

impl Once {
    pub fn new(places: usize) -> Self {
        let mut all = in_large_pages(rounded(places));
        all.resize(rounded(places), Told::default());
        Once {
            places: all,
            first: None,
            several: false,
            gave_way: 0,
        }
    }

    /// Conversations that gave way too early, and none that found no room.
    pub fn lost(&self) -> (u64, u64) {
        (self.gave_way, 0)
    }

    pub fn bytes(places: usize) -> usize {
        rounded(places) * size_of::<Told>()
    }

    pub fn clear(&mut self) {
        self.places.fill(Told::default());
        (self.first, self.several) = (None, false);
    }

    /// Calls for what a row will need.
    #[inline]
    pub fn call(&self, h: Hashes, f: &FlowSeen) {
        if self.several {
            prefetch(&self.places[self.place(key((h.src, h.dst), (f.src_port, f.dst_port), f))]);
        }
    }

    /// Whether another observation point told of what a row says; else this one counts from now on.
    #[inline]
    pub fn is_again(&mut self, f: &FlowSeen, h: Hashes, now_ms: i64) -> bool {
        let point = point(f);
        if !self.several {
            self.several = *self.first.get_or_insert(point) != point;
            if !self.several {
                return false;
            }
        }
        let there = key((h.src, h.dst), (f.src_port, f.dst_port), f);
        if f.metered {
            let back = key((h.dst, h.src), (f.dst_port, f.src_port), f);
            self.tells(now_ms, f, (back, point));
        }
        self.tells(now_ms, f, (there, point))
    }

    #[inline]
    fn tells(&mut self, now_ms: i64, f: &FlowSeen, (key, point): (u64, u32)) -> bool {
        let at = self.place(key);
        let (told, tag) = (&mut self.places[at], (key >> 32) as u32);
        // a clock that is ahead claims nothing of what is to come
        let until_s = seconds(f.end_ms.min(now_ms));
        let same = told.interval > 0 && told.tag == tag;
        if same && told.point != point && !f.metered {
            let known = seconds(f.start_ms) <= told.until_s.saturating_add(APART_S);
            if known && f.interval >= told.interval {
                return true;
            }
        }
        let before_s = if same { told.until_s } else { 0 };
        let is_fresh = told.until_s.saturating_add(APART_S) >= seconds(now_ms);
        self.gave_way += u64::from(!same && told.interval > 0 && is_fresh);
        *told = Told {
            tag,
            point,
            interval: f.interval.max(1),
            until_s: until_s.max(before_s),
        };
        false
    }

    #[inline]
    fn place(&self, key: u64) -> usize {
        key as usize & (self.places.len() - 1)
    }
}

/// Of hashes of both ends, their ports, and the protocol.
#[inline]
fn key((src, dst): (u64, u64), (src_port, dst_port): (u16, u16), f: &FlowSeen) -> u64 {
    let ports = match f.proto {
        // echo messages both ways have one type each
        1 | 58 => f.icmp.into(),
        _ => u64::from(src_port) << 16 | u64::from(dst_port),
    };
    let what = ports << 8 | u64::from(f.proto);
    both(src, dst, what)
}

/// A number of an exporter and the side of its interfaces on which it meters; of packets that are metered here one for all.
#[inline]
fn point(f: &FlowSeen) -> u32 {
    if f.metered {
        return u32::MAX;
    }
    let exporter = u128::from_be_bytes(f.exporter.0);
    let folded = (exporter as u64 ^ (exporter >> 64) as u64).wrapping_mul(ODD);
    (folded >> 33) as u32 * 2 + u32::from(f.at_egress)
}

fn seconds(ms: i64) -> u32 {
    u32::try_from(ms.div_euclid(1_000).max(0)).unwrap_or(u32::MAX)
}

fn rounded(places: usize) -> usize {
    (places * PLACES_EACH).next_power_of_two()
}

/// Directions of conversations for each place of other tables.
const PLACES_EACH: usize = 4;
/// Clocks of exporters differ by less, and routes that change are silent for less, seconds.
const APART_S: u32 = 60;

#[cfg(test)]
mod tests {
    use super::super::{Detectors, Seen, Settings, Sighting};
    use super::*;
    use crate::model::{Addr, DetectionKind, RowPlace};

    /// What is found last in rows, each of which is told so many seconds later by each of some points.
    fn found(rows: &[FlowSeen], points: &[(u8, bool, i64)]) -> Option<(DetectionKind, u64)> {
        let mut detectors = Detectors::new(&Settings::default()).expect("defaults");
        let mut all: Vec<(i64, FlowSeen)> = vec![];
        for f in rows {
            for (exporter, at_egress, later_s) in points {
                let mut f = f.clone();
                (f.exporter, f.at_egress) = (Addr::from_v4([192, 0, 2, *exporter]), *at_egress);
                f.start_ms += later_s * 100;
                f.end_ms += later_s * 100;
                all.push((f.end_ms + later_s * 1_000, f));
            }
        }
        all.sort_by_key(|(now_ms, f)| (*now_ms, f.exporter.0, f.at_egress));
        for (n, (now_ms, f)) in all.into_iter().enumerate() {
            let (place, seen) = (RowPlace::at(n as u64), Seen::Flow(f));
            detectors.observe(&Sighting {
                place,
                now_ms,
                seen,
            });
        }
        detectors.finish();
        detectors.take().pop().map(|d| (d.kind, d.count))
    }

    /// Calls of a place each so many seconds, both directions.
    fn calls(n: u64, each_s: i64, server: ([u8; 4], u16)) -> Vec<FlowSeen> {
        let rows = |i: u64| {
            let start_ms = NOW_MS + i as i64 * each_s * 1_000 + (i as i64 * 37) % 5;
            let port = 40_000 + (i * 7 % 20_000) as u16;
            let there = FlowSeen {
                src: Addr::from_v4([10, 0, 0, 9]),
                dst: Addr::from_v4(server.0),
                src_port: port,
                dst_port: server.1,
                proto: 6,
                tcp_flags: Some(0x1b),
                bytes: 1_900,
                packets: 12,
                interval: 1,
                start_ms,
                end_ms: start_ms + 400,
                ..FlowSeen::default()
            };
            let mut back = there.clone();
            (back.src, back.dst) = (there.dst, there.src);
            (back.src_port, back.dst_port) = (there.dst_port, there.src_port);
            (back.bytes, back.packets) = (2_300, 11);
            [there, back]
        };
        (0..n).flat_map(rows).collect()
    }

    #[test]
    fn what_two_points_tell_is_judged_once() {
        let beacon = calls(40, 60, ([198, 51, 100, 7], 443));
        assert_eq!(
            found(&beacon, &[(1, false, 0)]),
            Some((DetectionKind::Beacon, 40))
        );
        for points in [
            vec![(1, false, 0), (2, false, 1)],
            vec![(1, false, 0), (1, true, 0)],
            vec![(1, false, 0), (2, false, 5), (3, false, 9)],
        ] {
            // the first row of all came before it was known that there are several
            let (kind, count) = found(&beacon, &points).expect("found as well");
            assert_eq!(kind, DetectionKind::Beacon, "{points:?}");
            assert!((40..=41).contains(&count), "{points:?}: {count}");
        }
        // what is done each minute is no guess because two routers see it
        let poll = calls(120, 60, ([10, 0, 1, 2], 22));
        assert_eq!(found(&poll, &[(1, false, 0)]), None);
        assert_eq!(found(&poll, &[(1, false, 0), (2, false, 1)]), None);
    }

    #[test]
    fn who_counts_gives_way_when_silent_and_to_who_sees_more() {
        let mut once = Once::new(64);
        let row = |exporter: u8, start_s: i64, interval: u32| FlowSeen {
            src: Addr::from_v4([10, 0, 0, 1]),
            dst: Addr::from_v4([10, 0, 0, 2]),
            proto: 17,
            interval,
            exporter: Addr::from_v4([192, 0, 2, exporter]),
            start_ms: NOW_MS + start_s * 1_000,
            end_ms: NOW_MS + start_s * 1_000 + 30_000,
            ..FlowSeen::default()
        };
        let mut told = |f: FlowSeen| {
            let h = Hashes {
                src: 5,
                dst: 9,
                ..Hashes::default()
            };
            once.is_again(&f, h, f.end_ms)
        };
        // the first exporter alone, and the second one beside it
        assert!(!told(row(1, 0, 1)));
        assert!(!told(row(2, 0, 1)));
        assert!(told(row(1, 0, 1)));
        assert!(told(row(1, 80, 1)));
        assert!(!told(row(2, 30, 1)));
        assert!(told(row(1, 110, 1)));
        // the second one is silent for a minute
        assert!(!told(row(1, 130, 1)));
        assert!(told(row(2, 130, 1)));
        // somebody who samples tells nothing new, and gives way where it was first
        assert!(told(row(3, 140, 100)));
        assert!(!told(row(3, 400, 100)));
        assert!(!told(row(2, 400, 1)));
        assert!(told(row(3, 400, 100)));
        // packets of our own always count, and rows of the same conversation then do not
        let mut ours = row(0, 420, 1);
        ours.metered = true;
        assert!(!told(ours.clone()));
        assert!(told(row(2, 430, 1)));
        // times that cannot be
        let mut hostile = row(4, 0, 0);
        (hostile.start_ms, hostile.end_ms) = (i64::MIN, i64::MAX);
        told(hostile);
    }

    #[test]
    fn what_gives_way_too_early_is_counted() {
        let mut once = Once::new(16);
        let mut tell = |exporter: u8, n: u64, now_ms: i64| {
            let f = FlowSeen {
                exporter: Addr::from_v4([192, 0, 2, exporter]),
                interval: 1,
                start_ms: now_ms,
                end_ms: now_ms,
                ..FlowSeen::default()
            };
            let h = Hashes {
                src: n.wrapping_mul(ODD),
                dst: n.wrapping_mul(ODD).rotate_left(17),
                ..Hashes::default()
            };
            once.is_again(&f, h, now_ms);
            once.lost().0
        };
        // one alone is not remembered, and a few have room
        (0..500).for_each(|n| assert_eq!(tell(1, n, NOW_MS), 0));
        assert_eq!(tell(2, 1, NOW_MS), 0);
        let crowded = (0..500).map(|n| tell(2, n, NOW_MS)).last();
        assert!(crowded >= Some(400), "{crowded:?}");
        // what nobody can tell of any more is no loss
        assert_eq!(tell(2, 1_000, NOW_MS + 120_000), crowded.unwrap_or(0));
    }

    const NOW_MS: i64 = 1_700_000_000_000;
}
