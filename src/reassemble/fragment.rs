//! IP fragments to whole packets, both families, with bounds on everything.
//!
//! Where fragments overlap with different data, hosts disagree on what the packet says. The first reading is the one that
//! Suricata's stock configuration takes (IPv4 as Windows does it, IPv6 as BSD does it); a second one is offered beside it.

use super::settings::FragmentSettings;
use crate::ledger::{Outcome, Tally};
use crate::model::{Addr, Envelope, PacketView};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// What a fragment did.
#[derive(Debug)]
pub enum Added<'f> {
    /// More are awaited.
    Waiting,
    /// It was the last one missing.
    Whole(Gathered<'f>),
    /// It cannot be used, or there is no room; the packet stands for itself.
    Refused,
}

/// What was put together from fragments, or is left of them.
#[derive(Clone, Copy, Debug)]
pub struct Gathered<'f> {
    /// The packet from its IP header on, without any fragmentation. Of what was given up: its first fragment as it was,
    /// or the header of another one.
    pub bytes: &'f [u8],
    /// The same packet as a host would read it that resolves overlaps the other way round, where that differs.
    pub other: Option<&'f [u8]>,
    /// What the earliest fragment was wrapped in.
    pub envelope: &'f Envelope,
    /// Fragments that were taken.
    pub frames: u32,
    /// Their layer-3 bytes together.
    pub ip_len: u32,
    /// Their bytes on the wire together.
    pub wire_len: u32,
    /// Capture time of the earliest, nanoseconds since 1970 UTC.
    pub first_ns: i64,
    /// Capture time of the last.
    pub last_ns: i64,
    /// Number of the frame of the last.
    pub frame: u64,
    /// Capture interface of the last.
    pub interface: u32,
    /// Whether fragments overlapped.
    pub overlapping: bool,
    /// Whether they did with different data.
    pub conflicting: bool,
}

/// Packets of which some fragments are there.
#[derive(Debug)]
pub struct Fragments {
    settings: FragmentSettings,
    waiting: HashMap<Key, u32, FixedState>,
    slots: Vec<Partial>,
    free: Vec<u32>,
    /// Oldest and youngest of those that wait.
    ends: Option<(u32, u32)>,
    bytes: usize,
    out: Vec<u8>,
    other: Vec<u8>,
}

/// What identifies the packet that a fragment belongs to (RFC 791 section 3.2, RFC 8200 section 4.5), and the way that it
/// came: tenants of a tunnel may have the same addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Key {
    src: Addr,
    dst: Addr,
    id: u32,
    /// 0 for IPv6, where it is no part of the key.
    proto: u8,
    version: u8,
    scope: u32,
}

#[derive(Debug, Default)]
struct Partial {
    key: Key,
    older: Option<u32>,
    younger: Option<u32>,
    /// Headers before the fragmented part: of the fragment with offset 0 once that is there, before it of the earliest.
    header: Vec<u8>,
    /// Protocol of the fragmented part.
    next: u8,
    /// Data of the fragments, in order of arrival.
    store: Vec<u8>,
    /// Sorted by offset, those with the same by arrival.
    pieces: Vec<Piece>,
    envelope: Envelope,
    has_first: bool,
    has_last: bool,
    overlapping: bool,
    frames: u32,
    ip_len: u32,
    wire_len: u32,
    first_ns: i64,
    last_ns: i64,
    frame: u64,
    interface: u32,
}

/// The data of one fragment.
#[derive(Clone, Copy, Debug)]
struct Piece {
    offset: u32,
    len: u32,
    /// Where its data is in the store: also the order of arrival.
    at: u32,
    /// Octets at its start that an earlier one has, by the policy.
    trimmed: u32,
    /// Whether a later one took its place, by the policy.
    replaced: bool,
}

impl Piece {
    fn end(&self) -> u32 {
        self.offset + self.len
    }
}

impl Fragments {
    /// An empty table with these bounds.
    pub fn new(settings: &FragmentSettings) -> Self {
        Fragments {
            settings: settings.clone(),
            waiting: HashMap::with_hasher(FixedState::with_seed(settings.hash_seed)),
            slots: Vec::new(),
            free: Vec::new(),
            ends: None,
            bytes: 0,
            out: Vec::new(),
            other: Vec::new(),
        }
    }

