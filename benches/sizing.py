#!/usr/bin/env python3
"""What a flow costs: the constants of `flowhouse size`.

    benches/sizing.py [--rate 20000] [--seconds 130] [--exporters 20] [--protocol mix] [--pool N] [--captures FILE...]

Starts `flowhouse run` with an embedded store on a folder of its own, sends generated exports over loopback (or replays captures into the store),
merges every table to one part a partition, and prints one JSON line: CPU seconds per million flows of collector and store, their resident memory,
bytes per flow on the wire, bytes per row as sent to the store (what a spool keeps), and rows and bytes on disk of each table.
FLOWHOUSE names the binary (target/release/flowhouse).
"""
import argparse
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

FLOWHOUSE = os.environ.get("FLOWHOUSE", str(Path(__file__).parent.parent / "target/release/flowhouse"))
SUMS = [f"{table}_{interval}" for table in ["usage", "talkers", "network_usage"] for interval in ["1m", "5m", "1h"]]
# eight networks of clients and eight of servers, as the generator draws them
NETWORKS = [f"10.{n * 32}.0.0/11" for n in range(8)] + [
    "20.0.0.0/6", "24.0.0.0/5", "32.0.0.0/3", "64.0.0.0/3", "96.0.0.0/3", "128.0.0.0/3", "160.0.0.0/3", "192.0.0.0/5"]


def children(pid):
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_mib(pid):
    return int(re.search(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def metrics(url):
    values = {}
    for line in urllib.request.urlopen(url, timeout=20).read().decode().splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            name = name.split("{")[0]
            values[name] = values.get(name, 0) + float(value)
    return values


class Store:
    def __init__(self, address, key):
        self.url, self.key = f"http://{address}/?database=flowhouse&default_format=TSV", key

    def ask(self, sql):
        request = urllib.request.Request(self.url, sql.encode(), {"X-ClickHouse-Key": self.key})
        text = urllib.request.urlopen(request, timeout=600).read().decode()
        return [line.split("\t") for line in text.splitlines()]

    def table(self, name):
        self.ask(f"OPTIMIZE TABLE {name} FINAL")
        sql = f"SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE database = 'flowhouse' AND table = '{name}' AND active"
        rows, size = map(int, self.ask(sql)[0])
        return {"rows": rows, "bytes": size, "bytes_per_row": round(size / max(rows, 1), 2)}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rate", type=int, default=20_000)
    arguments.add_argument("--seconds", type=int, default=130)
    arguments.add_argument("--exporters", type=int, default=20)
    arguments.add_argument("--protocol", default="mix")
    # without repetition: datagrams sent twice would compress too well
    arguments.add_argument("--pool", type=int, default=250_000)
    arguments.add_argument("--captures", nargs="*", default=[])
    a = arguments.parse_args()
    folder = tempfile.TemporaryDirectory(prefix="flowhouse-sizing-")
    root = Path(folder.name)
    root.chmod(0o755)
    config = root / "flowhouse.toml"
    config.write_text(
        f'state_dir = "{root}/state"\n[receive]\nlisteners = ["127.0.0.1:0"]\n'
        f'[store]\nlisten = "127.0.0.1:0"\ndata = "{root}/store"\n[control]\nlisten = "127.0.0.1:0"\n'
        f'[enrich.networks]\nfiles = ["{root}/networks.csv"]\n'
    )
    (root / "networks.csv").write_text("prefix,name\n" + "".join(f"{prefix},net-{n}\n" for n, prefix in enumerate(NETWORKS)))
    log = root / "log"
    run = subprocess.Popen([FLOWHOUSE, "run", "-c", config], stderr=open(log, "w"))
    while "ready: receiving" not in log.read_text():
        assert run.poll() is None, log.read_text()
        time.sleep(0.1)
    udp = re.search(r"listening on udp (\S+)", log.read_text())[1]
    url = re.search(r"metrics on (\S+)", log.read_text())[1]
    address = re.search(r"embedded ClickHouse at http://(\S+)", log.read_text())[1]
    store = Store(address, (root / "store/key").read_text().strip())
    while not store.ask("SELECT 1 FROM system.tables WHERE database = 'flowhouse' AND name = 'ledger'"):
        time.sleep(0.2)
    time.sleep(2)
    result = {}
    if a.captures:
        subprocess.run([FLOWHOUSE, "replay", "-c", config, *a.captures, "--store", f"http://{address}", "--key-file", root / "store/key"],
                       check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    else:
        [engine] = children(run.pid)
        before = cpu_seconds(run.pid), cpu_seconds(engine)
        sent = subprocess.run(
            [FLOWHOUSE, "generate", "--to", udp, "--protocol", a.protocol, "--json", "--rate", str(a.rate), "--for", f"{a.seconds}s",
             "--exporters", str(a.exporters), "--pool", str(a.pool)], capture_output=True, text=True, check=True)
        flows = json.loads(sent.stdout)["flows"]
        until = time.time() + 60
        while time.time() < until and metrics(url)["flowhouse_ledger_rows_total"] > metrics(url)["flowhouse_ledger_rows_acknowledged_total"]:
            time.sleep(0.2)
        m = metrics(url)
        after = cpu_seconds(run.pid), cpu_seconds(engine)
        rows = m["flowhouse_ledger_rows_acknowledged_total"]
        result |= {
            "flows": flows, "rows": round(rows), "rate": a.rate, "exporters": a.exporters,
            "collector_cpu_seconds_per_million": round((after[0] - before[0]) / flows * 1e6, 3),
            "store_cpu_seconds_per_million": round((after[1] - before[1]) / flows * 1e6, 3),
            "collector_mib": round(rss_mib(run.pid)), "store_mib": round(rss_mib(engine)),
            "wire_bytes_per_flow": round(m["flowhouse_receive_bytes_total"] / flows, 1),
            "datagrams_per_flow": round(m["flowhouse_receive_datagrams_total"] / flows, 4),
            "sent_bytes_per_row": round(m["flowhouse_sink_sent_bytes_total"] / rows, 1),
            "raw_bytes_per_row": round(m["flowhouse_sink_raw_bytes_total"] / rows, 1),
        }
    result["tables"] = {name: store.table(name) for name in ["flows", *SUMS, "ledger"]}
    # keys of a full bucket: those of the busiest one
    result["rows_per_bucket_and_exporter"] = {
        name: float(store.ask(f"SELECT round(max(n / e), 1) FROM (SELECT count() AS n, uniqExact(exporter) AS e FROM {name} GROUP BY time)")[0][0])
        for name in [*SUMS, "ledger"]
    }
    sides = store.ask("SELECT round(uniqExact(exporter, if_index, direction) / uniqExact(exporter), 1) FROM usage_1m")[0][0]
    result["interface_sides_per_exporter"] = float(sides)
    run.send_signal(signal.SIGTERM)
    run.wait(60)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
