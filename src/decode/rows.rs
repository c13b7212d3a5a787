//! A set of flow records to rows: columns first, then the passes over them.

use super::element::{Kind, Side, Target};
use super::frame;
use super::moves::{Fixed, Moment, Sides, app_id, number, time};
use super::plan::Plan;
use super::raw::Records;
use super::reverse;
use super::sampling::{Fallback, Samplers, sample};
use super::template::Template;
use super::twoway::{Counters, Owner};
use crate::dissect;
use crate::ledger::{Outcome, Tally};
use crate::model::{Addr, Field, FlowBatch, Half, Provenance, RowFlags, app_id_len};

/// Buffers that live as long as the decoder, so that no record allocates.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    pub sides: Sides,
    /// Fixed fields of records of variable length, side by side.
    gathered: Vec<u8>,
    pub spans: Vec<(usize, usize)>,
    /// Spans of the variable fields that matter, record by record.
    variable: Vec<(u32, u32)>,
}

/// What is the same for all records of one datagram.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub provenance: Provenance,
    /// Index of the provenance in the batch, once a row was written.
    pub index: Option<u16>,
    pub moment: Moment,
    /// Records before these in the datagram.
    pub records: usize,
    /// Flags of every row.
    pub flags: u32,
    /// Its sequence says that it was sent before what came last.
    pub late: bool,
    pub sampling: Fallback,
    /// The header's clock is off by more than allowed.
    pub skewed: bool,
    /// Added to the times that share the error of the exporter's clock, where that is corrected.
    pub clock_offset_ms: i64,
    /// How far from the time of receipt no clock is wrong.
    pub clock_skew_max_ms: i64,
    /// Export time of the exporter's first datagram.
    pub first_export_ms: i64,
    pub flow_life_max_ms: i64,
}

/// A data set with its layout.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set<'a> {
    pub template: &'a Template,
    pub plan: &'a Plan,
    pub body: &'a [u8],
}

/// Decodes the records of a set; returns (records, bytes they take).
pub(super) fn decode(
    set: Set<'_>,
    frame: &mut Frame,
    samplers: &Samplers,
    (counters, scratch): (&mut Counters, &mut Scratch),
    out: &mut FlowBatch,
    tally: &mut Tally,
) -> (usize, usize) {
    let Scratch {
        sides,
        gathered,
        spans,
        variable,
    } = scratch;
    let Set {
        template,
        plan,
        body,
    } = set;
    sides.clear();
    let (n, used) = match template.record_len {
        Some(len) => (body.len() / len, body.len() / len * len),
        None => gather(set, spans, gathered, variable),
    };
    if n == 0 {
        return (0, used);
    }
    let src = Fixed {
        body: if plan.is_fixed() { body } else { gathered },
        stride: plan.stride,
        n,
    };
    let first = out.len();
    for step in &plan.moves {
        step.run(src, &frame.moment, out, sides);
    }
    constants(plan, n, frame, out);
    let always = plan.flags | frame.flags;
    sample(
        (plan, template.id, always),
        (sides, n),
        samplers,
        &frame.sampling,
        out,
        tally,
    );
    out.commit(n);
    fit(plan, first, sides, out, tally);
    if !plan.loose.is_empty() || !plan.variable.is_empty() || plan.special.own_init {
        loosen(plan, (src, body, n), frame, (sides, variable), out, tally);
    }
    if plan.both_families {
        one_family(plan, first, out);
    }
    if plan.special.lasts {
        ends(first, n, sides, out);
    }
    let rows = match plan.special.counts() {
        true => n + settle(set, (src, variable), frame, (counters, sides), out, tally),
        false => n,
    };
    judge_times(plan, first, frame, out, tally);
    frame.records += n;
    count(plan, n, rows, tally);
    (n, used)
}

/// Where records have places for addresses of both families, an end that is all zeros is of the family of the other one, and the
/// addresses tell the version if nothing else does.
fn one_family(plan: &Plan, first: usize, out: &mut FlowBatch) {
    let c = &mut out.core;
    let ends = c.src_addr[first..].iter_mut().zip(&mut c.dst_addr[first..]);
    for ((src, dst), present) in ends.zip(&c.present[first..]) {
        let (zero, other, field) = match (src.is_unspecified(), dst.is_unspecified()) {
            (true, false) => (src, dst, Field::SrcAddr),
            (false, true) => (dst, src, Field::DstAddr),
            _ => continue,
        };
        if present & field.bit() != 0 {
            *zero = match other.is_v4() {
                true => Addr::from_v4([0; 4]),
                false => Addr::UNSPECIFIED,
            };
        }
    }
    if plan.ip_version == Some(0) {
        for (version, addr) in c.ip_version[first..].iter_mut().zip(&c.src_addr[first..]) {
            *version = if addr.is_v4() { 4 } else { 6 };
        }
    }
}

