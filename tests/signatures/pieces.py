#!/usr/bin/env python3
"""Writes pieces.pcap: streams with holes, packets without payload, numbers that move places, what passes, and protocols that are told; one client 10.9.0.N each.

pieces.rules asks for them. How often each rule alerts is in pieces.json: recorded from Suricata 7.0.10 (`pieces.py EVE.JSON`, with
`suricata -r pieces.pcap -S pieces.rules -k none --runmode single`).
"""
import json
import sys

from make import HERE, Session, udp, write

SERVER = "198.51.100.9"
ways = []


def way(build):
    ways.append(build)
    return build


def begin(client, port):
    return Session((client, 40_000), (SERVER, port)).open()


def lost(session, side, length):
    """Bytes that are acknowledged and never seen."""
    session.seqs[side] += length
    session.add(1 - side, 16)


@way
def hole(client):
    s = begin(client, 9999)
    s.say(0, b"first evil data")
    lost(s, 0, 11)
    return s.say(0, b"third text").close()


@way
def late(client):
    s = begin(client, 9999)
    s.say(0, b"first evil data")
    at = s.seqs[0]
    lost(s, 0, 7)
    for text in (b"three", b"four", b"five"):
        s.say(0, text)
    s.seqs[0], here = at, s.seqs[0]
    s.add(0, 24, b"second.")
    s.seqs[0] = here
    return s.close()


@way
def empty(client):
    there = (client, 1000), (SERVER, 53000)
    return [udp(*there, b""), udp(*there, b"a"), udp(*there, b"abc")]


@way
def bare_acknowledgements(client):
    s = begin(client, 9998)
    s.say(0, b"hello there").say(1, b"answered")
    return s.close()


@way
def numbers(client):
    there = (client, 1001), (SERVER, 53001)
    return [udp(*there, data) for data in (b"\x01\x02\x03\x04\x05xB", b"\x01\x02\x03\x04\x05xxxxB", b"0\x02z", b"\x02xxz", b"012345")]


def http(client, *said):
    s = begin(client, 80)
    for side, text in said:
        s.say(side, text)
    return s.close()


GET = b"GET %s HTTP/1.1\r\nHost: example.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s"


@way
def stream_passes(client):
    return http(client, (0, GET % b"/passed"), (1, OK % (2, b"ok")))


@way
def transaction_passes_what_comes_later(client):
    return http(client, (0, GET % b"/a"), (1, OK % (9, b"evil text")), (0, GET % b"/b"), (1, OK % (9, b"evil more")))


@way
def told(client):
    return http(client, *[(n % 2, [GET % b"/told", OK % (2, b"ok")][n % 2]) for n in range(8)])


@way
def told_as_nothing(client):
    there, back = ((client, 1002), (SERVER, 53002)), ((SERVER, 53002), (client, 1002))
    return [udp(*ends, b"\xfe\xfd\x01junk of no protocol") for ends in (there, back, there, back)]


def main():
    timed = []
    for number, build in enumerate(ways, 1):
        at = (1_700_000_000 + 1_000 * number) * 10**6
        for packet in build(f"10.9.0.{number}"):
            timed.append((at, packet))
            at += 1_000
    write(HERE / "pieces.pcap", timed)
    if len(sys.argv) > 1:
        counts = {}
        for event in map(json.loads, open(sys.argv[1], encoding="utf-8")):
            if event["event_type"] == "alert":
                sid = event["alert"]["signature_id"]
                counts[sid] = counts.get(sid, 0) + 1
        (HERE / "pieces.json").write_text(json.dumps(dict(sorted(counts.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
