#!/usr/bin/env bash
# Makes the virtual environment with the Python reference of Reticulum that the interop tests talk to. Prints its folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
dir="${SPINE_PEERS_DIR:-$PWD/.peers}/rns-1.4.2"
if ! "$dir/bin/python" -c "import RNS, LXMF, serial, nacl" 2>/dev/null; then
  python3 -m venv "$dir"
  "$dir/bin/pip" install --quiet --disable-pip-version-check "rns==1.4.2" "lxmf==1.0.1" "pyserial==3.5" "pynacl==1.6.1"
fi
echo "$dir"
