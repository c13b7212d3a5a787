//! What memory can be needed at most, summed and said at start.

use crate::batch::RowRef;
use crate::config::Config;
use crate::decode;
use crate::detect::anomaly::{Detectors, Feed, Sighting};
use crate::detect::signature::engine::Engine;
use crate::detect::signature::state::Shared;
use crate::detect::signature::{Datasets, Hits};
use crate::enrich::Memory;
use crate::ledger::Book;
use crate::meter::Meter;
use crate::model::{CoreColumns, FLOW_BATCH_ROWS, FlowBatch, Learned, NetworkRow, UsageRow};
use crate::reassemble::app::Apps;
use crate::shard::{self, Ring};
use crate::sink::spool::{Mode, positions};
use anyhow::{Result, bail};

/// Bytes of a row in a block of the store, all columns there.
const BLOCK_ROW_BYTES: usize = 520;

/// Settings whose limits add up to more than so many times the machine's memory are refused.
const PAST_MEMORY_MAX: usize = 4;

/// Bytes of the texts of a fact: a name and a description of 64 bytes each.
const FACT_TEXT_BYTES: usize = 2 * (64 + 16);

/// Bytes of a fact for detectors; messages of DNS have a name beside it.
const SIGHTING_BYTES: usize = size_of::<Sighting>() + 64;

/// Bytes of a bundle that waits on disk.
const SPOOLED_BYTES: usize = 450;

/// One line of the budget.
struct Item {
    what: &'static str,
    bytes: usize,
}

/// Logs the sum of all limits; refuses settings that need more than this machine has.
///
/// # Errors
/// When the limits add up to more than the machine's memory.
pub fn report(config: &Config, shards: usize, listeners: usize) -> Result<()> {
    let items = items(config, shards);
    let total = total(config, shards);
    let captures = match config.capture.interfaces.len() {
        0 => String::new(),
        n => format!(
            "{n} interfaces, {} capture shards, ",
            capture_shards(config)
        ),
    };
    let parts: Vec<String> = items
        .iter()
        .map(|i| format!("{} {} MiB", i.what, i.bytes >> 20))
        .collect();
    tracing::info!(
        "{listeners} listeners, {shards} shards, {captures}memory at most {} MiB if every limit is reached ({})",
        total >> 20,
        parts.join(", ")
    );
    if let Some(memory) = machine_memory()
        && total > memory
    {
        tracing::warn!(
            "this machine has {} MiB: with every limit reached it would run out of memory",
            memory >> 20
        );
    }
    refuse(config, shards)
}

/// Refuses settings that need far more memory than this machine has, whatever happens to be sent.
///
/// # Errors
/// What to lower; the text begins with the key that takes most.
pub fn refuse(config: &Config, shards: usize) -> Result<()> {
    match machine_memory() {
        Some(memory) => refuse_beyond(config, shards, memory),
        None => Ok(()),
    }
}

fn refuse_beyond(config: &Config, shards: usize, memory: usize) -> Result<()> {
    let total = total(config, shards);
    if total / PAST_MEMORY_MAX <= memory {
        return Ok(());
    }
    let culprits = culprits(config, shards);
    let much = culprits.iter().filter(|c| c.bytes >= total / MUCH_PART);
    let names = much.take(CULPRITS_MAX).map(|c| {
        let (key, value, mib) = (c.key, c.value, c.bytes >> 20);
        format!("{key} = {value} ({mib} MiB)")
    });
    let names: Vec<String> = names.collect();
    bail!(
        "{} can take most of the {} MiB that all limits add up to, and this machine has {} MiB: lower what takes most, or give it more \
         memory",
        names.join(", "),
        total >> 20,
        memory >> 20
    )
}

/// A limit and what it takes of the sum.
struct Culprit {
    key: &'static str,
    value: u64,
    bytes: usize,
}

