#!/usr/bin/env python3
"""Writes protocols.pcap: conversations that fill the rarer buffers and facts of rules, one client 10.8.0.N each, and what is odd about packets.

protocols.rules asks for them. What each rule gives is in protocols.json: recorded from Suricata 7.0.10 (`record.py`'s settings, with the protocols
that are off in its stock configuration on), where a rule is not listed with a reason of its own.
"""
import base64
import hashlib
import json
import struct
import sys
import uuid

from make import HERE, Session, checksum, ip, summed, tcp, udp, write

SERVER = "198.51.100.8"
ways = []


def way(build):
    ways.append(build)
    return build


def talk(client, port, *said):
    made = Session((client, 40_000), (SERVER, port)).open()
    for side, data in said:
        made.say(side, data)
    return made.close()


# ---- DCE/RPC

SVCCTL = uuid.UUID("367abb81-9844-35f1-ad32-98f038001003")


def dce(kind, flags, call, body, little=True):
    order = "<" if little else ">"
    return struct.pack(order + "BBBB4sHHI", 5, 0, kind, flags, b"\x10\0\0\0" if little else b"\0\0\0\0", 16 + len(body), 0, call) + body


def dce_bind(call=1):
    item = struct.pack("<HBB", 0, 1, 0) + SVCCTL.bytes_le + struct.pack("<HH", 2, 0) + bytes(20)
    return dce(11, 3, call, struct.pack("<HHIBBH", 4280, 4280, 0, 1, 0, 0) + item)


def dce_bind_ack(call=1):
    # an address of 4 octets, so that results begin at a multiple of 4
    body = struct.pack("<HHI", 4280, 4280, 1) + struct.pack("<H", 4) + b"135\0" + b"\0\0" + struct.pack("<BBH", 1, 0, 0)
    return dce(12, 3, call, body + struct.pack("<HH", 0, 0) + bytes(20))


def dce_request(call, operation, stub, flags=3):
    return dce(0, flags, call, struct.pack("<IHH", len(stub), 0, operation) + stub)


def dce_response(call, stub):
    return dce(2, 3, call, struct.pack("<IHBB", len(stub), 0, 0, 0) + stub)


@way
def dcerpc(client):
    return talk(
        client, 135, (0, dce_bind()), (1, dce_bind_ack()),
        (0, dce_request(2, 15, b"\x2a\0\0\0STUBONE!")), (1, dce_response(2, b"ANSWERED")),
    )


# ---- SMB 2

def smb2(command, message, body, answers=False, tree=1):
    head = struct.pack("<4sHHIHHIIQIIQ16s", b"\xfeSMB", 64, 0, 0, command, 1, int(answers), 0, message, 0, tree, 9, bytes(16))
    return struct.pack(">I", len(head + body)) + head + body


def utf16(text):
    return text.encode("utf-16-le")


def tree_connect(message, path):
    path = utf16(path)
    return smb2(3, message, struct.pack("<HHHH", 9, 0, 72, len(path)) + path)


def tree_answer(message, kind):
    return smb2(3, message, struct.pack("<HBBIII", 16, kind, 0, 0, 0, 0x1F01FF), True)


def logon(message):
    domain, user = utf16("EXAMPLE"), utf16("mallory")
    fixed = 64 + 8
    fields = b"".join(
        struct.pack("<HHI", len(t), len(t), at) for t, at in [(b"", fixed), (b"", fixed), (domain, fixed), (user, fixed + len(domain)), (b"", fixed), (b"", fixed)]
    )
    blob = b"NTLMSSP\0" + struct.pack("<I", 3) + fields + struct.pack("<I", 0x00000201) + bytes(8) + domain + user
    return smb2(1, message, struct.pack("<HBBIIHHQ", 25, 0, 1, 0, 0, 88, len(blob), 0) + blob)


FILE = struct.pack("<QQ", 77, 78)


def create(message, name):
    name = utf16(name)
    body = struct.pack("<HBBIQQIIIIIHHII", 57, 0, 0, 2, 0, 0, 0x12019F, 0, 7, 3, 0, 120, len(name), 0, 0)
    return smb2(5, message, body + name)


def create_answer(message):
    return smb2(5, message, struct.pack("<HBBI4QQQII", 89, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0) + FILE + struct.pack("<II", 0, 0), True)


