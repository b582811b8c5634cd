"""farmemd --persist: what was committed outlives the server, however it ends, and a disk that is full
is an error that changes nothing and passes. In a mount namespace, whose small disks are nobody's.

usage: persist.py BUILD
"""
import pathlib
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from tap import check  # noqa: E402


class Server:
    def __init__(self, build, folder, memory, size="64M"):
        self.at, self.log = f"{folder}/{memory.name}.sock", tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen([build / "farmemd", "--listen", "unix:" + self.at, "--persist", memory,
                                       "--size", size, "--quiet"], stderr=self.log)
        until = time.monotonic() + 30
        while self.child.poll() is None and time.monotonic() < until and not pathlib.Path(self.at).exists():
            time.sleep(.01)

    def end(self, how=signal.SIGTERM):
        """Its status and what it said."""
        self.child.send_signal(how)
        status = self.child.wait(30)
        pathlib.Path(self.at).unlink(missing_ok=True)
        return status, self.said()

    def said(self):
        self.log.seek(0)
        return self.log.read()


def table(build, at):
    db = tap.connect(build / "far.so")
    db.execute(f"CREATE VIRTUAL TABLE t USING far_map(id INTEGER PRIMARY KEY, n INTEGER, body BLOB, at='unix:{at}')")
    return db


def test_restarts(build, folder):
    memory, known = folder / "kept", 0
    for how in (signal.SIGTERM, signal.SIGKILL, signal.SIGKILL, signal.SIGINT):
        server = Server(build, folder, memory)
        db = table(build, server.at)
        found = db.execute("SELECT count(*), coalesce(sum(n = 2 * id AND length(body) = id % 500), 0) FROM t").fetchone()
        check(found == (known, known), f"{known} rows are there, each whole", found)
        child = subprocess.Popen([sys.executable, __file__, build, "writer", server.at, str(known)],
                                 stdout=subprocess.PIPE, text=True)
        told = [child.stdout.readline() for _ in range(300)]
        status, said = server.end(how)
        told += child.stdout.readlines()
        child.wait()
        check(status == (0 if how != signal.SIGKILL else -9), f"{how.name} ends it", (status, said))
        known = int([word for word in told if word.strip()][-1])
        db.close()
        server = Server(build, folder, memory)
        found = table(build, server.at).execute("SELECT max(id) + 1 FROM t").fetchone()[0]
        check(found in (known, known + 1), "all that a client was told of are there, and at most the one it was not",
              (found, known))
        known = found
        server.end()


def write_rows(build, at, first):
    db = table(build, at)
    try:
        for i in range(first, first + 100000):
            db.execute("INSERT INTO t VALUES (?, ?, zeroblob(?))", (i, 2 * i, i % 500))
            print(i + 1, flush=True)
    except sqlite3.Error:
        pass


def small_disk(folder, size):
    disk = folder / ("disk-" + size)
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=" + size, "none", disk], check=True)
    return disk


def test_full_disk(build, folder):
    disk = small_disk(folder, "6M")
    server = Server(build, folder, disk / "memory")
    db = table(build, server.at)
    rows, why = 0, None
    while rows < 1000 and not why:
        try:
            db.execute("INSERT INTO t VALUES (?, 0, zeroblob(100000))", (rows,))
            rows += 1
        except sqlite3.Error as error:
            why = error
    check(why and why.sqlite_errorcode == sqlite3.SQLITE_FULL, "a full disk is SQLITE_FULL", repr(why))
    check("No space left" in str(why) and "bytes" in str(why), "... which says so", why)
    check(10 < rows < 60 and server.child.poll() is None, "... and the server lives", (rows, server.said()))
    found = db.execute("SELECT count(*), sum(length(body)) FROM t").fetchone()
    check(found == (rows, rows * 100000), "... with all rows there were", found)
    db.execute("DELETE FROM t WHERE id < 3")
    db.execute("INSERT INTO t VALUES (0, 0, zeroblob(100000))")
    check(True, "what is deleted makes room")
    subprocess.run(["mount", "-o", "remount,size=12M", disk], check=True)
    for i in range(1000, 1020):
        db.execute("INSERT INTO t VALUES (?, 0, zeroblob(100000))", (i,))
    check(db.execute("SELECT count(*) FROM t").fetchone()[0] == rows - 2 + 20, "a larger disk is used at once")
    server.end(signal.SIGKILL)


def test_small_disk(build, folder):
    server = Server(build, folder, small_disk(folder, "64k") / "memory")
    check(server.child.wait(30) == 1 and "No space left" in server.said(), "a disk too small to begin with is refused",
          server.said())


def test_other_files(build, folder):
    for name, bytes_in_it in (("short", b"x" * 100), ("other", b"SQLite format 3\0" * 4096), ("zero", bytes(1 << 20))):
        (folder / name).write_bytes(bytes_in_it)
        server = Server(build, folder, folder / name)
        check(server.child.wait(30) == 1 and name in server.said(), f"a file of something else is refused ({name})",
              server.said())
        check((folder / name).read_bytes() == bytes_in_it, "... and not changed")


def namespace():
    """The command that makes a mount namespace: a user's own, or root's, also in a chroot. None: neither can be had."""
    for more in (["--map-root-user"], [], ["--propagation", "unchanged"]):
        command = ["unshare", "--mount", *more]
        if subprocess.run([*command, "true"], stderr=subprocess.DEVNULL).returncode == 0:
            return command
    return None


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    if sys.argv[2:3] == ["writer"]:
        write_rows(build, sys.argv[3], int(sys.argv[4]))
        return
    inside = sys.argv[2:] == ["inside"]
    space = None if inside else namespace()
    if space:
        sys.exit(subprocess.run([*space, sys.executable, __file__, build, "inside"]).returncode)
    with tempfile.TemporaryDirectory(prefix="persist-") as name:
        folder = pathlib.Path(name)
        test_restarts(build, folder)
        test_other_files(build, folder)
        if inside:
            test_full_disk(build, folder)
            test_small_disk(build, folder)
            for disk in folder.glob("disk-*"):
                subprocess.run(["umount", disk], check=True)
        else:
            print(f"ok {tap.done + 1} - full disks # SKIP no mount namespace can be made here")
    print(f"1..{tap.done + (not inside)}")


main()
