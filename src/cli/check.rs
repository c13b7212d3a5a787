//! `flowhouse check`: everything that would stop `run`, found before it does.

use super::text;
use crate::assemble::findings::host;
use crate::assemble::rules::summary;
use crate::assemble::{StateDirectory, refuse_budget, spool_dir, state_dir};
use crate::config::{Config, Fault, bytes_of};
use crate::control::{self, Rules};
use crate::notify::Notifier;
use crate::receive;
use crate::rights::{self, Account, Change};
use crate::secret::without_user_info;
use crate::sink::clickhouse::{Connection, Endpoints};
use crate::sink::schema;
use crate::sink::spool::{Mode, files, free_bytes, is_taken, limit, now_ms};
use crate::store::library;
use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use nix::unistd::AccessFlags;
use serde_json::{Value, json};
use std::fmt::Display;
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
    after_help = "Examples:\n  flowhouse check -c /etc/flowhouse/flowhouse.toml\n  flowhouse check --offline -c flowhouse.toml   # no network\n  flowhouse check --json | jq '.findings[] | select(.state == \"fault\")'"
)]
pub struct CheckArguments {
    /// Configuration
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Prove what needs no network: the file, the keys and certificates that it names, the accounts; open no socket, ask no store
    #[arg(long)]
    pub offline: bool,
    /// What was found as JSON: `findings` with `state` (ok, warn, fault), `what` and `text`, and how many are `faults`
    #[arg(long)]
    pub json: bool,
}

/// Runs the subcommand.
///
/// # Errors
/// When there is a fault.
pub fn run(arguments: &CheckArguments) -> Result<()> {
    rights::keep_to_group();
    let file = arguments.config.as_deref();
    let mut report = Report::of(file, arguments.json);
    let (config, faults) = Config::read(file);
    let of_store = |f: &Fault| f.is_of(&report.text, "clickhouse");
    let ask = !arguments.offline && !faults.iter().any(of_store);
    for fault in &faults {
        let name = file.map_or_else(String::new, |p| p.display().to_string());
        let space = if fault.line == 0 { " " } else { "" };
        report.say(
            State::Fault,
            "configuration",
            format!("{name}:{space}{fault}"),
        )?;
    }
    if let Some(config) = config {
        let name = file.map_or("defaults".into(), |p| p.display().to_string());
        if faults.is_empty() {
            report.tell("configuration", "", Ok(name))?;
            look(&config, arguments.offline, &mut report)?;
        } else {
            keys_and_accounts(&config, arguments.offline, &mut report)?;
        }
        let told = |text: &String| faults.iter().any(|f| f.message.contains(text));
        let connection = config.clickhouse.iter().flat_map(Connection::faults);
        // what another fault kept from being proven: an address with a password in it, perhaps
        let untold: Vec<String> = connection.filter(|text| !told(text)).collect();
        let ask = ask && untold.is_empty();
        for fault in untold {
            report.tell("configuration", "clickhouse", Err(anyhow!(fault)))?;
        }
        store(&config, ask, &mut report)?;
    }
    report.end()?;
    match report.faults {
        0 => Ok(()),
        n => bail!("{n} fault(s)"),
    }
}

/// What needs nothing but this machine's accounts and the files that are named: a configuration with faults may have them, too.
fn keys_and_accounts(config: &Config, offline: bool, report: &mut Report) -> Result<()> {
    let account = account(config, offline, report);
    report.tell("account", "privileges.user", account)?;
    report.tell("control", "control.listen", control(config))?;
    if !config.snmp.access.is_empty() {
        report.tell("SNMP", "snmp.access", snmp(config))?;
    }
    // targets with faults are told already
    if !config.notify.targets.is_empty() && config.notify.faults().is_empty() {
        report.tell("notify", "notify.targets", notify(config))?;
    }
    Ok(())
}

