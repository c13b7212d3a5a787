//! What is promised when things break: real processes, real sockets, real kills, and books that close to the record.
//!
//! The short form runs with every test; `make torture` is the long one: FLOWHOUSE_TORTURE_KILLS kills (120) from
//! FLOWHOUSE_TORTURE_SEED (drawn and printed).

mod books;
mod disk;
mod exporters;
mod faults;
mod kills;
mod proxy;
mod world;

use world::World;
