//! Kills without warning, of the collector, of the store, of both, under load.

use super::world::direct;
use super::{World, number};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

/// Kills `kills` times, restarts, goes on; then everything is delivered and the books must close.
fn storm(kills: u32, seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let began = Instant::now();
    // what everybody runs with
    let mut world = World::start("[batch]\nseal_age_ms = 1000\n", direct);
    // what was lost of an exporter before anything of it was durable nobody can know
    world.known();
    let mut done = [0; 3];
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(random.random_range(100..2_000)));
        let which = random.random_range(0..3);
        done[which] += 1;
        if which != 1 {
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
    let mut closed = world.close();
    closed.assert_usage();
    let equation = &closed.equation;
    let [collector, store, both] = done;
    equation.assert_closed(&format!(
        "seed {seed}: {kills} kills (collector {collector}, store {store}, both {both}) in {:.0} s, all delivered after {:.0} s more",
        killing.as_secs_f64(),
        draining.elapsed().as_secs_f64()
    ));
    assert!(equation.sum(|l| l.stored) > 0);
    assert!(collector + both == 0 || equation.sum(|l| l.lost_crash) > 0);
    assert_eq!(equation.sum(|l| l.lost_damaged), 0);
    closed.told();
}

#[test]
fn kills_lose_nothing_that_is_not_booked_and_double_nothing() {
    storm(4, number("FLOWHOUSE_TORTURE_SEED").unwrap_or(7));
}

#[test]
#[ignore = "minutes: `make torture`"]
fn a_storm_of_kills() {
    let kills = number("FLOWHOUSE_TORTURE_KILLS").unwrap_or(120);
    let seed = number("FLOWHOUSE_TORTURE_SEED").unwrap_or_else(rand::random);
    println!("FLOWHOUSE_TORTURE_SEED={seed} FLOWHOUSE_TORTURE_KILLS={kills}");
    storm(kills as u32, seed);
}
