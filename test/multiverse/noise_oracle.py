"""Counts with noise, recomputed from what was written, and from the secret.

    python3 test/multiverse/noise_oracle.py BUILD [WRITES [SEED]]

A connection without the extension writes at random to a table that is counted: rows come, go, move
and are replaced, in transactions, savepoints and statements that fail. What a universe then shows is
compared with a model that knows nothing of triggers: the ticks and what each of them counted, summed
node by node, with noise of the papers' algorithms, written a second time here. Then whether the noise
is distributed as it should be, by a fixed secret, and how large it is.
"""
import copy
import hashlib
import math
import os
import random
import sqlite3
import struct
import sys
import tempfile
from fractions import Fraction

TOKEN = "a token of the host"
ONE = 10**6


# ---- noise, a second time

def words(secret, message):
    """BLAKE2b under the secret, of the message and a counter, as numbers of 64 bits."""
    block = 0
    while True:
        data = hashlib.blake2b(message + block.to_bytes(8, "little"), digest_size=64, key=secret).digest()
        yield from struct.unpack("<8Q", data)
        block += 1


def uniform(stream, n):
    limit = 2**64 // n * n
    while (word := next(stream)) >= limit:
        pass
    return word % n


def happens(stream, p, q):
    """With the probability exp(-p/q): von Neumann's alternating series."""
    k = 1
    while uniform(stream, q * k) < p:
        k += 1
    return k % 2 == 1


def laplace(stream, t, s):
    while True:
        u = uniform(stream, t)
        if not happens(stream, u, t):
            continue
        v = 0
        while happens(stream, 1, 1):
            v += 1
        y = (u + t * v) // s
        if next(stream) & 1:
            if y:
                return -y
        else:
            return y


def cut(first, length, wanted):
    """The largest nodes of the tree over length ticks that hold the first `wanted` of them."""
    if wanted == length:
        return [(first, length)]
    half = length // 2
    if wanted <= half:
        return cut(first, half, wanted) if wanted else []
    return [(first, half)] + cut(first + half, half, wanted - half)


def nodes(tick):
    """(first, length, k of the segment, is it the whole segment) of what ticks 1 to `tick` are."""
    out, first = [], 1
    while first <= tick:
        k = first.bit_length() - 1
        held = min(first, tick - first + 1)
        out += [(at, length, k, length == first) for at, length in cut(first, first, held)]
        first *= 2
    return out


def encode(key):
    out = b""
    for value in key:
        if isinstance(value, int):
            out += struct.pack("<Bq", 1, value)
        elif isinstance(value, float):
            out += struct.pack("<Bd", 2, value)
        else:
            data = value.encode() if isinstance(value, str) else value
            out += struct.pack("<BQ", 3 if isinstance(value, str) else 4, len(data)) + data
    return out


def noise(secret, nonces, key, node, epsilon, most):
    first, length, k, whole = node
    last = first + length - 1
    level = length.bit_length() - 1
    message = encode(key) + struct.pack("<QQ", level, last) + nonces[last]
    shares = 2 if whole else 1
    return laplace(words(secret, message), 2 * most * (k + 2) * ONE, shares * epsilon)


# ---- the model

def whole(value):
    return int(value) if isinstance(value, float) and value == int(value) else value


def stored(value, kind):
    """As a column of that type stores it."""
    if kind == "TEXT" and isinstance(value, float):
        text = f"{value:.15g}"
        return text if "." in text else text + ".0"
    if kind == "TEXT" and isinstance(value, int):
        return str(value)
    if kind in ("INT", "REAL") and isinstance(value, str):
        try:
            return whole(float(value))
        except ValueError:
            return value
    if kind == "REAL" and isinstance(value, int):
        return int(float(value))
    return whole(value)


class Conflict(Exception):
    pass


