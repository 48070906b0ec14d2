#!/bin/sh
# Builds tlogcheck, the Go project's own transparency-log packages over a log folder, into .peers (needs go and network).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
peers=${SPINE_PEERS_DIR:-$root/.peers}
mkdir -p "$peers"
cd "$root/test/peers/tlog-go"
GOFLAGS=-mod=readonly go build -o "$peers/tlogcheck" .
