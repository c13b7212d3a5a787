#!/usr/bin/env python3
"""Records what Debian's Suricata alerts on the captures of the corpus.

    python3 tests/differential/record.py ../shared/data > tests/differential/suricata.jsonl

A line a capture that alerts: its path in the corpus, and for each rule the flows that it fires on (where they are many, their number). Stock configuration but for
`packet-alert-max`, whose default of 15 leaves alerts out; checksums are not looked at. Every capture has an engine of its own, because hosts are remembered from
one capture to the next: for the probes and the starter rules always, for the rules of the corpus where an engine that reads all captures finds anything.
Needs suricata 7 and the right to run it.
"""
import concurrent.futures
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAGIC = (b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a")
OPTIONS = ["-k", "none", "--runmode", "single", "--set", "packet-alert-max=255"]
OURS = [ROOT / "tests/differential/probes.rules", ROOT / "deploy/rules/flowhouse.rules"]
MANY = 12


def captures(corpus):
    for folder in ("ids", "pcap", "behaviour"):
        for path in sorted((corpus / folder).rglob("*")):
            if path.is_file() and path.open("rb").read(4) in MAGIC:
                yield path


def alerts(folder):
    eve = pathlib.Path(folder, "eve.json")
    lines = eve.read_text().splitlines() if eve.exists() else []
    return [json.loads(line) for line in lines if '"event_type":"alert"' in line]


def alone(rules, capture):
    """The alerts of an engine that reads this capture and no other."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["suricata", "-r", str(capture), "-S", str(rules), "-l", folder, *OPTIONS]
        try:
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60)
        except subprocess.TimeoutExpired:
            # frames of 802.11: it does not end
            return []
        return alerts(folder)


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

    def fires(self, capture):
        with tempfile.TemporaryDirectory() as out:
            self.ask({"command": "pcap-file", "arguments": {"filename": str(capture), "output-dir": out}})
            while True:
                time.sleep(0.02)
                left = self.ask({"command": "pcap-file-number"})["message"]
                if left == 0 and self.ask({"command": "pcap-current"})["message"] == "None":
                    return bool(alerts(out))


def end(event, side):
    port = event.get(side + "_port")
    return event.get(side + "_ip", "") + ("" if port is None else f" {port}")


def pairs(events):
    """Rule to its flows, whichever way; where they are many only how many they are."""
    found = {}
    for event in events:
        ends = sorted((end(event, "src"), end(event, "dest")))
        flow = " - ".join(ends) + " " + event.get("proto", "")
        found.setdefault(event["alert"]["signature_id"], set()).add(flow)
    return {sid: sorted(flows) if len(flows) <= MANY else len(flows) for sid, flows in sorted(found.items())}


def joined(files, path):
    path.write_bytes(b"\n".join(f.read_bytes() for f in files))
    return path


def main():
    corpus = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="suricata-") as folder:
        folder = pathlib.Path(folder)
        ours = joined(OURS, folder / "ours.rules")
        theirs = joined(sorted((corpus / "rules").glob("*.rules")), folder / "theirs.rules")
        engine = Suricata(theirs, folder)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            work = {c: pool.submit(alone, ours, c) for c in captures(corpus)}
            for capture, result in work.items():
                more = alone(theirs, capture) if engine.fires(capture) else []
                found = pairs(result.result() + more)
                if found:
                    line = {"capture": str(capture.relative_to(corpus)), "alerts": found}
                    print(json.dumps(line, separators=(",", ":")), flush=True)
        engine.ask({"command": "shutdown"})
        engine.process.wait()


if __name__ == "__main__":
    main()
