"""Does tools/count.py count, and does it notice what ended badly?"""
import json
import pathlib
import subprocess
import sys
import tempfile

COUNT = pathlib.Path(__file__).resolve().parent / "count.py"


def entry(name, result, stdout, returncode=0):
    return {"name": name, "result": result, "stdout": stdout, "returncode": returncode}


# name: entries of one build's log (None: no log), text of a TAP file, last line, status, in the list
CASES = {
    "TAP is counted case by case": (
        [entry("a", "OK", "ok 1 - x\nok 2 - y\n1..2\n")], "ok - fuzz\n", "3 passed, 0 failed", 0, ""),
    "a program without TAP is one": (
        [entry("a", "OK", "1000 statements: fine\n")], "ok - f\n", "2 passed, 0 failed", 0, ""),
    "a failed case": (
        [entry("a", "FAIL", "ok 1 - x\nnot ok 2 - y\n# why\n1..2\n", 1)], "ok - f\n",
        "2 passed, 1 failed", 1, "FAILED: build: a: y"),
    "a failed case in a program that ends well": (
        [entry("a", "OK", "not ok 1 - x\n")], "ok - f\n", "1 passed, 1 failed", 1, "a: x"),
    "a failed program without TAP": (
        [entry("a", "FAIL", "oops\n", 3)], "ok - f\n", "1 passed, 1 failed", 1, "fail, status 3"),
    "a crash after good cases": (
        [entry("a", "ERROR", "ok 1 - x\n", -11)], "ok - f\n", "2 passed, 1 failed", 1, "status -11"),
    "a program that hangs": (
        [entry("a", "TIMEOUT", "ok 1 - x\n")], "ok - f\n", "2 passed, 1 failed", 1, "timeout"),
    "a skipped case, with its reason": (
        [entry("a", "OK", "ok 1 - x\nok 2 - y # SKIP no such device\n")], "ok - f\n",
        "2 passed, 0 failed, 1 skipped", 0, "skipped: build: a: no such device"),
    "a skipped program, with its reason": (
        [entry("a", "SKIP", "no verbs here\n", 77)], "ok - f\n", "1 passed, 0 failed, 1 skipped", 0,
        "skipped: build: a: no verbs here"),
    "a failed fuzzer": (
        [entry("a", "OK", "")], "not ok - fuzz-sql\n", "1 passed, 1 failed", 1, "fuzz-sql"),
    "tests that never ran": (None, "ok - f\n", "1 passed, 1 failed", 1, "did not run"),
    "a fuzzer file without results": (
        [entry("a", "OK", "")], "", "1 passed, 1 failed", 1, "no results"),
}


def run(log, tap):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        (root / "build" / "meson-logs").mkdir(parents=True)
        if log is not None:
            text = "".join(json.dumps(one) + "\n" for one in log)
            (root / "build" / "meson-logs" / "testlog.json").write_text(text)
        (root / "results.tap").write_text(tap)
        done = subprocess.run([sys.executable, COUNT, "build", "results.tap"], cwd=root,
                              capture_output=True, text=True, check=False)
        return done.returncode, done.stdout


failed = 0
for number, (name, (log, tap, last, status, listed)) in enumerate(CASES.items(), 1):
    got_status, output = run(log, tap)
    good = got_status == status and output.splitlines()[-1:] == [last] and listed in output
    failed += not good
    print(f"{'ok' if good else 'not ok'} {number} - {name}")
    if not good:
        print("\n".join(f"# {line}" for line in [f"status {got_status}", *output.splitlines()]))
print(f"1..{len(CASES)}")
sys.exit(failed != 0)
