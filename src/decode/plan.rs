//! Templates compiled into plans: which bytes of a record go to which column, decided once.
//!
//! A template of fixed lengths is moved straight from the datagram, column by column. Of a template with fields of
//! variable length the fixed fields are first gathered side by side and moved the same way; the variable ones are
//! set row by row. So there is one meaning of every element, whatever its encoding.

use super::element::{self, Clock, Element, Kind, Side, Target};
use super::moves::{Mode, Moment, Move, shift};
use super::settings::Settings;
use super::template::Template;
use crate::model::{Field, RowFlags};

/// A field that is set row by row: of variable length, a text, a frame, or an
/// application id of unusual length.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loose {
    /// Index in the template; `usize::MAX` where it lies at a fixed place.
    pub field: usize,
    /// What it is.
    pub element: &'static Element,
    /// How it is set.
    pub step: Move,
}

/// What special counters ask for, after the columns are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Special {
    /// Bytes come from running totals (85).
    pub byte_totals: bool,
    /// Packets come from running totals (86).
    pub packet_totals: bool,
    /// The record has counters of both directions.
    pub two_way: bool,
    /// Two-way counters are those of initiator and responder (231, 232, 298, 299).
    pub initiator: bool,
    /// Counters follow the rules of firewall events (NSEL).
    pub firewall: bool,
    /// Element 160 stands in the record and times count from it.
    pub own_init: bool,
    /// Elements 1 and 2 are there.
    pub delta: bool,
}

impl Special {
    /// Whether bytes and packets are more than what the columns hold.
    pub fn counts(&self) -> bool {
        self.byte_totals || self.packet_totals || self.two_way
    }
}

/// The compiled form of a template.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Bytes from one record to the next in what the moves read.
    pub(super) stride: usize,
    pub(super) moves: Box<[Move]>,
    /// Row by row, in place: fixed places.
    pub(super) loose: Box<[Loose]>,
    /// Row by row, in place: fields of variable length.
    pub(super) variable: Box<[Loose]>,
    /// Fields to gather, as indexes in the template, where it has fields of variable length.
    pub(super) gather: Option<Box<[usize]>>,
    present: u64,
    /// Presence that hangs on a known uptime.
    uptime: u64,
    /// Flags of every row.
    pub(super) flags: u32,
    pub(super) special: Special,
    /// 4 or 6 where the addresses tell and element 60 is missing.
    pub(super) ip_version: Option<u8>,
    /// Whether the template says how it samples or which sampler it used.
    pub(super) sampled: bool,
    /// Fields that no column takes, in each record.
    pub(super) unknown: u32,
    /// Fields of an impossible length, in each record.
    pub(super) malformed: u32,
}

impl Plan {
    /// Compiles a template of flow records.
    pub fn compile(template: &Template, settings: &Settings) -> Self {
        let mut c = Compiler::default();
        c.collect(template);
        c.choose(settings);
        c.finish(template)
    }

    /// Whether every record has the same length, so that columns are moved straight from the datagram.
    pub fn is_fixed(&self) -> bool {
        self.gather.is_none()
    }

    /// The presence of every row.
    pub(super) fn present(&self, moment: &Moment) -> u64 {
        match moment.uptime_ms {
            Some(_) => self.present,
            None => self.present & !self.uptime,
        }
    }
}

/// A field that is understood, at its place.
#[derive(Clone, Copy)]
struct Found {
    element: &'static Element,
    field: usize,
    at: u16,
    width: u16,
    variable: bool,
}

#[derive(Default)]
struct Compiler {
    found: Vec<Found>,
    gather: Vec<usize>,
    stride: usize,
    unknown: u32,
    malformed: u32,
    moves: Vec<Move>,
    loose: Vec<Loose>,
    variable: Vec<Loose>,
    present: u64,
    uptime: u64,
    flags: u32,
    special: Special,
}

