//! Generated exports as a capture file (pcap, microseconds, Ethernet).

use super::exporter::put;
use super::sender::Report;
use super::{Export, Exporter};
use std::io::{self, Write};
use std::net::Ipv4Addr;

/// Writes the exporters' datagrams in turn, with times that advance by `flows_per_second`, until `flows` flow records
/// are written. They go to `port` of 198.19.255.254, from [`capture_address`]. Gives what they said.
pub fn write(
    out: &mut impl Write,
    exporters: &mut [Exporter],
    flows: u64,
    flows_per_second: u64,
    port: u16,
    start_ms: i64,
) -> io::Result<Report> {
    out.write_all(&PCAP_HEADER)?;
    let mut report = Report::default();
    let mut export = Export::default();
    let mut frame = Vec::new();
    let mut turn = 0;
    while report.flows < flows && !exporters.is_empty() {
        let at_us =
            start_ms * 1000 + (report.flows as i64 * 1_000_000) / flows_per_second.max(1) as i64;
        let exporter = &mut exporters[turn];
        exporter.next(at_us / 1000, &mut export);
        frame.clear();
        ethernet(
            capture_address(exporter.number),
            port,
            &export.payload,
            &mut frame,
        );
        let length = (frame.len() as u32).to_le_bytes();
        for word in [(at_us / 1_000_000) as u32, (at_us % 1_000_000) as u32] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&length)?;
        out.write_all(&length)?;
        out.write_all(&frame)?;
        report.truth.extend(&export.flows);
        report.flows = report.truth.total.flows;
        report.datagrams += 1;
        report.payload_bytes += export.payload.len() as u64;
        turn = (turn + 1) % exporters.len();
    }
    for (key, bytes) in exporters.iter_mut().flat_map(Exporter::take_passed) {
        *report.truth.passed.entry(key).or_default() += bytes;
    }
    Ok(report)
}

/// The source address of exporter n in a capture: 198.18.0.1, ... (RFC 2544's block for benchmarks).
pub fn capture_address(exporter: u32) -> Ipv4Addr {
    Ipv4Addr::new(
        198,
        18,
        (exporter / 250 % 250) as u8,
        1 + (exporter % 250) as u8,
    )
}

fn ethernet(source: Ipv4Addr, port: u16, payload: &[u8], frame: &mut Vec<u8>) {
    frame.extend_from_slice(&[0x02, 0, 0x5e, 0, 0, 1, 0x02, 0, 0x5e, 0, 0, 2, 0x08, 0]);
    let udp = payload.len() as u64 + 8;
    frame.extend_from_slice(&[0x45, 0]);
    put(frame, udp + 20, 2);
    frame.extend_from_slice(&[0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend_from_slice(&source.octets());
    frame.extend_from_slice(&COLLECTOR.octets());
    let sum = super::sflow::checksum(&frame[14..]).to_be_bytes();
    frame[24..26].copy_from_slice(&sum);
    put(frame, 50_000, 2);
    put(frame, u64::from(port), 2);
    put(frame, udp, 2);
    // no checksum: IPv4 allows it
    put(frame, 0, 2);
    frame.extend_from_slice(payload);
}

const COLLECTOR: Ipv4Addr = Ipv4Addr::new(198, 19, 255, 254);
const PCAP_HEADER: [u8; 24] = [
    0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0,
];
