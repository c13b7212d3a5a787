//! One file per subcommand: arguments to calls, results to text.

mod connection;
mod generate;
mod inspect;
mod schema;
mod store;
mod text;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Flow telemetry collector: which application uses which link and which QoS class.
#[derive(Debug, Parser)]
#[command(
    name = "flowhouse",
    version,
    propagate_version = true,
    max_term_width = 120
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print each record of capture files as it was sent.
    Inspect(inspect::InspectArguments),
    /// Send generated exports to a collector, or write them to a capture file.
    Generate(Box<generate::GenerateArguments>),
    Schema(schema::SchemaArguments),
    /// The embedded ClickHouse.
    Store(Box<store::StoreArguments>),
}

/// Parses the arguments, runs the subcommand and maps its end to an exit code: 0 done, 1 failed, 2 wrong usage.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Generate(arguments) => done(generate::run(*arguments)),
        Command::Inspect(arguments) => done(inspect::run(&arguments)),
        Command::Schema(arguments) => done(schema::run(&arguments)),
        Command::Store(arguments) => done(store::run(*arguments)),
    }
}

fn done(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flowhouse: {error:#}");
            ExitCode::FAILURE
        }
    }
}