impl Compiler {
    /// Finds the elements that we understand; the second of one kind counts only where the first may be zero.
    fn collect(&mut self, template: &Template) {
        let (mut at, gathers) = (0usize, template.record_len.is_none());
        for (i, field) in template.fields.iter().enumerate() {
            let (variable, width) = (template.is_variable(field), usize::from(field.length));
            let place = if gathers { self.stride } else { at };
            at += if variable { 0 } else { width };
            let Some(element) = element::find(field.pen, field.element) else {
                self.unknown += u32::from(field.length > 0);
                continue;
            };
            if element.target == Target::Named || (!variable && width == 0) {
                continue;
            }
            if !variable && !element.accepts(width) {
                self.malformed += 1;
                continue;
            }
            let again = self.found.iter().any(|f| std::ptr::eq(f.element, element));
            if again && !merges(element.target) {
                continue;
            }
            self.found.push(Found {
                element,
                field: i,
                at: place as u16,
                width: if variable { 0 } else { field.length },
                variable,
            });
            if gathers && !variable {
                self.gather.push(i);
                self.stride += width;
            }
        }
        if !gathers {
            self.stride = at;
        }
    }

    fn has(&self, target: Target) -> bool {
        self.found.iter().any(|f| f.element.target == target)
    }

    fn side(&self, side: Side) -> bool {
        self.has(Target::Side(side))
    }

    fn first(&self, target: Target) -> Option<Found> {
        self.found
            .iter()
            .copied()
            .find(|f| f.element.target == target)
    }

    /// Decides which of several elements feeds a column.
    fn choose(&mut self, settings: &Settings) {
        self.choose_special(settings);
        let tos = self.has(Target::Tos);
        let post_tos = self.has(Target::PostTos);
        for found in self.found.clone() {
            let target = found.element.target;
            let best = match found.element.kind {
                Kind::Time(clock) => self.found.iter().all(|f| match f.element.kind {
                    Kind::Time(other) => f.element.target != target || rank(other) >= rank(clock),
                    _ => true,
                }),
                _ => true,
            };
            let shadowed = target == Target::Dscp && tos || target == Target::PostDscp && post_tos;
            if best && !shadowed {
                self.add(found, target);
            }
        }
        if !self.has(Target::Vlan) {
            self.add_as(Target::Dot1qVlan, Target::Vlan, 0);
        }
        self.choose_counters();
    }

    /// Bytes and packets from post counters where neither deltas nor totals are there.
    fn choose_counters(&mut self) {
        let two_way = self.special.initiator;
        if !self.has(Target::Bytes) && !self.special.byte_totals && !two_way {
            self.add_as(Target::OutBytes, Target::Bytes, RowFlags::FROM_POST);
        }
        if !self.has(Target::Packets) && !self.special.packet_totals && !two_way {
            self.add_as(Target::OutPackets, Target::Packets, RowFlags::FROM_POST);
        }
        if self.special.byte_totals {
            self.present |= Field::Bytes.bit();
            self.flags |= RowFlags::FROM_TOTAL;
        }
        if self.special.packet_totals {
            self.present |= Field::Packets.bit();
            self.flags |= RowFlags::FROM_TOTAL;
        }
        if self.side(Side::InitBytes) {
            self.present |= Field::Bytes.bit();
        }
        if self.side(Side::InitPackets) {
            self.present |= Field::Packets.bit();
        }
    }

    fn choose_special(&mut self, settings: &Settings) {
        use Side as S;
        if settings.post_is_reverse && self.has(Target::Bytes) {
            self.add_as(Target::OutBytes, Target::Side(S::RevBytes), 0);
            self.add_as(Target::OutPackets, Target::Side(S::RevPackets), 0);
        }
        let reverse = self.has(Target::Side(S::RevBytes))
            || [S::RevPackets, S::RevBytesTotal, S::RevPacketsTotal]
                .iter()
                .any(|s| self.side(*s))
            || self
                .moves
                .iter()
                .any(|m| m.target == Target::Side(S::RevBytes));
        let initiator = [S::InitBytes, S::RespBytes, S::InitPackets, S::RespPackets]
            .iter()
            .any(|s| self.side(*s));
        let cisco = self.has_number(33002) || self.has_number(40005);
        let event = self.has(Target::FirewallEvent);
        let delta = self.has(Target::Bytes) || self.has(Target::Packets);
        self.special = Special {
            byte_totals: !self.has(Target::Bytes) && self.has(Target::BytesTotal),
            packet_totals: !self.has(Target::Packets) && self.has(Target::PacketsTotal),
            two_way: reverse || initiator,
            initiator: initiator && !delta,
            firewall: event && initiator && !delta,
            own_init: self.side(S::SystemInit),
            delta,
        };
        if (cisco || event && initiator) && !delta {
            self.flags |= RowFlags::L4_BYTES;
        }
    }

