//! Sets of NetFlow 9 and IPFIX: templates are learned, records come out.

use super::value::{self, Fields, Named};
use super::{Record, count};
use crate::decode::element::{Element, find};
use crate::decode::moves::{Moment, number};
use crate::decode::raw::{Records, is_padding, keys};
use crate::decode::template::{FieldSpec, Template, TemplateEvent, TemplateHeader, TemplateReader};
use crate::decode::{Reason, Settings};
use crate::ledger::{Outcome, Tally};
use crate::model::{Addr, Datagram};
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// What templates and options of all sessions said.
#[derive(Debug)]
pub(super) struct Sessions {
    settings: Settings,
    wait: bool,
    templates: HashMap<(Session, u16), Rc<Known>>,
    /// Sessions that announced any template.
    announced: HashSet<Session>,
    /// Element 160 by address and domain: ms since 1970 UTC.
    inits: HashMap<(Addr, u32), i64>,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    /// Sets and bytes that wait, by exporter.
    waiting_of: HashMap<Addr, (usize, usize)>,
}

/// The transport session of a message (RFC 7011 section 8) and its observation domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Session {
    source: Addr,
    port: u16,
    version: u8,
    domain: u32,
}

/// A template with what is looked up once.
#[derive(Debug)]
struct Known {
    template: Template,
    keys: Vec<String>,
    elements: Vec<Option<&'static Element>>,
}

/// The message that a set came in.
#[derive(Clone, Copy, Debug)]
struct Message {
    session: Session,
    datagram: u64,
    moment: Moment,
    raw: bool,
}

/// A set that awaits its template.
#[derive(Debug)]
struct Waiting {
    message: Message,
    id: u16,
    body: Vec<u8>,
}

type Each<'e> = &'e mut dyn FnMut(Record);

impl Sessions {
    pub(super) fn new(settings: Settings, wait: bool) -> Self {
        Sessions {
            settings,
            wait,
            templates: HashMap::new(),
            announced: HashSet::new(),
            inits: HashMap::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            waiting_of: HashMap::new(),
        }
    }

    /// Reads a message of NetFlow 9 (RFC 3954 section 5.1).
    pub(super) fn netflow9(
        &mut self,
        d: &Datagram<'_>,
        raw: bool,
        tally: &mut Tally,
        each: Each<'_>,
    ) -> Result<(), Reason> {
        let Some((head, body)) = d.payload.split_first_chunk::<20>() else {
            return Err(Reason::Short);
        };
        let word = |at: usize| number(&head[at..at + 4]) as u32;
        let moment = Moment {
            export_ms: i64::from(word(8)) * 1000,
            uptime_ms: Some(word(4)),
        };
        let message = message(d, 9, word(16), moment, raw);
        self.sets(&message, body, tally, each);
        Ok(())
    }

    /// Reads a message of IPFIX (RFC 7011 section 3.1). Its own length counts, as far as the bytes are there.
    pub(super) fn ipfix(
        &mut self,
        d: &Datagram<'_>,
        raw: bool,
        tally: &mut Tally,
        each: Each<'_>,
    ) -> Result<(), Reason> {
        let Some((head, body)) = d.payload.split_first_chunk::<16>() else {
            return Err(Reason::Short);
        };
        let word = |at: usize| number(&head[at..at + 4]) as u32;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let Some(length) = length.checked_sub(head.len()) else {
            return Err(Reason::Header);
        };
        let export_ms = i64::from(word(4)) * 1000;
        let domain = word(12);
        let moment = Moment {
            export_ms,
            uptime_ms: self.uptime(d.source, domain, export_ms),
        };
        let message = message(d, 10, domain, moment, raw);
        let trailing = body.len().saturating_sub(length);
        tally.add(Outcome::BytesTrailing, trailing as u64);
        self.sets(&message, &body[..body.len() - trailing], tally, each);
        Ok(())
    }

    /// Gives up all sets that still wait.
    pub(super) fn finish(&mut self, tally: &mut Tally) {
        tally.add(Outcome::SetsExpiredTemplate, self.waiting.len() as u64);
        self.waiting.clear();
        self.waiting_of.clear();
        self.waiting_bytes = 0;
    }

    /// The exporter's uptime at export, from the system init time that its options told.
    fn uptime(&self, source: Addr, domain: u32, export_ms: i64) -> Option<u32> {
        let init = self.inits.get(&(source, domain))?;
        Some(export_ms.wrapping_sub(*init) as u32)
    }

