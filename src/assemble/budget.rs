//! What memory can be needed at most, summed and said at start.

use crate::config::Config;
use crate::model::{CoreColumns, FLOW_BATCH_ROWS, TEXT_ARENA_MAX};
use crate::sink::spool::Mode;
use anyhow::{Result, bail};

/// Bytes of a row in a block of the store, all columns there.
const BLOCK_ROW_BYTES: usize = 520;

/// Bytes of a template with its plan.
const TEMPLATE_BYTES: usize = 1_024;

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
    refuse(config, shards)
}

/// Refuses settings that need more memory than this machine has.
///
/// # Errors
/// What to lower.
pub fn refuse(config: &Config, shards: usize) -> Result<()> {
    let total: usize = items(config, shards)
        .iter()
        .map(|i| i.bytes)
        .fold(0, usize::saturating_add);
    if let Some(memory) = machine_memory()
        && total > memory
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
    let batch = (FLOW_BATCH_ROWS + 512) * CoreColumns::ROW_BYTES + TEXT_ARENA_MAX / 8;
    let bundle =
        config.batch.seal_rows.div_ceil(FLOW_BATCH_ROWS) * batch + config.batch.seal_rows * 4;
    // each shard fills one, the hop holds some, the encoder has one
    let bundles = shards + config.sink.queue_max + 1;
    let sections = config.sink.in_flight_max * config.batch.seal_rows * BLOCK_ROW_BYTES;
    let spooled = config.spool.mode != Mode::Off;
    // live sections that wait, and the bundle that the writer's queue may be too small for
    let encoded = (config.sink.in_flight_max + 1) * config.batch.seal_rows * BLOCK_ROW_BYTES;
    let queue = usize::try_from(config.spool.queue_bytes_max).unwrap_or(usize::MAX);
    let spool = (config.spool.files_max * SPOOLED_BYTES + encoded).saturating_add(queue);
    let decode = config.decode.templates_max * TEMPLATE_BYTES + config.decode.waiting_bytes_max;
    vec![
        Item {
            what: "receive",
            bytes: config.receive.batches_bytes_max(shards),
        },
        Item {
            what: "templates",
            bytes: decode * shards,
        },
        Item {
            what: "usage",
            bytes: config.usage.memory_max() * shards,
        },
        Item {
            what: "bundles",
            bytes: bundle * bundles,
        },
        Item {
            what: "SNMP",
            bytes: config.snmp.memory_max(),
        },
        Item {
            what: "in flight",
            bytes: sections,
        },
        Item {
            what: "spool",
            bytes: if spooled { spool } else { 0 },
        },
    ]
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
