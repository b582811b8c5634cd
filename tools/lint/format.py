"""C is formatted as .clang-format says; `./run format` does it."""
import shutil
import subprocess

import lint


def complaints(root):
    if not shutil.which("clang-format"):
        yield "clang-format is not installed"
        return
    for path in lint.tracked(root, ".c", ".h"):
        text = (root / path).read_bytes()
        command = ["clang-format", f"--assume-filename={path}"]
        done = subprocess.run(command, input=text, capture_output=True, cwd=root, check=False)
        if done.returncode:
            yield f"{path}: {done.stderr.decode(errors='replace').strip()}"
        elif done.stdout != text:
            pairs = zip(text.splitlines(), done.stdout.splitlines())
            line = next((n for n, (a, b) in enumerate(pairs, 1) if a != b), 0)
            yield f"{path}:{line}: not formatted"


if __name__ == "__main__":
    lint.main("C is formatted", complaints)
