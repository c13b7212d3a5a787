//! NetFlow version 9 (RFC 3954) and IPFIX (RFC 7011): templates, options data and records by template.

use super::exporter::put;
use super::{Export, Exporter, Flow, Profile, SERVICES, Stamp};
use std::collections::VecDeque;

/// What an exporter of templates remembers.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// Datagrams of options data and templates still to be sent before the next data.
    announcements: VecDeque<Announcement>,
    announced: bool,
    data_since: u64,
    /// Flows that wait for a datagram of their family: IPv4, IPv6.
    waiting: [VecDeque<Flow>; 2],
    waiting_bytes: [usize; 2],
    pair: u16,
}

/// What a datagram without flows tells.
#[derive(Clone, Copy, Debug)]
enum Announcement {
    /// Pairs of templates from this one on, at most [`PAIRS`].
    Templates(u16),
    OptionsTemplates,
    /// Names of applications from this one on.
    Applications(usize),
    Interfaces,
    Sampler,
}

pub(super) fn write(e: &mut Exporter, now_ms: i64, out: &mut Export) {
    let inline = announce(e);
    let v9 = is_v9(e);
    out.payload.resize(if v9 { 20 } else { 16 }, 0);
    let mut units = 0;
    if inline {
        units += templates(e, 0, out);
    }
    let records = match e.template.announcements.pop_front() {
        Some(announcement) => {
            let (told, records) = tell(e, announcement, out);
            units += told;
            out.others = records;
            records
        }
        None => {
            e.template.data_since += 1;
            data(e, now_ms, out);
            out.flows.len() as u32
        }
    };
    out.units = if v9 { 1 } else { records };
    header(e, now_ms, (units + records) as u16, out);
}

/// Length of the fixed fields of a record.
fn record_bytes(profile: Profile, v6: bool) -> usize {
    fields(profile, v6)
        .map(|(_, length)| {
            if length == VARIABLE {
                0
            } else {
                usize::from(length)
            }
        })
        .sum()
}

/// Queues announcements when they are due; true when the templates are to ride with the next data.
fn announce(e: &mut Exporter) -> bool {
    let due = !e.template.announced || e.template.data_since >= e.habits.templates_every;
    if !due {
        return false;
    }
    e.template.announced = true;
    e.template.data_since = 0;
    let pairs = pairs(e);
    let inline = pairs <= 2 && matches!(e.profile, Profile::LoadV9 | Profile::LoadIpfix);
    let queue = &mut e.template.announcements;
    if !inline {
        queue.extend(
            (0..pairs)
                .step_by(usize::from(PAIRS))
                .map(Announcement::Templates),
        );
    }
    if matches!(e.profile, Profile::Router | Profile::Gateway) {
        queue.push_back(Announcement::OptionsTemplates);
        if e.profile == Profile::Router {
            queue.extend(
                (0..SERVICES.len())
                    .step_by(NAMES)
                    .map(Announcement::Applications),
            );
        }
        queue.extend([Announcement::Interfaces, Announcement::Sampler]);
    }
    inline
}

/// Writes an announcement; gives the number of templates and of records in it.
fn tell(e: &Exporter, announcement: Announcement, out: &mut Export) -> (u32, u32) {
    match announcement {
        Announcement::Templates(first) => (templates(e, first, out), 0),
        Announcement::OptionsTemplates => {
            out.templates = true;
            (options_templates(e, out), 0)
        }
        Announcement::Applications(first) => {
            let at = begin(APPLICATIONS, out);
            let names = SERVICES.iter().skip(first).take(NAMES);
            for s in names.clone() {
                put(&mut out.payload, u64::from(e.number), 4);
                put(&mut out.payload, u64::from(s.app_id), 4);
                padded(s.name, 24, out);
                padded(s.description, 55, out);
            }
            end(at, out);
            (0, names.count() as u32)
        }
        Announcement::Interfaces => {
            let at = begin(INTERFACES, out);
            let interfaces = e.interfaces();
            for (index, name, description) in &interfaces {
                if is_v9(e) {
                    put(&mut out.payload, u64::from(e.number), 4);
                    put(&mut out.payload, u64::from(*index), 4);
                    padded(name, 32, out);
                    padded(description, 64, out);
                } else {
                    put(&mut out.payload, u64::from(*index), 4);
                    variable(name, out);
                    variable(description, out);
                }
            }
            end(at, out);
            (0, interfaces.len() as u32)
        }
        Announcement::Sampler => {
            let at = begin(SAMPLER, out);
            let n = u64::from(e.habits.sampling.max(1));
            // v9: scope, sampler 1, mode 2 (random), interval; IPFIX: scope, systematic count-based, interval 1, space N - 1
            let values: &[(u64, usize)] = if is_v9(e) {
                &[(u64::from(e.number), 4), (1, 1), (2, 1), (n, 4)]
            } else {
                &[(u64::from(e.domain()), 4), (1, 2), (1, 4), (n - 1, 4)]
            };
            values
                .iter()
                .for_each(|(value, width)| put(&mut out.payload, *value, *width));
            end(at, out);
            (0, 1)
        }
    }
}

