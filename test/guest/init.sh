#!/bin/busybox sh
# What runs in a guest (guest.py): as `role=memory` a far memory and nothing else, as `role=client`
# the checks. Results are lines of TAP on the console. Commands are busybox's own.
/bin/busybox mount -t proc proc /proc # by which busybox finds itself
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir /dev/shm
exec < /dev/null > /dev/ttyS0 2>&1
# The modules' complaints belong into the log, not among the results.
echo 1 > /proc/sys/kernel/printk

role=$(sed -n 's/.*role=\([a-z]*\).*/\1/p' /proc/cmdline)
here=10.9.9.2
[ "$role" = client ] || here=10.9.9.1
at=$here:7877

end() {
  echo "end of $role"
  poweroff -f
}

give_up() { # why
  echo "not ok - $role: $1"
  end
}

while read -r module; do
  insmod "/modules/$module" || give_up "module $module"
done < /modules/order
ip link set lo up
ip link set eth0 up && ip addr add "$here/24" dev eth0 || give_up "no network"
/usr/bin/rdma link add rxe0 type rxe netdev eth0 || give_up "no RDMA device"

start_server() {
  /bin/farmemd --verbs "$at" --secret-file /secret --size 16M > /log 2>&1 &
  server=$!
  for i in $(seq 100); do
    grep -q ready /log && return
    sleep 0.1
  done
  cat /log
  give_up "the server does not start"
}

run() { # program...: which prints its own results
  "$@" || echo "not ok - $1 ended with $?"
}

# ---- the memory's machine

if [ "$role" = memory ]; then
  start_server
  echo "serving"
  while :; do sleep 1000; done
fi

# ---- the client's machine

sql() { # file
  sqlite3 -batch :memory: < "$1" 2>&1
}

# Without the library everything else works, and the error names it.
library=$(cat /librdmacm)
mv "$library" /hidden
sql /missing.sql > /told
if grep -q 'librdmacm.so.1' /told && grep -q '^still 4 here$' /told; then
  echo "ok - without librdmacm the extension loads, and says what is missing"
else
  sed 's/^/# /' /told
  echo "not ok - without librdmacm"
fi
mv /hidden "$library"

start_server
same() { # script, script with the same answers, what that shows
  sql "/$1.sql" > /one
  sql "/$2.sql" > /other
  if cmp -s /one /other && ! grep -q rror /other; then
    echo "ok - $3 ($(wc -l < /other) lines)"
  else
    diff /one /other | sed 's/^/# /'
    echo "not ok - $3"
  fi
}

same far plain "SQL by verbs answers as SQL on a table does"
same verbs shm "queues, vectors, histograms, counters and mutexes by verbs answer as in shared memory"
if sql /rounds.sql | grep -q '^rounds 1$'; then
  echo "ok - a list of keys is one round"
else
  sql /rounds.sql | sed 's/^/# /'
  echo "not ok - a list of keys"
fi
program() { # what it shows, program...
  what=$1
  shift
  "$@" > /out 2>&1 || echo "status $?" >> /out
  if grep -q '^ok' /out && ! grep -q 'not ok\|status' /out; then
    echo "ok - $what"
  else
    sed 's/^/# /' /out
    echo "not ok - $what"
  fi
}

program "maps by verbs, against an array" /bin/test-remote-map 60 1 "verbs:$at" secret
program "histories of four clients by verbs are linear" \
  /bin/test-remote-linear 6 1 "verbs:$at" secret
run /bin/guest-verbs check "$at" "$server" secret
run /bin/guest-verbs watch 10.9.9.1:7877 secret
end
