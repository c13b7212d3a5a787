//! What is too much, too little, or cannot be.

use super::figures::{Billing, Disproportion, Flagged, Link, Report, Sampling, Side};

/// From where on something is remarkable.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Percent of the speed from which on a link is over-used.
    pub over_percent: f64,
    /// Percent of the speed below which it is under-used.
    pub under_percent: f64,
}

/// Sorts the links and fills the lists of a report.
pub fn judge(report: &mut Report, limits: &Limits) {
    let key = |l: &Link| l.billing.utilisation.unwrap_or(-1.0);
    report.links.sort_by(|a, b| {
        let rate = b
            .billing
            .bits_per_second
            .total_cmp(&a.billing.bits_per_second);
        let name = (&a.name.exporter, a.name.if_index).cmp(&(&b.name.exporter, b.name.if_index));
        key(b).total_cmp(&key(a)).then(rate).then(name)
    });
    for link in &report.links {
        // of time in which nobody listened there is nothing to say
        let Some(fuller) = fuller(link).filter(|_| link.samples > 0) else {
            continue;
        };
        let enough = link.samples >= SAMPLES_MIN;
        if link.speed.is_none() {
            report.unknown_speed.push(flag(link, fuller, true));
            continue;
        }
        for side in &link.sides {
            let (used, error) = measured(side);
            if used >= limits.over_percent {
                let clear = enough && used * (1.0 - error) >= limits.over_percent;
                report.over_used.push(flag(link, side, clear));
            }
            let least = side.peak.utilisation.unwrap_or(0.0) * (1.0 - side.peak_certainty.error());
            if least > POSSIBLE {
                report.impossible.push(flag(link, side, true));
            }
        }
        if link
            .sides
            .iter()
            .all(|s| measured(s).0 < limits.under_percent)
        {
            let clear = |s: &Side| {
                let (used, error) = measured(s);
                used * (1.0 + error) < limits.under_percent
                    && s.certainty.sampling != Sampling::Unknown
            };
            let clear = enough && link.sides.iter().all(clear);
            report.under_used.push(flag(link, fuller, clear));
        }
    }
    let used = |f: &Flagged| f.p95.utilisation.unwrap_or(0.0);
    report.over_used.sort_by(|a, b| used(b).total_cmp(&used(a)));
    report
        .under_used
        .sort_by(|a, b| used(a).total_cmp(&used(b)));
}

/// The higher of the 95th percentiles of a link's sides.
pub fn billing(link: &Link) -> Billing {
    fuller(link).map_or(Billing::default(), |side| Billing {
        bits_per_second: side.p95.bits_per_second,
        egress: side.direction == "egress",
        utilisation: side.p95.utilisation,
    })
}

/// Why an application's share of a side is out of proportion; `sides` is over how many the median was taken.
pub fn reasons(d: &Disproportion, sides: u64) -> Vec<&'static str> {
    let mut reasons = vec![];
    if sides >= SIDES_MIN && d.share >= TIMES_MEDIAN * d.median_share {
        reasons.push("above-median");
    }
    // long flows that end later have no flows here
    if d.flow_share > 0.0 && d.share >= TIMES_FLOWS * d.flow_share {
        reasons.push("few-flows");
    }
    if d.relevance == "leisure" {
        reasons.push("leisure");
    }
    reasons
}

fn fuller(link: &Link) -> Option<&Side> {
    let rate = |s: &&Side| s.p95.bits_per_second;
    // of equal sides the first one
    link.sides
        .iter()
        .rev()
        .max_by(|a, b| rate(a).total_cmp(&rate(b)))
}

/// Percent of the speed at the 95th percentile, and its relative error.
fn measured(side: &Side) -> (f64, f64) {
    let used = side.p95.utilisation.unwrap_or(0.0) * 100.0;
    (used, side.p95_certainty.error().min(1.0))
}

fn flag(link: &Link, side: &Side, clear: bool) -> Flagged {
    Flagged {
        name: link.name.clone(),
        direction: side.direction.clone(),
        speed: link.speed,
        p95: side.p95,
        peak: side.peak,
        samples_over: side.samples_over,
        certainty: side.p95_certainty,
        clear,
        short: link.samples < SAMPLES_MIN,
    }
}

