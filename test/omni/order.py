"""Moments that are asked about in any order have the state that the program itself computes there.

The n-th call of step() has n as its argument, and the sum of all numbers before it in memory. Asked
forwards, backwards, to and fro: within one interval between two events and over many of them, in a
program of one thread and in one of several processes and threads. Usage: order.py OMNI.SO [SEED]"""
import os
import random
import sqlite3
import subprocess
import sys
import tempfile

import shared
from shared import check, connect

PROGRAM = r"""
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
volatile unsigned long sum, burn;
__attribute__((noinline)) void step(unsigned long n) { sum += n; }
static void *idle(void *arg) {
  char byte;
  if (read(*(int *)arg, &byte, 1) < 0) sum = 0;
  return NULL;
}
int main(int argc, char **argv) {
  int ends[2];
  pthread_t thread;
  if (argc > 1 && pipe(ends)) return 1;
  if (argc > 1) pthread_create(&thread, NULL, idle, &ends[0]);
  for (unsigned long n = 0; n < 4000; n++) {
    if (n % 100 == 0) {
      printf("%lu\n", n);
      fflush(stdout);
      for (int i = 0; i < 1000000; i++) burn += n;
    }
    if (argc > 1 && n == 1500 && fork() == 0) {
      for (unsigned long i = 0; i < 5; i++) step(1 << 20);
      return 0;
    }
    step(n);
  }
  if (argc > 1 && write(ends[1], "x", 1) == 1) pthread_join(thread, NULL);
  while (wait(NULL) > 0) {
  }
  return 0;
}
"""

def orders(chance):
    numbers = list(range(4000))
    some = chance.sample(numbers, 60)
    yield "forwards", sorted(some)
    yield "backwards", sorted(some, reverse=True)
    yield "shuffled", some
    yield "one interval", [2010, 2015, 2014, 2013, 2090, 2010, 2011, 2012, 2012, 2099, 2001]
    yield "to and fro", [n for pair in zip(sorted(some), sorted(some, reverse=True)) for n in pair]


def main():
    library = os.path.abspath(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
    print(f"# seed {seed}")
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="omni-order-") as folder:
        with open(folder + "/subject.c", "w") as file:
            file.write(PROGRAM)
        program = os.path.realpath(folder) + "/subject"
        subprocess.run(["gcc", "-g", "-O1", "-pthread", "-no-pie", "-o", program, program + ".c"], check=True)
        names = subprocess.run(["nm", program], check=True, text=True, capture_output=True).stdout
        where = next(int(line.split()[0], 16) for line in names.splitlines() if line.endswith(" sum"))
        for words in ([], ["more"]):
            recording = f"{program}{len(words)}.omni"
            for name, order in orders(chance):
                db = connect(library)
                if not os.path.exists(recording):
                    db.execute("SELECT omni_record(?, ?" + ", ?" * len(words) + ", json('{\"stdout\": \"/dev/null\"}'))",
                               [recording, program, *words])
                db.execute("SELECT omni_use(?)", [recording])
                moments = dict(db.execute("SELECT a0, moment FROM omni_calls WHERE func = 'step' AND a0 < 4000"))
                check(sorted(moments) == list(range(4000)), f"{len(moments)} calls of step()")
                for n in order:
                    rdi, = db.execute("SELECT value FROM omni_regs(?) WHERE name = 'rdi'", [moments[n]]).fetchone()
                    total, = db.execute("SELECT value FROM omni_mem(?, ?, 8)", [moments[n], where]).fetchone()
                    check((rdi, total) == (n, n * (n - 1) // 2), f"{name}, call {n}: argument {rdi}, sum {total}")
                wrong = moments[7].rsplit(":", 1)[0] + ":999999"
                try:
                    db.execute("SELECT * FROM omni_regs(?)", [wrong]).fetchall()
                    check(False, "a moment that does not come has registers")
                except sqlite3.OperationalError as error:
                    check("does not come" in str(error), str(error))
                rdi, = db.execute("SELECT value FROM omni_regs(?) WHERE name = 'rdi'", [moments[9]]).fetchone()
                check(rdi == 9, f"after that, {rdi}")
                db.close()
    print(f"# {shared.compared} values compared, {shared.failures} not the same")
    sys.exit(shared.failures > 0 or shared.compared < 300)


main()
