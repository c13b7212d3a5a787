//! Targets: who is told of what, and the threads that tell them.
#![expect(
    clippy::disallowed_types,
    reason = "targets change with a reload; taken once for a notice, and never on the data path"
)]

use super::email::Email;
use super::hours::day;
use super::http::Http;
use super::queue::Queue;
use super::settings::{HANDED_MAX, Kind, network};
use super::syslog::Syslog;
use super::{Event, Fault, Notice, Settings, Target};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread::Builder;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// In which zone an address is; empty where in none.
pub type ZoneOf = Arc<dyn Fn(IpAddr) -> String + Send + Sync>;

/// Tells all targets.
pub struct Notifier {
    lanes: RwLock<Vec<Lane>>,
    zone_of: ZoneOf,
    grafana_url: Option<String>,
    /// What the threads of targets have in common, and where their queues are.
    settings: Settings,
    dir: PathBuf,
    host: String,
}

/// What became of the notices of one target since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The target's name.
    pub target: String,
    /// Delivered.
    pub sent: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Given up: no room, refused by the receiver, or too old.
    pub dropped: u64,
    /// In the queue now.
    pub waiting: u64,
}

#[derive(Debug, Default)]
struct Cell {
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
    waiting: AtomicU64,
}

struct Lane {
    target: Target,
    /// `None` ends the thread.
    sender: Sender<Option<Arc<Notice>>>,
    cell: Arc<Cell>,
    /// Closed when the thread has ended.
    ended: Receiver<()>,
}

impl std::fmt::Debug for Notifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lanes = self.lanes();
        let names = lanes.iter().map(|l| &l.target.name);
        f.debug_list().entries(names).finish()
    }
}

impl Notifier {
    /// Starts a thread for each target, with its queue below `dir`; `host` is the name of this machine.
    ///
    /// # Errors
    /// Which file or folder cannot be used.
    pub fn start(
        settings: &Settings,
        dir: &Path,
        host: &str,
        zone_of: ZoneOf,
    ) -> Result<Notifier, String> {
        let notifier = Notifier {
            lanes: RwLock::default(),
            zone_of,
            grafana_url: settings.grafana_url.clone(),
            settings: settings.clone(),
            dir: dir.to_owned(),
            host: host.to_owned(),
        };
        notifier.change(&settings.targets)?;
        Ok(notifier)
    }

    /// Proves that targets can be told.
    ///
    /// # Errors
    /// Which of them cannot, and why.
    pub fn prove(targets: &[Target], host: &str) -> Result<(), String> {
        for target in targets {
            Way::new(target, host).map_err(|e| format!("notify target {}: {e}", target.name))?;
        }
        Ok(())
    }

    /// Whether there is anybody to tell.
    pub fn has_targets(&self) -> bool {
        !self.lanes().is_empty()
    }

    /// Other targets from here on. Those that are as before go on with what waits for them; of one that is no more what waits stays on disk, until
    /// it is back.
    ///
    /// # Errors
    /// Which file or folder cannot be used; the other targets are told all the same.
    pub fn change(&self, targets: &[Target]) -> Result<(), String> {
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        let (kept, gone) = std::mem::take(&mut *lanes)
            .into_iter()
            .partition(|l| targets.contains(&l.target));
        *lanes = kept;
        // a queue has one owner
        end(&gone);
        let mut faults = vec![];
        for target in targets {
            if lanes.iter().all(|l| l.target != *target) {
                match self.lane(target) {
                    Ok(lane) => lanes.push(lane),
                    Err(fault) => faults.push(fault),
                }
            }
        }
        match faults.is_empty() {
            true => Ok(()),
            false => Err(faults.join("; ")),
        }
    }

