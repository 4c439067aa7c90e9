# Two commands for newcomers: `make run` does the main job, `make test` proves it.

SHELL := /bin/bash
export DATABRIDGE_DATA ?= databridge-data

.PHONY: run test test-long check tools wheel bench bench-daemon bench-lineage bench-scan bench-python install-c clean

# Builds, starts a daemon of its own, and carries one transfer from upload to
# verified delivery. SRC=/path/to/frames delivers these; ONCE=1 ends after that.
run:
	@tests/install-tools.sh build
	cargo build --locked -p databridge-daemon -p main-job
	@exec target/debug/main-job $(if $(SRC),--src "$(SRC)") $(if $(ONCE),--once)

# Everything, on SQLite and on a real PostgreSQL that it starts itself.
test: tools
	tests/run.sh

# As `test`, with twelve hundred kills, huge trees and every seed.
test-long: tools
	DATABRIDGE_TEST_LONG=1 DATABRIDGE_TEST_CRASH_RUNS=200 DATABRIDGE_TEST_COPY_KILLS=1000 DATABRIDGE_TEST_POWER_RUNS=100 tests/run.sh

# The Python wheel as it is published, and the source distribution, in dist/.
wheel:
	tests/python/wheel.sh

# DataBridge beside what a user would pick instead. ARGS go to benches/versus/versus.py.
bench:
	benches/versus/run.sh $(ARGS)

# Daemons under load on both databases, a page of a million transfers, and deliveries by
# one daemon, two and three.
bench-daemon:
	benches/daemon/run.sh $(ARGS)

# A large genealogy on both databases, beside networkx. LOTS is how many.
bench-lineage:
	benches/lineage/run.sh

# `databridge scan` beside clamdscan, clamscan and YARA's own program. ARGS go to scan.py.
bench-scan:
	@tests/install-tools.sh bench-scan
	cargo build --locked --release -p databridge-daemon --bin databridge
	benches/versus/scan.py $(ARGS)

# The Python package beside hashlib, shutil, Fileseq and pyseq. ARGS go to bench.py.
bench-python:
	benches/python/run.sh $(ARGS)

# Format, lints, licences: what needs no server.
check:
	tests/check.sh

# libdatabridge, its headers and its pkg-config file below PREFIX.
PREFIX ?= /usr/local
install-c:
	@tests/install-tools.sh build
	cargo build --locked --release -p databridge-c
	bindings/c/install.sh "$(PREFIX)"

tools:
	@tests/install-tools.sh test
