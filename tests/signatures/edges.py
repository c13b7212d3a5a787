#!/usr/bin/env python3
"""Writes edges.pcap: where conversations begin, turn and end: to what is encrypted, behind holes and what comes late, to other protocols; one client
10.11.0.N each.

edges.rules asks for them. What Suricata 7.0.10 alerts, by client and rule, is in edges.json, written by

    python3 tests/signatures/edges.py record

which needs suricata and the right to run it.
"""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

from make import HERE, Session, write
from protocols import SERVER, query
from taken import frame, settings

ways = []
C, S = 0, 1


def way(build):
    ways.append(build)
    return build


def talk(client, port, *said):
    made = Session((client, 40_000), (SERVER, port)).open()
    for side, data in said:
        made.say(side, data)
    return made.close()


def without(made, gone):
    made.packets = [packet for place, packet in enumerate(made.packets) if place not in gone]
    return made.close()


def pieces(data, size):
    return [data[at : at + size] for at in range(0, len(data), size)]


# ---- TLS: to what is encrypted

def record_of(kind, body, minor=3):
    return bytes([kind, 3, minor]) + struct.pack(">H", len(body)) + body


def message(kind, body):
    return bytes([kind]) + struct.pack(">I", len(body))[1:] + body


def extension(kind, body):
    return struct.pack(">HH", kind, len(body)) + body


def client_hello(name, newest=False, early=False, minor=1):
    sni = struct.pack(">HBH", len(name) + 3, 0, len(name)) + name
    extensions = extension(0, sni)
    if newest:
        extensions += extension(43, b"\x04\x03\x04\x03\x03")
    if early:
        extensions += extension(42, b"")
    body = b"\3\3" + b"R" * 32 + b"\0" + struct.pack(">HHHH", 6, 0x1301, 0xC02F, 0x002F) + b"\1\0" + struct.pack(">H", len(extensions)) + extensions
    return record_of(22, message(1, body), minor)


def server_hello(newest=False):
    extensions = extension(43, b"\3\4") if newest else b""
    body = b"\3\3" + b"r" * 32 + b"\0" + (b"\x13\1" if newest else b"\xc0\x2f") + b"\0"
    body += struct.pack(">H", len(extensions)) + extensions if extensions else b""
    return record_of(22, message(2, body))


DONE = record_of(22, message(14, b""))
KEYS = record_of(22, message(16, b"\x20" + b"KEYKEYKEYKEYKEYKEYKEYKEYKEYKEYKE"))
CHANGE = record_of(20, b"\1")


def finished(mark):
    return record_of(22, mark + b"f" * 32)


def data(mark, size=40):
    return record_of(23, mark + b"d" * size)


@way
def tls_1_2(client):
    return talk(
        client, 443, (C, client_hello(b"a.example")), (S, server_hello() + DONE), (C, KEYS + CHANGE + finished(b"MARK-A")), (S, CHANGE + finished(b"MARK-B")),
        (C, data(b"MARK-C")), (S, data(b"MARK-D")), (C, data(b"MARK-E")), (S, data(b"MARK-F")),
    )


@way
def tls_1_2_other_port_in_single_segments(client):
    return talk(
        client, 8443, (C, client_hello(b"a.example")), (S, server_hello()), (S, DONE), (C, KEYS), (C, CHANGE), (C, finished(b"MARK-A")), (S, CHANGE), (S, finished(b"MARK-B")),
        (C, data(b"MARK-C")), (C, data(b"MARK-D")), (S, data(b"MARK-E")), (C, data(b"MARK-F")),
    )


@way
def tls_1_2_resumed(client):
    return talk(
        client, 443, (C, client_hello(b"a.example")), (S, server_hello() + CHANGE + finished(b"MARK-A")), (C, CHANGE + finished(b"MARK-B") + data(b"MARK-C")),
        (S, data(b"MARK-D")), (C, data(b"MARK-E")),
    )


