//! One datagram on its way through the decoder: header, sets, records.
//!
//! Whatever the bytes are, the part that can be trusted is used, every set ends in one outcome, and every fault is
//! counted and noted.

use super::error::{Fault, Reason};
use super::exporter::{Compiled, Exporter, Lesson, Waiting};
use super::faults::Faults;
use super::layouts::Layouts;
use super::moves::Moment;
use super::options;
use super::raw::{Behind, Records, behind, divides};
use super::relief::Held;
use super::rows::{self, Frame, Scratch, moment_from_init};
use super::sampling::Fallback;
use super::sequence::Stamp;
use super::settings::Settings;
use super::template::{FieldSpec, TemplateEvent, TemplateHeader, TemplateReader, u16_at};
use super::twoway::Counters;
use super::{FACTS_MAX, LATE_ROWS, TELL_AGAIN_NS};
use crate::ledger::{Outcome, Tally};
use crate::model::{Addr, Datagram, FlowBatch, Learned, Origin, Provenance, RowFlags};
use std::sync::Arc;

/// What a header said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub version: u8,
    pub origin: Origin,
    pub domain: u32,
    pub export_ms: i64,
    pub uptime_ms: Option<u32>,
    pub sequence: u32,
    /// Units by which a datagram may be late without being a restart.
    pub window: u32,
    /// Version 5: sampling mode and interval as sent.
    pub sampling: u16,
    /// Bytes of the header.
    pub len: usize,
}

impl Header {
    /// What tells a restart of the sender from a late datagram.
    pub fn stamp(&self) -> Stamp {
        let seconds = self.export_ms.div_euclid(1_000) as u32;
        self.uptime_ms.map_or(Stamp::Export(seconds), Stamp::Uptime)
    }
}

/// A datagram that brought templates for which more sets waited than are decoded at once.
#[derive(Debug)]
pub(super) struct Late {
    pub source: Addr,
    pub port: u16,
    pub received_at_ns: i64,
    pub number: u64,
    pub frame: u64,
    pub header: Header,
    pub ids: Vec<u16>,
}

/// State that all exporters share.
#[derive(Debug)]
pub(super) struct Shared {
    pub settings: Settings,
    pub counters: Counters,
    pub scratch: Scratch,
    pub fields: Vec<FieldSpec>,
    pub layouts: Layouts,
    pub faults: Faults,
    pub held: Held,
    /// Templates of all exporters.
    pub templates: usize,
    pub waiting_sets: usize,
    pub waiting_bytes: usize,
    /// Datagrams seen: the age of templates.
    pub stamp: u64,
    pub fixed: [Arc<Compiled>; 2],
    /// Something to save was learned since [`super::Decoder::take_news`].
    pub news: bool,
}

impl Shared {
    /// The layout of version 5 or 7.
    pub fn fixed(&self, version: u8) -> Arc<Compiled> {
        Arc::clone(&self.fixed[usize::from(version == 7)])
    }
}

/// One datagram of one exporter.
pub(super) struct Job<'a> {
    pub datagram: &'a Datagram<'a>,
    pub header: Header,
    pub exporter: &'a mut Exporter,
    pub shared: &'a mut Shared,
    pub out: &'a mut FlowBatch,
    pub learned: &'a mut Vec<Learned>,
    pub tally: &'a mut Tally,
    pub frame: Frame,
    /// Indexes of session and domain in the exporter.
    pub session: usize,
    pub domain: usize,
    /// Data records of this datagram, options data included.
    pub units: u32,
    /// How many those are is not known.
    pub suspended: bool,
    pub left: Left,
}

/// What is left to do of sets that waited.
#[derive(Debug)]
pub(super) struct Left {
    /// How many rows may still be decoded now, and how many facts told.
    rows: usize,
    facts: usize,
    /// Templates with sets that are not decoded yet.
    ids: Vec<u16>,
}

impl Default for Left {
    fn default() -> Self {
        Left {
            rows: LATE_ROWS,
            facts: FACTS_MAX / 2,
            ids: Vec::new(),
        }
    }
}

