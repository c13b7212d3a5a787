//! What survives a restart of the process: templates, samplers, names, the time exporters came up, sequence
//! expectations. A small versioned JSON text; a damaged or hostile one is an error and changes nothing.

use super::Decoder;
use super::exporter::{Domain, Exporter, NameKind, Told};
use super::layouts::Layouts;
use super::options;
use super::relief::Held;
use super::sampling::Samplers;
use super::sequence::{End, Sequence};
use super::sessions::{NEVER_NS, Session, Slot};
use super::settings::Settings;
use super::template::{FieldSpec, TemplateHeader, VARIABLE};
use crate::ledger::{Book, Place};
use crate::model::{Addr, Learned};
use serde::{Deserialize, Serialize};

/// Why a saved state was not taken.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Not what [`Decoder::save`] writes.
    #[error("saved decoder state is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// Written by another version.
    #[error("saved decoder state has format {0}, expected {FORMAT}")]
    Format(u32),
    /// A template that would never have been learned.
    #[error("saved decoder state holds an impossible template {0}")]
    Template(u16),
    /// Not what [`Decoder::positions`] writes.
    #[error("saved positions are damaged: what was missed since cannot be told")]
    Position,
}

#[derive(Deserialize)]
struct Saved {
    format: u32,
    exporters: Vec<SavedExporter>,
    senders: Vec<SavedSender>,
}

/// sFlow: agent, sub-agent, when it was last heard of, expectation.
pub(super) type SavedSender = ([u8; 16], u32, i64, Sequence);

