#!/usr/bin/env python3
"""Records what Debian's Suricata alerts on the captures of the corpus, one engine for all, one capture at a time.

    python3 tests/differential/record.py ../shared/data > tests/differential/suricata.jsonl

A line a capture that alerts: its path in the corpus, and for each rule the flows that it fires on (at most a few; where they are more their number). Stock
configuration, all rules of the corpus, the starter rules and probes.rules, checksums not looked at. Needs suricata 7 and the right to run it.
"""
import json
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAGIC = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a")


def captures(corpus):
    for folder in ("ids", "pcap", "behaviour"):
        for path in sorted((corpus / folder).rglob("*")):
            if path.is_file() and path.open("rb").read(4) in MAGIC:
                yield path


class Suricata:
    """An engine that waits for captures on a socket."""

    def __init__(self, rules, folder):
        self.folder = folder
        path = folder / "socket"
        command = ["suricata", "--unix-socket=" + str(path), "-S", str(rules), "-l", str(folder), "-k", "none"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        for _ in range(1200):
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                time.sleep(0.1)
        self.ask({"version": "0.2"})

    def ask(self, question):
        self.socket.send(json.dumps(question).encode() + b"\n")
        answer = b""
        while True:
            answer += self.socket.recv(65536)
            try:
                return json.loads(answer)
            except ValueError:
                continue

    def alerts(self, capture):
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        self.ask({"command": "pcap-file", "arguments": {"filename": str(capture), "output-dir": str(out)}})
        while True:
            time.sleep(0.02)
            left = self.ask({"command": "pcap-file-number"})["message"]
            now = self.ask({"command": "pcap-current"})["message"]
            if left == 0 and now == "None":
                break
        eve = out / "eve.json"
        lines = eve.read_text().splitlines() if eve.exists() else []
        return [e for e in map(json.loads, lines) if e["event_type"] == "alert"]


def end(event, side):
    port = event.get(side + "_port")
    return event.get(side + "_ip", "") + ("" if port is None else f" {port}")


def pairs(alerts):
    """Rule to its flows, whichever way; where they are many only how many they are."""
    found = {}
    for event in alerts:
        ends = sorted((end(event, "src"), end(event, "dest")))
        flow = " - ".join(ends) + " " + event.get("proto", "")
        found.setdefault(event["alert"]["signature_id"], set()).add(flow)
    return {sid: sorted(flows) if len(flows) <= MANY else len(flows) for sid, flows in sorted(found.items())}


MANY = 12


def main():
    corpus = pathlib.Path(sys.argv[1]).resolve()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="suricata-"))
    rules = folder / "all.rules"
    files = [*sorted((corpus / "rules").glob("*.rules")), ROOT / "deploy/rules/flowhouse.rules", ROOT / "tests/differential/probes.rules"]
    rules.write_bytes(b"\n".join(f.read_bytes() for f in files))
    engine = Suricata(rules, folder)
    for capture in captures(corpus):
        found = pairs(engine.alerts(capture))
        if found:
            line = {"capture": str(capture.relative_to(corpus)), "alerts": found}
            print(json.dumps(line, separators=(",", ":")), flush=True)
    engine.ask({"command": "shutdown"})
    engine.process.wait()
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
