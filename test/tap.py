"""What test programs share that try one thing after the other: TAP, and connections with an extension."""
import sqlite3
import sys

done = 0


def check(fine, what, why=""):
    """The first one that is not so is the last."""
    global done
    done += 1
    print(f"{'ok' if fine else 'not ok'} {done} - {what}", flush=True)
    if not fine:
        print("# " + str(why).replace("\n", "\n# "))
        sys.exit(1)


def connect(library, path=":memory:", timeout=5):
    db = sqlite3.connect(path, isolation_level=None, timeout=timeout, check_same_thread=False)
    db.enable_load_extension(True)
    db.load_extension(str(library))
    return db
