//! `flowhouse check`: everything that would stop `run`, found before it does.

use super::text;
use crate::assemble::{StateDirectory, refuse_budget, spool_dir, state_dir};
use crate::config::{Config, Fault};
use crate::control::{self, Rules};
use crate::receive;
use crate::rights::Change;
use crate::sink::clickhouse::{Connection, Endpoints};
use crate::sink::schema;
use crate::sink::spool::{Mode, files, free_bytes, limit};
use crate::store::library;
use anyhow::{Context, Result, bail};
use clap::Args;
use nix::unistd::AccessFlags;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Proves a configuration: every fault with file, line and cure; exit 1 if there is any.
///
/// Checks the file, that the listeners and the HTTP side can be opened, that the state directory can be locked and the spool be written, that ClickHouse answers with a schema
/// that fits, and, where no ClickHouse is named, that the embedded one can be started. Changes nothing but an empty state
/// directory. Beside a running collector it leaves alone what that holds: its sockets, its state and its embedded store.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flowhouse check -c /etc/flowhouse/flowhouse.toml\n  flowhouse check --offline -c flowhouse.toml   # the file alone"
)]
pub struct CheckArguments {
    /// Configuration
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Check the file alone: open no socket, ask no store
    #[arg(long)]
    pub offline: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// When there is a fault.
pub fn run(arguments: &CheckArguments) -> Result<()> {
    let config = super::load_config(arguments.config.as_deref())?;
    let mut report = Report::of(arguments.config.as_deref());
    let name = report.file.as_ref();
    let name = name.map_or("defaults".into(), |p| p.display().to_string());
    report.tell("configuration", "", Ok(name))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shards = config.shard.shards_for(cores);
    let fits = refuse_budget(&config, shards).map(|()| format!("fits, {shards} shard(s)"));
    report.tell("memory", "", fits)?;
    if !config.control.listen.ip().is_loopback() && !config.control.has_key() {
        super::say("warn   control.listen is open to the network and asks for no key: everybody may look, and nothing can be changed through it; control.token_file or control.tls_client_ca_file lets you".to_owned())?;
    }
    if arguments.offline {
        report.tell("spool", "spool.free_bytes_min", floor(&config))?;
        // the files that it names are looked at in any case
        if let Some(c) = &config.clickhouse {
            let proven = c.prove().map(|()| "not asked".into()).map_err(Into::into);
            report.tell("store", "clickhouse.url", proven)?;
        }
    } else {
        report.tell("account", "privileges.user", account(&config))?;
        report.tell("control", "control.listen", control(&config))?;
        let directory = state_dir(&config);
        let held = StateDirectory::is_held(&directory);
        if held {
            super::say(format!(
                "warn   a collector runs on {}: its sockets, its state and its embedded store are its own and not tried",
                directory.display()
            ))?;
        } else {
            report.tell("listeners", "receive.listeners", listeners(&config))?;
            let metrics = control::Server::bind(&config.control);
            let metrics = metrics.map(|s| s.address().to_string());
            report.tell("metrics", "control.listen", metrics.map_err(Into::into))?;
            let state = StateDirectory::open(&directory);
            let state = state.map(|d| d.path().display().to_string());
            report.tell("state directory", "state_dir", state)?;
        }
        let room = floor(&config).and_then(|_| spool(&config));
        report.tell("spool", "spool.directory", room)?;
        let key = match &config.clickhouse {
            Some(_) => "clickhouse.url",
            None => "store.listen",
        };
        report.tell("store", key, store(&config, held))?;
    }
    match report.faults {
        0 => Ok(()),
        n => bail!("{n} fault(s)"),
    }
}

/// What was found, with the places in the file.
struct Report {
    file: Option<PathBuf>,
    text: String,
    faults: usize,
}

impl Report {
    fn of(file: Option<&Path>) -> Report {
        let text = file.and_then(|f| std::fs::read_to_string(f).ok());
        Report {
            file: file.map(Path::to_owned),
            text: text.unwrap_or_default(),
            faults: 0,
        }
    }

