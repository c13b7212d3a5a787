//! What is added to an incident: the same finding again, figures, flows.

use super::{Finding, Incident, PEERS};
use crate::detect::community_id;
use crate::model::{DetectionKind, EVIDENCE_FLOWS_MAX, EntityRole, EvidenceFlow, Figure};

impl Incident {
    /// The same again: what is larger or later holds.
    pub fn merge(&mut self, f: Finding) {
        let told = &mut self.told;
        told.first_ms = told.first_ms.min(f.first_ms);
        told.last_ms = told.last_ms.max(f.last_ms);
        told.count = told.count.saturating_add(f.count);
        told.confidence = told.confidence.max(f.confidence.min(100));
        told.severity = told.severity.max(f.severity.unwrap_or(told.severity));
        told.peers_total = told.peers_total.max(f.peers_total);
        self.add_figures(f.figures);
        let told = &mut self.told;
        for (name, text) in f.facts {
            match told.evidence.facts.iter_mut().find(|o| o.0 == name) {
                Some(fact) => add_words(&mut fact.1, &text),
                None => told.evidence.facts.push((name.into(), text)),
            }
        }
        f.peers.into_iter().for_each(|p| self.add_peer(p));
        self.name_services(&f.about);
        self.changed = true;
    }

    pub fn add_figures(&mut self, all: Vec<Figure>) {
        let figures = &mut self.told.evidence.figures;
        for fresh in all {
            match figures.iter().position(|o| o.name == fresh.name) {
                Some(i) if figures[i].observed < fresh.observed => figures[i] = fresh,
                Some(_) => {}
                None if figures.len() < FIGURES_MAX => figures.push(fresh),
                None => {}
            }
        }
    }

    /// Guesses at several services, or hosts, are called by all of them.
    fn name_services(&mut self, about: &str) {
        let told = &self.told;
        let (kind, same) = (told.kind, format!("{}: {about}", told.kind.title()));
        let is_guess = matches!(
            kind,
            DetectionKind::BruteForce | DetectionKind::BruteForceSucceeded
        );
        if !is_guess || same == told.title || told.role != EntityRole::Source {
            return;
        }
        let services = told.evidence.facts.iter().find(|f| f.0 == "service");
        let services = services.map_or(String::new(), |f| f.1.replace("; ", ", "));
        let on = match (&told.peers[..], told.peers_total) {
            ([one], 0 | 1) => one.to_string(),
            _ => format!("{PEERS} hosts"),
        };
        let title = format!("{}: {services} on {on} by {}", kind.title(), told.entity);
        self.call(title);
    }

    /// Shows a flow: the first ones, and later ones that are larger.
    pub fn show(&mut self, flow: EvidenceFlow) {
        let flows = &mut self.told.evidence.flows;
        let smallest = |flows: &[EvidenceFlow]| {
            let at = (0..flows.len()).min_by_key(|&i| (flows[i].bytes, std::cmp::Reverse(i)));
            at.map(|i| (i, flows[i].bytes))
        };
        if self.least_shown.is_some_and(|least| flow.bytes <= least) {
            return;
        }
        match smallest(flows).filter(|_| flows.len() >= EVIDENCE_FLOWS_MAX) {
            None => flows.push(with_id(flow)),
            Some((i, least)) if least < flow.bytes => flows[i] = with_id(flow),
            Some(_) => return,
        }
        if flows.len() >= EVIDENCE_FLOWS_MAX {
            self.least_shown = smallest(flows).map(|s| s.1);
        }
        self.changed = true;
    }
}

/// Adds a text to others, once, as long as there is room for it.
fn add_words(fact: &mut String, text: &str) {
    let known = fact.split("; ").any(|f| f == text);
    if !known && fact.len() + text.len() < WORDS_MAX {
        fact.push_str("; ");
        fact.push_str(text);
    }
}

fn with_id(mut flow: EvidenceFlow) -> EvidenceFlow {
    let (src, dst) = ((flow.src, flow.src_port), (flow.dst, flow.dst_port));
    flow.community_id = community_id(0, flow.proto, src, dst);
    flow
}

pub(super) const FIGURES_MAX: usize = 16;
/// Bytes of one fact.
const WORDS_MAX: usize = 512;
