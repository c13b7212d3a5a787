//! That detectors know less than they did: places that were lost to others, and state that could not be taken over.

use super::{Detectors, figure};
use crate::detect::incident::Finding;
use crate::model::{DetectionKind, Entity, EntityRole};

impl Detectors {
    /// Entries that gave way and keys that found no room, of each detector.
    pub fn lost(&self) -> [(&'static str, u64, u64); 21] {
        let p = &self.parts;
        let once = [
            p.scan.turned_away(),
            p.flood.turned_away(),
            p.beacon.turned_away(),
            p.long.turned_away(),
            p.upload.turned_away(),
        ];
        [
            ("scan", p.scan.lost()),
            ("flood", p.flood.lost()),
            ("brute_force", p.brute_force.lost()),
            ("dns", p.dns.lost()),
            ("icmp", p.icmp.lost()),
            ("arp", p.arp.lost()),
            ("odd", p.odd.lost()),
            ("lateral", p.lateral.lost()),
            ("beacon", p.beacon.lost()),
            ("long", p.long.lost()),
            ("upload", p.upload.lost()),
            ("service", p.service.lost()),
            ("volume", p.volume.lost()),
            ("silent", p.silent.lost()),
            ("policy", p.policy.lost()),
            ("names", (0, self.names.refused())),
            ("chains", self.incidents.lost()),
            (QUESTIONS, self.answers.lost()),
            (ONCE, p.once.lost()),
            (ASKS, p.flood.asks_lost()),
            (SEEN_ONCE, (0, once.iter().sum())),
        ]
        .map(|(name, (evicted, refused))| (name, evicted, refused))
    }

    /// Says that what was known before a restart is lost.
    pub fn forgot(&mut self, why: &str) {
        self.forgot = Some(why.to_owned());
    }

    /// Tells once a minute what detectors lost since.
    pub(super) fn degraded(&mut self) {
        if let Some(why) = self.forgot.take() {
            let finding = Finding {
                detector: "anomaly.state",
                about: "what was known before the start is lost".to_owned(),
                count: 1,
                facts: vec![("why", why)],
                ..degraded(self.now_ms)
            };
            self.incidents.report(self.now_ms, finding);
        }
        let lost = self.lost();
        // who was judged early has lost no place, nor who may be judged twice, nor of whom nothing is known yet
        const NO_PLACES: [&str; 4] = [QUESTIONS, ONCE, ASKS, SEEN_ONCE];
        let all = lost.iter().filter(|l| !NO_PLACES.contains(&l.0));
        let all: u64 = all.map(|l| l.1 + l.2).sum();
        let due = self.now_ms.saturating_sub(self.lost_ms) >= 60_000;
        if all < self.lost_told + LOST_MIN || !due {
            return;
        }
        let fresh = all - self.lost_told;
        (self.lost_told, self.lost_ms) = (all, self.now_ms);
        let facts = lost.iter().filter(|l| l.1 + l.2 > 0);
        let facts = facts.map(|l| (l.0, format!("{} gave way, {} found no room", l.1, l.2)));
        let finding = Finding {
            about: "places are taken".to_owned(),
            count: fresh,
            figures: vec![figure("entries lost", all as f64, Some(LOST_MIN as f64))],
            facts: facts.collect(),
            counterfactual: "more places (`detect.places_max`), or fewer hosts".to_owned(),
            ..degraded(self.now_ms)
        };
        self.incidents.report(self.now_ms, finding);
    }
}

/// That detectors know less than they did.
fn degraded(now_ms: i64) -> Finding {
    Finding {
        kind: DetectionKind::DetectorDegraded,
        detector: "anomaly.places",
        entity: Entity::Collector,
        role: EntityRole::Victim,
        severity: None,
        confidence: 100,
        about: String::new(),
        first_ms: now_ms,
        last_ms: now_ms,
        count: 1,
        peers: vec![],
        peers_total: 0,
        figures: vec![figure("times", 1.0, Some(1.0))],
        facts: vec![],
        counterfactual: "a state file that can be read".to_owned(),
        blind: vec!["what was known of what is lost".to_owned()],
    }
}

const QUESTIONS: &str = "questions";
const ONCE: &str = "once";
const ASKS: &str = "asks";
const SEEN_ONCE: &str = "seen_once";
/// So many lost entries are told.
const LOST_MIN: u64 = 1_000;
