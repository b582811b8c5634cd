"""Variables that omni tells at moments of a recording, compared with what gdb says of the same program
at the same calls: test/replay/subjects/values.c, compiled in several ways, at every call of some
functions, in the frames that called them.

gdb runs the program as it is; omni plays a recording of it. Both without address randomisation, so that
pointers are the same, but for those to the stack, which begins elsewhere. Usage: vars.py OMNI.SO"""
import json
import os
import re
import subprocess
import sys
import tempfile
from decimal import Decimal

from shared import connect

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LIBRARY = ["snprintf", "printf", "calloc"]
OWN = ["by_x", "recurse", "packed", "nodes"]  # optimised, they have clones with other names
FRAMES = 4

GDB = r"""
import json, os, sys
sys.path.insert(0, os.environ["ORACLE_FOLDER"])
import gdb
import dwarf_oracle as oracle

def groups():
    out, frame = [[]], gdb.newest_frame()
    while frame is not None and len(out) <= int(os.environ["ORACLE_FRAMES"]):
        if frame.type() in (gdb.NORMAL_FRAME, gdb.INLINE_FRAME):
            out[-1].append(frame)
        if frame.type() != gdb.INLINE_FRAME:
            out.append([])
        frame = frame.older()
    return [group for group in out if group]

def hit():
    rows = []
    for depth, group in enumerate(groups()):
        for frame in group:
            if frame.name().startswith("__libc_start"):
                continue  # it keeps random numbers
            for symbol, block in oracle.symbols(frame) or []:
                value = oracle.read(frame, symbol, block)
                if value is not None and depth > 0 and symbol.name != "variable":  # its length is beyond gdb
                    rows.append([depth, frame.name(), symbol.name, str(value.type), oracle.norm(oracle.of_value(value))])
    print("HIT " + json.dumps(rows, default=str))

for words in ("pagination off", "confirm off", "print elements unlimited", "debuginfod enabled off",
              "backtrace past-main on"):
    gdb.execute("set " + words)
gdb.execute("break main", False, True)
gdb.execute("run > /dev/null", False, True)
for function in os.environ["ORACLE_FUNCTIONS"].split():
    try:
        gdb.Breakpoint("*" + function, internal=True).silent = True
    except gdb.error:
        pass
while True:
    gdb.execute("continue", False, True)
    if not gdb.selected_inferior().pid:
        break
    hit()
"""

compared = failures = beyond = 0


def gdb_says(program, script, functions):
    environment = dict(os.environ, ORACLE_FOLDER=os.path.join(ROOT, "test", "replay"),
                       ORACLE_FRAMES=str(FRAMES), ORACLE_FUNCTIONS=" ".join(functions))
    text = subprocess.run(["gdb", "-nx", "-batch", "-x", script, program], check=True, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True, timeout=600, env=environment).stdout
    return [json.loads(line[4:]) for line in text.splitlines() if line.startswith("HIT ")]


def plain(value):
    """Without what differs from run to run: where the stack is. JSON's numbers as they are."""
    if isinstance(value, dict):
        return whole({key: plain(part) for key, part in value.items()})
    if isinstance(value, list):
        return whole([plain(part) for part in value])
    if isinstance(value, str):
        return re.sub(r"0x7ff[ef][0-9a-f]{8}", "stack", value.split(" <")[0] if value.startswith("0x") else value)
    return value


def ours_as_json(value, state, theirs):
    if state:
        return {"unavailable": {"register not saved": "optimized out",
                                "value at entry not known": "optimized out"}.get(state, state)}
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(theirs, (dict, list)) and isinstance(value, str):
        return json.loads(value)
    if isinstance(theirs, str) and theirs.startswith("0x") and isinstance(value, int):
        return hex(value)
    if isinstance(theirs, bool) and value in (0, 1):
        return bool(value)
    if isinstance(value, float) and value in (float("inf"), -float("inf")):
        return str(value)
    if theirs == "nan" and value is None:
        return "nan"
    if theirs is None and value == 0:
        return None
    return value


