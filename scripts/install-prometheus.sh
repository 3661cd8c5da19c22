#!/usr/bin/env bash
# Puts promtool, the parser of Prometheus, at .cache/prometheus/promtool: it checks the exposition, the
# alert rules and their tests. Debian's package is unpacked, not installed: no server is begun.
# Without it those tests are skipped, with the reason in their name.
set -euo pipefail
cd "$(dirname "$0")/.."
HOME_DIR=$PWD/.cache/prometheus
SECONDS_MAX=120
if [ -x "$HOME_DIR/promtool" ] || command -v promtool >/dev/null; then exit 0; fi
mkdir -p "$HOME_DIR"

unpack() (
  cd "$1"
  timeout "$SECONDS_MAX" apt-get download -q prometheus
  dpkg-deb --fsys-tarfile prometheus_*.deb | tar -xf - ./usr/bin/promtool
)

if command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null; then
  started=$SECONDS
  work=$(mktemp -d "$HOME_DIR/work-XXXXXX")
  trap 'rm -rf "$work"' EXIT
  if unpack "$work" >/dev/null 2>&1 || { apt-get update -qq >/dev/null 2>&1 && unpack "$work" >/dev/null 2>&1; }; then
    mv "$work/usr/bin/promtool" "$HOME_DIR/promtool"
    echo "promtool was unpacked in $((SECONDS - started)) s"
    exit 0
  fi
fi
echo "promtool cannot be had: metrics and alert rules are not checked by it (e.g. 'sudo apt-get install prometheus')"