#[derive(Serialize, Deserialize)]
pub(super) struct SavedExporter {
    addr: [u8; 16],
    first_export_ms: Option<i64>,
    last_seen_ns: i64,
    pub(super) sessions: Vec<SavedSession>,
    domains: Vec<SavedDomain>,
    names: Vec<(NameKind, u64, String, String)>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct SavedSession {
    port: u16,
    version: u8,
    domain: u32,
    announced: bool,
    last_seen_ns: i64,
    pub(super) sequence: Sequence,
    templates: Vec<SavedTemplate>,
}

#[derive(Serialize, Deserialize)]
struct SavedTemplate {
    id: u16,
    options: bool,
    /// (enterprise, element, length, scope)
    fields: Vec<(u32, u16, u16, bool)>,
}

#[derive(Serialize, Deserialize)]
struct SavedDomain {
    version: u8,
    domain: u32,
    last_seen_ns: i64,
    init_ms: Option<i64>,
    samplers: Samplers,
}

impl Decoder {
    /// Takes a saved state for the exporters that are `mine` (a shard's); of an exporter or an sFlow sender that several states
    /// hold the one heard of last stays. After a stop in order the saved sequences hold, and what is ahead of them was sent while the
    /// collector was stopped; after a crash they may be those of an earlier stop, and are left out. Returns the names and samplers, for the tables that live elsewhere.
    pub fn restore(
        &mut self,
        bytes: &[u8],
        end: End,
        mine: impl Fn(Addr) -> bool,
    ) -> Result<Vec<Learned>, StateError> {
        let mut saved: Saved = serde_json::from_slice(bytes)?;
        if saved.format != FORMAT {
            return Err(StateError::Format(saved.format));
        }
        let settings = &self.shared.settings;
        if end == End::Crashed {
            let sessions = saved.exporters.iter_mut().flat_map(|e| &mut e.sessions);
            sessions.for_each(|s| s.sequence = Sequence::default());
            saved.senders.clear();
        }
        for (agent, sub_agent, seen_ns, sequence) in saved.senders {
            let sender = (Addr(agent), sub_agent);
            let known = self.sflow.heard_ns(sender);
            if mine(sender.0) && known.is_none_or(|known| known < seen_ns) {
                self.sflow.resume(sender, sequence.left_behind(), seen_ns);
            }
        }
        let (mut learned, mut exporters, mut templates) =
            (Vec::new(), Vec::new(), self.shared.templates);
        let newer = |e: &SavedExporter| {
            let known = self.exporters.get(&Addr(e.addr));
            known.is_none_or(|k| k.last_seen_ns < e.last_seen_ns)
        };
        let chosen = saved
            .exporters
            .into_iter()
            .filter(|e| mine(Addr(e.addr)) && newer(e));
        for e in chosen.take(settings.exporters_max) {
            let room = settings.templates_max.saturating_sub(templates);
            let exporter = restored(e, room, (&mut self.shared.layouts, settings), &mut learned)?;
            templates += exporter.templates;
            exporters.push(exporter);
        }
        for exporter in exporters {
            self.exporters.insert(exporter);
        }
        self.shared.templates = self.exporters.iter().map(|e| e.templates).sum();
        self.shared.held = Held::default();
        self.exporters.iter().for_each(|e| self.shared.held.add(e));
        // the state may be of several shards, or of larger limits
        self.relieve(0, &mut Book::default());
        Ok(learned)
    }
}

pub(super) fn saved(e: &Exporter) -> SavedExporter {
    let mut names: Vec<_> = e
        .names
        .iter()
        .map(|((kind, id), t)| (*kind, *id, t.name.to_string(), t.description.to_string()))
        .collect();
    names.sort();
    SavedExporter {
        addr: e.addr.0,
        first_export_ms: e.first_export_ms,
        last_seen_ns: e.last_seen_ns,
        sessions: e.sessions.iter().map(saved_session).collect(),
        domains: e
            .domains
            .iter()
            .map(|d| SavedDomain {
                version: d.version,
                domain: d.domain,
                last_seen_ns: d.last_seen_ns,
                init_ms: d.init_ms,
                samplers: d.samplers.clone(),
            })
            .collect(),
        names,
    }
}

fn saved_session(s: &Session) -> SavedSession {
    let template = |slot: &Slot| SavedTemplate {
        id: slot.compiled.template.id,
        options: slot.compiled.template.options,
        fields: slot
            .compiled
            .template
            .fields
            .iter()
            .map(|f| (f.pen, f.element, f.length, f.scope))
            .collect(),
    };
    SavedSession {
        port: s.port,
        version: s.version,
        domain: s.domain,
        announced: s.announced,
        last_seen_ns: s.last_seen_ns,
        sequence: s.sequence.clone(),
        templates: s.templates.iter().map(template).collect(),
    }
}

fn restored(
    saved: SavedExporter,
    room: usize,
    (layouts, settings): (&mut Layouts, &Settings),
    learned: &mut Vec<Learned>,
) -> Result<Exporter, StateError> {
    let mut e = Exporter::new(Addr(saved.addr));
    e.first_export_ms = saved.first_export_ms;
    e.last_seen_ns = saved.last_seen_ns;
    let room = room.min(settings.exporter_templates_max);
    for s in saved.sessions.into_iter().take(settings.sessions_max) {
        let left = room - e.templates;
        let session = restored_session(s, left, (layouts, settings))?;
        e.templates += session.templates.len();
        e.sessions.push(session);
    }
    let mut samplers_left = settings.samplers_max;
    for d in saved.domains.into_iter().take(settings.domains_max) {
        let samplers = d.samplers.bounded(samplers_left);
        samplers_left -= samplers.len();
        learned.extend(samplers.iter().map(|(sampler, interval)| Learned::Sampler {
            exporter: e.addr,
            domain: d.domain,
            sampler,
            interval,
        }));
        e.domains.push(Domain {
            version: d.version,
            domain: d.domain,
            samplers,
            init_ms: d.init_ms,
            last_seen_ns: d.last_seen_ns,
            account: Place::default(),
        });
    }
    for (kind, id, name, more) in saved.names.into_iter().take(settings.names_max) {
        let (name, more) = (
            options::text(name.as_bytes()),
            options::text(more.as_bytes()),
        );
        learned.push(options::fact(e.addr, (kind, id), &name, &more));
        let told = Told {
            name: name.into(),
            description: more.into(),
            told_ns: NEVER_NS,
        };
        e.names.insert((kind, id), told);
    }
    Ok(e)
}

fn restored_session(
    s: SavedSession,
    room: usize,
    (layouts, settings): (&mut Layouts, &Settings),
) -> Result<Session, StateError> {
    let mut session = Session::new((s.port, s.version, s.domain), s.last_seen_ns);
    session.announced = s.announced;
    session.heard(s.last_seen_ns);
    session.sequence = s.sequence.left_behind();
    for t in s.templates.into_iter().take(room) {
        let fields: Vec<FieldSpec> = t
            .fields
            .iter()
            .map(|&(pen, element, length, scope)| FieldSpec {
                pen,
                element,
                length,
                scope,
            })
            .collect();
        let header = TemplateHeader {
            id: t.id,
            version: s.version,
            options: t.options,
        };
        let total: usize = fields
            .iter()
            .map(|f| match (s.version, f.length) {
                (10, VARIABLE) => 1,
                (_, n) => usize::from(n),
            })
            .sum();
        let sorted = session
            .templates
            .last()
            .is_none_or(|l: &Slot| l.compiled.template.id < t.id);
        let possible = matches!(s.version, 9 | 10)
            && t.id >= 256
            && sorted
            && (1..=settings.record_bytes_max).contains(&total)
            && fields.len() <= settings.template_fields_max;
        if !possible {
            return Err(StateError::Template(t.id));
        }
        session.templates.push(Slot {
            compiled: layouts.compiled(&header, &fields, settings),
            used: 0,
            changes: 0,
            changes_since_ns: 0,
            told_ns: NEVER_NS,
        });
    }
    Ok(session)
}

/// Version of the text.
pub(super) const FORMAT: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Outcome;
    use crate::model::{Datagram, FlowBatch};

