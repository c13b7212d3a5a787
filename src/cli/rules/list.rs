//! The rules that load, chosen by what they say of themselves.

use super::Files;
use crate::cli::text;
use crate::detect::signature::Rule;
use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value, json};

/// Which rules.
#[derive(Debug, Args)]
pub(super) struct ListArguments {
    #[command(flatten)]
    files: Files,
    /// Only the rule of this number; may be given several times
    #[arg(long, value_name = "SID")]
    sid: Vec<u32>,
    /// Only of this class; may be given several times
    #[arg(long, value_name = "CLASS")]
    classtype: Vec<String>,
    /// Only with this key in their metadata, or with this value of it; may be given several times, and all must hold
    #[arg(long, value_name = "KEY[=VALUE]")]
    metadata: Vec<String>,
    /// Only with this text in their message, in whatever case
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Print JSON: an array of objects
    #[arg(long)]
    json: bool,
}

/// Lists them.
///
/// # Errors
/// When a file cannot be read.
pub(super) fn run(arguments: &ListArguments) -> Result<()> {
    let loaded = arguments.files.load()?;
    let rules = loaded.set.rules.iter().zip(&loaded.set.places);
    let wanted = rules.filter(|(rule, _)| arguments.wants(rule));
    if arguments.json {
        let all: Vec<Value> = wanted
            .map(|(r, (file, line))| told(r, file, *line))
            .collect();
        return super::super::say(serde_json::to_string_pretty(&all)?);
    }
    let line = |(rule, (file, line)): (&Rule, &(String, u32))| {
        let about = &rule.about;
        let priority = about.priority.map_or(String::new(), |p| p.to_string());
        vec![
            rule.sid.to_string(),
            rule.rev.to_string(),
            format!("{:?}", rule.header.action).to_lowercase(),
            priority,
            about.classtype.clone().unwrap_or_default(),
            text::printable(&about.message),
            format!("{file}:{line}"),
        ]
    };
    let header = [
        "sid", "rev", "action", "priority", "class", "message", "where",
    ];
    super::super::say(text::table(&header, 6, wanted.map(line)))
}

impl ListArguments {
    fn wants(&self, rule: &Rule) -> bool {
        let about = &rule.about;
        let has = |wanted: &String| {
            let (key, value) = match wanted.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (wanted.as_str(), None),
            };
            let is = |(k, v): &(String, String)| k == key && value.is_none_or(|w| v == w);
            about.metadata.iter().any(is)
        };
        let class = about.classtype.as_deref().unwrap_or_default();
        let text = self.message.as_ref().map(|m| m.to_lowercase());
        (self.sid.is_empty() || self.sid.contains(&rule.sid))
            && (self.classtype.is_empty() || self.classtype.iter().any(|c| c == class))
            && self.metadata.iter().all(has)
            && text.is_none_or(|t| about.message.to_lowercase().contains(&t))
    }
}

fn told(rule: &Rule, file: &str, line: u32) -> Value {
    let about = &rule.about;
    let mut metadata = Map::new();
    for (key, value) in &about.metadata {
        let values = metadata.entry(key.clone()).or_insert_with(|| json!([]));
        if let Some(values) = values.as_array_mut() {
            values.push(value.as_str().into());
        }
    }
    let references = about.references.iter();
    let references: Vec<String> = references.map(|(s, id)| format!("{s},{id}")).collect();
    let mut buffers: Vec<&str> = rule.groups.iter().map(|g| g.buffer.name()).collect();
    buffers.dedup();
    let warnings: Vec<String> = rule.warnings.iter().map(ToString::to_string).collect();
    json!({
        "gid": rule.gid, "sid": rule.sid, "rev": rule.rev, "action": rule.header.action, "message": about.message,
        "classtype": about.classtype, "category": about.category, "priority": about.priority, "metadata": metadata,
        "references": references, "buffers": buffers, "noalert": rule.noalert, "warnings": warnings,
        "file": file, "line": line, "rule": rule.raw,
    })
}