    fn lanes(&self) -> RwLockReadGuard<'_, Vec<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread of a target.
    fn lane(&self, target: &Target) -> Result<Lane, String> {
        let settings = &self.settings;
        let dir = self.dir.join(&target.name);
        let queue = Queue::open(&dir, settings.queue_max, settings.queue_bytes_max);
        let (sender, notices) = bounded(HANDED_MAX);
        let (alive, ended) = bounded(0);
        let cell = Arc::new(Cell::default());
        let teller = Teller {
            name: target.name.clone(),
            queue: queue.map_err(|e| format!("{}: {e}", dir.display()))?,
            way: Way::new(target, &self.host)
                .map_err(|e| format!("notify target {}: {e}", target.name))?,
            notices,
            cell: cell.clone(),
            keep_ms: i64::try_from(settings.keep_hours)
                .unwrap_or(i64::MAX)
                .saturating_mul(3_600_000),
            failures: 0,
            retry_at: None,
            pace: Pace::new(target.per_minute_max),
            said: String::new(),
        };
        let thread = Builder::new()
            .name(format!("notify-{}", target.name))
            .spawn(move || {
                let _alive: Sender<()> = alive;
                teller.run();
            });
        thread.map_err(|e| e.to_string())?;
        Ok(Lane {
            target: target.clone(),
            sender,
            cell,
            ended,
        })
    }

    /// Tells all targets that want to know. Waits for nobody but a change of targets: what one has no room for is counted as dropped.
    pub fn tell(&self, mut notice: Notice) {
        if let Some(url) = &self.grafana_url
            && let Some(link) = super::link(url, &notice.incident)
        {
            notice.incident["link"] = link.into();
        }
        let (now_ms, notice) = (now_ms(), Arc::new(notice));
        for lane in self.lanes().iter() {
            let wants = wants(&lane.target, &notice, now_ms, &self.zone_of);
            if wants && lane.sender.try_send(Some(notice.clone())).is_err() {
                lane.cell.dropped.fetch_add(1, Relaxed);
            }
        }
    }

    /// What became of the notices.
    pub fn counts(&self) -> Vec<Counts> {
        let of = |l: &Lane| Counts {
            target: l.target.name.clone(),
            sent: l.cell.sent.load(Relaxed),
            failed: l.cell.failed.load(Relaxed),
            dropped: l.cell.dropped.load(Relaxed),
            waiting: l.cell.waiting.load(Relaxed),
        };
        self.lanes().iter().map(of).collect()
    }

    /// Ends the threads; what waits is on disk.
    pub fn stop(&self) {
        end(&self.lanes());
    }
}

/// Ends the threads of targets.
fn end(lanes: &[Lane]) {
    for lane in lanes {
        // a thread that waits for a receiver comes back to its queue in time
        lane.sender.send_timeout(None, END_PATIENCE).ok();
    }
    for lane in lanes {
        lane.ended.recv_timeout(END_PATIENCE).ok();
    }
}

/// Whether a target wants to know.
fn wants(target: &Target, notice: &Notice, now_ms: i64, zone_of: &ZoneOf) -> bool {
    let ips: Vec<IpAddr> = notice
        .entities()
        .iter()
        .filter_map(|e| Some(network(e)?.0))
        .collect();
    let within = |e: &String| {
        let net = network(e);
        net.is_some_and(|n| ips.iter().any(|ip| has(n, *ip)))
    };
    let in_zone = || ips.iter().any(|ip| target.zones.contains(&zone_of(*ip)));
    let event = match notice.event {
        Event::Grown => target.kind == Kind::Alertmanager && !target.only_escalated,
        Event::Escalated => true,
        Event::Acknowledged => target.steps,
        // who was told that something burns wants to hear that it does not
        Event::Closed | Event::Joined => target.steps || target.kind == Kind::Alertmanager,
        Event::New | Event::Raised => !target.only_escalated,
    };
    event
        && notice.severity() >= target.severity
        && (target.kinds.is_empty() || target.kinds.contains(&notice.text("kind")))
        && (target.entities.is_empty() || target.entities.iter().any(within))
        && (target.zones.is_empty() || in_zone())
        && target.hours.is_none_or(|h| h.has(now_ms))
        && (target.days.is_empty() || target.days.contains(&day(now_ms)))
}

