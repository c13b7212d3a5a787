//! `flowhouse rules`: what signature rules say, and what they find in captures.

mod list;

use super::Usage;
use super::replay::{As, ReplayArguments};
use super::rule_costs::{self, TopArguments};
use super::signatures::SignatureArguments;
use crate::detect::signature::{self, Loaded, Report, RuleSet};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Reads signature rules in Suricata's language: which load, which do not and why, what they mean, and what they find.
#[derive(Debug, Args)]
pub struct RulesArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say which rules load, which are refused and why, and which are slow or can never fire
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        #[command(flatten)]
        files: Files,
        /// Print JSON: rules, loaded, refused and warnings
        #[arg(long)]
        json: bool,
        /// Print each warning, not only how many there are
        #[arg(long)]
        warnings: bool,
        /// Exit 1 when a rule is refused
        #[arg(long)]
        strict: bool,
    },
    /// List the rules that load, by number, class, metadata or message
    #[command(after_help = LIST_EXAMPLES)]
    List(list::ListArguments),
    /// Show how rules were compiled
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain {
        #[command(flatten)]
        files: Files,
        /// Only the rule of this number; may be given several times
        #[arg(long, value_name = "SID")]
        sid: Vec<u32>,
    },
    /// Match capture files with rules: hits with the bytes that matched, and how often each rule hit
    #[command(after_help = TEST_EXAMPLES)]
    Test {
        #[command(flatten)]
        signatures: SignatureArguments,
        /// Write alerts.ndjson into this folder
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// Show so many hits of each rule; with --out all of them are in alerts.ndjson, and none is shown
        #[arg(long, default_value_t = 5, value_name = "N")]
        hits: u64,
        /// Shards to split traffic over; the result is the same for any number
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
        shards: u16,
        /// Capture files, in this order
        #[arg(required = true, value_name = "CAPTURE")]
        captures: Vec<PathBuf>,
    },
    /// Show which rules cost most
    #[command(after_help = TOP_EXAMPLES)]
    Top(TopArguments),
}

/// The rules, and what they are read against.
#[derive(Debug, Args)]
pub(super) struct Files {
    /// Files of rules, or folders with `*.rules`; `classification.config` and `reference.config` beside the first, or in the folder above, are read
    #[arg(required = true, value_name = "FILE")]
    pub(super) files: Vec<PathBuf>,
    /// A variable of rule headers, by Suricata's name or its own: vars.address-groups.HOME_NET=10.0.0.0/8, HTTP_PORTS=[80,8080]
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Read this threshold.config, and say what is wrong with it
    #[arg(long, value_name = "FILE")]
    pub(super) threshold: Option<PathBuf>,
}

/// Runs the subcommand.
pub fn run(arguments: &RulesArguments) -> Result<()> {
    match &arguments.action {
        Action::Check {
            files,
            json,
            warnings,
            strict,
        } => {
            let report = files.load()?.set.report();
            if *json {
                super::say(serde_json::to_string(&report)?)?;
            } else {
                super::say(text(&report, *warnings))?;
            }
            if *strict && !report.refused.is_empty() {
                bail!("{} rule(s) refused", report.refused.len());
            }
            Ok(())
        }
        Action::Top(arguments) => rule_costs::top(arguments),
        Action::List(arguments) => list::run(arguments),
        Action::Explain { files, sid } => explain(&files.load()?.set, sid),
        Action::Test {
            signatures,
            out,
            hits,
            shards,
            captures,
        } => {
            let mut signatures = signatures.clone();
            let mut captures = captures.clone();
            signatures.with(&mut captures);
            if signatures.rules.is_empty() {
                bail!(Usage("no rules: give --rules FILE".to_owned()));
            }
            super::replay::alerts(&ReplayArguments {
                files: captures,
                selection: As::Packets,
                shards: *shards,
                out: out.clone(),
                hits_shown: if out.is_some() { 0 } else { *hits },
                signatures,
                ..ReplayArguments::default()
            })
        }
    }
}

