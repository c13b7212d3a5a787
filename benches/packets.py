#!/usr/bin/env python3
"""Capture file to flow records on one core, beside tcpdump, softflowd, nfpcapd and argus in the same run.

    benches/packets.py [--packets N] [--runs N] [--pcap FILE] [--only NAME,...]

The capture lies in /dev/shm, so no disk is in the figures. Without --pcap it is made here: conversations of
`flowhouse generate --packets`, about N packets (2,000,000). Programs take turns, so that what else runs on the machine disturbs
all of them alike; times are CPU, user and system, medians. tcpdump reads the file with a filter that nothing passes: the floor of
what reads through libpcap. "headers only" listens to no conversation (reassemble.app.talks_max = 0): no reassembly and no
application by what it says, everything else. Detectors of behaviour are off in both, and on in "and detectors". FLOWHOUSE names the binary (target/release/flowhouse).
Rivals: apt-get install tcpdump softflowd nfdump argus-server; those that are not there are left out.
"""
import argparse
import os
import shutil
import statistics
import struct
import subprocess
import tempfile
from pathlib import Path

FLOWHOUSE = os.environ.get("FLOWHOUSE", str(Path(__file__).parent.parent / "target/release/flowhouse"))
# what a conversation of the generator has, for --packets
PACKETS_EACH = 20


def count(path):
    """Packets of a little-endian pcap, and their bytes."""
    packets = octets = 0
    with open(path, "rb") as file:
        file.seek(24)
        while len(head := file.read(16)) == 16:
            length = struct.unpack_from("<I", head, 8)[0]
            packets, octets = packets + 1, octets + length
            file.seek(length, 1)
    return packets, octets


def once(command, directory):
    """CPU seconds, wall seconds and resident bytes of a program."""
    before = os.times()
    process = subprocess.Popen(["taskset", "-c", "1", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               stdin=subprocess.DEVNULL, cwd=directory)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, os.times().elapsed - before.elapsed, used.ru_maxrss * 1024


def programs(pcap, directory):
    """Names and commands; rivals only where they are installed."""
    headers = directory / "headers.toml"
    headers.write_text("[detect]\nenabled = false\n[reassemble.app]\ntalks_max = 0\n")
    everything = directory / "everything.toml"
    everything.write_text("[detect]\nenabled = false\n")
    nfcapd = directory / "nfcapd"
    nfcapd.mkdir()
    replay = [FLOWHOUSE, "replay", "--as", "packets", str(pcap)]
    found = {
        "flowhouse, everything on": [*replay, "--config", str(everything)],
        "flowhouse, and detectors": replay,
        "flowhouse, headers only": [*replay, "--config", str(headers)],
        "tcpdump, filter to nothing": ["tcpdump", "-nr", str(pcap), "-w", "/dev/null", "tcp[13] = 99"],
        "softflowd, no export": ["softflowd", "-r", str(pcap), "-d", "-m", "200000"],
        "nfpcapd, flows to a file": ["nfpcapd", "-r", str(pcap), "-w", str(nfcapd), "-t", "3600"],
        "argus, records to a file": ["argus", "-r", str(pcap), "-w", str(directory / "argus.out")],
    }
    path = os.environ["PATH"] + ":/usr/sbin"
    return {name: command for name, command in found.items() if shutil.which(command[0], path=path)}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--packets", type=int, default=2_000_000)
    arguments.add_argument("--runs", type=int, default=7)
    arguments.add_argument("--pcap", type=Path)
    arguments.add_argument("--only", default="")
    given = arguments.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="packets-", dir="/dev/shm"))
    os.environ["PATH"] += ":/usr/sbin"
    try:
        pcap = given.pcap
        if pcap is None:
            pcap = directory / "packets.pcap"
            flows = str(2 * given.packets // PACKETS_EACH)
            subprocess.run([FLOWHOUSE, "generate", "--packets", "--rate", "10000", "--flows", flows, "--pcap", str(pcap)],
                           check=True, stdout=subprocess.DEVNULL)
        packets, octets = count(pcap)
        print(f"{packets:,} packets, {octets / 1e9:.2f} GB")
        wanted = programs(pcap, directory)
        if given.only:
            wanted = {n: c for n, c in wanted.items() if any(o in n for o in given.only.split(","))}
        taken = {name: [] for name in wanted}
        for _ in range(given.runs):
            for name, command in wanted.items():
                taken[name].append(once(command, directory))
        floor = statistics.median(t[0] for t in taken.get("tcpdump, filter to nothing", [(0, 0, 0)]))
        print(f"{'':<28} {'CPU s':>7} {'least':>7} {'Mpps':>6} {'of tcpdump':>11} {'wall s':>7} {'resident MiB':>13}")
        for name, runs in taken.items():
            cpu = statistics.median(r[0] for r in runs)
            wall = statistics.median(r[1] for r in runs)
            share = f"{cpu / floor:.2f}" if floor else ""
            resident = max(r[2] for r in runs) >> 20
            print(f"{name:<28} {cpu:>7.2f} {min(r[0] for r in runs):>7.2f} {packets / cpu / 1e6:>6.2f} {share:>11} {wall:>7.2f} {resident:>13}")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
