#!/usr/bin/env python3
"""Writes kept.pcap: what rules keep of conversations, one client 10.10.0.N each: lists that rules add to, files of which bytes are missing, files that come
side by side, and commands that lead to TLS in several segments.

kept.rules asks for them. What Suricata 7.0.10 alerts, by client and rule, is in kept.json, written by

    python3 tests/signatures/kept.py record

which needs suricata and the right to run it.
"""
import hashlib
import json
import struct
import sys
import tempfile
import pathlib
import subprocess

from make import HERE, Session, write
from protocols import SERVER, answer_hello, create, hello, smb2, tree_answer, tree_connect

ways = []


def way(build):
    ways.append(build)
    return build


def talk(client, port, *said):
    made = Session((client, 40_000), (SERVER, port)).open()
    for side, data in said:
        made.say(side, data)
    return made.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def get(path, agent=b"plain"):
    return b"GET " + path + b" HTTP/1.1\r\nHost: a.example\r\nUser-Agent: " + agent + b"\r\n\r\n"


# ---- lists

@way
def list_of_a_rule_that_does_not_hold(client):
    # the agent has what is looked for, but not at its end
    return talk(client, 80, (0, get(b"/one", b"yes no")), (1, OK), (0, get(b"/one", b"no yes")), (1, OK), (0, get(b"/one", b"no yes")), (1, OK))


@way
def list_before_a_body_that_comes_later(client):
    head = b"POST /two HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\n"
    return talk(client, 80, (0, head), (0, b"comes "), (0, b"late"), (1, OK))


@way
def list_that_is_asked_of(client):
    return talk(client, 80, (0, get(b"/three")), (1, OK), (0, get(b"/three")), (1, OK), (0, get(b"/four")), (1, OK))


# ---- files of which bytes are missing

BODY = bytes(range(256)) * 12
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % len(BODY)


def without(made, gone):
    """Leaves segments out, by their place."""
    made.packets = [packet for place, packet in enumerate(made.packets) if place not in gone]
    return made


@way
def file_whole(client):
    return talk(client, 80, (0, get(b"/file.bin")), (1, HEAD + BODY))


@way
def file_with_a_hole(client):
    made = Session((client, 40_000), (SERVER, 80), 1000).open().say(0, get(b"/file.bin")).say(1, HEAD + BODY)
    # handshake, request and its acknowledgement, then the second segment of the answer
    return without(made, {7}).close()


@way
def file_cut_off(client):
    return talk(client, 80, (0, get(b"/file.bin")), (1, HEAD + BODY[:2000]))


@way
def file_until_the_end(client):
    return talk(client, 80, (0, get(b"/file.bin")), (1, b"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n" + BODY))


@way
def file_uploaded_with_a_hole(client):
    head = b"POST /up HTTP/1.1\r\nHost: a.example\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    made = Session((client, 40_000), (SERVER, 80), 1000).open().say(0, head + BODY).say(1, OK)
    return without(made, {5}).close()


# ---- files of SMB side by side

def fid(n):
    return struct.pack("<QQ", 100 + n, 200 + n)


def opened(message, n):
    return smb2(5, message, struct.pack("<HBBI4QQQII", 89, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0) + fid(n) + struct.pack("<II", 0, 0), True)


def wrote(message, n, at, data):
    return smb2(9, message, struct.pack("<HHIQ", 49, 112, len(data), at) + fid(n) + struct.pack("<IIHHI", 0, 0, 0, 0, 0) + data)


def written(message):
    return smb2(9, message, struct.pack("<HHIIHH", 17, 0, 32, 0, 0, 0), True)


def closed(message, n):
    return smb2(6, message, struct.pack("<HHI", 24, 0, 0) + fid(n))


def closing(message):
    return smb2(6, message, struct.pack("<HHI", 60, 0, 0) + bytes(52), True)


def share(*said):
    return [(0, tree_connect(4, "\\\\198.51.100.8\\C$")), (1, tree_answer(4, 1)), *said]


ONE, TWO = [b"FIRST half " * 9, b"SECOND half" * 9], [b"alpha part " * 9, b"omega part " * 9]