    fn sets(&mut self, message: &Message, mut body: &[u8], tally: &mut Tally, each: Each<'_>) {
        while let Some((head, rest)) = body.split_first_chunk::<4>() {
            let [i0, i1, l0, l1] = *head;
            let (id, length) = (u16::from_be_bytes([i0, i1]), u16::from_be_bytes([l0, l1]));
            let Some(length) = usize::from(length).checked_sub(4) else {
                if body.iter().any(|b| *b != 0) {
                    tally.one(Outcome::Sets);
                    tally.one(Outcome::SetsRejectedLength);
                }
                break;
            };
            tally.one(Outcome::Sets);
            // of a set that runs past the message, what is there is used
            let (set, after) = rest.split_at(length.min(rest.len()));
            self.set(message, id, set, tally, each);
            body = after;
        }
        tally.add(Outcome::BytesTrailing, body.len() as u64);
    }

    fn set(&mut self, message: &Message, id: u16, set: &[u8], tally: &mut Tally, each: Each<'_>) {
        match (message.session.version, id) {
            (9, 0) | (10, 2) => self.learn(message, false, set, tally, each),
            (9, 1) | (10, 3) => self.learn(message, true, set, tally, each),
            (_, 256..) => match self.find(message.session, id, set.len()) {
                Some(known) => self.data(message, &known, set, tally, each),
                None => self.keep(message, id, set, tally),
            },
            _ => tally.one(Outcome::SetsRejectedId),
        }
    }

    fn learn(
        &mut self,
        message: &Message,
        options: bool,
        set: &[u8],
        tally: &mut Tally,
        each: Each<'_>,
    ) {
        let session = message.session;
        let mut reader = TemplateReader::new(session.version, options, set, &self.settings);
        let (mut fields, mut learned, mut fault) = (Vec::new(), Vec::new(), None);
        while let Some(event) = reader.next(&mut fields) {
            match event {
                Ok(TemplateEvent::Learned(header)) => {
                    self.insert(session, &header, &fields, tally);
                    learned.push(header.id);
                }
                Ok(TemplateEvent::Withdrawn(_)) => tally.one(Outcome::TemplatesWithdrawn),
                Ok(TemplateEvent::Refused(id, reason)) => {
                    // what it would have replaced is no longer what the exporter sends
                    self.templates.remove(&(session, id));
                    learned.retain(|l| *l != id);
                    tally.one(Outcome::TemplatesRefused);
                    fault = fault.or(Some(reason));
                }
                Err(reason) => {
                    fault = fault.or(Some(reason));
                    break;
                }
            }
        }
        tally.one(fault.map_or(Outcome::SetsDecoded, Reason::set_outcome));
        for id in learned {
            self.release(session, id, tally, each);
        }
    }

    fn insert(
        &mut self,
        session: Session,
        header: &TemplateHeader,
        fields: &[FieldSpec],
        tally: &mut Tally,
    ) {
        let key = (session, header.id);
        if self.templates.len() >= self.settings.templates_max && !self.templates.contains_key(&key)
        {
            tally.one(Outcome::TemplatesRefused);
            return;
        }
        let template = Template::new(header, fields);
        let known = Known {
            keys: keys(&template),
            // a scope field of NetFlow 9 has a scope type, no element
            elements: fields
                .iter()
                .map(|f| match (session.version, f.scope) {
                    (9, true) => None,
                    _ => find(f.pen, f.element),
                })
                .collect(),
            template,
        };
        self.announced.insert(session);
        let outcome = match self.templates.insert(key, Rc::new(known)) {
            None => Outcome::TemplatesLearned,
            Some(old) if !old.template.same_layout(header, fields) => Outcome::TemplatesChanged,
            Some(_) => return,
        };
        tally.one(outcome);
    }

    /// The session's template; else that of other sessions of the same exporter and domain, if they agree, this one
    /// never announced any, and the set divides into whole records.
    fn find(&self, session: Session, id: u16, bytes: usize) -> Option<Rc<Known>> {
        if let Some(known) = self.templates.get(&(session, id)) {
            return Some(known.clone());
        }
        if self.announced.contains(&session) {
            return None;
        }
        let mut others = self
            .templates
            .iter()
            .filter(|((s, i), _)| {
                *i == id
                    && Session {
                        port: session.port,
                        ..*s
                    } == session
            })
            .map(|(_, known)| known);
        let one = others.next()?;
        let t = &one.template;
        let agree = others.all(|o| o.template == *t);
        let divides = t
            .record_len
            .is_none_or(|n| n > 0 && bytes >= n && bytes % n < 4.min(n));
        (agree && divides).then(|| one.clone())
    }

