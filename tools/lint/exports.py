"""A library exports its entry point alone, names every library it needs, and reaches SQLite only
through what it is handed.

usage: exports.py LIBRARY...
"""
import pathlib
import subprocess
import sys


def output(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def complaints(path):
    entry = f"sqlite3_{path.stem}_init"
    exported = [line.split()[-1] for line in output("nm", "-D", "--defined-only", path).splitlines()]
    if entry not in exported:
        yield f"{path.name}: does not export {entry}"
    for symbol in exported:
        if symbol != entry:
            yield f"{path.name}: exports {symbol}"
    for line in output("nm", "-D", "--undefined-only", path).splitlines():
        symbol = line.split()[-1]
        if symbol.startswith("sqlite3"):
            yield f"{path.name}: calls {symbol} directly"
    for line in output("ldd", "-r", path).splitlines():
        if "undefined symbol" in line:
            yield f"{path.name}: needs a library it does not name: {' '.join(line.split()[:3])}"
    for line in output("readelf", "-d", path).splitlines():
        if "(NEEDED)" in line and "libsqlite3" in line:
            yield f"{path.name}: needs libsqlite3"
        if "(TEXTREL)" in line:
            yield f"{path.name}: has text relocations"
        if "(RPATH)" in line or "(RUNPATH)" in line:
            yield f"{path.name}: has a search path: {line.split('[')[-1].rstrip(']')}"


def main():
    failed = 0
    paths = [pathlib.Path(name) for name in sys.argv[1:]]
    for number, path in enumerate(paths, 1):
        found = list(complaints(path))
        failed += bool(found)
        print(f"{'not ok' if found else 'ok'} {number} - {path.name} exports its entry point alone")
        for line in found:
            print(f"# {line}")
    print(f"1..{len(paths)}")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