@way
def smb_side_by_side(client):
    return talk(
        client, 445, *share(
            (0, create(5, "one.bin")), (1, opened(5, 1)), (0, create(6, "two.bin")), (1, opened(6, 2)),
            (0, wrote(7, 1, 0, ONE[0])), (1, written(7)), (0, wrote(8, 2, 0, TWO[0])), (1, written(8)),
            (0, wrote(9, 1, 99, ONE[1])), (1, written(9)), (0, wrote(10, 2, 99, TWO[1])), (1, written(10)),
            (0, closed(11, 1)), (1, closing(11)), (0, closed(12, 2)), (1, closing(12)),
        ),
    )


@way
def smb_with_a_hole(client):
    return talk(
        client, 445, *share(
            (0, create(5, "one.bin")), (1, opened(5, 1)), (0, wrote(7, 1, 0, ONE[0])), (1, written(7)), (0, wrote(9, 1, 500, ONE[1])), (1, written(9)),
            (0, closed(11, 1)), (1, closing(11)),
        ),
    )


@way
def smb_not_closed(client):
    return talk(client, 445, *share((0, create(5, "one.bin")), (1, opened(5, 1)), (0, wrote(7, 1, 0, ONE[0])), (1, written(7)), (0, wrote(9, 1, 99, ONE[1])), (1, written(9))))


@way
def smb_large_write(client):
    data = b"LARGE" + bytes(200_000)
    return talk(client, 445, *share((0, create(5, "big.bin")), (1, opened(5, 1)), (0, wrote(7, 1, 0, data)), (1, written(7)), (0, closed(11, 1)), (1, closing(11))))


@way
def smb_goes_on_behind_a_gap(client):
    made = Session((client, 40_000), (SERVER, 445)).open()
    for side, data in share((0, create(5, "one.bin")), (1, opened(5, 1)), (0, wrote(7, 1, 0, ONE[0]))):
        made.say(side, data)
    gone = len(made.packets)
    made.say(1, written(7)).say(0, wrote(8, 1, 99, ONE[1]))
    for side, data in ((0, create(9, "two.bin")), (1, opened(9, 2)), (0, wrote(10, 2, 0, TWO[0])), (1, written(10)), (0, wrote(13, 2, 99, TWO[1])), (0, closed(12, 2)), (1, closing(12))):
        made.say(side, data)
    # what is written second is missing
    return without(made, {gone + 2}).close()


# ---- to TLS in pieces