def smb_write(message, data):
    return smb2(9, message, struct.pack("<HHIQ", 49, 112, len(data), 0) + FILE + struct.pack("<IIHHI", 0, 0, 0, 0, 0) + data)


def ioctl(message, data):
    return smb2(11, message, struct.pack("<HHI", 57, 0, 0x0011C017) + FILE + struct.pack("<IIIIIIII", 120, len(data), 0, 0, 0, 1024, 1, 0) + data)


def ioctl_answer(message, data):
    return smb2(11, message, struct.pack("<HHI", 49, 0, 0x0011C017) + FILE + struct.pack("<IIIIII", 112, 0, 112, len(data), 0, 0) + data, True)


@way
def smb_shares(client):
    return talk(
        client, 445, (0, logon(3)), (1, smb2(1, 3, struct.pack("<HHHH", 9, 0, 72, 0), True)),
        (0, tree_connect(4, "\\\\198.51.100.8\\IPC$")), (1, tree_answer(4, 2)), (0, tree_connect(5, "\\\\198.51.100.8\\C$")), (1, tree_answer(5, 1)),
    )


@way
def smb_file(client):
    return talk(
        client, 445, (0, tree_connect(4, "\\\\198.51.100.8\\C$")), (1, tree_answer(4, 1)), (0, create(5, "tools\\evil.exe")), (1, create_answer(5)),
        (0, smb_write(6, b"MZ and what follows of a program")), (1, smb2(9, 6, struct.pack("<HHIIHH", 17, 0, 32, 0, 0, 0), True)),
        (0, smb2(6, 7, struct.pack("<HHI", 24, 0, 0) + FILE)), (1, smb2(6, 7, struct.pack("<HHI", 60, 0, 0) + bytes(52), True)),
    )


@way
def smb_pipe(client):
    return talk(
        client, 445, (0, tree_connect(4, "\\\\198.51.100.8\\IPC$")), (1, tree_answer(4, 2)), (0, create(5, "svcctl")), (1, create_answer(5)),
        (0, ioctl(6, dce_bind())), (1, ioctl_answer(6, dce_bind_ack())), (0, ioctl(7, dce_request(2, 12, b"PIPESTUB"))),
        (1, ioctl_answer(7, dce_response(2, b"PIPEBACK"))),
    )


# ---- control of machines

def modbus_message(number, unit, pdu):
    return struct.pack(">HHHB", number, 0, len(pdu) + 1, unit) + pdu


@way
def modbus(client):
    write = struct.pack(">BHH", 6, 100, 5)
    read = struct.pack(">BHH", 3, 10, 5)
    coils = struct.pack(">BHHB", 15, 3, 2, 1) + b"\x02"
    return talk(
        client, 502, (0, modbus_message(1, 7, write)), (1, modbus_message(1, 7, write)), (0, modbus_message(2, 7, read)),
        (1, modbus_message(2, 7, b"\x03\x0a" + bytes(10))), (0, modbus_message(3, 7, coils)), (1, modbus_message(3, 7, struct.pack(">BHH", 15, 3, 2))),
    )


def dnp3_sum(data):
    total = 0
    for byte in data:
        total ^= byte
        for _ in range(8):
            total = (total >> 1) ^ 0xA6BC if total & 1 else total >> 1
    return struct.pack("<H", ~total & 0xFFFF)


def dnp3_frame(control, dst, src, data):
    head = struct.pack("<BBBBHH", 5, 0x64, 5 + len(data), control, dst, src)
    out = head + dnp3_sum(head)
    for at in range(0, len(data), 16):
        out += data[at : at + 16] + dnp3_sum(data[at : at + 16])
    return out


@way
def dnp3(client):
    read = bytes([0xC0, 0xC1, 1, 60, 2, 6, 60, 3, 6])
    answer = bytes([0xC0, 0xC1, 129, 0x90, 0x00])
    return talk(client, 20000, (0, dnp3_frame(0xC4, 1, 2, read)), (1, dnp3_frame(0x44, 2, 1, answer)))


@way
def enip(client):
    register = struct.pack("<HHIIQI", 0x65, 4, 0, 0, 0, 0) + struct.pack("<HH", 1, 0)
    return talk(client, 44818, (0, register), (1, register))


# ---- screens, keys, addresses, files

