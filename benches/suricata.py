#!/usr/bin/env python3
"""Rules on packets, Flowhouse and Suricata side by side on one core: processor time, packets of each second of it, memory, and what was raised.

    python3 benches/suricata.py target/release/flowhouse packets.pcap RULES [--runs N] [--cache FILE] [--peers NAME,...]
    python3 benches/suricata.py --loop 50 packets.pcap CAPTURE...

RULES is a file or a folder with `*.rules`. What loading costs is measured on a capture of one packet and taken off. Suricata runs with one worker, in up
to three ways: `stock`, its configuration as Debian has it, a line an alert and nothing else, which is its cheapest way; `roomy`, the same with memory for
more than 65,536 conversations and their streams; `eve`, as `stock`, but alerts, transactions of HTTP, DNS and TLS, and flows go to its EVE log. Flowhouse
writes its alerts as EVE. Processor time is what counts: it is nearly the same on a machine that does other things beside. Programs run in turns. Alerts
are counted by rule, and what differs from `stock` is listed.

`--loop` makes one capture of several (Ethernet, the old form of pcap), each as often as is said, an hour of packet time apart so that every conversation
begins anew.
"""
import argparse
import collections
import json
import os
import pathlib
import re
import statistics
import struct
import subprocess
import sys
import tempfile

HOUR = 3600
STOCK = pathlib.Path("/etc/suricata/suricata.yaml")
OUTPUTS = {
    "stock": "  - fast: {enabled: yes, filename: fast.log, append: no}\n",
    "roomy": "  - fast: {enabled: yes, filename: fast.log, append: no}\n",
    "eve": "  - eve-log: {enabled: yes, filetype: regular, filename: eve.json, append: no, types: [alert, http, dns, tls, flow]}\n",
}
ROOMY = ["flow.memcap=512mb", "flow.hash-size=262144", "flow.prealloc=50000", "stream.memcap=512mb", "stream.reassembly.memcap=1gb"]


