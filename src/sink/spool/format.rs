//! The file of a bundle: a checksummed header, one small slot of changing state for each section, the bodies as sent.
//!
//! ```text
//! 0   magic "FHSPOOL\0", version u32, length of the header u32, its checksum u128       32 bytes
//! 32  header: number, sequence, created_ms, note, positions, sections (see `put_section`)
//!     slots, 16 bytes each, aligned to 16: state u8, 3 zero bytes, check u32, time i64 (ms)
//!     bodies: those of small tables first, flows last, so that shedding flows is cutting the end off
//! ```
//!
//! Numbers are little-endian. Slots are outside the checksum: they change by a write of 16 bytes in place.

use crate::batch::Table;
use crate::sink::native::{Compression, EncodedSection};
use std::fmt;

/// What a spool file starts with.
pub const MAGIC: [u8; 8] = *b"FHSPOOL\0";

/// The version that this program writes, and the only one that it reads.
pub const VERSION: u32 = 1;

/// Bytes before the header.
pub const PREFIX: usize = 32;

/// Bytes of a slot.
pub const SLOT: usize = 16;

/// Largest header that is read, bytes.
pub const HEADER_MAX: usize = 64 << 20;

/// Most sections in a file.
pub const SECTIONS_MAX: usize = 4096;

/// Everything in a file but its bodies and the state of its sections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Rises with every bundle, over restarts, too: the order of the files.
    pub number: u64,
    /// The bundle's sequence.
    pub sequence: u64,
    /// When it was sealed, milliseconds since 1970 UTC.
    pub created_ms: i64,
    /// Why the file is where it is: the reason of a quarantine, else empty.
    pub note: String,
    /// What exporters will send next: see [`super::positions`].
    pub positions: Vec<u8>,
    /// The sections.
    pub sections: Vec<SectionHeader>,
    /// Where the slots begin in the file.
    pub slots_at: u64,
}

/// A section without its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionHeader {
    /// Where it goes.
    pub table: Table,
    /// Partition: days since 1970 UTC, 0 for tables without.
    pub partition: u32,
    /// Version of the schema that the writing program knew.
    pub schema: u32,
    /// Column list of the INSERT.
    pub columns: String,
    /// Rows.
    pub rows: u64,
    /// Time of the first row, milliseconds since 1970 UTC.
    pub first_ms: i64,
    /// Time of the last row.
    pub last_ms: i64,
    /// Deduplication token.
    pub token: String,
    /// How the body is to be read.
    pub compression: Compression,
    /// Bytes of the block.
    pub raw_len: u64,
    /// Where the body begins in the file.
    pub body_at: u64,
    /// Its bytes.
    pub body_len: u64,
    /// Its checksum.
    pub checksum: u128,
}

impl SectionHeader {
    /// Flow rows: those of law (e).
    pub fn flow_rows(&self) -> u64 {
        match self.table {
            Table::Flows => self.rows,
            _ => 0,
        }
    }

    /// Where the body ends.
    pub fn body_end(&self) -> u64 {
        self.body_at.saturating_add(self.body_len)
    }
}

/// What became of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Never sent, or surely not received.
    Unsent = 0,
    /// Sent, and no answer: in doubt.
    Sent = 1,
    /// Acknowledged.
    Done = 2,
    /// Given up by policy.
    Shed = 3,
    /// Answered with an error: it may be there in part, and is sent again soon.
    Failed = 4,
    /// Moved to the quarantine.
    Quarantined = 5,
    /// Its body does not match its checksum.
    Corrupt = 6,
}

impl State {
    /// Every state.
    pub const ALL: [State; 7] = [
        State::Unsent,
        State::Sent,
        State::Done,
        State::Shed,
        State::Failed,
        State::Quarantined,
        State::Corrupt,
    ];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            State::Unsent => "unsent",
            State::Sent => "in doubt",
            State::Done => "done",
            State::Shed => "shed",
            State::Failed => "failed",
            State::Quarantined => "quarantined",
            State::Corrupt => "corrupt",
        }
    }

    /// Whether the store may have rows of an open section: it was sent, and no answer says that it has none.
    pub const fn may_be_there(self) -> bool {
        matches!(self, State::Sent | State::Failed)
    }

    /// Whether there is still something to do.
    pub const fn is_open(self) -> bool {
        matches!(self, State::Unsent | State::Sent | State::Failed)
    }
}

/// A state and since when, milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// What became of the section.
    pub state: State,
    /// Since when.
    pub time_ms: i64,
}

