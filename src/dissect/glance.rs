//! A quick look at a frame before its turn.

use super::transport::{TCP, UDP};
use super::wire::{array_at, u16_at};
use super::{link, tags};
use crate::model::{Addr, Glance};

/// Whose packet a frame probably is: Ethernet with at most two VLAN tags and TCP or UDP right behind the IP header, what most
/// frames are. Nothing is proven: it is for calling memory into the cache, the dissector decides.
#[inline]
pub fn glance(link_type: u16, bytes: &[u8]) -> Option<Glance> {
    if link_type != link::LINKTYPE_ETHERNET {
        return None;
    }
    let (mut ethertype, mut at) = (u16_at(bytes, 12)?, 14);
    let (mut vlans, mut count) = ([0; 2], 0);
    while tags::is_vlan(ethertype) && count < vlans.len() {
        vlans[count] = u16_at(bytes, at)? & 0x0fff;
        ethertype = u16_at(bytes, at + 2)?;
        (count, at) = (count + 1, at + 4);
    }
    let ((src, dst), proto, ports_at) = match bytes.get(at)? >> 4 {
        4 => {
            let [src, dst] = [at + 12, at + 16].map(|at| array_at(bytes, at).map(Addr::from_v4));
            let header = usize::from(bytes[at] & 15) * 4;
            ((src?, dst?), bytes[at + 9], at + header)
        }
        6 => {
            let [src, dst] = [at + 8, at + 24].map(|at| array_at(bytes, at).map(Addr));
            ((src?, dst?), bytes[at + 6], at + 40)
        }
        _ => return None,
    };
    let ports: [u8; 4] = array_at(bytes, ports_at)?;
    (tags::is_ip(ethertype) && matches!(proto, TCP | UDP)).then_some(Glance {
        src,
        dst,
        src_port: u16::from_be_bytes([ports[0], ports[1]]),
        dst_port: u16::from_be_bytes([ports[2], ports[3]]),
        proto,
        vlans,
        vlan_count: count as u8,
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Dissected, Dissector, FrameHead, Settings};
    use super::*;
    use etherparse::{PacketBuilder, VlanId};
    use proptest::prelude::*;

    #[test]
    fn it_sees_what_the_dissector_sees() {
        let vlan = |n| VlanId::try_new(n).expect("12 bits");
        let link = || PacketBuilder::ethernet2([1; 6], [2; 6]);
        let mut frames = [vec![], vec![], vec![]];
        let v4 = link().ipv4([192, 0, 2, 1], [192, 0, 2, 2], 63);
        let tagged = link()
            .double_vlan(vlan(7), vlan(8))
            .ipv6([1; 16], [2; 16], 9);
        let made = [
            v4.tcp(443, 50_000, 7, 1024).write(&mut frames[0], b"x"),
            tagged.udp(5, 6).write(&mut frames[1], b"x"),
            link()
                .single_vlan(vlan(9))
                .ipv4([1; 4], [2; 4], 1)
                .udp(1, 2)
                .write(&mut frames[2], b""),
        ];
        assert!(made.iter().all(Result::is_ok));
        let mut dissector = Dissector::new(&Settings::default());
        for frame in &frames {
            let head = FrameHead {
                link_type: 1,
                wire_len: frame.len() as u32,
                ..Default::default()
            };
            let Dissected::Ip(view) = dissector.frame(head, frame) else {
                panic!("a packet");
            };
            let seen = glance(1, frame).expect("TCP or UDP");
            assert_eq!(
                (seen.src, seen.dst, seen.proto),
                (view.src, view.dst, view.proto)
            );
            assert_eq!((seen.src_port, seen.dst_port), view.ports());
            assert_eq!(seen.vlans(), view.envelope.vlans.as_slice());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(link in 0u16..3, bytes: Vec<u8>, kind in 0usize..4) {
            let start = [&[][..], &[8, 0, 0x45], &[0x86, 0xdd, 0x60], &[0x81, 0]][kind];
            glance(link, &[&[0; 12], start, &bytes].concat());
            glance(link, &bytes);
        }
    }
}
