//! `flowhouse demo`: the product in one command, on this machine, with no router at all.

mod packets;

use super::top::{self, Answer, Limit, Question, Time, What};
use crate::assemble::query::{Reader, number};
use crate::assemble::{Collector, Opened, Origin, Totals};
use crate::config::Config;
use crate::generate::packets::PacketTruth;
use crate::generate::sender::{self, Plan, Report};
use crate::generate::{Habits, Profile};
use crate::rights;
use crate::sink::ndjson;
use crate::store::{SpawnOptions, spawn};
use anyhow::{Context, Result, bail};
use clap::Args;
use packets::{Captures, Metered, Mirror};
use serde_json::json;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Shows the product: an embedded ClickHouse, the collector, three exporters that send to it over UDP, and mirrored traffic.
///
/// A v5 edge switch, a v9 router with application names and sampling, and an IPFIX gateway with IPv6 export generated traffic
/// over loopback. Every few seconds bandwidth by application, by QoS class and by interface is read back from ClickHouse with
/// SQL. Beside them packets of calls, pages and name look-ups are metered, as from a mirror port, out of capture files in a watched
/// folder: application by what they say, and their quality. At the end come the ledger and the SQL to go on with. With --json all of that goes to standard error, and standard output has one JSON object at the end.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flowhouse demo --for 2m\n  flowhouse demo --rate 20000 --data /tmp/demo\n  flowhouse demo --for 30s --json | jq .ledger.laws"
)]
pub struct DemoArguments {
    /// End after this time; without it the demo runs until it is interrupted
    #[arg(long = "for", value_name = "TIME", value_parser = super::duration_seconds)]
    pub duration: Option<u64>,
    /// Flow records a second, all exporters together
    #[arg(long, default_value_t = 3_000, value_name = "FLOWS/S", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub rate: u64,
    /// Seconds between two rounds of tables
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub every: u64,
    /// Folder for the tables, kept afterwards; made when missing
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir().join("flowhouse-demo"))]
    pub data: PathBuf,
    /// Print what was sent, stored and counted, and the largest of everything, as JSON at the end
    #[arg(long)]
    pub json: bool,
}

/// What is asked of the store: the name in JSON, the title of the table, and how.
const TABLES: [(&str, &str, What, Limit); 3] = [
    (
        "applications",
        "bandwidth by application",
        What::Apps,
        Limit::Rows(10),
    ),
    (
        "qos_classes",
        "bandwidth by QoS class",
        What::Classes,
        Limit::Rows(12),
    ),
    (
        "interfaces",
        "bandwidth by interface (the busiest of each exporter)",
        What::Interfaces,
        Limit::RowsByExporter(4),
    ),
];

/// The starter rules, and what their classes mean.
const RULES: &str = include_str!("../../deploy/rules/flowhouse.rules");
const CLASSES: &str = include_str!("../../deploy/rules/classification.config");

/// How long the first rows may take; then something is wrong.
const FIRST_ROWS: Duration = Duration::from_secs(30);

/// The switch samples 1 in this many packets, which its header says.
const SWITCH_SAMPLING: u32 = 10;

/// The router samples 1 in this many packets, which its options data say: the tables show the error of that.
const ROUTER_SAMPLING: u32 = 10;

/// Runs the subcommand.
///
/// # Errors
/// When the store, the collector or the exporters cannot start.
pub fn run(arguments: &DemoArguments) -> Result<()> {
    rights::keep_to_group();
    super::run::log_to_stderr_from("warn");
    let store_dir = arguments.data.join("store");
    prepare(&arguments.data)?;
    let captures = Captures::new(&arguments.data)?;
    let begun = format!(
        "starting the embedded ClickHouse in {} ...",
        store_dir.display()
    );
    arguments.tell(begun)?;
    let store =
        spawn(&SpawnOptions::new(&store_dir)).context("the embedded ClickHouse did not start")?;
    let mut config = config(&arguments.data, &store.url, &store.key);
    config.capture.watch_directory = Some(captures.watched());
    config.signatures.rules = vec![starter_rules(&captures)?];
    // keeps its rights: it listens on loopback, and its exporters are threads of the same process
    let collector = Collector::start(Opened::open(&config, Origin::default())?)?;
    let to = *collector.addresses().first().context("no listener")?;
    arguments.tell(format!(
        "collecting on udp {to}, metrics on http://{}/metrics\nClickHouse on {} (key in {})\n",
        collector.control_address(),
        store.url,
        store_dir.join("key").display()
    ))?;
    let stop = super::stop_on_signal()?;
    let per_second = (arguments.rate / 100).clamp(2, 1_000);
    let reader = Reader::new(collector.connection())?;
    // an earlier demo's rows; none where the schema is only being applied
    let before = rows(&reader).unwrap_or(0.0);
    let metered_before = packets::metered(&reader).unwrap_or_default();
    let began = Instant::now();
    let mirror = Mirror::begin(&captures, per_second, stop.clone());
    let exporters: Vec<_> = exporters(to, arguments)
        .into_iter()
        .map(|plan| {
            let stop = stop.clone();
            std::thread::spawn(move || sender::send(&plan, &stop, |_| ()))
        })
        .collect();
    let shown = show(&collector, (&reader, began, before), arguments, &stop);
    stop.store(true, Ordering::Relaxed);
    let mut sent = Report::default();
    for thread in exporters {
        if let Ok(report) = thread.join() {
            let report = report.context("an exporter failed")?;
            sent.flows += report.flows;
            sent.datagrams += report.datagrams;
        }
    }
    let mirrored = mirror.end()?;
    let metered = packets::wait(&reader, metered_before, &mirrored)?;
    let (totals, _) = collector.stop();
    let first_rows = shown?;
    let end = End {
        sent,
        stored: rows(&reader)? - before,
        mirrored,
        metered,
        first_rows,
        began,
        totals,
    };
    end.tell(&reader, arguments)?;
    arguments.tell(next(&store_dir))?;
    store
        .stop()
        .context("the embedded ClickHouse did not stop in order")?;
    Ok(())
}

