#!/usr/bin/env bash
# Builds for release, brings the peers, and runs the comparison; arguments go to versus.py.
set -euo pipefail
cd "$(dirname "$0")/../.."

work=${DATABRIDGE_BENCH:-target/bench}
for pair in rsync:rsync rclone:rclone openssl:openssl b3sum:b3sum; do
  command -v "${pair%%:*}" >/dev/null || lacking+=("${pair##*:}")
done
[ -x /usr/bin/time ] || lacking+=(time)
if [ -n "${lacking+x}" ] && [ "$(id -u)" = 0 ]; then
  apt-get -o DPkg::Lock::Timeout=300 update -qq
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq \
    --no-install-recommends "${lacking[@]}" >/dev/null
fi
python=target/bench-tools/bin/python
[ -x "$python" ] || python3 -m venv target/bench-tools
"$python" -m pip install -q --disable-pip-version-check -r benches/versus/requirements.txt
cargo build --locked --release -q -p databridge-daemon --bin databridge
exec "$python" benches/versus/versus.py --databridge target/release/databridge \
  --work "$work" --out "$work/results" "$@"
