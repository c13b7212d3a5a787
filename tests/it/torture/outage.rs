//! The store is away for so long that what waits for it is many times what memory may hold; then it comes back while exporters
//! go on sending.

use super::resident::{Look, median};
use super::world::direct;
use super::{World, number};
use crate::harness::{self, Sql, total};
use std::time::{Duration, Instant};

/// What was seen after the store came back.
#[derive(Debug, Default)]
struct CatchUp {
    seconds: f64,
    /// Rows that waited, and rows that came meanwhile.
    backlog: u64,
    live: u64,
    /// Age of the newest row in the store, seconds, at each look.
    ages: Vec<f64>,
    /// Share of the rows of some seconds ago that the store had, at each look.
    shares: Vec<f64>,
}

fn outage(rows: u64, rate: u64, live: u64) {
    let config = "[batch]\nseal_age_ms = 1000\n[spool]\nbytes_max = 68719476736\n";
    let mut world = World::start(config, direct);
    world.known();
    let start = Look::at(world.collector().id(), &world.path().join("state"));
    world.store.kill();
    world.rate(rate);
    let away = wait_for(&world, rows);
    world.rate(live);
    // what waits in queues gets through
    std::thread::sleep(Duration::from_secs(3));
    world.store.run();
    let (seen, resident) = catch_up(&world, live);
    report(&seen, &start, &away, &resident, live);
    let metric = |name| world.collector().metric(name);
    println!(
        "INSERTs {}, mean {:.0} ms, sent again {}; failed, store away or not: {}",
        metric("flowhouse_sink_inserts_total"),
        1000.0 * metric("flowhouse_sink_insert_duration_seconds_sum")
            / metric("flowhouse_sink_insert_duration_seconds_count"),
        metric("flowhouse_sink_retries_total"),
        metric("flowhouse_sink_insert_errors_total")
    );
    let closed = world.close();
    closed.equation.assert_closed("an outage");
    closed.assert_usage();
    let elsewhere = closed.equation.sum(|l| l.lost_crash + l.lost_stopped);
    assert_eq!((elsewhere, total(&closed.ledger, "rows_shed")), (0, 0));
    // it takes some seconds until everything is as large as it gets; from then on neither what waits nor its delivery adds to it
    let early = median(second_quarter(&away).iter().map(|l| l.mib));
    let later = away[away.len() / 2..].iter().chain(&resident);
    let most = later.map(|l| l.mib).fold(0.0, f64::max);
    assert!(
        most <= 1.1 * early,
        "memory grew from {early} to {most} MiB"
    );
    assert!(
        !seen.ages.is_empty(),
        "the backlog was gone at the first look"
    );
    let age = median(seen.ages.iter().copied());
    assert!(age < 10.0, "live rows are stored {age} s late");
}

/// When everything is as large as it gets.
fn second_quarter(looks: &[Look]) -> &[Look] {
    let quarter = looks.len() / 4;
    &looks[quarter..2 * quarter]
}

/// Looks at the collector until it has taken so many rows without a store.
fn wait_for(world: &World, rows: u64) -> Vec<Look> {
    let (mut looks, began) = (vec![], Instant::now());
    let start = total(&world.collector().ledger(), "rows");
    let (mut taken, mut deadline) = (0, Instant::now() + harness::PATIENCE);
    while taken < rows {
        std::thread::sleep(Duration::from_millis(500));
        assert!(Instant::now() < deadline, "nothing comes any more");
        let before = taken;
        taken = total(&world.collector().ledger(), "rows") - start;
        if taken > before {
            deadline = Instant::now() + harness::PATIENCE;
        }
        looks.push(Look::at(
            world.collector().id(),
            &world.path().join("state"),
        ));
    }
    println!(
        "outage: {taken} rows in {:.0} s, {} files, {:.0} MiB spooled",
        began.elapsed().as_secs_f64(),
        looks.last().map_or(0, |l| l.files),
        world.collector().metric("flowhouse_spool_bytes") / f64::from(1 << 20)
    );
    looks
}

