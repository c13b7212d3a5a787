"""Serves the lines `OID type value` of a file to snmpd (pass_persist); the file may change at any time."""
import sys


def lines():
    rows = []
    with open(sys.argv[1], encoding="ascii") as file:
        for line in file:
            oid, kind, value = line.rstrip("\n").split(" ", 2)
            rows.append((tuple(int(n) for n in oid.strip(".").split(".")), kind, value))
    return sorted(rows)


def answer(row):
    if row is None:
        print("NONE", flush=True)
        return
    oid, kind, value = row
    print("." + ".".join(map(str, oid)), kind, value, sep="\n", flush=True)


for order in iter(sys.stdin.readline, ""):
    order = order.strip()
    if order == "PING":
        print("PONG", flush=True)
    elif order in ("get", "getnext"):
        asked = tuple(int(n) for n in sys.stdin.readline().strip().strip(".").split(".") if n)
        rows = lines()
        if order == "get":
            answer(next((r for r in rows if r[0] == asked), None))
        else:
            answer(next((r for r in rows if r[0] > asked), None))