/// The frame of a datagram: what its rows have in common.
pub(super) fn frame(
    d: &Datagram<'_>,
    header: &Header,
    first_ms: i64,
    settings: &Settings,
) -> Frame {
    let received_ms = d.received_at_ns.div_euclid(1_000_000);
    let skew = received_ms.saturating_sub(header.export_ms);
    let skewed = skew.unsigned_abs() > settings.clock_skew_max_s.saturating_mul(1000);
    let interval = u32::from(header.sampling & 0x3fff);
    Frame {
        provenance: Provenance {
            exporter: d.source,
            exporter_source: d.source,
            exporter_port: d.port,
            domain: header.domain,
            origin: header.origin,
            received_at_ns: d.received_at_ns,
            exported_at_ms: header.export_ms,
            datagram: d.number,
            frame: d.frame,
        },
        index: None,
        moment: Moment {
            export_ms: header.export_ms,
            uptime_ms: header.uptime_ms,
        },
        records: 0,
        flags: 0,
        late: false,
        sampling: Fallback {
            overrides: settings.sampling_overrides.of(d.source),
            header: Some(interval).filter(|n| *n > 0),
            config: configured(d, settings),
            max: settings.sampling_max,
        },
        skewed,
        clock_offset_ms: if skewed && settings.correct_clock {
            skew
        } else {
            0
        },
        clock_skew_max_ms: i64::try_from(settings.clock_skew_max_s)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000),
        first_export_ms: first_ms,
        flow_life_max_ms: i64::try_from(settings.flow_life_max_s)
            .unwrap_or(i64::MAX)
            .saturating_mul(1000),
    }
}

fn configured(d: &Datagram<'_>, settings: &Settings) -> Option<u32> {
    if settings.sampling.is_empty() {
        return None;
    }
    settings.sampling.get(&d.source.to_ip()).copied()
}

impl Late {
    pub fn of(d: &Datagram<'_>, header: Header, left: Left) -> Option<Self> {
        (!left.ids.is_empty()).then_some(Late {
            source: d.source,
            port: d.port,
            received_at_ns: d.received_at_ns,
            number: d.number,
            frame: d.frame,
            header,
            ids: left.ids,
        })
    }

    /// The datagram without what is in it.
    pub fn datagram(&self) -> Datagram<'static> {
        Datagram {
            source: self.source,
            port: self.port,
            received_at_ns: self.received_at_ns,
            number: self.number,
            frame: self.frame,
            cut: false,
            payload: &[],
        }
    }
}

