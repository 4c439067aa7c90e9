#!/usr/bin/env bash
# A hundred thousand lots on SQLite and on PostgreSQL, beside networkx, in one run.
# LOTS is how many; the report is written to target/bench-lineage/.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=${CARGO_TARGET_DIR:-$PWD/target}/bench-lineage
venv=$work/venv
mkdir -p "$work"
cargo build --locked --release -p bench-lineage
[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/pip" install --quiet "networkx>=3,<4"
"$venv/bin/python" benches/lineage/oracle.py make "$work/graph.json" "${LOTS:-100000}"
"${CARGO_TARGET_DIR:-$PWD/target}/release/bench-lineage" \
  "$work/graph.json" "$work/result.json" "$work"
"$venv/bin/python" benches/lineage/oracle.py compare \
  "$work/graph.json" "$work/result.json" "$work/report.json" "$work/report.md"
cat "$work/report.md"
