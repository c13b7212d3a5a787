//! Who may read what a collector leaves on disk: its account and group, nobody else.

use crate::harness::{Collector, Store, directory, eventually, total};
use flowhouse::generate::sender::{Plan, send};
use flowhouse::generate::{Habits, Profile};
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

fn export(to: SocketAddr, flows: u64) {
    let plan = Plan {
        first_exporter: 0,
        to,
        profiles: vec![Profile::Router],
        exporters: 1,
        habits: Habits::default(),
        rate: 4_000,
        flows: Some(flows),
        duration: None,
        seed: 11,
        pool: 200,
        segment: false,
    };
    send(&plan, &AtomicBool::new(false), |_| {}).expect("sent");
}

/// A folder and everything in it.
fn all(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("readable");
    let inside = entries.flat_map(|e| {
        let path = e.expect("an entry").path();
        match path.is_dir() {
            true => all(&path),
            false => vec![path],
        }
    });
    [folder.to_owned()].into_iter().chain(inside).collect()
}

fn assert_closed(folder: &Path) -> Vec<String> {
    let paths = all(folder);
    for path in &paths {
        // a file that is being written, or was sent, is gone by now
        let Ok(status) = fs::metadata(path) else {
            continue;
        };
        let mode = status.permissions().mode() & 0o777;
        let most = if status.is_dir() { 0o750 } else { 0o640 };
        assert_eq!(mode & !most, 0, "{}: {mode:o}", path.display());
    }
    let name = |p: &PathBuf| p.file_name().map(|n| n.to_string_lossy().into_owned());
    paths.iter().filter_map(name).collect()
}

#[test]
fn state_and_spool_are_for_their_account_and_group() {
    for user in ["", "nobody"] {
        if !user.is_empty() && !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: only root becomes another account");
            continue;
        }
        let dir = directory();
        let store = Store::planned(dir.path());
        let config = format!(
            "[receive]\nlisteners = [\"127.0.0.1:0\"]\n[clickhouse]\nurl = \"{}\"\n",
            store.config().split('"').nth(1).expect("an address")
        );
        let start = || {
            Collector::start_with(dir.path(), &config, |c| {
                if !user.is_empty() {
                    c.args(["--user", user]);
                }
            })
        };
        let spooled = |c: &Collector| c.metric("flowhouse_spool_files") > 0.0;
        let (state, spool) = (dir.path().join("state"), dir.path().join("state/spool"));
        let collector = start();
        export(collector.udp[0], 1_000);
        eventually("rows wait", || {
            total(&collector.ledger(), "rows") >= 1_000 && spooled(&collector)
        });
        eventually("templates are kept", || state.join("decode-0").exists());
        assert_closed(&state);
        collector.kill();
        // as an earlier version left them
        for path in all(&state) {
            let mode = if path.is_dir() { 0o755 } else { 0o644 };
            fs::set_permissions(path, Permissions::from_mode(mode)).expect("its mode");
        }
        let collector = start();
        assert!(
            collector
                .said
                .iter()
                .any(|l| l.contains("closed to others")),
            "{:?}",
            collector.said
        );
        export(collector.udp[0], 1_000);
        eventually("rows wait", || {
            total(&collector.ledger(), "rows") >= 1_000 && spooled(&collector)
        });
        assert_closed(&state);
        collector.stop();
        let names = assert_closed(&state);
        for name in [
            "lock",
            "collector-id",
            "decode-0",
            "sides-0",
            "ledger.json",
            "spool",
            "positions",
        ] {
            assert!(names.iter().any(|n| n == name), "no {name}: {names:?}");
        }
        assert!(
            all(&spool)
                .iter()
                .any(|p| p.extension().is_some_and(|e| e == "fhs"))
        );
        // without a spool they are neither delivered nor touched, and that is said
        let bundles = || {
            let paths = all(&spool).into_iter();
            paths.filter(|p| p.extension().is_some_and(|e| e == "fhs"))
        };
        let (left, off) = (
            bundles().count(),
            format!("{config}[spool]\nmode = \"off\"\n"),
        );
        let collector = Collector::start_with(dir.path(), &off, |c| {
            if !user.is_empty() {
                c.args(["--user", user]);
            }
        });
        let said = format!("WARN {left} bundles of an earlier run stay in");
        assert!(
            collector.said.iter().any(|l| l.contains(&said)),
            "{said}: {:?}",
            collector.said
        );
        collector.kill();
        assert_eq!(bundles().count(), left);
    }
}