class Model:
    def __init__(self, kind, by, most, recursive):
        self.kind, self.by, self.most, self.recursive = kind, by, most, recursive
        self.rows, self.counted, self.used, self.ticks = {}, {}, {}, []

    def should(self, at):
        """(unit, key) under which the row is to be counted, or None."""
        row = self.rows.get(at)
        if row is None or row["draft"] is None or row["draft"]:
            return None
        key = tuple(row[name] for name in self.by)
        return None if row["patient"] is None or None in key else (row["patient"], key)

    def tick(self, touched, fresh=None):
        deltas = []
        for at in sorted(set(touched)):
            if at in self.counted and self.counted[at] != self.should(at):
                deltas.append((self.counted.pop(at)[1], -1))
        want = self.should(fresh) if fresh is not None else None
        if want and fresh not in self.counted and self.used.get(want[0], 0) < self.most:
            self.counted[fresh] = want
            self.used[want[0]] = self.used.get(want[0], 0) + 1
            deltas.append((want[1], 1))
        self.ticks.append(deltas)

    def clear(self, row, conflict, but=None):
        """Rows that are in the new one's way; the ids of those that REPLACE has deleted."""
        gone = [at for at, other in self.rows.items() if at != but and
                (at == row["id"] or row["code"] is not None and other["code"] == row["code"])]
        if gone and conflict != "REPLACE":
            raise Conflict
        for at in gone:
            del self.rows[at]
            if self.recursive:
                self.tick([at])
        return gone

    def insert(self, row, conflict):
        row = dict(row, zip=stored(row["zip"], self.kind), patient=whole(row["patient"]))
        if row["id"] is None:
            row["id"] = max(self.rows, default=0) + 1
        gone = self.clear(row, conflict)
        self.rows[row["id"]] = row
        self.tick(gone + [row["id"]], row["id"])

    def update(self, at, change, conflict):
        row = dict(self.rows[at], **change)
        row["zip"] = stored(row["zip"], self.kind)
        row["patient"] = whole(row["patient"])
        gone = self.clear(row, conflict, at)
        del self.rows[at]
        self.rows[row["id"]] = row
        self.tick(gone + [at, row["id"]], row["id"])

    def delete(self, at):
        del self.rows[at]
        self.tick([at])

    def exact(self, key):
        return sum(d for deltas in self.ticks for k, d in deltas if k == key)

    def released(self, key, secret, nonces, epsilon):
        total = 0
        for node in nodes(len(self.ticks)):
            part = self.ticks[node[0] - 1:node[0] - 1 + node[1]]
            total += sum(d for deltas in part for k, d in deltas if k == key)
            total += noise(secret, nonces, key, node, epsilon, self.most)
        return total


# ---- worlds

ZIPS = [1, 2, 2.0, 2.5, "2", "x", "", None, b"x", 2**53 + 1, float(2**53)]
ASKED = [z for z in ZIPS if z is not None] + ["7", 7, -1]
PATIENTS = [1, 2, 3, 4, 5, 5.0, "5", "p", None]
CODES = [None, None, None, "a", "b", "c"]


def connect(build, path, extended):
    db = sqlite3.connect(path, isolation_level=None)
    if extended:
        db.enable_load_extension(True)
        db.load_extension(os.path.join(build, "multiverse"))
        db.enable_load_extension(False)
    return db


