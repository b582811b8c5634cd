"""Random statements, to link tables and to STRICT ones: the same rows, changes and errors. Keys are
integers or texts, rows are written through to a table or in memory alone; transactions, savepoints
and conflict clauses come as they will.

usage: statements.py BUILD [CASES [SEED]]
"""
import pathlib
import random
import sqlite3
import sys
import tempfile

STEPS = 150
LOOK = "SELECT id, a, b, c, typeof(a), typeof(b), typeof(c) FROM {t} ORDER BY id"


class Maker:
    """Statements about {t}."""

    def __init__(self, seed, text):
        self.random = random.Random(seed)
        self.text = text

    def one(self, *choices):
        return self.random.choice(choices)

    def key(self):
        k = self.random.randrange(30)
        if self.text:
            return self.one(*[f"'k{k}'"] * 10, str(k), f"'{k}'", "''", f"'K{k}'", f"'é{k}'")
        return self.one(*[str(k)] * 10, f"'{k}'", f"{k}.0", str(-k), "9223372036854775807", "-9223372036854775808")

    def value(self):
        return self.one("NULL", "1", "2.5", "'x'", "'12'", "'3.5'", "x'0102'", "-7", "1e20", "''", "9223372036854775807",
                        "'1e3'", f"'long ' || hex(zeroblob({self.one(10, 100, 3000)}))")

    def condition(self):
        return self.term() if self.random.random() < .7 else f"({self.term()}) AND {self.term()}"

    def term(self):
        key, column = self.key, self.one(*"abc")
        return self.one(
            f"id = {key()}", f"id = {key()}", f"id IN ({', '.join(key() for _ in range(self.random.randrange(6)))})",
            f"id {self.one('<', '>', '<=', '>=', '<>')} {key()}",
            f"{column} {self.one('=', '<', 'IS', 'IS NOT', '>=')} {self.value()}", f"id BETWEEN {key()} AND {key()}",
            f"id = {key()} OR a = 1", "id IN (SELECT id FROM plain WHERE a IS NOT NULL)", "c LIKE '%x%'")

    def statement(self):
        key, value, condition, column = self.key, self.value, self.condition, self.one(*"abc")
        odd = self.one("x'00'", "1.5", "'abc'", "1e300") if self.random.random() < .07 else key()
        return self.one(
            *[f"INSERT {self.one('', '', 'OR IGNORE', 'OR REPLACE')} INTO {{t}}(id, a, b, c) "
              f"VALUES ({odd}, {value()}, {value()}, {value()})"] * 5,
            f"INSERT INTO {{t}} SELECT id || '0', a, b, c FROM plain WHERE {condition()}",
            *[f"UPDATE {self.one('', 'OR IGNORE')} {{t}} SET {column} = "
              f"{self.one(value(), 'a + 1', 'b * 2', 'id', 'NULL')} WHERE {condition()}"] * 3,
            f"UPDATE {{t}} SET id = {key()} WHERE id = {key()}",
            *[f"DELETE FROM {{t}} WHERE {condition()}"] * 2,
            self.one("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT s", "RELEASE s", "ROLLBACK TO s"),
            f"SELECT count(*), max(c), min(id) FROM {{t}} WHERE {condition()}",
            f"SELECT x.id, y.id FROM {{t}} x JOIN {{t}} y ON x.a = y.a WHERE y.id IN ({key()}, {key()}, {key()}) ORDER BY 1, 2",
            *[f"SELECT *, typeof(a), typeof(b), typeof(c) FROM {{t}} WHERE {condition()} "
              f"ORDER BY id {self.one('', 'DESC')} LIMIT {self.random.randrange(1, 40)}"] * 5)


def run(db, statement, table):
    """The rows, or None for an error."""
    try:
        return db.execute(statement.replace("{t}", table)).fetchall()
    except sqlite3.Error:
        return None


def differs(build, folder, seed):
    """What a case shows, or None."""
    text, stored = seed & 1, seed & 2
    columns = f"id {'TEXT' if text else 'INTEGER'} PRIMARY KEY, a INTEGER, b REAL, c TEXT"
    db = sqlite3.connect(f"{folder}/{seed}.db" if seed & 4 else ":memory:", isolation_level=None)
    db.enable_load_extension(True)
    db.load_extension(str(build / "link.so"))
    strict = columns.replace("TEXT PRIMARY KEY", "TEXT PRIMARY KEY NOT NULL")
    db.execute(f"CREATE TABLE plain({strict}) STRICT")
    db.execute(f"CREATE TABLE behind({strict}) STRICT")
    load = "load='SELECT id, a, b, c FROM behind WHERE id = ?', " if stored else ""
    # In the second case a slice's share is less than a row: all that nobody uses has to go at once.
    slices = "slices=1024, memory='64k'" if stored and seed & 8 else "slices=8"
    db.execute(f"CREATE VIRTUAL TABLE linked USING link({columns}, {load}{slices})")
    maker = Maker(seed, text)
    for step in range(STEPS):
        statement = maker.statement()
        if "{t}" not in statement:
            run(db, statement, "")
            continue
        found, wanted = run(db, statement, "linked"), run(db, statement, "plain")
        if "OR IGNORE" in statement and None in (found, wanted):
            return None  # rows before the one with a wrong type stay in an ordinary table, here they do not
        if found == wanted and step % 10 == 0:
            statement = LOOK
            found, wanted = run(db, LOOK, "linked"), run(db, LOOK, "plain")
        if found != wanted:
            return f"case {seed}, step {step}: {statement}\nlink  {found}\nplain {wanted}"
    db.close()
    return None


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    cases, first = (int(word) for word in (sys.argv[2:] + ["120", "1"][len(sys.argv) - 2:])[:2])
    wrong = []
    with tempfile.TemporaryDirectory(prefix="statements-") as folder:
        for seed in range(first, first + cases):
            wrong += filter(None, [differs(build, folder, seed)])
    for text in wrong[:5]:
        print("# " + text.replace("\n", "\n# ")[:2000])
    print(f"{'not ok' if wrong else 'ok'} 1 - {cases} cases of {STEPS} statements: link tables are like ordinary ones")
    print("1..1")
    sys.exit(bool(wrong))


main()