/// Writes the data templates of up to [`PAIRS`] pairs; gives their number.
fn templates(e: &Exporter, first: u16, out: &mut Export) -> u32 {
    out.templates = true;
    let at = begin(if is_v9(e) { 0 } else { 2 }, out);
    let last = (first + PAIRS).min(pairs(e));
    for pair in first..last {
        for v6 in [false, true] {
            put(&mut out.payload, u64::from(template_id(pair, v6)), 2);
            put(&mut out.payload, fields(e.profile, v6).count() as u64, 2);
            fields(e.profile, v6).for_each(|f| field(f, out));
        }
    }
    end(at, out);
    2 * u32::from(last - first)
}

fn options_templates(e: &Exporter, out: &mut Export) -> u32 {
    let v9 = is_v9(e);
    let at = begin(if v9 { 1 } else { 3 }, out);
    let tables: &[(u16, &[(u16, u16)])] = if v9 { V9_OPTIONS } else { IPFIX_OPTIONS };
    for (id, table) in tables {
        put(&mut out.payload, u64::from(*id), 2);
        if v9 {
            put(&mut out.payload, 4, 2);
            put(&mut out.payload, 4 * (table.len() as u64 - 1), 2);
        } else {
            put(&mut out.payload, table.len() as u64, 2);
            put(&mut out.payload, 1, 2);
        }
        table.iter().for_each(|f| field(*f, out));
    }
    end(at, out);
    tables.len() as u32
}

/// Fills the rest of the datagram with flows: exporters of even number send one family a datagram, odd ones mix.
fn data(e: &mut Exporter, now_ms: i64, out: &mut Export) {
    let pair = e.template.pair;
    e.template.pair = (pair + 1) % pairs(e);
    let room = e
        .habits
        .datagram_max
        .saturating_sub(out.payload.len() + SET_OVERHEAD);
    let families = if e.number.is_multiple_of(2) {
        while e.template.waiting_bytes.iter().all(|bytes| *bytes < room) {
            wait(e, now_ms);
        }
        let v6 = e.template.waiting_bytes[0] < room;
        let flows = take(e, |f| f.is_v6() == v6, room);
        [(v6, flows), (!v6, Vec::new())]
    } else {
        let room = room - SET_OVERHEAD;
        while e.template.waiting_bytes.iter().sum::<usize>() < room {
            wait(e, now_ms);
        }
        let v4 = take(e, |f| !f.is_v6(), room);
        let used: usize = v4.iter().map(|f| size(e.profile, f)).sum();
        let v6 = take(e, Flow::is_v6, room - used);
        [(false, v4), (true, v6)]
    };
    for (v6, flows) in families.into_iter().filter(|(_, flows)| !flows.is_empty()) {
        let at = begin(template_id(pair, v6), out);
        flows.iter().for_each(|f| record(e, f, out));
        end(at, out);
        out.flows.extend(flows);
    }
}

fn wait(e: &mut Exporter, now_ms: i64) {
    let flow = e.flow(now_ms);
    let family = usize::from(flow.is_v6());
    e.template.waiting_bytes[family] += size(e.profile, &flow);
    e.template.waiting[family].push_back(flow);
}

/// Takes waiting flows of one family that fit into `room` bytes, in order.
fn take(e: &mut Exporter, family: impl Fn(&Flow) -> bool, mut room: usize) -> Vec<Flow> {
    let mut taken = Vec::new();
    for (queue, bytes) in e
        .template
        .waiting
        .iter_mut()
        .zip(&mut e.template.waiting_bytes)
    {
        while let Some(flow) = queue
            .front()
            .filter(|f| family(f) && size(e.profile, f) <= room)
        {
            let size = size(e.profile, flow);
            room -= size;
            *bytes -= size;
            taken.extend(queue.pop_front());
        }
    }
    taken
}

/// Bytes of a flow's record.
fn size(profile: Profile, flow: &Flow) -> usize {
    let texts = match profile {
        Profile::Gateway => {
            3 + flow.service.name.len() + flow.service.host.len() + interface_name(flow.in_if).len()
        }
        _ => 0,
    };
    texts + record_bytes(profile, flow.is_v6())
}

