#!/usr/bin/env bash
# Installs libdatabridge, its headers and its pkg-config file.
#
#   bindings/c/install.sh PREFIX [FOLDER]
#
# FOLDER holds what cargo built (target/release); DESTDIR is put before PREFIX.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
prefix=${1:?PREFIX is missing}
built=${2:-$here/../../target/release}
to=${DESTDIR:-}$prefix
version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"$/\1/p' "$here/../../Cargo.toml")

install -d "$to/include" "$to/lib/pkgconfig"
install -m 644 "$here"/include/databridge.h "$here"/include/databridge.hpp "$to/include/"
install -m 755 "$built/libdatabridge_c.so" "$to/lib/libdatabridge.so.1"
ln -sf libdatabridge.so.1 "$to/lib/libdatabridge.so"
install -m 644 "$built/libdatabridge_c.a" "$to/lib/libdatabridge.a"
sed -e "s|@PREFIX@|$prefix|" -e "s|@VERSION@|$version|" "$here/databridge.pc.in" \
  >"$to/lib/pkgconfig/databridge.pc"
