//! What signature rules would have found in the stored past.

use super::lookup::Lookup;
use super::{HuntArguments, listed};
use crate::assemble::query::{Bound, Reader, number, text as field};
use crate::cli::rules::Files;
use crate::cli::{say, text};
use crate::detect::signature::{Rule, RuleSet};
use anyhow::{Result, bail};
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// A rule, where it stands, and the query for it.
struct Asked<'a> {
    rule: &'a Rule,
    sql: String,
}

/// Asks the store once for each rule.
///
/// # Errors
/// When a rule cannot be read, when none can be asked of flows, and when the store cannot be asked.
pub fn run(arguments: &HuntArguments) -> Result<()> {
    let set = load(arguments)?;
    let (all, refused) = asked(&set, &arguments.sid);
    if all.is_empty() {
        bail!("no rule can be asked of stored flows");
    }
    if all.len() > RULES_MAX {
        bail!(
            "{} rules: at most {RULES_MAX} are asked at once; choose some by --sid",
            all.len()
        );
    }
    if arguments.sql {
        return say(queries(&all, arguments.last));
    }
    let config = crate::cli::load_config(arguments.config.as_deref())?;
    let connection = crate::cli::default_connection(&config);
    let reader = Reader::new(&arguments.connection.over(connection))?;
    let last = [("last", Bound::Number(arguments.last as f64))];
    let mut hits = vec![];
    for asked in &all {
        let rows = reader.rows_with(&asked.sql, &last)?;
        hits.extend(rows.into_iter().map(|row| (asked.rule, row)));
    }
    if arguments.json {
        let hits: Vec<Value> = hits.iter().map(|(rule, row)| hit(rule, row)).collect();
        return say(serde_json::to_string_pretty(&hits)?);
    }
    if !hits.is_empty() {
        let lines = hits.iter().map(|(rule, row)| line(rule, row));
        say(text::table(&HEADER, 7, lines))?;
    }
    let and = match refused {
        0 => String::new(),
        1 => " (1 other cannot be asked of flows)".into(),
        n => format!(" ({n} others cannot be asked of flows)"),
    };
    say(format!(
        "{} of {} rules would have found something{and}.",
        hits.len(),
        all.len()
    ))
}

/// The rules that can be asked of flows, and how many cannot; why is said.
fn asked<'a>(set: &'a RuleSet, sids: &[u32]) -> (Vec<Asked<'a>>, usize) {
    for refused in &set.refused {
        eprintln!("flowhouse: {refused}");
    }
    let wanted = |r: &Rule| sids.is_empty() || sids.contains(&r.sid);
    let (mut all, mut refused) = (vec![], 0);
    for (rule, (file, line)) in set.rules.iter().zip(&set.places) {
        if !wanted(rule) {
            continue;
        }
        match Lookup::of(rule) {
            Ok(lookup) => all.push(Asked {
                rule,
                sql: lookup.sql(),
            }),
            Err(why) => {
                refused += 1;
                let sid = rule.sid;
                eprintln!("flowhouse: {file}:{line}: sid {sid}: cannot be asked of flows: {why}");
            }
        }
    }
    (all, refused)
}

/// The queries, with what they are for.
fn queries(all: &[Asked<'_>], last: u64) -> String {
    let one = |a: &Asked<'_>| {
        let (sid, message) = (a.rule.sid, text::printable(&a.rule.about.message));
        format!("-- sid {sid}: {message}\n-- last = {last}\n{};", a.sql)
    };
    all.iter().map(one).collect::<Vec<_>>().join("\n\n")
}

/// Reads what stands on the command line: a text with brackets is a rule, everything else a file or a folder.
fn load(arguments: &HuntArguments) -> Result<RuleSet> {
    let is_text = |rule: &&String| rule.contains('(') && !std::path::Path::new(rule).exists();
    let (texts, files): (Vec<&String>, Vec<&String>) = arguments.rules.iter().partition(is_text);
    let files = Files {
        files: files.iter().map(PathBuf::from).collect(),
        set: arguments.set.clone(),
        threshold: None,
    };
    let texts = texts
        .iter()
        .map(|t| ("--rule".to_owned(), t.as_bytes().to_vec()));
    Ok(files.load_with(texts.collect())?.set)
}

fn line(rule: &Rule, row: &Map<String, Value>) -> Vec<String> {
    vec![
        rule.sid.to_string(),
        rule.about.message.clone(),
        field(row, "first"),
        field(row, "last"),
        listed(row, "sources").join(", "),
        listed(row, "destinations").join(", "),
        listed(row, "names").join(", "),
        text::count(number(row, "flows")),
        text::bytes(number(row, "volume")),
    ]
}

fn hit(rule: &Rule, row: &Map<String, Value>) -> Value {
    json!({
        "sid": rule.sid, "message": rule.about.message, "first": row["first"], "last": row["last"], "flows": row["flows"], "bytes": row["volume"],
        "sources": listed(row, "sources"), "destinations": listed(row, "destinations"), "names": listed(row, "names"),
        "community_ids": listed(row, "community_ids"),
    })
}

const HEADER: [&str; 9] = [
    "sid",
    "what",
    "first, UTC",
    "last, UTC",
    "from",
    "to",
    "names",
    "flows",
    "bytes",
];
/// Each rule is a query of its own.
const RULES_MAX: usize = 2_000;
