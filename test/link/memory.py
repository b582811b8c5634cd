"""Rows that are in memory first, or alone (write='back', write='none'): nothing is lost while slices
are moved, while a process leaves, and, with 'back', when the last one that has it is killed after
it was written.

usage: memory.py BUILD
"""
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import time

ROWS, SLICES = 300, 64


def open_node(build, folder, me, write, more=""):
    db = sqlite3.connect(folder / "app.db", isolation_level=None, timeout=5)
    db.execute("PRAGMA journal_mode = WAL")
    db.enable_load_extension(True)
    db.load_extension(str(build / "link.so"))
    db.execute("CREATE TABLE IF NOT EXISTS cart(id INTEGER PRIMARY KEY, n INTEGER)")
    address = f"unix:{folder}/{me}.sock" if me else ""
    load = "load='SELECT id, n FROM cart WHERE id = ?'," if write == "back" else ""
    db.execute(f"""CREATE VIRTUAL TABLE temp.carts USING link(id INTEGER PRIMARY KEY, n INTEGER,
                   {load} write='{write}', op_add='n = n + ?1', deadline=10000, {more}
                   coord='local:{folder}/{write}.db', me='{address}')""")
    return db


def node(build, folder, me, write):
    """A process that owns rows until it is told to go."""
    db = open_node(build, folder, me, write)
    db.execute("SELECT * FROM carts WHERE id = 1").fetchall()
    print("here", flush=True)
    sys.stdin.readline()
    db.close()


def start(build, folder, me, write):
    process = subprocess.Popen([sys.executable, __file__, str(build), str(folder), str(me), write],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"here\n"
    return process


def leave(process):
    process.stdin.write(b"\n")
    process.stdin.flush()
    assert process.wait(30) == 0


def check(db, expected, when):
    rows = dict(db.execute("SELECT id, n FROM carts"))
    wrong = [(k, rows.get(k), expected.get(k)) for k in range(ROWS) if rows.get(k) != expected.get(k)]
    assert not wrong, (when, "all", wrong)
    for key in range(ROWS):
        found = db.execute("SELECT n FROM carts WHERE id = ?", (key,)).fetchone()
        assert (found and found[0]) == expected.get(key), (when, key, found, expected.get(key))


def change(db):
    """Some changes, and what the rows are then."""
    db.execute("BEGIN")
    db.executemany("INSERT INTO carts VALUES (?, ?)", [(i, i) for i in range(ROWS)])
    db.execute("COMMIT")
    db.execute("BEGIN")
    db.execute("UPDATE carts SET n = 0 WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8)")
    db.execute("ROLLBACK")
    db.execute("UPDATE carts SET n = n + 1 WHERE id < 100")
    for key in range(50):
        assert db.execute("SELECT link_call('carts', ?, 'add', 10)", (key,)).fetchone()[0] == key + 11
    db.execute("DELETE FROM carts WHERE id BETWEEN 200 AND 249")
    return {i: i + (i < 100) + 10 * (i < 50) for i in range(ROWS) if not 200 <= i < 250}


def move_all(db, folder, expected):
    for slice_number in range(SLICES):
        owner, = db.execute("SELECT owner FROM link_slices WHERE slice = ?", (slice_number,)).fetchone()
        other = 1 if owner.endswith("2.sock") else 2
        db.execute("SELECT link_move('carts', ?, ?)",
                   (slice_number, f"unix:{folder}/{other}.sock")).fetchall()
        key = slice_number * 3
        db.execute("UPDATE carts SET n = n + 1000 WHERE id = ?", (key,))
        expected[key] += 1000


def run(build, folder, write):
    first, second = (start(build, folder, me, write) for me in (1, 2))
    db = open_node(build, folder, 0, write)
    expected = change(db)
    check(db, expected, "changed")
    move_all(db, folder, expected)
    check(db, expected, "moved")
    try:
        db.execute("INSERT INTO carts VALUES (5, 5)")
        assert False, "a key is there twice"
    except sqlite3.IntegrityError:
        pass
    leave(first)
    check(db, expected, "one has left")
    if write == "none":
        leave(second)
    else:
        stored = sqlite3.connect(folder / "app.db")
        for _ in range(100):
            if dict(stored.execute("SELECT id, n FROM cart")) == expected:
                break
            time.sleep(0.05)
        assert dict(stored.execute("SELECT id, n FROM cart")) == expected, "it was written back"
        second.kill()
        second.wait()
        third = start(build, folder, 3, write)
        check(db, expected, "the last one was killed")
        leave(third)
    db.close()


def stat(db, name):
    return db.execute("SELECT value FROM link_stats WHERE name = ?", (name,)).fetchone()[0]


def run_stale(build, folder):
    """Copies of other processes' rows: as old as they may be, and no older."""
    owner = start(build, folder, 4, "none")
    reader = open_node(build, folder, 0, "none", "stale=500,")
    writer = open_node(build, folder, "", "none")
    writer.execute("INSERT INTO carts VALUES (1, 1)")
    question = "SELECT n FROM carts WHERE id = 1"
    assert reader.execute(question).fetchone() == (1,)
    asked = time.monotonic()
    before = stat(reader, "messages")
    seen = []
    for n in range(2, 30):
        writer.execute("UPDATE carts SET n = ? WHERE id = 1", (n,))
        written = time.monotonic()
        seen.append(reader.execute(question).fetchone()[0])
        assert seen[-1] == n or written - asked < 0.5 or stat(reader, "messages") > before, seen
    assert seen == sorted(seen) and stat(reader, "near") > 0, seen
    time.sleep(0.5)
    assert reader.execute(question).fetchone() == (29,)
    reader.execute("UPDATE carts SET n = 100 WHERE id = 1")
    assert reader.execute(question).fetchone() == (100,), "what we have changed is seen at once"
    reader.execute("SELECT link_call('carts', 1, 'add', 1)").fetchone()
    assert reader.execute(question).fetchone() == (101,)
    reader.close()
    writer.close()
    leave(owner)


def main():
    if len(sys.argv) > 2:
        node(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
        return
    build = pathlib.Path(sys.argv[1]).resolve()
    print("1..3")
    with tempfile.TemporaryDirectory() as folder:
        for number, write in enumerate(("none", "back"), 1):
            run(build, pathlib.Path(folder), write)
            print(f"ok {number} - write='{write}': nothing is lost", flush=True)
        run_stale(build, pathlib.Path(folder))
        print("ok 3 - copies are as old as they may be")


if __name__ == "__main__":
    main()
