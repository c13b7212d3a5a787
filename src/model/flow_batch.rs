//! Columns of flow records, filled by decode and read by every later stage.

use super::columns::*;
use super::{Field, FlowRow, Provenance, RowFlags};

/// Rows a batch is made for. A single datagram may take it past this; the shard starts the next one after it.
pub const FLOW_BATCH_ROWS: usize = 8192;

/// Most bytes of texts a batch holds; past it texts are cut.
pub const TEXT_ARENA_MAX: usize = 1 << 20;

/// Most bytes of one text.
pub const TEXT_VALUE_MAX: usize = 255;

/// Most AS numbers the paths of one batch hold.
const PATH_ARENA_MAX: usize = 1 << 18;

/// Most provenances in a batch (they are indexed by 16 bits).
const PROVENANCES_MAX: usize = u16::MAX as usize;

macro_rules! groups {
    ($($(#[$doc:meta])* $field:ident, $make:ident: $ty:ty;)*) => {
        /// A struct of columns. `core` is always there, the other groups only where something wrote them.
        ///
        /// Rows are written in steps: extend some columns, then [`FlowBatch::commit`], which aligns all others.
        #[derive(Debug, Default, Clone)]
        pub struct FlowBatch {
            rows: usize,
            /// The core group.
            pub core: CoreColumns,
            $($(#[$doc])* pub $field: Option<Box<$ty>>,)*
            /// Bytes of all texts.
            pub texts_arena: Vec<u8>,
            /// AS numbers of all paths.
            pub path_arena: Vec<u32>,
            provenances: Vec<Provenance>,
            spare: Spare,
        }

        /// Bytes that a row takes in all groups beside the core.
        const GROUPS_ROW_BYTES: usize = 0 $(+ <$ty>::ROW_BYTES)*;

        /// Groups that an earlier use of the batch allocated.
        #[derive(Debug, Default, Clone)]
        struct Spare { $($field: Option<Box<$ty>>,)* }

        impl FlowBatch {
            $(
                /// The group, made on first use with all earlier rows absent.
                pub fn $make(&mut self) -> &mut $ty {
                    let (rows, spare) = (self.rows, &mut self.spare.$field);
                    self.$field.get_or_insert_with(|| {
                        let mut group = spare.take().unwrap_or_default();
                        group.align(rows);
                        group
                    })
                }
            )*

            /// Forgets all rows, keeps the memory for the next use (up to twice the usual size).
            pub fn clear(&mut self) {
                self.rows = 0;
                self.core.clear();
                self.core.shrink(2 * FLOW_BATCH_ROWS);
                $(if let Some(mut group) = self.$field.take() {
                    group.clear();
                    group.shrink(2 * FLOW_BATCH_ROWS);
                    self.spare.$field = Some(group);
                })*
                self.texts_arena.clear();
                self.path_arena.clear();
                self.provenances.clear();
            }

            /// Writes a second copy behind each of the last committed rows whose `twice` is set (one value a row, to
            /// the end of the batch) and returns how many were added.
            pub fn spread(&mut self, twice: &[bool]) -> usize {
                let added = twice.iter().filter(|t| **t).count();
                let first = self.rows - twice.len();
                if added > 0 {
                    self.core.spread(first, twice);
                    $(if let Some(group) = &mut self.$field { group.spread(first, twice); })*
                    self.rows += added;
                }
                added
            }

            fn align(&mut self, rows: usize) {
                self.core.align(rows);
                $(if let Some(group) = &mut self.$field { group.align(rows); })*
            }
        }
    };
}

groups! {
    /// Address translation.
    nat, nat_mut: NatColumns;
    /// Firewall events.
    firewall, firewall_mut: FirewallColumns;
    /// Layer 2.
    layer2, layer2_mut: Layer2Columns;
    /// Rarer link attributes.
    link, link_mut: LinkColumns;
    /// Counters beside bytes and packets.
    counters, counters_mut: CounterColumns;
    /// Routing.
    bgp, bgp_mut: BgpColumns;
    /// Label stacks.
    mpls, mpls_mut: MplsColumns;
    /// Named networks and countries.
    nets, nets_mut: NetColumns;
    /// What left with another class.
    egress, egress_mut: EgressColumns;
    /// What a meter of packets measures.
    quality, quality_mut: QualityColumns;
    /// What packets said.
    spoken, spoken_mut: SpokenColumns;
    /// Tunnels.
    tunnel, tunnel_mut: TunnelColumns;
    /// Detections.
    found, found_mut: FoundColumns;
    /// Texts.
    texts, texts_mut: TextColumns;
}

impl FlowBatch {
    /// Most bytes of a batch with `rows` rows, all groups and texts there.
    pub const fn bytes_max(rows: usize) -> usize {
        let row = CoreColumns::ROW_BYTES + GROUPS_ROW_BYTES + size_of::<Provenance>();
        rows * row + TEXT_ARENA_MAX + PATH_ARENA_MAX * size_of::<u32>()
    }

    /// An empty batch with room for [`FLOW_BATCH_ROWS`] rows of the core group.
    pub fn new() -> Self {
        FlowBatch {
            core: CoreColumns::with_capacity(FLOW_BATCH_ROWS + 512),
            ..Default::default()
        }
    }

    /// Committed rows.
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether no row is committed.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether the next datagram belongs into a fresh batch.
    #[inline(always)]
    pub fn is_full(&self) -> bool {
        self.rows >= FLOW_BATCH_ROWS || self.provenances.len() >= PROVENANCES_MAX
    }

    /// Adds the provenance of the rows to come; its index goes into the `provenance` column. The shard starts a new
    /// batch before the index runs out ([`FlowBatch::is_full`]).
    pub fn push_provenance(&mut self, p: Provenance) -> u16 {
        debug_assert!(self.provenances.len() < PROVENANCES_MAX);
        self.provenances.push(p);
        (self.provenances.len() - 1) as u16
    }

    /// All provenances, in order of arrival.
    pub fn provenances(&self) -> &[Provenance] {
        &self.provenances
    }

    /// The provenance of row `i`.
    #[inline(always)]
    pub fn provenance_of(&self, i: usize) -> &Provenance {
        &self.provenances[self.core.provenance[i] as usize]
    }

    /// Ends a step: `n` more rows are there, columns that the step did not write get default values, and columns
    /// that were written past them are cut.
    #[inline]
    pub fn commit(&mut self, n: usize) {
        self.rows += n;
        self.align(self.rows);
    }

    /// Keeps the first `rows` committed rows.
    pub fn truncate(&mut self, rows: usize) {
        self.rows = self.rows.min(rows);
        self.align(self.rows);
    }

    /// Moves every time by the same amount (`replay --store`): flow times, export times, times of receipt.
    pub fn shift_times(&mut self, ms: i64) {
        // clocks of exporters hold anything: the ends of the range stay where they are
        let shift = |at: &mut i64, there: bool| {
            if there {
                *at = at.saturating_add(ms);
            }
        };
        let c = &mut self.core;
        for (i, present) in c.present.iter().enumerate() {
            shift(&mut c.start_ms[i], present & Field::StartMs.bit() != 0);
            shift(&mut c.end_ms[i], present & Field::EndMs.bit() != 0);
        }
        if let Some(firewall) = &mut self.firewall {
            for (at, present) in firewall.event_ms.iter_mut().zip(&c.present) {
                shift(at, present & Field::EventMs.bit() != 0);
            }
        }
        if let Some(counters) = &mut self.counters {
            (0..counters.booked_to_ms.len()).for_each(|i| counters.shift_booked(i, ms));
        }
        for p in &mut self.provenances {
            p.received_at_ns = p
                .received_at_ns
                .saturating_add(ms.saturating_mul(1_000_000));
            let there = p.exported_at_ms != 0;
            shift(&mut p.exported_at_ms, there);
        }
    }

    /// All rows were received at this time, nanoseconds since 1970 UTC.
    pub fn set_received_at(&mut self, now_ns: i64) {
        let received = self.provenances.iter_mut().map(|p| &mut p.received_at_ns);
        received.for_each(|at| *at = now_ns);
    }

    /// Copies a text into the arena, cut to its limits; the second value is the flag to set on the row (0 if whole).
    pub fn push_text(&mut self, text: &[u8]) -> (TextRef, u32) {
        let room = TEXT_ARENA_MAX.saturating_sub(self.texts_arena.len());
        let n = text.len().min(TEXT_VALUE_MAX).min(room);
        let at = self.texts_arena.len() as u32;
        self.texts_arena.extend_from_slice(&text[..n]);
        (
            TextRef { at, len: n as u16 },
            if n < text.len() {
                RowFlags::TEXT_CUT
            } else {
                0
            },
        )
    }

    /// The bytes of a text.
    pub fn text(&self, r: TextRef) -> &[u8] {
        self.texts_arena
            .get(r.at as usize..r.at as usize + r.len as usize)
            .unwrap_or(&[])
    }

    /// Copies an AS path into the arena, cut to 255 numbers and to what the arena still holds; the second value is the flag to set
    /// on the row (0 if whole).
    pub fn push_path(&mut self, path: &[u32]) -> (AsPath, u32) {
        let room = PATH_ARENA_MAX.saturating_sub(self.path_arena.len());
        let n = path.len().min(255).min(room);
        let at = self.path_arena.len() as u32;
        self.path_arena.extend_from_slice(&path[..n]);
        let flag = if n < path.len() {
            RowFlags::TEXT_CUT
        } else {
            0
        };
        (AsPath { at, len: n as u16 }, flag)
    }

    /// The numbers of an AS path.
    pub fn path(&self, r: AsPath) -> &[u32] {
        self.path_arena
            .get(r.at as usize..r.at as usize + r.len as usize)
            .unwrap_or(&[])
    }

    /// A borrowed view of row `i`.
    pub fn row(&self, i: usize) -> FlowRow<'_> {
        FlowRow::new(self, i)
    }

    /// All rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = FlowRow<'_>> {
        (0..self.rows).map(|i| self.row(i))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addr, Field};

    #[test]
    fn commit_aligns_and_groups_appear_late() {
        let mut b = FlowBatch::new();
        b.core.bytes.extend([1, 2, 3]);
        b.commit(3);
        assert_eq!(
            (b.len(), b.core.src_addr.len(), b.core.half.len()),
            (3, 3, 3)
        );
        b.nat_mut().nat_src_port.push(7);
        b.core.present.push(Field::NatSrcPort.bit());
        b.commit(1);
        let nat = b.nat.as_ref().expect("made above");
        assert_eq!(nat.nat_src_port, [0, 0, 0, 7]);
        assert_eq!(nat.nat_src_addr, [Addr::UNSPECIFIED; 4]);
        b.core.bytes.push(9);
        b.commit(0);
        assert_eq!(b.core.bytes.len(), 4, "cut: no row was made of it");
        b.clear();
        assert!(b.is_empty() && b.nat.is_none());
        b.nat_mut();
        b.commit(2);
        assert_eq!(b.nat.as_ref().expect("again").nat_src_port, [0, 0]);
    }

    #[test]
    fn rows_are_written_twice_in_their_place() {
        let mut b = FlowBatch::new();
        b.core.bytes.extend([1, 2, 3]);
        b.nat_mut().nat_event.extend([4, 5, 6]);
        b.commit(3);
        assert_eq!(b.spread(&[true, false]), 1);
        assert_eq!(b.core.bytes, [1, 2, 2, 3]);
        assert_eq!(b.nat.as_ref().expect("made above").nat_event, [4, 5, 5, 6]);
        assert_eq!((b.len(), b.core.proto.len()), (4, 4));
    }

    #[test]
    fn texts_are_cut_and_say_so() {
        let mut b = FlowBatch::new();
        let (r, flag) = b.push_text(&[b'x'; 300]);
        assert_eq!((r.len, flag), (255, RowFlags::TEXT_CUT));
        assert_eq!(b.text(r).len(), 255);
        assert_eq!(b.push_text(b"ok").1, 0);
        let (r, flag) = b.push_path(&[64_500; 300]);
        assert_eq!((b.path(r).len(), flag), (255, RowFlags::TEXT_CUT));
        assert_eq!(b.push_path(&[64_500; 255]).1, 0);
    }
}
