"""Going on in gdb's protocol, forwards and backwards, compared with omni's tables and with gdb in the program.

Breakpoints are the calls that omni_calls has, watches the writes of omni_writes, single instructions the rows of
omnitable and the steps of gdb; what was met forwards is met backwards in the opposite order, and every place has a
name that leads there again. Usage: walk.py OMNI.SO"""
import os
import re
import subprocess
import sys
import tempfile
import time

import shared
from shared import check, connect

library = os.path.abspath(sys.argv[1])
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "subjects", "remote.c")


class Remote:
    """The far side of gdb's `target remote`, without gdb."""

    def __init__(self, recording, moment):
        self.process = subprocess.Popen([library, "shell", recording, "--gdb", moment], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.ask("QStartNoAckMode")
        self.process.stdin.write(b"+")
        self.ask("qSupported:multiprocess+;swbreak+")

    def hear(self):
        while self.process.stdout.read(1) not in (b"$", b""):
            pass
        payload = b""
        while (byte := self.process.stdout.read(1)) not in (b"#", b""):
            payload += byte
        self.process.stdout.read(2)
        return payload.decode()

    def ask(self, text):
        payload = text.encode()
        self.process.stdin.write(b"$" + payload + b"#%02x" % (sum(payload) & 255))
        self.process.stdin.flush()
        answer = self.hear()
        while answer[:1] == "O" and answer != "OK":
            self.said = bytes.fromhex(answer[1:]).decode()
            answer = self.hear()
        return answer

    def registers(self):
        """All but the segments: what tells places from each other."""
        return self.ask("g")

    def rip(self):
        return int.from_bytes(bytes.fromhex(self.ask("p10")), "little")

    def tid(self, stop):
        return int(re.search(r"thread:p[0-9a-f]+\.([0-9a-f]+);", stop)[1], 16)

    def memory(self, addr, size):
        return bytes.fromhex(self.ask(f"m{addr:x},{size:x}"))

    def moment(self):
        return bytes.fromhex(self.ask("qRcmd,6d6f6d656e74")).decode().strip()

    def close(self):
        self.process.stdin.close()
        self.process.stdout.close()
        check(self.process.wait(timeout=60) == 0, "it ends")


def go_all(remote, packet):
    """Every stop that comes, with the registers there; on is over breakpoints as gdb does it."""
    found = []
    while True:
        stop = remote.ask(packet)
        if "replaylog" in stop or not stop.startswith("T"):
            return found, stop
        found.append((stop, remote.registers(), remote.rip()))


def over_breaks(remote, addrs):
    """Like go_all forwards, stepping off each breakpoint without it first."""
    found = []
    while True:
        stop = remote.ask("vCont;c")
        if "swbreak" not in stop:
            return found, stop
        found.append((stop, remote.registers(), remote.rip()))
        for addr in addrs:
            remote.ask(f"z0,{addr:x},1")
        stepped = remote.ask(f"vCont;s:p1.{remote.tid(stop):x}")
        if not stepped.startswith("T05"):
            return found, stepped
        for addr in addrs:
            remote.ask(f"Z0,{addr:x},1")


def check_breaks(db, recording, pid):
    calls = db.execute("SELECT moment, a0, tid FROM omni_calls WHERE func IN ('weigh', 'mix', 'work') ORDER BY seq").fetchall()
    calls = [call for call in calls if call[1] is not None]
    own = [row for row in calls if pid == db.execute("SELECT pid FROM omni_threads WHERE tid = ?", (row[2],)).fetchone()[0]]
    check(len(own) == 6 and len(calls) == 8, f"calls: {calls}")
    addrs = sorted({int(moment.split(":")[2], 16) for moment, _, _ in own})
    first = db.execute("SELECT min(ev) FROM omni_syscalls WHERE name = 'brk'").fetchone()[0]
    remote = Remote(recording, str(first))
    remote.ask("QPassSignals:14;")
    begin = remote.registers()
    for addr in addrs:
        check(remote.ask(f"Z0,{addr:x},1") == "OK", "a breakpoint")
    forwards, end = over_breaks(remote, addrs)
    check("replaylog:end" in end, f"the end: {end}")
    check([hex(rip) for _, _, rip in forwards] == [moment.split(":")[2] for moment, _, _ in own], f"breaks: {[s[0] for s in forwards]}, calls {own}")
    for (stop, _, _), (moment, _, tid) in zip(forwards, own):
        check(remote.tid(stop) == tid, f"{moment}: thread {stop}")
    backwards, begun = go_all(remote, "bc")
    check("replaylog:begin" in begun, f"the beginning: {begun}")
    check([s[1] for s in backwards] == [s[1] for s in reversed(forwards)], f"backwards: {[hex(s[2]) for s in backwards]}")
    # From the beginning again; each place by its name.
    again, _ = over_breaks(remote, addrs)
    check([s[1] for s in again] == [s[1] for s in forwards], "and once more")
    names = []
    for _ in own:
        remote.ask("bc")
        names.append(remote.moment())
    check(names == [moment for moment, _, _ in reversed(own)], f"names: {names}, calls {own}")
    remote.close()
    check(begin != "", "registers")


def check_watch(db, recording):
    writes = db.execute("SELECT old, new, moment, pid FROM omni_writes('total') ORDER BY seq").fetchall()
    pid = writes[0][3]
    writes = [row for row in writes if row[3] == pid and row[2]]
    addr = int(db.execute("SELECT value FROM omni_eval((SELECT moment FROM omni_calls WHERE func = 'mix'), '&total')").fetchone()[0])
    first = db.execute("SELECT moment FROM omni_calls WHERE func = 'weigh' LIMIT 1").fetchone()[0]
    remote = Remote(recording, first)
    remote.ask("QPassSignals:14;")
    check(len(writes) == 3, f"writes: {writes}")
    check(remote.ask(f"Z2,{addr:x},8") == "OK", "a watch")

    def value():
        return int.from_bytes(remote.memory(addr, 8), "little", signed=True)
    for old, new, _, _ in writes:
        stop = remote.ask("vCont;c")
        check(f"watch:{addr:x};" in stop and value() == new, f"forwards: {stop} {value()}, not {new}")
    stop = remote.ask("bc")
    check(f"watch:{addr:x};" in stop and value() == writes[-1][0], f"back over the last: {stop} {value()}")
    check(f"watch:{addr:x};" in remote.ask("vCont;c") and value() == writes[-1][1], "and on")
    check("replaylog:end" in remote.ask("vCont;c"), "no more writes")
    for old, new, moment, _ in reversed(writes):
        stop = remote.ask("bc")
        check(f"watch:{addr:x};" in stop and value() == old, f"backwards: {stop} {value()}, not {old}")
        check(remote.moment() == moment, f"backwards: {remote.moment()}, not {moment}")
    check("replaylog:begin" in remote.ask("bc"), "no more writes backwards")
    check(remote.ask(f"z2,{addr:x},8") == "OK" and remote.ask("Z3,0,1") == "" and remote.ask("Z2,0,ffffff") == "E01", "watches")
    remote.close()


def check_steps(db, recording, moment, count, program):
    """So many instructions forwards and back again."""
    remote = Remote(recording, moment)
    tid = int(moment.split(":")[1])
    places = [(remote.registers(), remote.rip())]
    for _ in range(count):
        stop = remote.ask(f"vCont;s:p1.{tid:x}")
        check(stop.startswith("T05"), f"{moment}: a step: {stop}")
        places.append((remote.registers(), remote.rip()))
    middle = remote.moment()
    there = Remote(recording, middle)
    check(there.registers() == places[-1][0], f"{moment}: {middle} leads elsewhere")
    there.close()
    check(remote.registers() == places[-1][0], f"{moment}: its name moved it")
    remote.ask(f"Hcp1.{tid:x}")
    for i in range(count - 1, -1, -1):
        stop = remote.ask("bs")
        check(stop.startswith("T05") and remote.registers() == places[i][0], f"{moment}: back to step {i}: {stop} {remote.rip():x}, not {places[i][1]:x}")
    remote.close()
    return [rip for _, rip in places]


def check_step_oracles(db, folder, recording):
    calls = [row[0] for row in db.execute("SELECT moment FROM omni_calls WHERE func IN ('weigh', 'work') ORDER BY seq")]
    for moment in calls[:2] + calls[4:5]:
        rips = check_steps(db, recording, moment, 60, None)
        if moment != calls[0]:
            continue
        done = subprocess.run(["gdb", "-nx", "-q", "-batch", "-ex", "break *weigh", "-ex", "run"] + ["-ex", "p/x $pc", "-ex", "stepi"] * 61 +
                              [folder + "/remote"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
        steps = [int(word, 16) for word in re.findall(r"^\$\d+ = (0x[0-9a-f]+)$", done.stdout, flags=re.M)]
        check(steps == rips, f"steps: {[hex(r) for r in rips]}, gdb has {[hex(s) for s in steps]}")
        own = db.execute("SELECT rip FROM omnitable WHERE func = 'weigh' AND ev = ? ORDER BY seq", (int(moment.split(":")[0]),)).fetchall()
        low = min(row[0] for row in own)
        high = max(row[0] for row in own)
        check([row[0] for row in own][:40] == [rip for rip in rips if low <= rip <= high][:40], "steps are not the rows of omnitable")


def check_calls(db, recording):
    """Over system calls, the beginning of a thread and a fork."""
    for name in ("write", "clone", "getppid", "wait4", "munmap"):
        row = db.execute("SELECT ev, tid FROM omni_syscalls WHERE name = ? ORDER BY ev DESC LIMIT 1", (name,)).fetchone()
        if not row:
            continue
        remote = Remote(recording, f"{row[0]}:{row[1]}")
        remote.ask(f"Hcp1.{row[1]:x}")
        after = remote.registers()
        places = [after]
        for i in range(12):
            stop = remote.ask("bs")
            check(stop.startswith("T05"), f"{name}: {i} back: {stop}")
            places.append(remote.registers())
            if i == 0:
                check(remote.memory(remote.rip(), 2) == b"\x0f\x05", f"{name}: before it is no system call")
        for i in range(11, -1, -1):
            stop = remote.ask(f"vCont;s:p1.{row[1]:x}")
            check(stop.startswith("T05") and remote.registers() == places[i], f"{name}: forwards to {i}: {stop}")
        remote.close()


def check_far(db, folder):
    """Back from behind a loop of which nothing is known but its end."""
    recording = folder + "/far.omni"
    subprocess.run([library, "record", "-o", recording, "--", folder + "/remote", "3000000"], check=True, capture_output=True)
    db.execute("SELECT omni_use(?)", (recording,))
    moment, caller = db.execute("SELECT moment, caller FROM omni_calls WHERE func = 'mix'").fetchone()
    remote = Remote(recording, moment)
    remote.ask(f"Z0,{caller:x},1")
    check("swbreak" in remote.ask("vCont;c") and remote.rip() == caller, "behind mix")
    before = remote.registers()
    stop = remote.ask("bs")
    check(stop.startswith("T05") and remote.memory(remote.rip(), 1) == b"\xc3", f"before the end of mix: {stop} {remote.rip():x} {getattr(remote, 'said', '')}")
    stop = remote.ask("vCont;s")
    check(remote.registers() == before, f"and on: {stop}")
    places = []
    for i in range(10):
        places.append(remote.registers())
        check(remote.ask("bs").startswith("T05"), "further back")
    check(remote.rip() < caller and remote.moment().count(":") == 3, f"within mix: {remote.rip():x} {remote.moment()}")
    for place in reversed(places):
        remote.ask("vCont;s")
        check(remote.registers() == place, "and on again")
    remote.close()


SPIN = r"""
#include <pthread.h>
#include <time.h>
static volatile unsigned long sums[2];
__attribute__((noinline)) static unsigned long add(unsigned long a, unsigned long b) { return a * 31 + b; }
static void *work(void *arg) {
  do {
    for (unsigned long i = 0; i < 100000000; i++) sums[(long)arg] = add(sums[(long)arg], i);
  } while (clock() < CLOCKS_PER_SEC);
  return 0;
}
int main(void) {
  pthread_t thread;
  pthread_create(&thread, 0, work, (void *)1L);
  work((void *)0L);
  pthread_join(thread, 0);
  return 0;
}
"""


def check_switches(db, folder):
    """Where a thread was made to give way, and before it, in a loop of millions of rounds.

    The loop goes on for a second of the processor: on any machine that is many times the time a thread has."""
    with open(folder + "/spin.c", "w") as file:
        file.write(SPIN)
    subprocess.run(["gcc", "-O1", "-pthread", "-o", folder + "/spin", folder + "/spin.c"], check=True)
    recording = folder + "/spin.omni"
    subprocess.run([library, "record", "-o", recording, "--", folder + "/spin"], check=True, capture_output=True)
    switches = db.execute("SELECT ev, tid FROM omni_events(?) WHERE kind = 'switch' ORDER BY ev LIMIT 3", (recording,)).fetchall()
    check(len(switches) == 3, f"switches: {switches}")
    for ev, tid in switches:
        remote = Remote(recording, f"{ev}:{tid}")
        remote.ask(f"Hgp1.{tid:x}")
        remote.ask(f"Hcp1.{tid:x}")
        places = []
        for _ in range(6):
            places.append(remote.registers())
            stop = remote.ask("bs")
            check(stop.startswith("T05") and remote.tid(stop) == tid, f"before switch {ev}: {stop} {getattr(remote, 'said', '')}")
            remote.ask(f"Hgp1.{tid:x}")
        for place in reversed(places):
            stop = remote.ask(f"vCont;s:p1.{tid:x}")
            remote.ask(f"Hgp1.{tid:x}")
            check(remote.registers() == place, f"up to switch {ev}: {stop}")
        remote.close()


def check_interrupt(folder):
    """Ctrl-C while it runs: it stands behind the last event, and goes on from there."""
    recording = folder + "/long.omni"
    subprocess.run([library, "record", "-o", recording, "--", folder + "/remote", "1000000000"], check=True, capture_output=True)
    remote = Remote(recording, "20")
    payload = b"vCont;c"
    remote.process.stdin.write(b"$" + payload + b"#%02x" % (sum(payload) & 255))
    remote.process.stdin.flush()
    time.sleep(0.2)
    remote.process.stdin.write(b"\x03")
    remote.process.stdin.flush()
    stop = remote.hear()
    check(stop.startswith("T02thread:"), f"interrupted: {stop}")
    check(re.fullmatch(r"\d+:\d+", remote.moment()), f"where: {remote.moment()}")
    check(remote.ask("vCont;s").startswith("T05"), "and a step")
    remote.close()


def check_signals(db, recording, pid):
    """It stops where a signal has come, unless it is to pass."""
    signals = db.execute("SELECT ev, name, tid FROM omni_signals WHERE pid = ? ORDER BY ev", (pid,)).fetchall()
    check([name for _, name, _ in signals] == ["SIGCHLD"], f"signals: {signals}")
    remote = Remote(recording, str(signals[0][0] - 20))
    stop = remote.ask("c")
    check(stop == f"T14thread:p{pid:x}.{signals[0][2]:x};" and remote.moment() == f"{signals[0][0]}:{signals[0][2]}", f"a signal: {stop} {remote.moment()}")
    check("replaylog:end" in remote.ask("c"), "and the end")
    remote.close()


def main():
    with tempfile.TemporaryDirectory(prefix="walk-") as folder:
        subprocess.run(["gcc", "-g", "-O0", "-pthread", "-o", folder + "/remote", SOURCE], check=True)
        recording = folder + "/run.omni"
        subprocess.run([library, "record", "-o", recording, "--", folder + "/remote"], check=True, capture_output=True)
        db = connect(library)
        db.execute("SELECT omni_use(?)", (recording,))
        pid = db.execute("SELECT pid FROM omni_processes WHERE parent IS NULL OR parent NOT IN (SELECT pid FROM omni_processes)").fetchone()[0]
        check_breaks(db, recording, pid)
        check_watch(db, recording)
        check_step_oracles(db, folder, recording)
        check_calls(db, recording)
        check_signals(db, recording, pid)
        check_interrupt(folder)
        check_far(db, folder)
        check_switches(db, folder)
        db.close()
    print(f"# {shared.compared} comparisons, {shared.failures} not as they should be")
    sys.exit(shared.failures > 0 or shared.compared < 200)


main()
