#!/usr/bin/env python3
"""Writes events.pcap and events.rules: conversations with everything odd that rules can ask for by `app-layer-event`, `decode-event` and `stream-event`.

A conversation is a function, its client 10.9.N.M. Three rules ask for each event: whatever the direction, to the server, to the client. What Suricata
7.0.10 raises for each conversation is in events.json, written by

    python3 tests/signatures/events.py record

which needs suricata and the right to run it. Nothing here is random: the same text makes the same bytes.
"""
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

from make import HERE, Session, checksum, ip, summed, tcp, udp, write
from protocols import SERVER, ipv6, modbus_message, options, query

ways = []


def way(build):
    ways.append(build)
    return build


def talk(client, port, *said):
    made = Session((client, 40_000), (SERVER, port)).open()
    for side, data in said:
        made.say(side, data)
    return made.close()


# ---- heads of HTTP

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def asks(name, request, answer=OK):
    def build(client):
        return talk(client, 80, (0, request), (1, answer))

    build.__name__ = "http_" + name
    return way(build)


def answers(name, answer):
    return asks("answer_" + name, b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", answer)


def get(head=b"", line=b"GET / HTTP/1.1", body=b""):
    return line + b"\r\nHost: a.example\r\n" + head + b"\r\n" + body


asks("plain", get())
asks("no_host", b"GET / HTTP/1.1\r\nA: b\r\n\r\n")
asks("no_host_old", b"GET / HTTP/1.0\r\nA: b\r\n\r\n")
asks("two_hosts", get(line=b"GET http://b.example/ HTTP/1.1"))
asks("host_and_port", get(line=b"GET http://a.example:80/ HTTP/1.1"))
asks("two_host_fields", b"GET / HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n")
asks("host_of_blanks", b"GET / HTTP/1.1\r\nHost: a exa mple\r\n\r\n")
asks("host_empty", b"GET / HTTP/1.1\r\nHost:\r\n\r\n")
asks("host_dots", b"GET / HTTP/1.1\r\nHost: a..example\r\n\r\n")
asks("host_odd_letter", b"GET / HTTP/1.1\r\nHost: a_b!.example\r\n\r\n")
asks("host_odd_port", b"GET / HTTP/1.1\r\nHost: a.example:8x\r\n\r\n")
asks("host_brackets", b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n")
asks("host_bracket_open", b"GET / HTTP/1.1\r\nHost: [2001:db8::1\r\n\r\n")
asks("host_long_label", b"GET / HTTP/1.1\r\nHost: " + b"a" * 70 + b".example\r\n\r\n")
asks("uri_host_odd", b"GET http://a..b/ HTTP/1.1\r\nHost: a..b\r\n\r\n")
asks("uri_host_blank", get(line=b"GET http://a%20b/ HTTP/1.1"))
asks("auth_basic", get(b"Authorization: Basic YTpi\r\n"))
asks("auth_odd", get(b"Authorization: Whatever x\r\n"))
asks("auth_negotiate", get(b"Authorization: NTLM TlRMTVNTUAAB\r\n"))
asks("auth_empty", get(b"Authorization: \r\n"))
asks("line_blank", get(line=b" GET / HTTP/1.1"))
asks("line_tab", get(line=b"\tGET / HTTP/1.1"))
asks("line_empty_before", b"\r\n" + get())
asks("method_two_blanks", get(line=b"GET  / HTTP/1.1"))
asks("method_tab", get(line=b"GET\t/ HTTP/1.1"))
asks("uri_tab", get(line=b"GET /\tHTTP/1.1"))
asks("uri_two_blanks", get(line=b"GET /  HTTP/1.1"))
asks("uri_inner_tab", get(line=b"GET /a\tb HTTP/1.1"))
asks("uri_inner_blank", get(line=b"GET /a b HTTP/1.1"))
asks("uri_vertical_tab", get(line=b"GET /\x0bHTTP/1.1"))
asks("uri_form_feed", get(line=b"GET /a\x0c HTTP/1.1"))
asks("no_colon", get(b"NoColon\r\n"))
asks("folding_first", b"GET / HTTP/1.1\r\n folded: x\r\nHost: a.example\r\n\r\n")
asks("folding", get(b"A: b\r\n c\r\n"))
asks("repeated", get(b"X: 1\r\nX: 2\r\n"))
asks("repeated_often", get(b"X: 1\r\n" * 80))
asks("repeated_thrice", get(b"X: 1\r\nX: 2\r\nX: 3\r\n"))
asks("length_twice", get(b"Content-Length: 2\r\nContent-Length: 2\r\n", b"POST / HTTP/1.1", b"ab"))
asks("length_two", get(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"POST / HTTP/1.1", b"ab"))
asks("length_word", get(b"Content-Length: two\r\n", b"POST / HTTP/1.1", b""))
asks("length_get_word", get(b"Content-Length: two\r\n"))
asks("length_mixed", get(b"Content-Length: 2x\r\n", b"POST / HTTP/1.1", b"ab"))
asks("length_empty", get(b"Content-Length: \r\n", b"POST / HTTP/1.1"))
asks("length_signed", get(b"Content-Length: -2\r\n", b"POST / HTTP/1.1"))
asks("length_plus", get(b"Content-Length: +2\r\n", b"POST / HTTP/1.1", b"ab"))
asks("chunked_and_length", get(b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", b"POST / HTTP/1.1", b"0\r\n\r\n"))
asks("odd_coding", get(b"Transfer-Encoding: odd\r\n", b"POST / HTTP/1.1"))

answers("no_colon", b"HTTP/1.1 200 OK\r\nNoColon\r\nContent-Length: 0\r\n\r\n")
answers("folding_first", b"HTTP/1.1 200 OK\r\n folded: x\r\nContent-Length: 0\r\n\r\n")
answers("folding", b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n")
answers("repeated", b"HTTP/1.1 200 OK\r\nX: 1\r\nX: 2\r\nContent-Length: 0\r\n\r\n")
answers("repeated_often", b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 80 + b"Content-Length: 0\r\n\r\n")
answers("length_twice", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok")
answers("length_two", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok")
answers("length_word", b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok")
answers("length_mixed", b"HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok")
answers("length_empty", b"HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nok")
answers("length_signed", b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok")
answers("status_word", b"HTTP/1.1 2x0 OK\r\nContent-Length: 0\r\n\r\n")
answers("status_small", b"HTTP/1.1 99 OK\r\nContent-Length: 0\r\n\r\n")
answers("status_large", b"HTTP/1.1 1000 OK\r\nContent-Length: 0\r\n\r\n")
answers("status_long", b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n")
answers("protocol", b"HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n")
answers("protocol_two", b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n")
answers("protocol_long", b"HTTP/11.1 200 OK\r\nContent-Length: 0\r\n\r\n")
answers("protocol_old", b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n")
answers("chunked_old", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
answers("chunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
answers("chunked_capital", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
answers("coding_two", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")
answers("coding_odd", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: odd\r\nContent-Length: 2\r\n\r\nok")
answers("coding_identity", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\nok")
answers("coding_chunked_x", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunkedx\r\n\r\n1\r\na\r\n0\r\n\r\n")
answers("ranges", b"HTTP/1.1 206 Partial\r\nContent-Type: multipart/byteranges; boundary=x\r\nContent-Length: 2\r\n\r\nok")
answers("ranges_capital", b"HTTP/1.1 206 Partial\r\nContent-Type: Multipart/Byteranges\r\nContent-Length: 2\r\n\r\nok")
answers("ranges_no_length", b"HTTP/1.1 206 Partial\r\nContent-Type: multipart/byteranges; boundary=x\r\n\r\nok")


@way
def http_two_answers(client):
    return talk(client, 80, (0, get()), (1, OK), (1, OK))


@way
def http_answer_first(client):
    return talk(client, 80, (1, OK), (0, get()), (1, OK))


@way
def http_line_blank_later(client):
    return talk(client, 80, (0, get()), (1, OK), (0, get(line=b" GET / HTTP/1.1")), (1, OK))


@way
def http_two_odd(client):
    odd = b"GET / HTTP/1.1\r\nA: b\r\n\r\n"
    return talk(client, 80, (0, odd + odd), (1, OK + OK))


@way
def http_odd_and_none(client):
    return talk(client, 80, (0, b"GET / HTTP/1.1\r\nA: b\r\n\r\n"))


# ---- DNS, DHCP, FTP, Kerberos, Modbus, MQTT

def answer_to(asked, flags=0x8180, count=1):
    record = b"\xc0\x0c\0\x01\0\x01\0\0\0\x3c\0\x04\xc6\x33\x64\x01"
    return asked[:2] + struct.pack(">HHHHH", flags, 1, count, 0, 0) + asked[12:] + record * count


def datagrams(client, port, *said):
    ends = ((client, 40_000), (SERVER, port))
    return [udp(ends[side], ends[1 - side], data) for side, data in said]


def names(name, *said):
    def build(client):
        return datagrams(client, 53, *said)

    build.__name__ = "dns_" + name
    way(build)

    def build_tcp(client):
        return talk(client, 53, *((side, struct.pack(">H", len(data)) + data) for side, data in said))

    build_tcp.__name__ = "dns_tcp_" + name
    return way(build_tcp)


ASKED = query(b"a.example")
ANSWERED = answer_to(ASKED)
names("plain", (0, ASKED), (1, ANSWERED))
names("z", (0, query(b"a.example", flags=0x0140)), (1, answer_to(ASKED, 0x81C0)))
names("z_asked", (0, query(b"a.example", flags=0x0140)), (1, ANSWERED), (0, ASKED))
names("z_answered", (0, ASKED), (1, answer_to(ASKED, 0x81C0)), (0, query(b"b.example", number=8)))
names("opcode", (0, query(b"a.example", flags=0x7800)), (1, answer_to(ASKED, 0xF800)))
names("opcode_six", (0, query(b"a.example", flags=0x3000)))
names("opcode_seven", (0, query(b"a.example", flags=0x3800)))
names("opcode_three", (0, query(b"a.example", flags=0x1800)))
names("answer_to_server", (0, ASKED), (0, ANSWERED))
names("query_to_client", (0, ASKED), (1, ASKED))
names("name_loop", (0, ASKED), (1, ANSWERED[:12] + b"\xc0\x0c" + ANSWERED[23:]))
names("name_long", (0, query(b".".join([b"a" * 60] * 6))))
names("name_past_end", (0, ASKED), (0, ASKED[:12] + b"\x3fab"))
names("cut_question", (0, ASKED), (0, ASKED[:-3]))
names("cut_answer", (0, ASKED), (1, ANSWERED[:-3]))
names("label_kind", (0, ASKED), (0, ASKED[:12] + b"\x81ab\0\0\x01\0\x01"))
names("fewer_answers", (0, ASKED), (1, answer_to(ASKED, count=2)[:-16]))
names("unasked", (1, ANSWERED), (0, ASKED))
names("answer_to_server_later", (0, ASKED), (1, ANSWERED), (0, ANSWERED))
names("loop_to_server_later", (0, ASKED), (1, ANSWERED), (0, ASKED[:12] + b"\xc0\x0c\0\x01\0\x01"), (1, ANSWERED))
names("two_then_loop", (0, ASKED), (0, query(b"b.example", number=8)), (1, ANSWERED[:12] + b"\xc0\x0c" + ANSWERED[23:]), (1, ANSWERED))
names("two_loops", (0, ASKED), (1, ANSWERED[:12] + b"\xc0\x0c" + ANSWERED[23:]), (1, ANSWERED[:12] + b"\xc0\x0c" + ANSWERED[23:]), (0, ASKED))


def dhcp(name, tail):
    def build(client):
        fixed = struct.pack(">BBBBIHH4s4s4s4s", 1, 1, 6, 0, 0x1234, 0, 0, *[bytes(4)] * 4) + b"\x02\0\0\0\0\x09" + bytes(10) + bytes(192)
        return [udp((client, 68), (SERVER, 67), fixed + b"\x63\x82\x53\x63\x35\x01\x01" + tail)]

    build.__name__ = "dhcp_" + name
    return way(build)


dhcp("plain", b"\xff")
dhcp("no_end", b"")
dhcp("no_end_pad", b"\0\0")
dhcp("cut_option", b"\x0c\x09abc")
dhcp("cut_length", b"\x0c")
dhcp("lease_two", b"\x33\x02ab\xff")
dhcp("lease_none", b"\x33\x00\xff")
dhcp("renewal_five", b"\x3a\x05abcde\xff")
dhcp("client_identifier", b"\x3d\x00\xff")
dhcp("kind_none", b"\x35\x00\xff")
dhcp("address_two", b"\x32\x02ab\xff")
dhcp("parameters", b"\x37\x00\xff")


def ftp(name, *said):
    def build(client):
        return talk(client, 21, (1, b"220 ready\r\n"), (0, b"USER a\r\n"), (1, b"331 password\r\n"), *said)

    build.__name__ = "ftp_" + name
    return way(build)


ftp("plain", (0, b"PASS b\r\n"), (1, b"230 in\r\n"))
ftp("long_command", (0, b"PASS " + b"b" * 5_000 + b"\r\n"), (1, b"230 in\r\n"), (0, b"PWD\r\n"), (1, b"257 /\r\n"))
ftp("long_command_4090", (0, b"PASS " + b"b" * 4_090 + b"\r\n"), (1, b"230 in\r\n"))
ftp("long_command_4093", (0, b"PASS " + b"b" * 4_093 + b"\r\n"), (1, b"230 in\r\n"))
for more in range(4_084, 4_090):
    ftp(f"long_command_{more}", (0, b"PASS " + b"b" * more + b"\r\n"), (1, b"230 in\r\n"))
    ftp(f"long_answer_{more}", (0, b"PASS b\r\n"), (1, b"230 i" + b"b" * more + b"\r\n"))
ftp("long_answer_of_several", (0, b"PASS b\r\n"), (1, b"230-hello\r\n" + b" x" * 3_000 + b"\r\n230 in\r\n"), (0, b"PWD\r\n"), (1, b"257 /\r\n"))
ftp("long_command_first", (0, b"PASS " + b"b" * 5_000 + b"\r\n"), (0, b"PWD\r\n"), (1, b"230 in\r\n257 /\r\n"))
ftp("long_command_unanswered", (0, b"PASS " + b"b" * 5_000 + b"\r\n"))
ftp("long_command_open", (0, b"PASS " + b"b" * 9_000), (1, b"500 what\r\n"), (0, b"bb\r\nPWD\r\n"), (1, b"257 /\r\n"))
ftp("long_answer", (0, b"PASS b\r\n"), (1, b"230 " + b"i" * 5_000 + b"\r\n"), (0, b"PWD\r\n"), (1, b"257 /\r\n"))
ftp("long_answer_open", (0, b"PASS b\r\n"), (1, b"230 " + b"i" * 9_000), (0, b"PWD\r\n"), (1, b"n\r\n257 /\r\n"))


def modbus(name, *said):
    def build(client):
        return talk(client, 502, *said)

    build.__name__ = "modbus_" + name
    return way(build)


READ = struct.pack(">BHH", 3, 10, 5)
READ_ANSWER = b"\x03\x0a" + bytes(10)
GOOD = [(0, modbus_message(1, 7, READ)), (1, modbus_message(1, 7, READ_ANSWER))]
modbus("plain", *GOOD)
modbus("protocol", *GOOD, (0, struct.pack(">HHHB", 2, 9, 6, 7) + READ), (1, struct.pack(">HHHB", 2, 9, 13, 7) + READ_ANSWER))
modbus("protocol_asked", *GOOD, (0, struct.pack(">HHHB", 2, 9, 6, 7) + READ), (1, modbus_message(2, 7, READ_ANSWER)))
modbus("length_one", *GOOD, (0, struct.pack(">HHHB", 2, 0, 1, 7)))
modbus("length_none", *GOOD, (0, struct.pack(">HHH", 2, 0, 0)))
modbus("length_long", *GOOD, (0, struct.pack(">HHHB", 2, 0, 300, 7) + bytes(299)))
modbus("function_none", *GOOD, (0, modbus_message(2, 7, b"\0\0\0\0\0")), (1, modbus_message(2, 7, b"\x80\x01")))
modbus("function_high", *GOOD, (0, modbus_message(2, 7, b"\x83\x01")))
modbus("function_unknown", *GOOD, (0, modbus_message(2, 7, b"\x63\0\0\0\0")), (1, modbus_message(2, 7, b"\xe3\x01")))
modbus("exception", *GOOD, (0, modbus_message(2, 7, READ)), (1, modbus_message(2, 7, b"\x83\x02")))
modbus("exception_none", *GOOD, (0, modbus_message(2, 7, READ)), (1, modbus_message(2, 7, b"\x83\x00")))
modbus("exception_seven", *GOOD, (0, modbus_message(2, 7, READ)), (1, modbus_message(2, 7, b"\x83\x07")))
modbus("exception_nine", *GOOD, (0, modbus_message(2, 7, READ)), (1, modbus_message(2, 7, b"\x83\x09")))
modbus("exception_high", *GOOD, (0, modbus_message(2, 7, READ)), (1, modbus_message(2, 7, b"\x83\x63")), *GOOD)
modbus("exception_cut", *GOOD, (0, modbus_message(2, 7, READ)), (1, modbus_message(2, 7, b"\x83")))


def mqtt_packet(first, body):
    return bytes([first, len(body)]) + body


def mqtt(name, *said):
    def build(client):
        return talk(client, 1883, *said)

    build.__name__ = "mqtt_" + name
    return way(build)


CONNECT = (0, mqtt_packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x3c\x00\x02me"))
CONNACK = (1, b"\x20\x02\x00\x00")
PUBLISH = (0, mqtt_packet(0x30, b"\x00\x01tPAYLOAD"))
mqtt("plain", CONNECT, CONNACK, PUBLISH)
mqtt("two_connects", CONNECT, CONNACK, CONNECT, CONNACK)
mqtt("after_disconnect", CONNECT, CONNACK, (0, b"\xe0\x00"), PUBLISH)
mqtt("connects_again", CONNECT, CONNACK, (0, b"\xe0\x00"), CONNECT, CONNACK)
mqtt("no_connect", PUBLISH, PUBLISH)
mqtt("no_connect_ping", (0, b"\xc0\x00"), (1, b"\xd0\x00"))
mqtt("disconnect_first", (0, b"\xe0\x00"))


def der(tag, *parts):
    body = b"".join(parts)
    size = bytes([len(body)]) if len(body) < 128 else b"\x82" + struct.pack(">H", len(body))
    return bytes([tag]) + size + body


def number(n):
    return der(2, bytes([n]))


def text(value):
    return der(0x1B, value)


def krb_name(kind, *parts):
    return der(0x30, der(0xA0, number(kind)), der(0xA1, der(0x30, *map(text, parts))))


def kdc_answer(etype, kind=11):
    sealed = der(0x30, der(0xA0, number(etype)), der(0xA2, der(4, bytes(32))))
    service = krb_name(2, b"krbtgt", b"EXAMPLE")
    ticket = der(0x61, der(0x30, der(0xA0, number(5)), der(0xA1, text(b"EXAMPLE")), der(0xA2, service), der(0xA3, sealed)))
    fields = [number(5), number(kind), text(b"EXAMPLE"), krb_name(1, b"mallory")]
    body = der(0xA0, fields[0]) + der(0xA1, fields[1]) + der(0xA3, fields[2]) + der(0xA4, fields[3]) + der(0xA5, ticket) + der(0xA6, sealed)
    return der(0x60 | kind, der(0x30, body))


def kdc_request(*etypes):
    wanted = der(0x30, *map(number, etypes))
    body = der(0x30, der(0xA0, der(3, bytes(5))), der(0xA2, text(b"EXAMPLE")), der(0xA5, der(0x18, b"20370913024805Z")), der(0xA7, number(9)), der(0xA8, wanted))
    return der(0x6A, der(0x30, der(0xA1, number(5)), der(0xA2, number(10)), der(0xA4, body)))


def kerberos(name, *said):
    def build(client):
        return datagrams(client, 88, *said)

    build.__name__ = "krb5_" + name
    way(build)

    def build_tcp(client):
        return talk(client, 88, *((side, struct.pack(">I", len(data)) + data) for side, data in said))

    build_tcp.__name__ = "krb5_tcp_" + name
    return way(build_tcp)


kerberos("strong", (0, kdc_request(18)), (1, kdc_answer(18)))
kerberos("weak", (0, kdc_request(18, 23)), (1, kdc_answer(23)))
kerberos("weak_asked", (0, kdc_request(1, 3)), (1, kdc_answer(18)))
kerberos("des", (0, kdc_request(3)), (1, kdc_answer(3)), (0, kdc_request(3)))


# ---- packets

UDP6 = struct.pack(">HHHH", 40_000, 9, 12, 0) + b"data"
ETHER = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01"


def frames(name, *packets):
    """Packets without the address of a client: they are told by their time."""

    def build(_client):
        return list(packets)

    build.__name__ = name
    return way(build)


def cut6(proto, payload, length):
    head = struct.pack(">IHBB", 0x60000000, length, proto, 64) + bytes.fromhex("20010db8" + "0" * 23 + "1") + bytes.fromhex("20010db8" + "0" * 23 + "2")
    return ETHER + b"\x86\xdd" + head + payload


def ip_options(options):
    head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + 12, 1, 0x4000, 64, 17, 0)
    ends = bytes([10, 9, 9, 9]) + bytes(int(n) for n in SERVER.split("."))
    head = head + ends + options
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return ETHER + b"\x08\0" + head + struct.pack("!HHHH", 40_000, 9, 12, 0) + b"data"


def icmp(client, kind, code, rest=b"\0\0\0\0"):
    head = struct.pack(">BBH", kind, code, 0) + rest
    return ip(client, SERVER, 1, head[:2] + struct.pack(">H", checksum(head)) + head[4:])


def icmp6(kind, code, rest=bytes(20), hops=64):
    return ipv6(58, struct.pack(">BBH", kind, code, 0) + rest, hops)


frames("ether_short", ETHER[:12])
frames("ether_none", ETHER[:8])
frames("vlan_short", ETHER + b"\x81\0\0\x01")
frames("vlan_two", ETHER + b"\x81\0\0\x01\x81\0\0\x02\x08\0" + ip("10.9.9.9", SERVER, 17, UDP6)[14:])
frames("vlan_three", ETHER + b"\x81\0\0\x01\x81\0\0\x02\x81\0\0\x03\x08\0" + ip("10.9.9.9", SERVER, 17, UDP6)[14:])
frames("vlan_four", ETHER + b"\x81\0\0\x01\x81\0\0\x02\x81\0\0\x03\x81\0\0\x04\x08\0" + ip("10.9.9.9", SERVER, 17, UDP6)[14:])
frames("ipv4_options", ip_options(b"\x94\x04\0\0"), ip_options(b"\x07\x07\x04\0\0\0\0\0"))
frames("ipv4_option_odd_end", ip_options(b"\x94\x04\0\0\x01\x01\x01\0"))
frames("ipv4_option_pad", ip_options(b"\x94\x04\0\0\x01\x01\x01\x01\x01\x01\x01\x01"))
frames("ipv4_option_no_length", ip_options(b"\x01\x01\x01\x07"))
frames("ipv4_option_one", ip_options(b"\x07\x01\0\0"))
frames("ipv4_route_pointer", ip_options(b"\x07\x07\x03\0\0\0\0\0"))
frames("ipv4_route_far", ip_options(b"\x07\x07\x63\0\0\0\0\0"))
frames("ipv4_route_short", ip_options(b"\x07\x02\0\0"), ip_options(b"\x83\x03\x04\0"))
frames("ipv4_stamp", ip_options(b"\x44\x04\x05\0"), ip_options(b"\x44\x08\x05\0\0\0\0\0"), ip_options(b"\x44\x03\x05\0"), ip_options(b"\x44\x08\x03\0\0\0\0\0"))
frames("ipv4_option_unknown", ip_options(b"\x99\x04\0\0"), ip_options(b"\x99\x01\0\0"), ip_options(b"\x99\x09\0\0"))
for size in (2, 3, 10, 12):
    frames(f"ipv4_security_{size}", ip_options(bytes([0x82, size]) + bytes(size - 2) + bytes(-size % 4)))
for size in (10, 20, 39):
    frames(f"ipv6_short_{size}", ETHER + b"\x86\xdd\x60" + bytes(size - 1))
frames("ipv4_security", ip_options(b"\x82\x0b" + bytes(9) + b"\0"), ip_options(b"\x82\x04\0\0"))
frames("ipv4_stream", ip_options(b"\x88\x04\0\0"), ip_options(b"\x88\x03\0\0"), ip_options(b"\x88\x04\0\0\x88\x04\0\0"))
frames("ipv4_quick", ip_options(b"\x19\x08" + bytes(6)), ip_options(b"\x19\x04\0\0"))
frames("icmp6_short", ipv6(58, b"\x80\0\0\0"))
frames("icmp6_cut_packet", icmp6(1, 0, bytes(4) + bytes(12)), icmp6(3, 0, bytes(4) + b"\x60" + bytes(20)))
frames("icmp6_version", icmp6(1, 0, bytes(4) + b"\x40" + bytes(47)), icmp6(4, 0, bytes(4) + b"\x60" + bytes(47)))
frames("icmp6_codes", icmp6(1, 77), icmp6(2, 3), icmp6(3, 2), icmp6(4, 3), icmp6(128, 1), icmp6(129, 1), icmp6(133, 1, hops=255), icmp6(137, 1, hops=255), icmp6(140, 9))
frames("icmp6_kinds", icmp6(0, 0), icmp6(5, 0), icmp6(100, 0), icmp6(101, 0), icmp6(127, 0), icmp6(138, 0), icmp6(144, 0), icmp6(150, 0), icmp6(154, 0), icmp6(155, 0), icmp6(160, 0), icmp6(200, 0), icmp6(201, 0), icmp6(202, 0), icmp6(255, 0))
frames("icmp6_listeners", icmp6(130, 0), icmp6(131, 0), icmp6(132, 0), icmp6(143, 0), icmp6(130, 0, hops=1), icmp6(130, 5, hops=1))
frames("ipv6_short", ETHER + b"\x86\xdd\x60\0\0\0\0\x08")
frames("ipv6_cut", cut6(17, UDP6, 99))
frames("ipv6_version", ETHER + b"\x86\xdd\x50" + cut6(17, UDP6, 12)[15:])
frames("ipv6_none", ipv6(59, b"more"), ipv6(59, b""))
frames("ipv6_cut_header", ipv6(0, b"\x11"), ipv6(0, b"\x11\x09" + bytes(6)), ipv6(44, b"\x11\0\0"), ipv6(43, b"\x11\x05" + bytes(6)), ipv6(60, b"\x11\x05" + bytes(6)), ipv6(51, b"\x11\x09" + bytes(6)))
frames("ipv6_icmp4", ipv6(1, b"\x08\0\0\0\0\x01\0\x01"))
frames("ipv6_unknown", ipv6(200, b"what is that"), ipv6(0, options(200, b"\x05\x02\0\0\x01\0") + b"what"))
frames("ipv6_two_hop", ipv6(0, options(0, b"\x05\x02\0\0\x01\0") + options(17, b"\x05\x02\0\0\x01\0") + UDP6))
frames("ipv6_two_destination", ipv6(60, options(60, b"\x05\x02\0\0\x01\0") + options(17, b"\x05\x02\0\0\x01\0") + UDP6))
frames("ipv6_three_destination", ipv6(60, options(60, b"\x05\x02\0\0\x01\0") * 2 + options(17, b"\x05\x02\0\0\x01\0") + UDP6))
frames("ipv6_two_routes", ipv6(43, bytes([43, 0, 2, 0, 0, 0, 0, 0]) + bytes([17, 0, 2, 0, 0, 0, 0, 0]) + UDP6))
frames("ipv6_route", ipv6(43, bytes([17, 0, 0, 0, 0, 0, 0, 0]) + UDP6), ipv6(43, bytes([17, 0, 2, 0, 0, 0, 0, 0]) + UDP6))
frames("ipv6_two_fragments", ipv6(44, bytes([44, 0, 0, 0, 0, 0, 0, 1]) + bytes([17, 0, 0, 0, 0, 0, 0, 1]) + UDP6))
frames("ipv6_fragment", ipv6(44, bytes([17, 0, 0, 0, 0, 0, 0, 1]) + UDP6), ipv6(44, bytes([17, 5, 0, 1, 0, 0, 0, 2]) + bytes(16)))
frames("ipv6_fragment_odd", ipv6(44, bytes([17, 0, 0, 1, 0, 0, 0, 3]) + bytes(13)))
frames("ipv6_fragment_far", ipv6(44, bytes([17, 0, 0xFF, 0xF8, 0, 0, 0, 4]) + bytes(64)))
frames("ipv6_two_sums", ipv6(51, bytes([51, 1, 0, 0]) + bytes(8) + bytes([17, 1, 0, 0]) + bytes(8) + UDP6))
frames("ipv6_sum_reserved", ipv6(51, bytes([17, 1, 7, 7]) + bytes(8) + UDP6))
frames("ipv6_sealed", ipv6(50, bytes(32)), ipv6(50, bytes([50, 0, 0, 0]) + bytes(28)))
frames("ipv6_option_length", ipv6(0, bytes([17, 0, 5, 9, 0, 0, 1, 0]) + UDP6), ipv6(60, bytes([17, 0, 5, 9, 0, 0, 1, 0]) + UDP6), ipv6(0, bytes([17, 0, 5, 1, 0, 0, 1, 0]) + UDP6))
frames("ipv6_option_jumbo", ipv6(0, bytes([17, 0, 0xC2, 4, 0, 1, 0, 0]) + UDP6))
frames("ipv6_option_pads", ipv6(0, options(17, b"\x01\x04\0\0\0\0") + UDP6), ipv6(60, options(17, b"\x01\x04\0\0\0\0") + UDP6), ipv6(0, options(17, b"\0\0\0\0\0\0") + UDP6))
frames("ipv6_option_pad_none", ipv6(0, options(17, b"\x01\0\x05\x02\0\0") + UDP6), ipv6(60, options(17, b"\x01\0\x05\x02\0\0") + UDP6))
frames("ipv6_option_unknown", ipv6(0, options(17, b"\x1e\x04abcd") + UDP6), ipv6(60, options(17, b"\x1e\x04abcd") + UDP6))
frames("ipv6_option_home", ipv6(60, bytes([17, 2, 0xC9, 16]) + bytes(16) + bytes([1, 2, 0, 0]) + UDP6), ipv6(60, bytes([17, 2, 0xC9, 15]) + bytes(15) + bytes([1, 3, 0, 0, 0]) + UDP6))


def icmps(name, *messages):
    def build(client):
        return [icmp(client, *message) for message in messages]

    build.__name__ = "icmp_" + name
    return way(build)


icmps("kinds", *((kind, 0) for kind in (1, 2, 6, 7, 19, 30, 40, 44, 200)))
for known in (0, 3, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18):
    icmps(f"code_{known}", (known, 0), (known, 99))
icmps("codes_unreachable", *((3, code) for code in (13, 15, 16)))
icmps("codes_others", (5, 3), (5, 4), (11, 1), (11, 2), (12, 1), (12, 2), (12, 3), (9, 16))


@way
def icmp_short(client):
    return [ip(client, SERVER, 1, b"\x08\0\0\0")]


@way
def icmp_inner(client):
    return [icmp(client, 3, 1, bytes(4) + b"\x45" + bytes(10)), icmp(client, 3, 1, bytes(4) + b"\x65" + bytes(27)), icmp(client, 11, 0, bytes(4) + b"\x45" + bytes(27)), icmp(client, 5, 0, bytes(4))]


@way
def ipv4_short(client):
    whole = ip(client, SERVER, 17, UDP6)
    hlen, version, length = bytearray(whole), bytearray(whole), bytearray(whole)
    hlen[14], version[14] = 0x42, 0x75
    length[16:18] = struct.pack("!H", 10)
    return [bytes(hlen), bytes(version), bytes(length), whole[:40], whole[:20], ip(client, SERVER, 58, b"\x80\0\0\0\0\0\0\0")]


@way
def ipv4_fragments(client):
    whole = summed(client, SERVER, 17, struct.pack("!HHHH", 40_000, 9, 48, 0) + bytes(range(40)), 6)

    def part(first, last, more):
        return ip(client, SERVER, 17, whole[first:last], 77, (0x2000 if more else 0) | first // 8)

    return [part(0, 32, True), part(24, 48, False), ip(client, SERVER, 17, bytes(64), 78, 0x1FFF)]


@way
def ipv6_fragments(_client):
    whole = struct.pack("!HHHH", 40_000, 9, 48, 0) + bytes(range(40))

    def part(first, last, more):
        return ipv6(44, struct.pack("!BBHI", 17, 0, first | more, 99) + whole[first:last])

    return [part(0, 32, 1), part(24, 48, 0)]


@way
def udp_lengths(client):
    return [ip(client, SERVER, 17, struct.pack("!HHHH", 40_000, 9, n, 0) + b"data") for n in (200, 9, 12, 5, 0)] + [ip(client, SERVER, 17, b"\0\1\0\2")]


@way
def tcp_headers(client):
    def syn(offset, options, port=40_000):
        head = struct.pack("!HHIIBBHHH", port, 9, 1, 0, offset << 4, 2, 1024, 0, 0) + options
        return ip(client, SERVER, 6, summed(client, SERVER, 6, head, 16))

    return [
        syn(4, b""), syn(15, b"\1\1\1\1"), syn(7, b"\x02\x04\x05\xb4\x02\x04\x05\xb4", 40_001), syn(6, b"\x03\x04\0\0", 40_002), syn(6, b"\x08\x63\0\0", 40_003),
        syn(6, b"\x04\x02\x04\x02", 40_004), syn(6, b"\x05\x04\0\0", 40_005), syn(6, b"\x02\x03\0\0", 40_006), syn(6, b"\x01\x01\x01\x02", 40_007), syn(6, b"\x0e\x03\x01\0", 40_008),
        ip(client, SERVER, 6, b"\x9c\x40\0\x09\0\0"),
    ]


# ---- streams

class Ends:
    """A connection whose segments are written out one by one."""

    def __init__(self, client, port=9):
        self.ends, self.packets = ((client, 40_000), (SERVER, port)), []

    def add(self, side, flags, seq, ack, data=b"", **more):
        self.packets.append(tcp(self.ends[side], self.ends[1 - side], seq, ack, flags, data, **more))
        return self

    def open(self):
        return self.add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(0, 16, 1001, 5001)

    def close(self, client=1001, server=5001):
        return self.add(0, 17, client, server).add(1, 17, server, client + 1).add(0, 16, client + 1, server + 1).packets


def stream(build):
    build.__name__ = "stream_" + build.__name__
    return way(build)


@stream
def plain(client):
    return Ends(client).open().close()


@stream
def synack_wrong_ack(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 4444).add(1, 18, 5000, 1001).add(0, 16, 1001, 5001).close()


@stream
def synack_from_client(client):
    return Ends(client).add(0, 2, 1000, 0).add(0, 18, 1000, 7000).add(1, 18, 5000, 1001).add(0, 16, 1001, 5001).close()


@stream
def synack_again(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(1, 18, 5000, 1001).add(0, 16, 1001, 5001).close()


@stream
def synack_again_other_ack(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(1, 18, 5000, 1500).add(0, 16, 1001, 5001).close()


@stream
def synack_again_other_seq(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(1, 18, 6000, 1001).add(0, 16, 1001, 6001).close(1001, 6001)


@stream
def synack_to_server(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(0, 18, 1000, 5001).add(0, 16, 1001, 5001).close()


@stream
def syn_to_client(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(1, 2, 5000, 0).add(0, 16, 1001, 5001).close()


@stream
def syn_again(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(0, 2, 1000, 0).add(0, 16, 1001, 5001).close()


@stream
def syn_again_other_seq(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(0, 2, 2000, 0).add(0, 16, 1001, 5001).close()


@stream
def ack_of_server(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(1, 16, 5001, 1001).add(0, 16, 1001, 5001).close()


@stream
def data_of_server(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(1, 24, 5001, 1001, b"early").add(0, 16, 1001, 5006).close(1001, 5006)


@stream
def right_seq_wrong_ack(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(0, 16, 1001, 9999).add(0, 16, 1001, 5001).close()


@stream
def wrong_seq_wrong_ack(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(0, 16, 1500, 9999).add(0, 16, 1001, 5001).close()


@stream
def wrong_seq_wrong_ack_data(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(0, 24, 1500, 9999, b"data").add(0, 16, 1001, 5001).close()


@stream
def four_way(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 2, 5000, 0).add(0, 18, 1000, 5001).add(1, 16, 5001, 1001).close()


@stream
def ack_of_server_other_seq(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(1, 16, 6001, 1001).add(0, 16, 1001, 5001).close()


@stream
def ack_of_server_other_ack(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(1, 16, 5001, 2000).add(0, 16, 1001, 5001).close()


@stream
def data_of_server_far(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(1, 24, 900_000, 1001, b"early").add(0, 16, 1001, 5001).close()


@stream
def fin_of_server_early(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(1, 17, 5001, 1001).add(0, 16, 1001, 5002).packets


@stream
def synack_again_other_seq_and_ack(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 18, 5000, 1001).add(1, 18, 6000, 1500).add(0, 16, 1001, 5001).close()


@stream
def established_synack_to_server(client):
    return Ends(client).open().add(0, 18, 1000, 5001).close()


@stream
def established_synack(client):
    return Ends(client).open().add(1, 18, 5000, 1001).close()


@stream
def established_synack_later(client):
    return Ends(client).open().add(0, 24, 1001, 5001, b"data").add(1, 16, 5001, 1005).add(1, 18, 5000, 1001).close(1005)


@stream
def established_synack_other_ack(client):
    return Ends(client).open().add(0, 24, 1001, 5001, b"data").add(1, 16, 5001, 1005).add(1, 18, 5000, 1003).close(1005)


@stream
def established_synack_other_seq(client):
    return Ends(client).open().add(1, 18, 7000, 1001).close()


@stream
def established_synack_after_server_data(client):
    return Ends(client).open().add(1, 24, 5001, 1001, b"data").add(0, 16, 1001, 5005).add(1, 18, 5000, 1001).close(1001, 5005)


@stream
def established_syn_to_client(client):
    return Ends(client).open().add(1, 2, 5000, 0).close()


@stream
def established_syn(client):
    return Ends(client).open().add(0, 2, 1000, 0).close()


@stream
def established_syn_other_seq(client):
    return Ends(client).open().add(0, 2, 77_000, 0).close()


@stream
def far_data(client):
    return Ends(client).open().add(0, 24, 5_000_000, 5001, b"far beyond").close()


@stream
def far_fin(client):
    return Ends(client).open().add(0, 17, 5_000_000, 5001).close()


@stream
def early_data(client):
    return Ends(client).open().add(0, 24, 1001, 5001, b"said once").add(1, 16, 5001, 1010).add(0, 24, 500, 5001, b"before").close(1010)


@stream
def far_ack(client):
    return Ends(client).open().add(0, 16, 1001, 105_001).close()


@stream
def far_ack_server(client):
    return Ends(client).open().add(1, 16, 5001, 101_001).close()


@stream
def ack_unsent(client):
    return Ends(client).open().add(1, 16, 5001, 1100).close()


@stream
def again_acked(client):
    return Ends(client).open().add(0, 24, 1001, 5001, b"said once").add(1, 16, 5001, 1010).add(0, 24, 1001, 5001, b"said once").close(1010)


@stream
def again_not_acked(client):
    return Ends(client).open().add(0, 24, 1001, 5001, b"said once").add(0, 24, 1001, 5001, b"said once").add(1, 16, 5001, 1010).close(1010)


@stream
def alive(client):
    return Ends(client).open().add(0, 24, 1001, 5001, b"said once").add(1, 16, 5001, 1010).add(0, 16, 1009, 5001, b"x").add(1, 16, 5001, 1010).close(1010)


@stream
def no_fin_session(client):
    return Ends(client).add(0, 17, 1000, 5000).packets


@stream
def no_rst_session(client):
    return Ends(client).add(0, 4, 1000, 5000).packets


@stream
def broken_ack(client):
    return Ends(client).add(0, 2, 1000, 77).add(1, 18, 5000, 1001).add(0, 16, 1001, 5001).close()


@stream
def overlap(client):
    made = Ends(client).open().add(0, 24, 1001, 5001, b"first").add(0, 24, 1001, 5001, b"other").add(1, 16, 5001, 1006)
    return made.close(1006)


@stream
def overlap_waits(client):
    made = Ends(client).open().add(0, 24, 1003, 5001, b"second one").add(0, 24, 1003, 5001, b"another on").add(0, 24, 1001, 5001, b"ab")
    return made.add(1, 16, 5001, 1013).close(1013)


@stream
def overlap_longer(client):
    made = Ends(client).open().add(0, 24, 1001, 5001, b"first").add(0, 24, 1003, 5001, b"XXXlonger").add(1, 16, 5001, 1012)
    return made.close(1012)


@stream
def overlap_before(client):
    made = Ends(client).open().add(0, 24, 1006, 5001, b"later").add(0, 24, 1001, 5001, b"firstLAT").add(1, 16, 5001, 1011)
    return made.close(1011)


@stream
def overlap_covers(client):
    made = Ends(client).open().add(0, 24, 1004, 5001, b"abc").add(0, 24, 1001, 5001, b"0123456789").add(1, 16, 5001, 1011)
    return made.close(1011)


def web(name, *segments):
    def build(client):
        made = Ends(client, 80).open()
        for segment in segments:
            made.add(*segment)
        return made.close(*WEB_ENDS)

    build.__name__ = "stream_web_" + name
    return way(build)


GET = b"GET /index HTTP/1.1\r\nHost: a.example\r\n\r\n"
WEB_ENDS = (1001 + len(GET), 5001 + len(OK))
@stream
def overlap_inside(client):
    made = Ends(client).open().add(0, 24, 1003, 5001, b"0123456789").add(0, 24, 1005, 5001, b"abc").add(0, 24, 1001, 5001, b"xy")
    return made.add(1, 16, 5001, 1013).close(1013)


web("plain", (0, 24, 1001, 5001, GET), (1, 16, 5001, WEB_ENDS[0]), (1, 24, 5001, WEB_ENDS[0], OK), (0, 16, *WEB_ENDS))
web("overlap", (0, 24, 1001, 5001, GET), (0, 24, 1001, 5001, GET.replace(b"index", b"other")), (1, 16, 5001, WEB_ENDS[0]), (1, 24, 5001, WEB_ENDS[0], OK), (0, 16, *WEB_ENDS))
web("overlap_part", (0, 24, 1001, 5001, GET[:12]), (0, 24, 1005, 5001, b"/other" + GET[10:]), (1, 16, 5001, WEB_ENDS[0]), (1, 24, 5001, WEB_ENDS[0], OK), (0, 16, *WEB_ENDS))
web("gap_asked", (0, 24, 1001, 5001, GET[:12]), (0, 24, 1021, 5001, GET[20:]), (1, 16, 5001, WEB_ENDS[0]), (1, 24, 5001, WEB_ENDS[0], OK), (0, 16, *WEB_ENDS))
web("gap_answered", (0, 24, 1001, 5001, GET), (1, 16, 5001, WEB_ENDS[0]), (1, 24, 5001, WEB_ENDS[0], OK[:-2]), (0, 16, WEB_ENDS[0], WEB_ENDS[1] - 2), (1, 24, WEB_ENDS[1] - 1, WEB_ENDS[0], b"k"), (0, 16, *WEB_ENDS))


@stream
def gap(client):
    made = Ends(client).open().add(0, 24, 1001, 5001, b"first").add(1, 16, 5001, 1006).add(0, 24, 1011, 5001, b"third").add(1, 16, 5001, 1016)
    return made.add(0, 24, 1016, 5001, b"fourth").add(1, 16, 5001, 1022).close(1022)


@stream
def gap_not_acked(client):
    made = Ends(client).open().add(0, 24, 1001, 5001, b"first").add(1, 16, 5001, 1006).add(0, 24, 1011, 5001, b"third").add(0, 24, 1016, 5001, b"fourth")
    return made.close(1022)


@stream
def gap_at_end(client):
    return Ends(client).open().add(0, 24, 1011, 5001, b"third").packets


@stream
def reset(client):
    return Ends(client).open().add(0, 4, 1001, 0).packets


@stream
def reset_far(client):
    return Ends(client).open().add(0, 4, 3_000_000_000, 0).close()


@stream
def reset_near(client):
    return Ends(client).open().add(0, 4, 90_000, 0).close()


@stream
def reset_ack_far(client):
    return Ends(client).open().add(0, 20, 1001, 900_000).close()


@stream
def reset_ack_of_server_far(client):
    return Ends(client).open().add(1, 20, 5001, 900_000).close()


@stream
def reset_ack_right(client):
    return Ends(client).open().add(0, 20, 1001, 5001).packets


@stream
def reset_of_syn(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 20, 0, 1001).packets


@stream
def reset_of_syn_wrong(client):
    return Ends(client).add(0, 2, 1000, 0).add(1, 20, 0, 9999).add(1, 18, 5000, 1001).add(0, 16, 1001, 5001).close()


# ---- rules, and what Suricata raises

def rules(names):
    """Three rules for each event."""
    # one that asks for what a request raised and what its answer says
    lines = ['alert http any any -> any any (msg:"odd and 200"; flow:to_client; app-layer-event:http.missing_host_header; http.stat_code; content:"200"; sid:10;)']
    # which messages of Kerberos are one of a transaction
    for place, kind in enumerate((10, 11, 12, 30)):
        for n, flow in enumerate(("", "flow:to_server; ", "flow:to_client; ")):
            lines.append(f'alert krb5 any any -> any any (msg:"krb5_msg_type"; {flow}krb5_msg_type:{kind}; sid:{20 + 3 * place + n};)')
    for place, name in enumerate(names):
        kind, rest = name.split(".", 1)
        keyword, protocol, event = {
            "decoder": ("decode-event", "pkthdr", rest), "stream": ("stream-event", "tcp", rest),
        }.get(kind, ("app-layer-event", kind, name))
        ways = ("", "flow:to_server; ", "flow:to_client; ")
        for n, flow in enumerate(ways[: 1 if protocol == "pkthdr" else 3]):
            lines.append(f'alert {protocol} any any -> any any (msg:"{name}"; {flow}{keyword}:{event}; sid:{1000 + 3 * place + n};)')
    return "\n".join(lines) + "\n"


PROTOCOLS = ["modbus", "dnp3", "enip", "nfs", "mqtt", "rfb", "krb5", "dhcp"]


def record(pcap, rules):
    """What Suricata raises."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["suricata", "-r", str(pcap), "-S", str(rules), "-l", folder, "-k", "none", "--runmode", "single", "--set", "packet-alert-max=255"]
        for name in PROTOCOLS:
            command += ["--set", f"app-layer.protocols.{name}.enabled=yes"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        lines = pathlib.Path(folder, "eve.json").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event_type"] == "alert"]


def count(conversations, events):
    """Alerts by conversation and rule. Clients tell conversations apart, or the numbers of frames: some packets have no addresses."""
    clients = {c["client"]: c for c in conversations}
    for c in conversations:
        c["alerts"] = {}
    for event in events:
        ends = [clients.get(event.get(key)) for key in ("src_ip", "dest_ip")]
        framed = [c for c in conversations if c["frames"][0] <= event.get("pcap_cnt", 0) <= c["frames"][1]]
        # what is raised when a conversation is over comes with the frame of another one
        alerts = next(c for c in [*ends, *framed] if c)["alerts"]
        sid = str(event["alert"]["signature_id"])
        alerts[sid] = alerts.get(sid, 0) + 1
    for c in conversations:
        c["alerts"] = dict(sorted(c["alerts"].items(), key=lambda n: int(n[0])))
    return conversations


BEGAN, APART = 1_700_000_000, 1_000


def main():
    timed, conversations = [], []
    for place, build in enumerate(ways):
        at = (BEGAN + APART * place) * 10**6
        client, first = f"10.9.{place // 200}.{place % 200 + 1}", len(timed) + 1
        for packet in build(client):
            timed.append((at, packet))
            at += 1_000
        conversations.append({"name": build.__name__, "client": client, "frames": [first, len(timed)]})
    write(HERE / "events.pcap", timed)
    names = (HERE / "events.txt").read_text().split()
    (HERE / "events.rules").write_text(rules(names))
    if sys.argv[1:] == ["record"]:
        count(conversations, record(HERE / "events.pcap", HERE / "events.rules"))
        (HERE / "events.json").write_text("[\n" + ",\n".join(map(json.dumps, conversations)) + "\n]\n")


if __name__ == "__main__":
    main()
