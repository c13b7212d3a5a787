//! A capture file of known traffic, made here: conversations over IPv4 and IPv6 whose packets and bytes are exact.

use std::net::{Ipv4Addr, Ipv6Addr};

/// What a capture holds.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Truth {
    /// IP packets.
    pub packets: u64,
    /// Sum of the IP total lengths.
    pub bytes: u64,
    /// Directions of conversations.
    pub flows: u64,
}

impl Truth {
    /// Both together.
    pub fn and(&self, other: &Truth) -> Truth {
        Truth {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
            flows: self.flows + other.flows,
        }
    }
}

/// A little-endian microsecond pcap of Ethernet frames, and what it holds over IPv4 and over IPv6. Starts at `start_s`; a
/// packet every 10 ms.
pub fn capture(start_s: u32, conversations: u16) -> (Vec<u8>, Truth, Truth) {
    let mut file = vec![];
    for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    let mut truth = [Truth::default(), Truth::default()];
    let mut clock = Clock {
        seconds: start_s,
        micros: 0,
    };
    for n in 0..conversations {
        let v6 = n % 4 == 3;
        let udp = n % 3 == 1;
        let truth = &mut truth[usize::from(v6)];
        truth.flows += 2;
        for round in 0..5u16 {
            for back in [false, true] {
                let payload = if back {
                    200 + usize::from(n) * 7 % 900
                } else {
                    40 + usize::from(round) * 11
                };
                let ip = packet(n, v6, udp, back, round, payload);
                truth.packets += 1;
                truth.bytes += ip.len() as u64;
                clock.step();
                record(&mut file, &clock, v6, &ip);
            }
        }
    }
    let [v4, v6] = truth;
    (file, v4, v6)
}

struct Clock {
    seconds: u32,
    micros: u32,
}

impl Clock {
    fn step(&mut self) {
        self.micros += 9_973;
        if self.micros >= 1_000_000 {
            self.micros -= 1_000_000;
            self.seconds += 1;
        }
    }
}

fn record(file: &mut Vec<u8>, clock: &Clock, v6: bool, ip: &[u8]) {
    let length = (ip.len() + 14) as u32;
    for word in [clock.seconds, clock.micros, length, length] {
        file.extend(word.to_le_bytes());
    }
    file.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2]);
    file.extend(if v6 { [0x86, 0xdd] } else { [0x08, 0x00] });
    file.extend(ip);
}

fn packet(n: u16, v6: bool, udp: bool, back: bool, round: u16, payload: usize) -> Vec<u8> {
    let (client, server) = (40_000 + n, if udp { 53 } else { 443 });
    let (source, destination) = if back {
        (server, client)
    } else {
        (client, server)
    };
    let mut l4 = vec![];
    l4.extend(source.to_be_bytes());
    l4.extend(destination.to_be_bytes());
    if udp {
        l4.extend(((payload + 8) as u16).to_be_bytes());
        l4.extend([0, 0]);
    } else {
        // no handshake and no end: exporters close these flows when they stop
        l4.extend(u32::from(round).to_be_bytes());
        l4.extend(0u32.to_be_bytes());
        l4.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    }
    l4.resize(l4.len() + payload, b'x');
    let protocol = if udp { 17 } else { 6 };
    if v6 {
        ipv6(n, back, protocol, &l4)
    } else {
        ipv4(n, back, protocol, &l4)
    }
}

fn ipv4(n: u16, back: bool, protocol: u8, l4: &[u8]) -> Vec<u8> {
    let client = Ipv4Addr::new(10, 1, (n >> 8) as u8, n as u8).octets();
    let server = Ipv4Addr::new(192, 0, 2, (n % 200) as u8 + 1).octets();
    let (from, to) = if back {
        (server, client)
    } else {
        (client, server)
    };
    let mut ip = vec![0x45, 0xb8];
    ip.extend(((20 + l4.len()) as u16).to_be_bytes());
    ip.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
    ip.extend(from);
    ip.extend(to);
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    ip.extend(l4);
    ip
}

fn ipv6(n: u16, back: bool, protocol: u8, l4: &[u8]) -> Vec<u8> {
    let client = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, n).octets();
    let server = Ipv6Addr::new(0x2001, 0xdb8, 2, 0, 0, 0, 0, n % 200 + 1).octets();
    let (from, to) = if back {
        (server, client)
    } else {
        (client, server)
    };
    let mut ip = vec![0x60, 0, 0, 0];
    ip.extend((l4.len() as u16).to_be_bytes());
    ip.extend([protocol, 64]);
    ip.extend(from);
    ip.extend(to);
    ip.extend(l4);
    ip
}

fn checksum(header: &[u8]) -> u16 {
    let mut sum: u32 = header
        .chunks(2)
        .map(|c| u32::from(u16::from_be_bytes([c[0], c[1]])))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
