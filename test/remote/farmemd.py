"""farmemd as its operator sees it: what it counts, against what clients have done, and its file of
metrics for Prometheus, which is whole whenever it is read.

    farmemd.py BUILD_FOLDER
"""
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(sys.argv[1])
HERE = pathlib.Path(__file__).resolve().parent
PATIENCE = 30  # seconds: this is no test of speed
done = 0


def ok(what):
    global done
    done += 1
    print(f"ok {done} - {what}", flush=True)


def parse(text):
    """Prometheus' text format, no more of it than is written here: name to value."""
    values, types = {}, {}
    assert text.endswith("\n"), "cut off"
    for line in text.splitlines():
        if words := re.fullmatch(r"# HELP ([a-z_]+) \S.*\.", line):
            assert words[1] not in values
        elif words := re.fullmatch(r"# TYPE ([a-z_]+) (gauge|counter)", line):
            types[words[1]] = words[2]
        else:
            words = re.fullmatch(r'([a-z_]+)(\{version="[0-9.]+"\})? (\d+)', line)
            assert words and words[1] in types and words[1] not in values, line
            assert (types[words[1]] == "counter") == words[1].endswith("_total"), line
            values[words[1]] = int(words[3])
    assert all(name.startswith("farmemd_") for name in values)
    assert set(values) == set(types) and "farmemd_info" in values  # the last one
    return {name.removeprefix("farmemd_"): value for name, value in values.items()}


class Server:
    def __init__(self, folder, *options):
        self.at = f"unix:{folder}/socket"
        self.file = folder / "metrics" / "farmemd.prom"
        self.log = folder / "log"
        self.process = subprocess.Popen(
            [BUILD / "farmemd", "--listen", self.at, "--size", "16M", "--metrics", self.file, *options],
            stderr=open(self.log, "w"))
        self.until(lambda: "ready" in self.said())

    def said(self):
        return self.log.read_text()

    def until(self, so):
        end = time.monotonic() + PATIENCE
        while not so():
            assert time.monotonic() < end and self.process.poll() is None, self.said()
            time.sleep(0.01)

    def metrics(self):
        return parse(self.file.read_text())

    def now(self):
        """The metrics as they are after a signal: another file."""
        before = os.stat(self.file).st_ino, os.stat(self.file).st_mtime_ns
        self.process.send_signal(signal.SIGUSR1)
        self.until(lambda: (os.stat(self.file).st_ino, os.stat(self.file).st_mtime_ns) != before)
        return self.metrics()

    def until_counted(self, name, value):
        end = time.monotonic() + PATIENCE
        while (metrics := self.now())[name] != value:
            assert time.monotonic() < end, (name, metrics)
            time.sleep(0.02)
        return metrics

    def end(self):
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0


def connect(at):
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(str(BUILD / "far.so"))
    db.execute(f"CREATE VIRTUAL TABLE t USING far_map(id INTEGER PRIMARY KEY, b BLOB, at='{at}')")
    return db


def counters(server):
    at_first = server.metrics()
    assert at_first["up"] == 1 and at_first["clients"] == at_first["rounds_total"] == 0
    assert at_first["memory_size_bytes"] == 16 << 20
    databases = [connect(server.at) for _ in range(3)]
    for i, db in enumerate(databases):
        for j in range(20):
            db.execute("INSERT INTO t VALUES (?, zeroblob(20000))", (100 * i + j,))
        assert db.execute("SELECT count(*) FROM t WHERE id IN (0, 1, 2)").fetchone() == (3,)
    databases[0].execute("SELECT far_watch('t', 5), far_watch('t')")
    databases[1].execute("SELECT far_watch('t')")
    now = server.until_counted("watches", 3)
    stats = [db.execute("SELECT rounds, messages FROM far_stats").fetchone() for db in databases]
    assert now["rounds_total"] == sum(rounds for rounds, _ in stats)
    assert now["operations_total"] == sum(messages for _, messages in stats)
    assert now["clients"] == now["accepted_total"] == 3 and now["refused_total"] == 0
    assert now["received_bytes_total"] > 60 * 20000 and now["sent_bytes_total"] > 0
    used = now["memory_used_bytes"] - at_first["memory_used_bytes"]
    assert 60 * 20000 < used < 16 << 20 and used % 65536 == 0
    for db in databases:
        db.close()
    now = server.until_counted("clients", 0)
    assert now["buried_total"] == 3 and now["watches"] == 0 and now["leases_lost_total"] == 0
    line = [line for line in server.said().splitlines() if "rounds=" in line][-1]
    for name, short in [("rounds_total", "rounds"), ("memory_used_bytes", "memory_used")]:
        assert f" {short}={now[name]}" in line, line
    ok("counters, against what clients count")


