//! How often: `threshold`, `detection_filter`, and what `threshold.config` adds: `suppress`, `threshold`, `rate_filter`.
//!
//! As in Suricata 7 (its user guide, "Thresholding Keywords" and "Global-Thresholds"): a window opens with the first match and lasts to its last
//! microsecond; the first match after it opens the next.

use super::super::header::Action;
use super::super::list::RangeSet;
use super::super::lists::{Filter, FilterKind, Tuning};
use super::super::rule::{Rule, Threshold, ThresholdKind, Track};
use super::shared::{Key, RATE};
use super::{FlowState, Moment, Shared};
use crate::model::Addr;

/// What becomes of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// An alert, with the action of the rule.
    Alert,
    /// An alert, with this action instead: a rate has been passed.
    Acting(Action),
    /// None.
    Silent,
}

/// What thresholds and suppressions make of the matches of a rule.
#[derive(Debug, Clone, Default)]
pub struct Rates {
    suppressions: Vec<Option<(Track, RangeSet)>>,
    limits: Vec<Limit>,
}

/// One rate.
#[derive(Debug, Clone, Copy)]
struct Limit {
    number: u64,
    threshold: Threshold,
    kind: LimitKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LimitKind {
    Threshold,
    DetectionFilter,
    /// The action, and for how many seconds.
    Rate(Action, u32),
}

/// The matches that were counted together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Window {
    began_us: Option<i64>,
    count: u32,
    /// Since when, in seconds, a rate filter acts.
    acting_since_s: Option<i64>,
}

impl Rates {
    /// Those of a rule: its own, as far as the file `threshold.config` does not replace them, and those of the file. `number` tells the
    /// rules of a set apart. Faults are lines of the file that say nothing for this rule because something precedes them.
    pub fn of(rule: &Rule, tuning: &Tuning, number: u64) -> (Self, Vec<String>) {
        let is =
            |gid: u32, sid: u32| (gid == 0 || gid == rule.gid) && (sid == 0 || sid == rule.sid);
        let suppressions = tuning.suppressions.iter().filter(|s| is(s.gid, s.sid));
        let mut rates = Self {
            suppressions: suppressions.map(|s| s.only.clone()).collect(),
            limits: vec![],
        };
        let own = [
            rule.threshold.map(|t| (t, LimitKind::Threshold)),
            rule.detection_filter
                .map(|t| (t, LimitKind::DetectionFilter)),
        ];
        for (threshold, kind) in own.into_iter().flatten() {
            rates.push(threshold, kind, number);
        }
        let mut faults = vec![];
        for filter in tuning.filters.iter().filter(|f| is(f.gid, f.sid)) {
            let replaces = filter.sid != 0 && filter.kind == FilterKind::Alerts;
            if rates.limits.is_empty() || replaces {
                rates.limits.clear();
                rates.push_filter(filter, number);
            } else {
                faults.push(format!(
                    "rule {} has a rate already, which goes before this one of threshold.config",
                    rule.sid
                ));
            }
        }
        (rates, faults)
    }

    /// Whether every match alerts.
    pub fn is_empty(&self) -> bool {
        self.suppressions.is_empty() && self.limits.is_empty()
    }

    /// Whether it counts what does not belong to one flow.
    pub fn is_shared(&self) -> bool {
        self.limits
            .iter()
            .any(|l| l.threshold.track != Track::ByFlow)
    }

    /// Counts a match, and says what becomes of it.
    pub fn judge(&self, at: &Moment, flow: Option<&mut FlowState>, shared: &Shared) -> Verdict {
        if self.suppressions.iter().any(|s| suppressed(s.as_ref(), at)) {
            return Verdict::Silent;
        }
        let (mut verdict, mut flow) = (Verdict::Alert, flow);
        for limit in &self.limits {
            match limit.count(at, flow.as_deref_mut(), shared) {
                Verdict::Silent => return Verdict::Silent,
                Verdict::Alert => {}
                acting => verdict = acting,
            }
        }
        verdict
    }

    fn push(&mut self, threshold: Threshold, kind: LimitKind, number: u64) {
        let number = RATE | number;
        self.limits.push(Limit {
            number,
            threshold,
            kind,
        });
    }

    fn push_filter(&mut self, filter: &Filter, number: u64) {
        let kind = match filter.kind {
            FilterKind::Alerts => LimitKind::Threshold,
            FilterKind::Action(action, seconds) => LimitKind::Rate(action, seconds),
        };
        self.push(filter.threshold, kind, number);
    }
}

fn suppressed(only: Option<&(Track, RangeSet)>, at: &Moment) -> bool {
    let Some((track, list)) = only else {
        return true;
    };
    let has = |a: Addr| list.contains(u128::from_be_bytes(a.0));
    match track {
        Track::BySrc => has(at.src),
        Track::ByDst => has(at.dst),
        _ => has(at.src) || has(at.dst),
    }
}

