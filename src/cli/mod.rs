//! One file per subcommand: arguments to calls, results to text.

mod check;
mod connection;
mod demo;
mod detections;
mod exporters;
mod generate;
mod health;
mod hunt;
mod inspect;
mod packets;
mod reconciled;
mod replay;
mod report;
mod rule_costs;
mod rules;
mod run;
mod schema;
mod signatures;
mod size;
mod spool;
mod store;
mod text;
mod top;

use crate::config::Config;
use crate::ledger::Law;
use crate::secret::without_user_info;
use crate::sink::clickhouse::Connection;
use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    Run(run::RunArguments),
    Demo(demo::DemoArguments),
    Check(check::CheckArguments),
    Replay(Box<replay::ReplayArguments>),
    /// Print each record of capture files as it was sent.
    Inspect(inspect::InspectArguments),
    Top(Box<top::TopArguments>),
    Report(Box<report::ReportArguments>),
    Exporters(Box<exporters::ExportersArguments>),
    Detections(Box<detections::DetectionsArguments>),
    Hunt(hunt::HuntArguments),
    Rules(rules::RulesArguments),
    Schema(schema::SchemaArguments),
    Spool(spool::SpoolArguments),
    /// Send generated exports to a collector, or write them to a capture file.
    Generate(Box<generate::GenerateArguments>),
    Health(health::HealthArguments),
    Size(size::SizeArguments),
    /// The embedded ClickHouse.
    Store(Box<store::StoreArguments>),
}

/// Parses the arguments, runs the subcommand and maps its end to an exit code: 0 done, 1 failed, 2 wrong usage, 3 done
/// but for a part of what was asked.
pub fn main() -> ExitCode {
    match Arguments::parse_from(signatures::apart(std::env::args_os())).command {
        Command::Run(arguments) => done(run::run(&arguments)),
        Command::Demo(arguments) => done(demo::run(&arguments)),
        Command::Check(arguments) => done(check::run(&arguments)),
        Command::Replay(arguments) => done(replay::run(*arguments)),
        Command::Inspect(arguments) => done(inspect::run(&arguments)),
        Command::Top(arguments) => done(top::run(&arguments)),
        Command::Report(arguments) => done(report::run(&arguments)),
        Command::Exporters(arguments) => done(exporters::run(&arguments)),
        Command::Detections(arguments) => done(detections::run(&arguments)),
        Command::Hunt(arguments) => done(hunt::run(&arguments)),
        Command::Rules(arguments) => done(rules::run(&arguments)),
        Command::Schema(arguments) => done(schema::run(&arguments)),
        Command::Spool(arguments) => done(spool::run(&arguments)),
        Command::Generate(arguments) => done(generate::run(*arguments)),
        Command::Health(arguments) => done(health::run(&arguments)),
        Command::Size(arguments) => done(size::run(&arguments)),
        Command::Store(arguments) => done(store::run(*arguments)),
    }
}