    fn data(
        &mut self,
        message: &Message,
        known: &Known,
        set: &[u8],
        tally: &mut Tally,
        each: Each<'_>,
    ) {
        let mut records = Records::new(&known.template, set);
        let (mut spans, mut some) = (Vec::new(), false);
        while records.next(&mut spans).is_some() {
            some = true;
            let values = || spans.iter().map(|&(at, length)| &set[at..at + length]);
            self.note_init(message, known, values());
            let mut moment = message.moment;
            if message.session.version == 10 {
                let Session { source, domain, .. } = message.session;
                moment.uptime_ms = self.uptime(source, domain, moment.export_ms);
            }
            let mut fields = Fields::default();
            for (element, bytes) in known.elements.iter().zip(values()) {
                if let Some(element) = element {
                    fields.take(element, bytes, &moment);
                }
            }
            let (kind, outcome) = match known.template.options {
                true => ("options", Outcome::RecordsOptions),
                false => ("flow", Outcome::RecordsFlow),
            };
            let mut record = Record::new();
            record.insert("kind".into(), json!(kind));
            record.insert("version".into(), json!(message.session.version));
            record.insert("odid".into(), json!(message.session.domain));
            record.insert("set_id".into(), json!(known.template.id));
            record.insert("datagram".into(), json!(message.datagram));
            fields.finish(&mut record);
            if message.raw {
                let named = known
                    .keys
                    .iter()
                    .zip(values())
                    .map(|(k, v)| Named(k.clone(), v));
                record.insert("raw".into(), value::raw(named));
            }
            count(tally, outcome);
            each(record);
        }
        let rest = &set[records.position()..];
        if !is_padding(rest, known.template.record_min) {
            tally.add(Outcome::BytesTrailing, rest.len() as u64);
        }
        tally.one(if some || set.is_empty() {
            Outcome::SetsDecoded
        } else {
            Outcome::SetsRejectedRecord
        });
    }

    /// Remembers element 160, for the domain that the record names (element 149) or else its own.
    fn note_init<'v>(
        &mut self,
        message: &Message,
        known: &Known,
        values: impl Iterator<Item = &'v [u8]>,
    ) {
        let (mut init, mut domain) = (None, message.session.domain);
        for (field, bytes) in known.template.fields.iter().zip(values) {
            match (field.pen, field.element, bytes.len()) {
                (0, 160, 8) => init = Some(number(bytes) as i64),
                (0, 149, 1..=4) if number(bytes) != 0 => domain = number(bytes) as u32,
                _ => {}
            }
        }
        if let Some(init) = init
            && self.inits.len() < self.settings.templates_max
        {
            self.inits.insert((message.session.source, domain), init);
        }
    }

    fn keep(&mut self, message: &Message, id: u16, set: &[u8], tally: &mut Tally) {
        let (s, source) = (&self.settings, message.session.source);
        let (sets, bytes) = self.waiting_of.get(&source).copied().unwrap_or_default();
        let room = sets < s.exporter_waiting_sets_max
            && bytes + set.len() <= s.exporter_waiting_bytes_max
            && self.waiting.len() < s.waiting_sets_max
            && self.waiting_bytes + set.len() <= s.waiting_bytes_max;
        if !self.wait || !room {
            tally.one(Outcome::SetsExpiredTemplate);
            return;
        }
        (self.waiting_of).insert(source, (sets + 1, bytes + set.len()));
        self.waiting_bytes += set.len();
        self.waiting.push(Waiting {
            message: *message,
            id,
            body: set.to_vec(),
        });
    }

    /// Hands out what waited for a template, oldest first.
    fn release(&mut self, session: Session, id: u16, tally: &mut Tally, each: Each<'_>) {
        let waits = |w: &Waiting| w.id == id && w.message.session == session;
        if !self.waiting.iter().any(waits) {
            return;
        }
        let Some(known) = self.find(session, id, 0) else {
            return;
        };
        let (ready, rest) = self.waiting.drain(..).partition::<Vec<_>, _>(waits);
        self.waiting = rest;
        for w in ready {
            self.waiting_bytes -= w.body.len();
            if let Some(of) = self.waiting_of.get_mut(&session.source) {
                *of = (of.0.saturating_sub(1), of.1.saturating_sub(w.body.len()));
            }
            tally.one(Outcome::SetsDecodedLate);
            self.data(&w.message, &known, &w.body, tally, each);
        }
    }
}

fn message(d: &Datagram<'_>, version: u8, domain: u32, moment: Moment, raw: bool) -> Message {
    Message {
        session: Session {
            source: d.source,
            port: d.port,
            version,
            domain,
        },
        datagram: d.number,
        moment,
        raw,
    }
}
