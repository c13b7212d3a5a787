#!/usr/bin/env python3
"""How long every query of the dashboards takes over a day of a busy network.

    benches/dashboards.py [--rate 20000] [--hours 24] [--exporters 20] [--keys 811] [--flow-minutes 15] [--rounds 3] [--json]

Starts `flowhouse store` on a folder of its own, makes the tables of schemas/, fills them with the rows that such a network leaves behind (usage
rows of every key in every minute, talkers, networks, ledger, inventory; of raw flows only the last minutes, which is what raw scans read), merges
parts as a store has done after a day, and asks each panel and variable of deploy/grafana/dashboards with all variables on All. Prints the number
of rows and keys, bytes on disk, and for each query its best and worst time. FLOWHOUSE names the binary (target/release/flowhouse).
"""
import argparse
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent.parent
FLOWHOUSE = os.environ.get("FLOWHOUSE", str(HERE / "target/release/flowhouse"))


class Store:
    def __init__(self, root):
        root.chmod(0o755)
        self.log = root / "log"
        self.process = subprocess.Popen(
            [FLOWHOUSE, "store", "--data", root / "data", "--listen", "127.0.0.1:0"], stdout=open(self.log, "w"), stderr=subprocess.STDOUT)
        while not (found := re.search(r"http://(127\.0\.0\.1:\d+)", self.log.read_text())):
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.1)
        self.base = f"http://{found[1]}/?default_format=TSV"
        self.key = (root / "data/key").read_text().strip()

    def ask(self, sql, database="flowhouse"):
        request = urllib.request.Request(f"{self.base}&database={database}", sql.encode(), {"X-ClickHouse-Key": self.key})
        try:
            text = urllib.request.urlopen(request, timeout=3600).read().decode()
        except urllib.error.HTTPError as e:
            raise RuntimeError(f"{e.read().decode()[:2000]}\n{sql}") from e
        return [line.split("\t") for line in text.splitlines()]


def statements(text):
    # comments have lines of their own, and no text goes over the end of a line
    text = re.sub(r"^--[^\n]*\n", "", text, flags=re.M)
    return [s.strip() for s in re.split(r";(?:\n|$)", text) if s.strip()]


