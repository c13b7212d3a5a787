#!/usr/bin/env python3
"""Into the embedded ClickHouse on the same machine, and what memory it takes.

    benches/store.py [--rate 250000] [--seconds 60] [--exporters 4] [--templates 2] [--discard]

Starts `flowhouse run` with an embedded store (or, with --discard, with a sink that encodes and throws away), sends generated
IPFIX over loopback and prints one JSON line: rows sent and acknowledged, kernel drops and queue drops, the rate up to the last
acknowledgement, processor time of the collector for each row, its resident memory (largest seen) and of the store, and whether every law of the ledger holds.
FLOWHOUSE names the binary (target/release/flowhouse).
"""
import argparse
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

FLOWHOUSE = os.environ.get("FLOWHOUSE", str(Path(__file__).parent.parent / "target/release/flowhouse"))


def rss_mib(pid):
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1024


def cpu_s(pid):
    """Processor time of a process and the children that it has waited for, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def metrics(url):
    text = urllib.request.urlopen(url, timeout=20).read().decode()
    values = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    return values


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rate", type=int, default=250_000)
    arguments.add_argument("--seconds", type=int, default=60)
    arguments.add_argument("--exporters", type=int, default=4)
    arguments.add_argument("--templates", type=int, default=2)
    arguments.add_argument("--discard", action="store_true")
    a = arguments.parse_args()
    folder = tempfile.TemporaryDirectory(prefix="flowhouse-store-")
    root = Path(folder.name)
    root.chmod(0o755)
    config = root / "flowhouse.toml"
    sink = 'kind = "encode"\n' if a.discard else ""
    config.write_text(
        f'state_dir = "{root}/state"\n[receive]\nlisteners = ["127.0.0.1:0"]\nreceive_buffer = 67108864\n'
        f'[store]\nlisten = "127.0.0.1:0"\ndata = "{root}/store"\n[sink]\n{sink}compression = "none"\n[control]\nlisten = "127.0.0.1:0"\n'
    )
    log = root / "log"
    run = subprocess.Popen([FLOWHOUSE, "run", "-c", config], stderr=open(log, "w"))
    while "ready: receiving" not in log.read_text():
        assert run.poll() is None, log.read_text()
        time.sleep(0.1)
    udp = re.search(r"listening on udp (\S+)", log.read_text())[1]
    url = re.search(r"metrics on (\S+)", log.read_text())[1]
    time.sleep(2)
    peak = [0.0, 0.0]
    done = threading.Event()

    def watch():
        while not done.wait(0.2):
            peak[0] = max(peak[0], rss_mib(run.pid))
            peak[1] = max([peak[1], *map(rss_mib, children(run.pid))])

    threading.Thread(target=watch, daemon=True).start()
    began, idle = time.time(), cpu_s(run.pid)
    sent = subprocess.run(
        [FLOWHOUSE, "generate", "--to", udp, "--protocol", "ipfix", "--load", "--gso", "--json", "--rate", str(a.rate), "--for",
         f"{a.seconds}s", "--exporters", str(a.exporters), "--templates", str(a.templates)],
        capture_output=True, text=True, check=True)
    flows = json.loads(sent.stdout)["flows"]
    until = time.time() + 120
    while time.time() < until:
        m = metrics(url)
        if m["flowhouse_ledger_rows_acknowledged_total"] >= flows:
            break
        time.sleep(0.1)
    took, busy = time.time() - began, cpu_s(run.pid) - idle
    done.set()
    time.sleep(0.5)
    m = metrics(url)
    run.send_signal(signal.SIGTERM)
    run.wait(60)
    ledger = json.loads((root / "state/ledger.json").read_text())
    print(json.dumps({
        "sent": flows,
        "acknowledged": ledger["totals"].get("rows_acknowledged", 0),
        "rows_per_second": round(flows / took),
        "kernel_drops": sum(int(v) for k, v in m.items() if k.startswith("flowhouse_receive_kernel_drops_total")),
        "queue_drops": ledger["totals"].get("datagrams_dropped_queue", 0),
        "collector_us_a_row": round(busy / flows * 1e6, 3),
        "collector_mib": round(peak[0]),
        "store_mib": round(peak[1]),
        "laws_hold": all(law["holds"] for law in ledger["laws"]),
    }))


if __name__ == "__main__":
    main()
