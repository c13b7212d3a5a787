//! What only whole captures show: protocols that few scan.

use super::found;
use crate::harness::directory;
use crate::torture::flood::Tape;
use serde_json::Value;

type End = (u32, u16);

const SERVER: u32 = 0x0a00_0216;
const OUTSIDE: u32 = 0xcb00_7109;
const SECOND: u64 = 1_000_000;

/// What is found in a capture that is made so; the same whatever the number of shards.
pub fn told(make: impl Fn(&mut Tape, u64)) -> Vec<Value> {
    let dir = directory();
    let file = dir.path().join("made.pcap");
    let mut tape = Tape::new(&file);
    let start = tape.micros;
    make(&mut tape, start);
    tape.end();
    let (text, all) = found(&file, "1");
    assert_eq!(text, found(&file, "3").0);
    all
}

pub fn kinds(all: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = all.iter().filter_map(|d| d["kind"].as_str()).collect();
    kinds.sort_unstable();
    kinds
}

/// A packet of SCTP with one chunk (RFC 9260).
fn sctp(tape: &mut Tape, from: End, to: End, kind: u8, bytes: usize) {
    let mut rest = vec![0; 8];
    rest.extend([kind, 0]);
    rest.extend((bytes as u16).to_be_bytes());
    rest.resize(8 + bytes, 0);
    tape.packet(from, to, 132, &rest);
}

#[test]
fn scans_by_sctp_are_scans() {
    let (init, init_ack, abort) = (1, 2, 6);
    let ports = told(|tape, start| {
        for n in 0..40 {
            tape.micros = start + n * SECOND / 5;
            let (from, to) = ((OUTSIDE, 40_123), (SERVER, 2_000 + n as u16));
            sctp(tape, from, to, init, 20);
            sctp(tape, to, from, abort, 4);
        }
    });
    assert_eq!(kinds(&ports), ["port_scan"]);
    let hosts = |answers: bool| {
        told(|tape, start| {
            for n in 0..40 {
                tape.micros = start + n * SECOND / 5;
                let (from, to) = ((OUTSIDE, 40_123), (0x0a00_0300 + n as u32, 3868));
                sctp(tape, from, to, init, 20);
                if answers {
                    sctp(tape, to, from, init_ack, 260);
                    sctp(tape, from, to, 10, 240);
                    sctp(tape, to, from, 11, 4);
                }
            }
        })
    };
    assert_eq!(kinds(&hosts(false)), ["host_sweep"]);
    assert!(hosts(true).is_empty());
}
