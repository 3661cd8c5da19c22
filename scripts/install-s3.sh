#!/usr/bin/env bash
# Puts the S3 servers that the tests run on under .cache/s3 of the checkout, both at the same time:
#
#   .cache/s3/versitygw/bin/versitygw  versitygw, compiled by Go from its sources
#   .cache/s3/moto/venv/bin/python -m moto.server
#                                      moto, S3 and KMS, in a Python environment of its own
#   .cache/s3/<server>/version         what lies there
#   .cache/s3/<server>/unavailable     why it cannot be had, where it cannot
#
# Idempotent and bounded in time; a second run at the same time waits for the first. What cannot be
# had is said, and its tests are skipped by name.
set -euo pipefail
cd "$(dirname "$0")/.."
VERSITYGW=1.8.0
MOTO=5.2.5
SECONDS_MAX=300
LOCK_SECONDS_MAX=900
mkdir -p .cache/s3
HOME_DIR=$(cd .cache/s3 && pwd -P)

versitygw() {
  command -v go >/dev/null || { echo "Go 1.25 or newer is needed: https://go.dev/dl" >&2; return 1; }
  GOBIN=$1/bin timeout "$SECONDS_MAX" nice go install "github.com/versity/versitygw/cmd/versitygw@v$VERSITYGW"
}

# A checkout that was moved makes its environment anew: the programs in it name whole paths.
moto() {
  python3 -c 'import venv, ensurepip' 2>/dev/null || {
    echo "Python 3.9 or newer with venv is needed, e.g. 'sudo apt-get install python3-venv'" >&2
    return 1
  }
  nice python3 -m venv "$1/venv" && timeout "$SECONDS_MAX" nice "$1/venv/bin/python" -m pip install \
    --quiet --no-compile --disable-pip-version-check --no-input \
    "moto[s3,kms]==$MOTO" flask==3.1.3 flask-cors==6.0.5
}

# install NAME VERSION: where the version is not what lies there.
install() {
  local name=$1 version="$2 $HOME_DIR" home=$HOME_DIR/$1 began=$SECONDS
  [ "$(cat "$home/version" 2>/dev/null)" != "$version" ] || return 0
  rm -rf "$home"
  mkdir -p "$home"
  echo "s3: installing $name $2"
  if "$name" "$home" >"$home/log" 2>&1; then
    echo "$version" >"$home/version"
    echo "s3: $name $2 took $((SECONDS - began)) s"
  else
    echo "$name $2 cannot be had: $(tail -1 "$home/log")" | tee "$home/unavailable" >&2
  fi
}

command -v flock >/dev/null || { echo "s3: flock (util-linux) is needed" >&2; exit 1; }
exec 9>"$HOME_DIR/lock"
flock -w "$LOCK_SECONDS_MAX" 9 || { echo "s3: another run holds $HOME_DIR/lock" >&2; exit 1; }
install moto "$MOTO" &
install versitygw "$VERSITYGW"
wait
