//! Text to proven configuration; gathers the settings of each room.
//!
//! Owns: [`Config`] (everything that can be set), [`Fault`] (what is wrong, where, and the cure), [`Keys`] (a text as
//! keys and values, to tell what changed).
//! Never: opens a socket or asks a store: `check` and `assemble` do.

mod change;
mod fault;
mod known;

pub use change::{Change, Keys};
pub use fault::{Fault, decoded, parse};

use crate::model::Learned;
use crate::{
    aggregate, batch, control, decode, detect, dissect, enrich, meter, notify, reassemble, receive,
    rights, shard, sink, snmp,
};
use serde::Deserialize;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Everything that can be set. Every key has a default; `flowhouse run` works without a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where the collector keeps its id, templates and options over a restart. Default: `/var/lib/flowhouse/state` for root,
    /// `~/.local/state/flowhouse` for others.
    pub state_dir: Option<PathBuf>,
    /// What is logged: `error`, `warn`, `info`, `debug` or `trace`. RUST_LOG goes before it. Default `info`.
    pub log_level: LogLevel,
    /// `[privileges]`: who the collector becomes when it was started as root.
    pub privileges: rights::Settings,
    /// `[receive]`
    pub receive: receive::Settings,
    /// `[capture]`: packets from interfaces.
    pub capture: receive::capture::Settings,
    /// `[shard]`
    pub shard: shard::Settings,
    /// `[decode]`
    pub decode: decode::Settings,
    /// `[dissect]`: how far into a frame is looked.
    pub dissect: dissect::Settings,
    /// `[reassemble]`: fragments and streams.
    pub reassemble: reassemble::Settings,
    /// `[meter]`: packets to flow records.
    pub meter: meter::Settings,
    /// `[enrich]`
    pub enrich: enrich::Settings,
    /// `[detect]`: detectors of behaviour.
    pub detect: detect::anomaly::Settings,
    /// `[signatures]`: rules that packets are matched with.
    pub signatures: detect::signature::LiveSettings,
    /// `[snmp]`: names, speeds and counters of interfaces, asked from exporters.
    pub snmp: snmp::Settings,
    /// `[usage]`
    pub usage: aggregate::Settings,
    /// `[batch]`
    pub batch: batch::Settings,
    /// Whether `run` applies migrations; otherwise it waits until the schema is there. Default true.
    pub schema_apply: bool,
    /// How long a stop may take to deliver what is in memory, seconds. Default 30.
    pub shutdown_grace_s: u64,
    /// `[clickhouse]`: where to deliver. Without it the embedded ClickHouse is started.
    pub clickhouse: Option<sink::clickhouse::Connection>,
    /// `[sink]`
    pub sink: sink::Settings,
    /// `[spool]`: bundles on disk until the store has them.
    pub spool: sink::spool::Settings,
    /// `[store]`: the embedded ClickHouse, started where `[sink]` names no other.
    pub store: StoreSettings,
    /// `[control]`
    pub control: control::Settings,
    /// `[notify]`: who is told of detections.
    pub notify: notify::Settings,
    /// `[[suppressions]]`: detections that nobody is told of.
    pub suppressions: Vec<detect::suppression::Settings>,
}

/// What is logged at least.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        }
    }
}

/// The embedded ClickHouse.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct StoreSettings {
    /// Where it listens; loopback, port 0 takes a free port.
    pub listen: SocketAddr,
    /// The folder of tables and keys. Default: `/var/lib/flowhouse/store` for root, `~/.local/share/flowhouse/store` for others.
    pub data: Option<PathBuf>,
    /// Memory of the engine, bytes. Default: half of the machine's, 1 to 8 GiB.
    pub memory_max: Option<u64>,
    /// The engine library; looked up where it is not named.
    pub library: Option<PathBuf>,
}

