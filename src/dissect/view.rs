//! What the walk through a frame's headers found.

use super::ip::IpHeader;
use super::transport::Segment;
use super::walk::Notes;
use crate::model::{Addr, Fragment, MplsStack, Transport, Vlans};

/// The facts of one frame. A fact that is `None` was not in the frame, or the bytes ended before it ([`Self::cut`]);
/// one that is there can be trusted whatever follows. Of several IP headers the outermost counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderView {
    /// Destination MAC address, 48 bits.
    pub dst_mac: Option<u64>,
    /// Source MAC address, 48 bits.
    pub src_mac: Option<u64>,
    /// Ethertype behind all VLAN tags as it stands in the frame; below 0x0600 it is an 802.3 length.
    pub ethertype: Option<u16>,
    /// VLAN ids, outermost first.
    pub vlans: Vlans,
    /// MPLS label stack, top first, at most ten entries.
    pub mpls: MplsStack,
    /// 4 or 6.
    pub ip_version: Option<u8>,
    /// Traffic class octet.
    pub tos: Option<u8>,
    /// IPv4 total length; IPv6 payload length + 40.
    pub ip_len: Option<u32>,
    /// Time to live, hop limit.
    pub ttl: Option<u8>,
    /// IPv6 flow label.
    pub flow_label: Option<u32>,
    /// Source address.
    pub src_addr: Option<Addr>,
    /// Destination address.
    pub dst_addr: Option<Addr>,
    /// Protocol; for IPv6 that behind the extension headers.
    pub proto: Option<u8>,
    /// IPv4: always; IPv6: where there is a fragment header.
    pub fragment: Option<Fragment>,
    /// Source port (TCP, UDP, DCCP, SCTP, UDP-Lite).
    pub src_port: Option<u16>,
    /// Destination port.
    pub dst_port: Option<u16>,
    /// TCP flags, nine bits.
    pub tcp_flags: Option<u16>,
    /// ICMP or ICMPv6 type.
    pub icmp_type: Option<u8>,
    /// ICMP or ICMPv6 code.
    pub icmp_code: Option<u8>,
    /// Where the IP header starts.
    pub network_at: Option<usize>,
    /// Where the payload of IP starts (of a fragment: its part of the payload).
    pub transport_at: Option<usize>,
    /// Where the IP packet ends within the bytes that are there.
    pub end: usize,
    /// Whether the bytes ended before the facts did.
    pub cut: bool,
}

impl HeaderView {
    /// An empty view of a frame of `end` bytes.
    pub(super) fn of(end: usize) -> Self {
        HeaderView {
            end,
            ..Default::default()
        }
    }

    /// Whether the packet is a part of a larger one.
    pub fn is_fragment(&self) -> bool {
        self.fragment.is_some_and(|f| f.offset != 0 || f.more)
    }
}

impl Notes for HeaderView {
    fn addresses(&mut self, dst: Option<u64>, src: Option<u64>) {
        // a frame within a frame has addresses, too
        if self.dst_mac.is_none() {
            (self.dst_mac, self.src_mac) = (dst, src);
        }
    }

    fn ethertype(&mut self, ethertype: u16) {
        self.ethertype.get_or_insert(ethertype);
    }

    fn vlan(&mut self, id: u16) {
        self.vlans.push(id);
    }

    fn label(&mut self, position: usize, entry: u32) {
        if let Some(slot) = self.mpls.entries.get_mut(position) {
            *slot = entry >> 8;
            self.mpls.positions |= 1 << position;
        }
    }

    fn packet(&mut self, header: &IpHeader, segment: &Segment) -> bool {
        self.header(header);
        self.transport_at = Some(header.transport_at);
        self.cut |= segment.cut;
        let there = header.end - header.transport_at;
        match segment.transport {
            Transport::None => {}
            Transport::Tcp(t) => {
                (self.src_port, self.dst_port) = (Some(t.src_port), Some(t.dst_port));
                self.tcp_flags = (there >= 14).then_some(t.flags);
                // here the flags are the last fact
                self.cut = there < 14;
            }
            Transport::Ports { src, dst } => {
                (self.src_port, self.dst_port) = (Some(src), Some(dst));
                self.cut = false;
            }
            Transport::Icmp { kind, code } => {
                (self.icmp_type, self.icmp_code) = (Some(kind), Some(code));
            }
        }
        false
    }

    fn torn(&mut self, header: &IpHeader) {
        self.header(header);
        if header.is_usable() {
            self.transport_at = Some(header.transport_at);
        }
    }
}

impl HeaderView {
    /// Takes the facts of an IP header, as far as it was there.
    fn header(&mut self, h: &IpHeader) {
        let known = |end: usize| h.known >= end;
        self.network_at = Some(h.at);
        self.ip_version = Some(h.version);
        self.end = h.end;
        if h.version == 4 {
            self.tos = known(2).then_some(h.tos);
            self.ip_len = known(4).then_some(h.len);
            self.fragment = h.fragment.filter(|_| known(8));
            self.ttl = known(9).then_some(h.ttl);
            self.src_addr = known(16).then_some(h.src);
            self.dst_addr = known(20).then_some(h.dst);
        } else {
            self.tos = known(4).then_some(h.tos);
            self.flow_label = known(4).then_some(h.flow_label);
            // the field as it is: 0 where a jumbo option or offload has the length
            let len = if h.len > JUMBO_FROM {
                40
            } else {
                h.len.max(40)
            };
            self.ip_len = known(6).then_some(len);
            self.fragment = h.fragment;
            self.ttl = known(8).then_some(h.ttl);
            self.src_addr = known(24).then_some(h.src);
            self.dst_addr = known(40).then_some(h.dst);
        }
        let proto_known = if h.version == 4 { known(10) } else { !h.cut };
        self.proto = proto_known.then_some(h.proto);
    }
}

impl HeaderView {
    /// Layer-3 bytes of the packet in a frame of so many bytes, with what stands before the packet: as its header says; what is left of
    /// the frame where offload or a jumbo option left no length there. `None` where nothing tells.
    pub fn layer3_len(&self, frame: Option<u32>) -> Option<u32> {
        let at = u32::try_from(self.network_at?).ok()?;
        let rest = frame.map(|n| n.saturating_sub(at));
        let is_long = rest.is_some_and(|n| n > PADDED);
        match (self.ip_version, self.ip_len) {
            (_, None | Some(0)) => rest,
            (Some(6), Some(FIXED_6)) if is_long && self.proto != Some(NO_NEXT) => rest,
            (_, said) => said,
        }
    }
}

/// Bytes of the fixed header of IPv6: the length of a packet whose payload length is 0.
const FIXED_6: u32 = 40;
/// IP protocol number of nothing behind IPv6 headers (RFC 8200 section 4.7).
const NO_NEXT: u8 = 59;
/// To so many bytes Ethernet pads what is shorter.
const PADDED: u32 = 46;
/// Above this, the length of an IPv6 packet is that of a jumbo option: its own field has 16 bits.
const JUMBO_FROM: u32 = 0xffff + 40;
