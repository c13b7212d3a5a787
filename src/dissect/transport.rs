//! What IP carries: ports, TCP headers, ICMP types.

use super::ip::IpHeader;
use crate::model::{TcpHeader, Transport};
use etherparse::ip_number as number;

/// What the payload of an IP packet starts with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    /// The transport header.
    pub transport: Transport,
    /// Where the payload of the transport protocol starts.
    pub payload_at: usize,
    /// Where it ends within the bytes that are there: the end of the packet, or before it where the length of UDP
    /// says less.
    pub end: usize,
    /// Where it ends by the lengths in the headers; behind everything where they do not say.
    pub promised_end: usize,
    /// Octets of the transport header by its own word; 0 where none is read.
    pub header: usize,
    /// Whether the bytes ended within the transport header.
    pub cut: bool,
}

/// Reads what a packet carries. A later fragment carries no header.
#[inline]
pub(super) fn read(bytes: &[u8], header: &IpHeader) -> Segment {
    let (at, end) = (header.transport_at, header.end);
    let mut segment = Segment {
        transport: Transport::None,
        payload_at: at,
        end,
        promised_end: header.promised_end(),
        header: 0,
        cut: header.cut,
    };
    if header.cut || header.is_later_fragment() {
        return segment;
    }
    let rest = bytes.get(at..end).unwrap_or_default();
    let size = match header.proto {
        TCP => tcp(rest, &mut segment),
        UDP => udp(rest, header, &mut segment),
        SCTP => ports(rest, 12, &mut segment),
        UDP_LITE => ports(rest, 8, &mut segment),
        DCCP => ports(
            rest,
            rest.get(4).map_or(12, |n| usize::from(*n) * 4),
            &mut segment,
        ),
        ICMP => icmp(rest, &mut segment),
        ICMPV6 => icmp(rest, &mut segment),
        _ => 0,
    };
    segment.header = size;
    segment.payload_at = (at + size).min(segment.end);
    segment.cut |= at + size > segment.end;
    segment
}

/// Octets of the header; what a wrong offset hides is no payload.
#[inline]
fn tcp(rest: &[u8], segment: &mut Segment) -> usize {
    let mut padded = [0; 20];
    let b: &[u8; 20] = match rest.first_chunk() {
        Some(whole) => whole,
        None => {
            padded
                .iter_mut()
                .zip(rest)
                .for_each(|(to, from)| *to = *from);
            if rest.len() < 4 {
                return 20;
            }
            &padded
        }
    };
    let long = |i: usize| u32::from_be_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
    let short = |i: usize| u16::from_be_bytes([b[i], b[i + 1]]);
    segment.transport = Transport::Tcp(TcpHeader {
        src_port: short(0),
        dst_port: short(2),
        seq: long(4),
        ack: long(8),
        flags: short(12) & 0x01ff,
        window: short(14),
        urgent: short(18),
    });
    match usize::from(b[12] >> 4) * 4 {
        size @ 20.. => size,
        _ if rest.len() >= 20 => rest.len(),
        _ => 20,
    }
}

#[inline]
fn udp(rest: &[u8], header: &IpHeader, segment: &mut Segment) -> usize {
    if let Some([_, _, _, _, high, low]) = rest.first_chunk::<6>() {
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        // 0 is a jumbogram (RFC 2675 section 4); of a fragment the length is that of the whole
        if len >= 8 && !header.is_fragment() {
            let promised = header.transport_at + len;
            segment.promised_end = segment.promised_end.min(promised);
            segment.end = segment.end.min(promised);
        }
    }
    ports(rest, 8, segment)
}

#[inline]
fn ports(rest: &[u8], size: usize, segment: &mut Segment) -> usize {
    if let Some([a, b, c, d]) = rest.first_chunk::<4>() {
        segment.transport = Transport::Ports {
            src: u16::from_be_bytes([*a, *b]),
            dst: u16::from_be_bytes([*c, *d]),
        };
    }
    size
}

#[inline]
fn icmp(rest: &[u8], segment: &mut Segment) -> usize {
    if let Some([kind, code]) = rest.first_chunk::<2>() {
        segment.transport = Transport::Icmp {
            kind: *kind,
            code: *code,
        };
    }
    8.min(rest.len().max(2))
}

pub(super) const ICMP: u8 = number::ICMP.0;
pub(super) const TCP: u8 = number::TCP.0;
pub(super) const UDP: u8 = number::UDP.0;
pub(super) const DCCP: u8 = number::DCCP.0;
pub(super) const ICMPV6: u8 = number::IPV6_ICMP.0;
pub(super) const SCTP: u8 = number::SCTP.0;
pub(super) const UDP_LITE: u8 = number::UDP_LITE.0;