impl Default for StoreSettings {
    fn default() -> Self {
        StoreSettings {
            listen: SocketAddr::from(([127, 0, 0, 1], 8123)),
            data: None,
            memory_max: None,
            library: None,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Config {
            state_dir: None,
            log_level: LogLevel::default(),
            privileges: Default::default(),
            receive: Default::default(),
            capture: Default::default(),
            shard: Default::default(),
            decode: Default::default(),
            dissect: Default::default(),
            reassemble: Default::default(),
            meter: Default::default(),
            enrich: Default::default(),
            detect: Default::default(),
            signatures: Default::default(),
            snmp: Default::default(),
            usage: Default::default(),
            batch: Default::default(),
            schema_apply: true,
            shutdown_grace_s: 30,
            clickhouse: None,
            sink: Default::default(),
            spool: Default::default(),
            store: StoreSettings::default(),
            control: Default::default(),
            notify: Default::default(),
            suppressions: vec![],
        }
    }
}

impl Config {
    /// Reads and proves a file; without one, the defaults.
    ///
    /// # Errors
    /// Every fault, with its place in the file.
    pub fn load(path: Option<&Path>) -> Result<Config, Vec<Fault>> {
        match Config::read(path) {
            (Some(config), faults) if faults.is_empty() => Ok(config),
            (_, faults) => Err(faults),
        }
    }

    /// Reads and proves a file: what could be understood of it, and every fault.
    pub fn read(path: Option<&Path>) -> (Option<Config>, Vec<Fault>) {
        let Some(path) = path else {
            return (Some(Config::default()), vec![]);
        };
        let unread = |e| {
            let cure = "name the file with -c, and let who runs this read it".into();
            Fault {
                cure,
                ..Fault::of(format!("cannot be read: {e}"))
            }
        };
        let text = bytes_of(path).map_err(unread).and_then(decoded);
        let text = match text {
            Ok(text) => text,
            Err(fault) => return (None, vec![fault]),
        };
        let (mut config, faults) = Config::proven(&text);
        if let Some(connection) = config.as_mut().and_then(|c| c.clickhouse.as_mut()) {
            connection.complete();
        }
        (config, faults)
    }

    /// Parses and proves a text.
    ///
    /// # Errors
    /// Every fault, with its place in the text.
    pub fn from_text(text: &str) -> Result<Config, Vec<Fault>> {
        match Config::proven(text) {
            (Some(config), faults) if faults.is_empty() => Ok(config),
            (_, faults) => Err(faults),
        }
    }

    fn proven(text: &str) -> (Option<Config>, Vec<Fault>) {
        let (config, mut faults) = parse::<Config>(text);
        // what could be read is proven, too: nobody wants to mend faults one by one
        let proven = config.iter().flat_map(Config::faults);
        let mut proven: Vec<Fault> = proven.map(|f| f.placed(text)).collect();
        // a list of which a part could not be read may seem empty
        let is_new = |p: &Fault| !faults.iter().any(|f| fault::is_within(text, f, p.line));
        proven.retain(is_new);
        faults.extend(proven);
        faults.extend(config.iter().flat_map(|c| c.enrich_faults(text)));
        faults.sort_by_key(|f| (f.line, f.column));
        (config, faults)
    }

    /// What is wrong with names for numbers and with the files that they come from.
    fn enrich_faults(&self, text: &str) -> Vec<Fault> {
        let error = match enrich::Tables::new(&self.enrich) {
            Ok(tables) => return self.faults_of_networks(&tables, text),
            Err(error) => error,
        };
        let each = error.each().into_iter().map(|error| match error {
            enrich::Error::At { at, message } => Fault::at(text, *at, message),
            enrich::Error::InText {
                at,
                inside,
                message,
            } => Fault::at(text, fault::inside(text, *at, *inside), message),
            // a fault in a file stands where the file is named
            enrich::Error::File { path, .. } => {
                let at = text.find(&*path.to_string_lossy());
                let fault = at.map(|at| Fault::at(text, at, &error.to_string()));
                fault.unwrap_or_else(|| Fault::of(error.to_string()))
            }
            other => Fault::of(format!("enrich.{other}")).placed(text),
        });
        let mut faults: Vec<Fault> = each.collect();
        faults.sort_by_key(|f| (f.line, f.column));
        faults
    }

