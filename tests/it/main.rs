//! One binary, a module per room.

mod aggregate;
mod captures;
mod check;
mod config;
mod conformance;
mod control;
mod decode;
mod deploy;
mod generate;
mod harness;
mod names;
mod newer;
mod operate;
mod peers;
mod pipeline;
mod reach;
mod reading;
mod refusals;
mod replay;
mod schema;
mod simulation;
mod sink;
mod spool;
mod store;
mod torture;
mod traffic;
