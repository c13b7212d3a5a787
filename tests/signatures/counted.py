#!/usr/bin/env python3
"""Writes counted.pcap, requests of HTTP, and counted.rules: conditions that count from a match, behind expressions that start at one, behind buffers that are
named afterwards, and at the end of what they look at.

How often Suricata 7.0.10 alerts is in counted.json, written by `python3 tests/signatures/counted.py EVE` from its eve.json with `-k none`.
"""
import json
import sys

from make import HERE, Session, write

SERVER = "198.51.100.7"
PATHS = [
    "/gate/?id=0123456789", "/gate/?id=01234567890123", "/x/aaa", "/x/aaaa", "/a/abcde.php", "/a/abcd.php", "/index.html", "/index.htm",
    "/index.html?x=1", "/n/7z", "/n/5z", "/end/ab", "/end/abc",
]
HOSTS = ["update.example", "update.example.org"]
RULES = [
    r'http.uri; content:"/gate/?id="; pcre:"/^\d{10}/R"; isdataat:!1,relative',
    r'http.uri; content:"/gate/?id="; pcre:"/^\d{10}$/R"',
    r'http.uri; content:"/x/"; pcre:"/^a{3}/R"; content:!"a"; within:1',
    r'http.uri; content:"/a/"; pcre:"/^[a-z]{4}/R"; content:".php"; within:4',
    r'content:"/a/"; http_uri; pcre:"/^[a-z]{4}/UR"; content:".php"; http_uri; within:4',
    r'http.uri; content:"/gate/?id="; pcre:"/^\d{5}/R"; pcre:"/^6789/R"',
    r'http.uri; content:"/gate/?id="; pcre:"/^\d{5}/R"; byte_test:1,=,9,0,string,dec,relative',
    r'http.uri; pcre:"/a./"; content:"e"; within:1',
    r'content:"index.html"; http_uri; isdataat:!1,relative',
    r'content:"index.htm"; http_uri; isdataat:1,relative',
    r'content:"index.htm"; http_uri; isdataat:!2,relative',
    r'uricontent:"index.html"; isdataat:!1,relative',
    r'content:"/n/"; http_uri; byte_test:1,>,6,0,string,dec,relative',
    r'content:"/n/"; http_uri; byte_jump:1,0,string,dec,relative; isdataat:!1,relative',
    r'content:"/n/"; http_uri; byte_extract:1,0,n,string,dec,relative; content:"z"; http_uri; distance:0; within:1',
    r'http.host; content:!".example"; isdataat:!1,relative',
    r'http.host; content:!".example"; endswith',
    r'http.host; content:".example"; endswith; endswith',
    r'http.uri; content:"ab"; isdataat:!1,relative',
    r'pcre:"/\/e.d\/ab/U"; isdataat:!1,relative',
    r'content:"GET"; http_method; content:"ab"; http_uri; isdataat:!1,relative',
]


def main():
    timed = []
    for number, (path, host) in enumerate([(p, h) for p in PATHS for h in HOSTS], 1):
        talk = Session((f"10.11.0.{number}", 40_000), (SERVER, 80)).open()
        talk.say(0, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        talk.say(1, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        at = (1_700_000_000 + 1_000 * number) * 10**6
        timed += [(at + 1_000 * n, packet) for n, packet in enumerate(talk.close())]
    write(HERE / "counted.pcap", timed)
    way = "flow:established,to_server"
    lines = [f'alert http any any -> any any (msg:"{sid}"; {way}; {text}; sid:{sid};)' for sid, text in enumerate(RULES, 1)]
    (HERE / "counted.rules").write_text("\n".join(lines) + "\n")
    if len(sys.argv) > 1:
        counts = {}
        for event in map(json.loads, open(sys.argv[1], encoding="utf-8")):
            if event["event_type"] == "alert":
                sid = event["alert"]["signature_id"]
                counts[sid] = counts.get(sid, 0) + 1
        (HERE / "counted.json").write_text(json.dumps(dict(sorted(counts.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
