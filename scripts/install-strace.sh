#!/usr/bin/env bash
# Makes sure that strace is on PATH: it shows which files a restore writes. Without it those tests
# are skipped, with the reason in their name.
set -euo pipefail
if command -v strace >/dev/null; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  started=$SECONDS
  install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends strace >/dev/null 2>&1; }
  if install || { apt-get update -qq && install; }; then
    echo "strace was installed with apt in $((SECONDS - started)) s"
    exit 0
  fi
fi
echo "strace is not on PATH: tests that watch files are skipped (e.g. 'sudo apt-get install strace')"