    /// Packets that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Fragments that wait.
    pub fn frames(&self) -> u64 {
        let frames = |slot: &u32| u64::from(self.slots[*slot as usize].frames);
        self.waiting.values().map(frames).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives up one packet that is too old at `now_ns`, or that has to go because there is no room for another: the oldest
    /// first. To be called until it gives none, before [`Self::add`], now and then, and with the largest time at the end.
    pub fn give_up(&mut self, now_ns: i64, tally: &mut Tally) -> Option<Gathered<'_>> {
        let (oldest, _) = self.ends?;
        let partial = &self.slots[oldest as usize];
        let wait_ns = i64::from(self.settings.wait_s) * NS;
        let late = now_ns.saturating_sub(partial.first_ns) > wait_ns;
        if !late && !self.is_full() {
            return None;
        }
        let why = if late {
            Outcome::FragmentsExpired
        } else {
            Outcome::FragmentsEvicted
        };
        tally.add(why, partial.frames.into());
        self.take(oldest);
        let Fragments { slots, out, .. } = self;
        let partial = &slots[oldest as usize];
        partial.remainder(out);
        Some(partial.gathered(out, None, false))
    }

    /// Adds a fragment.
    pub fn add(&mut self, packet: &PacketView<'_>, tally: &mut Tally) -> Added<'_> {
        tally.one(Outcome::Fragments);
        let Some(part) = Part::of(packet) else {
            tally.one(Outcome::FragmentsRejected);
            return Added::Refused;
        };
        let slot = match self.waiting.get(&part.key) {
            Some(slot) => *slot,
            None if self.is_full() => {
                tally.one(Outcome::FragmentsRejected);
                return Added::Refused;
            }
            None => self.begin(&part, packet),
        };
        let partial = &mut self.slots[slot as usize];
        if partial.pieces.len() >= self.settings.pieces_max {
            tally.one(Outcome::FragmentsRejected);
            return Added::Refused;
        }
        let before = partial.size();
        partial.put(&part, packet);
        self.bytes += partial.size() - before;
        if !partial.is_whole() {
            return Added::Waiting;
        }
        self.take(slot);
        let frames = u64::from(self.slots[slot as usize].frames);
        let Fragments {
            slots, out, other, ..
        } = self;
        let partial = &slots[slot as usize];
        let conflicting = partial.overlapping && partial.conflicts(other);
        if !partial.whole(out, partial.by_policy()) {
            tally.add(Outcome::FragmentsRejected, frames);
            return Added::Refused;
        }
        tally.add(Outcome::FragmentsJoined, frames);
        tally.add(Outcome::FragmentOverlaps, partial.overlapping.into());
        tally.add(Outcome::FragmentConflicts, conflicting.into());
        let differs = conflicting && partial.second_reading(other, out);
        let other = differs.then_some(other.as_slice());
        Added::Whole(partial.gathered(out, other, conflicting))
    }

    fn is_full(&self) -> bool {
        self.waiting.len() >= self.settings.packets_max || self.bytes >= self.settings.bytes_max
    }

    /// A slot for a new packet, as the youngest.
    fn begin(&mut self, part: &Part<'_>, packet: &PacketView<'_>) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Partial::default());
            self.slots.len() as u32 - 1
        });
        let older = self.ends.map(|(_, youngest)| youngest);
        if let Some(older) = older {
            self.slots[older as usize].younger = Some(slot);
        }
        self.ends = Some((self.ends.map_or(slot, |(oldest, _)| oldest), slot));
        let partial = &mut self.slots[slot as usize];
        partial.reset();
        partial.key = part.key;
        partial.older = older;
        partial.envelope.clone_from(packet.envelope);
        partial.first_ns = packet.time_ns;
        self.waiting.insert(part.key, slot);
        slot
    }

    /// Takes a packet out of the table. Its content stays in the slot until that is used again.
    fn take(&mut self, slot: u32) {
        let partial = &self.slots[slot as usize];
        let (older, younger) = (partial.older, partial.younger);
        self.bytes -= partial.size();
        self.waiting.remove(&partial.key);
        if let Some(older) = older {
            self.slots[older as usize].younger = younger;
        }
        if let Some(younger) = younger {
            self.slots[younger as usize].older = older;
        }
        self.ends = self.ends.and_then(|(oldest, youngest)| {
            let oldest = if oldest == slot { younger? } else { oldest };
            let youngest = if youngest == slot { older? } else { youngest };
            Some((oldest, youngest))
        });
        self.free.push(slot);
    }
}

