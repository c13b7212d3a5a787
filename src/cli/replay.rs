//! `flowhouse replay`: the whole pipeline on capture files, with a virtual clock.

mod crew;
mod summary;

use super::Usage;
use super::connection::ConnectionArguments;
use super::signatures::{Alerts, SignatureArguments};
use crate::aggregate::{self, Reference};
use crate::assemble::{Budget, Findings};
use crate::batch::{Identity, Sealer};
use crate::config::Config;
use crate::decode::{self, Decoder};
use crate::detect::anomaly::{Detectors, Feed};
use crate::detect::suppression::Suppressions;
use crate::dissect::Dissector;
use crate::enrich::Tables;
use crate::ledger::{Book, Gauges, Outcome};
use crate::meter::Meter;
use crate::model::Detection;
use crate::reassemble::app::{Apps, Wishes};
use crate::reassemble::fragment::Fragments;
use crate::receive::route::Moment;
use crate::receive::{Captures, Counts, Found, Selection};
use crate::shard::{Back, CaptureShard, ExportShard};
use crate::sink::ndjson::Writer;
use crate::sink::schema::incidents::REPLAYED;
use crate::sink::{Outbox, clickhouse, hop, schema};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use crew::{Crew, To};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use summary::Summary;

/// Runs the pipeline of the collector on capture files, with the clock of the capture.
///
/// Reads pcap, pcapng, and files of one raw UDP payload (.dat, .bin). The same input gives the same bytes, every time and
/// whatever the number of shards. Malformed records are counted, they are no error.
#[derive(Debug, Default, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReplayArguments {
    /// Capture files, in this order
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Configuration
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The summary as JSON: bytes are numbers, and `ledger.json` is part of it
    #[arg(long, conflicts_with_all = ["out", "store"])]
    pub json: bool,
    /// Write flows.ndjson, usage.ndjson, detections.ndjson and ledger.json into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What the frames are: told one by one, all UDP payloads export datagrams, or all of them traffic
    #[arg(long = "as", value_enum, default_value_t = As::Auto)]
    pub selection: As,
    /// Shards to split exporters and traffic over; the result is the same for any number. With --store there is one, whatever is said
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub shards: u16,
    /// Correct the clocks of exporters as `run` does
    #[arg(long)]
    pub correct_clock: bool,
    /// Insert the rows into the ClickHouse at this address, with all times moved so that the capture ends now
    #[arg(long, value_name = "URL")]
    pub store: Option<String>,
    /// With --store: keep the times of the capture
    #[arg(long, requires = "store")]
    pub keep_times: bool,
    /// User, password and database for --store, which is the address
    #[command(flatten)]
    pub connection: ConnectionArguments,
    /// Rules to match traffic with; alerts go to alerts.ndjson
    #[command(flatten)]
    pub signatures: SignatureArguments,
    /// Hits of each rule that are shown, by `rules test`.
    #[arg(skip)]
    pub hits_shown: u64,
}

/// How payloads are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum As {
    /// A payload to a configured port, or consistent with an export protocol throughout, is export; all else is traffic.
    #[default]
    Auto,
    /// Every UDP payload is export.
    Export,
    /// Every frame is traffic.
    Packets,
}

const EXAMPLES: &str = "Examples:
  flowhouse replay router.pcap              # a summary
  flowhouse replay router.pcap --json | jq '.applications[] | [.name, .share]'
  flowhouse replay router.pcap --out out/   # flows, usage and ledger as files
  flowhouse replay *.pcap --store http://127.0.0.1:8123 \\
    --password-file /var/lib/flowhouse/store/key";

/// Oldest packet that `--keep-times` inserts: rows that are older than the raw table's TTL vanish at once.
const KEPT_DAYS_MAX: i64 = 15;

/// So often progress is told.
const PROGRESS_BYTES: u64 = 1 << 20;

const SECOND_NS: i64 = 1_000_000_000;