@way
def tls_1_2_that_sends_much(client):
    return talk(
        client, 443, (C, client_hello(b"a.example")), (S, server_hello() + DONE), (C, KEYS + CHANGE + finished(b"MARK-A")), (S, CHANGE + finished(b"MARK-B")),
        (C, data(b"MARK-C")), (S, data(b"MARK-D", 9000) + data(b"MARK-E", 9000)), (S, data(b"MARK-F")),
    )


@way
def tls_1_2_that_closes(client):
    return talk(
        client, 443, (C, client_hello(b"a.example")), (S, server_hello() + DONE), (C, KEYS + CHANGE + finished(b"MARK-A")), (S, CHANGE + finished(b"MARK-B")),
        (C, record_of(21, b"MARK-C" + bytes(20))), (S, record_of(21, b"MARK-D" + bytes(20))),
    )


@way
def tls_1_2_server_first(client):
    return talk(
        client, 443, (C, client_hello(b"a.example")), (S, server_hello() + DONE), (C, KEYS + CHANGE + finished(b"MARK-A")), (S, CHANGE + finished(b"MARK-B")),
        (S, data(b"MARK-C")), (S, data(b"MARK-D")), (C, data(b"MARK-E")), (S, data(b"MARK-F")),
    )


@way
def tls_1_3(client):
    return talk(
        client, 443, (C, client_hello(b"a.example", True)), (S, server_hello(True) + CHANGE + data(b"MARK-A", 900)), (C, CHANGE + data(b"MARK-B")),
        (C, data(b"MARK-C")), (S, data(b"MARK-D")), (C, data(b"MARK-E")),
    )


@way
def tls_1_3_in_single_segments(client):
    return talk(
        client, 443, (C, client_hello(b"a.example", True)), (S, server_hello(True)), (S, CHANGE), (S, data(b"MARK-A", 900)), (S, data(b"MARK-B")), (S, data(b"MARK-C")),
        (C, CHANGE), (C, data(b"MARK-D")), (C, data(b"MARK-E")), (S, data(b"MARK-F")),
    )


@way
def tls_1_3_with_early_data(client):
    return talk(
        client, 443, (C, client_hello(b"a.example", True, True)), (C, CHANGE + data(b"MARK-A")), (C, data(b"MARK-B")), (S, server_hello(True) + CHANGE + data(b"MARK-C")),
        (C, data(b"MARK-D")), (S, data(b"MARK-E")),
    )


@way
def tls_of_one_side(client):
    made = Session((client, 40_000), (SERVER, 443)).open()
    for part in (client_hello(b"a.example"), KEYS + CHANGE + finished(b"MARK-A"), data(b"MARK-B"), data(b"MARK-C")):
        made.say(C, part)
    return made.close()


@way
def tls_1_2_with_a_hole(client):
    made = Session((client, 40_000), (SERVER, 443)).open()
    for side, part in (
        (C, client_hello(b"a.example")), (S, server_hello()), (S, DONE), (C, KEYS + CHANGE + finished(b"MARK-A")), (S, CHANGE + finished(b"MARK-B")), (C, data(b"MARK-C")),
        (C, data(b"MARK-D")), (S, data(b"MARK-E")), (S, data(b"MARK-F")),
    ):
        made.say(side, part)
    # what the client sends behind the change of cipher is missing, data of the server follow
    return without(made, {13})


@way
def tls_1_2_with_holes_on_both_sides(client):
    made = Session((client, 40_000), (SERVER, 443)).open()
    for side, part in (
        (C, client_hello(b"a.example")), (S, server_hello()), (S, DONE), (C, KEYS), (C, CHANGE + finished(b"MARK-A")), (S, CHANGE + finished(b"MARK-B")),
        (C, data(b"MARK-C")), (S, data(b"MARK-D")), (C, data(b"MARK-E")), (S, data(b"MARK-F")),
    ):
        made.say(side, part)
    return without(made, {7, 9})


# ---- DNS over TCP

def counted(name):
    asked = query(name)
    return struct.pack(">H", len(asked)) + asked


@way
def dns_by_octets(client):
    return talk(client, 53, *[(C, part) for part in pieces(counted(b"mark-a.example"), 1)])


@way
def dns_cut_behind_its_length(client):
    asked = counted(b"mark-a.example")
    return talk(client, 53, (C, asked[:2]), (C, asked[2:]))


