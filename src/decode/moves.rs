//! Typed column moves: one field of every record of a set into one column.
//!
//! A move knows offset, width and column; the loop over the records is monomorphised by width and column type, so
//! the compiler sees constant sizes and no bounds check stays inside.

use super::element::{Clock, Side, Target};
use super::places::{column, field, octets, step};
use crate::model::{Addr, Field, FlowBatch, MplsStack};

/// How a value meets what the column already holds for the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// The first to write: appends.
    Extend,
    /// Written where the column holds zero (a second address family, a second port element).
    FillZero,
    /// Added bit by bit (the ICMP code to its type, label stack entries).
    Or,
}

/// One field to one column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub target: Target,
    pub mode: Mode,
    /// Offset in the record.
    pub at: u16,
    /// Bytes.
    pub width: u16,
    /// Bytes up to which every value fits its column.
    pub octets: u8,
    /// Bits the value is shifted up.
    pub shift: u8,
    /// Position in the label stack, from 1.
    pub label: u8,
    /// For times.
    pub clock: Clock,
    /// The loop over the records.
    pub step: Step,
}

/// A loop that moves one field of all records.
pub(super) type Step = fn(&Move, Fixed<'_>, &Moment, &mut FlowBatch, &mut Sides);

/// What the header says about time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Export time, ms since 1970 UTC.
    pub export_ms: i64,
    /// The exporter's uptime at export, modulo 2^32 ms; `None` where it cannot be told (IPFIX without
    /// systemInitTimeMilliseconds).
    pub uptime_ms: Option<u32>,
}

/// Values that steer a pass over the rows, beside the columns.
#[derive(Debug, Default)]
pub(super) struct Sides {
    columns: [Vec<u64>; Side::COUNT],
    /// Of fields that are wider than their columns: presence bits of those that fit, by row.
    fitting: Vec<u64>,
    /// How many did not.
    pub unfit: u64,
}

impl Sides {
    pub fn clear(&mut self) {
        self.columns.iter_mut().for_each(Vec::clear);
        self.fitting.clear();
        self.unfit = 0;
    }

    /// The values of one side; empty where the template has no such element.
    pub fn get(&self, side: Side) -> &[u64] {
        &self.columns[side as usize]
    }

    /// The value of row `i` (counted from the set's first); 0 where there is none.
    pub fn value(&self, side: Side, i: usize) -> u64 {
        self.get(side).get(i).copied().unwrap_or(0)
    }

    /// Presence bits of what fits, row by row.
    pub fn fitting(&self) -> &[u64] {
        &self.fitting
    }

    fn column(&mut self, side: Side) -> &mut Vec<u64> {
        &mut self.columns[side as usize]
    }

    /// Sets one row of a side, growing it.
    fn set(&mut self, side: Side, i: usize, value: u64) {
        let column = self.column(side);
        if column.len() <= i {
            column.resize(i + 1, 0);
        }
        column[i] = value;
    }
}

/// The records of a set: `n` strides of `body`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed<'a> {
    pub body: &'a [u8],
    pub stride: usize,
    pub n: usize,
}

impl<'a> Fixed<'a> {
    /// The bytes [at, at + width) of every record.
    #[inline(always)]
    fn field(self, at: u16, width: usize) -> impl Iterator<Item = &'a [u8]> {
        let at = usize::from(at);
        (0..self.n).map(move |i| {
            let from = at + i * self.stride;
            &self.body[from..from + width]
        })
    }
}

/// A column of a batch, known at compile time.
pub(super) trait Place {
    /// What it holds.
    type Item;

    /// The column.
    fn of(out: &mut FlowBatch) -> &mut Vec<Self::Item>;
}

