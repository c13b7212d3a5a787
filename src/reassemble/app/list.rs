//! All recognisers, and who of them is right.

use super::peek::{Confidence, Heads, IP, Peek, Recogniser, SCTP, TCP, UDP, Verdict, Wire};
use super::{
    access, ber, dns, ftp, hosts, http, http2, industry, magic, mail, media, netbios, peers, quic,
    routing, rpc, sip, stores, text, things, tls, tpkt, vendors, vpn,
};
use crate::model::AppProto;

/// Every recogniser. Of equal confidence the first one counts.
#[rustfmt::skip]
const RECOGNISERS: &[Recogniser] = &[
    of(TCP, &[80, 8080], span(b'A', b'Z'), http::recognise),
    of(TCP, &[443], span(20, 24).and(0x80, 0xff), tls::recognise),
    of(UDP, &[443], span(8, 13).and(0x80, 0xff), quic::recognise),
    of(TCP, &[], span(0, 0), http2::recognise),
    of(TCP | UDP, &[53, 5353, 5355], ANY, dns::recognise),
    of(TCP | UDP, &[22, 4222, 5672, 5900, 6346, 6789, 6881, 873, 9300, 10051], magic::HEADS, magic::recognise),
    of(UDP, &[443, 500, 4500], span(20, 25), media::dtls),
    of(TCP | UDP, &[3478, 5349, 19302], span(0, 1), media::stun),
    of(UDP, &[67, 68], span(1, 2), hosts::dhcp),
    only(UDP, &[546, 547], span(1, 13), hosts::dhcpv6),
    of(UDP, &[123], span(8, 39).and(72, 103).and(136, 167).and(200, 231), hosts::ntp),
    of(TCP, &[25, 465, 587], text(b"12345EHLMR"), mail::smtp),
    of(TCP, &[143, 993], span(b'0', b'9').and(b'A', b'Z').and(b'a', b'z').and(b'*', b'.'), mail::imap),
    of(TCP, &[110, 995], text(b"+-"), mail::pop3),
    of(TCP, &[21], text(b"12345UPFSOHECATRL"), ftp::recognise),
    of(TCP | UDP, &[5060, 5061], text(b"IABCORPSNMU\r\n "), sip::sip),
    of(TCP | UDP, &[554, 8554], text(b"ODASPTGR"), sip::rtsp),
    only(UDP, &[137], ANY, netbios::names),
    only(UDP, &[138], span(0x10, 0x16), netbios::datagrams),
    of(TCP, &[139, 445], text(b"\x00\x81\x82"), netbios::smb),
    of(TCP, &[139], span(0x81, 0x83), netbios::sessions),
    of(TCP | UDP, &[135], span(4, 5), rpc::dce),
    of(TCP, &[111, 2049], span(0x80, 0x80), rpc::onc),
    of(UDP, &[111, 2049], ANY, rpc::onc),
    of(TCP | UDP, &[88, 464], span(0, 8).and(0x6a, 0x7e), ber::krb5),
    of(TCP | UDP, &[389, 3268], span(0x30, 0x30), ber::ldap),
    of(TCP | UDP, &[161, 162], span(0x30, 0x30), ber::snmp),
    of(TCP, &[102, 3389, 1720], span(3, 3), tpkt::recognise),
    only(UDP, &[3389], ANY, tpkt::over_udp),
    of(UDP, &[1645, 1646, 1812, 1813, 3799], span(1, 13).and(40, 45), access::radius),
    of(TCP | SCTP, &[3868], span(1, 1), access::diameter),
    of(TCP | UDP, &[514, 601], span(b'0', b'9').and(b'<', b'<'), text::syslog),
    of(UDP, &[1900], text(b"MNH"), text::ssdp),
    of(TCP, &[194, 6667, 8000], text(b"NCU:"), text::irc),
    of(TCP, &[5222, 5269], text(b"<"), text::xmpp),
    of(TCP, &[23], span(0xff, 0xff), text::telnet),
    of(TCP, &[6379], text(b"*"), text::redis),
    of(TCP, &[11211], text(b"\x80\x81GSAIDTVMNEC"), text::memcache),
    only(UDP, &[11211], ANY, text::memcache),
    of(TCP, &[3333, 14444], text(b"{"), text::stratum),
    of(TCP, &[9418], span(b'0', b'9').and(b'A', b'F').and(b'a', b'f'), text::git),
    of(TCP, &[1883], span(0x10, 0x70).and(0xc0, 0xd0), things::mqtt),
    of(UDP, &[5683], span(0x40, 0x78), things::coap),
    of(TCP, &[5672], span(1, 1), things::amqp),
    of(TCP, &[2775], span(0, 0), things::smpp),
    only(TCP, &[6633, 6653], span(1, 6), things::openflow),
    of(TCP, &[61616], span(0, 0), magic::inside),
    of(TCP, &[502], ANY, industry::modbus),
    of(TCP | UDP, &[20000], span(5, 5), industry::dnp3),
    of(TCP, &[2404], span(0x68, 0x68), industry::iec104),
    of(TCP | UDP, &[2222, 44818], span(4, 4).and(0x63, 0x70), industry::enip),
    of(TCP, &[4840], text(b"HAEORCM"), industry::opcua),
    of(UDP, &[47808], span(0x81, 0x82), industry::bacnet),
    of(TCP | UDP, &[3671], span(6, 6), industry::knx),
    only(TCP | UDP, &[5094, 5095], span(1, 2), industry::hart),
    of(TCP | UDP, &[30490], ANY, industry::someip),
    of(TCP, &[3306], ANY, stores::mysql),
    of(TCP, &[5432], text(b"\0R"), stores::pgsql),
    of(TCP, &[27017], ANY, stores::mongodb),
    of(TCP, &[9042], span(3, 5).and(0x83, 0x85), stores::cassandra),
    of(TCP, &[1521], span(0, 0x1f), stores::oracle),
    of(TCP, &[1433], span(1, 0x12), stores::tds),
    of(UDP, &[51820], span(1, 4), vpn::wireguard),
    of(TCP, &[1194], span(0, 0), vpn::openvpn),
    of(UDP, &[1194], text(b"\x38\x40\x50"), vpn::openvpn),
    of(UDP, &[500, 4500], ANY, vpn::ike),
    only(UDP, &[4500], ANY, vpn::esp),
    of(TCP, &[1080], span(4, 5), vpn::socks),
    of(UDP, &[1701], span(0xc8, 0xc8), vpn::l2tp),
    of(UDP, &[6881], text(b"d"), peers::dht),
    of(UDP, &[6881], text(b"\x01\x11\x21\x31\x41"), peers::utp),
    of(TCP, &[4662], text(b"\xe3\xc5"), peers::edonkey),
    of(UDP, &[69], span(0, 0), peers::tftp),
    of(TCP, &[179], span(0xff, 0xff), routing::bgp),
    only(UDP, &[3784, 3785, 4784], ANY, routing::bfd),
    only(UDP, &[1985, 2029], span(0, 4), routing::hsrp),
    only(UDP, &[520, 521], span(1, 2), routing::rip),
    only(TCP | UDP, &[4342], ANY, routing::lisp),
    only(UDP, &[5350, 5351], span(0, 2), routing::nat_pmp),
    only(UDP, &[2123, 2152, 3386], ANY, routing::gtp),
    of(UDP, &[2055, 4739, 6343, 9995], span(0, 0), routing::export),
    of(UDP, &[25826], text(b"\0\x02"), vendors::collectd),
    only(TCP | UDP, &[17500], ANY, vendors::dropbox),
    of(UDP, &[64738], span(0, 0), vendors::mumble),
    of(UDP, &[2002], span(2, 16), vendors::roughtime),
    only(UDP, &[427], span(1, 2), vendors::svrloc),
    of(TCP, &[548], span(0, 1), vendors::afp),
    only(UDP, &[5246, 5247], span(0, 1), vendors::capwap),
    of(TCP, &[8009], text(b"\x12\x41"), vendors::ajp),
    only(TCP, &[514], ANY, vendors::rsh),
    only(TCP, &[4899], span(1, 1), vendors::radmin),
    of(UDP, &[1234], span(0x47, 0x47), vendors::mpeg_ts),
    of(TCP, &[1935], span(3, 3), vendors::rtmp),
    of(UDP, &[8801, 8802, 8803, 8810], text(b"\x01\x02\x1f"), vendors::zoom),
    of(TCP, &[3724, 4000, 4070, 18080], text(b"\x000N\x01"), vendors::greeting),
    of(UDP, &[41641], text(b"T"), vendors::tailscale),
    only(TCP, &[2000], ANY, media::skinny),
    of(UDP, &[50001], text(b"\0\x13"), media::discord),
    of(UDP, &[], span(0x80, 0xbf), media::rtcp),
    of(UDP, &[], span(0x80, 0xbf), media::rtp),
    of(IP | SCTP, &[], ANY, routing::carried),
];

