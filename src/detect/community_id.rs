//! Community ID, version 1: one text for the two directions of a conversation, by which other tools know it
//! (corelight/community-id-spec).

use super::base64;
use crate::model::Addr;
use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};

/// The id of a packet's conversation. Ports are 0 where the protocol has none; of ICMP they are type and code.
pub fn community_id(seed: u16, proto: u8, src: (Addr, u16), dst: (Addr, u16)) -> String {
    let (mut a, mut b, mut one_way) = (src, dst, false);
    if let ICMP | ICMPV6 = proto {
        // a request and its answer count as two ports; other messages go one way only
        match counterpart(proto, src.1) {
            Some(other) => b.1 = other,
            None => one_way = true,
        }
    }
    if !one_way && b < a {
        std::mem::swap(&mut a, &mut b);
    }
    let mut sha1 = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    sha1.update(&seed.to_be_bytes());
    for addr in [a.0, b.0] {
        let bytes = &addr.0;
        sha1.update(if addr.is_v4() { &bytes[12..] } else { bytes });
    }
    sha1.update(&[proto, 0]);
    if has_ports(proto) {
        sha1.update(&a.1.to_be_bytes());
        sha1.update(&b.1.to_be_bytes());
    }
    let mut text = String::from("1:");
    base64::encode(sha1.finish().as_ref(), &mut text);
    text
}

fn has_ports(proto: u8) -> bool {
    matches!(proto, ICMP | TCP | UDP | ICMPV6 | SCTP)
}

/// The type that answers a type, or that it answers.
fn counterpart(proto: u8, kind: u16) -> Option<u16> {
    let pairs: &[(u16, u16)] = match proto {
        ICMP => &[(8, 0), (13, 14), (15, 16), (17, 18), (10, 9)],
        _ => &[(128, 129), (133, 134), (135, 136), (130, 131), (144, 145)],
    };
    pairs.iter().find_map(|&(a, b)| match kind {
        k if k == a => Some(b),
        k if k == b => Some(a),
        _ => None,
    })
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(proto: u8, src: (&str, u16), dst: (&str, u16)) -> String {
        let end =
            |(addr, port): (&str, u16)| (addr.parse::<std::net::IpAddr>().unwrap().into(), port);
        community_id(0, proto, end(src), end(dst))
    }

    /// The first three as Suricata 7.0.10 has them, the others from the specification's own table.
    #[test]
    fn both_directions_have_the_published_id() {
        let (a, b) = (("10.0.0.1", 1111), ("10.0.0.2", 80));
        assert_eq!(of(TCP, a, b), "1:O66jebaKYx/KRIqoORaXNoppi+Q=");
        assert_eq!(of(TCP, b, a), of(TCP, a, b));
        let (a, b) = (("10.0.0.1", 1234), ("10.0.0.9", 53));
        assert_eq!(of(UDP, b, a), "1:gycgD4T0/lW4hi7S6e8I23JPET4=");
        let (a, b) = (("128.232.110.120", 34855), ("66.35.250.204", 80));
        assert_eq!(of(TCP, a, b), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        let (a, b) = (("192.168.0.89", 8), ("192.168.0.1", 0));
        assert_eq!(of(ICMP, a, b), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
        assert_eq!(
            of(ICMP, ("192.168.0.1", 0), ("192.168.0.89", 0)),
            of(ICMP, a, b)
        );
    }
}
