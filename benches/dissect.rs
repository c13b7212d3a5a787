//! Nanoseconds per frame of the dissector, over generated frames in a working set larger than the second-level cache, beside
//! etherparse's lax slicing of the same frames.

use etherparse::{LaxSlicedPacket, PacketBuilder};
use flowhouse::dissect::{Dissected, Dissector, FrameHead, Settings, route};
use nix::time::{ClockId, clock_gettime};
use std::hint::black_box;

fn main() {
    println!(
        "frame                          dissect    route  etherparse   (ns per frame, best of {ROUNDS})"
    );
    for (name, frames) in [
        ("Ethernet, IPv4, TCP", frames(tcp)),
        ("Ethernet, VLAN, IPv6, UDP", frames(udp6)),
        ("VXLAN, Ethernet, IPv4, TCP", frames(vxlan)),
    ] {
        let ours = best(&frames, dissect);
        let routed = best(&frames, |all| {
            let found = all.iter().filter(|f| route(1, f).is_some()).count();
            assert_eq!(found, all.len());
        });
        let theirs = best(&frames, |all| {
            for frame in all {
                black_box(LaxSlicedPacket::from_ethernet(frame).is_ok());
            }
        });
        println!("{name:<28} {ours:>9.1} {routed:>8.1} {theirs:>11.1}");
    }
}

fn dissect(frames: &[Vec<u8>]) {
    let mut dissector = Dissector::new(&Settings::default());
    let mut bytes = 0u64;
    for (n, frame) in frames.iter().enumerate() {
        let head = FrameHead {
            time_ns: n as i64,
            frame: n as u64,
            interface: 1,
            link_type: 1,
            wire_len: frame.len() as u32,
        };
        match dissector.frame(head, frame) {
            Dissected::Ip(view) => bytes += u64::from(black_box(&view).payload_len),
            other => panic!("{other:?}"),
        }
    }
    black_box(bytes);
}

/// The best of some rounds, nanoseconds per frame.
fn best(frames: &[Vec<u8>], mut work: impl FnMut(&[Vec<u8>])) -> f64 {
    let rounds = (0..ROUNDS).map(|_| {
        let start = cpu_ns();
        work(frames);
        (cpu_ns() - start) as f64 / frames.len() as f64
    });
    rounds.fold(f64::INFINITY, f64::min)
}

/// CPU time of this thread, nanoseconds: what else runs on the machine does not count.
fn cpu_ns() -> i64 {
    let t = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock");
    t.tv_sec() * 1_000_000_000 + t.tv_nsec()
}

fn frames(make: impl Fn(u32, &mut Vec<u8>)) -> Vec<Vec<u8>> {
    (0..FRAMES)
        .map(|n| {
            let mut frame = Vec::new();
            make(n, &mut frame);
            frame
        })
        .collect()
}

fn tcp(n: u32, frame: &mut Vec<u8>) {
    let [_, a, b, c] = n.to_be_bytes();
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .ipv4([10, a, b, c], [192, 0, 2, 1], 64)
        .tcp(1024 + n as u16 % 60_000, 443, n, 1024)
        .ack(1)
        .write(frame, &[7; 200])
        .expect("a vector takes it");
}

fn udp6(n: u32, frame: &mut Vec<u8>) {
    let mut src = [0x20; 16];
    src[12..].copy_from_slice(&n.to_be_bytes());
    PacketBuilder::ethernet2([1; 6], [2; 6])
        .single_vlan(etherparse::VlanId::try_new(7).expect("12 bits"))
        .ipv6(src, [0x21; 16], 64)
        .udp(5000, 6000)
        .write(frame, &[7; 200])
        .expect("a vector takes it");
}

fn vxlan(n: u32, frame: &mut Vec<u8>) {
    let mut inner = vec![8, 0, 0, 0, 0, 0, 5, 0];
    tcp(n, &mut inner);
    PacketBuilder::ethernet2([3; 6], [4; 6])
        .ipv4([172, 16, 0, 1], [172, 16, 0, 2], 64)
        .udp(50_000, 4789)
        .write(frame, &inner)
        .expect("a vector takes it");
}

const FRAMES: u32 = 100_000;
const ROUNDS: usize = 9;
