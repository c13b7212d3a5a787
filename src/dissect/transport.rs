//! Ports, flags, types and codes.

use super::HeaderView;
use super::wire::{u8_at, u16_at};
use etherparse::ip_number as number;

/// Reads what the payload of IP starts with. `bytes` ends where the packet does.
pub(super) fn ports(bytes: &[u8], at: usize, proto: u8, view: &mut HeaderView) {
    match proto {
        TCP | UDP | DCCP | SCTP | UDP_LITE => {
            view.src_port = u16_at(bytes, at);
            view.dst_port = u16_at(bytes, at + 2);
            view.cut |= view.dst_port.is_none();
            if proto == TCP {
                view.tcp_flags = u16_at(bytes, at + 12).map(|word| word & 0x01ff);
                view.cut |= view.tcp_flags.is_none();
            }
        }
        ICMP | ICMPV6 => {
            view.icmp_type = u8_at(bytes, at);
            view.icmp_code = u8_at(bytes, at + 1);
            view.cut |= view.icmp_code.is_none();
        }
        _ => {}
    }
}

const ICMP: u8 = number::ICMP.0;
const TCP: u8 = number::TCP.0;
const UDP: u8 = number::UDP.0;
const DCCP: u8 = number::DCCP.0;
const ICMPV6: u8 = number::IPV6_ICMP.0;
const SCTP: u8 = number::SCTP.0;
const UDP_LITE: u8 = number::UDP_LITE.0;
