//! Directions of one conversation that are wrapped in different things.
//!
//! A mirror with a tag on one side, a port that a router answers from another VLAN, GTP with a TEID each way: what a packet
//! is wrapped in is a part of its key ([`crate::model::Envelope::scope`]), and yet its answer may be wrapped in something else. A packet
//! that nobody in its own network asked for is tied to the one conversation of the same addresses and ports of which the other
//! direction alone was seen. Where there are several of them, or TCP acknowledges something else, it stands alone; and a tie ends
//! as soon as one of the two networks has both directions.

use super::Meter;
use super::flow::{Flow, Stage};
use super::key::Way;
use super::table::Table;
use crate::model::{Index, PacketView};
use std::collections::BTreeMap;

/// Finds conversations whatever they are wrapped in. Nothing is kept as long as all of them are wrapped in the same.
#[derive(Debug, Default)]
pub(super) struct Ties {
    first: Option<u32>,
    index: Option<Index>,
    /// How many of the same ends are not kept, by their bare hash: as long as one of them lives, nobody knows whom an answer answers.
    unkept: BTreeMap<u64, u32>,
}

impl Ties {
    /// Most bytes that it takes for so many conversations.
    pub const fn bytes(flows_max: usize) -> usize {
        let unkept = flows_max / SAME_MAX * 2 * size_of::<(u64, u32)>();
        Index::bytes(flows_max) + unkept
    }

    /// A conversation in this scope begins. Returns whether it is the first that is wrapped in something else than the others.
    fn differs(&mut self, scope: u32) -> bool {
        let first = *self.first.get_or_insert(scope);
        let differs = self.index.is_none() && first != scope;
        if differs {
            self.index = Some(Index::new());
        }
        differs
    }

    /// Keeps a conversation by its bare hash, unless there are many of the same ends: an answer could be anybody's then.
    pub fn keep(&mut self, bare: impl FnOnce() -> u64, place: u32, same: impl Fn(u32) -> bool) {
        let Some(index) = &mut self.index else {
            return;
        };
        let bare = bare();
        if index.all(bare).filter(|&p| same(p)).count() < SAME_MAX {
            index.insert(bare, place);
        } else {
            *self.unkept.entry(bare).or_default() += 1;
        }
    }

    pub fn forget(&mut self, bare: impl FnOnce() -> u64, place: u32) {
        let Some(index) = &mut self.index else {
            return;
        };
        let bare = bare();
        if !index.remove(bare, place)
            && let Some(unkept) = self.unkept.get_mut(&bare)
        {
            *unkept -= 1;
            if *unkept == 0 {
                self.unkept.remove(&bare);
            }
        }
    }

    /// How many are kept.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.index.as_ref().map_or(0, Index::len) + self.unkept.len()
    }

    /// Places with this bare hash; none where there are more than are kept.
    fn all(&self, bare: impl FnOnce() -> u64) -> impl Iterator<Item = u32> + '_ {
        let index = self.index.as_ref().map(|index| (index, bare()));
        let index = index.filter(|(_, bare)| !self.unkept.contains_key(bare));
        index.into_iter().flat_map(|(index, bare)| index.all(bare))
    }
}

impl Meter {
    /// The place of a conversation that a packet answers from another network.
    #[inline(never)]
    pub(super) fn asked_elsewhere(&mut self, way: &Way, p: &PacketView<'_>) -> Option<u32> {
        let tcps = &self.tcps;
        let fits = |flow: &Flow, half: usize| match (p.tcp(), tcps.get(flow.tcp as usize)) {
            (Some(t), Some(tcp)) => flow.stage != Stage::Closed && tcp.is_answered_by(half, &t),
            (t, _) => t.is_none(),
        };
        let place = self.table.asked_elsewhere(way, fits)?;
        self.table.tie(place, way);
        Some(place)
    }
}

impl Table {
    /// The one conversation that a packet answers from another network, if `fits` has nothing against it. A packet for which none
    /// is found begins one.
    pub fn asked_elsewhere(
        &mut self,
        way: &Way,
        fits: impl Fn(&Flow, usize) -> bool,
    ) -> Option<u32> {
        let key = &way.key;
        if self.ties.differs(key.scope) {
            self.keep_all();
        }
        let asks = |&place: &u32| {
            let flow = self.get(place);
            let half = flow.half(way.is_low);
            flow.key.within(key.scope) == *key
                && !flow.halves[half].seen
                && flow.halves[1 - half].seen
                && fits(flow, half)
        };
        let mut found = self.ties.all(|| self.bare_hash(key)).filter(asks);
        let one = found.next()?;
        found.next().is_none().then_some(one)
    }