def whole(value):
    """What is not known throughout is not known as a whole."""
    if isinstance(value, dict) and "unavailable" not in value:
        parts = list(value.values())
    elif isinstance(value, list):
        parts = value
    else:
        return value
    return parts[0] if parts and isinstance(parts[0], dict) and "unavailable" in parts[0] and \
        all(part == parts[0] for part in parts) else value


def is_real(value):
    return isinstance(value, float) or re.fullmatch(r"-?[0-9]+\.[0-9]+([eE][-+]?[0-9]+)?", value) is not None


def is_zero(value):
    if isinstance(value, (dict, list)):
        return all(map(is_zero, value.values() if isinstance(value, dict) else value))
    return not value


def same(ours, theirs, inside=False):
    """Of what no piece of a variable's location covers gdb says that it is 0."""
    if inside and ours == {"unavailable": "optimized out"} and is_zero(theirs):
        return True
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key], True) for key in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(same(x, y, True) for x, y in zip(ours, theirs))
    if isinstance(theirs, (str, float)) and isinstance(ours, (str, float)) and is_real(theirs):
        return is_real(ours) and abs(Decimal(ours) - Decimal(theirs)) <= abs(Decimal(theirs)) * Decimal("1e-18")
    return str(ours) == str(theirs) if isinstance(theirs, int) else ours == theirs


def compare(program, moment, rows, hit):
    global compared, failures, beyond
    for depth, func, name, kind, theirs in hit:
        # gdb calls some functions by another of their names
        found = next((row for row in rows if (row[0], row[2]) == (depth, name)), None)
        # Of what was never written the stack's addresses shine through; what a frame keeps in a register
        # that calls do not save, gdb takes from the callee.
        garbage = isinstance(theirs, str) and re.search("[\udc80-\udcff\x7f]", theirs)
        # A text of which a part is not known is not known here; gdb has a list for it.
        partly = found and found[4] and " char [" in " " + kind and isinstance(theirs, list)
        if garbage or partly or (found and found[4] == "register not saved"):
            beyond += 1
            continue
        compared += 1
        if found:
            rows.remove(found)
            ours = ours_as_json(found[3], found[4], theirs)
            if same(plain(ours), plain(theirs)):
                continue
        failures += 1
        if failures <= 20:
            print(f"# {program} {moment}: {func}'s {kind} {name} is {found and found[3:]}, gdb has {theirs}")


def main():
    library = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="omni-vars-") as folder:
        script = os.path.join(folder, "hits.py")
        with open(script, "w") as file:
            file.write(GDB)
        for compiler in ("gcc -O0", "gcc -Og", "gcc -O1", "gcc -O2", "gcc -O3"):
            program = os.path.join(os.path.realpath(folder), compiler.replace(" ", ""))
            subprocess.run([*compiler.split(), "-g", "-w", "-o", program,
                            os.path.join(ROOT, "test", "replay", "subjects", "values.c"), "-lm"], check=True)
            db = connect(library)
            db.execute("SELECT omni_record(?, ?, json('{\"stdout\": \"/dev/null\"}'))", [program + ".omni", program])
            db.execute("SELECT omni_use(?)", [program + ".omni"])
            functions = LIBRARY + (OWN if "-O0" in compiler else [])
            names = ", ".join("?" * len(functions))
            calls = db.execute(f"SELECT func, moment FROM omni_calls WHERE func IN ('main', {names}) AND "
                               "(module = ? OR module GLOB '*/libc.so.6') ORDER BY seq",
                               [*functions, program]).fetchall()
            begin = [func for func, _ in calls].index("main") + 1
            calls = [moment for _, moment in calls[begin:]]
            hits = gdb_says(program, script, functions)
            if len(calls) != len(hits):
                print(f"# {program}: {len(calls)} calls, gdb has {len(hits)}")
                sys.exit(1)
            for moment, hit in zip(calls, hits):
                rows = db.execute("SELECT depth, func, name, value, state FROM omni_vars(?, ?)",
                                  [moment, FRAMES]).fetchall()
                compare(program, moment, rows, hit)
            db.close()
    print(f"# {compared} values compared, {failures} not the same, {beyond} not to be compared")
    sys.exit(failures > 0 or compared < 1000)


main()
