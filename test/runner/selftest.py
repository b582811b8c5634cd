"""Is the fixture runner able to fail? Each defect below is planted and must be reported.

usage: selftest.py SQLTEST FOLDER [leaks]    where FOLDER holds misbehave.so
`leaks`: the program is built with a leak checker.
"""
import pathlib
import subprocess
import sys
import tempfile

sqltest, folder = sys.argv[1:3]
LOAD = "-- load: misbehave\n"


def run(scratch, script, golden, *options, name="test.sql"):
    path = pathlib.Path(scratch) / name
    path.write_text(script)
    if golden is not None:
        path.with_suffix(".expected").write_text(golden)
    command = [sqltest, "--extensions", folder, *options, str(path)]
    # Only what the runner itself notices: leaks are reported by it, not at exit.
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout


def deed(name, mode="plain"):
    return (LOAD + f"-- case: it\nSELECT misbehave('{name}');\n", "-- case: it\n1\n", mode)


# what is planted: script, golden, mode, what the report must contain
CASES = {
    "a wrong answer": ("-- case: it\nSELECT 2;\n", "-- case: it\n1\n", "plain", "# + 2"),
    "a missing row": ("-- case: it\nSELECT 1;\n", "-- case: it\n1\n2\n", "plain", "# - 2"),
    "another error": ("-- case: it\nSELECT x;\n", "-- case: it\n! 1 no\n", "plain",
                      "# + ! 1 no such column: x"),
    "a case without golden": ("-- case: it\nSELECT 1;\n", "", "plain", "not in the .expected"),
    "a golden without case": ("-- case: it\nSELECT 1;\n", "-- case: it\n1\n-- case: gone\n",
                              "plain", 'no case "gone"'),
    "no golden file": ("-- case: it\nSELECT 1;\n", None, "plain", "cannot read"),
    "no cases": ("SELECT 1;\n", "", "plain", "no cases"),
    "a directive that does not exist": ("-- case: it\n-- sorted: yes\nSELECT 1;\n",
                                        "-- case: it\n? unknown directive: sorted\n", "plain",
                                        "unknown directive"),
    "a mode that does not exist": ("-- case: it\n-- mode: quick\nSELECT 1;\n", "-- case: it\n1\n",
                                   "plain", "unknown mode"),
    "a preamble that fails": ("SELECT x;\n-- case: it\nSELECT 1;\n", "-- case: it\n1\n", "plain",
                              "no such column"),
    "an extension that is not there": ("-- load: nowhere\n-- case: it\nSELECT 1;\n",
                                       "-- case: it\n1\n", "plain", "cannot open shared object"),
    "a table changed under trusted_schema=OFF": (
        LOAD + "CREATE VIEW v AS SELECT misbehave_well(1);\n-- case: it\nSELECT * FROM v;\n",
        "-- case: it\n1\n", "untrusted", "unsafe use of misbehave_well()"),
    "a leak of SQLite's memory": (*deed("leak"), "sqlite3_memory_used()"),
    "a statement left open": (*deed("busy"), "sqlite3_close() is 5"),
    "a descriptor left open": (*deed("descriptor"), "open descriptors"),
    "a thread left running": (*deed("thread"), "threads, were"),
    "a child process left": (*deed("child"), "child process"),
    "text on standard output": (*deed("stdout"), "hello from inside"),
    "a crash": (*deed("crash"), "crashes"),
    "an interrupt that is not heard": (
        LOAD + "-- case: it\n-- interrupt-after: 10\nSELECT misbehave('slow');\n",
        "-- case: it\n1\n", "plain", "ms after it was told to"),
    "an unchecked malloc": (*deed("unchecked", "oom"), "crashes"),
    "a wrong answer for want of memory": (LOAD + "-- case: it\nSELECT misbehave_size(8);\n",
                                          "-- case: it\n8\n", "oom", "# + 0"),
}

if "leaks" in sys.argv:
    CASES["a leak of libc's memory"] = (*deed("lost"), "leaked memory")

PAGE = """# A page
```sql
CREATE TABLE t(a); INSERT INTO t VALUES (1);
```
```sh
not SQL
```
```sql
SELECT a, NULL FROM t;
```
```text
%s
```
"""


def results():
    with tempfile.TemporaryDirectory() as scratch:
        good = LOAD + "-- case: it\nSELECT misbehave_well(8), misbehave('none');\n"
        status, output = run(scratch, good, "-- case: it\n8|1\n")
        # Three modes of one case, and loading on its own.
        yield "nothing planted", status == 0 and output.count("ok ") == 4, output
        for name, (script, golden, mode, report) in CASES.items():
            for old in pathlib.Path(scratch).iterdir():
                old.unlink()
            status, output = run(scratch, script, golden, "--modes", mode)
            yield name, status != 0 and "not ok" in output and report in output, output
        for row, good in (("1|NULL", True), ("2|NULL", False)):
            status, output = run(scratch, PAGE % row, None, name="page.md")
            yield f"a page saying {row}", (status == 0) == good, output
        for command, good in (("mkdir there && ! test -e page.md", True), ("false", False)):
            text = f"<!--\n-- shell: {command}\n-->\n" + PAGE % "1|NULL"
            status, output = run(scratch, text, None, name="page.md")
            yield f"a page with a folder, made by {command}", (status == 0) == good, output
        run(scratch, PAGE % "2|NULL", None, "--update", name="page.md")
        text = (pathlib.Path(scratch) / "page.md").read_text()
        yield "a page updated", text == PAGE % "1|NULL", text


failed = 0
for number, (name, ok, output) in enumerate(results(), 1):
    failed += not ok
    print(f"{'ok' if ok else 'not ok'} {number} - {name}")
    if not ok:
        print("\n".join("# " + line for line in output.splitlines()))
print(f"1..{number}")
sys.exit(failed != 0)
