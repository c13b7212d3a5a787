//! What trying rules costs and gives, rule by rule, and which of them cost too much.
//!
//! Budgets count work, not time: a piece of it for each step of a rule, and more where a step goes through many bytes. So a replay
//! gives up what a live run gives up. Time is read once in [`SAMPLE`] confirmations.

use super::super::rule::Rule;
use super::super::settings::EngineSettings;
use super::program::Program;
use super::scene::Held;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;

/// What one rule cost and gave, of one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleCost {
    /// Times that something was seen that it looks for, or that it had to be tried.
    pub candidates: u64,
    /// Times that its header held, and its conditions were tried.
    pub confirmations: u64,
    /// Times that they held.
    pub hits: u64,
    /// Times that they were not tried to the end, because a bound was met.
    pub given_up: u64,
    /// Work that they were.
    pub work: u64,
    /// Confirmations of which the time was taken, and that time.
    pub sampled: u64,
    /// Nanoseconds.
    pub sampled_ns: u64,
    /// Times that it was demoted.
    pub demotions: u64,
}

impl RuleCost {
    /// Nanoseconds that all confirmations took, by those of which the time was taken.
    pub fn ns(&self) -> u64 {
        let each = self.sampled_ns as f64 / self.sampled.max(1) as f64;
        (each * self.confirmations as f64) as u64
    }

    /// Adds what the same rule cost another shard.
    pub fn add(&mut self, other: &RuleCost) {
        self.candidates += other.candidates;
        self.confirmations += other.confirmations;
        self.hits += other.hits;
        self.given_up += other.given_up;
        self.work += other.work;
        self.sampled += other.sampled;
        self.sampled_ns += other.sampled_ns;
        self.demotions += other.demotions;
    }
}

/// What one rule cost and gave, as a line tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostLine {
    /// Group of the rule.
    pub gid: u32,
    /// Its number.
    pub sid: u32,
    /// Its revision.
    pub rev: u32,
    /// The text of its alerts.
    pub msg: String,
    /// As in [`RuleCost`], and so are those that follow.
    pub candidates: u64,
    /// Times that its conditions were tried.
    pub confirmations: u64,
    /// Times that they held.
    pub hits: u64,
    /// Times that they were not tried to the end.
    pub given_up: u64,
    /// Work that they were.
    pub work: u64,
    /// Nanoseconds of all confirmations.
    pub ns: u64,
    /// Times that it was demoted.
    pub demotions: u64,
}

impl CostLine {
    /// That of a rule.
    pub fn new(rule: (u32, u32, u32), msg: &str, cost: &RuleCost) -> Self {
        let (gid, sid, rev) = rule;
        CostLine {
            gid,
            sid,
            rev,
            msg: msg.to_owned(),
            candidates: cost.candidates,
            confirmations: cost.confirmations,
            hits: cost.hits,
            given_up: cost.given_up,
            work: cost.work,
            ns: cost.ns(),
            demotions: cost.demotions,
        }
    }

    /// Adds what the same rule cost another shard.
    pub fn add(&mut self, other: &CostLine) {
        self.candidates += other.candidates;
        self.confirmations += other.confirmations;
        self.hits += other.hits;
        self.given_up += other.given_up;
        self.work += other.work;
        self.ns += other.ns;
        self.demotions += other.demotions;
    }
}

/// A rule that cost more than it may.
#[derive(Clone, Debug)]
pub struct Demoted {
    pub(super) program: Arc<Program>,
    pub(super) rule: u32,
    /// When, nanoseconds of packet time.
    pub time_ns: i64,
    /// What it had cost since its window began: more than `rule_work_max`.
    pub work: u64,
    /// `rule_work_max`.
    pub work_max: u64,
}

impl Demoted {
    /// The rule.
    pub fn rule(&self) -> &Rule {
        &self.program.rules[self.rule as usize].rule
    }
}