fn record(e: &Exporter, f: &Flow, out: &mut Export) {
    for (element, length) in fields(e.profile, f.is_v6()) {
        let width = usize::from(length);
        let value = match element {
            8 | 12 | 15 | 27 | 28 | 62 => {
                let address = match element {
                    8 | 27 => f.source,
                    12 | 28 => f.destination,
                    _ => f.next_hop,
                };
                out.payload.extend_from_slice(&address.0[16 - width..]);
                continue;
            }
            82 => {
                variable(&interface_name(f.in_if), out);
                continue;
            }
            96 => {
                variable(f.service.name, out);
                continue;
            }
            460 => {
                variable(f.service.host, out);
                continue;
            }
            21 | 22 => {
                out.stamps.push(Stamp::Clock32(out.payload.len() as u16));
                u64::from(e.uptime(if element == 22 { f.start_ms } else { f.end_ms }))
            }
            152 | 153 => {
                out.stamps.push(Stamp::Clock64(out.payload.len() as u16));
                e.shown(if element == 152 { f.start_ms } else { f.end_ms }) as u64
            }
            _ => number(element, f),
        };
        put(&mut out.payload, value, width);
    }
}

/// The value of an element that is a plain number.
fn number(element: u16, f: &Flow) -> u64 {
    match element {
        1 => f.bytes,
        2 => f.packets,
        4 => f.protocol.into(),
        5 => f.tos.into(),
        6 => f.tcp_flags.into(),
        7 => f.source_port.into(),
        9 | 29 => f.source_mask.into(),
        10 => f.in_if.into(),
        11 => f.destination_port.into(),
        13 | 30 => f.destination_mask.into(),
        14 => f.out_if.into(),
        16 => f.source_as.into(),
        17 => f.destination_as.into(),
        48 => 1,
        58 => f.vlan.into(),
        60 => {
            if f.is_v6() {
                6
            } else {
                4
            }
        }
        61 => f.direction.into(),
        89 => 0x40,
        95 => f.service.app_id.into(),
        136 => f.end_reason.into(),
        _ => 0,
    }
}

fn header(e: &Exporter, now_ms: i64, count: u16, out: &mut Export) {
    let shown = e.shown(now_ms);
    let length = out.payload.len() as u16;
    let seconds = (shown.div_euclid(1000) as u32).to_be_bytes();
    let p = &mut out.payload;
    if is_v9(e) {
        p[..2].copy_from_slice(&9u16.to_be_bytes());
        p[2..4].copy_from_slice(&count.to_be_bytes());
        p[4..8].copy_from_slice(&e.uptime(now_ms).to_be_bytes());
        p[8..12].copy_from_slice(&seconds);
        p[12..16].copy_from_slice(&e.sequence.to_be_bytes());
        p[16..20].copy_from_slice(&e.domain().to_be_bytes());
        out.stamps.push(Stamp::Clock32(4));
    } else {
        p[..2].copy_from_slice(&10u16.to_be_bytes());
        p[2..4].copy_from_slice(&length.to_be_bytes());
        p[4..8].copy_from_slice(&seconds);
        p[8..12].copy_from_slice(&e.sequence.to_be_bytes());
        p[12..16].copy_from_slice(&e.domain().to_be_bytes());
    }
}

fn begin(set: u16, out: &mut Export) -> usize {
    let at = out.payload.len();
    put(&mut out.payload, u64::from(set), 2);
    put(&mut out.payload, 0, 2);
    at
}

/// Pads a set to four bytes and writes its length.
fn end(at: usize, out: &mut Export) {
    let end = out.payload.len().next_multiple_of(4);
    out.payload.resize(end, 0);
    out.payload[at + 2..at + 4].copy_from_slice(&((end - at) as u16).to_be_bytes());
}

fn field((element, length): (u16, u16), out: &mut Export) {
    put(&mut out.payload, u64::from(element), 2);
    put(&mut out.payload, u64::from(length), 2);
}

fn padded(text: &str, width: usize, out: &mut Export) {
    let end = out.payload.len() + width;
    out.payload.extend(text.bytes().take(width));
    out.payload.resize(end, 0);
}

/// A text of variable length, shorter than 255 bytes (RFC 7011 section 7).
fn variable(text: &str, out: &mut Export) {
    let text = &text.as_bytes()[..text.len().min(254)];
    out.payload.push(text.len() as u8);
    out.payload.extend_from_slice(text);
}

fn interface_name(index: u32) -> String {
    match index {
        11.. => format!("xe-0/1/{}", index - 10),
        _ => format!("ge-0/0/{index}"),
    }
}

