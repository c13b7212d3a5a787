#!/usr/bin/env python3
"""Holds `flowhouse rules test` against what Suricata alerted (record.py), capture by capture.

    python3 tests/differential/compare.py ../shared/data target/release/flowhouse [tests/differential/probes.rules ...]

Compared are the pairs of rule and flow (addresses, ports, protocol; whichever way), not how often. Without rule files: all of the corpus and the starter rules
and the probes. Prints each rule with what it misses and what it has too much; the last line has the sums.
"""
import collections
import concurrent.futures
import json
import pathlib
import re
import subprocess
import sys
import tempfile

from record import ROOT, captures, pairs


def found(binary, rules, capture):
    with tempfile.TemporaryDirectory() as folder:
        command = [binary, "rules", "test", "--rules", *map(str, rules), "-k", "none", "--out", folder, str(capture)]
        done = subprocess.run(command, capture_output=True, text=True)
        lines = pathlib.Path(folder, "alerts.ndjson")
        if done.returncode or not lines.exists():
            return None, done.stderr[-300:]
        events = [json.loads(line) for line in lines.read_text().splitlines()]
    return pairs(events), ""


def listed(flows):
    """Flows as a set; many of them as numbered ones, of which so many are compared as there are."""
    return set(range(flows)) if isinstance(flows, int) else set(flows)


def main():
    corpus, binary = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2]
    rules = [pathlib.Path(p) for p in sys.argv[3:]]
    if not rules:
        rules = [*sorted((corpus / "rules").glob("*.rules")), ROOT / "deploy/rules/flowhouse.rules", ROOT / "tests/differential/probes.rules"]
    sids = {int(s) for r in rules for s in re.findall(r"\bsid:\s*(\d+)", r.read_text(errors="replace"))}
    recorded = {}
    for line in (ROOT / "tests/differential/suricata.jsonl").read_text().splitlines():
        told = json.loads(line)
        recorded[told["capture"]] = {int(sid): flows for sid, flows in told["alerts"].items() if int(sid) in sids}
    missed, extra, same = collections.defaultdict(list), collections.defaultdict(list), 0
    names = {str(c.relative_to(corpus)): c for c in captures(corpus)}
    # a recording may have been cut short: what comes behind its last capture is not known
    last = max(place for place, name in enumerate(names) if name in recorded)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        work = {c: pool.submit(found, binary, rules, c) for c in list(names.values())[: last + 1]}
    for capture, result in work.items():
        name = str(capture.relative_to(corpus))
        got, fault = result.result()
        if got is None:
            print("FAILED", name, fault)
            continue
        want = recorded.get(name, {})
        for sid in sorted(want.keys() | got.keys()):
            there, here = want.get(sid, []), got.get(sid, [])
            if isinstance(there, int) != isinstance(here, int):
                there, here = (n if isinstance(n, int) else len(n) for n in (there, here))
            there, here = listed(there), listed(here)
            same += len(there & here)
            for which, flows in ((missed, there - here), (extra, here - there)):
                which[sid].extend((name, flow) for flow in sorted(flows))
    for title, which in (("missed", missed), ("too much", extra)):
        for sid, places in sorted(((s, p) for s, p in which.items() if p), key=lambda w: -len(w[1])):
            print(f"{title} {sid}: {len(places)} in {len({name for name, _ in places})} captures")
            for name, flow in places[:5]:
                print(f"    {name} {flow}")
    count = lambda which: sum(map(len, which.values()))
    print(f"{same} pairs the same, {count(missed)} missed, {count(extra)} too much")


if __name__ == "__main__":
    main()
