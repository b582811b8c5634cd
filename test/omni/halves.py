"""A recording that is played in two halves at once gives the rows that it gives as a whole.

The same questions, first and again, with one worker and with two: the same rows in the same order,
of one process with threads and signals, and of one that has children when half is over. The program
itself says what the rows must be. Usage: halves.py OMNI.SO"""
import contextlib
import os
import signal
import subprocess
import sys
import tempfile

import shared
from shared import check, connect

PROGRAM = r"""
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
static volatile unsigned long ticks, burn;
__attribute__((noinline)) long step(long n, long depth) {
  if (depth > 0) return step(n, depth - 1) + 1;
  for (int i = 0; i < 1200; i++) burn += (unsigned long)n;
  return n;
}
static void on_alarm(int number) { ticks += (unsigned long)number; }
static void *work(void *arg) {
  for (long i = 0; i < 300; i++) {
    step(-1 - i, 0);
    if (i % 50 == 0) usleep(1000);
  }
  return arg;
}
static void rounds(long from, long to) {
  for (long n = from; n < to; n++) {
    if (n % 4000 == 0) {
      printf("%ld\n", n);
      fflush(stdout);
    }
    step(n, n % 3);
  }
}
int main(int argc, char **argv) {
  const struct itimerval timer = {{0, 30000}, {0, 30000}};
  pthread_t thread;
  signal(SIGALRM, on_alarm);
  setitimer(ITIMER_REAL, &timer, NULL);
  pthread_create(&thread, NULL, work, NULL);
  if (argc > 1 && fork() == 0) {
    rounds(0, 200000);
    _exit(0);
  }
  /* One call stays open over half of the run: its return belongs to the second half. */
  rounds(0, 400000);
  pthread_join(thread, NULL);
  while (wait(NULL) > 0) {
  }
  return 0;
}
"""

QUESTIONS = (
    "SELECT seq, ev, tid, a0, a1, caller, moment FROM omni_calls WHERE func = 'step'",
    "SELECT seq, a0, ret, ret_ev FROM omni_calls WHERE func = 'step'",
    "SELECT seq, moment, a0 FROM omni_calls WHERE func = 'step' AND a1 = 2 AND a0 > 1000",
    "SELECT seq, func, moment, ret FROM omni_calls WHERE func IN ('main', 'rounds', 'work', 'on_alarm')",
    "SELECT seq, moment FROM omni_calls WHERE func = 'abort'",
    "SELECT seq, moment FROM omni_calls WHERE func = 'printf' AND ev > 100",
)

def connect_to(library, recording, workers=2):
    db = connect(library)
    db.execute("SELECT omni_workers(?)", [workers])
    db.execute("SELECT omni_use(?)", [recording])
    return db


def ask(db, recording, question):
    """By replay: what is kept on disk is removed."""
    subprocess.run(["rm", "-rf", recording + "/answers"], check=True)
    return db.execute(question).fetchall()


def left_behind():
    """Lines of ps of all that is alive under us, but ps itself."""
    lines = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], check=True, text=True, capture_output=True).stdout
    rows = [line.split(None, 2) for line in lines.splitlines()]
    parents = {pid: parent for pid, parent, _ in rows}
    found = []
    for pid, parent, args in rows:
        while parent in parents and parent != str(os.getpid()):
            parent = parents[parent]
        if parent == str(os.getpid()) and not args.startswith("ps "):
            found.append(f"{pid} {args}")
    return found


def helpers():
    """Processes of helpers that stay: two, where questions are answered in halves."""
    return [int(line.split()[0]) for line in left_behind() if line.endswith(" helper")]


def connect_halves(library, recording):
    """A connection that plays in halves from its next question on. Where half of the time lies is judged by the
    clock: when others have the processors, it may not be known at the first try."""
    for _ in range(5):
        before = len(helpers())
        db = connect_to(library, recording, 2)
        ask(db, recording, QUESTIONS[-1])  # makes the state in the middle
        if len(helpers()) == before + 2:
            return db
        db.close()
    check(False, f"nothing is played in halves: {left_behind()}")
    return connect_to(library, recording, 2)


def compare(library, recording, alone):
    one, two = connect_to(library, recording, 1), connect_to(library, recording)
    other = connect_halves(library, recording) if alone else connect_to(library, recording)
    for question in QUESTIONS:
        whole = ask(one, recording, question)
        first = ask(two, recording, question)
        again = ask(other, recording, question)
        check(first == whole, f"{question}: {len(whole)} rows, in halves {len(first)}")
        check(again == whole, f"{question}: {len(whole)} rows, in halves again {len(again)}")
    if alone:
        calls = ask(two, recording, "SELECT a0 FROM omni_calls WHERE func = 'step' AND a1 = 0 AND a0 >= 0 ORDER BY seq")
        check([a0 for a0, in calls] == list(range(400000)), f"{len(calls)} calls, as the program makes them")
    moment, = two.execute("SELECT moment FROM omni_calls WHERE func = 'step' AND a0 = 399999 AND a1 = 0").fetchone()
    value, = two.execute("SELECT value FROM omni_regs(?) WHERE name = 'rdi'", [moment]).fetchone()
    check(value == 399999, f"a moment after that has {value}")
    for db in (one, two, other):
        db.close()


def kill_idle(library, recording):
    """Helpers that stay are killed while nobody asks them anything: one of the two, the other, both."""
    number = iter(range(1000))
    with contextlib.closing(connect_to(library, recording, 1)) as db:
        whole = ask(db, recording, QUESTIONS[2])
    for which in (slice(0, 1), slice(1, 2), slice(0, 2)):
        with contextlib.closing(connect_halves(library, recording)) as db:
            for pid in helpers()[which]:
                os.kill(pid, signal.SIGKILL)
            for _ in range(2):  # each another question, for the connection keeps answers
                again = ask(db, recording, QUESTIONS[2] + f" AND a0 > {next(number)}")
                check(again == whole, f"after helpers were killed: {len(whole)} rows, then {len(again)}")
            check(len(helpers()) == 2, f"after helpers were killed: {left_behind()}")


def close_beside_child(library, recording):
    """A child of the host has copies of its sockets; helpers end all the same when the host closes."""
    db = connect_halves(library, recording)
    child = os.fork()
    if child == 0:
        signal.pause()
    db.close()
    check(not helpers(), f"a host with a child has closed: {left_behind()}")
    check(os.waitpid(child, os.WNOHANG) == (0, 0), "the child has ended")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def main():
    library = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="omni-halves-") as folder:
        with open(folder + "/subject.c", "w") as file:
            file.write(PROGRAM)
        program = os.path.realpath(folder) + "/subject"
        subprocess.run(["gcc", "-O1", "-pthread", "-o", program, program + ".c"], check=True)
        for words in ([], ["more"]):
            recording = f"{program}{len(words)}.omni"
            db = connect(library)
            db.execute("SELECT omni_record(?, ?" + ", ?" * len(words) + ", json('{\"stdout\": \"/dev/null\"}'))",
                       [recording, program, *words])
            db.close()
            compare(library, recording, not words)
        kill_idle(library, f"{program}0.omni")
        close_beside_child(library, f"{program}0.omni")
        check(not left_behind(), f"left behind: {left_behind()}")
    print(f"# {shared.compared} answers compared, {shared.failures} not the same")
    sys.exit(shared.failures > 0)


main()
