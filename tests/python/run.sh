#!/bin/sh
# Builds the wheel, installs it into a fresh environment and tries it there.
#
#   tests/python/run.sh [PYTEST ARGUMENTS]
#
# DATABRIDGED names the daemon's program (target/debug/databridged where it is not
# set), WHEEL a wheel that is already built, PYTHON the interpreter.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
cd "$root"
target=${CARGO_TARGET_DIR:-$root/target}
tools=$target/python-tools
venv=$target/python-venv
python=${PYTHON:-python3}

if [ -z "${DATABRIDGED:-}" ]; then
    cargo build --quiet -p databridge-daemon --bin databridged
    DATABRIDGED=$target/debug/databridged
fi
export DATABRIDGED

if [ -z "${WHEEL:-}" ]; then
    [ -x "$tools/bin/maturin" ] || {
        "$python" -m venv "$tools"
        "$tools/bin/pip" install --quiet "maturin>=1.9,<2"
    }
    rm -rf "$target/wheels/debug"
    "$tools/bin/maturin" build --quiet --profile dev --manifest-path databridge-py/Cargo.toml \
        --out "$target/wheels/debug"
    WHEEL=$(ls "$target"/wheels/debug/databridge_py-*.whl)
fi

rm -rf "$venv"
"$python" -m venv "$venv"
"$venv/bin/pip" install --quiet "$WHEEL" pytest mypy ruff "pyright==1.1.414" hypothesis "fileseq>=3.4,<4"

# Lists are judged by their formats' own tools, in an environment of their own.
witnesses=$target/python-witnesses
[ -x "$witnesses/bin/ascmhl-debug" ] && [ -x "$witnesses/bin/bagit.py" ] || {
    "$python" -m venv "$witnesses"
    "$witnesses/bin/pip" install --quiet "ascmhl>=1.2,<2" "bagit>=1.9,<2"
}
export WITNESSES="$witnesses/bin"

# From the folder of the tests, so that what is imported is what was installed.
cd "$root/tests/python"
config=$root/databridge-py/pyproject.toml
ours="$root/databridge-py $root/examples/cookbook $root/benches"
# shellcheck disable=SC2086
"$venv/bin/ruff" check --config "$config" . $ours
# shellcheck disable=SC2086
"$venv/bin/ruff" format --check --config "$config" . $ours
"$venv/bin/python" -m mypy.stubtest --mypy-config-file "$config" databridge
"$venv/bin/python" -m mypy --config-file "$config" "$root"/examples/cookbook/*.py ./*.py
"$venv/bin/python" -m mypy --config-file "$config" --explicit-package-bases --ignore-missing-imports "$root"/benches/versus/*.py "$root"/benches/python/*.py
"$venv/bin/pyright" -p "$config" --pythonpath "$venv/bin/python"
"$venv/bin/python" -m pytest -c "$config" --rootdir . -p no:cacheprovider -q "$@"

# One wheel for every interpreter.
rm -rf "$target/python-site"
"$venv/bin/pip" install --quiet --no-deps --target "$target/python-site" "$WHEEL"
PYTHONPATH=$target/python-site PYTHONDONTWRITEBYTECODE= ./interpreters.sh smoke.py

if [ -n "${DATABRIDGE_TEST_LONG:-}" ]; then
    ./sdist.sh
fi
