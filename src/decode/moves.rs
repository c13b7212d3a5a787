//! Typed column moves: one field of every record of a set into one column.
//!
//! A move knows offset, width and column; the loop over the records is monomorphised by width and column type, so
//! the compiler sees constant sizes and no bounds check stays inside.

use super::element::{Clock, Side, Target};
use crate::model::{Addr, FlowBatch, MplsStack};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Move {
    pub target: Target,
    pub mode: Mode,
    /// Offset in the record.
    pub at: u16,
    /// Bytes.
    pub width: u16,
    /// Bits the value is shifted up.
    pub shift: u8,
    /// Position in the label stack, from 1.
    pub label: u8,
    /// For times.
    pub clock: Clock,
}

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
}

impl Sides {
    pub fn clear(&mut self) {
        self.columns.iter_mut().for_each(Vec::clear);
    }

    /// The values of one side; empty where the template has no such element.
    pub fn get(&self, side: Side) -> &[u64] {
        &self.columns[side as usize]
    }

    /// The value of row `i` (counted from the set's first); 0 where there is none.
    pub fn value(&self, side: Side, i: usize) -> u64 {
        self.get(side).get(i).copied().unwrap_or(0)
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

/// The records of a set: `body` is a whole number of strides.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fixed<'a> {
    pub body: &'a [u8],
    pub stride: usize,
}

/// A column of any type.
enum Column<'a> {
    Addr(&'a mut Vec<Addr>),
    U8(&'a mut Vec<u8>),
    U16(&'a mut Vec<u16>),
    U32(&'a mut Vec<u32>),
    U64(&'a mut Vec<u64>),
    Time(&'a mut Vec<i64>),
    Mpls(&'a mut Vec<MplsStack>),
}

impl Move {
    /// Moves the field of all records. Rows of `out` from its committed length on are written.
    pub fn run(&self, src: Fixed<'_>, moment: &Moment, out: &mut FlowBatch, sides: &mut Sides) {
        if self.mode != Mode::Extend || matches!(self.target, Target::Mpls) {
            return self.merge(src, moment, out, sides);
        }
        if let Target::Side(side) = self.target {
            return self.numbers(sides.column(side), src);
        }
        if self.target == Target::AppId {
            return self.app_ids(&mut out.core.app_id, src);
        }
        match column(out, self.target) {
            Some(Column::Addr(c)) => self.addresses(c, src),
            Some(Column::U8(c)) => self.numbers(c, src),
            Some(Column::U16(c)) => self.numbers(c, src),
            Some(Column::U32(c)) => self.numbers(c, src),
            Some(Column::U64(c)) => self.numbers(c, src),
            Some(Column::Time(c)) => self.times(c, src, moment),
            Some(Column::Mpls(_)) | None => {}
        }
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
            return sides.set(side, i, number(bytes));
        }
        let (row, fill) = (first + i, self.mode == Mode::FillZero);
        let value = match self.target {
            Target::AppId => app_id(bytes),
            _ => number(bytes) << self.shift,
        };
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

    #[inline(never)]
    fn merge(&self, src: Fixed<'_>, moment: &Moment, out: &mut FlowBatch, sides: &mut Sides) {
        let (first, at) = (out.len(), usize::from(self.at));
        for (i, record) in src.body.chunks_exact(src.stride).enumerate() {
            let bytes = &record[at..at + usize::from(self.width)];
            self.set(bytes, (first, i), moment, out, sides);
        }
    }

    #[inline(never)]
    fn numbers<T: Cut>(&self, to: &mut Vec<T>, src: Fixed<'_>) {
        let (at, shift) = (self.at, self.shift);
        match self.width {
            1 => fields::<1, T>(to, src, at, |b| T::cut(be(b) << shift)),
            2 => fields::<2, T>(to, src, at, |b| T::cut(be(b) << shift)),
            3 => fields::<3, T>(to, src, at, |b| T::cut(be(b) << shift)),
            4 => fields::<4, T>(to, src, at, |b| T::cut(be(b) << shift)),
            5 => fields::<5, T>(to, src, at, |b| T::cut(be(b) << shift)),
            6 => fields::<6, T>(to, src, at, |b| T::cut(be(b) << shift)),
            7 => fields::<7, T>(to, src, at, |b| T::cut(be(b) << shift)),
            _ => fields::<8, T>(to, src, at, |b| T::cut(be(b) << shift)),
        }
    }

    #[inline(never)]
    fn addresses(&self, to: &mut Vec<Addr>, src: Fixed<'_>) {
        match self.width {
            4 => fields::<4, Addr>(to, src, self.at, Addr::from_v4),
            _ => fields::<16, Addr>(to, src, self.at, Addr::from_v6),
        }
    }

    #[inline(never)]
    fn app_ids(&self, to: &mut Vec<u64>, src: Fixed<'_>) {
        let at = usize::from(self.at);
        match self.width {
            4 => fields::<4, u64>(to, src, self.at, |b| app_id(&b)),
            n => to.extend(
                src.body
                    .chunks_exact(src.stride)
                    .map(|r| app_id(&r[at..at + usize::from(n)])),
            ),
        }
    }

    #[inline(never)]
    fn times(&self, to: &mut Vec<i64>, src: Fixed<'_>, moment: &Moment) {
        let (at, export) = (self.at, moment.export_ms);
        match (self.clock, self.width) {
            (Clock::Uptime, 4) => {
                let Some(uptime) = moment.uptime_ms else {
                    return;
                };
                fields::<4, i64>(to, src, at, |b| {
                    export + i64::from(u32::from_be_bytes(b).wrapping_sub(uptime) as i32)
                });
            }
            (Clock::Millis, 8) => fields::<8, i64>(to, src, at, i64::from_be_bytes),
            (Clock::Seconds, 4) => {
                fields::<4, i64>(to, src, at, |b| i64::from(u32::from_be_bytes(b)) * 1000)
            }
            (clock, width) => {
                let (at, width) = (usize::from(at), usize::from(width));
                to.extend(
                    src.body
                        .chunks_exact(src.stride)
                        .map(|r| time(clock, number(&r[at..at + width]), moment).unwrap_or(0)),
                );
            }
        }
    }
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
        Clock::Millis => value as i64,
        Clock::NtpMicros | Clock::NtpNanos => ntp_ms(value),
        Clock::BeforeExport => {
            let micros = i128::from(moment.export_ms) * 1000 - i128::from(value);
            micros.div_euclid(1000) as i64
        }
    })
}

/// A 64-bit NTP timestamp (RFC 5905 section 6) as ms since 1970; seconds below 2^31 are of the era that begins in
/// 2036. Zero means not set and stays zero.
fn ntp_ms(value: u64) -> i64 {
    if value == 0 {
        return 0;
    }
    let (seconds, fraction) = ((value >> 32) as i64, value & 0xffff_ffff);
    let era = if seconds < 1 << 31 { 1i64 << 32 } else { 0 };
    (seconds + era - NTP_TO_UNIX_S) * 1000 + (fraction * 1000 >> 32) as i64
}

/// RFC 6759 section 4: the engine octet goes to the top byte, the selector to the low 56 bits.
pub fn app_id(bytes: &[u8]) -> u64 {
    match bytes {
        [engine, selector @ ..] => u64::from(*engine) << 56 | number(selector) & (u64::MAX >> 8),
        [] => 0,
    }
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
trait Cut: Copy + Default + PartialEq {
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
fn fields<const L: usize, T>(to: &mut Vec<T>, src: Fixed<'_>, at: u16, f: impl Fn([u8; L]) -> T) {
    let at = usize::from(at);
    assert!(at + L <= src.stride, "plans stay within the record");
    to.extend(src.body.chunks_exact(src.stride).map(|record| {
        let mut bytes = [0; L];
        bytes.copy_from_slice(&record[at..at + L]);
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

fn column(out: &mut FlowBatch, target: Target) -> Option<Column<'_>> {
    use Column::{Addr as A, Time, U8, U16, U32, U64};
    use Target as T;
    Some(match target {
        T::SrcAddr => A(&mut out.core.src_addr),
        T::DstAddr => A(&mut out.core.dst_addr),
        T::NextHop => A(&mut out.core.next_hop),
        T::Bytes => U64(&mut out.core.bytes),
        T::Packets => U64(&mut out.core.packets),
        T::AppId => U64(&mut out.core.app_id),
        T::StartMs => Time(&mut out.core.start_ms),
        T::EndMs => Time(&mut out.core.end_ms),
        T::SrcPort => U16(&mut out.core.src_port),
        T::DstPort => U16(&mut out.core.dst_port),
        T::TcpFlags => U16(&mut out.core.tcp_flags),
        T::Vlan => U16(&mut out.core.vlan),
        T::InIf => U32(&mut out.core.in_if),
        T::OutIf => U32(&mut out.core.out_if),
        T::SrcAs => U32(&mut out.core.src_as),
        T::DstAs => U32(&mut out.core.dst_as),
        T::Proto => U8(&mut out.core.proto),
        T::Tos | T::Dscp => U8(&mut out.core.tos),
        T::SrcMask => U8(&mut out.core.src_mask),
        T::DstMask => U8(&mut out.core.dst_mask),
        T::Direction => U8(&mut out.core.direction),
        T::FlowEndReason => U8(&mut out.core.flow_end_reason),
        T::ForwardingStatus => U8(&mut out.core.forwarding_status),
        T::IpVersion => U8(&mut out.core.ip_version),
        _ => return group_column(out, target),
    })
}

fn group_column(out: &mut FlowBatch, target: Target) -> Option<Column<'_>> {
    use Column::{Addr as A, Mpls, Time, U8, U16, U32, U64};
    use Target as T;
    Some(match target {
        T::NatSrcAddr => A(&mut out.nat_mut().nat_src_addr),
        T::NatDstAddr => A(&mut out.nat_mut().nat_dst_addr),
        T::NatSrcPort => U16(&mut out.nat_mut().nat_src_port),
        T::NatDstPort => U16(&mut out.nat_mut().nat_dst_port),
        T::NatEvent => U8(&mut out.nat_mut().nat_event),
        T::FirewallEvent => U8(&mut out.firewall_mut().firewall_event),
        T::FwExtEvent => U16(&mut out.firewall_mut().fw_ext_event),
        T::FlowId => U64(&mut out.firewall_mut().flow_id),
        T::EventMs => Time(&mut out.firewall_mut().event_ms),
        T::SrcMac => U64(&mut out.layer2_mut().src_mac),
        T::DstMac => U64(&mut out.layer2_mut().dst_mac),
        T::PostSrcMac => U64(&mut out.layer2_mut().post_src_mac),
        T::PostDstMac => U64(&mut out.layer2_mut().post_dst_mac),
        T::Ethertype => U16(&mut out.layer2_mut().ethertype),
        T::PostVlan => U16(&mut out.layer2_mut().post_vlan),
        T::Dot1qVlan => U16(&mut out.layer2_mut().dot1q_vlan),
        T::PostDot1qVlan => U16(&mut out.layer2_mut().post_dot1q_vlan),
        T::Dot1qCustomerVlan => U16(&mut out.layer2_mut().dot1q_customer_vlan),
        T::L2Bytes => U64(&mut out.layer2_mut().l2_bytes),
        T::Layer2SegmentId => U64(&mut out.layer2_mut().layer2_segment_id),
        T::InPhysIf => U32(&mut out.link_mut().in_phys_if),
        T::OutPhysIf => U32(&mut out.link_mut().out_phys_if),
        T::IngressVrf => U32(&mut out.link_mut().ingress_vrf),
        T::EgressVrf => U32(&mut out.link_mut().egress_vrf),
        T::Ttl => U8(&mut out.link_mut().ttl),
        T::Ipv6FlowLabel => U32(&mut out.link_mut().ipv6_flow_label),
        T::IcmpTypeCode | T::IcmpType | T::IcmpCode => U16(&mut out.link_mut().icmp_type_code),
        T::PostTos | T::PostDscp => U8(&mut out.link_mut().post_tos),
        T::OutBytes => U64(&mut out.counters_mut().out_bytes),
        T::OutPackets => U64(&mut out.counters_mut().out_packets),
        T::BytesTotal => U64(&mut out.counters_mut().bytes_total),
        T::PacketsTotal => U64(&mut out.counters_mut().packets_total),
        T::BgpNextHop => A(&mut out.bgp_mut().bgp_next_hop),
        T::SrcPeerAs => U32(&mut out.bgp_mut().src_peer_as),
        T::DstPeerAs => U32(&mut out.bgp_mut().dst_peer_as),
        T::Mpls => Mpls(&mut out.mpls_mut().mpls),
        _ => return None,
    })
}

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
            0x14 << 56 | 0x30_4400_008f34
        );
    }
}