/// The limits by what the sum would be less without them, the largest first.
fn culprits(config: &Config, shards: usize) -> Vec<Culprit> {
    let with = |config: &Config, key: Limit, n: u64| {
        let mut other = config.clone();
        key(&mut other, Some(n));
        total(&other, shards)
    };
    let default = Config::default();
    let (all, ordinary) = (total(config, shards), total(&default, shards));
    let mut culprits: Vec<Culprit> = LIMITS
        .iter()
        .map(|&(key, limit)| {
            let value = limit(&mut config.clone(), None);
            // where several are beyond all measure, none of them makes a difference to the sum, but each does by itself
            let beside = with(&default, limit, value).saturating_sub(ordinary);
            let bytes = all.saturating_sub(with(config, limit, 1)).max(beside);
            Culprit { key, value, bytes }
        })
        .collect();
    if config.shard.shards > 0 {
        let bytes = all.saturating_sub(total(config, 1));
        let (key, value) = ("shard.shards", config.shard.shards as u64);
        culprits.push(Culprit { key, value, bytes });
    }
    culprits.sort_by_key(|c| std::cmp::Reverse(c.bytes));
    culprits
}

fn total(config: &Config, shards: usize) -> usize {
    let items = items(config, shards);
    let bytes = items.iter().map(|i| i.bytes);
    bytes.fold(0, usize::saturating_add)
}

fn items(config: &Config, shards: usize) -> Vec<Item> {
    // each shard fills one, the hop holds some, the encoder has one
    let captures = capture_shards(config);
    let all = shards + captures;
    let bundles = config.sink.queue_max.saturating_add(all + 1);
    let sections = sections(config, config.sink.in_flight_max);
    let exporters = config.receive.exporters_max;
    let taught = config.enrich.memory_max().saturating_mul(all);
    // domain 0 of all exporters, further domains in each shard, and receive; each in a book, as published, as told
    let accounts = exporters.saturating_mul(1 + shards + config.receive.listeners.len());
    let items = [
        ("receive", config.receive.batches_bytes_max(shards)),
        ("capture", config.capture.memory_max(captures)),
        ("metering", metering(config).saturating_mul(captures)),
        (
            "decoding",
            config.decode.memory_max().saturating_mul(shards),
        ),
        (
            "names",
            taught.saturating_add(Memory::bytes_max(exporters, all)),
        ),
        ("counts", Book::bytes_max(accounts).saturating_mul(3)),
        ("usage", config.usage.memory_max().saturating_mul(all)),
        ("bundles", bundle(config).saturating_mul(bundles)),
        ("detectors", detectors(config, captures)),
        ("notices", config.notify.memory_max()),
        ("rules", rules(config, captures)),
        ("SNMP", config.snmp.memory_max()),
        ("in flight", sections),
        ("spool", spool(config)),
    ];
    let item = |(what, bytes)| Item { what, bytes };
    items.into_iter().map(item).collect()
}

/// Detectors, those of files apart; what waits for them; what each capture shard reads for them; what they know on its way to the disk.
fn detectors(config: &Config, captures: usize) -> usize {
    if !config.detect.enabled {
        return 0;
    }
    let times = 1 + usize::from(config.capture.watch_directory.is_some());
    let waiting = config.detect.waiting_max.saturating_mul(SIGHTING_BYTES);
    Detectors::memory_max(&config.detect)
        .saturating_mul(times)
        .saturating_add(Detectors::saved_max(&config.detect).saturating_mul(times))
        .saturating_add(waiting)
        .saturating_add(Feed::memory_max().saturating_mul(captures))
}

/// What rules keep of conversations and hosts, lists of values, and of packets for captures of detections. What they take themselves nobody knows before they
/// are loaded.
fn rules(config: &Config, captures: usize) -> usize {
    let s = &config.signatures;
    if s.rules.is_empty() || captures == 0 {
        return 0;
    }
    let each = Engine::memory_max(&s.engine)
        .saturating_add(Hits::memory_max(s))
        .saturating_add(crate::shard::FOUND_BYTES_MAX)
        .saturating_add(Ring::memory_max(s.packets_bytes_max));
    let together = Shared::memory_max(&s.limits).saturating_add(Datasets::memory_max(&s.limits));
    each.saturating_mul(captures).saturating_add(together)
}

