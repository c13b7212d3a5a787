//! `flowhouse generate`: exporters with known content, over UDP or into a capture.

mod packets;

use super::{Usage, text};
use crate::generate::sender::{self, Plan, Report};
use crate::generate::{Exporter, Habits, Profile, Sums, Truth, capture};
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Send generated exports to a collector, or write them to a capture file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct GenerateArguments {
    /// Collector to send to.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:2055")]
    to: SocketAddr,
    /// What the exporters speak; mix takes v5, v9, ipfix and sflow in turn.
    #[arg(long, value_enum, default_value = "mix")]
    protocol: Spoken,
    /// Flow records a second, all exporters together; 0 sends as fast as it goes.
    #[arg(long, default_value_t = 1000, value_name = "FLOWS/S")]
    rate: u64,
    /// End after so many flow records.
    #[arg(long, value_name = "N")]
    flows: Option<u64>,
    /// End after this time: 500ms, 30s, 5m, 1h. Without --for and --flows it sends until interrupted.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    duration: Option<Duration>,
    /// How many exporters. To IPv4 loopback each sends from an address of its own (127.1.0.1, 127.1.0.2, ...).
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    exporters: u32,
    /// Where chance comes from: equal seeds give equal traffic.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Templates of each v9 or IPFIX exporter, half of them for IPv6.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=1000))]
    templates: u16,
    /// Send templates and options data again after so many datagrams.
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    templates_every: u64,
    /// See 1 in N packets, by chance, and tell the collector so. The summary of a capture (--json) has what really passed, by minute.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    sampling: u32,
    /// Seconds by which the exporters' clocks are ahead (negative: behind).
    #[arg(
        long,
        default_value_t = 0,
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    clock_ahead: i64,
    /// Report each flow twice, metered at ingress and at egress (v9, IPFIX).
    #[arg(long)]
    both_directions: bool,
    /// Flows come with their answers, from a network in which nothing is amiss (detectors stay silent); without it each flow is
    /// by itself, between few busy and many rare hosts.
    #[arg(long)]
    answered: bool,
    /// The plain layouts of the benches (v9 24 fields, IPFIX 25 fields): no options data, no texts.
    #[arg(long)]
    load: bool,
    /// Hand datagrams of equal length to the kernel together (UDP_SEGMENT), for the highest rates.
    #[arg(long)]
    gso: bool,
    /// Datagrams made beforehand and sent in turn, all exporters together.
    #[arg(long, default_value_t = 8000, value_name = "N")]
    pool: usize,
    /// Write a capture (pcap) instead of sending; needs --flows.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Packets of conversations, as a mirror port shows them, and no exports; needs --pcap or --interface. A conversation is two flows.
    #[arg(long)]
    packets: bool,
    /// With --packets: send them on this interface (needs CAP_NET_RAW).
    #[arg(
        long,
        value_name = "NAME",
        requires = "packets",
        conflicts_with = "pcap"
    )]
    interface: Option<String>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Spoken {
    V5,
    V9,
    Ipfix,
    Sflow,
    Mix,
}

/// Sends or writes, then prints what a collector must have found.
pub fn run(arguments: GenerateArguments) -> anyhow::Result<()> {
    if arguments.packets {
        return packets::run(&arguments);
    }
    let report = match &arguments.pcap {
        Some(path) => write_capture(&arguments, path)?,
        None => send(&arguments)?,
    };
    let text = if arguments.json {
        format!("{:#}\n", as_json(&report))
    } else {
        as_text(&report)
    };
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write the summary")
}

fn send(arguments: &GenerateArguments) -> anyhow::Result<Report> {
    let plan = Plan {
        first_exporter: 0,
        to: arguments.to,
        profiles: profiles(arguments),
        exporters: arguments.exporters,
        habits: habits(arguments),
        rate: arguments.rate,
        flows: arguments.flows,
        duration: arguments.duration,
        seed: arguments.seed,
        pool: arguments.pool,
        segment: arguments.gso,
    };
    let stop = stop_on_interrupt()?;
    let progress = std::io::stderr().is_terminal();
    let report = sender::send(&plan, &stop, |flows| {
        if progress {
            eprint!("\r{flows} flows sent ");
        }
    })
    .with_context(|| format!("cannot send to {}", plan.to))
    .map_err(|e| match e.downcast_ref::<std::io::Error>().and_then(|e| e.raw_os_error()) {
        Some(nix::libc::EMFILE) => e.context(
            "each exporter has a socket of its own: allow more open files (ulimit -n), or have fewer --exporters",
        ),
        _ => e,
    })?;
    if progress {
        eprint!("\r\x1b[K");
    }
    if report.refused > 0 {
        eprintln!(
            "flowhouse: nobody listens on {} ({} refusals)",
            plan.to, report.refused
        );
    }
    Ok(report)
}

fn write_capture(arguments: &GenerateArguments, path: &PathBuf) -> anyhow::Result<Report> {
    let flows = (arguments.flows).ok_or_else(|| Usage("--pcap needs --flows".into()))?;
    if arguments.exporters > 62_500 {
        bail!(Usage("--pcap has addresses for 62500 exporters".into()));
    }
    let start_ms = sender::clock_ms();
    let profiles = profiles(arguments);
    let mut exporters: Vec<Exporter> = (0..arguments.exporters)
        .map(|n| {
            let mut habits = habits(arguments);
            habits.agent = std::net::IpAddr::from(capture::capture_address(n)).into();
            Exporter::new(
                profiles[n as usize % profiles.len()],
                habits,
                n,
                arguments.seed,
                start_ms,
            )
        })
        .collect();
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut out = BufWriter::new(file);
    capture::write(
        &mut out,
        &mut exporters,
        flows,
        arguments.rate,
        arguments.to.port(),
        start_ms,
    )
    .and_then(|report| out.flush().map(|()| report))
    .with_context(|| format!("cannot write {}", path.display()))
}

