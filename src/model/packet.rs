//! A packet as it was found in a frame: decoded header fields, borrowed bytes.

use super::{Addr, MplsStack};

/// Most VLAN tags kept of a frame; deeper ones are walked over.
pub const VLANS_MAX: usize = 8;

/// Most tunnels kept of a packet; the depth that is walked is a setting of `dissect` and at most this.
pub const TUNNELS_MAX: usize = 8;

/// One IP packet with what is known of it without any other packet: the innermost one that was reached, or the one that
/// its fragments gave.
///
/// All offsets count in [`PacketView::bytes`]. What the captured bytes do not hold is cut: then [`PacketView::cut`] is set
/// and fields that lie behind the cut have their default values.
#[derive(Clone, Copy, Debug)]
pub struct PacketView<'a> {
    /// When it was captured, nanoseconds since 1970 UTC.
    pub time_ns: i64,
    /// Number of the frame over all inputs, from 1: the order of `replay`. Of a reassembled packet: the frame that completed it.
    pub frame: u64,
    /// Capture interface, from 1.
    pub interface: u32,
    /// Bytes that the frame had on the wire.
    pub wire_len: u32,
    /// Frames that it came in: more than 1 where fragments were put together.
    pub frames: u32,
    /// The captured frame; of a reassembled packet its bytes from the IP header on.
    pub bytes: &'a [u8],
    /// What the packet was wrapped in.
    pub envelope: &'a Envelope,
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Layer-3 bytes: IPv4 total length, IPv6 payload length + 40; the sum of them where fragments were put together.
    pub ip_len: u32,
    /// Identification: IPv4 header, IPv6 fragment header.
    pub ip_id: u32,
    /// IPv6 flow label.
    pub flow_label: u32,
    /// Where the IP header starts.
    pub network_at: u32,
    /// Where the transport header starts (of a fragment: its part of the payload).
    pub transport_at: u32,
    /// Where the payload of the transport protocol starts.
    pub payload_at: u32,
    /// Where the IP packet ends within the bytes that are there.
    pub end: u32,
    /// Bytes of transport payload that the headers promise; [`PacketView::payload`] has fewer where the frame was cut.
    pub payload_len: u32,
    /// 4 or 6.
    pub version: u8,
    /// Traffic class octet: DSCP in the upper six bits, ECN in the lower two.
    pub tos: u8,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// Protocol; for IPv6 that behind the extension headers.
    pub proto: u8,
    /// The place in the packet that this is a fragment of; `None` for whole packets.
    pub fragment: Option<Fragment>,
    /// What the transport header says.
    pub transport: Transport,
    /// Whether the bytes ended before the headers did, or within the payload.
    pub cut: bool,
}

impl<'a> PacketView<'a> {
    /// The payload of the transport protocol as far as it was captured; of a fragment its part of the IP payload.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        let range = self.payload_at as usize..self.end as usize;
        self.bytes.get(range).unwrap_or_default()
    }

    /// The transport header with its options and the payload, as far as they were captured.
    #[inline]
    pub fn segment(&self) -> &'a [u8] {
        let range = self.transport_at as usize..self.end as usize;
        self.bytes.get(range).unwrap_or_default()
    }

    /// The IP packet as far as it was captured.
    #[inline]
    pub fn packet(&self) -> &'a [u8] {
        let range = self.network_at as usize..self.end as usize;
        self.bytes.get(range).unwrap_or_default()
    }

    /// Source and destination port; 0 where the protocol has none.
    #[inline]
    pub fn ports(&self) -> (u16, u16) {
        match self.transport {
            Transport::Tcp(t) => (t.src_port, t.dst_port),
            Transport::Ports { src, dst } => (src, dst),
            _ => (0, 0),
        }
    }

    /// The TCP header, where it is one.
    #[inline]
    pub fn tcp(&self) -> Option<TcpHeader> {
        match self.transport {
            Transport::Tcp(t) => Some(t),
            _ => None,
        }
    }
}

/// Whose packet a frame probably is, by a quick look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Protocol.
    pub proto: u8,
    /// VLAN ids, outermost first; as many count as `vlan_count` says.
    pub vlans: [u16; 2],
    /// How many VLAN tags there are.
    pub vlan_count: u8,
}