/// Shards for packets.
fn capture_shards(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    config.capture.shards_all(cores)
}

/// Most bytes of the flow table of a capture shard, and of what waits before it.
fn metering(config: &Config) -> usize {
    let reassemble = &config.reassemble;
    let (fragments, streams) = (&reassemble.fragments, &reassemble.streams);
    Meter::memory_max(&config.meter)
        .saturating_add(fragments.bytes_max)
        .saturating_add(streams.bytes_max)
        .saturating_add(Apps::memory_max(&reassemble.app))
}

/// Most bytes of a bundle: rows, usage and facts.
fn bundle(config: &Config) -> usize {
    let seal_rows = config.batch.seal_rows;
    let rows = seal_rows.saturating_add(decode::ROWS_AT_ONCE_MAX);
    let batches = seal_rows.div_ceil(FLOW_BATCH_ROWS);
    let flows = batches
        .saturating_mul(FlowBatch::bytes_max(FLOW_BATCH_ROWS))
        .saturating_add(decode::ROWS_AT_ONCE_MAX * CoreColumns::ROW_BYTES)
        .saturating_add(rows.saturating_mul(size_of::<RowRef>()));
    let usage = size_of::<UsageRow>() + size_of::<NetworkRow>();
    let usage = config.usage.usage_keys_max.saturating_mul(usage);
    let facts = shard::FACTS_MAX * (size_of::<Learned>() + FACT_TEXT_BYTES);
    flows.saturating_add(facts).saturating_add(usage)
}

fn spool(config: &Config) -> usize {
    if config.spool.mode == Mode::Off {
        return 0;
    }
    // live sections that wait, and the bundle that the writer's queue may be too small for
    let encoded = sections(config, config.sink.in_flight_max.saturating_add(1));
    let queue = usize::try_from(config.spool.queue_bytes_max).unwrap_or(usize::MAX);
    let files = config.spool.files_max.saturating_mul(SPOOLED_BYTES);
    [encoded, queue, files]
        .into_iter()
        .fold(positions::BYTES_MAX, usize::saturating_add)
}

/// Bytes of so many encoded sections of a full bundle.
fn sections(config: &Config, n: usize) -> usize {
    let row = config.batch.seal_rows.saturating_mul(BLOCK_ROW_BYTES);
    n.saturating_mul(row)
}

/// Bytes of memory this machine has; `None` where the kernel does not say.
fn machine_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with("MemTotal:"))?;
    line.split_whitespace()
        .nth(1)?
        .parse::<usize>()
        .ok()
        .map(|kib| kib * 1024)
}

/// What a limit is, and another value for it.
type Limit = fn(&mut Config, Option<u64>) -> u64;

macro_rules! limits {
    ($($room:ident . $key:ident $(. $more:ident)?),* $(,)?) => {
        &[$((concat!(stringify!($room), ".", stringify!($key) $(, ".", stringify!($more))?), |c, set| {
            let before = c.$room.$key$(.$more)? as u64;
            if let Some(n) = set {
                c.$room.$key$(.$more)? = n as _;
            }
            before
        })),*]
    };
}