#[cfg(test)]
impl Demoted {
    /// A demotion of the first rule, which might have cost 10.
    pub(in super::super) fn testing(program: &Arc<Program>, time_ns: i64, work: u64) -> Self {
        Demoted {
            program: program.clone(),
            rule: 0,
            time_ns,
            work,
            work_max: 10,
        }
    }
}

impl std::fmt::Display for Demoted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let rule = self.rule();
        write!(
            f,
            "{}:{} ({}) is not tried for a while from {} s on: it came to {} pieces of work, more than rule_work_max",
            rule.gid,
            rule.sid,
            rule.about.message,
            self.time_ns.div_euclid(1_000_000_000),
            self.work,
        )
    }
}

/// A rule that cost more than it may and is not tried for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Demotion {
    pub rule: u32,
    pub time_ns: i64,
    pub work: u64,
}

/// What the work of a rule in the current window is.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    began_ns: i64,
    work: u64,
    /// Until then it is not tried.
    until_ns: i64,
}

/// The costs of all rules, of one shard.
#[derive(Debug)]
pub(super) struct Costs {
    pub list: Vec<RuleCost>,
    windows: Vec<Window>,
    pub demotions: Vec<Demotion>,
    /// Confirmations, to tell of which one the time is taken.
    count: u32,
    /// Work for what is looked at now.
    round: u64,
    round_max: u64,
    pub rule_max: u64,
    window_ns: i64,
}

impl Costs {
    /// Of so many rules that cost nothing yet.
    pub fn new(rules: usize, settings: &EngineSettings) -> Self {
        Costs {
            list: vec![RuleCost::default(); rules],
            windows: vec![Window::default(); rules],
            demotions: vec![],
            count: 0,
            round: 0,
            round_max: settings.look_work_max,
            rule_max: settings.rule_work_max,
            window_ns: i64::from(settings.rule_work_window_s.max(1)) * 1_000_000_000,
        }
    }

    /// Those of other rules: what stayed keeps what it cost.
    pub fn moved(&self, moved: &[Option<u32>], rules: usize, settings: &EngineSettings) -> Self {
        let mut costs = Costs::new(rules, settings);
        for (from, to) in moved.iter().enumerate() {
            let Some(to) = to.map(|n| n as usize).filter(|n| *n < rules) else {
                continue;
            };
            costs.list[to] = self.list[from];
            costs.windows[to] = self.windows[from];
        }
        costs
    }

    /// Something else is looked at.
    #[inline]
    pub fn look(&mut self) {
        self.round = 0;
    }

    /// A rule is to be tried; whether it may be.
    #[inline]
    pub fn may_try(&mut self, rule: u32, now_ns: i64) -> bool {
        let cost = &mut self.list[rule as usize];
        let may = self.round < self.round_max && self.windows[rule as usize].until_ns <= now_ns;
        cost.given_up += u64::from(!may);
        may
    }

    /// What is looked at is what a rule looks for.
    #[inline]
    pub fn candidate(&mut self, rule: u32) {
        self.list[rule as usize].candidates += 1;
    }

    /// A rule holds in what is usually read; what holds in another reading alone costs, and is told elsewhere.
    #[inline]
    pub fn hit(&mut self, rule: u32) {
        self.list[rule as usize].hits += 1;
    }

    /// The time, where it is to be taken.
    #[inline]
    pub fn clock(&mut self) -> Option<Instant> {
        self.count = self.count.wrapping_add(1);
        (self.count % SAMPLE == 1).then(Instant::now)
    }

