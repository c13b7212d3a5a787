//! `flowhouse schema`: the tables in ClickHouse.

use super::connection::ConnectionArguments;
use super::say;
use crate::sink::clickhouse::Connection;
use crate::sink::schema::{self, Form, State};
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
    #[command(
        after_help = "Examples:\n  flowhouse schema print > flowhouse.sql\n  flowhouse schema print --cluster main --database flows"
    )]
    Print {
        /// Database that the script makes and fills
        #[arg(long, value_name = "NAME", default_value = "flowhouse", value_parser = database_name)]
        database: String,
        /// Print the form for this cluster: replicated local tables, distributed ones to read from
        #[arg(long, value_name = "NAME", value_parser = cluster_name)]
        cluster: Option<String>,
    },
    /// Show which migrations a store has; exit 1 when one is pending, changed or unknown
    #[command(
        after_help = "Examples:\n  flowhouse schema status\n  flowhouse schema status -c flowhouse.toml --json"
    )]
    Status {
        #[command(flatten)]
        store: StoreArguments,
        /// Print JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Apply what is pending; safe to repeat, and from several machines at once
    #[command(
        after_help = "Examples:\n  flowhouse schema apply\n  flowhouse schema apply -c flowhouse.toml"
    )]
    Apply {
        #[command(flatten)]
        store: StoreArguments,
    },
}

/// Which store.
#[derive(Debug, Args)]
struct StoreArguments {
    /// Configuration, for where the store is
    #[arg(short, long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// Cluster whose form of the schema the store has
    #[arg(long, value_name = "NAME", value_parser = cluster_name)]
    cluster: Option<String>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

impl StoreArguments {
    fn connection(&self) -> Result<Connection> {
        let base = match &self.config {
            Some(path) => super::default_connection(&super::load_config(Some(path))?),
            None => Connection::default(),
        };
        let mut connection = self.connection.over(base);
        if self.cluster.is_some() {
            connection.cluster.clone_from(&self.cluster);
        }
        Ok(connection)
    }
}

fn cluster_name(text: &str) -> Result<String, String> {
    let cluster = Some(text.to_owned());
    proven(
        text,
        Connection {
            cluster,
            ..Connection::default()
        },
    )
}

fn database_name(text: &str) -> Result<String, String> {
    let database = text.to_owned();
    proven(
        text,
        Connection {
            database,
            ..Connection::default()
        },
    )
}

/// A text, where a connection that has it is without fault.
fn proven(text: &str, connection: Connection) -> Result<String, String> {
    match connection.faults().pop() {
        Some(fault) => Err(fault.trim_start_matches("clickhouse.").to_owned()),
        None => Ok(text.to_owned()),
    }
}

/// Runs `flowhouse schema`.
pub fn run(arguments: &SchemaArguments) -> Result<()> {
    match &arguments.action {
        Action::Print { database, cluster } => {
            let script = match cluster {
                None => schema::print(database),
                Some(cluster) => schema::print_cluster(database, cluster)?,
            };
            Ok(std::io::stdout().write_all(script.as_bytes())?)
        }
        Action::Status { store, json } => status(&store.connection()?, *json),
        Action::Apply { store } => apply(&store.connection()?),
    }
}

fn status(connection: &Connection, json: bool) -> Result<()> {
    let lines = runtime()?.block_on(async {
        let client = connection.reach().await?;
        schema::status(&client).await
    })?;
    let mut out = std::io::stdout().lock();
    if json {
        let rows = lines.iter().map(|l| {
            json!({
                "version": l.version, "name": l.name, "state": state(l.state), "applied_at": l.applied_at,
            })
        });
        writeln!(out, "{:#}", json!(rows.collect::<Vec<_>>()))?;
    } else {
        let name = |l: &schema::Line| match l.name {
            "" => "(of a newer flowhouse)",
            name => name,
        };
        let longest = lines.iter().map(|l| name(l).len()).max().unwrap_or(0);
        let width = longest.max("migration".len());
        writeln!(
            out,
            "{:<8} {:<width$} {:<8} applied at (UTC)",
            "version", "migration", "state"
        )?;
        for l in &lines {
            let name = name(l);
            let at = l.applied_at.as_deref().unwrap_or("-");
            writeln!(
                out,
                "{:<8} {name:<width$} {:<8} {at}",
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

fn apply(connection: &Connection) -> Result<()> {
    let form = Form::of(connection.cluster.as_deref());
    let done = runtime()?.block_on(async {
        let client = connection.reach().await?;
        schema::apply_as(&client, &form).await
    })?;
    for m in &done {
        say(format_args!("applied {}", m.name))?;
    }
    if done.is_empty() {
        say(format_args!(
            "nothing to do: the store has all {} migrations",
            schema::MIGRATIONS.len()
        ))?;
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
  flowhouse schema print --cluster main > flowhouse.sql
  flowhouse schema status --url https://clickhouse.example:8443 --user flowhouse \\
    --password-file /etc/flowhouse/password
  flowhouse schema apply -c /etc/flowhouse/flowhouse.toml
  flowhouse schema apply --password-file /var/lib/flowhouse/store/key";