    /// Zones and networks by names that no network has. What is fetched may bring any.
    fn faults_of_networks(&self, tables: &enrich::Tables, text: &str) -> Vec<Fault> {
        if !self.enrich.networks.remotes.is_empty() {
            return vec![];
        }
        let networks = tables.declared_networks();
        let named = networks.iter().filter_map(|n| match n {
            Learned::Network { name, zone, .. } => Some((name, zone)),
            _ => None,
        });
        let named: Vec<(&String, &String)> = named.collect();
        let mut faults = vec![];
        for t in &self.notify.targets {
            let unknown = |z: &&String| !named.iter().any(|(_, zone)| zone == z);
            faults.extend(t.zones.iter().filter(unknown).map(|z| {
                format!(
                    "notify.targets.{}: zones: no network of enrich.networks is in the zone `{z}`",
                    t.name
                )
            }));
        }
        for zone in &self.detect.policy.zones {
            let unknown =
                |n: &&String| !n.contains('/') && !named.iter().any(|(name, _)| name == n);
            faults.extend(zone.networks.iter().filter(unknown).map(|n| {
                format!(
                    "detect.policy.zones: `{n}` is neither a network of enrich.networks nor ADDRESS/BITS"
                )
            }));
        }
        let placed = faults.into_iter().map(|f| Fault::of(f).placed(text));
        placed.collect()
    }

    /// Applications in the policy by names that nothing is called by, neither the catalog nor a port nor a rule of the user: only an exporter
    /// that tells its own names (NBAR2) may bring them.
    pub fn doubts_of_applications(&self) -> Vec<String> {
        let Ok(tables) = enrich::Tables::new(&self.enrich) else {
            return vec![];
        };
        let names = tables.names();
        let policy = &self.detect.policy;
        let allow = policy.allow.iter().flat_map(|a| &a.applications);
        let allow = allow.map(|a| ("detect.policy.allow", a));
        let dscp = policy.dscp.iter().flat_map(|d| &d.applications);
        let dscp = dscp.map(|a| ("detect.policy.dscp", a));
        let apps = &names.apps;
        let unknown = allow.chain(dscp);
        let unknown = unknown.filter(|(_, a)| !apps.iter().any(|known| known == *a));
        let doubt = |(key, name): (&str, &String)| {
            let far = |known: &str| strsim::levenshtein(known, &name.to_lowercase());
            let near = apps.iter().filter(|known| !known.is_empty());
            let near = near.map(|known| (far(known), known)).min();
            let near = near.filter(|n| n.0 <= 2);
            let near = near.map_or(String::new(), |n| format!("; did you mean `{}`?", n.1));
            format!(
                "{key}: no application or protocol is called `{name}`, unless an exporter tells of it{near}"
            )
        };
        unknown.map(doubt).collect()
    }

    /// What is wrong with the folders and with what the spool may take of them; each text begins with the key.
    fn faults_of_places(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (key, folder) in [
            ("state_dir", &self.state_dir),
            ("spool.directory", &self.spool.directory),
        ] {
            if let Some(folder) = folder.as_ref().filter(|f| !f.is_absolute()) {
                faults.push(format!(
                    "{key} must be an absolute path: {folder:?} would be another folder wherever the collector is started from"
                ));
            }
        }
        let bundle = self.batch.seal_rows as u64 * SPOOLED_BYTES_PER_ROW;
        if self.spool.mode != sink::spool::Mode::Off && self.spool.bytes_max < bundle {
            let rows = self.batch.seal_rows;
            faults.push(format!(
                "spool.bytes_max must have room for one bundle at least: {rows} rows (batch.seal_rows) take about {bundle} bytes"
            ));
        }
        faults
    }