/// Share of a side from which on an application is looked at.
pub const LARGE_SHARE: f64 = 0.1;
/// So many times the median share are out of proportion.
pub const TIMES_MEDIAN: f64 = 3.0;
/// So many times the share of flows are out of proportion.
pub const TIMES_FLOWS: f64 = 10.0;
/// A median of fewer sides says nothing.
pub const SIDES_MIN: u64 = 4;
/// Of fewer samples the 95th percentile is the peak.
const SAMPLES_MIN: u64 = 20;
/// Above this part of its speed no link can be for 5 minutes: layer-3 bytes are fewer than those on the wire.
const POSSIBLE: f64 = 1.02;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::report::figures::{Certainty, Rate};

    fn side(direction: &str, percent: f64, error: f64) -> Side {
        Side {
            direction: direction.into(),
            p95: Rate::new(percent * 10.0, Some(1_000)),
            peak: Rate::new(percent * 11.0, Some(1_000)),
            p95_certainty: Certainty {
                sampling: Sampling::Estimated,
                relative_error: Some(error),
                unknown_share: 0.0,
            },
            ..Side::default()
        }
    }

    fn judged(samples: u64, links: Vec<Vec<Side>>) -> Report {
        let mut report = Report::default();
        for (n, sides) in links.into_iter().enumerate() {
            let mut link = Link {
                speed: Some(1_000),
                samples,
                sides,
                ..Link::default()
            };
            link.name.if_index = n as u32;
            link.billing = billing(&link);
            report.links.push(link);
        }
        let limits = Limits {
            over_percent: 80.0,
            under_percent: 10.0,
        };
        judge(&mut report, &limits);
        report
    }

    #[test]
    fn lists_know_their_error() {
        let report = judged(
            SAMPLES_MIN,
            vec![
                vec![side("ingress", 50.0, 0.0), side("egress", 85.0, 0.1)],
                vec![side("ingress", 95.0, 0.1), side("egress", 1.0, 0.0)],
                vec![side("ingress", 9.0, 0.2), side("egress", 1.0, 0.2)],
                vec![side("ingress", 2.0, 0.2)],
            ],
        );
        let told = |list: &[Flagged]| -> Vec<(u32, String, bool)> {
            let told = list
                .iter()
                .map(|f| (f.name.if_index, f.direction.clone(), f.clear));
            told.collect()
        };
        assert_eq!(
            told(&report.over_used),
            [(1, "ingress".into(), true), (0, "egress".into(), false)]
        );
        assert_eq!(
            told(&report.under_used),
            [(3, "ingress".into(), true), (2, "ingress".into(), false)]
        );
        assert_eq!(told(&report.impossible), [(1, "ingress".into(), true)]);
        let order: Vec<u32> = report.links.iter().map(|l| l.name.if_index).collect();
        assert_eq!(order, [1, 0, 2, 3]);
        assert!(report.links[1].billing.egress && !report.links[0].billing.egress);
    }

    #[test]
    fn a_short_time_makes_nothing_clear_and_an_unheard_one_says_nothing() {
        let links = || {
            vec![
                vec![side("ingress", 95.0, 0.0)],
                vec![side("ingress", 2.0, 0.0)],
            ]
        };
        for (samples, over, under) in [
            (SAMPLES_MIN, vec![true], vec![true]),
            (SAMPLES_MIN - 1, vec![false], vec![false]),
            (0, vec![], vec![]),
        ] {
            let report = judged(samples, links());
            let clear = |list: &[Flagged]| list.iter().map(|f| f.clear).collect::<Vec<_>>();
            assert_eq!(clear(&report.over_used), over, "{samples}");
            assert_eq!(clear(&report.under_used), under, "{samples}");
            let word = if samples < SAMPLES_MIN {
                "short time"
            } else {
                "clear"
            };
            assert!(report.over_used.iter().all(|f| f.sure() == word));
        }
    }

    #[test]
    fn proportions_have_reasons() {
        let mut d = Disproportion {
            name: Default::default(),
            direction: String::new(),
            app: String::new(),
            relevance: "leisure".into(),
            bytes: 1,
            share: 0.31,
            flow_share: 0.2,
            median_share: 0.1,
            reasons: vec![],
        };
        assert_eq!(reasons(&d, 4), ["above-median", "leisure"]);
        assert_eq!(reasons(&d, 3), ["leisure"]);
        (d.relevance, d.flow_share, d.median_share) = (String::new(), 0.03, 0.2);
        assert_eq!(reasons(&d, 9), ["few-flows"]);
        d.flow_share = 0.0;
        assert_eq!(reasons(&d, 9), [""; 0], "no flow ended in the period");
    }
}
