#!/usr/bin/env python3
"""Writes tcp.jsonl and rtp.jsonl: what tshark says of the corpus's captures, for tests/it/tshark/mod.rs.

    tests/it/tshark/record.py CORPUS

Counts of TCP are frames with tcp.analysis.retransmission (fast and spurious ones, too), out_of_order, duplicate_ack, zero_window
and with RST, with the default settings; streams of RTP are those of `tshark --enable-heuristic rtp_udp -q -z rtp,streams`.
"""
import json
import subprocess
import sys
from pathlib import Path

FIELDS = ["tcp.analysis.retransmission", "tcp.analysis.fast_retransmission", "tcp.analysis.spurious_retransmission",
          "tcp.analysis.out_of_order", "tcp.analysis.duplicate_ack", "tcp.analysis.zero_window", "tcp.flags.reset"]
RTP = ["nd-skinny.pcap", "nd-stun_classic.pcap", "nd-stun_dtls_rtp.pcapng", "nd-stun_google_meet.pcapng"]
HERE = Path(__file__).parent


def tshark(*arguments):
    return subprocess.run(["tshark", "-n", *arguments], capture_output=True, text=True).stdout.splitlines()


def tcp(path):
    wanted = [a for f in FIELDS for a in ("-e", f)]
    form = ["-T", "fields", "-E", "separator=,", "-E", "occurrence=l"]
    counts = dict(retransmits=0, out_of_order=0, dup_acks=0, zero_windows=0, resets=0)
    for line in tshark("-r", str(path), "-Y", "tcp", *form, *wanted):
        again, fast, spurious, late, twice, closed, reset = line.split(",")
        counts["retransmits"] += bool(again or fast or spurious)
        counts["out_of_order"] += bool(late)
        counts["dup_acks"] += bool(twice)
        counts["zero_windows"] += bool(closed)
        counts["resets"] += reset in ("1", "True")
    return counts


def rtp(path):
    """Source, port, destination, port, source id, payload, packets, lost, mean jitter in ms."""
    for line in tshark("--enable-heuristic", "rtp_udp", "-r", str(path), "-q", "-z", "rtp,streams"):
        words = line.replace("(", " ").split()
        if len(words) > 15 and words[6].startswith("0x"):
            yield dict(src=words[2], src_port=int(words[3]), dst=words[4], dst_port=int(words[5]), ssrc=words[6],
                       payload=words[7], packets=int(words[8]), lost=int(words[9]), jitter_ms=float(words[15]))


def main():
    corpus = Path(sys.argv[1])
    with open(HERE / "tcp.jsonl", "w") as out:
        for expect in sorted((corpus / "pcap").glob("*/*.expect.json")):
            case = json.loads(expect.read_text())
            if any("tcp" in stack for stack in case.get("stacks") or {}) and case["packets"] <= 60_000:
                out.write(json.dumps({"file": case["file"], **tcp(corpus / case["file"])}) + "\n")
    with open(HERE / "rtp.jsonl", "w") as out:
        for name in RTP:
            for stream in rtp(corpus / "pcap/apps" / name):
                out.write(json.dumps({"file": f"pcap/apps/{name}", **stream}) + "\n")


if __name__ == "__main__":
    main()