fn is_v9(e: &Exporter) -> bool {
    matches!(e.profile, Profile::Router | Profile::LoadV9)
}

fn pairs(e: &Exporter) -> u16 {
    (e.habits.templates / 2).clamp(1, PAIRS_MAX)
}

fn template_id(pair: u16, v6: bool) -> u16 {
    256 + 2 * pair + u16::from(v6)
}

/// The fields of a data template: addresses of the family, then the body of the profile.
fn fields(profile: Profile, v6: bool) -> impl Iterator<Item = (u16, u16)> + Clone {
    let (addresses, body): (_, &'static [(u16, u16)]) = (
        if v6 {
            [(27, 16), (28, 16), (62, 16)]
        } else {
            [(8, 4), (12, 4), (15, 4)]
        },
        match profile {
            Profile::Router | Profile::LoadV9 => V9_BODY,
            Profile::Gateway => GATEWAY_BODY,
            _ => IPFIX_BODY,
        },
    );
    addresses
        .into_iter()
        .chain(body.iter().map(move |&(element, length)| match element {
            9 if v6 => (29, length),
            13 if v6 => (30, length),
            _ => (element, length),
        }))
}

const VARIABLE: u16 = 65_535;
/// Header of a set and its padding.
const SET_OVERHEAD: usize = 4 + 3;
/// Pairs of templates in one datagram: 2 x 108 bytes each.
const PAIRS: u16 = 5;
const PAIRS_MAX: u16 = 500;
/// Application names in one datagram: 87 bytes each.
const NAMES: usize = 14;

const APPLICATIONS: u16 = 2000;
const INTERFACES: u16 = 2001;
const SAMPLER: u16 = 2002;

/// 21 fields after the addresses; with them 24 in 67 bytes (IPv6: 103).
const V9_BODY: &[(u16, u16)] = &[
    (10, 4),
    (14, 4),
    (1, 8),
    (2, 4),
    (22, 4),
    (21, 4),
    (7, 2),
    (11, 2),
    (6, 1),
    (4, 1),
    (5, 1),
    (16, 4),
    (17, 4),
    (9, 1),
    (13, 1),
    (58, 2),
    (61, 1),
    (48, 1),
    (95, 4),
    (89, 1),
    (60, 1),
];
/// 22 fields after the addresses; with them 25 in 80 bytes (IPv6: 116).
const IPFIX_BODY: &[(u16, u16)] = &[
    (10, 4),
    (14, 4),
    (1, 8),
    (2, 8),
    (152, 8),
    (153, 8),
    (7, 2),
    (11, 2),
    (6, 1),
    (4, 1),
    (5, 1),
    (16, 4),
    (17, 4),
    (9, 1),
    (13, 1),
    (58, 2),
    (61, 1),
    (48, 1),
    (95, 4),
    (89, 1),
    (136, 1),
    (60, 1),
];
/// Without application id and sampler, with names of application, HTTP host and ingress interface.
const GATEWAY_BODY: &[(u16, u16)] = &[
    (10, 4),
    (14, 4),
    (1, 8),
    (2, 8),
    (152, 8),
    (153, 8),
    (7, 2),
    (11, 2),
    (6, 1),
    (4, 1),
    (5, 1),
    (16, 4),
    (17, 4),
    (9, 1),
    (13, 1),
    (58, 2),
    (61, 1),
    (96, VARIABLE),
    (460, VARIABLE),
    (82, VARIABLE),
    (136, 1),
];

/// Options templates: id and fields, the first one being the scope (NetFlow 9: 1, the system).
const V9_OPTIONS: &[(u16, &[(u16, u16)])] = &[
    (APPLICATIONS, &[(1, 4), (95, 4), (96, 24), (94, 55)]),
    (INTERFACES, &[(1, 4), (10, 4), (82, 32), (83, 64)]),
    (SAMPLER, &[(1, 4), (48, 1), (49, 1), (50, 4)]),
];
const IPFIX_OPTIONS: &[(u16, &[(u16, u16)])] = &[
    (INTERFACES, &[(10, 4), (82, VARIABLE), (83, VARIABLE)]),
    (SAMPLER, &[(149, 4), (304, 2), (305, 4), (306, 4)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_lengths_of_the_load() {
        for (profile, v4, v6, count) in [
            (Profile::LoadV9, 67, 103, 24),
            (Profile::LoadIpfix, 80, 116, 25),
        ] {
            assert_eq!(record_bytes(profile, false), v4);
            assert_eq!(record_bytes(profile, true), v6);
            assert_eq!(fields(profile, true).count(), count);
        }
    }
}
