//! Whether the tables of a decoder keep to their limits.

use super::Decoder;
use super::exporter::Exporter;
use super::settings::Settings;

/// A table, what it holds, and what it may hold.
pub(super) type Size = (&'static str, usize, usize);

impl Decoder {
    /// A table that holds more than its limit, and what it holds: there is none, whatever was decoded. For tests and fuzzing,
    /// since it looks at everything.
    pub fn overfull(&self) -> Option<(&'static str, usize)> {
        let (shared, s) = (&self.shared, &self.shared.settings);
        let sum = |of: fn(&Exporter) -> usize| self.exporters.iter().map(of).sum::<usize>();
        let all = [
            ("exporters", self.exporters.len(), s.exporters_max.max(1)),
            ("templates", shared.templates, s.templates_max),
            ("waiting sets", shared.waiting_sets, s.waiting_sets_max),
            ("waiting bytes", shared.waiting_bytes, s.waiting_bytes_max),
            (
                "sessions of all",
                sum(|e| e.sessions.len()),
                s.sessions_all_max,
            ),
            (
                "domains of all",
                sum(|e| e.domains.len()),
                s.domains_all_max,
            ),
            ("names of all", sum(|e| e.names.len()), s.names_all_max),
            (
                "samplers of all",
                sum(Exporter::samplers),
                s.samplers_all_max,
            ),
        ];
        let each = self.exporters.iter().flat_map(|e| of_exporter(e, s));
        let beside = shared.counters.sizes(s).into_iter();
        let mut sizes = all.into_iter().chain(beside).chain(self.sflow.sizes());
        let over = |size: &Size| size.1 > size.2;
        let found = sizes.find(over).or_else(|| each.into_iter().find(over));
        found
            .map(|(what, n, _)| (what, n))
            .or_else(|| self.miscounted())
    }

    /// A sum that is not that of its parts.
    fn miscounted(&self) -> Option<(&'static str, usize)> {
        let all = || self.exporters.iter();
        let templates = |e: &Exporter| e.sessions.iter().map(|s| s.templates.len()).sum::<usize>();
        let bytes = |e: &Exporter| e.waiting.iter().map(|w| w.body.len()).sum::<usize>();
        let sum = |of: &dyn Fn(&Exporter) -> usize| all().map(of).sum::<usize>();
        let shared = &self.shared;
        let sums = [
            ("sum of templates", sum(&templates), shared.templates),
            (
                "sum of sets",
                sum(&|e| e.waiting.len()),
                shared.waiting_sets,
            ),
            ("sum of bytes", sum(&bytes), shared.waiting_bytes),
            ("templates told", sum(&|e| e.templates), shared.templates),
            (
                "bytes told",
                sum(&|e| e.waiting_bytes),
                shared.waiting_bytes,
            ),
        ];
        let wrong = sums.into_iter().find(|(_, n, told)| n != told);
        wrong.map(|(what, n, _)| (what, n))
    }
}

fn of_exporter(e: &Exporter, s: &Settings) -> [Size; 7] {
    [
        ("sessions", e.sessions.len(), s.sessions_max.max(1)),
        ("domains", e.domains.len(), s.domains_max.max(1)),
        ("templates of one", e.templates, s.exporter_templates_max),
        ("sets of one", e.waiting.len(), s.exporter_waiting_sets_max),
        (
            "bytes of one",
            e.waiting_bytes,
            s.exporter_waiting_bytes_max,
        ),
        ("names", e.names.len(), s.names_max),
        ("samplers", e.samplers(), s.samplers_max),
    ]
}
