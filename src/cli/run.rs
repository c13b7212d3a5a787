//! `flowhouse run`: the collector.

use crate::assemble::{
    Collector, Notifier, Opened, Origin, Progress, Totals, View, return_large_memory,
};
use crate::config::LogLevel;
use crate::rights;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receives flow export and writes it to ClickHouse until it is told to stop.
///
/// Works without a configuration: listens on UDP 2055, 4739 and 6343 and starts the embedded ClickHouse. SIGHUP reads the
/// configuration again. SIGTERM and SIGINT end it in order: what was received is delivered within `shutdown_grace_s`; a second
/// one ends it at once.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flowhouse run\n  flowhouse run -c /etc/flowhouse/flowhouse.toml --log json\n  flowhouse run --user flowhouse"
)]
pub struct RunArguments {
    /// Configuration
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Form of the log on standard error; RUST_LOG sets what is logged
    #[arg(long, value_enum, default_value_t = LogForm::Text)]
    pub log: LogForm,
    /// Account to become when started as root, in place of `[privileges] user` [default: flowhouse, if there is one]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogForm {
    /// A line for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Longest time between two looks at the threads.
const LOOK: Duration = Duration::from_millis(500);

/// Time between two lines for the service manager.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// What a stop may take beside the grace period: sockets are drained and the store ends.
const STOP_MORE: Duration = Duration::from_secs(30);

/// Runs the subcommand.
///
/// # Errors
/// When something cannot be opened, a thread that must run has ended, or the schema of the store is newer than this program.
pub fn run(arguments: &RunArguments) -> Result<()> {
    rights::keep_to_group();
    return_large_memory();
    let notifier = Arc::new(Notifier::from_environment());
    let set_level = log(arguments.log, "info");
    let mut config = super::load_config(arguments.config.as_deref())?;
    if arguments.user.is_some() {
        config.privileges.user.clone_from(&arguments.user);
    }
    set_level(config.log_level);
    let file = arguments.config.as_deref().map(std::path::absolute);
    let origin = Origin {
        file: file.transpose()?,
        log: Some(set_level),
        notifier: notifier.clone(),
    };
    let opened = Opened::open(&config, origin)?;
    opened.give_up_rights()?;
    let state_dir = opened.state_dir().to_owned();
    // no thread before this line: rights belong to threads
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let signals = {
        let _entered = runtime.enter();
        Signals::new()?
    };
    let collector = Collector::start(opened)?;
    tracing::info!("ready: receiving");
    notifier.ready("receiving");
    let result = runtime.block_on(supervise(collector, signals, &notifier, &state_dir));
    // after a second signal the threads are left to the end of the process
    runtime.shutdown_background();
    result
}

/// Sends the log to standard error.
pub fn log_to_stderr_from(level: &str) {
    drop(log(LogForm::Text, level));
}

/// Starts the log; the answer changes what is logged, unless RUST_LOG says it.
fn log(form: LogForm, level: &str) -> Box<dyn Fn(LogLevel) + Send + Sync> {
    use tracing_subscriber::EnvFilter;
    let told = EnvFilter::try_from_default_env();
    let fixed = told.is_ok();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(told.unwrap_or_else(|_| filter(level)))
        .with_writer(std::io::stderr)
        .with_target(false);
    // a second call (a test) finds the log set up already
    macro_rules! start {
        ($builder:expr) => {{
            let builder = $builder.with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            Box::new(move |level: LogLevel| {
                if !fixed && let Err(error) = handle.reload(filter(level.name())) {
                    tracing::warn!("the log level stays as it is: {error}");
                }
            })
        }};
    }
    match form {
        LogForm::Text => start!(builder.with_ansi(false)),
        LogForm::Json => start!(builder.json()),
    }
}

/// What is logged at a level. The crate that asks exporters speaks of each one that is silent as an error of its own; ours says so once,
/// with its place and a cure.
fn filter(level: &str) -> tracing_subscriber::EnvFilter {
    tracing_subscriber::EnvFilter::new(format!("{level},async_snmp=off"))
}

/// The signals that mean something to a collector.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> Result<Signals> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next signal; whether it means the end.
    async fn next_ends(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => true,
            _ = self.hangup.recv() => false,
        }
    }

    /// Waits for a signal to end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
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

