//! The attack captures as softflowd exports them: what flows can show is found in them again.

use super::found_by;
use crate::harness::{corpus, directory};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Sends a capture through softflowd and writes what it exports as a capture: each datagram at the time in its header.
fn exported(capture: &Path, version: &str, to: &Path) -> usize {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(64 << 20);
    socket
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a time");
    let port = socket.local_addr().expect("an address").port();
    let mut child = Command::new("softflowd")
        .arg("-r")
        .arg(capture)
        .args(["-n", &format!("127.0.0.1:{port}"), "-v", version])
        // it removes the file of its number when it ends
        .args(["-d", "-c", "none", "-p"])
        .arg(to.with_extension("pid"))
        .output_quietly();
    let mut out = begun(to);
    let (mut buffer, mut n, mut ended) = (vec![0; 65_536], 0, false);
    loop {
        match socket.recv(&mut buffer) {
            Ok(len) => {
                write(&mut out, &buffer[..len]);
                n += 1;
            }
            // nothing came after it had ended
            Err(_) if ended => break,
            Err(_) => ended = child.try_wait().expect("a child").is_some(),
        }
    }
    assert!(child.wait().expect("a child").success(), "softflowd");
    out.flush().expect("room");
    n
}

trait Quietly {
    fn output_quietly(&mut self) -> std::process::Child;
}

impl Quietly for Command {
    fn output_quietly(&mut self) -> std::process::Child {
        let null = || std::process::Stdio::null();
        self.stdout(null())
            .stderr(null())
            .spawn()
            .expect("softflowd runs")
    }
}

/// A capture without packets.
fn begun(to: &Path) -> BufWriter<File> {
    let mut out = BufWriter::new(File::create(to).expect("a file"));
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 101] {
        out.write_all(&word.to_le_bytes()).expect("room");
    }
    out
}

