"""Is every lint red when its rule is broken? Each breach is planted in a copy of the project.

usage: selftest.py [BUILD_FOLDER]    with it, the check of the reference pages is tried as well
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

import lint

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

LONG_FUNCTION = "int grow(int x) {\n" + "  x++;\n" * 69 + "  return x;\n}\n"
LONG_TABLE = "int pick(int x) {\n  switch (x) {\n" + "  case 1:\n    return 2;\n" * 60 + "  }\n}\n"
TWELVE = "".join(f"int planted_{i}(void);\n" for i in range(12))

# lint: what is planted (file and text), what the complaint must contain
BREACHES = [
    ("layers", "base/planted.c", '#include "sql/sql.h"\n', "base must not include sql"),
    ("layers", "sql/planted.c", '#include "solver/model.h"\n', "sql must not include solver"),
    ("layers", "solver/planted.h", '#  include "vtab/vt.h"\n', "solver must not include vtab"),
    ("layers", "vtab/planted.c", '#include "sql/sql.h"\n', "vtab must not include sql"),
    ("layers", "extensions/viz/planted.c", '#include "extensions/weave/value.h"\n',
     "extensions/viz must not include extensions/weave"),
    ("layers", "extensions/viz/planted.c", '#include "sql/sql.h"\n',
     "extensions/viz must not include sql"),
    ("layers", "sql/planted.c", "#include <sqlite3.h>\n", "<sqlite3.h> is for"),
    ("layers", "base/planted.c", "#include <sqlite3ext.h>\n", "<sqlite3ext.h> is for"),
    ("layers", "solver/planted.c", "#include <glpk.h>\n", "<glpk.h> is for"),
    ("layers", "base/planted.c", '#include "text.h"\n', "not a path from the root"),
    ("layers", "extensions/unlisted/init.c", '#include "base/text.h"\n', "no line in"),
    ("length", "base/planted.c", "\n" * 501, "501 lines, the limit is 500"),
    ("length", "base/planted.c", LONG_FUNCTION, "grow() has 72 lines, the limit is 70"),
    ("length", "base/planted.c", "/* " + "x" * 95 + " */\n", "a comment of 101 columns"),
    ("length", "base/planted.c", "static const char *\n" + LONG_FUNCTION.replace("int grow(", "far(", 1),
     "far() has"),
    ("hygiene", "docs/planted.md", "See /wo" + "rk/main.\n", "a path of one machine"),
    ("hygiene", "docs/planted.md", "See /ro" + "ot/x.\n", "a path of one machine"),
    ("hygiene", "base/planted.c", "/* As the pro" + "mpt says. */\n", "not about the project"),
    ("hygiene", "base/planted.c", "/* One ag" + "ent. */\n", "not about the project"),
    ("hygiene", "docs/planted.md", "In this Ses" + "sion.\n", "not about the project"),
    ("hygiene", "base/planted.c", "/* Fixes #" + "12. */\n", "a number of a tracker"),
    ("hygiene", "docs/planted.md", "See Iss" + "ue 3.\n", "a number of a tracker"),
    ("hygiene", "test/planted.json", '"https://regi' + 'stry.example/x"\n', "a package host"),
    ("hygiene", "base/planted.c", "int x; \n", "white space"),
    ("hygiene", "base/planted.c", "\tint x;\n", "a tab"),
    ("hygiene", "base/planted.c", "int x;\r\n", "a carriage return"),
    ("hygiene", "base/planted.c", "/* TO" + "DO */\n", "unfinished"),
    ("hygiene", "base/planted.c", "int x;", "no line end"),
    ("fixtures", "fixtures/weave/planted.sql", "-- case: x\n", "no planted.expected"),
    ("fixtures", "fixtures/weave/planted.expected", "-- case: x\n", "no planted.sql"),
    ("fixtures", "test/far/planted.py", '"""Nothing.\n\nusage: planted.py BUILD\n"""\n', "nobody runs it"),
    ("fixtures", "docs/planted.md", "[here](nowhere.md)\n", "a link to nowhere.md"),
    ("duplicates", "base/planted.c", TWELVE + "int apart;\n" + TWELVE, "repeats base/planted.c:1"),
    ("format", "base/planted.c", "int  x;\n", "base/planted.c:1: not formatted"),
]

# What looks like a breach and is none.
ALLOWED = [
    ("length", "base/planted.c", LONG_TABLE),
    ("length", "base/planted.c", LONG_FUNCTION.replace("  x++;\n", "", 2)),
    ("layers", "extensions/weave/planted.c", '#include "sql/sql.h"\n#include <sqlite3ext.h>\n'),
    ("hygiene", "extensions/viz/planted.c", 'const char *red = "#c00";\n'),
    ("duplicates", "base/planted.c", TWELVE),
]


def complaints(name, root):
    command = [sys.executable, str(HERE / f"{name}.py"), str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if "planted" in line or "unlisted" in line]
    return done.returncode, found, done.stdout + done.stderr


def run_planted(root, name, path, text):
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text.encode())
    try:
        return complaints(name, root)
    finally:
        target.unlink()


def export_results():
    """The exports lint looks at libraries, so some are made."""
    good = "__attribute__((visibility(\"default\"))) int sqlite3_made_init(void) { return %s; }\n"
    cases = [
        ("a good library", good % 0, [], None),
        ("a second export", good % 0 + "int stray(void) { return 1; }\n", ["-fvisibility=default"],
         "exports stray"),
        ("a variable exported", good % 0 + "int stray = 1;\n", ["-fvisibility=default"],
         "exports stray"),
        ("no entry point", "static int x; int *at(void) { return &x; }\n", [],
         "does not export sqlite3_made_init"),
        ("a call past the api", "int sqlite3_sleep(int);\n" + good % "sqlite3_sleep(1)", [],
         "calls sqlite3_sleep directly"),
        ("libsqlite3 needed", good % 0, ["-Wl,--no-as-needed", "-lsqlite3"], "needs libsqlite3"),
        ("a library not named", "double cos(double);\nstatic volatile double x;\n" + good % "cos(x) > 0",
         [], "needs a library it does not name: undefined symbol: cos"),
        ("a search path", good % 0, ["-Wl,-rpath,/opt"], "has a search path"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        source, library = pathlib.Path(folder) / "made.c", pathlib.Path(folder) / "made.so"
        for name, text, flags, report in cases:
            source.write_text(text)
            subprocess.run(["cc", "-shared", "-fPIC", "-fvisibility=hidden", "-o", library, source,
                            *flags], check=True)
            done = subprocess.run([sys.executable, HERE / "exports.py", library],
                                  capture_output=True, text=True, check=False)
            red = done.returncode != 0 and report is not None and report in done.stdout
            green = done.returncode == 0 and report is None
            yield f"exports: {name}", red or green, done.stdout + done.stderr


def reference_results(build):
    """A page that says something else, a page too many, a page too few."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        pages = root / "docs" / "reference"
        (root / "tools").mkdir()
        shutil.copy(ROOT / "tools" / "reference.py", root / "tools")

        def reference(*options):
            shown = subprocess.run([sys.executable, root / "tools" / "reference.py", build, *options],
                                   capture_output=True, text=True, check=False)
            return shown.returncode, shown.stdout + shown.stderr

        def breach(name, plant):
            shutil.rmtree(pages, ignore_errors=True)
            pages.mkdir(parents=True)
            reference()
            clean, _ = reference("--check")
            plant()
            status, output = reference("--check")
            return f"reference: {name}", clean == 0 and status != 0, output

        page = pages / "viz.md"
        yield breach("a page changed by hand", lambda: page.write_text(page.read_text() + "More.\n"))
        yield breach("a page that is missing", page.unlink)
        yield breach("a page of no extension", lambda: (pages / "nothing.md").write_text("# x\n"))


def results():
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for path in lint.tracked(ROOT):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, root / path)
        for name, path, text, report in BREACHES:
            status, found, output = run_planted(root, name, path, text)
            ok = status != 0 and any(report in line for line in found)
            yield f"{name}: {report}", ok, output
        for name, path, text in ALLOWED:
            _, found, output = run_planted(root, name, path, text)
            yield f"{name} allows {path}", not found, output
    yield from export_results()
    if len(sys.argv) > 1:
        yield from reference_results(pathlib.Path(sys.argv[1]).resolve())


def main():
    failed = number = 0
    for name, ok, output in results():
        number += 1
        failed += not ok
        print(f"{'ok' if ok else 'not ok'} {number} - {name}")
        if not ok:
            print("\n".join("# " + line for line in output.splitlines()[-20:]))
    print(f"1..{number}")
    sys.exit(failed != 0)


main()
