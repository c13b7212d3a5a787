#!/usr/bin/env python3
"""Writes evasion.pcap and evasion.json: ways to hide from rules, and which rules (evasion.rules) must still fire, or must not.

Each way is a client of its own, 10.9.0.N, N as in evasion.json. `alerts` has the rules that fire, at least once; any other rule that fires is a fault.
What is expected was reasoned from the standards and the policy of a stock Suricata 7, and Suricata 7.0.10 does it.
"""
import gzip
import json
import struct
import zlib

from make import HERE, Session, ip, summed, tcp, udp, write

WORD = b"SECRETWORD"
SERVER = "198.51.100.9"
ways = []


def way(name, alerts):
    def add(build):
        ways.append((name, alerts, build))

    return add


def session(client, port=8000, **more):
    return Session((client, 40_000), (SERVER, port), **more)


def fragments(client, payload, cuts, proto=17, ident=77):
    """An IP payload in parts: (from, to, last) in octets, and another content where there is a fourth."""
    for cut in cuts:
        first, last, more = cut[:3]
        part = cut[3] if len(cut) > 3 else payload[first:last]
        yield ip(client, SERVER, proto, part, ident, (0x2000 if more else 0) | first // 8)


def datagram(client, data):
    head = struct.pack("!HHHH", 40_000, 8000, 8 + len(data), 0)
    return summed(client, SERVER, 17, head + data, 6)


def request(line=b"GET /index.html HTTP/1.1", fields=(b"Host: www.example.com",), body=b"", end=b"\r\n"):
    return end.join([line, *fields, b"", b""]) + body


def response(body, fields=(), line=b"HTTP/1.1 200 OK"):
    length = [] if any(f.lower().startswith((b"content-length", b"transfer-")) for f in fields) else [b"Content-Length: %d" % len(body)]
    return b"\r\n".join([line, b"Content-Type: text/html", *fields, *length, b"", b""]) + body


def chunked(*parts, extension=b""):
    return b"".join(b"%x%s\r\n%s\r\n" % (len(p), extension, p) for p in parts) + b"0\r\n\r\n"


def http(client, *said, **more):
    made = session(client, 80, **more).open()
    for side, data in said:
        made.say(side, data)
    return made.close()


# ---- fragments of IP


@way("fragments in order", [1])
def _(client):
    whole = datagram(client, b"a" * 11 + WORD + b"b" * 19)
    return list(fragments(client, whole, [(0, 24, True), (24, 48, False)]))


@way("fragments, the last first", [1])
def _(client):
    whole = datagram(client, b"a" * 11 + WORD + b"b" * 19)
    return list(fragments(client, whole, [(40, 48, False), (24, 40, True), (0, 24, True)]))


@way("fragments of eight octets, each twice", [1])
def _(client):
    whole = datagram(client, b"a" * 11 + WORD + b"b" * 19)
    cuts = [(n, n + 8, n < 40) for n in range(0, 48, 8)]
    return list(fragments(client, whole, [c for c in cuts for _ in (0, 1)]))


@way("fragments without the last", [])
def _(client):
    whole = datagram(client, b"a" * 11 + WORD + b"b" * 19)
    return list(fragments(client, whole, [(0, 24, True), (24, 40, True)]))


@way("fragments, an early one overlapped by innocent octets", [1])
def _(client):
    whole = datagram(client, b"a" * 16 + WORD + b"b" * 14)
    return list(fragments(client, whole, [(0, 24, True), (24, 40, True), (24, 40, True, b"c" * 16), (40, 48, False)]))


@way("fragments, the id used again for the next datagram", [1])
def _(client):
    whole = datagram(client, b"a" * 11 + WORD + b"b" * 19)
    calm = datagram(client, b"d" * 40)
    cuts = [(0, 24, True), (24, 48, False)]
    return [*fragments(client, calm, cuts), *fragments(client, whole, cuts)]


@way("header of TCP cut by a fragment", [2])
def _(client):
    made = session(client).open().say(0, WORD).close()
    at = next(n for n, p in enumerate(made) if WORD in p)
    segment = made[at][34:]
    made[at : at + 1] = fragments(client, segment, [(0, 16, True), (16, len(segment), False)], proto=6)
    return made


# ---- segments of TCP


@way("segments of one octet", [2])
def _(client):
    return session(client, mss=1).open().say(0, WORD).close()


@way("segments, the last first", [2])
def _(client):
    made = session(client).open()
    start = made.seqs[0]
    for at in reversed(range(0, len(WORD), 3)):
        made.seqs[0] = start + at
        made.add(0, 24, WORD[at : at + 3])
    made.seqs[0] = start + len(WORD)
    made.add(1, 16)
    return made.close()


@way("sequence numbers that wrap", [2])
def _(client):
    made = session(client)
    made.seqs = [2**32 - 5, 2**32 - 3]
    return made.open().say(0, WORD).close()


@way("a second copy with innocent octets", [2])
def _(client):
    made = session(client).open()
    start = made.seqs[0]
    made.add(0, 24, WORD)
    made.seqs[0] = start
    made.add(0, 24, b"innocentxx")
    made.add(1, 16)
    return made.close()


@way("a reset whose number is outside the window", [2])
def _(client):
    made = session(client).open()
    start = made.seqs[0]
    made.seqs[0] = start + 10_000_000
    made.add(0, 4)
    made.seqs[0] = start
    return made.say(0, WORD).close()


@way("a segment with a wrong checksum in between", [2])
def _(client):
    made = session(client).open()
    made.add(0, 24, b"SECRET")
    start = made.seqs[0]
    made.add(0, 24, b"xxxx")
    broken = bytearray(made.packets[-1])
    broken[50] ^= 0x55
    made.packets[-1] = bytes(broken)
    made.seqs[0] = start
    made.add(0, 24, b"WORD")
    made.add(1, 16)
    return made.close()


@way("data with the SYN (TCP Fast Open)", [2])
def _(client):
    made = session(client)
    made.add(0, 2, WORD, options=bytes.fromhex("220a0102030405060708") + b"\1\1")
    made.add(1, 18)
    made.add(0, 16)
    return made.close()


@way("urgent data in the middle of the word", [2])
def _(client):
    made = session(client).open()
    made.add(0, 24, WORD[:5])
    made.add(0, 56, WORD[5:], urgent=5)
    made.add(1, 16)
    return made.close()


@way("no handshake: each packet for itself", [2])
def _(client):
    return session(client).say(0, b"aaaa" + WORD).packets


@way("no handshake, and the word cut", [])
def _(client):
    return session(client).say(0, WORD[:5]).say(0, WORD[5:]).packets


@way("handshake from both ends at once", [2])
def _(client):
    made = session(client)
    made.add(0, 2)
    made.add(1, 2)
    made.seqs = [1000, 5000]
    made.packets.append(tcp(made.ends[0], made.ends[1], 1000, 5001, 18))
    made.packets.append(tcp(made.ends[1], made.ends[0], 5000, 1001, 18))
    made.seqs = [1001, 5001]
    return made.say(0, WORD).close()


@way("a word beyond what the window allows: the packet for itself", [2])
def _(client):
    made = session(client).open()
    made.seqs[0] += 5_000_000
    made.add(0, 24, WORD)
    return made.packets


@way("half of the word beyond what the window allows", [])
def _(client):
    made = session(client).open().say(0, WORD[:5])
    made.seqs[0] += 5_000_000
    made.add(0, 24, WORD[5:])
    return made.packets


@way("half of the word on each of two connections", [])
def _(client):
    first = session(client).open().say(0, WORD[:5]).close()
    other = Session((client, 40_001), (SERVER, 8000)).open().say(0, WORD[5:]).close()
    return first + other


# ---- requests of HTTP

for name, line, alerts in [
    ("path with one letter encoded", b"GET /%65vil HTTP/1.1", [3]),
    ("path encoded twice", b"GET /%2565vil HTTP/1.1", []),
    ("path through a folder and back", b"GET /a/../evil HTTP/1.1", [3]),
    ("path with dots that mean nothing", b"GET /./evil HTTP/1.1", [3]),
    ("path with slashes doubled", b"GET //evil HTTP/1.1", [3]),
    ("path with the whole address before it", b"GET http://www.example.com/evil HTTP/1.1", [3]),
    ("path in a request without version", b"GET /evil", [3]),
    ("method that nobody knows", b"BREW /evil HTTP/1.1", [3]),
    ("path in capitals", b"GET /EVIL HTTP/1.1", []),
    ("path after many blanks", b"GET    /evil HTTP/1.1", [3]),
    ("path in an innocent query", b"GET /a?b=/evil HTTP/1.1", [3]),
]:

    @way(name, alerts)
    def _(client, line=line):
        return http(client, (0, request(line)), (1, response(b"ok")))


@way("request in segments of one octet", [3, 5])
def _(client):
    fields = (b"Host: www.example.com", b"X-Evil: yes")
    return http(client, (0, request(b"GET /evil HTTP/1.1", fields)), (1, response(b"ok")), mss=1)


@way("two requests in one segment, the second evil", [3])
def _(client):
    return http(client, (0, request() + request(b"GET /evil HTTP/1.1")), (1, response(b"a") + response(b"b")))


@way("lines that end with a line feed alone", [3, 5])
def _(client):
    fields = (b"Host: www.example.com", b"X-Evil: yes")
    return http(client, (0, request(b"GET /evil HTTP/1.1", fields, end=b"\n")), (1, response(b"ok")))


@way("header field folded over two lines", [5])
def _(client):
    fields = (b"Host: www.example.com", b"X-Evil:\r\n yes")
    return http(client, (0, request(fields=fields)), (1, response(b"ok")))


@way("body of a request in chunks", [6])
def _(client):
    fields = (b"Host: a", b"Transfer-Encoding: chunked")
    return http(client, (0, request(b"POST / HTTP/1.1", fields, chunked(b"INJ", b"ECT", b"ED"))), (1, response(b"ok")))


@way("body of a request over two segments", [6])
def _(client):
    fields = (b"Host: a", b"Content-Length: 8")
    whole = request(b"POST / HTTP/1.1", fields, b"INJECTED")
    return http(client, (0, whole[:-4]), (0, whole[-4:]), (1, response(b"ok")))


# ---- responses of HTTP

BODY = b"<html>MALWARE</html>"
DEFLATED = zlib.compressobj(9, zlib.DEFLATED, -15)
ZIPPED = gzip.compress(BODY, mtime=0)
RAW = DEFLATED.compress(BODY) + DEFLATED.flush()
BOMB = gzip.compress(b"\0" * 40_000_000 + BODY, 9, mtime=0)

for name, data, alerts in [
    ("response in chunks that cut the word", response(chunked(b"<html>MAL", b"W", b"ARE</html>"), [b"Transfer-Encoding: chunked"]), [4]),
    ("chunks with extensions", response(chunked(b"<html>MAL", b"WARE", extension=b";a=b"), [b"Transfer-Encoding: chunked"]), [4]),
    ("response in gzip", response(ZIPPED, [b"Content-Encoding: gzip"]), [4]),
    ("response in x-gzip", response(ZIPPED, [b"Content-Encoding: x-gzip"]), [4]),
    ("response in deflate, with the header of zlib", response(zlib.compress(BODY), [b"Content-Encoding: deflate"]), [4]),
    ("response in deflate, without", response(RAW, [b"Content-Encoding: deflate"]), [4]),
    ("response in gzip twice", response(gzip.compress(ZIPPED, mtime=0), [b"Content-Encoding: gzip, gzip"]), [4]),
    ("response in gzip, in chunks", response(chunked(ZIPPED[:9], ZIPPED[9:]), [b"Content-Encoding: gzip", b"Transfer-Encoding: chunked"]), [4]),
    ("response that says gzip and is not", response(BODY, [b"Content-Encoding: gzip"]), [4]),
    ("response whose length is that of more", response(BODY, [b"Content-Length: 4000"]), [4]),
    ("response without length, to the end", b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + BODY, [4]),
    ("response of HTTP/1.0 in chunks", response(chunked(b"MAL", b"WARE"), [b"Transfer-Encoding: chunked"], b"HTTP/1.0 200 OK"), [4]),
    ("length and chunks at once", response(chunked(b"MAL", b"WARE"), [b"Content-Length: 3", b"Transfer-Encoding: chunked"]), [4]),
    ("gzip that grows forty thousandfold before the word", response(BOMB, [b"Content-Encoding: gzip"]), []),
    ("interim response first", b"HTTP/1.1 100 Continue\r\n\r\n" + response(BODY), [4]),
]:

    @way(name, alerts)
    def _(client, data=data):
        return http(client, (0, request()), (1, data))


# ---- DNS, tunnels


def asked(labels):
    return struct.pack("!HHHHHH", 1, 0x0100, 1, 0, 0, 0) + labels + b"\0\1\0\1"


@way("name that points at itself", [])
def _(client):
    return [udp((client, 40_000), (SERVER, 53), asked(b"\4evil\xc0\x0c"))]


@way("name in mixed case", [])
def _(client):
    return [udp((client, 40_000), (SERVER, 53), asked(b"\4EvIl\7example\0"))]


@way("name as it is", [7])
def _(client):
    return [udp((client, 40_000), (SERVER, 53), asked(b"\4evil\7example\0"))]


def vlan(frame, *tags):
    return frame[:12] + b"".join(struct.pack("!HH", 0x8100, t) for t in tags) + frame[12:]


def gre(client, frame):
    return ip(client, SERVER, 47, b"\0\0\x08\0" + frame[14:])


@way("two tags of VLAN", [1])
def _(client):
    return [vlan(udp((client, 40_000), (SERVER, 8000), WORD), 7, 8)]


@way("a tunnel of GRE within another", [1])
def _(client):
    return [gre(client, gre(client, udp((client, 40_000), (SERVER, 8000), WORD)))]


@way("VXLAN", [1])
def _(client):
    inner = udp((client, 40_000), (SERVER, 8000), WORD)
    return [udp((client, 50_000), ("198.51.100.8", 4789), b"\x08\0\0\0\0\0\x07\0" + inner)]


def main():
    timed, told = [], []
    for number, (name, alerts, build) in enumerate(ways, 1):
        at = (1_700_000_000 + 200 * number) * 10**6
        for packet in build(f"10.9.0.{number}"):
            timed.append((at, packet))
            at += 1_000
        told.append({"host": f"10.9.0.{number}", "way": name, "alerts": alerts})
    write(HERE / "evasion.pcap", timed)
    lines = ",\n".join(json.dumps(t) for t in told)
    (HERE / "evasion.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    main()
