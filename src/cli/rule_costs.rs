//! What rules cost and gave: lines of JSON that `--costs` writes, and the table that `rules top` makes of them.

use super::text;
use crate::detect::signature::Rule;
use crate::detect::signature::engine::{CostLine as Line, RuleCost};
use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Which rules cost most, of what `--costs` wrote.
#[derive(Debug, Args)]
pub struct TopArguments {
    /// What `rules test --costs FILE` or `replay --costs FILE` wrote, or what a running collector says at `/rules/costs`
    #[arg(required = true, value_name = "FILE")]
    file: PathBuf,
    /// What the order goes by
    #[arg(long, value_enum, default_value_t = By::Ns)]
    by: By,
    /// How many rules
    #[arg(long, default_value_t = 20, value_name = "N")]
    count: usize,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    /// Time of all confirmations, nanoseconds
    Ns,
    /// Work of all confirmations
    Work,
    /// Times that what it looks for was seen
    Candidates,
    /// Times that its conditions were tried
    Confirmations,
    /// Times that it hit
    Hits,
    /// Times that it was not tried to the end
    GivenUp,
}

/// The costs of all rules of all shards.
#[derive(Debug, Default)]
pub(super) struct RuleCosts(BTreeMap<(u32, u32), (u32, String, RuleCost)>);

impl RuleCosts {
    /// Adds those of a rule in one shard; rules that were never looked at are left out.
    pub fn add(&mut self, rule: &Rule, cost: &RuleCost) {
        if *cost == RuleCost::default() {
            return;
        }
        let about = || (rule.rev, rule.about.message.clone(), RuleCost::default());
        let known = self.0.entry((rule.gid, rule.sid));
        known.or_insert_with(about).2.add(cost);
    }

    /// Writes a line for each rule.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut lines = String::new();
        for ((gid, sid), (rev, msg, cost)) in &self.0 {
            let line = Line::new((*gid, *sid, *rev), msg, cost);
            let _ = writeln!(lines, "{}", serde_json::to_string(&line)?);
        }
        std::fs::write(path, lines).with_context(|| path.display().to_string())
    }
}

/// Runs `rules top`.
pub(super) fn top(arguments: &TopArguments) -> Result<()> {
    let path = arguments.file.display();
    let text = std::fs::read_to_string(&arguments.file).with_context(|| path.to_string())?;
    let mut lines = vec![];
    for (n, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(line) => lines.push(line),
            Err(error) => bail!("{path}:{}: no costs of a rule: {error}", n + 1),
        }
    }
    let chosen = chosen(lines, arguments.by, arguments.count);
    if arguments.json {
        for line in &chosen {
            super::say(serde_json::to_string(line)?)?;
        }
        return Ok(());
    }
    let header = [
        "rule",
        "message",
        "µs",
        "work",
        "candidates",
        "confirmed",
        "hits",
        "given up",
        "demoted",
    ];
    let rows = chosen.iter().map(|l| {
        let numbers = [
            l.ns / 1_000,
            l.work,
            l.candidates,
            l.confirmations,
            l.hits,
            l.given_up,
            l.demotions,
        ];
        let mut row = vec![format!("{}:{}", l.gid, l.sid), l.msg.clone()];
        row.extend(numbers.iter().map(u64::to_string));
        row
    });
    super::say(text::table(&header, 2, rows))
}

/// The first by some number, in an order that does not hang on chance.
fn chosen(mut lines: Vec<Line>, by: By, count: usize) -> Vec<Line> {
    let number = |l: &Line| match by {
        By::Ns => l.ns,
        By::Work => l.work,
        By::Candidates => l.candidates,
        By::Confirmations => l.confirmations,
        By::Hits => l.hits,
        By::GivenUp => l.given_up,
    };
    lines.sort_by_key(|l| (std::cmp::Reverse(number(l)), l.gid, l.sid));
    lines.truncate(count);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_those_with_most() {
        let line = |sid, ns, hits| Line {
            sid,
            ns,
            hits,
            ..Line::default()
        };
        let lines = vec![line(1, 5, 9), line(2, 7, 0), line(3, 7, 1)];
        let sids = |by, n| -> Vec<u32> {
            let chosen = chosen(lines.clone(), by, n);
            chosen.iter().map(|l| l.sid).collect()
        };
        assert_eq!(sids(By::Ns, 2), [2, 3]);
        assert_eq!(sids(By::Hits, 9), [1, 3, 2]);
    }
}
