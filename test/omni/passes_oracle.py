"""What omni tells of lines, instructions and writes, compared with gcov and gdb.

gcov counts in the very run that is recorded; gdb runs the program again, with single steps and
watchpoints. Usage: passes_oracle.py OMNI.SO"""
import json
import os
import re
import subprocess
import sys
import tempfile

import shared
from shared import check, connect

PROGRAM = r"""
#include <stdio.h>
#include <string.h>
volatile int level = -3;
volatile short small;
volatile double ratio;
volatile struct { long a, b; } pair;
char words[40];
__attribute__((noinline)) long mix(long a, long b) {
  long r = a;
  while (b > 0) {
    r = r * 3 + b;
    if (r & 1)
      r ^= 5;
    b--;
  }
  return r;
}
__attribute__((noinline)) void done(void) { __asm__ volatile(""); }
int main(void) {
  long sum = 0;
  int i = 0;
  while (i < 11) {
    sum += mix(i, i % 4);
    level += i % 3 - 1;
    if (i % 5 == 0)
      small = (short)(small - 7);
    if (i % 7 == 0)
      ratio = ratio / 2 + i;
    pair.b = sum;
    i++;
  }
  done();
  memset(words, 'x', 30);
  strcpy(words + 3, "some words");
  printf("%ld %d %d %g %s\n", sum, level, small, ratio, words);
  return 0;
}
"""

STEPS = r"""
import gdb, json
REGS = "rip rax rbx rcx rdx rsi rdi rbp rsp r8 r9 r10 r11 r12 r13 r14 r15".split()
gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("break *mix")
gdb.execute("run > /dev/null")
block = gdb.block_for_pc(int(gdb.parse_and_eval("(long)&mix")))
low, high = block.start, block.end
frame_rsp = None
while gdb.selected_inferior().pid:
    values = [int(gdb.parse_and_eval("(long)$" + r)) for r in REGS]
    if not low <= values[0] < high:
        gdb.execute("continue", to_string=True)
        continue
    print("STEP " + json.dumps(values))
    gdb.execute("stepi", to_string=True)
"""

WATCH = r"""
import gdb, json
NAMES = ("level", "small", "ratio", "pair.b")
gdb.execute("set pagination off")
gdb.execute("set confirm off")
gdb.execute("set can-use-hw-watchpoints 0")  # virtual machines may have none that work
gdb.execute("break main")
gdb.execute("run > /dev/null")
gdb.execute("break done")
name = NAMES[WHICH]
print("AT " + json.dumps(int(gdb.parse_and_eval("(long)&(%s)" % name))))
last = gdb.parse_and_eval(name)
text = lambda v: float(v) if "double" in str(v.type) else int(v)
gdb.execute("watch " + name)
before = text(last)
while gdb.selected_inferior().pid:
    gdb.execute("continue", to_string=True)
    try:
        if gdb.selected_frame().name() == "done":
            break
        now = text(gdb.parse_and_eval(name))
    except gdb.error:
        break
    if now != before:
        print("WRITE " + json.dumps([before, now]))
        before = now
"""

def gdb_says(program, script, word):
    with open("script.py", "w") as file:
        file.write(script)
    text = subprocess.run(["gdb", "-nx", "-batch", "-x", "script.py", program], text=True, check=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=300).stdout
    return [json.loads(line[len(word) + 1:]) for line in text.splitlines() if line.startswith(word + " ")]


def record(library, program):
    db = connect(library)
    db.execute("SELECT omni_record(?, ?, json('{\"stdout\": \"/dev/null\"}'))", [program + ".omni", program])
    db.execute("SELECT omni_use(?)", [program + ".omni"])
    return db


