//! Interfaces that are captured and shards for packets, as metrics.

use super::families::Page;
use super::{Capture, Histogram, Meter};

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

/// What became of the files of a folder.
pub(super) fn files(page: &mut Page, captures: &[Capture]) {
    let folders = captures.iter().filter(|c| !c.files.is_empty());
    let counts = folders.clone().flat_map(|c| {
        let of = move |(result, n): &(&str, u64)| {
            let labels = [
                ("folder", c.interface.clone()),
                ("result", (*result).to_owned()),
            ];
            (labels, *n as f64)
        };
        c.files.iter().map(of)
    });
    let counts: Vec<_> = counts.collect();
    page.counter(
        "flowhouse_capture_files_total",
        "Files of a folder: `read`, of these `torn` within a frame, set aside as `bad`, `changed` after they were read, `interrupted` by a crash.",
        counts.iter().map(|(labels, n)| (&labels[..], *n)),
    );
    let waiting: Vec<_> = folders
        .map(|c| ([("folder", c.interface.clone())], c.files_waiting as f64))
        .collect();
    page.gauge(
        "flowhouse_capture_files_waiting",
        "Files of a folder that are not complete or not read yet.",
        waiting.iter().map(|(labels, n)| (&labels[..], *n)),
    );
}

/// What packets tell of quality.
pub(super) fn quality(page: &mut Page, all: &[Histogram]) {
    for of_one in all.chunk_by(|a, b| a.name == b.name) {
        page.histograms(&format!("flowhouse_quality_{}", of_one[0].name), of_one);
    }
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