const ANY: Heads = Heads::span(0, 255);

/// First octets from one to another one, both included.
const fn span(from: u8, to: u8) -> Heads {
    Heads::span(from, to)
}

/// First octets that are one of these; of letters whatever their case.
const fn text(octets: &[u8]) -> Heads {
    Heads::text(octets)
}

/// One that is asked first on these ports.
const fn of(
    wires: u8,
    ports: &'static [u16],
    heads: Heads,
    recognise: fn(&Peek<'_>) -> Verdict,
) -> Recogniser {
    Recogniser {
        wires,
        ports,
        elsewhere: true,
        heads,
        recognise,
    }
}

/// One that is asked on these ports alone.
const fn only(
    wires: u8,
    ports: &'static [u16],
    heads: Heads,
    recognise: fn(&Peek<'_>) -> Verdict,
) -> Recogniser {
    Recogniser {
        wires,
        ports,
        elsewhere: false,
        heads,
        recognise,
    }
}

/// Recognisers as bits: who is for a transport, for a first octet, who is asked beside its ports.
struct Index {
    wires: [Out; 4],
    heads: [Out; 256],
    elsewhere: Out,
    /// Of each port where its recognisers are in `usual`.
    ports: [u8; 1 << 16],
    usual: [Out; 256],
}

const fn index() -> Index {
    let mut index = Index {
        wires: [0; 4],
        heads: [0; 256],
        elsewhere: 0,
        ports: [0; 1 << 16],
        usual: [0; 256],
    };
    let (mut n, mut ports) = (0, 0);
    while n < RECOGNISERS.len() {
        let (r, bit) = (&RECOGNISERS[n], 1 << n);
        let mut i = 0;
        while i < 4 {
            if r.wires >> i & 1 == 1 {
                index.wires[i] |= bit;
            }
            i += 1;
        }
        i = 0;
        while i < 256 {
            if r.heads.has(i as u8) {
                index.heads[i] |= bit;
            }
            i += 1;
        }
        if r.elsewhere {
            index.elsewhere |= bit;
        }
        i = 0;
        while i < r.ports.len() {
            let port = r.ports[i] as usize;
            if index.ports[port] == 0 {
                ports += 1;
                assert!(ports < 256, "more ports than an octet counts");
                index.ports[port] = ports as u8;
            }
            index.usual[index.ports[port] as usize] |= bit;
            i += 1;
        }
        n += 1;
    }
    index
}

static INDEX: Index = index();

/// Recognisers that said no.
pub(super) type Out = u128;

/// What all of them say.
pub(super) enum Finding {
    Is(AppProto, Confidence),
    /// Nobody knows it.
    None,
    /// Somebody wants more.
    More,
}

/// Asks those whose usual port it is, then all others; those in `out` are not asked, nor those that the first octets are nothing for.
pub(super) fn find(peek: &Peek<'_>, out: &mut Out) -> Finding {
    let is_stream = peek.transport == Wire::Tcp;
    let bit_of = |port: u16| INDEX.usual[usize::from(INDEX.ports[usize::from(port)])];
    let usual = bit_of(peek.src_port) | bit_of(peek.dst_port);
    let head = |bytes: &[u8]| bytes.first().map_or(0, |b| INDEX.heads[usize::from(*b)]);
    let heads = match is_stream {
        true => head(peek.first[0]) | head(peek.first[1]),
        false => head(peek.bytes()),
    };
    let asked = INDEX.wires[peek.transport.bit().trailing_zeros() as usize] & heads & !*out;
    let mut waits = false;
    for group in [asked & usual, asked & INDEX.elsewhere & !usual] {
        let mut best: Option<(AppProto, Confidence)> = None;
        let mut left = group;
        while left != 0 {
            let n = left.trailing_zeros();
            left &= left - 1;
            match (RECOGNISERS[n as usize].recognise)(peek) {
                Verdict::Is(proto, sure) if best.is_none_or(|b| b.1 < sure) => {
                    best = Some((proto, sure));
                }
                Verdict::Is(..) => {}
                Verdict::More => waits = true,
                Verdict::No if is_stream => *out |= 1 << n,
                Verdict::No => {}
            }
        }
        if let Some((proto, sure)) = best {
            return Finding::Is(proto, sure);
        }
        // nobody else is asked before the usual one knows
        if waits {
            break;
        }
    }
    match waits {
        true => Finding::More,
        false => Finding::None,
    }
}

const _: () = assert!(RECOGNISERS.len() <= 128, "one bit each");
