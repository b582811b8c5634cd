#!/bin/sh
# Money moves between accounts in shared memory, and each move is a line in a ledger, which is a file.
# Again and again the shell that moves some is killed, -9, a little later in its transaction than the
# one before.
#   killed.sh BUILD_FOLDER    makes shop.db here, and the accounts in shm:tour
set -eu
# A library with sanitizers wants them in the program that loads it.
sanitizers=$(ldd "$1/far.so" | awk '/lib[a-z]*san\.so/ {print $3}' | paste -sd :)
shell() {
  LD_PRELOAD=$sanitizers ASAN_OPTIONS=detect_leaks=0 sqlite3 -batch -bail -cmd ".load $1/far" shop.db
}

shell "$1" > /dev/null << 'SQL'
SELECT far_forget('shm:tour');
CREATE VIRTUAL TABLE account USING far_map(name TEXT(16) PRIMARY KEY, money INTEGER NOT NULL, last INTEGER, at='shm:tour', size='64M');
CREATE TABLE ledger(move INTEGER PRIMARY KEY, "from" TEXT, "to" TEXT, money INT);
INSERT INTO account SELECT printf('customer %03d', value), 100, 0 FROM generate_series(1, 200);
SQL

move=1
while [ $move -le 60 ]; do
  shell "$1" > /dev/null 2>&1 << SQL || true
BEGIN;
UPDATE account SET money = money - 7, last = $move WHERE name = 'customer 001';
UPDATE account SET money = money + 7, last = $move WHERE name = printf('customer %03d', 1 + $move);
INSERT INTO ledger VALUES ($move, 'customer 001', printf('customer %03d', 1 + $move), 7);
SELECT far_inject('dies', $move, 'shm:tour');
COMMIT;
SQL
  move=$((move + 1))
done
