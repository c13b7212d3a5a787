#!/usr/bin/env python3
"""Seeds of the fuzz targets that read packets: a few generated conversations of each protocol, in the form of each target.

    fuzz/seeds.py [--port N] DIRECTORY [CAPTURE...]

Writes DIRECTORY/frames, packets (frames of a link type), app (segments and datagrams) and capture (a pcap file). Each CAPTURE (pcap,
microseconds) becomes seeds of the first two, too, 24 frames each. With
--port servers are on that port in place of their usual ones. Octets are made here, by the RFCs of the protocols; nothing is recorded.
"""
import argparse
import ipaddress
import struct
from pathlib import Path

ETHERNET, RAW, LINUX, LINUX2 = 1, 101, 113, 276


def checksum(octets):
    total = sum(struct.unpack(f">{(len(octets) + 1) // 2}H", octets + b"\0" * (len(octets) & 1)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(src, dst, proto, payload, offset=0, more=False, options=b"", tos=0):
    head = struct.pack(">BBHHHBBH4s4s", 0x45 + len(options) // 4, tos, 20 + len(options) + len(payload), 7, more << 13 | offset // 8, 64, proto, 0,
                       ipaddress.ip_address(src).packed, ipaddress.ip_address(dst).packed) + options
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ip6(src, dst, proto, payload):
    return struct.pack(">IHBB16s16s", 0x6000_0000, len(payload), proto, 64, ipaddress.ip_address(src).packed, ipaddress.ip_address(dst).packed) + payload


def udp(src, dst, payload):
    return struct.pack(">HHHH", src, dst, 8 + len(payload), 0) + payload


def tcp(src, dst, seq, ack, flags, payload=b"", options=b""):
    return struct.pack(">HHIIBBHHH", src, dst, seq, ack, 80 + 4 * len(options), flags, 8192, 0, 0)[:12] + bytes([(5 + len(options) // 4) << 4, flags]) \
        + struct.pack(">HHH", 8192, 0, 0) + options + payload


def ethernet(payload, kind=0x0800, tags=b""):
    return bytes.fromhex("020000000001020000000002") + tags + struct.pack(">H", kind) + payload


def text(*lines):
    return "\r\n".join([*lines, "", ""]).encode()


def name(dotted):
    return b"".join(bytes([len(part)]) + part.encode() for part in dotted.split(".")) + b"\0"


def block(width, octets):
    return len(octets).to_bytes(width, "big") + octets


def hello(server="www.example.org"):
    """A ClientHello (RFC 8446 section 4.1.2) in its record."""
    extensions = b"".join(struct.pack(">H", kind) + block(2, body) for kind, body in (
        (0, block(2, b"\0" + block(2, server.encode()))), (16, block(2, block(1, b"h2") + block(1, b"http/1.1"))), (43, block(1, b"\3\4\3\3")),
        (10, block(2, b"\0\x1d")), (13, block(2, b"\4\3\10\4"))))
    body = b"\3\3" + bytes(32) + block(1, b"") + block(2, b"\x13\1\x13\2\xc0\x2b") + block(1, b"\0") + block(2, extensions)
    return b"\x16\3\1" + block(2, b"\1" + block(3, body))


def server_hello():
    body = b"\3\3" + bytes(32) + block(1, b"") + b"\xc0\x2b\0" + block(2, struct.pack(">H", 16) + block(2, block(2, block(1, b"h2"))))
    return b"\x16\3\3" + block(2, b"\2" + block(3, body)) + b"\x16\3\3" + block(2, b"\x0b" + block(3, block(3, block(3, b"\x30\x03\2\1\1"))))


def dns(answer):
    question = name("www.example.org") + struct.pack(">HH", 1, 1)
    if not answer:
        return struct.pack(">HHHHHH", 9, 0x0100, 1, 0, 0, 0) + question
    return struct.pack(">HHHHHH", 9, 0x8180, 1, 1, 0, 0) + question + b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + bytes(4)


def rtp(number, kind=0):
    return struct.pack(">BBHII", 0x80, kind, number, 160 * number, 0x1234) + bytes(160)


def dnp3(link, user):
    """A frame of DNP3 (IEEE 1815 section 9.2): its header and each 16 octets behind it with their check sum."""
    def checked(octets):
        crc = 0
        for octet in octets:
            crc ^= octet
            for _ in range(8):
                crc = crc >> 1 ^ (0xA6BC if crc & 1 else 0)
        return octets + struct.pack("<H", ~crc & 0xFFFF)
    return checked(b"\x05\x64" + bytes([5 + len(user)]) + link) + b"".join(checked(user[at:at + 16]) for at in range(0, len(user), 16))


def der(tag, *parts):
    octets = b"".join(parts)
    return bytes([tag, len(octets)]) + octets


def krb5(kind):
    """A question for a ticket, or an error in its place (RFC 4120 sections 5.4.1, 5.9.1)."""
    realm, name = der(0x1B, b"EXAMPLE.ORG"), der(0x30, der(0xA0, b"\2\1\2"), der(0xA1, der(0x30, der(0x1B, b"krbtgt"), der(0x1B, b"EXAMPLE.ORG"))))
    time = der(0x18, b"20370913024805Z")
    head = der(0xA0 if kind == 30 else 0xA1, b"\2\1\5"), der(0xA1 if kind == 30 else 0xA2, b"\2\1" + bytes([kind]))
    if kind == 30:
        return der(0x7E, der(0x30, *head, der(0xA4, time), der(0xA5, b"\2\1\0"), der(0xA6, b"\2\1\x19"), der(0xA9, realm), der(0xAA, name)))
    body = der(0x30, der(0xA0, b"\3\5\0\0\0\0\0"), der(0xA2, realm), der(0xA3, name), der(0xA5, time), der(0xA7, b"\2\1\7"), der(0xA8, der(0x30, b"\2\1\x12")))
    return der(0x6A, b"\x30\x81" + bytes([len(b"".join(head)) + len(der(0xA4, body))]) + b"".join(head) + der(0xA4, body))


def ike(flags):
    """IKE_SA_INIT with a nonce (RFC 7296 sections 3.1, 3.9)."""
    nonce = b"\0\0\0\x24" + bytes(range(32))
    return b"\1\2\3\4\5\6\7\x08" + (bytes(8) if flags == 8 else b"\x08\7\6\5\4\3\2\1") + b"\x28\x20\x22" + bytes([flags]) + bytes(4) \
        + (28 + len(nonce)).to_bytes(4, "big") + nonce


def quic():
    """An Initial of version 1 (RFC 9000 section 17.2.2); what is in it does not decrypt."""
    return b"\xc3\0\0\0\1" + block(1, bytes(8)) + block(1, b"") + b"\0\x44\x96" + bytes(1174)


SDP = "v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 16384 RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\n"
BODY = "<html>hello</html>"
H2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000") + bytes.fromhex("00000d010500000001828684410777777761626364")[:22]

# protocol, port, is TCP, what is said: 1 by the client, 2 by the server
TALKS = [
    ("http", 80, True, [(1, text("GET /a HTTP/1.1", "Host: www.example.org", "User-Agent: x")), (2, text("HTTP/1.1 200 OK", f"Content-Length: {len(BODY)}") + BODY.encode())]),
    ("chunked", 80, True, [(1, text("GET / HTTP/1.1", "Host: a") * 2), (2, text("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", "Content-Encoding: gzip")
                            + b"14\r\n" + bytes.fromhex("1f8b0800000000000003cb48cdc9c907008696") + b"\r\n0\r\n\r\n")]),
    ("http2", 8080, True, [(1, H2), (2, bytes.fromhex("000000040000000000"))]),
    ("tls", 443, True, [(1, hello()), (2, server_hello()), (1, b"\x17\3\3\0\x05hello")]),
    ("dns", 53, False, [(1, dns(False)), (2, dns(True))]),
    ("dns-tcp", 53, True, [(1, block(2, dns(False))), (2, block(2, dns(True)))]),
    ("mdns", 5353, False, [(2, dns(True))]),
    ("quic", 443, False, [(1, quic()), (2, quic())]),
    ("ssh", 22, True, [(2, b"SSH-2.0-OpenSSH_9.2\r\n"), (1, b"SSH-2.0-x\r\n"), (1, block(4, b"\4\x14" + bytes(40)))]),
    ("smtp", 25, True, [(2, b"220 mx ESMTP\r\n"), (1, b"EHLO a\r\n"), (2, b"250-mx\r\n250 STARTTLS\r\n"), (1, b"MAIL FROM:<a@b>\r\n")]),
    ("imap", 143, True, [(2, b"* OK IMAP4rev1\r\n"), (1, b"a1 LOGIN u p\r\n"), (2, b"a1 OK done\r\n")]),
    ("pop3", 110, True, [(2, b"+OK POP3\r\n"), (1, b"USER u\r\n"), (2, b"+OK\r\n")]),
    ("ftp", 21, True, [(2, b"220 FTP\r\n"), (1, b"USER u\r\n"), (2, b"227 Entering Passive Mode (10,0,0,2,4,1)\r\n")]),
    ("sip", 5060, False, [(1, text("INVITE sip:b@c SIP/2.0", "Call-ID: 1", "CSeq: 1 INVITE", "Content-Type: application/sdp", f"Content-Length: {len(SDP)}") + SDP.encode()),
                          (2, text("SIP/2.0 200 OK", "Call-ID: 1", "CSeq: 1 INVITE", f"Content-Length: {len(SDP)}") + SDP.encode())]),
    ("rtcp", 16385, False, [(1, b"\x80\xc8\0\6" + bytes(24) + b"\x81\xca\0\2\0\0\0\1\1\1a\0"), (2, b"\x81\xc9\0\7" + bytes(28))]),
    ("rtp", 16384, False, [(1, rtp(n)) for n in (1, 2, 4, 3, 5)] + [(2, b"\x80\xc8\0\6" + bytes(24))]),
    ("stun", 3478, False, [(1, b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)), (2, b"\1\1\0\x0c\x21\x12\xa4\x42" + bytes(12) + b"\0\x20\0\x08\0\1" + bytes(6))]),
    ("smb", 445, True, [(1, block(4, b"\xfeSMB\x40\0" + bytes(58) + b"\x24\0\1\0")), (2, block(4, b"\xfeSMB\x40\0" + bytes(58) + b"\x41\0"))]),
    ("krb5", 88, False, [(1, krb5(10)), (2, krb5(30))]),
    ("ldap", 389, True, [(1, bytes.fromhex("300c020101600702010304008000")), (2, bytes.fromhex("300c02010161070a010004000400"))]),
    ("rdp", 3389, True, [(1, bytes.fromhex("030000130ee000000000000100080003000000")), (2, bytes.fromhex("030000130ed000001234000200080002000000"))]),
    ("snmp", 161, False, [(1, bytes.fromhex("302602010104067075626c6963a019020101020100020100300e300c06082b060102010101000500"))]),
    ("radius", 1812, False, [(1, b"\1\1\0\x1a" + bytes(16) + b"\1\6user"), (2, b"\2\1\0\x14" + bytes(16))]),
    ("syslog", 514, False, [(1, b"<34>Oct 11 22:14:15 host su: failed")]),
    ("dhcp", 67, False, [(1, b"\1\1\6\0" + bytes(232) + b"\x63\x82\x53\x63\x35\1\1\xff")]),
    ("ntp", 123, False, [(1, b"\x23" + bytes(47)), (2, b"\x24\1" + bytes(46))]),
    ("mqtt", 1883, True, [(1, bytes.fromhex("100d00044d5154540402003c000161")), (2, b"\x20\2\0\0"), (1, b"\x30\5\0\1ahi")]),
    ("modbus", 502, True, [(1, bytes.fromhex("000100000006010300000002")), (2, bytes.fromhex("00010000000701030400010002"))]),
    ("dnp3", 20000, True, [(1, dnp3(b"\xc4\1\0\2\0", b"\xc0\xc1\1\x3c\2\6")), (2, dnp3(b"\x44\2\0\1\0", b"\xc0\xc1\x81\0\0"))]),
    ("mysql", 3306, True, [(2, b"\x2e\0\0\0\x0a8.0.1\0" + bytes(39)), (1, b"\x20\0\0\1" + bytes(32))]),
    ("pgsql", 5432, True, [(1, block(4, b"")[:3] + b"\x17\0\3\0\0user\0u\0database\0d\0"), (2, b"R\0\0\0\x08\0\0\0\0")]),
    ("redis", 6379, True, [(1, b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"), (2, b"$1\r\nb\r\n")]),
    ("mongodb", 27017, True, [(1, struct.pack("<IIII", 41, 1, 0, 2013) + bytes(5) + b"\x14\0\0\0\x10ping\0\1\0\0\0\0" + bytes(3))]),
    ("bittorrent", 6881, True, [(1, b"\x13BitTorrent protocol" + bytes(48)), (2, b"\x13BitTorrent protocol" + bytes(48))]),
    ("wireguard", 51820, False, [(1, b"\1\0\0\0" + bytes(144)), (2, b"\2\0\0\0" + bytes(88))]),
    ("openvpn", 1194, False, [(1, b"\x38" + bytes(13)), (2, b"\x40" + bytes(25))]),
    ("ike", 500, False, [(1, ike(8)), (2, ike(0x20))]),
]


def packets(port, is_tcp, said, client=40_000):
    """Transport and who sent it, of a whole conversation."""
    if not is_tcp:
        for who, octets in said:
            yield who, udp(*((client, port) if who == 1 else (port, client)), octets)
        return
    seq = {1: 1000, 2: 9000}

    def segment(who, flags, octets=b""):
        ports = (client, port) if who == 1 else (port, client)
        made = tcp(*ports, seq[who], seq[3 - who] if flags & 16 else 0, flags, octets)
        seq[who] += len(octets) + (flags & 3 != 0)
        return who, made

    yield segment(1, 2)
    yield segment(2, 18)
    yield segment(1, 16)
    for who, octets in said:
        # in two segments, so that streams are put together
        half = len(octets) // 2
        yield segment(who, 24, octets[:half])
        yield segment(who, 24, octets[half:])
    yield segment(1, 17)
    yield segment(2, 17)


def wrapped():
    """Frames of all that a frame can be: link type and octets."""
    inner = ip4("10.0.0.1", "10.0.0.2", 17, udp(40_000, 53, dns(False)))
    frame = ethernet(inner)
    yield "vlan", [(ETHERNET, ethernet(inner, tags=b"\x88\xa8\0\7\x81\0\0\x2a"))]
    yield "mpls", [(ETHERNET, ethernet(struct.pack(">II", 16 << 12 | 0xFF, 17 << 12 | 0x1FF) + inner, 0x8847)),
                   (ETHERNET, ethernet(struct.pack(">I", 18 << 12 | 0x1FF) + bytes(4) + frame, 0x8847))]
    yield "pppoe", [(ETHERNET, ethernet(b"\x11\0\0\1" + block(2, b"\0\x21" + inner), 0x8864))]
    yield "raw", [(RAW, inner), (RAW, ip6("2001:db8::1", "2001:db8::2", 0, b"\x2c\0\1\4\0\0\0\0\x11\0\0\0\0\0\0\1" + udp(1, 53, dns(True))))]
    yield "cooked", [(LINUX, b"\0\0\0\1\0\6" + bytes(8) + b"\x08\0" + inner), (LINUX2, b"\x08\0" + bytes(2) + bytes(16) + inner)]
    yield "gre", [(ETHERNET, ethernet(ip4("1.1.1.1", "2.2.2.2", 47, b"\0\0\x08\0" + inner))), (ETHERNET, ethernet(ip4("1.1.1.1", "2.2.2.2", 47, b"\x20\0\x65\x58\0\0\0\5" + frame))),
                  (ETHERNET, ethernet(ip4("1.1.1.1", "2.2.2.2", 47, b"\x10\0\x88\xbe\0\0\0\1\x10\x01\0\1\0\0\0\0" + frame)))]
    yield "ipip", [(ETHERNET, ethernet(ip4("1.1.1.1", "2.2.2.2", 4, inner))), (ETHERNET, ethernet(ip4("1.1.1.1", "2.2.2.2", 41, ip6("::1", "::2", 17, udp(1, 2, b"x")))))]
    for port, head in ((4789, b"\x08\0\0\0\0\0\x2a\0"), (6081, b"\0\0\x65\x58\0\0\x2a\0")):
        yield f"udp{port}", [(ETHERNET, ethernet(ip4("1.1.1.1", "2.2.2.2", 17, udp(999, port, head + frame))))]
    yield "gtp", [(ETHERNET, ethernet(ip4("1.1.1.1", "2.2.2.2", 17, udp(2152, 2152, b"\x30\xff" + block(2, b"\0\0\0\7" + inner)[:2] + b"\0\0\0\7" + inner))))]
    yield "teredo", [(ETHERNET, ethernet(ip4("1.1.1.1", "2.2.2.2", 17, udp(3544, 3544, ip6("2001:0:1::1", "2001:db8::2", 17, udp(1, 2, b"x"))))))]
    whole = udp(40_000, 53, dns(True) + bytes(64))
    yield "fragments", [(ETHERNET, ethernet(ip4("10.0.0.2", "10.0.0.1", 17, whole[:64], 0, True))), (ETHERNET, ethernet(ip4("10.0.0.2", "10.0.0.1", 17, whole[64:], 64)))]
    yield "overlap", [(ETHERNET, ethernet(ip4("10.0.0.2", "10.0.0.1", 17, whole[64:], 64))), (ETHERNET, ethernet(ip4("10.0.0.2", "10.0.0.1", 17, whole[:72], 0, True)))]
    yield "fragments6", [(RAW, ip6("::1", "::2", 44, b"\x11\0\0\1\0\0\0\7" + whole[:64])), (RAW, ip6("::1", "::2", 44, b"\x11\0\0\x40\0\0\0\7" + whole[64:]))]
    yield "options", [(RAW, ip4("10.0.0.1", "10.0.0.2", 1, b"\x08\0\0\0\0\1\0\1abcd", options=b"\x94\4\0\0", tos=0xB9))]
    yield "icmp", [(RAW, ip4("10.0.0.1", "10.0.0.2", 1, b"\3\3\0\0\0\0\0\0" + inner[:28])), (RAW, ip6("::1", "::2", 58, b"\x87\0\0\0\0\0\0\0" + bytes(16)))]
    yield "sctp", [(RAW, ip4("10.0.0.1", "10.0.0.2", 132, struct.pack(">HHII", 1, 2, 3, 0) + b"\0\3\0\x14" + bytes(12) + b"data"))]
    yield "arp", [(ETHERNET, ethernet(b"\0\1\x08\0\6\4\0\1" + bytes(20), 0x0806))]


def framed(frames):
    """Frames as the targets take them: link type, time since the one before, length, octets."""
    out = b""
    for link, octets in frames:
        octets = octets[:2047]
        out += bytes([link >> 8 | len(octets) >> 8 << 1, link & 255, 1, len(octets) & 255]) + octets
    return out


def spoken(port, is_tcp, said):
    out = b""
    for who, octets in said:
        step = 255 if is_tcp else 2047
        for at in range(0, len(octets), step):
            part = octets[at:at + step]
            what = (who == 2) << 2 | (not is_tcp) << 3
            out += bytes([what, 0 if is_tcp else len(part) >> 8]) + struct.pack(">H", port) + bytes([len(part) & 255]) + part
    return out


def pcap(frames):
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, ETHERNET)
    for n, (_, octets) in enumerate(frames):
        out += struct.pack("<IIII", 1_700_000_000, n, len(octets), len(octets)) + octets
    return out


def recorded(path):
    """Frames of a pcap file, either byte order; nothing of another kind of file."""
    octets = path.read_bytes()
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}.get(octets[:4])
    if order is None:
        return
    link, = struct.unpack_from(order + "I", octets, 20)
    at = 24
    while link < 512 and at + 16 <= len(octets):
        kept, = struct.unpack_from(order + "I", octets, at + 8)
        yield link, octets[at + 16:at + 16 + kept]
        at += 16 + kept


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int)
    arguments.add_argument("directory", type=Path)
    arguments.add_argument("captures", nargs="*", type=Path)
    given = arguments.parse_args()
    root = given.directory
    targets = {kind: root / kind for kind in ("frames", "packets", "app", "capture")}
    for directory in targets.values():
        directory.mkdir(parents=True, exist_ok=True)

    def write(stem, frames):
        for kind in ("frames", "packets"):
            (targets[kind] / stem).write_bytes(framed(frames))

    for stem, port, is_tcp, said in TALKS:
        port = given.port or port
        proto = 6 if is_tcp else 17
        ends = {1: ("10.0.0.1", "10.0.0.2"), 2: ("10.0.0.2", "10.0.0.1")}
        frames = [(ETHERNET, ethernet(ip4(*ends[who], proto, octets))) for who, octets in packets(port, is_tcp, said)]
        write(stem, frames)
        (targets["app"] / stem).write_bytes(b"\3" + spoken(port, is_tcp, said))
        (targets["capture"] / stem).write_bytes(pcap(frames))
    for stem, frames in wrapped():
        write(stem, frames)
    for path in given.captures:
        frames = list(recorded(path))
        for at in range(0, min(len(frames), 72), 24):
            write(f"{path.name}.{at}", frames[at:at + 24])


if __name__ == "__main__":
    main()
