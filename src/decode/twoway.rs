//! Counters that are no plain deltas: running totals (85, 86), firewall events (NSEL), records of both directions.
//!
//! Works on the rows of one set after their columns are there. A record of both directions gives its forward row
//! always, because it carries the event, and a reverse row only where something went back.

use super::element::Side;
use super::generations::Generations;
use super::limits::Size;
use super::memory::table_bytes;
use super::moves::Sides;
use super::plan::{Plan, Special};
use super::reverse;
use super::rows::Frame;
use super::sampling;
use super::settings::Settings;
use crate::ledger::{Outcome, Tally};
use crate::model::{Addr, Field, FlowBatch, Half, RowFlags};

/// What was counted before, in bounded tables.
#[derive(Debug)]
pub(super) struct Counters {
    totals: Generations<FlowKey, Total>,
    firewall: Generations<FirewallKey, Seen>,
    /// Totals of flows torn down a short while ago: one that comes twice counts once, and an update that comes after it not at all.
    ended: Generations<FirewallKey, Ended>,
    /// Export time of the last datagram after which a firewall flow gave way.
    evicted_ms: i64,
    twice: Vec<bool>,
    reverse: Vec<(u64, u64)>,
}

/// Whose rows they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub exporter: Addr,
    pub domain: u32,
    /// Export time of the first datagram of this exporter.
    pub first_export_ms: i64,
    pub export_ms: i64,
    /// The datagram was sent before what came last: its totals are no newer than those that are known.
    pub late: bool,
}

impl Owner {
    pub fn of(frame: &Frame) -> Self {
        Owner {
            exporter: frame.provenance.exporter,
            domain: frame.provenance.domain,
            first_export_ms: frame.first_export_ms,
            export_ms: frame.moment.export_ms,
            late: frame.late,
        }
    }
}

/// Running totals of a flow: bytes, packets; its start and when they were counted, ms since 1970.
#[derive(Clone, Copy, Debug)]
struct Total {
    counted: (u64, u64),
    start_ms: i64,
    end_ms: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FlowKey {
    exporter: Addr,
    domain: u32,
    ends: [Addr; 2],
    ports: [u16; 2],
    proto: u8,
    reverse: bool,
    start: Start,
}

/// When a flow with running totals began, as far as that tells it from others with the same ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Start {
    /// Uptime as sent: the time of it moves by up to a second with each header.
    Uptime(u64),
    /// Milliseconds since 1970.
    At(i64),
    /// Counted back from a time of export in whole seconds: steps of [`NEAR_MS`], to be looked for in those beside it, too.
    Near(i64),
}

type FirewallKey = (Addr, u32, u64);

/// Start and totals of a flow that was torn down. Flow ids are used again: another start or another total is another flow.
type Ended = (i64, [(u64, u64); 2]);

/// What the updates of one firewall flow have counted: (bytes, packets) of initiator and responder.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    counted: [(u64, u64); 2],
    /// Nothing of the flow came before what is counted.
    whole: bool,
    /// When that was counted, ms since 1970.
    until_ms: Option<i64>,
}

impl Counters {
    pub fn new(settings: &Settings) -> Self {
        Counters {
            totals: Generations::new(settings.totals_max),
            firewall: Generations::new(settings.firewall_flows_max),
            ended: Generations::new(settings.firewall_flows_max / ENDED_PART),
            evicted_ms: i64::MIN,
            twice: Vec::new(),
            reverse: Vec::new(),
        }
    }

    /// Most bytes of the tables.
    pub fn bytes_max(s: &Settings) -> usize {
        // two generations of half the size
        let ended = s.firewall_flows_max / ENDED_PART;
        let generations = [
            table_bytes::<(FlowKey, Total)>(s.totals_max / 2),
            table_bytes::<(FirewallKey, Seen)>(s.firewall_flows_max / 2),
            table_bytes::<(FirewallKey, Ended)>(ended / 2),
        ];
        let both = generations.map(|bytes| bytes.saturating_mul(2));
        both.into_iter().fold(0, usize::saturating_add)
    }

    /// What the tables hold and may hold.
    pub fn sizes(&self, s: &Settings) -> [Size; 3] {
        let max = |max: usize| max.max(2);
        [
            ("totals", self.totals.len(), max(s.totals_max)),
            ("firewall", self.firewall.len(), max(s.firewall_flows_max)),
            (
                "ended",
                self.ended.len(),
                max(s.firewall_flows_max / ENDED_PART),
            ),
        ]
    }

