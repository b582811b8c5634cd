"""What the tests of omni share: counts of what was compared and what was not so, and a connection.

The counts are read as shared.compared and shared.failures; imported by name they would be copies."""
import sqlite3

SHOWN = 30  # failures that are told one by one
compared = failures = 0


def check(right, text):
    global compared, failures
    compared += 1
    if right:
        return
    failures += 1
    if failures <= SHOWN:
        print("# not so: " + text)


def connect(library):
    db = sqlite3.connect(":memory:")
    db.enable_load_extension(True)
    db.load_extension(library)
    return db
