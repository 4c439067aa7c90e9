#!/bin/sh
# Installs from the source distribution into a fresh environment and tries it there. Built
# without optimising, beside what is built already, so that it takes minutes and not hours.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
venv=$target/sdist-venv
rm -rf "$venv" "$target/sdist"
"$target/python-tools/bin/maturin" sdist --manifest-path databridge-py/Cargo.toml --out "$target/sdist"
"${PYTHON:-python3}" -m venv "$venv"
# The lock file loses the crates that are not in it; the versions of the others stay.
CARGO_TARGET_DIR=$target MATURIN_PEP517_ARGS="--profile dev" \
    "$venv/bin/pip" install --quiet "$target"/sdist/databridge_py-*.tar.gz
cd tests/python
"$venv/bin/python" smoke.py
