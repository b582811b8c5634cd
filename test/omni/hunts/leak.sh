#!/bin/sh
# Runs Debian's jq under what is named, over forty numbers.
#   leak.sh LAUNCHER...
seq 40 > numbers
"$@" jq 'ltrimstr("x")' numbers > out 2> log