@way
def dns_cut_in_its_head(client):
    asked = counted(b"mark-a.example")
    return talk(client, 53, (C, asked[:9]), (C, asked[9:]))


@way
def dns_cut_in_its_name(client):
    asked = counted(b"mark-a.example")
    return talk(client, 53, (C, asked[:19]), (C, asked[19:]), (C, counted(b"mark-b.example")))


@way
def dns_cut_behind_its_name(client):
    asked = counted(b"mark-a.example")
    return talk(client, 53, (C, asked[:-3]), (C, asked[-3:] + counted(b"mark-b.example")))


@way
def dns_behind_a_hole(client):
    made = Session((client, 40_000), (SERVER, 53)).open()
    for name in (b"mark-a.example", b"mark-b.example", b"mark-c.example", b"mark-d.example"):
        made.say(C, counted(name))
    # the second one is missing
    return without(made, {5})


@way
def dns_with_a_hole_in_a_message(client):
    asked = counted(b"mark-b.example")
    made = Session((client, 40_000), (SERVER, 53)).open().say(C, counted(b"mark-a.example"))
    for part in (asked[:20], asked[20:30], asked[30:]):
        made.say(C, part)
    for name in (b"mark-c.example", b"mark-d.example"):
        made.say(C, counted(name))
    return without(made, {7})


# ---- what comes late

def out_of_order(client, port, parts, order):
    """`order`: numbers of parts as they come, and `a` where the server acknowledges all of them."""
    made = Session((client, 40_000), (SERVER, port)).open()
    start = made.seqs[0]
    places = [start + sum(map(len, parts[:n])) for n in range(len(parts) + 1)]
    for item in order:
        if item == "a":
            made.seqs[0] = places[-1]
            made.add(S, 16)
        elif isinstance(item, tuple):
            made.seqs[0] = places[item[1]]
            made.add(S, 16)
        else:
            made.seqs[0] = places[item]
            made.add(C, 24, parts[item])
    made.seqs[0] = places[-1]
    return made.close()


THREE = [b"first MARK-A here", b"second MARK-B here", b"third MARK-C here"]


@way
def late_behind_its_acknowledgement(client):
    return out_of_order(client, 7000, THREE, [0, "a", 1, 2, "a"])


@way
def late_in_the_middle(client):
    return out_of_order(client, 7000, THREE, [0, 2, "a", 1, "a"])


@way
def late_and_backwards(client):
    return out_of_order(client, 7000, THREE, ["a", 2, 1, 0, "a"])


@way
def late_and_never_acknowledged_again(client):
    return out_of_order(client, 7000, THREE, [0, 2, "a", 1])


@way
def late_first(client):
    return out_of_order(client, 7000, THREE, [1, "a", 0, 2, "a"])


@way
def late_request(client):
    parts = [b"GET /MARK-A HTTP/1.1\r\n", b"Host: MARK-B\r\nCookie: x\r\n", b"User-Agent: MARK-C\r\n\r\n"]
    return out_of_order(client, 80, parts, [0, 2, "a", 1, "a"])


@way
def late_request_behind_its_acknowledgement(client):
    parts = [b"GET /MARK-A HTTP/1.1\r\n", b"Host: MARK-B\r\nCookie: x\r\n", b"User-Agent: MARK-C\r\n\r\n"]
    return out_of_order(client, 80, parts, [0, "a", 1, 2, "a"])


# ---- HTTP

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@way
def web_line_without_end(client):
    return talk(client, 80, (C, b"GET /MARK-A HTTP/1.1"))


@way
def web_line_without_version_or_end(client):
    return talk(client, 80, (C, b"GET /MARK-A"))


@way
def web_head_without_end(client):
    return talk(client, 80, (C, b"GET /MARK-A HTTP/1.1\r\nHost: MARK-B\r\nUser-Agent: MARK-C"))


@way
def web_answer_without_line_end(client):
    return talk(client, 80, (C, b"GET /MARK-A HTTP/1.1\r\nHost: x\r\n\r\n"), (S, b"HTTP/1.1 404 MARK-B"))


