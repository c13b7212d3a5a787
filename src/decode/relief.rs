//! Room for those who hold little: where all exporters together come near a limit, the one that holds most gives way. So nobody
//! keeps others out by filling what all share.

use super::Decoder;
use super::exporter::Exporter;
use super::settings::Settings;
use crate::ledger::{Book, Outcome};

/// What all exporters together hold of what options data teach.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
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
        self.names += e.names.len();
        self.samplers += e.samplers();
    }
}

impl Decoder {
    /// Makes room before it is needed: an eighth of the templates of the largest holder, or all its names or samplers, which
    /// it will send again.
    pub(super) fn relieve(&mut self, book: &mut Book) {
        let s = &self.shared.settings;
        let [templates, bytes, names, samplers] = [
            s.templates_max,
            s.templates_bytes_max,
            s.names_all_max,
            s.samplers_all_max,
        ]
        .map(|max| max - max / RESERVE);
        while self.shared.templates > templates && self.drop_templates(|e| e.templates, book) {}
        while self.shared.layouts.bytes() > bytes
            && self.drop_templates(Exporter::template_bytes, book)
        {}
        while self.shared.held.names > names {
            let Some((at, n)) = self.largest(|e| e.names.len()) else {
                break;
            };
            let e = self.exporters.at(at);
            e.names = Default::default();
            book.account((e.addr.0, 0))
                .add(Outcome::Evictions, n as u64);
            self.shared.held.names -= n.min(self.shared.held.names);
        }
        while self.shared.held.samplers > samplers {
            let Some((at, n)) = self.largest(Exporter::samplers) else {
                break;
            };
            let e = self.exporters.at(at);
            e.domains
                .iter_mut()
                .for_each(|d| d.samplers = Default::default());
            book.account((e.addr.0, 0))
                .add(Outcome::Evictions, n as u64);
            self.shared.held.samplers -= n.min(self.shared.held.samplers);
        }
    }

    /// Drops some templates of the exporter that holds most; whether there were any.
    fn drop_templates(&mut self, weight: fn(&Exporter) -> usize, book: &mut Book) -> bool {
        let Some((at, _)) = self.largest(weight) else {
            return false;
        };
        let e = self.exporters.at(at);
        let gone = e.drop_templates(e.templates.div_ceil(PART));
        self.shared.templates -= gone;
        book.account((e.addr.0, 0))
            .add(Outcome::Evictions, gone as u64);
        gone > 0
    }

    /// The place of the exporter that holds most, and how much; nobody who holds nothing.
    fn largest(&self, weight: fn(&Exporter) -> usize) -> Option<(usize, usize)> {
        let all = self.exporters.iter().map(weight).enumerate();
        let most = all.max_by_key(|(at, n)| (*n, std::cmp::Reverse(*at)))?;
        Some(most).filter(|(_, n)| *n > 0)
    }
}

/// One in so many of what all may hold is kept free for those who come.
const RESERVE: usize = 16;

/// One in so many templates of the largest holder goes at once.
const PART: usize = 8;
