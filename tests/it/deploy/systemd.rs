//! The unit under systemd's own checks (Debian's package systemd). It is not run here: there is no systemd that runs.

use super::{file, text};
use crate::harness::{exe, run};
use std::process::Command;

const UNIT: &str = "deploy/systemd/flowhouse.service";

/// The highest exposure that the unit may have, 0 to 10; it has 1.4.
const EXPOSURE_MAX: f64 = 1.4;

#[test]
fn systemd_reads_the_unit() {
    let dir = tempfile::tempdir().expect("directory");
    let unit = dir.path().join("flowhouse.service");
    let here = text(UNIT).replace("/usr/bin/flowhouse", &exe().display().to_string());
    std::fs::write(&unit, here).expect("written");
    let out = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .arg(&unit)
        .output()
        .expect("systemd-analyze: install Debian's package systemd");
    let said = String::from_utf8_lossy(&out.stderr);
    // other units of the machine are none of ours
    let faults: Vec<&str> = said.lines().filter(|l| l.contains("flowhouse")).collect();
    assert!(out.status.success() && faults.is_empty(), "{said}");
}

#[test]
fn the_unit_has_few_rights() {
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=yes", "--no-pager"]);
    let said = run(analyze.arg(file(UNIT)));
    let line = said.lines().find(|l| l.contains("Overall exposure level"));
    let line = line.expect("a score");
    let score = line.split(": ").nth(1).and_then(|l| l.split(' ').next());
    let score: f64 = score.and_then(|s| s.parse().ok()).expect("a number");
    println!("exposure {score}");
    assert!(score <= EXPOSURE_MAX, "{said}");
}

#[test]
fn the_unit_waits_as_long_as_the_collector_may_take() {
    let unit = text(UNIT);
    let seconds = |key: &str| -> u64 {
        let line = unit.lines().find_map(|l| l.strip_prefix(key));
        let value = line.and_then(|l| l.strip_prefix('=')).expect(key);
        value.trim_end_matches('s').parse().expect("seconds")
    };
    let config = flowhouse::config::Config::default();
    assert!(seconds("TimeoutStopSec") >= config.shutdown_grace_s + 20);
    assert!(
        unit.contains("\nCapabilityBoundingSet=\n") && unit.contains("\nNoNewPrivileges=yes\n")
    );
    let sysctl = text("deploy/systemd/60-flowhouse.conf");
    let limit = format!("net.core.rmem_max = {}", config.receive.receive_buffer);
    assert!(sysctl.lines().any(|l| l == limit), "{limit}");
}