/// A fragment's headers and data.
struct Part<'a> {
    key: Key,
    header: &'a [u8],
    data: &'a [u8],
    offset: u32,
    more: bool,
    next: u8,
}

impl<'a> Part<'a> {
    /// `None` where the fragment is cut, empty, or reaches beyond what a packet can be.
    fn of(packet: &PacketView<'a>) -> Option<Self> {
        let fragment = packet.fragment?;
        let network = packet.network_at as usize;
        let bytes = packet.bytes.get(network..)?;
        let (header_len, data_at, next) = match packet.version {
            4 => {
                let size = usize::from(bytes.first()? & 0x0f) * 4;
                (size, size, *bytes.get(9)?)
            }
            _ => {
                let at = fragment_header(bytes)?;
                (at, at + 8, *bytes.get(at)?)
            }
        };
        let data = bytes.get(data_at..packet.ip_len as usize)?;
        let end = fragment.offset as usize + data.len();
        if data.is_empty() || end > PAYLOAD_MAX || header_len > HEADER_MAX {
            return None;
        }
        Some(Part {
            key: Key {
                src: packet.src,
                dst: packet.dst,
                id: fragment.id,
                proto: if packet.version == 4 { next } else { 0 },
                version: packet.version,
                scope: packet.envelope.scope(),
            },
            header: bytes.get(..header_len)?,
            data,
            offset: fragment.offset,
            more: fragment.more,
            next,
        })
    }
}

impl Partial {
    /// Bytes that are counted against the bound.
    fn size(&self) -> usize {
        self.store.len() + self.header.len() + self.pieces.len() * size_of::<Piece>()
    }

    /// Empties the slot and keeps what is small of its memory.
    fn reset(&mut self) {
        let (mut header, mut store, mut pieces) = (
            std::mem::take(&mut self.header),
            std::mem::take(&mut self.store),
            std::mem::take(&mut self.pieces),
        );
        header.clear();
        store.clear();
        store.shrink_to(KEPT_BYTES);
        pieces.clear();
        pieces.shrink_to(KEPT_PIECES);
        *self = Partial {
            header,
            store,
            pieces,
            ..Default::default()
        };
    }

    /// Takes a fragment.
    fn put(&mut self, part: &Part<'_>, packet: &PacketView<'_>) {
        self.frames += 1;
        self.ip_len = self.ip_len.saturating_add(packet.ip_len);
        self.wire_len = self.wire_len.saturating_add(packet.wire_len);
        self.last_ns = packet.time_ns;
        self.frame = packet.frame;
        self.interface = packet.interface;
        self.has_last |= !part.more;
        let first = part.offset == 0 && !self.has_first;
        if self.header.is_empty() || first {
            self.header.clear();
            self.header.extend_from_slice(part.header);
            self.next = part.next;
            self.has_first |= first;
        }
        let mut piece = Piece {
            offset: part.offset,
            len: part.data.len() as u32,
            at: self.store.len() as u32,
            trimmed: 0,
            replaced: false,
        };
        self.settle(&mut piece);
        self.store.extend_from_slice(part.data);
        let place = self.pieces.partition_point(|p| p.offset <= piece.offset);
        self.pieces.insert(place, piece);
    }

    /// Decides by the policy who has the octets that a new fragment shares with others. Only the first one that reaches
    /// behind its start matters, and for BSD the one after that: later ones lie on top of what comes before them.
    fn settle(&mut self, new: &mut Piece) {
        let windows = self.key.version == 4;
        let live = |p: &Piece| !p.replaced && p.end() > new.offset;
        let Some(at) = self.pieces.iter().position(live) else {
            return;
        };
        let end = new.end();
        let old = &mut self.pieces[at];
        self.overlapping |= old.offset < end;
        if new.offset >= old.offset {
            new.trimmed = (old.end() - new.offset).min(new.len);
        } else if end > old.end() || !windows && end == old.end() {
            old.replaced = true;
        }
        if let Some(after) = self.pieces.get_mut(at + 1)
            && end > after.offset
        {
            self.overlapping = true;
            if !windows {
                after.trimmed = (end - after.offset).min(after.len);
            }
        }
    }

    /// Whether every octet up to the end is there, and the end is known.
    fn is_whole(&self) -> bool {
        if !self.has_first || !self.has_last {
            return false;
        }
        let mut reached = 0;
        self.pieces.iter().all(|p| {
            let joins = p.offset <= reached;
            reached = reached.max(p.end());
            joins
        })
    }