def packets_of(path):
    """Time in seconds, what is left of it, bytes, and length of each packet."""
    data = pathlib.Path(path).read_bytes()
    order = {b"\xd4\xc3\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">"}.get(data[:4])
    if order is None or struct.unpack_from(order + "I", data, 20)[0] != 1:
        return
    at = 24
    while at + 16 <= len(data):
        seconds, rest, captured, length = struct.unpack_from(order + "IIII", data, at)
        yield seconds, rest, data[at + 16 : at + 16 + captured], length
        at += 16 + captured


def loop(target, times, captures):
    read = [list(packets_of(c)) for c in captures]
    read = [packets for packets in read if packets]
    now = 1_700_000_000
    with open(target, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for _ in range(times):
            for packets in read:
                first = packets[0][0]
                for seconds, rest, data, length in packets:
                    # a capture that spans days would let others end within it
                    at = now + min(max(seconds - first, 0), HOUR)
                    out.write(struct.pack("<IIII", at, rest, len(data), length) + data)
                now += 2 * HOUR
    print(f"{sum(map(len, read)) * times} packets of {len(read)} captures")


def head(source, target):
    """A capture of the first packet alone; how many packets there are in all. What is read is let go: what this process had counts for those that it starts."""
    packets = 0
    with open(source, "rb") as capture:
        start = capture.read(24)
        while len(header := capture.read(16)) == 16:
            length = struct.unpack_from("<I", header, 8)[0]
            packet = capture.read(length)
            packets += 1
            if packets == 1:
                target.write_bytes(start + header + packet)
    return packets


def seconds(command):
    process = subprocess.Popen(["taskset", "-c", "1", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command[0]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def configuration(peer, folder):
    """The stock configuration with other outputs."""
    text = STOCK.read_text()
    text = re.sub(r"(?ms)^outputs:\n.*?(?=^[a-z])", f"outputs:\n{OUTPUTS[peer]}", text, count=1)
    text = re.sub(r"(?ms)^stats:\n.*?(?=^[a-z])", "stats: {enabled: no}\n", text, count=1)
    made = folder / f"{peer}.yaml"
    made.write_text(text)
    return made


def sids_of_suricata(folder):
    fast, eve = folder / "fast.log", folder / "eve.json"
    if fast.exists():
        return collections.Counter(int(m[1]) for m in re.finditer(r"\[\d+:(\d+):\d+\]", fast.read_text(errors="replace")))
    return sids_of_eve(eve) if eve.exists() else collections.Counter()


def sids_of_eve(path):
    with open(path) as lines:
        return collections.Counter(json.loads(line)["alert"]["signature_id"] for line in lines if '"alert"' in line)


def compare(arguments):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rules-", dir="/dev/shm"))
    rules = pathlib.Path(arguments.rules)
    if rules.is_dir():
        whole = folder / "all.rules"
        whole.write_bytes(b"\n".join(f.read_bytes() for f in sorted(rules.glob("*.rules"))))
        for name in ("classification.config", "reference.config"):
            if (rules / name).exists():
                (folder / name).write_bytes((rules / name).read_bytes())
        rules = whole
    one = folder / "one.pcap"
    packets = head(arguments.capture, one)
    networks = []
    for name in ("HOME_NET", "EXTERNAL_NET"):
        networks += ["--set", f"vars.address-groups.{name}=any"] if arguments.any else []

    def suricata(peer):
        place = folder / peer
        place.mkdir()
        made = configuration(peer, folder)
        room = [part for value in ROOMY for part in ("--set", value)] if peer == "roomy" else []

        def command(file):
            for name in ("fast.log", "eve.json"):
                (place / name).unlink(missing_ok=True)
            return ["suricata", "-c", str(made), "-r", str(file), "-S", str(rules), "-l", str(place), "--runmode", "single", "-k", "none", *room, *networks]

        return command

    def flowhouse(file):
        cache = ["--rule-cache", arguments.cache] if arguments.cache else []
        return [arguments.flowhouse, "rules", "test", "--rules", str(rules), "-k", "none", "--shards", "1", "--out", str(folder / "flowhouse"), *cache, *networks, str(file)]

    programs = {peer: suricata(peer) for peer in arguments.peers.split(",")}
    programs["flowhouse"] = flowhouse
    load, cost = ({name: [] for name in programs} for _ in range(2))
    for _ in range(arguments.runs):
        for name, command in programs.items():
            load[name].append(seconds(command(one)))
            cost[name].append(seconds(command(arguments.capture)))
    raised = {peer: sids_of_suricata(folder / peer) for peer in programs if peer != "flowhouse"}
    raised["flowhouse"] = sids_of_eve(folder / "flowhouse" / "alerts.ndjson")
    speed = {}
    for name in programs:
        loading = statistics.median(s for s, _ in load[name])
        spent = statistics.median(s for s, _ in cost[name]) - loading
        speed[name] = packets / spent / 1e6
        print(json.dumps({
            "engine": name,
            "packets": packets,
            "load_cpu_s": round(loading, 2),
            "cpu_s": round(spent, 2),
            "mpps_a_core": round(speed[name], 3),
            "memory_loaded_mib": round(max(m for _, m in load[name])),
            "memory_mib": round(max(m for _, m in cost[name])),
            "alerts": sum(raised[name].values()),
        }), flush=True)
    print(json.dumps({"ratio": {peer: round(speed["flowhouse"] / speed[peer], 2) for peer in programs if peer != "flowhouse"}}))
    ours, peer = raised["flowhouse"], next(iter(programs))
    for sid in sorted(ours | raised[peer]):
        if ours[sid] != raised[peer][sid]:
            print(json.dumps({"sid": sid, "flowhouse": ours[sid], peer: raised[peer][sid]}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loop", type=int, metavar="TIMES")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cache", help="keep what Flowhouse compiled in this file")
    parser.add_argument("--peers", default="stock", metavar="NAME,...", help="ways to run Suricata: stock, roomy, eve")
    parser.add_argument("--any", action="store_true", help="HOME_NET and EXTERNAL_NET are any")
    parser.add_argument("files", nargs="+")
    arguments = parser.parse_args()
    if arguments.loop:
        loop(arguments.files[0], arguments.loop, arguments.files[1:])
        return
    arguments.flowhouse, arguments.capture, arguments.rules = arguments.files
    compare(arguments)


if __name__ == "__main__":
    main()
