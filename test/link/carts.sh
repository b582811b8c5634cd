#!/usr/bin/env bash
# A shop whose carts are objects in three processes, which are sqlite3 shells here. Each takes orders
# for any cart; the second one is killed, -9, in the middle of its work, and the others go on.
#   carts.sh BUILD_FOLDER local|etcd
# Makes ./shop: shop.db, and carts.sql, the table as every process declares it. Processes 1 and 3
# live until `UPDATE shop.door SET closed = 1`, or until ./shop is gone, for a minute at most.
set -euo pipefail
build=$1 coordinator=$2
mkdir shop
cd shop
# A library with sanitizers wants them in the program that loads it.
sanitizers=$(ldd "$build/link.so" | awk '/lib[a-z]*san\.so/ {print $3}' | paste -sd :)
shell=(env LD_PRELOAD="$sanitizers" ASAN_OPTIONS=detect_leaks=0 sqlite3 -batch)

case $coordinator in
local) coord=local:../shop/map.db ;;
etcd)
  port=$((20000 + $$ % 20000))
  url=http://127.0.0.1:$port
  timeout 90 etcd --data-dir etcd --unsafe-no-fsync --log-level error \
    --listen-client-urls "$url" --advertise-client-urls "$url" \
    --listen-peer-urls "http://127.0.0.1:$((port + 20000))" > etcd.log 2>&1 &
  etcd=$!
  until (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; do sleep 0.05; done
  coord="etcd:$url/shop?ttl=2"
  ;;
esac

"${shell[@]}" shop.db << 'SQL' > /dev/null
PRAGMA journal_mode = WAL;
CREATE TABLE cart(id TEXT PRIMARY KEY, total REAL, items TEXT);
INSERT INTO cart SELECT printf('c%02d', value), 0, '[]' FROM generate_series(0, 59);
CREATE TABLE taken("order" TEXT PRIMARY KEY); -- orders whose customers were told so
CREATE TABLE door(closed INTEGER);
INSERT INTO door VALUES (0);
SQL

cat > carts.sql << SQL
CREATE VIRTUAL TABLE temp.carts USING link(id TEXT PRIMARY KEY, total REAL, items TEXT,
  load='SELECT id, total, items FROM shop.cart WHERE id = ?',
  op_add='total = total + ?1, items = json_insert(items, ''\$[#]'', ?2)',
  coord='$coord', deadline=20000);
SQL

orders() { # of a process; then it lives on for a minute
  sed "s|, deadline|, me='unix:../shop/$1.sock', deadline|" carts.sql
  for i in {1..150}; do
    echo "SELECT 'order $1-$i' WHERE link_call('carts', printf('c%02d', $i * 7 % 60), 'add', 0.5, 'order $1-$i') > 0;"
  done
  echo "SELECT 'all';"
  for i in {1..300}; do
    [[ -e carts.sql ]] || break
    sleep 0.2
  done
}

serve() { exec "${shell[@]}" -cmd '.timeout 20000' -cmd ".load $build/link" -cmd "ATTACH 'shop.db' AS shop" :memory:; }

work() { # number; $! is the shell's
  orders "$1" | serve > "$1.log" 2> "$1.err" &
}

living() { { cat carts.sql; echo 'SELECT count(*) FROM link_nodes WHERE NOT me;'; } | serve; }

close_shop() {
  while [[ $(sqlite3 shop.db 'SELECT closed FROM door') == 0 && -e carts.sql ]]; do sleep 0.2; done
  rm -f carts.sql
  wait "${processes[@]}"
  [[ $coordinator != etcd ]] || kill "$etcd"
}

touch {1,2,3}.log
work 1
processes=($!)
work 3
processes+=($!)
work 2
victim=$!
until [[ $(wc -l < 2.log) -ge 40 ]]; do
  kill -0 $victim || { cat ./*.err; exit 1; } >&2
  sleep 0.01
done
kill -9 $victim
until grep -q all 1.log && grep -q all 3.log; do sleep 0.05; done
until [[ $(living) == 2 ]]; do sleep 0.1; done
cat ./*.err >&2
grep -h ^order ./*.log | sed "s/.*/INSERT INTO taken VALUES ('&');/" | sqlite3 -cmd '.timeout 20000' shop.db
close_shop > /dev/null 2>&1 < /dev/null &
