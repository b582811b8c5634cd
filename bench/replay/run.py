"""What two workers gain: a question about calls in a recording of some seconds, asked first and again.

Each question is answered by replay; nothing that was kept on disk is used. `first` is the first one
of a connection: one worker answers it, while the other one only makes the state in the middle, which
no worker can have before somebody has played there. Later ones are about other calls, and played in
halves: `few` about a hundred calls, `all` about every one, whose rows the host has to count alone.
`itself` is the program, not replayed, all of it and two halves at once: what the machine's two
processors were worth in the same minutes. Ratios are medians of the rounds' ratios.
Usage: run.py BUILD"""
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

ROUNDS = 7


def ask(library, recording, workers, calls):
    """Seconds of a connection's first question, and of the next, about few calls and about all."""
    db = sqlite3.connect(":memory:")
    db.enable_load_extension(True)
    db.load_extension(library)
    db.execute("SELECT omni_workers(?), omni_use(?)", [workers, recording])
    times = []
    for least in (0, calls - 100, 1, calls - 101, 2):
        shutil.rmtree(recording + "/answers", ignore_errors=True)
        begun = time.perf_counter()
        rows, = db.execute("SELECT count(*) FROM omni_calls WHERE func = 'step' AND a0 >= ?", [least]).fetchone()
        times.append(time.perf_counter() - begun)
        assert rows == calls - least
    db.close()
    return times[0], (times[1] + times[3]) / 2, (times[2] + times[4]) / 2


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


def print_line(name, what, times, native):
    one, two = (statistics.median(pair[i] for pair in times) for i in (0, 1))
    ratio = statistics.median(one / two for one, two in times)
    part = statistics.median(one / two / (all_of_it / halves) for (one, two), (all_of_it, halves) in zip(times, native))
    print(f"{name:24} {what:8} {one:7.2f}s {two:7.2f}s {ratio:5.2f}x {part:8.2f}", flush=True)


def main():
    library = os.path.join(os.path.abspath(sys.argv[1]), "omni.so")
    with tempfile.TemporaryDirectory(prefix="halves-") as folder:
        program = folder + "/subject"
        with open(program + ".c", "w") as file:
            file.write(PROGRAM)
        subprocess.run(["gcc", "-O1", "-o", program, program + ".c"], check=True)
        print(f"{'program':24} {'':8} {'one':>8} {'two':>8} {'ratio':>6} {'/ itself':>9}")
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
                    found[workers].append(ask(library, recording, workers, int(words[0])))
            print_line(name, "itself", native, native)
            for i, what in enumerate(("first", "few", "all")):
                print_line(name, what, [(one[i], two[i]) for one, two in zip(found[1], found[2])], native)


main()
