"""Python's sqlite3 module loads the extensions, twice.

usage: host.py BUILD_FOLDER SCRIPT_FOLDER NAME...
"""
import pathlib
import sqlite3
import sys

build, scripts, *names = sys.argv[1:]


def run(name):
    """What the last statement of the extension's script answers, and what it should."""
    path = pathlib.Path(scripts) / f"{name}.sql"
    script = path.read_text() if path.exists() else f"-- expect: 1\nSELECT {name}_version() IS NOT NULL;"
    expected = script.splitlines()[0].removeprefix("-- expect: ")
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.enable_load_extension(True)
        db.load_extension(f"{build}/{name}")
        db.enable_load_extension(False)
        last, statement = None, ""
        for line in script.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                row = db.execute(statement).fetchone()
                last, statement = row[0] if row else None, ""
        return str(last), expected
    finally:
        db.close()


def cache():
    """Python loads SQLite for its module alone; the hook that a cache of rows needs is found in it."""
    db = sqlite3.connect(":memory:", isolation_level=None)
    try:
        db.enable_load_extension(True)
        db.load_extension(f"{build}/multiverse")
        return db.execute("SELECT multiverse_cache(1000) ->> 'budget'").fetchone()[0]
    except sqlite3.Error as error:
        return str(error)
    finally:
        db.close()


failed = 0
for number, name in enumerate(names, 1):
    try:
        answers = [run(name), run(name)]
        why = "" if all(a == b for a, b in answers) else str(answers)
    except sqlite3.Error as error:
        why = str(error)
    failed += bool(why)
    print(f"{'not ok' if why else 'ok'} {number} - {name} in Python {sys.version.split()[0]}")
    if why:
        print(f"# {why}")
if "multiverse" in names:
    got = cache()
    failed += got != 1000
    print(f"{'ok' if got == 1000 else 'not ok'} {len(names) + 1} - multiverse_cache()\n# {got}")
print(f"1..{len(names) + ('multiverse' in names)}")
sys.exit(failed != 0)