    fn has_number(&self, number: u16) -> bool {
        self.found.iter().any(|f| f.element.number == number)
    }

    /// Feeds `target` with the bytes of another element.
    fn add_as(&mut self, from: Target, target: Target, flag: u32) {
        if let Some(found) = self.first(from) {
            self.flags |= flag;
            self.add(found, target);
        }
    }

    fn add(&mut self, found: Found, target: Target) {
        let seen = |list: &[Loose]| list.iter().any(|l| l.step.target == target);
        let again = self.moves.iter().any(|m| m.target == target)
            || seen(&self.loose)
            || seen(&self.variable);
        let (clock, label) = match found.element.kind {
            Kind::Time(clock) => (clock, 0),
            Kind::Mpls(position) => (Clock::Millis, position),
            _ => (Clock::Millis, 0),
        };
        let mode = match (target, again) {
            (Target::Mpls, _) | (Target::IcmpCode, _) => Mode::Or,
            (_, true) => Mode::FillZero,
            _ => Mode::Extend,
        };
        if again && !merges(target) {
            return;
        }
        let step = Move {
            target,
            mode,
            at: found.at,
            width: found.width,
            shift: shift(target),
            label,
            clock,
            step: Move::choose(target, found.width, mode),
        };
        let bit = field(target).map_or(0, Field::bit);
        let (element, field) = (found.element, found.field);
        let loose = Loose {
            field,
            element,
            step,
        };
        if found.variable {
            self.variable.push(loose);
            return;
        }
        let odd = element.kind == Kind::AppId && found.width != 4;
        if odd || matches!(element.kind, Kind::Text | Kind::Frame) {
            self.loose.push(loose);
            self.present |= bit;
            return;
        }
        self.moves.push(step);
        if step.clock == Clock::Uptime {
            self.uptime |= bit;
        }
        self.present |= bit;
    }

    fn finish(self, template: &Template) -> Plan {
        let family = |n: u16| match n {
            8 | 12 => Some(4),
            27 | 28 => Some(6),
            _ => None,
        };
        let mut families = self.found.iter().filter_map(|f| match f.element.pen {
            0 => family(f.element.number),
            _ => None,
        });
        let ip_version = match families.next() {
            Some(v) if families.all(|other| other == v) => Some(v),
            Some(_) => Some(0),
            None => None,
        };
        let sampled = SAMPLING.iter().any(|s| self.side(*s));
        Plan {
            stride: self.stride.max(1),
            loose: self.loose.into(),
            variable: self.variable.into(),
            gather: template.record_len.is_none().then(|| self.gather.into()),
            present: self.present,
            uptime: self.uptime,
            flags: self.flags,
            special: self.special,
            ip_version: ip_version
                .filter(|_| !self.moves.iter().any(|m| m.target == Target::IpVersion)),
            moves: self.moves.into(),
            sampled,
            unknown: self.unknown,
            malformed: self.malformed,
        }
    }
}

/// Which clock feeds a time where several do: the absolute ones first.
fn rank(clock: Clock) -> u8 {
    match clock {
        Clock::Millis => 0,
        Clock::Seconds => 1,
        Clock::NtpMicros => 2,
        Clock::NtpNanos => 3,
        Clock::BeforeExport => 4,
        Clock::Uptime => 5,
    }
}

/// Columns that a second element may fill where the first gave zero.
fn merges(target: Target) -> bool {
    use Target as T;
    matches!(
        target,
        T::SrcAddr
            | T::DstAddr
            | T::NextHop
            | T::BgpNextHop
            | T::NatSrcAddr
            | T::NatDstAddr
            | T::SrcPort
            | T::DstPort
            | T::SrcMask
            | T::DstMask
            | T::NatSrcPort
            | T::NatDstPort
            | T::IcmpTypeCode
            | T::IcmpType
            | T::IcmpCode
            | T::FirewallEvent
            | T::Mpls
            | T::UserName
    )
}

