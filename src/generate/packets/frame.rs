//! A step of a conversation as a frame: Ethernet, IP, transport, payload, all checksums right.

use super::conversation::{Content, Conversation, Step};
use crate::model::Addr;

/// Writes the frame and gives the length of its IP packet.
pub(super) fn write(c: &Conversation, step: &Step, id: u16, out: &mut Vec<u8>) -> usize {
    out.clear();
    let (from, to) = match step.from_client {
        true => ((c.client, c.client_port), (c.server, c.server_port)),
        false => ((c.server, c.server_port), (c.client, c.client_port)),
    };
    let v6 = !c.client.is_v4();
    out.extend(mac(to.0));
    out.extend(mac(from.0));
    out.extend(if v6 { [0x86, 0xdd] } else { [0x08, 0x00] });
    let ip_at = out.len();
    match v6 {
        true => ipv6(c, from.0, to.0, out),
        false => ipv4(c, from.0, to.0, id, out),
    }
    let transport_at = out.len();
    transport(c, step, from.1, to.1, out);
    content(&step.content, out);
    let total = out.len() - ip_at;
    let ip = &mut out[ip_at..];
    match v6 {
        true => ip[4..6].copy_from_slice(&((total - 40) as u16).to_be_bytes()),
        false => {
            ip[2..4].copy_from_slice(&(total as u16).to_be_bytes());
            let sum = !sum(&ip[..20], 0);
            ip[10..12].copy_from_slice(&sum.to_be_bytes());
        }
    }
    let at = transport_at - ip_at;
    if c.protocol == UDP {
        let length = (total - at) as u16;
        ip[at + 4..at + 6].copy_from_slice(&length.to_be_bytes());
    }
    let sum = transport_sum(ip);
    let field = at
        + match c.protocol {
            TCP => 16,
            UDP => 6,
            _ => 2,
        };
    // of UDP 0 says that there is none
    let sum = if sum == 0 && c.protocol == UDP {
        0xffff
    } else {
        sum
    };
    ip[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    total
}

/// The checksum of what an IP packet (without options) carries; 0 where the one in it is right.
pub(super) fn transport_sum(ip: &[u8]) -> u16 {
    let (addresses, protocol, at) = match ip[0] >> 4 {
        4 => (&ip[12..20], ip[9], 20),
        _ => (&ip[8..40], ip[6], 40),
    };
    let inside = &ip[at..];
    let pseudo = match protocol {
        1 => 0,
        _ => u32::from(protocol) + inside.len() as u32 + half_sum(addresses),
    };
    !sum(inside, pseudo)
}

fn half_sum(bytes: &[u8]) -> u32 {
    let pairs = bytes.chunks(2);
    let word = |p: &[u8]| u32::from(p[0]) << 8 | p.get(1).map_or(0, |b| u32::from(*b));
    pairs.map(word).sum()
}

/// Sum of ones' complements (RFC 1071).
fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = start + half_sum(bytes);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn mac(address: Addr) -> [u8; 6] {
    let b = address.0;
    [2, b[11], b[12], b[13], b[14], b[15]]
}

fn ipv4(c: &Conversation, from: Addr, to: Addr, id: u16, out: &mut Vec<u8>) {
    let [high, low] = id.to_be_bytes();
    out.extend([
        0x45,
        c.dscp << 2,
        0,
        0,
        high,
        low,
        0x40,
        0,
        64,
        c.protocol,
        0,
        0,
    ]);
    out.extend(&from.0[12..]);
    out.extend(&to.0[12..]);
}

fn ipv6(c: &Conversation, from: Addr, to: Addr, out: &mut Vec<u8>) {
    out.extend([0x60 | c.dscp >> 2, c.dscp << 6, 0, 0, 0, 0, c.protocol, 64]);
    out.extend(from.0);
    out.extend(to.0);
}

fn transport(c: &Conversation, step: &Step, from: u16, to: u16, out: &mut Vec<u8>) {
    let ports = |out: &mut Vec<u8>| {
        out.extend(from.to_be_bytes());
        out.extend(to.to_be_bytes());
    };
    match c.protocol {
        TCP => {
            ports(out);
            out.extend(step.seq.to_be_bytes());
            out.extend(step.ack.to_be_bytes());
            out.extend([0x50, step.flags, 0xfa, 0xf0, 0, 0, 0, 0]);
        }
        UDP => {
            ports(out);
            out.extend([0; 4]);
        }
        // an echo: type, code, sum, identifier, number
        protocol => {
            let kind = match (protocol, step.from_client) {
                (1, true) => 8,
                (1, false) => 0,
                (_, true) => 128,
                (_, false) => 129,
            };
            out.extend([kind, 0, 0, 0]);
            out.extend(c.client_port.to_be_bytes());
            out.extend((step.seq as u16).to_be_bytes());
        }
    }
}

fn content(content: &Content, out: &mut Vec<u8>) {
    match content {
        Content::Bytes(n) => out.resize(out.len() + *n, b'.'),
        Content::Text(text) => out.extend(text),
        Content::Rtp {
            kind,
            number,
            stamp,
            source,
            bytes,
        } => {
            out.extend([0x80, *kind]);
            out.extend(number.to_be_bytes());
            out.extend(stamp.to_be_bytes());
            out.extend(source.to_be_bytes());
            out.resize(out.len() + *bytes, 0xd5);
        }
    }
}

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