class World:
    """A database, the model of it, a writer without the extension and a reader in a universe."""

    def __init__(self, build, folder, rng):
        self.build, self.rng, self.path = build, rng, os.path.join(folder, f"{rng.random()}.db")
        kind = rng.choice(["INT", "TEXT", "REAL", ""])
        by = rng.choice([[], ["zip"], ["zip", "sex"]])
        self.epsilon = rng.choice([1, 3 * 10**5, ONE, 5 * ONE, 10**12])
        self.model = Model(kind, by, rng.randint(1, 3), rng.random() < 0.3)
        self.writer = connect(build, self.path, False)
        self.wal = rng.random() < 0.5
        self.writer.execute(f"PRAGMA journal_mode = {'WAL' if self.wal else 'DELETE'}")
        self.writer.execute("PRAGMA synchronous = OFF")
        self.writer.execute(f"PRAGMA recursive_triggers = {int(self.model.recursive)}")
        self.writer.execute(f"CREATE TABLE D(id INTEGER PRIMARY KEY, patient, zip {kind}, sex TEXT, draft INT, "
                            "code TEXT UNIQUE)")
        for _ in range(rng.randint(0, 20)):
            self.write_before(self.row())
        self.admit()
        self.saved = []

    def write_before(self, row):
        """Rows that are there when the rule is made; at tick 1 the first ones of each unit count."""
        names = list(row)
        try:
            self.writer.execute(f"INSERT INTO D({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
                                [row[name] for name in names])
        except sqlite3.IntegrityError:
            return
        try:
            self.model.insert(row, "ABORT")
        except Conflict:
            raise AssertionError("the model refuses a row")

    def admit(self):
        model = self.model
        host = connect(self.build, self.path, True)
        options = f'{{"epsilon":{self.epsilon / ONE:.6f}, "unit":"patient", "max_per_unit":{model.most}}}'
        host.execute("INSERT INTO multiverse_rules(tbl, action, rule, col, value) VALUES "
                     "('D', 'count', 'NOT draft', ?, ?)", [", ".join(model.by) or None, options])
        self.secret = host.execute("SELECT secret FROM _multiverse_tallies").fetchone()[0]
        host.close()
        model.counted, model.used, model.ticks = {}, {}, []
        first = []
        for at in sorted(model.rows):
            model.tick([], at)
            first += model.ticks.pop()
        model.ticks = [first]

    def row(self):
        rng = self.rng
        return {"id": rng.choice([None, rng.randint(1, 30)]), "patient": rng.choice(PATIENTS),
                "zip": rng.choice(ZIPS), "sex": rng.choice(["f", "m", None]),
                "draft": rng.choice([0, 0, 0, 0, 1, None]), "code": rng.choice(CODES)}

    def both(self, sql, values, change):
        """The statement and its model, each of which must fail when the other does."""
        before = copy.deepcopy(self.model)
        failed = None
        try:
            change()
        except Conflict:
            failed = True
        try:
            self.writer.execute(sql, values)
        except sqlite3.IntegrityError:
            if not failed:
                raise
            if " OR FAIL" not in sql:
                self.model = before
            return
        assert not failed, f"the model fails, SQLite does not: {sql} {values}"

    def insert(self):
        rows = [self.row() for _ in range(self.rng.choice([1, 1, 1, 3]))]
        conflict = self.rng.choice(["ABORT", "REPLACE", "REPLACE", "IGNORE", "FAIL"])
        names = list(rows[0])
        places = ", ".join(["(" + ", ".join("?" * len(names)) + ")"] * len(rows))

        def change():
            for row in rows:
                try:
                    self.model.insert(row, conflict)
                except Conflict:
                    if conflict != "IGNORE":
                        raise

        self.both(f"INSERT OR {conflict} INTO D({', '.join(names)}) VALUES {places}",
                  [row[name] for row in rows for name in names], change)

    def upsert(self):
        row = dict(self.row(), code=None, id=self.rng.randint(1, 30))

        def change():
            if row["id"] in self.model.rows:
                self.model.update(row["id"], {"zip": row["zip"]}, "ABORT")
            else:
                self.model.insert(row, "ABORT")

        names = list(row)
        self.both(f"INSERT INTO D({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) "
                  "ON CONFLICT(id) DO UPDATE SET zip = excluded.zip", [row[n] for n in names], change)

    def update(self):
        rng = self.rng
        name = rng.choice(["patient", "zip", "zip", "sex", "draft", "code", "id"])
        value = rng.randint(1, 35) if name == "id" else self.row()[name]
        conflict = rng.choice(["ABORT", "REPLACE"])
        if name in ("code", "id") or rng.random() < 0.5:
            at = rng.randint(1, 30)
            found, where, more = [at] if at in self.model.rows else [], "id = ?", [at]
        else:
            sex = rng.choice(["f", "m"])
            found = [at for at in sorted(self.model.rows) if self.model.rows[at]["sex"] == sex]
            where, more = "sex = ?", [sex]

        def change():
            for at in found:
                self.model.update(at, {name: value}, conflict)

        self.both(f"UPDATE OR {conflict} D SET {name} = ? WHERE {where}", [value] + more, change)

    def delete(self):
        at = self.rng.randint(1, 30)
        found = [i for i in self.model.rows if i in (at, at + 1)]

        def change():
            for i in found:
                self.model.delete(i)

        self.both("DELETE FROM D WHERE id IN (?, ?)", [at, at + 1], change)

    def step(self):
        rng = self.rng
        kind = rng.random()
        if kind < 0.08 and not self.saved:
            self.writer.execute("BEGIN")
            self.saved.append(copy.deepcopy(self.model))
        elif kind < 0.14 and self.saved:
            self.writer.execute(f"SAVEPOINT s{len(self.saved)}")
            self.saved.append(copy.deepcopy(self.model))
        elif kind < 0.20 and len(self.saved) > 1:
            self.writer.execute(f"ROLLBACK TO s{len(self.saved) - 1}")
            self.writer.execute(f"RELEASE s{len(self.saved) - 1}")
            self.model = self.saved.pop()
        elif kind < 0.30 and self.saved:
            if rng.random() < 0.5:
                self.writer.execute("COMMIT")
            else:
                self.writer.execute("ROLLBACK")
                self.model = self.saved[0]
            self.saved = []
        else:
            rng.choice([self.insert, self.insert, self.update, self.delete, self.upsert])()

    def commit(self):
        if self.saved:
            self.writer.execute("COMMIT")
            self.saved = []

    def check(self):
        """All that a universe shows; returns how many counts were compared."""
        model = self.saved[0] if self.saved else self.model
        reader = connect(self.build, self.path, True)
        nonces = [None] + [row[0] for row in reader.execute("SELECT nonce FROM _multiverse_ticks ORDER BY tick")]
        assert len(nonces) - 1 == len(model.ticks), f"{len(nonces) - 1} ticks, {len(model.ticks)} writes"
        reader.execute("SELECT multiverse_enter('{\"uid\":1}', ?)", [TOKEN])
        where = " AND ".join(f"{name} = ?" for name in model.by)
        sql = f"SELECT count FROM D{' WHERE ' + where if where else ''}"
        asked = [[]] if not model.by else [[z] for z in self.rng.sample(ASKED, 5)]
        if len(model.by) == 2:
            asked = [[z[0], self.rng.choice("fmx")] for z in asked]
        for values in asked:
            key = tuple(stored(v, model.kind) if name == "zip" else v for name, v in zip(model.by, values))
            want = model.released(key, self.secret, nonces, self.epsilon)
            row = reader.execute(sql, values).fetchone()
            if model.by and model.kind == "REAL" and isinstance(values[0], int) and float(values[0]) != values[0]:
                assert row is None, f"{values}: no real is that integer"
                continue
            got = row[0]
            assert got == want, f"{model.by} = {values} in {model.kind}: {got}, not {want}, tick {len(model.ticks)}"
            if self.epsilon == 10**12:
                assert got == model.exact(key), f"{got} is noisy, {model.exact(key)} is exact"
        reader.close()
        return len(asked)