    /// Tells how a check ended; a fault that names neither a key nor a value of the file stands where `key` does.
    fn tell(&mut self, what: &str, key: &str, result: Result<String>) -> Result<()> {
        match result {
            Ok(text) => super::say(format!("ok     {what}: {text}")),
            Err(error) => {
                self.faults += 1;
                let said = self.placed(key, super::with_causes(&error));
                super::say(format!("FAULT  {what}: {said}"))
            }
        }
    }

    fn placed(&self, key: &str, said: String) -> String {
        let Some(file) = &self.file else {
            return said;
        };
        let table = key.split('.').next().unwrap_or_default();
        let quoted: Vec<String> = said.split('`').map(str::to_owned).collect();
        let mut fault = Fault::of(said).placed(&self.text);
        for named in quoted.iter().skip(1).step_by(2) {
            fault = fault.at_key(&self.text, named);
        }
        let fault = fault.at_value(&self.text);
        let fault = fault.at_key(&self.text, key).at_key(&self.text, table);
        let space = if fault.line == 0 { " " } else { "" };
        format!("{}:{space}{fault}", file.display())
    }
}

/// Whether the free-space floor can be kept at all on the file system of the spool.
fn floor(config: &Config) -> Result<String> {
    if config.sink.kind.discards() || config.spool.mode == Mode::Off {
        return Ok("off: a kill costs the rows in memory".into());
    }
    let directory = spool_dir(config, &state_dir(config));
    let place = nearest(&directory);
    let system = nix::sys::statvfs::statvfs(place)
        .with_context(|| format!("cannot ask how large the disk of {} is", place.display()))?;
    let size = system.blocks().saturating_mul(system.fragment_size());
    let keep = config.spool.free_bytes_min;
    if keep >= size {
        let [size, keep] = [size, keep].map(|n| text::bytes(n as f64));
        bail!(
            "spool.free_bytes_min keeps {keep} free, and all of the disk of {} is {size}: nothing could be spooled; lower it, or choose \
             another `spool.directory`",
            place.display()
        );
    }
    Ok(directory.display().to_string())
}

/// The folder, or the one above it that is there.
fn nearest(folder: &Path) -> &Path {
    let there = |p: &&Path| p.exists();
    folder.ancestors().find(there).unwrap_or(Path::new("."))
}

/// Who the collector would become, were it started as who runs this.
fn account(config: &Config) -> Result<String> {
    Ok(match Change::of(&config.privileges)? {
        Change::To(account) => format!("becomes {} after its sockets are open", account.name()),
        Change::Stay => "stays who it is started as".into(),
        Change::StayRoot => "stays root, as told".into(),
        Change::NoAccount => {
            super::say(
                "warn   there is no user flowhouse: started as root the collector would stay root (`useradd --system --no-create-home flowhouse`)",
            )?;
            "stays root".into()
        }
    })
}

fn control(config: &Config) -> Result<String> {
    Rules::read(&config.control)?;
    let key = match config.control.has_key() {
        true => "changes need a key",
        false if config.control.listen.ip().is_loopback() => "changes by anybody on this machine",
        false => "no changes",
    };
    Ok(format!("{}, {key}", config.control.listen))
}

fn listeners(config: &Config) -> Result<String> {
    let listeners = receive::bind(&config.receive)?;
    for warning in listeners.iter().flat_map(receive::Listener::warnings) {
        super::say(format!("warn   {warning}"))?;
    }
    let addresses: Vec<String> = listeners.iter().map(|l| l.address().to_string()).collect();
    Ok(addresses.join(", "))
}

/// Whether bundles can be written, and how many bytes of them.
fn spool(config: &Config) -> Result<String> {
    let settings = &config.spool;
    if config.sink.kind.discards() || settings.mode == Mode::Off {
        return Ok("off: a kill costs the rows in memory".into());
    }
    let directory = spool_dir(config, &state_dir(config));
    let nearest = nearest(&directory);
    let place = nearest.display();
    let may = AccessFlags::W_OK | AccessFlags::X_OK;
    nix::unistd::access(nearest, may).with_context(|| {
        format!("cannot write to {place}: give it to who runs the collector, or set another `spool.directory`")
    })?;
    let free =
        free_bytes(nearest).with_context(|| format!("cannot ask what is free in {place}"))?;
    let used: u64 = files(&directory).iter().map(|f| f.1).sum();
    let limit = limit(settings, used, free);
    let [free, limit_text, most, floor] =
        [free, limit, settings.bytes_max, settings.free_bytes_min].map(|n| text::bytes(n as f64));
    if limit <= used {
        bail!(
            "no room: {place} has {free} free, and `spool.free_bytes_min` keeps {floor}: make room, or choose another `spool.directory`"
        );
    }
    if limit < settings.bytes_max {
        super::say(format!(
            "warn   spool: the disk has room for {limit_text}, not for the {most} of `spool.bytes_max`: rows are shed earlier"
        ))?;
    }
    Ok(format!("{}, up to {limit_text}", directory.display()))
}

fn store(config: &Config, held: bool) -> Result<String> {
    let Some(connection) = &config.clickhouse else {
        let data = config
            .store
            .data
            .clone()
            .unwrap_or_else(crate::store::settings::default_data_dir);
        let listen = config.store.listen;
        if !held {
            TcpListener::bind(listen).with_context(|| {
                format!("cannot listen on {listen}: choose another `store.listen` (ss -ltnp shows who listens)")
            })?;
        }
        let library = library::find(config.store.library.as_deref(), &data)?;
        return Ok(format!(
            "embedded, engine {}, data {}",
            library.display(),
            data.display()
        ));
    };
    connection.prove()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(asked(connection, config.schema_apply))
}

/// What the endpoints and the tables in them say.
async fn asked(connection: &Connection, apply: bool) -> Result<String> {
    let states = Endpoints::new(connection, Arc::default())?.survey().await;
    let up = states.iter().filter(|s| s.state == "up").count();
    for s in states.iter().filter(|s| s.state != "up") {
        let why = s.why.as_deref().unwrap_or("no answer");
        let shard_is_up = states.iter().any(|o| o.shard == s.shard && o.state == "up");
        if s.state == "refused" || !shard_is_up {
            bail!("{}: {why}", s.url);
        }
        super::say(format!("warn   store: {}: {why}", s.url))?;
    }
    let client = connection.reach().await?;
    let lines = schema::status(&client).await?;
    if let Some(line) = lines
        .iter()
        .find(|l| matches!(l.state, schema::State::Changed | schema::State::Unknown))
    {
        let (version, state) = (line.version, line.state);
        bail!(
            "migration {version:04} is {state:?}: this flowhouse does not fit the schema; run the one that made it, or name another \
             `clickhouse.database`"
        );
    }
    let pending = lines
        .iter()
        .filter(|l| l.state == schema::State::Pending)
        .count();
    if pending == 0 {
        let form = schema::Form::of(connection.cluster.as_deref());
        schema::check_as(&client, &form).await?;
    }
    if pending > 0 && !apply {
        bail!(
            "schema_apply is false and {pending} migration(s) are pending: run `flowhouse schema apply` with this configuration"
        );
    }
    if pending > 0 && !connection.can_apply() {
        bail!(
            "{pending} migration(s) pending; on several endpoints they are applied only in the form for a cluster: set \
             clickhouse.cluster, or make the tables yourself, replicated"
        );
    }
    let place = connection.place();
    Ok(format!(
        "{place}: {up} of {} endpoint(s) answer, {pending} migration(s) pending",
        states.len()
    ))
}