impl DemoArguments {
    /// Says something to people.
    fn tell(&self, text: impl Display) -> Result<()> {
        if self.json {
            eprintln!("{text}");
            return Ok(());
        }
        super::say(text)
    }
}

/// What came of it.
struct End {
    sent: Report,
    /// New rows in `flows` of what was sent.
    stored: f64,
    mirrored: PacketTruth,
    metered: Metered,
    /// How long it took until the first ones were there.
    first_rows: Duration,
    began: Instant,
    totals: Totals,
}

impl End {
    fn tell(&self, reader: &Reader, arguments: &DemoArguments) -> Result<()> {
        let (flows, datagrams) = (self.sent.flows, self.sent.datagrams);
        arguments.tell(format!(
            "sent {flows} flows in {datagrams} datagrams; {} new rows in `flows`\n\
             mirrored {} packets; {} of them metered in {} rows\n\nledger\n{}",
            self.stored,
            self.mirrored.total.packets,
            self.metered.packets,
            self.metered.rows,
            super::law_lines(&self.totals.laws())
        ))?;
        if !arguments.json {
            return Ok(());
        }
        let mut json = json!({
            "seconds": self.began.elapsed().as_secs_f64(),
            "first_rows_after_seconds": self.first_rows.as_secs_f64(),
            "sent": {"flows": flows, "datagrams": datagrams},
            "stored_rows": self.stored as u64,
            "mirrored": {"packets": self.mirrored.total.packets, "bytes": self.mirrored.total.bytes},
            "metered": {"rows": self.metered.rows as u64, "packets": self.metered.packets as u64, "bytes": self.metered.bytes as u64},
            "quality": packets::quality(reader, self.began.elapsed().as_secs())?,
            "data": arguments.data,
            "ledger": ndjson::ledger(&self.totals.book, &self.totals.gauges),
        });
        for (name, _, what, limit) in TABLES {
            json[name] = ask(reader, self.began, what, limit)?.json()["rows"].take();
        }
        super::say(serde_json::to_string_pretty(&json)?)
    }
}

fn ask(reader: &Reader, began: Instant, what: What, limit: Limit) -> Result<Answer> {
    let question = Question {
        what,
        time: Time::Last(began.elapsed().as_secs()),
        limit,
        exporter: None,
        filter: None,
    };
    Ok(top::ask(reader, &question)?.over(began.elapsed().as_secs_f64()))
}

/// The folder, enterable for the account that the store changes to when this is root. One that is there already stays as it is.
fn prepare(data: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let closed = |mode: u32| mode & 0o001 == 0;
    if let Ok(found) = std::fs::metadata(data) {
        if !found.is_dir() {
            bail!(
                "{} is no folder: choose another one with --data",
                data.display()
            );
        }
        if nix::unistd::geteuid().is_root() && closed(found.permissions().mode()) {
            bail!(
                "{} is closed to the account that the store changes to: choose another folder with --data, or open it (chmod o+x)",
                data.display()
            );
        }
        return Ok(());
    }
    let made = std::fs::create_dir_all(data)
        .and_then(|()| std::fs::set_permissions(data, std::fs::Permissions::from_mode(0o755)));
    made.with_context(|| {
        format!(
            "cannot make {}: choose another folder with --data",
            data.display()
        )
    })
}