fn write(out: &mut impl Write, payload: &[u8]) {
    let seconds = payload
        .get(8..12)
        .map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let total = (28 + payload.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
    packet.extend(9_995u16.to_be_bytes());
    packet.extend(2_055u16.to_be_bytes());
    packet.extend((8 + payload.len() as u16).to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    for word in [seconds, 0, packet.len() as u32, packet.len() as u32] {
        out.write_all(&word.to_le_bytes()).expect("room");
    }
    out.write_all(&packet).expect("room");
}

#[test]
fn attacks_are_found_in_what_softflowd_exports() {
    let Some(corpus) = corpus() else { return };
    let text = fs::read_to_string(corpus.join("behaviour/expect.jsonl")).expect("expectations");
    let (mut faults, mut right) = (vec![], 0);
    for line in text.lines() {
        let expected: Value = serde_json::from_str(line).expect("JSON");
        let file = expected["file"].as_str().expect("a file");
        let silent = expected["must_be_silent"] == true;
        let shown = SHOWN.iter().any(|s| file.ends_with(s));
        if !silent && !shown {
            continue;
        }
        for version in ["5", "9"] {
            let dir = directory();
            let to = dir.path().join("exported.pcap");
            exported(&corpus.join(file), version, &to);
            let (_, detections) = found_by(&to, "1", "export");
            let kinds: Vec<&str> = detections
                .iter()
                .filter_map(|d| d["kind"].as_str())
                .collect();
            if silent {
                if !kinds.is_empty() {
                    faults.push(format!(
                        "{file} as {version}: {kinds:?} in ordinary traffic"
                    ));
                }
                continue;
            }
            let is_it = |d: &&Value| {
                let entity = d["entity"]["value"].as_str().unwrap_or_default();
                d["kind"] == expected["find"]
                    && super::entity_of(&expected)
                        .iter()
                        .all(|a| entity.contains(a))
            };
            match detections.iter().filter(is_it).count() {
                1 => right += 1,
                n => faults.push(format!("{file} as {version}: {n} times, {kinds:?}")),
            }
        }
    }
    println!("{right} found");
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// IPFIX of a flood by 20 hosts over 20 seconds; among it, where `lies`, a record each second whose octets take sums of 64 bits past their end.
fn flood(to: &Path, lies: bool) {
    let begin = 1_700_000_000u32;
    let mut out = begun(to);
    let elements = [
        8, 4, 12, 4, 7, 2, 11, 2, 4, 1, 1, 8, 2, 8, 152, 8, 153, 8u16,
    ];
    let mut sequence = 0u32;
    for second in 0..20u32 {
        let at_ms = u64::from(begin + second) * 1_000;
        let record = |host: [u8; 4], octets: u64, packets: u64| {
            let ports = [&1_000u16.to_be_bytes()[..], &9_999u16.to_be_bytes()].concat();
            let counts = [octets, packets, at_ms - 900, at_ms - 100].map(u64::to_be_bytes);
            [
                &host[..],
                &[192, 0, 2, 77],
                &ports,
                &[17],
                counts.as_flattened(),
            ]
            .concat()
        };
        let mut records: Vec<Vec<u8>> = (0..20)
            .map(|n| record([10, 9, n, second as u8], 30_000_000, 20_000))
            .collect();
        if lies {
            records.push(record([10, 9, 9, 9], u64::MAX - 20 * 30_000_000 + 1, 1));
            records.push(record([10, 9, 9, 8], 1 << 63, u64::MAX));
        }
        let set = |id: u16, body: &[u8]| {
            let head = [id, body.len() as u16 + 4].map(u16::to_be_bytes);
            [head.as_flattened(), body].concat()
        };
        let fields = [&[256u16, 9][..], &elements].concat();
        let template: Vec<u8> = fields.iter().flat_map(|w| w.to_be_bytes()).collect();
        let sets = [set(2, &template), set(256, &records.concat())].concat();
        let head = [0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
        let mut message = [&head[..], &sets].concat();
        let length = message.len() as u16;
        message[2..4].copy_from_slice(&length.to_be_bytes());
        message[4..8].copy_from_slice(&(begin + second).to_be_bytes());
        message[8..12].copy_from_slice(&sequence.to_be_bytes());
        sequence += records.len() as u32;
        write(&mut out, &message);
    }
    out.flush().expect("room");
}

#[test]
fn a_record_that_claims_more_than_a_link_carries_hides_no_flood() {
    let dir = directory();
    let found = [false, true].map(|lies| {
        let to = dir.path().join("flood.pcap");
        flood(&to, lies);
        let (_, detections) = found_by(&to, "1", "export");
        let told =
            |d: &Value| format!("{} {} {}", d["kind"], d["entity"], d["evidence"]["figures"]);
        detections.iter().map(told).collect::<Vec<_>>()
    });
    assert!(found[0].iter().any(|d| d.contains("flood")), "{found:?}");
    assert_eq!(found[0], found[1]);
}

/// What real exporters sent gives the same incidents, byte for byte, whatever the number of shards.
#[test]
fn the_number_of_shards_makes_no_difference_to_what_is_found_in_exports() {
    let Some(corpus) = corpus() else { return };
    let mut files = vec![];
    let mut folders = vec![corpus.join("flow")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("readable").flatten() {
            let path = entry.path();
            let is_capture = path
                .extension()
                .is_some_and(|e| e == "pcap" || e == "pcapng");
            match path.is_dir() {
                true => folders.push(path),
                false if is_capture => files.push((entry.metadata().map_or(0, |m| m.len()), path)),
                false => {}
            }
        }
    }
    // the largest have most exporters
    files.sort();
    let mut compared = 0;
    for (_, file) in files.iter().rev().take(8) {
        let one = found_by(file, "1", "export").0;
        assert_eq!(one, found_by(file, "4", "export").0, "{}", file.display());
        compared += 1;
    }
    assert!(compared > 4);
}

/// Captures whose attack flows can show: ports and hosts, shapes of sessions, floods. Not names, messages and payloads, and not ARP.
const SHOWN: &[&str] = &[
    "en-tcp_0_1000_20190821.pcap",
    "rb-nd-synscan.pcap",
    "zk-ssh-sshguess.pcap",
    "sd-amp.UDP.isakmp.pcap",
    "sd-amp.UDP.snmp.src161.pcapng",
    "sd-pkt.TCP.synflood.spoofed.pcap",
];