/// Everything but the store that can be looked at with a configuration that is no fault itself.
fn look(config: &Config, offline: bool, report: &mut Report) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let shards = config.shard.shards_for(cores);
    let fits = refuse_budget(config, shards).map(|()| format!("fits, {shards} shard(s)"));
    report.tell("memory", "", fits)?;
    if !config.control.listen.ip().is_loopback() && !config.control.has_key() {
        report.warn("control", "control.listen is open to the network and asks for no key: everybody may look, and nothing can be changed through it; control.token_file or control.tls_client_ca_file lets you")?;
    }
    for doubt in config.enrich.doubts() {
        report.warn("names", doubt)?;
    }
    for doubt in config.doubts_of_applications() {
        report.warn("detectors", doubt)?;
    }
    for doubt in config.detect.policy.doubts() {
        report.warn("detectors", doubt)?;
    }
    let over = config
        .suppressions
        .iter()
        .filter(|s| s.until_ms() <= now_ms());
    for s in over {
        report.warn(
            "suppressions",
            format!(
                "{} hides nothing any more: it was to end on {}",
                s.name, s.until
            ),
        )?;
    }
    keys_and_accounts(config, offline, report)?;
    if !config.signatures.rules.is_empty() {
        let rules = rules(config, report);
        report.tell("rules", "signatures.rules", rules)?;
    }
    if offline {
        return report.tell("spool", "spool.free_bytes_min", floor(config));
    }
    let directory = state_dir(config);
    if StateDirectory::is_held(&directory) {
        report.warn("collector", format!(
            "a collector runs on {}: its sockets, its state and its embedded store are its own and not tried",
            directory.display()
        ))?;
    } else {
        let listeners = listeners(config, report);
        report.tell("listeners", "receive.listeners", listeners)?;
        if config.capture.shards_all(1) > 0 {
            report.tell("capture", "capture.interfaces", capture(config))?;
        }
        // the files that the rules name are told already
        if Rules::read(&config.control).is_ok() {
            let metrics = control::Server::bind(&config.control);
            let metrics = metrics.map(|s| s.address().to_string());
            report.tell("metrics", "control.listen", metrics.map_err(Into::into))?;
        }
        let state = StateDirectory::open(&directory);
        let state = state.map(|d| d.path().display().to_string());
        report.tell("state directory", "state_dir", state)?;
    }
    let room = floor(config).and_then(|_| spool(config, report));
    report.tell("spool", "spool.directory", room)
}

/// What was found, with the places in the file.
struct Report {
    file: Option<PathBuf>,
    text: String,
    faults: usize,
    /// For the end, where it is to be JSON.
    found: Option<Vec<Value>>,
}

/// How a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    Warn,
    Fault,
}

impl Report {
    fn of(file: Option<&Path>, json: bool) -> Report {
        let text = file.and_then(|f| String::from_utf8(bytes_of(f).ok()?).ok());
        Report {
            file: file.map(Path::to_owned),
            text: text.unwrap_or_default(),
            faults: 0,
            found: json.then(Vec::new),
        }
    }

    /// Says what was found: a line now, or a part of the whole at the end.
    fn say(&mut self, state: State, what: &str, text: impl Display) -> Result<()> {
        let text = text.to_string();
        let text = without_user_info(&text);
        self.faults += usize::from(state == State::Fault);
        let word = ["ok", "warn", "fault"][state as usize];
        let Some(found) = &mut self.found else {
            return match state {
                State::Ok => super::say(format!("ok     {what}: {text}")),
                State::Warn => super::say(format!("warn   {text}")),
                State::Fault => super::say(format!("FAULT  {what}: {text}")),
            };
        };
        found.push(json!({"state": word, "what": what, "text": text}));
        Ok(())
    }

    fn warn(&mut self, what: &str, text: impl Display) -> Result<()> {
        self.say(State::Warn, what, text)
    }

    fn end(&mut self) -> Result<()> {
        let faults = self.faults;
        match self.found.take() {
            Some(found) => super::say(format!(
                "{:#}",
                json!({"findings": found, "faults": faults})
            )),
            None => Ok(()),
        }
    }

