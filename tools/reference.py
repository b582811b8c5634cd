"""Writes docs/reference/<extension>.md from the descriptors in the libraries, and runs its examples.

usage: reference.py BUILD [--check]

Everything on a page comes from tenfold_about; the answers below the examples are what sqltest gets
when it runs them. With --check nothing is written: as TAP, one test per page that must not differ.
"""
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent.parent
PAGES = HERE / "docs" / "reference"


def cell(text):
    return (text or "").replace("|", "\\|").replace("\n", " ")


def code(text):
    """An error's text or a signature as inline code."""
    return f"`{cell(text)}`" if text else ""


def grid(head, rows):
    """A Markdown table, or nothing without rows."""
    if not rows:
        return []
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return lines + [""]


class Describer:
    """The rows of tenfold_about, by extension and kind."""

    def __init__(self, build):
        db = sqlite3.connect(":memory:")
        db.enable_load_extension(True)
        db.load_extension(str(build / "tenfold"))
        db.row_factory = sqlite3.Row
        self.rows = db.execute("SELECT * FROM tenfold_about").fetchall()
        self.members = db.execute(
            "SELECT extension, state, doc FROM tenfold_status ORDER BY extension").fetchall()
        db.close()

    def of(self, extension, kind, item=None):
        return [row for row in self.rows
                if row["extension"] == extension and row["kind"] == kind
                and (item is None or row["object"] == item)]


def sections(about, extension, item):
    """The part of a page about one table or function."""
    name = item["object"]
    facts = [item["type"], item["risk"]]
    if item["kind"] == "table" and item["detail"]:
        facts.insert(1, item["detail"])
    if item["kind"] == "function" and item["detail"]:
        facts.insert(1, "returns " + item["detail"])
    yield from [f"## {name}", "", f"    {item['item']}", "", " · ".join(facts), "", item["doc"], ""]
    arguments = about.of(extension, "argument", name)
    function = item["kind"] == "function"
    yield from grid(
        ["argument", "type", "default", "meaning"],
        [[code(row["item"]), cell(row["type"]),
          (cell(row["detail"]) if function else "required" if row["detail"] else ""),
          cell(row["doc"])] for row in arguments])
    yield from grid(
        ["column", "type", "meaning", "pushed down"],
        [[code(row["item"]), cell(row["type"]), cell(row["doc"]), code(row["detail"])]
         for row in about.of(extension, "column", name)])
    yield from grid(
        ["error", "cause", "cure"],
        [[code(row["item"]), cell(row["detail"]), cell(row["doc"])]
         for row in about.of(extension, "error", name)])
    for row in about.of(extension, "example", name):
        yield from ["```sql", row["doc"], "```", "", "```text", "```", ""]


def page(about, extension):
    whole = about.of(extension, "extension")[0]
    items = about.of(extension, "table") + about.of(extension, "function")
    lines = ["<!-- Made by tools/reference.py from the descriptors: change those. -->",
             f"# {extension}", "", whole["doc"], ""]
    for row in about.of(extension, "guide"):
        lines += [row["doc"], ""]
    lines += ["```sql", f".load ./{extension}", "```", ""]
    lines += [f"- [`{item['item']}`](#{item['object']}): {item['doc']}" for item in items] + [""]
    for item in items:
        lines += sections(about, extension, item)
    return "\n".join(lines).rstrip("\n") + "\n"


def index(about):
    lines = ["<!-- Made by tools/reference.py from the descriptors: change those. -->",
             "# Reference", "",
             "Every table and function of the extensions that are built, made from what "
             "`tenfold_about` says of them.", ""]
    for row in about.members:
        if row["state"] == "loaded":
            lines.append(f"- [{row['extension']}]({row['extension']}.md): {row['doc']}")
    return "\n".join(lines) + "\n"


def answered(build, name, text):
    """The page with its examples run."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / name
        path.write_text(text, encoding="utf-8")
        command = [build / "test" / "sqltest", "--extensions", build, "--update", path]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{name}: sqltest could not run the examples\n{done.stdout}{done.stderr}")
        return path.read_text(encoding="utf-8")


def pages(build):
    about = Describer(build)
    yield "README.md", index(about)
    for row in about.members:
        if row["state"] == "failed":
            sys.exit(f"{row['extension']}: cannot be loaded")
        if row["state"] == "loaded":
            name = row["extension"] + ".md"
            yield name, answered(build, name, page(about, row["extension"]))


def difference(old, new):
    for number, (a, b) in enumerate(zip(old.split("\n"), new.split("\n")), 1):
        if a != b:
            return f"line {number}: \"{a}\" should be \"{b}\""
    return "one is longer than the other"


def check(build):
    expected = dict(pages(build))
    found = {path.name for path in PAGES.glob("*.md")}
    failed = 0
    for number, name in enumerate(sorted(found | set(expected)), 1):
        path = PAGES / name
        complaint = None
        if name not in expected:
            complaint = "no such extension is built"
        elif name not in found:
            complaint = "is missing"
        elif path.read_text(encoding="utf-8") != expected[name]:
            complaint = difference(path.read_text(encoding="utf-8"), expected[name])
        failed += complaint is not None
        print(f"{'not ok' if complaint else 'ok'} {number} - docs/reference/{name}")
        if complaint:
            print(f"# {complaint}; run tools/reference.py {build.name}")
    print(f"1..{len(found | set(expected))}")
    sys.exit(failed != 0)


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[2:] not in ([], ["--check"]):
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1]).resolve()
    if sys.argv[2:]:
        check(build)
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, text in pages(build):
        (PAGES / name).write_text(text, encoding="utf-8")
        print(f"docs/reference/{name}")


if __name__ == "__main__":
    main()
