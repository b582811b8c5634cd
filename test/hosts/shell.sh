#!/usr/bin/env bash
# Debian's sqlite3 shell loads the extensions, twice in one process.
#   shell.sh BUILD_FOLDER SCRIPT_FOLDER NAME...
set -uo pipefail
build=$1 scripts=$2
shift 2
done=0 failed=0

check() { # ok?, name, why
  done=$((done + 1))
  if [[ $1 == 0 ]]; then echo "ok $done - $2"; else
    failed=$((failed + 1))
    printf 'not ok %d - %s\n# %s\n' "$done" "$2" "$3"
  fi
}

for name; do
  script=$scripts/$name.sql
  expected=1 sql="SELECT ${name}_version() IS NOT NULL;"
  if [[ -e $script ]]; then
    expected=$(sed -n '1s/^-- expect: //p' "$script") sql=$(cat "$script")
  fi
  once=$(printf '.load %s/%s\n%s\n' "$build" "$name" "$sql")
  output=$(printf '%s\n.open :memory:\n%s\n' "$once" "$once" |
    sqlite3 -batch -bail :memory: 2>&1)
  status=$?
  last=$(tail -n 1 <<< "$output")
  [[ $status == 0 && $last == "$expected" ]]
  check $? "$name in the sqlite3 shell" "status $status, <$last> instead of <$expected>"
done
echo "1..$done"
exit $((failed > 0))
