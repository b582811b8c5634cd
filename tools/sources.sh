#!/bin/sh
# Prints every source, golden and page, sorted: what there is to build and to test, so that a new
# file needs no entry in any list. `./run build` configures again when the answer has changed.
set -eu
cd "$(dirname "$0")/.."
for room in base sql vtab solver replay remote extensions test bench fixtures docs README.md; do
  [ -e "$room" ] || continue
  find "$room" -name node_modules -prune -o -type f \
    \( -name '*.c' -o -name '*.expected' -o -name '*.md' \) -print
done | LC_ALL=C sort
