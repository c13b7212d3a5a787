//! Reading the configuration again while datagrams come in.
#![expect(
    clippy::disallowed_types,
    reason = "one reload at a time; no datagram passes this lock"
)]

use super::findings::{self, Renewed};
use super::{Notifier, Opened, budget, opened::Origin, rules};
use crate::config::{self, Config, Keys};
use crate::control::{self, Access, Reloads};
use crate::detect::signature::engine::Maker;
use crate::enrich::{self, Polled, Tables};
use crate::notify;
use crate::receive::{Intake, route::Moment};
use crate::rights::{self, Capability};
use crate::shard::{Change, RulesChange};
use crate::snmp::{self, Poller};
use anyhow::anyhow;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// Keys whose change needs no restart; one that ends with a dot stands for all below it.
pub const LIVE: &[&str] = &[
    "batch.seal_age_ms",
    "batch.seal_rows",
    "control.exporter_labels_max",
    "control.hosts",
    "control.token_file",
    "enrich.",
    "log_level",
    "notify.targets",
    "receive.allow",
    "receive.deny",
    "receive.exporter_idle_s",
    "receive.exporters_max",
    "receive.exporters_new_per_minute_max",
    "shutdown_grace_s",
    "signatures.rules",
    "signatures.threshold_file",
    "signatures.variables.",
    "snmp.",
    "suppressions",
];

/// Reads the file again and swaps what can be swapped, all of it or nothing.
pub struct Reloader {
    origin: Origin,
    force: Mutex<InForce>,
    /// Of exports, then of packets.
    shards: Vec<Sender<Change>>,
    exports: usize,
    /// Where answers of networks over HTTP are kept.
    cache: std::path::PathBuf,
    intake: Arc<Intake>,
    access: Arc<Access>,
    /// What exporters answer when they are asked for their interfaces; it outlives every reload.
    polled: Arc<Polled>,
    poller: OnceLock<Arc<Poller>>,
    /// For who asks them.
    suppressions: Renewed,
    /// Who tells people of incidents.
    notices: OnceLock<Arc<notify::Notifier>>,
    grace_s: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    last_failed: AtomicBool,
    read_at_s: AtomicU64,
}

/// What the collector runs by.
struct InForce {
    config: Config,
    keys: Keys,
    /// Rules, where packets are captured.
    signatures: Option<Maker>,
}

/// Everything that can fail, done before anything changes.
struct Prepared {
    config: Config,
    keys: Keys,
    changes: Vec<config::Change>,
    tables: Tables,
    rules: control::Rules,
    signatures: RulesChange,
}

impl Reloader {
    /// The reloader of what was opened, and the ends of its channels of shards for exports and for packets.
    ///
    /// # Errors
    /// When rules cannot be loaded.
    pub(super) fn new(
        opened: &mut Opened,
        intake: &Arc<Intake>,
        (exports, captures): (usize, usize),
    ) -> anyhow::Result<(Reloader, Vec<Receiver<Change>>)> {
        let signatures = signatures(&opened.config, captures)?;
        let (senders, receivers) = (0..exports + captures)
            .map(|_| bounded(CHANGES_MAX))
            .unzip();
        let reloader = Reloader {
            origin: std::mem::take(&mut opened.origin),
            force: Mutex::new(InForce {
                config: opened.config.clone(),
                keys: opened.keys.clone(),
                signatures,
            }),
            shards: senders,
            exports,
            cache: opened.state.path().to_owned(),
            intake: intake.clone(),
            access: opened.server.access(),
            polled: Arc::default(),
            poller: OnceLock::new(),
            suppressions: Renewed::default(),
            notices: OnceLock::new(),
            grace_s: AtomicU64::new(opened.config.shutdown_grace_s),
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            last_failed: AtomicBool::new(false),
            read_at_s: AtomicU64::new(now_s()),
        };
        Ok((reloader, receivers))
    }

    /// The rules in force, if there are any.
    pub(super) fn rules(&self) -> Option<Maker> {
        let force = self.force.lock().unwrap_or_else(PoisonError::into_inner);
        force.signatures.clone()
    }

