"""What two workers gain: a question about calls in a recording of some seconds, asked first and again.

Each question is answered by replay; nothing that was kept on disk is used. `first` is the first one
of a connection: one worker answers it, while the other one only makes the state in the middle, which
no worker can have before somebody has played there. `again` are later ones, about other calls, played
in halves. `itself` is the program, not replayed, all of it and two halves at once. Usage: run.py BUILD"""
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
static volatile unsigned long sum;
__attribute__((noinline)) static void step(long n, long work) {
  for (long i = 0; i < work; i++) sum += (unsigned long)n;
}
int main(int argc, char **argv) {
  const long calls = atol(argv[1]), work = atol(argv[2]), every = atol(argv[3]);
  for (long n = 0; n < calls; n++) {
    step(n, work);
    if (n % every == 0) {
      printf("%ld\n", n);
      fflush(stdout);
    }
  }
  return argc < 0;
}
"""

ROUNDS, AGAIN = 5, 3


def ask(library, recording, workers):
    """Seconds of the first question of a connection, and the median of the next."""
    db = sqlite3.connect(":memory:")
    db.enable_load_extension(True)
    db.load_extension(library)
    db.execute("SELECT omni_workers(?), omni_use(?)", [workers, recording])
    times = []
    for i in range(1 + AGAIN):
        shutil.rmtree(recording + "/answers", ignore_errors=True)
        begun = time.perf_counter()
        db.execute("SELECT count(*), sum(a0) FROM omni_calls WHERE func = 'step' AND a0 >= ?", [i]).fetchone()
        times.append(time.perf_counter() - begun)
    db.close()
    return times[0], statistics.median(times[1:])


def by_itself(program, words):
    """What two processors gain when nobody records or replays: all of the work, and two halves at once."""
    half = [str(int(words[0]) // 2), *words[1:]]
    times = []
    for parts in ([words], [half, half]):
        begun = time.perf_counter()
        running = [subprocess.Popen([program, *part], stdout=subprocess.DEVNULL) for part in parts]
        for one in running:
            one.wait()
        times.append(time.perf_counter() - begun)
    return times


def main():
    library = os.path.join(os.path.abspath(sys.argv[1]), "omni.so")
    with tempfile.TemporaryDirectory(prefix="halves-") as folder:
        program = folder + "/subject"
        with open(program + ".c", "w") as file:
            file.write(PROGRAM)
        subprocess.run(["gcc", "-O1", "-o", program, program + ".c"], check=True)
        print(f"{'program':24} {'':8} {'one':>8} {'two':>8} {'ratio':>6}")
        for name, words in (("computes, 2e6 calls", ["2000000", "3000", "40000"]),
                            ("makes system calls, 1e5", ["100000", "3000", "1"])):
            recording = program + ".omni"
            shutil.rmtree(recording, ignore_errors=True)
            subprocess.run([library, "record", "-o", recording, "--", program, *words], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            found, native = {1: [], 2: []}, []
            for _ in range(ROUNDS):
                native.append(by_itself(program, words))
                for workers in found:
                    found[workers].append(ask(library, recording, workers))
            one, two = (statistics.median(times[i] for times in native) for i in (0, 1))
            print(f"{name:24} {'itself':8} {one:7.2f}s {two:7.2f}s {one / two:5.2f}x")
            for i, when in enumerate(("first", "again")):
                one, two = (statistics.median(times[i] for times in found[w]) for w in (1, 2))
                print(f"{name:24} {when:8} {one:7.2f}s {two:7.2f}s {one / two:5.2f}x")


main()