    /// From now on packets of this key and direction belong to a conversation, too.
    pub fn tie(&mut self, place: u32, way: &Way) {
        let flow = self.flow(place);
        (flow.tied, flow.tied_scope) = (Some(way.is_low), way.key.scope);
        self.insert_tied(way.hash, place);
    }

    /// Whether a packet belongs to a conversation of tied directions that was found for it. Where it shows that they are
    /// of two networks the tie ends.
    #[cold]
    pub fn is_tied_well(&mut self, place: u32, way: &Way) -> bool {
        let flow = self.get(place);
        let own = flow.key.scope == way.key.scope;
        if own != (flow.tied == Some(way.is_low)) {
            return true;
        }
        self.untie(place);
        own
    }
}

/// Most conversations of the same ends of which one may be the one that is answered.
const SAME_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::super::{Meter, Settings};
    use super::SAME_MAX;
    use crate::ledger::Book;
    use crate::model::{Envelope, FlowBatch, Handshake, TcpHeader, Tunnel, TunnelKind};
    use std::collections::BTreeMap;

    const SYN: u16 = TcpHeader::SYN;
    const ACK: u16 = TcpHeader::ACK;

    fn vlan(id: u16) -> Envelope {
        let mut e = Envelope::default();
        e.vlans.push(id);
        e
    }

    fn gtp(id: u32) -> Envelope {
        let mut e = Envelope::default();
        e.tunnels.push(Tunnel {
            kind: TunnelKind::Gtp,
            id,
            ..Default::default()
        });
        e
    }

    fn label(label: u32) -> Envelope {
        let mut e = Envelope::default();
        (e.mpls.entries[0], e.mpls.positions) = (label << 4 | 1, 1);
        e
    }

    fn bare() -> Envelope {
        Envelope::default()
    }

    /// Rows of packets, one a millisecond: what each is wrapped in, and whether it goes back.
    fn rows(packets: &[(Sample, Envelope, bool)]) -> FlowBatch {
        let mut meter = Meter::new(&Settings::default(), 0);
        let (mut out, mut book) = (FlowBatch::new(), Book::new(9));
        for (n, (sample, envelope, back)) in packets.iter().enumerate() {
            let mut sample = sample.clone().at(n as i64 + 1000);
            sample.envelope = envelope.clone();
            sample.frame = n as u64 + 1;
            let now = sample.time_ns;
            assert!(meter.advance(now, sample.frame, &mut out, &mut book));
            meter.packet(&sample.view(*back), &mut out, &mut book);
        }
        assert!(meter.finish(u64::MAX, &mut out, &mut book));
        assert_eq!(meter.table.ties.len(), 0);
        out
    }

    /// The packets of the rows of each conversation, in order.
    fn conversations(rows: &FlowBatch) -> Vec<Vec<u64>> {
        let ids = &rows.quality.as_ref().expect("measured").conversation;
        let mut all = BTreeMap::<u64, Vec<u64>>::new();
        for (id, packets) in ids.iter().zip(&rows.core.packets) {
            all.entry(*id).or_default().push(*packets);
        }
        let mut all: Vec<_> = all.into_values().collect();
        all.sort_unstable();
        all
    }

    /// A connection of which the one who asks is wrapped in one thing and who answers in another.
    fn connection(there: &Envelope, back: &Envelope) -> Vec<(Sample, Envelope, bool)> {
        let t = Sample::tcp;
        vec![
            (t().segment(SYN, 9, 0, b""), there.clone(), false),
            (t().segment(SYN | ACK, 99, 10, b""), back.clone(), true),
            (t().segment(ACK, 10, 100, b"ask"), there.clone(), false),
            (t().segment(ACK, 100, 13, b"answer"), back.clone(), true),
        ]
    }

    #[test]
    fn an_answer_from_another_network_is_of_the_same_conversation() {
        for (there, back) in [
            (bare(), vlan(0)),
            (vlan(0), bare()),
            (vlan(10), bare()),
            (bare(), vlan(10)),
            (vlan(10), vlan(20)),
            (gtp(7), gtp(9)),
            (label(100), label(200)),
            (gtp(7), bare()),
        ] {
            let out = rows(&connection(&there, &back));
            assert_eq!(conversations(&out), [[2, 2]], "{there:?} {back:?}");
            let q = out.quality.as_ref().expect("measured");
            assert_eq!(Handshake::from_number(q.handshake[0]), Handshake::Complete);
            assert_eq!((q.rtt_us[0], q.ttfb_us[1]), (1000, 1000));
            // each row has what its own direction is wrapped in
            let named = |e: &Envelope| e.vlans.as_slice().iter().any(|v| *v != 0);
            let c = &out.core;
            let has = |i: usize| out.row(i).has(crate::model::Field::Vlan);
            assert_eq!((has(0), has(1)), (named(&there), named(&back)));
            assert_eq!(
                c.vlan.first().copied().unwrap_or(0),
                *there.vlans.as_slice().first().unwrap_or(&0)
            );
        }
    }

    #[test]
    fn equal_addresses_of_two_networks_stay_apart() {
        for [a, b, c, d] in [
            [vlan(10), vlan(10), vlan(20), vlan(20)],
            [gtp(7), gtp(70), gtp(9), gtp(90)],
            [label(100), label(101), label(200), label(201)],
            [bare(), bare(), vlan(20), vlan(20)],
        ] {
            let one = connection(&a, &b);
            let mut two = connection(&c, &d);
            for (s, ..) in &mut two {
                let t = s.view(false).tcp().expect("TCP");
                let far = |n: u32| n.wrapping_add(0x4000_0000);
                let payload = s.bytes[20..].to_vec();
                *s = s.clone().segment(t.flags, far(t.seq), far(t.ack), &payload);
            }
            let both: Vec<_> = one.into_iter().zip(two).flat_map(|(x, y)| [x, y]).collect();
            let found = conversations(&rows(&both));
            assert_eq!(found, [[2, 2], [2, 2]], "{a:?}");
        }
    }

    #[test]
    fn one_direction_in_two_networks_is_two_conversations() {
        for (a, b) in [
            (gtp(7), gtp(9)),
            (label(100), label(200)),
            (vlan(1), vlan(2)),
        ] {
            let u = || Sample::udp(b"x");
            let packets = [
                (u(), a.clone(), false),
                (u(), b.clone(), false),
                (u(), a.clone(), false),
                // whose answer it is nobody can tell
                (u(), bare(), true),
            ];
            let found = conversations(&rows(&packets));
            assert_eq!(found, [[1], [1], [2]]);
        }
    }

    #[test]
    fn a_tie_ends_when_a_network_has_both_directions() {
        let u = || Sample::udp(b"x");
        let start = [(u(), vlan(10), false), (u(), vlan(20), true)];
        // so far it looks like an answer
        assert_eq!(conversations(&rows(&start)), [[1, 1]]);
        let mut tenth = start.to_vec();
        tenth.extend([
            (u(), vlan(10), true),
            (u(), vlan(20), false),
            (u(), vlan(20), true),
        ]);
        assert_eq!(conversations(&rows(&tenth)), [[1, 1], [1, 2]]);
        let mut twentieth = start.to_vec();
        twentieth.extend([(u(), vlan(20), false), (u(), vlan(20), true)]);
        assert_eq!(conversations(&rows(&twentieth)), [[1, 1], [1, 1]]);
    }

    #[test]
    fn what_acknowledges_something_else_is_no_answer() {
        let t = Sample::tcp;
        let packets = [
            (t().segment(SYN, 9, 0, b""), vlan(10), false),
            (t().segment(SYN | ACK, 99, 0x5000_0000, b""), vlan(20), true),
        ];
        assert_eq!(conversations(&rows(&packets)), [[1], [1]]);
    }

    /// Those that were answered take all the places that are kept: the one that is not kept may be asked, too.
    #[test]
    fn an_answer_where_more_ask_than_are_kept_stands_alone() {
        let u = || Sample::udp(b"x");
        let mut packets = vec![];
        for v in 1..SAME_MAX as u16 {
            packets.extend([(u(), vlan(v), false), (u(), vlan(v), true)]);
        }
        packets.extend([16, 17].map(|v| (u(), vlan(v), false)));
        packets.push((u(), vlan(117), true));
        let found = conversations(&rows(&packets));
        assert_eq!(found.iter().filter(|c| **c == [1, 1]).count(), SAME_MAX - 1);
        assert_eq!(found.iter().filter(|c| **c == [1]).count(), 3);
    }

    #[test]
    fn many_networks_with_the_same_ends_cost_no_more_than_few() {
        let u = || Sample::udp(b"x");
        let mut packets: Vec<_> = (1..4000).map(|v| (u(), vlan(v), false)).collect();
        packets.push((u(), bare(), true));
        assert_eq!(rows(&packets).len(), 4000);
    }
}
