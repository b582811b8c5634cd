#!/bin/sh
# Runs Debian's redis-server under what is named (a recorder, a debugger), with a few clients, in the
# present folder. One of them sends a script whose pattern backtracks.
#   slow.sh LAUNCHER...
set -e
cli() { redis-cli -s redis.sock "$@"; }
load() { redis-benchmark -s redis.sock -q -n 100 -c 5 -t set,get,incr,lpush > benchmark; }

"$@" redis-server --port 0 --unixsocket redis.sock --save '' --lua-time-limit 0 < /dev/null > server 2>&1 &
until [ "$(cli ping 2>&1)" = PONG ]; do sleep 0.05; done
load
printf '%s\n' 'client setname nightly-report' \
  "eval \"return string.find(string.rep('a', 20000), '.-b')\" 0" quit | cli > report &
load
wait $!
cli shutdown nosave
wait
