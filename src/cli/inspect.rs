//! `flowhouse inspect`: what exporters really send, one JSON line a record.

use super::packets;
use crate::decode::inspect::{Inspector, Record};
use crate::decode::{Settings, looks_like_export};
use crate::dissect::link_name;
use crate::ledger::{Outcome, Tally};
use crate::receive::{Captures, Counts, Fault, Selection};
use anyhow::Context;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Prints each record of capture files as it was sent, before any normalisation.
///
/// Every UDP payload of the files is taken as an export datagram (IP fragments are put together); NetFlow 5, 7 and 9,
/// IPFIX and sFlow 5 are understood. Nothing is scaled, corrected or left out: options records, sFlow counters and
/// samples of unknown kinds are printed, too. Times are milliseconds since 1970 UTC.
///
/// A file may be pcap or pcapng, in either byte order and any time resolution, or the payload of one datagram
/// (`.dat`, `.bin`). Several files are read in order, so templates may be in one file and data in another.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct InspectArguments {
    /// Capture files, or files of one raw UDP payload.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Also print every field as hex under `raw`: element number (`8`), enterprise and number (`29305.1`), scope type
    /// of NetFlow 9 (`s1`); the second field of the same element ends in `#2`.
    #[arg(long)]
    raw: bool,
    /// Let data that comes before its template wait for it, instead of passing over it.
    #[arg(long)]
    wait: bool,
    /// Print one line a frame instead, whatever it carries: addresses and lengths of the outermost IP header, ports, flags
    /// and types, VLAN tags, MPLS labels and tunnel ids (outer first), fragments. Nothing is reassembled.
    #[arg(long, conflicts_with_all = ["raw", "wait"])]
    packets: bool,
}

const EXAMPLES: &str = "\
Examples:
  flowhouse inspect router.pcap
  flowhouse inspect --raw templates.pcap data.pcapng
  flowhouse inspect --wait router.pcap | jq 'select(.kind == \"options\")'
  flowhouse inspect --packets mirror.pcap | jq -c '[.src, .dst, .ip_len]'

What was rejected, and why, stands on standard error.
Exit status: 0 also where records were malformed, 1 if a file cannot be read or is no capture, 2 for wrong usage.";

/// Reads the files and prints their records.
pub fn run(arguments: &InspectArguments) -> anyhow::Result<()> {
    let captures = Captures::open(&arguments.files, looks_like_export)?;
    if arguments.packets {
        return frames(&captures);
    }
    let mut inspector = Inspector::new(Settings::default(), arguments.raw, arguments.wait);
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut written = Ok(());
    let progress = super::progress("inspecting", captures.bytes());
    let counts = captures.read(&Selection::Export, |d| {
        progress.inc(d.payload.len() as u64);
        if written.is_ok() {
            inspector.datagram(d, &mut |record| {
                if written.is_ok() {
                    written = print(&mut out, &record);
                }
            });
        }
    });
    progress.finish_and_clear();
    match written.and_then(|()| out.flush()) {
        // whoever reads has seen enough
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        written => written.context("cannot write to standard output")?,
    }
    summary(&counts, inspector.finish());
    Ok(())
}

/// Prints each frame of the files.
fn frames(captures: &Captures) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let mut written = Ok(());
    let (mut count, mut links) = (0u64, BTreeMap::new());
    let progress = super::progress("inspecting", captures.bytes());
    let (faults, rejected) = captures.frames(|frame| {
        count += 1;
        progress.inc(frame.captured.len() as u64);
        if written.is_ok() {
            let (line, known) = packets::line(frame);
            if !known {
                *links.entry(frame.link_type).or_insert(0u64) += 1;
            }
            written = serde_json::to_writer(&mut out, &line)
                .map_err(io::Error::from)
                .and_then(|()| out.write_all(b"\n"));
        }
    });
    progress.finish_and_clear();
    match written.and_then(|()| out.flush()) {
        // whoever reads has seen enough
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
        written => written.context("cannot write to standard output")?,
    }
    eprintln!("{count} frames");
    for fault in faults {
        match fault {
            Fault::CutShort(at) => eprintln!("  a file ends within the frame at byte {at}"),
            Fault::Broken(at) => eprintln!("  what starts at byte {at} of a file is no frame"),
        }
    }
    if rejected > 0 {
        eprintln!("  {rejected} blocks made no sense and were left out");
    }
    for (link, n) in links {
        let name = link_name(link);
        eprintln!("  {n} of link type {link} ({name}), which is not looked into");
    }
    Ok(())
}

fn print(out: &mut impl Write, record: &Record) -> io::Result<()> {
    serde_json::to_writer(&mut *out, record)?;
    out.write_all(b"\n")
}

/// Tells on standard error what was read and what was not used.
fn summary(counts: &Counts, tally: &Tally) {
    for note in &counts.notes {
        eprintln!("{note}");
    }
    eprintln!(
        "{} frames, {} datagrams, {} records",
        counts.frames,
        counts.datagrams,
        tally.count(Outcome::RecordsDecoded),
    );
    let frames = [
        ("frames without UDP", counts.frames_other),
        (
            "frames that could not be read to a datagram",
            counts.frames_rejected,
        ),
        (
            "blocks that made no sense and were left out",
            counts.blocks_rejected,
        ),
    ];
    for (what, n) in frames.into_iter().filter(|(_, n)| *n > 0) {
        eprintln!("  {n} {what}");
    }
    for (outcome, n) in tally.iter().filter(|(o, _)| NOTABLE.contains(o)) {
        eprintln!("  {n} {}: {}", outcome.name(), outcome.help().trim());
    }
}

/// Outcomes that explain why something is not in the output.
const NOTABLE: &[Outcome] = &[
    Outcome::DatagramsRejectedVersion,
    Outcome::DatagramsRejectedShort,
    Outcome::DatagramsRejectedHeader,
    Outcome::CountsWrong,
    Outcome::LengthsWrong,
    Outcome::SetsOverrun,
    Outcome::SetsRejectedLength,
    Outcome::SetsRejectedTemplate,
    Outcome::SetsRejectedRecord,
    Outcome::SetsRejectedId,
    Outcome::SetsRejectedFormat,
    Outcome::SetsExpiredTemplate,
    Outcome::TemplatesWithdrawn,
    Outcome::TemplatesRefused,
    Outcome::BytesTrailing,
];