UPGRADE = b"GET /MARK-A HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def text(octets):
    return bytes([len(octets)]) + octets


def get(path, host=b"a.example"):
    return b"\x82\x86\x44" + text(path) + b"\x41" + text(host)


@way
def upgraded_to_http_2(client):
    return talk(
        client, 80, (C, UPGRADE), (S, SWITCHED + settings((3, 100))), (C, PREFACE + settings((3, 100))), (S, frame(4, 1, 0) + frame(1, 4, 1, b"\x88") + frame(0, 1, 1, b"body MARK-B")),
        (C, frame(1, 5, 3, get(b"/MARK-C"))), (S, frame(1, 4, 3, b"\x8d") + frame(0, 1, 3, b"body MARK-D")),
    )


@way
def upgraded_client_speaks_first(client):
    return talk(
        client, 80, (C, UPGRADE), (S, SWITCHED), (C, PREFACE + settings((3, 100))), (S, settings((3, 100)) + frame(1, 4, 1, b"\x88") + frame(0, 1, 1, b"body MARK-B")),
        (C, frame(1, 5, 3, get(b"/MARK-C"))), (S, frame(1, 4, 3, b"\x8d") + frame(0, 1, 3, b"body MARK-D")),
    )


@way
def http_2_server_speaks_first(client):
    return talk(
        client, 8080, (S, settings((3, 100))), (C, PREFACE + settings((3, 100))), (C, frame(1, 5, 1, get(b"/MARK-A"))), (S, frame(1, 4, 1, b"\x88") + frame(0, 1, 1, b"body MARK-B")),
    )


@way
def http_2_uploads(client):
    post = b"\x83\x86\x44" + text(b"/MARK-A") + b"\x41" + text(b"a.example")
    return talk(
        client, 8080, (C, PREFACE + settings((3, 100)) + frame(1, 4, 1, post)), (S, settings((3, 100))), (C, frame(0, 0, 1, b"body MARK-B ") + frame(0, 1, 1, b"and MARK-C")),
        (S, frame(1, 4, 1, b"\x88") + frame(0, 1, 1, b"body MARK-D")),
    )


def long_answer(length):
    return b"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: %d\r\n\r\n" % length + b"MARK-A " + b"z" * (length - 7)


@way
def web_long_answer(client):
    return talk(client, 80, (C, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), (S, long_answer(20_000)))


@way
def web_long_answer_cut_off(client):
    return talk(client, 80, (C, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), (S, long_answer(20_000)[:9_000]))


FORM = b"".join(
    b"--xyz\r\nContent-Disposition: form-data; name=\"%s\"%s\r\n\r\n%s\r\n" % part
    for part in ((b"field", b"", b"value MARK-A"), (b"file", b"; filename=\"one.txt\"\r\nContent-Type: text/plain", b"inside MARK-B"), (b"more", b"; filename=\"two.txt\"", b"inside MARK-C"))
) + b"--xyz--\r\n"


def post(body, kind):
    return b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (kind, len(body)) + body


@way
def web_form(client):
    return talk(client, 80, (C, post(FORM, b"multipart/form-data; boundary=xyz")), (S, OK))


@way
def web_form_in_pieces(client):
    return talk(client, 80, *[(C, part) for part in pieces(post(FORM, b"multipart/form-data; boundary=xyz"), 40)], (S, OK))


@way
def web_post(client):
    return talk(client, 80, (C, post(b"plain MARK-A", b"text/plain")), (S, OK))


@way
def web_put(client):
    return talk(client, 80, (C, post(b"plain MARK-A", b"text/plain").replace(b"POST", b"PUT", 1)), (S, OK))


# ---- others

@way
def mail_in_chunks(client):
    mail = b"From: a@b\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\nContent-Type: text/plain; name=\"a.txt\"\r\n"
    mail += b"Content-Disposition: attachment; filename=\"a.txt\"\r\n\r\ninside MARK-A\r\n--q--\r\n"
    return talk(
        client, 25, (S, b"220 mx ESMTP\r\n"), (C, b"EHLO a\r\n"), (S, b"250-mx\r\n250 CHUNKING\r\n"), (C, b"MAIL FROM:<a@b>\r\n"), (S, b"250 ok\r\n"), (C, b"RCPT TO:<c@d>\r\n"),
        (S, b"250 ok\r\n"), (C, b"BDAT %d LAST\r\n" % len(mail) + mail), (S, b"250 ok\r\n"), (C, b"QUIT\r\n"), (S, b"221 bye\r\n"),
    )