/// Whether a network has an address.
fn has((first, bits): (IpAddr, u8), ip: IpAddr) -> bool {
    let differing = match (first, ip) {
        (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(a.to_bits() ^ b.to_bits()) << 96,
        (IpAddr::V6(a), IpAddr::V6(b)) => a.to_bits() ^ b.to_bits(),
        _ => return false,
    };
    differing.leading_zeros() >= u32::from(bits)
}

/// How a target is reached.
enum Way {
    Http(Http),
    Syslog(Syslog),
    Email(Box<Email>),
}

impl Way {
    fn new(target: &Target, host: &str) -> Result<Way, String> {
        match target.kind {
            Kind::Syslog => Syslog::new(target, host).map(Way::Syslog),
            Kind::Email => Email::new(target, host).map(|e| Way::Email(Box::new(e))),
            Kind::Webhook | Kind::Alertmanager => Http::new(target).map(Way::Http),
        }
    }

    fn send(&mut self, notice: &Notice, now_ms: i64) -> Result<(), Fault> {
        match self {
            Way::Http(http) => http.send(notice, now_ms),
            Way::Syslog(syslog) => syslog.send(notice, now_ms),
            Way::Email(email) => email.send(notice, now_ms),
        }
    }
}

/// The thread of one target.
struct Teller {
    name: String,
    queue: Queue,
    way: Way,
    notices: Receiver<Option<Arc<Notice>>>,
    cell: Arc<Cell>,
    keep_ms: i64,
    failures: u32,
    retry_at: Option<Instant>,
    pace: Pace,
    /// The fault that the log has.
    said: String,
}

impl Teller {
    fn run(mut self) {
        loop {
            self.cell.waiting.store(self.queue.len() as u64, Relaxed);
            let wait = self.wait();
            match self.notices.recv_timeout(wait) {
                Ok(Some(notice)) => self.keep(&notice),
                Err(RecvTimeoutError::Timeout) => self.send(),
                Ok(None) | Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.cell.waiting.store(self.queue.len() as u64, Relaxed);
    }

    /// How long until something can be sent.
    fn wait(&mut self) -> Duration {
        if self.queue.len() == 0 {
            return IDLE;
        }
        let retry = self.retry_at.map_or(Duration::ZERO, |at| {
            at.saturating_duration_since(Instant::now())
        });
        retry.max(self.pace.wait(Instant::now())).min(IDLE)
    }

    fn keep(&mut self, notice: &Notice) {
        if let Err(why) = self.queue.push(notice, now_ms()) {
            self.drop_one(&why);
        }
    }

    fn send(&mut self) {
        if !self.wait().is_zero() {
            return;
        }
        let now = now_ms();
        let notice = match self.queue.first() {
            None => return,
            Some((Some(notice), at_ms)) if now.saturating_sub(at_ms) <= self.keep_ms => notice,
            Some((notice, _)) => {
                self.queue.pop();
                return self.drop_one(if notice.is_some() {
                    "it waited too long"
                } else {
                    "its file is damaged"
                });
            }
        };
        self.pace.take(Instant::now());
        match self.way.send(&notice, now) {
            Ok(()) => {
                self.queue.pop();
                self.cell.sent.fetch_add(1, Relaxed);
                (self.failures, self.retry_at) = (0, None);
                self.said.clear();
            }
            Err(Fault::Never(why)) => {
                self.queue.pop();
                self.cell.failed.fetch_add(1, Relaxed);
                self.drop_one(&why);
            }
            Err(Fault::Later(why)) => {
                self.cell.failed.fetch_add(1, Relaxed);
                self.failures += 1;
                let pause = FIRST_PAUSE
                    .saturating_mul(1 << self.failures.min(10))
                    .min(PAUSE_MAX);
                self.retry_at = Some(Instant::now() + pause);
                self.say(format!(
                    "notify target {} does not take notices: {why}",
                    self.name
                ));
            }
        }
    }

    fn drop_one(&mut self, why: &str) {
        self.cell.dropped.fetch_add(1, Relaxed);
        self.say(format!(
            "notify target {}: notices are dropped: {why}",
            self.name
        ));
    }

    /// One line a fault, however often it comes.
    fn say(&mut self, text: String) {
        if self.said != text {
            tracing::warn!("{text}");
            self.said = text;
        }
    }
}

/// Tokens of a minute.
struct Pace {
    per_minute: f64,
    tokens: f64,
    at: Option<Instant>,
}

impl Pace {
    fn new(per_minute: u32) -> Pace {
        Pace {
            per_minute: f64::from(per_minute),
            tokens: f64::from(per_minute),
            at: None,
        }
    }

    fn fill(&mut self, now: Instant) {
        let since = self
            .at
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let more = since.as_secs_f64() * self.per_minute / 60.0;
        self.tokens = (self.tokens + more).min(self.per_minute);
        self.at = Some(now);
    }

    fn wait(&mut self, now: Instant) -> Duration {
        self.fill(now);
        let missing = (1.0 - self.tokens).max(0.0);
        Duration::from_secs_f64(missing * 60.0 / self.per_minute)
    }

    fn take(&mut self, now: Instant) {
        self.fill(now);
        self.tokens -= 1.0;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "dates what is told; nothing on the data path asks notify for the time"
)]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis() as i64)
}

/// How long the end waits for a thread: longer than a try takes.
const END_PATIENCE: Duration = Duration::from_secs(12);
/// Longest sleep of a thread.
const IDLE: Duration = Duration::from_millis(500);
/// Pauses after failures: doubled from the first up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::super::form::tests::notice;
    use super::*;

    fn target(more: &str) -> Target {
        let text =
            format!("name = \"t\"\nkind = \"webhook\"\nto = \"http://127.0.0.1:1/\"\n{more}");
        toml::from_str(&text).expect("a target")
    }

    #[test]
    fn routes_are_conditions() {
        let zone_of: ZoneOf = Arc::new(|ip| {
            if ip.is_ipv4() {
                "dmz".into()
            } else {
                String::new()
            }
        });
        // a Friday, half past eight
        let now = 1_795_737_600_000 + (8 * 60 + 30) * 60_000;
        let wants = |more: &str| wants(&target(more), &notice(), now, &zone_of);
        for more in [
            "",
            "severity = \"high\"",
            "kinds = [\"beacon\", \"syn_flood\"]",
            "entities = [\"10.0.0.0/8\", \"192.0.2.0/24\"]",
            "zones = [\"dmz\"]",
            "hours = \"08:00-18:00\"\ndays = [\"fri\"]",
        ] {
            assert!(wants(more), "{more}");
        }
        for more in [
            "severity = \"critical\"",
            "kinds = [\"beacon\"]",
            "entities = [\"10.0.0.0/8\", \"::/0\"]",
            "zones = [\"office\"]",
            "hours = \"18:00-08:00\"",
            "days = [\"sat\", \"sun\"]",
            "only_escalated = true",
        ] {
            assert!(!wants(more), "{more}");
        }
    }

    #[test]
    fn what_grows_is_told_to_those_who_forget() {
        let zone_of: ZoneOf = Arc::new(|_| String::new());
        let grown = Notice {
            event: Event::Grown,
            ..notice()
        };
        assert!(!wants(&target(""), &grown, 0, &zone_of));
        let alertmanager = Target {
            kind: Kind::Alertmanager,
            ..target("")
        };
        assert!(wants(&alertmanager, &grown, 0, &zone_of));
        let escalated = Notice {
            event: Event::Escalated,
            ..notice()
        };
        assert!(wants(
            &target("only_escalated = true"),
            &escalated,
            0,
            &zone_of
        ));
        let of = |event| Notice { event, ..notice() };
        let (looked, ended) = (of(Event::Acknowledged), of(Event::Closed));
        assert!(!wants(&target(""), &ended, 0, &zone_of));
        assert!(wants(&target("steps = true"), &ended, 0, &zone_of));
        assert!(wants(&target("steps = true"), &looked, 0, &zone_of));
        assert!(wants(&alertmanager, &ended, 0, &zone_of));
        let joined = of(Event::Joined);
        assert!(!wants(&target(""), &joined, 0, &zone_of));
        assert!(wants(&target("steps = true"), &joined, 0, &zone_of));
        assert!(wants(&alertmanager, &joined, 0, &zone_of));
        assert!(!wants(&alertmanager, &looked, 0, &zone_of));
    }

    #[test]
    fn a_minute_has_so_many() {
        let mut pace = Pace::new(60);
        let start = Instant::now();
        for _ in 0..60 {
            assert!(pace.wait(start).is_zero());
            pace.take(start);
        }
        assert!(!pace.wait(start).is_zero());
        assert!(pace.wait(start + Duration::from_secs(1)).is_zero());
        pace.take(start + Duration::from_secs(1));
        assert!(!pace.wait(start + Duration::from_secs(1)).is_zero());
    }
}
