#!/usr/bin/env bash
# Other people's tools that judge the REST interface and what it sends, at fixed versions,
# below the target folder: types from its description, a fuzzer of what it allows, clients
# of its uploads, the receiver's side of signed webhooks.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=${CARGO_TARGET_DIR:-$PWD/target}/rest-tools
mkdir -p "$tools"

# Each of them whole, or again.
if [ ! -e "$tools/node.done" ]; then
  npm install --silent --no-audit --no-fund --prefix "$tools" openapi-typescript@7.10.1 typescript@5.9.3
  touch "$tools/node.done"
fi
if [ ! -e "$tools/python-2.done" ]; then
  "${PYTHON:-python3}" -m venv "$tools/venv"
  "$tools/venv/bin/pip" install --quiet "schemathesis>=4.4,<5" "standardwebhooks>=1.0.1,<2"
  touch "$tools/python-2.done"
fi
if [ ! -e "$tools/tus.done" ]; then
  npm install --silent --no-audit --no-fund --prefix "$tools" tus-js-client@4.3.1
  "$tools/venv/bin/pip" install --quiet tuspy==1.1.0
  touch "$tools/tus.done"
fi
