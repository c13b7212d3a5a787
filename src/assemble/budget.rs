//! What memory can be needed at most, summed and said at start.

use crate::batch::RowRef;
use crate::config::Config;
use crate::decode;
use crate::enrich::Memory;
use crate::ledger::Book;
use crate::model::{CoreColumns, FLOW_BATCH_ROWS, FlowBatch, Learned, NetworkRow, UsageRow};
use crate::shard;
use crate::sink::spool::{Mode, positions};
use anyhow::{Result, bail};

/// Bytes of a row in a block of the store, all columns there.
const BLOCK_ROW_BYTES: usize = 520;

/// Settings whose limits add up to more than so many times the machine's memory are refused.
const PAST_MEMORY_MAX: usize = 4;

/// Bytes of the texts of a fact: a name and a description of 64 bytes each.
const FACT_TEXT_BYTES: usize = 2 * (64 + 16);

/// Bytes of a bundle that waits on disk.
const SPOOLED_BYTES: usize = 300;

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
    let total: usize = items.iter().map(|i| i.bytes).fold(0, usize::saturating_add);
    let parts: Vec<String> = items
        .iter()
        .map(|i| format!("{} {} MiB", i.what, i.bytes >> 20))
        .collect();
    tracing::info!(
        "{listeners} listeners, {shards} shards; memory at most {} MiB if every limit is reached ({})",
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
/// What to lower.
pub fn refuse(config: &Config, shards: usize) -> Result<()> {
    let total: usize = items(config, shards)
        .iter()
        .map(|i| i.bytes)
        .fold(0, usize::saturating_add);
    if let Some(memory) = machine_memory()
        && total / PAST_MEMORY_MAX > memory
    {
        bail!(
            "the limits add up to {} MiB and this machine has {} MiB: lower sink.queue_max, receive.queue, batch.seal_rows or \
             decode.templates_max",
            total >> 20,
            memory >> 20
        );
    }
    Ok(())
}

fn items(config: &Config, shards: usize) -> Vec<Item> {
    // each shard fills one, the hop holds some, the encoder has one
    let bundles = shards + config.sink.queue_max + 1;
    let sections = config.sink.in_flight_max * config.batch.seal_rows * BLOCK_ROW_BYTES;
    let exporters = config.receive.exporters_max;
    let taught = config.enrich.memory_max().saturating_mul(shards);
    // domain 0 of all exporters, further domains in each shard, and receive; each in a book, as published, as told
    let accounts = exporters.saturating_mul(1 + shards + config.receive.listeners.len());
    let items = [
        ("receive", config.receive.batches_bytes_max(shards)),
        (
            "decoding",
            config.decode.memory_max().saturating_mul(shards),
        ),
        (
            "names",
            taught.saturating_add(Memory::bytes_max(exporters, shards)),
        ),
        ("counts", Book::bytes_max(accounts).saturating_mul(3)),
        ("usage", config.usage.memory_max() * shards),
        ("bundles", bundle(config).saturating_mul(bundles)),
        ("SNMP", config.snmp.memory_max()),
        ("in flight", sections),
        ("spool", spool(config)),
    ];
    let item = |(what, bytes)| Item { what, bytes };
    items.into_iter().map(item).collect()
}

/// Most bytes of a bundle: rows, usage and facts.
fn bundle(config: &Config) -> usize {
    let rows = config.batch.seal_rows + decode::ROWS_AT_ONCE_MAX;
    let batches = config.batch.seal_rows.div_ceil(FLOW_BATCH_ROWS);
    let flows = batches * FlowBatch::bytes_max(FLOW_BATCH_ROWS)
        + decode::ROWS_AT_ONCE_MAX * CoreColumns::ROW_BYTES
        + rows * size_of::<RowRef>();
    let usage = size_of::<UsageRow>() + size_of::<NetworkRow>();
    let usage = config.usage.usage_keys_max.saturating_mul(usage);
    let facts = shard::FACTS_MAX * (size_of::<Learned>() + FACT_TEXT_BYTES);
    (flows + facts).saturating_add(usage)
}

fn spool(config: &Config) -> usize {
    if config.spool.mode == Mode::Off {
        return 0;
    }
    // live sections that wait, and the bundle that the writer's queue may be too small for
    let encoded = (config.sink.in_flight_max + 1) * config.batch.seal_rows * BLOCK_ROW_BYTES;
    let queue = usize::try_from(config.spool.queue_bytes_max).unwrap_or(usize::MAX);
    let files = config.spool.files_max * SPOOLED_BYTES;
    (files + encoded + positions::BYTES_MAX).saturating_add(queue)
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