impl Glance {
    /// VLAN ids, outermost first.
    #[inline]
    pub fn vlans(&self) -> &[u16] {
        &self.vlans[..usize::from(self.vlan_count).min(2)]
    }
}

/// The transport header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// None that is read: another protocol, a later fragment, or cut off.
    #[default]
    None,
    /// TCP (RFC 9293 section 3.1).
    Tcp(TcpHeader),
    /// UDP, UDP-Lite, SCTP, DCCP: two ports.
    Ports {
        /// Source port.
        src: u16,
        /// Destination port.
        dst: u16,
    },
    /// ICMP and ICMPv6.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
}

/// The fixed part of a TCP header. Options lie between it and the payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpHeader {
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// Flags, nine bits: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128, AE 256.
    pub flags: u16,
    /// Window as sent, unscaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
}

impl TcpHeader {
    /// No more data.
    pub const FIN: u16 = 1;
    /// Synchronise.
    pub const SYN: u16 = 2;
    /// Reset.
    pub const RST: u16 = 4;
    /// Push.
    pub const PSH: u16 = 8;
    /// The acknowledgement number counts.
    pub const ACK: u16 = 16;
    /// The urgent pointer counts.
    pub const URG: u16 = 32;

    /// Whether all of these flags are set.
    #[inline]
    pub fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
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

/// What a packet was wrapped in, outermost first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// LINKTYPE number of the capture.
    pub link_type: u16,
    /// Destination MAC address of the outermost frame, 48 bits.
    pub dst_mac: Option<u64>,
    /// Source MAC address of the outermost frame.
    pub src_mac: Option<u64>,
    /// Ethertype behind the VLAN tags of the outermost frame.
    pub ethertype: Option<u16>,
    /// VLAN ids of the outermost frame.
    pub vlans: Vlans,
    /// MPLS label stack before the outermost IP header.
    pub mpls: MplsStack,
    /// Tunnels that were entered.
    pub tunnels: Tunnels,
}

impl Envelope {
    /// The network that a packet was seen in, as a number: everything that keeps equal addresses apart. 0 where it is wrapped in
    /// nothing.
    ///
    /// A VLAN of 0 says a priority and names no VLAN (IEEE 802.1Q section 9.6), labels below 16 are reserved (RFC 3032 section
    /// 2.1). A tunnel counts by its id; IP in IP and GRE without a key have none, so they count by their ends.
    #[inline]
    pub fn scope(&self) -> u32 {
        let tunnels = self.tunnels.as_slice();
        if self.mpls.positions == 0 && tunnels.is_empty() {
            return vlan_scope(self.vlans.as_slice());
        }
        let vlans = self.vlans.as_slice().iter().filter(|v| **v != 0);
        let vlans = vlans.map(|v| u64::from(*v) << 48 | 1);
        let labels = self.mpls.iter().map(|(_, label, ..)| label);
        let labels = labels.filter(|label| *label >= LABEL_MIN);
        let labels = labels.map(|label| u64::from(label) << 16 | 2);
        (mix_all(
            vlans
                .chain(labels)
                .chain(tunnels.iter().map(Tunnel::number)),
        ) >> 32) as u32
    }
}

/// [`Envelope::scope`] of what is tagged and no more.
#[inline]
pub fn vlan_scope(vlans: &[u16]) -> u32 {
    let named = vlans.iter().filter(|v| **v != 0);
    (mix_all(named.map(|v| u64::from(*v) << 48 | 1)) >> 32) as u32
}

#[inline]
fn mix_all(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, |all, one| mix64(all ^ one))
}

/// A finisher of 64 bits that loses nothing (splitmix64, Steele et al. 2014).
#[inline]
pub fn mix64(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}

/// The first label that is not reserved.
const LABEL_MIN: u32 = 16;

/// A tunnel that a packet came through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tunnel {
    /// What it is.
    pub kind: TunnelKind,
    /// VNI, TEID, GRE key, ERSPAN session, PPPoE session or label of a pseudowire; 0 where there is none.
    pub id: u32,
    /// Source address of the IP header that carried it; unspecified where none did.
    pub src: Addr,
    /// Destination address of that header.
    pub dst: Addr,
}

