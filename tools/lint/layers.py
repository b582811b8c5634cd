"""Includes point down, never up or sideways: tools/layers.txt says where down is."""
import re

import lint

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)
GENERATED = {"sql/grammar.h", "replay/inside_blob.h"}


def table(root):
    rooms, headers = {}, {}
    for line in lint.read(root, "tools/layers.txt").splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        (headers if words[0].startswith("<") else rooms)[words[0]] = words[1:]
    return rooms, headers


def room_of(path, rooms):
    """The longest folder of the table that the path lies in."""
    inside = [room for room in rooms if path == room or path.startswith(room + "/")]
    return max(inside, key=len, default=None)


def check_own(root, path, name, rooms):
    """A complaint about `#include "name"`, or None."""
    if name not in GENERATED and not (root / name).is_file():
        return f'{path}: "{name}" is not a path from the root'
    mine, theirs = room_of(path, rooms), room_of(name, rooms)
    if mine is None or theirs is None:
        return f'{path}: no line in tools/layers.txt for {path if mine is None else name}'
    if mine != theirs and theirs not in rooms[mine] and "*" not in rooms[mine]:
        return f"{path}: {mine} must not include {theirs} ({name})"
    return None


def complaints(root):
    rooms, headers = table(root)
    for path in lint.tracked(root, ".c", ".h", ".y"):
        for kind, name in INCLUDE.findall(lint.read(root, path)):
            if kind == '"':
                complaint = check_own(root, str(path), name, rooms)
                if complaint:
                    yield complaint
            elif f"<{name}>" in headers:
                places = headers[f"<{name}>"]
                if not any(str(path).startswith(place) for place in places):
                    yield f"{path}: <{name}> is for {' '.join(places)} alone"


if __name__ == "__main__":
    lint.main("includes point down", complaints)
