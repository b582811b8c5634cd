"""A COMMIT that finds the database locked, and more statements before the next one: what is committed at
last is what is in memory as well.

usage: busy.py BUILD
"""
import pathlib
import sqlite3
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import tap  # noqa: E402
from tap import check  # noqa: E402


def refused(db):
    try:
        db.execute("COMMIT")
    except sqlite3.OperationalError as why:
        return "locked" in str(why)
    return False


def both(db, table):
    """The row's number as the link table has it, and as the database does, if it has it."""
    linked = db.execute(f"SELECT n FROM {table} WHERE id = 1").fetchone()[0]
    stored = db.execute("SELECT n FROM stored WHERE id = 1").fetchone()[0]
    return (linked, stored) if table == "through" else (linked, linked)


def check_busy(db, reader, table, after, wanted, what):
    """The first COMMIT is refused, then comes `after`, then a COMMIT."""
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM stored").fetchall()
    db.execute("BEGIN")
    db.execute("INSERT INTO other VALUES(1)")
    db.execute("SAVEPOINT s")
    db.execute(f"UPDATE {table} SET n = 100 WHERE id = 1")
    check(refused(db), f"{table}: a COMMIT is refused")
    db.execute(after.format(table))
    reader.execute("COMMIT")
    if db.in_transaction:
        db.execute("COMMIT")
    found = both(db, table)
    check(found == (wanted, wanted), f"{table}: {what}", found)
    db.execute(f"UPDATE {table} SET n = 0 WHERE id = 1")
    check(both(db, table) == (0, 0), f"{table}: and it can be changed again", both(db, table))


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="tenfold-busy-") as folder:
        db, reader = (tap.connect(build / "link.so", f"{folder}/app.db", 0.05) for _ in range(2))
        db.executescript("""
            CREATE TABLE stored(id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO stored VALUES(1, 0);
            CREATE TABLE other(n);
            CREATE VIRTUAL TABLE through USING link(id INTEGER PRIMARY KEY, n INTEGER,
              load='SELECT id, n FROM stored WHERE id = ?');
            CREATE VIRTUAL TABLE alone USING link(id INTEGER PRIMARY KEY, n INTEGER);
            INSERT INTO alone VALUES(1, 0)""")
        for table in ("through", "alone"):
            check_busy(db, reader, table, "SELECT 1", 100, "the next one commits")
            check_busy(db, reader, table, "UPDATE {} SET n = 101 WHERE id = 1", 101, "what came later is what is left")
            check_busy(db, reader, table, "ROLLBACK TO s", 0, "what was taken back is gone")
            check_busy(db, reader, table, "ROLLBACK", 0, "all can be taken back")
        db.execute("BEGIN")
        db.execute("INSERT INTO alone VALUES(2, 2)")
        db.execute("DROP TABLE alone")
        db.execute("COMMIT")
        left = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'alone'").fetchone()
        check(left == (0,), "a table is dropped in the transaction that has changed it")
    print(f"1..{tap.done}")


main()
