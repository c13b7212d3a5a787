//! `flowhouse run`: the collector.

use crate::assemble::{Collector, Totals, state_dir};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Receives flow export and writes it to ClickHouse until it is told to stop.
///
/// Works without a configuration: listens on UDP 2055, 4739 and 6343 and starts the embedded ClickHouse. SIGTERM and SIGINT
/// end it in order: what was received is delivered within `shutdown_grace_s`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flowhouse run\n  flowhouse run -c /etc/flowhouse/flowhouse.toml --log json"
)]
pub struct RunArguments {
    /// Configuration
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Form of the log on standard error; RUST_LOG sets what is logged
    #[arg(long, value_enum, default_value_t = LogForm::Text)]
    pub log: LogForm,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogForm {
    /// A line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Time between two looks at the threads.
const LOOK: Duration = Duration::from_millis(500);

/// Runs the subcommand.
///
/// # Errors
/// When something cannot be opened, a thread that must run has ended, or the schema of the store is newer than this program.
pub fn run(arguments: &RunArguments) -> Result<()> {
    log(arguments.log, "info");
    let config = super::load_config(arguments.config.as_deref())?;
    let mut collector = Collector::start(&config)?;
    tracing::info!("ready: receiving");
    let ended = wait(&mut collector)?;
    let (totals, store) = collector.stop();
    report(&totals, &state_dir(&config))?;
    if let Some(store) = store {
        store.stop()?;
    }
    match ended {
        Ended::Told => Ok(()),
        Ended::Broken => bail!("a thread ended while it should run; see the log above"),
        Ended::Refused(why) => bail!("refusing to run: {why}"),
    }
}

/// Sends the log to standard error.
pub fn log_to_stderr_from(level: &str) {
    log(LogForm::Text, level);
}

fn log(form: LogForm, level: &str) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| level.into());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    // a second call (a test) finds the log set up already
    let _ = match form {
        LogForm::Text => builder.with_ansi(false).try_init(),
        LogForm::Json => builder.json().try_init(),
    };
}

/// Why the collector has to end.
enum Ended {
    /// By a signal.
    Told,
    /// A thread has ended that must run.
    Broken,
    /// The store must not be written to.
    Refused(String),
}

/// Waits for a signal, for a thread that ends, or for a store that must not be written to.
fn wait(collector: &mut Collector) -> Result<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        loop {
            tokio::select! {
                _ = terminate.recv() => return Ok(Ended::Told),
                _ = interrupt.recv() => return Ok(Ended::Told),
                () = tokio::time::sleep(LOOK) => {
                    collector.tend();
                    if collector.is_broken() {
                        return Ok(Ended::Broken);
                    }
                    if let Some(why) = collector.refusal() {
                        tracing::error!("ending: {why}");
                        return Ok(Ended::Refused(why.to_owned()));
                    }
                }
            }
        }
    })
}

/// Logs the laws and leaves the final ledger in the state directory.
pub fn report(totals: &Totals, state_dir: &std::path::Path) -> Result<()> {
    for law in totals.laws() {
        let (left, right) = (law.left, law.right);
        match law.holds() {
            true => tracing::info!("ledger: {}: {left} = {right}", law.name),
            false => tracing::error!("ledger BROKEN: {}: {left} is not {right}", law.name),
        }
    }
    let path = state_dir.join("ledger.json");
    std::fs::write(&path, format!("{:#}\n", totals.json()))
        .with_context(|| format!("cannot write {}", path.display()))
}
