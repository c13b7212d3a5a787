#!/usr/bin/env python3
"""Writes taken.pcap: first words of conversations on odd and on usual ports, by which it is decided what is spoken; frames of HTTP/2; values of ASN.1; packets
that carry others. One client 10.9.H.N each.

taken.rules asks for them: each protocol, and what else is new there. How often each rule alerts is in taken.json: recorded from Suricata 7.0.10
(`taken.py EVE.JSON`, with `suricata -r taken.pcap -S taken.rules` and the settings of `tests/differential/invent.py`, which switch all its protocols on).
"""
import json
import struct
import sys

from make import HERE, Session, ip, udp, write

SERVER = "198.51.100.9"
C, S = 0, 1
cases = []


def t(*said, port=9876):
    cases.append((said, port, True))


def u(*said, port=9876):
    cases.append((said, port, False))


# words of clients
for word in (
    "USER a", "pass a", "PORT 1,2,3,4,5,6", "EPRT |1|1.1.1.1|44|", "FEAT", "AUTH TLS", "SYST", "EHLO a", "helo a", "QUIT", "MAIL FROM:<a@b>", "NICK abc",
    "USER abc 0 * :real", "1 capability", "1 CAPABILITY", "a1 LOGIN a b", "GET / HTTP/1.1", "get\t/", "OPTIONS rtsp://a/ RTSP/1.0", "CONNECT {}",
    "NOTIFY / HTTP/1.1", "FOO / HTTP/1.1", "SSH-2.0-x", "RFB 003.008", "hello world this is long",
):
    t((C, word.encode() + b"\r\n"), (S, b"nope nope nope\r\n"))
    t((C, word.encode() + b"\r\n"), (S, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
# and of servers
for word in ("220 hello", "220 (x)", "220 x ESMTP", "220 FTP", "* OK IMAP4rev1", "+OK ready", "HTTP/0.9 200", "http/1.0 200", "HTTP/1.2 200", "RFB 003.008", "SSH-1.99-x"):
    t((S, word.encode() + b"\r\n"))
    t((S, word.encode() + b"\r\n"), (C, b"USER a\r\n"), (S, b"331 ok\r\n"))
    t((S, word.encode() + b"\r\n"), (C, b"EHLO a\r\n"), (S, b"250 ok\r\n"))
# TLS
HELLO = bytes.fromhex("16030100310100002d0303") + bytes(32) + bytes.fromhex("00000213010100000200")
for minor in range(5):
    t((C, bytes([22, 3, minor]) + HELLO[3:]))
    t((S, bytes([22, 3, minor]) + b"\0\x04\2\0\0\0"))
t((C, b"\x17\3\3\0\4abcd"), (S, b"\x17\3\3\0\4abcd"))
t((C, b"\x15\3\3\0\2\2\x28"))
# SMB and DCE/RPC
t((C, struct.pack(">I", 46) + b"\xffSMBr" + bytes(27) + b"\0\x0c\0\x02NT LM 0.12\0"))
t((C, struct.pack(">I", 100) + b"\xfeSMB\x40\0" + bytes(94)))
BIND = b"\5\0\x0b\3\x10\0\0\0" + struct.pack("<HHI", 72, 0, 1) + struct.pack("<HHIBBH", 4280, 4280, 0, 1, 0, 0) + struct.pack("<HBB", 0, 1, 0) + bytes(44)
t((C, BIND))
t((C, b"\5\1" + BIND[2:]))
t((C, b"\5\0zz" + b"foo" * 30))
u((C, b"\4\0\x28\0\x10\0\0\0" + bytes(72)))
u((C, b"\4\2\x28\0\x10\0\0\0" + bytes(72)))
u((C, b"\4\0\x08\x63\x10\0\0\0" + bytes(72)))
# what is looked for on its ports
QUERY = bytes.fromhex("12340100000100000000000003777777076578616d706c6503636f6d0000010001")
MODBUS = b"\0\1\0\0\0\6\1\3\0\0\0\1"
SNMP = bytes.fromhex("302902010104067075626c6963a01c020401020304020100020100300e300c06082b060102010101000500")
KERBEROS = bytes.fromhex("7e0c300aa003020105a10302011e")
DHCP = b"\1\1\6\0" + bytes(232) + bytes.fromhex("63825363350101ff")
INVITE = b"INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP x\r\n\r\n"
IKE = bytes(range(1, 9)) + bytes(8) + b"\x21\x20\x22\x08\0\0\0\0\0\0\0\x28\0\0\0\x0c" + bytes(8)
QUIC = b"\xc0\0\0\0\1\x08abcdefgh\0\0\x44\x9e" + bytes(1182)
for port in (53, 5353, 9876):
    u((C, QUERY), port=port)
    t((C, struct.pack(">H", len(QUERY)) + QUERY), port=port)
for bytes_, ports in (
    (SNMP, (161, 162, 9876)), (KERBEROS, (88, 9876)), (DHCP, (67, 9876)), (b"foo" * 100, (67, 69, 123)), (INVITE, (5060, 5061, 9876)),
    (INVITE.replace(b"INVITE", b"FOO"), (5060,)), (b"\0\1file\0octet\0", (69, 9876)), (IKE, (500, 4500, 9876)), (QUIC, (443, 80, 9876)),
    (b"hello world this is long", (443, 53, 5060)), (b"\x1b" + bytes(47), (123, 9876)), (b"\x13" + bytes(47), (123,)),
    (b"d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe", (9876,)),
):
    for port in ports:
        u((C, bytes_), port=port)
u((S, SNMP), port=161)
u((S, b"SIP/2.0 200 OK\r\n\r\n"), port=5060)
for bytes_, ports in (
    (MODBUS, (502, 9876)), (b"\x30\5\0\1abb", (1883, 9876)), (b"\x10\x10\0\4MQTT\4\2\0\x3c\0\4abcd", (1883, 9876)), (b"hello\r\n", (23, 502)),
    (b"\x05\x64\x05\xc0\x01\x00\x00\x04\xe9\x21", (20000, 9876)), (b"\0\0\0\x08\x04\xd2\x16\x2f", (5432, 9876)), (INVITE, (5060,)), (SNMP, (161,)),
):
    for port in ports:
        t((C, bytes_), port=port)


# HTTP/2
def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def settings(*pairs):
    return frame(4, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


BLOCK = b"\x82\x86\x84\x41\x0fwww.example.com"
t(
    (C, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings((2, 0), (3, 100), (5, 16384)) + frame(8, 0, 0, struct.pack(">I", 5000))),
    (S, settings((3, 128)) + frame(4, 1, 0)), (C, frame(4, 1, 0) + frame(1, 0x25, 1, struct.pack(">IB", 0, 200) + BLOCK)),
    (S, frame(1, 4, 1, b"\x88") + frame(0, 1, 1, b"hello body")), (C, frame(2, 0, 3, struct.pack(">IB", 0, 77)) + frame(1, 5, 3, BLOCK[:-4] + b"\x2ecop")),
    (S, frame(3, 0, 3, struct.pack(">I", 8))), (C, frame(8, 0, 1, struct.pack(">I", 70)) + frame(6, 0, 0, b"12345678")),
    (S, frame(7, 0, 0, struct.pack(">II", 3, 0))), port=8081,
)
# ASN.1
for value in (
    b"\x30\x82\x01\x04\x04\x82\x01\x00" + bytes(256), b"\x30\x82\x01\x00\x04\x82\x08\x01abc", b"\x30\x03\x03\x01\x20", b"\x30\x04\x03\x02\x07\x80",
    bytes([9, 0x82, 1, 45, 3]) + b"1" * 300, b"\x09\x04\x031.5", b"xx\x04\x04abcd",
):
    u((C, value), port=7777)


def inner(client):
    return udp((client, 1111), (SERVER, 2222), b"the inner one")


def tunnels(client):
    """VXLAN, GRE, Geneve, and one that Suricata does not know as a tunnel."""
    ends = (client, 40_000), (SERVER, 4789)
    yield udp(*ends, b"\x08\0\0\0\0\0\x07\0" + inner("10.9.250.1"))
    yield udp((client, 40_000), (SERVER, 6081), b"\0\0\x65\x58\0\0\x07\0" + inner("10.9.250.2"))
    for _ in range(2):
        yield ip(client, SERVER, 47, b"\0\0\x08\0" + inner("10.9.250.3")[14:])
    yield udp((client, 40_000), (SERVER, 4790), b"hello tunnel")


def main():
    timed, at = [], 1_700_000_000 * 10**6
    for number, (said, port, is_stream) in enumerate(cases):
        ends = (f"10.9.{number // 200}.{number % 200 + 1}", 40_000), (SERVER, port)
        if is_stream:
            session = Session(*ends).open()
            for side, data in said:
                session.say(side, data)
            packets = session.close()
        else:
            packets = [udp(ends[side], ends[1 - side], data) for side, data in said]
        for packet in packets:
            timed.append((at, packet))
            at += 1_000
        at += 10**6
    for packet in tunnels("10.9.251.1"):
        timed.append((at, packet))
        at += 1_000
    write(HERE / "taken.pcap", timed)
    if len(sys.argv) > 1:
        counts = {}
        for event in map(json.loads, open(sys.argv[1], encoding="utf-8")):
            if event["event_type"] == "alert":
                sid = event["alert"]["signature_id"]
                counts[sid] = counts.get(sid, 0) + 1
        (HERE / "taken.json").write_text(json.dumps(dict(sorted(counts.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