/// A column of any type.
pub(super) enum Column<'a> {
    Addr(&'a mut Vec<Addr>),
    U8(&'a mut Vec<u8>),
    U16(&'a mut Vec<u16>),
    U32(&'a mut Vec<u32>),
    U64(&'a mut Vec<u64>),
    Time(&'a mut Vec<i64>),
    Mpls(&'a mut Vec<MplsStack>),
}

impl Move {
    /// Chooses the loop for a move.
    pub fn choose(target: Target, width: u16, mode: Mode) -> Step {
        match target {
            _ if mode != Mode::Extend => merge,
            Target::Side(_) => side,
            // of other lengths: row by row, with what was sent
            Target::AppId => app_ids4,
            _ => step(target, width, shift(target)).unwrap_or(merge),
        }
    }

    /// Whether a number has room in its column.
    #[inline]
    pub fn fits(&self, bytes: &[u8]) -> bool {
        bytes.len() <= usize::from(self.octets) || number(bytes) <= room(self.target).1
    }

    /// Whether the column may be too narrow for what this field has.
    pub fn is_wide(&self) -> bool {
        self.width > u16::from(self.octets)
    }

    /// Moves the field of all records. Rows of `out` from its committed length on are written.
    #[inline(always)]
    pub fn run(&self, src: Fixed<'_>, moment: &Moment, out: &mut FlowBatch, sides: &mut Sides) {
        (self.step)(self, src, moment, out, sides);
    }

    /// Sets the field of one row from its bytes; `first` is the set's first row.
    pub fn set(
        &self,
        bytes: &[u8],
        (first, i): (usize, usize),
        moment: &Moment,
        out: &mut FlowBatch,
        sides: &mut Sides,
    ) {
        if let Target::Side(side) = self.target {
            return sides.set(side, i, side_value(side, bytes));
        }
        let (row, fill) = (first + i, self.mode == Mode::FillZero);
        let value = number(bytes) << self.shift;
        match column(out, self.target) {
            Some(Column::Addr(c)) => {
                let slot = slot(c, row);
                if !fill || slot.is_unspecified() {
                    *slot = address(bytes);
                }
            }
            Some(Column::U8(c)) => put(slot(c, row), value as u8, self.mode),
            Some(Column::U16(c)) => put(slot(c, row), value as u16, self.mode),
            Some(Column::U32(c)) => put(slot(c, row), value as u32, self.mode),
            Some(Column::U64(c)) => put(slot(c, row), value, self.mode),
            Some(Column::Time(c)) => {
                if let Some(t) = time(self.clock, number(bytes), moment) {
                    *slot(c, row) = t;
                }
            }
            Some(Column::Mpls(c)) => {
                let (stack, p) = (slot(c, row), usize::from(self.label) - 1);
                stack.entries[p] = value as u32;
                stack.positions |= 1 << p;
            }
            None => {}
        }
    }
}

/// Bits a target's values are shifted up: DSCP to its place in the octet, the ICMP type above the code.
pub(super) fn shift(target: Target) -> u8 {
    match target {
        Target::Dscp | Target::PostDscp => 2,
        Target::IcmpType => 8,
        _ => 0,
    }
}

/// Bytes in which a number of a target is usually sent, and the largest that its column holds.
pub(super) fn room(target: Target) -> (u8, u64) {
    match (target, octets(target)) {
        (Target::IcmpType | Target::IcmpCode, _) => (1, 0xff),
        (_, Some(n)) => (n, (u64::MAX >> (64 - 8 * u32::from(n))) >> shift(target)),
        (_, None) => (u8::MAX, u64::MAX),
    }
}

/// Row by row, numbers that are sent in more bytes than their column has: what does not fit is not there.
pub(super) fn fitting(
    m: &Move,
    src: Fixed<'_>,
    moment: &Moment,
    out: &mut FlowBatch,
    sides: &mut Sides,
) {
    let first = out.len();
    let bit = field(m.target).map_or(0, Field::bit);
    sides.fitting.resize(src.n, 0);
    for (i, bytes) in src.field(m.at, usize::from(m.width)).enumerate() {
        if m.fits(bytes) {
            m.set(bytes, (first, i), moment, out, sides);
            sides.fitting[i] |= bit;
        } else {
            sides.unfit += 1;
        }
    }
}

/// Row by row: second families, label stacks.
fn merge(m: &Move, src: Fixed<'_>, moment: &Moment, out: &mut FlowBatch, sides: &mut Sides) {
    let first = out.len();
    for (i, bytes) in src.field(m.at, usize::from(m.width)).enumerate() {
        m.set(bytes, (first, i), moment, out, sides);
    }
}

/// Numbers of the usual widths, as they are.
pub(super) fn numbers<P, const L: usize>(
    m: &Move,
    src: Fixed<'_>,
    _: &Moment,
    out: &mut FlowBatch,
    _: &mut Sides,
) where
    P: Place,
    P::Item: Cut,
{
    fields::<L, P::Item>(P::of(out), src, m.at, |b| P::Item::cut(be(b)));
}

/// Numbers of any width, shifted.
pub(super) fn numbers_of<P>(
    m: &Move,
    src: Fixed<'_>,
    _: &Moment,
    out: &mut FlowBatch,
    _: &mut Sides,
) where
    P: Place,
    P::Item: Cut,
{
    let (values, shift) = (src.field(m.at, usize::from(m.width)), m.shift);
    P::of(out).extend(values.map(|b| P::Item::cut(number(b) << shift)));
}

/// Addresses of both families.
pub(super) fn addresses<P: Place<Item = Addr>>(
    m: &Move,
    src: Fixed<'_>,
    _: &Moment,
    out: &mut FlowBatch,
    _: &mut Sides,
) {
    let to = P::of(out);
    match m.width {
        4 => fields::<4, Addr>(to, src, m.at, Addr::from_v4),
        _ => fields::<16, Addr>(to, src, m.at, Addr::from_v6),
    }
}

/// Times, to milliseconds since 1970.
pub(super) fn times<P: Place<Item = i64>>(
    m: &Move,
    src: Fixed<'_>,
    moment: &Moment,
    out: &mut FlowBatch,
    _: &mut Sides,
) {
    let (to, at, export) = (P::of(out), m.at, moment.export_ms);
    match (m.clock, m.width) {
        (Clock::Uptime, 4) => {
            let Some(uptime) = moment.uptime_ms else {
                return;
            };
            fields::<4, i64>(to, src, at, move |b| {
                export + i64::from(u32::from_be_bytes(b).wrapping_sub(uptime) as i32)
            });
        }
        (Clock::Millis, 8) => fields::<8, i64>(to, src, at, |b| millis(u64::from_be_bytes(b))),
        (clock, width) => {
            let values = src.field(at, usize::from(width));
            to.extend(values.map(|b| time(clock, number(b), moment).unwrap_or(0)));
        }
    }
}

/// Values beside the columns.
fn side(m: &Move, src: Fixed<'_>, _: &Moment, _: &mut FlowBatch, sides: &mut Sides) {
    let Target::Side(side) = m.target else { return };
    let to = sides.column(side);
    match m.width {
        n if side == Side::OneIn => {
            to.extend(src.field(m.at, usize::from(n)).map(|b| side_value(side, b)));
        }
        1 => fields::<1, u64>(to, src, m.at, be),
        2 => fields::<2, u64>(to, src, m.at, be),
        4 => fields::<4, u64>(to, src, m.at, be),
        8 => fields::<8, u64>(to, src, m.at, be),
        n => to.extend(src.field(m.at, usize::from(n)).map(number)),
    }
}

/// The value of a side from the bytes of its element.
pub(super) fn side_value(side: Side, bytes: &[u8]) -> u64 {
    let probability = match (side, bytes) {
        (Side::OneIn, &[a, b, c, d]) => f64::from(f32::from_be_bytes([a, b, c, d])),
        (Side::OneIn, &[a, b, c, d, e, f, g, h]) => f64::from_be_bytes([a, b, c, d, e, f, g, h]),
        _ => return number(bytes),
    };
    if probability > 0.0 && probability <= 1.0 {
        // the cast keeps within the range
        (1.0 / probability).round() as u64
    } else {
        0
    }
}

/// Application ids of the usual length (RFC 6759: one octet of engine, three of selector).
fn app_ids4(m: &Move, src: Fixed<'_>, _: &Moment, out: &mut FlowBatch, _: &mut Sides) {
    fields::<4, u64>(&mut out.core.app_id, src, m.at, |b| app_id(&b));
}

/// Milliseconds since 1970 UTC, cut, not rounded; `None` where the uptime is not known.
pub fn time(clock: Clock, value: u64, moment: &Moment) -> Option<i64> {
    Some(match clock {
        // the difference is taken modulo 2^32, which undoes the wrap after 49.7 days
        Clock::Uptime => {
            let since = (value as u32).wrapping_sub(moment.uptime_ms?) as i32;
            moment.export_ms + i64::from(since)
        }
        Clock::Seconds => (value as i64).saturating_mul(1000),
        Clock::Millis => millis(value),
        Clock::NtpMicros | Clock::NtpNanos => ntp_ms(value),
        Clock::BeforeExport => {
            let micros = i128::from(moment.export_ms) * 1000 - i128::from(value);
            micros.div_euclid(1000) as i64
        }
    })
}

/// Milliseconds as sent. What no column holds becomes the last there is, which is never a possible time
/// ([`super::rows`] flags it), and not one before 1970.
#[inline(always)]
fn millis(value: u64) -> i64 {
    value.min(i64::MAX as u64) as i64
}

/// A 64-bit NTP timestamp (RFC 5905 section 6) as ms since 1970; seconds below 2^31 are of the era that begins in
/// 2036. Zero means not set and stays zero.
fn ntp_ms(value: u64) -> i64 {
    if value == 0 {
        return 0;
    }
    let (seconds, fraction) = ((value >> 32) as i64, value & 0xffff_ffff);
    let era = if seconds < 1 << 31 { 1i64 << 32 } else { 0 };
    (seconds + era - NTP_TO_UNIX_S) * 1000 + ((fraction * 1000) >> 32) as i64
}

/// RFC 6759 section 4: the engine octet goes to the top byte, the selector to the low 56 bits; of a selector that
/// does not fit, its FNV-1a hash.
pub fn app_id(bytes: &[u8]) -> u64 {
    let [engine, selector @ ..] = bytes else {
        return 0;
    };
    let (high, _) = selector.split_at(selector.len().saturating_sub(7));
    let low = if high.iter().all(|b| *b == 0) {
        number(selector)
    } else {
        selector.iter().fold(FNV_BASIS, |hash, b| {
            (hash ^ u64::from(*b)).wrapping_mul(FNV_PRIME)
        })
    };
    u64::from(*engine) << 56 | low & (u64::MAX >> 8)
}

/// A big-endian number of up to 8 bytes; of longer ones the low 8.
#[inline(always)]
pub fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

/// An address of 4 or 16 bytes; unspecified otherwise.
pub fn address(bytes: &[u8]) -> Addr {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        Addr::from_v4(v4)
    } else {
        <[u8; 16]>::try_from(bytes).map_or(Addr::UNSPECIFIED, Addr::from_v6)
    }
}

/// Narrows to the column's type.
pub(super) trait Cut: Copy + Default + PartialEq {
    /// The low bits.
    fn cut(value: u64) -> Self;
}

macro_rules! cut {
    ($($ty:ty),*) => { $(impl Cut for $ty {
        #[inline(always)]
        fn cut(value: u64) -> Self { value as $ty }
    })* };
}
cut!(u8, u16, u32, u64);

#[inline(always)]
fn be<const L: usize>(bytes: [u8; L]) -> u64 {
    let mut wide = [0; 8];
    wide[8 - L..].copy_from_slice(&bytes);
    u64::from_be_bytes(wide)
}

/// The bytes [at, at + L) of every record, through `f`, to the end of a column.
#[inline(always)]
fn fields<const L: usize, T>(
    to: &mut Vec<T>,
    Fixed { body, stride, n }: Fixed<'_>,
    at: u16,
    f: impl Fn([u8; L]) -> T,
) {
    let at = usize::from(at);
    // indexes instead of chunks: chunks would divide once a column; all is moved in, so that the loop keeps it in
    // registers
    to.extend((0..n).map(move |i| {
        let from = at + i * stride;
        let mut bytes = [0; L];
        bytes.copy_from_slice(&body[from..from + L]);
        f(bytes)
    }));
}

fn slot<T: Clone + Default>(column: &mut Vec<T>, row: usize) -> &mut T {
    if column.len() <= row {
        column.resize(row + 1, T::default());
    }
    &mut column[row]
}

fn put<T>(slot: &mut T, value: T, mode: Mode)
where
    T: Copy + Default + PartialEq + std::ops::BitOrAssign,
{
    match mode {
        Mode::Extend => *slot = value,
        Mode::FillZero if *slot == T::default() => *slot = value,
        Mode::FillZero => {}
        Mode::Or => *slot |= value,
    }
}

const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

const FNV_PRIME: u64 = 0x100_0000_01b3;

/// Seconds from 1900 to 1970.
const NTP_TO_UNIX_S: i64 = 2_208_988_800;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uptime_wraps_are_undone() {
        let m = Moment {
            export_ms: 1_000_000,
            uptime_ms: Some(5_000),
        };
        assert_eq!(time(Clock::Uptime, 4_000, &m), Some(999_000));
        // one millisecond before the counter wrapped
        assert_eq!(time(Clock::Uptime, 0xffff_ffff, &m), Some(994_999));
        assert_eq!(time(Clock::Uptime, 1, &Moment::default()), None);
    }

    #[test]
    fn ntp_is_cut_to_milliseconds() {
        let at = |s: u64, fraction: u64| (s + NTP_TO_UNIX_S as u64) << 32 | fraction;
        assert_eq!(ntp_ms(at(1, 0xffff_ffff)), 1_999);
        assert_eq!(ntp_ms(at(1, 1 << 31)), 1_500);
        assert_eq!(ntp_ms(0), 0);
        // the era that begins on 7 February 2036
        assert_eq!(ntp_ms(0), 0);
        assert_eq!(ntp_ms(1 << 32), ((1i64 << 32) + 1 - NTP_TO_UNIX_S) * 1000);
    }

    #[test]
    fn milliseconds_that_no_column_holds_stay_the_last() {
        let m = Moment::default();
        for (sent, ms) in [(u64::MAX, i64::MAX), (1 << 63, i64::MAX), (7, 7)] {
            assert_eq!(time(Clock::Millis, sent, &m), Some(ms));
        }
    }

    #[test]
    fn probabilities_are_intervals() {
        let of = |bytes: &[u8]| side_value(Side::OneIn, bytes);
        assert_eq!(of(&0.001f64.to_be_bytes()), 1000);
        assert_eq!(of(&0.25f32.to_be_bytes()), 4);
        for odd in [0.0, -1.0, 2.0, f64::NAN, f64::INFINITY] {
            assert_eq!(of(&odd.to_be_bytes()), 0, "{odd}");
        }
        assert_eq!(of(&f64::MIN_POSITIVE.to_be_bytes()), u64::MAX);
    }

    #[test]
    fn times_before_export() {
        let m = Moment {
            export_ms: 10_000,
            uptime_ms: None,
        };
        assert_eq!(time(Clock::BeforeExport, 1_500, &m), Some(9_998));
    }

    #[test]
    fn application_ids_of_any_length() {
        assert_eq!(app_id(&[13, 0, 1, 223]), 13 << 56 | 479);
        assert_eq!(app_id(&[3]), 3 << 56);
        // engine 20: enterprise and selector (FortiOS)
        assert_eq!(
            app_id(&[0x14, 0, 0, 0x30, 0x44, 0, 0, 0x8f, 0x34]),
            0x14 << 56 | 0x3044_0000_8f34
        );
        // a selector above 56 bits keeps its engine and stays apart from its neighbours
        let long = [0x14, 1, 0, 0x30, 0x44, 0, 0, 0x8f, 0x34];
        assert_eq!(app_id(&long) >> 56, 0x14);
        assert_ne!(
            app_id(&long),
            app_id(&[0x14, 2, 0, 0x30, 0x44, 0, 0, 0x8f, 0x34])
        );
    }
}
