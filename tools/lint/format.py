"""C is formatted as .clang-format says; `./run format` does it."""
import re
import shutil
import subprocess

import lint

WARNING = re.compile(r"(.+):(\d+):\d+: warning: code should be clang-formatted")


def complaints(root):
    if not shutil.which("clang-format"):
        yield "clang-format is not installed"
        return
    files = list(lint.tracked(root, ".c", ".h"))
    done = subprocess.run(["clang-format", "--dry-run", *files], capture_output=True, text=True, cwd=root, check=False)
    if done.returncode:
        yield done.stderr.strip()
    seen = set()
    for path, line in WARNING.findall(done.stderr):
        if path not in seen:
            yield f"{path}:{line}: not formatted"
        seen.add(path)


if __name__ == "__main__":
    lint.main("C is formatted", complaints)
