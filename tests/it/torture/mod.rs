//! What is promised when things break: real processes, real sockets, real kills, and books that close to the record.
//!
//! The short form runs with every test; `make torture` is the long one, of a release build: FLOWHOUSE_TORTURE_KILLS kills (120) from
//! FLOWHOUSE_TORTURE_SEED (drawn and printed) at FLOWHOUSE_TORTURE_RATE records a second (100,000), an outage of
//! FLOWHOUSE_OUTAGE_ROWS rows (30,000,000; an hour at 50,000 a second are 180,000,000) with FLOWHOUSE_OUTAGE_RATE of them a second (200,000) and FLOWHOUSE_OUTAGE_LIVE (50,000)
//! after it, and a steady load of FLOWHOUSE_STEADY_RATE records a second (100,000) for FLOWHOUSE_STEADY_MINUTES (10). FLOWHOUSE_EXE
//! names another binary, FLOWHOUSE_STORE_MEMORY the bytes that the store may take.

mod adversary;
mod books;
mod damage;
mod disk;
mod exporters;
mod faults;
pub mod flood;
mod kills;
mod outage;
pub mod proxy;
mod resident;
mod steady;
mod world;

use world::World;

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}: {text}")))
}
