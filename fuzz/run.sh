#!/usr/bin/env bash
# Runs every fuzz target for SECONDS each (default 60). Usage: fuzz/run.sh [SECONDS] [TARGET...]
# Needs cargo-fuzz, a C++ compiler and Python; targets that read packets start from those of seeds.py; coverage feedback works on a stable compiler through RUSTC_BOOTSTRAP.
set -euo pipefail
cd "$(dirname "$0")"

seconds="${1:-60}"
shift || true
command -v c++ >/dev/null || { echo "cannot go on: install a C++ compiler (apt-get install g++)" >&2; exit 1; }
command -v cargo-fuzz >/dev/null || cargo install --quiet --locked cargo-fuzz

targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cd fuzz_targets && ls ./*.rs | sed 's#^./##; s#\.rs$##')
for target in "${targets[@]}"; do
  echo "==> $target, $seconds s"
  case "$target" in
    app | capture | frames | packets) python3 seeds.py corpus ;;
  esac
  # the engine's stubs and the sanitizer do not go together; nothing here needs either
  RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir . --sanitizer none "$target" -- -max_total_time="$seconds" -rss_limit_mb=2048 -print_final_stats=1
  # what it found new is kept in as few files as reach it
  RUSTC_BOOTSTRAP=1 cargo fuzz cmin --fuzz-dir . --sanitizer none "$target"
done