    /// A rule was tried: how much work that was, when it began, what came of it. Returns whether it is demoted for it.
    #[inline]
    pub fn tried(
        &mut self,
        rule: u32,
        work: u64,
        began: Option<Instant>,
        held: Held,
        now_ns: i64,
    ) -> bool {
        let cost = &mut self.list[rule as usize];
        cost.confirmations += 1;
        cost.work += work;
        cost.given_up += u64::from(held == Held::GivenUp);
        if let Some(began) = began {
            cost.sampled += 1;
            let ns = began.elapsed().as_nanos();
            cost.sampled_ns += u64::try_from(ns).unwrap_or(u64::MAX);
        }
        self.round += work;
        let window = &mut self.windows[rule as usize];
        if now_ns.saturating_sub(window.began_ns) >= self.window_ns || now_ns < window.began_ns {
            (window.began_ns, window.work) = (now_ns, 0);
        }
        window.work += work;
        let is_over = window.work > self.rule_max;
        if is_over {
            let work = std::mem::take(&mut window.work);
            window.until_ns = now_ns.saturating_add(self.window_ns);
            cost.demotions += 1;
            if self.demotions.len() < DEMOTIONS_MAX {
                self.demotions.push(Demotion {
                    rule,
                    time_ns: now_ns,
                    work,
                });
            }
        }
        is_over
    }
}

/// The time of one confirmation in so many is taken.
const SAMPLE: u32 = 64;
/// Demotions that wait to be told; the counters have all of them.
const DEMOTIONS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn costs() -> Costs {
        let settings = EngineSettings {
            look_work_max: 100,
            rule_work_max: 50,
            rule_work_window_s: 10,
            ..EngineSettings::default()
        };
        Costs::new(2, &settings)
    }

    #[test]
    fn a_rule_over_its_budget_is_not_tried_for_a_while() {
        let mut costs = costs();
        let s = |n: i64| n * 1_000_000_000;
        costs.tried(0, 30, None, Held::No, s(1));
        // another window
        costs.hit(0);
        costs.tried(0, 30, None, Held::Yes, s(12));
        costs.look();
        assert!(costs.may_try(0, s(13)) && costs.demotions.is_empty());
        costs.tried(0, 30, None, Held::No, s(13));
        costs.look();
        assert!(!costs.may_try(0, s(14)) && costs.may_try(1, s(14)));
        assert!(costs.may_try(0, s(23)));
        let demotion = Demotion {
            rule: 0,
            time_ns: s(13),
            work: 60,
        };
        assert_eq!(costs.demotions, [demotion]);
        let cost = costs.list[0];
        assert_eq!((cost.confirmations, cost.hits, cost.work), (3, 1, 90));
        assert_eq!((cost.given_up, cost.demotions), (1, 1));
    }

    #[test]
    fn what_is_looked_at_costs_so_much_at_most() {
        let mut costs = costs();
        costs.tried(0, 40, None, Held::No, 0);
        costs.tried(1, 40, None, Held::GivenUp, 0);
        assert!(costs.may_try(0, 0));
        costs.tried(1, 40, None, Held::No, 20_000_000_000);
        assert!(!costs.may_try(0, 0));
        costs.look();
        assert!(costs.may_try(0, 0));
        assert_eq!((costs.list[0].given_up, costs.list[1].given_up), (1, 1));
    }

    #[test]
    fn what_stays_keeps_what_it_cost() {
        let mut costs = costs();
        costs.hit(1);
        costs.tried(1, 60, None, Held::Yes, 0);
        let settings = EngineSettings::default();
        let mut costs = costs.moved(&[None, Some(2)], 3, &settings);
        assert_eq!((costs.list[2].hits, costs.list[1].hits), (1, 0));
        assert!(!costs.may_try(2, 1) && costs.may_try(1, 1));
    }

    #[test]
    fn times_are_those_of_a_sample() {
        let mut costs = costs();
        let taken = (0..130).filter(|_| costs.clock().is_some()).count();
        assert_eq!(taken, 3);
        let cost = RuleCost {
            confirmations: 100,
            sampled: 2,
            sampled_ns: 30,
            ..RuleCost::default()
        };
        assert_eq!((cost.ns(), RuleCost::default().ns()), (1_500, 0));
    }
}
