//! Frames and sampled headers to plain facts: link, VLAN and MPLS tags, IP, transport, tunnels.
//!
//! Owns: the one walk through the headers of a frame, cut short at any byte, and who listens to it: [`Dissector`]
//! (innermost packet), [`HeaderView`] (outermost header; says by presence which facts can be trusted), [`route`].
//! Never: state, reassembly, counters. Own code, because `etherparse` wants whole headers and knows few links and
//! tunnels; its number registries are used, and it is the oracle of the tests.

mod dissector;
mod glance;
mod ip;
mod link;
mod link_names;
mod medium;
mod radio;
mod route;
pub mod settings;
mod tags;
mod transport;
mod tunnel;
mod udp;
mod view;
mod walk;
mod wire;

pub use dissector::{Arp, Dissected, Dissector, FrameHead, Reason};
pub use glance::glance;
pub use ip::IpHeader;
pub use link_names::link_name;
pub use radio::behind;
pub use route::{RouteKey, route};
pub use settings::Settings;
pub use transport::Segment;
pub use view::HeaderView;
pub use walk::Notes;

use walk::{End, Next};

/// Walks through the headers of a frame that had `wire` bytes and tells `notes` what is met. `false` where the link type is not known or never
/// carries IP.
pub fn walk<N: Notes>(link_type: u16, bytes: &[u8], wire: usize, notes: &mut N) -> bool {
    match link::start(link_type, bytes, notes) {
        Some(next) => {
            walk::walk(next, bytes, wire, notes);
            true
        }
        None => false,
    }
}

/// Walks through the headers of a frame in an aggregate of 802.11 ([`Notes::aggregate`], [`behind`]).
pub fn walk_subframe<N: Notes>(bytes: &[u8], at: usize, wire: usize, notes: &mut N) {
    let next = radio::subframe(bytes, at, notes);
    walk::walk(next, bytes, wire, notes);
}

/// Dissects a captured frame of a link type (LINKTYPE number of the capture formats). `None` where the link type is
/// not known.
pub fn frame(link_type: u16, bytes: &[u8]) -> Option<HeaderView> {
    let mut view = HeaderView::of(bytes.len());
    let next = link::start(link_type, bytes, &mut view)?;
    view.follow(next, bytes);
    Some(view)
}

/// Dissects a sampled header of sFlow (`header_protocol` of sFlow version 5, section 5.3). An unknown protocol gives
/// an empty view.
pub fn sampled_header(protocol: u32, bytes: &[u8]) -> HeaderView {
    let mut view = HeaderView::of(bytes.len());
    let next = match protocol {
        1 => Next::Frame(0),
        7 => Next::Ppp(0),
        10..=12 => Next::Ip(0),
        13 => Next::Mpls(0),
        14 => link::hdlc(bytes, 0),
        _ => Next::Stop,
    };
    view.follow(next, bytes);
    view
}

/// Dissects element 315 (dataLinkFrameSection): an Ethernet frame from its destination address on.
pub fn ethernet(bytes: &[u8]) -> HeaderView {
    sampled_header(1, bytes)
}