def random_worlds(build, folder, writes, seed):
    rng = random.Random(seed)
    compared = worlds = 0
    while writes > 0:
        world = World(build, folder, rng)
        for _ in range(min(writes, 200)):
            world.step()
            if rng.random() < 0.03:
                if not world.wal:
                    world.commit()
                compared += world.check()
        world.commit()
        compared += world.check()
        world.writer.close()
        writes -= 200
        worlds += 1
    return f"{compared} counts of {worlds} databases"


# ---- what it costs

def accounting():
    """What a tick spends in all nodes that are ever released, of its share of epsilon; and that a node is
    released whole, once its last tick has come."""
    last, spent, known = 600, {}, set()
    for tick in range(1, last + 1):
        parts = nodes(tick)
        held = [t for first, length, _, _ in parts for t in range(first, first + length)]
        assert sorted(held) == list(range(1, tick + 1)), f"tick {tick}: {parts}"
        for first, length, k, is_whole in set(parts) - known:
            for t in range(first, first + length):
                spent[t] = spent.get(t, 0) + Fraction(2 if is_whole else 1, k + 2)
        known |= set(parts)
    assert max(spent.values()) == 1, f"a tick spends {max(spent.values())} of its share"
    return f"{len(known)} nodes of {last} ticks; a tick spends no more than its share"