impl Tunnel {
    /// What tells it from others; both directions between two ends have the same where it is told by its ends.
    fn number(&self) -> u64 {
        let kind = u64::from(self.kind as u8) << 32 | 3 << 40;
        if self.id != 0 || !matches!(self.kind, TunnelKind::IpIp | TunnelKind::Gre) {
            return kind | u64::from(self.id);
        }
        let ends = [self.src, self.dst].map(|end| {
            let n = u128::from_be_bytes(end.0);
            mix64((n >> 64) as u64 ^ mix64(n as u64))
        });
        kind ^ ends[0].wrapping_add(ends[1])
    }
}

/// Kinds of tunnels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum TunnelKind {
    /// IP in IP, 6in4 and their kin (RFC 2003, RFC 4213).
    #[default]
    IpIp = 1,
    /// GRE with IP or Ethernet in it (RFC 2784), NVGRE.
    Gre = 2,
    /// VXLAN (RFC 7348).
    Vxlan = 3,
    /// Geneve (RFC 8926).
    Geneve = 4,
    /// GTP-U (3GPP TS 29.281).
    Gtp = 5,
    /// ERSPAN type I to III.
    Erspan = 6,
    /// Teredo (RFC 4380).
    Teredo = 7,
    /// Ethernet over MPLS (RFC 4448).
    EoMpls = 8,
    /// PPP over Ethernet (RFC 2516).
    Pppoe = 9,
    /// Anything else that carries packets (L2TP, AYIYA, CAPWAP, LISP, ...).
    Other = 10,
}

impl TunnelKind {
    /// Every kind, in the order of the numbers from 1.
    pub const ALL: &'static [TunnelKind] = &[
        TunnelKind::IpIp,
        TunnelKind::Gre,
        TunnelKind::Vxlan,
        TunnelKind::Geneve,
        TunnelKind::Gtp,
        TunnelKind::Erspan,
        TunnelKind::Teredo,
        TunnelKind::EoMpls,
        TunnelKind::Pppoe,
        TunnelKind::Other,
    ];

    /// The name of a number that a column stores; empty where it is none.
    pub fn name_of(n: u8) -> &'static str {
        let kind = usize::from(n).checked_sub(1).and_then(|n| Self::ALL.get(n));
        kind.map_or("", |k| k.name())
    }

    /// The name in `flows` and NDJSON.
    pub const fn name(self) -> &'static str {
        match self {
            TunnelKind::IpIp => "ipip",
            TunnelKind::Gre => "gre",
            TunnelKind::Vxlan => "vxlan",
            TunnelKind::Geneve => "geneve",
            TunnelKind::Gtp => "gtp",
            TunnelKind::Erspan => "erspan",
            TunnelKind::Teredo => "teredo",
            TunnelKind::EoMpls => "eompls",
            TunnelKind::Pppoe => "pppoe",
            TunnelKind::Other => "other",
        }
    }
}

macro_rules! stack {
    ($(#[$doc:meta])* $name:ident of $item:ty, at most $max:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $name {
            items: [$item; $max],
            len: u8,
        }

        impl $name {
            /// All of them.
            pub fn as_slice(&self) -> &[$item] {
                &self.items[..usize::from(self.len)]
            }

            /// Appends one, unless it is full.
            pub fn push(&mut self, item: $item) {
                if let Some(slot) = self.items.get_mut(usize::from(self.len)) {
                    *slot = item;
                    self.len += 1;
                }
            }

            /// Forgets all.
            pub fn clear(&mut self) {
                self.len = 0;
            }
        }
    };
}

stack! {
    /// VLAN ids, 12 bits each, outermost first.
    Vlans of u16, at most VLANS_MAX
}

stack! {
    /// Tunnels, outermost first.
    Tunnels of Tunnel, at most TUNNELS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_tunnels_are_told_by_their_number() {
        for kind in TunnelKind::ALL {
            assert_eq!(TunnelKind::name_of(*kind as u8), kind.name());
        }
        assert_eq!((TunnelKind::name_of(0), TunnelKind::name_of(99)), ("", ""));
    }
}