@way
def plain_in_turns(client):
    return talk(client, 7000, (C, b"MARK-A begins"), (S, b"MARK-B begins"), (C, b"MARK-C then"), (S, b"MARK-D then"))


@way
def plain_of_one_side(client):
    return talk(client, 7000, (C, b"MARK-A begins"), (C, b"MARK-A again"), (C, b"MARK-B then"))


@way
def plain_and_long(client):
    return talk(client, 7000, (C, b"MARK-A" + b"x" * 8000), (S, b"MARK-B" + b"x" * 8000))


@way
def files_by_ftp(client):
    made = Session((client, 40_000), (SERVER, 21)).open()
    for side, said in ((S, b"220 (x)\r\n"), (C, b"USER a\r\n"), (S, b"331 ok\r\n"), (C, b"PASV\r\n"), (S, b"227 Entering Passive Mode (198,51,100,8,156,74)\r\n"), (C, b"RETR MARK-A.txt\r\n"), (S, b"150 ok\r\n")):
        made.say(side, said)
    other = Session((client, 40_001), (SERVER, 40_010)).open().say(S, b"inside MARK-B").close()
    made.say(S, b"226 done\r\n")
    head, tail = made.packets[:-2], made.packets[-2:]
    made.packets = tail
    return head + other + made.close()


