//! The walk through the headers of a frame, and who listens to it.

use super::ip::{self, IpHeader};
use super::transport::{self, Segment};
use super::{link, medium, radio, tags, tunnel};
use crate::model::{Transport, TunnelKind};

/// What a walk tells on its way, outermost first. Whoever walks keeps what it wants.
pub trait Notes {
    /// Whether the packet that an ICMP error quotes is walked, too.
    const QUOTED: bool = false;

    /// A layer, by the name that packet analysers give it.
    fn layer(&mut self, _name: &'static str) {}

    /// Destination and source MAC address of a frame, 48 bits each.
    fn addresses(&mut self, _dst: Option<u64>, _src: Option<u64>) {}

    /// An Ethertype behind the VLAN tags of a frame; below 0x0600 it is an 802.3 length.
    fn ethertype(&mut self, _ethertype: u16) {}

    /// The first frame in an aggregate of 802.11 starts here ([`super::behind`]).
    fn aggregate(&mut self, _at: usize) {}

    /// A VLAN tag: its 12-bit id.
    fn vlan(&mut self, _id: u16) {}

    /// An entry of an MPLS label stack (RFC 3032 section 2.1), top first from position 0.
    fn label(&mut self, _position: usize, _entry: u32) {}

    /// The protocol in a GRE header.
    fn gre(&mut self, _protocol: u16) {}

    /// A tunnel header with its id where it has one, seen before it is known whether a packet is inside.
    fn tunnel(&mut self, _kind: TunnelKind, _id: Option<u32>) {}

    /// An IP packet. Returns whether to look at what it carries; of a first fragment it may be a part.
    fn packet(&mut self, header: &IpHeader, segment: &Segment) -> bool;

    /// An IP header that cannot be used: the bytes hold only a part of it ([`IpHeader::known`]), its lengths contradict each
    /// other, or it says that it is longer than what it is in.
    fn torn(&mut self, _header: &IpHeader) {}
}

/// Where the walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A payload named by its Ethertype starts here.
    Ethertype(u16, usize),
    /// An Ethernet frame starts here.
    Frame(usize),
    /// An LLC header (802.2) starts here.
    Llc(usize),
    /// An MPLS label stack starts here.
    Mpls(usize),
    /// A point-to-point payload starts here, with its protocol number (RFC 1661 section 2).
    Ppp(usize),
    /// An 802.11 header starts here.
    Radio(usize),
    /// The payload of frame relay starts here: an NLPID (RFC 2427).
    Nlpid(usize),
    /// A network service header (RFC 8300) starts here.
    Service(usize),
    /// A GRE header starts here.
    Gre(usize),
    /// An IP header of either version starts here.
    Ip(usize),
    /// An ARP packet (RFC 826) starts here.
    Arp(usize),
    /// Nothing that this room knows.
    Stop,
    /// The bytes ended.
    Cut,
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// With what the last packet carries, or with a payload that is not walked.
    Done,
    /// At an ARP packet.
    Arp(usize),
    /// The bytes ended before the headers did.
    Cut,
    /// At what should be an IP header and cannot be one.
    Malformed,
    /// After too many headers.
    Deep,
}

/// Follows headers to the innermost packet, as far as `notes` wants. `wire` is the length of the frame before it was cut.
pub(super) fn walk<N: Notes>(mut next: Next, mut bytes: &[u8], wire: usize, notes: &mut N) -> End {
    // where the packet around ends by its own word: what is inside cannot be longer
    let mut promised = usize::MAX;
    for _ in 0..STEPS_MAX {
        next = match next {
            Next::Ethertype(ethertype, at) => tags::ethertype(ethertype, bytes, at, notes),
            Next::Frame(at) => link::ethernet(bytes, at, notes),
            Next::Ip(at) => {
                let Some(header) = ip::read(bytes, at, wire) else {
                    let ended = at >= bytes.len();
                    return if ended { End::Cut } else { End::Malformed };
                };
                if !header.is_usable() {
                    notes.torn(&header);
                    return End::Cut;
                }
                if !header.sound || header.len > 0 && header.promised_end() > promised {
                    notes.torn(&header);
                    return End::Malformed;
                }
                let segment = transport::read(bytes, &header);
                name(bytes, &header, &segment, notes);
                if !notes.packet(&header, &segment) || header.is_later_fragment() {
                    return End::Done;
                }
                bytes = &bytes[..segment.end];
                let next = tunnel::inside(bytes, &header, &segment, notes);
                // an error quotes the start of a packet, a fragment has the start of one: how long the whole is they do not
                // say
                promised = match segment.transport {
                    Transport::Icmp { .. } => usize::MAX,
                    _ if header.is_fragment() => usize::MAX,
                    _ => promised.min(segment.promised_end),
                };
                next
            }
            Next::Llc(at) => {
                notes.layer("llc");
                tags::llc(bytes, at)
            }
            Next::Mpls(at) => tags::mpls(bytes, at, notes),
            Next::Ppp(at) => {
                notes.layer("ppp");
                tags::ppp(bytes, at)
            }
            Next::Radio(at) => radio::frame(bytes, at, notes),
            Next::Nlpid(at) => medium::nlpid(bytes, at),
            Next::Service(at) => {
                notes.layer("nsh");
                tags::service(bytes, at)
            }
            Next::Gre(at) => {
                notes.layer("gre");
                tunnel::gre(bytes, at, notes)
            }
            Next::Arp(at) => {
                notes.layer("arp");
                return End::Arp(at);
            }
            Next::Stop => return End::Done,
            Next::Cut => return End::Cut,
        };
    }
    End::Deep
}

/// Names the layers of a packet.
#[inline(always)]
fn name<N: Notes>(bytes: &[u8], header: &IpHeader, segment: &Segment, notes: &mut N) {
    notes.layer(if header.version == 4 { "ip" } else { "ipv6" });
    ip::extension_names(bytes, header, notes);
    let name = match (segment.transport, header.proto) {
        (Transport::None, _) => return,
        (Transport::Tcp(_), _) => "tcp",
        (Transport::Icmp { .. }, transport::ICMP) => "icmp",
        (Transport::Icmp { .. }, _) => "icmpv6",
        (_, transport::UDP) => "udp",
        (_, transport::SCTP) => "sctp",
        (_, transport::DCCP) => "dccp",
        _ => "udplite",
    };
    notes.layer(name);
}

/// Most headers of a frame that are followed.
const STEPS_MAX: usize = 64;
