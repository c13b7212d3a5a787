#!/usr/bin/env python3
"""Loss-free rate of live capture over a veth pair between network namespaces, beside tcpdump to /dev/null in the same run.

    benches/capture.py [--seconds 4] [--rates 50000,100000,...,0] [--pcap FILE] [--runs 3]

Packets of `flowhouse generate --packets` (or of --pcap) are replayed by tcpreplay at each rate, in packets/s (0: as fast as it goes), from one namespace into
the other, in which one program at a time captures: `flowhouse run` (everything on, rows encoded and dropped), then tcpdump. The
capturing program is pinned to core 1, tcpreplay to core 0; both rings in the kernel have 64 MiB. A rate is loss-free when nothing was
dropped in all runs. With what is told of it goes the rate that tcpreplay really came to, and the CPU of the thread that reads the interface alone. Needs root and tcpreplay; FLOWHOUSE names the binary.
"""
import argparse
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

FLOWHOUSE = os.environ.get("FLOWHOUSE", str(Path(__file__).parent.parent / "target/release/flowhouse"))
SENSOR, SENDER = "fhbench-sensor", "fhbench-sender"
BUFFER_KIB = 65_536
HTTP = 20_571
TICKS = os.sysconf("SC_CLK_TCK")


def ip(*words, check=True):
    subprocess.run(["ip", *words], check=check, capture_output=not check)


def inside(space, *command):
    return ["ip", "netns", "exec", space, *command]


def network():
    for space in (SENSOR, SENDER):
        ip("netns", "del", space, check=False)
        ip("netns", "add", space)
    ip("link", "add", "mirror0", "netns", SENSOR, "type", "veth", "peer", "name", "sender0", "netns", SENDER)
    for space, name in ((SENSOR, "mirror0"), (SENDER, "sender0")):
        ip("-n", space, "link", "set", name, "mtu", "9000", "arp", "off", "up")
        # no neighbour discovery among what is counted
        subprocess.run(inside(space, "sysctl", "-qw", f"net.ipv6.conf.{name}.disable_ipv6=1"), check=False)
    ip("-n", SENSOR, "link", "set", "lo", "up")


class Capture:
    """A capturing program in the sensor's namespace."""

    def __init__(self, target, directory):
        self.target, self.directory = target, directory
        self.log = directory / "log"
        command = self.flowhouse() if target == "flowhouse" else self.tcpdump()
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(inside(SENSOR, "taskset", "-c", "1", *command), stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        for _ in range(200):
            time.sleep(0.05)
            text = self.log.read_text()
            if "listening on" in text or target == "flowhouse" and self.metrics():
                break
        time.sleep(0.5)

    def flowhouse(self):
        config = self.directory / "flowhouse.toml"
        config.write_text(
            f'state_dir = "{self.directory}/state"\n[receive]\nlisteners = ["127.0.0.1:20570"]\n'
            f'[capture]\ninterfaces = ["mirror0"]\nbuffer = {BUFFER_KIB << 10}\nshards = 1\n'
            f'[sink]\nkind = "encode"\ncompression = "none"\n[control]\nlisten = "127.0.0.1:{HTTP}"\n'
        )
        return [FLOWHOUSE, "run", "-c", str(config)]

    def tcpdump(self):
        return ["tcpdump", "-i", "mirror0", "-n", "-s", "65535", "-B", str(BUFFER_KIB), "-w", "/dev/null"]

    def metrics(self):
        answer = subprocess.run(inside(SENSOR, "curl", "-s", f"http://127.0.0.1:{HTTP}/metrics"), capture_output=True, text=True).stdout
        found = {}
        for name, value in re.findall(r"^flowhouse_(capture\w+|ledger_frames\w+?)_total(?:\{[^}]*\})? ([0-9.e+]+)$", answer, re.M):
            found[name] = found.get(name, 0) + float(value)
        return found

    def end(self):
        """Frames captured, frames dropped, CPU seconds."""
        time.sleep(1.5)
        counted = self.metrics() if self.target == "flowhouse" else {}
        cpu = seconds(Path(f"/proc/{self.process.pid}/stat"))
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        self.reader = sum(seconds(t / "stat") for t in threads if (t / "comm").read_text().startswith("capture-"))
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        if self.target == "flowhouse":
            dropped = counted.get("capture_kernel_drops", 0) + counted.get("ledger_frames_dropped_queue", 0)
            return counted.get("capture_frames", 0), dropped, cpu
        text = self.log.read_text()
        numbers = [int(n) for n in re.findall(r"(\d+) packets (?:captured|dropped by kernel)", text)]
        return numbers[0], numbers[1], cpu


def seconds(stat):
    """CPU seconds of a process or thread."""
    fields = stat.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def send(pcap, rate, seconds):
    """Packets sent, and how many a second."""
    command = ["tcpreplay", "-i", "sender0", "--preload-pcap", "--loop", "0", "--duration", str(seconds), *(["--pps", str(rate)] if rate else ["--topspeed"]), str(pcap)]
    done = subprocess.run(inside(SENDER, "taskset", "-c", "0", *command), capture_output=True, text=True)
    text = done.stdout + done.stderr
    sent = int(re.search(r"Actual: (\d+) packets", text).group(1))
    return sent, float(re.search(r"([0-9.]+) pps", text).group(1))


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=int, default=4)
    arguments.add_argument("--runs", type=int, default=3)
    arguments.add_argument("--rates", default="25000,50000,100000,150000,200000,300000,400000,0")
    arguments.add_argument("--pcap", type=Path)
    given = arguments.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="capture-", dir="/dev/shm"))
    directory.chmod(0o755)
    try:
        pcap = given.pcap or directory / "packets.pcap"
        if given.pcap is None:
            subprocess.run([FLOWHOUSE, "generate", "--packets", "--rate", "10000", "--flows", "20000", "--pcap", str(pcap)],
                           check=True, stdout=subprocess.DEVNULL)
        network()
        print(f"{'':<10} {'wanted':>9} {'sent/s':>9} {'sent':>10} {'captured':>10} {'dropped':>9} {'CPU s/M':>8} {'reader':>7}")
        for rate in map(int, given.rates.split(",")):
            for target in ("flowhouse", "tcpdump"):
                for _ in range(given.runs):
                    capture = Capture(target, directory)
                    sent, came = send(pcap, rate, given.seconds)
                    captured, dropped, cpu = capture.end()
                    print(f"{target:<10} {rate:>9} {came:>9.0f} {sent:>10} {captured:>10.0f} {dropped:>9.0f} {cpu / max(captured, 1) * 1e6:>8.2f} {capture.reader / max(captured, 1) * 1e6:>7.2f}", flush=True)
    finally:
        for space in (SENSOR, SENDER):
            ip("netns", "del", space, check=False)
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