fn done(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // whoever reads has seen enough
        Err(error) if is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("flowhouse: {}", with_causes(&error));
            let is_usage = error.chain().any(|cause| cause.is::<Usage>());
            let is_partly = error.chain().any(|cause| cause.is::<Partly>());
            match (is_usage, is_partly) {
                (true, _) => ExitCode::from(2),
                (_, true) => ExitCode::from(3),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

/// Whether standard output is gone: what else is written to says what it is.
fn is_closed(error: &anyhow::Error) -> bool {
    let written = error.downcast_ref::<std::io::Error>();
    written.is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe)
}

/// What was asked for cannot be meant: exit 2.
#[derive(Debug)]
struct Usage(String);

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// What was asked for is done, but for a part of it: exit 3.
#[derive(Debug)]
struct Partly(String);

impl std::fmt::Display for Partly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Partly {}

/// Prints a text and the end of its line. A reader that has enough (`| head`) is no fault.
fn say(text: impl std::fmt::Display) -> Result<()> {
    use std::io::{ErrorKind, Write};
    match writeln!(std::io::stdout(), "{text}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

/// An error and its causes, less those that it quotes itself.
fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.contains(&cause) {
            let colon = if text.is_empty() { "" } else { ": " };
            text += &format!("{colon}{cause}");
        }
    }
    text
}

/// Reads and proves the configuration; every fault is printed, with its place.
fn load_config(path: Option<&Path>) -> Result<Config> {
    match Config::load(path) {
        Ok(config) => Ok(config),
        Err(faults) => {
            let name = path.map_or_else(String::new, |p| p.display().to_string());
            for fault in &faults {
                let space = if fault.line == 0 { " " } else { "" };
                let said = format!("{name}:{space}{fault}");
                eprintln!("{}", without_user_info(&said));
            }
            bail!("the configuration has {} fault(s)", faults.len())
        }
    }
}

/// The store of the configuration, else the embedded one where it is by default, with its key.
fn default_connection(config: &Config) -> Connection {
    if let Some(connection) = &config.clickhouse {
        return connection.clone();
    }
    let data = config
        .store
        .data
        .clone()
        .unwrap_or_else(crate::store::settings::default_data_dir);
    let key_file = data.join("key");
    Connection {
        url: format!("http://{}", config.store.listen),
        password_file: key_file.exists().then_some(key_file),
        ..Connection::default()
    }
}

/// Sets a flag on SIGINT and SIGTERM.
fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Arc::new(AtomicBool::new(false));
    let flag = stop.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            if let (Ok(mut interrupt), Ok(mut terminate)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
            ) {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                flag.store(true, Ordering::Relaxed);
            }
        });
    });
    Ok(stop)
}

/// A bar over `bytes` on a terminal, nothing elsewhere.
fn progress(what: &'static str, bytes: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {bar:40} {bytes}/{total_bytes} {eta}");
    ProgressBar::new(bytes)
        .with_message(what)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// One line a law: `holds  datagrams received = routed + ...: 12 = 12`.
fn law_lines(laws: &[Law]) -> String {
    let line = |l: &Law| {
        let holds = if l.holds() { "holds " } else { "BROKEN" };
        format!("{holds}  {}: {} = {}", l.name, l.left, l.right)
    };
    laws.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Parses `30s`, `10m`, `2h`, `7d` into seconds.
fn duration_seconds(text: &str) -> Result<u64, String> {
    let fault = || format!("`{text}` is no duration: write 30s, 10m, 2h or 7d");
    let at = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let n: u64 = text[..at].parse().map_err(|_| fault())?;
    let unit = match &text[at..] {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(fault()),
    };
    n.checked_mul(unit).filter(|s| *s > 0).ok_or_else(fault)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// Every text below the options of a command and of what is below it.
    fn helps(command: &clap::Command) -> Vec<String> {
        let own = command.get_after_help().map(ToString::to_string);
        let below = command.get_subcommands().flat_map(helps);
        own.into_iter().chain(below).collect()
    }

    /// The words of a line of a shell, up to its first comment, pipe or redirection.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![];
        for (n, part) in line.split('\'').enumerate() {
            if n % 2 == 1 {
                words.push(part.to_owned());
                continue;
            }
            for word in part.split_whitespace() {
                if word.starts_with(['#', '|', '>']) {
                    return words;
                }
                words.push(word.to_owned());
            }
        }
        words
    }

    #[test]
    fn examples_of_the_help_parse_and_are_not_broken_in_print() {
        let mut tried = 0;
        for help in helps(&Arguments::command()) {
            for line in help.lines().filter(|l| l.starts_with(' ')) {
                assert!(line.chars().count() <= 100, "too long: {line}");
            }
            let whole = help.replace("\\\n", " ");
            for line in whole.lines().filter(|l| l.starts_with("  flowhouse ")) {
                let parsed = Arguments::try_parse_from(words(line));
                assert!(parsed.is_ok(), "{line}: {}", parsed.expect_err("a fault"));
                tried += 1;
            }
        }
        assert!(tried > 25, "{tried}");
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration_seconds("90s"), Ok(90));
        assert_eq!(duration_seconds("2h"), Ok(7_200));
        assert!(
            duration_seconds("2x").is_err()
                && duration_seconds("0").is_err()
                && duration_seconds("").is_err()
        );
    }
}
