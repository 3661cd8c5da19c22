#!/usr/bin/env bash
# Runs one part of a make target and notes its seconds for the summary: part.sh NAME COMMAND…
set -u
name=$1
shift
mkdir -p build
began=$SECONDS
"$@"
status=$?
printf '  %-12s %4d s\n' "$name" $((SECONDS - began)) >>build/parts.txt
[ "$status" -eq 0 ] || echo "part '$name' failed with status $status" >&2
exit "$status"