    fn words(list: &[u16]) -> Vec<u8> {
        list.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    fn feed(decoder: &mut Decoder, sequence: u16, sets: &[u16]) -> (FlowBatch, Book) {
        let body = words(sets);
        let head = words(&[10, body.len() as u16 + 16, 0, 1000, 0, sequence, 0, 7]);
        let payload = [head, body].concat();
        let (mut out, mut book) = (FlowBatch::new(), Book::new(10));
        let d = Datagram {
            source: Addr::from_v4([192, 0, 2, 1]),
            port: 4739,
            received_at_ns: 1_000_000_000_000,
            number: 1,
            frame: 1,
            cut: false,
            payload: &payload,
        };
        decoder.decode(&d, &mut out, &mut Vec::new(), &mut book);
        (out, book)
    }

    #[test]
    fn templates_samplers_and_sequences_survive() {
        let mut first = Decoder::new(Settings::default());
        let template = [2, 16, 256, 2, 7, 2, 11, 2];
        let options = [3, 18, 257, 2, 1, 149, 4, 34, 2];
        let data = [257, 10, 0, 7, 64];
        feed(
            &mut first,
            0,
            &[&template[..], &options[..], &data[..]].concat(),
        );
        let saved = first.save().text;
        assert_eq!(saved, first.save().text, "same state, same bytes");
        let mut second = Decoder::new(Settings::default());
        let learned = second
            .restore(&saved, End::Stopped, |_| true)
            .expect("just written");
        assert!(matches!(
            learned[..],
            [Learned::Sampler { interval: 64, .. }]
        ));
        let (rows, book) = feed(&mut second, 3, &[256, 8, 80, 443]);
        assert_eq!(
            (rows.core.src_port[0], rows.core.sampling_interval[0]),
            (80, 64)
        );
        assert_eq!(
            (
                book.count(Outcome::LostStopped),
                book.count(Outcome::SequenceGaps)
            ),
            (2, 0),
            "sequences 1 and 2 were sent to nobody"
        );
    }

    #[test]
    fn hostile_text_is_an_error_and_changes_nothing() {
        let mut d = Decoder::new(Settings::default());
        feed(&mut d, 0, &[2, 12, 256, 1, 7, 2]);
        let saved = d.save().text;
        for text in [
            &b"not json"[..],
            b"{}",
            br#"{"format":9,"exporters":[],"senders":[]}"#,
        ] {
            assert!(d.restore(text, End::Stopped, |_| true).is_err());
        }
        let text = String::from_utf8(saved.clone()).expect("JSON");
        let hostile = text.replace("[[0,7,2,false]]", "[]");
        assert_ne!(text, hostile);
        let mut fresh = Decoder::new(Settings::default());
        assert!(matches!(
            fresh.restore(hostile.as_bytes(), End::Stopped, |_| true),
            Err(StateError::Template(256))
        ));
        assert!(
            fresh
                .restore(&saved, End::Stopped, |_| false)
                .is_ok_and(|l| l.is_empty())
        );
        assert!(fresh.exporters.is_empty(), "another shard's");
        for cut in 0..saved.len() {
            assert!(d.restore(&saved[..cut], End::Stopped, |_| true).is_err());
        }
        assert_eq!(d.save().text, saved);
    }

    #[test]
    fn of_a_sender_in_several_states_the_one_heard_of_last_stays() {
        let saved = |sequence: u32, seen_ns| {
            let mut d = Decoder::new(Settings::default());
            sflow(&mut d, sequence, seen_ns);
            d.save().text
        };
        let (older, newer) = (saved(100, 1), saved(5_000, 2));
        for states in [[&older, &newer], [&newer, &older]] {
            let mut d = Decoder::new(Settings::default());
            for state in states {
                let restored = d.restore(state, End::Stopped, |_| true);
                restored.expect("just written");
            }
            let book = sflow(&mut d, 5_011, 3);
            assert_eq!(book.count(Outcome::LostStopped), 10);
        }
    }

    /// A datagram of agent 10.0.0.1 without samples.
    fn sflow(decoder: &mut Decoder, sequence: u32, received_at_ns: i64) -> Book {
        let words = [5, 1, 0x0a00_0001, 0, sequence, 9_000 + sequence, 0];
        let payload: Vec<u8> = words.iter().flat_map(|w: &u32| w.to_be_bytes()).collect();
        let (mut out, mut book) = (FlowBatch::new(), Book::new(10));
        let d = Datagram {
            source: Addr::from_v4([192, 0, 2, 1]),
            port: 6343,
            received_at_ns,
            number: 1,
            frame: 1,
            cut: false,
            payload: &payload,
        };
        decoder.decode(&d, &mut out, &mut Vec::new(), &mut book);
        book
    }
}