/// Runs the subcommand.
///
/// # Errors
/// When a file cannot be read or is no capture, and when the output or the store fails.
pub fn run(mut arguments: ReplayArguments) -> Result<()> {
    let mut files = std::mem::take(&mut arguments.files);
    arguments.signatures.with(&mut files);
    arguments.files = files;
    if arguments.connection.is_asked_for() {
        bail!(Usage(
            "--url names a store and inserts nothing: give its address with --store".into()
        ));
    }
    let config = super::load_config(arguments.config.as_deref())?;
    let replay = Replay::new(&config, &arguments)?;
    if arguments.out.is_some() || arguments.store.is_none() {
        replay.to_files()?;
    }
    if arguments.store.is_some() {
        replay.to_store()?;
    }
    Ok(())
}

/// Matches traffic with rules and writes nothing but alerts; without a folder the first hits of each rule, and how many there were.
///
/// # Errors
/// When a file cannot be read or is no capture, and when the output fails.
pub fn alerts(arguments: &ReplayArguments) -> Result<()> {
    let mut config = super::load_config(arguments.config.as_deref())?;
    // nobody asked for what hosts do
    config.detect.enabled = false;
    let replay = Replay::new(&config, arguments)?;
    let crew = replay.crew(usize::from(arguments.shards))?;
    let mut crew = crew.without_rows();
    let mut to = To::files(None);
    let counts = replay.read(|found| crew.take(&found, &mut to));
    crew.finish(&mut to);
    if let Some(alerts) = crew.take_alerts() {
        for line in alerts.finish()? {
            match arguments.out {
                Some(_) => eprintln!("{line}"),
                None => super::say(line)?,
            }
        }
    }
    counts.notes.iter().for_each(|n| eprintln!("{n}"));
    eprintln!("{} frames", counts.frames);
    Ok(())
}

struct Replay<'a> {
    config: &'a Config,
    captures: Captures,
    selection: Selection,
    arguments: &'a ReplayArguments,
}

impl<'a> Replay<'a> {
    fn new(config: &'a Config, arguments: &'a ReplayArguments) -> Result<Self> {
        let selection = match arguments.selection {
            As::Export => Selection::Export,
            As::Packets => Selection::Packets,
            As::Auto => Selection::Auto {
                ports: config.receive.listeners.iter().map(|l| l.port()).collect(),
                looks_like_export: decode::looks_like_export,
            },
        };
        Ok(Replay {
            config,
            captures: Captures::open(&arguments.files, decode::looks_like_export)?,
            selection,
            arguments,
        })
    }

    fn to_files(&self) -> Result<()> {
        let n = usize::from(self.arguments.shards);
        let mut crew = self.crew(n)?;
        let dir = self.arguments.out.as_deref();
        let writer = dir
            .map(|dir| Writer::create(dir, crew.lanes()))
            .transpose()?;
        let mut to = To::files(writer);
        let counts = self.read(|found| crew.take(&found, &mut to));
        crew.finish(&mut to);
        let To::Files { writer, fault } = to else {
            return Ok(());
        };
        if let Some(error) = fault {
            return Err(error);
        }
        if let Some(alerts) = crew.take_alerts() {
            alerts.finish()?.iter().for_each(|line| eprintln!("{line}"));
        }
        let (mut book, usage) = crew.end();
        counts.book(book.other());
        let written = book.count(Outcome::Rows);
        book.other().add(Outcome::RowsAcknowledged, written);
        if let Some(mut writer) = writer {
            usage
                .iter()
                .for_each(|(rows, names)| writer.usage(rows, names));
            writer.detections(&crew.detections())?;
            writer.finish(&book, &Gauges::default())?;
        } else {
            let found = crew.detections();
            let summary = Summary::of(&book, &usage, &found);
            super::say(match self.arguments.json {
                true => format!("{:#}", summary.json()),
                false => summary.text(),
            })?;
        }
        notes(&counts, &book);
        Ok(())
    }

