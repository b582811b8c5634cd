#!/usr/bin/env bash
# Installs better-sqlite3 into the build folder, once, and runs host.mjs there. Compiling takes about
# a minute; without a network to npm's packages this fails.
#   node.sh BUILD_FOLDER SCRIPT_FOLDER NAME...
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
build=$(cd "$1" && pwd)
folder=$build/node
mkdir -p "$folder"
if ! cmp -s "$here/node/package.json" "$folder/package.json" || [[ ! -e $folder/installed ]]; then
  rm -f "$folder/installed"
  cp "$here/node/package.json" "$folder/"
  # The headers that belong to this node: beside it, or Debian's.
  prefix=$(dirname "$(dirname "$(readlink -f "$(command -v node)")")")
  [[ -e $prefix/include/node/node.h ]] || prefix=/usr
  (cd "$folder" && npm_config_nodedir=$prefix npm_config_build_from_source=true \
    npm install --no-audit --no-fund --no-package-lock --loglevel=error) > "$folder/install.log" 2>&1 || {
    tail -n 20 "$folder/install.log" | sed 's/^/# /'
    printf 'not ok 1 - better-sqlite3 can be installed\n1..1\n'
    exit 1
  }
  touch "$folder/installed"
fi
scripts=$(cd "$2" && pwd)
shift 2
cd "$folder"
exec node "$here/node/host.mjs" "$build" "$scripts" "$@"
