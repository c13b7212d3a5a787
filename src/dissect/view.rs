//! What the walk through a frame's headers found.

use crate::model::{Addr, MplsStack};

/// Most VLAN tags kept of a frame; deeper ones are walked over.
pub const VLANS_MAX: usize = 8;

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

/// The place of a packet in the packet it is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Identification.
    pub id: u32,
    /// Offset in bytes.
    pub offset: u32,
    /// Whether more follow.
    pub more: bool,
}

/// VLAN ids, outermost first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vlans {
    ids: [u16; VLANS_MAX],
    len: u8,
}

impl Vlans {
    /// The ids, 12 bits each.
    pub fn ids(&self) -> &[u16] {
        &self.ids[..self.len as usize]
    }

    /// Appends an id, unless there are [`VLANS_MAX`].
    pub(super) fn push(&mut self, id: u16) {
        if let Some(slot) = self.ids.get_mut(self.len as usize) {
            *slot = id;
            self.len += 1;
        }
    }
}
