# Two commands for everybody: `make demo` and `make test`. The rest is for those who build Flowhouse.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test torture bench fuzz memcheck prepare-demo prepare-test engine clean

help:
	@echo "make demo    install what is missing, build, run the collector on generated traffic, show the results;"
	@echo "             make -s demo DEMO_ARGUMENTS=--json has them as one JSON object"
	@echo "make test    install what is missing, run everything that CI runs"
	@echo "make torture kill collector and store FLOWHOUSE_TORTURE_KILLS (120) times under load, an outage, a steady load; close the"
	@echo "             books (release build; 40 minutes; the variables are in tests/it/torture/mod.rs)"
	@echo "make bench   benchmarks, with the rivals' figures of the same run"
	@echo "make fuzz    every fuzz target for FUZZ_SECONDS (60) each"
	@echo "make memcheck   the tests of what calls the library of C that looks for contents, and the kernel for large pages, under valgrind"

demo: prepare-demo
	cargo build --release --locked
	@bash .ci/prepare engine target/release/flowhouse
	@./target/release/flowhouse demo --for $(or $(DEMO_FOR),90s) $(DEMO_ARGUMENTS)

test:
	@bash .ci/steps

# A release build: at the rates of a debug build nothing overflows and little is in flight when the kill comes.
torture: export FLOWHOUSE_STORE_MEMORY ?= 4000000000
torture: export FLOWHOUSE_EXE ?= $(CURDIR)/target/release/flowhouse
torture: prepare-test
	cargo build --release --locked
	cargo test --locked --test it --no-run
	@bash .ci/prepare engine "$$FLOWHOUSE_EXE"
	cargo test --locked --test it torture:: -- --include-ignored --nocapture --test-threads=1

# What rules are looked for with, and large pages, are called without the compiler's proof: every access of it is watched, and what it leaks. What the
# standard library keeps of its main thread is reached from within only: no leak.
memcheck:
	cargo test --locked --lib --no-run
	valgrind --quiet --error-exitcode=9 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
		"$$(cargo test --locked --lib --no-run --message-format=json 2>/dev/null | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')" \
		--test-threads=1 detect::signature::engine:: detect::anomaly::pages::

bench: prepare-test
	@bash .ci/prepare bench
	cargo build --release --locked
	@bash .ci/prepare engine target/release/flowhouse
	cargo bench --locked --bench decode --bench enrich --bench aggregate --bench encode --bench shard --bench spool
	python3 benches/packets.py
	[ "$$(id -u)" != 0 ] || python3 benches/capture.py
	python3 benches/live.py
	python3 benches/store.py
	python3 benches/store.py --discard --rate 200000 --exporters 4 --seconds 20
	python3 benches/store.py --discard --rate 200000 --exporters 10000 --templates 4 --seconds 20

fuzz:
	@bash fuzz/run.sh $(or $(FUZZ_SECONDS),60)

# What the demo needs beside Rust: a C compiler for one dependency, and the engine library.
prepare-demo:
	@bash .ci/prepare demo

prepare-test:
	@bash .ci/prepare test

# The engine of `flowhouse store`: downloaded once, its checksum proven by `store install`.
engine:
	@bash .ci/prepare engine target/$(or $(PROFILE),release)/flowhouse

clean:
	cargo clean