impl Slot {
    /// The slot after a change; what may be in the store is so since it was sent first.
    pub const fn becomes(self, state: State, now_ms: i64) -> Slot {
        let stays = self.state as u8 == state as u8;
        let time_ms = match stays || self.state.may_be_there() && state.may_be_there() {
            true => self.time_ms,
            false => now_ms,
        };
        Slot { state, time_ms }
    }

    /// The bytes in the file.
    pub fn encode(self) -> [u8; SLOT] {
        let mut out = [0; SLOT];
        out[0] = self.state as u8;
        out[4..8].copy_from_slice(&self.check().to_le_bytes());
        out[8..].copy_from_slice(&self.time_ms.to_le_bytes());
        out
    }

    /// Reads a slot. One that is damaged says that the section may have been sent, nobody knows when: in doubt since 1970.
    pub fn decode(bytes: [u8; SLOT]) -> Slot {
        let [a, b, c, d, e, f, g, h] = bytes[8..].try_into().unwrap_or_default();
        let time_ms = i64::from_le_bytes([a, b, c, d, e, f, g, h]);
        let state = State::ALL.into_iter().find(|s| *s as u8 == bytes[0]);
        let slot = state.map(|state| Slot { state, time_ms });
        match slot.filter(|s| s.encode() == bytes) {
            Some(slot) => slot,
            None => Slot {
                state: State::Sent,
                time_ms: 0,
            },
        }
    }

    fn check(self) -> u32 {
        let bytes = self.time_ms.to_le_bytes();
        let all = bytes.into_iter().chain([self.state as u8]);
        all.fold(0x811c_9dc5_u32, |h, b| {
            (h ^ u32::from(b)).wrapping_mul(0x0100_0193)
        })
    }
}

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The byte at fault.
    pub at: u64,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte {}: {}", self.at, self.what)
    }
}

/// The checksum of a header or a body.
pub fn checksum(bytes: &[u8]) -> u128 {
    cityhash_rs::cityhash_102_128(bytes)
}

/// What stands before the bodies of a new file, and the header that says where they lie. Bodies follow in the order of
/// `body_at`.
pub fn start(
    number: u64,
    sequence: u64,
    created_ms: i64,
    note: &str,
    positions: &[u8],
    sections: &[(&EncodedSection, Slot)],
) -> (Vec<u8>, Header) {
    let mut header = Header {
        number,
        sequence,
        created_ms,
        note: note.chars().take(NOTE_MAX).collect(),
        positions: positions.to_vec(),
        sections: sections.iter().map(|(s, _)| section_header(s)).collect(),
        slots_at: 0,
    };
    // all numbers have a fixed width: the length does not depend on them
    header.slots_at = slots_at(header.encode().len());
    let slots = header.slots_at as usize;
    let mut at = (slots + SLOT * sections.len()) as u64;
    for flows in [false, true] {
        for s in &mut header.sections {
            if (s.table == Table::Flows) == flows {
                s.body_at = at;
                at += s.body_len;
            }
        }
    }
    let payload = header.encode();
    let mut out = Vec::with_capacity(slots + SLOT * sections.len());
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend((payload.len() as u32).to_le_bytes());
    out.extend(checksum(&payload).to_le_bytes());
    out.extend(payload);
    out.resize(slots, 0);
    for (_, slot) in sections {
        out.extend(slot.encode());
    }
    (out, header)
}

fn section_header(s: &EncodedSection) -> SectionHeader {
    SectionHeader {
        table: s.table,
        partition: s.partition,
        schema: s.schema,
        columns: s.columns.clone(),
        rows: s.rows,
        first_ms: s.first_ms,
        last_ms: s.last_ms,
        token: s.token.clone(),
        compression: s.compression,
        raw_len: s.raw_len,
        body_at: 0,
        body_len: s.body.len() as u64,
        checksum: checksum(&s.body),
    }
}

fn slots_at(payload: usize) -> u64 {
    (PREFIX + payload).next_multiple_of(SLOT) as u64
}

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256 * self.sections.len() + self.positions.len());
        out.extend(self.number.to_le_bytes());
        out.extend(self.sequence.to_le_bytes());
        out.extend(self.created_ms.to_le_bytes());
        put_bytes(&mut out, self.note.as_bytes());
        put_bytes(&mut out, &self.positions);
        out.extend((self.sections.len() as u32).to_le_bytes());
        self.sections.iter().for_each(|s| put_section(&mut out, s));
        out
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

