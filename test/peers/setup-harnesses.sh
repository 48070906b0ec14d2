#!/bin/sh
# Installs into .peers (needs npm and network): agent harnesses as their makers publish them, whose hooks the tests exercise.
# Names of harnesses choose some; all by default.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
peers=${SPINE_PEERS_DIR:-$root/.peers}/harnesses
[ $# -gt 0 ] || set -- claude-code codex gemini-cli
for name in "$@"; do
  case $name in
    claude-code) package=@anthropic-ai/claude-code@2.1.332 ;;
    codex) package=@openai/codex@0.171.0 ;;
    gemini-cli) package=@google/gemini-cli@0.61.0 ;;
    *) echo "unknown harness $name" >&2; exit 2 ;;
  esac
  [ -e "$peers/$name/done-${package##*@}" ] && continue
  rm -rf "${peers:?}/$name"
  mkdir -p "$peers/$name"
  echo '{"private":true}' > "$peers/$name/package.json"
  npm install --prefix "$peers/$name" --no-audit --no-fund --no-save --loglevel=error "$package"
  touch "$peers/$name/done-${package##*@}"
done
