//! What has to be opened while there are rights to do so, and giving those up.

use super::{Notifier, StateDirectory};
use crate::config::{Config, Keys};
use crate::control;
use crate::receive::capture::{self, Tap};
use crate::receive::{self, Listener};
use crate::rights::{self, Account, Capability, Change};
use crate::sink::spool::{CORRUPT, Mode, QUARANTINE, REPLAY};
use anyhow::{Context, Result, bail};
use nix::unistd::AccessFlags;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the configuration came from, and what a reload has to reach outside of the collector.
#[derive(Default)]
pub struct Origin {
    /// The file; none: there is nothing to read again.
    pub file: Option<PathBuf>,
    /// Sets what is logged.
    pub log: Option<Box<dyn Fn(crate::config::LogLevel) + Send + Sync>>,
    /// The service manager.
    pub notifier: Arc<Notifier>,
}

/// Sockets, directories and keys of a collector that has no thread yet.
pub struct Opened {
    pub(super) config: Config,
    pub(super) state: StateDirectory,
    pub(super) listeners: Vec<Listener>,
    pub(super) taps: Vec<Tap>,
    pub(super) server: control::Server,
    pub(super) origin: Origin,
    pub(super) keys: Keys,
}

impl Opened {
    /// Opens everything that may need rights. Paths that depend on who the process is are settled here.
    ///
    /// # Errors
    /// What could not be opened, and what to do about it.
    pub fn open(config: &Config, origin: Origin) -> Result<Opened> {
        let mut config = config.clone();
        let state_dir = super::state_dir(&config);
        config.state_dir = Some(state_dir.clone());
        if is_embedded(&config) {
            let data = config.store.data.clone();
            let data = data.unwrap_or_else(crate::store::settings::default_data_dir);
            let library = crate::store::library::find(config.store.library.as_deref(), &data);
            let cure = "the embedded ClickHouse cannot start (to use one of your own, set `url` below [clickhouse])";
            config.store.library = Some(library.context(cure)?);
            config.store.data = Some(data);
        }
        let file = origin.file.as_deref();
        let text = file.map(std::fs::read_to_string).transpose();
        Ok(Opened {
            keys: Keys::of(&text.unwrap_or_default().unwrap_or_default()),
            state: StateDirectory::open(&state_dir)?,
            listeners: receive::bind(&config.receive)?,
            taps: capture::open(&config.capture)?,
            server: control::Server::bind(&config.control)?,
            config,
            origin,
        })
    }

    /// Where the state directory is.
    pub fn state_dir(&self) -> &Path {
        self.state.path()
    }

    /// Gives directories to the account of `[privileges]`, becomes it, and gives up every right that is not needed any
    /// more, for good. To be called before the first thread: rights belong to threads.
    ///
    /// # Errors
    /// When there are threads already, the account is missing, or it could not do its work.
    pub fn give_up_rights(&self) -> Result<()> {
        let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
        if threads != 1 {
            bail!("rights can only be given up before the first thread, and there are {threads}");
        }
        let kept = self.kept();
        let by_root = [rights::KEPT_BY_ROOT, kept].concat();
        match Change::of(&self.config.privileges)? {
            Change::To(account) => {
                self.give_folders(&account)?;
                account.become_for_good(kept)?;
                let but = match kept {
                    [] => "",
                    _ => " but CAP_NET_RAW in the threads that capture",
                };
                tracing::info!(
                    "runs as {} from here on, without any capability{but}",
                    account.name()
                );
            }
            Change::Stay => rights::retain(kept)?,
            Change::StayRoot => rights::retain(&by_root)?,
            Change::NoAccount => {
                rights::retain(&by_root)?;
                tracing::warn!(
                    "started as root and there is no user flowhouse: the collector stays root, with few capabilities; cure: \
                     `useradd --system --no-create-home flowhouse`, or name another user below [privileges]"
                );
            }
        }
        rights::forbid_new_rights()?;
        rights::check_reach(self.state.path())?;
        self.tighten();
        self.check_files()
    }

