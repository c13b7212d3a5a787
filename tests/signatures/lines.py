#!/usr/bin/env python3
"""Writes lines.pcap: conversations whose alerts say much, and odd heads of HTTP and kinds of mails, one client 10.9.0.N each.

lines.rules asks for them. What Suricata 7.0.10 wrote of each alert is in lines.json; `lines.py EVE_JSON` takes it from the file of its events. It is
run with `-k none --runmode single` and the stock configuration.
"""
import base64
import json
import socket
import struct
import sys

from make import HERE, Session, ip, udp, write
from protocols import answer_hello, hello, mail_to_tls

SERVER = "198.51.100.9"
ways = []


def way(build):
    ways.append(build)
    return build


def talk(client, port, *said):
    made = Session((client, 40_000), (SERVER, port)).open()
    for side, data in said:
        made.say(side, data)
    return made.close()


# ---- What packets are carried in

ETHERNET = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01"
INNER = b"carried-evil"


def tagged(packet, *vlans):
    tags = b"".join(struct.pack("!HH", 0x8100, vlan) for vlan in vlans)
    return packet[:12] + tags + packet[12:]


def inner(client):
    return udp((client, 1000), (SERVER, 2000), INNER)


@way
def vlan(client):
    said = (0, b"GET /carried-evil HTTP/1.1\r\nHost: a.example\r\n\r\n"), (1, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    return [tagged(packet, 100) for packet in [inner(client), *talk(client, 80, *said)]]


@way
def vlans(client):
    return [tagged(inner(client), 100, 200)]


@way
def vxlan(client):
    return [udp(("192.0.2.1", 1234), ("192.0.2.2", 4789), b"\x08\0\0\0\0\0\5\0" + inner(client))]


@way
def geneve(client):
    return [udp(("192.0.2.1", 1234), ("192.0.2.2", 6081), b"\0\0\x65\x58\0\0\5\0" + inner(client))]


@way
def gre(client):
    return [ip("192.0.2.1", "192.0.2.2", 47, b"\0\0\x08\0" + inner(client)[14:])]


@way
def four_in_six(client):
    packet = inner(client)[14:]
    ends = socket.inet_pton(socket.AF_INET6, "2001:db8::1") + socket.inet_pton(socket.AF_INET6, "2001:db8::2")
    return [ETHERNET + b"\x86\xdd" + struct.pack("!IHBB", 6 << 28, len(packet), 4, 64) + ends + packet]


@way
def fragments(client):
    whole = udp((client, 1001), (SERVER, 2000), INNER * 80)[34:]
    parts = (whole[:800], 0x2000), (whole[800:], 100)
    return [ip(client, SERVER, 17, part, 9, offset) for part, offset in parts]


@way
def others(client):
    return [ip(client, SERVER, proto, b"carried-evil") for proto in (2, 88, 103, 112, 144, 253)]


# ---- What is said

def name(*labels):
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


@way
def odd_name(client):
    asked = struct.pack("!6H", 5, 0x100, 1, 0, 0, 0) + name(b"a\xff", b"lines", b"example") + struct.pack("!HH", 1, 1)
    return [udp((client, 1001), (SERVER, 53), asked)]


@way
def old_tls(client):
    first = hello(b"lines.example").replace(b"\x03\x03" + bytes(range(32)), b"\x03\x01" + bytes(range(32)))
    # without the extension that names a newer version
    first = first.replace(struct.pack(">HHBBB", 43, 3, 2, 3, 3), struct.pack(">HH", 23, 3) + b"\0\0\0")
    return talk(client, 443, (0, first), (1, answer_hello().replace(b"\x03\x03", b"\x03\x01")))


@way
def last_words(client):
    made = Session((client, 40_000), (SERVER, 9999)).open()
    return made.say(0, b"hello").say(1, b"hello").say(0, b"last-words").packets


# one that holds from the end of 2026 on, long after these packets
CERTIFICATE = base64.b64decode(
    "MIIBhjCCASugAwIBAgIUMQKUN7VzYv1WULvboAeNFI5G8fMwCgYIKoZIzj0EAwIwGDEWMBQGA1UEAwwNbGluZXMuZXhhbXBsZTAeFw0yNjExMjgwODI0NTNa"
    "Fw0zNjExMjUwODI0NTNaMBgxFjAUBgNVBAMMDWxpbmVzLmV4YW1wbGUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ021TKd4N/C8YfrXB/2s4scx8Bh0qM"
    "pkG42BocCQxE6JYMo301axQgR3OLXHmy5anZyIeCi/DZWeMjNqIhrr4So1MwUTAdBgNVHQ4EFgQUGzXxnXZV8Ux91W0iMqDmt5WSJKEwHwYDVR0jBBgwFoAU"
    "GzXxnXZV8Ux91W0iMqDmt5WSJKEwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNJADBGAiEAjPp5gEecPLpuR6xESvVCsUwaRkD+ObNPzk8o7ERwplUC"
    "IQDUR9VBcjCRySrfvn+ESgA1fwFmNmmwy97F/V0Nl8ryLg=="
)


@way
def certificate(client):
    size = struct.pack(">I", len(CERTIFICATE))[1:]
    chain = struct.pack(">I", len(CERTIFICATE) + 3)[1:] + size + CERTIFICATE
    message = b"\x0b" + struct.pack(">I", len(chain))[1:] + chain
    return talk(client, 443, (0, hello(b"c.example")), (1, answer_hello() + b"\x16\x03\x03" + struct.pack(">H", len(message)) + message))


way(mail_to_tls)


@way
def range_of(client):
    head = b"HTTP/1.1 206 Partial\r\nContent-Type: text/html; charset=x\r\nContent-Range: bytes 5-9/100\r\nContent-Length: 5\r\n\r\n"
    return talk(client, 80, (0, b"GET /lines-range HTTP/1.1\r\nHost: a.example\r\n\r\n"), (1, head + b"lines"))


def frame(kind, flags, stream, body):
    return struct.pack("!I", len(body))[1:] + bytes([kind, flags]) + struct.pack("!I", stream) + body


def literal(key, value):
    return b"\0" + bytes([len(key)]) + key + bytes([len(value)]) + value


@way
def http2(client):
    asked = b"\x82\x87\x04\x0a/lines-two" + b"\x01\x0dlines.example" + literal(b"user-agent", b"lines")
    answered = b"\x88" + literal(b"server", b"lines")
    first = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, b"") + frame(1, 5, 1, asked)
    return talk(client, 80, (0, first), (1, frame(4, 0, 0, b"") + frame(1, 5, 1, answered)), (0, frame(4, 1, 0, b"")))


