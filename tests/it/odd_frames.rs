//! Frames that few captures have: aggregates, blocks that make no sense, link types that nobody reads.

use crate::harness::{assert_laws, directory, exe, total};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// An IPv4 packet with UDP from this port in an Ethernet frame.
pub fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let ip = packet(port, payload);
    [&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0][..], &ip].concat()
}

fn packet(port: u16, payload: &[u8]) -> Vec<u8> {
    let size = payload.len() as u16;
    let mut ip = vec![0x45, 0];
    ip.extend((28 + size).to_be_bytes());
    ip.extend([0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    ip.extend(port.to_be_bytes());
    ip.extend([0, 99]);
    ip.extend((8 + size).to_be_bytes());
    ip.extend([0, 0]);
    [&ip, payload].concat()
}

/// A pcapng file with one interface and these packets: of which interface each says that it is, and its bytes.
pub fn pcapng(link_type: u16, packets: &[(u32, &[u8])]) -> Vec<u8> {
    let mut file = vec![];
    let mut block = |kind: u32, body: &[u8]| {
        let padded = body.len().next_multiple_of(4);
        let size = (12 + padded) as u32;
        file.extend(kind.to_le_bytes());
        file.extend(size.to_le_bytes());
        file.extend(body);
        file.extend(vec![0; padded - body.len()]);
        file.extend(size.to_le_bytes());
    };
    let section = [
        0x1a2b_3c4du32.to_le_bytes(),
        [1, 0, 0, 0],
        [0xff; 4],
        [0xff; 4],
    ];
    block(0x0a0d_0d0a, &section.concat());
    block(1, &[&link_type.to_le_bytes()[..], &[0; 6]].concat());
    for (n, (interface, bytes)) in packets.iter().enumerate() {
        let size = bytes.len() as u32;
        let words = [*interface, 0, 1000 + n as u32, size, size].map(u32::to_le_bytes);
        block(6, &[&words.concat()[..], bytes].concat());
    }
    file
}

fn flowhouse(arguments: &[&str], file: &Path) -> Output {
    let mut command = Command::new(exe());
    let done = command.args(arguments).arg(file).output();
    let done = done.expect("it runs");
    assert!(done.status.success(), "{done:?}");
    done
}

/// Lines of `inspect --packets`, and what it says beside them.
fn inspected(file: &Path) -> (Vec<Value>, String) {
    let done = flowhouse(&["inspect", "--packets"], file);
    let lines = String::from_utf8_lossy(&done.stdout);
    let lines = lines
        .lines()
        .map(|l| serde_json::from_str(l).expect("JSON"));
    (lines.collect(), said(&done))
}

fn said(done: &Output) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

/// Source port, packets and bytes of each row of a replay, its ledger, and what it says beside.
fn replayed(dir: &Path, shards: &str, file: &Path) -> (Vec<[u64; 3]>, Value, String) {
    let out = dir.join(shards);
    let arguments = ["replay", "--as", "packets", "--shards", shards, "--out"];
    let arguments = [&arguments[..], &[out.to_str().expect("text")]].concat();
    let done = flowhouse(&arguments, file);
    let rows = fs::read_to_string(out.join("flows.ndjson")).expect("written");
    let row = |l: &str| {
        let row: Value = serde_json::from_str(l).expect("JSON");
        ["src_port", "packets", "bytes"].map(|key| row[key].as_u64().unwrap_or_default())
    };
    let mut rows: Vec<_> = rows.lines().map(row).collect();
    rows.sort_unstable();
    let ledger = fs::read_to_string(out.join("ledger.json")).expect("written");
    let ledger: Value = serde_json::from_str(&ledger).expect("JSON");
    assert_laws(&ledger);
    (rows, ledger, said(&done))
}

#[test]
fn every_packet_of_an_aggregate_is_metered() {
    let dir = directory();
    let file = dir.path().join("aggregate.pcapng");
    let part = |content: &[u8], ethertype: [u8; 2], last: bool| {
        let mut part = vec![2; 12];
        part.extend((content.len() as u16 + 8).to_be_bytes());
        part.extend([0xaa, 0xaa, 3, 0, 0, 0]);
        part.extend(ethertype);
        part.extend(content);
        while !last && !part.len().is_multiple_of(4) {
            part.push(0);
        }
        part
    };
    let mut frame = vec![0x88, 1];
    frame.extend([0; 22]);
    frame.extend([0x80, 0]);
    frame.extend(part(&packet(1, b"a"), [8, 0], false));
    frame.extend(part(&packet(2, b"bcd"), [8, 0], false));
    frame.extend(part(&[7; 30], [0x88, 0xcc], false));
    frame.extend(part(&packet(3, b""), [8, 0], true));
    fs::write(&file, pcapng(105, &[(0, &frame)])).expect("written");
    let (lines, _) = inspected(&file);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["udp_sport"], json!([1, 2, 3]));
    assert_eq!(lines[0]["all_ip_headers"].as_array().map(Vec::len), Some(3));
    for shards in ["1", "3"] {
        let (rows, ledger, _) = replayed(dir.path(), shards, &file);
        assert_eq!(rows, [[1, 1, 29], [2, 1, 31], [3, 1, 28]]);
        let counts = ["frames_captured", "subframes", "subframes_not_ip"];
        assert_eq!(counts.map(|name| total(&ledger, name)), [1, 2, 1]);
    }
}

#[test]
fn a_block_that_makes_no_sense_is_counted() {
    let dir = directory();
    let file = dir.path().join("odd.pcapng");
    let frame = udp(1000, b"x");
    let packets: [(u32, &[u8]); 3] = [(0, &frame), (5, &frame), (0, &frame)];
    fs::write(&file, pcapng(1, &packets)).expect("written");
    let (lines, said) = inspected(&file);
    assert_eq!(lines.len(), 2);
    assert!(said.contains("1 blocks made no sense"), "{said}");
    let (rows, ledger, said) = replayed(dir.path(), "1", &file);
    assert_eq!(rows, [[1000, 2, 58]]);
    assert!(said.contains("1 blocks made no sense"), "{said}");
    let counts = [
        "frames_captured",
        "frames_dissected",
        "frames_rejected_block",
    ];
    assert_eq!(counts.map(|name| total(&ledger, name)), [3, 2, 1]);
}

#[test]
fn a_link_type_that_nobody_reads_is_named() {
    let dir = directory();
    let file = dir.path().join("usb.pcapng");
    let frame = udp(1000, b"x");
    fs::write(&file, pcapng(189, &[(0, &frame), (0, &frame)])).expect("written");
    let (_, said) = inspected(&file);
    assert!(said.contains("2 of link type 189 (USB_LINUX)"), "{said}");
    let (rows, ledger, said) = replayed(dir.path(), "1", &file);
    assert_eq!(
        (rows.len(), total(&ledger, "frames_rejected_link_type")),
        (0, 2)
    );
    assert_eq!(
        said.matches("link type 189 (USB_LINUX)").count(),
        1,
        "{said}"
    );
}
