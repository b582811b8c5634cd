#!/usr/bin/env bash
# Shows what the extensions do, in the real sqlite3 shell: tools/tour.txt says what.
#   tour.sh BUILD_FOLDER [name...]
# Scripts run in BUILD_FOLDER/tour, where they find ./weave and its siblings and ./fixtures, and
# where what they write stays; those with `-- shell:` commands, which are run first, in a folder of
# their own, as in the tests (test/runner/scene.h). Any error ends the tour with a non-zero status.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD=$(realpath "$1") ROOT=$root
export BUILD ROOT
mkdir -p "$1/tour"
cd "$1/tour"
shift

furnish() { # here
  ln -sfn "$root/fixtures" fixtures
  for library in "$BUILD"/*.so; do ln -sf "$library" .; done
}
furnish

commands() { sed '/^-- case: /q' "$1" | sed -n 's/^-- shell: //p'; } # of a script

# Into the empty folder beside what the commands of a script make.
enter_scene() { # script
  local scene command
  scene=$PWD/$(basename "$1" .sql)
  rm -rf "$scene"
  mkdir -p "$scene/case"
  cd "$scene"
  while read -r command; do
    printf '$ %s\n' "$command"
    eval "$command" < /dev/null
  done < <(commands "$1")
  cd case
  furnish
}

show() ( # script, options of the shell
  printf '\n\033[1m== %s\033[0m\n\n' "${1#"$root"/}"
  [[ -z $(commands "$1") ]] || enter_scene "$1"
  # shellcheck disable=SC2086
  sed '1,/^-- case: /{/^-- /d}' "$1" | sqlite3 -batch -bail $2 :memory:
)

shown=0
while read -r name pattern options; do
  [[ $name != \#* && -n $name ]] || continue
  [[ $# -eq 0 || " $* " == *" $name "* ]] || continue
  for script in "$root"/$pattern; do
    [[ -e $script ]] || continue
    show "$script" "$options"
    shown=$((shown + 1))
  done
done < "$root/tools/tour.txt"
if [[ $shown -eq 0 ]]; then
  echo "tour: nothing to show for: ${*:-everything}" >&2
  exit 1
fi
