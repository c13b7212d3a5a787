#!/usr/bin/env python3
"""Loss-free flow rate and CPU of collectors over loopback UDP, side by side in one run.

    benches/live.py [TARGET ...] [--protocol v5|v9|ipfix] [--seconds 5] [--confirm 5] [--once RATE] [--gso]

TARGET: flowhouse-decode (receive and decode, columns dropped), flowhouse-encode (whole path to sealed, encoded blocks,
then dropped), nfcapd, nfcapd-lz4, nfacctd (memory plugin, 8 keys). Without one: the first three.

The collector runs on core 1, the sender (`flowhouse generate --load`) on core 0. A run is loss-free when the
collector's own count equals what was sent, its socket dropped nothing, and its backlog at the end of sending is under a
quarter of its buffer. The rate is searched, then must hold in four of five runs; CPU is the median of those, user and
system, of the collector alone. Needs root: the receive buffers of the rivals hang on net.core.rmem_max, which is put
back at the end. FLOWHOUSE names the binary (target/release/flowhouse). Rivals: apt-get install nfdump pmacct.
"""
import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

FLOWHOUSE = os.environ.get("FLOWHOUSE", str(Path(__file__).parent.parent / "target/release/flowhouse"))
BUFFER = 64 << 20
PORT = 20550
HTTP = 20551
TICKS = os.sysconf("SC_CLK_TCK")
RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
KEYS = "src_host,dst_host,src_port,dst_port,proto,tos,in_iface,out_iface"


class Collector:
    """A collector as a child process, in a directory that goes with it."""

    counts = "flows"

    def __init__(self, target):
        self.target = target
        self.dir = Path(tempfile.mkdtemp(prefix="live-", dir="/dev/shm"))
        self.log = self.dir / "log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(["taskset", "-c", "1", *self.command()], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.time() + 20
        while socket_state() is None or not self.ready():
            if time.time() > until or self.process.poll() is not None:
                text = self.log.read_text()
                self.end()
                raise SystemExit(f"{target} does not listen:\n{text}")
            time.sleep(0.05)

    def ready(self):
        return True

    def cpu(self):
        """User and system seconds of the process and its children."""
        total = 0
        for pid in family(self.process.pid):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                total += int(fields[11]) + int(fields[12])
            except OSError:
                pass
        return total / TICKS

    def settle(self, _sent):
        """Waits until everything received has been worked on."""
        time.sleep(0.8)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


class Flowhouse(Collector):
    # stages of the shard, kind of the sink, and the count that says all the work is done
    MODES = {
        "flowhouse-decode": ("decode", "drop", "records_flow"),
        "flowhouse-encode": ("full", "encode", "rows_acknowledged"),
    }

    def command(self):
        stages, sink, self.done = self.MODES[self.target]
        config = self.dir / "flowhouse.toml"
        config.write_text(
            f'state_dir = "{self.dir}/state"\n'
            f'[receive]\nlisteners = ["127.0.0.1:{PORT}"]\nreceive_buffer = {BUFFER}\n'
            f'[shard]\nshards = 1\nstages = "{stages}"\n'
            f'[sink]\nkind = "{sink}"\ncompression = "none"\n'
            f'[control]\nlisten = "127.0.0.1:{HTTP}"\n'
        )
        return [FLOWHOUSE, "run", "-c", str(config)]

    def ready(self):
        try:
            self.metrics()
            return True
        except OSError:
            return False

    def metrics(self):
        """Sums of the ledger's counters over all labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{HTTP}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        sums = {}
        for name, value in re.findall(r"^flowhouse_ledger_(\w+?)_total(?:\{[^}]*\})? ([0-9.e+]+)$", text, re.M):
            sums[name] = sums.get(name, 0) + float(value)
        return sums

    def settle(self, sent):
        before, since = None, time.time()
        while time.time() - since < 5:
            now = self.metrics()
            if now.get(self.done, 0) >= sent["flows"]:
                return
            if now != before:
                before, since = now, time.time()
            time.sleep(0.25)

    def counted(self):
        ledger = self.metrics()
        self.stop()
        return ledger.get(self.done, 0), {k: int(v) for k, v in ledger.items() if v and ("dropped" in k or "rejected" in k or "gaps" in k)}


class Nfcapd(Collector):
    def command(self):
        (self.dir / "out").mkdir()
        lz4 = ["-y"] if self.target == "nfcapd-lz4" else []
        return ["nfcapd", "-b", "127.0.0.1", "-p", str(PORT), "-w", f"{self.dir}/out", "-B", str(BUFFER), "-t", "3600", *lz4]

    def counted(self):
        self.stop()
        text = self.log.read_text()
        return sum(int(n) for n in re.findall(r"Flows: (\d+), Packets", text)), {}


class Nfacctd(Collector):
    counts = "bytes"

    def command(self):
        lines = {
            "daemonize": "false", "nfacctd_ip": "127.0.0.1", "nfacctd_port": PORT, "nfacctd_pipe_size": BUFFER,
            "plugin_pipe_size": 256 << 20, "plugin_buffer_size": 256 << 10, "nfacctd_time_new": "true",
            "nfacctd_disable_checks": "true", "plugins": "memory", "aggregate": KEYS, "imt_path": f"{self.dir}/pipe",
            "imt_buckets": 262147, "imt_mem_pools_number": 64, "imt_mem_pools_size": 16 << 20,
        }
        (self.dir / "conf").write_text("".join(f"{k}: {v}\n" for k, v in lines.items()))
        return ["nfacctd", "-f", f"{self.dir}/conf"]

    def settle(self, _sent):
        time.sleep(2)

    def counted(self):
        answer = subprocess.run(["pmacct", "-s", "-p", f"{self.dir}/pipe", "-O", "csv"], capture_output=True, text=True)
        head, *rows = answer.stdout.splitlines() or [""]
        column = head.split(",").index("BYTES")
        total = sum(int(row.split(",")[column]) for row in rows)
        self.stop(signal.SIGINT)
        return total, {}


KINDS = {"flowhouse-decode": Flowhouse, "flowhouse-encode": Flowhouse, "nfcapd": Nfcapd, "nfcapd-lz4": Nfcapd, "nfacctd": Nfacctd}


def family(pid):
    """A process and its descendants."""
    pids = [pid]
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                pids += family(int(child))
        except OSError:
            pass
    return pids


def socket_state():
    """Queued bytes and drops of the socket on PORT; None when nobody listens."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(f":{PORT:04X}"):
            return int(fields[4].split(":")[1], 16), int(fields[12])
    return None


