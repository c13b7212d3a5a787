//! The thread that asks exporters, and what it hands over.
#![expect(
    clippy::disallowed_types,
    reason = "counters and figures are taken from here once a second; no datagram passes this lock"
)]

use super::access::Directory;
use super::breaker::Breaker;
use super::cache::{Cache, Known};
use super::device::{self, Octets, Reading, Row};
use super::error::Error;
use super::settings::Settings;
use super::stats::Stats;
use crate::enrich::{Interfaces, Polled};
use crate::model::{Addr, CounterSource, InterfaceCounters};
use async_snmp::{Auth, Client, Retry};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Says which exporters sent something so far.
pub type Exporters = Box<dyn Fn() -> Vec<Addr> + Send>;

/// A thread that asks exporters for their interfaces. It reaches nobody's data path: names go into a [`Polled`], counters
/// wait to be taken.
#[derive(Debug)]
pub struct Poller {
    orders: watch::Sender<Order>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Clone, Debug)]
struct Order {
    settings: Arc<Settings>,
    stop: bool,
}

#[derive(Debug, Default)]
struct Shared {
    counters: Mutex<VecDeque<InterfaceCounters>>,
    stats: Mutex<Stats>,
}

impl Poller {
    /// Publishes what an earlier run kept in the state directory, and starts asking.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(
        settings: &Settings,
        polled: Arc<Polled>,
        state: &Path,
        exporters: Exporters,
    ) -> std::io::Result<Poller> {
        let order = Order {
            settings: Arc::new(settings.clone()),
            stop: false,
        };
        let (orders, receiver) = watch::channel(order.clone());
        let shared = Arc::new(Shared::default());
        let mut rounds = Rounds {
            directory: Directory::new(settings),
            settings: order.settings,
            orders: receiver,
            exporters,
            shared: shared.clone(),
            polled,
            cache: Cache::new(state),
            devices: BTreeMap::new(),
            polls: JoinSet::new(),
            looked: None,
            kept: Instant::now(),
            changed: false,
            stats: Stats::default(),
        };
        rounds.load();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let work = move || runtime.block_on(rounds.run());
        let thread = Builder::new().name("snmp".into()).spawn(work)?;
        Ok(Poller {
            orders,
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Takes over other settings: everybody is asked anew, who is not named any more loses what was learned.
    pub fn reconfigure(&self, settings: &Settings) {
        let settings = Arc::new(settings.clone());
        self.orders.send_modify(|o| o.settings = settings);
    }

    /// Counters read since the last call, oldest first.
    pub fn take_counters(&self) -> Vec<InterfaceCounters> {
        std::mem::take(&mut *lock(&self.shared.counters)).into()
    }

    /// How it goes.
    pub fn stats(&self) -> Stats {
        lock(&self.shared.stats).clone()
    }

    /// Ends it; polls that are on their way are given up.
    pub fn stop(&self) {
        self.orders.send_modify(|o| o.stop = true);
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the SNMP thread panicked");
        }
    }
}

/// What the thread has.
struct Rounds {
    settings: Arc<Settings>,
    directory: Directory,
    orders: watch::Receiver<Order>,
    exporters: Exporters,
    shared: Arc<Shared>,
    polled: Arc<Polled>,
    cache: Cache,
    devices: BTreeMap<Addr, Device>,
    polls: JoinSet<Poll>,
    looked: Option<Instant>,
    kept: Instant,
    changed: bool,
    stats: Stats,
}

/// An exporter that is asked.
struct Device {
    breaker: Breaker,
    known: Known,
    is_asked: bool,
    /// The fault that was logged last.
    said: Option<Error>,
}

/// An answer or none.
struct Poll {
    exporter: Addr,
    took: Duration,
    result: Result<(Reading, i64), Error>,
}

impl Rounds {
    async fn run(mut self) {
        loop {
            self.look();
            self.publish();
            let is_idle = self.directory.is_empty();
            tokio::select! {
                changed = self.orders.changed() => {
                    let order = self.orders.borrow_and_update().clone();
                    if changed.is_err() || order.stop {
                        break;
                    }
                    self.reconfigure(order.settings);
                }
                Some(done) = self.polls.join_next() => match done {
                    Ok(poll) => self.done(poll),
                    Err(error) => tracing::error!("a poll ended in an odd way: {error}"),
                },
                () = tokio::time::sleep(LOOK), if !is_idle => {}
            }
        }
        self.keep();
    }

    /// What an earlier run kept of those who are still to be asked.
    fn load(&mut self) {
        let s = &self.settings;
        let oldest_ms = now_ns() / 1_000_000 - KEPT_MS;
        let all = self
            .cache
            .load(s.exporters_max, s.interfaces_max, oldest_ms);
        let now = Instant::now();
        for (exporter, known) in all {
            if self.directory.covers(&exporter) {
                self.polled.publish(exporter, known.interfaces.clone());
                self.devices.insert(exporter, Device::new(known, now));
            }
        }
        if !self.devices.is_empty() {
            tracing::info!(
                "SNMP: interfaces of {} exporters from an earlier run",
                self.devices.len()
            );
        }
    }

    fn reconfigure(&mut self, settings: Arc<Settings>) {
        self.directory = Directory::new(&settings);
        self.settings = settings;
        self.looked = None;
        let now = Instant::now();
        let gone: Vec<Addr> = (self.devices.keys())
            .filter(|e| !self.directory.covers(e))
            .copied()
            .collect();
        for exporter in gone {
            self.devices.remove(&exporter);
            self.polled.publish(exporter, Arc::default());
            self.changed = true;
        }
        self.devices.values_mut().for_each(|d| d.breaker.reset(now));
    }

    /// Takes in exporters that are new and asks those that are due.
    fn look(&mut self) {
        if self.directory.is_empty() {
            return;
        }
        let now = Instant::now();
        if self.looked.is_none_or(|at| now - at >= MEET) {
            self.looked = Some(now);
            self.meet(now);
        }
        let mut room = self
            .settings
            .concurrent_max
            .saturating_sub(self.polls.len());
        for (exporter, device) in &mut self.devices {
            if room == 0 {
                break;
            }
            if device.is_asked || !device.breaker.is_due(now) {
                continue;
            }
            room -= 1;
            device.is_asked = true;
            let (exporter, settings) = (*exporter, self.settings.clone());
            let door = self.directory.door(&exporter);
            self.polls.spawn(async move {
                let began = Instant::now();
                let result = match door {
                    Ok((host, port, auth)) => ask(host, port, auth, &settings).await,
                    Err(error) => Err(error),
                };
                let took = began.elapsed();
                Poll {
                    exporter,
                    took,
                    result,
                }
            });
        }
        if self.changed && now - self.kept >= KEEP || now - self.kept >= KEEP_ANYWAY {
            self.keep();
        }
    }

    fn meet(&mut self, now: Instant) {
        let seen = (self.exporters)();
        let named = self.directory.named().collect::<Vec<_>>();
        let all = named.into_iter().chain(seen);
        let mut refused = 0;
        for exporter in all.filter(|e| self.directory.covers(e)) {
            if self.devices.contains_key(&exporter) {
                continue;
            }
            if self.devices.len() >= self.settings.exporters_max {
                refused += 1;
                continue;
            }
            let device = Device::new(Known::default(), now);
            self.devices.insert(exporter, device);
        }
        self.stats.exporters_refused = refused;
    }

    fn done(&mut self, poll: Poll) {
        let now = Instant::now();
        let interval = Duration::from_secs(self.settings.interval_s);
        let exporter = poll.exporter;
        let others: usize = (self.devices.iter())
            .filter(|(e, _)| **e != exporter)
            .map(|(_, d)| d.known.interfaces.len())
            .sum();
        // the settings may have let it go meanwhile
        let Some(device) = self.devices.get_mut(&exporter) else {
            return;
        };
        device.is_asked = false;
        self.stats.seconds += poll.took.as_secs_f64();
        match poll.result {
            Ok((reading, at_ns)) => {
                let was_open = device.breaker.succeeded(now, interval);
                if device.said.take().is_some() || was_open {
                    tracing::info!("SNMP: exporter {exporter} answers again");
                }
                self.stats.polls += 1;
                self.take(exporter, reading, at_ns, others);
            }
            Err(error) => {
                let most = Duration::from_secs(self.settings.backoff_max_s);
                let opened = device.breaker.failed(now, interval, most);
                *self.stats.failures.entry(error.kind()).or_default() += 1;
                if opened || device.said.as_ref() != Some(&error) {
                    let (kept, pause) = (device.known.interfaces.len(), device.breaker.pause(now));
                    tracing::warn!(
                        "SNMP: exporter {exporter}: {error}; {kept} interfaces of the last good answer hold; next try in {} s",
                        pause.as_secs()
                    );
                    device.said = Some(error);
                }
            }
        }
    }

    /// Takes in an answer that is whole.
    fn take(&mut self, exporter: Addr, reading: Reading, at_ns: i64, others: usize) {
        self.stats.texts_cut += reading.cut;
        self.stats.values_odd += reading.odd;
        self.stats.columns_full += reading.full;
        let Some(device) = self.devices.get_mut(&exporter) else {
            return;
        };
        if others + reading.interfaces.len() > self.settings.interfaces_max {
            self.stats.interfaces_refused += reading.interfaces.len() as u64;
            return;
        }
        let (at_ms, uptime_cs) = (at_ns / 1_000_000, reading.uptime_cs);
        let before = &device.known;
        let restarted = before.at_ms > 0 && began_anew(before, uptime_cs, at_ms);
        let rows = reading.interfaces.iter().filter_map(|(if_index, row)| {
            let old = before.interfaces.get(if_index);
            let is_other = old.is_some_and(|o| o.name != row.interface.name);
            counters(exporter, *if_index, row, at_ns, restarted || is_other)
        });
        let mut waiting = lock(&self.shared.counters);
        for row in rows {
            self.stats.counters += 1;
            if waiting.len() >= self.settings.counters_max {
                waiting.pop_front();
                self.stats.counters_dropped += 1;
            }
            waiting.push_back(row);
        }
        drop(waiting);
        self.stats.restarts += u64::from(restarted);
        let named = reading
            .interfaces
            .into_iter()
            .map(|(n, r)| (n, r.interface));
        let interfaces: Interfaces = named.collect();
        if interfaces != *before.interfaces {
            device.known.interfaces = Arc::new(interfaces);
            let interfaces = device.known.interfaces.clone();
            self.polled.publish(exporter, interfaces);
            self.changed = true;
        }
        (device.known.uptime_cs, device.known.at_ms) = (uptime_cs, at_ms);
    }

    fn keep(&mut self) {
        (self.kept, self.changed) = (Instant::now(), false);
        let answered = self.devices.iter().filter(|(_, d)| d.known.at_ms > 0);
        let all = answered.map(|(e, d)| (e, &d.known));
        if let Err(error) = self.cache.store(all) {
            tracing::warn!("SNMP: names of interfaces are not kept for the next start: {error}");
        }
    }

    fn publish(&mut self) {
        let s = &mut self.stats;
        let all = || self.devices.values();
        s.exporters = self.devices.len();
        s.open = all().filter(|d| d.breaker.is_open()).count();
        s.asked = self.polls.len();
        s.interfaces = all().map(|d| d.known.interfaces.len()).sum();
        let answers = |d: &Device| d.said.is_none() && d.known.at_ms > 0;
        s.up = (self.devices.iter().take(UP_MAX))
            .map(|(e, d)| (*e, answers(d)))
            .collect();
        lock(&self.shared.stats).clone_from(s);
    }
}

impl Device {
    fn new(known: Known, now: Instant) -> Device {
        Device {
            breaker: Breaker::new(now),
            known,
            is_asked: false,
            said: None,
        }
    }
}

/// One poll, which ends in time whatever the other side does.
async fn ask(
    host: String,
    port: u16,
    auth: Auth,
    settings: &Settings,
) -> Result<(Reading, i64), Error> {
    let place = format!("{host}:{port}");
    let client = async |auth: Auth, retries: u32| {
        let timeout = Duration::from_millis(settings.timeout_ms);
        let retry = Retry::fixed(retries, Duration::ZERO);
        let client = Client::builder((host.clone(), port), auth)
            .request_timeout(timeout)
            .construction_timeout(timeout)
            .retry(retry.unwrap_or_else(|_| Retry::none()))
            // an answer from elsewhere may be anybody's
            .strict_source(true);
        let client = client.connect().await;
        client.map_err(|e| device::fault(place.clone(), &e))
    };
    let whole = async {
        let is_v3 = matches!(auth, Auth::Usm(_));
        let most = settings.interfaces_per_exporter_max;
        let result = device::read(&client(auth, settings.retries).await?, most, now_ns).await;
        if !is_v3 || !matches!(result, Err(Error::Silent { .. })) {
            return result;
        }
        // who refuses a user says so unsigned, which the library rightly does not believe: it is good enough for a hint
        let Ok(stranger) = client(Auth::usm("flowhouse"), 0).await else {
            return result;
        };
        match device::uptime(&stranger).await {
            Err(Error::Silent { .. } | Error::Unreachable { .. }) => result,
            _ => Err(Error::Refused {
                place: place.clone(),
                why: "it is there, and signs no answer for this user: is the user known there, are passwords and protocols the same?".into(),
            }),
        }
    };
    let most = Duration::from_secs(settings.poll_timeout_s);
    let whole = tokio::time::timeout(most, whole).await;
    whole.unwrap_or_else(|_| {
        Err(Error::Slow {
            place: format!("{host}:{port}"),
        })
    })
}

/// Whether an exporter was started since it answered last: its uptime is shorter than the time since then, or fell. It
/// wraps after 497 days.
fn began_anew(before: &Known, uptime_cs: u32, at_ms: i64) -> bool {
    let passed_cs = (at_ms - before.at_ms).max(0) as u64 / 10;
    let expected = u64::from(before.uptime_cs) + passed_cs;
    let wrapped = expected + SLACK_CS >= 1 << 32;
    let fell = uptime_cs < before.uptime_cs && !wrapped;
    fell || u64::from(uptime_cs) + SLACK_CS < passed_cs && !wrapped
}

/// A row of counters, where both directions are known.
fn counters(
    exporter: Addr,
    if_index: u32,
    row: &Row,
    at_ns: i64,
    restarted: bool,
) -> Option<InterfaceCounters> {
    let (octets_in, octets_out) = row.octets_in.zip(row.octets_out)?;
    let narrow = octets_in.narrow || octets_out.narrow;
    let count = |o: Octets| match narrow {
        true => o.count & u64::from(u32::MAX),
        false => o.count,
    };
    Some(InterfaceCounters {
        source: CounterSource::Snmp,
        narrow,
        restarted,
        exporter,
        received_at_ns: at_ns,
        if_index,
        if_speed: row.interface.speed,
        in_octets: count(octets_in),
        out_octets: count(octets_out),
        ..InterfaceCounters::default()
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "counters are of the moment in which they are read, off the data path"
)]
fn now_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |d| d.as_nanos() as i64)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time between two looks whether somebody is due.
const LOOK: Duration = Duration::from_millis(250);
/// Time between two looks who exports.
const MEET: Duration = Duration::from_secs(2);
/// Time between two writings of the file after changes, and without any.
const KEEP: Duration = Duration::from_secs(30);
const KEEP_ANYWAY: Duration = Duration::from_secs(600);
/// What is older is not read back, ms.
const KEPT_MS: i64 = 30 * 86_400_000;
/// Exporters of which metrics say one by one whether they answer.
const UP_MAX: usize = 1_000;
/// How far two clocks may differ between two polls, hundredths of a second.
const SLACK_CS: u64 = 3_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_is_seen_by_the_uptime_and_a_wrap_is_none() {
        let before = |uptime_cs, at_ms| Known {
            uptime_cs,
            at_ms,
            ..Known::default()
        };
        let minute = 60_000;
        assert!(!began_anew(&before(1_000, 1), 7_000, 1 + minute));
        assert!(began_anew(&before(100_000, 1), 500, 1 + minute), "it fell");
        let day = 86_400_000;
        assert!(
            began_anew(&before(1_000, 1), 20_000, 1 + day),
            "longer away than up"
        );
        let full = u32::MAX - 1_000;
        assert!(!began_anew(&before(full, 1), 4_999, 1 + minute), "wrapped");
    }

    #[test]
    fn narrow_counters_are_narrow_in_both_directions() {
        let octets = |count, narrow| Some(Octets { count, narrow });
        let mut row = Row {
            octets_in: octets(5 << 32 | 7, false),
            octets_out: octets(9, true),
            ..Row::default()
        };
        let a = Addr::from_v4([192, 0, 2, 1]);
        let c = counters(a, 1, &row, 0, false).expect("both");
        assert_eq!((c.in_octets, c.out_octets, c.narrow), (7, 9, true));
        row.octets_out = None;
        assert_eq!(counters(a, 1, &row, 0, false), None);
    }
}
