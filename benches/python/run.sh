#!/bin/sh
# The Python package beside what TDs use instead, in one run.
#
#   benches/python/run.sh [--quick] [--write]
#
# WHEEL names a wheel that is already built; without it one is, optimised.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
tools=$target/python-tools
venv=$target/bench-venv

if [ -z "${WHEEL:-}" ]; then
    [ -x "$tools/bin/maturin" ] || {
        "${PYTHON:-python3}" -m venv "$tools"
        "$tools/bin/pip" install --quiet "maturin>=1.9,<2"
    }
    rm -rf "$target/wheels/release"
    "$tools/bin/maturin" build --quiet --release --strip --locked \
        --manifest-path databridge-py/Cargo.toml --out "$target/wheels/release"
    WHEEL=$(ls "$target"/wheels/release/databridge_py-*.whl)
fi
rm -rf "$venv"
"${PYTHON:-python3}" -m venv "$venv"
"$venv/bin/pip" install --quiet "$WHEEL" -r benches/python/requirements.txt
exec "$venv/bin/python" benches/python/bench.py "$@"
