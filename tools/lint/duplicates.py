"""Nothing is written twice: no run of a dozen telling lines stands in two places."""
import re

import lint

WINDOW = 12
TRIVIAL = re.compile(r"^(?:[{}();]*|/?\*.*|#include .*|break;|else|return (?:NULL|0|true|false);)$")


def telling(text):
    """(line number, line without spaces) of the lines that say something."""
    for number, line in enumerate(text.splitlines(), 1):
        squeezed = re.sub(r"\s+", "", line)
        if not TRIVIAL.match(line.strip()) and not TRIVIAL.match(squeezed):
            yield number, squeezed


def complaints(root):
    seen, told = {}, set()
    for path in lint.tracked(root, ".c", ".h", ".py", ".sh"):
        lines = list(telling(lint.read(root, path)))
        for i in range(len(lines) - WINDOW + 1):
            window = tuple(line for _, line in lines[i : i + WINDOW])
            here = (path, lines[i][0])
            there = seen.setdefault(window, here)
            pair = (path, there[0])
            if there != here and pair not in told:
                told.add(pair)
                yield f"{here[0]}:{here[1]} repeats {there[0]}:{there[1]}"


if __name__ == "__main__":
    lint.main("nothing is written twice", complaints)