def pieces(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


def slowly(side, data, size=3):
    return [(side, part) for part in pieces(data, size)]


@way
def mail_in_pieces(client):
    return talk(
        client, 25, (1, b"220 mx.example.com ESMTP\r\n"), (0, b"EHLO a.example\r\n"), (1, b"250-mx\r\n250 STARTTLS\r\n"),
        *slowly(0, b"STARTTLS\r\n"), *slowly(1, b"220 go ahead\r\n"), (0, hello(b"mx.pieces.example")), (1, answer_hello()),
    )


@way
def mail_answer_of_two_lines(client):
    return talk(
        client, 25, (1, b"220 mx.example.com ESMTP\r\n"), (0, b"EHLO a.example\r\n"), (1, b"250-mx\r\n250 STARTTLS\r\n"),
        (0, b"STARTTLS\r\n"), (1, b"220-go\r\n"), (1, b"220 ahead\r\n"), (0, hello(b"mx.lines.example")), (1, answer_hello()),
    )


@way
def mail_refused(client):
    return talk(
        client, 25, (1, b"220 mx.example.com ESMTP\r\n"), (0, b"EHLO a.example\r\n"), (1, b"250-mx\r\n250 STARTTLS\r\n"),
        (0, b"STARTTLS\r\n"), (1, b"454 no\r\n"), (0, hello(b"mx.refused.example")), (1, b"500 what\r\n"),
    )


@way
def boxes_with_tags(client):
    return talk(
        client, 143, (1, b"* OK ready\r\n"), *slowly(0, b"a1 STARTTLS\r\n", 5), (1, b"* OK x\r\na0 OK no\r\n"), *slowly(1, b"a1 OK begin\r\n", 4),
        (0, hello(b"imap.inside.example")), (1, answer_hello()),
    )


@way
def boxes_other_tag(client):
    return talk(
        client, 143, (1, b"* OK ready\r\n"), (0, b"a1 STARTTLS\r\n"), (1, b"a2 OK begin\r\n"), (0, hello(b"imap.other.example")), (1, answer_hello()),
    )


@way
def post_in_pieces(client):
    return talk(client, 110, (1, b"+OK ready\r\n"), *slowly(0, b"STLS\r\n"), *slowly(1, b"+OK begin\r\n"), (0, hello(b"pop.inside.example")), (1, answer_hello()))


@way
def files_in_pieces(client):
    return talk(client, 21, (1, b"220 ready\r\n"), *slowly(0, b"AUTH TLS\r\n", 4), *slowly(1, b"234 go ahead\r\n", 2), (0, hello(b"ftp.pieces.example")), (1, answer_hello()))


RULES = [
    ("http", 'http.uri; dataset:set,one,type string; http.user_agent; content:"yes"; pcre:"/yes$/"'),
    ("http", 'http.uri; content:"/two"; dataset:set,two,type string; http.request_body; content:"late"'),
    ("http", 'http.uri; content:"/"; dataset:set,three,type string'),
    ("http", "http.uri; dataset:isset,three"),
    ("http", "http.uri; dataset:isnotset,one"),
    ("http", 'http.uri; content:"/four"; dataset:unset,three'),
    ("http", "filemd5:lists/kept.md5"),
    ("http", "filemd5:!lists/kept.md5"),
    ("http", "filesize:>1000"),
    ("http", "filesize:<5000"),
    ("http", f"filesize:{len(BODY)}"),
    ("http", 'file.data; content:"|00 01 02 03|"; startswith'),
    ("http", 'file.data; content:"|fc fd fe ff|"'),
    ("smb", "filemd5:lists/kept.md5"),
    ("smb", "filemd5:!lists/kept.md5"),
    ("smb", "filesize:198"),
    ("smb", "filesize:>100"),
    ("smb", 'file.data; content:"FIRST"; startswith'),
    ("smb", 'file.data; content:"FIRST"; content:"SECOND"; distance:0'),
    ("smb", 'file.data; content:"alpha"; startswith; content:"omega"; distance:0'),
    ("smb", 'file.data; content:"FIRST"; content:"alpha"; distance:0'),
    ("smb", 'file.data; content:"LARGE"; startswith'),
    ("smb", 'file.name; content:"two.bin"; endswith'),
    ("smb", 'file.name; content:"two.bin"; endswith; file.data; content:"alpha"; startswith'),
    ("tls", 'tls.sni; content:"mx.pieces.example"'),
    ("tls", 'tls.sni; content:"mx.lines.example"'),
    ("tls", 'tls.sni; content:"mx.refused.example"'),
    ("tls", 'tls.sni; content:"imap.inside.example"'),
    ("tls", 'tls.sni; content:"imap.other.example"'),
    ("tls", 'tls.sni; content:"pop.inside.example"'),
    ("tls", 'tls.sni; content:"ftp.pieces.example"'),
]


def record():
    with tempfile.TemporaryDirectory() as folder:
        command = ["suricata", "-r", str(HERE / "kept.pcap"), "-S", str(HERE / "kept.rules"), "-l", folder, "-k", "none", "--runmode", "single"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        events = map(json.loads, pathlib.Path(folder, "eve.json").read_text().splitlines())
        events = [event for event in events if event["event_type"] == "alert"]
    found = []
    for place, build in enumerate(ways, 1):
        client, alerts = f"10.10.0.{place}", {}
        for event in events:
            if client in (event["src_ip"], event["dest_ip"]):
                sid = event["alert"]["signature_id"]
                alerts[sid] = alerts.get(sid, 0) + 1
        found.append({"name": build.__name__, "client": client, "alerts": dict(sorted(alerts.items()))})
    (HERE / "kept.json").write_text("[\n" + ",\n".join(map(json.dumps, found)) + "\n]\n")


def main():
    timed = []
    for place, build in enumerate(ways, 1):
        at = (1_700_000_000 + 1_000 * place) * 10**6
        for packet in build(f"10.10.0.{place}"):
            timed.append((at, packet))
            at += 1_000
    write(HERE / "kept.pcap", timed)
    lists = [hashlib.md5(body).hexdigest() for body in (BODY, b"".join(ONE), b"".join(TWO))]
    (HERE / "lists" / "kept.md5").write_text("\n".join(lists) + "\n")
    lines = [f'alert {protocol} any any -> any any (msg:"{sid}"; {text}; sid:{sid};)' for sid, (protocol, text) in enumerate(RULES, 1)]
    (HERE / "kept.rules").write_text("\n".join(lines) + "\n")
    if sys.argv[1:] == ["record"]:
        record()


if __name__ == "__main__":
    main()
