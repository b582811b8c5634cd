"""Answers that come byte by byte: of a server of far memory, and of another process that owns rows. Somebody
between them and us makes it so. What is asked ends at its deadline, or when the user interrupts it.

usage: trickle.py BUILD
"""
import pathlib
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from tap import check  # noqa: E402

PAUSE = .002  # an answer of some thousand bytes would take longer than the deadline


class Between:
    """Listens at one socket, and sends on what comes to another one, and back: at once, or slowly."""

    def __init__(self, path, real):
        self.slow, self.real = False, real
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            near, far = self.listener.accept()[0], socket.socket(socket.AF_UNIX)
            far.connect(self.real)
            threading.Thread(target=self.send_on, args=(near, far, False), daemon=True).start()
            threading.Thread(target=self.send_on, args=(far, near, True), daemon=True).start()

    def send_on(self, source, to, back):
        try:
            while some := source.recv(65536):
                if not (back and self.slow):
                    to.sendall(some)
                    continue
                for i in range(len(some)):
                    to.sendall(some[i:i + 1])
                    time.sleep(PAUSE)
            to.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def ask(db, table):
    try:
        return db.execute(f"SELECT * FROM {table} WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8)").fetchall()
    except sqlite3.Error as why:
        return str(why)


def check_slow(db, between, table, what):
    rows = ask(db, table)
    check(len(rows) == 8, f"{what}: rows", rows)
    between.slow = True
    said = ask(db, table)
    check("no answer in time" in said or "does not answer" in said, f"{what}: slow answers end at the deadline", said)
    between.slow = False
    check(ask(db, table) == rows, f"{what}: and the next question is answered", ask(db, table))
    between.slow = True
    timer = threading.Timer(.1, db.interrupt)
    timer.start()
    said = ask(db, table)
    timer.join()
    check("interrupt" in said, f"{what}: slow answers end when the user says so", said)
    between.slow = False
    check(ask(db, table) == rows, f"{what}: and the next question is answered again", ask(db, table))


def check_far(build, folder):
    server = subprocess.Popen([build / "farmemd", "--listen", f"unix:{folder}/real", "--size", "16M", "--quiet"],
                              stderr=subprocess.DEVNULL)
    while not pathlib.Path(f"{folder}/real").exists():
        time.sleep(.01)
    between = Between(f"{folder}/far", f"{folder}/real")
    db = tap.connect(build / "far.so")
    db.execute("CREATE VIRTUAL TABLE rows USING far_map(id INTEGER PRIMARY KEY, t TEXT(200), "
               f"at='unix:{folder}/far', deadline=400)")
    db.executemany("INSERT INTO rows VALUES (?, ?)", [(i, "x" * 150) for i in range(20)])
    check_slow(db, between, "rows", "far")
    db.close()
    server.kill()
    server.wait()


def open_link(build, folder, me):
    db = tap.connect(build / "link.so", f"{folder}/app.db")
    db.execute("CREATE VIRTUAL TABLE temp.rows USING link(id INTEGER PRIMARY KEY, t TEXT, deadline=400, "
               f"load='SELECT id, t FROM behind WHERE id = ?', coord='local:{folder}/map.db', me='{me}')")
    return db


def own(build, folder):
    """The other process: it owns all rows, until we have gone."""
    db = open_link(build, folder, f"unix:{folder}/1.sock")
    db.execute("SELECT * FROM rows WHERE id = 1").fetchall()
    print("here", flush=True)
    sys.stdin.read()
    db.close()


def check_link(build, folder):
    plain = sqlite3.connect(f"{folder}/app.db")
    plain.execute("PRAGMA journal_mode = WAL")
    plain.execute("CREATE TABLE behind(id INTEGER PRIMARY KEY, t TEXT)")
    plain.executemany("INSERT INTO behind VALUES (?, ?)", [(i, "x" * 150) for i in range(20)])
    plain.commit()
    plain.close()
    owner = subprocess.Popen([sys.executable, __file__, build, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    owner.stdout.readline()
    pathlib.Path(f"{folder}/1.sock").rename(f"{folder}/owner")
    between = Between(f"{folder}/1.sock", f"{folder}/owner")
    db = open_link(build, folder, "")
    check_slow(db, between, "rows", "link")
    db.close()
    owner.stdin.close()
    owner.wait()


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    if len(sys.argv) > 2:
        own(build, sys.argv[2])
        return
    with tempfile.TemporaryDirectory(prefix="tenfold-trickle-") as folder:
        check_far(build, folder)
        check_link(build, folder)
    print(f"1..{tap.done}")


main()
