//! Interfaces that are captured and shards for packets, as metrics.

use super::families::Page;
use super::{Capture, Meter};

/// What readers say. Frames that the queue dropped are in the ledger.
pub(super) fn interfaces(page: &mut Page, captures: &[Capture]) {
    let labels: Vec<_> = (captures.iter())
        .map(|c| [("interface", c.interface.clone())])
        .collect();
    let rows = |value: fn(&Capture) -> u64| {
        let values = captures.iter().map(move |c| value(c) as f64);
        labels.iter().map(|l| &l[..]).zip(values)
    };
    page.gauge(
        "flowhouse_capture_up",
        "Whether the interface is there, up and has a carrier.",
        rows(|c| c.is_up.into()),
    );
    page.counter(
        "flowhouse_capture_frames_total",
        "Frames read.",
        rows(|c| c.frames),
    );
    page.counter(
        "flowhouse_capture_bytes_total",
        "Bytes of frames, as far as they were captured.",
        rows(|c| c.bytes),
    );
    page.counter(
        "flowhouse_capture_kernel_drops_total",
        "Frames that the kernel dropped because its buffer was full; they are in no other counter.",
        rows(|c| c.kernel_drops),
    );
    page.counter(
        "flowhouse_capture_interface_drops_total",
        "Frames that the interface dropped before the kernel had them, whoever asked for them.",
        rows(|c| c.interface_drops),
    );
    page.counter(
        "flowhouse_capture_reopened_total",
        "Times that the interface was opened again.",
        rows(|c| c.reopened),
    );
}

/// What shards for packets say.
pub(super) fn meters(page: &mut Page, meters: &[Meter]) {
    let labels: Vec<_> = (0..meters.len())
        .map(|n| [("shard", n.to_string())])
        .collect();
    let rows = |value: fn(&Meter) -> f64| {
        let values = meters.iter().map(value).collect::<Vec<_>>();
        labels.iter().map(|l| &l[..]).zip(values)
    };
    page.gauge(
        "flowhouse_meter_queue_batches",
        "Batches of frames that wait for the shard.",
        rows(|m| m.shard.queue as f64),
    );
    page.gauge(
        "flowhouse_meter_queue_max_batches",
        "Batches of frames that may wait for the shard.",
        rows(|m| m.shard.queue_max as f64),
    );
    page.gauge(
        "flowhouse_meter_conversations",
        "Conversations in the flow table.",
        rows(|m| m.conversations as f64),
    );
    page.counter(
        "flowhouse_meter_rows_total",
        "Rows made of packets.",
        rows(|m| m.rows as f64),
    );
    page.counter(
        "flowhouse_meter_busy_seconds_total",
        "Time spent in dissecting, metering and what is behind it.",
        rows(|m| m.shard.busy_ns as f64 / 1e9),
    );
}
