#!/usr/bin/env python3
"""Writes turns.pcap (requests that follow each other without bare acknowledgements, interim answers, conversations of datagrams whose first ones tell
nothing or are answers) and midway.pcap (connections of which the beginning or one side is missing, for `stream.midstream=true`).

turns.rules and midway.rules ask for them; one client 10.12.0.N or 10.13.0.N each. The files .json have how often each conversation raises each rule with
Suricata 7.0.10; `turns.py record` records it anew.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

from lines import CERTIFICATE
from make import HERE, Session, udp, write

SERVER = "198.51.100.9"
turns, midway = {}, {}


def plain(name, *said, port=80, ways=turns):
    """Segments without acknowledgements of their own, but where there is no text."""

    def build(client):
        session = Session((client, 40_000), (SERVER, port)).open()
        for side, text in said:
            session.add(side, 24 if text else 16, text)
        return session.close()

    ways[name] = build


def late(name, *said, port=80, alone=None):
    """A connection of which the handshake was not seen, and of which one side may be alone."""

    def build(client):
        session = Session((client, 40_000), (SERVER, port)).open()
        session.packets.clear()
        for side, text in said:
            session.add(side, 24 if text else 16, text)
            session.add(1 - side, 16)
        packets = session.close()
        here = bytes(map(int, (client if alone == 0 else SERVER).split(".")))
        return [p for p in packets if alone is None or p[26:30] == here]

    midway[name] = build


def datagrams(name, *said, port=5060, source=1001):
    def build(client):
        ends = (client, source), (SERVER, port)
        return [udp(*(ends if side == 0 else ends[::-1]), text) for side, text in said]

    turns[name] = build


# ---- who speaks in turns


def get(path, more=b""):
    return b"GET %s HTTP/1.1\r\nHost: a.example\r\n%s\r\n" % (path, more)


def length(message):
    return len(message).to_bytes(2) + message


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GONE = b"HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nMARK"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
POST = b"POST /post HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\nContent-Length: 12\r\n\r\n"
BODY = b"body MARK it"
three = [(0, get(b"/one")), (1, OK), (0, get(b"/two")), (1, OK), (0, get(b"/three MARK")), (1, OK)]
plain("three_requests", *three)
plain("three_requests_acknowledged", *[s for side, text in three for s in ((side, text), (1 - side, b""))])
plain("requests_acknowledged_by_server", *[s for side, text in three for s in ([(side, text), (1, b"")] if side == 0 else [(side, text)])])
plain("answers_acknowledged_by_client", *[s for side, text in three for s in ([(side, text), (0, b"")] if side == 1 else [(side, text)])])
plain("the_same_three_times", *[(0, get(b"/one")), (1, GONE)] * 3)
plain("requests_in_two_segments", *[(0, get(b"/one")[:20]), (0, get(b"/one")[20:]), (1, GONE)] * 3)
plain("answers_in_two_segments", *[(0, get(b"/one")), (1, GONE[:30]), (1, GONE[30:])] * 3)
plain("two_at_once", *[(0, get(b"/one") + get(b"/two")), (1, OK + GONE)] * 2)
plain("one_after_the_other_at_once", (0, get(b"/one")), (0, get(b"/two")), (1, OK), (1, GONE), (0, get(b"/three MARK")), (1, OK))
plain("questions", *[(0, length(b"\0\7\1\0\0\1\0\0\0\0\0\0\3www\7example\0\0\1\0\1")), (1, length(b"\0\7\x81\x80\0\1\0\0\0\0\0\0\3www\7example\0\0\1\0\1"))] * 3, port=53)
plain("commands", (0, b"GO one\n"), (1, b"ok\n"), (0, b"GO two MARK\n"), (1, b"ok\n"), (0, b"GO one\n"), (1, b"ok\n"), port=9997)
plain("mail", (1, b"220 a ESMTP\r\n"), (0, b"EHLO a\r\n"), (1, b"250 MARK\r\n"), (0, b"NOOP one\r\n"), (1, b"250 MARK\r\n"), (0, b"NOOP one MARK\r\n"), (1, b"250 MARK\r\n"), port=25)

# ---- interim answers

plain("a_body_that_is_waited_for", (0, POST), (1, CONTINUE), (0, BODY), (1, OK))
plain("a_body_that_is_waited_for_and_acknowledged", (0, POST), (1, b""), (1, CONTINUE), (0, b""), (0, BODY), (1, b""), (1, OK), (0, b""))
plain("a_body_that_is_not_waited_for", (0, POST), (0, BODY), (1, CONTINUE), (1, OK))
plain("a_body_in_two_segments", (0, POST), (1, CONTINUE), (0, BODY[:7]), (0, BODY[7:]), (1, OK))
plain("two_bodies_that_are_waited_for", *[(0, POST), (1, CONTINUE), (0, BODY), (1, OK)] * 2)
plain("processing_and_hints", (0, get(b"/one")), (1, b"HTTP/1.1 102 Processing\r\n\r\n"), (1, b"HTTP/1.1 103 Early Hints\r\nLink: MARK\r\n\r\n"), (1, GONE))
plain("a_body_that_is_answered_early", (0, POST), (0, BODY[:7]), (1, GONE), (0, BODY[7:]), (0, get(b"/one")), (1, OK))
plain("a_body_in_segments_that_are_acknowledged", (0, POST), (1, b""), (0, BODY[:7]), (1, b""), (0, BODY[7:]), (1, b""), (1, OK))

# ---- datagrams

VIA = b"Via: SIP/2.0/UDP a.example;branch=z9hG4bK1\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@a.example>\r\nCall-ID: 1\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
REGISTER = b"REGISTER sip:a.example SIP/2.0\r\n" + VIA
REGISTERED = b"SIP/2.0 200 OK\r\n" + VIA
for name, first in (("lines", b"\r\n\r\n"), ("zeros", b"\0" * 4), ("a_zero", b"\0"), ("a_line", b"\r\n"), ("junk", b"junk that is long enough to be some message of a protocol")):
    datagrams(f"phone_behind_{name}", (0, first), (0, REGISTER), (1, REGISTERED), (0, REGISTER), (1, REGISTERED))
    datagrams(f"phone_behind_{name}_of_both", (0, first), (1, first), (0, REGISTER), (1, REGISTERED), (0, REGISTER), (1, REGISTERED))
    datagrams(f"phone_behind_{name}_three_times", (0, first), (0, first), (0, first), (0, REGISTER), (1, REGISTERED))
    datagrams(f"phone_answers_behind_{name}", (0, REGISTER), (1, first), (1, REGISTERED), (0, REGISTER), (1, REGISTERED))
datagrams("phone", (0, REGISTER), (1, REGISTERED), (0, REGISTER), (1, REGISTERED))
datagrams("phone_answers", (1, REGISTERED), (0, REGISTER), (1, REGISTERED))
datagrams("phone_answers_alone", (1, REGISTERED), (1, REGISTERED))
datagrams("phone_asks_from_the_port", (1, REGISTER), (0, REGISTERED))
ASKED = b"\0\7\1\0\0\1\0\0\0\0\0\0\3www\7example\0\0\1\0\1"
ANSWERED = b"\0\7\x81\x80\0\1\0\1\0\0\0\0\3www\7example\0\0\1\0\1\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xc0\0\2\1"
CUT = ASKED[:15]
for port in (1001, 53, 137, 5353, 5355, 138, 68, 123):
    datagrams(f"question_from_{port}", (0, ASKED), (1, ANSWERED), (0, ASKED), port=53, source=port)
for name, first in (("cut", CUT), ("short", ASKED[:8]), ("junk", b"junk that is long enough"), ("zeros", b"\0" * 20), ("zero", b"\0")):
    datagrams(f"question_behind_{name}", (0, first), (0, ASKED), (1, ANSWERED), (0, ASKED), (1, ANSWERED), port=53)
    if name not in ("cut", "zeros"):
        datagrams(f"answer_behind_{name}", (0, ASKED), (1, first), (1, ANSWERED), (0, ASKED), (1, ANSWERED), port=53)
        datagrams(f"question_behind_{name}_of_both", (0, first), (1, first), (0, ASKED), (1, ANSWERED), (0, ASKED), (1, ANSWERED), port=53)
datagrams("answers_alone", (1, ANSWERED), (1, ANSWERED), port=53)
datagrams("answer_first", (1, ANSWERED), (0, ASKED), (1, ANSWERED), port=53)
datagrams("answer_to_another_port", (1, ANSWERED), (0, ASKED), (1, ANSWERED), port=53, source=33_333)
datagrams("answer_between_servers", (1, ANSWERED), (0, ASKED), port=53, source=53)
datagrams("question_to_another_port", (0, ASKED), (1, ANSWERED), port=5300)
TRAP = bytes.fromhex("302602010104067075626c6963a019020426f6a4e5020100020100300b300906052b060102010500")
REPLY = bytes.fromhex("302602010104067075626c6963a219020426f6a4e5020100020100300b300906052b060102010500")
for port in (161, 162):
    datagrams(f"agent_{port}", (0, TRAP), (1, REPLY), (0, TRAP), (1, REPLY), port=port)
    datagrams(f"agent_answers_{port}", (1, REPLY), (0, TRAP), (1, REPLY), port=port)
    datagrams(f"agent_answers_alone_{port}", (1, REPLY), (1, REPLY), port=port)
    datagrams(f"agent_behind_junk_{port}", (0, b"junk that is long"), (0, TRAP), (1, REPLY), port=port)


def lease(kind, op=1):
    head = bytes([op, 1, 6, 0]) + b"\0\0\0\7" + b"\0" * 20 + b"\2\0\0\0\0\1" + b"\0" * 202
    return head + b"\x63\x82\x53\x63" + bytes([53, 1, kind]) + (b"\x33\4\0\0\x0e\x10" if op == 2 else b"") + b"\xff"


datagrams("lease", (0, lease(1)), (1, lease(2, 2)), (0, lease(3)), (1, lease(5, 2)), port=67, source=68)
datagrams("lease_answers", (1, lease(2, 2)), (0, lease(3)), (1, lease(5, 2)), port=67, source=68)
datagrams("lease_answers_alone", (1, lease(2, 2)), (1, lease(5, 2)), port=67, source=68)
datagrams("lease_behind_junk", (0, b"junk"), (0, lease(1)), (1, lease(2, 2)), port=67, source=68)
datagrams("lease_relayed", (0, lease(1)), (1, lease(2, 2)), port=67, source=67)
NTP = b"\x23" + b"\0" * 47
datagrams("clock_behind_junk", (0, b"junk"), (0, NTP), (1, b"\x24" + NTP[1:]), (0, NTP), port=123)
datagrams("clock_answers", (1, b"\x24" + NTP[1:]), (0, NTP), (1, b"\x24" + NTP[1:]), port=123)
ERROR = b"\x7e\x0c\x30\x0a\xa0\x03\x02\x01\x05\xa1\x03\x02\x01\x1e"
datagrams("ticket_answers", (1, ERROR), (0, ERROR), (1, ERROR), port=88)
datagrams("ticket_behind_junk", (0, b"junk"), (0, ERROR), (1, ERROR), port=88)
READ = b"\0\1file.bin\0octet\0"
datagrams("transfer", (0, READ), (1, b"\0\3\0\1MARK"), port=69)
datagrams("transfer_behind_junk", (0, b"junk"), (0, READ), (1, b"\0\3\0\1MARK"), port=69)
datagrams("transfer_answers", (1, b"\0\3\0\1MARK"), (0, READ), port=69)

# ---- connections in their midst

NAMES = ["http.uri", "http.method", "http.host", "http.stat_code", "http.stat_msg", "http.response_line", "http.response_body", "http.server", "http.header_names"]


def records(*messages):
    return b"".join(b"\x16\3\3" + length(message) for message in messages)


def message(kind, body):
    return bytes([kind]) + len(body).to_bytes(3) + body


CLIENT_HELLO = message(1, b"\3\3" + b"R" * 32 + b"\0" + b"\0\2\xc0\x2f\1\0" + length(b"\0\0" + length(length(b"\0" + length(b"a.example")))))
SERVER_HELLO = message(2, b"\3\3" + b"S" * 32 + b"\0\xc0\x2f\0")
DONE = message(14, b"")


def server_hello():
    chain = len(CERTIFICATE).to_bytes(3) + CERTIFICATE
    return records(SERVER_HELLO, message(11, len(chain).to_bytes(3) + chain), DONE)


SAID = b"\x17\3\3" + length(b"secret data MARK")
for alone in (None, 0, 1):
    tag = ("both", "client", "server")[0 if alone is None else alone + 1]
    late(f"web_{tag}", (0, get(b"/one")), (1, GONE), (0, get(b"/two")), (1, OK), alone=alone)
    late(f"web_behind_an_answer_{tag}", (1, b"rest of an answer MARK"), (0, get(b"/two")), (1, GONE), alone=alone)
    late(f"web_answers_first_{tag}", (1, GONE), (0, get(b"/two")), (1, GONE), alone=alone)
    late(f"secret_{tag}", (0, records(CLIENT_HELLO)), (1, server_hello()), (0, SAID), (1, SAID), port=443, alone=alone)
    late(f"secret_server_hello_{tag}", (1, server_hello()), (0, SAID), (1, SAID), port=443, alone=alone)
    late(f"secret_data_{tag}", (0, SAID), (1, SAID), (0, SAID), (1, SAID), port=443, alone=alone)
    late(f"mail_{tag}", (1, b"220 a.example ESMTP MARK\r\n"), (0, b"EHLO a\r\n"), (1, b"250 MARK\r\n"), (0, b"MAIL FROM:<a@a.example>\r\n"), (1, b"250 ok\r\n"), port=25, alone=alone)
    late(f"mail_later_{tag}", (0, b"MAIL FROM:<a@a.example>\r\n"), (1, b"250 MARK\r\n"), (0, b"RCPT TO:<b@a.example>\r\n"), (1, b"250 ok\r\n"), port=25, alone=alone)
    late(f"shell_{tag}", (1, b"SSH-2.0-server\r\n"), (0, b"SSH-2.0-client\r\n"), port=22, alone=alone)
    late(f"files_{tag}", (1, b"220 (a)\r\n"), (0, b"USER a\r\n"), (1, b"331 MARK\r\n"), (0, b"PASS b\r\n"), (1, b"230 MARK\r\n"), port=21, alone=alone)
    late(f"questions_{tag}", (0, length(ASKED)), (1, length(ANSWERED)), (0, length(ASKED)), (1, length(ANSWERED)), port=53, alone=alone)
    late(f"questions_answered_first_{tag}", (1, length(ANSWERED)), (0, length(ASKED)), (1, length(ANSWERED)), port=53, alone=alone)
    late(f"junk_{tag}", (0, b"MARK one"), (1, b"MARK two"), (0, b"MARK three"), (1, b"MARK four"), port=9997, alone=alone)


def numbered(made):
    return [f'alert {proto} any any -> any any (msg:"{sid}"; {text}; sid:{sid};)' for sid, (proto, text) in enumerate(made, 1)]


def turns_rules():
    made = []
    for proto in ("http", "tcp", "tcp-stream", "tcp-pkt", "ip"):
        for text in ("GET /one", "GET /two", "GET", "GO", "NOOP", "POST", "HTTP/1.1", "body"):
            made += [(proto, f'content:"{text}"; startswith'), (proto, f'content:"{text[1:]}"; offset:1'), (proto, f'content:"{text}"; depth:40')]
        made += [(proto, f'content:"{text}"') for text in ("MARK", "GET", "body", "HTTP", "example", "250")]
        made += [(proto, f'content:"{text}"; flow:{side}; offset:4') for text in ("MARK", "example") for side in ("to_server", "to_client", "established")]
        made += [(proto, f'content:"{text}"; offset:4; flowbits:set,b{number}; noalert') for number, text in enumerate(("two", "MARK"))]
        made += [(proto, f'content:"{text}"; offset:4; flowbits:isset,b{number}') for number, text in enumerate(("one", "MARK"))]
        made += [(proto, 'content:"one"; offset:2; threshold:type both,track by_src,count 2,seconds 60'), (proto, 'pcre:"/^GET .one/"')]
    for buffer in NAMES + ["http.request_body"]:
        made += [("http", f"{buffer}; bsize:>0")]
    made += [("http", 'content:"one"; offset:3; http.method; content:"GET"'), ("http", 'content:"MARK"; offset:3; http.stat_code; content:"404"')]
    for proto in ("sip", "dns", "snmp", "dhcp", "ntp", "krb5", "tftp"):
        made += [(proto, "dsize:>0"), (proto, "flow:to_server; dsize:>0"), (proto, "flow:to_client; dsize:>0")]
        made += [("ip", f"app-layer-protocol:{proto}"), ("udp", f"app-layer-protocol:!{proto}")]
    made += [("udp", "app-layer-protocol:failed"), ("tcp", 'content:"one"; dsize:>20')]
    for buffer in ("sip.method", "sip.uri", "sip.stat_code", "sip.stat_msg", "sip.protocol", "sip.request_line", "sip.response_line"):
        made += [("sip", f"{buffer}; bsize:>0")]
    made += [("dns", "dns.query; bsize:>0"), ("dns", "dns.opcode:0"), ("dns", 'content:"example"'), ("udp", 'content:"REGISTER"; startswith; flow:to_server')]
    made += [("snmp", f"snmp.community; bsize:>0{side}") for side in ("", "; flow:to_server", "; flow:to_client")]
    made += [("snmp", f"snmp.pdu_type:{kind}") for kind in (0, 2)]
    made += [("snmp", "snmp.version:2"), ("dhcp", "dhcp.leasetime:>1"), ("krb5", "krb5_msg_type:30"), ("krb5", "krb5_err_code:6")]
    return numbered(made)


def midway_rules():
    made = []
    for buffer in NAMES + ["http.request_body", "tls.sni", "tls.cert_subject", "tls.cert_issuer", "tls.cert_serial", "tls.cert_fingerprint", "ja3.hash", "ja3s.hash", "tls.random", "dns.query", "ssh.software", "ssh.proto"]:
        made += [(buffer.split(".")[0].replace("ja3s", "tls").replace("ja3", "tls"), f"{buffer}; bsize:>0")]
    for buffer in ("http.header", "http.header_names", "http.header.raw"):
        made += [("http", f'{buffer}; content:"|3a|"; flow:{side}' if buffer != "http.header_names" else f"{buffer}; bsize:>4; flow:{side}") for side in ("to_server", "to_client")]
    made += [("tls", "tls.version:1.2"), ("tls", "ssl_version:tls1.2"), ("tls", "tls_cert_notbefore:>2015"), ("tls", "ssl_state:server_hello"), ("tls", "ssl_state:client_hello")]
    for proto in ("http", "tls", "smtp", "ssh", "ftp", "dns", "tcp", "tcp-stream"):
        made += [(proto, f"flow:{side}; dsize:>0") for side in ("to_server", "to_client", "established", "not_established") if "tcp" not in proto]
        made += [(proto, f'content:"{text}"') for text in ("MARK", "GET", "HTTP", "220", "250", "example", "one", "SSH")]
        made += [(proto, f'content:"MARK"; flow:{side}') for side in ("to_server", "to_client", "established")]
    for proto in ("http", "tls", "smtp", "ssh", "ftp", "dns", "failed"):
        made += [("tcp", f"app-layer-protocol:{proto}"), ("tcp", f"app-layer-protocol:{proto}; flow:to_client")]
    return numbered(made)


def record(name, ways, net, settings):
    with tempfile.TemporaryDirectory() as folder:
        command = ["suricata", "-c", "/etc/suricata/suricata.yaml", "-r", str(HERE / f"{name}.pcap"), "-S", str(HERE / f"{name}.rules"), "-l", folder, "-k", "none"]
        command += ["--runmode", "single", "--set", "packet-alert-max=255"] + [x for setting in settings for x in ("--set", setting)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        events = map(json.loads, pathlib.Path(folder, "eve.json").read_text().splitlines())
        events = [event for event in events if event["event_type"] == "alert"]
    found = []
    for place, key in enumerate(ways, 1):
        client, alerts = f"10.{net}.{place // 250}.{place % 250}", {}
        for event in events:
            if client in (event["src_ip"], event["dest_ip"]):
                sid = event["alert"]["signature_id"]
                alerts[sid] = alerts.get(sid, 0) + 1
        found.append({"name": key, "client": client, "alerts": dict(sorted(alerts.items()))})
    (HERE / f"{name}.json").write_text("[\n" + ",\n".join(map(json.dumps, found)) + "\n]\n")


def main():
    for name, ways, net, rules, settings in (
        ("turns", turns, 12, turns_rules(), []),
        ("midway", midway, 13, midway_rules(), ["stream.midstream=true"]),
    ):
        timed = []
        for place, build in enumerate(ways.values(), 1):
            at = (1_700_000_000 + 1_000 * place) * 10**6
            for packet in build(f"10.{net}.{place // 250}.{place % 250}"):
                timed.append((at, packet))
                at += 1_000
        write(HERE / f"{name}.pcap", timed)
        (HERE / f"{name}.rules").write_text("\n".join(rules) + "\n")
        if sys.argv[1:] == ["record"]:
            record(name, ways, net, settings)


if __name__ == "__main__":
    main()