    /// Whether two fragments of a whole packet say different things of the same octets: one of them then says something else than the first
    /// in order, whose octets are laid into `octets`.
    fn conflicts(&self, octets: &mut Vec<u8>) -> bool {
        octets.clear();
        self.pieces.iter().any(|p| {
            let data = &self.store[p.at as usize..(p.at + p.len) as usize];
            let shared = octets
                .len()
                .saturating_sub(p.offset as usize)
                .min(data.len());
            let (known, new) = data.split_at(shared);
            let from = p.offset as usize;
            let differs = octets.get(from..from + shared) != Some(known);
            octets.extend_from_slice(new);
            differs
        })
    }

    /// The pieces as the policy lays them: by offset, later ones on top.
    fn by_policy(&self) -> impl Iterator<Item = Piece> + '_ {
        self.pieces.iter().filter(|p| !p.replaced).copied()
    }

    /// Writes the packet that the pieces give, laid one over the other. `false` where it would be longer than a packet can
    /// be.
    fn whole(&self, out: &mut Vec<u8>, pieces: impl Iterator<Item = Piece>) -> bool {
        let len = self.pieces.iter().map(Piece::end).max().unwrap_or(0) as usize;
        let head = self.header.len();
        out.clear();
        out.extend_from_slice(&self.header);
        out.resize(head + len, 0);
        for p in pieces {
            let from = (p.at + p.trimmed) as usize..(p.at + p.len) as usize;
            let to = head + (p.offset + p.trimmed) as usize;
            out[to..to + from.len()].copy_from_slice(&self.store[from]);
        }
        match self.key.version {
            4 => finish_v4(out, head),
            _ => finish_v6(out, head, self.next),
        }
    }

    /// The reading in which the latest of several has the octets, or if that is the first reading the one in which the
    /// earliest has them. `false` where neither differs.
    fn second_reading(&self, other: &mut Vec<u8>, first: &[u8]) -> bool {
        let mut pieces: Vec<Piece> = self.pieces.clone();
        pieces.iter_mut().for_each(|p| p.trimmed = 0);
        pieces.sort_by_key(|p| p.at);
        let latest = self.whole(other, pieces.iter().copied()) && other[..] != *first;
        latest || self.whole(other, pieces.iter().rev().copied()) && other[..] != *first
    }

    /// What is left when no more fragments come: the first one as it was, or the header of another.
    fn remainder(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.header);
        let first = self.pieces.first().filter(|p| p.offset == 0);
        if self.key.version != 4 {
            // the fragment header again: what follows is a part, and its transport header is only there in the first
            let place = if first.is_some() { 1 } else { 9 };
            out.extend_from_slice(&[self.next, 0, 0, place]);
            out.extend_from_slice(&self.key.id.to_be_bytes());
        }
        if let Some(p) = first {
            out.extend_from_slice(&self.store[p.at as usize..(p.at + p.len) as usize]);
        }
    }

    fn gathered<'f>(
        &'f self,
        bytes: &'f [u8],
        other: Option<&'f [u8]>,
        conflicting: bool,
    ) -> Gathered<'f> {
        Gathered {
            bytes,
            other,
            envelope: &self.envelope,
            frames: self.frames,
            ip_len: self.ip_len,
            wire_len: self.wire_len,
            first_ns: self.first_ns,
            last_ns: self.last_ns,
            frame: self.frame,
            interface: self.interface,
            overlapping: self.overlapping,
            conflicting,
        }
    }
}

/// Where the fragment header is in an IPv6 packet (RFC 8200 section 4.5): behind headers that every fragment repeats.
fn fragment_header(packet: &[u8]) -> Option<usize> {
    let (mut next, mut at) = (*packet.get(6)?, IPV6_SIZE);
    for _ in 0..EXTENSIONS_MAX {
        match next {
            FRAGMENT => return Some(at),
            // hop-by-hop, routing, destination options
            0 | 43 | 60 => {
                next = *packet.get(at)?;
                at += (usize::from(*packet.get(at + 1)?) + 1) * 8;
            }
            AUTHENTICATION => {
                next = *packet.get(at)?;
                at += (usize::from(*packet.get(at + 1)?) + 2) * 4;
            }
            _ => return None,
        }
    }
    None
}

