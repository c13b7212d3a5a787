//! `flowhouse replay`: the whole pipeline on capture files, with a virtual clock.

use super::connection::ConnectionArguments;
use super::text;
use crate::aggregate::{self, Reference};
use crate::batch::{Bundle, Identity, Sealer};
use crate::config::Config;
use crate::decode::{self, Decoder};
use crate::enrich::Tables;
use crate::ledger::{Book, Gauges, Outcome, laws};
use crate::model::{Addr, Datagram, Names, UsageRow};
use crate::receive::{Captures, Counts, Selection};
use crate::shard::{Back, ExportShard};
use crate::sink::ndjson::{Writer, ledger};
use crate::sink::{Outbox, clickhouse, hop, schema};
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Runs the pipeline of the collector on capture files, with the clock of the capture.
///
/// Reads pcap, pcapng, and files of one raw UDP payload (.dat, .bin). The same input gives the same bytes, every time and
/// whatever the number of shards. Malformed records are counted, they are no error.
#[derive(Debug, Args)]
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
    /// Write flows.ndjson, usage.ndjson and ledger.json into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// What the UDP payloads are: told one by one, or all of them export datagrams
    #[arg(long = "as", value_enum, default_value_t = As::Auto)]
    pub selection: As,
    /// Shards to split the exporters over; the result is the same for any number
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
    /// User, password and database for --store
    #[command(flatten)]
    pub connection: ConnectionArguments,
}

/// How payloads are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum As {
    /// A payload to a configured port, or consistent with an export protocol throughout, is export; all else is counted.
    Auto,
    /// Every UDP payload is export.
    Export,
}

const EXAMPLES: &str = "Examples:
  flowhouse replay router.pcap              # a summary
  flowhouse replay router.pcap --json | jq '.applications[] | [.name, .share]'
  flowhouse replay router.pcap --out out/   # flows, usage and ledger as files
  flowhouse replay *.pcap --store http://127.0.0.1:8123 \\
    --password-file /var/lib/flowhouse/store/key";

/// Oldest packet that `--keep-times` inserts: rows that are older than the raw table's TTL vanish at once.
const KEPT_DAYS_MAX: i64 = 15;

/// A sample of the report.
const SAMPLE_NS: i64 = 300 * SECOND_NS;
const SECOND_NS: i64 = 1_000_000_000;

/// Runs the subcommand.
///
/// # Errors
/// When a file cannot be read or is no capture, and when the output or the store fails.
pub fn run(arguments: &ReplayArguments) -> Result<()> {
    let config = super::load_config(arguments.config.as_deref())?;
    let captures = Captures::open(&arguments.files, decode::looks_like_export)?;
    let selection = match arguments.selection {
        As::Export => Selection::Export,
        As::Auto => Selection::Auto {
            ports: config.receive.listeners.iter().map(|l| l.port()).collect(),
            looks_like_export: decode::looks_like_export,
        },
    };
    let replay = Replay {
        config: &config,
        captures: &captures,
        selection,
        arguments,
    };
    if arguments.out.is_some() || arguments.store.is_none() {
        replay.to_files()?;
    }
    if arguments.store.is_some() {
        replay.to_store()?;
    }
    Ok(())
}

struct Replay<'a> {
    config: &'a Config,
    captures: &'a Captures,
    selection: Selection,
    arguments: &'a ReplayArguments,
}

