//! Templates compiled into plans: which bytes of a record go to which column, decided once.
//!
//! A template of fixed lengths is moved straight from the datagram, column by column. Of a template with fields of
//! variable length the fixed fields are first gathered side by side and moved the same way; the variable ones are
//! set row by row. So there is one meaning of every element, whatever its encoding.

use super::element::{self, Clock, Element, Kind, Side, Target};
use super::moves::{Mode, Moment, Move, fitting, room, shift};
use super::places::{field, merges};
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
    /// The end is the start and a duration (161, 162), or the start the end less it.
    pub lasts: bool,
    /// Elements 1 and 2 are there.
    pub delta: bool,
    /// The start of running totals counts back from the time of export.
    pub start_before_export: bool,
}

impl Special {
    /// Whether bytes and packets are more than what the columns hold.
    pub fn counts(&self) -> bool {
        self.byte_totals || self.packet_totals || self.two_way
    }
}

/// Elements of the reverse direction whose forward twins are columns.
#[derive(Clone, Debug, Default)]
pub(super) struct Back {
    /// At fixed places.
    pub fixed: Box<[Loose]>,
    /// Of variable length.
    pub variable: Box<[Loose]>,
}

impl Back {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.variable.is_empty()
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
    /// Fields of the reverse direction, set in reverse rows alone.
    pub(super) back: Back,
    /// Fields to gather, as indexes in the template, where it has fields of variable length.
    pub(super) gather: Option<Box<[usize]>>,
    present: u64,
    /// Some field is wider than its column: whether it is there depends on its value.
    pub(super) fits: bool,
    /// Presence that hangs on a known uptime.
    uptime: u64,
    /// Times that count from the header's clock, of forward and of reverse rows: presence bits.
    pub(super) relative: [u64; 2],
    /// Flags of every row.
    pub(super) flags: u32,
    pub(super) special: Special,
    /// Addresses of either family have a place.
    pub(super) both_families: bool,
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

    /// Bytes of memory behind the plan itself.
    pub(super) fn heap_bytes(&self) -> usize {
        let gather = self.gather.as_deref().map_or(0, size_of_val);
        let loose = [
            &self.loose,
            &self.variable,
            &self.back.fixed,
            &self.back.variable,
        ];
        let loose: usize = loose.into_iter().map(|l| size_of_val(&**l)).sum();
        size_of_val(&*self.moves) + loose + gather
    }

    /// Whether every record has the same length, so that columns are moved straight from the datagram.
    pub fn is_fixed(&self) -> bool {
        self.gather.is_none()
    }

    /// The fields of variable length that matter, in the order in which their spans are noted.
    pub(super) fn noted(&self) -> impl Iterator<Item = &Loose> {
        self.variable.iter().chain(&self.back.variable)
    }

