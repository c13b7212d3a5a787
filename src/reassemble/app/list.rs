//! All recognisers, and who of them is right.

use super::peek::{Confidence, IP, Peek, Recogniser, SCTP, TCP, UDP, Verdict, Wire};
use super::{
    access, ber, dns, ftp, hosts, industry, magic, mail, media, netbios, peers, routing, rpc, sip,
    stores, text, things, tpkt, vendors, vpn,
};
use crate::model::AppProto;

/// Every recogniser. Of equal confidence the first one counts.
#[rustfmt::skip]
const RECOGNISERS: &[Recogniser] = &[
    of(TCP | UDP, &[53, 5353, 5355], dns::recognise),
    of(TCP | UDP, &[22, 4222, 5672, 5900, 6346, 6789, 6881, 873, 9300, 10051], magic::recognise),
    of(UDP, &[443, 500, 4500], media::dtls),
    of(TCP | UDP, &[3478, 5349, 19302], media::stun),
    of(UDP, &[67, 68], hosts::dhcp),
    of(UDP, &[546, 547], hosts::dhcpv6),
    of(UDP, &[123], hosts::ntp),
    of(TCP, &[25, 465, 587], mail::smtp),
    of(TCP, &[143, 993], mail::imap),
    of(TCP, &[110, 995], mail::pop3),
    of(TCP, &[21], ftp::recognise),
    of(TCP | UDP, &[5060, 5061], sip::sip),
    of(TCP | UDP, &[554, 8554], sip::rtsp),
    of(UDP, &[137], netbios::names),
    of(UDP, &[138], netbios::datagrams),
    of(TCP, &[139, 445], netbios::smb),
    of(TCP, &[139], netbios::sessions),
    of(TCP | UDP, &[135], rpc::dce),
    of(TCP | UDP, &[111, 2049], rpc::onc),
    of(TCP | UDP, &[88, 464], ber::krb5),
    of(TCP | UDP, &[389, 3268], ber::ldap),
    of(TCP | UDP, &[161, 162], ber::snmp),
    of(TCP, &[102, 3389, 1720], tpkt::recognise),
    of(UDP, &[3389], tpkt::over_udp),
    of(UDP, &[1645, 1646, 1812, 1813, 3799], access::radius),
    of(TCP | SCTP, &[3868], access::diameter),
    of(TCP | UDP, &[514, 601], text::syslog),
    of(UDP, &[1900], text::ssdp),
    of(TCP, &[194, 6667, 8000], text::irc),
    of(TCP, &[5222, 5269], text::xmpp),
    of(TCP, &[23], text::telnet),
    of(TCP, &[6379], text::redis),
    of(TCP | UDP, &[11211], text::memcache),
    of(TCP, &[9418], text::git),
    of(TCP, &[1883], things::mqtt),
    of(UDP, &[5683], things::coap),
    of(TCP, &[5672], things::amqp),
    of(TCP, &[2775], things::smpp),
    of(TCP, &[6633, 6653], things::openflow),
    of(TCP, &[61616], magic::inside),
    of(TCP, &[502], industry::modbus),
    of(TCP | UDP, &[20000], industry::dnp3),
    of(TCP, &[2404], industry::iec104),
    of(TCP | UDP, &[2222, 44818], industry::enip),
    of(TCP, &[4840], industry::opcua),
    of(UDP, &[47808], industry::bacnet),
    of(TCP | UDP, &[3671], industry::knx),
    of(TCP | UDP, &[5094], industry::hart),
    of(TCP | UDP, &[30490], industry::someip),
    of(TCP, &[3306], stores::mysql),
    of(TCP, &[5432], stores::pgsql),
    of(TCP, &[27017], stores::mongodb),
    of(TCP, &[9042], stores::cassandra),
    of(TCP, &[1521], stores::oracle),
    of(TCP, &[1433], stores::tds),
    of(UDP, &[51820], vpn::wireguard),
    of(TCP | UDP, &[1194], vpn::openvpn),
    of(UDP, &[500, 4500], vpn::ike),
    of(UDP, &[4500], vpn::esp),
    of(TCP, &[1080], vpn::socks),
    of(UDP, &[1701], vpn::l2tp),
    of(UDP, &[6881], peers::dht),
    of(UDP, &[6881], peers::utp),
    of(TCP, &[4662], peers::edonkey),
    of(UDP, &[69], peers::tftp),
    of(TCP, &[179], routing::bgp),
    of(UDP, &[3784, 4784], routing::bfd),
    of(UDP, &[1985, 2029], routing::hsrp),
    of(UDP, &[520, 521], routing::rip),
    of(TCP | UDP, &[4342], routing::lisp),
    of(UDP, &[5351], routing::nat_pmp),
    of(UDP, &[2123, 2152, 3386], routing::gtp),
    of(UDP, &[2055, 4739, 6343, 9995], routing::export),
    of(UDP, &[25826], vendors::collectd),
    of(TCP | UDP, &[17500], vendors::dropbox),
    of(UDP, &[64738], vendors::mumble),
    of(UDP, &[2002], vendors::roughtime),
    of(UDP, &[427], vendors::svrloc),
    of(TCP, &[548], vendors::afp),
    of(UDP, &[5246, 5247], vendors::capwap),
    of(TCP, &[8009], vendors::ajp),
    of(TCP, &[514], vendors::rsh),
    of(TCP, &[4899], vendors::radmin),
    of(UDP, &[1234], vendors::mpeg_ts),
    of(TCP, &[1935], vendors::rtmp),
    of(UDP, &[8801], vendors::zoom),
    of(TCP, &[3724, 4000, 4070, 18080], vendors::greeting),
    of(UDP, &[41641], vendors::tailscale),
    of(TCP, &[2000], media::skinny),
    of(UDP, &[50001], media::discord),
    of(UDP, &[], media::rtcp),
    of(UDP, &[], media::rtp),
    of(IP | SCTP, &[], routing::carried),
];

const fn of(wires: u8, ports: &'static [u16], recognise: fn(&Peek<'_>) -> Verdict) -> Recogniser {
    Recogniser {
        wires,
        ports,
        recognise,
    }
}

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

/// Asks those whose usual port it is, then all others; those in `out` are not asked.
pub(super) fn find(peek: &Peek<'_>, out: &mut Out) -> Finding {
    let mut waits = false;
    for usual in [true, false] {
        let mut best: Option<(AppProto, Confidence)> = None;
        for (n, r) in RECOGNISERS.iter().enumerate() {
            let here = r.ports.iter().any(|&port| peek.has_port(port));
            if here != usual || *out >> n & 1 == 1 || !r.is_for(peek.transport) {
                continue;
            }
            match (r.recognise)(peek) {
                Verdict::Is(proto, sure) if best.is_none_or(|b| b.1 < sure) => {
                    best = Some((proto, sure));
                }
                Verdict::Is(..) => {}
                Verdict::More => waits = true,
                Verdict::No if peek.transport == Wire::Tcp => *out |= 1 << n,
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
