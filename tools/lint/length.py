"""A file fits in the head: at most 500 lines, functions at most 70 (flat switch tables excepted)."""
import re

import lint

FILE_LINES, FUNCTION_LINES = 500, 70
# LLVM style: a body opens at the end of a line and closes in the first column.
NAME = re.compile(r"(\w+)\s*\(")


def functions(lines):
    """(name, first line from 1, lines) of every function."""
    start = None
    for number, line in enumerate(lines, 1):
        if line[:1].isalpha() or line[:1] == "_":
            if start is None or not line.startswith("}"):
                start = number
        if line.startswith("}") and start is not None:
            name = NAME.search(" ".join(lines[start - 1 : start + 4]))
            head = "".join(lines[start - 1 : number])
            if name and "(" in head.split("{")[0] and "=" not in head.split("{")[0]:
                yield name.group(1), start, lines[start - 1 : number]
            start = None


def is_table(body):
    """Mostly case labels: long, but nothing to follow."""
    cases = sum(bool(re.match(r"\s*(case\b|default:)", line)) for line in body)
    return cases * 3 >= len(body)


def complaints(root):
    for path in lint.tracked(root, ".c", ".h"):
        lines = lint.read(root, path).splitlines()
        if len(lines) > FILE_LINES:
            yield f"{path}: {len(lines)} lines, the limit is {FILE_LINES}"
        for name, start, body in functions(lines):
            if len(body) > FUNCTION_LINES and not is_table(body):
                yield f"{path}:{start}: {name}() has {len(body)} lines, the limit is {FUNCTION_LINES}"


if __name__ == "__main__":
    lint.main("files and functions are short", complaints)
