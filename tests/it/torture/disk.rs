//! A disk that is full, slow, or refuses; and rows that the store refuses.
//!
//! The full one is a small tmpfs; the slow one and the failing one are the real disk with system calls that strace holds up or
//! lets fail.

use super::World;
use super::proxy::{Act, Proxy};
use super::world::{RATE, direct};
use crate::harness::{self, exe, run, total};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A file system of its own, unmounted at the end.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// `None`, and a line that says so, without the right to mount.
    fn mount(at: &Path, bytes: u64) -> Option<Tmpfs> {
        std::fs::create_dir_all(at).expect("a directory");
        let size = format!("size={bytes}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(at);
        if mount.output().is_ok_and(|out| out.status.success()) {
            return Some(Tmpfs(at.to_owned()));
        }
        eprintln!("skipped: mounting a tmpfs is not allowed here");
        None
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_sheds_flow_rows_and_counts_them() {
    sheds("disk full", 1_500_000, 0);
}

#[test]
fn what_others_need_of_the_disk_stays_free() {
    sheds("free_bytes_min", 2_500_000, 1_000_000);
}

/// Fills a file system of so many bytes, of which `floor` have to stay free.
fn sheds(title: &str, bytes: u64, floor: u64) {
    let dir = harness::directory();
    let spool = dir.path().join("small");
    let Some(_mounted) = Tmpfs::mount(&spool, bytes) else {
        return;
    };
    let config = format!("[spool]\ndirectory = {spool:?}\nfree_bytes_min = {floor}\n");
    let mut world = World::under(dir, &config, direct, &[]);
    world.known();
    world.store.kill();
    world.rate(4 * RATE);
    let shed = || total(&world.collector().ledger(), "rows_shed") > 5_000;
    harness::eventually("rows are shed", shed);
    let free = || free_bytes(&spool);
    // a bundle that is just being written is not counted yet
    assert!(
        (0..20).any(|_| free() >= floor),
        "{} bytes are free",
        free()
    );
    world.rate(RATE);
    world.store.run();
    let mut closed = world.close();
    let shed = total(&closed.ledger, "rows_shed");
    let missing = closed.equation.rows_missing();
    println!(
        "{title}: rows missing {missing} = shed {shed}\n{}",
        closed.equation
    );
    let elsewhere = closed
        .equation
        .sum(|l| l.lost_crash + l.lost_stopped + l.gaps);
    assert_eq!((missing, elsewhere), (shed, 0));
    // the usage of the rows that were shed is there
    let sql = closed.world.store.sql();
    let flows = sql.numbers("SELECT count() FROM flows")[0];
    let usage = sql.numbers("SELECT sum(flows) FROM usage_1m WHERE direction = 'ingress'")[0];
    assert_eq!(usage, flows + shed);
    assert_eq!(closed.told().get("rows_shed"), Some(&shed));
}

fn free_bytes(at: &Path) -> u64 {
    let mut df = Command::new("df");
    let text = run(df.args(["--block-size=1", "--output=avail"]).arg(at));
    let last = text.lines().last().map(str::trim);
    last.and_then(|n| n.parse().ok()).expect("a number")
}

/// A launcher that lets strace have its hand in some system calls; `None`, and a line that says so, where it may not.
fn strace(inject: &str) -> Option<Vec<&str>> {
    let launcher = [
        "strace",
        "-D",
        "-f",
        "-qq",
        "--seccomp-bpf",
        "-o",
        "/dev/null",
    ];
    let calls = ["-e", "trace=fsync,fdatasync", "-e", inject];
    let all = [&launcher[..], &calls].concat();
    let mut probe = Command::new(all[0]);
    let works = probe.args(&all[1..]).arg("true").output();
    if works.is_ok_and(|out| out.status.success()) {
        return Some(all);
    }
    eprintln!("skipped: strace is missing or not allowed here");
    None
}

#[test]
fn a_slow_disk_costs_nothing() {
    let inject = "inject=fsync,fdatasync:delay_enter=270000";
    let Some(launcher) = strace(inject) else {
        return;
    };
    let world = World::under(harness::directory(), "", direct, &launcher);
    world.stored(12_000);
    // the number first: one that comes meanwhile makes it no faster
    let fsyncs = world.collector().metric("flowhouse_spool_fsyncs_total");
    let slow = world
        .collector()
        .metric("flowhouse_spool_fsync_seconds_total")
        / fsyncs;
    let (equation, _) = world.finish();
    equation.assert_closed(&format!(
        "a disk that takes {:.0} ms a commit",
        slow * 1000.0
    ));
    assert!(slow >= 0.27, "{slow} s");
    assert_eq!(equation.sum(|l| l.sent), equation.sum(|l| l.stored));
}

/// A disk that refuses to sync what a running process wrote, until this is dropped.
struct Refusing(Child);

impl Refusing {
    fn start(process: u32) -> Refusing {
        let words = [
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "trace=fsync,fdatasync",
        ];
        let mut strace = Command::new("strace");
        strace.args(words).args(["-e", REFUSE, "-p"]);
        let quiet = strace.arg(process.to_string()).stderr(Stdio::null());
        Refusing(quiet.spawn().expect("strace is there"))
    }

    /// Whether it may not have its hand in another process.
    fn is_barred(&mut self) -> bool {
        self.0.try_wait().expect("its state").is_some()
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        // it lets go of the process before it ends
        let id = self.0.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &id]).output();
        let _ = self.0.wait();
    }
}

