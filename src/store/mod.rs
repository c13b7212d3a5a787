//! The embedded ClickHouse: ClickHouse's HTTP interface over the engine in a library, in a process of its own.
//!
//! - **Owns**: the engine library (finding, installing, loading), the data folder with its keys and lock, the HTTP face,
//!   the rules for client SQL, and the child process that others start with [`spawn`].
//! - **Never**: runs as root, answers without a key, runs SQL that reaches files, network or processes, knows our tables.
//! - **Why a process**: an engine crash, its memory or a long merge must not touch the reception of packets, and the
//!   sink has one way to every ClickHouse.
//!
//! A request goes [`server`] (origin, key, turn) to `execute` (in a blocking thread): decode the body, read the statement
//! ([`token`], [`statement`]), ask the [`guard`], take a connection, and then either spool the data and insert from that
//! file, or let the engine write its result into a pipe that is streamed to the client.

pub mod body;
pub mod client;
mod confine;
mod elf;
mod engine;
mod error;
mod execute;
pub mod guard;
mod key;
pub mod library;
mod names;
mod pipe;
mod process;
mod python_stubs;
mod reply;
mod report;
mod request;
mod scratch;
mod serve;
pub mod server;
mod session;
pub mod settings;
pub mod statement;
pub mod token;
mod unkept;

pub use error::{Error, Exception};
pub use process::{SpawnOptions, StoreProcess, spawn};
pub use serve::serve;

/// The full key of the store with this data folder.
pub fn client_key(data: &std::path::Path) -> std::io::Result<String> {
    key::read(&key::full_path(data))
}