/// Makes the header of the first fragment that of the whole: length, no offset, checksum.
fn finish_v4(packet: &mut [u8], head: usize) -> bool {
    let Ok(len) = u16::try_from(packet.len()) else {
        return false;
    };
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    // neither more fragments nor an offset; the flag against fragmenting stays
    packet[6] &= 0x40;
    packet[7] = 0;
    packet[10..12].copy_from_slice(&[0, 0]);
    let sum: u32 = packet[..head]
        .chunks_exact(2)
        .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    true
}

/// The same for IPv6: the fragment header is gone, so the header before it names what came after it.
fn finish_v6(packet: &mut [u8], head: usize, next: u8) -> bool {
    let Ok(len) = u16::try_from(packet.len() - IPV6_SIZE) else {
        return false;
    };
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    let (mut naming, mut at) = (6, IPV6_SIZE);
    while at < head {
        naming = at;
        at += (usize::from(packet[at + 1]) + 1) * 8;
    }
    packet[naming] = next;
    true
}

const NS: i64 = 1_000_000_000;
const IPV6_SIZE: usize = 40;
/// Authentication header (RFC 4302), which counts in words.
const AUTHENTICATION: u8 = 51;
const FRAGMENT: u8 = 44;
/// Most extension headers before that of the fragment.
const EXTENSIONS_MAX: usize = 16;
/// Most bytes of the headers that every fragment repeats.
const HEADER_MAX: usize = 1024;
/// Most bytes of the fragmented part: what an IPv4 length can say.
const PAYLOAD_MAX: usize = 65_535;
/// Memory of a slot that is kept for the next packet: bytes of data, and pieces.
const KEPT_BYTES: usize = 4096;
const KEPT_PIECES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Fragment, Transport};
    use proptest::prelude::*;

    /// A fragment of a packet with identification 7: IPv4 of protocol 17, or IPv6 with a hop-by-hop header.
    fn packet(v6: bool, offset: u32, more: bool, data: &[u8]) -> Vec<u8> {
        let mut b;
        if v6 {
            b = vec![0x60, 0, 0, 0, 0, 16 + data.len() as u8, 0, 64];
            b.extend([1; 16]);
            b.extend([2; 16]);
            b.extend([44, 0, 1, 4, 0, 0, 0, 0, 17, 0]);
            b.extend((offset as u16 | u16::from(more)).to_be_bytes());
            b.extend([0, 0, 0, 7]);
        } else {
            let len = (24 + data.len()) as u16;
            let word = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
            b = vec![0x46, 0, 0, 0, 0, 7, 0, 0, 64, 17, 0, 0];
            b.extend([1, 1, 1, 1, 2, 2, 2, 2, 1, 1, 1, 1]);
            b[2..4].copy_from_slice(&len.to_be_bytes());
            b[6..8].copy_from_slice(&word.to_be_bytes());
        }
        b.extend(data);
        b
    }

    fn view<'a>(bytes: &'a [u8], envelope: &'a Envelope, n: u64) -> PacketView<'a> {
        let v6 = bytes[0] >> 4 == 6;
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let (offset, more, head) = match v6 {
            true => (u32::from(word(50) & 0xfff8), word(50) & 1 == 1, 56),
            false => (u32::from(word(6) & 0x1fff) * 8, word(6) & 0x2000 != 0, 24),
        };
        PacketView {
            time_ns: n as i64,
            frame: n,
            interface: 1,
            wire_len: bytes.len() as u32 + 14,
            frames: 1,
            bytes,
            envelope,
            src: Addr::from_v4([1; 4]),
            dst: Addr::from_v4([2; 4]),
            ip_len: bytes.len() as u32,
            ip_id: 7,
            flow_label: 0,
            network_at: 0,
            transport_at: head,
            payload_at: head,
            end: bytes.len() as u32,
            payload_len: bytes.len() as u32 - head,
            version: if v6 { 6 } else { 4 },
            tos: 0,
            ttl: 64,
            proto: 17,
            fragment: Some(Fragment {
                id: 7,
                offset,
                more,
            }),
            transport: Transport::None,
            cut: false,
        }
    }

    /// Offset in units of eight, and text.
    type Said<'a> = &'a [(u32, &'a str)];

    /// Offset, whether more follow, and data.
    type Parts<'a> = &'a [(u32, bool, &'a [u8])];

    /// What the fragments give: the data, the second reading's, whether there was a conflict.
    fn join(v6: bool, parts: Parts<'_>) -> Option<(Vec<u8>, Option<Vec<u8>>, bool)> {
        let mut f = Fragments::new(&FragmentSettings::default());
        let mut tally = Tally::default();
        let envelope = Envelope::default();
        let head = if v6 { 48 } else { 24 };
        let mut got = None;
        for (n, (offset, more, data)) in parts.iter().enumerate() {
            let bytes = packet(v6, *offset, *more, data);
            if let Added::Whole(w) = f.add(&view(&bytes, &envelope, n as u64), &mut tally) {
                let other = w.other.map(|o| o[head..].to_vec());
                got = Some((w.bytes[head..].to_vec(), other, w.conflicting));
            }
        }
        got
    }

    #[test]
    fn any_order_makes_the_same_packet() {
        let whole: Vec<u8> = (0..60).collect();
        let parts = [(0, 24), (24, 48), (48, 60)];
        for v6 in [false, true] {
            for order in [
                [0, 1, 2],
                [2, 1, 0],
                [1, 0, 2],
                [0, 2, 1],
                [2, 0, 1],
                [1, 2, 0],
            ] {
                let mut f = Fragments::new(&FragmentSettings::default());
                let mut tally = Tally::default();
                let envelope = Envelope::default();
                for (n, i) in order.into_iter().enumerate() {
                    let (from, to) = parts[i];
                    let bytes = packet(v6, from as u32, to != 60, &whole[from..to]);
                    let added = f.add(&view(&bytes, &envelope, n as u64), &mut tally);
                    if n < 2 {
                        assert!(matches!(added, Added::Waiting));
                        continue;
                    }
                    let Added::Whole(w) = added else {
                        panic!("{added:?}")
                    };
                    let head = if v6 { 48 } else { 24 };
                    assert_eq!(w.bytes[head..], whole);
                    assert_eq!((w.frames, w.first_ns, w.frame), (3, 0, 2));
                    let heads = if v6 { 56 } else { 24 };
                    assert_eq!(w.ip_len, 60 + 3 * heads);
                    assert!(!w.overlapping && w.other.is_none());
                    if v6 {
                        assert_eq!(
                            (w.bytes[4..8].to_vec(), w.bytes[40]),
                            (vec![0, 68, 0, 64], 17)
                        );
                    } else {
                        assert_eq!(w.bytes[2..8], [0, 84, 0, 7, 0, 0]);
                        let words = w.bytes[..24].chunks(2);
                        let sum: u32 = words.map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
                        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
                    }
                }
                assert_eq!((f.bytes, f.len()), (0, 0));
                assert_eq!(tally.count(Outcome::FragmentsJoined), 3);
            }
        }
    }

    #[test]
    fn overlaps_are_read_as_windows_and_bsd_do() {
        // by offset in units of eight: what each fragment says, and what Windows and BSD make of it
        let text = |s: &str| s.bytes().flat_map(|b| [b; 8]).collect::<Vec<u8>>();
        let cases: &[(Said<'_>, &str, &str)] = &[
            // the earlier one has what both have where it starts first or at the same place
            (&[(0, "aab"), (1, "cd"), (3, "e")], "aabe", "aabe"),
            (&[(0, "aa"), (0, "bbb"), (3, "e")], "aabe", "aabe"),
            // one that starts before another and reaches behind it takes its place
            (&[(1, "b"), (0, "aaa"), (3, "e")], "aaae", "aaae"),
            // where both end together only for BSD
            (&[(1, "bb"), (0, "aaa"), (3, "e")], "abbe", "aaae"),
            // one that starts before and ends within another has the rest only
            (&[(1, "bb"), (0, "aa"), (3, "e")], "abbe", "abbe"),
            // a hole is filled; for BSD also the start of the next is taken
            (&[(0, "a"), (2, "c"), (1, "bb"), (3, "e")], "abce", "abbe"),
        ];
        for (parts, windows, bsd) in cases {
            for (v6, want) in [(false, windows), (true, bsd)] {
                let data: Vec<Vec<u8>> = parts.iter().map(|p| text(p.1)).collect();
                let last = parts.len() - 1;
                let parts: Vec<(u32, bool, &[u8])> = parts
                    .iter()
                    .enumerate()
                    .map(|(i, p)| (p.0 * 8, i != last, &data[i][..]))
                    .collect();
                let (got, other, conflicting) = join(v6, &parts).expect("a packet");
                assert_eq!(got, text(want), "{parts:?}");
                assert!(conflicting);
                assert!(other.is_some_and(|o| o != got));
            }
        }
    }

    #[test]
    fn a_repetition_is_no_conflict() {
        let a = [1; 16];
        let got = join(false, &[(0, true, &a), (0, true, &a), (16, false, &a)]);
        assert_eq!(got, Some((vec![1; 32], None, false)));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut f = Fragments::new(&FragmentSettings::default());
        let mut tally = Tally::default();
        let envelope = Envelope::default();
        for (offset, data) in [(65_528, &[1u8; 16][..]), (8, &[])] {
            let bytes = packet(false, offset, true, data);
            let added = f.add(&view(&bytes, &envelope, 1), &mut tally);
            assert!(matches!(added, Added::Refused));
        }
        let bytes = packet(false, 0, true, &[1; 16]);
        let mut cut = view(&bytes, &envelope, 1);
        cut.ip_len += 8;
        assert!(matches!(f.add(&cut, &mut tally), Added::Refused));
        assert_eq!(tally.count(Outcome::FragmentsRejected), 3);
        assert!(f.is_empty());
    }

    #[test]
    fn the_table_is_bounded_and_the_oldest_gives_way() {
        let settings = FragmentSettings {
            packets_max: 8,
            ..Default::default()
        };
        let mut f = Fragments::new(&settings);
        let mut tally = Tally::default();
        let envelope = Envelope::default();
        let bytes = packet(false, 0, true, &[5; 16]);
        for n in 0..20u32 {
            let mut v = view(&bytes, &envelope, n.into());
            v.fragment = v.fragment.map(|f| Fragment { id: n, ..f });
            let lost = f.give_up(v.time_ns, &mut tally);
            assert_eq!(lost.is_some(), n >= 8);
            if let Some(lost) = lost {
                assert_eq!(lost.first_ns, i64::from(n) - 8);
                assert_eq!((lost.bytes, lost.frames), (&bytes[..], 1));
            }
            assert!(matches!(f.add(&v, &mut tally), Added::Waiting));
        }
        assert_eq!(f.len(), 8);
        // whoever does not make room gets none
        assert!(matches!(
            f.add(&view(&bytes, &envelope, 99), &mut tally),
            Added::Refused
        ));
        let later = 61 * NS;
        let mut frames = 0;
        while let Some(lost) = f.give_up(later, &mut tally) {
            frames += lost.frames;
        }
        assert_eq!((frames, f.bytes, f.len()), (8, 0, 0));
        let counts = [Outcome::FragmentsEvicted, Outcome::FragmentsExpired];
        assert_eq!(counts.map(|o| tally.count(o)), [12, 8]);
        assert_eq!(f.slots.len(), 8);
    }

    proptest! {
        #[test]
        fn every_fragment_is_accounted_for(
            parts in prop::collection::vec((0u32..12, 1usize..5, any::<bool>(), 0u32..3), 0..60),
            v6: bool,
        ) {
            let settings = FragmentSettings { packets_max: 2, pieces_max: 6, ..Default::default() };
            let mut f = Fragments::new(&settings);
            let mut tally = Tally::default();
            let envelope = Envelope::default();
            let (mut out, mut refused) = (0, 0);
            for (n, (offset, len, more, id)) in parts.iter().enumerate() {
                let data = vec![n as u8; len * 8];
                let bytes = packet(v6, offset * 8, *more, &data);
                let mut v = view(&bytes, &envelope, n as u64);
                v.fragment = v.fragment.map(|f| Fragment { id: *id, ..f });
                while let Some(lost) = f.give_up(v.time_ns, &mut tally) {
                    out += lost.frames;
                }
                match f.add(&v, &mut tally) {
                    Added::Waiting => {}
                    Added::Whole(w) => out += w.frames,
                    Added::Refused => refused += 1,
                }
            }
            while let Some(lost) = f.give_up(i64::MAX, &mut tally) {
                out += lost.frames;
            }
            prop_assert_eq!(out + refused, parts.len() as u32);
            prop_assert_eq!((f.bytes, f.len(), f.ends), (0, 0, None));
            let sum = [Outcome::FragmentsJoined, Outcome::FragmentsEvicted,
                Outcome::FragmentsExpired, Outcome::FragmentsRejected];
            let sum: u64 = sum.iter().map(|o| tally.count(*o)).sum();
            prop_assert_eq!(tally.count(Outcome::Fragments), sum);
        }
    }
}
