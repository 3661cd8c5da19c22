#!/usr/bin/env bash
# Makes the passwords of the example, once, as files in a folder that only its owner can enter.
set -euo pipefail
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
word() { head -c 24 /dev/urandom | base64 | tr -d '+/=\n'; }
[ -e secrets/orders_pass ] || word >secrets/orders_pass
if [ ! -e secrets/s3_root ]; then
  id=$(word) key=$(word)
  printf 'ROOT_ACCESS_KEY=%s\nROOT_SECRET_KEY=%s\n' "$id" "$key" >secrets/s3_root
  printf '[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$id" "$key" >secrets/aws_credentials
fi
# The users of the containers read them where they are mounted; on this host the folder keeps others out.
chmod 0444 secrets/*