    /// What exporters answer when they are asked for their interfaces.
    pub fn polled(&self) -> &Arc<Polled> {
        &self.polled
    }

    /// Where suppressions wait that the configuration has now.
    pub(super) fn suppressions(&self) -> &Renewed {
        &self.suppressions
    }

    /// From here on targets of notices can change, too.
    pub(super) fn tells(&self, notices: Arc<notify::Notifier>) {
        // set once, at the start
        let _ = self.notices.set(notices);
    }

    /// Who asks them, once it runs.
    pub fn poller(&self) -> Option<&Poller> {
        self.poller.get().map(|p| &**p)
    }

    /// From here on settings of SNMP can change, too.
    pub(super) fn lead(&self, poller: Arc<Poller>) {
        // set once, at the start
        let _ = self.poller.set(poller);
    }

    /// How long a stop may take.
    pub fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_s.load(Relaxed))
    }

    /// The service manager.
    pub fn notifier(&self) -> &Notifier {
        &self.origin.notifier
    }

    /// How reloads went so far.
    pub fn stats(&self) -> Reloads {
        Reloads {
            succeeded: self.succeeded.load(Relaxed),
            failed: self.failed.load(Relaxed),
            last_failed: self.last_failed.load(Relaxed),
            read_at_s: self.read_at_s.load(Relaxed),
        }
    }

    /// Reads the file again. What can change without a restart is in force when this returns; every change is logged.
    ///
    /// # Errors
    /// Why nothing was changed, with file, line, column and cure.
    pub fn reload(&self) -> Result<String, String> {
        self.notifier().reloading();
        let mut force = self.force.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.prepare(&force).and_then(|p| self.apply(&mut force, p));
        self.last_failed.store(result.is_err(), Relaxed);
        match &result {
            Ok(_) => {
                self.succeeded.fetch_add(1, Relaxed);
                self.read_at_s.store(now_s(), Relaxed);
                self.notifier().ready("the configuration was read again");
            }
            Err(why) => {
                self.failed.fetch_add(1, Relaxed);
                why.lines().for_each(|l| tracing::error!("reload: {l}"));
                let first = why.lines().next().unwrap_or_default();
                self.notifier().ready(&format!("reload failed: {first}"));
            }
        }
        result
    }

    fn prepare(&self, force: &InForce) -> Result<Prepared, String> {
        let Some(file) = &self.origin.file else {
            return Err("nothing was changed: the collector was started without a configuration; start it with -c FILE\n".into());
        };
        let name = file.display();
        let unchanged = |why: String| format!("nothing was changed:\n{why}\n");
        // a pipe would be waited for, and a stop behind it
        if std::fs::metadata(file).is_ok_and(|m| !m.is_file()) {
            return Err(unchanged(format!("{name}: is no regular file")));
        }
        let bytes = std::fs::read(file).map_err(|e| {
            let me = nix::unistd::geteuid();
            unchanged(format!("{name}: cannot be read by user {me}: {e}"))
        })?;
        let text = config::decoded(bytes).map_err(|f| unchanged(format!("{name}:{f}")))?;
        let config = Config::from_text(&text).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(|f| format!("{name}:{f}")).collect();
            unchanged(lines.join("\n"))
        })?;
        let at =
            |why: String| unchanged(format!("{name}:{}", config::Fault::of(why).placed(&text)));
        let keys = Keys::of(&text);
        let changes = force.keys.changes(&keys);
        lost_rights(&force.config, &config, &changes).map_err(at)?;
        budget::refuse(&config, self.exports).map_err(|e| at(e.to_string()))?;
        if self.shards.iter().any(Sender::is_full) {
            return Err(unchanged("a shard has not taken over earlier changes yet, because the store does not take its rows; try again later".into()));
        }
        snmp::prove(&config.snmp).map_err(|e| at(e.to_string()))?;
        notify::Notifier::prove(&config.notify.targets, &findings::host()).map_err(at)?;
        let tables = Tables::new(&config.enrich).map_err(|e| at(format!("enrich.{e}")))?;
        let tables = tables.following(self.polled.clone());
        enrich::fetch(&config.enrich, &tables, &self.cache).map_err(|e| {
            unchanged(format!(
                "the thread that fetches networks cannot be started: {e}"
            ))
        })?;
        let rules = control::Rules::read(&control::Settings {
            listen: force.config.control.listen,
            tls_certificate_file: force.config.control.tls_certificate_file.clone(),
            tls_key_file: force.config.control.tls_key_file.clone(),
            tls_client_ca_file: force.config.control.tls_client_ca_file.clone(),
            ..config.control.clone()
        });
        let signatures = self.reread(force, &config).map_err(at)?;
        Ok(Prepared {
            signatures,
            rules: rules.map_err(|e| unchanged(format!("{name}: {e}")))?,
            config,
            keys,
            changes,
            tables,
        })
    }

    /// Rules as the files have them now, made beside those that run.
    fn reread(&self, force: &InForce, new: &Config) -> Result<RulesChange, String> {
        if self.shards.len() == self.exports {
            return Ok(RulesChange::AsBefore);
        }
        // limits change with a restart
        let mut config = force.config.clone();
        let (old, new) = (&mut config.signatures, &new.signatures);
        old.rules.clone_from(&new.rules);
        old.variables.clone_from(&new.variables);
        old.threshold_file.clone_from(&new.threshold_file);
        Ok(match rules::load(&config, force.signatures.as_ref())? {
            Some(maker) => RulesChange::To(Box::new(maker)),
            None if force.signatures.is_some() => RulesChange::Off,
            None => RulesChange::AsBefore,
        })
    }

    /// Nothing in here can fail.
    fn apply(&self, force: &mut InForce, new: Prepared) -> Result<String, String> {
        let (live, later): (Vec<_>, Vec<_>) = new.changes.iter().partition(|c| is_live(&c.key));
        self.intake.set_rules(&new.config.receive);
        self.access.replace(new.rules);
        self.grace_s.store(new.config.shutdown_grace_s, Relaxed);
        if let Some(poller) = self.poller()
            && force.config.snmp != new.config.snmp
        {
            poller.reconfigure(&new.config.snmp);
        }
        let untold = self
            .notices
            .get()
            .map_or(Ok(()), |n| n.change(&new.config.notify.targets));
        if let Err(why) = &untold {
            tracing::error!("reload: {why}");
        }
        let mut suppressions = self
            .suppressions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *suppressions = Some(new.config.suppressions.clone());
        drop(suppressions);
        if let Some(log) = &self.origin.log {
            log(new.config.log_level);
        }
        let of_shards = |key: &str| key.starts_with("enrich.") || key.starts_with("batch.");
        // the files that the configuration names may have changed when it has not
        let told = live.iter().any(|c| of_shards(&c.key)) || new.config.enrich.reads_files();
        let back = told.then(|| (Arc::new(new.tables), new.config.batch.clone()));
        let is_for_shards = told || !matches!(new.signatures, RulesChange::AsBefore);
        let late = is_for_shards && !self.tell_shards(back, &new.signatures);
        let mut text = format!("reloaded: {} change(s)\n", live.len());
        for change in &live {
            tracing::info!("reload: {change}");
            text += &format!("{change}\n");
            force.keys.adopt(&change.key, &new.keys);
        }
        for change in &later {
            tracing::warn!("reload: {change} needs a restart");
            text += &format!("{change} needs a restart\n");
        }
        if late {
            let why = "shards take this over when the store takes their rows again";
            tracing::warn!("reload: {why}");
            text += &format!("{why}\n");
        }
        match new.signatures {
            RulesChange::AsBefore => {}
            RulesChange::Off => force.signatures = None,
            RulesChange::To(maker) => {
                let (n, generation) = (maker.program().len(), maker.program().generation());
                text += &format!("{n} rules, generation {generation}\n");
                force.signatures = Some(*maker);
            }
        }
        if new.changes.is_empty() {
            tracing::info!("reload: the configuration is as before");
        }
        force.adopt(new.config);
        Ok(text)
    }

    /// Whether all shards have taken it over.
    fn tell_shards(
        &self,
        back: Option<(Arc<Tables>, crate::batch::Settings)>,
        rules: &RulesChange,
    ) -> bool {
        let (done, all_done) = bounded::<()>(0);
        let change = Change {
            back,
            rules: rules.clone(),
            done,
        };
        for shard in &self.shards {
            // there is room: it was looked at, and nobody else sends
            let _ = shard.try_send(change.clone());
        }
        drop(change);
        all_done.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout)
    }
}

