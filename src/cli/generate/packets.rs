//! `flowhouse generate --packets`: conversations as a mirror port shows them.

use super::super::Usage;
use super::{GenerateArguments, stop_on_interrupt, sums, table};
use crate::generate::packets::{PacketTruth, Packets, Wire, write};
use crate::generate::sender::clock_ms;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Duration;

/// Writes or sends, then prints what a meter must have found.
pub(super) fn run(arguments: &GenerateArguments) -> Result<()> {
    let per_second = (arguments.rate / 2).max(1);
    let of_time = |d: Duration| (d.as_secs_f64() * per_second as f64) as u64;
    let limit = arguments.flows.map(|flows| flows.div_ceil(2));
    let conversations = match (limit, arguments.duration) {
        (Some(n), _) => n,
        (None, Some(time)) => of_time(time),
        (None, None) if arguments.pcap.is_some() => {
            bail!(Usage("--pcap needs --flows or --for".into()))
        }
        (None, None) => u64::MAX,
    };
    let mut packets = Packets::new(
        arguments.seed,
        conversations,
        per_second,
        clock_ms() * 1_000_000,
    );
    let truth = match (&arguments.pcap, &arguments.interface) {
        (Some(path), _) => {
            let told = || format!("cannot write {}", path.display());
            let file = File::create(path).with_context(told)?;
            write(&mut packets, &mut BufWriter::new(file)).with_context(told)?
        }
        (None, Some(name)) => {
            let told = || format!("cannot send on {name}");
            let mut wire = Wire::open(name).with_context(told)?;
            let stop = stop_on_interrupt()?;
            wire.send(&mut packets, arguments.rate == 0, &stop)
                .with_context(told)?
        }
        (None, None) => bail!(Usage(
            "--packets needs --pcap FILE or --interface NAME".into()
        )),
    };
    let text = match arguments.json {
        true => format!("{:#}\n", as_json(&truth)),
        false => as_text(&truth),
    };
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())
        .context("cannot write the summary")
}

fn as_json(truth: &PacketTruth) -> Value {
    let applications = truth.by_application.iter();
    json!({
        "flows": truth.total.flows,
        "bytes": truth.total.bytes,
        "packets": truth.total.packets,
        "retransmits": truth.retransmits,
        "refused": truth.refused,
        "rtp_lost": truth.rtp_lost,
        "dns_answers": truth.dns_answers,
        "applications": sums(applications.map(|(k, v)| ((*k).to_owned(), v))),
        "dscp": sums(truth.by_dscp.iter().map(|(k, v)| (k.to_string(), v))),
    })
}

fn as_text(truth: &PacketTruth) -> String {
    let t = &truth.total;
    format!(
        "{} flows (directions), {} bytes, {} packets\n{} segments sent again, {} connections refused, {} RTP packets lost, {} names answered\n{}",
        t.flows,
        t.bytes,
        t.packets,
        truth.retransmits,
        truth.refused,
        truth.rtp_lost,
        truth.dns_answers,
        table(&truth.by_application, t.bytes),
    )
}