/// Runs the collector until a signal ends it, or a thread that must run has ended.
async fn supervise(
    mut collector: Collector,
    mut signals: Signals,
    notifier: &Arc<Notifier>,
    state_dir: &Path,
) -> Result<()> {
    let watch = Watch::start(collector.view().clone(), notifier.clone())?;
    let ended = loop {
        tokio::select! {
            ends = signals.next_ends() => {
                if ends {
                    break Ended::Told;
                }
                let reloader = collector.view().reloader().clone();
                // it logs what came of it
                drop(tokio::task::spawn_blocking(move || reloader.reload()));
            }
            () = tokio::time::sleep(LOOK) => {
                collector.tend();
                if collector.is_broken() {
                    break Ended::Broken;
                }
                if let Some(why) = collector.refusal() {
                    tracing::error!("ending: {why}");
                    break Ended::Refused(why.to_owned());
                }
            }
        }
    };
    drop(watch);
    stop(collector, signals, notifier, state_dir).await?;
    match ended {
        Ended::Told => Ok(()),
        Ended::Broken => bail!("a thread ended while it should run; see the log above"),
        Ended::Refused(why) => bail!("refusing to run: {why}"),
    }
}

/// Ends in order, or at once when a second signal says so.
async fn stop(
    collector: Collector,
    mut signals: Signals,
    notifier: &Notifier,
    state_dir: &Path,
) -> Result<()> {
    let view = collector.view().clone();
    let grace = view.reloader().grace();
    tracing::info!(
        "stopping: delivering what was received, {} s at most",
        grace.as_secs()
    );
    notifier.stopping(grace + STOP_MORE);
    let mut ending = tokio::task::spawn_blocking(move || collector.stop());
    let (totals, store) = loop {
        tokio::select! {
            ended = &mut ending => break ended.context("the end was cut short")?,
            () = signals.end() => {
                let totals = view.totals();
                report(&totals, state_dir)?;
                bail!("ended at once by a second signal: {} rows were not delivered", totals.gauges.rows_open);
            }
            () = tokio::time::sleep(LOOK) => notifier.alive(),
        }
    };
    report(&totals, state_dir)?;
    if let Some(store) = store {
        store.stop()?;
    }
    if !totals.in_order {
        bail!("a thread panicked: the log says which; rows that it held may be lost");
    }
    Ok(())
}

/// What the service manager hears now and then.
struct Watch {
    view: Arc<View>,
    progress: Progress,
    told_at: Instant,
    stuck: Vec<String>,
}

impl Watch {
    /// Looks from a thread of its own until the answer is dropped: a store that is started again takes its time.
    fn start(view: Arc<View>, notifier: Arc<Notifier>) -> Result<Sender<()>> {
        let (stop, stopped) = bounded::<()>(0);
        let every = notifier.watchdog().map_or(LOOK, |w| (w / 4).min(LOOK));
        let mut watch = Watch {
            view,
            progress: Progress::default(),
            told_at: Instant::now(),
            stuck: vec![],
        };
        let work = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(every) {
                watch.look(&notifier);
            }
        };
        std::thread::Builder::new()
            .name("watch".into())
            .spawn(work)?;
        Ok(stop)
    }

    /// A sign of life when every thread of the data path has moved since the last one, and now and then a line.
    fn look(&mut self, notifier: &Notifier) {
        let stuck = self.progress.stuck(&self.view.paces());
        if stuck.is_empty() {
            notifier.alive();
        }
        if self.told_at.elapsed() < STATUS_EVERY {
            return;
        }
        self.told_at = Instant::now();
        if stuck.is_empty() {
            let rows = self.view.sink().rows_acknowledged;
            notifier.status(&format!("receiving; {rows} rows delivered since the start"));
        } else if stuck != self.stuck {
            tracing::error!("no progress in {}", stuck.join(", "));
            notifier.status(&format!("no progress in {}", stuck.join(", ")));
        }
        self.stuck = stuck;
    }
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

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn the_crate_that_asks_exporters_is_not_heard() {
        for level in ["error", "info", "trace"] {
            let log = tracing_subscriber::fmt().with_env_filter(filter(level));
            let log = log.with_writer(std::io::sink).finish();
            tracing::subscriber::with_default(log, || {
                assert!(!tracing::enabled!(target: "async_snmp::client", tracing::Level::ERROR));
                assert!(tracing::enabled!(target: "flowhouse::snmp", tracing::Level::ERROR));
            });
        }
    }
}