    /// What the rooms say about their settings; messages begin with the key at fault.
    fn faults(&self) -> Vec<Fault> {
        let receive = self.receive.faults().into_iter();
        let receive = receive.chain(self.capture.faults());
        let mut faults: Vec<Fault> = receive.chain(self.control.fault()).map(Fault::of).collect();
        if !(1..=1_000_000).contains(&self.batch.seal_rows) {
            faults.push(Fault::of("batch.seal_rows must be 1 to 1000000".into()));
        }
        if !(1..=60_000).contains(&self.batch.seal_age_ms) {
            faults.push(Fault::of("batch.seal_age_ms must be 1 to 60000".into()));
        }
        self.faults_of_times(&mut faults);
        if self.shard.shards > shard::SHARDS_MAX {
            let max = shard::SHARDS_MAX;
            faults.push(Fault::of(format!("shard.shards must be 0 to {max}")));
        }
        let least = [
            ("meter.flows_max", self.meter.flows_max),
            ("decode.exporters_max", self.decode.exporters_max),
            ("decode.sessions_max", self.decode.sessions_max),
            ("decode.domains_max", self.decode.domains_max),
            ("decode.sessions_all_max", self.decode.sessions_all_max),
            ("decode.domains_all_max", self.decode.domains_all_max),
            ("decode.templates_max", self.decode.templates_max),
            (
                "decode.templates_bytes_max",
                self.decode.templates_bytes_max,
            ),
            (
                "decode.exporter_templates_max",
                self.decode.exporter_templates_max,
            ),
            ("receive.receive_buffer", self.receive.receive_buffer),
            ("usage.usage_keys_max", self.usage.usage_keys_max),
            ("sink.queue_max", self.sink.queue_max),
            ("sink.in_flight_max", self.sink.in_flight_max),
            ("spool.in_doubt_max", self.spool.in_doubt_max),
            ("spool.files_max", self.spool.files_max),
            ("spool.queue_max", self.spool.queue_max),
            ("spool.group_max", self.spool.group_max),
            ("sink.send_timeout_s", self.sink.send_timeout_s as usize),
            ("sink.insert_timeout_s", self.sink.insert_timeout_s as usize),
        ];
        let zero = least.iter().filter(|(_, n)| *n == 0);
        faults.extend(zero.map(|(key, _)| Fault::of(format!("{key} must be at least 1"))));
        faults.extend(self.decode.faults().into_iter().map(Fault::of));
        if self.decode.sampling.values().any(|n| *n == 0) {
            let text = "decode.sampling: 0 is no interval: write N for 1 in N, 1 for every packet";
            faults.push(Fault::of(text.into()));
        }
        faults.extend(self.detect.faults().into_iter().map(Fault::of));
        faults.extend(self.signatures.faults().into_iter().map(Fault::of));
        faults.extend(self.faults_of_places().into_iter().map(Fault::of));
        if let Some(c) = &self.clickhouse {
            faults.extend(c.faults().into_iter().map(Fault::of));
        }
        faults.extend(self.snmp.faults().into_iter().map(Fault::of));
        faults.extend(self.notify.faults().into_iter().map(Fault::of));
        let suppressions = self.suppressions.iter().filter_map(|s| s.fault());
        faults.extend(suppressions.map(Fault::of));
        if !self.store.listen.ip().is_loopback() {
            faults.push(Fault::of("store.listen must be a loopback address: the embedded store serves this machine only".into()));
        }
        faults
    }

    fn faults_of_times(&self, faults: &mut Vec<Fault>) {
        // a time that no clock can add is a panic on the day it is needed
        let times = [
            ("shutdown_grace_s", self.shutdown_grace_s, DAY_S),
            ("sink.send_timeout_s", self.sink.send_timeout_s, DAY_S),
            ("sink.insert_timeout_s", self.sink.insert_timeout_s, DAY_S),
            (
                "sink.backoff_max_ms",
                self.sink.backoff_max_ms,
                1_000 * DAY_S,
            ),
            ("spool.age_max_s", self.spool.age_max_s, 3_650 * DAY_S),
            (
                "spool.in_doubt_age_max_s",
                self.spool.in_doubt_age_max_s,
                3_650 * DAY_S,
            ),
            (
                "receive.exporter_idle_s",
                self.receive.exporter_idle_s,
                3_650 * DAY_S,
            ),
            (
                "decode.template_lifetime_s",
                self.decode.template_lifetime_s,
                3_650 * DAY_S,
            ),
        ];
        let long = times.iter().filter(|(_, time, most)| time > most);
        faults
            .extend(long.map(|(key, _, most)| Fault::of(format!("{key} must be at most {most}"))));
        if self.sink.backoff_max_ms < self.sink.backoff_ms {
            faults.push(Fault::of(
                "sink.backoff_max_ms must be at least sink.backoff_ms".into(),
            ));
        }
    }
}

/// The bytes of a configuration's file. It is read more than once, at the start and whenever it changes: what a pipe had is gone by then, and
/// a device never ends.
///
/// # Errors
/// When it is no regular file, is too large, or cannot be read.
pub fn bytes_of(path: &Path) -> io::Result<Vec<u8>> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other(
            "it is no regular file, and a configuration is read more than once: write it into one",
        ));
    }
    let mut bytes = vec![];
    let file = std::fs::File::open(path)?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > BYTES_MAX {
        true => Err(io::Error::other(format!(
            "it has more than {BYTES_MAX} bytes"
        ))),
        false => Ok(bytes),
    }
}

