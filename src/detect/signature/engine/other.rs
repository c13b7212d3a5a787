//! The other reading of octets that were sent twice with different data: which rules hold in it and not in the first.
//!
//! It changes nothing that the first reading remembers (contracts, section 9): no bits, no thresholds, no passes.

use super::alert::Alert;
use super::flow::{Connection, Counts, Flow};
use super::raw::{self, Chunk};
use super::talk::Talk;
use super::{Engine, Reading, heard};
use crate::ledger::Tally;
use crate::model::Addr;
use crate::reassemble::stream::{Other, Piece};

/// Octets that were sent twice with different data, or fragments of a packet that say different things.
#[derive(Clone, Debug)]
pub struct Conflict {
    /// When it was seen, nanoseconds since 1970 UTC.
    pub time_ns: i64,
    /// Who sent them, and to whom.
    pub addrs: [Addr; 2],
    /// Source and destination port.
    pub ports: [u16; 2],
    /// IP protocol.
    pub proto: u8,
    /// Direction: 0 to the server, 1 to the client.
    pub direction: Option<usize>,
    /// The conversation, and what it had come to.
    pub flow: Option<(u64, Counts)>,
    /// Place in the stream.
    pub offset: u64,
    /// What is read there first, and what else can be; as much as is kept.
    pub readings: [Vec<u8>; 2],
    /// Rules that hold in the other reading alone: group, number, text.
    pub rules: Vec<(u32, u32, String)>,
}

impl Engine {
    /// Octets that were sent twice with different data, since this was asked last.
    pub fn take_conflicts(&mut self) -> Vec<Conflict> {
        std::mem::take(&mut self.reading.conflicts)
    }
}

impl Reading {
    /// Tries the rules about streams with what ends because bytes after it are missing.
    pub(super) fn look_at_cut(
        &mut self,
        flow: &mut Flow,
        c: &Connection,
        cut: Vec<(usize, raw::Raw)>,
        tally: &mut Tally,
    ) {
        let established = c.session.is_established();
        for (half, mut raw) in cut {
            self.desk.stream(flow, &mut raw, half, established, tally);
            self.spare.take(&mut raw);
        }
    }

    /// Octets of a connection for which others stand: they are looked at with what is there. Those that are late are looked at now.
    pub(super) fn found_others(
        &mut self,
        flow: &mut Flow,
        c: &mut Connection,
        len: u32,
        tally: &mut Tally,
    ) {
        let mut others = self.streams.take_others();
        if others.is_empty() {
            return;
        }
        for late in others.extract_if(.., |o| o.is_late) {
            self.look_at_late(flow, c, &late, tally);
        }
        // what is sent at the same place with the same length is sent again, for Suricata
        if others.iter().any(|o| o.bytes.len() < len as usize) {
            self.odd.push("stream.reassembly_overlap_different_data");
        }
        if others.is_empty() || flow.is_encrypted {
            return;
        }
        let room = OTHERS_MAX.saturating_sub(c.others.len());
        c.others.extend(others.into_iter().take(room));
    }

    /// Tries the rules about streams with what came after what follows it, and with that behind it, as far as it is kept.
    #[cold]
    fn look_at_late(&mut self, flow: &mut Flow, c: &Connection, late: &Other, tally: &mut Tally) {
        let half = usize::from(late.half);
        let looks = self.desk.program.looks_at_stream(half, flow.ports(half));
        if flow.is_encrypted || !looks {
            return;
        }
        let mut raw = raw::Raw::default();
        raw.push(late.at, 0, &late.bytes, &mut self.spare);
        let next = c.raw[half].chunk();
        if next.start == late.at + late.bytes.len() as u64 {
            raw.push(next.start, 0, next.bytes, &mut self.spare);
        }
        let established = c.session.is_established();
        self.desk.stream(flow, &mut raw, half, established, tally);
        self.spare.take(&mut raw);
    }