/// Writes the starter rules beside the captures.
fn starter_rules(captures: &Captures) -> Result<PathBuf> {
    let folder = captures.rules();
    std::fs::create_dir(&folder)?;
    for (name, text) in [
        ("flowhouse.rules", RULES),
        ("classification.config", CLASSES),
    ] {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(folder.join("flowhouse.rules"))
}

fn config(data: &Path, url: &str, key: &str) -> Config {
    let mut config = Config {
        state_dir: Some(data.join("state")),
        ..Config::default()
    };
    config.receive.listeners = vec![SocketAddr::from(([127, 0, 0, 1], 0))];
    config.capture.watch_delete = true;
    // a demo is short: conversations are told while it lasts
    config.capture.watch_idle_s = 2;
    (config.meter.active_s, config.meter.idle_s) = (10, 5);
    config.control.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.clickhouse = Some(crate::sink::clickhouse::Connection {
        url: url.to_owned(),
        password: Some(key.to_owned()),
        ..Default::default()
    });
    config
}

fn exporters(to: SocketAddr, arguments: &DemoArguments) -> Vec<Plan> {
    let kinds = [
        (Profile::EdgeSwitch, SWITCH_SAMPLING),
        (Profile::Router, ROUTER_SAMPLING),
        (Profile::Gateway, 1),
    ];
    // one plan for all would number them 0, 1, 2 and give all of them one sampling; each has its own habits
    kinds
        .into_iter()
        .enumerate()
        .map(|(n, (profile, sampling))| Plan {
            to,
            profiles: vec![profile],
            first_exporter: n as u32,
            exporters: 1,
            habits: Habits {
                sampling,
                answered: true,
                ..Habits::default()
            },
            rate: (arguments.rate / 3).max(1),
            flows: None,
            duration: arguments.duration.map(Duration::from_secs),
            seed: n as u64 + 1,
            pool: 4_000,
            segment: false,
        })
        .collect()
}

fn rows(reader: &Reader) -> Result<f64> {
    Ok(number(
        &reader.row("SELECT countIf(origin != 'packets') AS n FROM flows")?,
        "n",
    ))
}

/// Prints the tables until the time is over; how long the first rows took.
fn show(
    collector: &Collector,
    (reader, began, before): (&Reader, Instant, f64),
    arguments: &DemoArguments,
    stop: &AtomicBool,
) -> Result<Duration> {
    wait_for_rows(collector, (reader, before), stop)?;
    let first = began.elapsed();
    let took = first.as_secs_f64();
    arguments.tell(format!("first rows in ClickHouse after {took:.1} s\n"))?;
    let ends = arguments.duration.map(|s| began + Duration::from_secs(s));
    let over = || stop.load(Ordering::Relaxed) || ends.is_some_and(|e| Instant::now() >= e);
    if stop.load(Ordering::Relaxed) {
        return Ok(first);
    }
    // once at least, however long the first rows took
    loop {
        let left = ends.map_or(Duration::MAX, |e| {
            e.saturating_duration_since(Instant::now())
        });
        pause(Duration::from_secs(arguments.every).min(left), stop);
        let seconds = began.elapsed().as_secs();
        arguments.tell(format!("--- after {seconds} s {}", "-".repeat(70)))?;
        for (_, title, what, limit) in TABLES {
            let answer = ask(reader, began, what, limit)?;
            arguments.tell(format!("{title}\n{}\n", answer.table()))?;
        }
        let spoken = packets::table(&packets::quality(reader, seconds)?);
        arguments.tell(format!(
            "mirrored traffic by what it says, and its quality\n{spoken}\n"
        ))?;
        if over() {
            return Ok(first);
        }
    }
}

fn wait_for_rows(
    collector: &Collector,
    (reader, before): (&Reader, f64),
    stop: &AtomicBool,
) -> Result<()> {
    let until = Instant::now() + FIRST_ROWS;
    let mut last = None;
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        // until the schema is there the query fails, which is no fault
        match rows(reader) {
            Ok(now) if now > before => return Ok(()),
            Ok(_) => {}
            Err(error) => last = Some(error),
        }
        if let Some(why) = collector.refusal() {
            bail!("refusing to run: {why}");
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    match last {
        Some(error) => Err(error.context("no rows arrived in ClickHouse")),
        None => Ok(()),
    }
}

fn pause(time: Duration, stop: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn next(store_dir: &Path) -> String {
    let dir = store_dir.display();
    format!(
        "
go on with the data of this demo:
  flowhouse store --data {dir} &
  flowhouse store sql --data {dir} \"
    SELECT app, qos_class, formatReadableSize(sum(est_bytes)) AS bytes, sum(flows) AS flows
    FROM flowhouse.usage_once GROUP BY app, qos_class ORDER BY sum(est_bytes) DESC LIMIT 20\"
  flowhouse store sql --data {dir} \"
    SELECT time, if_name, round(sum(bits_per_second) / 1e6, 2) AS mbit_s
    FROM flowhouse.interface_bandwidth WHERE direction = 'ingress' GROUP BY time, if_name ORDER BY time, mbit_s DESC\"
your own routers:
  flowhouse run            (UDP 2055, 4739 and 6343; then: flowhouse top apps --since 10m)
your own captures:
  flowhouse replay FILE.pcap --out DIR"
    )
}