/// The presence bit of a column.
pub(super) fn field(target: Target) -> Option<Field> {
    use Target as T;
    Some(match target {
        T::SrcAddr => Field::SrcAddr,
        T::DstAddr => Field::DstAddr,
        T::NextHop => Field::NextHop,
        T::NatSrcAddr => Field::NatSrcAddr,
        T::NatDstAddr => Field::NatDstAddr,
        T::BgpNextHop => Field::BgpNextHop,
        T::Bytes => Field::Bytes,
        T::Packets => Field::Packets,
        T::StartMs => Field::StartMs,
        T::EndMs => Field::EndMs,
        T::EventMs => Field::EventMs,
        T::SrcPort => Field::SrcPort,
        T::DstPort => Field::DstPort,
        T::Proto => Field::Proto,
        T::Tos | T::Dscp => Field::Tos,
        T::TcpFlags => Field::TcpFlags,
        T::InIf => Field::InIf,
        T::OutIf => Field::OutIf,
        T::SrcAs => Field::SrcAs,
        T::DstAs => Field::DstAs,
        T::SrcMask => Field::SrcMask,
        T::DstMask => Field::DstMask,
        T::Vlan => Field::Vlan,
        T::Direction => Field::Direction,
        T::FlowEndReason => Field::FlowEndReason,
        T::ForwardingStatus => Field::ForwardingStatus,
        T::IpVersion => Field::IpVersion,
        T::AppId => Field::AppId,
        T::NatSrcPort => Field::NatSrcPort,
        T::NatDstPort => Field::NatDstPort,
        T::NatEvent => Field::NatEvent,
        T::FirewallEvent => Field::FirewallEvent,
        T::FwExtEvent => Field::FwExtEvent,
        T::FlowId => Field::FlowId,
        _ => return group_field(target),
    })
}

fn group_field(target: Target) -> Option<Field> {
    use Target as T;
    Some(match target {
        T::SrcMac => Field::SrcMac,
        T::DstMac => Field::DstMac,
        T::PostSrcMac => Field::PostSrcMac,
        T::PostDstMac => Field::PostDstMac,
        T::Ethertype => Field::Ethertype,
        T::PostVlan => Field::PostVlan,
        T::Dot1qVlan => Field::Dot1qVlan,
        T::PostDot1qVlan => Field::PostDot1qVlan,
        T::Dot1qCustomerVlan => Field::Dot1qCustomerVlan,
        T::L2Bytes => Field::L2Bytes,
        T::Layer2SegmentId => Field::Layer2SegmentId,
        T::InPhysIf => Field::InPhysIf,
        T::OutPhysIf => Field::OutPhysIf,
        T::IngressVrf => Field::IngressVrf,
        T::EgressVrf => Field::EgressVrf,
        T::Ttl => Field::Ttl,
        T::Ipv6FlowLabel => Field::Ipv6FlowLabel,
        T::IcmpTypeCode | T::IcmpType | T::IcmpCode => Field::IcmpTypeCode,
        T::PostTos | T::PostDscp => Field::PostTos,
        T::OutBytes => Field::OutBytes,
        T::OutPackets => Field::OutPackets,
        T::BytesTotal => Field::BytesTotal,
        T::PacketsTotal => Field::PacketsTotal,
        T::SrcPeerAs => Field::SrcPeerAs,
        T::DstPeerAs => Field::DstPeerAs,
        T::Mpls => Field::Mpls,
        T::UserName => Field::UserName,
        T::ServerName => Field::ServerName,
        T::IfName => Field::IfName,
        _ => return None,
    })
}

/// Elements that say how a record was sampled.
const SAMPLING: &[Side] = &[
    Side::SamplingInterval,
    Side::RandomInterval,
    Side::SamplerId,
    Side::PacketInterval,
    Side::PacketSpace,
    Side::SamplingSize,
    Side::SamplingPopulation,
];
