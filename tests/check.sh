#!/usr/bin/env bash
# Format, lints and licences: what needs no server.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
# Each set of features that somebody embeds.
cargo clippy --locked -q -p databridge-core --no-default-features -- -D warnings
cargo clippy --locked -q --workspace --all-targets -- -D warnings
if command -v cargo-deny >/dev/null 2>&1; then
  cargo deny --offline check licenses bans
else
  echo "cargo-deny is not here: licences and bans are not checked"
fi