fn put_section(out: &mut Vec<u8>, s: &SectionHeader) {
    put_bytes(out, s.table.name().as_bytes());
    out.extend(s.partition.to_le_bytes());
    out.extend(s.schema.to_le_bytes());
    put_bytes(out, s.columns.as_bytes());
    out.extend(s.rows.to_le_bytes());
    out.extend(s.first_ms.to_le_bytes());
    out.extend(s.last_ms.to_le_bytes());
    put_bytes(out, s.token.as_bytes());
    out.push(match s.compression {
        Compression::None => 0,
        Compression::Lz4 => 1,
    });
    out.extend(s.raw_len.to_le_bytes());
    out.extend(s.body_at.to_le_bytes());
    out.extend(s.body_len.to_le_bytes());
    out.extend(s.checksum.to_le_bytes());
}

/// Length of the header that the first [`PREFIX`] bytes of a file announce, and its checksum.
///
/// # Errors
/// When this is no spool file, or one of another version.
pub fn prefix(bytes: &[u8]) -> Result<(usize, u128), Damage> {
    let mut r = Reader {
        bytes,
        at: 0,
        origin: 0,
    };
    if r.array::<8>()? != MAGIC {
        return Err(damage(0, "no spool file"));
    }
    let version = r.u32()?;
    if version != VERSION {
        let what = format!(
            "format version {version}, this program knows {VERSION}: kept for the program that wrote it"
        );
        return Err(damage(8, what));
    }
    let len = r.u32()? as usize;
    if len > HEADER_MAX {
        return Err(damage(12, "the header is longer than any that is written"));
    }
    Ok((len, r.u128()?))
}

/// Reads the header behind the prefix.
///
/// # Errors
/// The byte at fault.
pub fn header(payload: &[u8], sum: u128) -> Result<Header, Damage> {
    if checksum(payload) != sum {
        return Err(damage(16, "the header does not match its checksum"));
    }
    let mut r = Reader {
        bytes: payload,
        at: 0,
        origin: PREFIX as u64,
    };
    let mut header = Header {
        number: r.u64()?,
        sequence: r.u64()?,
        created_ms: r.i64()?,
        note: r.text()?,
        positions: r.counted()?.to_vec(),
        sections: vec![],
        slots_at: slots_at(payload.len()),
    };
    let count = r.u32()? as usize;
    if count > SECTIONS_MAX {
        return Err(r.fault("more sections than any file has"));
    }
    let bodies_at = header.slots_at + (SLOT * count) as u64;
    for _ in 0..count {
        header.sections.push(r.section(bodies_at)?);
    }
    match r.at == payload.len() {
        true => Ok(header),
        false => Err(r.fault("bytes after the last section")),
    }
}

/// Reads a whole file from memory: header and slots, and whether every body that is still needed is there and sound.
///
/// # Errors
/// The byte at fault.
pub fn image(bytes: &[u8]) -> Result<(Header, Vec<Slot>), Damage> {
    let (len, sum) = prefix(bytes)?;
    let short = || damage(bytes.len() as u64, "the file ends in its header");
    let payload = bytes.get(PREFIX..PREFIX + len).ok_or_else(short)?;
    let header = header(payload, sum)?;
    let at = header.slots_at as usize;
    let slots = bytes.get(at..at + SLOT * header.sections.len());
    let slots = slots_of(slots.ok_or_else(short)?);
    check_length(&header, &slots, bytes.len() as u64)?;
    check_end(&header, bytes.len() as u64)?;
    for (s, slot) in header.sections.iter().zip(&slots) {
        if slot.state.is_open() {
            let body = &bytes[s.body_at as usize..s.body_end() as usize];
            check_body(s, body)?;
        }
    }
    Ok((header, slots))
}

/// Reads slots that lie one behind the other.
pub fn slots_of(bytes: &[u8]) -> Vec<Slot> {
    let slots = bytes.chunks_exact(SLOT);
    let slot = |s: &[u8]| Slot::decode(s.try_into().unwrap_or([0xff; SLOT]));
    slots.map(slot).collect()
}

/// Whether a file of `len` bytes holds every body that is still needed.
///
/// # Errors
/// Where it ends.
pub fn check_length(header: &Header, slots: &[Slot], len: u64) -> Result<(), Damage> {
    let open = header.sections.iter().zip(slots);
    let needed = open
        .filter(|(_, slot)| slot.state.is_open())
        .map(|(s, _)| s.body_end())
        .max();
    match needed {
        Some(needed) if needed > len => {
            let what = format!("the file ends here, its bodies at byte {needed}");
            Err(damage(len, what))
        }
        _ => Ok(()),
    }
}

