#!/bin/sh
# Prints every source, golden and page with SQL in it, sorted: what there is to build and to test, so
# that a new file needs no entry in any list. `./run build` configures again when the answer changes.
set -eu
cd "$(dirname "$0")/.."
{
  for room in base sql vtab solver replay remote extensions test bench fixtures; do
    [ ! -d "$room" ] || find "$room" -type f \( -name '*.c' -o -name '*.expected' \)
  done
  find docs ./*.md -type f -name '*.md' -exec grep -l '^```sql' {} + | sed 's,^\./,,'
} | LC_ALL=C sort