def rpc(*words):
    body = struct.pack(f">{len(words)}I", *words)
    return struct.pack(">I", 0x80000000 | len(body)) + body


@way
def nfs(client):
    call = rpc(77, 0, 2, 100003, 3, 1, 0, 0, 0, 0, 4, 0x01020304)
    return talk(client, 2049, (0, call), (1, rpc(77, 1, 0, 0, 0, 0, 70)))


@way
def rfb(client):
    return talk(
        client, 5900, (1, b"RFB 003.008\n"), (0, b"RFB 003.008\n"), (1, b"\x01\x02"), (0, b"\x02"), (1, bytes(range(16))), (0, bytes(range(16, 32))),
        (1, bytes(4)), (0, b"\x01"), (1, struct.pack(">HH", 640, 480) + bytes(16) + struct.pack(">I", 7) + b"DESKTOP"),
    )


def ike_message(version, exchange, payloads, flags=0):
    body, kinds = b"", [kind for kind, _ in payloads] + [0]
    for n, (_, data) in enumerate(payloads):
        body += struct.pack(">BBH", kinds[n + 1], 0, 4 + len(data)) + data
    head = struct.pack(">8s8sBBBBII", b"INITSPI!", b"RESPSPI!" if flags & 0x20 else bytes(8), kinds[0], version << 4, exchange, flags, 0, 28 + len(body))
    return head + body


@way
def ike_one(client):
    proposal = struct.pack(">II", 1, 1) + struct.pack(">BBHBBBB", 0, 0, 16, 1, 1, 0, 1) + struct.pack(">BBHBBHHH", 0, 0, 8, 1, 1, 0, 0x8001, 7)[:8]
    message = ike_message(1, 2, [(1, proposal), (13, b"VENDORID12345678"), (4, b"K" * 32), (10, b"NONCE123")])
    return [udp((client, 500), (SERVER, 500), message)]


@way
def ike_two(client):
    message = ike_message(2, 34, [(34, struct.pack(">HH", 14, 0) + b"Q" * 24), (40, b"NONCE456NONCE456")], 8)
    return [udp((client, 500), (SERVER, 500), message)]


@way
def dhcp(client):
    fixed = struct.pack(">BBBBIHH4s4s4s4s", 2, 1, 6, 0, 0x1234, 0, 0, bytes(4), bytes([10, 8, 0, 99]), bytes(4), bytes(4)) + b"\x02\0\0\0\0\x09" + bytes(10) + bytes(192)
    options = b"\x63\x82\x53\x63" + b"\x35\x01\x05" + b"\x33\x04" + struct.pack(">I", 3600) + b"\x3a\x04" + struct.pack(">I", 1800) + b"\x3b\x04" + struct.pack(">I", 3150)
    return [udp((SERVER, 67), (client, 68), fixed + options + b"\xff")]


def http(client, request, response, port=80):
    return talk(client, port, (0, request), (1, response))


BODY = b"%PDF-1.4 a file that is known by its digests"