def send(arguments, rate, flows):
    command = ["taskset", "-c", "0", FLOWHOUSE, "generate", "--load", "--json", "--protocol", arguments.protocol,
               "--to", f"127.0.0.1:{PORT}", "--rate", str(int(rate)), "--flows", str(int(flows)), "--pool", "32000"]
    if arguments.gso:
        command.append("--gso")
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def run(target, arguments, rate):
    """One run at a rate (0: flat out)."""
    collector = KINDS[target](target)
    try:
        flows = (rate or FLAT_OUT[arguments.protocol]) * arguments.seconds
        cpu = collector.cpu()
        sent = send(arguments, rate, flows)
        queued, _ = socket_state()
        start = time.time()
        while socket_state()[0] > 0 and time.time() - start < 30:
            time.sleep(0.005)
        drain = time.time() - start
        collector.settle(sent)
        cpu = collector.cpu() - cpu
        drops = socket_state()[1]
        counted, notes = collector.counted()
    finally:
        collector.end()
    got = counted / sent[collector.counts]
    # the memory plugin of nfacctd holds back its last, partly filled pipe buffer
    tail = 700 / sent["flows"] if target == "nfacctd" else 0
    return {
        "target": target,
        "rate": round(sent["flows_per_second"]),
        "ok": 1 - tail <= got <= 1 and drops == 0 and queued < BUFFER / 4,
        "got": round(got, 6),
        "kernel_drops": drops,
        "queued_mib": round(queued / 2**20, 1),
        "served": round(sent["flows"] * got / (sent["seconds"] + drain)),
        "cpu_per_million": round(cpu / (sent["flows"] * got / 1e6), 4) if got else None,
        "late_ms": round(sent["late_ms"], 1),
        **notes,
    }


def search(target, arguments):
    """The highest loss-free rate, and its runs."""
    show = lambda r: (print(json.dumps(r), file=sys.stderr, flush=True), r)[1]
    flat = show(run(target, arguments, 0))
    low, high = (flat["rate"], flat["rate"]) if flat["ok"] else (0, min(flat["rate"], 1.3 * flat["served"]))
    rate = 0.9 * min(flat["rate"], flat["served"])
    for _ in range(arguments.steps):
        if low and high / low < 1.04:
            break
        ok = show(run(target, arguments, rate))["ok"]
        low, high = (rate, high) if ok else (low, rate)
        rate = (low + high) / 2 if low else 0.8 * high
    rate = low
    while rate:
        runs = [show(run(target, arguments, rate)) for _ in range(arguments.confirm)]
        if sum(r["ok"] for r in runs) >= 0.8 * len(runs):
            return rate, runs
        rate *= 0.95
    return 0, [flat]


# the first guess of what a collector is overrun by, flows/s
FLAT_OUT = {"v5": 12_000_000, "v9": 4_000_000, "ipfix": 4_000_000}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--protocol", choices=FLAT_OUT, default="ipfix")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--confirm", type=int, default=5)
    parser.add_argument("--once", type=float, metavar="RATE", help="one run at this rate (0: flat out)")
    parser.add_argument("--gso", action="store_true", help="let the sender use UDP_SEGMENT")
    arguments = parser.parse_args()
    targets = arguments.targets or ["flowhouse-decode", "flowhouse-encode", "nfcapd"]
    for target in [t for t in targets if t.startswith("nf") and not shutil.which(t.split("-")[0], path=os.environ.get("PATH", "") + ":/usr/sbin")]:
        print(f"{target} is not installed and left out", file=sys.stderr)
        targets.remove(target)
    unknown = [t for t in targets if t not in KINDS]
    if unknown:
        parser.error(f"unknown target {unknown[0]}; there are {', '.join(KINDS)}")
    before = RMEM_MAX.read_text()
    RMEM_MAX.write_text(str(2 * BUFFER))
    try:
        rows = []
        for target in targets:
            if arguments.once is not None:
                print(json.dumps(run(target, arguments, arguments.once)))
                continue
            rate, runs = search(target, arguments)
            cpu = statistics.median(r["cpu_per_million"] or 0 for r in runs)
            rows.append((target, arguments.protocol, f"{rate:,.0f}", f"{cpu:.3f}", f"{sum(r['ok'] for r in runs)}/{len(runs)}"))
        if rows:
            print("| collector | load | loss-free flows/s | CPU s per million | runs |\n|---|---|---|---|---|")
            print("\n".join("| " + " | ".join(row) + " |" for row in rows))
    finally:
        RMEM_MAX.write_text(before)


if __name__ == "__main__":
    main()
