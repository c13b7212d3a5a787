//! `flowhouse schema`: the tables in ClickHouse.

use super::connection::ConnectionArguments;
use crate::sink::clickhouse::Connection;
use crate::sink::schema::{self, State};
use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use serde_json::json;
use std::io::Write;

/// Shows or applies the tables and views that flowhouse needs in ClickHouse.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SchemaArguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print all statements as one script, without asking any store
    Print {
        /// Database that the script makes and fills
        #[arg(long, value_name = "NAME", default_value = "flowhouse")]
        database: String,
    },
    /// Show which migrations a store has; exit 1 when one is pending, changed or unknown
    Status {
        #[command(flatten)]
        connection: ConnectionArguments,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Apply what is pending; safe to repeat, and from several machines at once
    Apply {
        #[command(flatten)]
        connection: ConnectionArguments,
    },
}

/// Runs `flowhouse schema`.
pub fn run(arguments: &SchemaArguments) -> Result<()> {
    match &arguments.action {
        Action::Print { database } => {
            Ok(std::io::stdout().write_all(schema::print(database).as_bytes())?)
        }
        Action::Status { connection, json } => status(connection, *json),
        Action::Apply { connection } => apply(connection),
    }
}

fn status(connection: &ConnectionArguments, json: bool) -> Result<()> {
    let client = connection.over(Connection::default()).client()?;
    let lines = runtime()?.block_on(schema::status(&client))?;
    let mut out = std::io::stdout().lock();
    if json {
        let rows = lines.iter().map(|l| {
            json!({
                "version": l.version, "name": l.name, "state": state(l.state), "applied_at": l.applied_at,
            })
        });
        writeln!(out, "{:#}", json!(rows.collect::<Vec<_>>()))?;
    } else {
        writeln!(
            out,
            "{:<8} {:<24} {:<8} applied at (UTC)",
            "version", "migration", "state"
        )?;
        for l in &lines {
            let name = if l.name.is_empty() {
                "(of a newer flowhouse)"
            } else {
                l.name
            };
            let at = l.applied_at.as_deref().unwrap_or("-");
            writeln!(
                out,
                "{:<8} {name:<24} {:<8} {at}",
                l.version,
                state(l.state)
            )?;
        }
    }
    match lines.iter().find(|l| l.state != State::Applied) {
        Some(l) => bail!("migration {:04} is {}", l.version, state(l.state)),
        None => Ok(()),
    }
}

fn apply(connection: &ConnectionArguments) -> Result<()> {
    let client = connection.over(Connection::default()).client()?;
    let done = runtime()?.block_on(schema::apply(&client))?;
    for m in &done {
        println!("applied {}", m.name);
    }
    if done.is_empty() {
        println!(
            "nothing to do: the store has all {} migrations",
            schema::MIGRATIONS.len()
        );
    }
    Ok(())
}

fn state(state: State) -> &'static str {
    match state {
        State::Applied => "applied",
        State::Pending => "pending",
        State::Changed => "changed",
        State::Unknown => "unknown",
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

const EXAMPLES: &str = "\
Examples:
  flowhouse schema print > flowhouse.sql
  flowhouse schema status --url http://clickhouse.example:8123 --user flowhouse --key-file /etc/flowhouse/key
  flowhouse schema apply --key-file /var/lib/flowhouse/store/key";
