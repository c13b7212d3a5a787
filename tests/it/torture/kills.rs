//! Kills without warning, of the collector, of the store, of both, under load, with a socket buffer that is too small for it.

use super::world::{RATE, direct};
use super::{World, number};
use crate::harness::{assert_laws, eventually, total};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

/// Kills `kills` times, restarts, goes on; then everything is delivered and the books must close.
fn storm(kills: u32, seed: u64, rate: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    // what everybody runs with, but for the buffer
    let mut world = World::start(&config(BUFFER), direct);
    // what was lost of an exporter before anything of it was durable nobody can know
    world.known();
    world.rate(rate);
    let began = Instant::now();
    let (mut done, mut drops) = ([0; 3], 0);
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(random.random_range(100..1_500)));
        if random.random_bool(0.5) {
            stall(&world, Duration::from_millis(random.random_range(50..400)));
        }
        let which = random.random_range(0..3);
        done[which] += 1;
        if which != 1 {
            drops += kernel_drops(&world);
            world.kill_collector();
        }
        if which != 0 {
            world.store.kill();
        }
        std::thread::sleep(Duration::from_millis(random.random_range(0..600)));
        // the collector must not need the store to start
        let first_store = random.random_bool(0.5);
        if which != 0 && first_store {
            world.store.run();
        }
        if which != 1 {
            world.run();
        }
        if which != 0 && !first_store {
            world.store.run();
        }
    }
    let (killing, draining) = (began.elapsed(), Instant::now());
    let sent = world.pause();
    drops += kernel_drops(&world);
    let aside = ["quarantine", "corrupt"].map(|part| {
        let files = format!("flowhouse_spool_{part}_files");
        world.collector().metric(&files) as u64
    });
    let mut closed = world.close_with(sent);
    let [collector, store, both] = done;
    closed.equation.assert_closed(&format!(
        "seed {seed}: {kills} kills (collector {collector}, store {store}, both {both}) in {:.0} s at {rate} records/s, all delivered \
         after {:.0} s more; datagrams that the kernel was seen to drop: {drops}",
        killing.as_secs_f64(),
        draining.elapsed().as_secs_f64()
    ));
    assert_laws(&closed.ledger);
    assert_eq!(aside, [0, 0], "files in the quarantine, damaged files");
    closed.assert_usage();
    assert!(closed.equation.sum(|l| l.stored) > 0);
    assert!(collector + both == 0 || closed.equation.sum(|l| l.lost_crash) > 0);
    assert_eq!(closed.equation.sum(|l| l.lost_damaged), 0);
    closed.told();
}

/// The collector stands still time and again, and nothing else happens: what is missing is what the kernel dropped, to the datagram.
fn drops(rate: u64, stalls: u32) {
    let mut world = World::start(&config(BUFFER), direct);
    world.known();
    world.rate(rate);
    for _ in 0..stalls {
        let before = kernel_drops(&world);
        // until the buffer was full for sure
        eventually("the kernel drops", || {
            stall(&world, Duration::from_millis(300));
            kernel_drops(&world) > before
        });
    }
    let sent = world.pause();
    let dropped = kernel_drops(&world);
    let closed = world.close_with(sent);
    closed.assert_usage();
    let title = format!(
        "stood still {stalls} times at {rate} records/s; datagrams that the kernel dropped: {dropped}"
    );
    closed.equation.assert_closed(&title);
    let queue = total(&closed.ledger, "datagrams_dropped_queue");
    let missing = closed.equation.sum(|l| {
        let runs = l.missing.iter();
        runs.map(|(a, b)| u64::from(b - a + 1)).sum()
    });
    assert_eq!(
        (missing, queue),
        (dropped, 0),
        "kernel drops, and no others"
    );
    assert_eq!(
        closed.equation.sum(|l| l.lost_crash + l.lost_stopped),
        0,
        "nothing crashed"
    );
}

/// Holds the collector for a while: what comes meanwhile has to find room in the socket's buffer.
fn stall(world: &World, lasting: Duration) {
    world.collector().signal("STOP");
    std::thread::sleep(lasting);
    world.collector().signal("CONT");
}

fn kernel_drops(world: &World) -> u64 {
    let drops = "flowhouse_receive_kernel_drops_total";
    world.collector().metric(drops) as u64
}

fn config(buffer: u64) -> String {
    format!("[batch]\nseal_age_ms = 1000\n[receive]\nreceive_buffer = {buffer}\n")
}

/// Bytes of a socket's buffer: some dozen datagrams.
const BUFFER: u64 = 64 << 10;

#[test]
fn kills_lose_nothing_that_is_not_booked_and_double_nothing() {
    storm(4, number("FLOWHOUSE_TORTURE_SEED").unwrap_or(7), RATE);
}

#[test]
fn what_the_kernel_drops_is_booked_to_the_datagram() {
    drops(RATE, 3);
}

#[test]
#[ignore = "minutes: `make torture`"]
fn a_storm_of_kills() {
    let kills = number("FLOWHOUSE_TORTURE_KILLS").unwrap_or(120);
    let seed = number("FLOWHOUSE_TORTURE_SEED").unwrap_or_else(rand::random);
    let rate = number("FLOWHOUSE_TORTURE_RATE").unwrap_or(100_000);
    println!(
        "FLOWHOUSE_TORTURE_SEED={seed} FLOWHOUSE_TORTURE_KILLS={kills} FLOWHOUSE_TORTURE_RATE={rate}"
    );
    storm(kills as u32, seed, rate);
}

#[test]
#[ignore = "minutes: `make torture`"]
fn what_the_kernel_drops_at_a_high_rate() {
    let rate = number("FLOWHOUSE_TORTURE_RATE").unwrap_or(100_000);
    drops(rate, 20);
}
