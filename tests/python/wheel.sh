#!/bin/sh
# Builds the wheel that is published and the source distribution into dist/: abi3 from
# CPython 3.9, linked by zig against glibc 2.28, stripped. Then proves what they are.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
tools=$target/python-tools
most_bytes=12000000

[ -x "$tools/bin/auditwheel" ] && [ -x "$tools/bin/maturin" ] && "$tools/bin/python" -c "import ziglang" || {
    "${PYTHON:-python3}" -m venv "$tools"
    "$tools/bin/pip" install --quiet "maturin>=1.9,<2" "ziglang>=0.15,<0.18" "auditwheel>=6,<7"
}
PATH=$tools/bin:$PATH
rm -rf dist
maturin build --release --strip --zig --compatibility manylinux_2_28 --locked \
    --manifest-path databridge-py/Cargo.toml --out dist
maturin sdist --manifest-path databridge-py/Cargo.toml --out dist

wheel=$(ls dist/databridge_py-*-cp39-abi3-manylinux_2_*.whl)
auditwheel show "$wheel" | tee dist/auditwheel.txt
# Its own word for the oldest platform that will do.
policy=$(grep -o 'manylinux_2_[0-9]*' dist/auditwheel.txt | sed 's/manylinux_2_//' | sort -n | head -1)
if [ -z "$policy" ] || [ "$policy" -gt 28 ]; then
    echo "$wheel needs a newer glibc than 2.28" >&2
    exit 1
fi
bytes=$(wc -c <"$wheel")
echo "$wheel: $bytes bytes, glibc 2.$policy"
if [ "$bytes" -ge "$most_bytes" ]; then
    echo "$wheel is larger than $most_bytes bytes" >&2
    exit 1
fi
rm -rf "$target/python-site"
"$tools/bin/pip" install --quiet --no-deps --target "$target/python-site" "$wheel"
PYTHONPATH=$target/python-site tests/python/interpreters.sh tests/python/smoke.py
