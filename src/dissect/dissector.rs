//! Frames to the innermost packet, without allocating.

use super::Settings;
use super::ip::{self, IpHeader};
use super::transport::{self, Segment, TCP, UDP};
use super::walk::{End, Next, Notes, walk};
use super::wire::{array_at, mac_at, u16_at};
use super::{link, radio, tags, udp};
use crate::model::{
    Addr, Envelope, MplsStack, PacketView, TUNNELS_MAX, Transport, Tunnel, TunnelKind, Tunnels,
};

/// What is known of a frame beside its bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameHead {
    /// When it was captured, nanoseconds since 1970 UTC.
    pub time_ns: i64,
    /// Its number over all inputs, from 1.
    pub frame: u64,
    /// Capture interface, from 1.
    pub interface: u32,
    /// LINKTYPE number.
    pub link_type: u16,
    /// Bytes that it had on the wire.
    pub wire_len: u32,
}

/// What a frame turned out to be.
#[derive(Clone, Copy, Debug)]
pub enum Dissected<'a> {
    /// An IP packet: the innermost that was reached.
    Ip(PacketView<'a>),
    /// ARP that no IP packet carried.
    Arp(Arp),
    /// Neither, with the Ethertype where there was one (below 0x0600 an 802.3 length).
    NotIp(Option<u16>),
    /// No packet can be read from it.
    Rejected(Reason),
}

/// Why a frame gave no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Its link type is not known or never carries IP.
    LinkType,
    /// The captured bytes end before an IP header does.
    Cut,
    /// What should be an IP header cannot be one.
    Malformed,
    /// It has more headers than are followed.
    Deep,
}

/// An ARP packet for IPv4 (RFC 826).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 asks, 2 answers.
    pub operation: u16,
    /// Hardware address of the sender, 48 bits.
    pub sender_mac: u64,
    /// Its protocol address.
    pub sender: Addr,
    /// Hardware address of the target, 48 bits.
    pub target_mac: u64,
    /// Its protocol address.
    pub target: Addr,
}

/// Dissects frame after frame. It owns the [`Envelope`] that a view borrows, so a frame costs no allocation.
#[derive(Clone, Debug)]
pub struct Dissector {
    envelope: Envelope,
    /// Where the first frame of an aggregate starts.
    aggregate: Option<usize>,
    depth: usize,
}

impl Dissector {
    /// A dissector with these limits.
    pub fn new(settings: &Settings) -> Self {
        Dissector {
            envelope: Envelope::default(),
            aggregate: None,
            depth: usize::from(settings.tunnel_depth_max).min(TUNNELS_MAX),
        }
    }

    /// Dissects a captured frame.
    #[inline]
    pub fn frame<'a>(&'a mut self, head: FrameHead, bytes: &'a [u8]) -> Dissected<'a> {
        let e = &mut self.envelope;
        clear(e, head.link_type);
        self.aggregate = None;
        if let Some((header, segment)) = plain(head, bytes, e) {
            return Dissected::Ip(view(&self.envelope, &header, &segment, head, bytes));
        }
        let mut reached = Reached::new(e, self.depth);
        let Some(next) = link::start(head.link_type, bytes, &mut reached) else {
            return Dissected::Rejected(Reason::LinkType);
        };
        let end = walk(next, bytes, head.wire_len as usize, &mut reached);
        self.aggregate = reached.aggregate;
        let last = reached.finish();
        dissected(&self.envelope, last, end, head, bytes)
    }