    /// Tells how a check ended; a fault that names neither a key nor a value of the file stands where `key` does.
    fn tell(&mut self, what: &str, key: &str, result: Result<String>) -> Result<()> {
        match result {
            Ok(text) => self.say(State::Ok, what, text),
            Err(error) => {
                let said = self.placed(key, super::with_causes(&error));
                self.say(State::Fault, what, said)
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

/// Whether rules load, and which do not.
fn rules(config: &Config, report: &mut Report) -> Result<String> {
    let fault = |why: String| anyhow!("signatures.rules: {why}");
    let loaded = config.signatures.files().load_whole().map_err(fault)?;
    if config.capture.shards_all(1) == 0 {
        report.warn("rules", "signatures.rules: no interface is captured and no folder is watched, so there are no packets to match")?;
    }
    let (refused, never) = (&loaded.set.refused, loaded.set.report().warnings);
    let never = never.iter().filter(|w| w.never_fires).count();
    let notes = loaded.notes.iter().cloned();
    let first = refused.iter().take(REFUSED_SHOWN).map(ToString::to_string);
    for text in notes.chain(first) {
        report.warn("rules", text)?;
    }
    let more = match never {
        0 => String::new(),
        n => format!(", {n} reasons why a rule can never fire"),
    };
    let summary = summary(&loaded.set);
    Ok(format!(
        "{summary}{more} (`flowhouse rules check` has all of it)"
    ))
}

/// Refused rules that are named one by one.
const REFUSED_SHOWN: usize = 10;

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

/// Whether all secrets are there. Exporters are not asked: they may answer the collector alone.
fn snmp(config: &Config) -> Result<String> {
    crate::snmp::prove(&config.snmp)?;
    let (n, interval_s) = (config.snmp.access.len(), config.snmp.interval_s);
    Ok(format!("{n} access(es), asked every {interval_s} s"))
}

/// Whether every target could be told: its address, and the files with its secret and its authority. Nobody is told anything.
fn notify(config: &Config) -> Result<String> {
    let targets = &config.notify.targets;
    Notifier::prove(targets, &host()).map_err(anyhow::Error::msg)?;
    Ok(format!("{} target(s)", targets.len()))
}

/// Who the collector would become, were it started as who runs this.
fn account(config: &Config, offline: bool, report: &mut Report) -> Result<String> {
    let (user, group) = (&config.privileges.user, &config.privileges.group);
    if let Some(user) = user {
        Account::named(user, group.as_deref())?;
    }
    let change = match Change::of(&config.privileges) {
        // who looks at a file is not who starts the collector
        Err(rights::Error::NotRoot { wanted, .. }) if offline => {
            return Ok(format!("becomes {wanted} when started as root"));
        }
        change => change?,
    };
    Ok(match change {
        Change::To(account) => format!("becomes {} after its sockets are open", account.name()),
        Change::Stay => "stays who it is started as".into(),
        Change::StayRoot => "stays root, as told".into(),
        Change::NoAccount => {
            report.warn(
                "account",
                "there is no user flowhouse: started as root the collector would stay root (`useradd --system --no-create-home flowhouse`)",
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

fn listeners(config: &Config, report: &mut Report) -> Result<String> {
    let listeners = receive::bind(&config.receive)?;
    for warning in listeners.iter().flat_map(receive::Listener::warnings) {
        report.warn("listeners", warning)?;
    }
    let addresses: Vec<String> = listeners.iter().map(|l| l.address().to_string()).collect();
    Ok(addresses.join(", "))
}

/// Whether every interface can be opened, and the folder read.
fn capture(config: &Config) -> Result<String> {
    let taps = receive::capture::open(&config.capture)?;
    let mut names: Vec<String> = taps.iter().map(|t| t.name().to_owned()).collect();
    if let Some(folder) = &config.capture.watch_directory {
        let named = folder.display().to_string();
        std::fs::read_dir(folder)
            .with_context(|| format!("capture.watch_directory: cannot read {named}"))?;
        names.push(named);
    }
    Ok(names.join(", "))
}

/// Whether bundles can be written, and how many bytes of them.
fn spool(config: &Config, report: &mut Report) -> Result<String> {
    let settings = &config.spool;
    let directory = spool_dir(config, &state_dir(config));
    if config.sink.kind.discards() || settings.mode == Mode::Off {
        let left = files(&directory).len();
        if left > 0 {
            report.warn("spool", format!(
                "spool: {left} bundles of an earlier run in {} are not delivered: start once with `spool.mode = \"overflow\"`",
                directory.display()
            ))?;
        }
        return Ok("off: a kill costs the rows in memory".into());
    }
    if is_taken(&directory) {
        report.warn("spool", format!(
            "spool: a process uses {}: the running collector of this configuration, or stop it, or set another `spool.directory`",
            directory.display()
        ))?;
    }
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
        report.warn("spool", format!(
            "spool: the disk has room for {limit_text}, not for the {most} of `spool.bytes_max`: rows are shed earlier"
        ))?;
    }
    Ok(format!("{}, up to {limit_text}", directory.display()))
}

/// Everything that is wrong with the store; it is asked where `ask` says so.
fn store(config: &Config, ask: bool, report: &mut Report) -> Result<()> {
    let (key, found) = match &config.clickhouse {
        Some(connection) => ("clickhouse.url", outer(connection, config, ask, report)?),
        None if ask => ("store.listen", embedded(config)),
        None => return Ok(()),
    };
    match found {
        Ok(text) => report.tell("store", key, Ok(text)),
        Err(faults) => faults
            .into_iter()
            .try_for_each(|fault| report.tell("store", key, Err(fault))),
    }
}

/// What the store says, or all that is wrong.
type Found = Result<String, Vec<anyhow::Error>>;

fn embedded(config: &Config) -> Found {
    let data = config.store.data.clone();
    let data = data.unwrap_or_else(crate::store::settings::default_data_dir);
    let listen = config.store.listen;
    let mut faults = vec![];
    if !StateDirectory::is_held(&state_dir(config))
        && let Err(error) = TcpListener::bind(listen)
    {
        faults.push(anyhow::Error::new(error).context(format!(
            "cannot listen on {listen}: choose another `store.listen` (ss -ltnp shows who listens)"
        )));
    }
    match library::find(config.store.library.as_deref(), &data) {
        Ok(library) if faults.is_empty() => Ok(format!(
            "embedded, engine {}, data {}",
            library.display(),
            data.display()
        )),
        Ok(_) => Err(faults),
        Err(error) => {
            faults.push(error.into());
            Err(faults)
        }
    }
}

fn outer(c: &Connection, config: &Config, ask: bool, report: &mut Report) -> Result<Found> {
    let mut faults: Vec<anyhow::Error> = c.file_faults().into_iter().map(Into::into).collect();
    if !ask {
        return Ok(match faults.is_empty() {
            true => Ok("not asked".into()),
            false => Err(faults),
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if faults.is_empty() {
        return runtime.block_on(asked(c, config.schema_apply, report));
    }
    let unreachable = runtime.block_on(c.knock());
    faults.extend(unreachable.into_iter().map(anyhow::Error::from));
    Ok(Err(faults))
}

/// What the endpoints and the tables in them say.
async fn asked(connection: &Connection, apply: bool, report: &mut Report) -> Result<Found> {
    let endpoints = match Endpoints::new(connection, Arc::default()) {
        Ok(endpoints) => endpoints,
        Err(error) => return Ok(Err(vec![error.into()])),
    };
    let states = endpoints.survey().await;
    let up = states.iter().filter(|s| s.state == "up").count();
    let mut faults = vec![];
    for s in states.iter().filter(|s| s.state != "up") {
        let why = s.why.as_deref().unwrap_or("no answer");
        let shard_is_up = states.iter().any(|o| o.shard == s.shard && o.state == "up");
        if s.state == "refused" || !shard_is_up {
            faults.push(anyhow!("{}: {why}", s.url));
        } else {
            report.warn("store", format!("store: {}: {why}", s.url))?;
        }
    }
    let mut pending = 0;
    if states.iter().any(|s| s.state != "down") {
        match tables(connection, apply, &mut faults).await {
            Ok(n) => pending = n,
            Err(error) => faults.push(error),
        }
    }
    Ok(match faults.is_empty() {
        true => Ok(format!(
            "{}: {up} of {} endpoint(s) answer, {pending} migration(s) pending",
            connection.place(),
            states.len()
        )),
        false => Err(faults),
    })
}

/// Whether the tables fit; how many migrations are pending.
async fn tables(
    connection: &Connection,
    apply: bool,
    faults: &mut Vec<anyhow::Error>,
) -> Result<usize> {
    let client = connection.reach().await?;
    let lines = schema::status(&client).await?;
    let foreign =
        |l: &&schema::Line| matches!(l.state, schema::State::Changed | schema::State::Unknown);
    let foreign: Vec<String> = lines
        .iter()
        .filter(foreign)
        .map(|l| format!("migration {:04} is {:?}", l.version, l.state))
        .collect();
    if !foreign.is_empty() {
        faults.push(anyhow!(
            "{}: this flowhouse does not fit the schema; run the one that made it, or name another `clickhouse.database`",
            foreign.join(", ")
        ));
    }
    let pending = lines.iter().filter(|l| l.state == schema::State::Pending);
    let pending = pending.count();
    if pending == 0 && foreign.is_empty() {
        let form = schema::Form::of(connection.cluster.as_deref());
        schema::check_as(&client, &form).await?;
    }
    if pending > 0 && !apply {
        faults.push(anyhow!(
            "schema_apply is false and {pending} migration(s) are pending: run `flowhouse schema apply` with this configuration"
        ));
    }
    if pending > 0 && !connection.can_apply() {
        faults.push(anyhow!(
            "{pending} migration(s) pending; on several endpoints they are applied only in the form for a cluster: set \
             clickhouse.cluster, or make the tables yourself, replicated"
        ));
    }
    Ok(pending)
}
