//! Faults of the store, of the network before it, of the disk and of the clock. Nothing here is killed.

use super::World;
use super::proxy::{Act, Proxy, Script};
use super::world::{RATE, direct};
use crate::harness::{self, total};
use std::path::Path;
use std::time::{Duration, Instant};

/// Runs through the scripts, each until it has hit so many INSERTs; then all is well again and the books must close.
fn through(title: &str, scripts: &[(&str, Script)], config: &str) {
    let mut proxy = None;
    let world = World::start(config, |store| {
        let p = Proxy::start(&store.address, |_, _| Act::Pass);
        proxy.insert(p).url.clone()
    });
    let proxy = proxy.expect("started");
    world.stored(1);
    for (name, script) in scripts {
        let (faults, before) = (
            proxy.faults(),
            total(&world.collector().ledger(), "rows_acknowledged"),
        );
        proxy.script(*script);
        harness::eventually(name, || proxy.faults() >= faults + 4);
        if *name == CROWDED {
            world
                .collector()
                .logs("bundles are sealed at so many times");
        }
        proxy.script(|_, _| Act::Pass);
        world.stored(before + 1);
    }
    let faults = proxy.faults();
    let (equation, ledger) = world.finish();
    equation.assert_closed(&format!("{title}: {faults} INSERTs hit"));
    assert_eq!(equation.sum(|l| l.lost_crash + l.lost_stopped), 0);
    assert_eq!(total(&ledger, "rows"), equation.sum(|l| l.rows));
    assert_eq!(total(&ledger, "rows_quarantined"), 0);
}

/// The store cannot merge as fast as it gets parts: it must get fewer.
const CROWDED: &str = "too many parts";

#[test]
fn errors_that_pass_cost_nothing() {
    let scripts: [(&str, Script); 8] = [
        ("a proxy's 503", |_, _| Act::Status(503)),
        ("pages of somebody else", |n, _| Act::Page(n as usize)),
        ("a table that is gone", |_, _| {
            Act::Exception(60, "Table flowhouse.flows does not exist")
        }),
        ("memory", |_, _| {
            Act::Exception(241, "Memory limit (total) exceeded")
        }),
        (CROWDED, |_, _| {
            Act::Exception(252, "Too many parts (3001 with average size of 1.00 MiB)")
        }),
        ("a wrong key", |_, _| {
            Act::Exception(516, "default: Authentication failed")
        }),
        ("read only", |_, _| {
            Act::Exception(242, "Table is in readonly mode")
        }),
        ("a slow store", |_, _| Act::Slow(Duration::from_millis(700))),
    ];
    through("errors that pass", &scripts, "");
}

#[test]
fn answers_that_break_off_double_nothing() {
    let scripts: [(&str, Script); 3] = [
        ("the reply is cut", |_, _| Act::CutReply),
        ("reset in mid-body", |_, _| Act::ResetMidBody),
        ("no reply after the commit", |n, _| match n % 3 {
            0 => Act::Pass,
            _ => Act::NoReply,
        }),
    ];
    through(
        "answers that break off",
        &scripts,
        "[sink]\ninsert_timeout_s = 2\n",
    );
}

#[test]
fn a_stop_in_order_under_load_loses_nothing_and_the_next_run_knows_what_it_missed() {
    let mut world = World::start("", direct);
    world.stored(2_000);
    let rows = world.collector.take().expect("it runs").stop();
    harness::assert_laws(&rows);
    assert_eq!(total(&rows, "rows"), total(&rows, "rows_acknowledged"));
    std::thread::sleep(Duration::from_millis(500));
    world.run();
    world.stored(2_000);
    let ledger = world.collector().ledger();
    // templates and sampling are known from before: nothing waited for them, nothing is of unknown sampling but v5 and v9
    assert_eq!(total(&ledger, "sets_decoded_late"), 0);
    let unknown = "SELECT countIf(sampling_interval != 16) FROM flows WHERE origin = 'ipfix'";
    assert_eq!(world.store.sql().numbers(unknown), [0]);
    let (equation, _) = world.finish();
    equation.assert_closed("SIGTERM under load, half a second later again");
    assert!(equation.sum(|l| l.lost_stopped) > 0);
    assert_eq!(equation.sum(|l| l.lost_crash), 0);
}