    fn to_store(&self) -> Result<()> {
        let base = super::default_connection(self.config);
        let mut connection = self.arguments.connection.over(base);
        if let Some(url) = &self.arguments.store {
            connection.at(url);
        }
        if let Some(fault) = connection.faults().pop() {
            bail!(Usage(fault.replace("clickhouse.url", "--store")));
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let form = schema::Form::of(connection.cluster.as_deref());
        runtime
            .block_on(async {
                let client = connection.reach().await?;
                schema::apply_as(&client, &form).await
            })
            .context("the store does not take the schema")?;

        let shift_ms = self.shift_ms()?;
        let (outbox, inbox) = hop(self.config.sink.queue_max);
        let sink = clickhouse::Sink::start(inbox, &connection, &self.config.sink)?;
        let mut crew = self.crew(1)?;
        crew.moved_by(shift_ms);
        let mut to = To::Store {
            outbox: outbox.clone(),
            shift_ns: shift_ms.saturating_mul(1_000_000),
        };
        self.read(|found| crew.take(&found, &mut to));
        crew.finish(&mut to);
        self.incidents(&crew, shift_ms, &outbox);
        drop((to, outbox));
        let end = sink.stop(Duration::from_secs(self.config.shutdown_grace_s.max(300)));
        let rows = crew.end().0.count(Outcome::Rows);
        eprintln!(
            "{} of {rows} rows are in {}",
            end.rows_acknowledged,
            connection.place()
        );
        if end.rows_acknowledged != rows {
            bail!(
                "the store did not take all rows: {}",
                end.last_error.unwrap_or_default()
            );
        }
        Ok(())
    }

    /// Stores what was found, at the time at which its rows are.
    fn incidents(&self, crew: &Crew, shift_ms: i64, outbox: &Outbox) {
        let sealer = Sealer::new(self.config.batch.clone(), identity(), Arc::default());
        let suppressions = Suppressions::new(&self.config.suppressions);
        // nobody is told of a past that is replayed, however much of it there is
        let budget = Budget::default();
        let mut findings = Findings::new(suppressions, budget, sealer, outbox.clone(), None);
        let moved = |mut d: Detection| {
            d.shift_times(shift_ms);
            let how = "replay --store".to_owned();
            d.evidence.facts.push((REPLAYED.into(), how));
            d
        };
        let found = crew.detections().into_iter().map(moved);
        findings.take(found.collect(), Moment::now().wall_ns);
    }

    /// `n` shards of each kind.
    fn crew(&self, n: usize) -> Result<Crew> {
        let settings = decode::Settings {
            correct_clock: self.arguments.correct_clock,
            ..self.config.decode.clone()
        };
        let usage = aggregate::Settings {
            // a wrong clock says nothing about what is late; a corrected one is the time of receipt
            reference: if self.arguments.correct_clock {
                Reference::Received
            } else {
                Reference::Exported
            },
            hash_seed: 0,
            ..self.config.usage.clone()
        };
        let tables = Arc::new(Tables::new(&self.config.enrich)?);
        let (batch, identity) = (&self.config.batch, identity());
        let back = || {
            let sealer = Sealer::new(batch.clone(), identity.clone(), Arc::default());
            Back::new(tables.clone(), aggregate::Usage::new(&usage), sealer)
        };
        let accounts_max = settings.exporters_max.saturating_mul(2);
        let book = || Book::new(accounts_max).with_domains_max(settings.domains_max);
        let detects = self.config.detect.enabled;
        let export = || {
            let shard = ExportShard::new(Decoder::new(settings.clone()), back(), book());
            match detects {
                true => shard.with_sightings(),
                false => shard,
            }
        };
        let maker = self.arguments.signatures.load(&self.config.reassemble)?;
        let capture = || {
            let dissector = Dissector::new(&self.config.dissect);
            // nobody can attack a file, and the result is the same each time
            let reassemble = &self.config.reassemble;
            let apps = Apps::new(reassemble, Wishes::default());
            let meter = Meter::new(&self.config.meter, 0)
                .with_places()
                .with_apps(apps);
            let fragments = Fragments::new(&reassemble.fragments);
            let shard = CaptureShard::new(dissector, fragments, meter, back(), book());
            let shard = match &maker {
                Some(maker) => shard.with_rules(maker.engine()),
                None => shard,
            };
            match detects {
                true => shard.with_feed(Feed::new(0)),
                false => shard,
            }
        };
        let detectors = detects
            .then(|| Detectors::new(&self.config.detect))
            .transpose()
            .map_err(anyhow::Error::msg)?;
        let reads_export = self.arguments.selection != As::Packets;
        let meters = self.arguments.selection != As::Export;
        let crew = Crew::new(
            (0..if reads_export { n } else { 0 })
                .map(|_| export())
                .collect(),
            (0..if meters { n } else { 0 }).map(|_| capture()).collect(),
            detectors,
            (settings.exporters_max, self.config.receive.clone()),
        );
        Ok(match maker {
            Some(_) => crew.with_alerts(self.alerts_to()?),
            None => crew,
        })
    }

    /// Who takes what rules raise and cost.
    fn alerts_to(&self) -> Result<Alerts> {
        let alerts = Alerts::create(self.arguments.out.as_deref())?;
        let alerts = alerts.showing(self.arguments.hits_shown);
        Ok(alerts.with_costs(self.arguments.signatures.costs.as_deref()))
    }

    /// Reads all files, with progress on a terminal.
    fn read(&self, mut each: impl FnMut(Found<'_>)) -> Counts {
        let progress = super::progress("replaying", self.captures.bytes());
        let mut bytes = 0;
        let counts = self.captures.read_all(&self.selection, |found| {
            bytes += match &found {
                Found::Datagram(d) => d.payload.len(),
                Found::Traffic(f) => f.captured.len(),
                Found::Coming(_) => 0,
            } as u64;
            if bytes >= PROGRESS_BYTES {
                progress.inc(std::mem::take(&mut bytes));
            }
            each(found);
        });
        progress.finish_and_clear();
        counts
    }

    /// What brings the capture's last packet to now; 0 with `--keep-times`.
    fn shift_ms(&self) -> Result<i64> {
        let now_ns = crate::receive::route::Moment::now().wall_ns;
        let (mut first_ns, mut last_ns) = (i64::MAX, i64::MIN);
        self.read(|found| {
            let time_ns = match found {
                Found::Datagram(d) => d.received_at_ns,
                Found::Traffic(f) => f.time_ns,
                Found::Coming(_) => return,
            };
            first_ns = first_ns.min(time_ns);
            last_ns = last_ns.max(time_ns);
        });
        if last_ns == i64::MIN {
            return Ok(0);
        }
        if !self.arguments.keep_times {
            return Ok(now_ns.saturating_sub(last_ns) / 1_000_000);
        }
        if now_ns.saturating_sub(first_ns) > KEPT_DAYS_MAX * 86_400 * SECOND_NS {
            bail!(
                "the capture is older than the {KEPT_DAYS_MAX} days that raw flows are kept: leave --keep-times away"
            );
        }
        Ok(0)
    }
}

fn identity() -> Arc<Identity> {
    // a replay is inserted anew each time it is run, so its tokens are never those of another run
    Arc::new(Identity {
        collector: uuid::Uuid::new_v4().to_string(),
        start: rand::random(),
    })
}

fn notes(counts: &Counts, book: &Book) {
    counts.notes.iter().for_each(|n| eprintln!("{n}"));
    eprintln!(
        "{} frames, {} export datagrams, {} rows",
        counts.frames,
        counts.datagrams,
        book.count(Outcome::Rows)
    );
}