fn habits(arguments: &GenerateArguments) -> Habits {
    Habits {
        sampling: arguments.sampling,
        only_tells: false,
        clock_ahead_ms: arguments.clock_ahead.saturating_mul(1000),
        templates_every: arguments.templates_every,
        templates: arguments.templates,
        both_directions: arguments.both_directions,
        answered: arguments.answered,
        ..Habits::default()
    }
}

fn profiles(arguments: &GenerateArguments) -> Vec<Profile> {
    use Profile::*;
    match (arguments.protocol, arguments.load) {
        (Spoken::V5, false) => vec![EdgeSwitch],
        (Spoken::V9, false) => vec![Router],
        (Spoken::Ipfix, false) => vec![Gateway],
        (Spoken::Sflow, _) => vec![SflowSwitch],
        (Spoken::Mix, false) => vec![EdgeSwitch, Router, Gateway, SflowSwitch],
        (Spoken::V5, true) => vec![LoadV5],
        (Spoken::V9, true) => vec![LoadV9],
        (Spoken::Ipfix, true) => vec![LoadIpfix],
        (Spoken::Mix, true) => vec![LoadV5, LoadV9, LoadIpfix, SflowSwitch],
    }
}

/// A flag that an interrupt raises, so that the summary is printed at the end of an endless sending, too.
fn stop_on_interrupt() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            raised.store(true, Ordering::Relaxed);
        }
    });
    Ok(stop)
}

fn as_json(report: &Report) -> Value {
    let mut value = serde_json::to_value(report).unwrap_or_default();
    let truth = &report.truth;
    value["bytes"] = json!(truth.total.bytes);
    value["packets"] = json!(truth.total.packets);
    value["applications"] = sums(
        truth
            .by_application
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v)),
    );
    value["dscp"] = sums(truth.by_dscp.iter().map(|(k, v)| (k.to_string(), v)));
    if !truth.passed.is_empty() {
        let minutes = truth.passed.iter();
        let line = |((minute, application, dscp), bytes): (&(i64, &str, u8), &u64)| json!({"minute_ms": minute * 60_000, "application": application, "dscp": dscp, "bytes": bytes});
        value["passed"] = minutes.map(line).collect();
    }
    value["in_if"] = sums(truth.by_in_if.iter().map(|(k, v)| (k.to_string(), v)));
    value["out_if"] = sums(truth.by_out_if.iter().map(|(k, v)| (k.to_string(), v)));
    value
}

fn sums<'a>(entries: impl Iterator<Item = (String, &'a Sums)>) -> Value {
    entries
        .map(|(name, sums)| (name, json!(sums)))
        .collect::<Map<_, _>>()
        .into()
}

fn as_text(report: &Report) -> String {
    let truth = &report.truth;
    let mut summary = format!(
        "{} flows, {} bytes, {} packets (as reported, not scaled)\n",
        truth.total.flows, truth.total.bytes, truth.total.packets
    );
    if report.seconds > 0.0 {
        summary += &format!(
            "{} datagrams, {} in {:.2} s: {:.0} flows/s, {}; latest {:.1} ms behind plan\n",
            report.datagrams,
            text::bytes(report.payload_bytes as f64),
            report.seconds,
            report.flows_per_second,
            text::bit_rate(report.payload_bytes as f64 * 8.0 / report.seconds.max(1e-9)),
            report.late_ms,
        );
    }
    summary + &applications(truth)
}

fn applications(truth: &Truth) -> String {
    table(&truth.by_application, truth.total.bytes)
}

/// Applications by falling bytes.
fn table(applications: &BTreeMap<&'static str, Sums>, total: u64) -> String {
    let mut rows: Vec<_> = applications.iter().collect();
    rows.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.bytes));
    let rows = rows.into_iter().map(|(name, s)| {
        let share = s.bytes as f64 / total.max(1) as f64;
        let counts = [s.flows, s.bytes, s.packets].map(|n| n.to_string());
        [
            vec![(*name).to_owned()],
            counts.to_vec(),
            vec![text::percent(share)],
        ]
        .concat()
    });
    text::table(
        &["application", "flows", "bytes", "packets", "share"],
        1,
        rows,
    ) + "\n"
}

/// `500ms`, `30s`, `5m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let number: u64 = text[..digits]
        .parse()
        .map_err(|_| "a time such as 30s or 5m".to_owned())?;
    let unit_ms = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("a time needs a unit: ms, s, m or h".to_owned()),
    };
    Ok(Duration::from_millis(number.saturating_mul(unit_ms)))
}

const EXAMPLES: &str = "Examples:
  # 1,000 flows a second of all protocols to a collector on this machine, for a minute
  flowhouse generate --for 1m
  # a million flows of twenty IPFIX exporters
  flowhouse generate --to 192.0.2.7:4739 --protocol ipfix --exporters 20 \\
    --rate 50000 --flows 1000000
  # as fast as this machine sends, with the totals as JSON
  flowhouse generate --protocol v9 --load --rate 0 --flows 10000000 --json
  # exporters of all protocols as a capture, to be read by flowhouse replay or inspect
  flowhouse generate --protocol mix --flows 5000 --pcap exports.pcap
  # calls, pages and name look-ups as packets, into a file or onto an interface
  flowhouse generate --packets --flows 5000 --pcap packets.pcap
  flowhouse generate --packets --rate 200 --for 1m --interface veth0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_need_units() {
        assert_eq!(duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("30").is_err() && duration("s").is_err() && duration("1d").is_err());
    }
}