/// Largest configuration that is read, bytes.
const BYTES_MAX: u64 = 16 << 20;

/// What a flow row takes in the spool, bytes: what `flowhouse size` reckons with.
const SPOOLED_BYTES_PER_ROW: u64 = 62;
const DAY_S: u64 = 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_that_no_clock_can_add_are_faults() {
        let text = "shutdown_grace_s = 9223372036854775807\n[sink]\nbackoff_ms = 9\nbackoff_max_ms = 8\n[spool]\nage_max_s = 9223372036854775807\n";
        let faults = Config::from_text(text).expect_err("three faults");
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let said = said.join("\n");
        for part in [
            "shutdown_grace_s must be at most 86400",
            "spool.age_max_s must be at most",
            "sink.backoff_max_ms must be at least sink.backoff_ms",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }

    #[test]
    fn what_can_never_work_is_a_fault() {
        let text = "[[notify.targets]]\nname = \"a\"\nkind = \"syslog\"\nto = \"udp://127.0.0.1:514\"\nkinds = [\"nonsense\"]\n\
                    [[notify.targets]]\nname = \"b\"\nkind = \"syslog\"\nto = \"udp://127.0.0.1:514\"\nzones = [\"nozone\", \"dmz\"]\n\
                    [[detect.policy.zones]]\nname = \"servers\"\nnetworks = [\"nosuchnet\", \"berlin\", \"10.0.0.0/8\"]\n\
                    [detect.scan]\nhosts = 0\n[detect.brute_force]\nsessions = 0\n\
                    [detect.upload]\nratio = -5.0\nbytes = 0\n[detect.volume]\nrise = nan\n\
                    [[enrich.networks.list]]\nprefix = \"10.1.0.0/16\"\nname = \"berlin\"\nzone = \"dmz\"\n";
        let faults = Config::from_text(text).expect_err("faults");
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(said.len(), 8, "{said:#?}");
        let said = said.join("\n");
        for part in [
            "notify.targets.a: kinds: `nonsense` is no kind of detection",
            "notify.targets.b: zones: no network of enrich.networks is in the zone `nozone`",
            "detect.policy.zones: `nosuchnet` is neither",
            "detect.scan.hosts must be at least 1",
            "detect.brute_force.sessions must be at least 1",
            "detect.upload.bytes must be at least 1",
            "detect.upload.ratio must be more than 0",
            "detect.volume.rise must be more than 0",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        // what is fetched may bring any name
        let fetched = "[[notify.targets]]\nname = \"b\"\nkind = \"syslog\"\nto = \"udp://127.0.0.1:514\"\nzones = [\"nozone\"]\n\
                       [[enrich.networks.remotes]]\nurl = \"https://netbox.example/api\"\n";
        assert!(Config::from_text(fetched).is_ok());
    }

    #[test]
    fn faults_of_rules_stand_at_their_part_and_hide_nothing() {
        let text = "[[enrich.classify]]\nwhen = \"\"\"\ninterface.alias == \"a\" &&\n  interface.nmae == \"b\"\n\"\"\"\nrole = \"wan\"\n\
                    [[enrich.classify]]\nwhen = \"\\u0022a\\u0022 == interface.bogus\"\nrole = \"wan\"\n\
                    [enrich.qos.classes.telephony]\nbudget_percent = 110\n[enrich.qos.dscp]\n\"AF44\" = \"x\"\n";
        let faults = Config::from_text(text).expect_err("four faults");
        let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let parts = [
            "4:13: expression: interface.nmae is unknown",
            "8:36: expression: interface.bogus is unknown",
            "10:1: enrich.qos.classes.telephony: budget_percent",
            "12:1: enrich.qos.dscp: \"AF44\" is no DSCP",
        ];
        assert_eq!(said.len(), parts.len(), "{said:#?}");
        for (said, part) in said.iter().zip(parts) {
            assert!(said.starts_with(part), "{part}: {said}");
        }
    }
}
