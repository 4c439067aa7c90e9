#!/usr/bin/env bash
# Every test, on SQLite and on a real PostgreSQL. Built with the named steps at which
# the crash tests kill real processes; a release has none of them.
set -euo pipefail
cd "$(dirname "$0")/.."

tests/rest-tools.sh
features=databridge-core/steps,databridge-daemon/steps
# With the tests, so that what both need is built once.
cargo build --locked --workspace --all-targets --features "$features"
# Most of them wait for a server half of the time.
export NEXTEST_TEST_THREADS=${NEXTEST_TEST_THREADS:-$(($(nproc) * 3 / 2))}
target/debug/with-postgres cargo nextest run --locked --workspace --features "$features" \
  --no-fail-fast ${DATABRIDGE_TEST_LONG:+--run-ignored all --profile long}
if [ "$(id -u)" != 0 ]; then
  echo "not root: tests that mount said that they were left out"
fi
DATABRIDGED="$PWD/target/debug/databridged" tests/python/run.sh
