#!/usr/bin/env bash
# Makes the example reports beside this file: a day of generated exporters, hour by hour, and captures of real ones that all end
# where the day ends. The clock of what generates and replays stands still (libfaketime), so the same program makes the same
# bytes.
# Usage: make.sh PATH-OF-FLOWHOUSE FOLDER-OF-CAPTURES
set -euo pipefail
flowhouse="$(realpath "$1")" captures="$(realpath "$2")" out="$(cd "$(dirname "$0")" && pwd)"
faketime=/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1
work="$(mktemp -d)"
chmod 755 "$work"
store=""
trap '[ -z "$store" ] || kill "$store"; rm -rf "$work"' EXIT

at() { local time="$1"; shift; LD_PRELOAD=$faketime FAKETIME="$time" FAKETIME_DONT_FAKE_MONOTONIC=1 TZ=UTC "$@"; }

cat > "$work/names.toml" <<'TOML'
[[enrich.interfaces]]
exporter = "198.18.0.2"
index = 11
name = "xe-0/1/1"
alias = "to the first provider"
speed_mbit = 2
role = "internet"
[[enrich.interfaces]]
exporter = "198.18.0.2"
index = 12
name = "xe-0/1/2"
alias = "to the second provider"
speed_mbit = 1000
role = "internet"
[[enrich.interfaces]]
exporter = "198.18.0.3"
index = 11
name = "xe-0/1/1"
alias = "carrier"
speed_mbit = 40
role = "wan"
[[enrich.interfaces]]
exporter = "198.18.0.1"
index = 49
name = "Te1/49"
alias = "to the core"
speed_mbit = 20
role = "uplink"
[enrich.qos.classes.telephony]
budget_percent = 2
[enrich.qos.classes.multimedia-conferencing]
budget_percent = 10
[enrich.qos.classes.low-latency-data]
budget_mbit = 1
TOML

# flows a second in each hour of the day
rates=(3 3 3 3 3 3 6 12 21 27 27 24 18 24 27 27 21 15 9 6 6 6 3 3)
for hour in "${!rates[@]}"; do
  name=$(printf '%02d' "$hour")
  at "2026-01-15 $name:00:00" "$flowhouse" generate --protocol mix --exporters 3 --sampling 50 --seed "$((100 + hour))" \
    --rate "${rates[$hour]}" --flows "$((rates[hour] * 3590))" --pcap "$work/hour-$name.pcap" > "$work/truth-$name"
done

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$flowhouse" store --listen "127.0.0.1:$port" --data "$work/store" --memory-max 2147483648 > "$work/store.log" 2>&1 &
store=$!
for _ in $(seq 100); do grep -q "listening on" "$work/store.log" && break; sleep 0.2; done
connection=(--url "http://127.0.0.1:$port" --password-file "$work/store/key")
into=(--store "http://127.0.0.1:$port" --password-file "$work/store/key")

# the store's own clock goes on: nothing may expire
"$flowhouse" schema apply "${connection[@]}" > /dev/null
"$flowhouse" store sql --address "127.0.0.1:$port" --data "$work/store" "SYSTEM STOP TTL MERGES"

at "2026-01-16 00:00:00" "$flowhouse" replay -c "$work/names.toml" "${into[@]}" "$work"/hour-*.pcap 2>> "$work/replay.log"
for capture in ls-ipfix-mikrotik-routeros-6-39-2 sc-netflowv9; do
  at "2026-01-16 00:00:00" "$flowhouse" replay -c "$work/names.toml" --as export --correct-clock "${into[@]}" "$captures/$capture.pcap" 2>> "$work/replay.log"
done

day=(--from 2026-01-15 --to 2026-01-16T00:05)
"$flowhouse" report "${connection[@]}" "${day[@]}" --over 70 --limit 8 > "$out/report.txt"
"$flowhouse" report "${connection[@]}" "${day[@]}" --over 70 --plots 4 --html "$out/report.html"
"$flowhouse" exporters show 198.18.0.2 --to 2026-01-16T00:01 --vendor cisco-ios-xe "${connection[@]}" > "$out/exporter.txt"