impl Limit {
    fn count(&self, at: &Moment, flow: Option<&mut FlowState>, shared: &Shared) -> Verdict {
        let none = Addr::UNSPECIFIED;
        let (a, b) = match self.threshold.track {
            Track::BySrc => (at.src, none),
            Track::ByDst => (at.dst, none),
            Track::ByBoth | Track::ByEither => at.pair(),
            Track::ByRule => (none, none),
            Track::ByFlow => {
                return match flow {
                    Some(flow) => self.judge(flow.window(self.number), at),
                    None => self.judge(&mut Window::default(), at),
                };
            }
        };
        let key = Key {
            what: self.number,
            a,
            b,
        };
        shared.change(key, at.now_s(), |slot| {
            let mut window = slot.map(|s| s.1).unwrap_or_default();
            let verdict = self.judge(&mut window, at);
            *slot = Some((self.until_s(&window), window));
            verdict
        })
    }

    /// When a window says nothing any more.
    fn until_s(&self, window: &Window) -> i64 {
        let ends_us = window.began_us.unwrap_or(0) + self.length_us();
        let acts = match self.kind {
            LimitKind::Rate(_, seconds) => window.acting_since_s.map(|s| s + i64::from(seconds)),
            _ => None,
        };
        ends_us.div_euclid(1_000_000).max(acts.unwrap_or(i64::MIN)) + 1
    }

    fn length_us(&self) -> i64 {
        i64::from(self.threshold.seconds) * 1_000_000
    }

    fn judge(&self, window: &mut Window, at: &Moment) -> Verdict {
        if let LimitKind::Rate(action, seconds) = self.kind {
            return self.rate(window, at, action, seconds);
        }
        let most = self.threshold.count;
        window.add(at, self.length_us());
        let alerts = match (self.kind, self.threshold.kind) {
            (LimitKind::DetectionFilter, _) => window.count > most,
            (_, ThresholdKind::Limit) => window.count <= most,
            (_, ThresholdKind::Both) => window.count == most,
            (_, ThresholdKind::Threshold) => {
                let full = window.count >= most;
                if full {
                    window.count = 0;
                }
                full
            }
        };
        if alerts {
            Verdict::Alert
        } else {
            Verdict::Silent
        }
    }

    fn rate(&self, window: &mut Window, at: &Moment, action: Action, seconds: u32) -> Verdict {
        let acts = match window.acting_since_s {
            Some(since) if at.now_s() - since > i64::from(seconds) => {
                window.acting_since_s = None;
                false
            }
            Some(_) => true,
            None => {
                window.add(at, self.length_us());
                let passed = window.count > self.threshold.count;
                window.acting_since_s = passed.then(|| at.now_s());
                passed
            }
        };
        match (acts, action) {
            (false, _) => Verdict::Alert,
            (true, action) => Verdict::Acting(action),
        }
    }
}