/// What memory depends on.
const LIMITS: &[(&str, Limit)] = limits![
    receive.queue,
    receive.exporters_max,
    capture.snap_length,
    capture.buffer,
    capture.shards,
    capture.queue,
    capture.watch_file_max,
    reassemble.fragments.bytes_max,
    reassemble.streams.bytes_max,
    reassemble.app.talks_max,
    reassemble.app.names_max,
    reassemble.app.bytes_max,
    reassemble.app.expected_max,
    signatures.incidents_max,
    signatures.packets_bytes_max,
    signatures.limits.state_entries_max,
    signatures.limits.list_entries_max,
    signatures.limits.list_bytes_max,
    signatures.engine.flows_max,
    signatures.engine.raw_bytes_max,
    signatures.engine.talk_bytes_max,
    detect.places_max,
    detect.incidents_max,
    detect.waiting_max,
    detect.volume.series_max,
    meter.flows_max,
    meter.media_max,
    decode.exporters_max,
    decode.sessions_all_max,
    decode.domains_all_max,
    decode.templates_max,
    decode.templates_bytes_max,
    decode.waiting_sets_max,
    decode.waiting_bytes_max,
    decode.samplers_all_max,
    decode.names_all_max,
    decode.totals_max,
    decode.firewall_flows_max,
    enrich.names_max,
    snmp.concurrent_max,
    snmp.interfaces_per_exporter_max,
    snmp.interfaces_max,
    snmp.counters_max,
    usage.prorate_max_s,
    usage.usage_keys_max,
    usage.exporters_max,
    usage.interfaces_max,
    usage.talkers_max,
    batch.seal_rows,
    sink.queue_max,
    sink.in_flight_max,
    spool.files_max,
    spool.queue_bytes_max,
];

/// A key that takes a smaller part of the sum than one in so many is not worth naming, nor are more than so many keys.
const MUCH_PART: usize = 10;
const CULPRITS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let access = "[snmp.access.\"192.0.2.0/24\"]\ncommunity = \"x\"\n";
        let mut config: Config = toml::from_str(&format!("{text}\n{access}")).expect(text);
        config.capture.interfaces = vec!["eth1".into()];
        config.capture.watch_directory = Some("/captures".into());
        config.signatures.rules = vec!["/rules".into()];
        config
    }

    /// Every number of the annotated configuration, as table and key.
    fn numbers() -> Vec<(String, String)> {
        let (mut table, mut all) = (String::new(), vec![]);
        for line in include_str!("../../deploy/flowhouse.toml").lines() {
            let line = line.trim_start_matches(['#', ' ']);
            if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                table = name.to_owned();
            } else if let Some((key, value)) = line.split_once(" = ")
                && value.parse::<u64>().is_ok()
            {
                all.push((table.clone(), key.to_owned()));
            }
        }
        all
    }

    #[test]
    fn every_key_that_memory_depends_on_is_known() {
        let ordinary = total(&config(""), 2);
        let (mut found, mut depends) = (0, vec![]);
        for (table, key) in numbers() {
            for n in [1 << 31, i64::MAX] {
                let text = format!("[{table}]\n{key} = {n}");
                let Ok(_) = toml::from_str::<Config>(&text) else {
                    continue;
                };
                found += 1;
                if total(&config(&text), 2) != ordinary {
                    depends.push(format!("{table}.{key}"));
                }
            }
        }
        assert!(found > 100, "{found}");
        depends.dedup();
        let unknown = |key: &&String| LIMITS.iter().all(|(known, _)| known != *key);
        let unknown: Vec<_> = depends.iter().filter(unknown).collect();
        assert_eq!(unknown, [""; 0]);
        assert_eq!(depends.len(), LIMITS.len());
    }

    #[test]
    fn the_culprit_comes_first() {
        let said = |text: &str| {
            let refused = refuse_beyond(&config(text), 2, 8 << 30);
            refused.expect_err(text).to_string()
        };
        let first = |text: &str| said(text).split(' ').next().unwrap_or_default().to_owned();
        assert_eq!(first("[receive]\nqueue = 10_000_000"), "receive.queue");
        assert_eq!(first("[sink]\nqueue_max = 10_000"), "sink.queue_max");
        let two = said(
            "[decode]\ntemplates_bytes_max = 9_000_000_000_000_000_000\nnames_all_max = 9_000_000_000_000_000_000",
        );
        assert!(two.contains("decode.templates_bytes_max = 9000000000000000000 ("));
        assert!(two.contains("decode.names_all_max = 9000000000000000000 ("));
        // nothing is set: what takes most all the same
        let text = refuse_beyond(&Config::default(), 2, 1 << 20).expect_err("small");
        assert!(
            text.to_string().contains(" MiB) can take most of the "),
            "{text}"
        );
        assert!(refuse_beyond(&Config::default(), 2, 64 << 30).is_ok());
    }
}