    /// Settles bytes and packets of the last `n` rows and adds the reverse rows; returns how many.
    pub fn settle(
        &mut self,
        plan: &Plan,
        (sides, n): (&Sides, usize),
        owner: &Owner,
        out: &mut FlowBatch,
        tally: &mut Tally,
    ) -> usize {
        let special = &plan.special;
        let first = out.len() - n;
        self.reverse.clear();
        for i in 0..n {
            let row = first + i;
            let mut back = (
                sides.value(Side::RevBytes, i),
                sides.value(Side::RevPackets, i),
            );
            let running = special.byte_totals || special.packet_totals;
            let returned = reverse_total(sides, i);
            if running
                && !owner.late
                && let Some(returned) = returned
            {
                let key = key(special, (sides, i), owner, (out, row));
                self.forget_fallen(key, [totals(special, out, row), returned]);
            }
            if running {
                let key = key(special, (sides, i), owner, (out, row));
                self.total(special, (key, row, owner.late), out, tally);
            }
            if let Some(total) = returned {
                let mut key = key(special, (sides, i), owner, (out, row));
                key.reverse = true;
                let delta = self.delta(key, (total, row, owner.late), out, tally);
                back = (back.0.max(delta.0), back.1.max(delta.1));
            }
            let initiator = (
                sides.value(Side::InitBytes, i),
                sides.value(Side::InitPackets, i),
            );
            let responder = (
                sides.value(Side::RespBytes, i),
                sides.value(Side::RespPackets, i),
            );
            if special.firewall {
                let counts = [initiator, responder];
                let [there, returned] = self.event(counts, row, owner, out, tally);
                set_counters(out, row, there);
                back = returned;
            } else if special.initiator {
                set_counters(out, row, initiator);
            }
            if !special.firewall && back == (0, 0) {
                back = responder;
            }
            self.reverse.push(back);
        }
        if !special.two_way {
            return 0;
        }
        self.add_reverse(first, sides, out, tally)
    }

    /// Which of the records settled last have a reverse row.
    pub fn turned(&self) -> &[bool] {
        &self.twice
    }

    /// Turns running totals into what came since the last record of the flow.
    fn total(
        &mut self,
        special: &Special,
        (key, row, late): (FlowKey, usize, bool),
        out: &mut FlowBatch,
        tally: &mut Tally,
    ) {
        let total = totals(special, out, row);
        let (bytes, packets) = self.delta(key, (total, row, late), out, tally);
        if special.byte_totals {
            out.core.bytes[row] = bytes;
        }
        if special.packet_totals {
            out.core.packets[row] = packets;
        }
    }

    /// Forgets a flow of which one direction's totals fell: it is another one, in both directions.
    fn forget_fallen(&mut self, key: FlowKey, totals: [(u64, u64); 2]) {
        let keys = [false, true].map(|reverse| FlowKey { reverse, ..key });
        let fell = keys.iter().zip(totals).any(|(key, total)| {
            let last = self.totals.get(key);
            last.is_some_and(|l| total.0 < l.counted.0 || total.1 < l.counted.1)
        });
        if fell {
            for key in &keys {
                self.totals.remove(key);
            }
        }
    }

    /// First sight and falling totals count in full, but for those of a `late` datagram, of which all was counted with later ones; a growth
    /// is booked to the time since the last totals.
    fn delta(
        &mut self,
        key: FlowKey,
        (total, row, late): ((u64, u64), usize, bool),
        out: &mut FlowBatch,
        tally: &mut Tally,
    ) -> (u64, u64) {
        let start_ms = out.core.start_ms[row];
        let end_ms = time_of(out, row, Field::EndMs);
        let known = self.totals.remove(&key);
        let last = known.or_else(|| self.take_beside(key, start_ms, tally));
        let now = Total {
            counted: total,
            start_ms,
            end_ms,
        };
        let falls = |l: &Total| total.0 < l.counted.0 || total.1 < l.counted.1;
        let kept = last.filter(|l| late && falls(l));
        let gone = self.totals.insert(key, kept.unwrap_or(now));
        tally.add(Outcome::Evictions, gone as u64);
        if kept.is_some() {
            return (0, 0);
        }
        let Some(last) = last.filter(|l| !falls(l)) else {
            return total;
        };
        if let (Some(from), Some(to)) = (last.end_ms, end_ms) {
            out.counters_mut().book(row, from, to);
        }
        (total.0 - last.counted.0, total.1 - last.counted.1)
    }

    /// The totals of a flow whose start was reckoned into the step before or after that of `key`. They go on under `key`, so
    /// that a clock that is set slowly takes its flows along.
    fn take_beside(&mut self, key: FlowKey, start_ms: i64, tally: &mut Tally) -> Option<Total> {
        let Start::Near(step) = key.start else {
            return None;
        };
        [step - 1, step + 1].into_iter().find_map(|step| {
            let start = Start::Near(step);
            let beside = FlowKey { start, ..key };
            let last = self.totals.remove(&beside)?;
            if last.start_ms.abs_diff(start_ms) <= NEAR_MS as u64 {
                return Some(last);
            }
            let gone = self.totals.insert(beside, last);
            tally.add(Outcome::Evictions, gone as u64);
            None
        })
    }

