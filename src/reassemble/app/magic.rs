//! Protocols that begin with octets nobody else begins with: at least four of them, in a table.

use super::octets::{begins, either};
use super::peek::{Confidence, Heads, Peek, Verdict, Wire};
use crate::model::AppProto;

struct Magic {
    proto: AppProto,
    wire: Wire,
    begins: &'static [u8],
}

const fn tcp(proto: AppProto, begins: &'static [u8]) -> Magic {
    magic(proto, Wire::Tcp, begins)
}

const fn udp(proto: AppProto, begins: &'static [u8]) -> Magic {
    magic(proto, Wire::Udp, begins)
}

const fn magic(proto: AppProto, wire: Wire, begins: &'static [u8]) -> Magic {
    assert!(begins.len() >= 4, "fewer octets say nothing");
    Magic {
        proto,
        wire,
        begins,
    }
}

/// The first that fits.
pub(super) fn recognise(peek: &Peek<'_>) -> Verdict {
    let mut waits = false;
    for m in MAGICS.iter().filter(|m| m.wire == peek.transport) {
        match either(peek, m.proto, Confidence::SURE, |b| begins(b, m.begins)) {
            Verdict::No => {}
            Verdict::More => waits = true,
            is => return is,
        }
    }
    match waits {
        true => Verdict::More,
        false => Verdict::No,
    }
}

/// The length of a message is unknown octets before the magic.
pub(super) fn inside(peek: &Peek<'_>) -> Verdict {
    for m in INSIDE.iter().filter(|m| m.1.wire == peek.transport) {
        let check = |b: &[u8]| b.get(m.0..).and_then(|rest| begins(rest, m.1.begins));
        match either(peek, m.1.proto, Confidence::SURE, check) {
            Verdict::No => {}
            said => return said,
        }
    }
    Verdict::No
}

/// First octets of all of them.
pub(super) const HEADS: Heads = {
    let (mut heads, mut n) = (Heads::text(b""), 0);
    while n < MAGICS.len() {
        let first = MAGICS[n].begins[0];
        heads = heads.and(first, first);
        n += 1;
    }
    heads
};

