//! Services over UDP that answer more than they are asked, to whoever seems to ask.
//!
//! Ports and names: CISA alert TA14-017A ("UDP-Based Amplification Attacks", with its later additions), and the registry of
//! service names for those seen since (37810 is discovery of video recorders, 10001 of wireless bridges, 3702 WS-Discovery,
//! 3283 remote desktop of one maker).

/// Stands for datagrams of which only later fragments came: large answers come in fragments, large questions hardly.
pub(super) const FRAGMENTS: u16 = 1;

/// The name of the service that a port of a reflector has.
pub(super) fn name(port: u16) -> Option<&'static str> {
    if !is_reflector(port) {
        return None;
    }
    let at = REFLECTORS.binary_search_by_key(&port, |r| r.0).ok()?;
    Some(REFLECTORS[at].1)
}

/// Whether a port is that of a reflector.
#[inline]
pub(super) fn is_reflector(port: u16) -> bool {
    MARKS[usize::from(port) / 64] >> (port % 64) & 1 == 1
}

/// A bit for each port: nearly every row asks.
static MARKS: [u64; 1024] = {
    let mut marks = [0; 1024];
    let mut n = 0;
    while n < REFLECTORS.len() {
        let port = REFLECTORS[n].0;
        marks[port as usize / 64] |= 1 << (port % 64);
        n += 1;
    }
    marks
};

/// Whether a service has no business with hosts that do not ask it: what it answers is far more than its question, and never a stream.
pub(super) fn is_strong(port: u16) -> bool {
    const STRONG: [u16; 12] = [
        17, 19, 111, 123, 137, 161, 389, 427, 1434, 1900, 3702, 11_211,
    ];
    STRONG.contains(&port)
}

/// Whether what comes to a port is never answered: those who collect logs, flows, traps and metrics are sent much by many, all day long.
pub(super) fn is_one_way(port: u16) -> bool {
    const ONE_WAY: [u16; 16] = [
        162, 514, 1514, 2055, 2056, 4729, 4739, 5140, 6343, 8125, 9995, 9996, 10_514, 12_201,
        25_826, 37_008,
    ];
    ONE_WAY.binary_search(&port).is_ok()
}

const REFLECTORS: [(u16, &str); 39] = [
    (FRAGMENTS, "fragments"),
    (17, "qotd"),
    (19, "chargen"),
    (53, "dns"),
    (69, "tftp"),
    (111, "portmap"),
    (123, "ntp"),
    (137, "netbios"),
    (161, "snmp"),
    (177, "xdmcp"),
    (389, "cldap"),
    (427, "slp"),
    (500, "isakmp"),
    (520, "rip"),
    (623, "ipmi"),
    (1194, "openvpn"),
    (1434, "mssql"),
    (1604, "citrix"),
    (1701, "l2tp"),
    (1900, "ssdp"),
    (2049, "nfs"),
    (3283, "net-assistant"),
    (3389, "rdp"),
    (3478, "stun"),
    (3702, "ws-discovery"),
    (4500, "ipsec-nat"),
    (5060, "sip"),
    (5093, "sentinel"),
    (5351, "nat-pmp"),
    (5353, "mdns"),
    (5683, "coap"),
    (10_001, "ubiquiti"),
    (10_074, "tp240"),
    (11_211, "memcached"),
    (27_015, "game-query"),
    (32_414, "plex"),
    (33_848, "jenkins"),
    (37_810, "dvr-dhcpdiscover"),
    (47_808, "bacnet"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_in_order() {
        assert!(REFLECTORS.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!((name(500), name(501)), (Some("isakmp"), None));
        assert!(is_strong(11_211) && !is_strong(4500));
        assert!([162, 514, 2055, 6343, 37_008].into_iter().all(is_one_way));
        assert!(!is_one_way(53) && !is_one_way(443));
        assert!((0..=u16::MAX).all(|port| !is_strong(port) || name(port).is_some()));
    }
}
