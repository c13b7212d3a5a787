//! The Debian package: built by cargo-deb around the binary under test, and looked into. Installing it needs root's rights over a
//! whole system; `deploy/debian/try.sh` does that.

use super::{file, text};
use crate::harness::{exe, run};
use std::process::Command;

#[test]
fn the_package_has_what_it_should() {
    let dir = tempfile::tempdir().expect("directory");
    let release = dir.path().join("target/release");
    std::fs::create_dir_all(&release).expect("made");
    let binary = release.join("flowhouse");
    std::fs::copy(exe(), &binary).expect("copied");
    run(Command::new("strip").arg(&binary));
    let deb = dir.path().join("flowhouse.deb");
    let mut build = Command::new("cargo");
    build.env("CARGO_TARGET_DIR", dir.path().join("target"));
    build.args([
        "deb",
        "--no-build",
        "--no-strip",
        "--fast",
        "--offline",
        "--quiet",
        "-o",
    ]);
    run(build.arg(&deb).current_dir(file("")));

    let list = run(Command::new("dpkg-deb").arg("-c").arg(&deb));
    for (mode, path) in [
        ("-rwxr-xr-x", "./usr/bin/flowhouse"),
        ("-rw-r--r--", "./etc/flowhouse/flowhouse.toml"),
        ("-rw-r--r--", "./usr/lib/systemd/system/flowhouse.service"),
        ("-rw-r--r--", "./usr/lib/sysctl.d/60-flowhouse.conf"),
        ("-rw-r--r--", "./usr/share/doc/flowhouse/copyright"),
        ("-rw-r--r--", "./usr/share/doc/flowhouse/runbook.md"),
        ("-rw-r--r--", "./usr/share/man/man1/flowhouse.1.gz"),
        ("-rw-r--r--", "./usr/share/flowhouse/prometheus/alerts.yml"),
        ("-rw-r--r--", "./usr/share/flowhouse/rules/flowhouse.rules"),
        ("-rw-r--r--", "./usr/share/flowhouse/grafana/traffic.json"),
    ] {
        let is_it = |l: &&str| l.starts_with(mode) && l.ends_with(&format!(" {path}"));
        assert!(list.lines().any(|l| is_it(&l)), "{path} is not in\n{list}");
    }
    let control = dir.path().join("control");
    run(Command::new("dpkg-deb").arg("-e").arg(&deb).arg(&control));
    let of = |name: &str| std::fs::read_to_string(control.join(name)).expect(name);
    assert_eq!(of("conffiles"), "/etc/flowhouse/flowhouse.toml\n");
    for package in ["adduser", "libc6", "libpcap0.8"] {
        assert!(of("control").contains(package), "depends on {package}");
    }
    for script in ["postinst", "prerm", "postrm"] {
        assert!(
            of(script).contains("flowhouse.service") || script == "postrm",
            "{script}"
        );
        assert!(!of(script).contains("#DEBHELPER#"), "{script}");
        run(Command::new("sh").arg("-n").arg(control.join(script)));
    }
}

#[test]
fn the_configuration_of_the_package_holds() {
    let mut check = Command::new(exe());
    check.args(["check", "--offline", "-c"]);
    run(check.arg(file("deploy/debian/flowhouse.toml")));
}

#[test]
fn the_manual_names_every_command() {
    let help = run(Command::new(exe()).arg("--help"));
    let manual = text("deploy/debian/flowhouse.1");
    let commands = help.split("Commands:\n").nth(1).expect("commands");
    let commands = commands.split("\n\n").next().expect("their end");
    let names = commands
        .lines()
        .filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    let mut seen = 0;
    for name in names.filter_map(|l| l.split_whitespace().next()) {
        if name != "help" {
            assert!(manual.contains(&format!("\n.B {name}\n")), "{name}");
            seen += 1;
        }
    }
    assert!(seen >= 10);
}