/// Whether a file of `len` bytes ends where its last body does, or before: what is shed is cut off.
///
/// # Errors
/// Where it should have ended.
pub fn check_end(header: &Header, len: u64) -> Result<(), Damage> {
    let slots = header.slots_at + (SLOT * header.sections.len()) as u64;
    let ends = header.sections.iter().map(SectionHeader::body_end);
    let end = ends.max().unwrap_or(0).max(slots);
    match len > end {
        true => Err(damage(
            end,
            format!("the file goes on behind its last body, to byte {len}"),
        )),
        false => Ok(()),
    }
}

/// Whether a body is what was written.
///
/// # Errors
/// Where it begins.
pub fn check_body(s: &SectionHeader, body: &[u8]) -> Result<(), Damage> {
    match checksum(body) == s.checksum {
        true => Ok(()),
        false => {
            let table = s.table.name();
            let what = format!("the body of {table} does not match its checksum");
            Err(damage(s.body_at, what))
        }
    }
}

fn damage(at: u64, what: impl Into<String>) -> Damage {
    Damage {
        at,
        what: what.into(),
    }
}

/// Reads fields one after the other; `origin` is where `bytes` begins in the file.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    origin: u64,
}

impl<'a> Reader<'a> {
    fn fault(&self, what: impl Into<String>) -> Damage {
        damage(self.origin + self.at as u64, what)
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], Damage> {
        let end = self.at.checked_add(n).filter(|e| *e <= self.bytes.len());
        match end {
            Some(end) => {
                let taken = &self.bytes[self.at..end];
                self.at = end;
                Ok(taken)
            }
            None => Err(self.fault("ends in the middle of a field")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let taken = self.take(N)?;
        let mut out = [0; N];
        out.copy_from_slice(taken);
        Ok(out)
    }

    fn u32(&mut self) -> Result<u32, Damage> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Damage> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, Damage> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn u128(&mut self) -> Result<u128, Damage> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    fn counted(&mut self) -> Result<&'a [u8], Damage> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    fn text(&mut self) -> Result<String, Damage> {
        let bytes = self.counted()?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(self.fault("a text that is no UTF-8")),
        }
    }

    fn section(&mut self, bodies_at: u64) -> Result<SectionHeader, Damage> {
        let name = self.text()?;
        let Some(table) = Table::named(&name) else {
            return Err(self.fault(format!("the table `{name}` is unknown to this program")));
        };
        let s = SectionHeader {
            table,
            partition: self.u32()?,
            schema: self.u32()?,
            columns: self.text()?,
            rows: self.u64()?,
            first_ms: self.i64()?,
            last_ms: self.i64()?,
            token: self.text()?,
            compression: match self.array::<1>()? {
                [0] => Compression::None,
                [1] => Compression::Lz4,
                [n] => return Err(self.fault(format!("compression {n} is unknown"))),
            },
            raw_len: self.u64()?,
            body_at: self.u64()?,
            body_len: self.u64()?,
            checksum: self.u128()?,
        };
        let sane = s.body_at >= bodies_at
            && s.body_len <= BODY_MAX
            && s.body_at <= u64::MAX / 2
            && s.rows <= u64::from(u32::MAX);
        match sane {
            true => Ok(s),
            false => Err(self.fault("a section with an impossible place or size")),
        }
    }
}

/// Largest body that is read, bytes.
const BODY_MAX: u64 = 1 << 30;

