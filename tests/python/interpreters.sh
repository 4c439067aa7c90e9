#!/bin/sh
# Runs a Python program under each CPython from 3.9 to 3.13 that this machine has, and says
# which it has not. No registry carries interpreters, so what is found is what is tried.
#
#   tests/python/interpreters.sh PROGRAM [ARGUMENTS]
set -eu
for version in 3.9 3.10 3.11 3.12 3.13; do
    found=
    for one in "python$version" $(pyenv prefix "$version" 2>/dev/null)/bin/python \
        $(ls -d "$(pyenv root 2>/dev/null || echo /nowhere)/versions/$version".*/bin/python 2>/dev/null || true); do
        if "$one" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$version')" 2>/dev/null; then
            found=$one
            break
        fi
    done
    if [ -n "$found" ]; then
        "$found" "$@"
    else
        echo "CPython $version: not on this machine, so not tried"
    fi
done