impl Replay<'_> {
    fn to_files(&self) -> Result<()> {
        let n = usize::from(self.arguments.shards);
        let mut shards = self.shards(
            n,
            Sealer::new(self.config.batch.clone(), identity(), Arc::default()),
        )?;
        let mut writer = self
            .arguments
            .out
            .as_deref()
            .map(|dir| Writer::create(dir, n))
            .transpose()?;
        let mut fault = None;
        let mut last_ns = 0;
        let counts = self.read(|d| {
            last_ns = advance(&mut shards, d, last_ns);
            let exporter = d.exporter();
            let mine = shard_of(exporter, n);
            feed(&mut shards[mine], exporter, d);
            loop {
                let shard = &mut shards[mine];
                let full = shard.is_full() || shard.back().has_much_to_tell();
                if full && fault.is_none() {
                    fault = flush(&mut shards, writer.as_mut(), d.frame).err();
                }
                if !shards[mine].go_on() {
                    break;
                }
            }
        });
        if let Some(error) = fault {
            return Err(error);
        }
        shards.iter_mut().for_each(ExportShard::finish);
        flush(&mut shards, writer.as_mut(), u64::MAX)?;
        let mut book = Book::new(usize::MAX);
        let mut usage = vec![];
        for shard in &mut shards {
            book.merge(shard.book());
            let names = shard.back().tables().names().clone();
            usage.push((shard.back().drain(), names));
        }
        counts.book(book.other());
        let written = book.count(Outcome::Rows);
        book.other().add(Outcome::RowsAcknowledged, written);
        if let Some(mut writer) = writer {
            usage
                .iter()
                .for_each(|(rows, names)| writer.usage(rows, names));
            writer.finish(&book, &Gauges::default())?;
        } else {
            let summary = Summary::of(&book, &usage);
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
        let sealer = Sealer::new(self.config.batch.clone(), identity(), Arc::default());
        let mut shards = self.shards(1, sealer)?;
        shards[0].back().set_shift_ms(shift_ms);
        shards[0].back().declare_if(true);
        let mut last_ns = 0;
        self.read(|d| {
            let shifted = |ns: i64| ns + shift_ms * 1_000_000;
            let before_ns = last_ns;
            last_ns = advance(&mut shards, d, last_ns);
            // the ledger of the store says in which 5 minutes an exporter was heard
            let over = shifted(before_ns) / SAMPLE_NS != shifted(last_ns) / SAMPLE_NS;
            if over && before_ns > 0 {
                send(shards[0].seal(shifted(before_ns), false), &outbox);
            }
            let exporter = d.exporter();
            let (shard, now_ns) = (&mut shards[0], d.received_at_ns + shift_ms * 1_000_000);
            feed(shard, exporter, d);
            loop {
                if shard.is_full() {
                    shard.close_batch(now_ns);
                }
                if shard.back().is_crowded() {
                    send(shard.seal(now_ns, false), &outbox);
                }
                if !shard.go_on() {
                    break;
                }
            }
        });
        shards[0].finish();
        send(
            shards[0].seal(last_ns + shift_ms * 1_000_000, true),
            &outbox,
        );
        drop(outbox);
        let end = sink.stop(Duration::from_secs(self.config.shutdown_grace_s.max(300)));
        let rows = shards[0].book().count(Outcome::Rows);
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

    fn shards(&self, n: usize, sealer: Sealer) -> Result<Vec<ExportShard>> {
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
        let mut sealers = vec![sealer];
        sealers.resize_with(n, || {
            Sealer::new(self.config.batch.clone(), identity(), Arc::default())
        });
        Ok(sealers
            .into_iter()
            .map(|sealer| {
                let back = Back::new(tables.clone(), aggregate::Usage::new(&usage), sealer);
                let book = Book::new(usize::MAX).with_domains_max(settings.domains_max);
                ExportShard::new(Decoder::new(settings.clone()), back, book)
            })
            .collect())
    }

    /// Reads all files, with progress on a terminal.
    fn read(&self, mut each: impl FnMut(&Datagram<'_>)) -> Counts {
        let progress = super::progress("replaying", self.captures.bytes());
        let counts = self.captures.read(&self.selection, |d| {
            progress.inc(d.payload.len() as u64);
            each(d);
        });
        progress.finish_and_clear();
        counts
    }

    /// What brings the capture's last packet to now; 0 with `--keep-times`.
    fn shift_ms(&self) -> Result<i64> {
        let now_ns = crate::receive::route::Moment::now().wall_ns;
        let (mut first_ns, mut last_ns) = (i64::MAX, i64::MIN);
        self.read(|d| {
            first_ns = first_ns.min(d.received_at_ns);
            last_ns = last_ns.max(d.received_at_ns);
        });
        if last_ns == i64::MIN {
            return Ok(0);
        }
        if !self.arguments.keep_times {
            return Ok((now_ns - last_ns) / 1_000_000);
        }
        if now_ns - first_ns > KEPT_DAYS_MAX * 86_400 * SECOND_NS {
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

/// Which of `n` shards an exporter belongs to: a constant function, unlike that of `run`, for nobody can attack a file.
fn shard_of(exporter: Addr, n: usize) -> usize {
    (u128::from_be_bytes(exporter.0) % n as u128) as usize
}

/// Lets the capture's time pass for all shards, second by second.
fn advance(shards: &mut [ExportShard], d: &Datagram<'_>, last_ns: i64) -> i64 {
    if d.received_at_ns / SECOND_NS > last_ns / SECOND_NS {
        shards.iter_mut().for_each(|s| s.tick(d.received_at_ns));
    }
    last_ns.max(d.received_at_ns)
}

/// Hands over a datagram and books it under its exporter, as the decoder books what is in it.
fn feed(shard: &mut ExportShard, exporter: Addr, d: &Datagram<'_>) {
    let tally = shard.book().account((exporter.0, 0));
    tally.one(Outcome::DatagramsReceived);
    tally.one(Outcome::DatagramsRouted);
    shard.datagram(d);
}

/// Writes what all shards hold; they have seen everything up to `frame`.
fn flush(shards: &mut [ExportShard], mut writer: Option<&mut Writer>, frame: u64) -> Result<()> {
    for (n, shard) in shards.iter_mut().enumerate() {
        let mut result = Ok(());
        shard.take_rows(|batch, back| {
            if let Some(writer) = &mut writer {
                result = writer.flows(n, batch, back.tables().names());
            }
        });
        result?;
    }
    if let Some(writer) = writer {
        for n in 0..shards.len() {
            writer.reached(n, frame)?;
        }
    }
    Ok(())
}

fn send(bundle: Option<Bundle>, outbox: &Outbox) {
    if let Some(bundle) = bundle {
        outbox.send(bundle);
    }
}

type ShardUsage = (Vec<UsageRow>, Arc<Names>);

/// Totals, the largest applications and classes, and the laws.
struct Summary<'a> {
    book: &'a Book,
    apps: Vec<Largest>,
    classes: Vec<Largest>,
}

/// A name and what it had of everything.
struct Largest {
    name: String,
    bytes: u64,
    share: f64,
    flows: u64,
}

/// Names in a summary.
const NAMES_MAX: usize = 10;

impl Summary<'_> {
    fn of<'a>(book: &'a Book, usage: &[ShardUsage]) -> Summary<'a> {
        Summary {
            book,
            apps: largest(usage, |r, n| n.apps.name(r.app).to_owned()),
            classes: largest(usage, |r, n| n.classes.name(r.qos_class.into()).to_owned()),
        }
    }

    fn text(&self) -> String {
        let rows = |all: &[Largest]| -> Vec<Vec<String>> {
            let row = |l: &Largest| {
                let (bytes, share) = (text::bytes(l.bytes as f64), text::percent(l.share));
                vec![l.name.clone(), bytes, share, l.flows.to_string()]
            };
            all.iter().map(row).collect()
        };
        let total = self.book.total();
        let counted = |(o, n): (Outcome, u64)| vec![o.name().replace('_', " "), n.to_string()];
        let totals: Vec<Vec<String>> = total.iter().map(counted).collect();
        format!(
            "{}\n\n{}\n\n{}\n\n{}",
            text::table(
                &["application", "bytes", "share", "flows"],
                1,
                rows(&self.apps)
            ),
            text::table(
                &["QoS class", "bytes", "share", "flows"],
                1,
                rows(&self.classes)
            ),
            text::table(&["what happened", "count"], 1, totals),
            super::law_lines(&laws(&total, &Gauges::default()))
        )
    }

    /// What `ledger.json` says, with the largest applications and classes; shares are from 0 to 1.
    fn json(&self) -> Value {
        let rows = |all: &[Largest]| -> Value {
            let row = |l: &Largest| {
                let share = (l.share * 1e6).round() / 1e6;
                json!({"name": l.name, "bytes": l.bytes, "share": share, "flows": l.flows})
            };
            all.iter().map(row).collect()
        };
        let mut value = ledger(self.book, &Gauges::default());
        value["applications"] = rows(&self.apps);
        value["qos_classes"] = rows(&self.classes);
        value
    }
}

/// The names with most bytes, each byte counted once. Counters come from a file and may be anything: what is more than a
/// number can say is told as the largest, and shares are right all the same.
fn largest(usage: &[ShardUsage], name: fn(&UsageRow, &Names) -> String) -> Vec<Largest> {
    let mut sums = BTreeMap::<String, (u128, u64)>::new();
    for (row, names) in usage
        .iter()
        .flat_map(|(rows, names)| rows.iter().map(move |r| (r, names)))
        .filter(|(row, _)| row.counts_once())
    {
        let (bytes, flows) = sums.entry(name(row, names)).or_default();
        *bytes += u128::from(row.est_bytes);
        *flows = flows.saturating_add(row.flows);
    }
    let all: u128 = sums.values().map(|s| s.0).sum();
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|s| std::cmp::Reverse(s.1.0));
    sums.truncate(NAMES_MAX);
    let of_all = |(name, (bytes, flows))| Largest {
        name,
        bytes: u64::try_from(bytes).unwrap_or(u64::MAX),
        share: bytes as f64 / all.max(1) as f64,
        flows,
    };
    sums.into_iter().map(of_all).collect()
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
