#!/usr/bin/env python3
"""Conversations with octets that were sent twice with different data, and messages of protocols that rules look into: writes readings.pcap,
which tests/it/readings.rs tries with readings.rules."""

import struct
from pathlib import Path

SERVER = bytes([198, 51, 100, 9])
frames = []


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip(src, dst, proto, payload, ident=1, offset=0, more=False):
    flags = offset // 8 | (0x2000 if more else 0)
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, flags, 64, proto, 0, src, dst)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    frames.append(head + payload)


def udp(src, dst, sport, dport, data):
    ip(src, dst, 17, struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data)


class Tcp:
    """A connection from a host to the server."""

    def __init__(self, host, port):
        self.ends = [(bytes([10, 8, 0, host]), 40000), (SERVER, port)]
        self.next = [1000, 5000]
        self.send(0, b"", flags=2)
        self.next[0] += 1
        self.send(1, b"", flags=18)
        self.next[1] += 1
        self.send(0, b"")

    def send(self, side, data, at=0, flags=None):
        (src, sport), (dst, dport) = self.ends[side], self.ends[1 - side]
        flags = (24 if data else 16) if flags is None else flags
        ack = self.next[1 - side] if flags & 16 else 0
        head = struct.pack("!HHIIBBHHH", sport, dport, self.next[side] + at, ack, 0x50, flags, 65535, 0, 0)
        pseudo = src + dst + struct.pack("!BBH", 0, 6, len(head) + len(data))
        head = head[:16] + struct.pack("!H", checksum(pseudo + head + data)) + head[18:]
        ip(src, dst, 6, head + data)

    def say(self, side, data):
        self.send(side, data)
        self.next[side] += len(data)
        self.send(1 - side, b"")

    def end(self):
        for side in (0, 1):
            self.send(side, b"", flags=17)
            self.next[side] += 1
        self.send(0, b"")


def der(tag, *parts):
    body = b"".join(parts)
    assert len(body) < 128
    return bytes([tag, len(body)]) + body


# what waits keeps its octets: the first reading is the evil one, and the other the good one
c = Tcp(1, 7777)
c.send(0, b"EVILEVIL", at=8)
c.send(0, b"GOODGOOD", at=8)
c.say(0, b"abcdefgh")
c.next[0] += 8
c.say(1, b"done")
c.end()
# a request, and another one in its place
c = Tcp(2, 80)
c.send(0, b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n")
c.say(0, b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n")
c.say(1, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
c.end()
# sent again as it was
c = Tcp(3, 80)
c.send(0, b"GET /same HTTP/1.1\r\nHost: a\r\n\r\n")
c.say(0, b"GET /same HTTP/1.1\r\nHost: a\r\n\r\n")
c.say(1, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
c.end()
# fragments that say different things
host = bytes([10, 8, 0, 4])
whole = struct.pack("!HHHH", 40000, 9999, 8 + 24, 0) + b"a" * 24
ip(host, SERVER, 17, whole[:16], ident=77, more=True)
ip(host, SERVER, 17, b"x" * 8, ident=77, offset=8, more=True)
ip(host, SERVER, 17, whole[16:], ident=77, offset=16)
# SNMP 2c
get = der(0xA0, der(2, b"\x01"), der(2, b"\0"), der(2, b"\0"), der(0x30, der(0x30, der(6, b"\x2b\x06\x01\x02\x01\x01\x01\0"), b"\x05\0")))
udp(bytes([10, 8, 0, 5]), SERVER, 40000, 161, der(0x30, der(2, b"\x01"), der(4, b"sesame"), get))
# SIP
sip = b"REGISTER sip:a.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.8.0.6\r\nFrom: <sip:a@a.example>\r\nTo: <sip:a@a.example>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
udp(bytes([10, 8, 0, 6]), SERVER, 5060, 5060, sip)
udp(SERVER, bytes([10, 8, 0, 6]), 5060, 5060, b"SIP/2.0 401 Unauthorized\r\n" + sip.split(b"\r\n", 1)[1])
# MQTT 3.1.1
text = lambda t: struct.pack("!H", len(t)) + t
connect = text(b"MQTT") + bytes([4, 0xC2, 0, 60]) + text(b"sensor-7") + text(b"ann") + text(b"hush")
publish = text(b"house/door") + b"open"
c = Tcp(7, 1883)
c.say(0, bytes([0x10, len(connect)]) + connect)
c.say(1, bytes([0x20, 2, 0, 0]))
c.say(0, bytes([0x30, len(publish)]) + publish)
c.end()
# Kerberos: a request, and that the client is not known
realm = der(0x1B, b"A.EXAMPLE")
name = lambda *parts: der(0x30, der(0xA0, der(2, b"\x01")), der(0xA1, der(0x30, *[der(0x1B, p) for p in parts])))
body = der(0x30, der(0xA0, der(3, b"\0\x40\0\0\0")), der(0xA1, name(b"robin")), der(0xA2, realm), der(0xA7, der(2, b"\x07")), der(0xA8, der(0x30, der(2, b"\x12"))))
udp(bytes([10, 8, 0, 8]), SERVER, 40000, 88, der(0x6A, der(0x30, der(0xA1, der(2, b"\x05")), der(0xA2, der(2, b"\x0a")), der(0xA4, body))))
stamp = der(0x18, b"20260101000000Z")
error = der(0x30, der(0xA0, der(2, b"\x05")), der(0xA1, der(2, b"\x1e")), der(0xA4, stamp), der(0xA5, der(2, b"\0")), der(0xA6, der(2, b"\x06")), der(0xA8, name(b"robin")), der(0xA9, realm), der(0xAA, name(b"krbtgt")))
udp(SERVER, bytes([10, 8, 0, 8]), 88, 40000, der(0x7E, error))
# FTP
c = Tcp(9, 21)
c.say(1, b"220 ready\r\n")
c.say(0, b"USER ann\r\n")
c.say(1, b"331 password\r\n")
c.say(0, b"PASS hush\r\n")
c.say(1, b"230 in\r\n")
c.end()

out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
for n, frame in enumerate(frames):
    out += struct.pack("<IIII", 1_700_000_000 + n // 1000, n % 1000 * 1000, len(frame), len(frame)) + frame
Path(__file__).with_name("readings.pcap").write_bytes(out)
