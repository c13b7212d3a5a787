//! What was found, on its way to the store and to people.
#![expect(
    clippy::disallowed_types,
    reason = "hits are published once a tick, read by control"
)]

use super::desk::{Desk, Watch};
use super::{StateDirectory, View};
use crate::batch::{DetectionRow, Extra, Sealer};
use crate::config::Config;
use crate::detect::suppression::Suppressions;
use crate::enrich::Tables;
use crate::model::{Addr, Detection, Severity};
use crate::notify::{Event, Notice, Notifier};
use crate::receive::route::Moment;
use crate::sink::clickhouse::Connection;
use crate::sink::{Outbox, ndjson};
use anyhow::{Result, anyhow};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

/// Names of suppressions and how often each was hit.
pub type Hits = Arc<Mutex<Vec<(String, u64)>>>;

/// Asks suppressions, seals rows, tells people.
#[derive(Debug)]
pub struct Findings {
    suppressions: Suppressions,
    sealer: Sealer,
    outbox: Outbox,
    notifier: Option<Arc<Notifier>>,
    hits: Hits,
    /// The worst that people were told of an incident.
    told: BTreeMap<u64, Severity>,
}

impl Findings {
    /// None yet.
    pub fn new(
        suppressions: Suppressions,
        sealer: Sealer,
        outbox: Outbox,
        notifier: Option<Arc<Notifier>>,
    ) -> Findings {
        Findings {
            suppressions,
            sealer,
            outbox,
            notifier,
            hits: Hits::default(),
            told: BTreeMap::new(),
        }
    }

    /// Where hits are published.
    pub fn hits(&self) -> Hits {
        self.hits.clone()
    }

    /// Takes new versions of incidents. Those of one call are one bundle; it waits where the sink has no room.
    pub fn take(&mut self, found: Vec<Detection>, now_ns: i64) {
        if found.is_empty() {
            return;
        }
        let now_ms = now_ns / 1_000_000;
        let row = |detection: Detection| {
            let hidden_by = self.suppressions.hidden_by(&detection, now_ms);
            DetectionRow {
                detection,
                hidden_by,
            }
        };
        let detections: Vec<DetectionRow> = found.into_iter().map(row).collect();
        let hits = self
            .suppressions
            .hits()
            .map(|(name, n)| (name.to_owned(), n));
        *self.hits.lock().unwrap_or_else(PoisonError::into_inner) = hits.collect();
        let shown = detections.iter().filter(|r| r.hidden_by.is_empty());
        let notices: Vec<Notice> = shown
            .map(|r| notice(&mut self.told, &r.detection))
            .collect();
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
        let notifier = match config.notify.targets.is_empty() {
            true => None,
            false => Some(Arc::new(notifier(config, state.path(), tables)?)),
        };
        let suppressions = Suppressions::new(&config.suppressions);
        let mut findings = Findings::new(suppressions, sealer, outbox, notifier.clone());
        view.told(findings.hits(), notifier.clone());
        let watch = match config.sink.kind.discards() {
            true => None,
            false => {
                let desk = Desk::new(connection);
                view.ask_at(desk.clone());
                let after_min = config.notify.escalate_after_min.clone();
                Some(desk.watch(after_min, notifier.clone())?)
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

fn notifier(config: &Config, state: &Path, tables: &Arc<Tables>) -> Result<Notifier> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let tables = tables.clone();
    let zone_of = Arc::new(move |ip| tables.zone(Addr::from(ip)).to_owned());
    let dir = state.join("notify");
    Notifier::start(&config.notify, &dir, host.trim(), zone_of).map_err(|e| anyhow!(e))
}

/// What people are told of a version.
fn notice(told: &mut BTreeMap<u64, Severity>, d: &Detection) -> Notice {
    let event = match told.get(&d.id) {
        None => Event::New,
        Some(before) if d.severity > *before => Event::Raised,
        Some(_) => Event::Grown,
    };
    if told.len() >= TOLD_MAX && event == Event::New {
        told.pop_first();
    }
    told.insert(d.id, d.severity);
    Notice {
        event,
        incident: ndjson::detection(d),
    }
}

/// Hand-overs that may wait.
const FOUND_MAX: usize = 64;
/// Incidents that are remembered as told.
const TOLD_MAX: usize = 65_536;
