#!/usr/bin/env bash
# Daemons under load on SQLite and on PostgreSQL, both flushing every commit to the device,
# in one run. Arguments go to the program: --write puts the table into docs/performance.md.
set -euo pipefail
cd "$(dirname "$0")/../.."

tests/install-tools.sh build
cargo build --locked --release -p databridge-daemon -p bench-daemon
release=${CARGO_TARGET_DIR:-$PWD/target}/release
DATABRIDGE_TEST_DAEMON=$release/databridged exec "$release/bench-daemon" "$@"