def compare_lines(library, folder):
    """Every line with one statement, as often as gcov has counted it."""
    subprocess.run(["gcc", "-g", "-O0", "--coverage", "-o", "counted", "subject.c"], check=True)
    db = record(library, os.path.join(folder, "counted"))
    text = subprocess.run(["gcov", "-t", "counted-subject.gcda"], text=True, capture_output=True, check=True).stdout
    ours = dict(db.execute("SELECT line, count(*) FROM omni_lines_hit WHERE file = 'subject.c' GROUP BY line"))
    lines = 0
    for line in text.splitlines():
        found = re.match(r"\s*(\d+)\*?:\s*(\d+):(.*)", line)
        # At the head of a function or loop the compiler has code that gcov does not count.
        if found and not re.search(r"while|main|done|mix\(long|^}|return", found[3]):
            number = int(found[2])
            check(ours.get(number) == int(found[1]), f"line {number}: {ours.get(number)}, gcov has {found[1]}")
            lines += 1
    check(lines > 12, f"gcov has {lines} lines")
    db.close()


def compare_steps(db, program):
    """All registers at every instruction of the function; but for the stack's addresses, which
    depend on the environment."""
    theirs = gdb_says(program, STEPS, "STEP")
    ours = db.execute("SELECT rip, rax, rbx, rcx, rdx, rsi, rdi, rbp, rsp, r8, r9, r10, r11, r12, r13, r14, r15 "
                      "FROM omnitable WHERE func = 'mix' ORDER BY seq").fetchall()
    check(len(theirs) == len(ours) > 100, f"{program}: {len(ours)} instructions, gdb has {len(theirs)}")
    far = (1 << 64) - (1 << 40)
    for row, step in zip(ours, theirs):
        for i, (x, y) in enumerate(zip(row, step)):
            elsewhere = 0x7f0000000000 <= x < 0x800000000000 and 0x7f0000000000 <= y < 0x800000000000
            check(x == y or elsewhere, f"{program}: register {i} at {row[0]:#x} is {x}, gdb has {y}")
    whole = db.execute("SELECT count(*) FROM omnitable WHERE rip BETWEEN ? AND ?",
                       [min(r[0] for r in ours), max(r[0] for r in ours)]).fetchone()[0]
    check(whole == len(ours), f"{program}: {whole} instructions by address, {len(ours)} by name")


def compare_writes(db, program):
    for which, name in enumerate(("level", "small", "ratio", None)):
        script = WATCH.replace("WHICH", str(which))
        theirs = gdb_says(program, script, "WRITE")
        at = gdb_says(program, script, "AT")[0]
        if name:
            ours = db.execute("SELECT old, new FROM omni_writes(?)", [name])
        else:
            ours = db.execute("SELECT old, new FROM omni_writes(?, 8)", [at])
        ours = [list(row) for row in ours if row[0] != row[1]]
        check(ours == theirs and theirs, f"{program} {name or at}: {ours[:9]}, gdb has {theirs[:9]}")
    for moment, rip in db.execute("SELECT w.moment, r.value = w.pc FROM omni_writes('level') w, "
                                  "omni_regs(w.moment) r WHERE r.name = 'rip'"):
        check(rip == 1, f"{program}: moment {moment}")
    last = db.execute("SELECT m.value FROM omni_writes('small') w, omni_mem(w.moment, w.addr, 2) m "
                      "ORDER BY w.seq DESC LIMIT 1").fetchone()
    old = db.execute("SELECT old & 65535 FROM omni_writes('small') ORDER BY seq DESC LIMIT 1").fetchone()
    check(last == old, f"{program}: memory at the last write {last}, old {old}")


def main():
    library = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="omni-passes-") as folder:
        folder = os.path.realpath(folder)
        os.chdir(folder)
        with open("subject.c", "w") as file:
            file.write(PROGRAM)
        compare_lines(library, folder)
        for level in ("-O0", "-O2"):
            program = os.path.join(folder, "subject" + level)
            subprocess.run(["gcc", "-g", level, "-o", program, "subject.c"], check=True)
            db = record(library, program)
            compare_steps(db, program)
            compare_writes(db, program)
            db.close()
        os.chdir("/")
    print(f"# {shared.compared} values compared, {shared.failures} not the same")
    sys.exit(shared.failures > 0 or shared.compared < 1000)


main()
