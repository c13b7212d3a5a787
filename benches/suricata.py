#!/usr/bin/env python3
"""Rules on packets, Flowhouse and Suricata side by side on one core: processor time, and packets of each second of it.

    python3 benches/suricata.py target/release/flowhouse packets.pcap rules.rules [runs]

What loading costs is measured on a capture of one packet and taken off. Suricata runs with its stock configuration, one worker, and writes a line an alert and
nothing else, which is its cheapest way; Flowhouse writes EVE. Processor time is what counts: it is the same on a machine that does other things beside. Alerts of both are counted, too.
"""
import json
import os
import pathlib
import statistics
import struct
import subprocess
import sys
import tempfile


def head(source, target):
    """A capture of the first packet alone; how many packets there are in all."""
    data = memoryview(pathlib.Path(source).read_bytes())
    at, packets = 24, 0
    while at + 16 <= len(data):
        length = struct.unpack_from("<I", data, at + 8)[0]
        at += 16 + length
        packets += 1
        if packets == 1:
            target.write_bytes(data[:at])
    return packets


def seconds(command):
    process = subprocess.Popen(["taskset", "-c", "1", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    binary, capture, rules = sys.argv[1:4]
    runs = int(sys.argv[4]) if len(sys.argv) > 4 else 3
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rules-", dir="/dev/shm"))
    one = folder / "one.pcap"
    packets = head(capture, one)
    quiet = ["--set", "outputs.1.eve-log.enabled=no", "--set", "outputs.7.stats.enabled=no", "--set", "stats.enabled=no"]

    def suricata(file):
        out = folder / "suricata"
        out.mkdir(exist_ok=True)
        (out / "fast.log").unlink(missing_ok=True)
        return ["suricata", "-r", file, "-S", rules, "-l", str(out), "--runmode", "single", "-k", "none", *quiet]

    def flowhouse(file):
        return [binary, "rules", "test", "--rules", rules, "-k", "none", "--shards", "1", "--out", str(folder / "flowhouse"), file]

    for name, command, lines in (("suricata", suricata, "suricata/fast.log"), ("flowhouse", flowhouse, "flowhouse/alerts.ndjson")):
        load = statistics.median(seconds(command(str(one)))[0] for _ in range(runs))
        all_of_it = [seconds(command(capture)) for _ in range(runs)]
        cost = statistics.median(s for s, _ in all_of_it) - load
        written = (folder / lines).read_text().splitlines() if (folder / lines).exists() else []
        print(json.dumps({
            "engine": name,
            "packets": packets,
            "load_cpu_s": round(load, 2),
            "cpu_s": round(cost, 2),
            "mpps_a_core": round(packets / cost / 1e6, 3),
            "memory_mib": round(max(m for _, m in all_of_it)),
            "alerts": len(written),
        }), flush=True)


if __name__ == "__main__":
    main()