    /// Dissects a captured frame down to the packet that so many tunnels wrap, at most.
    pub fn around<'a>(
        &'a mut self,
        tunnels: usize,
        head: FrameHead,
        bytes: &'a [u8],
    ) -> Dissected<'a> {
        let depth = std::mem::replace(&mut self.depth, tunnels.min(TUNNELS_MAX));
        clear(&mut self.envelope, head.link_type);
        let mut reached = Reached::new(&mut self.envelope, self.depth);
        self.depth = depth;
        let Some(next) = link::start(head.link_type, bytes, &mut reached) else {
            return Dissected::Rejected(Reason::LinkType);
        };
        let end = walk(next, bytes, head.wire_len as usize, &mut reached);
        let last = reached.finish();
        dissected(&self.envelope, last, end, head, bytes)
    }

    /// Where the frame that was dissected last has the first frame of an aggregate of 802.11. That one was dissected; others
    /// may be [`super::behind`] it.
    #[inline]
    pub fn aggregate(&self) -> Option<usize> {
        self.aggregate
    }

    /// Dissects a frame of an aggregate that starts at `at`.
    pub fn subframe<'a>(
        &'a mut self,
        head: FrameHead,
        bytes: &'a [u8],
        at: usize,
    ) -> Dissected<'a> {
        clear(&mut self.envelope, head.link_type);
        let mut reached = Reached::new(&mut self.envelope, self.depth);
        let next = radio::subframe(bytes, at, &mut reached);
        let end = walk(next, bytes, bytes.len(), &mut reached);
        let last = reached.finish();
        dissected(&self.envelope, last, end, head, bytes)
    }

    /// Goes on from a packet that fragments gave: `bytes` from its IP header on, of `frames` fragments whose layer-3
    /// bytes are `ip_len` together, wrapped in `outer`. It may be a tunnel again; then the packet inside is one packet
    /// with a length of its own.
    pub fn whole<'a>(
        &'a mut self,
        head: FrameHead,
        outer: &Envelope,
        (frames, ip_len): (u32, u32),
        bytes: &'a [u8],
    ) -> Dissected<'a> {
        self.envelope.clone_from(outer);
        let mut reached = Reached::new(&mut self.envelope, self.depth);
        reached.carried = reached.envelope.tunnels.as_slice().len();
        reached.kept = reached.carried;
        let end = walk(Next::Ip(0), bytes, bytes.len(), &mut reached);
        let outermost = reached.packets == 1;
        let last = reached.finish();
        match dissected(&self.envelope, last, end, head, bytes) {
            Dissected::Ip(view) if outermost => Dissected::Ip(PacketView {
                frames,
                ip_len,
                ..view
            }),
            other => other,
        }
    }
}

#[inline(always)]
fn clear(e: &mut Envelope, link_type: u16) {
    e.link_type = link_type;
    (e.dst_mac, e.src_mac, e.ethertype) = (None, None, None);
    e.vlans.clear();
    e.tunnels.clear();
    if e.mpls.positions != 0 {
        e.mpls = MplsStack::default();
    }
}

/// What most frames are, without a walk: Ethernet with at most two VLAN tags, a whole IP packet, TCP, or UDP on a port
/// that no tunnel uses. The walk finds the same.
#[inline(always)]
fn plain(head: FrameHead, bytes: &[u8], envelope: &mut Envelope) -> Option<(IpHeader, Segment)> {
    if head.link_type != link::LINKTYPE_ETHERNET {
        return None;
    }
    let [dst, src, ethertype] = link::split(bytes, 0)?;
    let (mut ethertype, mut at) = (ethertype as u16, 14);
    let (mut vlans, mut count) = ([0; 2], 0);
    while !tags::is_ip(ethertype) {
        if count == vlans.len() || !tags::is_vlan(ethertype) {
            return None;
        }
        vlans[count] = u16_at(bytes, at)? & 0x0fff;
        ethertype = u16_at(bytes, at + 2)?;
        (count, at) = (count + 1, at + 4);
    }
    let header = ip::read(bytes, at, head.wire_len as usize)?;
    if header.is_fragment() || !header.sound || !header.is_usable() {
        return None;
    }
    let segment = transport::read(bytes, &header);
    match (header.proto, segment.transport) {
        (TCP, _) => {}
        (UDP, Transport::Ports { src, dst }) if !udp::is_tunnel(src, dst) => {}
        _ => return None,
    }
    envelope.dst_mac = Some(dst);
    envelope.src_mac = Some(src);
    envelope.ethertype = Some(ethertype);
    vlans[..count]
        .iter()
        .for_each(|id| envelope.vlans.push(*id));
    Some((header, segment))
}

/// Listens to a walk and keeps the innermost packet.
struct Reached<'e> {
    envelope: &'e mut Envelope,
    depth: usize,
    last: Option<(IpHeader, Segment)>,
    /// Packets seen.
    packets: usize,
    /// Tunnels that an IP packet carried.
    carried: usize,
    /// Tunnels that led to a packet.
    kept: usize,
    aggregate: Option<usize>,
}

impl<'e> Reached<'e> {
    #[inline]
    fn new(envelope: &'e mut Envelope, depth: usize) -> Self {
        Reached {
            envelope,
            depth,
            last: None,
            packets: 0,
            carried: 0,
            kept: 0,
            aggregate: None,
        }
    }

