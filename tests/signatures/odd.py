#!/usr/bin/env python3
"""Writes odd.pcap: first lines that are none of HTTP and what is answered to them, ends of lines and heads, bits that one packet sets and asks for, places
that are counted from variables, before the start and in each message, conversations of which one side alone tells what they are, and packets that a rule
is tried with; one client 10.11.0.N each.

odd.rules asks for them. odd.json has how often each conversation raises each rule with Suricata 7.0.10; `odd.py record` records it anew.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

from make import HERE, Session, echo, ip, tcp, udp, write

SERVER = "198.51.100.9"
ways = {}


def talk(name, *said, port=80):
    def build(client):
        session = Session((client, 40_000), (SERVER, port)).open()
        for side, text in said:
            session.say(side, text)
        return session.close()

    ways[name] = build


def datagrams(name, *texts, ports=(53_000,)):
    ways[name] = lambda client: [udp((client, 1001), (SERVER, port), text) for text in texts for port in ports]


# ---- HTTP

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
REFUSED = b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"
GET = b"GET /a HTTP/1.1\r\nHost: a.example\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"

talk("three_words", (0, b"union select a from b where exec(1)\r\n\r\n"), (1, OK))
talk("a_statement", (0, b"select a from b where 1=1;exec(1)\r\n"), (1, OK))
talk("a_statement_with_fields", (0, b"UNION SELECT exec(1) FROM b\r\nX: y\r\n\r\n"), (1, OK))
talk("a_method_that_nobody_knows", (0, b"FOO /x HTTP/1.1\r\nHost: a\r\n\r\n"), (1, OK))
talk("half_a_line_that_is_refused", (0, b"';exec(1) master..xp_cmdshell"), (1, REFUSED))
talk("half_a_line_of_one_word", (0, b"(select+1)+union+all+selectexec(1)"), (1, REFUSED))
talk("a_line_without_version", (0, b"(select+1)+union+all+select exec(1)\n"), (1, REFUSED))
talk("an_odd_second_line", (0, GET), (1, OK), (0, b"id=1 union select exec(1)\r\n\r\n"), (1, OK))
talk("half_an_odd_second_line", (0, GET), (1, OK), (0, b"id=1 exec(1)"), (1, REFUSED))
talk("half_a_request_is_answered", (0, b"GET /half HTTP/1.1\r\nHost: q\r\nX-A: "), (1, OK))
talk("half_a_request", (0, b"GET /half"))
talk("half_a_request_and_something_else", (0, b"GET /half"), (1, b"\0\1junk that is no line of any kind"))
talk("last_letters", (0, GET), (1, OK), (0, b"zz"))
talk("junk_before_an_answer", (0, GET), (1, b"junk\r\n" + OK))
talk("blanks_before_an_answer", (0, GET), (1, b"\r\n\r\n" + OK))
talk("words_before_an_answer", (0, GET), (1, b"hello junk\r\nHello\r\n" + OK))
talk("a_line_is_no_answer", (0, GET), (1, b"\0\1 that is junk\n"), (0, GET), (1, OK))
talk("bytes_are_no_answer", (0, GET), (1, b"\0\1binary\nline junk\nmore"))
talk("a_piece_is_no_answer", (0, GET), (1, b"\0\1binary junk"), (1, b" and more\n"), (0, GET), (1, OK))
talk("two_returns_in_a_request", (0, b"GET /a HTTP/1.1\r\r\nHost: a.example\r\r\nX-A: b\r\r\n\r\r\n"), (1, OK))
talk("two_returns_in_a_field", (0, b"GET /a HTTP/1.1\r\nHost: a.example\r\r\nX-A: b\r\n\r\n"), (1, OK))
talk("two_returns_behind_the_fields", (0, b"GET /a HTTP/1.1\r\nHost: a.example\r\nX-A: b\r\n\r\r\nX-C: d\r\n\r\n"), (1, OK))
talk("two_returns_in_an_answer", (0, GET), (1, b"HTTP/1.1 200 OK\r\r\nServer: s\r\r\nContent-Length: 2\r\r\n\r\r\nok"))
talk("two_returns_in_its_field", (0, GET), (1, b"HTTP/1.1 200 OK\r\nServer: s\r\r\nContent-Length: 2\r\n\r\nok"))
talk("newlines_alone", (0, b"GET /a HTTP/1.1\nHost: a.example\nX-A: b\n\n"), (1, b"HTTP/1.1 200 OK\nServer: s\nContent-Length: 2\n\nok"))
talk("no_fields", (0, b"GET /a HTTP/1.0\r\n\r\n"), (1, b"HTTP/1.0 200 OK\r\n\r\nbody"))
talk("a_line_alone", (0, b"GET /a\r\n"), (1, b"body"))
talk("a_line_and_another_request", (0, b"GET /a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n"), (1, OK + OK))
talk("a_line_and_another_segment", (0, b"GET /a\r\n"), (0, b"GET /b HTTP/1.1\r\nHost: a\r\n\r\n"), (1, OK + OK))
talk("a_line_with_a_field", (0, b"GET /a\r\nHost: x\r\n\r\n"), (1, OK))
talk("a_line_behind_chunks", (0, GET), (1, CHUNKED + b"behind-it\r\n"), (0, GET), (1, OK))
talk("letters_behind_chunks", (0, GET), (1, CHUNKED + b"behind-it"))
talk("a_line_behind_chunks_that_are_sent", (0, POST + b"behind-it\r\n"), (1, OK))
talk("letters_behind_chunks_that_are_sent", (0, POST + b"behind-it"), (1, OK))

# ---- bits

datagrams("set_and_asked_at_once", b"AAA BBB")
datagrams("set_and_asked_twice", b"AAA BBB", b"AAA BBB")
datagrams("set_before", b"AAA", b"BBB")
datagrams("set_between", b"BBB", b"AAA BBB", b"BBB")
datagrams("unset_and_asked", b"AAA", b"UUU BBB", b"BBB")

# ---- places

PLACES = [53_001, 53_002]
for number, text in enumerate((b"\2ABCxDEFyGHIz", b"\5ABCxDEFyGHIz", b"\0ABCxDEFyGHIz", b"\3\2ABCABCABCABC", b"\xffABCABCABC", b"AB\4CDEFGHIJK", b"zzzA\3yyyBCD")):
    datagrams(f"places_{number}", text, ports=PLACES)

# ---- one side alone tells

talk("mail", (1, b"220 mail.example ESMTP\r\n"), (0, b"EHLO a\r\n"), (1, b"250 ok\r\n"), (0, b"QUIT\r\n"), (1, b"221 bye\r\n"), port=25)
talk("files", (1, b"220 ready for you here\r\n"), (0, b"USER a\r\n"), (1, b"331 pw\r\n"), (0, b"PASS x\r\n"), (1, b"230 ok\r\n"), port=21)
talk("files_that_tell", (1, b"220 (server)\r\n"), (0, b"USER a\r\n"), (1, b"331 pw\r\n"), (0, b"PASS x\r\n"), (1, b"230 ok\r\n"), port=21)
talk("chat", (0, b"NICK a\r\n"), (0, b"USER a 0 * :x\r\n"), (1, b":srv 001 a :welcome\r\n"), port=6667)
talk("chat_with_a_notice", (1, b":srv NOTICE looking\r\n"), (0, b"USER a 0 * :x\r\n"), (1, b":srv 001 a :welcome\r\n"), port=6667)
for version in (b"2.0", b"1.99", b"1.5", b"2.1", b"1.98"):
    said = (1, b"SSH-%s-server\r\n" % version), (0, b"SSH-2.0-client\r\n")
    talk("shell_" + version.decode().replace(".", "_"), *said, port=22)

# ---- messages that follow each other, and packets


def web(path):
    return b"GET %s HTTP/1.1\r\nHost: a.example\r\n\r\n" % path


def length(message):
    return len(message).to_bytes(2) + message


ASKED = b"\0\7\1\0\0\1\0\0\0\0\0\0\3www\7example\0\0\1\0\1"
ANSWERED = b"\0\7\x81\x80\0\1\0\0\0\0\0\0\3www\7example\0\0\1\0\1"
talk("three_requests", (0, web(b"/one")), (1, OK), (0, web(b"/two")), (1, OK), (0, web(b"/three MARK")), (1, OK))
talk("two_questions", *[(0, length(ASKED)), (1, length(ANSWERED))] * 2, port=53)
talk("three_commands", (0, b"GO one\n"), (1, b"ok\n"), (0, b"GO two\n"), (1, b"ok\n"), (0, b"GO three\n"), (1, b"ok\n"), port=9997)
talk("answers_of_which_each_has_it", *[(0, web(b"/mark")), (1, b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nMARK")] * 3)
ways["the_same_address"] = lambda client: [ip(client, client, 17, udp((client, 1), (client, 9), b"same")[34:]) for _ in range(4)]
ways["flags"] = lambda client: [tcp((client, 40_000), (SERVER, 7000 + n), 1000, 0, flags) for n, flags in enumerate((0, 1, 2, 3, 4, 16, 18, 41, 63, 0xC2))]
ways["pings"] = lambda client: [echo((client, 0), (SERVER, 0), b"ping %d" % n) for n in range(5)]


@lambda build: ways.setdefault(build.__name__, build)
def a_ping_in_fragments(client):
    message = echo((client, 0), (SERVER, 0), b"A" * 60)[34:]
    return [ip(client, SERVER, 1, message[:40], ident=9, offset=0x2000), ip(client, SERVER, 1, message[40:], ident=9, offset=5)]


LENGTHS = ["http.uri", "http.method", "http.protocol", "http.request_line", "http.request_body", "http.header_names", "http.host", "http.response_body"]
LENGTHS += ["http.stat_code", "http.stat_msg", "http.response_line", "http.server", "http.header", "http.request_header", "http.response_header"]
TEXTS = [("http.uri", "exec"), ("http.uri", "master"), ("http.method", "union"), ("http.method", "select"), ("http.protocol", "exec"), ("http.uri", "half")]
TEXTS += [("http.request_line", "exec"), ("http.request_body", "exec"), ("http.response_body", "junk"), ("http.response_line", "junk"), ("http.response_line", "HTTP")]
TEXTS += [("http.response_body", "behind"), ("http.request_body", "behind"), ("http.response_header", "behind"), ("http.method", "behind"), ("http.header", "X-A")]
TEXTS += [("http.request_header", "X-C"), ("http.request_header", "|0d|"), ("http.response_header", "|0d|"), ("http.response_body", "ok"), ("http.header_names", "|0d 0a 0d 0a|")]


def rules():
    made = [("http", f"{buffer}; bsize:>0") for buffer in LENGTHS]
    made += [("http", f'{buffer}; content:"{text}"') for buffer, text in TEXTS]
    for side in ("to_server", "to_client"):
        made += [("http", f"flow:{side}; {buffer}; bsize:>0") for buffer in ("http.header.raw", "file.data", "http.start", "http.header_names", "http.header")]
        made += [("http", f'flow:{side}; http.header.raw; content:"|0d 0d|"'), ("http", f"flow:{side}; http.header_names; bsize:4")]
    for track in ("ip_src", "ip_dst", "ip_pair"):
        for command in ("set", "toggle"):
            name = f"{command}_{track}"
            made += [("ip", f'content:"AAA"; xbits:{command},{name},track {track},expire 1000000')]
            made += [("ip", f'content:"BBB"; xbits:{asked},{name},track {track}') for asked in ("isset", "isnotset")]
            made += [("ip", f'content:"UUU"; xbits:unset,{name},track {track}')]
    made += [("ip", 'content:"AAA"; xbits:set,one,track ip_src,expire 1000000'), ("ip", 'content:"AAA"; xbits:isset,one,track ip_src; xbits:set,two,track ip_src,expire 1000000')]
    made += [("ip", 'content:"AAA"; xbits:isset,two,track ip_src')]
    made += [("ip", 'content:"AAA"; flowbits:set,f'), ("ip", 'content:"BBB"; flowbits:isset,f'), ("ip", 'content:"BBB"; flowbits:isnotset,f')]
    made += [("ip", 'content:"AAA"; hostbits:set,h,src'), ("ip", 'content:"BBB"; hostbits:isset,h,src'), ("ip", 'content:"BBB"; hostbits:isnotset,h,src')]
    made += [("tcp", f"app-layer-event:applayer_detect_protocol_only_one_direction{side}") for side in ("", "; flow:to_server", "; flow:to_client")]
    made += [("ssh", f"ssh.protoversion:{version}{side}") for version in ("2_compat", "2", "1.99") for side in ("", "; flow:to_server", "; flow:to_client")]
    for proto in ("http", "tcp", "tcp-stream"):
        texts = ["GET /one", "GET /two", "GET /three", "GO one", "GO two"]
        made += [(proto, f'content:"{text}"; startswith') for text in texts] + [(proto, f'content:"{text[2:]}"; offset:2; depth:12') for text in texts]
    made += [("tcp-stream", 'content:"|07|example"; offset:18; depth:8'), ("ip", 'content:"MARK"; flow:to_client'), ("ip", "sameip")]
    made += [("tcp", f"flags:{flags}") for flags in ("*SF", "*FR", "S", "+SA", "!S", "SF,CE")]
    made += [("tcp", f'stream_size:{side},>,5; content:"MARK"') for side in ("client",)]
    made += [("icmp", text) for text in ("itype:8", "icode:0", "icmp_seq:1", "itype:8; detection_filter:track by_src,count 2,seconds 60")]
    lines = ['pass tcp any any -> any 9996 (msg:"passes"; content:"anything"; sid:9000;)']
    lines += [f'alert {proto} any any -> any any (msg:"{sid}"; {text}; sid:{sid};)' for sid, (proto, text) in enumerate(made, 1)]
    counted = []
    for text in ("ABC", "DEF", "G", "z"):
        for places in ("offset:n", "depth:n", "offset:1; depth:n", "offset:n; depth:4", "offset:n; depth:n"):
            counted.append(f'byte_extract:1,0,n; content:"{text}"; {places}')
        for places in ("distance:n", "within:n", "distance:n; within:3", "distance:n; within:n", "distance:0; within:n", "distance:-1; within:n", "distance:-5; within:n"):
            counted.append(f'byte_extract:1,0,n; content:"B"; content:"{text}"; {places}')
            counted.append(f'byte_extract:1,0,n; content:"{text}"; {places}')
        for distance in (-1, -3, -5, -12, -20):
            counted += [f'content:"{found}"; content:"{text}"; distance:{distance}; within:{within}' for found in "BG" for within in (3, 5)]
            counted.append(f'content:"G"; content:!"{text}"; distance:{distance}; within:5')
    for number, text in enumerate(counted):
        sid = 1000 + number
        lines.append(f'alert udp any any -> any {PLACES[number % 2]} (msg:"{sid}"; {text}; sid:{sid};)')
    return lines


def record():
    with tempfile.TemporaryDirectory() as folder:
        command = ["suricata", "-r", str(HERE / "odd.pcap"), "-S", str(HERE / "odd.rules"), "-l", folder, "-k", "none", "--runmode", "single"]
        subprocess.run([*command, "--set", "packet-alert-max=255"], stdout=subprocess.DEVNULL, check=True)
        events = map(json.loads, pathlib.Path(folder, "eve.json").read_text().splitlines())
        events = [event for event in events if event["event_type"] == "alert"]
    found = []
    for place, name in enumerate(ways, 1):
        client, alerts = f"10.11.0.{place}", {}
        for event in events:
            if client in (event["src_ip"], event["dest_ip"]):
                sid = event["alert"]["signature_id"]
                alerts[sid] = alerts.get(sid, 0) + 1
        found.append({"name": name, "client": client, "alerts": dict(sorted(alerts.items()))})
    (HERE / "odd.json").write_text("[\n" + ",\n".join(map(json.dumps, found)) + "\n]\n")


def main():
    timed = []
    for place, build in enumerate(ways.values(), 1):
        at = (1_700_000_000 + 1_000 * place) * 10**6
        for packet in build(f"10.11.0.{place}"):
            timed.append((at, packet))
            at += 1_000
    write(HERE / "odd.pcap", timed)
    (HERE / "odd.rules").write_text("\n".join(rules()) + "\n")
    if sys.argv[1:] == ["record"]:
        record()


if __name__ == "__main__":
    main()