#[test]
fn a_store_that_is_away_at_full_rate_costs_nothing() {
    let mut world = World::start("", direct);
    world.stored(1_000);
    world.store.kill();
    world.rate(4 * RATE);
    std::thread::sleep(Duration::from_secs(5));
    world.rate(RATE);
    world.store.run();
    let (equation, ledger) = world.finish();
    equation.assert_closed("store away for 5 s at four times the rate");
    assert_eq!(equation.sum(|l| l.sent), equation.sum(|l| l.stored));
    assert_eq!(total(&ledger, "rows"), equation.sum(|l| l.rows));
}

/// Both are in Debian: `.ci/prepare test` installs them.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// The words that run a process whose wall clock is off by what a file says; `None` where that cannot be had.
fn clock(offset: &Path) -> Option<Vec<String>> {
    if !Path::new(FAKETIME).exists() {
        eprintln!("skipped: no libfaketime at {FAKETIME}");
        return None;
    }
    std::fs::write(offset, "+0").expect("written");
    Some(vec![
        "env".to_owned(),
        format!("LD_PRELOAD={FAKETIME}"),
        format!("FAKETIME_TIMESTAMP_FILE={}", offset.display()),
        "FAKETIME_NO_CACHE=1".to_owned(),
        // Instant is what must not jump: the system call promises it
        "FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned(),
    ])
}

#[test]
fn a_clock_that_is_set_costs_nothing() {
    let dir = harness::directory();
    let offset = dir.path().join("offset");
    let Some(launcher) = clock(&offset) else {
        return;
    };
    let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
    let world = World::under(dir, "", direct, &launcher);
    let (mut bundles, began) = (0.0, Instant::now());
    let hours = "SELECT uniqExact(toStartOfHour(received_at)) FROM flows";
    for (step, clocks) in [("+0", 1), ("+7200", 2), ("-10800", 3), ("+0", 3)] {
        std::fs::write(&offset, step).expect("written");
        let before = total(&world.collector().ledger(), "rows_acknowledged");
        world.stored(before + 6_000);
        harness::eventually("rows have the clock", || {
            world.store.sql().numbers(hours)[0] >= clocks
        });
        bundles = world.collector().metric("flowhouse_shard_bundles_total");
    }
    let due = began.elapsed().as_millis() as f64 / 300.0;
    let (equation, _) = world.finish();
    equation.assert_closed("clock set by +2 h, -5 h, +3 h");
    assert_eq!(equation.sum(|l| l.sent), equation.sum(|l| l.stored));
    // one a shard and 300 ms, however long it took, not one a datagram
    assert!(bundles < 3.0 * due + 60.0, "{bundles} bundles, {due} due");
}

/// What a leap of the clock must not end.
const LEAPT: [&str; 4] = [
    "rows_shed",
    "rows_quarantined",
    "usage_rows_quarantined",
    "other_rows_quarantined",
];

/// A clock that was wrong all the time and is set right: what waits is not a month old by that, and what is in doubt not either.
#[test]
fn a_clock_that_leaps_sheds_nothing() {
    let dir = harness::directory();
    let offset = dir.path().join("offset");
    let Some(launcher) = clock(&offset) else {
        return;
    };
    let launcher: Vec<&str> = launcher.iter().map(String::as_str).collect();
    let mut world = World::under(dir, "", direct, &launcher);
    world.known();
    world.weighable();
    world.store.kill();
    let made = |w: &World| total(&w.collector().ledger(), "rows");
    let wait = |w: &World, more: u64| {
        let before = made(w);
        harness::eventually("rows are made", || made(w) >= before + more);
    };
    wait(&world, 3_000);
    std::fs::write(&offset, "+2592000").expect("written");
    wait(&world, 3_000);
    let shed = |w: &World| {
        let ledger = w.collector().ledger();
        LEAPT.map(|o| total(&ledger, o))
    };
    assert_eq!(shed(&world), [0; 4]);
    world.kill_collector();
    world.run();
    wait(&world, 6_000);
    world.store.run();
    let closed = world.close();
    closed.assert_usage();
    closed
        .equation
        .assert_closed("clock set by 30 days, store away, collector killed");
    assert_eq!(LEAPT.map(|o| total(&closed.ledger, o)), [0; 4]);
}
