//! The alerts: each fires when it should and stays silent when it should, rests on metrics that exist, and has an entry in the runbook.

use super::{exported, file, metrics_in, on_a_page, text, yaml};
use crate::harness::run;
use serde_json::Value;
use std::process::Command;

const RULES: &str = "deploy/prometheus/alerts.yml";
const RUNBOOK: &str = "docs/runbook.md";

fn alerts() -> Vec<Value> {
    let rules = yaml(RULES);
    let groups = rules["groups"].as_array().expect("groups").iter();
    let alerts: Vec<Value> = groups
        .flat_map(|g| g["rules"].as_array().expect("rules").clone())
        .collect();
    assert!(alerts.len() >= 20);
    alerts
}

#[test]
fn promtool_finds_no_fault() {
    let mut promtool = Command::new("promtool");
    run(promtool.args(["check", "rules"]).arg(file(RULES)));
}

#[test]
fn each_alert_fires_and_stays_silent() {
    let tests = "deploy/prometheus/alerts_test.yml";
    let mut promtool = Command::new("promtool");
    let said = run(promtool.args(["test", "rules"]).arg(file(tests)));
    assert!(said.contains("SUCCESS"), "{said}");
    let cases = yaml(tests);
    let cases: Vec<&Value> = (cases["tests"].as_array().expect("tests").iter())
        .flat_map(|t| t["alert_rule_test"].as_array().expect("cases"))
        .collect();
    for alert in alerts() {
        let of = |fires: bool| {
            cases.iter().any(|c| {
                c["alertname"] == alert["alert"]
                    && c["exp_alerts"]
                        .as_array()
                        .is_some_and(|a| a.is_empty() != fires)
            })
        };
        let name = &alert["alert"];
        assert!(of(true), "{name} is never seen to fire");
        assert!(of(false), "{name} is never seen silent");
    }
}

#[test]
fn alerts_rest_on_metrics_that_exist() {
    let known = exported();
    for alert in alerts() {
        let used = metrics_in(alert["expr"].as_str().expect("expr"));
        for metric in &used {
            assert!(
                known.contains(metric),
                "{}: no metric {metric}",
                alert["alert"]
            );
        }
        // Prometheus makes `up` itself
        assert!(!used.is_empty() || alert["alert"] == "FlowhouseDown");
    }
}

#[test]
fn what_alerts_count_is_there_from_zero() {
    let first = on_a_page(&[flowhouse::ledger::Outcome::DatagramsReceived]);
    let mut counted = 0;
    for alert in alerts() {
        for metric in metrics_in(alert["expr"].as_str().expect("expr")) {
            let is_counter = metric.ends_with("_total");
            counted += usize::from(is_counter);
            assert!(
                !is_counter || first.contains(&metric),
                "{}: {metric} begins above 0",
                alert["alert"]
            );
        }
    }
    assert!(counted > 20);
}

#[test]
fn alerts_are_those_of_the_runbook() {
    let book = text(RUNBOOK);
    let mut entries: Vec<&str> = book.lines().filter_map(|l| l.strip_prefix("## ")).collect();
    let alerts = alerts();
    let mut names: Vec<&str> =
        (alerts.iter().map(|a| a["alert"].as_str().expect("name"))).collect();
    entries.sort_unstable();
    names.sort_unstable();
    assert_eq!(entries, names);
    for alert in &alerts {
        let name = alert["alert"].as_str().expect("name");
        let anchor = format!("{RUNBOOK}#{}", name.to_lowercase());
        assert_eq!(alert["annotations"]["runbook_url"], anchor.as_str());
        let entry = book.split(&format!("## {name}\n")).nth(1).expect("entry");
        let entry = entry.split("\n## ").next().expect("entry");
        let severity = alert["labels"]["severity"].as_str().expect("severity");
        assert!(entry.contains(&format!("Severity: {severity}.")), "{name}");
        assert!(
            entry.contains("\n```\n") && entry.contains("\nCure: "),
            "{name}"
        );
    }
}

#[test]
fn the_runbook_names_metrics_that_exist() {
    let known = exported();
    // as prefixes: the text greps for families
    for metric in metrics_in(&text(RUNBOOK)) {
        assert!(
            known.iter().any(|k| k.starts_with(&metric)),
            "the runbook names {metric}"
        );
    }
}