def refused(server):
    before = server.now()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(server.at.removeprefix("unix:"))
        stranger.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert stranger.recv(100) == b""
    now = server.until_counted("refused_total", before["refused_total"] + 1)
    assert now["accepted_total"] == before["accepted_total"] + 1
    ok("who speaks no protocol is counted")


def silent(server):
    before = server.now()
    child = subprocess.Popen([sys.executable, __file__, BUILD, server.at], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"here\n"
    child.send_signal(signal.SIGSTOP)
    now = server.until_counted("leases_lost_total", before["leases_lost_total"] + 1)
    assert now["clients"] == 0 and now["buried_total"] == before["buried_total"] + 1
    child.kill()
    child.wait()
    ok("a lease that was lost is counted")


def by_itself(server):
    """Without a signal, and whole whenever it is read."""
    before, reads = os.stat(server.file).st_ino, 0
    end = time.monotonic() + PATIENCE
    while os.stat(server.file).st_ino == before:
        assert time.monotonic() < end
        server.metrics()
        reads += 1
    for _ in range(200):
        server.process.send_signal(signal.SIGUSR1)
        server.metrics()
    assert [path.name for path in server.file.parent.iterdir() if path.suffix == ".prom"] == [
        "farmemd.prom"]
    assert os.stat(server.file).st_mode & 0o777 == 0o644
    ok("the file is written anew by itself, and read whole")


def unwritable(server):
    """It goes on without, and says so once."""
    folder, away = server.file.parent, server.file.parent.with_name("away")
    folder.rename(away)
    for _ in range(3):
        lines = server.said().count("rounds=")
        server.process.send_signal(signal.SIGUSR1)
        server.until(lambda: server.said().count("rounds=") > lines)
    server.until(lambda: "--metrics" in server.said())
    away.rename(folder)
    assert server.now()["up"] == 1
    complaints = [line for line in server.said().splitlines() if "--metrics" in line]
    assert len(complaints) == 1 and str(server.file) in complaints[0], complaints
    assert "No such file" in complaints[0]
    ok("a folder that goes and comes does not end it")


def spins(server):
    """After each request it waits awake for the next one, and then it sleeps all the same."""
    def slept():
        text = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
        return int(re.search(r"^voluntary_ctxt_switches:\s*(\d+)", text, re.M)[1])

    def sleeps():
        return pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"

    db, before = connect(server.at), slept()
    for i in range(1000):
        db.execute("SELECT b FROM t WHERE id = ?", (i,)).fetchall()
    times = slept() - before
    assert times < 500 or len(os.sched_getaffinity(0)) == 1, times
    server.until(sleeps)
    db.close()
    wrong = subprocess.run([BUILD / "farmemd", "--spin", "10001"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "10001" in wrong.stderr, wrong
    ok("it waits awake after a request, and then sleeps")


def bad_paths(folder):
    for path, why in [(folder / "nowhere" / "x.prom", "No such file"),
                      (folder, "Is a directory"), (folder / "log" / "x", "Not a directory")]:
        told = subprocess.run(
            [BUILD / "farmemd", "--listen", f"unix:{folder}/other", "--size", "16M", "--metrics", path],
            capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert told.returncode == 1 and str(path) in told.stderr and why in told.stderr, told
        assert "ready" not in told.stderr
    assert not list(folder.parent.glob(f"{folder.name}.*")), "what was begun is left"
    ok("a file that cannot be written is named at once")


def helps():
    told = subprocess.run([BUILD / "farmemd", "--help"], capture_output=True, text=True, check=True)
    source = (HERE.parent.parent / "remote/farmemd/main.c").read_text()
    options = re.findall(r'\{"([a-z-]+)", (?:required|no)_argument', source)
    assert len(options) > 8 and all(f"--{option}" in told.stdout for option in options)
    assert all(len(line) <= 100 for line in told.stdout.splitlines())
    wrong = subprocess.run([BUILD / "farmemd", "--nothing"], capture_output=True, text=True,
                           check=False)
    assert wrong.returncode == 2 and "--help" in wrong.stderr
    ok("--help names every option")


def main():
    if len(sys.argv) > 2:  # a client that is about to be stopped
        db = connect(sys.argv[2])
        print("here", flush=True)
        time.sleep(PATIENCE)
        db.close()
        return
    with tempfile.TemporaryDirectory(prefix="tenfold-farmemd-") as name:
        folder = pathlib.Path(name)
        (folder / "metrics").mkdir()
        server = Server(folder, "--lease", "500", "--spin", "10000")
        try:
            counters(server)
            refused(server)
            silent(server)
            spins(server)
            by_itself(server)
            unwritable(server)
            bad_paths(folder)
            helps()
            server.end()
            last = server.metrics()
            assert last["up"] == last["clients"] == 0 and last["accepted_total"] > 4
            assert len(list((folder / "metrics").iterdir())) == 1
            ok("its end is told")
        finally:
            server.process.kill()
            server.process.wait()
    print(f"1..{done}")


if __name__ == "__main__":
    main()
