//! Room for those who hold little: where all exporters together come near a limit, the one that holds most gives way. So nobody
//! keeps others out by filling what all share.

use super::Decoder;
use super::exporter::Exporter;
use super::exporters::Exporters;
use super::settings::Settings;
use crate::ledger::{Book, Outcome};
use std::cmp::Reverse;

/// What all exporters together hold.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    pub sessions: usize,
    pub domains: usize,
    pub names: usize,
    pub samplers: usize,
}

impl Held {
    pub fn has_names(&self, settings: &Settings) -> bool {
        self.names < settings.names_all_max
    }

    pub fn has_samplers(&self, settings: &Settings) -> bool {
        self.samplers < settings.samplers_all_max
    }

    pub fn add(&mut self, e: &Exporter) {
        self.sessions += e.sessions.len();
        self.domains += e.domains.len();
        self.names += e.names.len();
        self.samplers += e.samplers();
    }
}

impl Decoder {
    /// Makes room before it is needed: an eighth of the templates, sessions or domains of the largest holder, or all its names or
    /// samplers, which it will send again.
    pub(super) fn relieve(&mut self, now_ns: i64, book: &mut Book) {
        let s = &self.shared.settings;
        let [templates, bytes, sessions, domains, names, samplers] = [
            s.templates_max,
            s.templates_bytes_max,
            s.sessions_all_max,
            s.domains_all_max,
            s.names_all_max,
            s.samplers_all_max,
        ]
        .map(|max| max - max / RESERVE);
        while self.shared.templates > templates && self.drop_templates(|e| e.templates, book) {}
        while self.shared.layouts.bytes() > bytes
            && self.drop_templates(Exporter::template_bytes, book)
        {}
        while self.shared.held.sessions > sessions {
            let touched = &mut self.touched;
            let Some((e, n)) = largest(&mut self.exporters, |e| e.sessions.len()) else {
                break;
            };
            let gone = e.drop_sessions(n.div_ceil(PART), now_ns, (&mut *book, touched));
            self.shared.templates -= gone.templates;
            count(e, gone.entries, book);
            self.shared.held.sessions -= n - e.sessions.len();
        }
        while self.shared.held.domains > domains {
            let Some((e, n)) = largest(&mut self.exporters, |e| e.domains.len()) else {
                break;
            };
            let before = e.samplers();
            e.drop_domains(n.div_ceil(PART));
            let (gone, samplers) = (n - e.domains.len(), before - e.samplers());
            count(e, gone + samplers, book);
            self.shared.held.domains -= gone;
            self.shared.held.samplers -= samplers;
        }
        while self.shared.held.names > names {
            let Some((e, n)) = largest(&mut self.exporters, |e| e.names.len()) else {
                break;
            };
            e.names = Default::default();
            count(e, n, book);
            self.shared.held.names -= n;
        }
        while self.shared.held.samplers > samplers {
            let Some((e, n)) = largest(&mut self.exporters, Exporter::samplers) else {
                break;
            };
            let domains = e.domains.iter_mut();
            domains.for_each(|d| d.samplers = Default::default());
            count(e, n, book);
            self.shared.held.samplers -= n;
        }
    }

    /// Drops some templates of the exporter that holds most; whether there were any.
    fn drop_templates(&mut self, weight: fn(&Exporter) -> usize, book: &mut Book) -> bool {
        let Some((e, _)) = largest(&mut self.exporters, weight) else {
            return false;
        };
        let gone = e.drop_templates(e.templates.div_ceil(PART));
        count(e, gone, book);
        self.shared.templates -= gone;
        gone > 0
    }
}

/// The exporter that holds most, and how much; nobody who holds nothing.
fn largest(
    exporters: &mut Exporters,
    weight: fn(&Exporter) -> usize,
) -> Option<(&mut Exporter, usize)> {
    let all = exporters.iter().map(weight).enumerate();
    let (at, most) = all.max_by_key(|(at, n)| (*n, Reverse(*at)))?;
    (most > 0).then(|| (exporters.at(at), most))
}

fn count(e: &Exporter, evicted: usize, book: &mut Book) {
    let tally = book.account((e.addr.0, 0));
    tally.add(Outcome::Evictions, evicted as u64);
}

/// One in so many of what all may hold is kept free for those who come.
const RESERVE: usize = 16;

/// One in so many of what the largest holder has goes at once.
const PART: usize = 8;