# ---- what else is shown

STATEMENTS = [
    "SELECT zip, typeof(count), rowid FROM D WHERE zip IN (1, 2, 3, 'x')", "SELECT count(*) FROM D WHERE zip = 2",
    "SELECT * FROM D", "SELECT zip FROM D", "SELECT zip FROM D WHERE zip > 0", "SELECT zip FROM D WHERE zip IS 2",
    "SELECT zip FROM D WHERE zip = 2 OR zip = 9", "SELECT a.zip FROM D AS a JOIN D AS b USING (zip) WHERE a.zip = 1",
    "SELECT zip FROM D WHERE rowid = 1", "SELECT zip FROM D WHERE zip = 1 AND count > -1000000000",
    "SELECT patient FROM D WHERE zip = 1", "SELECT zip FROM D WHERE zip = 1 AND id = 1", "SELECT * FROM main.D",
    "SELECT 1 FROM _multiverse_sums", "SELECT max(tick) FROM _multiverse_ticks", "SELECT * FROM multiverse_budget",
    "EXPLAIN QUERY PLAN SELECT * FROM D WHERE zip = 1", "EXPLAIN QUERY PLAN SELECT * FROM D WHERE zip = 9",
    "EXPLAIN QUERY PLAN SELECT * FROM D AS a, N WHERE a.zip = N.id",
    "SELECT zip FROM D AS a, N WHERE a.zip = N.id", "INSERT INTO D VALUES (1, 1)", "DELETE FROM D WHERE zip = 1",
    "UPDATE D SET count = 0 WHERE zip = 2", "DELETE FROM D WHERE 0", "SELECT changes(), last_insert_rowid()",
    "INSERT INTO N VALUES (9)", "SELECT zip FROM D WHERE zip = 9", "SELECT changes(), last_insert_rowid()",
]


def interference(build):
    """Two tables of as many writes, one empty in the end: but for the counts all is the same."""
    shown = []
    for full in (True, False):
        db = connect(build, ":memory:", True)
        db.execute("CREATE TABLE D(id INTEGER PRIMARY KEY, patient INT, zip INT)")
        db.execute("CREATE TABLE N(id INTEGER PRIMARY KEY)")
        db.execute("INSERT INTO N VALUES (1), (2)")
        db.execute("INSERT INTO multiverse_rules(tbl, action, rule) VALUES ('N', 'allow', '1'), ('N', 'insert', '1')")
        db.execute("INSERT INTO multiverse_rules(tbl, action, rule, col, value) VALUES ('D', 'count', '1', 'zip', "
                   "'{\"epsilon\":0.1, \"unit\":\"patient\", \"max_per_unit\":1}')")
        for i in range(100):
            db.execute("INSERT INTO D VALUES (?, ?, ?)", [i, i, i % 4] if full else [1, None, None])
            db.execute("DELETE FROM D WHERE id = ?", [-1 if full else 1])
            if full:
                db.execute("UPDATE D SET patient = patient WHERE id = ?", [i])
        db.execute("SELECT multiverse_enter('{\"uid\":1}', ?)", [TOKEN])
        answers = []
        for statement in STATEMENTS:
            try:
                answers.append(db.execute(statement).fetchall())
            except sqlite3.Error as why:
                answers.append(str(why))
        shown.append(answers)
        db.close()
    for statement, a, b in zip(STATEMENTS, *shown):
        assert a == b, f"{statement}: {a}, and {b}"
    return f"{len(STATEMENTS)} statements"


