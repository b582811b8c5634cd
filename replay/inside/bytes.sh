#!/bin/sh
# The loadable bytes of a program, as the numbers of an array in C.
set -eu
bytes=$(mktemp)
trap 'rm -f "$bytes"' EXIT
"$1" -O binary "$2" "$bytes"
od -An -v -tx1 "$bytes" | sed 's/ \(..\)/0x\1,/g'