impl InForce {
    /// What a later reload compares with, beside the keys.
    fn adopt(&mut self, new: Config) {
        let old = &mut self.config;
        old.enrich = new.enrich;
        old.signatures.rules = new.signatures.rules;
        old.signatures.variables = new.signatures.variables;
        old.signatures.threshold_file = new.signatures.threshold_file;
        old.batch = new.batch;
        old.snmp = new.snmp;
        old.shutdown_grace_s = new.shutdown_grace_s;
        old.log_level = new.log_level;
    }
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}

/// The rules that a configuration names, if there is something to match with them.
fn signatures(config: &Config, captures: usize) -> anyhow::Result<Option<Maker>> {
    if captures > 0 {
        return rules::load(config, None).map_err(|why| anyhow!(why));
    }
    if !config.signatures.rules.is_empty() {
        tracing::warn!(
            "signatures.rules: no interface is captured and no folder is watched, so there are no packets to match; see [capture]"
        );
    }
    Ok(None)
}

/// Whether a change of this key is in force without a restart.
pub fn is_live(key: &str) -> bool {
    let covers = |live: &&&str| key == **live || live.ends_with('.') && key.starts_with(**live);
    LIVE.iter().any(|live| covers(&live))
}

/// Refuses what would need rights that were given up at start.
fn lost_rights(old: &Config, new: &Config, changes: &[config::Change]) -> Result<(), String> {
    if let Some(change) = changes.iter().find(|c| c.key.starts_with("privileges.")) {
        let key = &change.key;
        return Err(format!(
            "{key} cannot change while the collector runs, because the right to change the account was given up at start: restart it"
        ));
    }
    let low = |a: &SocketAddr| a.port() != 0 && a.port() < unprivileged_port();
    let added = |a: &&SocketAddr| low(a) && !old.receive.listeners.contains(a);
    let control = &new.control.listen;
    let (key, address) = match new.receive.listeners.iter().find(added) {
        Some(address) => ("receive.listeners", address),
        None if low(control) && *control != old.control.listen => ("control.listen", control),
        None => return Ok(()),
    };
    if rights::has(Capability::CAP_NET_BIND_SERVICE) {
        return Ok(());
    }
    Err(format!(
        "{key}: {address} needs the right to listen on ports below {}, which was given up at start: restart the collector",
        unprivileged_port()
    ))
}

/// The first port that anybody may listen on.
fn unprivileged_port() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    text.ok()
        .and_then(|t| t.trim().parse().ok())
        .unwrap_or(1024)
}

fn now_s() -> u64 {
    (Moment::now().wall_ns.max(0) / 1_000_000_000) as u64
}

/// Changes that may wait for a shard.
const CHANGES_MAX: usize = 8;

/// How long shards are waited for; they look several times a second unless the store holds them up.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_live_by_name_or_by_section() {
        for (key, live) in [
            ("enrich.qos.dscp.EF", true),
            ("receive.deny", true),
            ("receive.deny_all", false),
            ("receive.listeners", false),
            ("batch.inventory_max", false),
            ("enrichment", false),
        ] {
            assert_eq!(is_live(key), live, "{key}");
        }
    }

    #[test]
    fn the_manual_lists_every_live_key() {
        let manual = include_str!("../../docs/operating.md");
        for key in LIVE {
            let named = format!("`{}`", key.trim_end_matches('.'));
            assert!(
                manual.contains(&named),
                "docs/operating.md does not name {named}"
            );
        }
    }
}