fn explain(set: &RuleSet, sids: &[u32]) -> Result<()> {
    let wanted = |sid: &u32| sids.is_empty() || sids.contains(sid);
    for refused in &set.refused {
        if refused.sid.as_ref().is_none_or(wanted) {
            eprintln!("flowhouse: {refused}");
        }
    }
    let mut found = false;
    for rule in set.rules.iter().filter(|r| wanted(&r.sid)) {
        super::say(rule.explain())?;
        found = true;
    }
    let disabled = set.disabled_at.iter().filter(|d| sids.contains(&d.0));
    for (sid, file, line) in disabled.clone() {
        eprintln!("flowhouse: {file}:{line}: sid {sid} is commented out");
    }
    if !found {
        match disabled.count() {
            0 => bail!("no such rule loaded"),
            _ => bail!("the rule is commented out: it is not loaded"),
        }
    }
    Ok(())
}

fn text(report: &Report, warnings: bool) -> String {
    let mut lines: Vec<String> = report.refused.iter().map(ToString::to_string).collect();
    if warnings {
        let doubts = report.warnings.iter();
        lines.extend(doubts.map(|d| format!("{}:{}: sid {}: {}", d.file, d.line, d.sid, d.reason)));
    }
    let never = report.warnings.iter().filter(|d| d.never_fires).count();
    lines.push(format!(
        "{} rules: {} loaded, {} refused, {} commented out; {} warnings, {never} of rules that can never fire",
        report.rules,
        report.loaded,
        report.refused.len(),
        report.disabled,
        report.warnings.len(),
    ));
    lines.join("\n")
}

impl Files {
    /// Reads the rules, and what changes how they alert.
    pub(super) fn load(&self) -> Result<Loaded> {
        self.load_with(vec![])
    }

    /// Reads these rules with names, and then those of the files.
    pub(super) fn load_with(&self, texts: Vec<(String, Vec<u8>)>) -> Result<Loaded> {
        let pair = |pair: &String| match pair.split_once('=') {
            Some((key, value)) => Ok((key.trim().to_owned(), value.to_owned())),
            None => bail!(Usage(format!("--set {pair}: write KEY=VALUE"))),
        };
        let files = signature::Files {
            rules: self.files.clone(),
            variables: self.set.iter().map(pair).collect::<Result<_>>()?,
            threshold: self.threshold.clone(),
            settings: signature::Settings::default(),
        };
        if let Err(fault) = files.proven_variables() {
            bail!(Usage(format!("--set {fault}")));
        }
        let loaded = files.load_with(texts).map_err(anyhow::Error::msg)?;
        let notes = loaded.notes.iter();
        notes.for_each(|note| eprintln!("flowhouse: {note}"));
        Ok(loaded)
    }
}

const CHECK_EXAMPLES: &str = "Examples:
  flowhouse rules check /etc/suricata/rules/*.rules
  flowhouse rules check --json --set HOME_NET=10.0.0.0/8 local.rules
  flowhouse rules check --strict --warnings rules/";

const LIST_EXAMPLES: &str = "Examples:
  flowhouse rules list --classtype trojan-activity rules/
  flowhouse rules list --metadata mitre_technique_id=T1071 --json rules/*.rules | jq '.[].sid'
  flowhouse rules list --message 'cobalt strike' rules/";

const EXPLAIN_EXAMPLES: &str = "Examples:
  flowhouse rules explain --sid 2100498 rules/
  flowhouse rules explain local.rules";

const TEST_EXAMPLES: &str = "Examples:
  flowhouse rules test --rules local.rules capture.pcap
  flowhouse rules test --rules my.rules --out found/ -k none --set stream.midstream=true *.pcap";

const TOP_EXAMPLES: &str = "Examples:
  flowhouse rules test --rules my.rules --costs costs.ndjson capture.pcap
  flowhouse rules top costs.ndjson
  flowhouse rules top --by hits --count 5 costs.ndjson";