    /// What a firewall event counts, to and fro (Cisco NSEL: 1 created, 2 torn down, 3 denied, 5 update).
    fn event(
        &mut self,
        counts: [(u64, u64); 2],
        row: usize,
        owner: &Owner,
        out: &mut FlowBatch,
        tally: &mut Tally,
    ) -> [(u64, u64); 2] {
        let Some(group) = &out.firewall else {
            return counts;
        };
        let key = (owner.exporter, owner.domain, group.flow_id[row]);
        let named = out.core.present[row] & Field::FlowId.bit() != 0;
        let event = group.firewall_event[row];
        let whole = self.began_here(row, owner, out);
        match event {
            1 if named => {
                let seen = Seen {
                    whole: true,
                    ..Default::default()
                };
                self.remember(key, seen, owner, tally);
                [(0, 0); 2]
            }
            1 | 3 | 4 => [(0, 0); 2],
            // it was sent before the teardown, which counted it
            5 if named && self.is_ended(key, row, out) => {
                book_event(None, row, out);
                [(0, 0); 2]
            }
            5 if named => {
                let mut seen = self.firewall.remove(&key).unwrap_or(Seen {
                    whole,
                    ..Default::default()
                });
                seen.until_ms = book_event(seen.until_ms, row, out);
                for (sum, n) in seen.counted.iter_mut().zip(counts) {
                    *sum = (sum.0.saturating_add(n.0), sum.1.saturating_add(n.1));
                }
                self.remember(key, seen, owner, tally);
                counts
            }
            2 => self.teardown((named.then_some(key), whole), counts, row, out, tally),
            _ => counts,
        }
    }

    /// What of the totals of a flow that ends was not counted; `whole`: all of it came by here.
    fn teardown(
        &mut self,
        (key, whole): (Option<FirewallKey>, bool),
        counts: [(u64, u64); 2],
        row: usize,
        out: &mut FlowBatch,
        tally: &mut Tally,
    ) -> [(u64, u64); 2] {
        let end = (out.core.start_ms[row], counts);
        let seen = key.and_then(|key| self.firewall.remove(&key));
        let known = key.and_then(|key| self.ended.remove(&key)) == Some(end);
        let again = seen.is_none() && known;
        let seen = seen.unwrap_or(Seen {
            whole: whole || again,
            ..Default::default()
        });
        if let Some(key) = key.filter(|_| seen.whole) {
            let gone = self.ended.insert(key, end);
            tally.add(Outcome::Evictions, gone as u64);
        }
        book_event(seen.until_ms, row, out);
        if again {
            return [(0, 0); 2];
        }
        if !seen.whole {
            out.core.flags[row] |= RowFlags::TOTAL_UNKNOWN;
            tally.one(Outcome::TotalsUnknown);
            return [(0, 0); 2];
        }
        rest(counts, seen.counted)
    }

    /// Whether the teardown of the flow came, and nothing since of another one with its id.
    fn is_ended(&self, key: FirewallKey, row: usize, out: &FlowBatch) -> bool {
        let start = time_of(out, row, Field::StartMs);
        let same = |(ended, _): &Ended| start == Some(*ended);
        self.firewall.get(&key).is_none() && self.ended.get(&key).is_some_and(same)
    }

    fn remember(&mut self, key: FirewallKey, seen: Seen, owner: &Owner, tally: &mut Tally) {
        let gone = self.firewall.insert(key, seen);
        if gone > 0 {
            self.evicted_ms = self.evicted_ms.max(owner.export_ms);
            tally.add(Outcome::Evictions, gone as u64);
        }
    }

    /// Whether the flow surely began after the first datagram of its exporter and after the last eviction.
    fn began_here(&self, row: usize, owner: &Owner, out: &FlowBatch) -> bool {
        let start = out.core.start_ms[row];
        out.core.present[row] & Field::StartMs.bit() != 0
            && start >= owner.first_export_ms
            && start > self.evicted_ms
    }

