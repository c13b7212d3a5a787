#!/usr/bin/env python3
"""Writes bodies.pcap: bodies of HTTP that have more bytes than their heads say, no length or one that is no number, and codings that are none; one client
10.12.0.N each.

bodies.rules asks for them. What Suricata 7.0.10 alerts, by client and rule, is in bodies.json, written by

    python3 tests/signatures/bodies.py record

which needs suricata and the right to run it.
"""
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

from make import HERE, Session, write

GET = b"GET /index.html HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
SHORT = HEAD + b"Content-Length: 2\r\n\r\nok"
PACKED = gzip.compress(b"<html>MARKED BODY" * 5, mtime=0)


def length(count):
    return b"Content-Length: %s\r\n\r\n" % str(count).encode()


def post(fields, body=b"", method=b"POST"):
    return method + b" /gate.php HTTP/1.1\r\nHost: www.example.com\r\n" + fields + body


C, S = 0, 1
# a name, and who says what in which segment
WAYS = {
    "answer_of_no_length_has_a_body": [(C, GET), (S, HEAD + length(0) + b"MARKED BODY")],
    "answer_of_no_length_then_a_short_body": [(C, GET), (S, HEAD + length(0)), (S, b"MARKED")],
    "answer_goes_on": [(C, GET), (S, HEAD + length(4) + b"abcdMARKED BODY")],
    "answer_goes_on_later": [(C, GET), (S, HEAD + length(4)), (S, b"abcdMARKED BODY")],
    "answer_goes_on_behind_a_line": [(C, GET), (S, HEAD + length(4) + b"abcd\r\nMARKED BODY\r\nand more")],
    "answer_cut_within_a_word": [(C, GET), (S, HEAD + length(3) + b"MARKED BODY")],
    "answer_goes_on_and_another_one_comes": [(C, GET), (S, HEAD + length(4) + b"abcdMARKED BODY"), (C, GET), (S, HEAD + length(6) + b"SECOND")],
    "answers_in_one_segment": [(C, GET + GET), (S, HEAD + length(6) + b"MARKED" + HEAD + length(6) + b"SECOND")],
    "answer_cut_at_the_next_line": [(C, GET + GET), (S, HEAD + length(6) + b"MARKEDHT"), (S, (HEAD + length(6))[2:] + b"SECOND")],
    "answer_without_content": [(C, GET), (S, b"HTTP/1.1 204 No\r\n\r\nMARKED BODY<html>")],
    "answer_not_modified": [(C, GET), (S, b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\nMARKED BODY<html>")],
    "answer_to_head": [(C, b"HEAD" + GET[3:]), (S, HEAD + length(17) + b"MARKED BODY<html>")],
    "answer_of_two_lengths": [(C, GET), (S, HEAD + b"Content-Length: 4\r\n" + length(12) + b"abcdMARKED BODY")],
    "answer_of_a_length_below_none": [(C, GET), (S, HEAD + length(-1) + b"MARKED BODY")],
    "answer_of_a_length_and_a_letter": [(C, GET), (S, HEAD + length("11x") + b"MARKED BODY")],
    "answer_of_an_empty_length": [(C, GET), (S, HEAD + length("") + b"MARKED BODY")],
    "answer_packed_and_cut": [(C, GET), (S, HEAD + b"Content-Encoding: gzip\r\n" + length(4) + PACKED)],
    "answer_said_to_be_brotli": [(C, GET), (S, HEAD + b"Content-Encoding: br\r\n\r\n<html>MARKED BODY")],
    "request_without_length": [(C, post(b"\r\n", b"MARKED BODY")), (S, SHORT)],
    "request_put_without_length": [(C, post(b"\r\n", b"MARKED BODY", b"PUT")), (S, SHORT)],
    "request_get_with_a_body": [(C, post(b"\r\n", b"MARKED BODY", b"GET")), (S, SHORT)],
    "request_of_no_length": [(C, post(length(0), b"MARKED BODY")), (S, SHORT)],
    "request_goes_on": [(C, post(length(4), b"abcdMARKED BODY")), (S, SHORT)],
    "request_of_bytes_and_lines": [(C, post(b"\r\n", b"\1\2\3\4MARKED BODY\r\nfoo")), (S, SHORT)],
    "request_of_a_length_of_letters": [(C, post(length("xyz"), b"MARKED BODY")), (S, SHORT)],
    "request_with_a_line_behind_it": [(C, post(length(6), b"MARKED\r\n")), (S, SHORT), (C, post(length(6), b"SECOND")), (S, SHORT)],
    "requests_in_one_segment": [(C, post(length(6), b"MARKED") + post(length(6), b"SECOND")), (S, SHORT + SHORT)],
    "requests_cut_within_a_method": [(C, post(length(6), b"MARKEDPO")), (C, post(length(6), b"SECOND")[2:]), (S, SHORT + SHORT)],
    "request_goes_on_later": [(C, post(length(4), b"abcd")), (S, SHORT), (C, GET), (S, SHORT)],
}
RULES = [
    'file.data; content:"MARKED"',
    'file.data; content:"MARKED"; startswith',
    'flow:established,to_client; http.stat_code; content:"200"; file.data; content:"MARKED"',
    'flow:established,to_client; http.response_line; content:"HTTP/1."; file.data; content:"MARKED"',
    'flow:established,to_client; http.response_body; content:"MARKED"',
    'flow:established,to_client; file.data; content:"SECOND"; startswith',
    'flow:established,to_client; file.data; content:"BODY"',
    'flow:established,to_server; http.request_body; content:"MARKED"',
    'flow:established,to_server; http.method; content:"POST"; http.request_body; content:"MARKED"',
    'flow:established,to_server; http.request_body; content:"SECOND"; startswith',
    'flow:established,to_server; file.data; content:"MARKED"',
    'flow:established,to_server; file.name; content:"gate"',
    'flow:established,to_server; http.uri; content:"/gate.php"',
    'flow:established,to_server; http.uri; content:"/index"',
    'flow:established,to_client; http.stat_code; content:"200"',
]


def record():
    with tempfile.TemporaryDirectory() as folder:
        command = ["suricata", "-r", str(HERE / "bodies.pcap"), "-S", str(HERE / "bodies.rules"), "-l", folder, "-k", "none", "--runmode", "single"]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        events = map(json.loads, pathlib.Path(folder, "eve.json").read_text().splitlines())
        events = [event for event in events if event["event_type"] == "alert"]
    found = []
    for place, name in enumerate(WAYS, 1):
        client, alerts = f"10.12.0.{place}", {}
        for event in events:
            if client in (event["src_ip"], event["dest_ip"]):
                sid = event["alert"]["signature_id"]
                alerts[sid] = alerts.get(sid, 0) + 1
        found.append({"name": name, "client": client, "alerts": dict(sorted(alerts.items()))})
    (HERE / "bodies.json").write_text("[\n" + ",\n".join(map(json.dumps, found)) + "\n]\n")


def main():
    timed = []
    for place, said in enumerate(WAYS.values(), 1):
        at = (1_700_000_000 + 1_000 * place) * 10**6
        made = Session((f"10.12.0.{place}", 40_000), ("198.51.100.9", 80)).open()
        for side, data in said:
            made.say(side, data)
        for packet in made.close():
            timed.append((at, packet))
            at += 1_000
    write(HERE / "bodies.pcap", timed)
    lines = [f'alert http any any -> any any (msg:"{sid}"; {text}; sid:{sid};)' for sid, text in enumerate(RULES, 1)]
    (HERE / "bodies.rules").write_text("\n".join(lines) + "\n")
    if sys.argv[1:] == ["record"]:
        record()


if __name__ == "__main__":
    main()
