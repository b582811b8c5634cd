"""Records and replays the programs of fixtures/omni/corpus.txt, one line of output for each.

    corpus.py [--tool OMNI] [--options TEXT] [--mark t|b|all] [--every N] [--only NAME] [--list]

OMNI is what has the commands `record -o DIR -- COMMAND` and `verify DIR`. Without it the programs are
run as they are, which tells whether the corpus itself is right. A line says `ok`, `refused` with a
reason (the recorder said that something is unsupported), `wrong` (everything else) or `absent` (no
such program here). Only `wrong` is a failure, and more than 2 % of refusals.
"""
import argparse
import os
import pathlib
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 120  # seconds for one command
MAIN = """#include <stdio.h>
#include <stdlib.h>
static int f(int a, int b) { return a * 31 + b; }
int main(int argc, char **argv) {
  int sum = 0, count = argc > 1 ? atoi(argv[1]) : 10;
  for (int i = 0; i < count; i++) sum = f(sum, i);
  printf("%d\\n", sum);
  return 0;
}
"""


class Line:
    def __init__(self, text):
        head, *rest = [part.strip() for part in re.split(r"\s::(?=\s|$)", text)]
        self.mark, self.name = head.split()
        self.setup, command = rest[0], rest[1]
        self.load = rest[2] if len(rest) > 2 else None
        match = re.match(r"=(\d+)\s+(.*)", command)
        self.status = int(match.group(1)) if match else 0
        self.command = match.group(2) if match else command


def read_corpus():
    text = (ROOT / "fixtures" / "omni" / "corpus.txt").read_text()
    return [Line(line) for line in text.split("\n") if line and not line.startswith("#")]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def make_inputs(folder):
    state, words = 1, []
    for _ in range(2000):
        state = (state * 1103515245 + 12345) % 2**31
        words.append("".join(chr(97 + (state >> shift) % 26) for shift in (4, 9, 14, 19)))
    (folder / "words").write_text("\n".join(words) + "\n")
    (folder / "numbers").write_text("\n".join(str(i * 7919 % 5003) for i in range(5000)) + "\n")
    (folder / "data").write_text(" ".join(words * 30))
    (folder / "main.c").write_text(MAIN)


def environment(folder):
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin", "HOME": str(folder),
            "TMPDIR": str(folder), "LC_ALL": "C.UTF-8", "TERM": "dumb"}


class Place:
    """A folder of its own, and processes that end with it."""

    def __init__(self, line):
        self.line, self.running = line, []
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="omni-"))
        self.work = self.folder / "work"
        self.work.mkdir()
        make_inputs(self.work)
        self.port = free_port()

    def start(self, argv):
        process = subprocess.Popen(argv, cwd=self.work, env=environment(self.work), text=True,
                                   errors="replace", stdin=subprocess.DEVNULL, start_new_session=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.running.append(process)
        return process

    def run(self, argv):
        process = self.start(argv)
        try:
            output, _ = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self.kill(process)
            return 124, f"still running after {LIMIT} s"
        return process.returncode, output

    def with_port(self, text):
        return text.replace("%P", str(self.port))

    def serve(self, argv):
        """Starts a server, loads it, asks it to end, and gives its status and output."""
        process = self.start(argv)
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        status, output = self.run(shlex.split(self.with_port(self.line.load)))
        if status:
            return status, "the load: " + output
        self.end(process)
        try:
            output, _ = process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            return 124, f"still running {LIMIT} s after it was asked to end"
        return 0, output

    def end(self, process):
        """The server is the one that listens: the recorder's only child, if there is a recorder."""
        children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children")
        mine = children.read_text().split() if children.exists() else []
        is_recorder = mine and process.args[0] == self.tool
        os.kill(int(mine[0]) if is_recorder else process.pid, signal.SIGTERM)

    tool = None
    options = []  # of `record`

    @staticmethod
    def kill(process):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.communicate()

    def leave(self):
        for process in self.running:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
            process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def last_line(text):
    lines = [line for line in text.strip().split("\n") if line.strip()]
    return lines[-1][:150] if lines else ""


def reason(text):
    """Why a recorder refuses, or None."""
    for line in text.split("\n"):
        if "unsupported" in line:
            return line.strip()[:150]
    return None


def play(place, line, argv, tool):
    command = argv if not tool else [tool, "record", "-o", str(place.folder / "rec"),
                                     *Place.options, "--"] + argv
    status, output = place.serve(command) if line.load else place.run(command)
    if tool and reason(output):
        return "refused", reason(output)
    if status != line.status:
        return "wrong", f"exit status {status}, not {line.status}: {last_line(output)}"
    if not tool:
        return "ok", ""
    status, output = place.run([tool, "verify", str(place.folder / "rec")])
    if status:
        return ("refused", reason(output)) if reason(output) else ("wrong", last_line(output))
    events = re.search(r"(\d+) events", output)
    return "ok", f"{events.group(1)} events" if events else last_line(output)


def missing(argv, path):
    """The program that is not here: the command, or the first word of what a shell is to run."""
    for name in [argv[0]] + (argv[2].split()[:1] if argv[:2] == ["bash", "-c"] else []):
        if re.fullmatch(r"[\w.+-]+", name) and not shutil.which(name, path=path) and not is_builtin(name):
            return name
    return None


def is_builtin(name):
    done = subprocess.run(["bash", "-c", 'type -t "$1"', "bash", name], capture_output=True, text=True)
    return done.stdout.strip() in ("builtin", "keyword", "function")


def judge(line, tool):
    place = Place(line)
    place.tool = tool
    try:
        argv = shlex.split(place.with_port(line.command))
        name = missing(argv, environment(place.work)["PATH"])
        if name:
            return "absent", name
        status, output = place.run(["bash", "-c", place.with_port(line.setup)])
        if status:
            return "wrong", "the set-up: " + last_line(output)
        return play(place, line, argv, tool)
    finally:
        place.leave()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool")
    parser.add_argument("--mark", default="all", choices=["t", "b", "all"])
    parser.add_argument("--options", default="")
    parser.add_argument("--every", type=int, default=1, help="one of so many programs")
    parser.add_argument("--only")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    Place.options = shlex.split(options.options)
    tool = os.path.abspath(options.tool) if options.tool else None
    if tool and not os.access(tool, os.X_OK):
        print(f"corpus: no program {options.tool}")
        return 1
    lines = [line for line in read_corpus()
             if options.mark in ("all", line.mark) and options.only in (None, line.name)]
    lines = lines[::options.every]
    if options.list:
        print("\n".join(line.name for line in lines))
        return 0
    totals = {"ok": 0, "refused": 0, "wrong": 0, "absent": 0}
    for line in lines:
        verdict, why = judge(line, tool)
        totals[verdict] += 1
        print(f"{verdict:8}{line.name:26}{why}", flush=True)
    print(f"{len(lines)} programs: " + ", ".join(f"{n} {what}" for what, n in totals.items()))
    played = len(lines) - totals["absent"]
    return 1 if totals["wrong"] or totals["refused"] * 50 > played or not played else 0


if __name__ == "__main__":
    sys.exit(main())