@way
def download(client):
    head = b"GET /files/report.pdf?x=1 HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
    return http(client, head, b"HTTP/1.1 200 OK\r\nContent-Type: application/pdf\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)


@way
def attachment(client):
    head = b"GET /get.php HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
    answer = b'HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename="Invoice.EXE"\r\nContent-Length: 4\r\n\r\nMZab'
    return http(client, head, answer)


@way
def upload(client):
    part = b'--xy\r\nContent-Disposition: form-data; name="f"; filename="notes.txt"\r\nContent-Type: text/plain\r\n\r\nuploaded text\r\n--xy--\r\n'
    head = b"POST /up HTTP/1.1\r\nHost: www.example.com\r\nContent-Type: multipart/form-data; boundary=xy\r\nContent-Length: %d\r\n\r\n" % len(part)
    return http(client, head + part, b"HTTP/1.1 204 No Content\r\n\r\n")


@way
def mail(client):
    text = b"From: a@example.com\r\nSubject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
    text += b'--q\r\nContent-Type: application/octet-stream; name="mail.bin"\r\nContent-Disposition: attachment; filename="mail.bin"\r\n'
    text += b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode(b"attached bytes") + b"\r\n--q--\r\n.\r\n"
    return talk(
        client, 25, (1, b"220 mx.example.com ESMTP\r\n"), (0, b"EHLO a.example\r\n"), (1, b"250 mx\r\n"), (0, b"MAIL FROM:<a@example.com>\r\n"), (1, b"250 ok\r\n"),
        (0, b"RCPT TO:<b@example.com>\r\n"), (1, b"250 ok\r\n"), (0, b"DATA\r\n"), (1, b"354 go\r\n"), (0, text), (1, b"250 done\r\n"), (0, b"QUIT\r\n"), (1, b"221 bye\r\n"),
    )


def query(name, kind=1, number=7, flags=0x0100):
    labels = b"".join(bytes([len(p)]) + p for p in name.split(b"."))
    return struct.pack(">HHHHHH", number, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">HH", kind, 1)


@way
def names(client):
    asked = [b"listed.example", b"other.example", b"scored.example", b"listed.example"]
    return [udp((client, 40_000 + n), (SERVER, 53), query(name, number=n)) for n, name in enumerate(asked)]


@way
def odd_names(client):
    flags = struct.pack(">HHHHHH", 7, 0x0140, 1, 0, 0, 0) + query(b"z.example")[12:]
    return [udp((client, 40_000), (SERVER, 53), flags), udp((client, 40_001), (SERVER, 53), query(b"o.example", flags=0x7800))]


@way
def mqtt(client):
    connect = b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x02me"
    publish = b"\x00\x01tPAYLOAD"
    return talk(client, 1883, (0, bytes([0x10, len(connect)]) + connect), (1, b"\x20\x02\x00\x00"), (0, bytes([0x31, len(publish)]) + publish))


@way
def ftp_bounce(client):
    return talk(
        client, 21, (1, b"220 ready\r\n"), (0, b"USER a\r\n"), (1, b"331 password\r\n"), (0, b"PASS b\r\n"), (1, b"230 in\r\n"),
        (0, b"PORT 192,0,2,77,4,1\r\n"), (1, b"200 ok\r\n"),
    )


# ---- what is odd about heads of HTTP

def asks(client, *requests):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    said = []
    for request in requests:
        said += [(0, request), (1, answer)]
    return talk(client, 80, *said)


@way
def no_host(client):
    return asks(client, b"GET /nohost HTTP/1.1\r\nA: b\r\n\r\n")


@way
def two_hosts(client):
    return asks(client, b"GET http://b.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n")


@way
def odd_fields(client):
    return asks(client, b"GET / HTTP/1.1\r\nHost: a.example\r\nNoColon\r\nX: 1\r\nX: 2\r\n\r\n")


@way
def odd_host(client):
    return asks(client, b"GET / HTTP/1.1\r\nHost: a exa mple\r\n\r\n")


@way
def odd_port(client):
    return asks(client, b"GET / HTTP/1.1\r\nHost: a.example:8080\r\n\r\n")


@way
def odd_answer(client):
    return http(client, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")


# ---- what is odd about packets

def ipv6(proto, payload, hops=64, src="20010db8000000000000000000000001"):
    head = struct.pack(">IHBB", 0x60000000, len(payload), proto, hops) + bytes.fromhex(src) + bytes.fromhex("20010db8000000000000000000000002")
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x86\xdd" + head + payload


UDP6 = struct.pack(">HHHH", 40_000, 9, 12, 0) + b"data"


def options(next_header, body):
    body += bytes(-(len(body) + 2) % 8)
    return bytes([next_header, (len(body) + 2) // 8 - 1]) + body


@way
def odd_ipv6(client):
    pad = b"\x01\x04\0\0\0\0"
    return [
        ipv6(0, options(17, pad) + UDP6),
        ipv6(0, options(17, b"\x1e\x02ab\x01\0") + UDP6),
        ipv6(60, options(60, b"\x1e\x04abcd") + options(17, b"\x1e\x04abcd") + UDP6),
        ipv6(43, bytes([17, 0, 0, 0, 0, 0, 0, 0]) + UDP6),
        ipv6(44, bytes([17, 0, 0, 0, 0, 0, 0, 1]) + UDP6),
        ipv6(44, bytes([44, 5, 0, 0, 0, 0, 0, 1]) + bytes([17, 0, 0, 0, 0, 0, 0, 1]) + UDP6),
        ipv6(59, b"more"),
        ipv6(200, b"what is that"),
        ipv6(1, b"\x08\0\0\0\0\x01\0\x01"),
        ipv6(51, bytes([17, 1, 7, 7]) + bytes(8) + UDP6),
        ipv6(0, options(0, b"\x05\x02\0\0\x01\0") + options(17, b"\x05\x02\0\0\x01\0") + UDP6),
    ]


@way
def odd_icmp(client):
    def message(kind, code, rest=b"\0\0\0\0"):
        head = struct.pack(">BBH", kind, code, 0) + rest
        return ip(client, SERVER, 1, head[:2] + struct.pack(">H", checksum(head)) + head[4:])

    def message6(kind, code, hops=64):
        return ipv6(58, struct.pack(">BBHI", kind, code, 0, 0) + bytes(16), hops)

    return [message(44, 0), message(8, 5), message(3, 99), message6(150, 0), message6(1, 77), message6(130, 0, 64), message6(200, 0), message6(100, 0), message6(180, 0)]


def ip_options(client, options):
    head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + 12, 1, 0x4000, 64, 17, 0)
    ends = bytes(int(n) for n in client.split(".")) + bytes(int(n) for n in SERVER.split("."))
    head = head + ends + options
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0" + head + struct.pack("!HHHH", 40_000, 9, 12, 0) + b"data"


@way
def odd_ipv4(client):
    router_alert, record = b"\x94\x04\0\0", b"\x07\x07\x04\0\0\0\0\0"
    short = ip(client, SERVER, 17, struct.pack("!HHHH", 40_000, 9, 12, 0) + b"data")
    hlen = bytearray(short)
    hlen[14] = 0x42
    version = bytearray(short)
    version[14] = 0x75
    length = bytearray(short)
    length[16:18] = struct.pack("!H", 10)
    return [
        ip_options(client, router_alert + router_alert),
        ip_options(client, b"\x07\x63\x04\0\0\0\0\0"),
        ip_options(client, record),
        ip_options(client, b"\x99\x04\0\0\x01\x01\x01\x01"),
        bytes(hlen), bytes(version), bytes(length), short[:40], short[:20],
        ip(client, SERVER, 58, b"\x80\0\0\0\0\0\0\0"),
    ]


@way
def odd_fragments(client):
    whole = summed(client, SERVER, 17, struct.pack("!HHHH", 40_000, 9, 48, 0) + bytes(range(40)), 6)
    def part(first, last, more):
        return ip(client, SERVER, 17, whole[first:last], 77, (0x2000 if more else 0) | first // 8)
    return [part(0, 32, True), part(24, 48, False), ip(client, SERVER, 17, bytes(64), 78, 0x1FFF)]


@way
def odd_udp(client):
    return [
        ip(client, SERVER, 17, struct.pack("!HHHH", 40_000, 9, 200, 0) + b"data"),
        ip(client, SERVER, 17, struct.pack("!HHHH", 40_000, 9, 9, 0) + b"data"),
        ip(client, SERVER, 17, b"\0\1\0\2"),
        ip(client, SERVER, 17, struct.pack("!HHHH", 40_000, 9, 5, 0) + b"data"),
    ]


@way
def odd_tcp(client):
    def syn(offset, options):
        head = struct.pack("!HHIIBBHHH", 40_000, 9, 1, 0, offset << 4, 2, 1024, 0, 0) + options
        return ip(client, SERVER, 6, summed(client, SERVER, 6, head, 16))

    return [
        syn(4, b""), syn(15, b"\1\1\1\1"), syn(7, b"\x02\x04\x05\xb4\x02\x04\x05\xb4"), syn(6, b"\x03\x04\0\0"), syn(6, b"\x08\x63\0\0"),
        ip(client, SERVER, 6, b"\x9c\x40\0\x09\0\0"),
    ]


@way
def odd_stream(client):
    ends = ((client, 40_000), (SERVER, 9))
    made = Session(*ends).open()
    made.say(0, b"said once").say(1, b"answered")
    made.packets.append(tcp(*ends, 1001, made.seqs[1], 24, b"said once"))
    made.packets.append(tcp(*ends, 1000, 0, 2))
    made.packets.append(tcp(*ends, 77_000, 0, 2))
    made.packets.append(tcp(ends[1], ends[0], 5000, 1001, 18))
    made.packets.append(tcp(*ends, 5_000_000, made.seqs[1], 24, b"far beyond"))
    made.packets.append(tcp(*ends, made.seqs[0], made.seqs[1] + 100_000, 16))
    return made.close()


@way
def odd_handshake(client):
    ends = ((client, 40_000), (SERVER, 9))
    return [
        tcp(*ends, 1000, 0, 2), tcp(ends[1], ends[0], 5000, 4444, 18), tcp(ends[1], ends[0], 5000, 1001, 18), tcp(*ends, 1001, 9999, 16), tcp(*ends, 1001, 5001, 16),
    ]


@way
def no_session(client):
    return [tcp((client, 40_000), (SERVER, 9), 1, 2, 17), tcp((client, 40_001), (SERVER, 9), 1, 2, 4), tcp((client, 40_002), (SERVER, 9), 1, 2, 2)]


@way
def sums(client):
    right = udp((client, 40_000), (SERVER, 9), b"summed")
    return [right, right[:-1] + b"x"]


# ---- what goes on as TLS

def hello(name):
    server = struct.pack(">HBH", len(name) + 3, 0, len(name)) + name
    extensions = struct.pack(">HH", 0, len(server)) + server + struct.pack(">HHBBB", 43, 3, 2, 3, 3)
    body = b"\x03\x03" + bytes(range(32)) + b"\0" + struct.pack(">HH", 4, 0x1301) + b"\xc0\x2f" + b"\x01\0" + struct.pack(">H", len(extensions)) + extensions
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\x03\x01" + struct.pack(">H", len(message)) + message


def answer_hello():
    body = b"\x03\x03" + bytes(range(32, 64)) + b"\0" + b"\xc0\x2f" + b"\0"
    message = b"\x02" + struct.pack(">I", len(body))[1:] + body
    return b"\x16\x03\x03" + struct.pack(">H", len(message)) + message


@way
def mail_to_tls(client):
    return talk(
        client, 25, (1, b"220 mx.example.com ESMTP\r\n"), (0, b"EHLO a.example\r\n"), (1, b"250-mx\r\n250 STARTTLS\r\n"), (0, b"STARTTLS\r\n"),
        (1, b"220 go ahead\r\n"), (0, hello(b"mx.inside.example")), (1, answer_hello()),
    )


@way
def connect_to_tls(client):
    return talk(
        client, 8080, (0, b"CONNECT web.inside.example:443 HTTP/1.1\r\nHost: web.inside.example:443\r\n\r\n"), (1, b"HTTP/1.1 200 Connection established\r\n\r\n"),
        (0, hello(b"web.inside.example")), (1, answer_hello()),
    )


@way
def files_to_tls(client):
    return talk(
        client, 21, (1, b"220 ready\r\n"), (0, b"AUTH TLS\r\n"), (1, b"234 go ahead\r\n"), (0, hello(b"ftp.inside.example")), (1, answer_hello()),
    )


# What lines of alerts say: keys as the checks of suricata-verify name them, and values. How many lines of Suricata's file fit is in filters.json.
FILTERS = [
    {"alert.signature_id": 400, "http.hostname": "www.example.com", "http.url": "/files/report.pdf?x=1", "http.http_method": "GET"},
    {"alert.signature_id": 400, "http.protocol": "HTTP/1.1", "http.status": 200, "http.length": 44, "http.http_content_type": "application/pdf"},
    {"alert.signature_id": 400, "direction": "to_client", "tx_id": 0, "app_proto": "http", "not-has-key": "http.http_refer"},
    {"alert.signature_id": 400, "files[0].filename": "/files/report.pdf", "files[0].size": 44, "files[0].state": "CLOSED", "files.__len": 1},
    {"alert.signature_id": 412, "files[0].filename": "Invoice.EXE", "http.url": "/get.php"},
    {"alert.signature_id": 415, "smtp.helo": "a.example", "smtp.mail_from": "<a@example.com>", "smtp.rcpt_to[0]": "<b@example.com>"},
    {"alert.signature_id": 500, "dns.query[0].rrname": "listed.example", "dns.query[0].rrtype": "A", "dns.query[0].type": "query"},
    {"alert.signature_id": 507, "dns.query[0].z": True, "dns.query[0].opcode": 0, "dns.version": 2},
    {"alert.signature_id": 900, "tls.sni": "mx.inside.example", "app_proto": "tls", "dest_port": 25},
    {"alert.signature_id": 903, "tls.sni": "web.inside.example", "tls.version": "TLS 1.2", "direction": "to_client"},
    {"alert.signature_id": 722, "icmp_type": 180, "icmp_code": 0, "proto": "IPv6-ICMP", "not-has-key": "src_port"},
    {"alert.signature_id": 703, "not-has-key": "src_ip", "has-key": "pcap_cnt"},
    {"event_type": "alert", "alert.signature_id": 602, "http.url.__startswith": "/", "pkt_src": "wire/pcap"},
    {"alert.signature_id": 504, "app_proto": "dns", "dns.query[0].rrname.__contains": "example"},
    {"event_type": "alert", "alert.action": "allowed", "alert.severity": 3, "alert.gid": 1, "app_proto": "smb", "proto": "TCP", "dest_port": 445},
    {"alert.signature_id": 401, "flow.src_ip": "10.8.0.13", "flow.dest_port": 80},
    {"alert.signature_id": 114, "smb.ntlmssp.user": "mallory", "smb.ntlmssp.domain": "EXAMPLE"},
    {"alert.signature_id": 113, "smb.share": "\\\\198.51.100.8\\C$"},
    {"alert.signature_id": 112, "smb.named_pipe": "\\\\198.51.100.8\\IPC$"},
    {"alert.signature_id": 302, "rfb.authentication.security_type": 2},
    {"alert.signature_id": 303, "rfb.authentication.security_result": "OK"},
    {"alert.signature_id": 304, "rfb.framebuffer.name": "DESKTOP"},
    {"alert.signature_id": 305, "ike.init_spi": "494e495453504921", "ike.exchange_type": 2},
    {"alert.signature_id": 306, "ike.exchange_type": 34},
    {"alert.signature_id": 900, "app_proto_orig": "smtp"},
    {"alert.signature_id": 901, "app_proto_orig": "http"},
]


def value_of(event, key):
    for part in key.replace("]", "").replace("[", ".").split("."):
        if part == "__len":
            return len(event)
        try:
            event = event[int(part)] if isinstance(event, list) else event[part]
        except (KeyError, IndexError, TypeError, ValueError):
            return None
    return event


def fits(event, wanted):
    for key, value in wanted.items():
        if key in ("has-key", "not-has-key"):
            if (value_of(event, value) is not None) != (key == "has-key"):
                return False
        elif key.endswith(".__startswith"):
            if not str(value_of(event, key.rsplit(".", 1)[0])).startswith(value):
                return False
        elif key.endswith(".__contains"):
            if value not in str(value_of(event, key.rsplit(".", 1)[0])):
                return False
        elif value_of(event, key) != value:
            return False
    return True


def main():
    timed = []
    for number, build in enumerate(ways, 1):
        at = (1_700_000_000 + 1_000 * number) * 10**6
        for packet in build(f"10.8.0.{number}"):
            timed.append((at, packet))
            at += 1_000
    write(HERE / "protocols.pcap", timed)
    lists = HERE / "lists"
    lists.mkdir(exist_ok=True)
    (lists / "names.lst").write_text(base64.b64encode(b"listed.example").decode() + "\n")
    (lists / "names.rep").write_text(base64.b64encode(b"scored.example").decode() + ",70\n")
    (lists / "hosts.lst").write_text(f"10.8.0.{1 + ways.index(names)}\n")
    for kind in ["md5", "sha1", "sha256"]:
        (lists / f"files.{kind}").write_text(hashlib.new(kind, BODY).hexdigest() + "  report.pdf\n")
    if len(sys.argv) > 1:
        # the alerts of Suricata, to be kept
        counts = {}
        events = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
        events = [event for event in events if event["event_type"] == "alert"]
        filters = [{"match": wanted, "count": sum(fits(event, wanted) for event in events)} for wanted in FILTERS]
        (HERE / "filters.json").write_text("[\n" + ",\n".join(json.dumps(f) for f in filters) + "\n]\n")
        for event in events:
            if event["event_type"] == "alert":
                sid = str(event["alert"]["signature_id"])
                counts[sid] = counts.get(sid, 0) + 1
        ordered = dict(sorted(counts.items(), key=lambda c: int(c[0])))
        (HERE / "protocols.json").write_text(json.dumps(ordered, indent=1) + "\n")


if __name__ == "__main__":
    main()
