//! What was found, on its way to the store and to people.
#![expect(
    clippy::disallowed_types,
    reason = "hits are published once a tick, read by control"
)]

use super::day_budget::{Budget, DAILY_BUDGET};
use super::desk::{Desk, Watch};
use super::told::Told;
use super::{StateDirectory, View};
use crate::batch::{DetectionRow, Extra, Sealer};
use crate::config::Config;
use crate::detect::suppression::{self, Suppressions};
use crate::enrich::Tables;
use crate::model::{Addr, Detection, DetectionKind};
use crate::notify::{Event, Notice, Notifier};
use crate::receive::route::Moment;
use crate::sink::clickhouse::Connection;
use crate::sink::{Outbox, ndjson};
use anyhow::{Result, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// What people are not told, published.
pub type Untold = Arc<Mutex<Hidden>>;

/// Suppressions of a configuration that was read again, until they are taken over.
pub type Renewed = Arc<Mutex<Option<Vec<suppression::Settings>>>>;

/// What people are not told, counted since the start.
#[derive(Clone, Debug, Default)]
pub struct Hidden {
    /// Names of suppressions and how often each was hit.
    pub suppressed: Vec<(String, u64)>,
    /// Incidents that the budget of a day held back, by severity.
    pub held_back: Vec<(&'static str, u64)>,
}

/// Asks suppressions and the budget of the day, seals rows, tells people.
#[derive(Debug)]
pub struct Findings {
    suppressions: Suppressions,
    budget: Budget,
    sealer: Sealer,
    outbox: Outbox,
    notifier: Option<Arc<Notifier>>,
    untold: Untold,
    renewed: Renewed,
    told: Told,
}

impl Findings {
    /// None yet.
    pub fn new(
        suppressions: Suppressions,
        budget: Budget,
        sealer: Sealer,
        outbox: Outbox,
        notifier: Option<Arc<Notifier>>,
    ) -> Findings {
        let mut told = Told::new(TOLD_MAX);
        for (id, severity) in budget.told() {
            told.tell(id, severity);
        }
        let findings = Findings {
            suppressions,
            budget,
            sealer,
            outbox,
            notifier,
            untold: Untold::default(),
            renewed: Renewed::default(),
            told,
        };
        findings.publish();
        findings
    }

    /// Takes over suppressions that come while it runs.
    pub fn following(self, renewed: Renewed) -> Findings {
        Findings { renewed, ..self }
    }

    /// Where it is published what people are not told.
    pub fn untold(&self) -> Untold {
        self.untold.clone()
    }

    /// Takes new versions of incidents. Those of one call are one bundle; it waits where the sink has no room.
    pub fn take(&mut self, found: Vec<Detection>, now_ns: i64) {
        if found.is_empty() {
            return;
        }
        let now_ms = now_ns / 1_000_000;
        let renewed = self
            .renewed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(settings) = renewed {
            self.suppressions.replace(&settings);
        }
        let (mut detections, mut notices) = (vec![], vec![]);
        // of a chain people are told before its steps, which are part of it then
        let is_chain = |d: &Detection| d.kind == DetectionKind::AttackChain;
        let (chains, steps): (Vec<_>, Vec<_>) = found.into_iter().partition(is_chain);
        for detection in chains.into_iter().chain(steps) {
            let chain = detection.evidence.part_of;
            let is_told = chain.is_some_and(|c| self.told.has(c));
            let row = self.row(detection, is_told, now_ms);
            if self.notifier.is_some() {
                log(&row);
            }
            match row.hidden_by.is_empty() {
                true if !is_told => {
                    self.budget.tell(&row.detection, now_ms);
                    notices.push(notice(&mut self.told, &row.detection));
                }
                // the chain stands for it from here on
                true if self.told.forget(row.detection.id) => notices.push(Notice {
                    event: Event::Joined,
                    incident: ndjson::detection(&row.detection),
                }),
                _ => {}
            }
            detections.push(row);
        }
        self.budget.keep();
        self.publish();
        let extra = Extra {
            detections,
            ..Extra::default()
        };
        if let Some(bundle) = self.sealer.seal(now_ns, extra, Arc::default()) {
            self.outbox.send(bundle);
        }
        if let Some(notifier) = &self.notifier {
            notices.into_iter().for_each(|n| notifier.tell(n));
        }
    }
}

impl Findings {
    /// A version as it is stored: with what keeps it from people, if anything does. A step of a chain that people were told of costs no budget.
    fn row(&mut self, detection: Detection, is_told: bool, now_ms: i64) -> DetectionRow {
        let mut hidden_by = self.suppressions.hidden_by(&detection, now_ms);
        let is_known = is_told || self.told.has(detection.id);
        if hidden_by.is_empty() && !is_known && !self.budget.has_room(&detection, now_ms) {
            hidden_by = DAILY_BUDGET.to_owned();
        }
        DetectionRow {
            detection,
            hidden_by,
        }
    }

    fn publish(&self) {
        let hits = self.suppressions.hits();
        let hidden = Hidden {
            suppressed: hits.map(|(name, n)| (name.to_owned(), n)).collect(),
            held_back: self.budget.held_back(),
        };
        *self.untold.lock().unwrap_or_else(PoisonError::into_inner) = hidden;
    }
}

/// The way to the thread of findings.
pub(super) fn channel() -> (Sender<Vec<Detection>>, Receiver<Vec<Detection>>) {
    bounded(FOUND_MAX)
}

/// The thread that takes what is found, and what tells people. Ends in order: after those who find, before the sink.
#[derive(Debug)]
pub(super) struct Telling {
    /// Where new versions of incidents go, as often as there are some: a clone for each who finds.
    pub found: Sender<Vec<Detection>>,
    thread: JoinHandle<()>,
    notifier: Option<Arc<Notifier>>,
    _watch: Option<Watch>,
}

impl Telling {
    /// Starts it. Notices wait below `state` until they are delivered.
    ///
    /// # Errors
    /// Which file, folder or thread is at fault.
    pub fn start(
        config: &Config,
        (state, tables): (&StateDirectory, &Arc<Tables>),
        (found, taken): (Sender<Vec<Detection>>, Receiver<Vec<Detection>>),
        (sealer, outbox): (Sealer, Outbox),
        (connection, view): (&Connection, &View),
    ) -> Result<Telling> {
        // there may be none to tell now, and some after a reload
        let notifier = Arc::new(notifier(config, state.path(), tables)?);
        view.reloader().tells(notifier.clone());
        let notifier = Some(notifier);
        let suppressions = Suppressions::new(&config.suppressions);
        let budget = Budget::kept(&config.notify.per_day_max, state.path().join(BUDGET_FILE));
        let findings = Findings::new(suppressions, budget, sealer, outbox, notifier.clone());
        let mut findings = findings.following(view.reloader().suppressions().clone());
        view.told(findings.untold(), notifier.clone());
        let watch = match config.sink.kind.discards() {
            true => None,
            false => {
                let desk = Desk::new(connection, config.notify.grafana_url.clone());
                view.ask_at(desk.clone());
                Some(desk.watch(&config.notify, state.path(), notifier.clone())?)
            }
        };
        let work = move || {
            for found in taken {
                findings.take(found, Moment::now().wall_ns);
            }
        };
        Ok(Telling {
            found,
            thread: Builder::new().name("findings".into()).spawn(work)?,
            notifier,
            _watch: watch,
        })
    }

    /// Seals what was found, and ends. Every other sender has to be gone.
    pub fn stop(self) {
        drop(self.found);
        if self.thread.join().is_err() {
            tracing::error!("the thread of findings panicked");
        }
        if let Some(notifier) = self.notifier {
            notifier.stop();
        }
    }
}

/// The name of this machine.
pub(crate) fn host() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    host.trim().to_owned()
}

fn notifier(config: &Config, state: &Path, tables: &Arc<Tables>) -> Result<Notifier> {
    let tables = tables.clone();
    let zone_of = Arc::new(move |ip| tables.zone(Addr::from(ip)).to_owned());
    let dir = state.join("notify");
    Notifier::start(&config.notify, &dir, &host(), zone_of).map_err(|e| anyhow!(e))
}

/// What is new is in the log, for those who read that; more of it is not.
fn log(row: &DetectionRow) {
    let d = &row.detection;
    if d.version != 1 || d.sid.is_some() {
        return;
    }
    let (id, kind, severity) = (format!("{:016x}", d.id), d.kind.name(), d.severity.name());
    match row.hidden_by.as_str() {
        "" => tracing::warn!(id, kind, severity, "{}", d.title),
        by => tracing::debug!(id, kind, severity, hidden_by = by, "{}", d.title),
    }
}

/// What people are told of a version.
fn notice(told: &mut Told, d: &Detection) -> Notice {
    let event = match told.tell(d.id, d.severity) {
        None => Event::New,
        Some(before) if d.severity > before => Event::Raised,
        Some(_) => Event::Grown,
    };
    Notice {
        event,
        incident: ndjson::detection(d),
    }
}

/// Below the state directory: what is spent of the budget of the day.
const BUDGET_FILE: &str = "notify/day_budget";
/// Hand-overs that may wait.
const FOUND_MAX: usize = 64;
/// Incidents that are remembered as told.
const TOLD_MAX: usize = 65_536;
