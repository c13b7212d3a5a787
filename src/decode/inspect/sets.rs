//! Sets of NetFlow 9 and IPFIX: templates are learned, records come out.

use super::value::{self, Fields, Named};
use super::{Record, count};
use crate::decode::element::{Element, find};
use crate::decode::lend::lent;
use crate::decode::moves::{Moment, number};
use crate::decode::raw::{Behind, Records, behind, keys};
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
            (_, 256..) => match self.find(message.session, id, set) {
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
        let (mut fields, mut fault) = (Vec::new(), None);
        while let Some(event) = reader.next(&mut fields) {
            match event {
                Ok(TemplateEvent::Learned(header)) => {
                    if self.insert(session, &header, &fields, tally) {
                        self.release(session, header.id, tally, each);
                    }
                }
                Ok(TemplateEvent::Withdrawn(_)) => tally.one(Outcome::TemplatesWithdrawn),
                Ok(TemplateEvent::Refused(id, reason)) => {
                    // what it would have replaced is no longer what the exporter sends
                    self.templates.remove(&(session, id));
                    tally.one(Outcome::TemplatesRefused);
                    fault = fault.or(Some(reason));
                }
                Err(reason) => {
                    tally.one(Outcome::TemplatesRefused);
                    fault = fault.or(Some(reason));
                    break;
                }
            }
        }
        tally.one(fault.map_or(Outcome::SetsDecoded, Reason::set_outcome));
    }

    /// Learns a template; whether it is news.
    fn insert(
        &mut self,
        session: Session,
        header: &TemplateHeader,
        fields: &[FieldSpec],
        tally: &mut Tally,
    ) -> bool {
        let key = (session, header.id);
        self.announced.insert(session);
        if self.templates.len() >= self.settings.templates_max && !self.templates.contains_key(&key)
        {
            tally.one(Outcome::TemplatesRefused);
            return false;
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
        let outcome = match self.templates.insert(key, Rc::new(known)) {
            None => Outcome::TemplatesLearned,
            Some(old) if !old.template.same_layout(header, fields) => Outcome::TemplatesChanged,
            Some(_) => return false,
        };
        tally.one(outcome);
        true
    }

    /// The session's template; else what other sessions lend one that never announced any.
    fn find(&self, session: Session, id: u16, set: &[u8]) -> Option<Rc<Known>> {
        if let Some(known) = self.templates.get(&(session, id)) {
            return Some(known.clone());
        }
        if self.announced.contains(&session) {
            return None;
        }
        let lend = |s: &&Session| {
            Session {
                port: session.port,
                ..**s
            } == session
        };
        let others = self.announced.iter().filter(lend);
        let others = others.map(|s| self.templates.get(&(*s, id)));
        lent(others, |known| &known.template, set).cloned()
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
            let mut moment = message.moment;
            if known.template.options {
                self.note_init(message, known, values());
            }
            if message.session.version == 10 {
                let Session { source, domain, .. } = message.session;
                // a flow record's own holds for itself alone
                moment.uptime_ms = match init(known, values()) {
                    Some(init) => Some(moment.export_ms.wrapping_sub(init) as u32),
                    None => self.uptime(source, domain, moment.export_ms),
                };
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
        let behind = behind(&known.template, rest);
        if behind != Behind::Padding {
            tally.add(Outcome::BytesTrailing, rest.len() as u64);
        }
        tally.one(match (some || set.is_empty(), behind) {
            (false, _) | (_, Behind::Cut) => Outcome::SetsRejectedRecord,
            _ => Outcome::SetsDecoded,
        });
    }

    /// Remembers element 160, for the domain that the record names (element 149) or else its own.
    fn note_init<'v>(
        &mut self,
        message: &Message,
        known: &Known,
        values: impl Iterator<Item = &'v [u8]> + Clone,
    ) {
        let mut domain = message.session.domain;
        for (field, bytes) in known.template.fields.iter().zip(values.clone()) {
            if (field.pen, field.element) == (0, 149) && matches!(bytes.len(), 1..=4) {
                domain = Some(number(bytes) as u32)
                    .filter(|n| *n != 0)
                    .unwrap_or(domain);
            }
        }
        if let Some(init) = init(known, values)
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

    /// Hands out what waited for a template of this session, oldest first: its own sets, and those of sessions that it may
    /// lend it to.
    fn release(&mut self, session: Session, id: u16, tally: &mut Tally, each: Each<'_>) {
        let mut i = 0;
        while let Some(w) = self.waiting.get(i) {
            let of = Session {
                port: session.port,
                ..w.message.session
            };
            let known = match w.id == id && of == session {
                true => self.find(w.message.session, id, &w.body),
                false => None,
            };
            let Some(known) = known else {
                i += 1;
                continue;
            };
            let w = self.waiting.remove(i);
            self.waiting_bytes -= w.body.len();
            if let Some(of) = self.waiting_of.get_mut(&session.source) {
                *of = (of.0.saturating_sub(1), of.1.saturating_sub(w.body.len()));
            }
            tally.one(Outcome::SetsDecodedLate);
            self.data(&w.message, &known, &w.body, tally, each);
        }
    }
}

/// Element 160 of a record: ms since 1970 UTC; zero is not set.
fn init<'v>(known: &Known, values: impl Iterator<Item = &'v [u8]>) -> Option<i64> {
    let fields = known.template.fields.iter().zip(values);
    let mut inits = fields.filter(|(f, bytes)| (f.pen, f.element, bytes.len()) == (0, 160, 8));
    let (_, bytes) = inits.next()?;
    i64::try_from(number(bytes)).ok().filter(|ms| *ms > 0)
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
