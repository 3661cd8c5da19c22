#!/usr/bin/env bash
# Makes sure that a redis-server is on PATH.
set -euo pipefail
if command -v redis-server >/dev/null; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "installing redis-server with apt"
  apt-get update -qq
  # The package would start a service of its own; the tests start their own servers.
  RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server >/dev/null
  exit 0
fi
echo "redis-server (7.0 or newer) is needed on PATH: install it, e.g. 'sudo apt-get install redis-server'" >&2
exit 1