def scan(build, folder):
    """Another connection writes while a list of groups is read: all of it is of the tick before."""
    path = os.path.join(folder, "scan.db")
    writer, db = connect(build, path, True), connect(build, path, True)
    writer.execute("PRAGMA journal_mode = WAL")
    writer.execute("CREATE TABLE D(id INTEGER PRIMARY KEY, patient INT, zip INT)")
    writer.execute("INSERT INTO multiverse_rules(tbl, action, rule, col, value) VALUES ('D', 'count', '1', 'zip', "
                   "'{\"epsilon\":0.1, \"unit\":\"patient\", \"max_per_unit\":1, \"keys\":\"VALUES (1), (2), (3), (4)\"}')")
    db.execute("SELECT multiverse_enter('{\"uid\":1}', ?)", [TOKEN])
    for i in range(20):
        before = db.execute("SELECT count FROM D").fetchall()
        rows = db.execute("SELECT count FROM D")
        first = rows.fetchone()
        writer.execute("INSERT INTO D(patient, zip) VALUES (?, ?)", [i, i % 4 + 1])
        again = db.execute("SELECT count FROM D").fetchall()
        assert [first] + rows.fetchall() == before == again, "a scan goes on with another tick"
        assert db.execute("SELECT count FROM D").fetchall() != before, "the next scan is not of the next tick"
    writer.close()
    db.close()
    return "20 scans"


# ---- what the noise is like

def noises(build, groups, rows, epsilon):
    """The noise of so many groups, after so many rows one by one, under a secret that is fixed."""
    db = connect(build, ":memory:", True)
    db.execute("CREATE TABLE D(id INTEGER PRIMARY KEY, patient INT, zip INT)")
    db.execute("INSERT INTO multiverse_rules(tbl, action, rule, col, value) VALUES ('D', 'count', '1', 'zip', ?)",
               [f'{{"epsilon":{epsilon}, "unit":"patient", "max_per_unit":1, "keys":"WITH RECURSIVE n(i) AS '
                f'(SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {groups}) SELECT i FROM n"}}'])
    db.executemany("INSERT INTO D(patient, zip) VALUES (?, 0)", [[i] for i in range(rows)])
    db.execute("UPDATE _multiverse_tallies SET secret = ?", [b"tenfold" + bytes(25)])
    db.execute("UPDATE _multiverse_ticks SET nonce = zeroblob(8)")
    db.execute("SELECT multiverse_enter('{\"uid\":1}', ?)", [TOKEN])
    got = [row[0] for row in db.execute("SELECT count FROM D")]
    assert len(got) == groups
    return got


def distribution(build):
    """Chi-square of the first tick's noise, whose scale is 2 / epsilon."""
    worst = []
    for epsilon in (0.25, 1, 3.7):
        drawn = noises(build, 20000, 0, epsilon)
        q = math.exp(-epsilon / 2)
        at_zero = (1 - q) / (1 + q)
        edge = 0
        while 20000 * at_zero * q ** (edge + 2) / (1 - q) > 10:
            edge += 1
        cells = {k: at_zero * q ** abs(k) for k in range(-edge, edge + 1)}
        cells[edge + 1] = cells[-edge - 1] = at_zero * q ** (edge + 1) / (1 - q)
        seen = dict.fromkeys(cells, 0)
        for value in drawn:
            seen[max(-edge - 1, min(edge + 1, value))] += 1
        chi = sum((seen[k] - 20000 * p) ** 2 / (20000 * p) for k, p in cells.items())
        free = len(cells) - 1
        most = free * (1 - 2 / (9 * free) + 3.09 * math.sqrt(2 / (9 * free))) ** 3  # one in a thousand
        assert abs(sum(cells.values()) - 1) < 1e-9 and chi < most, f"epsilon {epsilon}: chi-square {chi}, at most {most}"
        worst.append(f"epsilon {epsilon}: chi-square {chi:.1f} of {free} degrees, at most {most:.1f}")
    return "; ".join(worst)


