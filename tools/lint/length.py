"""A file fits in the head: at most 500 lines, functions at most 70 (flat switch tables excepted).

Comments end at column 100; clang-format sees to the code, and would tear comments apart.
"""
import re

import lint

FILE_LINES, FUNCTION_LINES, COMMENT_COLUMNS = 500, 70, 100
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
        for number, line in enumerate(lines, 1):
            if len(line) > COMMENT_COLUMNS and re.match(r"\s*(\*\*|/\*)", line):
                yield f"{path}:{number}: a comment of {len(line)} columns, the limit is {COMMENT_COLUMNS}"
        for name, start, body in functions(lines):
            if len(body) > FUNCTION_LINES and not is_table(body):
                yield f"{path}:{start}: {name}() has {len(body)} lines, the limit is {FUNCTION_LINES}"


if __name__ == "__main__":
    lint.main("files and functions are short", complaints)
