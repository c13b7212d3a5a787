//! What conversations said since rules were tried, and what is kept of it.

use super::Reading;
use super::desk::At;
use super::flow::{Connection, Flow};
use super::unit::Unit;
use crate::ledger::{Outcome, Tally};

impl Reading {
    /// Tries the rules about transactions with what was said since.
    pub(super) fn units(
        &mut self,
        flow: &mut Flow,
        at: Option<&At<'_>>,
        c: Option<&mut Connection>,
        tally: &mut Tally,
    ) {
        if !std::mem::take(&mut flow.has_news) {
            return;
        }
        let Some(mut talk) = flow.talk.take() else {
            return;
        };
        tally.add(Outcome::RuleTalksCut, talk.take_lost());
        let application = flow.heard;
        let mut units = std::mem::take(talk.units());
        let mut is_changed = false;
        for at_unit in 0..units.len() {
            let (before, rest) = units.split_at_mut(at_unit);
            let Some((unit, after)) = rest.split_first_mut() else {
                break;
            };
            if unit.is_still() {
                continue;
            }
            is_changed = true;
            tally.add(Outcome::RuleTalksCut, unit.take_cut());
            let chunk = c.as_ref().map(|c| c.raw[unit.direction].message());
            let established = match &c {
                Some(c) => c.session.is_established(),
                None => at.is_some_and(|a| a.established),
            };
            let is = |u: &&Unit| u.direction != unit.direction && u.transaction == unit.transaction;
            let other = before.iter().chain(&*after).find(is);
            let other = match unit.direction {
                1 => other.or_else(|| talk.asked(unit.transaction)),
                _ => other,
            };
            let seen = (at, chunk, established);
            self.desk
                .unit(flow, (unit, other), application, seen, tally);
        }
        let waits = c.is_some_and(|c| c.raw.iter().any(|r| r.len() > 0));
        for whole in units.extract_if(.., |u| u.is_whole) {
            talk.keep(whole, waits);
        }
        if !units.is_empty() {
            *talk.units() = units;
        }
        match is_changed || flow.is_mute || talk.is_to_be_counted() {
            true => self.settle_talk(flow, talk, tally),
            false => flow.talk = Some(talk),
        }
    }
}