    fn add_reverse(
        &mut self,
        first: usize,
        sides: &Sides,
        out: &mut FlowBatch,
        tally: &mut Tally,
    ) -> usize {
        out.core.half[first..].fill(Half::Forward as u8);
        self.twice.clear();
        self.twice.extend(self.reverse.iter().map(|r| *r != (0, 0)));
        let added = out.spread(&self.twice);
        if added == 0 {
            return 0;
        }
        let mut row = first;
        for (i, counters) in self.reverse.iter().enumerate() {
            row += 1;
            if *counters != (0, 0) {
                let wide = sides.value(Side::RevTcpFlags, i) > u64::from(u16::MAX);
                tally.add(Outcome::FieldsMalformed, u64::from(wide));
                reverse::turn(out, row, *counters, (sides, i));
                out.core.present[row] |= carried(sides, i);
                sampling::count(out.core.flags[row], 1, tally);
                row += 1;
            }
        }
        added
    }
}

/// Books a firewall event to the time since the last one of its flow, or since the flow began; returns its own time.
fn book_event(last_ms: Option<i64>, row: usize, out: &mut FlowBatch) -> Option<i64> {
    let event_ms = time_of(out, row, Field::EndMs).or_else(|| time_of(out, row, Field::EventMs))?;
    let from = last_ms.or_else(|| time_of(out, row, Field::StartMs));
    out.counters_mut()
        .book(row, from.unwrap_or(event_ms), event_ms);
    Some(event_ms)
}

/// A time of a row, where the record carries it.
fn time_of(out: &FlowBatch, row: usize, field: Field) -> Option<i64> {
    let c = &out.core;
    let ms = match field {
        Field::StartMs => c.start_ms[row],
        Field::EndMs => c.end_ms[row],
        _ => out.firewall.as_ref()?.event_ms[row],
    };
    (c.present[row] & field.bit() != 0).then_some(ms)
}

/// What of totals was not counted yet.
fn rest(totals: [(u64, u64); 2], counted: [(u64, u64); 2]) -> [(u64, u64); 2] {
    let less = |t: (u64, u64), n: (u64, u64)| (t.0.saturating_sub(n.0), t.1.saturating_sub(n.1));
    [less(totals[0], counted[0]), less(totals[1], counted[1])]
}

/// Bytes and packets that a record says have passed since its flow began; 0 for what it does not say.
fn totals(special: &Special, out: &FlowBatch, row: usize) -> (u64, u64) {
    let Some(group) = &out.counters else {
        return (0, 0);
    };
    let value = |on, column: &Vec<u64>| if on { column[row] } else { 0 };
    (
        value(special.byte_totals, &group.bytes_total),
        value(special.packet_totals, &group.packets_total),
    )
}

fn reverse_total(sides: &Sides, i: usize) -> Option<(u64, u64)> {
    let there =
        !sides.get(Side::RevBytesTotal).is_empty() || !sides.get(Side::RevPacketsTotal).is_empty();
    there.then(|| {
        (
            sides.value(Side::RevBytesTotal, i),
            sides.value(Side::RevPacketsTotal, i),
        )
    })
}

/// Presence of the counters of the reverse direction: what of them record `i` carries.
fn carried(sides: &Sides, i: usize) -> u64 {
    let any = |of: [Side; 3]| of.iter().any(|side| sides.get(*side).len() > i);
    let bit = |there, field: Field| if there { field.bit() } else { 0 };
    bit(any(REVERSE_BYTES), Field::Bytes) | bit(any(REVERSE_PACKETS), Field::Packets)
}

/// The forward key of a row's running totals.
fn key(
    special: &Special,
    (sides, i): (&Sides, usize),
    owner: &Owner,
    (out, row): (&FlowBatch, usize),
) -> FlowKey {
    let c = &out.core;
    let start_ms = c.start_ms[row];
    let start = match sides.get(Side::StartUptime).get(i) {
        Some(uptime) => Start::Uptime(*uptime),
        None if special.start_before_export => Start::Near(start_ms.div_euclid(NEAR_MS)),
        None => Start::At(start_ms),
    };
    FlowKey {
        exporter: owner.exporter,
        domain: owner.domain,
        ends: [c.src_addr[row], c.dst_addr[row]],
        ports: [c.src_port[row], c.dst_port[row]],
        proto: c.proto[row],
        reverse: false,
        start,
    }
}

fn set_counters(out: &mut FlowBatch, row: usize, (bytes, packets): (u64, u64)) {
    out.core.bytes[row] = bytes;
    out.core.packets[row] = packets;
}

/// How far two starts that count back from the export time may be apart and mean the same, ms.
const NEAR_MS: i64 = 2_000;

/// Of so many firewall flows one that ended is remembered.
const ENDED_PART: usize = 4;

const REVERSE_BYTES: [Side; 3] = [Side::RevBytes, Side::RevBytesTotal, Side::RespBytes];

const REVERSE_PACKETS: [Side; 3] = [Side::RevPackets, Side::RevPacketsTotal, Side::RespPackets];