/// Looks until nothing of the outage is left.
fn catch_up(world: &World, live: u64) -> (CatchUp, Vec<Look>) {
    let (sql, began) = (world.store.sql(), Instant::now());
    let open = |l: &serde_json::Value| {
        total(l, "rows") + total(l, "rows_recovered") - total(l, "rows_acknowledged")
    };
    let ledger = world.collector().ledger();
    let (mut seen, mut looks) = (CatchUp::default(), vec![]);
    let (start, mut last) = (total(&ledger, "rows"), open(&ledger));
    seen.backlog = last;
    let mut deadline = Instant::now() + harness::PATIENCE;
    // some seconds of live rows are always on their way
    while last > 3 * live {
        assert!(Instant::now() < deadline, "nothing is delivered any more");
        std::thread::sleep(Duration::from_millis(500));
        if began.elapsed() > WARM {
            fresh(&sql, live, &mut seen);
        }
        let ledger = world.collector().ledger();
        if open(&ledger) < last {
            deadline = Instant::now() + harness::PATIENCE;
        }
        last = open(&ledger);
        seen.live = total(&ledger, "rows") - start;
        looks.push(Look::at(
            world.collector().id(),
            &world.path().join("state"),
        ));
    }
    seen.seconds = began.elapsed().as_secs_f64();
    (seen, looks)
}

/// How old the newest row is, and how many of the rows of six to ten seconds ago are there.
fn fresh(sql: &Sql, live: u64, seen: &mut CatchUp) {
    let answer = sql.rows_if_not_busy(
        "SELECT if(count() = 0, 20, toUnixTimestamp64Milli(now64(3)) / 1000 - toUnixTimestamp(max(received_at))),
                countIf(received_at >= now() - 10 AND received_at < now() - 6)
         FROM flows WHERE received_at >= now() - 20",
    );
    let Some(rows) = answer else { return };
    let number = |text: &str| text.parse::<f64>().expect("a number");
    // a row of this second is up to a second old; without any of the last twenty it is that old at least
    seen.ages.push(number(&rows[0][0]));
    let expected = (4 * live) as f64;
    seen.shares.push(number(&rows[0][1]) / expected);
}

fn report(seen: &CatchUp, start: &Look, away: &[Look], after: &[Look], live: u64) {
    let most = |looks: &[Look]| looks.iter().map(|l| l.mib).fold(0.0, f64::max);
    let mib = |looks: &[Look]| median(looks.iter().map(|l| l.mib));
    for (title, looks) in [("outage", away), ("catching up", after)] {
        let every = looks.len().div_ceil(20).max(1);
        let series = looks.iter().step_by(every);
        let series: Vec<String> = series
            .map(|l| format!("{:.0}/{}", l.mib, l.files))
            .collect();
        println!("{title}, MiB resident/files: {}", series.join(" "));
    }
    println!(
        "resident, MiB: before {:.1}; store away: second quarter {:.1}, last quarter {:.1}, most {:.1}; catching up: median {:.1}, most {:.1}",
        start.mib,
        mib(second_quarter(away)),
        mib(&away[away.len() * 3 / 4..]),
        most(away),
        mib(after),
        most(after)
    );
    let stored = (seen.backlog + seen.live) as f64 / seen.seconds;
    println!(
        "catching up: {} rows that waited and {} that came meanwhile in {:.1} s: {stored:.0} rows/s, {:.1} x the live rate of \
         {:.0}; backlog alone {:.1} x",
        seen.backlog,
        seen.live,
        seen.seconds,
        stored * seen.seconds / seen.live.max(1) as f64,
        seen.live as f64 / seen.seconds,
        seen.backlog as f64 / seen.live.max(1) as f64
    );
    let mut ages = seen.ages.clone();
    ages.sort_by(f64::total_cmp);
    let oldest = ages.last().copied().unwrap_or_default();
    println!(
        "live rows ({live}/s wanted): newest in the store {:.1} s old (median of {}), at most {oldest:.1} s; {:.0} % of those \
         of 6 to 10 s ago were there (median)",
        ages.get(ages.len() / 2).copied().unwrap_or_default(),
        ages.len(),
        100.0 * median(seen.shares.iter().copied().chain([0.0]))
    );
}

/// The store has just started: the first look waits.
const WARM: Duration = Duration::from_secs(3);

#[test]
fn an_outage_costs_nothing_and_live_rows_pass_what_waits() {
    outage(3_000_000, 24_000, 3_000);
}

#[test]
#[ignore = "minutes: `make torture`"]
fn an_outage_of_many_rows() {
    let rows = number("FLOWHOUSE_OUTAGE_ROWS").unwrap_or(30_000_000);
    let rate = number("FLOWHOUSE_OUTAGE_RATE").unwrap_or(200_000);
    let live = number("FLOWHOUSE_OUTAGE_LIVE").unwrap_or(50_000);
    outage(rows, rate, live);
}