impl HeaderView {
    fn follow(&mut self, next: Next, bytes: &[u8]) {
        self.cut |= walk::walk(next, bytes, usize::MAX, self) == End::Cut;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Addr;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    fn tcp_frame() -> Vec<u8> {
        let mut frame = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6])
            .double_vlan(
                etherparse::VlanId::try_new(100).expect("12 bits"),
                etherparse::VlanId::try_new(200).expect("12 bits"),
            )
            .ipv4([192, 0, 2, 1], [192, 0, 2, 2], 63)
            .tcp(443, 50_000, 1, 1024)
            .syn()
            .write(&mut frame, &[7; 10])
            .expect("a vector takes it");
        frame
    }

    #[test]
    fn tags_and_ports_of_a_whole_frame() {
        let v = ethernet(&tcp_frame());
        assert_eq!(v.vlans.as_slice(), [100, 200]);
        assert_eq!(v.ethertype, Some(0x0800));
        assert_eq!((v.src_port, v.dst_port), (Some(443), Some(50_000)));
        assert_eq!(
            (v.tcp_flags, v.ip_len, v.ttl),
            (Some(2), Some(50), Some(63))
        );
        assert_eq!(v.src_addr, Some(Addr::from_v4([192, 0, 2, 1])));
        assert!(!v.cut && !v.is_fragment());
    }

    #[test]
    fn what_is_there_of_a_cut_frame_is_the_same_as_of_the_whole() {
        let whole = tcp_frame();
        let full = ethernet(&whole);
        for n in 0..whole.len() {
            let v = ethernet(&whole[..n]);
            for (a, b) in [
                (v.src_port, full.src_port),
                (v.dst_port, full.dst_port),
                (v.tcp_flags, full.tcp_flags),
                (v.ethertype, full.ethertype),
            ] {
                assert!(a.is_none() || a == b, "at {n}");
            }
            assert!(v.src_addr.is_none() || v.src_addr == full.src_addr);
            assert!(full.vlans.as_slice().starts_with(v.vlans.as_slice()));
            assert_eq!(v.cut, n < 14 + 8 + 20 + 14, "at {n}");
        }
    }

    #[test]
    fn mpls_leads_to_ip() {
        let mut frame = vec![0; 12];
        frame.extend([0x88, 0x47, 0, 1, 0x10, 64, 0, 2, 0x2b, 63]);
        PacketBuilder::ipv6([1; 16], [2; 16], 9)
            .udp(1, 2)
            .write(&mut frame, &[])
            .expect("a vector takes it");
        let v = ethernet(&frame);
        let stack: Vec<_> = v.mpls.iter().collect();
        assert_eq!(stack, [(1, 17, 0, false), (2, 34, 5, true)]);
        assert_eq!((v.ip_version, v.ip_len), (Some(6), Some(48)));
        assert_eq!((v.src_port, v.dst_port), (Some(1), Some(2)));
    }

    #[test]
    fn padding_is_no_transport_header() {
        // total length 20, then Ethernet padding
        let mut ip = vec![
            0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2,
        ];
        ip.extend([0xff; 26]);
        let v = sampled_header(11, &ip);
        assert_eq!((v.proto, v.src_port), (Some(17), None));
    }

    #[test]
    fn a_later_fragment_has_no_ports() {
        let ip = [
            0x45, 0, 0, 40, 0, 9, 0x20, 2, 64, 6, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 9, 9, 9, 9,
        ];
        let v = sampled_header(11, &ip);
        let f = v.fragment.expect("it is one");
        assert_eq!((f.id, f.offset, f.more), (9, 16, true));
        assert_eq!(v.src_port, None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(link in 0u16..300, protocol in 0u32..20, bytes: Vec<u8>) {
            frame(link, &bytes);
            sampled_header(protocol, &bytes);
        }

        #[test]
        fn etherparse_agrees_on_whole_frames(
            v6: bool, tcp: bool, ports: (u16, u16), ttl: u8, n in 0usize..90
        ) {
            let mut bytes = Vec::new();
            let link = PacketBuilder::ethernet2([3; 6], [4; 6]);
            let ip = if v6 {
                link.ipv6([1; 16], [2; 16], ttl)
            } else {
                link.ipv4([1; 4], [2; 4], ttl)
            };
            let done = if tcp {
                ip.tcp(ports.0, ports.1, 0, 0).write(&mut bytes, &vec![0; n])
            } else {
                ip.udp(ports.0, ports.1).write(&mut bytes, &vec![0; n])
            };
            prop_assert!(done.is_ok());
            let view = ethernet(&bytes);
            prop_assert_eq!(view.src_port, Some(ports.0));
            prop_assert_eq!(view.dst_port, Some(ports.1));
            prop_assert_eq!(view.ttl, Some(ttl));
            prop_assert_eq!(view.ip_len, Some((bytes.len() - 14) as u32));
            prop_assert_eq!(view.end, bytes.len());
        }
    }
}