def mails(client, *messages):
    said = [(1, b"220 mx ESMTP\r\n"), (0, b"EHLO lines.example\r\n"), (1, b"250 ok\r\n")]
    for message in messages:
        said += [(0, b"MAIL FROM:<a@lines.example>\r\n"), (1, b"250 ok\r\n"), (0, b"RCPT TO:<b@lines.example>\r\n"), (1, b"250 ok\r\n")]
        said += [(0, b"DATA\r\n"), (1, b"354 go\r\n"), (0, message + b"\r\n.\r\n"), (1, b"250 queued\r\n")]
    return talk(client, 25, *said, (0, b"QUIT\r\n"), (1, b"221 bye\r\n"))


HEAD = b"From: a@lines.example\r\nTo: b@lines.example\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
TEXT = b"Content-Type: text/plain\r\n\r\n"


def parts(*contents, kind=b"mixed"):
    start = HEAD + b"Content-Type: multipart/" + kind + b'; boundary="BB"\r\n\r\nnone\r\n'
    return start + b"".join(b"--BB\r\n" + content + b"\r\n" for content in contents) + b"--BB--\r\n"


def attached(named, content):
    fields = b"Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=" + named
    return fields + b"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + content


@way
def two_mails(client):
    both = attached(b"one.bin", b"bGluZXMtZmlsZS1vbmUtbG9uZw=="), attached(b"two.bin", b"bGluZXM=")
    mail = parts(TEXT + b"see http://lines.example/x now", *both)
    return mails(client, mail, mail)


MAILS = [
    HEAD + b"\r\nlines text",
    b"Subject: s\r\n\r\nlines text",
    HEAD + TEXT + b"lines text",
    HEAD + b'Content-Type: text/plain; name="a.txt"\r\n\r\nlines text',
    HEAD + b'Content-Type: text/plain\r\nContent-Disposition: attachment; filename="a.txt"\r\n\r\nlines text',
    HEAD + b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nbGluZXMgdGV4dA==",
    HEAD + b"Content-Type: text/html\r\n\r\n<b>lines text</b>",
    parts(TEXT + b"lines text"),
    parts(b'Content-Type: text/plain; name="t.txt"\r\n\r\nlines text'),
    parts(b'Content-Type: text/plain\r\nContent-Disposition: inline; filename="t.txt"\r\n\r\nlines text'),
    parts(TEXT + b"none", b"Content-Disposition: attachment\r\nContent-Transfer-Encoding: base64\r\n\r\nbGluZXMgdGV4dA=="),
    parts(TEXT + b"none", b"Content-Type: text/html\r\n\r\n<b>lines</b>", kind=b"alternative"),
    parts(TEXT + b"none", b'Content-Type: a/b; name="q"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nl=69nes t=\r\next'),
    parts(b'Content-Type: message/rfc822; name="m.eml"\r\n\r\nFrom: z\r\nContent-Type: text/plain; name="i.txt"\r\n\r\nlines text'),
    parts(b'Content-Type: multipart/mixed; boundary="CC"\r\n\r\n--CC\r\nContent-Type: text/plain; name="n.txt"\r\n\r\nlines text\r\n--CC--\r\n'),
]
for mail in MAILS:
    way(lambda client, mail=mail: mails(client, mail))

