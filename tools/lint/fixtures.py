"""Every fixture has its golden, every golden its fixture, every test program somebody who runs it, every
link in the documentation a target."""
import re

import lint

LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


def complaints(root):
    for path in lint.tracked(root, ".sql"):
        if path.parts[0] != "fixtures":
            continue
        golden = path.with_suffix(".expected")
        if re.search(r"^-- case: ", lint.read(root, path), re.MULTILINE):
            if not (root / golden).is_file():
                yield f"{path}: no {golden.name} beside it"
    for path in lint.tracked(root, ".expected"):
        script = path.with_suffix(".sql")
        if not (root / script).is_file():
            yield f"{path}: no {script.name} beside it"
    build = lint.read(root, "test/meson.build")
    for path in lint.tracked(root, ".py"):
        programs = path.parts[0] == "test" and len(path.parts) == 3
        if programs and "\nusage: " in lint.read(root, path) and path.name not in build:
            yield f"{path}: nobody runs it"
    for path in lint.tracked(root, ".md"):
        for target in LINK.findall(lint.read(root, path)):
            if not (root / path.parent / target).exists():
                yield f"{path}: a link to {target}, which is not there"


if __name__ == "__main__":
    lint.main("fixtures and links are complete", complaints)
