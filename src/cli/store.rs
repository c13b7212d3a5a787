//! `flowhouse store`: serve the embedded ClickHouse, install its engine, ask it.

use crate::store::{self, library, settings::Settings};
use anyhow::Context;
use clap::{Args, Subcommand};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The embedded ClickHouse: serves ClickHouse's HTTP interface on loopback.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct StoreArguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    serve: ServeArguments,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Put the engine library where the store finds it
    #[command(
        after_help = "Examples:\n  flowhouse store install\n  flowhouse store install --from chdb_core-26.9.0.whl"
    )]
    Install(InstallArguments),
    /// Run one query against a running store and print the result
    #[command(
        after_help = "Examples:\n  flowhouse store sql 'SELECT count() FROM flowhouse.flows'\n  flowhouse store sql --format JSONEachRow 'SELECT * FROM flowhouse.exporters'"
    )]
    Sql(SqlArguments),
}

#[derive(Debug, Args)]
struct ServeArguments {
    /// Address to listen on; port 0 takes a free port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8123")]
    listen: SocketAddr,
    /// Folder for tables and keys [default: /var/lib/flowhouse/store for root, ~/.local/share/flowhouse/store for others]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Memory of the whole engine in bytes [default: half of the machine's, from 1 GiB to 8 GiB]
    #[arg(long, value_name = "BYTES")]
    memory_max: Option<u64>,
    /// Threads of one query [default: the number of processors]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Requests that run at the same time; others wait for their turn
    #[arg(long, value_name = "N", default_value_t = Settings::default().requests_max)]
    requests_max: usize,
    /// Requests that may wait; more are refused
    #[arg(long, value_name = "N", default_value_t = Settings::default().requests_waiting_max)]
    requests_waiting_max: usize,
    /// Largest data of one insert in bytes, after decompression
    #[arg(long, value_name = "BYTES", default_value_t = Settings::default().body_bytes_max)]
    body_bytes_max: u64,
    /// Data of all inserts that run together in bytes; more is refused for now (code 202)
    #[arg(long, value_name = "BYTES", default_value_t = Settings::default().spool_bytes_max)]
    spool_bytes_max: u64,
    /// Largest query text in bytes
    #[arg(long, value_name = "BYTES", default_value_t = Settings::default().query_bytes_max)]
    query_bytes_max: usize,
    /// Largest result in bytes, before compression
    #[arg(long, value_name = "BYTES", default_value_t = Settings::default().response_bytes_max)]
    response_bytes_max: u64,
    /// Engine library, or the folder it was installed in
    #[arg(long, value_name = "PATH")]
    library: Option<PathBuf>,
    /// Folder for spooled inserts [default: a private one below /dev/shm]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Account to change to when started as root [default: flowhouse, else nobody]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// A further name that requests may use as Host; may be repeated
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// Stop when standard input ends
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

#[derive(Debug, Args)]
struct InstallArguments {
    /// The wheel [default: one in the current folder or in target/wheels]
    #[arg(long, value_name = "WHEEL")]
    from: Option<PathBuf>,
    /// Folder to install in [default: /var/lib/flowhouse/lib for root, ~/.cache/flowhouse/lib for others]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct SqlArguments {
    /// The query
    query: String,
    /// Address of the running store
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8123")]
    address: String,
    /// Data folder of the running store: its key is there [default: as of `flowhouse store`]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Format of the result
    #[arg(long, value_name = "NAME", default_value = "PrettyCompact")]
    format: String,
}

/// Runs `flowhouse store`.
pub fn run(arguments: StoreArguments) -> anyhow::Result<()> {
    match arguments.action {
        None => {
            log_to_stderr();
            Ok(store::serve(arguments.serve.settings())?)
        }
        Some(Action::Install(install)) => {
            let dir = install.dir.unwrap_or_else(library::default_dir);
            let path = library::install(install.from.as_deref(), &dir)?;
            super::say(path.display())?;
            Ok(())
        }
        Some(Action::Sql(sql)) => {
            let data = sql.data.unwrap_or_else(store::settings::default_data_dir);
            let key = store::client_key(&data).with_context(|| {
                format!("cannot read the key of the store in {}", data.display())
            })?;
            Ok(store::client::query(
                &sql.address,
                &key,
                &sql.format,
                &sql.query,
                &mut std::io::stdout(),
            )?)
        }
    }
}

fn log_to_stderr() {
    let filter =
        tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(console::user_attended_stderr())
        .try_init();
}

impl ServeArguments {
    fn settings(self) -> Settings {
        let default = Settings::default();
        Settings {
            listen: self.listen,
            data: self.data.unwrap_or_else(|| default.data.clone()),
            scratch: self.scratch,
            library: self.library,
            user: self.user,
            hosts: self.hosts,
            memory_max: self.memory_max,
            threads_max: self.threads,
            requests_max: self.requests_max.max(1),
            requests_waiting_max: self.requests_waiting_max,
            query_bytes_max: self.query_bytes_max,
            body_bytes_max: self.body_bytes_max,
            spool_bytes_max: self.spool_bytes_max,
            response_bytes_max: self.response_bytes_max,
            stop_with_stdin: self.stop_with_stdin,
            ..default
        }
    }
}

const EXAMPLES: &str = "\
Examples:
  pip download --no-deps chdb-core==26.9.0
  flowhouse store install --from chdb_core-26.9.0-*.whl
  flowhouse store --listen 127.0.0.1:8123 --data /var/lib/flowhouse/store
  flowhouse store sql 'SELECT version()'
  curl -H \"X-ClickHouse-Key: $(cat /var/lib/flowhouse/store/key)\" \\
    --data 'SHOW TABLES FROM flowhouse' http://127.0.0.1:8123/

The store always asks for a key. The full key is in DIR/key, one that may only read
(for Grafana) in DIR/key.readonly.";