/// Characters of a note.
const NOTE_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn section(table: Table, rows: u64, body: Vec<u8>) -> EncodedSection {
        EncodedSection {
            table,
            partition: 20_000,
            token: format!("c/0/1/{}/20000", table.name()),
            schema: 5,
            columns: "received_at,exporter".into(),
            rows,
            first_ms: 1,
            last_ms: 2,
            compression: Compression::Lz4,
            raw_len: 4 * body.len() as u64,
            body: Bytes::from(body),
        }
    }

    /// The bytes of a file with these sections.
    fn file(
        positions: &[u8],
        note: &str,
        sections: &[(EncodedSection, Slot)],
    ) -> (Vec<u8>, Header) {
        let sections: Vec<_> = sections.iter().map(|(s, slot)| (s, *slot)).collect();
        let (mut bytes, header) = start(7, 3, 1_760_000_000_000, note, positions, &sections);
        let mut order: Vec<usize> = (0..sections.len()).collect();
        order.sort_by_key(|&i| (header.sections[i].body_at, header.sections[i].body_len));
        for i in order {
            assert_eq!(bytes.len() as u64, header.sections[i].body_at);
            bytes.extend(&sections[i].0.body);
        }
        (bytes, header)
    }

    fn slot(state: State) -> Slot {
        Slot {
            state,
            time_ms: 1_760_000_000_123,
        }
    }

    fn sample() -> (Vec<u8>, Header) {
        let sections = [
            (
                section(Table::Flows, 100, vec![1; 300]),
                slot(State::Unsent),
            ),
            (section(Table::Usage1m, 3, vec![2; 40]), slot(State::Sent)),
            (section(Table::Exporters, 1, vec![]), slot(State::Done)),
        ];
        file(b"\x01\0k\x07\0\0\0\0\0\0\0", "why", &sections)
    }

    #[test]
    fn a_file_reads_back_with_flows_at_its_end() {
        let (bytes, header) = sample();
        let (back, slots) = image(&bytes).expect("sound");
        assert_eq!(back, header);
        let states: Vec<State> = slots.iter().map(|s| s.state).collect();
        assert_eq!(states, [State::Unsent, State::Sent, State::Done]);
        assert_eq!(header.sections[0].body_end(), bytes.len() as u64);
        assert_eq!(back.sections[0].flow_rows(), 100);
    }

    #[test]
    fn a_file_torn_at_any_byte_is_damaged() {
        let (bytes, _) = sample();
        for at in 0..bytes.len() {
            let damage = image(&bytes[..at]).expect_err("torn");
            assert!(damage.at <= bytes.len() as u64, "{damage}");
        }
    }

    #[test]
    fn a_flipped_bit_is_damage_or_doubt() {
        let (bytes, header) = sample();
        let slots_at = header.slots_at as usize;
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x10;
            match image(&bad) {
                Err(_) => {}
                // padding before the slots means nothing; a slot that cannot be trusted is in doubt since ever
                Ok((back, slots)) => {
                    assert_eq!(back, header);
                    assert!(at + SLOT > slots_at, "byte {at} is not noticed");
                    let known = [State::Unsent, State::Sent, State::Done];
                    for (n, known) in known.into_iter().enumerate() {
                        let hit = (slots_at + SLOT * n..slots_at + SLOT * (n + 1)).contains(&at);
                        let expected = if hit {
                            (State::Sent, 0)
                        } else {
                            (known, slot(known).time_ms)
                        };
                        assert_eq!((slots[n].state, slots[n].time_ms), expected, "byte {at}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_shed_may_be_cut_off() {
        let (mut bytes, header) = sample();
        let at = header.slots_at as usize;
        bytes[at..at + SLOT].copy_from_slice(&slot(State::Shed).encode());
        bytes.truncate(header.sections[0].body_at as usize);
        assert_eq!(image(&bytes).expect("sound").1[0].state, State::Shed);
        bytes.pop();
        assert!(image(&bytes).is_err(), "the body of usage is needed");
    }

    #[test]
    fn other_versions_and_other_files_are_told() {
        let (mut bytes, _) = sample();
        bytes[8] = 2;
        let damage = image(&bytes).expect_err("newer");
        assert!(damage.what.contains("format version 2"), "{damage}");
        bytes[0] = b'x';
        assert_eq!(image(&bytes).expect_err("foreign").at, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_file_reads_back(
            sections in prop::collection::vec((0..Table::ALL.len(), any::<u32>(), prop::collection::vec(any::<u8>(), 0..200), 0..State::ALL.len(), any::<i64>()), 0..9),
            positions in prop::collection::vec(any::<u8>(), 0..99),
            note in ".{0,40}",
        ) {
            let sections: Vec<_> = sections.into_iter().map(|(table, rows, body, state, time_ms)| {
                let slot = Slot { state: State::ALL[state], time_ms };
                (section(Table::ALL[table], rows.into(), body), slot)
            }).collect();
            let (bytes, header) = file(&positions, &note, &sections);
            let (back, slots) = image(&bytes).expect("sound");
            prop_assert_eq!(&back, &header);
            prop_assert_eq!(&back.positions, &positions);
            prop_assert_eq!(slots, sections.iter().map(|s| s.1).collect::<Vec<_>>());
            for (s, (written, _)) in back.sections.iter().zip(&sections) {
                let body = &bytes[s.body_at as usize..s.body_end() as usize];
                prop_assert_eq!(body, &written.body[..]);
                prop_assert_eq!(&s.token, &written.token);
            }
        }

        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), version in 0..3u32) {
            let _ = image(&bytes);
            let _ = header(&bytes, checksum(&bytes));
            let mut with_head = MAGIC.to_vec();
            with_head.extend(version.to_le_bytes());
            with_head.extend((bytes.len() as u32).to_le_bytes());
            with_head.extend(checksum(&bytes).to_le_bytes());
            with_head.extend(bytes);
            let _ = image(&with_head);
        }
    }
}
