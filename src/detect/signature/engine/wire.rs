//! Kinds of packets that rules about packets are kept apart by.

use super::super::header::Protocol;
use super::groups::Groups;
use super::ports::Ports;

/// What rules about packets are kept apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Tcp,
    Udp,
    Icmp,
    Other,
}

pub(super) const WIRES: usize = 4;

impl Wire {
    /// Of a protocol number.
    pub fn of(proto: u8) -> Self {
        match proto {
            6 => Self::Tcp,
            17 => Self::Udp,
            1 | 58 => Self::Icmp,
            _ => Self::Other,
        }
    }
}

/// Rules about packets of one protocol.
#[derive(Debug, Default)]
pub(super) struct PacketRules {
    /// Of rules that look at every packet, by direction.
    pub payload: [Groups; 2],
    /// Of rules that look at packets that are in no stream.
    pub alien: [Groups; 2],
    pub plain: Ports,
}

/// Which kinds of packets a protocol is of.
pub(super) fn wires(protocol: Protocol) -> &'static [Wire] {
    match protocol {
        Protocol::Packet | Protocol::Ip | Protocol::Ipv4 | Protocol::Ipv6 => {
            &[Wire::Tcp, Wire::Udp, Wire::Icmp, Wire::Other]
        }
        Protocol::Tcp | Protocol::TcpPacket | Protocol::TcpStream => &[Wire::Tcp],
        Protocol::Udp => &[Wire::Udp],
        Protocol::Sctp => &[Wire::Other],
        Protocol::Icmp | Protocol::Icmpv4 | Protocol::Icmpv6 => &[Wire::Icmp],
        Protocol::Application(_) => &[Wire::Tcp, Wire::Udp],
    }
}
