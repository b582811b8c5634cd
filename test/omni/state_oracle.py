"""Functions, stacks, registers and memory that omni tells, compared with what nm and gdb say.

gdb runs the program as it is; omni plays a recording of it. Both without address randomisation, so
that addresses of code and data are the same. Usage: state_oracle.py OMNI.SO"""
import json
import os
import re
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
long total;
unsigned seed = 7;
char words[64];
__attribute__((noinline)) long leaf(long a, long b) {
  total += a * 3 + b;
  words[a & 63] = (char)b;
  seed = seed * 1103515245 + 12345;
  return a ^ b;
}
__attribute__((noinline)) long deep(long n, long b) { return n > 0 ? deep(n - 1, b + n) + 1 : leaf(n, b); }
static long sort_key(long a) { return leaf(a, 1) & 15; }
static int compare(const void *a, const void *b) {
  return (int)(sort_key(*(const long *)a) - sort_key(*(const long *)b));
}
static void handler(int signal) { leaf(signal, -1); }
static void *work(void *arg) { return (void *)deep((long)arg, 5); }
int main(void) {
  long list[12];
  pthread_t thread;
  signal(SIGUSR1, handler);
  for (long i = 0; i < 12; i++) list[i] = (i * 7) % 12;
  for (long i = 0; i < 20; i++) deep(i % 9, i);
  qsort(list, 12, sizeof *list, compare);
  raise(SIGUSR1);
  pthread_create(&thread, NULL, work, (void *)6L);
  pthread_join(thread, NULL);
  printf("%ld\n", total);
  return 0;
}
"""

GDB = r"""
import gdb, json
def hit():
    # Of the program itself: [name, line, pc] of each function that was called, by its innermost
    # inlined place.
    frames, frame, line = [], gdb.newest_frame(), None
    while frame is not None:
        sal = frame.find_sal()
        line = (sal.line if sal.symtab else 0) if line is None else line
        if frame.type() != gdb.INLINE_FRAME:
            if gdb.solib_name(frame.pc()) is None:
                frames.append([frame.name(), line, int(frame.pc())])
            line = None
        frame = frame.older()
    regs = {r: int(gdb.parse_and_eval("(long)$" + r)) for r in ("rip", "rdi", "rsi")}
    memory = [int(gdb.parse_and_eval(e)) for e in ("total", "(long)seed")]
    words = bytes(gdb.selected_inferior().read_memory(int(gdb.parse_and_eval("(long)&words")), 64)).hex()
    where = [int(gdb.parse_and_eval("(long)&" + n)) for n in ("total", "seed", "words")]
    print("HIT " + json.dumps({"frames": frames, "regs": regs, "memory": memory, "words": words, "where": where}))
gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("handle SIGUSR1 nostop noprint pass")
gdb.execute("break *leaf")
gdb.execute("run > /dev/null")
while gdb.selected_inferior().pid:
    hit()
    gdb.execute("continue")
"""

def gdb_says(program, script):
    text = subprocess.run(["gdb", "-nx", "-batch", "-x", script, program], check=True, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=300).stdout
    return [json.loads(line[4:]) for line in text.splitlines() if line.startswith("HIT ")]


def compare_state(db, program, hits):
    """Of every call of leaf: the n-th one in both."""
    calls = db.execute("SELECT moment FROM omni_calls WHERE func = 'leaf' ORDER BY seq").fetchall()
    check(len(calls) == len(hits) > 30, f"{len(calls)} calls, gdb has {len(hits)}")
    compared = 0
    for (moment,), hit in zip(calls, hits):
        where = f"{program} {moment}: "
        frames = [list(frame) for frame in db.execute(
            "SELECT func, line, pc FROM omni_stack(?) WHERE module = ? AND func <> '_start' ORDER BY depth",
            [moment, program])]
        # gdb ends at main, or before _start, and has a name of its own for what the kernel calls.
        theirs = [frame for frame in hit["frames"] if frame[0] != "_start" and frame[2] < 1 << 47]
        check([f for f in theirs if f[0] != "<signal handler called>"] == frames,
              f"{where}stack is {frames}, gdb has {theirs}")
        compared += len(frames) * 3
        regs = dict(db.execute("SELECT name, value FROM omni_regs(?)", [moment]))
        for name, value in hit["regs"].items():
            check(regs[name] == value, f"{where}{name} is {regs[name]}, gdb has {value}")
            compared += 1
        for addr, size, value in zip(hit["where"], (8, 4), hit["memory"]):
            got = db.execute("SELECT value, data FROM omni_mem(?, ?, ?)", [moment, addr, size]).fetchone()
            check(got[0] == value, f"{where}memory at {addr:#x} is {got[0]}, gdb has {value}")
            compared += 1
        got = db.execute("SELECT hex(data) FROM omni_mem(?, ?, 64)", [moment, hit["where"][2]]).fetchone()
        check(got[0].lower() == hit["words"], f"{where}words are {got[0]}, gdb has {hit['words']}")
    return compared


def compare_functions(db, program):
    """The symbols of the program, and those that libc exports."""
    compared = 0
    libc = db.execute("SELECT path FROM omni_modules WHERE path GLOB '*/libc.so.6'").fetchone()[0]
    for path, options, extra in ((program, [], ""), (libc, ["-D", "--without-symbol-versions"], "")):
        text = subprocess.run(["nm", *options, path], check=True, text=True, capture_output=True).stdout
        theirs = set()
        for line in text.splitlines():
            found = re.match(r"([0-9a-f]+) ([Tti]) (\S+)$", line)
            if found:
                theirs.add((found[3], int(found[1], 16)))
        ours = set(db.execute("SELECT name, addr FROM omni_functions WHERE module = ?", [path]))
        missing = {f for f in theirs - ours if f[0] not in ("_fini", "_init")}
        check(not missing, f"{path}: nm has {sorted(missing)[:5]}, {len(missing)} in all")
        check(len(theirs) > 5, f"{path}: nm has {len(theirs)}")
        if path == program:
            named = {f for f in ours if not f[0].startswith("sub_") and not f[0].endswith("@plt")}
            check(named <= theirs, f"{path}: nm has not {sorted(named - theirs)[:5]}")
        compared += len(theirs)
    return compared


def main():
    library = os.path.abspath(sys.argv[1])
    compared = 0
    with tempfile.TemporaryDirectory(prefix="omni-state-") as folder:
        os.chdir(folder)
        with open("subject.c", "w") as file:
            file.write(PROGRAM)
        with open("hits.py", "w") as file:
            file.write(GDB)
        for level in ("-O0", "-O1", "-O2", "-O3"):
            program = os.path.join(os.path.realpath(folder), "subject" + level)
            subprocess.run(["gcc", "-g", level, "-pthread", "-o", program, "subject.c"], check=True)
            db = connect(library)
            db.execute("SELECT omni_record(?, ?, json('{\"stdout\": \"/dev/null\"}'))", [program + ".omni", program])
            db.execute("SELECT omni_use(?)", [program + ".omni"])
            compared += compare_state(db, program, gdb_says(program, "hits.py"))
            compared += compare_functions(db, program)
            db.close()
        os.chdir("/")
    print(f"# {compared} values compared, {shared.failures} not the same")
    sys.exit(shared.failures > 0 or compared < 1000)


main()
