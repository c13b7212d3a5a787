//! A rule that costs more than it may is an incident, too: of the collector itself, because packets were not tried with it.

use super::{Hits, Key, Open, RULE_MAX, What, cut, floor};
use crate::detect::signature::engine::Demoted;
use crate::model::{Addr, Detection, DetectionKind, Entity, EntityRole, Evidence, Figure};

impl Hits {
    /// Takes a demotion: all of one rule are one incident of the shard, which counts for itself. False where there is no room.
    pub fn demoted(&mut self, demoted: &Demoted) -> bool {
        let now_ms = demoted.time_ns.div_euclid(1_000_000);
        let key = Key {
            what: What::Demotion,
            gid: demoted.rule().gid,
            sid: demoted.rule().sid,
            client: Addr::UNSPECIFIED,
            server: Addr::UNSPECIFIED,
        };
        let gap_ms = self.gap_ms;
        let open = self.open.get_mut(&key);
        if let Some(open) = open.filter(|o| now_ms - o.told.last_ms <= gap_ms) {
            open.again_demoted(demoted, now_ms);
            return true;
        }
        self.close(key);
        if self.open.len() >= self.open_max || !self.is_within_budget(now_ms) {
            return false;
        }
        let open = Open::of_demotion(key, demoted, now_ms);
        self.open.insert(key, open);
        true
    }
}

impl Open {
    fn of_demotion(key: Key, demoted: &Demoted, now_ms: i64) -> Self {
        let (kind, rule) = (DetectionKind::RuleDemoted, demoted.rule());
        let mut open = Open {
            told: Detection {
                id: key.id(now_ms),
                version: 0,
                kind,
                detector: format!("{}:{}:{}", rule.gid, rule.sid, rule.rev),
                sid: Some(rule.sid),
                severity: kind.severity(),
                confidence: 100,
                title: cut(&format!("{}: {}", kind.title(), rule.about.message)),
                entity: Entity::Collector,
                role: EntityRole::Victim,
                peers: vec![],
                peers_total: 0,
                first_ms: now_ms,
                last_ms: now_ms,
                detected_ms: now_ms,
                count: 0,
                evidence: Evidence {
                    figures: vec![Figure {
                        name: "work of the rule".into(),
                        observed: 0.0,
                        threshold: Some(demoted.work_max as f64),
                        baseline: None,
                    }],
                    facts: vec![(
                        "rule".into(),
                        rule.raw[..floor(&rule.raw, RULE_MAX)].to_owned(),
                    )],
                    ..Evidence::default()
                },
                attack: vec![],
            },
            flows: vec![],
            told_ms: None,
            changed: false,
        };
        open.again_demoted(demoted, now_ms);
        open
    }

    fn again_demoted(&mut self, demoted: &Demoted, now_ms: i64) {
        self.once_more(now_ms);
        for figure in &mut self.told.evidence.figures {
            figure.observed = figure.observed.max(demoted.work as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::signature::engine::Program;
    use crate::detect::signature::{Context, LiveSettings, RuleSet, Settings, Source, Tuning};
    use std::sync::Arc;

    #[test]
    fn rules_of_two_groups_with_one_number_are_two_incidents() {
        let mut hits = Hits::new(&LiveSettings::default());
        for gid in [1, 3] {
            let text = format!("alert tcp any any -> any any (pcre:\"/a+b/\"; gid:{gid}; sid:7;)");
            let bytes = text.as_bytes();
            let set = RuleSet::load(&[Source { file: "t", bytes }], &Context::default());
            let settings = Settings::default();
            let program = Program::new(&set, &Tuning::default(), &settings, None);
            let program = Arc::new(program.expect("a program"));
            assert!(hits.demoted(&Demoted::testing(&program, 100_000_000_000, 50)));
        }
        hits.finish();
        let ready = hits.take_ready();
        let told: Vec<_> = ready
            .iter()
            .map(|d| (d.detector.as_str(), d.count))
            .collect();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(
            told.contains(&("1:7:0", 1)) && told.contains(&("3:7:0", 1)),
            "{told:?}"
        );
    }

    #[test]
    fn demotions_of_a_rule_are_one_incident_that_grows() {
        let bytes = b"alert tcp any any -> any any (msg:\"dear\"; pcre:\"/a+b/\"; sid:7; rev:2;)";
        let set = RuleSet::load(&[Source { file: "t", bytes }], &Context::default());
        let settings = Settings::default();
        let program = Program::new(&set, &Tuning::default(), &settings, None).expect("a program");
        let program = Arc::new(program);
        let demoted = |second: i64, work| Demoted::testing(&program, second * 1_000_000_000, work);
        let mut hits = Hits::new(&LiveSettings::default());
        assert!(hits.demoted(&demoted(100, 50)) && hits.demoted(&demoted(130, 40)));
        hits.tick(200_000, true);
        let ready = hits.take_ready();
        let [d] = &ready[..] else {
            panic!("{ready:?}");
        };
        assert_eq!(
            (d.kind.name(), d.sid, d.count),
            ("rule_demoted", Some(7), 2)
        );
        assert_eq!((d.first_ms, d.last_ms), (100_000, 130_000));
        assert_eq!(d.entity, Entity::Collector);
        let figure = &d.evidence.figures[0];
        assert_eq!((figure.observed, figure.threshold), (50.0, Some(10.0)));
        // after the silence that ends incidents it is another one
        assert!(hits.demoted(&demoted(100_000, 60)));
        hits.finish();
        assert_ne!(hits.take_ready()[0].id, d.id);
    }
}