    /// How many spans are noted for each record.
    pub(super) fn noted_len(&self) -> usize {
        self.variable.len() + self.back.variable.len()
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
    version: u8,
    found: Vec<Found>,
    /// The same for elements of the reverse direction, as their forward twins.
    back: Vec<Found>,
    gather: Vec<usize>,
    stride: usize,
    unknown: u32,
    malformed: u32,
    moves: Vec<Move>,
    loose: Vec<Loose>,
    variable: Vec<Loose>,
    back_fixed: Vec<Loose>,
    back_variable: Vec<Loose>,
    present: u64,
    uptime: u64,
    flags: u32,
    special: Special,
}

impl Compiler {
    /// Finds the elements that we understand; the second of one kind counts only where the first may be zero.
    fn collect(&mut self, template: &Template) {
        self.version = template.version;
        let (mut at, gathers) = (0usize, template.record_len.is_none());
        for (i, field) in template.fields.iter().enumerate() {
            let (variable, width) = (template.is_variable(field), usize::from(field.length));
            let place = if gathers { self.stride } else { at };
            at += if variable { 0 } else { width };
            let forward = element::find(field.pen, field.element);
            let twin = || element::reverse_of(field.pen, field.element);
            let Some(element) = forward.or_else(twin) else {
                self.unknown += u32::from(field.length > 0);
                continue;
            };
            let list = match forward {
                Some(_) => &mut self.found,
                None => &mut self.back,
            };
            if element.target == Target::Named || (!variable && width == 0) {
                continue;
            }
            if !variable && !element.accepts(width) {
                self.malformed += 1;
                continue;
            }
            let again = list.iter().any(|f| std::ptr::eq(f.element, element));
            if again && !merges(element.target) {
                continue;
            }
            list.push(Found {
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
        beside_variable(&mut self.found);
        beside_variable(&mut self.back);
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
        for found in best(&self.found) {
            self.add(found, found.element.target);
        }
        if !self.has(Target::Vlan) {
            self.add_as(Target::Dot1qVlan, Target::Vlan, 0);
        }
        if self.has(Target::Dscp) && !self.has(Target::Tos) {
            self.flags |= RowFlags::DSCP_ONLY;
        }
        self.choose_counters();
        self.choose_start();
        self.choose_back();
    }

    /// The same choice for the reverse direction.
    fn choose_back(&mut self) {
        let mut chosen: Vec<(Found, Target)> = best(&self.back)
            .into_iter()
            .map(|found| (found, found.element.target))
            .collect();
        let of = |target| move |f: &&(Found, Target)| f.1 == target;
        if !chosen.iter().any(|f| f.1 == Target::Vlan)
            && let Some(&(found, _)) = chosen.iter().find(of(Target::Dot1qVlan))
        {
            chosen.push((found, Target::Vlan));
        }
        for (found, target) in chosen {
            let known = self.back_fixed.iter().chain(&self.back_variable);
            let Some(mode) = mode(target, known.map(|l| l.step.target)) else {
                continue;
            };
            let list = match found.variable {
                true => &mut self.back_variable,
                false => &mut self.back_fixed,
            };
            list.push(loose(found, target, mode));
        }
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

    /// How the start tells flows with running totals apart: an uptime as it was sent, since its time moves with the header,
    /// which has whole seconds.
    fn choose_start(&mut self) {
        let reverse = self.side(Side::RevBytesTotal) || self.side(Side::RevPacketsTotal);
        if !reverse && !self.special.byte_totals && !self.special.packet_totals {
            return;
        }
        let mut found = best(&self.found).into_iter();
        let start = found.find(|f| f.element.target == Target::StartMs);
        match start.map(|f| (f, f.element.kind)) {
            Some((f, Kind::Time(Clock::Uptime))) => self.add(f, Target::Side(Side::StartUptime)),
            Some((_, Kind::Time(Clock::BeforeExport))) => self.special.start_before_export = true,
            _ => {}
        }
    }

    fn choose_special(&mut self, settings: &Settings) {
        use Side as S;
        if settings.post_is_reverse && self.has(Target::Bytes) {
            self.add_as(Target::OutBytes, Target::Side(S::RevBytes), 0);
            self.add_as(Target::OutPackets, Target::Side(S::RevPackets), 0);
        }
        if !self.side(S::RevBytes) && !self.side(S::RevBytesTotal) {
            self.add_back_as(Target::OutBytes, S::RevBytes);
        }
        if !self.side(S::RevPackets) && !self.side(S::RevPacketsTotal) {
            self.add_back_as(Target::OutPackets, S::RevPackets);
        }
        let reverse = self.has(Target::Side(S::RevBytes))
            || [S::RevPackets, S::RevBytesTotal, S::RevPacketsTotal]
                .iter()
                .any(|s| self.side(*s))
            || [S::RevBytes, S::RevPackets]
                .iter()
                .any(|s| self.moves.iter().any(|m| m.target == Target::Side(*s)));
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
            // of NetFlow 9 the header has the uptime
            own_init: self.version == 10 && self.side(S::SystemInit),
            lasts: (self.side(S::DurationMs) || self.side(S::DurationUs))
                && self.has(Target::StartMs) != self.has(Target::EndMs),
            delta,
            start_before_export: false,
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

    /// Counts bytes or packets of the reverse direction from what left the exporter, where nothing else tells them.
    fn add_back_as(&mut self, from: Target, side: Side) {
        let mut back = self.back.iter().copied();
        if let Some(found) = back.find(|f| f.element.target == from && !f.variable) {
            self.add(found, Target::Side(side));
        }
    }

    fn add(&mut self, found: Found, target: Target) {
        let rows = self.loose.iter().chain(&self.variable);
        let known = self.moves.iter().chain(rows.map(|l| &l.step));
        let Some(mode) = mode(target, known.map(|m| m.target)) else {
            return;
        };
        let loose = loose(found, target, mode);
        let step = loose.step;
        let bit = field(target).map_or(0, Field::bit);
        if found.variable {
            self.variable.push(loose);
            return;
        }
        let kind = found.element.kind;
        let odd = kind == Kind::AppId && found.width != 4;
        if odd || matches!(kind, Kind::Text | Kind::Frame) {
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

    /// Times of forward and of reverse rows that count from the header's clock. The uptimes of IPFIX count from the time that
    /// element 160 tells.
    fn relative(&self) -> [u64; 2] {
        let from_header = |step: &Move| match step.clock {
            Clock::BeforeExport => true,
            Clock::Uptime => self.version != 10,
            _ => false,
        };
        let time = |step: &&Move| matches!(step.target, Target::StartMs | Target::EndMs);
        let bits = |bits: u64, step: &Move| match (field(step.target), from_header(step)) {
            (Some(f), true) => bits | f.bit(),
            (Some(f), false) => bits & !f.bit(),
            _ => bits,
        };
        let rows = self.loose.iter().chain(&self.variable);
        let rows = self.moves.iter().chain(rows.map(|l| &l.step));
        let forward = rows.filter(time).fold(0, bits);
        let back = self.back_fixed.iter().chain(&self.back_variable);
        let back = back.map(|l| &l.step).filter(time).fold(forward, bits);
        [forward, back]
    }

    /// Columns that a field feeds which is wider than they are take each value only where it fits. Returns their presence bits.
    fn check_wide(&mut self) -> u64 {
        let bit = |m: &Move| field(m.target).map_or(0, Field::bit);
        let wide = self.moves.iter().filter(|m| m.is_wide());
        let bits = wide.fold(0, |bits, m| bits | bit(m));
        for m in self.moves.iter_mut().filter(|m| bit(m) & bits != 0) {
            m.step = fitting;
        }
        self.present &= !bits;
        bits
    }

    fn finish(mut self, template: &Template) -> Plan {
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
        let both_families = ip_version == Some(0);
        let sampled = SAMPLING.iter().any(|s| self.side(*s));
        let relative = self.relative();
        let fits = self.check_wide();
        Plan {
            stride: self.stride.max(1),
            loose: self.loose.into(),
            variable: self.variable.into(),
            back: Back {
                fixed: self.back_fixed.into(),
                variable: self.back_variable.into(),
            },
            gather: template.record_len.is_none().then(|| self.gather.into()),
            present: self.present,
            fits: fits != 0,
            uptime: self.uptime,
            relative,
            flags: self.flags,
            special: self.special,
            both_families,
            ip_version: ip_version
                .filter(|_| !self.moves.iter().any(|m| m.target == Target::IpVersion)),
            moves: self.moves.into(),
            sampled,
            unknown: self.unknown,
            malformed: self.malformed,
        }
    }
}

/// Fields that share a column with one of variable length are set row by row, too: what counts depends on their order in the
/// template, not on how they are encoded.
fn beside_variable(found: &mut [Found]) {
    let variable = found
        .iter()
        .filter(|f| f.variable && merges(f.element.target));
    let columns = variable.fold(0, |bits, f| {
        bits | field(f.element.target).map_or(0, Field::bit)
    });
    for f in found {
        let bit = field(f.element.target).map_or(0, Field::bit);
        f.variable |= merges(f.element.target) && bit & columns != 0;
    }
}

/// Of several elements that feed one column, those that count: the best clock, the whole octet before its DSCP.
fn best(found: &[Found]) -> Vec<Found> {
    let has = |target| found.iter().any(|f| f.element.target == target);
    let counts = |one: &&Found| {
        let target = one.element.target;
        match one.element.kind {
            Kind::Time(clock) => found.iter().all(|f| match f.element.kind {
                Kind::Time(other) => f.element.target != target || rank(other) >= rank(clock),
                _ => true,
            }),
            _ if target == Target::Dscp => !has(Target::Tos),
            _ if target == Target::PostDscp => !has(Target::PostTos),
            _ => true,
        }
    };
    found.iter().filter(counts).copied().collect()
}

/// How a field meets what those before it put into its column; `None` where it does not count.
fn mode(target: Target, known: impl Iterator<Item = Target> + Clone) -> Option<Mode> {
    let again = known.clone().any(|t| t == target);
    let shared = || known.clone().any(|t| field(t) == field(target));
    match target {
        _ if again && !merges(target) => None,
        Target::Mpls | Target::IcmpCode => Some(Mode::Or),
        _ if again => Some(Mode::FillZero),
        Target::IcmpType if shared() => Some(Mode::Or),
        Target::IcmpTypeCode if shared() => Some(Mode::FillZero),
        _ => Some(Mode::Extend),
    }
}

/// How a field is set.
fn loose(found: Found, target: Target, mode: Mode) -> Loose {
    let (clock, label) = match found.element.kind {
        Kind::Time(clock) => (clock, 0),
        Kind::Mpls(position) => (Clock::Millis, position),
        _ => (Clock::Millis, 0),
    };
    let step = Move {
        target,
        mode,
        at: found.at,
        width: found.width,
        octets: room(target).0,
        shift: shift(target),
        label,
        clock,
        step: Move::choose(target, found.width, mode),
    };
    Loose {
        field: found.field,
        element: found.element,
        step,
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

/// Elements that say how a record was sampled.
const SAMPLING: &[Side] = &[
    Side::SamplingInterval,
    Side::RandomInterval,
    Side::SamplerId,
    Side::PacketInterval,
    Side::PacketSpace,
    Side::SamplingSize,
    Side::SamplingPopulation,
    Side::OneIn,
];