const MAGICS: &[Magic] = &[
    // RFC 4253 section 4.2
    tcp(AppProto::Ssh, b"SSH-2.0-"),
    tcp(AppProto::Ssh, b"SSH-1."),
    // RFC 6143 section 7.1.1
    tcp(AppProto::Rfb, b"RFB 00"),
    // rsync: clientserver.c, exchange_protocols
    tcp(AppProto::Rsync, b"@RSYNCD: "),
    // BEP 3, "peer protocol"
    tcp(AppProto::Bittorrent, b"\x13BitTorrent protocol"),
    // AMQP 0-9-1 section 4.2.2, AMQP 1.0 section 2.2
    tcp(AppProto::Amqp, b"AMQP\x00\x00\x09\x01"),
    tcp(AppProto::Amqp, b"AMQP\x01\x01"),
    tcp(AppProto::Amqp, b"AMQP\x00\x01\x00\x00"),
    tcp(AppProto::Amqp, b"AMQP\x02\x01\x00\x00"),
    tcp(AppProto::Amqp, b"AMQP\x03\x01\x00\x00"),
    // CORBA 3.3 part 2 sections 9.4, 11.3
    tcp(AppProto::Giop, b"GIOP\x01"),
    udp(AppProto::Giop, b"MIOP\x10"),
    // X Window System Protocol section 8: setup of a client, version 11, either order of octets
    tcp(AppProto::X11, b"l\x00\x0b\x00\x00\x00"),
    tcp(AppProto::X11, b"B\x00\x00\x0b\x00\x00"),
    // NATS client protocol: INFO, CONNECT
    tcp(AppProto::Nats, b"INFO {\""),
    tcp(AppProto::Nats, b"CONNECT {\""),
    // ceph: messages of msgr v1 and v2
    tcp(AppProto::Ceph, b"ceph v0"),
    tcp(AppProto::Ceph, b"ceph v2\n"),
    // PROXY protocol sections 2.1, 2.2
    tcp(AppProto::Haproxy, b"PROXY TCP"),
    tcp(AppProto::Haproxy, b"PROXY UNKNOWN"),
    tcp(AppProto::Haproxy, b"\r\n\r\n\0\r\nQUIT\n"),
    // Zabbix: protocol header
    tcp(AppProto::Zabbix, b"ZBXD\x01"),
    tcp(AppProto::Zabbix, b"ZBXD\x03"),
    // Checkmk agent: the first section
    tcp(AppProto::Checkmk, b"<<<check_mk>>>"),
    // Elasticsearch: transport header, TcpHeader
    tcp(AppProto::Elasticsearch, b"ES\0\0"),
    // draft-ietf-ntp-roughtime section 5: header of a packet
    udp(AppProto::Roughtime, b"ROUGHTIM"),
    // DNSCrypt protocol section 5: resolver magic of answers
    udp(AppProto::Dnscrypt, b"r6fnvWj8"),
    // BEP 5: queries, answers and errors of DHT nodes; keys of a dictionary are sorted
    udp(AppProto::Bittorrent, b"d1:ad2:id20:"),
    udp(AppProto::Bittorrent, b"d1:rd2:id20:"),
    udp(AppProto::Bittorrent, b"d1:eli20"),
    udp(AppProto::Bittorrent, b"d2:ip6:"),
    udp(AppProto::Bittorrent, b"d2:ip18:"),
    // BEP 14, BEP 15: local discovery, connect request of trackers
    udp(AppProto::Bittorrent, b"BT-SEARCH * HTTP/1.1\r\n"),
    udp(
        AppProto::Bittorrent,
        b"\x00\x00\x04\x17\x27\x10\x19\x80\x00\x00\x00\x00",
    ),
    // Steam: local discovery, remote play; Source engine queries
    udp(AppProto::Steam, b"\xff\xff\xff\xff\x21\x4c\x5f\xa0"),
    udp(AppProto::Steam, b"\xff\xff\xff\xffTSource Engine Query\0"),
    udp(AppProto::Steam, b"VS01"),
    // Cassandra: messages between nodes
    tcp(AppProto::Cassandra, b"\xca\x55\x2d\xfa"),
    // WhatsApp before it used TLS: version of the stream
    tcp(AppProto::Whatsapp, b"WA\x01\x05\x00\x00"),
    // Nintendo's sessions between consoles
    udp(AppProto::Nintendo, b"\x32\xab\x98\x64"),
    // FastCGI section 8: begin request, responder
    tcp(
        AppProto::Fastcgi,
        b"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01",
    ),
];

/// Where, and what.
const INSIDE: &[(usize, Magic)] = &[
    // OpenWire: WIREFORMAT_INFO behind the length of the message
    (5, tcp(AppProto::Openwire, b"ActiveMQ")),
];

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{is_tcp, is_udp, more_tcp, not_tcp, not_udp};
    use super::*;

    #[test]
    fn each_is_known_and_its_cuts_are_not() {
        for m in MAGICS {
            match m.wire {
                Wire::Tcp => is_tcp(recognise, [m.begins, b""], m.proto),
                _ => is_udp(recognise, m.begins, m.proto),
            }
            let mut near = m.begins.to_vec();
            *near.last_mut().expect("four") ^= 0x80;
            match m.wire {
                Wire::Tcp => not_tcp(recognise, &near),
                _ => not_udp(recognise, &near),
            }
        }
    }

    #[test]
    fn either_side_may_begin() {
        is_tcp(recognise, [b"", b"SSH-2.0-OpenSSH_9.2\r\n"], AppProto::Ssh);
        is_tcp(
            recognise,
            [b"RFB 003.008\n", b"RFB 003.008\n"],
            AppProto::Rfb,
        );
        more_tcp(recognise, [b"SS", b""]);
        not_tcp(recognise, b"SSL");
        not_udp(recognise, b"SSH-2.0-");
    }

    #[test]
    fn behind_a_length() {
        is_tcp(
            inside,
            [b"\0\0\0\xfa\x01ActiveMQ\0\0\0\x0c", b""],
            AppProto::Openwire,
        );
        not_tcp(inside, b"\0\0\0\xfa\x01ActiveNO");
    }
}
