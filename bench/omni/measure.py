"""What recording, replay and questions cost: one table, each row with its peer of the same run.

    measure.py BUILD_FOLDER [--rounds N] [--only PART,PART]     parts: record, calls, state

Medians of N rounds (5), in each of which everything runs once, in turn. What a peer does is done
with fewer calls where the same number would take hours, and told as calls a second. Times are of
the clock; the ratio of the CPU time that both took, with their children, stands beside the ratio:
where others use the machine it is the one to read. (Not for redis-server, which is told by what its
clients see.) The recorder and the program share a CPU, redis-benchmark takes the other one.
"""
import argparse
import functools
import os
import pathlib
import platform
import re
import resource
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

CALLS = 10_000_000
PROGRAM = """#include <stdio.h>
#include <stdlib.h>
__attribute__((noipa)) int f(int a, int b) { return a * 31 + b; }
__attribute__((noipa)) int never(int a, int b) { return a - b; }
int main(int argc, char **argv) {
  int sum = 0, count = atoi(argv[1]);
  for (int i = 0; i < count; i++) sum = f(sum, i);
  if (argc > 2) sum = never(sum, count);
  printf("%d\\n", sum);
  return 0;
}
"""
GDB = """import gdb
rows = []
class Probe(gdb.Breakpoint):
  def stop(self):
    rows.append((int(gdb.parse_and_eval('a')), int(gdb.parse_and_eval('b')), gdb.newest_frame().older().pc()))
    return False
gdb.execute('set pagination off')
Probe('f')
gdb.execute('run')
assert len(rows) == %d, len(rows)
"""


class Refused(Exception):
    """The machine does not let this peer run; the text says why."""


class Clock:
    """Seconds of the clock, and of CPUs by this process and its children."""

    def __init__(self):
        self.began, self.used = time.perf_counter(), self.now()

    @staticmethod
    def now():
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in both)

    def read(self):
        return time.perf_counter() - self.began, self.now() - self.used


def run(argv, **more):
    """What the clock says."""
    clock = Clock()
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, errors="replace", **more)
    took = clock.read()
    if done.returncode:
        lines = done.stderr.strip().split("\n")
        raise Refused(f"{os.path.basename(argv[0])}: {lines[-1][:120]}")
    return took


@functools.cache
def whole_sum():
    """a0 + a1 + 1 over all calls: registers of 32 bits, computed as the program does."""
    total = value = 0
    for i in range(CALLS):
        total += value + i + 1
        value = (value * 31 + i) % 2**32
    return total