    /// Looks at the other reading of what a direction keeps, where there is one.
    #[cold]
    pub(super) fn look_at_others(&mut self, flow: &mut Flow, c: &mut Connection, direction: usize) {
        let is_mine = |o: &Other| usize::from(o.half) == direction;
        let (others, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut c.others).into_iter().partition(is_mine);
        c.others = rest;
        let established = c.session.is_established();
        let chunk = c.raw[direction].chunk();
        let mut bytes = chunk.bytes.to_vec();
        let mut first = None;
        for other in &others {
            let Some((from, old, new)) = common(&chunk, other.at, &other.bytes) else {
                continue;
            };
            let place = chunk.start + from as u64;
            first.get_or_insert_with(|| (place, [kept(old), kept(new)]));
            bytes[from..from + new.len()].copy_from_slice(new);
        }
        let whole = |bytes| Chunk {
            bytes,
            known: 0,
            start: chunk.start,
        };
        let usual = self.reading(flow, direction, established, whole(chunk.bytes));
        let mut only = self.reading(flow, direction, established, whole(&bytes));
        only.retain(|a| !usual.iter().any(|u| u.rule == a.rule));
        only.sort_by_key(|a| a.rule);
        only.dedup_by_key(|a| a.rule);
        let ends = flow.ends();
        let (from, to) = (ends[direction], ends[1 - direction]);
        let (offset, readings) = first.unwrap_or_default();
        self.conflicts.push(Conflict {
            time_ns: flow.last_ns,
            addrs: [from.0, to.0],
            ports: [from.1, to.1],
            proto: flow.key.proto,
            direction: Some(direction),
            flow: Some((flow.id(), flow.counts)),
            offset,
            readings,
            rules: only
                .iter()
                .map(|a| a.rule())
                .map(|r| (r.gid, r.sid, r.about.message.clone()))
                .collect(),
        });
        self.desk.alerts.append(&mut only);
    }

    /// The rules that hold in one reading of a direction, about its stream and, where that is there from its start, about what is said in it.
    fn reading(
        &mut self,
        flow: &mut Flow,
        direction: usize,
        established: bool,
        chunk: Chunk<'_>,
    ) -> Vec<Alert> {
        // what bounds cost here is not told again
        let tally = &mut Tally::default();
        self.desk.begin_other();
        self.desk
            .other_stream(flow, chunk, direction, established, tally);
        if chunk.start == 0 && !chunk.bytes.is_empty() {
            let mut talk = Talk::new(&self.settings, &self.desk.program.wanted);
            let heard = heard(flow, direction, flow.last_ns, chunk.bytes);
            let piece = Piece {
                half: direction as u8,
                offset: 0,
                bytes: chunk.bytes,
                gap: 0,
            };
            talk.piece(&mut self.ears, &heard, &piece, tally);
            talk.end(&mut self.ears, &heard, tally);
            let application = talk.application();
            for unit in talk.units() {
                let seen = (None, Some(chunk), established);
                self.desk.unit(flow, (unit, None), application, seen, tally);
            }
        }
        self.desk.end_other()
    }
}

/// What bytes at a place of the stream have in common with a chunk: where in the chunk, what is there, and what else.
fn common<'a>(chunk: &Chunk<'a>, at: u64, bytes: &'a [u8]) -> Option<(usize, &'a [u8], &'a [u8])> {
    let start = at.max(chunk.start);
    let end = (at + bytes.len() as u64).min(chunk.start + chunk.bytes.len() as u64);
    let from = usize::try_from(start - chunk.start).ok()?;
    let len = usize::try_from(end.checked_sub(start)?).ok()?;
    let skipped = usize::try_from(start - at).ok()?;
    let old = chunk.bytes.get(from..from + len)?;
    let new = bytes.get(skipped..skipped + len)?;
    (len > 0).then_some((from, old, new))
}

/// As much of a reading as is shown.
fn kept(bytes: &[u8]) -> Vec<u8> {
    bytes[..bytes.len().min(KEPT_MAX)].to_vec()
}

const KEPT_MAX: usize = 64;
/// Octets for which others stand of a connection, in ranges.
const OTHERS_MAX: usize = 32;
