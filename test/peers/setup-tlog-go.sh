#!/bin/sh
# Builds into .peers (needs go and network): tlogcheck, the Go project's own transparency-log packages over a log; fsck,
# Tessera's checker of tile logs; litewitness, a public witness.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
peers=${SPINE_PEERS_DIR:-$root/.peers}
mkdir -p "$peers"
cd "$root/test/peers/tlog-go"
GOFLAGS=-mod=readonly go build -o "$peers/tlogcheck" .
export GOBIN="$peers"
go install github.com/transparency-dev/tessera/cmd/fsck@v1.0.4
go install filippo.io/torchwood/cmd/litewitness@v0.9.0