def size(build):
    """Relative errors of a group of 5,000 rows that came one by one."""
    told = []
    for epsilon in (1, 0.5, 0.1):
        errors = sorted(abs(value) / 5000 for value in noises(build, 4000, 5000, epsilon))
        told.append(f"epsilon {epsilon}: median {errors[2000]:.2%}, p95 {errors[3800]:.2%}")
    return "5,000 rows, max_per_unit 1: " + "; ".join(told)


# ---- copies of a database

def copies(build, folder):
    """Two copies go on with other rows: what their next ticks draw is not the same."""
    path = os.path.join(folder, "one.db")
    db = connect(build, path, True)
    db.execute("CREATE TABLE D(id INTEGER PRIMARY KEY, patient INT, zip INT)")
    db.execute("INSERT INTO multiverse_rules(tbl, action, rule, col, value) VALUES ('D', 'count', '1', 'zip', "
               "'{\"epsilon\":0.01, \"unit\":\"patient\", \"max_per_unit\":1}')")
    db.execute("INSERT INTO D VALUES (1, 1, 1)")
    db.execute("VACUUM INTO ?", [os.path.join(folder, "two.db")])
    db.close()
    shown = []
    for name, change in (("one.db", "SELECT 1"), ("two.db", "SELECT 1"), ("one.db", "INSERT INTO D VALUES (2, 2, 1)"),
                         ("two.db", "INSERT INTO D VALUES (2, 2, 2)")):
        db = connect(build, os.path.join(folder, name), True)
        db.execute(change)
        db.execute("SELECT multiverse_enter('{\"uid\":1}', ?)", [TOKEN])
        read = [[db.execute("SELECT count FROM D WHERE zip = ?", [z]).fetchone()[0] for z in range(20)] for _ in "ab"]
        assert read[0] == read[1], "two reads differ"
        shown.append(read[0])
        db.close()
    assert shown[0] == shown[1], "a copy shows something else"
    same = sum(a == b for a, b in zip(shown[2], shown[3]))
    assert same < 10, f"{same} of 20 groups are equal in two copies that went on"
    same = sum(a == b for a, b in zip(shown[0], shown[2]))
    assert same < 10, f"{same} of 20 groups are as they were, a tick later"
    return "noise is of the ticks"


def main():
    build = sys.argv[1]
    writes = int(sys.argv[2]) if len(sys.argv) > 2 else 4000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(2**32)
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        tests = [("what universes show is what was written, and the noise", lambda: random_worlds(build, folder, writes, seed)),
                 ("the noise is discrete Laplace", lambda: distribution(build)),
                 ("its size", lambda: size(build)),
                 ("copies of a database", lambda: copies(build, folder)),
                 ("a scan is of one tick", lambda: scan(build, folder)),
                 ("what it costs", accounting),
                 ("what else is shown", lambda: interference(build))]
        for number, (name, test) in enumerate(tests, 1):
            try:
                print(f"ok {number} - {name}\n# {test()}", flush=True)
            except (AssertionError, sqlite3.Error) as why:
                failed += 1
                print(f"not ok {number} - {name}\n# seed {seed}: {why}", flush=True)
    print(f"1..{len(tests)}")
    sys.exit(failed > 0)


main()
