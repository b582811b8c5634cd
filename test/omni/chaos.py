"""Records busy.c under a hostile schedule, again and again, and plays each recording.

    chaos.py --tool OMNI [--first SEED] [--count N] [--keep FOLDER] [--calm]

Each seed chooses what the program does, how it is compiled (-O0 to -O3), the schedule, and whether
calls are logged in the process (--inside 1), which chaos does not do by itself. With --calm there is
no schedule but the usual one, and calls are logged in the process. Playing it
must find every event, every place where a thread was made to give way and every hash. A failure
prints its seed; with --keep its recording stays in FOLDER.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
LIMIT = 120  # seconds for one command


def run(argv):
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return 124, f"still running after {LIMIT} s"
    return done.returncode, (done.stdout + done.stderr).strip()


def compile_all(folder):
    for level in range(4):
        subprocess.run(["cc", f"-O{level}", "-pthread", HERE / "busy.c", "-o", folder / f"busy{level}", "-lm"],
                       check=True)


def judge(tool, folder, seed, calm):
    """None, or what went wrong."""
    recording = folder / "rec"
    shutil.rmtree(recording, ignore_errors=True)
    schedule = ["--inside", "1"] if calm else ["--chaos", str(seed), "--inside", str(seed % 3 % 2)]
    status, text = run([tool, "record", "-o", recording, *schedule, "--",
                        folder / f"busy{seed % 4}", str(seed)])
    if status:
        return f"record: status {status}: {text}"
    status, text = run([tool, "verify", recording])
    return f"verify: {text}" if status else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", required=True)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--keep", type=pathlib.Path)
    parser.add_argument("--calm", action="store_true")
    options = parser.parse_args()
    tool = os.path.abspath(options.tool)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="chaos-"))
    failed = 0
    try:
        compile_all(folder)
        for seed in range(options.first, options.first + options.count):
            wrong = judge(tool, folder, seed, options.calm)
            if not wrong:
                continue
            failed += 1
            print(f"seed {seed}: {wrong}", flush=True)
            if options.keep and (folder / "rec").exists():
                shutil.copytree(folder / "rec", options.keep / str(seed), dirs_exist_ok=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{options.count} recordings: {failed} failed")
    return 1 if failed or options.count < 1 else 0


if __name__ == "__main__":
    sys.exit(main())