    /// What threads that capture need later on.
    fn kept(&self) -> &'static [Capability] {
        let capture = &self.config.capture;
        match capture.reopen && capture.captures() {
            true => &[Capability::CAP_NET_RAW],
            false => &[],
        }
    }

    /// Directories that the collector or its store writes to.
    fn folders(&self) -> Vec<PathBuf> {
        let data = self.config.store.data.clone();
        let data = data.filter(|_| is_embedded(&self.config));
        [self.state.path().to_owned()]
            .into_iter()
            .chain(data)
            .chain(self.spool())
            .collect()
    }

    /// The spool's directory, if there is to be one.
    fn spool(&self) -> Option<PathBuf> {
        let none = self.config.sink.kind.discards() || self.config.spool.mode == Mode::Off;
        (!none).then(|| super::spool_dir(&self.config, self.state.path()))
    }

    /// State and spool of earlier versions were open to everybody.
    fn tighten(&self) {
        let folders = [self.state.path().to_owned()]
            .into_iter()
            .chain(self.spool());
        for folder in folders.filter(|f| f.is_dir()) {
            match rights::tighten(&folder) {
                Ok(0) => {}
                Ok(n) => tracing::info!(
                    "{}: {n} files and folders closed to others",
                    folder.display()
                ),
                Err(error) => tracing::warn!("{} stays open to others: {error}", folder.display()),
            }
        }
    }

    fn give_folders(&self, account: &Account) -> Result<()> {
        for folder in self.folders() {
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            rights::give(&folder, account)?;
        }
        // the directories may have been the account's before, and these just made by root
        for file in self.state.files() {
            rights::give(&file, account)?;
        }
        let parts = self
            .spool()
            .into_iter()
            .flat_map(|s| PARTS.map(|p| s.join(p)));
        for part in parts.filter(|p| p.is_dir()) {
            rights::give(&part, account)?;
        }
        Ok(())
    }

    /// Files that are read later, too, have to be readable for who we are now.
    fn check_files(&self) -> Result<()> {
        let store = self.config.clickhouse.iter().flat_map(|c| c.files());
        let snmp = self.config.snmp.files();
        let rules = &self.config.signatures;
        let rules = rules.rules.iter().chain(&rules.threshold_file);
        let rules = rules.filter(|r| r.is_file());
        for file in self
            .config
            .control
            .files()
            .chain(store)
            .chain(snmp)
            .chain(rules)
        {
            readable(file)?;
        }
        if let Some(spool) = self.spool() {
            for folder in PARTS.iter().map(|p| spool.join(p)).chain([spool.clone()]) {
                writable(&folder)?;
            }
        }
        if let Some(file) = &self.origin.file
            && let Err(error) = readable(file)
        {
            tracing::warn!("{error:#}; until then the configuration cannot be read again");
        }
        Ok(())
    }
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

/// Whether the collector starts a store of its own.
pub(super) fn is_embedded(config: &Config) -> bool {
    config.clickhouse.is_none() && !config.sink.kind.discards()
}

/// Folders of a spool in which the collector moves files.
const PARTS: [&str; 3] = [QUARANTINE, CORRUPT, REPLAY];

/// Whether files can be made and removed in a folder; one that is not there yet is made later.
fn writable(folder: &Path) -> Result<()> {
    rights::check_reach(folder)?;
    let may = AccessFlags::W_OK | AccessFlags::X_OK;
    if !folder.is_dir() || nix::unistd::access(folder, may).is_ok() {
        return Ok(());
    }
    let (me, folder) = (nix::unistd::geteuid(), folder.display());
    bail!("user {me} cannot write to {folder}: `chown -R` it to that user")
}

fn readable(file: &Path) -> Result<()> {
    let opened = std::fs::File::open(file).map(drop);
    // what is not there yet may come later
    if opened
        .as_ref()
        .is_err_and(|e| e.kind() == ErrorKind::NotFound)
    {
        return Ok(());
    }
    opened.with_context(|| {
        let me = nix::unistd::geteuid();
        let file = file.display();
        format!(
            "user {me} cannot read {file}: give it to the group of that user and `chmod 640 {file}`"
        )
    })
}