def fill(store, a, end):
    """Rows as the collector leaves them behind, one hour at a time; views make the coarser ones."""
    a.begin = end - a.hours * 3600
    exporter = "toIPv6(concat('::ffff:10.255.0.', toString(e)))"
    app = "concat('app-', toString(toUInt32(pow(cityHash64(k, 7) % 1000 / 1000, 3) * 200)))"
    classes = "['standard', 'telephony', 'signaling', 'multimedia-conferencing', 'low-latency-data', 'high-throughput-data']"
    code_points = "[0, 46, 40, 34, 18, 10]"
    per_key = max(a.rate * 60 * 2 // (a.exporters * a.keys), 1)
    sampling = "if(e % 4 = 0, 100, 1)"
    for hour in range(a.hours):
        start = a.begin + hour * 3600
        rows = a.exporters * a.keys
        store.ask(f"""INSERT INTO usage_1m (* EXCEPT(est_bytes_unknown)) SELECT toDateTime({start} + 60 * m), {exporter}, toUInt32(1 + intDiv(k % 34, 2)),
            if(k % 2 = 0, 'ingress', 'egress'), toUInt8(k % 2), {app} AS app_proto, app_proto, {classes}[c], {code_points}[c],
            b, intDiv(b, 800) + 1, {per_key}, b * s, (intDiv(b, 800) + 1) * s, intDiv(b, 800) + 1, toUInt8(e % 7 != 0), toFloat64(b) * s * (s - 1) * 1000
            FROM (SELECT intDiv(number, {rows}) AS m, intDiv(number % {rows}, {a.keys}) AS e, number % {a.keys} AS k,
                1 + cityHash64(k, 3) % 6 AS c, {sampling} AS s, {per_key} * (200 + cityHash64(number, {start}) % 40000) AS b FROM numbers({60 * rows}))""")
        rows = a.exporters * 2 * 80
        store.ask(f"""INSERT INTO talkers_1m (* EXCEPT(est_bytes_unknown)) SELECT toDateTime({start} + 60 * m), {exporter}, if(r = 0, 'source', 'destination'), toUInt8(h = 0),
            if(h = 0, toIPv6('::'), toIPv6(concat('::ffff:10.', toString(r), '.', toString(intDiv(n, 250)), '.', toString(n % 250)))),
            b, intDiv(b, 800), 10, b, intDiv(b, 800), intDiv(b, 800), 1, intDiv(b, 100), 0
            FROM (SELECT intDiv(number, {rows}) AS m, intDiv(number % {rows}, 160) AS e, number % 2 AS r, intDiv(number % 160, 2) AS h,
                toUInt32(cityHash64(number, {start}) % (100 + 40 * h)) AS n, 1000000 + cityHash64(number) % 1000000 AS b FROM numbers({60 * rows}))""")
        rows = a.exporters * 100
        store.ask(f"""INSERT INTO network_usage_1m (* EXCEPT(est_bytes_unknown)) SELECT toDateTime({start} + 60 * m), {exporter}, concat('site-', toString(p % 10)),
            concat('site-', toString(intDiv(p, 10))), b, intDiv(b, 800), 10, b, intDiv(b, 800), intDiv(b, 800), 1, 0
            FROM (SELECT intDiv(number, {rows}) AS m, intDiv(number % {rows}, 100) AS e, number % 100 AS p, 1000000 + cityHash64(number) % 1000000 AS b
                FROM numbers({60 * rows}))""")
        outcomes = "['records_flow', 'rows', 'datagrams_parsed', 'sets_decoded', 'sequence_gaps', 'clock_skewed', 'sampling_unknown', 'rows_acknowledged']"
        rows = a.exporters * 8
        store.ask(f"""INSERT INTO ledger SELECT toDateTime({start} + 60 * intDiv(number, {rows})), toIPv6(concat('::ffff:10.255.0.', toString(intDiv(number % {rows}, 8)))),
            0, {outcomes}[1 + number % 8], 60000 FROM numbers({60 * rows})""")
    inventory(store, a)
    flows = a.rate * 60 * a.flow_minutes
    part = 1_000_000
    for at in range(0, flows, part):
        store.ask(f"""INSERT INTO flows (received_at, exporter, origin, src_addr, dst_addr, src_port, dst_port, proto, bytes, packets, in_if, out_if, tos,
            sampling_interval, sampling_source, app_proto, app, qos_class, src_net, dst_net, start_ms, end_ms)
            SELECT toDateTime({end} - {a.flow_minutes * 60} + intDiv(number, {a.rate})) AS at, {exporter}, 'ipfix',
            toIPv6(concat('::ffff:10.0.', toString(h % 250), '.', toString(intDiv(h, 250) % 250))), toIPv6(concat('::ffff:198.18.', toString(h % 97), '.', toString(h % 83))),
            1024 + h % 60000, 443, 6, 200 + h % 40000, 1 + h % 40, 1 + k % 17, 1 + k % 13, {code_points}[c] * 4, {sampling}, 'record', {app} AS app_proto, app_proto, {classes}[c],
            concat('site-', toString(k % 10)), '', toInt64(toUnixTimestamp(at)) * 1000 - h % 60000, toInt64(toUnixTimestamp(at)) * 1000
            FROM (SELECT number, cityHash64(number) AS h, number % {a.exporters} AS e, h % {a.keys} AS k, 1 + cityHash64(k, 3) % 6 AS c
                FROM numbers({at}, {min(part, flows - at)}))""")


def inventory(store, a):
    now = "now64(3)"
    ip = "toIPv6(concat('::ffff:10.255.0.', toString(e)))"
    e = f"FROM (SELECT intDiv(number, 17) AS e, toUInt32(1 + number % 17) AS i FROM numbers({a.exporters * 17}))"
    store.ask(f"INSERT INTO interfaces (exporter, if_index, name, description, speed, qos_policy, updated_at) SELECT {ip}, i, concat('Gi0/', toString(i)), '', 1000000000, 'default', {now} {e}")
    store.ask(f"INSERT INTO exporters (exporter, origin, updated_at) SELECT {ip}, 'ipfix', {now} FROM (SELECT number AS e FROM numbers({a.exporters}))")
    store.ask(f"INSERT INTO templates (exporter, version, id, layout, updated_at) SELECT {ip}, 10, 256 + i, '1/8 2/8', {now} {e}")
    store.ask(f"INSERT INTO application_catalog (app, category, relevance, updated_at) SELECT concat('app-', toString(number)), ['video', 'voice', 'backup', 'web'][1 + number % 4], ['business', 'neutral'][1 + number % 2], {now} FROM numbers(200)")
    store.ask(f"INSERT INTO qos_classes (policy, class, budget_percent, updated_at) SELECT 'default', c, 10, {now} FROM (SELECT arrayJoin(['telephony', 'signaling', 'standard']) AS c)")
    store.ask(f"INSERT INTO qos_expected (policy, category, class, updated_at) SELECT 'default', c, 'telephony', {now} FROM (SELECT arrayJoin(['video', 'voice']) AS c)")


def call(text, name):
    at = text.find(name + "(")
    if at < 0:
        return None
    depth, start = 1, at + len(name) + 1
    for end in range(start, len(text)):
        depth += (text[end] == "(") - (text[end] == ")")
        if depth == 0:
            return text[:at], text[start:end], text[end + 1:]
    raise ValueError(text)


def expand(sql, begin, end, table):
    """The macros of the ClickHouse data source as Grafana fills them for a day on a wide screen; every variable on All."""
    interval = max((end - begin) // 1000, 60)
    interval = next(s for s in (60, 120, 300, 600, 900, 1800, 3600) if s >= interval)
    while part := call(sql, "$__conditionalAll"):
        sql = part[0] + "1=1" + part[2]
    while part := call(sql, "$__timeFilter"):
        sql = f"{part[0]}{part[1]} >= toDateTime({begin}) AND {part[1]} <= toDateTime({end}){part[2]}"
    while part := call(sql, "$__timeInterval"):
        sql = f"{part[0]}toStartOfInterval(toDateTime({part[1]}), INTERVAL {interval} second){part[2]}"
    for name, value in {"$__interval_s": str(interval), "$__fromTime": f"toDateTime({begin})", "$__toTime": f"toDateTime({end})", "$table": table}.items():
        sql = sql.replace(name, value)
    assert "$" not in sql, sql
    return sql


def queries():
    for path in sorted((HERE / "deploy/grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        for variable in board["templating"]["list"]:
            if variable["type"] == "query" and isinstance(variable["query"], str):
                yield path.stem, f"variable {variable['name']}", variable["query"], False
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                if "rawSql" in target:
                    yield path.stem, panel["title"], target["rawSql"], "raw scan" in panel["description"]


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"rate": 20_000, "hours": 24, "exporters": 20, "keys": 811, "flow-minutes": 15, "rounds": 3}.items():
        arguments.add_argument(f"--{name}", type=int, default=default)
    arguments.add_argument("--json", action="store_true")
    a = arguments.parse_args()
    folder = tempfile.TemporaryDirectory(prefix="flowhouse-dashboards-")
    store = Store(Path(folder.name))
    try:
        store.ask("CREATE DATABASE IF NOT EXISTS flowhouse", "default")
        for path in sorted((HERE / "schemas").glob("*.sql")):
            for statement in statements(path.read_text()):
                store.ask(statement)
        end = int(time.time()) // 3600 * 3600
        began = time.time()
        fill(store, a, end)
        tables = {}
        for (name,) in store.ask("SELECT name FROM system.tables WHERE database = 'flowhouse' AND engine LIKE '%MergeTree' ORDER BY name"):
            store.ask(f"OPTIMIZE TABLE {name}" + (" FINAL" if name != "flows" else ""))
            rows, size = map(int, store.ask(f"SELECT sum(rows), sum(bytes_on_disk) FROM system.parts WHERE database = 'flowhouse' AND table = '{name}' AND active")[0])
            if rows:
                tables[name] = {"rows": rows, "bytes": size}
        filled = time.time() - began
        [[table]] = store.ask(expand(next(q for _, n, q, _ in queries() if n == "variable table"), a.begin, end, ""))
        times = []
        for board, name, sql, raw in queries():
            taken = []
            for _ in range(a.rounds):
                start = time.perf_counter()
                rows = store.ask(expand(sql, a.begin, end, table))
                taken.append(time.perf_counter() - start)
            times.append({"dashboard": board, "query": name, "raw": raw, "best_s": round(min(taken), 3), "worst_s": round(max(taken), 3), "rows": len(rows)})
    finally:
        store.process.terminate()
        store.process.wait(60)
    if a.json:
        print(json.dumps({"tables": tables, "keys_per_minute": a.exporters * a.keys, "table": table, "queries": times}))
        return
    print(f"{a.rate} flows/s of {a.exporters} exporters, {a.exporters * a.keys} keys a minute, {a.hours} h; panels read {table}; filled in {filled:.0f} s")
    for name, t in tables.items():
        print(f"  {name:<20} {t['rows']:>12,} rows {t['bytes'] / 1e6:>10.1f} MB {t['bytes'] / t['rows']:>6.1f} B a row")
    for t in sorted(times, key=lambda t: -t["best_s"]):
        print(f"  {t['best_s']:>7.3f} {t['worst_s']:>7.3f} s  {t['rows']:>6} rows  {t['dashboard']}: {t['query']}{' (raw scan)' if t['raw'] else ''}")


if __name__ == "__main__":
    main()
