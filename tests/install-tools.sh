#!/usr/bin/env bash
# Installs what building (build) or testing (test) needs and this machine lacks:
# system packages where we are root, else it says which.
set -euo pipefail
cd "$(dirname "$0")/.."

missing=()
need() { # program, Debian package
  command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || missing+=("$2")
}

need cc gcc
need make make
if [ "${1:-test}" = test ]; then
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || command -v initdb >/dev/null || missing+=(postgresql)
  need clamd clamav-daemon
  need clamscan clamav
  need g++ g++
  need pkg-config pkgconf
  need fusermount3 fuse3
  need sqlite3 sqlite3
  need openssl openssl
  need setpriv util-linux
  need ip iproute2
  need rsync rsync
  need slapd slapd
  need ldapmodify ldap-utils
  need sshd openssh-server
  need ssh openssh-client
  need mkfs.ext4 e2fsprogs
  need filefrag e2fsprogs
  [ -x /usr/bin/time ] || missing+=(time)
  need mkfs.xfs xfsprogs
  need mkfs.btrfs btrfs-progs
  # pyright is a program for node.
  need node nodejs
  need npm npm
fi

if [ "${1:-test}" = bench-scan ]; then
  need clamd clamav-daemon
  need clamdscan clamdscan
  need clamscan clamav
  need yara yara
fi

if [ "${#missing[@]}" -gt 0 ]; then
  if [ "$(id -u)" = 0 ]; then
    echo "installing ${missing[*]}"
    apt-get -o DPkg::Lock::Timeout=300 update -qq
    DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "please install: apt-get install ${missing[*]}" >&2
    exit 5
  fi
fi

if [ "${1:-test}" = bench-scan ]; then
  # The command line of the engine that matches our rules (about 2 minutes).
  [ -x target/bench-tools/bin/boreal ] ||
    cargo install --locked --no-default-features --features memmap --root target/bench-tools boreal-cli@1.4.0
fi

if [ "${1:-test}" = test ]; then
  command -v cargo-nextest >/dev/null 2>&1 || cargo install --locked cargo-nextest
  # An S3 server that checks signatures, checksums and conditions (about 2 minutes; no test
  # needs it optimized in full).
  [ -x target/tools/bin/s3s-fs ] || command -v s3s-fs >/dev/null 2>&1 ||
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 cargo install --locked --features binary --root target/tools s3s-fs@0.14.1
fi