class Bench:
    def __init__(self, build, rounds):
        self.build, self.rounds = build, rounds
        self.omni = build / "omni.so"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-omni-"))
        self.samples, self.refusals = {}, {}

    def take(self, name, measure, *arguments):
        if name in self.refusals:
            return
        try:
            self.samples.setdefault(name, []).append(measure(*arguments))
        except (Refused, OSError) as why:
            self.refusals[name] = str(why)

    def get(self, name, which=0):
        """The median of the clock, or of the CPU time."""
        return statistics.median(sample[which] for sample in self.samples[name])

    def recording(self, name):
        path = self.folder / (name + ".omni")
        shutil.rmtree(path, ignore_errors=True)
        return path

    def record(self, name, argv):
        return run([self.omni, "record", "-o", self.recording(name), "--"] + argv)

    def verify(self, name):
        return run([self.omni, "verify", self.folder / (name + ".omni")])

    # ---- recording and replay

    def prepare_programs(self):
        state, words = 1, []
        for _ in range(30000):
            state = (state * 1103515245 + 12345) % 2**31
            words.append("".join(chr(97 + (state >> shift) % 26) for shift in (4, 9, 14, 19)))
        text = self.folder / "text"
        text.write_text(" ".join(words * 200))
        self.programs = {
            "gzip": ["gzip", "-c", str(text)],
            "find": ["find", "/usr", "-newermt", "2100-01-01"],
            "dd": ["dd", "if=/dev/zero", "of=/dev/null", "bs=1", "count=1000000"],
        }
        self.few = {"find": self.programs["find"], "dd": self.programs["dd"][:-1] + ["count=20000"]}
        for argv in self.programs.values():
            run(argv)

    def serve(self, argv, log):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        server = subprocess.Popen(argv + ["redis-server", "--port", port, "--save", "", "--daemonize", "no"],
                                  cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while subprocess.run(["redis-cli", "-p", port, "ping"], capture_output=True).returncode:
                if time.monotonic() > deadline or server.poll() is not None:
                    raise Refused("redis-server: it does not answer")
                time.sleep(0.05)
            load = ["redis-benchmark", "-p", port, "-c", "5", "-n", "40000", "-t", "set,get", "-q"]
            took = run(load)
            subprocess.run(["redis-cli", "-p", port, "shutdown", "nosave"], capture_output=True)
            server.wait(timeout=120)
        finally:
            server.kill()
            server.wait()
        return took

    def measure_recording(self):
        for name, argv in self.programs.items():
            self.take(name, run, argv)
            self.take(name + " recorded", self.record, name, argv)
            self.take(name + " replayed", self.verify, name)
        for name, argv in self.few.items():
            self.take(name + " few", run, argv)
            self.take(name + " strace", run, ["strace", "-f", "-o", "/dev/null"] + argv)
        with open(self.folder / "log", "w") as log:
            self.take("redis", self.serve, [], log)
            self.take("redis recorded", self.serve,
                      [self.omni, "record", "-o", self.recording("redis"), "--"], log)
        self.take("redis replayed", self.verify, "redis")

    # ---- questions about calls

    def prepare_calls(self):
        (self.folder / "calls.c").write_text(PROGRAM)
        self.program = str(self.folder / "calls")
        run(["gcc", "-O1", "-g", "-o", self.program, str(self.folder / "calls.c")])
        self.record("calls", [self.program, str(CALLS)])

    # Arguments and caller of every call, by one aggregate: SQLite takes as long for an aggregate as for a column.
    all_columns = "sum(a0 + a1 + (caller > 0))"
    wanted = {"count(*)": lambda: CALLS, "sum(a1)": lambda: CALLS * (CALLS - 1) // 2, all_columns: whole_sum}

    def ask(self, where, expect, wanted=all_columns):
        path = self.folder / "calls.omni"
        connection = sqlite3.connect(":memory:", isolation_level=None)
        connection.enable_load_extension(True)
        connection.load_extension(str(self.omni.with_suffix("")))
        connection.execute("SELECT omni_use(?)", (str(path),))
        clock = Clock()
        row = connection.execute(f"SELECT {wanted} FROM omni_calls WHERE {where}").fetchone()
        used = clock.read()
        connection.close()  # the helper ends, and is counted
        took = used[0], clock.read()[1]
        if row[0] != (self.wanted[wanted]() if expect else None):
            sys.exit(f"omni_calls WHERE {where}: {row}")
        return took

    def ask_first(self, where, expect):
        shutil.rmtree(self.folder / "calls.omni" / "answers", ignore_errors=True)
        return self.ask(where, expect)

    def ask_kept(self, where, expect, wanted):
        """The second time; what the file system still has to write is not ours."""
        self.ask(where, expect, wanted)
        os.sync()
        return self.ask(where, expect, wanted)

    def ask_gdb(self, calls):
        script = self.folder / "probe.py"
        script.write_text(GDB % calls)
        return run(["gdb", "-q", "-nx", "-batch", "-x", str(script), "--args", self.program, str(calls)])

    def ask_perf(self, calls):
        data, event = str(self.folder / "perf.data"), "probe_calls:f"
        run(["perf", "probe", "-q", "-x", self.program, "--add", "f a=%di b=%si caller=$stack0"])
        try:
            took = run(["perf", "record", "-q", "-m", "4096", "-e", event, "-o", data, self.program, str(calls)])
            shown = subprocess.run(["perf", "script", "-i", data, "-F", "event"], capture_output=True, text=True)
            seen = shown.stdout.count("probe_calls:f")
            if seen != calls:
                raise Refused(f"perf: {seen} of {calls} calls arrived")
            return took
        finally:
            subprocess.run(["perf", "probe", "-q", "-d", event], capture_output=True)

    def ask_uftrace(self, calls):
        data = str(self.folder / "uftrace.data")
        shutil.rmtree(data, ignore_errors=True)
        clock = Clock()
        run(["uftrace", "record", "--no-event", "-P", "f", "-A", "f@arg1,arg2", "-d", data, self.program,
             str(calls)])
        shown = subprocess.run(["uftrace", "report", "-d", data], capture_output=True, text=True)
        if not re.search(rf"\b{calls}\s+f$", shown.stdout, re.M):
            raise Refused("uftrace: it lost calls")
        return clock.read()

    def ask_ltrace(self, calls):
        out = self.folder / "ltrace.out"
        took = run(["ltrace", "-o", str(out), "-x", "f", "-e", "", self.program, str(calls)])
        if sum(line.startswith("f(") for line in open(out)) != calls:
            raise Refused("ltrace: it lost calls")
        return took

    peers = {"gdb": ("ask_gdb", 3000), "perf": ("ask_perf", 100000), "uftrace": ("ask_uftrace", 2000000),
             "ltrace": ("ask_ltrace", 10000)}

    def measure_calls(self):
        self.take("calls", run, [self.program, str(CALLS)])
        self.take("no call", self.ask_first, "func = 'never'", 0)
        self.take("false", self.ask_first, "func = 'f' AND a1 = -1", 0)
        self.take("first", self.ask_first, "func = 'f'", CALLS)
        for wanted in self.wanted:
            self.take("kept " + wanted, self.ask_kept, "func = 'f'", CALLS, wanted)
        for name, (measure, calls) in self.peers.items():
            self.take(name + " start", getattr(self, measure), 1)
            self.take(name, getattr(self, measure), calls)

    def measure_floor(self):
        """What floor.c prints: ns a row that SQLite takes for the same questions by itself."""
        lines = self.output("omni-floor", str(CALLS))
        return {wanted: (float(clock), float(cpu)) for wanted, clock, cpu
                in re.findall(r"ns a row: (.*): (\S+) (\S+)$", lines, re.M)}

    def peer_rate(self, name, which):
        """Calls a second, without what the tool costs to start."""
        return self.peers[name][1] / max(self.get(name, which) - self.get(name + " start", which), 1e-9)

    # ---- stacks and states

    def measure_state(self):
        """What bench/replay/*.c print: they have rounds of their own."""
        frames = self.output("replay-unwind")
        self.frame = int(re.search(r"with registers and 64 KiB of stack\s+(\d+)", frames).group(1))
        self.libunwind = int(re.search(r"libunwind through ptrace, with its cache\s+(\d+)", frames).group(1))
        kept = re.findall(r"(\d+) MB:\s+(-?\d+) us to keep,\s+(-?\d+) us to go back", self.output("replay-checkpoint"))
        self.kept = [(int(size), int(keep)) for size, keep, _ in kept]

    def output(self, name, *arguments):
        ninja = ["ninja", "-C", self.build, "--quiet", f"test/bench-{name}"]
        subprocess.run(ninja, check=True, stdout=subprocess.DEVNULL)
        return subprocess.run([self.build / f"test/bench-{name}", *arguments], capture_output=True, text=True,
                              check=True).stdout


# ---- the table

def line(what, ours, peer="", ratio="", cpu="", target=""):
    print(f"{what:38}{ours:>12}{peer:>26}{ratio:>10}{cpu:>10}  {target}".rstrip(), flush=True)


def refused(bench, *names):
    for name in names:
        if name in bench.refusals:
            return bench.refusals[name]
    return None


def met(holds, text):
    return text + ("" if holds else "  MISSED")


def seconds(value):
    return f"{value:.2f} s"


def print_slower(bench, name, title, ours, peer, most):
    why = refused(bench, ours, peer)
    if why:
        line(title, "-", target=why)
        return
    a, b = bench.get(ours), bench.get(peer)
    cpu = "" if peer == "redis" else f"{bench.get(ours, 1) / bench.get(peer, 1):.2f}x"
    line(title, seconds(a), f"{name} {seconds(b)}", f"{a / b:.2f}x", cpu, met(a <= most * b, f"<= {most}x"))


def print_strace(bench, name):
    few, strace = name + " few", name + " strace"
    if refused(bench, few, strace):
        line("   over native: " + name, "-", target=refused(bench, few, strace))
        return
    times = [[bench.get(name + " recorded", which) / bench.get(name, which),
              bench.get(strace, which) / bench.get(few, which)] for which in (0, 1)]
    better = [theirs / ours for ours, theirs in times]
    line("   over native: " + name, f"{times[0][0]:.2f}x", f"strace {times[0][1]:.1f}x", f"{better[0]:.0f}x",
         f"{better[1]:.0f}x", met(better[0] >= 30, ">= 30x") if name == "dd" else "")


def print_recording(bench):
    for name, title, most in (("gzip", "gzip, 30 MB", 1.1), ("find", "find /usr", 1.6),
                              ("dd", "dd bs=1, 2,000,000 calls", 2.5),
                              ("redis", "redis-server, 80,000 req.", 2.0)):
        print_slower(bench, "native", "O2 record " + title, name + " recorded", name, most)
    for name in bench.few:
        print_strace(bench, name)
    for name, title, most in (("gzip", "gzip", 1.1), ("find", "find", 1.0), ("dd", "dd bs=1", 1.0)):
        print_slower(bench, "native", "O3 replay " + title, name + " replayed", name, most)
    print_slower(bench, "load", "O3 replay redis-server", "redis replayed", "redis", 1.0)


def print_calls(bench):
    ours = [CALLS / bench.get("first", which) for which in (0, 1)]
    line("O4 all calls of f(int, int), by SQL", f"{ours[0] / 1e6:.1f} M/s", f"{ours[1] / 1e6:.1f} M/s of CPU",
         target=met(ours[0] >= 5e6, ">= 5 M/s"))
    for name, title, least in (("gdb", "gdb, Python", 2500), ("perf", "perf, uprobe", 15), ("uftrace", "uftrace", 1),
                               ("ltrace", "ltrace", 0)):
        why = refused(bench, name, name + " start")
        if why:
            line("   than " + title, "", "-", target=why)
            continue
        rate = [bench.peer_rate(name, which) for which in (0, 1)]
        line(f"   than {title}, of {bench.peers[name][1]:,}", "", f"{rate[0]:,.0f} calls/s", f"{ours[0] / rate[0]:,.1f}x",
             f"{ours[1] / rate[1]:,.1f}x", met(ours[0] >= least * rate[0], f">= {least:,}x") if least else "")
    floor = bench.measure_floor()
    for wanted in bench.wanted:
        again = [bench.get("kept " + wanted, which) / CALLS * 1e9 for which in (0, 1)]
        title = "O5 again: " + wanted.replace(bench.all_columns, "O4's question")
        line(title, f"{again[0]:.0f} ns/row", f"{again[1]:.0f} ns of CPU", target=met(again[0] <= 60, "<= 60 ns"))
        line("   of which SQLite alone", f"{floor[wanted][0]:.0f} ns/row", f"{floor[wanted][1]:.0f} ns of CPU")
    false = [(bench.get("false", which) - bench.get("no call", which)) / CALLS * 1e9 for which in (0, 1)]
    line("O5 a test that is never true", f"{false[0]:.2f} ns/hit", f"{false[1]:.2f} ns of CPU",
         target=met(false[0] <= 2, "<= 2 ns"))


def print_state(bench):
    line("O6 a frame of a stack", f"{bench.frame / 1000:.2f} us", f"libunwind {bench.libunwind / 1000:.1f} us",
         f"{bench.libunwind / bench.frame:.1f}x", target=met(bench.frame <= 2000, "<= 2 us"))
    for size, keep in bench.kept:
        most = 1000 + 20 * size
        line(f"O6 a state kept, of {size} MB", f"{keep / 1000:.1f} ms",
             target=met(keep <= most, f"<= {most / 1000:.1f} ms"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="record,calls,state")
    options = parser.parse_args()
    only = options.only.split(",")
    bench = Bench(options.build, options.rounds)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = time.monotonic()
    try:
        if "record" in only:
            bench.prepare_programs()
        if "calls" in only:
            bench.prepare_calls()
        for _ in range(options.rounds):
            if "record" in only:
                bench.measure_recording()
            if "calls" in only:
                bench.measure_calls()
        line("", "omni", "peer", "ratio", "of CPU", "target")
        if "record" in only:
            print_recording(bench)
        if "calls" in only:
            print_calls(bench)
        if "state" in only:
            bench.measure_state()
            print_state(bench)
    finally:
        shutil.rmtree(bench.folder, ignore_errors=True)
    print(f"medians of {options.rounds} rounds, {time.monotonic() - began:.0f} s in all; {os.cpu_count()} CPUs, "
          f"Linux {platform.release()}. rr needs a performance counter, which this machine may not have.")


if __name__ == "__main__":
    main()