const REFUSE: &str = "inject=fsync,fdatasync:error=EIO";

#[test]
fn a_disk_that_refuses_for_a_while_costs_nothing_without_a_crash() {
    if strace(REFUSE).is_none() {
        return;
    }
    let world = World::start("", direct);
    world.known();
    let errors = || {
        world
            .collector()
            .metric("flowhouse_spool_write_errors_total")
    };
    let mut refusing = Refusing::start(world.collector().id());
    harness::eventually("the disk refuses", || {
        errors() >= 2.0 || refusing.is_barred()
    });
    if refusing.is_barred() {
        eprintln!("skipped: strace may not follow a running process here");
        return;
    }
    drop(refusing);
    let failing = || world.collector().metric("flowhouse_spool_failing");
    harness::eventually("and takes again", || failing() == 0.0);
    let refused = errors();
    let (equation, _) = world.finish();
    equation.assert_closed(&format!("a disk that refused {refused} bundles (EIO)"));
    assert_eq!(equation.sum(|l| l.sent), equation.sum(|l| l.stored));
}

#[test]
fn what_the_store_refuses_for_good_waits_for_the_cure() {
    let mut proxy = None;
    let mut world = World::start("[sink]\nrefusals_max = 3\n", |store| {
        let p = Proxy::start(&store.address, |_, _| Act::Pass);
        proxy.insert(p).url.clone()
    });
    let proxy = proxy.expect("started");
    world.known();
    proxy.script(|n, table| match (table, n % 2) {
        ("flows", 0) => Act::Exception(
            252,
            "Too many partitions for single INSERT block (more than 100)",
        ),
        ("flows", _) => Act::Exception(9_999, "An error of a version to come"),
        _ => Act::Pass,
    });
    let quarantined = |w: &World| total(&w.collector().ledger(), "rows_quarantined");
    harness::eventually("rows are refused", || quarantined(&world) > 2_000);
    proxy.script(|_, _| Act::Pass);
    let spool = world.path().join("state/spool");
    let sent = world.pause();
    let rows = quarantined(&world);
    run(Command::new(exe())
        .args(["spool", "replay", "--directory"])
        .arg(spool));
    let replayed = || total(&world.collector().ledger(), "rows_replayed");
    harness::eventually("they are replayed", || replayed() == rows);
    let mut closed = world.close_with(sent);
    closed
        .equation
        .assert_closed(&format!("{rows} rows refused for good, then replayed"));
    closed.assert_usage();
    assert_eq!(
        closed.equation.sum(|l| l.sent),
        closed.equation.sum(|l| l.stored)
    );
    let told = closed.told();
    assert_eq!(
        ["rows_quarantined", "rows_replayed"].map(|o| told[o]),
        [rows; 2]
    );
}
