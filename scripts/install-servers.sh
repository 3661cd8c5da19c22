#!/usr/bin/env bash
# Puts the servers that the version matrix is run on under .cache/servers of the checkout:
#
#   .cache/servers/<suite>/root/       the Debian packages of the servers and their libraries, unpacked
#   .cache/servers/<suite>/bin/        a wrapper for each program, run by the loader of its own suite,
#                                      so that it sees the files of this machine
#   .cache/servers/<suite>/unavailable why this suite cannot be had, where it cannot
#
# Idempotent and bounded in time; a second run at the same time waits for the first. The system's
# own apt state is not touched. `--refresh` takes the newest again. Without Debian's tools,
# `docker compose up` unpacks the same servers into such folders, and this makes the wrappers.
set -euo pipefail
cd "$(dirname "$0")/.."
HOME_DIR=$PWD/.cache/servers
# Redis 6.0; Valkey 8.1 (and Redis 8.0); Redis 8.0 and the newest Valkey; the newest Redis, which
# stands in experimental (on sid's libraries). Redis 7.0 is the redis-server of the PATH, or bookworm's.
SUITES="bullseye trixie sid experimental"
redis-server --version 2>/dev/null | grep -q 'v=7\.0\.' || SUITES+=" bookworm"
SUITE_SECONDS_MAX=240
LOCK_SECONDS_MAX=900

# The mirror of Debian that apt is set to, or the public one.
mirror() {
  local found
  found=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(RELEASE)' 'Created-By: Packages' 2>/dev/null |
    awk '$1 !~ /security/ && $1 ~ /\/debian\/?$/ { print $1; exit }') || true
  echo "${TIDEMARK_DEBIAN_MIRROR:-${found:-http://deb.debian.org/debian/}}"
}

# apt with a state, a cache and sources of its own, and no package taken as installed.
own_apt() {
  local state=$1
  shift
  apt-get -q \
    -o Dir::State="$state/state" -o Dir::State::status="$state/status" -o Dir::Cache="$state/cache" \
    -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null \
    -o Acquire::Languages=none -o Acquire::Retries=2 -o Acquire::http::Timeout=30 \
    -o APT::Install-Recommends=false -o APT::Sandbox::User="$(id -un)" "$@"
}

# What runs in a suite's own time limit: writes <work>/root, or says why not.
obtain() {
  local suite=$1 work=$2 state=$2/apt programs packages sources source
  mkdir -p "$state/state/lists/partial" "$state/cache/archives/partial" "$work/debs" "$work/root"
  : >"$state/status"
  case $suite in
    bullseye | bookworm) programs="redis-tools" sources=$suite ;;
    experimental) programs="redis-tools/experimental" sources="sid experimental" ;;
    *) programs="redis-tools valkey-tools" sources=$suite ;;
  esac
  for source in $sources; do
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) $source main"
  done >"$state/sources.list"
  own_apt "$state" update >"$work/log" 2>&1 || return 1
  # shellcheck disable=SC2086 # names of packages, apart
  packages=$(own_apt "$state" --simulate install $programs 2>>"$work/log" |
    awk '$1 == "Inst" && $2 ~ /^(lib|lua-|redis-|valkey-)/ { print $2 "=" substr($3, 2) }')
  [ -n "$packages" ] || return 1
  # shellcheck disable=SC2086
  (cd "$work/debs" && own_apt "$state" download $packages >>"$work/log" 2>&1) || return 1
  local deb
  for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/root" >>"$work/log" 2>&1 || return 1; done
}

