//! `flowhouse size`, and the guide that shows what it prints; `flowhouse health`.

use super::text;
use crate::harness::{Collector, directory, exe, run};
use std::process::Command;

#[test]
fn the_sizing_guide_shows_what_the_command_prints() {
    let guide = text("docs/sizing.md");
    let mut shown = 0;
    for block in guide.split("```\n$ flowhouse ").skip(1) {
        let (arguments, rest) = block.split_once('\n').expect("a command");
        let expected = rest.split("\n```").next().expect("its end");
        let printed = run(Command::new(exe()).args(arguments.split(' ')));
        assert_eq!(printed.trim_end(), expected, "flowhouse {arguments}");
        shown += 1;
    }
    assert!(shown >= 2, "the guide shows a single rate and a table");
}

#[test]
fn sizes_are_json_when_asked_and_wrong_rates_are_refused() {
    let mut size = Command::new(exe());
    let said = run(size.args(["size", "--flows-per-second", "20000", "--json"]));
    let size: serde_json::Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!(size["flows_per_second"], 20_000);
    assert!(size["spool_bytes"].as_u64() > Some(1 << 30));
    let refused = Command::new(exe())
        .args(["size", "--flows-per-second", "0"])
        .output()
        .expect("runs");
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn health_is_asked_of_the_collector_that_runs() {
    let dir = directory();
    let sink = "[sink]\nkind = \"drop\"\n[receive]\nlisteners = [\"127.0.0.1:0\"]\n";
    let collector = Collector::start(dir.path(), sink);
    let asked = dir.path().join("asked.toml");
    let config = format!("[control]\nlisten = \"{}\"\n", collector.http);
    std::fs::write(&asked, config).expect("written");
    let health = |more: &[&str]| {
        let mut command = Command::new(exe());
        command.args(["health", "-c"]).arg(&asked).args(more);
        command.output().expect("runs")
    };
    let alive = health(&[]);
    assert!(alive.status.success(), "{alive:?}");
    assert_eq!(String::from_utf8_lossy(&alive.stdout), "alive\n");
    assert!(health(&["--ready"]).status.success());
    collector.stop();
    let gone = health(&[]);
    assert_eq!(gone.status.code(), Some(1));
    let said = String::from_utf8_lossy(&gone.stderr).into_owned();
    assert!(
        said.contains("no answer from a collector at http://"),
        "{said}"
    );
}