impl Window {
    /// Counts a match, in the open window or in a new one.
    fn add(&mut self, at: &Moment, length_us: i64) {
        let open = |began: i64| at.now_us <= began.saturating_add(length_us);
        if self.began_us.is_some_and(open) {
            self.count = self.count.saturating_add(1);
        } else {
            (self.began_us, self.count) = (Some(at.now_us), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::keyword::testing::rule;
    use super::super::super::{Settings, Variables};
    use super::super::testing::at;
    use super::*;

    /// The packets of a series a second apart that alert, from 1, and those that act.
    fn run(options: &str, file: &str, packets: &[Moment]) -> (Vec<usize>, Vec<usize>) {
        let settings = Settings::default();
        let rule = rule("udp", options).unwrap();
        let (tuning, faults) = Tuning::read(file, &Variables::default(), &settings);
        assert_eq!(faults, []);
        let rates = Rates::of(&rule, &tuning, 3).0;
        let (shared, mut flow) = (Shared::new(&settings, 0), FlowState::default());
        let (mut alerts, mut acts) = (vec![], vec![]);
        for (number, packet) in (1..).zip(packets) {
            match rates.judge(packet, Some(&mut flow), &shared) {
                Verdict::Alert => alerts.push(number),
                Verdict::Acting(_) => acts.push(number),
                Verdict::Silent => {}
            }
        }
        (alerts, acts)
    }

    /// 25 packets: a second apart, and one half a second after the eleventh.
    fn series() -> Vec<Moment> {
        let mut seconds: Vec<f64> = (0..24).map(f64::from).collect();
        seconds.insert(11, 10.5);
        seconds.into_iter().map(|s| at(s, 1, 2)).collect()
    }

    fn alerts(options: &str, file: &str) -> Vec<usize> {
        run(options, file, &series()).0
    }

    /// The numbers are those of Suricata 7.0.10 on the same packets.
    #[test]
    fn windows_open_with_a_match_and_last_to_their_end() {
        let table: &[(&str, &[usize])] = &[
            (
                "threshold:type limit,track by_src,count 2,seconds 5;",
                &[1, 2, 7, 8, 14, 15, 20, 21],
            ),
            (
                "threshold:type threshold,track by_src,count 3,seconds 5;",
                &[3, 6, 9, 12, 16, 19, 22, 25],
            ),
            (
                "threshold:type both,track by_src,count 3,seconds 5;",
                &[3, 9, 16, 22],
            ),
            (
                "threshold:type both,track by_src,count 1,seconds 5;",
                &[1, 7, 14, 20],
            ),
            (
                "detection_filter:track by_src,count 3,seconds 5;",
                &[4, 5, 6, 10, 11, 12, 13, 17, 18, 19, 23, 24, 25],
            ),
            (
                "threshold:type limit,track by_rule,count 1,seconds 5;",
                &[1, 7, 14, 20],
            ),
            (
                "threshold:type limit,track by_flow,count 1,seconds 5;",
                &[1, 7, 14, 20],
            ),
            (
                "threshold:type limit,track by_both,count 1,seconds 5;",
                &[1, 7, 14, 20],
            ),
        ];
        for (options, expected) in table {
            assert_eq!(alerts(options, ""), *expected, "{options}");
        }
        let every = alerts(
            "threshold:type threshold,track by_dst,count 1,seconds 5;",
            "",
        );
        assert_eq!(every.len(), 25);
    }

    /// As above.
    #[test]
    fn a_rate_filter_acts_until_its_time_is_over() {
        let file = "rate_filter gen_id 1, sig_id 1, track by_src, count 3, seconds 5, new_action drop, timeout 4\n";
        let (alerts, acts) = run("dsize:4;", file, &series());
        assert_eq!(acts, [4, 5, 6, 7, 8, 13, 14, 15, 16, 17, 22, 23, 24, 25]);
        assert_eq!(alerts.len(), 25 - acts.len());
        let (passed, acts) = run("dsize:4;", &file.replace("drop", "pass"), &series()[..12]);
        assert_eq!(passed, [1, 2, 3, 9, 10, 11, 12]);
        assert_eq!(acts, [4, 5, 6, 7, 8]);
    }

    /// As above.
    #[test]
    fn the_file_and_the_rule_precede_each_other_as_in_suricata() {
        let own = "threshold:type limit,track by_src,count 2,seconds 5;";
        let one = "threshold gen_id 1, sig_id 1, type limit, track by_src, count 1, seconds 5\n";
        let two = one.replace("count 1", "count 2");
        let all = one.replace("sig_id 1", "sig_id 0");
        let rate = "rate_filter gen_id 1, sig_id 1, track by_src, count 3, seconds 5, new_action drop, timeout 4\n";
        let (once, twice) = (vec![1, 7, 14, 20], vec![1, 2, 7, 8, 14, 15, 20, 21]);
        assert_eq!(alerts(own, one), once);
        assert_eq!(
            alerts("detection_filter:track by_src,count 2,seconds 5;", one),
            once
        );
        assert_eq!(alerts(own, &all), twice);
        assert_eq!(run(own, rate, &series()), (twice.clone(), vec![]));
        assert_eq!(
            run("dsize:4;", &format!("{rate}{one}"), &series()),
            (once.clone(), vec![])
        );
        assert_eq!(
            run("dsize:4;", &format!("{one}{rate}"), &series()),
            (once, vec![])
        );
        assert_eq!(alerts("dsize:4;", &format!("{one}{two}")), twice);
        assert_eq!(alerts("dsize:4;", &format!("{all}{two}")), twice);
        assert_eq!(alerts("dsize:4;", &format!("{two}{all}")), twice);
    }

    /// As above, of Suricata's counts: each match opens a window of its own.
    #[test]
    fn windows_of_no_seconds() {
        let of = |kind: &str| {
            let options = format!("threshold:type {kind},track by_src,count 1,seconds 0;");
            alerts(&options, "").len()
        };
        assert_eq!((of("limit"), of("both")), (25, 25));
        let three = "threshold:type threshold,track by_src,count 3,seconds 0;";
        assert_eq!(alerts(three, ""), [0; 0]);
    }

    #[test]
    fn suppressions_by_address_and_without() {
        let silent = |file: &str| alerts("dsize:4;", file).is_empty();
        assert!(silent("suppress gen_id 1, sig_id 1\n"));
        assert!(silent(
            "suppress gen_id 0, sig_id 0, track by_src, ip 10.0.0.0/30\n"
        ));
        assert!(silent(
            "suppress gen_id 1, sig_id 1, track by_either, ip 10.0.0.2\n"
        ));
        assert!(!silent(
            "suppress gen_id 1, sig_id 0, track by_dst, ip 10.0.0.1\n"
        ));
        assert!(!silent("suppress gen_id 1, sig_id 2\n"));
        assert!(!silent("suppress gen_id 2, sig_id 1\n"));
    }

    #[test]
    fn each_host_each_pair_has_its_own_window() {
        let packets = [at(0.0, 1, 2), at(1.0, 3, 2), at(2.0, 1, 4), at(3.0, 2, 1)];
        let limit = |track| {
            let options = format!("threshold:type limit,track {track},count 1,seconds 60;");
            run(&options, "", &packets).0
        };
        assert_eq!(limit("by_src"), [1, 2, 4]);
        assert_eq!(limit("by_dst"), [1, 3, 4]);
        assert_eq!(limit("by_both"), [1, 2, 3]);
        assert_eq!(limit("by_rule"), [1]);
    }
}