# ---- Odd heads of HTTP

HOST = b"Host: a.example\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nlines-body"
REFUSED = b"HTTP/1.1 403 No\r\nContent-Length: 10\r\n\r\nlines-body"
CHUNKS = b"Transfer-Encoding: chunked\r\nHost: a.example\r\n\r\na\r\nlines-body\r\n0\r\nX-T: lines-trailer\r\n\r\n"
HEADS = [
    (b"GET /lines?id=1 union select 1 HTTP/1.1\r\n" + HOST, ANSWER),
    (b"GET /lines HTTP/1.1 extra\r\n" + HOST, ANSWER),
    (b"GET /lines union\r\n" + HOST, ANSWER),
    (b"GET /lines union\tHTTP/1.1\r\n" + HOST, ANSWER),
    (b"GET /lines HTTP/1.1 \r\n" + HOST, ANSWER),
    (b" GET /lines HTTP/1.1\r\n" + HOST, ANSWER),
    (b"GET http://lines.example/x union HTTP/1.1\r\n" + HOST, ANSWER),
    (b"GET /lines FOO/1.1\r\n" + HOST, ANSWER),
    (b"CONNECT lines.example:443 HTTP/1.1\r\nHost: lines.example:443\r\n\r\n", REFUSED),
    (b"GET /lines HTTP/1.1\r\n" + HOST, b"HTTP/1.1 200 OK\r\n" + CHUNKS),
    (b"POST /lines HTTP/1.1\r\n" + CHUNKS, ANSWER),
    (b"GET /lines\r\n", b"<html>lines-body</html>"),
    (b"GET /lines\r\n\r\n", b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\nlines-body"),
    (b"GET /lines\r\nHost: a.example\r\n\r\n", ANSWER),
]
for asked, answered in HEADS:
    way(lambda client, asked=asked, answered=answered: talk(client, 80, (0, asked), (1, answered)))

# ---- Datagrams, files, and several transactions

VIA = b"Via: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@a.example>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
AGENT = "302602010104067075626c6963%s19020426f6a4e5020100020100300b300906052b060102010500"


def exchange(client, port, *said):
    ends = (client, 1000), (SERVER, port)
    return [udp(*(ends if number % 2 == 0 else ends[::-1]), data) for number, data in enumerate(said)]


@way
def phone(client):
    return exchange(client, 5060, b"OPTIONS sip:lines SIP/2.0\r\n" + VIA, b"SIP/2.0 404 Not Found\r\n" + VIA, b"OPTIONS sip:lines-again SIP/2.0\r\n" + VIA)


@way
def agent(client):
    return exchange(client, 161, *[bytes.fromhex(AGENT % kind) for kind in ("a0", "a2", "a1", "a2")])


@way
def files(client):
    control = Session((client, 40_001), (SERVER, 21)).open()
    said = [(1, b"220 (lines)\r\n"), (0, b"USER a\r\n"), (1, b"230 ok\r\n"), (0, b"PASV\r\n"), (1, b"227 Entering Passive Mode (198,51,100,9,156,64).\r\n")]
    for side, data in said + [(0, b"RETR lines.txt\r\n"), (1, b"150 ok\r\n")]:
        control.say(side, data)
    data = Session((client, 40_002), (SERVER, 40_000)).open()
    data.say(1, b"lines of a file")
    data.add(1, 17)
    data.add(0, 17)
    data.add(1, 16)
    control.say(1, b"226 done\r\n")
    return control.packets[:-2] + data.packets + control.packets[-2:]


@way
def three_requests(client):
    said = [(n % 2, [b"GET /lines-%d HTTP/1.1\r\nHost: a.example\r\n\r\n" % n, ANSWER][n % 2]) for n in range(6)]
    session = Session((client, 40_000), (SERVER, 80)).open()
    for side, data in said:
        session.add(side, 24, data)
    return session.close()


def main():
    timed = []
    for number, build in enumerate(ways, 1):
        at = (1_700_000_000 + 1_000 * number) * 10**6
        for packet in build(f"10.9.0.{number}"):
            timed.append((at, packet))
            at += 1_000
    write(HERE / "lines.pcap", timed)
    if len(sys.argv) > 1:
        events = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
        alerts = [event for event in events if event["event_type"] == "alert"]
        (HERE / "lines.json").write_text("[\n" + ",\n".join(json.dumps(alert) for alert in alerts) + "\n]\n")


if __name__ == "__main__":
    main()
