//! Mirrored traffic for the demo: packets of generated conversations, a capture file every other second into the folder that
//! the collector watches. That needs no right; an interface would.

use super::Reader;
use crate::cli::text;
use crate::generate::packets::{GeneratedFrame, PacketTruth, Packets};
use crate::receive::route::Moment;
use anyhow::{Context, Result};
use serde_json::{Map, Value};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What writes the captures, until it is stopped; then it says what was in them.
pub struct Mirror(JoinHandle<Result<PacketTruth>>);

/// What was metered: rows, packets and layer 3 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Metered {
    pub rows: f64,
    pub packets: f64,
    pub bytes: f64,
}

impl Mirror {
    /// Begins to write; `per_second` conversations begin in a second.
    pub fn begin(captures: &Captures, per_second: u64, stop: Arc<AtomicBool>) -> Mirror {
        let (folder, open) = (captures.watched(), captures.0.join("open"));
        Mirror(std::thread::spawn(move || {
            write_all(&folder, &open, per_second, &stop)
        }))
    }

    /// Waits for the last file; what was in all of them.
    ///
    /// # Errors
    /// When a file could not be written.
    pub fn end(self) -> Result<PacketTruth> {
        let ended = self.0.join();
        ended.unwrap_or_else(|_| Ok(PacketTruth::default()))
    }
}

/// A folder of this run alone for its capture files, which the collector deletes; gone when this is dropped.
pub struct Captures(PathBuf);

impl Captures {
    /// Makes one that did not exist below `data`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(data: &Path) -> Result<Captures> {
        let number = Moment::now().wall_ns;
        let captures = Captures(data.join(format!("mirror-{}-{number}", std::process::id())));
        let cure = || {
            format!(
                "cannot make {}: choose a folder of your own with --data",
                captures.0.display()
            )
        };
        fs::create_dir(&captures.0).with_context(cure)?;
        fs::create_dir(captures.watched()).with_context(cure)?;
        Ok(captures)
    }

    /// Where rules for them may stand; not made yet.
    pub fn rules(&self) -> PathBuf {
        self.0.join("rules")
    }

    /// The folder that is watched.
    pub fn watched(&self) -> PathBuf {
        self.0.join("packets")
    }
}

impl Drop for Captures {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!("{} stays: {error}", self.0.display());
        }
    }
}

/// What of the mirrored traffic is stored.
///
/// # Errors
/// As the store says.
pub fn metered(reader: &Reader) -> Result<Metered> {
    let row = reader.row(
        "SELECT count() AS rows, sum(packets) AS packets, sum(bytes) AS bytes FROM flows WHERE origin = 'packets'",
    )?;
    let of = |name| super::number(&row, name);
    Ok(Metered {
        rows: of("rows"),
        packets: of("packets"),
        bytes: of("bytes"),
    })
}

/// Waits until so many packets are stored, a while.
///
/// # Errors
/// As [`metered`].
pub fn wait(reader: &Reader, before: Metered, truth: &PacketTruth) -> Result<Metered> {
    let until = Instant::now() + STORED_AFTER;
    loop {
        let all = metered(reader)?;
        let new = Metered {
            rows: all.rows - before.rows,
            packets: all.packets - before.packets,
            bytes: all.bytes - before.bytes,
        };
        if new.packets >= truth.total.packets as f64 || Instant::now() > until {
            return Ok(new);
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Protocols by what they said, with their quality, since `seconds` ago.
///
/// # Errors
/// As the store says.
pub fn quality(reader: &Reader, seconds: u64) -> Result<Vec<Map<String, Value>>> {
    // what was not measured is nan or NULL, in JSON null
    reader.rows(&format!(
        "SELECT app_proto, qos_class, toFloat64(sum(bytes)) AS bytes,
            quantilesTDigestMerge(0.5, 0.95, 0.99)(rtt_us)[2] / 1000 AS rtt_p95_ms,
            sum(retransmits) / nullIf(sum(tcp_packets), 0) AS retransmit_share,
            sum(rtp_lost) / nullIf(sum(rtp_packets) + sum(rtp_lost), 0) AS rtp_loss_share,
            quantilesTDigestMerge(0.5, 0.95, 0.99)(jitter_us)[2] / 1000 AS jitter_p95_ms,
            sum(mos_sum) / nullIf(sum(mos_count), 0) / 100 AS mos,
            quantilesTDigestMerge(0.5, 0.95, 0.99)(dns_rtt_us)[2] / 1000 AS dns_p95_ms
        FROM quality_1m WHERE time > now() - {} GROUP BY app_proto, qos_class ORDER BY bytes DESC LIMIT 8",
        seconds + 60
    ))
}

/// [`quality`] as a table for people.
pub fn table(rows: &[Map<String, Value>]) -> String {
    let texts = |row: &Map<String, Value>, name: &str| row[name].as_str().unwrap_or("").to_owned();
    let cell = |row: &Map<String, Value>, name: &str, show: fn(f64) -> String| {
        row[name].as_f64().map_or(String::new(), show)
    };
    let ms = |n: f64| format!("{n:.1} ms");
    let line = |row: &Map<String, Value>| {
        vec![
            texts(row, "app_proto"),
            texts(row, "qos_class"),
            cell(row, "bytes", text::bytes),
            cell(row, "rtt_p95_ms", ms),
            cell(row, "retransmit_share", text::percent),
            cell(row, "rtp_loss_share", text::percent),
            cell(row, "jitter_p95_ms", ms),
            cell(row, "mos", |n| format!("{n:.2}")),
            cell(row, "dns_p95_ms", ms),
        ]
    };
    let header = [
        "spoken",
        "QoS class",
        "bytes",
        "rtt p95",
        "sent again",
        "rtp lost",
        "jitter p95",
        "opinion",
        "dns p95",
    ];
    text::table(&header, 2, rows.iter().map(line))
}

fn write_all(
    folder: &Path,
    open: &Path,
    per_second: u64,
    stop: &AtomicBool,
) -> Result<PacketTruth> {
    let start_ns = Moment::now().wall_ns;
    let mut packets = Packets::new(SEED, u64::MAX, per_second, start_ns);
    let mut frame = GeneratedFrame::default();
    let mut more = packets.next(&mut frame);
    let mut number = 0u64;
    while more && !stop.load(Ordering::Relaxed) {
        super::pause(SLICE, stop);
        let until_ns = Moment::now().wall_ns;
        let fault = || format!("cannot write {}", open.display());
        let mut out = BufWriter::new(File::create(open).with_context(fault)?);
        out.write_all(&crate::generate::packets::pcap_header())?;
        // the last one, too, is among what the generator says it made
        while more && (frame.time_ns <= until_ns || stop.load(Ordering::Relaxed)) {
            out.write_all(&frame.pcap_record())?;
            out.write_all(&frame.bytes)?;
            if frame.time_ns > until_ns {
                more = false;
            } else {
                more = packets.next(&mut frame);
            }
        }
        out.flush().with_context(fault)?;
        number += 1;
        // complete at once for whoever watches
        fs::rename(open, folder.join(format!("{start_ns}-{number}.pcap"))).with_context(fault)?;
    }
    Ok(packets.truth().clone())
}

/// What a file has of time.
const SLICE: Duration = Duration::from_secs(2);
/// How long conversations that are over may take to be stored.
const STORED_AFTER: Duration = Duration::from_secs(20);
const SEED: u64 = 7;