    /// Forgets the tunnels in which nothing was found.
    #[inline]
    fn finish(self) -> Option<(IpHeader, Segment)> {
        let found = self.envelope.tunnels.as_slice().len();
        if found > self.kept {
            let mut tunnels = Tunnels::default();
            for tunnel in &self.envelope.tunnels.as_slice()[..self.kept] {
                tunnels.push(*tunnel);
            }
            self.envelope.tunnels = tunnels;
        }
        self.last
    }

    /// Whether the walk is still in the outermost frame.
    #[inline]
    fn is_outside(&self) -> bool {
        self.last.is_none() && self.envelope.tunnels.as_slice().is_empty()
    }
}

impl Notes for Reached<'_> {
    #[inline]
    fn addresses(&mut self, dst: Option<u64>, src: Option<u64>) {
        if self.envelope.dst_mac.is_none() && self.is_outside() {
            (self.envelope.dst_mac, self.envelope.src_mac) = (dst, src);
        }
    }

    #[inline]
    fn ethertype(&mut self, ethertype: u16) {
        if self.envelope.ethertype.is_none() && self.is_outside() {
            self.envelope.ethertype = Some(ethertype);
        }
    }

    fn aggregate(&mut self, at: usize) {
        if self.is_outside() {
            self.aggregate = Some(at);
        }
    }

    fn vlan(&mut self, id: u16) {
        if self.is_outside() {
            self.envelope.vlans.push(id);
        }
    }

    fn label(&mut self, position: usize, entry: u32) {
        if self.is_outside()
            && let Some(slot) = self.envelope.mpls.entries.get_mut(position)
        {
            *slot = entry >> 8;
            self.envelope.mpls.positions |= 1 << position;
        }
    }

    fn tunnel(&mut self, kind: TunnelKind, id: Option<u32>) {
        let around = self.last.as_ref().map(|(h, _)| (h.src, h.dst));
        self.carried += usize::from(around.is_some());
        let (src, dst) = around.unwrap_or_default();
        let id = id.unwrap_or_default();
        self.envelope.tunnels.push(Tunnel { kind, id, src, dst });
    }

    #[inline]
    fn packet(&mut self, header: &IpHeader, segment: &Segment) -> bool {
        self.last = Some((*header, *segment));
        self.packets += 1;
        self.kept = self.envelope.tunnels.as_slice().len();
        self.carried < self.depth && !header.is_fragment()
    }
}

#[inline]
fn dissected<'a>(
    envelope: &'a Envelope,
    last: Option<(IpHeader, Segment)>,
    end: End,
    head: FrameHead,
    bytes: &'a [u8],
) -> Dissected<'a> {
    match (last, end) {
        (Some((header, segment)), _) => {
            Dissected::Ip(view(envelope, &header, &segment, head, bytes))
        }
        (None, End::Arp(at)) => match arp(bytes, at) {
            Some(arp) => Dissected::Arp(arp),
            None => Dissected::Rejected(Reason::Cut),
        },
        (None, End::Cut) => Dissected::Rejected(Reason::Cut),
        (None, End::Malformed) => Dissected::Rejected(Reason::Malformed),
        (None, End::Deep) => Dissected::Rejected(Reason::Deep),
        (None, End::Done) => Dissected::NotIp(envelope.ethertype),
    }
}

#[inline(always)]
fn view<'a>(
    envelope: &'a Envelope,
    header: &IpHeader,
    segment: &Segment,
    head: FrameHead,
    bytes: &'a [u8],
) -> PacketView<'a> {
    let wire = (head.wire_len as usize).max(bytes.len());
    // where offload left no length, the packet ends with the frame
    let promised = segment.promised_end.min(match header.len {
        0 => wire,
        _ => usize::MAX,
    });
    let payload_from = header.transport_at + segment.header;
    PacketView {
        time_ns: head.time_ns,
        frame: head.frame,
        interface: head.interface,
        wire_len: head.wire_len,
        frames: 1,
        bytes,
        envelope,
        src: header.src,
        dst: header.dst,
        ip_len: header.layer3_len(wire),
        ip_id: header.fragment.map_or(u32::from(header.id), |f| f.id),
        flow_label: header.flow_label,
        network_at: header.at as u32,
        transport_at: header.transport_at as u32,
        payload_at: segment.payload_at as u32,
        end: segment.end as u32,
        payload_len: promised.saturating_sub(payload_from) as u32,
        version: header.version,
        tos: header.tos,
        ttl: header.ttl,
        proto: header.proto,
        fragment: header.fragment.filter(|f| f.more || f.offset != 0),
        transport: segment.transport,
        cut: segment.cut || segment.end < promised,
    }
}