/// Marks what of fields that are wider than their columns has room there.
fn fit(plan: &Plan, first: usize, sides: &Sides, out: &mut FlowBatch, tally: &mut Tally) {
    if plan.fits {
        let rows = out.core.present[first..].iter_mut();
        rows.zip(sides.fitting()).for_each(|(to, bits)| *to |= bits);
        tally.add(Outcome::FieldsMalformed, sides.unfit);
    }
}

/// Settles counters that are no plain deltas; returns the reverse rows added.
fn settle(
    Set { plan, body, .. }: Set<'_>,
    (src, variable): (Fixed<'_>, &[(u32, u32)]),
    frame: &Frame,
    (counters, sides): (&mut Counters, &Sides),
    out: &mut FlowBatch,
    tally: &mut Tally,
) -> usize {
    let first = out.len() - src.n;
    let added = counters.settle(plan, (sides, src.n), &Owner::of(frame), out, tally);
    tally.add(Outcome::RowsAddedReverse, added as u64);
    if added > 0 && !plan.back.is_empty() {
        let bytes = (src, body, variable);
        let turned = (counters.turned(), sides);
        reverse::fill(plan, bytes, frame, turned, (first, out), tally);
    }
    added
}

fn count(plan: &Plan, n: usize, rows: usize, tally: &mut Tally) {
    let n = n as u64;
    tally.add(Outcome::RecordsDecoded, n);
    tally.add(Outcome::RecordsFlow, n);
    tally.add(Outcome::Rows, rows as u64);
    tally.add(Outcome::FieldsUnknown, u64::from(plan.unknown) * n);
    tally.add(Outcome::FieldsMalformed, u64::from(plan.malformed) * n);
}

/// Columns whose value is known without looking at the records.
fn constants(plan: &Plan, n: usize, frame: &mut Frame, out: &mut FlowBatch) {
    let index = *frame
        .index
        .get_or_insert_with(|| out.push_provenance(frame.provenance));
    let c = &mut out.core;
    c.present
        .extend(std::iter::repeat_n(plan.present(&frame.moment), n));
    c.provenance.extend(std::iter::repeat_n(index, n));
    let at = frame.records as u16;
    c.record
        .extend((0..n as u16).map(|i| at.wrapping_add(i).wrapping_add(1)));
    if let Some(version @ (4 | 6)) = plan.ip_version {
        c.ip_version.extend(std::iter::repeat_n(version, n));
    }
}

/// Puts the fixed fields of records of variable length side by side and notes where the others are.
fn gather(
    set: Set<'_>,
    spans: &mut Vec<(usize, usize)>,
    gathered: &mut Vec<u8>,
    variable: &mut Vec<(u32, u32)>,
) -> (usize, usize) {
    let Set {
        template,
        plan,
        body,
    } = set;
    gathered.clear();
    variable.clear();
    let mut records = Records::new(template, body);
    let mut n = 0;
    while records.next(spans).is_some() {
        let wanted = gathered.len() + plan.stride;
        for &field in plan.gather.as_deref().unwrap_or_default() {
            let (at, len) = spans[field];
            gathered.extend_from_slice(&body[at..at + len]);
        }
        gathered.resize(wanted, 0);
        let wanted = plan.noted().map(|l| spans[l.field]);
        variable.extend(wanted.map(|(at, len)| (at as u32, len as u32)));
        n += 1;
    }
    (n, records.position())
}

/// Sets what is set row by row: texts, frames, fields of variable length, times that count from the record's own
/// element 160.
fn loosen(
    plan: &Plan,
    (src, body, n): (Fixed<'_>, &[u8], usize),
    frame: &Frame,
    (sides, variable): (&mut Sides, &[(u32, u32)]),
    out: &mut FlowBatch,
    tally: &mut Tally,
) {
    let first = out.len() - n;
    for i in 0..n {
        let record = &src.body[i * src.stride..][..src.stride];
        for l in &plan.loose {
            let at = usize::from(l.step.at);
            let bytes = &record[at..at + usize::from(l.step.width)];
            loose_value(
                l.element.kind,
                l.step.target,
                bytes,
                (first, i),
                sides,
                out,
                tally,
            );
        }
        for (k, l) in plan.variable.iter().enumerate() {
            let (at, len) = variable[i * plan.noted_len() + k];
            let bytes = &body[at as usize..][..len as usize];
            if bytes.is_empty() && l.element.kind != Kind::Text {
                continue;
            }
            match l.element.kind {
                Kind::Text | Kind::Frame | Kind::AppId => {
                    let kind = l.element.kind;
                    loose_value(kind, l.step.target, bytes, (first, i), sides, out, tally);
                }
                _ if l.element.accepts(bytes.len()) && l.step.fits(bytes) => {
                    l.step.set(bytes, (first, i), &frame.moment, out, sides);
                    mark(out, first + i, l.step.target);
                }
                _ => tally.one(Outcome::FieldsMalformed),
            }
        }
        if plan.special.own_init {
            own_times(plan, record, (first, i), frame, sides, out);
        }
    }
}

pub(super) fn mark(out: &mut FlowBatch, row: usize, target: Target) {
    if let Some(field) = super::places::field(target) {
        out.core.present[row] |= field.bit();
    }
}

/// A text, a frame or an application id of one row.
fn loose_value(
    kind: Kind,
    target: Target,
    bytes: &[u8],
    (first, i): (usize, usize),
    sides: &Sides,
    out: &mut FlowBatch,
    tally: &mut Tally,
) {
    let row = first + i;
    if kind == Kind::Frame {
        let view = dissect::ethernet(bytes);
        let sent = sides.get(Side::FrameLength).get(i).copied();
        return frame::fill(out, row, &view, (bytes.len() as u64, sent));
    }
    if kind == Kind::AppId {
        return application(bytes, row, out, tally);
    }
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |p| p + 1);
    let (text, flag) = out.push_text(&bytes[..end]);
    let group = out.texts_mut();
    let slot = match target {
        Target::UserName => &mut group.user_name[row],
        Target::ServerName => &mut group.server_name[row],
        Target::AppName => &mut group.app_name[row],
        _ => &mut group.if_name[row],
    };
    if slot.len == 0 {
        *slot = text;
    }
    if flag != 0 {
        out.core.flags[row] |= flag;
        tally.one(Outcome::TextsCut);
    }
    mark(out, row, target);
}

/// An application id of any length, and its bytes where the number does not tell them.
pub(super) fn application(bytes: &[u8], row: usize, out: &mut FlowBatch, tally: &mut Tally) {
    let id = app_id(bytes);
    out.core.app_id[row] = id;
    mark(out, row, Target::AppId);
    if bytes.len() == app_id_len(id) {
        return;
    }
    let (sent, flag) = out.push_text(bytes);
    out.texts_mut().app_id_sent[row] = sent;
    if flag != 0 {
        out.core.flags[row] |= flag;
        tally.one(Outcome::TextsCut);
    }
}

/// Times that count from the systemInitTimeMilliseconds of the same record.
fn own_times(
    plan: &Plan,
    record: &[u8],
    (first, i): (usize, usize),
    frame: &Frame,
    sides: &Sides,
    out: &mut FlowBatch,
) {
    let Some(init) = own_init(sides, i) else {
        return;
    };
    let moment = moment_from_init(frame.moment.export_ms, init);
    for step in plan
        .moves
        .iter()
        .filter(|m| m.clock == super::element::Clock::Uptime)
    {
        let at = usize::from(step.at);
        let value = number(&record[at..at + usize::from(step.width)]);
        let Some(ms) = time(step.clock, value, &moment) else {
            continue;
        };
        match step.target {
            Target::StartMs => out.core.start_ms[first + i] = ms,
            Target::EndMs => out.core.end_ms[first + i] = ms,
            _ => continue,
        }
        mark(out, first + i, step.target);
    }
}

/// Element 160 of record `i`; zero is not set.
pub(super) fn own_init(sides: &Sides, i: usize) -> Option<i64> {
    let init = i64::try_from(sides.value(Side::SystemInit, i)).ok();
    init.filter(|ms| *ms != 0)
}

/// Ends that are told by start and duration only, and starts by end and duration.
fn ends(first: usize, n: usize, sides: &Sides, out: &mut FlowBatch) {
    let millis = sides.get(Side::DurationMs);
    let micros = sides.get(Side::DurationUs);
    let c = &mut out.core;
    for i in 0..n {
        let lasts = match (millis.get(i), micros.get(i)) {
            (Some(ms), _) => *ms,
            (None, Some(us)) => us / 1000,
            (None, None) => continue,
        };
        let row = first + i;
        let lasts = i64::try_from(lasts).unwrap_or(i64::MAX);
        if c.present[row] & Field::StartMs.bit() != 0 {
            c.end_ms[row] = c.start_ms[row].saturating_add(lasts);
            c.present[row] |= Field::EndMs.bit();
        } else if c.present[row] & Field::EndMs.bit() != 0 {
            c.start_ms[row] = c.end_ms[row].saturating_sub(lasts);
            c.present[row] |= Field::StartMs.bit();
        }
    }
}

/// The uptime at export of an exporter that came up at `init` (element 160).
pub(super) fn moment_from_init(export_ms: i64, init: i64) -> Moment {
    Moment {
        export_ms,
        uptime_ms: Some(export_ms.wrapping_sub(init) as u32),
    }
}

/// Moves the times of exporters whose clock is wrong and flags lives that cannot be meant.
fn judge_times(plan: &Plan, first: usize, frame: &Frame, out: &mut FlowBatch, tally: &mut Tally) {
    let exported_ms = frame.moment.export_ms;
    let latest = if frame.clock_offset_ms != 0 {
        correct(plan, first, frame, out, tally);
        exported_ms.saturating_add(frame.clock_offset_ms)
    } else {
        exported_ms
    };
    let c = &mut out.core;
    let latest = match exported_ms {
        0 => i64::MAX - 1,
        _ => latest.saturating_add(EXPORT_AHEAD_MS).min(i64::MAX - 1),
    };
    let life_max = frame.flow_life_max_ms;
    let both = Field::StartMs.bit() | Field::EndMs.bit();
    let mut impossible = 0u64;
    let times = c.start_ms[first..].iter().zip(&c.end_ms[first..]);
    let rows = c.flags[first..].iter_mut().zip(&c.present[first..]);
    for ((flags, present), (start, end)) in rows.zip(times) {
        let life = end.wrapping_sub(*start);
        let whole = (life as u64 > life_max as u64) | (*end > latest);
        let bad = match present & both {
            there if there == both => whole,
            there if there == Field::EndMs.bit() => *end > latest,
            0 => false,
            _ => *start > latest,
        };
        *flags |= u32::from(bad) * RowFlags::TIME_IMPOSSIBLE;
        impossible += u64::from(bad);
    }
    tally.add(Outcome::TimesImpossible, impossible);
}

impl Frame {
    /// Whether a time that was sent as such is right although the header's clock is wrong: near the time of receipt, or in
    /// the past and nearer to that than to the time of export.
    fn keeps(&self, t: i64) -> bool {
        let exported_ms = self.moment.export_ms;
        let ago = exported_ms
            .saturating_add(self.clock_offset_ms)
            .saturating_sub(t);
        let max = self.clock_skew_max_ms;
        let by_header = exported_ms.saturating_sub(t).saturating_abs();
        ago >= -max && (ago <= max || ago < by_header)
    }
}

/// Moves the times that share the error of the header's clock: all that count from it, and those that were sent as such
/// but for records whose last one is right.
fn correct(plan: &Plan, first: usize, frame: &Frame, out: &mut FlowBatch, tally: &mut Tally) {
    let offset = frame.clock_offset_ms;
    let c = &mut out.core;
    let mut rows = 0;
    for i in first..c.flags.len() {
        let back = c.half[i] == Half::Reverse as u8;
        let has = |f: Field| c.present[i] & f.bit() != 0;
        let relative = |f: Field| plan.relative[usize::from(back)] & f.bit() != 0;
        let sent = |f: Field, ms: i64| (has(f) && !relative(f)).then_some(ms);
        let last = sent(Field::EndMs, c.end_ms[i]).or(sent(Field::StartMs, c.start_ms[i]));
        let keeps = last.is_some_and(|t| frame.keeps(t));
        let moves = |f: Field| has(f) && (relative(f) || !keeps);
        let mut moved = false;
        for (field, ms) in [
            (Field::StartMs, &mut c.start_ms[i]),
            (Field::EndMs, &mut c.end_ms[i]),
        ] {
            if moves(field) {
                *ms = ms.saturating_add(offset);
                moved = true;
            }
        }
        if let Some(g) = out.firewall.as_mut().filter(|_| has(Field::EventMs))
            && !frame.keeps(g.event_ms[i])
        {
            g.event_ms[i] = g.event_ms[i].saturating_add(offset);
            moved = true;
        }
        if moved {
            if let Some(g) = &mut out.counters {
                g.shift_booked(i, offset);
            }
            c.flags[i] |= RowFlags::CLOCK_CORRECTED;
            rows += 1;
        }
    }
    tally.add(Outcome::ClocksCorrected, rows);
}

/// How far after its export a flow may end.
const EXPORT_AHEAD_MS: i64 = 60_000;
