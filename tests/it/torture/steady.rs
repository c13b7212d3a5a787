//! The same load for a long time: nothing may grow.

use super::resident::{Look, median};
use super::world::{RATE, direct};
use super::{World, number};
use crate::harness::total;
use std::time::{Duration, Instant};

fn steady(rate: u64, lasting: Duration, looks: u32) {
    let mut world = World::start("[batch]\nseal_age_ms = 1000\n", direct);
    world.known();
    world.rate(rate);
    let (began, every) = (Instant::now(), lasting / looks);
    let (mut series, mut before) = (vec![], total(&world.collector().ledger(), "rows"));
    println!(
        "steady: {rate} records a second for {:.0} s",
        lasting.as_secs_f64()
    );
    println!("      s    MiB  descriptors  threads  files   rows/s     open");
    for n in 1..=looks {
        let at = began + every * n;
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        let look = Look::at(world.collector().id(), &world.path().join("state"));
        let ledger = world.collector().ledger();
        let (rows, stored) = (total(&ledger, "rows"), total(&ledger, "rows_acknowledged"));
        println!(
            "  {:5.0} {:6.1} {:12} {:8} {:6} {:8.0} {:8}",
            began.elapsed().as_secs_f64(),
            look.mib,
            look.descriptors,
            look.threads,
            look.files,
            (rows - before) as f64 / every.as_secs_f64(),
            rows - stored
        );
        before = rows;
        series.push(look);
    }
    world.pause();
    let ledger = world.collector.take().expect("it runs").stop();
    crate::harness::assert_laws(&ledger);
    let rows = world.store.sql().numbers("SELECT count() FROM flows")[0];
    assert_eq!(total(&ledger, "rows_acknowledged"), rows);
    // what is warm by the middle stays as it is
    let (middle, end) = (&series[series.len() / 3..], &series[series.len() * 2 / 3..]);
    let middle = &middle[..middle.len() / 2];
    let of = |looks: &[Look], what: fn(&Look) -> f64| median(looks.iter().map(what));
    assert!(
        of(end, |l| l.mib) <= 1.1 * of(middle, |l| l.mib),
        "memory grows"
    );
    for what in [
        (|l| l.descriptors as f64) as fn(&Look) -> f64,
        |l| l.threads as f64,
        |l| l.files as f64,
    ] {
        // the spool's bundles and connections come and go
        assert!(of(end, what) <= of(middle, what) + 16.0, "it grows");
    }
}

#[test]
fn nothing_grows_under_a_steady_load() {
    steady(RATE, Duration::from_secs(18), 9);
}

#[test]
#[ignore = "minutes: `make torture`"]
fn nothing_grows_under_a_steady_load_for_long() {
    let minutes = number("FLOWHOUSE_STEADY_MINUTES").unwrap_or(10);
    let rate = number("FLOWHOUSE_STEADY_RATE").unwrap_or(100_000);
    steady(rate, Duration::from_secs(60 * minutes), 60);
}