impl Job<'_> {
    /// Notes a fault for the log.
    pub fn fault(&mut self, offset: usize, reason: Reason) {
        self.shared.faults.note(Fault {
            exporter: self.datagram.source,
            datagram: self.datagram.number,
            offset,
            reason,
        });
    }

    /// Walks the sets of a NetFlow 9 or IPFIX datagram. `end`: where the message ends.
    pub fn sets(&mut self, end: usize) {
        let payload = self.datagram.payload;
        let mut at = self.header.len;
        while end - at >= 4 {
            let id = u16_at(payload, at).unwrap_or(0);
            let length = usize::from(u16_at(payload, at + 2).unwrap_or(0));
            if length < 4 {
                if payload[at..end].iter().any(|b| *b != 0) {
                    self.tally.one(Outcome::Sets);
                    self.tally.one(Outcome::SetsRejectedLength);
                    self.fault(at, Reason::SetLength);
                    self.suspended = true;
                }
                break;
            }
            if at + length > end {
                self.tally.one(Outcome::SetsOverrun);
                self.fault(at, Reason::SetOverrun);
                self.suspended = true;
            }
            let stop = (at + length).min(end);
            self.set(id, &payload[at + 4..stop], at + 4);
            at = stop;
        }
        let trailing = payload.len() - at;
        if trailing > 0 {
            self.tally.add(Outcome::BytesTrailing, trailing as u64);
        }
    }

    fn set(&mut self, id: u16, body: &[u8], offset: usize) {
        self.tally.one(Outcome::Sets);
        match (self.header.version, id) {
            (9, 0) | (10, 2) => self.template_set(false, body, offset),
            (9, 1) | (10, 3) => self.template_set(true, body, offset),
            (_, 256..) => self.data_set(id, body, offset),
            _ => {
                self.tally.one(Outcome::SetsRejectedId);
                self.fault(offset - 4, Reason::SetId);
                self.suspended = true;
            }
        }
    }

    fn template_set(&mut self, options: bool, body: &[u8], offset: usize) {
        let mut fields = std::mem::take(&mut self.shared.fields);
        let settings = &self.shared.settings;
        let mut reader = TemplateReader::new(self.header.version, options, body, settings);
        let mut worst = None;
        while let Some(event) = reader.next(&mut fields) {
            let at = offset + reader.position().min(body.len());
            let reason = match event {
                Ok(TemplateEvent::Learned(header)) => self.learn(&header, &fields),
                Ok(TemplateEvent::Withdrawn(_)) => {
                    self.tally.one(Outcome::TemplatesWithdrawn);
                    None
                }
                Ok(TemplateEvent::Refused(id, reason)) => {
                    // what it would have replaced is no longer what the exporter sends
                    let gone = self.exporter.forget(self.session, id);
                    self.shared.templates -= usize::from(gone);
                    self.tally.one(Outcome::TemplatesRefused);
                    Some(reason)
                }
                Err(reason) => {
                    worst = Some(reason);
                    self.tally.one(Outcome::TemplatesRefused);
                    self.fault(at, reason);
                    break;
                }
            };
            if let Some(reason) = reason {
                self.fault(at, reason);
                worst = Some(reason);
            }
        }
        self.shared.fields = fields;
        self.tally.one(match worst {
            // the newest layout is kept, the set did its work
            None | Some(Reason::TemplateChurn) => Outcome::SetsDecoded,
            Some(reason) => reason.set_outcome(),
        });
    }

    /// Learns a template and decodes what waited for it; a reason where it was refused or is alarming.
    fn learn(&mut self, header: &TemplateHeader, fields: &[FieldSpec]) -> Option<Reason> {
        let shared = &mut *self.shared;
        let room = shared.templates < shared.settings.templates_max
            && shared.layouts.bytes() < shared.settings.templates_bytes_max;
        let now = (self.datagram.received_at_ns, shared.stamp, room);
        let lesson = (header, fields);
        let house = (&mut shared.layouts, &shared.settings);
        let (lesson, gone) = self.exporter.learn(self.session, lesson, now, house);
        shared.templates -= gone;
        self.tally.add(Outcome::Evictions, gone as u64);
        let reason = match lesson {
            Lesson::Same => {
                self.tell(header.id);
                return None;
            }
            Lesson::Refused => {
                self.tally.one(Outcome::TemplatesRefused);
                return Some(Reason::TemplateLimit);
            }
            Lesson::New => {
                shared.templates += 1;
                shared.news = true;
                self.tally.one(Outcome::TemplatesLearned);
                None
            }
            Lesson::Changed { alarm } => {
                shared.news = true;
                self.tally.one(Outcome::TemplatesChanged);
                self.tally.add(Outcome::TemplatesChurning, u64::from(alarm));
                alarm.then_some(Reason::TemplateChurn)
            }
        };
        self.tell(header.id);
        self.decode_late(header.id);
        reason
    }

    /// Tells the inventory about a template that it has not heard of for long; one that changed forgot that it was told.
    fn tell(&mut self, id: u16) {
        let now_ns = self.datagram.received_at_ns;
        let Some(slot) = self.exporter.sessions[self.session].slot(id) else {
            return;
        };
        if now_ns.saturating_sub(slot.told_ns) < TELL_AGAIN_NS {
            return;
        }
        slot.told_ns = now_ns;
        let compiled = &slot.compiled;
        self.learned.push(Learned::Template {
            exporter: self.datagram.source,
            port: self.datagram.port,
            version: self.header.version,
            domain: self.header.domain,
            id,
            options: compiled.template.options,
            layout: compiled.template.layout(),
            planned: compiled.plan.as_ref().is_some_and(|p| p.is_fixed()),
        });
    }

    fn data_set(&mut self, id: u16, body: &[u8], offset: usize) {
        let stamp = self.shared.stamp;
        let session = &mut self.exporter.sessions[self.session];
        let known = session.template(id, stamp).map(Arc::clone);
        let (compiled, flags) = match known {
            Some(compiled) => (compiled, 0),
            None => match self.exporter.fallback(self.session, id, body) {
                Some(compiled) => (Arc::clone(compiled), RowFlags::TEMPLATE_FALLBACK),
                None => return self.wait(id, body, offset),
            },
        };
        self.decode(&compiled, body, offset, flags);
    }

    /// Decodes a set with its template; the set's outcome is counted here.
    fn decode(&mut self, compiled: &Compiled, body: &[u8], offset: usize, flags: u32) {
        if flags & RowFlags::TEMPLATE_FALLBACK != 0 {
            self.tally.one(Outcome::TemplateFallbacks);
        }
        let template = &compiled.template;
        if let (10, Some(init)) = (template.version, self.exporter.domains[self.domain].init_ms) {
            self.frame.moment = moment_from_init(self.frame.moment.export_ms, init);
        }
        let (n, used) = if template.options {
            self.options(compiled, body)
        } else {
            self.frame.flags |= flags;
            let done = self.flows(compiled, body);
            self.frame.flags &= !flags;
            done
        };
        self.units = self.units.wrapping_add(n as u32);
        let rest = &body[used..];
        let behind = behind(template, rest);
        if behind != Behind::Padding {
            self.tally.add(Outcome::BytesTrailing, rest.len() as u64);
        }
        if n == 0 && !body.is_empty() || behind == Behind::Cut {
            // the records before it are used, as are the templates before a broken one
            self.tally.one(Outcome::SetsRejectedRecord);
            self.fault(offset + used, Reason::Record);
        } else {
            self.tally.one(Outcome::SetsDecoded);
        }
    }

    /// Flow records to rows; (records, bytes used).
    pub fn flows(&mut self, compiled: &Compiled, body: &[u8]) -> (usize, usize) {
        let Some(plan) = &compiled.plan else {
            return (0, 0);
        };
        let shared = &mut *self.shared;
        let set = rows::Set {
            template: &compiled.template,
            plan,
            body,
        };
        rows::decode(
            set,
            &mut self.frame,
            &self.exporter.domains[self.domain].samplers,
            (&mut shared.counters, &mut shared.scratch),
            self.out,
            self.tally,
        )
    }

    /// Learns from options data; (records, bytes used).
    fn options(&mut self, compiled: &Compiled, body: &[u8]) -> (usize, usize) {
        let template = &compiled.template;
        let mut spans = std::mem::take(&mut self.shared.scratch.spans);
        let mut records = Records::new(template, body);
        let mut n = 0;
        while records.next(&mut spans).is_some() {
            self.shared.news |= options::learn(
                (template, &spans, body),
                self.exporter,
                self.domain,
                (&self.shared.settings, &mut self.shared.held),
                self.learned,
                self.tally,
            );
            n += 1;
        }
        let used = records.position();
        self.shared.scratch.spans = spans;
        self.tally.add(Outcome::RecordsOptions, n as u64);
        self.tally.add(Outcome::RecordsDecoded, n as u64);
        self.frame.records += n;
        (n, used)
    }

    /// Lets a set wait for its template, if there is room.
    fn wait(&mut self, id: u16, body: &[u8], offset: usize) {
        self.suspended = true;
        let (e, shared) = (&mut *self.exporter, &mut *self.shared);
        let s = &shared.settings;
        let room = s.waiting_age_max_s > 0
            && e.waiting.len() < s.exporter_waiting_sets_max
            && e.waiting_bytes + body.len() <= s.exporter_waiting_bytes_max
            && shared.waiting_sets < s.waiting_sets_max
            && shared.waiting_bytes + body.len() <= s.waiting_bytes_max;
        if !room {
            self.tally.one(Outcome::SetsExpiredTemplate);
            self.fault(offset, Reason::WaitingFull);
            return;
        }
        e.waiting_bytes += body.len();
        shared.waiting_bytes += body.len();
        shared.waiting_sets += 1;
        let decoded = e.sessions[self.session].decoded;
        e.waiting.push_back(Waiting {
            port: self.datagram.port,
            version: self.header.version,
            domain: self.header.domain,
            id,
            sequence: self.header.sequence,
            decoded,
            frame: Frame {
                index: None,
                ..self.frame.clone()
            },
            body: body.into(),
        });
    }

    /// Numbers the records of sets that wait behind those that were decoded from the same datagram.
    pub fn number_waiting(&mut self) {
        let (number, records) = (self.datagram.number, self.frame.records);
        let same = |w: &&mut Waiting| w.frame.provenance.datagram == number;
        for w in self.exporter.waiting.iter_mut().rev().take_while(same) {
            w.frame.records = records;
        }
    }

    /// Decodes the sets that waited for template `id` of this session, in their order, until there are rows or facts enough
    /// for now.
    pub fn decode_late(&mut self, id: u16) {
        let domain = (self.header.version, self.header.domain);
        let waits = |w: &Waiting| ((w.version, w.domain), w.id) == (domain, id);
        if !self.exporter.waiting.iter().any(waits) {
            return;
        }
        let lender = self.exporter.lender(domain, id).cloned();
        let mut i = 0;
        while i < self.exporter.waiting.len() {
            let found = match waits(&self.exporter.waiting[i]) {
                true => self.template_for(i, lender.as_ref()),
                false => None,
            };
            let Some((compiled, flags)) = found else {
                i += 1;
                continue;
            };
            if self.left.rows == 0 || self.left.facts == 0 {
                return self.left.ids.push(id);
            }
            let Some(w) = self.exporter.waiting.remove(i) else {
                break;
            };
            self.exporter.waiting_bytes -= w.body.len();
            self.shared.waiting_bytes -= w.body.len();
            self.shared.waiting_sets -= 1;
            let (rows, facts) = (self.out.len(), self.learned.len());
            self.decode_waiting(&compiled, w, flags);
            let left = &mut self.left;
            left.rows = left.rows.saturating_sub(self.out.len() - rows);
            left.facts = left.facts.saturating_sub(self.learned.len() - facts);
        }
    }

    /// The template for a set that waits: that of its session, or by the guarded fallback what the others lend.
    fn template_for(
        &mut self,
        waiting: usize,
        lender: Option<&Arc<Compiled>>,
    ) -> Option<(Arc<Compiled>, u32)> {
        let w = &self.exporter.waiting[waiting];
        let session = self
            .exporter
            .sessions
            .get_mut((w.port, w.version, w.domain))?;
        if let Some(compiled) = session.template(w.id, self.shared.stamp) {
            return Some((Arc::clone(compiled), 0));
        }
        let lender = lender.filter(|c| !session.announced && divides(&c.template, &w.body))?;
        Some((Arc::clone(lender), RowFlags::TEMPLATE_FALLBACK))
    }

    /// Decodes a set that waited: its own provenance, the place and the frame of the template's datagram.
    fn decode_waiting(&mut self, compiled: &Compiled, waiting: Waiting, flags: u32) {
        let mut frame = waiting.frame;
        frame.provenance.frame = self.datagram.frame;
        frame.flags |= RowFlags::DECODED_LATE;
        let (units, records) = (self.units, frame.records);
        let own = std::mem::replace(&mut self.frame, frame);
        self.tally.one(Outcome::SetsDecodedLate);
        self.decode(compiled, &waiting.body, 0, flags);
        let late = std::mem::replace(&mut self.frame, own);
        self.units = units;
        let number = late.provenance.datagram;
        for w in &mut self.exporter.waiting {
            if w.frame.provenance.datagram == number {
                w.frame.records += late.records - records;
            }
        }
    }
}
