"""The bug hunts of `./run tour omni`, done with gdb: do they find the same, and how long are they?

    hunts.py [--length] [NAME...]

A hunt is fixtures/omni/tour_NAME.sql, which a fixture's test runs. test/omni/hunts/NAME.sh runs what
it is about under a launcher, NAME.py is the script for gdb that the queries replace. It writes the
facts to the file `found`, a line each; each must be in the golden of the tour. The queries must be
at least ten times shorter than the script, in lines of code (of at most 120 columns).
"""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
HUNTS = ROOT / "test" / "omni" / "hunts"
LIMIT = 120  # seconds
TRIES = 5  # gdb loses sight of a process now and then, where there are many


def tour(name, suffix):
    return (ROOT / "fixtures" / "omni" / f"tour_{name}.{suffix}").read_text()


def query_lines(name):
    """What somebody who hunts types: all but comments, loading, and the choice of the recording."""
    body = tour(name, "sql").split("-- case:", 1)[1].split("\n", 1)[1]
    return [line for line in body.split("\n")
            if line.strip() and not re.match(r"\s*--|\.load|SELECT omni_use", line)]


def script_lines(name):
    text = re.sub(r'"""(?:.|\n)*?"""', "", (HUNTS / f"{name}.py").read_text())
    return [line for line in text.split("\n") if line.strip() and not re.match(r"\s*#", line)]


def characters(lines):
    return sum(len(re.sub(r"\s", "", line)) for line in lines)


def lengths(name):
    ours, theirs = query_lines(name), script_lines(name)
    text = (f"{name}: {len(ours)} lines of SQL, {len(theirs)} for gdb: {len(theirs) / len(ours):.1f} times; "
            f"{characters(ours)} characters, {characters(theirs)}: {characters(theirs) / characters(ours):.1f} times")
    return len(theirs) >= 10 * len(ours) and max(map(len, ours)) <= 120, text


def found_by_gdb(name):
    with tempfile.TemporaryDirectory(prefix="hunt-") as folder:
        run = ["timeout", "-k", "5", str(LIMIT), "sh", str(HUNTS / f"{name}.sh"),  # and all it starts
               "gdb", "-nx", "-batch", "-x", str(HUNTS / f"{name}.py"), "--args"]
        done = subprocess.run(run, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace")
        path = pathlib.Path(folder) / "found"
        if done.returncode != 0 or not path.exists():
            return None, f"status {done.returncode}\n{done.stdout[-2000:]}"
        return [line.strip() for line in path.read_text().split("\n") if line.strip()], ""


def check(name):
    for _ in range(TRIES):
        found, why = found_by_gdb(name)
        if found:
            break
    else:
        return f"gdb found nothing: {why}"
    golden = tour(name, "expected").replace("''", "'")
    missing = [fact for fact in found if fact not in golden]
    return f"gdb found what the tour has not: {missing}" if missing else None


def main():
    names = [name for name in sys.argv[1:] if not name.startswith("--")]
    names = names or sorted(path.stem for path in HUNTS.glob("*.py"))
    ok = True
    for name in names:
        short, text = lengths(name)
        why = None if "--length" in sys.argv else check(name)
        ok = ok and short and not why
        print("ok - " if short and not why else "not ok - ", text, f"\n  {why}" if why else "", sep="", flush=True)
    return not ok


if __name__ == "__main__":
    sys.exit(main())