/// Reads ARP for Ethernet addresses and IPv4; `None` where it is cut or for others.
fn arp(bytes: &[u8], at: usize) -> Option<Arp> {
    let sizes: [u8; 2] = array_at(bytes, at + 4)?;
    (sizes == [6, 4]).then_some(())?;
    Some(Arp {
        operation: u16_at(bytes, at + 6)?,
        sender_mac: mac_at(bytes, at + 8)?,
        sender: array_at(bytes, at + 14).map(Addr::from_v4)?,
        target_mac: mac_at(bytes, at + 18)?,
        target: array_at(bytes, at + 24).map(Addr::from_v4)?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{RouteKey, route};
    use super::*;
    use crate::model::Fragment;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    fn tcp(payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 63)
            .tcp(443, 50_000, 7, 1024)
            .psh()
            .write(&mut frame, payload)
            .expect("a vector takes it");
        frame
    }

    /// An Ethernet frame from 10.0.0.`n` with a payload of UDP or of another protocol.
    fn around(n: u8, proto_or_port: Result<u8, u16>, head: &[u8], inner: &[u8]) -> Vec<u8> {
        let payload = [head, inner].concat();
        let mut frame = Vec::new();
        let ip = PacketBuilder::ethernet2([3; 6], [4; 6]).ipv4([10, 0, 0, n], [10, 0, 0, 99], 9);
        match proto_or_port {
            Ok(proto) => ip.write(&mut frame, proto.into(), &payload),
            Err(port) => ip.udp(55_555, port).write(&mut frame, &payload),
        }
        .expect("a vector takes it");
        frame
    }

    fn head() -> FrameHead {
        FrameHead {
            time_ns: 5,
            frame: 1,
            interface: 1,
            link_type: 1,
            wire_len: 2000,
        }
    }

    fn ip<'a>(dissector: &'a mut Dissector, frame: &'a [u8]) -> PacketView<'a> {
        match dissector.frame(head(), frame) {
            Dissected::Ip(view) => view,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plain_packet() {
        let frame = tcp(b"hello");
        let mut d = Dissector::new(&Settings::default());
        let v = ip(&mut d, &frame);
        let t = v.tcp().expect("TCP");
        assert_eq!(
            (t.src_port, t.dst_port, t.seq, t.window),
            (443, 50_000, 7, 1024)
        );
        assert_eq!(
            (v.payload(), v.payload_len, v.ip_len),
            (&b"hello"[..], 5, 45)
        );
        assert_eq!((v.ttl, v.proto, v.cut, v.fragment), (63, 6, false, None));
        assert_eq!(v.envelope.src_mac, Some(0x0101_0101_0101));
        assert_eq!(v.envelope.ethertype, Some(0x0800));
        let v = ip(&mut d, &frame[..56]);
        assert_eq!((v.payload(), v.payload_len, v.cut), (&b"he"[..], 5, true));
    }

    #[test]
    fn every_tunnel_leads_to_the_packet_inside() {
        let frame = tcp(b"inside");
        let packet = &frame[14..];
        let vxlan = [8, 0, 0, 0, 0, 1, 2, 0];
        let geneve = [1, 0, 0x65, 0x58, 0, 0, 9, 0, 1, 2, 3, 0];
        let gtp = [0x34, 255, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0x85, 1, 0, 0, 0];
        let erspan = [0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 1, 0, 5, 0, 0, 0, 0];
        let l2tp = [0x00, 2, 0, 1, 0, 2, 0xff, 3, 0, 0x21];
        let tzsp = [1, 0, 0, 1, 0, 10, 1, 200, 1];
        let capwap = [0, 0x10, 0x02, 0, 0, 0, 0, 0];
        for (way, bytes, kind, id) in [
            (Ok(4), [&[][..], packet], TunnelKind::IpIp, 0),
            (Ok(47), [&[0, 0, 8, 0], packet], TunnelKind::Gre, 0),
            (
                Ok(47),
                [&[0x20, 0, 0x65, 0x58, 0, 0, 4, 5], &frame],
                TunnelKind::Gre,
                0x405,
            ),
            (Ok(47), [&erspan, &frame], TunnelKind::Erspan, 5),
            (Ok(97), [&[0x30, 0], &frame], TunnelKind::Other, 0),
            (Err(4789), [&vxlan, &frame], TunnelKind::Vxlan, 0x102),
            (Err(6081), [&geneve, &frame], TunnelKind::Geneve, 9),
            (Err(2152), [&gtp, packet], TunnelKind::Gtp, 7),
            (Err(1701), [&l2tp, packet], TunnelKind::Other, 0x1_0002),
            (Err(37_008), [&tzsp, &frame], TunnelKind::Other, 0),
            (Err(5247), [&capwap, &frame], TunnelKind::Other, 0),
        ] {
            let outer = around(1, way, bytes[0], bytes[1]);
            let mut d = Dissector::new(&Settings::default());
            let v = ip(&mut d, &outer);
            assert_eq!(v.ports(), (443, 50_000), "{kind:?}");
            assert_eq!((v.payload(), v.payload_len), (&b"inside"[..], 6));
            let [tunnel] = v.envelope.tunnels.as_slice() else {
                panic!("{:?}", v.envelope.tunnels)
            };
            assert_eq!((tunnel.kind, tunnel.id), (kind, id));
            assert_eq!(tunnel.src, Addr::from_v4([10, 0, 0, 1]));
            assert_eq!(route(1, &outer), Some(RouteKey::of(v.dst, v.src)));
            // with no depth the outer packet is the flow
            let mut d = Dissector::new(&Settings {
                tunnel_depth_max: 0,
            });
            let v = ip(&mut d, &outer);
            assert_eq!(v.src, Addr::from_v4([10, 0, 0, 1]));
            assert!(v.envelope.tunnels.as_slice().is_empty());
        }
    }

    #[test]
    fn what_only_looks_like_a_tunnel_is_the_outer_packet() {
        let frame = tcp(b"inside");
        let mut longer = frame.clone();
        longer[17] += 1;
        let mut odd = frame.clone();
        odd[14] = 0x41;
        for inner in [&longer[..], &odd, &frame[..20], b"no frame at all"] {
            let outer = around(1, Err(4789), &[8, 0, 0, 0, 0, 1, 2, 0], inner);
            let mut d = Dissector::new(&Settings::default());
            let v = ip(&mut d, &outer);
            assert_eq!(v.ports(), (55_555, 4789));
            assert!(v.envelope.tunnels.as_slice().is_empty());
        }
    }

    #[test]
    fn depth_is_kept() {
        let mut bytes = tcp(b"")[14..].to_vec();
        for n in 1..=6 {
            bytes = around(n, Ok(4), &[], &bytes)[14..].to_vec();
        }
        let frame = [&[0; 12][..], &[8, 0], &bytes].concat();
        for depth in 0..=8 {
            let mut d = Dissector::new(&Settings {
                tunnel_depth_max: depth,
            });
            let v = ip(&mut d, &frame);
            assert_eq!(v.envelope.tunnels.as_slice().len(), depth.min(6) as usize);
            assert_eq!(v.tcp().is_some(), depth >= 6);
        }
    }

    #[test]
    fn a_fragment_is_not_entered_and_its_whole_is() {
        let inner = tcp(b"inside")[14..].to_vec();
        let mut outer = around(1, Ok(4), &[], &inner);
        let whole = outer[14..].to_vec();
        outer[20] = 0x20;
        let mut d = Dissector::new(&Settings::default());
        let v = ip(&mut d, &outer);
        let more = Fragment {
            id: v.ip_id,
            offset: 0,
            more: true,
        };
        assert_eq!((v.proto, v.fragment), (4, Some(more)));
        let outside = v.envelope.clone();
        let Dissected::Ip(v) = d.whole(head(), &outside, (3, 500), &whole) else {
            panic!("no packet")
        };
        assert_eq!((v.ports(), v.frames), ((443, 50_000), 1));
        assert_eq!(v.envelope.tunnels.as_slice().len(), 1);
        let Dissected::Ip(v) = d.whole(head(), &outside, (3, 500), &inner) else {
            panic!("no packet")
        };
        assert_eq!((v.frames, v.ip_len, v.payload_len), (3, 500, 6));
    }

    #[test]
    fn arp_and_others_are_told_apart() {
        let mut d = Dissector::new(&Settings::default());
        let mut arp = vec![9; 12];
        arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
        arp.extend([1, 1, 1, 1, 1, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
        let Dissected::Arp(a) = d.frame(head(), &arp) else {
            panic!("no ARP")
        };
        assert_eq!((a.operation, a.sender_mac), (1, 0x0101_0101_0101));
        assert_eq!(a.target, Addr::from_v4([10, 0, 0, 2]));
        arp[13] = 0xcc;
        assert!(matches!(
            d.frame(head(), &arp),
            Dissected::NotIp(Some(0x08cc))
        ));
        assert!(matches!(
            d.frame(head(), &tcp(b"")[..30]),
            Dissected::Rejected(Reason::Cut)
        ));
        let deep = [&[0; 12][..], &[0x81, 0, 0, 1].repeat(100)].concat();
        assert!(matches!(
            d.frame(head(), &deep),
            Dissected::Rejected(Reason::Deep)
        ));
        let usb = FrameHead {
            link_type: 189,
            ..head()
        };
        assert!(matches!(
            d.frame(usb, &arp),
            Dissected::Rejected(Reason::LinkType)
        ));
    }

    #[test]
    fn the_length_that_offload_left_out_is_that_of_the_frame() {
        let mut frame = tcp(&[1; 100]);
        (frame[16], frame[17]) = (0, 0);
        let mut d = Dissector::new(&Settings::default());
        let v = ip(&mut d, &frame);
        assert_eq!((v.ip_len, v.payload_len), (1986, 1946));
        assert!(v.cut);
    }

    #[test]
    fn the_short_way_finds_what_the_walk_finds() {
        let whole = tcp(b"some payload");
        let mut v6 = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv6([1; 16], [2; 16], 9)
            .tcp(1, 2, 3, 4)
            .write(&mut v6, b"payload")
            .expect("a vector takes it");
        let mut tagged = whole[..12].to_vec();
        tagged.extend([0x81, 0, 0, 5, 0x88, 0xa8, 0, 6]);
        tagged.extend(&whole[12..]);
        let datagram = around(1, Err(5000), b"", b"some payload");
        for frame in [whole, v6, tagged, datagram] {
            for keep in 0..=frame.len() {
                for (at, bit) in [(0, 0), (14, 1), (16, 1), (20, 0x20), (23, 1), (46, 0xf0)] {
                    let mut frame = frame[..keep].to_vec();
                    if let Some(byte) = frame.get_mut(at) {
                        *byte ^= bit;
                    }
                    let mut short = Dissector::new(&Settings::default());
                    let mut long = Dissector::new(&Settings::default());
                    // the same bytes as a link type that only the walk knows
                    let other = FrameHead {
                        link_type: 274,
                        ..head()
                    };
                    let behind = [&[0x55; 8][..], &frame].concat();
                    let (short, long) = (short.frame(head(), &frame), long.frame(other, &behind));
                    let (Dissected::Ip(s), Dissected::Ip(l)) = (short, long) else {
                        assert!(!matches!(
                            (short, long),
                            (Dissected::Ip(_), _) | (_, Dissected::Ip(_))
                        ));
                        continue;
                    };
                    assert_eq!((s.transport, s.payload()), (l.transport, l.payload()));
                    assert_eq!((s.src, s.dst, s.fragment), (l.src, l.dst, l.fragment));
                    assert_eq!(
                        (s.payload_len, s.cut),
                        (l.payload_len, l.cut),
                        "{keep} {at}"
                    );
                    assert_eq!(s.envelope.src_mac, l.envelope.src_mac);
                    assert_eq!(s.envelope.vlans, l.envelope.vlans);
                    assert_eq!(s.envelope.ethertype, l.envelope.ethertype);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(link_type in 0u16..300, bytes: Vec<u8>) {
            let mut d = Dissector::new(&Settings::default());
            let head = FrameHead { link_type, ..head() };
            if let Dissected::Ip(v) = d.frame(head, &bytes) {
                prop_assert!(v.transport_at <= v.payload_at && v.payload_at <= v.end);
                prop_assert!(v.end as usize <= bytes.len());
            }
            route(link_type, &bytes);
        }

        #[test]
        fn bent_tunnels_are_survived(
            at in 0usize..140, with: u8, keep in 0usize..200, port in 0usize..6
        ) {
            let port = [4789, 2152, 6081, 3544, 5072, 1701][port];
            let inner = around(2, Err(4789), &[8, 0, 0, 0, 0, 0, 3, 0], &tcp(b"x"));
            let mut frame = around(1, Err(port), &[8, 255, 0, 3, 0, 0, 0, 0], &inner);
            if let Some(byte) = frame.get_mut(at) {
                *byte = with;
            }
            frame.truncate(keep);
            let mut d = Dissector::new(&Settings::default());
            if let Dissected::Ip(v) = d.frame(head(), &frame) {
                prop_assert!(v.transport_at <= v.payload_at && v.payload_at <= v.end);
                prop_assert!(v.end as usize <= frame.len());
            }
        }
    }
}
