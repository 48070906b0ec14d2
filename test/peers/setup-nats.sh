#!/bin/sh
# Puts two real NATS servers into .peers: Debian's (nats-debian) and the newest by Go (nats-newest). Needs apt and go.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
peers=${SPINE_PEERS_DIR:-$root/.peers}
mkdir -p "$peers"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
if [ ! -x "$peers/nats-debian" ]; then
  (cd "$work" && apt-get download nats-server >/dev/null && dpkg -x nats-server_*.deb "$work/deb")
  cp "$(find "$work/deb" -type f -name nats-server | head -n 1)" "$peers/nats-debian"
fi
if [ ! -x "$peers/nats-newest" ]; then
  GOBIN="$work/bin" go install github.com/nats-io/nats-server/v2@latest
  cp "$work/bin/nats-server" "$peers/nats-newest"
fi
"$peers/nats-debian" --version
"$peers/nats-newest" --version