MARKS = [f"MARK-{letter}" for letter in "ABCDEF"]
RULES = (
    [("tcp", f'content:"{mark}"') for mark in MARKS]
    + [("tcp-pkt", f'content:"{mark}"') for mark in MARKS]
    + [("tcp-stream", f'content:"{mark}"') for mark in MARKS]
    + [("tcp", f'content:"{mark}"; offset:3; depth:40') for mark in MARKS]
    + [("tcp", f'content:"{mark}"; flow:established,to_server') for mark in MARKS]
    + [("tcp", f'content:"{mark}"; startswith') for mark in MARKS[:3]]
    + [("tcp", f'content:"{mark}"; depth:6; flow:established') for mark in MARKS[:3]]
    + [("tls", f'content:"{mark}"') for mark in MARKS]
    + [(protocol, f'content:"{octets}"') for protocol in ("tcp", "tcp-stream") for octets in ("RRRR", "rrrr", "KEYKEY", "|14 03 03 00 01 01|")]
    + [("dns", f'dns.query; content:"{mark.lower()}"') for mark in MARKS]
    + [("http", f'http.uri; content:"{mark}"') for mark in MARKS]
    + [("http", f'http.request_header; content:"{mark}"') for mark in MARKS[:3]]
    + [(protocol, f'file.data; content:"{mark}"') for protocol in ("http", "smtp", "ftp-data") for mark in MARKS[:4]]
    + [
        ("tls", f"ssl_state:{state}") for state in
        ("client_hello", "server_hello", "client_keyx", "server_keyx", "!client_keyx", "!client_hello", "unknown", "client_keyx,server_hello")
    ]
    + [("http", f'http.user_agent; content:"{mark}"') for mark in MARKS[:3]]
    + [("http", f'http.host; content:"{mark.lower()}"') for mark in MARKS[:3]]
    + [("http", f'http.request_line; content:"{mark}"') for mark in MARKS[:3]]
    + [("http", f'http.request_body; content:"{mark}"') for mark in MARKS[:3]]
    + [
        ("http", 'http.method; content:"GET"'),
        ("http", 'http.protocol; content:"HTTP/1.1"'),
        ("http", 'http.stat_code; content:"404"'),
        ("http", 'http.stat_code; content:!"404"'),
        ("http", 'http.stat_code; content:!"200"'),
        ("http", 'http.stat_msg; content:"MARK-B"'),
        ("http", 'http.header_names; content:!"|0d 0a|Referer|0d 0a|"'),
        ("http", 'flow:established,to_server; http.header_names; content:!"|0d 0a|Referer|0d 0a|"'),
        ("http", 'flow:established,to_client; http.header_names; content:!"|0d 0a|Date|0d 0a|"'),
        ("http", 'flow:established,to_client; http.header_names; content:!"|0d 0a|Server|0d 0a|"'),
        ("http", 'flow:established,to_client; http.header; content:!"Date"'),
        ("http", 'flow:established,to_client; http.header; content:!"Date"; file.data; content:"MARK-A"'),
        ("http", 'flow:established,to_client; http.stat_code; content:"200"; http.content_type; content:!"text"'),
        ("http", 'flow:established,to_client; http.stat_code; content:"200"; http.server; content:!"text"'),
        ("http", 'flow:established,to_client; http.stat_code; content:"200"; file.data; content:!"absent"'),
        ("http", 'flow:established,to_server; http.method; content:"GET"; http.cookie; content:!"absent"'),
        ("http", 'flow:established,to_server; http.method; content:"POST"; http.request_body; content:!"absent"'),
        ("http2", "http2.frametype:SETTINGS"),
        ("http2", "http2.frametype:HEADERS"),
        ("http2", 'http.uri; content:"MARK"'),
        ("http2", 'http.stat_code; content:"404"'),
        ("http2", 'file.data; content:"MARK"'),
        ("http1", 'http.uri; content:"MARK"'),
        ("tcp", "flow:established; app-layer-protocol:!http"),
        ("tcp", "flow:established,to_server; app-layer-protocol:!http"),
        ("tcp", "flow:established,to_client; app-layer-protocol:!tls"),
        ("tcp", "app-layer-protocol:failed"),
        ("tcp", "app-layer-protocol:http2"),
        ("tcp", "app-layer-protocol:http"),
        ("tcp", "app-layer-protocol:dns"),
        ("tcp", 'content:"MARK"; app-layer-protocol:!http'),
        ("tcp", 'flow:established,to_server; content:"MARK"; app-layer-protocol:!tls'),
        ("dns", "flow:to_server"),
        ("ftp-data", 'ftpdata_command:retr'),
        ("ftp-data", 'ftpdata_command:stor'),
        ("ftp-data", 'file.name; content:"MARK-A"'),
        ("ftp-data", 'flow:established'),
    ]
)


def record():
    with tempfile.TemporaryDirectory() as folder:
        command = ["suricata", "-r", str(HERE / "edges.pcap"), "-S", str(HERE / "edges.rules"), "-l", folder, "-k", "none", "--runmode", "single"]
        subprocess.run([*command, "--set", "packet-alert-max=255"], stdout=subprocess.DEVNULL, check=True)
        events = map(json.loads, pathlib.Path(folder, "eve.json").read_text().splitlines())
        events = [event for event in events if event["event_type"] == "alert"]
    found = []
    for place, build in enumerate(ways, 1):
        client, alerts = f"10.11.0.{place}", {}
        for event in events:
            if client in (event["src_ip"], event["dest_ip"]):
                sid = event["alert"]["signature_id"]
                alerts[sid] = alerts.get(sid, 0) + 1
        found.append({"name": build.__name__, "client": client, "alerts": dict(sorted(alerts.items()))})
    (HERE / "edges.json").write_text("[\n" + ",\n".join(map(json.dumps, found)) + "\n]\n")


def main():
    timed = []
    for place, build in enumerate(ways, 1):
        at = (1_700_000_000 + 1_000 * place) * 10**6
        for packet in build(f"10.11.0.{place}"):
            timed.append((at, packet))
            at += 1_000
    write(HERE / "edges.pcap", timed)
    lines = [f'alert {protocol} any any -> any any (msg:"{sid}"; {text}; sid:{sid};)' for sid, (protocol, text) in enumerate(RULES, 1)]
    (HERE / "edges.rules").write_text("\n".join(lines) + "\n")
    if sys.argv[1:] == ["record"]:
        record()


if __name__ == "__main__":
    main()
