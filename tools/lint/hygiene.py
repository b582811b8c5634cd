"""The repository speaks of the project alone, in clean text."""
import re

import lint

TEXT = (".c", ".h", ".y", ".md", ".sql", ".expected", ".sh", ".py", ".js", ".mjs", ".json", ".txt",
        ".build", ".yml", ".supp", "run", "LICENSE")
# Each pattern is written so that it does not match itself.
FORBIDDEN = [
    (re.compile(r"(?<![\w.])/(?:work|root|home|Users)/[\w.]"), "a path of one machine"),
    (re.compile(r"\b(?:[s]essions?|[a]gents?|[p]rompts?|[a]ssistants?)\b", re.IGNORECASE),
     "a word that is not about the project"),
    (re.compile(r"\b[i]ssue\s*#?\d+|(?:^|[\s(])#\d+\b(?![^'\"]*['\"])", re.IGNORECASE),
     "a number of a tracker"),
    (re.compile(r"https?://[r]egistry\.|[r]egistry\.npm"), "a package host"),
    (re.compile(r"[ \t]+$"), "white space at the end of a line"),
    (re.compile("\r"), "a carriage return"),
]
TAB = re.compile("\t")
TODO = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X])\b")


def line_complaints(path, number, line):
    for pattern, what in FORBIDDEN:
        # Goldens and fixtures hold what programs say, white space included.
        if "white space" in what and path.suffix in (".expected", ".sql", ".md"):
            continue
        match = pattern.search(line)
        if match:
            yield f"{path}:{number}: {what}: {match.group(0)!r}"
    if path.suffix in (".c", ".h", ".y"):
        if TAB.search(line):
            yield f"{path}:{number}: a tab"
        if TODO.search(line):
            yield f"{path}:{number}: unfinished: {line.strip()!r}"


def complaints(root):
    for path in lint.tracked(root, *TEXT):
        if "corpus" in path.parts:
            continue
        text = lint.read(root, path)
        if text and not text.endswith("\n"):
            yield f"{path}: no line end at the end"
        for number, line in enumerate(text.split("\n"), 1):
            yield from line_complaints(path, number, line)


if __name__ == "__main__":
    lint.main("the text is clean", complaints)