# A wrapper for each program. The name it is called by makes a check program of the server program,
# and the server tells it as its `executable`: the wrapper's own path, so that it can be started by it.
# A loader before glibc 2.33 knows no --argv0 and gives the path of what it loads: a link then.
# `exec` keeps the pid.
wrappers() {
  local root=$1/root bin=$1/bin loader libraries program name folder
  loader=$(find "$root" -name 'ld-linux*.so.*' \( -type f -o -type l \) | sort | head -1)
  [ -n "$loader" ] || return 1
  libraries=
  for folder in "$root"/lib/*-linux-gnu* "$root"/usr/lib/*-linux-gnu*; do
    [ -d "$folder" ] && libraries+=${libraries:+:}$folder
  done
  rm -rf "$bin" "$root/named"
  mkdir -p "$bin" "$root/named"
  local product
  for product in redis valkey; do
    # Debian's server program is a link to its checker; images have it the other way round.
    for program in "$root"/usr/local/bin/$product-server "$root"/usr/bin/$product-check-rdb; do
      [ -f "$program" ] && [ ! -L "$program" ] || continue
      for name in $product-{server,check-rdb,check-aof}; do
        wrapper "$bin/$name" "$loader" "$libraries" "$program" "$root/named/$name"
      done
      break
    done
  done
  for program in "$bin"/*-server; do "$program" --version || return 1; done >"$1/versions"
}

# wrapper FILE LOADER LIBRARIES PROGRAM LINK
wrapper() {
  local naming="--argv0 '$1'" program=$4
  if ! "$2" --help 2>&1 | grep -q -- --argv0; then
    naming=
    program=$5
    ln -s "$4" "$5"
  fi
  printf '#!/bin/sh\nexec %s "$@"\n' "'$2' $naming --library-path '$3' '$program'" >"$1"
  chmod 755 "$1"
}

install_suite() {
  local suite=$1 home=$HOME_DIR/$suite work=$HOME_DIR/.work-$suite
  if [ -f "$home/versions" ]; then
    # A checkout that was moved takes its wrappers anew; they name whole paths.
    grep -qsF "$home/root" "$home"/bin/*-server || wrappers "$home"
    return 0
  fi
  rm -rf "$work"
  mkdir -p "$work"
  echo "servers: unpacking those of Debian $suite"
  if timeout "$SUITE_SECONDS_MAX" scripts/install-servers.sh --obtain "$suite" "$work"; then
    rm -rf "$home"
    mkdir -p "$home"
    mv "$work/root" "$home/root"
    if wrappers "$home"; then
      rm -rf "$work"
      return 0
    fi
  fi
  local reason
  reason=$(grep -hE '^(E|Err|W):' "$work/log" 2>/dev/null | tail -2 | tr '\n' ' ') || true
  rm -rf "$home" "$work"
  mkdir -p "$home"
  echo "Debian $suite cannot be had: ${reason:-no answer within $SUITE_SECONDS_MAX s, or the programs do not run}" |
    tee "$home/unavailable" >&2
}

if [ "${1:-}" = --obtain ]; then
  obtain "$2" "$3"
  exit
fi
mkdir -p "$HOME_DIR"
HOME_DIR=$(cd "$HOME_DIR" && pwd -P)
command -v flock >/dev/null || { echo "servers: flock (util-linux) is needed" >&2; exit 1; }
exec 9>"$HOME_DIR/lock"
flock -w "$LOCK_SECONDS_MAX" 9 || { echo "servers: another run holds $HOME_DIR/lock" >&2; exit 1; }
if [ "${1:-}" = --refresh ]; then
  for suite in $SUITES; do rm -f "$HOME_DIR/$suite/versions"; done
fi
for suite in $SUITES; do
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    mkdir -p "$HOME_DIR/$suite"
    [ -f "$HOME_DIR/$suite/versions" ] ||
      echo "Debian's apt-get and dpkg-deb are needed; or unpack the same servers with: docker compose up" |
      tee "$HOME_DIR/$suite/unavailable" >&2
    continue
  fi
  install_suite "$suite"
done
# What compose.yaml has unpacked.
for home in "$HOME_DIR"/*/; do
  home=${home%/}
  [ -d "$home/root" ] && [ ! -f "$home/versions" ] || continue
  wrappers "$home" || { rm -f "$home/versions"; echo "servers: what lies in $home does not run" >&2; }
done
