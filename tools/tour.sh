#!/usr/bin/env bash
# Shows what the extensions do, in the real sqlite3 shell: tools/tour.txt says what.
#   tour.sh BUILD_FOLDER [name...]
# Scripts run in BUILD_FOLDER/tour, where they find ./weave and its siblings and ./fixtures, and
# where what they write stays. Any error ends the tour with a non-zero status.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
mkdir -p "$1/tour"
cd "$1/tour"
shift
ln -sfn "$root/fixtures" fixtures
for library in ../*.so; do ln -sf "$library" .; done

show() { # script
  printf '\n\033[1m== %s\033[0m\n\n' "${1#"$root"/}"
  sqlite3 -batch -bail :memory: < "$1"
}

shown=0
while read -r name pattern; do
  [[ $name != \#* && -n $name ]] || continue
  [[ $# -eq 0 || " $* " == *" $name "* ]] || continue
  for script in "$root"/$pattern; do
    [[ -e $script ]] || continue
    show "$script"
    shown=$((shown + 1))
  done
done < "$root/tools/tour.txt"
if [[ $shown -eq 0 ]]; then
  echo "tour: nothing to show for: ${*:-everything}" >&2
  exit 1
fi
