"""What the lints share: which files there are, and how a complaint is told."""
import os
import pathlib
import subprocess
import sys


def tracked(root, *suffixes):
    """The project's files with these endings, as paths relative to the root: those git knows or
    would add; in a copy without git, all."""
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "ls-files", "-co", "--exclude-standard", "-z"]
        names = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        files = [pathlib.Path(name) for name in names.split("\0") if name]
    else:
        files = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
    files = [path for path in files if (root / path).is_file()]
    return sorted(path for path in files if not suffixes or path.name.endswith(suffixes))


def read(root, path):
    with open(root / path, encoding="utf-8", errors="replace", newline="") as file:
        return file.read()


def main(name, complaints):
    """Run one lint on the folder named on the command line (default: this project), as TAP."""
    here = pathlib.Path(__file__).resolve().parent.parent.parent
    root = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else here
    found = list(complaints(root))
    print(f"{'not ok' if found else 'ok'} 1 - {name}")
    for line in found:
        print(f"# {line}")
    print("1..1")
    sys.stdout.flush()
    os._exit(1 if found else 0)
